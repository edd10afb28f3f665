-- AND, OR, NOT and IS over TRUE, FALSE and NULL.

CREATE TABLE r (a BOOLEAN, b BOOLEAN, a_and BOOLEAN, a_or BOOLEAN, a_not BOOLEAN, is_true BOOLEAN, is_not_false BOOLEAN, is_unknown BOOLEAN, eq BOOLEAN, ne BOOLEAN) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT a, b, a AND b, a OR b, NOT a, a IS TRUE, a IS NOT FALSE, a IS UNKNOWN, a = b, a <> b
FROM (VALUES (TRUE, TRUE), (TRUE, FALSE), (TRUE, CAST(NULL AS BOOLEAN)), (FALSE, TRUE), (FALSE, FALSE), (FALSE, CAST(NULL AS BOOLEAN)),
  (CAST(NULL AS BOOLEAN), TRUE), (CAST(NULL AS BOOLEAN), FALSE), (CAST(NULL AS BOOLEAN), CAST(NULL AS BOOLEAN))) AS v(a, b);
