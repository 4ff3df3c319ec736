-- exec_transaction_id is the transaction that ended the version, on every path,
-- and it is the id that the transaction log has for it.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(25);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE TABLE trk (id int PRIMARY KEY, v text);
CREATE TABLE tim (id int PRIMARY KEY REFERENCES trk ON UPDATE CASCADE ON DELETE CASCADE,
	v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TRIGGER on_edit BEFORE UPDATE ON tim FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
CREATE TABLE prt (id int, k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE prt_1 PARTITION OF prt FOR VALUES FROM (0) TO (100);
CREATE TABLE prt_2 PARTITION OF prt FOR VALUES FROM (100) TO (200);
SELECT create_history_table('trk'), create_history_table('tim', 'edition_time', 'txid'),
	create_history_table('chi'), create_history_table('prt');

-- One transaction for each way; its name is written into what it ends.
CREATE TABLE way (name text, x bigint, versions int);
CREATE PROCEDURE try(name text, VARIADIC cmds text[]) LANGUAGE plpgsql AS $$
DECLARE cmd text;
BEGIN
	TRUNCATE trk, tim, par, prt;
	INSERT INTO trk SELECT i, name FROM generate_series(1, 3) i;
	INSERT INTO tim SELECT i, name FROM generate_series(1, 3) i;
	INSERT INTO par SELECT i, name FROM generate_series(1, 3) i;
	INSERT INTO chi SELECT i, name, i FROM generate_series(11, 13) i;
	INSERT INTO prt SELECT i, i, name FROM generate_series(1, 3) i;
	INSERT INTO prt SELECT i, i, name FROM generate_series(111, 113) i;
	COMMIT;
	-- Some transactions between, so that no two ids are equal by chance.
	PERFORM txid_current(); COMMIT;
	PERFORM txid_current(); COMMIT;
	INSERT INTO way SELECT try.name, txid_current();
	INSERT INTO catmaid_transaction_info (user_id, change_type, label)
		VALUES (1, 'Backend', name) ON CONFLICT DO NOTHING;
	FOREACH cmd IN ARRAY cmds LOOP EXECUTE cmd; END LOOP;
	COMMIT;
	PERFORM txid_current(); COMMIT;
	UPDATE way w SET versions = (SELECT count(*) FROM (
		SELECT v FROM trk__history WHERE exec_transaction_id = w.x UNION ALL
		SELECT v FROM tim__history WHERE exec_transaction_id = w.x UNION ALL
		SELECT v FROM par__history WHERE exec_transaction_id = w.x UNION ALL
		SELECT v FROM prt__history WHERE exec_transaction_id = w.x) h WHERE v = w.name)
		WHERE w.name = try.name;
	COMMIT;
END $$;
CALL try('update', $$UPDATE trk SET v = 'x'$$, $$UPDATE tim SET v = 'x'$$);
CALL try('delete', 'DELETE FROM tim', 'DELETE FROM trk');
CALL try('truncate', 'TRUNCATE trk, tim');
CALL try('truncate cascade', 'TRUNCATE trk CASCADE');
CALL try('key', 'UPDATE trk SET id = id + 10');
CALL try('cascade', 'DELETE FROM trk WHERE id = 2');
CALL try('parent update', $$UPDATE par SET v = 'x'$$);
CALL try('parent delete', 'DELETE FROM par');
CALL try('parent truncate', 'TRUNCATE par');
CALL try('child update', $$UPDATE chi SET v = 'x'$$);
CALL try('root update', $$UPDATE prt SET v = 'x'$$);
CALL try('partition update', $$UPDATE prt_2 SET v = 'x'$$);
CALL try('move', 'UPDATE prt SET k = k + 100 WHERE k < 100');
CALL try('root delete', 'DELETE FROM prt');
CALL try('root truncate', 'TRUNCATE prt');
CALL try('partition truncate', 'TRUNCATE prt_1');
CALL try('sub', $$DO $d$ BEGIN
	BEGIN UPDATE trk SET v = 'x' WHERE id = 1; EXCEPTION WHEN division_by_zero THEN NULL; END;
	BEGIN DELETE FROM tim WHERE id = 1; EXCEPTION WHEN division_by_zero THEN NULL; END;
	BEGIN TRUNCATE par; EXCEPTION WHEN division_by_zero THEN NULL; END;
	BEGIN DELETE FROM prt; EXCEPTION WHEN division_by_zero THEN NULL; END; END $d$ $$);
CALL try('upsert', $$INSERT INTO trk VALUES (1, '') ON CONFLICT (id) DO UPDATE SET v = ''$$);

SELECT is(versions, 6, name) FROM way WHERE name = 'update';
SELECT is(versions, 6, name) FROM way WHERE name = 'delete';
SELECT is(versions, 6, name) FROM way WHERE name = 'truncate';
SELECT is(versions, 6, name) FROM way WHERE name = 'truncate cascade';
SELECT is(versions, 6, name) FROM way WHERE name = 'key';
SELECT is(versions, 2, name) FROM way WHERE name = 'cascade';
SELECT is(versions, 6, name) FROM way WHERE name = 'parent update';
SELECT is(versions, 6, name) FROM way WHERE name = 'parent delete';
SELECT is(versions, 6, name) FROM way WHERE name = 'parent truncate';
SELECT is(versions, 3, name) FROM way WHERE name = 'child update';
SELECT is(versions, 6, name) FROM way WHERE name = 'root update';
SELECT is(versions, 3, name) FROM way WHERE name = 'partition update';
SELECT is(versions, 3, name) FROM way WHERE name = 'move';
SELECT is(versions, 6, name) FROM way WHERE name = 'root delete';
SELECT is(versions, 6, name) FROM way WHERE name = 'root truncate';
SELECT is(versions, 3, name) FROM way WHERE name = 'partition truncate';
SELECT is(versions, 14, name || ' (four savepoints)') FROM way WHERE name = 'sub';
SELECT is(versions, 1, name) FROM way WHERE name = 'upsert';

SELECT is_empty($$SELECT w.* FROM way w LEFT JOIN catmaid_transaction_info i
		ON i.transaction_id = w.x AND i.label = w.name WHERE i.label IS NULL$$,
	'the transaction log knows each by the same id');
SELECT is_empty($$SELECT DISTINCT w.name, h.v FROM way w JOIN (
		SELECT v, exec_transaction_id x, sys_period p FROM trk__history UNION ALL
		SELECT v, exec_transaction_id, sys_period FROM tim__history UNION ALL
		SELECT v, exec_transaction_id, sys_period FROM par__history UNION ALL
		SELECT v, exec_transaction_id, sys_period FROM prt__history) h USING (x)
	JOIN catmaid_transaction_info i ON i.transaction_id = w.x
	WHERE h.p <> 'empty' AND upper(h.p) IS DISTINCT FROM i.execution_time$$,
	'and by the same time');
SELECT is((SELECT column_default || ' ' || data_type FROM information_schema.columns
	WHERE table_name = 'trk__history' AND column_name = 'exec_transaction_id'),
	'txid_current() bigint', 'the 64-bit id is the default of the column');

-- An owner may choose another kind of index on it: it stays, alone, and goes along.
CREATE TABLE chosen (id int PRIMARY KEY);
SELECT create_history_table('chosen');
CREATE FUNCTION indexed() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(c.relname || ' ' || am.amname, ', ') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
	JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'exec_transaction_id' AND i.indkey[0] = a.attnum
	WHERE i.indrelid::regclass::text IN ('chosen__history', 'elected__history') $$;
SELECT is(indexed(), 'chosen__history_exec_transaction_id btree', 'a btree is made');
DROP INDEX chosen__history_exec_transaction_id;
CREATE INDEX chosen__history_exec_transaction_id ON chosen__history USING brin (exec_transaction_id);
SELECT enable_history_tracking_for_table('chosen'), repair_history('chosen');
SELECT is(indexed(), 'chosen__history_exec_transaction_id brin', 'no btree beside the owner''s');
ALTER TABLE chosen RENAME TO elected;
SELECT is(indexed(), 'elected__history_exec_transaction_id brin', 'it is renamed along');
DROP INDEX elected__history_exec_transaction_id;
SELECT repair_history('elected');
SELECT is(indexed(), 'elected__history_exec_transaction_id btree', 'without any, a btree is made again');

SELECT * FROM finish();
