-- Section 5, DROP COLUMN: dropped, or kept as <name>_n with the first free n.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(32);

CREATE TABLE t (id int PRIMARY KEY, a text, b text, c int, d int, v text, v_1 text, "Q q" int);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a', 'b', 1, 11, 'v', 'w', 5), (2, 'A', 'B', 2, 22, 'V', 'W', 6);
UPDATE t SET a = a || '2';

SELECT is(current_setting('catmaid_history.on_drop_column'), 'drop', 'the default is to drop');
ALTER TABLE t DROP COLUMN a;
SELECT follows('t', 'DROP COLUMN drops it');
ALTER TABLE t DROP COLUMN IF EXISTS a, DROP COLUMN IF EXISTS b;
SELECT follows('t', 'IF EXISTS, for one that does and one that does not');

SET catmaid_history.on_drop_column = keep;
ALTER TABLE t DROP COLUMN c;
SELECT follows('t', 'keep: DROP COLUMN keeps it as _1', '{c_1 integer}');
SELECT set_has('SELECT id, c_1 FROM t__history', 'VALUES (1, 1), (2, 2)',
	'keep: with its values');
ALTER TABLE t DROP v;
SELECT follows('t', 'keep: the live table''s own v_1 is not free', '{c_1 integer,v_2 text}');
SELECT set_has('SELECT id, v_2, v_1 FROM t__history', 'VALUES (1, ''v'', ''w''), (2, ''V'', ''W'')',
	'keep: neither loses its values');
ALTER TABLE t ADD COLUMN c date DEFAULT '2020-02-02';
SELECT follows('t', 'keep: added again', '{c_1 integer,v_2 text}');
ALTER TABLE t DROP c;
SELECT follows('t', 'keep: and dropped again: _2', '{c_1 integer,c_2 date,v_2 text}');
SELECT set_has('SELECT DISTINCT c_1::text x, c_2::text y FROM t__history',
	$$VALUES ('1', NULL), (NULL, '2020-02-02')$$, 'keep: each with its own values');
ALTER TABLE t DROP "Q q", DROP v_1;
SELECT follows('t', 'keep: two at once, one with an odd name',
	'{c_1 integer,c_2 date,v_2 text,v_1_1 text,Q q_1 integer}');
RESET catmaid_history.on_drop_column;
ALTER TABLE t DROP d;
SELECT follows('t', 'drop again, the kept ones stay',
	'{c_1 integer,c_2 date,v_2 text,v_1_1 text,Q q_1 integer}');

-- A column of history that bears the name of a new one makes room.
ALTER TABLE t ADD COLUMN c_1 text DEFAULT 'mine';
SELECT follows('t', 'a kept column makes room: the next free _n',
	'{c_3 integer,c_2 date,v_2 text,v_1_1 text,Q q_1 integer}');
SELECT is((SELECT count(*)::int FROM t__history WHERE c_1 IS DISTINCT FROM 'mine' AND c_1 IS NOT NULL), 0,
	'its values are not taken for the new one''s');
ALTER TABLE t RENAME c_1 TO c_2;
SELECT follows('t', 'and for a renamed one',
	'{c_3 integer,c_4 date,v_2 text,v_1_1 text,Q q_1 integer}');
SELECT set_has('SELECT DISTINCT to_jsonb(h) ->> ''c_3'' x, to_jsonb(h) ->> ''c_4'' y FROM t__history h',
	$$VALUES ('1', NULL), (NULL, '2020-02-02')$$, 'with all their values');

-- Names without room for _n are clipped, at the border of a character.
CREATE TABLE l (id int PRIMARY KEY);
SELECT create_history_table('l');
SELECT repeat('x', 63) AS x63, repeat('x', 62) || 'y' AS y63, repeat('é', 31) || 'z' AS e63,
	repeat('é', 31) AS e62, 'a' || repeat('é', 31) AS o63 \gset
ALTER TABLE l ADD :"x63" int DEFAULT 1, ADD :"y63" int DEFAULT 2, ADD :"e63" int DEFAULT 3,
	ADD :"e62" int DEFAULT 4, ADD :"o63" int DEFAULT 5;
INSERT INTO l VALUES (1);
SELECT follows('l', 'names as long as can be');
SET catmaid_history.on_drop_column = keep;
ALTER TABLE l DROP :"x63";
SELECT follows('l', 'a long name is clipped', ARRAY[repeat('x', 61) || '_1 integer']);
ALTER TABLE l DROP :"y63";
SELECT follows('l', 'first free n, among clipped names',
	ARRAY[repeat('x', 61) || '_1 integer', repeat('x', 61) || '_2 integer']);
