-- Section 10: undo of every kind of table, key, column and constraint, and with triggers.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(61);
\ir lib/undo.psql

-- Unique values that are swapped: NULL for a moment, or rows deleted and inserted.
CREATE TABLE swap_null (id int PRIMARY KEY, code int UNIQUE);
CREATE TABLE swap_not_null (id int PRIMARY KEY, code int NOT NULL UNIQUE);
CREATE TABLE swap_child (id int PRIMARY KEY, up int REFERENCES swap_not_null);
CREATE TABLE swap_deferred (id int PRIMARY KEY, code int UNIQUE DEFERRABLE);
CREATE TABLE swap_key (id int PRIMARY KEY DEFERRABLE, v text);
CREATE TABLE period (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&));
SELECT create_history_table(t) FROM unnest('{swap_null,swap_not_null,swap_child,swap_deferred,swap_key,period}'::regclass[]) t;
INSERT INTO swap_null VALUES (1, 10), (2, 20), (3, 30);
INSERT INTO swap_not_null TABLE swap_null;
INSERT INTO swap_child VALUES (1, 1), (2, 2);
INSERT INTO swap_deferred TABLE swap_null;
INSERT INTO swap_key VALUES (1, 'a'), (2, 'b');
INSERT INTO period VALUES (1, '[1,5)'), (2, '[5,9)');
BEGIN; SELECT step('swap');
UPDATE swap_null SET code = -code; UPDATE swap_null SET code = 50 + code WHERE id < 3; UPDATE swap_null SET code = CASE id WHEN 1 THEN 20 WHEN 2 THEN 30 ELSE 10 END;
UPDATE swap_not_null SET code = -code; UPDATE swap_not_null SET code = CASE id WHEN 1 THEN 20 WHEN 2 THEN 30 ELSE 10 END;
UPDATE swap_deferred SET code = CASE id WHEN 1 THEN 20 WHEN 2 THEN 30 ELSE 10 END;
UPDATE swap_key SET id = 3 - id;
UPDATE period SET during = NULL; UPDATE period SET during = CASE id WHEN 1 THEN '[3,9)' ELSE '[1,3)' END::int4range;
COMMIT;
SELECT is(undo('{swap}', tables => '{swap_null}'), 'swap_null 1 U, swap_null 2 U, swap_null 3 U', 'swapped unique values');
SELECT is(rows('swap_null'), '1:10, 2:20, 3:30', 'as they were');
SELECT is(undo('{swap}', tables => '{swap_not_null}'), 'swap_not_null 1 U, swap_not_null 2 U, swap_not_null 3 U', 'of a NOT NULL column');
SELECT is(rows('swap_not_null') || '; ' || rows('swap_child'), '1:10, 2:20, 3:30; 1:1, 2:2', 'as they were, and what refers to them');
SELECT is(undo('{swap}', tables => '{swap_deferred}'), 'swap_deferred 1 U, swap_deferred 2 U, swap_deferred 3 U', 'of a deferrable constraint');
SELECT is(undo('{swap}', tables => '{swap_key}'), 'swap_key 1 U, swap_key 2 U', 'swapped keys');
SELECT is(rows('swap_key') || '; ' || rows('swap_deferred'), '1:a, 2:b; 1:10, 2:20, 3:30', 'as they were');
SELECT is(undo('{swap}', tables => '{period}'), 'period 1 U, period 2 U', 'an exclusion constraint');
SELECT is(rows('period'), '1:[1,5), 2:[5,9)', 'as it was');
BEGIN; SELECT step('unique'); UPDATE swap_null SET code = code + 1; COMMIT;
INSERT INTO swap_null VALUES (4, 10);
SELECT is(undo('{unique}', 'skip'), 'swap_null 1 s another row has its value (index "swap_null_code_key"), swap_null 2 U, swap_null 3 U', 'a unique value that another row has now');

