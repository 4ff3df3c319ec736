# What is compared: the same table untracked, with this extension, as a physical
# floor, with PL/pgSQL statement triggers, and as peers do it.
#
# A table's shape is plain (a time column), child (the same below a parent) or
# tracking (no time column in use).  Each shape of each subject is a schema of its
# own with a table treenode, so that the workloads name just that.
package Subjects;

use strict;
use warnings;

our @shapes = qw(plain child tracking);
our @subjects = qw(untracked catmaid_history floor plpgsql);

# CATMAID's treenode, its fifteen columns and its indexes.
my @location = (
	'id bigint NOT NULL', 'user_id int NOT NULL', 'project_id int NOT NULL',
	'creation_time timestamptz NOT NULL DEFAULT now()',
	'edition_time timestamptz NOT NULL DEFAULT now()',
	'location_x real NOT NULL', 'location_y real NOT NULL',
	'location_z real NOT NULL', 'editor_id int',
	'txid bigint NOT NULL DEFAULT txid_current()');
my @treenode = (
	'parent_id bigint', 'radius real NOT NULL DEFAULT 0',
	'confidence smallint NOT NULL DEFAULT 5', 'skeleton_id bigint NOT NULL',
	'review text');
our $columns = join ', ', map { /^(\w+)/ } @location, @treenode;

# The values of row i.
our $values = "i, i % 17, i % 3, now(), now(), i, i * 2, i % 4000, i % 17, txid_current(), "
  . "nullif(i - 1, 0), 2.5, 5, i / 100, CASE WHEN i % 20 = 0 THEN 'review ' || i END";

sub schema { my ($shape, $subject) = @_; return "${shape}_$subject"; }

# SQL that makes the shape's table with rows in it, and the subject's history of it.
sub setup
{
	my ($shape, $subject, $rows, $peer_sql) = @_;
	my $schema = schema($shape, $subject);
	my $sql = "CREATE SCHEMA $schema; SET search_path = $schema, public;\n";

	if ($shape eq 'child')
	{
		$sql .= "CREATE TABLE location (@{[join ', ', @location]}, PRIMARY KEY (id));\n"
		  . "CREATE TABLE treenode (@{[join ', ', @treenode]}, PRIMARY KEY (id)) INHERITS (location);\n";
	}
	else
	{
		$sql .= "CREATE TABLE treenode (@{[join ', ', @location, @treenode]}, PRIMARY KEY (id));\n";
	}
	$sql .= "CREATE INDEX ON treenode ($_);\n"
	  for qw(project_id parent_id skeleton_id creation_time),
	  $shape eq 'tracking' ? () : 'edition_time';
	$sql .= "INSERT INTO treenode ($columns) SELECT $values FROM generate_series(1, $rows) i;\n";
	$sql .= $subject eq 'catmaid_history' ? ours($shape)
	  : $subject eq 'floor' ? history($schema, $shape)
	  : $subject eq 'plpgsql' ? history($schema, $shape) . plpgsql($shape)
	  : $subject eq 'untracked' ? '' : $peer_sql;

	# one version of each row, so that no index is empty
	$sql .= history_of_all($shape) if $subject eq 'floor';
	$sql .= "UPDATE treenode SET editor_id = 1" . edition($shape) . ";\n";
	return $sql;
}

# What the application writes into its time column.
sub edition { return $_[0] eq 'tracking' ? '' : ', edition_time = now()'; }

sub ours
{
	my ($shape) = @_;
	return $shape eq 'tracking'
	  ? "SELECT create_history_table('treenode');\n"
	  : "SELECT create_history_table('treenode', 'edition_time', 'txid');\n";
}

