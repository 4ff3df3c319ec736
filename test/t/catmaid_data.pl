# CATMAID's data, tracked, through edits of every kind: after each step every
# table is copied, and at the end the tables "as of" each step, taken from their
# __with_history views, must equal those copies.
#
# The data is ../shared/data/catmaid_testdata.json beside the project (or in the
# folder that CATMAID_SHARED names); without it a generated set of the same shape
# stands in.
use strict;
use warnings;

use FindBin;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @beside = qw(project stack stack_mirror project_stack stack_group
  stack_group_relation stack_stack_group textlabel textlabel_location message);
my @concepts = qw(concept class class_instance relation relation_instance
  class_instance_class_instance treenode_class_instance
  connector_class_instance treenode_connector log);
my @locations = qw(location treenode connector);
my @tables = (@beside, @concepts, @locations);

my $node = PostgreSQL::Test::Cluster->new('catmaid');
$node->init;
$node->start;
sub run_sql { return $node->safe_psql('postgres', join("\n", @_)); }

# Load, then track: real sites have data before they have history.
my $json = fixture();
run_sql('CREATE EXTENSION catmaid_history;');
$node->psql('postgres', undef, on_error_die => 1,
	extra_params => [ '-q', '-f', "$FindBin::Bin/data/catmaid_tables.sql" ]);
run_sql('CREATE TABLE fixture (doc jsonb);',
	"INSERT INTO fixture VALUES (\$json\$$json\$json\$);");
$node->psql('postgres', undef, on_error_die => 1,
	extra_params => [ '-q', '-f', "$FindBin::Bin/data/catmaid_load.sql" ]);

is( run_sql(q{SELECT string_agg(m || ' ' || n, ', ' ORDER BY m)
	FROM (VALUES ('treenode', (SELECT count(*) FROM treenode)),
	('connector', (SELECT count(*) FROM connector)),
	('classinstance', (SELECT count(*) FROM class_instance)),
	('relationinstance', (SELECT count(*) FROM relation_instance))) v(m, n)}),
	run_sql(q{SELECT string_agg(m || ' ' || (SELECT count(*) FROM rows_of(m)),
	', ' ORDER BY m) FROM unnest('{treenode,connector,classinstance,relationinstance}'::text[]) m}),
	'all of the data is loaded');

# Leaves first; their parents are set up with them, and are then there already.
run_sql(map { "SELECT create_history_table('$_', 'edition_time', 'txid');" }
	  reverse(@concepts), reverse(@locations));
run_sql(map { "SELECT create_history_table('$_');" } @beside);
is(run_sql('SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed'),
	scalar(@tables), 'every table is tracked');
is( run_sql(q{SELECT count(*) FROM pg_inherits i JOIN catmaid_history_table p
	ON p.history_table = i.inhparent JOIN catmaid_history_table c
	ON c.history_table = i.inhrelid JOIN pg_inherits l
	ON l.inhparent = p.live_table AND l.inhrelid = c.live_table}),
	11, 'the history tables mirror both hierarchies');

# Steps.  Each runs as a client would send it, in a transaction of its own
# unless it has several.
run_sql('CREATE SCHEMA snap;',
	'CREATE TABLE snap.steps (step int PRIMARY KEY, label text, at timestamptz);');
my $step = 0;

sub snapshot
{
	my ($label) = @_;
	run_sql(map { "CREATE TABLE snap.${_}_$step AS SELECT * FROM $_;" } @tables);
	# A command of its own: its time is after the last edit's transaction, and
	# before the next one's.
	run_sql("INSERT INTO snap.steps VALUES ($step, \$x\$$label\$x\$, clock_timestamp());");
	$step++;
}

# Runs a step and takes its snapshot.  The histories of these tables must grow by
# as many versions as the third argument counts, evaluated before the step.
sub edit
{
	my ($label, $tables, $expected, @sql) = @_;
	my $want = run_sql("SELECT $expected");
	my $sum = join(' + ', map { "(SELECT count(*) FROM ONLY ${_}__history)" } @$tables);
	my $before = run_sql("SELECT $sum");
	run_sql(@sql);
	is(run_sql("SELECT $sum - $before"), $want, "$label: $want versions");
	cmp_ok($want, '>', 0, "$label: the data has what is edited");
	snapshot($label);
}

