# Segments on other servers: moved there and back, read, followed, erased; what a crash at any
# step leaves; a server that is away. Compared with a history that was never moved.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $home = PostgreSQL::Test::Cluster->new('home');
$home->init;
$home->append_conf('postgresql.conf', "autovacuum = off\n");
$home->start;
if ($home->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0')
{
	$home->stop;
	plan skip_all => 'postgres_fdw is not installed';
}
my %far = map { ($_ => PostgreSQL::Test::Cluster->new($_)) } qw(one two);
for my $far (values %far)
{
	$far->init;
	$far->append_conf('postgresql.conf', "autovacuum = off\n");
	$far->start;
}

$home->safe_psql('postgres', 'CREATE EXTENSION catmaid_history; CREATE EXTENSION postgres_fdw');
my $script = $home->safe_psql('postgres', 'SELECT history_server_script()');
for my $name (sort keys %far)
{
	$far{$name}->safe_psql('postgres', 'CREATE DATABASE archive');
	my $host = $far{$name}->host;
	my $port = $far{$name}->port;
	$home->safe_psql('postgres', "CREATE SERVER $name FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'archive');
		CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (password_required 'false')");
}

sub home { return $home->safe_psql('postgres', $_[0]) }
sub far { return $far{$_[0]}->safe_psql('archive', $_[1]) }
sub fails { my ($rc, $out, $err) = $home->psql('postgres', $_[0]); return $rc ? $err : 'no error' }

home(<<'SQL');
CREATE TABLE person (id int PRIMARY KEY, name text, born date, tags text[], big bytea, worth float8);
SELECT create_history_table('person');
INSERT INTO person SELECT i, 'name ' || i, date '1800-01-01' + i, ARRAY['a"b', NULL, i::text], decode(md5(i::text), 'hex'), i / 7.0 FROM generate_series(1, 200) i;
UPDATE person SET name = upper(name);
SELECT rotate_history('person');
UPDATE person SET name = 'second ' || id, worth = 'NaN' WHERE id % 2 = 0;
DELETE FROM person WHERE id = 7;
SELECT rotate_history('person');
UPDATE person SET name = name || '.' WHERE id < 50;
SELECT rotate_history('person');
UPDATE person SET name = 'now' WHERE id = 1;
ALTER TABLE person__history_1 VALIDATE CONSTRAINT catmaid_history_segment;
ALTER TABLE person__history_2 VALIDATE CONSTRAINT catmaid_history_segment;
ALTER TABLE person__history_3 VALIDATE CONSTRAINT catmaid_history_segment;
CREATE TABLE never_moved AS SELECT * FROM person__history;
CREATE TABLE view_before AS SELECT * FROM person__with_history;
SQL

my $far_tables = q{SELECT count(*) FROM pg_class WHERE relnamespace = 'catmaid_history_segments'::regnamespace AND relkind = 'r'};
my $differs = q{SELECT count(*) FROM ((TABLE never_moved EXCEPT ALL SELECT * FROM person__history) UNION ALL (SELECT * FROM person__history EXCEPT ALL TABLE never_moved)) d};

like(fails('CALL move_history_segment(\'person__history_1\', \'one\')'), qr/server "one" is not ready for segments.*history_server_script/s, 'a server that is not ready: a hint');
far($_, $script) for sort keys %far;
is(home(q{CALL move_history_segment('person__history_1', 'one')}), '', 'a segment goes to a server');
is(home(q{SELECT relkind FROM pg_class WHERE oid = 'person__history_1'::regclass}), 'f', 'it is a foreign table');
is(home($differs), '0', 'all versions are there, once');
is(home(q{SELECT string_agg(segment || ' ' || verified || ' ' || coalesce(server::text, 'here'), ', ' ORDER BY ended_by) FROM catmaid_history_segments}),
	'person__history_1 true one, person__history_2 true here, person__history_3 true here', 'catmaid_history_segments tells where');
home(q{CALL move_history_segment('person__history_2', 'two')});
home(q{CALL move_history_segment('person__history_3', 'one')});
is(home($differs), '0', 'three of them, on two servers');
is(home('SELECT * FROM check_history()'), '', 'check_history finds nothing');
home(q{CALL move_history_segment('person__history_2', NULL)});
is(home($differs), '0', 'and back');
is(far('two', $far_tables), '0', 'nothing is left there');
is(home(q{SELECT count(*) FROM pg_class WHERE relkind = 'f'}), '2', 'nor here');
home(q{CALL move_history_segment('person__history_2', 'two')});
home(q{CALL move_history_segment('person__history_2', 'one')});
is(home($differs), '0', 'from one server to another');
is(far('two', $far_tables), '0', 'nothing is left where it was');
home(q{CALL move_history_segment('person__history_2', 'two')});

reading();
following();
crashing();
away();
erasing();
keeping();
restored();
refused();
hostile();
$_->stop for $home, values %far;
done_testing();

# What is asked for is asked for there, of several servers at the same time; and not asked for where
# no version can be.
sub reading
{
	my $plan = home(q{EXPLAIN (VERBOSE, COSTS off) SELECT * FROM person__history WHERE id = 3 AND sys_period @> timestamptz '2020-01-01'});
	like($plan, qr/Remote SQL: SELECT .* WHERE .*sys_period @> '2020-01-01/, 'the time is pushed down');
	like($plan, qr/Remote SQL: SELECT .* WHERE .*id = 3/, 'and the key');
	SKIP:
	{
		skip 'no asynchronous scans before PostgreSQL 14', 1 if $home->pg_version < 14;
		is(() = $plan =~ /Async Foreign Scan/g, 3, 'all are scanned at the same time');
	}
	unlike(home(q{EXPLAIN SELECT * FROM person__with_history WHERE sys_period @> timestamptz '2100-01-01'}), qr/Foreign/, 'planned without them for a later time');
	home(q{SET plan_cache_mode = force_generic_plan; PREPARE p (timestamptz) AS SELECT count(*) FROM person__with_history WHERE sys_period @> $1}) for 1;
	my $generic = home(q{SET plan_cache_mode = force_generic_plan; PREPARE p (timestamptz) AS SELECT count(*) FROM person__with_history WHERE sys_period @> $1; EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) EXECUTE p('2100-01-01')});
	is(() = $generic =~ /Foreign Scan on person__history_\d.*never executed/g, 3, 'and not executed for a parameter');
	my $now = home(q{EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT count(*) FROM person__with_history WHERE sys_period @> now()});
	is(() = $now =~ /Foreign Scan on person__history_\d.*never executed/g, 3, 'nor for now()');
	is(home(q{SELECT count(*) FROM (TABLE view_before EXCEPT ALL SELECT * FROM person__with_history) d}), '0', 'the view shows all');
	is(home(q{SELECT count(*) FROM history_changes(ARRAY['person'::regclass], key => '{"id": 2}')}), '4', 'history_changes');
	is(home(q{SELECT count(*) FROM history_diff(NULL::person, '-infinity', 'infinity')}), home('SELECT count(*) FROM person'), 'history_diff');
	my $then = home(q{SELECT max(lower(sys_period)) FROM person__history_2});
	is(home("SELECT read_as_of('$then'); SELECT count(*), md5(string_agg(p::text, ' ' ORDER BY id)) FROM person p"),
		home("SELECT '$then'::timestamptz; SELECT count(*), md5(string_agg(ROW(id, name, born, tags, big, worth)::text, ' ' ORDER BY id)) FROM (SELECT * FROM view_before WHERE sys_period @> timestamptz '$then') v"),
		'the time machine');
	return;
}

# DDL on the live table.
sub following
{
	home('CREATE TYPE mood AS ENUM (\'sad\', \'glad\')');
	home('ALTER TABLE person ADD COLUMN town text, ADD COLUMN feels mood, ADD COLUMN n int, DROP COLUMN big');
	is(home('SELECT count(*), count(town), count(feels), count(n) FROM person__history'), home('SELECT count(*) FROM never_moved') . '|0|0|0', 'columns that were added are NULL there');
	is(home(q{SELECT count(*) FROM person__history WHERE n = 3 OR town > 'a' OR feels = 'sad' OR (n IS NOT NULL)}), '0', 'also in conditions');
	home('UPDATE person SET town = \'x\', feels = \'sad\', n = 1; ALTER TABLE person RENAME COLUMN name TO called; ALTER TABLE person RENAME TO people; CREATE SCHEMA other; ALTER TABLE people SET SCHEMA other');
	is(home(q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'f' AND relnamespace = 'other'::regnamespace}),
		'people__history_1 people__history_2 people__history_3', 'they follow RENAME and SET SCHEMA');
	is(home(q{SELECT count(*) FROM (SELECT id, name, born, tags, worth, sys_period FROM never_moved EXCEPT ALL SELECT id, called, born, tags, worth, sys_period FROM other.people__history) d}), '0', 'and are read');
	home('ALTER TABLE other.people ALTER COLUMN n TYPE bigint, ALTER COLUMN called TYPE varchar; ALTER TABLE other.people ALTER COLUMN id TYPE bigint');
	is(home(q{SELECT count(*) FROM other.people__history WHERE id = 2::bigint + 8000000000 - 8000000000 AND called LIKE '%2' AND n IS NULL}), '3', 'types that change in place');
	is(far('one', q{SELECT count(*) FROM information_schema.columns WHERE table_schema = 'catmaid_history_segments' AND column_name = 'id' AND data_type = 'bigint'}), '2', 'change there, too');
	home(q{ALTER TABLE other.people ALTER COLUMN born TYPE int USING extract(year FROM born)});
	is(home(q{SELECT count(*) FROM (SELECT id, born FROM never_moved EXCEPT ALL SELECT id, born_1 FROM other.people__history) d}), '0', 'originals are kept');
	is(home(q{SELECT count(born) FROM other.people__history_1}), '0', 'values are not converted there');
	home(q{ALTER TABLE other.people DROP COLUMN town; ALTER TABLE other.people ADD COLUMN town int});
	is(home('SELECT count(town) FROM other.people__history'), '0', 'dropped, and added again');
	home(q{UPDATE other.people SET town = id; SELECT rotate_history('other.people'); ALTER TABLE other.people__history_4 VALIDATE CONSTRAINT catmaid_history_segment; CALL move_history_segment('other.people__history_4', 'two')});
	is(home('SELECT count(*), count(feels) FROM other.people__history WHERE feels = \'sad\''), '199|199', 'a type of this database\'s is text there');
	home(q{CALL move_history_segment('other.people__history_1'); CALL move_history_segment('other.people__history_1', 'one')});
	is(home(q{SELECT count(*) FROM (SELECT id, name, tags, worth, sys_period FROM never_moved EXCEPT ALL SELECT id, called, tags, worth, sys_period FROM other.people__history) d}), '0', 'moved back and there again, with the columns of today');
	home(q{ALTER TABLE other.people SET SCHEMA public; ALTER TABLE people RENAME TO person; ALTER TABLE person RENAME COLUMN called TO name});
	is(home('SELECT * FROM check_history()'), '', 'check_history finds nothing');
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT * FROM person__history');
	return;
}

# A server ends while it, or the other one, is at some step. The other side is made to wait in the
# statement of the step, for a lock that a session has.
sub crashing
{
	home('SELECT rotate_history(\'person\'); ALTER TABLE person__history_5 VALIDATE CONSTRAINT catmaid_history_segment') for 1;
	home('UPDATE person SET n = 2 WHERE id < 20; SELECT rotate_history(\'person\'); ALTER TABLE person__history_6 VALIDATE CONSTRAINT catmaid_history_segment');
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT * FROM person__history');
	far('one', <<'SQL');
CREATE TABLE public.wait_at (pattern text);
ALTER FUNCTION catmaid_history_segments.command() RENAME TO command_at_once;
CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF EXISTS (SELECT FROM public.wait_at WHERE NEW.statement ~ pattern) THEN PERFORM pg_advisory_lock(7); END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER aaa INSTEAD OF INSERT ON catmaid_history_segments.command FOR EACH ROW EXECUTE FUNCTION public.wait();
SQL
	my $there = q{CALL move_history_segment('person__history_6', 'one')};
	my $back = q{CALL move_history_segment('person__history_6')};
	for my $who (qw(home one))
	{
		crash_at($who, 'set_config', 'before anything is there', $there);
		crash_at($who, 'CREATE INDEX', 'while it is filled', $there);
		crash_at($who, 'md5', 'while contents are compared', $there);
		home($there);
		crash_at($who, '^DROP TABLE', 'while what it came back from is removed', $back, 'is in this database already');
	}

	# What is there may have been committed when what is here was not: there is a copy, full or not, or none any more.
	my $holds = PgWire->new($home, name => 'holds');
	$holds->do('BEGIN; SELECT count(*) FROM person__history_1');
	my $mover = PgWire->new($home, name => 'mover');
	$mover->start($there);
	ok($home->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted}),
		'it waits for transactions that were going on when the copy was made');
	is($holds->value("SELECT count(*) FROM ($differs) d (c) WHERE c = 0"), '1', 'which see all versions');
	kill9($home);
	start($home);
	is(home($differs), '0', 'after a crash then all versions are there');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'person__history_6%copy' AND relkind = 'f'}), '1', 'there is a copy');
	far('one', (far('one', q{SELECT format('DROP TABLE %s', oid::regclass) FROM pg_class WHERE relname LIKE 'person__history_6%'} . ' AND relkind = \'r\'')));
	home('CALL maintain_history()');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'person%copy'}), '0', 'which maintain_history removes, though it is gone there');
	$holds = PgWire->new($home, name => 'holds');
	$holds->do('BEGIN; SELECT count(*) FROM person__history_1');
	$mover = PgWire->new($home, name => 'mover');
	$mover->start($there);
	$home->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted});
	like(fails(q{CALL move_history_segment('person__history_5', 'two')}), qr/another session moves segments/, 'one session at a time moves segments of a table');
	home(q{SELECT erase_history('person', '{"id": 3}', 'test')});
	$holds->do('COMMIT');
	like($mover->finish->{error}{M}, qr/the copy of segment "person__history_6" differs from it/, 'what is changed meanwhile is found');
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT * FROM person__history');
	home($there);
	is(home($differs), '0', 'and it is moved the next time');
	is(home('SELECT * FROM check_history()'), '', 'check_history finds nothing');
	$_->close for $holds, $mover;
	far('one', 'DROP TRIGGER aaa ON catmaid_history_segments.command');
	return;
}

