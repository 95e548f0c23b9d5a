package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: perihelion-wire/1\r\n\r\n"

// answering starts a server that reads one request and writes raw, and returns its address. It keeps the connection
// open until the test ends, or closes it at once.
func answering(t *testing.T, raw string, closes bool) (address string, request func() *http.Request) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan *http.Request, 1)
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		asked <- r
		_, _ = io.WriteString(conn, raw)
		if !closes {
			<-ended
		}
	})
	t.Cleanup(func() { close(ended); _ = listener.Close(); all.Wait() })
	return listener.Addr().String(), func() *http.Request { return <-asked }
}

func linkTo(t *testing.T, change func(*Options), urls ...string) *Link {
	t.Helper()
	opts := Options{
		HomeURLs: urls, Token: "secret", EdgeID: "a", Floors: invalidation.NewFloors(""), Lease: &invalidation.Lease{}, MaxStaleness: time.Second,
	}
	if change != nil {
		change(&opts)
	}
	l, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDialAsksForTheTunnelAndLosesNoByte(t *testing.T) {
	address, request := answering(t, switching+"already here", false)
	conn, err := linkTo(t, nil, "http://"+address+"/base").Dial(t.Context(), WireInfo{ClientAddr: "192.0.2.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := request()
	got := []string{
		r.Method, r.URL.Path, r.Header.Get("Connection"), r.Header.Get("Upgrade"), r.Header.Get("Authorization"), r.Header.Get(HeaderEdge), r.Header.Get(HeaderClient),
	}
	want := []string{"GET", "/base/api/edge/wire", "Upgrade", "perihelion-wire/1", "Bearer secret", "a", "192.0.2.1:9"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("request: got %q, want %q", got, want)
	}
	buf := make([]byte, len("already here"))
	if _, err := io.ReadFull(iotest.OneByteReader(conn), buf); err != nil || string(buf) != "already here" {
		t.Errorf("first bytes: got %q, %v", buf, err)
	}
}

func TestDialFailsWithWhatTheHomeSays(t *testing.T) {
	tests := []struct {
		name, answer string
		status       int // of the Refusal; 0: another error
		says         string
	}{
		{"a refusal with a reason", "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 23\r\n\r\n{\"error\":\"is draining\"}", 503, "is draining"},
		{"a refusal without one", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, "401 Unauthorized"},
		{"an answer that is no upgrade", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "200"},
		{"an upgrade to something else", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 0, "websocket"},
		{"something that is not HTTP", "SSH-2.0-x\r\n\r\n", 0, "malformed"},
		{"a header without an end", "HTTP/1.1 101 Switching Protocols\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes), 0, "EOF"},
		{"nothing", "", 0, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			endless := len(tt.answer) > maxHeaderBytes
			address, _ := answering(t, tt.answer, !endless)
			conn, err := linkTo(t, nil, "http://"+address).Dial(t.Context(), WireInfo{})
			if err == nil {
				conn.Close()
				t.Fatal("got a connection, want an error")
			}
			refusal, ok := errors.AsType[*Refusal](err)
			if ok != (tt.status != 0) || ok && refusal.Status != tt.status {
				t.Errorf("got %v, want a refusal with status %d", err, tt.status)
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want it to say %q, and no token", err, tt.says)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	address, request := answering(t, "", false)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the client left")
	go func() { request(); cancel(why) }()
	if _, err := linkTo(t, nil, "http://"+address).Dial(ctx, WireInfo{}); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
}

func TestDialTriesTheNextHome(t *testing.T) {
	address, _ := answering(t, switching, false)
	l := linkTo(t, func(o *Options) {
		o.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == "nowhere:80" {
				return nil, errRefused
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		}
	}, "http://nowhere", "http://"+address)
	conn, err := l.Dial(t.Context(), WireInfo{})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestDialOverTLSChecksTheHome(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, switching+"hello")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	conn, err := linkTo(t, func(o *Options) { o.TLS = &tls.Config{RootCAs: roots} }, server.URL).Dial(t.Context(), WireInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("got %q, %v; want hello", got, err)
	}
	_, err = linkTo(t, nil, server.URL).Dial(t.Context(), WireInfo{})
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("a home that the system's roots do not know: got %v, want a certificate error", err)
	}
}
