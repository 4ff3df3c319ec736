package Rotating;

# A psql script with a rotation of all histories after each of its statements that may have
# written something.
#
# rotating(TEXT) returns the script as it is to be run; install_sql() makes what it calls,
# in schema tap, beside pgTAP.  Nothing is rotated in a transaction that is READ ONLY or has
# failed, nor a table that this would say no to (its error is swallowed): a test means to see
# its own.
#
# A statement ends with a semicolon at the end of a line, outside of quotes and comments.

use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(rotating install_sql);

sub install_sql
{
	return <<'SQL';
CREATE FUNCTION tap.rotate_everything() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET lock_timeout = '100ms' AS $$
DECLARE
	home name := (SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
		WHERE e.extname = 'catmaid_history');
	live regclass;
BEGIN
	IF home IS NULL OR pg_catalog.current_setting('transaction_read_only') = 'on' THEN
		RETURN;
	END IF;
	FOR live IN EXECUTE pg_catalog.format('SELECT h.live_table FROM %I.catmaid_history_table h
			WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = h.live_table) ORDER BY 1', home) LOOP
		BEGIN
			EXECUTE pg_catalog.format('SELECT %I.rotate_history($1)', home) USING live;
		EXCEPTION WHEN OTHERS THEN
			IF pg_catalog.current_setting('tap.rotate_verbose', true) = 'on' THEN
				RAISE WARNING 'not rotated: %: %', live, SQLERRM;
			END IF;
		END;
	END LOOP;
END $$;
SQL
}

sub rotating
{
	my ($text) = @_;
	my $out = '';
	my $quote = '';		# what ends what we are in: "'", '"', '$tag$', '*/'
	my $begun = 0;		# a statement has
	my $first = '';		# its first line

	my $data = 0;		# of COPY FROM stdin
	for my $line (split /^/, $text)
	{
		if ($data)
		{
			$data = $line !~ /^\\\.$/;
			$out .= $line;
			$out .= rotation() unless $data;
			next;
		}
		if (!$quote && !$begun && $line =~ /^\s*(\\|--|$)/)
		{
			$out .= $line;
			next;
		}
		$first = $line unless $begun || $quote;
		my $rest = $line;
		my $ends = 0;
		while ($rest ne '')
		{
			if ($quote)
			{
				last unless $rest =~ s/^.*?\Q$quote\E//s;
				$quote = '';
			}
			elsif ($rest =~ s/^--.*//s) { }
			elsif ($rest =~ s/^(\$\w*\$)//) { $quote = $1; $begun = 1; $ends = 0 }
			elsif ($rest =~ s/^(['"])//) { $quote = $1; $begun = 1; $ends = 0 }
			elsif ($rest =~ s{^/\*}{}) { $quote = '*/' }
			elsif ($rest =~ s/^;//) { $ends = 1; $begun = 0 }
			elsif ($rest =~ s/^\s+//) { }
			elsif ($rest =~ s/^\\\w.*//s) { $begun = 0 }	# \gset and the like
			else { $rest =~ s/^.//s; $begun = 1; $ends = 0 }
		}
		$out .= $line;
		$data = $ends && !$quote && $line =~ /^COPY\b.*\bFROM\s+stdin\b/i;
		$out .= rotation() if $ends && !$quote && !$data && writes($first);
	}
	return $out;
}

sub rotation
{
	return "SELECT tap.rotate_everything() \\g /dev/null\n";
}

sub writes
{
	my ($line) = @_;

	return $line =~ /^\s*(?:INSERT|UPDATE|DELETE|TRUNCATE|MERGE|COPY|WITH|EXECUTE|CALL|COMMIT|END|ROLLBACK|ALTER)\b/i
	  || $line =~ /^\s*SELECT\s+(?:lives_ok|follows|(?:create|enable|reload|sync)_)/i;
}

1;
