package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// EnvPrefix begins the name of every variable that is read. Variables that begin with [EnvTestPrefix] belong to the
// project's tests and are left alone.
const (
	EnvPrefix     = "PERIHELION_"
	EnvTestPrefix = "PERIHELION_TEST_"
)

// Key describes one key of the configuration, for help and reference.
type Key struct {
	// Name is the key with its section, such as "cache.max_bytes".
	Name string
	// Env is the variable that sets it.
	Env string
	// Flag is the flag that sets it, without its dashes.
	Flag string
	// Help says what it is for, in one sentence without its full stop.
	Help string
	// Allowed says which values are allowed.
	Allowed string
	// Default is the default as a file would have it; empty where there is none.
	Default string
	// List says that the key takes several values: a list in a file, separated by commas elsewhere.
	List bool
}

// Keys returns all keys in the order of the reference.
func Keys() []Key {
	defaults := Default()
	entries := table()
	keys := make([]Key, 0, len(entries))
	for _, k := range entries {
		defaultText := k.get(defaults)
		if k.name == keyListen {
			defaultText = defaultListenHome + " for a home, " + defaultListenEdge + " for an edge"
		}
		keys = append(keys, Key{
			Name: k.name, Env: k.env(), Flag: k.flag, Help: k.help, Allowed: k.allowed, Default: defaultText, List: k.list,
		})
	}
	return keys
}

// Keys that validation names.
const (
	keyRole          = "edge.role"
	keyEdgeID        = "edge.id"
	keyHomeURL       = "edge.home_url"
	keyAuthToken     = "edge.auth_token" //nolint:gosec // G101: the name of a key
	keyMaxEdges      = "edge.max_edges"
	keyListen        = "listen"
	keyHTTP          = "http"
	keyUpstream      = "upstream"
	keyAdminToken    = "admin_token"
	keyMaxStaleness  = "max_staleness"
	keyRenewInterval = "renew_interval"
	keyMaxSlots      = "wal.max_slots"
	keyMaxBytes      = "cache.max_bytes"
	keyMaxEntryBytes = "cache.max_entry_bytes"
	keyFolder        = "policies.folder"
	keyMaxFailures   = "policies.max_failures"
	keyCacheDir      = "policies.cache_dir"
	keyTLSCert       = "tls.cert"
	keyTLSKey        = "tls.key"
	keyHTTPTLSCert   = "http_tls.cert"
	keyHTTPTLSKey    = "http_tls.key"
	keyHomeCA        = "edge.home_ca"
)

// entry is one row of the table of keys.
type entry struct {
	name, flag, help, allowed string
	list                      bool
	// conceal prints a refused value of a key that may hold a secret; empty: not at all. Nil: the value is shown.
	conceal func(string) string
	// onlyFor is the role that reads the key; empty: both.
	onlyFor Role
	// set parses values (one, unless list) into the configuration. Its error reads on after the value.
	set func(*Config, []string) error
	// get prints the value as a file would have it, without secrets.
	get func(*Config) string
}

// show returns refused values for a message, or nothing where they may not be shown.
func (k entry) show(values []string) string {
	if k.conceal == nil {
		return quote(values)
	}
	shown := make([]string, len(values))
	for i, value := range values {
		if shown[i] = k.conceal(value); shown[i] == "" {
			return ""
		}
	}
	return quote(shown)
}

func (k entry) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// forRole returns the row with the only role that reads the key.
func (k entry) forRole(r Role) entry {
	k.onlyFor = r
	return k
}

