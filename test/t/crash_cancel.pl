# Cancelling and crashing: nothing is left half-made, and later use works.
#
# Where a statement is to be cancelled in its middle, a site's own trigger on the
# history table (or an expression of the statement) cancels its own backend at a
# chosen row, so that no timing is involved.  create_history_table and its like
# cannot be met that way: they run under a statement_timeout that is doubled
# until they get through, and every attempt that did not has to leave nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nautovacuum = off\n");
$node->start;
my $s = PgWire->new($node, name => 'first');
my $other = PgWire->new($node, name => 'second');

$s->do(<<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz DEFAULT now(), txid bigint DEFAULT txid_current());
CREATE TABLE tracked (id int PRIMARY KEY, v text);
CREATE FUNCTION cancel_me(at_row int) RETURNS boolean LANGUAGE plpgsql AS
	$$BEGIN
		IF at_row = nullif(current_setting('test.cancel_at', true), '')::int THEN
			PERFORM pg_cancel_backend(pg_backend_pid());
			PERFORM pg_sleep(60); -- woken by the cancel
		END IF;
		RETURN true;
	END$$;
CREATE FUNCTION site_trigger() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN PERFORM cancel_me(NEW.id); RETURN NEW; END$$;
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('tracked');
CREATE TRIGGER site BEFORE INSERT ON timed__history FOR EACH ROW EXECUTE FUNCTION site_trigger();
CREATE TRIGGER site BEFORE INSERT ON tracked__history FOR EACH ROW EXECUTE FUNCTION site_trigger();
INSERT INTO timed SELECT i, 'first' FROM generate_series(1, 2000) AS i;
INSERT INTO tracked SELECT i, 'first' FROM generate_series(1, 2000) AS i;
SQL

cancelled_writes($_) for qw(timed tracked);
cancelled_in_savepoint();
terminated_writer();
cancelled_while_waiting();
timed_out_functions();
timed_out_following();
crash_with_work_under_way();
crash_of_unlogged_table();

$_->close for $s, $other;
$node->stop;
done_testing();

# --- what is there -------------------------------------------------------------

# Everything that the extension might have made or changed for some tables.
sub catalog
{
	my ($session) = @_;
	return $session->value(<<'SQL');
SELECT string_agg(line, E'\n' ORDER BY line COLLATE "C") FROM (
	SELECT concat_ws(' ', 'relation', oid, relname, relkind) FROM pg_class
		WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid, tgname, tgenabled) FROM pg_trigger
	UNION ALL SELECT concat_ws(' ', 'column', attrelid, attname) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE relnamespace = 'public'::regnamespace AND attnum > 0
	UNION ALL SELECT concat_ws(' ', 'depend', classid, objid, objsubid, refclassid, refobjid) FROM pg_depend
	UNION ALL SELECT concat_ws(' ', 'registry', r::text) FROM catmaid_history_table AS r
) AS lines(line)
SQL
}

sub contents
{
	my ($session, @tables) = @_;
	return join "\n", map {
		"$_: " . $session->value("SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, ',' ORDER BY t::text COLLATE \"C\"), '')) FROM $_ AS t")
	} @tables;
}

sub sides { my ($t) = @_; return ($t, "${t}__history", $t eq 'timed' ? () : "${t}__tracking") }

sub cancels
{
	my ($session, $sql, $what) = @_;
	my $error = $session->try($sql)->{error};
	is($error ? $error->{C} : 'no error', '57014', "$what is cancelled");
	return;
}

# --- the cases -------------------------------------------------------------------

sub cancelled_writes
{
	my ($t) = @_;
	my %statement = (
		UPDATE => "UPDATE $t SET v = v || '+'",
		'UPDATE of keys' => "UPDATE $t SET id = id + 10000",
		DELETE => "DELETE FROM $t",
		TRUNCATE => "TRUNCATE $t",
		# cancelled while the live table is read, before history is due
		'UPDATE (early)' => "UPDATE $t SET v = v || '+' WHERE cancel_me(id + 5000)",
	);
	for my $name (sort keys %statement)
	{
		my $sql = $statement{$name};
		my $at = $name =~ /early/ ? 6000 : 1000;
		my $before = contents($s, sides($t));
		cancels($s, "BEGIN; SET LOCAL test.cancel_at = $at; $sql; COMMIT", "$name of $t");
		$s->do('ROLLBACK');
		is(contents($s, sides($t)), $before, "$name of $t: nothing is left of it");

		# the same session, and another, go on
		my $versions = $s->value("SELECT count(*) FROM ${t}__history");
		$_->do("UPDATE $t SET v = 'next' WHERE id = 5") for $s, $other;
		is($s->value("SELECT count(*) FROM ${t}__history"), $versions + 2, "$name of $t: later changes are recorded");

		$s->do('BEGIN');
		$s->do($sql);
		my $new = $s->value("SELECT count(DISTINCT id) FROM ${t}__history WHERE exec_transaction_id = txid_current()");
		is($new, 2000, "$name of $t: the whole statement is recorded when it gets through");
		$s->do('ROLLBACK');
	}
	return;
}

