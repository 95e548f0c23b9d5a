//go:build cgo

package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	products = 2000
	reviews  = 10000
	// readers and writers are the clients of each edge.
	readers = 6
	writers = 1
	// ordersPerReprice is how many writes go to orders, which nobody reads, for one that voids what is read.
	ordersPerReprice = 10
)

// shop is the data that the demonstration starts from.
func shop() []string {
	return []string{
		`create table products (id int primary key, category int not null, name text not null, price numeric(10,2) not null, revision int not null default 0)`,
		`create index on products (category)`,
		fmt.Sprintf(`insert into products (id, category, name, price) select i, i %% 40, 'Product ' || i, (i * 37 %% 9000) / 100.0 + 1 from generate_series(1, %d) i`, products),
		`create table reviews (id int primary key, product int not null references products, stars int not null, body text not null)`,
		`create index on reviews (product)`,
		fmt.Sprintf(`insert into reviews select i, i %% %d + 1, i %% 5 + 1, 'Review number ' || i from generate_series(1, %d) i`, products, reviews),
		`create table orders (id bigint generated always as identity primary key, product int not null references products, at timestamptz not null default now())`,
		`analyze`,
	}
}

// question is a statement of the shop.
type question int

const (
	byID question = iota
	inCategory
	stars
	questions
)

var (
	questionNames = [questions]string{"product by id", "category page", "stars of a product"}
	questionTexts = [questions]string{
		"select name, price, revision from products where id = $1",
		"select id, name, price from products where category = $1 order by id limit 20",
		"select p.name, count(*), avg(r.stars)::numeric(3,2) from products p join reviews r on r.product = p.id where p.id = $1 group by p.name",
	}
)

// figures are the measurements of one edge, since the start or since the last reset.
type figures struct {
	mu struct {
		sync.Mutex
		near, far [questions][]time.Duration
		arrivals  []time.Duration
	}
	// horizon is the time that no answer can come from the home in.
	horizon time.Duration
}

// note counts an answer. One that came faster than the line is long came from the edge's memory.
func (f *figures) note(q question, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if took < f.horizon {
		f.mu.near[q] = append(f.mu.near[q], took)
		return
	}
	f.mu.far[q] = append(f.mu.far[q], took)
}

func (f *figures) arrived(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.arrivals = append(f.mu.arrivals, took)
}

// client is one connection of the workload. Each writer owns the products whose number leaves its index.
type client struct {
	conn    *pgx.Conn
	figures *figures
	checker *checker
	random  *rand.Rand
	zipf    *rand.Zipf
	own     map[int]int
}

func newClient(ctx context.Context, url string, f *figures, c *checker, seed uint64) (*client, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect a client: %w", err)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	return &client{conn: conn, figures: f, checker: c, random: random, zipf: rand.NewZipf(random, 1.5, 4, products-1), own: map[int]int{}}, nil
}

func (c *client) close() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_ = c.conn.Close(ctx) // the demonstration is over either way
}

// read asks questions until ctx ends.
func (c *client) read(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.ask(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		if !sleep(ctx, time.Duration(c.random.IntN(4000))*time.Microsecond) {
			break
		}
	}
	return nil
}

func (c *client) ask(ctx context.Context) error {
	id := int(c.zipf.Uint64()) + 1
	q, key := byID, id
	switch n := c.random.IntN(10); {
	case n >= 8:
		q = stars
	case n >= 6:
		q, key = inCategory, id%40
	}
	asked := time.Now()
	rows, err := c.conn.Query(ctx, questionTexts[q], key)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	revision := -1
	for rows.Next() {
		if q != byID {
			continue
		}
		var name string
		var price any
		if err := rows.Scan(&name, &price, &revision); err != nil {
			rows.Close()
			return fmt.Errorf("read: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	c.figures.note(q, time.Since(asked))
	if q == byID {
		c.checker.read(id, revision, c.own[id], asked)
	}
	return nil
}

// change takes orders, and now and then reprices a product that leaves remainder share of shares and reads it back,
// until ctx ends.
func (c *client) change(ctx context.Context, share, shares int) error {
	for turn := 1; ctx.Err() == nil; turn++ {
		id := int(c.zipf.Uint64())/shares*shares + share + 1
		if id > products {
			continue
		}
		step := c.order
		if turn%ordersPerReprice == 0 {
			step = c.reprice
		}
		if err := step(ctx, id); err != nil {
			return ignoreEnd(ctx, err)
		}
		if !sleep(ctx, time.Duration(200+c.random.IntN(200))*time.Millisecond) {
			break
		}
	}
	return nil
}

func (c *client) order(ctx context.Context, id int) error {
	if _, err := c.conn.Exec(ctx, "insert into orders (product) values ($1)", id); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	return nil
}

func (c *client) reprice(ctx context.Context, id int) error {
	revision := c.checker.next(id)
	if _, err := c.conn.Exec(ctx, "update products set price = price + 0.01, revision = $2 where id = $1", id, revision); err != nil {
		return fmt.Errorf("reprice: %w", err)
	}
	c.checker.acknowledged(id, time.Now())
	c.own[id] = revision
	asked := time.Now()
	var seen int
	if err := c.conn.QueryRow(ctx, "select revision from products where id = $1", id).Scan(&seen); err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	c.checker.read(id, seen, revision, asked)
	return nil
}

// ignoreEnd drops an error that the end of the workload has caused.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}
