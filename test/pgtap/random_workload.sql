-- A random workload (of a fixed seed) on six kinds of table: after each
-- transaction the rows are copied aside; in the end every as-of query must give
-- that copy, and the history must be complete by count and by period.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
\ir lib/as_of.psql

SELECT plan(14);

CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.edition_time := now(); RETURN NEW; END$$;
CREATE TABLE w_trk (id int PRIMARY KEY, v int, pad text);
CREATE TABLE w_dfr (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v int, pad text);
CREATE TABLE w_tim (id int PRIMARY KEY, v int, pad text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TRIGGER on_edit BEFORE UPDATE ON w_tim FOR EACH ROW EXECUTE FUNCTION on_edit();
CREATE TABLE w_prt (id int, v int, pad text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE w_prt_1 PARTITION OF w_prt FOR VALUES FROM (0) TO (13) PARTITION BY LIST (id);
CREATE TABLE w_prt_1a PARTITION OF w_prt_1 FOR VALUES IN (0, 2, 4, 6, 8, 10, 12);
CREATE TABLE w_prt_1b (pad text, x int, v int, id int NOT NULL);
ALTER TABLE w_prt_1b DROP COLUMN x;
ALTER TABLE w_prt_1 ATTACH PARTITION w_prt_1b DEFAULT;
CREATE TABLE w_prt_2 PARTITION OF w_prt DEFAULT;
CREATE TABLE w_par (id int PRIMARY KEY, v int, pad text);
CREATE TABLE w_kid (PRIMARY KEY (id), extra text DEFAULT 'extra') INHERITS (w_par);
CREATE TABLE w_two (a int GENERATED ALWAYS AS (id / 5) STORED, id int, v int, pad text, PRIMARY KEY (v, id));
SELECT create_history_table('w_trk'), create_history_table('w_dfr'),
	create_history_table('w_tim', 'edition_time', 'txid'), create_history_table('w_prt'),
	create_history_table('w_kid'), create_history_table('w_two');
-- What the statements say they did: the second oracle.
CREATE TABLE ended (rel regclass, x bigint, n bigint);
CREATE FUNCTION one_change(rel regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	k int := (random() * 25)::int;
	k2 int := (random() * 25)::int;
	n bigint;
	kind int := (random() * 12)::int;
	via text := CASE WHEN rel = 'w_prt'::regclass AND random() < 0.3 THEN
			(ARRAY['w_prt_1', 'w_prt_1a', 'w_prt_1b', 'w_prt_2'])[1 + (random() * 3)::int]
		WHEN rel = 'w_kid'::regclass AND random() < 0.5 THEN 'w_par' ELSE rel::text END;
BEGIN
	BEGIN
		CASE kind
		WHEN 0, 1, 2, 3 THEN
			EXECUTE format('INSERT INTO %s (id, v, pad) SELECT i, i, repeat(i::text, 3)
				FROM generate_series(%s, %s) i', rel, k, k + k2 / 5);
			RETURN 0;
		WHEN 4, 5 THEN
			EXECUTE format('UPDATE %s SET pad = pad || ''u'' WHERE id BETWEEN %s AND %s', via, k, k + k2 / 3);
		WHEN 6, 7 THEN
			EXECUTE format('UPDATE %s SET id = id + %s WHERE id BETWEEN %s AND %s',
				rel, 30 - k2, k, k + k2 / 8);
		WHEN 8 THEN
			EXECUTE format('UPDATE %s SET id = %s - id WHERE id IN (%s, %s)', rel, k + k2, k, k2);
		WHEN 9, 10 THEN
			EXECUTE format('DELETE FROM %s WHERE id BETWEEN %s AND %s', via, k, k + k2 / 6);
		WHEN 11 THEN
			EXECUTE format('UPDATE %s SET v = v + 1 WHERE id %% 7 = %s', via, k % 7);
		ELSE
			IF random() < 0.7 THEN RETURN 0; END IF;
			EXECUTE format('SELECT count(*) FROM %s', rel) INTO n;
			EXECUTE format('TRUNCATE %s', rel);
			RETURN n;
		END CASE;
		GET DIAGNOSTICS n = ROW_COUNT;
		-- A part of the changes is rolled back.
		IF random() < 0.1 THEN RAISE division_by_zero; END IF;
		RETURN n;
	EXCEPTION WHEN unique_violation OR division_by_zero OR check_violation
		OR object_in_use THEN	-- TRUNCATE with a deferred check pending
		RETURN 0;
	END;
END $$;
CREATE PROCEDURE workload(steps int) LANGUAGE plpgsql AS $$
DECLARE
	rel regclass;
	n bigint;
	rels regclass[] := ARRAY['w_trk', 'w_dfr', 'w_tim', 'w_prt', 'w_kid', 'w_par', 'w_two'];
BEGIN
	FOR i IN 1..steps LOOP
		rel := rels[1 + i % 7];
		BEGIN
			n := 0;
			FOR j IN 1..(1 + random() * 3)::int LOOP n := n + one_change(rel); END LOOP;
			SET CONSTRAINTS ALL IMMEDIATE;
			INSERT INTO ended VALUES (rel, txid_current(), n);
		EXCEPTION WHEN unique_violation THEN	-- a deferred key
			NULL;
		END;
		COMMIT;
		PERFORM remember(rel, i::text);
		-- What is written through the parent is the child's as well.
		IF rel = 'w_kid'::regclass THEN PERFORM remember('w_par', i::text);
		ELSIF rel = 'w_par'::regclass THEN PERFORM remember('w_kid', i::text); END IF;
		COMMIT;
	END LOOP;
END $$;
SELECT setseed(0.42);
CALL workload(560);

SELECT is((SELECT count(DISTINCT step)::int FROM remembered), 560, 'five hundred and sixty transactions');
SELECT cmp_ok((SELECT min(c)::int FROM (SELECT count(*) c FROM w_trk__history UNION ALL
	SELECT count(*) FROM w_dfr__history UNION ALL SELECT count(*) FROM w_tim__history UNION ALL
	SELECT count(*) FROM w_prt__history UNION ALL SELECT count(*) FROM w_kid__history UNION ALL
	SELECT count(*) FROM w_two__history) s), '>', 50, 'with much history each');
SELECT is_empty($$SELECT * FROM misremembered('w_trk')$$, 'tracking table: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_dfr')$$, 'deferrable key: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_tim')$$, 'time column: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_prt')$$, 'partitions: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_kid')$$, 'child: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_par')$$, 'parent: as-of queries');
SELECT is_empty($$SELECT * FROM misremembered('w_two')$$, 'composite key: as-of queries');

