# Random DML (and DDL) on tracked tables against a model of every row version.
#
#   RANDOM_SEED     repeats a run (the seed is printed)
#   RANDOM_SECONDS  how long to go on, 40 unless told; a run has at least 100 transactions
#   RANDOM_DDL      0: without DDL, DML alone
#   RANDOM_OTHERS   0: without two more sessions that run DDL of their own
#   RANDOM_LOG      a file to which all statements are added, not just the last ones shown
#
# Tables of every kind are made (lib/RandomManage.pm), then random transactions
# are run on them (lib/RandomSteps.pm, lib/RandomDDL.pm): several statements with
# savepoints, some rolled back, some in a second session whose transaction began
# before the first one's.  Two more sessions run DDL of their own at the same time, which
# must be of no consequence (lib/RandomOthers.pm).  After each, and after each DDL command within one, the
# tables, histories, tracking tables, views and an as-of query are compared with the
# model (lib/RandomModel.pm).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';
use PgWire;
use RandomRun;
use RandomSteps 'steps';
use RandomManage qw(make_all manage_steps);
use RandomDDL 'ddl_steps';
use RandomOthers;
use RandomValues qw(pick chance);

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $seconds = $ENV{RANDOM_SECONDS} || 40;
my $with_ddl = $ENV{RANDOM_DDL} // 1;
my $with_others = $with_ddl && ($ENV{RANDOM_OTHERS} // 1);
srand($seed);
# Hash order is of no consequence: every choice is made from sorted keys.
diag "RANDOM_SEED=$seed RANDOM_SECONDS=$seconds RANDOM_DDL=$with_ddl";

my $node = PostgreSQL::Test::Cluster->new('random');
$node->init;
# Its own log below says more, and the comparisons are long.
$node->append_conf('postgresql.conf', "fsync = off\nmax_locks_per_transaction = 256\nlog_statement = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION catmaid_history; CREATE ROLE rnd_owner; GRANT ALL ON SCHEMA public TO rnd_owner');

my ($a, $b, $c) = map { PgWire->new($node, name => $_) } qw(a b c);
my $run = RandomRun->new(version => int($a->value('SHOW server_version_num') / 10000));
my %steps = (steps(), manage_steps(), $with_ddl ? ddl_steps() : ());
my %dml = steps();
delete $dml{truncate};
my $transactions = 0;

my $failure;
eval { go(); 1 } or $failure = $@;
diag 'last statements:', map { "\n  $_" } @{ $run->{log} }[ -60 .. -1 ] if $failure && @{ $run->{log} } >= 60;
diag 'statements:', map { "\n  $_" } @{ $run->{log} } if $failure && @{ $run->{log} } < 60;
is($failure, undef, "tables, histories, views and as-of results agree with the model (seed $seed)");
diag "$transactions transactions; steps: "
  . join(', ', map { "$_ $run->{counts}{$_}" } sort keys %{ $run->{counts} });
diag 'stories of others: ' . join(', ', map { "$_ $run->{others}{told}{$_}" } sort keys %{ $run->{others}{told} }) if $run->{others};
cmp_ok($transactions, '>=', 100, 'enough transactions were run') unless $failure;

$_->close for $a, $b, $c;
$node->stop;
done_testing();

sub go
{
	my $until = time + $seconds;
	make_all($run, $a);
	$c->do('GRANT ALL ON SCHEMA "odd ""one" TO rnd_owner');
	compare($c);
	$run->{others} = RandomOthers->new($node, $run, $seed) if $with_others;
	while (time < $until || $transactions < 100)
	{
		# An older transaction: begun before, continued after.
		my $old = chance(0.2);
		local $run->{old_transaction} = $old;
		my $began;
		if ($old)
		{
			$run->begin($b, chance(0.3) ? 'REPEATABLE READ' : undef);
			# Its time is that of this command, whatever comes between.
			$began = $b;
		}
		$run->begin($a, chance(0.1) ? 'REPEATABLE READ' : undef);
		transaction($a);
		compare(pick($a, $c));
		if ($began)
		{
			my $ctx = transaction($b);
			$run->forget($ctx->{ts});
			compare(pick($b, $c));
		}
		$run->remember($c);
		shorten() if $transactions % 20 == 0;
	}
	$run->{others}->end if $with_others;
	compare($c);
	return;
}

# Statements in a transaction that has begun, then its end.
sub transaction
{
	my ($s) = @_;
	my $saved = $run->model->save;
	my $ctx = $run->context($s);
	my @savepoints;
	for (1 .. 1 + int rand 6)
	{
		if (chance(0.15))
		{
			$run->sql($s, 'SAVEPOINT s' . @savepoints);
			push @savepoints, $run->model->save;
		}
		my $step = step($s, $ctx) // '';
		if ($step =~ /^ddl/)
		{
			$run->know($s, $ctx);
			compare($s);
		}
		if (@savepoints && chance(0.3))
		{
			my $to = int rand @savepoints;
			my $roll = chance(0.6);
			$run->sql($s, ($roll ? 'ROLLBACK TO' : 'RELEASE') . " s$to");
			$run->model->restore($savepoints[$to]) if $roll;
			$#savepoints = $to - 1;
			$run->sql($s, "RELEASE s$to") if $roll;
		}
	}
	$run->know($s, $ctx);
	compare($s) if chance(0.15);
	if (chance(0.15))
	{
		$run->sql($s, 'ROLLBACK');
		$run->model->restore($saved);
		# What a rolled back transaction prepared stays prepared.
	}
	else
	{
		$run->sql($s, 'COMMIT');
	}
	$transactions++;
	return $ctx;
}

# One random step on one random table; steps that do not suit the table are passed over.
sub step
{
	my ($s, $ctx) = @_;
	my @tables = $run->model->tables;
	for (1 .. 20)
	{
		my $name = weighted();
		next if $name =~ /^ddl/ && $s == $b;
		my $t = pick(@tables);
		# A table that is off most of the time would show little.
		next if $name =~ /^disable/ && !$t->{enabled};
		# PostgreSQL refuses DDL and TRUNCATE while deferred checks are pending.
		$run->sql($s, 'SET CONSTRAINTS ALL IMMEDIATE') unless $dml{$name};
		if ($steps{$name}[1]->($run, $s, $ctx, $t))
		{
			$run->{counts}{$name}++;
			return $name;
		}
	}
	return;
}

sub weighted
{
	my $total = 0;
	$total += $_->[0] for values %steps;
	my $at = rand $total;
	for my $name (sort keys %steps)
	{
		$at -= $steps{$name}[0];
		return $name if $at < 0;
	}
	return (sort keys %steps)[-1];
}

sub compare
{
	my ($s) = @_;
	my $difference = $run->check($s);
	die "after transaction $transactions: $difference" if $difference;
	return;
}

# Long histories and tables make each comparison slow.
sub shorten
{
	for my $t ($run->model->tables)
	{
		if (@{ $t->{hist} } > 600)
		{
			$c->do('SELECT truncate_history_table('
				  . RandomValues::quote_text(RandomRun::derived($t, '__history')) . ')');
			$t->{hist} = [];
			$t->{ended} = {};
			$run->forget;
		}
		next if keys %{ $t->{rows} } <= 80 || $t->{refs};
		$run->begin($c);
		my $ctx = $run->context($c);
		$run->know($c, $ctx);
		my @keys = (sort keys %{ $t->{rows} })[ 0 .. 59 ];
		$run->sql($c, 'DELETE FROM ' . RandomSteps::only($t) . RandomSteps::table_sql($t)
			  . ' WHERE ' . RandomSteps::where_keys($t, @keys));
		$run->model->delete($t, $ctx, @keys);
		$run->sql($c, 'COMMIT');
		compare($c);
	}
	return;
}
