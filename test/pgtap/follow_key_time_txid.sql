-- Section 5: the primary key replaced or its type changed: key index, registry
-- and tracking table follow; the time or txid column dropped or made unfit: an error
-- with a hint, and nothing has changed.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(55);

CREATE FUNCTION registered(live regclass) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s', live_table_pkey_column, time_column, txid_column)
	FROM catmaid_history_table WHERE live_table = live $$;
-- When the rows were edited, by something of theirs that does not change.
CREATE FUNCTION tap.edited(key text DEFAULT 'id') RETURNS text LANGUAGE plpgsql AS $$
DECLARE v text;
BEGIN
	EXECUTE format('SELECT string_agg(concat(w, '' '', edition_time, '' '', k.txid), '', '' ORDER BY w)
		FROM t LEFT JOIN t__tracking k ON %s::text = live_pk::text', key) INTO v;
	RETURN v;
END $$;

CREATE TABLE t (id int PRIMARY KEY, v int, w text UNIQUE NOT NULL, x int NOT NULL);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 1, 'a', 5);
INSERT INTO t VALUES (2, 2, 'b', 6), (3, 3, 'c', 6);
UPDATE t SET v = 22 WHERE id = 2;
SELECT edited() AS edited \gset

-- Another type.
ALTER TABLE t ALTER id TYPE bigint;
SELECT is(edited(), :'edited', 'a wider key: the tracking table keeps its times');
SELECT follows('t', 'a wider key');
INSERT INTO t VALUES (5000000000, 5, 'd', 7);
UPDATE t SET id = id + 1 WHERE id > 4000000000;
DELETE FROM t WHERE id = 5000000001;
SELECT is((SELECT count(*)::int FROM t__history WHERE id IN (5000000000, 5000000001)), 2,
	'a wider key: wide values');
SELECT edited() AS edited \gset
ALTER TABLE t ALTER id TYPE text;
SELECT is(edited(), :'edited', 'a key to text: the tracking table keeps its times');
SELECT follows('t', 'a key to text');
ALTER TABLE t ALTER id TYPE int USING id::int * 10;
SELECT follows('t', 'a lossy change of the key', '{id_1 text}');
SELECT set_has('SELECT id, id_1 FROM t__history', $$VALUES (10, '1'), (20, '2')$$,
	'a lossy change of the key: old versions converted');
SELECT is((SELECT count(*)::int FROM t__tracking), 3, 'a lossy change of the key: as many tracking rows as rows');
INSERT INTO t VALUES (31, 4, 'e', 8);
SELECT edited() AS edited \gset
ALTER TABLE t ALTER id TYPE smallint, ALTER v TYPE text USING v || 'v', ADD y int DEFAULT 1;
SELECT is(edited(), :'edited', 'a narrower key, and others at once: times are kept');
SELECT follows('t', 'a narrower key, and others at once', '{id_1 text,id_2 integer,v_1 integer}');

-- Another key.
SELECT edited() AS edited \gset
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (w);
SELECT is(registered('t'), 'w edition_time txid', 'another key: the registry follows');
SELECT is(edited('w'), :'edited', 'another key: the tracking table keeps its times');
SELECT follows('t', 'another key', '{id_1 text,id_2 integer,v_1 integer}');
SELECT edited('w') AS edited \gset
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY (x, id);
SELECT is((SELECT string_agg(concat(w, ' ', edition_time, ' ', k.txid), ', ' ORDER BY w)
	FROM t JOIN t__tracking k ON x = live_pk_1 AND id = live_pk_2), :'edited',
	'a key of two columns: the tracking table keeps its times');
