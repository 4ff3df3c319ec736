# Random DDL on tracked tables, and what history has to make of it (SPEC section 5).
#
# A column step returns an ALTER TABLE action and a function that tells the model,
# so that several can go into one command.

package RandomDDL;

use strict;
use warnings;
use Carp;
use Encode ();
use Exporter 'import';
use RandomModel;
use RandomValues qw(pick chance some quote_ident quote_text literal random_value random_type base_type);
use RandomSteps qw(table_sql column_sql only free_columns time_set model_update);
use RandomManage qw(make_table ancestors);
our @EXPORT_OK = qw(ddl_steps);

sub ddl_steps
{
	return (
		ddl_add => [ 5, sub { columns_step(@_, \&add_column) } ],
		ddl_drop => [ 4, sub { columns_step(@_, \&drop_column) } ],
		ddl_type => [ 7, sub { columns_step(@_, \&alter_type) } ],
		ddl_several => [ 3, sub { columns_step(@_, \&add_column, \&alter_type, \&drop_column) } ],
		ddl_rename_column => [ 4, \&rename_column ],
		ddl_nothing => [ 3, \&nothing ],
		ddl_rename_table => [ 2, \&rename_table ],
		ddl_schema => [ 2, \&set_schema ],
		ddl_owner => [ 2, \&owner_to ],
		ddl_drop_table => [ 1, \&drop_table ],
		ddl_key => [ 1, \&replace_key ],
		ddl_key_type => [ 1, \&key_type ],
		ddl_refused => [ 3, \&refused ],
		ddl_inherit => [ 1.5, \&inherit ],
		ddl_partition => [ 2, \&partitions ],
	);
}

# The command under way has several actions.
my $several;

# --- running it ------------------------------------------------------------------

# The same command plainly, in a DO block, or inside a function.
sub run
{
	my ($r, $s, $sql) = @_;
	my $how = rand;
	if ($how < 0.6) { return $r->sql($s, $sql) }
	if ($how < 0.8) { return $r->sql($s, "DO \$ddl\$BEGIN $sql; END\$ddl\$") }
	my $text = quote_text($sql);
	$r->sql($s, "CREATE FUNCTION pg_temp.rnd_ddl() RETURNS void LANGUAGE plpgsql AS \$f\$BEGIN EXECUTE $text; END\$f\$");
	$r->sql($s, 'SELECT pg_temp.rnd_ddl()');
	return $r->sql($s, 'DROP FUNCTION pg_temp.rnd_ddl()');
}

sub family { my ($r, $t) = @_; return $r->model->family($t) }

# Tables whose history side is left alone (disabled) would drift apart.
sub followed { my ($r, $t) = @_; return !grep { $_->{tracked} && !$_->{enabled} } family($r, $t) }

sub columns_step
{
	my ($r, $s, $ctx, $t, @makers) = @_;
	my %chosen;
	my @actions;
	my @tell;
	my $keep = chance(0.3);
	for my $maker (@makers)
	{
		my ($action, $tell) = $maker->($r, $s, $ctx, $t, \%chosen, $keep) or next;
		push @actions, $action;
		push @tell, $tell;
	}
	return 0 unless @actions;
	$r->sql($s, 'SET LOCAL catmaid_history.on_drop_column = keep') if $keep;
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' ' . join(', ', @actions));
	$r->sql($s, 'SET LOCAL catmaid_history.on_drop_column TO DEFAULT') if $keep;
	# Drops come first in one command, then types, then additions.
	$several = @tell > 1;
	$_->[1]->() for sort { $a->[0] <=> $b->[0] } @tell;
	RandomModel::in_line($_) for grep { $_->{tracked} && $_->{enabled} } family($r, $t);
	settle_kept_names($r, $s, $_) for $r->model->tables;
	return 1;
}

# --- columns -----------------------------------------------------------------------

# The columns of this name in the table and in all that inherit it.
sub with_name
{
	my ($r, $t, $name) = @_;
	my @found;
	for my $m (family($r, $t))
	{
		my $c = RandomModel::column_named($m, $name) or next;
		push @found, [ $m, $c ];
	}
	return @found;
}

