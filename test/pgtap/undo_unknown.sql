-- Section 10: what cannot be known, or does not come out as planned, is a conflict or an error and never silent.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(39);
\ir lib/undo.psql
DROP ROLE IF EXISTS undo_blind;
CREATE ROLE undo_blind;
CREATE FUNCTION tap.back(tables regclass[], as_of timestamptz, how text DEFAULT 'error', dry boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; BEGIN
	SELECT string_agg(concat_ws(' ', live_table, coalesce((SELECT string_agg(coalesce(k.value, '-'), ':') FROM jsonb_each_text(key) k), '*'), left(action, 1), left(conflict, 57)), ', ' ORDER BY live_table::text, key)
		INTO said FROM restore_tables(tables, as_of, NULL, how, dry);
	RETURN coalesce(said, '');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || SQLERRM || ' ' || said;
END $$;
CREATE FUNCTION tap.hint(cmd text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE said text; BEGIN EXECUTE cmd; RETURN NULL;
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT; RETURN said; END $$;

-- Pauses, and before the history begins: a conflict of the table, whatever rows are found.
CREATE TABLE paused (id int PRIMARY KEY, v text);
INSERT INTO paused VALUES (1, 'a'), (2, 'b');
SELECT clock_timestamp() AS before \gset
SELECT create_history_table('paused');
SELECT clock_timestamp() AS unpaused \gset
SELECT disable_history_tracking_for_table('paused');
UPDATE paused SET v = 'zz' WHERE id = 1; DELETE FROM paused WHERE id = 2;
SELECT clock_timestamp() AS within \gset
UPDATE paused SET v = 'zzz' WHERE id = 1;
SELECT enable_history_tracking_for_table('paused');
SELECT alike(back('{paused}', :'unpaused'), '55000 nothing was done, as 1 rows are in conflict table paused, key unknown: it is not known what was there: nothing was recorded from %', 'rows that were deleted in a pause leave nothing, but the table is in conflict');
SELECT is(back('{paused}', :'unpaused', 'skip'), 'paused * s it is not known what was there: nothing was recorded from', 'as a row without a key');
SELECT is(back('{paused}', :'within', 'force'), 'paused * s it is not known what was there: nothing was recorded from', 'an instant within the pause');
SELECT matches(back('{paused}', :'before', 'skip', true), 'paused \* s it is not known what was there: the history begins at ', 'before the history begins');
SELECT clock_timestamp() AS after \gset
UPDATE paused SET v = 'y';
SELECT is(back('{paused}', :'after'), 'paused 1 U', 'after the pause all is known');

-- Rows that appeared by syncing may be older.
CREATE TABLE synced (id int PRIMARY KEY, v text);
SELECT create_history_table('synced');
INSERT INTO synced VALUES (1, 'x');
SET session_replication_role = replica; INSERT INTO synced VALUES (3, 'c'); RESET session_replication_role;
SELECT clock_timestamp() AS unsynced \gset
SELECT sync_tracking_table('synced', 'synced__tracking');
INSERT INTO synced VALUES (4, 'd');
SELECT is(back('{synced}', :'unsynced', 'skip'), 'synced 3 s it is not known what was there, synced 4 D', 'a row that appeared by syncing is not deleted');

-- An id that names two transactions, one of which has inserted rows.
CREATE TABLE twice (id int PRIMARY KEY, v text);
SELECT create_history_table('twice');
BEGIN; SELECT step('once'); INSERT INTO twice VALUES (1, 'a'), (2, 'b'); COMMIT;
SELECT is(undo('{once}', dry => true), 'twice 1 D, twice 2 D', 'control: one transaction');
INSERT INTO twice VALUES (3, 'c');
UPDATE twice__tracking SET txid = id('once') WHERE live_pk = 3;
SELECT alike(undo('{once}', dry => true), '42P08 transaction id % names more than one transaction There are changes of it at %', 'rows that began at two times');
-- what an overlapped transaction had deleted before began then
DELETE FROM twice WHERE id = 3;
INSERT INTO twice__history SELECT 3, 'd', tstzrange(NULL, now() + interval '1 second'), 1, NULL;
INSERT INTO twice VALUES (3, 'e');
UPDATE twice__tracking SET txid = id('once') WHERE live_pk = 3;
DELETE FROM twice__history WHERE start_transaction_id = id('once');
SELECT is(undo('{once}', dry => true), 'twice 1 D, twice 2 D, twice 3 D', 'unless another row of the key ended then');

-- The key is another one by now.
CREATE TABLE rekeyed (id int PRIMARY KEY, v text);
CREATE TABLE widened (id int PRIMARY KEY, v text);
SELECT create_history_table('rekeyed'), create_history_table('widened');
INSERT INTO rekeyed VALUES (1, 'a'), (2, 'b'); INSERT INTO widened TABLE rekeyed;
SELECT clock_timestamp() AS keyed \gset
BEGIN; SELECT step('rekeyed'); UPDATE rekeyed SET v = 'u' WHERE id = 1; DELETE FROM rekeyed WHERE id = 2; UPDATE widened SET v = 'u' WHERE id = 1; DELETE FROM widened WHERE id = 2; COMMIT;
SET client_min_messages = error;
ALTER TABLE rekeyed ADD n uuid DEFAULT '00000000-0000-0000-0000-000000000007'; ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey; ALTER TABLE rekeyed ADD PRIMARY KEY (n);
ALTER TABLE widened ADD n serial; ALTER TABLE widened DROP CONSTRAINT widened_pkey; ALTER TABLE widened ADD PRIMARY KEY (id, n);
RESET client_min_messages; SET client_min_messages = warning;
SELECT is((SELECT string_agg(DISTINCT action || ' ' || conflict, ', ') FROM undo_transactions(ARRAY[id('rekeyed')], on_conflict => 'force')), 'skip it is not known what was there', 'versions without a value of today''s key, and what would be deleted in their stead');
SELECT is((SELECT string_agg(DISTINCT action || ' ' || conflict, ', ') FROM restore_tables('{rekeyed,widened}', :'keyed', on_conflict => 'force')), 'skip it is not known what was there', 'as of an instant');
SELECT is(rows('rekeyed') || '; ' || rows('widened'), '1:u:00000000-0000-0000-0000-000000000007; 1:u:1', 'nothing was done');
INSERT INTO rekeyed VALUES (3, 'c', '00000000-0000-0000-0000-000000000008');
BEGIN; SELECT step('keyed'); UPDATE rekeyed SET v = 'd' WHERE id = 3; COMMIT;
SELECT is(undo('{keyed}'), 'rekeyed 00000000-0000-0000-0000-000000000008 U', 'what came by the new key is known');

-- Columns added since: every kind of default.
CREATE TABLE grown (id int PRIMARY KEY, v text);
SELECT create_history_table('grown');
INSERT INTO grown VALUES (1, 'a');
BEGIN; SELECT step('grown'); DELETE FROM grown; COMMIT;
CREATE DOMAIN nine AS int DEFAULT 9;
ALTER TABLE grown ADD n nine NOT NULL, ADD m int DEFAULT 3 + 4, ADD c text;
SELECT is(undo('{grown}'), 'grown 1 I', 'the default of a domain');
SELECT is(rows('grown'), '1:a:9:7', 'and of a column, and none');

-- What triggers do to the rows that are written.
CREATE TABLE source (id int PRIMARY KEY, v text, at text);
CREATE TABLE target (id int PRIMARY KEY, v text);
CREATE FUNCTION tap.clear() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM target WHERE id = OLD.id; RETURN NULL; END$$;
CREATE FUNCTION tap.again() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO target VALUES (OLD.*); RETURN NULL; END$$;
CREATE FUNCTION tap.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.at := 'touched'; RETURN NEW; END$$;
SELECT create_history_table('source'), create_history_table('target');
INSERT INTO source VALUES (1, 'x', 'then'); INSERT INTO target VALUES (1, 'b');
BEGIN; SELECT step('source'); UPDATE source SET v = 'q'; UPDATE target SET v = 'new'; COMMIT;
CREATE TRIGGER clear AFTER UPDATE ON source FOR EACH ROW EXECUTE FUNCTION clear();
SELECT alike(undo('{source}'), '09000 only 0 of 1 rows of table "target" could be written %', 'a trigger that deletes a row just written');
SELECT is(rows('target'), '1:new', 'nothing was done');
DROP TRIGGER clear ON source;
INSERT INTO target VALUES (2, 'c');
BEGIN; SELECT step('target'); INSERT INTO target VALUES (3, 'd'); COMMIT;
CREATE TRIGGER again AFTER DELETE ON target FOR EACH ROW EXECUTE FUNCTION again();
SELECT alike(undo('{target}'), '09000 only 0 of 1 rows of table "target" could be written %', 'one that inserts a row again');
DROP TRIGGER again ON target;
CREATE TRIGGER touch BEFORE UPDATE ON source FOR EACH ROW EXECUTE FUNCTION touch();
UPDATE target SET v = 'b' WHERE id = 1;
SELECT format('psql -X -q -A -t -h %s -p %s -U %s -d %s -c "SET client_min_messages = notice" -c', :'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
ALTER TABLE source DISABLE TRIGGER touch; UPDATE source SET v = 's2', at = 'then'; ALTER TABLE source ENABLE TRIGGER touch;
BEGIN; SELECT step('told'); ALTER TABLE source DISABLE TRIGGER touch; UPDATE source SET v = 's3'; ALTER TABLE source ENABLE TRIGGER touch; COMMIT;
SELECT id('told') AS touch \gset
\setenv TOUCH :touch
\set out `:client "SELECT action FROM undo_transactions('{$TOUCH}')" 2>&1`
SELECT is(:'out'::text, E'NOTICE:  triggers of table "source" have given 1 rows other values than they had\nDETAIL:  Columns: at.\nUPDATE', 'other values that a trigger gives are told');
SELECT is(rows('source'), '1:s2:touched', 'control: it has');

-- Children do not come back to another row of their parent's key.
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE kid (id int PRIMARY KEY, par int NOT NULL REFERENCES par ON DELETE CASCADE);
SELECT create_history_table('par'), create_history_table('kid');
INSERT INTO par VALUES (1, 'x'); INSERT INTO kid VALUES (1, 1);
BEGIN; SELECT step('family'); DELETE FROM par; COMMIT;
INSERT INTO par VALUES (1, 'other');
SELECT is(undo('{family}', 'skip'), 'kid 1 s it refers to a row of table "par" that does not come back (constraint "kid_par_fkey"), par 1 s there is another row of this key, made by N', 'the child of a row that is left out');
SELECT is(rows('kid'), '', 'has not come back to another one');
SELECT is(undo('{family}', 'force'), 'kid 1 I, par 1 U there is another row of this key, made by N', 'with force both come');
SELECT is(rows('par') || '; ' || rows('kid'), '1:x; 1:1', 'as they were');

-- Foreign keys to and of partitions.
CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 (v text, gone int, id int NOT NULL);
ALTER TABLE part1 DROP gone; ALTER TABLE part ATTACH PARTITION part1 FOR VALUES FROM (0) TO (10);
CREATE TABLE of_part (id int PRIMARY KEY, part int REFERENCES part1 ON DELETE CASCADE);
SELECT create_history_table('part'), create_history_table('of_part');
BEGIN; SELECT step('part'); INSERT INTO part VALUES (1, 'x'); COMMIT;
INSERT INTO of_part VALUES (1, 1);
SELECT is(undo('{part}', 'force'), 'part 1 s a row of table "of_part" refers to it (constraint "of_part_part_fkey")', 'a foreign key to a partition');
SELECT is(rows('of_part'), '1:1', 'the child stays');
CREATE TABLE up (id int PRIMARY KEY);
INSERT INTO up VALUES (1), (2);
INSERT INTO part VALUES (2);
ALTER TABLE part1 ADD FOREIGN KEY (id) REFERENCES up;
BEGIN; SELECT step('of part'); DELETE FROM part WHERE id = 2; COMMIT;
DELETE FROM up WHERE id = 2;
SELECT is(undo('{of part}', 'skip'), 'part 2 s it refers to a row of table "up" that is not there (constraint "part1_id_fkey")', 'a foreign key of a partition');
INSERT INTO up VALUES (2);
SELECT is(undo('{of part}'), 'part 2 I', 'it comes when it is there');

-- What the caller may not see is not done to it.
CREATE TABLE seen (id int PRIMARY KEY, v text UNIQUE);
CREATE TABLE hidden (id int PRIMARY KEY, seen int REFERENCES seen ON DELETE CASCADE, v text REFERENCES seen (v) ON UPDATE SET NULL);
SELECT create_history_table('seen');
GRANT ALL ON seen, seen__history, seen__tracking TO undo_blind;
GRANT USAGE ON SCHEMA tap TO undo_blind; GRANT SELECT ON tap.steps TO undo_blind;
BEGIN; SELECT step('made'); INSERT INTO seen VALUES (1, 'a'); COMMIT;
BEGIN; SELECT step('named'); UPDATE seen SET v = 'b'; COMMIT;
INSERT INTO hidden VALUES (1, 1, 'b');
SET ROLE undo_blind;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s], ''{seen}'', on_conflict => ''force'')', id('made')), '42501', 'permission denied for table hidden', 'ON DELETE CASCADE to a table that the caller may not read, with force');
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s], ''{seen}'')', id('named')), '42501', 'permission denied for table hidden', 'ON UPDATE SET NULL, likewise');
RESET ROLE;
SELECT is(rows('seen') || '; ' || rows('hidden'), '1:b; 1:1:b', 'all is there');

