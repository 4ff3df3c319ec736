# No file of src/ uses what stands above it, and none what uses it in turn: what
# script/arrows says.  And it does say so.

use strict;
use warnings;
use File::Path 'make_path';
use File::Temp 'tempdir';
use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $other = tempdir(CLEANUP => 1);

sub arrows
{
	my ($folder, @options) = @_;
	local $ENV{ARROWS_IN} = $folder;
	my $said = qx{"$^X" "$top/script/arrows" @options 2>&1};
	return ($? == 0, $said);
}

# Fill a src/ with these files, each of which defines functions and uses others:
# 'folder/file' => 'defined -> used used'.
sub source
{
	my (%files) = @_;
	unlink glob "$other/src/*/*.c";
	for my $file (keys %files)
	{
		my ($defines, $uses) = split / -> /, $files{$file};
		make_path("$other/src/" . ($file =~ s{/.*}{}r));
		open my $fh, '>', "$other/src/$file.c" or die "$file: $!";
		print $fh "/* other(); */\nvoid\n$_(void)\n{\n" . join('', map { "\t$_();\n" } split ' ', $uses // '') . "}\n\n"
		  for split ' ', $defines;
		close $fh;
	}
	return;
}

my ($fine, $said) = arrows($top);
ok($fine, 'src/ has no cycle, and nothing points upward') or diag $said =~ s/^\S+ ->.*\n//gmr;

source('base/a' => 'low', 'manage/b' => 'mid -> low', 'adopt/c' => 'high -> mid low');
($fine, $said) = arrows($other);
ok($fine, 'a way down is fine');
like($said, qr/^3 files, 3 arrows/m, 'its arrows are counted, and comments are not');
($fine, $said) = arrows($other, '--drawing');
like($said, qr/^src\/adopt -> manage base\n    c\nsrc\/manage -> base\n    b\nsrc\/base\n    a\n/, 'and drawn');

source('base/a' => 'low -> high', 'adopt/c' => 'high');
($fine, $said) = arrows($other);
ok(!$fine && $said =~ m{^upward: base/a.c -> adopt/c.c: high$}m, 'an arrow upward is told');

source('base/a' => 'one -> two', 'base/b' => 'two -> three', 'base/c' => 'three -> one');
($fine, $said) = arrows($other);
ok(!$fine && $said =~ /^a cycle of 3 files:$/m, 'a cycle is told');

source('attic/a' => 'one');
($fine, $said) = arrows($other);
ok(!$fine && $said =~ m{^src/attic/a.c stands in a folder}m, 'and a file without a place');

source('base/a' => 'low');
open my $fh, '>>', "$other/src/base/a.c" or die "a.c: $!";
print $fh qq{#include "adopt/adopt.h"\n};
close $fh;
make_path("$other/src/adopt");
open $fh, '>', "$other/src/adopt/adopt.h" or die "adopt.h: $!";
close $fh;
($fine, $said) = arrows($other);
ok(!$fine && $said =~ m{^upward: base/a.c includes adopt/adopt.h$}m, 'and a header from above');
done_testing();