// table returns the rows in the order of the reference: first what everyone sets, then sections.
func table() []entry {
	return append(edgeTable(),
		textKey(keyListen, "listen", "Address for Postgres clients",
			"host:port; port 0 takes a free one", checkAddress, func(c *Config) *string { return &c.Listen }),
		textKey(keyHTTP, "http", "Address for edges and people",
			"host:port; port 0 takes a free one; empty for none", optional(checkAddress), func(c *Config) *string { return &c.HTTP }),
		upstreamKey(),
		choiceKey("auth", "auth", "Who checks the passwords of clients: Postgres, or by SCRAM-SHA-256 the home, which both legs of TLS need",
			[]Auth{AuthPass, AuthSCRAM}, func(c *Config) *Auth { return &c.Auth }).forRole(Home),
		textKey("auth_query", "auth-query", "Query that finds the verifier of the role $1, for auth: scram; the home's own role runs it",
			"SQL with the one parameter $1; empty to read pg_authid, which takes a superuser", optional(checkAuthQuery), func(c *Config) *string { return &c.AuthQuery }).forRole(Home),
		fileKey(keyTLSCert, "tls-cert", "Certificate for Postgres clients, in PEM, with those between it and its authority",
			func(c *Config) *string { return &c.TLS.Cert }),
		fileKey(keyTLSKey, "tls-key", "Key of the certificate for Postgres clients, in PEM",
			func(c *Config) *string { return &c.TLS.Key }),
		fileKey(keyHTTPTLSCert, "http-tls-cert", "Certificate for edges and people: the http address then speaks HTTPS",
			func(c *Config) *string { return &c.HTTPTLS.Cert }),
		fileKey(keyHTTPTLSKey, "http-tls-key", "Key of the certificate for edges and people, in PEM",
			func(c *Config) *string { return &c.HTTPTLS.Key }),
		secretKey(keyAdminToken, "admin-token", "Token that opens the API for people; where it is not set, the same as the auth token",
			func(c *Config) *Secret { return &c.AdminToken }),
		textKey("region", "region", "Where the node stands, for people to read",
			"up to 64 letters, digits, dots, dashes and underscores", optional(checkName), func(c *Config) *string { return &c.Region }),
		durationKey(keyMaxStaleness, "max-staleness", "How old an answer from memory may be, also when the network is cut",
			100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.MaxStaleness }),
		durationKey(keyRenewInterval, "renew-interval", "How often an edge renews its lease; less than half of the staleness",
			10*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.RenewInterval }).forRole(Edge),
		choiceKey("source", "source", "Where a home learns of writes: in Postgres' WAL, on the wire, or in the WAL where Postgres allows it",
			[]Source{SourceAuto, SourceWAL, SourceWire}, func(c *Config) *Source { return &c.Source }).forRole(Home),
		intKey(keyMaxSlots, "wal-max-slots", "Number of databases that are followed in the WAL at a time, each by a replication slot",
			1000, func(c *Config) *int { return &c.WAL.MaxSlots }).forRole(Home),
		durationKey("catalog_check", "catalog-check", "How often a home looks for schema changes that bypass it; less often where that is dear, but three times per staleness",
			10*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.CatalogCheck }).forRole(Home),
		choiceKey("consistency.default", "consistency", "How coherent the answers of a database are that the lists do not name",
			[]Level{Bounded, Strong, LevelOff}, func(c *Config) *Level { return &c.Consistency.Default }).forRole(Home),
		namesKey("consistency.strong", "consistency-strong", "Databases whose answers are linearisable: a write waits until every edge has heard of it",
			func(c *Config) *[]string { return &c.Consistency.Strong }).forRole(Home),
		namesKey("consistency.bounded", "consistency-bounded", "Databases whose answers are never older than the staleness",
			func(c *Config) *[]string { return &c.Consistency.Bounded }).forRole(Home),
		namesKey("consistency.off", "consistency-off", "Databases that nothing is answered of from memory",
			func(c *Config) *[]string { return &c.Consistency.Off }).forRole(Home),
		durationKey("statistics_poll", "statistics-poll", "How often a home that does not follow the WAL looks for writes that bypass it; 0 for never",
			0, time.Hour, func(c *Config) *time.Duration { return &c.StatisticsPoll }).forRole(Home),
		sizeKey(keyMaxBytes, "cache-max-bytes", "Memory for all cached results together",
			mebibyte, tebibyte, func(c *Config) *Size { return &c.Cache.MaxBytes }),
		sizeKey(keyMaxEntryBytes, "cache-max-entry-bytes", "Largest result that is kept",
			kibibyte, gibibyte, func(c *Config) *Size { return &c.Cache.MaxEntryBytes }),
		textKey(keyFolder, "policies", "Folder of policies: .wasm modules with their .yaml configurations",
			"the path of a folder; empty for no policies", optional(checkPath), func(c *Config) *string { return &c.Policies.Folder }).forRole(Home),
		intKey(keyMaxFailures, "policies-max-failures", "Failures in a row that switch a policy off",
			1_000_000, func(c *Config) *int { return &c.Policies.MaxFailures }).forRole(Home),
		textKey(keyCacheDir, "policies-cache-dir", "Folder that keeps compiled policies between starts",
			"the path of a folder; empty to compile at each start", optional(checkPath), func(c *Config) *string { return &c.Policies.CacheDir }).forRole(Home),
		choiceKey("lazy_begin", "lazy-begin", "Whether a plain BEGIN waits for the first statement that has to go upstream",
			[]Switch{On, Off}, func(c *Config) *Switch { return &c.LazyBegin }),
		intKey("sessions.max", "sessions-max", "Number of client sessions at a time",
			1_000_000, func(c *Config) *int { return &c.Sessions.Max }),
		durationKey("sessions.keep_alive", "sessions-keep-alive", "How long a session may live on answers from memory before its upstream hears from it; 0 for ever",
			0, time.Hour, func(c *Config) *time.Duration { return &c.Sessions.KeepAlive }),
		durationKey("drain_timeout", "drain-timeout", "How long the end of the node waits for running statements",
			0, time.Hour, func(c *Config) *time.Duration { return &c.DrainTimeout }),
		levelKey(),
		choiceKey("log.format", "log-format", "How logs are written; auto is text on a terminal and JSON otherwise",
			[]string{"auto", "text", "json"}, func(c *Config) *string { return &c.Log.Format }),
	)
}