# History and tracking table by hand, with whatever indexes the extension gives its
# own (which are set up before).
sub history
{
	my ($schema, $shape) = @_;
	my $own = schema($shape, 'catmaid_history');
	my $sql = "CREATE TABLE history ($columns, sys_period, exec_transaction_id) AS "
	  . "SELECT $columns, tstzrange(now(), NULL), txid_current() FROM treenode LIMIT 0;\n"
	  . "ALTER TABLE history ALTER sys_period SET NOT NULL, ALTER exec_transaction_id SET NOT NULL;\n";
	$sql .= "CREATE TABLE tracking (live_pk bigint NOT NULL, edition_time timestamptz NOT NULL, txid bigint NOT NULL);\n"
	  . "INSERT INTO tracking SELECT id, now(), txid_current() FROM treenode;\n"
	  if $shape eq 'tracking';
	for ([ 'treenode__history', 'history' ],
		$shape eq 'tracking' ? [ 'treenode__tracking', 'tracking' ] : ())
	{
		$sql .= "SELECT regexp_replace(pg_get_indexdef(indexrelid), "
		  . "'^CREATE (UNIQUE )?INDEX \\S+ ON \\S+ USING', 'CREATE \\1INDEX ON $schema.$_->[1] USING') "
		  . "FROM pg_index WHERE indrelid = '$own.$_->[0]'::regclass ORDER BY indexrelid \\gexec\n"
		  . "SELECT format('ALTER TABLE %s SET (%s)', '$schema.$_->[1]', array_to_string(reloptions, ', ')) "
		  . "FROM pg_class WHERE oid = '$own.$_->[0]'::regclass AND reloptions IS NOT NULL \\gexec\n";
	}
	return $sql;
}

# The floor's statement: the rows that WHERE chooses go to the history.
sub history_of
{
	my ($shape, $where) = @_;
	my $live = join ', ', map { "l.$_" } split /, /, $columns;
	return $shape eq 'tracking'
	  ? "INSERT INTO history SELECT $live, tstzrange(least(t.edition_time, now()), now()), txid_current() "
	  . "FROM treenode l LEFT JOIN tracking t ON t.live_pk = l.id WHERE $where"
	  : "INSERT INTO history SELECT $live, tstzrange(least(l.edition_time, now()), now()), txid_current() "
	  . "FROM treenode l WHERE $where";
}

sub history_of_all { return history_of($_[0], 'true') . ";\n"; }

# Statement triggers with transition tables, as good as they come: one statement
# each for all rows.  (Unlike the extension they miss what is written through a
# parent, and changes of the key.)
sub plpgsql
{
	my ($shape) = @_;
	my $live = join ', ', map { "o.$_" } split /, /, $columns;
	my $sql = '';
	my $trigger = sub {
		my ($name, $when, $level, $body) = @_;
		$sql .= "CREATE FUNCTION $name() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body END \$\$;\n"
		  . "CREATE TRIGGER $name $when FOR EACH $level EXECUTE FUNCTION $name();\n";
	};

	if ($shape ne 'tracking')
	{
		my $store = sub {
			"INSERT INTO history SELECT $live, tstzrange(least(o.edition_time, now()), now()), txid_current() FROM $_[0] o;";
		};
		$trigger->('stamp', 'BEFORE UPDATE ON treenode', 'ROW',
			'NEW.txid := txid_current(); RETURN NEW;');
		$trigger->('updated', 'AFTER UPDATE ON treenode REFERENCING OLD TABLE AS old_rows',
			'STATEMENT', $store->('old_rows') . ' RETURN NULL;');
		$trigger->('deleted', 'AFTER DELETE ON treenode REFERENCING OLD TABLE AS old_rows',
			'STATEMENT', $store->('old_rows') . ' RETURN NULL;');
		$trigger->('truncated', 'BEFORE TRUNCATE ON treenode', 'STATEMENT',
			$store->('ONLY treenode') . ' RETURN NULL;');
		return $sql;
	}

	my $store = sub {
		"INSERT INTO history SELECT $live, tstzrange(least(t.edition_time, now()), now()), txid_current() "
		  . "FROM $_[0] o LEFT JOIN tracking t ON t.live_pk = o.id;";
	};
	$trigger->('inserted', 'AFTER INSERT ON treenode REFERENCING NEW TABLE AS new_rows', 'STATEMENT',
		'INSERT INTO tracking SELECT id, now(), txid_current() FROM new_rows; RETURN NULL;');
	$trigger->('updated', 'AFTER UPDATE ON treenode REFERENCING OLD TABLE AS old_rows', 'STATEMENT',
		$store->('old_rows')
		  . ' UPDATE tracking t SET edition_time = greatest(t.edition_time, now()), txid = txid_current()'
		  . ' FROM old_rows o WHERE t.live_pk = o.id; RETURN NULL;');
	$trigger->('deleted', 'AFTER DELETE ON treenode REFERENCING OLD TABLE AS old_rows', 'STATEMENT',
		$store->('old_rows')
		  . ' DELETE FROM tracking t USING old_rows o WHERE t.live_pk = o.id; RETURN NULL;');
	$trigger->('truncated', 'BEFORE TRUNCATE ON treenode', 'STATEMENT',
		$store->('treenode') . ' TRUNCATE tracking; RETURN NULL;');
	return $sql;
}

1;
