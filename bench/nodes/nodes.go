// Package nodes starts a home and an edge as programs of their own, as they are deployed, for benchmarks.
package nodes

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	readyTimeout = 30 * time.Second
	readyPoll    = 20 * time.Millisecond
	endTimeout   = 10 * time.Second
)

// Children are the programs that a run has started. They are used by one goroutine.
type Children struct{ started []*Child }

// Child is one program.
type Child struct {
	*exec.Cmd
	name   string
	ended  chan struct{}
	reason error // how it ended; read after ended is closed
}

// Start starts a program whose errors go to ours. It ends with End.
func (c *Children) Start(name string, cmd *exec.Cmd) (*Child, error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	one := &Child{Cmd: cmd, name: name, ended: make(chan struct{})}
	go func() {
		defer close(one.ended)
		one.reason = cmd.Wait()
	}()
	c.started = append(c.started, one)
	return one, nil
}

// End ends the programs, the last one first, and returns when all have ended.
func (c *Children) End() {
	for len(c.started) > 0 {
		last := c.started[len(c.started)-1]
		c.started = c.started[:len(c.started)-1]
		_ = last.Process.Signal(os.Interrupt)
		select {
		case <-last.ended:
		case <-time.After(endTimeout):
			fmt.Fprintf(os.Stderr, "%s did not end in %v: killed\n", last.name, endTimeout)
			_ = last.Process.Kill()
			<-last.ended
		}
	}
}

// Pair is a home and an edge of it.
type Pair struct {
	Home, Edge Node
	// Token opens the API of both.
	Token string
}

// Node is one of the two.
type Node struct {
	// Addr is where it takes clients, HTTP where its API is.
	Addr, HTTP string
	PID        int
}

// Programs are the paths of the programs of a home and of an edge.
type Programs struct{ home, edge string }

// Build builds the two programs into a folder. The working directory is this module's, as `just bench` has it.
func Build(ctx context.Context, folder string) (Programs, error) {
	p := Programs{home: filepath.Join(folder, "home"), edge: filepath.Join(folder, "edge")}
	for program, cgo := range map[string]string{p.home: "1", p.edge: "0"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/perihelion-proxy/perihelion/cmd/perihelion")
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build perihelion: %w: %s", err, out)
		}
	}
	return p, nil
}

// Pair starts a home before the Postgres of a URL, without policies, and an edge of it, and returns when both take
// sessions. arguments are given to both.
func (c *Children) Pair(ctx context.Context, programs Programs, upstream string, arguments ...string) (Pair, error) {
	var addrs [4]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddr(); err != nil {
			return Pair{}, err
		}
	}
	p := Pair{Home: Node{Addr: addrs[0], HTTP: addrs[1]}, Edge: Node{Addr: addrs[2], HTTP: addrs[3]}, Token: rand.Text()}
	start := func(name string, node *Node, command ...string) error {
		command = append(command, "--listen", node.Addr, "--http", node.HTTP, "--auth-token", p.Token)
		one, err := c.Start(name, exec.Command(command[0], append(command[1:], arguments...)...))
		if err != nil {
			return err
		}
		node.PID = one.Process.Pid
		return one.awaitReady(ctx, node.HTTP)
	}
	if err := start("home", &p.Home, programs.home, "home", "--upstream", upstream); err != nil {
		return p, err
	}
	return p, start("edge", &p.Edge, programs.edge, "edge", "--home-url", "http://"+p.Home.HTTP)
}

// awaitReady returns when the node says that it takes sessions.
func (c *Child) awaitReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-c.ended:
			return fmt.Errorf("the %s ended at once: %w", c.name, c.reason)
		case <-ctx.Done():
			return fmt.Errorf("the %s is not ready: %w", c.name, ctx.Err())
		case <-poll.C:
		}
	}
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
