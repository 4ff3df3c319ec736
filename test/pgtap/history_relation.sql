-- What the history and the tracking table are like as relations: columns,
-- defaults, indexes and their names, persistence, publication, a site's own additions.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(45);

CREATE TABLE live (id int GENERATED ALWAYS AS IDENTITY, n int NOT NULL DEFAULT 5 CHECK (n > 0),
	u int UNIQUE, s serial, g int GENERATED ALWAYS AS (n * 2) STORED, CONSTRAINT pk PRIMARY KEY (id),
	EXCLUDE USING gist (int4range(n, n + 1) WITH &&));
CREATE INDEX live_n ON live (n);
SELECT create_history_table('live');

SELECT is((SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE
		WHEN attnotnull THEN ' NN' ELSE '' END || attidentity::text || attgenerated::text || coalesce(' ' ||
		pg_get_expr(adbin, adrelid), ''), ', ' ORDER BY attnum) FROM pg_attribute LEFT JOIN
		pg_attrdef ON adrelid = attrelid AND adnum = attnum
	WHERE attrelid = 'live__history'::regclass AND attnum > 0 AND NOT attisdropped),
	'id integer, n integer, u integer, s integer, g integer, ' ||
	'sys_period tstzrange NN tstzrange(CURRENT_TIMESTAMP, NULL::timestamp with time zone), ' ||
	'exec_transaction_id bigint NN txid_current(), start_transaction_id bigint', 'the columns of a history table');
SELECT is_empty($$SELECT conname FROM pg_constraint WHERE contype <> 'n' AND conrelid IN
	('live__history'::regclass)$$, 'no constraint of the live table is copied');
SELECT set_eq($$SELECT c.relname::text FROM pg_index JOIN pg_class c ON c.oid = indexrelid
		WHERE indrelid = 'live__history'::regclass$$,
	ARRAY['live__history_live_pk_index', 'live__history_sys_period',
		'live__history_exec_transaction_id'], 'the indexes of a history table');
SELECT is((SELECT array_agg(a.attname::text ORDER BY c.relname) FROM pg_index i
		JOIN pg_class c ON c.oid = indexrelid
		JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = i.indkey[0]
	WHERE indrelid = 'live__history'::regclass AND i.indnatts = 1 AND indisvalid
		AND NOT indisunique), ARRAY['exec_transaction_id', 'id', 'sys_period'],
	'each on its column, none unique');
SELECT is((SELECT count(*)::int FROM pg_index i JOIN pg_attribute a ON a.attrelid = indrelid
		AND a.attnum = i.indkey[0] WHERE indrelid = 'live__tracking'::regclass
		AND indisunique AND indnkeyatts = 1 AND attname = 'live_pk'), 1,
	'the tracking table is unique on live_pk');

