-- Section 12: what is set for the log is looked at when it is set, each alone asks for
-- an entry, and log_transactions says what the server knows of the session.
\ir lib/hostile.psql
DROP ROLE IF EXISTS log_settings_role;
CREATE ROLE log_settings_role;
CREATE EXTENSION catmaid_history;
SELECT plan(45);
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_history_table('t') \g /dev/null
INSERT INTO t VALUES (1, 'a');
GRANT INSERT, UPDATE ON t TO log_settings_role;

-- Refused with the reason.
CREATE FUNCTION tap.reason(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE reason text;
BEGIN
	PERFORM set_config('catmaid_history.' || setting, value, false);
	RETURN 'set to ' || current_setting('catmaid_history.' || setting);
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
	RETURN reason;
END $$;
SELECT matches(tap.reason(setting, value), reason, setting || ' = ' || left(value, 30) || ' is refused')
FROM (VALUES ('user_id', 'abc', '"abc" is not an integer'), ('user_id', '1.5', 'not an integer'), ('user_id', '7 8', 'not an integer'),
	('user_id', '2147483648', 'out of range for type integer'), ('user_id', '99999999999999999999', 'out of range'),
	('project_id', '-2147483649', 'out of range'), ('project_id', ' ', 'not an integer'),
	('context', '{"a"', 'json'), ('context', '{"a": 1} x', 'json'), ('context', '[1]', 'must be a JSON object'), ('context', '"a"', 'must be a JSON object'),
	('context', 'null', 'must be a JSON object'), ('context', '{"a": "\u0000"}', 'Unicode'), ('context', '{"a": 1e1000000}', 'overflow'),
	('context', '{"a": "\ud800"}', 'Unicode'), ('context', repeat('{"a":', 200000), '.'),
	('context', '{"session_user": "postgres"}', 'what the server knows'), ('context', '{"x": 1, "role": null}', 'what the server knows'),
	('context', '{"client_addr": "::1"}', 'what the server knows'), ('context', '{"application_name": 1}', 'what the server knows')) v(setting, value, reason);
SELECT throws_ok('SET catmaid_history.change_type = ''Other''', '22023', NULL, 'change_type = Other is refused');
SELECT throws_ok('SET catmaid_history.log_transactions = 7', '22023', NULL, 'log_transactions = 7 is refused');
SELECT is(tap.reason(setting, value), 'set to ' || value, setting || ' = ' || left(value, 30))
FROM (VALUES ('user_id', '2147483647'), ('user_id', '-2147483648'), ('user_id', ' 7 '), ('project_id', '0'), ('context', '{}'), ('context', ' {"a": {"session_user": 1}} '),
	('label', repeat('x', 20000)), ('label', 'ä'), ('change_type', 'External')) v(setting, value);
RESET catmaid_history.user_id; RESET catmaid_history.project_id; RESET catmaid_history.context; RESET catmaid_history.label; RESET catmaid_history.change_type;

-- Each alone asks for an entry, and empty is as not set.
CREATE FUNCTION tap.entry() RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(i) - 'transaction_id' - 'execution_time' FROM catmaid_transaction_info i WHERE transaction_id = txid_current() $$;
CREATE FUNCTION tap.with(setting text, value text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE found jsonb;
BEGIN
	PERFORM set_config('catmaid_history.' || setting, value, true);
	UPDATE t SET v = v;
	found := tap.entry();
	RAISE SQLSTATE 'UNDO1' USING MESSAGE = coalesce(found::text, 'null');
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN RETURN sqlerrm::jsonb;
END $$;
SELECT is(tap.with(setting, value), format('{"user_id": null, "project_id": null, "label": "", "change_type": "Backend", "context": null}')::jsonb || changes::jsonb,
	setting || ' alone makes an entry')
FROM (VALUES ('user_id', '7', '{"user_id": 7}'), ('project_id', '3', '{"project_id": 3}'), ('label', 'l', '{"label": "l"}'),
	('change_type', 'MIGRATION', '{"change_type": "Migration"}'), ('context', '{"a": "ä"}', '{"context": {"a": "ä"}}')) v(setting, value, changes);
SELECT is(tap.with(setting, ''), 'null', 'an empty ' || setting || ' makes none')
FROM unnest('{user_id,project_id,label,change_type,context}'::text[]) setting;

-- log_transactions.
SELECT denied('SET catmaid_history.log_transactions = on', 'log_transactions is not everybody''s', 'log_settings_role');
SET catmaid_history.log_transactions = on;
SET application_name = 'an "application"';
SELECT is(tap.with('label', ''), '{"user_id": null, "project_id": null, "label": "", "change_type": "External", "context":
	{"session_user": "postgres", "application_name": "an \"application\""}}', 'log_transactions: an entry with nothing else said');
SELECT is(tap.with('context', '{"a": 1}') -> 'context', '{"a": 1, "session_user": "postgres", "application_name": "an \"application\""}',
	'log_transactions: context has both');
SET ROLE log_settings_role;
BEGIN;
INSERT INTO catmaid_transaction_info (change_type, label) VALUES ('Backend', 'own');
UPDATE t SET v = 'b';
RESET ROLE;
SELECT is(tap.entry() -> 'context', '{"session_user": "postgres", "role": "log_settings_role", "application_name": "an \"application\""}',
	'log_transactions: the application''s own entry has it, too, and the role');
COMMIT;
SET catmaid_history.log_transactions = off;

DROP OWNED BY log_settings_role;
DROP ROLE log_settings_role;
SELECT * FROM finish();
