-- Section 10: restore_tables, tables are brought back to what they were.
\ir lib/start.psql
CREATE EXTENSION catmaid_history;
SELECT plan(28);

-- "table key action conflict, ..."; an error is its SQLSTATE and detail.
CREATE FUNCTION tap.back(tables regclass[], as_of timestamptz, keys jsonb[] DEFAULT NULL, how text DEFAULT 'error', dry boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; BEGIN
	SELECT string_agg(concat_ws(' ', live_table, (SELECT string_agg(k.value, ':') FROM jsonb_each_text(key) k), left(action, 1), conflict), ', ' ORDER BY live_table::text, key)
		INTO said FROM restore_tables(tables, as_of, keys, how, dry);
	RETURN coalesce(said, '');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || SQLERRM || ' ' || said;
END $$;
CREATE FUNCTION tap.rows(tbl regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE said text; BEGIN
	EXECUTE format('SELECT string_agg((SELECT string_agg(v.value, '':'' ORDER BY v.n) FROM json_each_text(row_to_json(t)) WITH ORDINALITY v (key, value, n) WHERE v.key NOT IN (''edited'', ''txid'')), '', '' ORDER BY t::text) FROM %s t', tbl) INTO said;
	RETURN coalesce(said, '');
END $$;

CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE kid (id int PRIMARY KEY, par int REFERENCES par, v text, edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE FUNCTION tap.edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.edited = now(); RETURN NEW; END $$;
CREATE TRIGGER edit BEFORE UPDATE ON kid FOR EACH ROW EXECUTE FUNCTION edit();
SELECT create_history_table('par'), create_history_table('kid', 'edited', 'txid');
INSERT INTO par VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO kid VALUES (1, 1, 'a'), (2, 2, 'b');
SELECT clock_timestamp() AS friday \gset
UPDATE par SET v = 'x' WHERE id = 1;
INSERT INTO par VALUES (4, 'd');
UPDATE kid SET par = 4 WHERE id = 1;
DELETE FROM kid WHERE id = 2;
DELETE FROM par WHERE id = 2;
INSERT INTO kid VALUES (3, 4, 'c');
SELECT clock_timestamp() AS monday \gset
SELECT is(back('{par,kid}', :'friday', dry => true), 'kid 1 U, kid 2 I, kid 3 D, par 1 U, par 2 I, par 4 D', 'a dry run says what it would do');
SELECT is(rows('par') || '; ' || rows('kid'), '1:x, 3:c, 4:d; 1:4:a, 3:4:c', '... and does nothing');
SELECT is(back('{par}', :'friday'), '55000 nothing was done, as 1 rows are in conflict table par, key {"id": 4}: a row of table "kid" refers to it (constraint "kid_par_fkey")', 'of one table');
SELECT is(back('{kid}', :'friday', how => 'skip', dry => true), 'kid 1 U, kid 2 s it refers to a row of table "par" that is not there (constraint "kid_par_fkey"), kid 3 D', 'of the other one');
SELECT is(back('{par,kid}', :'friday'), 'kid 1 U, kid 2 I, kid 3 D, par 1 U, par 2 I, par 4 D', 'of both');
SELECT is(rows('par') || '; ' || rows('kid'), '1:a, 2:b, 3:c; 1:1:a, 2:2:b', 'as they were');
SELECT is(back('{par,kid}', :'friday'), '', 'once more: there is nothing to do');
SELECT is(back('{par,kid}', :'monday'), 'kid 1 U, kid 2 D, kid 3 I, par 1 U, par 2 D, par 4 I', 'and forth');
SELECT is(rows('par') || '; ' || rows('kid'), '1:x, 3:c, 4:d; 1:4:a, 3:4:c', 'as they were then');

-- Some rows.
SELECT is(back('{par}', :'friday', ARRAY['{"id": 1}', '{"id": 3}']::jsonb[]), 'par 1 U', 'some rows');
SELECT is(rows('par'), '1:a, 3:c, 4:d', '... and no others');
SELECT is(back('{par,kid}', :'friday', ARRAY['{"id": 1}']::jsonb[]), '22023 "keys" takes one table ', 'of one table');
SELECT is(back('{par}', :'friday', ARRAY['{"no": 1}']::jsonb[]), '22023 "keys" contains what is no key of table "par" ', 'another column');
SELECT is(back('{par}', :'friday', ARRAY['{"id": null}']::jsonb[]), '22023 "keys" contains what is no key of table "par" ', 'no value');
SELECT is(back('{par}', :'friday', ARRAY['[1]']::jsonb[]), '22023 "keys" contains what is no key of table "par" ', 'no object');

-- A hierarchy: rows come back into the table that held them.
CREATE TABLE place (id int PRIMARY KEY, v text);
CREATE TABLE node (PRIMARY KEY (id), w int) INHERITS (place);
SELECT create_history_table('node');
INSERT INTO place VALUES (1, 'a');
INSERT INTO node VALUES (2, 'b', 7);
SELECT clock_timestamp() AS friday \gset
DELETE FROM place;
SELECT is(back('{place}', :'friday'), 'node 2 I, place 1 I', 'a parent with its children');
SELECT is(rows('node'), '2:b:7', 'whole');

-- What cannot be known.
SELECT is(back('{place}', 'infinity'), '22023 "as_of" is in the future ', 'the future');
SELECT is(back('{place}', NULL), '22004 "tables" and "as_of" must not be null ', 'no instant');
CREATE TABLE started (id int PRIMARY KEY, v text, edited timestamptz, txid bigint);
SELECT create_history_table('started', 'edited', 'txid');
SELECT clock_timestamp() AS friday \gset
INSERT INTO started VALUES (1, 'a', NULL, NULL), (2, 'b', NULL, NULL);
DELETE FROM started WHERE id = 2;
SELECT is(back('{started}', :'friday', how => 'force'), 'started 1 s it is not known what was there, started 2 s it is not known what was there', 'an unknown start, with force too');

-- Before the history begins, and pauses.
SELECT alike(back('{place}', '2001-01-01', how => 'force'), 'node 2 s it is not known what was there: the history begins at %', 'before the history begins');
CREATE TABLE paused (id int PRIMARY KEY, v text);
SELECT create_history_table('paused');
INSERT INTO paused VALUES (1, 'a'), (2, 'b');
BEGIN; SELECT txid_current() AS early \gset
UPDATE paused SET v = 'x'; COMMIT;
SELECT clock_timestamp() AS friday \gset
UPDATE paused SET v = 'y' WHERE id = 1;
SELECT disable_history_tracking_for_table('paused');
UPDATE paused SET v = 'unseen' WHERE id = 2;
SELECT enable_history_tracking_for_table('paused');
SELECT alike(back('{paused}', :'friday', how => 'force'), 'paused 1 s it is not known what was there: nothing was recorded from %', 'before a pause');
SELECT is((SELECT string_agg(concat_ws(' ', key ->> 'id', action, left(conflict, 57)), ', ' ORDER BY key) FROM undo_transactions(ARRAY[:early], on_conflict => 'force')),
	'1 skip it is not known what was there: nothing was recorded from, 2 skip it is not known what was there: nothing was recorded from', 'a transaction before a pause, with force too');
SELECT is(rows('paused'), '1:y, 2:unseen', 'nothing was done');
SELECT clock_timestamp() AS friday \gset
UPDATE paused SET v = 'z';
SELECT is(back('{paused}', :'friday'), 'paused 1 U, paused 2 U', 'after it');
SELECT is(rows('paused'), '1:y, 2:unseen', 'as it was');

-- In a transaction that only reads, a dry run judges.
BEGIN READ ONLY;
SELECT is(back('{place}', :'friday', dry => true), '', 'a dry run where nothing can be written');
SELECT throws_ok(format('SELECT * FROM restore_tables(''{place}'', %L)', :'friday'), '25006', NULL, 'and no other');
COMMIT;
SELECT finish();
