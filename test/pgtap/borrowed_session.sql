-- Section 7: code that the owner of a table has put where the extension comes
-- by gains nothing from whose session that is.  It runs as its owner (file 55
-- and 65); it leaves nothing in the session either that would run later with
-- more rights, and the extension lends it none of its own powers.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t66_evil;
DROP ROLE IF EXISTS t66_victim;
CREATE ROLE t66_evil;
CREATE ROLE t66_victim;
CREATE EXTENSION catmaid_history;
SELECT plan(25);
CREATE SCHEMA evil AUTHORIZATION t66_evil;
CREATE SCHEMA safe AUTHORIZATION t66_victim;
GRANT USAGE ON SCHEMA evil, safe TO PUBLIC;
CREATE TABLE evil.log (place text, ran_as name);
ALTER TABLE evil.log OWNER TO t66_evil;
GRANT ALL ON evil.log TO PUBLIC;
SELECT format('GRANT TEMPORARY ON DATABASE %I TO t66_evil', current_database()) \gexec

-- A conversion of old values that fails at first: USING then runs row by row,
-- and may write to tables that have triggers and foreign keys.
SET ROLE t66_victim;
CREATE TABLE safe.parent (id int PRIMARY KEY);
CREATE TABLE safe.t (id int PRIMARY KEY, a int, parent int REFERENCES safe.parent);
INSERT INTO safe.parent VALUES (1);
INSERT INTO safe.t VALUES (1, 1, 1), (2, 1, 1);
SELECT create_history_table('safe.t');
GRANT SELECT, UPDATE, DELETE ON safe.t TO t66_evil;
SET ROLE t66_evil;
CREATE TABLE evil.conv (id int PRIMARY KEY, a text);
INSERT INTO evil.conv VALUES (1, 'bad');
SELECT create_history_table('evil.conv');
UPDATE evil.conv SET a = '5';
CREATE SEQUENCE evil.seq;
-- Fails in the rewrite: sequences do not roll back.
CREATE FUNCTION evil.conv(text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = 'bad' THEN
		IF nextval('evil.seq') = 1 THEN
			RAISE data_exception;
		END IF;
		UPDATE safe.t SET a = a + 1 WHERE id = 1;
		BEGIN
			UPDATE safe.t SET parent = 99 WHERE id = 2;
			INSERT INTO evil.log VALUES ('foreign key passed', current_user);
		EXCEPTION WHEN foreign_key_violation THEN NULL;
		END;
		INSERT INTO evil.log VALUES (current_setting('session_replication_role'), current_user);
	END IF;
	RETURN 7;
END $$;
RESET ROLE;
SELECT allowed('ALTER TABLE evil.conv ALTER a TYPE int USING evil.conv(a)',
	'the owner converts, row by row in the end', 't66_evil');
SELECT is((SELECT string_agg(format('%s %s', a, a_1), ',') FROM evil.conv__history), '7 bad',
	'the old value is converted');
SELECT is((SELECT string_agg(place || ' as ' || ran_as, ',') FROM evil.log),
	'origin as t66_evil', 'his code ran in the session''s own replication role');
SELECT is((SELECT a FROM safe.t WHERE id = 1), 2, 'control: it changed the victim''s table');
SELECT is((SELECT count(*) FROM safe.t__history WHERE id = 1), 1::bigint,
	'and that was recorded');
SELECT is((SELECT parent FROM safe.t WHERE id = 2), 1, 'nor did he get past its foreign key');
TRUNCATE evil.log;

-- A superuser's migration, and code of the owner's on the history table.
SET ROLE t66_evil;
CREATE FUNCTION evil.spy(v int, place text) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO evil.log VALUES (place, current_user); RETURN v; END $$;
CREATE FUNCTION evil.spy_im(v int, place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN evil.spy(v, place); END $$;
CREATE TABLE evil.mig (id int PRIMARY KEY, a text);
INSERT INTO evil.mig VALUES (1, 'bad'), (2, '2');
SELECT create_history_table('evil.mig');
UPDATE evil.mig SET a = '5';
CREATE INDEX ON evil.mig__history (evil.spy_im(id, 'index'));
ALTER TABLE evil.mig__history ADD CHECK (evil.spy(id, 'check') > 0);
CREATE FUNCTION evil.on_update() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM evil.spy(1, 'trigger'); RETURN NEW; END $$;
CREATE TRIGGER on_update BEFORE UPDATE ON evil.mig__history FOR EACH ROW EXECUTE FUNCTION evil.on_update();
TRUNCATE evil.log;
RESET ROLE;
ALTER TABLE evil.mig ALTER a TYPE int USING a::int;
SELECT is((SELECT string_agg(coalesce(a::text, '-'), ',' ORDER BY id) FROM evil.mig__history), '-,2',
	'what does not convert is NULL, what does is there');
SELECT is((SELECT count(*) FROM evil.log WHERE place = 'trigger'), 0::bigint,
	'no trigger fires on the history, as in a rewrite');
SELECT isnt((SELECT count(*) FROM evil.log), 0::bigint, 'control: his code ran');
SELECT is((SELECT string_agg(DISTINCT place || ' as ' || ran_as, ',') FROM evil.log
	WHERE ran_as <> 't66_evil'), NULL, 'as himself');
TRUNCATE evil.log;

-- What code leaves behind in the session of a superuser who manages.
SET ROLE t66_evil;
CREATE TABLE evil.q (id int);
CREATE FUNCTION evil.later() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO evil.log VALUES ('later', current_user); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON evil.q DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION evil.later();
CREATE FUNCTION evil.leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('application_name', 'evil was here', false);
	BEGIN
		INSERT INTO evil.q VALUES (1);
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	BEGIN
		CREATE TEMP TABLE pg_temp_trojan (x int);
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
	INSERT INTO evil.log VALUES ('ran', current_user);
	IF TG_LEVEL = 'STATEMENT' THEN
		RETURN NULL;
	END IF;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TABLE evil.s (id int PRIMARY KEY, a text);
CREATE TABLE evil.p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
CREATE TABLE evil.p1 PARTITION OF evil.p FOR VALUES FROM (0) TO (10);
CREATE TABLE evil.p2 PARTITION OF evil.p FOR VALUES FROM (10) TO (20);
INSERT INTO evil.p VALUES (1, 'a'), (11, 'b');
SELECT create_history_table('evil.s');
SELECT create_history_table('evil.p');
CREATE TRIGGER leave BEFORE INSERT OR UPDATE OR DELETE ON evil.s__tracking
	FOR EACH ROW EXECUTE FUNCTION evil.leave();
CREATE TRIGGER leave BEFORE TRUNCATE ON evil.s__history
	FOR EACH STATEMENT EXECUTE FUNCTION evil.leave();
CREATE TRIGGER leave BEFORE INSERT OR UPDATE OR DELETE ON evil.p__history
	FOR EACH ROW EXECUTE FUNCTION evil.leave();
RESET ROLE;
CREATE PROCEDURE tap.visit(cmd text) LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE evil.log;
	SET LOCAL session_replication_role = replica;
	INSERT INTO evil.s SELECT coalesce(max(id), 0) + 1, 'x' FROM evil.s;
	SET LOCAL session_replication_role = origin;
	COMMIT;
	EXECUTE cmd;
	COMMIT;
END $$;
CREATE FUNCTION tap.left_behind() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(', ', (SELECT string_agg(DISTINCT place || ' as ' || ran_as, ', ' ORDER BY place || ' as ' || ran_as) FROM evil.log),
		(SELECT 'a temporary table' FROM pg_class WHERE relname = 'pg_temp_trojan'),
		(SELECT 'a setting' WHERE current_setting('application_name') ~ 'evil')) $$;
CALL tap.visit('SELECT sync_tracking_table(''evil.s'', ''evil.s__tracking'')');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'sync: nothing is left behind');
CALL tap.visit('SELECT disable_history_tracking_for_table(''evil.s''), enable_history_tracking_for_table(''evil.s'')');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'enable: nothing');
CALL tap.visit('SELECT reload_history_tracking()');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'reload: nothing');
CALL tap.visit('SELECT truncate_history_table(''evil.s__history'')');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'truncate: nothing');
CALL tap.visit('DROP TABLE evil.p1');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'a partition dropped: nothing');
CALL tap.visit('ALTER TABLE evil.p DETACH PARTITION evil.p2');
SELECT is(tap.left_behind(), 'ran as t66_evil', 'a partition detached: nothing');
SELECT is((SELECT string_agg(a, ',' ORDER BY a) FROM evil.p__history), 'a,b',
	'whose rows are recorded');

