# A picture, in plain Perl, of what tracked tables and their history must hold.
#
# The random test (../random.pl) runs statements on the server and tells this
# model what each of them did.  The model knows nothing of the extension: it
# follows SPEC.md, and says what history, tracking table, view and an as-of query
# have to contain, as text lines that can be compared.
#
# A table is a hash:
#   schema, name    as the server knows it
#   kind            'time' (time column) or 'tracking'
#   cols            [{ cid, n, t }]: live columns in order; values are kept by cid,
#                   so that a renamed column needs no rewriting of rows
#   hcols           the same for the history table
#   view            cids of the columns that the view has to show
#   key             [cid], the primary key
#   time, txid      cids (kind 'time')
#   rows            key text => version
#   track           key text => { start, ctx, synced } (kind 'tracking')
#   hist            [{ vid, vals, start, end, empty, ctx }]
#   ended           key text => latest end of a non-empty version
#   enabled         whether changes are recorded
#   children        ids of inheriting tables, parent: id of the parent
# A version is { vid, vals, ctx (that made it) } and is never changed in place, so that undoing needs
# no deep copy; vid stays when DDL gives its columns other values.
#
# Times are microseconds since 1970.  A transaction is a "ctx" { ts, xid }; the
# xid may become known only at its end, so versions refer to the ctx.  A ctx may
# also be a value, that of a txid column.

package RandomModel;

use strict;
use warnings;
use Carp;

my $next_vid = 1;
my $next_cid = 1;

sub new { return bless { tables => {} }, shift }

