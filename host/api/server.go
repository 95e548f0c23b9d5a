package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/link"
)

const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10

	defaultHeartbeat    = time.Second
	defaultWriteTimeout = 10 * time.Second
)

// Server serves the API on one listener. All methods are safe for concurrent use.
type Server struct {
	opts   Options
	home   *Home
	logger *slog.Logger
	echo   *echo.Echo
	http   *http.Server
	active active
}

// New returns a server that does not serve yet.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Heartbeat <= 0 {
		opts.Heartbeat = defaultHeartbeat
	}
	if opts.WriteTimeout <= 0 {
		opts.WriteTimeout = defaultWriteTimeout
	}
	s := &Server{opts: opts, home: opts.Home, logger: opts.Logger, echo: echo.New()}
	s.active.init()
	s.echo.Logger.SetOutput(io.Discard) // the one log is ours
	s.echo.HTTPErrorHandler = s.fail
	s.echo.Use(s.bound)
	s.routes()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // a tunnel is an upgrade, which HTTP/2 does not know
	s.http = &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(opts.Logger.Handler(), slog.LevelWarn),
	}
	return s
}

func (s *Server) routes() {
	guard := newGuard(s.opts.AuthToken, s.opts.AdminToken)
	probes := []string{http.MethodGet, http.MethodHead}
	s.echo.Match(probes, "/healthz", s.healthz)
	s.echo.Match(probes, "/readyz", s.readyz)
	s.echo.GET("/metrics", s.metrics, guard.forPeople)
	s.echo.GET("/api/stats", s.stats, guard.forPeople)

	s.echo.POST(link.RegisterPath, s.atHome(s.register), guard.forEdges)
	s.echo.POST(link.RenewPath, s.atHome(s.renew), guard.forEdges)
	s.echo.GET(link.WirePath, s.atHome(s.wire), guard.forEdges)
	s.echo.GET("/api/edge", s.atHome(s.edges), guard.forPeople)
	s.echo.DELETE("/api/edge/:id", s.atHome(s.removeEdge), guard.forPeople)
	s.echo.POST("/api/edge/invalidate", s.atHome(s.invalidate), guard.forPeople)
	s.echo.POST("/api/explain", s.atHome(s.explain), guard.forPeople)
	s.echo.GET("/api/policies", s.atHome(s.policies), guard.forPeople)
}

// atHome refuses what only a home can answer.
func (s *Server) atHome(next echo.HandlerFunc) echo.HandlerFunc {
	if s.home != nil {
		return next
	}
	// It does not forward: its own token opens nothing but the log and the tunnel, and a token of the asker's is not its
	// to carry.
	return func(c echo.Context) error {
		hint := "ask the home: edge.home_url names it"
		if s.opts.HomeURL != nil {
			if home := s.opts.HomeURL(); home != "" {
				hint = "ask the home: " + c.Request().Method + " " + strings.TrimSuffix(home, "/") + c.Request().URL.Path
			}
		}
		return &Error{Status: http.StatusNotFound, Message: "this node is an edge", Hint: hint}
	}
}

// doneKey is where a request's context keeps the function that stops counting it.
const doneKey = "perihelion.done"

// bound is around every request: it counts it, bounds how long its answer may take to be read, and recovers.
func (s *Server) bound(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		done, ok := s.active.begin()
		if !ok {
			c.Response().Header().Set("Connection", "close")
			return errShuttingDown()
		}
		defer done()
		c.Set(doneKey, done)
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if abort, ok := cause.(error); !ok || !errors.Is(abort, http.ErrAbortHandler) {
				s.logger.Error("request panicked", "method", c.Request().Method, "route", c.Path(),
					"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			}
			if c.Response().Committed {
				panic(http.ErrAbortHandler) // cuts the connection, so that nobody takes half an answer for a whole one
			}
			err = &Error{Status: http.StatusInternalServerError, Message: "the node failed to answer", Hint: "its log says why"}
		}()
		s.extendWrite(c)
		return next(c)
	}
}

func errShuttingDown() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: "the node is shutting down", Hint: "try again in a moment", RetryAfter: time.Second}
}

// extendWrite gives what is written next its time. An error shows in the write itself.
func (s *Server) extendWrite(c echo.Context) {
	_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(s.opts.WriteTimeout))
}

// ServeHTTP answers one request. It is there for tests; a node calls Serve.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Serve accepts connections until Shutdown or Close, and returns nil then. It takes ownership of the listener.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Shutdown accepts nothing more, ends the streams of edges, and waits for every other request. Where ctx ends first,
// it returns its error, and Close ends the rest. Tunnels are the node's, and go on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.active.drain(errDraining)
	if err := s.http.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down HTTP: %w", err)
	}
	return nil
}

// Close ends every connection but the tunnels, and returns after the last request. It may be called more than once.
func (s *Server) Close() error {
	s.active.drain(errDraining)
	err := s.http.Close()
	s.active.wait()
	if err != nil {
		return fmt.Errorf("close HTTP: %w", err)
	}
	return nil
}
