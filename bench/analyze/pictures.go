package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/catalog"
)

const (
	columns = 100
	changes = 10
)

// picture is what the picture of one database costs, in ms.
type picture struct {
	Tables      int       `json:"tables"`
	FirstLoad   float64   `json:"first_load_ms"`
	Table       []float64 `json:"behind_create_table_ms"`
	Grant       []float64 `json:"behind_grant_ms"`
	Function    []float64 `json:"behind_create_function_ms"`
	Digest      []float64 `json:"digest_ms"`
	LongestWait float64   `json:"longest_wait_ms"`
	Bytes       int64     `json:"kept_bytes"`
}

func measurePicture(ctx context.Context, config *pgx.ConnConfig, tables int) (picture, error) {
	p := picture{Tables: tables}
	name, err := create(ctx, config, fmt.Sprint("tables_", tables), fmt.Sprintf(`
do $$ declare names text; begin
	select string_agg(format('c%%s %%s', n, (array['int','text','timestamptz','numeric'])[1+n%%4]), ',') into names from generate_series(1,%d) n;
	for i in 1..%d loop execute format('create table t%%s (id int primary key, %%s)', i, names); if i %% 500 = 0 then commit; end if; end loop;
end $$`, columns-1, tables), "vacuum analyze")
	if err != nil {
		return p, err
	}
	conn, err := connect(ctx, config, name)
	if err != nil {
		return p, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // its work is done

	pictures := catalog.New(catalog.Options{Config: config})
	defer pictures.Close()
	pictures.Keep(name)
	p.Bytes = int64(heapOf(func() any {
		began := time.Now()
		_, err = pictures.Snapshot(ctx, name)
		p.FirstLoad = millis(began)
		return pictures
	}))
	if err != nil {
		return p, err
	}

	// The traffic: known statements, one behind the other.
	analyzer := analyze.New(analyze.Options{Catalog: pictures, Wait: time.Minute})
	flowing, stop := context.WithCancel(ctx)
	var traffic sync.WaitGroup
	defer traffic.Wait()
	defer stop()
	traffic.Go(func() {
		pause := time.NewTicker(100 * time.Microsecond)
		defer pause.Stop()
		for flowing.Err() == nil {
			began := time.Now()
			analyzer.Describe(flowing, name, "", "select c1 from t1 where id = $1")
			p.LongestWait = max(p.LongestWait, millis(began))
			<-pause.C
		}
	})
	for i := range changes {
		for _, change := range []struct {
			sql  string
			into *[]float64
		}{
			{fmt.Sprintf("create table made_%d (id int)", i), &p.Table},
			{fmt.Sprintf("grant select on t%d to public", i+1), &p.Grant},
			{fmt.Sprintf("create function made_%d() returns int language sql as 'select 1'", i), &p.Function},
		} {
			if _, err := conn.Exec(ctx, change.sql); err != nil {
				return p, err
			}
			// As a home does it: until the next statement has its picture.
			began := time.Now()
			pictures.Refresh(name)
			pictures.Announced(name)
			if _, err := pictures.Snapshot(ctx, name); err != nil {
				return p, err
			}
			*change.into = append(*change.into, millis(began))
			began = time.Now()
			if _, err := pictures.Check(ctx, name); err != nil {
				return p, err
			}
			p.Digest = append(p.Digest, millis(began))
		}
	}
	stop()
	traffic.Wait()
	return p, ctx.Err()
}

func millis(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }
