-- Section 1: shape and privileges of the registry and the transaction log.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t42_app;
DROP ROLE IF EXISTS t42_dbowner;
CREATE EXTENSION catmaid_history;
CREATE ROLE t42_app;
CREATE ROLE t42_dbowner;
SELECT plan(59);

CREATE FUNCTION tap.columns(rel regclass, first int) RETURNS text
LANGUAGE sql AS $$
	SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod)
		|| CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
		|| coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), ''),
		E'\n' ORDER BY attnum)
	FROM pg_attribute a LEFT JOIN pg_attrdef d
		ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE attrelid = rel AND attnum BETWEEN 1 AND first AND NOT attisdropped
$$;

-- The registry's shape.
SELECT is(tap.columns('catmaid_history_table', 8),
'live_table regclass NOT NULL
history_table regclass NOT NULL
triggers_installed boolean NOT NULL
live_table_pkey_column text NOT NULL
tracking_table regclass
time_column text NOT NULL
txid_column text NOT NULL
creation_time timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP',
	'registry: the promised columns, in their order, before all others');
SELECT is((SELECT relkind::text || relpersistence::text FROM pg_class
	WHERE oid = 'catmaid_history_table'::regclass), 'rp',
	'registry: a real, permanent table');
SELECT col_is_pk('public', 'catmaid_history_table', 'live_table',
	'registry: primary key');
SELECT col_is_unique('public', 'catmaid_history_table', ARRAY['history_table'],
	'registry: history table unique');

-- Its content.
CREATE TABLE plain (id int PRIMARY KEY, a text);
CREATE TABLE timed (the_key int PRIMARY KEY, a text,
	edited timestamptz NOT NULL DEFAULT now(), tx bigint);
SELECT create_history_table('timed', 'edited', 'tx');
SELECT create_history_table('plain');
SELECT is((SELECT format('%s %s %s %s %s %s', history_table,
	triggers_installed, live_table_pkey_column, tracking_table IS NULL,
	time_column, txid_column) FROM catmaid_history_table
	WHERE live_table = 'timed'::regclass),
	'timed__history t the_key t edited tx', 'row of a table with time column');
SELECT is((SELECT format('%s %s %s %s', history_table, triggers_installed,
	live_table_pkey_column, tracking_table) FROM catmaid_history_table
	WHERE live_table = 'plain'::regclass),
	'plain__history t id plain__tracking', 'row of a table with tracking table');
SELECT ok((SELECT bool_and(creation_time BETWEEN now() - interval '1 hour'
	AND now()) FROM catmaid_history_table), 'creation times are of now');
SELECT is((SELECT count(*) FROM catmaid_history_table), 2::bigint,
	'nothing else is registered');

-- Its privileges.
SELECT ok(has_table_privilege('t42_app', 'catmaid_history_table', 'SELECT'),
	'registry: anyone reads');
SELECT ok(NOT has_table_privilege('t42_app', 'catmaid_history_table', p),
	'registry: not anyone''s is ' || p)
FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
	'TRIGGER']) p;
SELECT ok(NOT has_any_column_privilege('t42_app', 'catmaid_history_table', p),
	'registry: on no column is ' || p)
FROM unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) p;
SELECT allowed('SELECT live_table FROM catmaid_history_table',
	'registry: a read by anyone', 't42_app');
SELECT denied('DELETE FROM catmaid_history_table',
	'registry: no delete by anyone', 't42_app');

-- What pg_dump reads and a restore writes.
SELECT ok(NOT has_table_privilege('t42_app', 'catmaid_history_internal.catmaid_history_table_by_name', p),
	'dumped registry: not anyone''s is ' || p)
FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p;
CREATE TABLE tap.forged (LIKE catmaid_history_internal.catmaid_history_table_by_name);
CREATE TRIGGER forged BEFORE INSERT ON tap.forged FOR EACH ROW EXECUTE FUNCTION catmaid_history_restore();
SELECT throws_ok($$INSERT INTO tap.forged (live_table) VALUES ('tap.forged')$$, '39P01', NULL,
	'dumped registry: its trigger serves no other table');
SELECT throws_ok($$INSERT INTO catmaid_history_internal.catmaid_history_table_by_name (live_table, history_table) VALUES ('public.plain', 'public.timed__history')$$,
	'23502', NULL, 'dumped registry: an incomplete row is refused');
SELECT lives_ok($$INSERT INTO catmaid_history_internal.catmaid_history_table_by_name (live_table, history_table) VALUES ('nowhere.plain', 'public.timed__history')$$,
	'dumped registry: a row of no table goes nowhere');

-- Dumps from before there was the schema.
DELETE FROM catmaid_history_table WHERE live_table = 'timed'::regclass;
SELECT lives_ok($$INSERT INTO catmaid_history_dump VALUES ('public.timed', 'public.timed__history', true, 'id', NULL,
	'edition_time', 'txid', now(), '{id}')$$, 'an older dump''s row');
