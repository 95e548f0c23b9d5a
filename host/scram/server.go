package scram

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// Keys are what logs in as the role whose password a client has proved: as good as the password.
type Keys struct{ client, server []byte }

// Server is the server's side of one login. It is used by one goroutine.
type Server struct {
	verifier Verifier
	binding  []byte
	conv     *scram.ServerConversation
	bare     string // the client's first message without its header
	first    string // the server's
}

// NewServer returns the server's side of a login. binding is the tls-server-end-point of the certificate that the client
// was shown (RFC 5929, section 4), nil where there was none: then binding is neither offered nor accepted.
func NewServer(verifier Verifier, binding []byte) (*Server, error) {
	s := &Server{verifier: verifier, binding: binding}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return verifier.credentials(), nil })
	if err != nil {
		return nil, fmt.Errorf("begin SCRAM: %w", err)
	}
	s.conv = server.NewConversation()
	if binding != nil {
		s.conv = server.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: binding})
	}
	return s, nil
}

// Mechanisms returns what is offered, the best first.
func (s *Server) Mechanisms() []string {
	if s.binding != nil {
		return []string{MechanismPlus, Mechanism}
	}
	return []string{Mechanism}
}

// First takes the mechanism and the message that the client begins with, and returns the answer. The name in the message
// is ignored, as PostgreSQL does: the startup packet's counts.
func (s *Server) First(mechanism, message string) (string, error) {
	bound := strings.HasPrefix(message, "p=")
	switch {
	case mechanism != Mechanism && (mechanism != MechanismPlus || s.binding == nil):
		return "", errors.New("client selected an invalid SASL authentication mechanism")
	case bound != (mechanism == MechanismPlus):
		return "", errors.New("the mechanism and the message do not agree on channel binding")
	}
	header, rest, ok := cutHeader(message)
	if !ok {
		return "", errors.New("malformed SCRAM message")
	}
	s.bare = rest
	first, err := s.conv.Step(header + rest)
	if err != nil {
		return "", fmt.Errorf("malformed SCRAM message: %w", err)
	}
	s.first = first
	return first, nil
}

// cutHeader cuts the GS2 header, with the comma that ends it.
func cutHeader(message string) (header, bare string, ok bool) {
	flag, rest, ok := strings.Cut(message, ",")
	name, rest, ok2 := strings.Cut(rest, ",")
	return flag + "," + name + ",", rest, ok && ok2
}

// Final takes the client's proof. It returns the answer and what the proof gave away. Its error says that the proof is
// wrong, for whatever reason.
func (s *Server) Final(message string) (string, Keys, error) {
	answer, err := s.conv.Step(message)
	if err != nil || !s.conv.Valid() {
		return "", Keys{}, errors.Join(errors.New("the proof is wrong"), err)
	}
	// ClientProof is ClientKey XOR HMAC(StoredKey, AuthMessage).
	without, proof, ok := cutProof(message)
	if !ok {
		return "", Keys{}, errors.New("the proof is not there")
	}
	client := xor(proof, sum(s.verifier.storedKey, s.bare+","+s.first+","+without))
	return answer, Keys{client: client, server: s.verifier.serverKey}, nil
}

func cutProof(message string) (without string, proof []byte, ok bool) {
	i := strings.LastIndex(message, ",p=")
	if i < 0 {
		return "", nil, false
	}
	proof, err := base64.StdEncoding.DecodeString(message[i+len(",p="):])
	return message[:i], proof, err == nil && len(proof) == keySize
}
