-- Section 5: PostgreSQL's own errors stay what they are; a failed command in an
-- exception block leaves nothing; and section 8: DROP EXTENSION ... CASCADE
-- leaves live and history tables whole.
\ir lib/whole.psql
CREATE SCHEMA bare;
CREATE TABLE bare.t (id int PRIMARY KEY, v text);
CREATE VIEW bare.t_view AS SELECT v FROM bare.t;
CREATE TABLE bare.r (id int) PARTITION BY RANGE (id);
-- How these commands fail without the extension.
CREATE TABLE tap.commands (cmd text);
INSERT INTO tap.commands VALUES
	('ALTER TABLE %s.nothing ADD COLUMN a int'), ('ALTER TABLE %s.t DROP COLUMN nothing'),
	('ALTER TABLE %s.t ALTER COLUMN nothing TYPE int'), ('ALTER TABLE %s.t ALTER COLUMN v TYPE nothing'),
	('ALTER TABLE %s.t ALTER COLUMN v TYPE int'), ('ALTER TABLE %s.t ALTER COLUMN v TYPE int USING 1/0'),
	('ALTER TABLE %s.t ALTER COLUMN v TYPE int USING nothing'),
	('ALTER TABLE %s.t ALTER COLUMN v TYPE int USING v::int'),
	('ALTER TABLE %s.t ALTER COLUMN v TYPE bigint'),
	('ALTER TABLE %s.t ADD COLUMN v int'), ('ALTER TABLE %s.t ADD COLUMN a nothing'),
	('ALTER TABLE %s.t RENAME COLUMN nothing TO a'), ('ALTER TABLE %s.t RENAME COLUMN v TO id'),
	('ALTER TABLE %s.t ADD PRIMARY KEY (v)'), ('ALTER TABLE %s.t DROP CONSTRAINT nothing'),
	('ALTER TABLE %s.t DROP COLUMN v'), ('ALTER TABLE %s.t INHERIT %1$s.nothing'),
	('ALTER TABLE %s.t NO INHERIT %1$s.r'), ('ALTER TABLE %s.t INHERIT %1$s.t'),
	('ALTER TABLE %s.r DETACH PARTITION %1$s.t'), ('DROP TABLE %s.t'), ('DROP TABLE %s.t, %1$s.nothing'),
	('DROP TABLE %s.nothing'), ('DROP TABLE %s.t_view'), ('DROP VIEW %s.t'),
	('ALTER VIEW %s.t RENAME TO a'), ('ALTER TABLE %s.t RENAME TO r'),
	('ALTER TABLE %s.t SET SCHEMA %1$s'), ('ALTER TABLE %s.t OWNER TO nobody_at_all'),
	('ALTER TABLE %s.t ALTER COLUMN v SET NOT NULL, ALTER COLUMN nothing DROP NOT NULL'),
	('ALTER TABLE nowhere.t ADD COLUMN %s int'), ('DROP TABLE nowhere.%s'),
	('DROP SCHEMA nowhere, %s CASCADE'), ('DROP OWNED BY nobody_at_all, %s'),
	('CREATE TABLE %s.t (a int)'), ('TRUNCATE %s.nothing');
INSERT INTO bare.t VALUES (1, 'a'), (2, NULL);
CREATE TABLE tap.own_words AS
	SELECT cmd, (attempt(format(cmd, 'bare'))).* FROM tap.commands;

CREATE EXTENSION catmaid_history;
SELECT plan(65);
CREATE SCHEMA hist;
CREATE TABLE hist.t (id int PRIMARY KEY, v text);
CREATE VIEW hist.t_view AS SELECT v FROM hist.t;
CREATE TABLE hist.r (id int) PARTITION BY RANGE (id);
SELECT create_history_table('hist.t');
INSERT INTO hist.t VALUES (1, 'a'), (2, NULL);
SELECT everything('hist.t') AS before \gset
SELECT is((SELECT regexp_replace(replace(state || ' ' || message || ' ' || hint, 'hist', 'bare'),
		E'/ view bare\\.t__with_bareory depends[^\\n]*\\n?', '/ ') FROM attempt(format(cmd, 'hist'))),
	state || ' ' || message || ' ' || hint, 'as without the extension: ' || format(cmd, 'hist'))
FROM tap.own_words WHERE state <> '00000';
SELECT cmp_ok((SELECT count(*) FROM tap.own_words WHERE state <> '00000'), '>=', 35::bigint,
	'that many of them fail without the extension');
SELECT is(everything('hist.t'), :'before', 'and nothing has changed');

