# Adoption of a database of the older implementation, seen from outside: what it says,
# what a dump shows before and after, and what becomes of it where it fails; by a
# superuser and by the database's owner.
#
# The databases are those of test/pgtap/lib/old_*.sql.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $node = PostgreSQL::Test::Cluster->new('adopt');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 256\n"
	. "client_min_messages = warning\n");
$node->start;
my $dir = $node->backup_dir;
mkdir $dir;
my $lib = "$FindBin::RealBin/../pgtap/lib";
my @first = ("CREATE EXTENSION catmaid_history VERSION 'unpackaged'");
my @steps = (@first, 'ALTER EXTENSION catmaid_history UPDATE');

$node->safe_psql('postgres', 'CREATE ROLE adopt_owner LOGIN');
for my $user ($node->safe_psql('postgres', 'SELECT current_user'), 'adopt_owner')
{
	my $by = $user eq 'adopt_owner' ? 'by the owner' : 'by a superuser';
	undone($user, $by);
	said($user, $by);
	dumped($user, $by);
	beside_writers($user, $by);
}
$node->stop;
done_testing();

# An older database, by the role that owns it.
sub older
{
	my ($db, $user, @more) = @_;
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $db");
	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER $user TEMPLATE template0");
	for my $file ('old_implementation', 'old_database', @more)
	{
		$node->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-U', $user,
				'-d', $db, '-f', "$lib/$file.sql" ], "$db: $file");
	}
	return PgWire->new($node, db => $db, user => $user);
}

