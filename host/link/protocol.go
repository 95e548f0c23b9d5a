package link

import "github.com/perihelion-proxy/perihelion/host/invalidation"

// The paths of the home that an edge uses.
const (
	RegisterPath = "/api/edge/register"
	RenewPath    = "/api/edge/renew"
	WirePath     = "/api/edge/wire"
)

// The headers that an edge sends.
const (
	// HeaderLastEventID carries the position to resume from, as the stream's id fields spell it: decimal.
	HeaderLastEventID = "Last-Event-ID"
	// HeaderEpoch carries the epoch of the position in HeaderLastEventID.
	HeaderEpoch = "Perihelion-Epoch"
	// HeaderEdge names the edge that opens a tunnel.
	HeaderEdge = "Perihelion-Edge"
	// HeaderClient is the address of the client whose session a tunnel carries. It may be absent.
	HeaderClient = "Perihelion-Client"
	// HeaderBinding is the tls-server-end-point of the certificate that the edge has shown to that client, in base64. It is
	// absent where the client's leg is not TLS.
	HeaderBinding = "Perihelion-Channel-Binding"
)

// WireProtocol is the protocol that a tunnel upgrades to.
const WireProtocol = "perihelion-wire/1"

// The events of the register stream. The id of each is the position that a reader may resume from once it has
// applied it, in decimal.
const (
	EventRegistered = "registered"
	EventInvalidate = "invalidate"
	EventHold       = "hold"
	EventLease      = "lease"
	EventReset      = "reset"
	// EventClosed is the last event of a stream that the home ends of its own accord.
	EventClosed = "closed"
)

// The codes of a [Closed].
const (
	ClosedRemoved  = "removed"
	ClosedReplaced = "replaced"
	ClosedShutdown = "shutdown"
)

// RegisterRequest is the body of a registration.
type RegisterRequest struct {
	EdgeID string `json:"edge_id"`
	Region string `json:"region"`
	// Instance is random per process of the edge: what an earlier registration of the same process was granted is known
	// to be its own. It may be absent.
	Instance string `json:"instance,omitempty"`
}

// RenewRequest is the body of a renewal.
type RenewRequest struct {
	EdgeID string `json:"edge_id"`
	// Nonce is echoed by the grant. It is never used twice, by any process of this edge. Empty: no lease is asked for, the
	// edge says only what it has applied.
	Nonce string `json:"nonce"`
	// Version is the position that the edge has applied.
	Version invalidation.Version `json:"version"`
	// Ended is the instance of an edge that has given up its lease, and will not ask for another.
	Ended string `json:"ended,omitempty"`
}

// Registered is the data of the event that begins each stream.
type Registered struct {
	Epoch string `json:"epoch"`
	// Version is the position that the stream goes on from.
	Version invalidation.Version `json:"version"`
	// Resumed is set where everything behind the position asked for follows.
	Resumed        bool  `json:"resumed"`
	MaxStalenessMS int64 `json:"max_staleness_ms"`
}

// Invalidate is the data of an invalidation.
type Invalidate struct {
	Version invalidation.Version `json:"version"`
	// Database is the database that is concerned; empty: every one.
	Database string `json:"database"`
	// Tables are the relations concerned as "schema.table"; empty: all of them.
	Tables []string `json:"tables"`
	// After is the version of the invalidation before this one in the stream, or where the stream began.
	After invalidation.Version `json:"after"`
	// SentAt is when the home wrote the event, in microseconds since 1970 by its wall clock.
	SentAt int64 `json:"sent_at"`
}

// Hold is the data of a hold: until it has ended, nothing that depends on what it names is answered from memory or kept.
type Hold struct {
	// Begun are holds that begin, Ended the ids of those that end.
	Begun []OneHold `json:"begun,omitempty"`
	Ended []uint64  `json:"ended,omitempty"`
	// All is set where every hold that is in force was begun in this stream: others, of an earlier one, have ended.
	All bool `json:"all,omitempty"`
}

// OneHold is one hold.
type OneHold struct {
	ID uint64 `json:"id"`
	// Database is the database that is concerned; empty: every one.
	Database string `json:"database,omitempty"`
	// Tables are the relations concerned as "schema.table"; empty: all of them.
	Tables []string `json:"tables,omitempty"`
}

// Lease is the data of a grant.
type Lease struct {
	Nonce string `json:"nonce"`
}

// Reset is the data of a reset: everything of before Version is void.
type Reset struct {
	Epoch   string               `json:"epoch"`
	Version invalidation.Version `json:"version"`
	Reason  string               `json:"reason"`
}

// Closed is the data of the event that ends a stream.
type Closed struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Failure is the body of every answer of the API that is an error.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}