-- Identity and generated columns, domains, enums, json, long values.
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE odd ("Key" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, d small, m mood, j json, g int GENERATED ALWAYS AS (d + 1) STORED, "long" text, n numeric);
SELECT create_history_table('odd');
INSERT INTO odd (d, m, j, "long", n) SELECT i, 'sad', '{"a":  1}', (SELECT string_agg(md5(x::text), '') FROM generate_series(1, 3000) x), 1.0 FROM generate_series(1, 3) i;
SELECT md5(string_agg(o::text, ',' ORDER BY "Key")) AS odd_was FROM odd o \gset
BEGIN; SELECT step('odd'); UPDATE odd SET d = 50, m = 'glad', j = '{"a": 1}', "long" = 'short', n = 1.00 WHERE "Key" < 3; DELETE FROM odd WHERE "Key" = 3; INSERT INTO odd (d) VALUES (9); COMMIT;
SELECT is(undo('{odd}'), 'odd 1 U, odd 2 U, odd 3 I, odd 4 D', 'identity, generated, json, long');
SELECT is((SELECT md5(string_agg(o::text, ',' ORDER BY "Key")) FROM odd o), :'odd_was', 'byte by byte');
INSERT INTO odd (d) VALUES (8);
BEGIN; SELECT step('enum'); UPDATE odd SET m = 'glad' WHERE "Key" = 5; COMMIT;
ALTER TABLE odd ALTER COLUMN m TYPE text;
SELECT is(undo('{enum}'), 'odd 5 U', 'a type that was widened since');
BEGIN; SELECT step('domain'); UPDATE odd SET d = 60 WHERE "Key" = 5; COMMIT;
ALTER DOMAIN small ADD CHECK (VALUE <> 8) NOT VALID;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('domain')), '23514', NULL, 'a value that its domain does not take any more');
CREATE TABLE second (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v text);
SELECT create_history_table('second');
INSERT INTO second (id, v) VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('second'); DELETE FROM second WHERE id = 1; INSERT INTO second (id, v) VALUES (1, 'c'); UPDATE second SET v = 'd' WHERE id = 2; COMMIT;
SELECT is(undo('{second}'), 'second 1 U, second 2 U', 'an identity column that is no key, of a row that was replaced');
SELECT is(rows('second'), '1:1:a, 2:2:b', 'as it was');

-- Columns dropped, renamed since.
CREATE TABLE altered (id int PRIMARY KEY, a text, b text);
SELECT create_history_table('altered');
INSERT INTO altered VALUES (1, 'a', 'b'), (2, 'a', 'b');
BEGIN; SELECT step('altered'); UPDATE altered SET a = 'x', b = 'y' WHERE id = 1; DELETE FROM altered WHERE id = 2; COMMIT;
ALTER TABLE altered DROP COLUMN a;
ALTER TABLE altered RENAME COLUMN b TO "C c";
SELECT is(undo('{altered}'), 'altered 1 U, altered 2 I', 'a column dropped, another one renamed');
SELECT is(rows('altered'), '1:b, 2:b', 'what is left of it');

-- Columns added since: they keep their present value, or get their default.
CREATE TABLE grown (id int PRIMARY KEY, a text);
SELECT create_history_table('grown');
INSERT INTO grown VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
BEGIN; SELECT step('grown'); UPDATE grown SET a = 'x' WHERE id IN (1, 3); DELETE FROM grown WHERE id = 2; COMMIT;
SELECT clock_timestamp() AS small \gset
ALTER TABLE grown ADD COLUMN b int NOT NULL DEFAULT 5;
BEGIN; SELECT step('b'); UPDATE grown SET b = 6 WHERE id = 3; COMMIT;
SELECT is(undo('{grown}', 'skip', true), 'grown 1 U, grown 2 I, grown 3 s changed since by N: column b', 'a column added since');
SELECT is(undo('{b}', 'skip'), 'grown 3 U', 'a change of it');
SELECT is(undo('{grown}'), 'grown 1 U, grown 2 I, grown 3 U', 'all that was before it');
SELECT is(rows('grown'), '1:a:5, 2:b:5, 3:c:5, 4:d:5', 'it has its present value, or its default');
UPDATE grown SET a = 'y', b = 7 WHERE id = 1;
SELECT is((SELECT string_agg(concat_ws(' ', key ->> 'id', action), ', ' ORDER BY key) FROM restore_tables('{grown}', :'small')), '1 UPDATE, 2 DELETE, 3 UPDATE', 'restored');
SELECT is(rows('grown'), '1:x:7, 3:x:5, 4:d:5', 'likewise');
BEGIN; SELECT step('null'); ALTER TABLE grown ALTER COLUMN b DROP NOT NULL; UPDATE grown SET b = NULL WHERE id = 4; COMMIT;
BEGIN; SELECT step('not null'); UPDATE grown SET b = 9 WHERE id = 4; COMMIT;
SELECT is(undo('{not null}'), 'grown 4 U', 'NULL that it had');
SELECT is(b, NULL, 'comes back') FROM grown WHERE id = 4;

