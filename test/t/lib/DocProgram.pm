# The programs in doc/drivers.md: whether what they need is here, and running them.
package DocProgram;

use strict;
use warnings;
use File::Temp 'tempdir';

# What each kind of program is run by. A list of commands of which the first that can
# load the driver is taken; the program's file is put at the end.
my %kind = (
	(map { $_ => { file => 'program.py', test => "import $_", by => [ [ 'python3' ], [ '/usr/bin/python3' ] ], flag => '-c' } }
		qw(psycopg psycopg2 asyncpg django sqlalchemy)),
	'node-postgres' => { file => 'program.js', test => "require('pg')", by => [ [ 'node' ] ], flag => '-e' },
	rails => { file => 'program.rb', test => "require 'active_record'; require 'pg'", by => [ [ 'ruby' ] ], flag => '-e' },
	dbi => { file => 'program.pl', test => 'use DBD::Pg', by => [ [ $^X ], [ '/usr/bin/perl' ] ], flag => '-e' },
	jdbc => { file => 'AsOf.java', by => [ [ 'java', '-cp', '/usr/share/java/postgresql.jar' ] ] });

my $folder = tempdir(CLEANUP => 1);

# known($kind): is there such a kind?
sub known
{
	return exists $kind{ $_[0] };
}

# runner($kind) -> reference to the command that runs such a program, or undef if what
# it needs is not installed. Node looks for its driver in NODE_PATH, too.
sub runner
{
	my ($kind) = @_;
	my $of = $kind{$kind};
	return $of->{runner} if exists $of->{runner};
	$of->{runner} = undef;
	for my $command (@{ $of->{by} })
	{
		my @try = $of->{test} ? (@$command, $of->{flag}, $of->{test}) : ('javac', '-version');
		next if $kind eq 'jdbc' && !-e '/usr/share/java/postgresql.jar';
		return $of->{runner} = $command if system("exec @{[ quoted(@try) ]} >/dev/null 2>&1 </dev/null") == 0;
	}
	return;
}

# run($kind, $code) -> what it prints, errors too, and if it fails a line that says so.
sub run
{
	my ($kind, $code) = @_;
	my $file = "$folder/$kind{$kind}{file}";
	open(my $fh, '>:encoding(UTF-8)', $file) or die "$file: $!";
	print $fh $code;
	close $fh;
	local $ENV{NODE_PATH} = join ':', grep { length } $ENV{NODE_PATH} // '', '/usr/share/nodejs', '/usr/lib/nodejs';
	my $command = quoted('timeout', '120', @{ runner($kind) }, $file);
	open(my $out, '-|:encoding(UTF-8)', "exec $command 2>&1 </dev/null") or die $!;
	my $text = do { local $/; <$out> } // '';
	close $out or $text .= "FATAL: the program ended with status " . ($? >> 8) . "\n";
	return $text;
}

sub quoted
{
	return join ' ', map { s/'/'\\''/gr =~ s/^|$/'/gr } @_;
}

1;
