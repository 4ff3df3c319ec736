# Part of test/t/fuzz_rights.pl: registry rows forged by the owner of the database.
#
# He may write the registry, and catmaid_history_table_by_name.  Whatever he writes, neither his own
# commands, nor the victims' own, nor a superuser's make anything of tables that the
# command is not about: those called precious, which look like histories, tracking
# tables and views, stay as they are; whoever acts on his own tables changes no other
# owner's; nobody's secrets come into the forger's tables.

package FuzzRegistry;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzWorld;

our @EXPORT = qw(registry_run registry_report);

my ($rounds, $forged, $commands, $went) = (0, 0, 0, 0);
my $n = 0;

sub registry_run
{
	my ($seconds) = @_;
	my $until = time() + $seconds;
	# a superuser's commands are about all tables: the other parts' go away
	do { one_round() } while time() < $until;
	return;
}

sub step
{
	my ($role, @sql) = @_;
	note_step($role, join ";\n", @sql);
	return once($role, @sql);
}

sub one_round
{
	my $s = 'y' . ++$rounds;
	mark();
	step('super', "CREATE SCHEMA $s; GRANT ALL ON SCHEMA $s TO PUBLIC");
	my $columns = '(id int PRIMARY KEY, v text, big bigint, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0)';
	for my $role (qw(fuzz_a fuzz_b fuzz_db))
	{
		my $x = substr $role, 5, 1;
		my $secret = $role eq 'fuzz_db' ? 'mine' : 'secret';
		my $answer = step($role, "SET search_path = $s, public", "CREATE TABLE ${x}1 $columns", "CREATE TABLE ${x}2 $columns", "CREATE TABLE ${x}3 $columns PARTITION BY RANGE (id)", "CREATE TABLE ${x}3_0 PARTITION OF ${x}3 FOR VALUES FROM (0) TO (100)", "CREATE TABLE ${x}4 $columns",
			"SELECT create_history_table('${x}1')", "SELECT create_history_table('${x}2', 'edited', 'txid')", "SELECT create_history_table('${x}3')", "CREATE TABLE precious_$x $columns", "CREATE TABLE precious_${x}_history (LIKE precious_$x, sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL)",
			"CREATE TABLE precious_${x}__history (LIKE precious_$x, sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL)", "CREATE TABLE precious_${x}_tracking (id int PRIMARY KEY, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL)",
			"CREATE TABLE precious_${x}__tracking (live_pk int PRIMARY KEY, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL)",
			"CREATE VIEW precious_${x}__with_history AS SELECT *, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id FROM precious_$x",
			(map { "INSERT INTO $_ (id, v, big) SELECT i, '$secret', i FROM generate_series(1, 5) i" } "${x}1", "${x}2", "${x}3", "${x}4", "precious_$x"), (map { "UPDATE $_ SET big = -big" } "${x}1", "${x}2", "${x}3"),
			"INSERT INTO precious_${x}_history VALUES (1, '$secret', 1, now(), 1, '[2020-01-01,2021-01-01)', 1)", "INSERT INTO precious_${x}__history VALUES (1, '$secret', 1, now(), 1, '[2020-01-01,2021-01-01)', 1)", "INSERT INTO precious_${x}_tracking VALUES (1, now(), 1)");
		die "setup: $answer->{error}{M}" if $answer->{error};
	}
	step('super', "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA $s TO fuzz_writer");
	step('super', "REVOKE ALL ON $_ FROM fuzz_writer") for map { "$s.precious_$_" } qw(a b d);
	my $precious = fingerprint('nobody', only => "relnamespace = '$s'::regnamespace AND relname ~ '^precious_[ab]'");
	for (1 .. 5)
	{
		forge($s) for 1 .. 1 + int rand 3;
		command($s, $precious) for 1 .. 3;
	}
	once('super', 'SET client_min_messages = error', "DELETE FROM catmaid_history_table", "DROP SCHEMA $s CASCADE", "DELETE FROM catmaid_history_table");
	return;
}

