# Section 12, seen from sessions: what is set before the library is loaded, what comes with
# the connection, prepared transactions, two applications behind PgBouncer that share one
# connection to the server, a subscriber with a history of its own, and the recipes of
# doc/who.md with each driver that is there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Temp qw(tempdir);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $node = PostgreSQL::Test::Cluster->new('log');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nautovacuum = off\n");
$node->start;
my $main = PgWire->new($node, name => 'main');
$main->do($_) for 'CREATE EXTENSION catmaid_history', 'CREATE TABLE person (id int PRIMARY KEY, name text)',
  "SELECT create_history_table('person')", "INSERT INTO person VALUES (1, 'Ada')", 'CREATE ROLE log_writer LOGIN',
  'GRANT ALL ON person TO log_writer';

before_loading();
from_the_connection();
prepared();
pgbouncer();
subscriber();
recipes();
$main->close;
$node->stop;
done_testing();

# The entries since the last call: user_id, label and session user.
sub entries
{
	my $rows = $main->do(q{WITH gone AS (DELETE FROM catmaid_transaction_info RETURNING *)
		SELECT concat_ws(' ', coalesce(user_id::text, '-'), nullif(label, ''), context ->> 'session_user') FROM gone ORDER BY execution_time})->{rows};
	return join ', ', map { $_->[0] } @$rows;
}

sub session { return PgWire->new($node, name => 'one', @_) }

sub before_loading
{
	my $s = session();
	$s->do('SET catmaid_history.user_id = 7');
	$s->do("UPDATE person SET name = 'b'");
	is(entries(), '7', 'set before the library is loaded: it counts');
	$s->close;

	$s = session();
	$s->do("SET catmaid_history.context = '{\"a\"'");
	for my $time ('the first', 'and the second')
	{
		my $error = $s->try("UPDATE person SET name = 'c'")->{error};
		is($error->{C}, '22023', "a value that is none, set before: $time write is refused");
		is($error->{H}, 'RESET catmaid_history.context; or SET it to another value.', '... with a hint');
	}
	is($s->try("SET catmaid_history.context = '{\"a\"'")->{error}{C}, '22023', '... and it cannot be set again');
	$s->do('RESET catmaid_history.context');
	is($s->try("UPDATE person SET name = 'c'")->{error}, undef, '... RESET leads out');
	$s->close;

	$s = session();
	$s->do("BEGIN; SET LOCAL catmaid_history.user_id = 'alice'");
	is($s->try("UPDATE person SET name = 'd'")->{error}{C}, '22023', 'the same with SET LOCAL');
	$s->do('ROLLBACK');
	is($s->try("UPDATE person SET name = 'd'")->{error}, undef, '... which is over with the transaction');
	is(entries(), '', '... and there was no entry');
	$s->close;
	return;
}

# Who brings log_transactions along hides what the database says: he is logged.
sub from_the_connection
{
	$main->do('ALTER DATABASE postgres SET catmaid_history.log_transactions = on');
	for my $option ('', '-c catmaid_history.log_transactions=off')
	{
		local $ENV{PGOPTIONS} = $option;
		for my $user ('log_writer')
		{
			my ($rc, $out, $err) = $node->psql('postgres', "UPDATE person SET name = 'e'; SHOW catmaid_history.log_transactions",
				extra_params => [ '-U', $user ]);
			is(entries(), "- $user", "$user with '$option' is logged");
		}
	}
	$node->append_conf('postgresql.conf', "session_preload_libraries = 'catmaid_history'\n");
	$node->reload;
	{
		local $ENV{PGOPTIONS} = '-c catmaid_history.log_transactions=off';
		$node->psql('postgres', "UPDATE person SET name = 'f'", extra_params => [ '-U', 'log_writer' ]);
		is(entries(), '- log_writer', 'also where the library is loaded with the session');
		$node->psql('postgres', "UPDATE person SET name = 'f'");
		is(entries(), '', 'a superuser may switch it off');
	}
	$node->append_conf('postgresql.conf', "session_preload_libraries = ''\n");
	$node->reload;
	$main->do('ALTER DATABASE postgres RESET catmaid_history.log_transactions');
	return;
}

