-- Every way of writing counts: COPY, MERGE, INSERT ... ON CONFLICT, WITH,
-- UPDATE ... FROM, cursors, rules, views, functions, prepared statements.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(26);

CREATE TABLE w (id int PRIMARY KEY, v text, n int DEFAULT 0);
SELECT create_history_table('w');
CREATE TABLE src (id int, v text);
CREATE TABLE ever (x bigint);	-- transactions whose versions were counted
CREATE FUNCTION new_versions() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	SELECT string_agg(format('%s:%s:%s', id, v, n), ' ' ORDER BY id, v, n) INTO r
		FROM w__history WHERE exec_transaction_id NOT IN (SELECT x FROM ever);
	INSERT INTO ever SELECT DISTINCT exec_transaction_id FROM w__history;
	RETURN coalesce(r, '');
END $$;

COPY w (id, v) FROM STDIN;
1	one
2	two
3	three
4	four
\.
SELECT remember('w', 'copy');
SELECT is(new_versions(), '', 'COPY FROM stores nothing');
SELECT is((SELECT count(*)::int FROM w__tracking), 4, 'COPY FROM is tracked');
BEGIN;
COPY w (id, v) FROM STDIN (FORMAT csv);
5,five
6,six
\.
UPDATE w SET v = upper(v) WHERE id = 5;
COMMIT;
SELECT remember('w', 'copy and update');
SELECT is(new_versions(), '5:five:0', 'COPY, then UPDATE, in one transaction');

INSERT INTO w VALUES (1, 'uno', 1), (7, 'seven', 0)
	ON CONFLICT (id) DO UPDATE SET v = excluded.v, n = w.n + 1;
SELECT remember('w', 'upsert');
SELECT is(new_versions(), '1:one:0', 'ON CONFLICT DO UPDATE stores the row it found');
INSERT INTO w VALUES (1, 'eins', 1), (8, 'eight', 0) ON CONFLICT DO NOTHING;
INSERT INTO w VALUES (1, 'eins', 1) ON CONFLICT (id) DO UPDATE SET v = 'x' WHERE w.n > 100;
SELECT remember('w', 'upsert of nothing');
SELECT is(new_versions(), '', 'ON CONFLICT DO NOTHING, or WHERE not so, stores nothing');
SELECT is((SELECT count(*)::int FROM w__tracking), 8, 'the inserted of both are tracked');

WITH gone AS (DELETE FROM w WHERE id IN (2, 3) RETURNING *)
INSERT INTO src SELECT id, v FROM gone;
SELECT remember('w', 'with delete');
SELECT is(new_versions(), '2:two:0 3:three:0', 'DELETE in WITH');
WITH a AS (UPDATE w SET n = 10 WHERE id = 4 RETURNING id),
	b AS (DELETE FROM w WHERE id = 5 RETURNING id),
	c AS (INSERT INTO w VALUES (2, 'two again') RETURNING id)
UPDATE w SET v = 'with' WHERE id = 6;
SELECT remember('w', 'with four');
SELECT is(new_versions(), '4:four:0 5:FIVE:0 6:six:0', 'four changes of a table in one WITH');
WITH a AS (DELETE FROM w WHERE id = 2 RETURNING *)
INSERT INTO w SELECT id + 1, v || '!', n FROM a;
WITH a AS (DELETE FROM w WHERE id = 7 RETURNING *)
UPDATE w SET id = a.id FROM a WHERE w.id = 3;
SELECT remember('w', 'with keys');
SELECT is(new_versions(), '2:two again:0 3:two again!:0 7:seven:0',
	'a key taken over from a row deleted in the same statement');
SELECT set_eq('SELECT live_pk FROM w__tracking', 'SELECT id FROM w',
	'and the tracking table has the keys of the table');

UPDATE w SET v = src.v FROM (VALUES (1, 'from'), (1, 'from'), (99, 'x')) src (id, v)
	WHERE w.id = src.id;
SELECT is(new_versions(), '1:uno:1', 'UPDATE FROM: a row joined twice is one version');
DELETE FROM w USING (VALUES (1), (1)) src (id) WHERE w.id = src.id;
SELECT remember('w', 'joined');
SELECT is(new_versions(), '1:from:1', 'DELETE USING: a row joined twice is one version');

BEGIN;
DECLARE cur CURSOR FOR SELECT * FROM w WHERE id IN (4, 6) ORDER BY id FOR UPDATE;
MOVE cur;
UPDATE w SET v = 'current' WHERE CURRENT OF cur;
MOVE cur;
DELETE FROM w WHERE CURRENT OF cur;
COMMIT;
SELECT remember('w', 'cursor');
SELECT is(new_versions(), '4:four:10 6:with:0', 'WHERE CURRENT OF');