SELECT follows('t', 'a key of two columns', '{id_1 text,id_2 integer,v_1 integer}');
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, x);
SELECT follows('t', 'the two in another order', '{id_1 text,id_2 integer,v_1 integer}');
ALTER TABLE t ALTER x TYPE bigint, ALTER id TYPE int;
SELECT follows('t', 'both of another type', '{id_1 text,id_2 integer,v_1 integer}');
ALTER TABLE t DROP x, ADD PRIMARY KEY (id);
SELECT follows('t', 'one of them dropped, with a new key', '{id_1 text,id_2 integer,v_1 integer}');
SELECT is(registered('t'), 'id edition_time txid', 'back at the first key: the registry follows');
CREATE UNIQUE INDEX w_id ON t (w, id);
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT by_index PRIMARY KEY USING INDEX w_id;
SELECT follows('t', 'USING INDEX', '{id_1 text,id_2 integer,v_1 integer}');
ALTER TABLE t DROP CONSTRAINT by_index, ADD PRIMARY KEY (id) INCLUDE (w) DEFERRABLE;
SELECT follows('t', 'deferrable, with INCLUDE', '{id_1 text,id_2 integer,v_1 integer}');
SELECT everything('t') AS before \gset
ALTER TABLE t RENAME CONSTRAINT t_pkey TO renamed_key;
SELECT is(registered('t'), 'id edition_time txid', 'a constraint renamed is the same key');
SELECT follows('t', 'a constraint renamed', '{id_1 text,id_2 integer,v_1 integer}');
ALTER TABLE t DROP id, ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT follows('t', 'the key column dropped and made anew', '{id_1 text,id_2 integer,v_1 integer}');
-- New keys meet the as-of query: no row is twice in it.
UPDATE t SET v = 'last';
SELECT is((SELECT count(*)::int FROM t__with_history WHERE sys_period @> now()),
	(SELECT count(*)::int FROM t), 'each row is once in the as-of query of now');

-- Without a key (more in key_two_statements.sql).
CREATE DOMAIN d AS int;
CREATE TABLE u (id d PRIMARY KEY, v int);
SELECT create_history_table('u');
INSERT INTO u VALUES (1, 1);
SELECT follows('u', 'a key of a domain');
SET client_min_messages = error;
SELECT allowed('DROP DOMAIN d CASCADE; UPDATE u SET v = v', 'DROP DOMAIN … CASCADE of the key''s');
ALTER TABLE u ADD id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT follows('u', 'and a new one');
SELECT disable_history_tracking_for_table('u');
SELECT allowed('ALTER TABLE u DROP CONSTRAINT u_pkey', 'while disabled that is nobody''s business');
SELECT is((SELECT state FROM attempt('SELECT enable_history_tracking_for_table(''u'')')), 'P0001',
	'but enabling without a key is an error');

-- A key of the same type, with another modifier or collation.
CREATE TABLE s (k varchar(40) PRIMARY KEY, v text);
SELECT create_history_table('s');
INSERT INTO s VALUES ('a', 'v'), ('b', 'w');
SELECT string_agg(concat(live_pk, edition_time, txid), ' ' ORDER BY live_pk) AS edited_s FROM s__tracking \gset
ALTER TABLE s ALTER k TYPE varchar(120);
SELECT is((SELECT string_agg(concat(live_pk, edition_time, txid), ' ' ORDER BY live_pk) FROM s__tracking),
	:'edited_s', 'a longer varchar: the tracking table keeps its times');
INSERT INTO s VALUES (repeat('k', 100), 'x');
SELECT follows('s', 'a longer varchar');
ALTER TABLE s ALTER k TYPE varchar(60) USING left(k, 60);
SELECT follows('s', 'a shorter one', '{k_1 character varying(120)}');
ALTER TABLE s ALTER k TYPE varchar(60) COLLATE "C";
SELECT follows('s', 'another collation', '{k_1 character varying(120)}');
SELECT disable_history_tracking_for_table('s');
SELECT drop_history_view_for_table('s');
ALTER TABLE s ALTER k TYPE varchar(200);
ALTER TABLE s__history ALTER k TYPE varchar(200);
SELECT create_history_view_for_table('s');
SELECT enable_history_tracking_for_table('s', 's__history', false);
SELECT follows('s', 'by hand', '{k_1 character varying(120)}');

