# Part of test/t/fuzz_rights.pl: whose rights an owner's code gets.
#
# Owners put functions of theirs wherever PostgreSQL takes an expression: on live,
# history and tracking tables, views, parents, partitions, types (FuzzHooks.pm has the
# lists).  Each says with a NOTICE, which no rollback takes back, as whom it runs, in
# whose session, and whether in a security-restricted operation; the server's log has
# the C functions that led there.  Then everybody manages the tables and changes them,
# each time in a new session, where nothing is cached.
#
# On what is derived it must have run as the owner of the object, restricted where
# the session is another's.  On live tables and types PostgreSQL runs it as it does;
# but where we are among the callers it must be the owner, too.  (We are not, if
# all there is of us are hooks, which only call the standard function.)

package FuzzCanary;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzHooks;
use FuzzWorld;

our @EXPORT = qw(canary_setup canary_run canary_report new_round plant_all command);

my ($rounds, $commands, $went, $traced, $n) = (0, 0, 0, 0, 0);
my (%planted, %refused, %ran, %damaged, %place_of);
my $super;

sub canary_setup
{
	# a race may have dropped all that a role owned
	must('super', "CREATE SCHEMA IF NOT EXISTS $_ AUTHORIZATION $_; GRANT USAGE ON SCHEMA $_ TO PUBLIC") for qw(fuzz_a fuzz_b fuzz_part fuzz_reader);
	hooks_setup(qw(fuzz_a fuzz_b fuzz_part fuzz_reader));
	$super = value('SELECT current_user');
	return;
}

sub canary_run
{
	my ($seconds) = @_;
	my $until = time() + $seconds;
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
	my $shape = shapes()->{ pick(sort keys %{ shapes() }) };
	my ($s, $z) = map { $_ . ($rounds + 1) } 's', 'z';
	my %seen;
	$rounds++;
	new_round();
	mark();
	step('super', map { "CREATE SCHEMA $_; GRANT ALL ON SCHEMA $_ TO PUBLIC" } $s, $z);
	for my $make ($shape->{make}->($s))
	{
		my $answer = step(@$make);
		die "$make->[1]: $answer->{error}{M}" if $answer->{error};
	}
	step('super', "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER ON ALL TABLES IN SCHEMA $s TO fuzz_writer, fuzz_db; GRANT SELECT ON ALL TABLES IN SCHEMA $s TO fuzz_reader");
	step('super', "INSERT INTO $s.t (id, i, c) VALUES " . ($shape->{then} ? '' : "(1, 1, 'a'), (2, 2, 'b'), (3, 30, 'c'), ") . "(11, 110, 'd')");
	step('super', "UPDATE $s.t SET m = '1'") if chance(0.8);
	plant($s, live => 't') for 1 .. int rand 4;
	my $create = "SELECT create_history_table('S.t'" . ($shape->{timed} ? ", 'edited', 'txid')" : ')');
	command($s, $z, 'managing', pick('fuzz_a', 'super', 'fuzz_db'), $create) if chance(0.9);
	command($s, $z, 'managing', pick('fuzz_b', 'super'), "SELECT create_history_table('S.p')") if $shape->{parent} && chance(0.8);
	step(@$_) for $shape->{then} ? $shape->{then}->($s) : ();
	step('fuzz_writer', "UPDATE $s.t SET i = i + 1; DELETE FROM $s.t WHERE id = 3");
	plant_all($s, @$_) for grep { $_->[0] =~ /history|tracking|view/ && !$seen{ $_->[1] }++ } places($shape);
	for (1 .. 8)
	{
		plant($s, @{ pick(places($shape)) }) if chance(0.5);
		my $mend = chance(0.5);
		damage($s, $z, commands('damage', $shape)) for 1 .. $mend ? 1 + int rand 3 : 0;
		my $class = $mend ? pick('mending', 'mending', 'mending', 'managing') : pick(('managing') x 2, ('ddl') x 4, 'dml');
		my $role = $class eq 'dml' ? pick('super', 'fuzz_writer', 'fuzz_db') : pick(('super') x 6, 'fuzz_a', 'fuzz_a', 'fuzz_b', 'fuzz_part');
		command($s, $z, $class, $role, commands($class, $shape), $shape);
	}
	once('super', 'SET client_min_messages = error; SET catmaid_history.follow_ddl = ' . pick('on', 'off'), "DROP SCHEMA $_ CASCADE") for $s, $z;
	once('super', 'SET client_min_messages = error', 'ALTER TYPE fuzz_a.moo RENAME TO mood');
	return;
}

