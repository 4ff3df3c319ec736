#!/bin/bash
# What the index on exec_transaction_id costs and gives: a btree, as it is made, against BRIN.
#
# A table with a time column and a history of VERSIONS versions, ten to a transaction, in the order
# in which they ended.  For each kind of index: its size; one transaction's versions; the versions
# of 100 entries of the log, joined; history_changes() of one transaction, with an index on the live table's
# txid column, and with one on the history's besides; and an UPDATE of 50,000 rows, rolled back.  Milliseconds that the server took, the fastest of
# ROUNDS, in which the kinds take turns.
#
#   VERSIONS  2000000 unless told
#   ROUNDS    7 unless told

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/private_server.sh"
versions=${VERSIONS:-2000000}
rounds=${ROUNDS:-7}

run_psql -v versions="$versions" <<'SQL' >/dev/null
SET client_min_messages = warning;
CREATE EXTENSION catmaid_history;
CREATE TABLE t (id bigint PRIMARY KEY, project_id int, user_id int, x float8, y float8, z float8, note text,
	edited timestamptz NOT NULL DEFAULT now(), txid bigint NOT NULL DEFAULT txid_current());
INSERT INTO t SELECT i, 1, i % 50, i, i, i, 'some note ' || i, now(), 3 FROM generate_series(1, 200000) i;
SELECT create_history_table('t', 'edited', 'txid');
ALTER TABLE t__history DISABLE TRIGGER USER;
-- numbers of transactions that are far above any real one
INSERT INTO t__history (id, project_id, user_id, x, y, z, note, edited, txid, sys_period, exec_transaction_id)
	SELECT (i::bigint * 7919) % 200000 + 1, 1, i % 50, i, i, i, 'some note ' || i, now() - interval '1 year', 1000000000 + i / 10 - 1,
		tstzrange('2020-01-01'::timestamptz + i * interval '1 ms', '2020-01-01'::timestamptz + (i / 10 + 1) * interval '20 ms'), 1000000000 + i / 10
	FROM generate_series(1, :versions) i;
CREATE INDEX t_txid ON t (txid);
INSERT INTO catmaid_transaction_info (transaction_id, execution_time, user_id, change_type, label)
	SELECT 1000000000 + i * (:versions / 10 / 100), '2020-01-01', i % 50, 'Backend', 'l' FROM generate_series(1, 99) i;
CREATE FUNCTION kind(to_be text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
		WHERE indrelid = 't__history'::regclass AND indkey::text = (SELECT attnum::text FROM pg_attribute WHERE attrelid = 't__history'::regclass AND attname = 'exec_transaction_id'));
	EXECUTE format('CREATE INDEX t__history_exec_transaction_id ON t__history USING %s', to_be);
END $$;
CREATE FUNCTION took(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || query INTO j;
	RETURN (j -> 0 ->> 'Planning Time')::float8 + (j -> 0 ->> 'Execution Time')::float8;
END $$;
CREATE TABLE result (kind text, what text, ms float8);
VACUUM ANALYZE;
SQL
for ((round = 1; round <= rounds; round++)); do
	for kind in 'btree (exec_transaction_id)' 'brin (exec_transaction_id) WITH (pages_per_range = 32)' 'brin (exec_transaction_id)'; do
		run_psql -v kind="$kind" -v middle=$((1000000000 + versions / 20 + round)) <<'SQL' >/dev/null
SELECT kind(:'kind');
INSERT INTO result SELECT :'kind', 'size, kB', pg_relation_size('t__history_exec_transaction_id') / 1024.0;
INSERT INTO result SELECT :'kind', 'one transaction', took(format('SELECT * FROM t__history WHERE exec_transaction_id = %s', :'middle')) FROM generate_series(1, 5);
INSERT INTO result SELECT :'kind', '99 entries of the log, joined', took('SELECT * FROM catmaid_transaction_info JOIN t__history ON exec_transaction_id = transaction_id');
INSERT INTO result SELECT :'kind', 'history_changes', took(format('SELECT * FROM history_changes(''{t}'', transactions => ''{%s}'')', :'middle')) FROM generate_series(1, 5);
CREATE INDEX by_maker ON t__history (txid);
INSERT INTO result SELECT :'kind', 'history_changes, an index on who made versions', took(format('SELECT * FROM history_changes(''{t}'', transactions => ''{%s}'')', :'middle')) FROM generate_series(1, 5);
DROP INDEX by_maker;
BEGIN;
SELECT took('UPDATE t SET x = x + 1, edited = now() WHERE id BETWEEN 50001 AND 100000') AS ms \gset
ROLLBACK;
INSERT INTO result VALUES (:'kind', 'UPDATE of 50,000 rows', :ms);
VACUUM t, t__history;
SQL
	done
done
"$bindir/psql" -X -q -h "$home" -U postgres -d postgres -c "SELECT what, round(min(ms) FILTER (WHERE kind LIKE 'btree%')::numeric, 2) AS btree,
	round(min(ms) FILTER (WHERE kind LIKE 'brin%32)')::numeric, 2) AS brin_32, round(min(ms) FILTER (WHERE kind = 'brin (exec_transaction_id)')::numeric, 2) AS brin_128 FROM result GROUP BY 1 ORDER BY 1"
