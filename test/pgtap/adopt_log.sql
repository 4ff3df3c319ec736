-- The log of the older implementation is adopted with what a site has put on it: columns,
-- their values and defaults, indexes and grants; and is then as one that was ours from
-- the beginning.
\ir lib/old.psql
SELECT plan(12);
\ir lib/old_implementation.sql
\ir lib/old_database.sql
ALTER TABLE catmaid_transaction_info ADD COLUMN ticket text DEFAULT 'none', ADD COLUMN noted timestamptz DEFAULT now(), ADD COLUMN gone int;
ALTER TABLE catmaid_transaction_info DROP COLUMN gone;
CREATE INDEX log_of_the_site ON catmaid_transaction_info (ticket, noted);
CREATE INDEX catmaid_transaction_info_label ON catmaid_transaction_info (label, execution_time);
UPDATE catmaid_transaction_info SET ticket = 'old';
CREATE TEMP TABLE before AS SELECT i.ctid AS place, to_jsonb(i) AS entry FROM catmaid_transaction_info i;
CREATE TEMP TABLE rights AS SELECT relacl FROM pg_class WHERE oid = 'catmaid_transaction_info'::regclass;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;

SELECT isnt_empty('SELECT FROM before', 'there are entries');
SELECT set_eq('SELECT ctid AS place, to_jsonb(i) - ''context'' FROM catmaid_transaction_info i', 'SELECT place, entry FROM before',
	'every entry lies where it lay, with the values of the site''s columns');
SELECT is((SELECT string_agg(attname || ' ' || coalesce(pg_get_expr(adbin, adrelid), '-'), ', ' ORDER BY attnum) FROM pg_attribute
	LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = 'catmaid_transaction_info'::regclass AND attname IN ('ticket', 'noted', 'context')),
	'ticket ''none''::text, noted now(), context catmaid_history_log_context()', 'the site''s columns have their defaults, and there is a context');
SELECT is(pg_get_indexdef('log_of_the_site'::regclass), 'CREATE INDEX log_of_the_site ON public.catmaid_transaction_info USING btree (ticket, noted)', 'the site''s index is there');
SELECT set_eq($$SELECT DISTINCT grantee, privilege_type FROM rights, aclexplode(relacl)$$,
	$$SELECT DISTINCT a.grantee, a.privilege_type FROM rights, aclexplode(relacl) a JOIN pg_class c ON c.oid = 'catmaid_transaction_info'::regclass
		JOIN LATERAL aclexplode(c.relacl) b ON (a.grantee, a.privilege_type) = (b.grantee, b.privilege_type)$$, 'whoever had a privilege has it');
SELECT is((SELECT string_agg(relname || ' ' || amname, ', ' ORDER BY relname) FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
	WHERE indrelid = 'catmaid_transaction_info'::regclass AND relname ~ '_(label|time|user)$'),
	'catmaid_transaction_info_label gin, catmaid_transaction_info_time btree, catmaid_transaction_info_user btree', 'the extension''s indexes are made; a btree on the label gives way');

-- New entries, of the application's and by themselves.
INSERT INTO catmaid_transaction_info (user_id, change_type, label) SELECT 1, 'Backend', string_agg(md5(i::text), '') FROM generate_series(1, 1000) i;
SELECT is((SELECT ticket FROM catmaid_transaction_info WHERE length(label) = 32000), 'none', 'the application enters labels of any length');
BEGIN;
SET LOCAL catmaid_history.label = 'after adoption';
SET LOCAL catmaid_history.context = '{"request": 7}';
UPDATE treenode SET location_x = location_x + 1 WHERE id = 4;
COMMIT;
SELECT is((SELECT count(*) FROM catmaid_transaction_info WHERE label = 'after adoption' AND ticket = 'none' AND noted = execution_time AND context = '{"request": 7}'),
	1::bigint, 'an entry comes by itself, with the site''s defaults');
SELECT is((SELECT i.label FROM treenode__history h JOIN catmaid_transaction_info i ON i.transaction_id = h.exec_transaction_id AND i.execution_time = upper(sys_period)
	WHERE id = 4 ORDER BY upper(sys_period) DESC LIMIT 1), 'after adoption', '... for the transaction that history names');
SELECT is((SELECT count(*) FROM catmaid_history_internal.log_additions('column')), 2::bigint, 'a dump takes the columns');
SELECT is((SELECT more[1] LIKE 'CREATE INDEX log_of_the_site%' FROM catmaid_history_internal.log_additions('index')), true, '... and the index');
SELECT is((SELECT count(*) FROM check_history() WHERE severity = 'error'), 0::bigint, 'nothing is wrong');
SELECT * FROM finish();
