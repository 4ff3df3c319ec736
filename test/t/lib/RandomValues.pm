# Random values and how they look as SQL, as COPY data and in a comparison.
#
# The model keeps a value as the text PostgreSQL shows for it, except for
# timestamps (microseconds since 1970) and for transaction ids that are not known
# yet (the transaction's hash, see RandomModel.pm).

package RandomValues;

use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK =
  qw(pick chance some quote_ident quote_text literal copy_text shown random_value random_type base_type type_name);

my @words = (
	'', 'a', 'bb', 'it\'s', 'back\\slash', "two\nlines", '"quoted"', 'NULL',
	'42', '7', '-3', '1000000', '99999999999', '3.7', "\xc3\xbc\xe2\x82\xac", 'x y',
	'true', '{}', 'abcdefghijklmnop',);
# Long enough to be stored out of line, and incompressible enough.
my $long = join '', map { chr(97 + ($_ * $_ * 31 + ($_ >> 3) * 7) % 26) } 1 .. 6000;

# Numbers are drawn by perl's own generator, seeded once by the test.
sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# Between min and max of these, in random order.
sub some
{
	my ($min, $max, @from) = @_;
	my $n = $min + int rand($max - $min + 1);
	my @some;
	while (@from && @some < $n)
	{
		push @some, splice(@from, int rand @from, 1);
	}
	return @some;
}

sub quote_ident { my ($n) = @_; $n =~ s/"/""/g; return qq("$n") }
sub quote_text { my ($v) = @_; $v =~ s/'/''/g; return "'$v'" }

sub random_type
{
	return pick(qw(int4 int4 int8 text text varchar(20) numeric bool int4[] jsonb rnd_enum rnd_dom));
}

sub base_type { return $_[0] eq 'rnd_dom' ? 'text' : $_[0] }

# As pg_type has it.
sub type_name
{
	my ($t) = @_;
	$t =~ s/\(\d+\)$//;
	return $t =~ s/\[\]$// ? "_$t" : $t;
}

sub random_value
{
	my ($type) = @_;
	return undef if chance(0.15);
	return int(rand 200) - 50 if $type eq 'int4' && chance(0.9);
	return pick(2147483647, -2147483648, 0) if $type eq 'int4';
	return chance(0.7) ? int(rand 1000) : '5000000000' if $type eq 'int8';
	return sprintf('%d.%02d', rand 500, rand 100) if $type eq 'numeric';
	return pick('true', 'false') if $type eq 'bool';
	return '{' . join(',', map { int rand 9 } 1 .. rand 4) . '}' if $type eq 'int4[]';
	return pick('{"a": 1}', '[1, 2]', '"s"', 'null', '{}') if $type eq 'jsonb';
	return pick('red', 'green', 'blue') if $type eq 'rnd_enum';
	return $long if $type eq 'text' && chance(0.02);
	my $v = pick(@words);
	return substr($v, 0, $1) if $type =~ /^varchar\((\d+)\)/;
	return $v;
}

sub literal
{
	my ($v, $type) = @_;
	return "NULL::$type" unless defined $v;
	return "(timestamptz 'epoch' + interval '1 microsecond' * $v)" if $type eq 'timestamptz';
	return quote_text($v) . "::$type";
}

sub copy_text
{
	my ($v) = @_;
	return '\N' unless defined $v;
	my %escape = ("\\" => '\\\\', "\n" => '\n', "\t" => '\t', "\r" => '\r');
	$v =~ s/([\\\n\t\r])/$escape{$1}/g;
	return $v;
}

# SQL for one value in a comparison line.
sub shown
{
	my ($expression, $type) = @_;
	return "coalesce((extract(epoch from $expression) * 1000000)::bigint::text, '\\N')"
	  if $type eq 'timestamptz';
	return "coalesce(($expression)::text, '\\N')";
}

1;
