-- Section 5, any other ALTER TYPE: the original stays as <name>_n; <name> gets
-- the new type, converted with the same USING expression or cast; what does not
-- convert is NULL.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(53);

-- Distinct values of these columns in history.
CREATE FUNCTION tap.old(rel text, cols text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
	EXECUTE format('SELECT string_agg(DISTINCT concat_ws('','', %s), '' '' ORDER BY concat_ws('','', %1$s))
		FROM %s', regexp_replace(cols, '(\w+)', 'coalesce(\1::text, ''-'')', 'g'), rel) INTO v;
	RETURN v;
END $$;

CREATE TABLE t (id int PRIMARY KEY, v text, a int, b int, c text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'one', 1, 10, 'x'), (2, '2', 2, 20, 'y'), (3, NULL, 3, 30, 'z');
UPDATE t SET v = id * 11;
ALTER TABLE t ALTER v TYPE int USING v::int;
SELECT follows('t', 'text to int', '{v_1 text}');
SELECT is(tap.old('t__history', 'id,v,v_1'), '1,-,one 1,11,- 2,2,2 2,22,- 3,-,- 3,33,-',
	'what converts is converted, what does not is NULL, the original stays');
ALTER TABLE t ALTER v TYPE text USING 'v' || v;
SELECT follows('t', 'twice in a row: _1 and _2', '{v_1 text,v_2 integer}');
SELECT is(tap.old('t__history', 'id,v,v_2,v_1'), '1,-,-,one 1,v11,-,- 1,v11,11,- 2,v2,2,2 2,v22,-,- 2,v22,22,- '
	'3,-,-,- 3,v33,-,- 3,v33,33,-', 'each with its own values, converted with the expression');
ALTER TABLE t ALTER v TYPE date USING date '2020-01-01' + a;
SELECT follows('t', 'a third time, from another column', '{v_1 text,v_2 integer,v_3 text}');
SELECT is(tap.old('t__history', 'id,v'), '1,2020-01-02 2,2020-01-03 3,2020-01-04',
	'from another column');

-- The casts that narrow, with no USING.
CREATE TABLE n (id int PRIMARY KEY, i8 bigint, nu numeric, vc varchar(10), f8 double precision,
	ts timestamp, tz timestamptz, n52 numeric(5,2), i4 int, tx text, da date, x int);
SELECT create_history_table('n');
INSERT INTO n VALUES (1, 5000000000, 1.55, 'abcdefg', 0.1, '2020-01-01 01:02:03.456', '2020-01-01 01:02:03.456Z',
	999.99, 16777217, 'text', '5000000-01-01');
UPDATE n SET i8 = 5, nu = 1, vc = 'abc', n52 = 1, i4 = 1, tx = 'te', da = '2020-01-01';
ALTER TABLE n ALTER i8 TYPE int;
ALTER TABLE n ALTER nu TYPE int, ALTER vc TYPE varchar(3), ALTER f8 TYPE real;
ALTER TABLE n ALTER ts TYPE date, ALTER tz TYPE timestamptz(0), ALTER n52 TYPE numeric(4,2);
ALTER TABLE n ALTER i4 TYPE real, ALTER tx TYPE varchar(2);
SELECT follows('n', 'narrowing casts without USING', '{i8_1 bigint,nu_1 numeric,vc_1 character varying(10),
	f8_1 double precision,ts_1 timestamp without time zone,tz_1 timestamp with time zone,"n52_1 numeric(5,2)",
	i4_1 integer,tx_1 text}');
SELECT is(tap.old('n__history', 'i8,nu,vc,f8,ts,n52,i4,tx'), '-,2,-,0.1,2020-01-01,-,1.6777216e+07,- '
	'5,1,abc,0.1,2020-01-01,1.00,1,te', 'what the new type holds is there');
SELECT is((SELECT count(*)::int FROM n__history WHERE i8_1 = 5000000000 AND nu_1 = 1.55
	AND vc_1 = 'abcdefg' AND n52_1 = 999.99 AND i4_1 = 16777217 AND tx_1 = 'text'), 1, 'the originals are whole');
SELECT is(tap.state('ALTER TABLE n ALTER da TYPE timestamp'), '00000',
	'date to timestamp: an old value out of range does not stop it');

-- Expressions.
CREATE SCHEMA other;
CREATE SCHEMA "Weird ""s";
CREATE FUNCTION other.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION "Weird ""s".f(int, text DEFAULT 'q') RETURNS text LANGUAGE sql AS $$SELECT $2 || $1$$;
CREATE FUNCTION "Weird ""s".plus(int, int) RETURNS int LANGUAGE sql
	AS 'SELECT $1 OPERATOR(pg_catalog.+) $2 OPERATOR(pg_catalog.+) 100';
CREATE OPERATOR "Weird ""s".+ (FUNCTION = "Weird ""s".plus, LEFTARG = int, RIGHTARG = int);
CREATE FUNCTION picky(text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 'bad' THEN RAISE EXCEPTION 'I do not like it'; END IF;
	RETURN length($1);
END $$;
CREATE TABLE e (id int PRIMARY KEY, v int, a int, b text, x int);
SELECT create_history_table('e');
INSERT INTO e VALUES (1, 1, 10, 'b'), (2, 2, 20, 'bb');
UPDATE e SET x = 1;
ALTER TABLE e ALTER v TYPE text USING b || ':' || v || ':' || a;
SELECT follows('e', 'USING with several columns', '{v_1 integer}');
SELECT set_has('SELECT v, v_1 FROM e__history', $$VALUES ('b:1:10', 1), ('bb:2:20', 2)$$, 'of several columns');
ALTER TABLE e ALTER v TYPE int USING other.twice(e.a);
SELECT follows('e', 'a function of another schema, a column with the table''s name',
	'{v_1 integer,v_2 text}');
SELECT is(tap.old('e__history', 'v'), '20 40', 'with its values');
ALTER TABLE e ALTER v TYPE bigint USING public.e.v + public.e.a;
SELECT follows('e', 'a column with the schema''s name', '{v_1 integer,v_2 text,v_3 integer}');
SELECT is(tap.old('e__history', 'v'), '30 60', 'with its values, too');
SET search_path = "Weird ""s", other, public, tap, pg_catalog;
ALTER TABLE e ALTER v TYPE text USING f(a + twice(1));
SET search_path = public, tap;
SELECT follows('e', 'functions and operators of the search_path', '{v_1 integer,v_2 text,v_3 integer,v_4 bigint}');
SELECT is(tap.old('e__history', 'v'), 'q112 q122', 'just these');
SET search_path = '';
ALTER TABLE public.e ALTER v TYPE int USING length(v);
SET search_path = public, tap;
SELECT follows('e', 'no search_path', '{v_1 integer,v_2 text,v_3 integer,v_4 bigint,v_5 text}');
ALTER TABLE e ALTER v TYPE int USING 100 / (a - 20 * 0) + (CASE WHEN a > 10 THEN 1 END);
SELECT follows('e', 'the same type, with an expression', '{v_1 integer,v_2 text,v_3 integer,v_4 bigint,v_5 text,v_6 integer}');
SELECT is(tap.old('e__history', 'v'), '- 6', 'the same type, with an expression: old values are converted');
ALTER TABLE e ALTER b TYPE text USING upper(b);
SELECT is(tap.old('e__history', 'b'), 'B BB', 'text to text, with an expression: old values are converted');
SELECT set_has('SELECT to_jsonb(h) ->> ''b_1'' FROM e__history h', $$VALUES ('b'), ('bb')$$,
	'text to text, with an expression: the original stays');

-- Errors of the expression upon old values.
CREATE TABLE r (id int PRIMARY KEY, v text, d int);
SELECT create_history_table('r');
INSERT INTO r SELECT i, CASE i % 5 WHEN 0 THEN 'bad' ELSE repeat('x', i) END, i % 3 FROM generate_series(1, 60) i;
UPDATE r SET v = 'good', d = 1;
ALTER TABLE r ALTER v TYPE int USING picky(v);
SELECT follows('r', 'a function that raises an error', '{v_1 text}');
SELECT is((SELECT count(*)::int FROM r__history WHERE v IS NULL AND v_1 = 'bad'), 12, 'is NULL where it does');
SELECT is((SELECT count(*)::int FROM r__history WHERE v = id AND v_1 = repeat('x', id)), 48, 'and its result elsewhere');
ALTER TABLE r ALTER d TYPE numeric USING 1.0 / d;
SELECT follows('r', 'a division by zero', '{v_1 text,d_1 integer}');
SELECT is((SELECT count(*)::int FROM r__history WHERE d IS NULL AND d_1 = 0), 20, 'is NULL');
SELECT refused_whole('ALTER TABLE r ALTER v TYPE date USING v::text::date', '{date}',
	'what the live table cannot convert fails', '22007|22008', '{r}', false);

-- Several in one command, each looking at the other as it was.
CREATE TABLE s (id int PRIMARY KEY, a int, b text, c text, x int);
SELECT create_history_table('s');
INSERT INTO s VALUES (1, 1, '10', 'c'), (2, 2, '20', 'd');
UPDATE s SET x = 1;
ALTER TABLE s ALTER a TYPE text USING b || c, ALTER b TYPE int USING a + 1;
SELECT follows('s', 'two that exchange their values', '{a_1 integer,b_1 text}');
SELECT set_has('SELECT id, a, b, a_1, b_1 FROM s__history',
	$$VALUES (1, '10c', 2, 1, '10'), (2, '20d', 3, 2, '20')$$, 'as they were before the command');
ALTER TABLE s ALTER a TYPE int USING length(a || c), DROP c, ADD d int DEFAULT 3, ALTER b TYPE bigint;
SELECT follows('s', 'lossy, lossless, one dropped that USING needs, and one added', '{a_1 integer,b_1 text,a_2 text}');
SELECT set_has('SELECT id, a, a_2 FROM s__history WHERE a_1 IS NOT NULL', $$VALUES (1, 4, '10c'), (2, 4, '20d')$$,
	'converted from the column that went');

-- The name of the kept one is taken, or too long.
CREATE TABLE l (id int PRIMARY KEY, v text, v_1 int, v_2 int);
SELECT create_history_table('l');
SELECT repeat('x', 63) AS x63 \gset
ALTER TABLE l ADD :"x63" text;
INSERT INTO l VALUES (1, '1', 2, 3, '4');
UPDATE l SET v = '5';
ALTER TABLE l ALTER v TYPE int USING v::int;
SELECT follows('l', 'the live table has _1 and _2: _3', '{v_3 text}');
ALTER TABLE l ALTER :"x63" TYPE int USING :"x63"::int;
SELECT follows('l', 'a name without room for _n', ARRAY['v_3 text', repeat('x', 61) || '_1 text']);
ALTER TABLE l ALTER v_2 TYPE text USING v_2 || 'x';
SELECT follows('l', 'a name that ends in _n itself', ARRAY['v_3 text', repeat('x', 61) || '_1 text', 'v_2_1 integer']);

-- Odd names and types.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE mood2 AS ENUM ('sad', 'glad');
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE SCHEMA "S s";
CREATE TABLE "S s"."T t" ("I d" int PRIMARY KEY, "V""v" mood, w int, x int);
SELECT create_history_table('"S s"."T t"');
INSERT INTO "S s"."T t" VALUES (1, 'happy', 100), (2, 'sad', 5);
UPDATE "S s"."T t" SET "V""v" = 'sad', w = 1;
ALTER TABLE "S s"."T t" ALTER "V""v" TYPE mood2 USING "V""v"::text::mood2, ALTER w TYPE small USING w::small;
SELECT is(tap.old('"S s"."T t__history"', 'w'), '100 5',
	'an old value that a domain does not allow stays as it is');
SELECT follows('"S s"."T t"', 'an enum to another, odd names', ARRAY['V"v_1 mood']);
SELECT is((SELECT count(*)::int FROM "S s"."T t__history" WHERE "V""v" IS NULL AND "V""v_1" = 'happy'), 1,
	'a label that the other lacks is NULL');

-- With a time column; with a trigger and RLS on history; many rows.
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO timed SELECT i, i::text FROM generate_series(1, 2000) i;
UPDATE timed SET v = id + 1;
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER noisy BEFORE UPDATE ON timed__history FOR EACH ROW EXECUTE FUNCTION noisy();
ALTER TABLE timed__history ENABLE ALWAYS TRIGGER noisy;
ALTER TABLE timed ALTER v TYPE int USING v::int;
SELECT is((SELECT sum(v)::int FROM timed__history), 2001000, 'a site''s trigger on history does not stop the conversion');
SELECT follows('timed', 'with a time column and many rows', '{v_1 text}');
SELECT is((SELECT count(*)::int FROM timed__history WHERE v_1 IS NULL), 2000, 'rows of the check alone have no v_1');

-- USING as a literal, a subexpression with a constant, NULL.
CREATE TABLE k (id int PRIMARY KEY, v text, w int);
SELECT create_history_table('k');
INSERT INTO k VALUES (1, 'a');
UPDATE k SET w = 1;
ALTER TABLE k ALTER v TYPE int USING NULL;
SELECT follows('k', 'USING NULL', '{v_1 text}');
ALTER TABLE k ALTER v TYPE timestamptz USING current_timestamp;
SELECT follows('k', 'USING current_timestamp', '{v_1 text,v_2 integer}');
SELECT is((SELECT count(*)::int FROM k__history WHERE v IS NULL), 0, 'USING a constant: for old values, too');

-- The type that columns had can be dropped, as is done to take a value out of an enum.
CREATE TYPE temper AS ENUM ('low', 'high');
CREATE TABLE m (id int PRIMARY KEY, v temper, w temper[]);
CREATE TABLE m_child (PRIMARY KEY (id)) INHERITS (m);
SELECT create_history_table('m_child');
INSERT INTO m_child VALUES (1, 'low', '{low,high}');
INSERT INTO m VALUES (2, 'high', '{high}');
UPDATE m SET v = 'high';
ALTER TYPE temper RENAME TO temper_old;
CREATE TYPE temper AS ENUM ('high', 'higher');
ALTER TABLE m ALTER v TYPE temper USING CASE WHEN v = 'high' THEN 'high'::temper END,
	ALTER w TYPE text USING w[1]::text;
SELECT allowed('DROP TYPE temper_old', 'the old type can be dropped');
SELECT follows('m', 'after DROP TYPE', '{v_1 text,w_1 text}');
SELECT follows('m_child', 'after DROP TYPE: a child', '{v_1 text,w_1 text}');
SELECT results_eq('SELECT v_1, w_1 FROM m_child__history ORDER BY sys_period LIMIT 1', $$VALUES ('low', '{low,high}')$$,
	'the old values are there still');

-- Or go with its extension; but what CASCADE may take is PostgreSQL's to say.
CREATE EXTENSION citext;
CREATE TABLE ext (id int PRIMARY KEY, v citext, w citext);
SELECT create_history_table('ext');
INSERT INTO ext VALUES (1, 'Old', 'x');
UPDATE ext SET w = 'y';
ALTER TABLE ext ALTER v TYPE int USING length(v::text);
SELECT throws_ok('DROP EXTENSION citext', '2BP01', NULL, 'a column that the table still has keeps its type');
SELECT is((SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'ext__history'::regclass AND attname = 'v_1'),
	'citext', 'then the kept one does, too');
ALTER TABLE ext DROP w;
SELECT allowed('DROP EXTENSION citext', 'an extension whose type only histories have can be dropped');
SELECT results_eq('SELECT v_1 FROM ext__history ORDER BY sys_period LIMIT 1', $$VALUES ('Old')$$, 'and its values stay');
SELECT * FROM finish();
