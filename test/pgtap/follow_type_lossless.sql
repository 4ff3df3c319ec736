-- Section 5, ALTER TYPE without loss: every pair of types, with no USING and with
-- the plain cast as USING, in place: no column is kept, no old value changes.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN evenposint AS posint CHECK (VALUE % 2 = 0);
CREATE DOMAIN code AS varchar(7) CHECK (VALUE <> '');
CREATE TABLE pairs (no int GENERATED ALWAYS AS IDENTITY, old text, new text, vals text[]);
INSERT INTO pairs (old, new, vals) VALUES
	('smallint', 'integer', '{-32768,32767}'),
	('smallint', 'bigint', '{-32768,32767}'),
	('smallint', 'numeric', '{-32768,32767}'),
	('smallint', 'real', '{-32768,32767}'),
	('smallint', 'double precision', '{-32768,32767}'),
	('integer', 'bigint', '{-2147483648,2147483647}'),
	('integer', 'numeric', '{-2147483648,2147483647}'),
	('integer', 'double precision', '{-2147483648,2147483647}'),
	('bigint', 'numeric', '{-9223372036854775808,9223372036854775807}'),
	('real', 'double precision', '{1.5,-Infinity,NaN,3e38}'),
	('numeric(5,2)', 'numeric', '{999.99,-999.99,NaN}'),
	('numeric(5,2)', 'numeric(7,2)', '{999.99,-999.99}'),
	('numeric(5,2)', 'numeric(7,4)', '{999.99,-999.99}'),
	('numeric(5)', 'numeric(5,0)', '{99999,-99999}'),
	('varchar(5)', 'varchar(10)', '{abcde,"a  "}'),
	('varchar(5)', 'varchar', '{abcde,"a  "}'),
	('varchar(5)', 'text', '{abcde,"a  "}'),
	('varchar', 'text', '{abcde,"a  "}'),
	('text', 'varchar', '{abcde,"a  "}'),
	('char(3)', 'char(5)', '{a,abc}'),
	('char(3)', 'text', '{a,abc}'),
	('"char"', 'text', '{a,b}'),
	('name', 'text', '{a,b}'),
	('date', 'timestamp', '{2020-02-29,infinity,0044-03-15 BC}'),
	('timestamp(0)', 'timestamp(3)', '{2020-02-29 01:02:03,infinity}'),
	('timestamp(3)', 'timestamp', '{2020-02-29 01:02:03.123,-infinity}'),
	('timestamp(6)', 'timestamp', '{2020-02-29 01:02:03.123456}'),
	('timestamptz(0)', 'timestamptz', '{2020-02-29 01:02:03+05}'),
	('timestamptz(2)', 'timestamptz(4)', '{2020-02-29 01:02:03.12+05}'),
	('time(0)', 'time(3)', '{24:00,01:02:03}'),
	('timetz(0)', 'timetz', '{24:00+07,01:02:03-03}'),
	('interval(0)', 'interval', '{1 year 2 days 3 seconds}'),
	('cidr', 'inet', '{10.0.0.0/8,::/0}'),
	('varbit(3)', 'varbit(5)', '{101,""}'),
	('varbit(3)', 'varbit', '{101,""}'),
	('bit(3)', 'varbit', '{101,000}'),
	('oid', 'regclass', '{1259,1249}'),
	('regclass', 'oid', '{pg_class,pg_attribute}'),
	('integer', 'oid', '{1,2147483647}'),
	('xml', 'text', '{<a/>,b}'),
	('mood', 'text', '{sad,happy}'),
	('mood', 'varchar', '{sad,happy}'),
	('posint', 'integer', '{1,2}'),
	('posint', 'bigint', '{1,2147483647}'),
	('integer', 'posint', '{1,2}'),
	('evenposint', 'posint', '{2,4}'),
	('evenposint', 'integer', '{2,4}'),
	('code', 'varchar(7)', '{a,abcdefg}'),
	('code', 'varchar(9)', '{a,abcdefg}'),
	('code', 'text', '{a,abcdefg}'),
	('integer', 'text', '{1,-2}'),
	('boolean', 'text', '{true,false}'),
	('double precision', 'text', '{0.1,1e300,NaN}'),
	('numeric(5,2)', 'text', '{1.10,2}'),
	('timestamptz', 'text', '{2020-02-29 01:02:03.12+05,infinity}'),
	('date', 'text', '{2020-02-29,infinity}'),
	('uuid', 'text', '{00000000-0000-0000-0000-000000000001}'),
	('integer[]', 'text', '{"{1,2}","{}"}'),
	('bytea', 'text', '{"\\\\x00ff"}'),
	('json', 'text', '{"{ \"a\" : 1, \"a\":2 }"}'),
	('jsonb', 'text', '{"{\"a\": 1}"}'),
	('int4range', 'text', '{"[1,2)",empty}'),
	('text', 'text COLLATE "C"', '{b,A}'),
	('varchar(3)', 'text COLLATE "C"', '{b,A}');

