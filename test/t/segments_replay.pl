# The tests of pgTAP's folder once more, with histories that are rotated all the time: after
# each statement of a test each history is cut (Rotating.pm).  What they say of a history
# must be true of one in a hundred segments.
#
# What cannot be true then is told below: assertions that list tables and indexes, or that
# look at the head alone (ONLY X__history).
#
#   REPLAY    these files alone, by their names without .sql; `all` for all of the list
#             below, of which otherwise some are taken

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Rotating qw(rotating install_sql);

# The files, with the assertions that are not true of a history in segments.
my %expected = (
	update_delete => [],
	truncate => [],
	truncate_together => [
		'histories have what went, once', 'tracking tables before or after their own, with some of the others',
		'with those that inherit, and partitions further down' ],
	write_paths => [],
	time_column => [],
	key_changes => [],
	overlap => [],
	sync => [],
	same_transaction => [],
	fk_actions => [],
	partition_changes => [],
	partitioned_tables => [ 'one history for all partitions' ],
	inherited_tables => [
		'history tables mirror the hierarchy', "UPDATE of the top: each row in its table's own history",
		'DELETE and UPDATE from the top, from the middle and ONLY', 'UPDATE of the child itself',
		"the child's first, then the parent's" ],
	row_security => [],
	history_changes => [],
	history_diff => [],
	follow_drop_column => [],
	follow_rename_column => [],
	follow_type_lossy => [],
	follow_using_expressions => [],
	follow_key_time_txid => [],
	follow_user_views => [],
	follow_view_back => [],
);
my @some = qw(update_delete truncate time_column key_changes sync partition_changes inherited_tables row_security history_changes);
my @names = !$ENV{REPLAY} ? @some : $ENV{REPLAY} eq 'all' ? sort keys %expected : split(/[ ,]+/, $ENV{REPLAY});

my $node = PostgreSQL::Test::Cluster->new('replay');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 512\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE with_pgtap');
if ($node->psql('with_pgtap', 'CREATE SCHEMA tap; CREATE EXTENSION pgtap SCHEMA tap; GRANT USAGE ON SCHEMA tap TO PUBLIC'))
{
	plan skip_all => 'pgTAP is not installed';
}
$node->safe_psql('with_pgtap', install_sql());
my $dir = $node->backup_dir;
mkdir $dir;
system('cp', '-r', "$FindBin::RealBin/../pgtap/lib", "$dir/lib") == 0 or die 'cp';

for my $name (@names)
{
	open my $file, '>', "$dir/$name.sql" or die $!;
	print {$file} rotating(slurp_file("$FindBin::RealBin/../pgtap/$name.sql"));
	close $file;
	$node->safe_psql('postgres', "CREATE DATABASE r_$name TEMPLATE with_pgtap");
	my ($out, $err) = ('', '');
	my $status = IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr("r_$name"), '-f', "$dir/$name.sql" ],
		'>', \$out, '2>', \$err);
	my @failed = $out =~ /^not ok \d+ - (.*)$/mg;
	my ($plan) = $out =~ /^1\.\.(\d+)$/m;
	my $run = () = $out =~ /^(?:not )?ok \d+/mg;
	my $segments = $status && $node->safe_psql("r_$name",
		"SELECT count(*) FROM pg_constraint WHERE conname = 'catmaid_history_segment'");
	ok($status && defined $plan && $run == $plan, "$name comes to its end") or diag(substr($err, -2000));
	is(join("\n", sort @failed), join("\n", sort @{ $expected{$name} // [] }), "$name is true of a history in segments");
	cmp_ok($segments, '>', 0, "$name: histories were cut") unless $name =~ /^(?:row_security|follow_drop_column|follow_view_back|follow_user_views)$/;
	$node->safe_psql('postgres', "DROP DATABASE r_$name");
}
$node->stop;
done_testing();
