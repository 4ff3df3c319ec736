-- Migrations of the shapes that real applications have, run step by step on tables
-- that are tracked and on plain ones: each step succeeds or fails alike and leaves the same
-- schema and rows; and the as-of queries show what the plain tables showed at the time.
--
-- Rows have a name (w) and a value (v), which no migration touches, so that they can be
-- told whatever becomes of their keys.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(27);
SET client_min_messages = error;

CREATE TABLE tap.step (migration text, no serial, cmd text);
-- what of a migration is compared as of the past: its tables, as they are called in the end
CREATE TABLE tap.result (migration text, tables text[], unknown text DEFAULT '', PRIMARY KEY (migration));

-- Steps are separated by lines of "--".
CREATE PROCEDURE tap.migration(name text, tables text[], steps text, unknown text DEFAULT '') LANGUAGE sql AS $$
	INSERT INTO tap.result VALUES (name, tables, unknown);
	INSERT INTO tap.step (migration, cmd) SELECT name, s FROM regexp_split_to_table(steps, E'\n--\n') WITH ORDINALITY x(s, o) ORDER BY o;
$$;

-- Everything of a schema but what is the history's.
CREATE FUNCTION tap.schema_of(schema_name text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(replace(x, schema_name || '.', ''), E'\n' ORDER BY replace(x, schema_name || '.', '') COLLATE "C"), '') FROM (
		SELECT format('%s.%s %s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attidentity,
			pg_get_expr(d.adbin, d.adrelid))
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE c.relnamespace = schema_name::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') AND c.relname !~ '__(history|tracking|with_history)$'
		AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(o.oid)) FROM pg_constraint o
		WHERE connamespace = schema_name::regnamespace AND conrelid::regclass::text !~ '__(history|tracking)$'
		UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid
		WHERE relnamespace = schema_name::regnamespace AND relname !~ '__(history|tracking)$'
		UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = schema_name::regnamespace AND typtype IN ('e', 'd')
	) y(x) $$;
