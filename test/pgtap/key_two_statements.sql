-- Section 5: a primary key replaced in two statements, dropped for good, or with its
-- column.  The migration goes on, with one WARNING; versions are recorded on, and starts
-- kept as far as they can be told.  The oracle is what the table showed before.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(55);

SET client_min_messages = error;
CREATE FUNCTION key_of(live regclass) RETURNS text LANGUAGE sql AS
$$ SELECT format('%s %s', live_table_pkey_column, live_table_pkey_columns) FROM catmaid_history_table WHERE live_table = live $$;

CREATE TABLE t (id int PRIMARY KEY, kind text NOT NULL, w text, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'k', 'one', 'a'), (2, 'k', 'two', 'a'), (3, 'k', 'three', 'a'), (4, 'k', 'four', 'a');
SELECT seen('t');
UPDATE t SET v = 'b' WHERE id <= 2;
SELECT seen('t');
ALTER TABLE t DROP CONSTRAINT t_pkey;
SELECT seen('t');
SELECT is(wrong_as_of('t'), '', 'the key dropped: nothing is forgotten');
SELECT is(key_of('t'), 'id {id}', 'it is recorded by the former key');
UPDATE t SET v = 'c' WHERE id IN (1, 3);
INSERT INTO t VALUES (5, 'k', 'five', 'a');
DELETE FROM t WHERE id = 4;
SELECT seen('t');
UPDATE t SET id = id + 1, v = 'd' WHERE id < 4;
SELECT seen('t');
UPDATE t SET v = 'e';
SELECT seen('t');
SELECT is(wrong_as_of('t'), '', 'writes without a key, keys that move up among them');
ALTER TABLE t ADD PRIMARY KEY (kind, id);
SELECT is(wrong_as_of('t'), '', 'another key: all starts are kept');
SELECT follows('t', 'another key');
SELECT is(key_of('t'), 'kind {kind,id}', 'and registered');
ALTER TABLE t DROP CONSTRAINT t_pkey;
TRUNCATE t;
SELECT seen('t');
INSERT INTO t VALUES (1, 'k', 'one', 'again'), (2, 'k', 'two', 'again');
SELECT seen('t');
ALTER TABLE t ADD CONSTRAINT again PRIMARY KEY (kind, id);
UPDATE t SET v = 'again and again';
SELECT seen('t');
SELECT is(wrong_as_of('t'), '', 'TRUNCATE without a key');
SELECT is(findings('t'), '', 'nothing is found wrong');
SELECT is((SELECT array_agg(indisunique::text || relreplident::text ORDER BY indisunique) FROM pg_index JOIN pg_class c ON c.oid = indrelid
	WHERE indrelid = 't__tracking'::regclass), '{truei}', 'the tracking table has its unique index again');