-- Partitions, and rows that moved; a hierarchy.
CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (1) TO (10);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (PRIMARY KEY (id), w int) INHERITS (base);
SELECT create_history_table('part'), create_history_table('leaf');
INSERT INTO part VALUES (1, 'a'), (2, 'b'), (11, 'c');
INSERT INTO base VALUES (1, 'base'); INSERT INTO leaf VALUES (2, 'leaf', 7), (3, 'leaf', 8);
BEGIN; SELECT step('part'); UPDATE part SET id = id + 10 WHERE id = 2; UPDATE part SET v = 'x' WHERE id = 11; DELETE FROM part WHERE id = 1; UPDATE base SET v = 'new' WHERE id < 3; DELETE FROM base WHERE id = 3; COMMIT;
SELECT is(undo('{part}'), 'base 1 U, leaf 2 U, leaf 3 I, part 1 I, part 2 I, part 11 U, part 12 D', 'partitions and a hierarchy');
SELECT is(rows('part1') || '; ' || rows('part2') || '; ' || rows('base') || '; ' || rows('leaf'), '1:a, 2:b; 11:c; 1:base, 2:leaf, 3:leaf; 2:leaf:7, 3:leaf:8', 'each where it was');
BEGIN; SELECT step('truncate'); TRUNCATE part, base; COMMIT;
SELECT is(undo('{truncate}'), 'base 1 I, leaf 2 I, leaf 3 I, part 1 I, part 2 I, part 11 I', 'TRUNCATE');
SELECT is(rows('part1') || '; ' || rows('part2') || '; ' || rows('base') || '; ' || rows('leaf'), '1:a, 2:b; 11:c; 1:base, 2:leaf, 3:leaf; 2:leaf:7, 3:leaf:8', 'each where it was');

-- Foreign keys: cycles that are not deferrable, self-references, SET NULL, other unique columns.
CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL);
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
CREATE TABLE holder (id int PRIMARY KEY, code text NOT NULL UNIQUE);
CREATE TABLE held (id int PRIMARY KEY, code text REFERENCES holder (code) ON UPDATE CASCADE ON DELETE SET NULL);
SELECT create_history_table(t) FROM unnest('{hen,egg,tree,holder,held}'::regclass[]) t;
WITH h AS (INSERT INTO hen VALUES (1, 1)) INSERT INTO egg VALUES (1, 1);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 4);
INSERT INTO holder VALUES (1, 'a'), (2, 'b'), (3, 'c'); INSERT INTO held VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('refer'); WITH h AS (DELETE FROM hen) DELETE FROM egg; DELETE FROM tree; DELETE FROM holder WHERE id = 1; UPDATE holder SET code = 'x' WHERE id = 2; COMMIT;
SELECT is(rows('held'), '1, 2:x', 'control: the keys have acted');
SELECT is(undo('{refer}'), 'egg 1 I, held 1 U, held 2 U, hen 1 I, holder 1 I, holder 2 U, tree 1 I, tree 2 I, tree 3 I, tree 4 I', 'cycles, self-references, SET NULL, ON UPDATE CASCADE');
SELECT is(rows('hen') || '; ' || rows('egg') || '; ' || rows('tree') || '; ' || rows('held'), '1:1; 1:1; 1, 2:1, 3:2, 4:4; 1:a, 2:b', 'as they were');
BEGIN; SELECT step('code'); UPDATE holder SET code = 'z' WHERE id = 3; COMMIT;
INSERT INTO held VALUES (3, 'z');
SELECT is(undo('{code}', 'skip', true), 'holder 3 s a row of table "held" refers to it (constraint "held_code_fkey")', 'a unique column that others refer to by now');

-- Triggers of the application: a counter of children, a row that one adds, one that suppresses.
CREATE TABLE album (id int PRIMARY KEY, songs int DEFAULT 0);
CREATE TABLE song (id int PRIMARY KEY, album int REFERENCES album);
CREATE TABLE cover (album int PRIMARY KEY REFERENCES album ON DELETE CASCADE, art text DEFAULT 'none');
CREATE FUNCTION tap.counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_OP <> 'INSERT' THEN UPDATE album SET songs = songs - 1 WHERE id = OLD.album; END IF;
	IF TG_OP <> 'DELETE' THEN UPDATE album SET songs = songs + 1 WHERE id = NEW.album; END IF;
	RETURN NULL; END $$;
