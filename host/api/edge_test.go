package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
)

// entry returns a function that says whether an entry that was filled now is valid.
func entry(t *testing.T, floors *invalidation.Floors, log *invalidation.Log, table string) func() bool {
	t.Helper()
	stamp := log.Stamp()
	d, ok := floors.Depend(log.Epoch(), "shop", []string{table})
	if !ok {
		t.Fatalf("Depend: the edge is in epoch %q, the home in %q", floors.Epoch(), log.Epoch())
	}
	return func() bool { return d.Valid(stamp) }
}

func expect(t *testing.T, what string, valid func() bool, want bool) {
	t.Helper()
	synctest.Wait()
	if got := valid(); got != want {
		t.Errorf("%s: valid is %t, want %t", what, got, want)
	}
}

func leased(e *edgeOf) func() bool { return func() bool { return e.lease.Valid(invalidation.Now()) } }

func TestR5EdgeResumesWithoutAGap(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		var conns cutter
		e := n.startEdge(t, "a", func(o *link.Options) { o.DialContext = conns.dial(n.dial) })
		users, orders := entry(t, e.floors, h.log, "public.users"), entry(t, e.floors, h.log, "public.orders")
		expect(t, "the lease once connected", leased(e), true)

		conns.cut()
		h.log.Append("shop", []string{"public.users"})
		last := h.log.Append("crm", nil)
		pass(staleness / 2) // more than the longest pause before a retry
		if got := e.link.Status(); !got.Connected || got.Position != last {
			t.Errorf("status: got %+v, want connected at %d", got, last)
		}
		expect(t, "what was written meanwhile", users, false)
		expect(t, "what was not", orders, true)
		expect(t, "the lease after the resume", leased(e), true)
	})
}

func TestR5HomeThatStartsAnewVoidsEverything(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		first := newHome(t, 4, nil)
		stop := n.serve(t, "home:80", first)
		e := n.startEdge(t, "a", nil)
		old := entry(t, e.floors, first.log, "public.users")
		stop()
		expect(t, "while there is no home", old, true)
		expect(t, "the lease while there is no home", leased(e), true)
		pass(staleness)
		expect(t, "the lease after max_staleness without a home", leased(e), false)

		second := newHome(t, 4, nil)
		n.serve(t, "home:80", second)
		pass(staleness / 2)
		expect(t, "an entry of the epoch before", old, false)
		expect(t, "the lease of the new home", leased(e), true)
		fresh := entry(t, e.floors, second.log, "public.users")
		expect(t, "an entry of the new epoch", fresh, true)
		second.log.Append("shop", []string{"public.users"})
		expect(t, "an entry of the new epoch after a write", fresh, false)
	})
}

func TestR5StreamShowsWhereItStandsToAnyReader(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		r := n.open(t, "a")
		var registered link.Registered
		e := r.want(t, link.EventRegistered, &registered)
		want := link.Registered{Epoch: h.log.Epoch(), Version: h.log.Last(), MaxStalenessMS: 5000}
		if registered != want || e.id != fmt.Sprint(uint64(want.Version)) {
			t.Errorf("registered: got %+v (id %s), want %+v", registered, e.id, want)
		}
		before := h.log.Last()
		v := h.log.Append("shop", []string{"public.users"})
		e, err := r.next()
		wantData := fmt.Sprintf(`{"version":%d,"database":"shop","tables":["public.users"],"after":%d,"sent_at":%d}`, v, before, time.Now().UnixMicro())
		if err != nil || e != (event{link.EventInvalidate, fmt.Sprint(uint64(v)), wantData}) {
			t.Errorf("got %+v, %v; want data %s", e, err, wantData)
		}
		h.log.Append("", nil)
		if e, err := r.next(); err != nil || !strings.Contains(e.data, `"database":"","tables":[],`) {
			t.Errorf("got %+v, %v; want an empty list of tables", e, err)
		}
		again := n.open(t, "a", "Last-Event-ID: "+fmt.Sprint(uint64(before)))
		if again.want(t, link.EventRegistered, &registered); !registered.Resumed || registered.Version != before {
			t.Errorf("resumed by the id alone: got %+v", registered)
		}
		again.want(t, link.EventInvalidate, &link.Invalidate{})
		again.want(t, link.EventInvalidate, &link.Invalidate{})
		other := n.open(t, "a", "Last-Event-ID: 12", "Perihelion-Epoch: another")
		if other.want(t, link.EventRegistered, &registered); registered.Resumed {
			t.Errorf("resumed from another epoch: got %+v", registered)
		}
		var reset link.Reset
		if other.want(t, link.EventReset, &reset); reset.Epoch != h.log.Epoch() || reset.Version != h.log.Last() || reset.Reason == "" {
			t.Errorf("reset: got %+v", reset)
		}
	})
}

