# Part of test/t/fuzz_rights.pl: names that change while a command waits.
#
# Two families of the same names in two schemas: a victim's, and another owner's.  Somebody
# holds a lock, so that a command on one of them stops half way; the schemas, or the
# other owner's tables, change their names meanwhile; the lock goes.  What was done must be
# what could have been done one after the other: one family at most has changed, as a
# whole; its parts have one owner and fit; the other one is as it was.

package FuzzRaces;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(time sleep);
use FuzzWorld;

our @EXPORT = qw(races_run races_report);

my ($tried, $blocked, $went, $n) = (0, 0, 0, 0);

my @commands = (
	"ALTER TABLE one.t OWNER TO fuzz_part", "ALTER TABLE one.t RENAME TO u", "ALTER TABLE one.t SET SCHEMA other", "ALTER TABLE one.t ADD COLUMN x int", "ALTER TABLE one.t DROP COLUMN v", "ALTER TABLE one.t RENAME COLUMN v TO w", "ALTER TABLE one.t ALTER v TYPE int USING 1",
	"ALTER TABLE one.t ALTER id TYPE bigint", "ALTER TABLE one.t ALTER v TYPE varchar(100)", "ALTER TABLE one.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n, id)", "ALTER TABLE one.t ENABLE ROW LEVEL SECURITY", "ALTER TABLE one.t INHERIT one.base", "DROP TABLE one.t", "DROP TABLE one.t CASCADE", "TRUNCATE one.t", "ALTER TABLE one.t SET UNLOGGED",
	"SELECT create_history_table('one.none')", "SELECT create_history_table('one.kept')", "SELECT create_history_table('one.base')",
	(map { "SELECT $_" } "drop_history_table('one.t')", "drop_history_table_keep_data('one.t')", "enable_history_tracking_for_table('one.off')", "disable_history_tracking_for_table('one.t')", "reload_history_tracking_for_table('one.t')",
		"repair_history('one.t')", "repair_history('one.broken')", "widen_history_table('one.narrow')", "create_history_view_for_table('one.t')", "drop_history_view_for_table('one.t')", "sync_tracking_table('one.t', 'one.t__tracking')", "truncate_history_table('one.t__history')",
		"initialize_new_history_table('one.broken', 'one.broken__history', 'id')", 'repair_history()', 'enable_history_tracking()', 'reload_history_tracking()', 'drop_all_history_tables()'),
	"UPDATE one.t SET n = n + 1", "DELETE FROM one.t", "DROP OWNED BY fuzz_a", "REASSIGN OWNED BY fuzz_a TO fuzz_part", "DROP SCHEMA one CASCADE");
my @relations = qw(t t__history t__tracking t__with_history off off__history off__tracking none kept kept__history broken broken__history broken__tracking narrow narrow__history base base__history);

# What goes on meanwhile: who, what.
my %moves = (
	'schemas swapped' => [ 'fuzz_db', 'ALTER SCHEMA one RENAME TO three; ALTER SCHEMA two RENAME TO one; ALTER SCHEMA three RENAME TO two' ],
	'schema renamed' => [ 'fuzz_db', 'ALTER SCHEMA one RENAME TO three' ],
	'histories swapped' => [ 'fuzz_b', 'SET catmaid_history.follow_ddl = off; ALTER TABLE two.t__history RENAME TO x; ALTER TABLE two.t__tracking RENAME TO t__history; ALTER TABLE two.x RENAME TO t__tracking' ],
	'others come in' => [ 'fuzz_b', 'SET catmaid_history.follow_ddl = off; ALTER TABLE two.t__history RENAME TO u__history; ALTER TABLE two.t__tracking RENAME TO u__tracking; ALTER TABLE two.u__history SET SCHEMA one; ALTER TABLE two.u__tracking SET SCHEMA one' ],
	'names taken' => [ 'fuzz_b', 'CREATE TABLE one.none__history (id int, v text, n int, sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL); CREATE VIEW one.none__with_history AS SELECT 1 AS id; CREATE TABLE one.u__history (id int)' ],
	'a view' => [ 'fuzz_b', 'CREATE VIEW one.u__with_history AS SELECT *, NULL::tstzrange AS sys_period, NULL::bigint AS exec_transaction_id FROM two.t; CREATE VIEW two.v AS SELECT * FROM two.t__with_history' ]);

