# Part of test/t/fuzz_rights.pl: nobody waits for, or fails because of, what others do
# with tables that are not his command's.
#
# A role changes its own objects, commits some of it, and leaves a transaction open on
# the rest.  A victim, in a session that has been there before or in a new one, goes on
# with his own tables: neither a lock stops him, nor does a command fail that
# succeeds without the other.

package FuzzWaits;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzWorld;

our @EXPORT = qw(waits_run waits_report);

my ($rounds, $tried, $went, $n) = (0, 0, 0, 0);

my %hostile = (
	fuzz_stranger => [ map { "BEGIN; $_" } "LOCK TABLE public.catmaid_history_table IN ACCESS SHARE MODE", "SELECT * FROM public.catmaid_history_table, public.catmaid_inheriting_tables", "INSERT INTO public.catmaid_transaction_info (user_id, change_type, label) VALUES (1, 'External', 'x')",
		"SELECT pg_advisory_lock(i), pg_advisory_lock_shared(i + 1000) FROM generate_series(0, 100) i", "CREATE TABLE S.stranger (id int PRIMARY KEY); SELECT create_history_table('S.stranger')", "CREATE TABLE S.stranger (id int PRIMARY KEY); SELECT create_history_table('S.stranger'); DROP TABLE S.stranger", "CREATE TABLE S.any__history (id int)", "CREATE TABLE S.x_of (x S.b)" ],
	fuzz_reader => [ (map { "BEGIN; $_" } "ALTER VIEW S.reads SET (security_barrier)", "DROP VIEW S.reads", "LOCK TABLE S.reads IN ACCESS EXCLUSIVE MODE", "CREATE VIEW S.reads_more AS SELECT * FROM S.b__with_history", "ALTER VIEW S.reads RENAME TO reads2", "SELECT * FROM S.b__history", "ALTER MATERIALIZED VIEW S.mat RENAME TO mat2",
			"CREATE OR REPLACE VIEW S.reads AS SELECT id, v, n FROM S.a__with_history", "ALTER TABLE S.reads ALTER n SET DEFAULT 1", "COMMENT ON VIEW S.reads IS 'x'", "GRANT SELECT ON S.reads TO PUBLIC") ],
	fuzz_b => [ (map { "BEGIN; $_" } "SELECT create_history_table('S.b_none')", "SELECT drop_history_table('S.b')", "SELECT drop_history_table_keep_data('S.b')", "SELECT disable_history_tracking_for_table('S.b')", "SELECT enable_history_tracking_for_table('S.b_off')", "SELECT repair_history('S.b')", "SELECT reload_history_tracking_for_table('S.b')",
			"SELECT truncate_history_table('S.b__history')", "ALTER TABLE S.b ADD COLUMN x int", "ALTER TABLE S.b DROP COLUMN v", "ALTER TABLE S.b RENAME COLUMN v TO w", "ALTER TABLE S.b RENAME TO b_x", "ALTER TABLE S.b ALTER n TYPE bigint", "ALTER TABLE S.b DROP CONSTRAINT b_pkey", "DROP TABLE S.b", "ALTER TABLE S.b INHERIT S.b_base", "ALTER TABLE S.b ENABLE ROW LEVEL SECURITY",
			"SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE S.b__history RENAME TO b_h; ALTER TABLE S.b__tracking RENAME TO b_t", "SET LOCAL catmaid_history.follow_ddl = off; ALTER TABLE S.b__history SET SCHEMA fuzz_b", "SET LOCAL catmaid_history.follow_ddl = off; DROP TABLE S.b__history CASCADE", "UPDATE S.b SET n = n + 1", "TRUNCATE S.b", "LOCK TABLE S.b, S.b__history, S.b__tracking, S.b__with_history",
			"CREATE TABLE S.b_child (PRIMARY KEY (id)) INHERITS (S.b)", "DROP TRIGGER on_change_history_trackingtable ON S.b", "ALTER TABLE S.b DISABLE TRIGGER USER", "ALTER TABLE S.b_r ATTACH PARTITION S.b_r_x FOR VALUES FROM (100) TO (200)", "CREATE TABLE S.b_r_3 PARTITION OF S.b_r FOR VALUES FROM (200) TO (300)", "ALTER TABLE S.b_r DETACH PARTITION S.b_r_1", "DROP TABLE S.b_r_1", "ALTER TABLE S.b_r_1 ADD CHECK (id > 0)", "ALTER TABLE S.b OWNER TO fuzz_b", "ALTER TYPE S.b_mood ADD VALUE 'more'", "DROP TYPE S.b_mood CASCADE") ],
	fuzz_part => [ map { "BEGIN; $_" } "ALTER TABLE S.b_r_1 ADD CHECK (id >= 0)", "LOCK TABLE S.b_r_1", "UPDATE S.b_r_1 SET n = 1", "CREATE INDEX ON S.b_r_1 (n)" ]);

