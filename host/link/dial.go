package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WireInfo says whose session a tunnel carries.
type WireInfo struct {
	// ClientAddr is the address of the client, for the home's logs. It may be empty.
	ClientAddr string
	// Binding is the tls-server-end-point of the certificate that the client was shown, nil where it was shown none.
	Binding []byte
}

// Dial opens a tunnel for one session and hands it to the caller, who owns it. It tries the home in use, then the
// others. A home that answered anything else than the upgrade is a [*Refusal] in the error.
func (l *Link) Dial(ctx context.Context, info WireInfo) (net.Conn, error) {
	l.mu.Lock()
	first := l.mu.home
	l.mu.Unlock()
	var failures []error
	for i := range l.homes {
		conn, err := l.dialHome(ctx, l.homes[(first+i)%len(l.homes)], info)
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("open tunnel: %w", errors.Join(failures...))
}

func (l *Link) dialHome(ctx context.Context, home *url.URL, info WireInfo) (_ net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := l.dial(ctx, "tcp", address(home))
	if err != nil {
		return nil, fmt.Errorf("dial home %s: %w", home, err)
	}
	defer func() {
		if err != nil {
			_ = conn.Close() // the error that matters is the one on its way
		}
	}()
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetNoDelay(true); err != nil {
			return nil, fmt.Errorf("set TCP_NODELAY to home %s: %w", home, err)
		}
	}
	// A context that ends unblocks every read and write from here on.
	raw := conn
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if home.Scheme == "https" {
		secure := tls.Client(conn, l.tlsConfig(home))
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS with home %s: %w", home, because(ctx, err))
		}
		conn = secure
	}
	rest, err := l.upgrade(ctx, conn, home, info)
	if err != nil {
		return nil, err
	}
	if !stop() {
		return nil, fmt.Errorf("open tunnel to home %s: %w", home, context.Cause(ctx))
	}
	return Prefixed(conn, rest), nil
}

// upgrade asks for the tunnel and returns what of its bytes came together with the answer.
func (l *Link) upgrade(ctx context.Context, conn net.Conn, home *url.URL, info WireInfo) (rest []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, home.JoinPath(WirePath).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask home %s for a tunnel: %w", home, err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", WireProtocol)
	req.Header.Set("Authorization", "Bearer "+l.opts.Token)
	req.Header.Set(HeaderEdge, l.opts.EdgeID)
	if info.ClientAddr != "" {
		req.Header.Set(HeaderClient, info.ClientAddr)
	}
	if info.Binding != nil {
		req.Header.Set(HeaderBinding, base64.StdEncoding.EncodeToString(info.Binding))
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("ask home %s for a tunnel: %w", home, because(ctx, err))
	}
	// The limit is on the answer alone: the tunnel is read from conn itself.
	r := bufio.NewReader(io.LimitReader(conn, maxHeaderBytes))
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, fmt.Errorf("read the answer of home %s: %w", home, because(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(home.String(), res)
	}
	if got := res.Header.Get("Upgrade"); !strings.EqualFold(got, WireProtocol) {
		return nil, fmt.Errorf("home %s upgrades to %q: %w", home, printable(got), errProtocol)
	}
	rest, _ = r.Peek(r.Buffered()) // no error: this much is there
	return rest, nil
}

func (l *Link) tlsConfig(home *url.URL) *tls.Config {
	config := l.opts.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName = home.Hostname()
	}
	config.NextProtos = []string{"http/1.1"}
	return config
}

func address(home *url.URL) string {
	port := home.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[home.Scheme]
	}
	return net.JoinHostPort(home.Hostname(), port)
}

// Prefixed returns conn with ahead, bytes of it that were read already, put back before the rest; conn itself where
// there are none. It keeps ahead.
func Prefixed(conn net.Conn, ahead []byte) net.Conn {
	if len(ahead) == 0 {
		return conn
	}
	return &prefixed{Conn: conn, prefix: ahead}
}

// prefixed is a connection of which some bytes were read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

// Read returns the bytes that were read already first.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		if p.prefix = p.prefix[n:]; len(p.prefix) == 0 {
			p.prefix = nil
		}
		return n, nil
	}
	return p.Conn.Read(b)
}
