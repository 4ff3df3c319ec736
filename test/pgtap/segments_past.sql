-- The time machine and undo see a history that is cut as one, in hierarchies too; and know
-- that what was dropped is not known any more.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/error_of.psql

SELECT plan(12);

CREATE TABLE place (id int PRIMARY KEY, x int);
CREATE TABLE node (r int, PRIMARY KEY (id)) INHERITS (place);
SELECT create_history_table('node');
INSERT INTO place VALUES (1, 1);
INSERT INTO node VALUES (2, 2, 2);
SELECT clock_timestamp() AS t0 \gset
UPDATE place SET x = x + 1;
SELECT rotate_history('node'), rotate_history('place') \g /dev/null
SELECT clock_timestamp() AS t1 \gset
UPDATE place SET x = x + 1;
SELECT rotate_history('place'), rotate_history('node') \g /dev/null
ALTER TABLE place__history_1 VALIDATE CONSTRAINT catmaid_history_segment;
ALTER TABLE node__history_1 VALIDATE CONSTRAINT catmaid_history_segment;

CREATE FUNCTION rows_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	EXECUTE format('SELECT string_agg(q::text, '' '' ORDER BY q::text) FROM (%s) q', query) INTO found;
	RETURN found;
END $$;
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END $$;
SELECT read_as_of(:'t0') \g /dev/null
SELECT is(rows_of('SELECT tableoid::regclass, * FROM place'), '(node,2,2) (place,1,1)', 'a hierarchy as of the oldest time, each row of its table');
SELECT is(rows_of('SELECT * FROM ONLY place'), '(1,1)', 'ONLY the parent');
SELECT is(rows_of('SELECT * FROM node'), '(2,2,2)', 'the child');
SELECT read_as_of(:'t1') \g /dev/null
SELECT is(rows_of('SELECT tableoid::regclass, * FROM place'), '(node,2,3) (place,1,2)', 'as of a time between');
SELECT is(rows_of('SELECT * FROM node'), '(2,3,2)', 'the child then');
SELECT unalike(plan_of('SELECT * FROM node'), '%node__history_1%', 'segments that had ended are left out');
SELECT read_as_of(NULL) \g /dev/null
SELECT rotate_history('node') \g /dev/null
SELECT read_as_of(:'t0') \g /dev/null
SELECT is(rows_of('SELECT * FROM node'), '(2,2,2)', 'what the session knows of the table does not outlive a rotation');
SELECT read_as_of(NULL) \g /dev/null

SELECT is((SELECT string_agg(live_table || ' ' || action, ', ' ORDER BY live_table::text) FROM undo_transactions(
	ARRAY(SELECT DISTINCT exec_transaction_id FROM ONLY place__history_2))), 'node UPDATE, place UPDATE', 'undo finds its versions in segments');
SELECT is(rows_of('SELECT * FROM place'), '(1,2) (2,3)', 'and writes them');
SELECT is((SELECT count(*) FROM restore_tables(ARRAY['place'::regclass], :'t0') WHERE conflict IS NULL), 2::bigint, 'restore_tables, too');

-- What maintain_history() has dropped.
UPDATE catmaid_history_table SET creation_time = creation_time - interval '2 days';
SELECT set_history_retention('place', '1 us', '1 us');
CALL maintain_history();
SELECT is_empty('SELECT * FROM ONLY place__history_1', 'nothing is left') WHERE to_regclass('place__history_1') IS NOT NULL;
SELECT is((SELECT count(*) FROM catmaid_history_segments WHERE live_table = 'place'::regclass), 0::bigint, 'all segments of the parent are dropped');
SELECT read_as_of(:'t0') \g /dev/null
SELECT matches((error_of('SELECT * FROM ONLY place')).msg, 'place', 'what is gone is not shown as if it were known');
SELECT read_as_of(NULL) \g /dev/null

SELECT * FROM finish();
