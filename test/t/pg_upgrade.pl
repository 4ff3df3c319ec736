# pg_upgrade, from one server to another of the same version: triggers are marked with
# their histories afterwards (src/registry/mark.c: no dump has the mark), the registry is the
# same, and changes go on being recorded.  script/test-upgrade goes to newer versions.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = map { PostgreSQL::Test::Cluster->new($_) } qw(old new);
$_->init(extra => [ '--locale=C', '--encoding=UTF8' ]) for $old, $new;
$_->append_conf('postgresql.conf', "fsync = off\n") for $old, $new;
$old->start;
$old->safe_psql('postgres', <<'SQL');
CREATE ROLE upgrade_owner;
CREATE SCHEMA s AUTHORIZATION upgrade_owner;
CREATE EXTENSION catmaid_history;
SET SESSION AUTHORIZATION upgrade_owner;
CREATE TABLE s.timed (id int PRIMARY KEY, v text, edited timestamptz DEFAULT now(), txid bigint);
CREATE TABLE s.tracked (id int PRIMARY KEY, v text);
CREATE TABLE s.part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE s.part_1 PARTITION OF s.part FOR VALUES FROM (0) TO (10);
CREATE TABLE s.off (id int PRIMARY KEY, v text);
CREATE TABLE s.kept (id int PRIMARY KEY, v text);
SELECT create_history_table('s.timed', 'edited', 'txid');
SELECT create_history_table(t) FROM unnest('{s.tracked,s.part,s.off,s.kept}'::regclass[]) t;
INSERT INTO s.timed VALUES (1, 'a');
INSERT INTO s.tracked VALUES (1, 'a');
INSERT INTO s.part VALUES (1, 'a');
-- cut, with values out of line in the segment
UPDATE s.tracked SET v = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 4000) i);
UPDATE s.tracked SET v = 'b';
SELECT rotate_history('s.tracked');
SELECT disable_history_tracking_for_table('s.off');
SELECT drop_history_table_keep_data('s.kept');
SQL
my $marks = q{SELECT string_agg(tgrelid::regclass || ' ' || refobjid::regclass, ', ' ORDER BY tgrelid::regclass::text, refobjid::regclass::text)
	FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid WHERE d.classid = 'pg_trigger'::regclass
	AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'};
my $registry = q{SELECT string_agg(concat_ws(' ', live_table, history_table, tracking_table, triggers_installed), ', ' ORDER BY live_table::text)
	FROM catmaid_history_table};
my @before = map { $old->safe_psql('postgres', $_) } $marks, $registry;
is($before[0], 's.part s.part__history, s.part s.part__tracking, s.timed s.timed__history, '
	  . 's.tracked s.tracked__history, s.tracked s.tracked__tracking', 'the marks before');
$old->stop;

chdir $PostgreSQL::Test::Utils::tmp_check;
my ($bin) = grep { -x "$_/pg_upgrade" } split /:/, $ENV{PATH};
my ($said, $errors) = run_command([ 'pg_upgrade', '-b', $bin, '-B', $bin, '-d', $old->data_dir, '-D', $new->data_dir, '-s', $new->host,
		'-p', $old->port, '-P', $new->port ]);
like($said, qr/Upgrade Complete/, 'pg_upgrade') or diag "$said\n$errors";
$new->start;
is($new->safe_psql('postgres', $marks), $before[0], 'the marks afterwards');
is($new->safe_psql('postgres', $registry), $before[1], 'the registry');
is($new->safe_psql('postgres', q{SELECT string_agg(finding || ' ' || live_table, ', ') FROM check_history() WHERE severity <> 'info'}), '', 'check_history finds nothing');
is($new->safe_psql('postgres', <<'SQL'), '1 3 1', 'changes are recorded');
UPDATE s.timed SET v = 'b'; UPDATE s.tracked SET v = 'b'; UPDATE s.part SET v = 'b';
SELECT concat_ws(' ', (SELECT count(*) FROM s.timed__history), (SELECT count(*) FROM s.tracked__history), (SELECT count(*) FROM s.part__history));
SQL
is($new->safe_psql('postgres', 'SELECT max(length(v)) FROM s.tracked__history_1'), '128000', 'segments come along');
is($new->safe_psql('postgres', q{SELECT rotate_history('s.tracked'); SELECT max(length(v)) FROM s.tracked__history}), "s.tracked__history_2\n128000",
	'and others follow');
my ($rc, $out, $err) = $new->psql('postgres', 'SET catmaid_history.follow_ddl = off; DROP TABLE s.tracked__history');
like($err, qr/other objects depend on it/, 'a history is not dropped by itself');
$new->stop;
done_testing();
