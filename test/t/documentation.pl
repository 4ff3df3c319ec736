# The documentation is true: every SQL example in README.md and doc/ runs, and prints
# what the page shows; doc/demo.md shows what script/demo prints; links lead somewhere.
#
# Each page has a fresh database, and sessions of psql fed block by block. A page
# may ask for a second server. test/README.md says how to write examples.
#
# DOC_PAGES: a pattern, only the examples of matching pages are run.
# With DOC_REWRITE=1 a page's shown output is replaced, in the copy that the test
# runs on, by what was printed: to be read and copied back.

use strict;
use warnings;
use File::Basename;
use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Open2;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use DocPage;
use DocProgram;

my $top = "$FindBin::RealBin/../..";
my @pages = map { s{^\Q$top\E/}{}r } "$top/README.md", sort glob "$top/doc/*.md";
my @others = map { s{^\Q$top\E/}{}r } grep { -f } glob("$top/[A-Z]*.md $top/.github/*.md"), "$top/test/README.md";
@others = grep { $_ ne 'README.md' } @others;
my (%node, %psql);
my $mark = 'the block ends here';

$ENV{PGSERVICEFILE} = tempdir(CLEANUP => 1) . '/pg_service.conf';
$ENV{PGCLIENTENCODING} = 'UTF8';
delete $ENV{PGOPTIONS};

for my $page (@pages)
{
	next if $ENV{DOC_PAGES} && $page !~ /$ENV{DOC_PAGES}/;
	my @blocks = eval { DocPage::blocks("$top/$page") };
	fail("$page: $@") if $@;
	run_page($page, @blocks) if @blocks;
}
facts();
demo();
errors();
findings();
reference();
completion();
source_map();
check_links($_) for @pages, @others;
unlinked();

$_->stop for values %node;
done_testing();

