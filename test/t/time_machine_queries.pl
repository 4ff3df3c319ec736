# Section 11: the corpora of queries in data/past_*.sql, as of instants at which a plain copy of the
# database (CREATE DATABASE … TEMPLATE) was made, give what they give on the copy.
#
#   TIME_MACHINE_SEED      repeats a run (the seed is printed)
#   TIME_MACHINE_INSTANTS  how many copies of each database are made, 2 unless told
#
# Databases: CATMAID's data (../shared, or CATMAID_SHARED; skipped where absent), pgbench's tables
# with pgbench writing meanwhile, and tables of all kinds for queries of all kinds.  Each query runs
# directly, and in one session as a prepared statement at instants in random order with DDL and
# maintenance in between.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util 'shuffle';

my $seed = $ENV{TIME_MACHINE_SEED} || int(rand 2**31);
my $instants = $ENV{TIME_MACHINE_INSTANTS} || 2;
srand($seed);
diag "TIME_MACHINE_SEED=$seed TIME_MACHINE_INSTANTS=$instants";
my $shared = $ENV{CATMAID_SHARED} // "$FindBin::Bin/../../../shared";

my $node = PostgreSQL::Test::Cluster->new('queries');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 512\n");
$node->start;
my $statements = $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'");
if ($statements)
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'\n");
	$node->restart;
}

SKIP:
{
	my $file = "$shared/data/catmaid_testdata.json";
	skip 'CATMAID test data (no ../shared)', 1 unless -r $file;
	my @concepts = qw(concept class class_instance relation relation_instance class_instance_class_instance
	  treenode_class_instance connector_class_instance treenode_connector log);
	my @beside = qw(project stack stack_mirror project_stack stack_group stack_group_relation stack_stack_group textlabel
	  textlabel_location message);
	begin('catmaid', '', files => [ "$FindBin::Bin/data/catmaid_tables.sql" ]);
	$node->safe_psql('catmaid', 'CREATE TABLE fixture (doc jsonb); INSERT INTO fixture VALUES ($json$' . slurp_file($file) . '$json$)');
	$node->psql('catmaid', undef, on_error_die => 1, extra_params => [ '-q', '-f', "$FindBin::Bin/data/catmaid_load.sql" ]);
	$node->safe_psql('catmaid', join '', (map { "SELECT create_history_table('$_', 'edition_time', 'txid');\n" } reverse(@concepts), qw(connector treenode location)),
		map { "SELECT create_history_table('$_');\n" } @beside);
	compare('catmaid', \&change_catmaid, sub {
		my $table = (@concepts, @beside, 'treenode', 'connector')[ int rand 22 ];
		return (maintenance($table), "ALTER TABLE $table ALTER id SET STATISTICS 10")[ int rand 2 ];
	});
}

# pgbench's history has no key of its own
begin('bench', '');
$node->command_ok([ 'pgbench', '-i', '-q', '-s', '1', '-h', $node->host, '-p', $node->port, 'bench' ], 'pgbench -i');
$node->safe_psql('bench', 'ALTER TABLE pgbench_history ADD id bigserial PRIMARY KEY;' . join '', map { "SELECT create_history_table('pgbench_$_');" } qw(accounts branches tellers history));
pgbench_ok([ '-t', '40', '-c', '3' ], '', 'pgbench writes');
my $at_bench = compare('bench', sub { pgbench_ok([ '-t', 30 + int rand 30, '-c', '3', '-M', (qw(simple extended prepared))[ int rand 3 ] ], '', 'pgbench writes'); },
	sub { return maintenance('pgbench_' . (qw(accounts branches tellers history))[ int rand 4 ]); });
{
	my $past = "-c session_preload_libraries=catmaid_history -c catmaid_history.as_of=$at_bench";
	pgbench_ok([ '-S', '-t', '100', '-c', '2', '-M', $_ ], $past, "pgbench's own reading script as of an instant, $_") for qw(simple extended prepared);
	local $ENV{PGOPTIONS} = $past;
	$node->command_checks_all([ 'pgbench', '-n', '-t', '1', '-h', $node->host, '-p', $node->port, 'bench' ], $_->[0], [qr/./s], [$_->[1]], 'its writing script is refused')
	  for [ 2, qr/cannot write table "pgbench_accounts" while the session reads the past/ ];
}

