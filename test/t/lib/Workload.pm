# A workload for the tests that compare history with PostgreSQL's own change stream:
# tracked tables of every kind, and random transactions on them in several sessions
# at a time.  Nothing here comes from the extension but the calls that begin to track.

package Workload;

use strict;
use warnings;
use Exporter 'import';
use PgWire;

our @EXPORT = qw(%tables %root make_tables run_sessions);

my $merge;

# What history a relation's changes belong to, and how versions start there.
our %tables = (
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
our %root = map { ("public.part_$_" => 'public.part') } 1 .. 3;

# Random statements by kind of table.
our %statements = (
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
	bulk => sub {
		return pick(
			"INSERT INTO timed (id, v) SELECT i, 'bulk' FROM generate_series(201, 400) i ON CONFLICT (id) DO UPDATE SET v = timed.v || 'b', edition_time = now()",
			"INSERT INTO tracked (id, v) SELECT i, 'bulk' FROM generate_series(201, 400) i ON CONFLICT (id) DO UPDATE SET v = tracked.v || 'b'",
			'UPDATE tracked SET v = ' . text(),
			'UPDATE part SET v = ' . text(),
			'DELETE FROM timed WHERE id > 200',
			'DELETE FROM tracked WHERE id > 200 AND id % 2 = ' . int rand 2,
			$merge ? "MERGE INTO part p USING (SELECT DISTINCT region, id FROM part) s ON p.region = s.region AND p.id = s.id + 1"
			  . " WHEN MATCHED AND p.id % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 'merged'"
			  : 'DELETE FROM part WHERE id % 4 = 0',
			'WITH d AS (DELETE FROM child RETURNING *) INSERT INTO child SELECT id, v, more || \'+\' FROM d');
	},
	truncate => sub { return 'TRUNCATE ' . pick(qw(timed tracked parent child part part_1 deferred), 'fk_up CASCADE', 'fk_down', '"Odd Name"') },
);

# Make them in the database of the session, empty, tracked.
sub make_tables
{
	my ($main) = @_;
	$merge = $main->value('SHOW server_version_num') >= 150000;
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

my $prepared = 0;

# --- random transactions -------------------------------------------------------

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub id { return 1 + int rand 25 }
sub text { return pick("'a'", "'it''s'", "'long ' || repeat('x', 30)", 'NULL', "'" . int(rand 1000) . "'", "E'new\\nline [int]:''x'''") }

# The statements of one transaction, each to be sent when the one before is done.
sub transaction
{
	my ($option) = @_;
	my @sql = ('BEGIN' . (chance(0.2) ? ' ISOLATION LEVEL REPEATABLE READ'
			: $option->{serializable} && chance(0.2) ? ' ISOLATION LEVEL SERIALIZABLE' : ''),
		'INSERT INTO txlog VALUES (txid_current(), now())');
	my $savepoints = 0;
	for (1 .. 1 + int rand 7)
	{
		my $kind = chance(0.01) ? 'truncate' : $option->{bulk} && chance(0.03) ? 'bulk'
		  : pick(grep { !/^(truncate|bulk)\z/ } sort keys %statements);
		if (chance(0.15)) { push @sql, 'SAVEPOINT s' . $savepoints++ }
		push @sql, $statements{$kind}->();
		if ($savepoints && chance(0.3)) { push @sql, 'ROLLBACK TO s' . --$savepoints }
	}
	if ($option->{prepared} && chance(0.15))
	{
		my $name = "'p" . $prepared++ . "'";
		return (@sql, "PREPARE TRANSACTION $name", (chance(0.2) ? 'ROLLBACK' : 'COMMIT') . " PREPARED $name");
	}
	return (@sql, chance(0.1) ? 'ROLLBACK' : 'COMMIT');
}

# Run transactions in several sessions of the server.  Options: transactions (how
# many to begin), sessions; serializable, prepared, bulk (whether some are);
# leave (how many may be begun before all is left as it is, under way).
# Returns how often which SQLSTATE came, of those that are not faults.
sub run_sessions
{
	my ($node, %option) = @_;
	my @sessions = map { PgWire->new($node, name => "writer $_") } 1 .. ($option{sessions} // 4);
	my %todo;
	my %states;
	my $begun = 0;
	my $left = 0;
	while (!$left)
	{
		my $under_way = 0;
		for my $s (@sessions)
		{
			if ($s->{busy})
			{
				$under_way++;
				next unless $s->ready(0.001);
				my $sql = $s->{sql};
				my $error = $s->finish->{error};
				$states{ $error->{C} }++ if $error;
				# A deferred check may fail while a transaction ends.
				$todo{ $s->{name} } = $s->{status} eq 'I' ? [] : ['ROLLBACK'] if $error && $error->{C} ne '25P02';
			}
			my $todo = $todo{ $s->{name} } //= [];
			if (!@$todo && $begun < $option{transactions}) { push @$todo, transaction(\%option); $begun++ }
			if (@$todo) { $s->start(shift @$todo); $under_way++ }
		}
		last unless $under_way;
		$left = defined $option{leave} && $begun >= $option{leave};
	}
	$_->close for grep { !$left } @sessions;
	return (\%states, $left ? \@sessions : ());
}

1;
