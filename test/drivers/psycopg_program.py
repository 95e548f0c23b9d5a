"""An application with psycopg 3, autocommit off as it comes: what it saw, a line for each step."""

import sys

import psycopg
from psycopg import sql


def say(what, *values):
    print(what, *[repr(v) for v in values])


def failing(conn, statement, *args):
    try:
        conn.execute(statement, *args)
    except psycopg.Error as e:
        say("error", type(e).__name__, e.sqlstate, e.diag.message_primary, e.diag.statement_position)
    say("status", conn.info.transaction_status)


def reads(conn):
    for id in (1, 2, 3, 1, 2, 3):
        say("read", conn.execute("select id, v from t where id = %s", (id,)).fetchall())
        conn.commit()
    for binary in (False, True):
        cur = conn.cursor(binary=binary)
        say("described", cur.execute("select id, v from t order by id").fetchall(), [(c.name, c.type_code) for c in cur.description], cur.rowcount, cur.statusmessage)
        conn.commit()
    for _ in range(3):
        say("prepared", conn.execute("select v from t where id = %s", (2,), prepare=True).fetchone())
        conn.commit()


def main(url):
    with psycopg.connect(url, application_name="psycopg") as conn:
        say("autocommit", conn.autocommit)
        reads(conn)
        # A block that reads, writes, and sees what it wrote.
        say("before", conn.execute("select count(*) from w").fetchone())
        conn.execute("insert into w values (%s, %s)", (1, "one"))
        say("within", conn.execute("select count(*) from w").fetchone())
        conn.rollback()
        say("behind", conn.execute("select count(*) from w").fetchone())
        conn.commit()
        with conn.transaction():
            conn.execute("insert into w values (2, 'two')")
            try:
                with conn.transaction():
                    conn.execute("insert into w values (2, 'again')")
            except psycopg.errors.UniqueViolation as e:
                say("savepoint", e.sqlstate)
        say("kept", conn.execute("select id, v from w").fetchall())
        failing(conn, "select nowhere")
        failing(conn, "select v from t where id = %s", (1,))
        conn.rollback()
        # Pipelines, as libpq has them.
        with conn.pipeline():
            curs = [conn.execute("select v from t where id = %s", (i,)) for i in (1, 2, 3)]
            say("pipeline", [c.fetchone() for c in curs])
        try:
            with conn.pipeline() as pipeline:
                conn.execute("select v from t where id = 1")
                conn.execute("select 1/0")
                conn.execute("select v from t where id = 2")
                pipeline.sync()
        except psycopg.Error as e:
            say("pipeline fails", isinstance(e, psycopg.Error))  # with which of its errors is a matter of time
        conn.rollback()
        # COPY, both ways.
        with conn.cursor() as cur:
            with cur.copy("copy w from stdin") as copy:
                for i in range(10, 15):
                    copy.write_row((i, "copied\t%d" % i))
            say("copied", cur.rowcount)
            with cur.copy("copy (select * from w order by id) to stdout") as copy:
                say("copy out", b"".join(bytes(x) for x in copy))
        conn.rollback()
        # A cursor of the server's, and a large value.
        with conn.cursor(name="c") as cur:
            cur.itersize = 7
            say("cursor", [r[0] for r in cur.execute("select i from generate_series(1, 30) i")])
        conn.commit()
        big = "ü" * 300000
        say("big", len(conn.execute("select %s::text", (big,)).fetchone()[0]))
        conn.commit()
        # What belongs to the session.
        conn.execute("set search_path = pg_catalog")
        failing(conn, "select count(*) from t")
        conn.rollback()
        conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        say("serializable", conn.execute("select v from t where id = 1").fetchone(), conn.execute("show transaction_isolation").fetchone())
        conn.commit()
        conn.isolation_level = None
        conn.read_only = True
        failing(conn, "insert into w values (99, 'no')")
        conn.rollback()
        conn.read_only = None
        conn.execute(sql.SQL("delete from w"))
        conn.commit()
        reads(conn)
        conn.autocommit = True
        reads(conn)
        conn.add_notify_handler(lambda n: say("notified", n.channel, n.payload))
        conn.execute("listen channel")
        conn.execute("notify channel, 'a word'")
        say("read", conn.execute("select v from t where id = 1").fetchone())


main(sys.argv[1])
