# Code that owners put on their objects, and what everybody then does: the lists of
# FuzzCanary.pm.

package FuzzHooks;

use strict;
use warnings;
use Exporter 'import';
use FuzzWorld;

our @EXPORT = qw(hooks_setup hooks_for hooks_obstruct shapes commands applies);

# --- the code ------------------------------------------------------------------------

# Functions and types of each owner.
sub hooks_setup
{
	my (@owners) = @_;
	as('super')->do('GRANT CREATE ON SCHEMA ' . join(', ', @owners) . ' TO PUBLIC');
	for my $owner (@owners)
	{
		my $type = $owner eq 'fuzz_reader' ? 'reader' : 'type';
		as($owner)->do(<<"SQL");
CREATE FUNCTION $owner.note(tag text) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE
	restricted text := 'free';
	mischief text := pg_catalog.current_setting('fuzz.mischief', true);
BEGIN
	BEGIN
		EXECUTE 'UNLISTEN canary';
	EXCEPTION WHEN insufficient_privilege THEN restricted := 'restricted';
	END;
	RAISE NOTICE USING MESSAGE = pg_catalog.concat_ws('|', 'canary', tag, current_user, session_user, restricted);
	IF current_user = '$owner' AND mischief <> '' THEN
		BEGIN
			-- once is enough
			PERFORM pg_catalog.set_config('fuzz.mischief', '', false);
			EXECUTE mischief;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END IF;
	PERFORM pg_catalog.set_config('catmaid_history.on_drop_table', 'keep', false);
	PERFORM pg_catalog.set_config('search_path', 'vandal', false);
END \$\$;
CREATE TABLE $owner.referred (id int PRIMARY KEY);
CREATE FUNCTION $owner.f(tag text, i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$
BEGIN PERFORM $owner.note(tag); RETURN i; END \$\$;
CREATE FUNCTION $owner.v(tag text, i int) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN PERFORM $owner.note(tag); RETURN i; END \$\$;
CREATE FUNCTION $owner.t() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $owner.note(TG_ARGV[0]);
	IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
	RETURN NEW;
END \$\$;
CREATE TYPE $owner.mood AS ENUM ('1', '2', '3');
CREATE TYPE $owner.feel AS ENUM ('1', '2', '3');
CREATE TYPE $owner.pair AS (x int, y int);
CREATE FUNCTION $owner.mood_int($owner.mood) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN RETURN $owner.f('$type:cast', 1); END \$\$;
CREATE FUNCTION $owner.mood_feel($owner.mood) RETURNS $owner.feel LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN PERFORM $owner.f('$type:cast', 1); RETURN '1'; END \$\$;
CREATE FUNCTION $owner.pair_int($owner.pair) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN RETURN $owner.f('$type:cast', 1); END \$\$;
CREATE FUNCTION $owner.int_pair(int) RETURNS $owner.pair LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN PERFORM $owner.f('$type:cast', 1); RETURN ROW(1, 2)::$owner.pair; END \$\$;
CREATE FUNCTION $owner.mood_text($owner.mood) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN PERFORM $owner.f('$type:cast', 1); RETURN 'x'; END \$\$;
CREATE CAST ($owner.mood AS int) WITH FUNCTION $owner.mood_int AS ASSIGNMENT;
CREATE CAST ($owner.mood AS text) WITH FUNCTION $owner.mood_text AS ASSIGNMENT;
CREATE CAST ($owner.mood AS $owner.feel) WITH FUNCTION $owner.mood_feel AS IMPLICIT;
CREATE CAST ($owner.pair AS int) WITH FUNCTION $owner.pair_int AS ASSIGNMENT;
CREATE CAST (int AS $owner.pair) WITH FUNCTION $owner.int_pair AS ASSIGNMENT;
CREATE FUNCTION $owner.dist(int, int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN PERFORM $owner.f('$type:range', 1); RETURN (\$1 - \$2)::float8; END \$\$;
CREATE TYPE $owner.span AS RANGE (SUBTYPE = int, SUBTYPE_DIFF = $owner.dist);
CREATE DOMAIN $owner.dom AS int DEFAULT $owner.v('$type:domain default', 1)
	CHECK ($owner.f('$type:domain', 1) > 0) CHECK (VALUE > -1000 OR $owner.v('$type:domain', 1) > 0);
CREATE TYPE $owner.deep AS (x $owner.dom);
CREATE DOMAIN $owner.doms AS int[] CHECK ($owner.f('$type:domain', 1) > 0);
CREATE FUNCTION $owner.plus(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
\$\$ BEGIN RETURN $owner.f('$type:operator', \$1 + \$2); END \$\$;
CREATE OPERATOR $owner.+ (FUNCTION = $owner.plus, LEFTARG = int, RIGHTARG = int);
SQL
	}
	return;
}

# --- the hooks -----------------------------------------------------------------------

# kind => SQL, of a relation r whose owner o puts it there under the tag g.  The int
# column is i, any other c.
my %table_hooks = (
	'check' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK ($h{i} IS NOT NULL OR $h{o}.f('$h{g}', 1) > 0)" },
	'check of constants' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK ($h{o}.f('$h{g}', 1) > 0)" },
	'check not valid' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK ($h{c} IS NOT NULL OR $h{o}.f('$h{g}', 1) > 0) NOT VALID" },
	'default' => sub { my %h = @_; "ALTER TABLE $h{r} ALTER $h{i} SET DEFAULT $h{o}.v('$h{g}', 7)" },
	'default of a new column' => sub { my %h = @_; "ALTER TABLE $h{r} ADD COLUMN x_$h{n} int DEFAULT $h{o}.v('$h{g}', 7)" },
	'column of a domain' => sub { my %h = @_; "ALTER TABLE $h{r} ADD COLUMN x_$h{n} $h{o}.dom" },
	'generated' => sub { my %h = @_; "ALTER TABLE $h{r} ADD COLUMN x_$h{n} int GENERATED ALWAYS AS ($h{o}.f('$h{g}', 1) + coalesce($h{i}, 0)) STORED" },
	'index expression' => sub { my %h = @_; "CREATE INDEX ON $h{r} (($h{i} + $h{o}.f('$h{g}', 1)))" },
	'index predicate' => sub { my %h = @_; "CREATE INDEX ON $h{r} ($h{c}) WHERE $h{i} > $h{o}.f('$h{g}', 1)" },
	'unique index' => sub { my %h = @_; "CREATE UNIQUE INDEX ON $h{r} (($h{i} + $h{o}.f('$h{g}', 1)), ctid) " =~ s/, ctid//r },
	'range index' => sub { my %h = @_; "CREATE INDEX ON $h{r} USING gist (($h{o}.span($h{i}, $h{i} + 5)))" },
	'exclusion' => sub { my %h = @_; "ALTER TABLE $h{r} ADD EXCLUDE USING gist ((int4range($h{i}, $h{i} + $h{o}.f('$h{g}', 0))) WITH &&)" },
	'deferred exclusion' => sub { my %h = @_; "ALTER TABLE $h{r} ADD EXCLUDE USING gist ((int4range(coalesce($h{i}, 0)::int, coalesce($h{i}, 0)::int + $h{o}.f('$h{g}', 0))) WITH &&) WHERE ($h{o}.f('$h{g}', 1) > 0) DEFERRABLE INITIALLY DEFERRED" },
	'deferred foreign key' => sub { my %h = @_; "ALTER TABLE $h{r} ADD FOREIGN KEY ($h{i}) REFERENCES $h{o}.referred ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID" },
	'deferred trigger with a condition' => sub { my %h = @_; "CREATE CONSTRAINT TRIGGER x_$h{n} AFTER INSERT OR UPDATE ON $h{r} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ($h{o}.f('$h{g}', 1) > 0 OR NEW.$h{i} > $h{o}.v('$h{g}', 1)) EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'statistics' => sub { my %h = @_; "CREATE STATISTICS $h{s}.x_$h{n}_$h{u} ON ($h{i} + $h{o}.f('$h{g}', 1)), ($h{i} * 2) FROM $h{r}" },
	'policy' => sub { my %h = @_; "CREATE POLICY x_$h{n} ON $h{r} USING ($h{o}.f('$h{g}', 1) > 0) WITH CHECK ($h{i} IS NULL OR $h{o}.v('$h{g}', 1) > 0)" },
	'forced policy' => sub { my %h = @_; "CREATE POLICY x_$h{n} ON $h{r} USING ($h{o}.f('$h{g}', 1) > 0); ALTER TABLE $h{r} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" },
	'row trigger' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} " . pick('BEFORE', 'AFTER') . " INSERT OR UPDATE OR DELETE ON $h{r} FOR EACH ROW EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'trigger condition' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} " . pick('BEFORE', 'AFTER') . " INSERT OR UPDATE ON $h{r} FOR EACH ROW WHEN ($h{o}.f('$h{g}', 1) > 0 AND NEW.$h{i} > $h{o}.f('$h{g}', 1)) EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'statement trigger' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} " . pick('BEFORE', 'AFTER') . " INSERT OR UPDATE OR DELETE OR TRUNCATE ON $h{r} FOR EACH STATEMENT EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'deferred trigger' => sub { my %h = @_; "CREATE CONSTRAINT TRIGGER x_$h{n} AFTER INSERT OR UPDATE OR DELETE ON $h{r} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'always trigger' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} AFTER INSERT OR UPDATE OR DELETE ON $h{r} FOR EACH ROW EXECUTE FUNCTION $h{o}.t('$h{g}'); ALTER TABLE $h{r} ENABLE ALWAYS TRIGGER x_$h{n}" },
	'rule' => sub { my %h = @_; "CREATE RULE x_$h{n} AS ON " . pick('INSERT', 'UPDATE', 'DELETE') . " TO $h{r} WHERE $h{o}.f('$h{g}', 1) > 0 DO ALSO SELECT $h{o}.v('$h{g}', 1)" },
	'instead rule' => sub { my %h = @_; "CREATE RULE x_$h{n} AS ON " . pick('INSERT', 'UPDATE') . " TO $h{r} WHERE $h{o}.f('$h{g}', 0) > 0 DO INSTEAD SELECT $h{o}.v('$h{g}', 1)" },
	'domain constraint through a check' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK ('1'::$h{o}.dom > 0 OR '{1}'::$h{o}.doms IS NULL)" },
	'operator in an index' => sub { my %h = @_; "CREATE INDEX ON $h{r} (($h{i} OPERATOR($h{o}.+) 1)) WHERE (1 OPERATOR($h{o}.+) 1) > 0" },
	'cast in a check' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK (CAST('2'::$h{o}.mood AS int) > 0)" },
	'array of a domain in a check' => sub { my %h = @_; "ALTER TABLE $h{r} ADD CHECK ('{1}'::$h{o}.dom[] IS NOT NULL)" },
	'array of a domain in an index' => sub { my %h = @_; "CREATE INDEX ON $h{r} ((($h{i} + ('{1}'::$h{o}.dom[])[1]))) WHERE '{1}'::$h{o}.dom[] IS NOT NULL" },
	'array of a domain in a trigger' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} BEFORE UPDATE ON $h{r} FOR EACH ROW WHEN (NEW.$h{i} > ('{1}'::$h{o}.dom[])[1]) EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'array of a domain in a default' => sub { my %h = @_; "ALTER TABLE $h{r} ALTER $h{i} SET DEFAULT ('{1}'::$h{o}.dom[])[1]" },
	'array of a domain in statistics' => sub { my %h = @_; "CREATE STATISTICS $h{s}.x_$h{n}_$h{u} ON ($h{i} + ('{1}'::$h{o}.dom[])[1]), ($h{i} * 2) FROM $h{r}" },
	'array of a domain in a policy' => sub { my %h = @_; "CREATE POLICY x_$h{n} ON $h{r} USING ($h{i} > ('{1}'::$h{o}.dom[])[1] OR true)" },
	'record with a domain' => sub { my %h = @_; "ALTER TABLE $h{r} ADD COLUMN x_$h{n} $h{o}.deep DEFAULT '(1)'" },
	'array of a domain' => sub { my %h = @_; "ALTER TABLE $h{r} ADD COLUMN x_$h{n} $h{o}.dom[] DEFAULT '{1}'" },
	'cluster' => sub { my %h = @_; "CREATE INDEX x_$h{n}_$h{u} ON $h{r} (($h{i} + $h{o}.f('$h{g}', 1))); ALTER TABLE $h{r} CLUSTER ON x_$h{n}_$h{u}" },
	'replica identity' => sub { my %h = @_; "ALTER TABLE $h{r} REPLICA IDENTITY FULL" },
	'view upon it' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} WITH (security_barrier) AS SELECT *, $h{o}.f('$h{g}', 1) AS xx FROM $h{r} WHERE $h{o}.f('$h{g}', 1) > 0 AND '1'::$h{o}.dom > 0" },
	'rows of another table' => sub { my %h = @_; "CREATE TABLE $h{s}.x_$h{u}_$h{n} (x $h{r}, CHECK ($h{o}.f('$h{g}', 1) > 0))" },
	'foreign key' => sub { my %h = @_; "ALTER TABLE $h{r} ADD FOREIGN KEY ($h{i}) REFERENCES $h{o}.referred ON DELETE CASCADE NOT VALID" },
	'child' => sub { my %h = @_; "CREATE TABLE $h{s}.c_$h{u}_$h{n} (CHECK ($h{o}.f('$h{g}', 1) > 0)) INHERITS ($h{r})" },
	'child of itself' => sub { my %h = @_; "CREATE TABLE $h{s}.p_$h{u}_$h{n} (LIKE $h{r}, CONSTRAINT x CHECK ($h{o}.f('$h{g}', 1) > 0)); ALTER TABLE $h{s}.p_$h{u}_$h{n} ALTER $h{i} SET DEFAULT $h{o}.v('$h{g}', 1); ALTER TABLE $h{s}.p_$h{u}_$h{n} ADD CHECK ($h{o}.f('$h{g}', 1) > 0) NO INHERIT; ALTER TABLE $h{r} ADD CONSTRAINT x CHECK ($h{o}.f('$h{g}', 1) > 0); ALTER TABLE $h{r} INHERIT $h{s}.p_$h{u}_$h{n}" },
);
my %view_hooks = (
	'view default' => sub { my %h = @_; "ALTER VIEW $h{r} ALTER $h{i} SET DEFAULT $h{o}.v('$h{g}', 7)" },
	'view upon it' => $table_hooks{'view upon it'},
	'view with a domain constant' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT $h{i}, '1'::$h{o}.dom AS xx, '{1}'::$h{o}.doms AS xxx, CAST('2'::$h{o}.mood AS int) AS y FROM $h{r}" },
	'instead trigger' => sub { my %h = @_; "CREATE TRIGGER x_$h{n} INSTEAD OF INSERT OR UPDATE OR DELETE ON $h{r} FOR EACH ROW EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'rule' => sub { my %h = @_; "CREATE RULE x_$h{n} AS ON INSERT TO $h{r} WHERE $h{o}.f('$h{g}', 1) > 0 DO INSTEAD SELECT $h{o}.v('$h{g}', 1)" },
	'array of a domain in a view' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT id, '{1}'::$h{o}.dom[] AS xx, '(1)'::$h{o}.deep AS y FROM $h{r}" },
	'array of a domain in a view default' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT id, $h{i} FROM $h{r}; ALTER VIEW $h{o}.v_$h{u}_$h{n} ALTER $h{i} SET DEFAULT ('{1}'::$h{o}.dom[])[1]" },
	'trigger on a view upon it' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT id, $h{i} FROM $h{r}; CREATE TRIGGER x INSTEAD OF UPDATE ON $h{o}.v_$h{u}_$h{n} FOR EACH ROW EXECUTE FUNCTION $h{o}.t('$h{g}')" },
	'materialized view upon it' => sub { my %h = @_; "CREATE MATERIALIZED VIEW $h{o}.v_$h{u}_$h{n} AS SELECT $h{i}, $h{o}.f('$h{g}', 1) AS xx FROM $h{r}" },
	'view upon a view' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT $h{i} FROM $h{r}; CREATE VIEW $h{o}.w_$h{u}_$h{n} AS SELECT *, $h{o}.f('$h{g}', 1) AS xx, '1'::$h{o}.dom AS xxx FROM $h{o}.v_$h{u}_$h{n}" },
	'view default of a domain' => sub { my %h = @_; "CREATE VIEW $h{o}.v_$h{u}_$h{n} AS SELECT $h{i} FROM $h{r}; ALTER VIEW $h{o}.v_$h{u}_$h{n} ALTER $h{i} SET DEFAULT '1'::$h{o}.dom" },
);

# These make much impossible, and so hide the others.
my %in_the_way = map { ($_ => 1) } 'unique index', 'exclusion', 'instead rule', 'deferred foreign key', 'rule', 'view upon it', 'rows of another table', 'foreign key', 'child', 'child of itself', 'materialized view upon it',
	'view upon a view', 'view default of a domain', 'view with a domain constant', 'forced policy';

# --- the tables ------------------------------------------------------------------------

my %shapes = (
	types => { live => 't', types => 1, make => sub { my ($s) = @_;
		[ 'fuzz_a', "CREATE TYPE $s.kind AS ENUM ('1', '2'); CREATE DOMAIN $s.kd AS int CHECK (fuzz_a.f('type:domain', 1) > 0 AND fuzz_a.v('type:domain', VALUE) > 0); CREATE TYPE $s.kc AS (x $s.kd, y $s.kind)",
			"CREATE TYPE $s.kr AS RANGE (SUBTYPE = $s.kd); CREATE TABLE $s.rows (x $s.kd, y int)",
			"CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, k $s.kind DEFAULT '1', d $s.kd DEFAULT 1, kc $s.kc DEFAULT '(1,1)', ka $s.kd[] DEFAULT '{1}', kr $s.kr DEFAULT '[1,2)', w $s.rows DEFAULT '(1,1)')" ] } },
	plain => { live => 't', many => 1, make => sub { my ($s) = @_; [ 'fuzz_a', "CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, d fuzz_a.dom, p fuzz_a.pair, sp fuzz_a.span, edited timestamptz DEFAULT now(), txid bigint)" ] } },
	timed => { live => 't', many => 0, timed => 1, make => sub { my ($s) = @_; [ 'fuzz_a', "CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, d fuzz_a.dom, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0)" ] } },
	composite => { live => 't', make => sub { my ($s) = @_; [ 'fuzz_a', "CREATE TABLE $s.t (id int, j fuzz_a.dom, i int, c text, m fuzz_a.mood, PRIMARY KEY (j, id))" ] } },
	generated => { live => 't', make => sub { my ($s) = @_; [ 'fuzz_a', "CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, g int GENERATED ALWAYS AS (fuzz_a.f('live:generated', 1) + i) STORED)" ] } },
	hierarchy => { live => 't', parent => 'p', make => sub { my ($s) = @_;
		[ 'fuzz_b', "CREATE TABLE $s.p (id int PRIMARY KEY, i int, c text, m fuzz_a.mood); GRANT ALL ON $s.p TO fuzz_a" ],
		[ 'fuzz_b', "CREATE TABLE $s.t (x int, PRIMARY KEY (id)) INHERITS ($s.p)" ], [ 'super', "ALTER TABLE $s.t OWNER TO fuzz_a" ] } },
	family => { live => 't', parent => 'p', make => sub { my ($s) = @_;
		[ 'fuzz_a', "CREATE TABLE $s.p (id int PRIMARY KEY, i int, c text, m fuzz_a.mood)" ],
		[ 'fuzz_a', "CREATE TABLE $s.t (x int, PRIMARY KEY (id)) INHERITS ($s.p)" ] } },
	partitions => { live => 't', part => 't_1', part2 => 't_2', make => sub { my ($s) = @_;
		[ 'fuzz_a', "CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0) PARTITION BY RANGE (id)" ],
		[ 'fuzz_a', "CREATE TABLE $s.t_2 PARTITION OF $s.t FOR VALUES FROM (10) TO (100)" ],
		[ 'super', "ALTER TABLE $s.t_2 OWNER TO fuzz_part" ] }, timed => 1, then => sub { my ($s) = @_;
		# the key of a sub-partitioned partition: not with a primary key
		[ 'fuzz_a', "SET catmaid_history.follow_ddl = off; ALTER TABLE $s.t DROP CONSTRAINT t_pkey", "CREATE TABLE $s.t_1 PARTITION OF $s.t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE ((id + fuzz_a.f('part:key', 1)))",
			"CREATE TABLE $s.t_1_1 PARTITION OF $s.t_1 FOR VALUES FROM (0) TO (1000)", "INSERT INTO $s.t (id, i, c) VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 30, 'c')" ], [ 'super', "ALTER TABLE $s.t_1 OWNER TO fuzz_part" ] } },
	parted => { live => 't', part2 => 't_2', make => sub { my ($s) = @_;
		[ 'fuzz_a', "CREATE TABLE $s.t (id int PRIMARY KEY, i int, c text, m fuzz_a.mood, edited timestamptz DEFAULT now(), txid bigint DEFAULT 0) PARTITION BY RANGE (id)" ],
		[ 'fuzz_a', "CREATE TABLE $s.t_1 PARTITION OF $s.t FOR VALUES FROM (0) TO (10)" ],
		[ 'fuzz_a', "CREATE TABLE $s.t_2 PARTITION OF $s.t FOR VALUES FROM (10) TO (100)" ],
		[ 'super', "ALTER TABLE $s.t_2 OWNER TO fuzz_part" ] }, timed => 1 },
);

# --- the commands ------------------------------------------------------------------------

# Of t in schema s.
my @managing = map({ "SELECT $_" } ("create_history_table('S.t'TIMED)") x 4, "drop_history_table('S.t')", "drop_history_table_keep_data('S.t')",
	"disable_history_tracking_for_table('S.t')", ("enable_history_tracking_for_table('S.t')") x 3,
	"reload_history_tracking_for_table('S.t')", "create_history_view_for_table('S.t')", "drop_history_view_for_table('S.t')",
	"sync_tracking_table('S.t', 'S.t__tracking')", "initialize_new_history_table('S.t', 'S.t__history', 'id')",
	"truncate_history_table('S.t__history')", ("repair_history('S.t')") x 3, "widen_history_table('S.t')",
	"count(*) FROM check_history('S.t')", "create_history_table('S.p')", "repair_history('S.p')", 'enable_history_tracking()',
	'disable_history_tracking()', 'reload_history_tracking()', 'repair_history()', 'truncate_all_history_tables()',
	"count(*) FROM check_history()");

my @ddl = (
	"ALTER TABLE S.t ADD COLUMN x# int", "ALTER TABLE S.t ADD COLUMN x# text DEFAULT 'x'", "ALTER TABLE S.t ADD COLUMN x# fuzz_a.dom",
	"ALTER TABLE S.t ADD COLUMN x# fuzz_a.dom NOT NULL DEFAULT 3", "ALTER TABLE S.t ADD COLUMN x# fuzz_a.mood", "ALTER TABLE S.t ADD COLUMN i_1 int",
	"ALTER TABLE S.t ADD COLUMN x# int GENERATED ALWAYS AS (fuzz_a.f('live:generated', 1)) STORED",
	"ALTER TABLE S.t DROP COLUMN c", "ALTER TABLE S.t DROP COLUMN i", "ALTER TABLE S.t DROP COLUMN i CASCADE", "ALTER TABLE S.t DROP COLUMN m",
	"ALTER TABLE S.t RENAME COLUMN i TO ii; ALTER TABLE S.t RENAME COLUMN ii TO i", "ALTER TABLE S.t RENAME COLUMN c TO cc",
	"ALTER TABLE S.t RENAME COLUMN edited TO modified; ALTER TABLE S.t RENAME COLUMN modified TO edited",
	"ALTER TABLE S.t RENAME COLUMN id TO key; ALTER TABLE S.t RENAME COLUMN key TO id",
	"ALTER TABLE S.t ALTER i TYPE bigint", "ALTER TABLE S.t ALTER i TYPE int", "ALTER TABLE S.t ALTER i TYPE text", "ALTER TABLE S.t ALTER i TYPE numeric(6,2)",
	"ALTER TABLE S.t ALTER i TYPE smallint", "ALTER TABLE S.t ALTER i TYPE int USING i OPERATOR(fuzz_a.+) 1", "ALTER TABLE S.t ALTER i TYPE fuzz_a.dom",
	"ALTER TABLE S.t ALTER m TYPE int", "ALTER TABLE S.t ALTER m TYPE fuzz_a.feel", "ALTER TABLE S.t ALTER m TYPE text", "ALTER TABLE S.t ALTER m TYPE int USING m::int",
	"ALTER TABLE S.t ALTER c TYPE varchar(100)", "ALTER TABLE S.t ALTER c TYPE int USING length(c)", "ALTER TABLE S.t ALTER c TYPE varchar(2) USING left(c, 2)",
	"ALTER TABLE S.t ALTER d TYPE int", "ALTER TABLE S.t ALTER p TYPE int", "ALTER TABLE S.t ALTER p TYPE int USING p::int", "ALTER TABLE S.t ALTER i TYPE fuzz_a.pair",
	"ALTER TABLE S.t ALTER id TYPE bigint", "ALTER TABLE S.t ALTER id TYPE int", "ALTER TABLE S.t ALTER id TYPE text", "ALTER TABLE S.t ALTER id TYPE fuzz_a.dom",
	"ALTER TABLE S.t ALTER i TYPE bigint, DROP COLUMN c, ADD COLUMN x# int", "ALTER TABLE S.p ALTER i TYPE bigint", "ALTER TABLE S.p ALTER i TYPE text", "ALTER TABLE S.p ADD COLUMN x# int DEFAULT 3",
	"ALTER TABLE S.p DROP COLUMN c", "ALTER TABLE S.p ALTER m TYPE int", "ALTER TABLE S.p ALTER m TYPE fuzz_a.feel", "ALTER TABLE S.p ADD COLUMN x# fuzz_b.dom", "ALTER TABLE S.t ALTER i SET NOT NULL",
	"ALTER TABLE S.t ENABLE ROW LEVEL SECURITY", "ALTER TABLE S.t FORCE ROW LEVEL SECURITY", "ALTER TABLE S.t DISABLE ROW LEVEL SECURITY",
	"ALTER TABLE S.t DROP CONSTRAINT t_pkey", "ALTER TABLE S.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (id)", "ALTER TABLE S.t ADD PRIMARY KEY (id)", "ALTER TABLE S.t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (i, id)",
	"ALTER TABLE S.t RENAME TO tt; ALTER TABLE S.tt RENAME TO t", "ALTER TABLE S.t SET SCHEMA Z; ALTER TABLE Z.t SET SCHEMA S",
	"ALTER TABLE S.t OWNER TO fuzz_b", "ALTER TABLE S.t OWNER TO fuzz_a", "ALTER TABLE S.t OWNER TO SUPER", "ALTER TABLE S.p OWNER TO fuzz_a", "ALTER TABLE S.p OWNER TO fuzz_b",
	"ALTER TABLE S.t NO INHERIT S.p", "ALTER TABLE S.t INHERIT S.p", "ALTER TABLE S.t DETACH PARTITION S.t_2", "ALTER TABLE S.t ATTACH PARTITION S.t_2 FOR VALUES FROM (10) TO (100)",
	"ALTER TABLE S.t DETACH PARTITION S.t_1", "ALTER TABLE S.t ATTACH PARTITION S.t_1 FOR VALUES FROM (0) TO (10)", "CREATE TABLE S.t_# PARTITION OF S.t FOR VALUES FROM (#000) TO (#100)",
	"CREATE TABLE S.t_# PARTITION OF S.t FOR VALUES FROM (#000) TO (#100) PARTITION BY RANGE ((id + fuzz_a.f('part:key', 1)))", "DROP TABLE S.t_2", "CREATE TABLE S.u# () INHERITS (S.t)", "CREATE TABLE S.u# (PRIMARY KEY (id)) INHERITS (S.p)",
	"CREATE INDEX ON S.t (i)", "ALTER TABLE S.t SET UNLOGGED", "ALTER TABLE S.t SET LOGGED", "ALTER TABLE S.t SET (fillfactor = 70)",
	"TRUNCATE S.t", "DROP TABLE S.t", "DROP TABLE S.t CASCADE", "DROP TABLE S.p CASCADE", "ALTER TABLE S.t DISABLE TRIGGER USER; ALTER TABLE S.t ENABLE TRIGGER USER",
	"ALTER TYPE fuzz_a.mood RENAME TO moo; ALTER TYPE fuzz_a.moo RENAME TO mood", "ALTER TYPE fuzz_a.pair ADD ATTRIBUTE z# int", "CREATE TABLE S.w# AS SELECT * FROM S.t", "REASSIGN OWNED BY fuzz_a TO fuzz_b",
	(map { ($_, $_) } "DROP TYPE S.kind CASCADE", "DROP DOMAIN S.kd CASCADE", "DROP TYPE S.kc CASCADE", "DROP TYPE S.kr CASCADE", "ALTER TYPE S.kc ADD ATTRIBUTE z# int", "ALTER TYPE S.kc DROP ATTRIBUTE x", "ALTER TYPE S.kc ALTER ATTRIBUTE x TYPE int", "ALTER TABLE S.rows ADD COLUMN z# int", "ALTER TABLE S.rows ALTER y TYPE bigint", "DROP TABLE S.rows CASCADE",
		"ALTER DOMAIN S.kd ADD CHECK (fuzz_a.f('type:domain', 2) > 0)", "ALTER DOMAIN S.kd SET DEFAULT 3", "ALTER TYPE S.kind ADD VALUE 'v#'", "ALTER TYPE S.kind OWNER TO fuzz_b", "ALTER TABLE S.t ALTER k TYPE text", "ALTER TABLE S.t ALTER k TYPE int USING 1", "ALTER TABLE S.t ALTER d TYPE text", "ALTER TABLE S.t ALTER ka TYPE int[]", "ALTER TABLE S.t ALTER kc TYPE text", "ALTER TABLE S.t DROP COLUMN kc", "ALTER TABLE S.t DROP COLUMN k",
		"ALTER TABLE S.t DROP COLUMN w", "ALTER TABLE S.t ALTER kr TYPE int4range USING NULL"),
	"COMMENT ON TABLE S.t IS 'x'", "ANALYZE S.t", "CREATE VIEW S.v# AS SELECT * FROM S.t", "GRANT SELECT ON S.t TO fuzz_reader", "VACUUM FULL S.t", "CLUSTER S.t", "REINDEX TABLE S.t");

# What an owner does with following off, so that the functions have something to mend.
my @damage = ("ALTER TABLE S.t__tracking ALTER txid DROP NOT NULL", "ALTER TABLE S.t__tracking ALTER edition_time DROP NOT NULL", "ALTER TABLE S.t__history ALTER sys_period DROP NOT NULL",
	map({ "DROP VIEW IF EXISTS S.t__with_history CASCADE; ALTER TABLE S.t__history $_" } "DROP COLUMN i CASCADE", "DROP COLUMN c CASCADE", "ALTER i TYPE smallint", "ALTER c TYPE varchar(3)", "ALTER i TYPE text", "DROP COLUMN m CASCADE", "ALTER id TYPE bigint"),
	"DO \$\$BEGIN EXECUTE (SELECT string_agg('DROP INDEX ' || indexrelid::regclass, ';') FROM pg_index WHERE indrelid = 'S.t__history'::regclass AND indexprs IS NULL AND indpred IS NULL); END\$\$",
	"DO \$\$BEGIN EXECUTE (SELECT 'ALTER TABLE S.t__tracking DROP CONSTRAINT ' || conname FROM pg_constraint WHERE contype = 'p' AND conrelid = 'S.t__tracking'::regclass); END\$\$",
	"ALTER TABLE S.t__history RENAME TO hh", "ALTER TABLE S.t__tracking RENAME TO kk", "ALTER TABLE S.t__history SET SCHEMA Z", "ALTER TABLE S.t RENAME TO tt; ALTER TABLE S.tt RENAME COLUMN i TO ii; ALTER TABLE S.tt RENAME TO t",
	"DROP VIEW S.t__with_history", "DROP VIEW S.t__with_history CASCADE", "ALTER VIEW S.t__with_history RENAME TO vv", "ALTER TABLE S.t DISABLE TRIGGER USER", "ALTER TABLE S.t ENABLE TRIGGER USER",
	"DROP TRIGGER on_change_history_trackingtable ON S.t", "DROP TRIGGER on_change_update_tracking_table ON S.t", "DROP TRIGGER on_change_update_history_regular ON S.t", "DROP TRIGGER on_truncate_handle_live_table_truncate ON S.t",
	"ALTER TABLE S.t__history NO INHERIT S.p__history", "DELETE FROM S.t__tracking WHERE txid > 0", "INSERT INTO S.t__tracking VALUES (99, 1, now())", "ALTER TABLE S.t ADD COLUMN x# int", "ALTER TABLE S.t ADD COLUMN x# fuzz_a.dom",
	"ALTER TABLE S.t ALTER i TYPE bigint", "ALTER TABLE S.t ALTER c TYPE varchar(50)", "ALTER TABLE S.t ALTER i TYPE text", "ALTER TABLE S.t RENAME COLUMN i TO ii", "ALTER TABLE S.t RENAME COLUMN ii TO i", "ALTER TABLE S.t ALTER m TYPE int",
	"ALTER TABLE S.t DROP CONSTRAINT t_pkey", "ALTER TABLE S.t DROP CONSTRAINT t_pkey CASCADE, ADD PRIMARY KEY (id)", "ALTER TABLE S.t ALTER id TYPE bigint", "ALTER TABLE S.t DROP COLUMN c", "DROP TABLE S.t__tracking", "DROP TABLE S.t__tracking CASCADE",
	"ALTER TABLE S.t__history SET UNLOGGED", "ALTER TABLE S.t__tracking SET UNLOGGED", "ALTER TABLE S.t__history REPLICA IDENTITY NOTHING", "ALTER TABLE S.t__history DISABLE ROW LEVEL SECURITY", "ALTER TABLE S.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
	"ALTER TABLE S.t__history ALTER id TYPE bigint", "ALTER TABLE S.t__tracking ALTER id TYPE text", "ALTER TABLE S.t__tracking ALTER live_pk TYPE text", "ALTER TABLE S.t__tracking RENAME COLUMN txid TO tx", "ALTER TABLE S.t__history OWNER TO fuzz_b", "ALTER TABLE S.t__tracking OWNER TO fuzz_b",
	"ALTER TABLE S.t__history ADD COLUMN xx int NOT NULL DEFAULT fuzz_a.v('history:default', 1)", "UPDATE S.t__history SET sys_period = 'empty'", "ALTER TABLE S.t__history ADD COLUMN i_1 int DEFAULT fuzz_a.v('history:default', 1)",
	"ALTER TABLE S.t DROP CONSTRAINT t_pkey; CREATE TABLE S.t_3 PARTITION OF S.t FOR VALUES FROM (100) TO (200) PARTITION BY RANGE ((id + fuzz_a.f('live:key', 1)))",
	"ALTER TABLE S.t DETACH PARTITION S.t_2", "ALTER TABLE S.t ATTACH PARTITION S.t_2 FOR VALUES FROM (10) TO (100)", "ALTER TABLE S.t NO INHERIT S.p", "ALTER TABLE S.t INHERIT S.p");

# What an owner's code may do in the middle of it.
my @mischief = ("ALTER TABLE S.t__history ADD COLUMN z# int", "DROP TABLE S.t__history CASCADE", "ALTER TABLE S.t__tracking RENAME TO zz#", "DROP VIEW S.t__with_history CASCADE", "ALTER TABLE S.t__history RENAME COLUMN i TO z#", "ALTER TABLE S.t ADD COLUMN z# int", "DROP TABLE S.t CASCADE",
	"SELECT public.drop_history_table('S.t')", "SELECT public.repair_history('S.t')", "SELECT public.create_history_table('S.t')", "SELECT public.disable_history_tracking_for_table('S.t')", "UPDATE S.t SET i = i + 1", "ALTER TABLE S.t__history OWNER TO fuzz_b", "DELETE FROM S.t__history", "ALTER TABLE S.t__tracking ALTER txid TYPE text", "DROP TABLE S.t__tracking CASCADE",
	"TRUNCATE S.t", "TRUNCATE S.t__history", "ALTER TABLE S.t__history SET SCHEMA Z", "ALTER TABLE S.t RENAME COLUMN i TO z#", "ALTER TABLE S.t ALTER c TYPE int USING 1", "DROP INDEX S.t__history_sys_period", "ALTER TABLE S.t DROP CONSTRAINT t_pkey", "ALTER TABLE S.t__history ALTER id TYPE bigint");

my @dml = ("INSERT INTO S.t (id, i, c) VALUES (#, #, 'n')", "UPDATE S.t SET i = i + 1", "UPDATE S.t SET c = 'y' WHERE id = 1", "DELETE FROM S.t WHERE id = 2", "UPDATE S.t SET id = id + 1 WHERE id = 3",
	"INSERT INTO S.t (id, i, c) VALUES (1, 1, 'n') ON CONFLICT DO NOTHING", "UPDATE S.p SET i = i + 1", "DELETE FROM S.p WHERE id = 1", "UPDATE S.t_2 SET i = i + 1", "TRUNCATE S.t", "MERGE INTO S.t USING (SELECT 1 AS k) k ON id = k WHEN MATCHED THEN UPDATE SET i = i + 1",
	"UPDATE S.t SET i = i + 1; DELETE FROM S.t WHERE id = 11; INSERT INTO S.t (id, i, c) VALUES (11, 2, 'n')", "COPY S.t (id, i, c) FROM stdin");

# Has the shape what the template is about?
sub applies
{
	my ($template, $shape) = @_;
	return 0 if $template =~ /\bS\.p\b|p__/ && !$shape->{parent};
	return 0 if $template =~ /PARTITION|t_[12]\b/ && !$shape->{part2};
	return 0 if $template =~ /\bS\.(?:k[a-z]+|rows)\b|\bk[acr]?\b|COLUMN w\b/ && !$shape->{types};
	return 0 if $template =~ /tracking/ && $shape->{timed};
	return 0 if $template =~ /edited|regular/ && !$shape->{timed};
	return 0 if $template =~ /\b[dp]\b TYPE/ && !$shape->{many};
	return 1;
}

# kind => sub that makes SQL, for a relation of this relkind.
sub hooks_for { my ($relkind) = @_; return $relkind eq 'v' ? \%view_hooks : \%table_hooks }

sub hooks_obstruct { my ($kind) = @_; return $in_the_way{$kind} }

sub shapes { return \%shapes }

# after damage
my @mending = (("SELECT repair_history('S.t')") x 4, ("SELECT enable_history_tracking_for_table('S.t')") x 2, "SELECT reload_history_tracking_for_table('S.t')", "SELECT widen_history_table('S.t')", 'SELECT repair_history()', "SELECT create_history_table('S.t'TIMED)",
	"SELECT initialize_new_history_table('S.t', 'S.t__history', 'id')", "SELECT create_history_view_for_table('S.t')");
# what changes types takes most ways
push @ddl, (grep { /TYPE/ } @ddl) x 2;

my %commands = (mending => \@mending, managing => \@managing, ddl => \@ddl, damage => \@damage, mischief => \@mischief, dml => \@dml);

# One of a class that applies to the shape.
sub commands
{
	my ($class, $shape) = @_;
	my $timed = $shape->{timed} ? q{, 'edited', 'txid'} : '';
	return pick(grep { applies($_, $shape) } @{ $commands{$class} }) =~ s/TIMED/$timed/r;
}

1;