# All that pg_dump sees, line by line; of lines in another order it makes nothing.
sub dump_of
{
	my ($db, @options) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-p', $node->port, '-h', $node->host, @options, $db ]);
	is($err, '', "$db: pg_dump") if $err ne '';
	# without the column that adoption adds to histories: NULL in each row from before
	$out =~ s{^(COPY [^\n]*), start_transaction_id(\) FROM stdin;\n)(.*?)^(?=\\\.$)}{ my ($copy, $rest, $rows) = ($1, $2, $3); $copy . $rest . ($rows =~ s/\t\\N$//gmr) }gmse
	  if grep { $_ eq '-a' } @options;
	return join "\n", sort grep { !/^(?:--|\\(?:un)?restrict|$)/ } split /\n/, $out;
}

# Like is(), but shows only where two long texts differ.
sub same
{
	my ($got, $expected, $name) = @_;
	my %count;
	$count{$_}++ for split /\n/, $got;
	$count{$_}-- for split /\n/, $expected;
	is(join("\n", map { ($count{$_} > 0 ? '+ ' : '- ') . $_ } grep { $count{$_} } sort keys %count), '', $name);
	return;
}

# Rolled back, failed, or only begun: all is as before, and the older functions work.
sub undone
{
	my ($user, $by) = @_;
	my $s = older('undone', $user, 'old_damage');
	my $before = dump_of('undone');
	$s->do("BEGIN; $steps[0]; $steps[1]; UPDATE project SET title = 'x'; ROLLBACK");
	same(dump_of('undone'), $before, "$by: rolled back");
	my $answer = $s->try("BEGIN; $steps[0]; $steps[1]; SELECT 1 / 0; COMMIT");
	is($answer->{error}{C}, '22012', "$by: an error in the same transaction");
	$s->do('ROLLBACK');
	same(dump_of('undone'), $before, "$by: after an error");
	$s->do($steps[0]);
	$s->do('SELECT count(*) FROM check_history()');
	$s->do('UPDATE stack_mirror SET image_base = image_base; INSERT INTO project (id, title) VALUES (50, $$p$$)');
	$s->do("UPDATE treenode SET skeleton_id = 8 WHERE id = 4");
	is($s->value('SELECT count(*) FROM treenode__history WHERE id = 4 AND skeleton_id = 2'), 2,
		"$by: begun only: the older triggers record");
	$s->do('DROP EXTENSION catmaid_history');
	is($s->value("SELECT count(*) FROM pg_proc WHERE proname = 'update_history_treenode_reg'"), 1, "$by: and stay");
	$s->close;

	# Broken off in the middle, as by a lock that is not to be had.
	$s = PgWire->new($node, db => 'undone', user => $user);
	my $other = PgWire->new($node, db => 'undone', user => $user);
	$before = dump_of('undone');
	$other->do('BEGIN; LOCK TABLE data_view IN SHARE MODE; LOCK TABLE "message" IN SHARE MODE');
	$s->do("BEGIN; SET LOCAL lock_timeout = 100; $steps[0]");
	$answer = $s->try($steps[1]);
	is($answer->{error}{C}, '55P03', "$by: adoption waits for a reader's lock in vain");
	$s->do('ROLLBACK');
	$other->do('ROLLBACK');
	same(dump_of('undone'), $before, "$by: broken off");
	$_->close for $s, $other;
	return;
}

# One warning for each table whose damage remains, none for the others.
sub said
{
	my ($user, $by) = @_;
	my $s = older('said', $user, 'old_damage');
	$s->do("BEGIN; $steps[0]");
	my $answer = $s->try($steps[1]);
	is($answer->{error} ? $answer->{error}{M} : '', '', "$by: adopted");
	$s->do('COMMIT');
	my @warnings = grep { $_->{S} eq 'WARNING' } @{ $answer->{notices} };
	my %damage = map { @$_ } @{ $s->try(q{SELECT live, string_agg(kind, ', ') FROM site.damage GROUP BY live})->{rows} };
	my %left = map { ($_->[0] => $_->[1]) } @{ $s->try(q{SELECT live_table::text, string_agg(finding, ', ')
		FROM check_history(NULL, false) WHERE finding <> 'paused' AND live_table::text IN (SELECT live FROM site.damage) GROUP BY 1})->{rows} };
	my @all = map { $_->[0] } @{ $s->try('SELECT live_table::text FROM catmaid_history_table')->{rows} };
	for my $table (sort keys %damage)
	{
		my @of = grep { names($_, $table) } @warnings;
		is(scalar @of, $left{$table} ? 1 : 0, "$by: warnings of $table ($damage{$table})")
		  or diag(join "\n", ($left{$table} // 'nothing is left'), map { "$_->{M} / " . ($_->{D} // '') } @of);
	}
	for my $table (grep { !$damage{$_} } @all)
	{
		is(join("\n", map { $_->{M} } grep { names($_, $table) } @warnings), '', "$by: none of $table");
	}
	ok(!(grep { !defined $_->{H} } @warnings), "$by: each with a hint")
	  or diag(join "\n", map { $_->{M} } grep { !defined $_->{H} } @warnings);
	$s->do('SELECT repair_history()');
	is($s->value(q{SELECT string_agg(live_table::text, ' ') FROM check_history() WHERE live_table::text IN
		(SELECT live FROM site.damage WHERE mendable)}) // '', '', "$by: what can be mended is");
	$s->close;
	return;
}

# Does the message itself name the table?
sub names
{
	my ($notice, $table) = @_;
	return $notice->{M} =~ /(?<![\w.])(?:public\.)?"?\Q$table\E"?(?!\w)/;
}

# A dump of an adopted database: tables and log as before, no function; it restores,
# by a superuser and by its owner, and tracking goes on.
sub dumped
{
	my ($user, $by) = @_;
	my $s = older('dumped', $user);
	my @data = ('-a', map { "--exclude-table-data=$_" } 'public.catmaid_history_table', 'public.catmaid_transaction_info', 'catmaid_history_internal.*');
	my $data = dump_of('dumped', @data);
	# the log is dumped by way of another table, then
	my $log = "SELECT string_agg(concat_ws(' ', transaction_id, execution_time, user_id, project_id, change_type, label), ', ' ORDER BY transaction_id, execution_time) FROM catmaid_transaction_info";
	my $entries = $s->value($log);
	$s->do("BEGIN; $steps[0]; $steps[1]; COMMIT");
	same(dump_of('dumped', @data), $data, "$by: the same data as before");
	is($s->value($log), $entries, "$by: the same log as before");
	my $schema = dump_of('dumped', '-s');
	is(join("\n", $schema =~ /^CREATE (?:FUNCTION|TYPE|VIEW|TABLE) public\.(?:\w*history_t|\w*history_tracking|catmaid_|get_history|history_change|update_)\w*.*/mg),
		'', "$by: nothing of the extension is in a dump");
	$s->close;

	# Rights on members: those that a site has given, none that the extension gives.
	my @site = ('GRANT ALL ON FUNCTION public.disable_history_tracking() TO pg_monitor;',
		'GRANT SELECT ON TABLE public.catmaid_history_table TO pg_monitor;',
		'GRANT SELECT ON TABLE public.catmaid_transaction_info TO pg_monitor;',
		'GRANT SELECT,INSERT ON TABLE public.catmaid_transaction_info TO pg_signal_backend;',
		'REVOKE ALL ON FUNCTION public.disable_history_tracking() FROM PUBLIC;');
	# (who is no superuser could not restore them: they are not in its dump)
	@site = () if $user eq 'adopt_owner';
	my $on_member = qr/^(?:GRANT|REVOKE) .* public\.(?:catmaid_|history_change_type|disable_)/;
	same(join("\n", grep { /$on_member/ } split /\n/, $schema), join("\n", @site), "$by: rights on members in a dump");

	my $all = dump_of('dumped');
	my @connect = ('-h', $node->host, '-p', $node->port, '-U', $user);
	for my $way ([ 'plain', '-Fp' ], [ 'custom, two jobs', '-Fc', '-j2' ])
	{
		my ($name, $format, @options) = @$way;
		my $file = "$dir/$user.$format";
		$node->command_ok([ 'pg_dump', @connect, $format, '-f', $file, 'dumped' ], "$by, $name: dump");
		$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
		$node->safe_psql('postgres', "CREATE DATABASE restored OWNER $user TEMPLATE template0");
		my ($out, $err) = run_command($format eq '-Fp'
			? [ 'psql', '-X', '-q', '-o', '/dev/null', @connect, '-d', 'restored', '-f', $file ]
			: [ 'pg_restore', @connect, @options, '-d', 'restored', $file ]);
		is($err, '', "$by, $name: restored without a word");
		same(dump_of('restored'), $all, "$by, $name: all is the same");
		my $r = PgWire->new($node, db => 'restored', user => $user);
		is($r->value('SELECT count(*) FROM catmaid_live_table_triggers WHERE triggers_installed'),
			$r->value('SELECT count(*) - 2 FROM catmaid_history_table'), "$by, $name: tracking is on");
		$r->do('UPDATE location SET location_x = 44; UPDATE project SET title = $$44$$');
		is($r->value('SELECT (SELECT count(*) FROM treenode) || $$ $$ || (SELECT count(*) FROM project)'),
			$r->value(q{SELECT (SELECT count(*) FROM ONLY treenode__history WHERE exec_transaction_id =
				(SELECT max(exec_transaction_id) FROM location__history)) || ' ' || (SELECT count(*) FROM project__history
				WHERE exec_transaction_id = (SELECT max(exec_transaction_id) FROM project__history))}), "$by, $name: writes are recorded");
		$r->close;
	}

	# Over itself.
	my ($out, $err) = run_command([ 'pg_restore', @connect, '-c', '-d', 'dumped', "$dir/$user.-Fc" ]);
	is($err, '', "$by: restored with --clean over itself");
	same(dump_of('dumped'), $all, "$by: which changes nothing");

	# Without the extension its tables are whole.
	$s = PgWire->new($node, db => 'dumped', user => $user);
	$s->do('DROP EXTENSION catmaid_history CASCADE');
	is($s->value('SELECT count(*) FROM treenode__history'), 14, "$by: DROP EXTENSION leaves history");
	$s->do('UPDATE treenode SET skeleton_id = 1; TRUNCATE project CASCADE');
	$s->close;
	return;
}

# Adoption beside sessions that have written before, and while one is writing: it waits,
# and every write is recorded once, by the older implementation or by ours.
sub beside_writers
{
	my ($user, $by) = @_;
	my $s = older('beside', $user);
	my @writers = map { PgWire->new($node, db => 'beside', user => $user, name => "writer $_") } 1 .. 3;
	my @write = ('UPDATE treenode SET skeleton_id = skeleton_id + 1 WHERE id = 4', "UPDATE project SET title = title || '+' WHERE id = 1",
		'UPDATE location SET location_x = location_x + 1 WHERE id = 1');
	# (through the parent the older implementation recorded no child: ONLY)
	$write[2] =~ s/location/ONLY location/;
	my $count = 'SELECT (SELECT count(*) FROM ONLY treenode__history WHERE id = 4) || $$ $$ || (SELECT count(*) FROM project__history
		WHERE id = 1) || $$ $$ || (SELECT count(*) FROM ONLY location__history WHERE id = 1)';
	for my $w (0 .. 2)
	{
		$writers[$w]->do("PREPARE w AS $write[$w]");
		$writers[$w]->do('EXECUTE w') for 1 .. 7;
	}
	my @before = split / /, $s->value($count);

	# One is in the middle of a transaction; adoption waits for it.
	$writers[1]->do('BEGIN');
	$writers[1]->do('EXECUTE w');
	$s->start("BEGIN; $steps[0]; $steps[1]; COMMIT");
	wait_for_lock('beside');
	$writers[1]->do('EXECUTE w');
	$writers[1]->do('COMMIT');
	my $answer = $s->finish;
	is($answer->{error} ? $answer->{error}{M} : '', '', "$by: adopted beside a writer");
	for my $w (0 .. 2)
	{
		$writers[$w]->do('EXECUTE w') for 1 .. 3;
	}
	my @after = split / /, $s->value($count);
	is(join(' ', map { $after[$_] - $before[$_] } 0 .. 2), '3 5 3', "$by: each write is recorded once");
	is($s->value(q{SELECT count(*) FROM pg_proc WHERE proname ~ '^update_history_.*_reg$'}), 0, "$by: by ours");

	$_->close for $s, @writers;
	return;
}

# Until somebody waits for a lock in the database.
sub wait_for_lock
{
	my ($db) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = '$db' AND NOT granted") or die 'nobody waits';
	return;
}
