-- Upserts become changes with before and after.
-- compare: table

CREATE TABLE source (
  id INT, word STRING, n INT, PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:words.tsv}', 'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'json', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE target (
  id INT, word STRING, n INT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'format' = 'debezium-json'
);

INSERT INTO target SELECT id, word, n FROM source;
