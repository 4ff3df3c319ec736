# doc/rights.list has each place in src/ that acts with somebody's rights: what
# script/check-rights says.  And it does say so.

use strict;
use warnings;
use File::Copy 'copy';
use File::Temp 'tempdir';
use FindBin;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $copy = tempdir(CLEANUP => 1);

sub check
{
	my ($folder) = @_;
	local $ENV{CHECK_RIGHTS_IN} = $folder;
	my $said = qx{"$^X" "$top/script/check-rights" 2>&1};
	return ($? == 0, $said);
}

my ($fine, $said) = check($top);
ok($fine, 'src/ does what doc/rights.list says') or diag $said;

mkdir "$copy/$_" for 'doc', map { s{^\Q$top\E/}{}r } "$top/src", grep { -d } glob "$top/src/*";
copy($_, $_ =~ s{^\Q$top\E}{$copy}r) for glob "$top/src/{,*/}*.c";
copy("$top/doc/rights.list", "$copy/doc/");

my @more = (
	[ "security_act_as(owner, ACT_TO_MANAGE, &before);", qr/security_act_as owner is not in/, 'another switch' ],
	[ "x(BOOTSTRAP_SUPERUSERID);", qr/BOOTSTRAP_SUPERUSERID - is not in/, 'the superuser, in passing' ],
	[ "SPI_execute(sql, false, 0);", qr/SPI_execute - is not in/, 'another query' ],
	[ "ddl_execute(InvalidOid, \"ALTER TABLE x\");", qr/ddl_execute InvalidOid is not in/, 'another command' ],
	[ "AlterTableInternal(relid, cmds, true);", qr/AlterTableInternal - is not in/, 'a command by its function' ],
	[ "OidFunctionCall1(f, x);", qr/OidFunctionCall1 - is not in/, 'a function of somebody\'s' ],
	[ "f(\"SELECT upper(x) FROM pg_class\");", qr/not qualified: catalog pg_class/, 'SQL that is not qualified' ]);
for my $case (@more)
{
	my ($code, $words, $what) = @$case;
	open my $fh, '>', "$copy/src/more.c" or die "more.c: $!";
	print $fh "void\nmore(Oid owner)\n{\n\t/* security_act_as(nobody) */\n\t$code\n}\n";
	close $fh;
	($fine, $said) = check($copy);
	ok(!$fine, "found: $what");
	like($said, $words, 'and told');
	is(scalar(split /\n/, $said), 1 + ($said =~ /function upper/ ? 1 : 0), 'nothing else');
}
unlink "$copy/src/more.c";

open my $fh, '>>', "$copy/doc/rights.list" or die "rights.list: $!";
print $fh "src/gone.c:gone\tsecurity_act_as\towner\tthere was a reason\n";
close $fh;
($fine, $said) = check($copy);
ok(!$fine, 'found: what has gone');
like($said, qr/^src\/gone\.c:gone .* is in doc\/rights\.list, and not in src/, 'and told');
done_testing();
