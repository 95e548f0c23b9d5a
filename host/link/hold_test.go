package link

import (
	"testing"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
)

func (h *script) hold(id int, data string) { h.speak("event: hold\nid: %d\ndata: %s\n\n", id, data) }

func TestR11HoldIsAppliedAndAcknowledgedAtOnce(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		users := entry(t, r.floors, "e1", "shop", "public.users", 11)
		orders := entry(t, r.floors, "e1", "shop", "public.orders", 11)
		other := entry(t, r.floors, "e1", "crm", "public.users", 11)
		said := len(r.renewals())
		r.hold(12, `{"begun":[{"id":1,"database":"shop","tables":["public.users"]}]}`)
		expect(t, "what is held", users, false)
		expect(t, "another relation", orders, true)
		expect(t, "another database", other, true)
		all := r.renewals()
		if len(all) != said+1 || all[said].Version != 12 || all[said].Nonce != "" {
			t.Errorf("renewals: got %+v, want one more that says 12 and asks for nothing", all)
		}
		r.hold(14, `{"begun":[{"id":2,"database":"shop"},{"id":3}]}`)
		expect(t, "a relation of the database that is held", orders, false)
		expect(t, "a relation of the node that is held", other, false)
		r.hold(16, `{"ended":[3,2,99]}`)
		expect(t, "a relation that is no longer held", orders, true)
		expect(t, "a database that is no longer held", other, true)
		expect(t, "a relation that still is", users, false)
		r.invalidate(18, 10, 18, "shop", "public.users")
		r.hold(20, `{"ended":[1]}`)
		expect(t, "what was read before the write", users, false)
		expect(t, "what was read behind it", entry(t, r.floors, "e1", "shop", "public.users", 19), true)
	})
}

func TestR11WhatAStreamDoesNotNameHasEnded(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		users := entry(t, r.floors, "e1", "shop", "public.users", 11)
		orders := entry(t, r.floors, "e1", "shop", "public.orders", 11)
		r.hold(12, `{"begun":[{"id":1,"database":"shop","tables":["public.users"]},{"id":2,"database":"shop","tables":["public.orders"]}]}`)
		r.hangUp()
		expect(t, "what is held, without a stream", users, false)
		r.stream()
		r.registered("e1", 12, true, staleness)
		expect(t, "what is held, before the stream has said so", users, false)
		r.hold(12, `{"begun":[{"id":2,"database":"shop","tables":["public.orders"]}]}`)
		r.hold(14, `{"all":true}`)
		expect(t, "what the stream does not name", users, true)
		expect(t, "what it names", orders, false)
		r.hangUp()
		r.stream()
		r.registered("e2", 2, false, staleness) // the home died holding: its epoch is gone
		expect(t, "what is read in the new epoch", entry(t, r.floors, "e2", "shop", "public.orders", 3), true)
	})
}

func TestR11StreamThatIsNotResumedEndsTheLease(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		r.registered("e1", 10, false, staleness)
		r.grant(r.nonce())
		if !r.lease.Valid(invalidation.Now()) {
			t.Fatal("no lease behind a grant")
		}
		r.hangUp()
		r.stream()
		r.registered("e1", 20, false, staleness)
		if r.lease.Valid(invalidation.Now()) {
			t.Error("the lease of before is valid, though what is held is not known")
		}
	})
}

func TestR11HoldThatIsNotUnderstoodEndsTheStream(t *testing.T) {
	for _, data := range []string{`{"begun":1}`, `[]`, `{"ended":["x"]}`} {
		run(t, nil, func(t *testing.T, r *rig) {
			r.registered("e1", 10, false, staleness)
			r.hold(12, data)
			if got := r.link.Status(); got.Connected {
				t.Errorf("%s: the stream goes on", data)
			}
		})
	}
}
