package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/perihelion-proxy/perihelion/host/changes/wal"
	"github.com/perihelion-proxy/perihelion/host/config"
)

// cli is the command line. A field with a `key` sets that key of the configuration; its help, its variable and its
// default come from the configuration's own table.
type cli struct {
	Home    homeCommand    `cmd:"" help:"Run a home, the node next to Postgres."`
	Edge    edgeCommand    `cmd:"" help:"Run an edge, the node next to the application."`
	Serve   serveCommand   `cmd:"" help:"Run what a configuration file says: a home or an edge."`
	Explain explainCommand `cmd:"" help:"Say why a statement is cached or not, and what would help."`
	Demo    demoCommand    `cmd:"" help:"Show a home, two distant edges and a policy at work, on this machine."`
	Policy  policyCommand  `cmd:"" help:"Look at a policy, and try it, without a node."`
	Config  configCommand  `cmd:"" help:"Look at a configuration."`
	Setup   setupCommand   `cmd:"" name:"setup-sql" help:"Print SQL that has Postgres tell of schema changes at once."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type fileFlag struct {
	Config string `placeholder:"FILE" help:"Configuration file in YAML; variables and flags go over it."`
}

type commonFlags struct {
	Listen             string `key:"listen" placeholder:"HOST:PORT"`
	HTTP               string `key:"http" name:"http" placeholder:"HOST:PORT"`
	TLSCert            string `key:"tls.cert" name:"tls-cert" placeholder:"FILE"`
	TLSKey             string `key:"tls.key" name:"tls-key" placeholder:"FILE"`
	HTTPTLSCert        string `key:"http_tls.cert" name:"http-tls-cert" placeholder:"FILE"`
	HTTPTLSKey         string `key:"http_tls.key" name:"http-tls-key" placeholder:"FILE"`
	AuthToken          string `key:"edge.auth_token" placeholder:"TOKEN"`
	AdminToken         string `key:"admin_token" placeholder:"TOKEN"`
	Region             string `key:"region" placeholder:"NAME"`
	MaxStaleness       string `key:"max_staleness" placeholder:"DURATION"`
	MaxEntries         string `key:"edge.max_entries" placeholder:"N"`
	CacheMaxBytes      string `key:"cache.max_bytes" placeholder:"SIZE"`
	CacheMaxEntryBytes string `key:"cache.max_entry_bytes" placeholder:"SIZE"`
	LazyBegin          string `key:"lazy_begin" placeholder:"SWITCH"`
	SessionsMax        string `key:"sessions.max" placeholder:"N"`
	SessionsKeepAlive  string `key:"sessions.keep_alive" placeholder:"DURATION"`
	DrainTimeout       string `key:"drain_timeout" placeholder:"DURATION"`
	LogLevel           string `key:"log.level" placeholder:"LEVEL"`
	LogFormat          string `key:"log.format" placeholder:"FORMAT"`
}

type homeFlags struct {
	Upstream            string   `key:"upstream" placeholder:"URL"`
	Auth                string   `key:"auth" placeholder:"WHO"`
	AuthQuery           string   `key:"auth_query" placeholder:"SQL"`
	DefaultTTL          string   `key:"edge.default_ttl" name:"default-ttl" placeholder:"DURATION"`
	MaxEdges            string   `key:"edge.max_edges" placeholder:"N"`
	CatalogCheck        string   `key:"catalog_check" placeholder:"DURATION"`
	Policies            string   `key:"policies.folder" placeholder:"DIR"`
	PoliciesMaxFailures string   `key:"policies.max_failures" placeholder:"N"`
	PoliciesCacheDir    string   `key:"policies.cache_dir" placeholder:"DIR"`
	Source              string   `key:"source" placeholder:"WHERE"`
	Consistency         string   `key:"consistency.default" placeholder:"LEVEL"`
	ConsistencyStrong   []string `key:"consistency.strong" placeholder:"DATABASE"`
	ConsistencyBounded  []string `key:"consistency.bounded" placeholder:"DATABASE"`
	ConsistencyOff      []string `key:"consistency.off" placeholder:"DATABASE"`
	StatisticsPoll      string   `key:"statistics_poll" placeholder:"DURATION"`
	WALMaxSlots         string   `key:"wal.max_slots" name:"wal-max-slots" placeholder:"N"`
}

type edgeFlags struct {
	HomeURL       []string `key:"edge.home_url" name:"home-url" placeholder:"URL"`
	HomeCA        string   `key:"edge.home_ca" name:"home-ca" placeholder:"FILE"`
	EdgeID        string   `key:"edge.id" name:"edge-id" placeholder:"NAME"`
	RenewInterval string   `key:"renew_interval" placeholder:"DURATION"`
}

type roleFlag struct {
	Role string `key:"edge.role" placeholder:"ROLE"`
}

type homeCommand struct {
	fileFlag    `embed:""`
	homeFlags   `embed:""`
	commonFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (homeCommand) Help() string {
	return `A home forwards to Postgres, says what may be cached, sees what is written, and tells its edges. It has a
cache of its own, so it is useful without an edge as well.

Examples:

    perihelion home --upstream postgres://127.0.0.1:5432
    export PERIHELION_EDGE_AUTH_TOKEN=TOKEN
    perihelion home --upstream postgres://perihelion@db:5432 --listen :6432 --http :6433 --policies ./policies
    perihelion home --config perihelion.yaml --log-level debug

Other users of the machine can see flags. Tokens and passwords are safer in variables, or in the file.`
}

type edgeCommand struct {
	fileFlag    `embed:""`
	edgeFlags   `embed:""`
	commonFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (edgeCommand) Help() string {
	return `An edge answers repeat reads from memory and forwards everything else to its home.

Examples:

    perihelion edge --home-url http://127.0.0.1:6433 --auth-token TOKEN
    export PERIHELION_EDGE_AUTH_TOKEN=TOKEN
    perihelion edge --home-url https://db.example:6433 --listen 127.0.0.1:7432 --http 127.0.0.1:7433 --region paris
    perihelion edge --config perihelion.yaml

Other users of the machine can see flags. Tokens are safer in variables, or in the file.`
}

type serveCommand struct {
	fileFlag    `embed:""`
	roleFlag    `embed:""`
	homeFlags   `embed:""`
	edgeFlags   `embed:""`
	commonFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (serveCommand) Help() string {
	return `What is run is the role in the section edge of the file, a home where it has none.

Examples:

    perihelion serve --config perihelion.yaml
    PERIHELION_REGION=paris perihelion serve --config perihelion.yaml --http 127.0.0.1:7433`
}

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Say whether a configuration is right, and all that is wrong with it."`
	Show  configShowCommand  `cmd:"" help:"Print the effective configuration and where each value comes from."`
}

