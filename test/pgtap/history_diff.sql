
-- Section 9: history_diff, how a table differs between two instants.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(21);
DROP ROLE IF EXISTS diff_reader;
CREATE ROLE diff_reader;
GRANT USAGE ON SCHEMA tap TO diff_reader;

CREATE DOMAIN town AS varchar(20);
CREATE TABLE t (gone int, id int PRIMARY KEY, name text, town town);
ALTER TABLE t DROP COLUMN gone;
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'Ada', 'Paris'), (2, 'Emmy', 'Erlangen'), (3, 'same', 's'), (4, 'changed back', 'b'), (5, 'moves', 'm');
SELECT now() AS t1 \gset
UPDATE t SET town = 'London' WHERE id = 1;
UPDATE t SET town = 'Rome' WHERE id = 1;
UPDATE t SET town = 'x' WHERE id = 4; UPDATE t SET town = 'b' WHERE id = 4;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (6, 'new', 'n'), (7, 'in between', 'i');
DELETE FROM t WHERE id = 7;
UPDATE t SET id = 50 WHERE id = 5;
SELECT now() AS t2 \gset
UPDATE t SET name = 'later';
DELETE FROM t WHERE id = 3;
SELECT set_eq(format('SELECT * FROM history_diff(NULL::t, %L, %L)', :'t1', :'t2'), $$VALUES
	('UPDATE', ROW(1, 'Ada', 'Paris')::t, ROW(1, 'Ada', 'Rome')::t), ('DELETE', ROW(2, 'Emmy', 'Erlangen')::t, NULL),
	('INSERT', NULL, ROW(6, 'new', 'n')::t), ('DELETE', ROW(5, 'moves', 'm')::t, NULL), ('INSERT', NULL, ROW(50, 'moves', 'm')::t)$$, 'between two instants');
SELECT set_eq(format('SELECT change, (old).id, (new).name FROM history_diff(NULL::t, %L, now())', :'t2'), $$VALUES
	('UPDATE', 1, 'later'), ('DELETE', 3, NULL), ('UPDATE', 4, 'later'), ('UPDATE', 6, 'later'), ('UPDATE', 50, 'later')$$, 'until now');
SELECT is_empty('SELECT * FROM history_diff(NULL::t, now(), now())', 'one instant');
SELECT is_empty($$SELECT * FROM history_diff(NULL::t, '2000-01-01', '2000-01-02')$$, 'before there was anything');
SELECT is((SELECT count(*)::int FROM history_diff(NULL::t, '2000-01-01', :'t1')), 5, 'since before there was anything');

-- What was there before a domain's constraint is shown as it was.
UPDATE t SET town = 'Nowhere' WHERE id = 6;
SELECT now() AS t3 \gset
UPDATE t SET town = 'Here' WHERE id = 6;
ALTER DOMAIN town ADD CHECK (VALUE <> 'Nowhere');
SELECT results_eq(format('SELECT (old).town::text, (new).town::text FROM history_diff(NULL::t, %L, now())', :'t3'), $$VALUES ('Nowhere', 'Here')$$, 'a domain''s later CHECK');

-- It is what a comparison of both states is, of every kind of table.
CREATE FUNCTION tap.wrong(tbl regclass, key text, t1 timestamptz, t2 timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE cols text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = tbl AND attnum > 0 AND NOT attisdropped);
	r text;
BEGIN
	EXECUTE format($q$ WITH b AS (SELECT x.*, to_jsonb(x) AS r FROM %1$s__with_history v, LATERAL (SELECT %2$s) x WHERE sys_period @> %4$L::timestamptz),
		a AS (SELECT x.*, to_jsonb(x) AS r FROM %1$s__with_history v, LATERAL (SELECT %2$s) x WHERE sys_period @> %5$L::timestamptz),
		should AS (SELECT b.r AS old, a.r AS new FROM b FULL JOIN a USING (%3$s) WHERE b.r IS DISTINCT FROM a.r),
		diff AS (SELECT to_jsonb(old) AS old, to_jsonb(new) AS new FROM history_diff(NULL::%1$s, %4$L, %5$L))
		SELECT string_agg(d::text, ' ') || ' of ' || (SELECT count(*) FROM should) FROM ((TABLE should EXCEPT TABLE diff) UNION ALL (TABLE diff EXCEPT TABLE should)) d $q$,
		tbl, cols, key, t1, t2) INTO r;
	RETURN r;
