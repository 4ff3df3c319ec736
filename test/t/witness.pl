# An independent witness: load, crash, recovery, standby and promotion.
#
# Clients change tracked tables of every kind at the same time: single rows and bulk,
# overlapping transactions, savepoints, all three isolation levels with the deadlocks
# and serialization failures that come of it, prepared transactions.  A slot with
# test_decoding records what was really committed.  In the middle of the load the
# server dies (immediate stop) and recovers, and the load goes on.  Afterwards every
# committed old version is in history exactly once, complete, with the right
# transaction, and nothing else is; tracking tables match; periods neither overlap
# nor leave a gap.  A streaming standby shows the same, and goes on once promoted.
#
#   RANDOM_SEED            repeats the statements (not how the sessions interleave)
#   WITNESS_TRANSACTIONS   how many transactions, 800 unless told

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use ChangeStream;
use Dumps;
use PgWire;
use Workload;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $transactions = $ENV{WITNESS_TRANSACTIONS} || 800;
srand($seed);
diag "RANDOM_SEED=$seed WITNESS_TRANSACTIONS=$transactions";

my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', <<'CONF');
timezone = 'UTC'
datestyle = 'ISO'
deadlock_timeout = 20ms
max_prepared_transactions = 20
log_statement = none
catmaid_history.log_transactions = on
CONF
$node->start;
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my $main = PgWire->new($node, name => 'main');
if (!make_slot($main, 'witness'))
{
	$main->close;
	plan skip_all => 'test_decoding is not there (it comes with the server package and contrib)';
}
make_tables($main);
my $first_xid = $main->value('SELECT txid_current()');
# No rows that trade keys at once: SPEC does not say which of them goes on.
my $deferred = $Workload::statements{deferred};
$Workload::statements{deferred} = sub {
	return $deferred->() =~ s/SET id = 26 - id/SET id = 1000 + (random() * 1e9)::int WHERE id % 5 = 1/r;
};

load();
my @conflicts = conflicts();
is_deeply(\@conflicts, [qw(40P01 40001 40001 40001)], 'a deadlock, and failures to serialize at two levels');
my ($expected, $live) = check_all();
on_the_standby();
$standby->stop;
done_testing();

# --- the load ------------------------------------------------------------------

