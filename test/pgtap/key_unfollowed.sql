-- Sections 4, 5 and 6: the key is replaced while triggers are switched off, while tracking
-- is disabled, with names that change, or follow_ddl is off.  Enabling, and ENABLE TRIGGER,
-- take the present key; hints lead out; no version has another row's start.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(37);
SET client_min_messages = error;

CREATE FUNCTION begin_case(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id int PRIMARY KEY, m int NOT NULL DEFAULT 1, w text, v text)', t);
	PERFORM create_history_table(t::regclass);
	EXECUTE format('INSERT INTO %I VALUES (1, 1, ''one'', ''a''), (2, 1, ''two'', ''a'')', t);
END $$;

-- Switched off.
SELECT begin_case('off');
SELECT seen('off');
UPDATE off SET v = 'b' WHERE id = 1;
SELECT seen('off');
ALTER TABLE off DISABLE TRIGGER ALL;
ALTER TABLE off DROP CONSTRAINT off_pkey;
ALTER TABLE off ALTER m TYPE bigint;
ALTER TABLE off ADD PRIMARY KEY (id, m);
ALTER TABLE off ENABLE TRIGGER ALL;
SELECT is((SELECT live_table_pkey_columns FROM catmaid_history_table WHERE live_table = 'off'::regclass), '{id,m}', 'switched off: the key is followed');
INSERT INTO off VALUES (1, 2, 'three', 'a');
UPDATE off SET v = v || 'c' WHERE m = 1;
SELECT seen('off');
DELETE FROM off WHERE m = 2;
UPDATE off SET v = v || 'd';
SELECT seen('off');
SELECT is(wrong_as_of('off'), '', 'and each row keeps its start');
SELECT follows('off', 'switched on again');

-- Nobody follows.
SELECT begin_case('nobody');
SELECT seen('nobody');
UPDATE nobody SET v = 'b' WHERE id = 1;
SELECT seen('nobody');
SET catmaid_history.follow_ddl = off;
ALTER TABLE nobody DROP CONSTRAINT nobody_pkey, ADD PRIMARY KEY (id, m);
RESET catmaid_history.follow_ddl;
SELECT refused(c, '{nobody}', 'nobody follows: ' || c, '55000', NULL, 'enable_history_tracking_for_table')
FROM unnest('{INSERT INTO nobody VALUES (1\,2),UPDATE nobody SET v = v,DELETE FROM nobody,TRUNCATE nobody}'::text[]) c;
SELECT is(findings('nobody'), 'key_changed', 'check_history says so');
SELECT enable_history_tracking_for_table('nobody');
INSERT INTO nobody VALUES (1, 2, 'three', 'a');
UPDATE nobody SET v = v || 'c';
SELECT seen('nobody');
SELECT is(wrong_as_of('nobody'), '', 'enabling takes the key, and rows keep their starts');
SELECT follows('nobody', 'enabled');

-- Disabled: rows come and go meanwhile.
SELECT begin_case('dis');
SELECT seen('dis');
UPDATE dis SET v = 'b' WHERE id = 1;
SELECT seen('dis');
SELECT disable_history_tracking_for_table('dis');
ALTER TABLE dis ADD n int NOT NULL DEFAULT 0;
ALTER TABLE dis DROP CONSTRAINT dis_pkey;
ALTER TABLE dis ADD PRIMARY KEY (id, n);
INSERT INTO dis VALUES (3, 1, 'three', 'a');
SELECT enable_history_tracking_for_table('dis');
SELECT seen('dis');
SELECT is(wrong_as_of('dis'), '', 'a column and a key with it, while disabled');
SELECT lives_ok('SELECT repair_history(''dis''); SELECT enable_history_tracking_for_table(''dis'')', 'repairing and enabling again');
SELECT follows('dis', 'a key with a new column');

-- The key's type changes while disabled: known where nothing is lost, else unknown.
SELECT begin_case('wide');
SELECT seen('wide');
SELECT disable_history_tracking_for_table('wide');
ALTER TABLE wide ALTER id TYPE bigint;
ALTER TABLE wide__history ALTER id TYPE bigint;
SELECT enable_history_tracking_for_table('wide');
SELECT create_history_view_for_table('wide');
SELECT is(wrong_as_of('wide'), '', 'a wider key, while disabled');
SELECT is(starts_unknown('wide'), '', 'all is known');
SELECT begin_case('other');
UPDATE other SET v = 'b';
SELECT disable_history_tracking_for_table('other');
ALTER TABLE other ALTER id TYPE text USING md5(id::text);
SELECT is((SELECT state FROM attempt('SELECT repair_history(''other'')')), '00000', 'another type, while disabled: repairing does what it can');
SELECT refused('SELECT enable_history_tracking_for_table(''other'')', '{other,id,text}', 'and enabling says what to do', 'P0001', NULL, 'RENAME COLUMN id TO id_1');
ALTER TABLE other__history RENAME COLUMN id TO id_1;
SELECT repair_history('other');
SELECT enable_history_tracking_for_table('other');
SELECT create_history_view_for_table('other');
SELECT is(starts_unknown('other'), 'one,two', 'the starts cannot be told');
SELECT is(pg_get_indexdef('other__history_live_pk_index'::regclass) LIKE '%(id)', true, 'the key''s index is on the key');
SELECT seen('other');
UPDATE other SET v = 'c';
SELECT seen('other');
SELECT is(wrong_as_of('other'), '', 'recorded from then on');
SELECT is(findings('other'), '', 'and in order');

