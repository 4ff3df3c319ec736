# More ways to dump and to restore (SPEC section 8): parts left out, the nightly
# line of CATMAID's manual, data alone, sections, other schemas and roles, several
# jobs and the orders in which they may work.  After each of them changes of rows
# and of columns go on being recorded.
#
# dump.pl has the plain ways and what they have in common.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dumps;

my $node = PostgreSQL::Test::Cluster->new('restore');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 256\n");
$node->start;
Dumps::use_node($node);
my $dir = $node->backup_dir;
mkdir $dir;
my @psql = ('psql', '-X', '-q', '-o', '/dev/null', '-d');

# table => an UPDATE that ends one version of it
my %tables = (
	timed => "UPDATE timed SET v = 'new' WHERE id = 3",
	leaf => "UPDATE base SET v = 'new' WHERE id = 2",
	part => "UPDATE part SET v = 'new' WHERE id = 3",
	guarded => "UPDATE guarded SET v = 'new' WHERE id = 3",
	swaps => "UPDATE swaps SET v = 'new' WHERE id = 3",
	two => "UPDATE two SET v = 'new' WHERE a = 3",
	refers => "UPDATE app.refers SET v = 'new' WHERE id = 3",
);
my %schema = (refers => 'app.');

fill('source', 'public');
several_jobs();
other_orders();
sections();
nightly();
nightly_without_a_tracked_table();
left_out();
data_alone();
other_schema();
renamed_schema();
by_the_owner();
row_security();

$node->stop;
done_testing();

