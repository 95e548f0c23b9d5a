package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/perihelion-proxy/perihelion/bench/client"
	"github.com/perihelion-proxy/perihelion/bench/nodes"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

const (
	user     = "postgres"
	database = "postgres"
	rows     = 10000
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

// startCanned starts this program as the server of canned bytes.
func startCanned(programs *nodes.Children) (rival, error) {
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
	one, err := programs.Start("canned", cmd)
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
func startEdge(ctx context.Context, programs *nodes.Children, server *postgres.Server, folder string) (rival, error) {
	built, err := nodes.Build(ctx, folder)
	if err != nil {
		return rival{}, err
	}
	pair, err := programs.Pair(ctx, built, server.URL("postgres", "postgres"))
	if err != nil {
		return rival{}, err
	}
	return rival{
		name:  "edge",
		addr:  pair.Edge.Addr,
		value: balance,
		processes: []process{
			{"edge", pair.Edge.PID}, {"home", pair.Home.PID}, {"postgres", server.PID()},
		},
		stats: func(ctx context.Context) (uint64, error) { return hits(ctx, pair.Edge.HTTP, pair.Token) },
	}, nil
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
