-- Section 2: keys of any type.  Tracking rows are found by the equality of the
-- primary key's own index, which need not be an operator of pg_catalog, nor
-- the one that a name alone would find.
\ir lib/hostile.psql
CREATE SCHEMA types;
CREATE EXTENSION citext SCHEMA types;
CREATE EXTENSION ltree SCHEMA types;
CREATE EXTENSION hstore SCHEMA types;
CREATE EXTENSION isn SCHEMA types;
CREATE EXTENSION cube SCHEMA types;
CREATE EXTENSION catmaid_history;
CREATE TYPE types.mood AS ENUM ('good', 'bad', 'none');
CREATE FUNCTION types.to_text(types.mood) RETURNS text LANGUAGE sql AS $$ SELECT 'cast' $$;
CREATE CAST (types.mood AS text) WITH FUNCTION types.to_text(types.mood) AS IMPLICIT;
CREATE TYPE types.pair AS (a int, b text);
CREATE DOMAIN types.code AS varchar(8) CHECK (VALUE <> '');
CREATE DOMAIN types.name AS types.citext;
CREATE COLLATION types.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

CREATE TABLE kinds (n int GENERATED ALWAYS AS IDENTITY, type text, one text, two text, three text);
INSERT INTO kinds (type, one, two, three) VALUES
('types.citext', 'One', 'Two', 'Three'),
('types.name', 'One', 'Two', 'Three'),
('types.ltree', 'a.b', 'a.c', 'a'),
('types.hstore', 'a=>1', 'b=>1', 'c=>1'),
('types.isbn13', '978-0-393-04002-9', '978-0-11-000222-4', '978-1-9374-7110-1'),
('types.cube', '(1,2)', '(2,3)', '(3,4)'),
('types.mood', 'good', 'bad', 'none'),
('types.pair', '(1,x)', '(2,y)', '(3,z)'),
('types.code', 'x', 'y', 'z'),
('text COLLATE types.nocase', 'One', 'Two', 'Three'),
('character(5)', 'x', 'y', 'z'),
('"char"', 'x', 'y', 'z'),
('name', 'x', 'y', 'z'),
('numeric', '1.0', '2.00', '3'),
('double precision', '0', 'NaN', '1e300'),
('boolean', 't', 'f', NULL),
('uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
	'00000000-0000-0000-0000-000000000003'),
('bytea', '\x00', '\x0001', '\xff'),
('timestamptz', '2001-01-01', 'infinity', '-infinity'),
('int4range', '[1,2)', 'empty', '(,)'),
('int[]', '{1}', '{}', '{NULL}'),
('jsonb', '{"a": 1}', '{"a": 1.0, "b": null}', '[]'),
('inet', '10.0.0.1', '10.0.0.0/8', '::1'),
('oid', '1', '2', '3'),
('regclass', 'pg_class', 'pg_type', 'pg_proc'),
('money', '1', '2', '3'),
('bit(3)', '101', '111', '000');
SELECT plan(27 * 5 + 4);

SELECT format('CREATE TABLE k%s (k %s PRIMARY KEY, v text)', n, type) FROM kinds \gexec
SELECT format('INSERT INTO k%s VALUES (%L, ''a''), (%L, ''b'')', n, one, two) FROM kinds \gexec
CREATE FUNCTION tap.value(q text) RETURNS text LANGUAGE plpgsql AS
$$ DECLARE v text; BEGIN EXECUTE q INTO v; RETURN v; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $$;

SELECT allowed(format('SELECT create_history_table(''k%s'')', n), type || ': create') FROM kinds;
SELECT allowed(format('UPDATE k%s SET v = ''z''; DELETE FROM k%1$s WHERE k::text = (SELECT k::text
	FROM k%1$s ORDER BY k LIMIT 1); TRUNCATE k%1$s', n), type || ': update, delete, truncate') FROM kinds;
SELECT is(value(format('SELECT count(*) || '' '' || count(*) FILTER (WHERE NOT lower_inf(sys_period))
	FROM k%s__history', n)), '4 4', type || ': four versions, each with a start') FROM kinds;
SELECT allowed(format('INSERT INTO k%s VALUES (%L, ''a''); SELECT
	disable_history_tracking_for_table(''k%1$s''); DELETE FROM k%1$s; INSERT INTO k%1$s VALUES
	(%3$L, ''c''); SELECT enable_history_tracking_for_table(''k%1$s'')', n, one, two),
	type || ': sync') FROM kinds;
SELECT is(value(format('SELECT (SELECT count(*) FROM k%s k JOIN k%1$s__tracking t ON
	t.live_pk::text = k.k::text) || '' '' || (SELECT count(*) FROM k%1$s__tracking) || '' '' ||
	(SELECT count(*) FROM k%1$s__with_history WHERE sys_period IS NOT NULL
		AND upper_inf(sys_period))', n)), '1 1 1',
	type || ': tracking table and view match') FROM kinds;

-- Equal is what the key's index calls equal.
INSERT INTO k1 VALUES ('Case', 'a');
SELECT edition_time AS inserted FROM k1__tracking WHERE live_pk::text = 'Case' \gset
UPDATE k1 SET k = 'CASE' WHERE k::text = 'Case';
SELECT is((SELECT format('%s %s', k, lower(sys_period) = :'inserted') FROM k1__history
	WHERE k::text = 'Case'), 'Case t', 'citext: a change of case is a change, with its start');
SELECT is((SELECT string_agg(live_pk::text, ',') FROM k1__tracking WHERE live_pk::text
	IN ('Case', 'CASE')), 'CASE', 'citext: and one tracking row');
SELECT sync_tracking_table('k1', 'k1__tracking');
SELECT is((SELECT count(*) FROM k1), (SELECT count(*) FROM k1__tracking), 'citext: sync agrees');
UPDATE k14 SET k = k * 1.000;
SELECT is((SELECT count(*) FROM k14__tracking), (SELECT count(*) FROM k14),
	'numeric: another scale, the same key');

SELECT * FROM finish();