# Tables of every kind, with history, some of them disabled; and one without.
sub fill
{
	my ($db, $schema) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$node->safe_psql($db, <<"SQL");
CREATE SCHEMA IF NOT EXISTS $schema;
CREATE EXTENSION catmaid_history SCHEMA $schema;
SET search_path = public, $schema;
CREATE SCHEMA app;
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (extra int, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE part (id int, region int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
CREATE TABLE part_3 PARTITION OF part DEFAULT PARTITION BY RANGE (region);
CREATE TABLE part_3a (v text, region int NOT NULL, id int NOT NULL);
ALTER TABLE part_3 ATTACH PARTITION part_3a FOR VALUES FROM (3) TO (100);
CREATE TABLE guarded (id int PRIMARY KEY, v text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (v <> 'hidden');
CREATE TABLE swaps (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
CREATE TABLE two (a int, b text, v text, PRIMARY KEY (b, a));
CREATE TABLE app.refers (id int PRIMARY KEY, t int REFERENCES timed ON DELETE CASCADE, v text);
CREATE TABLE off (id int PRIMARY KEY, v text);
CREATE TABLE off_part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE off_part_1 PARTITION OF off_part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE treenode_edge (id int PRIMARY KEY REFERENCES timed, edge text);
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table(r) FROM unnest('{leaf,part,guarded,swaps,two,app.refers,off,off_part}'::text[]) r;
INSERT INTO timed (id, v) SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO base VALUES (1, 'b');
INSERT INTO leaf VALUES (2, 'l', 3);
INSERT INTO part SELECT i, i % 5, 'v' || i FROM generate_series(1, 20) i WHERE i % 5 > 0;
INSERT INTO guarded SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO swaps SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO two SELECT i, 'b', 'v' || i FROM generate_series(1, 20) i;
INSERT INTO app.refers SELECT i, i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO off SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO off_part SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO treenode_edge SELECT i, 'e' FROM generate_series(5, 20) i;
SQL
	$node->safe_psql($db, <<"SQL");
SET search_path = public, $schema;
INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (1, 'Backend', 'a test', 2);
UPDATE timed SET v = v || '!' WHERE id < 10;
UPDATE part SET v = v || '!' WHERE id < 10;
UPDATE guarded SET v = v || '!' WHERE id < 10;
UPDATE two SET v = v || '!' WHERE a < 10;
UPDATE swaps SET id = 21 - id;
DELETE FROM timed WHERE id = 1;
UPDATE off SET v = v || '!';
SELECT disable_history_tracking_for_table(r) FROM unnest('{off,off_part}'::text[]) r;
SQL
	return;
}

sub fresh
{
	my ($db, $like) = @_;
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $db");
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE " . ($like // 'template0'));
	return;
}

# Run a client and return all that it said.
sub output
{
	my ($out, $err);
	run_client([@_], \$out, \$err);
	return "$out$err";
}

# Changes are recorded, once, in the tables named, before and after a column was
# added; those that were disabled can be enabled.
sub goes_on
{
	my ($db, $name, @what) = @_;
	my $ext = $node->safe_psql($db, q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'catmaid_history'});
	my $sql = "SET client_min_messages = warning;\nSET search_path = public, $ext;\n";
	for my $t (@what)
	{
		my $table = ($schema{$t} // '') . $t;
		my $of_this = "FROM ONLY ${table}__history WHERE exec_transaction_id = txid_current()";
		$sql .= <<"SQL";
BEGIN;
$tables{$t};
SELECT '$t ' || count(*) $of_this;
COMMIT;
ALTER TABLE $table ADD COLUMN later int;
BEGIN;
@{[ $tables{$t} =~ s/SET v = 'new'/SET v = 'newer'/r ]};
SELECT concat_ws(' ', '$t', count(*), coalesce(min(later)::text, 'null')) $of_this;
COMMIT;
SQL
	}
	for my $t (split /\n/, $node->safe_psql($db, "SELECT live_table FROM $ext.catmaid_history_table WHERE NOT triggers_installed ORDER BY 1"))
	{
		$sql .= "SELECT enable_history_tracking_for_table('$t');\nUPDATE $t SET v = 'on again' WHERE id = 4;\n"
		  . "SELECT '$t ' || count(*) FROM ${t}__history WHERE exec_transaction_id::text = "
		  . "(SELECT max(exec_transaction_id)::text FROM ${t}__history) AND v LIKE 'v4%';\n";
		push @what, $t;
	}
	my ($rc, $out, $err) = $node->psql($db, $sql, on_error_stop => 1);
	is($err . join(', ', grep { /./ } split /\n/, $out),
		join(', ', map { /^off/ ? "$_ 1" : ("$_ 1", "$_ 1 null") } @what), "$name: changes go on being recorded");
	return;
}

sub all_well
{
	my ($name, @command) = @_;
	is(output(@command), '', "$name: no output");
	same(contents_or_error('restored'), contents('source'), "$name: all is identical");
	goes_on('restored', $name, sort keys %tables);
	return;
}

# --- the ways ------------------------------------------------------------------

# Several jobs make indexes, keys and triggers of one table at the same time.
sub several_jobs
{
	is(output('pg_dump', '-Fd', '-j', '3', '-f', "$dir/source.dir", 'source'), '', 'a dump by three jobs');
	is(output('pg_dump', '-Fc', '-f', "$dir/source.custom", 'source'), '', 'a custom dump');
	my ($times, $quiet, $identical) = (5, 0, 0);
	for (1 .. $times)
	{
		fresh('restored');
		my $said = output('pg_restore', '-j', '4', '-d', 'restored', $_ % 2 ? "$dir/source.dir" : "$dir/source.custom");
		$said eq '' ? $quiet++ : diag $said;
		$identical++ if contents_or_error('restored') eq contents('source');
	}
	is("$quiet $identical", "$times $times", "restored by four jobs $times times, without output, all identical");
	goes_on('restored', 'restored by four jobs', sort keys %tables);
	return;
}

# What several jobs may come to, one after the other: triggers before the keys
# and indexes, and the registry before or after them.
sub other_orders
{
	my @list = split /\n/, output('pg_restore', '-l', "$dir/source.custom");
	my ($registry) = grep { /TABLE DATA \S+ catmaid_history_table_by_name / } @list;
	ok($registry, 'the registry is in the dump');
	my @triggers = grep { / (TRIGGER|ROW SECURITY) / } @list;
	my @others = grep { !/ (TRIGGER|ROW SECURITY) / && $_ ne $registry } @list;
	my ($data) = grep { $others[$_] =~ / (CONSTRAINT|INDEX) / } 0 .. $#others;
	my ($first) = grep { $others[$_] =~ / TABLE DATA / } 0 .. $#others;
	# a partitioned table has no data for which its triggers would wait
	my @early = grep { / TRIGGER \S+ (off_)?part / } @triggers;
	my @late = grep { !/ TRIGGER \S+ (off_)?part / } @triggers;
	is(scalar(@early), 4, 'triggers of a partitioned table');
	my %orders = (
		'triggers of a partitioned table, registry, data, keys, triggers' => [ @others[ 0 .. $first - 1 ], @early, $registry, @others[ $first .. $#others ], @late ],
		'triggers of a partitioned table, data backwards, registry, keys, triggers' =>
			[ @others[ 0 .. $first - 1 ], @early, (reverse @others[ $first .. $data - 1 ]), $registry, @others[ $data .. $#others ], @late ],
		'registry, data, triggers, keys' => [ @others[ 0 .. $first - 1 ], $registry, @others[ $first .. $data - 1 ], @triggers, @others[ $data .. $#others ] ],
		'data, triggers, registry, keys' => [ @others[ 0 .. $data - 1 ], @triggers, $registry, @others[ $data .. $#others ] ],
		'data, keys, triggers, registry' => [ @others, @triggers, $registry ],
		'data, registry, triggers backwards, keys' => [ @others[ 0 .. $data - 1 ], $registry, reverse(@triggers), @others[ $data .. $#others ] ],
	);
	for my $order (sort keys %orders)
	{
		PostgreSQL::Test::Utils::append_to_file("$dir/$order", join("\n", @{ $orders{$order} }, ''));
		fresh('restored');
		all_well("in the order $order", 'pg_restore', '-L', "$dir/$order", '-d', 'restored', "$dir/source.custom");
	}
	return;
}

sub sections
{
	fresh('restored');
	my $said = '';
	$said .= output('pg_restore', "--section=$_", '-d', 'restored', "$dir/source.custom") for qw(pre-data data);
	all_well('section by section', 'pg_restore', '--section=post-data', '-d', 'restored', "$dir/source.custom");
	is($said, '', 'section by section: nor before');
	return;
}

# pg_dump --clean -T treenode_edge, as the manual has it, into nothing (where there
# is nothing to clean, as psql says) and over itself.  Without what --clean cannot
# do by itself: partitioned keys, and dropping what the table left out refers to.
sub nightly
{
	$node->safe_psql('postgres', 'CREATE DATABASE catmaid TEMPLATE source');
	$node->safe_psql('catmaid', 'DROP TABLE part, off_part CASCADE; DROP TABLE off_part__history; ALTER TABLE treenode_edge DROP CONSTRAINT treenode_edge_id_fkey');
	is(output('pg_dump', '--clean', '-T', 'treenode_edge', 'catmaid', '-f', "$dir/catmaid.sql"), '', 'the nightly line');
	my @live = grep { !/^(off_)?part/ } sort keys %tables;
	my $expected = contents('catmaid');

	fresh('restored', 'catmaid');
	is(output(@psql, 'restored', '-f', "$dir/catmaid.sql"), '', 'nightly, over itself: no output');
	same(contents_or_error('restored'), $expected, 'nightly, over itself: all is identical');
	goes_on('restored', 'nightly, over itself', @live);

	fresh('restored', 'catmaid');
	is(output(@psql, 'restored', '-1', '-f', "$dir/catmaid.sql"), '', 'nightly, over itself, in one transaction: no output');
	same(contents_or_error('restored'), $expected, 'nightly, over itself, in one transaction: all is identical');

	fresh('restored');
	my @said = grep { !/does not exist/ } split /\n/, output(@psql, 'restored', '-f', "$dir/catmaid.sql");
	is("@said", '', 'nightly, into nothing: nothing said but what there was not to be dropped');
	$node->safe_psql('restored', 'CREATE TABLE treenode_edge (LIKE timed)');
	$node->safe_psql('restored', 'DROP TABLE treenode_edge; CREATE TABLE treenode_edge (id int PRIMARY KEY, edge text);'
		. "INSERT INTO treenode_edge SELECT i, 'e' FROM generate_series(5, 20) i");
	same(contents_or_error('restored'), $expected, 'nightly, into nothing: all but the table that was left out');
	goes_on('restored', 'nightly, into nothing', @live);
	return;
}

# The same with a tracked table left out, over itself: its triggers keep PostgreSQL
# from dropping the extension, and so the log is still there; all else is restored.
sub nightly_without_a_tracked_table
{
	is(output('pg_dump', '--clean', '-T', 'treenode_edge', '-T', 'two*', 'catmaid', '-f', "$dir/catmaid.sql"), '', 'the nightly line without a tracked table');
	fresh('restored', 'catmaid');
	my @said = grep { /ERROR/ } split /\n/, output(@psql, 'restored', '-f', "$dir/catmaid.sql");
	is(scalar(@said), 2, 'nightly, without a tracked table, over itself: two errors');
	like($said[0], qr/cannot drop extension catmaid_history because other objects depend on it/, 'the extension is needed');
	like($said[1], qr/duplicate key value violates unique constraint "catmaid_transaction_info_pkey"/, 'the log is there');
	same(contents_or_error('restored'), contents('catmaid'), 'nightly, without a tracked table, over itself: all is identical');
	goes_on('restored', 'nightly, without a tracked table, over itself', grep { !/^(off_)?part/ } sort keys %tables);
	return;
}

# Tracked tables, or what belongs to them, left out.
sub left_out
{
	my @live = sort keys %tables;
	# The view is left out too: it needs both, and fails by PostgreSQL's own rules.
	for my $case ([ 'two', '-T', 'two', '-T', 'two__with_history' ],
		[ 'two', '-T', 'two*' ],
		[ 'two', '-T', 'two__history', '-T', 'two__with_history' ],
		[ 'two', '-T', 'two__tracking', '-T', 'two__with_history' ])
	{
		my ($without, @options) = @$case;
		my $name = "pg_dump @options";
		is(output('pg_dump', '-Fc', @options, '-f', "$dir/without.custom", 'source'), '', $name);
		for my $jobs (1, 4)
		{
			fresh('restored');
			is(output('pg_restore', '-j', $jobs, '-d', 'restored', "$dir/without.custom"), '', "$name, $jobs jobs: restored without output");
			is($node->safe_psql('restored', "SELECT count(*) FROM catmaid_history_table WHERE live_table::text LIKE '%two'"), 0, "$name, $jobs jobs: not registered");
			my $others = q{SELECT to_jsonb(r) FROM catmaid_history_table r WHERE live_table::text NOT LIKE '%two' ORDER BY live_table::text COLLATE "C"};
			is($node->safe_psql('restored', $others), $node->safe_psql('source', $others), "$name, $jobs jobs: the others are registered as they were");
		}
		goes_on('restored', $name, grep { $_ ne $without } @live);
		next if $options[1] =~ /^two(\*)?\z/;

		# The live table is there, with its triggers, but something of its history is not.
		my ($rc, $out, $err) = $node->psql('restored', "UPDATE two SET v = 'x' WHERE a = 3");
		like($err, qr/^.*ERROR:  table "two" has history triggers but no history$/m, "$name: a write that cannot be recorded is refused");
		my ($hint) = $err =~ /^HINT:  (SELECT .*?\)) creates one/m;
		ok($hint, "$name: with a hint");
		my $versions = $options[1] =~ /__history/ ? 0 : $node->safe_psql('source', 'SELECT count(*) FROM two__history');
		$node->psql('restored', $hint);
		is($node->safe_psql('restored', 'SELECT count(*) FROM two__history'), $versions, "$name: it works, and what was there of the history is there");
		goes_on('restored', "$name, as the hint says", 'two');
	}

	# All histories, to have a small dump.
	my @options = map { ('-T', $_) } qw(*.*__history *.*__tracking *.*__with_history);
	is(output('pg_dump', '-Fc', @options, '-f', "$dir/small.custom", 'source'), '', 'a dump without any history');
	fresh('restored');
	is(output('pg_restore', '-d', 'restored', "$dir/small.custom"), '', 'a dump without any history: restored without output');
	my $hints = 0;
	for my $t (@live)
	{
		my ($rc, $out, $err) = $node->psql('restored', $tables{$t});
		$hints++ if $err =~ /^HINT:  (SELECT .*?\)) creates one/m && $node->psql('restored', $1) == 0;
	}
	is($hints, scalar @live, 'a dump without any history: writes are refused with hints that work');
	goes_on('restored', 'a dump without any history, as the hints say', @live);
	return;
}

# Data into a database that has the schema, with and without writes in between.
sub data_alone
{
	# Triggers are switched off meanwhile: that is a pause, if a short one.
	local $Dumps::pauses_before = $node->safe_psql('source', 'SELECT now()');
	is(output('pg_dump', '-Fp', '-s', '-f', "$dir/schema.sql", 'source'), '', 'a dump of the schema');
	is(output('pg_dump', '-Fp', '-a', '--disable-triggers', '-f', "$dir/data.sql", 'source'), '', 'a dump of the data');
	fresh('restored');
	is(output(@psql, 'restored', '-f', "$dir/schema.sql"), '', 'schema alone: no output');
	all_well('data alone', @psql, 'restored', '-f', "$dir/data.sql");

	for my $way ([ 'custom', 'pg_restore' ], [ 'custom, one transaction', 'pg_restore', '-1' ], [ 'custom, four jobs', 'pg_restore', '-j4' ])
	{
		my ($label, @restore) = @$way;
		fresh('restored');
		output(@psql, 'restored', '-f', "$dir/schema.sql");
		all_well("data alone, $label", @restore, '-a', '--disable-triggers', '-d', 'restored', "$dir/source.custom");
	}

	# One table is written to, which registers it, and emptied again.
	fresh('restored');
	output(@psql, 'restored', '-f', "$dir/schema.sql");
	$node->safe_psql('restored', 'INSERT INTO two VALUES (1, 1, 1); DELETE FROM two; TRUNCATE two__history');
	is($node->safe_psql('restored', 'SELECT count(*) FROM catmaid_history_table'), 1, 'data alone, after a write: it is registered');
	all_well('data alone, after a write', @psql, 'restored', '-f', "$dir/data.sql");
	return;
}

# Into a database that has the extension already, in another schema.
sub other_schema
{
	fresh('restored');
	$node->safe_psql('restored', 'CREATE SCHEMA other; CREATE EXTENSION catmaid_history SCHEMA other; CREATE TABLE other.mine (id int PRIMARY KEY)');
	is(output('pg_restore', '--clean', '--if-exists', '-d', 'restored', "$dir/source.custom"), '', 'the extension in another schema, --clean --if-exists: no output');
	$node->safe_psql('restored', 'DROP SCHEMA other CASCADE');
	same(contents_or_error('restored'), contents('source'), 'the extension in another schema, --clean --if-exists: all is identical');
	goes_on('restored', 'the extension in another schema, --clean --if-exists', sort keys %tables);

	# Without --clean PostgreSQL finds no trigger function where the dump looks for it; the
	# schema of what is internal is the same.
	fresh('restored');
	$node->safe_psql('restored', 'CREATE SCHEMA other; CREATE EXTENSION catmaid_history SCHEMA other');
	my @said = grep { /error:/ && !/errors ignored|function public\.catmaid_history_\w+\([^)]*\) does not exist|relation "public\.catmaid_\w+" does not exist|"[^"]+__with_history" does not exist/ }
	  split /\n/, output('pg_restore', '-d', 'restored', "$dir/source.custom");
	is("@said", '', 'the extension in another schema: nothing but triggers, log and history views fails');
	my $versions = "SELECT count(*) || md5(string_agg(h::text, ',' ORDER BY h::text)) FROM two__history h";
	my $before = $node->safe_psql('restored', $versions);
	is($before, $node->safe_psql('source', $versions), 'the extension in another schema: history is there');
	$node->safe_psql('restored', <<'SQL');
SET search_path = public, other;
SET client_min_messages = warning;
SELECT enable_history_tracking_for_table(r), create_history_view_for_table(r)
FROM unnest('{timed,base,leaf,part,guarded,swaps,two,app.refers}'::regclass[]) r;
SQL
	is($node->safe_psql('restored', $versions), $before, 'the extension in another schema: enabling takes it up, for it is registered');
	$node->safe_psql('restored', 'DROP TABLE off__history, off_part__history CASCADE');
	goes_on('restored', 'the extension in another schema, enabled', sort keys %tables);
	return;
}

# The schema of the extension was renamed: a dump finds the registry still.
sub renamed_schema
{
	fill('elsewhere', '"the ext"');
	$node->safe_psql('elsewhere', 'ALTER SCHEMA "the ext" RENAME TO "an other FROM ""it"');
	is(output('pg_dump', '-Fc', '-f', "$dir/renamed.custom", 'elsewhere'), '', 'the extension\'s schema renamed: dump');
	fresh('restored');
	is(output('pg_restore', '-d', 'restored', "$dir/renamed.custom"), '', 'the extension\'s schema renamed: no output');
	same(contents_or_error('restored'), contents('elsewhere'), 'the extension\'s schema renamed: all is identical');
	goes_on('restored', 'the extension\'s schema renamed', sort keys %tables);
	$node->safe_psql('elsewhere', 'SET catmaid_history.follow_ddl = off; ALTER SCHEMA "an other FROM ""it" RENAME TO ext');
	is(output('pg_dump', '-Fc', '-f', "$dir/renamed.custom", 'elsewhere'), '', 'and again, with follow_ddl off');
	return;
}

# A role that is no superuser dumps and restores a database of its own.
sub by_the_owner
{
	$node->safe_psql('postgres', 'CREATE ROLE restore_owner LOGIN');
	$node->safe_psql('postgres', 'CREATE DATABASE owned OWNER restore_owner TEMPLATE template0');
	my @as = ('-U', 'restore_owner');
	my ($rc, $out, $err) = $node->psql('owned', <<'SQL', extra_params => [@as], on_error_stop => 1);
CREATE SCHEMA app;
CREATE EXTENSION catmaid_history SCHEMA app;
SET search_path = app;
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE off (id int PRIMARY KEY, v text);
CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT create_history_table('t'), create_history_table('part'), create_history_table('off');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
INSERT INTO part VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
UPDATE part SET v = v || '1';
SELECT disable_history_tracking_for_table('off');
INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (1, 'Backend', 'a test', 2);
SQL
	is($err, '', 'the owner of a database makes its history');
	my ($plain, $custom, $less) = map { "$dir/owned.$_" } qw(sql custom less);
	is(output('pg_dump', @as, '-f', $plain, 'owned'), '', 'by the owner: plain dump');
	is(output('pg_dump', @as, '-Fc', '-f', $custom, 'owned'), '', 'by the owner: custom dump');
	is(output('pg_dump', @as, '-Fc', '-T', 'app.off*', '-f', $less, 'owned'), '', 'by the owner: dump without a table');
	for my $way ([ 'plain', @psql, 'restored', @as, '-f', $plain ],
		[ 'plain, one transaction', @psql, 'restored', @as, '-1', '-f', $plain ],
		[ 'custom, four jobs', 'pg_restore', @as, '-j4', '-d', 'restored', $custom ],
		[ '-T', 'pg_restore', @as, '-d', 'restored', $less ])
	{
		my ($label, @command) = @$way;
		$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
		$node->safe_psql('postgres', 'CREATE DATABASE restored OWNER restore_owner TEMPLATE template0');
		is(output(@command), '', "by the owner, $label: no output");
		if ($label ne '-T')
		{
			same(contents_or_error('restored'), contents('owned'), "by the owner, $label: all is identical");
		}
		my ($r, $got, $error) = $node->psql('restored', <<'SQL', on_error_stop => 1, extra_params => [@as]);
SET search_path = app;
UPDATE t SET v = 'changed';
ALTER TABLE t ADD COLUMN later int;
UPDATE t SET later = 1;
UPDATE part SET v = 'changed';
SELECT (SELECT count(*) FROM t__history), (SELECT count(*) FROM part__history), (SELECT count(*) FROM catmaid_history_table);
SQL
		is($error . $got, $label eq '-T' ? '6|4|2' : '6|4|3', "by the owner, $label: tracking is on");
	}
	return;
}

# Row-level security, of a table whose owner has no more than a USAGE granted on its schema,
# which pg_restore grants last; and where the table got it between schema and data.
sub row_security
{
	$node->safe_psql('postgres', 'CREATE ROLE restore_guarded; CREATE DATABASE guarded TEMPLATE template0');
	$node->safe_psql('guarded', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO restore_guarded;
CREATE TABLE app.mild (id int PRIMARY KEY, who name);
CREATE TABLE app.strict (id int PRIMARY KEY, who name) PARTITION BY RANGE (id);
CREATE TABLE app.strict_1 PARTITION OF app.strict DEFAULT;
CREATE TABLE app.later (id int PRIMARY KEY, who name);
CREATE POLICY own ON app.mild USING (who = current_user);
CREATE POLICY own ON app.strict USING (who = current_user);
ALTER TABLE app.mild ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.strict ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.mild OWNER TO restore_guarded;
ALTER TABLE app.strict OWNER TO restore_guarded;
ALTER TABLE app.later OWNER TO restore_guarded;
SELECT create_history_table('app.mild'), create_history_table('app.strict'), create_history_table('app.later');
SELECT disable_history_tracking_for_table('app.strict');
INSERT INTO app.mild VALUES (1, 'other');
INSERT INTO app.later VALUES (1, 'other');
DELETE FROM app.mild;
SQL
	my $flags = "SELECT string_agg(relname || ' ' || relrowsecurity || ' ' || relforcerowsecurity, E'\n' ORDER BY relname)"
	  . " FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p')";
	my $before = $node->safe_psql('guarded', $flags);
	like($before, qr/mild__history true false\n.*strict__history true true\n/s, 'control: histories are protected');

	my ($plain, $custom) = map { "$dir/guarded.$_" } qw(sql custom);
	output('pg_dump', '-f', $plain, 'guarded');
	output('pg_dump', '-Fc', '-f', $custom, 'guarded');
	for my $way ([ 'plain', @psql, 'restored', '-f', $plain ],
		[ 'custom', 'pg_restore', '-d', 'restored', $custom ],
		[ 'one transaction', 'pg_restore', '-1', '-d', 'restored', $custom ],
		[ 'four jobs', 'pg_restore', '-j4', '-d', 'restored', $custom ])
	{
		my ($label, @command) = @$way;
		fresh('restored');
		is(output(@command), '', "row-level security, $label: no output");
		is($node->safe_psql('restored', $flags), $before, "row-level security, $label: all have it that had it");
	}

	# The schema alone has no registry: nothing tells that the one belongs to the other.
	my $unprotected = 'SELECT count(*) FROM check_history() WHERE finding = \'row_security_missing\'';
	my $on = 'ALTER TABLE app.later ENABLE ROW LEVEL SECURITY';
	my $is_on = "SELECT string_agg(relrowsecurity::text, ' ') FROM pg_class WHERE relname ~ '^later__(history|tracking)\$'";
	for my $later (0, 1)
	{
		fresh('restored');
		output('pg_restore', '-s', '-d', 'restored', $custom);
		$node->safe_psql('restored', $on);
		is($node->safe_psql('restored', $is_on), 'false false', 'row-level security between schema and data: control');
		if ($later)
		{
			my ($rc, $out, $err) = $node->psql('restored', "INSERT INTO app.later VALUES (2, 'other')");
			like($err, qr/"later__history" lacks the row-level security of table "later"/, 'row-level security in a schema alone: no writes');
			like($err, qr/^HINT:  (SELECT .*?\)) gives it/m, 'row-level security in a schema alone: a hint');
			next;
		}
		is(output('pg_restore', '-a', '--disable-triggers', '-d', 'restored', $custom), '',
			'row-level security between schema and data: no output');
		is($node->safe_psql('restored', $is_on), 'true true', 'row-level security between schema and data: with the registry it comes');
		is($node->safe_psql('restored', $unprotected), '0', 'row-level security between schema and data: nothing to find');
	}
	return;
}
