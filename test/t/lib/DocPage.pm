# A page of documentation, as documentation.pl runs it: its fenced blocks, what
# stands before them in HTML comments, and how printed output is compared.
# test/README.md says how to write examples.
package DocPage;

use strict;
use warnings;

# blocks($file) -> list of { sql, line, expected (undef if the page shows none),
# session, not_run (the reason), varies (list of regexes), wait (a query) }, or of
# programs { program (see DocProgram.pm), code, line, expected }.
# Dies at a comment that looks like ours and is not.
sub blocks
{
	my ($file) = @_;
	open(my $fh, '<:encoding(UTF-8)', $file) or die "$file: $!";
	my @lines = <$fh>;
	close $fh;
	my ($page_not_run) = map { /^<!-- *page not run: *(\S.*?) *-->/ ? $1 : () } @lines;
	my (@blocks, %next);
	my $last;    # the block whose output may follow
	for (my $i = 0; $i < @lines; $i++)
	{
		my $line = $i + 1;
		if ($lines[$i] =~ /^( *)```(\w*)/)
		{
			my ($indent, $language, $body) = ($1, $2, '');
			$body .= $lines[$i] =~ s/^$indent//r while ++$i < @lines && $lines[$i] !~ /^ *```/;
			die "$file:$line: block does not end\n" if $i == @lines;
			if ($language eq 'sql')
			{
				$next{not_run} //= $page_not_run if $page_not_run;
				push @blocks, $last = { sql => $body, line => $line, %next };
				%next = ();
				die "$file:$line: the last statement does not end\n"
				  unless $body =~ /(;|^\\[^\n]*|\\g\w*)\s*(--[^\n]*)?\z/m || $last->{not_run};
			}
			elsif (my $kind = delete $next{run})
			{
				push @blocks, $last = { program => $kind, code => $body, line => $line };
			}
			elsif ($language eq 'text' && $last)
			{
				$last->{expected} = $body;
				$last = undef;
			}
			else
			{
				delete $next{not_run};
				$last = undef;
			}
		}
		elsif ($lines[$i] =~ /^<!-- *setup *$/)
		{
			my $body = '';
			$body .= $lines[$i] while ++$i < @lines && $lines[$i] !~ /-->/;
			push @blocks, { sql => $body, line => $line, session => delete $next{session} };
			$last = undef;
		}
		elsif ($lines[$i] =~ /^ *<!-- *(not run|run|from|session|wait|varies): *(\S.*?) *-->/)
		{
			my ($what, $value) = ($1, $2);
			if ($what eq 'wait')
			{
				push @blocks, { wait => $value, line => $line, session => delete $next{session} };
			}
			elsif ($what eq 'varies')
			{
				push @{ $next{varies} }, $value;
			}
			else
			{
				$next{ $what =~ s/ /_/r } = $value;
			}
		}
		elsif ($lines[$i] =~ /^ *<!-- *(not|run|from|session|setup|wait|varies)\b/)
		{
			die "$file:$line: no such instruction: $lines[$i]";
		}
		elsif ($lines[$i] =~ /\S/)
		{
			$last = undef;
		}
	}
	return @blocks;
}

# What is left of printed output once all is masked that may differ from run to
# run. $seen numbers times and ids in the order in which they come, so that what
# is one time on the page must be one time in the run.
sub masked
{
	my ($text, $seen, @varies) = @_;
	my $name = sub {
		my ($kind, $value) = @_;
		$seen->{"$kind $value"} //= "<$kind " . ++$seen->{$kind} . '>';
	};
	my @ids;    # columns of the present table that hold ids
	my @result;
	my @lines = split /\n/, $text;
	for my $i (0 .. $#lines)
	{
		my $line = $lines[$i];
		$line =~ s/$_/<varies>/g for @varies;
		my @cells = split /\|/, $line, -1;
		if (($lines[ $i + 1 ] // '') =~ /^-[-+]+$/)
		{
			@ids = grep { $cells[$_] =~ /^\s*\S*(?:transaction_id|txid|xid|pid)\s*$/ } 0 .. $#cells;
		}
		elsif ($line =~ /^\(\d+ rows?\)$/ || $line eq '')
		{
			@ids = ();
		}
		for my $column (@ids)
		{
			$cells[$column] =~ s/(\d+)/$name->('id', $1)/e if defined $cells[$column];
		}
		$line = join '|', @cells;
		$line =~ s/(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+[-+]\d\d(?::\d\d)?)/$name->('time', $1)/ge;
		# psql makes columns as wide as what varies
		$line =~ s/-{2,}/--/g;
		$line =~ s/[ \t]+/ /g;
		$line =~ s/ $//;
		$line =~ s/^ //;
		push @result, $line;
	}
	return join "\n", @result, '';
}

# links($file) -> list of [ line, target ] of the links in Markdown, code left out.
sub links
{
	my ($file) = @_;
	my ($text, @links) = (prose($file));
	my $line = 1;
	for (split /\n/, $text)
	{
		push @links, [ $line, $1 ] while /\]\(([^()\s]+)\)/g;
		push @links, [ $line, $1 ] while /^\[[^\]]+\]: *(\S+)/g;
		$line++;
	}
	return @links;
}

# anchors($file) -> the names that GitHub gives to a page's headings.
sub anchors
{
	my ($file) = @_;
	my (%anchors, %count);
	for (split /\n/, prose($file, 1))
	{
		my $anchor = /^#+ +(.*?) *$/ ? lc $1 : next;
		$anchor =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
		$anchor =~ s/[^\w\- ]//g;
		$anchor =~ tr/ /-/;
		$anchors{ $count{$anchor}++ ? "$anchor-" . ($count{$anchor} - 1) : $anchor } = 1;
	}
	return %anchors;
}

# The page without its code, line for line (with code in lines, if asked for).
sub prose
{
	my ($file, $inline) = @_;
	open(my $fh, '<:encoding(UTF-8)', $file) or die "$file: $!";
	my $text = do { local $/; <$fh> };
	close $fh;
	$text =~ s/^ *```.*?^ *```[^\n]*$/"\n" x ($& =~ tr{\n}{})/gems;
	$text =~ s/`[^`\n]*`/``/g unless $inline;
	return $text;
}

1;
