package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxStartup is the largest startup packet that PostgreSQL accepts, in bytes.
const maxStartup = 10000

// Codes of startup packets.
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104
)

// StartupKind is what the first packet of a connection asks for.
type StartupKind uint8

// The kinds of startup packets.
const (
	StartupSession StartupKind = iota
	StartupCancel
	StartupSSL
	StartupGSS
)

// Startup is a parsed startup packet.
type Startup struct {
	Kind StartupKind
	// Packet is the whole packet as it was read, for forwarding.
	Packet []byte
	// Major and Minor are the protocol version that was asked for.
	Major, Minor uint16
	// Parameters are the names and values in their order; a name may stand twice.
	Parameters []Parameter
}

// Parameter is one name and value of a startup packet.
type Parameter struct{ Name, Value string }

// Get returns the last value of a parameter, "" where it is not there.
func (s *Startup) Get(name string) string {
	for i := len(s.Parameters) - 1; i >= 0; i-- {
		if s.Parameters[i].Name == name {
			return s.Parameters[i].Value
		}
	}
	return ""
}

// User returns the role that the client wants to be.
func (s *Startup) User() string { return s.Get("user") }

// Database returns the database that the client wants; as PostgreSQL has it, the user's name where none is named.
func (s *Startup) Database() string {
	if name := s.Get("database"); name != "" {
		return name
	}
	return s.User()
}

// CancelKey returns what a cancel request names its session by: the body of the BackendKeyData that the session's client
// was given.
func (s *Startup) CancelKey() []byte { return s.Packet[8:] }

// ErrStartup is wrapped by errors about packets that no client that follows the protocol sends.
var ErrStartup = errors.New("invalid startup packet")

// ReadStartup reads one startup packet, reading no byte beyond it.
func ReadStartup(r io.Reader) (*Startup, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read startup packet: %w", err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < 8 || length > maxStartup {
		return nil, fmt.Errorf("%w: length %d", ErrStartup, length)
	}
	packet := make([]byte, length)
	copy(packet, head[:])
	if _, err := io.ReadFull(r, packet[8:]); err != nil {
		return nil, fmt.Errorf("read startup packet: %w", err)
	}
	return parseStartup(packet)
}

func parseStartup(packet []byte) (*Startup, error) {
	code := binary.BigEndian.Uint32(packet[4:])
	s := &Startup{Packet: packet, Major: uint16(code >> 16), Minor: uint16(code)}
	switch code {
	case codeSSL, codeGSS:
		s.Kind = StartupSSL
		if code == codeGSS {
			s.Kind = StartupGSS
		}
		if len(packet) != 8 {
			return nil, fmt.Errorf("%w: an encryption request of %d bytes", ErrStartup, len(packet))
		}
		return s, nil
	case codeCancel:
		s.Kind = StartupCancel
		if n := len(packet) - 12; n < 4 || n > 256 {
			return nil, fmt.Errorf("%w: a cancel request of %d bytes", ErrStartup, len(packet))
		}
		return s, nil
	}
	if s.Major != 3 {
		return nil, fmt.Errorf("%w: protocol %d.%d, only 3 is supported", ErrStartup, s.Major, s.Minor)
	}
	rest := packet[8:]
	for {
		name, tail, ok := CutString(rest)
		if !ok {
			return nil, fmt.Errorf("%w: a parameter's name does not end", ErrStartup)
		}
		if len(name) == 0 {
			if len(tail) != 0 {
				return nil, fmt.Errorf("%w: %d bytes behind its end", ErrStartup, len(tail))
			}
			break
		}
		value, tail, ok := CutString(tail)
		if !ok {
			return nil, fmt.Errorf("%w: the value of a parameter does not end", ErrStartup)
		}
		s.Parameters = append(s.Parameters, Parameter{string(name), string(value)})
		rest = tail
	}
	if s.User() == "" {
		return nil, fmt.Errorf("%w: no user name", ErrStartup)
	}
	return s, nil
}