sub table  { return $_[0]{tables}{ $_[1] } // croak "no table $_[1]" }
sub tables { my $self = shift; return map { $self->{tables}{$_} } sort keys %{ $self->{tables} } }

sub add_table
{
	my ($self, %t) = @_;
	$t{rows} = {};
	$t{track} = {};
	$t{hist} = [];
	$t{ended} = {};
	$t{children} //= [];
	$t{enabled} = 0;
	return $self->{tables}{ $t{id} } = \%t;
}

sub new_column
{
	my ($n, $t, %more) = @_;
	return { cid => 'c' . $next_cid++, n => $n, t => $t, %more };
}

sub column
{
	my ($t, $cid) = @_;
	my ($c) = grep { $_->{cid} eq $cid } @{ $t->{cols} };
	return $c;
}

sub column_named
{
	my ($t, $name) = @_;
	my ($c) = grep { $_->{n} eq $name } @{ $t->{cols} };
	return $c;
}

# Its history side is in line with the table.
sub in_line
{
	my ($t) = @_;
	$t->{view} = { map { $_->{cid} => 1 } @{ $t->{cols} } };
	return;
}

sub copy_columns { return [ map { {%$_} } @{ $_[0] } ] }

# --- undo ------------------------------------------------------------------

sub save
{
	my ($self) = @_;
	my %copy;
	for my $id (keys %{ $self->{tables} })
	{
		my $t = $self->{tables}{$id};
		$copy{$id} = {
			%$t,
			cols => copy_columns($t->{cols}),
			hcols => copy_columns($t->{hcols} // []),
			view => { %{ $t->{view} // {} } },
			key => [ @{ $t->{key} } ],
			rows => { %{ $t->{rows} } },
			track => { %{ $t->{track} } },
			hist => [ @{ $t->{hist} } ],
			ended => { %{ $t->{ended} } },
			children => [ @{ $t->{children} } ],
			$t->{partitions} ? (partitions => copy_columns($t->{partitions})) : (),
		};
	}
	return \%copy;
}

# The saved state is handed over: save again to use it a second time.
sub restore { my ($self, $saved) = @_; $self->{tables} = $saved; return }

# --- what statements do ------------------------------------------------------

sub key_text
{
	my ($t, $vals) = @_;
	return join "\x1f", map { $vals->{$_} // '\N' } @{ $t->{key} };
}

sub insert
{
	my ($self, $t, $ctx, $vals) = @_;
	$vals = { %$vals };
	_generate($t, $vals);
	my $key = key_text($t, $vals);
	croak "model: key $key is there" if $t->{rows}{$key};
	$t->{rows}{$key} = { vid => $next_vid++, vals => $vals, ctx => $ctx };
	$self->_track($t, $ctx, $key) if $t->{enabled};
	return;
}

# Several rows in one statement, so that keys may change places.
# changes: { key text => { cid => value } }
sub update
{
	my ($self, $t, $ctx, $changes) = @_;
	my %new;
	for my $key (sort keys %$changes)
	{
		my $old = delete $t->{rows}{$key} // croak "model: no key $key";
		my $start = $t->{track}{$key} ? $t->{track}{$key}{start} : undef;
		$self->_end($t, $ctx, $key, $old) if $t->{enabled};
		my $vals = { %{ $old->{vals} }, %{ $changes->{$key} } };
		$vals->{ $t->{txid} } = $ctx if $t->{kind} eq 'time' && $t->{enabled};
		_generate($t, $vals);
		my $newkey = key_text($t, $vals);
		croak "model: key $newkey is there twice" if $new{$newkey};
		$new{$newkey} = { vid => $next_vid++, vals => $vals, ctx => $ctx, start => $start };
	}
	for my $key (sort keys %$changes)
	{
		delete $t->{track}{$key} if $t->{enabled} && !$new{$key};
	}
	for my $key (sort keys %new)
	{
		croak "model: key $key is there" if $t->{rows}{$key};
		my $start = delete $new{$key}{start};
		$t->{rows}{$key} = $new{$key};
		$self->_track($t, $ctx, $key, $start) if $t->{enabled};
	}
	return;
}

sub delete
{
	my ($self, $t, $ctx, @keys) = @_;
	for my $key (@keys)
	{
		my $old = delete $t->{rows}{$key} // croak "model: no key $key";
		next unless $t->{enabled};
		$self->_end($t, $ctx, $key, $old);
		delete $t->{track}{$key};
	}
	return;
}

sub truncate
{
	my ($self, $t, $ctx) = @_;
	$self->delete($t, $ctx, keys %{ $t->{rows} });
	$t->{track} = {} if $t->{enabled};
	return;
}

# The tracking table is made to match: new rows get the time of this transaction.
sub sync
{
	my ($self, $t, $ctx) = @_;
	return if $t->{kind} eq 'time';
	for my $key (keys %{ $t->{track} })
	{
		delete $t->{track}{$key} unless $t->{rows}{$key};
	}
	for my $key (keys %{ $t->{rows} })
	{
		next if $t->{track}{$key};
		$self->_track($t, $ctx, $key);
		$t->{track}{$key}{synced} = 1;
	}
	return;
}

# The row's new version starts now, unless its former version (of this key, or of
# the key that the row had until now) ended or started later than that, in a
# transaction that began later.
sub _track
{
	my ($self, $t, $ctx, $key, $former) = @_;
	return if $t->{kind} eq 'time';
	my $start = $ctx->{ts};
	for my $other ($former, $t->{ended}{$key},
		$t->{track}{$key} ? $t->{track}{$key}{start} : undef)
	{
		$start = $other if defined $other && $other > $start;
	}
	$t->{track}{$key} = { start => $start, ctx => $ctx };
	return;
}

# The version's period is over.
sub _end
{
	my ($self, $t, $ctx, $key, $version) = @_;
	my $start = start_of($t, $key, $version);
	# A row that this transaction's sync found there is older than its entry says.
	my $entry = $t->{track}{$key};
	undef $start if $entry && $entry->{synced} && $entry->{ctx} == $ctx && $version->{ctx} != $ctx;
	# What this transaction made itself lasted no time, whatever the time column says.
	my $empty = $version->{ctx} == $ctx || defined $start && $start >= $ctx->{ts};
	push @{ $t->{hist} }, {
		vid => $version->{vid},
		vals => $version->{vals},
		start => $empty ? undef : $start,
		end => $empty ? undef : $ctx->{ts},
		empty => $empty,
		ctx => $ctx,
	};
	$t->{ended}{$key} = $ctx->{ts}
	  unless $empty || ($t->{ended}{$key} // 0) > $ctx->{ts};
	return;
}

sub start_of
{
	my ($t, $key, $version) = @_;
	return $version->{vals}{ $t->{time} } if $t->{kind} eq 'time';
	return $t->{track}{$key} ? $t->{track}{$key}{start} : undef;
}

sub _generate
{
	my ($t, $vals) = @_;
	for my $c (@{ $t->{cols} })
	{
		$vals->{ $c->{cid} } = $c->{gen}->($vals) if $c->{gen};
	}
	return;
}

# --- what has to be there ----------------------------------------------------

sub _plain
{
	my ($v) = @_;
	return '\N' unless defined $v;
	return ref $v ? $v->{xid} : $v;
}

sub _line
{
	my ($cols, $vals, @more) = @_;
	return join '|', (map { _plain($vals->{ $_->{cid} }) } @$cols), map { _plain($_) } @more;
}

sub by_name { return [ sort { $a->{n} cmp $b->{n} } @{ $_[0] } ] }

sub live_lines
{
	my ($t) = @_;
	my $cols = by_name($t->{cols});
	return [ sort map { _line($cols, $_->{vals}) } values %{ $t->{rows} } ];
}

sub history_lines
{
	my ($t) = @_;
	my $cols = by_name($t->{hcols});
	return [ sort map {
		_line($cols, $_->{vals}, $_->{empty} ? 't' : 'f', $_->{start}, $_->{end}, $_->{ctx})
	} @{ $t->{hist} } ];
}

sub tracking_lines
{
	my ($t) = @_;
	return [ sort map {
		join '|', (split /\x1f/, $_, -1), $t->{track}{$_}{start}, _plain($t->{track}{$_}{ctx})
	} keys %{ $t->{track} } ];
}

# The table itself and all that inherit from it.
sub family
{
	my ($self, $t) = @_;
	return ($t, map { $self->family($self->table($_)) } @{ $t->{children} });
}

# A child's value for a column of its ancestor: the same name, another cid.
sub _mapped
{
	my ($cols, $member) = @_;
	my %by_name = map { $_->{n} => $_ } @{ $member->{cols} };
	return [ map { $by_name{ $_->{n} } // croak "model: no column $_->{n}" } @$cols ];
}

sub view_lines
{
	my ($self, $t, $view_cols) = @_;
	my @lines;
	for my $m ($self->family($t))
	{
		my $cols = by_name(_mapped($view_cols, $m));
		push @lines, map {
			_line($cols, $_->{vals}, $_->{empty} ? 't' : 'f', $_->{start}, $_->{end}, $_->{ctx})
		} @{ $m->{hist} };
		push @lines, map {
			_line($cols, $m->{rows}{$_}{vals}, 'f',
				start_of($m, $_, $m->{rows}{$_}), undef, undef)
		} keys %{ $m->{rows} };
	}
	return [ sort @lines ];
}

# The rows that were there when a snapshot was taken: their vids, for later.
sub snapshot
{
	my ($self) = @_;
	my %vids;
	for my $t ($self->tables)
	{
		$vids{ $t->{id} } = [ map { $_->{vid} } map { values %{ $_->{rows} } } $self->family($t) ];
	}
	return \%vids;
}

# The same rows as they are to be shown now, wherever they are.
sub snapshot_lines
{
	my ($self, $t, $vids) = @_;
	my %line;
	for my $m ($self->family($t))
	{
		my $cols = by_name(_mapped($t->{cols}, $m));
		$line{ $_->{vid} } = _line($cols, $_->{vals})
		  for values %{ $m->{rows} }, @{ $m->{hist} };
	}
	return [ sort map { $line{$_} // "row version $_ is nowhere" } @$vids ];
}

1;
