# Part of test/t/fuzz_rights.pl: whose rights the code gets that is on the tables of the
# older implementation, while a database is adopted.
#
# Registry and log belong to the owner of the database, tables to him or another role;
# all the code of FuzzHooks.pm is on them.  Then the owner of the database, or a
# superuser, adopts: with CREATE EXTENSION VERSION 'unpackaged' and ALTER EXTENSION
# UPDATE, whose scripts run as the superuser, since the extension is trusted.

package FuzzAdoption;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzCanary;
use FuzzHooks;
use FuzzWorld;

our @EXPORT = qw(adoption_run adoption_report);

my ($rounds, $adopted, %refused) = (0, 0);

sub adoption_run
{
	my ($seconds, $implementation) = @_;
	my $until = time() + $seconds;
	template($implementation);
	do { one_round() } while time() < $until;
	use_database('fuzz');
	return;
}

# A database with the functions of the older implementation, and the code.
sub template
{
	my ($implementation) = @_;
	use_database('postgres');
	as('super')->do('CREATE DATABASE fuzz_old OWNER fuzz_db');
	use_database('fuzz_old');
	make_schemas();
	must('super', 'GRANT ALL ON SCHEMA public TO PUBLIC');
	hooks_setup(qw(fuzz_db fuzz_a fuzz_b fuzz_part fuzz_reader));
	must('fuzz_db', 'SET search_path = public', $implementation, 'GRANT ALL ON catmaid_history_table, catmaid_transaction_info TO PUBLIC');
	use_database('postgres');
	return;
}

sub one_round
{
	$rounds++;
	mark();
	use_database('postgres');
	as('super')->do("CREATE DATABASE fuzz_adopted OWNER fuzz_db TEMPLATE fuzz_old");
	use_database('fuzz_adopted');
	new_round();
	my $owner = pick('fuzz_db', 'fuzz_a');
	my $timed = chance(0.4);
	my $family = chance(0.4);
	my $columns = '(id int PRIMARY KEY, i int, c text, m fuzz_a.mood, d fuzz_a.dom, edited timestamptz DEFAULT now(), txid bigint DEFAULT 1)';
	note_step('super', 'a database of fuzz_db with the older implementation, and the functions of FuzzHooks.pm');
	step($owner, 'SET search_path = public', $family ? ("CREATE TABLE p $columns", 'CREATE TABLE t (x int, PRIMARY KEY (id)) INHERITS (p)') : "CREATE TABLE t $columns");
	my $answer = step(pick($owner, $owner, 'super'), 'SET search_path = public', "SELECT create_history_table('t'" . ($timed ? ", 'edited', 'txid')" : ')'));
	return drop() if $answer->{error};
	step($owner, 'SET search_path = public', "INSERT INTO t (id, i, c, m, d) SELECT i, i, 'c', '1', 1 FROM generate_series(1, 4) i", 'UPDATE t SET i = i + 1', chance(0.5) ? 'DELETE FROM t__tracking' : ());
	my @places = ([ live => 't' ], [ history => 't__history' ], [ tracking => 't__tracking' ], [ view => 't__with_history' ], [ registry => 'catmaid_history_table' ], [ log => 'catmaid_transaction_info' ],
		$family ? ([ parent => 'p' ], [ parent_history => 'p__history' ]) : ());
	plant_all('public', @$_) for grep { chance($_->[0] =~ /registry|log/ ? 0.2 : 0.8) } @places;
	my $role = pick('fuzz_db', 'super');
	my $here = 0;
	my $shape = { timed => $timed, $family ? (parent => 'p') : () };
	for my $sql ("CREATE EXTENSION catmaid_history VERSION 'unpackaged'", 'SELECT count(*) FROM check_history()', 'ALTER EXTENSION catmaid_history UPDATE', 'SELECT repair_history()', 'SELECT count(*) FROM check_history()',
		(map { commands(pick('mending', 'managing'), $shape) } 1 .. 3), chance(0.2) ? ("ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged'", 'ALTER EXTENSION catmaid_history UPDATE') : ())
	{
		my $error = command('public', 'public', 'managing', chance(0.8) ? $role : 'super', $sql)->{error};
		# the older functions, which are there without, are none of ours
		if ($error && !$here) { $refused{ $error->{M} =~ s/x_\d+/x_N/r }++; last }
		$here = 1 if $sql =~ /UPDATE$/;
	}
	$adopted++ if $here;
	drop();
	return;
}

sub drop
{
	use_database('postgres');
	as('super')->do('DROP DATABASE fuzz_adopted WITH (FORCE)');
	return;
}

sub step
{
	my ($role, @sql) = @_;
	note_step($role, join ";\n", @sql);
	return once($role, @sql);
}

sub adoption_report { return "$rounds rounds, $adopted of them adopted" . ($ENV{FUZZ_VERBOSE} ? join "\n", '', map { "$_ $refused{$_}" } sort keys %refused : '') }

1;
