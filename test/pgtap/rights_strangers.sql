-- Who may use a schema may put views, functions, policies and rules upon any view in it,
-- whether he may read that or not. What a role has put upon a history view that it may not
-- read keeps nobody from adding columns to the table.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_strangers_owner;
DROP ROLE IF EXISTS rights_strangers_other;
CREATE ROLE rights_strangers_owner;
CREATE ROLE rights_strangers_other;
CREATE EXTENSION catmaid_history;
SELECT plan(20);
CREATE SCHEMA o AUTHORIZATION rights_strangers_owner;
CREATE SCHEMA s AUTHORIZATION rights_strangers_other;
GRANT USAGE ON SCHEMA o TO PUBLIC;

CREATE TABLE obstacles (n int, name text, put text, least int);
INSERT INTO obstacles VALUES
(1, 'a function', 'CREATE FUNCTION s.f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT v FROM o.t__with_history; END', 140000),
(2, 'a policy', 'CREATE TABLE s.mine (v text); CREATE POLICY p ON s.mine USING (EXISTS (SELECT FROM o.t__with_history h WHERE h.v = mine.v))', 0),
(3, 'a rule', 'CREATE TABLE s.mine (v text); CREATE TABLE s.log (v text);
	CREATE RULE r AS ON INSERT TO s.mine DO ALSO INSERT INTO s.log SELECT v FROM o.t__with_history', 0),
(4, 'an argument', 'CREATE FUNCTION s.f(o.t__with_history) RETURNS int LANGUAGE sql AS ''SELECT 1''', 0),
(5, 'a column', 'CREATE TABLE s.mine (v o.t__with_history)', 0),
(6, 'a view of rows', 'CREATE VIEW s.mine AS SELECT ROW(h.*)::o.t__with_history AS h FROM o.t__with_history h', 0);

-- What becomes of ADD COLUMN with it in the way, and of the view; all of it is undone.
CREATE FUNCTION tap.added(put text, granted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	SET LOCAL ROLE rights_strangers_owner;
	CREATE TABLE o.t (id int PRIMARY KEY, v text);
	RESET ROLE;
	PERFORM create_history_table('o.t');
	INSERT INTO o.t VALUES (1, 'a');
	EXECUTE granted;
	SET LOCAL ROLE rights_strangers_other;
	EXECUTE put;
	SET LOCAL ROLE rights_strangers_owner;
	BEGIN
		ALTER TABLE o.t ADD COLUMN w int;
		UPDATE o.t SET w = 1;
		result := concat_ws(' ', (SELECT count(*) FROM o.t__history WHERE w IS NULL),
			(SELECT count(*) FROM o.t__with_history WHERE upper_inf(sys_period) AND exec_transaction_id IS NULL),
			(SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
			 WHERE attrelid = 'o.t__with_history'::regclass AND attnum > 0));
	EXCEPTION WHEN OTHERS THEN result := SQLSTATE;
	END;
	IF result NOT LIKE '%w%' AND length(result) > 5 THEN
		DROP VIEW o.t__with_history CASCADE;
		PERFORM public.create_history_view_for_table('o.t');
		result := concat_ws(' ', result, 'then', (SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = 'o.t__with_history'::regclass AND attnum > 0));
	END IF;
	RESET ROLE;
	RAISE EXCEPTION '%', result USING ERRCODE = 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
	RETURN SQLERRM;
END $$;
SET client_min_messages = error;
SELECT is(added('', ''), '1 1 id,v,w,sys_period,exec_transaction_id,start_transaction_id', 'control: the view follows');
SELECT is(added(put, ''), '1 1 id,v,sys_period,exec_transaction_id,start_transaction_id then id,v,w,sys_period,exec_transaction_id,start_transaction_id',
	name || ' of a stranger''s: the column is added, and recorded; the view shows it when it is made anew')
FROM obstacles WHERE current_setting('server_version_num')::int >= least ORDER BY n;
SELECT skip('PostgreSQL 13 has no such functions', 1) FROM obstacles WHERE current_setting('server_version_num')::int < least;
SELECT is(added(put, 'GRANT SELECT ON o.t__with_history TO rights_strangers_other'), '2BP01',
	name || ' of a reader''s is in the way, as before')
FROM obstacles WHERE current_setting('server_version_num')::int >= least ORDER BY n;
SELECT skip('PostgreSQL 13 has no such functions', 1) FROM obstacles WHERE current_setting('server_version_num')::int < least;
SELECT is(added(put, 'GRANT SELECT (v) ON o.t__with_history TO PUBLIC'), '2BP01',
	name || ' of who may read a column, too')
FROM obstacles WHERE current_setting('server_version_num')::int >= least ORDER BY n;
SELECT skip('PostgreSQL 13 has no such functions', 1) FROM obstacles WHERE current_setting('server_version_num')::int < least;
SELECT is(added('CREATE VIEW s.mine AS SELECT v, sys_period FROM o.t__with_history', ''), '1 1 id,v,w,sys_period,exec_transaction_id,start_transaction_id',
	'an ordinary view of a stranger''s follows, and so does the history view');

DROP OWNED BY rights_strangers_owner, rights_strangers_other CASCADE;
DROP ROLE rights_strangers_owner, rights_strangers_other;
SELECT * FROM finish();
