-- DROP TYPE and DROP DOMAIN of what the type of a column is made of: a domain over
-- a domain, a range's subtype, the range of a multirange (PostgreSQL 14).  The view
-- stands not in the way and is back; what only histories have kept becomes text.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(15);
SELECT current_setting('server_version_num')::int >= 140000 AS v14 \gset
-- Is the view that of before, made anew?
CREATE FUNCTION tap.note(live text) RETURNS text LANGUAGE sql AS
$$ SELECT obj_description(to_regclass(live || '__with_history')) $$;

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE DOMAIN inner_mood AS mood;
CREATE DOMAIN outer_mood AS inner_mood;
CREATE TABLE t (id int PRIMARY KEY, a outer_mood, v int);
CREATE TABLE u (id int PRIMARY KEY, b moods, v int);
SELECT create_history_table(r) FROM unnest('{t,u}'::text[]) r;
COMMENT ON VIEW t__with_history IS 'mine';
COMMENT ON VIEW u__with_history IS 'mine';
INSERT INTO t VALUES (1, 'sad', 1);
INSERT INTO u VALUES (1, '[sad,sad]', 1);
UPDATE t SET v = 2;
UPDATE u SET v = 2;
DROP DOMAIN inner_mood CASCADE;
SELECT is(columns_of('t'), '{id integer,v integer}', 'control: the domain below a domain takes the column along');
SELECT is(note('t'), 'mine', 'the view is back');
SELECT follows('t', 'and all else followed');
DROP TYPE mood CASCADE;
SELECT is(columns_of('u'), '{id integer,v integer}', 'control: the subtype of a range');
SELECT is(note('u'), 'mine', 'the view is back');
SELECT follows('u', 'and all else followed');

CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE moods AS RANGE (subtype = mood);
CREATE TABLE k (id int PRIMARY KEY, a moods, b moods[]);
SELECT create_history_table('k');
INSERT INTO k VALUES (1, '[sad,happy]', '{"[sad,sad]"}');
UPDATE k SET a = NULL;
ALTER TABLE k ALTER a TYPE int USING 1, ALTER b TYPE int USING 1;
SELECT follows('k', 'other types', '{a_1 moods,b_1 moods[]}');
SELECT lives_ok('DROP TYPE moods', 'a range that only a history has kept');
SELECT results_eq('SELECT a_1, b_1 FROM k__history WHERE a_1 IS NOT NULL', $$VALUES ('[sad,happy]', '{"[sad,sad]"}')$$, 'became text');
SELECT lives_ok('DROP TYPE mood', 'nothing is left of them');

\if :v14
CREATE TYPE floats AS RANGE (subtype = float8, multirange_type_name = many);
CREATE TABLE m (id int PRIMARY KEY, a many, b many[], c many, v int);
SELECT create_history_table('m');
COMMENT ON VIEW m__with_history IS 'mine';
INSERT INTO m VALUES (1, '{[1,2]}', '{"{[1,2]}"}', '{[3,4]}', 1);
UPDATE m SET v = 2;
ALTER TABLE m ALTER a TYPE int USING 1, ALTER b TYPE int USING 1;
ALTER TABLE m DROP c;
SELECT lives_ok('DROP TYPE floats', 'the range of a multirange that only a history has kept');
SELECT results_eq('SELECT a_1, b_1 FROM m__history WHERE id = 1', $$VALUES ('{[1,2]}', '{"{[1,2]}"}')$$, 'became text');
CREATE TYPE floats AS RANGE (subtype = float8, multirange_type_name = many);
ALTER TABLE m ADD c many, ADD d many[];
DROP TYPE floats CASCADE;
SELECT is(note('m'), 'mine', 'of one that a table has, with CASCADE: the view is back');
SELECT is(columns_of('m'), '{id integer,a integer,b integer,v integer}', 'control: the columns have gone');
SELECT follows('m', 'and followed', '{a_1 text,b_1 text}');
\else
SELECT skip('multiranges', 5);
\endif
SELECT * FROM finish();
