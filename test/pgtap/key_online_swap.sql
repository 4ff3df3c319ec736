-- Section 5: a key that becomes wider, or another one, without a rewrite: a new column,
-- a backfill, a swap of the key, and the old column goes.  Versions from before the new
-- column keep their key, where the live rows say that it was the same.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(22);
SET client_min_messages = error;

-- As it is usually done: the index first, the swap and the rest in one transaction.
CREATE TABLE t (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'one', 'a'), (2, 'two', 'a'), (3, 'three', 'a');
SELECT seen('t');
UPDATE t SET v = v || '!';
DELETE FROM t WHERE w = 'three';
SELECT seen('t');
ALTER TABLE t ADD COLUMN id_new bigint;
UPDATE t SET id_new = id;
CREATE UNIQUE INDEX t_new ON t (id_new);
ALTER TABLE t ALTER id_new SET NOT NULL;
SELECT seen('t');
BEGIN;
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX t_new;
ALTER TABLE t DROP COLUMN id;
ALTER TABLE t RENAME id_new TO id;
COMMIT;
SELECT is(wrong_as_of('t'), '', 'int to bigint by a new column');
SELECT is((SELECT string_agg(id || w, ' ' ORDER BY id, v) FROM t__history), '1one 1one 2two 2two 3three 3three', 'every version has its key');
UPDATE t SET v = v || '?';
SELECT seen('t');
SELECT is(wrong_as_of('t'), '', 'and recorded');
SELECT follows('t', 'the history follows');
SELECT is(findings('t'), '', 'nothing is found wrong');

-- In statements of their own, the old column first renamed, and one that stays.
CREATE TABLE s (id int, n int, w text, v text, PRIMARY KEY (id, n));
SELECT create_history_table('s');
INSERT INTO s VALUES (1, 1, 'one', 'a'), (1, 2, 'two', 'a');
SELECT seen('s');
UPDATE s SET v = 'b';
SELECT seen('s');
ALTER TABLE s ADD big bigint;
UPDATE s SET big = id;
ALTER TABLE s DROP CONSTRAINT s_pkey;
ALTER TABLE s RENAME id TO id_old;
ALTER TABLE s RENAME big TO id;
ALTER TABLE s ADD PRIMARY KEY (id, n);
SELECT is((SELECT string_agg(id || w, ' ' ORDER BY w, v) FROM s__history), '1one 1one 1two 1two', 'one of two columns, in statements of their own');
ALTER TABLE s DROP COLUMN id_old;
SELECT is(wrong_as_of('s'), '', 'the past as it was');
SELECT is(findings('s'), '', 'nothing is found wrong');

-- Another key: versions from before have none, and nobody says that they are of one row.
CREATE TABLE u (a int PRIMARY KEY, w text, v text);
SELECT create_history_table('u');
INSERT INTO u VALUES (1, 'one', 'a'), (2, 'two', 'a');
SELECT seen('u');
UPDATE u SET v = 'b';
SELECT seen('u');
ALTER TABLE u ADD COLUMN uid uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE u DROP CONSTRAINT u_pkey, ADD PRIMARY KEY (uid);
UPDATE u SET v = 'c';
SELECT seen('u');
SELECT is(wrong_as_of('u'), '', 'an uuid in place of a number');
SELECT is((SELECT count(*)::int FROM u__history WHERE v = 'a' AND uid IS NULL), 2, 'versions from before have none');
SELECT is(findings('u'), '', 'which is no overlap');

-- A column that has the same values by chance: in some rows only; in no row, as there is none.
CREATE TABLE c (id int PRIMARY KEY, pos int, w text, v text);
SELECT create_history_table('c');
INSERT INTO c VALUES (1, NULL, 'one', 'a'), (2, NULL, 'two', 'a');
UPDATE c SET pos = 3 - id;
UPDATE c SET pos = 1 WHERE id = 1;
UPDATE c SET pos = 4 WHERE id = 2;
ALTER TABLE c DROP CONSTRAINT c_pkey, ADD PRIMARY KEY (pos);
SELECT is((SELECT count(*)::int FROM c__history WHERE pos IS NULL), 2, 'values that are not the key''s are not taken');
CREATE TABLE e (id int PRIMARY KEY, n bigint, w text, v text);
SELECT create_history_table('e');
INSERT INTO e VALUES (1, NULL, 'one', 'a');
DELETE FROM e;
ALTER TABLE e DROP CONSTRAINT e_pkey, ADD PRIMARY KEY (n);
SELECT is((SELECT count(*)::int FROM e__history WHERE n IS NULL), 1, 'nor those of an empty table');

