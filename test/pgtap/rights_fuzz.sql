-- What test/t/fuzz_rights.pl has found, each as a case of its own.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_fuzz_owner;
CREATE ROLE rights_fuzz_owner;
CREATE EXTENSION catmaid_history;
SELECT plan(3);
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
SELECT is((SELECT count(*) FROM catmaid_history_table), 0::bigint, 'its row in the registry goes, too');
SELECT is(tap.state($$SELECT o.unmarked('DROP OWNED BY rights_fuzz_owner CASCADE')$$, 'rights_fuzz_owner'), '00000',
	'and so it does with all that is its owner''s');

DROP OWNED BY rights_fuzz_owner CASCADE;
DROP ROLE rights_fuzz_owner;
SELECT * FROM finish();