sub crash_at
{
	my ($who, $pattern, $what, $call, $already) = @_;
	my $name = "$what, " . ($who eq 'home' ? 'here' : 'there');

	far('one', "TRUNCATE public.wait_at; INSERT INTO public.wait_at VALUES (\$p\$$pattern\$p\$)");
	my $lock = PgWire->new($far{one}, db => 'archive', name => 'lock');
	$lock->do('SELECT pg_advisory_lock(7)');
	my $mover = PgWire->new($home, name => 'mover');
	$mover->start($call);
	$far{one}->poll_query_until('archive', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
		or die "nobody waits at $pattern";
	my $node = $who eq 'home' ? $home : $far{one};
	kill9($node);
	start($node);
	eval { $lock->close };
	eval { $mover->close };
	far('one', 'TRUNCATE public.wait_at');
	is(home($differs), '0', "a crash $name: all versions are there, once");
	my ($rc, $out, $err) = $home->psql('postgres', $call);
	is($rc, 0, 'called again');
	like($err, qr/$already/, 'there is nothing to be moved') if $already;
	is(home($differs), '0', 'all versions are there');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'person%copy%'}), '0', 'nothing is left here');
	is(far('one', $far_tables), home(q{SELECT count(*) FROM catmaid_history_segments WHERE server = 'one'}), 'nor there');
	home(q{CALL move_history_segment('person__history_6')});
	return;
}

