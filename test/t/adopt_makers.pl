# Where there is a tracking table the PL/pgSQL functions stored the transaction that
# made a version in exec_transaction_id; we store the one that ended it.  The registry
# says of which versions the former is true, in maker_until and maker_snapshot: exactly,
# also of what a transaction stores that had begun before the adoption; in dumps too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $node = PostgreSQL::Test::Cluster->new('makers');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nclient_min_messages = warning\n");
$node->start;

# as doc/moving-over.md says
my $by_maker = q{SELECT string_agg(v, ' ' ORDER BY v) FROM t__history, catmaid_history_table
	WHERE history_table = 't__history'::regclass AND (isempty(sys_period) OR upper(sys_period) <= maker_until)
		AND pg_visible_in_snapshot(exec_transaction_id::text::xid8, maker_snapshot)};
my $told = q{SELECT string_agg(concat_ws(' ', objoid::regclass, objsubid, description), E'\n' ORDER BY objoid::regclass::text, objsubid)
	FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text ~ '__'};
my $marks = q{SELECT string_agg(concat_ws(' ', live_table, maker_until, maker_snapshot), ', ' ORDER BY live_table::text)
	FROM catmaid_history_table};

$node->safe_psql('postgres', 'CREATE DATABASE older');
$node->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', 'older',
		'-f', "$FindBin::RealBin/../pgtap/lib/old_implementation.sql" ], 'the older implementation');
my $s = PgWire->new($node, db => 'older');
$s->do(q{CREATE TABLE t (id int PRIMARY KEY, v text)});
$s->do(q{CREATE TABLE kept (id int PRIMARY KEY, v text); SELECT create_history_table('kept')});
$s->do(q{CREATE TABLE timed (id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint DEFAULT txid_current())});
$s->do(q{SELECT create_history_table('t'), create_history_table('timed', 'edited', 'txid')});
my $maker = $s->value(q{INSERT INTO t VALUES (1, '1 made') RETURNING txid_current()});
my $ender = $s->value(q{UPDATE t SET v = '2 live' RETURNING txid_current()});
$s->do(q{BEGIN; INSERT INTO t VALUES (2, '1 empty'); UPDATE t SET v = '5 live' WHERE id = 2; COMMIT});
is($s->value(q{SELECT exec_transaction_id FROM t__history WHERE v = '1 made'}), $maker, 'older: who made it');

# One has begun, and has its number, before.
my $w = PgWire->new($node, db => 'older');
$w->do('BEGIN');
my $waiting = $w->value('SELECT txid_current()');
# For another adoption waits: what it stores is stored by the older functions still.
# (By hand, as those of the tests read the registry, which adoption has locked.)
my $writer = PgWire->new($node, db => 'older');
$writer->do(q{BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE;
	INSERT INTO t__history VALUES (4, '0 waited for', 'empty', txid_current())});
$s->start(q{BEGIN; CREATE EXTENSION catmaid_history VERSION 'unpackaged'; ALTER EXTENSION catmaid_history UPDATE; COMMIT});
$node->poll_query_until('older', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted})
	or die 'adoption does not wait';
$writer->do('COMMIT');
my $answer = $s->finish;
is($answer->{error} ? $answer->{error}{M} : '', '', 'adopted');
my $at = $s->value($marks);
like($at, qr/^kept (\S+ \S+ \d+:\d+:[\d,]*), t \1, timed$/, 'adopted: until when, of tables with a tracking table alone');
$w->do(q{UPDATE t SET v = '3 live' WHERE id = 1});
$w->do('COMMIT');
my $later = $s->value(q{UPDATE t SET v = '4 live' WHERE id = 1 RETURNING txid_current()});
is($s->value(q{SELECT exec_transaction_id FROM t__history WHERE v = '2 live'}), $waiting, 'ours: who ended it');
is($s->value(q{SELECT count(*) FROM t__history, catmaid_history_table WHERE v = '2 live' AND live_table = 't'::regclass
	AND upper(sys_period) <= maker_until}), 1, '... by the clock it ended before');
$s->do(q{BEGIN; INSERT INTO t VALUES (3, '6 empty'); UPDATE t SET v = '7 live' WHERE id = 3; COMMIT});
is($s->value($by_maker), '0 waited for 1 empty 1 made', 'told apart exactly');
is($s->value(q{SELECT string_agg(concat_ws(' ', v, coalesce(exec_transaction_id::text, '-'), start_transaction_id), ', ' ORDER BY v)
	FROM t__with_history WHERE v IN ('1 made', '1 empty', '2 live', '3 live')}),
	"1 empty - @{[$ender + 1]}, 1 made - $maker, 2 live $waiting $ender, 3 live $later $waiting",
	'the view shows each under its right name');
is($s->value('SELECT count(*) FROM check_history()'), 0, 'check_history is silent');

# It stays, whatever happens to the table.
$s->do(q{SELECT disable_history_tracking(), enable_history_tracking(), reload_history_tracking_for_table('t')});
$s->do(q{ALTER TABLE t ALTER id TYPE bigint; ALTER TABLE t RENAME TO renamed; ALTER TABLE renamed RENAME id TO number;
	SELECT repair_history(); ALTER TABLE renamed RENAME TO t});
is($s->value($marks), $at, 'it stays when the table is altered');
$s->do(q{BEGIN; ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged'; ALTER EXTENSION catmaid_history UPDATE; COMMIT});
is($s->value($marks), $at, '... and when the extension is made anew');

# A history that was kept and is taken up.
$s->do(q{SELECT drop_history_table_keep_data('kept'), create_history_table('kept')});
is($s->value($marks), $at, '... and when its history is kept and taken up');

like($s->value($told), qr/^t__history 5? ?.*of versions until the registry's maker_until the one that made it/m, '\d+ tells it');
my $comments = $s->value($told);

# Dumped and restored, as the registry's other columns; by pg_restore -j too.
my $dump = $node->backup_dir . '/makers.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'older' ], 'dumped');
for my $how ('-1', '-j2', '--disable-triggers')
{
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS again');
	$node->safe_psql('postgres', 'CREATE DATABASE again');
	$node->command_ok([ 'pg_restore', $how, '-d', 'again', $dump ], "$how: restored");
	my $a = PgWire->new($node, db => 'again');
	is($a->value($marks), $at, "$how: as it was");
	is($a->value($by_maker), '0 waited for 1 empty 1 made', "$how: told apart");
	is($a->value($told), $comments, "$how: the comments are there");
	is($a->value('SELECT count(*) FROM check_history()'), 0, "$how: check_history is silent");
	$a->close;
}
$_->close for $s, $w, $writer;
$node->stop;
done_testing();
