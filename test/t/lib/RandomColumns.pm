# Random DDL on the columns of tracked tables, and what history has to make of it.
#
# A column step returns an ALTER TABLE action and a function that tells the model,
# so that several can go into one command.

package RandomColumns;

use strict;
use warnings;
use Carp;
use Encode ();
use Exporter 'import';
use RandomModel;
use RandomValues qw(pick chance some quote_ident quote_text literal random_value random_type base_type);
use RandomSteps qw(table_sql free_columns time_set model_update);
use RandomManage qw(ancestors);
our @EXPORT_OK = qw(columns_step add_column drop_column alter_type rename_column
  run family followed with_name candidates widen);

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

# Has this transaction synced the tracking table?  A rewrite of the live table leaves
# nothing that tells rows it found from rows of its own, and the periods of what it
# then changes are empty.
sub just_synced
{
	my ($r, $ctx, $t) = @_;
	return scalar grep { $_->{synced} && $_->{ctx} == $ctx } map { values %{ $_->{track} // {} } } family($r, $t);
}

sub columns_step
{
	my ($r, $s, $ctx, $t, @makers) = @_;
	return 0 if just_synced($r, $ctx, $t);
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
		my %stays;
		for my $pair (with_name($r, $t, $name))
		{
			my ($m, $mc) = @$pair;
			if ($m->{id} ne $t->{id} && ($mc->{local} || $stays{ $m->{parent} }))
			{
				# its own column, and that of those below
				$mc->{inh} = 0 unless $stays{ $m->{parent} };
				$stays{ $m->{id} } = 1;
				next;
			}
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

1;
