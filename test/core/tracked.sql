-- The database in which script/test-core-suite runs PostgreSQL's own regression
-- tests: settings as pg_regress gives them to one it makes, the extension, and
-- tracked tables of every kind, so that the follower has something to follow.
ALTER DATABASE regression SET lc_messages TO 'C';
ALTER DATABASE regression SET lc_monetary TO 'C';
ALTER DATABASE regression SET lc_numeric TO 'C';
ALTER DATABASE regression SET lc_time TO 'C';
ALTER DATABASE regression SET bytea_output TO 'hex';
ALTER DATABASE regression SET timezone_abbreviations TO 'Default';
CREATE EXTENSION catmaid_history;
CREATE SCHEMA watched;
CREATE TABLE watched.watched_parent (id int PRIMARY KEY, v text);
CREATE TABLE watched.watched_child (PRIMARY KEY (id)) INHERITS (watched.watched_parent);
CREATE TABLE watched.watched_timed (id int PRIMARY KEY, edition_time timestamptz, txid bigint);
CREATE TABLE watched.watched_root (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE watched.watched_part PARTITION OF watched.watched_root FOR VALUES FROM (0) TO (10);
SELECT create_history_table('watched.watched_child'),
       create_history_table('watched.watched_root'),
       create_history_table('watched.watched_timed', 'edition_time', 'txid');
