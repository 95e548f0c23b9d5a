package changes

import (
	"reflect"
	"testing"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

var (
	a        = &statement.Descriptor{Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.a"}}}
	b        = &statement.Descriptor{Verdict: statement.Write, Writes: statement.Closure{Relations: []string{"public.b"}}}
	read     = &statement.Descriptor{Verdict: statement.Read}
	opaque   = &statement.Descriptor{Writes: statement.Closure{Anything: true}, Command: "DO"}
	unread   = &statement.Descriptor{Writes: statement.Closure{Anything: true}, Command: "SELEC", Many: true}
	begin    = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlBegin}
	commit   = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlCommit}
	rollback = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlRollback}
	back     = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlRollbackTo}
	prepare  = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlPrepare}
	script   = &statement.Descriptor{Verdict: statement.Write, Many: true, Control: statement.ControlMany, Writes: statement.Closure{Relations: []string{"public.a"}}}
	onlyA    = statement.Closure{Relations: []string{"public.a"}}
	onlyB    = statement.Closure{Relations: []string{"public.b"}}
	both     = statement.Closure{Relations: []string{"public.a", "public.b"}}
	nothing  = statement.Closure{}
	anything = statement.Closure{Anything: true}
)

// step is one cycle and what becomes visible with it.
type step struct {
	sent          []*statement.Descriptor
	failed        bool
	tag           string
	before, after byte
	want          statement.Closure
}

func one(d *statement.Descriptor, tag string, before, after byte, want statement.Closure) step {
	return step{sent: []*statement.Descriptor{d}, tag: tag, before: before, after: after, want: want}
}

func failing(s step) step { s.failed = true; return s }

func TestR9OnlyWhatIsCommittedBecomesVisible(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"an autocommitted write is visible at once", []step{one(a, "UPDATE 1", 'I', 'I', onlyA)}},
		{"a read makes nothing visible", []step{one(read, "SELECT 1", 'I', 'I', nothing)}},
		{"a failed autocommitted write changed nothing", []step{failing(one(a, "", 'I', 'I', nothing))}},
		{"a failed statement that nobody knows may have changed anything", []step{failing(one(opaque, "", 'I', 'I', anything))}},
		{"a block is visible at its commit, as a whole", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), one(b, "INSERT 0 1", 'T', 'T', nothing),
			one(commit, "COMMIT", 'T', 'I', both),
		}},
		{"a rollback makes nothing visible", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), one(rollback, "ROLLBACK", 'T', 'I', nothing),
			one(b, "UPDATE 1", 'I', 'I', onlyB),
		}},
		{"a commit of a failed block makes nothing visible", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), failing(one(b, "", 'T', 'E', nothing)),
			one(commit, "ROLLBACK", 'E', 'I', nothing),
		}},
		{"a write undone to a savepoint still counts at the commit", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), one(back, "ROLLBACK", 'T', 'T', nothing),
			one(commit, "COMMIT", 'T', 'I', onlyA),
		}},
		{"a commit that starts the next block makes its own visible", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), one(commit, "COMMIT", 'T', 'T', onlyA),
			one(b, "UPDATE 1", 'T', 'T', nothing), one(rollback, "ROLLBACK", 'T', 'I', nothing),
		}},
		{"a commit that fails may have committed nothing, and is not trusted", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), failing(one(commit, "", 'T', 'I', onlyA)),
		}},
		{"a script that controls transactions is visible at each end, whatever its last tag", []step{
			one(script, "ROLLBACK", 'I', 'I', onlyA),
		}},
		{"a script whose first statement failed changed nothing", []step{failing(one(script, "", 'I', 'I', nothing))}},
		{"a script that failed later may have committed on the way", []step{failing(one(script, "COMMIT", 'I', 'I', onlyA))}},
		{"a text that nobody understood and that failed changed nothing", []step{failing(one(unread, "", 'I', 'I', nothing))}},
		{"a text that only Postgres understood may have changed anything", []step{one(unread, "SELEC", 'I', 'I', anything)}},
		{"a pipeline is visible at its Sync", []step{{sent: []*statement.Descriptor{a, b}, tag: "UPDATE 1", before: 'I', after: 'I', want: both}}},
		{"a pipeline that rolls back at its end is not trusted", []step{
			{sent: []*statement.Descriptor{begin, a, rollback}, tag: "ROLLBACK", before: 'I', after: 'I', want: onlyA},
		}},
		{"an opaque statement in a block may have changed anything at once, whatever becomes of the block", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(opaque, "DO", 'T', 'T', anything), one(rollback, "ROLLBACK", 'T', 'I', nothing),
		}},
		{"a prepared transaction is not visible yet", []step{
			one(begin, "BEGIN", 'I', 'T', nothing), one(a, "UPDATE 1", 'T', 'T', nothing), one(prepare, "PREPARE TRANSACTION", 'T', 'I', nothing),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tx Transaction
			for i, s := range test.steps {
				cycle := Cycle{Failed: s.failed, Completed: s.tag != "", Tag: s.tag, Before: s.before, After: s.after}
				for _, d := range s.sent {
					cycle.Add(d)
				}
				if got := tx.Finish(cycle); !reflect.DeepEqual(got, s.want) {
					t.Errorf("step %d (%+v): visible = %+v, want %+v", i, s, got, s.want)
				}
			}
		})
	}
}

func TestR9LostConnectionCountsAsCommit(t *testing.T) {
	var tx Transaction
	cycle := Cycle{Before: 'T', After: 'T', Tag: "UPDATE 1"}
	cycle.Add(a)
	tx.Finish(cycle)
	if got := tx.Lose(onlyB); !reflect.DeepEqual(got, both) {
		t.Errorf("Lose = %+v, want %+v", got, both)
	}
	if !tx.Pending().Empty() {
		t.Error("something is pending after the connection was lost")
	}
}
