-- Section 5: a text key gets another explicit collation, plain or among others; with a
-- nondeterministic one, by which other values are equal.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(18);

CREATE COLLATION same_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION collation_of(rel regclass, col name) RETURNS text LANGUAGE sql AS
$$ SELECT attcollation::regcollation::text FROM pg_attribute WHERE attrelid = rel AND attname = col $$;

CREATE TABLE t (id text COLLATE "C" PRIMARY KEY, w text, v text);
CREATE TABLE k (a text COLLATE "C", b int, w text, v text, PRIMARY KEY (a, b));
CREATE TABLE above (id varchar(20) COLLATE "C" PRIMARY KEY, w text, v text);
-- (With the key in CREATE TABLE, PostgreSQL 18 refuses to change its type, whoever asks.)
CREATE TABLE below () INHERITS (above);
ALTER TABLE below ADD PRIMARY KEY (id);
SELECT create_history_table(x) FROM unnest('{t,k,below}'::regclass[]) x;
INSERT INTO t VALUES ('a', 'one', 'a'), ('b', 'two', 'a');
INSERT INTO k VALUES ('a', 1, 'one', 'a'), ('a', 2, 'two', 'a');
INSERT INTO above VALUES ('a', 'one', 'a');
INSERT INTO below VALUES ('a', 'two', 'a');
SELECT seen('t', 'k', 'above', 'below');
UPDATE t SET v = 'b' WHERE w = 'one';
UPDATE k SET v = 'b' WHERE w = 'one';
UPDATE above SET v = 'b' WHERE w = 'one';
SELECT seen('t', 'k', 'above', 'below');
ALTER TABLE t ALTER id TYPE text COLLATE "POSIX";
ALTER TABLE k ALTER a TYPE varchar(20) COLLATE "POSIX";
ALTER TABLE above ALTER id TYPE varchar(20) COLLATE "POSIX";
SELECT is(wrong_as_of(x), '', 'from one explicit collation to another: ' || x) FROM unnest('{t,k,above,below}'::text[]) x;
SELECT is(collation_of(x, c), '"POSIX"', 'followed: ' || x)
FROM (VALUES ('t__history', 'id'), ('t__tracking', 'live_pk'), ('k__history', 'a'), ('k__tracking', 'live_pk_1'), ('below__tracking', 'live_pk')) y(x, c);
SELECT is((SELECT indcollation[0]::regcollation::text FROM pg_index WHERE indexrelid = 't__history_live_pk_index'::regclass), '"POSIX"',
	'and the index of history');
UPDATE t SET v = v || 'c';
UPDATE k SET v = v || 'c';
UPDATE above SET v = v || 'c';
SELECT seen('t', 'k', 'above', 'below');
SELECT is(wrong_as_of(x), '', 'and recorded: ' || x) FROM unnest('{t,k,above,below}'::text[]) x;

-- To one by which 'a' and 'A' are equal, and back.
ALTER TABLE t ALTER id TYPE text COLLATE same_case;
UPDATE t SET id = upper(id), v = v || 'd';
SELECT seen('t');
SELECT is(wrong_as_of('t'), '', 'a nondeterministic collation');
SELECT is((SELECT string_agg(live_pk, '' ORDER BY live_pk) COLLATE "C" FROM t__tracking), 'AB', 'the key as it is now');
ALTER TABLE t ALTER id TYPE text COLLATE "C";
UPDATE t SET v = v || 'e';
SELECT is(wrong_as_of('t'), '', 'and back');
SELECT is(string_agg(findings(x), ''), '', 'nothing is found wrong') FROM unnest('{t,k,above,below}'::regclass[]) x;
SELECT * FROM finish();
