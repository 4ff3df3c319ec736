# The names of the triggers on live tables are an interface, and written down in C
# (trigger_specs[] in src/registry/trigger_state.c) and in SQL: in functions that return
# them, and in the view that says which tables are tracked.  They are the same.

use strict;
use warnings;
use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my %value = slurp("$top/src/registry/registry.h") =~ /^#define (\w+)_TRIGGER\s+"(\w+)"/mg;
ok(keys %value >= 6, 'registry.h has the names');

# NAME_TRIGGER, the function, of tables with a time column, of tables with a tracking table
my ($specs) = slurp("$top/src/registry/trigger_state.c") =~ /trigger_specs\[TRIGGER_SPECS\] = \{(.*?)\n\};/s;
my @specs = map { [split] } map { s/\s*TRIGGER_TYPE[^,]*,/ /r =~ s/[",]/ /gr } $specs =~ /\{([^{}]*)\}/g;
is(scalar(grep { @$_ != 4 || !$value{ $_->[0] =~ s/_TRIGGER\z//r } } @specs), 0, 'each spec has a name of these');

# what records, not what tells the log
@specs = grep { $_->[1] ne 'catmaid_history_log_insert' } @specs;
my ($timed, $tracked) = map {
	my $kind = $_;
	join ' ', sort map { $value{ $_->[0] =~ s/_TRIGGER\z//r } } grep { $_->[$kind] eq 'true' } @specs
} 2, 3;
my %needed = map { $_ => 1 } split / /, "$timed $tracked";

for my $script (map { "$top/sql/catmaid_history--$_.sql" } '1.0', 'unpackaged--1.0')
{
	my $sql = slurp($script);
	my $name = $script =~ s{.*/}{}r;
	my ($view) = $sql =~ /CREATE (?:OR REPLACE )?VIEW catmaid_live_table_triggers AS(.*?);/s;
	my @arrays = map { join ' ', sort /'(\w+)'/g } ($view // '') =~ /ARRAY\[(.*?)\]/sg;
	is($arrays[0], $timed, "$name: the view asks for the triggers of a table with a time column");
	is($arrays[1], $tracked, "$name: and for those of a table with a tracking table");

	my %told = map { $_ => 1 } $sql =~
	  /CREATE (?:OR REPLACE )?FUNCTION get_\w+_trigger_name\w*\(\) RETURNS text\s+LANGUAGE sql STABLE AS \$\$ SELECT '(\w+)'/g;
	is(join(' ', grep { !$told{$_} } sort keys %needed), '', "$name: a function tells each of the names");
	is(join(' ', grep { !$needed{$_} } sort keys %told), 'on_delete_update_history_txid_regular',
		"$name: and none but the one that is not in use any more");
}

done_testing();

sub slurp
{
	my ($path) = @_;
	open my $fh, '<', $path or die "$path: $!\n";
	local $/ = undef;
	return <$fh>;
}