sub free_name
{
	my ($r, $t) = @_;
	my @kept = map { $_->{kept} ? $_->{n} : () } @{ $t->{hcols} // [] };
	for (1 .. 10)
	{
		my $name = @kept && chance(0.3) ? pick(@kept) : pick(qw(x1 x2 x3 x4 x5 x6 Mixed order), 'odd "name', "\xc3\xa4");
		next if with_name($r, $t, $name);
		next if $t->{parent} && RandomModel::column_named($r->model->table($t->{parent}), $name);
		return $name;
	}
	return;
}

# Columns that DDL may change here: not keys, not those that a parent hands down.
sub candidates
{
	my ($t, $chosen) = @_;
	return grep { !$_->{fixed} && !$_->{inh} && !$_->{region} && !$chosen->{ $_->{n} } } free_columns($t);
}

sub set_live
{
	my ($m, $cid, $function) = @_;
	for my $key (keys %{ $m->{rows} })
	{
		my $v = $m->{rows}{$key};
		$m->{rows}{$key} = { %$v, vals => { %{ $v->{vals} }, $cid => $function->($v->{vals}) } };
	}
	return;
}

sub set_history
{
	my ($m, $cid, $function) = @_;
	$_ = { %$_, vals => { %{ $_->{vals} }, $cid => $function->($_->{vals}) } } for @{ $m->{hist} };
	return;
}

# A history column that gives way: its new name is <name>_n, with the first n that
# is free in the history of the table and in those below it.
sub kept_name
{
	my ($as, @members) = @_;
	my %used = map { $_->{n} => 1 } map { @{ $_->{hcols} // [] } } @members;
	my $n = 1;
	$n++ while $used{"${as}_$n"};
	return "${as}_$n";
}

# What a kept column is called.  SPEC leaves open whether the original of a column
# v_1 is kept as v_1_1 or, like one of v, as v_2, and which names are free in the
# middle of a command with several actions: there the catalog is asked.
sub keep_as
{
	my ($h, $name, $kept_name) = @_;
	@$h{qw(n kept)} = ($kept_name, $name);
	move_away($h) if $name =~ /_\d+$/ || $several;
	return;
}

sub move_away
{
	my ($h) = @_;
	$h->{moved} = 1;
	$h->{n} = "moved away from $h->{n} $h->{cid}";
	return;
}

# A live column took the name of a kept one, which moves on: to <name>_2 or to
# <name>_1_1, which is open as well.  A kept column that history inherits moves in
# the whole hierarchy.
sub make_room
{
	my ($r, $m, $name) = @_;
	my @taken = grep { $_->{n} eq $name } @{ $m->{hcols} } or return;
	my ($top) = reverse grep { $_->{tracked} && grep { $_->{kept} && $_->{n} eq $name } @{ $_->{hcols} } } ($m, ancestors($r, $m));
	for my $other (grep { $_->{tracked} } family($r, $top // $m))
	{
		for my $h (grep { $_->{n} eq $name } @{ $other->{hcols} })
		{
			croak "model: history column $name of $other->{name} is not a kept one" unless $h->{kept};
			move_away($h);
		}
	}
	return;
}

sub settle_kept_names
{
	my ($r, $s, $m) = @_;
	my @moved = grep { $_->{moved} } @{ $m->{hcols} // [] } or return;
	my %known = map { $_->{n} => 1 } @{ $m->{hcols} };
	my $rows = $s->do(RandomRun::columns_sql(RandomRun::derived($m, '__history')))->{rows};
	my @new = grep { !$known{$_} } map { $_->[0] =~ s/:[^:]*$//r } @$rows;
	for my $h (@moved)
	{
		my $base = $h->{kept} =~ s/(_\d+)+$//r;
		my ($name) = grep { /^\Q$base\E(_\d+)+$/ } @new;
		croak "the kept column $h->{kept} is nowhere (new columns: @new)" unless defined $name;
		$h->{n} = $name;
		delete $h->{moved};
		@new = grep { $_ ne $name } @new;
	}
	return;
}

sub add_column
{
	my ($r, $s, $ctx, $t, $chosen) = @_;
	my $name = free_name($r, $t) // return;
	return if $chosen->{$name}++;
	my @off = grep { $_->{tracked} && !$_->{enabled} } family($r, $t);
	return if grep { $_->{n} eq $name } map { @{ $_->{hcols} } } @off;
	my $type = random_type();
	my $default = chance(0.4) ? random_value($type) : undef;
	undef $default if defined $default && length $default > 100;
	my $action = 'ADD COLUMN ' . quote_ident($name) . " $type"
	  . (defined $default ? ' DEFAULT ' . literal($default, $type) : '');
	return ($action, [ 3, sub {
		my %has;
		for my $m (family($r, $t))
		{
			my $c = RandomModel::new_column($name, $type, $m->{id} eq $t->{id} ? () : (inh => 1),
				has_default => defined $default);
			push @{ $m->{cols} }, $c;
			set_live($m, $c->{cid}, sub { $default }) if defined $default;
			# A history gets what the history that it inherits from got.
			next unless $m->{tracked} && ($m->{enabled} || $has{ $m->{parent} // '' });
			$has{ $m->{id} } = 1;
			make_room($r, $m, $name);
			push @{ $m->{hcols} }, { cid => $c->{cid}, n => $name, t => base_type($type) };
		}
	} ]);
}

sub drop_column
{
	my ($r, $s, $ctx, $t, $chosen, $keep) = @_;
	return unless followed($r, $t);
	my @from = candidates($t, $chosen);
	return if @from < 2;
	my $c = pick(@from);
	my $name = $c->{n};
	$chosen->{$name} = 1;
	return if $keep && grep { $_->[1]{local} } with_name($r, $t, $name);
	return ('DROP COLUMN ' . quote_ident($name), [ 1, sub {
		my $kept_name = kept_name($name, family($r, $t));
		for my $pair (with_name($r, $t, $name))
		{
			my ($m, $mc) = @$pair;
			if ($m->{id} ne $t->{id} && $mc->{local}) { $mc->{inh} = 0; next }
			@{ $m->{cols} } = grep { $_->{cid} ne $mc->{cid} } @{ $m->{cols} };
			next unless $m->{tracked};
			my ($h) = grep { $_->{cid} eq $mc->{cid} } @{ $m->{hcols} };
			if ($keep)
			{
				keep_as($h, $name, $kept_name);
				set_live($m, $mc->{cid}, sub { undef });
			}
			else { @{ $m->{hcols} } = grep { $_->{cid} ne $mc->{cid} } @{ $m->{hcols} } }
		}
	} ]);
}

sub rename_column
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless followed($r, $t);
	my @from = grep { !$_->{fixed} && !$_->{inh} } @{ $t->{cols} };
	return 0 unless @from;
	my $old = pick(@from)->{n};
	my $new = free_name($r, $t) // return 0;
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' RENAME COLUMN ' . quote_ident($old) . ' TO ' . quote_ident($new));
	for my $pair (with_name($r, $t, $old))
	{
		my ($m, $c) = @$pair;
		$c->{n} = $new;
		next unless $m->{tracked};
		make_room($r, $m, $new);
		$_->{n} = $new for grep { $_->{cid} eq $c->{cid} } @{ $m->{hcols} };
	}
	settle_kept_names($r, $s, $_) for $r->model->tables;
	return 1;
}

# --- types ---------------------------------------------------------------------------

my %lossless = (
	int4 => [qw(int8 numeric text)],
	int8 => [qw(numeric text)],
	numeric => ['text'],
	'varchar(5)' => [ 'varchar(20)', 'text' ],
	'varchar(20)' => [ 'varchar(40)', 'text' ],
	'varchar(40)' => ['text'],
	bool => ['text'],
	jsonb => ['text'],
	'int4[]' => ['text'],
	rnd_enum => ['text'],
	rnd_dom => ['text'],
	text => [],
);

# Type changes that may lose something: [to, USING (%s is the column), safe live
# values, conversion of one text, undef where it does not convert].
my %lossy = (
	text => [
		[ 'int4', '%s::int4', [ '7', '42', undef ], \&to_int4 ],
		[ 'int4', "CASE WHEN %s ~ '^-?[0-9]{1,6}\$' THEN %s::int4 END", undef,
			sub { defined $_[0] && $_[0] =~ /^-?[0-9]{1,6}\z/ ? $_[0] + 0 : undef } ],
		[ 'varchar(5)', undef, [ 'abc', undef ], sub { chars($_[0]) <= 5 ? $_[0] : undef } ],
		[ 'varchar(5)', '%s::varchar(5)', undef, sub { clip($_[0], 5) } ],
		[ 'bool', '%s::bool', [ 'true', '1' ], \&to_bool ],
		[ 'text', "coalesce(%s, 'none') || '!'", undef, sub { ($_[0] // 'none') . '!' } ],
	],
	'varchar(20)' => [
		[ 'varchar(5)', undef, ['abc'], sub { chars($_[0]) <= 5 ? $_[0] : undef } ],
		[ 'int8', 'length(%s)', undef, sub { defined $_[0] ? chars($_[0]) : undef } ],
	],
	int8 => [
		[ 'int4', undef, [ 5, undef ], \&to_int4 ],
		[ 'int4', '%s::int4', [5], \&to_int4 ],
	],
	numeric => [
		[ 'int4', undef, ['3.50'], sub { to_int4(rounded($_[0])) } ],
		[ 'int8', '%s::int8', ['3.50'], sub { rounded($_[0]) } ],
	],
	int4 => [ [ 'bool', '%s > 0', undef, sub { defined $_[0] ? $_[0] > 0 ? 'true' : 'false' : undef } ] ],
	bool => [ [ 'int4', '%s::int4', undef, sub { defined $_[0] ? $_[0] eq 'true' ? 1 : 0 : undef } ] ],
	rnd_enum => [
		[ 'int4', "CASE %s WHEN 'red' THEN 1 ELSE 2 END", undef,
			sub { ($_[0] // '') eq 'red' ? 1 : 2 } ] ],
	'int4[]' => [
		[ 'int4', '%s[1]', undef, sub { defined $_[0] && $_[0] =~ /^\{(\d+)/ ? $1 : undef } ] ],
);

sub chars { return defined $_[0] ? length Encode::decode('UTF-8', $_[0]) : 0 }
sub clip { return defined $_[0] ? Encode::encode('UTF-8', substr(Encode::decode('UTF-8', $_[0]), 0, $_[1])) : undef }
sub to_int4
{
	my ($v) = @_;
	return unless defined $v && $v =~ /^\s*([-+]?\d+)\s*\z/;
	return $1 >= -2147483648 && $1 <= 2147483647 ? $1 + 0 : undef;
}
sub to_bool
{
	my ($v) = @_;
	return unless defined $v;
	return 'true' if $v =~ /^\s*(t|tr|tru|true|y|ye|yes|on|1)\s*\z/i;
	return 'false' if $v =~ /^\s*(f|fa|fal|fals|false|n|no|of|off|0)\s*\z/i;
	return;
}
# Half away from zero, without the error of binary fractions.
sub rounded
{
	my ($v) = @_;
	return unless defined $v;
	my ($sign, $whole, $fraction) = $v =~ /^(-?)(\d+)(?:\.(\d+))?\z/ or croak "model: numeric $v";
	$whole++ if ($fraction // '0') =~ /^[5-9]/;
	return $sign && $whole ? -$whole : $whole;
}

sub alter_type
{
	my ($r, $s, $ctx, $t, $chosen) = @_;
	return unless followed($r, $t);
	my ($c) = some(1, 1, grep { $lossless{ $_->{t} } } candidates($t, $chosen)) or return;
	$chosen->{ $c->{n} } = 1;
	my $name = quote_ident($c->{n});
	# A default that does not convert by itself would stop the command, not ours to test.
	my $prefix = $c->{has_default} ? "ALTER COLUMN $name DROP DEFAULT, " : '';
	my $wide = $lossless{ $c->{t} };
	if (@$wide && chance(0.5))
	{
		my $to = pick(@$wide);
		my $using = chance(0.5) ? " USING ${name}::$to" : '';
		return ("${prefix}ALTER COLUMN $name TYPE $to$using", [ 2, sub { widen($r, $t, $c->{n}, $to) } ]);
	}
	my $way = pick(@{ $lossy{ $c->{t} } // return }) // return;
	my ($to, $using, $safe, $convert) = @$way;
	# Live values have to convert, so that it is old versions that do not.
	return if $safe && grep { $_->{suppress} } family($r, $t);
	set_all($r, $s, $ctx, $t, $c, pick(@$safe)) if $safe;
	my $sql = $using // '';
	$sql =~ s/%s/$name/g;
	$sql = " USING $sql" if $sql;
	return ("${prefix}ALTER COLUMN $name TYPE $to$sql", [ 2, sub { replace($r, $t, $c->{n}, $to, $convert) } ]);
}

sub widen
{
	my ($r, $t, $name, $to) = @_;
	for my $pair (with_name($r, $t, $name))
	{
		my ($m, $c) = @$pair;
		$c->{t} = $to;
		$c->{has_default} = 0;
		$_->{t} = base_type($to) for grep { $_->{cid} eq $c->{cid} } @{ $m->{hcols} // [] };
	}
	return;
}

sub replace
{
	my ($r, $t, $name, $to, $convert) = @_;
	my $kept_name = kept_name($name, family($r, $t));
	for my $pair (with_name($r, $t, $name))
	{
		my ($m, $c) = @$pair;
		my $old = $c->{cid};
		my $new = RandomModel::new_column($name, $to)->{cid};
		@$c{qw(cid t has_default)} = ($new, $to, 0);
		my $function = sub { scalar $convert->($_[0]{$old}) };
		# The originals of live rows are gone, those of old versions are kept.
		set_live($m, $new, $function);
		set_live($m, $old, sub { undef });
		next unless $m->{tracked};
		my ($h) = grep { $_->{cid} eq $old } @{ $m->{hcols} };
		keep_as($h, $name, $kept_name);
		push @{ $m->{hcols} }, { cid => $new, n => $name, t => base_type($to) };
		set_history($m, $new, $function);
	}
	return;
}

# Make every live value one that converts.
sub set_all
{
	my ($r, $s, $ctx, $t, $c, $value) = @_;
	my ($more, $change) = time_set($t, $ctx);
	$r->sql($s, 'UPDATE ' . table_sql($t) . ' SET ' . quote_ident($c->{n}) . ' = ' . literal($value, $c->{t}) . $more);
	for my $pair (with_name($r, $t, $c->{n}))
	{
		my ($m, $mc) = @$pair;
		my %set = ($mc->{cid} => $value, $m->{kind} eq 'time' ? ($m->{time} => $ctx->{ts}) : ());
		model_update($r, $m, $ctx, { map { $_ => {%set} } keys %{ $m->{rows} } }) if %{ $m->{rows} };
	}
	return;
}

# --- tables ----------------------------------------------------------------------------

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
		croak "the history that was kept has $rows rows" if $rows != @{ $t->{hist} };
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

# The columns of a composite key in another order.
sub replace_key
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if @{ $t->{key} } < 2 || $t->{partitions} || @{ $t->{children} } || !followed($r, $t);
	my $constraint = $s->value('SELECT conname FROM pg_constraint WHERE contype = \'p\' AND conrelid = '
		  . quote_text(table_sql($t)) . '::regclass');
	my @new = reverse @{ $t->{key} };
	run($r, $s, 'ALTER TABLE ' . table_sql($t) . ' DROP CONSTRAINT ' . quote_ident($constraint)
		  . ', ADD PRIMARY KEY (' . join(', ', map { column_sql($t, $_) } @new) . ')');
	my $turn = sub { return { map { my $k = $_; join("\x1f", reverse split /\x1f/, $k, -1) => $_[0]{$k} } keys %{ $_[0] } } };
	$t->{key} = \@new;
	$t->{$_} = $turn->($t->{$_}) for qw(rows track ended);
	return 1;
}

sub key_type
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if $t->{partitions} || $t->{parent} || $t->{refs} || @{ $t->{children} } || !followed($r, $t);
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
	my $key = column_sql($t, $t->{key}[0]);
	my @ways = (
		"ALTER TABLE $table ADD COLUMN sys_period int",
		"ALTER TABLE $table ADD COLUMN exec_transaction_id text",
		"DROP TABLE $history",
		"ALTER TABLE $history RENAME TO elsewhere",);
	push @ways, "ALTER TABLE $table RENAME COLUMN " . quote_ident($c->{n}) . ' TO sys_period' if $c;
	push @ways, "ALTER TABLE $table DROP COLUMN $key" unless $t->{refs} || $t->{partitions};
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
		return 1;
	}
	$r->sql($s, "DROP TABLE $name") unless $drop;
	@{ $t->{partitions} } = grep { $_->{name} ne $p->{name} } @{ $t->{partitions} };
	$t->{regions} = [ grep { $_ != $region } @{ $t->{regions} } ];
	return 1;
}

1;
