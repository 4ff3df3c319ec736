# A small client for PostgreSQL's protocol, version 3, over a unix socket.
#
# The Perl tests need sessions that stay open, answer fast, hand out SQLSTATEs
# and may wait for a lock while another session goes on.  A psql behind pipes
# offers the first only, and DBD::Pg would be one more package to install, so
# this file speaks the protocol itself: simple queries, COPY FROM STDIN, notices.
# Values are the server's text, undef stands for NULL.

package PgWire;

use strict;
use warnings;
use Carp;
use IO::Socket::UNIX;
use IO::Select;

# new($node, db => 'postgres', user => 'x'): connect to a PostgreSQL::Test::Cluster, or,
# with host and port, to what stands before it.
sub new
{
	my ($class, $node, %opt) = @_;
	my $path = ($opt{host} // $node->host) . '/.s.PGSQL.' . ($opt{port} // $node->port);
	my $sock = IO::Socket::UNIX->new(Peer => $path)
	  or croak "could not connect to $path: $!";
	my $user = $opt{user} // $ENV{PGUSER} // getpwuid($<);
	my $self = bless {
		sock => $sock,
		buffer => '',
		busy => 0,
		name => $opt{name} // 'session',
	}, $class;

	my $body = pack('N', 196608);
	$body .= "user\0$user\0database\0" . ($opt{db} // 'postgres') . "\0";
	$body .= "client_encoding\0UTF8\0application_name\0$self->{name}\0\0";
	$self->_write(pack('N', length($body) + 4) . $body);
	$self->{busy} = 1;
	my $answer = $self->finish;
	croak "could not log in: $answer->{error}{M}" if $answer->{error};
	return $self;
}

# Send a query and come back at once; finish() collects its answer.
sub start
{
	my ($self, $sql, $copy_data) = @_;
	croak "session $self->{name} is still busy" if $self->{busy};
	$self->{copy_data} = $copy_data;
	$self->{sql} = $sql;
	$self->{busy} = 1;
	$self->_write('Q' . pack('N', length($sql) + 5) . $sql . "\0");
	return;
}

# True when an answer (or a part of one) can be read without waiting.
sub ready
{
	my ($self, $seconds) = @_;
	return 1 if length $self->{buffer};
	return scalar IO::Select->new($self->{sock})->can_read($seconds // 0);
}

# Wait for the answer to the query under way: { rows, tags, error, notices }.
# rows are those of the last statement that returned any; error is undef or a
# hash by field letter (C is the SQLSTATE, M the message).
sub finish
{
	my ($self) = @_;
	my %answer = (rows => [], columns => [], tags => [], notices => []);
	while (1)
	{
		my ($type, $body) = $self->_message;
		if ($type eq 'Z') { $self->{status} = $body; last }
		elsif ($type eq 'T')
		{
			$answer{rows} = [];
			$answer{columns} = [ _column_names($body) ];
		}
		elsif ($type eq 'D') { push @{ $answer{rows} }, _data_row($body) }
		elsif ($type eq 'C') { push @{ $answer{tags} }, substr($body, 0, -1) }
		elsif ($type eq 'E') { $answer{error} = _fields($body) }
		elsif ($type eq 'N') { push @{ $answer{notices} }, _fields($body) }
		elsif ($type eq 'G') { $self->_send_copy_data }
		elsif ($type eq 'K') { $self->{pid} = unpack('N', $body) }
	}
	$self->{busy} = 0;
	return \%answer;
}

# Run a query; errors are in the answer.
sub try
{
	my ($self, $sql, $copy_data) = @_;
	$self->start($sql, $copy_data);
	return $self->finish;
}

# Run a query that has to succeed.
sub do
{
	my ($self, $sql, $copy_data) = @_;
	my $answer = $self->try($sql, $copy_data);
	croak "$self->{name}: $answer->{error}{C} $answer->{error}{M}"
	  . ($answer->{error}{W} ? "\n  context: $answer->{error}{W}" : '')
	  . "\n  query: $sql"
	  if $answer->{error};
	return $answer;
}

# The first column of the first row of a query that has to succeed.
sub value
{
	my ($self, $sql) = @_;
	my $rows = $self->do($sql)->{rows};
	return @$rows ? $rows->[0][0] : undef;
}

sub close
{
	my ($self) = @_;
	my $sock = delete $self->{sock} or return;
	syswrite($sock, 'X' . pack('N', 4));
	CORE::close($sock);
	return;
}

sub DESTROY { local ($., $@, $!, $?); $_[0]->close; return }

sub _write
{
	my ($self, $data) = @_;
	my $done = 0;
	while ($done < length $data)
	{
		my $n = syswrite($self->{sock}, $data, length($data) - $done, $done);
		croak "could not write to the server: $!" unless defined $n;
		$done += $n;
	}
	return;
}

sub _message
{
	my ($self) = @_;
	$self->_fill(5);
	my ($type, $length) = unpack('aN', $self->{buffer});
	$self->_fill($length + 1);
	my $body = substr($self->{buffer}, 5, $length - 4);
	substr($self->{buffer}, 0, $length + 1) = '';
	return ($type, $body);
}

sub _fill
{
	my ($self, $need) = @_;
	while (length($self->{buffer}) < $need)
	{
		my $n = sysread($self->{sock}, $self->{buffer}, 65536,
			length $self->{buffer});
		croak "$self->{name}: the server closed the connection"
		  . ($self->{sql} ? " during: $self->{sql}" : '')
		  unless $n;
	}
	return;
}

sub _send_copy_data
{
	my ($self) = @_;
	my $data = $self->{copy_data} // '';
	$self->_write('d' . pack('N', length($data) + 4) . $data)
	  if length $data;
	$self->_write('c' . pack('N', 4));
	return;
}

sub _column_names
{
	my ($body) = @_;
	my $n = unpack('n', $body);
	my $pos = 2;
	my @names;
	for (1 .. $n)
	{
		my $end = index($body, "\0", $pos);
		push @names, substr($body, $pos, $end - $pos);
		$pos = $end + 19;
	}
	return @names;
}

sub _data_row
{
	my ($body) = @_;
	my $n = unpack('n', $body);
	my $pos = 2;
	my @row;
	for (1 .. $n)
	{
		my $length = unpack('l>', substr($body, $pos, 4));
		$pos += 4;
		if ($length < 0) { push @row, undef; next }
		push @row, substr($body, $pos, $length);
		$pos += $length;
	}
	return \@row;
}

sub _fields
{
	my ($body) = @_;
	my %fields;
	for my $part (split /\0/, $body)
	{
		$fields{ substr($part, 0, 1) } = substr($part, 1) if length $part;
	}
	return \%fields;
}

1;
