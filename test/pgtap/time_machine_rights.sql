-- Section 11: rights do not travel in time, and reading the past is a privilege of its own.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(46);
DROP ROLE IF EXISTS tm_owner, tm_reader, tm_other;
CREATE ROLE tm_owner;
CREATE ROLE tm_reader;
CREATE ROLE tm_other;
GRANT CREATE, USAGE ON SCHEMA public TO tm_owner;
GRANT USAGE ON SCHEMA public, tap TO tm_owner, tm_reader, tm_other;

SET ROLE tm_owner;
CREATE TABLE secret (id int PRIMARY KEY, v text);
CREATE TABLE allowed (who name PRIMARY KEY);
CREATE TABLE plain (id int PRIMARY KEY, v text, hidden text);
CREATE TABLE guarded (id int, v text);
GRANT SELECT ON allowed, plain TO tm_reader, tm_other;
SELECT create_history_table('secret'), create_history_table('allowed'), create_history_table('plain');
INSERT INTO secret VALUES (1, 'first');
INSERT INTO plain VALUES (1, 'first', 'h');
INSERT INTO allowed VALUES ('tm_reader');
CREATE VIEW owners AS SELECT * FROM secret;
CREATE VIEW checked AS SELECT * FROM secret WHERE EXISTS (SELECT FROM allowed WHERE who = current_user);
CREATE FUNCTION may() RETURNS bool STABLE LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM public.allowed WHERE who = current_user); END';
CREATE FUNCTION tell() RETURNS text STABLE LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF EXISTS (SELECT FROM public.allowed WHERE who = session_user OR who = current_setting('role')) THEN
		RETURN (SELECT string_agg(v, ',') FROM public.secret);
	END IF;
	RETURN 'no';
