package analyze

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// Defaults of [Options].
const (
	DefaultMaxEntries = 20_000
	DefaultMaxBytes   = 64 << 20
	DefaultWait       = 2 * time.Second
)

// Catalog gives the pictures of databases that statements are judged by. Package catalog's Catalog is one.
type Catalog interface {
	// Snapshot returns the current picture, and waits for one where none is loaded.
	Snapshot(ctx context.Context, database string) (*catalog.Snapshot, error)
	// Peek returns the current picture, or nil where none is loaded, at once.
	Peek(database string) *catalog.Snapshot
}

// Options configure an [Analyzer]. The zero value of each but Catalog stands for its default.
type Options struct {
	Catalog Catalog
	// Logger gets what an operator must know. Nil discards it.
	Logger *slog.Logger
	// MaxEntries and MaxBytes bound the descriptors that are remembered.
	MaxEntries int
	MaxBytes   int
	// Wait bounds how long a statement waits for the first picture of its database. What has to wait longer is opaque.
	Wait time.Duration
}

// Analyzer describes statements. It is safe for concurrent use, holds no goroutine and needs no closing.
type Analyzer struct {
	catalog Catalog
	logger  *slog.Logger
	wait    time.Duration
	memo    *memo
	// nothing judges statements where no picture can be had: nothing is known, so no name is found.
	nothing *catalog.Snapshot
}

// New makes an Analyzer. It does no I/O.
func New(options Options) *Analyzer {
	if options.MaxEntries <= 0 {
		options.MaxEntries = DefaultMaxEntries
	}
	if options.MaxBytes <= 0 {
		options.MaxBytes = DefaultMaxBytes
	}
	if options.Wait <= 0 {
		options.Wait = DefaultWait
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Analyzer{
		catalog: options.Catalog,
		logger:  options.Logger,
		wait:    options.Wait,
		memo:    newMemo(options.MaxEntries, options.MaxBytes),
		nothing: catalog.NewEmpty(),
	}
}

// Describe returns what is known of a text in a database, never nil: a text that is not understood is opaque and may
// change anything. Descriptors are remembered by the database, the generation of its picture and the text; a known text
// costs one look-up and allocates nothing. The strings are borrowed until return.
func (a *Analyzer) Describe(ctx context.Context, database, sql string) *statement.Descriptor {
	snapshot := a.catalog.Peek(database)
	if snapshot == nil {
		snapshot = a.await(ctx, database)
	}
	key := memoKey{database: database, generation: snapshot.Generation, text: sql}
	if d := a.memo.get(key); d != nil {
		return d
	}
	key.database, key.text = strings.Clone(database), strings.Clone(sql)
	d := a.describe(key.text, snapshot)
	a.memo.add(key, d)
	return d
}

// await waits for a picture; where none comes in time, the picture in which nothing is known stands in.
func (a *Analyzer) await(ctx context.Context, database string) *catalog.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	snapshot, err := a.catalog.Snapshot(ctx, database)
	if err != nil {
		// The catalog has said why, once. Each statement would repeat it.
		a.logger.Debug("no picture of the catalogs", slog.String("database", database), slog.Any("error", err))
		return a.nothing
	}
	return snapshot
}

// Unread returns the descriptor of a text that must not be read, for the given reason: opaque, and it may change anything
// and do anything to its session. Nobody knows how many statements it holds, so it counts as several.
func Unread(reason string) *statement.Descriptor {
	return &statement.Descriptor{Reason: reason, Writes: anything(), Untracked: true, Many: true}
}

func (a *Analyzer) describe(sql string, s *catalog.Snapshot) *statement.Descriptor {
	refuse := func(reason string) *statement.Descriptor {
		d := Unread(reason)
		d.Generation, d.Command = s.Generation, firstWord(sql)
		return d
	}
	switch {
	case len(sql) > maxTextBytes:
		return refuse("is too long to be analysed")
	case strings.IndexByte(sql, 0) >= 0:
		return refuse("holds a NUL")
	case tooDeep(sql):
		return refuse("is nested too deeply to be analysed")
	}
	tree, err := pg.Parse(sql)
	if err != nil {
		// The parser's message may quote the text.
		d := refuse("is not understood by the parser")
		d.Comments = commentPairs(sql)
		return d
	}
	d := &statement.Descriptor{Generation: s.Generation, Comments: commentPairs(sql), Many: len(tree.Stmts) > 1, Parameters: parameters(sql)}
	if len(tree.Stmts) == 0 {
		d.Verdict, d.Reason = statement.Session, "empty statement"
		return d
	}
	reads := map[*catalog.Relation]struct{}{}
	functions := map[string]struct{}{}
	utility := false
	for i, raw := range tree.Stmts {
		o := judge(raw.Stmt, s)
		if i == 0 {
			d.Command = o.command
		}
		utility = utility || o.command == ""
		merge(d, i == 0, o)
		maps.Copy(reads, o.reads)
		maps.Copy(functions, o.functions)
	}
	if d.Command == "" {
		d.Command = firstWord(sql)
	}
	if d.Many && d.Control != statement.ControlNone {
		d.Control = statement.ControlMany
	}
	if d.Many && d.Discard {
		// PostgreSQL refuses it beside others.
		d.Discard, d.Untracked = false, true
	}
	if s == a.nothing && d.Verdict != statement.Session && d.Verdict != statement.Schema {
		d.Reason += " (the catalogs of the database cannot be read)"
	}
	if d.Verdict == statement.Read || d.Verdict == statement.Unstable {
		d.Relations, d.RelationRows = readRelations(reads)
	}
	if len(functions) > 0 {
		d.Functions = slices.Sorted(maps.Keys(functions))
	}
	d.Normalized = normalize(sql, utility)
	// Only a text that does not parse has no fingerprint.
	d.Fingerprint, _ = pg.FingerprintToUInt64(sql)
	return d
}

// restriction orders verdicts for a text of several statements: the most restrictive decides. Schema comes first,
// because what it voids goes beyond what its closure says.
var restriction = map[statement.Verdict]int{
	statement.Read: 0, statement.Unstable: 1, statement.Session: 2, statement.Write: 3, statement.Opaque: 4, statement.Schema: 5,
}

// merge adds a statement's outcome to the descriptor of its text.
func merge(d *statement.Descriptor, first bool, o outcome) {
	if first || restriction[o.verdict] > restriction[d.Verdict] {
		d.Verdict, d.Reason = o.verdict, o.reason
	}
	d.Writes = d.Writes.Union(o.writes)
	d.Settings = append(d.Settings, o.settings...)
	if o.control != statement.ControlNone {
		d.Control = o.control
	}
	d.Untracked = d.Untracked || o.untracked
	d.Discard = d.Discard || o.discard
}
