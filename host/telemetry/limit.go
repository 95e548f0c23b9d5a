package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// maxWindows bounds the memory of a [Limit]: subjects beyond it share one window for each message.
const maxWindows = 1024

// Limit logs a message at once and then, for an interval, only counts how often it comes again; at the interval's end
// it logs the last of them with the count under [KeyRepeats]. So a thing that fails a thousand times a second makes a
// line now and a line per interval, and none that was counted is left out. It is safe for concurrent use.
type Limit struct {
	logger *slog.Logger
	every  time.Duration
	// timers counts timers that may still fire or run.
	timers sync.WaitGroup

	mu struct {
		sync.Mutex
		closed  bool
		windows map[windowKey]*window
	}
}

type windowKey struct {
	level            slog.Level
	message, subject string
}

// window is one interval of one message about one subject.
type window struct {
	timer   *time.Timer
	repeats int
	last    []slog.Attr
}

// NewLimit returns a limit on a logger. The interval must be positive. The limit must be closed after use.
func NewLimit(logger *slog.Logger, every time.Duration) *Limit {
	l := &Limit{logger: logger, every: every}
	l.mu.windows = map[windowKey]*window{}
	return l
}

// Log logs a message about a subject, or counts it. The message is constant; the subject, which may be empty, tells
// apart what must not hide one another, such as two policies. It is not logged itself.
func (l *Limit) Log(level slog.Level, subject, message string, attrs ...slog.Attr) {
	// Levels that nobody reads cost no window.
	if !l.logger.Enabled(context.Background(), level) {
		return
	}
	if l.first(windowKey{level, message, subject}, attrs) {
		l.logger.LogAttrs(context.Background(), level, message, attrs...) //nolint:sloglint // the caller's is constant
	}
}

// first opens a window and reports true, or counts in the one that is open. After Close everything is a first.
func (l *Limit) first(key windowKey, attrs []slog.Attr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return true
	}
	w := l.mu.windows[key]
	if w == nil && len(l.mu.windows) >= maxWindows {
		key.subject = ""
		w = l.mu.windows[key]
	}
	if w != nil {
		w.repeats++
		w.last = attrs
		return false
	}
	w = &window{}
	l.timers.Add(1)
	w.timer = time.AfterFunc(l.every, func() { l.end(key, w) })
	l.mu.windows[key] = w
	return true
}

// end is run by a window's timer: it logs what was counted, and opens the next window if there was anything.
func (l *Limit) end(key windowKey, w *window) {
	defer l.timers.Done()
	l.mu.Lock()
	if l.mu.closed {
		// Close has taken the window and logs what it counted.
		l.mu.Unlock()
		return
	}
	repeats, last := w.repeats, w.last
	if repeats == 0 {
		delete(l.mu.windows, key)
	} else {
		w.repeats, w.last = 0, nil
		l.timers.Add(1)
		w.timer.Reset(l.every)
	}
	l.mu.Unlock()
	l.report(key, repeats, last)
}

func (l *Limit) report(key windowKey, repeats int, last []slog.Attr) {
	if repeats == 0 {
		return
	}
	attrs := append(append([]slog.Attr(nil), last...), slog.Int(KeyRepeats, repeats))
	l.logger.LogAttrs(context.Background(), key.level, key.message, attrs...) //nolint:sloglint // the caller's is constant
}

// Close logs what was counted and not yet logged, and returns when nothing of the limit runs any more. It may be
// called more than once. A message that comes later is logged at once.
func (l *Limit) Close() {
	l.mu.Lock()
	windows := l.mu.windows
	l.mu.closed, l.mu.windows = true, nil
	for _, w := range windows {
		if w.timer.Stop() {
			l.timers.Done()
		}
	}
	l.mu.Unlock()
	for key, w := range windows {
		l.report(key, w.repeats, w.last)
	}
	l.timers.Wait()
}
