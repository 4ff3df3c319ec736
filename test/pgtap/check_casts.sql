-- check_history finds casts of the extension's types that call functions of other roles:
-- adoption refuses them, but one may be made in that moment.
\ir lib/whole.psql
CREATE EXTENSION catmaid_history;
SELECT plan(6);

DROP ROLE IF EXISTS check_casts_other;
CREATE ROLE check_casts_other;
GRANT ALL ON SCHEMA public TO check_casts_other;
CREATE FUNCTION tap.casts() RETURNS TABLE (found text) LANGUAGE sql AS
	$$ SELECT concat_ws(' ', severity, replace(object, 'pg_catalog.', '')) FROM check_history() WHERE finding = 'foreign_cast' ORDER BY 1 $$;

CREATE FUNCTION of_super(catmaid_transaction_info) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{}'::json $$;
CREATE CAST (catmaid_transaction_info AS json) WITH FUNCTION of_super(catmaid_transaction_info);
SELECT is_empty('SELECT casts()', 'a superuser''s cast is no finding');
DROP CAST (catmaid_transaction_info AS json);

SET ROLE check_casts_other;
CREATE FUNCTION public.of_other(catmaid_transaction_info) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{}'::json $$;
CREATE FUNCTION public.of_other(catmaid_history_table[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '' $$;
CREATE TYPE public.own AS (a int);
CREATE FUNCTION public.of_other(own) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '' $$;
CREATE CAST (public.own AS text) WITH FUNCTION public.of_other(own);
RESET ROLE;
SELECT is_empty('SELECT casts()', 'nor is one of another type');
CREATE CAST (catmaid_transaction_info AS json) WITH FUNCTION of_other(catmaid_transaction_info);
SELECT results_eq('SELECT casts()', $$VALUES ('error public.catmaid_transaction_info AS json'::text)$$,
	'the function of a role that is no superuser');
CREATE CAST (catmaid_history_table[] AS text) WITH FUNCTION of_other(catmaid_history_table[]);
SELECT results_eq('SELECT casts()', $$VALUES ('error public.catmaid_history_table[] AS text'::text),
	('error public.catmaid_transaction_info AS json')$$, 'arrays, too');
SELECT hint FROM check_history() WHERE object LIKE '%json' \gset
SELECT lives_ok(:'hint', 'the hint drops it');
SELECT hint FROM check_history() WHERE object LIKE '%text' \gset
:hint
SELECT is_empty('SELECT casts()', 'no more');

DROP OWNED BY check_casts_other CASCADE;
DROP ROLE check_casts_other;
SELECT * FROM finish();
