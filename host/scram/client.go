package scram

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// Client is the client's side of one login, with the keys of a role instead of its password. It is used by one goroutine.
type Client struct {
	keys      Keys
	mechanism string
	header    string
	binding   []byte
	bare      string
	expected  []byte
}

// NewClient returns the client's side of a login, by the best mechanism of those that the server offers. secured says
// that the connection is TLS; binding is the tls-server-end-point of the certificate that the server has shown, nil where
// it has none.
func NewClient(keys Keys, offered []string, secured bool, binding []byte) (*Client, error) {
	c := &Client{keys: keys, mechanism: Mechanism, header: "n,,"}
	switch {
	case binding != nil && slices.Contains(offered, MechanismPlus):
		c.mechanism, c.header, c.binding = MechanismPlus, "p=tls-server-end-point,,", binding
	case !slices.Contains(offered, Mechanism):
		return nil, errors.New("the server offers no mechanism of SASL that this node knows")
	case secured && binding != nil:
		c.header = "y,," // it could bind, and was not offered to
	}
	return c, nil
}

// First returns the mechanism and the message that begin the login.
func (c *Client) First() (mechanism, message string) {
	c.bare = "n=,r=" + rand.Text()
	return c.mechanism, c.header + c.bare
}

// Final takes the server's answer and returns the proof.
func (c *Client) Final(answer string) (string, error) {
	nonce, rest, ok := strings.Cut(answer, ",")
	nonce, ok2 := strings.CutPrefix(nonce, "r=")
	own := strings.TrimPrefix(c.bare, "n=,r=")
	if !ok || !ok2 || !strings.HasPrefix(rest, "s=") || len(nonce) <= len(own) || !strings.HasPrefix(nonce, own) {
		return "", errors.New("malformed SCRAM message from the server")
	}
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.header), c.binding...)) + ",r=" + nonce
	message := c.bare + "," + answer + "," + without
	stored := sha256.Sum256(c.keys.client)
	c.expected = sum(c.keys.server, message)
	return without + ",p=" + base64.StdEncoding.EncodeToString(xor(c.keys.client, sum(stored[:], message))), nil
}

// Verify takes the server's last message: whether it knows the password as well.
func (c *Client) Verify(message string) error {
	text, ok := strings.CutPrefix(message, "v=")
	signature, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || c.expected == nil || !hmac.Equal(signature, c.expected) {
		return errors.New("the server has not proved that it knows the password")
	}
	return nil
}
