-- Section 10: undo_transactions, what transactions did is taken back.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(49);
DROP ROLE IF EXISTS undo_writer;
DROP ROLE IF EXISTS undo_reader;
CREATE ROLE undo_writer;
CREATE ROLE undo_reader;
GRANT USAGE ON SCHEMA tap TO undo_writer, undo_reader;

\ir lib/undo.psql
GRANT SELECT, INSERT ON tap.steps TO undo_writer, undo_reader;

-- The net effect of a transaction, with a tracking table; the undo can be undone.
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c');
BEGIN; SELECT step('A'); UPDATE t SET v = 'x' WHERE id = 1; UPDATE t SET v = 'y' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 'd'), (5, 'e'); DELETE FROM t WHERE id = 5; COMMIT;
SELECT is(undo('{A}', dry => true), 't 1 U, t 2 I, t 4 D', 'a dry run says what it would do');
SELECT is(rows('t'), '1:y, 3:c, 4:d', '... and does nothing');
BEGIN; SELECT step('undo A'); SELECT is(undo('{A}'), 't 1 U, t 2 I, t 4 D', 'UPDATE, INSERT and DELETE'); COMMIT;
SELECT is(rows('t'), '1:a, 2:b, 3:c', 'all is as it was');
SELECT is(undo('{A}'), '', 'once more: there is nothing to do');
BEGIN; SELECT step('redo A'); SELECT is(undo('{"undo A"}'), 't 1 U, t 2 D, t 4 I', 'the undo of the undo'); COMMIT;
SELECT is(rows('t'), '1:y, 3:c, 4:d', 'all is as the transaction had left it');
SELECT is((SELECT string_agg(DISTINCT change, ' ' ORDER BY change) FROM history_changes(transactions => ARRAY[id('redo A')])), 'DELETE INSERT UPDATE', 'it is recorded as any write is');
SELECT is_empty('SELECT * FROM undo_transactions(ARRAY[987654321])', 'a transaction that there is not');
SELECT is_empty('SELECT * FROM undo_transactions(ARRAY[]::bigint[])', 'none');

-- A time column: the application's, and its trigger.
CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE FUNCTION tap.edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.edited = now(); RETURN NEW; END $$;
CREATE TRIGGER edit BEFORE UPDATE ON timed FOR EACH ROW EXECUTE FUNCTION edit();
SELECT create_history_table('timed', 'edited', 'txid');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('B'); UPDATE timed SET v = 'x' WHERE id = 1; DELETE FROM timed WHERE id = 2; INSERT INTO timed VALUES (3, 'c'); COMMIT;
SELECT now() AS before_undo \gset
SELECT is(undo('{B}'), 'timed 1 U, timed 2 I, timed 3 D', 'with a time column');
SELECT is(rows('timed'), '1:a, 2:b', 'as it was');
SELECT ok(bool_and(edited > :'before_undo'), 'edited now') FROM timed;
SELECT is((SELECT count(*)::int FROM timed__with_history v JOIN timed__with_history w ON v.id = w.id AND v.sys_period && w.sys_period AND (v.sys_period <> w.sys_period OR v.v <> w.v)), 0, 'no two versions at one time');
BEGIN; SELECT step('no trigger'); ALTER TABLE timed DISABLE TRIGGER edit; UPDATE timed SET v = 'z', edited = now() WHERE id = 1; COMMIT;
SELECT now() AS before_undo \gset
SELECT is(undo('{no trigger}'), 'timed 1 U', 'an application that writes the time by itself');
SELECT ok(edited > :'before_undo', 'its time is written') FROM timed WHERE id = 1;

