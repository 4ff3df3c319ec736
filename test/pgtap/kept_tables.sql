-- on_drop_table = keep: rows that are live when their table is dropped end their version
-- in the history that stays, as by TRUNCATE, whatever drops the table.  A table of the
-- name takes it up again, also one with wider columns; so are tables swapped.  Without
-- the setting a NOTICE names a history that goes with its versions.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/error_of.psql
SELECT plan(43);
DROP ROLE IF EXISTS kept_tables_one, kept_tables_two;
CREATE ROLE kept_tables_one;
CREATE ROLE kept_tables_two;
GRANT ALL ON SCHEMA public, tap TO kept_tables_one, kept_tables_two;
CREATE SCHEMA s;
CREATE SCHEMA "S 2" AUTHORIZATION kept_tables_two;
SELECT format('psql -X -q -h %s -p %s -U %s -d %s', :'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
\set run '-c "SET client_min_messages = notice" -c'

-- The versions of a history, "id v" in order: "open" has no end, "empty" an empty
-- period, "?" no start.
CREATE FUNCTION stored(history regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE res text;
BEGIN
	EXECUTE format('SELECT string_agg(concat(id, v) || CASE WHEN isempty(sys_period) THEN '' empty''
		WHEN upper_inf(sys_period) THEN '' open'' WHEN lower_inf(sys_period) THEN ''?'' ELSE '''' END,
		'', '' ORDER BY id, sys_period, v) FROM ONLY %s', history) INTO res;
	RETURN coalesce(res, '');
END $$;
CREATE FUNCTION exists_all(VARIADIC names text[]) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(n, ' ') FROM unnest(names) n WHERE to_regclass(n) IS NOT NULL $$;

SET catmaid_history.on_drop_table = keep;
-- Named; with a time column; made in the same transaction; refused; rolled back.
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE refers (id int REFERENCES t);
SELECT create_history_table('t'), create_history_table('timed', 'edition_time', 'txid');
INSERT INTO t VALUES (1, 'old'), (2, 'never changed');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
UPDATE timed SET edition_time = NULL WHERE id = 2;
UPDATE t SET v = 'last' WHERE id = 1;
SELECT throws_ok('DROP TABLE t', '2BP01', NULL, 'refused');
SELECT is(stored('t__history'), '1old', 'nothing is stored');
BEGIN;
SAVEPOINT s;
DROP TABLE t CASCADE;
ROLLBACK TO s;
COMMIT;
SELECT is(stored('t__history'), '1old', 'nor when it is rolled back');
SELECT set_eq('SELECT live_pk FROM t__tracking', '{1,2}'::int[], 'the rows are tracked');
BEGIN;
SELECT now() AS dropped, txid_current() AS xid \gset
DROP TABLE t CASCADE;
DROP TABLE timed;
COMMIT;
SELECT is(stored('t__history'), '1old, 1last, 2never changed', 'every row ends its version, once');
SELECT is(stored('timed__history'), '1a, 2b?, 2b', 'with a time column, an unknown start among them');
SELECT is((SELECT count(*)::int FROM t__history WHERE upper(sys_period) = :'dropped' AND exec_transaction_id = :xid), 2,
	'with this transaction as its end');
SELECT is(exists_all('t', 't__tracking', 't__with_history', 't__history'), 't__history', 'all the rest is gone');
BEGIN;
CREATE TABLE t2 (id int PRIMARY KEY, v text);
SELECT create_history_table('t2');
INSERT INTO t2 VALUES (1, 'a');
DROP TABLE t2;
COMMIT;
SELECT is(stored('t2__history'), '1a empty', 'a table that came in the same transaction');

-- Partitioned: the root, and a partition of one that stays.
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE s.p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE s.p3 PARTITION OF p2 FOR VALUES FROM (10) TO (20);
SELECT create_history_table('p');
INSERT INTO p VALUES (1, 'a'), (11, 'b');
DROP SCHEMA s CASCADE;
SELECT is(stored('p__history'), '1a, 11b', 'partitions that go with their schema');
SELECT is((SELECT count(*)::int FROM p__tracking), 0, 'are no longer tracked');
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
INSERT INTO p VALUES (2, 'c');
DROP TABLE p;
SELECT is(stored('p__history'), '1a, 2c, 11b', 'the root');

-- A hierarchy: with CASCADE, and over schemas, where the child's history stays.
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (w int, PRIMARY KEY (id)) INHERITS (parent);
SELECT create_history_table('child');
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 7);
DROP TABLE parent CASCADE;
SELECT is(stored('parent__history') || ', ' || stored('child__history'), '1p, 2c', 'each has its own rows');
SELECT is((SELECT w FROM child__history), 7, 'complete');
DROP TABLE parent__history, child__history;
CREATE SCHEMA s;
CREATE TABLE s.parent (id int PRIMARY KEY, v text);
CREATE TABLE child (w int, PRIMARY KEY (id)) INHERITS (s.parent);
SELECT create_history_table('child');
INSERT INTO child VALUES (2, 'c', 7);
UPDATE child SET v = 'd';
DROP SCHEMA s CASCADE;
SELECT is(stored('child__history'), '2c, 2d', 'the parent''s history goes with its schema, the child''s stays');
SELECT is_empty('SELECT * FROM catmaid_history_table', 'nothing is registered');
CREATE SCHEMA s;
CREATE TABLE s.parent (id int PRIMARY KEY, v text);
CREATE TABLE kin (w int, PRIMARY KEY (id)) INHERITS (s.parent);
SELECT create_history_table('kin');
INSERT INTO kin VALUES (1, 'k', 1);
DROP TABLE kin;
SELECT is((SELECT count(*)::int FROM pg_inherits WHERE inhrelid = 'kin__history'::regclass), 1,
	'control: a kept history under its parent''s');
DROP SCHEMA s CASCADE;
SELECT is(stored('kin__history'), '1k', 'does not go with it');

-- By its type, by its owner.
CREATE TYPE row_type AS (id int, v text);
CREATE TABLE typed OF row_type (PRIMARY KEY (id));
SELECT create_history_table('typed');
INSERT INTO typed VALUES (1, 'x');
DROP TYPE row_type CASCADE;
SELECT is(stored('typed__history'), '1x', 'a typed table goes with its type');
SET ROLE kept_tables_one;
CREATE TABLE above (id int PRIMARY KEY, v text);
RESET ROLE;
CREATE TABLE "S 2"."Below" (PRIMARY KEY (id)) INHERITS (above);
ALTER TABLE "S 2"."Below" OWNER TO kept_tables_two;
SELECT create_history_table('"S 2"."Below"');
INSERT INTO above VALUES (1, 'a');
INSERT INTO "S 2"."Below" VALUES (2, 'b');
DROP OWNED BY kept_tables_one CASCADE;
SELECT is(stored('"S 2"."Below__history"'), '2b', 'DROP OWNED of the parent''s owner: the child''s history is another''s');
SELECT is(exists_all('above', 'above__history', '"S 2"."Below"', '"S 2"."Below__history"'), '"S 2"."Below__history"',
	'what is the role''s goes');

-- Not recorded: disabled, switched off.
CREATE TABLE d (id int PRIMARY KEY, v text);
CREATE TABLE o (id int PRIMARY KEY, v text);
SELECT create_history_table('d'), create_history_table('o');
INSERT INTO d VALUES (1, 'a');
INSERT INTO o VALUES (1, 'a');
UPDATE o SET v = 'b';
SELECT disable_history_tracking_for_table('d');
ALTER TABLE o DISABLE TRIGGER ALL;
UPDATE o SET v = 'c';
DROP TABLE d, o;
SELECT is(stored('d__history') || stored('o__history'), '1a', 'nothing is stored while nothing is recorded');

-- Taken up by a table with wider columns.
CREATE TYPE col AS ENUM ('x', 'y');
CREATE TABLE wide (id int PRIMARY KEY, i int, j smallint, n numeric(4,1), c varchar(5), d date, e col);
SELECT create_history_table('wide');
INSERT INTO wide VALUES (1, 1, 1, 1.1, 'c', '2001-01-01', 'x');
UPDATE wide SET id = 1;
DROP TABLE wide;
CREATE TABLE wide (id bigint PRIMARY KEY, i bigint, j int, n numeric(8,2), c text, d timestamp, e text, more int);
SELECT is(state, 'none', 'a kept history is taken up by a table with wider columns') FROM error_of($$SELECT create_history_table('wide')$$);
SELECT is((SELECT string_agg(DISTINCT format_type(l.atttypid, l.atttypmod), ' ')
	FROM pg_attribute l LEFT JOIN pg_attribute h ON h.attrelid = 'wide__history'::regclass AND h.attname = l.attname
		AND h.atttypid = l.atttypid AND h.atttypmod = l.atttypmod
	WHERE l.attrelid = 'wide'::regclass AND l.attnum > 0 AND h.attname IS NULL), NULL, 'which have become so');
INSERT INTO wide VALUES (5000000000, 5000000000, 40000, 123456.78, 'longer than that', 'now', 'z', 1);
UPDATE wide SET more = 2;
SELECT is((SELECT count(*)::int FROM wide__history), 3, 'and it goes on');
SELECT lives_ok($$SELECT widen_history_table('wide')$$, 'nothing is left to widen');
DROP TABLE wide;

-- A hierarchy, too.
CREATE TABLE older (id int PRIMARY KEY, v int);
CREATE TABLE younger (w smallint, PRIMARY KEY (id)) INHERITS (older);
SELECT create_history_table('younger');
INSERT INTO older VALUES (1, 1);
INSERT INTO younger VALUES (2, 2, 2);
DROP TABLE older, younger;
CREATE TABLE older (id bigint PRIMARY KEY, v bigint);
CREATE TABLE younger (w int, PRIMARY KEY (id)) INHERITS (older);
SELECT create_history_table('younger');
INSERT INTO older VALUES (3, 3);
INSERT INTO younger VALUES (5000000000, 4, 40000);
UPDATE older SET v = 0;
SELECT is(stored('older__history') || ', ' || stored('younger__history'), '11, 33, 22, 50000000004', 'a hierarchy is taken up, wider');
SELECT is((SELECT count(*)::int FROM older__history), 4, 'as a hierarchy');
DROP TABLE older, younger;

-- Or says how.
CREATE TABLE wide (id bigint PRIMARY KEY, i int, "E" int, e int);
SELECT matches(hint, '^ALTER TABLE public.wide__history RENAME COLUMN e TO e_1; then', 'one of quite another type: an error, with a hint')
	FROM error_of($$SELECT create_history_table('wide')$$);
ALTER TABLE wide__history RENAME COLUMN e TO e_1;
SELECT is(state, 'none', 'that leads out') FROM error_of($$SELECT create_history_table('wide')$$);
SELECT is((SELECT count(*)::int FROM wide__with_history), 4, 'with all its versions');

-- A table is built beside the old one and swapped in (doc/recipes.md).
CREATE TABLE x (id int PRIMARY KEY, v text);
SELECT create_history_table('x');
INSERT INTO x VALUES (1, 'a'), (2, 'b');
UPDATE x SET v = 'A' WHERE id = 1;
SELECT clock_timestamp() AS before \gset
CREATE TABLE x_new (id bigint PRIMARY KEY, v varchar(20));
BEGIN;
SELECT now() AS swapped \gset
LOCK TABLE x;
INSERT INTO x_new SELECT * FROM x;
SET LOCAL catmaid_history.on_drop_table = keep;
DROP TABLE x;
ALTER TABLE x_new RENAME TO x;
SELECT create_history_table('x');
COMMIT;
UPDATE x SET v = 'B' WHERE id = 2;
SELECT results_eq(format('SELECT id, v FROM x__with_history WHERE sys_period @> %L::timestamptz ORDER BY 1', :'before'),
	$$VALUES (1::bigint, 'A'), (2, 'b')$$, 'swapped in: as of before');
SELECT results_eq(format('SELECT id, v FROM x__with_history WHERE sys_period @> %L::timestamptz ORDER BY 1', :'swapped'),
	$$VALUES (1::bigint, 'A'), (2, 'b')$$, 'as of the swap');
SELECT is_empty($$SELECT * FROM check_history() WHERE severity <> 'info'$$, 'all is in order');
-- a tool that renames first
CREATE TABLE x_new (LIKE x INCLUDING ALL);
BEGIN;
INSERT INTO x_new SELECT * FROM x;
ALTER TABLE x RENAME TO x_old;
ALTER TABLE x_new RENAME TO x;
DROP TABLE x_old;
COMMIT;
ALTER TABLE x_old__history RENAME TO x__history;
SELECT is(state, 'none', 'swapped in by renaming') FROM error_of($$SELECT create_history_table('x')$$);
SELECT is(stored('x__history'), '1a, 1A, 1A, 2b, 2b, 2B', 'nothing is lost');
SELECT is_empty($$SELECT * FROM check_history() WHERE severity <> 'info'$$, 'all is in order');

-- The NOTICE of a history that goes.
RESET catmaid_history.on_drop_table;
CREATE FUNCTION make(VARIADIC names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE n text;
BEGIN
	FOREACH n IN ARRAY names LOOP
		EXECUTE format('CREATE TABLE %s (id int PRIMARY KEY, v text)', n);
		PERFORM create_history_table(n::regclass);
		EXECUTE format('INSERT INTO %s VALUES (1, ''a'')', n);
	END LOOP;
END $$;
SELECT make('n1', 'n2', 'n3');
UPDATE n1 SET v = 'b';
UPDATE n3 SET v = 'b';
UPDATE n3 SET v = 'c';
\set out `:client :run "DROP TABLE n1" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:  history table public.n1__history is dropped', 'a history with versions: a NOTICE names it');
\set out `:client :run "DROP TABLE n2" 2>&1`
SELECT is(:'out'::text, '', 'without: none');
\set out `:client :run "DROP TABLE n3 CASCADE" 2>&1`
SELECT is((length(:'out') - length(replace(:'out', 'n3__history', ''))) / length('n3__history'), 1, 'one only');
CREATE SCHEMA s;
SELECT make('s.n4');
UPDATE s.n4 SET v = 'b';
\set out `:client :run "DROP SCHEMA s CASCADE" 2>&1`
SELECT is((length(:'out') - length(replace(:'out', 'n4__history', ''))) / length('n4__history'), 1, 'a schema: PostgreSQL''s own');
GRANT ALL ON SCHEMA public, tap TO kept_tables_one;
SET ROLE kept_tables_one;
SELECT make('n5');
UPDATE n5 SET v = 'b';
RESET ROLE;
\set out `:client :run "DROP OWNED BY kept_tables_one" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:  history table public.n5__history is dropped', 'DROP OWNED: ours');
SELECT is(exists_all('n1__history', 'n2__history', 'n3__history', 'n5__history'), NULL, 'all are gone');

SELECT * FROM finish();
DROP OWNED BY kept_tables_one, kept_tables_two CASCADE;
DROP ROLE kept_tables_one, kept_tables_two;
