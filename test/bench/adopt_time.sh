#!/bin/bash
# How long adoption of a database of the older implementation takes, and what that
# grows with.
#
# Three series: rows of history (one table with a time column, one with a tracking
# table, half of the rows in each, 1,000 live rows each); number of tables (1,000
# versions and 100 live rows each); live rows of a table with a tracking table.  Each
# number is the median over ROUNDS of CREATE EXTENSION ... VERSION 'unpackaged' and
# ALTER EXTENSION ... UPDATE in one transaction, as the client sees it, rolled back so
# that the next round finds the same.  That no history table was written again is
# checked each time.
#
#   ROUNDS     adoptions for each number, 3 unless told
#   HISTORIES  rows of history, "10000 100000 1000000 10000000" unless told
#   TABLES     numbers of tables, "1 10 30 100" unless told
#   LIVES      live rows, "10000 100000 1000000" unless told

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/private_server.sh"
rounds=${ROUNDS:-3}
lib=$here/../pgtap/lib

in_db() { "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$home" -U postgres -d "$@"; }

cat >"$home/adopt.sql" <<'SQL'
SET client_min_messages = error;
CREATE VIEW pg_temp.files AS SELECT string_agg(oid::regclass || ' ' || pg_relation_filenode(oid), ',' ORDER BY oid) AS files
	FROM pg_class WHERE relname LIKE '%history' AND relkind = 'r';
SELECT files AS before FROM pg_temp.files \gset
BEGIN;
CREATE EXTENSION catmaid_history VERSION 'unpackaged';
ALTER EXTENSION catmaid_history UPDATE;
SELECT 1 / (files = :'before')::int AS "a history table was not written again" FROM pg_temp.files;
ROLLBACK;
SQL

# A database of the older implementation, from the SQL on standard input.
make_older() {
	in_db postgres -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS older' -c 'CREATE DATABASE older'
	{ cat "$lib/old_implementation.sql"; cat; } | in_db older >/dev/null
	in_db older -c 'VACUUM ANALYZE' -c 'CHECKPOINT'
}

# The median time to adopt it.
adopt() {
	local round begin end
	for ((round = 0; round < rounds; round++)); do
		begin=$(date +%s%N)
		in_db older -f "$home/adopt.sql" >/dev/null
		end=$(date +%s%N)
		echo $(((end - begin) / 1000000))
	done | median
}

echo "rows of history | adoption (ms)"
for n in ${HISTORIES:-10000 100000 1000000 10000000}; do
	# (GiST on so many ranges takes an hour to build; BRIN stands for it)
	make_older <<SQL
CREATE TABLE timed (id bigint PRIMARY KEY, v int, edition_time timestamptz NOT NULL DEFAULT now(), txid bigint);
CREATE TABLE tracked (id bigint PRIMARY KEY, v int);
SELECT create_history_table('timed', 'edition_time', 'txid'), create_history_table('tracked');
INSERT INTO timed SELECT i, i FROM generate_series(1, 1000) i;
INSERT INTO tracked SELECT i, i FROM generate_series(1, 1000) i;
DO \$\$
DECLARE
	i regclass;
BEGIN
	FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid IN ('timed__history'::regclass, 'tracked__history'::regclass) LOOP
		EXECUTE format('DROP INDEX %s', i);
	END LOOP;
END \$\$;
INSERT INTO timed__history SELECT i % 1000, i, NULL, i, tstzrange('2020-01-01'::timestamptz + i * interval '1 s',
	'2020-01-01'::timestamptz + i * interval '1 s' + interval '1 h'), i FROM generate_series(1, $n / 2) i;
INSERT INTO tracked__history SELECT i % 1000, i, tstzrange('2020-01-01'::timestamptz + i * interval '1 s',
	'2020-01-01'::timestamptz + i * interval '1 s' + interval '1 h'), i FROM generate_series(1, $n / 2) i;
CREATE INDEX ON timed__history (id);
CREATE INDEX ON tracked__history (id);
CREATE INDEX ON timed__history (exec_transaction_id);
CREATE INDEX ON tracked__history (exec_transaction_id);
CREATE INDEX ON timed__history USING brin (sys_period);
CREATE INDEX ON tracked__history USING brin (sys_period);
SQL
	echo "$n | $(adopt)"
done

echo
echo "tables | adoption (ms)"
for n in ${TABLES:-1 10 30 100}; do
	make_older <<SQL
SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, v text %s)', i, CASE WHEN i % 2 = 0
	THEN ', edition_time timestamptz NOT NULL DEFAULT now(), txid bigint' END) FROM generate_series(1, $n) i
\gexec
SELECT create_history_table(format('t%s', i)::regclass, CASE WHEN i % 2 = 0 THEN 'edition_time' END,
	CASE WHEN i % 2 = 0 THEN 'txid' END) FROM generate_series(1, $n) i;
SELECT format('INSERT INTO t%s (id, v) SELECT i, i FROM generate_series(1, 100) i', i) FROM generate_series(1, $n) i
\gexec
SELECT format('INSERT INTO t%s__history (id, v) SELECT i %% 100, i FROM generate_series(1, 1000) i', i) FROM generate_series(1, $n) i
\gexec
SQL
	echo "$n | $(adopt)"
done

echo
echo "live rows of a table with a tracking table | adoption (ms)"
for n in ${LIVES:-10000 100000 1000000}; do
	make_older <<SQL
CREATE TABLE tracked (id bigint PRIMARY KEY, v int);
INSERT INTO tracked SELECT i, i FROM generate_series(1, $n) i;
SELECT create_history_table('tracked');
SQL
	echo "$n | $(adopt)"
done
