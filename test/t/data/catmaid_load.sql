-- Fills the tables of catmaid_tables.sql from fixture(doc), a JSON array in the
-- shape of Django's dumpdata.  Rows of "relationinstance" repeat, under the same
-- key, those of its children, which inheritance shows there anyway.
CREATE FUNCTION rows_of(model text) RETURNS TABLE (id bigint, f jsonb)
LANGUAGE sql AS $$
	SELECT (o ->> 'pk')::bigint, o -> 'fields'
	FROM fixture, jsonb_array_elements(doc) WITH ORDINALITY AS e(o, n)
	WHERE o ->> 'model' = 'catmaid.' || model ORDER BY n $$;
BEGIN;
INSERT INTO project (id, title) SELECT id, f ->> 'title' FROM rows_of('project');
INSERT INTO stack (id, title, dimension, resolution, comment, description)
SELECT id, f ->> 'title', (f ->> 'dimension')::integer3d, (f ->> 'resolution')::double3d,
	f ->> 'comment', f ->> 'description' FROM rows_of('stack');
INSERT INTO stack_mirror SELECT id, (f ->> 'stack')::int, f ->> 'image_base',
	(f ->> 'tile_width')::int, (f ->> 'tile_height')::int, f ->> 'file_extension',
	(f ->> 'tile_source_type')::int FROM rows_of('stackmirror');
INSERT INTO project_stack SELECT id, (f ->> 'project')::int, (f ->> 'stack')::int,
	(f ->> 'translation')::double3d FROM rows_of('projectstack');
INSERT INTO stack_group SELECT id, f ->> 'title', f ->> 'comment' FROM rows_of('stackgroup');
INSERT INTO stack_group_relation SELECT id, f ->> 'name' FROM rows_of('stackgrouprelation');
INSERT INTO stack_stack_group SELECT id, (f ->> 'position')::int, (f ->> 'stack')::int,
	(f ->> 'stack_group')::int, (f ->> 'group_relation')::int FROM rows_of('stackstackgroup');
INSERT INTO textlabel SELECT id, f ->> 'type', f ->> 'text', (f ->> 'colour')::rgba,
	f ->> 'font_name', f ->> 'font_style', (f ->> 'font_size')::float8, (f ->> 'project')::int,
	(f ->> 'scaling')::boolean, (f ->> 'deleted')::boolean, (f ->> 'creation_time')::timestamptz,
	(f ->> 'edition_time')::timestamptz FROM rows_of('textlabel');
INSERT INTO textlabel_location SELECT id, (f ->> 'textlabel')::int, (f ->> 'location')::double3d,
	(f ->> 'deleted')::boolean FROM rows_of('textlabellocation');
INSERT INTO message SELECT id, (f ->> 'user')::int, (f ->> 'time')::timestamptz,
	(f ->> 'read')::boolean, f ->> 'title', f ->> 'text', f ->> 'action' FROM rows_of('message');

-- The columns that all of the two hierarchies share come first in each table;
-- what follows is given in the order of the table.
CREATE PROCEDURE load(t regclass, model text, shared text, own text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s SELECT id, (f ->> ''user'')::int, (f ->> ''project'')::int, '
		'%s (f ->> ''creation_time'')::timestamptz, (f ->> ''edition_time'')::timestamptz, '
		'txid_current(), %s FROM rows_of(%L)', t, shared, own, model);
END $$;
CALL load('class', 'class', '', 'f ->> ''class_name'', f ->> ''description''');
CALL load('class_instance', 'classinstance', '', '(f ->> ''class_column'')::bigint, f ->> ''name''');
CALL load('relation', 'relation', '', 'f ->> ''relation_name'', f ->> ''uri'', f ->> ''description'',
	(f ->> ''isreciprocal'')::boolean');
CALL load('class_instance_class_instance', 'classinstanceclassinstance', '',
	'(f ->> ''relation'')::bigint, (f ->> ''class_instance_a'')::bigint, (f ->> ''class_instance_b'')::bigint');
CALL load('treenode_class_instance', 'treenodeclassinstance', '',
	'(f ->> ''relation'')::bigint, (f ->> ''treenode'')::bigint, (f ->> ''class_instance'')::bigint');
CALL load('connector_class_instance', 'connectorclassinstance', '',
	'(f ->> ''relation'')::bigint, (f ->> ''connector'')::bigint, (f ->> ''class_instance'')::bigint');
CALL load('treenode_connector', 'treenodeconnector', '',
	'(f ->> ''relation'')::bigint, (f ->> ''treenode'')::bigint, (f ->> ''connector'')::bigint,
	(f ->> ''skeleton'')::bigint, (f ->> ''confidence'')::smallint');
CALL load('log', 'log', '', 'f ->> ''operation_type'', (f ->> ''location'')::double3d, f ->> ''freetext''');
\set place '(f ->> ''location_x'')::real, (f ->> ''location_y'')::real, (f ->> ''location_z'')::real, (f ->> ''editor'')::int,'
CALL load('treenode', 'treenode', :'place', '(f ->> ''parent'')::bigint, (f ->> ''radius'')::real,
	(f ->> ''confidence'')::smallint, (f ->> ''skeleton'')::bigint');
CALL load('connector', 'connector', :'place', '(f ->> ''confidence'')::smallint');
COMMIT;
SELECT setval('concept_id_seq', 1000000), setval('location_id_seq', 1000000),
	setval('message_id_seq', 1000);
