# Section 11: unchanged queries as of an instant, compared with what they give on a plain
# copy of all tables that was made then.
#
#   TIME_MACHINE_SEED      repeats a run (the seed is printed)
#   TIME_MACHINE_INSTANTS  at how many instants copies are made, 3 unless told
#
# Tables of all kinds are changed at random, with DDL in between.  Now and then a schema of
# plain tables is filled with what they have, with the same views and functions.  At the end
# each of some hundred queries (every way of reading × every relation) is run on each copy,
# and on the tables as of its instant: directly, and as prepared statements in random order
# of instants.  So are COPY, cursors and pg_dump.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use List::Util 'shuffle';

my $seed = $ENV{TIME_MACHINE_SEED} || int(rand 2**31);
my $instants = $ENV{TIME_MACHINE_INSTANTS} || 3;
srand($seed);
diag "TIME_MACHINE_SEED=$seed TIME_MACHINE_INSTANTS=$instants";

my $node = PostgreSQL::Test::Cluster->new('time_machine');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_locks_per_transaction = 512\nlog_statement = none\nTimeZone = 'Asia/Kolkata'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
my $version = int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);

my (@ddl, @copies);
my $next_id = 100;
my $next_name = 0;
my @added;

# What comes and goes with DDL: all on the columns id and v, which are always there.
my $code = <<'SQL';
CREATE VIEW v_t AS SELECT id, v, t AS r FROM t WHERE id % 3 <> 0;
CREATE VIEW v_star AS SELECT id, v FROM t;
CREATE VIEW v_join AS SELECT t.id, t.v || '/' || refers.v AS v FROM t JOIN refers ON refers.t_id = t.id;
CREATE VIEW v_left AS SELECT u.id, tim.v, tim AS r FROM u LEFT JOIN tim ON tim.id = u.id;
CREATE VIEW v_group AS SELECT id % 5 AS id, string_agg(v, ',' ORDER BY id) AS v FROM par GROUP BY 1;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT id, v FROM pt WHERE v IS NOT NULL;
CREATE VIEW v_union AS SELECT id, v FROM t UNION ALL SELECT id, v FROM chi;
CREATE VIEW v_deep AS SELECT v_star.id, v_group.v FROM v_star JOIN v_group ON v_group.id = v_star.id % 5;
CREATE FUNCTION f_sql() RETURNS TABLE (id int, v text) LANGUAGE sql STABLE AS 'SELECT id, v FROM t';
CREATE FUNCTION f_kept() RETURNS TABLE (id int, v text) LANGUAGE sql VOLATILE AS 'SELECT id, v FROM pt';
CREATE FUNCTION f_plpgsql() RETURNS TABLE (id int, v text) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT x.id, x.v FROM par x; END';
CREATE FUNCTION f_value(int) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT max(x.v) FROM t x WHERE x.id <= $1); END';
SQL
$code .= "CREATE VIEW v_invoker WITH (security_invoker) AS SELECT id, v FROM tim;\n" if $version >= 15;
$code .= "CREATE FUNCTION f_atomic() RETURNS TABLE (id int, v text) LANGUAGE sql STABLE BEGIN ATOMIC SELECT id, v FROM chi; END;\n"
  if $version >= 14;
my $drop_code = join '', map { "DROP $1 $2;\n" if /^CREATE (VIEW|FUNCTION) (\w+)/ } reverse split /^/, $code;

sub app_sql
{
	my ($sql) = @_;
	return $node->safe_psql('app', "SET search_path = app, public;\n$sql");
}

# --- the tables ---------------------------------------------------------------

