-- What years do to the database of old_database.sql: each kind of damage on a
-- table of its own.  site.damage tells of each what is wrong, whether it can be
-- mended without a change of history rows and without inventing data (NULL: as
-- one takes it), and whether finding it takes a look at all its history.

CREATE TABLE site.damage (live text, kind text, mendable boolean, takes_scan boolean DEFAULT false);

-- History columns narrower than the live ones: one that its table has for
-- itself, one that it inherits to its children's histories, with values that
-- only the live column can hold; a key that history has as an integer.
INSERT INTO site.damage VALUES ('auth_user', 'narrow column', true),
	('concept', 'narrow column, inherited', true), ('relation', 'narrow column of a child', true),
	('relation_instance', 'narrow column, inherited', true),
	('treenode_connector', 'narrow column, inherited', true),
	('treenode_connector_class_instance_label', 'narrow column, inherited', true),
	('stack_group', 'narrow key in history', false);
SELECT public.drop_history_view_for_table(t) FROM unnest('{auth_user,stack_group,concept,relation,
	relation_instance,treenode_connector,treenode_connector_class_instance_label}'::regclass[]) t \g /dev/null
ALTER TABLE public.auth_user__history ALTER first_name TYPE varchar(30);
ALTER TABLE public.concept__history ALTER note TYPE varchar(30);
ALTER TABLE public.relation__history ALTER uri TYPE varchar(30);
ALTER TABLE public.stack_group__history ALTER id TYPE integer;
SELECT public.create_history_view_for_table(t) FROM unnest('{auth_user,stack_group,concept,relation,
	relation_instance,treenode_connector,treenode_connector_class_instance_label}'::regclass[]) t \g /dev/null
ALTER TABLE public.auth_user DISABLE TRIGGER USER;
UPDATE public.auth_user SET first_name = repeat('long', 30) WHERE id = 1;
ALTER TABLE public.auth_user ENABLE TRIGGER USER;
ALTER TABLE public.relation DISABLE TRIGGER USER;
UPDATE public.relation SET uri = repeat('long', 30), note = repeat('long', 30)
WHERE relation_name = 'part_of';
ALTER TABLE public.relation ENABLE TRIGGER USER;

-- An integer live_pk for a bigint key.
INSERT INTO site.damage VALUES ('project_stack', 'narrow live_pk', true);
ALTER TABLE public.project_stack__tracking ALTER live_pk TYPE integer;

-- Orphaned tracking rows, live rows without one.
INSERT INTO site.damage VALUES ('stack', 'orphaned tracking rows', true),
	('django_session', 'no tracking rows', true);
INSERT INTO public.stack__tracking VALUES (77, '2019-01-01', 77), (78, '2019-01-01', 78);
DELETE FROM public.django_session__tracking
WHERE live_pk IN (SELECT session_key FROM public.django_session LIMIT 2);

-- Registered as tracked, but the triggers are gone; and the reverse.
INSERT INTO site.damage VALUES ('restriction', 'triggers gone', NULL),
	('broken_slice', 'triggers gone', NULL), ('message', 'triggers not registered', true),
	('client_data', 'triggers not registered', true);
SELECT public.disable_history_tracking_for_table('restriction'),
	public.disable_history_tracking_for_table('broken_slice') \g /dev/null
UPDATE public.catmaid_history_table SET triggers_installed = true
WHERE live_table IN ('public.restriction'::regclass, 'public.broken_slice'::regclass);
UPDATE public.catmaid_history_table SET triggers_installed = false
WHERE live_table IN ('public.message'::regclass, 'public.client_data'::regclass);

-- Some of the triggers are gone, or do not fire.
INSERT INTO site.damage VALUES ('project', 'a trigger gone', NULL), ('point', 'a trigger disabled', NULL);
DROP TRIGGER on_change_update_tracking_table ON public.project;
ALTER TABLE public.point DISABLE TRIGGER on_change_update_history_regular;

-- A trigger of the site's own has one of the names.
INSERT INTO site.damage VALUES ('stack_stack_group', 'foreign trigger', NULL);
CREATE FUNCTION site.foreign_trigger() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO site.heard VALUES ('foreign'); RETURN NULL; END $$;
DROP TRIGGER on_change_history_trackingtable ON public.stack_stack_group;
CREATE TRIGGER on_change_history_trackingtable AFTER UPDATE ON public.stack_stack_group
	FOR EACH ROW EXECUTE FUNCTION site.foreign_trigger();

-- Registry rows of dropped tables: with the history still there, and without;
-- and one whose history is gone.
CREATE TABLE public.gone (id serial PRIMARY KEY, v text);
CREATE TABLE public.all_gone (id serial PRIMARY KEY, v text);
CREATE TABLE public.historyless (id serial PRIMARY KEY, v text);
SELECT public.create_history_table('gone'), public.create_history_table('all_gone'),
	public.create_history_table('historyless') \g /dev/null
INSERT INTO public.gone (v) VALUES ('a'), ('b');
UPDATE public.gone SET v = v || '1';
INSERT INTO site.damage SELECT t::oid::text, 'table dropped', NULL
	FROM unnest('{public.gone,public.all_gone}'::regclass[]) t;
INSERT INTO site.damage VALUES ('historyless', 'history dropped', NULL);
SET client_min_messages = warning;
DROP TABLE public.gone CASCADE;
DROP TABLE public.all_gone, public.all_gone__history, public.all_gone__tracking CASCADE;
INSERT INTO public.historyless (v) VALUES ('a');
DROP TABLE public.historyless__history CASCADE;

-- Periods that were lost, are empty, overlap.
INSERT INTO site.damage VALUES ('textlabel', 'period lost', false, true),
	('connector', 'empty periods', NULL, true), ('review', 'overlapping periods', false, true);
UPDATE public.textlabel__history SET sys_period = tstzrange('2020-01-01 00:00+00', NULL);
UPDATE public.connector__history SET sys_period = 'empty';
INSERT INTO public.review__history (id, treenode_id, review_time, txid, sys_period)
	SELECT id, treenode_id, review_time, txid, tstzrange(review_time - interval '1 hour',
		review_time + interval '1 hour') FROM ONLY public.review__history LIMIT 2;

-- A column that no migration added to the history; one that no migration told
-- the view, by a new name and as a new column.
INSERT INTO site.damage VALUES ('suppressed_virtual_treenode', 'no history column', true),
	('stack_mirror', 'view without a column', true), ('stack_group_relation', 'view with an old name', true);
ALTER TABLE public.suppressed_virtual_treenode ADD COLUMN forgotten text;
ALTER TABLE public.stack_mirror ADD COLUMN added text DEFAULT 'x';
ALTER TABLE public.stack_mirror__history ADD COLUMN added text;
ALTER TABLE public.stack_group_relation RENAME COLUMN name TO relation_name;
ALTER TABLE public.stack_group_relation__history RENAME COLUMN name TO relation_name;
