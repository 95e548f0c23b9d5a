//go:build !cgo

package main

import "errors"

type demoCommand struct{}

// runDemo fails: the demonstration runs a home, which needs cgo.
func runDemo(demoCommand, world) error {
	return &hintedError{errors.New("this build of perihelion was made without cgo and has no demonstration"), "build with CGO_ENABLED=1 and a C compiler"}
}
