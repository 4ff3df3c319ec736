-- Section 5, RENAME COLUMN: renamed in history too; the registry follows for key,
-- time and txid columns.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(34);

CREATE FUNCTION registered(live regclass) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s', live_table_pkey_column, time_column, txid_column)
	FROM catmaid_history_table WHERE live_table = live $$;
CREATE TABLE t (id int PRIMARY KEY, v text, w text, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE timed (id int PRIMARY KEY, v text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE two (a int, b text, c int, PRIMARY KEY (b, a));
SELECT create_history_table('t');
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('two');
INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y');
INSERT INTO timed VALUES (1, 'a'), (2, 'b');
INSERT INTO two VALUES (1, 'one', 11), (2, 'two', 22);
UPDATE t SET v = v || '1';
UPDATE timed SET v = v || '1';
SELECT registered('t') AS t_registered \gset

ALTER TABLE t RENAME COLUMN v TO vv;
SELECT follows('t', 'RENAME COLUMN');
SELECT set_has('SELECT id, vv FROM t__history', $$VALUES (1, 'a'), (2, 'b')$$,
	'old versions are under the new name');
ALTER TABLE t RENAME vv TO "V v ""x";
SELECT follows('t', 'to a name that must be quoted');
ALTER TABLE t RENAME "V v ""x" TO "select";
SELECT follows('t', 'from such a name, and to a key word');
ALTER TABLE t RENAME "select" TO v;
SELECT attnum AS old_attnum FROM pg_attribute WHERE attrelid = 't__history'::regclass AND attname = 'v' \gset
ALTER TABLE t RENAME v TO v2;
SELECT is((SELECT attnum FROM pg_attribute WHERE attrelid = 't__history'::regclass
	AND attname = 'v2'), :old_attnum::smallint, 'it is the same column of history');
ALTER TABLE t RENAME v2 TO v;
SELECT is((SELECT array_agg(x.v ORDER BY x.v) FROM (SELECT DISTINCT h.v FROM t__history h) x),
	'{a,a1,b,b1}', 'there and back: no value is lost');

-- Names exchanged, over a third one.
DO $$ BEGIN
	ALTER TABLE t RENAME v TO x;
	ALTER TABLE t RENAME w TO v;
	ALTER TABLE t RENAME x TO w;
END $$;
SELECT follows('t', 'two names exchanged');
SELECT set_has('SELECT id, v, w FROM t__history', $$VALUES (1, 'x', 'a'), (2, 'y', 'b')$$,
	'and old versions'' with them');

-- Keys.
ALTER TABLE t RENAME id TO ident;
SELECT follows('t', 'the key column');
SELECT is(registered('t'), replace(:'t_registered', 'id ', 'ident '), 'the registry knows the key''s new name');
SELECT set_eq('SELECT live_pk FROM t__tracking', 'VALUES (1), (2)', 'the tracking table is as it was');
ALTER TABLE t RENAME ident TO "Key";
SELECT follows('t', 'the key column, to a name that must be quoted');
INSERT INTO t VALUES (3, 'c');
UPDATE t SET "Key" = 4 WHERE "Key" = 3;
SELECT follows('t', 'a key that changes after the renaming');
ALTER TABLE two RENAME b TO bb;
SELECT follows('two', 'one of a composite key');
ALTER TABLE two RENAME a TO b;
SELECT follows('two', 'the other, to the name that the first had');
ALTER TABLE two RENAME c TO a;
SELECT follows('two', 'and one that is not of the key, to the name that one had');
UPDATE two SET b = b + 10, bb = bb || 'x';
SELECT follows('two', 'a composite key that changes after all that');

-- Time and txid columns.
SELECT is(registered('timed'), 'id edition_time txid', 'registered at first');
ALTER TABLE timed RENAME edition_time TO edited;
SELECT follows('timed', 'the time column');
SELECT is(registered('timed'), 'id edited txid', 'the registry knows the time column''s new name');
ALTER TABLE timed RENAME txid TO "Tx id";
SELECT follows('timed', 'the txid column');
SELECT is(registered('timed'), 'id edited Tx id', 'the registry knows the txid column''s new name');
INSERT INTO timed VALUES (3, 'c', '2020-01-01');
UPDATE timed SET v = 'd' WHERE id = 3;
SELECT is((SELECT lower(sys_period) FROM timed__history WHERE id = 3), '2020-01-01',
	'versions start with the renamed time column');
SELECT is((SELECT timed."Tx id" = h.exec_transaction_id FROM timed JOIN timed__history h USING (id)
	WHERE id = 3), true, 'an update writes the renamed txid column');
ALTER TABLE timed RENAME id TO edition_time;
ALTER TABLE timed RENAME v TO txid;
SELECT is(registered('timed'), 'edition_time edited Tx id',
	'their old names mean nothing any more');
SELECT follows('timed', 'old names of the time and txid columns given to others');
-- A table that is tracked without them may have columns of these names.
ALTER TABLE t RENAME edition_time TO other_time;
ALTER TABLE t RENAME txid TO other_txid;
SELECT is(registered('t'), replace(:'t_registered', 'id ', 'Key '),
	'without time column: such a name says nothing to the registry');
SELECT follows('t', 'without time column: such names renamed');

-- Where history uses the new name for a kept column.
SET catmaid_history.on_drop_column = keep;
ALTER TABLE t DROP COLUMN w;
RESET catmaid_history.on_drop_column;
ALTER TABLE t RENAME v TO w_1;
SELECT follows('t', 'to the name of a kept column, which makes room', '{w_2 text}');
SELECT set_has('SELECT "Key", w_1, w_2 FROM t__history',
	$$VALUES (1, 'x', 'a'), (2, 'y', 'b')$$, 'neither loses its values');

-- What depends on columns by itself.
ALTER TABLE t ADD COLUMN g text GENERATED ALWAYS AS (w_1 || '!') STORED, ADD CHECK (w_1 <> 'bad');
CREATE INDEX ON t__history (w_1);
ALTER TABLE t RENAME w_1 TO v;
SELECT follows('t', 'a column that others are generated from', '{w_2 text}');
SELECT refused_whole('ALTER TABLE t RENAME v TO g', '{g}', 'a failed renaming', '42701', '{t}', false);
BEGIN;
UPDATE t SET v = 'before';
ALTER TABLE t RENAME v TO late;
UPDATE t SET late = 'after';
ALTER TABLE t RENAME late TO v;
COMMIT;
SELECT is((SELECT count(*)::int FROM t__history WHERE v = 'before' AND isempty(sys_period)), 3,
	'before and after it in one transaction');
SELECT follows('t', 'and all is complete after that', '{w_2 text}');
SELECT * FROM finish();
