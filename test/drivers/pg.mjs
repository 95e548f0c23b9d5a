// The program of the npm package pg.
import pg from "pg";
import Cursor from "pg-cursor";

const [url] = process.argv.slice(2);
const say = (what, value) => console.log(what + ": " + JSON.stringify(value));
const failing = async (what, f) => {
  try {
    await f();
    say(what, "no error");
  } catch (e) {
    say(what, [e.code, e.message]);
  }
};
const read = async (client, query) => {
  for (let i = 0; i < 2; i++) {
    const r = await client.query(query);
    say(typeof query === "string" ? query : query.text, [r.command, r.rowCount, r.rows, r.fields.map((f) => [f.name, f.dataTypeID])]);
  }
};

const client = new pg.Client({ connectionString: url });
client.on("notice", (n) => say("notice", n.message));
await client.connect();
await read(client, "select * from t order by id");
await read(client, { text: "select v from t where id = $1", values: [2] });
await read(client, { name: "by-id", text: "select id, v, $1::int as p from t where id = $1", values: [1] });
await read(client, { text: "select id from t order by id", rowMode: "array" });
await client.query("commit"); // warns

// Transactions, one of them rolled back, one with a savepoint.
await client.query("begin");
await read(client, { name: "by-id", text: "select id, v, $1::int as p from t where id = $1", values: [1] });
await client.query("commit");
await client.query("begin");
await client.query("insert into w values (100, 'rolled back')");
say("own write", (await client.query("select v from w where id = 100")).rows);
await client.query("rollback");
say("rolled back", (await client.query("select v from w where id = 100")).rows);
await client.query("begin");
await client.query("savepoint s");
await failing("unique", () => client.query("insert into t values (1, 'again')"));
await failing("aborted", () => client.query("select 1"));
await client.query("rollback to s");
await read(client, "select v from t where id = 1");
await client.query("commit");

await failing("syntax", () => client.query("selec"));
await failing("division", () => client.query("select 1/(id-1) from t where id = $1", [1]));
await read(client, { text: "select null as n, array[1,2] as a, '{\"x\": 1}'::jsonb as j, '2024-02-03'::date as d, 1.50::numeric as m, 'ü€😀' as u from t where id = 1" });

// A cursor: a portal with row limits.
const cursor = client.query(new Cursor("select id from t order by id"));
say("cursor", await cursor.read(2));
say("cursor", await cursor.read(2));
await cursor.close();

// Large values both ways.
const large = "x".repeat(1 << 20);
say("large", (await client.query("select length($1::text) as n", [large])).rows);
say("large back", (await client.query("select repeat('y', 2000000) as r from t where id = 1")).rows[0].r.length);
const bytes = Buffer.alloc(300000, 7);
say("bytes", (await client.query("select $1::bytea as b", [bytes])).rows[0].b.equals(bytes));

// Everything at once: the driver queues, the node must keep the order.
const many = await Promise.all(Array.from({ length: 20 }, (_, i) => client.query("select $1::int as i, v from t where id = $2", [i, 1 + (i % 3)])));
say("queued", many.map((r) => r.rows));

// Notifications.
const heard = new Promise((resolve) => client.once("notification", (n) => resolve([n.channel, n.payload])));
await client.query("listen drivers");
await client.query("notify drivers, 'hi'");
say("heard", await heard);

// Cancel, by the protocol's own request.
const other = new pg.Client({ connectionString: url });
await other.connect();
const sleeping = failing("canceled", () => other.query("select pg_sleep(30)"));
for (;;) {
  const active = await client.query("select count(*)::int as n from pg_stat_activity where query = 'select pg_sleep(30)' and datname = current_database()");
  if (active.rows[0].n > 0) break;
}
const canceller = new pg.Connection({});
const end = new Promise((resolve) => canceller.once("end", resolve));
canceller.connect(new URL(url).port, new URL(url).hostname);
canceller.once("connect", () => canceller.cancel(other.processID, other.secretKey));
canceller.on("error", () => {});
await sleeping;
await end;
await other.end();

// A pool, whose clients share what they read.
const pool = new pg.Pool({ connectionString: url, max: 3 });
say("pool", (await Promise.all(Array.from({ length: 9 }, (_, i) => pool.query("select v from t where id = $1", [1 + (i % 3)])))).map((r) => r.rows));
await pool.end();
await client.end();
