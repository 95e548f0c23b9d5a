package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	startTimeout = time.Minute          // where the caller's context has no deadline
	readyPoll    = 5 * time.Millisecond // PostgreSQL tells that it is ready in a file
	stopTimeout  = 30 * time.Second     // then a stop becomes immediate
	startTries   = 5                    // ports tried, as another process may take one first
	lowestPort   = 10000                // the range below the usual ephemeral ports: a client that dials
	highestPort  = 32000                // a stopped server can then never be connected to itself
	logTailBytes = 64 << 10
)

// Options say how a server differs from the usual one. The zero value is that one.
type Options struct {
	// Durable makes the server flush its writes to disk (fsync, full_page_writes). A server without survives its own
	// crash, not the machine's.
	Durable bool
	// FreshCluster runs initdb instead of copying a kept cluster, so that the system identifier is this server's own.
	FreshCluster bool
	// Settings are added to postgresql.conf and win over those that the package sets.
	Settings map[string]string
	// HBA are lines for pg_hba.conf, in front of those that the package writes.
	HBA []string
	// Bin is the folder of the server's programs. Empty: that of the environment, or else npm's.
	Bin string
	// Oldest takes npm's oldest server instead of the newest. The environment's folder, if it names one, has both parts.
	Oldest bool
	// Files are copied into the data folder under their own names, for the server alone to read: certificates and keys.
	Files []string
}

// Mode is a way to stop a server.
type Mode int

const (
	// Fast ends all sessions, writes a checkpoint and stops.
	Fast Mode = iota
	// Immediate is a crash: nothing is written any more, and the next start recovers from the WAL.
	Immediate
)

// Server is a running PostgreSQL server and its folder. All methods may be called concurrently.
type Server struct {
	prepared *prepared
	folder   string
	port     int
	watchdog *watchdog

	mu struct {
		sync.Mutex // held while the server starts or stops
		process    *process
		closed     bool
	}
}

// process is one life of the server.
type process struct {
	*os.Process
	ended  chan struct{}
	reason error // how it ended; read after ended is closed
}

// Groups whose members authenticate by a password over TCP, in the method of that name. Everybody else is trusted. The
// roles do not exist until somebody creates them.
const (
	GroupSCRAM     = "auth_scram"
	GroupMD5       = "auth_md5"
	GroupCleartext = "auth_cleartext"
)

const trustingHBA = `
local all all trust
host all +` + GroupSCRAM + ` 127.0.0.1/32 scram-sha-256
host all +` + GroupMD5 + ` 127.0.0.1/32 md5
host all +` + GroupCleartext + ` 127.0.0.1/32 password
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
`

// Start makes a cluster and starts a server on it: superuser `postgres`, no password, wal_level logical, a free port of
// 127.0.0.1. It returns when the server takes connections. The caller closes the result.
func Start(ctx context.Context, options Options) (*Server, error) {
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		ctx = limited
	}
	ready, err := prepare(ctx, options.Bin, options.Oldest)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s, err := newServer(ctx, ready, options)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	for try := 1; ; try++ {
		s.port = freePort()
		err = s.start(ctx)
		if err == nil {
			return s, nil
		}
		var early *earlyEndError
		if !errors.As(err, &early) || try == startTries || !portTaken(s.port) {
			return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Close())
		}
	}
}

// newServer makes the server's folder and configuration, and starts its watchdog.
func newServer(ctx context.Context, ready *prepared, options Options) (_ *Server, err error) {
	removeStale(ready.temp)
	folder, err := os.MkdirTemp(ready.temp, serverPrefix)
	if err != nil {
		return nil, err
	}
	s := &Server{prepared: ready, folder: folder}
	defer func() {
		if err != nil && s.watchdog == nil {
			err = errors.Join(err, os.RemoveAll(folder))
		} else if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	held, err := lock(filepath.Join(folder, lockName), false)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if s.watchdog, err = startWatchdog(folder, held); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o711); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(s.SocketDir(), 0o711), ready.as.own(s.SocketDir())); err != nil {
		return nil, err
	}
	if options.FreshCluster {
		err = ready.initdb(ctx, s.DataDir())
	} else {
		err = copyTree(ready.cluster, s.DataDir(), ready.as, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("make a cluster: %w", err)
	}
	hba := strings.Join(options.HBA, "\n") + trustingHBA
	if err := os.WriteFile(filepath.Join(s.DataDir(), "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	for _, file := range options.Files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("configure: %w", err)
		}
		copied := filepath.Join(s.DataDir(), filepath.Base(file))
		if err := errors.Join(os.WriteFile(copied, content, 0o600), ready.as.own(copied)); err != nil { //nolint:gosec // G703: a test names its own files
			return nil, fmt.Errorf("configure: %w", err)
		}
	}
	if err := s.configure(options); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	return s, nil
}

