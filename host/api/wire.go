package api

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/perihelion-proxy/perihelion/host/link"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

// maxBindingBytes is the size of the longest hash.
const maxBindingBytes = 64

// wire turns a request into a tunnel and hands it to the node.
func (s *Server) wire(c echo.Context) error {
	request := c.Request()
	if s.home.Draining != nil && s.home.Draining() {
		return &Error{Status: http.StatusServiceUnavailable, Message: "the node is draining: it takes no more sessions", Hint: "try again in a moment", RetryAfter: time.Second}
	}
	if !strings.EqualFold(request.Header.Get("Upgrade"), link.WireProtocol) || !named(request.Header.Values("Connection"), "upgrade") {
		c.Response().Header().Set("Upgrade", link.WireProtocol)
		return &Error{Status: http.StatusUpgradeRequired, Message: "this endpoint speaks " + link.WireProtocol, Hint: "send Connection: Upgrade and Upgrade: " + link.WireProtocol}
	}
	info := WireInfo{EdgeID: request.Header.Get(link.HeaderEdge), ClientAddr: request.Header.Get(link.HeaderClient), Remote: request.RemoteAddr}
	if !validID(info.EdgeID) {
		return badRequest(idHint, "%s is no edge id", link.HeaderEdge)
	}
	if !validLabel(info.ClientAddr) {
		return badRequest("", "%s is longer than %d bytes, or not printable", link.HeaderClient, maxLabelBytes)
	}
	if text := request.Header.Get(link.HeaderBinding); text != "" {
		binding, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(binding) > maxBindingBytes {
			return badRequest("", "%s is no hash in base64", link.HeaderBinding)
		}
		info.Binding = binding
	}
	if request.ContentLength != 0 {
		return badRequest("", "a tunnel is asked for without a body")
	}
	conn, err := hijack(c, s.opts.WriteTimeout)
	if err != nil {
		s.logger.Debug("tunnel not opened", telemetry.KeyEdge, info.EdgeID, telemetry.KeyError, err)
		return nil
	}
	// A tunnel is no request any more: neither Shutdown nor Close waits for it.
	if done, ok := c.Get(doneKey).(func()); ok {
		done()
	}
	s.home.Wire(context.WithoutCancel(request.Context()), conn, info)
	return nil
}

// hijack takes the connection of a request and answers the upgrade. The caller owns the connection.
func hijack(c echo.Context, timeout time.Duration) (net.Conn, error) {
	conn, buffered, err := c.Response().Hijack()
	if err != nil {
		return nil, err
	}
	c.Response().Committed = true // nothing but the tunnel is written from here on
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + link.WireProtocol + "\r\n\r\n"
	if err := upgradeConn(conn, answer, timeout); err != nil {
		_ = conn.Close() // the error that matters is the one at hand
		return nil, err
	}
	ahead, _ := buffered.Peek(buffered.Reader.Buffered()) // no error: this much is there
	return link.Prefixed(conn, slices.Clone(ahead)), nil  // the buffer goes back to the server
}

func upgradeConn(conn net.Conn, answer string, timeout time.Duration) error {
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetNoDelay(true); err != nil {
			return err
		}
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(answer)); err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// named reports whether one of the values, which are lists, names token.
func named(values []string, token string) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
