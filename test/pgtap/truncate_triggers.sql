-- Other triggers for TRUNCATE, which write to the table while it is being
-- truncated: before ours, after ours, on another table of the same command.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(24);

CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DELETE FROM %I WHERE id = 1', TG_ARGV[0]);
	EXECUTE format('UPDATE %I SET v = ''changed'' WHERE id = 2', TG_ARGV[0]);
	EXECUTE format('UPDATE %I SET id = 30 WHERE id = 3', TG_ARGV[0]);
	EXECUTE format('INSERT INTO %I VALUES (50, ''new'')', TG_ARGV[0]);
	RETURN NULL;
END $$;
CREATE TABLE early (id int PRIMARY KEY, v text);
CREATE TABLE late (id int PRIMARY KEY, v text);
CREATE TABLE first (id int PRIMARY KEY, v text);
CREATE TABLE second (id int PRIMARY KEY, v text);
CREATE TABLE after (id int PRIMARY KEY, v text);
CREATE TRIGGER "!meddle" BEFORE TRUNCATE ON early EXECUTE FUNCTION meddle('early');
CREATE TRIGGER "~meddle" BEFORE TRUNCATE ON late EXECUTE FUNCTION meddle('late');
CREATE TRIGGER "~meddle" BEFORE TRUNCATE ON second EXECUTE FUNCTION meddle('first');
CREATE TRIGGER "~meddle" AFTER TRUNCATE ON after EXECUTE FUNCTION meddle('after');
SELECT create_history_table(t) FROM unnest(ARRAY['early', 'late', 'first', 'second',
	'after']::regclass[]) t;