# Of other relations than before.
sub new_round { %place_of = (); return }

# --- what owners do ------------------------------------------------------------------

sub places
{
	my ($shape) = @_;
	return ([ live => 't' ], ([ history => 't__history' ]) x 3, ([ tracking => 't__tracking' ]) x 2, [ view => 't__with_history' ],
		$shape->{parent} ? ([ parent => 'p' ], ([ parent_history => 'p__history' ]) x 3, [ parent_view => 'p__with_history' ]) : (),
		$shape->{part} ? [ part => 't_1' ] : (), $shape->{part2} ? [ part2 => 't_2' ] : ());
}

# Put some code on a relation, as its owner, or as a reader upon a view.
sub plant
{
	my ($s, $place, $name, @kinds) = @_;
	my $row = as('super')->do("SELECT relowner::regrole, relkind FROM pg_class WHERE oid = to_regclass('$s.$name')")->{rows}[0] or return;
	my ($owner, $relkind) = @$row;
	return unless $owner =~ /^fuzz_(?:a|b|part|db)$/;
	($owner, $place) = ('fuzz_reader', 'reader') if $place eq 'view' && chance(0.5);
	my $hooks = hooks_for($relkind);
	my %columns = $place =~ /tracking/ ? (i => 'txid', c => 'edition_time')
	  : $place eq 'registry' ? (i => '(length(time_column))', c => 'time_column') : $place eq 'log' ? (i => 'user_id', c => 'label') : (i => 'i', c => 'c');
	@kinds = @kinds ? grep { $hooks->{$_} && (!hooks_obstruct($_) || chance(0.1)) } @kinds : pick(sort keys %$hooks);
	for my $kind (@kinds)
	{
		$n++;
		my $sql = $hooks->{$kind}->(r => "$s.$name", o => $owner, g => "$place:$kind", n => $n, s => $s, u => $s, %columns);
		note_step($owner, $sql);
		my $answer = as($owner)->try($sql);
		$planted{"$kind on " . ($place =~ s/parent_//r)}++ if !$answer->{error};
		$refused{"$kind: $answer->{error}{M}"}++ if $answer->{error};
	}
	return;
}

sub plant_all
{
	my ($s, $place, $name) = @_;
	my %kinds = (%{ hooks_for('r') }, %{ hooks_for('v') });
	return plant($s, $place, $name, grep { chance(0.7) } sort keys %kinds);
}

sub damage
{
	my ($s, $z, $template) = @_;
	$n++;
	my $answer = step('fuzz_a', 'SET catmaid_history.follow_ddl = off', in_schema($template, $s, $z));
	$damaged{$template}++ if !$answer->{error};
	return;
}

# A template's S is the schema, Z the one to move to, # a number.
sub in_schema
{
	my ($template, $s, $z) = @_;
	return $template =~ s/\bS\./$s./gr =~ s/\bZ\./$z./gr =~ s/SET SCHEMA S\b/SET SCHEMA $s/gr =~ s/SET SCHEMA Z\b/SET SCHEMA $z/gr =~ s/#/$n/gr =~ s/\bSUPER\b/$super/gr;
}

# --- what everybody does ---------------------------------------------------------------

# Run a command in a new session, and judge who ran what.
sub command
{
	my ($s, $z, $class, $role, $template, $shape) = @_;
	$n++;
	my $before = owners($s, $z);
	my $sql = in_schema($template, $s, $z);
	my @settings = ('SET search_path = public, pg_catalog', 'SET catmaid_history.on_drop_table = drop', 'SET catmaid_history.on_drop_column = ' . pick('keep', 'drop'));
	push @settings, "SET fuzz.mischief = '" . (in_schema(commands('mischief', $shape), $s, $z) =~ s/'/''/gr) . "'" if $shape && chance(0.1);
	my $look = "SELECT concat_ws(' ', current_setting('search_path'), current_setting('catmaid_history.on_drop_table'), current_user, session_user)";
	my $session = as($role, '');
	$session->do($_) for @settings;
	note_step($role, join ";\n", @settings, $sql);
	my $settings = $session->value($look);
	log_since_then();
	my $answer = $session->try($sql);
	my $settings_now = $session->value($look);
	my @events = events($answer, $session->{pid});
	$session->close;
	$commands++;
	$went++ if !$answer->{error};

	my $verb = $sql =~ s/\b[szuvw]\w*\d+\b\.?//gr =~ s/\d+/N/gr;
	my $mischief = "@settings" =~ /mischief/;
	my $internal = internal_error($answer->{error});
	# who drops his tables in the middle of it gets what he deserves
	complain("$verb: " . ($internal =~ s/\d{2,}/N/gr), "as $role (" . ($answer->{error}{W} // '') . ')', 1) if $internal && $internal =~ /^(?:XX|42601)/ && !$mischief;
	complain("settings changed: $verb", "from '$settings' to '$settings_now'", 1)
	  if $settings ne $settings_now && $role ne 'fuzz_a' && !grep { !$_->{ours} && $_->{user} eq $_->{session} } @events;
	judge($verb, \@events, $before, owners($s, $z));
	return $answer;
}

# Who owns, or owned a moment ago, the relations of a round, by the place that tags name.
# They are known by OID once they have been seen: names change.
sub owners
{
	my ($s, $z) = @_;
	my %name = (live => 't', history => 't__history', tracking => 't__tracking', view => 't__with_history', parent => 'p', parent_history => 'p__history',
		parent_view => 'p__with_history', part => 't_1', part2 => 't_2', registry => 'catmaid_history_table', log => 'catmaid_transaction_info');
	my $seen = as('super')->do('SELECT place, o FROM (VALUES ' . join(',', map { my $place = $_; map { "('$place', to_regclass('$_.$name{$place}')::oid)" } $s, $z } sort keys %name) . ') v(place, o) WHERE o IS NOT NULL')->{rows};
	$place_of{ $_->[1] } = $_->[0] for @$seen;
	my $rows = %place_of ? as('super')->do('SELECT oid, relowner::regrole FROM pg_class WHERE oid IN (' . join(',', sort keys %place_of) . ')')->{rows} : [];
	my %owners;
	$owners{ $place_of{ $_->[0] } }{ $_->[1] } = 1 for @$rows;
	return \%owners;
}

# What the code has said, with what the log has of it.
sub events
{
	my ($answer, $pid) = @_;
	my @said = grep { $_->{M} =~ /^canary\|/ } @{ $answer->{notices} } or return;
	my @traces = map { /\[$pid\] .*?BACKTRACE:(.*)/s ? $1 : () } split /^(?=\d{4}-)/m, log_since_then();
	my @events;
	for my $notice (@said)
	{
		my (undef, $tag, $user, $session, $restricted) = split /\|/, $notice->{M};
		my $trace = shift @traces // '';
		$traced++ if $trace;
		# the hooks, of which the standard function is the next
		$trace =~ s/(\(standard_\w+[^\n]*\n)[^\n]*catmaid_history\.so[^\n]*/$1/g;
		push @events, { tag => $tag, user => $user, session => $session, restricted => $restricted, ours => scalar($trace =~ /catmaid_history\.so/), context => $notice->{W} // '' };
	}
	return @events;
}

sub judge
{
	my ($verb, $events, $before, $after) = @_;
	for my $event (@$events)
	{
		my ($place) = $event->{tag} =~ /^(\w+):/;
		my $is_derived = $place =~ /history|tracking|view|registry|log/;
		$ran{ $event->{tag} }++;
		next unless $is_derived || $event->{ours};
		# a USING clause is its command's
		next if $place eq 'type' && $verb =~ /USING/;
		my %owner = map { %{ $_ // {} } } $place eq 'reader' ? { fuzz_reader => 1 }
		  : $place eq 'type' ? ({ fuzz_a => 1 }, values %$before, values %$after) : ($before->{$place}, $after->{$place});
		my $where = "as $event->{user} in the session of $event->{session}, owned by " . join(' or ', sort keys %owner) . "; $event->{context}";
		if ($place eq 'reader') { complain("$event->{tag} ran in another's command: $verb", $where, 1) if $event->{session} ne 'fuzz_reader' }
		elsif (!$owner{ $event->{user} }) { complain("$event->{tag} ran as another: $verb", $where, 1) }
		elsif ($event->{restricted} eq 'free' && $event->{user} ne $event->{session}) { complain("$event->{tag} ran free: $verb", $where, 1) }
	}
	return;
}

# How much was tried: a test that plants nothing shows nothing.
sub canary_report
{
	my $list = sub { my ($h) = @_; return join "\n", map { "$_ $h->{$_}" } sort keys %$h };
	complain('died', 'no backtrace in the log of what ran') if %ran && !$traced;
	return "$rounds rounds, $commands commands, $went of them went; " . keys(%planted) . ' kinds of code planted, ' . keys(%ran) . ' ran'
	  . ($ENV{FUZZ_VERBOSE} ? join "\n", '', 'planted', $list->(\%planted), 'refused', $list->(\%refused), 'ran', $list->(\%ran), 'damaged', $list->(\%damaged) : '');
}

1;