-- The key's column is another one of its name.
CREATE TABLE again (id serial PRIMARY KEY, w text, v text);
SELECT create_history_table('again');
INSERT INTO again (w, v) VALUES ('one', 'a'), ('two', 'a');
SELECT seen('again');
UPDATE again SET v = 'b' WHERE w = 'one';
SELECT seen('again');
SELECT disable_history_tracking_for_table('again');
ALTER TABLE again DROP CONSTRAINT again_pkey;
ALTER TABLE again RENAME id TO id_old;
ALTER TABLE again ADD id uuid PRIMARY KEY DEFAULT gen_random_uuid();
SELECT lives_ok('SELECT enable_history_tracking_for_table(''again'')', 'the key''s name is another column''s: enabling goes through');
SELECT is(wrong_as_of('again'), '', 'and rows keep their starts');
SELECT is((SELECT string_agg(id_old || w, '') FROM again__history), '1one', 'versions have the old key, under its present name');
SELECT follows('again', 'another column of the name');

-- Names change with the key.
CREATE TABLE pt (p text, t text, w text, v text, PRIMARY KEY (p, t));
SELECT create_history_table('pt');
INSERT INTO pt VALUES ('a', 'b', 'one', 'a'), ('a', 'c', 'two', 'a');
SELECT seen('pt');
UPDATE pt SET v = 'b' WHERE w = 'one';
SELECT seen('pt');
SELECT disable_history_tracking();
ALTER TABLE pt RENAME TO wt;
ALTER TABLE wt RENAME p TO x;
ALTER TABLE wt RENAME t TO p;
ALTER TABLE wt RENAME x TO q;
ALTER TABLE wt DROP CONSTRAINT pt_pkey;
ALTER TABLE wt ADD CONSTRAINT wt_pkey PRIMARY KEY (p, q);
SELECT lives_ok('SELECT enable_history_tracking()', 'table, columns and key renamed: enabling goes through');
SELECT is(wrong_as_of('pt', 'wt'), '', 'the past as it was');
UPDATE wt SET v = 'c';
SELECT is((SELECT string_agg(q || p || v, ' ' ORDER BY p, v) FROM wt__history), 'aba abb aca', 'old versions under the present names');
SELECT follows('wt', 'renamed');

-- Renamed, and then the history is to go, or stays alone.
SELECT begin_case('a'), begin_case('b'), begin_case('c');
SELECT disable_history_tracking();
ALTER TABLE a RENAME TO a2;
ALTER TABLE b RENAME TO b2;
ALTER TABLE c RENAME TO c2;
SELECT lives_ok('SELECT drop_history_table(''a2'')', 'renamed, and its history dropped');
SELECT lives_ok('SELECT drop_history_table_keep_data(''b2'')', 'or kept');
SELECT enable_history_tracking();
SELECT lives_ok('SELECT drop_history_table_keep_data(''c2'')', 'also after enabling');
SELECT is((SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname ~ '^[abc]2?__' AND relkind IN ('r', 'v')),
	'b__history,c2__history', 'nothing else is left');

-- A hint names the table as it is called after the rollback.
CREATE TABLE old_name (id int PRIMARY KEY, w text, v text, edited timestamptz, txid bigint);
SELECT create_history_table('old_name', 'edited', 'txid');
CREATE FUNCTION hint_of(cmds text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	h text;
BEGIN
	EXECUTE cmds;
	RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
	RETURN h;
END $$;
SELECT matches(hint_of('ALTER TABLE old_name RENAME TO new_name; ALTER TABLE new_name DROP COLUMN txid'), 'public\.old_name', 'a table renamed in what is rolled back');
BEGIN;
ALTER TABLE old_name RENAME TO newer_name;
SELECT matches(hint_of('ALTER TABLE newer_name RENAME TO new_name; ALTER TABLE new_name DROP COLUMN txid'), 'public\.newer_name', 'one renamed in what is not');
ROLLBACK;
SELECT begin_case('written');
SELECT matches(hint_of('ALTER TABLE written RENAME TO new_name; SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE new_name ADD x int; UPDATE new_name SET v = v'),
	'public\.written', 'a write after a RENAME, refused');
SELECT matches(hint_of('CREATE TABLE fresh (id int PRIMARY KEY); SELECT create_history_table(''fresh''); DROP TABLE fresh__history'), 'public\.fresh', 'a table made in what is rolled back has its name');
SELECT * FROM finish();