-- Rules: children have moved before their parents go.
CREATE TABLE ruled (id int PRIMARY KEY, v text);
CREATE TABLE of_ruled (id int PRIMARY KEY, ruled int REFERENCES ruled ON DELETE CASCADE);
CREATE TABLE logged (id int);
SELECT create_history_table('ruled'), create_history_table('of_ruled');
INSERT INTO ruled VALUES (1, 'x'); INSERT INTO of_ruled VALUES (1, 1);
BEGIN; SELECT step('moved'); INSERT INTO ruled VALUES (3, 'n'); UPDATE of_ruled SET ruled = 3; DELETE FROM ruled WHERE id = 1; COMMIT;
CREATE RULE logged AS ON DELETE TO ruled DO ALSO INSERT INTO logged VALUES (1);
SELECT is(undo('{moved}'), 'of_ruled 1 U, ruled 1 I, ruled 3 D', 'a parent that goes, and a child that moves away from it');
SELECT is(rows('ruled') || '; ' || rows('of_ruled'), '1:x; 1:1', 'as they were');

-- Columns that may not be NULL for a moment.
CREATE DOMAIN not_null AS text NOT NULL;
CREATE TABLE strict (id int PRIMARY KEY, v not_null UNIQUE, w text UNIQUE CHECK (w IS NOT NULL));
SELECT create_history_table('strict');
INSERT INTO strict VALUES (1, 'a', 'a'), (2, 'b', 'b');
BEGIN; SELECT step('strict'); UPDATE strict SET v = 't', w = 't' WHERE id = 1; UPDATE strict SET v = 'a', w = 'a' WHERE id = 2; UPDATE strict SET v = 'b', w = 'b' WHERE id = 1; COMMIT;
SELECT is(undo('{strict}'), 'strict 1 U, strict 2 U', 'exchanged values of a domain, of a column with a CHECK');
SELECT is(rows('strict'), '1:a:a, 2:b:b', 'as they were');

