# What PostgreSQL's own change stream tells of the workload of Workload.pm, and the
# comparison of history with it.
#
# A slot with test_decoding (REPLICA IDENTITY FULL, so that every old row is in it)
# tells, in commit order, each row version that a committed transaction ended.
# History has to hold exactly these: the same values, the transaction's id, its time
# as the end, and a start that continues the version before.

package ChangeStream;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Time::Local 'timegm';
use Workload;

our @EXPORT = qw(make_slot decode replay compare compare_makers compare_changes compare_tracking apart);

my ($main, $slot);

# An expected version => other forms of it that are as good.
my %others;

# Begin to listen; false if the plugin is not there.
sub make_slot
{
	($main, $slot) = @_;
	return !$main->try("SELECT pg_create_logical_replication_slot('$slot', 'test_decoding')")->{error};
}

# Go on in another session, after a crash.
sub use_session { ($main) = @_; return }

# [xid, table, verb, old, new] in commit order, old and new as { column => text }.
sub decode
{
	my @changes;
	my $xid;
	my $rows = $main->do("SELECT data FROM pg_logical_slot_get_changes('$slot', NULL, NULL, 'include-xids', '1')")->{rows};
	for my $data (map { $_->[0] } @$rows)
	{
		if ($data =~ /^BEGIN (\d+)/) { $xid = $1; next }
		next if $data =~ /^COMMIT/;
		my ($table, $verb, $rest) = $data =~ /^table ((?:"(?:[^"]|"")*"|[^:"])+): (INSERT|UPDATE|DELETE|TRUNCATE): ?(.*)\z/s
		  or die "cannot read: $data";
		if ($verb eq 'TRUNCATE')
		{
			push @changes, [ $xid, $_, $verb ] for split /, /, $table;
			next;
		}
		if (!$tables{ $root{$table} // $table } && $table ne 'public.txlog')
		{
			push @changes, [ $xid, $table, $verb ];
			next;
		}
		my ($old, $new) = ({}, {});
		if ($verb eq 'UPDATE')
		{
			$rest =~ s/^old-key: // or die "no old row in: $data";
			my $at = 0;
			$old = columns($rest, \$at);
			substr($rest, $at) =~ /^ ?new-tuple: (.*)\z/s or die "no new row in: $data";
			$new = columns($1);
			for my $c (keys %$new)
			{
				$new->{$c} = $old->{$c} if ($new->{$c} // '') eq 'unchanged-toast-datum';
			}
		}
		elsif ($verb eq 'DELETE') { $old = columns($rest) }
		else { $new = columns($rest) }
		push @changes, [ $xid, $table, $verb, $old, $new ];
	}
	return @changes;
}

# name[type]:value ...; of an old row, columns that are NULL are left out.
sub columns
{
	my ($text, $at) = @_;
	my %columns;
	pos($text) = 0;
	while ($text =~ /\G ?((?:"(?:[^"]|"")*")|[^\["\s]+)\[((?:[^\[\]]|\[\])*)\]:('(?:[^']|'')*'|[^\s']+)/gc)
	{
		my ($name, $value) = ($1, $3);
		if ($value =~ /^'(.*)'\z/s) { ($value = $1) =~ s/''/'/g }
		elsif ($value eq 'null') { undef $value }
		$columns{$name} = $value if defined $value;
	}
	die "cannot read: $text" if !$at && pos($text) < length $text;
	$$at = pos $text if $at;
	return \%columns;
}

