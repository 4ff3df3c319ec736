# Part of test/t/fuzz_rights.pl: triggers forged by who has the TRIGGER privilege on a
# table, and by the owner of a partition.
#
# Random triggers with our functions or their own, under our names or others, on tables
# that are tracked, disabled, kept or nothing; then writes.  What a write has superseded
# (told by ctid and xmin) is in the history once, with the start that the view showed
# before and the transaction's end; nothing else has come into any history; and the
# registry has the rows it had.  A write may fail, then nothing has changed.

package FuzzTriggers;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzWorld;

our @EXPORT = qw(triggers_run triggers_report);

my ($rounds, $made, $writes, $went, $versions, %refused) = (0, 0, 0, 0, 0);
my $n = 0;

# name => whether its versions are recorded
my %tables = (tracked => 1, timed => 1, parts => 1, child => 1, disabled => 0, kept => 0, kept_timed => 0, kept_parts => 0, plain => 0);
my @our_names = qw(on_change_history_trackingtable on_change_update_tracking_table on_change_update_history_regular on_change_update_history_txid_regular
	on_truncate_handle_live_table_truncate on_truncate_truncate_tracking_table on_delete_update_history_txid_regular);
my @our_functions = qw(catmaid_history_capture catmaid_history_truncate catmaid_history_set_txid catmaid_history_restore catmaid_history_registry_changed);