-- What is not known stays so; keys that are computed are followed.
CREATE TABLE u_start (id int PRIMARY KEY, v text);
INSERT INTO u_start VALUES (1, 'one'), (2, 'two');
SELECT create_history_table('u_start', sync => false);
INSERT INTO u_start VALUES (10, 'ten');
SELECT edition_time AS edited_ten FROM u_start__tracking \gset
ALTER TABLE u_start ALTER id TYPE bigint;
SELECT is((SELECT array_agg(live_pk || ' ' || edition_time) FROM u_start__tracking),
	ARRAY['10 ' || :'edited_ten'], 'a wider key: rows without a tracking row have none');
UPDATE u_start SET v = v || '!' WHERE id = 1;
SELECT is((SELECT lower_inf(sys_period) FROM u_start__history), true, 'and their start is unknown');
SELECT array_agg(live_pk * 10 || ' ' || edition_time ORDER BY live_pk) AS edited_all FROM u_start__tracking \gset
ALTER TABLE u_start ALTER id TYPE bigint USING id * 10;
SELECT is((SELECT array_agg(live_pk || ' ' || edition_time ORDER BY live_pk) FROM u_start__tracking),
	:'edited_all', 'a computed key: tracked by the new value, and no other row''s start');

-- Written in the transaction that replaced the key: starts are known still.
CREATE TABLE turned (a int, b int, v text, PRIMARY KEY (a, b));
SELECT create_history_table('turned');
INSERT INTO turned VALUES (1, 2, 'x'), (3, 4, 'y');
SELECT DISTINCT edition_time AS edited_turned FROM turned__tracking \gset
BEGIN;
ALTER TABLE turned DROP CONSTRAINT turned_pkey, ADD PRIMARY KEY (b, a);
UPDATE turned SET v = v || v;
DELETE FROM turned WHERE a = 1;
COMMIT;
SELECT results_eq('SELECT a, lower(sys_period) FROM turned__history WHERE NOT isempty(sys_period) ORDER BY a',
	format('VALUES (1, %1$L::timestamptz), (3, %1$L)', :'edited_turned'), 'a replaced key, and a write: the start is known');
SELECT results_eq('SELECT a, v FROM turned__history WHERE isempty(sys_period)', $$VALUES (1, 'xx')$$, 'and what came in between has no period');

-- Time and txid columns.
CREATE TABLE m (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('m', 'edition_time', 'txid');
INSERT INTO m VALUES (1, 'a');
SELECT refused_whole(format('ALTER TABLE m %s', action), ARRAY['m'], action, '[0-9A-Z]{5}', '{m}')
FROM unnest('{DROP edition_time,DROP txid,DROP edition_time CASCADE,ALTER edition_time TYPE text,
	ALTER edition_time TYPE timestamp,ALTER txid TYPE int,ALTER txid TYPE numeric,
	"DROP edition_time, ADD edition_time date","DROP txid, DROP edition_time"}'::text[]) action;
ALTER TABLE m DROP txid, ADD txid bigint;
SELECT follows('m', 'the txid column dropped and made anew, of the right type');
ALTER TABLE m RENAME txid TO t;
ALTER TABLE m ALTER t SET NOT NULL, ALTER t SET DEFAULT 1, ALTER edition_time DROP DEFAULT;
SELECT follows('m', 'NOT NULL and DEFAULT of these columns');
ALTER TABLE m ALTER id TYPE bigint, DROP CONSTRAINT m_pkey, ADD PRIMARY KEY (id, edition_time);
SELECT follows('m', 'another key with a time column');
SELECT refused_whole('ALTER TABLE m DROP t, ADD t bigint GENERATED ALWAYS AS (id) STORED', '{m}',
	'a generated column cannot hold the transaction', '55000', '{m}');
SET catmaid_history.follow_ddl = off;
ALTER TABLE m DROP t CASCADE, ADD t bigint GENERATED ALWAYS AS (id) STORED;
RESET catmaid_history.follow_ddl;
SELECT refused('UPDATE m SET v = v', '{m,t}', 'and if nobody follows, writes are refused', '55000');
SELECT disable_history_tracking_for_table('m');
SELECT allowed('ALTER TABLE m DROP t CASCADE', 'while disabled they may go');
SELECT * FROM finish();