-- What is said.
CREATE SCHEMA "S s"; CREATE TABLE "S s"."T t" (id int PRIMARY KEY, v text);
SELECT create_history_table('"S s"."T t"');
INSERT INTO "S s"."T t" VALUES (1, 'a');
BEGIN; SELECT step('quoted'); UPDATE "S s"."T t" SET v = 'b'; COMMIT;
UPDATE "S s"."T t" SET v = 'c';
SELECT alike(undo('{quoted}'), '%table "S s"."T t", key {"id": 1}: changed since by N: column v', 'a name of two parts');
CREATE TABLE identified (id int PRIMARY KEY, "N n" int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE of_identified (id int REFERENCES identified ON DELETE CASCADE);
SELECT create_history_table('identified');
INSERT INTO identified VALUES (1);
BEGIN; SELECT step('identified'); UPDATE identified SET "N n" = DEFAULT; COMMIT;
SELECT substring(hint(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('identified'))) FROM '^[^;]*;') AS typed \gset
SELECT is(:'typed'::text, 'ALTER TABLE public.identified ALTER COLUMN "N n" SET GENERATED BY DEFAULT;', 'a hint');
SELECT lives_ok(:'typed', 'can be typed');
SELECT is(undo('{identified}'), 'identified 1 U', 'and leads out');

SELECT finish();
DROP OWNED BY undo_blind;
DROP ROLE undo_blind;
