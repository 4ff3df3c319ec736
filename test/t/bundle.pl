# The bundle for PGXN: META.json by the rules of the PGXN Meta Spec 1.0.0, what it
# says against what is there, and one version in all places that tell one.

use strict;
use warnings;
use Test::More;
use JSON::PP;

my $term = qr/\A[^\s\/\\\x00-\x1f\x7f]{2,}\z/;
my $semver = qr/\A(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-?[A-Za-z][0-9A-Za-z-]*)?\z/;
my %licenses = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2
  gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql
  qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);
my %keys = map { $_ => 1 } qw(abstract maintainer license provides meta-spec name version
  description generated_by no_index prereqs release_status resources tags);

sub content
{
	my ($file) = @_;
	open my $fh, '<:raw', $file or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

# Everything that is wrong, as the spec has it.
sub faults
{
	my ($meta) = @_;
	my @faults;
	# the fault first: a match that fails is an empty list
	my $must = sub { my ($fault, $right) = @_; push @faults, $fault unless $right };

	$must->("$_ is missing", defined $meta->{$_}) for qw(abstract maintainer license provides meta-spec name version);
	$must->("$_ is no key", $keys{$_} || /\Ax_/i) for keys %$meta;
	$must->('name', $meta->{name} =~ $term);
	$must->('version', $meta->{version} =~ $semver);
	$must->('abstract', !ref $meta->{abstract} && length $meta->{abstract});
	my $people = ref $meta->{maintainer} ? $meta->{maintainer} : [ $meta->{maintainer} ];
	$must->('maintainer', @$people > 0 && !grep({ !length } @$people));
	$must->('license', $licenses{ $meta->{license} });
	$must->('meta-spec', ($meta->{'meta-spec'}{version} // '') =~ /\A1\.0\.\d+\z/);
	$must->('provides', keys %{ $meta->{provides} } > 0);
	while (my ($name, $extension) = each %{ $meta->{provides} })
	{
		$must->("provides $name", $name =~ $term);
		$must->("provides $name: version", ($extension->{version} // '') =~ $semver);
		$must->("provides $name: file", length($extension->{file} // ''));
		$must->("provides $name: $_", /\A(?:abstract|docfile|file|version|x_.*)\z/i) for keys %$extension;
	}
	while (my ($phase, $relations) = each %{ $meta->{prereqs} // {} })
	{
		$must->("prereqs: $phase", $phase =~ /\A(?:configure|build|test|runtime|develop)\z/);
		while (my ($relation, $needs) = each %$relations)
		{
			$must->("prereqs: $relation", $relation =~ /\A(?:requires|recommends|suggests|conflicts)\z/);
			while (my ($name, $version) = each %$needs)
			{
				$must->("prereqs: $name", $name =~ $term);
				$must->("prereqs: $name: $_", $_ eq '0' || s/\A\s*(?:[<>]=?|[!=]=)\s*//r =~ $semver) for split /\s*,\s*/, $version;
			}
		}
	}
	$must->("tag $_", ref eq '' && /\A[^\/\\\x00-\x1f]{1,255}\z/) for @{ $meta->{tags} // [] };
	$must->('release_status', $_ =~ /\A(?:stable|testing|unstable)\z/) for grep { defined } $meta->{release_status};
	return join '; ', sort @faults;
}

my $text = content('META.json');
my $meta = decode_json($text);
is(faults($meta), '', 'META.json keeps the rules');

# the check finds what is wrong
my %broken = (
	'name' => sub { $_[0]{name} = 'with space' },
	'version' => sub { $_[0]{version} = '1.0' },
	'license' => sub { $_[0]{license} = 'PostgreSQL Licence' },
	'abstract is missing; abstract' => sub { delete $_[0]{abstract} },
	'provides' => sub { $_[0]{provides} = {} },
	'provides catmaid_history: file' => sub { delete $_[0]{provides}{catmaid_history}{file} },
	'prereqs: PostgreSQL: 13' => sub { $_[0]{prereqs}{runtime}{requires}{PostgreSQL} = '13' },
	'tag a/b' => sub { push @{ $_[0]{tags} }, 'a/b' },
	'homepage is no key' => sub { $_[0]{homepage} = 'x' });
for my $fault (sort keys %broken)
{
	my $copy = decode_json($text);
	$broken{$fault}->($copy);
	no warnings 'uninitialized';
	is(faults($copy), join('; ', sort split /; /, $fault), "found: $fault");
}

my ($default) = content('catmaid_history.control') =~ /^default_version = '([^']+)'/m;
my $provided = $meta->{provides}{catmaid_history};
ok(-f $provided->{$_}, "$_ $provided->{$_} is there") for qw(file docfile);
is($provided->{file}, "sql/catmaid_history--$default.sql", 'the install script is that of the default version');
is($provided->{version}, $meta->{version}, 'one version in META.json');
like("$meta->{version}.", qr/\A\Q$default.\E/, 'which is the control file\'s');
like(content('CHANGELOG.md'), qr/^## \[\Q$meta->{version}\E\]/m, 'the changelog knows it');
my $released = content('CHANGELOG.md') !~ /^## \[\Q$meta->{version}\E\] - unreleased/m;
is(($meta->{release_status} // 'stable') eq 'stable', $released, 'and both say whether it is released');
SKIP:
{
	skip 'no debian/ in this bundle', 1 unless -f 'debian/changelog';
	like(content('debian/changelog'), qr/\Acatmaid-history \(\Q$meta->{version}\E-\d+\)/, 'and so does the Debian package');
}

done_testing();
