package session

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/host/scram"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// Kinds of authentication request (PostgreSQL 18, "Message Formats", AuthenticationOk and those behind it).
const (
	authOK           = 0
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// maxAuth bounds a message of the login, in bytes.
const maxAuth = 16 << 10

// Peer is the client of a session as its upstream should know it.
type Peer struct {
	// Addr is where it connected from.
	Addr string
	// Binding is the tls-server-end-point of the certificate that it was shown; nil where it was shown none.
	Binding []byte
}

// authenticate lets the client prove its password to this node, and logs in to PostgreSQL with what the proof gives away.
// So both legs may be TLS with a certificate of their own, and each login is bound to its own (PostgreSQL 18, "SASL
// Authentication"). It leaves PostgreSQL's AuthenticationOk to be read.
func (s *Session) authenticate(ctx context.Context, user string) error {
	if err := s.upstream.SetReadDeadline(time.Now().Add(s.StartTimeout)); err != nil {
		return fmt.Errorf("set deadline on upstream: %w", err)
	}
	code, body, err := s.authRequest()
	if err != nil {
		return err
	}
	if code != authOK && code != authSASL {
		s.fatal(&wire.Error{
			Code: wire.CodeInvalidAuthorization, Message: "perihelion cannot log in to PostgreSQL for its client",
			Detail: fmt.Sprintf("PostgreSQL asks this node for authentication of kind %d; with auth: scram it must ask for scram-sha-256.", code),
			Hint:   "Let pg_hba.conf ask this node for scram-sha-256.",
		})
		return fmt.Errorf("authenticate: PostgreSQL asks for authentication of kind %d", code)
	}
	var offered []string
	if code == authSASL {
		offered = mechanisms(body)
		s.back.Advance(len(body) + 4 + wire.HeaderSize)
	}
	keys, last, err := s.prove(ctx, user)
	if err != nil {
		return err
	}
	if code == authSASL {
		if err := s.logIn(keys, offered); err != nil {
			return err
		}
	}
	if err := s.upstream.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline on upstream: %w", err)
	}
	return s.request(authSASLFinal, last)
}

// prove takes the client's proof. It returns what the proof gives away, and the answer to it, which is not sent yet.
func (s *Session) prove(ctx context.Context, user string) (scram.Keys, string, error) {
	lookup, stop := context.WithTimeout(ctx, s.StartTimeout)
	defer stop()
	verifier, why, err := s.Verifier(lookup, user)
	if err != nil {
		s.fatal(&wire.Error{Code: wire.CodeConnectionFailure, Message: "perihelion cannot check passwords now", Hint: "The home's log says why its auth_query failed."})
		return scram.Keys{}, "", fmt.Errorf("run auth_query: %w", err)
	}
	server, err := scram.NewServer(verifier, s.binding)
	if err != nil {
		return scram.Keys{}, "", err
	}
	if err := s.request(authSASL, strings.Join(server.Mechanisms(), "\x00")+"\x00\x00"); err != nil {
		return scram.Keys{}, "", err
	}
	m, err := s.password()
	if err != nil {
		return scram.Keys{}, "", err
	}
	mechanism, rest, ok := wire.CutString(m)
	if !ok || len(rest) < 4 || int(int32(binary.BigEndian.Uint32(rest))) != len(rest)-4 {
		return scram.Keys{}, "", s.malformed(errors.New("malformed SASL message"))
	}
	first, err := server.First(string(mechanism), string(rest[4:]))
	if err != nil {
		return scram.Keys{}, "", s.malformed(err)
	}
	if err := s.request(authSASLContinue, first); err != nil {
		return scram.Keys{}, "", err
	}
	if m, err = s.password(); err != nil {
		return scram.Keys{}, "", err
	}
	last, keys, err := server.Final(string(m))
	if err != nil {
		// The same words whether or not there is such a role: see scram.Mock.
		s.fatal(&wire.Error{Code: wire.CodeInvalidPassword, Message: `password authentication failed for user "` + user + `"`})
		return scram.Keys{}, "", fmt.Errorf("client of role %q refused: %w", user, errors.Join(err, why))
	}
	return keys, last, nil
}

