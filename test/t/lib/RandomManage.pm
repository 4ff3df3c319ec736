# The tables of the random test, and the functions that manage their history.

package RandomManage;

use strict;
use warnings;
use Carp;
use Exporter 'import';
use RandomModel;
use RandomValues qw(pick chance some quote_ident quote_text literal random_value random_type base_type);
use RandomSteps qw(table_sql column_sql random_row insert_head values_sql);
our @EXPORT_OK = qw(make_all make_table manage_steps ancestors);

# --- making tables ---------------------------------------------------------------

sub col { return RandomModel::new_column(@_) }
sub extras { my ($n) = @_; return map { col("w$_", random_type()) } 1 .. int rand($n + 1) }
sub time_cols { return (col('edition_time', 'timestamptz', default => 'now()'), col('txid', 'int8', default => 'txid_current()')) }

# What each table is like; the model's column hashes are made anew at each call.
my %shapes = (
	plain => sub {
		return { schema => 'odd "one', name => 'Plain Table', kind => 'time', suppress => 'v',
			cols => [ col('id', 'int4'), col('v', 'text', fixed => 1), extras(3), time_cols() ] };
	},
	track => sub {
		my $w = col('w', 'int4', fixed => 1);
		my $g = col('g', 'int4', fixed => 1, gensql => 'w % 1000 * 2',
			gen => sub {
				my $v = $_[0]{ $w->{cid} };
				return defined $v ? ($v < 0 ? -(-$v % 1000) : $v % 1000) * 2 : undef;
			});
		return { schema => 'public', name => 'track', kind => 'tracking', suppress => 'v',
			cols => [ col('id', 'int4', identity => 1), $w, $g, col('v', 'text', fixed => 1), extras(4) ] };
	},
	comp => sub {
		return { schema => 'public', name => 'Select', kind => 'tracking',
			cols => [ col('a', 'int4'), col('b', 'text'), col('v', random_type()), extras(2) ], key => [qw(b a)] };
	},
	comptime => sub {
		return { schema => 'odd "one', name => 'comptime', kind => 'time',
			cols => [ time_cols(), col('a', 'int4'), col('b', 'int8'), col('v', random_type()), extras(2) ], key => [qw(a b)] };
	},
	loc => sub {
		return { schema => 'public', name => 'loc', kind => 'time', well_behaved => 1,
			cols => [ col('id', 'int4'), col('v', 'text'), time_cols(), extras(2) ] };
	},
	node => sub {
		return { parent => 'loc', schema => 'public', name => 'node', kind => 'time', well_behaved => 1,
			cols => [ col('radius', 'numeric'), map { $_->{n} = "n$_->{n}"; $_ } extras(2) ] };
	},
	hp => sub {
		return { schema => 'public', name => 'hp', kind => 'tracking',
			cols => [ col('id', 'int4'), col('v', 'text'), extras(1) ] };
	},
	hc => sub {
		return { parent => 'hp', schema => 'odd "one', name => 'hc', kind => 'tracking',
			cols => [ col('cv', random_type()) ] };
	},
	hg => sub {
		return { parent => 'hc', schema => 'public', name => 'hg', kind => 'tracking',
			cols => [ col('gv', random_type()) ] };
	},
	part => sub {
		return { schema => 'public', name => 'part', kind => 'tracking', partitioned => 1,
			cols => [ col('id', 'int4'), col('region', 'int4', region => 1), col('v', 'text'), extras(2) ],
			key => [qw(id region)] };
	},
	partt => sub {
		return { schema => 'public', name => 'partt', kind => 'time', well_behaved => 1, partitioned => 1,
			cols => [ col('v', 'text'), time_cols(), col('region', 'int4', region => 1), col('id', 'int4'), extras(2) ],
			key => [qw(region id)] };
	},
	fkp => sub {
		return { schema => 'public', name => 'fkp', kind => 'tracking',
			cols => [ col('id', 'int4'), col('v', 'text'), extras(1) ] };
	},
	fkc => sub {
		return { schema => 'public', name => 'fkc', kind => 'tracking',
			cols => [ col('id', 'int4'), col('pid', 'int4', fk => 'fkp', fixed => 1, action => 'cascade'), col('v', 'text') ] };
	},
	fks => sub {
		return { schema => 'public', name => 'fks', kind => 'time',
			cols => [ col('id', 'int4'), time_cols(), col('pid', 'int4', fk => 'fkp', fixed => 1, action => 'null'), col('v', 'text') ] };
	},
	defer => sub {
		return { schema => 'public', name => 'defer', kind => 'tracking', deferrable => 1,
			cols => [ col('id', 'int4'), col('v', 'text'), extras(2) ] };
	},
);
my @order = qw(plain track comp comptime loc node hp hc hg part partt fkp fkc fks defer);

