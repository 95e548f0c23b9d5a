package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

// Error is an answer that is an error. Its texts are for the caller to read.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Message says what is wrong, Hint what to do about it.
	Message, Hint string
	// RetryAfter asks the caller to wait. 0: it does not.
	RetryAfter time.Duration
}

// Error returns status and message.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, http.StatusText(e.Status), e.Message)
}

func badRequest(hint, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// fail answers a request with an error. What is no [*Error] is the node's own fault: it is logged, and the caller
// learns nothing of it.
func (s *Server) fail(err error, c echo.Context) {
	answer := s.answerTo(err, c)
	if c.Response().Committed {
		return
	}
	s.extendWrite(c)
	header := c.Response().Header()
	if answer.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if answer.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((answer.RetryAfter+time.Second-1)/time.Second)))
	}
	if err := c.JSON(answer.Status, link.Failure{Error: answer.Message, Hint: answer.Hint}); err != nil {
		s.logger.Debug("error not sent", telemetry.KeyError, err)
	}
}

func (s *Server) answerTo(err error, c echo.Context) *Error {
	if answer, ok := errors.AsType[*Error](err); ok {
		return answer
	}
	request := c.Request()
	if routing, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch routing.Code {
		case http.StatusNotFound:
			return &Error{Status: http.StatusNotFound, Message: "there is no such endpoint", Hint: "the endpoints are below /api, /metrics, /healthz and /readyz"}
		case http.StatusMethodNotAllowed:
			return &Error{
				Status: http.StatusMethodNotAllowed, Message: "this endpoint does not take " + strconv.Quote(request.Method),
				Hint: "it takes " + c.Response().Header().Get(echo.HeaderAllow),
			}
		}
	}
	s.logger.Error("request failed", "method", request.Method, "route", c.Path(), telemetry.KeyError, err)
	return &Error{Status: http.StatusInternalServerError, Message: "the node failed to answer", Hint: "its log says why"}
}
