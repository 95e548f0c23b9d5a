package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxFailureBytes bounds how much of an error's body is read.
const maxFailureBytes = 16 << 10

// maxReasonBytes bounds how much of it is repeated in errors and logs.
const maxReasonBytes = 512

// errProtocol marks an answer or an event that a home would not send.
var errProtocol = errors.New("the answer is not one of a Perihelion home")

// Refusal is a home's answer that is not the one asked for.
type Refusal struct {
	// Home is the URL of the home.
	Home string
	// Status is the HTTP status.
	Status int
	// Reason is what the home says. It may be empty.
	Reason string
	// Hint says what to do about it.
	Hint string
	// RetryAfter is how long the home asks to be left alone; 0 where it does not say.
	RetryAfter time.Duration
}

// Error returns home, status and reason.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("home %s refused: %d %s", r.Home, r.Status, http.StatusText(r.Status))
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// refusal reads an answer that is not the one asked for. It does not close the body.
func refusal(home string, res *http.Response) *Refusal {
	r := &Refusal{Home: home, Status: res.StatusCode}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		r.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxFailureBytes)) // what came before an error is all there is
	var failure Failure
	if json.Unmarshal(body, &failure) == nil {
		r.Reason, r.Hint = printable(failure.Error), printable(failure.Hint)
	}
	if r.Hint == "" {
		r.Hint = hint(res.StatusCode)
	}
	return r
}

func hint(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "set this edge's auth_token to the home's auth_token"
	case http.StatusServiceUnavailable:
		return "raise edge.max_edges at the home, or remove an edge"
	case http.StatusBadRequest:
		return "check edge.id and edge.region, and that home and edge have the same version"
	}
	return "check that home_url names the HTTP address of a Perihelion home"
}

// printable returns text as a log line can hold it: bounded, without control characters.
func printable(text string) string {
	if len(text) > maxReasonBytes {
		text = text[:maxReasonBytes]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text), "")
}