type configCheckCommand struct {
	File        string `arg:"" help:"Configuration file in YAML; variables and flags go over it."`
	roleFlag    `embed:""`
	homeFlags   `embed:""`
	edgeFlags   `embed:""`
	commonFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (configCheckCommand) Help() string {
	return `Nothing is started or opened. The exit code is 0 where a node could start with it, 2 otherwise.

Examples:

    perihelion config check perihelion.yaml
    perihelion config check perihelion.yaml --role edge`
}

type configShowCommand struct {
	fileFlag    `embed:""`
	roleFlag    `embed:""`
	homeFlags   `embed:""`
	edgeFlags   `embed:""`
	commonFlags `embed:""`
}

// Help implements [kong.HelpProvider].
func (configShowCommand) Help() string {
	return `Tokens and passwords are redacted.

Examples:

    perihelion config show --config perihelion.yaml
    PERIHELION_LOG_LEVEL=debug perihelion config show --config perihelion.yaml --max-staleness 2s`
}

type setupCommand struct {
	Role string `placeholder:"NAME" help:"Role of the home, the one that upstream names; it is then allowed to replicate as well."`
}

// Help implements [kong.HelpProvider].
func (setupCommand) Help() string {
	return `Nothing is connected to. What is printed is for a superuser, in each database that is cached, and may be run again.
Without it the home finds changes of the schema that bypass it out a little later.

Examples:

    perihelion setup-sql | psql -d app
    perihelion setup-sql --role perihelion | psql -d app`
}

type versionCommand struct{}

// newParser returns the parser of the command line.
func newParser(c *cli, w world) (*kong.Kong, error) {
	keys := map[string]config.Key{}
	for _, k := range config.Keys() {
		keys[k.Name] = k
	}
	return kong.New(c,
		kong.Name("perihelion"),
		kong.Description("Perihelion is a programmable PostgreSQL caching proxy: an edge answers repeat reads from memory, "+
			"its home next to Postgres keeps it fresh, and policies decide what is kept."),
		kong.Writers(w.stdout, w.stderr),
		kong.Exit(w.exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ValueFormatter(func(v *kong.Value) string { return helpText(v, keys) }),
	)
}

// helpText is the help of a flag or argument.
func helpText(v *kong.Value, keys map[string]config.Key) string {
	key, ok := keys[v.Tag.Get("key")]
	if !ok {
		return v.Help
	}
	text := key.Help + " ($" + key.Env
	if key.Default != "" {
		text += ", default " + key.Default
	}
	return text + ")."
}

// sources returns what a parsed command line says of the configuration.
func sources(ctx *kong.Context, file string, w world) config.Sources {
	s := config.Sources{File: file, Environ: w.environ}
	for _, p := range ctx.Path {
		if p.Flag == nil || p.Flag.Tag.Get("key") == "" {
			continue
		}
		f := config.Flag{Key: p.Flag.Tag.Get("key"), Name: "--" + p.Flag.Name}
		switch value := ctx.FlagValue(p.Flag).(type) {
		case string:
			f.Values = []string{value}
		case []string:
			f.Values = value
		default:
			panic(fmt.Sprintf("flag --%s holds a %s", p.Flag.Name, reflect.TypeOf(value)))
		}
		s.Flags = append(s.Flags, f)
	}
	return s
}

// role adds that the command itself says what the node is.
func role(s config.Sources, r config.Role) config.Sources {
	s.Flags = append(s.Flags, config.Flag{Key: "edge.role", Name: "perihelion " + string(r), Values: []string{string(r)}})
	return s
}

// dispatch parses the command line and runs its command.
func dispatch(args []string, w world) error {
	var c cli
	parser, err := newParser(&c, w)
	if err != nil {
		return fmt.Errorf("build command line: %w", err)
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return err
	}
	switch command := ctx.Command(); command {
	case "home":
		return serve(role(sources(ctx, c.Home.Config, w), config.Home), w)
	case "edge":
		return serve(role(sources(ctx, c.Edge.Config, w), config.Edge), w)
	case "serve":
		return serve(sources(ctx, c.Serve.Config, w), w)
	case "explain <sql>":
		return explain(c.Explain, w)
	case "demo":
		return runDemo(c.Demo, w)
	case "policy inspect <file>":
		return inspectPolicy(c.Policy.Inspect, w)
	case "policy test <path>":
		return testPolicy(c.Policy.Test, w)
	case "config check <file>":
		return checkConfig(sources(ctx, c.Config.Check.File, w), w)
	case "config show":
		return showConfig(sources(ctx, c.Config.Show.Config, w), w)
	case "setup-sql":
		_, err := io.WriteString(w.stdout, wal.SetupSQL(c.Setup.Role))
		return err
	case "version":
		return printVersion(w)
	default:
		panic("no command " + strings.TrimSpace(command))
	}
}
