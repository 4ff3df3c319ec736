#!/bin/bash
# What the follower costs DDL.
#
#   test/bench/ddl_cost.sh [untracked] [first] [tracked]      all three unless told
#
# untracked: 2,000 times CREATE TABLE, ALTER TABLE and DROP TABLE in a database with the
# extension and in one without, in small batches that take turns, so that both meet
# the same moods of the machine.  Prints both totals and their ratio (below
# 1.05 is wanted).  In the database with the extension some tables are tracked, as
# they would be.
#
# first: the first DDL command of a session, with many tracked tables and with none
# (below 2 is wanted), and with following off; the fastest of sessions that take turns.
#
# tracked: what changes of columns of a tracked table cost, warm, and of the same table
# without a history; the fastest of each.
#
#   TABLES   how many tables are made, 2000 unless told
#   BATCH    how many in one turn, 50 unless told
#   TRACKED  how many tables are tracked for "first", 5000 unless told (some minutes)
#   TURNS    how many sessions for "first", and rounds for "tracked", 25 unless told

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/private_server.sh"
tables=${TABLES:-2000}
batch=${BATCH:-50}
tracked=${TRACKED:-5000}
turns=${TURNS:-25}

main() {
	local what

	[ $# -gt 0 ] || set -- untracked first tracked
	for what in "$@"; do
		"cost_$what"
	done
}

# The least of the numbers on standard input: what it takes when nobody is in the way.
fastest() { sort -n | head -n 1; }
total() { awk '{ s += $1 } END { printf "%.1f", s / 1000 }' "$home/$1"; }

# --- tables without history -----------------------------------------------------

cost_untracked() {
	local i d order n

	run_psql -c 'CREATE DATABASE with_it' -c 'CREATE DATABASE without_it'
	run_psql -d with_it -c 'CREATE EXTENSION catmaid_history'
	track_tables with_it 30
	# As many relations there, without the extension.
	for i in $(seq 90); do
		echo "CREATE TABLE other_$i (id int PRIMARY KEY, v text);"
	done | run_psql -d without_it

	for i in $(seq "$batch"); do
		echo "CREATE TABLE t$i (id int PRIMARY KEY, v text);"
		echo "ALTER TABLE t$i ADD COLUMN w int, ALTER COLUMN v SET NOT NULL;"
		echo "DROP TABLE t$i;"
	done >"$home/ddl.sql"

	# One session for each batch; the first two are to warm up.
	turn with_it >/dev/null
	turn without_it >/dev/null
	n=$(((tables + batch - 1) / batch))
	for i in $(seq "$n"); do
		# First one first, then the other.
		if ((i % 2)); then order="with_it without_it"; else order="without_it with_it"; fi
		for d in $order; do turn "$d" >>"$home/$d"; done
	done

	printf '%s x CREATE, ALTER, DROP TABLE, in %s turns of %s\n' "$((n * batch))" "$n" "$batch"
	printf 'without the extension  %9s ms  (median turn %s us)\n' "$(total without_it)" "$(median <"$home/without_it")"
	printf 'with the extension     %9s ms  (median turn %s us)\n' "$(total with_it)" "$(median <"$home/with_it")"
	awk -v a="$(total with_it)" -v b="$(total without_it)" -v c="$(median <"$home/with_it")" -v d="$(median <"$home/without_it")" \
		-v e="$(fastest <"$home/with_it")" -v f="$(fastest <"$home/without_it")" \
		'BEGIN { printf "ratio of totals %.3f, of medians %.3f, of the fastest turns %.3f\n\n", a / b, c / d, e / f }'
}

# Make tables with a history in the database: each in a transaction of its own, for the locks.
track_tables() {
	local i

	for i in $(seq "$2"); do
		echo "CREATE TABLE tracked_$i (id int PRIMARY KEY, v text);"
		echo "SELECT create_history_table('tracked_$i');"
	done | run_psql -d "$1" -o /dev/null
}

turn() {
	local begin end
	begin=$(date +%s%N)
	run_psql -d "$1" -f "$home/ddl.sql"
	end=$(date +%s%N)
	echo $(((end - begin) / 1000))
}

# --- the first command of a session -----------------------------------------------

cost_first() {
	local i d

	run_psql -c 'CREATE DATABASE none' -c 'CREATE DATABASE many'
	for d in none many; do run_psql -d "$d" -c 'CREATE EXTENSION catmaid_history'; done
	track_tables many "$tracked"
	for d in none many; do run_psql -d "$d" -c 'VACUUM ANALYZE'; done
	for i in $(seq 0 "$turns"); do
		for d in none many; do
			first_command "$d" on >>"$home/first_$d.$((i > 0))"
			first_command "$d" off >>"$home/off_$d.$((i > 0))"
		done
	done

	printf 'first CREATE TEMP TABLE of a session, fastest of %s\n' "$turns"
	printf 'tracked tables       none    %6d   ratio\n' "$tracked"
	for i in first off; do
		awk -v name="$i" -v a="$(fastest <"$home/${i}_none.1")" -v b="$(fastest <"$home/${i}_many.1")" \
			'BEGIN { printf "%-16s %8.2f %9.2f ms   %.2f\n", name == "off" ? "follow_ddl off" : "", a, b, b / a }'
	done
	echo
}

# Milliseconds, by psql's clock; following on or off.
first_command() {
	PGOPTIONS="-c catmaid_history.follow_ddl=$2" run_psql -d "$1" -c '\timing on' \
		-c 'CREATE TEMP TABLE t (n int)' | awk '/^Time:/ { print $2 }'
}

# --- a tracked table ----------------------------------------------------------------

cost_tracked() {
	local i table command
	local change=("ADD COLUMN w varchar(10)" "RENAME COLUMN w TO x"
		"ALTER COLUMN x TYPE varchar(20)" "DROP COLUMN x")

	run_psql -c 'CREATE DATABASE columns'
	run_psql -d columns -c 'CREATE EXTENSION catmaid_history'
	run_psql -d columns -o /dev/null <<-'SQL'
		CREATE TABLE plain (id int PRIMARY KEY, p timestamp, q timestamp, v varchar(10));
		CREATE TABLE tracked (LIKE plain INCLUDING ALL);
		SELECT create_history_table('tracked');
		INSERT INTO plain VALUES (1, now(), now(), 'x');
		INSERT INTO tracked VALUES (1, now(), now(), 'x');
		UPDATE tracked SET v = v;
	SQL
	{
		printf '%s\n' '\timing on'
		for i in $(seq 0 "$turns"); do
			for table in plain tracked; do
				for command in "${!change[@]}"; do
					printf '\\echo label %s_%s_%s\n' "$((i > 0))" "$table" "$command"
					echo "ALTER TABLE $table ${change[$command]};"
				done
			done
		done
	} >"$home/columns.sql"
	run_psql -d columns -f "$home/columns.sql" 2>&1 | awk -v to="$home/column_" \
		'/^label/ { what = $2 } /^Time:/ { print $2 > (to what) } /ERROR/ { print; exit 1 }'

	printf 'a change of columns, fastest of %s, without and with a history\n' "$turns"
	for command in "${!change[@]}"; do
		awk -v name="${change[$command]}" -v a="$(fastest <"$home/column_1_plain_$command")" \
			-v b="$(fastest <"$home/column_1_tracked_$command")" \
			'BEGIN { printf "%-34s %6.2f %6.2f ms, %.2f more\n", name, a, b, b - a }'
	done
}

main "$@"
