-- The shapes Hibernate and Spring Data send: short aliases like o1_0, sequences for keys, fetch first, tuple syntax,
-- pessimistic locks, joined and per-class inheritance, envers revisions, XA transactions, and what the driver asks.
--- setup
CREATE SCHEMA shop;
CREATE SEQUENCE shop.customer_seq START 100 INCREMENT 50;
CREATE SEQUENCE shop.orders_seq START 100 INCREMENT 50;
CREATE TABLE shop.customer (id bigint PRIMARY KEY, version integer NOT NULL DEFAULT 0, first_name varchar(255), last_name varchar(255), email varchar(255) UNIQUE, born date, active boolean NOT NULL DEFAULT true);
CREATE TABLE shop.address (customer_id bigint NOT NULL REFERENCES shop.customer (id), address_order integer NOT NULL, street varchar(255), city varchar(255), PRIMARY KEY (customer_id, address_order));
CREATE TABLE shop.orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customer (id) ON DELETE CASCADE,
    status varchar(20) NOT NULL DEFAULT 'NEW' CHECK (status IN ('NEW', 'PAID', 'SENT')),
    total numeric(38, 2) NOT NULL DEFAULT 0,
    placed_at timestamptz(6) NOT NULL DEFAULT now(),
    attributes jsonb
);
CREATE TABLE shop.product (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), sku varchar(64) NOT NULL UNIQUE, price numeric(10, 2) NOT NULL, stock integer NOT NULL DEFAULT 0);
CREATE TABLE shop.order_line (
    order_id bigint NOT NULL REFERENCES shop.orders (id) ON UPDATE CASCADE ON DELETE CASCADE,
    line_no integer NOT NULL,
    product_id uuid NOT NULL REFERENCES shop.product (id) ON DELETE RESTRICT,
    quantity integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, line_no)
);
CREATE TABLE shop.invoice (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES shop.orders (id), due date NOT NULL, paid boolean NOT NULL DEFAULT false);
CREATE TABLE shop.payment (id bigint PRIMARY KEY, dtype varchar(31) NOT NULL DEFAULT 'Payment', amount numeric(38, 2));
CREATE TABLE shop.card_payment (card varchar(19)) INHERITS (shop.payment);
CREATE TABLE shop.wire_payment (iban varchar(34)) INHERITS (shop.payment);
CREATE TABLE shop.vehicle (id bigint PRIMARY KEY, maker varchar(255));
CREATE TABLE shop.truck (id bigint PRIMARY KEY REFERENCES shop.vehicle (id), payload integer);
CREATE TABLE shop.revinfo (rev integer PRIMARY KEY, revtstmp bigint);
CREATE TABLE shop.customer_aud (id bigint NOT NULL, rev integer NOT NULL REFERENCES shop.revinfo (rev), revtype smallint, last_name varchar(255), PRIMARY KEY (rev, id));
CREATE TABLE shop.hibernate_sequences (sequence_name varchar(255) PRIMARY KEY, next_val bigint);
CREATE FUNCTION shop.loyalty(who bigint) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$ BEGIN UPDATE shop.customer SET version = version + 1 WHERE id = who; RETURN 1; END $$;
CREATE PROCEDURE shop.close_month(m date) LANGUAGE plpgsql AS $$ BEGIN UPDATE shop.invoice SET paid = true WHERE due < m; END $$;
CREATE FUNCTION shop.next_code() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT 'C' || nextval('shop.customer_seq')::text $$;
CREATE TABLE shop.voucher (id bigserial PRIMARY KEY, code text NOT NULL DEFAULT shop.next_code(), customer_id bigint REFERENCES shop.customer (id));
CREATE VIEW shop.order_summary AS SELECT o.id, o.status, c.last_name, (SELECT sum(l.quantity) FROM shop.order_line l WHERE l.order_id = o.id) AS items FROM shop.orders o JOIN shop.customer c ON c.id = o.customer_id;
INSERT INTO shop.customer (id, first_name, last_name, email, born) VALUES (1, 'Eva', 'Stein', 'eva@example.org', '1980-02-03'), (2, 'Max', 'Holz', NULL, NULL);
INSERT INTO shop.address VALUES (1, 0, 'Hauptstr. 1', 'Graz');
INSERT INTO shop.orders (id, customer_id, status, total, attributes) VALUES (10, 1, 'PAID', 20.50, '{"gift": true}'), (11, 2, 'NEW', 5, NULL);
INSERT INTO shop.product (id, sku, price, stock) VALUES ('6f1d2c3b-0000-4000-8000-000000000001', 'A-1', 4.10, 7);
INSERT INTO shop.order_line VALUES (10, 1, '6f1d2c3b-0000-4000-8000-000000000001', 5);
INSERT INTO shop.invoice VALUES (500, 10, '2024-03-31');
INSERT INTO shop.card_payment (id, amount, card) VALUES (1, 20.50, '4000');
INSERT INTO shop.vehicle VALUES (1, 'MAN');
INSERT INTO shop.truck VALUES (1, 12);
INSERT INTO shop.revinfo VALUES (1, 1700000000000);
INSERT INTO shop.customer_aud VALUES (1, 1, 0, 'Stein');
--- case: load by id joins a required association
--- verdict: read
--- reads: shop.customer shop.orders
select o1_0.id,o1_0.attributes,c1_0.id,c1_0.first_name,c1_0.last_name,c1_0.version,o1_0.placed_at,o1_0.status,o1_0.total from shop.orders o1_0 join shop.customer c1_0 on c1_0.id=o1_0.customer_id where o1_0.id=$1
--- case: JPQL comment and a dynamic fetch of an ordered element collection
--- verdict: read
--- reads: shop.address shop.customer
/* select c from Customer c left join fetch c.addresses for update */ select c1_0.id,a1_0.customer_id,a1_0.address_order,a1_0.city,a1_0.street from shop.customer c1_0 left join shop.address a1_0 on c1_0.id=a1_0.customer_id where c1_0.active order by c1_0.last_name,a1_0.address_order
--- case: page by offset rows fetch first
--- verdict: read
--- reads: shop.orders
select o1_0.id,o1_0.status from shop.orders o1_0 where o1_0.status in ('NEW','PAID') order by o1_0.placed_at desc offset 0 rows fetch first 20 rows only
--- case: count of a Spring Data page
--- verdict: read
--- reads: shop.orders
select count(o1_0.id) from shop.orders o1_0 where upper(o1_0.status) like upper('p%') escape '\'
--- case: batch fetch of a collection by an array
--- verdict: read
--- reads: shop.order_line shop.product
select ol1_0.order_id,ol1_0.line_no,p1_0.id,p1_0.sku,ol1_0.quantity from shop.order_line ol1_0 left join shop.product p1_0 on p1_0.id=ol1_0.product_id where ol1_0.order_id = any ($1)
--- case: embedded id by tuple syntax
--- verdict: read
--- reads: shop.order_line
select ol1_0.order_id,ol1_0.line_no,ol1_0.quantity from shop.order_line ol1_0 where (ol1_0.order_id,ol1_0.line_no) in ((10,1),(10,2))
--- case: joined inheritance tells classes by a case
--- verdict: read
--- reads: shop.truck shop.vehicle
select v1_0.id,case when v1_1.id is not null then 1 when v1_0.id is not null then 0 end,v1_0.maker,v1_1.payload from shop.vehicle v1_0 left join shop.truck v1_1 on v1_0.id=v1_1.id
--- case: table per class by a union with typed nulls
--- verdict: read
--- reads: shop.truck shop.vehicle
select x1_0.id,x1_0.clazz_,x1_0.maker,x1_0.payload from (select id, maker, null::integer as payload, 0 as clazz_ from shop.vehicle union all select id, cast(null as varchar(255)) as maker, payload, 1 as clazz_ from shop.truck) x1_0 where x1_0.id=1
--- case: an inheritance parent reads its children
--- verdict: read
--- reads: shop.card_payment shop.payment shop.wire_payment
select p1_0.id,p1_0.amount from shop.payment p1_0 where p1_0.amount>=10.00
--- case: an inheritance child alone reads its ancestor too
--- verdict: read
--- reads: shop.card_payment shop.payment
select cp1_0.id,cp1_0.card from shop.card_payment cp1_0
--- case: criteria subquery with all and exists
--- verdict: read
--- reads: shop.customer shop.invoice shop.orders
select c1_0.id from shop.customer c1_0 where exists(select 1 from shop.orders o1_0 where o1_0.customer_id=c1_0.id and o1_0.total>=all(select o2_0.total from shop.orders o2_0) and not exists(select i1_0.id from shop.invoice i1_0 where i1_0.order_id=o1_0.id))
--- case: constructor expression with a dense rank
--- verdict: read
--- reads: shop.customer shop.orders
select c1_0.last_name,sum(o1_0.total),dense_rank() over(order by sum(o1_0.total) desc) from shop.orders o1_0 join shop.customer c1_0 on c1_0.id=o1_0.customer_id group by c1_0.id,c1_0.last_name having count(*)>0
--- case: immutable entity mapped to a view with a subselect
--- verdict: read
--- reads: shop.customer shop.order_line shop.orders
select os1_0.id,os1_0.items,os1_0.last_name from shop.order_summary os1_0 where os1_0.status='PAID'
--- case: envers finds the revision that was valid
--- verdict: read
--- reads: shop.customer_aud shop.revinfo
select ca1_0.id,ca1_0.rev,ca1_0.last_name from shop.customer_aud ca1_0 join shop.revinfo r1_0 on r1_0.rev=ca1_0.rev where ca1_0.rev=(select max(ca2_0.rev) from shop.customer_aud ca2_0 where ca2_0.rev<=1 and ca1_0.id=ca2_0.id) and ca1_0.revtype<>2
--- case: multi load keeps the order of the ids by ordinality
--- verdict: read
--- reads: shop.customer
with ids (id, pos) as (select * from unnest(array[2,1]::bigint[]) with ordinality) select c1_0.id,c1_0.email from ids join shop.customer c1_0 on c1_0.id=ids.id order by ids.pos
--- case: the connection test of a pool
--- verdict: read
SELECT 1
--- case: local date in a query
--- verdict: unstable
--- reads: shop.invoice
--- reason: calls CURRENT_DATE
select i1_0.id,i1_0.due from shop.invoice i1_0 where i1_0.due<current_date and not i1_0.paid
--- case: the sequence's state for validation
--- verdict: unstable
--- reads: shop.orders_seq
--- reason: reads the state of the sequence shop.orders_seq
select last_value, is_called from shop.orders_seq
--- case: the dialect asks for the version
--- verdict: unstable
--- reason: calls the stable function version
select version()
--- case: pooled key from a sequence
--- verdict: opaque
--- reason: nextval
select nextval('shop.orders_seq')
--- case: pessimistic write that does not wait
--- verdict: opaque
--- reason: FOR NO KEY UPDATE
select c1_0.id,c1_0.version from shop.customer c1_0 where c1_0.id=$1 for no key update nowait
--- case: pessimistic read of one alias
--- verdict: opaque
--- reason: FOR SHARE
select o1_0.id,o1_0.status from shop.orders o1_0 left join shop.customer c1_0 on c1_0.id=o1_0.customer_id where o1_0.id=10 for share of o1_0
--- case: the driver lists primary keys
--- verdict: opaque
--- reason: system relation
SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE i.indisprimary AND n.nspname = 'shop'
--- case: sequences by the information schema
--- verdict: opaque
--- reason: information_schema
select * from information_schema.sequences
--- case: a function that the users wrote
--- verdict: opaque
--- reason: the volatile function
--- writes: anything
select shop.loyalty(1)
--- case: a stored procedure
--- verdict: opaque
--- reason: CALL
--- writes: anything
call shop.close_month('2024-04-01')
--- case: batched insert with a drawn key
--- verdict: write
--- writes: shop.orders
--- reason: writes to shop.orders
insert into shop.orders (attributes,customer_id,placed_at,status,total,id) values (cast($1 as jsonb),$2,$3,$4,$5,$6)
--- case: generated uuid is returned
--- verdict: write
--- writes: shop.product
--- reason: writes to shop.product
insert into shop.product (sku,price) values ('B-2',9.99) returning id, stock
--- case: versioned update of the root of cascades
--- verdict: write
--- writes: shop.customer shop.order_line shop.orders
--- reason: writes to shop.customer
update shop.customer set last_name='Steiner',version=1 where id=1 and version=0
--- case: deletion of a product is restricted, not cascaded
--- verdict: write
--- writes: shop.product
--- reason: writes to shop.product
delete from shop.product p1_0 where p1_0.stock=0 and not exists(select 1 from shop.order_line ol1_0 where ol1_0.product_id=p1_0.id)
--- case: bulk update of an inheritance child
--- verdict: write
--- writes: shop.card_payment shop.payment
--- reason: writes to shop.card_payment
update shop.card_payment cp1_0 set card='****' where cp1_0.card is not null
--- case: merge of Hibernate's upsert
--- verdict: write
--- writes: shop.order_line shop.orders
--- reason: writes to shop.orders
merge into shop.orders as t using (select cast(10 as bigint) id, cast(1 as bigint) customer_id, cast('SENT' as varchar(20)) status) as s on (t.id=s.id) when not matched then insert (id, customer_id, status) values (s.id, s.customer_id, s.status) when matched then update set status=s.status
--- case: a default drawn by a volatile function of the users
--- verdict: write
--- writes: anything
--- reason: may write to shop.voucher, whose defaults, checks or indexes call a function that may do anything
insert into shop.voucher (customer_id) values (1)
--- case: table generator increments its row
--- verdict: write
--- writes: shop.hibernate_sequences
--- reason: writes to shop.hibernate_sequences
update shop.hibernate_sequences set next_val=51 where next_val=1 and sequence_name='customer'
--- case: read only transaction of @Transactional
--- verdict: session
--- reason: changes a setting
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
--- case: begin with an isolation level
--- verdict: session
--- reason: controls the transaction
START TRANSACTION ISOLATION LEVEL REPEATABLE READ
--- case: first phase of an XA commit
--- verdict: session
--- reason: controls the transaction
PREPARE TRANSACTION '4871_a1_b2'
--- case: the pool discards everything
--- verdict: session
--- reason: discards state of the session
DISCARD ALL
--- case: hbm2ddl drops a constraint
--- verdict: schema
--- writes: anything
--- reason: changes the schema
alter table if exists shop.invoice drop constraint if exists invoice_order_id_fkey