sub prepared
{
	my $s = session();
	$s->do("BEGIN; SET LOCAL catmaid_history.user_id = 8; UPDATE person SET name = 'g'; PREPARE TRANSACTION 'kept'");
	$s->do("BEGIN; SET LOCAL catmaid_history.user_id = 9; INSERT INTO person VALUES (9, 'g'); PREPARE TRANSACTION 'gone'");
	$s->do("BEGIN; SET LOCAL catmaid_history.user_id = 10; UPDATE person SET name = 'h' WHERE false; COMMIT");
	is(entries(), '', 'prepared: nothing is committed yet');
	$node->stop('immediate');
	$node->start;
	$main = PgWire->new($node, name => 'main');
	$main->do("COMMIT PREPARED 'kept'");
	$main->do("ROLLBACK PREPARED 'gone'");
	is(entries(), '8', 'prepared and, after a crash, committed: one entry');
	return;
}

# In transaction mode each transaction goes to any connection that is free: here to the only one.
sub pgbouncer
{
	my ($program) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
	return skipped('PgBouncer is not there') unless $program;
	my $dir = tempdir(CLEANUP => 1);
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($host, $server) = ($node->host, $node->port);
	my $user = $main->value('SELECT current_user');
	append_to_file("$dir/users", qq("$user" ""\n"log_writer" ""\n));
	append_to_file("$dir/ini", <<"INI");
[databases]
postgres = host=$host port=$server user=$user
[pgbouncer]
listen_addr =
unix_socket_dir = $dir
listen_port = $port
auth_type = trust
auth_file = $dir/users
pool_mode = transaction
default_pool_size = 1
pidfile = $dir/pid
logfile = $dir/log
INI
	system($program, '-q', '-d', "$dir/ini") == 0 or return skipped('PgBouncer does not start: ' . slurp_file("$dir/log"));
	my $deadline = time + 60;
	select undef, undef, undef, 0.1 until -S "$dir/.s.PGSQL.$port" || time > $deadline;
	my @connect = (host => $dir, port => $port);
	my ($a, $b) = map { PgWire->new($node, name => $_, host => $dir, port => $port, user => $user) } qw(a b);
	my %backend;
	for my $round (1 .. 3)
	{
		for ([ $a, 21, 'application a' ], [ $b, 22, 'application b' ])
		{
			my ($s, $id, $label) = @$_;
			$s->do("BEGIN; SET LOCAL catmaid_history.user_id = $id; SET LOCAL catmaid_history.label = '$label'; UPDATE person SET name = 'i' || $round");
			$backend{ $s->value('SELECT pg_backend_pid()') } = 1;
			$s->do('COMMIT');
			is(entries(), "$id $label", "$label, transaction $round: its own entry");
			$s->do("UPDATE person SET name = 'k'");
			is(entries(), '', '... and none without a setting: nothing is left of the other');
		}
	}
	is(scalar keys %backend, 1, 'both have shared one connection to the server');
	$_->close for $a, $b;
	chomp(my $pid = slurp_file("$dir/pid"));
	kill 'INT', $pid if $pid =~ /^\d+$/;
	return;
}

# A subscriber with a history of its own: what is applied is entered there.
sub subscriber
{
	my $sub = PostgreSQL::Test::Cluster->new('subscriber');
	$sub->init(allows_streaming => 'logical');
	$sub->append_conf('postgresql.conf', "catmaid_history.log_transactions = on\n");
	$sub->start;
	$sub->safe_psql('postgres', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE person (id int PRIMARY KEY, name text);
SELECT create_history_table('person');
SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname) FROM pg_trigger t
WHERE t.tgfoid IN ('catmaid_history_capture'::regproc, 'catmaid_history_truncate'::regproc) \gexec
SQL
	$main->do('CREATE PUBLICATION people FOR TABLE person');
	my $connect = $node->connstr('postgres') =~ s/'/''/gr;
	$sub->safe_psql('postgres', "CREATE SUBSCRIPTION people CONNECTION '$connect' PUBLICATION people");
	$sub->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate <> 'r'") or die 'not synchronized';
	$sub->safe_psql('postgres', 'DELETE FROM catmaid_transaction_info');
	$main->do("INSERT INTO person VALUES (100, 'x')");
	$main->do("UPDATE person SET name = 'y' WHERE id = 100");
	$main->do('BEGIN; DELETE FROM person WHERE id = 100; UPDATE person SET name = name; COMMIT');
	$node->wait_for_catchup('people');
	is($sub->safe_psql('postgres', 'SELECT count(*), count(DISTINCT transaction_id) FROM catmaid_transaction_info'), '3|3', 'a subscriber: one entry for each transaction that is applied');
	is($sub->safe_psql('postgres', 'SELECT count(*) FROM person__history h WHERE NOT EXISTS (SELECT FROM catmaid_transaction_info i WHERE i.transaction_id = h.exec_transaction_id)'), 0, '... of the transactions that history names');
	$sub->safe_psql('postgres', 'DROP SUBSCRIPTION people');
	$sub->stop;
	return;
}

