# pg_dump and pg_restore (SPEC section 8): a dump restores without an error, in
# every format and way, into an empty database and over itself; registry, log and
# history are identical, and tracking goes on.
#
# What is recorded is compared as text, table for table, between the database that
# was dumped and the one that was restored; then both are written to, and must
# record the same.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dumps;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_locks_per_transaction = 256\n");
$node->start;
Dumps::use_node($node);
my $dir = $node->backup_dir;
mkdir $dir;

fill('source', 'public');
fill('elsewhere', 'ext');

for my $source ('source', 'elsewhere')
{
	$node->command_ok([ 'pg_dump', '-Fp', '-f', "$dir/$source.sql", $source ], "$source: plain dump");
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/$source.custom", $source ], "$source: custom dump");
	$node->command_ok([ 'pg_dump', '-Fp', '-c', '-f', "$dir/$source.clean.sql", $source ],
		"$source: plain dump with --clean");
	my @psql = ('psql', '-X', '-q', '-o', '/dev/null');
	my $custom = "$dir/$source.custom";
	restored($source, 'plain', sub { [ @psql, '-d', $_[0], '-f', "$dir/$source.sql" ] });
	restored($source, 'plain, one transaction', sub { [ @psql, '-1', '-d', $_[0], '-f', "$dir/$source.sql" ] });
	restored($source, 'custom', sub { [ 'pg_restore', '-d', $_[0], $custom ] });
	restored($source, 'custom, one transaction', sub { [ 'pg_restore', '-1', '-d', $_[0], $custom ] });
	restored($source, 'custom, two jobs', sub { [ 'pg_restore', '-j', '2', '-d', $_[0], $custom ] });
	restored($source, $_, sub { inserts($source, $_[0], "--$_[1]") }) for 'column-inserts', 'inserts';
	restored($source, 'plain, --clean over itself', sub { [ @psql, '-d', $_[0], '-f', "$dir/$source.clean.sql" ] }, $source);
	restored($source, 'custom, --clean over itself', sub { [ 'pg_restore', '-c', '-d', $_[0], $custom ] }, $source);
	restored($source, 'custom, --clean over itself, one transaction',
		sub { [ 'pg_restore', '-c', '-1', '-d', $_[0], $custom ] }, $source);
	restored($source, 'custom, --clean --if-exists into nothing',
		sub { [ 'pg_restore', '-c', '--if-exists', '-d', $_[0], $custom ] });
	schema_only($source);
}
other_order();
without_a_table();
types_of_the_site();
by_the_owner();

$node->stop;
done_testing();

# A database of tables of every kind but partitioned ones (which PostgreSQL's own
# --clean cannot drop), with history, one of them disabled.
sub fill
{
	my ($db, $schema) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, <<"SQL");
CREATE SCHEMA IF NOT EXISTS $schema;
CREATE EXTENSION catmaid_history SCHEMA $schema;
SET search_path = public, $schema;
CREATE SCHEMA app;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE tracked (id int PRIMARY KEY, v text, m mood);
CREATE TABLE timed (id int PRIMARY KEY, v text, junk int, edition_time timestamptz NOT NULL DEFAULT now(),
	txid bigint NOT NULL DEFAULT txid_current());
