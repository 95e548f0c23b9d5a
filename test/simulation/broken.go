package simulation

import (
	"net"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// Broken is a rule that the world does not keep.
type Broken uint8

// The rules.
const (
	None Broken = iota
	R1
	R3
	R12
)

func (b Broken) watch(_ *journal, c net.Conn) net.Conn { return c }

func (b Broken) stamp(j *journal) invalidation.Version { return j.log.Stamp() }

func (b Broken) publish(j *journal, database string, changed statement.Closure) invalidation.Version {
	return j.append(database, changed)
}

func (b Broken) tap(*edge) func([]byte) []byte { return nil }

// String returns the rule's name.
func (b Broken) String() string { return [...]string{"none", "R1", "R3", "R12"}[b] }