CREATE TABLE all_history AS
	SELECT 'w_trk'::regclass rel, exec_transaction_id x, id, NULL::int v2, sys_period, tableoid AS own FROM w_trk__history UNION ALL
	SELECT 'w_dfr', exec_transaction_id, id, NULL, sys_period, tableoid FROM w_dfr__history UNION ALL
	SELECT 'w_tim', exec_transaction_id, id, NULL, sys_period, tableoid FROM w_tim__history UNION ALL
	SELECT 'w_prt', exec_transaction_id, id, NULL, sys_period, tableoid FROM w_prt__history UNION ALL
	SELECT 'w_par', exec_transaction_id, id, NULL, sys_period, tableoid FROM w_par__history UNION ALL
	SELECT 'w_two', exec_transaction_id, id, v, sys_period, tableoid FROM w_two__history;
SELECT is_empty($$SELECT * FROM (SELECT CASE rel WHEN 'w_kid'::regclass THEN 'w_par'::regclass ELSE rel END
		AS rel, x, sum(n) AS n FROM ended GROUP BY 1, 2 HAVING sum(n) > 0) e
	FULL JOIN (SELECT rel, x, count(*) AS n FROM all_history GROUP BY 1, 2) h USING (rel, x)
	WHERE e.n IS DISTINCT FROM h.n$$,
	'each transaction ended as many versions as its statements said, no more and no fewer');
SELECT is_empty($$SELECT a.rel, a.id, a.sys_period, b.sys_period FROM (SELECT *, row_number() OVER () n
		FROM all_history) a JOIN (SELECT *, row_number() OVER () n FROM all_history) b
	ON a.own = b.own AND a.id = b.id AND a.n < b.n AND a.v2 IS NOT DISTINCT FROM b.v2
	WHERE a.sys_period && b.sys_period$$, 'no two versions of a key overlap');
SELECT is_empty('SELECT * FROM all_history WHERE lower_inf(sys_period) OR upper_inf(sys_period)',
	'every start and every end is known');
SELECT is_empty($$(SELECT live_pk FROM w_trk__tracking EXCEPT ALL SELECT id FROM w_trk) UNION ALL
	(SELECT id FROM w_trk EXCEPT ALL SELECT live_pk FROM w_trk__tracking) UNION ALL
	(SELECT live_pk FROM w_dfr__tracking EXCEPT ALL SELECT id FROM w_dfr) UNION ALL
	(SELECT id FROM w_dfr EXCEPT ALL SELECT live_pk FROM w_dfr__tracking) UNION ALL
	(SELECT live_pk FROM w_prt__tracking EXCEPT ALL SELECT id FROM w_prt) UNION ALL
	(SELECT id FROM w_prt EXCEPT ALL SELECT live_pk FROM w_prt__tracking) UNION ALL
	(SELECT live_pk FROM ONLY w_kid__tracking EXCEPT ALL SELECT id FROM w_kid) UNION ALL
	(SELECT id FROM w_kid EXCEPT ALL SELECT live_pk FROM ONLY w_kid__tracking)$$,
	'tracking tables have the keys of their tables');
SELECT is_empty($$(SELECT live_pk_1, live_pk_2 FROM w_two__tracking EXCEPT ALL SELECT v, id FROM w_two) UNION ALL
	(SELECT v, id FROM w_two EXCEPT ALL SELECT live_pk_1, live_pk_2 FROM w_two__tracking)$$,
	'also of a composite key');

SELECT * FROM finish();