sub kill9
{
	my ($node) = @_;
	$node->kill9;
	return;
}

# The other processes of the server that was killed end a moment later.
sub start
{
	my ($node) = @_;
	for (1 .. 100)
	{
		return if $node->start(fail_ok => 1);
		$node->{_pid} = undef;
		select undef, undef, undef, 0.1;
	}
	die 'the server does not start again';
}

# Without a server all goes on but what it has.
sub away
{
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT tableoid::regclass::text AS stored_in, * FROM person__history');
	$far{two}->stop;
	like(fails('SELECT count(*) FROM person__history'), qr/could not connect to server "two"/, 'a server that is away: an error that names it');
	is(home(q{SELECT count(*) FROM person__with_history WHERE sys_period @> timestamptz '2100-01-01'}), '199', 'queries that do not need it go on');
	is(home(q{UPDATE person SET n = 3 WHERE id = 5; ALTER TABLE person ADD COLUMN added int; ALTER TABLE person RENAME COLUMN added TO more; ALTER TABLE person DROP COLUMN more; SELECT rotate_history('person'); SELECT count(*) FROM ONLY person__history}) =~ /0$/, 1,
		'writes, DDL and rotation go on');
	like(fails(q{ALTER TABLE person ALTER COLUMN id TYPE numeric}), qr/could not connect to server "two"/, 'not a change of a type that must be changed there');
	like(fails(q{SELECT erase_history('person', '{"id": 2}', 'test')}), qr/could not connect to server "two"/, 'nor an erasure');
	like(fails(q{CALL move_history_segment('person__history_2')}), qr/could not connect to server "two"/, 'nor moving');
	my $session = PgWire->new($home, name => 'leaves out');
	my @notices;
	my $elsewhere = home(q{SELECT count(*) FROM never_moved v WHERE NOT EXISTS (SELECT FROM catmaid_history_segments s WHERE s.server = 'two' AND v.stored_in = s.segment::text)});
	$session->do(q{LOAD 'catmaid_history'; SET catmaid_history.unreachable_segments = warning; PREPARE p AS SELECT count(*) FROM person__history; SET plan_cache_mode = force_generic_plan});
	my $answer = $session->try('EXECUTE p');
	is($answer->{rows}[0][0], $elsewhere + 1, 'left out');
	is(join(' ', sort map { $_->{M} } @{ $answer->{notices} }), 'segment "person__history_2" is left out segment "person__history_4" is left out', 'with a WARNING');
	like($session->try('SELECT * FROM undo_transactions(ARRAY[1])')->{error}{M}, qr/could not connect to server "two"/, 'not when something is undone');
	like($session->try(q{SET catmaid_history.as_of = '2026-01-01'; SET catmaid_history.as_of_incomplete = warning; SELECT count(*) FROM person})->{error}{M}, qr/could not connect to server "two"/, 'nor in the time machine');
	like($session->value(q{RESET catmaid_history.as_of; SELECT finding || ': ' || detail FROM check_history()}), qr/^not_checkable: .*could not connect to server "two"/, 'nor by check_history');
	$far{two}->start;
	is($session->value('EXECUTE p'), home('SELECT count(*) FROM person__history'), 'they are read again as soon as the server is back, whatever was planned');
	$session->close;
	home('ALTER TABLE never_moved DROP COLUMN stored_in');
	is(home($differs), '1', 'nothing has happened to the rest');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'person%copy%' AND relkind = 'r'}), '1', 'what was begun');
	home(q{CALL move_history_segment('person__history_2'); CALL move_history_segment('person__history_2', 'two')});
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'person%copy%'}), '0', 'is removed by the next move');
	return;
}

