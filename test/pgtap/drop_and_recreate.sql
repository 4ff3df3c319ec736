-- Dropping leaves nothing behind, and what was dropped can be made again.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
CREATE TABLE plain (id int PRIMARY KEY, a text);
CREATE TABLE timed (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE base (id int PRIMARY KEY, a text);
CREATE TABLE leaf (PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES FROM (0) TO (10)
	PARTITION BY RANGE (id);
CREATE TABLE parted11 PARTITION OF parted1 FOR VALUES FROM (0) TO (10);
SELECT plan(40);
SELECT tap.catalog() AS before,
	(SELECT count(*) FROM pg_depend) AS depends,
	(SELECT count(*) FROM pg_trigger) AS triggers \gset

-- Three times round, each time in another way of dropping.
SELECT allowed('SELECT create_history_table(''plain'')', 'create');
SELECT allowed('SELECT create_history_table(''timed'', ''edition_time'', ''txid'')', 'create timed');
SELECT allowed('SELECT create_history_table(''leaf'')', 'create hierarchy');
SELECT allowed('SELECT create_history_table(''parted'')', 'create partitioned');
SELECT isnt(tap.catalog(), :'before', 'control: the catalogs show it');
SELECT allowed(format('SELECT drop_history_table(%L)', r), 'drop ' || r)
FROM unnest('{plain,timed,leaf,base,parted}'::text[]) r;
SELECT unchanged(:'before', 'dropped: no relation, column, trigger or function stays');
SELECT is((SELECT count(*) FROM pg_trigger), :triggers::bigint,
	'dropped: no trigger, internal ones included, on any partition');
SELECT is((SELECT count(*) FROM pg_depend), :depends::bigint,
	'dropped: no dependency stays');
SELECT is((SELECT count(*) FROM catmaid_history_table), 0::bigint, 'dropped: registry empty');
SELECT lives_ok('INSERT INTO plain VALUES (1, ''a''); UPDATE plain SET a = ''b'';
	INSERT INTO timed VALUES (1, ''a''); UPDATE timed SET a = ''b'';
	INSERT INTO leaf VALUES (1, ''a''); UPDATE base SET a = ''b'';
	INSERT INTO parted VALUES (1, ''a''); UPDATE parted SET a = ''b''',
	'writes go on without history');
SELECT is((SELECT txid IS NULL FROM timed), true,
	'and the txid column is left alone');

SELECT allowed('SELECT create_history_table(''plain'')', 'again: create');
SELECT allowed('SELECT create_history_table(''timed'', ''edition_time'', ''txid'')', 'again: timed');
SELECT allowed('SELECT create_history_table(''leaf'')', 'again: hierarchy');
SELECT allowed('SELECT create_history_table(''parted'')', 'again: partitioned');
UPDATE plain SET a = 'c';
UPDATE timed SET a = 'c';
UPDATE base SET a = 'c';
UPDATE parted SET a = 'c';
SELECT is((SELECT string_agg(a, ',') FROM plain__history), 'b', 'again: recorded once');
SELECT is((SELECT string_agg(a, ',') FROM timed__history), 'b', 'again: timed, once');
SELECT is((SELECT string_agg(a, ',') FROM base__history), 'b', 'again: hierarchy, once');
SELECT is((SELECT string_agg(a, ',') FROM parted__history), 'b', 'again: partitioned, once');
SELECT disable_history_tracking();
SELECT allowed('SELECT drop_all_history_tables()', 'drop all while disabled');
SELECT is((SELECT count(*) FROM pg_trigger), :triggers::bigint, 'no trigger stays');
SELECT unchanged(:'before', 'no object stays');

-- Without triggers at first.
SELECT create_history_table('plain', create_triggers => false);
UPDATE plain SET a = 'd';
SELECT is((SELECT count(*) FROM plain__history), 0::bigint, 'create_triggers => false: none');
SELECT is((SELECT triggers_installed FROM catmaid_history_table), false,
	'and the registry says so');
SELECT allowed('SELECT enable_history_tracking_for_table(''plain'')', 'enabled later');
UPDATE plain SET a = 'e';
SELECT is((SELECT string_agg(a, ',') FROM plain__history), 'd', 'it records');

-- A time-column table becomes one with tracking table, and back, in one session
-- with plans and caches warm.
SELECT create_history_table('timed', 'edition_time', 'txid');
UPDATE timed SET a = 'd';
SELECT drop_history_table('timed');
SELECT create_history_table('timed');
UPDATE timed SET a = 'e';
SELECT is((SELECT string_agg(a, ',') FROM timed__history), 'd', 'timed as tracked');
SELECT is((SELECT count(*) FROM timed__tracking), 1::bigint, 'with its tracking table');
SELECT drop_history_table('timed');
SELECT create_history_table('timed', 'edition_time', 'txid');
UPDATE timed SET a = 'f';
SELECT is((SELECT string_agg(a, ',') FROM timed__history), 'e', 'and timed again');

-- In one transaction, and undone.
SELECT tap.catalog() AS before \gset
BEGIN;
SELECT drop_history_table('plain');
SELECT create_history_table('plain');
UPDATE plain SET a = 'f';
SELECT is((SELECT string_agg(a, ',') FROM plain__history), 'e', 'recreated in a transaction');
ROLLBACK;
SELECT unchanged(:'before', 'undone: as before');
UPDATE plain SET a = 'g';
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM plain__history), 'd,e', 'and it records');
BEGIN;
SAVEPOINT s;
SELECT drop_history_table('plain');
UPDATE plain SET a = 'h';
ROLLBACK TO s;
UPDATE plain SET a = 'i';
COMMIT;
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM plain__history), 'd,e,g',
	'a drop that was rolled back to a savepoint');
CREATE TABLE brief (id int PRIMARY KEY, a text);
BEGIN;
SELECT create_history_table('brief');
INSERT INTO brief VALUES (1, 'a');
UPDATE brief SET a = 'b';
ROLLBACK;
INSERT INTO brief VALUES (1, 'a');
SELECT lives_ok('UPDATE brief SET a = ''b''', 'a creation that was rolled back');
SELECT allowed('SELECT create_history_table(''brief'')', 'and made for good');

SELECT * FROM finish();
