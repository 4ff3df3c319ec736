-- Section 4 and 5: a migration by hand, step by step as authors of migrations have
-- always written it, needs no change: a disabled table is left alone.  Each kind of
-- column change, a table that goes, one that comes, one that is renamed.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(49);

-- The first half of the procedure, and the second one.
CREATE PROCEDURE tap.stop(t text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT disable_history_tracking_for_table(%1$L::regclass,
		get_history_table_name(%1$L::regclass))', t);
	EXECUTE format('SELECT drop_history_view_for_table(%L::regclass)', t);
END $$;
CREATE PROCEDURE tap.go_on(t text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT create_history_view_for_table(%L::regclass)', t);
	EXECUTE format('SELECT enable_history_tracking_for_table(%1$L::regclass,
		get_history_table_name(%1$L::regclass), FALSE)', t);
END $$;

-- One change of both tables by hand, in one transaction as migrations are, and in
-- transactions of its own for each step.
CREATE FUNCTION tap.by_hand(t text, what text, live text, history text, kept text[] DEFAULT '{}')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	columns text[];
	n bigint;
	m bigint;
BEGIN
	CALL tap.stop(t);
	RETURN NEXT tap.is(to_regclass(t || '__with_history') IS NULL, true, t || ', ' || what || ': the view is gone');
	columns := tap.columns_of((t || '__history')::regclass);
	EXECUTE live;
	RETURN NEXT tap.is(tap.columns_of((t || '__history')::regclass), columns, t || ', ' || what || ': nothing is followed');
	EXECUTE history;
	EXECUTE format('SELECT count(*) FROM %s__history', t) INTO n;
	EXECUTE format('UPDATE %s SET id = id', t);
	EXECUTE format('SELECT count(*) FROM %s__history', t) INTO m;
	RETURN NEXT tap.is(m, n, t || ', ' || what || ': nothing is recorded');
	CALL tap.go_on(t);
	RETURN NEXT tap.follows(t::regclass, t || ', ' || what || ': all is recorded again', kept);
END $$;

CREATE TABLE node (id bigint PRIMARY KEY, name text, n int, size real, score text,
	edition_time timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE stack (id bigint PRIMARY KEY, name text, n int, size real, score text);
SELECT create_history_table('node'::regclass, 'edition_time', 'txid');
SELECT create_history_table('stack'::regclass);
INSERT INTO node VALUES (1, 'a', 1, 1.5, '7'), (2, 'b', 2, 2.5, '8');
INSERT INTO stack VALUES (1, 'a', 1, 1.5, '7'), (2, 'b', 2, 2.5, '8');
UPDATE node SET name = name || '!';
UPDATE stack SET name = name || '!';

SELECT by_hand(t, 'a column is added', format('ALTER TABLE %s ADD extra int', t),
	format('ALTER TABLE %s__history ADD extra int', t)) FROM unnest('{node,stack}'::text[]) t;
SELECT by_hand(t, 'a column is removed', format('ALTER TABLE %s DROP n', t),
	format('ALTER TABLE %s__history DROP n', t)) FROM unnest('{node,stack}'::text[]) t;
SELECT by_hand(t, 'a column is renamed', format('ALTER TABLE %s RENAME name TO title', t),
	format('ALTER TABLE %s__history RENAME name TO title', t)) FROM unnest('{node,stack}'::text[]) t;
SELECT is((SELECT array_agg(DISTINCT title ORDER BY title)::text FROM stack__history), '{a,a!,b,b!}', 'old values stay');
SELECT by_hand(t, 'a type changes without loss', format('ALTER TABLE %s ALTER size TYPE double precision', t),
	format('ALTER TABLE %s__history ALTER size TYPE double precision', t)) FROM unnest('{node,stack}'::text[]) t;
SELECT by_hand(t, 'a type changes, the original is kept', format('ALTER TABLE %s ALTER score TYPE int USING score::int', t),
	format('ALTER TABLE %s__history RENAME score TO score_1; ALTER TABLE %1$s__history ADD score int;
		UPDATE %1$s__history SET score = score_1::int', t), '{score_1 text}') FROM unnest('{node,stack}'::text[]) t;
SELECT is((SELECT array_agg(DISTINCT score ORDER BY score)::text FROM node__history), '{7,8}', 'old values are converted, too');

-- What was forgotten in the history table: a column is added, another type refused.
CALL stop('stack');
ALTER TABLE stack ADD forgotten int DEFAULT 4, ALTER score TYPE text;
SELECT refused($$SELECT enable_history_tracking_for_table('stack'::regclass, get_history_table_name('stack'::regclass), FALSE)$$,
	'{score,integer,text}', 'a type that was forgotten is refused');
ALTER TABLE stack__history ALTER score TYPE text;
SELECT enable_history_tracking_for_table('stack'::regclass, get_history_table_name('stack'::regclass), FALSE);
SELECT create_history_view_for_table('stack'::regclass);
SELECT follows('stack', 'a column that was forgotten is added', '{score_1 text}');

-- A live table is renamed.
CALL stop('stack');
ALTER TABLE stack RENAME TO pile;
SELECT is(history_table_name('pile'::regclass), 'pile__history', 'the name that its history must get');
SELECT ok(to_regclass('stack__history') IS NOT NULL, 'which it did not get by itself');
ALTER TABLE stack__history RENAME TO pile__history;
ALTER TABLE stack__tracking RENAME TO pile__tracking;
CALL go_on('pile');
SELECT follows('pile', 'a table that was renamed', '{score_1 text}');

-- A table is removed.
CALL stop('pile');
SELECT drop_history_table('pile'::regclass);
DROP TABLE pile;
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname ~ '^(pile|stack)'), 0, 'a table that was removed leaves nothing');

-- A table is added.
CREATE TABLE added (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
SELECT create_history_table( 'added'::regclass,  'edition_time', 'txid' );
INSERT INTO added VALUES (1);
SELECT follows('added', 'a table that was added');
SELECT * FROM finish();
