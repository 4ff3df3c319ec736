# Whatever we leave to SQL is qualified: every function, operator, type and catalog in
# the texts of src/*.c and the install scripts.  And test/pgtap/68_shadows.sql, where
# somebody shadows them, knows all that are there.
#
# In the C sources an SQL text is a string (or several, one after the other) that
# begins with a command or names pg_catalog.  What is typed by people is none: messages,
# and hints, which end in a semicolon or call a function of ours.  Keywords of SQL are in
# capitals; int is one.

use strict;
use warnings;
use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/../..";

sub content
{
	my ($file) = @_;
	open my $fh, '<', $file or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

my $string = qr/"(?:[^"\\]|\\.)*"/;
my $balanced;
$balanced = qr/\((?:[^()"']|$string|'(?:[^'\\]|\\.)*'|(??{ $balanced }))*\)/;

# The SQL texts of a C file.
sub texts_of_c
{
	my ($text) = @_;
	my @texts;
	$text =~ s{/\*.*?\*/}{ }gs;
	$text =~ s/\berr(?:msg|detail|hint)\w*\s*$balanced//g;
	while ($text =~ /($string(?:\s*$string)*)/g)
	{
		my $sql = join '', map { s/^"|"$//gr } $1 =~ /$string/g;
		next if $sql =~ /;|SELECT %s\(/;
		next unless $sql =~ /pg_catalog\.|^\(?(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|GRANT|REVOKE|TRUNCATE|COMMENT) /;
		push @texts, $sql;
	}
	return @texts;
}

# An install script as one text: without comments, and without the definitions' own names.
sub text_of_script
{
	my ($text) = @_;
	$text =~ s/^\\echo.*//;
	$text =~ s/--.*//g;
	$text =~ s/COMMENT ON .*? IS\s+'(?:[^']|'')*';//gs;
	# what a format makes is SQL as well
	$text =~ s/format\('((?:[^']|'')*)'/format($1/g;
	$text =~ s/\b(?:CREATE FUNCTION|EXECUTE FUNCTION|ALTER FUNCTION) \w+\([^()]*\)/ /g;
	$text =~ s/\bCREATE (?:TABLE|TYPE|VIEW) \w+//g;
	return $text;
}

# The names in an SQL text, as a hash of kind and name; whatever is not qualified goes to
# the list of faults.
sub names
{
	my ($sql, $faults) = @_;
	my %names;
	my $fault = sub { push @$faults, "$_[0] in: " . substr($sql =~ s/\s+/ /gr, 0, 200) };

	$sql =~ s/'(?:[^']|'')*'/ /g;
	$sql =~ s/\$\$/ /g;
	$sql =~ s/%(?:\d\$)?[a-zA-Z]/_/g;
	while ($sql =~ s/OPERATOR\(pg_catalog\.(\S+)\)/ /) { $names{operator}{$1} = 1 }
	$fault->("operator $1") while $sql =~ s/\b((?:NOT )?I?LIKE|SIMILAR TO|BETWEEN|IS DISTINCT FROM)\b//;
	$names{function}{$1} = 1 while $sql =~ s/\bpg_catalog\.(\w+)\(/(/;
	$names{type}{$1} = 1 while $sql =~ s/::pg_catalog\.(\w+|"char")(?:\[\])?/ /;
	$sql =~ s/::(?:_|int\b)/ /g;
	$fault->("type $1") while $sql =~ s/::(\w+(?:\.\w+)?)/ /;
	$sql =~ s/\bAS \w+\([^()]*\)/ /g;
	# a function's name and its parenthesis have nothing between them, as have those of a format
	$sql =~ s/\bcatmaid_history_adopt\(/(/g; # ours, made in the line before
	while ($sql =~ /([a-z]\w*(?:\.\w+)?)\(/g) { $fault->("function $1") }
	$names{relation}{$1} = 1 while $sql =~ s/\b(?:FROM|JOIN|UPDATE|INTO)(?: ONLY)? pg_catalog\.(\w+)/ /;
	$fault->("catalog $1") if $sql =~ /\b(?:FROM|JOIN|UPDATE|INTO)(?: ONLY)? (pg_\w+)/;
	$names{relation}{$1} = 1 while $sql =~ s/\bpg_catalog\.(pg_\w+)/ /;
	$names{type}{$1} = 1 while $sql =~ s/\bpg_catalog\.(\w+)/ /;

	# no operators: the star of a list, an assignment, an option
	$sql =~ s/\b(?:ERRCODE|DETAIL|HINT) =/ /g;
	$sql =~ s/\bSET \w+ =/ /g;
	$sql =~ s/\bWITH \([^()]*\)/ /g;
	$sql =~ s/\(\*\)|\bSELECT \*|\.\*|%%/ /g;
	$fault->("operator $1") while $sql =~ s/([-+*\/<>=~!@#%^&|`?]+)//;
	return \%names;
}

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
	names($case->[0], \@faults);
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
for my $file (glob("$top/src/*.c"), glob("$top/sql/catmaid_history--[0-9]*.sql"), glob("$top/sql/lib/*.sql"))
{
	my @faults;
	my $name = $file =~ s{^\Q$top\E/}{}r;
	# adoption's first part sets a path of its own
	next if $file =~ /\.sql$/ && content($file) =~ /^SET LOCAL search_path TO pg_catalog, pg_temp;/m;
	for my $sql ($file =~ /\.c$/ ? texts_of_c(content($file)) : text_of_script(content($file)))
	{
		my $names = names($sql, \@faults);
		$texts++;
		for my $kind (keys %$names) { $used{$kind}{$_} = $name for map { s/"//gr } keys %{ $names->{$kind} } }
	}
	is(join("\n", @faults), '', "$name: all is qualified");
}
cmp_ok($texts, '>', 60, 'they have SQL');

my $shadows = content("$top/test/pgtap/68_shadows.sql");
my %list = (function => 'functions', operator => 'operators', type => 'domains', relation => 'relations');
for my $kind (sort keys %list)
{
	my ($array) = $shadows =~ /^\s*$list{$kind} text\[\] := '\{([^}]*)\}'/m or die "no $list{$kind} in 68_shadows.sql";
	my %there = map { $_ => 1 } split /,/, $array =~ s/"//gr;
	cmp_ok(keys %{ $used{$kind} }, '>', 3, "names of kind $kind are found");
	is(join(', ', map { "$_ ($used{$kind}{$_})" } grep { !$there{$_} } sort keys %{ $used{$kind} }), '',
		"68_shadows.sql shadows every $kind");
}
done_testing();
