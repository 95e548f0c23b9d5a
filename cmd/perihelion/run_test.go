package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
)

// fakeNode is a node whose life a test directs.
type fakeNode struct {
	listenErr, closeErr error
	http                net.Addr
	serve               func(context.Context) error
	drain               func(context.Context) error
	closed              int
}

func (n *fakeNode) Listen() error                   { return n.listenErr }
func (n *fakeNode) Addr() net.Addr                  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40001} }
func (n *fakeNode) HTTPAddr() net.Addr              { return n.http }
func (n *fakeNode) Serve(ctx context.Context) error { return n.serve(ctx) }
func (n *fakeNode) Drain(ctx context.Context) error { return n.drain(ctx) }

func (n *fakeNode) Close() error {
	n.closed++
	return n.closeErr
}

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func causeWhenDone(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestTheLifeOfANode(t *testing.T) {
	quick := func(context.Context) error { return nil }
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		node fakeNode
		// stuck: Serve ends only when the test does, whatever its context says.
		stuck  bool
		sigs   int
		want   string
		after  time.Duration
		closed int
	}{
		{name: "a first signal drains and the node ends well", node: fakeNode{serve: untilDone, drain: quick}, sigs: 1, closed: 1},
		{name: "running statements are waited for", node: fakeNode{serve: untilDone, drain: func(context.Context) error {
			<-time.After(3 * time.Second)
			return nil
		}}, sigs: 1, after: 3 * time.Second, closed: 1},
		{
			name: "a drain that takes too long is a failure with a hint", node: fakeNode{serve: untilDone, drain: causeWhenDone}, sigs: 1,
			want: "statements were still running 5s after the signal and were cut off (drain_timeout)", after: 5 * time.Second, closed: 1,
		},
		{name: "a drain that fails is a failure", node: fakeNode{serve: untilDone, drain: func(context.Context) error { return broken }}, sigs: 1, want: "broken", closed: 1},
		{name: "a second signal ends the drain at once", node: fakeNode{serve: untilDone, drain: causeWhenDone}, sigs: 2, want: errEndedAtOnce.Error()},
		{name: "a second signal ends a node that does not stop", node: fakeNode{drain: quick}, stuck: true, sigs: 2, want: errEndedAtOnce.Error()},
		{name: "a node that fails ends without a signal", node: fakeNode{serve: func(context.Context) error { return broken }, drain: quick}, want: "broken", closed: 1},
		{name: "a node that fails while it drains says so", node: fakeNode{serve: func(ctx context.Context) error {
			<-ctx.Done()
			return broken
		}, drain: quick}, sigs: 1, want: "broken", closed: 1},
		{name: "what Close says is not lost", node: fakeNode{serve: untilDone, drain: quick, closeErr: broken}, sigs: 1, want: "broken", closed: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, release := c.node, make(chan struct{})
				if c.stuck {
					n.serve = func(context.Context) error {
						<-release
						return nil
					}
				}
				signals := make(chan os.Signal, 2)
				done := make(chan error, 1)
				start := time.Now()
				go func() { done <- live(&n, 5*time.Second, signals, slog.New(slog.DiscardHandler)) }()
				for range c.sigs {
					synctest.Wait()
					signals <- syscall.SIGTERM
				}
				err := <-done
				if got := errorText(err); got != c.want {
					t.Errorf("got error %q, want %q", got, c.want)
				}
				if got := time.Since(start); got != c.after {
					t.Errorf("got an end after %s, want %s", got, c.after)
				}
				if n.closed != c.closed {
					t.Errorf("got %d closes, want %d", n.closed, c.closed)
				}
				close(release)
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// home runs `perihelion home` with a fake node until a signal that is there already.
func home(n *fakeNode, newErr error, args ...string) (code int, log string) {
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGINT
	var stderr bytes.Buffer
	code = run(append([]string{"home", "--upstream", "postgres://h", "--log-format", "text"}, args...), world{
		stdout: io.Discard, stderr: &stderr, signals: signals, exit: func(int) {},
		newNode: func(*config.Config, *slog.Logger) (lifecycle, error) { return n, newErr },
	})
	return code, stderr.String()
}

func TestTheStartTellsTheAddressesThatAreReallyBound(t *testing.T) {
	n := &fakeNode{serve: untilDone, drain: func(context.Context) error { return nil }, http: &net.TCPAddr{IP: net.IPv6loopback, Port: 40002}}
	code, log := home(n, nil, "--listen", "127.0.0.1:0", "--http", ":0", "--auth-token", "T")
	for _, want := range []string{
		`msg="node started" role=home`, `msg=listening listener=postgres address=127.0.0.1:40001`,
		`msg=listening listener=http address=[::1]:40002`, `msg="node ended"`, "signal=interrupt timeout=30s",
		`level=WARN msg="the configuration may not mean this" warning="edge.auth_token is shorter`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("got log\n%s\nwithout %s", log, want)
		}
	}
	if code != exitOK {
		t.Errorf("got exit code %d, want 0", code)
	}
}

func TestANodeWithoutHTTPTellsOneListener(t *testing.T) {
	_, log := home(&fakeNode{serve: untilDone, drain: func(context.Context) error { return nil }}, nil)
	if strings.Count(log, "msg=listening") != 1 {
		t.Errorf("got\n%s\nwant one listener", log)
	}
}

func TestFailuresOnStart(t *testing.T) {
	for _, c := range []struct {
		name      string
		listenErr error
		newErr    error
		want      string
	}{
		{
			"an address in use comes with a hint", &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}, nil,
			"perihelion: error: listen: address already in use\nperihelion: hint: another program has the address: end it, or choose another with --listen or --http\n",
		},
		{
			"an address of another machine comes with a hint", syscall.EADDRNOTAVAIL, nil,
			"perihelion: error: cannot assign requested address\nperihelion: hint: the address is not one of this machine: 0.0.0.0 or nothing before the colon means all of them\n",
		},
		{
			"a reserved port comes with a hint", syscall.EACCES, nil,
			"perihelion: error: permission denied\nperihelion: hint: the system reserves the port: choose one from 1024\n",
		},
		{"anything else is said as it is", errors.New("no sockets"), nil, "perihelion: error: no sockets\n"},
		{"a node that cannot be made is said as it is", nil, errors.New("no parser"), "perihelion: error: no parser\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &fakeNode{listenErr: c.listenErr}
			code, log := home(n, c.newErr)
			if code != exitFailure || log != c.want {
				t.Errorf("got %d, %q, want 1, %q", code, log, c.want)
			}
			if c.listenErr != nil && n.closed != 1 {
				t.Errorf("got %d closes, want 1", n.closed)
			}
		})
	}
}
