-- "Where others fail", second half: each way in which setting up, dropping and
-- switching goes wrong elsewhere, by its name.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(35);

-- A dropped history leaves a trigger behind and re-creating fails.
CREATE TABLE t (id int PRIMARY KEY, a text);
SELECT create_history_table('t');
SELECT drop_history_table('t');
SELECT is((SELECT string_agg(tgname, ',') FROM pg_trigger
	WHERE tgrelid = 't'::regclass), NULL, 'dropped history: no trigger is left');
SELECT lives_ok('INSERT INTO t VALUES (1, ''a''); UPDATE t SET a = ''b''',
	'dropped history: writes go on');
SELECT allowed('SELECT create_history_table(''t'')', 'dropped history: made again');
UPDATE t SET a = 'c';
SELECT is((SELECT string_agg(a, ',') FROM t__history), 'b', 'and recorded, once');

-- A nonexistent time column accepted, the first UPDATE failing.
CREATE TABLE timed (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
INSERT INTO timed VALUES (1, now());
SELECT refused('SELECT create_history_table(''timed'', ''edited'', ''txid'')',
	'{timed,edited}', 'nonexistent time column: refused at once');
SELECT lives_ok('UPDATE timed SET edition_time = now()',
	'nonexistent time column: the UPDATE does not fail');

-- A composite key taken for a single one, an INCLUDE column for a key.
CREATE TABLE two (a int, b text, v text, PRIMARY KEY (b, a));
SELECT create_history_table('two');
INSERT INTO two VALUES (1, 'x', 'one'), (1, 'y', 'two');
UPDATE two SET v = 'new' WHERE b = 'x';
DELETE FROM two WHERE b = 'y';
SELECT is((SELECT string_agg(format('%s %s %s %s', b, a, v, lower_inf(sys_period)), ','
	ORDER BY b) FROM two__history), 'x 1 one f,y 1 two f',
	'composite key: rows that share one key column are told apart');
SELECT is((SELECT string_agg(attname || ' ' || atttypid::regtype, ',' ORDER BY attnum)
	FROM pg_attribute WHERE attrelid = 'two__tracking'::regclass AND attnum > 0),
	'live_pk_1 text,live_pk_2 integer,edition_time timestamp with time zone,txid bigint',
	'composite key: the tracking table has its columns, in the key''s order');
SELECT is((SELECT format('%s %s', live_pk_1, live_pk_2) FROM two__tracking), 'x 1',
	'composite key: the tracking rows follow');
CREATE TABLE covering (id int, a text, PRIMARY KEY (id) INCLUDE (a));
SELECT create_history_table('covering');
INSERT INTO covering VALUES (1, 'a');
UPDATE covering SET a = 'b';
SELECT is((SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'covering__tracking'::regclass AND attnum > 0),
	'live_pk,edition_time,txid', 'INCLUDE column: no key');
SELECT is((SELECT format('%s %s', a, lower_inf(sys_period)) FROM covering__history),
	'a f', 'INCLUDE column: changing it is no key change');
SELECT is((SELECT live_table_pkey_column FROM catmaid_history_table
	WHERE live_table = 'covering'::regclass), 'id', 'INCLUDE column: not registered');

-- A second table of the same name in another schema silently untracked.
CREATE SCHEMA other;
CREATE TABLE other.t (id int PRIMARY KEY, a text);
SELECT create_history_table('other.t');
INSERT INTO other.t VALUES (1, 'other');
UPDATE other.t SET a = 'x';
SELECT is((SELECT string_agg(a, ',') FROM other.t__history), 'other',
	'same name in another schema: a history of its own');
SELECT is((SELECT string_agg(a, ',') FROM t__history), 'b',
	'same name in another schema: the first is untouched');
SELECT is((SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed
	AND live_table::oid IN ('t'::regclass, 'other.t'::regclass)), 2::bigint,
	'same name in another schema: both have their triggers');

-- A mixed-case name.
CREATE TABLE "MixedCase" ("Id" int PRIMARY KEY, "A" text);
SELECT create_history_table('"MixedCase"');
INSERT INTO "MixedCase" VALUES (1, 'a');
UPDATE "MixedCase" SET "A" = 'b';
SELECT is((SELECT string_agg("A", ',') FROM "MixedCase__history"), 'a', 'a mixed-case name');

-- Two names alike in their first 43 characters.
SELECT repeat('n', 43) || 'x' AS one, repeat('n', 43) || 'y' AS two \gset
CREATE TABLE :"one" (id int PRIMARY KEY, a text);
CREATE TABLE :"two" (id int PRIMARY KEY, a text);
INSERT INTO :"one" VALUES (1, 'one');
INSERT INTO :"two" VALUES (1, 'two');
SELECT allowed(format('SELECT create_history_table(%L)', :'one'), 'names alike: the first');
SELECT allowed(format('SELECT create_history_table(%L)', :'two'), 'names alike: the second');
UPDATE :"one" SET a = 'x';
UPDATE :"two" SET a = 'x';
SELECT format('SELECT is((SELECT string_agg(a, '','') FROM %I), %L, %L)',
	n || '__history', w, 'names alike: ' || w || ' has its own history')
FROM (VALUES (:'one', 'one'), (:'two', 'two')) v(n, w) \gexec
SELECT is((SELECT count(*) FROM pg_index i JOIN catmaid_history_table c
	ON i.indrelid = c.history_table WHERE c.live_table IN (to_regclass(:'one'),
	to_regclass(:'two'))), 6::bigint, 'names alike: three indexes for each');
SELECT allowed(format('SELECT drop_history_table_keep_data(%L)', :'one'),
	'names alike: the first is dropped and kept');
SELECT is((SELECT count(*) FROM pg_index i JOIN catmaid_history_table c
	ON i.indrelid = c.history_table WHERE c.live_table = to_regclass(:'two')),
	3::bigint, 'names alike: the second keeps its indexes');

-- Stale tracking rows surviving sync.
CREATE TABLE s (id int PRIMARY KEY, a text);
INSERT INTO s VALUES (1, 'a'), (2, 'a');
SELECT create_history_table('s');
UPDATE s__tracking SET edition_time = '2001-01-01' WHERE live_pk = 1;
SELECT disable_history_tracking_for_table('s');
DELETE FROM s WHERE id = 2;
INSERT INTO s VALUES (3, 'a');
SELECT enable_history_tracking_for_table('s');
SELECT is((SELECT string_agg(format('%s %s', live_pk, edition_time = '2001-01-01'), ','
	ORDER BY live_pk) FROM s__tracking), '1 t,3 f',
	'sync: stale rows go, new ones come, the others stay as they are');
DELETE FROM s WHERE id = 3;
INSERT INTO s__tracking VALUES (99, now(), 1);
DELETE FROM s__tracking WHERE live_pk = 1;
SELECT sync_tracking_table('s', 's__tracking');
SELECT is((SELECT string_agg(live_pk::text, ',') FROM s__tracking), '1',
	'sync by hand does the same');
INSERT INTO s VALUES (2, 'again');
UPDATE s SET a = 'b' WHERE id = 2;
SELECT is((SELECT count(*) FROM s__history WHERE id = 2
	AND lower(sys_period) > '2002-01-01'), 1::bigint,
	'sync: a key used again does not get the stale start');

-- The flag in the registry disagreeing with the triggers.
CREATE FUNCTION tap.flags(rel regclass) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s', (SELECT triggers_installed FROM public.catmaid_history_table
		WHERE live_table = rel), (SELECT triggers_installed
		FROM public.catmaid_live_table_triggers WHERE live_table::oid = rel)) $$;
