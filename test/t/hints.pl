# Hints are commands that can be typed.  Each refusal whose hint has a command is
# provoked; the command is taken out of the message as it stands, and run as the role
# that the hint is for.  Then the refused command goes through, or what the hint
# promised is true; and no version has been lost, unless the hint said so.
#
# All of it for several worlds of names, schemas and search paths.  A hint in src/ or
# sql/ that has a command and that nothing here provokes is a failure too.
#
#   HINTS   only the cases whose name matches

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PgWire;

my $top = "$FindBin::RealBin/../..";
my $only = $ENV{HINTS} // '';

my $node = PostgreSQL::Test::Cluster->new('hints');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nclient_min_messages = warning\n");
$node->start;

# --- names -----------------------------------------------------------------------------
# Of tables {t}, with a suffix {t__history}, as literals {'t'}; of columns {.k}; and
# {ext}, {schema}, {owner}, {writer}, {pk}: all quoted, tables qualified but for {=t}.
# Of columns as literals: {k}, {at}, {tx}.

sub padded
{
	my ($name, $bytes) = @_;
	$name .= 'é' while length($name) + 2 <= $bytes;
	$name .= 'x' while length($name) < $bytes;
	return $name;
}
my @worlds = (
	{ name => 'plain', ext => 'public', path => 'public', table => sub { $_[0] }, other => sub { $_[0] } },
	{   name => 'odd', ext => "ext \"; DROP TABLE y; --'", path => '',
		table => sub { "$_[0] \"'); DROP TABLE y; -- %s" }, other => sub { "$_[0]\\ \"'); DROP TABLE y; --" } },
	{   name => 'long', ext => padded('ext', 63), path => 'pg_catalog, public',
		table => sub { padded($_[0], 49) }, other => sub { padded($_[0], 63) } });

