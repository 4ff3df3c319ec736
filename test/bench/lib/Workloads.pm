# The writing workloads: for each the statement, and what the floor does besides.
#
# Each turn is rolled back and vacuumed away, so that all turns meet the same tables;
# only pgbench's transactions commit.
package Workloads;

use strict;
use warnings;
use Subjects;

# Statements on all (or very many) rows: milliseconds.
our @bulk = (
	{
		name => 'UPDATE of all rows',
		sql => sub { "UPDATE treenode SET location_x = location_x + 1" . Subjects::edition($_[0]) . ";" },
		floor => sub { Subjects::history_of_all($_[0]) . tracking_update($_[0], 'true') },
	},
	{
		name => 'DELETE of all rows',
		sql => sub { 'DELETE FROM treenode;' },
		floor => sub { Subjects::history_of_all($_[0]) . ($_[0] eq 'tracking' ? "DELETE FROM tracking;\n" : '') },
	},
	{
		name => 'INSERT of all rows',
		sql => sub { "INSERT INTO treenode ($Subjects::columns) SELECT $Subjects::values FROM generate_series($_[1] + 1, 2 * $_[1]) i;" },
		floor_after => sub { tracking_insert($_[0], $_[1]) },
	},
	{
		name => 'COPY in',
		prepare => sub {
			"\\! rm -f $_[2]/rows.copy\nCOPY (SELECT $Subjects::values FROM generate_series($_[1] + 1, 2 * $_[1]) i) TO '$_[2]/rows.copy';";
		},
		sql => sub { "COPY treenode ($Subjects::columns) FROM '$_[2]/rows.copy';" },
		floor_after => sub { tracking_insert($_[0], $_[1]) },
	},
	{
		name => 'FK cascade to 10,000 rows',
		prepare => sub {
			return "CREATE TABLE skeleton AS SELECT i::bigint AS id FROM generate_series(0, $_[1] / 100) i;\n"
			  . "ALTER TABLE skeleton ADD PRIMARY KEY (id);\n"
			  . "ALTER TABLE treenode ADD FOREIGN KEY (skeleton_id) REFERENCES skeleton ON DELETE CASCADE;\n";
		},
		sql => sub { 'DELETE FROM skeleton WHERE id <= 100;' },
		floor => sub {
			Subjects::history_of($_[0], 'l.skeleton_id <= 100') . ";\n"
			  . ($_[0] eq 'tracking' ? "DELETE FROM tracking t USING treenode l WHERE l.skeleton_id <= 100 AND t.live_pk = l.id;\n" : '');
		},
	},
	{
		name => 'TRUNCATE',
		sql => sub { 'TRUNCATE treenode;' },
		floor => sub { Subjects::history_of_all($_[0]) . ($_[0] eq 'tracking' ? "TRUNCATE tracking;\n" : '') },
	},
);

# One row at a time: transactions per second.
our @single = (
	{
		name => 'one-row UPDATE, 1 client', clients => 1,
		sql => sub { update_one($_[0], $_[1], '') },
		floor => sub { update_one($_[0], $_[1], floor_one($_[0], 1)) },
	},
	{
		name => 'one-row UPDATE, 2 clients', clients => 2,
		sql => sub { update_one($_[0], $_[1], '') },
		floor => sub { update_one($_[0], $_[1], floor_one($_[0], 1)) },
	},
	{
		name => 'one-row INSERT, then DELETE', clients => 1,
		sql => sub { insert_delete($_[0], $_[1], '', '') },
		floor => sub {
			insert_delete($_[0], $_[1],
				$_[0] eq 'tracking' ? 'WITH t AS (INSERT INTO tracking VALUES (:id, now(), txid_current())) ' : '',
				floor_one($_[0], 0));
		},
	},
);

sub tracking_update
{
	my ($shape, $where) = @_;
	return '' if $shape ne 'tracking';
	return "UPDATE tracking SET edition_time = greatest(edition_time, now()), txid = txid_current() WHERE $where;\n";
}

sub tracking_insert
{
	my ($shape, $rows) = @_;
	return '' if $shape ne 'tracking';
	return "INSERT INTO tracking SELECT id, now(), txid_current() FROM treenode WHERE id > $rows;\n";
}

# What the floor does besides, in the same statement and so in the same round trip.
sub floor_one
{
	my ($shape, $updating) = @_;
	my $with = 'WITH h AS (' . Subjects::history_of($shape, 'l.id = :id') . ')';
	$with .= $updating
	  ? ', t AS (UPDATE tracking SET edition_time = greatest(edition_time, now()), txid = txid_current() WHERE live_pk = :id)'
	  : ', t AS (DELETE FROM tracking WHERE live_pk = :id)'
	  if $shape eq 'tracking';
	return "$with ";
}

sub update_one
{
	my ($shape, $rows, $with) = @_;
	return "\\set id random(1, $rows)\n${with}UPDATE treenode SET location_x = location_x + 1"
	  . Subjects::edition($shape) . " WHERE id = :id;\n";
}

sub insert_delete
{
	my ($shape, $rows, $with_insert, $with_delete) = @_;
	my $values = $Subjects::values;
	$values =~ s/\bi\b/:id::bigint/g;
	return "\\set id random($rows + 1, 100 * $rows)\n"
	  . "${with_insert}INSERT INTO treenode ($Subjects::columns) SELECT $values;\n"
	  . "${with_delete}DELETE FROM treenode WHERE id = :id;\n";
}

1;
