package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/perihelion-proxy/perihelion/host/config"
	"github.com/perihelion-proxy/perihelion/host/node"
	"github.com/perihelion-proxy/perihelion/host/telemetry"
)

// lifecycle is what main needs of a node. Close is called when Serve has returned.
type lifecycle interface {
	Listen() error
	// Addr and HTTPAddr are what Listen bound; HTTPAddr is nil where there is no HTTP.
	Addr() net.Addr
	HTTPAddr() net.Addr
	Serve(context.Context) error
	Drain(context.Context) error
	Close() error
}

type nodeFactory func(*config.Config, *slog.Logger) (lifecycle, error)

func newNode(c *config.Config, logger *slog.Logger) (lifecycle, error) {
	return node.New(c, node.Options{Logger: logger, Version: version()})
}

// garbagePercent is what the Go runtime's GOGC is set to where the environment does not say. Most of a node's memory is idle
// sessions and stored results, and answers from memory make no garbage: collecting it earlier than by default costs
// little and leaves less of it about.
const garbagePercent = 50

// serve runs a node until a signal has ended it or it has failed.
func serve(s config.Sources, w world) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	c, err := config.Load(s)
	if err != nil {
		return err
	}
	logger, err := telemetry.NewLogger(w.stderr, telemetry.Format(c.Log.Format), c.Log.Level)
	if err != nil {
		return err
	}
	for _, warning := range c.Warnings {
		logger.Warn("the configuration may not mean this", telemetry.KeyWarning, warning)
	}
	n, err := w.newNode(c, logger)
	if err != nil {
		return err
	}
	if err := n.Listen(); err != nil {
		return errors.Join(listenError(err), n.Close())
	}
	logger.Info("node started", telemetry.KeyRole, string(c.Edge.Role), telemetry.KeyRegion, c.Region, telemetry.KeyBuild, version())
	logger.Info("listening", telemetry.KeyListener, "postgres", telemetry.KeyAddress, n.Addr().String())
	if addr := n.HTTPAddr(); addr != nil {
		logger.Info("listening", telemetry.KeyListener, "http", telemetry.KeyAddress, addr.String())
	}
	return live(n, c.DrainTimeout, w.signals, logger)
}

var errEndedAtOnce = errors.New("a second signal ended the node at once, with sessions open")

// live serves until a first signal has drained the node, a second one ends the wait for that, or the node fails.
//
// After a second signal it returns without waiting for anything: the process is about to end, and what hangs is the
// reason that somebody sent the second signal.
func live(n lifecycle, drainTimeout time.Duration, signals <-chan os.Signal, logger *slog.Logger) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- n.Serve(ctx) }()

	select {
	case err := <-served:
		return errors.Join(err, n.Close())
	case s := <-signals:
		logger.Info("draining: no new sessions, running statements end",
			telemetry.KeySignal, s.String(), telemetry.KeyTimeout, drainTimeout.String())
	}

	drain, stopDrain := context.WithTimeout(ctx, drainTimeout)
	defer stopDrain()
	drained := make(chan error, 1)
	go func() { drained <- n.Drain(drain) }()
	var drainErr error
	select {
	case drainErr = <-drained:
	case <-signals:
		return errEndedAtOnce
	}
	if errors.Is(drainErr, context.DeadlineExceeded) {
		drainErr = &hintedError{
			fmt.Errorf("statements were still running %s after the signal and were cut off (drain_timeout)", drainTimeout),
			"a larger drain_timeout waits longer; 0s does not wait",
		}
	}

	stop()
	select {
	case err := <-served:
		if err := errors.Join(drainErr, err, n.Close()); err != nil {
			return err
		}
	case <-signals:
		return errEndedAtOnce
	}
	logger.Info("node ended")
	return nil
}

// listenError adds what to do about an address that cannot be bound.
func listenError(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &hintedError{err, "another program has the address: end it, or choose another with --listen or --http"}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &hintedError{err, "the address is not one of this machine: 0.0.0.0 or nothing before the colon means all of them"}
	case errors.Is(err, syscall.EACCES):
		return &hintedError{err, "the system reserves the port: choose one from 1024"}
	default:
		return err
	}
}
