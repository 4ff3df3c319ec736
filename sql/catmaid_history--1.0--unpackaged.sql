\echo Use "ALTER EXTENSION catmaid_history UPDATE TO 'unpackaged'" to load this file. \quit

-- Nothing changes in this step.  The way from here to 1.0 makes every function,
-- view and event trigger of the extension anew: so the two together undo what
-- has been put in their places.
