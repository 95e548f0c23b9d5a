package link

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

func TestSilentStreamIsRedone(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		const inForce = 2 * time.Second
		r.registered("e1", 10, false, inForce)
		for range 10 {
			pass(inForce - time.Second)
			r.speak(":\n\n")
		}
		if got := len(r.registrations()); got != 1 {
			t.Fatalf("registrations while there are heartbeats: got %d, want 1", got)
		}
		pass(inForce + maxBackoff)
		if got := len(r.registrations()); got != 2 {
			t.Errorf("registrations after a silence: got %d, want 2", got)
		}
		if got := r.logs.warnings(); !strings.Contains(fmt.Sprint(got), errSilent.Error()) {
			t.Errorf("log: got %q, want it to say %q", got, errSilent)
		}
	})
}

func TestStreamThatNeverBeginsIsRedone(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		synctest.Wait()
		pass(connectTimeout + 2*time.Second)
		if got := len(r.registrations()); got != 2 {
			t.Errorf("registrations: got %d, want 2", got)
		}
	})
}

func TestForgottenEdgeRegistersAgain(t *testing.T) {
	forget := func(_ *Options, s *script) { s.mu.status = http.StatusNotFound }
	run(t, forget, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		pass(time.Second)
		if got := len(r.registrations()); got != 2 {
			t.Errorf("registrations: got %d, want 2", got)
		}
	})
}

func TestRefusalIsLoggedOnceWithWhatToDoAndRetriedSlowly(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header map[string]string
		least  time.Duration
		says   []string
	}{
		{"a wrong token", 401, nil, slowRetry, []string{"auth_token"}},
		{"a wrong body", 400, nil, slowRetry, []string{"edge.id"}},
		{"too many edges", 503, map[string]string{"Retry-After": "7"}, 7 * time.Second, []string{"max_edges", "503"}},
		{"something that is no home", 302, map[string]string{"Location": "http://elsewhere/"}, slowRetry, []string{"home_url"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refuse := func(_ *Options, s *script) {
				s.answers(func() (int, string, map[string]string) {
					return tt.status, `{"error":"the reason\n"}`, tt.header
				})
			}
			run(t, refuse, func(t *testing.T, r *rig) {
				synctest.Wait()
				pass(tt.least - 1)
				if got := len(r.registrations()); got != 1 {
					t.Errorf("registrations within %v: got %d, want 1", tt.least, got)
				}
				pass(10 * tt.least)
				if got := len(r.registrations()); got < 7 || got > 11 {
					t.Errorf("registrations within %v: got %d, want 7 to 11", 11*tt.least, got)
				}
				logs := r.logs.warnings()
				if len(logs) != 1 {
					t.Fatalf("log: got %q, want one line", logs)
				}
				for _, part := range append(tt.says, "the reason") {
					if !strings.Contains(logs[0], part) {
						t.Errorf("log: got %q, want it to say %q", logs[0], part)
					}
				}
				if strings.Contains(logs[0], "Bearer") {
					t.Errorf("log: got %q, which shows a token", logs[0])
				}
				r.answers(nil)
				r.stream()
				r.registered("e1", 10, false, staleness)
				if logs := r.logs.warnings(); len(logs) != 2 || !strings.Contains(logs[1], "repeated") {
					t.Errorf("log: got %q, want a second line that counts the repeats", logs)
				}
			})
		})
	}
}

func TestEndThatTheHomeAnnounces(t *testing.T) {
	tests := []struct {
		code  string
		lease bool // still holds
		slow  bool // the next registration waits
	}{
		{ClosedRemoved, false, true},
		{ClosedReplaced, false, true},
		{ClosedShutdown, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			run(t, nil, func(t *testing.T, r *rig) {
				r.registered("e1", 10, false, staleness)
				r.grant(r.nonce())
				r.speak("event: closed\ndata: {\"code\":%q,\"reason\":\"why\"}\n\n", tt.code)
				if got := r.lease.Valid(invalidation.Now()); got != tt.lease {
					t.Errorf("lease holds: got %t, want %t", got, tt.lease)
				}
				pass(maxBackoff + time.Millisecond)
				if got, want := len(r.registrations()), map[bool]int{true: 1, false: 2}[tt.slow]; got != want {
					t.Errorf("registrations after %v: got %d, want %d", maxBackoff, got, want)
				}
				pass(2 * slowRetry)
				got := r.registrations()
				if len(got) < 2 || got[1].Get(HeaderLastEventID) != "10" {
					t.Errorf("registrations: got %v, want a second one that resumes", got)
				}
			})
		})
	}
}

func TestNextHomeIsTriedOnFailure(t *testing.T) {
	two := func(o *Options, _ *script) { o.HomeURLs = []string{"http://nowhere:1", homeURL} }
	run(t, two, func(t *testing.T, r *rig) {
		synctest.Wait()
		pass(time.Second)
		r.registered("e1", 10, false, staleness)
		if got := r.link.Status(); !got.Connected || got.Home != homeURL {
			t.Errorf("status: got %+v, want connected to %s", got, homeURL)
		}
		r.hangUp()
		r.stream()
		if got := len(r.registrations()); got != 2 {
			t.Errorf("registrations at the home that was in use: got %d, want 2", got)
		}
	})
}

func TestReconnectingBacksOffBelowHalfOfMaxStaleness(t *testing.T) {
	var attempts []time.Time
	count := func(o *Options, s *script) {
		s.answers(func() (int, string, map[string]string) {
			attempts = append(attempts, time.Now())
			panic(http.ErrAbortHandler) // the connection breaks
		})
	}
	run(t, count, func(t *testing.T, _ *rig) {
		pass(time.Minute)
		synctest.Wait()
		var longest time.Duration
		for i := 1; i < len(attempts); i++ {
			longest = max(longest, attempts[i].Sub(attempts[i-1]))
		}
		if longest > maxBackoff || longest < maxBackoff/2 {
			t.Errorf("longest pause: got %v, want at most %v and more than half of it", longest, maxBackoff)
		}
		if n := len(attempts); n < 25 || n > 400 {
			t.Errorf("attempts in a minute: got %d", n)
		}
	})
}

func TestStopEndsTheRunAndTheStatusSaysSo(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		r.stop()
		if got := r.link.Status(); got.Connected || got.LastError == nil || got.Position != 10 {
			t.Errorf("status: got %+v, want not connected, with a reason, at 10", got)
		}
	})
}

func TestNewRefusesWhatIsNoHome(t *testing.T) {
	for _, url := range []string{"", "home:80", "postgres://home", "http://", "http://user:secret@home", "http://home?x=1", "http://%zz"} {
		_, err := New(Options{HomeURLs: []string{url}, MaxStaleness: time.Second})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q): got %v, want an error without the password", url, err)
		}
	}
	if _, err := New(Options{MaxStaleness: time.Second}); err == nil {
		t.Error("New without a URL: got no error")
	}
	if _, err := New(Options{HomeURLs: []string{homeURL}}); err == nil {
		t.Error("New without max_staleness: got no error")
	}
}

func TestRepeatsCountsWhatItDoesNotLog(t *testing.T) {
	logs := &records{}
	r := repeats{logger: slog.New(logs)}
	for range 3 {
		r.add("m", errRefused)
	}
	r.add("m", errSilent)
	r.over()
	got := logs.mu.lines
	if len(got) != 3 || !strings.Contains(got[1], "repeats=2") || !slices.ContainsFunc(got[2:], func(s string) bool { return strings.Contains(s, "silent") }) {
		t.Errorf("got %q, want the first, its two repeats, and the other", got)
	}
}
