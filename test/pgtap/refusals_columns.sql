-- Sections 1, 2 and 6: columns and names that do not fit are refused before
-- anything is made.
\ir lib/hostile.psql
CREATE EXTENSION catmaid_history;
SELECT plan(57);

CREATE TABLE t (id int PRIMARY KEY, "Edited" timestamptz, edited timestamptz,
	edited_local timestamp, edited_day date, edited_text text,
	edited_many timestamptz[], tx bigint, tx_int int, tx_num numeric,
	tx_xid xid8, tx_gen bigint GENERATED ALWAYS AS (1) STORED, gone timestamptz);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t (id) VALUES (1);

CREATE FUNCTION tap.badly(time_col text, tx_col text, words text[],
	test_name text) RETURNS text LANGUAGE sql AS $$
	SELECT tap.refused(format('SELECT create_history_table(''t'', %L, %L)',
		time_col, tx_col), words, test_name) $$;
SELECT tap.catalog() AS before \gset

SELECT badly('edited', NULL, '{t}', 'only a time column');
SELECT badly(NULL, 'tx', '{t}', 'only a txid column');
SELECT badly('nowhere', 'tx', '{t,nowhere}', 'a time column that is not there');
SELECT badly('edited', 'nowhere', '{t,nowhere}', 'a txid column that is not there');
SELECT badly('EDITED', 'tx', '{t,EDITED}', 'a time column in other letters');
SELECT badly('"Edited"', 'tx', '{t}', 'a time column with quotes about it');
SELECT badly('', 'tx', '{t}', 'an empty time column');
SELECT badly('edited', '', '{t}', 'an empty txid column');
SELECT badly('', '', '{t}', 'both empty');
SELECT badly('........pg.dropped.13........', 'tx', '{t}', 'a dropped column');
SELECT badly('xmin', 'tx', '{t,xmin}', 'a system column as time');
SELECT badly('edited', 'xmin', '{t,xmin}', 'a system column as txid');
SELECT badly('edited', 'tableoid', '{t,tableoid}', 'tableoid as txid');
SELECT badly('edited_local', 'tx', '{t,edited_local}', 'timestamp without zone');
SELECT badly('edited_day', 'tx', '{t,edited_day}', 'a date');
SELECT badly('edited_text', 'tx', '{t,edited_text}', 'a text');
SELECT badly('edited_many', 'tx', '{t,edited_many}', 'an array of times');
SELECT badly('tx', 'edited', '{t}', 'the two changed over');
SELECT badly('edited', 'edited', '{t,edited}', 'one column for both');
SELECT badly('edited', 'tx_int', '{t,tx_int}', 'an integer for the txid');
SELECT badly('edited', 'tx_num', '{t,tx_num}', 'a numeric for the txid');
SELECT badly('edited', 'tx_xid', '{t,tx_xid}', 'an xid8 for the txid');
SELECT badly('edited', 'tx_gen', '{t,tx_gen}',
	'a generated txid column, into which no update could write');
SELECT unchanged(:'before', 'nothing is left behind');
SELECT allowed('SELECT create_history_table(''t'', ''Edited'', ''tx'')',
	'a mixed-case time column is taken as it is');
SELECT lives_ok('UPDATE t SET edited_text = ''x''', 'and updates go on');
SELECT is((SELECT count(*) FROM t__history WHERE upper(sys_period) IS NOT NULL),
	1::bigint, 'and are recorded');

-- Columns of ours.
CREATE TABLE has_period (id int PRIMARY KEY, sys_period tstzrange);
CREATE TABLE has_tx (id int PRIMARY KEY, exec_transaction_id bigint);
CREATE TABLE key_is_period (sys_period int PRIMARY KEY);
CREATE TABLE near ("Sys_Period" int PRIMARY KEY, sys_periods int);
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''has_period'')',
	'{has_period,sys_period}', 'a live column sys_period');
SELECT refused('SELECT create_history_table(''has_tx'')',
	'{has_tx,exec_transaction_id}', 'a live column exec_transaction_id');
SELECT refused('SELECT create_history_table(''key_is_period'')',
	'{key_is_period,sys_period}', 'a key sys_period, of another type');
SELECT unchanged(:'before', 'nothing is left behind');
SELECT allowed('SELECT create_history_table(''near'')', 'names near to them are fine');

-- Names in bytes: 63 less "__with_history".
SELECT repeat('n', 49) AS fits, repeat('n', 50) AS long, repeat('x', 63) AS longest,
	repeat('é', 24) || 'n' AS fits_utf8, repeat('é', 25) AS long_utf8 \gset
