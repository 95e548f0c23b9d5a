package statement

import (
	"fmt"
	"slices"
)

// Verdict says what kind of statement a text is. The zero value is [Opaque]: what nobody judged is forwarded,
// never cached, and may change anything.
type Verdict uint8

// The verdicts, from the least to the most that is known.
const (
	// Opaque is everything that is not understood: forwarded, never cached, and "may change anything" unless
	// its closure says otherwise.
	Opaque Verdict = iota
	// Read is a statement whose answer changes only with a write to one of its relations.
	Read
	// Unstable only reads, but its answer can change without a write (now(), random(), a sequence's state).
	Unstable
	// Write changes rows; its closure says which relations may change.
	Write
	// Schema is DDL: it voids the database's entries and descriptors.
	Schema
	// Session changes the session's state, or controls its transaction, and no rows.
	Session
)

var verdictNames = [...]string{"opaque", "read", "unstable", "write", "schema", "session"}

// String returns the verdict's name in lower case, as JSON, logs and metrics spell it.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// MarshalText implements [encoding.TextMarshaler].
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. An unknown name is an error.
func (v *Verdict) UnmarshalText(text []byte) error {
	i := slices.Index(verdictNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown verdict %q", text)
	}
	*v = Verdict(i)
	return nil
}

// Control says what a statement does to the transaction block of its session.
type Control uint8

// The transaction control statements. ControlNone is every other statement; ControlMany is a text of several
// statements of which at least one controls the transaction: what each does is in the descriptor's Parts.
const (
	ControlNone Control = iota
	ControlBegin
	ControlCommit
	ControlRollback
	ControlSavepoint
	ControlRollbackTo
	ControlRelease
	ControlPrepare
	ControlCommitPrepared
	ControlRollbackPrepared
	ControlMany
)

// Closure is the set of relations that a statement may change. The zero value changes nothing.
type Closure struct {
	// Anything is set where the statement may change any relation of its database: DDL, a user trigger, an
	// unknown volatile function. Relations is then irrelevant.
	Anything bool `json:"anything,omitempty"`
	// Cluster is set, together with Anything, where the effect is not confined to one database (ALTER ROLE).
	Cluster bool `json:"cluster,omitempty"`
	// Relations are the relations that may change, as "schema.table", sorted, without duplicates.
	Relations []string `json:"relations,omitempty"`
}

// Empty reports whether the closure changes nothing.
func (c Closure) Empty() bool { return !c.Anything && len(c.Relations) == 0 }

// Union returns the closure of both. It does not change its operands.
func (c Closure) Union(d Closure) Closure {
	if c.Anything || d.Anything {
		return Closure{Anything: true, Cluster: c.Cluster || d.Cluster}
	}
	if len(d.Relations) == 0 {
		return c
	}
	if len(c.Relations) == 0 {
		return d
	}
	all := slices.Concat(c.Relations, d.Relations)
	slices.Sort(all)
	return Closure{Relations: slices.Compact(all)}
}

// Setting is one change of a session's state that the node can follow: SET name = value, or RESET.
type Setting struct {
	// Name is the setting's name in lower case. Empty with Reset set means RESET ALL.
	Name string
	// Value is the value as Postgres keeps it, however the statement spelled it: SET x TO a, SET x = 'a' and
	// set_config('x', 'a', …) all say a. It is irrelevant when Reset is set.
	Value string
	// Reset is set for RESET name, SET name TO DEFAULT and RESET ALL.
	Reset bool
	// Local is set for SET LOCAL: the change ends with the transaction.
	Local bool
}

// Prepared is a statement that was prepared in SQL.
type Prepared struct {
	// Name is the statement's name, folded as Postgres folds it.
	Name string
	// Text is the text of the statement itself, as a Parse message would carry it.
	Text string
}

// Descriptor is what analysis knows of one statement text in one database at one generation of its catalog.
// It is immutable once published and may be shared by any number of goroutines.
type Descriptor struct {
	// Fingerprint is the 64-bit hash of the normalised parse tree. It groups statements and never keys an entry.
	Fingerprint uint64
	// Verdict is the kind of the statement; of a text with several statements, the most restrictive of all.
	Verdict Verdict
	// Reason says, in words a person can read, why the verdict is what it is. It holds no literal of the text.
	Reason string
	// Command is the statement's command in upper case (SELECT, VALUES, INSERT, …); of several, the first's.
	Command string
	// Normalized is the text with its literals replaced by $n, without comments. Empty where the text does not parse.
	Normalized string
	// Comments are the key=value pairs found in the text's comments (sqlcommenter), in their order, unescaped.
	Comments []string
	// Parameters is how many parameters ($1, $2, …) the text has: the highest number in it.
	Parameters int
	// Relations are the base relations whose rows the answer of a Read depends on, as "schema.table", sorted.
	Relations []string
	// RelationRows holds the planner's estimate of each of Relations, -1 where not known. Same length as Relations.
	RelationRows []int64
	// Functions are the functions that the text calls by name, as "schema.name", sorted.
	Functions []string
	// Writes is what the statement may change. It is empty for Read and Unstable.
	Writes Closure
	// Control is what the statement does to the transaction block.
	Control Control
	// Chain is set for COMMIT and ROLLBACK with AND CHAIN, which begin the next block as they end one.
	Chain bool
	// Savepoint is the name in SAVEPOINT, RELEASE and ROLLBACK TO, folded as Postgres folds it.
	Savepoint string
	// Settings are the changes of session state that can be followed, in their order.
	Settings []Setting
	// Untracked is set where the statement may change its session's state in a way that is not followed (a
	// temporary table, an unknown volatile function, set_config of what only execution tells): from then on the
	// session shares nothing.
	Untracked bool
	// Prepares is what a PREPARE prepares; nil for any other statement. To prepare changes no answer: the names that
	// SQL prepares are those of the protocol, so whoever follows these has to follow those.
	Prepares *Prepared
	// Executes is the name of the statement that an EXECUTE executes. Its descriptor says "anything", because the name
	// stands for another text in each session; a session that followed the PREPARE knows better. It is empty where
	// EXECUTE is a part of another statement.
	Executes string
	// Deallocates is the name of the statement that a DEALLOCATE drops, DeallocatesAll is set where all of them are
	// (DEALLOCATE ALL, DISCARD ALL).
	Deallocates    string
	DeallocatesAll bool
	// Discard is set for DISCARD ALL, which brings an untracked session back to its initial state.
	Discard bool
	// Many is set where the text holds more than one statement. Such a text is never answered from memory.
	Many bool
	// Parts describe the statements of a text that holds several, in their order: one for each CommandComplete that
	// Postgres owes. None of them is Many, and none has Comments or a Normalized text. Prepares, Executes, Deallocates,
	// Savepoint and Chain are the parts' alone. Parts is nil for a single statement, and where a text holds more
	// statements than anybody follows one by one; if those concern their session, the text is Untracked.
	Parts []*Descriptor
	// Generation is the generation of the catalog picture that the descriptor was made with.
	Generation uint64
}
