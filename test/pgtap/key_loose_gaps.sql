-- Section 5: a table without a primary key gets rows that have the same key as others while
-- nothing is recorded.  Recorded on, no version has another row's start: where it
-- cannot be told it is unknown.  Rows with a key of their own keep theirs.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(32);
SET client_min_messages = error;

CREATE FUNCTION begin_case(t text, columns text DEFAULT 'id int PRIMARY KEY') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (%s, w text, v text)', t, columns);
	PERFORM create_history_table(t::regclass);
	EXECUTE format('INSERT INTO %I (id, w, v) VALUES (1, ''one'', ''a''), (2, ''two'', ''a''), (3, ''gone'', ''a'')', t);
END $$;
-- Which rows' first versions have an unknown start, which the time at which the case began.
CREATE FUNCTION first_starts(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	EXECUTE format('SELECT string_agg(w || CASE WHEN lower_inf(sys_period) THEN ''?'' WHEN lower(sys_period) = (SELECT min(lower(sys_period)) FROM %1$I__history)
		THEN '''' ELSE '' late'' END, '','' ORDER BY w) FROM %1$I__history WHERE v = ''a''', t) INTO r;
	RETURN r;
END $$;
-- What is there in the end: one version after the other of each row, and as many tracking rows as live rows.
CREATE FUNCTION in_a_row(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r text;
BEGIN
	EXECUTE format('SELECT string_agg(w || v, '','' ORDER BY w, v) FROM (SELECT w, v, sys_period, lead(sys_period) OVER (PARTITION BY w ORDER BY v) AS next
		FROM %1$I__with_history) x WHERE NOT lower_inf(next) AND upper(sys_period) IS DISTINCT FROM lower(next)', t) INTO r;
	RETURN coalesce(r, '');
END $$;
CREATE PROCEDURE recorded_on(t text, what text, expected text) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	EXECUTE format('UPDATE %I SET v = ''b'' WHERE w = ''twin''', t);
	COMMIT;
	EXECUTE format('UPDATE %I SET v = ''b'' WHERE w <> ''twin''', t);
	COMMIT;
	EXECUTE format('UPDATE %I SET v = ''c''', t);
	COMMIT;
	INSERT INTO tap.said SELECT is(first_starts(t), expected, what || ': no row has another one''s start');
	INSERT INTO tap.said SELECT is(in_a_row(t), '', what || ': versions follow each other');
	INSERT INTO tap.said SELECT is(findings(t::regclass), 'no_primary_key', what || ': and nothing else is to be found');
END $$;
CREATE TABLE tap.said (line text);
CREATE FUNCTION saying() RETURNS SETOF text LANGUAGE sql AS 'DELETE FROM tap.said RETURNING line';

-- Switched off, and on again before there is another key.
SELECT begin_case('off');
ALTER TABLE off DISABLE TRIGGER ALL;
ALTER TABLE off DROP CONSTRAINT off_pkey;
INSERT INTO off VALUES (1, 'twin', 'a');
ALTER TABLE off ENABLE TRIGGER ALL;
SELECT is((SELECT count(*)::int FROM off__tracking WHERE live_pk = 1), 2, 'switched off: a tracking row for each');
CALL recorded_on('off', 'switched off', 'gone,one?,twin?,two');
SELECT * FROM saying();

-- The key goes first; each trigger is switched by its name.
SELECT begin_case('named');
ALTER TABLE named DROP CONSTRAINT named_pkey, ALTER id DROP NOT NULL;
SELECT format('ALTER TABLE named DISABLE TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'named'::regclass \gexec
INSERT INTO named VALUES (1, 'twin', 'a'), (NULL, 'none', 'a'), (4, 'new', 'a');
SELECT format('ALTER TABLE named ENABLE ALWAYS TRIGGER %I', tgname) FROM pg_trigger WHERE tgrelid = 'named'::regclass \gexec
CALL recorded_on('named', 'each by its name', 'gone,new?,none?,one?,twin?,two');
SELECT * FROM saying();

-- Nobody follows: the tracking table can have one row for both.
SELECT begin_case('nobody');
SET catmaid_history.follow_ddl = off;
ALTER TABLE nobody DISABLE TRIGGER USER;
ALTER TABLE nobody DROP CONSTRAINT nobody_pkey;
INSERT INTO nobody VALUES (1, 'twin', 'a'), (4, 'new', 'a'), (4, 'newer', 'a');
ALTER TABLE nobody ENABLE TRIGGER USER;
RESET catmaid_history.follow_ddl;
SELECT is((SELECT string_agg(live_pk || CASE edition_time WHEN '-infinity' THEN '?' ELSE '' END, ',' ORDER BY live_pk) FROM nobody__tracking), '1?,2,3,4?',
	'nobody follows: the start is unknown');
UPDATE nobody SET v = 'b' WHERE w = 'twin';
UPDATE nobody SET v = 'b' WHERE w <> 'twin';
SELECT is(first_starts('nobody'), 'gone,new?,newer?,one?,twin?,two', 'nobody follows: no row has another one''s start');

-- Disabled and enabled; with and without a sync.
SELECT begin_case('dis');
ALTER TABLE dis DROP CONSTRAINT dis_pkey;
SELECT disable_history_tracking_for_table('dis');
INSERT INTO dis VALUES (1, 'twin', 'a'), (4, 'new', 'a');
DELETE FROM dis WHERE w = 'gone';
SELECT enable_history_tracking_for_table('dis');
CALL recorded_on('dis', 'disabled', 'new late,one?,twin?,two');
SELECT * FROM saying();
SELECT begin_case('unsynced');
ALTER TABLE unsynced DROP CONSTRAINT unsynced_pkey;
SELECT disable_history_tracking_for_table('unsynced');
INSERT INTO unsynced VALUES (1, 'twin', 'a'), (4, 'new', 'a');
SELECT enable_history_tracking_for_table('unsynced', sync => false);
CALL recorded_on('unsynced', 'enabled without a sync', 'gone,new?,one?,twin?,two');
SELECT * FROM saying();

-- Loaded as a replica, where no trigger fires: check_history says so, and syncing mends it.
SELECT begin_case('loaded');
ALTER TABLE loaded DROP CONSTRAINT loaded_pkey, ALTER id DROP NOT NULL;
SET session_replication_role = replica;
INSERT INTO loaded VALUES (1, 'twin', 'a'), (NULL, 'none', 'a');
RESET session_replication_role;
SELECT is(findings('loaded'), 'no_primary_key,tracking_rows_missing', 'loaded as a replica: a tracking row is missing');
SELECT sync_tracking_table('loaded', 'loaded__tracking');
CALL recorded_on('loaded', 'loaded', 'gone,none?,one?,twin?,two');
SELECT * FROM saying();

-- Two columns, of types that have equal values which look different, and a name of ours.
CREATE TABLE alike (id numeric, catmaid_history_number text COLLATE "C", w text, v text, PRIMARY KEY (id, catmaid_history_number));
SELECT create_history_table('alike');
INSERT INTO alike VALUES (1, 'x', 'one', 'a'), (2, 'x', 'two', 'a');
ALTER TABLE alike DISABLE TRIGGER ALL, DROP CONSTRAINT alike_pkey;
INSERT INTO alike VALUES (1.0, 'x', 'twin', 'a'), (1.0, 'y', 'other', 'a');
ALTER TABLE alike ENABLE TRIGGER ALL;
CALL recorded_on('alike', 'two columns', 'one?,other?,twin?,two');
SELECT * FROM saying();

-- Partitions, switched one by one.
CREATE TABLE parts (id int, region int, w text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
SELECT create_history_table('parts');
INSERT INTO parts VALUES (1, 1, 'one', 'a'), (1, 2, 'two', 'a');
ALTER TABLE parts DROP CONSTRAINT parts_pkey;
ALTER TABLE parts_1 DISABLE TRIGGER ALL;
INSERT INTO parts VALUES (1, 1, 'twin', 'a');
ALTER TABLE parts_1 ENABLE TRIGGER ALL;
CALL recorded_on('parts', 'a partition', 'one?,twin?,two');
SELECT * FROM saying();

-- With the key's new type in the same command; and with a key, nothing is done.
SELECT begin_case('retyped');
ALTER TABLE retyped DROP CONSTRAINT retyped_pkey;
ALTER TABLE retyped DISABLE TRIGGER ALL;
INSERT INTO retyped VALUES (1, 'twin', 'a');
SELECT lives_ok('ALTER TABLE retyped ALTER id TYPE text USING ''k'' || id, ENABLE TRIGGER ALL', 'with another type');
CALL recorded_on('retyped', 'with another type', 'gone,one?,twin?,two');
SELECT * FROM saying();
SELECT begin_case('keyed');
ALTER TABLE keyed DISABLE TRIGGER ALL;
INSERT INTO keyed VALUES (4, 'new', 'a');
ALTER TABLE keyed ENABLE TRIGGER ALL;
SELECT is((SELECT count(*)::int FROM keyed__tracking), 3, 'with a key: rows that came meanwhile need no tracking row');
-- A role that may not write the tracking table, but owns the table by membership.
CREATE ROLE key_loose_gaps_owner;
CREATE ROLE key_loose_gaps_member IN ROLE key_loose_gaps_owner;
GRANT ALL ON SCHEMA public TO key_loose_gaps_owner;
SET ROLE key_loose_gaps_owner;
SELECT begin_case('owned');
ALTER TABLE owned DISABLE TRIGGER USER;
ALTER TABLE owned DROP CONSTRAINT owned_pkey;
INSERT INTO owned VALUES (1, 'twin', 'a');
SET ROLE key_loose_gaps_member;
SELECT lives_ok('ALTER TABLE owned ENABLE TRIGGER USER', 'by a member of the owner');
RESET ROLE;
SELECT is((SELECT count(*)::int FROM owned__tracking WHERE live_pk = 1), 2, 'a tracking row for each');
DROP TABLE owned;
DROP OWNED BY key_loose_gaps_owner;
DROP ROLE key_loose_gaps_member;
DROP ROLE key_loose_gaps_owner;
SELECT * FROM finish();
