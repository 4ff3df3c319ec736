# Random DDL on tracked tables as a whole, and what history has to make of it.

package RandomTables;

use strict;
use warnings;
use Carp;
use RandomModel;
use RandomValues qw(pick chance some quote_ident quote_text);
use RandomSteps qw(table_sql column_sql);
use RandomManage qw(make_table);
use RandomColumns qw(run family followed with_name candidates widen);

sub nothing
{
	my ($r, $s, $ctx, $t) = @_;
	my ($c) = some(1, 1, candidates($t, {})) or return 0;
	my $table = table_sql($t);
	my $name = quote_ident($c->{n});
	my $check = 'rnd_check_' . $r->next_id;
	my @ways = (
		"CREATE INDEX ON $table (($name IS NULL))",
		"ALTER TABLE $table ADD CONSTRAINT $check CHECK (true)" . ($t->{partitions} ? '' : ' NO INHERIT'),
		"ALTER TABLE $table ALTER COLUMN $name SET STATISTICS 50",
		"ALTER TABLE $table ALTER COLUMN $name SET DEFAULT NULL",
		"COMMENT ON COLUMN $table.$name IS 'something'",
		"ALTER TABLE $table ALTER COLUMN $name DROP NOT NULL",);
	my $sql = pick(@ways);
	run($r, $s, $sql);
	# With a length, NULL is an expression that a change of type meets.
	$_->[1]{has_default} = 1 for $sql =~ /SET DEFAULT/ ? with_name($r, $t, $c->{n}) : ();
	return 1;
}

sub rename_table
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless followed($r, $t);
	my $new = pick('', 'Re"named ') . $t->{id} . '_' . int rand 4;
	return 0 if grep { $_->{name} eq $new } $r->model->tables;
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' RENAME TO ' . quote_ident($new));
	$t->{name} = $new;
	return 1;
}

sub set_schema
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless followed($r, $t);
	my $new = $t->{schema} eq 'public' ? 'odd "one' : 'public';
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' SET SCHEMA ' . quote_ident($new));
	$t->{schema} = $new;
	return 1;
}

sub owner_to
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless followed($r, $t) && $t->{tracked};
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' OWNER TO ' . pick('rnd_owner', 'CURRENT_USER'));
	my @derived = map { RandomRun::derived($t, $_) } '__history', '__with_history',
	  $t->{kind} eq 'tracking' ? '__tracking' : ();
	my $owners = $s->value('SELECT count(DISTINCT relowner) FROM pg_class WHERE oid IN ('
		  . join(', ', map { quote_text($_) . '::regclass' } table_sql($t), @derived) . ')');
	croak "the owners of " . table_sql($t) . " and its derived relations differ" if $owners != 1;
	return 1;
}

sub drop_table
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if @{ $t->{children} } || $t->{refs} || !$t->{tracked} || !$t->{enabled};
	my $id = $t->{id};
	my $history = RandomRun::derived($t, '__history');
	my @gone = map { RandomRun::derived($t, $_) } '__history', '__with_history', '__tracking';
	my $keep = chance(0.3);
	$r->sql($s, 'SET LOCAL catmaid_history.on_drop_table = keep') if $keep;
	run($r, $s, 'DROP TABLE ' . table_sql($t));
	if ($keep)
	{
		my $rows = $s->value("SELECT count(*) FROM ONLY $history");
		# what was live has ended its version
		croak "the history that was kept has $rows rows"
		  if $rows != @{ $t->{hist} } + keys %{ $t->{rows} };
		$r->sql($s, 'SET LOCAL catmaid_history.on_drop_table TO DEFAULT');
		$r->sql($s, "DROP TABLE $history");
	}
	my $left = $s->value('SELECT count(to_regclass(n)) FROM unnest(ARRAY['
		  . join(', ', map { quote_text($_) } @gone) . ']) AS n');
	croak "$left derived relations of the dropped " . table_sql($t) . ' are left' if $left;
	for my $m ($r->model->tables)
	{
		@{ $m->{children} } = grep { $_ ne $id } @{ $m->{children} };
		$m->{refs} = [ grep { $_->{table} ne $id } @{ $m->{refs} } ] if $m->{refs};
	}
	delete $r->model->{tables}{$id};
	$r->forget;
	my $parents_fit = !$t->{parent} || !grep { !$_->{tracked} }
	  ($r->model->table($t->{parent}));
	return 1 unless $parents_fit;
	make_table($r, $s, $ctx, $id);
	return 1;
}

# The columns of a composite key in another order, in one statement or in two.
sub replace_key
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if @{ $t->{key} } < 2 || $t->{partitions} || @{ $t->{children} } || !followed($r, $t);
	my $constraint = $s->value('SELECT conname FROM pg_constraint WHERE contype = \'p\' AND conrelid = '
		  . quote_text(table_sql($t)) . '::regclass');
	my @new = reverse @{ $t->{key} };
	my $alter = 'ALTER TABLE ' . table_sql($t);
	run($r, $s, "$alter DROP CONSTRAINT " . quote_ident($constraint) . pick(', ', "; $alter ")
		  . 'ADD PRIMARY KEY (' . join(', ', map { column_sql($t, $_) } @new) . ')');
	my $turn = sub { return { map { my $k = $_; join("\x1f", reverse split /\x1f/, $k, -1) => $_[0]{$k} } keys %{ $_[0] } } };
	$t->{key} = \@new;
	$t->{$_} = $turn->($t->{$_}) for qw(rows track ended);
	# The new tracking table is made from the live rows: starts of rows that went
	# while tracking was disabled, and have not been synced, are in the old one only.
	delete $t->{track}{$_} for grep { !$t->{rows}{$_} } keys %{ $t->{track} };
	return 1;
}

