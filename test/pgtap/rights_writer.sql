-- Section 7: what an owner has put on a history or tracking table runs with the owner's
-- rights, whoever writes and whenever it runs, in a security-restricted operation where
-- the session is another's; and the writer gains nothing by it.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_writer_owner;
DROP ROLE IF EXISTS rights_writer_writer;
CREATE ROLE rights_writer_owner;
CREATE ROLE rights_writer_writer;
\set owner 'rights_writer_owner'
\set writer 'rights_writer_writer'
CREATE EXTENSION catmaid_history;
SELECT plan(51);
CREATE SCHEMA o AUTHORIZATION rights_writer_owner;
CREATE SCHEMA w AUTHORIZATION rights_writer_writer;
GRANT USAGE ON SCHEMA o, w TO PUBLIC;
SELECT format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()) \gexec

SET ROLE rights_writer_owner;
CREATE TABLE o.log (n serial, ran_as name, what text);
CREATE FUNCTION o.note(what text) RETURNS bool LANGUAGE plpgsql SET search_path = o AS
$$ BEGIN INSERT INTO log (ran_as, what) VALUES (current_user, what); RETURN true; END $$;
CREATE FUNCTION o.note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM o.note(TG_NAME); RETURN NULL; END $$;
CREATE FUNCTION o.spy(v int, what text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM o.note(what); RETURN v; END $$;
CREATE TABLE o.t (id int PRIMARY KEY, a int, r int4range DEFAULT '[1,2)');
CREATE TABLE o.timed (id int PRIMARY KEY, a int, edition_time timestamptz DEFAULT now(), txid bigint);
INSERT INTO o.t VALUES (1, 1);
INSERT INTO o.timed VALUES (1, 1);
SELECT create_history_table('o.t'), create_history_table('o.timed', 'edition_time', 'txid');
GRANT ALL ON o.t, o.timed TO rights_writer_writer;
CREATE FUNCTION o.write(command text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ BEGIN EXECUTE command; END $$;
RESET ROLE;
-- What has run since the last look: what, and as whom if not as the owner.
CREATE FUNCTION ran() RETURNS text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM o.log RETURNING *)
	SELECT coalesce(string_agg(DISTINCT what || CASE WHEN ran_as <> 'rights_writer_owner' THEN ' as ' || ran_as ELSE '' END,
		', '), 'nothing') FROM gone $$;
CREATE FUNCTION versions() RETURNS text LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM o.t__history) || ' ' || (SELECT count(*) FROM o.timed__history) $$;

-- Deferred triggers, of every kind of row and table.
SET ROLE rights_writer_owner;
CREATE CONSTRAINT TRIGGER on_history AFTER INSERT ON o.t__history DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION o.note();
CREATE CONSTRAINT TRIGGER on_timed AFTER INSERT ON o.timed__history DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION o.note();
CREATE CONSTRAINT TRIGGER on_tracking AFTER INSERT OR UPDATE OR DELETE ON o.t__tracking DEFERRABLE INITIALLY IMMEDIATE
	FOR EACH ROW EXECUTE FUNCTION o.note();
RESET ROLE;
UPDATE o.t SET a = 2;
SELECT is(ran(), 'on_history, on_tracking', 'deferred triggers: a superuser''s update');
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
UPDATE o.t SET a = 3;
UPDATE o.timed SET a = 3;
SELECT is(ran(), 'on_history, on_timed, on_tracking', 'deferred triggers: SET CONSTRAINTS defers none');
COMMIT;
SELECT is(ran(), 'nothing', 'deferred triggers: nothing is left for the commit');
SET ROLE rights_writer_writer;
BEGIN;
INSERT INTO o.t VALUES (2, 1);
UPDATE o.timed SET a = 4;
DELETE FROM o.t WHERE id = 2;
COMMIT;
RESET ROLE;
SELECT is(ran(), 'on_history, on_timed, on_tracking', 'deferred triggers: a writer''s INSERT, UPDATE, DELETE');
SET ROLE rights_writer_owner;
UPDATE o.timed SET a = 5;
RESET ROLE;
SELECT is(ran(), 'on_timed', 'deferred triggers: the owner''s own update');
SET ROLE rights_writer_writer;
SELECT o.write('UPDATE o.t SET a = 6');
RESET ROLE;
SELECT is(ran(), 'on_history, on_tracking', 'deferred triggers: in a function of the owner''s, called by another');
TRUNCATE o.timed;
SELECT is(ran(), 'on_timed', 'deferred triggers: TRUNCATE');
INSERT INTO o.timed VALUES (1, 1);
SELECT is(versions(), '4 4', 'deferred triggers: and versions are recorded');
DROP TRIGGER on_history ON o.t__history;
DROP TRIGGER on_timed ON o.timed__history;
DROP TRIGGER on_tracking ON o.t__tracking;

