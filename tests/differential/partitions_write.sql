-- Folders per value: dynamic, static, null and odd values.

CREATE TABLE numbers (id INT, i INT, d DOUBLE, x DECIMAL(10, 2), y DECIMAL(5, 2)) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/numbers.ndjson', 'format' = 'json'
);

CREATE TABLE text (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/text.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE by_kind (id INT, d DOUBLE, kind STRING, half INT) PARTITIONED BY (kind, half) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/by_kind', 'format' = 'json'
);

CREATE TABLE by_text (id INT, t STRING) PARTITIONED BY (t) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/by_text', 'format' = 'csv'
);

CREATE TABLE fixed (id INT, dt STRING, region STRING) PARTITIONED BY (dt, region) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/fixed', 'format' = 'json'
);
INSERT INTO by_kind SELECT id, d, IF(i > 0, 'plus', 'minus'), id / 2 FROM numbers;
INSERT INTO by_text SELECT id, t FROM text;
INSERT INTO fixed PARTITION (dt = '2026-01-01', region = 'eu') SELECT id FROM numbers WHERE id < 3;
INSERT INTO fixed PARTITION (dt = '2026-01-02') SELECT id, IF(id > 3, 'us', 'a/b') FROM numbers WHERE id < 5;
