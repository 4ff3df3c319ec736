# History compared with what logical decoding says was changed.
#
# Several sessions run random transactions on tracked tables at the same time
# (Workload.pm); ChangeStream.pm tells what history has to hold, who made and who ended each
# version, and what history_changes() has to say.
#
#   RANDOM_SEED           repeats the statements (not how the sessions interleave)
#   ORACLE_TRANSACTIONS   how many transactions, 600 unless told

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use ChangeStream;
use PgWire;
use Workload;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $transactions = $ENV{ORACLE_TRANSACTIONS} || 600;
srand($seed);
diag "RANDOM_SEED=$seed ORACLE_TRANSACTIONS=$transactions";

my $node = PostgreSQL::Test::Cluster->new('oracle');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
wal_level = logical
fsync = off
timezone = 'UTC'
datestyle = 'ISO'
deadlock_timeout = 20ms
log_statement = none
CONF
$node->start;

my $main = PgWire->new($node, name => 'main');
if (!make_slot($main, 'oracle'))
{
	$main->close;
	plan skip_all => 'test_decoding is not there (it comes with the server package and contrib)';
}

make_tables($main);
my ($states) = run_sessions($node, transactions => $transactions);
# Conflicts between sessions are expected (and TRUNCATE while a deferred check is
# pending is refused by PostgreSQL), faults are not.
delete @$states{qw(40001 40P01 23505 23503 55006)};
is_deeply($states, {}, 'transactions failed only because of each other');
my ($expected, $live, $order, $versions) = replay(decode());
compare($_, $expected, $live, $transactions / 40) for sort keys %tables;
compare_makers($_, $versions) for sort keys %tables;
# (With a deferrable key rows are alike for a while: which of them went is open.)
compare_changes($_, $versions) for grep { $_ ne 'public.deferred' } sort keys %tables;
apart($_) for grep { !$tables{$_}{time} } sort keys %tables;
is($order, undef, 'history tables were only inserted into');
$main->close;
$node->stop;
done_testing();

