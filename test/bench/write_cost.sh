#!/bin/bash
# What history costs a writer.
#
# Four tables of the same shape: untracked, tracked with a time column, tracked
# with a tracking table, and one with PL/pgSQL row triggers that do what the
# time column's history does.  On each: single-row UPDATEs by key and single-row
# INSERTs (one connection, one transaction each), and an UPDATE of 100,000 rows
# in one statement.  The tables take turns, so that the machine's moods meet all of
# them; the median of the rounds is shown, and its ratio to the untracked table.
#
#   ROUNDS   how many turns each table takes, 5 unless told
#   SECONDS_PER_TURN   how long single-row statements run, 2 unless told

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/private_server.sh"
rounds=${ROUNDS:-5}
seconds=${SECONDS_PER_TURN:-2}
tables="untracked timed tracking plpgsql"

run_psql <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION catmaid_history;
DO $do$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY '{untracked,timed,tracking,plpgsql}'::text[] LOOP
		EXECUTE format('CREATE TABLE %I (id bigint PRIMARY KEY, project_id int NOT NULL,
			user_id int NOT NULL, location_x float8, location_y float8, location_z float8,
			comment text, edition_time timestamptz NOT NULL DEFAULT now(),
			txid bigint NOT NULL DEFAULT txid_current())', t);
		EXECUTE format('INSERT INTO %I SELECT i, i %% 10, i %% 7, i, i * 2, i * 3,
			''some comment '' || i FROM generate_series(1, 100000) AS i', t);
	END LOOP;
END
$do$;
SELECT create_history_table('timed', 'edition_time', 'txid');
SELECT create_history_table('tracking');

-- The same by hand: complete old row, period, transaction; the same three indexes.
CREATE TABLE plpgsql_history (LIKE plpgsql,
	sys_period tstzrange NOT NULL, exec_transaction_id bigint NOT NULL);
CREATE FUNCTION plpgsql_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO plpgsql_history SELECT OLD.*,
		tstzrange(least(OLD.edition_time, current_timestamp), current_timestamp), txid_current();
	RETURN NULL;
END $$;
CREATE FUNCTION plpgsql_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.txid := txid_current();
	RETURN NEW;
END $$;
CREATE TRIGGER record AFTER UPDATE OR DELETE ON plpgsql FOR EACH ROW EXECUTE FUNCTION plpgsql_record();
CREATE TRIGGER stamp BEFORE UPDATE ON plpgsql FOR EACH ROW EXECUTE FUNCTION plpgsql_stamp();
-- Whatever kinds of index the extension makes.
DO $do$
DECLARE d text;
BEGIN
	FOR d IN SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'timed__history'::regclass LOOP
		EXECUTE regexp_replace(d, '^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING', 'CREATE \1INDEX ON plpgsql_history USING');
	END LOOP;
END
$do$;
VACUUM ANALYZE;
SQL

cat >"$home/update.sql" <<'SQL'
\set id random(1, 100000)
UPDATE TABLE_NAME SET location_x = location_x + 1, edition_time = now() WHERE id = :id;
SQL
cat >"$home/insert.sql" <<'SQL'
INSERT INTO TABLE_NAME (id, project_id, user_id, location_x, location_y, location_z, comment) VALUES (nextval('ids'), 1, 1, 1, 2, 3, 'new');
SQL
run_psql -c 'CREATE SEQUENCE ids START 1000000'

# Microseconds for each transaction of a pgbench script on a table.
microseconds() {
	sed "s/TABLE_NAME/$2/" "$1" >"$home/script.sql"
	"$bindir/pgbench" -h "$home" -U postgres -n -M prepared -T "$seconds" -f "$home/script.sql" postgres 2>"$home/pgbench.log" |
		sed -n 's/^latency average = \([0-9.]*\) ms$/\1/p' | awk '{ printf "%.1f\n", $1 * 1000 }'
}

for round in $(seq "$rounds"); do
	for t in $tables; do
		microseconds "$home/update.sql" "$t" >>"$home/update.$t"
	done
	for t in $tables; do
		microseconds "$home/insert.sql" "$t" >>"$home/insert.$t"
	done
	for t in $tables; do
		echo "UPDATE $t SET location_y = location_y + 1, edition_time = now() WHERE id <= 100000;" >"$home/bulk.sql"
		milliseconds "$home/bulk.sql" >>"$home/bulk.$t"
		run_psql -c "VACUUM $t"
	done
done

printf '%-22s %12s %12s %12s %12s\n' "" $tables
for what in update insert bulk; do
	case $what in
		update) label="UPDATE, 1 row (us)" ;;
		insert) label="INSERT, 1 row (us)" ;;
		bulk) label="UPDATE, 100,000 (ms)" ;;
	esac
	base=$(median <"$home/$what.untracked")
	printf '%-22s' "$label"
	for t in $tables; do printf ' %12s' "$(median <"$home/$what.$t")"; done
	printf '\n%-22s' "  ratio"
	for t in $tables; do
		printf ' %12s' "$(awk -v a="$(median <"$home/$what.$t")" -v b="$base" 'BEGIN { printf "%.2f", a / b }')"
	done
	printf '\n'
done
