# Sessions that run DDL of their own while the random test goes on.
#
# Each tells one story after another, a statement at a time, without being waited for: tables
# that are not tracked, tables of their own that are, with follow_ddl on and off, and
# commands on the test's tables that change nothing which the model knows of.  What
# others do must not be followed by them, nor what they do by others: at its end a story looks
# whether all is as it left it.
#
# The functions for all tables (enable_history_tracking() and the like) reach their tables as
# well; a story during which the test has called one looks at nothing then, and a
# history that was renamed while tracking was disabled may be refused.
#
# Their choices come from a generator of their own, so that a seed makes the test itself
# do the same again, though not at the same moments.

package RandomOthers;

use strict;
use warnings;
use Carp;
use PgWire;
use RandomSteps qw(table_sql);
use RandomValues qw(quote_ident quote_text);

sub new
{
	my ($class, $node, $run, $seed) = @_;
	my $self = bless { run => $run, random => $seed % 2147483647 || 1, disturbed => 0, told => {}, n => 0 }, $class;
	for my $name (qw(d e))
	{
		my $wire = PgWire->new($node, name => $name);
		$wire->do("SET deadlock_timeout = '10ms'; SET client_min_messages = error");
		push @{ $self->{sessions} }, { wire => $wire, steps => [] };
	}
	return $self;
}

# Park and Miller's generator.
sub below
{
	my ($self, $n) = @_;
	$self->{random} = $self->{random} * 16807 % 2147483647;
	return $self->{random} % $n;
}
sub one_of { my ($self, @list) = @_; return $list[ $self->below(scalar @list) ] }

# The test is about to run this.
sub heard
{
	my ($self, $sql) = @_;
	$self->{disturbed}++ if $sql =~ /\w+able_history_tracking\(\)/;
	return;
}

# Whoever is done goes on.
sub tick
{
	my ($self) = @_;
	for my $s (@{ $self->{sessions} })
	{
		if ($s->{wire}{busy})
		{
			next unless $s->{wire}->ready;
			$self->answer($s, $s->{wire}->finish);
		}
		$self->begin_story($s) unless @{ $s->{steps} };
		$self->next_step($s);
	}
	return;
}

# The stories come to their ends.
sub end
{
	my ($self) = @_;
	for my $s (@{ $self->{sessions} })
	{
		$self->answer($s, $s->{wire}->finish) if $s->{wire}{busy};
		while (@{ $s->{steps} })
		{
			$self->next_step($s);
			$self->answer($s, $s->{wire}->finish);
		}
		$s->{wire}->close;
	}
	return;
}

sub next_step
{
	my ($self, $s) = @_;
	$s->{step} = shift @{ $s->{steps} };
	$self->{run}->note_sql($s->{wire}, $s->{step}{sql});
	$s->{wire}->start($s->{step}{sql});
	return;
}

