-- Nothing is kept of each row: where the site has put something on a history, which is
-- written with the executor's help then; of keys that are compared by functions that
-- remember what they have looked up; and of values that are converted one by one.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT current_setting('server_version_num')::int < 140000 AS skip \gset
\if :skip
SELECT plan(1);
SELECT skip('no pg_backend_memory_contexts before 14', 1);
\else
SELECT plan(10);
-- There are 10000 rows between the two looks.
CREATE TABLE seen (n int, bytes bigint);
CREATE FUNCTION tap.grown() RETURNS bigint LANGUAGE sql AS
$$ SELECT (max(bytes) FILTER (WHERE n = 12000)) - (max(bytes) FILTER (WHERE n = 2000)) FROM seen $$;
CREATE FUNCTION tap.look(n int) RETURNS void LANGUAGE sql AS
$$ INSERT INTO seen SELECT n, sum(used_bytes) FROM pg_backend_memory_contexts $$;
CREATE FUNCTION tap.look_at_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id IN (2000, 12000) THEN PERFORM tap.look(NEW.id); END IF;
	RETURN NEW;
END $$;

-- TRUNCATE, with an index on an expression and a trigger on the history.
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
CREATE INDEX ON t__history (upper(v));
CREATE TRIGGER look BEFORE INSERT ON t__history FOR EACH ROW EXECUTE FUNCTION look_at_row();
INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 12000) n;
TRUNCATE t;
SELECT cmp_ok(grown(), '<', 200000::bigint, 'TRUNCATE, with an index on an expression');
SELECT is((SELECT count(*)::int FROM t__history), 12000, 'all rows are there');
TRUNCATE seen;

-- A partition that goes, with an index on an expression on the tracking table, too.
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100000);
SELECT create_history_table('p');
CREATE INDEX ON p__history (upper(v));
CREATE INDEX ON p__tracking (upper(txid::text));
CREATE TRIGGER look BEFORE INSERT ON p__history FOR EACH ROW EXECUTE FUNCTION look_at_row();
INSERT INTO p SELECT n, repeat('x', 100) FROM generate_series(1, 12000) n;
DROP TABLE p_1;
SELECT cmp_ok(grown(), '<', 200000::bigint, 'DROP of a partition');
SELECT is((SELECT count(*)::int FROM p__history), 12000, 'all rows are there');
TRUNCATE seen;

-- Keys of a composite type.  A query in a subtransaction leaves open what the statement
-- around it writes.
CREATE TYPE pair AS (a int, b text);
CREATE TABLE k (id pair PRIMARY KEY, v int);
SELECT create_history_table('k');
CREATE FUNCTION tap.look_at_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF (NEW.id).a IN (2000, 12000) THEN
		BEGIN
			PERFORM tap.look((NEW.id).a);
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_look AFTER UPDATE ON k FOR EACH ROW EXECUTE FUNCTION look_at_key();
INSERT INTO k SELECT row(n, 'x')::pair, 0 FROM generate_series(1, 12000) n;
UPDATE k SET v = 1;
SELECT cmp_ok(grown(), '<', 700000::bigint, 'a key of a composite type, within a statement');
CREATE FUNCTION tap.kept() RETURNS bigint LANGUAGE sql AS
$$ SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts $$;
SELECT tap.kept() AS before \gset
SELECT tap.kept() AS before \gset
UPDATE k SET v = 2;
DELETE FROM k;
SELECT cmp_ok(tap.kept() - :before, '<', 100000::bigint, 'and after it');
TRUNCATE seen;

-- Values converted one by one, since the rewrite of the table fails.
CREATE TABLE c (id int PRIMARY KEY, v int);
CREATE SEQUENCE tried;
SELECT create_history_table('c');
INSERT INTO c SELECT n, n FROM generate_series(1, 12000) n;
DELETE FROM c;
CREATE FUNCTION converted(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF n = 12000 AND nextval('tried') = 1 THEN RAISE data_exception; END IF;
	IF n IN (2000, 12000) THEN PERFORM tap.look(n); END IF;
	RETURN 'c' || n;
END $$;
ALTER TABLE c ALTER v TYPE text USING converted(v);
SELECT cmp_ok(grown(), '<', 200000::bigint, 'values that are converted one by one');
SELECT is((SELECT count(*)::int FROM c__history WHERE v = 'c' || id), 12000, 'all of them');

-- Messages from which values are taken out, in one transaction.
DROP ROLE IF EXISTS t79m_writer;
CREATE ROLE t79m_writer;
CREATE TABLE m (id int PRIMARY KEY, v text);
SELECT create_history_table('m');
ALTER TABLE m__history ADD CHECK (v <> 'secret');
INSERT INTO m VALUES (1, 'secret');
GRANT USAGE ON SCHEMA tap TO t79m_writer;
GRANT ALL ON m TO t79m_writer;
CREATE FUNCTION tap.try(times int, OUT refused int, OUT bytes bigint) LANGUAGE plpgsql AS $$
BEGIN
	refused := 0;
	FOR i IN 1 .. times LOOP
		BEGIN
			SET LOCAL ROLE t79m_writer;
			UPDATE m SET v = 'other';
		EXCEPTION WHEN check_violation THEN
			refused := refused + 1;
		END;
	END LOOP;
	bytes := (SELECT sum(used_bytes) FROM pg_backend_memory_contexts);
END $$;
BEGIN;
SELECT bytes AS before FROM tap.try(20) \gset
SELECT refused, bytes FROM tap.try(500) \gset
COMMIT;
SELECT is(:refused, 500, 'each was refused');
SELECT cmp_ok(:bytes - :before, '<', 50000, 'messages from which values are taken out');
DROP OWNED BY t79m_writer CASCADE;
DROP ROLE t79m_writer;
\endif
SELECT * FROM finish();
