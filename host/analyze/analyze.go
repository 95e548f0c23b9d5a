package analyze

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"
	"unsafe"

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
	// Logged reports whether writes to a database are learned of from its WAL alone, so that nobody hears of those to
	// unlogged relations. Where its answer changes, the picture must be read anew. Nil: no database's are.
	Logged func(database string) bool
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
	// texts and shapes remember descriptors by the text, and by what is left of a text without its literals.
	texts, shapes *memo
	logged        func(database string) bool
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
		texts:   newMemo(options.MaxEntries/2, options.MaxBytes/2),
		shapes:  newMemo(options.MaxEntries/2, options.MaxBytes/2),
		logged:  options.Logged,
		nothing: catalog.NewEmpty(),
	}
}

// Describe returns what is known of a text in a database, never nil: a text that is not understood is opaque and may
// change anything. path is the session's search_path as [statement.SearchPath] spells it, or "" where it is not known: then a name
// stands for everything of that name.
//
// Descriptors are remembered by the database, the generation of its picture, the path and the text; a known text costs
// one look-up and allocates nothing. Texts that differ in nothing but literals share one analysis. The strings are
// borrowed until return.
func (a *Analyzer) Describe(ctx context.Context, database, path, sql string) *statement.Descriptor {
	snapshot := a.catalog.Peek(database)
	if snapshot == nil {
		snapshot = a.await(ctx, database)
	}
	key := memoKey{database: database, generation: snapshot.Generation, path: path, text: sql}
	if d := a.texts.get(key); d != nil {
		return d
	}
	var room [512]byte
	shape, literals := appendShape(room[:0], sql)
	if shape != nil {
		key.text = unsafe.String(unsafe.SliceData(shape), len(shape)) //nolint:gosec // G103: the look-up only borrows the key
		if d := a.shapes.get(key); d != nil {
			return withComments(d, sql)
		}
	}
	key.database, key.path, key.text = strings.Clone(database), strings.Clone(path), strings.Clone(sql)
	d := a.describe(key.text, a.scene(snapshot, key.database, path))
	shared := shape != nil && d.shareable()
	if !shared || !literals {
		a.texts.add(key, d.Descriptor)
	}
	if shared {
		key.text = string(shape)
		a.shapes.add(key, d.Descriptor)
	}
	return d.Descriptor
}

// withComments returns the descriptor of a text of the same shape as d's.
func withComments(d *statement.Descriptor, sql string) *statement.Descriptor {
	if len(d.Comments) == 0 && !strings.Contains(sql, "--") && !strings.Contains(sql, "/*") {
		return d
	}
	of := *d
	of.Comments = commentPairs(strings.Clone(sql))
	return &of
}

// scene is what a text is judged in.
type scene struct {
	snapshot *catalog.Snapshot
	path     []string
	account  *account
	nothing  bool
	// logged is set where nobody hears of writes to unlogged relations.
	logged bool
}

func (a *Analyzer) scene(snapshot *catalog.Snapshot, database, path string) *scene {
	return &scene{
		snapshot: snapshot, path: statement.Schemas(path), nothing: snapshot == a.nothing,
		logged: a.logged != nil && a.logged(database),
	}
}

// unread reports whether there is no picture of the catalogs.
func (in *scene) unread() bool { return in.nothing }

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

// described is a descriptor with what only its analysis knows of it.
type described struct {
	*statement.Descriptor
	// literal is set where a literal could have made it another one.
	literal bool
}

// shareable reports whether each text of the same shape has this descriptor, but for its comments.
func (d described) shareable() bool { return !d.literal }

func (a *Analyzer) describe(sql string, in *scene) described {
	s := in.snapshot
	refuse := func(reason string) described {
		d := Unread(reason)
		d.Generation, d.Command = s.Generation, firstWord(sql)
		return described{Descriptor: d, literal: true}
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
		in.account.fail(err)
		d.Comments = commentPairs(sql)
		return d
	}
	d := &statement.Descriptor{Generation: s.Generation, Comments: commentPairs(sql), Many: len(tree.Stmts) > 1, Parameters: parameters(sql)}
	if len(tree.Stmts) == 0 {
		d.Verdict, d.Reason = statement.Session, "empty statement"
		return described{Descriptor: d}
	}
	if len(tree.Stmts) > 1 {
		in = in.several(tree)
	}
	var whole outcome
	concerns := false
	utility := false
	for i, raw := range tree.Stmts {
		text := statementText(sql, raw)
		o := judge(raw.Stmt, in)
		if o.prepares != nil {
			var ok bool
			o.prepares.Text, ok = preparedText(text)
			o.untracked = o.untracked || !ok
		}
		utility = utility || o.command == ""
		if o.command == "" {
			o.command = firstWord(text)
		}
		concerns = concerns || o.concernsSession()
		switch {
		case !d.Many:
			whole = o
			o.describeOwn(d)
		case len(tree.Stmts) <= maxParts:
			part := &statement.Descriptor{Generation: s.Generation, Parameters: parameters(text)}
			o.describeOwn(part)
			describeOutcome(part, o, in)
			part.Fingerprint, _ = pg.FingerprintToUInt64(text)
			d.Parts = append(d.Parts, part)
			fallthrough
		default:
			whole.merge(i == 0, o)
		}
	}
	if d.Many {
		whole.untracked = whole.untracked || d.Parts == nil && concerns
		if whole.control != statement.ControlNone {
			whole.control = statement.ControlMany
		}
		if whole.discard {
			// PostgreSQL refuses it beside others.
			whole.discard, whole.untracked = false, true
		}
	}
	describeOutcome(d, whole, in)
	d.Normalized = normalize(sql, utility)
	// Only a text that does not parse has no fingerprint.
	d.Fingerprint, _ = pg.FingerprintToUInt64(sql)
	return described{Descriptor: d, literal: d.Many || utility || concerns || slices.Contains(d.Functions, "pg_catalog.set_config")}
}

