package policy

import (
	"time"
)

// Decide gives the function that decides about a statement. It is called once per statement, tenant and generation of
// the policy; what it does not state keeps its default. An error, which is logged, means that the statement is not
// cached. Statement and Decision hold until the function returns. Decide is called from an init function, once.
func Decide(decide func(s Statement, d *Decision) error) { module.decideFunc = decide }

// OnResult gives the function that is called with a result before it is kept, for statements whose decision asked for it
// by [Decision.AskOnResult]. It may change the decision for that result. It is called from an init function, once.
func OnResult(result func(s Statement, r Result, d *Decision) error) { module.resultFunc = result }

// OnTick gives the function that is called now and then with the tenant's hottest statements, and may change what was
// decided about them. It is called from an init function, once.
func OnTick(tick func(t Tick) error) { module.tickFunc = tick }

// Configure gives the function that reads the configuration: what the policy's YAML has under config, as JSON, and
// empty where it has none. It is called once per instance, before any decision. An error, which is logged, refuses the
// policy. The function may keep the slice. Configure is called from an init function, once; a policy without a
// configuration does not need it.
func Configure(configure func(config []byte) error) { module.configureFunc = configure }

// Config returns what the function given to [Configure] gets, at any time. The slice is the caller's.
func Config() ([]byte, error) { return module.config() }

// Now returns the node's wall clock, in milliseconds. A decision that depends on it is still made once only.
func Now() time.Time { return time.UnixMilli(module.host.nowMillis()) }

// Get returns the value of a key of the policy's store, which is one per tenant and lost when the host restarts.
func Get(key string) (value string, ok bool, err error) {
	value, result := module.read(func(buf []byte) int32 { return module.host.kvGet(key, buf) })
	if Code(result) == CodeNoIndex {
		return "", false, nil
	}
	err = check("get the key "+key, result)
	return value, err == nil, err
}

// Set gives a key of the store a value for some time, 0 for good; what is less than a millisecond of it counts as one.
func Set(key, value string, ttl time.Duration) error {
	ms := (ttl + time.Millisecond - 1).Milliseconds()
	if ttl < 0 {
		ms = -1 // refused, and not for good
	}
	return check("set the key "+key, module.host.kvSet(key, value, ms))
}

// Count adds to a counter of the policy's own, which the host exports under its name.
func Count(name string, delta int64) error {
	return check("add to the counter "+name, module.host.metricAdd(name, delta))
}

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