CREATE TABLE base (id int PRIMARY KEY, v text);
CREATE TABLE leaf (extra int, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE app."Odd ""one" ("a b" int, "order" text, v text, PRIMARY KEY ("a b", "order"));
CREATE TABLE app.disabled (id int PRIMARY KEY, v text);
CREATE TABLE app.refers (id int PRIMARY KEY, t int REFERENCES tracked ON DELETE CASCADE);
SELECT create_history_table(r) FROM unnest('{tracked,leaf,app.disabled,app.refers}'::text[]) r;
SELECT create_history_table('app."Odd ""one"');
SELECT create_history_table('timed', 'edition_time', 'txid');
INSERT INTO tracked SELECT i, 'v' || i, 'sad' FROM generate_series(1, 20) i;
INSERT INTO timed (id, v) SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO base VALUES (1, 'b');
INSERT INTO leaf VALUES (2, 'l', 3);
INSERT INTO app."Odd ""one" VALUES (1, 'x', 'y'), (2, 'x', NULL);
INSERT INTO app.disabled VALUES (1, 'a'), (2, 'b');
INSERT INTO app.refers VALUES (1, 1), (2, 2);
SQL
	$node->safe_psql($db, <<"SQL");
SET search_path = public, $schema;
INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (1, 'Backend', 'a test', 2);
UPDATE tracked SET v = v || '!' WHERE id < 10;
DELETE FROM tracked WHERE id = 1;
UPDATE timed SET v = v || '!' WHERE id < 10;
UPDATE base SET v = v || '!';
UPDATE app."Odd ""one" SET v = 'z';
UPDATE app.disabled SET v = 'c';
SELECT disable_history_tracking_for_table('app.disabled');
ALTER TABLE timed DROP COLUMN junk;
ALTER TABLE tracked ADD COLUMN n int DEFAULT 7;
UPDATE tracked SET n = 8 WHERE id = 5;
SET catmaid_history.on_drop_column = keep;
ALTER TABLE tracked DROP COLUMN m;
GRANT SELECT ON tracked__with_history TO PUBLIC;
COMMENT ON VIEW tracked__with_history IS 'all versions';
CREATE VIEW upon AS SELECT id, count(*) FROM tracked__with_history GROUP BY id;
-- what a site puts on the log
SELECT 'CREATE ROLE dump_auditor' WHERE to_regrole('dump_auditor') IS NULL \\gexec
ALTER TABLE catmaid_transaction_info ADD COLUMN why text NOT NULL DEFAULT 'because', ADD COLUMN noted timestamptz DEFAULT clock_timestamp(),
	ADD COLUMN "Odd, one" varchar(9)[] COLLATE "C", ADD COLUMN number int GENERATED BY DEFAULT AS IDENTITY, ADD COLUMN gone int,
	ADD COLUMN made text GENERATED ALWAYS AS (label || '!') STORED;
ALTER TABLE catmaid_transaction_info DROP COLUMN gone;
CREATE INDEX log_noted ON catmaid_transaction_info (noted);
CREATE UNIQUE INDEX log_number ON catmaid_transaction_info (number) WHERE number > 0;
CREATE INDEX log_why ON catmaid_transaction_info USING gin (to_tsvector('english', why));
GRANT SELECT, UPDATE (label) ON catmaid_transaction_info TO dump_auditor;
INSERT INTO catmaid_transaction_info (change_type, label, context, "Odd, one")
	VALUES ('External', E'tab\\tand "quote"', '{"a": [1, "\\u00e4"]}', '{"x,y",NULL,"{}"}');
SET catmaid_history.label = 'by itself';
UPDATE tracked SET v = v || '?' WHERE id = 2;
SQL
	return;
}

# One way to restore: no output, all the same, and tracking on afterwards.
sub restored
{
	my ($source, $way, $command, $over) = @_;
	my $db = 'restored';
	my $name = "$source, $way";
	$node->safe_psql('postgres', "DROP DATABASE IF EXISTS $db");
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE " . ($over // 'template0'));
	my ($out, $err);
	run_client($command->($db, $way), \$out, \$err);
	is("$out$err", '', "$name: no output");
	same(contents_or_error($db), contents($source), "$name: all is identical");
	is(findings($db), '', "$name: check_history finds nothing");
	tracks($db, $name);
	return;
}