CREATE VIEW wv AS SELECT id AS k, v AS val FROM w WHERE id < 100 WITH CHECK OPTION;
INSERT INTO wv VALUES (20, 'by view'), (21, 'by view');
UPDATE wv SET val = 'by view again' WHERE k = 20;
DELETE FROM wv WHERE k = 21;
SELECT remember('w', 'view');
SELECT is(new_versions(), '20:by view:0 21:by view:0', 'through an updatable view');
CREATE VIEW wr AS SELECT id FROM w;
CREATE RULE r AS ON DELETE TO wr DO INSTEAD UPDATE w SET n = -1 WHERE id = OLD.id;
DELETE FROM wr WHERE id = 20;
SELECT remember('w', 'rule');
SELECT is(new_versions(), '20:by view again:0', 'through a rule');

PREPARE up (int, text) AS UPDATE w SET v = $2 WHERE id = $1;
EXECUTE up (20, 'p1');
EXECUTE up (20, 'p2');
EXECUTE up (20, 'p3');
EXECUTE up (20, 'p4');
EXECUTE up (20, 'p5');
EXECUTE up (20, 'p6');
EXECUTE up (20, 'p7');
SELECT remember('w', 'prepared');
SELECT is((SELECT string_agg(v, ' ' ORDER BY sys_period) FROM w__history
	WHERE v ~ '^p\d'), 'p1 p2 p3 p4 p5 p6', 'a prepared statement, generic plan too');

CREATE FUNCTION touch(k int) RETURNS int LANGUAGE sql AS
	$$UPDATE w SET n = n + 1 WHERE id = k RETURNING n$$;
SELECT new_versions();
SELECT touch(id) FROM w WHERE id IN (3, 7) OR id = 20 ORDER BY id;
SELECT remember('w', 'function');
SELECT is(new_versions(), '7:two again!:0 20:p7:-1', 'from a function in a SELECT');
SELECT is((SELECT count(*)::int FROM (SELECT touch(20) FROM generate_series(1, 5)) s), 5,
	'many calls in one statement');
SELECT remember('w', 'functions');
SELECT is(new_versions(), '20:p7:0 20:p7:1 20:p7:2 20:p7:3 20:p7:4',
	'each of them a version');

DO $$
BEGIN
	FOR i IN 1..3 LOOP
		UPDATE w SET v = 'loop ' || i WHERE id = 20;
		COMMIT;
	END LOOP;
END $$;
SELECT remember('w', 'do');
SELECT is(new_versions(), '20:loop 1:5 20:loop 2:5 20:p7:5', 'COMMIT in a DO block');
SELECT is((SELECT count(DISTINCT exec_transaction_id)::int FROM w__history WHERE n = 5), 3,
	'each in its own transaction');

SELECT current_setting('server_version_num')::int >= 150000 AS has_merge \gset
DELETE FROM w;
SELECT new_versions();
INSERT INTO w VALUES (1, 'a'), (2, 'b'), (3, 'c');
\if :has_merge
MERGE INTO w USING (VALUES (1, 'A'), (2, 'B'), (4, 'D')) s (id, v) ON w.id = s.id
	WHEN MATCHED AND s.id = 2 THEN DELETE
	WHEN MATCHED THEN UPDATE SET v = s.v
	WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);
SELECT remember('w', 'merge');
SELECT is(new_versions(), '1:a:0 2:b:0', 'MERGE: updated and deleted rows');
SELECT set_eq('SELECT live_pk FROM w__tracking', 'VALUES (1), (3), (4)', 'MERGE: tracking');
MERGE INTO w USING (VALUES (1), (9)) s (id) ON w.id = s.id
	WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN DO NOTHING;
SELECT is(new_versions(), '', 'MERGE: DO NOTHING stores nothing');
\else
  SELECT skip('MERGE needs PostgreSQL 15', 3);
\endif

SELECT is_empty($$SELECT * FROM misremembered('w')$$,
	'as-of queries equal the table as it was at every step');
SELECT is_empty($$SELECT id, sys_period FROM w__history h WHERE EXISTS (SELECT
	FROM w__history o WHERE o.id = h.id AND o.ctid <> h.ctid AND o.sys_period && h.sys_period)$$,
	'no two versions of a row overlap');

SELECT * FROM finish();
