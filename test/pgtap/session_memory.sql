-- A session that makes and drops tracked tables and partitions keeps nothing of them.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT current_setting('server_version_num')::int < 140000 AS skip \gset
\if :skip
SELECT plan(1);
SELECT skip('no pg_backend_memory_contexts before 14', 1);
\else
SELECT plan(4);
CREATE FUNCTION tap.kept() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts
	WHERE name LIKE 'catmaid_history%' OR ident LIKE 'catmaid_history%' $$;
CREATE PROCEDURE tap.come_and_go(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		EXECUTE 'CREATE TABLE t (id int PRIMARY KEY, v int)';
		PERFORM create_history_table('t');
		EXECUTE 'INSERT INTO t VALUES (1, 1)';
		EXECUTE 'UPDATE t SET v = 2';
		EXECUTE 'DROP TABLE t';
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE tap.partitions(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		EXECUTE 'CREATE TABLE r_1 PARTITION OF r FOR VALUES IN (1)';
		EXECUTE 'INSERT INTO r VALUES (1, 1)';
		EXECUTE 'UPDATE r SET v = 2';
		EXECUTE 'DROP TABLE r_1';
		COMMIT;
	END LOOP;
END $$;
CREATE TABLE r (id int PRIMARY KEY, v int) PARTITION BY LIST (id);
SELECT create_history_table('r');
CALL tap.come_and_go(40);
CALL tap.partitions(40);
SELECT tap.kept() AS before \gset
SELECT cmp_ok(:before, '>', 1000, 'the measure sees what is kept');
CALL tap.come_and_go(90);
SELECT cmp_ok(tap.kept() - :before, '<', 60000::bigint, 'tracked tables that came and went leave nothing');
SELECT tap.kept() AS before \gset
CALL tap.partitions(90);
SELECT cmp_ok(tap.kept() - :before, '<', 60000::bigint, 'nor do partitions');
SELECT is((SELECT count(*)::int FROM r__history), 260, 'all of them were recorded');
\endif
SELECT * FROM finish();
