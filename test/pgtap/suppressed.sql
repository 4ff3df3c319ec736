-- Changes that another trigger suppressed or altered, and changes that were
-- rolled back, leave nothing (or what really happened).
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(20);

CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.v ~ 'keep' THEN RETURN NULL; END IF;
	IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
	NEW.n := NEW.n + 1000;
	RETURN NEW;
END $$;
-- One trigger that fires before any of ours, one that fires after them.
CREATE TABLE early (id int PRIMARY KEY, v text, n int);
CREATE TABLE late (LIKE early INCLUDING ALL);
CREATE TABLE timed (LIKE early INCLUDING ALL, edition_time timestamptz, txid bigint);
SELECT create_history_table('early'), create_history_table('late'),
	create_history_table('timed', 'edition_time', 'txid');
CREATE TRIGGER "!suppress" BEFORE UPDATE OR DELETE ON early
	FOR EACH ROW EXECUTE FUNCTION suppress();
CREATE TRIGGER "~suppress" BEFORE UPDATE OR DELETE ON late
	FOR EACH ROW EXECUTE FUNCTION suppress();
CREATE TRIGGER "~suppress" BEFORE UPDATE OR DELETE ON timed
	FOR EACH ROW EXECUTE FUNCTION suppress();

BEGIN;
SELECT now() AS t0 \gset
INSERT INTO early VALUES (1, 'go', 1), (2, 'keep', 2), (3, 'go', 3), (4, 'keep', 4);
INSERT INTO late SELECT * FROM early;
INSERT INTO timed SELECT *, now(), 5 FROM early;
COMMIT;
SELECT remember('early', '1'), remember('late', '1'), remember('timed', '1');
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
UPDATE early SET n = -n;
UPDATE late SET n = -n;
UPDATE timed SET n = -n, edition_time = now();
COMMIT;
SELECT remember('early', '2'), remember('late', '2'), remember('timed', '2');
DELETE FROM early WHERE id IN (1, 2);
DELETE FROM late WHERE id IN (1, 2);
DELETE FROM timed WHERE id IN (1, 2);
SELECT remember('early', '3'), remember('late', '3'), remember('timed', '3');
SELECT results_eq('SELECT id, v, n FROM early__history ORDER BY id, n',
	$$VALUES (1, 'go', 1), (1, 'go', 999), (3, 'go', 3)$$,
	'a change suppressed by an early trigger leaves nothing');
SELECT results_eq('SELECT id, v, n FROM late__history ORDER BY id, n',
	$$VALUES (1, 'go', 1), (1, 'go', 999), (3, 'go', 3)$$,
	'a change suppressed by a late trigger leaves nothing');
SELECT results_eq('SELECT id, v, n FROM timed__history ORDER BY id, n',
	$$VALUES (1, 'go', 1), (1, 'go', 999), (3, 'go', 3)$$,
	'a suppressed change leaves nothing, time column');
SELECT results_eq('SELECT live_pk, edition_time FROM late__tracking ORDER BY 1',
	format('VALUES (2, %1$L::timestamptz), (3, %2$L), (4, %1$L)', :'t0', :'t1'),
	'tracking rows of suppressed changes stay as they were');
SELECT results_eq('SELECT id, txid FROM timed ORDER BY id',
	format('VALUES (2, 5::bigint), (3, %s), (4, 5)', :x1),
	'a suppressed UPDATE does not change the txid column');

-- A trigger that changes the key, one that redirects the change elsewhere.
CREATE FUNCTION rekey() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.id := NEW.id + 100; RETURN NEW; END$$;
CREATE TABLE rek (id int PRIMARY KEY, v text);
SELECT create_history_table('rek');
CREATE TRIGGER zz BEFORE UPDATE ON rek FOR EACH ROW EXECUTE FUNCTION rekey();
INSERT INTO rek VALUES (1, 'a'), (2, 'b');
SELECT remember('rek', '1');
UPDATE rek SET v = upper(v) WHERE id = 1;
SELECT remember('rek', '2');
UPDATE rek SET v = lower(v);
SELECT remember('rek', '3');
SELECT results_eq('SELECT id, v FROM rek__history ORDER BY id, v',
	$$VALUES (1, 'a'), (2, 'b'), (101, 'A')$$, 'a trigger that changes the key: versions');
SELECT set_eq('SELECT live_pk FROM rek__tracking', 'VALUES (201), (102)',
	'a trigger that changes the key: tracking');
SELECT is((SELECT count(*)::int FROM rek__history WHERE lower_inf(sys_period)), 0,
	'a trigger that changes the key: no start is lost');
CREATE FUNCTION soft() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN UPDATE softd SET gone = true WHERE id = OLD.id; RETURN NULL; END$$;
CREATE TABLE softd (id int PRIMARY KEY, gone bool DEFAULT false);
SELECT create_history_table('softd');
CREATE TRIGGER soft BEFORE DELETE ON softd FOR EACH ROW EXECUTE FUNCTION soft();
INSERT INTO softd VALUES (1), (2), (3);
SELECT remember('softd', '1');
DELETE FROM softd WHERE id < 3;
SELECT remember('softd', '2');
SELECT results_eq('SELECT id, gone FROM softd__history ORDER BY id',
	'VALUES (1, false), (2, false)', 'DELETE turned into UPDATE: one version each');