CREATE FUNCTION tap.covered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO cover VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON song FOR EACH ROW EXECUTE FUNCTION counted();
CREATE TRIGGER covered AFTER INSERT ON album FOR EACH ROW EXECUTE FUNCTION covered();
SELECT create_history_table(t) FROM unnest('{album,song,cover}'::regclass[]) t;
INSERT INTO album VALUES (1), (2); INSERT INTO song VALUES (1, 1), (2, 1), (3, 2); UPDATE cover SET art = 'cat';
BEGIN; SELECT step('counter'); UPDATE song SET album = 2; INSERT INTO song VALUES (4, 1); COMMIT;
SELECT is(undo('{counter}'), 'album 1 U, album 2 U, song 1 U, song 2 U, song 4 D', 'a counter that a trigger keeps');
SELECT is(rows('album'), '1:2, 2:1', 'as it was');
BEGIN; SELECT step('covers'); DELETE FROM song; DELETE FROM album; COMMIT;
SELECT is(undo('{covers}'), 'album 1 I, album 2 I, cover 1 I, cover 2 I, song 1 I, song 2 I, song 3 I', 'rows that a trigger adds by itself');
SELECT is(rows('album') || '; ' || rows('cover') || '; ' || rows('song'), '1:2, 2:1; 1:cat, 2:cat; 1:1, 2:1, 3:2', 'as they were');
BEGIN; SELECT step('new album'); INSERT INTO album VALUES (9); COMMIT;
SELECT is(undo('{new album}'), 'album 9 D, cover 9 D', 'what the transaction''s triggers added goes along');
CREATE TABLE guarded (id int PRIMARY KEY, v text);
CREATE FUNCTION tap.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$;
SELECT create_history_table('guarded');
INSERT INTO guarded VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('guard'); UPDATE guarded SET v = 'x'; COMMIT;
CREATE TRIGGER guard BEFORE UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION guard();
SELECT is(undo('{guard}'), '09000 only 1 of 2 rows of table "guarded" could be written A trigger or a rule of the table has suppressed the others, or written them itself.', 'a trigger that suppresses');
SELECT is(rows('guarded'), '1:x, 2:x', 'nothing was done');
DROP TRIGGER guard ON guarded;
CREATE TABLE seen (id int);
CREATE RULE seen AS ON UPDATE TO guarded DO ALSO INSERT INTO seen VALUES (NEW.id);
SELECT is(undo('{guard}'), 'guarded 1 U, guarded 2 U', 'a table with rules');
SELECT is(rows('guarded'), '1:a, 2:b', 'as it was');

-- An id that names two transactions, after a restore into another cluster.
CREATE TABLE twice (id int PRIMARY KEY, v text);
SELECT create_history_table('twice');
INSERT INTO twice VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT step('twice'); UPDATE twice SET v = 'x' WHERE id = 1; COMMIT;
INSERT INTO twice__history SELECT 2, 'old', '[2001-01-01,2001-01-02)', id('twice'), NULL;
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('twice')), '42P08', format('transaction id %s names more than one transaction', id('twice')));

