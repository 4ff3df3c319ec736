-- What existing migrations and applications rely on: names, arguments,
-- defaults, result types, columns.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS catmaid_history;
RESET client_min_messages;
CREATE SCHEMA test_api;
SET search_path = test_api, public;

-- The functions, without those of triggers and the extension's own affair.
\pset format unaligned
SELECT p.proname || '(' || regexp_replace(pg_get_function_arguments(p.oid), '\mIN ', '', 'g') || ') -> '
       || coalesce(pg_get_function_result(p.oid), 'procedure') AS function,
       CASE p.provolatile WHEN 's' THEN 'stable' WHEN 'v' THEN 'volatile' END AS volatility,
       l.lanname AS language
  FROM pg_depend d
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'catmaid_history'
  JOIN pg_proc p ON p.oid = d.objid
  JOIN pg_language l ON l.oid = p.prolang
 WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_proc'::regclass
   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
   AND p.pronamespace <> 'catmaid_history_internal'::regnamespace
 ORDER BY p.proname COLLATE "C";
\pset format aligned

-- The registry: these columns, others may follow.
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull,
       pg_get_expr(adbin, adrelid) AS "default"
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = 'public.catmaid_history_table'::regclass AND attnum BETWEEN 1 AND 8
 ORDER BY attnum;
SELECT pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'public.catmaid_history_table'::regclass AND contype IN ('p', 'u')
 ORDER BY 1;

-- The transaction log.
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull,
       pg_get_expr(adbin, adrelid) AS "default"
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = 'public.catmaid_transaction_info'::regclass AND attnum > 0
 ORDER BY attnum;
SELECT pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'public.catmaid_transaction_info'::regclass AND contype IN ('p', 'u');
SELECT enum_range(NULL::history_change_type);

-- The helper views.
\d public.catmaid_live_table_triggers
\d public.catmaid_inheriting_tables
\d public.catmaid_table_info

-- What belongs to a table.  A domain is replaced by its base type; defaults,
-- constraints, identity and generation are the live table's alone.
CREATE DOMAIN short AS varchar(20) CHECK (VALUE <> '');
CREATE TABLE sample (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name short NOT NULL DEFAULT 'x',
    gone int,
    size numeric(8, 2) CHECK (size > 0),
    doubled numeric GENERATED ALWAYS AS (size * 2) STORED,
    "Tags" text[] COLLATE "C",
    edition_time timestamptz NOT NULL DEFAULT current_timestamp,
    txid bigint NOT NULL DEFAULT txid_current()
);
ALTER TABLE sample DROP COLUMN gone;
ALTER TABLE sample ALTER COLUMN "Tags" SET STORAGE EXTERNAL;
SELECT create_history_table('sample', 'edition_time', 'txid');
\d sample__history
\d sample__with_history
SELECT attname, attstorage FROM pg_attribute
 WHERE attrelid = 'sample__history'::regclass AND attname = 'Tags';
SELECT tgname, tgenabled FROM pg_trigger
 WHERE tgrelid = 'sample'::regclass AND NOT tgisinternal ORDER BY tgname;

CREATE TABLE "Odd ""one" ("Key" text PRIMARY KEY, "select" int);
SELECT create_history_table('"Odd ""one"');
\d "Odd ""one__history"
\d "Odd ""one__tracking"
\d "Odd ""one__with_history"
SELECT tgname, tgenabled FROM pg_trigger
 WHERE tgrelid = '"Odd ""one"'::regclass AND NOT tgisinternal ORDER BY tgname;
INSERT INTO "Odd ""one" VALUES ('a', 1);
UPDATE "Odd ""one" SET "select" = 2;
SELECT "Key", "select" FROM "Odd ""one__history";

-- Names: plain text, not quoted and not qualified.
\x
SELECT get_history_table_name(t), history_table_name(t), get_tracking_table_name(t),
       get_history_view_name(t), get_history_update_fn_name_regular(t),
       get_history_txid_update_fn_name_regular(t)
  FROM (VALUES ('sample'::regclass), ('"Odd ""one"')) v(t);
SELECT get_history_update_trigger_name_regular(),
       get_history_delete_trigger_name_regular(),
       get_history_txid_update_trigger_name_regular(),
       get_history_update_trigger_name_tracking(),
       get_tracking_table_update_trigger_name(),
       get_tracking_table_truncate_trigger_name(),
       get_history_truncate_trigger_name();
\x
-- Names of arguments, and a table as text.
SELECT get_history_table_name(live_table => 'sample'),
       get_history_view_name(live_table_name => 'sample'),
       pg_typeof(get_history_view_name('sample'));
SELECT disable_history_tracking_for_table(live_table => 'sample'::text,
                                          history_table => 'sample__history'::text);
SELECT enable_history_tracking_for_table(live_table => 'sample', history_table => NULL,
                                         sync => false);

-- The longest possible name leaves indexes with clipped ones.
CREATE TABLE abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv (id int PRIMARY KEY);
SELECT length('abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv');
SELECT create_history_table('abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv');
INSERT INTO abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv VALUES (1);
DELETE FROM abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv;
SELECT id FROM abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv__with_history;
SELECT count(*) FROM pg_index
 WHERE indrelid = 'abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuv__history'::regclass;

SELECT initialize_new_history_table('sample', 'sample__history', 'id');
SELECT truncate_all_history_tables();
SELECT reload_history_tracking();
SELECT drop_all_history_tables();
SELECT relname FROM pg_class WHERE relnamespace = 'test_api'::regnamespace
   AND relkind IN ('r', 'v') ORDER BY relname COLLATE "C";
SET client_min_messages = warning;
DROP SCHEMA test_api CASCADE;
