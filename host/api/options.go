package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/registry"
)

// Options is what a [Server] is made from.
type Options struct {
	// AuthToken lets an edge register, renew and tunnel. Empty: nobody may.
	AuthToken string
	// AdminToken is for everything else. Empty: it is AuthToken.
	AdminToken string
	// Home is the home's half. Nil on an edge, which answers the home's endpoints with 404.
	Home *Home
	// HomeURL returns where an edge's home is, for whoever asks the edge what only the home knows. Nil at a home.
	HomeURL func() string
	// Stats returns the node's figures. Required.
	Stats func() Stats
	// Ready returns the checks of /readyz. Their texts are public: anyone may read them. Nil: always ready.
	Ready func() []Check
	// Metrics serves /metrics. Required.
	Metrics http.Handler
	// Logger gets panics and what goes wrong on connections. Nil: nothing is logged.
	Logger *slog.Logger

	// Heartbeat is how long a stream is silent before it gets a comment. 0: a second.
	Heartbeat time.Duration
	// WriteTimeout is how long one message of a stream, or one answer, may take to be read. 0: ten seconds.
	WriteTimeout time.Duration
}

// Home is what the API needs of a home. All but Draining are required.
type Home struct {
	// Edges are the registered edges; [registry.Registry] is one.
	Edges Edges
	// Wire serves one session of an edge. It takes ownership of conn, also where it refuses it, and may return at
	// once or at the session's end. The context carries the request's values and does not end with it.
	Wire func(ctx context.Context, conn net.Conn, info WireInfo)
	// Draining reports whether the node takes no more sessions. Nil: it always does.
	Draining func() bool
	// Append adds an event to the log: relations of a database; none: the whole database; no database: the node.
	Append func(database string, tables []string) invalidation.Version
	// Databases returns the databases that the node knows.
	Databases func() []string
	// Explain says what the node would do with a statement. An [*Error] is answered as it is.
	Explain func(ctx context.Context, request ExplainRequest) (Explanation, error)
	// Policies returns the policies of the node.
	Policies func() []Policy
}

// Edges is the home's list of edges.
type Edges interface {
	Join(hello registry.Hello) (*registry.Member, error)
	Renew(id, nonce string, applied invalidation.Version) error
	List() []registry.Info
	Remove(id string) bool
	Len() int
	// Farewell forgets the lease of a process that has ended it.
	Farewell(id, instance string)
}

// WireInfo says who opened a tunnel. Its texts come from the other side: they are bounded and printable, not proven.
type WireInfo struct {
	EdgeID string
	// ClientAddr is the address of the edge's client, as the edge says. It may be empty.
	ClientAddr string
	// Binding is the tls-server-end-point of the certificate that the edge has shown to its client, nil where it has not.
	Binding []byte
	// Remote is the address that the tunnel came from.
	Remote string
}

// Policy describes one policy of the node.
type Policy struct {
	Name string `json:"name"`
	// State is "active", or says in a word why it is not.
	State string `json:"state"`
	// Generation counts the policy's loads.
	Generation uint64 `json:"generation"`
	// Digest is the SHA-256 of the module in charge, in hexadecimal.
	Digest   string    `json:"digest"`
	LoadedAt time.Time `json:"loaded_at"`
	Priority int       `json:"priority"`
	// Tenants and Databases are the globs of whose statements it sees; none: of all.
	Tenants   []string `json:"tenants,omitempty"`
	Databases []string `json:"databases,omitempty"`
	// Failures counts the calls that failed since it was loaded; LastFailure says why the last one did.
	Failures    uint64 `json:"failures"`
	LastFailure string `json:"last_failure,omitempty"`
	// Error says why the last load was refused, or why the policy is off.
	Error string `json:"error,omitempty"`
}

// Stats are the figures of a node.
type Stats struct {
	Role     string               `json:"role"`
	Epoch    string               `json:"epoch"`
	Version  invalidation.Version `json:"version"`
	Sessions int64                `json:"sessions"`
	Cache    CacheStats           `json:"cache"`
	// Link is the edge's connection to its home; nil at a home.
	Link *LinkStats `json:"link,omitempty"`
	// Edges is how many edges are registered; nil at an edge.
	Edges *int `json:"edges,omitempty"`
	// Sources are where a home learns of writes, for each database that has sessions.
	Sources []Source `json:"sources,omitempty"`
}

// SourceWAL is the [Source.Source] of a database whose WAL is followed.
const SourceWAL = "wal"

// Source is where a home learns of the writes to one database.
type Source struct {
	Database string `json:"database"`
	// Source is "wal" where the WAL is followed and "wire" where only what passes the home is seen; "starting" and "lost"
	// where there is no slot yet, or not any more.
	Source string `json:"source"`
	// Reason says why it is not "wal".
	Reason string `json:"reason,omitempty"`
	Slot   string `json:"slot,omitempty"`
	// Followed is set where it is tried to follow the WAL, successfully or not.
	Followed bool `json:"-"`
	// BehindBytes is how much of the WAL was not decoded at the last look, BehindMS how long ago all of it had been.
	BehindBytes uint64 `json:"behind_bytes"`
	BehindMS    int64  `json:"behind_ms"`
	// Transactions have become visible; Whole of them may have changed anything. Reconnects counts the attempts but the first.
	Transactions uint64 `json:"transactions"`
	Whole        uint64 `json:"transactions_whole"`
	Reconnects   uint64 `json:"reconnects"`
}

// CacheStats are the figures of a node's cache. All but Entries and Bytes count from the node's start.
type CacheStats struct {
	Hits     uint64 `json:"hits"`
	Misses   uint64 `json:"misses"`
	Bypasses uint64 `json:"bypasses"`
	// Coalesced waited for a result that another session had asked for, Unleased are the hits at level eventual that were
	// answered while the node had not heard from its home. Both are counted above as well.
	Coalesced uint64 `json:"coalesced"`
	Unleased  uint64 `json:"unleased"`
	Fills     uint64 `json:"fills"`
	Entries   int64  `json:"entries"`
	Bytes     int64  `json:"bytes"`
	Evictions uint64 `json:"evictions"`
	Voided    uint64 `json:"voided"`
}

// LinkStats describe an edge's connection to its home.
type LinkStats struct {
	Connected bool   `json:"connected"`
	Home      string `json:"home"`
	// LeaseMS is how long the lease still holds, in milliseconds; 0 where it has ended.
	LeaseMS   int64  `json:"lease_ms"`
	LastError string `json:"last_error,omitempty"`
}

// Check is one of the things that a node needs to be ready.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Reason says what is wrong, in words that anyone may read.
	Reason string `json:"reason,omitempty"`
}
