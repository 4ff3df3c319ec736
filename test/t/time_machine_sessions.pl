# The time machine and what comes with a session: a setting that nobody knows yet must not
# end in a silent present; libraries loaded in advance; PGOPTIONS; parallel workers.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('sessions');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nTimeZone = 'America/New_York'\nmax_parallel_workers = 4\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t SELECT g, 'old' FROM generate_series(1, 3000) g;
SQL
my $utc = $node->safe_psql('app', q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')});
my $local = $node->safe_psql('app', qq{SELECT to_char('$utc'::timestamptz, 'YYYY-MM-DD"T"HH24:MI:SS.US')});
$node->safe_psql('app', q{UPDATE t SET v = 'new'; DELETE FROM t WHERE id > 2000; ANALYZE});

# Runs the SQL; its output, or the error.
sub ask
{
	my ($sql, $options) = @_;
	local $ENV{PGOPTIONS} = $options // '';
	my ($status, $out, $err) = $node->psql('app', $sql, on_error_stop => 1);
	return $status == 0 ? $out : $err =~ /(?:ERROR|FATAL): +(.*)/ ? $1 : $err;
}
my $count = q{SELECT v || count(*) FROM t GROUP BY v};
my $late = qr/^parameter "catmaid_history\.as_of" was set before library "catmaid_history" was loaded/;

# not loaded: PostgreSQL shows the present until the library comes, which then refuses
like(ask("SET catmaid_history.as_of = '$utc'; SELECT count(*) FROM t__with_history"), $late, 'set before the library is loaded, it does not come into force later');
like(ask("SET catmaid_history.as_of = '$utc'; UPDATE t SET v = 'x'"), $late, 'nor by a write');
like(ask("SET catmaid_history.as_of = '$utc'; SELECT read_as_of('$utc')"), $late, 'nor by read_as_of()');
like(ask("LOAD 'catmaid_history'", "-c catmaid_history.as_of=$utc"), $late, 'nor from PGOPTIONS');
is(ask("SET catmaid_history.as_of = '$utc'; SET catmaid_history.as_of = ''; SELECT read_as_of('$utc') IS NOT NULL; $count"), "t\nold3000", 'the hint leads out');
is(ask("SELECT read_as_of('$utc') IS NOT NULL; $count"), "t\nold3000", 'read_as_of() loads the library');

# loaded in advance, by one command
$node->safe_psql('postgres', "ALTER DATABASE app SET session_preload_libraries = 'catmaid_history'");
is(ask($count), 'new2000', 'the present');
is(ask("SET catmaid_history.as_of = '$utc'; $count"), 'old3000', 'SET');
is(ask($count, "-c catmaid_history.as_of=$utc"), 'old3000', 'PGOPTIONS');
is(ask($count, "-c catmaid_history.as_of=$local"), 'old3000', 'a time without a zone is read in the one that the session has');
$node->safe_psql('postgres', "CREATE ROLE reporter LOGIN; ALTER ROLE reporter SET catmaid_history.as_of = '$utc'");
$node->safe_psql('app', 'GRANT SELECT ON t, t__history TO reporter; GRANT EXECUTE ON FUNCTION read_as_of(timestamptz, boolean) TO reporter');
{
	my ($status, $out) = $node->psql('app', $count, extra_params => [ '-U', 'reporter' ]);
	is($out, 'old3000', 'a setting of the role');
}

# what is no time fails, and dumps nothing
is(ask('SELECT 1', '-c catmaid_history.as_of=rubbish'), 'invalid value for parameter "catmaid_history.as_of": "rubbish"', 'what is no time fails every query');
is(ask("SET catmaid_history.as_of = ''; $count", '-c catmaid_history.as_of=rubbish'), 'new2000', 'and can be taken back');
like(ask("SET catmaid_history.as_of = 'rubbish'"), qr/^invalid value for parameter/, 'typed, it is refused at once');
{
	local $ENV{PGOPTIONS} = '-c catmaid_history.as_of=rubbish';
	$node->command_fails([ 'pg_dump', '-d', $node->connstr('app'), '--data-only' ], 'pg_dump fails');
}
{
	local $ENV{PGOPTIONS} = "-c catmaid_history.as_of=$utc";
	command_fails_like([ 'pg_dump', '-d', $node->connstr('app'), '--data-only' ], qr/belongs to a history/, 'pg_dump of the history, too, fails');
	my @options = ('--exclude-table=*.*__history*', '--exclude-table=*.*__tracking');
	push @options, '--extension=plpgsql' if $node->safe_psql('app', 'SHOW server_version_num') >= 140000;
	push @options, '--table=public.t' if @options == 2;
	my ($out, $err);
	IPC::Run::run([ 'pg_dump', '-d', $node->connstr('app'), '--data-only', @options ], '>', \$out, '2>', \$err);
	is(scalar(() = $out =~ /^\d+\told$/mg), 3000, 'without it, it has what was');
	unlike($out, qr/catmaid_history_table|__tracking/, 'and nothing of ours');
}

# parallel workers
my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;';
$node->safe_psql('app', q{CREATE FUNCTION f(int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN (SELECT count(*) FROM t WHERE v = ''old'' AND id <= $1); END';
	CREATE FUNCTION d(int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE SECURITY DEFINER AS 'BEGIN RETURN (SELECT count(*) FROM t WHERE v = ''old'' AND id <= $1); END';
	CREATE FUNCTION s() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN (SELECT sum(f(id % 3)) FROM t WHERE id < 50)::text; END';
	CREATE TABLE plain AS SELECT g AS id, 'x' AS v FROM generate_series(1, 20000) g; ANALYZE plain});
like(ask("$parallel SET catmaid_history.as_of = '$utc'; EXPLAIN (COSTS OFF) SELECT sum(f(id % 5)) FROM plain WHERE id < 500"), qr/Parallel/, 'a parallel plan');
is(ask("$parallel SET catmaid_history.as_of = '$utc'; SELECT sum(f(id % 5)) FROM plain WHERE id < 500"), '1000', 'functions in parallel workers see the past');
is(ask("$parallel SET catmaid_history.as_of = '$utc'; SELECT sum(d(id % 5)) FROM plain WHERE id < 500"), '0', 'SECURITY DEFINER ones the present');
is(ask("$parallel SET catmaid_history.as_of = '$utc'; SELECT s()"), '0', 'those that they call in a parallel query, too');
is(ask("$parallel SET catmaid_history.as_of = '$utc'; SELECT count(*), max(v) FROM t"), '3000|old', 'the table in parallel');

# what is read otherwise in another time zone is no worker's to read again
my $explain = "$parallel EXPLAIN (COSTS OFF) SELECT sum(f(id % 5)) FROM plain WHERE id < 500";
like(ask($explain, "-c catmaid_history.as_of=$utc"), qr/Parallel/, 'a time with its zone, by PGOPTIONS: in parallel');
unlike(ask($explain, "-c catmaid_history.as_of=$local"), qr/Parallel/, 'one without: not');
is(ask("$count; SET TimeZone = 'Asia/Tokyo'; $parallel SELECT sum(f(id % 5)) FROM plain WHERE id < 500", "-c catmaid_history.as_of=$local"), "old3000\n1000", 'all see the instant that the session has read');

# without the extension
like(ask('SELECT count(*) FROM plain', '-c catmaid_history.as_of=2020-01-01') =~ s/^20000$/none/r, qr/^none$/, 'a table that is not tracked');
$node->safe_psql('postgres', 'CREATE DATABASE bare');
$node->safe_psql('bare', 'CREATE TABLE x ()');
{
	local $ENV{PGOPTIONS} = "-c session_preload_libraries=catmaid_history -c catmaid_history.as_of=$utc";
	my ($status, $out, $err) = $node->psql('bare', 'SELECT count(*) FROM x');
	like($err, qr/extension "catmaid_history" is not installed/, 'without the extension no table is read');
}
$node->stop;
done_testing();
