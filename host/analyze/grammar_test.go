package analyze

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/perihelion-proxy/perihelion/host/catalog"
)

// unclassified returns the statements of the grammar that judge has no line for, by making an empty one of each.
func unclassified() (names []string) {
	// These are never a statement by themselves.
	inner := map[string]bool{"RawStmt": true, "SetOperationStmt": true, "ReturnStmt": true, "PLAssignStmt": true, "ReplicaIdentityStmt": true}
	oneof := (&pg.Node{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
	for i := range oneof.Len() {
		f := oneof.Get(i)
		name := string(f.Message().Name())
		if !strings.HasSuffix(name, "Stmt") || inner[name] {
			continue
		}
		n := (&pg.Node{}).ProtoReflect()
		n.Set(f, n.NewField(f))
		if strings.Contains(judge(n.Interface().(*pg.Node), &scene{snapshot: catalog.NewEmpty()}).reason, "is a statement that is not understood") {
			names = append(names, name)
		}
	}
	return names
}
