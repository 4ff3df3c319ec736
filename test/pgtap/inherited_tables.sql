-- Three levels of inheritance: history tables mirror the hierarchy, and each row
-- lands, complete and once, in the history of the table that holds it.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(24);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE SEQUENCE ids;
-- With a time column (CATMAID's location), and without.
CREATE TABLE loc (id int PRIMARY KEY DEFAULT nextval('ids'), x int,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE node (PRIMARY KEY (id), parent int) INHERITS (loc);
CREATE TABLE soma (PRIMARY KEY (id), size text) INHERITS (node);
CREATE TABLE conn (PRIMARY KEY (id), kind text) INHERITS (loc);
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (PRIMARY KEY (id), bb int) INHERITS (a);
CREATE TABLE c (PRIMARY KEY (id), cc text) INHERITS (b);
CREATE TRIGGER on_edit BEFORE UPDATE ON loc FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TRIGGER on_edit BEFORE UPDATE ON node FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TRIGGER on_edit BEFORE UPDATE ON soma FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TRIGGER on_edit BEFORE UPDATE ON conn FOR EACH ROW EXECUTE FUNCTION on_edit();
SELECT create_history_table('soma', 'edition_time', 'txid');
SELECT create_history_table('conn', 'edition_time', 'txid');
SELECT create_history_table('c');

SELECT set_eq('SELECT live_table::text FROM catmaid_history_table',
	ARRAY['loc', 'node', 'soma', 'conn', 'a', 'b', 'c'], 'parents are set up as well');
SELECT set_eq($$SELECT inhrelid::regclass::text, inhparent::regclass::text FROM pg_inherits
	WHERE inhrelid::regclass::text !~ '__tracking$'$$,
	$$VALUES ('node', 'loc'), ('soma', 'node'), ('conn', 'loc'), ('b', 'a'), ('c', 'b'),
	('node__history', 'loc__history'), ('soma__history', 'node__history'),
	('conn__history', 'loc__history'), ('b__history', 'a__history'), ('c__history', 'b__history')$$,
	'history tables mirror the hierarchy');
SELECT columns_are('soma__history', ARRAY['id', 'x', 'edition_time', 'txid', 'parent', 'size',
	'sys_period', 'exec_transaction_id'], 'a child''s history has all columns of the child');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE time_column = 'edition_time'
	AND txid_column = 'txid' AND tracking_table IS NULL), 4, 'parents have the child''s time column');

INSERT INTO loc (x) VALUES (1), (2);
INSERT INTO node (x, parent) VALUES (3, 33), (4, 44);
INSERT INTO soma (x, parent, size) VALUES (5, 55, 'big'), (6, 66, 'small');
INSERT INTO conn (x, kind) VALUES (7, 'syn'), (8, 'gap');
INSERT INTO a VALUES (1, 'a1'), (2, 'a2');
INSERT INTO b VALUES (3, 'b3', 33), (4, 'b4', 44);
INSERT INTO c VALUES (5, 'c5', 55, 'cc5'), (6, 'c6', 66, 'cc6');
CREATE FUNCTION remember_all(step text) RETURNS void LANGUAGE sql AS $$
	SELECT remember(live_table, step) FROM catmaid_history_table $$;
