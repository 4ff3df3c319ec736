#!/bin/bash
# What the follower costs DDL, in two versions of the extension that take turns.
#
#   test/bench/ddl_versions.sh BEFORE=/path/to/pg_config AFTER=/path/to/pg_config
#
# Each pg_config is that of a PostgreSQL with one version installed: a copy of the
# server's files will do, as script/test makes one (make install DESTDIR=...).
#
# Measured is the processor time of the backend (/proc/self/schedstat), not the clock:
# other work on the machine hardly counts.  Medians of the rounds, in microseconds.
#
# - changes of columns of a tracked table and of one without a history, warm
# - the first command of a session, with many tracked tables and with none
# - enable_history_tracking() with nothing to do, in a session's first and second call
#
#   TABLES   how many tracked tables, 1000 unless told (ten seconds or more)
#   ROUNDS   15 unless told

set -euo pipefail
tables=${TABLES:-1000}
rounds=${ROUNDS:-15}
home=$(mktemp -d "${TMPDIR:-/tmp}/catmaid_history_bench.XXXXXX")
names=()
declare -A bin

as_server() {
	if [ "$(id -u)" = 0 ]; then (cd "$home" && runuser -u postgres -- "$@"); else "$@"; fi
}
stop() {
	local name
	for name in "${names[@]}"; do
		as_server "${bin[$name]}/pg_ctl" -D "$home/$name" -m immediate -w stop >/dev/null 2>&1 || true
	done
	rm -rf "$home"
}
trap stop EXIT

# sql NAME DATABASE: run what comes on standard input there
sql() { "${bin[$1]}/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$home/$1.s" -U postgres -d "$2"; }

# A line of psql that notes the processor time used until now, in microseconds.
clock() { printf "SELECT 'clock %s ' || split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint / 1000;\n" "$1"; }

# What each step took, from the clocks around it: "clock -" before, "clock STEP" after.
steps() { awk '/^clock/ { if ($2 != "-") print $2, $3 - last; last = $3 }'; }

start() {
	[ "$(id -u)" != 0 ] || chown postgres "$home"
	as_server mkdir "$home/$1.s"
	as_server "${bin[$1]}/initdb" -D "$home/$1" -U postgres -A trust --no-sync >/dev/null
	as_server "${bin[$1]}/pg_ctl" -D "$home/$1" -w -l "$home/$1.log" -o "-c listen_addresses='' -k '$home/$1.s' \
		-c fsync=off -c autovacuum=off -c shared_buffers=256MB -c client_min_messages=warning" start >/dev/null
}

prepare() {
	sql "$1" postgres <<-'SQL'
		CREATE DATABASE few;
		CREATE DATABASE many;
	SQL
	sql "$1" few <<-'SQL' >/dev/null
		CREATE EXTENSION catmaid_history;
		CREATE TABLE plain (id int PRIMARY KEY, p timestamp, q timestamp, v varchar(10));
		CREATE TABLE tracked (LIKE plain INCLUDING ALL);
		SELECT create_history_table('tracked');
		INSERT INTO plain VALUES (1, now(), now(), 'x');
		INSERT INTO tracked VALUES (1, now(), now(), 'x');
		UPDATE tracked SET v = v;
	SQL
	{
		echo 'CREATE EXTENSION catmaid_history;'
		for i in $(seq "$tables"); do
			echo "CREATE TABLE t$i (id int PRIMARY KEY, v text); SELECT create_history_table('t$i');"
		done
		echo 'VACUUM ANALYZE;'
	} | sql "$1" many >/dev/null
}

# Twice in one session: the second time is warm.
columns() {
	local table turn command
	local changes=("ADD_COLUMN:ADD COLUMN w varchar(10)" "RENAME_COLUMN:RENAME COLUMN w TO x"
		"ALTER_TYPE:ALTER COLUMN x TYPE varchar(20)" "DROP_COLUMN:DROP COLUMN x")

	for turn in cold warm; do
		for table in plain tracked; do
			for command in "${changes[@]}"; do
				clock -
				echo "ALTER TABLE $table ${command#*:};"
				clock "$([ $turn = cold ] && echo - || echo "${table}_${command%%:*}")"
			done
		done
	done
}

measure() {
	columns | sql "$1" few | steps
	for database in few many; do
		{
			clock -
			echo 'CREATE TEMP TABLE a (n int);'
			clock "first_$database"
		} | sql "$1" "$database" | steps
	done
	{
		clock -
		echo 'SELECT enable_history_tracking();'
		clock enable_1
		echo 'SELECT enable_history_tracking();'
		clock enable_2
	} | sql "$1" many | steps
}

main() {
	local argument name

	[ $# -gt 0 ] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2; }
	for argument in "$@"; do
		name=${argument%%=*}
		names+=("$name")
		bin[$name]=$("${argument#*=}" --bindir)
	done
	for name in "${names[@]}"; do
		start "$name"
		prepare "$name"
	done
	for _ in $(seq "$rounds"); do
		for name in "${names[@]}"; do
			measure "$name" >>"$home/$name.times"
		done
	done
	printf '%d rounds, %d tracked tables; processor time, medians, us\n' "$rounds" "$tables"
	for name in "${names[@]}"; do
		sort -k1,1 -k2,2n "$home/$name.times" | awk -v name="$name" '
			{ v[$1] = v[$1] " " $2; n[$1]++ }
			END { for (s in v) { split(v[s], a, " "); print s, name, a[int((n[s] + 1) / 2)] } }'
	done | sort | awk '
		{ if ($1 != step) { if (step) print line; step = $1; line = sprintf("%-24s", $1) }
		  line = line sprintf("  %s %8d", $2, $3) }
		END { print line }'
}

main "$@"