sub cancelled_in_savepoint
{
	$s->do('BEGIN');
	$s->do("UPDATE tracked SET v = 'before' WHERE id = 1; SAVEPOINT sp");
	cancels($s, 'SET LOCAL test.cancel_at = 1500; UPDATE tracked SET v = \'lost\'', 'an UPDATE in a savepoint');
	$s->do('ROLLBACK TO sp');
	cancels($s, 'SET LOCAL test.cancel_at = 700; TRUNCATE tracked', 'a TRUNCATE in a savepoint');
	$s->do('ROLLBACK TO sp');
	$s->do("UPDATE tracked SET v = 'after' WHERE id IN (1, 2)");
	my $rows = $s->do("SELECT id, v, isempty(sys_period) FROM tracked__history WHERE exec_transaction_id = txid_current() ORDER BY id, v")->{rows};
	is_deeply($rows, [ [ 1, 'before', 't' ], [ 1, 'first', 'f' ], [ 2, 'first', 'f' ] ],
		'only what was not rolled back is recorded');
	$s->do('COMMIT');
	return;
}

sub terminated_writer
{
	my $before = contents($s, sides('tracked'));
	my $victim = PgWire->new($node, name => 'victim');
	$victim->do("BEGIN; UPDATE tracked SET v = 'lost'; DELETE FROM tracked WHERE id > 1000");
	$s->do("SELECT pg_terminate_backend($victim->{pid})");
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $victim->{pid})")
	  or die 'the terminated session goes on';
	is(contents($s, sides('tracked')), $before, 'nothing is left of a session that was terminated');
	return;
}

# A management function waits for a writer and is cancelled from outside.
sub cancelled_while_waiting
{
	$s->do('CREATE TABLE held (id int PRIMARY KEY, v text); INSERT INTO held VALUES (1, \'a\')');
	my @calls = (
		[ "create_history_table('held')", "SELECT create_history_table('held')" ],
		[ "disable_history_tracking_for_table('held')", undef ],
		[ "enable_history_tracking_for_table('held')", "SELECT disable_history_tracking_for_table('held')" ],
		[ "sync_tracking_table('held', 'held__tracking')", "SELECT enable_history_tracking_for_table('held')" ],
		[ "drop_history_table('held')", undef ],
		[ 'drop_all_history_tables()', undef ],
		[ 'disable_history_tracking()', undef ],
	);
	my $first = shift @calls;
	wait_and_cancel($first->[0]);
	$s->do($first->[1]);
	for my $call (@calls)
	{
		$s->do($call->[1]) if $call->[1];
		wait_and_cancel($call->[0]);
	}
	$s->do("UPDATE held SET v = 'b'");
	is($s->value("SELECT string_agg(v, ',' ORDER BY v) FROM held__history WHERE v = 'a'"), 'a', 'held is still tracked after all that');
	return;
}

sub wait_and_cancel
{
	my ($call) = @_;
	my $before = catalog($s);
	my $writer = PgWire->new($node, name => 'writer');
	my $manager = PgWire->new($node, name => 'manager');
	$writer->do("BEGIN; UPDATE held SET v = v");
	$manager->start("SELECT $call");
	$node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $manager->{pid}")
	  or die "$call did not wait for the writer";
	$s->do("SELECT pg_cancel_backend($manager->{pid})");
	my $error = $manager->finish->{error};
	is($error ? $error->{C} : 'no error', '57014', "$call is cancelled while it waits");
	$writer->do('ROLLBACK');
	is(catalog($s), $before, "$call: nothing changed");
	$_->close for $writer, $manager;
	return;
}