func TestR6GrantNeverOvertakesAnEarlierEvent(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		r := n.open(t, "a")
		r.want(t, link.EventRegistered, &link.Registered{})
		// The stream is not read while this happens: a pipe holds nothing, so the first event is being written.
		first := h.log.Append("shop", nil)
		synctest.Wait()
		second := h.log.Append("shop", []string{"public.users"})
		body := fmt.Sprintf(`{"edge_id":"a","nonce":"n1","version":%d}`, first)
		if status, text, _ := n.call(t, "POST", "/api/edge/renew", authToken, body); status != http.StatusAccepted {
			t.Fatalf("renew: got %d %s", status, text)
		}
		third := h.log.Append("crm", nil)
		var got []string
		for range 4 {
			e, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.name+" "+e.id)
		}
		want := []string{
			fmt.Sprint("invalidate ", uint64(first)), fmt.Sprint("invalidate ", uint64(first)), // the first of a batch: the position stays
			fmt.Sprint("invalidate ", uint64(third)), fmt.Sprint("lease ", uint64(third)),
		}
		if !slices.Equal(got, want) {
			t.Errorf("stream: got %q, want %q (second event %d)", got, want, second)
		}
		if info := h.registry.List()[0]; info.Version != first || info.LeaseUntil.IsZero() {
			t.Errorf("list: got %+v, want version %d and a lease", info, first)
		}
	})
}

func TestR6LeaseHoldsWhileTheHomeAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", nil)
		for range 60 {
			pass(time.Second)
			if left := e.lease.Until().Until(invalidation.Now()); left < staleness-time.Second {
				t.Fatalf("the lease holds for %v more, want it renewed each second", left)
			}
		}
		if got := h.registry.List()[0]; got.Version != h.log.Last() || got.Region != "syd" {
			t.Errorf("list: got %+v", got)
		}
	})
}

func TestR8SlowEdgeGetsTheUnionAndHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		slow := n.open(t, "slow") // reads nothing for a while
		fast := n.startEdge(t, "fast", nil)
		slow.want(t, link.EventRegistered, &link.Registered{})
		var last invalidation.Version
		for i := range 9000 {
			last = h.log.Append("shop", []string{fmt.Sprintf("public.t%d", i%5)})
			if i%1000 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if got := fast.link.Status().Position; got != last {
			t.Errorf("the other edge is at %d, want %d", got, last)
		}
		events, after := 0, ""
		for after != fmt.Sprint(uint64(last)) {
			var i link.Invalidate
			after = slow.want(t, link.EventInvalidate, &i).id
			events++
		}
		if events > 2 {
			t.Errorf("the slow edge got %d events, want the first and the union of the rest", events)
		}
	})
}

func TestR8StuckEdgeEndsItsOwnStreamOnly(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		stuck := n.open(t, "stuck")
		other := n.startEdge(t, "other", nil)
		h.log.Append("shop", nil)
		pass(defaultWriteTimeout - time.Millisecond)
		if got := h.registry.Len(); got != 2 {
			t.Errorf("edges before the write's deadline: got %d, want 2", got)
		}
		pass(2 * time.Millisecond)
		if got := h.registry.List(); len(got) != 1 || got[0].ID != "other" {
			t.Errorf("edges after it: got %+v, want the other only", got)
		}
		last := h.log.Append("shop", nil)
		synctest.Wait()
		if got := other.link.Status(); !got.Connected || got.Position != last {
			t.Errorf("the other edge: got %+v, want connected at %d", got, last)
		}
		_ = stuck.conn.Close()
	})
}