sub micros
{
	my ($text) = @_;
	return unless defined $text;
	my ($y, $mo, $d, $h, $mi, $s, $f) = $text =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(?:\.(\d+))?\+00\z/
	  or die "cannot read the time $text";
	return timegm($s, $mi, $h, $d, $mo - 1, $y) * 1000000 + substr(($f // '') . '000000', 0, 6);
}

sub line
{
	my ($row) = @_;
	return join '|', map { "$_=" . ($row->{$_} // '\N') } grep { defined $row->{$_} } sort keys %$row;
}

# From the stream: the versions that were ended, by table, and the rows that are
# left.  A version starts with its transaction, or where the version before
# it (of the same row, or of the same key) ended or started, if that is later: that is
# what keeps the periods of overlapping transactions apart.
sub replay
{
	my (%expected, %live, %ended, %gone, %time, $order, %versions);
	my $recent = sub {
		my ($name, $row) = @_;
		my $at = micros($row->{ $tables{$name}{time} // '' });
		return defined $at && $at > (sort { $a <=> $b } values %time)[0] - 3_600_000_000;
	};
	my $end = sub {
		my ($name, $xid, $old) = @_;
		my $line = line($old);
		# A deferrable key lets two rows be alike for a while; which of them ends is open.
		my @alike = @{ $live{$name}{$line} // [] };
		if (@alike > 1)
		{
			my %starts = map { $_ => 1 } map { ($_->{start}, @{ $_->{starts} }) } @alike;
			$_->{starts} = [ sort { $a <=> $b } keys %starts ] for @alike;
			my %makers = map { $_ => 1 } map { ($_->{xid}, @{ $_->{makers} // [] }) } @alike;
			$_->{makers} = [ sort { $a <=> $b } keys %makers ] for @alike;
		}
		my $row = shift @{ $live{$name}{$line} // [] }
		  or die "$name: the stream ends a row that is not there: $line";
		delete $live{$name}{$line} unless @{ $live{$name}{$line} };
		my $start = $tables{$name}{time} ? micros($old->{ $tables{$name}{time} }) : $row->{start};
		# What a transaction made itself lasted no time, whatever the time column says.
		my $empty = $row->{xid} == $xid || defined $start && $start >= $time{$xid};
		push @{ $expected{$name} }, join '|', $line, $xid,
		  $empty ? 'empty' : ($start // '') . '..' . $time{$xid};
		$others{ $expected{$name}[-1] } = [ map {
			join '|', $line, $xid, $_ < $time{$xid} ? "$_..$time{$xid}" : 'empty'
		} grep { $_ != $start } @{ $row->{starts} } ] if !$tables{$name}{time};
		my $key = key($name, $old);
		push @{ $versions{$name} }, { line => $line, key => $key, maker => $row->{xid}, ender => $xid, makers => $row->{makers},
			recent => $recent->($name, $old) };
		$ended{$name}{$key} = $time{$xid} if !$empty && ($ended{$name}{$key} // 0) < $time{$xid};
		$gone{$name}{$key} = $row if $empty;
		return $row;
	};
	my $begin = sub {
		my ($name, $xid, $new, $former, $perhaps) = @_;
		my ($start) = sort { $b <=> $a } $time{$xid}, $ended{$name}{ key($name, $new) } // 0, $former ? $former->{start} : 0;
		my $row = { start => $start, row => $new, xid => $xid };
		# Where rows trade keys, SPEC does not say whether a row goes on from its own
		# former version or from the one that had the key before.  And a row may have come
		# in while another, yet to go, had its key: the stream does not tell.
		my ($t, $e) = ($time{$xid}, $ended{$name}{ key($name, $new) } // 0);
		my @starts = ($t, $e, $former ? @{ $former->{starts} } : ());
		# Other tables leave one question open: whether a version that has an empty period
		# (who deletes it and enters its key again began before it) comes to an end.  And
		# the stream one: whether the row that went from another partition goes on here.
		# With a deferrable key that version may be yet to come to its end, in the same
		# command: where rows trade keys that one of them has got since we began.
		my $before = $gone{$name}{ key($name, $new) };
		if ($name ne 'public.deferred')
		{
			@starts = map { $_ > $start ? $_ : $start } map { @{ $_->{starts} } } grep { $_ } $former, $before, $perhaps;
		}
		else
		{
			my @there = grep { key($name, $_->{row}) eq key($name, $new) } map { @$_ } values %{ $live{$name} };
			push @starts, map { @{ $_->{starts} } } grep { $_ } $before, @there;
		}
		my %starts = map { $_ => 1 } $start, map { $_ > $t ? $_ : $t } @starts;
		$row->{starts} = [ sort { $a <=> $b } keys %starts ];
		push @{ $live{$name}{ line($new) } }, $row;
		return $row;
	};
	my %left;
	for my $change (@_)
	{
		my ($xid, $table, $verb, $old, $new) = @$change;
		if ($table eq 'public.txlog') { $time{$xid} = micros($new->{ts}); next }
		if ($table =~ /__history"?$/) { $order //= "$table: $verb by $xid" if $verb ne 'INSERT'; next }
		my $name = $root{$table} // $table;
		next unless $tables{$name};
		die "no time of transaction $xid" unless $time{$xid};
		if ($verb eq 'TRUNCATE')
		{
			for my $row (map { @$_ } values %{ $live{$name} })
			{
				$end->($name, $xid, $row->{row}) if !$root{$table} || $row->{leaf} eq $table;
			}
			next;
		}
		my $former;
		$former = $end->($name, $xid, $old) if $verb ne 'INSERT';
		# A row that moves to another partition is a DELETE and an INSERT here.
		my $perhaps = $verb eq 'INSERT' && $left{to} && $left{to} eq "$xid $name $new->{id}"
		  && $left{row}{leaf} ne $table ? $left{row} : undef;
		%left = $verb eq 'DELETE' && $root{$table} ? (to => "$xid $name $old->{id}", row => $former) : ();
		if ($verb ne 'DELETE')
		{
			$begin->($name, $xid, $new, $former, $perhaps)->{leaf} = $table;
		}
	}
	for my $name (keys %live)
	{
		push @{ $versions{$name} }, map { { line => line($_->{row}), key => key($name, $_->{row}), maker => $_->{xid}, makers => $_->{makers}, recent => $recent->($name, $_->{row}) } }
		  map { @$_ } values %{ $live{$name} };
	}
	return (\%expected, \%live, $order, \%versions);
}

sub key { my ($name, $row) = @_; return join "\x1f", map { $row->{$_} // '' } @{ $tables{$name}{key} } }

# Does the table's history hold what is expected, and the table what is left?  With
# at least so many versions, to be worth saying.
sub compare
{
	my ($name, $expected, $live, $at_least) = @_;
	my $history = $name =~ s/"\z/__history"/r;
	$history .= '__history' if $history eq $name;
	my @there;
	for my $row (rows("SELECT h.*, (SELECT CASE WHEN isempty(h.sys_period) THEN 'empty' ELSE "
			  . "coalesce((extract(epoch from lower(h.sys_period)) * 1000000)::bigint::text, '') || '..' "
			  . "|| coalesce((extract(epoch from upper(h.sys_period)) * 1000000)::bigint::text, '') END) AS \"=period\""
			  . " FROM ONLY $history AS h"))
	{
		my ($period, $xid) = delete @$row{ '=period', 'exec_transaction_id' };
		delete $row->{start_transaction_id};
		delete $row->{sys_period};
		push @there, join '|', line($row), $xid, $period;
	}
	same(\@there, $expected->{$name} // [], "$history holds the versions that the stream tells of");
	cmp_ok(scalar @there, '>=', $at_least, "$history holds enough to say so");
	my $only = $name eq 'public.part' ? '' : 'ONLY';
	same([ map { line($_) } rows("SELECT * FROM $only $name") ], [ keys %{ $live->{$name} } ],
		"$name holds the rows that are left (the oracle itself)");
	return;
}

# Does each version say who made it, and who ended it?  In the history, and in the view (a
# parent's shows its children's rows as well).
sub compare_makers
{
	my ($name, $versions) = @_;
	my @expected;
	for my $version (@{ $versions->{$name} })
	{
		my $ender = $version->{ender} // 'live';
		push @expected, join '|', $version->{line}, $version->{maker}, $ender;
		$others{ $expected[-1] } = [ map { join '|', $version->{line}, $_, $ender } @{ $version->{makers} // [] } ];
	}
	my $history = $name =~ s/"\z/__history"/r;
	$history .= '__history' if $history eq $name;
	my $view = $history =~ s/__history/__with_history/r;
	my @there = map { makers_line($_) } rows("SELECT h.* FROM ONLY $history AS h");
	same(\@there, [ grep { !/\|live\z/ } @expected ], "$history says who made and who ended each version") unless $tables{$name}{time};
	return if $name eq 'public.parent';
	@there = map { makers_line($_) } rows("SELECT v.* FROM $view AS v");
	same(\@there, \@expected, "$view says so, of live rows too");
	return;
}

sub makers_line
{
	my ($row) = @_;
	my ($maker, $ender) = delete @$row{ 'start_transaction_id', 'exec_transaction_id' };
	delete $row->{sys_period};
	return join '|', line($row), $maker // 'unknown', $ender // 'live';
}

# What history_changes() says that transactions did to each key, and that each change comes
# after the one that made what it found.
sub compare_changes
{
	my ($name, $versions) = @_;
	my (%did, %old_time);
	for my $version (@{ $versions->{$name} })
	{
		next if ($version->{ender} // '') eq $version->{maker};
		my $made = join '|', $version->{maker}, $version->{key};
		$did{ join '|', $version->{ender}, $version->{key} }{pre} = 1 if defined $version->{ender};
		$did{$made}{post} = 1;
		# What by its time is from before the table was tracked, or from any time, nobody has inserted.
		$old_time{$made} = 1 if $tables{$name}{time} && !$version->{recent};
	}
	my @expected = map { join '|', $_, !$did{$_}{pre} ? 'INSERT' : !$did{$_}{post} ? 'DELETE' : 'UPDATE' }
	  grep { $did{$_}{pre} || !$old_time{$_} } keys %did;

	my $keys = sub { my ($from) = @_; return join ', ', map { "$from ->> '" . (s/"//gr) . "'" } @{ $tables{$name}{key} } };
	my $n = @{ $tables{$name}{key} };
	my (@there, %place);
	for my $row (@{ $main->do("SELECT transaction_id, change, " . $keys->('key') . ', ' . $keys->('new_row')
		  . " FROM history_changes(ARRAY['$name'::regclass]) WHERE live_table = '$name'::regclass")->{rows} })
	{
		my ($xid, $change, @values) = @$row;
		my ($old, $new) = (join("\x1f", map { $_ // '' } @values[ 0 .. $n - 1 ]), join("\x1f", map { $_ // '' } @values[ $n .. 2 * $n - 1 ]));
		push @there, $change eq 'UPDATE' && $old ne $new ? ("$xid|$old|DELETE", "$xid|$new|INSERT") : "$xid|$old|$change";
		$place{"$xid|$old"} = @there unless $change eq 'UPDATE' && $old ne $new;
	}
	same(\@there, \@expected, "$name: history_changes() tells what each transaction did");
	my @wrong = grep { $_->[0] > $_->[1] } map { [ $place{"$_->{maker}|$_->{key}"} // 0, $place{"$_->{ender}|$_->{key}"} // 1e9, $_ ] }
	  grep { defined $_->{ender} && $_->{ender} ne $_->{maker} } @{ $versions->{$name} };
	# (The times of the time column are no transactions' times here.)
	is(join(', ', map { "$_->[2]{ender} before $_->[2]{maker}" } @wrong), '', "$name: and each after what made what it found")
	  unless $tables{$name}{time};
	return;
}

# Whatever the stream allows: two versions of one key, the live one among them, never
# overlap where the extension itself tells the starts.
sub apart
{
	my ($name) = @_;
	my $history = $name =~ s/"\z/__history"/r;
	$history .= '__history' if $history eq $name;
	my $key = join ', ', @{ $tables{$name}{key} };
	my ($live, $tracking) = ($name, $history =~ s/__history/__tracking/r);
	my $match = join ' AND ', map {
		my $column = @{ $tables{$name}{key} } == 1 ? 'live_pk' : 'live_pk_' . ($_ + 1);
		"t.$column = l.$tables{$name}{key}[$_]"
	} 0 .. $#{ $tables{$name}{key} };
	my $only = $name eq 'public.part' ? '' : 'ONLY';
	my $overlaps = $main->do(<<"SQL")->{rows};
WITH version AS (
	SELECT row_number() OVER () AS n, * FROM (
		SELECT $key, sys_period FROM ONLY $history
		UNION ALL SELECT $key, tstzrange(t.edition_time, NULL) FROM $only $live AS l LEFT JOIN ONLY $tracking AS t ON $match) AS v
	WHERE NOT isempty(sys_period))
SELECT a.sys_period, b.* FROM version AS a JOIN version AS b USING ($key)
WHERE a.n < b.n AND a.sys_period && b.sys_period
SQL
	is(scalar @$overlaps, 0, "$name: versions of one key do not overlap")
	  or diag join "\n", map { join ' ', map { $_ // 'NULL' } @$_ } @$overlaps[ 0 .. ($#$overlaps > 9 ? 9 : $#$overlaps) ];
	is($main->do("SELECT count(*) FROM ONLY $tracking")->{rows}[0][0], $main->do("SELECT count(*) FROM $only $live")->{rows}[0][0],
		"$name: one tracking row for each live row");
	return;
}

# Does the tracking table know of each row that is left, and of no other, when its
# version began and which transaction made it?
sub compare_tracking
{
	my ($name, $live) = @_;
	my $tracking = $name =~ s/"\z/__tracking"/r;
	$tracking .= '__tracking' if $tracking eq $name;
	my @expected;
	for my $row (map { @$_ } values %{ $live->{$name} })
	{
		my $key = key($name, $row->{row});
		push @expected, join '|', $key, $row->{start}, $row->{xid};
		$others{ $expected[-1] } = [ map { join '|', $key, $_, $row->{xid} } @{ $row->{starts} } ];
	}
	my $n = @{ $tables{$name}{key} };
	my $key = join ', ', $n == 1 ? 'live_pk' : map { "live_pk_$_" } 1 .. $n;
	my @there = map { join '|', join("\x1f", @$_[ 0 .. $n - 1 ]), @$_[ $n, $n + 1 ] }
	  @{ $main->do("SELECT $key, (extract(epoch from edition_time) * 1000000)::bigint, txid FROM ONLY $tracking")->{rows} };
	same(\@there, \@expected, "$tracking has the rows that are left, with start and transaction");
	return;
}

# Rows as test_decoding shows them: { quoted column name => text }.
sub rows
{
	my ($sql) = @_;
	my $answer = $main->do($sql);
	my @names = map { /^[a-z_=]+\z/ ? $_ : qq("$_") } @{ $answer->{columns} };
	my @rows;
	for my $values (@{ $answer->{rows} })
	{
		my %row;
		@row{@names} = @$values;
		$row{b} = $row{b} eq 't' ? 'true' : 'false' if defined $row{b};
		s/^"=period"$/=period/ for @names;
		push @rows, \%row;
	}
	return @rows;
}

sub same
{
	my ($there, $wanted, $what) = @_;
	my %n;
	$n{$_}++ for @$there;
	$n{$_}-- for @$wanted;
	for my $line (grep { $n{$_} < 0 } sort keys %n)
	{
		my ($other) = grep { ($n{$_} // 0) > 0 } @{ $others{$line} // [] } or next;
		$n{$line}++;
		$n{$other}--;
	}
	my @extra = grep { $n{$_} > 0 } sort keys %n;
	my @missing = grep { $n{$_} < 0 } sort keys %n;
	ok(!@extra && !@missing, $what . ' (' . @$wanted . ')')
	  or diag "unexpected:\n", (map { '  ' . substr($_, 0, 300) . ' ... ' . substr($_, -80) . "\n" } @extra[ 0 .. ($#extra > 9 ? 9 : $#extra) ]),
	  "missing:\n", (map { '  ' . substr($_, 0, 300) . ' ... ' . substr($_, -80) . "\n" } @missing[ 0 .. ($#missing > 9 ? 9 : $#missing) ]);
	return;
}

1;
