#!/bin/bash
# What segments cost and save, on a server of its own: rotation of histories of several
# sizes, with writers beside it; one-row UPDATEs with histories of several sizes; queries
# as of now and of the oldest instant with one segment and with 24; planning.
#
#   test/bench/segments.sh [VERSIONS...]     default: 100000 1000000
#
# Needs the extension installed (PG_CONFIG says for which PostgreSQL) and pgbench.  Compare
# figures of one run with each other.

. "$(dirname "$0")/private_server.sh"
sizes=(${@:-100000 1000000})
seconds=${SECONDS_EACH:-5}

run_psql -c 'CREATE EXTENSION catmaid_history'
# A table of 100,000 rows with a tracking table, and so many versions in its history.
fill() {
	run_psql >"$home/fill.log" 2>&1 <<SQL
DROP TABLE IF EXISTS t CASCADE;
CREATE TABLE t (id int PRIMARY KEY, a int, b text, c double precision);
INSERT INTO t SELECT i, i, 'some text of row ' || i, i FROM generate_series(1, 100000) i;
SELECT create_history_table('t');
INSERT INTO t__history (id, a, b, c, sys_period, exec_transaction_id, start_transaction_id)
	SELECT 1 + (i::bigint * 7919) % 100000, i, 'some text of row ' || i, i,
		tstzrange(now() - interval '1 year' + make_interval(secs => (i - 100000) * 31536000.0 / $1),
			now() - interval '1 year' + make_interval(secs => i * 31536000.0 / $1)), i, i
	FROM generate_series(1, $1) i;
VACUUM ANALYZE;
CHECKPOINT;
SQL
}
update='\set id random(1, 100000)
UPDATE t SET a = a + 1 WHERE id = :id;'
echo "$update" >"$home/update.sql"
bench() {
	"$bindir/pgbench" -n -h "$home" -U postgres -c 2 -j 1 -T "$1" -M prepared -f "$home/update.sql" ${2:-} postgres 2>"$home/bench.err"
}
tps() { bench "$seconds" | sed -n 's/^tps = \([0-9]*\).*/\1/p'; }

echo "rotation, and the slowest of the one-row UPDATEs beside it (2 clients)"
for n in "${sizes[@]}"; do
	fill "$n"
	before=$(tps)
	(cd "$home" && as_server rm -f bench_log.*; bench 4 "-l --log-prefix=$home/bench_log" >"$home/beside.log") &
	sleep 2
	run_psql -c '\timing on' -c "SELECT rotate_history('t')" >"$home/rotate.log"
	wait $!
	slowest=$(cat "$home"/bench_log.* | awk '$3 > m { m = $3 } END { printf "%.1f", m / 1000 }')
	after=$(tps)
	printf '%10d versions: rotate_history %s; slowest UPDATE %s ms; UPDATEs a second before %s, after %s\n' \
		"$n" "$(sed -n 's/^Time: \([0-9.]* ms\).*/\1/p' "$home/rotate.log" | tail -1)" "$slowest" "$before" "$after"
done

n=${sizes[0]}
echo "$n versions in one piece, and in 24 segments: ms, the best of five"
query() {
	for _ in 1 2 3 4 5; do
		run_psql -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
	done | sort -n | head -1
}
planning() {
	for _ in 1 2 3 4 5; do
		run_psql -c 'SELECT FROM t__with_history LIMIT 1' -c "EXPLAIN (SUMMARY) $1" | sed -n 's/^Planning Time: \([0-9.]*\) ms.*/\1/p'
	done | sort -n | head -1
}
whole="SELECT count(*), sum(a) FROM t__with_history WHERE sys_period @> "
one="SELECT * FROM t__with_history WHERE id = 4711 AND sys_period @> "
old="(now() - interval '300 days')"
compare() {
	printf '%-34s %10s\n' "$1: whole table as of now" "$(query "$whole now()")" \
		"$1: whole table, 300 days ago" "$(query "$whole $old")" \
		"$1: one key as of now" "$(query "$one now()")" \
		"$1: all versions of one key" "$(query "SELECT * FROM t__with_history WHERE id = 4711")" \
		"$1: planning, one key, constant" "$(planning "$one $(printf "'%s'::timestamptz" "$(date -u +%FT%TZ)")")" \
		"$1: planning, all of one key" "$(planning "SELECT * FROM t__with_history WHERE id = 4711")"
}
fill "$n"
compare "one piece"
fill "$n"
run_psql -c 'CREATE TABLE all_versions AS SELECT * FROM t__history' -c 'TRUNCATE t__history' >"$home/cut.log"
for i in $(seq 0 23); do
	run_psql >>"$home/cut.log" <<SQL
INSERT INTO t__history SELECT * FROM all_versions WHERE exec_transaction_id > $i * $n / 24 AND exec_transaction_id <= ($i + 1) * $n / 24;
SELECT rotate_history('t');
ALTER TABLE t__history_$((i + 1)) DROP CONSTRAINT catmaid_history_segment;
DO \$\$ BEGIN EXECUTE format('ALTER TABLE t__history_$((i + 1)) ADD CONSTRAINT catmaid_history_segment CHECK (NOT upper_inf(sys_period) AND upper(sys_period) <= %L::timestamptz) NO INHERIT',
	(SELECT max(upper(sys_period)) FROM t__history_$((i + 1)))); END \$\$;
SQL
done
run_psql -c 'VACUUM ANALYZE'
compare "24 segments"
