package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/wire"
)

// sendCancel sends a cancel request to a node and returns a channel that is closed once the node has closed on it.
func sendCancel(t *testing.T, shared *Shared, key []byte) <-chan struct{} {
	t.Helper()
	client, accepted := tcpPair()
	ended := make(chan struct{})
	session := New(shared, accepted, Peer{Addr: "canceller"}, false)
	done := make(chan error, 1)
	go func() { done <- session.Run(context.Background()) }()
	packet := binary.BigEndian.AppendUint32(nil, uint32(8+len(key)))
	packet = append(binary.BigEndian.AppendUint32(packet, 80877102), key...)
	if _, err := client.Write(packet); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		rest, _ := io.ReadAll(client)
		if len(rest) > 0 {
			t.Errorf("a cancel request was answered with %q", rest)
		}
		client.Close()
		<-done
	}()
	return ended
}

// keyOf is the key that the backends of this package's tests give.
var keyOf = []byte{0, 0, 0, 1, 0, 0, 0, 2}

func TestCancelOfWhatIsNotUnderWayGoesNowhere(t *testing.T) {
	r, _, backends := newRig(t)
	r.through(query("select a"), rows("1"))
	r.hit(query("select a"), rows("1"))
	<-sendCancel(t, r.shared, keyOf)
	select {
	case <-backends:
		t.Fatal("the upstream was dialled")
	default:
	}
	r.through(query("select b"), rows("2"))
}

func TestCancelHoldsTheNextStatementUntilTheUpstreamHasTakenIt(t *testing.T) {
	r, _, backends := newRig(t)
	r.send(query("select b"))
	r.expectBackend(query("select b"))
	ended := sendCancel(t, r.shared, keyOf)
	cancel := <-backends
	defer cancel.Close()
	got := make([]byte, 16)
	if _, err := io.ReadFull(cancel, got); err != nil || !bytes.Equal(got[8:], keyOf) {
		t.Fatalf("the upstream got %x, %v", got, err)
	}
	// The statement ends before the signal comes; the next one must wait for it.
	r.reply(rows("2"))
	r.expect(rows("2"))
	r.send(query("update a"))
	r.backend.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := r.backend.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("%d bytes of the next statement were sent while a cancel request was under way", n)
	}
	r.backend.SetReadDeadline(time.Now().Add(20 * time.Second))
	cancel.Close()
	<-ended
	r.expectBackend(query("update a"))
	done := slices.Concat(complete("UPDATE 1"), ready('I'))
	r.reply(done)
	r.expect(done)
}

func TestCancelOfAnUnknownKeyGoesOn(t *testing.T) {
	r, _, backends := newRig(t)
	for _, key := range [][]byte{{0, 0, 0, 1, 0, 0, 0, 3}, append([]byte{0, 0, 0, 9}, make([]byte, 256)...)[:260]} {
		ended := sendCancel(t, r.shared, key[:min(len(key), 256)])
		cancel := <-backends
		cancel.Close()
		<-ended
	}
}

func TestCancelOfASessionThatIsNotFollowedGoesOn(t *testing.T) {
	r, _, backends := newRig(t)
	malformed := []byte{wire.Query, 0, 0, 0, 6, 'x', 'y'} // a text that does not end
	r.send(malformed)
	r.expectBackend(malformed)
	ended := sendCancel(t, r.shared, keyOf)
	select {
	case cancel := <-backends:
		cancel.Close()
	case <-ended:
		t.Fatal("the request was dropped")
	}
	<-ended
	r.through(query("update a"), slices.Concat(complete("UPDATE 1"), ready('I')))
}

// TestCancelWithALongKey gives the client a key of protocol 3.2.
func TestCancelWithALongKey(t *testing.T) {
	j := &journal{Log: invalidation.NewLog()}
	backends := make(chan net.Conn, 1)
	shared := node(newAnalysis(), j, backends)
	key := append([]byte{0, 0, 0, 7}, bytes.Repeat([]byte("k"), 250)...)
	client, accepted := tcpPair()
	s := New(shared, accepted, Peer{Addr: "test"}, false)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	start := []byte{0, 0, 0, 16, 0, 3, 0, 2, 'u', 's', 'e', 'r', 0, 'u', 0, 0}
	if _, err := client.Write(start); err != nil {
		t.Fatal(err)
	}
	backend := <-backends
	defer backend.Close()
	if _, err := io.ReadFull(backend, make([]byte, len(start))); err != nil {
		t.Fatal(err)
	}
	hello := []byte{'R', 0, 0, 0, 8, 0, 0, 0, 0, wire.BackendKeyData}
	hello = binary.BigEndian.AppendUint32(hello, uint32(4+len(key)))
	hello = append(append(hello, key...), ready('I')...)
	if _, err := backend.Write(hello); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, len(hello))); err != nil {
		t.Fatal(err)
	}
	<-sendCancel(t, shared, key) // dropped: nothing is under way
	client.Close()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	ended := sendCancel(t, shared, key) // the session is gone, and its key not known any more
	(<-backends).Close()
	<-ended
}