# A row that lies.
sub forge
{
	my ($s) = @_;
	my @tables = map { $_->[0] } @{ as('super')->do("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = '$s'::regnamespace AND relkind IN ('r', 'p', 'v', 'i') ORDER BY relname")->{rows} };
	my @liars = grep { /precious/ } @tables;
	my $any = sub { return chance(0.03) ? pick('pg_class', 'pg_authid', 'catmaid_transaction_info', 'catmaid_history_table') : chance(0.5) ? pick(@liars) : pick(@tables) };
	my $live = sub { return chance(0.8) ? "$s." . pick('a', 'b', 'd') . pick(1 .. 4) : $any->() };
	my $column = sub { return pick("'edited'", "'edition_time'", "'txid'", "'big'", "'id'", "'v'", "'sys_period'", "'x; DROP TABLE $s.a4'", "'ctid'") };
	my $tracking = sub { return chance(0.3) ? 'NULL' : q{'} . $any->() . q{'} };
	# a row about a whole family of one owner, which fits
	my $x = pick('a', 'b', 'd');
	my $own = "('$s.$x" . pick(1, 2, 4) . "', '$s.precious_${x}_" . pick('_', '') . "history', true, 'id', " . pick('NULL', "'$s.precious_${x}_" . pick('_', '') . "tracking'") . ', ' . pick("'edited', 'txid'", "'edition_time', 'txid'", "'edited', 'big'") . ", now(), '{id}')";
	my $row = chance(0.5) ? $own : "('" . $live->() . "', '" . $any->() . "', " . pick('true', 'false') . ", 'id', " . $tracking->() . ', ' . $column->() . ', ' . $column->() . ", now(), " . pick("'{id}'", 'NULL', "'{v,id}'", "'{}'", "'{NULL}'") . ')';
	my $one = "WHERE live_table = '" . $live->() . "'::regclass";
	my $sql = pick(
		"DELETE FROM catmaid_history_table WHERE live_table = '$s.${x}1'::regclass; INSERT INTO catmaid_history_table VALUES $row",
		"INSERT INTO catmaid_history_table VALUES $row ON CONFLICT (live_table) DO UPDATE SET history_table = excluded.history_table, tracking_table = excluded.tracking_table, time_column = excluded.time_column, txid_column = excluded.txid_column, live_table_pkey_columns = excluded.live_table_pkey_columns",
		"INSERT INTO catmaid_history_table VALUES $row", "UPDATE catmaid_history_table SET history_table = '" . $any->() . "' $one", "UPDATE catmaid_history_table SET tracking_table = " . $tracking->() . " $one",
		"UPDATE catmaid_history_table SET time_column = " . $column->() . ', txid_column = ' . $column->() . " $one", "UPDATE catmaid_history_table SET live_table_pkey_column = 'v', live_table_pkey_columns = '{v}' $one",
		"UPDATE catmaid_history_table SET live_table = '" . $live->() . "' $one", "DELETE FROM catmaid_history_table $one", "INSERT INTO catmaid_history_internal.catmaid_history_table_by_name VALUES $row", "INSERT INTO catmaid_history_dump VALUES $row");
	my $answer = step('fuzz_db', $sql);
	$forged++ if !$answer->{error};
	return;
}

my @of_table = (
	"SELECT drop_history_table('T')", "SELECT drop_history_table_keep_data('T')", "SELECT create_history_table('T')", "SELECT create_history_table('T', 'edited', 'txid')", "SELECT enable_history_tracking_for_table('T')", "SELECT disable_history_tracking_for_table('T')",
	"SELECT reload_history_tracking_for_table('T')", "SELECT repair_history('T')", "SELECT widen_history_table('T')", "SELECT create_history_view_for_table('T')", "SELECT drop_history_view_for_table('T')", "SELECT truncate_history_table('T__history')", "SELECT count(*) FROM check_history('T')",
	"SELECT sync_tracking_table('T', 'T__tracking')", "SELECT initialize_new_history_table('T', 'T__history', 'id')",
	"UPDATE T SET big = big + 1", "DELETE FROM T WHERE id = 2", "INSERT INTO T (id, v) VALUES (#, 'x')", "TRUNCATE T", "ALTER TABLE T ADD COLUMN x# int", "ALTER TABLE T DROP COLUMN v", "ALTER TABLE T RENAME COLUMN v TO w", "ALTER TABLE T RENAME COLUMN edited TO modified", "ALTER TABLE T ALTER big TYPE text", "ALTER TABLE T ALTER big TYPE int",
	"ALTER TABLE T ALTER id TYPE bigint", "ALTER TABLE T ENABLE ROW LEVEL SECURITY", "DROP TABLE T", "DROP TABLE T CASCADE", "ALTER TABLE T RENAME TO n#", "ALTER TABLE T SET SCHEMA fuzz_b", "ALTER TABLE T DROP CONSTRAINT T_pkey, ADD PRIMARY KEY (big, id)", "ALTER TABLE T SET UNLOGGED", "DROP TABLE T_0", "CREATE TABLE S.n# () INHERITS (T)");
