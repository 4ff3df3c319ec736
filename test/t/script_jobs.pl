# Whatever ends a job of script/test before its time is a failure with a line that says so,
# and the jobs after it are run all the same; and whatever ends script/test itself.

use strict;
use warnings;
use FindBin;
use File::Temp 'tempdir';
use Test::More;

delete $ENV{JOBS_SECONDS}; # of the run that this is part of

my $top = "$FindBin::RealBin/../..";
my $dir = tempdir(CLEANUP => 1);
plan skip_all => 'bash is missing' if system('bash -c true 2>/dev/null') != 0;

# Runs jobs, which are functions of the script; what is printed, the counts last.
sub jobs
{
	my ($functions, @jobs) = @_;
	my $add = join "\n", map { "job_add $_" } @jobs;
	open my $file, '>', "$dir/script" or die $!;
	print $file <<"SH";
set -uo pipefail
. '$top/script/lib-jobs.sh'
PASSED=0 FAILED=0 SKIPPED=0 JOBS=2
trap 'echo "\$PASSED passed, \$FAILED failed, \$SKIPPED skipped"' EXIT
well() { echo "well \$1"; PASSED=2 SKIPPED=1; }
$functions
$add
jobs_run '$dir/jobs'
SH
	close $file;
	my $said = `bash '$dir/script' 2>&1`;
	system 'rm', '-rf', "$dir/jobs";
	return $said;
}

is(jobs('', 'well 1', 'well 2'), "well 1\nwell 2\n4 passed, 0 failed, 2 skipped\n", 'control: jobs that end well');
like(jobs('dies() { kill -KILL $BASHPID; }', 'dies', 'well 2'), qr/^dies: ended before its time\nwell 2\n2 passed, 1 failed, 1 skipped\n\z/m, 'one that is killed');
like(jobs('leaves() { echo something; exit 3; }', 'leaves', 'well 2'), qr/^something\nleaves: ended before its time\nwell 2\n2 passed, 1 failed, 1 skipped\n\z/m, 'one that exits');
like(jobs('unset_one() { echo "$nothing"; }', 'unset_one', 'well 2'), qr/^unset_one: ended before its time\nwell 2\n2 passed, 1 failed, 1 skipped\n\z/m, 'one with a mistake');
like(jobs('garbage() { PASSED="not ok"; }', 'garbage', 'well 2'), qr/^garbage: ended before its time, with "not ok 0 0" for its counts\nwell 2\n2 passed, 1 failed, 1 skipped\n\z/m,
	'one whose counts are none');

# in_database and the last line, cut out of script/test.
sub part { my ($name) = @_; return `sed -n '/^$name()/,/^}/p' '$top/script/test'` }
sub script
{
	my ($text) = @_;
	open my $file, '>', "$dir/script" or die $!;
	print $file "set -uo pipefail\nPASSED=0 FAILED=0 SKIPPED=0 PG_BIN=none WORK='$dir'\n"
	  . join("\n", map { part($_) } qw(in_database result indented last_line end_of)) . "\nwait_for_recovery() { :; }\nas_server_user() { :; }\n$text\n";
	close $file;
	return `bash '$dir/script' 2>&1`;
}
like(script("echo 'ERROR:  the log' >'$dir/log'\nhalf() { echo 'not ok 1'; exit 1; }\nin_database one '$dir/log' half\necho \"\$PASSED/\$FAILED/\$SKIPPED\""),
	qr{^not ok 1\none: ended before its time +0 passed   1 FAILED\n    ERROR:  the log\n0/1/0\n\z}, 'a test of a database that ends half way');
is(script("whole() { echo 'one of 7'; PASSED=7 SKIPPED=2; }\nin_database one '$dir/log' whole\necho \"\$PASSED/\$FAILED/\$SKIPPED\""), "one of 7\n7/0/2\n", 'control: one that ends');
like(script('PASSED=3; last_line 143'), qr/^script\/test ended before all tests had run: it was interrupted \(SIGTERM\)\n3 passed, 1 failed\n\z/, 'script/test interrupted says so');
like(script('last_line 1'), qr/had run: exit status 1, see above\n0 passed, 1 failed\n\z/, 'and so if it ends by itself');
is(script('REPORTED=yes; PASSED=3; last_line 0'), "3 passed, 0 failed\n", 'control: with all tests run');
done_testing();
