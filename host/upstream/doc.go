// Package upstream reaches a home's Postgres: it reads where it is from a URL, dials sessions, and gives the home's
// own control connections their configuration.
//
// It must never know what passes over the connections that it opens.
package upstream
