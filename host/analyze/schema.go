package analyze

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/perihelion-proxy/perihelion/host/statement"
)

// judgeSchema judges DDL, and what is no statement that anybody knows: that is treated as the widest DDL. DDL changes
// anything, since it voids the database's descriptors, and some of it reaches beyond the database.
func judgeSchema(n *pg.Node, in *scene) outcome {
	o := outcome{verdict: statement.Schema, reason: "changes the schema", writes: anything()}
	w := newWalk(in)
	w.callsBelow(n.ProtoReflect())
	o.untracked = w.untracked || in.snapshot.EventTriggers || mentionsTempSchema(n.ProtoReflect())

	switch d := n.GetNode().(type) {
	case *pg.Node_CreateStmt:
		if temporary(d.CreateStmt.Relation) {
			return in.temporary(o, statement.Closure{})
		}
	case *pg.Node_CreateTableAsStmt:
		// The query runs. Where it is EXECUTE, anything may.
		inner := judge(d.CreateTableAsStmt.Query, in)
		if temporary(d.CreateTableAsStmt.GetInto().GetRel()) {
			return in.temporary(o, inner.writes)
		}
		o.untracked = o.untracked || inner.untracked
	case *pg.Node_ViewStmt:
		if temporary(d.ViewStmt.View) {
			return in.temporary(o, statement.Closure{})
		}
	case *pg.Node_CreateSeqStmt:
		if temporary(d.CreateSeqStmt.Sequence) {
			return in.temporary(o, statement.Closure{})
		}

	case *pg.Node_CreateRoleStmt, *pg.Node_AlterRoleStmt, *pg.Node_AlterRoleSetStmt, *pg.Node_DropRoleStmt,
		*pg.Node_GrantRoleStmt, *pg.Node_ReassignOwnedStmt, *pg.Node_DropOwnedStmt:
		o.writes.Cluster, o.reason = true, "changes roles"
	case *pg.Node_CreatedbStmt, *pg.Node_AlterDatabaseStmt, *pg.Node_AlterDatabaseSetStmt, *pg.Node_DropdbStmt,
		*pg.Node_AlterDatabaseRefreshCollStmt:
		o.writes.Cluster, o.reason = true, "changes a database"
	case *pg.Node_CreateTableSpaceStmt, *pg.Node_DropTableSpaceStmt, *pg.Node_AlterTableSpaceOptionsStmt,
		*pg.Node_AlterTableMoveAllStmt:
		o.writes.Cluster, o.reason = true, "changes a tablespace"
	case *pg.Node_AlterSystemStmt:
		o.writes.Cluster, o.reason = true, "changes the server's configuration"
	case *pg.Node_RenameStmt:
		o.writes.Cluster = shared(d.RenameStmt.RenameType)
	case *pg.Node_AlterOwnerStmt:
		o.writes.Cluster = shared(d.AlterOwnerStmt.ObjectType)
	case *pg.Node_CommentStmt:
		o.writes.Cluster = shared(d.CommentStmt.Objtype)
	case *pg.Node_SecLabelStmt:
		o.writes.Cluster = shared(d.SecLabelStmt.Objtype)
	case *pg.Node_GrantStmt:
		o.writes.Cluster, o.reason = shared(d.GrantStmt.Objtype), "changes privileges"

	case *pg.Node_AlterCollationStmt, *pg.Node_AlterDefaultPrivilegesStmt, *pg.Node_AlterDomainStmt,
		*pg.Node_AlterEnumStmt, *pg.Node_AlterEventTrigStmt, *pg.Node_AlterExtensionContentsStmt,
		*pg.Node_AlterExtensionStmt, *pg.Node_AlterFdwStmt, *pg.Node_AlterForeignServerStmt, *pg.Node_AlterFunctionStmt,
		*pg.Node_AlterObjectDependsStmt, *pg.Node_AlterObjectSchemaStmt, *pg.Node_AlterOpFamilyStmt,
		*pg.Node_AlterOperatorStmt, *pg.Node_AlterPolicyStmt, *pg.Node_AlterPublicationStmt, *pg.Node_AlterSeqStmt,
		*pg.Node_AlterStatsStmt, *pg.Node_AlterSubscriptionStmt, *pg.Node_AlterTableStmt, *pg.Node_AlterTsconfigurationStmt,
		*pg.Node_AlterTsdictionaryStmt, *pg.Node_AlterTypeStmt, *pg.Node_AlterUserMappingStmt, *pg.Node_CompositeTypeStmt,
		*pg.Node_CreateAmStmt, *pg.Node_CreateCastStmt, *pg.Node_CreateConversionStmt, *pg.Node_CreateDomainStmt,
		*pg.Node_CreateEnumStmt, *pg.Node_CreateEventTrigStmt, *pg.Node_CreateExtensionStmt, *pg.Node_CreateFdwStmt,
		*pg.Node_CreateForeignServerStmt, *pg.Node_CreateForeignTableStmt, *pg.Node_CreateFunctionStmt,
		*pg.Node_CreateOpClassStmt, *pg.Node_CreateOpFamilyStmt, *pg.Node_CreatePlangStmt, *pg.Node_CreatePolicyStmt,
		*pg.Node_CreatePublicationStmt, *pg.Node_CreateRangeStmt, *pg.Node_CreateSchemaStmt, *pg.Node_CreateStatsStmt,
		*pg.Node_CreateSubscriptionStmt, *pg.Node_CreateTransformStmt, *pg.Node_CreateTrigStmt,
		*pg.Node_CreateUserMappingStmt, *pg.Node_DefineStmt, *pg.Node_DropStmt, *pg.Node_DropSubscriptionStmt,
		*pg.Node_DropUserMappingStmt, *pg.Node_ImportForeignSchemaStmt, *pg.Node_IndexStmt, *pg.Node_RuleStmt:

	default:
		o.writes.Cluster, o.untracked = true, true
		o.reason = "is a statement that is not understood"
	}
	return o
}

