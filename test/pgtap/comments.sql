-- Every object of the extension says what it is, as \dx+, \df+, \d+, \dT+ and \dy
-- show it; so do the columns of the tables that users read.
\ir lib/start.psql
SELECT plan(7);
CREATE EXTENSION catmaid_history;

-- members, by class: pg_description names them the same way; not the row and array
-- types that come with something else, which are members from PostgreSQL 17 on
CREATE VIEW member AS
SELECT pg_describe_object(d.classid, d.objid, 0) AS name, d.classid, d.objid
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'catmaid_history'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
			AND (t.typcategory = 'A' OR c.relkind <> 'c'));

SELECT cmp_ok((SELECT count(*) FROM member), '>', 40::bigint, 'the extension has its members');

SELECT is_empty($$
	SELECT name FROM member WHERE NOT EXISTS (
		SELECT FROM pg_description c
		WHERE c.classoid = member.classid AND c.objoid = member.objid AND c.objsubid = 0
			AND c.description <> '')
$$, 'no member lacks a comment');

SELECT is_empty($$
	SELECT a.attrelid::regclass, a.attname
	FROM pg_attribute a
	WHERE a.attrelid IN ('catmaid_history_table'::regclass, 'catmaid_transaction_info'::regclass,
		'catmaid_live_table_triggers'::regclass)
		AND a.attnum > 0 AND NOT a.attisdropped
		AND col_description(a.attrelid, a.attnum) IS NULL
$$, 'no column of registry, log or trigger view lacks a comment');

SELECT is_empty($$
	SELECT tgname FROM pg_trigger
	WHERE tgrelid = 'catmaid_history_table'::regclass AND NOT tgisinternal
		AND obj_description(oid, 'pg_trigger') IS NULL
$$, 'the registry''s trigger has one');

-- They read well in a column of psql: one line, a sentence.
SELECT is_empty($$
	SELECT name, c.description FROM member
	JOIN pg_description c ON c.classoid = classid AND c.objoid = objid
	WHERE classid <> 'pg_extension'::regclass
		AND (c.description ~ '[\n\t]' OR c.description !~ '[.]$' OR length(c.description) > 140)
$$, 'each is one line and a sentence');

SELECT isnt_empty($$
	SELECT FROM pg_extension e WHERE extname = 'catmaid_history'
		AND obj_description(e.oid, 'pg_extension') <> ''
$$, 'the extension itself has one');

-- Argument names are there for psql and for named notation.
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM member JOIN pg_proc p ON p.oid = objid
	WHERE classid = 'pg_proc'::regclass AND pronargs > 0
		AND (proargnames IS NULL OR '' = ANY (proargnames))
$$, 'no argument lacks a name');

SELECT * FROM finish();