END $$;
CREATE FUNCTION tell_past() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.plain WHERE v = ''first''';
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM public.allowed WHERE who = current_user) THEN RAISE 'not allowed' USING ERRCODE = '42501'; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION guard();
CREATE TABLE policed (id int, v text);
ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY p1 ON policed TO tm_reader USING (may());
CREATE TABLE policed2 (id int, v text);
ALTER TABLE policed2 ENABLE ROW LEVEL SECURITY;
CREATE POLICY p1 ON policed2 TO tm_reader USING (EXISTS (SELECT FROM public.allowed WHERE who = current_user));
INSERT INTO policed VALUES (1, 'hidden');
INSERT INTO policed2 VALUES (1, 'hidden');
GRANT SELECT ON policed, policed2, owners, checked TO tm_reader;
GRANT INSERT, SELECT ON guarded TO tm_reader;
SELECT clock_timestamp() AS past \gset
DELETE FROM allowed;
UPDATE secret SET v = 'second';
UPDATE plain SET v = 'second';

-- the privilege
SET ROLE tm_reader;
SELECT throws_ok(format('SELECT read_as_of(%L)', :'past'), '42501', NULL, 'nobody may call read_as_of()');
SELECT set_config('catmaid_history.as_of', :'past', false) AS ok \gset
SELECT throws_ok('SELECT * FROM plain', '42501', NULL, 'or read the past by the setting');
SELECT throws_like('SELECT * FROM plain', 'permission denied for the past of table "plain"', 'the message names the table');
SELECT throws_ok('SELECT * FROM owners', '42501', NULL, 'nor through a view');
SELECT throws_ok('SELECT * FROM guarded g, plain', '42501', NULL, 'nor joined');
SELECT lives_ok('SELECT * FROM guarded', 'what is not tracked can be read');
SET catmaid_history.as_of = '';
SELECT is((SELECT v FROM plain), 'second', 'the present can');
SET ROLE tm_owner;
SELECT set_config('catmaid_history.as_of', :'past', false) AS ok \gset
SELECT is((SELECT v FROM plain), 'first', 'a table''s owner may read its past');
SELECT is((SELECT v FROM owners), 'first', 'through a view of hers');
SELECT is(tell_past(), 0::bigint, 'her SECURITY DEFINER function sees the present');
SET catmaid_history.as_of = '';
RESET ROLE;
SELECT lives_ok('GRANT EXECUTE ON FUNCTION read_as_of(timestamptz, boolean) TO tm_reader', 'it is granted');
SET ROLE tm_other;
SELECT set_config('catmaid_history.as_of', :'past', false) AS ok \gset
SELECT throws_ok('SELECT * FROM plain', '42501', NULL, 'to others it is not');
SET catmaid_history.as_of = '';
SET ROLE tm_reader;
SELECT lives_ok(format('SELECT read_as_of(%L)', :'past'), 'who has it calls it');
SELECT is((SELECT v FROM plain), 'first', 'and reads the past');
SELECT throws_ok('SELECT * FROM secret', '42501', NULL, 'of what she may read');
SELECT is((SELECT v FROM owners), 'first', 'through the owner''s view, with the owner''s rights');
PREPARE p AS SELECT v FROM plain;
SELECT set_eq('EXECUTE p', $$VALUES ('first')$$, 'by a prepared statement');
RESET ROLE;
REVOKE SELECT ON plain__history FROM tm_reader;
SET ROLE tm_reader;
SELECT throws_ok('SELECT * FROM plain', '42501', 'permission denied for table plain__history', 'not without SELECT on the history');
SELECT throws_ok('EXECUTE p', '42501', NULL, 'nor by the prepared one');
RESET ROLE;
GRANT SELECT (id, v, sys_period) ON plain__history TO tm_reader;
SET ROLE tm_reader;
SELECT is((SELECT v FROM plain), 'first', 'SELECT on columns is enough for them');
SELECT throws_ok('SELECT hidden FROM plain', '42501', NULL, 'and for no others');
SELECT throws_ok('SELECT plain FROM plain', '42501', NULL, 'nor for the row');

-- what rights are told by is the present
SELECT is(tell(), 'no', 'a SECURITY DEFINER function');
SELECT is((SELECT tell() FROM generate_series(1, 2) LIMIT 1), 'no', 'within a query');
SELECT throws_ok($$INSERT INTO guarded VALUES (1, 'x')$$, '42501', 'not allowed', 'a trigger that guards');
SELECT is_empty('SELECT * FROM policed', 'a policy''s function');
SELECT is_empty('SELECT * FROM policed2', 'a policy''s sub-query');
SELECT is((SELECT count(*)::int FROM allowed), 1, 'while she reads the past');
SELECT is(may(), true, 'the policy''s function, called by herself, sees the past');
SELECT set_eq('SELECT v FROM checked', $$VALUES ('first')$$, 'a view that checks by a table does so as of then: hence the privilege');

-- in the middle of a query
SET catmaid_history.as_of = '';
SELECT throws_ok(format('SELECT * FROM read_as_of(%L) LEFT JOIN policed ON true', :'past'), '55000', NULL, 'no switch under a policy');
SELECT throws_ok(format('SELECT * FROM read_as_of(%L) LEFT JOIN checked ON true', :'past'), '55000', NULL, 'nor in a view with its owner''s rights');
SELECT throws_ok(format('INSERT INTO guarded SELECT 1, read_as_of(%L)::text', :'past'), '55000', NULL, 'no switch while rows are written');
SELECT is(current_setting('catmaid_history.as_of'), '', 'nothing is set then');

-- what a SECURITY DEFINER function sets is its own
RESET ROLE;
GRANT EXECUTE ON FUNCTION read_as_of(timestamptz, boolean) TO tm_owner;
SET ROLE tm_owner;
CREATE FUNCTION sets(i timestamptz) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	PERFORM public.read_as_of(i);
	RETURN (SELECT v FROM public.secret);
END $$;
CREATE FUNCTION sets_twice(i timestamptz) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	PERFORM public.read_as_of(i);
	PERFORM public.read_as_of(i, true);
END $$;
CREATE FUNCTION with_set() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT v FROM public.secret); END';
SELECT format('ALTER FUNCTION with_set() SET catmaid_history.as_of = %L', :'past') \gexec
CREATE FUNCTION fails() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM 1 / 0; END';
SET ROLE tm_reader;
SELECT is(sets(:'past'), 'first', 'one that sets an instant sees that');
SELECT is((SELECT v FROM plain), 'first', 'it stays set, as any setting does');
SELECT is(tell(), 'no', 'and is not in force in the next');
SET catmaid_history.as_of = '';
BEGIN;
SELECT sets_twice(:'past');
COMMIT;
SELECT is((SELECT v FROM plain), 'first', 'one that was under a SET LOCAL comes back');
SELECT is(tell(), 'no', 'and is not in force in the next either');
SET catmaid_history.as_of = '';
SELECT is(with_set(), 'first', 'one with a SET clause sees that');
SELECT is((SELECT v FROM plain), 'second', 'and leaves nothing');
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT throws_ok('SELECT fails()', '22012', NULL, 'one that fails');
SELECT is((SELECT v FROM plain), 'first', 'leaves the past in force');
DO $$ BEGIN PERFORM fails(); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SELECT is((SELECT v FROM plain), 'first', 'caught, too');
SELECT is(tell(), 'no', 'and the present where it belongs');

-- present rows are not taken for past ones, whatever hides the tracking table
SET catmaid_history.as_of = '';
SET ROLE tm_owner;
CREATE TABLE rls (id int PRIMARY KEY, v text);
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON rls USING (true);
GRANT SELECT ON rls TO tm_reader;
SELECT create_history_table('rls');
SELECT clock_timestamp() AS past \gset
INSERT INTO rls VALUES (1, 'new');
SET ROLE tm_reader;
SELECT read_as_of(:'past') IS NOT NULL AS ok \gset
SELECT is_empty('SELECT * FROM rls', 'a row that was not there is not there');
SET catmaid_history.as_of = '';
RESET ROLE;
SELECT * FROM finish();
DROP OWNED BY tm_owner, tm_reader, tm_other CASCADE;
DROP ROLE tm_owner, tm_reader, tm_other;
