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

// shared is the test program's server. It is the only state of the package: TestMain ends what any test may have begun.
var shared struct {
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

// sharedServer returns the test program's server and starts it for the first test. A server that could not be started is
// not tried again.
func sharedServer(ctx context.Context) (*postgres.Server, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = postgres.Start(ctx, postgres.Options{})
		if shared.err == nil {
			shared.err = createGroups(ctx, shared.server)
		}
	}
	return shared.server, shared.err
}

func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	server := shared.server
	if server == nil {
		return nil
	}
	shared.server, shared.err = nil, errors.New("the tests are over")
	return server.Close()
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
