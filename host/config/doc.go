// Package config holds a node's configuration: one struct, read once from a YAML file, the environment over it and
// flags over those, validated in one place, and immutable from then on. [Load] reports every problem at once, each
// with its key, its value, where it came from and what is allowed.
//
// It must never know what the keys are for: no network, no Postgres, no policies. It prints no secret: tokens are a
// [Secret] and the upstream's URL is an [Upstream], which say "redacted" in logs, JSON and messages, and a value
// whose key is unknown or which does not parse as a URL is not shown at all, because it may be one.
//
// The table in keys.go is the only list of keys. The names of variables and flags, the help of the commands, the
// defaults and what is allowed are all derived from it.
package config
