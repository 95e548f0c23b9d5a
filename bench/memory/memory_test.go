package main

import (
	"os"
	"strings"
	"testing"

	"github.com/perihelion-proxy/perihelion/bench/client"
)

func TestTheScriptedServerServesEachKind(t *testing.T) {
	server, err := listenScripted("")
	if err != nil {
		t.Fatal(err)
	}
	defer server.close()
	for _, k := range kinds {
		sessions, err := openSessions(t.Context(), server.listener.Addr().String(), 40, k)
		if err != nil || len(sessions) != 40 {
			t.Errorf("%s: %d sessions, %v", k.name, len(sessions), err)
		}
		for _, conn := range sessions {
			if err := conn.Query(client.Simple("SELECT balance FROM accounts"), scriptedRow); err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
			if err := conn.Close(); err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
		}
	}
}

func TestResidentMemoryIsRead(t *testing.T) {
	status := "Name:\tedge\nVmHWM:\t  20480 kB\nVmRSS:\t   1024 kB\nThreads:\t7\n"
	for field, want := range map[string]int64{fieldResident: 1 << 20, fieldPeak: 20 << 20} {
		if got, err := parseResident(status, field); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", field, got, err, want)
		}
	}
	for _, wrong := range []string{"", "VmRSS:\tmuch kB\n"} {
		if got, err := parseResident(wrong, fieldResident); err == nil {
			t.Errorf("%q: got %d, want an error", wrong, got)
		}
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		return // not a Linux
	}
	if got, err := resident(os.Getpid(), fieldResident); err != nil || got < mebibyte {
		t.Errorf("our own: got %d, %v", got, err)
	}
}

func TestTheVerdictNamesWhatCostsTooMuch(t *testing.T) {
	fine := idle{Kind: "only connected", Edge: cost{AtOnce: 50, Settled: 10}}
	r := report{SessionTarget: 10, StreamTarget: 100, Idle: []idle{fine}, Large: []large{{Kind: "rows", Edge: 100, Home: 100, Seconds: 1}}}
	if err := r.verdict(); err != nil {
		t.Errorf("got %v", err)
	}
	r.Idle = append(r.Idle, idle{Kind: "ran statements", Edge: cost{Settled: 11}})
	r.Large = append(r.Large, large{Kind: "COPY in", Home: 101, Seconds: 1})
	err := r.verdict()
	if err == nil || !strings.Contains(err.Error(), "ran statements") || !strings.Contains(err.Error(), "COPY in") || strings.Contains(err.Error(), "rows") {
		t.Errorf("got %v, want an error about two of four", err)
	}
	var text strings.Builder
	r.print(&text)
	if got := strings.Count(text.String(), "FAIL"); got != 2 {
		t.Errorf("%d lines are marked, want 2:\n%s", got, text.String())
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	if _, err := parse([]string{"-sessions", "1", "-bytes", "0"}); err != nil {
		t.Errorf("got %v", err)
	}
	for _, args := range [][]string{{"-sessions", "-1"}, {"-sessions", "0", "-bytes", "0"}, {"-value", "0"}, {"-value", "2000000000"}, {"more"}} {
		o, err := parse(args)
		if err == nil {
			t.Errorf("%v: got %+v, want an error", args, o)
		}
	}
}
