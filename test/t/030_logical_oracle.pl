# History compared with what logical decoding says was changed.
#
# Several sessions run random transactions on tracked tables at the same time.
# PostgreSQL's own change stream (slot with test_decoding, REPLICA IDENTITY FULL,
# so that every old row is in it) then tells, in commit order, each row version
# that a committed transaction ended.  History has to hold exactly these: the same
# values, the transaction's id, its time as the end, and a start that continues
# the version before.  Nothing of this comes from the extension.
#
#   RANDOM_SEED           repeats the statements (not how the sessions interleave)
#   ORACLE_TRANSACTIONS   how many transactions, 600 unless told

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::Local 'timegm';
use PgWire;

my $seed = $ENV{RANDOM_SEED} || int(rand 2**31);
my $transactions = $ENV{ORACLE_TRANSACTIONS} || 600;
srand($seed);
diag "RANDOM_SEED=$seed ORACLE_TRANSACTIONS=$transactions";

my $node = PostgreSQL::Test::Cluster->new('oracle');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
wal_level = logical
fsync = off
timezone = 'UTC'
datestyle = 'ISO'
deadlock_timeout = 20ms
log_statement = none
CONF
$node->start;

my $main = PgWire->new($node, name => 'main');
if ($main->try("SELECT pg_create_logical_replication_slot('oracle', 'test_decoding')")->{error})
{
	$main->close;
	plan skip_all => 'test_decoding is not there (it comes with the server package and contrib)';
}

# What history a relation's changes belong to, and how versions start there.
my %tables = (
	'public.timed' => { key => ['id'], time => 'edition_time' },
	'public.tracked' => { key => ['id'] },
	'public."Odd Name"' => { key => [ 'a', '"B"' ] },
	'public.parent' => { key => ['id'] },
	'public.child' => { key => ['id'] },
	'public.part' => { key => [ 'region', 'id' ] },
	'public.fk_up' => { key => ['id'] },
	'public.fk_down' => { key => ['id'] },
	'public.deferred' => { key => ['id'] },
);
# test_decoding names the partition; its history is the root's.
my %root = map { ("public.part_$_" => 'public.part') } 1 .. 3;

# Random statements by kind of table.
my %statements = (
	timed => sub {
		my $set = 'v = ' . text() . pick(', edition_time = now()', ', edition_time = now()', '', ', edition_time = NULL', ", edition_time = now() - interval '1 day'");
		return pick(
			'INSERT INTO timed (id, v, n) VALUES (' . id() . ', ' . text() . ', 1.50) ON CONFLICT DO NOTHING',
			'INSERT INTO timed (id, v) VALUES (' . id() . ', ' . text() . ") ON CONFLICT (id) DO UPDATE SET $set",
			"UPDATE timed SET $set WHERE id = " . id(),
			"UPDATE timed SET $set WHERE id % 5 = " . int rand 5,
			'DELETE FROM timed WHERE id = ' . id());
	},
	tracked => sub {
		my $set = pick('v = ' . text(), 'tags = tracked.tags || 1', "big = repeat(md5(tracked.id::text), 200), b = NOT tracked.b", 'v = tracked.v');
		return pick(
			'INSERT INTO tracked (id, v, tags, big, b) VALUES (' . id() . ', ' . text() . ", '{1,NULL}', repeat('abc', 3000), true) ON CONFLICT (id) DO UPDATE SET $set",
			'INSERT INTO tracked (id, v) VALUES (' . id() . ', ' . text() . ') ON CONFLICT DO NOTHING',
			"UPDATE tracked SET $set WHERE id = " . id(),
			"UPDATE tracked SET $set WHERE id BETWEEN 5 AND 12",
			'UPDATE tracked SET id = id + 100 WHERE id = ' . id(),
			'DELETE FROM tracked WHERE id = ' . id());
	},
	odd => sub {
		return pick(
			'INSERT INTO "Odd Name" VALUES (' . text() . ', ' . pick("'x'", "'y'") . ', ' . id() . ') ON CONFLICT DO NOTHING',
			'UPDATE "Odd Name" SET v = ' . text() . ' WHERE a = ' . id(),
			q(UPDATE "Odd Name" SET "B" = "B" || 'z' WHERE a = ) . id(),
			'DELETE FROM "Odd Name" WHERE a = ' . id());
	},
	hierarchy => sub {
		return pick(
			'INSERT INTO parent VALUES (' . 2 * id() . ', ' . text() . ') ON CONFLICT DO NOTHING',
			'INSERT INTO child VALUES (' . (2 * id() + 1) . ', ' . text() . ", 'more') ON CONFLICT DO NOTHING",
			'UPDATE parent SET v = ' . text() . ' WHERE id % 7 = ' . int rand 7,
			'UPDATE ONLY parent SET v = ' . text() . ' WHERE id % 7 = ' . int rand 7,
			'UPDATE child SET more = ' . text() . ' WHERE id % 7 = ' . int rand 7,
			'DELETE FROM parent WHERE id % 20 = ' . int rand 20);
	},
	part => sub {
		return pick(
			'INSERT INTO part VALUES (' . id() . ', ' . pick(1 .. 4) . ', ' . text() . ') ON CONFLICT DO NOTHING',
			'INSERT INTO part_2 (id, region, v) VALUES (' . id() . ', 2, ' . text() . ') ON CONFLICT DO NOTHING',
			'UPDATE part SET v = ' . text() . ' WHERE id = ' . id(),
			'UPDATE part SET region = ' . pick(1 .. 4) . ' WHERE id = ' . id() . ' AND region = ' . pick(1 .. 4),
			'UPDATE part_1 SET v = ' . text(),
			'DELETE FROM ' . pick('part', 'part_2') . ' WHERE id = ' . id());
	},
	fk => sub {
		return pick(
			'INSERT INTO fk_up VALUES (' . id() . ', ' . text() . ') ON CONFLICT DO NOTHING',
			'INSERT INTO fk_down SELECT ' . id() . ', id, v FROM fk_up WHERE id = ' . id() . ' ON CONFLICT DO NOTHING',
			'INSERT INTO fk_down SELECT ' . id() . ', min(id), \'x\' FROM fk_up ON CONFLICT DO NOTHING',
			'UPDATE fk_up SET id = id + 100 WHERE id = ' . id(),
			'UPDATE fk_down SET v = ' . text() . ' WHERE id = ' . id(),
			'DELETE FROM fk_up WHERE id = ' . id());
	},
	deferred => sub {
		return pick(
			'INSERT INTO deferred SELECT ' . id() . ', ' . text() . ' WHERE NOT EXISTS (SELECT FROM deferred WHERE id = ' . id() . ')',
			'UPDATE deferred SET id = 26 - id',
			'UPDATE deferred SET v = ' . text() . ' WHERE id = ' . id(),
			'DELETE FROM deferred WHERE id = ' . id());
	},
	truncate => sub { return 'TRUNCATE ' . pick(qw(timed tracked parent child part part_1 deferred), 'fk_up CASCADE', 'fk_down', '"Odd Name"') },
);

