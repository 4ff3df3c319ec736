# The results as Markdown tables and as a plot (SVG).
package Report;

use strict;
use warnings;

sub median
{
	my @v = sort { $a <=> $b } @_;
	return unless @v;
	return @v % 2 ? $v[ $#v / 2 ] : ($v[ $#v / 2 ] + $v[ @v / 2 ]) / 2;
}

# A figure with three digits that matter.
sub figure
{
	my ($v) = @_;
	return '-' unless defined $v;
	return sprintf($v >= 100 ? '%.0f' : $v >= 10 ? '%.1f' : '%.2f', $v);
}

sub machine
{
	my ($cpu) = map { /model name\s*:\s*(.*)/ ? $1 : () } lines('/proc/cpuinfo');
	my ($memory) = map { /MemTotal:\s*(\d+)/ ? int($1 / 1048576 + 0.5) : () } lines('/proc/meminfo');
	my $cores = grep { /^processor/ } lines('/proc/cpuinfo');
	return sprintf('%d cores (%s), %d GB of memory', $cores, $cpu || 'unknown', $memory || 0);
}

sub lines
{
	my ($file) = @_;
	open my $f, '<', $file or return;
	return <$f>;
}

# A table: heading, and rows of cells.
sub markdown
{
	my ($heading, @rows) = @_;
	return join '', map { '| ' . join(' | ', @$_) . " |\n" }
	  $heading, [ map { '---' } @$heading ], @rows;
}

# Bars of cost relative to the untracked table: groups of [label, {subject => ratio}].
sub svg
{
	my ($title, $subjects, $groups) = @_;
	my @colour = map { "#$_" } qw(4878a8 d08040 60a060 a05890 888888 c04040);
	my $bar = 11;
	my ($left, $width, $top) = (250, 520, 60);
	my $max = 1;
	for my $g (@$groups)
	{
		for (values %{ $g->[1] }) { $max = $_ if $_ > $max; }
	}
	$max = 10 if $max > 10;
	my $y = $top;
	my @out;
	for my $g (@$groups)
	{
		my ($label, $ratio) = @$g;
		my @have = grep { defined $ratio->{ $subjects->[$_] } } 0 .. $#$subjects;
		push @out, text($left - 8, $y + $bar * @have / 2 + 4, $label, 'end');
		for my $i (@have)
		{
			my $v = $ratio->{ $subjects->[$i] };
			my $w = $width * ($v > $max ? $max : $v) / $max;
			push @out, sprintf('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>',
				$left, $y, $w, $bar - 1, $colour[ $i % @colour ]);
			push @out, text($left + $w + 4, $y + $bar - 2, sprintf('%.2f', $v), 'start', 9);
			$y += $bar;
		}
		$y += 10;
	}
	my $one = $left + $width / $max;
	unshift @out, sprintf('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#666" stroke-dasharray="3,3"/>',
		$one, $top - 6, $one, $y);
	my $x = $left;
	for my $i (0 .. $#$subjects)
	{
		unshift @out, sprintf('<rect x="%d" y="32" width="10" height="10" fill="%s"/>', $x, $colour[ $i % @colour ]),
		  text($x + 14, 41, $subjects->[$i], 'start');
		$x += 30 + 7 * length $subjects->[$i];
	}
	return sprintf('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">'
		. "\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n%s\n%s\n</svg>\n",
		$left + $width + 60, $y + 10, text(10, 20, $title, 'start', 14), join("\n", @out));
}

sub text
{
	my ($x, $y, $text, $anchor, $size) = @_;
	$text =~ s/&/&amp;/g;
	$text =~ s/</&lt;/g;
	return sprintf('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s">%s</text>',
		$x, $y, $size || 11, $anchor, $text);
}

1;
