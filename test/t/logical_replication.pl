# Logical replication of tracked tables, three ways (doc/history.md, "Replication"):
# a subscriber whose triggers are as they are records nothing that it applies; one to
# which all tables are published has the publisher's history; one whose triggers are
# enabled ALWAYS keeps a history of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dumps;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical');
$subscriber->start;
my $dir = $publisher->backup_dir;
mkdir $dir;

my @live = qw(tracked timed base leaf part);
my $versions = join ' UNION ALL ', map { "SELECT '$_ ' || count(*) FROM ONLY ${_}__history" } @live;

# What doc/history.md says.
my $always = <<'SQL';
SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname)
FROM pg_trigger t
WHERE t.tgfoid IN ('catmaid_history_capture'::regproc, 'catmaid_history_truncate'::regproc)
SQL

fill();
as_they_are();
everything();
of_its_own();

$subscriber->stop;
$publisher->stop;
done_testing();

sub fill
{
	my $tables = <<'SQL';
CREATE EXTENSION catmaid_history;
CREATE TABLE tracked (id int PRIMARY KEY, v text, big text);
CREATE TABLE timed (id int PRIMARY KEY, v text, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (more text, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE part (id int, region int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part DEFAULT;
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table(r) FROM unnest('{tracked,leaf,part}'::regclass[]) r;
SQL
	$publisher->safe_psql('postgres', $tables);
	$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO tracked SELECT i, 'v', repeat('big', 3000) FROM generate_series(1, 10) i;
INSERT INTO timed (id, v) SELECT i, 'v' FROM generate_series(1, 10) i;
INSERT INTO base VALUES (1, 'v');
INSERT INTO leaf VALUES (2, 'v');
INSERT INTO part SELECT i, i % 3, 'v' FROM generate_series(1, 10) i;
SQL
	$subscriber->safe_psql('postgres', 'CREATE DATABASE own');
	$subscriber->safe_psql($_, $tables) for qw(postgres own);
	return;
}

# Changes of every kind at the publisher.
sub changes
{
	$publisher->safe_psql('postgres', $_) for
	  "INSERT INTO catmaid_transaction_info (change_type, label) VALUES ('Backend', 'a test');
		UPDATE tracked SET v = v || 'x' WHERE id < 5; DELETE FROM tracked WHERE id = 9; UPDATE tracked SET id = 20 WHERE id = 8; INSERT INTO tracked VALUES (9, 'again')",
	  "UPDATE timed SET v = v || 'x', edition_time = now() WHERE id < 5; DELETE FROM timed WHERE id = 9",
	  "INSERT INTO base VALUES (1, 'v') ON CONFLICT DO NOTHING",
	  "UPDATE base SET v = v || 'x'; DELETE FROM base WHERE id = 1",
	  "UPDATE part SET v = v || 'x' WHERE id < 5; UPDATE part SET region = CASE region WHEN 1 THEN 7 ELSE 1 END WHERE id = 4; DELETE FROM part WHERE id = 6",
	  "BEGIN; SAVEPOINT s; UPDATE tracked SET v = 'lost'; ROLLBACK TO s; UPDATE tracked SET v = 'y' WHERE id = 1; UPDATE tracked SET v = 'z' WHERE id = 1; COMMIT";
	return;
}

sub subscribe
{
	my ($name, $database, $tables, $options) = @_;
	$publisher->safe_psql('postgres', "CREATE PUBLICATION $name $tables");
	my $connection = $publisher->connstr . ' dbname=postgres';
	$subscriber->safe_psql($database, "CREATE SUBSCRIPTION $name CONNECTION '$connection' PUBLICATION $name" . ($options // ''));
	return;
}

sub catch_up
{
	my ($name, $database) = @_;
	$subscriber->poll_query_until($database, "SELECT count(*) = 0 FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE subname = '$name' AND srsubstate <> 'r'")
	  or die "tables of $name are not copied";
	$publisher->wait_for_catchup($name);
	return;
}

sub rows { my ($node, $database, $query) = @_; return $node->safe_psql($database, $query) }

sub same_tables
{
	my ($database, $name) = @_;
	for my $table (qw(tracked timed base leaf part))
	{
		my $query = "SELECT to_jsonb(t) FROM $table t ORDER BY 1";
		is(rows($subscriber, $database, $query), rows($publisher, 'postgres', $query), "$name: $table is the same");
	}
	return;
}

# Triggers as create_history_table makes them: what is applied is not recorded, what
# the subscriber's own sessions write is.
sub as_they_are
{
	subscribe('plain', 'postgres', 'FOR TABLE tracked, timed, base, leaf, part');
	catch_up('plain', 'postgres');
	changes();
	catch_up('plain', 'postgres');
	same_tables('postgres', 'triggers as they are');
	is(rows($subscriber, 'postgres', $versions), join("\n", map { "$_ 0" } @live), 'triggers as they are: what is applied leaves no history');
	is(rows($subscriber, 'postgres', 'SELECT count(*) FROM tracked__tracking'), 0, 'triggers as they are: nor tracking rows');
	$subscriber->safe_psql('postgres', "UPDATE tracked SET v = 'own' WHERE id = 2");
	is(rows($subscriber, 'postgres', 'SELECT v, lower_inf(sys_period) FROM tracked__history'), 'vx|t', 'triggers as they are: a write of its own is recorded, of unknown start');
	$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION plain');
	$publisher->safe_psql('postgres', 'DROP PUBLICATION plain');
	return;
}

# All tables published, into a database made from a dump of the schema: the same
# history, registry and log. It can take over.
sub everything
{
	Dumps::use_node($publisher);
	my ($out, $err);
	run_client([ 'pg_dump', '-s', '--no-publications', '-f', "$dir/schema.sql", 'postgres' ], \$out, \$err);
	is($out . $err, '', 'all tables: a dump of the schema');
	$subscriber->safe_psql('postgres', 'CREATE DATABASE everything TEMPLATE template0');
	Dumps::use_node($subscriber);
	run_client([ 'psql', '-X', '-q', '-o', '/dev/null', '-d', 'everything', '-f', "$dir/schema.sql" ], \$out, \$err);
	is($out . $err, '', 'all tables: restored');
	subscribe('everything', 'everything', 'FOR ALL TABLES');
	catch_up('everything', 'everything');
	changes();
	catch_up('everything', 'everything');
	my $there = contents('everything');
	Dumps::use_node($publisher);
	same($there, contents('postgres'), 'all tables: history, tracking tables, registry and log are the same');
	$subscriber->safe_psql('everything', 'DROP SUBSCRIPTION everything');
	$publisher->safe_psql('postgres', 'DROP PUBLICATION everything');
	is(rows($subscriber, 'everything', <<'SQL'), "x\nv 1\n1", 'all tables: it takes over');
UPDATE tracked SET v = 'taken over' WHERE id = 10 RETURNING 'x';
SELECT v || ' ' || count(*) FROM tracked__history WHERE id = 10 AND NOT lower_inf(sys_period) GROUP BY v;
ALTER TABLE tracked ADD COLUMN later int;
SELECT count(*) FROM pg_attribute WHERE attrelid = 'tracked__history'::regclass AND attname = 'later';
SQL
	return;
}

# Triggers enabled ALWAYS: what is applied is recorded, once, as the subscriber's own
# transactions; the rows themselves stay as they are at the publisher.
sub of_its_own
{
	my $statements = $subscriber->safe_psql('own', $always);
	$subscriber->safe_psql('own', join ";\n", split /\n/, $statements);
	is(rows($subscriber, 'own', 'SELECT bool_and(triggers_installed) FROM catmaid_live_table_triggers'), 't', 'ALWAYS: the triggers count as installed');
	is(rows($subscriber, 'own', 'SELECT bool_and(triggers_installed) FROM catmaid_history_table'), 't', 'ALWAYS: so says the registry');
	subscribe('own', 'own', 'FOR TABLE tracked, timed, base, leaf, part');
	catch_up('own', 'own');
	is(rows($subscriber, 'own', 'SELECT count(*) FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE id IS NULL OR live_pk IS NULL'), 0, 'ALWAYS: the first copy enters the rows in the tracking table');
	my $begin = rows($publisher, 'postgres', 'SELECT txid_current()');
	changes();
	$publisher->safe_psql('postgres', 'TRUNCATE part_1, timed');

	# what waits to be stored of a transaction that goes on to truncate the table
	$publisher->safe_psql('postgres', "BEGIN; UPDATE tracked SET v = v || 't' WHERE id IN (3, 4); TRUNCATE tracked;
		INSERT INTO tracked SELECT i, 'v', big FROM generate_series(1, 10) i, (SELECT string_agg(md5(n::text), '') AS big FROM generate_series(1, 200) n) AS b; COMMIT");
	$publisher->safe_psql('postgres', "BEGIN; UPDATE tracked SET v = v || 't' WHERE id IN (3, 4); TRUNCATE tracked;
		INSERT INTO tracked SELECT i, 'v', repeat('big', 3000) FROM generate_series(1, 10) i; COMMIT");
	catch_up('own', 'own');
	same_tables('own', 'ALWAYS');
	for my $table (@live)
	{
		my $query = "SELECT to_jsonb(h) - 'sys_period' - 'exec_transaction_id' - 'start_transaction_id' - 'big' || jsonb_build_object('big', md5(to_jsonb(h) ->> 'big')) FROM ONLY ${table}__history h";
		my $there = rows($subscriber, 'own', "$query ORDER BY 1");
		is($there, rows($publisher, 'postgres', "$query WHERE exec_transaction_id > $begin ORDER BY 1"), "ALWAYS: the versions of $table are the publisher's");
		isnt($there, '', "ALWAYS: there are some of $table");
	}
	is(rows($subscriber, 'own', 'SELECT count(*) FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE id IS NULL OR live_pk IS NULL'), 0, 'ALWAYS: the tracking table matches');
	is(rows($subscriber, 'own', <<'SQL'), 0, 'ALWAYS: no two versions of a row overlap');
SELECT count(*) FROM (SELECT sys_period, lag(sys_period) OVER (PARTITION BY id ORDER BY sys_period) AS before
	FROM tracked__with_history WHERE NOT isempty(sys_period)) AS v WHERE sys_period && before
SQL
	is(rows($subscriber, 'own', 'SELECT count(*) FROM tracked__history WHERE lower_inf(sys_period)'), 0, 'ALWAYS: every start is known');

	# columns are followed, and the triggers stay ALWAYS
	$_->[0]->safe_psql($_->[1], 'ALTER TABLE tracked ADD COLUMN later int DEFAULT 1; ALTER TABLE tracked ALTER COLUMN v TYPE varchar(50)')
	  for [ $subscriber, 'own' ], [ $publisher, 'postgres' ];
	$subscriber->safe_psql('own', "SELECT enable_history_tracking_for_table('tracked')");
	$publisher->safe_psql('postgres', "UPDATE tracked SET later = 2 WHERE id = 2; DELETE FROM tracked WHERE id = 2");
	catch_up('own', 'own');
	is(rows($subscriber, 'own', 'SELECT later FROM tracked__history WHERE id = 2 AND later IS NOT NULL ORDER BY 1'), "1\n2", 'ALWAYS: columns are followed, and triggers stay so');
	my $version = rows($publisher, 'postgres', 'SHOW server_version_num');
	streamed($_) for $version >= 160000 ? qw(on parallel) : $version >= 140000 ? 'on' : ();
	$subscriber->safe_psql('own', 'DROP SUBSCRIPTION own');
	return;
}

# Transactions that are applied while they go on (PostgreSQL 14), by a worker of their
# own (16, and the default of 18), with subtransactions that are rolled back.
sub streamed
{
	my ($mode) = @_;
	my $large = 'INSERT INTO tracked SELECT i, md5(i::text), repeat(md5(i::text), 50) FROM generate_series(1001, 1200) i';
	my $differ = "SELECT string_agg(format('%s/%s', id, live_pk), ' ') FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE id IS NULL OR live_pk IS NULL";
	$publisher->append_conf('postgresql.conf', "logical_decoding_work_mem = '64kB'");
	$publisher->append_conf('postgresql.conf', 'debug_logical_replication_streaming = immediate')
	  if rows($publisher, 'postgres', 'SHOW server_version_num') >= 160000;
	$publisher->reload;
	$subscriber->safe_psql('own', "ALTER SUBSCRIPTION own SET (streaming = $mode)");
	my ($here, $there) = (rows($publisher, 'postgres', 'SELECT txid_current()'), rows($subscriber, 'own', 'SELECT txid_current()'));
	$publisher->safe_psql('postgres', $_) for
	  "BEGIN; $large; UPDATE tracked SET v = 'p' WHERE id = 3; SAVEPOINT a; UPDATE tracked SET v = 'q' WHERE id = 3; INSERT INTO tracked VALUES (50, 'n');
		UPDATE timed SET v = v || '$mode', edition_time = now(); SAVEPOINT b; DELETE FROM tracked WHERE id = 50; UPDATE tracked SET v = 'lost'; UPDATE part SET region = 8;
		ROLLBACK TO b; UPDATE tracked SET v = 'r' WHERE id IN (4, 50); SAVEPOINT c; UPDATE base SET v = '$mode'; RELEASE a; UPDATE tracked SET id = 51 WHERE id = 50;
		SAVEPOINT d; DELETE FROM tracked WHERE id > 1000; UPDATE part SET region = 9 WHERE id = 1; COMMIT",
	  "BEGIN; $large; UPDATE tracked SET v = 'lost'; SAVEPOINT a; UPDATE part SET v = 'lost'; ROLLBACK",
	  'UPDATE part SET region = 1 WHERE id = 1; DELETE FROM tracked WHERE id = 51',
	  "BEGIN; $large; UPDATE tracked SET v = 't' WHERE id < 5; SAVEPOINT a; TRUNCATE tracked; INSERT INTO tracked SELECT i, 'v', 'big' FROM generate_series(1, 10) i; SAVEPOINT b; UPDATE tracked SET v = 'u' WHERE id < 5; COMMIT";
	catch_up('own', 'own');
	same_tables('own', "streaming = $mode");
	for my $table (@live)
	{
		my $query = "SELECT to_jsonb(h) - '{sys_period,exec_transaction_id,start_transaction_id,big}'::text[] FROM ONLY ${table}__history h WHERE exec_transaction_id >";
		is(rows($subscriber, 'own', "$query $there ORDER BY 1"), rows($publisher, 'postgres', "$query $here ORDER BY 1"),
			"streaming = $mode: the versions of $table");
	}
	is(rows($subscriber, 'own', $differ), '', "streaming = $mode: the tracking table");
	cmp_ok(rows($subscriber, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication parallel%'"), '>', 0, 'control: applied in parallel')
	  if $mode eq 'parallel';
	return;
}