ALTER TABLE l DROP :"e63";
SELECT follows('l', 'no character is cut in two', ARRAY[repeat('x', 61) || '_1 integer',
	repeat('x', 61) || '_2 integer', repeat('é', 30) || '_1 integer']);
ALTER TABLE l DROP :"e62", DROP :"o63";
SELECT follows('l', 'nor here', ARRAY[repeat('x', 61) || '_1 integer', repeat('x', 61) || '_2 integer',
	repeat('é', 30) || '_1 integer', repeat('é', 30) || '_2 integer',
	'a' || repeat('é', 30) || '_1 integer']);
SELECT is((SELECT array_agg(x ORDER BY x) FROM (SELECT DISTINCT ((jsonb_each_text(to_jsonb(h)
	- 'id' - 'sys_period' - 'exec_transaction_id' - 'start_transaction_id')).value)::int FROM l__history h) y(x)
	WHERE x IS NOT NULL), '{1,2,3,4,5}', 'all values are there');
-- n of two digits: one byte less is left of the name.
CREATE TABLE m (id int PRIMARY KEY);
SELECT create_history_table('m');
INSERT INTO m VALUES (1);
DO $$ BEGIN FOR i IN 1..11 LOOP
	EXECUTE format('ALTER TABLE m ADD %I int DEFAULT %s', repeat('x', 63), i);
	UPDATE m SET id = id;
	EXECUTE format('ALTER TABLE m DROP %I', repeat('x', 63));
END LOOP; END $$;
SELECT follows('m', 'eleven long names', (SELECT array_agg(CASE WHEN i < 10 THEN repeat('x', 61)
	ELSE repeat('x', 60) END || '_' || i || ' integer') FROM generate_series(1, 11) i));

-- With an index, a statistics object or a constraint of the site's on history.
CREATE TABLE s (id int PRIMARY KEY, a int, b int);
SELECT create_history_table('s');
CREATE INDEX ON s__history (a);
ALTER TABLE s__history ADD CHECK (b > 0);
INSERT INTO s VALUES (1, 1, 1);
ALTER TABLE s DROP a;
SELECT follows('s', 'keep: a site''s index goes along', '{a_1 integer}');
SELECT is((SELECT count(*)::int FROM pg_index WHERE indrelid = 's__history'::regclass
	AND pg_get_indexdef(indexrelid) LIKE '%(a_1)'), 1, 'keep: it is on the kept column');
RESET catmaid_history.on_drop_column;
ALTER TABLE s DROP b;
SELECT follows('s', 'drop: a site''s constraint goes with the column', '{a_1 integer}');

-- The column goes because of something else that goes: CASCADE then takes the
-- view along where PostgreSQL sees it depend on that, or leaves it fitting.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN posint AS int;
CREATE SCHEMA types;
CREATE TYPE types.pair AS (a int, b int);
CREATE TABLE o (id int PRIMARY KEY, m mood DEFAULT 'sad', p posint DEFAULT 1,
	q types.pair DEFAULT (1, 2), r posint DEFAULT 2, src int DEFAULT 1,
	gen int GENERATED ALWAYS AS (src + 1) STORED);
SELECT create_history_table('o');
INSERT INTO o VALUES (1);
UPDATE o SET id = 1;
ALTER TABLE o DROP src CASCADE;
SELECT follows('o', 'DROP COLUMN … CASCADE takes a generated column along');
DROP TYPE mood CASCADE;
SELECT follows('o', 'DROP TYPE … CASCADE');
SELECT create_history_view_for_table('o');
DROP SCHEMA types CASCADE;
SELECT follows('o', 'DROP SCHEMA … CASCADE of a type''s schema');
SELECT create_history_view_for_table('o');
ALTER TABLE o DROP r;
DROP DOMAIN posint CASCADE;
SELECT follows('o', 'DROP DOMAIN … CASCADE');
SELECT create_history_view_for_table('o');
CREATE DOMAIN posint AS int;
ALTER TABLE o ADD p posint DEFAULT 3;
UPDATE o SET id = 1;
SET catmaid_history.on_drop_column = keep;
DROP DOMAIN posint CASCADE;
SELECT follows('o', 'keep: DROP DOMAIN … CASCADE leaves the kept column, of the base type', '{p_1 integer}');
RESET catmaid_history.on_drop_column;

SELECT throws_ok('SET catmaid_history.on_drop_column = perhaps', '22023', NULL,
	'no other value than drop and keep');
SELECT * FROM finish();
