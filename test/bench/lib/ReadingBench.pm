# As-of queries through the history view: with the index as the extension makes it,
# with a GiST index on sys_period in its place, and with none.
#
# Two histories: "few", in which each row has four versions on average, and "hot", in
# which twenty rows have 95 % of all versions, and the others hardly any.
package ReadingBench;

use strict;
use warnings;
use Report;

my @histories = ('few', 'hot');
my %index = (
	'as made' => '',
	'GiST' => 'USING gist (sys_period)',
	'no index' => undef);
my @indexes = ('as made', 'GiST', 'no index');
my @times = ([ 'recent', 0.999 ], [ 'middle', 0.5 ], [ 'oldest', 0.001 ]);

sub new
{
	my ($class, $o) = @_;
	return bless { o => $o }, $class;
}

sub names
{
	return map { my $history = $_; map { ("as-of, $history, $_->[0], whole table", "as-of, $history, $_->[0], by key") } @times }
	  @histories;
}

sub run
{
	my ($self, $server) = @_;
	my $o = $self->{o};
	my @rows;

	for my $history (grep { my $h = $_; grep { /^as-of, $h/ && /$o->{only}/ } $self->names } @histories)
	{
		$self->setup($server, $history, $_) for @indexes;
		for my $time (@times)
		{
			for my $what ('whole table', 'by key')
			{
				my $name = "as-of, $history, $time->[0], $what";
				next unless $name =~ /$o->{only}/;
				my %ms;
				print STDERR "$name\n";
				for my $round (1 .. $o->{rounds})
				{
					# each is the first one in its turn
					my @turns = @indexes[map { ($_ + $round) % @indexes } 0 .. $#indexes];
					push @{ $ms{$_} }, $self->turn($server, $history, $_, $time->[1], $what) for @turns;
				}
				my %m = map { $_ => Report::median(@{ $ms{$_} }) } @indexes;
				push @rows, [ $name, map({ Report::figure($m{$_}) . ' ms' } @indexes),
					sprintf('%.2f', $m{'as made'} / $m{GiST}) ];
			}
		}
	}
	return '' unless @rows;
	return "**Reading** through `X__with_history`, a history of $o->{versions} versions.\n\n"
	  . Report::markdown([ '', @indexes, 'as made : GiST' ], @rows) . "\n";
}

sub table
{
	my ($history, $index) = @_;
	$index =~ s/\W/_/g;
	return lc "${history}_$index";
}

# Version k ended at second k.
sub setup
{
	my ($self, $server, $history, $index) = @_;
	my $versions = $self->{o}{versions};
	my $rows = $versions / 4;
	my $t = table($history, $index);
	my $of_row = $history eq 'few' ? "(hashint4(k) & 2147483647) % $rows"
	  : "CASE WHEN k % 20 <> 0 THEN (hashint4(k) & 2147483647) % 20 ELSE 100 + (hashint4(k) & 2147483647) % ($rows / 5) END";

	print STDERR "setting up the history $t\n";
	$server->sql(<<SQL);
CREATE TABLE $t (id int PRIMARY KEY, v bigint, note text, x float8, y float8,
	edition_time timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
SELECT create_history_table('$t', 'edition_time', 'txid');
INSERT INTO ${t}__history (id, v, note, x, y, sys_period, exec_transaction_id)
SELECT id, k, 'some text ' || k, 1.5, 2.5,
	tstzrange(timestamptz '2020-01-01' + interval '1 s' * coalesce(lag(k) OVER (PARTITION BY id ORDER BY k), 0),
		timestamptz '2020-01-01' + interval '1 s' * k), k
FROM (SELECT k, $of_row AS id FROM generate_series(1, $versions) k) e
ORDER BY k;
INSERT INTO $t (id, v, note, x, y, edition_time)
SELECT id, max(v), 'live', 1.5, 2.5, max(upper(sys_period)) FROM ${t}__history GROUP BY id;
SQL
	$server->sql("DROP INDEX ${t}__history_sys_period;") if $index ne 'as made';
	$server->sql("CREATE INDEX ON ${t}__history $index{$index};") if $index{$index};
	$server->sql("VACUUM ANALYZE $t, ${t}__history;");
}

sub turn
{
	my ($self, $server, $history, $index, $part, $what) = @_;
	my $t = table($history, $index);
	my $at = sprintf "timestamptz '2020-01-01' + interval '%d seconds'", $part * $self->{o}{versions};
	my $at_value = $server->sql("SELECT $at;");
	my $query = "SELECT count(*), sum(v) FROM ${t}__with_history WHERE sys_period @> timestamptz '$at_value'"
	  . ($what eq 'by key' ? ' AND id = 7' : '') . ';';

	# once to have it in the cache
	return $server->time_sql($query, $query, '');
}

1;
