-- "Where others fail", first half: each way of losing, doubling or spoiling a
-- version that other history triggers are known for, by its name.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t60_narrow;
CREATE ROLE t60_narrow;
CREATE EXTENSION catmaid_history;
SELECT plan(38);

-- Versions of child rows lost when written through the parent.
CREATE TABLE base (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE leaf (extra text, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE base_t (id int PRIMARY KEY, a text);
CREATE TABLE leaf_t (extra text, PRIMARY KEY (id)) INHERITS (base_t);
SELECT create_history_table('leaf', 'edition_time', 'txid');
SELECT create_history_table('leaf_t');
INSERT INTO base VALUES (1, 'parent');
INSERT INTO leaf VALUES (2, 'child', DEFAULT, NULL, 'whole');
INSERT INTO base_t VALUES (1, 'parent');
INSERT INTO leaf_t VALUES (2, 'child', 'whole');
UPDATE base SET a = a || '!';
UPDATE base_t SET a = a || '!';
DELETE FROM base;
DELETE FROM base_t;
SELECT is((SELECT string_agg(a || extra, ',' ORDER BY a) FROM ONLY leaf__history),
	'childwhole,child!whole',
	'child rows written through the parent: complete in the child''s history');
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM ONLY base__history),
	'parent,parent!', 'child rows written through the parent: not in the parent''s');
SELECT is((SELECT string_agg(a || extra, ',' ORDER BY a) FROM ONLY leaf_t__history),
	'childwhole,child!whole', 'child rows through the parent, with tracking tables');
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM ONLY base_t__history),
	'parent,parent!', 'parent rows beside them');

-- A row whose tracking row is missing loses its history.
CREATE TABLE plain (id int PRIMARY KEY, a text);
SELECT create_history_table('plain');
INSERT INTO plain VALUES (1, 'a'), (2, 'a'), (3, 'a');
DELETE FROM plain__tracking;
UPDATE plain SET a = 'b' WHERE id = 1;
DELETE FROM plain WHERE id = 2;
SELECT is((SELECT string_agg(format('%s %s %s', id, lower_inf(sys_period),
	upper_inf(sys_period)), ',' ORDER BY id) FROM plain__history), '1 t f,2 t f',
	'missing tracking row: the version is stored, its start unbounded');
SELECT is((SELECT string_agg(live_pk::text, ',') FROM plain__tracking), '1',
	'missing tracking row: there is one after the update');
UPDATE plain SET a = 'c' WHERE id = 1;
SELECT is((SELECT count(*) FROM plain__history WHERE id = 1
	AND NOT lower_inf(sys_period)), 1::bigint, 'and the next version has its start');
DELETE FROM plain__tracking;
TRUNCATE plain;
SELECT is((SELECT count(*) FROM plain__history), 5::bigint,
	'missing tracking rows: TRUNCATE stores all rows the same');

-- A TRUNCATE of a parent stores child rows twice.
TRUNCATE ONLY base__history, leaf__history, base_t__history, leaf_t__history;
INSERT INTO base VALUES (1, 'parent');
INSERT INTO leaf VALUES (2, 'child', DEFAULT, NULL, 'whole');
INSERT INTO base_t VALUES (1, 'parent');
INSERT INTO leaf_t VALUES (2, 'child', 'whole');
TRUNCATE base;
TRUNCATE base_t;
SELECT is((SELECT string_agg(tableoid::regclass || ' ' || a, ',' ORDER BY id)
	FROM base__history), 'base__history parent,leaf__history child',
	'TRUNCATE of a parent: each row once, in its own history');
SELECT is((SELECT string_agg(tableoid::regclass || ' ' || a, ',' ORDER BY id)
	FROM base_t__history), 'base_t__history parent,leaf_t__history child',
	'TRUNCATE of a parent, with tracking tables: each row once');

-- A role with rights on some columns only recording incomplete versions.
CREATE TABLE partly (id int PRIMARY KEY, open text, secret text);
SELECT create_history_table('partly');
INSERT INTO partly VALUES (1, 'a', 'hidden');
GRANT SELECT (id), UPDATE (open) ON partly TO t60_narrow;
SELECT allowed('UPDATE partly SET open = ''b'' WHERE id = 1',
	'rights on some columns: the update works', 't60_narrow');
SELECT is((SELECT open || secret FROM partly__history), 'ahidden',
	'rights on some columns: the version is complete');

