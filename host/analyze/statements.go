package analyze

import (
	"maps"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// outcome is what one statement of a text comes to.
type outcome struct {
	verdict   statement.Verdict
	reason    string
	command   string // empty: the text's first word
	writes    statement.Closure
	control   statement.Control
	chain     bool
	savepoint string
	settings  []statement.Setting
	untracked bool
	discard   bool

	prepares       *statement.Prepared // without its text
	executes       string
	deallocates    string
	deallocatesAll bool

	reads     map[*catalog.Relation]struct{}
	functions map[string]struct{}
}

func anything() statement.Closure { return statement.Closure{Anything: true} }

// session is the outcome of a statement that changes no rows, only its session.
func session(reason string) outcome {
	return outcome{verdict: statement.Session, reason: reason}
}

// judge comes to the outcome of one statement.
func judge(n *pg.Node, in *scene) outcome {
	switch n := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		return judgeSelect(n.SelectStmt, in)
	case *pg.Node_InsertStmt:
		return judgeWrite(n.InsertStmt, "INSERT", in)
	case *pg.Node_UpdateStmt:
		return judgeWrite(n.UpdateStmt, "UPDATE", in)
	case *pg.Node_DeleteStmt:
		return judgeWrite(n.DeleteStmt, "DELETE", in)
	case *pg.Node_MergeStmt:
		return judgeWrite(n.MergeStmt, "MERGE", in)
	case *pg.Node_TruncateStmt:
		return judgeTruncate(n.TruncateStmt, in)
	case *pg.Node_CopyStmt:
		return judgeCopy(n.CopyStmt, in)
	case *pg.Node_RefreshMatViewStmt:
		return judgeRefresh(n.RefreshMatViewStmt, in)

	case *pg.Node_ExplainStmt:
		return judgeExplain(n.ExplainStmt, in)
	case *pg.Node_DeclareCursorStmt:
		return judgeCursor(n.DeclareCursorStmt, in)
	case *pg.Node_FetchStmt, *pg.Node_ClosePortalStmt:
		return session("uses a cursor")
	case *pg.Node_PrepareStmt:
		o := session("prepares a statement in SQL")
		o.prepares = &statement.Prepared{Name: n.PrepareStmt.Name}
		return o
	case *pg.Node_ExecuteStmt:
		return outcome{
			reason: "executes a statement that was prepared in SQL", writes: anything(), untracked: true, executes: n.ExecuteStmt.Name,
		}
	case *pg.Node_DeallocateStmt:
		o := session("drops a prepared statement")
		o.deallocates, o.deallocatesAll = n.DeallocateStmt.Name, n.DeallocateStmt.Isall
		return o
	case *pg.Node_DoStmt:
		return outcome{reason: "runs a block of code", writes: anything(), untracked: true}
	case *pg.Node_CallStmt:
		return outcome{reason: "calls a procedure", writes: anything(), untracked: true}
	case *pg.Node_LoadStmt:
		return outcome{reason: "loads a library", writes: anything(), untracked: true}

	case *pg.Node_VacuumStmt, *pg.Node_ClusterStmt, *pg.Node_ReindexStmt:
		return outcome{reason: "maintains tables and changes no rows"}
	case *pg.Node_CheckPointStmt, *pg.Node_LockStmt, *pg.Node_NotifyStmt, *pg.Node_ListenStmt, *pg.Node_UnlistenStmt,
		*pg.Node_ConstraintsSetStmt:
		return session("changes no rows")

	case *pg.Node_TransactionStmt:
		return judgeTransaction(n.TransactionStmt)
	case *pg.Node_VariableSetStmt:
		return judgeSet(n.VariableSetStmt)
	case *pg.Node_VariableShowStmt:
		return session("shows a setting")
	case *pg.Node_DiscardStmt:
		o := session("discards state of the session")
		o.discard = n.DiscardStmt.Target == pg.DiscardMode_DISCARD_ALL
		o.deallocatesAll = o.discard
		return o
	}
	return judgeSchema(n, in)
}

// message is a statement's message, of any type.
type message = protoreflect.ProtoMessage

// outcome starts an outcome with what a walk found; the verdict and closure are the caller's to give.
func (w *walk) outcome() outcome {
	return outcome{reason: w.reason, untracked: w.untracked, reads: w.reads, functions: w.functions}
}

// closure is what the walked statement may change: what it writes to itself, or anything.
func (w *walk) closure() statement.Closure {
	if w.rank == doubtful {
		return anything()
	}
	if len(w.writes) == 0 {
		return statement.Closure{}
	}
	return statement.Closure{Relations: slices.Sorted(maps.Keys(w.writes))}
}

// doubts is what the walked statement may change where its own writes do not happen.
func (w *walk) doubts() statement.Closure { return statement.Closure{Anything: w.rank == doubtful} }

