package scram

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// verifierOf makes a verifier of a password, as PostgreSQL does.
func verifierOf(t testing.TB, password string, iterations int) string {
	t.Helper()
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode([]byte("0123456789abcdef")), encode(c.StoredKey), encode(c.ServerKey))
}

func parse(t testing.TB, text string) Verifier {
	t.Helper()
	v, err := ParseVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// prove runs a library's client with a password against a server, and returns the keys that the proof gives away.
func prove(t *testing.T, v Verifier, password, mechanism string, shown, seen []byte) (Keys, error) {
	t.Helper()
	server, err := NewServer(v, shown)
	if err != nil {
		t.Fatal(err)
	}
	client, err := scram.SHA256.NewClient("ignored", password, "")
	if err != nil {
		t.Fatal(err)
	}
	conv := client.NewConversation()
	if mechanism == MechanismPlus {
		conv = client.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: seen})
	}
	message, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	if message, err = server.First(mechanism, message); err != nil {
		return Keys{}, err
	}
	if message, err = conv.Step(message); err != nil {
		t.Fatal(err)
	}
	message, keys, err := server.Final(message)
	if err != nil {
		return Keys{}, err
	}
	if _, err := conv.Step(message); err != nil || !conv.Valid() {
		t.Fatalf("the client does not believe the server: %v", err)
	}
	return keys, nil
}

// TestAProofLogsIn takes the keys from one login and makes another with them, here against a server of the same verifier.
func TestAProofLogsIn(t *testing.T) {
	v := parse(t, verifierOf(t, "secret", 4096))
	edge, postgres := []byte("the edge's certificate"), []byte("PostgreSQL's certificate")
	for _, test := range []struct {
		mechanism       string
		shown, upstream []byte
		want            string
	}{
		{Mechanism, nil, nil, "n,,"},
		{Mechanism, edge, nil, "n,,"},
		{MechanismPlus, edge, postgres, "p=tls-server-end-point,,"},
		{Mechanism, nil, postgres, "p=tls-server-end-point,,"},
	} {
		t.Run(fmt.Sprintf("%s %v %v", test.mechanism, test.shown != nil, test.upstream != nil), func(t *testing.T) {
			keys, err := prove(t, v, "secret", test.mechanism, test.shown, test.shown)
			if err != nil {
				t.Fatal(err)
			}
			server, err := NewServer(v, test.upstream)
			if err != nil {
				t.Fatal(err)
			}
			client, err := NewClient(keys, server.Mechanisms(), test.upstream != nil, test.upstream)
			if err != nil {
				t.Fatal(err)
			}
			mechanism, message := client.First()
			if !strings.HasPrefix(message, test.want) {
				t.Errorf("the client begins with %q, want %q", message, test.want)
			}
			if message, err = server.First(mechanism, message); err != nil {
				t.Fatal(err)
			}
			if message, err = client.Final(message); err != nil {
				t.Fatal(err)
			}
			message, again, err := server.Final(message)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Verify(message); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(again.client, keys.client) {
				t.Error("the second login gave another key away")
			}
			if err := client.Verify("v=" + base64.StdEncoding.EncodeToString(make([]byte, keySize))); err == nil {
				t.Error("the client believes a server that does not know the password")
			}
		})
	}
}

func TestLoginsThatFail(t *testing.T) {
	v := parse(t, verifierOf(t, "secret", 4096))
	one, other := []byte("one certificate"), []byte("another")
	for _, test := range []struct {
		name, password, mechanism string
		v                         Verifier
		shown, seen               []byte
	}{
		{"wrong password", "wrong", Mechanism, v, nil, nil},
		{"mock", "secret", Mechanism, Mock([]byte("s"), "u", 4096), nil, nil},
		{"another certificate", "secret", MechanismPlus, v, one, other},
		{"binding that was not offered", "secret", MechanismPlus, v, nil, other},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := prove(t, test.v, test.password, test.mechanism, test.shown, test.seen); err == nil {
				t.Error("the login succeeds")
			}
		})
	}
	// A client that says that it could bind, though it was offered to, is one whose offer was taken away on the way.
	server, err := NewServer(v, one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.First(Mechanism, "y,,n=,r=nonce"); err == nil {
		t.Error("a downgrade is not noticed")
	}
}

func FuzzParseVerifier(f *testing.F) {
	f.Add(verifierOf(f, "secret", 1))
	f.Add("md5d41d8cd98f00b204e9800998ecf8427e")
	f.Add("SCRAM-SHA-256$:$:")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			if text != "" && strings.Contains(err.Error(), text) {
				t.Errorf("the error %q shows the text", err)
			}
			return
		}
		if v.iterations < 1 || len(v.salt) == 0 || len(v.storedKey) != keySize || len(v.serverKey) != keySize {
			t.Errorf("%q is taken for a verifier", text)
		}
	})
}

// FuzzServer feeds a server what a client could send: it never believes, and never panics.
func FuzzServer(f *testing.F) {
	v := parse(f, verifierOf(f, "secret", 1))
	f.Add(Mechanism, "n,,n=,r=nonce", "c=biws,r=nonce,p=AAAA")
	f.Add(MechanismPlus, "p=tls-server-end-point,,n=,r=nonce", "c=,r=,p=")
	f.Add("", ",,", ",p=")
	f.Fuzz(func(t *testing.T, mechanism, first, final string) {
		for _, binding := range [][]byte{nil, []byte("certificate")} {
			server, err := NewServer(v, binding)
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := server.First(mechanism, first); err == nil {
				nonce, _, _ := strings.Cut(answer, ",")
				if _, _, err := server.Final(strings.Replace(final, "r=nonce", nonce, 1)); err == nil {
					t.Errorf("%q and %q log in", first, final)
				}
			}
		}
	})
}
