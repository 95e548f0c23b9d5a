package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/registry"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

const (
	registerFields = `send {"edge_id", "region"}`
	resumeHint     = "Last-Event-ID is the id of an event of the stream, Perihelion-Epoch the epoch that registered named"
	maxEpochBytes  = 128
	fullRetry      = 5 * time.Second
)

// register adds an edge and holds its stream open until either side ends it.
func (s *Server) register(c echo.Context) error {
	hello, err := s.hello(c)
	if err != nil {
		return err
	}
	member, err := s.home.Edges.Join(hello)
	switch {
	case errors.Is(err, registry.ErrFull):
		return &Error{
			Status: http.StatusServiceUnavailable, Message: err.Error(),
			Hint: "raise edge.max_edges at the home, or remove an edge", RetryAfter: fullRetry,
		}
	case errors.Is(err, registry.ErrClosed):
		return errShuttingDown()
	case err != nil:
		return fmt.Errorf("register edge: %w", err)
	}
	defer member.Close()
	ctx, end := s.active.stream(c.Request().Context())
	defer end()
	if err := s.stream(ctx, c, member); err != nil {
		s.logger.Debug("stream of an edge ended", telemetry.KeyEdge, hello.ID, telemetry.KeyError, err)
	}
	return nil
}

// hello reads who registers, and from where it wants to resume.
func (s *Server) hello(c echo.Context) (registry.Hello, error) {
	var request link.RegisterRequest
	if err := s.decode(c, maxEdgeBodyBytes, &request, registerFields); err != nil {
		return registry.Hello{}, err
	}
	if !validID(request.EdgeID) {
		return registry.Hello{}, badRequest(idHint, "%q is no edge id", "edge_id")
	}
	if !validLabel(request.Region) {
		return registry.Hello{}, badRequest(registerFields, "%q is longer than %d bytes, or not printable", "region", maxLabelBytes)
	}
	if len(request.Instance) > maxNonceBytes || !validLabel(request.Instance) {
		return registry.Hello{}, badRequest(registerFields, "%q is longer than %d bytes, or not printable", "instance", maxNonceBytes)
	}
	hello := registry.Hello{ID: request.EdgeID, Instance: request.Instance, Region: request.Region, Remote: c.Request().RemoteAddr}
	header := c.Request().Header
	if after := header.Get(link.HeaderLastEventID); after != "" {
		position, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return registry.Hello{}, badRequest(resumeHint, "%s is no position", link.HeaderLastEventID)
		}
		hello.Resume, hello.After = true, invalidation.Version(position)
		if hello.Epoch = header.Get(link.HeaderEpoch); len(hello.Epoch) > maxEpochBytes {
			return registry.Hello{}, badRequest(resumeHint, "%s is no epoch", link.HeaderEpoch)
		}
	}
	return hello, nil
}

// stream writes a member's messages until one of them cannot be written, or the registration ends.
func (s *Server) stream(ctx context.Context, c echo.Context, member *registry.Member) error {
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "text/event-stream")
	header.Set(echo.HeaderCacheControl, "no-store")
	header.Set("X-Accel-Buffering", "no") // a proxy between would hold events back
	c.Response().WriteHeader(http.StatusOK)
	out := &eventWriter{server: s, c: c}
	for {
		wait, cancel := context.WithTimeout(ctx, s.opts.Heartbeat)
		message, err := member.Next(wait)
		cancel()
		switch {
		case err == nil:
			err = out.message(message)
		case ctx.Err() != nil:
			if errors.Is(context.Cause(ctx), errDraining) {
				return out.closed(link.ClosedShutdown, errDraining)
			}
			return context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded):
			err = out.heartbeat()
		case errors.Is(err, registry.ErrRemoved):
			return out.closed(link.ClosedRemoved, err)
		case errors.Is(err, registry.ErrReplaced):
			return out.closed(link.ClosedReplaced, err)
		case errors.Is(err, registry.ErrClosed):
			return out.closed(link.ClosedShutdown, errDraining)
		}
		if err != nil {
			return err
		}
	}
}

// eventWriter writes the events of one stream, each at once and under a deadline of its own.
type eventWriter struct {
	server *Server
	c      echo.Context
	buf    bytes.Buffer
	// position is what the reader may resume from.
	position invalidation.Version
}

func (w *eventWriter) message(message registry.Message) error {
	switch m := message.(type) {
	case registry.Registered:
		w.position = m.Version
		return w.event(link.EventRegistered, link.Registered{
			Epoch: m.Epoch, Version: m.Version, Resumed: m.Resumed, MaxStalenessMS: m.MaxStaleness.Milliseconds(),
		})
	case registry.Reset:
		w.position = m.Version
		return w.event(link.EventReset, link.Reset{Epoch: m.Epoch, Version: m.Version, Reason: m.Reason})
	case registry.Invalidation:
		w.position = m.Position
		return w.event(link.EventInvalidate, link.Invalidate{
			Version: m.Event.Version, Database: m.Event.Database,
			Tables: append([]string{}, m.Event.Tables...), // none is [], not null
			After:  m.After, SentAt: time.Now().UnixMicro(),
		})
	case registry.Holds:
		w.position = m.Position
		h := link.Hold{Ended: m.Ended, All: m.All}
		for _, one := range m.Begun {
			h.Begun = append(h.Begun, link.OneHold{ID: one.ID, Database: one.Database, Tables: one.Tables})
		}
		return w.event(link.EventHold, h)
	case registry.Grant:
		return w.event(link.EventLease, link.Lease{Nonce: m.Nonce})
	}
	panic(fmt.Sprintf("a stream has no event for %T", message))
}

func (w *eventWriter) closed(code string, reason error) error {
	return w.event(link.EventClosed, link.Closed{Code: code, Reason: reason.Error()})
}

func (w *eventWriter) event(name string, data any) error {
	text, err := json.Marshal(data) // one line: JSON escapes every line end
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	w.buf.Reset()
	fmt.Fprintf(&w.buf, "event: %s\nid: %d\ndata: %s\n\n", name, w.position, text)
	return w.flush()
}

func (w *eventWriter) heartbeat() error {
	w.buf.Reset()
	w.buf.WriteString(":\n\n")
	return w.flush()
}

func (w *eventWriter) flush() error {
	w.server.extendWrite(w.c)
	if _, err := w.c.Response().Write(w.buf.Bytes()); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if err := http.NewResponseController(w.c.Response()).Flush(); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if w.buf.Cap() > maxKeptBytes {
		w.buf = bytes.Buffer{}
	}
	return nil
}

// maxKeptBytes is what a stream keeps of its buffer between events.
const maxKeptBytes = 64 << 10
