//go:build !cgo

package node

import "errors"

// newHome fails: a home needs PostgreSQL's parser, which needs cgo.
func newHome(*Node) (role, error) {
	return nil, errors.New("this build of perihelion has no home: it was made without cgo; run an edge, or build with CGO_ENABLED=1 and a C compiler")
}
