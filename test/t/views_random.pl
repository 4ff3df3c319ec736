# Views of users upon history views, at random: joins of all kinds, merged columns,
# aliases, sub-queries; and columns of the tables that come, go, get other names and
# other types.  After each command every view shows what it showed before, and so does
# its definition as PostgreSQL prints it: what the stored queries say, and what
# they are said to say.
#
#   VIEWS_RANDOM   how many views, 60 unless told
#   RANDOM_SEED    repeats a run

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $views = $ENV{VIEWS_RANDOM} || 60;
srand($seed);
diag "RANDOM_SEED=$seed VIEWS_RANDOM=$views";

my $node = PostgreSQL::Test::Cluster->new('views');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 500\n");
$node->start;
my $s = PgWire->new($node, name => 'views');
$s->do(<<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text, d int, e int);
CREATE TABLE s (id int PRIMARY KEY, a int, f int, g text);
CREATE TABLE o (id int, a int, z int, c text);
SELECT create_history_table('t'), create_history_table('s');
INSERT INTO t SELECT i, i % 3, i % 2, 'c' || i, i, i FROM generate_series(1, 4) i;
INSERT INTO s SELECT i, i % 3, i, 'g' || i FROM generate_series(2, 5) i;
INSERT INTO o SELECT i, i % 3, i, 'c' || i FROM generate_series(0, 3) i;
UPDATE t SET a = a + 1 WHERE id < 3;
UPDATE s SET f = f + 1 WHERE id < 4;
CREATE FUNCTION rows_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	EXECUTE format('SELECT array_agg(x::text ORDER BY x::text) FROM (%s) x', rtrim(query, ';')) INTO r;
	RETURN r;
END $$;
SQL

# --- the views ---------------------------------------------------------------------------
# Columns that no command takes away: of t id, a, d; of s id, a; of both the period.

my $names = 0;
my $made = 0;
for (1 .. $views)
{
	my ($sql) = query(int rand 4);
	# names that are ambiguous, here and there
	my $answer = $s->try("CREATE VIEW v$_ AS $sql");
	$made++ unless $answer->{error};
	is($answer->{error}{C} =~ /^42(702|P10|703)$/ ? 'ambiguous' : "$answer->{error}{M}: $sql", 'ambiguous', "v$_") if $answer->{error};
}
cmp_ok($made, '>', $views / 2, 'most of them are views');
my @views = map { $_->[0] } @{ $s->try("SELECT relname FROM pg_class WHERE relname ~ '^v[0-9]+\$' ORDER BY oid")->{rows} };
my %oid = map { $_ => oid($_) } @views;
my %shown = map { $_ => shown($_) } @views;

