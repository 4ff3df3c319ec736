# Section 11 on a standby: what it has not replayed yet is not shown as if it had not
# happened.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'one');
SQL
my $first = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
$node->safe_psql('postgres', "UPDATE t SET v = 'two'");
# (checkpoints have whole seconds)
$node->poll_query_until('postgres', "SELECT date_trunc('second', clock_timestamp()) > '$first'");
$node->safe_psql('postgres', 'CHECKPOINT');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub as_of
{
	my ($server, $instant) = @_;
	my ($rc, $out, $err) = $server->psql('postgres', "SELECT read_as_of('$instant') \\g /dev/null\nSELECT v FROM t");
	return $err =~ /ERROR:  (.*)/ ? $1 =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+\+00/T/gr : $out;
}
my $behind = 'cannot read tables as of T: the standby has replayed what was committed until T';

# Of what came before the last checkpoint it knows, with nothing replayed that tells the time.
is(as_of($standby, $first), 'one', 'before the last checkpoint');
$node->safe_psql('postgres', "UPDATE t SET v = 'three'");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $replayed = $standby->safe_psql('postgres', 'SELECT pg_last_xact_replay_timestamp()');
is(as_of($standby, $replayed), 'three', 'what has been replayed');

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
ok($standby->poll_query_until('postgres', 'SELECT pg_is_wal_replay_paused()'), 'replay is paused');
$node->safe_psql('postgres', "UPDATE t SET v = 'four'");
my $not_yet = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
is(as_of($node, $not_yet), 'four', 'the primary knows it');
is(as_of($standby, $not_yet), $behind, 'the standby does not, and says so');
is($standby->safe_psql('postgres', 'SELECT v FROM t'), 'three', 'its present is what it has');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$node->safe_psql('postgres', 'UPDATE t SET v = v');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(as_of($standby, $not_yet), 'four', 'replayed, it is known');
$standby->stop;
$node->stop;
done_testing();