SELECT set_eq('SELECT live_pk FROM softd__tracking', 'VALUES (1), (2), (3)',
	'and the tracking rows stay');
CREATE TABLE quiet (id int PRIMARY KEY, v text);
SELECT create_history_table('quiet');
CREATE TRIGGER zz BEFORE UPDATE ON quiet FOR EACH ROW
	EXECUTE FUNCTION suppress_redundant_updates_trigger();
INSERT INTO quiet VALUES (1, 'a');
UPDATE quiet SET v = 'a';
SELECT is((SELECT count(*)::int FROM quiet__history), 0,
	'a redundant update that was suppressed leaves nothing');
CREATE RULE nothing AS ON DELETE TO quiet DO INSTEAD NOTHING;
DELETE FROM quiet;
SELECT is((SELECT count(*)::int FROM quiet__history), 0, 'a rule DO INSTEAD NOTHING too');
CREATE TABLE noins (id int PRIMARY KEY);
SELECT create_history_table('noins');
CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER zz BEFORE INSERT ON noins FOR EACH ROW WHEN (NEW.id > 1)
	EXECUTE FUNCTION no();
INSERT INTO noins VALUES (1), (2), (3);
SELECT results_eq('SELECT live_pk FROM noins__tracking', 'VALUES (1)',
	'a suppressed INSERT leaves no tracking row');

-- Savepoints, exceptions, failing statements.
CREATE TABLE sp (id int PRIMARY KEY, v text CHECK (v <> 'bad'));
SELECT create_history_table('sp');
INSERT INTO sp SELECT i, 'v' FROM generate_series(1, 9) i;
SELECT remember('sp', '1');
CREATE TABLE before AS SELECT * FROM sp__tracking;
BEGIN;
SAVEPOINT a;
UPDATE sp SET v = 'undone' WHERE id < 4;
DELETE FROM sp WHERE id = 2;
UPDATE sp SET id = 99 WHERE id = 3;
INSERT INTO sp VALUES (10, 'undone');
ROLLBACK TO a;
SAVEPOINT b;
TRUNCATE sp;
INSERT INTO sp VALUES (1, 'undone');
ROLLBACK TO b;
COMMIT;
DO $$ BEGIN DELETE FROM sp; RAISE 'undone'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN UPDATE sp SET v = CASE id WHEN 9 THEN 'bad' ELSE 'x' END;
	EXCEPTION WHEN check_violation THEN NULL; END $$;
BEGIN;
DELETE FROM sp;
ROLLBACK;
SELECT remember('sp', '2');
SELECT is_empty('SELECT * FROM sp__history', 'what was rolled back is not in history');
SELECT results_eq('SELECT * FROM sp__tracking ORDER BY 1', 'SELECT * FROM before ORDER BY 1',
	'nor in the tracking table');
BEGIN;
SELECT txid_current() AS x2 \gset
UPDATE sp SET v = 'outer' WHERE id = 1;
SAVEPOINT a;
UPDATE sp SET v = 'undone' WHERE id IN (1, 2);
SAVEPOINT b;
DELETE FROM sp WHERE id IN (1, 2);
RELEASE b;
ROLLBACK TO a;
SAVEPOINT c;
UPDATE sp SET v = 'inner' WHERE id IN (1, 3);
RELEASE c;
DO $$ BEGIN
	DELETE FROM sp WHERE id = 4;
	BEGIN DELETE FROM sp WHERE id = 5; RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; END;
END $$;
COMMIT;
SELECT remember('sp', '3');
SELECT results_eq('SELECT id, v, isempty(sys_period), exec_transaction_id FROM sp__history
		ORDER BY id, v DESC', format($$VALUES (1, 'v', false, %1$s::bigint),
		(1, 'outer', true, %1$s), (3, 'v', false, %1$s), (4, 'v', false, %1$s)$$, :x2),
	'savepoints: what was kept, and nothing of what was not');
SELECT results_eq('SELECT live_pk FROM sp__tracking WHERE txid = ' || :x2 || ' ORDER BY 1',
	'VALUES (1), (3)', 'savepoints: tracking');

-- An AFTER trigger that fails for one row takes the statement along.
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN IF OLD.id = 7 THEN RAISE 'not seven'; END IF; RETURN NULL; END$$;
CREATE TRIGGER fail AFTER UPDATE OR DELETE ON sp FOR EACH ROW EXECUTE FUNCTION fail();
SELECT throws_ok('DELETE FROM sp WHERE id > 5', 'P0001', 'not seven', 'a late trigger fails');
SELECT is((SELECT count(*)::int FROM sp__history WHERE id > 5), 0, 'nothing of it is stored');

SELECT is_empty($$SELECT * FROM misremembered('early') UNION ALL
	SELECT * FROM misremembered('late') UNION ALL SELECT * FROM misremembered('timed')
	UNION ALL SELECT * FROM misremembered('rek') UNION ALL SELECT * FROM misremembered('softd')
	UNION ALL SELECT * FROM misremembered('sp')$$,
	'as-of queries equal the tables as they were');

SELECT * FROM finish();
