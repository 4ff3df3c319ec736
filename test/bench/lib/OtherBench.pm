# What is neither a matter of one statement's time nor of reading: memory, managing
# many tables, and what a session keeps of them.
package OtherBench;

use strict;
use warnings;
use IPC::Open2;
use Report;
use Subjects;

my @all = (
	[ 'memory of a large UPDATE', \&memory ],
	[ 'managing 100 tables', \&managing ],
	[ '1,000 tables in a session', \&many_tables ]);

sub new
{
	my ($class, $o) = @_;
	return bless { o => $o }, $class;
}

sub names { return map { $_->[0] } @all; }

sub run
{
	my ($self, $server) = @_;
	my @rows;

	for (grep { $_->[0] =~ /$self->{o}{only}/ } @all)
	{
		print STDERR "$_->[0]\n";
		my @more = $_->[1]->($self, $server);
		print STDERR join(' | ', @$_), "\n" for @more;
		push @rows, @more;
	}
	return '' unless @rows;
	return "**Otherwise.**\n\n" . Report::markdown([ '', 'untracked', 'catmaid_history' ], @rows) . "\n";
}

# The most that the backend had of its own, as the kernel counts it.
sub memory
{
	my ($self, $server) = @_;
	my $rows = $self->{o}{versions};
	my @peak;

	for my $subject ('untracked', 'plain', 'tracking')
	{
		my $shape = $subject eq 'tracking' ? 'tracking' : 'plain';
		my $schema = "memory_$subject";
		my $sql = Subjects::setup($shape, $subject eq 'untracked' ? $subject : 'catmaid_history', $rows, '');
		my $made = Subjects::schema($shape, $subject eq 'untracked' ? $subject : 'catmaid_history');
		$sql =~ s/UPDATE treenode SET editor_id = 1[^;]*;//;
		$server->sql("$sql\nALTER SCHEMA $made RENAME TO $schema;");
		push @peak, peak($server, "SET search_path = $schema; UPDATE treenode SET location_x = 0"
			. Subjects::edition($shape) . ";");
		$server->sql("DROP SCHEMA $schema CASCADE;");
	}
	return map { [ "UPDATE of $rows rows, $_->[0]: peak memory", "$peak[0] MB", "$peak[ $_->[1] ] MB" ] }
	  [ 'plain', 1 ], [ 'tracking', 2 ];
}

sub peak
{
	my ($server, $sql) = @_;
	my $psql = open2(my $out, my $in, "$server->{bindir}/psql", '-X', '-q', '-A', '-t',
		'-h', $server->{home}, '-U', 'postgres', '-d', 'postgres');
	print $in "SELECT pg_backend_pid();\n$sql\n";
	close $in;
	chomp(my $backend = <$out>);
	my $peak = 0;
	while (1)
	{
		open my $status, '<', "/proc/$backend/status" or last;
		my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$status>;
		last unless $kb;
		$peak = $kb if $kb > $peak;
		select undef, undef, undef, 0.02;
	}
	waitpid $psql, 0;
	return sprintf '%.0f', $peak / 1024;
}

# Peers have event triggers that make DDL slow, and functions that disable and enable
# all tables shall meet those of the workload alone.
sub alone
{
	my ($server) = @_;
	$server->sql("SELECT format('ALTER EVENT TRIGGER %I DISABLE', evtname) FROM pg_event_trigger"
		. " WHERE evtname NOT LIKE 'catmaid_history%' \\gexec\n"
		. 'SELECT drop_all_history_tables();');
	return;
}

sub managing
{
	my ($self, $server) = @_;
	alone($server);
	my $each = sub {
		my ($call) = @_;
		return "SELECT $call FROM generate_series(1, 100) i;";
	};
	$server->sql("CREATE SCHEMA managing; SET search_path = managing, public;"
		. "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, a int, b text)', i) FROM generate_series(1, 100) i \\gexec\n"
		. "SELECT format('INSERT INTO t%s SELECT i, i, i FROM generate_series(1, 1000) i', i) FROM generate_series(1, 100) i \\gexec\n");
	my $time = sub { return Report::figure($server->time_sql('SET search_path = managing, public;', $_[0], '')) . ' ms' };
	my @rows = (
		[ 'create_history_table, 100 tables', '', $time->($each->("create_history_table(format('t%s', i)::regclass)")) ],
		[ 'sync_tracking_table, 100 tables', '', $time->($each->("sync_tracking_table(format('t%s', i)::regclass, format('t%s__tracking', i)::regclass)")) ],
		[ 'disable_history_tracking, 100 tables', '', $time->('SELECT disable_history_tracking();') ],
		[ 'enable_history_tracking, 100 tables', '', $time->('SELECT enable_history_tracking();') ]);
	$server->sql('SELECT drop_all_history_tables(); DROP SCHEMA managing CASCADE;');
	return @rows;
}

# An UPDATE of one row of each of 1,000 tables; memory contexts after it.
sub many_tables
{
	my ($self, $server) = @_;
	alone($server);
	my @kb;
	for my $tracked (0, 1)
	{
		for my $part (0 .. 9)
		{
			my $series = sprintf 'generate_series(%d, %d) i', $part * 100 + 1, $part * 100 + 100;
			$server->sql("CREATE SCHEMA IF NOT EXISTS many; SET search_path = many, public;"
				. "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, a int); INSERT INTO t%s VALUES (1, 1)', i, i) FROM $series \\gexec\n"
				. ($tracked ? "SELECT create_history_table(format('t%s', i)::regclass) FROM $series;" : ''));
		}
		push @kb, $server->sql("SET search_path = many, public;"
			. "SELECT format('UPDATE t%s SET a = 2', i) FROM generate_series(1, 1000) i \\gexec\n"
			. "SELECT sum(total_bytes) / 1024 / 1000 FROM pg_backend_memory_contexts;");
		# not all in one transaction: they would not fit into the table of locks
		for my $part (0 .. 9)
		{
			my $series = sprintf 'generate_series(%d, %d) i', $part * 100 + 1, $part * 100 + 100;
			$server->sql('SET search_path = many, public;'
				. ($tracked ? "SELECT drop_history_table(format('t%s', i)::regclass) FROM $series;" : '')
				. "SELECT format('DROP TABLE t%s', i) FROM $series \\gexec\n");
		}
	}
	return [ '1,000 tables written in a session: memory for each', map { sprintf '%.1f kB', $_ } @kb ];
}

1;