func TestStreamBeatsWhileNothingHappens(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		r := n.open(t, "a")
		r.want(t, link.EventRegistered, &link.Registered{})
		began := time.Now()
		for range 3 {
			if line, err := r.r.ReadString('\n'); err != nil || line != ":\n" {
				t.Fatalf("got %q, %v; want a comment", line, err)
			}
			if _, err := r.r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(began); got != 3*time.Second {
			t.Errorf("three comments came after %v, want 3s", got)
		}
	})
}

func TestRegistrationUnderTheSameIDReplacesTheOther(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		n.serve(t, "home:80", h)
		first := n.startEdge(t, "a", nil)
		second := n.open(t, "a")
		second.want(t, link.EventRegistered, &link.Registered{})
		synctest.Wait()
		if got := first.link.Status(); got.Connected || !strings.Contains(got.LastError.Error(), link.ClosedReplaced) {
			t.Errorf("the first: got %+v, want it told that it was replaced", got)
		}
		expect(t, "the lease of the first", leased(first), false)
		if got := h.registry.Len(); got != 1 {
			t.Errorf("edges: got %d, want 1", got)
		}
	})
}

func TestRemovedEdgeIsToldAndRegistersAgain(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", nil)
		if status, text, _ := n.call(t, "DELETE", "/api/edge/a", adminToken, ""); status != http.StatusNoContent {
			t.Fatalf("DELETE: got %d %s", status, text)
		}
		synctest.Wait()
		if got := e.link.Status(); got.Connected || !strings.Contains(got.LastError.Error(), link.ClosedRemoved) {
			t.Errorf("status: got %+v, want it told that it was removed", got)
		}
		if status, text, _ := n.call(t, "DELETE", "/api/edge/a", adminToken, ""); status != http.StatusNotFound {
			t.Errorf("DELETE again: got %d %s, want 404", status, text)
		}
		pass(10 * time.Second)
		if got := e.link.Status(); !got.Connected {
			t.Errorf("status later: got %+v, want connected", got)
		}
	})
}

func TestEdgeOverMaxEdgesIsTurnedAwayUntilThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		n.serve(t, "home:80", h)
		first := n.startEdge(t, "a", nil)
		second := n.startEdge(t, "b", nil)
		refusal, ok := errors.AsType[*link.Refusal](second.link.Status().LastError)
		if !ok || refusal.Status != http.StatusServiceUnavailable || refusal.RetryAfter != fullRetry || !strings.Contains(refusal.Reason, "max_edges") {
			t.Errorf("the second: got %+v, want 503 with a reason and Retry-After", second.link.Status())
		}
		first.stop()
		pass(2 * fullRetry)
		if got := second.link.Status(); !got.Connected {
			t.Errorf("the second once there is room: got %+v", got)
		}
	})
}

func TestWrongTokenIsToldToTheEdge(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 1, nil)
		n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", func(o *link.Options) { o.Token = "wrong" })
		refusal, ok := errors.AsType[*link.Refusal](e.link.Status().LastError)
		if !ok || refusal.Status != http.StatusUnauthorized {
			t.Errorf("got %+v, want a 401", e.link.Status())
		}
		_, err := e.link.Dial(t.Context(), link.WireInfo{})
		if refusal, ok := errors.AsType[*link.Refusal](err); !ok || refusal.Status != http.StatusUnauthorized {
			t.Errorf("Dial: got %v, want a 401", err)
		}
	})
}

