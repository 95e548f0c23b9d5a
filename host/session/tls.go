package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/perihelion-proxy/perihelion/host/scram"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

const (
	// directTLS is the first byte of a TLS handshake that no SSLRequest came before (PostgreSQL 18, "SSL Session
	// Encryption"); as the length of a startup packet it would be far too large.
	directTLS = 0x16
	// protocolName is what a client of direct TLS has to ask for (ALPN).
	protocolName = "postgresql"
)

// errDirect is returned for a direct TLS handshake that does not go on.
var errDirect = errors.New("direct TLS is not possible")

// first reads the first byte of the connection, and makes TLS of it where that is what the client begins with. It
// returns what is to be read before the connection.
func (s *Session) first(ctx context.Context) (io.Reader, error) {
	var b [1]byte
	if _, err := io.ReadFull(s.client, b[:]); err != nil {
		return nil, err
	}
	if b[0] != directTLS {
		return io.MultiReader(bytes.NewReader(b[:]), s.client), nil
	}
	if s.ClientTLS == nil {
		return nil, fmt.Errorf("%w: the node has no certificate", errDirect)
	}
	s.client = &begun{Conn: s.client, first: b[:]}
	if err := s.secure(ctx); err != nil {
		return nil, err
	}
	if s.client.(*tls.Conn).ConnectionState().NegotiatedProtocol != protocolName {
		return nil, fmt.Errorf("%w: the client does not ask for the protocol %s (ALPN)", errDirect, protocolName)
	}
	return s.client, nil
}

// secure makes a TLS handshake with the client, within the deadline that the connection has.
func (s *Session) secure(ctx context.Context) error {
	showing := &showing{Conn: s.client}
	secured := tls.Server(showing, s.ClientTLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS with client: %w", err)
	}
	if showing.certificate != nil {
		s.binding = scram.EndPoint(showing.certificate)
	}
	s.client, s.secured = secured, true
	s.in = wire.NewReader(s.client, clientWindow)
	return nil
}

// showing is a connection whose client was shown a certificate: see certificate.Pair.Config.
type showing struct {
	net.Conn
	certificate *x509.Certificate
}

// Show notes the certificate.
func (s *showing) Show(certificate *x509.Certificate) { s.certificate = certificate }

// begun is a connection of which the first bytes were read already.
type begun struct {
	net.Conn
	first []byte
}

// Read returns what was read already first.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

var saslPlus = []byte("SCRAM-SHA-256-PLUS\x00")

// withoutBinding returns an authentication request without the mechanism that binds the login to the TLS channel. The
// channel that the client sees, if any, is this node's and not PostgreSQL's, so the mechanism could only fail; a client
// without TLS does not even begin where it is offered. The request is returned as it is where it is another one.
func withoutBinding(m []byte) []byte {
	body := m[wire.HeaderSize:]
	if len(body) < 4 || body[0]|body[1]|body[2] != 0 || body[3] != 10 || !bytes.HasPrefix(body[4:], saslPlus) {
		return m
	}
	rest := body[4+len(saslPlus):]
	if len(rest) < 2 {
		return m // it would offer nothing
	}
	n := 4 + 4 + len(rest)
	out := append([]byte{m[0], 0, 0, byte(n >> 8), byte(n)}, body[:4]...)
	return append(out, rest...)
}
