-- Section 7: the extension's trigger functions in a stranger's hands.  He
-- calls them, hangs them on his own tables with a victim's arguments, in every
-- shape: the victim's history stays as it is, and the server stays up.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t59_victim;
DROP ROLE IF EXISTS t59_thief;
CREATE ROLE t59_victim;
CREATE ROLE t59_thief;
CREATE EXTENSION catmaid_history;
SELECT plan(16);

CREATE SCHEMA safe;
CREATE SCHEMA den;
ALTER SCHEMA den OWNER TO t59_thief;
ALTER SCHEMA safe OWNER TO t59_victim;
CREATE TABLE safe.t (id int PRIMARY KEY, a text);
CREATE TABLE safe.timed (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
ALTER TABLE safe.t OWNER TO t59_victim;
ALTER TABLE safe.timed OWNER TO t59_victim;
INSERT INTO safe.t VALUES (1, 'mine');
INSERT INTO safe.timed VALUES (1, 'mine');
SELECT create_history_table('safe.t');
SELECT create_history_table('safe.timed', 'edition_time', 'txid');
UPDATE safe.t SET a = 'mine too';
UPDATE safe.timed SET a = 'mine too';

CREATE FUNCTION tap.victim() RETURNS text LANGUAGE sql AS $$
	SELECT format('%s | %s | %s | %s | %s',
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM safe.t__history h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM safe.timed__history h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM safe.t__tracking h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text) FROM safe.t h),
		(SELECT string_agg(h::text, ';' ORDER BY h::text)
			FROM public.catmaid_history_table h)) $$;
SELECT tap.victim() AS before \gset

-- Called as plain functions.
CREATE TEMP TABLE fns AS
SELECT p.oid::regproc::text AS fn, p.prorettype::regtype::text AS kind
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
	AND d.classid = 'pg_proc'::regclass
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'catmaid_history'
WHERE p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype);
SELECT isnt((SELECT count(*) FROM fns WHERE kind = 'trigger'), 0::bigint,
	'there are trigger functions');
SELECT is((SELECT string_agg(fn, ', ') FROM fns
	WHERE tap.state(format('SELECT %s()', fn), 't59_thief') !~ '^(39P01|39P03|0A000|42501)'),
	NULL, 'called outside a trigger each refuses');

