-- Foreign-key actions change rows of tables that the statement does not name.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(23);

CREATE TABLE p (id int PRIMARY KEY, v text);
CREATE TABLE casc (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE deep (id int PRIMARY KEY, c int REFERENCES casc ON DELETE CASCADE,
	edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE nul (id int PRIMARY KEY, p int REFERENCES p ON DELETE SET NULL ON UPDATE SET NULL);
CREATE TABLE def (id int PRIMARY KEY, p int DEFAULT 0 REFERENCES p
	ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
CREATE TABLE late (id int PRIMARY KEY, p int REFERENCES p
	ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE keyed (p int PRIMARY KEY REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE, v text);
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE
	ON UPDATE CASCADE);
SELECT create_history_table(t) FROM unnest(ARRAY['p', 'casc', 'nul', 'def', 'late',
	'keyed', 'tree']::regclass[]) t;
SELECT create_history_table('deep', 'edition_time', 'txid');
CREATE FUNCTION remember_all(step text) RETURNS void LANGUAGE sql AS $$
	SELECT remember(live_table, step) FROM catmaid_history_table $$;

INSERT INTO p SELECT i, 'p' || i FROM generate_series(0, 5) i;
INSERT INTO casc VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO deep VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO nul VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO def VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO late VALUES (1, 1), (2, 2);
INSERT INTO keyed VALUES (1, 'k1'), (2, 'k2'), (3, 'k3');
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, NULL);
SELECT remember_all('filled');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 8, 'eight tracked tables');

BEGIN;
SELECT txid_current() AS x1, now() AS t1 \gset
DELETE FROM p WHERE id = 1;
COMMIT;
SELECT remember_all('deleted');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM casc__history
	WHERE exec_transaction_id = :x1), '1:1 2:1', 'ON DELETE CASCADE');
SELECT is((SELECT string_agg(id || ':' || c, ' ' ORDER BY id) FROM deep__history
	WHERE exec_transaction_id = :x1), '1:1 2:2', 'ON DELETE CASCADE, a second step');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM nul__history
	WHERE exec_transaction_id = :x1), '1:1 2:1', 'ON DELETE SET NULL');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM def__history
	WHERE exec_transaction_id = :x1), '1:1 2:1', 'ON DELETE SET DEFAULT');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM late__history
	WHERE exec_transaction_id = :x1), '1:1', 'ON DELETE CASCADE of a deferred key');
SELECT is((SELECT string_agg(p || ':' || v, ' ') FROM keyed__history
	WHERE exec_transaction_id = :x1), '1:k1', 'ON DELETE CASCADE of a key that is the primary key');
SELECT is((SELECT bool_and(upper(sys_period) = :'t1') FROM (
	SELECT sys_period FROM casc__history UNION ALL SELECT sys_period FROM nul__history
	UNION ALL SELECT sys_period FROM def__history UNION ALL SELECT sys_period FROM deep__history
	UNION ALL SELECT sys_period FROM late__history UNION ALL SELECT sys_period FROM keyed__history
	) s), true, 'all ended at that transaction''s time');

BEGIN;
SELECT txid_current() AS x2 \gset
UPDATE p SET id = id + 100 WHERE id IN (2, 3);
COMMIT;
SELECT remember_all('moved');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM casc__history
	WHERE exec_transaction_id = :x2), '3:2', 'ON UPDATE CASCADE');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM nul__history
	WHERE exec_transaction_id = :x2), '3:2', 'ON UPDATE SET NULL');
SELECT is((SELECT string_agg(id || ':' || p, ' ' ORDER BY id) FROM def__history
	WHERE exec_transaction_id = :x2), '3:2', 'ON UPDATE SET DEFAULT');
SELECT is((SELECT string_agg(p || ':' || v, ' ' ORDER BY p) FROM keyed__history
	WHERE exec_transaction_id = :x2), '2:k2 3:k3', 'ON UPDATE CASCADE of a primary key');
SELECT set_eq('SELECT live_pk FROM keyed__tracking', 'VALUES (102), (103)',
	'the tracking rows move along');

-- A tree that refers to itself.
BEGIN;
SELECT txid_current() AS x3 \gset
UPDATE tree SET id = 20 WHERE id = 2;
COMMIT;
SELECT remember_all('tree moved');
SELECT is((SELECT string_agg(id || ':' || parent, ' ' ORDER BY id) FROM tree__history
	WHERE exec_transaction_id = :x3), '2:1 3:2', 'a tree: UPDATE CASCADE');
BEGIN;
SELECT txid_current() AS x4 \gset
DELETE FROM tree WHERE id = 1;
COMMIT;
SELECT remember_all('tree cut');
SELECT is((SELECT string_agg(id || ':' || coalesce(parent, 0), ' ' ORDER BY id)
	FROM tree__history WHERE exec_transaction_id = :x4), '1:0 3:20 4:3 20:1',
	'a tree: every node of a DELETE CASCADE, once');
SELECT set_eq('SELECT live_pk FROM tree__tracking', 'VALUES (5)', 'and its tracking rows');
-- A node that names itself, and a whole tree at once: rows that both the
-- statement and the cascade want.
INSERT INTO tree VALUES (6, 6), (7, 6), (8, 7);
SELECT remember_all('tree again');
BEGIN;
SELECT txid_current() AS x5 \gset
DELETE FROM tree;
COMMIT;
SELECT remember_all('tree gone');
SELECT is((SELECT string_agg(id::text, ' ' ORDER BY id)
	FROM tree__history WHERE exec_transaction_id = :x5), '5 6 7 8',
	'rows wanted by the statement and by its cascade are stored once');

-- A constraint that fails takes everything back.
CREATE TABLE strict (id int PRIMARY KEY, p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);
INSERT INTO strict VALUES (1, 4);
SELECT throws_ok($$DO $d$ BEGIN DELETE FROM p WHERE id IN (4, 5);
		SET CONSTRAINTS ALL IMMEDIATE; END $d$ $$, '23503', NULL, 'a deferred key fails');
SELECT is((SELECT count(*)::int FROM p__history WHERE id IN (4, 5)), 0,
	'and nothing of the deletion is in history');
SELECT is((SELECT count(*)::int FROM p__tracking WHERE live_pk IN (4, 5)), 2,
	'and the tracking rows are there');

-- A delete that a child's trigger suppresses in the middle of the cascade.
CREATE TABLE kid (id int PRIMARY KEY, p int REFERENCES p ON DELETE SET NULL);
SELECT create_history_table('kid');
INSERT INTO p VALUES (50, 'x');
INSERT INTO kid VALUES (1, 50), (2, 50);
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN DELETE FROM kid WHERE p IS NULL; RETURN NULL; END$$;
CREATE TRIGGER chain AFTER UPDATE ON kid FOR EACH STATEMENT EXECUTE FUNCTION chain();
SELECT remember_all('kids');
DELETE FROM p WHERE id = 50;
SELECT remember_all('no kids');
SELECT is((SELECT string_agg(format('%s:%s:%s', id, p, isempty(sys_period)), ' '
	ORDER BY id, p) FROM kid__history), '1:50:f 1::t 2:50:f 2::t',
	'a trigger at the end of a foreign-key action: both versions of each row');
SELECT is_empty('SELECT * FROM kid__tracking', 'and no tracking row stays');

SELECT is_empty($$SELECT t.live_table, m.* FROM catmaid_history_table t,
	LATERAL misremembered(t.live_table) m$$,
	'as-of queries equal every table as it was at every step');

SELECT * FROM finish();