sub make_all
{
	my ($r, $s) = @_;
	$r->sql($s, 'CREATE SCHEMA "odd ""one"');
	$r->sql($s, q(CREATE TYPE rnd_enum AS ENUM ('red', 'green', 'blue')));
	$r->sql($s, q(CREATE DOMAIN rnd_dom AS text CHECK (VALUE <> 'never')));
	$r->sql($s, q(CREATE FUNCTION rnd_suppress() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN IF NEW.v = '42' THEN RETURN NULL; END IF; RETURN NEW; END$$));
	for my $id (@order)
	{
		$r->begin($s);
		my $ctx = $r->context($s);
		make_table($r, $s, $ctx, $id);
		$r->know($s, $ctx);
		$r->sql($s, 'COMMIT');
	}
	return;
}

sub make_table
{
	my ($r, $s, $ctx, $id) = @_;
	my $shape = $shapes{$id}->();
	my $parent = $shape->{parent} ? $r->model->table($shape->{parent}) : undef;
	my @own = @{ $shape->{cols} };
	if ($parent)
	{
		my @inherited = map { col($_->{n}, $_->{t}, inh => 1, fixed => $_->{fixed}, has_default => $_->{has_default}) } @{ $parent->{cols} };
		$shape->{cols} = [ @inherited, @own ];
		$shape->{key} = [ map { RandomModel::column($parent, $_)->{n} } @{ $parent->{key} } ];
		if ($shape->{kind} eq 'time')
		{
			$shape->{"${_}_name"} = RandomModel::column($parent, $parent->{$_})->{n} for qw(time txid);
		}
	}
	my %cid = map { $_->{n} => $_->{cid} } @{ $shape->{cols} };
	$shape->{key} = [ map { $cid{$_} } @{ $shape->{key} // ['id'] } ];
	$shape->{suppress} = $cid{ $shape->{suppress} } if $shape->{suppress};
	if ($shape->{kind} eq 'time')
	{
		$shape->{time} = $cid{ $shape->{time_name} // 'edition_time' };
		$shape->{txid} = $cid{ $shape->{txid_name} // 'txid' };
	}
	my $t = $r->model->add_table(%$shape, id => $id);
	push @{ $parent->{children} }, $id if $parent;
	create_sql($r, $s, $t, $parent, @own);
	for (1 .. 2 * int rand 3)
	{
		my $row = random_row($r, $t, $ctx);
		next if $t->{rows}{ RandomModel::key_text($t, $row) };
		$r->sql($s, 'INSERT INTO ' . insert_head($t) . ' ' . values_sql($t, $row));
		$r->model->insert($t, $ctx, $row);
	}
	start_tracking($r, $s, $ctx, $t);
	return $t;
}

sub create_sql
{
	my ($r, $s, $t, $parent, @own) = @_;
	my @items = map {
		quote_ident($_->{n}) . " $_->{t}"
		  . ($_->{default} ? " DEFAULT $_->{default}" : '')
		  . ($_->{identity} ? ' GENERATED BY DEFAULT AS IDENTITY' : '')
		  . ($_->{gensql} ? " GENERATED ALWAYS AS ($_->{gensql}) "
			. ($r->{version} >= 18 && chance(0.5) ? 'VIRTUAL' : 'STORED') : '')
		  . ($_->{fk} ? ' REFERENCES ' . table_sql($r->model->table($_->{fk}))
			. ' ON UPDATE CASCADE ON DELETE ' . ($_->{action} eq 'cascade' ? 'CASCADE' : 'SET NULL') : '')
	} @own;
	push @items, 'PRIMARY KEY (' . join(', ', map { column_sql($t, $_) } @{ $t->{key} }) . ')'
	  . ($t->{deferrable} ? ' DEFERRABLE INITIALLY DEFERRED' : '');
	$r->sql($s, 'CREATE TABLE ' . table_sql($t) . ' (' . join(', ', @items) . ')'
		  . ($parent ? ' INHERITS (' . table_sql($parent) . ')' : '')
		  . ($t->{partitioned} ? ' PARTITION BY LIST (region)' : ''));
	make_partitions($r, $s, $t) if $t->{partitioned};
	for my $c (grep { $_->{fk} } @own)
	{
		my $target = $r->model->table($c->{fk});
		$target->{refs} = [ (grep { $_->{table} ne $t->{id} } @{ $target->{refs} // [] }),
			{ table => $t->{id}, cid => $c->{cid}, action => $c->{action} } ];
	}
	if ($t->{suppress})
	{
		my $trigger = pick('aaa', 'on_change_update_history_m', 'zzz');
		$r->sql($s, "CREATE TRIGGER $trigger BEFORE UPDATE ON " . table_sql($t)
			  . ' FOR EACH ROW EXECUTE FUNCTION public.rnd_suppress()');
	}
	return;
}

# Two regions in one partition, one in another whose columns are in another order.
sub make_partitions
{
	my ($r, $s, $t) = @_;
	$t->{regions} = [ 1, 2, 3 ];
	$t->{partitions} = [
		{ schema => $t->{schema}, name => "$t->{name}_p1", regions => [ 1, 2 ] },
		{ schema => $t->{schema}, name => "$t->{name}_p2", regions => [3] } ];
	my ($one, $two) = map { table_sql($_) } @{ $t->{partitions} };
	my $root = table_sql($t);
	$r->sql($s, "CREATE TABLE $one PARTITION OF $root FOR VALUES IN (1, 2)");
	my @reversed = map {
		quote_ident($_->{n}) . " $_->{t}" . ($_->{default} ? " DEFAULT $_->{default}" : '')
	} reverse @{ $t->{cols} };
	$r->sql($s, "CREATE TABLE $two (gone int, " . join(', ', @reversed) . ')');
	$r->sql($s, "ALTER TABLE $two DROP COLUMN gone");
	for my $cid (@{ $t->{key} })
	{
		$r->sql($s, "ALTER TABLE $two ALTER COLUMN " . column_sql($t, $cid) . ' SET NOT NULL');
	}
	$r->sql($s, "ALTER TABLE $root ATTACH PARTITION $two FOR VALUES IN (3)");
	return;
}

sub start_tracking
{
	my ($r, $s, $ctx, $t) = @_;
	my @args = quote_text(table_sql($t));
	push @args, map { quote_text(RandomModel::column($t, $t->{$_})->{n}) } qw(time txid) if $t->{kind} eq 'time';
	$r->sql($s, 'SELECT create_history_table(' . join(', ', @args) . ')');
	# The parents come along where they are not tracked.
	for my $m (reverse grep { !$_->{tracked} } ancestors($r, $t), $t)
	{
		take_up($r, $s, $m);
		$r->model->sync($m, $ctx);
	}
	return;
}

# A history comes to be.  It inherits what the parent's history kept of former
# columns, but for those by whose names the table has columns: they give way.
sub take_up
{
	my ($r, $s, $m) = @_;
	$m->{hcols} = history_columns($m);
	if (my $parent = $m->{parent} && $r->model->table($m->{parent}))
	{
		my %own = map { $_->{n} => 1 } @{ $m->{hcols} };
		my @kept = grep { $_->{kept} } @{ $parent->{hcols} };
		RandomColumns::make_room($r, $parent, $_->{n}) for grep { $own{ $_->{n} } } @kept;
		RandomColumns::settle_kept_names($r, $s, $_) for $r->model->tables;
		push @{ $m->{hcols} }, map { col($_->{n}, $_->{t}, kept => $_->{kept}) } @kept;
	}
	$m->{tracked} = $m->{enabled} = 1;
	RandomModel::in_line($m);
	return;
}

sub history_columns
{
	my ($t) = @_;
	return [ map { { cid => $_->{cid}, n => $_->{n}, t => base_type($_->{t}) } } @{ $t->{cols} } ];
}

# --- steps ---------------------------------------------------------------------------

sub manage_steps
{
	return (
		disable => [ 2, \&disable ],
		enable => [ 8, \&enable ],
		disable_all => [ 0.3, \&disable_all ],
		enable_all => [ 1, \&enable_all ],
		reload => [ 1, \&reload ],
		sync => [ 1, \&sync ],
		truncate_history => [ 0.7, \&truncate_history ],
		recreate_history => [ 0.7, \&recreate_history ],
		create_again => [ 0.7, \&create_again ],
	);
}

sub call
{
	my ($r, $s, $function, $t, @more) = @_;
	return $r->sql($s, "SELECT $function(" . join(', ', quote_text(table_sql($t)), @more) . ')');
}

sub disable
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked};
	call($r, $s, 'disable_history_tracking_for_table', $t);
	$t->{enabled} = 0;
	$r->forget;
	return 1;
}

sub enable
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked} && !$t->{enabled} || $t->{tracked} && chance(0.1);
	my $sync = chance(0.75);
	call($r, $s, 'enable_history_tracking_for_table', $t, 'NULL', $sync ? 'true' : 'false');
	model_enable($r, $ctx, $t, $sync);
	return 1;
}

# Enabling adds columns that history lacks.
sub model_enable
{
	my ($r, $ctx, $t, $sync) = @_;
	my %there = map { $_->{n} => 1 } @{ $t->{hcols} };
	my @missing = grep { !$there{ $_->{n} } } @{ history_columns($t) };
	for my $h (@missing)
	{
		# Down the hierarchy of history tables, enabled or not.
		for my $m (grep { $_->{tracked} } $r->model->family($t))
		{
			next if grep { $_->{n} eq $h->{n} } @{ $m->{hcols} };
			my $c = RandomModel::column_named($m, $h->{n});
			push @{ $m->{hcols} }, { %$h, cid => $c->{cid} };
		}
	}
	# A table that is enabled already is left as it is, rows that are not known included.
	my $was_enabled = $t->{enabled};
	$t->{enabled} = 1;
	RandomModel::in_line($t);
	$r->model->sync($t, $ctx) if $sync && !$was_enabled;
	$r->forget;
	return;
}

sub disable_all
{
	my ($r, $s, $ctx) = @_;
	$r->sql($s, 'SELECT disable_history_tracking()');
	$_->{enabled} = 0 for $r->model->tables;
	$r->forget;
	return 1;
}

sub enable_all
{
	my ($r, $s, $ctx) = @_;
	return 0 unless grep { $_->{tracked} && !$_->{enabled} } $r->model->tables;
	$r->sql($s, 'SELECT enable_history_tracking()');
	model_enable($r, $ctx, $_, 1) for grep { $_->{tracked} } $r->model->tables;
	return 1;
}

sub reload
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked} && $t->{enabled};
	call($r, $s, 'reload_history_tracking_for_table', $t);
	$r->model->sync($t, $ctx);
	$r->forget;
	return 1;
}

