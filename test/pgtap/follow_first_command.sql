-- Section 5: DDL on tables that are not tracked, also the first command of a session,
-- looks at none that are: it remembers nothing of them, reads no more of the registry
-- and keeps no locks, however many there are.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT current_setting('server_version_num')::int < 140000 AS skip \gset
\if :skip
SELECT plan(1);
SELECT skip('no pg_backend_memory_contexts before 14', 1);
\else
SELECT plan(7);
CREATE FUNCTION tap.make(first int, last int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text)', i);
		PERFORM create_history_table(('t' || i)::regclass);
	END LOOP;
END $$;
CREATE VIEW tap.kept AS
	SELECT (SELECT coalesce(sum(used_bytes), 0)::bigint FROM pg_backend_memory_contexts
		WHERE name LIKE 'catmaid_history%' OR ident LIKE 'catmaid_history%') AS memory,
	(SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND relname ~ '^t\d|^catmaid') AS locks,
	(SELECT pg_stat_get_xact_tuples_returned('catmaid_history_table'::regclass)
		+ pg_stat_get_xact_tuples_fetched('catmaid_history_table'::regclass)) AS rows_of_registry;
-- In a new session: what is kept after a first command.
SELECT format('psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -p %s -U %s -d %s',
	:'HOST', :'PORT', :'USER', :'DBNAME') AS client \gset
SELECT make(1, 3);
\set few `:client -c 'CREATE TEMP TABLE a (id int); SELECT * FROM tap.kept'`
\set few_altered `:client -c 'CREATE TEMP TABLE a (id int); ALTER TABLE a ADD x int; DROP TABLE a; SELECT * FROM tap.kept'`
SELECT matches(:'few'::text, '^\d+\|0\|0$', 'with few tracked tables: no lock, no row read');
SELECT matches(:'few_altered'::text, '^\d+\|0\|0$', 'altered and dropped as well');
SELECT make(4, 40);
\set many `:client -c 'CREATE TEMP TABLE a (id int); SELECT * FROM tap.kept'`
\set many_altered `:client -c 'CREATE TEMP TABLE a (id int); ALTER TABLE a ADD x int; DROP TABLE a; SELECT * FROM tap.kept'`
SELECT is(:'many'::text, :'few', 'with more of them, the same');
SELECT is(:'many_altered'::text, :'few_altered', 'altered and dropped, too');

-- One of them altered: the others are of no concern.
\set one `:client -c 'BEGIN; ALTER TABLE t7 ADD x int; SELECT relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND relname ~ $$^t\d+(__history|__tracking)?$$ GROUP BY 1 ORDER BY 1; COMMIT' | paste -sd ' '`
SELECT is(:'one'::text, 't7 t7__history t7__tracking t7__with_history', 'a tracked table altered: locks on what belongs to it');

-- Commands keep nothing for the length of the transaction but what PostgreSQL does: the
-- invalidations of what they change, some 16 bytes for each column of a relation.
CREATE TABLE wide (id int PRIMARY KEY, a varchar(10));
DO $$BEGIN FOR i IN 1 .. 60 LOOP EXECUTE format('ALTER TABLE wide ADD c%s text', i); END LOOP; END$$;
SELECT create_history_table('wide');
CREATE VIEW v1 AS SELECT * FROM wide__with_history WHERE id > 5;
CREATE VIEW v2 AS SELECT id, a, c1, upper(c3) AS u, sys_period FROM v1;
CREATE FUNCTION tap.in_transaction() RETURNS bigint LANGUAGE sql AS
	$$SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts WHERE name = 'TopTransactionContext'$$;
BEGIN;
ALTER TABLE wide ADD w int;
ALTER TABLE wide ALTER a TYPE varchar(11);
SELECT in_transaction() AS before \gset
DO $$BEGIN FOR i IN 12 .. 61 LOOP EXECUTE format('ALTER TABLE wide ALTER a TYPE varchar(%s)', i); END LOOP; END$$;
SELECT cmp_ok((in_transaction() - :before) / 50, '<', 30000::bigint, 'ALTER TYPE of a table with 62 columns, two views upon its view');
SELECT in_transaction() AS before \gset
DO $$BEGIN FOR i IN 1 .. 50 LOOP
	EXECUTE format('ALTER TABLE wide ADD d%s int', i);
	EXECUTE format('ALTER TABLE wide DROP d%s', i);
END LOOP; END$$;
SELECT cmp_ok((in_transaction() - :before) / 100, '<', 10000::bigint, 'ADD and DROP COLUMN');
ROLLBACK;
\endif
SELECT * FROM finish();
