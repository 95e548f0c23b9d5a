package api

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

func (s *Server) stats(c echo.Context) error { return c.JSON(http.StatusOK, s.opts.Stats()) }

func (s *Server) metrics(c echo.Context) error {
	s.opts.Metrics.ServeHTTP(c.Response(), c.Request())
	return nil
}

// healthz says that the process lives, and nothing about what it can reach.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Server) readyz(c echo.Context) error {
	answer := struct {
		Ready  bool    `json:"ready"`
		Checks []Check `json:"checks"`
	}{Ready: true, Checks: []Check{}}
	if s.opts.Ready != nil {
		answer.Checks = append(answer.Checks, s.opts.Ready()...)
	}
	status := http.StatusOK
	for _, check := range answer.Checks {
		if !check.OK {
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return c.JSON(status, answer)
}