func TestInvalidateReachesTheEdges(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", nil)
		status, text, _ := n.call(t, "POST", "/api/edge/invalidate", adminToken, `{"tables":["public.users","public.a","public.users"]}`)
		want := fmt.Sprintf(`{"version":%d,"tables":["public.a","public.users"],"edges_notified":1}`, h.log.Last())
		if status != http.StatusOK || strings.TrimSpace(text) != want {
			t.Errorf("got %d %s, want %s", status, text, want)
		}
		var databases []string
		for _, event := range e.events() {
			databases = append(databases, event.Database)
			if !slices.Equal(event.Tables, []string{"public.a", "public.users"}) {
				t.Errorf("event: got %+v", event)
			}
		}
		if !slices.Equal(databases, []string{"shop", "crm"}) {
			t.Errorf("databases: got %q, want every one that the home knows", databases)
		}
	})
}

func TestWireHandsTheConnectionToTheNode(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ended := make(chan struct{})
		defer close(ended)
		h := newHome(t, 4, nil)
		h.server.home.Wire = func(_ context.Context, conn net.Conn, info WireInfo) {
			h.wired <- wired{conn, info}
			<-ended // a node may serve the session before it returns
		}
		stop := n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", nil)
		conn, err := e.link.Dial(t.Context(), link.WireInfo{ClientAddr: "192.0.2.7:1234"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		at := <-h.wired
		defer at.conn.Close()
		if want := (WireInfo{EdgeID: "a", ClientAddr: "192.0.2.7:1234", Remote: "pipe"}); !reflect.DeepEqual(at.info, want) {
			t.Errorf("info: got %+v, want %+v", at.info, want)
		}
		stop()            // the tunnel is the node's, and goes on
		pass(time.Minute) // no deadline of the server is left on it
		go func() { _, _ = io.WriteString(conn, "ping") }()
		buf := make([]byte, 4)
		if _, err := io.ReadFull(at.conn, buf); err != nil || string(buf) != "ping" {
			t.Errorf("got %q, %v; want ping", buf, err)
		}
	})
}

func TestWireKeepsWhatTheEdgeSentAhead(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		conn, err := n.dial(t.Context(), "tcp", "home:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		text := "GET /api/edge/wire HTTP/1.1\r\nHost: home\r\nAuthorization: Bearer " + authToken +
			"\r\nConnection: keep-alive, Upgrade\r\nUpgrade: perihelion-wire/1\r\nPerihelion-Edge: a\r\n\r\n"
		go func() { _, _ = io.WriteString(conn, text+"ahead") }()
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		at := <-h.wired
		defer at.conn.Close()
		buf := make([]byte, 5)
		if _, err := io.ReadFull(at.conn, buf); err != nil || string(buf) != "ahead" {
			t.Errorf("got %q, %v; want what was sent behind the request", buf, err)
		}
	})
}

func TestDrainingNodeTakesNoTunnel(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		h.draining = true
		n.serve(t, "home:80", h)
		e := n.startEdge(t, "a", nil)
		_, err := e.link.Dial(t.Context(), link.WireInfo{})
		if refusal, ok := errors.AsType[*link.Refusal](err); !ok || refusal.Status != http.StatusServiceUnavailable || !strings.Contains(refusal.Reason, "draining") {
			t.Errorf("got %v, want a 503 that says draining", err)
		}
		if !e.link.Status().Connected {
			t.Error("an edge of a draining node has to hear of writes")
		}
	})
}

func TestShutdownEndsTheStreamsAndSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		h := newHome(t, 4, nil)
		n.serve(t, "home:80", h)
		r := n.open(t, "a")
		r.want(t, link.EventRegistered, &link.Registered{})
		read := make(chan event, 1)
		go func() {
			e, _ := r.next()
			_, _ = io.Copy(io.Discard, r.r)
			_ = r.conn.Close()
			read <- e
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := h.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if e := <-read; e.name != link.EventClosed || !strings.Contains(e.data, link.ClosedShutdown) {
			t.Errorf("last event: got %+v, want it to say shutdown", e)
		}
		if got := h.registry.Len(); got != 0 {
			t.Errorf("edges: got %d, want 0", got)
		}
	})
}