-- Rows that share a key for a while: no start is another row's.
CREATE TABLE d (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('d');
INSERT INTO d VALUES (1, 'one', 'a'), (3, 'three', 'a'), (4, 'four', 'a');
SELECT seen('d');
ALTER TABLE d DROP CONSTRAINT d_pkey;
INSERT INTO d VALUES (1, 'two', 'a');
SELECT is(starts_unknown('d'), 'one,two', 'two rows with one key: none of them has the other''s start');
UPDATE d SET v = 'b' WHERE w = 'one';
UPDATE d SET v = 'b' WHERE w = 'three';
SELECT seen('d');
SELECT is((SELECT array_agg(w || lower_inf(sys_period) ORDER BY w) FROM d__history), '{onetrue,threefalse}', 'an unknown start in history');
UPDATE d SET v = 'c', id = id + 10 WHERE w IN ('one', 'four');
SELECT seen('d');
UPDATE d SET v = 'd';
DELETE FROM d WHERE w = 'two';
INSERT INTO d VALUES (7, 'seven', 'a'), (7, 'eight', 'a');
DELETE FROM d WHERE w = 'seven';
SELECT seen('d');
ALTER TABLE d ADD PRIMARY KEY (id);
SELECT is(starts_unknown('d'), '', 'those of which one is left, or which have changed since, are known');
DELETE FROM tap.was_seen WHERE rel = 'd';
SELECT seen('d');
UPDATE d SET v = 'e';
SELECT seen('d');
SELECT is(wrong_as_of('d'), '', 'and right from then on');
SELECT follows('d', 'duplicates are gone, the key is back');

-- In one transaction, with a NULL in between.
CREATE TABLE n (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('n');
INSERT INTO n VALUES (1, 'one', 'a'), (2, 'two', 'a'), (3, 'three', 'a');
SELECT seen('n');
BEGIN;
ALTER TABLE n DROP CONSTRAINT n_pkey;
ALTER TABLE n ALTER id DROP NOT NULL;
UPDATE n SET v = 'b' WHERE w <> 'three';
UPDATE n SET id = NULL, v = 'c' WHERE w = 'one';
INSERT INTO n VALUES (NULL, 'four', 'a');
UPDATE n SET v = 'd' WHERE w IN ('one', 'four');
UPDATE n SET id = 10 WHERE w = 'one';
UPDATE n SET id = 40 WHERE w = 'four';
DELETE FROM n WHERE w = 'two';
ALTER TABLE n ADD PRIMARY KEY (id);
UPDATE n SET v = 'e' WHERE w = 'four';
COMMIT;
SELECT seen('n');
SELECT is(wrong_as_of('n'), '', 'all in one transaction, keys that are NULL among it');
UPDATE n SET v = 'f';
SELECT seen('n');
SELECT is(wrong_as_of('n'), '', 'and afterwards');
SELECT is((SELECT count(*)::int FROM n__history WHERE v IN ('b', 'c') AND NOT isempty(sys_period)), 0, 'what came in between has no period');

-- The column goes.
CREATE TABLE u (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('u');
INSERT INTO u VALUES (1, 'one', 'a'), (2, 'two', 'a'), (3, 'three', 'a');
ALTER TABLE u DROP COLUMN id;
SELECT is(key_of('u'), ' {""}', 'no column of the key is left');
UPDATE u SET v = 'b' WHERE w = 'one';
DELETE FROM u WHERE w = 'two';
INSERT INTO u VALUES ('four', 'a');
SELECT is((SELECT array_agg(format('%s %s %s', w, v, lower_inf(sys_period)) ORDER BY w) FROM u__history), '{"one a t","two a t"}',
	'the column of the key dropped: recorded, with unknown starts');
SELECT is((SELECT array_agg(format('%s %s %s', w, v, lower_inf(sys_period)) ORDER BY w) FROM u__with_history WHERE upper_inf(sys_period)),
	'{"four a t","one b t","three a t"}', 'and unknown in the view');
SELECT is(findings('u'), 'no_primary_key', 'check_history says so');
SELECT is((SELECT state FROM attempt('SELECT enable_history_tracking_for_table(''u''); SELECT reload_history_tracking_for_table(''u'')')), '00000',
	'enabling goes on without it');
SELECT is((SELECT state FROM attempt('SELECT repair_history(''u''); SELECT sync_tracking_table(''u'', ''u__tracking''); SELECT create_history_view_for_table(''u'')')), '00000',
	'repairing, syncing and the view, too');
UPDATE u SET v = 'c' WHERE w = 'one';
TRUNCATE u;
SELECT is((SELECT count(*)::int FROM u__history), 6, 'UPDATE and TRUNCATE are recorded on');
INSERT INTO u VALUES ('five', 'a');
ALTER TABLE u ADD COLUMN uid uuid PRIMARY KEY DEFAULT gen_random_uuid();
SELECT is(starts_unknown('u'), 'five', 'a new key: what cannot be told is unknown, never now');
SELECT seen('u');
UPDATE u SET v = 'b';
SELECT seen('u');
UPDATE u SET v = 'c';
SELECT is(wrong_as_of('u'), '', 'from then on all is known');
SELECT follows('u', 'a new key');
SELECT is(findings('u'), '', 'and in order');

-- One of two columns goes: the other one may tell.
CREATE TABLE c2 (a int, b int, w text, v text, PRIMARY KEY (a, b));
SELECT create_history_table('c2');
INSERT INTO c2 VALUES (1, 1, 'one', 'a'), (2, 1, 'two', 'a');
INSERT INTO c2 VALUES (3, 1, 'three', 'a'), (3, 2, 'four', 'a');
SELECT seen('c2');
UPDATE c2 SET v = 'b' WHERE w IN ('one', 'three');
SELECT seen('c2');
ALTER TABLE c2 DROP COLUMN b;
SELECT is(key_of('c2'), 'a {a}', 'one column is left');
SELECT is(starts_unknown('c2'), 'four,three', 'and tells the rows that it tells apart');
UPDATE c2 SET v = 'c' WHERE a < 3;
SELECT is((SELECT string_agg(w || lower_inf(sys_period), ' ' ORDER BY w) FROM c2__history WHERE upper(sys_period) = (SELECT max(upper(sys_period)) FROM c2__history)),
	'onefalse twofalse', 'recorded with these starts');
DELETE FROM c2 WHERE w = 'four';
ALTER TABLE c2 ADD PRIMARY KEY (a);
SELECT is(starts_unknown('c2'), 'three', 'a key of that column');
SELECT follows('c2', 'a key of the column that was left');
-- Both at once, and the new one with it.
CREATE TABLE c3 (a int, b int, w text UNIQUE NOT NULL, v text, PRIMARY KEY (a, b));
SELECT create_history_table('c3');
INSERT INTO c3 VALUES (1, 1, 'one', 'a'), (2, 2, 'two', 'a');
SELECT seen('c3');
UPDATE c3 SET v = 'b' WHERE a = 1;
SELECT seen('c3');
ALTER TABLE c3 DROP COLUMN b, ADD PRIMARY KEY (a);
SELECT is(wrong_as_of('c3'), '', 'a column of the key dropped by the command that adds a key');
UPDATE c3 SET v = 'c';
SELECT seen('c3');
SELECT is(wrong_as_of('c3'), '', 'and afterwards');

-- While it has no key its columns change.
CREATE TABLE o (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('o');
INSERT INTO o VALUES (1, 'one', 'a'), (2, 'two', 'a');
SELECT seen('o');
UPDATE o SET v = 'b' WHERE id = 1;
SELECT seen('o');
ALTER TABLE o DROP CONSTRAINT o_pkey;
ALTER TABLE o RENAME id TO ident;
ALTER TABLE o ALTER ident TYPE text USING ident || '!';
ALTER TABLE o RENAME TO o2;
SELECT is(wrong_as_of('o', 'o2'), '', 'renamed and changed while there is no key');
UPDATE o2 SET v = 'c';
ALTER TABLE o2 ADD x int;
SELECT is(wrong_as_of('o', 'o2'), '', 'and recorded');
CREATE UNIQUE INDEX o_index ON o2 (ident);
ALTER TABLE o2 ADD CONSTRAINT o_key PRIMARY KEY USING INDEX o_index;
SELECT is(wrong_as_of('o', 'o2'), '', 'a key by an index');
SELECT is(findings('o2'), '', 'and in order');

-- Disabled and enabled meanwhile; renamed by hand; dropped and created.
CREATE TABLE e (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('e');
INSERT INTO e VALUES (1, 'one', 'a'), (2, 'two', 'a');
SELECT seen('e');
ALTER TABLE e DROP CONSTRAINT e_pkey;
SELECT is((SELECT state FROM attempt('SELECT enable_history_tracking()')), '00000', 'enabling all goes on without a key');
SELECT disable_history_tracking_for_table('e');
INSERT INTO e VALUES (3, 'three', 'a');
SELECT enable_history_tracking_for_table('e');
SELECT is(wrong_as_of('e'), '', 'disabled and enabled without a key');
UPDATE e SET v = 'b';
SELECT seen('e');
SELECT disable_history_tracking_for_table('e');
ALTER TABLE e ADD PRIMARY KEY (w);
SELECT enable_history_tracking_for_table('e');
SELECT is(wrong_as_of('e'), '', 'a key that came while disabled');
SELECT follows('e', 'a key that came while disabled');
ALTER TABLE e DROP CONSTRAINT e_pkey;
SELECT is((SELECT state FROM attempt('SELECT drop_history_table_keep_data(''e'')')), '00000', 'kept without a key');

-- A time column needs no key.
CREATE TABLE m (id int PRIMARY KEY, w text, v text, edition_time timestamptz DEFAULT now(), txid bigint);
SELECT create_history_table('m', 'edition_time', 'txid');
INSERT INTO m VALUES (1, 'one', 'a');
SELECT seen('m');
ALTER TABLE m DROP CONSTRAINT m_pkey;
UPDATE m SET v = 'b', edition_time = now();
SELECT seen('m');
ALTER TABLE m DROP COLUMN id;
UPDATE m SET v = 'c', edition_time = now();
SELECT seen('m');
SELECT is(wrong_as_of('m'), '', 'with a time column: recorded without a key');
ALTER TABLE m ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
UPDATE m SET v = 'd', edition_time = now();
SELECT is(wrong_as_of('m'), '', 'and with a new one');
SELECT follows('m', 'a new key with a time column');

-- Partitions.
CREATE TABLE p (id int, n int, w text, v text, PRIMARY KEY (id, n)) PARTITION BY RANGE (n);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20);
SELECT create_history_table('p');
INSERT INTO p VALUES (1, 1, 'one', 'a'), (2, 11, 'two', 'a');
SELECT seen('p');
UPDATE p SET v = 'b' WHERE w = 'one';
SELECT seen('p');
ALTER TABLE p DROP CONSTRAINT p_pkey;
UPDATE p SET v = 'c', n = 12 WHERE w = 'one';
INSERT INTO p VALUES (3, 3, 'three', 'a');
UPDATE p SET v = 'b' WHERE w = 'three';
SELECT seen('p');
CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM (20) TO (30);
INSERT INTO p VALUES (4, 24, 'four', 'a');
UPDATE p SET n = n + 1, v = v || 'x';
SELECT seen('p');
ALTER TABLE ONLY p ADD CONSTRAINT p_key PRIMARY KEY (n, id);
ALTER TABLE p_1 ADD CONSTRAINT p_1_key PRIMARY KEY (n, id);
ALTER TABLE p_2 ADD CONSTRAINT p_2_key PRIMARY KEY (n, id);
ALTER TABLE p_3 ADD CONSTRAINT p_3_key PRIMARY KEY (n, id);
UPDATE p SET v = v || 'y';
SELECT seen('p');
ALTER INDEX p_key ATTACH PARTITION p_1_key;
ALTER INDEX p_key ATTACH PARTITION p_2_key;
ALTER INDEX p_key ATTACH PARTITION p_3_key;
SELECT is(key_of('p'), 'n {n,id}', 'a key made partition by partition is taken by the last of them');
UPDATE p SET v = v || 'z';
SELECT seen('p');
SELECT is(wrong_as_of('p'), '', 'partitions');
SELECT is(findings('p'), '', 'and in order');

-- Nobody follows: writes go on; what two rows have is nobody's.
CREATE TABLE off (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('off');
INSERT INTO off VALUES (1, 'one', 'a'), (2, 'two', 'a');
SELECT seen('off');
SET catmaid_history.follow_ddl = off;
ALTER TABLE off DROP CONSTRAINT off_pkey;
UPDATE off SET v = 'b' WHERE w = 'two';
SELECT seen('off');
SELECT is(wrong_as_of('off'), '', 'nobody follows: recorded by the former key');
INSERT INTO off VALUES (1, 'three', 'a');
UPDATE off SET v = 'c';
SELECT is((SELECT string_agg(w || lower_inf(sys_period), ' ' ORDER BY w) FROM off__history WHERE upper(sys_period) = (SELECT max(upper(sys_period)) FROM off__history)),
	'onetrue threetrue twofalse', 'two rows with one key have no start');
ALTER TABLE off ADD PRIMARY KEY (w);
RESET catmaid_history.follow_ddl;
SELECT refused('UPDATE off SET v = ''d''', '{off}', 'another key, and nobody follows: refused', '55000', NULL, 'enable_history_tracking_for_table');
SELECT enable_history_tracking_for_table('off');
SELECT is(starts_unknown('off'), 'one,three', 'enabling takes the present key');
SELECT follows('off', 'enabled with the present key');
SELECT * FROM finish();
