-- JSON_VALUE, JSON_QUERY, JSON_EXISTS and their like.

CREATE TABLE raw_lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '${DATA}/orders.ndjson', 'format' = 'raw');

CREATE TABLE r (
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 INT,
  c6 STRING,
  c7 STRING,
  c8 BOOLEAN,
  c9 BOOLEAN,
  c10 BOOLEAN,
  c11 STRING,
  c12 BOOLEAN
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  JSON_VALUE(line, '$.id'),
  JSON_VALUE(line, '$.customer.name'),
  JSON_VALUE(line, '$.items[0].sku' NULL ON EMPTY),
  JSON_VALUE(line, '$.none' DEFAULT 'nothing' ON EMPTY),
  JSON_VALUE(line, '$.id' RETURNING INT),
  JSON_QUERY(line, '$.tags'),
  JSON_QUERY(line, '$.customer'),
  JSON_EXISTS(line, '$.note'),
  line IS JSON,
  line IS JSON OBJECT,
  JSON_QUERY(line, '$.items[*].qty' WITH WRAPPER),
  line IS NOT JSON ARRAY
FROM raw_lines;
