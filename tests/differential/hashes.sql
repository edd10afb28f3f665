-- Digests and encodings.

CREATE TABLE text (id INT, s STRING, t STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/text.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE r (
  id INT,
  c1 STRING,
  c2 STRING,
  c3 STRING,
  c4 STRING,
  c5 STRING,
  c6 STRING,
  c7 STRING,
  c8 STRING,
  c9 STRING,
  c10 BYTES,
  c11 STRING,
  c12 STRING,
  c13 STRING,
  c14 STRING
) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT
  id,
  MD5(s),
  SHA1(s),
  SHA256(s),
  SHA2(s, 512),
  TO_BASE64(s),
  FROM_BASE64(TO_BASE64(s)),
  HEX(s),
  HEX(id * 1000),
  BIN(id),
  ENCODE(s, 'UTF-8'),
  DECODE(ENCODE(s, 'UTF-16'), 'UTF-16'),
  URL_ENCODE(s),
  URL_DECODE(URL_ENCODE(s)),
  PARSE_URL('https://u@flott.io:80/p/q?k=' || CAST(id AS STRING) || '#f', 'QUERY', 'k')
FROM text;
