# shellcheck shell=bash
# Shared by the scripts that look at the project on other machines (source it,
# don't run it): bare Debian systems made by debootstrap, and commands in them.
#
# A base is a `debootstrap --variant=minbase` of one suite, made once and never
# written to again. Each room_open (one at a time) lays an empty overlay over it, in a mount and
# process namespace of its own, so that every test begins on a clean machine and
# nothing that it starts outlives it. Downloaded packages are kept per suite.
#
# Environment: CATMAID_CHROOTS is the folder of all this (default
# /var/cache/catmaid_history); DEBIAN_MIRROR is where Debian's packages come from
# (default: where the machine's own apt gets them).

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CHROOTS=${CATMAID_CHROOTS:-/var/cache/catmaid_history}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

chroots_need()
{
	local command

	[ "$(id -u)" = 0 ] || die "this needs root: chroots, mounts and namespaces"
	for command in debootstrap unshare nsenter; do
		command -v "$command" >/dev/null || die "$command is missing"
	done
	mkdir -p "$CHROOTS"
	trap rooms_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# Print where Debian's packages come from: what the machine's apt has first.
debian_mirror()
{
	if [ -n "${DEBIAN_MIRROR:-}" ]; then
		echo "$DEBIAN_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # expanded by apt
	apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
		awk '$2 !~ /-/ { print $1; exit }'
}

# room_updates SUITE: let the room's apt see the suite's updates, too, from where the
# machine's own come.
room_updates()
{
	local codename

	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016 # expanded by apt
	apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		sed -n "s/ $codename-/ $1-/p" | sort -u |
		room_input tee /etc/apt/sources.list.d/updates.list >/dev/null
}

# The suite of Debian that has a major version of PostgreSQL, or nothing.
suite_of_postgresql()
{
	case "$1" in
	13) echo bullseye ;;
	15) echo bookworm ;;
	17) echo trixie ;;
	18) echo forky ;;
	esac
}

# base_make SUITE: sets BASE. debootstrap does not know suites younger than it is
# by name; all newer ones are made by the same rules as sid.
base_make()
{
	local suite=$1 mirror rules=/usr/share/debootstrap/scripts/sid

	BASE=$CHROOTS/$suite
	[ ! -d "$BASE" ] || return 0
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "apt has no sources; set DEBIAN_MIRROR"
	echo "debootstrap $suite into $BASE" >&2
	rm -rf "$BASE.part"
	if ! debootstrap --variant=minbase "$suite" "$BASE.part" "$mirror" "$rules" \
		>"$CHROOTS/$suite.log" 2>&1; then
		tail -n 20 "$CHROOTS/$suite.log" >&2
		die "debootstrap $suite failed"
	fi
	# A mirror that lags behind will do, and a chroot that is thrown away need not
	# survive a power cut.
	echo 'Acquire::Check-Valid-Until "false";' >"$BASE.part/etc/apt/apt.conf.d/lag"
	echo force-unsafe-io >"$BASE.part/etc/dpkg/dpkg.cfg.d/unsafe-io"
	mv "$BASE.part" "$BASE"
}

# room_open SUITE: sets ROOM, a folder whose `root` is a fresh copy of the suite's
# base, seen in the namespaces of a process of ours; room_run runs in it.
room_open()
{
	local suite=$1 answer

	base_make "$suite"
	mkdir -p "$CHROOTS/archives/$suite/partial"
	ROOM=$(mktemp -d "$CHROOTS/room.XXXXXX")
	mkdir "$ROOM"/{upper,work,root}
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec {ROOM_FD}< <(exec unshare --mount --pid --fork --kill-child bash -ec '
		base=$1 room=$2 archives=$3
		mount -t overlay overlay -o "lowerdir=$base,upperdir=$room/upper,workdir=$room/work" "$room/root"
		mount -t proc proc "$room/root/proc"
		mount --rbind /dev "$room/root/dev"
		mount -t tmpfs tmpfs "$room/root/dev/shm"
		mount --bind "$archives" "$room/root/var/cache/apt/archives"
		! [ -f /etc/resolv.conf ] || cat /etc/resolv.conf >"$room/root/etc/resolv.conf"
		echo open
		exec sleep infinity' room "$BASE" "$ROOM" "$CHROOTS/archives/$suite" 2>&1 </dev/null)
	ROOM_PID=$!
	read -r answer <&"$ROOM_FD" || true
	[ "$answer" = open ] || die "cannot make a chroot of $suite: $answer"
	ROOM_PID=$(pgrep -P "$ROOM_PID") # unshare's child, the namespaces' first process
}

# room_run COMMAND...: in the open room, as root of a machine that has nothing of
# the caller's environment.
room_run()
{
	room_input "$@" </dev/null
}

# The same, with our standard input.
room_input()
{
	nsenter --target "$ROOM_PID" --mount --pid --root="/proc/$ROOM_PID/root$ROOM/root" \
		/usr/bin/env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# room_put FOLDER: the files of the checkout, without what building and testing
# left, in the room's FOLDER (an absolute path).
room_put()
{
	room_run mkdir -p "$1"
	tar -C "$TOP" -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=./tmp_check --exclude=./tmp_build --exclude=./results . |
		nsenter --target "$ROOM_PID" --mount --pid \
		--root="/proc/$ROOM_PID/root$ROOM/root" tar -C "$1" -xf - --no-same-owner
}

# room_bind FOLDER TARGET: show a folder of ours in the room, to read.
room_bind()
{
	# shellcheck disable=SC2016 # expanded by the inner shell
	nsenter --target "$ROOM_PID" --mount bash -ec '
		mkdir -p "$2"
		mount --bind "$1" "$2"
		mount -o remount,bind,ro "$2"' bind "$1" "$ROOM/root$2"
}

# The process that holds the room ends, with all that ran in it, and the mounts go.
room_close()
{
	[ -n "${ROOM:-}" ] || return 0
	if [ -n "${ROOM_PID:-}" ]; then
		kill -KILL "$ROOM_PID" 2>/dev/null || true
		cat <&"$ROOM_FD" >/dev/null # until the last one has gone
		exec {ROOM_FD}<&-
	fi
	rm -rf --one-file-system "$ROOM"
	ROOM='' ROOM_PID=''
}

rooms_end()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	room_close
	exit "$status"
}
