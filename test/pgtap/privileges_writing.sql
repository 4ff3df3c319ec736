-- Section 7: whoever may write a live table needs no right on its history, and
-- has none; whatever rights he has, complete versions are recorded.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t52_owner;
DROP ROLE IF EXISTS t52_writer;
DROP ROLE IF EXISTS t52_narrow;
CREATE ROLE t52_owner;
CREATE ROLE t52_writer;
CREATE ROLE t52_narrow;
CREATE SCHEMA ext;
CREATE EXTENSION catmaid_history SCHEMA ext;
SET search_path = ext, tap;
SELECT plan(75);

CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO t52_owner, t52_writer, t52_narrow;
CREATE TABLE app.plain (id int PRIMARY KEY, open text, secret text);
CREATE TABLE app.timed (id int PRIMARY KEY, open text, secret text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app.base (id int PRIMARY KEY, open text);
CREATE TABLE app.leaf (secret text, PRIMARY KEY (id)) INHERITS (app.base);
CREATE TABLE app.parted (id int, part int, open text, secret text,
	PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE app.parted1 PARTITION OF app.parted FOR VALUES IN (1);
CREATE TABLE app.parted2 PARTITION OF app.parted FOR VALUES IN (2);
DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY '{plain,timed,base,leaf,parted,parted1,parted2}'::text[] LOOP
		EXECUTE format('ALTER TABLE app.%I OWNER TO t52_owner', r);
	END LOOP;
END $$;
GRANT INSERT, UPDATE, DELETE, TRUNCATE ON app.plain, app.timed, app.base,
	app.parted TO t52_writer;
GRANT SELECT (id), UPDATE (open), INSERT (id, open) ON app.plain, app.timed
	TO t52_narrow;
GRANT DELETE ON app.plain, app.timed TO t52_narrow;
SELECT create_history_table('app.plain');
SELECT create_history_table('app.timed', 'edition_time', 'txid');
SELECT create_history_table('app.leaf');
SELECT create_history_table('app.parted');

-- No access to what is derived.
SELECT ok(NOT has_any_column_privilege(who, rel, p),
	format('%s has no %s on %s', who, p, rel))
FROM unnest('{t52_writer,t52_narrow}'::text[]) who,
	unnest('{app.plain__history,app.plain__tracking,app.plain__with_history,
	app.timed__history}'::text[]) rel,
	unnest('{INSERT,UPDATE}'::text[]) p;
SELECT ok(NOT has_table_privilege('t52_writer', rel, p),
	format('t52_writer has no %s on %s', p, rel))
FROM unnest('{app.plain__history,app.plain__tracking,app.plain__with_history,
	app.timed__history,app.leaf__history,app.base__history,app.parted__history}'::text[]) rel,
	unnest('{SELECT,DELETE,TRUNCATE,TRIGGER}'::text[]) p;
SELECT denied('SELECT * FROM app.plain__history', 'nor reads it', 't52_writer');
SELECT denied($$INSERT INTO app.plain__history VALUES (1, 'forged', 'x')$$,
	'nor forges a version', 't52_writer');

-- All that a writer does is recorded.
SELECT allowed($$INSERT INTO app.plain VALUES (1, 'a', 's1'), (2, 'b', 's2')$$,
	'plain: insert', 't52_writer');
SELECT allowed($$UPDATE app.plain SET open = 'A'$$, 'plain: update', 't52_writer');
SELECT allowed('DELETE FROM app.plain', 'plain: delete', 't52_writer');
SELECT is((SELECT string_agg(id || open || secret, ',' ORDER BY id, open)
	FROM app.plain__history), '1As1,1as1,2As2,2bs2', 'plain: recorded');
SELECT allowed($$INSERT INTO app.plain VALUES (3, 'c', 's3')$$, 'plain: again',
	't52_writer');
SELECT allowed('TRUNCATE app.plain', 'plain: truncate', 't52_writer');
SELECT is((SELECT open || secret FROM app.plain__history WHERE id = 3), 'cs3',
	'plain: what was truncated is recorded');
SELECT allowed($$INSERT INTO app.timed VALUES (1, 'a', 's1'), (2, 'b', 's2')$$,
	'timed: insert', 't52_writer');
SELECT allowed($$UPDATE app.timed SET open = 'A'$$, 'timed: update', 't52_writer');
SELECT allowed('TRUNCATE app.timed', 'timed: truncate', 't52_writer');
SELECT is((SELECT string_agg(id || open || secret, ',' ORDER BY id, open)
	FROM app.timed__history), '1As1,1as1,2As2,2bs2', 'timed: recorded');
INSERT INTO app.leaf VALUES (1, 'a', 's1');
SELECT allowed($$UPDATE app.base SET open = 'A'$$,
	'a parent''s writer has no right on the child', 't52_writer');
SELECT allowed('DELETE FROM app.base', 'and deletes through the parent', 't52_writer');
SELECT is((SELECT string_agg(open || secret, ',' ORDER BY open)
	FROM ONLY app.leaf__history), 'As1,as1', 'the child''s versions are complete');
SELECT allowed($$INSERT INTO app.parted VALUES (1, 1, 'a', 's1')$$,
	'a partitioned table''s writer', 't52_writer');
SELECT allowed('UPDATE app.parted SET part = 2', 'moves a row', 't52_writer');
SELECT allowed('DELETE FROM app.parted', 'and deletes it', 't52_writer');
SELECT is((SELECT string_agg(part || open || secret, ',' ORDER BY part)
	FROM app.parted__history), '1as1,2as1', 'one version for each');

-- Rights on some columns only.
INSERT INTO app.plain VALUES (7, 'a', 'hidden');
INSERT INTO app.timed VALUES (7, 'a', 'hidden');
TRUNCATE app.plain__history, app.timed__history;
SELECT allowed(format('UPDATE app.%s SET open = ''A'' WHERE id = 7', r),
	r || ': an update with rights on some columns', 't52_narrow')
FROM unnest('{plain,timed}'::text[]) r;
SELECT allowed(format('INSERT INTO app.%s (id, open) VALUES (8, ''n'')', r),
	r || ': an insert with rights on some columns', 't52_narrow')
FROM unnest('{plain,timed}'::text[]) r;
SELECT allowed(format('DELETE FROM app.%s WHERE id = 7', r),
	r || ': a delete with rights on some columns', 't52_narrow')
FROM unnest('{plain,timed}'::text[]) r;
SELECT is((SELECT string_agg(id || open || secret, ',' ORDER BY open COLLATE "C")
	FROM app.plain__history), '7Ahidden,7ahidden', 'plain: complete versions');
SELECT is((SELECT string_agg(id || open || secret, ',' ORDER BY open COLLATE "C")
	FROM app.timed__history), '7Ahidden,7ahidden', 'timed: complete versions');
SELECT denied('SELECT secret FROM app.plain', 'the column stays hidden',
	't52_narrow');

-- An owner who gave up all rights of his own on the derived tables, and one
-- who has no USAGE on the schema, does not stop the writers.
REVOKE ALL ON app.plain__history, app.plain__tracking FROM t52_owner;
REVOKE USAGE ON SCHEMA app FROM t52_owner;
SELECT allowed($$INSERT INTO app.plain VALUES (10, 'x', 'y');
	UPDATE app.plain SET open = 'z'; DELETE FROM app.plain; TRUNCATE app.plain$$,
	'writes go on when the owner lost its rights', 't52_writer');
SELECT is((SELECT string_agg(open, ',' ORDER BY open) FROM app.plain__history
	WHERE id = 10), 'x,z', 'and are recorded');

DROP OWNED BY t52_owner, t52_writer, t52_narrow CASCADE;
DROP ROLE t52_owner, t52_writer, t52_narrow;
SELECT * FROM tap.finish();
