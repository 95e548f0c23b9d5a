//go:build cgo

package node

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestADatabaseIsLookedAtUntilItHasLongBeenUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		note := func(what string) func(string) { return func(database string) { log = append(log, what+" "+database) } }
		d := newDatabases()
		d.keep, d.rest, d.forget, d.idle = note("keep"), note("rest"), note("forget"), func() { log = append(log, "idle") }
		want := func(inUse []string, happened ...string) {
			t.Helper()
			if got := d.inUse(); !slices.Equal(got, inUse) || !slices.Equal(log, happened) {
				t.Errorf("%q are in use and %q happened, want %q and %q", got, log, inUse, happened)
			}
			log = nil
		}
		one, two := d.enter("b"), d.enter("b")
		d.enter("a")
		d.tidy()
		want([]string{"a", "b"}, "keep b", "keep a")
		one()
		d.tidy()
		want([]string{"a", "b"})
		two()
		want([]string{"a", "b"}, "idle")
		d.tidy()
		want([]string{"a", "b"}, "rest b")
		<-time.After(linger - time.Second)
		d.tidy()
		want([]string{"a", "b"})
		again := d.enter("b")
		<-time.After(linger)
		d.tidy()
		want([]string{"a", "b"}, "keep b")
		again()
		<-time.After(linger)
		d.tidy()
		want([]string{"a"}, "idle", "rest b", "forget b")
	})
}

func TestDatabasesHammer(t *testing.T) {
	d := newDatabases()
	nothing := func(string) {}
	d.keep, d.rest, d.forget, d.idle = nothing, nothing, nothing, func() {}
	var all sync.WaitGroup
	for _, database := range []string{"a", "b", "a"} {
		all.Go(func() {
			for range 1000 {
				leave := d.enter(database)
				d.tidy()
				if !slices.Contains(d.inUse(), database) {
					t.Errorf("%s has a session and is not in use", database)
				}
				leave()
			}
		})
	}
	all.Wait()
}