// configure appends the settings to postgresql.conf, where the last one of a name wins.
func (s *Server) configure(options Options) error {
	onOff := map[bool]string{false: "off", true: "on"}
	lines := []string{
		"listen_addresses = '127.0.0.1'",
		"unix_socket_directories = " + quote(s.SocketDir()),
		"max_connections = 200",
		"max_prepared_transactions = 50",
		"shared_buffers = '64MB'",
		"wal_level = logical",
		"max_wal_senders = 50",
		"max_replication_slots = 50",
		"fsync = " + onOff[options.Durable],
		"full_page_writes = " + onOff[options.Durable],
		"timezone = 'UTC'",
		"log_timezone = 'UTC'",
		"log_line_prefix = '%m [%p] %q%u@%d '",
	}
	for name, value := range options.Settings {
		lines = append(lines, name+" = "+quote(value))
	}
	file, err := os.OpenFile(filepath.Join(s.DataDir(), "postgresql.conf"), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return errors.Join(err, file.Close())
}

func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

// Start starts a server that was stopped, on the same port and the same data, and returns when it takes connections.
func (s *Server) Start(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		ctx = limited
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL again: %w", err)
	}
	return nil
}

// Restart stops the server and starts it again on the same port.
func (s *Server) Restart(ctx context.Context, mode Mode) error {
	if err := s.Stop(mode); err != nil {
		return err
	}
	return s.Start(ctx)
}

// earlyEndError says that the server ended before it took connections.
type earlyEndError struct {
	reason error
	log    string
}

func (e *earlyEndError) Error() string {
	return fmt.Sprintf("it ended (%v) with the log:\n%s", e.reason, e.log)
}

func (e *earlyEndError) Unwrap() error { return e.reason }

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return errors.New("the server is closed")
	}
	if s.mu.process != nil {
		select {
		case <-s.mu.process.ended:
		default:
			return errors.New("the server runs already")
		}
	}
	p, err := s.launchLocked()
	if err != nil {
		return err
	}
	s.mu.process = p
	if err := s.awaitReady(ctx, p); err != nil {
		return errors.Join(err, s.stopLocked(Immediate))
	}
	return nil
}

// launchLocked starts the server's process. Its goroutine ends with the process, which stopLocked waits for.
func (s *Server) launchLocked() (*process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.prepared.program("postgres"), "-D", s.DataDir(), "-p", strconv.Itoa(s.port))
	s.prepared.as.apply(cmd)
	cmd.Dir = s.folder
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{Process: cmd.Process, ended: make(chan struct{})}
	told := s.watchdog.watch(p.Pid)
	go func() {
		defer close(p.ended)
		p.reason = cmd.Wait()
		if p.reason == nil {
			p.reason = errors.New("exit status 0")
		}
		// A watchdog that is gone has nothing left to clean up.
		_ = s.watchdog.watch(0)
	}()
	if told != nil {
		_ = p.Kill()
		<-p.ended
		return nil, told
	}
	return p, nil
}

// awaitReady returns when the server has written that it takes connections, as pg_ctl finds it out.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		select {
		case <-p.ended:
			return &earlyEndError{reason: p.reason, log: s.LogTail(20)}
		case <-ctx.Done():
			return fmt.Errorf("it takes no connections: %w, with the log:\n%s", context.Cause(ctx), s.LogTail(20))
		case <-poll.C:
		}
		text, err := os.ReadFile(filepath.Join(s.DataDir(), "postmaster.pid"))
		if err != nil {
			continue
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) > 7 && lines[0] == strconv.Itoa(p.Pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// Stop stops the server and returns when it has ended. One that is stopped already stays so.
func (s *Server) Stop(mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stopLocked(mode); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) stopLocked(mode Mode) error {
	p := s.mu.process
	if p == nil {
		return nil
	}
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.Signal(signals[mode]); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-p.ended:
		return nil
	case <-limit.C:
	}
	_ = p.Kill()
	<-p.ended
	return fmt.Errorf("it did not end within %v, with the log:\n%s", stopTimeout, s.LogTail(20))
}

// Close ends the server and removes its folder. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil
	}
	s.mu.closed = true
	// The data are thrown away: a checkpoint would be in vain.
	return errors.Join(s.stopLocked(Immediate), s.watchdog.finish())
}

// Addr is where the server listens, as host:port. It stays the same over restarts.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// SocketDir is the folder of the server's Unix socket.
func (s *Server) SocketDir() string { return filepath.Join(s.folder, "s") }

// DataDir is the folder of the cluster.
func (s *Server) DataDir() string { return filepath.Join(s.folder, "data") }

// Version is PostgreSQL's own, such as "18.4".
func (s *Server) Version() string { return s.prepared.version }

// URL returns a connection URL without a password and without TLS.
func (s *Server) URL(user, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: s.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// PID is the server's first process, whose children are the sessions; 0 while it is stopped.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.process == nil {
		return 0
	}
	select {
	case <-s.mu.process.ended:
		return 0
	default:
		return s.mu.process.Pid
	}
}

func (s *Server) logFile() string { return filepath.Join(s.folder, "log") }

// LogTail returns the last lines of the server's log, or why it cannot be read.
func (s *Server) LogTail(lines int) string {
	file, err := os.Open(s.logFile())
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	tail := make([]byte, min(info.Size(), logTailBytes))
	n, _ := file.ReadAt(tail, info.Size()-int64(len(tail)))
	all := strings.Split(strings.TrimRight(string(tail[:n]), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// freePort returns a port that nobody listened on a moment ago.
func freePort() int {
	for range 100 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if !portTaken(port) {
			return port
		}
	}
	return lowestPort
}

func portTaken(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return true
	}
	listener.Close()
	return false
}
