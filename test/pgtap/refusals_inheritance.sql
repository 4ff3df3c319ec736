-- Sections 2 and 6: hierarchies that do not fit are refused, and nothing stays.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t48_parent;
DROP ROLE IF EXISTS t48_child;
CREATE ROLE t48_parent;
CREATE ROLE t48_child;
CREATE EXTENSION catmaid_history;
SELECT plan(38);

-- A parent that lacks the child's time column.
CREATE TABLE base (id int PRIMARY KEY, a text);
CREATE TABLE leaf (edition_time timestamptz NOT NULL DEFAULT now(), txid bigint,
	PRIMARY KEY (id)) INHERITS (base);
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''leaf'', ''edition_time'', ''txid'')',
	'{base,edition_time}', 'a parent without the time column',
	hint_word => 'copy_inheritance');
SELECT unchanged(:'before', 'and neither is set up');
SELECT is((SELECT count(*) FROM catmaid_history_table), 0::bigint,
	'nor registered');
SELECT allowed('SELECT create_history_table(''leaf'', ''edition_time'', ''txid'',
	copy_inheritance => false)', 'it goes as the hint says');
SELECT is((SELECT count(*) FROM catmaid_history_table), 1::bigint,
	'the parent is left alone');
SELECT is((SELECT count(*) FROM pg_inherits
	WHERE inhrelid = 'leaf__history'::regclass), 0::bigint,
	'and the history inherits nothing');
INSERT INTO leaf (id, a) VALUES (1, 'a');
UPDATE base SET a = 'b';
SELECT is((SELECT string_agg(a, ',') FROM leaf__history), 'a',
	'a write through the untracked parent is recorded once');

-- One of the two columns on the parent, or of another type.
CREATE TABLE base2 (id int PRIMARY KEY, edition_time timestamptz);
CREATE TABLE leaf2 (txid bigint, PRIMARY KEY (id)) INHERITS (base2);
SELECT refused('SELECT create_history_table(''leaf2'', ''edition_time'', ''txid'')',
	'{base2,txid}', 'a parent without the txid column',
	hint_word => 'copy_inheritance');

-- A parent that cannot be tracked.
CREATE TABLE keyless (id int NOT NULL);
CREATE TABLE keyed (PRIMARY KEY (id)) INHERITS (keyless);
CREATE TABLE taken (id int PRIMARY KEY);
CREATE TABLE under_taken (PRIMARY KEY (id)) INHERITS (taken);
CREATE TABLE taken__history (mine int);
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''keyed'')',
	'{keyless,primary key}', 'a parent without primary key');
SELECT refused('SELECT create_history_table(''under_taken'')',
	'{taken__history}', 'a parent whose history name is taken');
SELECT unchanged(:'before', 'and the child is not set up');
SELECT allowed('SELECT create_history_table(''keyed'', copy_inheritance => false)',
	'without its parent the child is taken');

-- More than one parent, here or above.
CREATE TABLE p1 (id int PRIMARY KEY);
CREATE TABLE p2 (id int PRIMARY KEY);
CREATE TABLE both_of (PRIMARY KEY (id)) INHERITS (p1, p2);
CREATE TABLE below (PRIMARY KEY (id)) INHERITS (both_of);
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''both_of'')', '{both_of}',
	'more than one parent');
SELECT refused('SELECT create_history_table(''below'')', '{both_of}',
	'a parent with more than one parent');
SELECT unchanged(:'before', 'nothing is left behind');

-- Someone else's parent.
CREATE SCHEMA app;
GRANT USAGE, CREATE ON SCHEMA app TO t48_parent, t48_child;
CREATE TABLE app.theirs (id int PRIMARY KEY, a text);
CREATE TABLE app.mine (PRIMARY KEY (id)) INHERITS (app.theirs);
ALTER TABLE app.theirs OWNER TO t48_parent;
ALTER TABLE app.mine OWNER TO t48_child;
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''app.mine'')', '{theirs}',
	'a parent that the caller does not own', as_role => 't48_child');
SELECT unchanged(:'before', 'and neither is set up');
SELECT allowed('SELECT create_history_table(''app.mine'')',
	'a superuser may set up both');
SELECT is((SELECT string_agg(format('%s %s', oid::regclass, relowner::regrole),
	', ' ORDER BY oid::regclass::text COLLATE "C") FROM pg_class
	WHERE relnamespace = 'app'::regnamespace AND relname LIKE '%\_\_history'),
	'app.mine__history t48_child, app.theirs__history t48_parent',
	'each history belongs to its table''s owner');
INSERT INTO app.mine VALUES (1, 'a');
SELECT allowed('UPDATE app.theirs SET a = ''b''',
	'the parent''s owner writes through it', 't48_parent');
SELECT is((SELECT string_agg(a, ',') FROM ONLY app.mine__history), 'a',
	'and the child''s history has it');
SELECT is((SELECT count(*) FROM ONLY app.theirs__history), 0::bigint,
	'the parent''s own has nothing');

-- Dropping a parent's history under a tracked child.
CREATE TABLE top (id int PRIMARY KEY, a text);
CREATE TABLE middle (PRIMARY KEY (id)) INHERITS (top);
CREATE TABLE bottom (PRIMARY KEY (id)) INHERITS (middle);
SELECT create_history_table('bottom');
INSERT INTO bottom VALUES (1, 'a');
INSERT INTO top VALUES (2, 'a');
UPDATE top SET a = 'b';
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT drop_history_table(''top'')', '{top}',
	'a parent whose child is tracked keeps its history', 'fitting');
SELECT refused('SELECT drop_history_table(''middle'')', '{middle}',
	'one in the middle as well', 'fitting');
SELECT unchanged(:'before', 'nothing was dropped');
UPDATE top SET a = 'c';
SELECT is((SELECT string_agg(id || a, ',' ORDER BY id, a) FROM top__history),
	'1a,1b,2a,2b', 'and recording went on');
SELECT allowed('SELECT drop_history_table(''bottom'')', 'the child first');
SELECT allowed('SELECT drop_history_table(''middle'')', 'then its parent');
SELECT allowed('SELECT drop_history_table(''top'')', 'then the top');
SELECT create_history_table('bottom');
SELECT is((SELECT string_agg(live_table::text, ',' ORDER BY live_table::text)
	FROM catmaid_history_table WHERE live_table IN ('top'::regclass, 'middle',
	'bottom')), 'bottom,middle,top', 'made again, parents included');
SELECT allowed('SELECT drop_all_history_tables()',
	'dropping all takes hierarchies in the right order');
SELECT is((SELECT string_agg(relname, ',') FROM pg_class
	WHERE relname LIKE '%\_\_history' AND relname <> 'taken__history'), NULL,
	'and leaves none');

-- truncate_history_table empties one table alone.
SELECT create_history_table('bottom');
UPDATE top SET a = 'd';
SELECT is((SELECT count(*) FROM top__history), 2::bigint, 'two versions');
SELECT allowed('SELECT truncate_history_table(''top__history'')',
	'a parent''s history is truncated');
SELECT is((SELECT string_agg(tableoid::regclass::text, ',') FROM top__history),
	'bottom__history', 'ONLY: the child''s versions stay');
SELECT allowed('SELECT truncate_all_history_tables()', 'all are truncated');
SELECT is((SELECT count(*) FROM top__history), 0::bigint, 'and empty');
SELECT is((SELECT count(*) FROM top), 2::bigint, 'live rows stay');

DROP OWNED BY t48_parent, t48_child CASCADE;
DROP ROLE t48_parent, t48_child;
SELECT * FROM finish();
