# shellcheck shell=bash disable=SC2030,SC2031 # a job's counts are its own
# Shared by the scripts that do many things side by side (source it, don't run
# it): jobs, as many at a time as there are processors, whose output comes in the
# order in which the jobs were added.
#
# A job is a function of the calling script and its arguments, without blanks in
# them.  It runs in a process of its own, counts what passed, failed and was
# skipped in PASSED, FAILED and SKIPPED, and those add up in the caller's.  A job
# that ends before its time has failed.
#
# Jobs that take long are added as such.  Half of the processors begin with these,
# the others with the first of the rest, and either goes on with what the other has
# left.  So something is printed early, and what is done last is short.
#
# Environment: JOBS is how many run at a time; JOBS_SECONDS is a file to which each
# job adds how long it took.
#
# Every job is a process group, which script/lib.sh's cleanup ends.

JOBS=${JOBS:-$(nproc)}
QUEUE=() SHORT=() LONG=() # all jobs; the numbers of those that are short, and long

# job_add FUNCTION [ARGUMENT...]
job_add()
{
	SHORT+=("${#QUEUE[@]}")
	QUEUE+=("$*")
}

job_add_long()
{
	LONG+=("${#QUEUE[@]}")
	QUEUE+=("$*")
}

# jobs_run FOLDER: run what was added; files of ours are in FOLDER.
jobs_run()
{
	local folder=$1 next=0 long=0 pid job
	local -A job_of=() is_long=() ended=()

	mkdir -p "$folder"
	while :; do
		while [ "${#job_of[@]}" -lt "$JOBS" ] && [ $((${#SHORT[@]} + ${#LONG[@]})) -gt 0 ]; do
			if [ "${#SHORT[@]}" = 0 ] ||
				{ [ "${#LONG[@]}" -gt 0 ] && [ "$long" -lt $((JOBS / 2)) ]; }; then
				job=${LONG[0]} LONG=("${LONG[@]:1}") long=$((long + 1))
				job_start "$folder/$job" "${QUEUE[job]}"
				is_long[$!]=yes
			else
				job=${SHORT[0]} SHORT=("${SHORT[@]:1}")
				job_start "$folder/$job" "${QUEUE[job]}"
			fi
			job_of[$!]=$job
		done
		[ "${#job_of[@]}" -gt 0 ] || break

		pid=
		wait -n -p pid "${!job_of[@]}" || true
		# (interrupted by a signal, or the shell has forgotten one that ended)
		[ -n "${pid:-}" ] || pid=$(job_gone "${!job_of[@]}")
		[ -n "$pid" ] || continue
		ended[${job_of[$pid]}]=yes
		[ -z "${is_long[$pid]:-}" ] || long=$((long - 1))
		unset "job_of[$pid]" "is_long[$pid]"
		while [ -n "${ended[$next]:-}" ]; do
			job_report "$folder/$next" "${QUEUE[next]}"
			next=$((next + 1))
		done
	done
	QUEUE=()
}

# Print one of the processes that is not there any more, after a moment if all are.
job_gone()
{
	local pid

	for pid; do
		kill -0 "$pid" 2>/dev/null || {
			echo "$pid"
			return
		}
	done
	sleep 0.1
}

# job_start FILE JOB: in the background; its process is $!.
job_start()
{
	set -m # a process group of its own
	(
		SECONDS=0
		PASSED=0 FAILED=0 SKIPPED=0
		# shellcheck disable=SC2086 # words
		$2
		[ -z "${JOBS_SECONDS:-}" ] || echo "$SECONDS $2" >>"$JOBS_SECONDS"
		echo "$PASSED $FAILED $SKIPPED" >"$1.count"
	) >"$1.out" 2>&1 </dev/null &
	set +m
}

job_report()
{
	local counts

	cat "$1.out"
	counts=$(cat "$1.count" 2>/dev/null)
	if ! [[ $counts =~ ^([0-9]+)\ ([0-9]+)\ ([0-9]+)$ ]]; then
		echo "$2: ended before its time${counts:+, with \"$counts\" for its counts}"
		counts='0 1 0'
	fi
	# shellcheck disable=SC2086 # three numbers
	set -- $counts
	PASSED=$((PASSED + $1)) FAILED=$((FAILED + $2)) SKIPPED=$((SKIPPED + $3))
}
