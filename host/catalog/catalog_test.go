package catalog

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a Catalog whose loads a test answers, one value for each.
func scripted(t *testing.T, options Options) (c *Catalog, started chan string, results chan error) {
	c = New(options)
	started, results = make(chan string, 100), make(chan error)
	c.read = func(ctx context.Context, database string, _ *Snapshot) (*Snapshot, error) {
		started <- database
		select {
		case err := <-results:
			if err != nil {
				return nil, err
			}
			return &Snapshot{digest: &digest{}}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	t.Cleanup(c.Close)
	return c, started, results
}

type answer struct {
	snapshot *Snapshot
	err      error
}

func ask(t *testing.T, c *Catalog, database string) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		s, err := c.Snapshot(t.Context(), database)
		answers <- answer{s, err}
	}()
	return answers
}

func TestCallersShareOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, started, results := scripted(t, Options{})
		first, second := ask(t, c, "shop"), ask(t, c, "shop")
		synctest.Wait()
		if c.Peek("shop") != nil {
			t.Error("Peek returned a picture that is not loaded")
		}
		results <- nil
		a, b := <-first, <-second
		if a.snapshot == nil || a != b || len(started) != 1 {
			t.Errorf("got %v and %v from %d loads, want one picture from one load", a, b, len(started))
		}
		if c.Peek("shop") != a.snapshot {
			t.Error("Peek did not return the picture")
		}
	})
}

func TestARefreshDuringALoadCausesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, started, results := scripted(t, Options{})
		answers := ask(t, c, "shop")
		synctest.Wait()
		c.Refresh("shop")
		results <- nil // read before the change
		synctest.Wait()
		if len(answers) != 0 || c.Peek("shop") != nil {
			t.Fatal("a picture that was read before the Refresh was served")
		}
		results <- nil
		if a := <-answers; a.snapshot == nil || len(started) != 2 {
			t.Errorf("got %v from %d loads, want a picture from 2", a, len(started))
		}
	})
}

func TestGenerationsOnlyGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, results := scripted(t, Options{MaxDatabases: 1})
		var last uint64
		for _, database := range []string{"a", "a", "b", "a"} { // the limit of one drops a for b
			answers := ask(t, c, database)
			results <- nil
			if s := (<-answers).snapshot; s.Generation <= last {
				t.Errorf("got generation %d after %d", s.Generation, last)
			} else {
				last = s.Generation
			}
			c.Refresh(database)
			if c.Peek(database) != nil {
				t.Error("Peek returned a picture after a Refresh")
			}
		}
	})
}

func TestAFailureIsRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, started, results := scripted(t, Options{FailureMemory: time.Second})
		down := errors.New("down")
		answers := ask(t, c, "shop")
		results <- down
		if a := <-answers; !errors.Is(a.err, down) {
			t.Fatalf("got %v, want the failure", a)
		}
		if a := <-ask(t, c, "shop"); !errors.Is(a.err, down) || len(started) != 1 {
			t.Errorf("got %v after %d loads, want the remembered failure after 1", a, len(started))
		}
		time.Sleep(time.Second)
		answers = ask(t, c, "shop")
		results <- nil
		if a := <-answers; a.snapshot == nil {
			t.Errorf("got %v once the memory had passed", a)
		}
	})
}

func TestACallerMayGiveUpWhileTheLoadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, started, results := scripted(t, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Snapshot(ctx, "shop"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		results <- nil
		synctest.Wait()
		if c.Peek("shop") == nil || len(started) != 1 {
			t.Error("the load ended with its first caller")
		}
	})
}

func TestTheNumberOfPicturesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, results := scripted(t, Options{MaxDatabases: 2})
		for _, database := range []string{"a", "b", "c"} {
			answers := ask(t, c, database)
			results <- nil
			<-answers
			c.Peek("a") // the one in use stays
		}
		if c.Peek("a") == nil || c.Peek("b") != nil || c.Peek("c") == nil {
			t.Error("not the picture that was used longest ago made room")
		}
		c.Refresh("a")
		c.Refresh("c")
		ask(t, c, "a")
		ask(t, c, "c")
		synctest.Wait()
		if _, err := c.Snapshot(t.Context(), "d"); !errors.Is(err, ErrTooManyDatabases) {
			t.Errorf("got %v while all are being loaded", err)
		}
		results <- nil
		results <- nil
	})
}

func TestCloseEndsALoadAndIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := scripted(t, Options{})
		answers := ask(t, c, "shop")
		synctest.Wait()
		c.Close()
		c.Close()
		if a := <-answers; !errors.Is(a.err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", a)
		}
		if _, err := c.Snapshot(t.Context(), "shop"); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v after Close, want ErrClosed", err)
		}
	})
}

func TestCallersHammerOneCatalog(t *testing.T) {
	c := New(Options{MaxDatabases: 3})
	defer c.Close()
	var truth sync.Map // database → how often its schema changed
	for _, d := range []string{"a", "b", "c", "d"} {
		truth.Store(d, 0)
	}
	c.read = func(_ context.Context, database string, _ *Snapshot) (*Snapshot, error) {
		changes, _ := truth.Load(database)
		return &Snapshot{ServerVersion: changes.(int), digest: &digest{}}, nil
	}
	var writers, readers sync.WaitGroup
	for _, d := range []string{"a", "b", "c", "d"} {
		writers.Go(func() {
			for i := 1; i <= 200; i++ {
				truth.Store(d, i)
				c.Refresh(d)
				s, err := c.Snapshot(t.Context(), d)
				if errors.Is(err, ErrTooManyDatabases) {
					continue
				}
				if err != nil || s.ServerVersion < i {
					t.Errorf("got %v, %v after change %d of %s", s, err, i, d)
				}
			}
		})
		readers.Go(func() {
			var last uint64
			for range 500 {
				s := c.Peek(d)
				if s == nil {
					s, _ = c.Snapshot(t.Context(), d)
				}
				if s != nil && s.Generation < last {
					t.Errorf("generation %d after %d", s.Generation, last)
				} else if s != nil {
					last = s.Generation
				}
			}
		})
	}
	writers.Wait()
	readers.Wait()
}
