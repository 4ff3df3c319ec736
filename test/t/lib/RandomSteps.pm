# Random DML, and what it does to the model.
#
# Every step is a function of (run, session, transaction, table) that executes
# one statement and tells the model; it returns false, having done nothing, where
# it does not suit the table.  `run` is the test's RandomRun.

package RandomSteps;

use strict;
use warnings;
use Exporter 'import';
use RandomModel;
use RandomValues qw(pick chance some quote_ident quote_text literal copy_text random_value);
our @EXPORT_OK = qw(steps table_sql column_sql only free_columns time_set random_row model_update insert_head values_sql);

# name => [weight, function]
sub steps
{
	return (
		insert => [ 14, \&insert ],
		copy => [ 4, \&copy ],
		upsert => [ 6, \&upsert ],
		update => [ 20, \&update ],
		update_parent => [ 8, \&update_family ],
		update_prepared => [ 5, \&update_prepared ],
		change_key => [ 6, \&change_key ],
		swap_keys => [ 3, \&swap_keys ],
		move_partition => [ 4, \&move_partition ],
		partition => [ 5, \&partition ],
		delete => [ 6, \&delete_rows ],
		delete_parent => [ 3, \&delete_family ],
		truncate => [ 1, \&truncate_table ],
		merge => [ 5, \&merge ],
		with => [ 4, \&with ],
		fails => [ 3, \&fails ],
	);
}

# --- names and clauses -------------------------------------------------------

sub table_sql { my ($t) = @_; return quote_ident($t->{schema}) . '.' . quote_ident($t->{name}) }

# FROM ONLY the table itself; a partitioned table has no rows of its own.
sub only { my ($t) = @_; return $t->{partitions} ? '' : 'ONLY ' }

sub column_sql { my ($t, $cid) = @_; return quote_ident(RandomModel::column($t, $cid)->{n}) }

sub where_keys
{
	my ($t, @keys) = @_;
	my @cols = map { RandomModel::column($t, $_) } @{ $t->{key} };
	my $names = join ', ', map { quote_ident($_->{n}) } @cols;
	my @tuples;
	for my $key (@keys)
	{
		my $vals = $t->{rows}{$key}{vals};
		push @tuples, '(' . join(', ', map { literal($vals->{ $_->{cid} }, $_->{t}) } @cols) . ')';
	}
	return "($names) IN (" . join(', ', @tuples) . ')';
}

