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
	chain    = &statement.Descriptor{Verdict: statement.Session, Control: statement.ControlCommit, Chain: true}
	onlyA    = statement.Closure{Relations: []string{"public.a"}}
	onlyB    = statement.Closure{Relations: []string{"public.b"}}
	both     = statement.Closure{Relations: []string{"public.a", "public.b"}}
	nothing  = statement.Closure{}
	anything = statement.Closure{Anything: true}
)

// step is one cycle: its statements in their order, and what becomes visible with it.
type step struct {
	done   []done
	status byte
	want   statement.Closure
}

// done is one statement and its command tag; failed: an error was its answer.
type done struct {
	d      *statement.Descriptor
	tag    string
	failed bool
}

func one(d *statement.Descriptor, tag string, status byte, want statement.Closure) step {
	return step{[]done{{d: d, tag: tag}}, status, want}
}

func failing(d *statement.Descriptor, status byte, want statement.Closure) step {
	return step{[]done{{d: d, failed: true}}, status, want}
}

func TestR9OnlyWhatIsCommittedBecomesVisible(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"an autocommitted write is visible at once", []step{one(a, "UPDATE 1", 'I', onlyA)}},
		{"a read makes nothing visible", []step{one(read, "SELECT 1", 'I', nothing)}},
		{"a failed autocommitted write changed nothing", []step{failing(a, 'I', nothing)}},
		{"a failed statement that nobody knows may have changed anything", []step{failing(opaque, 'I', anything)}},
		{"a block is visible at its commit, as a whole", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), one(b, "INSERT 0 1", 'T', nothing),
			one(commit, "COMMIT", 'I', both),
		}},
		{"a block that begins and writes in one cycle is visible at its commit", []step{
			{[]done{{d: begin, tag: "BEGIN"}, {d: a, tag: "UPDATE 1"}}, 'T', nothing}, one(commit, "COMMIT", 'I', onlyA),
		}},
		{"a rollback makes nothing visible", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), one(rollback, "ROLLBACK", 'I', nothing),
			one(b, "UPDATE 1", 'I', onlyB),
		}},
		{"a commit of a failed block makes nothing visible", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), failing(b, 'E', nothing),
			one(commit, "ROLLBACK", 'I', nothing),
		}},
		{"a write undone to a savepoint still counts at the commit", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), one(back, "ROLLBACK", 'T', nothing),
			one(commit, "COMMIT", 'I', onlyA),
		}},
		{"a commit that starts the next block makes its own visible, and no more", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), one(chain, "COMMIT", 'T', onlyA),
			one(b, "UPDATE 1", 'T', nothing), one(rollback, "ROLLBACK", 'I', nothing),
		}},
		{"a commit that fails may have committed nothing, and is not trusted", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), failing(commit, 'I', onlyA),
		}},
		{"a text that nobody understood and that failed changed nothing", []step{failing(unread, 'I', nothing)}},
		{"a text that only Postgres understood may have changed anything", []step{one(unread, "SELEC", 'I', anything)}},
		{"a pipeline is visible at its Sync", []step{{[]done{{d: a, tag: "UPDATE 1"}, {d: b, tag: "UPDATE 1"}}, 'I', both}}},
		{"a pipeline that fails late is not trusted to have undone what came before", []step{
			{[]done{{d: a, tag: "UPDATE 1"}, {d: b, failed: true}}, 'I', onlyA},
		}},
		{"a block within one cycle that rolls back makes nothing visible", []step{
			{[]done{{d: begin, tag: "BEGIN"}, {d: a, tag: "UPDATE 1"}, {d: rollback, tag: "ROLLBACK"}}, 'I', nothing},
		}},
		{"what an implicit transaction wrote before a BEGIN is not trusted to wait for the block", []step{
			{[]done{{d: a, tag: "UPDATE 1"}, {d: begin, tag: "BEGIN"}}, 'T', onlyA}, one(commit, "COMMIT", 'I', onlyA),
		}},
		{"an opaque statement in a block may have changed anything at once, whatever becomes of the block", []step{
			one(begin, "BEGIN", 'T', nothing), one(opaque, "DO", 'T', anything), one(rollback, "ROLLBACK", 'I', nothing),
		}},
		{"a prepared transaction is not visible yet", []step{
			one(begin, "BEGIN", 'T', nothing), one(a, "UPDATE 1", 'T', nothing), one(prepare, "PREPARE TRANSACTION", 'I', nothing),
		}},
		{"a block that no statement seen has begun is not trusted", []step{one(a, "UPDATE 1", 'T', onlyA), one(rollback, "ROLLBACK", 'I', nothing)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tx Transaction
			for i, s := range test.steps {
				for _, one := range s.done {
					if one.failed {
						tx.Failed(one.d)
					} else {
						tx.Completed(one.d, one.tag)
					}
				}
				if got := tx.End(s.status); !reflect.DeepEqual(got, s.want) {
					t.Errorf("step %d (%+v): visible = %+v, want %+v", i, s, got, s.want)
				}
			}
		})
	}
}