sub races_run
{
	@commands = grep { /$ENV{FUZZ_RACE}/ } @commands if $ENV{FUZZ_RACE};
	my ($seconds) = @_;
	my $until = time() + $seconds;
	do { one_race() } while time() < $until;
	return;
}

sub step
{
	my ($role, @sql) = @_;
	note_step($role, join ";\n", @sql);
	return once($role, @sql);
}

sub setup
{
	my %need = map { ($_ => 1) } 't', @_;
	my @needed = sort keys %need;
	once('super', 'SET client_min_messages = error; SET catmaid_history.follow_ddl = off', "DROP SCHEMA IF EXISTS $_ CASCADE") for qw(one two three other);
	as('super')->do('DELETE FROM catmaid_history_table');
	mark();
	step('super', map { "CREATE SCHEMA $_ AUTHORIZATION fuzz_db; GRANT ALL ON SCHEMA $_ TO PUBLIC" } qw(one two other));
	for (['fuzz_a', 'one'], ['fuzz_b', 'two'])
	{
		my ($role, $s) = @$_;
		my $answer = step($role, "SET search_path = $s, public", (map { "CREATE TABLE $_ (id int PRIMARY KEY, v text, n int)" } grep { $_ ne 'narrow' } @needed), $need{narrow} ? 'CREATE TABLE narrow (id int PRIMARY KEY, v varchar(10), n int)' : (),
			(map { "SELECT create_history_table('$_')" } grep { $_ !~ /none|base/ } @needed), (map { "INSERT INTO $_ VALUES (1, '$role', 1), (2, '$role', 2); UPDATE $_ SET n = n + 1" } @needed),
			$need{off} ? "SELECT disable_history_tracking_for_table('off')" : (), $need{kept} ? "SELECT drop_history_table_keep_data('kept')" : (), 'SET catmaid_history.follow_ddl = off',
			$need{broken} ? "ALTER TABLE broken__tracking ALTER txid DROP NOT NULL; DO \$\$BEGIN EXECUTE (SELECT 'DROP INDEX ' || min(indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'broken__history'::regclass); END\$\$; ALTER TABLE broken__history DROP COLUMN n CASCADE" : (),
			$need{narrow} ? ('DROP VIEW narrow__with_history', 'ALTER TABLE narrow ALTER v TYPE varchar(20)') : (), "GRANT SELECT ON ALL TABLES IN SCHEMA $s TO fuzz_reader");
		die "setup: $answer->{error}{M}" if $answer->{error};
	}
	return;
}

