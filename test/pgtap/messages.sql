-- Section 7: a message quotes no row to one who may not read it.  Whatever a
-- site has put on the history and tracking tables to refuse a version, the
-- writer learns that it did, and not what the row holds.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t67_owner;
DROP ROLE IF EXISTS t67_member;
DROP ROLE IF EXISTS t67_writer;
DROP ROLE IF EXISTS t67_schema;
CREATE ROLE t67_owner;
CREATE ROLE t67_member IN ROLE t67_owner;
CREATE ROLE t67_writer;
CREATE ROLE t67_schema;
CREATE EXTENSION catmaid_history;
SELECT plan(98);
CREATE SCHEMA app AUTHORIZATION t67_schema;
GRANT ALL ON SCHEMA app TO t67_owner;
GRANT USAGE ON SCHEMA app TO t67_writer;
SET ROLE t67_owner;
CREATE FUNCTION app.as_int(text) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN $1 = 'ok' THEN 1 ELSE $1::int END $$;
CREATE TABLE app.others (secret text PRIMARY KEY);
RESET ROLE;

-- The kinds of tables, and what a site may have put on their history.
CREATE TABLE kinds (t text, ddl text, time_columns text);
INSERT INTO kinds VALUES
('tracked', '(id int PRIMARY KEY, secret text, a int)', ''),
('timed', '(id int PRIMARY KEY, secret text, a int, edition_time timestamptz DEFAULT now(), txid bigint)',
	', ''edition_time'', ''txid'''),
