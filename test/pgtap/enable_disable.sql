-- Disabling, enabling, reloading; triggers dropped or disabled by hand; a
-- history table that does not fit.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

\ir lib/error_of.psql

SELECT plan(42);

CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
CREATE FUNCTION triggers(rel regclass) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s %s', tgname, tgtype, tgenabled), ', ' ORDER BY tgname)
	FROM pg_trigger WHERE tgrelid = rel AND NOT tgisinternal $$;
CREATE FUNCTION state(rel regclass) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s', (SELECT triggers_installed FROM catmaid_live_table_triggers l
			WHERE l.live_table = rel),
		(SELECT triggers_installed FROM catmaid_history_table h WHERE h.live_table = rel)) $$;
CREATE TABLE first AS SELECT triggers('t') AS t;
SELECT is(state('t'), 't t', 'created: view and registry say on');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname NOT IN (
	get_history_update_trigger_name_regular(), get_history_delete_trigger_name_regular(),
	get_history_txid_update_trigger_name_regular(), get_history_update_trigger_name_tracking(),
	get_tracking_table_update_trigger_name(), get_tracking_table_truncate_trigger_name(),
	get_history_truncate_trigger_name())$$, 'triggers bear the names that the functions say');
INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
SELECT remember('t', '1');
SELECT disable_history_tracking_for_table('t');
SELECT is(triggers('t'), NULL, 'disabled: no triggers');
SELECT is(state('t'), 'f f', 'disabled: view and registry say off');
SELECT lives_ok($$SELECT disable_history_tracking_for_table('t', 't__history')$$, 'disabled twice');
BEGIN;
SELECT now() AS t_off \gset
UPDATE t SET v = 'off' WHERE id = 1;
DELETE FROM t WHERE id = 2;
INSERT INTO t VALUES (5, 'off');
UPDATE t SET id = 6 WHERE id = 4;
COMMIT;
SELECT is_empty('SELECT * FROM t__history', 'disabled: nothing is written');
CREATE TABLE kept AS SELECT * FROM t__tracking WHERE live_pk IN (1, 3);
BEGIN;
SELECT now() AS t_on \gset
SELECT enable_history_tracking_for_table('t');
COMMIT;
SELECT is(triggers('t'), (SELECT f.t FROM first f), 'enabled: the same triggers');
SELECT is(state('t'), 't t', 'enabled: view and registry say on');
SELECT results_eq('SELECT live_pk, edition_time FROM t__tracking WHERE live_pk > 3 ORDER BY 1',
	format('VALUES (5, %1$L::timestamptz), (6, %1$L)', :'t_on'), 'rows that appeared start now');
SELECT results_eq('SELECT * FROM t__tracking WHERE live_pk < 4 ORDER BY 1',
	'SELECT * FROM kept ORDER BY 1', 'rows that went are gone, the others stay as they are');
CREATE TABLE again AS SELECT * FROM t__tracking;
SELECT enable_history_tracking_for_table('t'), enable_history_tracking_for_table('t', 't__history', true);
SELECT is(triggers('t'), (SELECT f.t FROM first f), 'enabled twice: no trigger twice');
SELECT results_eq('SELECT * FROM t__tracking ORDER BY 1', 'SELECT * FROM again ORDER BY 1',
	'enabled twice: tracking rows as they were');
UPDATE t SET v = 'on' WHERE id = 1;
SELECT is((SELECT count(*)::int FROM t__history), 1, 'and a change is one version');

-- sync => false.
SELECT disable_history_tracking_for_table('t');
INSERT INTO t VALUES (7, 'unsynced');
DELETE FROM t WHERE id = 6;
SELECT enable_history_tracking_for_table('t', sync => false);
SELECT set_eq('SELECT live_pk FROM t__tracking', 'VALUES (1), (3), (5), (6)', 'sync => false leaves tracking');
INSERT INTO t VALUES (6, 'key of a stale tracking row');
UPDATE t SET v = 'x' WHERE id = 7;
SELECT is((SELECT lower_inf(sys_period) FROM t__history WHERE id = 7), true, 'so a start may be unknown');

-- By hand: each trigger dropped, disabled; all dropped; one of ours in another's place.
CREATE TABLE repaired (what text, before text, after text, installed bool);
DO $$
DECLARE g name;
BEGIN
	FOR g IN SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass LOOP
		EXECUTE format('DROP TRIGGER %I ON t', g);
		INSERT INTO repaired VALUES ('dropped ' || g, state('t'));
		PERFORM enable_history_tracking_for_table('t');
		UPDATE repaired SET after = state('t'), installed = triggers('t') = (SELECT f.t FROM first f)
			WHERE what = 'dropped ' || g;
		EXECUTE format('ALTER TABLE t DISABLE TRIGGER %I', g);
		INSERT INTO repaired VALUES ('disabled ' || g, state('t'));
		PERFORM enable_history_tracking_for_table('t');
		UPDATE repaired SET after = state('t'), installed = triggers('t') = (SELECT f.t FROM first f)
			WHERE what = 'disabled ' || g;
	END LOOP;
END $$;
SELECT is_empty($$SELECT * FROM repaired WHERE NOT installed OR after <> 't t'$$,
	'a trigger dropped or disabled by hand is there again after enabling');
SELECT is_empty($$SELECT * FROM repaired WHERE before NOT LIKE 'f %'$$,
	'and until then catmaid_live_table_triggers says off');