# An expected version => other forms of it that are as good.
my %others;

make_tables();
run_sessions();
my ($expected, $live, $order) = replay(decode());
compare($_) for sort keys %tables;
apart($_) for grep { !$tables{$_}{time} } sort keys %tables;
is($order, undef, 'history tables were only inserted into');
$main->close;
$node->stop;
done_testing();

sub make_tables
{
	$main->do(<<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE txlog (xid bigint PRIMARY KEY, ts timestamptz);
CREATE TABLE timed (edition_time timestamptz DEFAULT now(), id int PRIMARY KEY, v text, txid bigint DEFAULT txid_current(), n numeric);
CREATE TABLE tracked (gone int, id int PRIMARY KEY, v text, tags int[], big text, b boolean,
	twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE tracked DROP COLUMN gone;
ALTER TABLE tracked ALTER COLUMN big SET STORAGE EXTERNAL;
CREATE TABLE "Odd Name" (v text, "B" text, a int, PRIMARY KEY (a, "B"));
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (more text, PRIMARY KEY (id)) INHERITS (parent);
CREATE TABLE part (id int, region int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (v text, region int NOT NULL, id int NOT NULL);
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
CREATE TABLE part_3 PARTITION OF part DEFAULT;
CREATE TABLE fk_up (id int PRIMARY KEY, v text);
CREATE TABLE fk_down (id int PRIMARY KEY, up int REFERENCES fk_up ON DELETE CASCADE ON UPDATE CASCADE, v text);
CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
SQL
	for my $name (keys %tables, keys %root)
	{
		$main->do("ALTER TABLE $name REPLICA IDENTITY FULL");
	}
	# Empty when tracking starts, so that the stream tells every version's start.
	$main->do("SELECT create_history_table('timed', 'edition_time', 'txid')");
	$main->do("SELECT create_history_table('$_')")
	  for grep { !$tables{$_}{time} && $_ ne 'public.parent' } sort keys %tables;
	return;
}

# --- random transactions -------------------------------------------------------

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub id { return 1 + int rand 25 }
sub text { return pick("'a'", "'it''s'", "'long ' || repeat('x', 30)", 'NULL', "'" . int(rand 1000) . "'", "E'new\\nline [int]:''x'''") }

# The statements of one transaction, each to be sent when the one before is done.
sub transaction
{
	my @sql = ('BEGIN' . (chance(0.2) ? ' ISOLATION LEVEL REPEATABLE READ' : ''),
		'INSERT INTO txlog VALUES (txid_current(), now())');
	my $savepoints = 0;
	for (1 .. 1 + int rand 7)
	{
		my $kind = chance(0.01) ? 'truncate' : pick(grep { $_ ne 'truncate' } sort keys %statements);
		if (chance(0.15)) { push @sql, 'SAVEPOINT s' . $savepoints++ }
		push @sql, $statements{$kind}->();
		if ($savepoints && chance(0.3)) { push @sql, 'ROLLBACK TO s' . --$savepoints }
	}
	return (@sql, chance(0.1) ? 'ROLLBACK' : 'COMMIT');
}

sub run_sessions
{
	my @sessions = map { PgWire->new($node, name => "writer $_") } 1 .. 4;
	my %todo;
	my %states;
	my $begun = 0;
	while (1)
	{
		my $under_way = 0;
		for my $s (@sessions)
		{
			if ($s->{busy})
			{
				$under_way++;
				next unless $s->ready(0.001);
				my $error = $s->finish->{error};
				$states{ $error->{C} }++ if $error;
				$todo{ $s->{name} } = ['ROLLBACK'] if $error && $error->{C} ne '25P02';
			}
			my $todo = $todo{ $s->{name} } //= [];
			if (!@$todo && $begun < $transactions) { push @$todo, transaction(); $begun++ }
			if (@$todo) { $s->start(shift @$todo); $under_way++ }
		}
		last unless $under_way;
	}
	$_->close for @sessions;
	# Conflicts between sessions are expected (and TRUNCATE while a deferred check is
	# pending is refused by PostgreSQL), faults are not.
	delete @states{qw(40001 40P01 23505 23503 55006)};
	is_deeply(\%states, {}, 'transactions failed only because of each other');
	return;
}

# --- the change stream ---------------------------------------------------------

# [xid, table, verb, old, new] in commit order, old and new as { column => text }.
sub decode
{
	my @changes;
	my $xid;
	my $rows = $main->do("SELECT data FROM pg_logical_slot_get_changes('oracle', NULL, NULL, 'include-xids', '1')")->{rows};
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
	my (%expected, %live, %ended, %time, $order);
	my $end = sub {
		my ($name, $xid, $old) = @_;
		my $line = line($old);
		# A deferrable key lets two rows be alike for a while; which of them ends is open.
		my @alike = @{ $live{$name}{$line} // [] };
		if (@alike > 1)
		{
			my %starts = map { $_ => 1 } map { ($_->{start}, @{ $_->{starts} }) } @alike;
			$_->{starts} = [ sort { $a <=> $b } keys %starts ] for @alike;
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
		} grep { $_ != $start } @{ $row->{starts} } ] if $name eq 'public.deferred';
		my $key = key($name, $old);
		$ended{$name}{$key} = $time{$xid} if !$empty && ($ended{$name}{$key} // 0) < $time{$xid};
		return $row;
	};
	my $begin = sub {
		my ($name, $xid, $new, $former) = @_;
		my ($start) = sort { $b <=> $a } $time{$xid}, $ended{$name}{ key($name, $new) } // 0, $former ? $former->{start} : 0;
		my $row = { start => $start, row => $new, xid => $xid };
		# Where rows trade keys, SPEC does not say whether a row goes on from its own
		# former version or from the one that had the key before.  And a row may have come
		# in while another, yet to go, had its key: the stream does not tell.
		my ($t, $e) = ($time{$xid}, $ended{$name}{ key($name, $new) } // 0);
		my %starts = map { $_ => 1 } $t, map { $_ > $t ? $_ : $t } $e, $former ? @{ $former->{starts} } : ();
		$row->{starts} = [ sort { $a <=> $b } keys %starts ];
		push @{ $live{$name}{ line($new) } }, $row;
		return $row;
	};
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
		if ($verb ne 'DELETE')
		{
			# A row that moves to another partition is a DELETE and an INSERT here.
			$begin->($name, $xid, $new, $former)->{leaf} = $table;
		}
	}
	return (\%expected, \%live, $order);
}

sub key { my ($name, $row) = @_; return join "\x1f", map { $row->{$_} // '' } @{ $tables{$name}{key} } }

# --- comparison ------------------------------------------------------------------

sub compare
{
	my ($name) = @_;
	my $history = $name =~ s/"\z/__history"/r;
	$history .= '__history' if $history eq $name;
	my @there;
	for my $row (rows("SELECT h.*, (SELECT CASE WHEN isempty(h.sys_period) THEN 'empty' ELSE "
			  . "coalesce((extract(epoch from lower(h.sys_period)) * 1000000)::bigint::text, '') || '..' "
			  . "|| coalesce((extract(epoch from upper(h.sys_period)) * 1000000)::bigint::text, '') END) AS \"=period\""
			  . " FROM ONLY $history AS h"))
	{
		my ($period, $xid) = delete @$row{ '=period', 'exec_transaction_id' };
		delete $row->{sys_period};
		push @there, join '|', line($row), $xid, $period;
	}
	same(\@there, $expected->{$name} // [], "$history holds the versions that the stream tells of");
	cmp_ok(scalar @there, '>=', $transactions / 40, "$history holds enough to say so");
	my $only = $name eq 'public.part' ? '' : 'ONLY';
	same([ map { line($_) } rows("SELECT * FROM $only $name") ], [ keys %{ $live->{$name} } ],
		"$name holds the rows that are left (the oracle itself)");
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
