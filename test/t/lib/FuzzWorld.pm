# The stage for test/t/fuzz_rights.pl: a server with roles that do not trust one another,
# sessions as any of them, a fingerprint of what a role does not own, and the list of
# what went wrong.
#
# Roles: two owners of tables in shared schemas, a reader, a writer (with TRIGGER), the
# owner of a partition, the owner of the database (no superuser), a stranger; and the
# server's superuser, as `super`.

package FuzzWorld;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PgWire;

our @EXPORT = qw(use_database make_schemas world_start world_stop as once must value complain complaints roles pick chance
	fingerprint internal_error note_step steps_since_mark mark log_since_then);

our @ROLES = qw(fuzz_a fuzz_b fuzz_reader fuzz_writer fuzz_part fuzz_db fuzz_stranger);

my $database = 'fuzz';
my ($node, $super, %sessions, @complaints, %complained, @steps);

sub roles { return @ROLES }
sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# A server with the roles, and the extension in the database `fuzz` of fuzz_db's.
sub world_start
{
	$node = PostgreSQL::Test::Cluster->new('fuzz_rights');
	$node->init;
	$node->append_conf('postgresql.conf', join "\n", 'fsync = off', 'autovacuum = off',
		'log_statement = none', 'jit = off', 'max_locks_per_transaction = 512', 'log_min_messages = notice',
		# by which way the canaries' code was reached
		'backtrace_functions = exec_stmt_raise', "deadlock_timeout = 100ms\n");
	$node->start;
	my $sql = PgWire->new($node);
	$super = $sql->value('SELECT current_user');
	$sql->do("CREATE ROLE $_ LOGIN") for @ROLES;
	$sql->do('CREATE DATABASE fuzz OWNER fuzz_db');
	$sql->close;
	# it is trusted: either way
	must(pick('super', 'fuzz_db'), 'CREATE EXTENSION catmaid_history SCHEMA public');
	must('super', 'GRANT CREATE ON SCHEMA public TO PUBLIC') if chance(0.5);
	make_schemas();
	return $node;
}

# A schema for each role, of its name.
sub make_schemas
{
	must('super', "CREATE SCHEMA $_ AUTHORIZATION $_; GRANT USAGE ON SCHEMA $_ TO PUBLIC") for @ROLES;
	return;
}

# The database for all that comes.
sub use_database
{
	($database) = @_;
	$_->close for values %sessions;
	%sessions = ();
	return;
}

sub world_stop
{
	$_->close for values %sessions;
	%sessions = ();
	$node->stop('fast');
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	complain('crash', $_) for $log =~ /^.*(?:PANIC|TRAP: |was terminated by signal|WARNING: .* leak:).*$/mg;
	return;
}

# The session of a role, which stays open; `new` makes another one (for the races).
sub as
{
	my ($role, $new) = @_;
	return PgWire->new($node, db => $database, user => $role eq 'super' ? $super : $role, name => "$role$new") if defined $new;
	return $sessions{$role} //= as($role, '');
}

# Statements in a session of their own: nothing is cached.  The answer of the last one,
# with the notices of all; it stops at the first error.
sub once
{
	my ($role, @statements) = @_;
	my $session = as($role, '');
	my ($answer, @notices);
	for my $sql (@statements)
	{
		$answer = $session->try($sql);
		push @notices, @{ $answer->{notices} };
		last if $answer->{error};
	}
	$session->close;
	$answer->{notices} = \@notices;
	return $answer;
}

# The same, where it has to succeed.
sub must
{
	my ($role, @statements) = @_;
	my $answer = once($role, @statements);
	die "$role: $answer->{error}{M} in @statements" if $answer->{error};
	return $answer;
}

sub value { return as('super')->value($_[0]) }

# What the server has logged since the last call.
my $log_position = 0;
sub log_since_then
{
	open my $fh, '<', $node->logfile or die 'logfile: ' . $node->logfile . ": $!";
	seek $fh, $log_position, 0;
	local $/;
	my $text = <$fh> // '';
	$log_position = tell $fh;
	return $text;
}

# --- what went wrong ----------------------------------------------------------------

# Steps since mark(), for whoever has to repeat them.
sub mark { @steps = (); return }
sub note_step { push @steps, "-- $_[0]\n$_[1];"; return }
sub steps_since_mark { return join "\n", @steps }