ALTER TABLE t DISABLE TRIGGER ALL;
SELECT is((SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table = 't'::regclass),
	false, 'DISABLE TRIGGER ALL counts as not installed');
SELECT enable_history_tracking();
SELECT is(triggers('t'), (SELECT f.t FROM first f), 'enable_history_tracking repairs too');
SELECT reload_history_tracking_for_table('t');
SELECT is(triggers('t'), (SELECT f.t FROM first f), 'reload_history_tracking_for_table');
SELECT reload_history_tracking();
SELECT is(triggers('t'), (SELECT f.t FROM first f), 'reload_history_tracking');
SELECT disable_history_tracking_for_table('t'), enable_history_tracking_for_table('t');
SELECT remember('t', '2');
UPDATE t SET v = v || '!';
SELECT remember('t', '3');
SELECT is((SELECT count(*)::int FROM t__history h JOIN t USING (id) WHERE t.v = h.v || '!'), 5,
	'after all that each change is one version');
SELECT is_empty($$SELECT * FROM misremembered('t') WHERE at_step > '1'$$, 'and as-of queries are right');

-- Another history table than the registered one.
CREATE TABLE u (id int PRIMARY KEY);
SELECT create_history_table('u', create_triggers => false);
SELECT is(state('u'), 'f f', 'create_triggers => false: all but the triggers');
INSERT INTO u VALUES (1);
DELETE FROM u;
SELECT is_empty('SELECT * FROM u__history', 'nothing is recorded');
SELECT is(state, 'P0001', 'enable with another history table: an error')
	FROM error_of($$SELECT enable_history_tracking_for_table('u', 't__history')$$);
SELECT is(state, 'P0001', 'disable with another history table: an error')
	FROM error_of($$SELECT disable_history_tracking_for_table('t', 'u__history')$$);
SELECT is(state('t') || state('u'), 't tf f', 'and nothing happened');
CREATE TABLE nohist (id int PRIMARY KEY);
SELECT is(state, 'P0001', 'enable without a history: an error')
	FROM error_of($$SELECT enable_history_tracking_for_table('nohist')$$);

-- All tables, in one transaction or not at all.
SELECT enable_history_tracking();
SELECT is(state('t') || ' ' || state('u'), 't t t t', 'enable_history_tracking: all');
SELECT disable_history_tracking();
SELECT is(state('t') || ' ' || state('u'), 'f f f f', 'disable_history_tracking: all');

-- A history table that does not fit.
ALTER TABLE t ADD COLUMN n int, ADD COLUMN "New Col" varchar(5)[] DEFAULT '{a}', ADD COLUMN w int;
SELECT enable_history_tracking();
SELECT is((SELECT format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 't__history'::regclass AND attname = 'New Col'), 'character varying(5)[]',
	'a live column that history lacks is added');
INSERT INTO t VALUES (50, 'v', 1, '{b}', 2);
DELETE FROM t WHERE id = 50;
SELECT results_eq('SELECT id, v, n, "New Col", w FROM t__history WHERE id = 50',
	$$VALUES (50, 'v', 1, '{b}'::varchar(5)[], 2)$$, 'and filled');
SELECT disable_history_tracking_for_table('t');
SELECT drop_history_view_for_table('t');
ALTER TABLE t ALTER n TYPE bigint, ALTER w TYPE text;
SELECT is(state, 'P0001', 'a type that cannot hold the live one: an error')
	FROM error_of($$SELECT enable_history_tracking_for_table('t')$$);
SELECT matches(msg || coalesce(hint, ''), 'integer.*(bigint|text)|(bigint|text).*integer',
	'naming both') FROM error_of($$SELECT enable_history_tracking_for_table('t')$$);
SELECT is(state, 'P0001', 'all or nothing: the other table is not enabled either')
	FROM error_of($$SELECT disable_history_tracking(), enable_history_tracking()$$);
SELECT is(state('t'), 'f f', 'it stays off');
SELECT drop_history_view_for_table('t');
ALTER TABLE t__history ALTER n TYPE bigint, ALTER w TYPE text;
SELECT lives_ok($$SELECT enable_history_tracking_for_table('t')$$, 'corrected by hand it goes on');
-- A history column that holds more than the live one is none in the way.
SELECT disable_history_tracking_for_table('t');
ALTER TABLE t__history ALTER n TYPE numeric, ALTER v TYPE varchar;
SELECT lives_ok($$SELECT enable_history_tracking_for_table('t')$$, 'a wider history column fits');
INSERT INTO t (id, n) VALUES (60, 60);
DELETE FROM t WHERE id = 60;
SELECT is((SELECT n FROM t__history WHERE id = 60), 60::numeric, 'and holds the value');
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE feels (id int PRIMARY KEY, m mood, d date);
SELECT create_history_table('feels');
SELECT drop_history_view_for_table('feels');
ALTER TABLE feels__history ALTER m TYPE text, ALTER d TYPE timestamp;
SELECT lives_ok($$SELECT enable_history_tracking_for_table('feels')$$, 'so an enum''s that is text, a date''s that is a timestamp');
INSERT INTO feels VALUES (1, 'happy', '2020-02-29'), (2, NULL, NULL);
DELETE FROM feels;
SELECT results_eq('SELECT m, d FROM feels__history ORDER BY id',
	$$VALUES ('happy', timestamp '2020-02-29'), (NULL, NULL)$$, 'values come through the casts');

SELECT * FROM finish();
