-- Section 5: the key's type changes.  Each row keeps its start, where the new key can
-- be told from the old one; otherwise it is unknown, never now.  The oracle is what
-- the table showed before.
\ir lib/key_oracle.psql
CREATE EXTENSION catmaid_history;
SELECT plan(78);

-- A table of two rows for each change, the first of them updated; then the change, and an
-- update and a deletion afterwards.
CREATE FUNCTION begin_case(name text, type text, one text, two text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (id %s PRIMARY KEY, w text, v text)', name, type);
	PERFORM create_history_table(name::regclass);
	EXECUTE format('INSERT INTO %I VALUES (%L, ''one'', ''a''), (%L, ''two'', ''a'')', name, one, two);
END $$;
CREATE TABLE changes (name text, type text, one text, two text, change text, unknown text);
INSERT INTO changes VALUES
	('date_timestamp', 'date', '2020-01-01', '2020-01-02', 'ALTER id TYPE timestamp', ''),
	('timestamp_timestamptz', 'timestamp', '2020-01-01', '2020-01-02', 'ALTER id TYPE timestamptz', ''),
	('timestamptz_date', 'timestamptz', '2020-01-01 23:59:59.9', '2020-01-03', 'ALTER id TYPE date', ''),
	('int_numeric', 'int', '1', '2', 'ALTER id TYPE numeric(12,2)', ''),
	('numeric_rounded', 'numeric(6,2)', '1.25', '2.50', 'ALTER id TYPE numeric(6,0)', ''),
	('real_double', 'real', '0.1', '0.2', 'ALTER id TYPE double precision', ''),
	('int_bigint', 'int', '1', '2', 'ALTER id TYPE bigint', ''),
	('bigint_smallint', 'bigint', '1', '2', 'ALTER id TYPE smallint', ''),
	('text_uuid', 'text', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{a0eebc999c0b4ef8bb6d6bb9bd380a12}', 'ALTER id TYPE uuid USING id::uuid', ''),
	('varchar_int', 'varchar', '007', '08', 'ALTER id TYPE int USING id::int', ''),
	('char_text', 'char(4)', 'a', 'b', 'ALTER id TYPE text', ''),
	('text_bytea', 'text', 'a', 'b', 'ALTER id TYPE bytea USING convert_to(id, ''UTF8'')', ''),
	('bool_int', 'bool', 'true', 'false', 'ALTER id TYPE int USING CASE WHEN id THEN 7 ELSE 8 END', ''),
	('computed', 'int', '1', '2', 'ALTER id TYPE int USING id * 10', ''),
	('turned', 'int', '1', '2', 'ALTER id TYPE int USING 3 - id', ''),
	('qualified', 'int', '1', '2', 'ALTER id TYPE int USING qualified.id + 1', ''),
	('typmod', 'varchar(40)', 'a', 'b', 'ALTER id TYPE varchar(100)', ''),
	('shorter', 'varchar(40)', 'abcdef', 'bcdefg', 'ALTER id TYPE varchar(3) USING left(id, 3)', ''),
	('domain', 'int', '1', '2', 'ALTER id TYPE positive', ''),
	('with_others', 'int', '1', '2', 'ALTER id TYPE text USING id || ''!'', ADD x int DEFAULT 1, DROP IF EXISTS y, ALTER v SET DEFAULT ''z''', ''),
	('by_other', 'int', '1', '2', 'ALTER id TYPE text USING id || w', 'one,two'),
	('random', 'int', '1', '2', 'ALTER id TYPE uuid USING gen_random_uuid()', 'one,two'),
	('numbered', 'int', '1', '2', 'ALTER id TYPE int USING nextval(''numbers'')', 'one,two');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE SEQUENCE numbers;
SELECT begin_case(name, type, one, two) FROM changes;
SELECT seen(VARIADIC array_agg(name)) FROM changes;
SELECT format('UPDATE %I SET v = ''b'' WHERE w = ''one''', name) FROM changes \gexec
SELECT seen(VARIADIC array_agg(name)) FROM changes;
SELECT format('ALTER TABLE %I %s', name, change) FROM changes \gexec
SELECT seen(VARIADIC array_agg(name)) FROM changes;
SELECT is(starts_unknown(name), unknown, name || ': which starts are unknown') FROM changes;
SELECT is(wrong_as_of(name), '', name || ': the past as it was') FROM changes WHERE unknown = '';
SELECT format('UPDATE %I SET v = ''c''', name) FROM changes \gexec
SELECT seen(VARIADIC array_agg(name)) FROM changes;
SELECT format('DELETE FROM %I WHERE w = ''two''', name) FROM changes \gexec
SELECT seen(VARIADIC array_agg(name)) FROM changes;
SELECT is(wrong_as_of(name), '', name || ': and after changes of the rows') FROM changes WHERE unknown = '';

-- What is unknown is (,end) in history, and known from the next change on; a sync makes
-- it no time of its own.
SELECT is((SELECT array_agg(lower_inf(sys_period) ORDER BY v) FROM random__history WHERE v <> 'a'),
	'{t,f}', 'an unknown start is one in history; the next version is known');
SELECT sync_tracking_table('by_other', 'by_other__tracking') \g /dev/null
SELECT is((SELECT count(*)::int FROM by_other__tracking), 1, 'a sync leaves as many as there are');
SELECT is((SELECT array_agg(id IS NULL) FROM random__history WHERE w = 'one' AND v = 'a'), '{t}',
	'volatile: no version from before has a key that no row had');
SELECT is((SELECT array_agg(id_1) FROM numbered__history WHERE w = 'one' AND v = 'a'), '{1}',
	'and the originals are kept');

-- In one transaction, with writes before and after; rolled back; in a subtransaction.
CREATE TABLE tx (id date PRIMARY KEY, w text, v text);
SELECT create_history_table('tx');
INSERT INTO tx VALUES ('2020-01-01', 'one', 'a'), ('2020-01-02', 'two', 'a');
SELECT seen('tx');
BEGIN;
UPDATE tx SET v = 'b' WHERE w = 'one';
ALTER TABLE tx ALTER id TYPE timestamp;
UPDATE tx SET v = v || 'c';
SAVEPOINT s;
ALTER TABLE tx ALTER id TYPE text;
UPDATE tx SET v = v || 'lost';
ROLLBACK TO s;
INSERT INTO tx VALUES ('2020-01-03 12:00', 'three', 'a');
COMMIT;
SELECT seen('tx');
UPDATE tx SET v = v || 'd';
SELECT is(wrong_as_of('tx'), '', 'in one transaction with writes');
SELECT is((SELECT string_agg(v || isempty(sys_period), ' ' ORDER BY w, v) FROM tx__history WHERE v IN ('b', 'bc')), 'btrue bcfalse',
	'what came in between has no period');
SELECT is(findings('tx'), '', 'and nothing is wrong');

-- Several columns, that take each other's values.
CREATE TABLE pair (a int, b int, w text, v text, PRIMARY KEY (a, b));
SELECT create_history_table('pair');
INSERT INTO pair VALUES (1, 2, 'one', 'a'), (2, 1, 'two', 'a');
SELECT seen('pair');
UPDATE pair SET v = 'b' WHERE w = 'two';
SELECT seen('pair');
ALTER TABLE pair ALTER a TYPE bigint USING b, ALTER b TYPE text USING a || 'x';
UPDATE pair SET v = v || 'c';
SELECT seen('pair');
SELECT is(wrong_as_of('pair'), '', 'two columns that take each other''s values');
ALTER TABLE pair ALTER b TYPE int USING random() * 1e9;
UPDATE pair SET v = v || 'd';
SELECT seen('pair');
SELECT is(wrong_as_of('pair'), '', 'one of two columns that cannot be told, and the other one can');
UPDATE pair SET v = v || 'e' WHERE w = 'one';
ALTER TABLE pair ALTER b TYPE text USING gen_random_uuid(), ALTER a TYPE int USING 7;
SELECT is(starts_unknown('pair'), 'one,two', 'the other one does not tell enough');

-- A type of the owner's, whose cast is a function of his.
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE painted (id colour PRIMARY KEY, w text, v text);
SELECT create_history_table('painted');
INSERT INTO painted VALUES ('red', 'one', 'a'), ('green', 'two', 'a');
SELECT seen('painted');
ALTER TABLE painted ALTER id TYPE text;
UPDATE painted SET v = 'b';
CREATE TYPE paint AS ENUM ('green', 'red', 'blue');
SELECT seen('painted');
ALTER TABLE painted ALTER id TYPE paint USING id::paint;
UPDATE painted SET v = 'c';
SELECT is(wrong_as_of('painted'), '', 'from one enum to another by text');
DROP TYPE colour;

-- Partitions and children.
CREATE TABLE part (id int, w text, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
SELECT create_history_table('part');
CREATE TABLE keyed (id int, n int, w text, v text, PRIMARY KEY (id, n)) PARTITION BY RANGE (n);
CREATE TABLE keyed_1 PARTITION OF keyed FOR VALUES FROM (0) TO (10);
CREATE TABLE keyed_2 PARTITION OF keyed FOR VALUES FROM (10) TO (20);
SELECT create_history_table('keyed');
INSERT INTO keyed VALUES (1, 1, 'one', 'a'), (1, 11, 'two', 'a');
SELECT seen('keyed');
UPDATE keyed SET v = 'b' WHERE w = 'one';
SELECT seen('keyed');
ALTER TABLE keyed ALTER id TYPE text USING id || '.';
UPDATE keyed SET v = v || 'c', n = 12 WHERE w = 'one';
SELECT seen('keyed');
SELECT is(wrong_as_of('keyed'), '', 'partitions');

CREATE TABLE above (id int PRIMARY KEY, w text, v text);
-- (With the key in CREATE TABLE, PostgreSQL 18 refuses to change its type, whoever asks.)
CREATE TABLE below (x int) INHERITS (above);
ALTER TABLE below ADD PRIMARY KEY (id);
CREATE TABLE beside (x int, PRIMARY KEY (x)) INHERITS (above);
SELECT create_history_table('below'), create_history_table('beside');
INSERT INTO above VALUES (1, 'one', 'a');
INSERT INTO below VALUES (2, 'two', 'a', 1);
INSERT INTO beside VALUES (2, 'three', 'a', 1);
SELECT seen('above', 'below', 'beside');
UPDATE above SET v = 'b';
SELECT seen('above', 'below', 'beside');
ALTER TABLE above ALTER id TYPE text USING id || '!';
SELECT is(wrong_as_of('above') || wrong_as_of('below') || wrong_as_of('beside'), '', 'a hierarchy');
ALTER TABLE beside ALTER x TYPE date USING date '2020-01-01' + x;
UPDATE above SET v = v || 'c';
UPDATE beside SET v = v || 'd';
SELECT seen('above', 'below', 'beside');
SELECT is(wrong_as_of('above') || wrong_as_of('below') || wrong_as_of('beside'), '', 'a child''s own key');

SELECT is(string_agg(findings(name::regclass), ''), '', 'nothing is found wrong')
FROM (SELECT name FROM changes UNION SELECT unnest('{pair,painted,keyed,above,below,beside}'::text[])) x;
SELECT * FROM finish();