-- Migrations copy old history and rely on the defaults.
BEGIN;
SELECT now() AS t1, txid_current() AS x1 \gset
INSERT INTO live__history (id, n) VALUES (7, -7);
INSERT INTO live__history (id, n) VALUES (NULL, NULL);
COMMIT;
SELECT results_eq('SELECT id, n, u, s, g, sys_period, exec_transaction_id FROM live__history',
	format('SELECT i, -i, NULL::int, NULL::int, NULL::int, tstzrange(%L, NULL), %s::bigint
		FROM (VALUES (7), (NULL)) v (i)', :'t1', :x1), 'the defaults of a history table');
SELECT throws_ok('UPDATE live__history SET sys_period = NULL', '23502', NULL,
	'sys_period is not null');
SELECT throws_ok('UPDATE live__history SET exec_transaction_id = NULL', '23502', NULL,
	'exec_transaction_id is not null');
DELETE FROM live__history;

-- Persistence.
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY, v text);
SELECT create_history_table('fleeting');
SELECT is((SELECT relpersistence::text FROM pg_class WHERE oid = 'fleeting__history'::regclass),
	'p', 'the history of an unlogged table is logged');
INSERT INTO fleeting VALUES (1, 'a'), (2, 'b');
UPDATE fleeting SET v = 'A';
DELETE FROM fleeting WHERE id = 1;
TRUNCATE fleeting;
SELECT is((SELECT count(*)::int FROM fleeting__history), 4, 'and is written');
-- A crash has to empty the live and the tracking table, or neither.
CREATE FUNCTION persistence_of(rel regclass) RETURNS text LANGUAGE sql AS
	$$ SELECT relpersistence::text FROM pg_class WHERE oid = rel $$;
SELECT is(persistence_of('fleeting__tracking'), 'u', 'the tracking table of an unlogged table is unlogged');
INSERT INTO fleeting VALUES (3, 'c'), (4, 'd');
SELECT edition_time AS made FROM fleeting__tracking WHERE live_pk = 3 \gset
BEGIN;
ALTER TABLE fleeting SET LOGGED;
SELECT is(persistence_of('fleeting__tracking'), 'p', 'SET LOGGED: it becomes logged');
UPDATE fleeting SET v = 'C' WHERE id = 3;
INSERT INTO fleeting VALUES (5, 'e');
DELETE FROM fleeting WHERE id = 5;
COMMIT;
SELECT results_eq('SELECT v, lower(sys_period), isempty(sys_period) FROM fleeting__history WHERE id IN (3, 5) ORDER BY id',
	format('VALUES (''c'', %L::timestamptz, false), (''e'', NULL, true)', :'made'), 'and rows keep their start');
ALTER TABLE fleeting SET UNLOGGED;
SELECT is(persistence_of('fleeting__tracking') || persistence_of('fleeting__history'), 'up',
	'SET UNLOGGED: the tracking table follows, the history does not');
SELECT disable_history_tracking_for_table('fleeting');
ALTER TABLE fleeting SET LOGGED;
SELECT is(persistence_of('fleeting__tracking'), 'u', 'while disabled nothing follows');
BEGIN;
SELECT enable_history_tracking_for_table('fleeting');
SELECT is(persistence_of('fleeting__tracking'), 'p', 'enabling mends it');
UPDATE fleeting SET v = 'D' WHERE id = 4;
COMMIT;
SELECT results_eq('SELECT v, lower(sys_period), isempty(sys_period) FROM fleeting__history WHERE id = 4',
	format('VALUES (''d'', %L::timestamptz, false)', :'made'), 'and rows keep their start');

-- Published, without a wal_level: the check for a replica identity comes first.
CREATE TABLE tim (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
CREATE TABLE comp (a int, b text, PRIMARY KEY (a, b));
SELECT create_history_table('tim', 'edition_time', 'txid'), create_history_table('comp');
CREATE PUBLICATION everything FOR ALL TABLES;
INSERT INTO live (n) VALUES (1), (2);
INSERT INTO tim VALUES (1, now()), (2, now());
INSERT INTO comp VALUES (1, 'a'), (2, 'b');
SELECT lives_ok('UPDATE live SET n = n + 10; UPDATE live SET u = id; DELETE FROM live WHERE u = 1;
	TRUNCATE live', 'writes go on when all tables are published, tracking table');
SELECT lives_ok('UPDATE tim SET id = id + 10; DELETE FROM tim WHERE id = 11; TRUNCATE tim',
	'writes go on when all tables are published, time column');
SELECT lives_ok($$UPDATE comp SET a = a + 10; UPDATE comp SET b = 'c'; DELETE FROM comp$$,
	'writes go on when all tables are published, composite key');
SELECT lives_ok($$UPDATE live__history SET n = n; DELETE FROM tim__history WHERE id = 1;
	UPDATE comp__history SET b = 'x'; UPDATE live__tracking SET txid = 0;
	DELETE FROM comp__tracking$$, 'the owner can change published history');
SELECT lives_ok($$SELECT sync_tracking_table('live', 'live__tracking'), truncate_history_table(
	'comp__history')$$, 'and so can our functions');
DROP PUBLICATION everything;

-- An index that summarizes, on what is updated in place of a tracking table: it alone
-- is told of the new value (PostgreSQL 16).
CREATE TABLE often (id int PRIMARY KEY, n int);
SELECT create_history_table('often');
CREATE INDEX ON often__tracking USING brin (edition_time, txid);
INSERT INTO often VALUES (1, 1), (2, 1);
DO $$
BEGIN
	FOR i IN 10 .. 200 LOOP
		UPDATE often SET n = n + 1 WHERE id < 3; COMMIT;
		UPDATE often SET n = n + 1 WHERE id < 3; COMMIT;
		INSERT INTO often VALUES (i, 1); COMMIT;
	END LOOP;
END $$;
CREATE EXTENSION amcheck;
SELECT lives_ok('SELECT bt_index_check(indexrelid, true) FROM pg_index
	WHERE indrelid = ''often__tracking''::regclass AND indisunique',
	'a BRIN index on a tracking table: the index on the key is whole');
SELECT is((SELECT count(*)::int FROM often__history), 764, 'and all versions are there');

-- What a site adds.
DELETE FROM live__history;
CREATE TABLE seen (id int, n int, x bigint);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen VALUES (NEW.id, NEW.n, NEW.exec_transaction_id);
	NEW.extra := 'by trigger';
	RETURN NEW;
END $$;
ALTER TABLE live__history ADD COLUMN extra text, ADD COLUMN dflt int DEFAULT 42,
	ADD COLUMN version int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY;
CREATE TRIGGER see BEFORE INSERT ON live__history FOR EACH ROW EXECUTE FUNCTION see();
CREATE INDEX site ON live__history ((n * 2)) WHERE n > 1;
CREATE UNIQUE INDEX site_u ON live__history (id, sys_period) WHERE NOT isempty(sys_period);
CREATE STATISTICS site_s ON id, n FROM live__history;
INSERT INTO live (n) VALUES (101), (102), (103);
UPDATE live SET n = n + 100 WHERE n = 101;
DELETE FROM live WHERE n = 102;
TRUNCATE live;
SELECT is((SELECT string_agg(n::text, ' ' ORDER BY n) FROM seen), '101 102 103 201',
	'a site''s trigger sees each version');
SELECT results_eq('SELECT n, extra, dflt FROM live__history ORDER BY n', $$VALUES
	(101, 'by trigger', 42), (102, 'by trigger', 42), (103, 'by trigger', 42),
	(201, 'by trigger', 42)$$, 'a site''s trigger may change it, and a default fills its column');
SELECT is((SELECT array_agg(version ORDER BY version) FROM live__history), '{1,2,3,4}', 'and so does an identity');
SET enable_seqscan = off;
SELECT results_eq('SELECT n FROM live__history WHERE n * 2 = 402 AND n > 1', 'VALUES (201)',
	'a site''s index on an expression is kept up');
RESET enable_seqscan;
ALTER TABLE live__history ADD CONSTRAINT site_c CHECK (n < 1000);
INSERT INTO live (n) VALUES (1000);
SELECT throws_ok('DELETE FROM live', '23514', NULL, 'a site''s constraint is enforced');
SELECT is((SELECT count(*)::int FROM live), 1, 'and then the change does not happen');
ALTER TABLE live__history DROP CONSTRAINT site_c;
ALTER TABLE live__history ENABLE ALWAYS TRIGGER see;
CREATE FUNCTION drop_version() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER zz BEFORE INSERT ON live__history FOR EACH ROW EXECUTE FUNCTION drop_version();
SELECT lives_ok('DELETE FROM live', 'a site''s trigger may suppress a version');
SELECT is((SELECT count(*)::int FROM live__history WHERE n = 1000), 0, 'as on any table');
DROP TRIGGER zz ON live__history;
DELETE FROM seen;
CREATE FUNCTION see_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_WHEN = 'BEFORE' THEN
		INSERT INTO seen VALUES (0);
	ELSE
		INSERT INTO seen SELECT 1, n, exec_transaction_id FROM new_versions;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER see_before BEFORE INSERT ON live__history FOR EACH STATEMENT EXECUTE FUNCTION see_all();
CREATE TRIGGER see_after AFTER INSERT ON live__history REFERENCING NEW TABLE AS new_versions
	FOR EACH STATEMENT EXECUTE FUNCTION see_all();
ALTER TABLE live__history DISABLE TRIGGER see;
INSERT INTO live (n) VALUES (901), (902);
DELETE FROM live;
SELECT results_eq('SELECT n FROM seen WHERE id = 1 ORDER BY n', 'VALUES (901), (902)',
	'a site''s trigger for each statement sees the versions');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE id = 0), '>', 0::bigint, 'and so does one before');
DROP TRIGGER see_before ON live__history;
DROP TRIGGER see_after ON live__history;
DELETE FROM seen;
CREATE TRIGGER see_row AFTER INSERT ON live__history REFERENCING NEW TABLE AS new_versions
	FOR EACH ROW EXECUTE FUNCTION see_all();
INSERT INTO live (n) VALUES (903);
SELECT lives_ok('DELETE FROM live', 'a trigger for each row may have the table of versions, too');
SELECT results_eq('SELECT n FROM seen WHERE id = 1', 'VALUES (903)', 'and sees them there');
DROP TRIGGER see_row ON live__history;
ALTER TABLE live__history ADD CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED;
INSERT INTO live (n) VALUES (904);
DELETE FROM live;
BEGIN;
INSERT INTO live (n) VALUES (904);
DELETE FROM live;
SELECT throws_ok('SET CONSTRAINTS ALL IMMEDIATE', '23505', NULL, 'a deferred constraint is checked');
ROLLBACK;
ALTER TABLE live__history DROP CONSTRAINT once;

-- Names of indexes are clipped as PostgreSQL clips them; two tables that are
-- alike in their first 43 characters.
CREATE TABLE a23456789_123456789_123456789_123456789_123one (id int PRIMARY KEY);
CREATE TABLE a23456789_123456789_123456789_123456789_123two (id int PRIMARY KEY);
SELECT create_history_table('a23456789_123456789_123456789_123456789_123one'),
	create_history_table('a23456789_123456789_123456789_123456789_123two');
SELECT is((SELECT count(*)::int FROM pg_index i JOIN catmaid_history_table h
	ON i.indrelid = h.history_table WHERE h.live_table::text ~ '^a23'), 6,
	'two long names, alike at their start: three indexes each');
INSERT INTO a23456789_123456789_123456789_123456789_123one VALUES (1);
INSERT INTO a23456789_123456789_123456789_123456789_123two VALUES (2);
DELETE FROM a23456789_123456789_123456789_123456789_123one;
TRUNCATE a23456789_123456789_123456789_123456789_123two;
SELECT results_eq('SELECT id FROM a23456789_123456789_123456789_123456789_123one__history UNION ALL
	SELECT id FROM a23456789_123456789_123456789_123456789_123two__history', 'VALUES (1), (2)',
	'and their history is apart');
SELECT lives_ok($$SELECT drop_history_table('a23456789_123456789_123456789_123456789_123one')$$,
	'one of them goes');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid =
	'a23456789_123456789_123456789_123456789_123two__history'::regclass), 3,
	'the other keeps its indexes');
-- An index of that name that is somebody else's.
CREATE TABLE x (id int PRIMARY KEY);
CREATE INDEX y__history_sys_period ON x (id);
CREATE TABLE y (id int PRIMARY KEY);
SELECT lives_ok($$SELECT create_history_table('y')$$, 'a foreign index has the name of one of ours');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 'y__history'::regclass), 3,
	'ours gets another');
SELECT lives_ok($$SELECT drop_history_table('y')$$, 'and goes with its table');
SELECT is((SELECT indrelid::regclass::text FROM pg_index
	WHERE indexrelid = 'y__history_sys_period'::regclass), 'x', 'while the foreign one stays');

SELECT * FROM finish();
