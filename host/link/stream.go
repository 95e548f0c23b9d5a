package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

var errSilent = errors.New("the home's stream was silent for too long")

// closedError is the end of a stream that the home announced.
type closedError struct{ Closed }

func (e *closedError) Error() string {
	return fmt.Sprintf("the home ended the stream: %s: %s", e.Code, e.Reason)
}

func (e *closedError) hint() string {
	switch e.Code {
	case ClosedReplaced:
		return "give each edge an edge.id of its own"
	case ClosedRemoved:
		return "nothing: this edge registers again in a moment"
	}
	return "nothing: this edge tries again in a moment"
}

// stream is one registration, from the answer's header to its end. One goroutine uses it.
type stream struct {
	link *Link
	home *url.URL
	// asked is set where the registration asked to resume.
	asked bool
	epoch string
	began time.Time // zero before the registered event
	// chain is the version of the last invalidation, or where the stream began: what the next one has to follow.
	chain invalidation.Version
	// holds are those that this stream has begun and not ended.
	holds map[uint64]struct{}
	// acks is woken when the home waits to hear what was applied.
	acks chan struct{}
}

// follow registers with the home in use and applies its stream until it ends. It returns when the stream began,
// the zero time where it did not get so far, and always an error. No goroutine outlives it.
func (l *Link) follow(ctx context.Context, complaints *repeats) (began time.Time, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cancel(nil)

	s, header := l.hello()
	silence := time.AfterFunc(connectTimeout, func() { cancel(errSilent) })
	defer silence.Stop()
	res, err := l.post(ctx, s.home, RegisterPath, RegisterRequest{EdgeID: l.opts.EdgeID, Region: l.opts.Region, Instance: l.instance}, header)
	if err != nil {
		return s.began, fmt.Errorf("register with home: %w", because(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s.began, fmt.Errorf("register with home: %w", refusal(s.home.String(), res))
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return s.began, fmt.Errorf("register with home: content type %q: %w", printable(res.Header.Get("Content-Type")), errProtocol)
	}
	body := &heard{r: res.Body, timer: silence, limit: connectTimeout}
	events := newParser(body)
	for {
		event, err := events.next()
		if err == nil {
			err = s.handle(event)
		}
		if err != nil {
			if errors.Is(err, errProtocol) || errors.Is(err, errEventTooLarge) {
				// What was not understood may have been an event: it is a gap, and nothing is resumed from here.
				l.forget()
			}
			return s.began, fmt.Errorf("follow the home's stream: %w", because(ctx, err))
		}
		if event.name == EventRegistered {
			complaints.over()
			inForce, every := l.intervals()
			body.limit = inForce
			renewing.Go(func() { l.renewals(ctx, s.home, every, func() { cancel(errForgotten) }) })
			renewing.Go(func() { l.acknowledge(ctx, s.home, s.acks, every) })
		}
	}
}

// because returns why ctx ended where it has, else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// heard restarts a timer with every byte that is read.
type heard struct {
	r     io.Reader
	timer *time.Timer
	limit time.Duration
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		h.timer.Reset(h.limit)
	}
	return n, err
}

// hello returns a stream that is about to be asked for, and the header that asks to resume it.
func (l *Link) hello() (*stream, http.Header) {
	header := http.Header{}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &stream{
		link: l, home: l.homes[l.mu.home], asked: l.mu.resumable,
		holds: map[uint64]struct{}{}, acks: make(chan struct{}, 1),
	}
	if s.asked {
		header.Set(HeaderEpoch, l.mu.epoch)
		header.Set(HeaderLastEventID, strconv.FormatUint(uint64(l.mu.position), 10))
	}
	return s, header
}

// forget makes the next registration begin anew. What is held stays valid until then, as long as the lease holds.
func (l *Link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.resumable = false
}

// intervals returns how long a lease lasts and how often it is renewed.
func (l *Link) intervals() (inForce, every time.Duration) {
	l.mu.Lock()
	inForce = l.mu.inForce
	l.mu.Unlock()
	every = l.opts.RenewInterval
	if every <= 0 {
		every = inForce / 5
	}
	return inForce, max(min(every, inForce/3), time.Millisecond)
}

// handle applies one event of the stream. An event of a name that is not known is for other readers.
func (s *stream) handle(event serverEvent) error {
	switch event.name {
	case EventRegistered, EventInvalidate, EventHold, EventLease, EventReset:
		if (event.name == EventRegistered) != s.began.IsZero() {
			return fmt.Errorf("event %s: out of place: %w", event.name, errProtocol)
		}
	}
	switch event.name {
	case EventRegistered:
		return decoded(event, s.registered)
	case EventInvalidate:
		return decoded(event, func(i Invalidate) error { return s.invalidate(event.id, i) })
	case EventHold:
		return decoded(event, func(h Hold) error { return s.hold(event.id, h) })
	case EventLease:
		return decoded(event, func(g Lease) error { s.link.granted(g.Nonce); return nil })
	case EventReset:
		return decoded(event, s.reset)
	case EventClosed:
		return decoded(event, s.closed)
	}
	return nil
}

func decoded[T any](event serverEvent, apply func(T) error) error {
	var data T
	if err := json.Unmarshal(event.data, &data); err != nil {
		return fmt.Errorf("event %s: %w: %w", event.name, errProtocol, err)
	}
	return apply(data)
}

// registered begins the stream. Unless it goes on from exactly where this edge is, all that the edge holds is void
// before anything else is applied, and so before a lease is extended (R5, R6).
func (s *stream) registered(r Registered) error {
	staleness := time.Duration(r.MaxStalenessMS) * time.Millisecond
	if r.Epoch == "" || staleness <= 0 {
		return fmt.Errorf("event %s: no epoch or no max_staleness_ms: %w", EventRegistered, errProtocol)
	}
	l := s.link
	s.epoch, s.chain, s.began = r.Epoch, r.Version, time.Now()
	resumed := r.Resumed && s.asked && l.at(r.Epoch, r.Version) && l.opts.Floors.Epoch() == r.Epoch
	if !resumed {
		// What a hold covers is not known before the first batch, and a lease of before the stream says nothing of it.
		l.opts.Lease.End()
		l.opts.Floors.Begin(r.Epoch, r.Version)
	}
	l.mu.Lock()
	l.mu.connected, l.mu.err = true, nil
	l.mu.epoch, l.mu.position, l.mu.resumable = r.Epoch, r.Version, true
	l.mu.inForce = min(l.opts.MaxStaleness, staleness)
	l.mu.Unlock()
	l.logger.Info("registered with home", telemetry.KeyHome, s.home.String(),
		telemetry.KeyEpoch, r.Epoch, telemetry.KeyVersion, uint64(r.Version), "resumed", resumed)
	return nil
}

// at reports whether the edge may resume from exactly this position.
func (l *Link) at(epoch string, position invalidation.Version) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epoch == epoch && l.mu.position == position
}

