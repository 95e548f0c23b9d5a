package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/client"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	user     = "postgres"
	database = "postgres"
	rows     = 10000

	readyTimeout = 30 * time.Second
	readyPoll    = 20 * time.Millisecond
	endTimeout   = 10 * time.Second
)

// rival is one way to have a query answered.
type rival struct {
	name string
	addr string
	// value is what the server answers for a key.
	value func(key int) string
	// processes are the servers that take part, by what they are called.
	processes []process
	// stats, where the rival has any, is where it counts its hits.
	stats func(context.Context) (hits uint64, err error)
}

type process struct {
	name string
	pid  int
}

func balance(key int) string { return fmt.Sprint(key * 7919 % 100003) }

// startPostgres starts a server with the table of pgbench, ten thousand rows.
func startPostgres(ctx context.Context) (*postgres.Server, error) {
	server, err := postgres.Start(ctx, postgres.Options{Settings: map[string]string{"shared_buffers": "256MB", "autovacuum": "off"}})
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial(ctx, server.Addr(), user, database)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	defer conn.Close()
	for _, sql := range []string{
		"CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))",
		fmt.Sprintf("INSERT INTO pgbench_accounts SELECT aid, 1, aid::bigint * 7919 %% 100003, '' FROM generate_series(1, %d) AS aid", rows),
		"VACUUM ANALYZE pgbench_accounts",
	} {
		if err := conn.Exec(sql); err != nil {
			return nil, errors.Join(err, server.Close())
		}
	}
	return server, nil
}

// children are the programs that a run has started.
type children struct{ started []*child }

type child struct {
	*exec.Cmd
	name   string
	ended  chan struct{}
	reason error // how it ended; read after ended is closed
}

// start starts a program whose errors go to ours. It ends with end.
func (c *children) start(name string, cmd *exec.Cmd) (*child, error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	one := &child{Cmd: cmd, name: name, ended: make(chan struct{})}
	go func() {
		defer close(one.ended)
		one.reason = cmd.Wait()
	}()
	c.started = append(c.started, one)
	return one, nil
}

// end ends the programs, the last one first, and returns when all have ended.
func (c *children) end() {
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

// startCanned starts this program as the server of canned bytes.
func (c *children) startCanned() (rival, error) {
	self, err := os.Executable()
	if err != nil {
		return rival{}, err
	}
	cmd := exec.Command(self, cannedCommand)
	// Held open until we end, which ends the server.
	if _, err := cmd.StdinPipe(); err != nil {
		return rival{}, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return rival{}, err
	}
	defer read.Close()
	cmd.Stdout = write
	one, err := c.start("canned", cmd)
	write.Close()
	if err != nil {
		return rival{}, err
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return rival{}, fmt.Errorf("start the server of canned bytes: %w", err)
	}
	return rival{
		name:      "canned",
		addr:      strings.TrimSpace(line),
		value:     func(int) string { return cannedValue },
		processes: []process{{"canned", one.Process.Pid}},
	}, nil
}

// startEdge builds the two programs as they are deployed, and starts a home at the server and an edge at the home.
func (c *children) startEdge(ctx context.Context, server *postgres.Server, folder string) (rival, error) {
	home, edge := filepath.Join(folder, "home"), filepath.Join(folder, "edge")
	for program, cgo := range map[string]string{home: "1", edge: "0"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/perihelion-proxy/perihelion/cmd/perihelion")
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			return rival{}, fmt.Errorf("build perihelion: %w: %s", err, out)
		}
	}
	policies := filepath.Join(folder, "policies")
	if err := os.Mkdir(policies, 0o700); err != nil {
		return rival{}, err
	}
	var addrs [4]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddr(); err != nil {
			return rival{}, err
		}
	}
	token := rand.Text()
	atHome, err := c.start("home", exec.Command(home, "home", "--upstream", server.URL("postgres", "postgres"),
		"--listen", addrs[0], "--http", addrs[1], "--auth-token", token, "--policies", policies))
	if err != nil {
		return rival{}, err
	}
	if err := awaitReady(ctx, atHome, addrs[1]); err != nil {
		return rival{}, err
	}
	atEdge, err := c.start("edge", exec.Command(edge, "edge", "--home-url", "http://"+addrs[1],
		"--listen", addrs[2], "--http", addrs[3], "--auth-token", token))
	if err != nil {
		return rival{}, err
	}
	if err := awaitReady(ctx, atEdge, addrs[3]); err != nil {
		return rival{}, err
	}
	return rival{
		name:  "edge",
		addr:  addrs[2],
		value: balance,
		processes: []process{
			{"edge", atEdge.Process.Pid}, {"home", atHome.Process.Pid}, {"postgres", server.PID()},
		},
		stats: func(ctx context.Context) (uint64, error) { return hits(ctx, addrs[3], token) },
	}, nil
}

// awaitReady returns when the node says that it takes sessions.
func awaitReady(ctx context.Context, one *child, addr string) error {
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
		case <-one.ended:
			return fmt.Errorf("the %s ended at once: %w", one.name, one.reason)
		case <-ctx.Done():
			return fmt.Errorf("the %s is not ready: %w", one.name, ctx.Err())
		case <-poll.C:
		}
	}
}

// hits asks a node how many queries it has answered from memory.
func hits(ctx context.Context, addr, token string) (uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/stats", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the edge's figures: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("read the edge's figures: %w", err)
	}
	var stats struct {
		Cache struct {
			Hits *uint64 `json:"hits"`
		} `json:"cache"`
	}
	if err := json.Unmarshal(body, &stats); err != nil || stats.Cache.Hits == nil {
		return 0, fmt.Errorf("read the edge's figures: %s: no cache.hits in %q", response.Status, body)
	}
	return *stats.Cache.Hits, nil
}

func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
