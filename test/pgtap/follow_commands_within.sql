-- Section 5: a command that runs others within itself (in an event trigger that
-- fires before ours, in a function of USING) is followed as any other is.
\ir lib/follow.psql
CREATE EXTENSION catmaid_history;
SELECT plan(22);

CREATE TABLE t (id int PRIMARY KEY, a text, d int);
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (PRIMARY KEY (id), w int) INHERITS (parent);
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE TABLE gone (id int PRIMARY KEY);
CREATE TABLE other (id int);
SELECT create_history_table('t'), create_history_table('child'), create_history_table('parts'),
	create_history_table('gone');
INSERT INTO t VALUES (1, 'x', 3), (2, 'yy', 4);
INSERT INTO child VALUES (1, 'v', 3);
INSERT INTO parts VALUES (1, 'a'), (11, 'b');
UPDATE t SET d = 5;

-- Event triggers before and after ours, of all three events.
CREATE FUNCTION also() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	also text;
BEGIN
	IF current_setting('test.within', true) = 'yes' THEN
		RETURN;
	END IF;
	PERFORM set_config('test.within', 'yes', true);
	COMMENT ON TABLE public.other IS 'seen';
	ALTER TABLE public.other ADD x int;
	ALTER TABLE public.other DROP x;
	-- once: the follower's own commands come by here, too
	IF current_setting('test.also', true) <> '' AND
		tg_event = current_setting('test.event') AND tg_tag = 'ALTER TABLE' THEN
		also := current_setting('test.also');
		PERFORM set_config('test.also', '', false);
		EXECUTE also;
	END IF;
	PERFORM set_config('test.within', '', true);
END $$;
SET test.event = 'ddl_command_end';
CREATE EVENT TRIGGER a_end ON ddl_command_end EXECUTE FUNCTION also();
CREATE EVENT TRIGGER a_drop ON sql_drop EXECUTE FUNCTION also();
CREATE EVENT TRIGGER a_start ON ddl_command_start EXECUTE FUNCTION also();
CREATE EVENT TRIGGER z_end ON ddl_command_end EXECUTE FUNCTION also();
CREATE EVENT TRIGGER z_drop ON sql_drop EXECUTE FUNCTION also();
CREATE EVENT TRIGGER z_start ON ddl_command_start EXECUTE FUNCTION also();

ALTER TABLE t ADD b int DEFAULT 7;
SELECT follows('t', 'a column added');
ALTER TABLE t ALTER a TYPE int USING length(a), DROP d, ADD e int DEFAULT 7;
SELECT follows('t', 'a type with USING, a column dropped, one added', '{a_1 text}');
SELECT is((SELECT array_agg(DISTINCT concat(a, a_1) ORDER BY concat(a, a_1)) FROM t__history WHERE a_1 IS NOT NULL),
	'{1x,2yy}', 'the USING expression was used');
ALTER TABLE t RENAME b TO bb;
SELECT follows('t', 'a column renamed', '{a_1 text}');
ALTER TABLE t RENAME TO tt;
SELECT follows('tt', 'a table renamed', '{a_1 text}');
ALTER TABLE tt DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, e);
SELECT follows('tt', 'another key', '{a_1 text}');
ALTER TABLE parent ADD p int DEFAULT 1;
SELECT follows('child', 'a column of the parent');
ALTER TABLE child NO INHERIT parent;
SELECT is_empty('SELECT FROM pg_inherits WHERE inhparent = ''parent__history''::regclass', 'NO INHERIT');
ALTER TABLE parts DETACH PARTITION parts_1;
SELECT results_eq('SELECT id, v FROM parts__history', $$VALUES (1, 'a')$$, 'a partition detached');
DROP TABLE parts_2;
SELECT results_eq('SELECT id, v FROM parts__history ORDER BY 1', $$VALUES (1, 'a'), (11, 'b')$$,
	'a partition dropped');
DROP TABLE gone;
SELECT hasnt_table('gone__history'::name, 'a table dropped');
SELECT is((SELECT count(*)::int FROM catmaid_history_table WHERE history_table::text LIKE '%gone%' OR live_table::text ~ '^\d'),
	0, 'a table dropped is forgotten');

-- What they run concerns the same table.
SET test.also = 'ALTER TABLE public.tt DROP bb, ADD bb text';
ALTER TABLE tt ADD f text DEFAULT 'f';
SELECT follows('tt', 'altered within too', '{a_1 text}');
ALTER TABLE tt ALTER a TYPE text USING a || 'z';
SELECT follows('tt', 'altered within, and a type with USING', '{a_1 text,a_2 integer}');
SET test.also = 'ALTER TABLE public.tt RENAME TO t';
ALTER TABLE tt RENAME bb TO b;
SELECT follows('t', 'renamed within', '{a_1 text,a_2 integer}');
SET test.also = 'DROP TABLE public.child';
ALTER TABLE child ADD g int;
SELECT hasnt_table('child__history'::name, 'dropped within');
SET test.event = 'sql_drop';
SET test.also = 'DROP TABLE public.parent';
ALTER TABLE t DROP f;
SELECT follows('t', 'another one dropped within', '{a_1 text,a_2 integer}');
SELECT hasnt_table('parent__history'::name, 'that one has gone');
SET test.event = 'ddl_command_start';
SET test.also = 'ALTER TABLE public.t ADD i int';
ALTER TABLE t ADD h int DEFAULT 8;
SELECT follows('t', 'altered before', '{a_1 text,a_2 integer}');
SET test.event = 'ddl_command_end';
SET test.also = 'DO $do$ BEGIN ALTER TABLE public.t DROP h; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END $do$; COMMENT ON TABLE public.t IS ''x''';
ALTER TABLE t ADD j int DEFAULT 8;
SELECT follows('t', 'something rolled back within', '{a_1 text,a_2 integer}');
RESET test.also;
DROP EVENT TRIGGER a_end;
DROP EVENT TRIGGER a_drop;
DROP EVENT TRIGGER a_start;
DROP EVENT TRIGGER z_end;
DROP EVENT TRIGGER z_drop;
DROP EVENT TRIGGER z_start;

-- A function of the command.
CREATE FUNCTION double(int) RETURNS int LANGUAGE plpgsql AS
	$$BEGIN COMMENT ON TABLE public.other IS 'more'; RETURN $1 * 2; END$$;
ALTER TABLE t ADD k int DEFAULT 4, ALTER j TYPE int USING double(j);
SELECT follows('t', 'in USING', '{a_1 text,a_2 integer,j_1 integer}');

SELECT is_empty('SELECT * FROM check_history() WHERE severity <> ''info''', 'all is in order');
SELECT finish();