func (s *stream) reset(r Reset) error {
	if r.Epoch == "" {
		return fmt.Errorf("event %s: no epoch: %w", EventReset, errProtocol)
	}
	s.link.opts.Floors.Begin(r.Epoch, r.Version)
	s.epoch, s.chain = r.Epoch, r.Version
	s.link.move(r.Epoch, r.Version)
	s.link.logger.Warn("the home has reset this edge", telemetry.KeyReason, printable(r.Reason), telemetry.KeyVersion, uint64(r.Version))
	return nil
}

func (s *stream) invalidate(id string, i Invalidate) error {
	to, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return fmt.Errorf("event %s: id %q is no position: %w", EventInvalidate, printable(id), errProtocol)
	}
	position := invalidation.Version(to)
	floors := s.link.opts.Floors
	if i.After != s.chain || i.Version < i.After || position > i.Version {
		// Something is missing, and whatever it was, it is at or below the highest version that is known (R5).
		floor := max(s.chain, i.After, i.Version, position)
		floors.Begin(s.epoch, floor)
		s.link.logger.Warn("gap in the home's stream: everything held is void",
			"expected", uint64(s.chain), "follows", uint64(i.After), telemetry.KeyVersion, uint64(i.Version))
	}
	event := invalidation.Event{Version: i.Version, Database: i.Database, Tables: i.Tables}
	if !floors.RaiseIn(s.epoch, event) {
		floors.Begin(s.epoch, i.Version) // somebody else has moved them: this stream is what counts
	}
	s.chain = i.Version
	s.link.move(s.epoch, position)
	if notify := s.link.opts.OnInvalidate; notify != nil {
		notify(event, time.UnixMicro(i.SentAt))
	}
	return nil
}

// maxHolds bounds the holds that are in force at a time. A home with more of them than sessions is none.
const maxHolds = 1 << 16

// hold applies what began and ended, and tells the home at once: a write is waiting (R11).
func (s *stream) hold(id string, h Hold) error {
	to, err := strconv.ParseUint(id, 10, 64)
	if err != nil || len(s.holds)+len(h.Begun) > maxHolds {
		return fmt.Errorf("event %s: no position, or too many at once: %w", EventHold, errProtocol)
	}
	floors := s.link.opts.Floors
	for _, one := range h.Begun {
		s.holds[one.ID] = struct{}{}
		floors.HoldIn(s.epoch, invalidation.Hold{ID: one.ID, Database: one.Database, Tables: one.Tables})
	}
	for _, id := range h.Ended {
		delete(s.holds, id)
	}
	floors.ReleaseIn(s.epoch, h.Ended...)
	if h.All {
		floors.KeepIn(s.epoch, s.holds)
	}
	s.link.move(s.epoch, invalidation.Version(to))
	select {
	case s.acks <- struct{}{}:
	default:
	}
	return nil
}

// move notes what the edge has applied.
func (l *Link) move(epoch string, position invalidation.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.epoch, l.mu.position = epoch, position
	l.opts.Floors.Advance(epoch, position)
}

// closed ends the stream. Where the home has forgotten this edge, or knows another under its name, the lease ends.
func (s *stream) closed(c Closed) error {
	if c.Code != ClosedShutdown {
		s.link.opts.Lease.End()
	}
	return &closedError{Closed{Code: printable(c.Code), Reason: printable(c.Reason)}}
}
