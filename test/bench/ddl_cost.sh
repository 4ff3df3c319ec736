#!/bin/bash
# What the follower costs DDL on tables that have no history.
#
# 2,000 times CREATE TABLE, ALTER TABLE and DROP TABLE in a database with the
# extension and in one without, in small batches that take turns, so that both meet
# the same moods of the machine.  Prints both totals and their ratio (below
# 1.05 is wanted).  In the database with the extension some tables are tracked, as
# they would be.
#
#   TABLES   how many tables, 2000 unless told
#   BATCH    how many in one turn, 50 unless told

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/private_server.sh"
tables=${TABLES:-2000}
batch=${BATCH:-50}

run_psql -c 'CREATE DATABASE with_it' -c 'CREATE DATABASE without_it'
run_psql -d with_it <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION catmaid_history;
DO $do$
BEGIN
	FOR i IN 1 .. 30 LOOP
		EXECUTE format('CREATE TABLE tracked_%s (id int PRIMARY KEY, v text)', i);
		PERFORM create_history_table(format('tracked_%s', i)::regclass);
	END LOOP;
END
$do$;
SQL
# As many relations there, without the extension.
run_psql -d without_it <<'SQL'
DO $do$
BEGIN
	FOR i IN 1 .. 90 LOOP
		EXECUTE format('CREATE TABLE other_%s (id int PRIMARY KEY, v text)', i);
	END LOOP;
END
$do$;
SQL

for i in $(seq "$batch"); do
	echo "CREATE TABLE t$i (id int PRIMARY KEY, v text);"
	echo "ALTER TABLE t$i ADD COLUMN w int, ALTER COLUMN v SET NOT NULL;"
	echo "DROP TABLE t$i;"
done >"$home/ddl.sql"

# One session for each batch; the first two are to warm up.
turn() {
	local begin end
	begin=$(date +%s%N)
	run_psql -d "$1" -f "$home/ddl.sql"
	end=$(date +%s%N)
	echo $(((end - begin) / 1000))
}
turn with_it >/dev/null
turn without_it >/dev/null
turns=$(((tables + batch - 1) / batch))
for i in $(seq "$turns"); do
	# First one first, then the other.
	if ((i % 2)); then order="with_it without_it"; else order="without_it with_it"; fi
	for d in $order; do turn "$d" >>"$home/$d"; done
done

total() { awk '{ s += $1 } END { printf "%.1f", s / 1000 }' "$home/$1"; }
printf '%s x CREATE, ALTER, DROP TABLE, in %s turns of %s\n' "$((turns * batch))" "$turns" "$batch"
printf 'without the extension  %9s ms  (median turn %s us)\n' "$(total without_it)" "$(median <"$home/without_it")"
printf 'with the extension     %9s ms  (median turn %s us)\n' "$(total with_it)" "$(median <"$home/with_it")"
awk -v a="$(total with_it)" -v b="$(total without_it)" -v c="$(median <"$home/with_it")" -v d="$(median <"$home/without_it")" \
	'BEGIN { printf "ratio of totals %.3f, of medians %.3f\n", a / b, c / d }'