# Committed before the transaction that stays open.
my @committed = ("ALTER TABLE S.b ADD COLUMN y int", "ALTER TABLE S.b RENAME COLUMN n TO m; ALTER TABLE S.b RENAME COLUMN m TO n", "ALTER TABLE S.b RENAME TO bb; ALTER TABLE S.bb RENAME TO b", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b__history RENAME TO bbb", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b DROP CONSTRAINT b_pkey",
	"SET catmaid_history.follow_ddl = off; ALTER TABLE S.b__tracking RENAME COLUMN txid TO tx", "SET catmaid_history.follow_ddl = off; DROP TABLE S.b__history CASCADE", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b ALTER id TYPE text", "SELECT drop_history_table('S.b')", "SELECT disable_history_tracking_for_table('S.b')", "ALTER TABLE S.b DISABLE TRIGGER USER", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b ADD COLUMN sys_period int",
	"SET catmaid_history.follow_ddl = off; DROP TABLE S.b", "DROP TABLE S.b", "SET catmaid_history.follow_ddl = off; CREATE TABLE S.b_child (PRIMARY KEY (id)) INHERITS (S.b)", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b SET SCHEMA fuzz_b", "SET catmaid_history.follow_ddl = off; ALTER TABLE S.b_r DETACH PARTITION S.b_r_1", "CREATE TABLE S.b_r_4 PARTITION OF S.b_r FOR VALUES FROM (300) TO (400)", "SELECT create_history_table('S.b_none')");

my @own = ("CREATE TABLE S.new# (id int PRIMARY KEY)", "CREATE TABLE S.new# AS SELECT 1 AS x", "CREATE TEMP TABLE new# (id int)", "CREATE TABLE S.new# (id int); ALTER TABLE S.new# ADD COLUMN x int; ALTER TABLE S.new# RENAME TO newer#; DROP TABLE S.newer#", "CREATE VIEW S.new# AS SELECT 1 AS x; DROP VIEW S.new#", "CREATE FUNCTION S.new#() RETURNS int LANGUAGE sql AS 'SELECT 1'",
	"CREATE TABLE S.new# (id int) PARTITION BY RANGE (id); CREATE TABLE S.newp# PARTITION OF S.new# FOR VALUES FROM (1) TO (2); ALTER TABLE S.new# DETACH PARTITION S.newp#; DROP TABLE S.newp#", "CREATE TABLE S.new# (id int PRIMARY KEY); SELECT create_history_table('S.new#'); UPDATE S.new# SET id = 1; ALTER TABLE S.new# RENAME COLUMN id TO x; DROP TABLE S.new#", "CREATE TYPE S.new# AS ENUM ('x')", "SELECT 1 AS x INTO S.new#", "REFRESH MATERIALIZED VIEW S.mine");
my @of_a = ("SELECT create_history_table('S.a_none')", map({ "SELECT $_('S.a')" } qw(drop_history_table drop_history_table_keep_data disable_history_tracking_for_table enable_history_tracking_for_table reload_history_tracking_for_table repair_history widen_history_table create_history_view_for_table drop_history_view_for_table check_history)),
	"SELECT truncate_history_table('S.a__history')", "SELECT sync_tracking_table('S.a', 'S.a__tracking')", "SELECT enable_history_tracking_for_table('S.a_off')", "UPDATE S.a SET n = n + 1", "DELETE FROM S.a", "INSERT INTO S.a VALUES (99)", "TRUNCATE S.a", "SELECT * FROM S.a__with_history",
	map({ "ALTER TABLE S.a $_" } "ADD COLUMN x int", "RENAME COLUMN n TO q", "ALTER n TYPE text", "ALTER n TYPE bigint", "RENAME TO aa", "SET SCHEMA fuzz_a", "ENABLE ROW LEVEL SECURITY", "DROP CONSTRAINT a_pkey", "ALTER id TYPE bigint", "INHERIT S.a_base"), "DROP TABLE S.a CASCADE", "ALTER TABLE S.a_none ADD COLUMN x int", "ALTER TABLE S.a_none RENAME COLUMN n TO q", "DROP TABLE S.a_none", "CREATE INDEX ON S.a_none (n)",
	"ALTER TABLE S.a_r DETACH PARTITION S.a_r_1", "CREATE TABLE S.a_r_2 PARTITION OF S.a_r FOR VALUES FROM (100) TO (200)", "DROP TABLE S.a_r", "CREATE VIEW S.of_a AS SELECT * FROM S.a__with_history", "ALTER TABLE S.a_none RENAME TO a_some");
# where the other is no owner of a tracked table
my @all = map { "SELECT $_()" } qw(check_history enable_history_tracking reload_history_tracking repair_history disable_history_tracking truncate_all_history_tables drop_all_history_tables);

sub waits_run
{
	my ($seconds) = @_;
	my $until = time() + $seconds;
	as('super')->do('DELETE FROM catmaid_history_table');
	do { one_round() } while time() < $until;
	return;
}

sub one_round
{
	my $s = 'w' . ++$rounds;
	mark();
	step('super', "CREATE SCHEMA $s; GRANT ALL ON SCHEMA $s TO PUBLIC");
	for my $x ('a', 'b')
	{
		my $answer = step("fuzz_$x", "SET search_path = $s, public", "CREATE TYPE ${x}_mood AS ENUM ('x')", (map { "CREATE TABLE $_ (id int PRIMARY KEY, v text, n int, m ${x}_mood)" } $x, map { "${x}_$_" } qw(none off base r_x)), "CREATE TABLE ${x}_r (id int PRIMARY KEY, v text, n int, m ${x}_mood) PARTITION BY RANGE (id)",
			"CREATE TABLE ${x}_r_1 PARTITION OF ${x}_r FOR VALUES FROM (0) TO (100)", (map { "SELECT create_history_table('$_')" } $x, "${x}_off", "${x}_r"), (map { "INSERT INTO $_ VALUES (1, 'v', 1)" } $x, "${x}_off", "${x}_r"), (map { "UPDATE $_ SET n = 2" } $x, "${x}_r"), "SELECT disable_history_tracking_for_table('${x}_off')",
			"SET client_min_messages = error; CREATE MATERIALIZED VIEW IF NOT EXISTS mine AS SELECT 1 AS x");
		die "setup: $answer->{error}{M}" if $answer->{error};
	}
	step('super', "GRANT SELECT ON ALL TABLES IN SCHEMA $s TO fuzz_reader, fuzz_stranger; ALTER TABLE $s.b_r_1 OWNER TO fuzz_part");
	step('fuzz_reader', "CREATE VIEW $s.reads AS SELECT id, v, n FROM $s.a__with_history; CREATE MATERIALIZED VIEW $s.mat AS SELECT id FROM $s.b__with_history");
	# sessions that have been there
	my %old = map { ($_ => as($_, 'old')) } qw(super fuzz_a fuzz_stranger);
	$_->do("SET client_min_messages = error; BEGIN; CREATE TABLE $s.first (id int); ROLLBACK") for values %old;
	for (1 .. 8)
	{
		my $hostile = pick(qw(fuzz_stranger fuzz_reader fuzz_reader fuzz_b fuzz_b fuzz_b fuzz_part));
		step('fuzz_b', map { in_schema($_, $s) } pick(@committed)) if chance(0.4);
		my $open = in_schema(pick(@{ $hostile{$hostile} }), $s);
		my $other = as($hostile, 'open');
		note_step("$hostile, in a session that stays", $open);
		$other->do("SET client_min_messages = error; SET lock_timeout = '1s'");
		my $error = $other->try($open)->{error};
		victim($s, \%old, $hostile, $other, $open) for 1 .. $error ? 0 : 5;
		$other->try(chance(0.5) ? 'COMMIT' : 'ROLLBACK');
		$other->close;
	}
	$_->close for values %old;
	once('super', 'SET client_min_messages = error; SET catmaid_history.follow_ddl = off', "DROP SCHEMA $s CASCADE", 'DROP TABLE IF EXISTS fuzz_b.b CASCADE', 'DELETE FROM catmaid_history_table');
	return;
}

sub step
{
	my ($role, @sql) = @_;
	note_step($role, join ";\n", @sql);
	return once($role, @sql);
}

sub in_schema { my ($template, $s) = @_; return $template =~ s/\bS\./$s./gr =~ s/#/$n/gr }

sub victim
{
	my ($s, $old, $hostile, $other, $open) = @_;
	$n++;
	my $role = pick(qw(super super fuzz_a fuzz_a fuzz_stranger));
	my $sql = in_schema($role eq 'fuzz_stranger' || chance(0.4) ? pick(@own) : $role eq 'super' && $hostile =~ /reader|stranger/ && chance(0.5) && $open !~ /stranger\b|LOCK TABLE public|b__history|x_of/ ? pick(@all) : pick(@of_a), $s);
	# what is about the view upon which the reader's is: drops it, gives it other columns,
	# mends it, or gives it another name.  (Who may read a table makes its DDL wait anyhow.)
	return if $hostile eq 'fuzz_reader' && $sql =~ /drop_(?:all_)?history|drop_history_view|CASCADE|DROP TABLE \w+\.a\b|\.a (?:ALTER \w+ TYPE|ADD COLUMN|DROP COLUMN|RENAME COLUMN|RENAME TO|SET SCHEMA)|repair_history|widen_history_table/;
	my $session = chance(0.5) ? $old->{$role} : as($role, '');
	my $verb = $sql =~ s/\bw\d+\./S./gr =~ s/\d+/N/gr;
	$session->do("SET client_min_messages = error; SET lock_timeout = '1s'");
	my $error = $session->try("BEGIN; $sql")->{error};
	$session->try('ROLLBACK');
	$tried++;
	if (!$error) { $went++ }
	elsif ($error->{C} eq '55P03')
	{
		note_step($role, $sql);
		complain("$verb waits for $hostile: " . ($open =~ s/\bw\d+\./S./gr), $error->{W} // '', 1);
	}
	else
	{
		# is it the other's fault?
		$other->try('ROLLBACK');
		my $alone = once($role, 'SET client_min_messages = error', "BEGIN; $sql")->{error};
		note_step($role, $sql);
		complain("$verb fails because of $hostile: " . ($open =~ s/\bw\d+\./S./gr), "$error->{C} $error->{M}", 1) if !$alone;
		complain("$verb: $error->{C} " . ($error->{M} =~ s/\d+/N/gr), $error->{W} // '', 1) if $verb =~ /new|none/ && $verb !~ /create_history_table|VIEW/ && $error->{M} !~ /does not exist/ || $error->{C} =~ /^XX/;
		$other->try($open);
	}
	return;
}

sub waits_report { return "$rounds rounds, $tried commands tried while others were busy, $went went" }

1;