-- Deferred constraints: those with expressions are checked at once, as the owner; those of
-- columns, and foreign keys, wait as they do on any table.
DELETE FROM o.t__history;
SET ROLE rights_writer_owner;
ALTER TABLE o.t__history ADD CONSTRAINT apart EXCLUDE USING btree ((a + o.spy(0, 'exclusion')) WITH =) WHERE (o.spy(1, 'predicate') > 0)
	DEFERRABLE INITIALLY DEFERRED;
RESET ROLE;
SELECT ran() AS control \gset
BEGIN;
UPDATE o.t SET a = 7;
SELECT matches(ran(), '^exclusion(, predicate)?$', 'a constraint with expressions: is checked as the owner');
COMMIT;
SELECT is(ran(), 'nothing', 'a constraint with expressions: and not at the commit');
SELECT is((SELECT state FROM tap.attempt('UPDATE o.t SET a = 6; UPDATE o.t SET a = 8')), '23P01',
	'a constraint with expressions: it is checked');
SELECT ran() AS control \gset
ALTER TABLE o.t__history DROP CONSTRAINT apart;
DELETE FROM o.t__history;
SET ROLE rights_writer_owner;
CREATE TABLE o.far (id int PRIMARY KEY);
INSERT INTO o.far SELECT generate_series(1, 9);
ALTER TABLE o.t__history ADD CONSTRAINT far FOREIGN KEY (a) REFERENCES o.far DEFERRABLE INITIALLY DEFERRED,
	ADD CONSTRAINT once UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;
RESET ROLE;
SELECT is(current_setting('is_superuser'), 'on', 'control: another session than the owner''s');
BEGIN;
UPDATE o.t SET a = 20;
UPDATE o.t SET a = 21;
SELECT throws_ok('SET CONSTRAINTS o.far IMMEDIATE', '23503', NULL, 'a foreign key is checked');
ROLLBACK;
BEGIN;
UPDATE o.t SET a = 20;
UPDATE o.t SET a = 21;
INSERT INTO o.far VALUES (20);
SELECT lives_ok('SET CONSTRAINTS o.far IMMEDIATE', 'at the end, when the row has come');
ROLLBACK;
BEGIN;
UPDATE o.t SET a = 3;
UPDATE o.t SET a = 4;
UPDATE o.t SET a = 3;
UPDATE o.t SET a = 5;
SELECT throws_ok('SET CONSTRAINTS o.once IMMEDIATE', '23505', NULL, 'a unique constraint is checked');
ROLLBACK;
BEGIN;
UPDATE o.t SET a = 3;
UPDATE o.t SET a = 4;
UPDATE o.t SET a = 3;
UPDATE o.t SET a = 5;
DELETE FROM o.t__history WHERE a = 3;
SELECT lives_ok('SET CONSTRAINTS o.once IMMEDIATE', 'at the end, when the other row has gone');
ROLLBACK;
SET ROLE rights_writer_writer;
BEGIN;
UPDATE o.t SET a = 20;
UPDATE o.t SET a = 21;
SELECT o.write('INSERT INTO o.far VALUES (20)');
COMMIT;
RESET ROLE;
SELECT is((SELECT count(*) FROM o.t__history WHERE a = 20), 1::bigint, 'a writer who may not even read the history, too');
SET ROLE rights_writer_owner;
BEGIN;
UPDATE o.t SET a = 22;
SELECT throws_ok('SET CONSTRAINTS o.far IMMEDIATE; UPDATE o.t SET a = 23', '23503', NULL, 'set immediate it is so');
ROLLBACK;
RESET ROLE;
SELECT throws_ok('SET CONSTRAINTS ALL IMMEDIATE; UPDATE o.t SET a = 30; UPDATE o.t SET a = 31', '23503', NULL,
	'in another''s session, too');