// logIn logs in to PostgreSQL with a client's keys.
func (s *Session) logIn(keys scram.Keys, offered []string) error {
	secured, ok := s.upstream.(*tls.Conn)
	var binding []byte
	if ok {
		if shown := secured.ConnectionState().PeerCertificates; len(shown) > 0 {
			binding = scram.EndPoint(shown[0])
		}
	}
	client, err := scram.NewClient(keys, offered, ok, binding)
	if err != nil {
		return s.cannotLogIn(err)
	}
	mechanism, first := client.First()
	body := append([]byte(mechanism), 0)
	body = binary.BigEndian.AppendUint32(body, uint32(len(first)))
	if err := s.answerAuth(append(body, first...)); err != nil {
		return err
	}
	for step, kind := range [...]uint32{authSASLContinue, authSASLFinal} {
		code, body, err := s.authRequest()
		switch {
		case err != nil:
			return err
		case code != kind:
			return s.cannotLogIn(fmt.Errorf("authentication request %d in place of %d", code, kind))
		}
		text := string(body)
		s.back.Advance(len(body) + 4 + wire.HeaderSize)
		if step == 1 {
			if err := client.Verify(text); err != nil {
				return s.cannotLogIn(err)
			}
			return nil
		}
		proof, err := client.Final(text)
		if err != nil {
			return s.cannotLogIn(err)
		}
		if err := s.answerAuth([]byte(proof)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) cannotLogIn(err error) error {
	s.fatal(&wire.Error{Code: wire.CodeInvalidAuthorization, Message: "perihelion cannot log in to PostgreSQL for its client", Detail: err.Error()})
	return fmt.Errorf("log in to PostgreSQL: %w", err)
}

func (s *Session) malformed(err error) error {
	s.fatal(&wire.Error{Code: wire.CodeProtocolViolation, Message: err.Error()})
	return fmt.Errorf("authenticate: %w", err)
}

// request sends an authentication request to the client.
func (s *Session) request(code uint32, text string) error {
	m := binary.BigEndian.AppendUint32([]byte{wire.Authentication}, uint32(8+len(text)))
	m = binary.BigEndian.AppendUint32(m, code)
	s.write.Lock()
	defer s.write.Unlock()
	return s.toClient(append(m, text...))
}

// password reads what the client answers to an authentication request. The bytes are a copy.
func (s *Session) password() ([]byte, error) {
	kind, m, err := nextMessage(s.in)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errDone // a client that goes to ask its user
	case errors.Is(err, wire.ErrWindowFull):
		return nil, s.malformed(errors.New("message of the login is too long"))
	case err != nil:
		return nil, fmt.Errorf("read from client: %w", err)
	case kind != wire.Password:
		return nil, s.malformed(fmt.Errorf("expected SASL response, got message type %d", kind))
	}
	body := append([]byte(nil), m[wire.HeaderSize:]...)
	s.in.Advance(len(m))
	return body, nil
}

// answerAuth answers PostgreSQL's authentication request.
func (s *Session) answerAuth(body []byte) error {
	m := binary.BigEndian.AppendUint32([]byte{wire.Password}, uint32(4+len(body)))
	if _, err := s.upstream.Write(append(m, body...)); err != nil {
		return fmt.Errorf("write to upstream: %w", err)
	}
	return nil
}

// authRequest reads PostgreSQL's next authentication request, and leaves it in the window. What comes before it is the
// client's; an error among that is the end.
func (s *Session) authRequest() (code uint32, body []byte, err error) {
	for {
		kind, m, err := nextMessage(s.back)
		if err != nil {
			return 0, nil, fmt.Errorf("read from upstream: %w", err)
		}
		if kind == wire.Authentication && len(m) >= wire.HeaderSize+4 {
			return binary.BigEndian.Uint32(m[wire.HeaderSize:]), m[wire.HeaderSize+4:], nil
		}
		s.write.Lock()
		err = s.toClient(m)
		s.write.Unlock()
		s.back.Advance(len(m))
		switch {
		case err != nil:
			return 0, nil, err
		case kind == wire.ErrorResponse:
			return 0, nil, errDone
		}
	}
}

// nextMessage returns the message at the start of a reader's window, of at most maxAuth bytes.
func nextMessage(r *wire.Reader) (kind byte, m []byte, err error) {
	for {
		kind, size, ok, err := wire.Header(r.Window())
		switch {
		case err != nil:
			return 0, nil, err
		case ok && size > maxAuth:
			return 0, nil, wire.ErrWindowFull
		case ok && size <= len(r.Window()):
			return kind, r.Window()[:size], nil
		}
		if err := r.More(); err != nil {
			return 0, nil, err
		}
	}
}

// mechanisms returns the mechanisms that an AuthenticationSASL offers.
func mechanisms(body []byte) []string {
	var all []string
	for {
		name, rest, ok := wire.CutString(body)
		if !ok || len(name) == 0 {
			return all
		}
		all, body = append(all, string(name)), rest
	}
}
