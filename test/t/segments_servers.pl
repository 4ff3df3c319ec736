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
is(far('two', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'catmaid_history_segments'::regnamespace AND relkind = 'r'}), '0', 'nothing is left there');
is(home(q{SELECT count(*) FROM pg_class WHERE relkind = 'f'}), '2', 'nor here');
home(q{CALL move_history_segment('person__history_2', 'two')});
home(q{CALL move_history_segment('person__history_2', 'one')});
is(home($differs), '0', 'from one server to another');
diag(home(q{EXPLAIN (VERBOSE) SELECT * FROM person__history WHERE id = 3 AND sys_period @> '2020-01-01'::timestamptz}));
diag(home(q{\d+ person__history_1}));
diag(far('one', q{\dt+ catmaid_history_segments.*}));
done_testing();