-- The victim's triggers, copied onto the thief's table, which carries
-- columns and names like the victim's.
CREATE TABLE den.t (id int PRIMARY KEY, a text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
ALTER TABLE den.t OWNER TO t59_thief;
CREATE PROCEDURE tap.attack(ddl text) LANGUAGE plpgsql AS $$
DECLARE
	cmd text;
BEGIN
	PERFORM tap.state(ddl, 't59_thief');
	FOREACH cmd IN ARRAY ARRAY['TRUNCATE den.t',
		'INSERT INTO den.t VALUES (1, ''stolen''), (2, ''stolen'')',
		'UPDATE den.t SET a = ''forged''', 'UPDATE den.t SET id = 3 WHERE id = 1',
		'DELETE FROM den.t WHERE id = 2', 'TRUNCATE den.t'] LOOP
		PERFORM tap.state(cmd, 't59_thief');
	END LOOP;
	EXECUTE 'ALTER TABLE den.t DISABLE TRIGGER ALL';
	DELETE FROM den.t;
	EXECUTE coalesce((SELECT string_agg(format('DROP TRIGGER %I ON den.t', tgname), ';')
		FROM pg_trigger WHERE tgrelid = 'den.t'::regclass AND NOT tgisinternal), '');
END $$;
SELECT format('CALL tap.attack(%L)', regexp_replace(pg_get_triggerdef(oid),
	' ON safe\.\w+ ', ' ON den.t '))
FROM pg_trigger WHERE NOT tgisinternal
AND tgrelid IN ('safe.t'::regclass, 'safe.timed'::regclass) \gexec
SELECT is(tap.victim(), :'before', 'triggers copied one by one do the victim no harm');
SELECT format('CALL tap.attack(%L)', (SELECT string_agg(regexp_replace(
	pg_get_triggerdef(oid), ' ON safe\.\w+ ', ' ON den.t '), ';')
	FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = rel::regclass))
FROM unnest('{safe.t,safe.timed}'::text[]) rel \gexec
SELECT is(tap.victim(), :'before', 'nor all of a table''s together');

-- Arguments that name the victim, where the originals have none or others.
SELECT format('CALL tap.attack(%L)', format(
	'CREATE TRIGGER %I %s ON den.t FOR EACH %s EXECUTE FUNCTION %s(%s)', name,
	w.shape, w.level, fn, args))
FROM fns, unnest(ARRAY['on_change_update_history_regular',
	'on_change_history_trackingtable', 'anything']) name,
	(VALUES ('AFTER INSERT OR UPDATE OR DELETE', 'ROW'),
	('BEFORE INSERT OR UPDATE OR DELETE', 'ROW'),
	('AFTER INSERT OR UPDATE OR DELETE', 'STATEMENT'),
	('BEFORE INSERT OR UPDATE OR DELETE', 'STATEMENT'),
	('BEFORE TRUNCATE', 'STATEMENT'), ('AFTER TRUNCATE', 'STATEMENT')) w(shape, level),
	unnest(ARRAY['', '''''', '''safe.t__history''', '''id'', ''edition_time'', ''txid''',
	'''safe'', ''t__history'', ''safe'', ''t__tracking'', ''id''',
	'''t__history'', ''t__tracking'', ''id'', ''edition_time'', ''txid'', ''7'', ''8''']) args
WHERE fns.kind = 'trigger' \gexec
SELECT is(tap.victim(), :'before', 'nor forged ones in any shape');
SELECT lives_ok('SELECT 1', 'the server stays up');

-- On a view, and on the victim's history itself by its own tricks.
SELECT unalike((SELECT string_agg(tap.state(format(
	'CREATE VIEW den.w AS SELECT * FROM den.t; CREATE TRIGGER x INSTEAD OF UPDATE ON den.w '
	'FOR EACH ROW EXECUTE FUNCTION %s(''safe.t__history''); '
	'INSERT INTO den.t VALUES (1, ''x''); UPDATE den.w SET a = ''y''; '
	'DROP VIEW den.w; DELETE FROM den.t', fn), 't59_thief'), ' ') FROM fns
	WHERE kind = 'trigger'), '%XX0%', 'on a view: no internal error');
SELECT is(tap.victim(), :'before', 'and no harm');

-- A table made to look like the victim's history.
SELECT allowed('CREATE TABLE den.u (id int PRIMARY KEY, a text);
	CREATE VIEW den.u__history AS SELECT *, NULL::tstzrange AS sys_period,
	NULL::bigint AS exec_transaction_id FROM den.u', 'a view in place of a history',
	't59_thief');
SELECT refused('SELECT create_history_table(''den.u'')', '{u__history}',
	'is not taken for one', as_role => 't59_thief');
SELECT denied('DROP TABLE safe.t__history', 'the thief drops no history', 't59_thief');
SELECT denied('ALTER TABLE safe.t DISABLE TRIGGER ALL', 'nor disables it', 't59_thief');
UPDATE safe.t SET a = 'still recorded';
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM safe.t__history),
	'mine,mine too', 'and recording goes on');

-- The functions of event triggers, on events of another kind: not all have a statement.
CREATE TABLE rewritten (id int);
CREATE EVENT TRIGGER t59 ON table_rewrite EXECUTE FUNCTION catmaid_history_ddl_start();
SELECT denied('ALTER TABLE rewritten ALTER id TYPE bigint', 'ddl_start on table_rewrite', NULL, '39P03');
DROP EVENT TRIGGER t59;
CREATE EVENT TRIGGER t59 ON table_rewrite EXECUTE FUNCTION catmaid_history_sql_drop();
SELECT denied('ALTER TABLE rewritten ALTER id TYPE bigint', 'sql_drop on table_rewrite', NULL, '39P03');
DROP EVENT TRIGGER t59;
CREATE EVENT TRIGGER t59 ON table_rewrite EXECUTE FUNCTION catmaid_history_ddl_end();
SELECT denied('ALTER TABLE rewritten ALTER id TYPE bigint', 'ddl_end on table_rewrite', NULL, '39P03');
DROP EVENT TRIGGER t59;

DROP OWNED BY t59_victim, t59_thief CASCADE;
DROP ROLE t59_victim, t59_thief;
SELECT * FROM finish();