-- A site's own triggers on a tracking table may be of any kind.
CREATE TABLE site (id int PRIMARY KEY);
CREATE TABLE heard (op text);
SELECT create_history_table('site');
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO public.heard VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER hear AFTER INSERT OR DELETE ON site__tracking
	FOR EACH ROW EXECUTE FUNCTION hear();
CREATE CONSTRAINT TRIGGER hear_later AFTER INSERT ON site__tracking DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION hear();
SELECT disable_history_tracking_for_table('site');
INSERT INTO site VALUES (1);
SELECT allowed('SELECT enable_history_tracking_for_table(''site'')', 'AFTER triggers do not hinder syncing');
SELECT is((SELECT string_agg(op, ',') FROM heard), 'INSERT,INSERT', 'and fire');

-- A view with a trigger, suspended: the trigger stays, and nobody reads the constants of
-- its condition.
SET ROLE t66_evil;
CREATE FUNCTION evil.ok(int) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO evil.log VALUES ('constant', current_user); RETURN true; END $$;
CREATE DOMAIN evil.dom AS int CHECK (evil.ok(VALUE));
CREATE TABLE evil.w (id int PRIMARY KEY, a int, b int);
SELECT create_history_table('evil.w');
CREATE VIEW evil.upon AS SELECT id FROM evil.w__with_history;
CREATE FUNCTION evil.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER cond BEFORE INSERT ON evil.upon FOR EACH STATEMENT
	WHEN ('{1}'::evil.dom[] IS NOT NULL) EXECUTE FUNCTION evil.nothing();
CREATE TRIGGER cond BEFORE INSERT ON evil.w__with_history FOR EACH STATEMENT
	WHEN ('{1}'::evil.dom[] IS NOT NULL) EXECUTE FUNCTION evil.nothing();
RESET ROLE;
SELECT isnt((SELECT count(*) FROM evil.log WHERE place = 'constant'), 0::bigint, 'control: the conditions'' constants were read');
TRUNCATE evil.log;
SELECT allowed('ALTER TABLE evil.w DROP COLUMN a', 'the owner drops a column', 't66_evil');
SELECT is((SELECT count(*) FROM evil.log), 0::bigint, 'they are not read again');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname = 'cond'), 2::bigint, 'the triggers are there');
ALTER TABLE evil.w DROP COLUMN b;
SELECT is((SELECT count(*) FROM evil.log), 0::bigint, 'nor in a superuser''s session');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname = 'cond'), 2::bigint, 'they are there still');

DROP OWNED BY t66_evil, t66_victim CASCADE;
DROP ROLE t66_evil, t66_victim;
SELECT * FROM finish();
