# shellcheck shell=bash
# Shared by the scripts that need a PostgreSQL of their own making (source it
# after lib.sh): one built from Debian's source package, with assertions and
# whatever else its CFLAGS say, in a folder that is kept for the next time.
#
# Environment: BUILD_DIR is that folder (default /var/tmp/catmaid_history); one
# flavour takes about 1 GB and, with one processor, ten minutes or more. PG_SOURCE
# is an unpacked source tree, or a source tarball, to use in place of
# `apt-get source`. JOBS is how much is compiled at a time (default: the processors).
#
# Sets, with build_server FLAVOUR CFLAGS: SOURCE (the source tree), BUILT (the
# build tree), INSTALLED (what it was installed into).

BUILD_DIR=${BUILD_DIR:-/var/tmp/catmaid_history}

# build_server FLAVOUR CFLAGS [CPPFLAGS]
build_server()
{
	local flavour=$1 log=$BUILD_DIR/$1.log

	BUILT=$BUILD_DIR/$flavour/build INSTALLED=$BUILD_DIR/$flavour/inst
	if [ -e "$INSTALLED/complete" ]; then
		SOURCE=$(cat "$INSTALLED/complete")
		return
	fi
	mkdir -p "$BUILT"
	find_source
	echo "building PostgreSQL from $SOURCE (log: $log)"
	(
		set -e
		cd "$BUILT"
		# Leaks are not looked for in compilers' helpers and code generators.
		export ASAN_OPTIONS=detect_leaks=0
		"$SOURCE/configure" --prefix="$INSTALLED" --enable-cassert --enable-debug \
			--enable-tap-tests --without-readline \
			"$(feature icu icu-uc icu-i18n)" "$(feature libxml libxml-2.0)" \
			"$(feature lz4 liblz4)" CFLAGS="$2" CPPFLAGS="${3:-}"
		nice make -s -j"${JOBS:-$(nproc)}" all
		nice make -s -j"${JOBS:-$(nproc)}" -C contrib all
		make -s install
		make -s -C contrib install
		make -s -C src/test/isolation install
		echo "$SOURCE" >"$INSTALLED/complete"
	) >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		die "PostgreSQL could not be built: $log"
	}
}

# Print the option of configure for a feature, on where its libraries are. Some
# tests need XML and ICU.
feature()
{
	if pkg-config --exists "${@:2}" 2>/dev/null; then
		echo "--with-$1"
	else
		echo "--without-$1"
	fi
}

find_source()
{
	local tarball

	SOURCE=$BUILD_DIR/source
	if [ -n "${PG_SOURCE:-}" ] && [ -d "$PG_SOURCE" ]; then
		SOURCE=$(cd "$PG_SOURCE" && pwd)
	elif [ ! -x "$SOURCE/configure" ]; then
		rm -rf "$SOURCE"
		mkdir -p "$SOURCE"
		tarball=${PG_SOURCE:-$(fetch_source)}
		tar -C "$SOURCE" --strip-components=1 -xf "$tarball" ||
			die "no PostgreSQL source: set PG_SOURCE to a source tree or tarball"
	fi
	[ -x "$SOURCE/configure" ] || die "$SOURCE has no configure"
}

# Print the path of the original tarball of Debian's source package.  Where the
# machine's list of sources has packages only, the same places are asked for
# their sources, in a list of our own.
fetch_source()
{
	local lists=$BUILD_DIR/lists package version

	mkdir -p "$lists/state/partial" "$lists/parts" "$BUILD_DIR/download"
	version=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	package=postgresql-$version
	sed 's/^deb /deb-src /' /etc/apt/sources.list >"$lists/sources.list" 2>/dev/null || true
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/parts/${file##*/}"
	done
	for file in /etc/apt/sources.list.d/*.list; do
		[ -e "$file" ] || continue
		sed 's/^deb /deb-src /' "$file" >"$lists/parts/${file##*/}"
	done
	(
		cd "$BUILD_DIR/download" || exit
		options=(-q -o "Dir::Etc::SourceList=$lists/sources.list"
			-o "Dir::Etc::SourceParts=$lists/parts" -o "Dir::State::Lists=$lists/state"
			-o APT::Sandbox::User=root)
		apt-get "${options[@]}" update || exit
		# the newest that can be had: not every mirror has every update's source
		for version in $(apt-cache "${options[@]}" showsrc "$package" |
			sed -n 's/^Version: //p' | sort -ruV); do
			apt-get "${options[@]}" source --download-only "$package=$version" && exit
		done
		exit 1
	) >&2 || return
	find "$BUILD_DIR/download" -name "${package}_*.orig.tar.*" ! -name '*.asc' | sort | tail -n 1
}

# --- a server that looks inside -----------------------------------------------

# Build it, or find it, and have it and all that runs in it watched from now on.
# USE_VALGRIND makes PostgreSQL free at once what it would keep a while.
use_sanitizers()
{
	build_server asan \
		"-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=address" \
		"$(valgrind_macros)"
	begin_reports
	# What a backend has in its memory contexts when it ends is no leak, and
	# PostgreSQL measures its stack, which must not be elsewhere.
	export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:log_path=$REPORTS/asan
	export UBSAN_OPTIONS=print_stacktrace=1:log_path=$REPORTS/ubsan
}

# The same for valgrind, to which PostgreSQL tells what it allots within a block
# of memory (USE_VALGRIND), as it does not tell the sanitizers.
use_valgrind()
{
	command -v valgrind >/dev/null || die "valgrind is missing: apt-get install valgrind"
	build_server valgrind "-O1 -g -fno-omit-frame-pointer" "$(valgrind_macros)"
	begin_reports
	export SERVER_PROGRAM=$BUILD_DIR/valgrind/postgres
	cat >"$SERVER_PROGRAM" <<-EOF
		#!/bin/sh
		exec valgrind --quiet --leak-check=no --num-callers=25 \\
			--suppressions='$SOURCE/src/tools/valgrind.supp' \\
			--log-file='$REPORTS/valgrind.%p' '$INSTALLED/bin/postgres' "\$@"
	EOF
	chmod 755 "$SERVER_PROGRAM"
}

valgrind_macros()
{
	[ -f /usr/include/valgrind/memcheck.h ] ||
		die "valgrind's headers are missing: apt-get install valgrind"
	echo -DUSE_VALGRIND
}

begin_reports()
{
	REPORTS=$BUILD_DIR/reports
	rm -rf "$REPORTS"
	mkdir -p "$REPORTS"
	chmod 1777 "$REPORTS"
}

# Print the reports in which our code occurs, and how many others there are (of
# PostgreSQL's own). Fails if there is any of ours, or any from the address
# sanitizer, after which the process has ended.
show_reports()
{
	local file ours=0 others=0

	for file in "$REPORTS"/*; do
		[ -s "$file" ] || continue
		if [[ $file = */asan.* ]] || grep -q 'catmaid_history' "$file"; then
			ours=$((ours + 1))
			[ "$ours" -gt 5 ] || head -n 60 "$file"
		else
			others=$((others + 1))
		fi
	done
	echo "memory and behaviour: reports about our code from $ours processes, about PostgreSQL's own alone from $others"
	[ "$ours" = 0 ]
}
