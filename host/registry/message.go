package registry

import (
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// Message is one message of an edge's stream: a [Registered], an [Invalidation], a [Holds], a [Grant] or a [Reset].
type Message interface{ message() }

// Registered is the first message of each stream.
type Registered struct {
	// Epoch is the log that the stream speaks of.
	Epoch string
	// Version is the position that the stream goes on from: the one asked for if Resumed, else the present.
	Version invalidation.Version
	// Resumed is set where everything behind the position asked for follows. Where it is not, whatever the edge
	// holds of before Version is void.
	Resumed bool
	// MaxStaleness is how long a lease lasts.
	MaxStaleness time.Duration
}

// Reset follows a [Registered] that could not resume though the edge asked for it.
type Reset struct {
	Epoch   string
	Version invalidation.Version
	Reason  string
}

// Invalidation is one event, or the union of several of one database.
type Invalidation struct {
	Event invalidation.Event
	// After is the version of the Invalidation before this one in the stream, or where the stream began. A reader
	// that has seen another one has a gap.
	After invalidation.Version
	// Position is what the reader may resume from once it has applied this message. Within a batch it stays where
	// the batch began, because the messages of a batch are not in the log's order; its last message moves it.
	Position invalidation.Version
}

// Holds says which holds began and ended (R11). Those that began stand before the invalidations of their batch, those
// that ended behind them: in between, a reader holds more than it must.
type Holds struct {
	Begun []invalidation.Hold
	Ended []uint64
	// All is set where the holds that this stream has named, and not ended, are all there are: a reader drops what it
	// has from an earlier stream.
	All bool
	// Position is what the reader may resume from once it has applied this message.
	Position invalidation.Version
}

// Grant extends the lease that was asked for under Nonce. Every event that was appended before it was asked for
// stands before it in the stream.
type Grant struct {
	Nonce string
	// Position is the reader's position once it has applied all that stands before the grant.
	Position invalidation.Version

	asked time.Time
}

func (Registered) message()   {}
func (Reset) message()        {}
func (Invalidation) message() {}
func (Holds) message()        {}
func (Grant) message()        {}