# On a table that is big enough for a statement timeout to strike in the middle.
sub timed_out_functions
{
	my $rows = 60000;
	$s->do("CREATE TABLE big (id int PRIMARY KEY, v text); INSERT INTO big SELECT i, 'v' || i FROM generate_series(1, $rows) AS i");
	time_out("create_history_table('big')");
	is($s->value('SELECT count(*) FROM big__tracking JOIN big ON id = live_pk'), $rows, 'create_history_table knows every row in the end');
	$s->do("SELECT disable_history_tracking_for_table('big'); DELETE FROM big WHERE id <= 1000; INSERT INTO big SELECT -i, 'new' FROM generate_series(1, $rows) AS i");
	time_out("enable_history_tracking_for_table('big')");
	is($s->value('SELECT count(*) FROM big__tracking JOIN big ON id = live_pk'), 2 * $rows - 1000, 'enabling knows every row in the end');
	is($s->value('SELECT count(*) FROM big__tracking'), 2 * $rows - 1000, 'and no other');
	time_out_statement("UPDATE big SET v = v || '.'");
	is($s->value('SELECT count(*) FROM big__history'), 2 * $rows - 1000, 'the UPDATE is recorded once, when it got through');
	time_out_statement('TRUNCATE big');
	is($s->value('SELECT count(*) FROM big__history'), 2 * (2 * $rows - 1000), 'the TRUNCATE is recorded once, when it got through');
	is($s->value('SELECT count(*) FROM big__tracking'), 0, 'and the tracking table is empty');
	time_out("drop_history_table('big')");
	$s->do('DROP TABLE big');
	return;
}

sub time_out
{
	my ($call) = @_;
	my $before = catalog($s);
	my $tables = $s->value("SELECT to_regclass('big__tracking') IS NOT NULL");
	my @sides = $tables eq 't' ? qw(big__history big__tracking) : ();
	my $contents = contents($s, @sides);
	my ($cancelled, $changed) = until_through("SELECT $call", sub {
		return catalog($s) ne $before || contents($s, @sides) ne $contents;
	});
	cmp_ok($cancelled, ">", 0, "$call timed out $cancelled times") unless $call =~ /^drop/;
	is($changed, 0, "$call: an attempt that timed out left nothing");
	isnt(catalog($s), $before, "$call: the one that got through did");
	return;
}

sub time_out_statement
{
	my ($sql) = @_;
	my $before = contents($s, qw(big big__history big__tracking));
	my ($cancelled, $changed) = until_through($sql, sub {
		return contents($s, qw(big big__history big__tracking)) ne $before;
	});
	cmp_ok($cancelled, '>', 0, "$sql timed out $cancelled times");
	is($changed, 0, "$sql: an attempt that timed out left nothing");
	return;
}

sub until_through
{
	my ($sql, $changed) = @_;
	my ($timeout, $cancelled, $left) = (1, 0, 0);
	while (1)
	{
		$s->do("SET statement_timeout = $timeout");
		my $error = $s->try($sql)->{error};
		# this, too, can take longer than the timeout; and what has come too late for it
		# ends the next statement
		1 while $s->try('SET statement_timeout = 0')->{error};
		1 while $s->try('SELECT')->{error};
		last unless $error;
		die "$sql: $error->{C} $error->{M}" if $error->{C} ne '57014';
		$cancelled++;
		$left++ if $changed->();
		$timeout *= 2;
	}
	return ($cancelled, $left);
}

