-- Key and value formats: fields with a prefix, the value without them.

CREATE TABLE source (
  k_id INT, word STRING, n INT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:words.tsv}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'json', 'key.fields' = 'k_id', 'key.fields-prefix' = 'k_', 'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE target (
  k_id INT, word STRING, n INT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'key.format' = 'csv', 'key.fields' = 'k_id;n', 'value.format' = 'json'
);

INSERT INTO target SELECT k_id, word, n FROM source;
