# No deadlock among the extension's own functions, the follower, and writers.
#
# One session holds a lock on one of the tables concerned, so that a second one, which
# runs a management function, a command that is followed, or a write, stops half way,
# with the locks that it has by then.  A third one starts another of these.  Then
# the first lets go: both must come to their end, whatever the two, whatever the
# table.  (What is done is rolled back, so that all begin with the same.)
#
# PostgreSQL's own commands lock tables in orders of their own: DROP TABLE the one with
# a foreign key before the one referred to, a write to a partition the partition
# before the root, ALTER TABLE ... NO INHERIT the child before the parent.  So a
# deadlock upon live tables alone, with such a command in it, is none of ours; one
# between two of our functions always is.
#
# And each of them is interrupted where it was stopped, by a cancel or by lock_timeout:
# nothing is left of it, and the same session can do it again.
#
#   LOCK_ORDER_PAIRS   how many pairs are tried, each with every table: 40 at random
#                      unless told, `all` for all
#   LOCK_ORDER_DEEDS   these commands alone, separated by |
#   RANDOM_SEED        repeats the choice

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $pairs = $ENV{LOCK_ORDER_PAIRS} || 40;
srand($seed);
diag "RANDOM_SEED=$seed LOCK_ORDER_PAIRS=$pairs";

