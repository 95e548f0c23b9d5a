package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/perihelion-proxy/perihelion/host/wire"
)

// accept reads startup packets until one asks for a session, and dials its upstream. It returns nil where the
// connection has served its purpose.
func (s *Session) accept(ctx context.Context) (*wire.Startup, error) {
	if err := s.client.SetReadDeadline(time.Now().Add(s.StartTimeout)); err != nil {
		return nil, fmt.Errorf("set deadline on client: %w", err)
	}
	from, err := s.first(ctx)
	for range 3 {
		var start *wire.Startup
		if err == nil {
			start, err = wire.ReadStartup(from)
			from = s.client
		}
		switch {
		case errors.Is(err, wire.ErrStartup):
			s.fatal(&wire.Error{Code: wire.CodeProtocolViolation, Message: err.Error(), Hint: "Connect with a client that speaks version 3 of the PostgreSQL protocol."})
			return nil, err
		case errors.Is(err, io.EOF):
			return nil, nil // a port check
		case err != nil:
			return nil, err
		}
		switch start.Kind {
		case wire.StartupSSL, wire.StartupGSS:
			secure := start.Kind == wire.StartupSSL && s.ClientTLS != nil && !s.secured
			answer := byte('N')
			if secure {
				answer = 'S'
			}
			if _, err := s.client.Write([]byte{answer}); err != nil {
				return nil, fmt.Errorf("answer request for encryption: %w", err)
			}
			if secure {
				// What was sent in the clear behind the request is no handshake, and ends here (CVE-2021-23214).
				if err = s.secure(ctx); err != nil {
					return nil, err
				}
				from = s.client
			}
			continue
		case wire.StartupCancel:
			return nil, s.cancel(ctx, start)
		case wire.StartupSession:
		}
		return start, s.dial(ctx)
	}
	err = fmt.Errorf("%w: too many encryption requests", wire.ErrStartup)
	s.fatal(&wire.Error{Code: wire.CodeProtocolViolation, Message: err.Error()})
	return nil, err
}

func (s *Session) dial(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, s.StartTimeout)
	defer stop()
	conn, err := s.Dial(ctx, Peer{Addr: s.from, Binding: s.binding})
	if err != nil {
		s.fatal(&wire.Error{
			Code: wire.CodeConnectionFailure, Message: "perihelion cannot reach its upstream",
			Detail: err.Error(), Hint: "Check that the upstream runs and accepts connections from this node; GET /readyz tells more.",
		})
		return fmt.Errorf("dial upstream: %w", err)
	}
	s.upstream = conn
	return nil
}

// relay passes bytes both ways without looking at them: replication connections are not sessions of ours. Only their
// login is, where this node is who checks passwords.
func (s *Session) relay(ctx context.Context, start *wire.Startup) error {
	s.back = wire.NewReader(s.upstream, upstreamWindow)
	if _, err := s.upstream.Write(start.Packet); err != nil {
		return fmt.Errorf("forward startup packet: %w", err)
	}
	if s.Verifier != nil {
		if err := s.authenticate(ctx, start.User()); err != nil {
			return err
		}
	}
	if err := s.client.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear deadline on client: %w", err)
	}
	for _, read := range [...]struct {
		from *wire.Reader
		to   net.Conn
	}{{s.in, s.upstream}, {s.back, s.client}} {
		if _, err := read.to.Write(read.from.Window()); err != nil {
			return fmt.Errorf("relay replication: %w", err)
		}
		read.from.Release()
	}
	var g errgroup.Group
	pass := func(to, from net.Conn) func() error {
		return func() error {
			defer s.client.Close()
			defer s.upstream.Close()
			_, err := io.Copy(to, from)
			return err
		}
	}
	g.Go(pass(s.client, s.upstream))
	g.Go(pass(s.upstream, s.client))
	if err := g.Wait(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("relay replication: %w", err)
	}
	return nil
}
