package config

import (
	"log/slog"
	"slices"
	"time"
)

// Role is what a node is. It is lower case wherever it is written.
type Role string

// The roles.
const (
	// Home is authoritative and stands next to Postgres. It is the default.
	Home Role = "home"
	// Edge stands next to the application and forwards to a home.
	Edge Role = "edge"
)

// Auth says who checks the passwords of clients.
type Auth string

// The values of [Auth].
const (
	// AuthPass lets clients log in to PostgreSQL themselves, through the node.
	AuthPass Auth = "pass"
	// AuthSCRAM lets the home check their proofs, and log in to PostgreSQL with what they give away.
	AuthSCRAM Auth = "scram"
)

// Source says where a home learns of writes.
type Source string

// The values of [Source].
const (
	// SourceAuto follows the WAL of each database where PostgreSQL allows it, and the wire elsewhere.
	SourceAuto Source = "auto"
	// SourceWAL follows the WAL: what is not followed is not cached.
	SourceWAL Source = "wal"
	// SourceWire sees what passes the home alone.
	SourceWire Source = "wire"
)

// Switch is on or off.
type Switch string

// The positions of a switch.
const (
	On  Switch = "on"
	Off Switch = "off"
)

// Config is the whole configuration of a node. It is immutable once [Load] has returned it, so it may be read by any
// number of goroutines; its slices must not be written to.
type Config struct {
	// Edge is the section `edge`. It holds the role, so a home has it too.
	Edge EdgeSection
	// Listen is the address for Postgres clients, host:port. Port 0 asks the system for a free one.
	Listen string
	// HTTP is the address for edges and people, host:port. Empty: none.
	HTTP string
	// Upstream is the Postgres that a home forwards to. Empty on an edge.
	Upstream Upstream
	// Auth says who checks the passwords of clients.
	Auth Auth
	// AuthQuery is the SQL that finds the verifier of a role's password, for [AuthSCRAM]. Empty: pg_authid is read.
	AuthQuery string
	// TLS is what Postgres clients are shown, HTTPTLS what edges and people are. Empty: they speak in the clear.
	TLS, HTTPTLS PairSection
	// AdminToken opens the API for people. Where it is not set it is the same as Edge.AuthToken.
	AdminToken Secret
	// Region is where the node stands, for people to read. May be empty.
	Region string
	// MaxStaleness bounds how old an answer from memory may be, also under partition.
	MaxStaleness time.Duration
	// RenewInterval is how often an edge renews its lease. It is less than half of MaxStaleness.
	RenewInterval time.Duration
	// Source says where a home learns of writes.
	Source Source
	// WAL is the section `wal`.
	WAL WALSection
	// CatalogCheck is how often a home looks for schema changes that bypass it, at least.
	CatalogCheck time.Duration
	// Consistency is the section `consistency`.
	Consistency ConsistencySection
	// StatisticsPoll is how often a home looks for writes that bypass it, where it does not follow the WAL. 0: never.
	StatisticsPoll time.Duration
	// Cache is the section `cache`.
	Cache CacheSection
	// Policies is the section `policies`.
	Policies PoliciesSection
	// LazyBegin says whether a plain BEGIN is answered from memory and sent with the first statement that has to be.
	LazyBegin Switch
	// Sessions is the section `sessions`.
	Sessions SessionsSection
	// DrainTimeout bounds how long the end of a node waits for running statements.
	DrainTimeout time.Duration
	// Log is the section `log`.
	Log LogSection
	// Warnings are what is allowed but hardly meant, one sentence each. They hold no secret.
	Warnings []string

	// sources says for each key where its value came from. It holds no values.
	sources map[string]string
}

// EdgeSection is the section `edge`: what makes a node a home or an edge, and what both agree on.
type EdgeSection struct {
	// Role says whether the node is a home or an edge.
	Role Role
	// ID names an edge to its home. Empty: the node makes one up when it starts.
	ID string
	// HomeURL are the homes of an edge, in order of preference, without a slash at the end.
	HomeURL []string
	// AuthToken lets an edge register, renew and tunnel.
	AuthToken Secret
	// DefaultTTL is how long an entry is kept where no policy says so.
	DefaultTTL time.Duration
	// MaxEntries bounds the number of entries in the node's cache.
	MaxEntries int
	// MaxEdges bounds the number of edges that a home lets register.
	MaxEdges int
	// HomeCA is the file of the authorities that an edge trusts for https homes. Empty: those of the system.
	HomeCA string
}