sub identifier { return '"' . ($_[0] =~ s/"/""/gr) . '"' }
sub literal { return (/\\/ ? 'E' : '') . "'" . ($_ =~ s/'/''/gr =~ s/\\/\\\\/gr) . "'" for @_ }

sub named
{
	my ($world, $sql) = @_;
	my $schema = $world->{name} eq 'plain' ? 'public' : $world->{other}->('schema');
	my $table = sub {
		my ($base, $suffix) = $_[0] =~ /^([a-z]+)(__\w+)?$/ or die "no table $_[0]";
		return identifier($schema) . '.' . identifier($world->{table}->($base) . ($suffix // ''));
	};
	my %fixed = (ext => $world->{ext}, schema => $schema, map { $_ => $world->{other}->($_) } qw(owner writer pk));
	$sql =~ s/\{(ext|schema|owner|writer|pk)\}/identifier($fixed{$1})/ge;
	$sql =~ s/\{\.(\w+)\}/identifier($world->{other}->($1))/ge;
	$sql =~ s/\{=(\w+)\}/identifier($world->{table}->($1))/ge;
	$sql =~ s/\{(at|tx|k)\}/literal($world->{other}->($1))/ge;
	$sql =~ s/\{'(\w+)'\}/literal($table->($1))/ge;
	$sql =~ s/\{(\w+)\}/$table->($1)/ge;
	return $sql;
}

# --- the commands in a hint ------------------------------------------------------------
# A call ends with its parenthesis, any other command with a semicolon.

my $quoted = qr/"(?:[^"]|"")*"|E?'(?:[^']|'')*'/;
my $arguments;
$arguments = qr/\((?:[^()"']|$quoted|(??{ $arguments }))*\)/;

sub commands_of
{
	my ($hint) = @_;
	my @commands;
	pos($hint) = 0;
	while (pos($hint) < length $hint)
	{
		if ($hint =~ /\G\b(SELECT (?:[^"';()]|$quoted)*?(?:$arguments|(?=;)))/gc
			|| $hint =~ /\G\b((?:ALTER|DROP|CREATE) (?:TABLE|TRIGGER|VIEW|EXTENSION) (?:[^"';]|$quoted)*?)(?=;)/gc)
		{
			push @commands, $1;
		}
		else { $hint =~ /\G(?:(?<!\w)$quoted|.)/gcs }
	}
	return @commands;
}
is_deeply([ commands_of(q{SELECT "a;b".f('x (''y'::regclass) first; or, to keep it, SELECT g(1, 'z').}) ],
	[ q{SELECT "a;b".f('x (''y'::regclass)}, q{SELECT g(1, 'z')} ], 'calls are found');
is_deeply([ commands_of(q{If the table's not needed: ALTER TABLE "a;b" RENAME TO "c"; then DROP COLUMN ... CASCADE; SELECT live FROM x;}) ],
	[ q{ALTER TABLE "a;b" RENAME TO "c"}, 'SELECT live FROM x' ], 'other commands are found');

# --- the cases -------------------------------------------------------------------------
# before: commands of the owner; command: what is refused, with state, to the role
# (owner unless told); about: the table that the message must name (t unless told).
# ways: how the hint is followed, each a list of its commands' numbers (all of them
# unless told); by: who does that.  then: for each way a command that must work, or a
# query that must say t, in the role; the refused command itself unless told.
# fill: what stands for each "..." in the commands.  steps: as many hints, one after the
# other.  loses: versions go, as the hint says.  warns: no refusal, but a WARNING.
# A hint may have a name instead of a command, which take finds: it then stands for <> in
# the command, where instead stood before, or in typed, a command.

my $t = "CREATE TABLE {t} ({.k} int CONSTRAINT {pk} PRIMARY KEY, {.v} text); INSERT INTO {t} VALUES (1, 'a'), (2, 'b')";
my $tracked = "$t; SELECT {ext}.create_history_table({'t'}); UPDATE {t} SET {.v} = 'c'";
my $timed = "CREATE TABLE {t} ({.k} int PRIMARY KEY, {.v} text, {.at} timestamptz DEFAULT now(), {.tx} bigint); "
  . "INSERT INTO {t} VALUES (1, 'a'); SELECT {ext}.create_history_table({'t'}, {at}, {tx}); UPDATE {t} SET {.v} = 'c'";
my $parted = "CREATE TABLE {t} ({.k} int PRIMARY KEY, {.v} text) PARTITION BY LIST ({.k}); "
  . "CREATE TABLE {leaf} PARTITION OF {t} FOR VALUES IN (1, 2)";
my $parted_tracked = "$parted; SELECT {ext}.create_history_table({'t'}); INSERT INTO {t} VALUES (1, 'a'); UPDATE {t} SET {.v} = 'c'";
my $family = "CREATE TABLE {t} ({.k} int PRIMARY KEY, {.v} text); CREATE TABLE {c} (PRIMARY KEY ({.k})) INHERITS ({t}); "
  . "INSERT INTO {c} VALUES (1, 'a'); SELECT {ext}.create_history_table({'c'}); UPDATE {t} SET {.v} = 'c'";
my $off = 'SET LOCAL catmaid_history.follow_ddl = off';
my $on = 'SET LOCAL catmaid_history.follow_ddl = on';
# as superuser: without a mark its triggers do not register a table again
my $no_mark = "DELETE FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refobjid = {'t__history'}::regclass";
my $no_view = "SELECT {ext}.drop_history_view_for_table({'t'})";
my $write = "UPDATE {t} SET {.v} = {.v}";
my $is_registered = "SELECT EXISTS (SELECT FROM {ext}.catmaid_history_table WHERE live_table = {'t'}::regclass)";

my @cases = (
	# management functions
	{   name => 'enable without a history', before => $t, state => 'P0001',
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'sync without a history', before => $t, state => '42704',
		command => "SELECT {ext}.repair_history({'t'})" },
	{   name => 'enable a partition', before => $parted, about => 'leaf', state => 'P0001',
		command => "SELECT {ext}.enable_history_tracking_for_table({'leaf'})", then => [$is_registered] },
	{   name => 'check without a history', before => $t, state => '42704',
		command => "SELECT * FROM {ext}.check_history({'t'})", then => ['SELECT true'] },
	{   name => 'a partition alone', before => $parted, about => 'leaf', state => 'P0001',
		command => "SELECT {ext}.create_history_table({'leaf'})", then => [$is_registered] },
	{   name => 'a foreign partition', state => 'P0001', steps => 2, fill => ['{.k}'],
		before => "CREATE TABLE {t} ({.k} int, {.v} text) PARTITION BY LIST ({.k}); "
		  . "CREATE TABLE {mid} PARTITION OF {t} FOR VALUES IN (1) PARTITION BY LIST ({.k}); "
		  . "RESET ROLE; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER f FOREIGN DATA WRAPPER w; "
		  . "GRANT USAGE ON FOREIGN SERVER f TO {owner}; SET LOCAL ROLE {owner}; CREATE FOREIGN TABLE {far} PARTITION OF {mid} FOR VALUES IN (1) SERVER f",
		command => "SELECT {ext}.create_history_table({'t'})" },
	{   name => 'a reserved column', state => 'P0001', fill => ['{.w}'],
		before => "CREATE TABLE {t} ({.k} int PRIMARY KEY, sys_period int)",
		command => "SELECT {ext}.create_history_table({'t'})" },
	{   name => 'no primary key', state => 'P0001', fill => ['{.k}, {.v}'], before => "$t; ALTER TABLE {t} DROP CONSTRAINT {pk}",
		command => "SELECT {ext}.create_history_table({'t'})" },
	{   name => 'enable without a primary key', state => 'P0001', fill => ['{.v}'],
		before => "$tracked; SELECT {ext}.disable_history_tracking_for_table({'t'}); ALTER TABLE {t} DROP CONSTRAINT {pk}; "
		  . "UPDATE {t} SET {.v} = {.k}",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'a trigger of our name', state => 'P0001', fill => ['{.w}'],
		before => "$t; CREATE FUNCTION {schema}.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
		  . "CREATE TRIGGER on_change_update_tracking_table AFTER INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {schema}.nothing()",
		command => "SELECT {ext}.create_history_table({'t'})" },
	{   name => 'drop the history of a parent', state => '2BP01', before => $family, ways => [ [0], [1] ], loses => 1,
		command => "SELECT {ext}.drop_history_table({'t'})" },
	{   name => 'enable without the history table', state => 'P0001', loses => 1,
		before => "$tracked; $off; DROP TABLE {t__history} CASCADE; $on",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'enable, history and tracking table are gone', state => 'P0001', loses => 1,
		before => "$tracked; $off; DROP TABLE {t__history}, {t__tracking} CASCADE; $on",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'enable with another tracking table', state => 'P0001',
		before => "$tracked; ALTER TABLE {t__tracking} RENAME live_pk TO other",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'sync with another key', state => '55000',
		before => "$tracked; UPDATE {t} SET {.v} = {.k}; $off; ALTER TABLE {t} DROP CONSTRAINT {pk}, ADD PRIMARY KEY ({.v}); $on",
		command => "SELECT {ext}.sync_tracking_table({'t'}, {'t__tracking'})" },
	{   name => 'a view with a column that history lacks', state => '42703',
		before => "$tracked; $off; ALTER TABLE {t} ADD COLUMN {.w} int; $on",
		command => "SELECT {ext}.create_history_view_for_table({'t'})" },
	{   name => 'a narrow column, in place', state => 'P0001',
		before => "$tracked; $no_view; $off; ALTER TABLE {t__history} ALTER {.v} TYPE varchar(9); $on",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'a narrow column, by a rewrite', state => 'P0001',
		before => "$tracked; $no_view; $off; ALTER TABLE {t} ALTER {.k} TYPE bigint; $on",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'another type', state => 'P0001',
		before => "$tracked; $no_view; $off; ALTER TABLE {t} ALTER {.v} TYPE int USING 1; $on",
		command => "SELECT {ext}.enable_history_tracking_for_table({'t'})" },
	{   name => 'repaired in part', warns => 1, then => ['SELECT true'],
		before => "$tracked; $no_view; $off; ALTER TABLE {t} ALTER {.v} TYPE int USING 1; $on",
		command => "SELECT {ext}.repair_history({'t'})" },
	{   name => 'another owner', state => '55000', by => 'super',
		before => "$tracked; RESET ROLE; $off; ALTER TABLE {t__history} OWNER TO CURRENT_USER; ALTER TABLE {t__tracking} OWNER TO CURRENT_USER; $on",
		command => $write },

	# writes
	{ name => 'a write without a registry row', state => '55000', ways => [ [0], [1] ], loses => 1, command => $write,
		before => "$tracked; RESET ROLE; DELETE FROM {ext}.catmaid_history_table; $no_mark; SET LOCAL ROLE {owner}; ALTER TABLE {t__history} RENAME TO h; "
		  . "ALTER TABLE {t__tracking} RENAME TO g" },
	{ name => 'a write without a registry row, time column', state => '55000', ways => [ [0], [1] ], loses => 1, command => $write,
		before => "$timed; RESET ROLE; DELETE FROM {ext}.catmaid_history_table; $no_mark; SET LOCAL ROLE {owner}; ALTER TABLE {t__history} RENAME TO h" },
	{ name => 'a write without the history table', state => '55000', ways => [ [0], [1] ], loses => 1, command => $write,
		before => "$tracked; $off; DROP TABLE {t__history} CASCADE; $on" },
	{ name => 'a write without history and tracking table', state => '55000', ways => [ [0], [1] ], loses => 1, command => $write,
		before => "$tracked; $off; DROP TABLE {t__history}, {t__tracking} CASCADE; $on" },
	{ name => 'a write without the tracking table', state => '55000', command => $write,
		before => "$tracked; $off; DROP TABLE {t__tracking} CASCADE; $on" },
	{ name => 'a write without row-level security', state => '55000', command => $write,
		before => "$tracked; RESET ROLE; ALTER EVENT TRIGGER catmaid_history_ddl_end DISABLE; ALTER TABLE {t} ENABLE ROW LEVEL SECURITY; "
		  . "ALTER EVENT TRIGGER catmaid_history_ddl_end ENABLE ALWAYS; SET LOCAL ROLE {owner}" },
	{ name => 'a write with another tracking table', state => '55000', command => $write,
		before => "$tracked; ALTER TABLE {t__tracking} RENAME live_pk TO other" },
	map({ my $write = $_->[1];
		{ name => "$_->[0] with a view as tracking table", state => $_->[2], command => $write, about => $_->[3],
			before => "$tracked; $off; DROP TABLE {t__tracking} CASCADE; $on; CREATE VIEW {t__tracking} AS SELECT 1; RESET ROLE; "
			  . "UPDATE {ext}.catmaid_history_table SET tracking_table = {'t__tracking'}::regclass; SET LOCAL ROLE {owner}" } } (
		[ 'a write', $write, '42809', 't' ], [ 'enable', "SELECT {ext}.enable_history_tracking_for_table({'t'})", 'P0001', 't' ])),
	{ name => 'a write with a trigger that has a condition', state => '55000', command => $write,
		before => "$tracked; DROP TRIGGER on_change_history_trackingtable ON {t}; CREATE TRIGGER on_change_history_trackingtable "
		  . 'AFTER UPDATE OR DELETE ON {t} FOR EACH ROW WHEN (true) EXECUTE FUNCTION {ext}.catmaid_history_capture()' },
	{ name => 'a write with other columns in the registry', state => '55000', command => $write,
		before => "$timed; RESET ROLE; UPDATE {ext}.catmaid_history_table SET txid_column = 'another'; SET LOCAL ROLE {owner}" },
	{ name => 'a write with another history in the registry', state => '55000', command => $write,
		before => "$tracked; CREATE TABLE {u} (LIKE {t__history} INCLUDING DEFAULTS); RESET ROLE; "
		  . "UPDATE {ext}.catmaid_history_table SET history_table = {'u'}::regclass; SET LOCAL ROLE {owner}" },
	{ name => 'a write with a narrow key', state => '55000', command => $write,
		before => "$tracked; $no_view; $off; ALTER TABLE {t} ALTER {.k} TYPE bigint; $on" },
	{ name => 'a write with a column that history lacks', state => '55000', command => $write,
		before => "$tracked; $off; ALTER TABLE {t} ADD COLUMN {.w} int; $on" },
	{ name => 'the same, who may not manage', state => '55000', command => $write, role => 'writer', by => 'owner',
		before => "$tracked; $off; ALTER TABLE {t} ADD COLUMN {.w} int; $on; GRANT SELECT, UPDATE ON {t} TO {writer}" },
	{ name => 'a write without the key column', state => '55000', command => "INSERT INTO {t} ({.v}) VALUES ('d')",
		before => "$tracked; $no_view; ALTER TABLE {t} ADD COLUMN {.w} serial; $off; "
		  . "ALTER TABLE {t} DROP COLUMN {.k}, ADD PRIMARY KEY ({.w}); $on" },
	{ name => 'a write without the time column', state => '55000', command => $write,
		before => "$timed; $no_view; $off; ALTER TABLE {t} DROP COLUMN {.at}; $on" },
	{ name => 'a write with another type', state => '42804', command => $write,
		before => "$tracked; $no_view; $off; ALTER TABLE {t} ALTER {.v} TYPE int USING 1; $on" },
	{   name => 'a write with another type, inherited', state => '42804', command => "UPDATE {c} SET {.v} = {.v}", about => 'c',
		before => "$family; $no_view; SELECT {ext}.drop_history_view_for_table({'c'}); $off; "
		  . "ALTER TABLE {t} ALTER {.v} TYPE int USING 1; $on" },
	{ name => 'a write without the period', state => '55000', command => $write,
		before => "$tracked; $off; ALTER TABLE {t__history} DROP COLUMN sys_period CASCADE; $on" },
	{ name => 'a write with another key', state => '55000', command => $write,
		before => "$tracked; UPDATE {t} SET {.v} = {.k}; $off; ALTER TABLE {t} DROP CONSTRAINT {pk}, ADD PRIMARY KEY ({.v}); $on" },
	# the same through and in a partition
	map({ my $through = $_;
		{ name => "$through without the history table", state => '55000', ways => [ [0], [1] ], loses => 1,
			command => "UPDATE {$through} SET {.v} = {.v}", before => "$parted_tracked; $off; DROP TABLE {t__history} CASCADE; $on" },
		{ name => "$through without the tracking table", state => '55000', command => "UPDATE {$through} SET {.v} = {.v}",
			before => "$parted_tracked; $off; DROP TABLE {t__tracking} CASCADE; $on" },
		{ name => "$through with a column that history lacks", state => '55000', command => "UPDATE {$through} SET {.v} = {.v}",
			before => "$parted_tracked; $off; ALTER TABLE {t} ADD COLUMN {.w} int; $on" },
		{ name => "$through with another type", state => '42804', command => "UPDATE {$through} SET {.v} = {.v}",
			before => "$parted_tracked; $no_view; $off; ALTER TABLE {t} ALTER {.v} TYPE int USING 1; $on" } } qw(t leaf)),

	# DDL
	{ name => 'drop the history table', state => '2BP01', command => 'DROP TABLE {t__history}', before => $tracked,
		ways => [ [0], [1] ], loses => 1, then => [ undef, "SELECT to_regclass({'t__history'}) IS NULL" ] },
	{   name => 'drop the tracking table', state => '2BP01', command => 'DROP TABLE {t__tracking} CASCADE', before => $tracked,
		ways => [ [0] ], then => ["SELECT to_regclass({'t__tracking'}) IS NULL"] },
	{   name => 'rename the history table', state => '2BP01', command => 'ALTER TABLE {t__history} RENAME TO {.w}', before => $tracked,
		loses => 1 },
	{   name => 'give the history table away', state => '2BP01', command => 'ALTER TABLE {t__history} OWNER TO {writer}', role => 'super',
		before => $tracked },
	{   name => 'take row-level security off the history', state => '55000', before => "$tracked; ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
		command => 'ALTER TABLE {t__history} DISABLE ROW LEVEL SECURITY' },
	{ name => 'drop the time column', state => '55000', before => $timed, command => 'ALTER TABLE {t} DROP COLUMN {.at}' },
	{   name => 'change the txid column', state => '55000', before => $timed,
		command => 'ALTER TABLE {t} ALTER {.tx} TYPE text' },
	{   name => 'two parents', state => '0A000', about => 'c',
		before => "$family; CREATE TABLE {q} ({.k} int PRIMARY KEY, {.v} text); SELECT {ext}.create_history_table({'q'})",
		command => 'ALTER TABLE {c} INHERIT {q}' },
	{   name => 'attach a tracked table', state => '55000',
		before => "$tracked; CREATE TABLE {q} ({.k} int PRIMARY KEY, {.v} text) PARTITION BY LIST ({.k})",
		command => 'ALTER TABLE {q} ATTACH PARTITION {t} FOR VALUES IN (1, 2)' },
	{   name => 'a view of the user', state => '2BP01',
		before => "$tracked; CREATE VIEW {u} AS SELECT {.v} FROM {t__with_history}",
		command => 'ALTER TABLE {t} DROP COLUMN {.v}' },

	# hints that name what to pass
	(map { my ($name, $function, $state, $take) = @$_;
		{ name => "$name: another table", before => "$tracked; CREATE TABLE {u} ()", state => $state, take => $take,
			literal => 1, instead => "{'u'}", command => "SELECT {ext}.$function" } } (
		[ 'enable', "enable_history_tracking_for_table({'t'}, <>)", 'P0001', qr/^Its history table is (.*); NULL means/s ],
		[ 'disable', "disable_history_tracking_for_table({'t'}, <>)", 'P0001', qr/^Its history table is (.*); NULL means/s ],
		[ 'sync', "sync_tracking_table({'t'}, <>)", '42809', qr/^Its tracking table is (.*)\.$/s ],
		[ 'initialize', "initialize_new_history_table({'t'}, <>, {k})", '42809', qr/^Its history table is (.*)\.$/s ])),
	{ name => 'initialize: another column', before => $tracked, state => '22023', instead => "'x'", take => qr/^Pass (.*) as live_table/s,
		command => "SELECT {ext}.initialize_new_history_table({'t'}, {'t__history'}, <>)" },
	{ name => 'a history table instead of the table', before => $tracked, state => 'P0001', literal => 1, instead => "{'t__history'}",
		take => qr/^It belongs to the history of table (.*): name/s, command => "SELECT {ext}.disable_history_tracking_for_table(<>)" },
	{ name => 'a partition instead of the table', before => $parted_tracked, state => '42704', literal => 1, about => 'leaf',
		instead => "{'leaf'}", take => qr/^It is a partition: name table (.*), whose/s, command => "SELECT {ext}.repair_history(<>)" },
	{ name => 'a kept history of another type', state => 'P0001', before => "$tracked; "
		  . "SELECT {ext}.drop_history_table_keep_data({'t'}); ALTER TABLE {t} ALTER {.v} TYPE int USING 1",
		command => "SELECT {ext}.create_history_table({'t'})" },
	{ name => 'no history table', before => $tracked, state => '42809', typed => 'SELECT 1 FROM <>', then => ['SELECT true'],
		take => qr/^Its history table is (.*)\.$/s, command => "SELECT {ext}.truncate_history_table({'t'})" },
	{ name => 'no history table, nor a tracked one', before => $t, state => '42809', typed => 'SELECT 1 FROM <>', then => ['SELECT true'],
		take => qr/^Name a history table, as listed in (.*)\.$/s, command => "SELECT {ext}.truncate_history_table({'t'})" },
	(map { { name => "$_ has its name", before => "$t; CREATE TABLE {$_} ()", state => 'P0001', take => qr/^Rename or drop (.*)\.$/s,
			typed => 'DROP TABLE <>', command => "SELECT {ext}.create_history_table({'t'})" } } qw(t__history t__tracking t__with_history)),
	{ name => 'a type has its name', before => "$t; CREATE TYPE {t__history} AS ENUM ()", state => 'P0001',
		take => qr/^Rename or drop the type (.*)\.$/s, typed => 'DROP TYPE <>', command => "SELECT {ext}.create_history_table({'t'})" },
	{ name => 'the view\'s name is taken', before => "$tracked; $no_view; CREATE TABLE {t__with_history} ()", state => '42P07',
		take => qr/^Rename or drop (.*)\.$/s, typed => 'DROP TABLE <>', command => "SELECT {ext}.create_history_view_for_table({'t'})" },
	{ name => 'a new name is taken', before => "$tracked; CREATE TABLE {u__history} ()", state => '42P07', about => 'u', loses => 1,
		take => qr/^Rename or drop (.*), or use/s, typed => 'DROP TABLE <>', command => 'ALTER TABLE {t} RENAME TO {=u}' },
	{ name => 'two parents at first', state => 'P0001', about => 'c', instead => 'sync => true', take => qr/^Use (\S+ => \S+) to/,
		before => "CREATE TABLE {t} ({.k} int); CREATE TABLE {q} ({.k} int); CREATE TABLE {c} (PRIMARY KEY ({.k})) INHERITS ({t}, {q})",
		command => "SELECT {ext}.create_history_table({'c'}, <>)" },
	{ name => 'a time column without a time zone', state => 'P0001', take => qr/^(ALTER TABLE .*);$/s, typed => '<>',
		before => "CREATE TABLE {t} ({.k} int PRIMARY KEY, {.at} timestamp, {.tx} bigint)",
		command => "SELECT {ext}.create_history_table({'t'}, {at}, {tx})" },
	{ name => 'a parent without the time column', state => 'P0001', instead => 'sync => true', take => qr/^Use (\S+ => \S+) to/,
		before => "CREATE TABLE {t} ({.k} int PRIMARY KEY); "
		  . "CREATE TABLE {c} (PRIMARY KEY ({.k}), {.at} timestamptz, {.tx} bigint) INHERITS ({t})",
		command => "SELECT {ext}.create_history_table({'c'}, {at}, {tx}, <>)" });

# --- running them ----------------------------------------------------------------------

# format => how often seen
my %seen = map { $_ => 0 } hints_with_commands();
cmp_ok(scalar keys %seen, '>', 25, 'the hints of src/ are known');
my %elsewhere = map { $_ => 1 } (
	# patterns for any table, in what is said while a database is adopted
	'SELECT %s(...) registers a table.',
	'Use SELECT %s(...) to track a table.',
	# likewise, while a dump is restored
	'As its owner, SELECT %s(%s::regclass, ...) registers it and reuses its history table.',
	'Drop the triggers, then SELECT %s(%s::regclass, ...);',
	# in WARNINGs, of test/pgtap/check_more.sql, rights_expressions.sql and rights_strangers.sql
	'SELECT %s(%s::regclass) shows the error.',
	'When it has been dropped, ALTER TABLE %s INHERIT %s;',
	'DROP VIEW %s CASCADE; SELECT %s(%s::regclass);',
	# a pattern for any table
	'SELECT * FROM %s(NULL::t, before, after) compares table t.',
	# of the past: test/pgtap/time_machine_refused.sql, and test/t/time_machine.pl dumps
	'Read ONLY %s, or %s, or track it: SELECT %s(%s::regclass);',
	"For pg_dump: --data-only --exclude-table='*.*__history*' --exclude-table='*.*__tracking' --extension=plpgsql; for one table: COPY (SELECT * FROM %s) TO ...",
	# of a table that is gone, in check_history's findings
	'SELECT %s();',
	'Name tables that only one of them has changed, or take rows back to an instant: SELECT * FROM %s(tables, as_of, keys).',
	# of undo_unknown.sql
	'ALTER TABLE %s ALTER COLUMN %s SET GENERATED BY DEFAULT; for the time being.',
	# of undo_transactions.sql and undo_kinds.sql
	'To undo along with it what came since: SELECT * FROM %s(ARRAY[%s]); with on_conflict => \'skip\' these rows are left as they are, with \'force\' they are overwritten where that is possible.',
	'Look at the triggers of the table: SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal;',
	# of a column of the log, on restoring: test/t/dump.pl
	'Use a sequence instead: ALTER TABLE %s ADD COLUMN %s bigserial;',
	# in test/pgtap/segments.sql
	'ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION;',
	# take other servers: test/t/segments_servers.pl
	'ALTER TABLE %s VALIDATE CONSTRAINT %s;',
	'DROP TABLE %s; there.',
	'If no other database needs it: DROP TABLE %s; there.',
	'If this database is not a copy of another one that goes on: SELECT %s(%s::regclass);',
	'Run there what SELECT %s() returns, as the role of the user mapping.',
	# takes two sessions
	'SELECT %s(%s::regclass) re-creates what is missing.');
for my $world (@worlds)
{
	my $db = $world->{db} = $world->{name};
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	my $session = PgWire->new($node, db => $db, name => $db);
	my $sql = 'CREATE TABLE public.y (); CREATE ROLE {owner}; CREATE ROLE {writer}; ';
	$sql .= 'CREATE SCHEMA {ext}; CREATE SCHEMA {schema};' if $world->{name} ne 'plain';
	$sql .= 'CREATE EXTENSION catmaid_history SCHEMA {ext}; GRANT ALL ON SCHEMA {schema}, {ext} TO {owner}; '
	  . 'GRANT USAGE ON SCHEMA {schema}, {ext} TO {writer}';
	$session->do(named($world, $sql));
	for my $case (grep { $_->{name} =~ /$only/ } @cases)
	{
		subtest("$world->{name}: $case->{name}", sub { try_case($session, $world, $case) });
	}
	is($session->value("SELECT to_regclass('public.y') IS NOT NULL"), 't', "$db: no name was run");
	$session->close;
}
not_installed();
adopting();
if ($only eq '')
{
	is(join("\n", grep { !$seen{$_} && !$elsewhere{$_} } sort keys %seen), '', 'each hint with a command has been followed');
}
$node->stop;
done_testing();

sub try_case
{
	my ($session, $world, $case) = @_;
	my $role = $case->{role} // 'owner';
	my $before = $case->{before};
	$session->do('BEGIN; SELECT set_config(\'search_path\', ' . literal($world->{path}) . ', true)');
	$session->do(named($world, "SET LOCAL ROLE {owner}; $before; RESET ROLE"));
	my $versions = versions($session, $world);
	my $ways = $case->{ways} // [ [] ];
	for my $i (0 .. $#$ways)
	{
		$session->do('SAVEPOINT way');
		follow($session, $world, $case, $ways->[$i], $case->{then} && $case->{then}[$i], $role, $versions);
		$session->do('ROLLBACK TO way');
	}
	$session->do('ROLLBACK');
	return;
}

# Run the command, follow its hint that way, and see.
sub follow
{
	my ($session, $world, $case, $way, $then, $role, $versions) = @_;
	my $pattern = named($world, $case->{command});
	my $command = named($world, $case->{command} =~ s/<>/$case->{instead}/r);
	my @fill = @{ $case->{fill} // [] };
	for my $step (1 .. $case->{steps} // 1)
	{
		my $answer = attempt($session, $world, $role, $command);
		my $said = $case->{warns} ? $answer->{notices}[0] : $answer->{error};
		ok($said, 'refused') or return;
		is($said->{C}, $case->{warns} ? '01000' : $case->{state}, 'SQLSTATE');
		my $table = $world->{table}->($case->{about} // 't');
		like($said->{M} =~ s/""/"/gr, qr/\Q$table\E/, 'the message names the table') or diag $said->{M};
		my $hint = $said->{H} // '';
		mark($hint);
		my @commands = commands_of($hint);
		if ($case->{take})
		{
			like($hint, $case->{take}, 'the hint names something') or return;
			my ($word) = $hint =~ $case->{take};
			@commands = defined $case->{typed} ? ($case->{typed} =~ s/<>/$word/r) : ();
			$word = literal($word) if $case->{literal};
			$command = $pattern =~ s/<>/$word/r;
		}
		ok($case->{take} || @commands, 'the hint has a command') or diag "$said->{M}\n$hint";
		for my $n (@$way ? @$way : 0 .. $#commands)
		{
			my $typed = $commands[$n] // '';
			$typed =~ s/\.\.\./named($world, shift @fill)/ge;
			my $done = attempt($session, $world, $case->{by} // $role, $typed, 1);
			is($done->{error} && "$done->{error}{C} $done->{error}{M}", undef, "it can be typed: $typed");
		}
	}
	my $again = defined $then ? named($world, $then) : $command;
	my $answer = attempt($session, $world, $role, $again, 1);
	is($answer->{error} && "$answer->{error}{C} $answer->{error}{M} $answer->{error}{H}", undef, "then: $again");
	is($answer->{rows}[0][0], 't', 'it is so') if defined $then && $then =~ /^SELECT (?!\{ext)/;
	cmp_ok(versions($session, $world), '>=', $versions, 'no version is lost') unless $case->{loses};
	return;
}

# Run a command in a role; a failed one is undone, another one too unless it is to stay.
sub attempt
{
	my ($session, $world, $role, $command, $stay) = @_;
	$session->do('SAVEPOINT attempt');
	$session->do(named($world, "SET LOCAL ROLE {$role}")) if $role ne 'super';
	my $answer = $session->try($command);
	$session->do('ROLLBACK TO attempt') if $answer->{error} || !$stay;
	$session->do('RESET ROLE');
	return $answer;
}

sub has
{
	my ($session, $world, $table) = @_;
	return $session->value(named($world, "SELECT to_regclass({'$table'})"));
}

sub versions
{
	my ($session, $world) = @_;
	my $n = 0;
	for my $table (grep { has($session, $world, "${_}__history") } qw(t c))
	{
		$n += $session->value(named($world, "SELECT count(*) FROM ONLY {${table}__history}"));
	}
	return $n;
}

# A function of the library, in a database without the extension.
sub not_installed
{
	$node->safe_psql('postgres', 'CREATE DATABASE without');
	my $session = PgWire->new($node, db => 'without');
	$session->do("CREATE FUNCTION f(live regclass, tracking regclass) RETURNS void LANGUAGE c AS 'catmaid_history', 'catmaid_history_sync_tracking_table'; "
		. 'CREATE TABLE t ()');
	my $error = $session->try("SELECT f('t', 't')")->{error};
	is($error->{C}, '42704', 'not installed: SQLSTATE');
	mark($error->{H});
	my @commands = commands_of($error->{H});
	is(scalar @commands, 1, 'the hint has a command');
	$session->do($commands[0]);
	$error = $session->try("SELECT f('t', 't')")->{error};
	is($error->{M}, 'table "t" has no history', 'then it is');
	return;
}

# A database of the older implementation, whose registry has lost its constraints.
sub adopting
{
	$node->safe_psql('postgres', 'CREATE DATABASE older');
	$node->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', 'older',
			'-f', "$top/test/pgtap/lib/old_implementation.sql" ], 'an older database');
	my $session = PgWire->new($node, db => 'older');
	my $adopt = "CREATE EXTENSION catmaid_history VERSION 'unpackaged'; ALTER EXTENSION catmaid_history UPDATE";
	$session->do('ALTER TABLE catmaid_history_table DROP CONSTRAINT catmaid_history_table_pkey, '
		. 'DROP CONSTRAINT catmaid_history_table_history_table_key');
	for my $what ('primary key', 'unique constraint')
	{
		my $error = $session->try($adopt)->{error};
		is($error->{C}, '55000', "adopted without a $what: SQLSTATE");
		like($error->{M}, qr/catmaid_history_table has no $what/, 'the message names the table');
		my @commands = commands_of($error->{H});
		is(scalar @commands, 1, 'the hint has a command');
		$session->do($commands[0]);
	}
	is($session->try($adopt)->{error}, undef, 'then it is adopted');
	return;
}

# The hints that have commands: what errhint() is given, and what functions return
# whose name ends in _hint.
sub hints_with_commands
{
	my %hints;
	my $string = qr/"(?:[^"\\]|\\.)*"/;
	for my $file (glob "$top/src/{,*/}*.c")
	{
		my $source = slurp_file($file);
		my @texts = $source =~ /\berrhint\(\s*($string(?:\s*$string)*)/g;
		push @texts, map { /\bpsprintf\(\s*($string(?:\s*$string)*)/g } $source =~ /^\w+_hint\(.*?^\}/gms;
		for my $text (@texts)
		{
			my $hint = join '', map { s/^"|"$//gr =~ s/\\"/"/gr } $text =~ /$string/g;
			$hints{$hint} = 1 if $hint =~ /\b(?:SELECT|ALTER \w+|DROP (?:VIEW|TABLE)|CREATE EXTENSION) /;
		}
	}
	return keys %hints;
}

# This hint has been seen.
sub mark
{
	my ($hint) = @_;
	for my $format (keys %seen)
	{
		my $pattern = join '.*?', map { quotemeta } split /%[su]/, $format, -1;
		$seen{$format}++ if $hint =~ /^$pattern$/s;
	}
	return;
}
