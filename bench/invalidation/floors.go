package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/perihelion-proxy/perihelion/host/cache"
	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// floorResult is what a write to a table costs that so many entries depend on.
type floorResult struct {
	Entries           int
	AppendNS, ValidNS float64
}

// measureFloors compares ten entries with many, and with ten again.
func measureFloors(entries int) []floorResult {
	var all []floorResult
	for _, n := range []int{10, entries, 10} {
		log := invalidation.NewLog()
		c := cache.New(cache.Options{MaxEntries: n + 64, MaxBytes: 1 << 40, MaxEntryBytes: 1 << 20})
		tables := []string{"public.t"}
		var any invalidation.Dependencies
		for i := range n {
			d, _ := log.Floors().Depend(log.Epoch(), "db", tables)
			key := fmt.Appendf(nil, "key %d", i)
			c.Store(c.Hash(key), &cache.Entry{Key: key, Version: log.Stamp(), Floors: &d, Expires: invalidation.Now().Add(time.Hour), Body: []byte("Z\x00\x00\x00\x05I")})
			any = d
		}
		runtime.GC() // what filling has left behind is no part of it
		const events, checks = 200_000, 20_000_000
		began := time.Now()
		for range events {
			log.Append("db", tables)
		}
		appending := time.Since(began)
		began = time.Now()
		valid := 0
		for range checks {
			if any.Valid(log.Stamp()) {
				valid++
			}
		}
		checking := time.Since(began)
		if valid != checks {
			panic("a read behind all events is void")
		}
		all = append(all, floorResult{n, float64(appending.Nanoseconds()) / events, float64(checking.Nanoseconds()) / checks})
	}
	return all
}