SELECT remember_all('filled');
-- What a statement added to each history, its own rows only.
CREATE FUNCTION added(x bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE t text; r text; res text := '';
BEGIN
	FOREACH t IN ARRAY ARRAY['loc', 'node', 'soma', 'conn', 'a', 'b', 'c'] LOOP
		EXECUTE format('SELECT string_agg(id::text, '','' ORDER BY id) FROM ONLY %I
			WHERE exec_transaction_id = %s', t || '__history', x) INTO r;
		res := res || coalesce(' ' || t || ':' || r, '');
	END LOOP;
	RETURN ltrim(res);
END $$;

BEGIN;
SELECT txid_current() AS x1 \gset
UPDATE loc SET x = x * 10;
UPDATE a SET v = upper(v);
COMMIT;
SELECT remember_all('all updated');
SELECT is(added(:x1), 'loc:1,2 node:3,4 soma:5,6 conn:7,8 a:1,2 b:3,4 c:5,6',
	'UPDATE of the top: each row in its table''s own history');
SELECT results_eq('SELECT x, parent, size FROM soma__history ORDER BY x',
	$$VALUES (5, 55, 'big'), (6, 66, 'small')$$, 'complete, with the child''s columns');
SELECT results_eq('SELECT v, bb, cc FROM c__history ORDER BY 1',
	$$VALUES ('c5', 55, 'cc5'), ('c6', 66, 'cc6')$$, 'complete, tracking table');
SELECT is((SELECT count(*)::int FROM loc__history), 8,
	'the top''s history shows the children''s rows, once');
SELECT is((SELECT count(*)::int FROM loc WHERE txid = :x1), 8,
	'the txid column of children is written too');

BEGIN;
SELECT txid_current() AS x2 \gset
UPDATE node SET parent = -parent WHERE id IN (4, 5);
DELETE FROM loc WHERE id IN (1, 3, 6, 7);
DELETE FROM b WHERE id IN (2, 3, 5);
UPDATE ONLY a SET v = 'only';
COMMIT;
SELECT remember_all('some');
SELECT is(added(:x2), 'loc:1 node:3,4 soma:5,6 conn:7 a:1,2 b:3 c:5',
	'DELETE and UPDATE from the top, from the middle and ONLY');
BEGIN;
SELECT txid_current() AS x3 \gset
UPDATE soma SET size = 'direct';
UPDATE c SET cc = 'direct', id = 60;
COMMIT;
SELECT remember_all('direct');
SELECT is(added(:x3), 'soma:5 c:6', 'UPDATE of the child itself');
SELECT is((SELECT count(*)::int FROM c__tracking WHERE live_pk = 60), 1, 'a child''s key changes');

-- The same key in several tables of the hierarchy, with different starts.
INSERT INTO a VALUES (100, 'of a');
INSERT INTO b VALUES (100, 'of b', 1);
INSERT INTO c VALUES (100, 'of c', 1, 'c');
SELECT remember_all('thrice');
SELECT is((SELECT count(*)::int FROM a__with_history WHERE id = 100), 3,
	'a key that is in three tables is three rows of the parent''s view');
SELECT is((SELECT count(DISTINCT lower(sys_period))::int FROM a__with_history WHERE id = 100), 3,
	'each with its own start');
SELECT is((SELECT lower(p.sys_period) = lower(o.sys_period) FROM a__with_history p,
	c__with_history o WHERE p.v = 'of c' AND o.id = 100), true, 'the one that it has in its own view');
UPDATE a SET v = v || '!' WHERE id = 100;
SELECT remember_all('thrice updated');
SELECT is((SELECT count(DISTINCT lower(sys_period))::int FROM a__history WHERE id = 100), 3,
	'and so do their old versions');
DELETE FROM ONLY a WHERE id = 100;
SELECT remember_all('twice');
SELECT is((SELECT count(*)::int FROM ONLY b__tracking WHERE live_pk = 100) +
	(SELECT count(*)::int FROM ONLY c__tracking WHERE live_pk = 100), 2,
	'DELETE of the parent''s row leaves the children''s tracking rows');

SELECT columns_are('a__with_history', ARRAY['id', 'v', 'sys_period', 'exec_transaction_id', 'start_transaction_id'],
	'a parent''s view has the parent''s columns');
SELECT is((SELECT count(*)::int FROM catmaid_history_table h,
	LATERAL (SELECT FROM remembered r WHERE r.rel = h.live_table LIMIT 1) s), 7, 'all were remembered');
SELECT is_empty($$SELECT h.live_table, m.* FROM catmaid_history_table h,
	LATERAL misremembered(h.live_table) m$$,
	'as-of queries equal every table of the hierarchies at every step');

-- Dropping: a parent cannot go before its child.
SELECT is((state <> 'none' AND hint <> '')::text, 'true',
	'the history of a parent whose child is tracked cannot be dropped, with a hint')
	FROM error_of($$SELECT drop_history_table('b')$$);
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 7, 'nothing was dropped');
SELECT drop_history_table('c');
SELECT drop_history_table('b');
SELECT is((SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
	WHERE relname ~ '^[abc]__' AND relkind IN ('r', 'v')), 'a__history a__tracking a__with_history',
	'the child''s first, then the parent''s');
UPDATE a SET v = 'last';
SELECT is((SELECT count(*)::int FROM a__history WHERE exec_transaction_id =
	(SELECT max(exec_transaction_id) FROM a__history)), 2, 'children without history are not recorded');

SELECT * FROM finish();
