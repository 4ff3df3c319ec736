# Part of test/t/fuzz_rights.pl: every function of the extension, called with the OID of
# everything in pg_class (and some that are not) in each regclass argument and odd values
# in the others, by every role.
#
# A call ends well or in an error that is meant for people; what a role does not own is as
# before.  Each call is rolled back, after a look at what it has done if it went well.

package FuzzFunctions;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes 'time';
use FuzzWorld;

our @EXPORT = qw(functions_setup functions_run functions_report functions_went);

my ($calls, $went, $looked, %state, %went) = (0, 0, 0);
my @functions;

sub functions_setup
{
	must('super', 'CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO PUBLIC');
	must('fuzz_a', 'SET search_path = shared, public', 'CREATE TABLE a (id int PRIMARY KEY, v text, n int, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0)',
		"INSERT INTO a VALUES (1, 'secret of a', 1), (2, 'two', 2)", "SELECT create_history_table('a')", "UPDATE a SET v = v || '!'",
		'CREATE TABLE timed (LIKE a INCLUDING ALL)', "SELECT create_history_table('timed', 'edited', 'txid')", 'INSERT INTO timed SELECT * FROM a', 'DELETE FROM timed WHERE id = 1',
		'CREATE TABLE plain (id int PRIMARY KEY, v text, edited timestamptz, txid bigint)', "INSERT INTO plain VALUES (1, 'x')", 'CREATE TABLE plain__history (id int, v text)', 'CREATE TABLE no_key (v text)',
		'CREATE TABLE kept (id int PRIMARY KEY, v text)', "SELECT create_history_table('kept')", "INSERT INTO kept VALUES (1, 'k')", "UPDATE kept SET v = 'kk'", "SELECT drop_history_table_keep_data('kept')",
		'CREATE TABLE off (id int PRIMARY KEY, v text)', "SELECT create_history_table('off')", "SELECT disable_history_tracking_for_table('off')",
		'CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)', 'CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (0) TO (10)', 'CREATE TABLE r_2 PARTITION OF r FOR VALUES FROM (10) TO (20)', "SELECT create_history_table('r')",
		"INSERT INTO r VALUES (1, 'one'), (11, 'eleven')", "UPDATE r SET v = v || '!'", 'CREATE VIEW view AS SELECT * FROM a', 'CREATE MATERIALIZED VIEW mat AS SELECT 1 AS x', 'CREATE SEQUENCE seq', 'CREATE TYPE pair AS (x int)', 'CREATE TABLE typed OF pair',
		'CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)', 'GRANT SELECT ON ALL TABLES IN SCHEMA shared TO fuzz_reader', 'GRANT INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES ON a, timed, plain, kept, r TO fuzz_writer');
	must('fuzz_b', 'SET search_path = shared, public', 'CREATE TABLE b (id int PRIMARY KEY, v text)', "INSERT INTO b VALUES (1, 'secret of b')", "SELECT create_history_table('b')", "UPDATE b SET v = v || '!'",
		'CREATE TABLE b_child (PRIMARY KEY (id)) INHERITS (b)', "SELECT create_history_table('b_child')", 'ALTER TABLE b ENABLE ROW LEVEL SECURITY');
	must('super', 'CREATE FOREIGN DATA WRAPPER nothing', 'CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing', 'CREATE FOREIGN TABLE shared.far (id int) SERVER nowhere', 'ALTER TABLE shared.r_2 OWNER TO fuzz_part',
		'CREATE TABLE shared.supers (id int PRIMARY KEY)', "SELECT create_history_table('shared.supers')", 'CREATE TABLE shared.gone (id int PRIMARY KEY)');
	as('super')->do(<<'SQL');
CREATE TABLE public.fuzz_oids AS SELECT oid FROM pg_class UNION VALUES (0::oid), (1), (4294967295), ('shared.gone'::regclass::oid), (NULL);
DROP TABLE shared.gone;
GRANT SELECT ON public.fuzz_oids TO PUBLIC;
-- Call it, and undo it: the state of the error, or what it returned.
CREATE FUNCTION public.fuzz_call(call text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE call;
		RAISE 'went' USING ERRCODE = 'ZZ000';
	EXCEPTION WHEN OTHERS THEN state := SQLSTATE; message := SQLERRM;
	END;
END $$;
SQL
	@functions = map { { name => $_->[0], args => [ split /,/, $_->[1] ] } } @{ as('super')->do(<<'SQL')->{rows} };
SELECT concat((SELECT nspname || '.' FROM pg_namespace n WHERE n.oid = pronamespace AND nspname = 'catmaid_history_internal'), p.proname), (SELECT coalesce(string_agg(t::regtype::text, ',' ORDER BY n), '') FROM unnest(proargtypes) WITH ORDINALITY x(t, n))
  FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'catmaid_history') ORDER BY p.oid
SQL
	return;
}

my @texts = ('', 'v', 'id', 'n', 'edited', 'txid', 'no such', 'ID', '"id"', "o'clock", 'x"y', 'ctid', 'xmin', 'tableoid', 'sys_period', 'exec_transaction_id', 'x' x 63, 'x' x 64, "\x{c3}\x{a4}" x 40, 'x' x 20000, "id; DROP TABLE shared.a", '%s%n', '........pg.dropped.1........');