sub erasing
{
	my $all = home('SELECT count(*) FROM person__history WHERE id = 2');
	home('DELETE FROM person WHERE id = 2');
	is(home(q{SELECT erase_history('person', '{"id": 2}', 'by letter')}), $all + 1, 'versions are erased everywhere');
	is(home('SELECT count(*) FROM person__history WHERE id = 2'), '0', 'none is left');
	is(home(q{SELECT versions, reason FROM catmaid_history_erasures ORDER BY erased_at DESC LIMIT 1}), ($all + 1) . '|by letter', 'and there is an entry');
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT * FROM person__history');
	return;
}

# A dump knows the foreign tables; what it was restored to does not take away what the other database needs.
sub restored
{
	my $dump = $home->basedir . '/dump';
	$home->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $home->connstr('postgres') ], 'a dump');
	$home->safe_psql('postgres', 'CREATE DATABASE restored');
	$home->command_ok([ 'pg_restore', '-d', $home->connstr('restored'), $dump ], 'is restored');
	is($home->safe_psql('restored', $differs), '0', 'with all versions');
	is($home->safe_psql('restored', 'SELECT * FROM check_history()'), '', 'check_history finds nothing');
	my ($rc, $out, $err) = $home->psql('restored', q{SELECT erase_history('person', '{"id": 9}', 'test')});
	like($err, qr/may be another database's, too.*claim_history_segment\('public.person__history_1'::regclass\)/s, 'it erases nothing there');
	($rc, $out, $err) = $home->psql('restored', q{CALL move_history_segment('person__history_1')});
	like($err, qr/stays there/, 'a segment that it takes back stays there');
	is($home->safe_psql('restored', $differs), '0', 'with all versions');
	is(home($differs), '0', 'as those of the first database');
	my $host = $far{two}->host;
	$home->safe_psql('restored', q{SELECT claim_history_segment('person__history_2'); SELECT claim_history_segment(segment) FROM catmaid_history_segments WHERE server IS NOT NULL});
	is($home->safe_psql('restored', q{SELECT erase_history('person', '{"id": 9}', 'test') > 0}), 't', 'unless it is told to');
	home(q{SELECT claim_history_segment(segment) FROM catmaid_history_segments WHERE server IS NOT NULL});
	home('DROP DATABASE restored');
	home('DROP TABLE never_moved; CREATE TABLE never_moved AS SELECT * FROM person__history');
	return;
}

