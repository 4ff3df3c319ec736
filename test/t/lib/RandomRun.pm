# One run of the random test: sessions, the model, a log, and the comparison.

package RandomRun;

use strict;
use warnings;
use Carp;
use Digest::MD5 qw(md5_hex);
use RandomModel;
use RandomSteps qw(table_sql);
use RandomValues qw(pick chance quote_ident quote_text shown type_name base_type);

sub new
{
	my ($class, %self) = @_;
	return bless {
		model => RandomModel->new,
		log => [],
		counts => {},
		snapshots => [],
		id => 0,
		prepared => {},
		used_keys => {},
		%self,
	}, $class;
}

sub model   { return $_[0]{model} }
sub next_id { return ++$_[0]{id} }

# --- statements ----------------------------------------------------------------

sub note_sql
{
	my ($self, $session, $sql) = @_;
	if ($ENV{RANDOM_LOG})
	{
		open my $file, '>>', $ENV{RANDOM_LOG} or croak "$ENV{RANDOM_LOG}: $!";
		print $file "/* $session->{name} */ $sql;\n";
		CORE::close($file);
	}
	$sql = substr($sql, 0, 2000) . ' ...' if length $sql > 2000;
	push @{ $self->{log} }, "/* $session->{name} */ $sql;";
	shift @{ $self->{log} } if @{ $self->{log} } > 400;
	return;
}

sub sql
{
	my ($self, $session, $sql, $copy_data) = @_;
	$self->note_sql($session, $sql);
	if ($self->{others})
	{
		$self->{others}->heard($sql);
		$self->{others}->tick;
	}
	return $session->do($sql, $copy_data);
}

# A statement that has to fail with this SQLSTATE (any, where none is given).
sub fails
{
	my ($self, $session, $sql, $state) = @_;
	$self->note_sql($session, "$sql /* fails */");
	my $error = $session->try($sql)->{error};
	croak "no error from: $sql" unless $error;
	croak "$error->{C} $error->{M}\n  instead of $state from: $sql"
	  if defined $state && $error->{C} ne $state;
	croak "an internal error: $error->{M}\n  from: $sql" if $error->{C} =~ /^XX/;
	return $error;
}

# A new transaction's time; its id may be asked for now or when it ends.
sub begin
{
	my ($self, $session, $level) = @_;
	$self->sql($session, 'BEGIN' . ($level ? " ISOLATION LEVEL $level" : ''));
	return;
}

sub context
{
	my ($self, $session) = @_;
	my $ctx = { ts => $session->value('SELECT (extract(epoch from now()) * 1000000)::bigint') };
	$self->know($session, $ctx) if chance(0.5);
	return $ctx;
}

sub know
{
	my ($self, $session, $ctx) = @_;
	$ctx->{xid} //= $session->value('SELECT txid_current()');
	return;
}

# --- as-of -----------------------------------------------------------------------

# Remember what is there now, to ask for it later.
sub remember
{
	my ($self, $session) = @_;
	my $at = $session->value('SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint');
	push @{ $self->{snapshots} }, { at => $at, vids => $self->model->snapshot };
	splice @{ $self->{snapshots} }, int rand 15, 1 if @{ $self->{snapshots} } > 15;
	return;
}

# As-of results before some time are no longer what was there then.
sub forget
{
	my ($self, $since) = @_;
	$self->{snapshots} =
	  [ grep { defined $since && $_->{at} < $since } @{ $self->{snapshots} } ];
	return;
}

# --- comparison --------------------------------------------------------------------