sub one_race
{
	$n++;
	my $command = chance(0.5) ? pick(@commands[ 0 .. ($#commands < 15 ? $#commands : 15) ]) : pick(@commands);
	my $move = chance(0.5) ? 'schemas swapped' : pick(sort keys %moves);
	my ($mover, $sql) = @{ $moves{$move} };
	my $victim = $command =~ /OWNER TO|OWNED|SCHEMA one|\(\)/ || chance(0.5) ? 'super' : 'fuzz_a';
	my $target = pick(grep { my $name = $_ =~ s/__.*//r; $command =~ /\b$name\b/ || $command =~ /\(\)|OWNED|SCHEMA one/ } @relations) // 't';
	setup($command =~ /\b(off|none|kept|broken|narrow|base)\b/g);
	my %oids = map { ($_ => [ map { $_->[0] } @{ as('super')->do("SELECT oid FROM pg_class WHERE relnamespace = '$_'::regnamespace AND relkind IN ('r', 'v')")->{rows} } ]) } qw(one two);
	my %before = map { ($_ => digest($oids{$_}, $move)) } qw(one two);
	my ($holder, $session) = (as('fuzz_reader', 'holder'), as($victim, 'victim'));
	note_step('fuzz_reader, in a session that stays', "BEGIN; LOCK TABLE one.$target IN ACCESS SHARE MODE");
	$holder->do('BEGIN');
	$holder->try("LOCK TABLE one.$target IN ACCESS SHARE MODE");
	$session->do("SET lock_timeout = '5s'; SET client_min_messages = error; SET catmaid_history.on_drop_table = " . pick('drop', 'keep'));
	note_step("$victim, does not wait for its end", $command);
	$session->start($command);
	my $waits = 0;
	until ($session->ready(0.002))
	{
		last if $waits = value("SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $session->{pid} AND NOT granted)") eq 't';
	}
	$tried++;
	$blocked++ if $waits;
	my $moved = step($mover, "SET lock_timeout = '100ms'", $sql);
	note_step('fuzz_reader, in a session that stays', 'COMMIT');
	$holder->do('COMMIT');
	my $answer = $session->finish;
	$went++ if !$answer->{error};
	$_->close for $holder, $session;
	my $what = "$command by $victim while $move" . ($moved->{error} ? ' was tried' : '');
	my $error = internal_error($answer->{error});
	complain("internal error: $what: " . ($error =~ s/\d+/N/gr), $answer->{error}{W} // '', 1) if $error && $error =~ /^XX/ && $error !~ /tuple concurrently|deadlock/;

	my %after = map { ($_ => digest($oids{$_}, $move)) } qw(one two);
	my %changed = map { my $s = $_; ($s => [ grep { ($before{$s}{$_} // '') ne ($after{$s}{$_} // '') } sort keys %{ { %{ $before{$s} }, %{ $after{$s} } } } ]) } qw(one two);
	# of the victim's own command
	if (@{ $changed{two} } && ($victim eq 'fuzz_a' || @{ $changed{one} } || $answer->{error}) && !($victim eq 'super' && $command =~ /\(\)/))
	{
		complain("another's changed: $what", join(' ', @{ $changed{two} }) . ($answer->{error} ? " $answer->{error}{M}" : ''), 1);
	}
	if ($answer->{error} && @{ $changed{one} }) { complain("changed by a command that failed: $what", join(' ', @{ $changed{one} }), 1) }
	for my $row (@{ as('super')->do(<<'SQL')->{rows} })
SELECT CASE WHEN l.relowner <> d.relowner THEN 'owners' ELSE 'schemas' END, l.oid::regclass, l.relowner::regrole, l.relnamespace::regnamespace, d.oid::regclass, d.relowner::regrole, d.relnamespace::regnamespace
  FROM catmaid_history_table h JOIN pg_class l ON l.oid = h.live_table, LATERAL (VALUES (h.history_table), (h.tracking_table)) x(o) JOIN pg_class d ON d.oid = x.o
 WHERE l.relowner <> d.relowner OR l.relnamespace <> d.relnamespace
SQL
	{
		complain((shift @$row) . " differ: $what", join(' ', @$row) . ($answer->{error} ? " after $answer->{error}{M}" : ''), 1) unless $move eq 'others come in';
	}
	return;
}

# Of each relation by OID all but its name and schema: `oid name` => digest.
sub digest
{
	my ($oids, $move) = @_;
	my $in = join ',', @$oids;
	my %digest;
	# the others' own commands change these
	my $names = $move eq 'others come in' ? '' : 'relnamespace,';
	my $rows = as('super')->do(<<"SQL")->{rows};
SELECT c.oid, c.oid::regclass, relkind, concat_ws('|', $names relowner, relacl, relpersistence, relrowsecurity, (SELECT string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod, attnotnull, attisdropped), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
	(SELECT string_agg(concat(tgname, tgenabled, tgargs), ',' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid), (SELECT count(*) FROM pg_index WHERE indrelid = c.oid))
  FROM pg_class c WHERE c.oid IN ($in)
SQL
	for my $row (@$rows)
	{
		my ($oid, $name, $kind, $digest) = @$row;
		$digest .= value("SELECT string_agg(t::text, ',' ORDER BY t::text) FROM ONLY $name t") // '' if $kind eq 'r';
		$digest{"$oid " . ($name =~ s/^\w+\.//r)} = $digest;
	}
	return { map { my ($oid) = split / /; ($oid => $digest{$_}) } keys %digest };
}

sub races_report { return "$tried races, $blocked stopped half way, $went commands went" }

1;
