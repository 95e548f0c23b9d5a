// The program of the npm package postgres.
import postgres from "postgres";

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

for (const prepare of [true, false]) {
  const sql = postgres(url, { max: 1, prepare, onnotice: (n) => say("notice", n.message), fetch_types: false });
  for (let i = 0; i < 3; i++) {
    say("all", await sql`select * from t order by id`);
    say("one", await sql`select v, ${i % 2}::int as i from t where id = ${2}`);
    say("simple", await sql`select 1 as a from t`.simple());
    say("described", (await sql`select id, v from t where id = ${1}`.describe()).columns.map((c) => [c.name, c.type]));
  }
  say("pipelined", await Promise.all(Array.from({ length: 10 }, (_, i) => sql`select ${i}::int as i, v from t where id = ${1 + (i % 3)}`)));
  for (let i = 0; i < 2; i++) {
    await sql.begin(async (tx) => {
      say("in a transaction", await tx`select v from t where id = ${3}`);
      await failing("savepoint", () => tx.savepoint(async (s) => {
        await s`insert into t values (1, 'again')`;
      }));
      say("behind it", await tx`select v from t where id = ${1}`);
    });
    await failing("rolled back", () => sql.begin(async (tx) => {
      await tx`insert into w values (${200}, 'gone')`;
      say("own write", await tx`select v from w where id = ${200}`);
      throw new Error("no");
    }));
    say("gone", await sql`select v from w where id = ${200}`);
  }
  await failing("syntax", () => sql`selec`);
  await failing("division", () => sql`select 1/(id-1) from t where id = ${1}`);
  const parts = [];
  await sql`select id from t order by id`.cursor(2, (rows) => { parts.push(rows); });
  say("cursor", parts);
  say("large", (await sql`select repeat('y', 1000000) || ${"x"} as r from t where id = 1`)[0].r.length);
  const writable = await sql`copy w from stdin`.writable();
  await new Promise((resolve, reject) => {
    writable.on("finish", resolve).on("error", reject);
    writable.end("1\tone\n2\ttwo\n");
  });
  say("copied in", await sql`select * from w order by id`);
  await sql`delete from w`;
  let copied = "";
  for await (const chunk of await sql`copy t to stdout`.readable()) copied += chunk;
  say("copied out", copied);
  const sleeping = sql`select pg_sleep(30)`;
  const canceled = failing("canceled", () => sleeping.execute());
  const watch = postgres(url, { max: 1, fetch_types: false });
  for (;;) {
    const [row] = await watch`select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid() and datname = current_database()`;
    if (row.n > 0) break;
  }
  sleeping.cancel();
  await canceled;
  await watch.end();
  await sql.end();
}
const sql = postgres(url, { max: 1 });
const heard = new Promise((resolve) => { sql.listen("drivers", resolve, () => sql.notify("drivers", "hi")); });
say("heard", await heard);
await sql.end();