# A restore moves a column that the parent got later before the child's own: the view,
# which is restored as it was, is no finding for that.
sub other_order
{
	$node->safe_psql('postgres', 'CREATE DATABASE other_order');
	$node->safe_psql('postgres', 'CREATE DATABASE other_order_restored');
	$node->safe_psql('other_order', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TABLE par (id int PRIMARY KEY, a int);
CREATE TABLE chi (c int, PRIMARY KEY (id)) INHERITS (par);
ALTER TABLE par ADD COLUMN z int;
SELECT create_history_table('chi');
INSERT INTO chi VALUES (1, 2, 3, 4);
UPDATE par SET z = 5;
SQL
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/other_order", 'other_order' ], 'dump of columns in another order');
	$node->command_ok([ 'pg_restore', '-d', 'other_order_restored', "$dir/other_order" ], '... restored');
	is(findings('other_order_restored'), '', '... check_history finds nothing');
	is($node->safe_psql('other_order_restored', 'SELECT c, z FROM chi__with_history ORDER BY z'), "3|4\n3|5", '... and the view shows it all');
	return;
}

# A column of the log has a type of the site's, and its default calls what the site has
# made.  (--clean would drop these before the extension, which PostgreSQL refuses.)
sub types_of_the_site
{
	$node->safe_psql('postgres', 'CREATE DATABASE types_of_the_site');
	$node->safe_psql('postgres', 'CREATE DATABASE types_restored TEMPLATE template0');
	$node->safe_psql('types_of_the_site', <<'SQL');
CREATE EXTENSION catmaid_history;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 9);
CREATE SCHEMA app;
CREATE FUNCTION app.reason() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'because'::text $$;
ALTER TABLE catmaid_transaction_info ADD COLUMN felt mood, ADD COLUMN brief short DEFAULT app.reason();
GRANT UPDATE (brief) ON catmaid_transaction_info TO dump_auditor;
CREATE INDEX log_reason ON catmaid_transaction_info ((brief || app.reason()));
INSERT INTO catmaid_transaction_info (change_type, label, felt) VALUES ('Backend', 'x', 'happy');
SQL
	my ($out, $err);
	$node->command_ok([ 'pg_dump', '-f', "$dir/types", 'types_of_the_site' ], 'dump of a log with types and functions of the site');
	run_client([ 'psql', '-X', '-q', '-d', 'types_restored', '-f', "$dir/types" ], \$out, \$err);
	is($err, '', '... restored');
	same(contents_or_error('types_restored'), contents('types_of_the_site'), '... all is identical');
	$node->safe_psql('types_of_the_site', 'ALTER SCHEMA public RENAME TO elsewhere');
	$node->command_ok([ 'pg_dump', '-f', "$dir/types", 'types_of_the_site' ], '... and dumped when its schema has another name');
	return;
}

sub findings
{
	my ($db) = @_;
	my $schema = $node->safe_psql($db,
		q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'catmaid_history'});
	return $node->safe_psql($db, "SELECT live_table, severity, finding, object FROM $schema.check_history()");
}

# Writes to every tracked table are recorded, also after a change of its columns;
# the disabled one can be enabled.
sub tracks
{
	my ($db, $name) = @_;
	my $schema = $node->safe_psql($db,
		q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'catmaid_history'});
	my ($rc, $out, $err) = $node->psql($db, <<"SQL", on_error_stop => 1);
SET search_path = public, $schema;
CREATE TEMP TABLE known AS SELECT 'tracked' AS t, count(*) FROM tracked__history
	UNION ALL SELECT 'timed', count(*) FROM timed__history
	UNION ALL SELECT 'leaf', count(*) FROM leaf__history
	UNION ALL SELECT 'odd', count(*) FROM app."Odd ""one__history"
	UNION ALL SELECT 'disabled', count(*) FROM app.disabled__history;
