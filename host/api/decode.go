package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

const (
	// maxBodyBytes bounds the body of a request.
	maxBodyBytes = 1 << 20
	// maxEdgeBodyBytes bounds what an edge says of itself.
	maxEdgeBodyBytes = 4 << 10
	// bodyTimeout bounds how long a body may take to arrive.
	bodyTimeout = 10 * time.Second

	maxIDBytes    = 128
	maxLabelBytes = 256
)

// decode reads the body of a request, one JSON object with known fields only, into value.
func (s *Server) decode(c echo.Context, limit int64, value any, fields string) error {
	request := c.Request()
	control := http.NewResponseController(c.Response())
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return badRequest("", "the connection is gone")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), request.Body, limit))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return &Error{Status: http.StatusRequestEntityTooLarge, Message: "the body is larger than this endpoint takes", Hint: fields}
		}
		return badRequest(fields, "the body could not be read")
	}
	s.extendWrite(c)
	// The deadline is the body's: what is left of it would end a stream, or a long answer.
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return badRequest("", "the connection is gone")
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return badRequest(fields, "the body is not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return badRequest(fields, "the body is not what this endpoint takes: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest(fields, "the body goes on after its JSON object")
	}
	return nil
}

const idHint = "an edge id is 1 to 128 letters, digits, dots, colons, dashes and underscores"

func validID(id string) bool {
	if id == "" || len(id) > maxIDBytes {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == ':', b == '-', b == '_':
		default:
			return false
		}
	}
	return true
}

// validLabel reports whether text, which may be empty, can stand in a log line and in a list.
func validLabel(text string) bool {
	if len(text) > maxLabelBytes || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