sub rows { my ($from) = @_; return "(SELECT count(*) FROM $from)"; }
my $biggest = '(SELECT skeleton_id FROM treenode GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1)';
my $later = "id > (SELECT avg(id) FROM treenode WHERE skeleton_id = $biggest)";
my $a_node = '(SELECT min(id) FROM treenode WHERE parent_id IS NOT NULL)';

snapshot('loaded and tracked');
edit('a node moved', ['treenode'], '1',
	"UPDATE treenode SET location_x = location_x + 10 WHERE id = $a_node;");
edit('the node moved again, and back', ['treenode'], '2',
	"UPDATE treenode SET location_x = location_x + 10 WHERE id = $a_node;",
	"UPDATE treenode SET location_x = location_x - 10 WHERE id = $a_node;");
edit('a node moved twice in a transaction', ['treenode'], '2', 'BEGIN;',
	"UPDATE treenode SET radius = 1 WHERE id = $a_node;",
	"UPDATE treenode SET radius = 2 WHERE id = $a_node;", 'COMMIT;');
edit('a skeleton moved in a statement', ['treenode'],
	rows("treenode WHERE skeleton_id = $biggest"),
	"UPDATE treenode SET location_z = location_z + 1, editor_id = 4 WHERE skeleton_id = $biggest;");
edit('a skeleton split', ['treenode', 'class_instance'],
	rows("treenode WHERE skeleton_id = $biggest AND $later"),
	'BEGIN;',
	'INSERT INTO class_instance (user_id, project_id, class_id, name)
	 SELECT 3, project_id, class_id, \'split\' FROM class_instance WHERE id = ' . $biggest . ';',
	"UPDATE treenode SET skeleton_id = (SELECT max(id) FROM class_instance)
	 WHERE skeleton_id = $biggest AND $later;", 'COMMIT;');
edit('through location: nodes and connectors', [ 'location', 'treenode', 'connector' ],
	rows('location WHERE location_z >= 0 AND id % 3 = 0'),
	'UPDATE location SET location_y = location_y - 5 WHERE location_z >= 0 AND id % 3 = 0;');
edit('through concept: everything of a user', \@concepts,
	rows('concept WHERE user_id = (SELECT max(user_id) FROM concept)'),
	'UPDATE concept SET user_id = 1 WHERE user_id = (SELECT max(user_id) FROM concept);');
edit('a label removed', [ 'textlabel', 'textlabel_location' ],
	rows('textlabel WHERE id = 1') . ' + ' . rows('textlabel_location WHERE textlabel_id = 1'),
	'DELETE FROM textlabel WHERE id = 1;');
edit('a label, renamed and moved with its location', [ 'textlabel', 'textlabel_location' ],
	rows('textlabel') . ' + ' . rows('textlabel_location'), 'BEGIN;',
	q{UPDATE textlabel SET text = text || '!', edition_time = now();},
	'UPDATE textlabel_location SET location = ((location).x, 0, 0)::double3d;', 'COMMIT;');
edit('nodes and labels inserted, one changed since', ['treenode'], '1',
	"INSERT INTO treenode (user_id, project_id, location_x, location_y, location_z, parent_id,
	 skeleton_id) SELECT 3, project_id, 1, 2, n, id, skeleton_id FROM treenode,
	 generate_series(1, 20) n WHERE id = $a_node;",
	q{INSERT INTO message (title) VALUES ('hello');},
	'UPDATE treenode SET radius = 3 WHERE id = (SELECT max(id) FROM treenode);');
