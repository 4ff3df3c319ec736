# shellcheck shell=bash
# Shared by the scripts of this folder (source it, don't run it): which PostgreSQL
# to use, a private throw-away server, and who may do what.
#
# PostgreSQL refuses to run as root. When a script runs as root, builds happen
# as root, and the server, its clients and the tests run as the
# system user `postgres`, upon a copy of the project in $WORK that this user can
# read whatever the permissions of the checkout are.
#
# Sets: TOP (the project's folder), and with use_postgresql: PG_CONFIG, PG_BIN and
# PG_LIB; with make_work: WORK; with build_and_install: SERVER_TREE, and PG_BIN again;
# with server_start: PGHOST, PGPORT, PGUSER.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# One locale and time zone everywhere: expected output depends on both.
unset LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LANGUAGE
export LANG=C.UTF-8 TZ=UTC

# None of the caller's connection settings may leak into a script's own server.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGSERVICE \
	PGSERVICEFILE PGOPTIONS PGDATA PGCLIENTENCODING PGAPPNAME PGSSLMODE PGTZ \
	PGDATESTYLE PSQLRC

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# step TEXT LOG COMMAND...: print the text, a dot for every five seconds, and how long
# it took; what the command prints goes to the log, and is shown if it fails.
step()
{
	local text=$1 log=$2 status=0 start=$SECONDS ticker

	shift 2
	printf '%s ...' "$text" >&2
	tick &
	ticker=$!
	"$@" >>"$log" 2>&1 </dev/null || status=$?
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	if [ "$status" = 0 ]; then
		echo " $((SECONDS - start)) s" >&2
	else
		echo " failed" >&2
		show_end "$log" >&2
	fi
	return "$status"
}

tick()
{
	local silence

	exec {silence}<> <(:) # so that nothing is left behind when this is killed
	while :; do
		read -rt 5 -u "$silence" || printf '.' >&2
	done
}

# The last lines of a log; the whole of it stays in /tmp if it is longer.
show_end()
{
	local keep

	tail -n 40 "$1" | sed 's/^/    /'
	if [ "$(wc -l <"$1")" -gt 40 ]; then
		keep=$(mktemp /tmp/catmaid_history.XXXXXX.log)
		cat "$1" >"$keep"
		echo "    (the end of $keep)"
	fi
}

# Run as root: directly, or through sudo.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# sudo may ask for the password here, so that it need not later.
may_be_root()
{
	[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -v; }
}

# Run as the user who may run PostgreSQL: `postgres` for root, oneself otherwise.
# In the project's copy, as the current folder may be one this user cannot enter.
as_server_user()
{
	if [ "$(id -u)" = 0 ]; then
		(cd "$WORK/tree" && exec runuser -u postgres -- env HOME="$WORK" "$@")
	else
		(cd "$WORK/tree" && exec "$@")
	fi
}

# --- which PostgreSQL ---------------------------------------------------------

# Print the path of pg_config: $PG_CONFIG if it is set, else that of the newest
# version that has a server and the headers. Prints nothing if there is none.
find_pg_config()
{
	local dir

	if [ -n "${PG_CONFIG:-}" ]; then
		command -v "$PG_CONFIG" || die "PG_CONFIG=$PG_CONFIG: no such command"
		return
	fi
	for dir in $(servers); do
		if has_headers "$dir/bin/pg_config"; then
			echo "$dir/bin/pg_config"
			return
		fi
	done
}

# Print where Debian's packages have servers that the extension is for, the newest first.
servers()
{
	local dir

	printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -rV | while read -r dir; do
		dir=${dir%/bin/postgres}
		if [ -x "$dir/bin/postgres" ] && [ "${dir##*/}" -ge 13 ] 2>/dev/null; then
			echo "$dir"
		fi
	done
}

# The client package has pg_config and pgxs.mk, too: what is asked for is the headers.
has_headers()
{
	[ -x "$1" ] && [ -f "$("$1" --pgxs)" ] && [ -f "$("$1" --includedir-server)/postgres.h" ]
}

