-- Section 7: what the owner of a table has put on it, or on its history, is evaluated
-- with the owner's rights, whoever runs the command: functions of management, followed
-- DDL, and writes.  A spy that an owner plants notes who it runs as; sequences count
-- also where a subtransaction undoes the rest.
\ir lib/hostile.psql
DROP ROLE IF EXISTS rights_expressions_owner;
DROP ROLE IF EXISTS rights_expressions_other;
CREATE ROLE rights_expressions_owner;
CREATE ROLE rights_expressions_other;
CREATE EXTENSION catmaid_history;
SELECT plan(33);
CREATE SCHEMA o AUTHORIZATION rights_expressions_owner;
CREATE SCHEMA p AUTHORIZATION rights_expressions_other;
GRANT USAGE ON SCHEMA o, p TO PUBLIC;
CREATE TABLE public.log (place text, ran_as name);
GRANT ALL ON public.log TO PUBLIC;
CREATE SEQUENCE public.wrong;
GRANT ALL ON SEQUENCE public.wrong TO PUBLIC;

-- The spies of the two owners: whoever they run as is noted, and counted if it is
-- not the owner of the schema.
CREATE FUNCTION tap.make_spies(schema name, owner name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format($f$
		CREATE FUNCTION %1$I.spy(i int, place text) RETURNS int LANGUAGE plpgsql AS $s$
		BEGIN
			IF current_user <> %2$L THEN PERFORM nextval('public.wrong'); END IF;
			INSERT INTO public.log VALUES (place, current_user);
			RETURN i;
		END $s$;
		CREATE FUNCTION %1$I.folded(i int, place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
		$s$ BEGIN RETURN %1$I.spy(i, place); END $s$;
		CREATE FUNCTION %1$I.spied() RETURNS trigger LANGUAGE plpgsql AS
		$s$ BEGIN PERFORM %1$I.spy(1, TG_NAME); RETURN NEW; END $s$;
		ALTER FUNCTION %1$I.spy OWNER TO %2$I;
		ALTER FUNCTION %1$I.folded OWNER TO %2$I;
		ALTER FUNCTION %1$I.spied OWNER TO %2$I$f$, schema, owner);
END $$;
SELECT tap.make_spies('o', 'rights_expressions_owner'), tap.make_spies('p', 'rights_expressions_other') \g /dev/null

-- What ran, and as whom, since it was last asked.
CREATE FUNCTION tap.spied() RETURNS text LANGUAGE sql AS $$
	WITH gone AS (DELETE FROM public.log RETURNING *)
	SELECT coalesce(string_agg(DISTINCT place || ' as ' || replace(ran_as, 'rights_expressions_', ''), ', '
		ORDER BY place || ' as ' || replace(ran_as, 'rights_expressions_', '')), 'nothing') FROM gone $$;
-- Did anything run as another, even if that was undone?
CREATE FUNCTION tap.lent() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE was boolean;
BEGIN
	SELECT is_called INTO was FROM public.wrong;
	PERFORM setval('public.wrong', 1, false);
	RETURN was;
END $$;
-- What the session remembers of the tables, folded expressions among them, goes.
CREATE FUNCTION tap.forget() RETURNS void LANGUAGE sql AS
$$ UPDATE pg_class SET relname = relname WHERE relnamespace IN ('o'::regnamespace, 'p'::regnamespace) $$;
SELECT o.spy(1, 'control') \g /dev/null
SELECT is(tap.spied() || tap.lent(), format('control as %strue', current_user), 'control: the spy notices a superuser');

-- A CHECK on the tracking table, which SET NOT NULL asks.
SET ROLE rights_expressions_owner;
CREATE TABLE o.t (id int PRIMARY KEY, a text);
SELECT create_history_table('o.t');
INSERT INTO o.t VALUES (1, '1'), (2, 'x');
UPDATE o.t SET a = a;
ALTER TABLE o.t__tracking ALTER txid DROP NOT NULL, ADD CHECK (txid > 0 OR o.folded(1, 'check') > 0);
RESET ROLE;
TRUNCATE public.log;
SELECT allowed($$SELECT repair_history('o.t')$$, 'repairing as the owner', 'rights_expressions_owner');
SELECT is(tap.spied(), 'check as owner', '... folds the CHECK as the owner');
ALTER TABLE o.t__tracking ALTER txid DROP NOT NULL;
TRUNCATE public.log;
SELECT allowed($$SELECT repair_history('o.t')$$, 'repairing as a superuser');
SELECT is(tap.spied(), 'check as owner', '... too');
SELECT ok((SELECT attnotnull FROM pg_attribute WHERE attrelid = 'o.t__tracking'::regclass AND attname = 'txid'), '... and it is NOT NULL');

-- All that can be on a history, and a superuser's commands that are followed.
SET ROLE rights_expressions_owner;
ALTER TABLE o.t__history ADD CHECK (o.folded(1, 'history check') > 0 AND o.spy(id, 'history row') > 0);
CREATE INDEX ON o.t__history ((id + o.folded(1, 'index')));
CREATE INDEX ON o.t__history (id) WHERE id > o.folded(-1, 'predicate');
SELECT CASE WHEN current_setting('server_version_num')::int >= 140000
	THEN 'CREATE STATISTICS o.st ON (id + o.folded(1, ''statistics'')), a FROM o.t__history' END \gexec
ALTER TABLE o.t__history ADD COLUMN note int DEFAULT o.spy(1, 'default'),
	ADD COLUMN twice int GENERATED ALWAYS AS (o.folded(id, 'generated')) STORED;
CREATE TRIGGER spied BEFORE INSERT OR UPDATE ON o.t__history FOR EACH ROW EXECUTE FUNCTION o.spied();
RESET ROLE;
SELECT tap.lent() \g /dev/null
SELECT tap.forget() \g /dev/null
TRUNCATE public.log;
SELECT allowed('UPDATE o.t SET a = a || ''0''', 'a superuser writes');
SELECT is(tap.lent(), false, '... and lends the history nothing');
SELECT isnt(tap.spied(), 'nothing', '... though its code runs');
CREATE TABLE commands (n serial, command text);
INSERT INTO commands (command) VALUES
('ALTER TABLE o.t ADD COLUMN b int'), ('ALTER TABLE o.t RENAME COLUMN b TO c'), ('ALTER TABLE o.t ALTER c TYPE bigint'),
('ALTER TABLE o.t ALTER a TYPE varchar(20)'), ('ALTER TABLE o.t ALTER a TYPE int USING CASE WHEN a ~ ''^\d+$'' THEN a::int ELSE id END'),
('ALTER TABLE o.t ALTER id TYPE bigint'), ('ALTER TABLE o.t DROP COLUMN c'), ('ALTER TABLE o.t RENAME TO u'), ('ALTER TABLE o.u RENAME TO t'),
('ALTER TABLE o.t SET SCHEMA public'), ('ALTER TABLE public.t SET SCHEMA o'),
('ALTER TABLE o.t ENABLE ROW LEVEL SECURITY'), ('ALTER TABLE o.t DISABLE ROW LEVEL SECURITY'),
('ALTER TABLE o.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id, a)'), ('SELECT disable_history_tracking()'),
('SELECT enable_history_tracking()'), ('SELECT reload_history_tracking_for_table(''o.t'')'), ('SELECT repair_history()'),
('SELECT count(*) FROM check_history()'), ('SELECT widen_history_table(''o.t'')'), ('SELECT sync_tracking_table(''o.t'', ''o.t__tracking'')'),
('SELECT create_history_view_for_table(''o.t'')'), ('SELECT truncate_history_table(''o.t__history'')'), ('TRUNCATE o.t'),
('SELECT drop_history_table_keep_data(''o.t'')'), ('SELECT create_history_table(''o.t'')'), ('DROP TABLE o.t');
SELECT is((SELECT string_agg(command || ': ' || state, E'\n' ORDER BY n)
	FROM (SELECT n, command, state(command) FROM commands ORDER BY n OFFSET 0) x WHERE state <> '00000'), NULL, 'a superuser''s commands succeed');
SELECT is(tap.lent(), false, '... and lend the history nothing');
SELECT isnt(tap.spied(), 'nothing', '... though its code runs');

-- The key of a sub-partitioned partition, which CREATE TRIGGER needs; another role's.
SET ROLE rights_expressions_owner;
CREATE TABLE o.r (id int, edited timestamptz, txid bigint, PRIMARY KEY (id)) PARTITION BY RANGE (id);
SELECT create_history_table('o.r', 'edited', 'txid');
SET catmaid_history.follow_ddl = off;
ALTER TABLE o.r DROP CONSTRAINT r_pkey;
CREATE TABLE o.r1 PARTITION OF o.r FOR VALUES FROM (0) TO (10) PARTITION BY RANGE ((id + o.folded(1, 'key')));
CREATE TABLE o.r2 PARTITION OF o.r FOR VALUES FROM (10) TO (20) PARTITION BY RANGE ((id + p.folded(1, 'other key')));
RESET ROLE;
ALTER TABLE o.r2 OWNER TO rights_expressions_other;
RESET catmaid_history.follow_ddl;
SELECT tap.forget() \g /dev/null
TRUNCATE public.log;
SELECT tap.lent() \g /dev/null
SELECT allowed('ALTER TABLE o.r RENAME COLUMN edited TO modified', 'triggers of a partitioned table are made again');
SELECT is(tap.lent(), false, '... as the owners of its partitions');
SELECT is(tap.spied(), 'key as owner, other key as other', '... whose partition keys were folded');

-- A cast of the owner's, and a value that does not convert.
SET ROLE rights_expressions_owner;
CREATE TYPE o.wrap AS (v int);
CREATE FUNCTION o.unwrap(w o.wrap) RETURNS smallint LANGUAGE plpgsql AS $$
BEGIN
	IF current_user = 'rights_expressions_owner' THEN RAISE data_exception; END IF;
	RETURN o.spy((w).v, 'cast');
END $$;
CREATE CAST (o.wrap AS smallint) WITH FUNCTION o.unwrap(o.wrap) AS ASSIGNMENT;
CREATE TABLE o.c (id int PRIMARY KEY, a int, b text);
INSERT INTO o.c VALUES (1, 1, 'x'), (2, 2, '2');
SELECT create_history_table('o.c');
UPDATE o.c SET a = 7, b = '7';
SELECT drop_history_view_for_table('o.c');
ALTER TABLE o.c__history ALTER a TYPE o.wrap USING ROW(a)::o.wrap;
CREATE INDEX ON o.c__history ((id + o.folded(1, 'index')));
RESET ROLE;
SELECT tap.forget() \g /dev/null
TRUNCATE public.log;
SELECT tap.lent() \g /dev/null
SELECT allowed('ALTER TABLE o.c ALTER a TYPE smallint', 'a superuser''s change of type');
SELECT is(tap.lent(), false, '... calls no cast as a superuser');
SELECT is((SELECT string_agg(a_1::text, ' ' ORDER BY id) FROM o.c__history), '(1) (2)', '... and the originals stay');
SELECT allowed('ALTER TABLE o.c ALTER b TYPE int USING b::int', 'a value that does not convert');
SELECT is(tap.lent(), false, '... makes no index expression run as a superuser');
SELECT is((SELECT string_agg(coalesce(b::text, 'NULL'), ' ' ORDER BY id) FROM o.c__history), 'NULL 2', '... and the others are converted');

-- Hierarchies of two owners: the rewrite of both, and what a child would get of its
-- parent's owner.
CREATE TABLE o.parent (id int PRIMARY KEY, a int);
CREATE TABLE p.child (PRIMARY KEY (id)) INHERITS (o.parent);
CREATE TABLE o.grandchild (PRIMARY KEY (id)) INHERITS (p.child);
INSERT INTO o.parent VALUES (1, 1);
INSERT INTO p.child VALUES (2, 2);
INSERT INTO o.grandchild VALUES (3, 3);
ALTER TABLE o.parent OWNER TO rights_expressions_owner;
ALTER TABLE p.child OWNER TO rights_expressions_other;
ALTER TABLE o.grandchild OWNER TO rights_expressions_owner;
SELECT create_history_table('o.grandchild');
UPDATE o.parent SET a = 7;
SET ROLE rights_expressions_owner;
ALTER TABLE ONLY o.parent__history ADD CHECK (o.spy(1, 'parent' || left(a::text, 0)) > 0) NO INHERIT;
ALTER TABLE ONLY o.grandchild__history ADD CHECK (o.spy(1, 'grandchild' || left(a::text, 0)) > 0) NO INHERIT;
SET ROLE rights_expressions_other;
ALTER TABLE ONLY p.child__history ADD CHECK (p.spy(1, 'child' || left(a::text, 0)) > 0) NO INHERIT;
RESET ROLE;
SELECT tap.forget() \g /dev/null
TRUNCATE public.log;
SELECT tap.lent() \g /dev/null
SELECT allowed('ALTER TABLE o.parent ALTER a TYPE bigint', 'a column of a hierarchy is widened');
SELECT is(tap.lent(), false, '... in each table as its owner');
SELECT is(tap.spied(), 'child as other, grandchild as owner, parent as owner', '... all of them');
SELECT allowed('ALTER TABLE o.parent ALTER a TYPE text USING (a + 1)::text', 'and is converted');
SELECT is(tap.lent(), false, '... in each table as its owner');
SELECT is((SELECT string_agg(tableoid::regclass || ' ' || a, ', ' ORDER BY id) FROM o.parent__history),
	'o.parent__history 2, p.child__history 3, o.grandchild__history 4', '... and the hierarchy is as it was');
SELECT is((SELECT count(*) FROM unnest('{o.parent,p.child,o.grandchild}'::regclass[]) t, check_history(t) WHERE severity <> 'info'), 0::bigint, '... and sound');

CREATE TABLE o.parent2 (id int PRIMARY KEY, a text);
CREATE TABLE p.child2 (PRIMARY KEY (id)) INHERITS (o.parent2);
ALTER TABLE o.parent2 OWNER TO rights_expressions_owner;
ALTER TABLE p.child2 OWNER TO rights_expressions_other;
SET ROLE rights_expressions_owner;
SELECT create_history_table('o.parent2');
ALTER TABLE o.parent2__history ADD COLUMN x int DEFAULT o.spy(1, 'parent''s default');
RESET ROLE;
SELECT allowed($$SELECT create_history_table('p.child2')$$, 'a child of another owner''s');
SELECT tap.lent() \g /dev/null
SET ROLE rights_expressions_other;
INSERT INTO p.child2 VALUES (1, 'a');
UPDATE p.child2 SET a = 'b';
RESET ROLE;
SELECT is(tap.lent(), false, '... gets no default of the parent''s owner');
SELECT is((SELECT x IS NULL FROM o.parent2__history), true, '... but the column');
SELECT drop_history_table('p.child2');
ALTER TABLE o.parent2__history ADD CONSTRAINT spies CHECK (o.spy(1, 'parent''s check') > 0);
SELECT allowed($$SELECT create_history_table('p.child2')$$, 'or stays apart from a parent that demands a CHECK');
SELECT is((SELECT count(*) FROM pg_inherits WHERE inhrelid = 'p.child2__history'::regclass), 0::bigint, '... of its owner''s');

DROP OWNED BY rights_expressions_owner, rights_expressions_other CASCADE;
DROP ROLE rights_expressions_owner, rights_expressions_other;
SELECT * FROM finish();
