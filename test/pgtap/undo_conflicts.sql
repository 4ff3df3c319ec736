-- Section 10: what stands in the way of an undo, and what must not be done in silence.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
CREATE EXTENSION citext SCHEMA public;
SELECT plan(63);
\ir lib/undo.psql
DROP ROLE IF EXISTS undo_mallory;
DROP ROLE IF EXISTS undo_alice;
CREATE ROLE undo_mallory;
CREATE ROLE undo_alice;
CREATE FUNCTION tap.hint(cmd text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE said text; BEGIN EXECUTE cmd; RETURN NULL;
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT; RETURN regexp_replace(said, '\d+', 'N', 'g'); END $$;

-- Keys that are equal and differ.
CREATE TABLE alike (n citext PRIMARY KEY, v int);
CREATE TABLE scale (n numeric PRIMARY KEY, v int);
SELECT create_history_table('alike'), create_history_table('scale');
INSERT INTO alike VALUES ('a', 1), ('c', 3), ('e', 5);
INSERT INTO scale VALUES (1.0, 1);
SELECT clock_timestamp() AS before \gset
BEGIN; SELECT step('alike'); UPDATE alike SET n = 'A' WHERE n = 'a'; UPDATE alike SET n = 'C', v = 9 WHERE n = 'c'; DELETE FROM alike WHERE n = 'e'; INSERT INTO alike VALUES ('E', 5); UPDATE scale SET n = 1.00; COMMIT;
SELECT is(undo('{alike}'), 'alike a U, alike c U, alike e U, scale 1.0 U', 'keys that are equal to what they were, and differ');
SELECT is(rows('alike') || '; ' || rows('scale'), 'a:1, c:3, e:5; 1.0:1', 'come back as they were');
BEGIN; SELECT step('alike again'); UPDATE alike SET n = 'A' WHERE n = 'a'; COMMIT;
UPDATE alike SET n = 'a', v = 7 WHERE n = 'a';
SELECT is(undo('{alike again}', 'skip'), 'alike a s changed since by N: column n, v', 'and count where others have changed them');
SELECT is((SELECT string_agg(concat_ws(' ', key->>'n', action), ', ' ORDER BY key) FROM restore_tables('{alike,scale}', :'before')), 'a UPDATE', 'as of an instant');
UPDATE alike SET n = 'A' WHERE n = 'a';
SELECT is((SELECT string_agg(concat_ws(' ', key->>'n', action), ', ' ORDER BY key) FROM restore_tables('{alike,scale}', :'before')), 'a UPDATE', 'likewise, the key alone');
SELECT is(rows('alike'), 'a:1, c:3, e:5', 'as they were');

-- What others refer to goes with one row and comes with another one.
CREATE TABLE up (id int PRIMARY KEY, v text UNIQUE);
CREATE TABLE none (id int PRIMARY KEY, v text REFERENCES up (v));
CREATE TABLE casc (id int PRIMARY KEY, v text REFERENCES up (v) ON DELETE CASCADE);
CREATE TABLE setn (id int PRIMARY KEY, v text REFERENCES up (v) ON DELETE SET NULL);
SELECT create_history_table(t) FROM unnest('{up,casc}'::regclass[]) t;
INSERT INTO up VALUES (1, 'x'), (2, 'y');
BEGIN; SELECT step('replaced'); DELETE FROM up WHERE id = 1; INSERT INTO up VALUES (3, 'x'); COMMIT;
INSERT INTO none VALUES (1, 'x');
SELECT is(undo('{replaced}', dry => true), 'up 1 I, up 3 D', 'a value that goes with one row and comes with another one: others may refer to it');
INSERT INTO casc VALUES (1, 'x');
SELECT is(undo('{replaced}', 'force'), 'up 1 s another row has its value (index "up_v_key"), up 3 s a row of table "casc" refers to it (constraint "casc_v_fkey")', 'unless they would go along');
DELETE FROM casc; INSERT INTO setn VALUES (1, 'x');
SELECT is(undo('{replaced}', 'force'), 'up 1 s another row has its value (index "up_v_key"), up 3 s a row of table "setn" refers to it (constraint "setn_v_fkey")', 'or lose it');
SELECT is(rows('up') || '; ' || rows('setn'), '2:y, 3:x; 1:x', 'nothing was done');
DELETE FROM setn; DELETE FROM none;
INSERT INTO casc VALUES (2, 'y');
BEGIN; SELECT step('cascaded'); DELETE FROM up WHERE id = 2; INSERT INTO up VALUES (4, 'y'); COMMIT;
SELECT is(rows('casc'), '', 'control: it has gone along');
SELECT is(undo('{cascaded}', 'skip'), 'casc 2 I, up 2 s another row has its value (index "up_v_key"), up 4 s a row of table "casc" that comes back refers to its value (constraint "casc_v_fkey")', 'a child that comes back would go again');
SELECT is(rows('up') || '; ' || rows('casc'), '3:x, 4:y; 2:y', 'it has come back, and stays');
CREATE TABLE moves (id int PRIMARY KEY, v text UNIQUE);
CREATE TABLE moved (id int PRIMARY KEY, v text REFERENCES moves (v) ON UPDATE CASCADE);
SELECT create_history_table('moves'), create_history_table('moved');
INSERT INTO moves VALUES (1, 'a'), (2, 'b'), (3, 'c');
BEGIN; SELECT step('moves'); UPDATE moves SET v = 't' WHERE id = 1; UPDATE moves SET v = 'a' WHERE id = 2; UPDATE moves SET v = 'b' WHERE id = 1; COMMIT;
INSERT INTO moved VALUES (1, 'b'), (2, 'a');
SELECT is(undo('{moves}', 'skip'), 'moves 1 s a row of table "moved" refers to it (constraint "moved_v_fkey"), moves 2 s a row of table "moved" refers to it (constraint "moved_v_fkey")', 'a change of what others refer to is theirs as well');
SELECT is(rows('moved'), '1:b, 2:a', 'they keep what they had');
DELETE FROM moved;
SELECT is(undo('{moves}'), 'moves 1 U, moves 2 U', 'exchanged values that others could refer to');
SELECT is(rows('moves'), '1:a, 2:b, 3:c', 'as they were');

-- Values that are exchanged, of every kind of uniqueness.
CREATE TABLE partial (id int PRIMARY KEY, v text, act bool NOT NULL);
CREATE UNIQUE INDEX ON partial (v) WHERE act;
CREATE TABLE lowered (id int PRIMARY KEY, v text NOT NULL);
CREATE UNIQUE INDEX lowered_v ON lowered (lower(v));
CREATE TABLE ranges (id int PRIMARY KEY, r int4range NOT NULL, EXCLUDE USING gist (r WITH &&));
CREATE TABLE of_lowered (id int PRIMARY KEY REFERENCES lowered ON DELETE CASCADE);
CREATE TABLE of_ranges (id int PRIMARY KEY REFERENCES ranges ON DELETE CASCADE);
SELECT create_history_table(t) FROM unnest('{partial,lowered,ranges}'::regclass[]) t;
INSERT INTO partial VALUES (1, 'a', true), (2, 'a', false);
INSERT INTO lowered VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO ranges VALUES (1, '[1,3)'), (2, '[3,5)'), (3, '[5,7)');
INSERT INTO of_lowered VALUES (1); INSERT INTO of_ranges VALUES (2);
BEGIN; SELECT step('exchanged'); UPDATE partial SET act = false WHERE id = 1; UPDATE partial SET act = true WHERE id = 2;
UPDATE lowered SET v = 't' WHERE id = 1; UPDATE lowered SET v = 'A' WHERE id = 2; UPDATE lowered SET v = 'B' WHERE id = 1; UPDATE lowered SET v = 'C' WHERE id = 3;
UPDATE ranges SET r = '[9,9]' WHERE id = 1; UPDATE ranges SET r = '[1,2)' WHERE id = 2; UPDATE ranges SET r = '[2,4)' WHERE id = 1; UPDATE ranges SET r = '[5,6)' WHERE id = 3; COMMIT;
SELECT is(undo('{exchanged}', tables => '{partial}'), 'partial 1 U, partial 2 U', 'of a partial index');
SELECT is(rows('partial'), '1:a:true, 2:a:false', 'as they were');
SELECT is(undo('{exchanged}', tables => '{lowered}'), '55000 nothing was done, as 2 rows are in conflict table lowered, key {"id": 1}: it cannot get its value from another row, which is to lose it (index "lowered_v")
table lowered, key {"id": 2}: it cannot get its value from another row, which is to lose it (index "lowered_v")', 'of an expression, where rows cannot be replaced: a conflict');
SELECT is(undo('{exchanged}', 'skip', true, '{lowered}'), undo('{exchanged}', 'skip', false, '{lowered}'), 'the dry run says the same');
SELECT is(rows('lowered'), '1:B, 2:A, 3:c', 'the others are as they were');
SELECT is(undo('{exchanged}', 'skip', tables => '{ranges}'), 'ranges 1 s it cannot get its value from another row, which is to lose it (index "ranges_r_excl"), ranges 2 s it cannot get its value from another row, which is to lose it (index "ranges_r_excl"), ranges 3 U', 'of an exclusion constraint, likewise');
SELECT is(rows('ranges') || '; ' || rows('of_ranges'), '1:[2,4), 2:[1,2), 3:[5,7); 2', 'with what refers to them');
DROP TABLE of_lowered, of_ranges;
SELECT is(undo('{exchanged}', tables => '{lowered,ranges}'), 'lowered 1 U, lowered 2 U, ranges 1 U, ranges 2 U', 'without, they come back');
SELECT is(rows('lowered') || '; ' || rows('ranges'), '1:a, 2:b, 3:c; 1:[1,3), 2:[3,5), 3:[5,7)', 'as they were');
BEGIN; SELECT step('left'); UPDATE lowered SET v = 'x' WHERE id = 1; UPDATE ranges SET r = '[20,21)' WHERE id = 1; DELETE FROM partial WHERE id = 1; COMMIT;
INSERT INTO lowered VALUES (4, 'A'); INSERT INTO ranges VALUES (4, '[2,3)'); UPDATE partial SET act = true WHERE id = 2;
SELECT is(undo('{left}', 'skip'), 'lowered 1 s another row has its value (index "lowered_v"), partial 1 s another row has its value (index "partial_v_idx"), ranges 1 s another row has its value (index "ranges_r_excl")', 'what another row has by now, by an expression, a predicate, an exclusion constraint');
UPDATE partial SET act = false;
SELECT is(undo('{left}', tables => '{partial}'), 'partial 1 I', 'and has not');

-- Two NULLs may be equal, from PostgreSQL 15 on.
SELECT current_setting('server_version_num')::int >= 150000 AS has_nulls \gset
\if :has_nulls
CREATE TABLE one_null (id int PRIMARY KEY, v int UNIQUE NULLS NOT DISTINCT);
SELECT create_history_table('one_null');
INSERT INTO one_null VALUES (1, NULL), (2, 2);
BEGIN; SELECT step('one null'); UPDATE one_null SET v = 3 WHERE id = 1; UPDATE one_null SET v = NULL WHERE id = 2; UPDATE one_null SET v = 2 WHERE id = 1; COMMIT;
SELECT is(undo('{one null}'), 'one_null 1 U, one_null 2 U', 'the one NULL, exchanged');
BEGIN; SELECT step('no null'); DELETE FROM one_null WHERE id = 1; COMMIT;
INSERT INTO one_null VALUES (3, NULL);
SELECT is(undo('{no null}', 'skip'), 'one_null 1 s another row has its value (index "one_null_v_key")', 'and taken');
\else
SELECT skip('NULLS NOT DISTINCT came with PostgreSQL 15', 2);
\endif

-- Columns added since: an identity column.
CREATE TABLE numbered (id int PRIMARY KEY, v text);
SELECT create_history_table('numbered');
INSERT INTO numbered VALUES (1, 'x'), (2, 'y'), (3, 'z');
BEGIN; SELECT step('numbered'); DELETE FROM numbered WHERE id < 3; COMMIT;
ALTER TABLE numbered ADD n smallint GENERATED ALWAYS AS IDENTITY;
SELECT is(undo('{numbered}'), 'numbered 1 I, numbered 2 I', 'rows come back into a table that has an identity column now');
SELECT results_eq('SELECT id, n > 1 FROM numbered WHERE id < 3 ORDER BY id', 'VALUES (1, true), (2, true)', 'with the next numbers');
SELECT is(count(DISTINCT n)::int, 3, 'each another one') FROM numbered;

-- Rules that leave out what is written.
CREATE TABLE ruled (id int PRIMARY KEY, v text);
SELECT create_history_table('ruled');
INSERT INTO ruled VALUES (1, 'old');
BEGIN; SELECT step('ruled'); UPDATE ruled SET v = 'new'; INSERT INTO ruled VALUES (2, 'x'); COMMIT;
CREATE RULE nothing AS ON UPDATE TO ruled DO INSTEAD NOTHING;
SELECT alike(undo('{ruled}'), '09000 only 1 of 2 rows of table "ruled" could be written %', 'a rule that leaves out an UPDATE');
SELECT alike(undo('{ruled}', dry => true), '09000 only 1 of 2 rows of table "ruled" could be written %', 'the dry run says so');
DROP RULE nothing ON ruled;
CREATE RULE nothing AS ON DELETE TO ruled DO INSTEAD NOTHING;
SELECT alike(undo('{ruled}'), '09000 only 1 of 2 rows of table "ruled" could be written %', 'a DELETE');
SELECT is(rows('ruled'), '1:new, 2:x', 'nothing was done');
DROP RULE nothing ON ruled;
SELECT is(undo('{ruled}'), 'ruled 1 U, ruled 2 D', 'without the rule');

-- Several transactions, and others in between.
CREATE TABLE several (id int PRIMARY KEY, v text);
SELECT create_history_table('several');
BEGIN; SELECT step('s1'); INSERT INTO several VALUES (1, 'x'), (2, 'b'), (3, 'k'); DELETE FROM several WHERE id = 3; COMMIT;
BEGIN; SELECT step('other'); UPDATE several SET v = 'y'; COMMIT;
INSERT INTO several VALUES (3, 'l');
BEGIN; SELECT step('s3'); UPDATE several SET v = 'z' WHERE id = 1; UPDATE several SET v = 'b' WHERE id = 2; DELETE FROM several WHERE id = 3; COMMIT;
SELECT is(undo('{s1,s3}', 'force', true), 'several 1 D changed in between by N, several 2 D changed in between by N, several 3 I', 'the first has inserted the row: before it there was nothing, with force');
UPDATE several SET v = 'h' WHERE id = 2;
SELECT is(undo('{s1,s3}', 'skip', true), 'several 1 s changed in between by N, several 2 s changed in between by N, N, several 3 I', 'and without it is a conflict, where the row is as another one had it');
BEGIN; SELECT step('s4'); DELETE FROM several WHERE id = 1; COMMIT;
SELECT is(undo('{s1,s3,s4}', 'force', true, '{several}'), 'several 2 D changed in between by N, N, several 3 I', 'what is gone again is as it was before');
SELECT is(undo('{s1,other,s3,s4}', 'skip', true), 'several 2 s changed since by N: column v, several 3 I', 'with the one in between it is their net effect');
INSERT INTO several VALUES (5, 'x');
BEGIN; SELECT step('d1'); DELETE FROM several WHERE id = 5; COMMIT;
BEGIN; SELECT step('d2'); INSERT INTO several VALUES (5, 'y'); COMMIT;
BEGIN; SELECT step('d3'); DELETE FROM several WHERE id = 5; COMMIT;
SELECT is(undo('{d1,d3}', 'skip', true), 'several 5 s changed in between by N', 'who came in between is told');
SELECT is(undo('{d1,d2,d3}', 'skip', true), 'several 5 I', 'and can be undone along with it');
BEGIN; SELECT step('i1'); INSERT INTO several VALUES (6, 'x'); COMMIT;
BEGIN; SELECT step('i2'); DELETE FROM several WHERE id = 6; COMMIT;
INSERT INTO several VALUES (6, 'other''s');
BEGIN; SELECT step('i4'); UPDATE several SET v = 'z' WHERE id = 6; COMMIT;
SELECT is(undo('{i1,i2,i4}', 'skip', true), 'several 6 s changed in between by N', 'a row that they made and took away themselves, and another one of its key');

-- A chain of thousands, as a skeleton has: what stays keeps all above it, what does not come all below.
CREATE TABLE chain (id int PRIMARY KEY, up int REFERENCES chain ON DELETE CASCADE, v text);
CREATE INDEX ON chain (up);
SELECT create_history_table('chain');
BEGIN; SELECT step('traced'); INSERT INTO chain SELECT g, nullif(g - 1, 0), 'a' FROM generate_series(1, 3000) g; COMMIT;
INSERT INTO chain VALUES (10000, 2000);
SELECT results_eq(format('SELECT action, count(*)::int, min((key->>''id'')::int) FROM undo_transactions(ARRAY[%s], on_conflict => ''skip'') GROUP BY 1 ORDER BY 1', id('traced')), $$VALUES ('DELETE', 1000, 2001), ('skip', 2000, 1)$$, 'somebody has gone on at a node');
SELECT is(count(*)::int, 2001, 'it is there, with all above it') FROM chain;
BEGIN; SELECT step('cut'); DELETE FROM chain; COMMIT;
INSERT INTO chain VALUES (1000, NULL, 'other');
SELECT results_eq(format('SELECT action, count(*)::int FROM undo_transactions(ARRAY[%s], on_conflict => ''skip'') GROUP BY 1 ORDER BY 1', id('cut')), $$VALUES ('INSERT', 999), ('skip', 1002)$$, 'a node that is another one''s by now');
SELECT is(max(id), 1000, 'what was below has not come') FROM chain;
SELECT is_empty('SELECT * FROM chain WHERE up = 1000', 'least of all below that of another one');

-- Hints lead out.
CREATE TABLE lone (id int PRIMARY KEY);
CREATE TABLE needed (id int PRIMARY KEY);
SELECT create_history_table('lone');
INSERT INTO lone VALUES (1), (2);
BEGIN; SELECT step('lone'); DELETE FROM lone; COMMIT;
ALTER TABLE lone ADD FOREIGN KEY (id) REFERENCES needed;
INSERT INTO needed VALUES (2);
SELECT is(hint(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('lone'))), 'With on_conflict => ''skip'' these rows are left as they are.', 'no other transaction is in the way, and none is offered');
SELECT is(undo('{lone}', 'skip'), 'lone 1 s it refers to a row of table "needed" that is not there (constraint "lone_id_fkey"), lone 2 I', 'and so it goes on');

-- Tables that cannot be undone, and have nothing to be, are in nobody's way.
CREATE TABLE fit (id int PRIMARY KEY);
CREATE TABLE unfit (id int PRIMARY KEY);
CREATE TABLE unkeyed (id int PRIMARY KEY);
SELECT create_history_table(t) FROM unnest('{fit,unfit,unkeyed}'::regclass[]) t;
BEGIN; SELECT step('fit'); INSERT INTO fit VALUES (1); COMMIT;
BEGIN; SELECT step('unfit'); INSERT INTO fit VALUES (2); INSERT INTO unfit VALUES (2); COMMIT;
SELECT disable_history_tracking_for_table('unfit');
SET client_min_messages = error;
ALTER TABLE unkeyed DROP CONSTRAINT unkeyed_pkey;
SET client_min_messages = warning;
SELECT is(undo('{fit}'), 'fit 1 D', 'a table that is not recorded, one without a key');
SELECT is(undo('{unfit}'), '55000 changes of table "unfit" are not recorded What is undone could not be undone again.', 'of which something is to be undone');
SELECT is(undo('{unfit}', tables => '{fit}'), 'fit 2 D', 'unless others are named');

-- Tables that the caller has not named: not those of strangers, who write their histories themselves.
GRANT USAGE, CREATE ON SCHEMA public TO undo_mallory, undo_alice;
GRANT USAGE ON SCHEMA tap TO undo_mallory, undo_alice;
GRANT SELECT, INSERT ON tap.steps TO undo_alice, undo_mallory;
SET ROLE undo_alice;
CREATE TABLE hers (id int PRIMARY KEY, v text);
SELECT create_history_table('hers');
INSERT INTO hers VALUES (1, 'a');
SET ROLE undo_mallory;
CREATE TABLE trap (id int PRIMARY KEY, v text);
SELECT create_history_table('trap');
CREATE TABLE loot (who text); GRANT INSERT ON loot TO PUBLIC;
CREATE FUNCTION trapped() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO loot VALUES (current_user); RETURN NEW; END$$;
CREATE TRIGGER trapped BEFORE INSERT ON trap FOR EACH ROW EXECUTE FUNCTION trapped();
GRANT SELECT, INSERT, UPDATE, DELETE ON trap, trap__history, trap__tracking TO PUBLIC;
SET ROLE undo_alice;
BEGIN; SELECT step('oops'); UPDATE hers SET v = 'oops'; COMMIT;
SET ROLE undo_mallory;
INSERT INTO trap__history (id, v, sys_period, exec_transaction_id) VALUES (1, 'x', tstzrange(NULL, now() - interval '1 hour'), id('oops'));
SET ROLE undo_alice;
SELECT is(undo('{oops}', dry => true), 'hers 1 U', 'a stranger''s table is left out, a dry run');
RESET ROLE;
SELECT is(undo('{oops}', dry => true, tables => '{hers}'), 'hers 1 U', 'control: named');
SELECT is(undo('{oops}', 'skip', true), '', 'a superuser''s as well, who has named none');
SET ROLE undo_alice;
SELECT is(undo('{oops}'), 'hers 1 U', 'nor can it make others fail');
SELECT is(rows('hers'), '1:a', 'done');
RESET ROLE;
SELECT is(rows('loot'), '', 'and nothing of a stranger''s has run');
GRANT undo_mallory TO undo_alice;
SET ROLE undo_alice;
SELECT alike(undo('{oops}', dry => true), '42P08 transaction id % names more than one transaction%', 'control: one whose role is granted is trusted');
RESET ROLE;
SELECT format('psql -X -q -A -t -h %s -p %s -U %s -d %s -c "SET client_min_messages = notice" -c', :'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
\set out `:client "SELECT * FROM undo_transactions('{1}')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:  2 tables of other owners were left out\s+DETAIL:  Tables: public.hers, public.trap.\s+HINT:  .* name the tables whose owners you trust', 'a NOTICE names what is left out');

SELECT finish();
DROP OWNED BY undo_mallory, undo_alice;
DROP ROLE undo_mallory, undo_alice;