('parted', '(id int PRIMARY KEY, secret text, a int) PARTITION BY RANGE (id)', ''),
('policed', '(id int PRIMARY KEY, secret text, a int)', '');
CREATE TABLE obstacles (n int, name text, put text);
INSERT INTO obstacles VALUES
(1, 'check', 'ALTER TABLE app.%1$s__history ADD CONSTRAINT o CHECK (secret <> ''TOPSECRET'')'),
(2, 'unique', 'INSERT INTO app.%1$s__history (id, secret) VALUES (1, ''TOPSECRET'');
	CREATE UNIQUE INDEX o ON app.%1$s__history (secret)'),
(3, 'exclusion', 'INSERT INTO app.%1$s__history (id, secret) VALUES (1, ''TOPSECRET'');
	ALTER TABLE app.%1$s__history ADD CONSTRAINT o EXCLUDE USING btree (secret WITH OPERATOR(pg_catalog.=))'),
(4, 'foreign key', 'ALTER TABLE app.%1$s__history ADD CONSTRAINT o FOREIGN KEY (secret) REFERENCES app.others'),
(5, 'not null', 'ALTER TABLE app.%1$s__history ADD COLUMN b int NOT NULL'),
(6, 'domain', 'CREATE DOMAIN app.dom AS text CHECK (VALUE <> ''TOPSECRET''); ALTER TABLE app.%1$s__history
	ADD COLUMN b app.dom GENERATED ALWAYS AS (secret::app.dom) STORED'),
(7, 'expression', 'CREATE INDEX o ON app.%1$s__history (app.as_int(secret))'),
(8, 'generated', 'ALTER TABLE app.%1$s__history ADD COLUMN b int GENERATED ALWAYS AS (app.as_int(secret)) STORED'),
(9, 'partial index', 'CREATE INDEX o ON app.%1$s__history (id) WHERE app.as_int(secret) > 0'),
(10, 'context', 'CREATE INDEX o ON app.%1$s__history (((''{"a": '' || secret || ''}'')::jsonb))'),
(11, 'relation of the name', 'CREATE FUNCTION app.names(text) RETURNS oid LANGUAGE sql IMMUTABLE AS
	''SELECT CASE WHEN $1 <> ''''ok'''' THEN format(''''%%I'''', $1)::regclass END''; CREATE INDEX o ON app.%1$s__history (app.names(secret))'),
(12, 'schema of the name', 'CREATE FUNCTION app.names(text) RETURNS oid LANGUAGE sql IMMUTABLE AS
	''SELECT CASE WHEN $1 <> ''''ok'''' THEN format(''''%%I'''', $1)::regnamespace END''; CREATE INDEX o ON app.%1$s__history (app.names(secret))');
SELECT format('CREATE TABLE app.%I %s; ALTER TABLE app.%1$I OWNER TO t67_owner', t, ddl) FROM kinds \gexec
CREATE TABLE app.part PARTITION OF app.parted FOR VALUES FROM (0) TO (100);
ALTER TABLE app.part OWNER TO t67_owner;
SELECT format('INSERT INTO app.%I VALUES (1, ''TOPSECRET'', 1)', t) FROM kinds \gexec
SELECT format('SELECT create_history_table(''app.%s''%s)', t, time_columns) FROM kinds \gexec
ALTER TABLE app.policed ENABLE ROW LEVEL SECURITY;
CREATE POLICY write ON app.policed FOR UPDATE USING (true);
CREATE POLICY none ON app.policed FOR SELECT USING (false);
SELECT format('GRANT UPDATE (a), DELETE, TRUNCATE ON app.%I TO t67_writer', t) FROM kinds \gexec
-- who may read the table, but for what policies hide
GRANT SELECT ON app.policed TO t67_writer;

-- Everything that a role is told when a command fails with an obstacle in its
-- way; all of it is undone.
CREATE FUNCTION tap.told(t text, put text, cmd text, as_role name) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text; context text;
BEGIN
	SET LOCAL ROLE t67_owner;
	EXECUTE format(put, t);
	EXECUTE format('SET LOCAL ROLE %I', as_role);
	EXECUTE format(cmd, t);
	RAISE EXCEPTION 'no error' USING ERRCODE = 'NOERR';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN format('%s: %s | %s | %s | %s', state, message, detail, hint, context);
END $$;
SELECT matches(tap.told('tracked', put, 'UPDATE app.%s SET a = 2', 't67_writer'), '^(22|23|42P01|3F)',
	name || ': the update is refused') FROM obstacles ORDER BY n;
SELECT unalike(tap.told(t, put, 'UPDATE app.%s SET a = 2', 't67_writer'), '%TOPSECRET%',
	format('%s: an update of %s tells no row', name, t))
FROM obstacles, kinds WHERE t <> 'policed' ORDER BY t, n;
SELECT unalike(tap.told(t, put, 'TRUNCATE app.%s', 't67_writer'), '%TOPSECRET%',
	format('%s: nor does TRUNCATE of %s', name, t))
FROM obstacles, kinds WHERE t IN ('tracked', 'timed') ORDER BY t, n;
SELECT unalike(tap.told('policed', put, 'DELETE FROM app.%s', 't67_writer'), '%TOPSECRET%',
	name || ': nor a reader whom policies hide it from') FROM obstacles WHERE n < 8 ORDER BY n;
SELECT unalike(tap.told('parted', put, 'DROP TABLE app.part', 't67_schema'), '%TOPSECRET%',
	name || ': nor the schema''s owner, who drops a partition') FROM obstacles ORDER BY n;
SELECT alike(tap.told('tracked', put, 'UPDATE app.%s SET a = 2', role), '%TOPSECRET%',
	format('control: %s is told more', role)) FROM obstacles,
	unnest('{t67_owner,t67_member}'::name[]) role WHERE n = 1;
SELECT alike(tap.told('tracked', put, 'UPDATE app.%s SET a = 2', 't67_writer'), '%"o"%',
	'everybody is told which constraint it was') FROM obstacles WHERE n = 1;
SELECT alike(tap.told('tracked', put, 'UPDATE app.%s SET a = 2', 't67_writer'), '%PL/pgSQL function told%',
	'and from where the command came') FROM obstacles WHERE n = 10;

-- The tracking table's key, and other people's tables.
SELECT unalike(tap.told('tracked', 'CREATE UNIQUE INDEX ON app.%1$s__tracking ((live_pk %% 7)); INSERT INTO app.%1$s VALUES (70707, ''ok'', 1)',
	'UPDATE app.%s SET id = 14 WHERE a = 1', 't67_writer'), '%70707%', 'no key of another row is told');
SELECT unalike(tap.told('tracked', 'SELECT ''%s''', 'SELECT sync_tracking_table(''app.%1$s'', ''app.%1$s__tracking'')',
	't67_writer'), '%TOPSECRET%', 'nor anything by a function that refuses him');
SELECT is((SELECT string_agg(secret, ',') FROM app.tracked), 'TOPSECRET', 'nothing has changed');

DROP OWNED BY t67_owner, t67_member, t67_writer, t67_schema CASCADE;
DROP ROLE t67_owner, t67_member, t67_writer, t67_schema;
SELECT * FROM finish();
