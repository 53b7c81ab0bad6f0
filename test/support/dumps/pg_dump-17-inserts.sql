--
-- PostgreSQL database dump
--

\restrict ZhKxEhB0fMl8I1kbbDQQKEMl8RaPWZgwoVqrZxN8Qaykc1sDJQZr8DI45Tsjqzc

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 17.12 (Debian 17.12-0+deb13u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: state; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.state AS ENUM (
    'new',
    'it''s paid',
    'sent'
);


ALTER TYPE public.state OWNER TO postgres;

--
-- Name: noted(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.noted() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN NEW.name := NEW.name; RETURN NEW; END $$;


ALTER FUNCTION public.noted() OWNER TO postgres;

--
-- Name: total(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.total(integer) RETURNS numeric
    LANGUAGE sql STABLE
    AS $_$ SELECT sum(gross) FROM public.orders WHERE customer = $1; -- \! $_$;


ALTER FUNCTION public.total(integer) OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: customer; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.customer (
    id integer NOT NULL,
    name text NOT NULL,
    tags text[],
    doc jsonb,
    picture bytea,
    at timestamp with time zone DEFAULT '2020-01-02 03:04:05+00'::timestamp with time zone
);


ALTER TABLE public.customer OWNER TO postgres;

--
-- Name: TABLE customer; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.customer IS 'a comment; with ''quotes'' and a \ in it';


--
-- Name: customer_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.customer ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.customer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: event; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.event (
    id integer,
    at date NOT NULL,
    body text
)
PARTITION BY RANGE (at);


ALTER TABLE public.event OWNER TO postgres;

--
-- Name: event_2020; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.event_2020 (
    id integer,
    at date NOT NULL,
    body text
);


ALTER TABLE public.event_2020 OWNER TO postgres;

--
-- Name: event_other; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.event_other (
    id integer,
    at date NOT NULL,
    body text
);


ALTER TABLE public.event_other OWNER TO postgres;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.orders (
    id bigint NOT NULL,
    customer integer NOT NULL,
    state public.state DEFAULT 'new'::public.state,
    net numeric(10,2),
    gross numeric GENERATED ALWAYS AS ((net * 1.19)) STORED,
    CONSTRAINT orders_net_check CHECK ((net > (0)::numeric))
);


ALTER TABLE public.orders OWNER TO postgres;

--
-- Name: orders_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.orders_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER SEQUENCE public.orders_id_seq OWNER TO postgres;

--
-- Name: orders_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: postgres
--

ALTER SEQUENCE public.orders_id_seq OWNED BY public.orders.id;


--
-- Name: paid; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.paid AS
 SELECT c.name,
    o.net
   FROM (public.customer c
     JOIN public.orders o ON ((o.customer = c.id)))
  WHERE (o.state = 'it''s paid'::public.state);


ALTER VIEW public.paid OWNER TO postgres;

--
-- Name: totals; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.totals AS
 SELECT customer.id,
    public.total(customer.id) AS total
   FROM public.customer
  WITH NO DATA;


ALTER MATERIALIZED VIEW public.totals OWNER TO postgres;

--
-- Name: event_2020; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.event ATTACH PARTITION public.event_2020 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');


--
-- Name: event_other; Type: TABLE ATTACH; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.event ATTACH PARTITION public.event_other DEFAULT;


--
-- Name: orders id; Type: DEFAULT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orders ALTER COLUMN id SET DEFAULT nextval('public.orders_id_seq'::regclass);


--
-- Data for Name: customer; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.customer OVERRIDING SYSTEM VALUE VALUES (1, 'plain', '{a,"b c"}', '{"k": [1, 2]}', '\x00ff10', '2020-01-02 03:04:05+00');
INSERT INTO public.customer OVERRIDING SYSTEM VALUE VALUES (2, '\! touch /tmp/x
\.
\restrict x
COMMIT; --', NULL, '{"q": "it''s \"so\""}', '\x5c2e0a', '2020-01-02 03:04:05+00');
INSERT INTO public.customer OVERRIDING SYSTEM VALUE VALUES (3, 'Ünïcödé $$ "quoted" ''it''', '{}', 'null', '\x', '2020-01-02 03:04:05+00');
INSERT INTO public.customer OVERRIDING SYSTEM VALUE VALUES (4, 'tab	back\slash
end', NULL, NULL, NULL, '2020-01-02 03:04:05+00');


--
-- Data for Name: event_2020; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.event_2020 VALUES (1, '2020-05-05', 'in');


--
-- Data for Name: event_other; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.event_other VALUES (2, '2024-05-05', 'line
line');


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.orders VALUES (1, 2, 'it''s paid', 1.50, DEFAULT);
INSERT INTO public.orders VALUES (2, 3, 'sent', 2.50, DEFAULT);
INSERT INTO public.orders VALUES (3, 4, 'new', 3.50, DEFAULT);
INSERT INTO public.orders VALUES (4, 1, 'it''s paid', 4.50, DEFAULT);
INSERT INTO public.orders VALUES (5, 2, 'sent', 5.50, DEFAULT);
INSERT INTO public.orders VALUES (6, 3, 'new', 6.50, DEFAULT);
INSERT INTO public.orders VALUES (7, 4, 'it''s paid', 7.50, DEFAULT);
INSERT INTO public.orders VALUES (8, 1, 'sent', 8.50, DEFAULT);
INSERT INTO public.orders VALUES (9, 2, 'new', 9.50, DEFAULT);


--
-- Name: customer_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.customer_id_seq', 4, true);


--
-- Name: orders_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.orders_id_seq', 9, true);


--
-- Name: customer customer_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);


--
-- Name: orders_state; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX orders_state ON public.orders USING btree (state) WHERE (net > (2)::numeric);


--
-- Name: customer noted; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER noted BEFORE INSERT ON public.customer FOR EACH ROW EXECUTE FUNCTION public.noted();


--
-- Name: orders orders_customer_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES public.customer(id) ON DELETE CASCADE;


--
-- Name: totals; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.totals;


--
-- PostgreSQL database dump complete
--

\unrestrict ZhKxEhB0fMl8I1kbbDQQKEMl8RaPWZgwoVqrZxN8Qaykc1sDJQZr8DI45Tsjqzc