edit('nodes deleted and inserted again', [ 'treenode', 'treenode_class_instance', 'treenode_connector' ],
	rows('treenode WHERE id > 1000000'), 'CREATE TEMP TABLE kept AS SELECT * FROM treenode WHERE id > 1000000;',
	'DELETE FROM treenode WHERE id > 1000000;',
	'INSERT INTO treenode SELECT (jsonb_populate_record(k, jsonb_build_object(\'edition_time\', now()))).*
	 FROM kept k;');
edit('a message deleted and inserted again in a transaction', ['message'], '1', 'BEGIN;',
	'CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM message WHERE id = 1;',
	'DELETE FROM message WHERE id = 1;', 'INSERT INTO message SELECT * FROM kept;', 'COMMIT;');
edit('an upsert', ['stack'], rows('stack'),
	q{INSERT INTO stack SELECT * FROM stack ON CONFLICT (id) DO UPDATE SET comment = 'upserted';});
edit('keys changed', ['stack_mirror'], rows('stack_mirror'),
	'UPDATE stack_mirror SET id = id + 100;');
edit('a stack deleted, with its cascades', [ 'stack', 'stack_mirror', 'project_stack', 'stack_stack_group' ],
	join(' + ', rows('stack WHERE id = 5'), map { rows("$_ WHERE stack_id = 5") }
		  qw(stack_mirror project_stack stack_stack_group)), 'DELETE FROM stack WHERE id = 5;');
edit('what is rolled back leaves nothing, what is kept does', ['treenode'], '1', 'BEGIN;',
	'DELETE FROM treenode_connector;', 'ROLLBACK;', 'BEGIN;', 'SAVEPOINT s;',
	'UPDATE treenode SET radius = 99;', 'ROLLBACK TO s;',
	"UPDATE treenode SET radius = 4 WHERE id = $a_node;", 'COMMIT;');
edit('truncated: labels, and what refers to them', [ 'textlabel', 'textlabel_location' ],
	rows('textlabel') . ' + ' . rows('textlabel_location'), 'TRUNCATE textlabel CASCADE;');
edit('copied in and changed', ['message'], rows('message'),
	"COPY message (title, text) FROM stdin;\nnew\tone\nnew\ttwo\n\\.\n",
	"UPDATE message SET read = NOT read WHERE title <> 'new';");
my $largest = '(SELECT project_id FROM treenode GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1)';
edit('a project deleted, with its cascades', \@tables,
	join(' + ', rows("project WHERE id = $largest"), map { rows("ONLY $_ WHERE project_id = $largest") }
		  qw(project_stack textlabel), @concepts, @locations),
	"DELETE FROM project WHERE id = $largest;");
edit('and what is left truncated through its parents', [ @concepts, @locations, 'project', 'project_stack' ],
	join(' + ', map { rows("ONLY $_") } @concepts, @locations, 'project', 'project_stack')
	  . ' + 0', 'TRUNCATE project CASCADE;');

# The past, at each step, against its copy.
run_sql(q{CREATE FUNCTION snap.difference(t text, s int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	cols text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = t::regclass AND attnum > 0 AND NOT attisdropped);
	past text := format('SELECT %s FROM %I WHERE sys_period @> '
		'(SELECT at FROM snap.steps WHERE step = %s)', cols, t || '__with_history', s);
	copy text := format('SELECT %s FROM snap.%I', cols, t || '_' || s);
	result text;
BEGIN
	EXECUTE format('SELECT string_agg(what || row, E''\n'') FROM (
		(SELECT %1$L || '' misses '' AS what, d::text AS row FROM (%2$s EXCEPT ALL %3$s) d LIMIT 2)
		UNION ALL
		(SELECT %1$L || '' has too much '', d::text FROM (%3$s EXCEPT ALL %2$s) d LIMIT 2)) x',
		t, copy, past) INTO result;
	RETURN result;
END $$});
my $names = join(', ', map { "'$_'" } @tables);
for my $s (0 .. $step - 1)
{
	my $label = run_sql("SELECT label FROM snap.steps WHERE step = $s");
	is(run_sql("SELECT string_agg(snap.difference(t, $s), E'\\n') FROM unnest(ARRAY[$names]) t"),
		'', "as of step $s ($label): every table equals its copy");
}
cmp_ok($step, '>=', 20, 'there were edits of every kind');