# A literal for an argument; the OID is o where the argument is a regclass.
sub argument
{
	my ($type, $oid) = @_;
	return pick('NULL::shared.a', 'NULL::shared.a__history', 'NULL::text', '1', 'ROW(1)') if $type eq 'anyelement';
	return 'NULL' if chance(0.05);
	return pick("'-infinity'", 'now()', "'infinity'", 'NULL') . '::timestamptz' if $type =~ /^timestamp/;
	return $oid if $type eq 'regclass';
	return pick('true', 'false') if $type eq 'boolean';
	return quoted(pick(@texts)) . '::text' if $type eq 'text';
	return "NULL::$type";
}

sub quoted { my ($text) = @_; return "'" . ($text =~ s/'/''/gr) . "'" }

sub functions_run
{
	my ($seconds) = @_;
	my $until = time() + $seconds;
	my %before;
	my @work;
	for my $role ('super', roles())
	{
		$before{$role} = fingerprint($role eq 'super' ? 'pg_monitor' : $role);
		push @work, map { [ $role, $_ ] } grep { @{ $_->{args} } || $_->{name} } @functions;
	}
	while (@work && time() < $until)
	{
		my ($role, $function) = @{ splice @work, int rand @work, 1 };
		# superusers may do anything; they get no internal error either
		call_all($role, $function);
	}
	for my $role (roles())
	{
		compare($before{$role}, fingerprint($role), $role, 'functions');
	}
	return;
}

# One function with every OID; in a second regclass, any.
sub call_all
{
	my ($role, $function) = @_;
	my @args = @{ $function->{args} };
	my @oids = map { $_->[0] } @{ as('super')->do('SELECT oid FROM fuzz_oids')->{rows} };
	my @ours = map { $_->[0] } @{ as('super')->do("SELECT oid FROM pg_class WHERE relnamespace = 'shared'::regnamespace")->{rows} };
	@oids = (0) if !grep { $_ eq 'regclass' } @args;
	my (@calls);
	for my $oid (@oids)
	{
		my $first = 1;
		push @calls, 'SELECT ' . (chance(0.3) ? '* FROM ' : '') . "$function->{name}(" . join(', ', map {
			my $one = $_ eq 'regclass' ? ($first ? $oid : pick(pick(@oids), pick(@ours))) : undef;
			$first = 0 if $_ eq 'regclass';
			argument($_, (defined $one ? "$one\::regclass" : 'NULL::regclass')) } @args) . ')';
		# and with two of ours
		push @calls, $calls[-1] =~ s/\d+::regclass/pick(@ours) . '::regclass'/ger if @args > 1 && chance(0.2);
	}
	my $session = as($role, '');
	$session->do('SET client_min_messages = error');
	while (my @some = splice @calls, 0, 200)
	{
		my $rows = $session->do('SELECT call, (fuzz_call(call)).* FROM unnest(ARRAY[' . join(',', map { quoted($_) } @some) . ']) call')->{rows};
		for my $row (@$rows)
		{
			my ($call, $state, $message) = @$row;
			$calls++;
			$state{$state}++;
			complain("internal error: $state " . ($message =~ s/\d+/N/gr) . " in $function->{name}", "$call as $role")
			  if internal_error({ C => $state, M => $message }) && $message !~ /unsupported return type|"row_type" is not of the type/;
			next if $state ne 'ZZ000';
			$went++;
			$went{"$function->{name} as $role"}++ if $function->{name} !~ /^get_|^history_table_name|no_end/;
			look($role, $call) if $role ne 'super' && $function->{name} !~ /^get_|^history_table_name|no_end/;
		}
	}
	$session->close;
	return;
}

# What has the call done that went well?
sub look
{
	my ($role, $call) = @_;
	return if $looked > 40 && !$ENV{FUZZ_SECONDS};
	$looked++;
	my $session = as('super', '');
	# in one transaction that is rolled back, so as super who becomes the role
	my $before = fingerprint($role, session => $session);
	$session->do("BEGIN; SET LOCAL SESSION AUTHORIZATION $role; SET LOCAL client_min_messages = error");
	my $answer = $session->try($call);
	$session->do('SET LOCAL SESSION AUTHORIZATION DEFAULT') if !$answer->{error};
	compare($before, fingerprint($role, session => $session), $role, $call) if !$answer->{error};
	$session->do('ROLLBACK');
	$session->close;
	return;
}

sub compare
{
	my ($before, $after, $role, $what) = @_;
	my %all = (%$before, %$after);
	for my $kind (sort keys %all)
	{
		my ($old, $new) = ($before->{$kind} // 'nothing', $after->{$kind} // 'nothing');
		complain("$kind changed by $role: " . ($what =~ s/\d+/N/gr), "$what: $old, now $new") if $old ne $new;
	}
	return;
}

sub functions_report { return "$calls calls of " . scalar(@functions) . " functions, $went went well, $looked looked at; " . join ', ', map { "$_ $state{$_}" } sort keys %state }
sub functions_went { return \%went }

1;
