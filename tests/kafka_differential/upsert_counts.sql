-- Results of a GROUP BY, written as upserts.
-- compare: latest

CREATE TABLE source (
  id INT, b BOOLEAN, l BIGINT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:types.ndjson}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

CREATE TABLE target (
  b STRING, n BIGINT, most BIGINT, PRIMARY KEY (b) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'key.format' = 'json', 'value.format' = 'json'
);

INSERT INTO target SELECT COALESCE(CAST(b AS STRING), 'none'), COUNT(*), MAX(l) FROM source GROUP BY COALESCE(CAST(b AS STRING), 'none');
