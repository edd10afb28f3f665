-- Upserts read and written: a key's last value counts, no value deletes it.
-- compare: latest

CREATE TABLE source (
  id INT, word STRING, n INT, PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${IN:words.tsv}', 'scan.bounded.mode' = 'latest-offset',
  'key.format' = 'json', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
);

CREATE TABLE target (
  id INT, word STRING, n INT, PRIMARY KEY (id) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'topic' = '${OUT}',
  'key.format' = 'json', 'value.format' = 'json'
);

INSERT INTO target SELECT id, UPPER(word), n FROM source;
