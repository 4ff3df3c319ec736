# Segments, where it takes sessions and servers that end: rotation does not keep writers
# waiting, and gives up when its time is over; nothing is lost in a crash, whatever the WAL
# has; a standby has all.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $node = PostgreSQL::Test::Cluster->new('segments');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i;
SQL

# A transaction that has written goes on.
my $writer = PgWire->new($node, name => 'writer');
my $other = PgWire->new($node, name => 'other');
$writer->do('BEGIN; UPDATE t SET v = 1 WHERE id = 1');
my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '300ms'; SELECT rotate_history('t')");
like($err, qr/could not lock relation "t__history" without keeping others waiting/, 'rotation gives up after lock_timeout');
is($node->safe_psql('postgres', "SELECT to_regclass('t__history_1') IS NULL"), 't', 'and leaves nothing');
# Meanwhile others write: rotation is at it until they have.
my $rotating = PgWire->new($node, name => 'rotating');
$rotating->start("SELECT rotate_history('t')");
$other->do("UPDATE t SET v = 'other' WHERE id = $_") for 2 .. 20;
pass('others write while it waits');
$writer->do('COMMIT');
$rotating->finish;
is($node->safe_psql('postgres', 'SELECT count(*) FROM catmaid_history_segments'), '1', 'it has the lock when the transaction has ended');
$_->close for $writer, $other, $rotating;
$node->safe_psql('postgres', "SELECT rotate_history('t')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM t__history'), '20', 'all versions are there');

# A standby, a crash.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', "UPDATE t SET v = repeat(md5(id::text), 300); SELECT rotate_history('t'); UPDATE t SET v = 'w'; SELECT rotate_history('t')");
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $all = q{SELECT count(*), sum(length(v)) FROM t__history};
is($standby->safe_psql('postgres', $all), $node->safe_psql('postgres', $all), 'a standby has all versions');
$standby->stop;
my $before = $node->safe_psql('postgres', $all);
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', $all), $before, 'after a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM check_history()}), '0', 'check_history finds nothing');
$node->stop;

# Where wal_level is minimal, what a transaction has made is not in the WAL, but on disk.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
BEGIN;
CREATE TABLE n (id int PRIMARY KEY, v text);
SELECT create_history_table('n');
INSERT INTO n SELECT i, (SELECT string_agg(md5(j::text), '') FROM generate_series(1, 500) j) FROM generate_series(1, 100) i;
UPDATE n SET v = v || 'x';
SELECT rotate_history('n');
UPDATE n SET v = 'y';
SELECT rotate_history('n');
UPDATE n SET v = 'z';
COMMIT;
SQL
$before = $node->safe_psql('postgres', 'SELECT count(*), sum(length(v)) FROM n__history');
is($before, '300|3200200', 'made, filled and cut in one transaction');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*), sum(length(v)) FROM n__history'), $before, 'after a crash');
$node->safe_psql('postgres', <<'SQL');
BEGIN;
UPDATE n SET v = repeat('a', 3000);
SAVEPOINT s;
SELECT rotate_history('n');
UPDATE n SET v = 'b';
ROLLBACK TO s;
UPDATE n SET v = 'c';
SELECT rotate_history('n');
COMMIT;
SQL
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM n__history'), '500', 'after a rollback to a savepoint, and a crash');
is($node->safe_psql('postgres', q{SELECT count(*) FROM check_history()}), '0', 'check_history finds nothing');
$node->stop;
done_testing();