sub key_type
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if $t->{partitions} || $t->{parent} || $t->{refs} || @{ $t->{children} } || !followed($r, $t);
	return 0 if RandomColumns::just_synced($r, $ctx, $t);
	my ($c) = grep { $_->{t} eq 'int4' && !$_->{identity} } map { RandomModel::column($t, $_) } @{ $t->{key} };
	return 0 unless $c;
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' ALTER COLUMN ' . quote_ident($c->{n}) . ' TYPE int8');
	widen($r, $t, $c->{n}, 'int8');
	return 1;
}

# Refused with a hint, and nothing changed.
sub refused
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked} && $t->{enabled} && !$t->{parent};
	my $table = table_sql($t);
	my $history = RandomRun::derived($t, '__history');
	my ($c) = some(1, 1, candidates($t, {}));
	my @ways = (
		"ALTER TABLE $table ADD COLUMN sys_period int",
		"ALTER TABLE $table ADD COLUMN exec_transaction_id text",
		"DROP TABLE $history",
		"ALTER TABLE $history RENAME TO elsewhere",);
	push @ways, "ALTER TABLE $table RENAME COLUMN " . quote_ident($c->{n}) . ' TO sys_period' if $c;
	push @ways, "ALTER TABLE $table DROP COLUMN " . column_sql($t, $t->{time}),
	  "ALTER TABLE $table ALTER COLUMN " . column_sql($t, $t->{txid}) . ' TYPE text' if $t->{kind} eq 'time';
	push @ways, 'DROP TABLE ' . RandomRun::derived($t, '__tracking') if $t->{kind} eq 'tracking';
	my $sql = pick(@ways);
	$r->sql($s, 'SAVEPOINT refused');
	my $error = $r->fails($s, $sql);
	$r->sql($s, 'ROLLBACK TO refused');
	croak "no hint in the refusal of: $sql\n  $error->{M}" unless $error->{H};
	return 1;
}

sub inherit
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless followed($r, $t) && $t->{tracked};
	if ($t->{parent})
	{
		my $parent = $r->model->table($t->{parent});
		return 0 unless followed($r, $parent);
		run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' NO INHERIT ' . table_sql($parent));
		$t->{former_parent} = delete $t->{parent};
		@{ $parent->{children} } = grep { $_ ne $t->{id} } @{ $parent->{children} };
		@$_{qw(inh local)} = (0, 1) for grep { $_->{inh} } @{ $t->{cols} };
		$r->forget;
		return 1;
	}
	my $parent = $r->model->{tables}{ $t->{former_parent} // return 0 } // return 0;
	return 0 unless $parent->{tracked} && followed($r, $parent);
	for my $c (@{ $parent->{cols} })
	{
		my $own = RandomModel::column_named($t, $c->{n}) or return 0;
		return 0 if $own->{t} ne $c->{t};
	}
	my @time = grep { $_ } $parent->{time}, $parent->{key}[0];
	for my $cid (@time)
	{
		my $own = RandomModel::column_named($t, RandomModel::column($parent, $cid)->{n});
		return 0 unless grep { ($_ // '') eq $own->{cid} } $t->{time}, @{ $t->{key} };
	}
	# History must be able to show the child's old versions as the parent's.
	for my $h (@{ $parent->{hcols} })
	{
		return 0 unless grep { $_->{n} eq $h->{n} && $_->{t} eq $h->{t} } @{ $t->{hcols} };
	}
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' INHERIT ' . table_sql($parent));
	$t->{parent} = delete $t->{former_parent};
	push @{ $parent->{children} }, $t->{id};
	for my $c (@{ $parent->{cols} })
	{
		RandomModel::column_named($t, $c->{n})->{inh} = 1;
	}
	$r->forget;
	return 1;
}

sub partitions
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{partitions} && $t->{tracked} && $t->{enabled};
	my $root = table_sql($t);
	if (@{ $t->{partitions} } < 3 || chance(0.3))
	{
		my $region = 4;
		$region++ while grep { $_ == $region } @{ $t->{regions} };
		return 0 if $region > 8;
		my $p = { schema => pick('public', 'odd "one'), name => "$t->{id}_new_" . $r->next_id, regions => [$region] };
		run($r, $s, 'CREATE TABLE ' . table_sql($p) . " PARTITION OF $root FOR VALUES IN ($region)");
		push @{ $t->{partitions} }, $p;
		$t->{regions} = [ @{ $t->{regions} }, $region ];
		return 1;
	}
	my $p = pick(grep { @{ $_->{regions} } == 1 } @{ $t->{partitions} }) // return 0;
	my $name = table_sql($p);
	my $region = $p->{regions}[0];
	my ($c) = grep { $_->{region} } @{ $t->{cols} };
	my @keys = grep { $t->{rows}{$_}{vals}{ $c->{cid} } eq $region } sort keys %{ $t->{rows} };
	my @rows = map { $t->{rows}{$_}{vals} } @keys;
	my $drop = chance(0.3);
	run($r, $s, $drop ? "DROP TABLE $name" : "ALTER TABLE $root DETACH PARTITION $name");
	$r->model->delete($t, $ctx, @keys);
	if (!$drop && chance(0.7))
	{
		run($r, $s, "ALTER TABLE $root ATTACH PARTITION $name FOR VALUES IN ($region)");
		$r->model->insert($t, $ctx, $_) for @rows;
		# They come back with the times that they had, in the midst of their history.
		$r->forget if $t->{kind} eq 'time';
		return 1;
	}
	$r->sql($s, "DROP TABLE $name") unless $drop;
	@{ $t->{partitions} } = grep { $_->{name} ne $p->{name} } @{ $t->{partitions} };
	$t->{regions} = [ grep { $_ != $region } @{ $t->{regions} } ];
	return 1;
}

1;