// temporary returns the outcome of what makes a temporary relation: nobody else will see it, and its session shares
// nothing from then on. Only an event trigger makes more of it.
func (in *scene) temporary(o outcome, writes statement.Closure) outcome {
	o.untracked = true
	if !in.snapshot.EventTriggers && !in.unread() {
		o.verdict, o.reason, o.writes = statement.Session, "makes a temporary relation, which only its session sees", writes
	}
	return o
}

// shared reports whether objects of a type belong to the whole cluster.
func shared(t pg.ObjectType) bool {
	switch t {
	case pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_ROLE, pg.ObjectType_OBJECT_TABLESPACE,
		pg.ObjectType_OBJECT_PARAMETER_ACL:
		return true
	default:
		return false
	}
}

// callsBelow judges the functions that are called anywhere below m, and nothing else.
func (w *walk) callsBelow(m protoreflect.Message) {
	visit(m, func(m protoreflect.Message) {
		if f, ok := m.Interface().(*pg.FuncCall); ok {
			w.call(f)
		}
	})
}

func isTempSchema(name string) bool { return name == "pg_temp" || strings.HasPrefix(name, "pg_temp_") }

// mentionsTempSchema reports whether a string anywhere below m names the schema of temporary objects.
func mentionsTempSchema(m protoreflect.Message) bool {
	found := false
	visit(m, func(m protoreflect.Message) {
		switch n := m.Interface().(type) {
		case *pg.String:
			found = found || isTempSchema(n.Sval)
		case *pg.RangeVar:
			found = found || isTempSchema(n.Schemaname)
		case *pg.CreateSchemaStmt:
			found = found || isTempSchema(n.Schemaname)
		case *pg.AlterObjectSchemaStmt:
			found = found || isTempSchema(n.Newschema)
		}
	})
	return found
}

// visit calls see for m and every message below it.
func visit(m protoreflect.Message, see func(protoreflect.Message)) {
	see(m)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				visit(v.List().Get(i).Message(), see)
			}
		default:
			visit(v.Message(), see)
		}
		return true
	})
}
