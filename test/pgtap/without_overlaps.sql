-- Keys WITHOUT OVERLAPS (PostgreSQL 18): a row is told by all key columns, the
-- range or multirange with them, by equality.  Skipped on older versions.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(42);
SELECT current_setting('server_version_num')::int >= 180000 AS v18 \gset
\if :v18

CREATE TABLE w (id int4range, at daterange, v text,
	PRIMARY KEY (id, at WITHOUT OVERLAPS));
SELECT lives_ok($$SELECT create_history_table('w')$$, 'a key of two ranges');
INSERT INTO w VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'jan'),
	('[1,2)', '[2020-02-01,2020-03-01)', 'feb'), ('[2,3)', '[2020-01-15,2020-02-15)', 'mid');
SELECT is((SELECT count(*)::int FROM w__tracking), 3, 'a tracking row for each');
SELECT is((SELECT count(*)::int FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = 'w__tracking'::regclass
	AND a.amname = 'btree' AND indisunique), 1, 'with a unique btree index');
SELECT follows('w', 'every UPDATE and DELETE is recorded');
UPDATE w SET v = 'JAN' WHERE v = 'jan';
SELECT results_eq($$SELECT v, upper(sys_period) = (SELECT edition_time FROM w__tracking t
		WHERE (t.live_pk_1, t.live_pk_2) = (h.id, h.at)) FROM w__history h
	WHERE at @> date '2020-01-05' ORDER BY sys_period DESC LIMIT 1$$,
	$$VALUES ('jan', true)$$, 'one row''s tracking row is its own');
SELECT is((SELECT count(*)::int FROM w__with_history WHERE upper_inf(sys_period)), 3,
	'the view joins by equality, not by overlap');

-- Shortening and splitting by hand: the key changes.
BEGIN;
UPDATE w SET at = '[2020-02-01,2020-02-15)' WHERE v = 'feb';
INSERT INTO w VALUES ('[1,2)', '[2020-02-15,2020-03-01)', 'feb II');
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM w__tracking', 'SELECT id, at FROM w',
	'split: the tracking table follows');
SELECT set_has('SELECT at, v FROM w__history', $$VALUES ('[2020-02-01,2020-03-01)'::daterange, 'feb')$$,
	'split: the version under the old key');
BEGIN;
INSERT INTO w VALUES ('[1,2)', '[2021-01-01,2021-02-01)', 'new');
UPDATE w SET v = 'newer' WHERE v = 'new';
DELETE FROM w WHERE v = 'newer';
INSERT INTO w VALUES ('[1,2)', '[2021-01-10,2021-01-12)', 'there');
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM w__tracking', 'SELECT id, at FROM w',
	'made, changed and deleted in one transaction, another that overlaps made');
BEGIN;
DELETE FROM w WHERE v = 'there';
INSERT INTO w VALUES ('[1,2)', '[2021-01-10,2021-01-12)', 'back');
UPDATE w SET v = 'back again' WHERE v = 'back';
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM w__tracking', 'SELECT id, at FROM w',
	'deleted, back and changed');
SELECT is_empty($$SELECT FROM w__with_history a WHERE EXISTS (SELECT FROM w__with_history b
	WHERE (b.id, b.at) = (a.id, a.at) AND b.sys_period && a.sys_period
	AND b.exec_transaction_id IS DISTINCT FROM a.exec_transaction_id)$$,
	'no two versions of a key overlap');
SELECT disable_history_tracking_for_table('w');
DELETE FROM w WHERE v = 'mid';
INSERT INTO w VALUES ('[2,3)', '[2020-01-16,2020-01-20)', 'inside');
SELECT enable_history_tracking_for_table('w');
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM w__tracking', 'SELECT id, at FROM w',
	'sync compares by equality');
SELECT is(tap.misplaced('w'), '', 'all is in its place');
TRUNCATE w;
SELECT is_empty('SELECT FROM w__tracking', 'TRUNCATE');

-- A scalar beside the range needs btree_gist for the key, and nothing for history.
CREATE SCHEMA gist;
SELECT count(*) AS has_btree_gist FROM pg_available_extensions WHERE name = 'btree_gist' \gset
\if :has_btree_gist
CREATE EXTENSION btree_gist SCHEMA gist;
SET search_path = public, tap, gist;
CREATE TABLE b (id int, name text COLLATE "C", ip inet, at tstzmultirange, v text,
	CONSTRAINT b_key PRIMARY KEY (id, name, ip, at WITHOUT OVERLAPS));
RESET search_path;
SET search_path = public, tap;
SELECT lives_ok($$SELECT create_history_table('b')$$, 'int, text, inet and a multirange');
INSERT INTO b SELECT 1, 'n', '::1', m, 'x' FROM (VALUES ('{[2020-01-01,2020-02-01)}'::tstzmultirange),
	('{[2021-01-01,2021-02-01),[2022-01-01,2023-01-01)}'), ('{[2021-05-01,2021-06-01)}')) x(m);
INSERT INTO b SELECT 1, 'N', '::1/128', '{[2020-01-01,2020-02-01)}', 'y';
SELECT follows('b', 'UPDATE and DELETE');
BEGIN;
UPDATE b SET at = at - '{[2022-06-01,2022-07-01)}'::tstzmultirange;
UPDATE b SET v = v || '2';
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2, live_pk_3, live_pk_4 FROM b__tracking', 'SELECT id, name, ip, at FROM b',
	'tracking, of a multirange that changes in a transaction');