-- The values of column v in rows, as its type writes them now.
CREATE FUNCTION tap.values_of(rel text, as_type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
	EXECUTE format('SELECT string_agg(id || coalesce(v::%s::text, ''NULL''), '', '' ORDER BY id,
		v IS NULL, v::%1$s::text COLLATE "C") FROM %s', as_type, rel) INTO v;
	RETURN v;
END $$;
-- What goes wrong with one pair, in one manner.
CREATE FUNCTION tap.pair_astray(p pairs, using_clause text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	wanted text;
	attnum_before int;
	bare text := split_part(p.new, ' COLLATE', 1);
	val text;
	i int := 0;
BEGIN
	EXECUTE format('CREATE TABLE s (id int PRIMARY KEY, v %s, w int)', p.old);
	PERFORM create_history_table('s');
	FOREACH val IN ARRAY array_append(p.vals, NULL) LOOP
		i := i + 1;
		EXECUTE format('INSERT INTO s VALUES (%s, %L)', i, val);
	END LOOP;
	UPDATE s SET w = 1;
	DELETE FROM s WHERE id = 1;
	wanted := tap.values_of('s__history', bare);
	SELECT attnum INTO attnum_before FROM pg_catalog.pg_attribute
	WHERE attrelid = 's__history'::regclass AND attname = 'v';
	EXECUTE format('ALTER TABLE s ALTER COLUMN v TYPE %s %s', p.new,
		replace(using_clause, 'TYPE', bare));
	IF tap.values_of('s__history', bare) IS DISTINCT FROM wanted THEN
		RETURN format('%s instead of %s', tap.values_of('s__history', bare), wanted);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute
			WHERE attrelid = 's__history'::regclass AND attname = 'v' AND attnum = attnum_before) THEN
		RETURN 'not in place';
	END IF;
	RETURN tap.astray('s');
END $$;
CREATE FUNCTION tap.pair(p pairs, using_clause text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
	BEGIN
		wrong := tap.pair_astray(p, using_clause);
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION
		WHEN SQLSTATE 'UNDO1' THEN NULL;
		WHEN OTHERS THEN wrong := SQLERRM;
	END;
	RETURN tap.is(wrong, '', format('%s to %s %s', p.old, p.new, using_clause));
END $$;

SELECT plan((SELECT count(*)::int * 4 FROM pairs) + 12);
SELECT tap.pair(pairs, '') FROM pairs ORDER BY no;
SELECT tap.pair(pairs, 'USING v::TYPE') FROM pairs ORDER BY no;
SELECT tap.pair(pairs, 'USING CAST((v) AS TYPE)') FROM pairs ORDER BY no;
SELECT tap.pair(pairs, 'USING (s.v)::TYPE') FROM pairs ORDER BY no;

-- A chain, several in one command, and old values that are not in the live table.
CREATE TABLE t (id int PRIMARY KEY, a smallint, b varchar(3), c posint, d mood, e text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 1, 'abc', 1, 'sad', 'x'), (2, 2, 'def', 2, 'happy', 'y');
UPDATE t SET e = e || e;
ALTER TABLE t ALTER a TYPE int;
ALTER TABLE t ALTER a TYPE bigint;
ALTER TABLE t ALTER a TYPE numeric;
SELECT follows('t', 'one after the other');
ALTER TABLE t ALTER a TYPE text, ALTER b TYPE varchar(10), ALTER COLUMN c SET DATA TYPE bigint,
	ALTER d TYPE text USING d::text;
SELECT follows('t', 'four in one command');
SELECT set_has('SELECT id, a, b, c, d FROM t__history',
	$$VALUES (1, '1', 'abc', 1::bigint, 'sad'), (2, '2', 'def', 2, 'happy')$$, 'all values are there');
SELECT relfilenode AS node FROM pg_class WHERE oid = 't__history'::regclass \gset
ALTER TABLE t ALTER b TYPE varchar(20);
ALTER TABLE t ALTER b TYPE text;
SELECT is((SELECT relfilenode FROM pg_class WHERE oid = 't__history'::regclass), :node::oid,
	'what rewrites no live table rewrites no history');

-- Types whose history is one already.
ALTER TABLE t ALTER c TYPE int USING c::int;
SELECT follows('t', 'narrowed: that is another thing', '{c_1 bigint}');
ALTER TABLE t ALTER c TYPE posint;
SELECT follows('t', 'to a domain over the type', '{c_1 bigint}');
UPDATE t SET c = 5;
ALTER TABLE t ALTER c TYPE evenposint USING 2;
SELECT follows('t', 'to another domain of this base, with USING', '{c_1 bigint,c_2 integer}');

-- An index and a generated column on it, defaults, a site's index on history.
CREATE TABLE g (id int PRIMARY KEY, v int NOT NULL DEFAULT 7 UNIQUE,
	n int GENERATED ALWAYS AS (5) STORED, h int);
SELECT create_history_table('g');
CREATE INDEX site ON g__history (v);
INSERT INTO g VALUES (1, 1);
UPDATE g SET h = 1;
ALTER TABLE g ALTER v TYPE bigint, ALTER h TYPE bigint;
SELECT follows('g', 'a column with a default, a unique index and an index on history');
SELECT ok(to_regclass('site') IS NOT NULL, 'the site''s index is still there');
ALTER TABLE g ALTER n TYPE bigint;
SELECT follows('g', 'a generated column');

-- DateStyle and the like may be what they want, text is text.
SET extra_float_digits = 1;
CREATE TABLE f (id int PRIMARY KEY, v double precision);
SELECT create_history_table('f');
INSERT INTO f VALUES (1, 0.1::float8 + 0.2::float8);
UPDATE f SET v = v;
ALTER TABLE f ALTER v TYPE text;
SELECT is((SELECT DISTINCT v::float8 = 0.1::float8 + 0.2::float8 FROM f__history), true,
	'every digit of a float');
SELECT follows('f', 'a float to text');
SELECT * FROM finish();