-- A failed command in an exception block, and on it goes.
DROP VIEW hist.t_view;
CREATE TABLE hist.u (id int PRIMARY KEY, v text);
SELECT create_history_table('hist.u');
INSERT INTO hist.u VALUES (1, 'x');
UPDATE hist.u SET v = 'y';
CREATE FUNCTION tap.go_on(cmd text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE cmd;
		RETURN 'it did not fail';
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	ALTER TABLE hist.t ADD COLUMN later int;
	UPDATE hist.t SET later = 1;
	ALTER TABLE hist.t DROP COLUMN later;
	RETURN misplaced('hist.t') || misplaced('hist.u');
END $$;
SELECT is(go_on(cmd), '', 'goes on after: ' || cmd) FROM unnest(ARRAY[
	'ALTER TABLE hist.t DROP COLUMN v, DROP COLUMN nothing',
	'ALTER TABLE hist.t ALTER COLUMN v TYPE int USING 1/0',
	'ALTER TABLE hist.t ADD COLUMN sys_period int',
	'ALTER TABLE hist.t RENAME COLUMN v TO exec_transaction_id',
	'ALTER TABLE hist.t ADD COLUMN a int; DROP TABLE hist.u; ALTER TABLE hist.t DROP COLUMN v; SELECT 1/0',
	'ALTER TABLE hist.t RENAME TO t3; ALTER TABLE hist.u RENAME TO t; SELECT 1/0',
	'ALTER TABLE hist.t RENAME TO ' || repeat('x', 60),
	'DROP TABLE hist.t; SELECT 1/0',
	'DROP SCHEMA hist CASCADE; SELECT 1/0',
	'DROP EXTENSION catmaid_history CASCADE; SELECT 1/0',
	'DROP TABLE hist.t__history CASCADE',
	'ALTER TABLE hist.t DISABLE TRIGGER USER; SELECT 1/0']) cmd;
SELECT whole('hist.t', 'all is in line');
SELECT whole('hist.u', 'also the other table');

-- Off: nothing is followed, and no version stored incomplete.
SET catmaid_history.follow_ddl = off;
ALTER TABLE hist.t ADD COLUMN x int;
SELECT refused('UPDATE hist.t SET v = ''b''', '{x}', 'follow_ddl = off: a write is an error with a hint', 'fitting');
RESET catmaid_history.follow_ddl;
SELECT enable_history_tracking_for_table('hist.t');
SELECT has_column('hist', 't__history', 'x', 'mended by enabling');
SELECT create_history_view_for_table('hist.t');
SELECT whole('hist.t', 'and recorded again');

-- DROP EXTENSION and CREATE EXTENSION.
SELECT denied('DROP EXTENSION catmaid_history', 'DROP EXTENSION without CASCADE', NULL, '2BP01');
SELECT is((SELECT count(*)::int FROM hist.t__history) > 3, true, 'control: there is history');
SELECT (SELECT string_agg(w::text, ';' ORDER BY w::text) FROM hist.t w) AS live,
	(SELECT string_agg(w::text, ';' ORDER BY w::text) FROM hist.t__history w) AS history \gset
DROP EXTENSION catmaid_history CASCADE;
SELECT is((SELECT string_agg(w::text, ';' ORDER BY w::text) FROM hist.t w), :'live',
	'DROP EXTENSION CASCADE leaves the live rows');
SELECT is((SELECT string_agg(w::text, ';' ORDER BY w::text) FROM hist.t__history w), :'history',
	'and the history');
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE NOT tgisinternal) + (SELECT count(*)::int
	FROM pg_event_trigger), 0, 'no trigger is left');
SELECT allowed('UPDATE hist.t SET v = ''free''; ALTER TABLE hist.u DROP COLUMN v CASCADE;
	DROP TABLE hist.u CASCADE', 'writes and DDL go on');
SELECT allowed('CREATE EXTENSION catmaid_history', 'CREATE EXTENSION again');
SELECT is((SELECT count(*)::int FROM catmaid_history_table), 0, 'it starts with an empty registry');
SELECT allowed('ALTER TABLE hist.t ADD COLUMN y int', 'in the same session, DDL is unhindered');
SELECT hasnt_column('hist', 't__history', 'y', 'and does not follow what is not registered');
DROP VIEW IF EXISTS hist.t__with_history;
DROP TABLE hist.t__history, hist.t__tracking;
SELECT create_history_table('hist.t');
SELECT whole('hist.t', 'tracked anew');

SELECT * FROM finish();
