-- A key that the value doesn't repeat.

CREATE TABLE source (
  id INT, word STRING, n INT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:words.tsv}',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'json', 'key.fields' = 'id', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE target (
  id INT, word STRING, n INT
) WITH (
  'connector' = 'kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'key.format' = 'raw', 'key.fields' = 'word', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
);

INSERT INTO target SELECT id, word, n FROM source;
