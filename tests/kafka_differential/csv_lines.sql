-- CSV read as people write it.

CREATE TABLE source (
  id INT, s STRING, b BOOLEAN, dt DATE, amount DECIMAL(8, 2)
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:rows.csv}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'csv', 'csv.ignore-parse-errors' = 'true'
);

CREATE TABLE target (
  id INT, s STRING, b BOOLEAN, dt DATE, amount DECIMAL(8, 2)
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'csv', 'csv.field-delimiter' = ';'
);

INSERT INTO target SELECT id, s, b, dt, amount FROM source;