my $node = PostgreSQL::Test::Cluster->new('locks');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\ndeadlock_timeout = 10ms\nlog_statement = none\n");
$node->start;
my $main = PgWire->new($node, name => 'main');
$main->do(<<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE base (id int PRIMARY KEY, v text);
-- (With the key in CREATE TABLE, PostgreSQL 18 refuses to change its type, whoever asks.)
CREATE TABLE leaf (more text) INHERITS (base);
ALTER TABLE leaf ADD PRIMARY KEY (id);
CREATE TABLE other () INHERITS (base);
ALTER TABLE other ADD PRIMARY KEY (id);
CREATE TABLE part (id int, region int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE refers (id int PRIMARY KEY, t int REFERENCES timed ON DELETE CASCADE ON UPDATE CASCADE, v text);
-- A child that is older than its parent.  (NOT NULL of another name would keep PostgreSQL 18 from changing the type.)
CREATE TABLE early (id int CONSTRAINT id_there NOT NULL PRIMARY KEY, v text);
CREATE TABLE late (id int CONSTRAINT id_there NOT NULL PRIMARY KEY, v text);
ALTER TABLE early INHERIT late;
SELECT create_history_table(r) FROM unnest('{leaf,part,refers,early}'::regclass[]) r;
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO base VALUES (1, 'v');
INSERT INTO leaf VALUES (2, 'v'), (3, 'v');
INSERT INTO other VALUES (4, 'v');
INSERT INTO early VALUES (1, 'v'), (2, 'v');
INSERT INTO late VALUES (3, 'v');
INSERT INTO part SELECT i, 1 + i % 2, 'v' FROM generate_series(1, 6) i;
INSERT INTO timed (id, v) SELECT i, 'v' FROM generate_series(1, 6) i;
INSERT INTO refers SELECT i, i, 'v' FROM generate_series(1, 6) i;
SQL

my @deeds = (
	# functions for one table
	(map { my $t = $_; map { "SELECT $_" } "create_history_table('other')", "drop_history_table('$t')",
			"drop_history_table_keep_data('$t')", "disable_history_tracking_for_table('$t')",
			"enable_history_tracking_for_table('$t')", "reload_history_tracking_for_table('$t')",
			"create_history_view_for_table('$t')", "drop_history_view_for_table('$t')",
			"truncate_history_table('${t}__history')",
			"repair_history('$t')", "widen_history_table('$t')", "check_history('$t')",
			"initialize_new_history_table('$t', '${t}__history', '" . ($t eq 'part' ? 'region' : 'id') . "')",
			$t eq 'timed' ? () : "sync_tracking_table('$t', '${t}__tracking')" } qw(leaf part timed)),
	(map { "SELECT $_('base')" } qw(drop_history_table_keep_data disable_history_tracking_for_table enable_history_tracking_for_table)),
	(map { my $f = $_; map { "SELECT $f('$_')" } qw(early late) } qw(drop_history_table_keep_data disable_history_tracking_for_table
			reload_history_tracking_for_table repair_history create_history_view_for_table)),
	# for all
	(map { "SELECT $_()" } qw(enable_history_tracking disable_history_tracking reload_history_tracking
			drop_all_history_tables truncate_all_history_tables repair_history check_history)),
	# what the follower follows
	(map { my $t = $_; map { "ALTER TABLE $t $_" } 'ADD COLUMN x int DEFAULT 1', 'DROP COLUMN v',
			'ALTER COLUMN id TYPE bigint', 'ALTER COLUMN v TYPE int USING NULL', 'RENAME COLUMN v TO w', "RENAME TO ${t}_renamed",
			'ENABLE ROW LEVEL SECURITY' } qw(base part timed)),
	'ALTER TABLE leaf ADD COLUMN x int', 'ALTER TABLE leaf NO INHERIT base', 'DROP TABLE leaf', 'DROP TABLE part', 'DROP TABLE refers',
	'ALTER TABLE part DETACH PARTITION part_2', 'DROP TABLE part_2', 'CREATE TABLE part_3 PARTITION OF part FOR VALUES IN (3)',
	'ALTER TABLE part_1 ADD CHECK (id > 0)', 'CREATE INDEX ON part_1 (v)', 'CREATE INDEX ON leaf (v)',
	(map { "ALTER TABLE late $_" } 'ADD COLUMN x int', 'ALTER COLUMN id TYPE bigint', 'RENAME COLUMN v TO w'), 'ALTER TABLE early ALTER COLUMN id SET DEFAULT 1',
	# writers and readers
	"UPDATE base SET v = 'w'", 'DELETE FROM leaf', "INSERT INTO leaf VALUES (9, 'v')", "UPDATE part SET region = 3 - region",
	"UPDATE part_1 SET v = 'w'", 'DELETE FROM timed', "UPDATE timed SET id = id + 10", "UPDATE refers SET v = 'w'", "UPDATE late SET v = 'w'",
	'TRUNCATE base', 'TRUNCATE part', 'TRUNCATE timed CASCADE',
	(map { "SELECT count(sys_period) FROM ${_}__with_history" } qw(base part timed late)));
my %seen;
@deeds = grep { !$seen{$_}++ } @deeds;
my @tables = map { ($_, "${_}__history", $_ eq 'timed' ? () : "${_}__tracking") } qw(base leaf part timed refers late early);
push @tables, qw(other part_1 part_2 catmaid_history_table);

my @pairs;
@deeds = split /\|/, $ENV{LOCK_ORDER_DEEDS} if $ENV{LOCK_ORDER_DEEDS};
for my $i (0 .. $#deeds) { push @pairs, map { [ $deeds[$i], $deeds[$_] ] } 0 .. $#deeds }
@pairs = map { splice @pairs, int rand @pairs, 1 } 1 .. $pairs if $pairs ne 'all' && $pairs < @pairs;

my ($holder, $one, $two) = map { PgWire->new($node, name => $_) } qw(holder one two);
my ($tried, %bad) = (0);
my ($interrupted, %half) = (0);

# Where each of them can be stopped half way.
my %stops;
for my $deed (map { $_->[0] } @pairs)
{
	next if $stops{$deed};
	$stops{$deed} = [];
	for my $table (@tables)
	{
		for my $mode ('ACCESS SHARE', 'ACCESS EXCLUSIVE')
		{
			my $lock = "LOCK TABLE ONLY $table IN $mode MODE";
			next unless try_two($lock, $deed);
			push @{ $stops{$deed} }, $lock;
			interrupted($lock, $deed, @{ $stops{$deed} } % 2);
		}
	}
}
for my $pair (@pairs)
{
	try_two($_, @$pair) for @{ $stops{ $pair->[0] } };
}
is(join("\n", sort keys %half), '', "$interrupted times one was interrupted half way: nothing is left of it, and it can be done again");
cmp_ok($interrupted, '>', keys(%stops) / 2, 'often enough to say so');
is(join("\n", sort keys %bad), '', "$tried times two came to their end, one of them stopped half way")
  or diag map { "$_: $bad{$_}\n" } sort keys %bad;
cmp_ok($tried, '>', @pairs * 2, 'often enough to say so');
is($main->value('SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed'), 7, 'nothing has changed');
$_->close for $main, $holder, $one, $two;
$node->stop;
done_testing();

# The first one is stopped by the lock, the second one started, the lock let go.
# Returns whether the first one was stopped.
sub try_two
{
	my ($lock, $first, $second) = @_;
	$holder->do("BEGIN; $lock");
	$one->start("BEGIN; SET LOCAL client_min_messages = error; $first; ROLLBACK");
	my $stopped = waits($one);
	if ($second)
	{
		$tried++;
		$two->start("BEGIN; SET LOCAL client_min_messages = error; $second; ROLLBACK");
		waits($two);
	}
	$holder->do('ROLLBACK');
	for my $session ($one, $second ? $two : ())
	{
		my $error = $session->finish->{error};
		$session->do('ROLLBACK') if $session->{status} ne 'I';
		next unless $error;
		my $detail = $error->{D} // '';
		$detail =~ s/\n.*?: BEGIN.*//s;
		$detail =~ s/relation (\d+)/$main->value("SELECT $1::regclass")/ge;
		next if $error->{C} eq '40P01' && $detail !~ /__|catmaid/ && grep { /^DROP|NO INHERIT|part_\d/ } $first, $second;
		$bad{"$error->{C} $error->{M}: $first" . ($second ? " | $second" : '')} //= "$lock. $detail";
	}
	return $stopped;
}

# The command waits half way, and is cancelled there or runs into its lock_timeout.
sub interrupted
{
	my ($lock, $deed, $cancel) = @_;
	$interrupted++;
	my $before = fingerprint();
	$holder->do("BEGIN; $lock");
	$one->do("SET client_min_messages = error; SET lock_timeout = " . ($cancel ? 0 : 5));
	$one->start($deed);
	if ($cancel)
	{
		waits($one);
		$main->do("SELECT pg_cancel_backend($one->{pid})");
	}
	my $error = $one->finish->{error};
	$half{"$deed, $lock: " . ($error ? "$error->{C} $error->{M}" : 'no error')} = 1
	  if !$error || $error->{C} ne ($cancel ? '57014' : '55P03');
	$holder->do('ROLLBACK');
	if ($one->{status} ne 'I')
	{
		$half{"$deed, $lock: the session is left in a transaction"} = 1;
		$one->do('ROLLBACK');
	}
	$half{"$deed, $lock: something is left"} = 1 if fingerprint() ne $before;
	$one->do('RESET lock_timeout');
	$error = $one->try("BEGIN; $deed; ROLLBACK")->{error};
	$half{"$deed, $lock, and again: $error->{C} $error->{M}"} = 1 if $error;
	$one->do('ROLLBACK') if $one->{status} ne 'I';
	return;
}

# Everything that the extension or the commands make or change.
sub fingerprint
{
	return $main->value(<<'SQL2');
SELECT md5(string_agg(line, ',' ORDER BY line COLLATE "C")) FROM (
	SELECT concat_ws(' ', oid, relname, relkind, relrowsecurity, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', tgrelid, tgname, tgenabled) FROM pg_trigger
	UNION ALL SELECT concat_ws(' ', attrelid, attname, atttypid) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE relnamespace = 'public'::regnamespace AND attnum > 0
	UNION ALL SELECT concat_ws(' ', inhrelid, inhparent) FROM pg_inherits
	UNION ALL SELECT r::text FROM catmaid_history_table r
	UNION ALL SELECT t::text FROM leaf__tracking t UNION ALL SELECT t::text FROM base__history t UNION ALL SELECT t::text FROM timed t) x(line)
SQL2
}

# True if the session waits for a lock, false if it is done.
sub waits
{
	my ($session) = @_;
	while (1)
	{
		return 0 if $session->ready(0.002);
		return 1 if $main->value("SELECT coalesce(wait_event_type, '') = 'Lock' FROM pg_stat_activity WHERE pid = $session->{pid}") eq 't';
	}
}
