-- How long a history is kept, and in what pieces; and what is erased from it.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/error_of.psql
CREATE FUNCTION failure(cmd text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || msg FROM public.error_of(cmd) $$;

SELECT plan(55);

CREATE TABLE doc (id int PRIMARY KEY, v text);
SELECT create_history_table('doc');
INSERT INTO doc SELECT i, 'v' FROM generate_series(1, 10) i;
UPDATE doc SET v = 'w';

-- Said, and said otherwise.
SELECT set_history_retention('doc', '10 years', '1 day');
CALL maintain_history();
SELECT is((SELECT count(*) FROM catmaid_history_segments), 0::bigint, 'nothing is due');
UPDATE catmaid_history_table SET creation_time = creation_time - interval '2 days' WHERE live_table = 'doc'::regclass;
CALL maintain_history();
SELECT is((SELECT string_agg(segment::text || ' ' || verified, ',') FROM catmaid_history_segments), 'doc__history_1 true',
	'a history that has gone on for as long is rotated, and its bound verified');
CALL maintain_history();
SELECT is((SELECT count(*) FROM catmaid_history_segments), 1::bigint, 'once');

-- What has ended longer ago than it is kept.
CREATE FUNCTION age_by(days int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	s regclass;
BEGIN
	FOR s IN SELECT segment FROM catmaid_history_segments WHERE live_table = 'doc'::regclass LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT catmaid_history_segment, ADD CONSTRAINT catmaid_history_segment CHECK (true) NO INHERIT', s);
		EXECUTE format('UPDATE %s SET sys_period = tstzrange(lower(sys_period) - make_interval(days => %s), upper(sys_period) - make_interval(days => %2$s))', s, days);
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT catmaid_history_segment, ADD CONSTRAINT catmaid_history_segment CHECK (NOT upper_inf(sys_period) AND upper(sys_period) <= %L::timestamptz) NO INHERIT',
			s, now() - make_interval(days => days));
	END LOOP;
END $$;
SELECT age_by(3);
UPDATE doc SET v = 'x';
CALL maintain_history();
SELECT is((SELECT string_agg(segment::text, ',' ORDER BY ended_by) FROM catmaid_history_segments), 'doc__history_1,doc__history_2', 'the next is due, nothing is old');
SELECT set_history_retention('doc', '2 days', '1 month');
CALL maintain_history();
SELECT is((SELECT string_agg(segment::text, ',' ORDER BY ended_by) FROM catmaid_history_segments), 'doc__history_2', 'a segment that has ended longer ago goes');
SELECT is((SELECT count(*) FROM doc__history), 10::bigint, 'with its versions');
UPDATE doc SET v = 'y';
SELECT is(rotate_history('doc')::text, 'doc__history_3', 'its name is not given to another one');

-- A clock that went back: the bound is what the versions say.
UPDATE doc SET v = 'z';
SELECT rotate_history('doc') \g /dev/null
INSERT INTO doc__history (id, v, sys_period) VALUES (77, 'late', tstzrange(now(), now() + interval '1 hour'));
SELECT rotate_history('doc') \g /dev/null
SELECT is((SELECT verified FROM catmaid_history_segments WHERE segment = 'doc__history_5'::regclass), false, 'a version that ends later');
CALL maintain_history();
SELECT is((SELECT verified || ' ' || (ended_by > now() + interval '59 minutes') FROM catmaid_history_segments WHERE segment = 'doc__history_5'::regclass),
	'true true', 'the bound is later than it');
SELECT is((SELECT count(*) FROM doc__with_history WHERE sys_period @> now() + interval '1 minute' AND id = 77), 1::bigint, 'and it is found');

-- A history that is not cut.
CREATE TABLE plain (id int PRIMARY KEY, v text);
SELECT create_history_table('plain');
INSERT INTO plain VALUES (1, 'a'), (2, 'b');
INSERT INTO plain__history (id, v, sys_period, exec_transaction_id) VALUES (1, 'old', tstzrange(now() - interval '9 days', now() - interval '8 days'), 5),
	(1, 'old, made and ended', 'empty', 4), (2, 'younger', tstzrange(now() - interval '8 days', now() - interval '1 day'), 6),
	(2, 'younger, made and ended', 'empty', 7), (2, 'nobody knows since when', tstzrange(NULL, now() - interval '7 days'), 5);
SELECT set_history_retention('plain', '3 days');
CALL maintain_history();
SELECT is((SELECT string_agg(v, ', ' ORDER BY v) FROM plain__history), 'younger, younger, made and ended', 'versions are deleted');
ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
ALTER TABLE plain FORCE ROW LEVEL SECURITY;
UPDATE plain__history SET sys_period = tstzrange(NULL, now() - interval '4 days') WHERE v = 'younger';
CREATE ROLE kept_owner;
GRANT CREATE, USAGE ON SCHEMA public TO kept_owner;
GRANT USAGE ON SCHEMA tap TO kept_owner;
ALTER TABLE plain OWNER TO kept_owner;
ALTER TABLE doc OWNER TO kept_owner;
SET ROLE kept_owner;
CALL maintain_history();
SELECT is((SELECT count(*) FROM catmaid_history_segments WHERE live_table = 'doc'::regclass), 4::bigint, 'an owner maintains');
RESET ROLE;
SELECT is((SELECT string_agg(v, ', ' ORDER BY v) FROM plain__history), 'younger, made and ended', 'policies that are forced do not matter');
SELECT set_history_retention('plain', NULL);
SELECT is((SELECT count(*) FROM catmaid_history_internal.catmaid_history_retention), 1::bigint, 'for ever again');

-- Errors, and others.
SELECT is(failure('SELECT set_history_retention(''doc'', ''-1 day'')'),
	'22023 how long a history is kept, and in what pieces, must be positive intervals', 'a negative interval');
SELECT is(failure('SELECT set_history_retention(''doc'', ''1 day'', ''0'')'),
	'22023 how long a history is kept, and in what pieces, must be positive intervals', 'none');
SELECT is(failure('SELECT set_history_retention(''pg_class'', ''1 day'')'), '42704 table "pg_class" has no history', 'a table without a history');
CREATE ROLE kept_stranger;
GRANT USAGE ON SCHEMA tap TO kept_stranger;
SET ROLE kept_stranger;
SELECT is(failure('SELECT set_history_retention(''doc'', ''1 day'')'), '42501 must be owner of table doc', 'a stranger');
CALL public.maintain_history();
RESET ROLE;
SELECT is((SELECT count(*) FROM catmaid_history_segments WHERE live_table = 'doc'::regclass), 4::bigint, 'others'' tables are not maintained');
GRANT ALL ON SCHEMA catmaid_history_internal TO kept_stranger;
GRANT SELECT, INSERT ON catmaid_history_internal.catmaid_history_retention TO kept_stranger;
DELETE FROM catmaid_history_internal.catmaid_history_retention;
SET ROLE kept_stranger;
INSERT INTO catmaid_history_internal.catmaid_history_retention (name, keep) VALUES ('public.doc', '1 us');
RESET ROLE;
SELECT is_empty('SELECT * FROM catmaid_history_internal.catmaid_history_retention', 'whoever restores a dump says nothing of others'' tables');
REVOKE ALL ON SCHEMA catmaid_history_internal FROM kept_stranger;
REVOKE ALL ON catmaid_history_internal.catmaid_history_retention FROM kept_stranger;

-- Within a transaction: all or nothing.
SELECT set_history_retention('doc', '1 us', '1 us');
SELECT count(*) AS before FROM doc__history \gset
BEGIN;
CALL maintain_history();
ROLLBACK;
SELECT is((SELECT count(*) FROM doc__history), :before::bigint, 'in a transaction that is rolled back');
-- What cannot be done is told, and the rest goes on.
CREATE VIEW upon AS SELECT * FROM doc__history_2;
SET client_min_messages = error;
CALL maintain_history();
SET client_min_messages = warning;
SELECT is((SELECT string_agg(segment::text, ',' ORDER BY ended_by) FROM catmaid_history_segments) ~ 'doc__history_2', true, 'what others have built on stays');
DROP VIEW upon;
CALL maintain_history();
SELECT is((SELECT string_agg(segment::text, ',') FROM catmaid_history_segments), 'doc__history_5', 'but what ends later, all go');
SELECT set_history_retention('doc', NULL, NULL);

-- What is said of a history ends with it.
CREATE TABLE short (id int PRIMARY KEY, v text);
SELECT create_history_table('short');
SELECT set_history_retention('short', '1 us');
SELECT drop_history_table('short');
SELECT create_history_table('short');
INSERT INTO short VALUES (1, 'a'); UPDATE short SET v = 'b';
CALL maintain_history();
SELECT is((SELECT count(*) FROM short__history), 1::bigint, 'nobody has asked to shorten another history');
SELECT set_history_retention('short', '1 us');
DROP TABLE short CASCADE;
SELECT is_empty('SELECT * FROM catmaid_history_internal.catmaid_history_retention WHERE live_table <> ''doc''::regclass', 'nor of a table that comes later');

-- What an owner makes of a history stops nobody.
CREATE TABLE broken (id int PRIMARY KEY, v text);
CREATE FUNCTION break_and_maintain(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text;
BEGIN
	PERFORM create_history_table('broken');
	INSERT INTO broken__history (id, sys_period, exec_transaction_id) VALUES (1, '[2020-01-01,2021-01-01)', 3);
	PERFORM set_history_retention('broken', '1 us');
	EXECUTE sql;
	CALL maintain_history();
	SELECT string_agg(id::text, ',' ORDER BY id) INTO said FROM broken__history;
	PERFORM drop_history_table('broken');
	RETURN said;
END $$;
SET client_min_messages = error;
SELECT is(break_and_maintain('ALTER TABLE broken__history DROP sys_period CASCADE'), '1', 'a history without its period: no version goes');
SELECT is(break_and_maintain('ALTER TABLE broken__history DROP sys_period CASCADE; ALTER TABLE broken__history ADD sys_period bigint DEFAULT 4096'), '1', 'nor with another thing of that name');
SELECT is(break_and_maintain('ALTER TABLE broken__history ALTER sys_period DROP NOT NULL, ALTER exec_transaction_id DROP NOT NULL;
	INSERT INTO broken__history (id, sys_period, exec_transaction_id) VALUES (10, NULL, 5), (11, ''empty'', NULL)'), '10,11', 'and none of which nothing is known');
-- (another cluster's transaction ids are higher)
SELECT is(break_and_maintain($$INSERT INTO broken__history (id, sys_period, exec_transaction_id) VALUES (5, '[2019-01-01,2020-01-01)', 1000000000), (6, 'empty', 999), (7, '[2020-01-01,2199-01-01)', 500), (8, 'empty', 2)$$), '6,7', 'an empty period goes only between others of this cluster');
SET client_min_messages = warning;

-- One segment that cannot be verified is alone in that; and no time to come puts off the next one.
CREATE TABLE odd (id int PRIMARY KEY, v text);
SELECT create_history_table('odd');
INSERT INTO odd VALUES (1, 'a');
INSERT INTO odd__history (id, sys_period, exec_transaction_id) VALUES (5, '[2020-01-01,)', 1);
SELECT rotate_history('odd') \g /dev/null
INSERT INTO odd__history (id, sys_period, exec_transaction_id) VALUES (5, '[2020-01-01,2200-01-01)', 1);
SELECT rotate_history('odd') \g /dev/null
UPDATE odd SET v = 'b';
SELECT set_history_retention('odd', '100 years', '1 us');
SET client_min_messages = error;
CALL maintain_history();
SET client_min_messages = warning;
SELECT is((SELECT string_agg(segment || ' ' || verified || ' ' || (ended_by > '2100-01-01'), ', ' ORDER BY segment::text) FROM catmaid_history_segments WHERE live_table = 'odd'::regclass),
	'odd__history_1 false false, odd__history_2 true true, odd__history_3 true false', 'the others are verified, and the history is rotated');

-- Nobody takes a segment away by mistake.
SELECT is(failure('ALTER TABLE odd__history_2 NO INHERIT odd__history'), '2BP01 cannot take segment "odd__history_2" away from the history of table "odd" while it is tracked', 'NO INHERIT');
SELECT is(failure('ALTER TABLE odd__history_2 DROP CONSTRAINT catmaid_history_segment'), '2BP01 cannot take segment "odd__history_2" away from the history of table "odd" while it is tracked', 'DROP CONSTRAINT');
SELECT is(failure('ALTER TABLE odd__history_2 RENAME CONSTRAINT catmaid_history_segment TO mine'), '2BP01 cannot take segment "odd__history_2" away from the history of table "odd" while it is tracked', 'RENAME CONSTRAINT');
SELECT disable_history_tracking_for_table('odd');
SELECT is(failure('ALTER TABLE odd__history_3 DROP CONSTRAINT catmaid_history_segment'), NULL, 'the hint leads out');
SELECT hint AS typed FROM check_history('odd') WHERE finding = 'segment_without_constraint' AND object = 'odd__history_3' \gset
SELECT is(failure(:'typed'), NULL, 'check_history() finds it, and how to mend it');
SELECT is_empty('SELECT * FROM check_history(''odd'') WHERE finding = ''segment_without_constraint''', 'mended');
SELECT failure('ALTER TABLE odd__history_2 NO INHERIT odd__history');
SELECT hint AS typed FROM check_history('odd') WHERE finding = 'segment_apart' AND object = 'odd__history_2' \gset
SELECT is(failure(:'typed'), NULL, 'nor by NO INHERIT while nobody follows');
SELECT is_empty('SELECT * FROM check_history(''odd'') WHERE finding ~ ''^segment''', 'the hint leads out');
SELECT failure('ALTER TABLE odd__history_2 NO INHERIT odd__history');
SELECT is(failure('DROP TABLE odd__history_2'), NULL, 'and the session knows that it is none any more');
SELECT is((SELECT count(*) FROM odd__with_history), 3::bigint, 'the view goes on');
DROP TABLE odd CASCADE;

-- Erasure.
CREATE TABLE person (id int, born text, name text, PRIMARY KEY (id, born));
SELECT create_history_table('person');
INSERT INTO person VALUES (1, 'a', 'Sofia'), (2, 'a', 'Karl'), (1, 'b', 'Carl');
UPDATE person SET name = name || '!';
SELECT rotate_history('person') \g /dev/null
UPDATE person SET name = name || '!';
SELECT rotate_history('person') \g /dev/null
DELETE FROM person WHERE id = 1 AND born = 'a';
SELECT is(failure('SELECT erase_history(''person'', ''{"id": 1}'', ''why'')'), '22023 this is not a primary key of table "person"', 'the whole key');
SELECT is(failure('SELECT erase_history(''person'', ''[1]'', ''why'')'), '22023 this is not a primary key of table "person"', 'an object');
SELECT is(failure('SELECT erase_history(''person'', ''{"id": 1, "born": "a"}'', NULL)'), '22004 key and reason of an erasure must not be NULL', 'a reason');
SELECT is(failure('SELECT erase_history(''person'', ''{"id": "x", "born": "a"}'', ''why'')'), '22P02 invalid input syntax for type integer: "x"', 'a value of the type');
SELECT is(erase_history('person', '{"id": 1, "born": "a"}', 'she has asked'), 3::bigint, 'all versions');
SELECT is((SELECT count(*) FROM person__history WHERE id = 1 AND born = 'a'), 0::bigint, 'are gone from head and segments');
SELECT is((SELECT count(*) FROM person__history), 4::bigint, 'others are not');
SELECT is((SELECT live_table || ' ' || reason || ' ' || versions || ' ' || (erased_by = session_user) || ' ' || (erased_at <= now()) FROM catmaid_history_erasures),
	'public.person she has asked 3 true true', 'an entry says how many, and why');
BEGIN;
SELECT is(erase_history('person', '{"id": 1, "born": "a"}', 'again'), 0::bigint, 'again');
SELECT ok(max(erased_at) > now(), 'when it was done, not when the transaction began') FROM catmaid_history_erasures;
COMMIT;
ALTER TABLE person ENABLE ROW LEVEL SECURITY;
ALTER TABLE person FORCE ROW LEVEL SECURITY;
ALTER TABLE person OWNER TO kept_owner;
SET ROLE kept_owner;
SELECT is(erase_history('person', '{"id": 2, "born": "a"}', 'policies'), 2::bigint, 'policies that are forced do not matter');
RESET ROLE;
SET ROLE kept_stranger;
SELECT is((SELECT count(*) FROM public.catmaid_history_erasures), 0::bigint, 'whoever may not read the table does not read what was erased');
RESET ROLE;
SELECT is((SELECT count(*) FROM catmaid_history_erasures), 3::bigint, 'each erasure has its entry');
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE leaf (v text, PRIMARY KEY (id)) INHERITS (base);
SELECT create_history_table('leaf');
INSERT INTO leaf VALUES (1, 'a');
UPDATE base SET id = 1;
DELETE FROM base;
SELECT is(erase_history('base', '{"id": 1}', 'a child''s row'), 2::bigint, 'through the parent');
SELECT is_empty('SELECT * FROM leaf__history', 'in the child''s history');

SELECT * FROM finish();
DROP TABLE doc, plain, person, base CASCADE;
DROP OWNED BY kept_owner, kept_stranger;
DROP ROLE kept_owner, kept_stranger;
