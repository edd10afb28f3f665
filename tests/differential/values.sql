-- VALUES as input, in INSERT and in FROM.

CREATE TABLE direct (a INT, b STRING, c DECIMAL(5, 2), d DATE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/direct', 'format' = 'json'
);

CREATE TABLE from_ (a BIGINT, b STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/from_', 'format' = 'json'
);

CREATE TABLE columns (a INT, b STRING, c DOUBLE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/columns', 'format' = 'json'
);

CREATE TABLE mixed (v DOUBLE) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/mixed', 'format' = 'json'
);

CREATE TABLE one_ (n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/one_', 'format' = 'json'
);
INSERT INTO direct VALUES (1, 'one', 1.50, DATE '2026-01-01'), (2, CAST(NULL AS STRING), 2, DATE '2026-01-02'), (3, '', -3.14, CAST(NULL AS DATE));
INSERT INTO from_ SELECT x + 1, UPPER(y) FROM (VALUES (1, 'a'), (2, 'b')) AS t(x, y) WHERE x > 0;
INSERT INTO columns (b, a) VALUES ('x', 1), ('y', 2);
INSERT INTO mixed SELECT v FROM (VALUES (1), (2.5), (CAST(3 AS BIGINT)), (4e0)) AS t(v);
INSERT INTO one_ SELECT 1;
