# Sourced by the benchmarks: a throw-away server of their own, on a unix socket in
# a temporary folder, so that nothing of the machine's own clusters is touched.
#
#   PG_CONFIG   which PostgreSQL, pg_config on the path or the newest of Debian's

set -euo pipefail

pg_config=${PG_CONFIG:-$(command -v pg_config || ls /usr/lib/postgresql/*/bin/pg_config | sort -V | tail -n 1)}
bindir=$("$pg_config" --bindir)
[ -x "$bindir/postgres" ] || { echo "no PostgreSQL server in $bindir" >&2; exit 1; }
[ -f "$("$pg_config" --sharedir)/extension/catmaid_history.control" ] ||
	{ echo "catmaid_history is not installed: make && make install" >&2; exit 1; }

home=$(mktemp -d "${TMPDIR:-/tmp}/catmaid_history_bench.XXXXXX")
# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then
	chown postgres "$home"
	as_server() { (cd "$home" && runuser -u postgres -- "$@"); }
else
	as_server() { "$@"; }
fi

stop_server() {
	as_server "$bindir/pg_ctl" -D "$home/data" -m immediate -w stop >"$home/stop.log" 2>&1 || true
	rm -rf "$home"
}
trap stop_server EXIT

as_server "$bindir/initdb" -D "$home/data" -U postgres -A trust --no-sync >"$home/initdb.log"
# Without fsync, the disk's moods stay out of the ratios; no autovacuum for the same reason.
as_server "$bindir/pg_ctl" -D "$home/data" -w -l "$home/server.log" \
	-o "-c listen_addresses='' -k '$home' -c fsync=off -c autovacuum=off -c shared_buffers=256MB -c max_wal_size=4GB -c checkpoint_timeout=1h" \
	start >"$home/start.log" || { cat "$home/server.log" >&2; exit 1; }

run_psql() { "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$home" -U postgres -d postgres "$@"; }

# Milliseconds that a file of SQL takes, as the client sees it.
milliseconds() {
	local begin end
	begin=$(date +%s%N)
	run_psql -f "$1" >/dev/null
	end=$(date +%s%N)
	echo $(((end - begin) / 10000)) | awk '{ printf "%.2f\n", $1 / 100 }'
}

# The median of the numbers on standard input.
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