CREATE FUNCTION tap.rows_in(schema_name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	one text;
	res text := '';
BEGIN
	FOR r IN SELECT relname, relkind FROM pg_class WHERE relnamespace = schema_name::regnamespace AND relkind IN ('r', 'p')
			AND NOT relispartition AND relname !~ '__(history|tracking)$' ORDER BY relname LOOP
		EXECUTE format('SELECT string_agg(x::text, E''\n'' ORDER BY x::text) FROM %I.%I x', schema_name, r.relname) INTO one;
		res := res || r.relname || E':\n' || coalesce(one, '') || E'\n';
	END LOOP;
	RETURN res;
END $$;
-- Run a step in a schema; how it ended.
CREATE FUNCTION tap.run_step(cmd text, schema_name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', schema_name || ', public, tap', true);
	EXECUTE cmd;
	PERFORM set_config('search_path', 'public, tap', true);
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	PERFORM set_config('search_path', 'public, tap', true);
	RETURN SQLSTATE || ' ' || replace(SQLERRM, schema_name || '.', '');
END $$;
-- All steps of a migration.  What is seen of the plain tables stands for the tracked ones, of
-- which as-of answers are asked; each migration is in a schema of its own.
CREATE PROCEDURE tap.migrate(name text, INOUT wrong text DEFAULT '') LANGUAGE plpgsql AS $$
DECLARE
	s record;
	t text;
	tracked text;
	plain text;
BEGIN
	wrong := '';
	EXECUTE format('CREATE SCHEMA %I', 'p_' || name);
	EXECUTE format('CREATE SCHEMA %I', 't_' || name);
	COMMIT;
	FOR s IN SELECT cmd, row_number() OVER (ORDER BY no) AS n FROM tap.step WHERE migration = name ORDER BY no LOOP
		plain := tap.run_step(s.cmd, 'p_' || name);
		tracked := tap.run_step(s.cmd, 't_' || name);
		IF s.n = 1 THEN
			FOR t IN SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = ('t_' || name)::regnamespace AND relkind IN ('r', 'p')
					AND NOT relispartition AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND indisprimary) LOOP
				PERFORM create_history_table(t::regclass);
			END LOOP;
		END IF;
		COMMIT;
		IF plain IS DISTINCT FROM tracked THEN
			wrong := wrong || format(E'\nstep %s: %s, and untracked %s', s.n, tracked, plain);
		END IF;
		IF tap.schema_of('t_' || name) <> tap.schema_of('p_' || name) THEN
			wrong := wrong || format(E'\nstep %s: another schema: %s\n and untracked: %s', s.n, tap.schema_of('t_' || name), tap.schema_of('p_' || name));
		END IF;
		IF tap.rows_in('t_' || name) <> tap.rows_in('p_' || name) THEN
			wrong := wrong || format(E'\nstep %s: other rows: %s\n and untracked: %s', s.n, tap.rows_in('t_' || name), tap.rows_in('p_' || name));
		END IF;
		COMMIT;
		-- tables that are there with the name that they will have
		FOREACH t IN ARRAY (SELECT tables FROM tap.result r WHERE r.migration = name) LOOP
			IF to_regclass(format('p_%s.%s', name, split_part(t, '=', 1))) IS NOT NULL AND s.n > 1 THEN
				INSERT INTO tap.was_seen VALUES (format('t_%s.%s', name, split_part(t, '=', 2)), now(), NULL);
				EXECUTE format('INSERT INTO tap.was_seen SELECT %L, now(), format(''%%s=%%s'', w, v) FROM %s',
					format('t_%s.%s', name, split_part(t, '=', 2)), format('p_%s.%s', name, split_part(t, '=', 1)));
			END IF;
		END LOOP;
		COMMIT;
	END LOOP;
	wrong := ltrim(wrong, E'\n');
END $$;

-- A counter whose key is made anew in two statements (crates.io).
CALL migration('two_statements', '{downloads=downloads}', $$
CREATE TABLE downloads (id serial PRIMARY KEY, version_id int NOT NULL, at timestamp NOT NULL, w text, v text)
--
INSERT INTO downloads (version_id, at, w, v) VALUES (51, '2020-01-03 00:00', 'one', 'a'), (51, '2020-01-04 00:05', 'two', 'a'), (52, '2020-01-04', 'three', 'a')
--
UPDATE downloads SET v = 'b' WHERE version_id = 51
--
ALTER TABLE downloads DROP CONSTRAINT downloads_pkey
--
ALTER TABLE downloads ALTER at TYPE date
--
UPDATE downloads SET v = 'c' WHERE w = 'two'
--
ALTER TABLE downloads ADD PRIMARY KEY (version_id, at)
--
ALTER TABLE downloads DROP COLUMN id
--
UPDATE downloads SET v = 'd'
$$);
-- A key replaced by a longer one, a column dropped and added in between, and foreign keys that
-- refer to it (roundcubemail, concourse).
CALL migration('referred', '{users=users,filters=filters}', $$
CREATE TABLE users (user_id serial PRIMARY KEY, w text, v text);
CREATE TABLE filters (filter_id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, w text, v text)
--
INSERT INTO users (w, v) VALUES ('ann', 'a'), ('bob', 'a'); INSERT INTO filters VALUES (1, 1, 'f1', 'a'), (2, 2, 'f2', 'a'), (3, 2, 'f3', 'a')
--
UPDATE filters SET v = 'b' WHERE filter_id > 1
--
ALTER TABLE users DROP CONSTRAINT users_pkey
--
ALTER TABLE filters DROP CONSTRAINT filters_user_id_fkey
--
ALTER TABLE users DROP CONSTRAINT users_pkey; ALTER TABLE users ADD COLUMN realm int NOT NULL DEFAULT 1
--
UPDATE users SET v = 'b'
--
ALTER TABLE users ADD PRIMARY KEY (realm, user_id)
--
ALTER TABLE filters DROP CONSTRAINT filters_pkey, ADD COLUMN realm int NOT NULL DEFAULT 1; ALTER TABLE filters ADD PRIMARY KEY (realm, filter_id)
--
ALTER TABLE filters ADD FOREIGN KEY (realm, user_id) REFERENCES users ON DELETE CASCADE
--
DELETE FROM users WHERE w = 'bob'
--
UPDATE filters SET v = v || 'c'
$$);
-- An enum replaced with triggers off.
CALL migration('enum', '{jobs=jobs}', $$
CREATE TYPE state AS ENUM ('new', 'done'); CREATE TABLE jobs (id int PRIMARY KEY, state state NOT NULL DEFAULT 'new', w text, v text)
--
INSERT INTO jobs VALUES (1, 'new', 'one', 'a'), (2, 'done', 'two', 'a')
--
UPDATE jobs SET v = 'b', state = 'done' WHERE id = 1
--
ALTER TABLE jobs DISABLE TRIGGER USER
--
ALTER TYPE state RENAME TO state_old; CREATE TYPE state AS ENUM ('queued', 'new', 'done', 'failed');
ALTER TABLE jobs ALTER state DROP DEFAULT; ALTER TABLE jobs ALTER state TYPE state USING state::text::state; ALTER TABLE jobs ALTER state SET DEFAULT 'queued'
--
DROP TYPE state_old
--
ALTER TABLE jobs ENABLE TRIGGER USER
--
INSERT INTO jobs (id, w, v) VALUES (3, 'three', 'a')
--
UPDATE jobs SET state = 'failed', v = v || 'c'
$$);
-- The same for an enum that is in the key.
CALL migration('enum_key', '{labels=labels}', $$
CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TABLE labels (kind kind, n int, w text, v text, PRIMARY KEY (kind, n))
--
INSERT INTO labels VALUES ('a', 1, 'one', 'a'), ('b', 1, 'two', 'a')
--
UPDATE labels SET v = 'b' WHERE kind = 'a'
--
ALTER TYPE kind RENAME TO kind_old; CREATE TYPE kind AS ENUM ('b', 'a', 'c'); ALTER TABLE labels ALTER kind TYPE kind USING kind::text::kind; DROP TYPE kind_old
--
UPDATE labels SET v = v || 'c'
--
ALTER TABLE labels ALTER kind TYPE text
--
DROP TYPE kind
--
UPDATE labels SET v = v || 'd', kind = kind || '!' WHERE n = 1
$$);
-- int to bigint by a new column, kept in step by a trigger (mastodon, cloud_controller_ng).
CALL migration('online_bigint', '{events=events}', $$
CREATE TABLE events (id serial PRIMARY KEY, w text, v text)
--
INSERT INTO events (w, v) VALUES ('one', 'a'), ('two', 'a'), ('gone', 'a')
--
UPDATE events SET v = 'b' WHERE w <> 'two'; DELETE FROM events WHERE w = 'gone'
--
ALTER TABLE events ADD COLUMN id_bigint bigint;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id_bigint := NEW.id; RETURN NEW; END';
CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION fill()
--
INSERT INTO events (w, v) VALUES ('three', 'a')
--
UPDATE events SET id_bigint = id WHERE id_bigint IS NULL
--
CREATE UNIQUE INDEX events_new ON events (id_bigint); ALTER TABLE events ADD CONSTRAINT filled CHECK (id_bigint IS NOT NULL) NOT VALID; ALTER TABLE events VALIDATE CONSTRAINT filled
--
DROP TRIGGER fill ON events; DROP FUNCTION fill();
ALTER TABLE events ALTER id_bigint SET NOT NULL;
ALTER SEQUENCE events_id_seq OWNED BY events.id_bigint; ALTER TABLE events ALTER id DROP DEFAULT; ALTER TABLE events ALTER id_bigint SET DEFAULT nextval('events_id_seq');
ALTER TABLE events DROP CONSTRAINT events_pkey; ALTER TABLE events RENAME id TO id_old; ALTER TABLE events RENAME id_bigint TO id;
ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY USING INDEX events_new
--
INSERT INTO events (id_old, w, v) VALUES (0, 'four', 'a')
--
ALTER TABLE events DROP COLUMN id_old
--
UPDATE events SET v = v || 'c'
$$);
-- A number that becomes a uuid, with what refers to it (ory/hydra, nango).
CALL migration('uuid', '{client=client,token=token}', $$
CREATE TABLE client (pk int PRIMARY KEY, w text UNIQUE NOT NULL, v text); CREATE TABLE token (id text PRIMARY KEY, client_pk int REFERENCES client (pk), w text, v text)
--
INSERT INTO client VALUES (1, 'c1', 'a'), (2, 'c2', 'a'); INSERT INTO token VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 1, 't1', 'a')
--
UPDATE client SET v = 'b' WHERE pk = 1
--
ALTER TABLE client RENAME pk TO pk_deprecated; ALTER TABLE client ADD pk uuid; UPDATE client SET pk = md5(w)::uuid; ALTER TABLE client ALTER pk SET NOT NULL
--
ALTER TABLE token DROP CONSTRAINT token_client_pk_fkey, ALTER id TYPE uuid USING id::uuid
--
ALTER TABLE client DROP CONSTRAINT client_pkey
--
ALTER TABLE client ADD PRIMARY KEY (pk)
--
ALTER TABLE token ALTER client_pk TYPE uuid USING md5('c' || client_pk)::uuid; ALTER TABLE token ADD FOREIGN KEY (client_pk) REFERENCES client
--
ALTER TABLE client DROP COLUMN pk_deprecated
--
UPDATE client SET v = v || 'c'; UPDATE token SET v = 'b'
$$);
-- All that there is renamed, and the key with it (formbricks).
CALL migration('renamed', '{responses=answers,answers=answers}', $$
CREATE TABLE responses (person text, survey text, w text, v text, CONSTRAINT responses_pkey PRIMARY KEY (person, survey))
--
INSERT INTO responses VALUES ('p', 's', 'one', 'a'), ('p', 't', 'two', 'a')
--
UPDATE responses SET v = 'b' WHERE survey = 's'
--
ALTER TABLE responses RENAME TO answers
--
ALTER TABLE answers RENAME person TO contact; ALTER TABLE answers RENAME survey TO form
--
ALTER TABLE answers DROP CONSTRAINT responses_pkey
--
ALTER TABLE answers ADD CONSTRAINT answers_pkey PRIMARY KEY (form, contact)
--
UPDATE answers SET v = v || 'c'
--
ALTER TABLE answers DROP CONSTRAINT answers_pkey, ADD CONSTRAINT answers_pkey PRIMARY KEY (contact, form)
--
DELETE FROM answers WHERE form = 't'
$$);
-- Types by the dozen, the key's among them.
CALL migration('dozen', '{wide=wide}', $$
CREATE TABLE wide (id int PRIMARY KEY, a int, b varchar(10), c char(5), d real, e date, f timestamp, g text, h json, i int[], j numeric(8,2), k bool, l smallint, w text, v text)
--
INSERT INTO wide VALUES (1, 1, 'b', 'c', 0.5, '2020-01-01', '2020-01-01 12:00', '7', '{"x": 1}', '{1,2}', 1.25, true, 3, 'one', 'a'),
	(2, NULL, NULL, NULL, NULL, NULL, NULL, '8', NULL, NULL, NULL, NULL, NULL, 'two', 'a')
--
UPDATE wide SET v = 'b' WHERE id = 1
--
ALTER TABLE wide ALTER id TYPE numeric(12,2), ALTER a TYPE bigint, ALTER b TYPE text, ALTER c TYPE varchar(3) USING left(c, 3), ALTER d TYPE double precision,
	ALTER e TYPE timestamptz USING e::timestamptz, ALTER f TYPE date USING f::date, ALTER g TYPE int USING g::int, ALTER h TYPE jsonb, ALTER i TYPE text[] USING i::text[],
	ALTER j TYPE int, ALTER k TYPE text USING CASE WHEN k THEN 'yes' END, ALTER l TYPE int USING l * 10, DROP COLUMN IF EXISTS nothing, ADD m int DEFAULT 1
--
UPDATE wide SET v = v || 'c'
--
ALTER TABLE wide ALTER id TYPE int USING id::int * 100, ALTER j TYPE text USING 'j' || j, DROP a, ALTER b TYPE varchar(1) USING 'x'
--
DELETE FROM wide WHERE w = 'two'; UPDATE wide SET v = v || 'd'
$$);
-- A table built aside and swapped in; its history goes with the old one.
CALL migration('swap', '{}', $$
CREATE TABLE big (id int PRIMARY KEY, w text, v text)
--
INSERT INTO big VALUES (1, 'one', 'a'), (2, 'two', 'a')
--
UPDATE big SET v = 'b'
--
CREATE TABLE big_new (LIKE big INCLUDING ALL); ALTER TABLE big_new ALTER id TYPE bigint; INSERT INTO big_new SELECT * FROM big
--
ALTER TABLE big RENAME TO big_old; ALTER TABLE big_new RENAME TO big
--
UPDATE big SET v = 'c'
--
DROP TABLE big_old
--
UPDATE big SET v = 'd'
$$);
-- A key of a join table that goes for a unique index, and comes back another day.
CALL migration('unique_only', '{grants=grants}', $$
CREATE TABLE grants (id serial PRIMARY KEY, who text NOT NULL, what text NOT NULL, w text, v text)
--
INSERT INTO grants (who, what, w, v) VALUES ('a', 'x', 'one', 'a'), ('a', 'y', 'two', 'a'), ('b', 'x', 'three', 'a')
--
UPDATE grants SET v = 'b' WHERE what = 'x'
--
CREATE UNIQUE INDEX grants_key ON grants (who, what)
--
ALTER TABLE grants DROP CONSTRAINT grants_pkey
--
UPDATE grants SET v = v || 'c'; INSERT INTO grants (who, what, w, v) VALUES ('b', 'y', 'four', 'a'); DELETE FROM grants WHERE w = 'two'
--
UPDATE grants SET id = id + 1
--
TRUNCATE grants
--
INSERT INTO grants (who, what, w, v) VALUES ('c', 'x', 'five', 'a')
--
ALTER TABLE grants ADD CONSTRAINT grants_pkey PRIMARY KEY USING INDEX grants_key
--
UPDATE grants SET v = v || 'd'
--
ALTER TABLE grants DROP COLUMN id
--
UPDATE grants SET v = v || 'e'
$$);
-- The key's column goes and another one comes: starts of rows that were there are not known.
CALL migration('key_column', '{}', $$
CREATE TABLE notes (id int PRIMARY KEY, w text, v text)
--
INSERT INTO notes VALUES (1, 'one', 'a'), (2, 'two', 'a')
--
UPDATE notes SET v = 'b'
--
ALTER TABLE notes DROP COLUMN id
--
UPDATE notes SET v = 'c' WHERE w = 'one'
--
ALTER TABLE notes ADD COLUMN id bigserial PRIMARY KEY
--
UPDATE notes SET v = 'd'; DELETE FROM notes WHERE w = 'two'
$$);
-- Partitions: the key made anew by way of its partitions, while rows move.
CALL migration('partitions', '{measure=measure}', $$
CREATE TABLE measure (id int, at date, w text, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE measure_1 PARTITION OF measure FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE measure_2 PARTITION OF measure FOR VALUES FROM ('2020-02-01') TO ('2020-03-01')
--
INSERT INTO measure VALUES (1, '2020-01-01', 'one', 'a'), (2, '2020-02-01', 'two', 'a')
--
UPDATE measure SET v = 'b' WHERE id = 1
--
ALTER TABLE measure DROP CONSTRAINT measure_pkey
--
UPDATE measure SET at = at + 31, v = v || 'c' WHERE id = 1
--
ALTER TABLE measure ALTER id TYPE bigint
--
ALTER TABLE ONLY measure ADD CONSTRAINT measure_key PRIMARY KEY (at, id)
--
ALTER TABLE measure_1 ADD CONSTRAINT measure_1_key PRIMARY KEY (at, id); ALTER INDEX measure_key ATTACH PARTITION measure_1_key
--
ALTER TABLE measure_2 ADD CONSTRAINT measure_2_key PRIMARY KEY (at, id); ALTER INDEX measure_key ATTACH PARTITION measure_2_key
--
UPDATE measure SET v = v || 'd'
--
ALTER TABLE measure DETACH PARTITION measure_2
--
ALTER TABLE measure ATTACH PARTITION measure_1 DEFAULT
--
INSERT INTO measure VALUES (3, '2020-01-02', 'three', 'a')
$$);
-- A hierarchy whose tables get another key one after the other.
CALL migration('hierarchy', '{base=base,sub=sub}', $$
CREATE TABLE base (id int PRIMARY KEY, site int NOT NULL DEFAULT 1, w text, v text); CREATE TABLE sub (x int, PRIMARY KEY (id)) INHERITS (base)
--
INSERT INTO base VALUES (1, 1, 'one', 'a'); INSERT INTO sub VALUES (1, 1, 'two', 'a', 1)
--
UPDATE base SET v = 'b'
--
ALTER TABLE base DROP CONSTRAINT base_pkey; ALTER TABLE base ADD PRIMARY KEY (site, id)
--
UPDATE base SET v = v || 'c'
--
ALTER TABLE sub DROP CONSTRAINT sub_pkey
--
UPDATE sub SET v = v || 'd'
--
ALTER TABLE sub ADD PRIMARY KEY (site, id)
--
ALTER TABLE base ALTER id TYPE text USING 'n' || id
--
UPDATE base SET v = v || 'e'
$$);

CREATE TABLE tap.outcome (migration text, wrong text);
CREATE PROCEDURE tap.migrate_all() LANGUAGE plpgsql AS $$
DECLARE
	name text;
	wrong text;
BEGIN
	FOR name IN SELECT migration FROM tap.result ORDER BY 1 LOOP
		CALL tap.migrate(name, wrong);
		INSERT INTO tap.outcome VALUES (name, wrong);
		COMMIT;
	END LOOP;
END $$;
CALL tap.migrate_all();
SELECT is(wrong, '', migration || ': as untracked, step by step') FROM tap.outcome ORDER BY migration;
SELECT is((SELECT string_agg(wrong_as_of(t), '') FROM (SELECT DISTINCT format('t_%s.%s', migration, split_part(x, '=', 2)) FROM unnest(tables) x) y(t)),
	'', migration || ': the past as it was') FROM tap.result WHERE tables <> '{}' ORDER BY migration;
SELECT is((SELECT string_agg(format('%s %s %s', live_table, finding, detail), E'\n') FROM check_history() WHERE severity <> 'info'), NULL, 'check_history finds nothing');
SELECT is((SELECT count(*)::int FROM tap.step) > 100, true, 'control: there were steps');
SELECT is((SELECT string_agg(DISTINCT format('%s %s', w, v), ',' ORDER BY format('%s %s', w, v)) FROM t_key_column.notes__history), 'one a,one b,one c,two a,two b,two d',
	'a key''s column that goes: every version is recorded');
SELECT * FROM finish();
