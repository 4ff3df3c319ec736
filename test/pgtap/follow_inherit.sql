-- Section 5, INHERIT and NO INHERIT: the hierarchy of histories follows.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(52);
-- The parents of the derived tables of a table.
CREATE FUNCTION tap.above(live text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(inhparent::regclass::text, ' ' ORDER BY inhparent::regclass::text
		COLLATE "C"), '') FROM pg_inherits
	WHERE inhrelid IN (to_regclass(live || '__history'), to_regclass(live || '__tracking')) $$;

CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (id int PRIMARY KEY, v text, extra int);
CREATE TABLE tbase (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE tleaf (PRIMARY KEY (id)) INHERITS (tbase);
CREATE TABLE plain (id int PRIMARY KEY, v text, n int);
SELECT create_history_table(r) FROM unnest('{base,leaf}'::text[]) r;
SELECT create_history_table('tleaf', 'edition_time', 'txid');
INSERT INTO base VALUES (1, 'base');
INSERT INTO leaf VALUES (2, 'leaf', 7);
INSERT INTO tbase VALUES (1, 'base');
INSERT INTO tleaf VALUES (2, 'leaf');
UPDATE leaf SET v = 'leaf2';
UPDATE tbase SET v = v || '2';
SELECT is(above('tleaf'), 'tbase__history', 'the check itself');
SELECT is(above('leaf'), '', 'the check itself');

-- INHERIT.
ALTER TABLE leaf INHERIT base;
SELECT is(above('leaf'), 'base__history base__tracking', 'INHERIT: histories and tracking tables');
SELECT is((SELECT string_agg(v, ' ') FROM base__history), 'leaf',
	'the parent''s history shows the old versions of the child');
SELECT is((SELECT string_agg(v, ' ' ORDER BY v) FROM base__with_history
	WHERE sys_period @> clock_timestamp()), 'base leaf2', 'the view as of now, both');
UPDATE base SET v = v || '+';
SELECT is((SELECT string_agg(v || coalesce(extra::text, ''), ' ' ORDER BY v) FROM leaf__history),
	'leaf7 leaf27', 'a change through the parent is recorded, complete');
SELECT is((SELECT string_agg(v, ' ' ORDER BY v) FROM ONLY base__history), 'base',
	'in the history of the table that has the row');
SELECT whole('leaf', 'the child is in line');
SELECT is(misplaced('base'), '', 'the parent, too');
ALTER TABLE base ADD COLUMN n int DEFAULT 5;
UPDATE base SET v = v || '!';
SELECT whole('leaf', 'a column that comes through the new parent');

-- NO INHERIT.
ALTER TABLE leaf NO INHERIT base;
SELECT is(above('leaf'), '', 'NO INHERIT');
SELECT is((SELECT string_agg(DISTINCT id::text, ' ') FROM base__history), '1',
	'the parent''s history has its own rows alone');
SELECT is((SELECT string_agg(DISTINCT id::text, ' ') FROM base__with_history), '1',
	'and so has its view');
SELECT whole('leaf', 'the former child');
SELECT whole('base', 'the former parent');
BEGIN;
ALTER TABLE leaf INHERIT base;
ROLLBACK;
SELECT is(above('leaf'), '', 'rolled back');
DO $$BEGIN ALTER TABLE leaf INHERIT base; ALTER TABLE leaf NO INHERIT base; END$$;
SELECT is(above('leaf'), '', 'there and back in one block');
SELECT whole('leaf', 'unharmed');

-- With a time column.
ALTER TABLE tleaf NO INHERIT tbase;
SELECT is(above('tleaf'), '', 'with a time column: NO INHERIT');
SELECT whole('tbase', 'the former parent');
ALTER TABLE tleaf INHERIT tbase;
SELECT is(above('tleaf'), 'tbase__history', 'and INHERIT again');
SELECT whole('tleaf', 'the child');

-- What cannot follow, and what need not.
CREATE TABLE other (id int, v text);
ALTER TABLE other ADD PRIMARY KEY (id);
SELECT create_history_table('other');
ALTER TABLE leaf INHERIT base;
SELECT refused('ALTER TABLE leaf INHERIT other', '{leaf}', 'a second parent', 'fitting');
SELECT is(above('leaf'), 'base__history base__tracking', 'and nothing has changed');
ALTER TABLE leaf NO INHERIT base;
SELECT allowed('ALTER TABLE leaf INHERIT plain', 'an untracked parent');
UPDATE plain SET v = 'through plain';
SELECT is((SELECT count(*)::int FROM leaf__history WHERE v <> 'through plain'
	AND upper(sys_period) = (SELECT max(upper(sys_period)) FROM leaf__history)), 1,
	'changes through it are recorded');
ALTER TABLE leaf NO INHERIT plain;
SELECT allowed('ALTER TABLE plain INHERIT base', 'an untracked child');
SELECT allowed('INSERT INTO plain VALUES (50, ''p'', 1)', 'it goes on unrecorded');
SELECT whole('leaf', 'the others are as they were');
-- A child whose time column is not the parent's way of tracking.
CREATE TABLE mixed (id int PRIMARY KEY, v text, n int,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
SELECT create_history_table('mixed', 'edition_time', 'txid', copy_inheritance => false);
SELECT allowed('ALTER TABLE mixed INHERIT base', 'a child with a time column, a parent without');
SELECT is(above('mixed'), 'base__history', 'its history is below the parent''s');

-- A parent whose history has a kept column.
CREATE TABLE keeper (id int PRIMARY KEY, v text, w text);
CREATE TABLE late (PRIMARY KEY (id)) INHERITS (keeper);
SELECT create_history_table('keeper');
SET catmaid_history.on_drop_column = keep;
ALTER TABLE keeper DROP COLUMN w;
SELECT lives_ok('SELECT create_history_table(''late'')', 'a child is tracked below a history with a kept column');
RESET catmaid_history.on_drop_column;

-- A parent whose history lacks a column, tracking of it being off.
CREATE TABLE adrift (id int PRIMARY KEY, v text);
CREATE TABLE below (PRIMARY KEY (id)) INHERITS (adrift);
SELECT create_history_table('adrift');
SELECT disable_history_tracking_for_table('adrift');
ALTER TABLE adrift ADD COLUMN w text;
SELECT lives_ok('SELECT create_history_table(''below'')', 'a child is tracked below a history that lacks a column');
INSERT INTO below VALUES (1, 'v', 'w');
SELECT whole('below', 'and recorded');
SELECT lives_ok('SELECT enable_history_tracking_for_table(''adrift'')', 'the parent''s tracking is enabled');
SELECT is((SELECT array_agg(w) FROM adrift__with_history WHERE id = 1 AND upper_inf(sys_period)), '{w}', 'and its view shows the child''s rows');

-- The key's type, in a hierarchy: tracking tables follow, and stay below each other.
CREATE TABLE kb (id int PRIMARY KEY, v text);
-- (With the key in CREATE TABLE, PostgreSQL 18 refuses to change its type, whoever asks.)
CREATE TABLE kl (more text) INHERITS (kb);
ALTER TABLE kl ADD PRIMARY KEY (id);
CREATE TABLE kk () INHERITS (kl);
ALTER TABLE kk ADD PRIMARY KEY (id);
SELECT create_history_table('kk');
INSERT INTO kb VALUES (1, 'a');
INSERT INTO kl VALUES (2, 'b');
INSERT INTO kk VALUES (3, 'c');
ALTER TABLE kb ALTER COLUMN id TYPE bigint;
SELECT follows(t, t || ' follows when a parent''s key changes its type') FROM unnest('{kb,kl,kk}'::text[]) t;
SELECT is((SELECT string_agg(inhrelid::regclass || ' ' || inhparent::regclass, ', ' ORDER BY inhrelid::regclass::text)
	FROM pg_inherits WHERE inhrelid::regclass::text ~ '^k.__tracking$'),
	'kk__tracking kl__tracking, kl__tracking kb__tracking', 'the tracking tables inherit as before');
-- A kept column of the parent's history gives way to a column of the child's own.
CREATE TABLE giver (id int PRIMARY KEY, v text, w text);
CREATE TABLE taker (w_1 int, PRIMARY KEY (id)) INHERITS (giver);
SELECT create_history_table('giver');
INSERT INTO giver VALUES (1, 'v', 'w');
UPDATE giver SET v = 'vv';
SET catmaid_history.on_drop_column = keep;
ALTER TABLE giver DROP COLUMN w;
INSERT INTO taker VALUES (2, 'v', 5);
SELECT lives_ok('SELECT create_history_table(''taker'')', 'a child with a column of a kept one''s name is tracked');
SELECT follows('taker', 'and recorded', '{w_2 text}');
SELECT is((SELECT array_agg(w_2) FROM ONLY giver__history WHERE w_2 IS NOT NULL), '{w}', 'what was kept is there, under its next name');
-- So by INHERIT, where each side has kept something by the other's names.
ALTER TABLE taker NO INHERIT giver;
ALTER TABLE taker ADD COLUMN w_2 int, ADD COLUMN x int DEFAULT 6;
UPDATE taker SET v = 'vvv';
ALTER TABLE giver ADD COLUMN x text DEFAULT 'x';
UPDATE ONLY giver SET v = 'w';
ALTER TABLE giver DROP COLUMN x;
ALTER TABLE taker DROP COLUMN x;
SELECT is((SELECT x_1 FROM ONLY giver__history WHERE x_1 IS NOT NULL), 'x', 'the parent has kept one of the same name and another type');
UPDATE taker SET v = v;
SELECT lives_ok('ALTER TABLE taker INHERIT giver', 'INHERIT where both have kept columns of one name');
SELECT is((SELECT string_agg(DISTINCT x, ',') FROM (SELECT to_jsonb(h) ->> 'x_1' AS x FROM ONLY taker__history h
	UNION ALL SELECT to_jsonb(h) ->> 'x_2' FROM ONLY taker__history h) AS k), '6', 'what the child had kept is there');
INSERT INTO giver VALUES (11, 'v');
SELECT is(above('taker'), 'giver__history giver__tracking', 'its history and tracking table are below the parent''s');
UPDATE giver SET v = 'z';
SELECT is((SELECT count(*)::int FROM ONLY taker__history WHERE w_2 IS NULL AND w_1 = 5 AND v = 'vvv'), 2, 'and a change through the parent is recorded');
RESET catmaid_history.on_drop_column;

-- What a site has added to the history of a parent, a child that comes later has too.
CREATE TABLE adorned (id int PRIMARY KEY, v text);
SELECT create_history_table('adorned');
CREATE SCHEMA site;
CREATE FUNCTION site.note() RETURNS text LANGUAGE sql AS $$SELECT text 'its'$$;
ALTER TABLE adorned__history ADD ended timestamptz GENERATED ALWAYS AS (upper(sys_period)) STORED,
	ADD note text NOT NULL DEFAULT site.note();
CREATE TABLE adorned_child (PRIMARY KEY (id)) INHERITS (adorned);
INSERT INTO adorned_child VALUES (1, 'a');
SELECT lives_ok('SELECT create_history_table(''adorned_child'')', 'a child of a parent whose history has columns of the site''s');
CREATE TABLE joining (id int PRIMARY KEY, v text);
SELECT create_history_table('joining');
INSERT INTO joining VALUES (2, 'b');
UPDATE joining SET v = 'bb';
SELECT lives_ok('ALTER TABLE joining INHERIT adorned', 'and one that joins it');
UPDATE adorned SET v = v || '!';
SELECT results_eq('SELECT v, ended = upper(sys_period), note FROM adorned__history ORDER BY 1',
	$$VALUES ('a', true, 'its'), ('b', true, 'its'), ('bb', true, 'its')$$, 'have them, with what is on them');
SELECT is(misplaced('adorned_child') || misplaced('joining'), '', 'all is in its place');

SELECT * FROM finish();
