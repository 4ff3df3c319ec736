# Random DDL on tracked tables, and what history has to make of it (SPEC section 5):
# the steps, with their weights.

package RandomDDL;

use strict;
use warnings;
use Exporter 'import';
use RandomColumns qw(columns_step add_column drop_column alter_type rename_column);
use RandomTables;
our @EXPORT_OK = qw(ddl_steps);

sub ddl_steps
{
	return (
		ddl_add => [ 5, sub { columns_step(@_, \&add_column) } ],
		ddl_drop => [ 4, sub { columns_step(@_, \&drop_column) } ],
		ddl_type => [ 7, sub { columns_step(@_, \&alter_type) } ],
		ddl_several => [ 3, sub { columns_step(@_, \&add_column, \&alter_type, \&drop_column) } ],
		ddl_rename_column => [ 4, \&rename_column ],
		ddl_nothing => [ 3, \&RandomTables::nothing ],
		ddl_rename_table => [ 2, \&RandomTables::rename_table ],
		ddl_schema => [ 2, \&RandomTables::set_schema ],
		ddl_owner => [ 2, \&RandomTables::owner_to ],
		ddl_drop_table => [ 1, \&RandomTables::drop_table ],
		ddl_key => [ 1, \&RandomTables::replace_key ],
		ddl_key_type => [ 1, \&RandomTables::key_type ],
		ddl_refused => [ 3, \&RandomTables::refused ],
		ddl_inherit => [ 1.5, \&RandomTables::inherit ],
		ddl_partition => [ 2, \&RandomTables::partitions ],
	);
}

1;