sub answer
{
	my ($self, $s, $answer) = @_;
	my $step = $s->{step};
	my $error = $answer->{error};
	my $where = "session $s->{wire}{name}, story $s->{story}: $step->{sql}\n  ";
	return if (exists $step->{look} || $error && $step->{by_name}) && $s->{began} != $self->{disturbed};
	if ($step->{fails})
	{
		die $where . ($error ? "$error->{C} $error->{M}" : 'no error') . ", not $step->{fails}\n"
		  unless $error && $error->{C} eq $step->{fails};
		return;
	}
	# it waits for no one for long, the table may be another one by the time, and may not want it
	return if $error && $step->{harmless} && $error->{C} !~ /^XX/;
	die "$where$error->{C} $error->{M}" . ($error->{D} ? "\n  $error->{D}" : '') . "\n" if $error;
	return unless $step->{look};
	my $said = join '|', map { $_ // '' } @{ $answer->{rows}[0] // [] };
	die "$where$said, not $step->{look}\n" unless $said eq $step->{look};
	return;
}

# --- stories ----------------------------------------------------------------------

sub begin_story
{
	my ($self, $s) = @_;
	my %stories = (
		untracked => \&untracked, many => \&many, followed => \&followed, in_one => \&in_one,
		dropped_off => \&dropped_off, changed_off => \&changed_off, partitions => \&partitions, model => \&model);
	# mostly what meets the test's own tables
	$s->{story} = $self->below(3) ? $self->one_of(sort keys %stories) : 'model';
	$s->{began} = $self->{disturbed};
	$self->{told}{ $s->{story} }++;
	my $t = "other_$s->{wire}{name}_" . ++$self->{n};
	$s->{steps} = [ map { ref $_ ? $_ : { sql => $_ } } $stories{ $s->{story} }->($self, $t) ];
	return;
}

sub look { my ($sql, $expected) = @_; return { sql => $sql, look => $expected } }

# A tracked table with two versions in its history.
sub tracked
{
	my ($t) = @_;
	return ("CREATE TABLE $t (id int PRIMARY KEY, k int NOT NULL DEFAULT 1, v text, w int)",
		"SELECT create_history_table('$t')",
		"INSERT INTO $t (id, v) VALUES (1, 'a'), (2, 'b')", "UPDATE $t SET v = v || '!'");
}

sub columns_of
{
	my ($t) = @_;
	return "(SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = '$t'::regclass AND attnum > 0 AND NOT attisdropped"
	  . " AND attname NOT IN ('sys_period', 'exec_transaction_id', 'start_transaction_id'))";
}

sub untracked
{
	my ($self, $t) = @_;
	my $follow = $self->one_of('on', 'off');
	return ("SET catmaid_history.follow_ddl = $follow",
		"CREATE TABLE $t (id int PRIMARY KEY, v text, w int)",
		"INSERT INTO $t VALUES (1, 'a', 1)",
		(map { $self->one_of("ALTER TABLE $t ADD COLUMN x$_ int DEFAULT 1", "ALTER TABLE $t ALTER COLUMN w TYPE bigint",
			"CREATE INDEX ON $t (v)", "CREATE VIEW ${t}_v$_ AS SELECT id FROM $t", "TRUNCATE $t", "ALTER TABLE $t ALTER COLUMN v SET NOT NULL",
			"BEGIN; ALTER TABLE $t RENAME TO ${t}_x; ALTER TABLE ${t}_x RENAME TO $t; COMMIT") } 1 .. 4),
		"DROP TABLE $t CASCADE", 'RESET catmaid_history.follow_ddl');
}

# More of it than the queue of invalidations holds for those who are behind.
sub many
{
	my ($self, $t) = @_;
	return ("DO \$\$ BEGIN FOR i IN 1..150 LOOP EXECUTE format('CREATE TEMP TABLE ${t}_%s (a int, b text)', i); EXECUTE format('DROP TABLE ${t}_%s', i); END LOOP; END \$\$");
}

sub followed
{
	my ($self, $t) = @_;
	return (tracked($t),
		(map { $self->one_of("ALTER TABLE $t ADD COLUMN x$_ int DEFAULT 1", "ALTER TABLE $t ALTER COLUMN w TYPE bigint USING w::bigint", "ALTER TABLE $t ALTER COLUMN w TYPE text", "CREATE INDEX ON $t (v)", "ALTER TABLE $t RENAME COLUMN k TO k$_; ALTER TABLE $t RENAME COLUMN k$_ TO k") } 1 .. 3),
		$self->one_of("ALTER TABLE $t DROP CONSTRAINT ${t}_pkey, ADD CONSTRAINT ${t}_pkey PRIMARY KEY (k, id)", "ALTER TABLE $t RENAME COLUMN w TO z", "ALTER TABLE $t DROP COLUMN w"),
		"UPDATE $t SET v = v || '!'",
		look("SELECT (SELECT string_agg(attname, ' ') FROM pg_attribute l WHERE attrelid = '$t'::regclass AND attnum > 0 AND NOT attisdropped AND NOT EXISTS (SELECT FROM"
			  . " pg_attribute h WHERE h.attrelid = '${t}__history'::regclass AND h.attname = l.attname)), count(*), count(*) FILTER (WHERE lower_inf(sys_period)) FROM ${t}__history", '|4|0'),
		look("SELECT count(*), count(*) FILTER (WHERE lower_inf(sys_period)) FROM ${t}__with_history", '6|0'),
		look("SELECT string_agg(finding, ',') FROM check_history('$t') WHERE severity <> 'info'", ''),
		"DROP TABLE $t", look("SELECT to_regclass('${t}__history')", ''), "DROP TABLE IF EXISTS ${t}__history");
}

# All in one transaction, which nobody else sees.
sub in_one
{
	my ($self, $t) = @_;
	my @steps = tracked($t);
	return ('BEGIN; ' . join('; ', @steps, "ALTER TABLE $t RENAME TO ${t}_x; ALTER TABLE ${t}_x DROP COLUMN w, ADD COLUMN y int; UPDATE ${t}_x SET v = 'z'")
		  . "; DO \$\$ BEGIN ASSERT (SELECT count(*) FROM ${t}_x__history WHERE isempty(sys_period)) = 4, 'versions'; END \$\$; "
		  . $self->one_of('ROLLBACK', "DROP TABLE ${t}_x; COMMIT"),
		look("SELECT count(*) FROM pg_class WHERE relname LIKE '$t%'", 0));
}

# Dropped while nothing is followed: the history stays, whatever others drop meanwhile.
sub dropped_off
{
	my ($self, $t) = @_;
	my $stays = look("SELECT count(*) FROM ${t}__history", 2);
	return (tracked($t), 'SET catmaid_history.follow_ddl = off', "DROP TABLE $t CASCADE", 'RESET catmaid_history.follow_ddl',
		map({ { %$stays } } 1 .. 4), 'SELECT 1',
		"DELETE FROM catmaid_history_table WHERE history_table = '${t}__history'::regclass", "DROP TABLE ${t}__history, ${t}__tracking CASCADE");
}

# Changed while nothing is followed: nobody else makes the history follow.
sub changed_off
{
	my ($self, $t) = @_;
	my ($ddl, $columns, $name) = @{ $self->one_of(
		[ "ALTER TABLE $t ADD COLUMN x int", 'id k v w' ], [ "ALTER TABLE $t RENAME COLUMN v TO vv", 'id k v w' ],
		[ "ALTER TABLE $t DROP CONSTRAINT ${t}_pkey, ADD PRIMARY KEY (id, k)", 'id k v w' ],
		[ "ALTER TABLE ${t}__history ADD COLUMN own int", 'id k own v w' ],
		[ "ALTER TABLE ${t}__history RENAME TO ${t}_old", 'id k v w', "${t}_old" ]) };
	my $history = $name // "${t}__history";
	my $stays = look('SELECT ' . columns_of($history) . ", count(*) FROM $history", "$columns|2");
	return (tracked($t), 'SET catmaid_history.follow_ddl = off', $ddl, 'RESET catmaid_history.follow_ddl',
		map({ { %$stays } } 1 .. 4),
		$ddl =~ /ADD PRIMARY|ADD COLUMN x/ ? { sql => "UPDATE $t SET k = k", look => '', fails => '55000' } : (),
		# while disabled, nothing but its name tells that a table is a history
		map({ { sql => "SELECT $_('$t')", by_name => defined $name } } qw(enable_history_tracking_for_table repair_history)),
		"UPDATE $t SET k = k", look("SELECT count(*) FROM ${t}__history", 4), "DROP TABLE $t");
}

sub partitions
{
	my ($self, $t) = @_;
	return ("CREATE TABLE $t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)", "CREATE TABLE ${t}_1 PARTITION OF $t FOR VALUES FROM (0) TO (10)",
		"SELECT create_history_table('$t')", "CREATE TABLE ${t}_2 PARTITION OF $t FOR VALUES FROM (10) TO (20)",
		"INSERT INTO $t VALUES (1, 'a'), (11, 'b')", "UPDATE $t SET v = v || '!'",
		$self->one_of("ALTER TABLE $t DETACH PARTITION ${t}_2", "DROP TABLE ${t}_2"),
		look("SELECT count(*), count(*) FILTER (WHERE lower_inf(sys_period)) FROM ${t}__history", '3|0'),
		look("SELECT count(*) FROM ${t}__tracking", 1),
		"DROP TABLE $t", "DROP TABLE IF EXISTS ${t}_2, ${t}__history");
}

# A table of the test's, and what is derived from it: nothing that the model knows is changed.
sub model
{
	my ($self, $t) = @_;
	my @tables = $self->{run}->model->tables;
	return 'SELECT 1' unless @tables;
	my $m = $self->one_of(@tables);
	my $name = table_sql($m);
	my $column = quote_ident($self->one_of(map { $_->{n} } @{ $m->{cols} }));
	my $sql = $self->one_of(
		"CREATE INDEX $t ON $name ($column); DROP INDEX IF EXISTS " . quote_ident($m->{schema}) . ".$t",
		"ALTER TABLE $name ALTER COLUMN $column SET STATISTICS 50", "ALTER TABLE $name SET (fillfactor = 90)",
		"ALTER TABLE $name ADD CONSTRAINT $t CHECK (true) NOT VALID; ALTER TABLE $name DROP CONSTRAINT $t",
		"CREATE TRIGGER $t BEFORE UPDATE ON $name FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger(); DROP TRIGGER $t ON $name",
		"ANALYZE $name", "VACUUM FULL $name", 'CREATE INDEX ON ' . RandomRun::derived($m, '__history') . " (exec_transaction_id)",
		"BEGIN; DROP TABLE $name CASCADE; ROLLBACK", "BEGIN; ALTER TABLE $name RENAME TO $t; ROLLBACK", "BEGIN; ALTER TABLE $name ADD COLUMN $t int; ROLLBACK",
		"BEGIN; ALTER TABLE $name DROP COLUMN $column CASCADE; ROLLBACK");
	my $follow = $self->one_of('on', 'on', 'off');
	return ("SET lock_timeout = '50ms'; SET catmaid_history.follow_ddl = $follow", { sql => $sql, harmless => 1 }, 'ROLLBACK; RESET lock_timeout; RESET catmaid_history.follow_ddl',
		"CREATE TABLE $t (n int)", "CREATE INDEX ON $t (n)", "DROP TABLE $t");
}

1;