# --- the recipes of doc/who.md --------------------------------------------------

sub recipes
{
	my $page = slurp_file("$FindBin::RealBin/../../doc/who.md");
	my %block;
	$block{$1} = $2 while $page =~ /^(Python, psycopg|Django|SQLAlchemy|Perl, DBI|JavaScript, node-postgres|Java, JDBC)\b[^\n]*:\n\n```\w+\n(.*?)^```/gms;
	is(join(' ', sort map { (split /\W/)[0] } keys %block), 'Django Java JavaScript Perl Python SQLAlchemy', 'doc/who.md has its recipes');
	my ($host, $port, $user) = ($node->host, $node->port, $main->value('SELECT current_user'));
	my $dsn = "host=$host port=$port dbname=postgres user=$user";
	my $dir = tempdir(CLEANUP => 1);
	for my $module ('psycopg', 'psycopg2')
	{
		python($module, "import $module\nuser = 31\nconn = $module.connect('$dsn')\n$block{'Python, psycopg'}", $module);
	}
	python('Django', <<"PY", 'django', 'psycopg2');
from django.conf import settings
settings.configure(DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'postgres', 'HOST': '$host', 'PORT': '$port', 'USER': '$user'}})
import django
django.setup()
from django.db import connection, transaction
user = 31
$block{Django}
PY
	python('SQLAlchemy', <<"PY", 'sqlalchemy', 'psycopg2');
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session
user = 31
$block{SQLAlchemy}
with Session(create_engine('postgresql+psycopg2://$user\@/postgres?host=$host&port=$port')) as session:
    session.execute(text("UPDATE person SET name = upper(name)"))
    session.commit()
PY
	recipe('DBI', [ $^X, '-e', "use DBI; my \$user = 31; my \$dbh = DBI->connect('dbi:Pg:host=$host;port=$port;dbname=postgres', '$user', '', { RaiseError => 1 }); $block{'Perl, DBI'}" ],
		system("$^X -MDBD::Pg -e 1 2>/dev/null") == 0);
	append_to_file("$dir/who.mjs", <<"JS");
import pg from 'pg'
const user = 31
const client = new pg.Client({ host: '$host', port: $port, database: 'postgres', user: '$user' })
await client.connect()
$block{'JavaScript, node-postgres'}
await client.end()
JS
	recipe('node-postgres', [ 'node', "$dir/who.mjs" ], system('cd / && NODE_PATH=/usr/share/nodejs node -e "require(\'pg\')" >/dev/null 2>&1') == 0);
	jdbc($dir, $block{'Java, JDBC'}, $user);
	return;
}

# JDBC knows no unix sockets: the server listens for it.
sub jdbc
{
	my ($dir, $block, $user) = @_;
	my ($jar) = glob '/usr/share/java/postgresql*.jar';
	return skipped('JDBC or the Java compiler is not there') unless $jar && system('javac -version >/dev/null 2>&1') == 0;
	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\n");
	$node->restart;
	$main = PgWire->new($node, name => 'main');
	my $port = $node->port;
	append_to_file($node->data_dir . '/pg_hba.conf', "host all all 127.0.0.1/32 trust\n");
	$node->reload;
	append_to_file("$dir/Who.java", <<"JAVA");
import java.sql.*;
public class Who { public static void main(String[] arguments) throws Exception {
int user = 31;
Connection connection = DriverManager.getConnection("jdbc:postgresql://127.0.0.1:$port/postgres?user=$user");
$block
} }
JAVA
	recipe('JDBC', [ 'java', '-cp', $jar, "$dir/Who.java" ], 1);
	return;
}

sub python
{
	my ($name, $code, @modules) = @_;
	recipe($name, [ 'python3', '-c', $code ], system('python3', '-c', 'import ' . join ', ', @modules) == 0);
	return;
}

# Runs it; the entry is there.
sub recipe
{
	my ($name, $command, $is_there) = @_;
	return skipped("$name is not there") unless $is_there;
	my ($out, $err);
	entries();
	IPC::Run::run($command, '>', \$out, '2>', \$err) or diag("$name: $out$err");
	is(entries(), '31', "doc/who.md: $name");
	return;
}

sub skipped
{
	my ($why) = @_;
  SKIP: { skip $why, 1 }
	return;
}