SELECT is((SELECT history_table::text FROM catmaid_history_table WHERE live_table = 'timed'::regclass), 'timed__history',
	'is entered in the registry');
SELECT is((SELECT count(*) FROM catmaid_history_dump), 0::bigint, 'and nowhere else');

-- The log's shape.
SELECT is(tap.columns('catmaid_transaction_info', 99),
'transaction_id bigint NOT NULL DEFAULT txid_current()
execution_time timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP
user_id integer
project_id integer
change_type history_change_type NOT NULL
label text NOT NULL
context jsonb DEFAULT catmaid_history_log_context()', 'log: the promised columns');
SELECT col_is_pk('public', 'catmaid_transaction_info',
	ARRAY['transaction_id', 'execution_time'], 'log: primary key');
SELECT enum_has_labels('public', 'history_change_type',
	ARRAY['Backend', 'Migration', 'External'], 'log: kinds of change');

-- Its privileges.
SELECT is((SELECT string_agg(attname, ', ' ORDER BY attname COLLATE "C")
	FROM pg_attribute WHERE attrelid = 'catmaid_transaction_info'::regclass
	AND attnum > 0 AND NOT attisdropped
	AND has_column_privilege('t42_app', attrelid, attnum, 'INSERT')),
	'change_type, label, project_id, user_id',
	'log: anyone inserts these columns, no other');
SELECT ok(NOT has_any_column_privilege('t42_app', 'catmaid_transaction_info', p),
	'log: not anyone''s, on no column, is ' || p)
FROM unnest(ARRAY['SELECT', 'UPDATE', 'REFERENCES']) p;
SELECT ok(NOT has_table_privilege('t42_app', 'catmaid_transaction_info', p),
	'log: not anyone''s is ' || p)
FROM unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) p;

\set label 'INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (7, ''Backend'', ''treenodes.move'', 3) ON CONFLICT DO NOTHING'
BEGIN;
SELECT txid_current() AS tx, now() AS at \gset
SELECT allowed(:'label', 'log: anyone labels a transaction', 't42_app');
SELECT allowed(replace(:'label', 'move', 'again'),
	'log: labelling it again is no error', 't42_app');
COMMIT;
SELECT is((SELECT string_agg(format('%s %s %s %s %s %s', transaction_id,
	execution_time, user_id, project_id, change_type, label), ';')
	FROM catmaid_transaction_info),
	format('%s %s 7 3 Backend treenodes.move', :'tx', :'at'::timestamptz),
	'log: one row, the first label, with id and start of the transaction');
SELECT allowed($$INSERT INTO catmaid_transaction_info (change_type, label)
	VALUES ('External', 'x') ON CONFLICT DO NOTHING$$,
	'log: user and project may be left out', 't42_app');
SELECT denied($$INSERT INTO catmaid_transaction_info (transaction_id,
	change_type, label) VALUES (1, 'External', 'x')$$,
	'log: no forged transaction id', 't42_app');
SELECT denied($$INSERT INTO catmaid_transaction_info (execution_time,
	change_type, label) VALUES ('2001-01-01', 'External', 'x')$$,
	'log: no forged time', 't42_app');
SELECT denied($$INSERT INTO catmaid_transaction_info (change_type, label)
	VALUES ('External', 'x') ON CONFLICT (transaction_id, execution_time)
	DO UPDATE SET label = 'y'$$, 'log: no upsert', 't42_app');
SELECT denied($$INSERT INTO catmaid_transaction_info (change_type, label)
	VALUES ('External', 'x') RETURNING label$$, 'log: no RETURNING', 't42_app');
SELECT denied($$UPDATE catmaid_transaction_info SET label = 'y'$$,
	'log: no update', 't42_app');
SELECT denied('DELETE FROM catmaid_transaction_info',
	'log: no delete', 't42_app');
SELECT denied('SELECT label FROM catmaid_transaction_info',
	'log: no read', 't42_app');

-- The database's owner restores dumps.
SELECT format('ALTER DATABASE %I OWNER TO t42_dbowner', current_database())
\gexec
SELECT CASE WHEN current_setting('server_version_num')::int < 140000
	THEN pass('no pg_database_owner before 14: ' || r || ' ' || p)
	ELSE ok(has_table_privilege('t42_dbowner', r, p),
		format('the database''s owner has %s on %s', p, r)) END
FROM unnest(ARRAY['catmaid_history_table', 'catmaid_transaction_info']) r,
	unnest(ARRAY['INSERT', 'SELECT']) p;
SELECT ok(NOT has_table_privilege('t42_dbowner', r, 'TRIGGER'),
	'but plants no trigger on ' || r)
FROM unnest(ARRAY['catmaid_history_table', 'catmaid_transaction_info']) r;
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), current_user)
\gexec

DROP OWNED BY t42_app, t42_dbowner;
DROP ROLE t42_app, t42_dbowner;
SELECT * FROM finish();