-- What history cannot convert stops nobody.
CREATE TABLE x (id bigint PRIMARY KEY, n int, w text, v text);
SELECT create_history_table('x');
INSERT INTO x VALUES (5000000000, NULL, 'one', 'a'), (2, NULL, 'two', 'a');
DELETE FROM x WHERE w = 'one';
UPDATE x SET n = id;
SELECT lives_ok('ALTER TABLE x DROP CONSTRAINT x_pkey, ADD PRIMARY KEY (n)', 'a narrower column, that an old value does not fit in');
SELECT is((SELECT count(*)::int FROM x__history WHERE n IS NULL), 2, 'then old versions have none');

-- The table swapped for another one, as tools for big tables do.
CREATE TABLE big (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('big');
INSERT INTO big VALUES (1, 'one', 'a');
UPDATE big SET v = 'b';
CREATE TABLE big_new (id bigint PRIMARY KEY, w text, v text);
INSERT INTO big_new SELECT * FROM big;
BEGIN;
SELECT drop_history_table_keep_data('big');
ALTER TABLE big RENAME TO big_old;
ALTER TABLE big__history ALTER id TYPE bigint;
ALTER TABLE big_new RENAME TO big;
SELECT create_history_table('big');
COMMIT;
UPDATE big SET v = 'c';
SELECT is((SELECT string_agg(v, '' ORDER BY v) FROM big__with_history), 'abc', 'a table swapped in takes the history');
DROP TABLE big_old;
SELECT follows('big', 'and is recorded');

-- A DROP COLUMN of the former key with the history's kept: nothing is lost.
CREATE TABLE r (id int PRIMARY KEY, w text, v text);
SELECT create_history_table('r');
INSERT INTO r VALUES (1, 'one', 'a');
UPDATE r SET v = 'b';
ALTER TABLE r ADD uid uuid NOT NULL DEFAULT gen_random_uuid();
SET catmaid_history.on_drop_column = keep;
ALTER TABLE r DROP CONSTRAINT r_pkey, ADD PRIMARY KEY (uid), DROP COLUMN id;
RESET catmaid_history.on_drop_column;
SELECT is((SELECT string_agg(id_1 || v, ' ' ORDER BY v) FROM r__history WHERE uid IS NULL), '1a', 'the old key stays in history, kept');
SELECT is(findings('r'), '', 'and nothing is found wrong');

-- A key that has become coarser: versions of what were two rows overlap, which nothing can
-- mend; those from now on may not.
CREATE TABLE d (id int PRIMARY KEY, version_id int, at timestamp, w text, v text);
SELECT create_history_table('d');
INSERT INTO d VALUES (1, 51, '2020-01-03 00:00', 'one', 'a'), (2, 51, '2020-01-03 00:05', 'two', 'a');
UPDATE d SET v = 'b';
DELETE FROM d WHERE id = 2;
ALTER TABLE d ALTER at TYPE date;
ALTER TABLE d DROP CONSTRAINT d_pkey, ADD PRIMARY KEY (version_id, at), DROP COLUMN id;
SELECT is(findings('d'), '', 'versions that were of two rows are no overlap');
SELECT is((SELECT key_since <= now() AND key_since > now() - interval '1 day' FROM catmaid_history_table WHERE live_table = 'd'::regclass), true,
	'the registry says since when the key is what it is');
UPDATE d SET v = 'c';
UPDATE d SET v = 'd';
INSERT INTO d__history (version_id, at, w, v, sys_period) SELECT version_id, at, w, 'x', sys_period FROM d__history WHERE v = 'c';
SELECT is(findings('d'), 'periods_overlap', 'but those from now on are');
SELECT * FROM finish();
