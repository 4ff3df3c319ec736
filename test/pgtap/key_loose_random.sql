-- A table without a primary key, whose former key's values come and go, are shared, moved and
-- NULL, at random: every version is recorded, once; its start is the right one or unknown;
-- and the key is taken again in between.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(6);
SET client_min_messages = error;
SELECT setseed(coalesce(nullif(current_setting('catmaid_history_test.seed', true), '')::float8, 0.42)) \g /dev/null

CREATE TABLE t (id int PRIMARY KEY, w int, v int);
SELECT create_history_table('t');
CREATE SEQUENCE versions;
-- What there must be of each version, by v: its row, when it began, and how it ended.
CREATE TABLE truth (w int, v int PRIMARY KEY, began timestamptz, ended timestamptz, inner_one boolean);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'INSERT' THEN
		UPDATE truth SET ended = now(), inner_one = began = now() WHERE v = OLD.v;
	END IF;
	IF TG_OP <> 'DELETE' THEN
		INSERT INTO truth VALUES (NEW.w, NEW.v, now());
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION see();

CREATE FUNCTION any_id() RETURNS int LANGUAGE sql AS $$ SELECT CASE WHEN random() < 0.1 THEN NULL ELSE (random() * 12)::int END $$;
CREATE FUNCTION act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	what int := (random() * 9)::int;
BEGIN
	IF what <= 1 THEN
		INSERT INTO t SELECT any_id(), nextval('versions'), nextval('versions') FROM generate_series(1, (random() * 3)::int);
	ELSIF what <= 4 THEN
		UPDATE t SET v = nextval('versions') WHERE random() < 0.3;
	ELSIF what <= 6 THEN
		UPDATE t SET id = any_id(), v = nextval('versions') WHERE random() < 0.2;
	ELSIF what = 7 THEN
		UPDATE t SET id = id + 1, v = nextval('versions');
	ELSIF what = 8 THEN
		DELETE FROM t WHERE random() < 0.2;
	ELSE
		BEGIN
			UPDATE t SET v = nextval('versions');
			RAISE SQLSTATE 'UNDO1';
		EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
		END;
	END IF;
END $$;
CREATE PROCEDURE run(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		FOR j IN 0 .. (random() * 3)::int LOOP
			PERFORM act();
		END LOOP;
		COMMIT;
	END LOOP;
END $$;
CREATE FUNCTION wrong() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(x, E'\n' ORDER BY x), '') FROM (
		SELECT format('version %s is recorded %s times', v, count(h.v)) FROM truth LEFT JOIN t__history h USING (v)
		WHERE ended IS NOT NULL GROUP BY v HAVING count(h.v) <> 1
		UNION ALL SELECT format('version %s: %s, and began %s', v, sys_period, began) FROM truth JOIN t__history h USING (v)
		WHERE CASE WHEN inner_one THEN NOT isempty(sys_period)
			ELSE isempty(sys_period) OR upper(sys_period) <> ended OR lower(sys_period) <> began END
		UNION ALL SELECT format('live version %s: %s, and began %s', v, sys_period, began) FROM truth JOIN t__with_history h USING (v)
		WHERE ended IS NULL AND lower(sys_period) <> began
		UNION ALL SELECT 'there are versions that nobody made' WHERE EXISTS (SELECT FROM t__history WHERE v NOT IN (SELECT v FROM truth WHERE ended IS NOT NULL))
	) y(x) $$;

INSERT INTO t SELECT i, nextval('versions'), nextval('versions') FROM generate_series(1, 8) i;
ALTER TABLE t DROP CONSTRAINT t_pkey;
ALTER TABLE t ALTER id DROP NOT NULL;
CALL run(150);
SELECT is(wrong(), '', 'without a key: every start is right, or unknown');
SELECT is((SELECT count(*) FILTER (WHERE lower_inf(sys_period)) > 5 AND count(*) FILTER (WHERE NOT lower_inf(sys_period) AND NOT isempty(sys_period)) > 5 FROM t__history), true,
	'control: some were known, others were not');

-- The key comes back, of all that can have it; and goes again.
UPDATE t SET id = NULL, v = nextval('versions') WHERE ctid <> (SELECT min(ctid) FROM t x WHERE x.id = t.id);
UPDATE t SET id = 1000 + w, v = nextval('versions') WHERE id IS NULL;
ALTER TABLE t ADD PRIMARY KEY (id);
UPDATE t SET v = nextval('versions') WHERE w % 2 = 0;
SELECT is(wrong(), '', 'the key is back');
ALTER TABLE t DROP CONSTRAINT t_pkey;
ALTER TABLE t ALTER id DROP NOT NULL;
CALL run(50);
SELECT is(wrong(), '', 'and gone again');
-- Nobody follows how it goes.
UPDATE t SET id = 2000 + w, v = nextval('versions');
ALTER TABLE t ADD PRIMARY KEY (id);
SET catmaid_history.follow_ddl = off;
ALTER TABLE t DROP CONSTRAINT t_pkey;
ALTER TABLE t ALTER id DROP NOT NULL;
RESET catmaid_history.follow_ddl;
CALL run(100);
SELECT is(wrong(), '', 'nobody follows: every start is right, or unknown');
UPDATE t SET id = 3000 + w, v = nextval('versions');
ALTER TABLE t ADD PRIMARY KEY (id);
UPDATE t SET v = nextval('versions');
SELECT is(wrong(), '', 'and with the key once more');
SELECT * FROM finish();