# What is older than it is kept goes on both sides, when both are there; what is truncated or dropped is told.
sub keeping
{
	home(q{CREATE TABLE doc (id int PRIMARY KEY, v text); SELECT create_history_table('doc'); INSERT INTO doc VALUES (1, 'a'); UPDATE doc SET v = 'b'; SELECT rotate_history('doc');
		ALTER TABLE doc__history_1 VALIDATE CONSTRAINT catmaid_history_segment; CALL move_history_segment('doc__history_1', 'two')});
	my $other = far('two', $far_tables) - 1;
	$far{two}->stop;
	my ($rc, $out, $err) = $home->psql('postgres', q{SELECT set_history_retention('doc', '1 microsecond', '1 year'); CALL maintain_history()});
	like($err, qr/copy "doc__history_1_copy" of a segment could not be removed: could not connect to server "two"/, 'what has expired on a server that is away');
	is(home('SELECT count(*) FROM doc__history'), '0', 'is gone from the history');
	$far{two}->start;
	home('CALL maintain_history()');
	is(far('two', $far_tables), $other, 'and from the server when that is back');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'doc%copy'}), '0', 'nothing is left here');
	home(q{SELECT set_history_retention('doc', NULL)});

	home(q{UPDATE doc SET v = 'c'; SELECT rotate_history('doc'); ALTER TABLE doc__history_1 VALIDATE CONSTRAINT catmaid_history_segment; CALL move_history_segment('doc__history_1', 'two'); SELECT truncate_history_table('doc__history')});
	is(home('SELECT count(*) FROM doc__history'), '0', 'truncated');
	home('CALL maintain_history()');
	is(far('two', $far_tables), $other, 'on both sides');
	home(q{UPDATE doc SET v = 'd'; SELECT rotate_history('doc'); ALTER TABLE doc__history_1 VALIDATE CONSTRAINT catmaid_history_segment; CALL move_history_segment('doc__history_1', 'two')});
	($rc, $out, $err) = $home->psql('postgres', 'DROP TABLE doc');
	like($err, qr/table catmaid_history_segments.doc__history_1_\w+ on server "two" stays there/, 'what stays when the table is dropped is told');
	is(home(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'doc%'}), '0', 'nothing stays here');
	return;
}

