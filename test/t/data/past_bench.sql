-- Queries on pgbench's tables, for time_machine_queries.pl: one a line.
SELECT count(*), sum(abalance) FROM pgbench_accounts
SELECT sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_accounts
SELECT sum(tbalance) - (SELECT sum(delta) FROM pgbench_history) FROM pgbench_tellers
SELECT * FROM pgbench_tellers
SELECT * FROM pgbench_branches
SELECT aid, abalance FROM pgbench_accounts WHERE abalance <> 0
SELECT abalance FROM pgbench_accounts WHERE aid = 4711
SELECT aid, abalance FROM pgbench_accounts ORDER BY abalance DESC, aid LIMIT 10
SELECT a.aid, h.delta FROM pgbench_accounts a JOIN pgbench_history h USING (aid) WHERE h.delta > 4000
SELECT t.tid, count(h.aid), sum(h.delta) FROM pgbench_tellers t LEFT JOIN pgbench_history h USING (tid) GROUP BY t.tid
SELECT aid, sum(delta) FROM pgbench_history GROUP BY aid HAVING count(*) > 1
SELECT count(*) FROM pgbench_accounts a WHERE EXISTS (SELECT FROM pgbench_history h WHERE h.aid = a.aid)
SELECT count(*) FROM pgbench_accounts a WHERE aid < 500 AND NOT EXISTS (SELECT FROM pgbench_history h WHERE h.aid = a.aid)
SELECT a.aid FROM pgbench_accounts a WHERE a.abalance <> (SELECT coalesce(sum(delta), 0) FROM pgbench_history h WHERE h.aid = a.aid) AND aid < 300
SELECT width_bucket(abalance, -5000, 5000, 10), count(*) FROM pgbench_accounts GROUP BY 1
SELECT id, delta, sum(delta) OVER (PARTITION BY tid ORDER BY id) FROM pgbench_history
SELECT max(aid), min(aid) FROM pgbench_accounts
SELECT count(DISTINCT aid) FROM pgbench_history
SELECT b.bid, x.aid FROM pgbench_branches b, LATERAL (SELECT aid FROM pgbench_accounts a WHERE a.bid = b.bid AND abalance > 0 ORDER BY abalance, aid LIMIT 3) x
SELECT aid FROM pgbench_history EXCEPT SELECT aid FROM pgbench_accounts WHERE abalance = 0
WITH h AS (SELECT aid, sum(delta) AS d FROM pgbench_history GROUP BY aid) SELECT count(*), sum(d) FROM h JOIN pgbench_accounts USING (aid) WHERE d = abalance
SELECT corr(abalance, aid)::numeric(10,6) FROM pgbench_accounts WHERE aid BETWEEN 1 AND 1000
SELECT a.aid, a.filler FROM pgbench_accounts a WHERE a.aid BETWEEN 10 AND 20
SELECT h FROM pgbench_history h ORDER BY h.id LIMIT 5