ddl(<<'SQL');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 20);
CREATE TABLE t (gone text, id int PRIMARY KEY, v text, n numeric(10,2), a int[], j jsonb, s short, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE tim (id int PRIMARY KEY, v text, edition_time timestamptz, txid bigint);
CREATE TABLE par (id int PRIMARY KEY, v text);
CREATE TABLE chi (w int, PRIMARY KEY (id)) INHERITS (par);
CREATE TABLE grandchi (y text, PRIMARY KEY (id)) INHERITS (chi);
CREATE TABLE pt (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (150);
CREATE TABLE pt2 (v text, id int NOT NULL);
ALTER TABLE pt ATTACH PARTITION pt2 FOR VALUES FROM (150) TO (200);
CREATE TABLE ptd PARTITION OF pt DEFAULT PARTITION BY HASH (id);
CREATE TABLE ptd0 PARTITION OF ptd FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE ptd1 PARTITION OF ptd FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "Mixed Case" (id int, "select" text, v text, PRIMARY KEY ("select", id));
CREATE TABLE refers (id int PRIMARY KEY, v text, t_id int REFERENCES t ON DELETE SET NULL);
CREATE TABLE u (id int PRIMARY KEY, v text);
INSERT INTO u SELECT g, 'u' || g FROM generate_series(95, 220, 3) g;
SQL
my @tables = ('t', 'tim', 'par', 'chi', 'grandchi', 'pt', '"Mixed Case"', 'refers');
$node->safe_psql('app', 'CREATE EXTENSION catmaid_history');
app_sql($_ eq 'tim' ? "SELECT create_history_table('tim', 'edition_time', 'txid')" : "SELECT create_history_table('$_')") for @tables;
app_sql($code);

for my $instant (1 .. $instants)
{
	change() for 1 .. 12;
	copy($instant);
	change_columns() for 1 .. 2;
}
change() for 1 .. 12;

# --- the queries --------------------------------------------------------------

my @relations = (
	@tables, 'ONLY par', 'ONLY chi', 'ONLY pt', 'pt1', 'pt2', 'ptd', 'ptd0',
	($code =~ /^CREATE VIEW (\w+)/mg), (map { "$_()" } grep { !/value/ } $code =~ /^CREATE FUNCTION (\w+)/mg));
my @ways = (
	'SELECT * FROM %s x',
	'SELECT x FROM %s x',
	'SELECT row_to_json(x)::text FROM %s x',
	'SELECT count(*), min(id), max(v) FROM %s',
	'SELECT v FROM %s WHERE id = 101',
	'SELECT id, v FROM %s ORDER BY id DESC, v LIMIT 5',
	'SELECT u.id, x.v, x IS NULL FROM u LEFT JOIN %s x ON x.id = u.id',
	'SELECT x.id, u.v FROM %s x FULL JOIN u USING (id)',
	'SELECT id FROM u WHERE id IN (SELECT id FROM %s)',
	'SELECT id FROM u WHERE NOT EXISTS (SELECT FROM %s x WHERE x.id = u.id)',
	'SELECT u.id, (SELECT string_agg(x.v, $$,$$ ORDER BY x.v) FROM %s x WHERE x.id <= u.id) FROM u',
	'SELECT u.id, l.v FROM u, LATERAL (SELECT v FROM %s x WHERE x.id >= u.id ORDER BY id, v LIMIT 1) l',
	'WITH c AS MATERIALIZED (SELECT * FROM %s) SELECT a.id, b.v FROM c a JOIN c b ON a.id = b.id + 1',
	'WITH RECURSIVE r AS (SELECT min(id) AS id FROM %1$s UNION SELECT x.id + 1 FROM r JOIN %1$s x ON x.id = r.id) SELECT * FROM r',
	'SELECT id, v FROM %s UNION SELECT id, v FROM t',
	'SELECT id FROM %s EXCEPT SELECT id FROM u',
	'SELECT id %% 4 AS k, count(*), array_agg(v ORDER BY v) FROM %s GROUP BY GROUPING SETS ((id %% 4), ())',
	'SELECT id, v, rank() OVER (ORDER BY id), lag(v) OVER (ORDER BY id, v) FROM %s',
	'SELECT DISTINCT ON (id %% 7) id %% 7 AS k, id, v FROM %s ORDER BY id %% 7, id, v',
	'SELECT x.id, f_value(x.id) FROM %s x',
	'SELECT x.id, y.v FROM %s x JOIN refers y ON y.t_id = x.id JOIN "Mixed Case" m ON m.id <= x.id',
	'SELECT CASE WHEN x.id > 110 THEN x.v ELSE (SELECT max(v) FROM tim) END FROM %s x');
my @queries = map { my $relation = $_; map { sprintf $_, $relation } @ways } @relations;
push @queries, map { "SELECT x.tableoid::regclass AS o, x.id, x FROM $_ x" } grep { $_ ne 'pt' && $_ ne 'ptd' && !/^v_|\(\)/ } @relations;
cmp_ok(scalar @queries, '>=', 300, scalar(@queries) . ' queries');
my @prepared = grep { rand() < 0.1 } 0 .. $#queries;

# What each gives on each copy.
my %expected;
for my $copy (@copies)
{
	my @got = results("SET search_path = $copy->{schema}, public;", map { "$_;" } @queries);
	$expected{ $copy->{schema} } = \@got;
}
my %distinct = map { join("\0", @{ $expected{$_} }) => 1 } keys %expected;
cmp_ok(scalar keys %distinct, '>', 1, 'the copies differ');

for my $copy (@copies)
{
	my @got = results("SET search_path = app, public; SELECT read_as_of('$copy->{time}');", map { "$_;" } @queries);
	same($copy, [ 0 .. $#queries ], \@got, 'directly');
}

# In one session, at random instants, with generic and custom plans.
{
	my (@scripts, @asked);
	push @scripts, "PREPARE q$_ AS $queries[$_];" for @prepared;
	push @asked, undef for @prepared;
	for my $copy (shuffle(map { ($_, $_) } @copies), undef)
	{
		my $mode = ('auto', 'force_generic_plan', 'force_custom_plan')[ int rand 3 ];
		push @scripts, "SET plan_cache_mode = $mode; SELECT read_as_of(" . ($copy ? "'$copy->{time}'" : 'NULL') . ');';
		push @asked, undef;
		for my $n (shuffle(@prepared))
		{
			push @scripts, "EXECUTE q$n;";
			push @asked, [ $copy, $n ];
		}
	}
	my @got = results('SET search_path = app, public;', @scripts);
	my @wrong;
	my @present = results('SET search_path = app, public;', map { "$_;" } @queries);
	for my $i (0 .. $#asked)
	{
		my ($copy, $n) = @{ $asked[$i] // next };
		my $should = $copy ? $expected{ $copy->{schema} }[$n] : $present[$n];
		push @wrong, "$queries[$n] at " . ($copy ? $copy->{time} : 'present') . ":\n$got[$i]\nbut should be\n$should\n" if $got[$i] ne $should;
	}
	is(join('', @wrong[ 0 .. ($#wrong < 2 ? $#wrong : 2) ]), '', 'as prepared statements, at instants in random order: ' . scalar(grep { $_ } @asked));
}

# COPY, cursors
my @copied = ('t', 'tim', 'chi', 'par', 'pt1', 'pt2', 'refers', '"Mixed Case"');
for my $copy (@copies)
{
	my @scripts = ((map { "COPY $_ TO STDOUT;" } @copied), (map { "COPY (SELECT * FROM $_) TO STDOUT WITH (FORMAT csv, HEADER);" } @relations),
		(map { "BEGIN; DECLARE c CURSOR FOR SELECT * FROM $_; FETCH 3 FROM c; FETCH ALL FROM c; COMMIT;" } @relations));
	my @should = results("SET search_path = $copy->{schema}, public;", @scripts);
	my @got = results("SET search_path = app, public; SELECT read_as_of('$copy->{time}');", @scripts);
	my @wrong = grep { $got[$_] ne $should[$_] } 0 .. $#scripts;
	is(join("\n", map { "$scripts[$_]\n$got[$_]\nbut should be\n$should[$_]" } @wrong), '', "COPY and cursors at $copy->{time}");
}

# pg_dump
for my $copy (@copies[ 0, -1 ])
{
	my @options = ('--data-only', '--schema=app', '--exclude-table=*.*__history*', '--exclude-table=*.*__tracking');
	my $file = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
	{
		local $ENV{PGOPTIONS} = "-c session_preload_libraries=catmaid_history -c catmaid_history.as_of=$copy->{iso}";
		$node->command_ok([ 'pg_dump', '-d', $node->connstr('app'), '-f', $file, @options ], "pg_dump as of $copy->{time}");
	}
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS empty');
	$node->safe_psql('postgres', 'CREATE DATABASE empty');
	$node->safe_psql('empty', "CREATE SCHEMA app; SET search_path = app;\n" . join("\n", @ddl) . "\nTRUNCATE u;");
	$node->safe_psql('empty', "SET session_replication_role = replica;\n\\i $file\n");
	my (@was, @is);
	for my $table (@tables, 'u')
	{
		my $sql = "SELECT * FROM $table x ORDER BY x::text COLLATE \"C\"";
		push @was, $node->safe_psql('app', "SET search_path = $copy->{schema}; $sql");
		push @is, $node->safe_psql('empty', "SET search_path = app; $sql");
	}
	is(join("\n--\n", @is), join("\n--\n", @was), "a dump as of $copy->{time}, restored");
}

$node->stop;
done_testing();

# ------------------------------------------------------------------------------

# DDL on the tables, and on the copies that there are.
sub ddl
{
	my ($sql) = @_;
	my $first = !@ddl;
	push @ddl, $sql;
	$node->safe_psql('app', 'CREATE SCHEMA app') if $first;
	$node->safe_psql('app', "SET search_path = $_, public;\n" . ($first ? '' : $drop_code) . $sql . ($first ? '' : $code)) for 'app', map { $_->{schema} } @copies;
	return;
}

# A random change of a random table.
sub change
{
	my $table = (@tables, 'pt', 't')[ int rand(@tables + 2) ];
	my $id = 95 + int rand 130;
	my $value = ('NULL', "'a'", "'b" . int(rand 9) . "'", "repeat('long ', 3)")[ int rand 4 ];
	my $rand = rand;
	my @sql;

	if ($rand < 0.45)
	{
		$id = $next_id++ if rand() < 0.8 && $next_id < 225;
		my ($columns, $values) = ('id, v', "$id, $value");
		($columns, $values) = ("$columns, n, a, j, s", "$values, $id / 3.0, ARRAY[$id, 1], '{\"k\": $id}', 's$id'") if $table eq 't';
		($columns, $values) = ("$columns, edition_time", "$values, now()") if $table eq 'tim';
		($columns, $values) = ("$columns, w", "$values, $id") if $table =~ /chi/;
		($columns, $values) = ("$columns, \"select\"", "$values, 'k' || $id % 3") if $table =~ /Mixed/;
		($columns, $values) = ("$columns, t_id", "$values, (SELECT max(id) FROM t)") if $table eq 'refers';
		push @sql, "INSERT INTO $table ($columns) VALUES ($values) ON CONFLICT DO NOTHING";
	}
	elsif ($rand < 0.8)
	{
		my $also = $table eq 'tim' ? ', edition_time = now()' : '';
		push @sql, "UPDATE $table SET v = $value$also WHERE id % " . (2 + int rand 5) . ' = 0';
		push @sql, "UPDATE $table SET id = $id$also WHERE id = (SELECT min(id) FROM $table) AND NOT EXISTS (SELECT FROM $table WHERE id = $id)"
		  if rand() < 0.4 && $table !~ /^(?:t|par|chi)$/;
	}
	else
	{
		push @sql, rand() < 0.1 ? "TRUNCATE $table" . ($table eq 't' ? ', refers' : '') : "DELETE FROM $table WHERE id % " . (3 + int rand 6) . ' = 1';
	}
	app_sql("BEGIN;\n" . join('', map { "$_;\n" } @sql) . (rand() < 0.1 ? 'ROLLBACK' : 'COMMIT') . ';');
	return;
}

# Random DDL that leaves the columns that the queries name.
sub change_columns
{
	my $table = ('t', 'par', 'pt', 'refers', '"Mixed Case"')[ int rand 5 ];
	my $rand = rand;
	if ($rand < 0.4 || !@added)
	{
		my $name = 'c' . $next_name++;
		my $type = ('int', 'text', 'numeric(8,2)', 'timestamptz', 'short')[ int rand 5 ];
		ddl("ALTER TABLE $table ADD COLUMN $name $type;\n");
		push @added, [ $table, $name, $type ];
		app_sql("UPDATE $table SET $name = " . ($type eq 'timestamptz' ? 'now()' : '3') . ' WHERE id % 2 = 0');
	}
	elsif ($rand < 0.55)
	{
		my ($gone) = splice @added, int(rand @added), 1;
		ddl("ALTER TABLE $gone->[0] DROP COLUMN $gone->[1];\n");
	}
	elsif ($rand < 0.7)
	{
		my $column = $added[ int rand @added ];
		my $name = 'Renamed ' . $next_name++;
		ddl("ALTER TABLE $column->[0] RENAME COLUMN $column->[1] TO \"$name\";\n");
		$column->[1] = qq("$name");
	}
	elsif ($rand < 0.85)
	{
		my $column = $added[ int rand @added ];
		ddl("ALTER TABLE $column->[0] ALTER COLUMN $column->[1] TYPE " . ($column->[2] eq 'int' ? 'bigint' : 'text') . ";\n");
		$column->[2] = $column->[2] eq 'int' ? 'bigint' : 'text';
	}
	else
	{
		ddl("ALTER TABLE $table RENAME TO moved;\nALTER TABLE moved RENAME TO $table;\n");
	}
	return;
}

# A schema of plain tables with what the tables have now.
sub copy
{
	my ($number) = @_;
	my $schema = "copy$number";
	$node->safe_psql('app', "CREATE SCHEMA $schema; SET search_path = $schema, public;\n" . join("\n", @ddl) . $code);
	my $fill = '';
	for my $table (@tables)
	{
		my $columns = $node->safe_psql('app', "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
			WHERE attrelid = 'app.$table'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''");
		my $only = $table eq 'pt' ? '' : 'ONLY ';
		$fill .= "INSERT INTO $schema.$table ($columns) SELECT $columns FROM ${only}app.$table;\n";
	}
	$node->safe_psql('app', $fill);
	my ($time, $iso) = split /\|/, $node->safe_psql('app',
		q{SELECT clock_timestamp() AS c, to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')});
	push @copies, { schema => $schema, time => $time, iso => $iso };
	return;
}

# What each of the scripts prints in one session, its lines sorted.
sub results
{
	my ($begin, @scripts) = @_;
	my $sql = "\\set ON_ERROR_STOP 0\n$begin\n" . join '', map { "\\echo ==== $_\n$scripts[$_]\n" } 0 .. $#scripts;
	my ($status, $out, $err) = $node->psql('app', $sql, extra_params => ['-q'], on_error_stop => 0);
	my (@found, $n);
	for (split /\n/, $out)
	{
		if (/^==== (\d+)$/) { $n = $1; $found[$n] = []; next }
		push @{ $found[$n] }, $_ if defined $n;
	}
	diag substr($err, 0, 2000) if $err =~ /ERROR|WARNING/;
	return map { join "\n", sort @{ $_ // [] } } @found;
}

sub same
{
	my ($copy, $numbers, $got, $how) = @_;
	my @wrong;
	for my $n (@$numbers)
	{
		my $should = $expected{ $copy->{schema} }[$n];
		push @wrong, "$queries[$n]\n$got->[$n]\nbut should be\n$should\n" if $got->[$n] ne $should;
	}
	is(scalar(@wrong) . ' ' . join("\n", @wrong[ 0 .. ($#wrong < 2 ? $#wrong : 2) ]), '0 ', "$how, as of $copy->{time}: " . @$numbers);
	return;
}