sub triggers_run
{
	my ($seconds) = @_;
	my $until = time() + $seconds;
	as('fuzz_writer')->do(<<'SQL');
CREATE OR REPLACE FUNCTION fuzz_writer.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE OR REPLACE FUNCTION fuzz_writer.same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION fuzz_writer.other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := NEW.v || '?'; RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION fuzz_writer.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE OR REPLACE FUNCTION fuzz_writer.yes(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN $1 > 0; END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fuzz_writer TO PUBLIC;
SQL
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
	my $s = 'g' . ++$rounds;
	mark();
	step('super', "CREATE SCHEMA $s AUTHORIZATION fuzz_a; GRANT ALL ON SCHEMA $s TO PUBLIC");
	my $columns = '(id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0)';
	my $parts = sub { my ($t) = @_; return ("CREATE TABLE $t $columns PARTITION BY RANGE (id)", map { "CREATE TABLE ${t}_$_ PARTITION OF $t FOR VALUES FROM ($_) TO (" . ($_ + 10) . ')' } 0, 10) };
	my $setup = step('fuzz_a', "SET search_path = $s, public", "CREATE TABLE tracked $columns", "CREATE TABLE timed $columns", $parts->('parts'), "CREATE TABLE base $columns", 'CREATE TABLE child (PRIMARY KEY (id)) INHERITS (base)',
		"CREATE TABLE disabled $columns", "CREATE TABLE kept $columns", "CREATE TABLE kept_timed $columns", $parts->('kept_parts'), "CREATE TABLE plain $columns", "CREATE TABLE plain__history (LIKE plain, sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL)",
		"SELECT create_history_table(r::regclass) FROM unnest('{tracked,parts,child,disabled,kept,kept_parts}'::text[]) r", "SELECT create_history_table(r::regclass, 'edited', 'txid') FROM unnest('{timed,kept_timed}'::text[]) r",
		(map { "INSERT INTO $_ (id, v) SELECT i, 'v' || i FROM generate_series(1, 18) i" } sort keys %tables), (map { "UPDATE $_ SET v = v || '!' WHERE id > 15" } sort keys %tables),
		"SELECT disable_history_tracking_for_table('disabled')", "SELECT drop_history_table_keep_data(r::regclass) FROM unnest('{kept,kept_timed,kept_parts}'::text[]) r",
		"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON tracked, timed, parts, parts_0, parts_10, child, base, disabled, kept, kept_timed, kept_parts, kept_parts_0, kept_parts_10, plain TO fuzz_writer",
		"GRANT TRIGGER ON tracked__with_history, timed__with_history TO fuzz_writer");
	die "setup: $setup->{error}{M}" if $setup->{error};
	step('super', "ALTER TABLE $s.parts_10 OWNER TO fuzz_part; ALTER TABLE $s.kept_parts_10 OWNER TO fuzz_part");
	for (1 .. 6)
	{
		forge($s, chance(0.3) ? 'fuzz_part' : 'fuzz_writer') for 1 .. 1 + int rand 3;
		write_some($s) for 1 .. 2;
	}
	once('super', 'SET client_min_messages = error', "DROP SCHEMA $s CASCADE");
	return;
}

# A random CREATE TRIGGER.
sub forge
{
	my ($s, $role) = @_;
	my $table = $role eq 'fuzz_part' ? pick('parts_10', 'kept_parts_10', 'parts_10', 'parts') :
	  pick(qw(tracked tracked timed timed parts parts_0 parts_10 child base disabled kept kept_timed kept_parts kept_parts_0 plain tracked__history tracked__with_history timed__with_history),
		'public.catmaid_history_table', 'public.catmaid_transaction_info', 'public.catmaid_history_dump', 'catmaid_history_internal.catmaid_history_table_by_name');
	my $timing = $table =~ /__with/ ? 'INSTEAD OF' : pick('BEFORE', 'AFTER', 'AFTER', 'AFTER');
	my $level = pick('ROW', 'ROW', 'ROW', 'STATEMENT');
	my @events = grep { chance(0.5) } 'INSERT', 'UPDATE', 'DELETE', $level eq 'STATEMENT' ? 'TRUNCATE' : ();
	@events = ('UPDATE') unless @events;
	@events = map { $_ eq 'UPDATE' && chance(0.2) ? 'UPDATE OF v' : $_ } @events if $timing ne 'INSTEAD OF';
	my $name = chance(0.7) ? pick(@our_names) : pick('aaa', 'zzz') . ++$n;
	my $function = chance(0.75) ? pick(@our_functions) : 'fuzz_writer.' . pick(qw(nothing same other fails));
	my $arguments = pick('', '', "'edited', 'txid'", "'v', 'id'", "'edition_time', 'txid'", "'x'", "'edited', 'txid', 'more'", "'id', 'id'", "'', ''");
	# what only the owner of ours would write: an exact copy
	if (chance(0.3))
	{
		($timing, $level, $function) = ('AFTER', 'ROW', 'catmaid_history_capture');
		@events = pick([ 'UPDATE', 'DELETE' ], [ 'INSERT' ], [ 'INSERT', 'UPDATE', 'DELETE' ]);
		@events = @{ $events[0] };
		$arguments = $table =~ /timed/ ? "'edited', 'txid'" : '' if chance(0.7);
	}
	my $when = chance(0.25) && $timing ne 'INSTEAD OF' ? $level eq 'STATEMENT' ? 'WHEN (fuzz_writer.yes(0))'
	  : "@events" =~ /INSERT/ ? pick('WHEN (NEW.id < 0)', 'WHEN (false)') : pick('WHEN (OLD.id < 0)', 'WHEN (fuzz_writer.yes(OLD.id))', 'WHEN (OLD.v IS NULL)') : '';
	my $constraint = $level eq 'ROW' && $timing eq 'AFTER' && chance(0.15);
	my $deferred = $constraint ? pick('', ' DEFERRABLE INITIALLY DEFERRED', ' DEFERRABLE') : '';
	my $referencing = $timing eq 'AFTER' && !$constraint && @events == 1 && $events[0] eq 'UPDATE' && chance(0.15) ? ' REFERENCING OLD TABLE AS o NEW TABLE AS n' : '';
	my $replace = !$constraint && chance(0.6) ? ' OR REPLACE' : '';
	$table = "$s.$table" if $table !~ /\./;
	my $registry = registry($s);
	my $answer = step($role, 'CREATE' . $replace . ($constraint ? ' CONSTRAINT' : '') . " TRIGGER $name $timing " . join(' OR ', @events) . " ON $table$deferred$referencing FOR EACH $level $when EXECUTE FUNCTION $function($arguments)");
	$made++ if !$answer->{error};
	my $now = registry($s);
	complain("registry changed by CREATE TRIGGER: $function on " . ($table =~ s/^\w+\.//r), "from $registry to $now", 1) if $registry ne $now;
	my $error = internal_error($answer->{error});
	complain("internal error in CREATE TRIGGER: $error", '', 1) if $error && $error =~ /^XX/;
	return;
}

# A transaction, and what came of it.
sub write_some
{
	my ($s) = @_;
	my $role = pick(qw(fuzz_writer fuzz_writer fuzz_a super));
	my $table = pick(sort keys %tables);
	my $on = $table =~ /parts/ && chance(0.3) ? "$s.${table}_" . pick(0, 10) : $table eq 'child' && chance(0.3) ? "$s.base" : "$s.$table";
	($role, $on) = ('fuzz_part', "$s.${table}_10") if $table =~ /parts/ && chance(0.2);
	$n++;
	my $id = 1 + int rand 19;
	my @statements = map { s/T\b/$on/r } map { pick(
			"UPDATE T SET v = v || $n", "UPDATE T SET v = v || $n WHERE id = $id", "DELETE FROM T WHERE id = $id", "INSERT INTO T (id, v) VALUES ($id, 'new$n') ON CONFLICT DO NOTHING",
			($on =~ /base$/ ? () : "INSERT INTO T (id, v) VALUES ($id, 'new$n') ON CONFLICT (id) DO UPDATE SET v = 'upsert$n'"), "UPDATE T SET id = id + 30 WHERE id = $id", "TRUNCATE T", "DELETE FROM T WHERE id > 12",
			"INSERT INTO T (id, v) SELECT i, 'more$n' FROM generate_series(11, 16) i ON CONFLICT DO NOTHING") } 1 .. pick(1, 1, 1, 2);
	my $before = state_of($s);
	my $session = as($role, '');
	note_step($role, join ";\n", 'BEGIN', @statements, 'COMMIT');
	$session->do("SET search_path = $s, public; BEGIN");
	my ($txid, $time) = @{ $session->do('SELECT txid_current(), now()')->{rows}[0] };
	my $error;
	for my $sql (@statements) { last if $error = $session->try($sql)->{error} }
	$error = $session->try('COMMIT')->{error} // $error;
	$session->close;
	$writes++;
	$went++ unless $error;
	my $internal = internal_error($error);
	complain("internal error in a write: $internal", $error->{W} // '', 1) if $internal && $internal =~ /^XX/;
	judge($table, "@statements" =~ s/\d+/N/gr =~ s/gN\.//gr, $before, state_of($s), $txid, $time, $error);
	return;
}

# The tables' rows by place and version, with the start that the view shows; their
# histories; the registry.
sub state_of
{
	my ($s) = @_;
	my %state;
	my $columns = sub { my ($t) = @_; return "ROW($t.id, $t.v, $t.edited, $t.txid)::text" };
	for my $table (sort keys %tables)
	{
		# the view has the same rows: found by key
		my $view = $tables{$table} ? "(SELECT lower(w.sys_period) FROM $s.${table}__with_history w WHERE upper_inf(w.sys_period) AND w.exec_transaction_id IS NULL AND w.id = t.id)" : 'NULL';
		$view = "(SELECT lower(w.sys_period) FROM $s.${table}__with_history w WHERE w.sys_period \@> 'infinity'::timestamptz AND w.id = t.id)" if $tables{$table};
		$state{live}{$table} = { map { ("$_->[0]" => $_) } @{ as('super')->do("SELECT tableoid || ctid::text || xmin::text, " . $columns->('t') . ", $view FROM $s.$table t")->{rows} } };
		my %rows;
		$rows{ join '|', map { $_ // '' } @$_ }++ for @{ as('super')->do('SELECT ' . ($table eq 'plain' ? "h::text FROM" : $columns->('h') . ", lower(h.sys_period), upper(h.sys_period), isempty(h.sys_period), h.exec_transaction_id FROM") . " $s.${table}__history h")->{rows} };
		$state{history}{$table} = \%rows;
	}
	$state{registry} = registry($s);
	return \%state;
}

sub registry
{
	my ($s) = @_;
	return join ' ', map { join '|', map { $_ // '' } @$_ } @{ as('super')->do("SELECT live_table, history_table, tracking_table, time_column, txid_column, live_table_pkey_columns, triggers_installed FROM catmaid_history_table WHERE live_table IN (SELECT oid FROM pg_class WHERE relnamespace = '$s'::regnamespace) ORDER BY 1")->{rows} };
}

sub judge
{
	my ($table, $what, $before, $after, $txid, $time, $error) = @_;
	complain("registry changed by a write: $table", "from $before->{registry} to $after->{registry}", 1) if $before->{registry} ne $after->{registry};
	for my $one (sort keys %tables)
	{
		my %new = %{ $after->{history}{$one} };
		for my $row (sort keys %{ $before->{history}{$one} })
		{
			my $left = ($new{$row} // 0) - $before->{history}{$one}{$row};
			if ($left < 0) { complain("a version has gone: $one", $row, 1) }
			elsif ($left == 0) { delete $new{$row} }
			else { $new{$row} = $left }
		}
		my (%expected, %gone);
		if ($tables{$one})
		{
			my ($old, $new) = ($before->{live}{$one}, $after->{live}{$one});
			$expected{ join '|', $old->{$_}[1], $old->{$_}[2] // '', $time, 'f', $txid }++ for grep { !$new->{$_} } keys %$old;
			for my $row (grep { !$new->{$_} } keys %$old) { $gone{ join '|', $old->{$row}[1], '', '', 't', $txid }++ }
		}
		for my $row (sort keys %expected)
		{
			$versions++;
			if (($new{$row} // 0) == $expected{$row}) { delete $new{$row} }
			# its time column was now: an empty period
			elsif ($one eq 'timed' && grep { $new{$_} && (split /\|/)[-2] eq 't' } keys %gone) { delete $new{$_} for grep { $new{$_} } keys %gone }
			else { complain("a version is kept out: $one", "expected $row; there are: " . join(' ; ', sort keys %new), 1) }
		}
		# what the transaction made itself has an empty period
		my @forged = grep { !/\|\|\|t\|$txid\z/ || !$tables{$one} || $what !~ /.+ (?:UPDATE|DELETE|INSERT|TRUNCATE)/ } sort keys %new;
		complain("a version is forged: $one", "$what: $forged[0]", 1) if @forged;
	}
	return;
}

sub triggers_report { return "$rounds rounds, $made triggers made, $writes writes, $went of them went, $versions versions" }

1;