INSERT INTO tracked (id, v) VALUES (100, 'new');
UPDATE tracked SET v = 'changed' WHERE id IN (100, 15);
ALTER TABLE tracked ADD COLUMN later int;
UPDATE tracked SET later = 1 WHERE id IN (100, 15);
UPDATE timed SET v = 'changed' WHERE id = 15;
UPDATE base SET v = 'changed' WHERE id = 2;
DELETE FROM app."Odd ""one";
SELECT enable_history_tracking_for_table('app.disabled');
UPDATE app.disabled SET v = 'changed';
SELECT 'tracked ' || (SELECT count(*) FROM tracked__history) - (SELECT count FROM known WHERE t = 'tracked')
	|| ', timed ' || (SELECT count(*) FROM timed__history) - (SELECT count FROM known WHERE t = 'timed')
	|| ', leaf ' || (SELECT count(*) FROM leaf__history) - (SELECT count FROM known WHERE t = 'leaf')
	|| ', odd ' || (SELECT count(*) FROM app."Odd ""one__history") - (SELECT count FROM known WHERE t = 'odd')
	|| ', disabled ' || (SELECT count(*) FROM app.disabled__history) - (SELECT count FROM known WHERE t = 'disabled')
	|| ', out of step ' || (SELECT count(*) FROM tracked FULL JOIN tracked__tracking ON id = live_pk WHERE live_pk IS NULL OR id IS NULL)
	|| ', start of an old row ' || (SELECT count(*) FROM tracked__history
		WHERE id = 15 AND v = 'v15' AND lower(sys_period) < upper(sys_period));
SQL
	is(($err =~ s/^.*?NOTICE:.*\n//mgr) . ($out =~ s/^\n+//r),
		'tracked 4, timed 1, leaf 1, odd 2, disabled 2, out of step 0, start of an old row 1',
		"$name: tracking is on");
	return;
}

sub inserts
{
	my ($source, $db, $option) = @_;
	$node->command_ok([ 'pg_dump', '-Fp', $option, '-f', "$dir/inserts.sql", $source ], "$source: dump with $option");
	return [ 'psql', '-X', '-q', '-o', '/dev/null', '-d', $db, '-f', "$dir/inserts.sql" ];
}

# The registry is empty, the triggers are there: writes go on and are recorded.
sub schema_only
{
	my ($source) = @_;
	my $name = "$source, schema only";
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->command_ok([ 'pg_dump', '-s', '-f', "$dir/schema.sql", $source ], "$name: dump");
	my ($out, $err);
	run_client([ 'psql', '-X', '-q', '-o', '/dev/null', '-d', 'restored', '-f', "$dir/schema.sql" ], \$out, \$err);
	is("$out$err", '', "$name: no output");
	my $schema = $source eq 'source' ? 'public' : 'ext';
	for my $case ([ 'tracked', 'public.tracked', "(1, 'a')", 'public.tracked__history' ],
		[ 'timed', 'public.timed', "(1, 'a')", 'public.timed__history' ],
		[ 'leaf', 'public.leaf', "(1, 'a')", 'public.leaf__history' ],
		[ 'odd', 'app."Odd ""one"', "(1, 'a')", 'app."Odd ""one__history"' ])
	{
		my ($what, $table, $values, $history) = @$case;
		my ($rc, $got, $error) = $node->psql('restored', <<"SQL", on_error_stop => 1);
INSERT INTO $table VALUES $values;
UPDATE $table SET v = 'b';
DELETE FROM $table;
SELECT string_agg(coalesce(v, 'null'), ' ' ORDER BY v NULLS FIRST) FROM $history;
SELECT count(*) FROM $schema.catmaid_history_table WHERE live_table = '@{[ $table =~ s/'/''/gr ]}'::regclass;
SQL
		my $first = $what eq 'odd' ? 'null' : 'a';
		is($error . $got, "$first b\n1", "$name: writes to $what go on, are recorded, and register it");
	}
	return;
}

