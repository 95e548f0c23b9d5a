package chaos

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const token = "token-of-the-edges"

// patience bounds what a process may take to get ready.
const patience = 30 * time.Second

// build compiles the program, with build tags.
func build(t *testing.T, tags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perihelion")
	out, err := exec.Command("go", "build", "-tags", tags, "-o", path, "../../cmd/perihelion").CombinedOutput()
	if err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return path
}

// address returns an address of the loopback interface that nobody listened at a moment ago. A node that is started again has
// to listen where it did.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a node that can be killed and started again.
type process struct {
	t            *testing.T
	name         string
	binary       string
	arguments    []string
	listen, http string
	log          *os.File

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

func newProcess(t *testing.T, name, binary string, arguments ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, binary: binary, listen: address(t), http: address(t)}
	p.arguments = append(arguments, "--listen", p.listen, "--http", p.http, "--auth-token", token, "--log-format", "text")
	var err error
	if p.log, err = os.Create(filepath.Join(t.TempDir(), name+".log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		p.log.Close()
		if t.Failed() {
			p.tail()
		}
	})
	return p
}

// tail puts the end of the process' log into the test's.
func (p *process) tail() {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	p.t.Logf("%s said last:\n%s", p.name, strings.Join(lines[max(0, len(lines)-30):], "\n"))
}

// start starts the process. It does not wait until it is ready.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.binary, p.arguments...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = append(os.Environ(), "PGPASSWORD=")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed, sooner or later
	}()
	p.cmd, p.ended = cmd, ended
	return nil
}

// kill ends the process as a power cut does.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // one that has ended by itself is as dead
	<-p.ended
	p.cmd = nil
}

func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// awaitReady waits until the node says that it is.
func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not get ready: %w", p.name, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