sub sync
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked} && $t->{kind} eq 'tracking';
	call($r, $s, 'sync_tracking_table', $t, quote_text(RandomRun::derived($t, '__tracking')));
	$r->model->sync($t, $ctx);
	# Rows that were not known until now begin now.
	$r->forget;
	return 1;
}

sub truncate_history
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked} && !$r->{old_transaction};
	$r->sql($s, 'SELECT truncate_history_table(' . quote_text(RandomRun::derived($t, '__history')) . ')');
	$t->{hist} = [];
	$t->{ended} = {};
	$r->forget;
	return 1;
}

sub recreate_history
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 if $r->{old_transaction} || grep { $r->model->table($_)->{tracked} } @{ $t->{children} };
	if ($t->{tracked})
	{
		call($r, $s, 'drop_history_table', $t);
		$t->{tracked} = $t->{enabled} = 0;
		$t->{hist} = [];
		$t->{hcols} = [];
		$t->{track} = {};
		$t->{ended} = {};
		$r->forget;
		return 1 if chance(0.3);
	}
	start_tracking($r, $s, $ctx, $t);
	$r->forget;
	return 1;
}

sub ancestors
{
	my ($r, $t) = @_;
	return unless $t->{parent};
	my $parent = $r->model->table($t->{parent});
	return ($parent, ancestors($r, $parent));
}

sub create_again
{
	my ($r, $s, $ctx, $t) = @_;
	return 0 unless $t->{tracked};
	my $answer = call($r, $s, 'create_history_table', $t);
	croak 'no notice for a table that is tracked already' unless @{ $answer->{notices} };
	return 1;
}

1;