# -T of one live table, and of one history table, harms no other.
sub without_a_table
{
	for my $left_out ('public.timed', 'public.timed*', 'app.disabled__history')
	{
		my $name = "-T $left_out";
		$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
		$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
		$node->command_ok([ 'pg_dump', '-Fc', '-T', $left_out, '-T', 'app.disabled__with_history', '-T', 'public.timed__with_history',
				'-f', "$dir/without.custom", 'source' ], "$name: dump");
		my ($out, $err);
		run_client([ 'pg_restore', '-d', 'restored', "$dir/without.custom" ], \$out, \$err);
		is("$out$err", '', "$name: no output");
		my ($rc, $got, $error) = $node->psql('restored', <<'SQL', on_error_stop => 1);
UPDATE tracked SET v = 'changed' WHERE id = 15;
SELECT count(*) FROM tracked__history WHERE v = 'v15';
ALTER TABLE tracked ADD COLUMN later int;
UPDATE tracked SET later = 1 WHERE id = 15;
SELECT count(*) FROM tracked__history WHERE v = 'changed';
SELECT count(*) FROM catmaid_history_table WHERE live_table IN ('leaf'::regclass, 'app.refers'::regclass);
CREATE TABLE fresh (id int PRIMARY KEY);
SELECT create_history_table('fresh');
DROP TABLE fresh;
SQL
		is($error . ($got =~ s/\n+/ /gr =~ s/ +$//r), '1 1 2', "$name: the others are tracked and registered");
	}
	return;
}

# By a role that is no superuser but owns the database.
sub by_the_owner
{
	$node->safe_psql('postgres', 'CREATE ROLE dump_owner LOGIN');
	$node->safe_psql('postgres', 'CREATE DATABASE owned OWNER dump_owner TEMPLATE template0');
	my ($rc, $out, $err) = $node->psql('owned', <<'SQL', extra_params => [ '-U', 'dump_owner' ], on_error_stop => 1);
CREATE SCHEMA app;
CREATE EXTENSION catmaid_history SCHEMA app;
SET search_path = app;
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t');
INSERT INTO t VALUES (1, 'a'), (2, 'b');
UPDATE t SET v = v || '1';
INSERT INTO catmaid_transaction_info (user_id, change_type, label, project_id) VALUES (1, 'Backend', 'a test', 2);
SQL
	is($err, '', 'the owner of a database makes its history');
	$node->safe_psql('owned', <<'SQL');
ALTER TABLE app.catmaid_transaction_info ADD COLUMN why text DEFAULT 'because', ADD COLUMN noted timestamptz NOT NULL DEFAULT now(),
	ADD COLUMN who inet DEFAULT inet_client_addr();
CREATE INDEX log_noted ON app.catmaid_transaction_info (noted, why DESC);
SQL
	for my $way ([ 'custom', 'template0' ], [ 'custom, one transaction', 'template0', '-1' ],
		[ 'custom, two jobs', 'template0', '-j2' ], [ 'custom, --clean over itself', 'owned', '-c' ])
	{
		my ($label, $template, @options) = @$way;
		my $name = "by the owner, $label";
		my ($o, $e);
		run_client([ 'pg_dump', '-U', 'dump_owner', '-Fc', '-f', "$dir/owned.custom", 'owned' ], \$o, \$e);
		is($o . $e, '', "$name: dump");
		$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS restored');
		$node->safe_psql('postgres', "CREATE DATABASE restored OWNER dump_owner TEMPLATE $template");
		run_client([ 'pg_restore', '-U', 'dump_owner', @options, '-d', 'restored', "$dir/owned.custom" ], \$o, \$e);
		is($o . $e, '', "$name: no output");
		same(contents_or_error('restored'), contents('owned'), "$name: all is identical");
		my ($r, $got, $error) = $node->psql('restored', <<'SQL', on_error_stop => 1, extra_params => [ '-U', 'dump_owner' ]);
UPDATE app.t SET v = 'changed';
SELECT count(*) FROM app.t__history;
SQL
		is($error . $got, '4', "$name: tracking is on");
	}
	return;
}
