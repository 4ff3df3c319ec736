# Whatever we leave to SQL is qualified: every function, operator, type and catalog in
# the texts of src/*.c and the install scripts (lib/SqlTexts.pm says what that is).  And
# test/pgtap/shadowed_names.sql, where somebody shadows them, knows all that are there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Test::More;
use SqlTexts;

my $top = "$FindBin::RealBin/../..";

# --- the check finds what it is for ----------------------------------------------------

my @cases = (
	[ 'SELECT upper(x) FROM pg_catalog.pg_class', 'function upper' ],
	[ 'SELECT a = b', 'operator =' ],
	[ 'SELECT a OPERATOR(pg_catalog.=) b', '' ],
	[ 'SELECT pg_catalog.count(*), x::text', 'type text' ],
	[ 'SELECT x FROM pg_class', 'catalog pg_class' ],
	[ 'SELECT x NOT LIKE y', 'operator NOT LIKE' ],
	[ 'ALTER TABLE %s SET (fillfactor)', '' ]);
for my $case (@cases)
{
	my @faults;
	names_in_sql($case->[0], \@faults);
	is(join(',', map { s/ in: .*//sr } @faults), $case->[1], "found in $case->[0]");
}
is(join('|', texts_of_c(<<'C')), 'SELECT a(b) FROM %s|CREATE x', 'the texts of a C file');
	f("SELECT a(b) "
	  "FROM %s", x); /* "SELECT c" */
	ereport(ERROR, (errmsg("SELECT (d %s", g(1)), errhint("SELECT f(g)")));
	return "SELECT e(f);", "nothing", "CREATE x";
C

# --- our code --------------------------------------------------------------------------

my %used;
my $texts = 0;
for my $file (glob("$top/src/{,*/}*.c"), glob("$top/sql/catmaid_history--[0-9]*.sql"), glob("$top/sql/lib/*.sql"))
{
	my @faults;
	my $name = $file =~ s{^\Q$top\E/}{}r;
	# adoption's first part sets a path of its own
	next if $file =~ /\.sql$/ && content($file) =~ /^SET LOCAL search_path TO pg_catalog, pg_temp;/m;
	for my $sql ($file =~ /\.c$/ ? texts_of_c(content($file)) : text_of_script(content($file)))
	{
		my $names = names_in_sql($sql, \@faults);
		$texts++;
		for my $kind (keys %$names) { $used{$kind}{$_} = $name for map { s/"//gr } keys %{ $names->{$kind} } }
	}
	is(join("\n", @faults), '', "$name: all is qualified");
}
cmp_ok($texts, '>', 30, 'they have SQL');

my $shadows = content("$top/test/pgtap/shadowed_names.sql");
my %list = (function => 'functions', operator => 'operators', type => 'domains', relation => 'relations');
for my $kind (sort keys %list)
{
	my ($array) = $shadows =~ /^\s*$list{$kind} text\[\] := '\{([^}]*)\}'/m or die "no $list{$kind} in shadowed_names.sql";
	my %there = map { $_ => 1 } split /,/, $array =~ s/"//gr;
	cmp_ok(keys %{ $used{$kind} }, '>', 3, "names of kind $kind are found");
	is(join(', ', map { "$_ ($used{$kind}{$_})" } grep { $_ ne '_' && !$there{$_} } sort keys %{ $used{$kind} }), '',
		"shadowed_names.sql shadows every $kind");
}
done_testing();
