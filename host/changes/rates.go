package changes

import (
	"math"
	"sync"
	"time"
)

const (
	// rateWindow is the time constant of the moving average: an event counts for e⁻¹ of itself after it.
	rateWindow = time.Hour
	// maxRates bounds the relations whose writes are counted; one more makes the least written go.
	maxRates = 1 << 14
)

// Rates count how often relations are written, as a moving average. The zero value is ready to use, and safe for
// concurrent use.
type Rates struct {
	mu struct {
		sync.Mutex
		relations map[relation]rate
	}
}

type relation struct{ database, name string }

// rate is an exponentially decaying count of events, as of at.
type rate struct {
	count float64
	at    time.Time
}

func (r rate) decayed(now time.Time) float64 {
	return r.count * math.Exp(-max(now.Sub(r.at), 0).Seconds()/rateWindow.Seconds())
}

// Count notes one event that touched relations.
func (r *Rates) Count(database string, names []string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.relations == nil {
		r.mu.relations = map[relation]rate{}
	}
	if len(r.mu.relations)+len(names) > maxRates {
		r.shrinkLocked(now)
	}
	for _, name := range names {
		key := relation{database, name}
		r.mu.relations[key] = rate{r.mu.relations[key].decayed(now) + 1, now}
	}
}

// shrinkLocked drops the relations that are written less than the average one.
func (r *Rates) shrinkLocked(now time.Time) {
	sum := 0.0
	for _, one := range r.mu.relations {
		sum += one.decayed(now)
	}
	mean := sum / float64(len(r.mu.relations))
	for key, one := range r.mu.relations {
		if one.decayed(now) <= mean {
			delete(r.mu.relations, key)
		}
	}
}

// PerHour returns how many events an hour touch a relation, rounded.
func (r *Rates) PerHour(database, name string, now time.Time) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(math.Round(r.mu.relations[relation{database, name}].decayed(now)))
}