for my $command ('ALTER TABLE t DROP b', 'ALTER TABLE t ADD n1 int', 'ALTER TABLE s ADD z int, ADD d int',
	'ALTER TABLE t ALTER d TYPE bigint', 'ALTER TABLE t DROP c, ADD z int', 'ALTER TABLE s DROP g',
	'ALTER TABLE s ALTER a TYPE bigint, ADD n2 text', 'ALTER TABLE t RENAME z TO y', 'ALTER TABLE s RENAME a TO aa',
	'ALTER TABLE t ALTER d TYPE int USING d::int, ADD n9 int', 'ALTER TABLE t DROP e, DROP n1',
	'ALTER TABLE s DROP f, DROP z', 'ALTER TABLE t ADD b text, ADD c text', 'ALTER TABLE s RENAME aa TO a',
	'ALTER TABLE t ALTER id TYPE bigint, DROP n9')
{
	my $answer = $s->try($command);
	is($answer->{error} && "$answer->{error}{M} $answer->{error}{D}", undef, $command);
	my @wrong;
	for my $view (@views)
	{
		my $now = shown($view);
		push @wrong, "$view: $now, not $shown{$view}: " . $s->value("SELECT pg_get_viewdef('$view')")
		  if $now ne $shown{$view} || oid($view) != $oid{$view};
	}
	is(join("\n", @wrong[ 0 .. ($#wrong > 2 ? 2 : $#wrong) ]), '', 'they show what they did');
}
$s->close;
$node->stop;
done_testing();

sub oid { return $s->value("SELECT '$_[0]'::regclass::oid") }

# What the view shows, and its definition if that is another thing.
sub shown
{
	my ($view) = @_;
	my $direct = $s->value("SELECT rows_of('TABLE $view')") // 'nothing';
	my $answer = $s->try("SELECT rows_of(pg_get_viewdef('$view'))");
	my $printed = $answer->{error} ? $answer->{error}{M} : $answer->{rows}[0][0] // 'nothing';
	return $direct eq $printed ? $direct : "$direct, printed $printed";
}

# --- queries: SQL, columns by name as one can refer to them, names for USING --------------

sub one_of { return $_[ int rand @_ ] }

sub alias { return 'x' . ++$names }

sub query
{
	my ($depth) = @_;
	my ($from, $columns) = joined($depth);
	my @columns = map { $columns->{$_} } sort keys %$columns;
	my $n = 0;
	my $list = join ', ', map { '(' . one_of(@columns) . ')::text AS k' . $n++ } 0 .. int rand 4;
	my $sql = "SELECT $list FROM $from";
	$sql .= " WHERE EXISTS (SELECT 1 FROM t__with_history q WHERE q.d::text = (" . one_of(@columns) . ')::text)' if rand() < 0.3;
	$sql = 'SELECT ' . join(', ', map { "max(k$_) AS k$_" } 0 .. $n - 1) . " FROM ($sql) " . alias() . ' GROUP BY k0' if rand() < 0.2;
	return ($sql, $n);
}

sub joined
{
	my ($depth) = @_;
	return base() if $depth == 0 || rand() < 0.3;
	my ($left, $left_columns, $left_names) = joined($depth - 1);
	my ($right, $right_columns, $right_names) = joined($depth - 1);
	my $join = one_of('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
	my %columns = %$left_columns;
	$columns{ exists $columns{$_} ? $_ . alias() : $_ } = $right_columns->{$_} for sort keys %$right_columns;
	my @common = grep { $right_names->{$_} } sort keys %$left_names;
	my %names = map { $_ => 1 } grep { !($left_names->{$_} && $right_names->{$_}) } keys %$left_names, keys %$right_names;
	my $sql;
	if (@common && rand() < 0.6)
	{
		my @merged = splice @common, int rand @common, 1;
		push @merged, one_of(@common) if @common && rand() < 0.3;
		$sql = "($left $join $right USING (" . join(', ', @merged) . '))';
		$names{$_} = 1 for @merged;
	}
	else
	{
		my ($l, $r) = map { my $c = $_; [ map { $c->{$_} } grep { /^(?:id|a|d|z)(?:x|$)/ } sort keys %$c ] } $left_columns, $right_columns;
		my $condition = @$l && @$r ? one_of(@$l) . ' = ' . one_of(@$r) : undef;
		$sql = $condition ? "($left $join $right ON $condition)" : "($left JOIN $right ON true)";
	}
	return ($sql, \%columns, \%names) unless %names && rand() < 0.25;
	my $alias = alias();
	return ("$sql AS $alias", { map { $_ => "$alias.$_" } keys %names }, \%names);
}

sub base
{
	my $alias = alias();
	my $what = one_of(qw(t t t s s o query with function));
	my @columns = $what eq 't' ? qw(id a d sys_period) : $what eq 's' ? qw(id a sys_period) : $what eq 'o' ? qw(id a z) : ();
	if ($what eq 't' && rand() < 0.3)
	{
		my @all = qw(id a b c d e sys_period exec_transaction_id);
		my %named = map { $all[$_] => "${alias}c$_" } 0 .. int rand 8;
		my %columns = map { $_ => "$alias." . ($named{$_} // $_) } @columns;
		return ("t__with_history AS $alias (" . join(', ', map { $named{$_} } grep { $named{$_} } @all) . ')',
			\%columns, { map { ($named{$_} // $_) => 1 } qw(id a d) });
	}
	if (@columns)
	{
		my $table = $what eq 'o' ? 'o' : "${what}__with_history";
		return ("$table $alias", { map { $_ => "$alias.$_" } @columns }, { map { $_ => 1 } grep { $_ ne 'sys_period' } @columns });
	}
	if ($what eq 'query')
	{
		my ($sql, $n) = query(1);
		return ("($sql) $alias", { map { ("k$_" => "$alias.k$_") } 0 .. $n - 1 }, {});
	}
	return ("(WITH w AS (SELECT id, d, sys_period FROM t__with_history) SELECT w1.id, w2.sys_period FROM w w1 JOIN w w2 USING (id)) $alias",
		{ map { $_ => "$alias.$_" } qw(id sys_period) }, { id => 1 }) if $what eq 'with';
	return ("generate_series(1, 2) $alias (id)", { id => "$alias.id" }, { id => 1 });
}