# What holds for every version.
is( run_sql(map { "SELECT '$_', a.id FROM ONLY ${_}__history a JOIN ONLY ${_}__history b
	ON a.id = b.id AND a.ctid < b.ctid AND a.sys_period && b.sys_period LIMIT 3;" } @tables),
	'', 'no two versions of a row overlap');
is( run_sql('SELECT ' . join(' + ', map { "(SELECT count(*) FROM ONLY ${_}__history
	WHERE upper_inf(sys_period) OR lower_inf(sys_period) OR exec_transaction_id IS NULL)" } @tables)),
	'0', 'every version has a start, an end and a transaction');
is( run_sql(map { "SELECT '$_', exec_transaction_id FROM ${_}__history GROUP BY 2
	HAVING count(DISTINCT upper(sys_period)) > 1;" } @tables),
	'', 'a transaction ends all its versions at one time');

done_testing();

# The data as text, the real one where it is there.
sub fixture
{
	my $shared = $ENV{CATMAID_SHARED} // "$FindBin::Bin/../../../shared";
	my $file = "$shared/data/catmaid_testdata.json";
	return slurp_file($file) if -r $file;
	note("$file is not there: skipped, a generated data set of its shape stands in");
	diag('catmaid_data: CATMAID test data skipped (no ../shared), generated data instead');
	return generated();
}

# Two projects; eight skeletons of twelve nodes each, with labels and connectors.
sub generated
{
	my @o;
	my $t = '2011-09-04T07:53:41.243Z';
	my $id = 100;
	my $put = sub {
		my ($model, $pk, %f) = @_;
		push @o, { model => "catmaid.$model", pk => $pk, fields => \%f };
	};
	my $edited = sub { return (user => 3 + $_[0] % 2, project => 1,
			creation_time => $t, edition_time => $t) };
	$put->('project', $_, title => "Project $_") for 1, 2, 3;
	for my $s (1, 3, 5)
	{
		$put->('stack', $s, title => "Stack $s", comment => undef, description => '',
			resolution => '(5.000, 5.000, 9.000)', dimension => '(2048, 1536, 460)');
		$put->('stackmirror', $s, stack => $s, image_base => 'tiles/', tile_width => 256,
			tile_height => 256, file_extension => 'jpg', tile_source_type => 1);
		$put->('projectstack', $s, project => 1 + $s % 3, stack => $s, translation => '(0.0, 0.0, 0.0)');
	}
	$put->('stackgroup', 1, title => 'Group', comment => undef);
	$put->('stackgrouprelation', 1, name => 'view');
	$put->('stackstackgroup', 1, position => 0, stack => 5, stack_group => 1, group_relation => 1);
	for my $l (1, 2)
	{
		$put->('textlabel', $l, type => 'text', text => "label $l", font_name => undef,
			colour => '(1.000, 0.498, 0.000, 1.000)', font_style => 'bold', font_size => 160.0,
			project => 1, scaling => JSON::PP::true, deleted => JSON::PP::false,
			creation_time => $t, edition_time => $t);
		$put->('textlabellocation', $l, textlabel => $l, deleted => JSON::PP::false,
			location => '(3155.000, 1775.000, 27.000)');
		$put->('message', $l, user => 3, title => "Message $l", text => 'x', action => '',
			time => $t, read => JSON::PP::false);
	}
	my $relate = sub {
		my ($model, $n, %f) = @_;
		$put->($model, ++$id, $edited->($n), relation => 20, %f);
		$put->('relationinstance', $id, $edited->($n), relation => 20);
	};
	$put->('relation', 20, $edited->(0), relation_name => 'element_of', uri => undef,
		description => undef, isreciprocal => JSON::PP::false);
	$put->('class', $_, $edited->($_), class_name => "class $_", description => undef) for 1 .. 4;
	$put->('class', $_, $edited->($_), class_name => "class $_", description => undef,
		project => 2) for 5, 6;
	for my $s (1 .. 8)
	{
		my $skeleton = 40 + $s;
		$put->('classinstance', $skeleton, $edited->($s), class_column => 1 + $s % 4, name => "skeleton $s");
		$put->('classinstance', 60 + $s, $edited->($s), class_column => 1, name => "neuron $s");
		$relate->('classinstanceclassinstance', $s, class_instance_a => $skeleton, class_instance_b => 60 + $s);
		$put->('connector', 900 + $s, $edited->($s), location_x => $s, location_y => 2.5, location_z => $s,
			editor => 3, confidence => 5);
		$relate->('connectorclassinstance', $s, connector => 900 + $s, class_instance => 60 + $s);
		for my $n (1 .. 12)
		{
			my $node = 1000 + 100 * $s + $n;
			$put->('treenode', $node, $edited->($s), parent => $n == 1 ? undef : $node - 1, skeleton => $skeleton,
				radius => -1.0, confidence => 5, editor => 3, location_x => 10 * $n, location_y => $n / 4, location_z => $s);
			$relate->('treenodeclassinstance', $s, treenode => $node, class_instance => $skeleton);
			$relate->('treenodeconnector', $s, treenode => $node, connector => 900 + $s,
				skeleton => $skeleton, confidence => 5) if $n % 4 == 0;
		}
	}
	$put->('log', 30, $edited->(0), operation_type => 'create_neuron', location => '(1, 2, 3)', freetext => 'x');
	return JSON::PP->new->canonical->encode(\@o);
}