// edgeTable returns the rows of the section `edge`.
func edgeTable() []entry {
	return []entry{
		choiceKey(keyRole, "role", "What the node is",
			[]Role{Home, Edge}, func(c *Config) *Role { return &c.Edge.Role }),
		homeURLKey().forRole(Edge),
		fileKey(keyHomeCA, "home-ca", "Authorities that an edge trusts for its homes, in PEM; where it is not set, the system's",
			func(c *Config) *string { return &c.Edge.HomeCA }).forRole(Edge),
		secretKey(keyAuthToken, "auth-token", "Token that lets an edge register, renew and tunnel",
			func(c *Config) *Secret { return &c.Edge.AuthToken }),
		durationKey("edge.default_ttl", "default-ttl", "How long a result is kept where no policy says so",
			time.Millisecond, 365*24*time.Hour, func(c *Config) *time.Duration { return &c.Edge.DefaultTTL }).forRole(Home),
		intKey("edge.max_entries", "max-entries", "Number of results in the cache",
			100_000_000, func(c *Config) *int { return &c.Edge.MaxEntries }),
		intKey(keyMaxEdges, "max-edges", "Number of edges that a home lets register",
			10_000, func(c *Config) *int { return &c.Edge.MaxEdges }).forRole(Home),
		textKey(keyEdgeID, "edge-id", "Name of an edge; where it is not set, the edge makes one up when it starts",
			"up to 64 letters, digits, dots, dashes and underscores", optional(checkName), func(c *Config) *string { return &c.Edge.ID }).forRole(Edge),
	}
}

func textKey(name, flag, help, allowed string, check func(string) error, field func(*Config) *string) entry {
	return entry{
		name: name, flag: flag, help: help, allowed: allowed,
		set: func(c *Config, v []string) error {
			if err := check(v[0]); err != nil {
				return err
			}
			*field(c) = v[0]
			return nil
		},
		get: func(c *Config) string { return *field(c) },
	}
}

func fileKey(name, flag, help string, field func(*Config) *string) entry {
	return textKey(name, flag, help, "the path of a file; empty for none", optional(checkPath), field)
}

func choiceKey[T ~string](name, flag, help string, choices []T, field func(*Config) *T) entry {
	allowed := make([]string, len(choices))
	for i, choice := range choices {
		allowed[i] = string(choice)
	}
	return entry{
		name: name, flag: flag, help: help, allowed: strings.Join(allowed, ", ") + " in lower case",
		set: func(c *Config, v []string) error {
			for _, choice := range choices {
				if v[0] == string(choice) {
					*field(c) = choice
					return nil
				}
			}
			return errors.New("is not one of the choices")
		},
		get: func(c *Config) string { return string(*field(c)) },
	}
}

// maxNames bounds a list of names, maxNameBytes each of them.
const maxNames, maxNameBytes = 1024, 63

func namesKey(name, flag, help string, field func(*Config) *[]string) entry {
	return entry{
		name: name, flag: flag, help: help, list: true,
		allowed: fmt.Sprintf("names of databases, up to %d of up to %d bytes each", maxNames, maxNameBytes),
		set: func(c *Config, v []string) error {
			if len(v) > maxNames {
				return errors.New("are too many")
			}
			for _, one := range v {
				if one == "" || len(one) > maxNameBytes || strings.IndexByte(one, 0) >= 0 {
					return errors.New("is no name of a database")
				}
			}
			*field(c) = v
			return nil
		},
		get: func(c *Config) string { return strings.Join(*field(c), ", ") },
	}
}