# Columns that a step may give any value.
sub free_columns
{
	my ($t) = @_;
	my %taken = map { ($_ // '') => 1 } @{ $t->{key} }, $t->{time}, $t->{txid};
	return grep { !$taken{ $_->{cid} } && !$_->{gen} } @{ $t->{cols} };
}

sub random_for
{
	my ($r, $c) = @_;
	if ($c->{fk})
	{
		my $parent = $r->model->table($c->{fk});
		my @ids = map { $_->{vals}{ $parent->{key}[0] } } map { $parent->{rows}{$_} } sort keys %{ $parent->{rows} };
		return @ids && chance(0.85) ? pick(@ids) : undef;
	}
	return random_value($c->{t});
}

# A key that is not in use: a new one, or sometimes one that was.
sub random_key
{
	my ($r, $t) = @_;
	my $used = $r->{used_keys}{ $t->{id} } //= [];
	if (@$used && chance(0.3))
	{
		my $old = pick(@$used);
		my @known = grep { exists $old->{$_} } @{ $t->{key} };
		my ($region) = map { $_->{cid} } grep { $_->{region} } @{ $t->{cols} };
		return {%$old} if @known == @{ $t->{key} } && keys %$old == @known
		  && (!$region || grep { $_ == $old->{$region} } @{ $t->{regions} })
		  && !$t->{rows}{ RandomModel::key_text($t, $old) };
	}
	my %key;
	my $first = 1;
	for my $cid (@{ $t->{key} })
	{
		my $c = RandomModel::column($t, $cid);
		if ($c->{region}) { $key{$cid} = pick(@{ $t->{regions} }) }
		elsif ($first && $c->{t} =~ /^(int4|int8|numeric|text)$/) { $key{$cid} = $r->next_id; $first = 0 }
		else { $key{$cid} = $c->{t} =~ /^int/ ? int rand 3 : pick('x', 'y', 'z') }
	}
	push @$used, {%key};
	splice @$used, 0, 50 if @$used > 100;
	return \%key;
}

# Values for a new row; the time and txid columns are left to their defaults.
sub random_row
{
	my ($r, $t, $ctx) = @_;
	my $vals = random_key($r, $t);
	$vals->{ $_->{cid} } = random_for($r, $_) for free_columns($t);
	if ($t->{kind} eq 'time')
	{
		$vals->{ $t->{time} } = $ctx->{ts};
		$vals->{ $t->{txid} } = $ctx;
	}
	return $vals;
}

sub insert_columns
{
	my ($t) = @_;
	return grep {
		!$_->{gen} && $_->{cid} ne ($t->{time} // '') && $_->{cid} ne ($t->{txid} // '')
	} @{ $t->{cols} };
}

sub insert_head
{
	my ($t) = @_;
	return table_sql($t) . ' (' . join(', ', map { quote_ident($_->{n}) } insert_columns($t)) . ')';
}

sub values_sql
{
	my ($t, @rows) = @_;
	return 'VALUES ' . join ', ', map {
		my $vals = $_;
		'(' . join(', ', map { literal($vals->{ $_->{cid} }, $_->{t}) } insert_columns($t)) . ')'
	} @rows;
}

sub distinct_rows
{
	my ($r, $t, $ctx, $n) = @_;
	my %rows;
	for (1 .. $n)
	{
		my $row = random_row($r, $t, $ctx);
		$rows{ RandomModel::key_text($t, $row) } = $row;
	}
	return map { $rows{$_} } sort keys %rows;
}

# New values for some columns: (SET list, { cid => value }).  A table with a time
# column is mostly, but unless it is well behaved not always, given the time.
sub random_set
{
	my ($r, $t, $ctx) = @_;
	my @cols = some(1, 3, free_columns($t)) or return;
	my %change = map { $_->{cid} => random_for($r, $_) } @cols;
	my @set = map { quote_ident($_->{n}) . ' = ' . literal($change{ $_->{cid} }, $_->{t}) } @cols;
	if ($t->{kind} eq 'time')
	{
		my $name = column_sql($t, $t->{time});
		my $how = $t->{well_behaved} ? 0 : rand;
		if ($how < 0.7) { push @set, "$name = now()"; $change{ $t->{time} } = $ctx->{ts} }
		elsif ($how < 0.8) { push @set, "$name = NULL"; $change{ $t->{time} } = undef }
		elsif ($how < 0.9)
		{
			push @set, "$name = now() - interval '1 hour'";
			$change{ $t->{time} } = $ctx->{ts} - 3600e6;
		}
	}
	return (join(', ', @set), \%change);
}

# The time column's part of an update that random_set() did not write.
sub time_set
{
	my ($t, $ctx) = @_;
	return ('', {}) if $t->{kind} ne 'time';
	return (', ' . column_sql($t, $t->{time}) . ' = now()', { $t->{time} => $ctx->{ts} });
}

sub some_keys { my ($t, $min, $max) = @_; return some($min, $max, sort keys %{ $t->{rows} }) }

# --- the model's side of changes, with foreign keys and suppressed rows --------

sub model_update
{
	my ($r, $t, $ctx, $changes) = @_;
	my %kept;
	my @cascades;
	for my $key (sort keys %$changes)
	{
		next if suppressed($t, { %{ $t->{rows}{$key}{vals} }, %{ $changes->{$key} } });
		$kept{$key} = $changes->{$key};
		my $id = $t->{key}[0];
		push @cascades, [ $t->{rows}{$key}{vals}{$id}, $changes->{$key}{$id} ]
		  if $t->{refs} && exists $changes->{$key}{$id};
	}
	$r->model->update($t, $ctx, \%kept) if %kept;
	for my $pair (@cascades)
	{
		for my $ref (@{ $t->{refs} })
		{
			my $child = $r->model->table($ref->{table});
			my %change = map { $_ => { $ref->{cid} => $pair->[1] } } referrers($child, $ref, $pair->[0]);
			$r->model->update($child, $ctx, \%change) if %change;
		}
	}
	return;
}

sub model_delete
{
	my ($r, $t, $ctx, @keys) = @_;
	my @ids = map { $t->{rows}{$_}{vals}{ $t->{key}[0] } } @keys;
	$r->model->delete($t, $ctx, @keys);
	for my $ref (@{ $t->{refs} // [] })
	{
		my $child = $r->model->table($ref->{table});
		for my $id (@ids)
		{
			my @referrers = referrers($child, $ref, $id) or next;
			if ($ref->{action} eq 'cascade') { $r->model->delete($child, $ctx, @referrers) }
			else { $r->model->update($child, $ctx, { map { $_ => { $ref->{cid} => undef } } @referrers }) }
		}
	}
	return;
}

sub referrers
{
	my ($child, $ref, $id) = @_;
	return grep { ($child->{rows}{$_}{vals}{ $ref->{cid} } // '') eq $id } sort keys %{ $child->{rows} };
}

# Some tables have a trigger that swallows changes to this value.
sub suppressed
{
	my ($t, $vals) = @_;
	my $c = $t->{suppress} && RandomModel::column($t, $t->{suppress}) or return 0;
	return ($vals->{ $c->{cid} } // '') eq '42';
}

# --- the steps -----------------------------------------------------------------

sub insert
{
	my ($r, $s, $ctx, $t) = @_;
	my @rows = distinct_rows($r, $t, $ctx, 1 + int rand 5);
	my $source = values_sql($t, @rows);
	$source = "SELECT * FROM ($source) AS v" if chance(0.3);
	$r->sql($s, 'INSERT INTO ' . insert_head($t) . " $source");
	$r->model->insert($t, $ctx, $_) for @rows;
	return 1;
}

sub copy
{
	my ($r, $s, $ctx, $t) = @_;
	my @rows = distinct_rows($r, $t, $ctx, 1 + int rand 8);
	my $data = join '', map {
		my $vals = $_;
		join("\t", map { copy_text($vals->{ $_->{cid} }) } insert_columns($t)) . "\n"
	} @rows;
	$r->sql($s, 'COPY ' . insert_head($t) . ' FROM STDIN', $data);
	$r->model->insert($t, $ctx, $_) for @rows;
	return 1;
}

sub upsert
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if $t->{deferrable};
	my @new = distinct_rows($r, $t, $ctx, 1 + int rand 2);
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my @old = some_keys($t, 0, 2);
	my @all = (@new, map {
		{ %{ random_row($r, $t, $ctx) }, map_key($t, $_) }
	} @old);
	my $names = join ', ', map { column_sql($t, $_) } @{ $t->{key} };
	$r->sql($s, 'INSERT INTO ' . insert_head($t) . ' ' . values_sql($t, @all)
		  . " ON CONFLICT ($names) DO UPDATE SET $set");
	$r->model->insert($t, $ctx, $_) for @new;
	model_update($r, $t, $ctx, { map { $_ => {%$change} } @old }) if @old;
	return 1;
}

sub map_key
{
	my ($t, $key) = @_;
	my $vals = $t->{rows}{$key}{vals};
	return map { $_ => $vals->{$_} } @{ $t->{key} };
}

sub update
{
	my ($r, $s, $ctx, $t) = @_;
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my @keys = chance(0.1) ? sort keys %{ $t->{rows} } : some_keys($t, 1, 6);
	return 0 unless @keys;
	$r->sql($s, 'UPDATE ' . only($t) . table_sql($t) . " SET $set WHERE " . where_keys($t, @keys));
	model_update($r, $t, $ctx, { map { $_ => {%$change} } @keys });
	return 1;
}

# Through a parent: rows of the table and of its children, found by a column that all have.
sub update_family
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless @{ $t->{children} };
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my @found = family_rows($r, $t) or return 0;
	$r->sql($s, 'UPDATE ' . table_sql($t) . " SET $set WHERE " . family_where($t, @found));
	for my $m ($r->model->family($t))
	{
		my %mapped = map {
			RandomModel::column_named($m, RandomModel::column($t, $_)->{n})->{cid} => $change->{$_}
		} keys %$change;
		my %changes = map { $_->[1] => {%mapped} } grep { $_->[0]{id} eq $m->{id} } @found;
		model_update($r, $m, $ctx, \%changes) if %changes;
	}
	return 1;
}

sub delete_family
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless @{ $t->{children} };
	my @found = family_rows($r, $t) or return 0;
	$r->sql($s, 'DELETE FROM ' . table_sql($t) . ' WHERE ' . family_where($t, @found));
	model_delete($r, $_->[0], $ctx, $_->[1]) for @found;
	return 1;
}

# [member, key text] of some rows of the family.
sub family_rows
{
	my ($r, $t) = @_;
	my @all;
	for my $m ($r->model->family($t))
	{
		push @all, map { [ $m, $_ ] } sort keys %{ $m->{rows} };
	}
	return some(1, 6, @all);
}

# Ids are unique in a family, as they come from one counter.
sub family_where
{
	my ($t, @found) = @_;
	my $c = RandomModel::column($t, $t->{key}[0]);
	return quote_ident($c->{n}) . ' IN (' . join(', ', map {
		my ($m, $key) = @$_;
		literal($m->{rows}{$key}{vals}{ $m->{key}[0] }, $c->{t})
	} @found) . ')';
}

# A statement that is planned once and used again, across DDL and toggling.
sub update_prepared
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if @{ $t->{key} } > 1;
	my ($c) = free_columns($t) or return 0;
	return 0 if $c->{fk};
	my ($key) = some_keys($t, 1, 1) or return 0;
	my $id = RandomModel::column($t, $t->{key}[0]);
	my ($more, $change) = time_set($t, $ctx);
	my $sql = 'UPDATE ' . only($t) . table_sql($t) . ' SET ' . quote_ident($c->{n}) . ' = $2'
	  . $more . ' WHERE ' . quote_ident($id->{n}) . ' = $1';
	my $prepared = $r->{prepared}{ $s->{name} } //= {};
	my $spec = "$sql $id->{t} $c->{t}";
	unless ($prepared->{$spec})
	{
		$prepared->{$spec} = 'p' . ++$r->{prepared_count};
		$r->sql($s, "PREPARE $prepared->{$spec} ($id->{t}, $c->{t}) AS $sql");
	}
	my $value = random_for($r, $c);
	$r->sql($s, "EXECUTE $prepared->{$spec} ("
		  . literal($t->{rows}{$key}{vals}{ $id->{cid} }, $id->{t}) . ', ' . literal($value, $c->{t}) . ')');
	model_update($r, $t, $ctx, { $key => { %$change, $c->{cid} => $value } });
	return 1;
}

sub change_key
{
	my ($r, $s, $ctx, $t) = @_;
	my ($key) = some_keys($t, 1, 1) or return 0;
	my $new = random_key($r, $t);
	my ($more, $change) = time_set($t, $ctx);
	my $set = join ', ', map { column_sql($t, $_) . ' = ' . literal($new->{$_}, RandomModel::column($t, $_)->{t}) } sort keys %$new;
	$r->sql($s, 'UPDATE ' . only($t) . table_sql($t) . " SET $set$more WHERE " . where_keys($t, $key));
	model_update($r, $t, $ctx, { $key => { %$change, %$new } });
	return 1;
}

# Two rows trade keys in one statement, which takes a deferrable key.  SPEC does not
# say whose start counts when they are younger than the transaction.
sub swap_keys
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{deferrable} && !$r->{old_transaction};
	my ($a, $b) = some_keys($t, 2, 2);
	return 0 unless defined $b;
	my $cid = $t->{key}[0];
	my $name = column_sql($t, $cid);
	my $type = RandomModel::column($t, $cid)->{t};
	my ($va, $vb) = map { $t->{rows}{$_}{vals}{$cid} } $a, $b;
	my ($la, $lb) = map { literal($_, $type) } $va, $vb;
	my ($more, $change) = time_set($t, $ctx);
	$r->sql($s, 'UPDATE ' . table_sql($t) . " SET $name = CASE $name WHEN $la THEN $lb ELSE $la END$more WHERE $name IN ($la, $lb)");
	model_update($r, $t, $ctx, { $a => { %$change, $cid => $vb }, $b => { %$change, $cid => $va } });
	return 1;
}

sub move_partition
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{partitions};
	my ($key) = some_keys($t, 1, 1) or return 0;
	my ($c) = grep { $_->{region} } @{ $t->{cols} };
	my $old = $t->{rows}{$key}{vals};
	my $region = pick(grep { $_ ne $old->{ $c->{cid} } } @{ $t->{regions} }) // return 0;
	return 0 if $t->{rows}{ RandomModel::key_text($t, { %$old, $c->{cid} => $region }) };
	my ($more, $change) = time_set($t, $ctx);
	$r->sql($s, 'UPDATE ' . table_sql($t) . ' SET ' . quote_ident($c->{n}) . ' = '
		  . literal($region, $c->{t}) . "$more WHERE " . where_keys($t, $key));
	model_update($r, $t, $ctx, { $key => { %$change, $c->{cid} => $region } });
	return 1;
}

# Straight on one partition.
sub partition
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{partitions};
	my $p = pick(@{ $t->{partitions} });
	my ($c) = grep { $_->{region} } @{ $t->{cols} };
	my %in = map { $_ => 1 } @{ $p->{regions} };
	my @keys = grep { $in{ $t->{rows}{$_}{vals}{ $c->{cid} } } } sort keys %{ $t->{rows} };
	my $name = table_sql($p);
	if (chance(0.05))
	{
		$r->sql($s, "TRUNCATE $name");
		model_delete($r, $t, $ctx, @keys);
		return 1;
	}
	@keys = some(1, 4, @keys) or return 0;
	if (chance(0.3))
	{
		$r->sql($s, "DELETE FROM $name WHERE " . where_keys($t, @keys));
		model_delete($r, $t, $ctx, @keys);
		return 1;
	}
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	$r->sql($s, "UPDATE $name SET $set WHERE " . where_keys($t, @keys));
	model_update($r, $t, $ctx, { map { $_ => {%$change} } @keys });
	return 1;
}

sub delete_rows
{
	my ($r, $s, $ctx, $t) = @_;
	my @keys = some_keys($t, 1, 4) or return 0;
	$r->sql($s, 'DELETE FROM ' . only($t) . table_sql($t) . ' WHERE ' . where_keys($t, @keys));
	model_delete($r, $t, $ctx, @keys);
	return 1;
}

sub truncate_table
{
	my ($r, $s, $ctx, $t) = @_;
	my $only = @{ $t->{children} } && chance(0.5);
	my @gone = $only ? ($t) : $r->model->family($t);
	push @gone, map { $r->model->table($_->{table}) } @{ $t->{refs} // [] };
	$r->sql($s, 'TRUNCATE ' . ($only ? 'ONLY ' : '') . table_sql($t) . ($t->{refs} ? ' CASCADE' : ''));
	$r->model->truncate($_, $ctx) for @gone;
	return 1;
}

sub merge
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if $r->{version} < 15 || @{ $t->{children} };
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my @old = some_keys($t, 0, 4);
	my @new = distinct_rows($r, $t, $ctx, 1 + int rand 2);
	my %verb = map { $_ => pick(qw(delete update nothing)) } @old;
	my @cols = insert_columns($t);
	my @source = map {
		my $vals = $_->[1];
		'(' . join(', ', quote_text($_->[0]), map { literal($vals->{ $_->{cid} }, $_->{t}) } @cols) . ')'
	} ((map { [ $verb{$_}, $t->{rows}{$_}{vals} ] } @old), map { [ 'insert', $_ ] } @new);
	my $names = join ', ', map { quote_ident($_->{n}) } @cols;
	my $on = join ' AND ', map { 't.' . column_sql($t, $_) . ' = s.' . column_sql($t, $_) } @{ $t->{key} };
	my $values = join ', ', map { 's.' . quote_ident($_->{n}) } @cols;
	$r->sql($s, 'MERGE INTO ' . table_sql($t) . ' AS t USING (VALUES ' . join(', ', @source)
		  . ") AS s (verb, $names) ON $on"
		  . " WHEN MATCHED AND s.verb = 'delete' THEN DELETE"
		  . " WHEN MATCHED AND s.verb = 'update' THEN UPDATE SET $set"
		  . " WHEN NOT MATCHED THEN INSERT ($names) VALUES ($values)");
	# AFTER triggers fire when the statement is over, so the order does not matter.
	my @deleted = grep { $verb{$_} eq 'delete' } @old;
	my @updated = grep { $verb{$_} eq 'update' } @old;
	model_update($r, $t, $ctx, { map { $_ => {%$change} } @updated }) if @updated;
	model_delete($r, $t, $ctx, @deleted) if @deleted;
	$r->model->insert($t, $ctx, $_) for @new;
	return 1;
}

# A delete, an update and an insert in one statement.
sub with
{
	my ($r, $s, $ctx, $t) = @_;
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my @keys = some_keys($t, 2, 6);
	return 0 if @keys < 2;
	my $deleted = shift @keys;
	my ($new) = distinct_rows($r, $t, $ctx, 1);
	my $name = only($t) . table_sql($t);
	$r->sql($s, "WITH d AS (DELETE FROM $name WHERE " . where_keys($t, $deleted) . ' RETURNING 1), '
		  . "u AS (UPDATE $name SET $set WHERE " . where_keys($t, @keys) . ' RETURNING 1) '
		  . 'INSERT INTO ' . insert_head($t) . ' ' . values_sql($t, $new));
	$r->model->insert($t, $ctx, $new);
	model_update($r, $t, $ctx, { map { $_ => {%$change} } @keys });
	model_delete($r, $t, $ctx, $deleted);
	return 1;
}

# A statement that changes rows and then fails leaves nothing.
sub fails
{
	my ($r, $s, $ctx, $t) = @_;
	my $id = RandomModel::column($t, $t->{key}[0]);
	return 0 unless $id->{t} =~ /^int/;
	my @keys = some_keys($t, 3, 6);
	return 0 if @keys < 3;
	my ($set, $change) = random_set($r, $t, $ctx) or return 0;
	my $last = $t->{rows}{ $keys[-1] }{vals}{ $id->{cid} };
	$r->sql($s, 'SAVEPOINT fails');
	$r->fails($s, 'UPDATE ' . only($t) . table_sql($t) . " SET $set WHERE " . where_keys($t, @keys)
		  . ' AND 1 / (' . quote_ident($id->{n}) . " - $last) IS NOT NULL", '22012');
	$r->sql($s, 'ROLLBACK TO fails');
	return 1;
}

1;
