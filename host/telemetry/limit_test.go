package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a handler that keeps records as text.
type recorder struct {
	start time.Time
	level slog.Level
	mu    struct {
		sync.Mutex
		lines []string
	}
}

func (r *recorder) Enabled(_ context.Context, l slog.Level) bool { return l >= r.level }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler           { return r }
func (r *recorder) WithGroup(string) slog.Handler                { return r }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	line := fmt.Sprintf("%v %s %s", record.Time.Sub(r.start), record.Level, record.Message)
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.lines = append(r.mu.lines, line)
	return nil
}

func (r *recorder) check(t *testing.T, want ...string) {
	t.Helper()
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.lines)
}

// open is the number of open windows.
func (l *Limit) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.windows)
}

func newRecorder() (*recorder, *slog.Logger) {
	r := &recorder{start: time.Now()}
	return r, slog.New(r)
}

func attempt(n int) slog.Attr { return slog.Int("attempt", n) }

func TestRepeatsAreCountedAndToldAtTheEndOfEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logger := newRecorder()
		l := NewLimit(logger, 10*time.Second)
		defer l.Close()
		for i := range 25 {
			l.Log(slog.LevelWarn, "", "home not reached", attempt(i))
			// Not at the instant at which an interval ends.
			<-time.After(time.Second + time.Millisecond)
		}
		<-time.After(time.Minute)
		l.Log(slog.LevelWarn, "", "home not reached", attempt(99))
		r.check(t,
			"0s WARN home not reached attempt=0",
			"10s WARN home not reached attempt=9 repeats=9",
			"20s WARN home not reached attempt=19 repeats=10",
			"30s WARN home not reached attempt=24 repeats=5",
			"1m25.025s WARN home not reached attempt=99")
	})
}

func TestWhatComesOnceIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logger := newRecorder()
		l := NewLimit(logger, 10*time.Second)
		l.Log(slog.LevelError, "", "policy failed", slog.Any(KeyError, errors.New("trap")))
		<-time.After(time.Minute)
		l.Close()
		r.check(t, "0s ERROR policy failed error=trap")
	})
}

func TestSubjectsMessagesAndLevelsDoNotHideOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logger := newRecorder()
		l := NewLimit(logger, 10*time.Second)
		defer l.Close()
		l.Log(slog.LevelWarn, "a", "policy failed")
		l.Log(slog.LevelWarn, "b", "policy failed")
		l.Log(slog.LevelWarn, "a", "policy slow")
		l.Log(slog.LevelError, "a", "policy failed")
		l.Log(slog.LevelWarn, "a", "policy failed")
		r.check(t, "0s WARN policy failed", "0s WARN policy failed", "0s WARN policy slow", "0s ERROR policy failed")
	})
}

func TestCloseTellsWhatWasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logger := newRecorder()
		l := NewLimit(logger, 10*time.Second)
		for range 3 {
			l.Log(slog.LevelWarn, "", "home not reached")
		}
		l.Close()
		l.Close()
		l.Log(slog.LevelWarn, "", "home not reached")
		l.Log(slog.LevelWarn, "", "home not reached")
		r.check(t, "0s WARN home not reached", "0s WARN home not reached repeats=2",
			"0s WARN home not reached", "0s WARN home not reached")
	})
}

func TestALevelThatIsNotLoggedTakesNoMemory(t *testing.T) {
	r, logger := newRecorder()
	r.level = slog.LevelError
	l := NewLimit(logger, time.Hour)
	defer l.Close()
	l.Log(slog.LevelWarn, "", "home not reached")
	if got := l.open(); got != 0 {
		t.Errorf("got %d windows, want none", got)
	}
}

func TestSubjectsBeyondTheBoundShareAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, logger := newRecorder()
		l := NewLimit(logger, 10*time.Second)
		for i := range maxWindows + 100 {
			l.Log(slog.LevelWarn, strconv.Itoa(i), "policy failed")
		}
		if got := l.open(); got != maxWindows+1 {
			t.Errorf("got %d windows, want %d", got, maxWindows+1)
		}
		lines := r.all()
		if got := len(lines); got != maxWindows+1 {
			t.Errorf("got %d lines, want %d", got, maxWindows+1)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		lines = r.all()
		if got, want := lines[len(lines)-1], "10s WARN policy failed repeats=99"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		l.Close()
	})
}

func TestManyGoroutinesLoseNoRepeat(t *testing.T) {
	h := &countingHandler{}
	l := NewLimit(slog.New(h), time.Millisecond)
	const goroutines, each = 8, 2000
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				l.Log(slog.LevelWarn, strconv.Itoa((g+i)%3), "policy failed")
			}
			if g == 0 {
				l.Close()
			}
		})
	}
	wg.Wait()
	l.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if got, want := h.mu.told, goroutines*each; got != want {
		t.Errorf("got %d told, want %d", got, want)
	}
}

// countingHandler adds up how many messages its records tell of.
type countingHandler struct {
	mu struct {
		sync.Mutex
		told int
	}
}

func (h *countingHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *countingHandler) WithGroup(string) slog.Handler            { return h }

func (h *countingHandler) Handle(_ context.Context, record slog.Record) error {
	told := 1
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == KeyRepeats {
			told = int(a.Value.Int64())
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.told += told
	return nil
}
