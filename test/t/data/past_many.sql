-- Queries of every kind, for time_machine_queries.pl: one a line.
SELECT * FROM many WHERE a < 20
SELECT count(*), sum(a), avg(b)::numeric(10,3), min(s), max(s) FROM many
SELECT m.a, n.b FROM many m, many n WHERE m.a = n.b AND m.two = 0
SELECT * FROM j1 JOIN j2 USING (i)
SELECT * FROM j1 NATURAL JOIN j2
SELECT * FROM j1 CROSS JOIN j2
SELECT * FROM j1 LEFT JOIN j2 USING (i)
SELECT * FROM j1 RIGHT JOIN j2 ON j1.i = j2.k
SELECT * FROM j1 FULL JOIN j2 USING (i)
SELECT * FROM j1 FULL JOIN j2 ON j1.i = j2.i AND j1.j = 3
SELECT x, count(*) FROM (SELECT CASE WHEN j2.i IS NULL THEN 'none' ELSE j1.t END AS x FROM j1 LEFT JOIN j2 ON j1.i = j2.i) q GROUP BY x
SELECT j1.i, j2.i, m.a FROM j1 LEFT JOIN (j2 LEFT JOIN many m ON m.a = j2.k) ON j2.i = j1.i
SELECT j1.i, q.c FROM j1 LEFT JOIN (SELECT i, 'const' AS c FROM j2) q ON q.i = j1.i
SELECT j1.i, q.z FROM j1 LEFT JOIN (SELECT i, coalesce(k, 0) AS z FROM j2) q ON q.i = j1.i WHERE q.z IS NULL OR q.z > 1
SELECT a.i, b.i, c.i FROM (j1 a LEFT JOIN j2 b ON a.i = b.k) FULL JOIN j1 c ON c.j = b.i
SELECT j1.* FROM j1 WHERE EXISTS (SELECT 1 FROM j2 WHERE j2.i = j1.i)
SELECT j1.* FROM j1 WHERE i NOT IN (SELECT i FROM j2 WHERE i IS NOT NULL)
SELECT j1.* FROM j1 WHERE i NOT IN (SELECT i FROM j2)
SELECT * FROM j1 WHERE (i, j) IN (SELECT i, k FROM j2)
SELECT * FROM j1 WHERE i = ANY (SELECT k FROM j2) OR j > ALL (SELECT k FROM j2 WHERE k < 3)
SELECT ARRAY(SELECT k FROM j2 WHERE j2.i = j1.i ORDER BY k) FROM j1
SELECT (SELECT (j2, j1.t) FROM j2 WHERE j2.i = j1.i ORDER BY k LIMIT 1) FROM j1
SELECT j1.i, (SELECT count(*) FROM j2 WHERE j2.i = j1.i AND (SELECT max(a) FROM many WHERE a <= j2.k) IS NOT NULL) FROM j1
SELECT u.x, l.* FROM (VALUES (1), (3)) u(x), LATERAL (SELECT m.a, m.s FROM many m WHERE m.ten = u.x ORDER BY a LIMIT 3) l
SELECT j1.i, l.n FROM j1 LEFT JOIN LATERAL (SELECT count(*) AS n, j1.j AS outer_j FROM j2 WHERE j2.k > j1.i) l ON true
SELECT j1.i, f.g FROM j1, generate_series(1, j1.i) f(g)
SELECT j1.i, l.* FROM j1, LATERAL (VALUES (j1.i), (j1.j)) l(v), LATERAL (SELECT a FROM many WHERE a = l.v) m
SELECT two, ten, count(*) FROM many GROUP BY two, ten
SELECT ten, sum(DISTINCT b % 7), count(DISTINCT s) FROM many GROUP BY ten
SELECT ten, array_agg(a ORDER BY b DESC) FILTER (WHERE a < 60) FROM many GROUP BY ten
SELECT string_agg(s, '|' ORDER BY a) FROM many WHERE a < 12
SELECT ten FROM many GROUP BY ten HAVING sum(a) > 4800
SELECT percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY b) FROM many
SELECT ten, mode() WITHIN GROUP (ORDER BY two), rank(55) WITHIN GROUP (ORDER BY a) FROM many GROUP BY ten
SELECT var_samp(a)::numeric(30,2), stddev_pop(b)::numeric(30,2), regr_slope(a, b)::numeric(30,6) FROM many
SELECT bit_and(a), bit_or(b), bool_or(a = 3), every(a >= 0) FROM many
SELECT max(a) FROM many WHERE ten = 4
SELECT min(s), max(s) FROM many WHERE a > 10
SELECT (SELECT max(m.a) FROM many m WHERE m.b < j1.i * 20) FROM j1
SELECT max(j1.i) OVER (), sum(sum(j)) OVER (ORDER BY i) FROM j1 GROUP BY i
SELECT two, ten, sum(a) FROM many GROUP BY GROUPING SETS ((two, ten), (two), ())
SELECT two, ten, grouping(two, ten), count(*) FROM many GROUP BY CUBE (two, ten)
SELECT ten, two, grouping(two), max(b) FROM many GROUP BY ROLLUP (ten, two) HAVING grouping(ten) = 0
SELECT two, t.g, count(*) FROM many, (VALUES (1), (2)) t(g) GROUP BY GROUPING SETS (two, t.g), ROLLUP (two)
SELECT a, ten, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w FROM many WHERE a < 40 WINDOW w AS (PARTITION BY two ORDER BY ten)
SELECT a, ntile(4) OVER (ORDER BY a), cume_dist() OVER (ORDER BY ten) FROM many WHERE a < 30
SELECT a, lag(b, 2, -1) OVER (ORDER BY a), lead(s) OVER (PARTITION BY ten ORDER BY a) FROM many WHERE a < 50
SELECT a, first_value(b) OVER w, last_value(b) OVER w, nth_value(b, 2) OVER w FROM many WHERE a < 40 WINDOW w AS (PARTITION BY ten ORDER BY a ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
SELECT a, sum(b) OVER (ORDER BY a RANGE BETWEEN 5 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW) FROM many WHERE a < 40
SELECT a, count(*) OVER (ORDER BY ten GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM many WHERE a < 40
SELECT * FROM (SELECT a, row_number() OVER (PARTITION BY ten ORDER BY b DESC, a) AS r FROM many) q WHERE r <= 2
SELECT ten, sum(count(*)) OVER (ORDER BY ten) FROM many GROUP BY ten
WITH q AS (SELECT ten, avg(a) AS m FROM many GROUP BY ten) SELECT many.a FROM many JOIN q USING (ten) WHERE many.a > q.m + 70
WITH q AS MATERIALIZED (SELECT * FROM j1), r AS (SELECT * FROM q WHERE i > 1) SELECT r.i, q.j FROM r JOIN q USING (i)
WITH q AS NOT MATERIALIZED (SELECT * FROM many) SELECT x.a FROM q x JOIN q y ON x.a = y.b WHERE x.ten = 3
WITH RECURSIVE t(n) AS (SELECT min(a) FROM many UNION ALL SELECT n + 10 FROM t WHERE n < (SELECT max(a) FROM many)) SELECT sum(n), count(*) FROM t
WITH RECURSIVE r AS (SELECT i, ARRAY[i] AS path FROM j1 WHERE i = 1 UNION ALL SELECT j2.k, path || j2.k FROM r JOIN j2 ON j2.i = r.i WHERE j2.k <> ALL (path)) SELECT * FROM r
WITH RECURSIVE c AS (SELECT id, boss, name, 1 AS level FROM emp WHERE boss IS NULL UNION ALL SELECT e.id, e.boss, e.name, level + 1 FROM emp e JOIN c ON e.boss = c.id) SELECT level, count(*), min(name) FROM c GROUP BY level
WITH RECURSIVE x AS (SELECT 1 AS n UNION SELECT n + 1 FROM x WHERE n < (SELECT count(*) FROM j1)), y AS (SELECT n FROM x UNION ALL SELECT j FROM j1) SELECT n, count(*) FROM y GROUP BY n
WITH outermost AS (WITH inner_one AS (SELECT i FROM j1) SELECT i FROM inner_one UNION SELECT (SELECT max(k) FROM j2)) SELECT * FROM outermost
SELECT * FROM (WITH q AS (SELECT max(a) AS m FROM many) SELECT j1.i, q.m FROM j1, q) z WHERE i < 3
SELECT i FROM j1 UNION SELECT k FROM j2
SELECT i FROM j1 UNION ALL SELECT k FROM j2 UNION ALL SELECT a FROM many WHERE a < 3
SELECT i FROM j1 INTERSECT SELECT k FROM j2
SELECT i FROM j1 EXCEPT ALL SELECT k FROM j2
(SELECT a FROM many ORDER BY a DESC LIMIT 3) UNION ALL (SELECT i FROM j1 ORDER BY i NULLS FIRST LIMIT 2)
SELECT i, t FROM j1 UNION SELECT a, s FROM many WHERE a < 5 ORDER BY 1 LIMIT 4
SELECT DISTINCT ten, two FROM many
SELECT DISTINCT ON (ten) ten, a, b FROM many ORDER BY ten, b DESC, a
SELECT count(*) FROM (SELECT DISTINCT s, ten FROM many) q
SELECT a FROM many ORDER BY b, a LIMIT 10 OFFSET 7
SELECT a FROM many ORDER BY ten DESC, s NULLS LAST, a FETCH FIRST 5 ROWS ONLY
SELECT ten FROM many ORDER BY ten FETCH FIRST 3 ROWS WITH TIES
SELECT a FROM many WHERE b BETWEEN 30 AND 60 ORDER BY b, a LIMIT (SELECT count(*) FROM j1)
SELECT CASE WHEN a % 3 = 0 THEN 'three' WHEN s IS NULL THEN 'null' ELSE s END, count(*) FROM many GROUP BY 1
SELECT nullif(two, 1), coalesce(s, 'none'), greatest(a, b, 40), least(a, b) FROM many WHERE a < 25
SELECT m FROM many m WHERE m.a = 3
SELECT (m).s, (m).a + 1 FROM many m WHERE a < 5
SELECT m.* IS NULL, m IS NOT NULL, m = m FROM many m WHERE a < 5
SELECT j1 = ROW(1, 4, 'one')::j1, j1 < (SELECT x FROM j1 x ORDER BY x DESC LIMIT 1) FROM j1
SELECT count(j2), count(j2.*) FROM j1 LEFT JOIN j2 ON j2.i = j1.i
SELECT j1, j2 FROM j1 FULL JOIN j2 ON j2.k = j1.j
SELECT jsonb_object_agg(a, s ORDER BY a) FROM many WHERE a < 6
SELECT to_jsonb(m) - 's' FROM many m WHERE ten = 2 AND a < 50
SELECT row_to_json(q) FROM (SELECT i, (SELECT jsonb_agg(j2 ORDER BY k) FROM j2 WHERE j2.i = j1.i) AS subs FROM j1) q
SELECT unnest(ARRAY[a, b]) FROM many WHERE a < 5
SELECT a, unnest(string_to_array(s, '_')) FROM many WHERE a < 5
SELECT * FROM arr WHERE tags @> ARRAY['x'] OR 'y' = ANY (tags)
SELECT id, tags[1], cardinality(tags), doc -> 'k', doc ->> 'n' FROM arr
SELECT id FROM arr WHERE doc @> '{"k": 1}'
SELECT tag, count(*) FROM arr, unnest(tags) tag GROUP BY tag
SELECT id, during, upper(during), lower_inc(during) FROM arr WHERE during && '[2,6)'
SELECT a FROM many WHERE s LIKE 'v%1' AND a IN (1, 11, 21, 31)
SELECT a FROM many WHERE s IS NULL
SELECT a FROM many WHERE (ten, two) = (3, 1)
SELECT a FROM many WHERE a = ANY ('{1,5,7,1000}'::int[]) OR b < 3
SELECT count(*) FROM many WHERE NOT (two = 1 AND ten > 4) OR s ~ '5$'
SELECT count(*) FROM pr
SELECT * FROM pr WHERE k < 30
SELECT * FROM pr WHERE k = 77
SELECT * FROM pr_1
SELECT v, count(*) FROM pr GROUP BY v
SELECT pr.k, pl.v FROM pr JOIN pl ON pr.k = pl.k
SELECT pr.k, q.k FROM pr LEFT JOIN (SELECT * FROM pr WHERE v > 3) q ON q.k = pr.k
SELECT a.k, b.k FROM pr a FULL JOIN pr b ON a.k = b.k + 1 WHERE a.k IS NULL OR b.k IS NULL OR a.k % 10 = 0
SELECT a.k FROM pr a WHERE EXISTS (SELECT FROM pl b WHERE b.k = a.k)
SELECT a.k FROM pr a WHERE a.k NOT IN (SELECT k FROM pl)
SELECT pl.c, sum(pr.v), count(*) FROM pr JOIN pl USING (k) GROUP BY pl.c
SELECT c, max(k) FROM pl GROUP BY c
SELECT k FROM pl WHERE c IN ('a', 'c')
SELECT k, c FROM pl ORDER BY k DESC LIMIT 8
SELECT max(k), min(k) FROM pr
SELECT * FROM pl WHERE c = 'b' AND k > 10
SELECT h.c, h.k FROM pl_b h
SELECT k, v FROM pr ORDER BY k LIMIT 5
SELECT k FROM pr UNION SELECT k FROM pl
SELECT r.k, (SELECT count(*) FROM pl WHERE pl.k < r.k) FROM pr r WHERE r.k < 12
SELECT a.k, l.c FROM pr a, LATERAL (SELECT c FROM pl WHERE pl.k >= a.k ORDER BY pl.k LIMIT 1) l WHERE a.v = 2
SELECT pr FROM pr WHERE k < 6
SELECT name, altitude FROM city
SELECT name, altitude FROM ONLY city
SELECT name, state FROM capital
SELECT c.name FROM city c WHERE altitude > (SELECT avg(altitude) FROM city)
SELECT p.name, c.state FROM city p LEFT JOIN capital c USING (id)
SELECT count(*), sum(altitude) FROM city
SELECT city FROM city
SELECT c.name, s.n FROM city c, LATERAL (SELECT count(*) AS n FROM emp WHERE emp.city = c.id) s
SELECT c.name, e.name FROM city c FULL JOIN emp e ON e.city = c.id
SELECT name FROM city ORDER BY altitude DESC, name LIMIT 3
SELECT max(altitude) FROM city
SELECT id FROM city EXCEPT SELECT id FROM capital
SELECT e.name, b.name AS boss FROM emp e LEFT JOIN emp b ON b.id = e.boss
SELECT b.name, count(*), sum(e.salary) FROM emp e JOIN emp b ON e.boss = b.id GROUP BY b.id
SELECT name FROM emp e WHERE salary > (SELECT avg(salary) FROM emp x WHERE x.boss = e.boss)
SELECT name, salary, salary - lag(salary) OVER (ORDER BY salary, id) FROM emp
SELECT e.name, c.name, k.state FROM emp e JOIN city c ON c.id = e.city LEFT JOIN capital k ON k.id = c.id
SELECT dense.r, count(*) FROM (SELECT dense_rank() OVER (ORDER BY salary) AS r FROM emp) dense GROUP BY 1
SELECT id, name, salary::money > 100::money FROM emp WHERE salary IS NOT NULL
SELECT avg(salary) FILTER (WHERE boss IS NOT NULL) FROM emp
SELECT sum(salary) OVER (PARTITION BY city ORDER BY id) FROM emp
SELECT * FROM rich
SELECT * FROM rich WHERE name > 'f'
SELECT r.name, count(*) FROM rich r JOIN many m ON m.ten = r.id % 10 GROUP BY r.name
SELECT * FROM per_ten
SELECT p.ten, j1.t FROM per_ten p LEFT JOIN j1 ON j1.i = p.ten
SELECT * FROM nested WHERE ten < 5
SELECT * FROM emps_of(2)
SELECT e.id, x.name FROM emp e, emps_of(e.id) x
SELECT emp.id, total(emp.id) FROM emp
SELECT total(NULL)
SELECT count(*) FROM many m1 JOIN many m2 USING (ten) JOIN many m3 ON m3.a = m1.a WHERE m1.a < 5
SELECT many.a, pr.v, city.name, emp.name FROM many JOIN pr ON pr.k = many.a JOIN city ON city.id = many.ten LEFT JOIN emp ON emp.city = city.id WHERE many.a < 30
SELECT x.a FROM many x LEFT JOIN many y ON y.a = x.a + 1 LEFT JOIN pr ON pr.k = y.a WHERE pr.k IS NULL AND x.a < 50
SELECT t.x FROM (SELECT a AS x FROM many UNION ALL SELECT k FROM pr UNION ALL SELECT id FROM city) t WHERE t.x < 8
SELECT sum(x) FROM (SELECT a AS x, 'm' AS src FROM many UNION ALL SELECT k, 'p' FROM pr) u GROUP BY src
SELECT 1 FROM many HAVING count(*) > 3
SELECT count(*) FROM many WHERE a IN (SELECT unnest(ARRAY[k, v]) FROM pr)
SELECT EXISTS (SELECT FROM many WHERE a = 13), EXISTS (SELECT FROM pr WHERE k = 13)
SELECT a, b FROM many WHERE a IN (SELECT max(a) FROM many GROUP BY ten)
SELECT array_agg(q ORDER BY q) FROM (SELECT i, j FROM j1) q
SELECT (SELECT sum(x.i) FROM (SELECT i FROM j1 UNION ALL SELECT k FROM j2 WHERE j2.i < emp.id) x) FROM emp
SELECT xmlforest(id, name)::text FROM emp
SELECT extract(epoch FROM make_interval(hours => a)) FROM many WHERE a < 4
SELECT a, random() < 2, current_database() IS NOT NULL FROM many WHERE a < 3
SELECT grouping(ten), ten, (SELECT count(*) FROM j1 WHERE j1.i = many.ten) FROM many GROUP BY ROLLUP (ten)
SELECT * FROM (SELECT a, b FROM many OFFSET 0) q WHERE a < 4
SELECT q.a FROM (SELECT a, count(*) OVER () AS n FROM many WHERE two = 1) q WHERE n > 10 AND a < 20
VALUES ((SELECT count(*) FROM many)), ((SELECT max(k) FROM pr))
TABLE j1
TABLE emp ORDER BY id LIMIT 2
SELECT j1.i FROM j1 JOIN LATERAL (SELECT k FROM j2 WHERE j2.i = j1.i UNION SELECT a FROM many WHERE a = j1.i) u ON u.k = j1.j
SELECT t1.i FROM j1 t1 WHERE t1.i = (SELECT count(*) FROM j1 t2 WHERE t2.i <= t1.i AND EXISTS (SELECT 1 FROM j2 WHERE j2.k = t2.j))
SELECT count(*) FROM (SELECT * FROM j1 LEFT JOIN j2 USING (i) OFFSET 0) q FULL JOIN pr ON pr.k = q.i
SELECT a.id, b.id FROM emp a JOIN emp b ON a.salary BETWEEN b.salary - 10 AND b.salary + 10 AND a.id < b.id
SELECT ten, count(*) FROM many GROUP BY ten ORDER BY count(*) DESC, ten LIMIT 3
SELECT sum(s.total) FROM (SELECT ten, sum(a) AS total FROM many GROUP BY ten UNION ALL SELECT v, sum(k) FROM pr GROUP BY v) s
