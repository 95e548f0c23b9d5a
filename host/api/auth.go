package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// guard knows the tokens.
type guard struct{ edge, admin credential }

// credential is the hash of a token: comparing two takes the same time whatever their lengths and contents. The
// zero value is no token, which nothing equals.
type credential struct {
	hash [sha256.Size]byte
	set  bool
}

func newCredential(token string) credential {
	return credential{hash: sha256.Sum256([]byte(token)), set: token != ""}
}

func (c credential) equals(given [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(given[:], c.hash[:]) == 1 && c.set
}

func newGuard(authToken, adminToken string) guard {
	if adminToken == "" {
		adminToken = authToken
	}
	return guard{edge: newCredential(authToken), admin: newCredential(adminToken)}
}

// forEdges lets the bearer of auth_token through.
func (g guard) forEdges(next echo.HandlerFunc) echo.HandlerFunc {
	return g.only(next, g.edge, g.admin, "this is the admin_token: edges use auth_token")
}

// forPeople lets the bearer of admin_token through.
func (g guard) forPeople(next echo.HandlerFunc) echo.HandlerFunc {
	return g.only(next, g.admin, g.edge, "this is the auth_token of edges: use admin_token")
}

func (g guard) only(next echo.HandlerFunc, wanted, other credential, otherHint string) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Request().Header.Get(echo.HeaderAuthorization)
		scheme, token, _ := strings.Cut(header, " ")
		if header == "" || !strings.EqualFold(scheme, "Bearer") {
			return &Error{Status: http.StatusUnauthorized, Message: "a bearer token is required", Hint: "send the header Authorization: Bearer TOKEN"}
		}
		given := sha256.Sum256([]byte(strings.TrimSpace(token)))
		isWanted, isOther := wanted.equals(given), other.equals(given)
		switch {
		case isWanted:
			return next(c)
		case isOther:
			return &Error{Status: http.StatusForbidden, Message: "this token is not for this endpoint", Hint: otherHint}
		}
		return &Error{Status: http.StatusUnauthorized, Message: "the bearer token is wrong", Hint: "use the node's auth_token for edges, its admin_token for everything else"}
	}
}
