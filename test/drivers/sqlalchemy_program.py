"""An application with SQLAlchemy over psycopg2, unchanged: sessions, a pool that rolls back, autocommit off."""

import sys

from sqlalchemy import Column, Integer, String, create_engine, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, declarative_base

Base = declarative_base()


class T(Base):
    __tablename__ = "t"
    id = Column(Integer, primary_key=True)
    v = Column(String)


class W(Base):
    __tablename__ = "w"
    id = Column(Integer, primary_key=True)
    v = Column(String)


def say(what, *values):
    print(what, *[repr(v) for v in values])


def main(url):
    engine = create_engine(url.replace("postgres://", "postgresql+psycopg2://"), future=True, pool_size=2, pool_pre_ping=True)
    for _ in range(5):
        with Session(engine) as session:
            say("all", [(t.id, t.v) for t in session.execute(select(T).order_by(T.id)).scalars()])
            say("one", session.get(T, 2).v)
            say("count", session.execute(select(func.count()).select_from(T)).scalar())
    with Session(engine) as session:
        session.add(W(id=1, v="one"))
        session.flush()
        say("flushed", session.execute(select(func.count()).select_from(W)).scalar())
        session.rollback()
        say("rolled back", session.execute(select(func.count()).select_from(W)).scalar())
        session.add_all([W(id=i, v="many %d" % i) for i in range(2, 6)])
        session.commit()
        say("committed", [(w.id, w.v) for w in session.execute(select(W).order_by(W.id)).scalars()])
        session.add(W(id=2, v="again"))
        try:
            session.commit()
        except IntegrityError as e:
            say("refused", e.orig.pgcode)
            session.rollback()
        with session.begin_nested():
            session.get(W, 3).v = "changed"
        session.commit()
        say("changed", session.get(W, 3).v)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for _ in range(3):
            say("autocommit", conn.execute(text("select v from t where id = :id"), {"id": 1}).scalar())
        conn.execute(text("delete from w"))
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn:
        say("repeatable", conn.execute(text("select v from t where id = 1")).scalar(), conn.execute(text("show transaction_isolation")).scalar())


main(sys.argv[1])