-- Conflicts: changed, deleted, another row of the key, in between.
TRUNCATE t;
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
BEGIN; SELECT step('C'); UPDATE t SET v = 'x' WHERE id IN (1, 2); DELETE FROM t WHERE id = 3; UPDATE t SET v = 'x' WHERE id = 4; INSERT INTO t VALUES (5, 'e'); COMMIT;
BEGIN; SELECT step('D'); INSERT INTO catmaid_transaction_info (user_id, change_type, label) VALUES (7, 'Backend', 'edit'); UPDATE t SET v = 'later' WHERE id = 1; COMMIT;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (3, 'other');
BEGIN; SELECT step('E'); UPDATE t SET v = 'e2' WHERE id = 5; COMMIT;
SELECT is(undo('{C}'), '55000 nothing was done, as 4 rows are in conflict table t, key {"id": 1}: changed since by N ("edit", user 7): column v
table t, key {"id": 2}: deleted since by N
table t, key {"id": 3}: there is another row of this key, made by N
table t, key {"id": 5}: changed since by N: column v', 'all conflicts are in the detail');
SELECT is(rows('t'), '1:later, 3:other, 4:x, 5:e2', 'nothing was done');
SELECT throws_like(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('C')), 'nothing was done%', 'an error');
SELECT is(undo('{C,D,E}', 'skip', true), 't 1 U, t 2 s deleted since by N, t 3 s there is another row of this key, made by N, t 4 U, t 5 D', 'along with what came since');
SELECT is(undo('{C}', 'skip'), 't 1 s changed since by N ("edit", user 7): column v, t 2 s deleted since by N, t 3 s there is another row of this key, made by N, t 4 U, t 5 s changed since by N: column v', 'skip');
SELECT is(rows('t'), '1:later, 3:other, 4:d, 5:e2', 'the others are as they were');
SELECT is(undo('{C}', 'force'), 't 1 U changed since by N ("edit", user 7): column v, t 2 I deleted since by N, t 3 U there is another row of this key, made by N, t 5 D changed since by N: column v', 'force');
SELECT is(rows('t'), '1:a, 2:b, 3:c, 4:d', 'overwritten');
UPDATE t SET v = 'p' WHERE id = 1;
BEGIN; SELECT step('F'); UPDATE t SET v = 'q' WHERE id = 1; COMMIT;
UPDATE t SET v = 'r' WHERE id = 1;
BEGIN; SELECT step('G'); UPDATE t SET v = 's' WHERE id = 1; COMMIT;
SELECT is(undo('{F,G}', 'skip', true), 't 1 s changed in between by N', 'another one came between');
SELECT is(undo('{F}', 'skip', true), 't 1 s changed since by N, N: column v', 'each that has changed it since');
SELECT is(undo('{G}', 'skip', true), 't 1 U', 'the last one');
UPDATE t SET v = 'q' WHERE id = 1;
SELECT is(undo('{F}'), 't 1 U', 'what has been changed back is as it was left');

-- Foreign keys: parents and children in one statement, what others refer to, to a fixpoint.
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE kid (id int PRIMARY KEY, par int NOT NULL REFERENCES par ON DELETE CASCADE, v text);
CREATE TABLE grandkid (id int PRIMARY KEY, kid int REFERENCES kid);
SELECT create_history_table('par'), create_history_table('kid'), create_history_table('grandkid');
INSERT INTO par VALUES (1, 'a'), (2, 'b');
INSERT INTO kid VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c');
BEGIN; SELECT step('H'); DELETE FROM par WHERE id = 1; COMMIT;
SELECT is(undo('{H}'), 'kid 1 I, kid 2 I, par 1 I', 'a cascade comes back');
SELECT is(rows('kid'), '1:1:a, 2:1:b, 3:2:c', 'with the children');
SELECT is(undo('{H}', tables => '{par}'), '', 'there is nothing to do');
BEGIN; SELECT step('I'); INSERT INTO par VALUES (3, 'c'); INSERT INTO kid VALUES (4, 3, 'd'); COMMIT;
INSERT INTO kid VALUES (5, 3, 'later');
INSERT INTO grandkid VALUES (1, 4);
SELECT is(undo('{I}', 'force', true), 'kid 4 s a row of table "grandkid" refers to it (constraint "grandkid_kid_fkey"), par 3 s a row of table "kid" refers to it (constraint "kid_par_fkey")', 'rows of others that refer to what would go, with force too');
BEGIN; SELECT step('J'); DELETE FROM grandkid; DELETE FROM kid WHERE id = 4; COMMIT;
DELETE FROM par WHERE id = 3;
SELECT is(undo('{J}', 'skip'), 'grandkid 1 s it refers to a row of table "kid" that is not there (constraint "grandkid_kid_fkey"), kid 4 s it refers to a row of table "par" that is not there (constraint "kid_par_fkey")', 'parents that are gone, from row to row');
SELECT is(undo('{J}', tables => '{grandkid}', dry => true), 'grandkid 1 s it refers to a row of table "kid" that is not there (constraint "grandkid_kid_fkey")', 'of one table');