ALTER TABLE o.t__history DROP CONSTRAINT far, DROP CONSTRAINT once;
SET ROLE rights_writer_owner;
ALTER TABLE o.t__tracking ADD CONSTRAINT far FOREIGN KEY (live_pk) REFERENCES o.far DEFERRABLE INITIALLY DEFERRED;
RESET ROLE;
SELECT is((SELECT state FROM tap.attempt('UPDATE o.t SET a = 1')), '00000', 'a tracking table''s: an update');
SELECT throws_ok('INSERT INTO o.t VALUES (99); SET CONSTRAINTS ALL IMMEDIATE', '23503', NULL, 'and is checked');
ALTER TABLE o.t__tracking DROP CONSTRAINT far;

-- What the code leaves behind.
SET ROLE rights_writer_owner;
CREATE TABLE o.other (x int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON o.other DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION o.note();
CREATE FUNCTION o.leave() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOREACH command IN ARRAY ARRAY['CREATE TEMP TABLE trojan ()', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET ROLE',
		'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'PREPARE p AS SELECT 1', 'LISTEN l', 'INSERT INTO o.other VALUES (1)'] LOOP
		BEGIN
			EXECUTE command;
			PERFORM o.note('left: ' || command);
		EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state THEN NULL;
		END;
	END LOOP;
	PERFORM set_config('application_name', 'trojan', false), set_config('search_path', 'o', false),
		set_config('rights_writer.mine', 'trojan', false);
	PERFORM o.note('tried');
	RETURN NULL;
END $$;
CREATE TRIGGER leave AFTER INSERT ON o.t__history FOR EACH ROW EXECUTE FUNCTION o.leave();
RESET ROLE;
SET application_name = 'mine';
UPDATE o.t SET a = 1;
SELECT is(ran(), 'tried', 'left behind in a superuser''s session: nothing');
SELECT is(current_setting('application_name') || ' ' || current_setting('search_path') || ' '
	|| coalesce(nullif(current_setting('rights_writer.mine', true), ''), 'unset'), 'mine public, tap unset',
	'nor settings');
SET ROLE rights_writer_writer;
UPDATE o.t SET a = 2;
RESET ROLE;
SELECT is(ran(), 'tried', 'in a writer''s');
SELECT is(current_setting('application_name') || ' ' || current_setting('search_path'), 'mine public, tap', 'nor settings there');
BEGIN;
UPDATE o.t SET a = 3;
SAVEPOINT s;
UPDATE o.t SET a = 4;
ROLLBACK TO s;
SELECT is(current_setting('application_name'), 'mine', 'nor where it is rolled back');
COMMIT;
TRUNCATE o.t;
SELECT is(ran() || ' ' || current_setting('application_name'), 'tried mine', 'nor by TRUNCATE');
SET ROLE rights_writer_owner;
INSERT INTO o.t VALUES (1, 1);
UPDATE o.t SET a = 5;
RESET ROLE;
SET search_path = public, tap;
SELECT matches(ran(), 'left: INSERT INTO o.other', 'the owner''s own session is the owner''s');
SELECT is(current_setting('application_name'), 'trojan', 'with its settings');
SET application_name = 'mine';
SET search_path = public, tap;
DEALLOCATE ALL;
DROP TABLE IF EXISTS pg_temp.trojan;
UNLISTEN *;
SET ROLE rights_writer_owner;
DROP TRIGGER leave ON o.t__history;
RESET ROLE;

-- The writer's search_path, functions, operators and tables, temporary ones too.
SET ROLE rights_writer_owner;
CREATE FUNCTION o.helper(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE TABLE o.counted (n int);
CREATE FUNCTION o.careless() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO counted VALUES (helper(NEW.a) + length('x'));
	RETURN NULL;
END $$;
CREATE TRIGGER careless AFTER INSERT ON o.t__history FOR EACH ROW EXECUTE FUNCTION o.careless();
CREATE FUNCTION o.careless_default() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN helper(1) + length('x'); END $$;
ALTER TABLE o.t__history ADD COLUMN own int;
ALTER TABLE o.t__history ALTER COLUMN own SET DEFAULT o.careless_default();
RESET ROLE;
SET ROLE rights_writer_writer;
CREATE TABLE w.stolen (ran_as name);
GRANT ALL ON w.stolen TO PUBLIC;
CREATE FUNCTION w.helper(int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO w.stolen VALUES (current_user); RETURN $1; END $$;
CREATE FUNCTION w.length(text) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO w.stolen VALUES (current_user); RETURN 1; END $$;
CREATE FUNCTION w.plus(int, int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO w.stolen VALUES (current_user); RETURN $1; END $$;
CREATE OPERATOR w.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = w.plus);
CREATE TEMP TABLE counted (n int);
GRANT ALL ON counted TO PUBLIC;
CREATE FUNCTION w.steal() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO w.stolen VALUES (current_user); RETURN NEW; END $$;
CREATE TRIGGER steal BEFORE INSERT ON counted FOR EACH ROW EXECUTE FUNCTION w.steal();
SET search_path = w, pg_catalog, o;
UPDATE o.t SET a = 6;
SET search_path = pg_temp, w, pg_catalog, o;
UPDATE o.t SET a = 7;
SET search_path = o;
UPDATE o.t SET a = 8;
RESET search_path;
RESET ROLE;
SET search_path = public, tap;
SELECT is((SELECT count(*) FROM o.counted), 3::bigint, 'names without a schema: are found in the owner''s');
SELECT is((SELECT string_agg(DISTINCT ran_as::text, ',') FROM w.stolen), NULL, 'and nothing of the writer''s runs as the owner');
SELECT is((SELECT count(*) FROM pg_temp.counted), 0::bigint, 'nor is a temporary table taken for another');
SELECT is((SELECT string_agg(own::text, ',') FROM o.t__history WHERE a BETWEEN 5 AND 7), '2,2,2', 'a default, too');
SET ROLE rights_writer_writer;
SET search_path = w, o;
SELECT current_setting('search_path') AS path_before \gset
UPDATE o.t SET a = 9;
SELECT current_setting('search_path') AS path_after \gset
RESET search_path;
RESET ROLE;
SET search_path = public, tap;
SELECT is(:'path_after'::text, :'path_before', 'the writer''s search_path is the writer''s again');
SET ROLE rights_writer_writer;
DROP TABLE counted;
RESET ROLE;
SELECT is((SELECT state FROM tap.attempt('UPDATE o.t SET a = 10', :'writer', 'w')), '42883',
	'what is not there is an error, as on any table');
SELECT is((SELECT string_agg(DISTINCT ran_as::text, ',') FROM w.stolen), NULL, 'still nothing');
-- Schemas of a superuser's, of the database's owner, and of the history.
CREATE SCHEMA s;
CREATE FUNCTION s.helper(int) RETURNS int LANGUAGE sql AS 'SELECT 100';
GRANT USAGE ON SCHEMA s TO PUBLIC;
SET ROLE rights_writer_writer;
SET search_path = s, w, o;
UPDATE o.t SET a = 10;
RESET search_path;
RESET ROLE;
SET search_path = public, tap;
SELECT is((SELECT max(n) FROM o.counted), 101, 'a superuser''s schema is searched');
SELECT is((SELECT string_agg(DISTINCT ran_as::text, ',') FROM w.stolen), NULL, 'the writer''s is not');
CREATE FUNCTION public.helper(int) RETURNS int LANGUAGE sql AS 'SELECT 1000';
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'writer') \gexec
GRANT USAGE ON SCHEMA public TO rights_writer_owner;
SET ROLE rights_writer_writer;
SET search_path = public, o;
UPDATE o.t SET a = 11;
RESET search_path;
RESET ROLE;
SET search_path = public, tap;
SELECT is((SELECT max(n) FROM o.counted) > 1000, current_setting('server_version_num')::int < 150000,
	'public is the database''s owner''s from PostgreSQL 15 on: it is not');
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user) \gexec
DROP FUNCTION public.helper;
DROP FUNCTION s.helper;
SET ROLE rights_writer_owner;
DROP TRIGGER careless ON o.t__history;
ALTER TABLE o.t__history DROP COLUMN own;
RESET ROLE;

-- What is evaluated without triggers or expressions: a range type's difference in GiST, a cast.
SET ROLE rights_writer_owner;
CREATE FUNCTION o.diff(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM o.note('subtype_diff'); PERFORM set_config('application_name', 'trojan', false); RETURN sign($1); END $$;
CREATE TYPE o.span AS RANGE (subtype = float8, subtype_diff = o.diff);
CREATE TABLE o.spans (id int PRIMARY KEY, s o.span);
SELECT create_history_table('o.spans');
INSERT INTO o.spans SELECT n, o.span(n, n + 1) FROM generate_series(1, 500) n;
CREATE INDEX ON o.spans__history USING gist (s);
DELETE FROM o.log;
RESET ROLE;
DELETE FROM o.spans;
SELECT is(ran(), 'subtype_diff', 'the difference of ranges: as the owner');
SELECT is(current_setting('application_name'), 'mine', 'and its settings are put back');
SELECT is((SELECT count(*) FROM o.spans__history), 500::bigint, 'and versions are recorded');
SET ROLE rights_writer_owner;
CREATE TYPE o.mood AS ENUM ('good', 'bad');
CREATE FUNCTION o.mood_text(o.mood) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM o.note('cast'); PERFORM set_config('application_name', 'trojan', false); RETURN 'cast'; END $$;
CREATE CAST (o.mood AS text) WITH FUNCTION o.mood_text(o.mood);
CREATE TABLE o.moods (id int PRIMARY KEY, m o.mood);
INSERT INTO o.moods VALUES (1, 'good'), (2, 'bad');
SELECT create_history_table('o.moods'), drop_history_view_for_table('o.moods');
SET catmaid_history.follow_ddl = off;
ALTER TABLE o.moods__history ALTER COLUMN m TYPE text USING NULL;
RESET catmaid_history.follow_ddl;
DELETE FROM o.log;
RESET ROLE;
DELETE FROM o.moods;
SELECT ok(ran() IN ('cast', 'nothing'), 'a cast: as the owner, if it is asked');
SELECT is(current_setting('application_name'), 'mine', 'a cast: its settings are put back');
SELECT is((SELECT count(*) FROM o.moods__history), 2::bigint, 'a cast: versions are recorded');

-- Virtual generated columns (PostgreSQL 18): their expression is the live table's.  PostgreSQL
-- lets no function of a user's into it.
SELECT current_setting('server_version_num')::int >= 180000 AS v18 \gset
\if :v18
SET ROLE rights_writer_owner;
SELECT throws_ok('CREATE TABLE o.virtual (id int PRIMARY KEY, v int GENERATED ALWAYS AS (o.spy(id, ''virtual'')) VIRTUAL)', NULL, NULL,
	'a virtual column calls no function of a user''s');
RESET ROLE;
\else
SELECT skip('virtual generated columns');
\endif

-- The owner's trigger writes where a deferred constraint stands: that would be checked with the
-- rights of whoever commits.
SET ROLE rights_writer_owner;
CREATE TABLE o.kinds (k text PRIMARY KEY);
INSERT INTO o.kinds VALUES ('x');
CREATE TABLE o.audited (id int PRIMARY KEY, v text);
CREATE TABLE o.audit (k text REFERENCES o.kinds DEFERRABLE INITIALLY DEFERRED, was text);
SELECT create_history_table('o.audited');
CREATE FUNCTION o.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO o.audit VALUES ('x', NEW.v); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT ON o.audited__history FOR EACH ROW EXECUTE FUNCTION o.audit();
GRANT ALL ON o.audited TO rights_writer_writer;
INSERT INTO o.audited VALUES (1, 'a');
SELECT lives_ok($$UPDATE o.audited SET v = 'b'$$, 'a deferred constraint elsewhere: the owner''s own write');
SET ROLE rights_writer_writer;
SELECT throws_ok($$UPDATE o.audited SET v = 'c'$$, '42501', 'cannot fire deferred trigger within security-restricted operation',
	'a deferred constraint elsewhere: another''s write is refused, and told why');
RESET ROLE;
CREATE OR REPLACE FUNCTION o.audit() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN SET CONSTRAINTS o.audit_k_fkey IMMEDIATE; INSERT INTO o.audit VALUES ('x', NEW.v); RETURN NULL; END $$;
SET ROLE rights_writer_writer;
SELECT lives_ok($$UPDATE o.audited SET v = 'c'$$, 'a deferred constraint elsewhere: made immediate it is none');
RESET ROLE;
SELECT is((SELECT string_agg(was, '' ORDER BY was) FROM o.audit), 'ab', 'a deferred constraint elsewhere: both are written');

-- A table of two: the code of the one who owns it, also where the writer owns the live one's parent.
SELECT is((SELECT count(*) FROM check_history('o.t') WHERE severity = 'error'), 0::bigint, 'nothing has come to harm');

DROP OWNED BY rights_writer_owner, rights_writer_writer CASCADE;
DROP ROLE rights_writer_owner, rights_writer_writer;
SELECT * FROM finish();
