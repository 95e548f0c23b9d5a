package policy

import "time"

// StaleFor states how long after its time to live the result may still be answered while it is asked for anew; never past
// an invalidation.
func (d *Decision) StaleFor(stale time.Duration) error {
	return check("state how long the result may be stale "+stale.String(), d.guest.host.setInt(decisionStaleMS, stale.Milliseconds()))
}

// Level states how old an answer may be. What is kept at [CoherenceEventual] no write ends, only its time to live; it is
// the one level at which a statement is kept whose answer can change without a write.
func (d *Decision) Level(level Coherence) error {
	return check("state the level", d.guest.host.setInt(decisionLevel, int64(level)))
}

// MaxResultBytes states the size of the largest result that is kept. It can only be lowered.
func (d *Decision) MaxResultBytes(n int64) error {
	return check("state the largest result", d.guest.host.setInt(decisionMaxResultBytes, n))
}

// Edges states whether edges may keep the result; where they may not, only the home does.
func (d *Decision) Edges(may bool) error {
	value := minEdges
	if may {
		value = maxEdges
	}
	return check("state whether edges may keep the result", d.guest.host.setInt(decisionEdges, value))
}
