package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/perihelion-proxy/perihelion/bench/client"
	"github.com/perihelion-proxy/perihelion/bench/nodes"
	"github.com/perihelion-proxy/perihelion/test/postgres"
)

// openers is how many sessions are opened at a time.
const openers = 16

// kind is a kind of idle session: what it does before.
type kind struct {
	name string
	run  func(conn *client.Conn, number int) error
}

var kinds = []kind{
	{"only connected", func(*client.Conn, int) error { return nil }},
	{"ran statements", runStatements},
}

// runStatements is an application's first requests: prepared statements, the same query from upstream and from memory, a
// transaction, and a result that no small buffer holds.
func runStatements(conn *client.Conn, number int) error {
	for i := range 4 {
		if err := conn.Prepare("s"+strconv.Itoa(i), "SELECT balance FROM accounts WHERE id = $1 AND "+strconv.Itoa(i)+" = 0", int4); err != nil {
			return err
		}
		request := client.Prepared("s"+strconv.Itoa(i), strconv.Itoa(number%100))
		for range 2 {
			if err := conn.Query(request, scriptedRow); err != nil {
				return err
			}
		}
	}
	for _, sql := range []string{"BEGIN", "UPDATE accounts SET balance = 0 WHERE id = " + strconv.Itoa(number), "COMMIT", wideQuery} {
		if err := conn.Exec(sql); err != nil {
			return err
		}
	}
	return nil
}

// measureIdle measures each kind of session at nodes of its own.
func measureIdle(ctx context.Context, o options, programs nodes.Programs, server *postgres.Server) ([]idle, error) {
	if err := prepareAccounts(ctx, server); err != nil {
		return nil, err
	}
	var all []idle
	for _, k := range kinds {
		one, err := measureKind(ctx, o, programs, server, k)
		if err != nil {
			return nil, fmt.Errorf("sessions that %s: %w", k.name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func prepareAccounts(ctx context.Context, server *postgres.Server) error {
	conn, err := client.Dial(ctx, server.Addr(), user, database)
	if err != nil {
		return err
	}
	return errors.Join(
		conn.Exec("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)"),
		conn.Close(),
	)
}

func measureKind(ctx context.Context, o options, programs nodes.Programs, server *postgres.Server, k kind) (_ idle, err error) {
	scripted, err := listenScripted(server.Addr())
	if err != nil {
		return idle{}, err
	}
	defer scripted.close()
	var started nodes.Children
	defer started.End()
	pair, err := started.Pair(ctx, programs, scripted.url(), "--sessions-max", strconv.Itoa(o.sessions+1))
	if err != nil {
		return idle{}, err
	}
	// One session first, so that what the nodes hold once for all counts for none.
	first, err := client.Dial(ctx, pair.Edge.Addr, user, database)
	if err != nil {
		return idle{}, err
	}
	if err := errors.Join(k.run(first, 0), first.Close()); err != nil {
		return idle{}, err
	}
	if err := pause(ctx, min(o.settle, 5*time.Second)); err != nil {
		return idle{}, err
	}
	before, err := readPair(pair, fieldResident)
	if err != nil {
		return idle{}, err
	}
	sessions, err := openSessions(ctx, pair.Edge.Addr, o.sessions, k)
	defer func() {
		for _, conn := range sessions {
			err = errors.Join(err, conn.Close())
		}
	}()
	if err != nil {
		return idle{}, err
	}
	result := idle{Kind: k.name, Sessions: o.sessions}
	after, err := readPair(pair, fieldResident)
	if err != nil {
		return idle{}, err
	}
	each := func(now, before int64) int64 { return (now - before) / int64(o.sessions) }
	result.Edge.AtOnce, result.Home.AtOnce = each(after.edge, before.edge), each(after.home, before.home)
	fmt.Fprintf(os.Stderr, "%d sessions that %s; waiting %v\n", o.sessions, k.name, o.settle)
	if err := pause(ctx, o.settle); err != nil {
		return idle{}, err
	}
	if after, err = readPair(pair, fieldResident); err != nil {
		return idle{}, err
	}
	result.Edge.Settled, result.Home.Settled = each(after.edge, before.edge), each(after.home, before.home)
	// Whoever cannot be spoken to any more would have been cheap.
	for i, conn := range sessions {
		if err := conn.Query(client.Simple("SELECT balance FROM accounts"), scriptedRow); err != nil {
			return idle{}, fmt.Errorf("session %d after its rest: %w", i, err)
		}
	}
	return result, nil
}

// pairMemory is a field of the memory of both nodes.
type pairMemory struct{ edge, home int64 }

func readPair(pair nodes.Pair, field string) (m pairMemory, err error) {
	if m.edge, err = resident(pair.Edge.PID, field); err != nil {
		return m, err
	}
	m.home, err = resident(pair.Home.PID, field)
	return m, err
}

// openSessions opens sessions and lets each do what its kind does first. It returns those that are open also with an
// error.
func openSessions(ctx context.Context, addr string, number int, k kind) ([]*client.Conn, error) {
	var (
		group  sync.WaitGroup
		open   = make([][]*client.Conn, openers)
		failed = make([]error, openers)
	)
	for opener := range openers {
		group.Go(func() {
			for i := opener; i < number && ctx.Err() == nil; i += openers {
				conn, err := client.Dial(ctx, addr, user, database)
				if err != nil {
					failed[opener] = err
					return
				}
				open[opener] = append(open[opener], conn)
				if err := k.run(conn, i); err != nil {
					failed[opener] = err
					return
				}
			}
		})
	}
	group.Wait()
	var all []*client.Conn
	for _, some := range open {
		all = append(all, some...)
	}
	return all, errors.Join(append(failed, ctx.Err())...)
}