-- A key change leaving the tracking row behind.
CREATE TABLE keyed (id int PRIMARY KEY, a text);
SELECT create_history_table('keyed');
INSERT INTO keyed VALUES (1, 'a'), (2, 'b');
SELECT edition_time AS inserted FROM keyed__tracking WHERE live_pk = 1 \gset
UPDATE keyed SET id = 10 WHERE id = 1;
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk)
	FROM keyed__tracking), '2,10', 'key change: the tracking row goes along');
SELECT is((SELECT format('%s %s', id, lower(sys_period) = :'inserted')
	FROM keyed__history), '1 t', 'key change: the old version has the old key and start');
ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD PRIMARY KEY (id) DEFERRABLE;
UPDATE keyed SET id = 12 - id;
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk)
	FROM keyed__tracking), '2,10', 'keys changed over in a statement: none lost');
UPDATE keyed SET id = id + 8;
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk)
	FROM keyed__tracking), '10,18', 'keys moved onto each other: none lost');
SELECT is((SELECT count(*) FROM keyed__history), 5::bigint, 'and each is a version');

-- exec_transaction_id meaning different things on different paths.
CREATE TABLE paths (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE paths_t (id int PRIMARY KEY, a text);
SELECT create_history_table('paths', 'edition_time', 'txid');
SELECT create_history_table('paths_t');
INSERT INTO paths SELECT n, 'a' FROM generate_series(1, 3) n;
INSERT INTO paths_t SELECT n, 'a' FROM generate_series(1, 3) n;
CREATE TEMP TABLE ended (id int, tx bigint);
BEGIN;
INSERT INTO ended VALUES (1, txid_current());
UPDATE paths SET a = 'b' WHERE id = 1;
UPDATE paths_t SET a = 'b' WHERE id = 1;
COMMIT;
BEGIN;
INSERT INTO ended VALUES (2, txid_current());
DELETE FROM paths WHERE id = 2;
DELETE FROM paths_t WHERE id = 2;
COMMIT;
BEGIN;
INSERT INTO ended VALUES (3, txid_current());
TRUNCATE paths, paths_t;
COMMIT;
SELECT is((SELECT string_agg(path, ',') FROM (SELECT format('%s: %s', h.id, h.a) AS path
	FROM paths__history h JOIN ended e ON e.id = CASE h.a WHEN 'b' THEN 3 ELSE h.id END
	WHERE h.exec_transaction_id <> e.tx) x), NULL,
	'exec_transaction_id: the transaction that ended the version (time column)');
SELECT is((SELECT string_agg(path, ',') FROM (SELECT format('%s: %s', h.id, h.a) AS path
	FROM paths_t__history h JOIN ended e ON e.id = CASE h.a WHEN 'b' THEN 3 ELSE h.id END
	WHERE h.exec_transaction_id <> e.tx) x), NULL,
	'exec_transaction_id: the transaction that ended the version (tracking table)');
SELECT is((SELECT count(*) FROM paths__history) + (SELECT count(*) FROM paths_t__history),
	8::bigint, 'exec_transaction_id: on update, delete and truncate');

-- Generated columns making UPDATE fail.
CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,
	twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE made_time (id int PRIMARY KEY, a int,
	twice int GENERATED ALWAYS AS (a * 2) STORED, edition_time timestamptz, txid bigint,
	tx_twice bigint GENERATED ALWAYS AS (txid * 2) STORED);
SELECT create_history_table('made');
SELECT create_history_table('made_time', 'edition_time', 'txid');
INSERT INTO made (a) VALUES (1);
INSERT INTO made_time (id, a, edition_time) VALUES (1, 1, now());
SELECT lives_ok('UPDATE made SET a = 5', 'generated and identity columns: update');
SELECT lives_ok('UPDATE made_time SET a = 5',
	'generated columns beside a time column: update');
SELECT is((SELECT format('%s %s', a, twice) FROM made__history), '1 2',
	'generated columns: the old value is stored');
SELECT is((SELECT format('%s %s', a, twice) FROM made_time__history), '1 2',
	'generated columns beside a time column: the old value is stored');
SELECT is((SELECT format('%s %s', twice, tx_twice = txid * 2) FROM made_time), '10 t',
	'generated columns: the live row''s are right');

-- search_path = '' making writes fail.
SELECT allowed($$INSERT INTO public.plain VALUES (7, 'x');
	UPDATE public.plain SET a = 'y' WHERE id = 7; DELETE FROM public.plain;
	INSERT INTO public.paths VALUES (7, 'x'); UPDATE public.paths SET a = 'y';
	DELETE FROM public.paths; TRUNCATE public.plain, public.paths$$,
	'search_path empty: writes', path => '');
SELECT is((SELECT count(*) FROM plain__history WHERE id = 7), 2::bigint,
	'search_path empty: recorded');

-- One cross-partition UPDATE stored twice.
CREATE TABLE parted (id int, part int, a text, PRIMARY KEY (id, part))
	PARTITION BY LIST (part);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted2 (a text, part int NOT NULL, id int NOT NULL);
ALTER TABLE parted ATTACH PARTITION parted2 FOR VALUES IN (2);
CREATE TABLE parted_time (id int, part int, a text, edition_time timestamptz DEFAULT now(),
	txid bigint, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE parted_time1 PARTITION OF parted_time FOR VALUES IN (1);
CREATE TABLE parted_time2 PARTITION OF parted_time FOR VALUES IN (2);
SELECT create_history_table('parted');
SELECT create_history_table('parted_time', 'edition_time', 'txid');
INSERT INTO parted VALUES (1, 1, 'a');
INSERT INTO parted_time VALUES (1, 1, 'a');
SELECT edition_time AS inserted FROM parted__tracking \gset
UPDATE parted SET part = 2;
UPDATE parted_time SET part = 2;
SELECT is((SELECT string_agg(format('%s %s %s %s', id, part, a,
	lower(sys_period) = :'inserted'), ',') FROM parted__history), '1 1 a t',
	'cross-partition UPDATE: one version, with its start');
SELECT is((SELECT string_agg(format('%s %s %s', id, part, a), ',')
	FROM parted_time__history), '1 1 a',
	'cross-partition UPDATE with a time column: one version');
SELECT is((SELECT string_agg(format('%s %s', live_pk_1, live_pk_2), ',')
	FROM parted__tracking), '1 2', 'cross-partition UPDATE: one tracking row');
SELECT isnt((SELECT txid FROM parted_time), NULL,
	'cross-partition UPDATE: the moved row has its transaction id');
UPDATE parted2 SET a = 'b';
DELETE FROM parted2;
SELECT is((SELECT string_agg(format('%s %s %s', id, part, a), ',' ORDER BY part, a)
	FROM parted__history), '1 1 a,1 2 a,1 2 b',
	'writes directly on a partition of another column order');
SELECT is((SELECT count(*) FROM parted__tracking), 0::bigint, 'and tracking follows');

-- History wiped by TRUNCATE.
INSERT INTO plain VALUES (20, 'x');
SELECT count(*) AS before FROM plain__history \gset
TRUNCATE plain;
SELECT is((SELECT count(*) FROM plain__history), :before + 1::bigint,
	'TRUNCATE adds to the history');
CREATE TABLE refers (id int PRIMARY KEY, plain_id int REFERENCES plain);
SELECT create_history_table('refers');
INSERT INTO plain VALUES (21, 'x');
INSERT INTO refers VALUES (1, 21);
TRUNCATE plain CASCADE;
SELECT is((SELECT format('%s %s', (SELECT count(*) FROM plain__history WHERE id = 21),
	(SELECT count(*) FROM refers__history))), '1 1', 'so does a cascaded one');
SELECT is((SELECT format('%s %s', (SELECT count(*) FROM plain__tracking),
	(SELECT count(*) FROM refers__tracking))), '0 0', 'and tracking tables are empty');

-- A plan or memory leak per row: t/leak.pl has the proof; this is the sketch.
CREATE TABLE leaky (id int PRIMARY KEY, a int);
INSERT INTO leaky SELECT n, 0 FROM generate_series(1, 500) n;
SELECT create_history_table('leaky');
DO $$ BEGIN FOR n IN 1..500 LOOP UPDATE leaky SET a = a + 1 WHERE id = n; END LOOP; END $$;
SELECT CASE WHEN current_setting('server_version_num')::int < 140000 THEN 'SELECT 0 AS n'
	ELSE 'SELECT count(*) AS n FROM pg_backend_memory_contexts' END AS contexts \gset
:contexts \gset before_
DO $$ BEGIN FOR n IN 1..500 LOOP UPDATE leaky SET a = a + 1 WHERE id = n; END LOOP; END $$;
:contexts \gset after_
SELECT cmp_ok((:after_n - :before_n)::int, '<', 20, 'no plan or context is kept per row');
SELECT is((SELECT count(*) FROM leaky__history), 1000::bigint, 'while all were recorded');

SELECT drop_all_history_tables();
DROP OWNED BY t60_narrow;
DROP ROLE t60_narrow;
SELECT * FROM finish();