# Every table, its history, tracking table and view against the model; undef or a
# description of the first difference.
sub check
{
	my ($self, $session) = @_;
	my @checks = map { $self->table_checks($_) } $self->model->tables;
	my $sql = join "\nUNION ALL\n", map {
		"SELECT $_, count(*), md5(coalesce(string_agg(l, E'\\n' ORDER BY l COLLATE \"C\"), ''))"
		  . " FROM ($checks[$_]{sql}) AS q(l)"
	} 0 .. $#checks;
	my $inside = $session->{status} eq 'T';
	$session->do('SAVEPOINT rnd_check') if $inside;
	my $answer = $session->try($sql);
	$session->do('ROLLBACK TO rnd_check') if $inside;
	return $self->failing_check($session, @checks) if $answer->{error};
	my %row = map { $_->[0] => $_ } @{ $answer->{rows} };
	for my $i (0 .. $#checks)
	{
		my $lines = $checks[$i]{lines};
		next if $row{$i}[1] == @$lines && $row{$i}[2] eq md5_hex(join "\n", @$lines);
		return $self->difference($session, $checks[$i]);
	}
	return;
}

# Which of the comparisons is an error (a column is missing, say).
sub failing_check
{
	my ($self, $session, @checks) = @_;
	for my $check (@checks)
	{
		my $error = $session->try($check->{sql})->{error} or next;
		return "$check->{what}: $error->{M}\n  $check->{sql}\n";
	}
	return 'the comparison fails only as a whole';
}

sub table_checks
{
	my ($self, $t) = @_;
	my $model = $self->model;
	my $name = table_sql($t);
	my $only = $t->{partitions} ? '' : 'ONLY ';
	my $history = derived($t, '__history');
	# A column that came while tracking was off need not be in the view yet.
	my @view_cols = grep { $t->{view}{ $_->{cid} } } @{ $t->{cols} };
	my $period = 'isempty(sys_period)::text::char(1), '
	  . shown('lower(sys_period)', 'timestamptz') . ', ' . shown('upper(sys_period)', 'timestamptz')
	  . ", coalesce(exec_transaction_id::text, '\\N')";
	my @checks = ({
		what => "rows of $name",
		sql => 'SELECT ' . line_sql($t->{cols}) . " FROM $only$name",
		lines => RandomModel::live_lines($t),
	});
	return @checks unless $t->{tracked};
	push @checks, {
		what => "columns of $history",
		sql => columns_sql($history),
		lines => [ sort map { "$_->{n}:" . type_name($_->{t}) } @{ $t->{hcols} } ],
	}, {
		what => "rows of $history",
		sql => 'SELECT ' . line_sql($t->{hcols}, $period) . " FROM ONLY $history",
		lines => RandomModel::history_lines($t),
	}, {
		what => "rows of " . derived($t, '__with_history'),
		sql => 'SELECT ' . line_sql(\@view_cols, $period) . ' FROM ' . derived($t, '__with_history'),
		lines => $model->view_lines($t, \@view_cols),
	};
	push @checks, {
		what => "rows of " . derived($t, '__tracking'),
		sql => 'SELECT ' . tracking_sql($t) . ' FROM ONLY ' . derived($t, '__tracking'),
		lines => RandomModel::tracking_lines($t),
	} if $t->{kind} eq 'tracking';
	# What went on while tracking was off is not known.
	my $complete = !grep { !$_->{tracked} || !$_->{enabled} } $model->family($t);
	if ($complete && ($t->{kind} eq 'tracking' || $t->{well_behaved}) && @{ $self->{snapshots} })
	{
		my $snapshot = pick(@{ $self->{snapshots} });
		my $vids = $snapshot->{vids}{ $t->{id} };
		push @checks, {
			what => "$name as of $snapshot->{at}",
			sql => 'SELECT ' . line_sql($t->{cols}) . ' FROM ' . derived($t, '__with_history')
			  . " WHERE sys_period @> (timestamptz 'epoch' + interval '1 microsecond' * $snapshot->{at})",
			lines => $model->snapshot_lines($t, $vids),
		} if $vids;
	}
	return @checks;
}

sub derived
{
	my ($t, $suffix) = @_;
	return quote_ident($t->{schema}) . '.' . quote_ident($t->{name} . $suffix);
}

sub line_sql
{
	my ($cols, @more) = @_;
	return "concat_ws('|', " . join(', ',
		(map { shown(quote_ident($_->{n}), base_type($_->{t})) } @{ RandomModel::by_name($cols) }), @more, "NULL") . ')';
}

sub tracking_sql
{
	my ($t) = @_;
	my $n = @{ $t->{key} };
	my @keys = $n == 1 ? ('live_pk') : map { "live_pk_$_" } 1 .. $n;
	return "concat_ws('|', " . join(', ', (map { shown($_, 'text') } @keys),
		shown('edition_time', 'timestamptz'),
		# negative: the transaction has found the row, and not made it (test/pgtap/makers.sql)
		"coalesce(abs(txid)::text, '\\N')") . ')';
}

sub columns_sql
{
	my ($name) = @_;
	return "SELECT attname || ':' || typname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid"
	  . ' WHERE attrelid = ' . quote_text($name) . "::regclass AND attnum > 0 AND NOT attisdropped"
	  . " AND attname NOT IN ('sys_period', 'exec_transaction_id', 'start_transaction_id')";
}

sub difference
{
	my ($self, $session, $check) = @_;
	my %n;
	my @there = map { $_->[0] } @{ $session->do($check->{sql})->{rows} };
	$n{$_}++ for @there;
	$n{$_}-- for @{ $check->{lines} };
	my @extra = map { abbreviate($_) } grep { $n{$_} > 0 } sort keys %n;
	my @missing = map { abbreviate($_) } grep { $n{$_} < 0 } sort keys %n;
	return "$check->{what}: " . @there . ' there, ' . @{ $check->{lines} } . " expected\n"
	  . join('', map { "  unexpected: $_\n" } splice(@extra, 0, 8))
	  . join('', map { "  missing:    $_\n" } splice(@missing, 0, 8));
}

sub abbreviate { my ($l) = @_; return length $l > 300 ? substr($l, 0, 300) . '...' : $l }

1;
