package session

import (
	"bytes"
	"testing"
)

func TestChannelBindingIsNotOffered(t *testing.T) {
	request := func(code byte, mechanisms string) []byte {
		body := append([]byte{0, 0, 0, code}, mechanisms...)
		return append([]byte{'R', 0, 0, 0, byte(4 + len(body))}, body...)
	}
	for _, test := range []struct {
		name      string
		got, want []byte
	}{
		{"beside the mechanism without", request(10, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"), request(10, "SCRAM-SHA-256\x00\x00")},
		{"alone it stays: nothing would be left", request(10, "SCRAM-SHA-256-PLUS\x00\x00"), request(10, "SCRAM-SHA-256-PLUS\x00\x00")},
		{"without it all stays", request(10, "SCRAM-SHA-256\x00\x00"), request(10, "SCRAM-SHA-256\x00\x00")},
		{"another request stays", request(11, "SCRAM-SHA-256-PLUS\x00r=1"), request(11, "SCRAM-SHA-256-PLUS\x00r=1")},
		{"a short one stays", request(0, ""), request(0, "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := withoutBinding(test.got); !bytes.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
