-- Partitions whose copies of the triggers were disabled, dropped or renamed by
-- hand: catmaid_live_table_triggers says so, enabling repairs it.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;

SELECT plan(15);

CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (0) TO (10);
CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE r_2a PARTITION OF r_2 DEFAULT;
SELECT create_history_table('r');
CREATE FUNCTION installed() RETURNS bool LANGUAGE sql AS
	$$SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table = 'r'::regclass$$;
CREATE FUNCTION all_triggers() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s.%s %s', tgrelid::regclass, tgname, tgenabled), ' '
		ORDER BY tgrelid::regclass::text, tgname)
	FROM pg_trigger WHERE tgrelid::regclass::text ~ '^r' AND NOT tgisinternal $$;
CREATE TABLE was AS SELECT all_triggers() AS t;
CREATE TABLE tried (what text, seen bool, repaired bool, seen_after bool);
DO $$
DECLARE
	g record;
	cmd text;
BEGIN
	FOR g IN SELECT tgrelid::regclass AS rel, tgname, tgparentid FROM pg_trigger
		WHERE tgrelid IN ('r'::regclass, 'r_1'::regclass, 'r_2'::regclass, 'r_2a'::regclass) LOOP
		FOREACH cmd IN ARRAY ARRAY['ALTER TABLE %s DISABLE TRIGGER %I', 'ALTER TABLE ONLY %s DISABLE TRIGGER %I',
			'ALTER TABLE %s ENABLE REPLICA TRIGGER %I', 'DROP TRIGGER %2$I ON %1$s'] LOOP
			CONTINUE WHEN cmd ~ 'DROP' AND g.tgparentid <> 0;
			EXECUTE format(cmd, g.rel, g.tgname);
			INSERT INTO tried VALUES (format(cmd, g.rel, g.tgname), NOT installed());
			PERFORM enable_history_tracking_for_table('r');
			UPDATE tried SET repaired = all_triggers() = (SELECT was.t FROM was), seen_after = installed()
				WHERE what = format(cmd, g.rel, g.tgname);
		END LOOP;
	END LOOP;
END $$;
SELECT cmp_ok((SELECT count(*)::int FROM tried), '>', 20, 'every trigger of every partition');
-- (Row triggers of a partition that is partitioned itself do not fire anyway.)
SELECT is_empty($$SELECT what FROM tried WHERE NOT seen AND what !~ ' r_2 '$$,
	'catmaid_live_table_triggers says off when a partition''s trigger does not fire');
SELECT is_empty('SELECT what FROM tried WHERE NOT repaired', 'enabling repairs it');
SELECT is_empty('SELECT what FROM tried WHERE NOT seen_after', 'and then it says on');
-- What it is for: after enabling, partitions are recorded again.
INSERT INTO r VALUES (1, 'a'), (11, 'b');
ALTER TABLE r_1 DISABLE TRIGGER ALL;
ALTER TABLE r_2a DISABLE TRIGGER USER;
SELECT is(installed(), false, 'DISABLE TRIGGER on partitions counts as not installed');
SELECT enable_history_tracking_for_table('r');
UPDATE r SET v = upper(v);
UPDATE r_1 SET v = 'direct';
TRUNCATE r_2a;
SELECT is((SELECT string_agg(id || v, ' ' ORDER BY id, upper(sys_period)) FROM r__history),
	'1a 1A 11b 11B', 'after enabling, partitions are recorded');
SELECT set_eq('SELECT live_pk FROM r__tracking', 'SELECT id FROM r', 'and tracked');
SELECT reload_history_tracking();
SELECT is(all_triggers(), (SELECT t FROM was), 'reloading gives the same triggers');
SELECT disable_history_tracking_for_table('r');
SELECT is(all_triggers(), NULL, 'disabling leaves no trigger on any partition');
SELECT lives_ok($$UPDATE r SET v = 'off'; TRUNCATE r_1; INSERT INTO r VALUES (2, 'x')$$, 'writes go on');
SELECT enable_history_tracking_for_table('r');
SELECT is(all_triggers(), (SELECT t FROM was), 'enabling gives the same triggers');
-- A trigger of ours under another name: it stands in the way of no write.
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a');
ALTER TRIGGER on_change_history_trackingtable ON t RENAME TO renamed;
SELECT is((SELECT triggers_installed FROM catmaid_live_table_triggers WHERE live_table = 't'::regclass),
	false, 'a trigger renamed by hand counts as not installed');
SELECT enable_history_tracking_for_table('t');
SELECT lives_ok($$UPDATE t SET v = 'b'$$, 'after enabling, writes go on');
SELECT is((SELECT count(*)::int FROM t__history), 1, 'and are recorded once');
SELECT disable_history_tracking_for_table('t');
SELECT lives_ok($$UPDATE t SET v = 'c'$$, 'after disabling, writes go on');

SELECT * FROM finish();
