package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/perihelion-proxy/perihelion/host/analyze"
	"github.com/perihelion-proxy/perihelion/host/catalog"
	"github.com/perihelion-proxy/perihelion/host/statement"
)

// text is what one statement costs in µs, a value for each round.
type text struct {
	Name             string    `json:"name"`
	Bytes            int       `json:"bytes"`
	New              []float64 `json:"new_us"`
	Shape            []float64 `json:"known_shape_us"`
	Known            []float64 `json:"known_us"`
	ShapeAllocations float64   `json:"known_shape_allocations"`
	Remembered       float64   `json:"remembered_bytes"`
}

// statements are measured. NAME makes another shape, 4711 another text of the same shape.
var statements = []struct{ name, sql string }{
	{"point select", "select id, name, price as NAME from products where id = 4711"},
	{"point select by an ORM", `SELECT "products"."id" AS "NAME", "products"."name" AS "t0_r1", "products"."price" AS "t0_r2" FROM "public"."products" AS "products" WHERE "products"."id" = 4711 AND "products"."name" = 'tea' ORDER BY "products"."id" ASC LIMIT 20 OFFSET 40`},
	{"five-way join with CTEs", `with recent as (select o.id, o.product, o.at as NAME from orders o where o.at > '2026-01-01' and o.id > 4711),
		totals as (select r.product, count(*) as n from recent r group by r.product having count(*) > 3)
		select p.id, p.name, coalesce(t.n, 0) as n, c.name as customer, row_number() over (partition by c.id order by t.n desc)
		from products p join totals t on t.product = p.id left join orders o on o.product = p.id join customers c on c.id = o.customer
		where p.price between 10.5 and 99.9 and p.name like 'a%' and c.id in (1, 2, 3, 4, 5) order by n desc, p.name limit 50`},
}

const textSchema = `
create table products (id int primary key, name text, price numeric);
create table customers (id int primary key, name text);
create table orders (id int primary key, product int references products, customer int references customers, at timestamptz)`

func measureTexts(ctx context.Context, config *pgx.ConnConfig, o options) ([]text, error) {
	name, err := create(ctx, config, "texts", textSchema)
	if err != nil {
		return nil, err
	}
	pictures := catalog.New(catalog.Options{Config: config})
	defer pictures.Close()
	if _, err := pictures.Snapshot(ctx, name); err != nil {
		return nil, err
	}
	var all []text
	for _, s := range statements {
		t := text{Name: s.name, Bytes: len(s.sql)}
		// Made beforehand: what is measured is the analysis. As many as are remembered, or more, so that none is met again.
		newTexts, shaped := make([]string, 30_000), make([]string, 30_000)
		for i := range newTexts {
			newTexts[i] = strings.ReplaceAll(s.sql, "NAME", fmt.Sprint("n", i))
			shaped[i] = strings.ReplaceAll(s.sql, "4711", fmt.Sprint(1_000_000+i))
		}
		analyzer := analyze.New(analyze.Options{Catalog: pictures})
		describe := func(sql string) *statement.Descriptor { return analyzer.Describe(ctx, name, "", sql) }
		if d := describe(s.sql); d.Verdict != statement.Read {
			return nil, fmt.Errorf("%s is %v: %s", s.name, d.Verdict, d.Reason)
		}
		t.Remembered = heapOf(func() any {
			a := analyze.New(analyze.Options{Catalog: pictures})
			for _, sql := range newTexts[:4000] {
				a.Describe(ctx, name, "", sql)
			}
			return a
		}) / 4000
		next := 0
		for range o.rounds {
			t.New = append(t.New, micros(o.slice, func() { describe(newTexts[next%len(newTexts)]); next++ }))
			describe(s.sql)
			t.Shape = append(t.Shape, micros(o.slice, func() { describe(shaped[next%len(shaped)]); next++ }))
			t.Known = append(t.Known, micros(o.slice, func() { describe(s.sql) }))
		}
		t.ShapeAllocations = allocations(func() { describe(shaped[next%len(shaped)]); next++ })
		all = append(all, t)
	}
	return all, nil
}

// ratios says how many times as dear a new text was as one of a known shape in the same round.
func (t *text) ratios() []float64 {
	var all []float64
	for i := range t.New {
		all = append(all, t.New[i]/t.Shape[i])
	}
	return all
}

// micros returns what one call takes, in µs, over at least a time.
func micros(slice time.Duration, call func()) float64 {
	const batch = 16 // a clock read costs as much as what is measured
	began, n := time.Now(), 0
	for {
		for range batch {
			call()
		}
		n += batch
		if took := time.Since(began); took >= slice {
			return float64(took.Nanoseconds()) / 1000 / float64(n)
		}
	}
}

// allocations returns how many objects one call allocates.
func allocations(call func()) float64 {
	const calls = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		call()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls
}

// heapOf returns how many bytes of the heap what is made keeps.
func heapOf(make func() any) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	made := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(made)
	return float64(int64(after.HeapAlloc) - int64(before.HeapAlloc))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func spread(values []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", median(values), slices.Min(values), slices.Max(values))
}

// create makes a database of a schema.
func create(ctx context.Context, config *pgx.ConnConfig, name string, statements ...string) (_ string, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "create database "+name)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return "", err
	}
	conn, err = connect(ctx, config, name)
	if err != nil {
		return "", err
	}
	for _, s := range statements {
		if _, err = conn.Exec(ctx, s, pgx.QueryExecModeSimpleProtocol); err != nil {
			break
		}
	}
	return name, errors.Join(err, conn.Close(ctx))
}

func connect(ctx context.Context, config *pgx.ConnConfig, database string) (*pgx.Conn, error) {
	of := config.Copy()
	of.Database = database
	return pgx.ConnectConfig(ctx, of)
}
