package api

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

const explainFields = `send {"database", "user", "sql"}, all three of them texts`

// explanation is the JSON of an [Explanation].
type explanation struct {
	Fingerprint string   `json:"fingerprint"`
	Verdict     string   `json:"verdict"`
	Reason      string   `json:"reason"`
	Relations   []string `json:"relations"`
	Decision    decision `json:"decision"`
}

type decision struct {
	Cache  bool   `json:"cache"`
	TTLMS  int64  `json:"ttl_ms"`
	Level  string `json:"level"`
	Reason string `json:"reason"`
	Policy string `json:"policy"`
}

func (s *Server) explain(c echo.Context) error {
	var request ExplainRequest
	if err := s.decode(c, maxBodyBytes, &request, explainFields); err != nil {
		return err
	}
	for _, field := range []struct{ name, value string }{
		{"database", request.Database}, {"user", request.User}, {"sql", request.SQL},
	} {
		if field.value == "" {
			return badRequest(explainFields, "%q is missing or empty", field.name)
		}
	}
	e, err := s.home.Explain(c.Request().Context(), request)
	if err != nil {
		return fmt.Errorf("explain statement: %w", err)
	}
	s.extendWrite(c)
	d := e.Decision
	return c.JSON(http.StatusOK, explanation{
		Fingerprint: fmt.Sprintf("%016x", e.Fingerprint),
		Verdict:     e.Verdict.String(),
		Reason:      e.Reason,
		Relations:   append([]string{}, e.Relations...), // none is [], not null
		Decision:    decision{Cache: d.Cache, TTLMS: d.TTL.Milliseconds(), Level: d.Level, Reason: d.Reason, Policy: d.Policy},
	})
}

func (s *Server) policies(c echo.Context) error {
	return c.JSON(http.StatusOK, append([]Policy{}, s.home.Policies()...))
}