begin('many', <<'SQL');
CREATE TABLE many (a int PRIMARY KEY, b int, two int, ten int, s text);
CREATE INDEX ON many (b);
CREATE TABLE j1 (i int, j int PRIMARY KEY, t text);
CREATE TABLE j2 (i int, k int PRIMARY KEY);
CREATE TABLE emp (id int PRIMARY KEY, boss int REFERENCES emp ON DELETE SET NULL, name text, salary numeric(8,2), city int, edition_time timestamptz DEFAULT now(), txid bigint);
CREATE TABLE arr (id int PRIMARY KEY, tags text[], doc jsonb, during int4range);
CREATE INDEX ON arr USING gin (doc);
CREATE TABLE pr (k int PRIMARY KEY, v int) PARTITION BY RANGE (k);
CREATE TABLE pr_1 PARTITION OF pr FOR VALUES FROM (MINVALUE) TO (50);
CREATE TABLE pr_2 PARTITION OF pr FOR VALUES FROM (50) TO (100) PARTITION BY HASH (k);
CREATE TABLE pr_2a PARTITION OF pr_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE pr_2b PARTITION OF pr_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE pr_d PARTITION OF pr DEFAULT;
CREATE TABLE pl (k int, v int, c text, PRIMARY KEY (k, c)) PARTITION BY LIST (c);
CREATE TABLE pl_a PARTITION OF pl FOR VALUES IN ('a');
CREATE TABLE pl_b (c text NOT NULL, v int, k int NOT NULL);
ALTER TABLE pl ATTACH PARTITION pl_b FOR VALUES IN ('b');
CREATE TABLE pl_d PARTITION OF pl DEFAULT;
CREATE TABLE city (id int PRIMARY KEY, name text, altitude int);
CREATE TABLE capital (state text, PRIMARY KEY (id)) INHERITS (city);
SELECT create_history_table(t, CASE WHEN t = 'emp' THEN 'edition_time' END, CASE WHEN t = 'emp' THEN 'txid' END)
FROM unnest('{many,j1,j2,emp,arr,pr,pl,capital}'::text[]) t;
INSERT INTO many SELECT g, (g * 37) % 101, g % 2, g % 10, CASE WHEN g % 9 <> 0 THEN 'v_' || g % 13 END FROM generate_series(0, 99) g;
INSERT INTO j1 VALUES (1, 4, 'one'), (2, 3, 'two'), (3, 2, 'three'), (4, 1, 'four'), (5, 0, 'five'), (NULL, 6, 'null'), (0, 8, NULL);
SQL
$node->safe_psql('many', <<'SQL');
CREATE VIEW rich AS SELECT id, name FROM emp WHERE salary > 150;
CREATE VIEW per_ten AS SELECT ten, count(*) AS n, string_agg(s, ',' ORDER BY a) AS ss FROM many GROUP BY ten;
CREATE VIEW nested WITH (security_barrier) AS SELECT p.ten, p.n, r.name FROM per_ten p LEFT JOIN rich r ON r.id = p.ten;
CREATE FUNCTION emps_of(int) RETURNS SETOF emp LANGUAGE sql STABLE AS 'SELECT * FROM emp WHERE boss = $1';
CREATE FUNCTION total(int) RETURNS numeric LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT sum(salary) FROM emp WHERE boss IS NOT DISTINCT FROM $1); END $$;
INSERT INTO j2 SELECT g % 6, g FROM generate_series(0, 9) g;
INSERT INTO emp SELECT g, nullif(g / 3, 0), chr(96 + g) || g, g * 17, g % 5 FROM generate_series(1, 15) g;
INSERT INTO arr SELECT g, ARRAY[CASE WHEN g % 2 = 0 THEN 'x' ELSE 'y' END, 'z' || g % 3], jsonb_build_object('k', g % 4, 'n', g), int4range(g, g + 3) FROM generate_series(1, 12) g;
INSERT INTO pr SELECT g, g % 6 FROM generate_series(0, 120, 2) g;
INSERT INTO pl SELECT g, g % 5, chr(97 + g % 4) FROM generate_series(1, 60) g;
INSERT INTO city VALUES (1, 'Bern', 540), (2, 'Basel', 260), (7, 'Zug', 425);
INSERT INTO capital VALUES (3, 'Paris', 35, 'FR'), (4, 'Oslo', 23, 'NO');
SQL
my $at_many = compare('many', \&change_many, sub {
	my $table = (qw(many j1 j2 emp arr pr pl city capital))[ int rand 9 ];
	return (maintenance($table), "CREATE OR REPLACE VIEW rich AS SELECT id, name FROM emp WHERE salary > 150 AND true",
		'SET enable_partitionwise_join = on; SET enable_partitionwise_aggregate = on', 'SET enable_hashjoin = off; SET enable_partitionwise_join = off',
		'SET enable_hashjoin = on; SET enable_mergejoin = off', 'SET enable_mergejoin = on; SET enable_indexscan = off; SET enable_indexscan = on',
		'SET jit = on; SET jit_above_cost = 0', 'SET jit = off')[ int rand 8 ];
});
SKIP:
{
	skip 'no pg_stat_statements', 1 unless $statements;
	is($node->safe_psql('many', "CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset() IS NULL; SELECT read_as_of('$at_many') IS NULL;
		SELECT sum(a) > 0 FROM many; SELECT read_as_of(NULL) IS NULL; SELECT sum(a) > 0 FROM many;
		SELECT calls, rows FROM pg_stat_statements WHERE query ~ 'sum.a. > .* FROM many' AND query !~ 'pg_stat'") =~ s/.*\n//sr,
		'2|2', 'pg_stat_statements has one entry for a query, whatever the instant');
}

$node->stop;
done_testing();

# ------------------------------------------------------------------------------

sub begin
{
	my ($database, $sql, %o) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION catmaid_history');
	$node->psql($database, undef, on_error_die => 1, extra_params => [ '-q', '-f', $_ ]) for @{ $o{files} // [] };
	$node->safe_psql($database, $sql) if $sql;
	return;
}

sub pgbench_ok
{
	my ($options, $settings, $what) = @_;
	local $ENV{PGOPTIONS} = $settings;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, @$options, 'bench' ], '>', \$out, '2>', \$err);
	ok($ok, $what) or diag $err;
	return;
}