// several returns the scene for a text of several statements: where one may change the search_path, those behind it are
// judged without one.
func (in *scene) several(tree *pg.ParseResult) *scene {
	for _, raw := range tree.Stmts {
		switch raw.Stmt.GetNode().(type) {
		case *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt, *pg.Node_CopyStmt:
		default:
			of := *in
			of.path = nil
			return &of
		}
	}
	return in
}

// maxParts is how many statements of a text are described one by one.
const maxParts = 64

// statementText returns the part of a text that is one of its statements.
func statementText(sql string, raw *pg.RawStmt) string {
	start, end := int(raw.StmtLocation), len(sql)
	if raw.StmtLen > 0 {
		end = start + int(raw.StmtLen)
	}
	if start < 0 || start > end || end > len(sql) {
		return sql // the parser does not say such a thing
	}
	return sql[start:end]
}

// describeOutcome writes into a descriptor what a text of one or several statements comes to.
func describeOutcome(d *statement.Descriptor, o outcome, in *scene) {
	d.Verdict, d.Reason, d.Command, d.Writes = o.verdict, o.reason, o.command, o.writes
	d.Control, d.Settings, d.Untracked, d.Discard = o.control, o.settings, o.untracked, o.discard
	if in.nothing && d.Verdict != statement.Session && d.Verdict != statement.Schema {
		d.Reason += " (the catalogs of the database cannot be read)"
	}
	if d.Verdict == statement.Read || d.Verdict == statement.Unstable {
		d.Relations, d.RelationRows = readRelations(o.reads)
	}
	if len(o.functions) > 0 {
		d.Functions = slices.Sorted(maps.Keys(o.functions))
	}
}

// describeOwn writes into a descriptor what one statement alone can have.
func (o *outcome) describeOwn(d *statement.Descriptor) {
	d.Chain, d.Savepoint = o.chain, o.savepoint
	d.Prepares, d.Executes, d.Deallocates, d.DeallocatesAll = o.prepares, o.executes, o.deallocates, o.deallocatesAll
}

// concernsSession reports whether the statement changes anything of its session that somebody may follow.
func (o *outcome) concernsSession() bool {
	return o.control != statement.ControlNone || len(o.settings) > 0 || o.prepares != nil || o.deallocates != "" || o.deallocatesAll
}

// restriction orders verdicts for a text of several statements: the most restrictive decides. Schema comes first,
// because what it voids goes beyond what its closure says.
var restriction = map[statement.Verdict]int{
	statement.Read: 0, statement.Unstable: 1, statement.Session: 2, statement.Write: 3, statement.Opaque: 4, statement.Schema: 5,
}

// merge adds a further statement of a text.
func (o *outcome) merge(first bool, next outcome) {
	if first {
		*o = next
		// The text of several statements has its own.
		o.reads, o.functions, o.settings = maps.Clone(next.reads), maps.Clone(next.functions), slices.Clone(next.settings)
		return
	}
	if restriction[next.verdict] > restriction[o.verdict] {
		o.verdict, o.reason = next.verdict, next.reason
	}
	o.writes = o.writes.Union(next.writes)
	o.settings = append(o.settings, next.settings...)
	if next.control != statement.ControlNone {
		o.control = next.control
	}
	o.untracked = o.untracked || next.untracked
	o.discard = o.discard || next.discard
	o.reads = union(o.reads, next.reads)
	o.functions = union(o.functions, next.functions)
}

func union[K comparable](a, b map[K]struct{}) map[K]struct{} {
	if a == nil {
		return maps.Clone(b)
	}
	maps.Copy(a, b)
	return a
}
