-- Idiom (g) by the application's role, which owns the database and is no superuser.
\ir lib/whole.psql
SELECT current_setting('server_version_num')::int < 140000 AS needs_superuser \gset
\if :needs_superuser
SELECT plan(1);
SELECT skip('before PostgreSQL 14 only a superuser may delete from the registry', 1);
SELECT * FROM finish();
\quit
\endif
SELECT plan(33);
DROP ROLE IF EXISTS t95_app;
CREATE ROLE t95_app;
SELECT current_user AS me \gset
SELECT format('ALTER DATABASE %I OWNER TO t95_app', current_database())
\gexec
GRANT ALL ON SCHEMA public, tap TO t95_app;
GRANT ALL ON ALL TABLES IN SCHEMA tap TO t95_app;
SET ROLE t95_app;
CREATE EXTENSION catmaid_history;
\ir lib/idiom_replaced_before.psql
\ir lib/idiom_replaced.psql
SELECT is((SELECT string_agg(DISTINCT proowner::regrole::text, ', ') FROM pg_proc WHERE proname LIKE 'drop_history_table%' AND pronamespace = 'public'::regnamespace),
	'pg_database_owner', '(g) and back: nobody else may replace them');
RESET ROLE;
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'me')
\gexec
DROP OWNED BY t95_app CASCADE;
DROP ROLE t95_app;
SELECT * FROM finish();
