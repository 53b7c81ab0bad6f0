-- A database that uses what a restore can get wrong. Run by a superuser, in an empty database, with
-- the psql variables owner, app and reader naming roles that exist. Everything below belongs to
-- :owner; the values are chosen so that a wrong order of restoring (triggers before data, rules,
-- row security) changes rows or fails.
SET client_min_messages = warning;
SET SESSION AUTHORIZATION :"owner";

CREATE SCHEMA sales;
CREATE SCHEMA "Ünïcode ""quoted"" schéma";
COMMENT ON SCHEMA sales IS 'it''s a "comment" with a \backslash and a
second line';

CREATE DOMAIN public."bıg int" AS bigint CONSTRAINT "not négative" CHECK (VALUE >= 0);
CREATE TYPE sales.mood AS ENUM ('sad', 'ok', 'it''s fine', 'señor');
CREATE TYPE sales.pair AS (a integer, b text);
CREATE TYPE sales.span AS RANGE (subtype = numeric);
CREATE COLLATION sales.binary FROM "C";
CREATE SEQUENCE sales.counter START 41 INCREMENT 7 CYCLE MAXVALUE 100000;
SELECT nextval('sales.counter'), nextval('sales.counter');

CREATE FUNCTION sales.half(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT
  BEGIN ATOMIC
    SELECT CASE WHEN n IS NULL THEN 0 ELSE n / 2 END;
  END;
CREATE FUNCTION sales.shout(VARIADIC words text[]) RETURNS text LANGUAGE plpgsql STABLE AS $fn$
BEGIN
  -- a body with what a splitter may stumble over: ; ' "  $$ \. COPY x FROM stdin;
  RETURN upper(array_to_string(words, '; '));
END $fn$;
CREATE PROCEDURE sales.tidy(INOUT n integer DEFAULT 1) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
CREATE AGGREGATE sales.product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');
CREATE FUNCTION sales.same(a sales.mood, b text) RETURNS boolean LANGUAGE sql IMMUTABLE
  AS 'SELECT a::text = b';
CREATE OPERATOR sales.=== (LEFTARG = sales.mood, RIGHTARG = text, FUNCTION = sales.same);
CREATE CAST (sales.pair AS text) WITH INOUT;

CREATE TABLE sales.customer (
  id integer GENERATED ALWAYS AS IDENTITY (START 1000 INCREMENT 5) PRIMARY KEY,
  name text NOT NULL COLLATE sales.binary,
  mail text UNIQUE,
  born date,
  likes sales.mood DEFAULT 'ok',
  balance public."bıg int" DEFAULT 0,
  tags text[] DEFAULT '{}',
  extra jsonb DEFAULT '{}',
  name_length integer GENERATED ALWAYS AS (length(name)) STORED,
  window_of sales.span,
  CONSTRAINT "born sanely" CHECK (born > '1800-01-01')
);
COMMENT ON COLUMN sales.customer.name IS 'naïve; "quoted" ''twice''';
INSERT INTO sales.customer (name, mail, born, likes, balance, tags, extra, window_of)
  SELECT E'c\\' || i || CASE i % 5 WHEN 0 THEN E'\ttab' WHEN 1 THEN E'\nline\n\\.\n' WHEN 2 THEN 'ünï"' ELSE '''' END,
         CASE WHEN i % 7 > 0 THEN 'c' || i || '@example.org' END,
         date '1950-01-01' + i, (enum_range(null::sales.mood))[1 + i % 4], i * 1000000007::bigint,
         ARRAY['a' || i, NULL, 'x,"y'], jsonb_build_object('i', i, 'deep', jsonb_build_array(i, 'é')),
         sales.span(i, i + 1)
  FROM generate_series(1, 500) AS i;
CREATE INDEX ON sales.customer USING gin (extra);
CREATE INDEX "expression; index" ON sales.customer (sales.half(id)) WHERE name <> '';
CREATE STATISTICS sales.customer_stats (dependencies) ON name, mail FROM sales.customer;

CREATE TABLE sales."order" (
  id bigserial, customer integer NOT NULL REFERENCES sales.customer ON DELETE RESTRICT,
  placed timestamptz NOT NULL, total numeric(12,2), PRIMARY KEY (id, placed)
) PARTITION BY RANGE (placed);
CREATE TABLE sales.order_2024 PARTITION OF sales."order" FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE sales.order_2025 PARTITION OF sales."order" FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
  PARTITION BY HASH (id);
CREATE TABLE sales.order_2025_0 PARTITION OF sales.order_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE sales.order_2025_1 PARTITION OF sales.order_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE sales.order_rest PARTITION OF sales."order" DEFAULT;
INSERT INTO sales."order" (customer, placed, total)
  SELECT 1000 + 5 * (i % 500), timestamptz '2023-06-01 00:00Z' + i * interval '1 hour', i / 3.0
  FROM generate_series(1, 20000, 7) AS i;

CREATE TABLE public.parent (a integer PRIMARY KEY, b text);
CREATE TABLE public.child (c integer) INHERITS (public.parent);
INSERT INTO public.parent SELECT i, 'p' || i FROM generate_series(1, 40) AS i;
INSERT INTO public.child SELECT i, 'c' || i, -i FROM generate_series(1, 60) AS i;

CREATE TABLE public."Tricky ""name""; DROP TABLE x; -- é" ("sélect" integer, "a""b" text, "c d" bytea);
INSERT INTO public."Tricky ""name""; DROP TABLE x; -- é"
  SELECT i, 'COPY fake FROM stdin;', decode(md5(i::text), 'hex') FROM generate_series(1, 33) AS i;
CREATE TABLE public.nothing ();
CREATE TABLE public.empty_one (x integer);
CREATE UNLOGGED TABLE public.scratch (x integer);
INSERT INTO public.scratch VALUES (1), (2), (3);
CREATE TABLE public.floats (d double precision, r real, n numeric, i interval, t timetz, u uuid, net inet, x xml, m money);
INSERT INTO public.floats VALUES
  ('NaN', '-Infinity', 'NaN', '1 year -3 days 04:05:06.789', '01:02:03.456+05:30',
   'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2001:db8::1/64', '<a>é</a>', '12.34'),
  (0.1, 1e-30, 12345678901234567890.123456789, '-1 mon +2 days', '23:59:59+00', NULL, NULL, NULL, NULL);

-- Fires on every row: a restore that creates it before the data fails.
CREATE FUNCTION public.forbid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of % may not be written', TG_TABLE_NAME; END $$;
CREATE TABLE public.sealed (id integer PRIMARY KEY, note text);
INSERT INTO public.sealed SELECT i, repeat('s', i) FROM generate_series(1, 25) AS i;
CREATE TRIGGER "no ""writes""" BEFORE INSERT OR UPDATE ON public.sealed FOR EACH ROW EXECUTE FUNCTION public.forbid();
CREATE TABLE public.quiet (id integer);
INSERT INTO public.quiet VALUES (1);
CREATE TRIGGER off BEFORE INSERT ON public.quiet FOR EACH ROW EXECUTE FUNCTION public.forbid();
ALTER TABLE public.quiet DISABLE TRIGGER off;

-- Cyclic references, one of them deferred, and one that isn't validated.
CREATE TABLE public.hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE public.egg (id integer PRIMARY KEY, hen integer REFERENCES public.hen DEFERRABLE INITIALLY DEFERRED);
INSERT INTO public.hen VALUES (1, 1), (2, 2);
INSERT INTO public.egg VALUES (1, 1), (2, 2);
ALTER TABLE public.hen ADD FOREIGN KEY (egg) REFERENCES public.egg;
CREATE TABLE public.legacy (n integer);
INSERT INTO public.legacy VALUES (-1), (2);
ALTER TABLE public.legacy ADD CONSTRAINT positive CHECK (n > 0) NOT VALID;

CREATE VIEW sales.totals WITH (security_barrier) AS
  SELECT customer, sum(total) AS total FROM sales."order" GROUP BY customer;
CREATE MATERIALIZED VIEW sales.top AS SELECT * FROM sales.totals ORDER BY total DESC LIMIT 10;
CREATE UNIQUE INDEX ON sales.top (customer);
CREATE MATERIALIZED VIEW sales.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE RECURSIVE VIEW public.numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 5;
CREATE RULE protect AS ON DELETE TO public.parent DO INSTEAD NOTHING;

CREATE TABLE public.tenant_data (tenant text, secret text);
INSERT INTO public.tenant_data SELECT 't' || i % 3, 's' || i FROM generate_series(1, 90) AS i;
ALTER TABLE public.tenant_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.tenant_data FORCE ROW LEVEL SECURITY;
CREATE POLICY "own rows" ON public.tenant_data TO :"app"
  USING (tenant = current_setting('app.tenant', true));

SELECT lo_from_bytea(700001, decode(repeat('deadbeef', 3000), 'hex')), lo_from_bytea(700002, '\x00ff');
COMMENT ON LARGE OBJECT 700001 IS 'a large object';
GRANT SELECT ON LARGE OBJECT 700001 TO :"reader";
CREATE TABLE public.picture (id integer, body oid);
INSERT INTO public.picture VALUES (1, 700001), (2, 700002);

GRANT USAGE ON SCHEMA sales TO :"app", :"reader";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sales TO :"app";
GRANT SELECT (id, name), UPDATE (mail) ON sales.customer TO :"reader" WITH GRANT OPTION;
GRANT SELECT ON public.tenant_data, public.picture TO :"app";
GRANT USAGE ON SEQUENCE sales.counter TO :"app";
REVOKE EXECUTE ON FUNCTION sales.half(numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sales.half(numeric) TO :"reader";
GRANT EXECUTE ON PROCEDURE sales.tidy(integer) TO :"app";
GRANT USAGE ON TYPE sales.mood TO :"app";
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO :"reader";
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE PUBLICATION some_tables FOR TABLE public.parent, sales.customer;
CREATE TEXT SEARCH DICTIONARY sales.simple_dict (TEMPLATE = pg_catalog.simple, STOPWORDS = 'english');
CREATE TEXT SEARCH CONFIGURATION sales.simple_config (COPY = pg_catalog.simple);
RESET SESSION AUTHORIZATION;

-- Owned by somebody else, so that owners are seen to survive.
CREATE TABLE public.owned_by_app (id integer PRIMARY KEY);
INSERT INTO public.owned_by_app SELECT generate_series(1, 17);
ALTER TABLE public.owned_by_app OWNER TO :"app";
