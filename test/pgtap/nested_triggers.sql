-- A trigger of the table writes to the same table while a statement of many
-- rows is under way: no version may be lost, doubled or given a wrong period.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(18);

-- BEFORE ROW triggers that change, delete and insert other rows.
CREATE TABLE acct (id int PRIMARY KEY, v int NOT NULL, partner int);
SELECT create_history_table('acct');
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN RETURN coalesce(NEW, OLD); END IF;
	IF OLD.id = 1 THEN
		UPDATE acct SET v = v + 1000 WHERE id IN (11, 12);
	ELSIF OLD.id = 2 THEN
		DELETE FROM acct WHERE id = 13;
		INSERT INTO acct VALUES (13, 1300);
	ELSIF OLD.id = 3 THEN
		INSERT INTO acct VALUES (100 + OLD.id, OLD.v);
		DELETE FROM acct WHERE id = 14;
	ELSIF OLD.id = 4 THEN
		UPDATE acct SET id = 115 WHERE id = 15;
		UPDATE acct SET v = 999 WHERE id = 115;
	ELSIF OLD.id = 5 THEN
		INSERT INTO acct VALUES (105, 0);
		DELETE FROM acct WHERE id = 105;
	END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER meddle BEFORE UPDATE OR DELETE ON acct FOR EACH ROW EXECUTE FUNCTION meddle();
INSERT INTO acct SELECT i, i FROM generate_series(1, 6) i;
INSERT INTO acct SELECT i, i FROM generate_series(11, 15) i;
SELECT remember('acct', 'filled');
BEGIN;
SELECT txid_current() AS x1 \gset
UPDATE acct SET v = -v WHERE id < 10;
COMMIT;
SELECT remember('acct', 'updated');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM acct__history
		WHERE exec_transaction_id = ' || :x1 || ' ORDER BY id, v, 3', $$VALUES
	(1, 1, false), (2, 2, false), (3, 3, false), (4, 4, false), (5, 5, false), (6, 6, false),
	(11, 11, false), (12, 12, false), (13, 13, false), (14, 14, false), (15, 15, false),
	(105, 0, true), (115, 15, true)$$,
	'UPDATE of many rows whose trigger writes others: each version once');
SELECT set_eq('SELECT live_pk FROM acct__tracking', 'SELECT id FROM acct',
	'the tracking table has the keys of the table');
SELECT is((SELECT count(DISTINCT txid)::int FROM acct__tracking), 1,
	'all written in that transaction');
INSERT INTO acct VALUES (14, 14), (15, 15);
SELECT remember('acct', 'again');
BEGIN;
SELECT txid_current() AS x2 \gset
DELETE FROM acct WHERE id IN (1, 2, 5, 6);
COMMIT;
SELECT remember('acct', 'deleted');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM acct__history
		WHERE exec_transaction_id = ' || :x2 || ' ORDER BY id, v, 3', $$VALUES
	(1, -1, false), (2, -2, false), (5, -5, false), (6, -6, false),
	(11, 1011, false), (12, 1012, false), (13, 1300, false), (105, 0, true)$$,
	'DELETE of many rows whose trigger writes others: each version once');
SELECT set_eq('SELECT live_pk FROM acct__tracking', 'SELECT id FROM acct',
	'the tracking table has the keys of the table, again');

-- The trigger takes rows that the statement is still to change: PostgreSQL
-- refuses that, and nothing may be left of it.
CREATE TABLE race (id int PRIMARY KEY, v text);
SELECT create_history_table('race');
CREATE FUNCTION race() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		DELETE FROM race WHERE id = OLD.id + 2;
		INSERT INTO race VALUES (OLD.id + 2, 'new');
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER race BEFORE UPDATE ON race FOR EACH ROW EXECUTE FUNCTION race();
INSERT INTO race SELECT i, 'v' FROM generate_series(1, 3) i;
SELECT throws_ok($$UPDATE race SET v = 'by statement'$$, '27000', NULL,
	'a row taken from the running statement is PostgreSQL''s error');
SELECT is_empty('SELECT * FROM race__history', 'of which nothing is left in history');
UPDATE race SET v = 'by statement' WHERE id < 3;
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM race__history ORDER BY id, v',
	$$VALUES (1, 'v', false), (2, 'v', false), (3, 'v', false)$$,
	'a row taken that the statement does not want is stored once');
SELECT set_eq('SELECT live_pk FROM race__tracking', 'VALUES (1), (2), (3), (4)', 'and tracked');

