package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/scram"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// Identity says who a session belongs to.
type Identity struct {
	Tenant, Database, User string
	// Application is the application_name that the client started with.
	Application string
}

// Decision is what a policy made of a statement.
type Decision struct {
	Cache bool
	TTL   time.Duration
	// Stale is how long after its time to live a result may be answered while it is asked for anew.
	Stale time.Duration
	// Eventual is set where the time to live alone says how long a result may be answered.
	Eventual bool
	// MaxBytes is the size of the largest result that is kept, in bytes; 0: the node's own bound.
	MaxBytes int64
	// Local is set where no edge may keep a result.
	Local bool
	// Tags are what a result is voided by beside its relations, as [invalidation.TagName] spells them.
	Tags []string
	// OnResult is asked about each result before it is kept: whether it is, for how long, and why not. Nil: all are, for
	// TTL. It runs policies.
	OnResult func(ctx context.Context, r Result) (keep bool, ttl time.Duration, why string)
	// Reason says why, in words a person can read.
	Reason string
}

// Result is what there is to know of a result beside its rows.
type Result struct {
	Rows, Bytes int64
	// Latency is what the upstream took.
	Latency time.Duration
}

// Analysis is what a home knows of statements. Its methods are called on the miss path, by many sessions at once.
type Analysis interface {
	// Describe returns the descriptor of a text; never nil. path is the session's search_path as [statement.SearchPath]
	// spells it, "" where it is not certain.
	Describe(ctx context.Context, database, path, sql string) *statement.Descriptor
	// Generation returns the generation that Describe would use now; it changes with the catalog.
	Generation(database string) uint64
	// Decide returns whether and for how long a result of the statement is kept.
	Decide(ctx context.Context, who Identity, d *statement.Descriptor) Decision
	// InitialState returns what Postgres gives a new session of this role and database.
	InitialState(ctx context.Context, database, user string) (InitialSettings, error)
}

// Journal is the home's log as a session needs it.
type Journal interface {
	Epoch() string
	// Stamp returns the version for a read that is about to be sent (R1).
	Stamp() invalidation.Version
	// Publish makes known that relations of a database may have changed. Floors are raised when it returns. Where
	// schema is set, descriptors made before are void too.
	Publish(database string, changed statement.Closure, schema bool) invalidation.Version
}

// Holds keep relations out of every node's memory while a write to them may be becoming visible (R11).
type Holds interface {
	// Hold returns once no node answers from memory what may be changing in a database, with what to release it by. The
	// error is ctx's cause: then there is no hold.
	Hold(ctx context.Context, database string, changing statement.Closure) (id uint64, err error)
	// Release ends holds. What they were for has been published where it has changed anything.
	Release(ids ...uint64)
}

// Shared is what all sessions of a node have in common. It is not changed after the first session.
type Shared struct {
	Cache  *cache.Cache
	Floors *invalidation.Floors
	// Lease says until when anything may be answered from memory.
	Lease *invalidation.Lease
	// Analysis and Journal are set at a home, and nil at an edge, which learns from facts.
	Analysis Analysis
	Journal  Journal
	// Undecided is where a home's sessions note the writes whose outcome they have not read; nil: nobody asks.
	Undecided *Undecided
	// Level is the level of a database whose sessions ask for none, at a home; nil: Bounded. Holds are what Strong ones
	// need.
	Level func(database string) statement.Level
	Holds Holds
	// ClientTLS secures the legs of clients that ask for it; nil: they are told that they cannot have it.
	ClientTLS *tls.Config
	// Cancels are where cancel requests find the node's sessions.
	Cancels *Cancels
	// Enter is told at a home when a session has logged in to a database, and leave when it has ended. Nil: nobody is.
	Enter func(database string) (leave func())
	// Dial opens the upstream connection of a session.
	Dial func(ctx context.Context, client Peer) (net.Conn, error)
	// Verifier returns what proves the password of a role, also for a role that there is not: then it cannot be satisfied,
	// and why says so for the log. Nil: clients log in to PostgreSQL themselves.
	Verifier func(ctx context.Context, user string) (v scram.Verifier, why, err error)
	// Tenant says who a session belongs to.
	Tenant func(database, user, application string) string
	// MaxStaleness is the bound of the contract; a write whose outcome is not known after half of it is published
	// ahead (R2).
	MaxStaleness time.Duration
	// LazyBegin says whether a plain BEGIN is answered from memory, and sent when the first statement of its block is.
	LazyBegin bool
	// KeepAlive is how long a session may live on answers from memory before its upstream gets a bare Sync; 0: for ever.
	KeepAlive time.Duration
	// StartTimeout bounds the time from the first byte to the end of authentication.
	StartTimeout time.Duration
	Counters     *Counters
	// ObserveMiss is told how long the upstream took for a cycle that could have been a hit; nil: nobody is.
	ObserveMiss func(time.Duration)
	Logger      *slog.Logger
}
