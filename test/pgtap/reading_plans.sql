
-- Section 9: history views join like tables, of all four kinds; and what is found by
-- windows, the hash and the index is the same.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(114);
SET max_parallel_workers_per_gather = 0;
SET jit = off;

CREATE FUNCTION tap.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l text; r text := '';
BEGIN
	FOR l IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP r := r || l || E'\n'; END LOOP;
	RETURN r;
END $$;

CREATE TABLE timed (id int PRIMARY KEY, v int, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE tracked (id int PRIMARY KEY, v int);
CREATE TABLE par (id int PRIMARY KEY, v int, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
CREATE TABLE tpar (id int PRIMARY KEY, v int);
CREATE TABLE tchi (PRIMARY KEY (id), w int) INHERITS (tpar);
CREATE TABLE parts (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10000) TO (20001);
SELECT create_history_table('timed', 'edited', 'txid'), create_history_table('tracked'), create_history_table('chi', 'edited', 'txid'), create_history_table('parts'), create_history_table('tchi');
INSERT INTO timed SELECT i, i FROM generate_series(1, 20000) i;
INSERT INTO tracked SELECT i, i FROM generate_series(1, 20000) i;
INSERT INTO par SELECT i, i FROM generate_series(1, 10000) i;
INSERT INTO chi SELECT i, i FROM generate_series(10001, 20000) i;
INSERT INTO tpar SELECT i, i FROM generate_series(1, 10000) i;
INSERT INTO tchi SELECT i, i FROM generate_series(10001, 20000) i;
INSERT INTO parts SELECT i, i FROM generate_series(1, 20000) i;
SELECT clock_timestamp() AS middle \gset
SET client_min_messages = error;
UPDATE timed SET v = v + 1, edited = now() WHERE id % 2 = 0; UPDATE timed SET v = v + 1, edited = now() WHERE id % 2 = 0;
UPDATE tracked SET v = v + 1 WHERE id % 2 = 0; UPDATE tracked SET v = v + 1 WHERE id % 2 = 0;
UPDATE par SET v = v + 1, edited = now() WHERE id % 2 = 0; UPDATE par SET v = v + 1, edited = now() WHERE id % 2 = 0;
UPDATE tpar SET v = v + 1 WHERE id % 2 = 0; UPDATE tpar SET v = v + 1 WHERE id % 2 = 0;
UPDATE parts SET v = v + 1 WHERE id % 2 = 0; UPDATE parts SET v = v + 1 WHERE id % 2 = 0;
CREATE TABLE pick (id int PRIMARY KEY, item int);
INSERT INTO pick SELECT i, i * 97 % 20000 + 1 FROM generate_series(1, 1000) i;
VACUUM ANALYZE;
RESET client_min_messages;

-- No table of the view's is read whole.
CREATE TABLE tap.query (name text, text text);
INSERT INTO tap.query VALUES
	('a join on the key', 'SELECT p.id, h.v FROM pick p JOIN %s h ON h.id = p.item %s WHERE p.id = 7'),
	('of ten keys', 'SELECT p.id, h.v FROM pick p JOIN %s h ON h.id = p.item %s WHERE p.id <= 10'),
	('IN', 'SELECT * FROM %s h WHERE id IN (SELECT item FROM pick WHERE id < 5) %s'),
	('NOT EXISTS', 'SELECT * FROM pick p WHERE p.id < 5 AND NOT EXISTS (SELECT FROM %s h WHERE h.id = p.item %s)'),
	('LATERAL', 'SELECT * FROM (SELECT * FROM pick WHERE id < 5) p, LATERAL (SELECT max(v) FROM %s h WHERE h.id = p.item %s) x'),
	('ORDER BY LIMIT', 'SELECT id, v FROM %s h WHERE true %s ORDER BY id LIMIT 10'),
	('max', 'SELECT max(id) FROM %s h WHERE true %s');
CREATE TABLE tap.condition (what text, text text);
INSERT INTO tap.condition VALUES ('without a period', ''), ('as of now', 'AND h.sys_period @> now()'),
	('as of the middle', format('AND h.sys_period @> timestamptz %L', :'middle'));
SELECT is(substring(plan_of(format(q.text, view, c.text)), '[^\n]*Seq Scan on (?:timed|tracked|t?par|t?chi|parts)[^\n]*'), NULL,
	format('%s: %s, %s', view, q.name, c.what))
FROM unnest('{timed__with_history,tracked__with_history,par__with_history,tpar__with_history}'::text[]) WITH ORDINALITY v(view, no), tap.query q, tap.condition c
ORDER BY v.no, q.name, c.what;
SELECT is(substring(plan_of(format(q.text, 'parts__with_history', c.text)), '[^\n]*Seq Scan on parts[^\n]*'), NULL,
	format('parts__with_history: %s, %s', q.name, c.what)) FROM tap.query q, tap.condition c WHERE q.name IN ('a join on the key', 'IN')
ORDER BY q.name, c.what;

-- What is not asked for is not in the plan.
SELECT unalike(plan_of('SELECT v FROM tracked__with_history WHERE id = 3'), '%tracked__tracking%', 'no tracking table without the period');
SELECT alike(plan_of('SELECT v FROM tracked__with_history WHERE id = 3 AND sys_period @> now()'), '%Tracking Lookup%', 'with it, by look-ups');
SELECT alike(plan_of('SELECT v FROM tracked__with_history WHERE id = 3 AND sys_period @> now()'), '%Index: tracked__tracking_live_pk_index%', 'in this index');

-- The planner knows how many rows a time finds.
CREATE FUNCTION tap.estimated(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO j;
	RETURN (j -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
END $$;
SELECT ok(estimated(format('SELECT * FROM %s WHERE sys_period @> now()', view)) BETWEEN 16000 AND 24000, view || ': as of now')
FROM unnest('{timed__with_history,tracked__with_history,par__with_history,parts__with_history,tpar__with_history}'::text[]) view;
PREPARE as_of(timestamptz) AS SELECT * FROM tracked__with_history WHERE sys_period @> $1;
SET plan_cache_mode = force_generic_plan;
SELECT ok(estimated('EXECUTE as_of(now())') > 10000, 'as of any time');
RESET plan_cache_mode;
SELECT ok(estimated('SELECT * FROM tracked__with_history WHERE sys_period @> timestamptz ''2000-01-01''') < 2000, 'as of long ago');
DEALLOCATE as_of;

-- Windows, hash and index find the same, whatever the order and the key; what others see is what the snapshot shows.
CREATE FUNCTION tap.differs(live regclass, key text, shuffled boolean DEFAULT false) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; k text := CASE WHEN key ~ ',' THEN '(t.live_pk_1, t.live_pk_2)' ELSE 't.live_pk' END;
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT v.%4$s, v.sys_period, v.start_transaction_id AS by FROM %1$s__with_history v
			WHERE v.exec_transaction_id IS NULL %5$s) v
		FULL JOIN ONLY %1$s__tracking t ON (%2$s) = %3$s
		WHERE (t.edition_time, nullif(greatest(t.txid, 0), 0)) IS DISTINCT FROM (lower(v.sys_period), v.by)',
		live, 'v.' || replace(key, ',', ', v.'), k, replace(key, ',', ', v.'), CASE WHEN shuffled THEN 'ORDER BY md5(v::text) OFFSET 0' ELSE '' END) INTO n;
	RETURN n;
END $$;
SELECT is(differs('tracked', 'id'), 0::bigint, 'in order');
SELECT is((SELECT count(*)::int FROM (SELECT id, lower(sys_period), start_transaction_id FROM tpar__with_history WHERE exec_transaction_id IS NULL
	EXCEPT SELECT live_pk, edition_time, txid FROM tpar__tracking) d), 0, 'a parent and its child, each by its tracking table');
SELECT alike(plan_of('SELECT * FROM tpar__with_history WHERE sys_period @> now()'), '%Tracking Lookup) on tpar__tracking%Tracking Lookup) on tchi__tracking%', 'a parent: look-ups in its own and its child''s');
SELECT unalike(plan_of('SELECT lower(sys_period) FROM tpar__with_history WHERE exec_transaction_id IS NULL'), '%catmaid_history_table%SubPlan%catmaid_history_table%', 'which the registry is not asked for with each row');
CREATE TABLE uuids (id uuid PRIMARY KEY, v int);
SELECT create_history_table('uuids');
INSERT INTO uuids SELECT md5(i::text)::uuid, i FROM generate_series(1, 5000) i;
UPDATE uuids SET v = v + 1 WHERE v % 3 = 0;
SELECT is(differs('uuids', 'id'), 0::bigint, 'uuid');
CREATE TABLE texts (a text COLLATE "C", b int, v int, PRIMARY KEY (a, b));
SELECT create_history_table('texts');
INSERT INTO texts SELECT repeat(i::text, 5), i % 7, i FROM generate_series(1, 5000) i;
DELETE FROM texts WHERE v % 5 = 0;
UPDATE texts SET v = v + 1 WHERE v % 3 = 0;
SELECT is(differs('texts', 'a,b'), 0::bigint, 'two columns');
CREATE TABLE mixed (id bigint PRIMARY KEY, v int);
SELECT create_history_table('mixed');
INSERT INTO mixed SELECT i, i FROM generate_series(1, 5000) i ORDER BY md5(i::text);
SELECT is(differs('mixed', 'id'), 0::bigint, 'as they come');
INSERT INTO mixed SELECT i, i FROM generate_series(5001, 30000) i;
CREATE TABLE scattered AS SELECT * FROM mixed ORDER BY md5(id::text);
BEGIN;
CREATE TEMP TABLE t ON COMMIT DROP AS SELECT * FROM mixed__tracking;
DELETE FROM mixed;
INSERT INTO mixed SELECT * FROM scattered;
UPDATE mixed SET v = v + 1 WHERE id % 4 = 0;
SELECT is(differs('mixed', 'id'), 0::bigint, 'in a transaction that writes');
COMMIT;
VACUUM ANALYZE mixed, mixed__tracking;
CLUSTER mixed__tracking USING mixed__tracking_live_pk_index;
ANALYZE mixed__tracking;
SET work_mem = '64MB';
SELECT is(differs('mixed', 'id'), 0::bigint, 'by the hash');
SET work_mem = '64kB';
SELECT is(differs('mixed', 'id'), 0::bigint, 'without the memory for it');
RESET work_mem;

-- A cursor sees what it saw when it was opened.
BEGIN;
DECLARE c CURSOR FOR SELECT id, lower(sys_period) AS began FROM tracked__with_history WHERE exec_transaction_id IS NULL AND id BETWEEN 1 AND 2000;
MOVE 1000 FROM c;
CREATE TEMP TABLE before AS SELECT live_pk, edition_time FROM tracked__tracking;
UPDATE tracked SET v = -1;
DELETE FROM tracked WHERE id % 3 = 0;
CREATE FUNCTION pg_temp.rest() RETURNS TABLE (id int, began timestamptz) LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'c';
BEGIN
	LOOP
		FETCH c INTO id, began;
		EXIT WHEN NOT FOUND;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT is((SELECT count(*)::int FROM pg_temp.rest() r JOIN before b ON b.live_pk = r.id AND b.edition_time = r.began), 1000, 'a cursor');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT is(differs('tracked', 'id'), 0::bigint, 'serializable');
COMMIT;
-- An error in between leaves nothing behind.
SELECT throws_ok('SELECT sum(1 / (id - 15000)) FROM tracked__with_history WHERE sys_period @> now()', '22012');
SELECT is(differs('tracked', 'id'), 0::bigint, 'after an error');
SELECT * FROM finish();