CREATE TABLE :"fits" (id int PRIMARY KEY, a text);
CREATE TABLE :"long" (id int PRIMARY KEY);
CREATE TABLE :"longest" (id int PRIMARY KEY);
CREATE TABLE :"fits_utf8" (id int PRIMARY KEY, a text);
CREATE TABLE :"long_utf8" (id int PRIMARY KEY);
SELECT tap.catalog() AS before \gset
SELECT refused(format('SELECT create_history_table(%L)', :'long'),
	ARRAY[:'long'], '50 bytes: too long');
SELECT refused(format('SELECT create_history_table(%L)', :'longest'),
	ARRAY[:'longest'], '63 bytes: too long');
SELECT refused(format('SELECT create_history_table(%L)', :'long_utf8'),
	ARRAY[:'long_utf8'], '25 letters, 50 bytes: too long');
SELECT ok((SELECT message || hint ~ '\m49\M' FROM attempt(format(
	'SELECT create_history_table(%L)', :'long'))),
	'the longest length allowed is named');
SELECT unchanged(:'before', 'nothing is left behind');
SELECT allowed(format('SELECT create_history_table(%L)', :'fits'),
	'49 bytes: allowed');
SELECT allowed(format('SELECT create_history_table(%L)', :'fits_utf8'),
	'49 bytes in 25 letters: allowed');
INSERT INTO :"fits" VALUES (1, 'a');
UPDATE :"fits" SET a = 'b';
SELECT format('SELECT is((SELECT string_agg(a, '','' ORDER BY a) FROM %I),
	''a,b'', ''its view has the whole name'')', :'fits' || '__with_history') \gexec
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = (
	SELECT history_table FROM catmaid_history_table
	WHERE live_table = to_regclass(r))), 3::bigint, 'its indexes are clipped: '
	|| octet_length(r) || ' bytes in ' || length(r))
FROM unnest(ARRAY[:'fits', :'fits_utf8']) r;

-- Names already taken.
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE a__history (mine text);
CREATE TABLE b (id int PRIMARY KEY, v text);
CREATE VIEW b__history AS SELECT 1 AS mine;
CREATE TABLE c (id int PRIMARY KEY, v text);
CREATE SEQUENCE c__history;
CREATE TABLE d (id int PRIMARY KEY, v text);
CREATE SEQUENCE d__tracking;
CREATE TABLE e (id int PRIMARY KEY, v text);
CREATE TABLE e__with_history (mine text);
CREATE TABLE f (id int PRIMARY KEY, v text);
CREATE TABLE f__history (LIKE f);
ALTER TABLE f__history ADD sys_period tstzrange NOT NULL,
	ADD exec_transaction_id bigint NOT NULL, ADD surplus text NOT NULL;
CREATE TABLE g (id int PRIMARY KEY, v text);
CREATE TYPE g__history AS ENUM ('mine');
INSERT INTO a__history VALUES ('kept');
INSERT INTO e__with_history VALUES ('kept');
SELECT tap.catalog() AS before \gset
SELECT refused('SELECT create_history_table(''a'')', '{a__history}',
	'history name taken by a table');
SELECT refused('SELECT create_history_table(''b'')', '{b__history}',
	'history name taken by a view');
SELECT refused('SELECT create_history_table(''c'')', '{c__history}',
	'history name taken by a sequence');
SELECT refused('SELECT create_history_table(''d'')', '{d__tracking}',
	'tracking name taken by a sequence');
SELECT refused('SELECT create_history_table(''e'')', '{e__with_history}',
	'view name taken by a table');
SELECT refused('SELECT create_history_table(''f'')', '{f__history}',
	'history name taken by a table that only looks like one');
SELECT refused('SELECT create_history_table(''g'')', '{g__history}',
	'history name taken by a type');
SELECT unchanged(:'before', 'nothing is left behind');
SELECT is((SELECT string_agg(mine, ',') FROM a__history), 'kept',
	'the table in the way is untouched');
SELECT is((SELECT string_agg(mine, ',') FROM e__with_history), 'kept',
	'and so is the one in the view''s place');
DROP TABLE a__history, e__with_history;
DROP VIEW b__history;
DROP SEQUENCE c__history, d__tracking;
SELECT allowed(format('SELECT create_history_table(%L)', r),
	'with its name free the table is taken: ' || r)
FROM unnest('{a,b,c,d,e}'::text[]) r;

SELECT * FROM finish();