sub refused
{
	home(q{SELECT rotate_history('person')});
	my ($last) = home(q{SELECT segment FROM catmaid_history_segments ORDER BY ended_by DESC LIMIT 1});
	like(fails("CALL move_history_segment('$last', 'one')"), qr/segment "$last" has not been verified.*ALTER TABLE public.$last VALIDATE CONSTRAINT/s, 'not verified');
	home("ALTER TABLE $last VALIDATE CONSTRAINT catmaid_history_segment");
	like(fails("BEGIN; CALL move_history_segment('$last', 'one')"), qr/cannot be moved inside a transaction block/, 'in a transaction block');
	like(fails("SET default_transaction_isolation = 'repeatable read'; CALL move_history_segment('$last', 'one')"), qr/in isolation level READ COMMITTED/, 'in another isolation level');
	like(fails("CALL move_history_segment('person__history', 'one')"), qr/"person__history" is not a segment of a history/, 'no segment');
	like(fails("CALL move_history_segment('$last', 'nowhere')"), qr/server "nowhere" does not exist/, 'no server');
	home('CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw');
	like(fails("CALL move_history_segment('$last', 'files')"), qr/server "files" is none of postgres_fdw/, 'of another foreign-data wrapper');
	home('CREATE ROLE other');
	like(fails("SET ROLE other; CALL move_history_segment('$last', 'one')"), qr/must be owner of table person/, 'who is not the owner');
	home('CREATE ROLE owner LOGIN; CREATE SCHEMA mine AUTHORIZATION owner; CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA mine TO reader');
	home(q{SET ROLE owner; CREATE TABLE mine.doc (id int PRIMARY KEY, v text, price money); SELECT create_history_table('mine.doc'); INSERT INTO mine.doc VALUES (1, 'a', 1), (2, 'b', 2); UPDATE mine.doc SET v = 'c'; SELECT rotate_history('mine.doc');
		ALTER TABLE mine.doc__history_1 VALIDATE CONSTRAINT catmaid_history_segment});
	like(fails(q{CALL move_history_segment('mine.doc__history_1', 'one')}), qr/permission denied for foreign server one.*GRANT USAGE ON FOREIGN SERVER one TO owner/s, 'the owner may not use the server, though the caller may');
	home('GRANT USAGE ON FOREIGN SERVER one TO owner');
	like(fails(q{CALL move_history_segment('mine.doc__history_1', 'one')}), qr/with column "price" of type money cannot go to another server/, 'a type that is not the same elsewhere');
	home('ALTER TABLE mine.doc DROP COLUMN price; ALTER TABLE mine.doc ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; GRANT SELECT ON mine.doc TO reader');
	$home->safe_psql('postgres', q{CALL move_history_segment('mine.doc__history_1', 'one')}, extra_params => [ '-U', 'owner' ]);
	is(home('SELECT count(*) FROM mine.doc__history'), '2', 'forced policies hide nothing from what is copied');
	is(home(q{SELECT relowner::regrole, relacl FROM pg_class WHERE oid = 'mine.doc__history_1'::regclass}), 'owner|', 'it is the owner\'s, and nobody else\'s');
	home(q{DROP TABLE mine.doc});
	return;
}

