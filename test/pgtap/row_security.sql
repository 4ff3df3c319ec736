-- Section 7: row-level security.  Nobody sees through history or view a row of
-- a table whose policies would hide it, and nothing goes unrecorded for it.
\ir lib/hostile.psql
DROP ROLE IF EXISTS t54_owner;
DROP ROLE IF EXISTS t54_ann;
DROP ROLE IF EXISTS t54_bob;
CREATE ROLE t54_owner;
CREATE ROLE t54_ann;
CREATE ROLE t54_bob;
CREATE EXTENSION catmaid_history;
SELECT plan(40);

CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO t54_owner, t54_ann, t54_bob;
CREATE TABLE app.mild (id int PRIMARY KEY, who text, note text);
CREATE TABLE app.strict (id int PRIMARY KEY, who text, note text);
CREATE TABLE app.timed (id int PRIMARY KEY, who text, note text,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE app.open (id int PRIMARY KEY, who text, note text);
DO $$
DECLARE
	r text;
BEGIN
	FOREACH r IN ARRAY '{mild,strict,timed,open}'::text[] LOOP
		EXECUTE format('ALTER TABLE app.%I OWNER TO t54_owner', r);
		EXECUTE format('GRANT ALL ON app.%I TO t54_ann, t54_bob', r);
		EXECUTE format('INSERT INTO app.%I (id, who, note) VALUES '
			'(1, ''t54_ann'', ''one''), (2, ''t54_bob'', ''two''), '
			'(3, ''nobody'', ''three'')', r);
		IF r <> 'open' THEN
			EXECUTE format('ALTER TABLE app.%I ENABLE ROW LEVEL SECURITY', r);
			EXECUTE format('CREATE POLICY own ON app.%I '
				'USING (who = current_user)', r);
		END IF;
	END LOOP;
END $$;
ALTER TABLE app.strict FORCE ROW LEVEL SECURITY;

-- The owner of a table with forced policies does not see all its rows; the
-- tracking table must have them all the same.
SELECT allowed('SELECT create_history_table(''app.strict'')',
	'forced: the owner creates the history', 't54_owner');
SELECT create_history_table('app.mild');
SELECT create_history_table('app.timed', 'edition_time', 'txid');
SELECT create_history_table('app.open');
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk) FROM app.strict__tracking),
	'1,2,3', 'forced: every row is in the tracking table');

SELECT is((SELECT format('%s %s', relrowsecurity, relforcerowsecurity)
	FROM pg_class WHERE oid = rel::regclass), flags, 'RLS and FORCE on ' || rel)
FROM (VALUES ('app.mild__history', 't f'), ('app.mild__tracking', 't f'),
	('app.strict__history', 't t'), ('app.strict__tracking', 't t'),
	('app.timed__history', 't f')) v(rel, flags);
SELECT CASE WHEN current_setting('server_version_num')::int < 150000
	THEN pass('no security_invoker before 15: ' || rel)
	ELSE ok((SELECT EXISTS (SELECT FROM unnest(reloptions) o
		WHERE o ~ '^security_invoker=(true|on|1)$') FROM pg_class
		WHERE oid = rel::regclass), 'security_invoker on ' || rel) END
FROM unnest('{app.mild__with_history,app.strict__with_history,
	app.timed__with_history,app.open__with_history}'::text[]) rel;

-- Writers under policies: everything is recorded.
SELECT allowed(format('UPDATE app.%s SET note = ''ann''', r),
	r || ': ann updates the row she sees', 't54_ann')
FROM unnest('{mild,strict,timed}'::text[]) r;
SELECT allowed(format('DELETE FROM app.%s', r),
	r || ': bob deletes the row he sees', 't54_bob')
FROM unnest('{mild,strict,timed}'::text[]) r;
UPDATE app.strict SET note = 'drei' WHERE id = 3;
UPDATE app.mild SET note = 'drei' WHERE id = 3;
UPDATE app.timed SET note = 'drei' WHERE id = 3;
CREATE FUNCTION tap.versions(r text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v text;
BEGIN
	EXECUTE format('SELECT string_agg(id || note, '','' ORDER BY id, note)
		FROM app.%I', r || '__history') INTO v;
	RETURN v;
END $$;
SELECT is(tap.versions(r), '1one,2two,3three', r || ': each is recorded')
FROM unnest('{mild,strict,timed}'::text[]) r;
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk) FROM app.strict__tracking),
	'1,3', 'forced: the tracking table follows');

