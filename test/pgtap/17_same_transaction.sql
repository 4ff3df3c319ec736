-- Versions that were made and superseded in one transaction have an empty
-- period, and are stored all the same, in both designs.
\set ECHO none
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set QUIET 1
SET client_min_messages = warning;
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET search_path = public, tap;
CREATE EXTENSION catmaid_history;

-- The oracle: remember() copies the rows of a live table aside, with the time;
-- misremembered() shows where the as-of query of that time differs from them.
CREATE TABLE remembered (rel regclass, step text, at timestamptz, r jsonb);
CREATE FUNCTION remember(rel regclass, step text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO remembered VALUES (rel, step, now(), NULL);
	EXECUTE format('INSERT INTO remembered SELECT %L, %L, now(), to_jsonb(its_row)
		FROM %s its_row', rel::oid, step, rel);
END $$;
CREATE FUNCTION misremembered(live regclass)
RETURNS TABLE (what text, at_step text, r jsonb) LANGUAGE plpgsql AS $$
DECLARE
	s remembered;
	v text := (SELECT format('%I.%I', n.nspname, c.relname || '__with_history')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = live);
BEGIN
	IF NOT EXISTS (SELECT FROM remembered m WHERE m.rel = live) THEN
		RAISE EXCEPTION 'nothing remembered of %', live;
	END IF;
	FOR s IN SELECT * FROM remembered m WHERE m.rel = live AND m.r IS NULL LOOP
		RETURN QUERY EXECUTE format($q$
			WITH was AS (SELECT r FROM remembered
				WHERE rel = %1$L AND step = %2$L AND r IS NOT NULL),
			as_of AS (SELECT to_jsonb(its_row) - 'sys_period' - 'exec_transaction_id'
				FROM %3$s its_row WHERE its_row.sys_period @> %4$L::timestamptz)
			(SELECT 'lost', %2$L, * FROM was
			 EXCEPT ALL SELECT 'lost', %2$L, * FROM as_of)
			UNION ALL (SELECT 'invented', %2$L, * FROM as_of
			 EXCEPT ALL SELECT 'invented', %2$L, * FROM was)
			$q$, live::oid, s.step, v, s.at);
	END LOOP;
END $$;

SELECT plan(10);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE TABLE trk (id int PRIMARY KEY, v text);
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TRIGGER on_edit BEFORE UPDATE ON tim FOR EACH ROW EXECUTE FUNCTION on_edit();
SELECT create_history_table('trk'), create_history_table('tim', 'edition_time', 'txid');
BEGIN;
SELECT now() AS t0 \gset
INSERT INTO trk VALUES (1, 'a'), (2, 'a'), (3, 'a');
INSERT INTO tim VALUES (1, 'a'), (2, 'a'), (3, 'a');
COMMIT;
SELECT remember('trk', '0'), remember('tim', '0');

BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO trk VALUES (4, 'ins');
INSERT INTO tim VALUES (4, 'ins');
UPDATE trk SET v = v || 1;
UPDATE tim SET v = v || 1;
UPDATE trk SET v = v || 2;
UPDATE tim SET v = v || 2;
DELETE FROM trk WHERE id IN (1, 4);
DELETE FROM tim WHERE id IN (1, 4);
INSERT INTO trk VALUES (1, 'back');
INSERT INTO tim VALUES (1, 'back');
UPDATE trk SET v = v || 3 WHERE id = 1;
UPDATE tim SET v = v || 3 WHERE id = 1;
COMMIT;
SELECT remember('trk', '1'), remember('tim', '1');
CREATE TABLE expected AS SELECT * FROM (VALUES (1, 'a', false), (1, 'a1', true),
	(1, 'a12', true), (1, 'back', true), (2, 'a', false), (2, 'a1', true), (3, 'a', false),
	(3, 'a1', true), (4, 'ins', true), (4, 'ins1', true), (4, 'ins12', true)) e (id, v, emp);
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM trk__history ORDER BY id, v',
	'SELECT * FROM expected ORDER BY id, v', 'every version is stored, tracking table');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM tim__history ORDER BY id, v',
	'SELECT * FROM expected ORDER BY id, v', 'every version is stored, time column');
SELECT results_eq('SELECT DISTINCT sys_period FROM (SELECT sys_period FROM trk__history
		UNION ALL SELECT sys_period FROM tim__history) h WHERE NOT isempty(sys_period)',
	format('VALUES (tstzrange(%L, %L))', :'t0', :'t1'), 'the others end at the transaction');
SELECT results_eq('SELECT DISTINCT exec_transaction_id FROM (SELECT exec_transaction_id
		FROM trk__history UNION ALL SELECT exec_transaction_id FROM tim__history) h',
	format('VALUES (%s::bigint)', :x1), 'all of them in this transaction');
SELECT results_eq('SELECT * FROM trk__tracking ORDER BY 1', format(
	'SELECT i, %L::timestamptz, %s::bigint FROM generate_series(1, 3) i', :'t1', :x1),
	'the tracking table has the keys that are left');

-- Then TRUNCATE in the transaction of the last change.
BEGIN;
UPDATE trk SET v = 'upd' WHERE id = 2;
UPDATE tim SET v = 'upd' WHERE id = 2;
TRUNCATE trk, tim;
INSERT INTO trk VALUES (2, 'new');
INSERT INTO tim VALUES (2, 'new');
TRUNCATE trk, tim;
INSERT INTO trk VALUES (3, 'newest');
INSERT INTO tim VALUES (3, 'newest');
COMMIT;
SELECT remember('trk', '2'), remember('tim', '2');
SELECT results_eq($$SELECT v, isempty(sys_period) FROM trk__history
		WHERE v IN ('upd', 'new', 'back3') ORDER BY v$$,
	$$VALUES ('back3', false), ('new', true), ('upd', true)$$, 'TRUNCATE, twice, tracking table');
SELECT results_eq($$SELECT v, isempty(sys_period) FROM tim__history
		WHERE v IN ('upd', 'new', 'back3') ORDER BY v$$,
	$$VALUES ('back3', false), ('new', true), ('upd', true)$$, 'TRUNCATE, twice, time column');
UPDATE trk SET v = 'end';
UPDATE tim SET v = 'end';
SELECT remember('trk', '3'), remember('tim', '3');

-- Made, changed and gone in the transaction that made the table and its history.
BEGIN;
CREATE TABLE young (id int PRIMARY KEY, v text);
INSERT INTO young VALUES (1, 'before'), (2, 'before');
SELECT create_history_table('young');
UPDATE young SET v = 'after' WHERE id = 1;
INSERT INTO young VALUES (3, 'new');
DELETE FROM young WHERE id > 1;
COMMIT;
SELECT remember('young', '1');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM young__history ORDER BY id',
	$$VALUES (1, 'before', true), (2, 'before', true), (3, 'new', true)$$,
	'history and its first versions in one transaction');
DELETE FROM young;
SELECT remember('young', '2');

SELECT is_empty($$SELECT * FROM misremembered('trk') UNION ALL
	SELECT * FROM misremembered('tim') UNION ALL SELECT * FROM misremembered('young')$$,
	'as-of queries equal the tables as they were');
SELECT is_empty($$SELECT sys_period FROM trk__history WHERE NOT isempty(sys_period)
	AND (upper_inf(sys_period) OR lower(sys_period) > upper(sys_period))$$,
	'every period has an end, not before its start');

SELECT * FROM finish();