use_postgresql()
{
	PG_CONFIG=$(find_pg_config)
	[ -n "$PG_CONFIG" ] || die "no PostgreSQL with server headers found: run script/bootstrap"
	if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
		die "PostgreSQL does not run as root, and there is no user \`postgres\`: run this as another user, or adduser --system postgres"
	fi
	PG_BIN=$("$PG_CONFIG" --bindir)
	PG_LIB=$(dirname "$("$PG_CONFIG" --pgxs)")/../.. # has src/test/regress, …/perl
	PG_LIB=$(cd "$PG_LIB" && pwd)
	export PG_CONFIG
	# Tests call psql, pg_dump, …: ours, not the ones of another version.
	export PATH="$PG_BIN:$PATH"
}

# --- a folder of our own ------------------------------------------------------

# Make $WORK, which the exit trap removes, with a copy of the project in
# $WORK/tree. The folder is in /tmp whatever TMPDIR says: the path of a unix
# socket may have 107 bytes.
make_work()
{
	WORK=$(mktemp -d /tmp/catmaid_history.XXXXXX)
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chmod 755 "$WORK"
	mkdir "$WORK/tree"
	tar -C "$TOP" -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=./tmp_check --exclude=./tmp_build --exclude=./results . |
		tar -C "$WORK/tree" -xf - --no-same-owner --no-same-permissions
	chmod -R u+rwX,go+rX "$WORK/tree"
	give_to_server_user "$WORK"
}

give_to_server_user()
{
	[ "$(id -u)" != 0 ] || chown -R postgres: "$@"
}

cleanup()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	jobs_stop
	[ -z "${AT_EXIT:-}" ] || "$AT_EXIT" "$status"
	if [ -n "${WORK:-}" ] && [ -z "${KEEP_WORK:-}" ]; then
		server_stop
		rm -rf "$WORK"
	fi
	exit "$status"
}

# End what runs in the background, where it has process groups of its own.
jobs_stop()
{
	local pid

	for pid in $(jobs -pr); do
		! kill -TERM -- "-$pid" 2>/dev/null || wait "$pid"
	done
}

# --- building -----------------------------------------------------------------

# Build in $WORK/tree, and install into a copy of the server's files, whose programs
# are PG_BIN from then on: nothing that belongs to the machine changes, so no root
# is needed, and no cluster of the machine meets the build. Arguments go to make.
build_and_install()
{
	step "building, and installing into a copy of the server" "$WORK/build.log" build "$@" &&
		use_server_tree
}

build()
{
	find_objects "$@"
	make -C "$WORK/tree" -j"$(nproc)" PG_CONFIG="$PG_CONFIG" "$@" &&
		copy_server &&
		make -C "$WORK/tree" install DESTDIR="$SERVER_TREE" PG_CONFIG="$PG_CONFIG" "$@" || return
	keep_objects
	give_to_server_user "$WORK/tree"
}

# The object files of earlier builds are in tmp_build/, each named after the contents
# of its source, in a folder named after whatever else it is made of; so a build
# compiles what is new. COPT is not for this: it may let objects name the place where
# they were built. Sets OBJECTS, that folder, or empties it.
find_objects()
{
	local sum file

	OBJECTS=
	[[ "${COPT+COPT=} $*" != *COPT=* ]] || return 0
	OBJECTS=$TOP/tmp_build/$({
		"$PG_CONFIG"
		gcc --version
		printf '%s\n' "$@"
		cat "$WORK"/tree/Makefile "$WORK"/tree/src/{,*/}*.h
	} | sha256sum | cut -c 1-16)
	mkdir -p "$OBJECTS" 2>/dev/null && [ -w "$OBJECTS" ] || OBJECTS=
	[ -n "$OBJECTS" ] || return 0
	touch "$OBJECTS"
	while read -r sum file; do
		cp "$OBJECTS/$sum.o" "${file%.c}.o" 2>/dev/null || continue
		cp "$OBJECTS/$sum.bc" "${file%.c}.bc" 2>/dev/null || true
		touch "$OBJECTS/$sum".*
	done < <(sha256sum "$WORK"/tree/src/{,*/}*.c)
}

