# What the tests of dumps share: everything that is in a database, as text, and
# running PostgreSQL's clients.

package Dumps;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use Test::More;

our @EXPORT = qw(tables contents contents_or_error run_client same);

my $node;

sub use_node { ($node) = @_; return }

# The user's tables, and ours.
sub tables
{
	my ($db) = @_;
	return [ split /\n/, $node->safe_psql($db, <<'SQL') ];
SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v') AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
ORDER BY c.oid::regclass::text COLLATE "C"
SQL
}

# Pauses that began later are not looked at.
our $pauses_before = 'infinity';

# All rows of all tables and views, and what the catalogs say about them.
sub contents
{
	my ($db) = @_;
	my $sql = "SELECT concat_ws(' ', 'relation', c.oid::regclass, relkind, relowner::regrole, relacl, reloptions, relreplident,
			(SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || attnotnull::text || attidentity::text || coalesce(attacl::text, '')
				|| coalesce(pg_get_expr(adbin, adrelid), ''), ',' ORDER BY attname COLLATE \"C\")
				FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
			(SELECT string_agg(pg_get_triggerdef(t.oid) || tgenabled::text, ',' ORDER BY tgname)
				FROM pg_trigger t WHERE tgrelid = c.oid AND NOT tgisinternal),
			(SELECT string_agg(pg_get_indexdef(indexrelid), ',' ORDER BY indexrelid::regclass::text COLLATE \"C\")
				FROM pg_index WHERE indrelid = c.oid),
			(SELECT string_agg(inhparent::regclass::text, ',') FROM pg_inherits WHERE inhrelid = c.oid),
			obj_description(c.oid, 'pg_class'),
			CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p', 'v', 'S') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'";
	# (the two helper views show OIDs)
	for my $table (grep { !/catmaid_(table_info|inheriting_tables)$/ } @{ tables($db) })
	{
		my $quoted = $table =~ s/'/''/gr;
		# Columns by name: a child's may be in another order.
		$sql .= "\nUNION ALL SELECT '$quoted ' || to_jsonb(its_row)::text FROM ONLY $table its_row";

		# Pauses of histories that are gone are not dumped, nor a table that is.
		$sql =~ s/to_jsonb\((its_row)\)(::text FROM ONLY $table its_row)\z/(to_jsonb($1) - 'live_table')$2 JOIN pg_class c ON c.oid = its_row.history_table AND its_row.paused_from < '$pauses_before'/
		  if $table =~ /catmaid_history_pause\z/;

		# A column has another number afterwards.
		$sql =~ s/to_jsonb\((its_row)\)(::text FROM ONLY $table its_row)\z/(to_jsonb($1) - 'column_number' || jsonb_build_object('column', a.attname))$2 JOIN pg_class c ON c.oid = its_row.relation LEFT JOIN pg_attribute a ON a.attrelid = its_row.relation AND a.attnum = its_row.column_number AND a.attnum > 0 WHERE its_row.column_number = 0 OR NOT a.attisdropped/
		  if $table =~ /catmaid_history_since\z/;
	}
	return $node->safe_psql($db, "SELECT line FROM ($sql) x(line) ORDER BY line COLLATE \"C\"");
}

# Run a command with its server being ours; its output goes to two scalars.
sub run_client
{
	my ($command, $out, $err) = @_;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	IPC::Run::run($command, '>', $out, '2>', $err);
	return;
}

sub contents_or_error
{
	my ($db) = @_;
	my $contents = eval { contents($db) };
	return defined $contents ? $contents : "error: $@";
}

# Like is(), but shows only where two long texts differ.
sub same
{
	my ($got, $expected, $name) = @_;
	my %count;
	$count{$_}++ for split /\n/, $got;
	$count{$_}-- for split /\n/, $expected;
	my @differ = grep { $count{$_} } sort keys %count;
	is(join("\n", map { ($count{$_} > 0 ? 'only restored: ' : 'only in the source: ') . $_ } @differ),
		'', $name);
	return;
}

1;
