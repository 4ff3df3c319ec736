
-- Section 9: history_changes, what transactions did to the rows of tables.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(43);
DROP ROLE IF EXISTS changes_reader;
CREATE ROLE changes_reader;
GRANT USAGE ON SCHEMA tap TO changes_reader;

CREATE TABLE tap.steps (name text, id bigint);
GRANT SELECT ON tap.steps TO changes_reader;
CREATE FUNCTION tap.step(step text) RETURNS void LANGUAGE sql AS
$$ INSERT INTO tap.steps VALUES (step, txid_current()) $$;
CREATE FUNCTION tap.id(step text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM tap.steps WHERE name = step $$;
-- "who what key old>new columns, ...", in the order in which they come.
CREATE FUNCTION tap.told(VARIADIC tables regclass[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', s.name, left(change, 1), (SELECT string_agg(k.value, ':') FROM jsonb_each_text(c.key) k),
		coalesce(old_row ->> 'v', '') || '>' || coalesce(new_row ->> 'v', ''), array_to_string(changed_columns, '+')), ', ' ORDER BY no)
	FROM history_changes(tables) WITH ORDINALITY c(changed_at, transaction_id, live_table, change, key, old_row, new_row, changed_columns, user_id, label, context, no)
	LEFT JOIN tap.steps s ON s.id = transaction_id $$;

CREATE FUNCTION tap.fetched(cursor refcursor) RETURNS text LANGUAGE plpgsql AS
$$ DECLARE key text; BEGIN FETCH cursor INTO key; RETURN key; END $$;

-- A tracking table: the net effect of each transaction.
CREATE TABLE t (id int PRIMARY KEY, v text, w int);
INSERT INTO t VALUES (0, 'there');
SELECT create_history_table('t');
BEGIN; SELECT step('A'); INSERT INTO t VALUES (1, 'a'), (2, 'b'); COMMIT;
BEGIN; SELECT step('B'); UPDATE t SET v = 'c', w = 1 WHERE id = 1; UPDATE t SET v = 'd' WHERE id = 1; INSERT INTO t VALUES (3, 'e'); DELETE FROM t WHERE id = 3; COMMIT;
BEGIN; SELECT step('C'); DELETE FROM t WHERE id = 2; UPDATE t SET v = 'known' WHERE id = 0; COMMIT;
SELECT is(told('t'), 'A I 1 >a, A I 2 >b, B U 1 a>d v+w, C U 0 there>known v, C D 2 b>', 'insert, update, delete; what nobody else saw is left out');
SELECT results_eq($$SELECT changed_at, live_table, old_row, new_row FROM history_changes(ARRAY['t']::regclass[], transactions => ARRAY[id('B')])$$,
	$$SELECT upper(sys_period), 't'::regclass, '{"id": 1, "v": "a", "w": null}'::jsonb, '{"id": 1, "v": "d", "w": 1}'::jsonb FROM t__history WHERE v = 'a'$$, 'its columns');
BEGIN; SELECT step('D'); UPDATE t SET id = 10 WHERE id = 1; COMMIT;
SELECT is((SELECT concat_ws(' ', change, key, old_row ->> 'id', new_row ->> 'id', changed_columns) FROM history_changes(ARRAY['t']::regclass[], transactions => ARRAY[id('D')])),
	'UPDATE {"id": 1} 1 10 {id}', 'a changed key is one UPDATE');
BEGIN; SELECT step('E'); TRUNCATE t; INSERT INTO t VALUES (10, 'f'); COMMIT;
SELECT is((SELECT string_agg(concat_ws(' ', change, key, new_row ->> 'v'), ', ' ORDER BY key) FROM history_changes(ARRAY['t']::regclass[], transactions => ARRAY[id('E')])),
	'DELETE {"id": 0}, UPDATE {"id": 10} f', 'TRUNCATE, and the key again');

-- What the arguments leave.
SELECT is((SELECT string_agg(change, ' ') FROM history_changes(ARRAY['t']::regclass[], key => '{"id": 2}')), 'INSERT DELETE', 'of one row');
SELECT changed_at AS b_at FROM history_changes(transactions => ARRAY[id('B')]) \gset
SELECT changed_at AS d_at FROM history_changes(transactions => ARRAY[id('D')]) \gset
SELECT is((SELECT string_agg(DISTINCT s.name, '' ORDER BY s.name) FROM history_changes(since => :'b_at') c JOIN tap.steps s ON s.id = c.transaction_id), 'BCDE', 'since');
SELECT is((SELECT string_agg(DISTINCT s.name, '' ORDER BY s.name) FROM history_changes(until => :'d_at') c JOIN tap.steps s ON s.id = c.transaction_id), 'ABC', 'until: before');
SELECT is((SELECT string_agg(DISTINCT s.name, '' ORDER BY s.name) FROM history_changes(since => :'b_at', until => :'d_at') c JOIN tap.steps s ON s.id = c.transaction_id), 'BC', 'both');
SELECT is_empty('SELECT * FROM history_changes(transactions => ARRAY[-1])', 'a transaction that there is not');
SELECT is_empty('SELECT * FROM history_changes(ARRAY[]::regclass[])', 'no table');

-- The log.
BEGIN; SELECT step('L'); INSERT INTO catmaid_transaction_info (user_id, change_type, label) VALUES (7, 'Backend', 'edit'); UPDATE t SET v = 'g'; COMMIT;
SELECT is((SELECT concat_ws(' ', user_id, label) FROM history_changes(transactions => ARRAY[id('L')])), '7 edit', 'who, by the log');

-- A time column: every change changes it and the txid column.
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
INSERT INTO timed VALUES (1, 'there');
SELECT create_history_table('timed', 'edited', 'txid');
BEGIN; SELECT step('F'); UPDATE timed SET v = 'a', edited = now(); INSERT INTO timed VALUES (2, 'b'); COMMIT;
BEGIN; SELECT step('G'); UPDATE timed SET id = 3, edited = now() WHERE id = 2; DELETE FROM timed WHERE id = 1; COMMIT;
SELECT is(told('timed'), 'F U 1 there>a v, F I 2 >b, G D 1 a>, G U 2 b>b id', 'a time column');

-- Hierarchies: each row once, in the table that holds it, with all its columns.
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (PRIMARY KEY (id), w int) INHERITS (par);
SELECT create_history_table('chi');
BEGIN; SELECT step('H'); INSERT INTO par VALUES (1, 'p'); INSERT INTO chi VALUES (2, 'q', 5); COMMIT;
BEGIN; SELECT step('I'); UPDATE par SET v = v || v; COMMIT;
SELECT is(told('par'), 'H I 1 >p, H I 2 >q, I U 1 p>pp v, I U 2 q>qq v', 'a parent');
SELECT is((SELECT string_agg(live_table || ' ' || (new_row ? 'w')::text, ', ' ORDER BY live_table::text) FROM history_changes(ARRAY['par']::regclass[], transactions => ARRAY[id('I')])),
	'chi true, par false', 'where each row is');
SELECT is((SELECT count(*)::int FROM history_changes(transactions => ARRAY[id('I')])), 2, 'of all tables: each once');

-- Partitions, composite keys, columns that were renamed and got other types.
CREATE TABLE r (a int, b text, v text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20);
SELECT create_history_table('r');
BEGIN; SELECT step('J'); INSERT INTO r VALUES (1, 'x', '1'); COMMIT;
BEGIN; SELECT step('K'); UPDATE r SET a = 11; COMMIT;
SELECT is(told('r'), 'J I 1:x >1, K U 1:x 1>1 a', 'partitions, a key of two columns');
ALTER TABLE r RENAME COLUMN v TO w;
ALTER TABLE r ALTER COLUMN w TYPE int USING w::int;
ALTER TABLE r RENAME COLUMN w TO v;
BEGIN; SELECT step('M'); UPDATE r SET v = 2; COMMIT;
SELECT is(told('r'), 'J I 1:x >1, K U 1:x 1>1 a, M U 11:x 1>2 v', 'columns renamed and retyped');
SELECT is((SELECT count(*)::int FROM history_changes(key => '{"b": "x", "a": 11}')), 2, 'a key of two columns, in any order');

-- A history from before it said who made a version: the next one tells.
ALTER TABLE t__history DISABLE TRIGGER ALL;
UPDATE t__history SET start_transaction_id = NULL;
SELECT is((SELECT string_agg(concat_ws(' ', left(change, 1), old_row ->> 'v', new_row ->> 'v'), ', ') FROM history_changes(ARRAY['t']::regclass[], transactions => ARRAY[id('B')])),
	'U a d', 'who made it is not known');

-- Overlapping transactions: each did what it did.
CREATE TABLE o (id int PRIMARY KEY, v text);
SELECT create_history_table('o');
BEGIN; SELECT step('O'); INSERT INTO o VALUES (3, 'Moscow'); COMMIT;
CREATE EXTENSION IF NOT EXISTS dblink SCHEMA tap;
BEGIN; SELECT step('P');
SELECT dblink_exec('host=' || current_setting('unix_socket_directories') || ' port=' || current_setting('port') || ' user=postgres dbname=' || current_database(),
	'INSERT INTO tap.steps VALUES (''Q'', txid_current()); UPDATE o SET v = ''Stockholm''');
UPDATE o SET v = '?'; COMMIT;
SELECT is((SELECT string_agg(concat_ws(' ', s.name, change, old_row ->> 'v', new_row ->> 'v'), ', ' ORDER BY no) FROM history_changes(ARRAY['o']::regclass[])
		WITH ORDINALITY c(changed_at, transaction_id, live_table, change, key, old_row, new_row, changed_columns, user_id, label, context, no) JOIN tap.steps s ON s.id = c.transaction_id),
	'O INSERT Moscow, Q UPDATE Moscow Stockholm, P UPDATE Stockholm ?', 'overlapping: each did what it did, in the order of writing');

-- Three of them, of which each has begun before the one whose version it ends.
CREATE FUNCTION tap.elsewhere(connection text, command text) RETURNS text LANGUAGE sql AS $$ SELECT dblink_exec(connection, command) $$;
SELECT dblink_connect(c, 'host=' || current_setting('unix_socket_directories') || ' port=' || current_setting('port') || ' user=postgres dbname=' || current_database()) FROM unnest('{s1,s2,s3}'::text[]) c;
CREATE TABLE late (id int PRIMARY KEY, v text);
CREATE TABLE late_timed (id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
SELECT create_history_table('late'), create_history_table('late_timed', 'edited', 'txid');
SELECT elsewhere('s1', format('BEGIN; INSERT INTO tap.steps VALUES (%L, txid_current())', 'U1'));
SELECT elsewhere('s2', format('BEGIN; INSERT INTO tap.steps VALUES (%L, txid_current())', 'U2'));
SELECT elsewhere('s3', format('BEGIN; INSERT INTO tap.steps VALUES (%L, txid_current())', 'U3'));
BEGIN; SELECT step('U4'); INSERT INTO late VALUES (1, 'a'); INSERT INTO late_timed VALUES (1, 'a'); COMMIT;
SELECT elsewhere(c, format('UPDATE late SET v = v || right(%1$L, 1); UPDATE late_timed SET v = v || right(%1$L, 1), edited = now(); COMMIT', c)) FROM unnest('{s3,s2}'::text[]) c;
SELECT elsewhere('s1', 'DELETE FROM late; UPDATE late_timed SET id = 5, edited = now(); COMMIT');
SELECT is(told('late'), 'U4 I 1 >a, U3 U 1 a>a3 v, U2 U 1 a3>a32 v, U1 D 1 a32>', 'begun last, written first: a tracking table');
SELECT is(told('late_timed'), 'U4 I 1 >a, U3 U 1 a>a3 v, U2 U 1 a3>a32 v, U1 U 1 a32>a32 id', 'a time column');
SELECT dblink_disconnect(c) FROM unnest('{s1,s2,s3}'::text[]) c;

-- Privileges and policies are the reader's.
GRANT SELECT ON o, o__history, o__tracking TO changes_reader;
SET ROLE changes_reader;
SELECT is((SELECT string_agg(DISTINCT live_table::text, '') FROM history_changes()), 'o', 'all that one may read');
SELECT is((SELECT count(*)::int FROM history_changes() WHERE label IS NOT NULL), 0, 'without the log, which one may not');
SELECT throws_ok($$SELECT * FROM history_changes(ARRAY['t']::regclass[])$$, '42501', NULL, 'a stranger''s table');
RESET ROLE;
ALTER TABLE o ENABLE ROW LEVEL SECURITY;
SET ROLE changes_reader;
SELECT is_empty('SELECT * FROM history_changes()', 'policies');
RESET ROLE;

-- A kept history.
SET catmaid_history.on_drop_table = keep;
SET client_min_messages = error;
BEGIN; SELECT step('R'); DROP TABLE r; COMMIT;
RESET client_min_messages;
SELECT is(told('r__history'), 'J I 1:x >1, K D 1:x 1>, K I 11:x >1, M U 11:x 1>2 v, R D 11:x 2>', 'a table that is gone, its history, with a kept column, is there');

-- Two rows that are alike but for their keys.
CREATE TABLE alike (id int PRIMARY KEY, v text);
SELECT create_history_table('alike');
BEGIN; SELECT step('2'); INSERT INTO alike VALUES (1, 'x'), (2, 'x'); COMMIT;
BEGIN; SELECT step('3'); DELETE FROM alike; COMMIT;
SELECT is(told('alike'), '2 I 1 >x, 2 I 2 >x, 3 D 1 x>, 3 D 2 x>', 'both go');
BEGIN; SELECT step('4'); INSERT INTO alike VALUES (1, 'x'), (2, 'x'); COMMIT;
BEGIN; SELECT step('5'); UPDATE alike SET id = id + 10; COMMIT;
SELECT is((SELECT string_agg(change, ' ' ORDER BY change) FROM history_changes(ARRAY['alike']::regclass[], transactions => ARRAY[id('5')])),
	'DELETE DELETE INSERT INSERT', 'both get another key: which of them which is not known');

-- One row is asked for, and it has got another key: by both.
CREATE TABLE moved (id int PRIMARY KEY, v text);
SELECT create_history_table('moved');
INSERT INTO moved VALUES (1, 'x'), (2, 'y');
BEGIN; SELECT step('8'); UPDATE moved SET id = 10 WHERE id = 1; UPDATE moved SET v = 'z' WHERE id = 2; COMMIT;
SELECT is((SELECT string_agg(concat_ws(' ', change, key ->> 'id', new_row ->> 'id'), ', ' ORDER BY changed_at) FROM history_changes(ARRAY['moved']::regclass[], key => jsonb_build_object('id', k))
	WHERE transaction_id = id('8')), 'UPDATE 1 10', format('a changed key, by key %s', k)) FROM unnest('{1,10}'::int[]) k;
SELECT is((SELECT string_agg(concat_ws(' ', change, key ->> 'id', new_row ->> 'id'), ', ' ORDER BY changed_at) FROM history_changes(ARRAY['timed']::regclass[], key => jsonb_build_object('id', k))
	WHERE transaction_id = id('G')), 'UPDATE 2 3', format('with a time column, by key %s', k)) FROM unnest('{2,3}'::int[]) k;
SELECT is((SELECT string_agg(concat_ws(' ', change, key ->> 'id'), ', ') FROM history_changes(ARRAY['alike']::regclass[], transactions => ARRAY[id('5')], key => '{"id": 11}')),
	'INSERT 11', 'one of two that were alike');
SELECT is((SELECT string_agg(concat_ws(' ', change, key ->> 'id'), ', ') FROM history_changes(ARRAY['alike']::regclass[], transactions => ARRAY[id('5')], key => '{"id": 2}')),
	'DELETE 2', 'the other one');

-- Columns that are called as what is in the query.
CREATE TABLE called (x int, k int, v text, l int, h int, p int, r int, ender int, maker int, PRIMARY KEY (k, x));
SELECT create_history_table('called');
BEGIN; SELECT step('6'); INSERT INTO called VALUES (1, 2, 'a'); COMMIT;
BEGIN; SELECT step('7'); UPDATE called SET v = 'b', l = 1, h = 1, p = 1, r = 1, ender = 1, maker = 1; COMMIT;
SELECT is(told('called'), '6 I 2:1 >a, 7 U 2:1 a>b v+l+h+p+r+ender+maker', 'x, k, ...');

-- Errors.
SELECT throws_ok($$SELECT * FROM history_changes(ARRAY['pg_class']::regclass[])$$, '42704', 'table "pg_class" has no history');
SELECT throws_ok($$SELECT * FROM history_changes(since => '2020-01-02', until => '2020-01-01')$$, '22023', '"since" is later than "until"');
SELECT throws_ok($$SELECT * FROM history_changes(key => '{"x": 1}')$$, '22023', 'no table that is asked for has a primary key of the columns "x"');
SELECT throws_ok($$SELECT * FROM history_changes(key => '[1]')$$, '22023', '"key" is no JSON object');

-- A cursor in which it is goes on where others would.
CREATE TABLE held (id int PRIMARY KEY);
SELECT create_history_table('held');
INSERT INTO held SELECT generate_series(1, 1000);
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT (history_changes(ARRAY['held']::regclass[])).key ->> 'id';
SELECT is(tap.fetched('held'), '1', 'a first row');
SAVEPOINT s;
SELECT tap.fetched('held');
ROLLBACK TO s;
COMMIT;
MOVE FORWARD 997 FROM held;
SELECT is(tap.fetched('held'), '1000', 'the last, after ROLLBACK TO SAVEPOINT and COMMIT');
CLOSE held;

-- Not all rows are asked for.
SELECT (history_changes()).change LIMIT 1;
SELECT is_empty($$SELECT * FROM pg_cursors WHERE statement !~ 'pg_cursors'$$, 'no cursor stays');
DROP OWNED BY changes_reader;
DROP ROLE changes_reader;
SELECT * FROM finish();