SELECT is(tap.flags('s'), 't t', 'flag and triggers: enabled');
SELECT disable_history_tracking_for_table('s');
SELECT is(tap.flags('s'), 'f f', 'flag and triggers: disabled');
SELECT enable_history_tracking_for_table('s', sync => false);
SELECT is(tap.flags('s'), 't t', 'flag and triggers: enabled again');
ALTER TABLE s DISABLE TRIGGER USER;
SELECT enable_history_tracking();
SELECT is(tap.flags('s'), 't t', 'disabled by hand: enabling looks at the triggers');
SELECT count(*) AS before FROM s__history \gset
UPDATE s SET a = 'c';
SELECT is((SELECT count(*) FROM s__history), :before + 2::bigint,
	'and they are really there');
DO $$ DECLARE n name; BEGIN FOR n IN SELECT tgname FROM pg_trigger
	WHERE tgrelid = 's'::regclass AND NOT tgisinternal LOOP
	EXECUTE format('DROP TRIGGER %I ON s', n); END LOOP; END $$;
SELECT enable_history_tracking_for_table('s');
SELECT is(tap.flags('s'), 't t', 'dropped by hand: enabling looks at the triggers');
UPDATE s SET a = 'd';
SELECT is((SELECT count(*) FROM s__history), :before + 4::bigint,
	'and they are really there');
SELECT disable_history_tracking();
SELECT is((SELECT count(*) FROM catmaid_history_table WHERE triggers_installed)
	+ (SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed),
	0::bigint, 'flag and triggers: all disabled');
SELECT enable_history_tracking();
SELECT is((SELECT count(*) FROM catmaid_history_table WHERE NOT triggers_installed)
	+ (SELECT count(*) FROM catmaid_live_table_triggers WHERE NOT triggers_installed),
	0::bigint, 'flag and triggers: all enabled');

SELECT * FROM finish();