func durationKey(name, flag, help string, least, most time.Duration, field func(*Config) *time.Duration) entry {
	return entry{
		name: name, flag: flag, help: help,
		allowed: fmt.Sprintf("a duration such as 5s or 500ms, from %s to %s", formatDuration(least), formatDuration(most)),
		set: func(c *Config, v []string) error {
			d, err := parseDuration(v[0])
			if err != nil {
				return err
			}
			return inRange(field(c), d, least, most)
		},
		get: func(c *Config) string { return formatDuration(*field(c)) },
	}
}

// intKey makes the row of a number of at least 1.
func intKey(name, flag, help string, most int, field func(*Config) *int) entry {
	return entry{
		name: name, flag: flag, help: help,
		allowed: fmt.Sprintf("a whole number from 1 to %d", most),
		set: func(c *Config, v []string) error {
			n, err := strconv.Atoi(v[0])
			if errors.Is(err, strconv.ErrRange) {
				return errRange
			}
			if err != nil {
				return errors.New("is not a whole number")
			}
			return inRange(field(c), n, 1, most)
		},
		get: func(c *Config) string { return strconv.Itoa(*field(c)) },
	}
}

func sizeKey(name, flag, help string, least, most Size, field func(*Config) *Size) entry {
	return entry{
		name: name, flag: flag, help: help,
		allowed: fmt.Sprintf("a size such as 16MiB, from %s to %s", least, most),
		set: func(c *Config, v []string) error {
			s, err := parseSize(v[0])
			if err != nil {
				return err
			}
			return inRange(field(c), s, least, most)
		},
		get: func(c *Config) string { return field(c).String() },
	}
}

func secretKey(name, flag, help string, field func(*Config) *Secret) entry {
	return entry{
		name: name, flag: flag, help: help,
		conceal: func(string) string { return "" },
		allowed: "up to 4096 printable ASCII characters without spaces",
		set: func(c *Config, v []string) error {
			if err := checkToken(v[0]); err != nil {
				return err
			}
			*field(c) = Secret(v[0])
			return nil
		},
		get: func(c *Config) string { return field(c).String() },
	}
}

func levelKey() entry {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	return entry{
		name: "log.level", flag: "log-level", help: "Least level that is logged",
		allowed: "debug, info, warn, error in lower case",
		set: func(c *Config, v []string) error {
			for _, level := range levels {
				if v[0] == strings.ToLower(level.String()) {
					c.Log.Level = level
					return nil
				}
			}
			return errors.New("is not one of the choices")
		},
		get: func(c *Config) string { return strings.ToLower(c.Log.Level.String()) },
	}
}

func upstreamKey() entry {
	return entry{
		name: keyUpstream, flag: "upstream", onlyFor: Home,
		help:    "Postgres that a home forwards to; its user and password are the home's own",
		conceal: concealURL,
		allowed: "postgres://user@host:port/database; the password may also come from PGPASSWORD or PGPASSFILE",
		set: func(c *Config, v []string) error {
			if err := checkUpstream(v[0]); err != nil {
				return err
			}
			c.Upstream = Upstream(v[0])
			return nil
		},
		get: func(c *Config) string { return c.Upstream.String() },
	}
}

// concealURL prints a URL without passwords. What is no URL it prints only where it has no place for a password.
func concealURL(text string) string {
	if !strings.ContainsAny(text, "@?= ") {
		return text
	}
	if shown := Upstream(text).String(); shown != redacted {
		return shown
	}
	return ""
}

func homeURLKey() entry {
	return entry{
		name: keyHomeURL, flag: "home-url", list: true,
		help:    "Home of an edge, or several in order of preference",
		conceal: concealURL,
		allowed: "http://host:port or https://host:port, one or a list; the token goes into edge.auth_token",
		set: func(c *Config, v []string) error {
			urls, err := parseHomeURLs(v)
			if err != nil {
				return err
			}
			c.Edge.HomeURL = urls
			return nil
		},
		get: func(c *Config) string { return strings.Join(c.Edge.HomeURL, ", ") },
	}
}

var errRange = errors.New("is out of range")

func inRange[T int | time.Duration | Size](field *T, value, least, most T) error {
	if value < least || value > most {
		return errRange
	}
	*field = value
	return nil
}
