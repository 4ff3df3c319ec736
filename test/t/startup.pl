# Idiom (h): at every start an application disables and enables history tracking for
# all tables, under an advisory lock, by its ordinary role; several of its workers
# start at a time, while others write.  No write may be lost by it, nor an error come.
#
# pgbench runs the starts and the writes.  Each write adds 1 to a row, so that the
# tables know how many versions there must be.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('startup');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;

# The application's role is no superuser; it owns the database and its tables.
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN');
my @app = ('-U', 'app');
my @tables = qw(by_time by_tracking base leaf);
my $lock = 'SELECT pg_advisory_xact_lock(234);';
my $start = "BEGIN; $lock SELECT disable_history_tracking(); SELECT enable_history_tracking(); COMMIT;\n";
my $start_in_two = "BEGIN; $lock SELECT disable_history_tracking(); COMMIT;\n"
  . "BEGIN; $lock SELECT enable_history_tracking(); COMMIT;\n";
my $writes = join '', map { "\\set id random(1, 10)\nUPDATE ONLY $_ SET n = n + 1 WHERE id IN (:id, :id + 10);\n" } @tables;
my $parent = "\\set id random(1, 20)\nUPDATE base SET n = n + 1 WHERE id = :id;\n";
# (in the order in which the functions lock them)
my $several = "BEGIN;\n" . join('', map { "UPDATE ONLY $_ SET n = n + 1 WHERE id IN (3, 13);\n" } @tables) . "COMMIT;\n";

for ([ 'one', 'one transaction' ], [ 'adopted', 'one transaction, in an adopted database' ],
	[ 'each', 'a transaction for each' ])
{
	my ($db, $way) = @$_;
	fill($db);
	my %scripts = ("start_$db\@2" => $db eq 'each' ? $start_in_two : $start,
		"writes_$db\@4" => $writes, "parent_$db\@2" => $parent, "several_$db\@1" => $several);
	$node->pgbench('--no-vacuum --client=8 --jobs=2 --transactions=40 --username=app', 0,
		[qr{processed: 320/320}], [qr{^(?!.*(?:ERROR|aborted))}s], "$way: parallel starts and writes", \%scripts, $db);
	my $log = slurp_file($node->logfile);
	is(join("\n", $log =~ /^.*(?:ERROR|FATAL|PANIC).*$/mg), '', "$way: no error in the server's log");

	if ($db ne 'each')
	{
		is($node->safe_psql($db, join ' UNION ALL ', map {
			"SELECT '$_ ' || (SELECT sum(n) FROM ONLY $_) - (SELECT count(*) FROM ONLY ${_}__history)" } @tables),
			join("\n", map { "$_ 0" } @tables), "$way: every write is recorded, once");
		is($node->safe_psql($db, 'SELECT sum(n) > 100 FROM base'), 't', "$way: and there were many");
		is(overlaps($db), '', "$way: periods of a row meet");
	}
	else
	{
		# Writes between the two are not recorded; the last start enables.
		$node->safe_psql($db, $start, extra_params => \@app);
	}
	is($node->safe_psql($db, 'SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed'), '4',
		"$way: all are enabled");
	is($node->safe_psql($db, 'SELECT count(*) FROM catmaid_history_table WHERE triggers_installed'), '4',
		"$way: and registered as enabled");
	is($node->safe_psql($db, "SELECT count(*) FROM by_tracking FULL JOIN by_tracking__tracking ON id = live_pk
		WHERE id IS NULL OR live_pk IS NULL"), '0', "$way: the tracking table is in step");
	is(triggers($db), '5 4 4 4', "$way: each trigger is there once");
	is($node->safe_psql($db, "SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class
		WHERE relname ~ '__(history|tracking|with_history)'"), 'app', "$way: all belongs to the application");
	$node->safe_psql($db, "UPDATE by_tracking SET n = -1 WHERE id = 1", extra_params => \@app);
	is($node->safe_psql($db, "SELECT n >= 0 FROM by_tracking__history WHERE id = 1 ORDER BY upper(sys_period) DESC LIMIT 1"),
		't', "$way: writes are recorded");
}

# Another role's table: the application may not manage it, and then nothing happens at all.
$node->safe_psql('one', "CREATE TABLE theirs (id int PRIMARY KEY); SELECT create_history_table('theirs')");
my ($rc, $out, $err) = $node->psql('one', $start, extra_params => \@app, on_error_stop => 1);
isnt($rc, 0, 'with a table of another role it is an error');
like($err, qr/theirs/, 'that names the table');
is($node->safe_psql('one', 'SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed'), '5',
	'and all are enabled as before');

$node->stop;
done_testing();

sub fill
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER app");
	if ($db eq 'adopted')
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @app, '-d', $db,
				'-f', "$FindBin::RealBin/../pgtap/lib/old_implementation.sql" ], "$db: the older implementation");
	}
	else
	{
		$node->safe_psql($db, 'CREATE EXTENSION catmaid_history', extra_params => \@app);
	}
	$node->safe_psql($db, <<'SQL', extra_params => \@app);
CREATE TABLE by_time (id int PRIMARY KEY, n int DEFAULT 0, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE by_tracking (id int PRIMARY KEY, n int DEFAULT 0);
CREATE TABLE base (id int PRIMARY KEY, n int DEFAULT 0);
CREATE TABLE leaf (PRIMARY KEY (id)) INHERITS (base);
SELECT create_history_table('by_time', 'edition_time', 'txid'), create_history_table('leaf'), create_history_table('by_tracking');
INSERT INTO by_time SELECT generate_series(1, 10);
INSERT INTO by_tracking SELECT generate_series(1, 10);
INSERT INTO base SELECT generate_series(11, 20);
INSERT INTO leaf SELECT generate_series(1, 10);
SQL
	$node->safe_psql($db, "BEGIN; CREATE EXTENSION catmaid_history VERSION 'unpackaged';
		ALTER EXTENSION catmaid_history UPDATE; COMMIT", extra_params => \@app) if $db eq 'adopted';
	return;
}

# Rows of which two versions overlap or leave a gap, in tables with a tracking table.
sub overlaps
{
	my ($db) = @_;
	return $node->safe_psql($db, join ' UNION ALL ', map {
		"SELECT '$_ ' || id FROM (SELECT id, sys_period, lead(sys_period) OVER (PARTITION BY id ORDER BY lower(sys_period)) AS next
			FROM ONLY ${_}__history WHERE NOT isempty(sys_period)) x WHERE next IS NOT NULL AND NOT sys_period -|- next"
	} qw(by_tracking base leaf));
}

sub triggers
{
	my ($db) = @_;
	return $node->safe_psql($db, "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM pg_trigger t
		JOIN pg_class c ON c.oid = tgrelid WHERE NOT tgisinternal AND relname IN ('by_time', 'by_tracking', 'base', 'leaf')
		GROUP BY tgrelid) x");
}
