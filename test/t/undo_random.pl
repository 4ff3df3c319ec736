# Random transactions over several kinds of tables with foreign keys, undone in random
# order, against a model's own undoing.
#
# The model does not know histories: triggers of the test's own write down each change of a
# row, old and new. From that it tells what each transaction found and left, and so what an
# undo has to bring back, and what it must not touch: what another transaction has changed
# since, or in between. What is left out for the sake of a foreign key or a unique value
# must be so in the end: the row that it refers to is absent, or another one refers to it.
#
# The undo of an undo gives back what was there; and a restore gives what the tables held at
# an instant, as the test has read them then, and as the history views tell it.
#
#   RANDOM_SEED          repeats it
#   UNDO_TRANSACTIONS    how many transactions, 300 unless told

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $transactions = $ENV{UNDO_TRANSACTIONS} || 300;
srand($seed);
diag "RANDOM_SEED=$seed UNDO_TRANSACTIONS=$transactions";

# Tables by name: the key's columns.
my %key = (par => ['id'], kid => ['id'], opt => ['id'], tree => ['id'], pair => [qw(a b)], of_pair => ['id'],
	place => ['id'], node => ['id'], part => ['id'], hen => ['id'], egg => ['id']);
my @tables = sort keys %key;
my $list = "ARRAY['" . join("','", @tables) . "']::regclass[]";

my $node = PostgreSQL::Test::Cluster->new('undo');
$node->init;
$node->append_conf('postgresql.conf', "timezone = 'UTC'\ndeadlock_timeout = 10ms\nlog_statement = none\n");
$node->start;
my $main = PgWire->new($node, name => 'main');
make_tables();
my @sessions = map { PgWire->new($node, name => "session $_") } 1 .. 3;