-- Nothing is left half-done: a deferred constraint in a dry run.
CREATE TABLE late (id int PRIMARY KEY, up int);
CREATE TABLE late_up (id int PRIMARY KEY);
SELECT create_history_table('late');
INSERT INTO late VALUES (1, 1);
BEGIN; SELECT step('late'); DELETE FROM late; COMMIT;
CREATE FUNCTION tap.complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE CONSTRAINT TRIGGER complain AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION complain();
SELECT throws_ok(format('SELECT * FROM undo_transactions(ARRAY[%s], dry_run => true)', id('late')), 'P0001', 'no', 'a dry run has deferred constraints checked');
SELECT is(rows('late'), '', 'nothing is there');
-- The error's hint, typed.
UPDATE guarded SET v = 'p' WHERE id = 1;
BEGIN; SELECT step('p'); UPDATE guarded SET v = 'q' WHERE id = 1; COMMIT;
BEGIN; SELECT step('r'); UPDATE guarded SET v = 'r' WHERE id = 1; COMMIT;
CREATE FUNCTION tap.hint(cmd text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE said text; BEGIN EXECUTE cmd; RETURN NULL;
EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS said = PG_EXCEPTION_HINT; RETURN said; END $$;
SELECT substring(hint(format('SELECT * FROM undo_transactions(ARRAY[%s])', id('p'))) FROM 'SELECT [^;]*') AS typed \gset
SELECT is(:'typed', format('SELECT * FROM public.undo_transactions(ARRAY[%s, %s])', id('p'), id('r')), 'the hint');
SELECT lives_ok(:'typed', 'can be typed');
SELECT is(rows('guarded'), '1:p, 2:b', 'and leads out');

-- What did not convert stands in a kept column: NULL is not what was there.
CREATE TABLE lossy (id int PRIMARY KEY, size text);
SELECT create_history_table('lossy');
INSERT INTO lossy VALUES (1, 'big'), (2, '7'), (3, 'wide'), (4, NULL);
BEGIN; SELECT step('sizes'); UPDATE lossy SET size = '5'; COMMIT;
SELECT clock_timestamp() AS sized \gset
BEGIN; SELECT step('no sizes'); UPDATE lossy SET size = NULL WHERE id = 3; COMMIT;
ALTER TABLE lossy ALTER size TYPE int USING (CASE WHEN size ~ '^\d+$' THEN size END)::int;
SELECT is(rows('lossy') || '; ' || (SELECT string_agg(concat_ws(':', id, size, size_1), ', ' ORDER BY id, size_1) FROM lossy__history WHERE exec_transaction_id = id('sizes')), '1:5, 2:5, 3, 4:5; 1:big, 2:7:7, 3:wide, 4', 'control: kept');
SELECT is(undo('{sizes,no sizes}', 'force'), 'lossy 1 s it is not known what was there, lossy 2 U, lossy 3 s it is not known what was there, lossy 4 U', 'NULL beside a kept value is not known, with force neither, and where the row is NULL now');
SELECT is(rows('lossy'), '1:5, 2:7, 3, 4', 'the others are as they were');
SELECT is((SELECT string_agg(concat_ws(' ', key->>'id', left(action, 1), conflict), ', ' ORDER BY key) FROM restore_tables('{lossy}', (SELECT lower(sys_period) FROM lossy__history WHERE id = 1 AND size_1 = 'big'), on_conflict => 'force', dry_run => true)), '1 s it is not known what was there, 3 s it is not known what was there', 'and of an instant');
ALTER TABLE lossy RENAME size TO width;
SELECT is(undo('{sizes,no sizes}', 'force', true), 'lossy 1 s it is not known what was there, lossy 3 s it is not known what was there', 'nor when the column has another name since');
SET catmaid_history.on_drop_column = 'keep';
CREATE TABLE again (id int PRIMARY KEY, v text);
SELECT create_history_table('again');
INSERT INTO again VALUES (1, 'a');
BEGIN; SELECT step('gone'); DELETE FROM again; COMMIT;
ALTER TABLE again DROP v;
ALTER TABLE again ADD v text DEFAULT 'new';
SELECT is(undo('{gone}', 'force'), 'again 1 s it is not known what was there', 'nor whether a column that was dropped is the one that was added again');
RESET catmaid_history.on_drop_column;

-- Of what was erased it is not known that there was nothing.
CREATE TABLE erased (id int PRIMARY KEY, v text);
CREATE TABLE kept (id int PRIMARY KEY, v text);
SELECT create_history_table(t) FROM unnest('{erased,kept}'::regclass[]) t;
INSERT INTO erased VALUES (1, 'a'), (2, 'b'); INSERT INTO kept TABLE erased;
SELECT clock_timestamp() AS unerased \gset
BEGIN; SELECT step('erased'); UPDATE erased SET v = 'x'; INSERT INTO kept VALUES (3, 'c'); COMMIT;
SELECT erase_history('erased', '{"id": 1}', 'asked for');
SELECT is(undo('{erased}', 'force', true), 'erased 1 s it is not known what was there, erased 2 U, kept 3 D', 'a row whose history was erased is not deleted');
SELECT is((SELECT string_agg(concat_ws(' ', key->>'id', left(action, 1), conflict), ', ' ORDER BY key) FROM restore_tables('{erased}', :'unerased', on_conflict => 'force', dry_run => true)), '1 s it is not known what was there, 2 U', 'nor as of an instant before');
SELECT is(rows('erased'), '1:x, 2:x', 'it is there');
BEGIN; SELECT step('after'); INSERT INTO erased VALUES (3, 'c'); COMMIT;
SELECT is(undo('{after}'), 'erased 3 D', 'what came after the erasure is known');

-- A txid column without a default: what was inserted does not say by whom.
CREATE TABLE unstamped (id int PRIMARY KEY, edited timestamptz DEFAULT now(), txid bigint);
CREATE TABLE stamped (id int PRIMARY KEY, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
SELECT create_history_table('unstamped', 'edited', 'txid'), create_history_table('stamped', 'edited', 'txid');
SELECT format('psql -X -q -A -t -h %s -p %s -U %s -d %s -c "SET client_min_messages = notice" -c', :'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
\set out `:client "SELECT * FROM undo_transactions('{1}', '{unstamped,stamped}')" 2>&1`
SELECT matches(:'out'::text, 'NOTICE:  rows that were inserted into table "unstamped" may not be found', 'a NOTICE that insertions may not be found');
SELECT doesnt_match(:'out'::text, '"stamped"', 'not where there is the default');

SELECT finish();