sub run_page
{
	my ($page, @blocks) = @_;
	my $database = 'doc_' . lc($page =~ s/\W+/_/gr);
	my (%shown, %printed, %rewrite);
	my $wanted = grep { !$_->{not_run} } @blocks;

	note("$page: $wanted of " . @blocks . ' blocks are run');
	for my $block (@blocks)
	{
		my $name = "$page, line $block->{line}";
		if ($block->{program})
		{
			run_program($name, $database, $block);
			next;
		}
		if ($block->{not_run})
		{
			note("$name: not run: $block->{not_run}");
			next;
		}
		my $session = $block->{session} // 'app';
		if ($block->{from} && $block->{from} * 10000 > node($session, $database)->safe_psql($database, 'SHOW server_version_num'))
		{
			note("$name: not run: it is for PostgreSQL $block->{from}");
			next;
		}
		if ($block->{wait})
		{
			ok(node($session, $database)->poll_query_until($database, $block->{wait}), "$name: waited for");
			next;
		}
		my $output = in_psql($session, $database, $block->{sql});
		if (!defined $block->{expected})
		{
			ok($output !~ /^(?:ERROR|FATAL|PANIC|invalid command|\\\S+: )/m, "$name: no error")
			  or diag($output);
			next;
		}
		my @varies = @{ $block->{varies} // [] };
		is(DocPage::masked($output, \%printed, @varies),
			DocPage::masked($block->{expected}, \%shown, @varies), "$name: prints what is shown")
		  or $rewrite{ $block->{line} } = $output;
	}
	hang_up($_) for keys %psql;
	rewrite("$top/$page", %rewrite) if $ENV{DOC_REWRITE};
	return;
}

# A program in another language, if what it needs is installed.
sub run_program
{
	my ($name, $database, $block) = @_;
	my $kind = $block->{program};
	die "$name: no such kind of program: $kind\n" unless DocProgram::known($kind);
  SKIP:
	{
		skip "$name: $kind is not installed", 1 unless DocProgram::runner($kind);
		my $node = node('app', $database);
		local @ENV{qw(PGHOST PGPORT PGDATABASE PGUSER)} =
		  ($node->host, $node->port, $database, scalar getpwuid($<));
		local $ENV{JDBC_URL} = $kind eq 'jdbc' ? jdbc_url($node, $database) : '';
		my $printed = DocProgram::run($kind, $block->{code});
		is($printed, $block->{expected}, "$name: $kind: prints what is shown");
	}
	return;
}

# Java knows no unix sockets: the server listens on TCP, for one role with a password.
sub jdbc_url
{
	my ($node, $database) = @_;
	my $password = join '', map { sprintf '%04x', rand 65536 } 1 .. 8;
	my $hba = slurp_file($node->data_dir . '/pg_hba.conf');
	unlink $node->data_dir . '/pg_hba.conf';
	$node->append_conf('pg_hba.conf', "host all doc_jdbc 127.0.0.1/32 scram-sha-256\n" . $hba =~ s/^host.*\n//gmr);
	$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'\n");
	hang_up($_) for keys %psql;
	$node->restart;
	$node->safe_psql($database, "SET password_encryption = 'scram-sha-256';
		CREATE ROLE doc_jdbc LOGIN PASSWORD '$password';
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO doc_jdbc");
	return sprintf 'jdbc:postgresql://127.0.0.1:%s/%s?user=doc_jdbc&password=%s', $node->port, $database, $password;
}

# The server of a session: one for all but those that are named "server ...".
sub node
{
	my ($session, $database) = @_;
	my $name = $session =~ /^server (\w+)/ ? $1 : 'app';
	return $node{$name} if $node{$name} && $node{$name}{databases}{$database}++;

	if (!$node{$name})
	{
		my $node = $node{$name} = PostgreSQL::Test::Cluster->new($name);
		$node->init(allows_streaming => 'logical');
		$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
timezone = 'UTC'
datestyle = 'ISO, YMD'
log_min_messages = warning
CONF
		$node->start;
	}
	my $node = $node{$name};
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->{databases}{$database} = 1;
	if ($name eq 'app')
	{
		# how a page's other servers find this one: service=app
		open(my $fh, '>', $ENV{PGSERVICEFILE}) or die $!;
		printf $fh "[app]\nhost=%s\nport=%s\ndbname=%s\nuser=%s\n",
		  $node->host, $node->port, $database, scalar getpwuid($<);
		close $fh;
	}
	return $node;
}

# Run SQL in a session, which is opened where it is not yet; returns all it prints.
sub in_psql
{
	my ($session, $database, $sql) = @_;
	node('app', $database);
	my $node = node($session, $database);

	if (!$psql{$session})
	{
		local $ENV{PGHOST} = $node->host;
		local $ENV{PGPORT} = $node->port;
		my $pid = open2(my $out, my $in, "exec psql -X -q -d $database 2>&1");
		binmode $_, ':encoding(UTF-8)' for $out, $in;
		$psql{$session} = { in => $in, out => $out, pid => $pid };
	}
	my ($in, $out) = @{ $psql{$session} }{ 'in', 'out' };
	my $text = '';

	# \warn flushes what psql has printed so far
	local $SIG{ALRM} = sub { die "session $session waits: $sql\n$text" };
	alarm 180;
	print $in "$sql\n\\warn $mark\n";
	$in->flush;
	while (defined(my $line = <$out>))
	{
		alarm 0, return $text if $line eq "$mark\n";
		$text .= $line;
	}
	alarm 0;
	return "${text}FATAL: psql has gone\n";
}

sub hang_up
{
	my ($session) = @_;
	my $psql = delete $psql{$session};
	close $psql->{in};
	1 while readline $psql->{out};
	close $psql->{out};
	waitpid $psql->{pid}, 0;
	return;
}

# What README says of versions, limits and sizes is so.
sub facts
{
	my $readme = slurp_file("$top/README.md");
	my $node = node('app', 'facts');
	my $try = sub { return ($node->psql('facts', $_[0]))[0] == 0 };

	my $said = do { local $ENV{RELEASE_CHECK_LINT} = 'no'; `"$^X" "$top/script/release-check" --development 2>&1` };
	is($?, 0, 'versions, metadata and pictures agree (script/release-check --development)') or diag($said);

	my %tested = map { $_ => 1 } map { /\d+/g } $readme =~ /^\| PostgreSQL \|.*?Tested on ([^;|]*)/m;
	my %suites = map { $_ => 1 } map { /\d+/g } slurp_file("$top/script/test-versions") =~ /all: ([\d ]+)$/m;
	is_deeply(\%tested, \%suites, 'README names the versions that script/test-versions tests');

	$node->safe_psql('facts', 'CREATE EXTENSION catmaid_history');
	my ($bytes) = $readme =~ /name may have at most (\d+) bytes/;
	for my $more (0, 1)
	{
		my $name = 'n' x ($bytes + $more);
		ok($more ^ $try->("CREATE TABLE $name (id int PRIMARY KEY); SELECT create_history_table('$name')"),
			"a name of $bytes bytes is " . ($more ? 'the longest' : 'short enough'));
	}
	my ($columns) = $readme =~ /at most ([\d,]+) columns/;
	$columns =~ tr/,//d;
	for my $more (0, 1)
	{
		my $list = join ', ', 'id int PRIMARY KEY', map { "c$_ int" } 2 .. $columns + $more;
		ok($more ^ $try->("CREATE TABLE wide$more ($list); SELECT create_history_table('wide$more')"),
			"$columns columns are " . ($more ? 'the most' : 'possible'));
	}

	# rows of a growing length: how many bytes before the longest is the longest that can be deleted?
	my ($within) = $readme =~ /within about (\d+) bytes of the page size/;
	my ($room) = $readme =~ /room of the row and about (\d+) bytes/;
	my ($short, $larger) = split /\|/, $node->safe_psql('facts', <<'SQL');
CREATE TABLE long (id int PRIMARY KEY, v text);
ALTER TABLE long ALTER v SET STORAGE PLAIN;
SELECT create_history_table('long');
CREATE FUNCTION fits(statement text) RETURNS bool LANGUAGE plpgsql AS
$$ BEGIN EXECUTE statement; RETURN true; EXCEPTION WHEN program_limit_exceeded THEN RETURN false; END $$;
CREATE TABLE length AS SELECT i, fits(format('INSERT INTO long VALUES (%s, repeat(''x'', %1$s))', i)) AS inserted
FROM generate_series(7950, 8180) i;
ALTER TABLE length ADD deleted bool;
UPDATE length SET deleted = fits(format('DELETE FROM long WHERE id = %s', i)) WHERE inserted;
INSERT INTO long VALUES (1, 'x');
UPDATE long SET v = 'y' WHERE id = 1;
SELECT max(i) FILTER (WHERE inserted) - max(i) FILTER (WHERE deleted),
	(SELECT pg_column_size(h) FROM long__history h WHERE id = 1) - (SELECT pg_column_size(l) FROM long l WHERE id = 1)
FROM length;
SQL
	($short, $larger) = (split /\n/, "$short|$larger")[-1] =~ /(\d+)\|(\d+)/;
	cmp_ok(abs($short - $within), '<=', 12, "a row may come within about $within bytes ($short) of the page size");
	cmp_ok(abs($larger - $room), '<=', 10, "a version takes about $room bytes ($larger) more than its row");
	return;
}

# doc/demo.md shows the demonstration, from its first line to the last.
sub demo
{
	my ($shown) = slurp_file("$top/doc/demo.md") =~
	  /<!-- demo output: begin -->\n```text\n(.*?)```\n<!-- demo output: end -->/s;
	ok(defined $shown, 'doc/demo.md shows what script/demo prints') or return;
	my $printed = in_psql('app', 'demo', "\\i $top/script/demo.sql");
	hang_up('app');
	my ($farewell) = slurp_file("$top/script/demo") =~ /^\techo "(.*)"$/m;
	is("$printed$farewell\n", $shown, 'as it is printed');
	return;
}

# doc/reference.md has every member of the extension: functions with the arguments and
# defaults that they have, relations with their columns, settings with their defaults.
sub reference
{
	my $text = slurp_file("$top/doc/reference.md");
	my $node = node('app', 'reference');
	my @missing;
	$node->safe_psql('reference', 'CREATE EXTENSION catmaid_history');
	my $members = $node->safe_psql('reference', <<'SQL');
LOAD 'catmaid_history';
WITH member AS (
	SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'catmaid_history'))
SELECT proname || '(' || replace(regexp_replace(pg_get_function_arguments(p.oid),
	'::(text|name|regclass|bigint|jsonb|timestamp with time zone)(\[\])?|\mIN |, OUT .*', '', 'g'), 'timestamp with time zone', 'timestamptz') || ')'
FROM member JOIN pg_proc p ON p.oid = objid AND classid = 'pg_proc'::regclass
UNION ALL
SELECT '`' || attname || '`' FROM member JOIN pg_attribute ON attrelid = objid AND attnum > 0 AND NOT attisdropped
WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT format(E'\n### %s\n', relname) FROM member JOIN pg_class c ON c.oid = objid WHERE classid = 'pg_class'::regclass
UNION ALL
SELECT '`' || typname || '`' FROM member JOIN pg_type t ON t.oid = objid WHERE classid = 'pg_type'::regclass
	AND typrelid = 0 AND typcategory <> 'A' -- from PostgreSQL 17 on row and array types are members, too
UNION ALL
SELECT format('| `%s` | `%s` |', evtname, evtevent) FROM member JOIN pg_event_trigger e ON e.oid = objid
WHERE classid = 'pg_event_trigger'::regclass
UNION ALL
SELECT format('| `%s` | `%s` |', name, CASE boot_val WHEN '' THEN '''''' ELSE boot_val END) FROM pg_settings WHERE name LIKE 'catmaid\_history.%';
SQL
	# a format with line ends comes in three lines, the heading in the second
	my @members = grep { /\S/ } split /\n/, $members;
	cmp_ok(scalar @members, '>', 60, 'the extension has its members');
	is(scalar(grep { /catmaid_history\./ } @members), 13, 'its settings are known');
	for my $member (@members)
	{
		push @missing, $member if index($text, $member =~ /^#/ ? "\n$member\n" : $member) < 0;
	}
	is(join("\n", @missing), '', 'doc/reference.md has every member as it is');

	# every signature that it shows is one
	my %is = map { $_ => 1 } @members;
	my @shown = map { grep { /^\w+\(.*\)$/ } split /\n/ } $text =~ /^```text\n(.*?)^```/gms;
	is(join("\n", grep { !$is{$_} } @shown), '', 'and shows no function that is not there');
	return;
}

# doc/reference.md has all that check_history() may find, and how grave it is.
sub findings
{
	my %shown = slurp_file("$top/doc/reference.md") =~ /^\| `(\w+)` \| ((?:error|warning|info)[^|]*) \|/gm;
	my (%found, @wrong);
	for my $file (glob "$top/src/doctor/check*.c")
	{
		my $source = slurp_file($file);
		$found{$2}{$1} = 1 while $source =~ /\bcheck_(?:add|finding)\([^"()]*"(error|warning|info)", "(\w+)"/g;
	}
	cmp_ok(scalar keys %found, '>', 25, 'what check_history() may find is known');
	for my $finding (sort keys %found)
	{
		my $said = join ' ', sort(($shown{$finding} // '') =~ /\b(error|warning|info)\b/g);
		push @wrong, $finding unless $said eq join ' ', sort keys %{ $found{$finding} };
	}
	is(join("\n", @wrong), '', 'doc/reference.md has each with its severity');
	is(join("\n", grep { !$found{$_} } sort keys %shown), '', 'and no other');
	return;
}

# doc/errors.md has every message of the sources, with SQLSTATE and hints, and no other.
sub errors
{
	my (@rows, @unknown);
	for (split /\n/, slurp_file("$top/doc/errors.md"))
	{
		my @cells = /^\| [`\w]/ ? split(/ \| /, s/^\| | \|$//gr) : next;
		unshift @cells, '' if @cells == 2;    # a notice has no SQLSTATE
		push @rows, \@cells unless $cells[0] =~ /SQLSTATE/ || $cells[1] eq 'message' || $cells[1] eq 'after';
	}
	my %state = sqlstates();
	for my $file (glob "$top/src/{,*/}*.c")
	{
		my $source = slurp_file($file);
		while ($source =~ /ereport\((ERROR|NOTICE|WARNING),(.*?)\)\);\n/gs)
		{
			my ($level, $report) = ($1, $2);
			my %said;
			push @{ $said{$1} }, join '', $2 =~ /"((?:[^"\\]|\\.)*)"/g
			  while $report =~ /(errmsg|errhint)\(((?:\s*"(?:[^"\\]|\\.)*")+)/g;
			next if $said{errmsg}[0] eq '%s';    # passed on
			my ($code) = $report =~ /(ERRCODE_\w+)/;
			$code = 'ERRCODE_RAISE_EXCEPTION' if ($code // '') eq 'ERRCODE_HISTORY_REFUSED';
			push @unknown, basename($file) . ": $said{errmsg}[0]"
			  unless mark_row(\@rows, defined $code ? $state{$code} : undef, $said{errmsg}[0], @{ $said{errhint} // [] });
		}
	}
	# the scripts' own, in PL/pgSQL
	for my $file (glob "$top/sql/lib/*.sql $top/sql/catmaid_history--[0-9]*.sql")
	{
		my $source = slurp_file($file);
		while ($source =~ /RAISE EXCEPTION '((?:[^']|'')*)'(.*?);\n/gs)
		{
			my ($message, $report) = ($1, $2);
			my ($condition) = $report =~ /ERRCODE = '(\w+)'/;
			my @hints = $report =~ /HINT = (?:format\()?'((?:[^']|'')*)'/g;
			s/%[sI]?/%s/g, s/\'\'/'/g for $message, @hints;
			push @unknown, basename($file) . ": $message"
			  unless mark_row(\@rows,
				$state{ 'ERRCODE_' . uc($condition // '') } // $state{ 'ERRCODE_T_R_' . uc($condition // '') } // 'no SQLSTATE',
				$message, @hints);
		}
	}
	# PostgreSQL's own that the code looks for
	my $sources = join '', map { slurp_file($_) } glob "$top/src/*.c $top/src/*/*.c";
	for my $row (grep { !$_->[3] } @rows)
	{
		my ($message) = $row->[1] =~ /^`([^`]+)`/;
		$row->[3] = 1 if defined $message && $sources =~ /strcmp\(\w+, "\Q$message\E"\)/;
	}
	is(join("\n", @unknown), '', 'doc/errors.md has every message, with its SQLSTATE and hints');
	is(join("\n", map { $_->[1] } grep { !$_->[3] } @rows), '', 'and no other');
	return;
}

# Mark the rows that tell of this message, with its SQLSTATE and hints. Returns how many.
sub mark_row
{
	my ($rows, $state, $message, @hints) = @_;
	$message = as_regex($message);
	@hints = map { as_regex($_) } grep { $_ ne '%s' } @hints;
	my @found = grep {
		my $row = $_;
		$row->[1] =~ /`$message`/
		  && !grep { $row->[2] !~ /`$_`/ } @hints
		  and !defined $state || $row->[0] =~ /$state/
	} @$rows;
	$_->[3] = 1 for @found;
	return scalar @found;
}

# A pattern for what a format of ereport() becomes.
sub as_regex
{
	my ($format) = @_;
	$format =~ s/\\"/"/g;
	return join '[^`]*?', map { quotemeta } split /%[sud]/, $format, -1;
}

# ERRCODE_... => SQLSTATE, from the server's headers.
sub sqlstates
{
	chomp(my $include = `$ENV{PG_CONFIG} --includedir-server`);
	my %state;
	my $header = slurp_file("$include/utils/errcodes.h");
	while ($header =~ /#define (ERRCODE_\w+) MAKE_SQLSTATE\(([^)]*)\)/g)
	{
		my ($name, $characters) = ($1, $2);
		$state{$name} = join '', $characters =~ /'(.)'/g;
	}
	return %state;
}

# psql completes the names of functions and tables.
sub completion
{
	my $node = node('app', 'reference');
  SKIP:
	{
		skip 'no IO::Pty', 3 unless eval { require IO::Pty; 1 };
		my $pty = IO::Pty->new;
		my $pid = fork // die $!;
		if (!$pid)
		{
			my $slave = $pty->slave;
			$pty->make_slave_controlling_terminal;
			close $pty;
			open STDIN, '<&', $slave;
			open STDOUT, '>&', $slave;
			open STDERR, '>&', $slave;
			@ENV{qw(PGHOST PGPORT TERM INPUTRC)} = ($node->host, $node->port, 'dumb', '/dev/null');
			exec 'psql', '-X', '-q', 'reference';
		}
		my $completes = sub {
			my ($typed, $rest) = @_;
			my $screen = '';
			local $SIG{ALRM} = sub { die "not completed\n" };
			syswrite $pty, "$typed\t";
			my $done = eval {
				alarm 20;
				while ($screen !~ /\Q$typed$rest\E\s/)
				{
					sysread $pty, my $more, 4096 or die "psql has gone\n";
					$screen .= $more;
				}
				1;
			};
			alarm 0;
			diag("psql shows: $screen") unless $done;
			syswrite $pty, "\025";    # control-U: forget the line
			return $done;
		};
		# a psql without readline completes nothing at all
		skip 'psql completes nothing', 3 unless $completes->('\df pg_stat_get_live', '_tuples');
		ok($completes->('\df create_history_t', 'able'), 'psql completes \df create_history_table');
		ok($completes->('DROP FUNCTION sync_tr', 'acking_table'), 'and DROP FUNCTION sync_tracking_table');
		ok($completes->('SELECT * FROM catmaid_live', '_table_triggers'), 'and catmaid_live_table_triggers');
		close $pty;
		waitpid $pid, 0;
	}
	return;
}

# The table of the source tree in doc/architecture.md names every file of the code and the scripts.
sub source_map
{
	my $map = slurp_file("$top/doc/architecture.md");
	my @missing = grep { index($map, "`$_`") < 0 }
	  map { s{^\Q$top\E/}{}r } grep { -f && !/\.(?:o|bc|so)$/ } glob "$top/{src,src/*,script}/* $top/sql/catmaid_history--[0-9]*.sql";
	is(join("\n", @missing), '', 'doc/architecture.md has every source file and script');
	my ($drawn) = $map =~ /^```text\n(src.*?)^```$/ms;
	is($drawn, scalar qx{"$top/script/arrows" --drawing}, 'and what script/arrows --drawing prints');
	return;
}

sub check_links
{
	my ($page) = @_;
	my $dir = "$top/$page" =~ s{/[^/]*$}{}r;
	my @broken;
	for (DocPage::links("$top/$page"))
	{
		my ($line, $target) = @$_;
		next if $target =~ /^[a-z]+:/;
		my ($path, $anchor) = split /#/, $target, 2;
		my $file = $path eq '' ? "$top/$page" : "$dir/$path";
		push @broken, "line $line: $target" unless -e $file;
		next unless -f $file && defined $anchor;
		my %anchors = DocPage::anchors($file);
		push @broken, "line $line: $target" unless $anchors{$anchor};
	}
	is(join("\n", @broken), '', "$page: links lead somewhere");
	return;
}

# Whoever starts at the README finds every page.
sub unlinked
{
	my %found = ('README.md' => 1);
	my @todo = ('README.md');
	while (my $page = shift @todo)
	{
		my $dir = $page =~ m{^(.*/)} ? $1 : '';
		for (DocPage::links("$top/$page"))
		{
			my $target = $_->[1] =~ s/#.*//r;
			next unless $target =~ /\.md$/ && $target !~ /^[a-z]+:/;
			$target = "$dir$target";
			1 while $target =~ s{[^/]+/\.\./}{};
			push @todo, $target if -f "$top/$target" && !$found{$target}++;
		}
	}
	is_deeply([ grep { !$found{$_} && !/^\.github/ } @pages, @others ], [], 'every page is reached from README.md');
	return;
}

# Put what was printed in the place of what is shown.
sub rewrite
{
	my ($file, %output) = @_;
	my ($text, $line, $output) = ('', 0, undef);
	open(my $fh, '<:encoding(UTF-8)', $file) or die "$file: $!";
	my @lines = <$fh>;
	close $fh;
	while (defined(my $l = shift @lines))
	{
		$line++;
		$output = $output{$line} if exists $output{$line};
		$text .= $l;
		if (defined $output && $l =~ /^```text/)
		{
			$line++, shift @lines while $lines[0] !~ /^```/;
			$text .= $output =~ s/[ \t]+$//gmr =~ s/\n+\z/\n/r;
			$output = undef;
		}
	}
	open($fh, '>:encoding(UTF-8)', $file) or die "$file: $!";
	print $fh $text;
	close $fh;
	return;
}
