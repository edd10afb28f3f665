-- Hive-style folders as columns; a filter on them.

CREATE TABLE events (id INT, `value` STRING, dt STRING, region STRING) PARTITIONED BY (dt, region) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/events', 'format' = 'json'
);

CREATE TABLE all_ (id INT, `value` STRING, dt STRING, region STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/all_', 'format' = 'json'
);

CREATE TABLE some_ (id INT, region STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/some_', 'format' = 'json'
);

CREATE TABLE typed (id INT, dt DATE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/typed', 'format' = 'json'
);
INSERT INTO all_ SELECT * FROM events;
INSERT INTO some_ SELECT id, region FROM events WHERE dt = '2026-01-01';
INSERT INTO typed SELECT id, CAST(dt AS DATE) FROM events WHERE region IS NOT NULL;