# A server may send what it likes.
sub hostile
{
	my $table = 'catmaid_history_segments.' . home(q{SELECT option_value FROM pg_foreign_table, pg_options_to_table(ftoptions) WHERE ftrelid = 'person__history_1'::regclass AND option_name = 'table_name'});
	far('one', qq{ALTER TABLE $table ALTER sys_period DROP NOT NULL, ALTER exec_transaction_id DROP NOT NULL;
		INSERT INTO $table (id, sys_period, exec_transaction_id) VALUES (1, NULL, NULL), (NULL, NULL, 5), (NULL, 'empty', 6), (3, '(,)', NULL), (4, '[2000-01-01,2100-01-01)', -1), (5, '[2090-01-01,)', 7)});
	for my $sql ('SELECT count(*) FROM person__history', 'SELECT count(*) FROM person__with_history WHERE sys_period @> timestamptz \'2026-01-01\'', 'SELECT count(*) FROM check_history()',
		'SELECT count(*) FROM history_changes()', 'SELECT count(*) FROM history_diff(NULL::person, \'2000-01-01\', \'infinity\')',
		'SELECT count(*) FROM undo_transactions(ARRAY[5, 6, 7, -1], dry_run => true, on_conflict => \'skip\')',
		'SELECT count(*) FROM restore_tables(ARRAY[\'person\']::regclass[], now() - interval \'1 second\', dry_run => true, on_conflict => \'skip\')',
		'SELECT repair_history()', 'ALTER TABLE person ADD COLUMN last int', 'ALTER TABLE person ALTER COLUMN last TYPE bigint', 'CALL move_history_segment(\'person__history_1\')')
	{
		my ($rc, $out, $err) = $home->psql('postgres', $sql);
		unlike($err, qr/server closed the connection|internal|cache lookup/, "rows that are none: $sql");
	}
	is(home('SELECT 1'), '1', 'the server is there');
	return;
}
