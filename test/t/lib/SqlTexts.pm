# The SQL texts in C sources and install scripts, and whether every name in them is
# qualified: for test/t/qualified.pl and script/check-rights.
#
# In the C sources an SQL text is a string (or several, one after the other) that
# begins with a command or names pg_catalog.  What is typed by people is none: messages,
# and hints, which end in a semicolon or call a function of ours.  Keywords of SQL are in
# capitals; int is one.

package SqlTexts;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(content texts_of_c text_of_script names_in_sql);

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
	# run by its user on another server, where it sets a path of its own
	$text =~ s/\$script\$.*?\$script\$/''/gs;
	$text =~ s/--.*//g;
	$text =~ s/COMMENT ON .*? IS\s+'(?:[^']|'')*';//gs;
	# what a format makes is SQL as well
	$text =~ s/format\('((?:[^']|'')*)'/format($1/g;
	$text =~ s/\b(?:CREATE FUNCTION|CREATE PROCEDURE|EXECUTE FUNCTION|ALTER FUNCTION|REVOKE EXECUTE ON FUNCTION) (?:catmaid_history_internal\.)?\w+\([^()]*\)/ /g;
	$text =~ s/\bCREATE (?:TABLE|TYPE|VIEW) \w+//g;
	return $text;
}

# The names in an SQL text, as a hash of kind and name; whatever is not qualified goes to
# the list of faults.
sub names_in_sql
{
	my ($sql, $faults) = @_;
	my %names;
	my $fault = sub { push @$faults, "$_[0] in: " . substr($sql =~ s/\s+/ /gr, 0, 200) };

	$sql =~ s/'(?:[^']|'')*'/ /g;
	$sql =~ s/\$\$/ /g;
	# what a format adds to a name is a word of its own
	$sql =~ s/(?<=\w)%s/ _/g;
	$sql =~ s/%(?:\d\$)?[a-zA-Z]/_/g;
	# where no other way of writing is allowed
	$sql =~ s/\bOPERATOR \d+ pg_catalog\.= / /g;
	while ($sql =~ s/OPERATOR\(pg_catalog\.(\S+)\)/ /) { $names{operator}{$1} = 1 }
	$fault->("operator $1") while $sql =~ s/\b((?:NOT )?I?LIKE|SIMILAR TO|BETWEEN|IS DISTINCT FROM)\b//;
	$names{function}{$1} = 1 while $sql =~ s/\bpg_catalog\.(\w+)\(/(/;
	$names{type}{$1} = 1 while $sql =~ s/::pg_catalog\.(\w+|"char")(?:\[\])?/ /;
	$sql =~ s/::(?:_|int\b)/ /g;
	$fault->("type $1") while $sql =~ s/::(\w+(?:\.\w+)?)/ /;
	$sql =~ s/\bAS \w+\([^()]*\)/ /g;
	# a function's name and its parenthesis have nothing between them, as have those of a format
	# ours, made in the line before, or in our own schema; and what is no function
	$sql =~ s/\b(?:catmaid_history_adopt|catmaid_history_log_context|catmaid_history_internal\.\w+|coalesce)\(/(/g;
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

1;
