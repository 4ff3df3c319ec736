-- Queries on CATMAID's tables, for time_machine_queries.pl: one a line.
SELECT count(*) FROM treenode
SELECT count(*) FROM location
SELECT count(*) FROM concept
SELECT count(*) FROM ONLY location
SELECT * FROM treenode
SELECT * FROM connector
SELECT * FROM location WHERE location_z > 0
SELECT * FROM class_instance
SELECT * FROM relation_instance
SELECT * FROM concept WHERE user_id = 3
SELECT id, title, (dimension).x, (resolution).z FROM stack
SELECT textlabel.id, text, (colour).r, location FROM textlabel JOIN textlabel_location ON textlabel_id = textlabel.id
SELECT skeleton_id, count(*), min(location_x), max(location_x), avg(radius)::numeric(12,4) FROM treenode GROUP BY skeleton_id
SELECT skeleton_id, sum(sqrt((p.location_x - c.location_x) ^ 2 + (p.location_y - c.location_y) ^ 2 + (p.location_z - c.location_z) ^ 2))::numeric(20,3) FROM treenode c JOIN treenode p USING (skeleton_id) WHERE p.id = c.parent_id GROUP BY skeleton_id
WITH RECURSIVE tree AS (SELECT id, parent_id, skeleton_id, 0 AS depth FROM treenode WHERE parent_id IS NULL UNION ALL SELECT c.id, c.parent_id, c.skeleton_id, depth + 1 FROM treenode c JOIN tree p ON c.parent_id = p.id) SELECT skeleton_id, count(*), max(depth) FROM tree GROUP BY skeleton_id
WITH RECURSIVE up AS (SELECT id, parent_id FROM treenode WHERE id = (SELECT max(id) FROM treenode) UNION SELECT p.id, p.parent_id FROM treenode p JOIN up ON p.id = up.parent_id) SELECT * FROM up
SELECT t.id FROM treenode t WHERE NOT EXISTS (SELECT FROM treenode c WHERE c.parent_id = t.id)
SELECT t.id, (SELECT count(*) FROM treenode c WHERE c.parent_id = t.id) AS children FROM treenode t
SELECT t.id FROM treenode t WHERE (SELECT count(*) FROM treenode c WHERE c.parent_id = t.id) > 1
SELECT t.id FROM treenode t LEFT JOIN treenode p ON p.id = t.parent_id WHERE p.id IS NULL
SELECT ci.id, ci.name, c.class_name FROM class_instance ci JOIN class c ON c.id = ci.class_id
SELECT c.class_name, count(*) FROM class_instance ci JOIN class c ON c.id = ci.class_id GROUP BY c.class_name
SELECT n.name, s.name FROM class_instance n JOIN class_instance_class_instance r ON r.class_instance_b = n.id JOIN class_instance s ON s.id = r.class_instance_a JOIN relation m ON m.id = r.relation_id WHERE m.relation_name = 'model_of'
SELECT relation_name, count(r.id) FROM relation LEFT JOIN relation_instance r ON r.relation_id = relation.id GROUP BY relation_name
SELECT tc.skeleton_id, tc.connector_id, r.relation_name, t.location_x FROM treenode_connector tc JOIN relation r ON r.id = tc.relation_id JOIN treenode t ON t.id = tc.treenode_id
SELECT a.skeleton_id AS pre, b.skeleton_id AS post, count(*) FROM treenode_connector a JOIN treenode_connector b ON a.connector_id = b.connector_id AND a.id <> b.id GROUP BY 1, 2
SELECT c.id, count(tc.id) FROM connector c LEFT JOIN treenode_connector tc ON tc.connector_id = c.id GROUP BY c.id
SELECT t.id, l.name FROM treenode t JOIN treenode_class_instance tci ON tci.treenode_id = t.id JOIN class_instance l ON l.id = tci.class_instance_id
SELECT DISTINCT l.name FROM class_instance l WHERE l.id IN (SELECT class_instance_id FROM treenode_class_instance)
SELECT p.title, s.title, (ps.translation).y FROM project p JOIN project_stack ps ON ps.project_id = p.id JOIN stack s ON s.id = ps.stack_id
SELECT p.id, p.title, count(t.id) FROM project p LEFT JOIN treenode t ON t.project_id = p.id GROUP BY p.id
SELECT user_id, count(*) FILTER (WHERE radius > 0), count(*) FROM treenode GROUP BY ROLLUP (user_id)
SELECT project_id, user_id, count(*) FROM concept GROUP BY CUBE (project_id, user_id)
SELECT id, skeleton_id, row_number() OVER (PARTITION BY skeleton_id ORDER BY id), lag(location_x) OVER (PARTITION BY skeleton_id ORDER BY id) FROM treenode
SELECT id, sum(radius) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM treenode
SELECT DISTINCT ON (skeleton_id) skeleton_id, id FROM treenode ORDER BY skeleton_id, id DESC
SELECT id FROM treenode ORDER BY location_x, id LIMIT 7 OFFSET 3
SELECT max(id), min(id) FROM treenode
SELECT max(edition_time) = max(creation_time) FROM concept
SELECT date_trunc('year', creation_time), count(*) FROM treenode GROUP BY 1 HAVING count(*) > 3
SELECT s.id, x.id FROM class_instance s, LATERAL (SELECT t.id FROM treenode t WHERE t.skeleton_id = s.id ORDER BY t.id LIMIT 2) x
SELECT id FROM treenode WHERE (location_x, location_y) > (SELECT avg(location_x), avg(location_y) FROM location)
SELECT id FROM location EXCEPT SELECT id FROM treenode
SELECT id FROM location INTERSECT ALL SELECT id FROM connector
SELECT id, 'node' AS kind FROM treenode UNION ALL SELECT id, 'connector' FROM connector
SELECT skeleton_id, array_agg(id ORDER BY id), string_agg(confidence::text, '' ORDER BY id) FROM treenode GROUP BY 1
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY location_z), mode() WITHIN GROUP (ORDER BY confidence) FROM treenode
SELECT jsonb_agg(to_jsonb(r) ORDER BY r.id) FROM relation r
SELECT row_to_json(l)::text FROM textlabel l
SELECT t FROM textlabel t WHERE NOT deleted
SELECT coalesce(t.id, c.id), t.radius, c.confidence FROM treenode t FULL JOIN connector c ON c.location_z = t.location_z AND c.project_id = t.project_id
SELECT count(*) FROM log l RIGHT JOIN project p ON p.id = l.project_id
SELECT g.title, s.title, r.name FROM stack_group g JOIN stack_stack_group sg ON sg.stack_group_id = g.id JOIN stack s ON s.id = sg.stack_id JOIN stack_group_relation r ON r.id = sg.group_relation_id
SELECT image_base FROM stack_mirror WHERE stack_id = ANY (SELECT stack_id FROM project_stack)
SELECT width_bucket(location_z, 0, 10, 5), count(*) FROM location GROUP BY 1
SELECT id FROM treenode WHERE id % 2 = 0 AND skeleton_id IN (SELECT class_instance_a FROM class_instance_class_instance)
WITH big AS MATERIALIZED (SELECT skeleton_id FROM treenode GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 2) SELECT t.id, t.parent_id FROM treenode t JOIN big USING (skeleton_id)
SELECT name FROM class_instance WHERE name ~ '^[a-s]' ORDER BY name LIMIT 20
SELECT bool_and(read), count(*) FROM message
SELECT user_id, (SELECT count(*) FROM treenode t WHERE t.user_id = u.user_id), (SELECT count(*) FROM connector c WHERE c.user_id = u.user_id) FROM (SELECT DISTINCT user_id FROM concept) u