func TestR9UnfollowedStatementsCountAtOnceAndAgain(t *testing.T) {
	var tx Transaction
	tx.Completed(begin, "BEGIN")
	tx.Completed(a, "UPDATE 1")
	tx.Unfollowed(onlyB)
	if got := tx.End('T'); !reflect.DeepEqual(got, both) {
		t.Errorf("visible = %+v, want %+v", got, both)
	}
	tx.Completed(commit, "COMMIT")
	if got := tx.End('I'); !reflect.DeepEqual(got, both) {
		t.Errorf("visible at the commit = %+v, want %+v", got, both)
	}
}

func TestR9LostConnectionCountsAsCommit(t *testing.T) {
	var tx Transaction
	tx.Completed(begin, "BEGIN")
	tx.Completed(a, "UPDATE 1")
	tx.End('T')
	if got := tx.Lose(onlyB); !reflect.DeepEqual(got, both) {
		t.Errorf("Lose = %+v, want %+v", got, both)
	}
	if !tx.Pending().Empty() {
		t.Error("something is pending after the connection was lost")
	}
}

func TestOnlyRead(t *testing.T) {
	set := &statement.Descriptor{Verdict: statement.Session, Settings: []statement.Setting{{Name: "x", Value: "1", Local: true}}}
	listen := &statement.Descriptor{Verdict: statement.Session}
	for _, test := range []struct {
		name string
		done []done
		want bool
	}{
		{"of a block that has just begun", nil, true},
		{"of one that read", []done{{d: read, tag: "SELECT 1"}}, true},
		{"of one that read and failed", []done{{d: read, failed: true}}, true},
		{"of one that set what is followed", []done{{d: set, tag: "SET"}}, true},
		{"of one that went back to a savepoint", []done{{d: back, tag: "ROLLBACK"}}, true},
		{"of one that wrote", []done{{d: a, tag: "UPDATE 0"}, {d: read, tag: "SELECT 1"}}, false},
		{"of one that tried to", []done{{d: a, failed: true}, {d: back, tag: "ROLLBACK"}}, false},
		{"of one that did something else", []done{{d: listen, tag: "LISTEN"}}, false},
		{"of one that did what nobody knows", []done{{d: opaque, tag: "DO"}}, false},
		{"of the block behind one that wrote", []done{{d: a, tag: "UPDATE 1"}, {d: chain, tag: "COMMIT"}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tx Transaction
			tx.Completed(begin, "BEGIN")
			tx.End('T')
			for _, one := range test.done {
				if one.failed {
					tx.Failed(one.d)
				} else {
					tx.Completed(one.d, one.tag)
				}
				tx.End('T')
			}
			if got := tx.OnlyRead(); got != test.want {
				t.Errorf("OnlyRead = %v, want %v", got, test.want)
			}
		})
	}
}