# DDL that is followed, and what puts a history right, on tables that are big enough: with
# a tracking table, and with time columns.  After each attempt all sides agree.
sub timed_out_following
{
	my $rows = 3000;
	my @steps = (
		# what is done before it, with nothing followed; what is cancelled; whether it surely is, once at least
		[ undef, 'ALTER TABLE {t} ALTER COLUMN n TYPE bigint', 1 ],
		[ undef, "ALTER TABLE {t} ALTER COLUMN n TYPE varchar(20) USING 'n' || n", 1 ],
		[ undef, 'ALTER TABLE {t} ALTER COLUMN n TYPE int USING substr(n, 2)::int', 1 ],
		[ undef, 'ALTER TABLE {t} ALTER COLUMN id TYPE bigint', 1 ],
		[ undef, 'ALTER TABLE {t} RENAME COLUMN n TO m', 0 ],
		[ undef, 'ALTER TABLE {t} ADD COLUMN x int DEFAULT 1, ADD COLUMN y text', 0 ],
		[ undef, 'ALTER TABLE {t} DROP COLUMN y', 0 ],
		[ undef, 'ALTER TABLE {t} RENAME TO {t}_other', 0, 'ALTER TABLE {t}_other RENAME TO {t}' ],
		[ 'ALTER TABLE {t} ADD COLUMN late int; ALTER TABLE {t} ADD COLUMN later text', "SELECT repair_history('{t}')", 0 ],
		[ 'ALTER TABLE {t} DISABLE TRIGGER USER; DELETE FROM {t} WHERE id % 3 = 0; INSERT INTO {t} (id, v) SELECT -i, \'new\' FROM generate_series(1, 1000) i; ALTER TABLE {t} ENABLE TRIGGER USER',
			"SELECT reload_history_tracking_for_table('{t}')", 0 ],
		[ 'DROP VIEW {t}__with_history; ALTER TABLE {t} ALTER COLUMN x TYPE bigint', "SELECT widen_history_table('{t}')", 1 ],
	);
	$s->do('SET client_min_messages = error');
	for my $t (qw(follows follows_timed))
	{
		my $timed = $t =~ /timed/;
		$s->do("CREATE TABLE $t (id int PRIMARY KEY, v text, n int" . ($timed ? ', edition_time timestamptz DEFAULT now(), txid bigint DEFAULT txid_current())' : ')'));
		$s->do("SELECT create_history_table('$t'" . ($timed ? ", 'edition_time', 'txid')" : ')'));
		$s->do("INSERT INTO $t (id, v, n) SELECT i, 'v', i FROM generate_series(1, $rows) AS i");
		$s->do("UPDATE $t SET v = 'w'");
		my @all = @steps;
		push @all, [ "ALTER TABLE $t DISABLE TRIGGER USER; DELETE FROM $t WHERE id % 5 = 0; ALTER TABLE $t ENABLE TRIGGER USER", "SELECT sync_tracking_table('{t}', '{t}__tracking')", 1 ] if !$timed;
		for my $step (@all)
		{
			my ($unseen, $sql, $surely, $back) = map { defined ? s/\{t\}/$t/gr : undef } @$step;
			$s->do("SET catmaid_history.follow_ddl = off; $unseen; RESET catmaid_history.follow_ddl") if $unseen;
			timed_out_step($t, $sql, $surely, $unseen);
			$s->do($back) if $back;
		}
		is(findings($t), '', "$t: nothing is wrong in the end");
	}
	$s->do('RESET client_min_messages');
	return;
}