# A complaint of a kind is kept once, with the steps that led to it.
sub complain
{
	my ($kind, $what, $with_steps) = @_;
	return if $complained{$kind}++;
	push @complaints, "$kind: $what" . ($with_steps ? "\n" . steps_since_mark() : '');
	return;
}

sub complaints { return @complaints }

# Is the error one that no user should see?
sub internal_error
{
	my ($error) = @_;
	return $error && $error->{C} =~ /^(?:XX|58|42601|42P18|42804|42883|0A001)/ && "$error->{C} $error->{M}";
}

# --- what a role does not own --------------------------------------------------------

# What others' objects look like, as a hash of kind => digest.  Statistics, and what
# PostgreSQL may change on its own, are left out.
sub fingerprint
{
	my ($role, %opt) = @_;
	my $not_his = $role eq 'nobody' ? 'true' : "relowner <> '$role'::regrole";
	$not_his .= " AND ($opt{only})" if $opt{only};
	my $others = "SELECT oid FROM pg_class WHERE $not_his AND relkind IN ('r', 'p', 'v', 'm', 'i', 'S', 'I', 'c', 'f')"
	  . " AND relname !~ '^pg_temp_' AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp|toast_temp)')";
	my %query = (
		class => "SELECT oid, relname, relnamespace, relowner, relacl, relkind, relpersistence, relrowsecurity, relforcerowsecurity,"
		  . " relfilenode, reloptions, relhastriggers, relispartition, relnatts, reltablespace, relreplident FROM pg_class WHERE oid IN ($others)",
		attribute => "SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull, attisdropped, attacl, attinhcount, attislocal, atthasdef FROM pg_attribute WHERE attrelid IN ($others)",
		trigger => "SELECT oid, tgrelid, tgname, tgfoid, tgtype, tgenabled, tgargs, tgqual FROM pg_trigger WHERE tgrelid IN ($others)"
		  . " AND NOT EXISTS (SELECT FROM pg_partition_ancestors(tgrelid) r JOIN pg_class c ON c.oid = r.relid WHERE c.relowner::regrole::text = '$role')",
		policy => "SELECT * FROM pg_policy WHERE polrelid IN ($others)",
		constraint => "SELECT oid, conname, conrelid, contype, conbin FROM pg_constraint WHERE conrelid IN ($others)",
		inherits => "SELECT * FROM pg_inherits WHERE inhrelid IN ($others) OR inhparent IN ($others)",
		rule => "SELECT oid, ev_class, ev_action FROM pg_rewrite WHERE ev_class IN ($others)",
		description => "SELECT * FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid IN ($others)",
		role => 'SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_authid',
		member => 'SELECT * FROM pg_auth_members',
		setting => 'SELECT * FROM pg_db_role_setting',
		namespace => 'SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname !~ \'^pg_(toast_)?temp\'',
		proc => "SELECT oid, proname, proowner, prosrc, proacl, proconfig FROM pg_proc WHERE proowner::regrole::text <> '$role'",
		extension => 'SELECT extname, extowner, extversion FROM pg_extension',
		event => 'SELECT evtname, evtowner, evtenabled FROM pg_event_trigger');
	my @kinds = sort keys %query;
	my $session = $opt{session} // as('super');
	my $row = $session->do('SELECT ' . join ', ', map {
			"(SELECT md5(string_agg(x, '|' ORDER BY x)) FROM (SELECT q::text AS x FROM ($query{$_}) q) s)" } @kinds)->{rows}[0];
	my %print = map { ($kinds[$_] => $row->[$_]) } 0 .. $#kinds;
	my $tables = $session->do("SELECT c.oid::regclass::text, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
		  . " WHERE $not_his AND relkind = 'r' AND nspname !~ '^pg_|^information_schema' ORDER BY 2")->{rows};
	my $union = join ' UNION ALL ', map { "SELECT $_->[1] AS oid, md5(string_agg(t::text, '|' ORDER BY t::text)) AS x FROM ONLY $_->[0] t"
		  # rows of his own tables in the registry and beside it are his affair
		  . ($_->[0] =~ /^(?:catmaid_history_table|catmaid_history_internal\.catmaid_history_(?:pause|retention))$/
			? " WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.live_table AND c.relowner::regrole::text = '$role')" : '') } @$tables;
	my $rows = @$tables ? $session->do($union)->{rows} : [];
	$print{"contents $_->[0]"} = $_->[1] // '' for @$rows;
	return \%print;
}

1;
