-- TRY_CAST from text: what counts as a number, a date, a boolean.

CREATE TABLE r (s STRING, i INT, b BIGINT, d DOUBLE, `dec` DECIMAL(10, 2), bo BOOLEAN, da DATE, ti TIME, ts TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT s, TRY_CAST(s AS INT), TRY_CAST(s AS BIGINT), TRY_CAST(s AS DOUBLE), IF(CHAR_LENGTH(s) > 1, TRY_CAST(s AS DECIMAL(10, 2)), 0), TRY_CAST(s AS BOOLEAN),
  TRY_CAST(s AS DATE), TRY_CAST(s AS TIME), TRY_CAST(s AS TIMESTAMP(3))
FROM (VALUES (''), ('0'), ('-1'), ('+7'), (' 12 '), ('12.5'), ('12.555'), ('-0.005'), ('1e3'), ('1E-2'), ('.5'), ('5.'), ('NaN'), ('Infinity'), ('abc'), ('0x10'), ('1_000'), ('1,000'),
  ('2147483648'), ('9223372036854775808'), ('99999999.985'), ('123456789'), ('true'), ('TRUE'), ('t'), ('yes'), ('y'), ('1'), ('f'), ('no'), ('off'),
  ('2026-01-02'), ('2026-1-2'), ('2026-13-01'), ('2026-02-30'), ('2026-01-02 03:04:05'), ('2026-01-02T03:04:05'), ('2026-01-02 03:04:05.678901'), ('2026-01-02 3:4:5'), ('2026-01-02 03:04'), ('03:04:05'), ('3:4:5'), ('03:04:05.678'), ('24:00:00'), ('03:04'), ('2026'), ('2026-01')) AS v(s);
