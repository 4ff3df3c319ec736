-- Section 5: an old value that cannot be converted costs the subtransactions that are needed
-- to find it, not one for every row.  A row that a subtransaction has converted bears its id.
\ir lib/start.psql
SELECT plan(6);
CREATE EXTENSION catmaid_history;
CREATE TABLE good (id int PRIMARY KEY, a text);
CREATE TABLE bad (id int PRIMARY KEY, a text);
SELECT create_history_table('good'), create_history_table('bad') \g /dev/null
INSERT INTO good SELECT g, g::text FROM generate_series(1, 3000) g;
INSERT INTO bad SELECT g, CASE WHEN g % 1000 = 7 THEN 'x' ELSE g::text END FROM generate_series(1, 3000) g;
UPDATE good SET a = a;
UPDATE bad SET a = a;
UPDATE bad SET a = '0' WHERE a = 'x';
SET client_min_messages = error;
ALTER TABLE good ALTER a TYPE int USING a::int;
ALTER TABLE bad ALTER a TYPE int USING a::int;
RESET client_min_messages;
SELECT is((SELECT count(*) FROM bad__history), 3003::bigint, 'all versions are there');
SELECT is((SELECT count(*) FROM bad__history WHERE a IS NULL), 6::bigint, 'those that cannot be converted are NULL');
SELECT is((SELECT string_agg(DISTINCT a_1, ' ') FROM bad__history WHERE a IS NULL), 'x', '... and kept');
SELECT is((SELECT count(*) FROM bad__history WHERE a::text IS DISTINCT FROM a_1 AND a_1 <> 'x'), 0::bigint, 'the others are converted');
SELECT cmp_ok((SELECT count(DISTINCT xmin::text) FROM good__history), '<=', 2::bigint, 'without one, no subtransaction for rows');
SELECT cmp_ok((SELECT count(DISTINCT xmin::text) FROM bad__history), '<', 400::bigint, 'six of 3,003: as many as halving needs');
SELECT * FROM finish();