BEGIN;
DELETE FROM b WHERE name = 'n' AND lower(at) = '2021-01-01';
INSERT INTO b VALUES (1, 'n', '::1', '{[2021-01-01,2021-02-01)}', 'z');
DELETE FROM b WHERE v = 'z';
INSERT INTO b VALUES (1, 'n', '::1', '{[2021-01-01,2021-01-07),[2023-01-01,2023-02-02)}', 'zz');
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2, live_pk_3, live_pk_4 FROM b__tracking', 'SELECT id, name, ip, at FROM b',
	'and of others of the same bounds that come and go');
CREATE TABLE t (id int PRIMARY KEY, at daterange NOT NULL, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, '[2020-01-01,2020-02-01)', 'x');
SELECT lives_ok('ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, at WITHOUT OVERLAPS)',
	'a key that becomes one WITHOUT OVERLAPS');
SELECT results_eq($$SELECT live_table_pkey_column, triggers_installed FROM catmaid_history_table
	WHERE live_table = 't'::regclass$$, $$VALUES ('id', true)$$, 'in the registry');
SELECT results_eq('SELECT live_pk_1, live_pk_2 FROM t__tracking',
	$$VALUES (1, '[2020-01-01,2020-02-01)'::daterange)$$, 'in the tracking table');
INSERT INTO t VALUES (1, '[2020-02-01,2020-03-01)', 'y');
SELECT follows('t', 'and goes on');
SELECT lives_ok('DELETE FROM t WHERE at @> date ''2020-02-05''', 'back to one id');
SELECT lives_ok('ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)', 'and back again');
SELECT follows('t', 'as before');
\else
SELECT skip('no btree_gist', 11);
\endif

-- With a time column; below a partitioned table; foreign keys with PERIOD.
CREATE TABLE timed (id int4range, at daterange, v text, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current(), PRIMARY KEY (id, at WITHOUT OVERLAPS));
SELECT lives_ok($$SELECT create_history_table('timed', 'edition_time', 'txid')$$, 'with a time column');
INSERT INTO timed VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'a'), ('[1,2)', '[2020-03-01,2020-04-01)', 'b');
SELECT follows('timed', 'UPDATE and DELETE');
CREATE TABLE p (id int4range, at daterange, v text, PRIMARY KEY (id, at WITHOUT OVERLAPS))
	PARTITION BY LIST (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN ('[1,2)');
CREATE TABLE p2 PARTITION OF p DEFAULT;
SELECT lives_ok($$SELECT create_history_table('p')$$, 'partitioned');
INSERT INTO p VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'a'), ('[1,2)', '[2020-03-01,2020-04-01)', 'b'),
	('[5,6)', '[2020-03-01,2020-04-01)', 'c');
SELECT follows('p', 'partitions');
UPDATE p SET id = '[7,8)' WHERE v LIKE 'b%';
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM p__tracking', 'SELECT id, at FROM p', 'a move');
CREATE TABLE d (id int4range, at daterange, v text,
	PRIMARY KEY (id, at WITHOUT OVERLAPS) DEFERRABLE INITIALLY DEFERRED);
SELECT create_history_table('d');
INSERT INTO d VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'a'), ('[1,2)', '[2020-02-01,2020-03-01)', 'b');
BEGIN;
UPDATE d SET at = CASE v WHEN 'a' THEN daterange '[2020-02-01,2020-03-01)' ELSE '[2020-01-01,2020-02-01)' END;
COMMIT;
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM d__tracking', 'SELECT id, at FROM d', 'a swap of deferrable keys');
SELECT follows('d', 'and goes on');
CREATE TABLE f (id int PRIMARY KEY, w int4range, at daterange,
	FOREIGN KEY (w, PERIOD at) REFERENCES p (id, PERIOD at));
SELECT create_history_table('f');
INSERT INTO f VALUES (1, '[1,2)', '[2020-01-05,2020-01-07)');
SELECT follows('f', 'a table with a foreign key of periods');
SELECT throws_ok($$DELETE FROM p WHERE v LIKE 'a%'$$, '23503', NULL, 'which holds');
SELECT is_empty($$SELECT FROM p__history h WHERE v LIKE 'a%' AND NOT EXISTS (SELECT FROM p
	WHERE (p.id, p.at) = (h.id, h.at))$$, 'and leaves no version of what it refused');

-- The period a domain, of another type, computed.
CREATE DOMAIN span AS daterange CHECK (NOT isempty(VALUE));
CREATE TABLE o (id int4range, at span, v text, PRIMARY KEY (id, at WITHOUT OVERLAPS));
SELECT lives_ok($$SELECT create_history_table('o')$$, 'a period of a domain');
INSERT INTO o VALUES ('[1,2)', '[2020-01-01,2020-02-01)', 'a'), ('[1,2)', '[2020-03-01,2020-04-01)', 'b');
SELECT follows('o', 'a domain');
ALTER TABLE o ALTER at TYPE tsrange USING tsrange(lower(at), upper(at));
SELECT follows('o', 'a period of another type', '{at_1 daterange}');
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM o__tracking', 'SELECT id, at FROM o', 'tracked by it');
CREATE TABLE c (id int4range, since date, until date, v text,
	at daterange GENERATED ALWAYS AS (daterange(since, until)) STORED, PRIMARY KEY (id, at WITHOUT OVERLAPS));
SELECT create_history_table('c');
INSERT INTO c VALUES ('[1,2)', '2020-01-01', '2020-02-01', 'a'), ('[1,2)', '2020-03-01', '2020-04-01', 'b');
SELECT follows('c', 'a period that is computed');
ALTER TABLE c ALTER at SET EXPRESSION AS (daterange(since, until, '[]'));
SELECT set_eq('SELECT live_pk_1, live_pk_2 FROM c__tracking', 'SELECT id, at FROM c', 'SET EXPRESSION of it');
SELECT follows('c', 'and goes on');

\else
SELECT skip('keys WITHOUT OVERLAPS', 42);
\endif
SELECT * FROM finish();
