# A throw-away server of the benchmark's own: unix socket in a temporary folder,
# removed at the end.  No cluster of the machine is touched.
package BenchServer;

use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use IPC::Open2;

sub new
{
	my ($class) = @_;
	my $pg_config = $ENV{PG_CONFIG} || newest_pg_config();
	chomp(my $bindir = `"$pg_config" --bindir`);
	chomp(my $sharedir = `"$pg_config" --sharedir`);
	die "no PostgreSQL server in $bindir\n" unless -x "$bindir/postgres";
	die "catmaid_history is not installed: make && make install\n"
	  unless -f "$sharedir/extension/catmaid_history.control";

	# a signal, too, shall leave no server behind
	$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

	my $home = tempdir('catmaid_history_bench.XXXXXX', TMPDIR => 1);
	my $self = bless {
		bindir => $bindir, sharedir => $sharedir, home => $home, pid => $$
	}, $class;
	if ($> == 0)
	{
		# PostgreSQL does not run as root
		system('chown', 'postgres', $home) == 0 or die "chown failed\n";
		$self->{as} = [ 'runuser', '-u', 'postgres', '--' ];
	}
	chdir '/';
	$self->run_as("$bindir/initdb", '-D', "$home/data", '-U', 'postgres',
		'-A', 'trust', '--no-sync');
	# Neither fsync nor autovacuum, whose moods would be in the ratios.
	$self->run_as("$bindir/pg_ctl", '-D', "$home/data", '-w', '-l', "$home/log",
		'-o', join(' ', "-c listen_addresses='' -k '$home' -c fsync=off",
			'-c autovacuum=off -c shared_buffers=1GB -c max_wal_size=8GB',
			'-c checkpoint_timeout=1h -c synchronous_commit=off',
			'-c maintenance_work_mem=512MB -c jit=off'),
		'start');
	$self->{started} = 1;
	return $self;
}

sub newest_pg_config
{
	chomp(my $found = `sh -c "command -v pg_config"` || '');
	return $found if $found;
	my @all = sort { ($a =~ m{/(\d+)/})[0] <=> ($b =~ m{/(\d+)/})[0] }
	  glob('/usr/lib/postgresql/*/bin/pg_config');
	die "no pg_config: say PG_CONFIG=...\n" unless @all;
	return $all[-1];
}

sub run_as
{
	my ($self, @command) = @_;
	system("cd / && " . join(' ', map { quoted($_) } @{ $self->{as} || [] }, @command)
		. " >>" . quoted("$self->{home}/tools.log") . " 2>&1") == 0
	  or die "@command failed:\n" . slurp("$self->{home}/tools.log");
}

# Run SQL in a session of its own; returns what it prints.
sub sql
{
	my ($self, $sql) = @_;
	my $pid = open2(my $out, my $in, "$self->{bindir}/psql", '-X', '-q', '-A', '-t',
		'-v', 'ON_ERROR_STOP=1', '-h', $self->{home}, '-U', 'postgres', '-d', 'postgres');
	print $in "SET client_min_messages = warning;\n$sql";
	close $in;
	my $printed = join '', <$out>;
	waitpid $pid, 0;
	die "failed:\n$sql\n" if $?;
	chomp $printed;
	return $printed;
}

# Milliseconds that the statements take: prepare and clean are not counted.
sub time_sql
{
	my ($self, $prepare, $statements, $clean) = @_;
	my $printed = $self->sql("$prepare\n\\timing on\n$statements\n\\timing off\n$clean\n");
	my $total = 0;
	$total += $1 while $printed =~ /^Time: ([0-9.]+) ms/mg;
	return $total;
}

# Transactions per second of a script that pgbench repeats.
sub pgbench
{
	my ($self, $script, $seconds, $clients, $search_path) = @_;
	my $file = "$self->{home}/script.sql";
	open my $f, '>', $file or die "$file: $!\n";
	print $f $script;
	close $f;
	local $ENV{PGOPTIONS} = "-c search_path=$search_path";
	my $printed = `"$self->{bindir}/pgbench" -h "$self->{home}" -U postgres -n -M prepared -c $clients -j $clients -T $seconds -f "$file" postgres 2>&1`;
	$printed =~ /^tps = ([0-9.]+)/m or die "pgbench failed:\n$printed\n";
	return $1;
}

sub version { return $_[0]->sql('SHOW server_version;'); }

sub quoted { my ($s) = @_; $s =~ s/'/'\\''/g; return "'$s'"; }

sub slurp
{
	my ($file) = @_;
	open my $f, '<', $file or return '';
	local $/;
	return scalar <$f>;
}

sub stop
{
	my ($self) = @_;
	$self->run_as("$self->{bindir}/pg_ctl", '-D', "$self->{home}/data", '-m', 'fast', '-w', 'stop');
	$self->{started} = 0;
}

# Give the statements to a server in single-user mode, under a tool such as valgrind.
sub single_user
{
	my ($self, $tool, @statements) = @_;
	my $file = "$self->{home}/statements.sql";
	open my $f, '>', $file or die "$file: $!\n";
	print $f @statements;
	close $f;
	my $command = join ' ', map { quoted($_) } @{ $self->{as} || [] }, @$tool,
	  "$self->{bindir}/postgres", '--single', '-D', "$self->{home}/data", '-c', 'fsync=off', '-c', 'jit=off', 'postgres';
	return scalar `cd / && $command < '$file' 2>&1`;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $@);
	return if $self->{pid} != $$;
	eval { $self->run_as("$self->{bindir}/pg_ctl", '-D', "$self->{home}/data",
			'-m', 'immediate', '-w', 'stop') }
	  if $self->{started};
	remove_tree($self->{home});
}

1;