-- A row that its own BEFORE UPDATE trigger has replaced: the key is deleted,
-- inserted again, and the change itself is suppressed.
CREATE TABLE phoenix (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE phoenix_t (id int PRIMARY KEY, v text);
SELECT create_history_table('phoenix', 'edition_time', 'txid'), create_history_table('phoenix_t');
CREATE FUNCTION burn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.v <> 'burn' THEN RETURN NEW; END IF;
	EXECUTE format('DELETE FROM %s WHERE id = $1', TG_RELID::regclass) USING OLD.id;
	EXECUTE format('INSERT INTO %s (id, v) VALUES ($1, $2)', TG_RELID::regclass)
		USING OLD.id, 'risen';
	RETURN NULL;
END $$;
CREATE TRIGGER burn BEFORE UPDATE ON phoenix FOR EACH ROW EXECUTE FUNCTION burn();
CREATE TRIGGER burn BEFORE UPDATE ON phoenix_t FOR EACH ROW EXECUTE FUNCTION burn();
INSERT INTO phoenix SELECT i, 'egg' FROM generate_series(1, 3) i;
INSERT INTO phoenix_t SELECT i, 'egg' FROM generate_series(1, 3) i;
SELECT remember('phoenix', '0'), remember('phoenix_t', '0');
BEGIN;
SELECT now() AS t1 \gset
UPDATE phoenix SET v = CASE id WHEN 2 THEN 'burn' ELSE 'fly' END, edition_time = now();
UPDATE phoenix_t SET v = CASE id WHEN 2 THEN 'burn' ELSE 'fly' END;
COMMIT;
SELECT remember('phoenix', '1'), remember('phoenix_t', '1');
SELECT results_eq('SELECT id, v, upper(sys_period) FROM phoenix__history ORDER BY id',
	format($$SELECT i, 'egg', %L::timestamptz FROM generate_series(1, 3) i$$, :'t1'),
	'a key deleted and inserted again by its own trigger, time column');
SELECT results_eq('SELECT id, v, upper(sys_period) FROM phoenix_t__history ORDER BY id',
	format($$SELECT i, 'egg', %L::timestamptz FROM generate_series(1, 3) i$$, :'t1'),
	'a key deleted and inserted again by its own trigger, tracking table');
SELECT results_eq('SELECT live_pk, edition_time FROM phoenix_t__tracking ORDER BY 1',
	format('SELECT i, %L::timestamptz FROM generate_series(1, 3) i', :'t1'),
	'and each has its tracking row');

-- AFTER ROW and AFTER STATEMENT triggers that go on changing, six levels deep.
CREATE TABLE deep (id int PRIMARY KEY, n int);
SELECT create_history_table('deep');
CREATE FUNCTION dig() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	-- A statement trigger fires again for an UPDATE of no row: stop somewhere.
	IF pg_trigger_depth() > 9 THEN RETURN NULL; END IF;
	UPDATE deep SET n = n + 1 WHERE n < 3;
	RETURN NULL;
END $$;
CREATE TRIGGER "!dig" AFTER UPDATE ON deep FOR EACH ROW EXECUTE FUNCTION dig();
CREATE TRIGGER "~dig" AFTER UPDATE ON deep FOR EACH STATEMENT EXECUTE FUNCTION dig();
INSERT INTO deep VALUES (1, 0), (2, 1), (3, 50);
SELECT remember('deep', '0');
UPDATE deep SET n = n WHERE id <= 2;
SELECT remember('deep', '1');
SELECT results_eq('SELECT id, n, isempty(sys_period), count(*)::int FROM deep__history
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3', $$VALUES (1, 0, false, 1), (1, 0, true, 1),
	(1, 1, true, 1), (1, 2, true, 1), (2, 1, false, 1), (2, 1, true, 1), (2, 2, true, 1)$$,
	'triggers that update again: every step of every row');

-- Our own row is gone before our AFTER triggers run; a savepoint in between.
CREATE TABLE eager (id int PRIMARY KEY, v text);
SELECT create_history_table('eager');
CREATE FUNCTION eager() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
	BEGIN
		DELETE FROM eager;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		DELETE FROM eager WHERE id = NEW.id;
	END;
	IF TG_OP = 'UPDATE' THEN INSERT INTO eager VALUES (NEW.id, 'eager'); END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER "!eager" AFTER INSERT OR UPDATE ON eager FOR EACH ROW EXECUTE FUNCTION eager();
INSERT INTO eager VALUES (1, 'a'), (2, 'b');
SELECT remember('eager', '0');
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM eager__history ORDER BY id',
	$$VALUES (1, 'a', true), (2, 'b', true)$$, 'a row deleted by a trigger of its INSERT');
SELECT is_empty('SELECT * FROM eager__tracking', 'leaves no tracking row');
ALTER TABLE eager DISABLE TRIGGER "!eager";
INSERT INTO eager VALUES (1, 'a'), (2, 'b');
ALTER TABLE eager ENABLE TRIGGER "!eager";
SELECT remember('eager', '1');
TRUNCATE eager__history;
UPDATE eager SET v = upper(v);
SELECT results_eq('SELECT id, v, isempty(sys_period) FROM eager__history ORDER BY id, 3',
	$$VALUES (1, 'a', false), (1, 'A', true), (2, 'b', false), (2, 'B', true)$$,
	'a row deleted and inserted again by a trigger of its UPDATE');
SELECT set_eq('SELECT live_pk FROM eager__tracking', 'VALUES (1), (2)', 'is tracked');

SELECT is_empty($$SELECT * FROM misremembered('acct') UNION ALL
	SELECT * FROM misremembered('phoenix') UNION ALL
	SELECT * FROM misremembered('phoenix_t') UNION ALL
	SELECT * FROM misremembered('deep')$$, 'as-of queries equal the tables as they were');

SELECT * FROM finish();