// ConsistencySection says how coherent the answers of each database are where a session asks for nothing else.
type ConsistencySection struct {
	// Default is the level of databases that the lists leave out.
	Default Level
	// Strong, Bounded and Off name databases.
	Strong, Bounded, Off []string
}

// Level is a level of coherence that a database can have.
type Level string

// The values of [Level].
const (
	Bounded  Level = "bounded"
	Strong   Level = "strong"
	LevelOff Level = "off"
)

// AnyStrong reports whether there may be a database that is strong.
func (c *ConsistencySection) AnyStrong() bool { return c.Default == Strong || len(c.Strong) > 0 }

// Of returns the level of a database. The strictest list that names it counts.
func (c *ConsistencySection) Of(database string) Level {
	switch {
	case slices.Contains(c.Off, database):
		return LevelOff
	case slices.Contains(c.Strong, database):
		return Strong
	case slices.Contains(c.Bounded, database):
		return Bounded
	}
	return c.Default
}

// PairSection names a certificate and its key, in files of PEM. Both empty: there is none.
type PairSection struct{ Cert, Key string }

// WALSection bounds what following the WAL takes.
type WALSection struct {
	// MaxSlots bounds the databases that are followed at a time, each by a replication slot.
	MaxSlots int
}

// CacheSection bounds the memory of a node's cache.
type CacheSection struct {
	// MaxBytes bounds all entries together.
	MaxBytes Size
	// MaxEntryBytes bounds one entry. A larger result streams through and is not kept.
	MaxEntryBytes Size
}

// PoliciesSection says where policies are and how much of their failing is borne.
type PoliciesSection struct {
	// Folder holds the .wasm modules and their .yaml configurations. Empty: no policies.
	Folder string
	// MaxFailures is how many failures in a row switch a policy off.
	MaxFailures int
	// CacheDir keeps compiled modules between starts. Empty: they are compiled at each start.
	CacheDir string
}

// SessionsSection bounds what clients may take.
type SessionsSection struct {
	// Max bounds the number of sessions at a time.
	Max int
	// KeepAlive is how long a session may live on answers from memory before its upstream hears from it. 0: for ever.
	KeepAlive time.Duration
}

// LogSection says what is logged and how.
type LogSection struct {
	// Level is the least level that is logged.
	Level slog.Level
	// Format is "auto", "text" or "json". Auto: text on a terminal, JSON otherwise.
	Format string
}

// Default returns the configuration of a node for which nothing is set. It is not a valid one: a role has keys that
// must be set.
func Default() *Config {
	return &Config{
		Edge: defaultEdge(), StatisticsPoll: 2 * time.Second,
		MaxStaleness:  5 * time.Second,
		RenewInterval: time.Second,
		Source:        SourceAuto,
		WAL:           WALSection{MaxSlots: 4},
		CatalogCheck:  time.Second,
		Consistency:   ConsistencySection{Default: Bounded},
		Cache:         CacheSection{MaxBytes: 256 * mebibyte, MaxEntryBytes: mebibyte},
		Policies:      PoliciesSection{MaxFailures: 5},
		Auth:          AuthPass,
		LazyBegin:     On,
		Sessions:      SessionsSection{Max: 1000, KeepAlive: 2 * time.Second},
		DrainTimeout:  30 * time.Second,
		Log:           LogSection{Level: slog.LevelInfo, Format: "auto"},
	}
}

func defaultEdge() EdgeSection {
	return EdgeSection{Role: Home, DefaultTTL: time.Minute, MaxEntries: 10000, MaxEdges: 32}
}

// Setting is one key of an effective configuration.
type Setting struct {
	// Key is the key with its section, such as "cache.max_bytes".
	Key string
	// Value is the value as a file would have it, with secrets redacted.
	Value string
	// Source is where it came from: "default", a file and line, a variable, a flag, or another key.
	Source string
}

// Settings returns every key in the order of the reference, with secrets redacted.
func (c *Config) Settings() []Setting {
	keys := table()
	settings := make([]Setting, 0, len(keys))
	for _, k := range keys {
		source := c.sources[k.name]
		if source == "" {
			source = sourceDefault
		}
		settings = append(settings, Setting{Key: k.name, Value: k.get(c), Source: source})
	}
	return settings
}

const sourceDefault = "default"