END $$;
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
CREATE TABLE tpar (id int PRIMARY KEY, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE tchi (PRIMARY KEY (id)) INHERITS (tpar);
CREATE TABLE r (a int, b text, v text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (500);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (500) TO (2000);
CREATE TABLE wide (id int PRIMARY KEY, v int);
SELECT create_history_table('timed', 'edited', 'txid'), create_history_table('chi'), create_history_table('tchi', 'edited', 'txid'), create_history_table('r'), create_history_table('wide');
INSERT INTO timed SELECT i, i FROM generate_series(1, 1000) i;
INSERT INTO par SELECT i, i FROM generate_series(1, 500) i; INSERT INTO chi SELECT i, i FROM generate_series(501, 1000) i;
INSERT INTO tpar SELECT i, i FROM generate_series(1, 500) i; INSERT INTO tchi SELECT i, i FROM generate_series(501, 1000) i;
INSERT INTO r SELECT i, i, i FROM generate_series(1, 1000) i;
INSERT INTO wide SELECT i, i FROM generate_series(1, 1000) i;
SELECT clock_timestamp() AS t1 \gset
UPDATE timed SET v = v || 'x', edited = now() WHERE id % 7 = 0; DELETE FROM timed WHERE id % 11 = 0; INSERT INTO timed VALUES (2000, 'n');
UPDATE par SET v = v || 'x' WHERE id % 7 = 0; DELETE FROM par WHERE id % 11 = 0; INSERT INTO chi VALUES (2000, 'n');
UPDATE tpar SET v = v || 'x', edited = now() WHERE id % 7 = 0; DELETE FROM tpar WHERE id % 11 = 0; INSERT INTO tchi VALUES (2000, 'n');
UPDATE r SET v = v || 'x' WHERE a % 7 = 0; DELETE FROM r WHERE a % 11 = 0; INSERT INTO r VALUES (1999, 'n', 'n'); UPDATE r SET a = a + 500 WHERE a = 13;
UPDATE wide SET v = -v WHERE id % 7 = 0; DELETE FROM wide WHERE id % 11 = 0;
SELECT clock_timestamp() AS t2 \gset
UPDATE timed SET v = v || 'y', edited = now() WHERE id % 5 = 0; UPDATE par SET v = v || 'y' WHERE id % 5 = 0; UPDATE tpar SET v = v || 'y', edited = now() WHERE id % 5 = 0;
UPDATE r SET v = v || 'y' WHERE a % 5 = 0; ALTER TABLE wide ALTER v TYPE bigint; UPDATE wide SET v = v + 1 WHERE id % 5 = 0;
SELECT is(wrong(tbl::regclass, key, :'t1', until), NULL, tbl || what)
FROM (VALUES (:'t2'::timestamptz, ''), (clock_timestamp(), ', until now')) u(until, what), (VALUES ('timed', 'id'), ('par', 'id'), ('tpar', 'id'), ('r', 'a, b'), ('wide', 'id')) x(tbl, key);

-- Privileges and policies are the reader's.
GRANT SELECT ON t, t__history, t__tracking TO diff_reader;
SET ROLE diff_reader;
SELECT is((SELECT count(*)::int FROM history_diff(NULL::t, :'t1', now()) WHERE change = 'DELETE'), 0, 'as a reader');
SELECT throws_ok('SELECT * FROM history_diff(NULL::timed, now(), now())', '42501', NULL, 'a stranger''s table');
RESET ROLE;

SELECT throws_ok('SELECT * FROM history_diff(1, now(), now())', '42804', '"row_type" is not of the type of a table''s rows');
SELECT throws_ok($$SELECT * FROM history_diff(NULL::t, now(), '2000-01-01')$$, '22023', '"before" is later than "after"');
SELECT throws_ok($$SELECT * FROM history_diff(NULL::pg_class, now(), now())$$, '42704', 'table "pg_class" has no history');
DROP OWNED BY diff_reader;
DROP ROLE diff_reader;
SELECT * FROM finish();
