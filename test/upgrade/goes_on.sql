-- script/test-upgrade: changes go on being recorded, and columns followed.
SET search_path = public, ext;
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.recorded(live regclass, history regclass, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	old jsonb[];
	new jsonb[];
BEGIN
	EXECUTE format('SELECT array_agg(to_jsonb(r) - ''txid'' ORDER BY to_jsonb(r)) FROM ONLY %s r', live) INTO old;
	EXECUTE format('UPDATE ONLY %s SET v = %L', live, change);
	EXECUTE format('SELECT array_agg(to_jsonb(r) - ''txid'' - ''sys_period'' - ''exec_transaction_id'' ORDER BY to_jsonb(r))
		FROM ONLY %s r WHERE exec_transaction_id = txid_current()', history) INTO new;
	RETURN concat_ws(' ', live, change, CASE WHEN old = new THEN 'ok' ELSE concat('not: ', old, new) END);
END $$;
SELECT set_config('my.tables', '{timed,tracked,base,leaf,part_1,"app.\"Odd \"\"one\""}', false) \g /dev/null
SELECT pg_temp.recorded(r, CASE r WHEN 'part_1' THEN 'part__history' ELSE
	(SELECT history_table FROM catmaid_history_table WHERE live_table = r::regclass) END, 'x')
	FROM unnest(current_setting('my.tables')::text[]) r;
ALTER TABLE timed ADD COLUMN later int DEFAULT 1;
ALTER TABLE base ADD COLUMN later int DEFAULT 1;
ALTER TABLE part ADD COLUMN later int DEFAULT 1;
ALTER TABLE tracked RENAME COLUMN id TO key;
SELECT pg_temp.recorded(r, CASE r WHEN 'part_1' THEN 'part__history' ELSE
	(SELECT history_table FROM catmaid_history_table WHERE live_table = r::regclass) END, 'y')
	FROM unnest(current_setting('my.tables')::text[]) r;
SELECT enable_history_tracking() \g /dev/null
SELECT pg_temp.recorded('off', 'off__history', 'z');
SELECT 'as of now: ' || CASE WHEN (SELECT count(*) FROM tracked__with_history WHERE sys_period @> now()) = (SELECT count(*) FROM tracked)
	THEN 'ok' ELSE 'not' END;