# Keep the objects just built; forget what a day, or three other builds, had no use for.
keep_objects()
{
	local sum file suffix

	[ -n "$OBJECTS" ] || return 0
	while read -r sum file; do
		for suffix in o bc; do
			[ ! -e "${file%.c}.$suffix" ] || [ -e "$OBJECTS/$sum.$suffix" ] || {
				cp "${file%.c}.$suffix" "$OBJECTS/$sum.$suffix.$$" &&
					mv "$OBJECTS/$sum.$suffix.$$" "$OBJECTS/$sum.$suffix"
			}
		done
	done < <(sha256sum "$WORK"/tree/src/{,*/}*.c)
	find "$TOP/tmp_build" -type f -mmin +1440 -delete
	find "$TOP/tmp_build" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn |
		sed -n '5,$s/^[^ ]* //p' | while read -r file; do
		rm -rf "$file"
	done
}

# Copy the server's programs, libraries and shared files to $SERVER_TREE, each
# under its own path. PostgreSQL finds them there, relative to the program that
# runs (make_relative_path in src/port/path.c).
copy_server()
{
	local dir

	SERVER_TREE=$WORK/server
	for dir in --bindir --pkglibdir --sharedir; do
		dir=$("$PG_CONFIG" "$dir")
		mkdir -p "$SERVER_TREE$dir" && cp -a "$dir/." "$SERVER_TREE$dir/" || return 1
	done
}

# PG_BIN is the copy's. (Its pg_config knows where the copy is, but no headers.)
use_server_tree()
{
	export SERVER_TREE
	PG_BIN=$SERVER_TREE$("$PG_CONFIG" --bindir)
	export PATH="$PG_BIN:$PATH"
}

# --- a private server ---------------------------------------------------------

# Start a server in $WORK: unix socket only, no durability (it is thrown away).
# SERVER_OPTIONS are more options for it, like "-c debug_discard_caches=1";
# SERVER_PROGRAM is what to start in place of the server's own program.
server_start()
{
	local options="-c listen_addresses='' -c unix_socket_directories='$WORK/socket' \
		-c port=5432 -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
		${SERVER_OPTIONS:-}"

	as_server_user mkdir "$WORK/socket"
	as_server_user "$PG_BIN/initdb" --pgdata="$WORK/data" --username=postgres \
		--auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync \
		>"$WORK/initdb.log" 2>&1 || {
		cat "$WORK/initdb.log" >&2
		return 1
	}
	as_server_user "$PG_BIN/pg_ctl" start --pgdata="$WORK/data" --silent --wait \
		--log="$WORK/server.log" --options="$options" \
		${SERVER_PROGRAM:+-p "$SERVER_PROGRAM"} </dev/null >/dev/null || {
		as_server_user cat "$WORK/server.log" >&2
		return 1
	}
	export PGHOST=$WORK/socket PGPORT=5432 PGUSER=postgres
}

# Stop every server whose data is in $WORK: ours, and those that an interrupted
# Perl test left.
server_stop()
{
	local pidfile

	while read -r pidfile; do
		as_server_user "$PG_BIN/pg_ctl" stop --pgdata="${pidfile%/*}" --silent \
			--mode=immediate >/dev/null 2>&1 || true
	done < <(find "$WORK" -name postmaster.pid)
}

# Print what no server's log should have: crashes, failed assertions, leaks of
# what a transaction holds, memory that was written past its end.
log_of_horrors()
{
	grep -aE 'PANIC:|TRAP:|was terminated by signal|runtime error:|AddressSanitizer|WARNING: .* leak:|problem in alloc set|detected write past chunk end' "$1"
}
