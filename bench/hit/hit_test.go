package main

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/client"
)

func TestTheCannedServerAnswersBothProtocols(t *testing.T) {
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- serveSession(there) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	here.Close()
	if err := <-served; err == nil {
		t.Error("a client that left counts as served")
	}

	go func() {
		conn, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		served <- serveSession(conn)
	}()
	conn, err := client.Dial(t.Context(), listener.Addr().String(), user, database)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Prepare("s", "SELECT $1", int4); err != nil {
		t.Error(err)
	}
	for name, request := range map[string][]byte{"simple": client.Simple("SELECT 1"), "prepared": client.Prepared("s", "1")} {
		if err := conn.Query(request, client.Row(cannedValue)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestProcessorTimeIsRead(t *testing.T) {
	spent, err := processorTime(os.Getpid())
	if errors.Is(err, errNoProc) && !exists("/proc/self/stat") {
		return // not a Linux
	}
	if err != nil || spent < 0 || spent > time.Hour {
		t.Errorf("our own: got %v, %v", spent, err)
	}
	if _, err := processorTime(-1); !errors.Is(err, errNoProc) {
		t.Errorf("of no process: got %v, want %v", err, errNoProc)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestFiguresAreSummedUp(t *testing.T) {
	for name, test := range map[string]struct {
		values []float64
		want   spread
	}{
		"none": {nil, spread{}},
		"one":  {[]float64{3}, spread{3, 3, 3}},
		"odd":  {[]float64{3, 1, 2}, spread{2, 1, 3}},
		"even": {[]float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	rounds := func(perSecond ...float64) (all []slice) {
		for _, value := range perSecond {
			all = append(all, slice{PerSecond: value})
		}
		return all
	}
	if got, want := ratios(rounds(20, 90), rounds(10, 30)), []float64{2, 3}; !slices.Equal(got, want) {
		t.Errorf("ratios: got %v, want %v", got, want)
	}
	hits := uint64(90)
	if share, counted := hitShare([]slice{{Queries: 100, Hits: &hits}, {Queries: 80, Hits: &hits}}); share != 1 || !counted {
		t.Errorf("hits: got %v, %v, want 1", share, counted)
	}
	if _, counted := hitShare([]slice{{Queries: 100}}); counted {
		t.Error("a server that counts no hits has some")
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	fine := options{connections: 1, keys: 1, rounds: 1, slice: time.Second, protocols: []string{"simple"}, rivals: []string{"direct"}}
	if err := fine.check(nil); err != nil {
		t.Errorf("got %v", err)
	}
	for says, change := range map[string]func(*options) []string{
		"unexpected argument \"x\"":   func(*options) []string { return []string{"x"} },
		"more than 0":                 func(o *options) []string { o.rounds = 0; return nil },
		"keys must be 1 to 10000":     func(o *options) []string { o.keys = 10001; return nil },
		"unknown protocol \"binary\"": func(o *options) []string { o.protocols = []string{"binary"}; return nil },
		"unknown server \"mysql\"":    func(o *options) []string { o.rivals = []string{"mysql"}; return nil },
	} {
		wrong := fine
		rest := change(&wrong)
		if err := wrong.check(rest); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want an error that says %q", err, says)
		}
	}
}