-- What each may see.
CREATE FUNCTION tap.sees(who name, rel text, OUT ids text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE format('SELECT coalesce(string_agg(DISTINCT who, '','' ORDER BY who),
		''nothing'') FROM %s', rel) INTO ids;
	RESET ROLE;
EXCEPTION WHEN insufficient_privilege THEN
	ids := 'nothing';
END $$;
SELECT ok(tap.sees('t54_ann', format('app.%s__history', r)) IN ('nothing', 't54_ann'),
	format('ann sees nobody else''s rows in %s__history', r))
FROM unnest('{mild,strict,timed}'::text[]) r;
-- before 15 a view is read with its owner's rights, and shows nothing then
SELECT current_setting('server_version_num')::int >= 150000 AS v15 \gset
SELECT ok(tap.sees('t54_ann', format('app.%s__with_history', r)) IN ('nothing', 't54_ann'),
	format('ann sees nobody else''s rows in %s__with_history', r))
FROM unnest('{mild,strict,timed}'::text[]) r;
SELECT is(tap.sees('t54_owner', 'app.mild__with_history'), 'nobody,t54_ann,t54_bob',
	'an owner whose policies are not forced sees all');
SELECT is(tap.sees('t54_owner', 'app.strict__with_history'), 'nothing',
	'one whose policies are forced sees what they let him');
SELECT is(tap.sees('t54_owner', 'app.strict__history'), 'nothing',
	'in the history as well');
\if :v15
SELECT is(tap.sees('t54_ann', 'app.mild__with_history WHERE upper_inf(sys_period)'),
	't54_ann', 'ann''s own live row is in the view');
\else
SELECT skip('no security_invoker before PostgreSQL 15', 1);
\endif
SELECT is(tap.sees('t54_ann', 'app.open__with_history'), 'nobody,t54_ann,t54_bob',
	'a table without policies: all is seen');

-- TRUNCATE by an owner who does not see the rows stores them all.
SELECT allowed('TRUNCATE app.strict', 'forced: the owner truncates', 't54_owner');
SELECT is(tap.versions('strict'), '1ann,1one,2two,3drei,3three',
	'forced: what was truncated is recorded, seen or not');

-- Management by an owner under forced policies.
INSERT INTO app.strict VALUES (5, 't54_ann', 'five');
SELECT disable_history_tracking_for_table('app.strict');
INSERT INTO app.strict VALUES (6, 't54_ann', 'six');
DELETE FROM app.strict WHERE id = 5;
SELECT allowed('SELECT enable_history_tracking_for_table(''app.strict'')',
	'forced: the owner enables', 't54_owner');
SELECT is((SELECT string_agg(live_pk::text, ',' ORDER BY live_pk) FROM app.strict__tracking),
	'6', 'forced: and the tracking table is in step');

-- Policies put on a table that is tracked already.
ALTER TABLE app.open ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.open USING (who = current_user);
UPDATE app.open SET note = note || '!';
SELECT ok(tap.sees('t54_ann', 'app.open__with_history') IN ('nothing', 't54_ann'),
	'policies set up later hide in the view');
SELECT ok(tap.sees('t54_ann', 'app.open__history') IN ('nothing', 't54_ann'),
	'and in the history');
SELECT reload_history_tracking_for_table('app.open');
SELECT is((SELECT relrowsecurity FROM pg_class
	WHERE oid = 'app.open__history'::regclass), true,
	'a reload has RLS enabled on the history');
SELECT ok(tap.sees('t54_ann', 'app.open__history') IN ('nothing', 't54_ann'),
	'and then at the latest nothing is seen');

DROP OWNED BY t54_owner, t54_ann, t54_bob CASCADE;
DROP ROLE t54_owner, t54_ann, t54_bob;
SELECT * FROM finish();