# Commands that change nothing that a query sees; all of them see the present.
sub maintenance
{
	my ($table) = @_;
	my $n = int rand 1e6;
	return ("ANALYZE $table", "VACUUM $table", "REINDEX TABLE $table", "CREATE INDEX i$n ON $table ((1))", "COMMENT ON TABLE $table IS '$n'",
		"ALTER TABLE $table ADD COLUMN gone$n int DEFAULT 1; ALTER TABLE $table DROP COLUMN gone$n", "CREATE TEMP TABLE temp$n AS SELECT count(*) FROM $table")[ int rand 7 ];
}

# Changes, copies at instants, more changes, and the comparison.  Returns an instant.
sub compare
{
	my ($database, $change, $between) = @_;
	my @queries = grep { !/^--|^\s*$/ } split /\n/, slurp_file("$FindBin::Bin/data/past_$database.sql");
	my (@copies, %expected);

	for my $n (1 .. $instants)
	{
		$change->($database) for 1 .. ($database eq 'bench' ? 1 : 8);
		$node->safe_psql('postgres', "CREATE DATABASE ${database}_$n TEMPLATE $database");
		push @copies, { database => "${database}_$n", time => $node->safe_psql($database, q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')}) };
		$change->($database) for 1 .. ($database eq 'bench' ? 1 : 8);
	}
	for my $copy (@copies)
	{
		$expected{ $copy->{time} } = [ results($copy->{database}, '', map { "$_;" } @queries) ];
	}
	isnt(join("\0", @{ $expected{ $copies[0]{time} } }), join("\0", results($database, '', map { "$_;" } @queries)), "$database: the past is not the present");

	# others write meanwhile
	my $writer = $database eq 'bench' && IPC::Run::start([ 'pgbench', '-n', '-T', '600', '-c', '2', '-h', $node->host, '-p', $node->port, $database ], '<', \undef, '>', \my $out, '2>', \my $err);
	for my $copy (@copies)
	{
		my @got = results($database, "SELECT read_as_of('$copy->{time}');", map { "$_;" } @queries);
		same($database, "directly, as of $copy->{time}", map { [ $queries[$_], $got[$_], $expected{ $copy->{time} }[$_] ] } 0 .. $#queries);
	}

	my @scripts = map { "PREPARE q$_ AS $queries[$_];" } 0 .. $#queries;
	my @asked = map { undef } @queries;
	for my $copy (shuffle(@copies, @copies))
	{
		my $mode = (qw(auto force_generic_plan force_custom_plan))[ int rand 3 ];
		push @scripts, "SET plan_cache_mode = $mode; SELECT read_as_of('$copy->{time}');";
		push @asked, undef;
		for my $n (grep { rand() < 0.4 } shuffle(0 .. $#queries))
		{
			push @scripts, "EXECUTE q$n;";
			push @asked, [ $copy->{time}, $n ];
			next if rand() > 0.1;
			push @scripts, $between->() . ';';
			push @asked, undef;
		}
	}
	my @got = results($database, '', @scripts);
	same($database, 'prepared, at instants in random order, with other commands in between',
		map { [ "$queries[$asked[$_][1]] at $asked[$_][0]", $got[$_], $expected{ $asked[$_][0] }[ $asked[$_][1] ] ] } grep { $asked[$_] } 0 .. $#asked);
	if ($writer)
	{
		$writer->signal('INT');
		$writer->finish;
	}
	return $copies[0]{time};
}

sub same
{
	my ($database, $how, @compared) = @_;
	my @wrong = grep { $_->[1] ne $_->[2] } @compared;
	is(join("\n", scalar(@wrong), map { "$_->[0]\n$_->[1]\nbut should be\n$_->[2]" } @wrong[ 0 .. ($#wrong < 2 ? $#wrong : 2) ]), '0', "$database, " . @compared . " queries $how");
	return;
}

# What each of the scripts prints in one session, its lines sorted; an error in any of them is a failure.
sub results
{
	my ($database, $begin, @scripts) = @_;
	my $sql = "$begin\n" . join '', map { "\\echo ==== $_\n$scripts[$_]\n" } 0 .. $#scripts;
	my ($status, $out, $err) = $node->psql($database, $sql, extra_params => ['-q'], on_error_stop => 0);
	my (@found, $n);
	for (split /\n/, $out)
	{
		if (/^==== (\d+)$/) { $n = $1; $found[$n] = []; next }
		push @{ $found[$n] }, $_ if defined $n;
	}
	fail("$database: no query fails"), diag substr($err, 0, 3000) if $err =~ /ERROR|WARNING/;
	return map { join "\n", sort @{ $_ // [] } } @found;
}

sub change_catmaid
{
	my ($database) = @_;
	my $mod = 2 + int rand 9;
	my $rest = int rand $mod;
	my @changes = (
		"UPDATE treenode SET location_x = location_x + 1, radius = radius + 0.5 WHERE id % $mod = $rest",
		"UPDATE location SET location_z = location_z + 1 WHERE id % $mod = $rest",
		"UPDATE concept SET user_id = user_id + 1 WHERE id % $mod = $rest",
		"UPDATE class_instance SET name = name || '+' WHERE id % $mod = $rest",
		"DELETE FROM treenode_connector WHERE id % 7 = $rest",
		"DELETE FROM treenode WHERE id % 11 = $rest AND parent_id IS NOT NULL",
		"INSERT INTO treenode (id, user_id, project_id, location_x, location_y, location_z, skeleton_id, parent_id) SELECT (SELECT greatest(max(id), 100000) FROM location) + row_number() OVER (), 3, project_id, location_x, location_y, location_z + 1, skeleton_id, id FROM treenode WHERE id % 13 = $rest",
		"INSERT INTO connector (id, user_id, project_id, location_x, location_y, location_z) SELECT greatest(max(id), 100000) + 1, 3, min(project_id), 1, 2, 3 FROM location",
		"UPDATE stack SET title = title || '!', dimension.x = (dimension).x + 1 WHERE id % 2 = $mod % 2",
		"UPDATE textlabel SET text = text || '.', deleted = NOT deleted",
		"UPDATE relation SET relation_name = relation_name WHERE id % $mod = $rest",
		"DELETE FROM class_instance_class_instance WHERE id % 5 = $rest",
		"UPDATE project SET comment = 'c$mod'; UPDATE project_stack SET translation.y = $mod");
	$node->safe_psql($database, $changes[ int rand @changes ]);
	return;
}

sub change_many
{
	my ($database) = @_;
	my $mod = 2 + int rand 6;
	my $rest = int rand $mod;
	my $new = 1000 + int rand 1e6;
	my @changes = (
		"UPDATE many SET b = b + 1, s = CASE WHEN a % 5 = 0 THEN NULL ELSE coalesce(s, 'v') || '1' END WHERE a % $mod = $rest",
		"DELETE FROM many WHERE a % 17 = $rest", "INSERT INTO many VALUES ($new, $mod, $new % 2, $new % 10, 'new_$new') ON CONFLICT DO NOTHING",
		"UPDATE many SET a = $new + 1 WHERE a = (SELECT min(a) FROM many)",
		"UPDATE j1 SET i = nullif((coalesce(i, 0) + 1) % 6, $rest), t = upper(t) WHERE j % 2 = $mod % 2", "DELETE FROM j2 WHERE k % 8 = $rest",
		"INSERT INTO j2 SELECT $rest, max(k) + 1 FROM j2", "UPDATE j2 SET i = $rest WHERE k % $mod = 0",
		"UPDATE emp SET salary = salary + $mod, edition_time = now() WHERE id % $mod = $rest", "UPDATE emp SET boss = 1 + $rest, edition_time = now() WHERE id > 8 AND id % $mod = $rest",
		"DELETE FROM emp WHERE id = 10 + $rest", "INSERT INTO emp (id, boss, name, salary, city) VALUES ($new, 1, 'n$new', $mod * 100, $rest)",
		"UPDATE arr SET tags = tags || 'x'::text, doc = doc || '{\"k\": $rest}', during = int4range($rest, $rest + 4) WHERE id % $mod = $rest", "DELETE FROM arr WHERE id % 9 = $rest",
		"UPDATE pr SET k = k + 51 WHERE k % 10 = $rest AND NOT EXISTS (SELECT FROM pr x WHERE x.k = pr.k + 51)", "UPDATE pr SET v = v + 1 WHERE k % $mod = 0", "DELETE FROM pr WHERE k % 19 = $rest",
		"UPDATE pl SET c = CASE c WHEN 'a' THEN 'b' WHEN 'b' THEN 'e' ELSE 'a' END WHERE k % $mod = $rest AND NOT EXISTS (SELECT FROM pl x WHERE x.k = pl.k AND x.c <> pl.c)", "DELETE FROM pl_b WHERE k % 7 = $rest",
		"INSERT INTO pl VALUES ($new, 1, 'b'), ($new, 2, 'z') ON CONFLICT DO NOTHING",
		"UPDATE city SET altitude = altitude + $mod WHERE id % 2 = $mod % 2", "UPDATE capital SET state = lower(state)", "INSERT INTO capital VALUES ($new, 'C$new', $mod, 'XX') ON CONFLICT DO NOTHING", "DELETE FROM ONLY city WHERE id = 7");
	$node->safe_psql($database, join ";\n", (shuffle(@changes))[ 0, 1 ]);
	return;
}
