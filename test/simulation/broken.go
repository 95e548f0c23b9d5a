package simulation

import (
	"bytes"
	"net"
	"regexp"
	"strconv"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// Broken is a rule that the world does not keep, so that it can be seen that the simulation would notice.
type Broken uint8

// What can be broken.
const (
	None Broken = iota
	// R1StampsLate stamps a read with a version that lies behind the moment of its snapshot.
	R1StampsLate
	// R2PublishesEarly appends a write's event when the write is sent.
	R2PublishesEarly
	// R2PublishesLate appends it some time after the client has its ReadyForQuery.
	R2PublishesLate
	// R3IgnoresARelation lets an answer from two relations depend on the first.
	R3IgnoresARelation
	// R4KeepsOldFills makes an edge keep a result that was read before what it has heard of since.
	R4KeepsOldFills
	// R5IgnoresGaps lets an edge go on as if it had missed nothing while it was away, and from any home's log.
	R5IgnoresGaps
	// R6CountsFromTheGrant counts an edge's lease from when the grant arrives.
	R6CountsFromTheGrant
	// R6GrantsAhead grants a lease beside the stream, before what the stream has still to bring.
	R6GrantsAhead
	// R6ForgetsWritesUnderWay grants leases past the writes whose outcome the home has not read.
	R6ForgetsWritesUnderWay
	// R7ForgetsTheWriter leaves it to the stream to tell an edge of its own client's write.
	R7ForgetsTheWriter
	// R8DropsEvents loses some of an edge's events, as a full channel would.
	R8DropsEvents
	// R9PublishesStatements appends the event of a write in a block at the statement, and none at the commit.
	R9PublishesStatements
	// R9ForgetsLostWrites appends nothing where a connection was lost with a write in flight.
	R9ForgetsLostWrites
	// R11DoesNotWait sends a strong write before every edge has its hold.
	R11DoesNotWait
	// R12TrustsTheStore voids nothing when the store comes back.
	R12TrustsTheStore
	// TokensAreForgotten lets perihelion.after ask for nothing.
	TokensAreForgotten
	brokens
)

var brokenNames = [brokens]string{
	None:                    "no rule is broken",
	R1StampsLate:            "R1 a read is stamped late",
	R2PublishesEarly:        "R2 a write is published before it is visible",
	R2PublishesLate:         "R2 a write is published behind its ReadyForQuery",
	R3IgnoresARelation:      "R3 an entry depends on one of its relations only",
	R4KeepsOldFills:         "R4 a fill is kept that a write has voided",
	R5IgnoresGaps:           "R5 an edge does not see a gap",
	R6CountsFromTheGrant:    "R6 a lease is counted from its grant",
	R6GrantsAhead:           "R6 a grant overtakes events",
	R6ForgetsWritesUnderWay: "R6 a lease is granted past writes whose outcome is not known",
	R7ForgetsTheWriter:      "R7 a write does not count where it came from",
	R8DropsEvents:           "R8 events are dropped",
	R9PublishesStatements:   "R9 a block is published by its statements",
	R9ForgetsLostWrites:     "R9 a write whose reply is lost is not published",
	R11DoesNotWait:          "R11 a strong write does not wait for the edges",
	R12TrustsTheStore:       "R12 a store that went back is trusted",
	TokensAreForgotten:      "tokens are not waited for",
}

// String says in words what is broken.
func (b Broken) String() string { return brokenNames[b] }

// lateness is how much too late what is late comes: no more than the network or a busy machine may take at any time.
const lateness = 50 * time.Millisecond

// stamp returns what the home stamps a read with.
func (b Broken) stamp(j *journal) invalidation.Version {
	if b == R1StampsLate {
		now := invalidation.Version(j.home.w.wall("home").Add(lateness).UnixMilli()) << 16
		return max(j.log.Last(), now).Stamp()
	}
	return j.log.Stamp()
}

// publish adds what became visible to the log.
func (b Broken) publish(j *journal, database string, changed statement.Closure) invalidation.Version {
	switch {
	case b == R2PublishesEarly, b == R9PublishesStatements, b == R9ForgetsLostWrites && j.upstream.in.dead():
		return j.log.Last()
	case b == R2PublishesLate:
		j.home.wg.Go(func() {
			if sleep(j.home.ctx, lateness) {
				j.append(database, changed)
			}
		})
		return j.log.Last()
	}
	return j.append(database, changed)
}

// all is what may have changed where nobody looked closely.
var all = statement.Closure{Relations: []string{"public.a", "public.b"}}

// watch returns a session's connection to the store, and looks at what passes on it.
func (b Broken) watch(j *journal, c net.Conn) net.Conn {
	if b == R2PublishesEarly || b == R9PublishesStatements {
		return watched{c.(*conn), b, j}
	}
	return c
}

type watched struct {
	*conn
	broken  Broken
	journal *journal
}

// Write implements [net.Conn].
func (w watched) Write(p []byte) (int, error) {
	if w.broken == R2PublishesEarly && bytes.Contains(p, []byte("update ")) {
		w.journal.append("db", all)
	}
	return w.conn.Write(p)
}

// Read implements [net.Conn].
func (w watched) Read(p []byte) (int, error) {
	n, err := w.conn.Read(p)
	if w.broken == R9PublishesStatements && bytes.Contains(p[:n], []byte("UPDATE 1")) {
		w.journal.append("db", all)
	}
	return n, err
}

// tap returns what changes the bytes that an edge gets from its home on one connection; nil: they stay as they are. It
// never changes their number.
func (b Broken) tap(e *edge) func([]byte) []byte {
	switch b {
	case R4KeepsOldFills:
		return func(p []byte) []byte { return replace(p, readFact, e.refresh) }
	case R7ForgetsTheWriter:
		return func(p []byte) []byte { return bytes.ReplaceAll(p, []byte(`"write":{`), []byte(`"wrote":{`)) }
	case R6CountsFromTheGrant:
		return func(p []byte) []byte {
			if bytes.Contains(p, []byte("event: lease\n")) {
				e.shared.Lease.Extend(invalidation.Now(), maxStaleness)
			}
			return p
		}
	case R6GrantsAhead:
		return func(p []byte) []byte {
			if bytes.HasPrefix(p, []byte("HTTP/1.1 202")) || bytes.HasPrefix(p, []byte("HTTP/1.1 204")) {
				e.shared.Lease.Extend(invalidation.Now().Add(-lateness), maxStaleness)
			}
			return p
		}
	case R5IgnoresGaps, R8DropsEvents:
		f := &forger{edge: e, resumes: b == R5IgnoresGaps}
		return f.forge
	default:
		return nil // it is broken elsewhere
	}
}

var (
	readFact   = regexp.MustCompile(`"read":\{"epoch":"\w+","version":(\d+)`)
	registered = regexp.MustCompile(`"epoch":"(\w+)","version":(\d+),"resumed":(true|false)`)
	invalidate = regexp.MustCompile(`event: (invalidate)\nid: \d+\ndata: \{"version":(\d+),.*"after":(\d+)`)
)

// replace replaces the first group of each match by one of the same length.
func replace(p []byte, pattern *regexp.Regexp, by func([]byte) []byte) []byte {
	for _, at := range pattern.FindAllSubmatchIndex(p, -1) {
		overwrite(p[at[2]:at[3]], by(p[at[2]:at[3]]))
	}
	return p
}

// overwrite puts text in the place of another, where it has its length.
func overwrite(place, text []byte) {
	if len(place) == len(text) {
		copy(place, text)
	}
}

func number(digits []byte) invalidation.Version {
	n, _ := strconv.ParseUint(string(digits), 10, 64) // the pattern lets digits pass only
	return invalidation.Version(n)
}

func digits(v invalidation.Version) []byte { return strconv.AppendUint(nil, uint64(v), 10) }

// refresh returns the version of a fill as if it had been read when the edge last heard of a write.
func (e *edge) refresh(version []byte) []byte {
	return digits(max(number(version), e.link.Status().Position.Stamp()))
}

// forger changes a register stream so that an edge does not see what it misses.
type forger struct {
	edge *edge
	// resumes is set where the edge is told that it goes on from where it was, without what it missed; otherwise it loses
	// an event now and then.
	resumes bool
	// missed is up to where it misses events; chain is what it thinks the next event follows.
	missed, chain invalidation.Version
}

func (f *forger) forge(p []byte) []byte {
	if at := registered.FindSubmatchIndex(p); at != nil {
		f.chain = number(p[at[4]:at[5]])
		if status := f.edge.link.Status(); f.resumes && status.Epoch != "" {
			f.missed, f.chain = f.edge.w.home.log.Last(), status.Position
			overwrite(p[at[2]:at[3]], []byte(status.Epoch))
			overwrite(p[at[4]:at[5]], digits(status.Position))
			overwrite(p[at[6]:at[7]], []byte("true "[:at[7]-at[6]]))
		}
	}
	if f.resumes {
		p = bytes.ReplaceAll(p, []byte("event: reset\n"), []byte("event: resut\n"))
	}
	for _, at := range invalidate.FindAllSubmatchIndex(p, -1) {
		version := number(p[at[4]:at[5]])
		if version <= f.missed || !f.resumes && f.edge.drops.IntN(8) == 0 {
			overwrite(p[at[2]:at[3]], []byte("invalidote"))
			continue
		}
		overwrite(p[at[6]:at[7]], digits(f.chain))
		f.chain = version
	}
	return p
}
