-- Section 5, every row of its table: rolled back to a savepoint, both sides are as
-- before, and so is what the session remembers; nothing is followed with
-- follow_ddl off or while tracking is disabled.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(144);
CREATE SCHEMA app;
CREATE SCHEMA other;
DROP ROLE IF EXISTS t79_owner;
CREATE ROLE t79_owner;
CREATE TYPE app.row_type AS (id int, v int);
CREATE TABLE app.t (id int PRIMARY KEY, v int NOT NULL, w text, u int NOT NULL UNIQUE);
CREATE TABLE app.timed (id int PRIMARY KEY, v int, edited timestamptz DEFAULT now(), txid bigint);
CREATE TABLE app.typed OF app.row_type (PRIMARY KEY (id));
CREATE TABLE app.parent (id int PRIMARY KEY, v int);
CREATE TABLE app.child (w text, PRIMARY KEY (id)) INHERITS (app.parent);
CREATE TABLE app.alone (id int PRIMARY KEY, v int);
CREATE TABLE app.part (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES FROM (0) TO (10);
CREATE TABLE app.part_2 (v int, id int NOT NULL);
INSERT INTO app.part_2 VALUES (12, 12);
SELECT create_history_table('app.t'), create_history_table('app.typed'), create_history_table('app.child'),
	create_history_table('app.alone'), create_history_table('app.part'),
	create_history_table('app.timed', 'edited', 'txid');
INSERT INTO app.t VALUES (1, 1, 'a', 1), (2, 2, 'b', 2);
INSERT INTO app.timed VALUES (1, 1), (2, 2);
INSERT INTO app.typed VALUES (1, 1);
INSERT INTO app.parent VALUES (1, 1);
INSERT INTO app.child VALUES (2, 2, 'c');
INSERT INTO app.alone VALUES (1, 1);
INSERT INTO app.part VALUES (1, 1), (2, 2);
UPDATE app.t SET v = v + 1;
UPDATE app.part SET v = v + 1;

CREATE FUNCTION tap.write(VARIADIC tables text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY tables LOOP
		IF to_regclass(t) IS NOT NULL THEN
			EXECUTE (SELECT format('UPDATE %s SET %I = %2$I', t, attname) FROM pg_attribute
				WHERE attrelid = t::regclass AND attnum > 0 AND NOT attisdropped LIMIT 1);
		END IF;
	END LOOP;
END $$;
-- One command and a write, undone.  What remembers the undone is found out by the
-- writes before, in between and after.
CREATE FUNCTION tap.undone(tables text[], cmd text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before text;
	state text := 'not done';
	t text;
	wrong text := '';
BEGIN
	PERFORM tap.write(VARIADIC tables);
	before := tap.everything(VARIADIC tables::regclass[]);
	BEGIN
		EXECUTE cmd;
		PERFORM tap.write(VARIADIC tables);
		RAISE SQLSTATE 'UNDO1';
	EXCEPTION
		WHEN SQLSTATE 'UNDO1' THEN state := 'undone';
		WHEN OTHERS THEN state := SQLSTATE || ' ' || SQLERRM;
	END;
	RETURN NEXT tap.same_lines(state || tap.everything(VARIADIC tables::regclass[]), 'undone' || before, cmd);
	FOREACH t IN ARRAY tables LOOP
		wrong := wrong || tap.astray(t::regclass);
	END LOOP;
	RETURN NEXT tap.is(wrong, '', cmd || ': all is recorded as before');
END $$;
SELECT undone('{app.t}', cmd) FROM unnest(ARRAY[
	'ALTER TABLE app.t ADD x int DEFAULT 7',
	'ALTER TABLE app.t DROP w',
	'SET LOCAL catmaid_history.on_drop_column = keep; ALTER TABLE app.t DROP w',
	'ALTER TABLE app.t RENAME v TO x',
	'ALTER TABLE app.t RENAME id TO key',
	'ALTER TABLE app.t ALTER v TYPE bigint',
	'ALTER TABLE app.t ALTER w TYPE int USING length(w)',
	'ALTER TABLE app.t ALTER v TYPE text USING ''x'' || v, DROP w, ADD y int DEFAULT 1',
	'ALTER TABLE app.t ALTER v TYPE bigint; ALTER TABLE app.t ALTER v TYPE smallint; ALTER TABLE app.t ADD v_1 int',
	'ALTER TABLE app.t ALTER v DROP NOT NULL, ALTER v SET DEFAULT 3, ADD CHECK (v > 0)',
	'CREATE INDEX ON app.t (v)',
	'ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (u)',
	'ALTER TABLE app.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (v, id)',
	'ALTER TABLE app.t ALTER id TYPE bigint',
	'ALTER TABLE app.t ALTER id TYPE text',
	'ALTER TABLE app.t RENAME TO renamed; UPDATE app.renamed SET v = v',
	'ALTER TABLE app.t SET SCHEMA other; UPDATE other.t SET v = v',
	'ALTER TABLE app.t OWNER TO t79_owner',
	'ALTER TABLE app.t ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE app.t SET UNLOGGED',
	'DROP TABLE app.t',
	'DROP TABLE app.t; CREATE TABLE app.t (id text PRIMARY KEY); SELECT create_history_table(''app.t'')',
	'SET LOCAL catmaid_history.on_drop_table = keep; DROP TABLE app.t',
	'DROP SCHEMA app CASCADE',
	'TRUNCATE app.t',
	'SELECT disable_history_tracking_for_table(''app.t''); ALTER TABLE app.t ADD x int',
	'SELECT disable_history_tracking_for_table(''app.t''); DROP TABLE app.t__history CASCADE',
	'SELECT drop_history_table(''app.t'')',
	'SELECT drop_history_table_keep_data(''app.t'')',
	'SELECT reload_history_tracking()',
	'DROP TRIGGER on_change_history_trackingtable ON app.t; ALTER TABLE app.t ADD x int',
	'ALTER TABLE app.t DISABLE TRIGGER ALL',
	'SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE app.t RENAME w TO x; SELECT enable_history_tracking_for_table(''app.t'')']) cmd;
SELECT undone('{app.timed}', cmd) FROM unnest(ARRAY[
	'ALTER TABLE app.timed RENAME edited TO changed',
	'ALTER TABLE app.timed RENAME txid TO xact',
	'ALTER TABLE app.timed ADD x int, ALTER v TYPE text',
	'ALTER TABLE app.timed ALTER id TYPE bigint',
	'ALTER TABLE app.timed RENAME TO renamed',
	'DROP TABLE app.timed']) cmd;
SELECT undone('{app.typed}', cmd) FROM unnest(ARRAY[
	'ALTER TYPE app.row_type ADD ATTRIBUTE x int CASCADE',
	'ALTER TYPE app.row_type DROP ATTRIBUTE v CASCADE',
	'ALTER TYPE app.row_type ALTER ATTRIBUTE v TYPE bigint CASCADE',
	'ALTER TYPE app.row_type RENAME ATTRIBUTE v TO x CASCADE',
	'ALTER TABLE app.typed NOT OF']) cmd;
SELECT undone('{app.parent,app.child,app.alone}', cmd) FROM unnest(ARRAY[
	'ALTER TABLE app.parent ADD x int',
	'ALTER TABLE app.parent DROP v',
	'ALTER TABLE ONLY app.parent DROP v',
	'ALTER TABLE app.parent RENAME v TO x',
	'ALTER TABLE app.parent ALTER v TYPE bigint',
	'ALTER TABLE app.parent ALTER v TYPE text USING v || ''x''',
	'ALTER TABLE app.child ADD x int, DROP w',
	'ALTER TABLE app.child NO INHERIT app.parent',
	'ALTER TABLE app.alone INHERIT app.parent',
	'DROP TABLE app.child',
	'DROP TABLE app.parent CASCADE']) cmd;
SELECT undone('{app.part}', cmd) FROM unnest(ARRAY[
	'ALTER TABLE app.part ADD x int DEFAULT 7',
	'ALTER TABLE app.part DROP v',
	'ALTER TABLE app.part RENAME v TO x',
	'ALTER TABLE app.part ALTER v TYPE text',
	'ALTER TABLE app.part ATTACH PARTITION app.part_2 FOR VALUES FROM (10) TO (20)',
	'CREATE TABLE app.part_3 PARTITION OF app.part DEFAULT; INSERT INTO app.part VALUES (100, 1)',
	'ALTER TABLE app.part DETACH PARTITION app.part_1',
	'DROP TABLE app.part_1',
	'TRUNCATE app.part_1',
	'ALTER TABLE app.part RENAME TO renamed',
	'DROP TABLE app.part']) cmd;

-- Savepoints as a client sets them, one in the other, and the outer goes on.
BEGIN;
ALTER TABLE app.t ADD a int DEFAULT 1;
UPDATE app.t SET a = 2;
SAVEPOINT one;
ALTER TABLE app.t RENAME a TO b;
UPDATE app.t SET b = 3;
SAVEPOINT two;
ALTER TABLE app.t DROP b;
UPDATE app.t SET w = 'c';
ROLLBACK TO two;
UPDATE app.t SET b = 4;
RELEASE two;
SELECT follows('app.t', 'the inner savepoint is rolled back, the outer change is there');
ROLLBACK TO one;
UPDATE app.t SET a = 5;
SELECT follows('app.t', 'the outer one is rolled back, the transaction''s change is there');
COMMIT;
SELECT follows('app.t', 'committed');
BEGIN;
ALTER TABLE app.t DROP a;
ALTER TABLE app.t RENAME TO gone;
ROLLBACK;
SELECT follows('app.t', 'a whole transaction is rolled back');

-- follow_ddl off: an incomplete version is refused, and enabling mends.
SET catmaid_history.follow_ddl = off;
ALTER TABLE app.t ADD x int;
SELECT refused('UPDATE app.t SET x = 1', '{x}', 'follow_ddl off: a write of what history lacks', 'fitting', NULL, 'enable_history_tracking_for_table');
SELECT refused('DELETE FROM app.t', '{x}', 'a deletion', 'fitting', NULL, 'enable_history_tracking_for_table');
SELECT refused('TRUNCATE app.t', '{x}', 'a TRUNCATE', 'fitting', NULL, 'enable_history_tracking_for_table');
ALTER TABLE app.t DROP x;
SELECT allowed('UPDATE app.t SET v = v', 'as before: a write');
ALTER TABLE app.alone ADD x int;
RESET catmaid_history.follow_ddl;
SELECT enable_history_tracking_for_table('app.alone');
SELECT follows('app.alone', 'enabling mends it');

-- A disabled table is left alone, and is mended by enabling.
SELECT disable_history_tracking_for_table('app.timed'), drop_history_view_for_table('app.timed');
SELECT columns_of('app.timed__history') AS before \gset
ALTER TABLE app.timed ADD x int;
ALTER TABLE app.timed RENAME v TO vv;
SELECT is(columns_of('app.timed__history')::text, :'before', 'disabled: nothing is followed');
SELECT count(*) AS n FROM app.timed__history \gset
UPDATE app.timed SET vv = 1;
SELECT is((SELECT count(*) FROM app.timed__history), :n::bigint, 'nor recorded');
SELECT enable_history_tracking_for_table('app.timed'), create_history_view_for_table('app.timed');
SELECT follows('app.timed', 'enabling adds what is new', '{v integer}');

DROP EXTENSION catmaid_history CASCADE;
DROP OWNED BY t79_owner CASCADE;
DROP ROLE t79_owner;
SELECT * FROM finish();