my (@done, @instants, %count, $faults, $chains);
for my $round (1 .. $transactions / 10)
{
	load();
	push @instants, [ $main->value('SELECT clock_timestamp()'), contents() ];
	undo_some() for 1 .. 3;
	restore_some() if $round % 5 == 0;
	last if $faults;
}
ok(!$faults, 'as the model has it');
ok($count{$_}, "$_: " . ($count{$_} // 0)) for qw(undone conflicts references again restored);
diag join ', ', map { "$_ $count{$_}" } sort keys %count;
$_->close for @sessions, $main;
$node->stop;
done_testing();

sub make_tables
{
	$main->do(<<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE par (id int PRIMARY KEY, name text, code int UNIQUE);
CREATE TABLE kid (id int PRIMARY KEY, par int NOT NULL REFERENCES par ON DELETE CASCADE, name text,
	edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE opt (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, par int REFERENCES par ON DELETE SET NULL, name text, twice text GENERATED ALWAYS AS (name || name) STORED);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree, name text);
CREATE TABLE pair (a int, b text, name jsonb, PRIMARY KEY (b, a));
CREATE TABLE of_pair (id int PRIMARY KEY, a int, b text, name text, FOREIGN KEY (a, b) REFERENCES pair (a, b) ON UPDATE CASCADE);
CREATE TABLE place (id int PRIMARY KEY, name text);
CREATE TABLE node (PRIMARY KEY (id), more int) INHERITS (place);
CREATE TABLE part (id int PRIMARY KEY, name text, par int REFERENCES par) PARTITION BY RANGE (id);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (MINVALUE) TO (6);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (6) TO (MAXVALUE);
CREATE TABLE hen (id int PRIMARY KEY, egg int NOT NULL, name text);
CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL REFERENCES hen, name text);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE;
CREATE TABLE seen (n bigserial, tx bigint, tbl text, old jsonb, new jsonb);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO seen (tx, tbl, old, new) SELECT txid_current(), TG_ARGV[0], CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
	RETURN NULL; END $$;
CREATE FUNCTION see_truncate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	EXECUTE format('INSERT INTO seen (tx, tbl, old) SELECT txid_current(), %L, to_jsonb(t) FROM ONLY %I t', TG_ARGV[0], TG_ARGV[0]);
	RETURN NULL; END $$;
CREATE FUNCTION edit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.edited = now(); RETURN NEW; END $$;
CREATE TRIGGER edit BEFORE UPDATE ON kid FOR EACH ROW EXECUTE FUNCTION edit();
SQL
	for my $table (@tables)
	{
		$main->do("CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON $table FOR EACH ROW EXECUTE FUNCTION see('$table')");
		$main->do("CREATE TRIGGER see_truncate BEFORE TRUNCATE ON $table FOR EACH STATEMENT EXECUTE FUNCTION see_truncate('$table')") if $table ne 'part';
		$main->do("SELECT create_history_table('$table'" . ($table eq 'kid' ? ", 'edited', 'txid')" : ')')) if $table ne 'place';
	}
	return;
}

# --- the load ------------------------------------------------------------------

# Some transactions, one in the midst of another.
sub load
{
	my @open = map { { session => $_, left => 0 } } @sessions;
	my $begun = 0;
	while ($begun < 8 || grep { $_->{left} > 0 } @open)
	{
		my $one = $open[ rand @open ];
		if ($one->{left} > 0) { step($one) }
		elsif ($begun < 8)
		{
			$begun++;
			$one->{session}->do("BEGIN; SET LOCAL lock_timeout = '30ms'");
			$one->{left} = 1 + int rand 5;
		}
	}
	return;
}

# One statement, or the end.
sub step
{
	my ($one) = @_;
	my $session = $one->{session};
	$session->do('SAVEPOINT s');
	my $answer = $session->try(statement());
	$session->do($answer->{error} ? 'ROLLBACK TO s' : 'RELEASE s');
	return if --$one->{left} > 0;
	my $id = $session->value('SELECT txid_current_if_assigned()');
	if (rand() < 0.1) { $session->do('ROLLBACK') }
	elsif (!$session->try('COMMIT')->{error}) { push @done, $id if defined $id }
	return;
}

my $name;
sub name { return "'n" . ++$name . "'" }
sub id { return 1 + int rand 10 }

sub statement
{
	my ($a, $b) = (id(), id());
	my @all = (
		sub { "INSERT INTO par VALUES ($a, " . name() . ", $b) ON CONFLICT DO NOTHING" },
		sub { "UPDATE par SET name = " . name() . " WHERE id = $a" },
		sub { "UPDATE par SET code = $b WHERE id = $a" },
		sub { "UPDATE par p SET code = -o.code FROM par o WHERE p.code = -o.code AND p.id IN ($a, $b)" },
		sub { "DELETE FROM par WHERE id = $a" },
		sub { "UPDATE par SET id = $b WHERE id = $a" },
		sub { "INSERT INTO kid (id, par, name) SELECT $a, id, " . name() . " FROM par WHERE id = $b ON CONFLICT DO NOTHING" },
		sub { "UPDATE kid SET name = " . name() . " WHERE id IN ($a, $b)" },
		sub { "UPDATE kid SET par = $b WHERE id = $a" },
		sub { "DELETE FROM kid WHERE id = $a" },
		sub { "INSERT INTO opt (id, par, name) OVERRIDING SYSTEM VALUE SELECT $a, id, " . name() . " FROM par WHERE id = $b ON CONFLICT DO NOTHING" },
		sub { "UPDATE opt SET name = " . name() . " WHERE id = $a" },
		sub { "DELETE FROM opt WHERE id = $a" },
		sub { "INSERT INTO tree VALUES ($a, (SELECT id FROM tree WHERE id = $b), " . name() . ") ON CONFLICT DO NOTHING" },
		sub { "INSERT INTO tree VALUES ($a, $a, " . name() . ") ON CONFLICT DO NOTHING" },
		sub { "UPDATE tree SET up = $b WHERE id = $a" },
		sub { "DELETE FROM tree WHERE id = $a" },
		sub { "DELETE FROM tree" },
		sub { "INSERT INTO pair VALUES ($a, chr(96 + $b), '{}') ON CONFLICT DO NOTHING" },
		sub { "UPDATE pair SET name = to_jsonb(" . name() . "::text) WHERE a = $a" },
		sub { "UPDATE pair SET a = $b WHERE a = $a" },
		sub { "DELETE FROM pair WHERE a = $a" },
		sub { "INSERT INTO of_pair SELECT $a, a, b, " . name() . " FROM pair WHERE a = $b LIMIT 1 ON CONFLICT DO NOTHING" },
		sub { "DELETE FROM of_pair WHERE id = $a" },
		sub { "INSERT INTO place VALUES ($a, " . name() . ") ON CONFLICT DO NOTHING" },
		sub { "INSERT INTO node VALUES ($a, " . name() . ", $b) ON CONFLICT DO NOTHING" },
		sub { "UPDATE place SET name = " . name() . " WHERE id = $a" },
		sub { "DELETE FROM place WHERE id = $a" },
		sub { "INSERT INTO part VALUES ($a, " . name() . ", (SELECT id FROM par WHERE id = $b)) ON CONFLICT DO NOTHING" },
		sub { "UPDATE part SET name = " . name() . " WHERE id = $a" },
		sub { "UPDATE part SET id = $b WHERE id = $a" },
		sub { "DELETE FROM part WHERE id = $a" },
		sub { "WITH h AS (INSERT INTO hen VALUES ($a, $a, " . name() . ")) INSERT INTO egg VALUES ($a, $a, " . name() . ")" },
		sub { "WITH h AS (DELETE FROM hen WHERE id = $a AND egg = $a) DELETE FROM egg WHERE id = $a AND hen = $a" },
		sub { "UPDATE hen SET egg = $b WHERE id = $a" },
		sub { "UPDATE egg SET name = " . name() . " WHERE id = $a" },
	);
	return 'TRUNCATE kid, opt' if rand() < 0.005;
	return $all[ rand @all ]->();
}

# --- what there is -------------------------------------------------------------

# All rows: by table and key, as JSON without what every change changes.
sub contents
{
	my $session = $_[0] || $main;
	my %rows;
	my $sql = join ' UNION ALL ', map { my $t = $_; "SELECT '$t', " . key_sql($t, 't') . ", " . row_sql('to_jsonb(t)') .
		" FROM " . ($t eq 'part' ? '' : 'ONLY ') . "$t t" } @tables;
	$rows{"$_->[0] $_->[1]"} = $_->[2] for @{ $session->do($sql)->{rows} };
	return \%rows;
}

sub key_sql
{
	my ($table, $alias) = @_;
	return '(SELECT jsonb_build_object(' . join(', ', map { "'$_', $alias.$_" } @{ $key{$table} }) . ')::text)';
}

sub row_sql { return "($_[0] - '{edited,txid,twice}'::text[])::text" }

# What transactions did to each row, in order: { tx, old, new }, both by the row's key.
sub changes
{
	my %chain;
	my $rows = $main->do("SELECT tx, tbl, " . row_sql('old') . ", " . row_sql('new') . ", old, new FROM seen ORDER BY n")->{rows};
	for (@$rows)
	{
		my ($tx, $table, $old, $new, $old_row, $new_row) = @$_;
		my $was = defined $old ? "$table " . key_of($table, $old_row) : undef;
		my $is = defined $new ? "$table " . key_of($table, $new_row) : undef;
		if (defined $was && (!defined $is || $was ne $is)) { note_change(\%chain, $was, $tx, $old, undef) }
		if (defined $is && (!defined $was || $was ne $is)) { note_change(\%chain, $is, $tx, undef, $new) }
		elsif (defined $is) { note_change(\%chain, $is, $tx, $old, $new) }
	}
	# who has made and taken away a row himself has done nothing
	$chain{$_} = [ grep { defined $_->{old} || defined $_->{new} } @{ $chain{$_} } ] for keys %chain;
	return \%chain;
}

sub note_change
{
	my ($chain, $key, $tx, $old, $new) = @_;
	my $last = $chain->{$key} && $chain->{$key}[-1];
	if ($last && $last->{tx} == $tx) { $last->{new} = $new }
	else { push @{ $chain->{$key} }, { tx => $tx, old => $old, new => $new } }
	return;
}

# As jsonb prints it: shorter names first.
my %keys_seen;
sub key_of
{
	my ($table, $row) = @_;
	return $keys_seen{$table}{$row} //= '{' . join(', ', map { my $c = $_; $row =~ /"$c": ("[^"]*"|[^,}]+)/ or die $row; qq("$c": $1) } sort @{ $key{$table} }) . '}';
}

# --- undoing -------------------------------------------------------------------

# Some transactions are undone, and sometimes that, too.
sub undo_some
{
	my $before = contents();
	return if !@done;
	my %of = map { $done[ rand @done ] => 1 } 1 .. (rand() < 0.6 ? 1 : 3);
	my @ids = sort { $a <=> $b } keys %of;
	my $wanted = model($before, \%of);
	my $ids = join ',', @ids;

	my $tried = $main->try("SELECT * FROM undo_transactions(ARRAY[$ids], on_conflict => 'skip', dry_run => true)");
	return fault("undoing $ids dry: $tried->{error}{C} $tried->{error}{M} " . ($tried->{error}{D} // '')) if $tried->{error};
	my $dry = rows_of($tried);
	fault("a dry run changed something ($ids)") if !same(contents(), $before);
	my $strict = $main->try("SELECT * FROM undo_transactions(ARRAY[$ids], dry_run => false)");
	my $any = grep { defined $_->[1] } values %$dry;
	if ($strict->{error})
	{
		return fault("undoing $ids: $strict->{error}{C} $strict->{error}{M}") if $strict->{error}{C} ne '55000' || !$any;
		fault("an error changed something ($ids)") if !same(contents(), $before);
		$main->do('BEGIN');
		my $real = $main->try("SELECT * FROM undo_transactions(ARRAY[$ids], on_conflict => 'skip')");
		return fault("undoing $ids: $real->{error}{C} $real->{error}{M} " . ($real->{error}{D} // '')) if $real->{error};
		push @done, undone($ids, $before, $wanted, $dry, rows_of($real));
		$main->do('COMMIT');
	}
	else
	{
		fault("undoing $ids: there was a conflict, and it was done") if $any;
		push @done, undone($ids, $before, $wanted, $dry, rows_of($strict));
	}
	my $undo = pop @done;
	return if !defined $undo;
	push @done, $undo;
	undo_again($before, $undo) if rand() < 0.5;
	return;
}

sub rows_of
{
	my ($answer) = @_;
	return { map { ("$_->[0] $_->[1]" => [ $_->[2], $_->[3] ]) } @{ $answer->{rows} } };
}

# For each row that the transactions have changed: [what it should be] or "conflict".
sub model
{
	my ($now, $of) = @_;
	my $chain = $chains = changes();
	my %wanted;
	for my $key (keys %$chain)
	{
		my @all = @{ $chain->{$key} };
		my @mine = grep { $of->{ $all[$_]{tx} } } 0 .. $#all;
		next if !@mine;
		my ($found, $left) = ($all[ $mine[0] ]{old}, $all[ $mine[-1] ]{new});
		# other transactions' changes in between; a row of theirs that came and went is none
		my $between = grep { $mine[$_] + 1 < $mine[ $_ + 1 ] && (defined $all[ $mine[$_] ]{new} || defined $all[ $mine[ $_ + 1 ] ]{old}) } 0 .. $#mine - 1;
		if ($between) { $wanted{$key} = 'conflict' }
		elsif (alike($found, $left) || alike($now->{$key}, $found)) { $wanted{$key} = 'same' }
		elsif (alike($now->{$key}, $left)) { $wanted{$key} = [$found] }
		else { $wanted{$key} = 'conflict' }
	}
	return \%wanted;
}

sub alike
{
	my ($one, $other) = @_;
	return defined $one ? defined $other && $one eq $other : !defined $other;
}

sub same
{
	my ($one, $other) = @_;
	return !grep { !alike($one->{$_}, $other->{$_}) } keys %$one, keys %$other;
}

# Compare what is there now with what was wanted; result: the transaction that did it.
sub undone
{
	my ($ids, $before, $wanted, $dry, $real) = @_;
	my $after = contents();
	my $id = grep({ $_->[0] ne 'skip' } values %$real) ? $main->value('SELECT max(tx) FROM seen') : undef;
	fault("undoing $ids: the dry run has told otherwise: " . join ', ', map { "$_ @{[ join '/', map { $_ // '' } @{ $dry->{$_} // [] } ]} @{[ join '/', map { $_ // '' } @{ $real->{$_} // [] } ]}" } grep { join('/', map { $_ // '' } @{ $dry->{$_} // [] }) ne join('/', map { $_ // '' } @{ $real->{$_} // [] }) } keys %$dry, keys %$real)
		if join("\n", map { "$_ " . join '/', map { $_ // '' } @{ $dry->{$_} } } sort keys %$dry) ne join("\n", map { "$_ " . join '/', map { $_ // '' } @{ $real->{$_} } } sort keys %$real);
	$count{undone}++;
	for my $key (keys %{ { %$before, %$after, %$wanted, %$real } })
	{
		my $want = $wanted->{$key} // 'same';
		my ($action, $conflict) = @{ $real->{$key} // [ 'none', undef ] };
		my $moved = !alike($before->{$key}, $after->{$key});
		my $told = "undoing $ids: $key ($action" . (defined $conflict ? ", $conflict" : '') . '): ' .
			join(' > ', map { $_ // 'nothing' } $before->{$key}, $after->{$key}) . '; by transactions: ' . told_chain($key);
		if (!ref $want)
		{
			fault("$told, and it was to stay") if $moved;
			fault("$told, and that was to be a conflict") if $want eq 'conflict' && $action ne 'skip' && $action ne 'none';
			$count{conflicts}++ if $want eq 'conflict';
		}
		elsif ($action eq 'skip')
		{
			fault("$told, and it was skipped") if $moved;
			fault("$told, and nothing is in the way") if !justified($key, $conflict, $want->[0], $after, $real);
			$count{references}++;
		}
		else
		{
			fault("$told, wanted: " . ($want->[0] // 'nothing')) if !alike($after->{$key}, $want->[0]);
		}
	}
	return $id;
}

# What was done to a row, for a fault's message.
sub told_chain
{
	my ($key) = @_;
	return join ', ', map { "$_->{tx} " . ($_->{old} // 'nothing') . ' > ' . ($_->{new} // 'nothing') } @{ $chains->{$key} // [] };
}

# Is what is said to be in the way of a row there, in the end?
sub justified
{
	my ($key, $conflict, $wanted, $after, $real) = @_;
	my ($table) = split / /, $key;
	for (split /; /, $conflict // '')
	{
		if (/^it refers to a row of table "(\w+)" that (?:is not there|does not come back)/)
		{
			my $parent = "$1 " . parent_key($table, $1, $wanted);
			# a row that was to go, and is left out as well
			return 1 if !exists $after->{$parent} || ($real->{$parent} && $real->{$parent}[0] eq 'skip');
		}
		elsif (/^a row of table "(\w+)" refers to it/)
		{
			my $child = $1;
			return 1 if grep { /^$child / && parent_key($child, $table, $after->{$_}) eq substr($key, length "$table ") } keys %$after;
		}
		elsif (/^another row has its value/)
		{
			my ($code) = $wanted =~ /"code": (-?\d+)/;
			return 1 if grep { /^par / && $_ ne $key && $after->{$_} =~ /"code": \Q$code\E\b/ } keys %$after;
		}
		elsif (/^it may be the same row/) { return 1 }
	}
	return 0;
}

# The key, as text, of the row that a row refers to; empty: none.
sub parent_key
{
	my ($child, $parent, $row) = @_;
	if ($parent eq 'pair')
	{
		return '' if $row !~ /"a": (\d+), "b": ("\w")/;
		return qq({"a": $1, "b": $2});
	}
	my $column = { tree => 'up', hen => 'hen', egg => 'egg', par => 'par' }->{$parent};
	return $row =~ /"$column": (\d+)/ ? qq({"id": $1}) : '';
}

# The undo of an undo brings back what was there before.
sub undo_again
{
	my ($before, $id) = @_;
	my $answer = $main->try("SELECT * FROM undo_transactions(ARRAY[$id])");
	return fault("undoing the undo $id: $answer->{error}{C} $answer->{error}{M} $answer->{error}{D}") if $answer->{error};
	my $after = contents();
	fault("the undo of the undo $id: " . join ', ', map { "$_ " . join ' > ', map { $_ // 'nothing' } $before->{$_}, $after->{$_} } grep { !alike($before->{$_}, $after->{$_}) } keys %{ { %$before, %$after } })
		if !same($before, $after);
	push @done, $main->value('SELECT max(tx) FROM seen');
	$count{again}++;
	return;
}

# --- restoring -----------------------------------------------------------------

sub restore_some
{
	my ($instant, $then) = @{ $instants[ rand @instants ] };
	my $before = contents();
	my $answer = $main->try("SELECT * FROM restore_tables($list, '$instant')");
	return fault("restore to $instant: $answer->{error}{C} $answer->{error}{M} " . ($answer->{error}{D} // '')) if $answer->{error};
	my $after = contents();
	fault("restore to $instant: " . join ', ', map { "$_ " . join ' > ', map { $_ // 'nothing' } $then->{$_}, $after->{$_} } grep { !alike($then->{$_}, $after->{$_}) } keys %{ { %$then, %$after } })
		if !same($then, $after);
	my $moved = grep { !alike($before->{$_}, $after->{$_}) } keys %{ { %$before, %$after } };
	fault("restore to $instant: $moved rows changed, and " . @{ $answer->{rows} } . ' were told') if $moved != @{ $answer->{rows} };
	push @done, $main->value('SELECT max(tx) FROM seen');
	$count{restored}++;
	return;
}

sub fault
{
	$faults++;
	diag $_[0] if $faults < 10;
	return;
}
