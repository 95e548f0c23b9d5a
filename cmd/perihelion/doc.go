// Command perihelion runs a home or an edge of a programmable PostgreSQL caching proxy, and looks at their
// configuration.
//
// It turns flags into a configuration and a configuration into a node, and passes signals on. It has no logic of its
// own, and must never know what a node does.
//
// Exit codes: 0 after a drain or a command that did its work, 1 after a failure, 2 where the command line or the
// configuration is wrong.
package main