sub timed_out_step
{
	my ($t, $sql, $surely, $unseen) = @_;
	my @sides = ($t, "${t}__history", $t =~ /timed/ ? () : "${t}__tracking");
	my ($catalog, $contents, $findings) = (catalog($s), contents($s, @sides), findings($t));
	isnt($findings, '', "$sql: something is wrong before") if $unseen && $sql !~ /reload.*timed/;
	is($findings, '', "$sql: nothing is wrong before") if !$unseen;
	my ($cancelled, $left, $unrecorded) = (0, 0, 0);
	($cancelled, $left) = until_through($sql, sub {
		$unrecorded++ if !$unseen && !records($t);
		return catalog($s) ne $catalog || contents($s, @sides) ne $contents || findings($t) ne $findings;
	});
	cmp_ok($cancelled, '>', 0, "$sql timed out $cancelled times") if $surely;
	is($left, 0, "$sql: an attempt that timed out left nothing ($cancelled of them)");
	is($unrecorded, 0, "$sql: a write after each is recorded");
	is(findings($t), '', "$sql: it can be done again, and nothing is wrong then");
	my ($now) = $sql =~ /RENAME TO (\w+)/;
	ok(records($now // $t), "$sql: and a write is recorded");
	return;
}

# What check_history() has to say, of all tables or one that may have another name now.
sub findings
{
	my ($t) = @_;
	return $s->value("SELECT coalesce(string_agg(concat_ws(' ', live_table, finding, object, detail), '; ' ORDER BY live_table::text, finding, object, detail), '') FROM check_history() WHERE live_table::text ~ '^$t'");
}

# True if one row's old version goes to history.  (Nothing is kept of it.)
sub records
{
	my ($t) = @_;
	$s->do("BEGIN; UPDATE $t SET v = 'again' WHERE id = 1");
	my $n = $s->value("SELECT count(*) FROM ${t}__history WHERE id = 1 AND v = 'w' AND exec_transaction_id = txid_current()");
	$s->do('ROLLBACK');
	return $n == 1;
}

# The server dies with one transaction open, one prepared, and one just committed.
sub crash_with_work_under_way
{
	my $open = PgWire->new($node, name => 'open');
	$s->do('CHECKPOINT');
	$s->do("BEGIN; UPDATE tracked SET v = 'prepared' WHERE id BETWEEN 101 AND 200; DELETE FROM timed WHERE id BETWEEN 101 AND 200");
	my $prepared = $s->value('SELECT txid_current()');
	$s->do("PREPARE TRANSACTION 'half'");
	$open->do("BEGIN; UPDATE tracked SET v = 'open' WHERE id BETWEEN 201 AND 300; DELETE FROM timed WHERE id BETWEEN 201 AND 300");
	$s->do("BEGIN; UPDATE tracked SET v = 'committed' WHERE id BETWEEN 301 AND 400; UPDATE timed SET v = 'committed', edition_time = now() WHERE id BETWEEN 301 AND 400");
	my $committed = $s->value('SELECT txid_current()');
	$s->do('COMMIT');
	my $before = contents($s, sides('timed'), sides('tracked'));
	$node->stop('immediate');
	$node->start;
	($s, $other) = map { PgWire->new($node, name => $_) } qw(third fourth);
	is(contents($s, sides('timed'), sides('tracked')), $before, 'after the crash everything is as it was committed');
	$s->do("COMMIT PREPARED 'half'");
	for my $t (qw(tracked timed))
	{
		my $count = sub { $s->value("SELECT count(*) FROM ${t}__history WHERE exec_transaction_id = $_[0]") };
		is($count->($committed), 100, "$t: the committed transaction's versions are there");
		is($count->($prepared), 100, "$t: the prepared transaction's versions came with its commit");
		is($s->value("SELECT count(*) FROM ${t}__history WHERE id BETWEEN 201 AND 300 AND v <> 'next'"), 0, "$t: the open transaction left nothing");
	}
	consistent('after the crash');
	# indexes of the history side too
	$s->do('SET enable_seqscan = off');
	is($s->value("SELECT count(*) FROM tracked__history WHERE exec_transaction_id = $committed"), 100, 'found by index as well');
	$s->do('RESET enable_seqscan');
	$s->do("UPDATE tracked SET v = 'later'; DELETE FROM timed; TRUNCATE tracked");
	consistent('after later use');
	return;
}

# The periods of each key do not overlap, and the tracking table fits.
sub consistent
{
	my ($when) = @_;
	is($s->value(<<'SQL'), 0, "no two versions of a row overlap $when");
SELECT count(*) FROM (SELECT sys_period, lag(sys_period) OVER (PARTITION BY id ORDER BY sys_period) AS before
	FROM tracked__with_history WHERE NOT isempty(sys_period)) AS v WHERE sys_period && before
SQL
	is($s->value('SELECT count(*) FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE id IS NULL OR live_pk IS NULL'), 0,
		"the tracking table has just the live rows $when");
	return;
}

# An unlogged live table is emptied by the crash; its history is not, and what
# the tracking table may still know of lost rows is not in the way.
sub crash_of_unlogged_table
{
	$s->do(<<'SQL');
CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY, v text);
INSERT INTO volatile VALUES (1, 'a'), (2, 'b');
SELECT create_history_table('volatile');
SQL
	$s->do("UPDATE volatile SET v = v || '+'");
	is($s->value("SELECT string_agg(relpersistence::text, '') FROM pg_class WHERE relname = 'volatile__history'"), 'p', 'the history of an unlogged table is logged');
	my $history = contents($s, 'volatile__history');
	$node->stop('immediate');
	$node->start;
	($s, $other) = map { PgWire->new($node, name => $_) } qw(fifth sixth);
	is($s->value('SELECT count(*) FROM volatile'), 0, 'the unlogged table is empty after the crash');
	is(contents($s, 'volatile__history'), $history, 'its history is whole');
	$s->do("INSERT INTO volatile VALUES (1, 'again'), (3, 'c')");
	is($s->value("SELECT count(*) FROM volatile__with_history WHERE id = 1 AND upper_inf(sys_period) AND lower(sys_period) > (SELECT max(upper(sys_period)) FROM volatile__history)"), 1,
		'a key that was lost can be inserted again, and starts then');
	$s->do("UPDATE volatile SET v = v || '+'");
	is($s->value("SELECT string_agg(v, ',' ORDER BY v) FROM volatile__history WHERE NOT isempty(sys_period) AND v IN ('again', 'c')"), 'again,c', 'changes after the crash are recorded');
	$s->do("SELECT sync_tracking_table('volatile', 'volatile__tracking')");
	is($s->value("SELECT string_agg(live_pk::text, ',' ORDER BY live_pk) FROM volatile__tracking"), '1,3', 'syncing forgets the lost rows');
	$s->do("TRUNCATE volatile");
	is($s->value("SELECT count(*) FROM volatile__history WHERE v IN ('again+', 'c+')"), 2, 'TRUNCATE records what was there');
	return;
}