func judgeSelect(n *pg.SelectStmt, in *scene) outcome {
	if settings, ok := setConfigs(n, in); ok {
		o := session("changes a setting by set_config")
		o.command, o.settings, o.functions = "SELECT", settings, map[string]struct{}{"pg_catalog.set_config": {}}
		return o
	}
	w := newWalk(in)
	w.message(n.ProtoReflect())
	o := w.outcome()
	o.command = "SELECT"
	if len(n.ValuesLists) > 0 {
		o.command = "VALUES"
	}
	o.writes = w.closure()
	switch {
	case w.into:
		o.verdict, o.reason = statement.Schema, "makes a table by SELECT INTO"
		o.writes = anything()
		o.untracked = o.untracked || w.temporary
	case len(w.writes) > 0:
		o.verdict = statement.Write
		w.explainWrite(&o)
	case w.rank == tame:
		o.verdict = statement.Read
		o.reason = "reads tables only, and calls nothing that can change by itself"
		if len(w.reads) == 0 {
			o.reason = "reads nothing that can change"
		}
	case w.rank == unstable:
		o.verdict = statement.Unstable
	}
	return o
}

// explainWrite gives a write its reason: the doubt, where it may change anything, else what it names.
func (w *walk) explainWrite(o *outcome) {
	if !o.writes.Anything {
		o.reason = "writes to " + listed(w.targets)
	}
}

// listed joins names for a reason, a few of them.
func listed(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

func judgeWrite(m message, command string, in *scene) outcome {
	w := newWalk(in)
	w.message(m.ProtoReflect())
	o := w.outcome()
	o.verdict, o.command, o.writes, o.reads = statement.Write, command, w.closure(), nil
	w.explainWrite(&o)
	return o
}

func judgeTruncate(n *pg.TruncateStmt, in *scene) outcome {
	w := newWalk(in)
	how := empties
	if n.Behavior == pg.DropBehavior_DROP_CASCADE {
		how = cascades
	}
	for _, r := range n.Relations {
		w.target(r.GetRangeVar(), how)
	}
	o := w.outcome()
	o.verdict, o.writes = statement.Write, w.closure()
	w.explainWrite(&o)
	return o
}

func judgeCopy(n *pg.CopyStmt, in *scene) outcome {
	w := newWalk(in)
	switch {
	case n.IsFrom:
		w.target(n.Relation, inserts)
		w.node(n.WhereClause)
	case n.Relation != nil:
		w.readFrom(n.Relation)
	default:
		w.node(n.Query)
	}
	if n.IsProgram {
		w.doubt("runs a program on the server")
	}
	o := w.outcome()
	o.writes, o.reads = w.closure(), nil
	switch {
	case n.IsFrom || len(w.writes) > 0:
		o.verdict = statement.Write
		w.explainWrite(&o)
	case w.rank != doubtful:
		o.reason = "copies rows out"
	}
	return o
}

func judgeRefresh(n *pg.RefreshMatViewStmt, in *scene) outcome {
	w := newWalk(in)
	found, why := w.candidates(n.Relation)
	if found == nil {
		w.doubt("refreshes " + spelled(n.Relation) + ", which " + why)
	}
	for _, r := range found {
		w.writes[r.String()] = struct{}{}
		w.targets = append(w.targets, r.String())
		if r.Body == nil {
			w.unknownCode("refreshes " + r.String() + ", whose query is not known")
			continue
		}
		w.inside("refreshes the "+r.Kind.String()+" "+r.String(), func() { w.body(r.Body) })
	}
	o := w.outcome()
	o.verdict, o.writes, o.reads = statement.Write, w.closure(), nil
	w.explainWrite(&o)
	return o
}

func judgeExplain(n *pg.ExplainStmt, in *scene) outcome {
	inner := judge(n.Query, in)
	executes := slices.ContainsFunc(n.Options, func(option *pg.Node) bool {
		return option.GetDefElem().GetDefname() == "analyze"
	})
	o := outcome{
		reason: "explains a statement", functions: inner.functions,
		untracked: inner.untracked || len(inner.settings) > 0, // which are followed of a statement of its own only
	}
	if executes {
		o.reason, o.writes = "explains a statement by executing it", inner.writes
		if inner.verdict == statement.Schema {
			o.verdict = statement.Schema
		}
		return o
	}
	// The planner calls functions to estimate what they return.
	if q := planned(n.Query); q != nil {
		w := newWalk(in)
		w.node(q)
		o.writes = w.doubts()
		return o
	}
	o.writes = inner.writes
	return o
}

// planned returns the query that EXPLAIN plans, or nil where it is none that is written out.
func planned(n *pg.Node) *pg.Node {
	switch q := n.GetNode().(type) {
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return n
	case *pg.Node_CreateTableAsStmt:
		return planned(q.CreateTableAsStmt.Query)
	case *pg.Node_DeclareCursorStmt:
		return planned(q.DeclareCursorStmt.Query)
	}
	return nil
}

// judgeCursor judges the query of a cursor here, though it runs at each FETCH: both belong to one transaction.
func judgeCursor(n *pg.DeclareCursorStmt, in *scene) outcome {
	w := newWalk(in)
	w.node(n.Query)
	o := w.outcome()
	o.verdict, o.writes, o.reads = statement.Session, w.closure(), nil
	if o.writes.Empty() {
		o.reason = "opens a cursor"
	}
	return o
}
