package policy

import (
	"time"
)

// Decide gives the function that decides about a statement. It is called once per statement, tenant and generation of
// the policy; what it does not state keeps its default. An error, which is logged, means that the statement is not
// cached. Statement and Decision hold until the function returns. Decide is called from an init function, once.
func Decide(decide func(s Statement, d *Decision) error) { module.decideFunc = decide }

// Configure gives the function that reads the configuration: what the policy's YAML has under config, as JSON, and
// empty where it has none. It is called once per instance, before any decision. An error, which is logged, refuses the
// policy. The function may keep the slice. Configure is called from an init function, once; a policy without a
// configuration does not need it.
func Configure(configure func(config []byte) error) { module.configureFunc = configure }

// Config returns what the function given to [Configure] gets, at any time. The slice is the caller's.
func Config() ([]byte, error) { return module.config() }

// Now returns the node's wall clock, in milliseconds. A decision that depends on it is still made once only.
func Now() time.Time { return time.UnixMilli(module.host.nowMillis()) }

// Log writes a line to the node's log. Lines are rate-limited by the host, and cut to [MaxLogLine].
func Log(level Level, line string) { module.host.log(int32(level), cut(line, MaxLogLine)) }

// Error is the host's refusal of a call.
type Error struct {
	// Call says what was attempted.
	Call string
	// Code says why it failed.
	Code Code
}

// Error returns what was attempted and why it failed.
func (e *Error) Error() string { return e.Call + ": " + e.Code.String() }

// check turns a negative result into an error.
func check(call string, result int32) error {
	if result >= 0 {
		return nil
	}
	return &Error{Call: call, Code: Code(result)}
}
