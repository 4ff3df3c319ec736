# No memory is kept per row: one session makes tens of thousands of single-row
# updates, and after the first ones neither its memory contexts nor its resident
# memory grow.  Each kind of table (untracked, time column, tracking table, child
# through its parent, partitioned) and each way (a transaction for each row, one
# for all) has a backend of its own.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 24000;        # updates in each session, each on another row
my $warm = 4000;         # of these before the first look
my $contexts_kb = 192;   # a leak of 10 bytes a row would pass this
my $resident_kb = 1024;  # one of 52 bytes

my $node = PostgreSQL::Test::Cluster->new('leak');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njit = off\n");
$node->start;
my $has_contexts = $node->safe_psql('postgres',
	"SELECT current_setting('server_version_num')::int >= 140000") eq 't';

my %setup = (
	timed     => q{SELECT create_history_table('timed', 'edition_time', 'txid')},
	tracked   => q{SELECT create_history_table('tracked')},
	child     => q{SELECT create_history_table('child')},
	parted    => q{SELECT create_history_table('parted')});
my %target = (child => 'parent');
# PostgreSQL keeps a word of each event of an AFTER trigger to the transaction's
# end; the untracked table has such a trigger too, so that this is not counted.
$setup{untracked} = 'CREATE TRIGGER nothing AFTER UPDATE ON untracked '
  . 'FOR EACH ROW EXECUTE FUNCTION nothing()';
$node->safe_psql('postgres', 'CREATE EXTENSION catmaid_history');
for my $t (qw(untracked timed tracked))
{
	$node->safe_psql('postgres', "CREATE TABLE $t (id int PRIMARY KEY, a int, note text,
		edition_time timestamptz DEFAULT now(), txid bigint)");
}
$node->safe_psql('postgres', q{
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
	CREATE TABLE parent (id int PRIMARY KEY, a int, note text);
	CREATE TABLE child (extra text, PRIMARY KEY (id)) INHERITS (parent);
	CREATE TABLE parted (id int PRIMARY KEY, a int, note text) PARTITION BY HASH (id);
	CREATE TABLE parted0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parted1 (note text, a int, id int NOT NULL);
	ALTER TABLE parted ATTACH PARTITION parted1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);});
for my $t (sort keys %setup)
{
	$node->safe_psql('postgres', "INSERT INTO $t (id, a, note)
		SELECT n, 0, repeat('x', n % 200) FROM generate_series(1, $rows) n; $setup{$t};");
}

# One psql session.  What it prints: "contexts N" and "resident N" in bytes and
# kB, after the warm-up and at the end.
sub session
{
	my (@parts) = @_;
	my $look = join("\n",
		$has_contexts
		? (q{SELECT 'contexts ' || sum(used_bytes) FROM pg_backend_memory_contexts;})
		: (),
		'\set resident `awk \'/^RssAnon:/ {print $2}\' /proc/$BACKEND/status`',
		'\echo resident :resident', '');
	my $script = join("\n", 'SELECT pg_backend_pid() AS pid \gset', '\setenv BACKEND :pid',
		$look, $parts[0], $look, $parts[1], $look, @parts[ 2 .. $#parts ], '');
	my $out = $node->safe_psql('postgres', $script);
	my %seen;
	push @{ $seen{$1} }, $2 while $out =~ /^(contexts|resident) (\d+)$/mg;
	# What the first look itself allocates is not counted: the second is the base.
	return map { $_ => $seen{$_} ? $seen{$_}[2] - $seen{$_}[1] : undef } qw(contexts resident);
}

sub separately
{
	my ($t, $from, $to) = @_;
	return join("\n", map { "UPDATE $t SET a = a + 1 WHERE id = $_;" } $from .. $to);
}

sub together
{
	my ($t, $from, $to) = @_;
	return "DO \$\$ BEGIN FOR n IN $from .. $to LOOP
		UPDATE $t SET a = a + 1 WHERE id = n; END LOOP; END \$\$;";
}

my %made = (
	'a transaction for each row' => sub {
		my ($t) = @_;
		return (separately($t, 1, $warm), separately($t, $warm + 1, $rows));
	},
	'one transaction' => sub {
		my ($t) = @_;
		return ("BEGIN;\n" . together($t, 1, $warm), together($t, $warm + 1, $rows), 'COMMIT;');
	});

for my $way (sort keys %made)
{
	# What PostgreSQL itself keeps is not ours.
	my %base = session($made{$way}->('untracked'));
	for my $t (qw(timed tracked child parted))
	{
		my $before = $t eq 'child' ? 'ONLY child__history' : "${t}__history";
		my $n = $node->safe_psql('postgres', "SELECT count(*) FROM $before");
		my %grown = session($made{$way}->($target{$t} // $t));
		is($node->safe_psql('postgres', "SELECT count(*) - $n FROM $before"), $rows,
			"$t, $way: every version is stored");
	  SKIP:
		{
			skip 'no pg_backend_memory_contexts before 14', 1 if !$has_contexts;
			cmp_ok($grown{contexts} - $base{contexts}, '<', $contexts_kb * 1024,
				"$t, $way: memory contexts stay flat");
		}
	  SKIP:
		{
			skip 'no RssAnon in /proc/PID/status', 1 if !defined $grown{resident};
			cmp_ok($grown{resident} - $base{resident}, '<', $resident_kb,
				"$t, $way: resident memory stays flat");
		}
		note("$t, $way: grown by " . join(', ', map { "$_ " . ($grown{$_} // '?')
			. ' (untracked ' . ($base{$_} // '?') . ')' } sort keys %grown));
	}
}

# The measure itself sees what is kept per row: here a prepared statement.
if ($has_contexts)
{
	my $leak = "DO \$\$ BEGIN FOR n IN 1 .. $rows LOOP
		EXECUTE format('PREPARE leak_%s AS SELECT 1', n) ; END LOOP; END \$\$;";
	my %grown = session('SELECT 1;', $leak);
	cmp_ok($grown{contexts}, '>', $contexts_kb * 1024, 'control: a leak per row would be seen');
	cmp_ok($grown{resident}, '>', $resident_kb, 'control: in resident memory too')
	  if defined $grown{resident};
}

$node->stop;
done_testing();
