# What the library exports: the functions that PostgreSQL looks up, and nothing else.
# PostgreSQL up to 15 loads libraries with RTLD_GLOBAL: another exported function would
# give way to one of the same name in a library that was loaded before.

use strict;
use warnings;
use Test::More;

plan skip_all => 'nm is missing (binutils)' unless `sh -c 'command -v nm'`;

# (Debian's pg_config of PostgreSQL 13 does not know where it is itself.)
chomp(my $directory = `pg_config --pkglibdir`);
my $tree = $ENV{SERVER_TREE} // '';
$directory = $tree . $directory if rindex($directory, $tree, 0) < 0;
my $library = "$directory/catmaid_history.so";
my @exported = map { (split)[-1] } qx{nm -D --defined-only "$library"};
ok(@exported > 0, 'the library exports something');

# What the SQL scripts call from it, and all the words in them.
my $scripts = do { local (@ARGV, $/) = (glob('sql/*.sql'), glob('sql/lib/*.sql')); join '', <> };
my %word = map { $_ => 1 } $scripts =~ /\w+/g;
my %called = map { $_ => 1 } $scripts =~ /'MODULE_PATHNAME', '(\w+)'/g;

is(join(' ', grep { !/\A(?:pg_finfo_)?catmaid_history_\w+\z/ && !/\A(?:_PG_init|Pg_magic_func)\z/ } @exported),
	'', 'nothing is exported but functions for SQL, and what PostgreSQL calls to load the library');
is(join(' ', grep { /\Acatmaid_history_/ && !$word{$_} } @exported), '', 'each of them is for a function in a SQL script');
my %exported = map { $_ => 1 } @exported;
is(join(' ', grep { !$exported{$_} || !$exported{"pg_finfo_$_"} } sort keys %called), '', 'what the scripts call is there');
ok($exported{_PG_init} && $exported{Pg_magic_func}, 'the library can be loaded');

done_testing();