CREATE FUNCTION versions(h regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format($q$SELECT string_agg(id || v || CASE WHEN isempty(sys_period) THEN ' empty'
		WHEN lower_inf(sys_period) THEN ' unknown' ELSE '' END, ', ' ORDER BY id, v) FROM %s$q$, h)
		INTO r;
	RETURN r;
END $$;
CREATE FUNCTION fill(t regclass) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN EXECUTE format('INSERT INTO %s VALUES (1, ''a''), (2, ''b''), (3, ''c''), (4, ''d'')', t); END$$;
SELECT fill(t) FROM unnest(ARRAY['early', 'late', 'first', 'second', 'after']::regclass[]) t;
SELECT remember(t, '1') FROM unnest(ARRAY['early', 'late', 'first', 'after']::regclass[]) t;

TRUNCATE early;
SELECT is(versions('early__history'), '1a, 2b, 2changed empty, 3c, 4d, 30c empty, 50new empty',
	'a trigger that writes before ours: each version once');
SELECT is((SELECT count(*)::int FROM early__tracking), 0, 'and no tracking row');
TRUNCATE late;
SELECT is(versions('late__history'), '1a, 2b, 2changed empty, 3c, 4d, 30c empty, 50new empty',
	'a trigger that writes after ours: each version once');
SELECT is((SELECT count(*)::int FROM late__tracking), 0, 'and no tracking row');
TRUNCATE first, second;
SELECT is(versions('first__history'), '1a, 2b, 2changed empty, 3c, 4d, 30c empty, 50new empty',
	'a trigger of another table of the command: each version once');
SELECT is((SELECT count(*)::int FROM first__tracking), 0, 'and no tracking row');
SELECT is(versions('second__history'), '1a, 2b, 3c, 4d', 'the other table');
TRUNCATE after;
SELECT is(versions('after__history'), '1a, 2b, 3c, 4d', 'a trigger that writes afterwards: versions');
SELECT set_eq('SELECT live_pk FROM after__tracking', 'SELECT id FROM after', 'its row is tracked');
SELECT remember(t, '2') FROM unnest(ARRAY['early', 'late', 'first', 'after']::regclass[]) t;
SELECT is_empty($$SELECT * FROM misremembered('early')$$, 'as-of queries, written before ours');
SELECT is_empty($$SELECT * FROM misremembered('late')$$, 'as-of queries, written after ours');
SELECT is_empty($$SELECT * FROM misremembered('first')$$, 'as-of queries, written for another table');
SELECT is_empty($$SELECT * FROM misremembered('after')$$, 'as-of queries, written afterwards');

-- The next round starts from clean tables.
ALTER TABLE late DISABLE TRIGGER "~meddle";
INSERT INTO late VALUES (2, 'again'), (50, 'again');
SELECT remember('late', '3');
UPDATE late SET v = 'changed again';
SELECT is((SELECT string_agg(id || v, ', ' ORDER BY id) FROM late__history
	WHERE v = 'again' AND NOT lower_inf(sys_period)), '2again, 50again', 'keys come back as new rows');

-- A TRUNCATE that a trigger refuses, and one in a savepoint that is undone.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
CREATE TRIGGER "~refuse" BEFORE TRUNCATE ON second EXECUTE FUNCTION refuse();
TRUNCATE early__history, second__history;
SELECT fill('second');
SELECT throws_ok('TRUNCATE second', 'P0001', 'not this one', 'a trigger refuses the TRUNCATE');
SELECT is((SELECT count(*)::int FROM second__history), 0, 'nothing is stored of it');
SELECT is((SELECT count(*)::int FROM second__tracking), 4, 'tracking rows stay');
-- Changes go on after it in the same transaction.
BEGIN;
DO $$ BEGIN TRUNCATE second; EXCEPTION WHEN raise_exception THEN NULL; END $$;
DELETE FROM second WHERE id = 1;
ALTER TABLE second DISABLE TRIGGER "~refuse";
ALTER TABLE second DISABLE TRIGGER "~meddle";
TRUNCATE second;
INSERT INTO second VALUES (1, 'later');
UPDATE second SET v = 'latest';
COMMIT;
SELECT is(versions('second__history'), '1a, 1later empty, 2b, 3c, 4d',
	'DELETE, TRUNCATE, INSERT and UPDATE in a transaction, after a refused TRUNCATE');
SELECT is((SELECT count(*)::int FROM second__tracking), 1, 'one tracking row');

-- A table that this transaction made, or truncated already, keeps its file.
CREATE FUNCTION refill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s VALUES (90, ''refilled''), (91, ''refilled'')', TG_RELID::regclass);
	EXECUTE format('UPDATE %s SET v = ''twice'' WHERE id = 91', TG_RELID::regclass);
	RETURN NULL;
END $$;
CREATE TABLE again (id int PRIMARY KEY, v text);
CREATE TABLE again_timed (id int PRIMARY KEY, v text, at timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('again'), create_history_table('again_timed', 'at', 'txid');
CREATE TRIGGER "!meddle" BEFORE TRUNCATE ON again EXECUTE FUNCTION meddle('again');
CREATE TRIGGER "!refill" AFTER TRUNCATE ON again EXECUTE FUNCTION refill();
CREATE TRIGGER "!refill" AFTER TRUNCATE ON again_timed EXECUTE FUNCTION refill();
SELECT fill('again'), fill('again_timed');
BEGIN;
TRUNCATE again, again_timed;
TRUNCATE again__history, again_timed__history;
INSERT INTO again VALUES (1, 'x');
TRUNCATE again, again_timed;
COMMIT;
SELECT is(versions('again__history'), '1x empty, 50new empty, 90refilled empty, 91refilled empty, 91twice empty',
	'truncated again: what came afterwards has not gone');
SELECT set_eq('SELECT live_pk FROM again__tracking', '{90,91}'::int[], 'and is tracked');
SELECT is(versions('again_timed__history'), '90refilled empty, 91refilled empty, 91twice empty',
	'truncated again, with a time column');
TRUNCATE again__history, again_timed__history;
UPDATE again SET v = 'later';
UPDATE again_timed SET v = 'later';
SELECT is(versions('again__history') || versions('again_timed__history'), '90refilled, 91twice90refilled, 91twice',
	'later changes are recorded');

-- Without our trigger that ends it, a TRUNCATE ends nothing else.
ALTER TABLE again DISABLE TRIGGER on_truncate_truncate_tracking_table;
BEGIN;
TRUNCATE again;
TRUNCATE again__history;
TRUNCATE again;
INSERT INTO again VALUES (1, 'a');
UPDATE again SET v = 'b' WHERE id = 1;
COMMIT;
SELECT is(versions('again__history'), '1a empty, 50new empty, 90refilled empty, 91refilled empty, 91twice empty',
	'the trigger that ends a TRUNCATE is switched off');

SELECT * FROM finish();