-- Keys: composite, changed; one half in conflict takes the other one along.
CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (b, a));
SELECT create_history_table('pair');
INSERT INTO pair VALUES (1, 'x', 'a'), (2, 'y', 'b');
BEGIN; SELECT step('K'); UPDATE pair SET a = a + 10; COMMIT;
SELECT is(undo('{K}'), 'pair 1:x I, pair 2:y I, pair 11:x D, pair 12:y D', 'changed keys of two columns');
SELECT is(rows('pair'), '1:x:a, 2:y:b', 'as they were');
BEGIN; SELECT step('L'); UPDATE pair SET a = a + 10; COMMIT;
UPDATE pair SET v = 'later' WHERE a = 11;
SELECT is(undo('{L}', 'skip'), 'pair 1:x s it may be the same row under another key as one that is in conflict, pair 2:y I, pair 11:x s changed since by N: column v, pair 12:y D', 'the halves stay together');
SELECT is(rows('pair'), '11:x:later, 2:y:b', 'there are not two of it');

-- Rights: hers on the live tables, and nothing on histories beyond reading them.
CREATE TABLE hers (id int PRIMARY KEY, v text);
GRANT SELECT, INSERT, UPDATE, DELETE ON hers TO undo_writer;
GRANT SELECT ON hers TO undo_reader;
SELECT create_history_table('hers');
INSERT INTO hers VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('M'); UPDATE hers SET v = 'x'; DELETE FROM hers WHERE id = 2; INSERT INTO par VALUES (9, 'z'); COMMIT;
SET ROLE undo_reader;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s]::bigint[], ''{hers}'')', id('M')), '42501', NULL, 'a reader');
SET ROLE undo_writer;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s]::bigint[], ''{par}'')', id('M')), '42501', NULL, 'a stranger''s table');
SELECT is(undo('{M}'), 'hers 1 U, hers 2 I', 'a writer: what she may read');
RESET ROLE;
SELECT is(rows('hers'), '1:a, 2:b', 'as it was');
ALTER TABLE hers ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON hers USING (true);
SET ROLE undo_writer;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s]::bigint[], ''{hers}'')', id('M')), '42501', 'row-level security may hide from you what was in table "hers"', 'policies');
RESET ROLE;

-- Arguments.
SELECT throws_ok('SELECT * FROM undo_transactions(NULL)', '22004', '"transactions" must not be null');
SELECT throws_ok('SELECT * FROM undo_transactions(ARRAY[NULL]::bigint[])', '22023', '"transactions" contains what is no transaction id');
SELECT throws_ok('SELECT * FROM undo_transactions(ARRAY[1], on_conflict => ''no'')', '22023', '"on_conflict" is not one of error, skip, force');
SELECT throws_ok('SELECT * FROM undo_transactions(ARRAY[txid_current()])', '55000', NULL, 'the current one');
SELECT throws_ok('SELECT * FROM undo_transactions(ARRAY[1], ARRAY[''pg_class'']::regclass[])', '42704', 'table "pg_class" has no history');
SELECT disable_history_tracking_for_table('t');
SELECT throws_ok('SELECT * FROM undo_transactions(ARRAY[1], ARRAY[''t'']::regclass[])', '55000', 'changes of table "t" are not recorded');

SELECT finish();
DROP OWNED BY undo_writer, undo_reader;
DROP ROLE undo_writer, undo_reader;
