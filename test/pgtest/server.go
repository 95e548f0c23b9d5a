package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const logLinesOnFailure = 60

// Version says which of the supported servers a test wants.
type Version int

const (
	// Newest is the newest PostgreSQL that is supported: what every test gets that does not ask.
	Newest Version = iota
	// Oldest is the oldest.
	Oldest
)

// Versions are the servers for a test whose subject differs between them.
func Versions() map[string]Version { return map[string]Version{"newest": Newest, "oldest": Oldest} }

// shared are the test program's servers, one of each version that a test asked for. They are the only state of the
// package: TestMain ends what any test may have begun.
var shared [2]struct {
	sync.Mutex
	server *postgres.Server
	err    error
}

// Main runs the tests of a package, ends the shared server, and looks for goroutines that outlived the tests. It returns
// the code to exit with.
func Main(m *testing.M) int {
	code := m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		code = max(code, 1)
	}
	if code != 0 {
		// A failed test may well have left goroutines: they would only hide why it failed.
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
		return 1
	}
	return 0
}

// sharedServer returns the test program's server of a version and starts it for the first test. A server that could not
// be started is not tried again.
func sharedServer(ctx context.Context, version Version) (*postgres.Server, error) {
	shared := &shared[version]
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = postgres.Start(ctx, postgres.Options{Oldest: version == Oldest})
		if shared.err == nil {
			shared.err = createGroups(ctx, shared.server)
		}
	}
	return shared.server, shared.err
}

func closeShared() error {
	var all error
	for i := range shared {
		shared := &shared[i]
		shared.Lock()
		if server := shared.server; server != nil {
			shared.server, shared.err = nil, errors.New("the tests are over")
			all = errors.Join(all, server.Close())
		}
		shared.Unlock()
	}
	return all
}

// NewServer starts a server for one test, which may stop, restart and break it. It ends with the test; its log is shown
// where the test failed.
func NewServer(t testing.TB, options postgres.Options) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		showLog(t, server)
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := createGroups(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	return server
}

func showLog(t testing.TB, server *postgres.Server) {
	t.Helper()
	if t.Failed() {
		t.Logf("PostgreSQL's log ends with:\n%s", server.LogTail(logLinesOnFailure))
	}
}