# Half of it, a crash, recovery, and the other half.
sub load
{
	my %option = (sessions => 5, serializable => 1, prepared => 1, bulk => 1);
	my ($states, $sessions) = run_sessions($node, %option, transactions => $transactions, leave => $transactions / 2);
	ok($sessions, 'in the middle of the load');
	$node->stop('immediate');
	$_->{sock} = undef for @$sessions, $main;
	$node->start;
	$main = PgWire->new($node, name => 'main');
	ChangeStream::use_session($main);
	my $which = 0;
	$main->do(($which++ % 2 ? 'ROLLBACK' : 'COMMIT') . " PREPARED '$_->[0]'")
	  for @{ $main->do('SELECT gid FROM pg_prepared_xacts ORDER BY gid')->{rows} };

	my ($more) = run_sessions($node, %option, transactions => $transactions / 2);
	my %all = map { $_ => ($states->{$_} // 0) + ($more->{$_} // 0) } keys %$states, keys %$more;
	diag "failures: " . join ', ', map { "$_ $all{$_}" } sort keys %all;
	# See logical_oracle.pl.
	delete @all{qw(40001 40P01 23505 23503 55006)};
	is_deeply(\%all, {}, 'transactions failed only because of each other');
	return;
}

# What the load has by chance, once for certain.  Returns the errors.
sub conflicts
{
	my ($a, $b) = map { PgWire->new($node, name => $_) } qw(one other);
	my @states;
	my $begin = sub {
		my ($session, $level) = @_;
		$session->do("BEGIN ISOLATION LEVEL $level; INSERT INTO txlog VALUES (txid_current(), now())");
	};
	my $end = sub {
		my ($session, $sql) = @_;
		my $error = $session->try($sql)->{error};
		push @states, $error->{C} if $error;
		$session->do('ROLLBACK') if $session->{status} ne 'I';
	};
	$begin->($a, 'READ COMMITTED');
	$a->do("INSERT INTO $_ (id, v) VALUES (501, 'a'), (502, 'b') ON CONFLICT DO NOTHING") for qw(timed tracked);
	$a->do('COMMIT');

	# each waits for the other
	$begin->($_, 'READ COMMITTED') for $a, $b;
	$a->do("UPDATE tracked SET v = 'first' WHERE id = 501");
	$b->do("UPDATE tracked SET v = 'second' WHERE id = 502");
	$a->start("UPDATE tracked SET v = 'third' WHERE id = 502");
	my $error = $b->try("UPDATE tracked SET v = 'fourth' WHERE id = 501")->{error};
	$b->do($error ? 'ROLLBACK' : 'COMMIT');
	$error //= $a->finish->{error};
	push @states, $error->{C};
	$a->finish if $a->{busy};
	$a->do('COMMIT');

	# the row was changed since the transaction's snapshot
	for my $level ('REPEATABLE READ', 'SERIALIZABLE')
	{
		$begin->($a, $level);
		$begin->($b, 'READ COMMITTED');
		$b->do("UPDATE timed SET v = 'late', edition_time = now() WHERE id = 501; COMMIT");
		$end->($a, "UPDATE timed SET v = 'lost' WHERE id = 501");
	}

	# each reads what the other writes
	$begin->($_, 'SERIALIZABLE') for $a, $b;
	$_->do('SELECT count(*) FROM tracked') for $a, $b;
	$a->do("UPDATE tracked SET v = 'skewed' WHERE id = 501");
	$b->do("UPDATE tracked SET v = 'lost' WHERE id = 502");
	$end->($a, 'COMMIT');
	$end->($b, 'COMMIT');

	# who began first writes last, and the row's transaction is prepared
	$begin->($a, 'READ COMMITTED');
	$begin->($b, 'READ COMMITTED');
	$b->do("UPDATE tracked SET v = 'early' WHERE id = 501; PREPARE TRANSACTION 'conflict'");
	$a->start("UPDATE tracked SET v = 'late' WHERE id = 501");
	$main->do("COMMIT PREPARED 'conflict'");
	$a->finish;
	$a->do('COMMIT');
	$_->close for $a, $b;
	return @states;
}

# --- the checks ----------------------------------------------------------------

sub check_all
{
	my @changes = decode();
	logged(@changes);
	my ($expected, $live, $order) = replay(@changes);
	for my $name (sort keys %tables)
	{
		compare($name, $expected, $live, $transactions / 60);
		next if $tables{$name}{time};
		compare_tracking($name, $live);
		apart($name);
	}
	is($order, undef, 'history tables were only inserted into');
	return ($expected, $live);
}

# Every committed transaction that wrote a tracked table is in the log, once, and no other.
# (TRUNCATE of a table without rows writes nothing; the stream does not tell.)
sub logged
{
	my (%wrote, %perhaps, %entries);
	for my $change (@_)
	{
		my ($xid, $table, $verb) = @$change;
		next if $xid <= $first_xid;
		$entries{$xid} += $verb eq 'INSERT' ? 1 : $verb eq 'DELETE' ? -1 : 0 if $table eq 'public.catmaid_transaction_info';
		next unless $tables{ $root{$table} // $table };
		($verb eq 'TRUNCATE' ? \%perhaps : \%wrote)->{$xid} = 1;
	}
	my %all = map { $_ => 1 } keys %wrote, keys %entries;
	my @wrong = grep { my $n = $entries{$_} // 0; $n != ($wrote{$_} ? 1 : 0) && !($n == 1 && $perhaps{$_}) } sort { $a <=> $b } keys %all;
	is(join(', ', map { "$_: " . ($entries{$_} // 0) } @wrong), '', 'each transaction that wrote has one entry in the log, and no other has');
	cmp_ok(scalar keys %wrote, '>', $transactions / 3, '... of many');
	my $there = $main->do("SELECT transaction_id FROM catmaid_transaction_info WHERE transaction_id > $first_xid ORDER BY 1")->{rows};
	is(join(' ', map { $_->[0] } @$there), join(' ', grep { $entries{$_} } sort { $a <=> $b } keys %entries), '... as the log itself has them');
	is($main->value("SELECT count(*) FROM catmaid_transaction_info i JOIN txlog t ON t.xid = i.transaction_id WHERE execution_time <> ts"), 0, '... at their times');
	return;
}

sub as_of
{
	my ($session, $time) = @_;
	return join "\n", map {
		my $view = /"\z/ ? s/"\z/__with_history"/r : "${_}__with_history";
		$session->value("SELECT md5(coalesce(string_agg(v::text, ',' ORDER BY v::text COLLATE \"C\"), '')) || count(*) FROM $view v WHERE sys_period @> '$time'::timestamptz")
	} sort keys %tables;
}

sub on_the_standby
{
	my $time = $main->value("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY upper(sys_period)) FROM tracked__history WHERE NOT isempty(sys_period)");
	$node->wait_for_catchup($standby);
	my $there = PgWire->new($standby, name => 'standby');
	is(as_of($there, $time), as_of($main, $time), 'the standby answers the views as of a time');
	Dumps::use_node($node);
	my $goal = contents('postgres');
	Dumps::use_node($standby);
	same(contents('postgres'), $goal, 'the standby has the same tables, histories and registry');
	like($there->try("UPDATE tracked SET v = 'x'")->{error}{M}, qr/read-only transaction/, 'and is read-only');
	like($there->try("SELECT disable_history_tracking_for_table('tracked')")->{error}{M}, qr/cannot|recovery|read-only/, 'its history is not managed there');
	$there->close;
	$main->close;
	$node->stop('immediate');

	$standby->promote;
	my $s = PgWire->new($standby, name => 'promoted');
	$s->do($_) for "SELECT pg_catalog.set_config('client_min_messages', 'warning', false)",
	  "INSERT INTO timed (id, v) VALUES (901, 'a'); INSERT INTO child (id, v) VALUES (901, 'a'); INSERT INTO part VALUES (901, 1, 'a')",
	  'ALTER TABLE tracked ADD COLUMN later int DEFAULT 5';
	for my $name (sort keys %tables)
	{
		my $only = $name eq 'public.part' ? '' : 'ONLY';
		my $history = $name =~ /"\z/ ? $name =~ s/"\z/__history"/r : "${name}__history";
		my $strip = q{ - 'sys_period' - 'exec_transaction_id' - 'start_transaction_id'};
		$s->do('BEGIN');
		my $rows = $s->value("SELECT md5(string_agg(j::text, ',' ORDER BY j::text COLLATE \"C\")) || ' ' || count(*) FROM (SELECT to_jsonb(r) FROM $only $name r) x(j)");
		$s->do("UPDATE $only $name SET v = v || ' promoted'");
		is($s->value("SELECT md5(string_agg(j::text, ',' ORDER BY j::text COLLATE \"C\")) || ' ' || count(*) FROM (SELECT to_jsonb(r) $strip FROM ONLY $history r WHERE exec_transaction_id = txid_current()) x(j)"),
			$rows, "promoted: $name goes on being recorded");
		$s->do('COMMIT');
	}
	is($s->value('SELECT count(*) FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE id IS NULL OR live_pk IS NULL'), 0, 'promoted: the tracking table matches');
	$s->do("SELECT disable_history_tracking(); SELECT enable_history_tracking()");
	is($s->value('SELECT bool_and(triggers_installed) FROM catmaid_live_table_triggers'), 't', 'promoted: tracking is managed there');
	$s->close;
	return;
}