my @of_all = ('repair_history()', 'enable_history_tracking()', 'disable_history_tracking()', 'reload_history_tracking()', 'drop_all_history_tables()', 'truncate_all_history_tables()', 'check_history()');

sub command
{
	my ($s, $precious) = @_;
	$n++;
	my $role = pick(qw(super super fuzz_a fuzz_a fuzz_b fuzz_db fuzz_db fuzz_writer));
	my $x = $role eq 'super' || $role eq 'fuzz_writer' ? pick('a', 'b', 'd') : substr $role, 5, 1;
	my $name = "$x" . pick(1, 1, 2, 2, 3, 4);
	my $sql = $role eq 'super' && chance(0.3) ? 'SELECT ' . pick(@of_all) : pick(@of_table) =~ s/T_pkey/${name}_pkey/r =~ s/\bT(?=__|_0|\b)/$s.$name/gr =~ s/S\./$s./gr =~ s/#/$n/gr;
	$sql = "ALTER TABLE $s.$name OWNER TO fuzz_part" if $role eq 'super' && chance(0.03);
	$sql = 'ALTER EXTENSION catmaid_history UPDATE' if $role eq 'super' && chance(0.02);
	my $others = $role =~ /fuzz_(?:a|b|db)/ ? fingerprint($role, only => "relnamespace = '$s'::regnamespace") : undef;
	my $answer = step($role, 'SET catmaid_history.on_drop_table = ' . pick('drop', 'keep'), $sql);
	$commands++;
	$went++ if !$answer->{error};
	my $verb = $sql =~ s/\by\d+\.\w+/T/gr =~ s/\d+/N/gr;
	my $error = internal_error($answer->{error});
	complain("internal error after a forged row: $verb: " . ($error =~ s/\d+/N/gr), $answer->{error}{W} // '', 1) if $error && $error =~ /^XX/;
	my $now = fingerprint('nobody', only => "relnamespace = '$s'::regnamespace AND relname ~ '^precious_[ab]'");
	for my $kind (sort keys %{ { %$precious, %$now } })
	{
		my ($old, $new) = ($precious->{$kind} // 'none', $now->{$kind} // 'none');
		next if $old eq $new || $kind eq 'proc' || $kind eq 'namespace';
		complain("precious: $kind changed: $verb by $role", "$old, now $new", 1);
		$precious->{$kind} = $now->{$kind};
	}
	if ($others)
	{
		my $after = fingerprint($role, only => "relnamespace = '$s'::regnamespace");
		for my $kind (sort keys %{ { %$others, %$after } })
		{
			my ($old, $new) = ($others->{$kind} // 'none', $after->{$kind} // 'none');
			complain("another owner's: $kind changed: $verb by $role", "$old, now $new", 1) if $old ne $new;
		}
	}
	for my $table (map { $_->[0] } @{ as('super')->do("SELECT oid::regclass::text FROM pg_class WHERE relowner = 'fuzz_db'::regrole AND relkind = 'r'")->{rows} })
	{
		complain("a secret came to $table: $verb by $role", '', 1) if value("SELECT count(*) FROM $table t WHERE t::text ~ 'secret'");
	}
	return;
}

sub registry_report { return "$rounds rounds, $forged rows forged, $commands commands, $went of them went" }

1;
