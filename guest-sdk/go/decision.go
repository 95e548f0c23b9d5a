package policy

import "time"

// The shortest and the longest time to live that can be stated.
const (
	MinTTL = time.Duration(minTTLMS) * time.Millisecond
	MaxTTL = time.Duration(maxTTLMS) * time.Millisecond
)

// Decision is what a policy states. What it does not state keeps what a policy before it stated, or else its default.
// Each error is an [*Error]: the part stays as it was, and the rest of the decision holds. A Decision holds until
// Decide's function returns.
type Decision struct{ guest *guest }

// Cache says whether the result is cached.
func (d *Decision) Cache(yes bool) error {
	value := minCache
	if yes {
		value = maxCache
	}
	return check("state whether the result is cached", d.guest.host.setInt(decisionCache, value))
}

// Cached returns whether the result is cached as the decision stands.
func (d *Decision) Cached() (yes, ok bool) {
	n, ok := d.guest.int(readBack+decisionCache, 0)
	return n == maxCache, ok
}

// TTL states the result's time to live, from [MinTTL] to [MaxTTL]; what is less than a millisecond of it is left out.
func (d *Decision) TTL(ttl time.Duration) error {
	return check("state the time to live "+ttl.String(), d.guest.host.setInt(decisionTTLMS, ttl.Milliseconds()))
}

// CurrentTTL returns the result's time to live as the decision stands.
func (d *Decision) CurrentTTL() (ttl time.Duration, ok bool) {
	return d.guest.duration(readBack + decisionTTLMS)
}

// Share says who shares the result. The whole tenant is refused where a relation has row security.
func (d *Decision) Share(share Share) error {
	return check("state who shares the result", d.guest.host.setInt(decisionShare, int64(share)))
}

// AskOnResult asks for the function given to [OnResult] to be called with each result.
func (d *Decision) AskOnResult(yes bool) error {
	return check("ask for each result", d.guest.host.setInt(decisionAskOnResult, number(yes)))
}

func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Tag adds a tag by which the result can be voided, of at most [MaxTag] bytes.
func (d *Decision) Tag(tag string) error {
	return check("add the tag "+tag, d.guest.host.setBytes(decisionTag, tag))
}

// Reason says why, to people: in an explanation, the dashboard and the metrics. It is cut to [MaxReason].
func (d *Decision) Reason(reason string) error {
	return check("state the reason", d.guest.host.setBytes(decisionReason, cut(reason, MaxReason)))
}
