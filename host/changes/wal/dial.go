package wal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// maxBody bounds the messages that are not clipped.
const maxBody = 1 << 20

// parameters are given to both connections. PostgreSQL drops a temporary slot when it learns that its owner is gone;
// a machine that was switched off tells nobody, so it asks.
var parameters = map[string]string{
	"application_name":              "perihelion wal",
	"tcp_keepalives_idle":           "10",
	"tcp_keepalives_interval":       "5",
	"tcp_keepalives_count":          "3",
	"tcp_user_timeout":              "20s",
	"idle_session_timeout":          "0",
	"default_transaction_read_only": "off",
	"synchronous_commit":            "local", // of the message that has the WAL flushed
}

// dial connects twice, makes the slot, and notes who was in the middle of a commit then.
func dial(ctx context.Context, o *Options, counted *counters) (*follower, error) {
	f := newFollower(o, counted)
	if err := f.open(ctx, o.Config); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *follower) open(ctx context.Context, base *pgx.ConnConfig) (err error) {
	connecting, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	if f.query, err = pgx.ConnectConfig(connecting, configure(base, map[string]string{"statement_timeout": "10s"})); err != nil {
		return explain(fmt.Errorf("connect to Postgres: %w", err))
	}
	if err := f.probe(connecting); err != nil {
		return err
	}
	config := configure(base, map[string]string{"replication": "database", "wal_sender_timeout": "20s"})
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		frontend := pgproto3.NewFrontend(newClipper(r), w)
		frontend.SetMaxBodyLen(maxBody)
		return frontend
	}
	if f.stream, err = pgconn.ConnectConfig(connecting, &config.Config); err != nil {
		return explain(fmt.Errorf("connect to Postgres for replication: %w", err))
	}
	if err := f.create(ctx); err != nil {
		return err
	}
	return f.straddle(ctx)
}

func configure(base *pgx.ConnConfig, more map[string]string) *pgx.ConnConfig {
	config := base.Copy()
	if config.RuntimeParams == nil {
		config.RuntimeParams = map[string]string{}
	}
	maps.Copy(config.RuntimeParams, parameters)
	maps.Copy(config.RuntimeParams, more)
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	return config
}

// Probe looks whether the WAL of a server may be followed. It returns what to do about it in words, where it may not;
// err is an attempt that failed otherwise.
func Probe(ctx context.Context, config *pgx.ConnConfig) (refusal string, err error) {
	ctx, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	f := newFollower(&Options{}, nil)
	defer f.close()
	if f.query, err = pgx.ConnectConfig(ctx, configure(config, nil)); err != nil {
		return "", fmt.Errorf("connect to Postgres: %w", err)
	}
	var refused *refusedError
	if err = f.probe(ctx); errors.As(err, &refused) {
		return refused.Error(), nil
	}
	return "", err
}

// probe looks whether the WAL can be followed, so that an operator reads what to do and not what failed.
func (f *follower) probe(ctx context.Context) error {
	var recovery, replication bool
	var level string
	var block, segment int64
	err := f.query.QueryRow(ctx, `SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('wal_level'),
		coalesce((SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false),
		pg_catalog.current_setting('wal_block_size')::bigint, pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))`).
		Scan(&recovery, &level, &replication, &block, &segment)
	if err != nil {
		return explain(fmt.Errorf("ask Postgres about its WAL: %w", err))
	}
	f.geometry = geometry{block: uint64(block), segment: uint64(segment)}
	switch {
	case recovery:
		return &refusedError{"Postgres is a standby", "let upstream name the primary"}
	case level != "logical":
		return &refusedError{"wal_level is " + level, "set wal_level = logical in postgresql.conf and restart Postgres"}
	case !replication:
		return &refusedError{"the home's role may not replicate", "ALTER ROLE … REPLICATION for the role that upstream names"}
	}
	return nil
}

// create makes the slot. It waits, without a limit, until the transactions that are running have ended.
func (f *follower) create(ctx context.Context) error {
	var id [8]byte
	rand.Read(id[:]) // never fails
	name := "perihelion_" + hex.EncodeToString(id[:])
	made, err := pglogrepl.CreateReplicationSlot(ctx, f.stream, name, "test_decoding", pglogrepl.CreateReplicationSlotOptions{
		Temporary: true, SnapshotAction: "NOEXPORT_SNAPSHOT", Mode: pglogrepl.LogicalReplication,
	})
	if err != nil {
		return explain(fmt.Errorf("create a replication slot: %w", err))
	}
	f.slot = name
	if f.mu.passed, err = pglogrepl.ParseLSN(made.ConsistentPoint); err != nil {
		return fmt.Errorf("read where the slot begins: %w", err)
	}
	return nil
}

// straddle notes the transactions that are running now that the slot is there. One of them may have its commit in the
// WAL before the place where the slot begins, and so will never be decoded, and become visible after the Gap that the
// Sink is about to be told of. An identifier of our own makes the snapshot reach over all that were given out.
func (f *follower) straddle(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	if _, err := f.query.Exec(ctx, "SELECT pg_catalog.pg_current_xact_id()"); err != nil {
		return fmt.Errorf("take a transaction identifier: %w", err)
	}
	var text string
	if err := f.query.QueryRow(ctx, "SELECT pg_catalog.pg_current_snapshot()::text").Scan(&text); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	now, err := parseSnapshot(text)
	f.straddlers = now.running
	return err
}

// explain turns what PostgreSQL says where it is not configured for replication into what to do about it.
func explain(err error) error {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return err
	}
	var hint string
	switch said.Code {
	case "53400": // configuration_limit_exceeded
		hint = "raise max_replication_slots, or wal.max_slots of the home lets fewer databases be followed"
	case "53300": // too_many_connections
		hint = "raise max_wal_senders and max_connections"
	case "42501", "28000", "28P01": // insufficient_privilege, and authentication
		hint = "ALTER ROLE … REPLICATION for the role that upstream names, and let pg_hba.conf admit it to the database"
	case "58P01": // undefined_file
		hint = "install PostgreSQL's contrib modules: test_decoding is missing"
	case "55000": // object_not_in_prerequisite_state
		hint = "set wal_level = logical in postgresql.conf and restart Postgres"
	case "0A000", "08P01": // feature_not_supported, protocol_violation
		hint = "let upstream name Postgres itself, not a pooler before it"
	default:
		return err
	}
	return &refusedError{oneLine(err), hint}
}
