# Runs the writing workloads, all subjects of a shape taking turns.
package WritingBench;

use strict;
use warnings;
use Subjects;
use Workloads;
use Report;

sub new
{
	my ($class, $o) = @_;
	return bless { o => $o, results => {} }, $class;
}

sub names { return map { $_->{name} } @Workloads::bulk, @Workloads::single; }

sub run
{
	my ($self, $server) = @_;
	my $o = $self->{o};
	my @shapes = @{ $o->{shape} } ? @{ $o->{shape} } : @Subjects::shapes;
	my $out = '';

	for my $shape (@shapes)
	{
		# periods and its like know tables with a time column, not hierarchies
		my @subjects = (@Subjects::subjects, $shape eq 'plain' ? sort keys %{ $o->{peers} } : ());
		# ours first: the others copy its indexes
		for my $subject ('catmaid_history', grep { $_ ne 'catmaid_history' } @subjects)
		{
			print STDERR "setting up $shape, $subject\n";
			my $peer = $o->{peers}{$subject};
			$server->sql(Subjects::setup($shape, $subject, $o->{rows},
					$peer ? BenchServer::slurp($peer) : ''));
		}
		$server->sql('VACUUM ANALYZE; CHECKPOINT;');
		for my $w (grep { $_->{name} =~ /$o->{only}/ } @Workloads::bulk, @Workloads::single)
		{
			print STDERR "$shape: $w->{name}\n";
			for my $round (1 .. $o->{rounds})
			{
				my @turns = $round % 2 ? @subjects : reverse @subjects;
				for my $subject (@turns)
				{
					push @{ $self->{results}{$shape}{ $w->{name} }{$subject} },
					  $w->{clients} ? $self->single_turn($server, $w, $shape, $subject)
					  : $self->bulk_turn($server, $w, $shape, $subject);
				}
			}
		}
		my $table = $self->table($shape, @subjects);
		print STDERR $table;
		$out .= $table;
		$server->sql('DROP SCHEMA ' . join(', ', map { Subjects::schema($shape, $_) }
				'untracked', 'floor', 'plpgsql', 'catmaid_history') . ' CASCADE;')
		  unless $o->{keep};
	}
	return $out;
}

# Milliseconds.
sub bulk_turn
{
	my ($self, $server, $w, $shape, $subject) = @_;
	my @args = ($shape, $self->{o}{rows}, $server->{home});
	my $path = 'SET search_path = ' . Subjects::schema($shape, $subject) . ", public;\n";
	my $statements = $w->{sql}->(@args);

	$statements = $w->{floor}->(@args) . $statements if $subject eq 'floor' && $w->{floor};
	$statements .= "\n" . $w->{floor_after}->(@args) if $subject eq 'floor' && $w->{floor_after};
	return $server->time_sql(
		$path . "BEGIN;\n" . ($w->{prepare} ? $w->{prepare}->(@args) : ''),
		$statements,
		"ROLLBACK;\nSELECT 'VACUUM ' || oid::regclass FROM pg_class "
		  . "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace \\gexec");
}

# Microseconds a transaction.
sub single_turn
{
	my ($self, $server, $w, $shape, $subject) = @_;
	my @args = ($shape, $self->{o}{rows});
	my $script = $subject eq 'floor' && $w->{floor} ? $w->{floor}->(@args) : $w->{sql}->(@args);

	return 1e6 / $server->pgbench($script, $self->{o}{seconds}, $w->{clients},
		Subjects::schema($shape, $subject) . ',public');
}

sub table
{
	my ($self, $shape, @subjects) = @_;
	my $results = $self->{results}{$shape} || {};
	my @rows;

	for my $w (@Workloads::bulk, @Workloads::single)
	{
		my $r = $results->{ $w->{name} } or next;
		my %m = map { $_ => Report::median(@{ $r->{$_} }) } @subjects;
		push @rows, [
			$w->{name},
			Report::figure($m{untracked}) . ($w->{clients} ? ' us' : ' ms'),
			map({ sprintf '%.2f', $m{$_} / $m{untracked} } @subjects[ 1 .. $#subjects ]),
			sprintf('%.2f', $m{catmaid_history} / $m{floor}),
			sprintf('%.2f', $m{plpgsql} / $m{catmaid_history}) ];
	}
	return '' unless @rows;
	return "**Writing, $shape.** Multiples of the untracked table's time (for one row: the time a transaction).\n\n"
	  . Report::markdown([ '', 'untracked', @subjects[ 1 .. $#subjects ],
			'catmaid_history : floor', 'plpgsql : catmaid_history' ], @rows) . "\n";
}

sub plot
{
	my ($self) = @_;
	my (@groups, %all);
	for my $shape (@Subjects::shapes)
	{
		for my $w (@Workloads::bulk, @Workloads::single)
		{
			my $r = $self->{results}{$shape}{ $w->{name} } or next;
			my %m = map { $_ => Report::median(@{ $r->{$_} }) } keys %$r;
			push @groups, [ "$shape: $w->{name}", { map { $_ => $m{$_} / $m{untracked} } grep { $_ ne 'untracked' } keys %m } ];
			$all{$_} = 1 for keys %m;
		}
	}
	my @order = grep { delete $all{$_} } @Subjects::subjects;
	shift @order;
	return Report::svg('Time, as a multiple of the untracked table (dashed: 1)',
		[ @order, sort keys %all ], \@groups);
}

1;
