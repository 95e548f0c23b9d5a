// Package scram proves passwords in both directions without knowing them: as a server, with the verifier that PostgreSQL
// keeps of a role's password, and as a client, with the key that a client's proof gives away to whoever has the verifier
// (RFC 5802, section 9; SCRAM-SHA-256 is RFC 7677).
//
// It must never see a password, or keep a key longer than the login that it is for.
package scram

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// The mechanisms, by their names in SASL.
const (
	Mechanism     = "SCRAM-SHA-256"
	MechanismPlus = "SCRAM-SHA-256-PLUS"
)

// keySize is the size of each key in bytes.
const keySize = sha256.Size

// DefaultIterations is what PostgreSQL makes verifiers with unless scram_iterations says otherwise.
const DefaultIterations = 4096

// Verifier is what a server keeps of a password.
type Verifier struct {
	salt                 []byte
	iterations           int
	storedKey, serverKey []byte
}

// errVerifier never shows what it is about.
var errVerifier = errors.New("no verifier of SCRAM-SHA-256")

// ParseVerifier reads a verifier as pg_authid.rolpassword has it: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey, the
// last three in base64. Its error shows nothing of the text, which may be an MD5 of a password.
func ParseVerifier(text string) (Verifier, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 3 || parts[0] != Mechanism {
		return Verifier{}, errVerifier
	}
	iterations, salt, ok := strings.Cut(parts[1], ":")
	stored, server, ok2 := strings.Cut(parts[2], ":")
	if !ok || !ok2 {
		return Verifier{}, errVerifier
	}
	var v Verifier
	var errs [4]error
	v.iterations, errs[0] = strconv.Atoi(iterations)
	v.salt, errs[1] = base64.StdEncoding.DecodeString(salt)
	v.storedKey, errs[2] = base64.StdEncoding.DecodeString(stored)
	v.serverKey, errs[3] = base64.StdEncoding.DecodeString(server)
	if errors.Join(errs[:]...) != nil || v.iterations < 1 || len(v.salt) == 0 || len(v.storedKey) != keySize || len(v.serverKey) != keySize {
		return Verifier{}, errVerifier
	}
	return v, nil
}

// Mock returns a verifier that no password satisfies, for a role that has none: always the same for the same role and
// secret, as a role's own would be, so that nobody learns from a salt which roles there are.
func Mock(secret []byte, user string, iterations int) Verifier {
	derive := func(what string) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(what + "\x00" + user))
		return h.Sum(nil)
	}
	return Verifier{salt: derive("salt")[:16], iterations: iterations, storedKey: derive("stored key"), serverKey: derive("server key")}
}

func (v Verifier) credentials() scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.salt), Iters: v.iterations},
		StoredKey:  v.storedKey, ServerKey: v.serverKey,
	}
}

// sum is HMAC-SHA-256.
func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// xor returns a with b over it; both have the size of a key.
func xor(a, b []byte) []byte {
	out := make([]byte, keySize)
	for i := range out {
		out[i] = a[i] ^ b[i]
	}
	return out
}
