# src/ is laid out as PostgreSQL's sources are, as far as renames and moves may disturb
# it: what script/check-format says.  And it does say so.

use strict;
use warnings;
use File::Path 'make_path';
use File::Temp 'tempdir';
use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $other = tempdir(CLEANUP => 1);
make_path("$other/src/base");

sub check
{
	my ($folder, @options) = @_;
	local $ENV{CHECK_FORMAT_IN} = $folder;
	my $said = qx{"$^X" "$top/script/check-format" @options 2>&1};
	return ($? == 0, $said);
}

my ($fine, $said) = check($top);
ok($fine, 'src/ is laid out as it should be') or diag $said;

my @wrong = (
	[ "f(aaa,\n\t  b);", 'a continuation line' ],
	[ "\tx = 1; ", 'white space at the end' ],
	[ "    x = 1;", 'blanks for a tab' ],
	[ "\n\n\nx = 1;", 'blank lines' ]);
for my $case (@wrong)
{
	my ($code, $what) = @$case;
	open my $fh, '>', "$other/src/base/a.c" or die "a.c: $!";
	print $fh "void\nf(void)\n{\n$code\n}\n";
	close $fh;
	($fine, $said) = check($other);
	ok(!$fine && $said =~ m{^src/base/a\.c:\d+: }m, "found: $what");
	check($other, '--fix');
	($fine, $said) = check($other);
	ok($fine, 'and put right') or diag $said;
}
done_testing();
