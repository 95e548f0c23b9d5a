package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/invalidation"
	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/registry"
)

const (
	renewFields   = `send {"edge_id", "nonce", "version"}`
	maxNonceBytes = 64
)

// renew asks for a lease, which is granted in the edge's stream.
func (s *Server) renew(c echo.Context) error {
	var request link.RenewRequest
	if err := s.decode(c, maxEdgeBodyBytes, &request, renewFields); err != nil {
		return err
	}
	if !validID(request.EdgeID) {
		return badRequest(idHint, "%q is no edge id", "edge_id")
	}
	for _, label := range []struct{ name, value string }{{"nonce", request.Nonce}, {"ended", request.Ended}} {
		if len(label.value) > maxNonceBytes || !validLabel(label.value) {
			return badRequest(renewFields, "%q is longer than %d bytes, or not printable", label.name, maxNonceBytes)
		}
	}
	if request.Nonce == "" && request.Version == 0 && request.Ended == "" {
		return badRequest(renewFields, "%q is empty, and nothing else is said", "nonce")
	}
	if request.Ended != "" {
		s.home.Edges.Farewell(request.EdgeID, request.Ended)
		return c.NoContent(http.StatusAccepted)
	}
	err := s.home.Edges.Renew(request.EdgeID, request.Nonce, request.Version)
	if errors.Is(err, registry.ErrUnknown) {
		return &Error{Status: http.StatusNotFound, Message: registry.ErrUnknown.Error(), Hint: "register first, and keep the stream open"}
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}

// edge is the JSON of a [registry.Info].
type edge struct {
	ID             string               `json:"id"`
	Region         string               `json:"region"`
	Remote         string               `json:"remote"`
	Version        invalidation.Version `json:"version"`
	VersionSent    invalidation.Version `json:"version_sent"`
	ConnectedSince time.Time            `json:"connected_since"`
	EventsSent     uint64               `json:"events_sent"`
	LeaseUntil     *time.Time           `json:"lease_until"`
}

func (s *Server) edges(c echo.Context) error {
	list := []edge{}
	for _, info := range s.home.Edges.List() {
		e := edge{
			ID: info.ID, Region: info.Region, Remote: info.Remote, Version: info.Version, VersionSent: info.Sent,
			ConnectedSince: info.Connected.UTC(), EventsSent: info.Events,
		}
		if !info.LeaseUntil.IsZero() {
			until := info.LeaseUntil.UTC()
			e.LeaseUntil = &until
		}
		list = append(list, e)
	}
	return c.JSON(http.StatusOK, list)
}

func (s *Server) removeEdge(c echo.Context) error {
	if !s.home.Edges.Remove(c.Param("id")) {
		return &Error{Status: http.StatusNotFound, Message: registry.ErrUnknown.Error(), Hint: "GET /api/edge lists the registered edges"}
	}
	return c.NoContent(http.StatusNoContent)
}
