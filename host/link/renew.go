package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

// maxAsks bounds the renewals that wait for their grant.
const maxAsks = 16

// errForgotten ends a stream whose home answers a renewal that it knows no such edge.
var errForgotten = errors.New("the home no longer knows this edge")

// ask is a renewal whose grant has not come.
type ask struct {
	nonce string
	at    invalidation.Instant // the edge's clock before the renewal was sent
}

// renewals asks for the lease at once and then at every interval, until ctx ends. It calls forgotten where the home
// does not know the edge.
func (l *Link) renewals(ctx context.Context, home *url.URL, every time.Duration, forgotten func()) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	complaints := repeats{logger: l.logger}
	for {
		err := l.renew(ctx, home, 2*every)
		if ctx.Err() != nil {
			return
		}
		if refusal, ok := errors.AsType[*Refusal](err); ok && refusal.Status == http.StatusNotFound {
			forgotten()
			return
		}
		if err != nil {
			complaints.add("lease not renewed", err)
		} else {
			complaints.over()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// renew asks the home for a grant, which comes in the stream.
func (l *Link) renew(ctx context.Context, home *url.URL, timeout time.Duration) error {
	nonce, applied := l.ask()
	return l.say(ctx, home, RenewRequest{EdgeID: l.opts.EdgeID, Nonce: nonce, Version: applied}, timeout)
}

// say sends a renewal.
func (l *Link) say(ctx context.Context, home *url.URL, request RenewRequest, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := l.post(ctx, home, RenewPath, request, nil)
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("renew lease: %w", refusal(home.String(), res))
	}
	// Read to its end, so that the connection can be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxFailureBytes)); err != nil {
		return fmt.Errorf("renew lease: read answer: %w", err)
	}
	return nil
}

// maxAcks bounds the acknowledgements that are under way at a time.
const maxAcks = 4

// acknowledge tells the home what was applied each time that wake is woken, until ctx ends. One that takes long does not
// keep the next back; what they say only grows.
func (l *Link) acknowledge(ctx context.Context, home *url.URL, wake <-chan struct{}, timeout time.Duration) {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, maxAcks)
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		_, applied := l.applied()
		under.Go(func() {
			defer func() { <-slots }()
			// What is lost is made good by the next renewal, or by the end of the lease.
			_ = l.say(ctx, home, RenewRequest{EdgeID: l.opts.EdgeID, Version: applied}, 2*timeout)
		})
	}
}

// farewell ends the lease and says so, so that no write waits for it. Nobody has to hear it.
func (l *Link) farewell(ctx context.Context) {
	l.mu.Lock()
	l.opts.Lease.End()
	l.mu.asks = nil
	home, known := l.homes[l.mu.home], l.mu.epoch != ""
	l.mu.Unlock()
	if known {
		_ = l.say(context.WithoutCancel(ctx), home, RenewRequest{EdgeID: l.opts.EdgeID, Ended: l.instance}, farewellTimeout)
	}
}

// farewellTimeout bounds how long the end of an edge waits for its home to hear of it.
const farewellTimeout = 500 * time.Millisecond

// applied returns what the edge has applied.
func (l *Link) applied() (epoch string, position invalidation.Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epoch, l.mu.position
}

// ask notes a renewal that is about to be sent. Its nonce is never used twice, not even by another process of this
// edge, whose late request a home may still answer.
func (l *Link) ask() (nonce string, applied invalidation.Version) {
	nonce = unique()
	at := invalidation.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.asks) == maxAsks {
		l.mu.asks = slices.Delete(l.mu.asks, 0, 1)
	}
	l.mu.asks = append(l.mu.asks, ask{nonce: nonce, at: at})
	return nonce, l.mu.position
}

// granted extends the lease from the moment that its renewal was sent. A grant that nobody waits for is ignored:
// its renewal is of another process, or of before time passed unseen.
func (l *Link) granted(nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.mu.asks, func(a ask) bool { return a.nonce == nonce })
	if i < 0 {
		return
	}
	l.opts.Lease.Extend(l.mu.asks[i].at, l.mu.inForce)
	l.mu.asks = slices.Delete(l.mu.asks, 0, i+1)
}

// unique returns a text that no process returns again.
func unique() string { return rand.Text() }

// post sends a request of the edge to its home. The caller closes the answer's body.
func (l *Link) post(ctx context.Context, home *url.URL, path string, body any, header http.Header) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, home.JoinPath(path).String(), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+l.opts.Token)
	return l.client.Do(req)
}
