-- Versions of a statement are stored together.  Whoever looks while the statement
-- or its triggers are under way, or right after it, must not see that.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(41);

CREATE TABLE tim (id int PRIMARY KEY, v int, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE trk (id int PRIMARY KEY, v int);
CREATE TABLE par (id int PRIMARY KEY, v int);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
CREATE TABLE oth (id int PRIMARY KEY, v int);
SELECT create_history_table('tim', 'edition_time', 'txid'), create_history_table('trk'),
	create_history_table('chi'), create_history_table('oth');
INSERT INTO tim SELECT i, i FROM generate_series(1, 3000) i;
INSERT INTO trk SELECT i, i FROM generate_series(1, 3000) i;
INSERT INTO chi SELECT i, i, i FROM generate_series(1, 3000) i;
INSERT INTO oth SELECT i, i FROM generate_series(1, 3) i;
SELECT is((SELECT count(*)::int FROM trk__tracking), 3000, 'more keys than wait at a time');

-- All of it, and right after the statement.
BEGIN;
UPDATE tim SET v = v + 1;
SELECT is((SELECT count(*)::int FROM tim__history), 3000, 'visible after an UPDATE');
UPDATE tim SET v = v + 1;
SELECT is((SELECT count(*)::int FROM tim__history), 6000, 'and after the next');
SELECT is((SELECT sum(v)::bigint FROM tim__history), (SELECT sum(i + i + 1) FROM generate_series(1, 3000) i),
	'the right values');
COMMIT;
SELECT is((SELECT count(*)::int FROM tim__history), 6000, 'and committed');
UPDATE trk SET v = v + 1;
SELECT is((SELECT count(*)::int FROM trk__history h JOIN trk__tracking t ON t.live_pk = h.id
	WHERE upper(h.sys_period) = t.edition_time), 3000, 'so with a tracking table');
DELETE FROM trk WHERE id > 1500;
SELECT is((SELECT count(*)::int FROM trk__history) + (SELECT count(*)::int FROM trk__tracking), 4500 + 1500,
	'deletions too');
UPDATE par SET v = v + 1;
SELECT is((SELECT count(*)::int FROM chi__history), 3000, 'through a parent');
SELECT is((SELECT count(*)::int FROM chi__history WHERE w IS NULL), 0, 'complete');

-- In one function, in one statement.
CREATE FUNCTION seen(sql text, look text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
	EXECUTE sql;
	EXECUTE look INTO n;
	RETURN n;
END $$;
SELECT is(seen('UPDATE oth SET v = 10', 'SELECT count(*) FROM oth__history'), 3::bigint,
	'a function sees what its statement has left');
CREATE FUNCTION counted(rel text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE n bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || rel INTO n;
	RETURN n;
END $$;
WITH u AS (UPDATE oth SET v = 11 RETURNING id)
SELECT is(counted('oth__history'), 3::bigint, 'a statement''s snapshot is what it was') FROM u LIMIT 1;
SELECT is(counted('oth__history'), 6::bigint, 'and the next one sees all');

-- Subtransactions take what is theirs along, and nothing else.
BEGIN;
UPDATE oth SET v = 20;
SAVEPOINT a;
UPDATE oth SET v = 21;
ROLLBACK TO a;
SELECT is((SELECT count(*)::int FROM oth__history WHERE v = 20), 0, 'rolled back to a savepoint: gone');
SELECT is((SELECT count(*)::int FROM oth__history WHERE v = 11), 3, 'what was before it: there');
COMMIT;
DO $$
BEGIN
	UPDATE oth SET v = 30;
	BEGIN
		UPDATE oth SET v = 31;
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	UPDATE oth SET v = 32;
END $$;
SELECT results_eq('SELECT v, count(*)::int FROM oth__history WHERE v BETWEEN 20 AND 32 GROUP BY v ORDER BY v',
	'VALUES (20, 3), (30, 3)', 'so with an exception block');

-- Triggers of the application that come after ours.
CREATE TABLE log (what text, n int);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO log SELECT TG_ARGV[0], count(*) FROM par__history;
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	INSERT INTO log SELECT TG_ARGV[0], count(*) FROM par__history;
	RETURN NULL;
END $$;
TRUNCATE chi;
INSERT INTO chi SELECT i, i, i FROM generate_series(1, 4) i;
SELECT truncate_history_table('chi__history');
CREATE TRIGGER z_row AFTER UPDATE ON chi FOR EACH ROW EXECUTE FUNCTION look('row');
UPDATE par SET v = 2;
SELECT results_eq('SELECT what, n FROM log', $$VALUES ('row', 1), ('row', 2), ('row', 3), ('row', 4)$$,
	'a row trigger after ours sees one version more each time');
DROP TRIGGER z_row ON chi;
TRUNCATE log;
SELECT truncate_history_table('chi__history');
CREATE TRIGGER z_stm AFTER UPDATE ON par FOR EACH STATEMENT EXECUTE FUNCTION look('parent');
UPDATE par SET v = 3;
SELECT results_eq('SELECT what, n FROM log', $$VALUES ('parent', 4)$$,
	'a parent''s statement trigger sees all, even if it fails in between');
SELECT is((SELECT count(*)::int FROM chi__history), 4, 'and all is there afterwards');
DROP TRIGGER z_stm ON par;
TRUNCATE log;
UPDATE par SET v = 4;
SELECT is((SELECT count(*)::int FROM chi__history), 8, 'the trigger has gone');

-- A query of somebody else's in the midst of it: another table's trigger.
CREATE TRIGGER z_oth AFTER UPDATE ON oth FOR EACH ROW EXECUTE FUNCTION look('other');
WITH c AS (UPDATE chi SET v = 5 RETURNING id)
UPDATE oth SET v = 40 FROM c WHERE c.id = oth.id;
SELECT is((SELECT count(*)::int FROM chi__history), 12, 'all versions of both tables of a statement');
SELECT is((SELECT count(*)::int FROM oth__history WHERE v = 32), 3, 'of the other one, too');
DROP TRIGGER z_oth ON oth;

-- A key that comes twice in one transaction, waiting or not.
BEGIN;
INSERT INTO trk SELECT i, i FROM generate_series(10001, 10010) i;
DELETE FROM trk WHERE id > 10005;
INSERT INTO trk SELECT i, -i FROM generate_series(10006, 10010) i;
UPDATE trk SET id = id + 20000 WHERE id > 10000;
INSERT INTO trk SELECT i, i FROM generate_series(10001, 10010) i;
COMMIT;
SELECT set_eq('SELECT live_pk FROM trk__tracking', 'SELECT id FROM trk', 'tracking rows for all keys');
INSERT INTO trk VALUES (10001, 0), (50000, 0) ON CONFLICT (id) DO UPDATE SET v = -1;
SELECT results_eq('SELECT v FROM trk__history WHERE id = 10001 AND NOT isempty(sys_period)', 'VALUES (10001)',
	'INSERT and UPDATE in one statement');
SELECT set_eq('SELECT live_pk FROM trk__tracking', 'SELECT id FROM trk', 'and their tracking rows');

-- What a site has put on its history can refuse a version, at the latest at the
-- end of the statement.
CREATE UNIQUE INDEX site ON oth__history (v) WHERE v = 77;
UPDATE oth SET v = 77;
SELECT throws_ok('UPDATE oth SET v = 78', '23505', NULL, 'a unique index of a condition refuses');
DROP INDEX site;
CREATE UNIQUE INDEX site ON tim__history (id, v);
UPDATE tim SET v = 5078;
SELECT throws_ok($$UPDATE tim SET v = 2 WHERE id = 1; UPDATE tim SET v = 5078 WHERE id = 1;
	UPDATE tim SET v = 0 WHERE id = 1$$, '23505', NULL, 'a plain unique index refuses');
SELECT is((SELECT v FROM tim WHERE id = 1), 5078, 'and nothing has changed');
UPDATE tim SET v = 5079;
SELECT is((SELECT count(*)::int FROM tim__history WHERE v = 5078), 3000, 'writing goes on after it');
DROP INDEX site;

-- DDL on history in the same transaction finds nothing in use.
BEGIN;
UPDATE tim SET v = 9080;
ALTER TABLE tim__history ADD COLUMN extra int DEFAULT 7;
UPDATE tim SET v = 9081;
CREATE INDEX extra ON tim__history (extra);
UPDATE tim SET v = 9082;
COMMIT;
SELECT is((SELECT count(*)::int FROM tim__history WHERE extra = 7 AND v IN (9080, 9081)), 6000,
	'a column with a default that the site adds in between');

-- The stamp in the row, with and without NULLs before it, after others' triggers.
CREATE TABLE st (a text, id int PRIMARY KEY, b int, txid bigint, edition_time timestamptz DEFAULT now(), c text);
SELECT create_history_table('st', 'edition_time', 'txid');
INSERT INTO st VALUES (NULL, 1, NULL, 0, now(), NULL), ('x', 2, 3, 0, now(), 'c'), (repeat('y', 300), 3, NULL, NULL, now(), NULL);
UPDATE st SET b = 1;
SELECT is((SELECT count(*)::int FROM st WHERE txid = (SELECT max(exec_transaction_id) FROM st__history)), 3,
	'each row has the stamp');
SELECT results_eq('SELECT coalesce(length(a), 0), b, c FROM st ORDER BY id',
	$$VALUES (0, 1, NULL::text), (1, 1, 'c'), (300, 1, NULL)$$, 'and the rest as it was');
CREATE FUNCTION first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.b := NEW.b + NEW.id; NEW.txid := -1; RETURN NEW; END $$;
CREATE TRIGGER a_first BEFORE UPDATE ON st FOR EACH ROW EXECUTE FUNCTION first();
CREATE TRIGGER z_last BEFORE UPDATE ON st FOR EACH ROW EXECUTE FUNCTION first();
UPDATE st SET c = 'd';
SELECT results_eq('SELECT b, txid FROM st ORDER BY id', 'VALUES (3, -1::bigint), (5, -1), (7, -1)',
	'a trigger after ours has the last word');
DROP TRIGGER z_last ON st;
UPDATE st SET c = 'e';
SELECT results_eq('SELECT b, txid FROM st ORDER BY id',
	'SELECT b, (SELECT max(exec_transaction_id) FROM st__history) FROM unnest(ARRAY[4, 7, 10]) b',
	'and one before ours is heard');

-- A trigger of another table, in a block with EXCEPTION, while versions and
-- tracking rows wait: it sees them, whether the block fails or not.
CREATE TABLE sub (id int PRIMARY KEY, v int);
CREATE TABLE other (id int PRIMARY KEY, step text);
SELECT create_history_table('sub');
CREATE FUNCTION in_a_block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		BEGIN
			IF NEW.step = 'delete' THEN DELETE FROM sub WHERE id = NEW.id % 100;
			ELSE UPDATE sub SET v = v + 100 WHERE id = NEW.id % 100; END IF;
		EXCEPTION WHEN unique_violation THEN RAISE;
		END;
		IF NEW.step = 'fail' THEN RAISE EXCEPTION 'no'; END IF;
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	RETURN NULL;
END $$;
CREATE TRIGGER later AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION in_a_block();
WITH i AS (INSERT INTO sub SELECT g, g FROM generate_series(1, 5) g RETURNING id) INSERT INTO other SELECT id, 'go on' FROM i;
SELECT results_eq('SELECT array_agg(v ORDER BY id), count(*) FROM sub', $$VALUES ('{101,102,103,104,105}'::int[], 5::bigint)$$, 'inserted rows are updated in a block');
SELECT results_eq('SELECT live_pk FROM sub__tracking ORDER BY 1', 'SELECT generate_series(1, 5)', 'each has its tracking row');
SELECT results_eq('SELECT v, isempty(sys_period) FROM sub__history ORDER BY 1', 'SELECT g, true FROM generate_series(1, 5) g', 'and its version');
WITH i AS (UPDATE sub SET v = v + 1000 RETURNING id) INSERT INTO other SELECT 100 + id, 'fail' FROM i;
SELECT results_eq('SELECT v FROM sub__history WHERE NOT isempty(sys_period) ORDER BY 1', 'SELECT generate_series(101, 105)', 'updated rows, the block fails: one version each');
SELECT is((SELECT array_agg(v ORDER BY id) FROM sub), '{1101,1102,1103,1104,1105}', 'and what the block did is undone');
WITH i AS (INSERT INTO sub SELECT g, g FROM generate_series(6, 9) g RETURNING id) INSERT INTO other SELECT 200 + id, CASE WHEN id % 2 = 0 THEN 'fail' ELSE 'delete' END FROM i;
SELECT results_eq('SELECT live_pk FROM sub__tracking ORDER BY 1', 'SELECT id FROM sub ORDER BY 1', 'some blocks fail, some delete: tracking rows of what is there');
SELECT results_eq('SELECT id, count(*) FROM sub__history WHERE id > 5 GROUP BY 1 ORDER BY 1', 'VALUES (7, 1::bigint), (9, 1)', 'versions of what is gone');
SELECT is((SELECT array_agg(id ORDER BY id) FROM sub), '{1,2,3,4,5,6,8}', 'and the rows themselves');

SELECT finish();
