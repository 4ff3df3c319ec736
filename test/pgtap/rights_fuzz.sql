-- What test/t/fuzz_rights.pl has found, each as a case of its own.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_fuzz_owner;
DROP ROLE IF EXISTS rights_fuzz_reader;
CREATE ROLE rights_fuzz_owner;
CREATE ROLE rights_fuzz_reader;
CREATE EXTENSION catmaid_history;
-- A reader's view, which has to be read again: whether that would run the reader's
-- code is asked without running it.
CREATE SCHEMA r AUTHORIZATION rights_fuzz_reader;
GRANT USAGE ON SCHEMA r TO PUBLIC;
SET ROLE rights_fuzz_reader;
CREATE SEQUENCE r.ran; -- which no rollback takes back
GRANT USAGE ON SEQUENCE r.ran TO PUBLIC;
CREATE FUNCTION r.note() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'rights_fuzz_reader' THEN PERFORM nextval('r.ran'); END IF;
	RETURN 1;
END $$;
CREATE FUNCTION r.folded(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN r.note(); END $$;
RESET ROLE;
CREATE FUNCTION of_a_reader(n int, types text, constant text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE public.t%s (id int PRIMARY KEY, a int)', n);
	EXECUTE format('GRANT SELECT ON public.t%s TO rights_fuzz_reader', n);
	PERFORM create_history_table(('public.t' || n)::regclass);
	SET LOCAL ROLE rights_fuzz_reader;
	EXECUTE format('CREATE DOMAIN r.d%s AS int CHECK (r.folded(1) > 0)', n);
	EXECUTE types;
	EXECUTE format('CREATE VIEW r.v%s AS SELECT a, %s AS x FROM public.t%s__with_history', n, constant, n);
	RESET ROLE;
END $$;
SELECT of_a_reader(1, 'SELECT', $$'{1}'::r.d1[]$$),
	of_a_reader(2, 'CREATE DOMAIN r.upon AS r.d2', $$'{1}'::r.upon[]$$),
	of_a_reader(3, 'CREATE TYPE r.row AS (x r.d3)', $$'(1)'::r.row$$),
	of_a_reader(4, 'CREATE TYPE r.range AS RANGE (SUBTYPE = r.d4)', $$'[1,2)'::r.range$$) \g /dev/null
-- The type cache of a new session has no domain yet.
\connect
SET search_path = public, tap;
SET client_min_messages = warning;
SELECT plan(8);
SELECT is(left(tap.state(format('ALTER TABLE t%s ALTER a TYPE bigint', n)), 5), '2BP01',
	format('view %s cannot be read again', n)) FROM generate_series(1, 4) n;
SELECT is((SELECT is_called FROM r.ran), false, 'which is found out without running the reader''s code');

CREATE SCHEMA o AUTHORIZATION rights_fuzz_owner;
GRANT USAGE ON SCHEMA o TO PUBLIC;

-- A history without its mark, which has another name, is dropped along with its table
-- (the server crashed).
SET ROLE rights_fuzz_owner;
CREATE FUNCTION o.unmarked(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE o.t (id int PRIMARY KEY, a int);
	PERFORM create_history_table('o.t');
	SET LOCAL catmaid_history.follow_ddl = off;
	ALTER TABLE o.t__history RENAME TO h;
	DROP TABLE o.t__tracking CASCADE;
	SET LOCAL catmaid_history.follow_ddl = on;
	EXECUTE command;
END $$;
RESET ROLE;
SELECT is(tap.state($$SELECT o.unmarked('DROP TABLE o.t, o.h')$$, 'rights_fuzz_owner'), '00000',
	'an unmarked history of another name goes with its table');
SELECT is((SELECT count(*) FROM catmaid_history_table WHERE live_table NOT IN (SELECT oid FROM pg_class)), 0::bigint,
	'its row in the registry goes, too');
SELECT is(tap.state($$SELECT o.unmarked('DROP OWNED BY rights_fuzz_owner CASCADE')$$, 'rights_fuzz_owner'), '00000',
	'and so it does with all that is its owner''s');

DROP OWNED BY rights_fuzz_owner, rights_fuzz_reader CASCADE;
DROP ROLE rights_fuzz_owner, rights_fuzz_reader;
SELECT * FROM finish();
