// Package policy is the Go SDK for Perihelion's policies: WebAssembly modules that decide which statements' results
// are cached, and for how long. A whole policy:
//
//	package main
//
//	import "github.com/perihelion-proxy/perihelion/guest-sdk/go"
//
//	func init() {
//		policy.Decide(func(s policy.Statement, d *policy.Decision) error {
//			if s.Application() == "reports" {
//				return d.TTL(time.Hour)
//			}
//			return nil
//		})
//	}
//
//	func main() {}
//
// It is built, with Go 1.24 or later, by
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o NAME.wasm .
//
// A module built so is a library: its init functions run once per instance, its main never does. The package exports
// what the host calls, so that a policy needs no export of its own.
//
// Beside Decide there are [OnResult] and [OnTick], a store ([Get], [Set]) and counters ([Count]). What the host at hand
// does not serve answers with an error of [CodeUnknown], or is not called.
//
// The host calls an instance from one goroutine at a time, and so nothing here may be called from another. It keeps
// each decision, and so a decision must follow from what the statement tells and from the configuration alone. Fields
// and decisions of this version are listed in docs/policy-abi.md.
//
// The package also builds for other platforms, so that the functions of a policy can be tested by go test: there the
// host is one that knows no field, Log writes to standard error, and Now is the clock.
//
// It must never know how the host serves a call, and it imports nothing but the standard library.
package policy
