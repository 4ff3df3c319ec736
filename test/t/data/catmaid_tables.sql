-- Tables in the shape of CATMAID's, for catmaid_data.pl: two inheritance
-- hierarchies with edit times, and tables beside them without.  References are
-- deferred, as Django makes them; those to project and stack cascade.
CREATE TYPE integer3d AS (x integer, y integer, z integer);
CREATE TYPE double3d AS (x float8, y float8, z float8);
CREATE TYPE rgba AS (r real, g real, b real, a real);

CREATE TABLE project (id serial PRIMARY KEY, title text NOT NULL, comment text);
CREATE TABLE stack (id serial PRIMARY KEY, title text NOT NULL, dimension integer3d NOT NULL,
	resolution double3d NOT NULL, comment text, description text NOT NULL DEFAULT '');
CREATE TABLE stack_mirror (id serial PRIMARY KEY,
	stack_id int NOT NULL REFERENCES stack ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	image_base text NOT NULL, tile_width int, tile_height int, file_extension text,
	tile_source_type int);
CREATE TABLE project_stack (id serial PRIMARY KEY,
	project_id int NOT NULL REFERENCES project ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	stack_id int NOT NULL REFERENCES stack ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	translation double3d NOT NULL);
CREATE TABLE stack_group (id serial PRIMARY KEY, title text NOT NULL, comment text);
CREATE TABLE stack_group_relation (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE stack_stack_group (id serial PRIMARY KEY, position int NOT NULL,
	stack_id int NOT NULL REFERENCES stack ON DELETE CASCADE,
	stack_group_id int NOT NULL REFERENCES stack_group ON DELETE CASCADE,
	group_relation_id int NOT NULL REFERENCES stack_group_relation ON DELETE CASCADE);
CREATE TABLE textlabel (id serial PRIMARY KEY, type text NOT NULL, text text NOT NULL,
	colour rgba NOT NULL, font_name text, font_style text, font_size float8 NOT NULL,
	project_id int NOT NULL REFERENCES project ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	scaling boolean NOT NULL, deleted boolean NOT NULL,
	creation_time timestamptz NOT NULL DEFAULT now(), edition_time timestamptz NOT NULL DEFAULT now());
CREATE TABLE textlabel_location (id serial PRIMARY KEY,
	textlabel_id int NOT NULL REFERENCES textlabel ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	location double3d NOT NULL, deleted boolean NOT NULL);
CREATE TABLE message (id serial PRIMARY KEY, user_id int, "time" timestamptz NOT NULL DEFAULT now(),
	read boolean NOT NULL DEFAULT false, title text NOT NULL, text text, action text);

CREATE SEQUENCE concept_id_seq;
CREATE TABLE concept (id bigint PRIMARY KEY DEFAULT nextval('concept_id_seq'), user_id int NOT NULL,
	project_id int NOT NULL REFERENCES project ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	creation_time timestamptz NOT NULL DEFAULT now(), edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE class (class_name text NOT NULL, description text, PRIMARY KEY (id)) INHERITS (concept);
CREATE TABLE class_instance (class_id bigint NOT NULL, name text NOT NULL,
	PRIMARY KEY (id)) INHERITS (concept);
CREATE TABLE relation (relation_name text NOT NULL, uri text, description text,
	isreciprocal boolean NOT NULL DEFAULT false, PRIMARY KEY (id)) INHERITS (concept);
CREATE TABLE relation_instance (relation_id bigint NOT NULL, PRIMARY KEY (id)) INHERITS (concept);

CREATE SEQUENCE location_id_seq;
CREATE TABLE location (id bigint PRIMARY KEY DEFAULT nextval('location_id_seq'), user_id int NOT NULL,
	project_id int NOT NULL REFERENCES project ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
	location_x real NOT NULL, location_y real NOT NULL, location_z real NOT NULL, editor_id int,
	creation_time timestamptz NOT NULL DEFAULT now(), edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE treenode (parent_id bigint, radius real NOT NULL DEFAULT 0,
	confidence smallint NOT NULL DEFAULT 5, skeleton_id bigint NOT NULL,
	PRIMARY KEY (id)) INHERITS (location);
CREATE TABLE connector (confidence smallint NOT NULL DEFAULT 5, PRIMARY KEY (id)) INHERITS (location);

CREATE TABLE class_instance_class_instance (class_instance_a bigint NOT NULL,
	class_instance_b bigint NOT NULL, PRIMARY KEY (id)) INHERITS (relation_instance);
CREATE TABLE treenode_class_instance (treenode_id bigint NOT NULL, class_instance_id bigint NOT NULL,
	PRIMARY KEY (id)) INHERITS (relation_instance);
CREATE TABLE connector_class_instance (connector_id bigint NOT NULL, class_instance_id bigint NOT NULL,
	PRIMARY KEY (id)) INHERITS (relation_instance);
CREATE TABLE treenode_connector (treenode_id bigint NOT NULL, connector_id bigint NOT NULL,
	skeleton_id bigint NOT NULL, confidence smallint NOT NULL DEFAULT 5,
	PRIMARY KEY (id)) INHERITS (relation_instance);
CREATE TABLE log (operation_type text NOT NULL, location double3d, freetext text,
	PRIMARY KEY (id)) INHERITS (concept);

-- References among the hierarchies, on each table that has rows.
CREATE PROCEDURE reference(child regclass, col name, parent regclass, action text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER TABLE %s ADD FOREIGN KEY (%I) REFERENCES %s ON DELETE %s '
		'DEFERRABLE INITIALLY DEFERRED', child, col, parent, action);
END $$;
DO $$
DECLARE
	t regclass;
BEGIN
	FOREACH t IN ARRAY '{class,class_instance,relation,class_instance_class_instance,
		treenode_class_instance,connector_class_instance,treenode_connector,log,treenode,
		connector}'::regclass[] LOOP
		CALL reference(t, 'project_id', 'project', 'CASCADE');
	END LOOP;
END $$;
CALL reference('class_instance', 'class_id', 'class', 'CASCADE');
CALL reference('class_instance_class_instance', 'class_instance_a', 'class_instance', 'CASCADE');
CALL reference('class_instance_class_instance', 'class_instance_b', 'class_instance', 'CASCADE');
CALL reference('class_instance_class_instance', 'relation_id', 'relation', 'CASCADE');
CALL reference('treenode_class_instance', 'treenode_id', 'treenode', 'CASCADE');
CALL reference('treenode_class_instance', 'class_instance_id', 'class_instance', 'CASCADE');
CALL reference('treenode_class_instance', 'relation_id', 'relation', 'CASCADE');
CALL reference('connector_class_instance', 'connector_id', 'connector', 'CASCADE');
CALL reference('connector_class_instance', 'class_instance_id', 'class_instance', 'CASCADE');
CALL reference('treenode_connector', 'treenode_id', 'treenode', 'CASCADE');
CALL reference('treenode_connector', 'connector_id', 'connector', 'CASCADE');
CALL reference('treenode_connector', 'skeleton_id', 'class_instance', 'CASCADE');
CALL reference('treenode', 'parent_id', 'treenode', 'SET NULL');
CALL reference('treenode', 'skeleton_id', 'class_instance', 'CASCADE');

-- The application's own trigger: who edits sets the edition time.
CREATE FUNCTION on_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.edition_time := now();
	NEW.txid := txid_current();
	RETURN NEW;
END $$;
DO $$
DECLARE
	t regclass;
BEGIN
	FOREACH t IN ARRAY '{concept,class,class_instance,relation,relation_instance,
		class_instance_class_instance,treenode_class_instance,connector_class_instance,
		treenode_connector,log,location,treenode,connector}'::regclass[] LOOP
		EXECUTE format('CREATE TRIGGER on_edit BEFORE UPDATE ON %s FOR EACH ROW '
			'EXECUTE FUNCTION on_edit()', t);
	END LOOP;
END $$;
