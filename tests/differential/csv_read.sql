-- CSV with quotes, line breaks in quotes, empty fields.

CREATE TABLE plain (id INT, name STRING, amount DECIMAL(10, 2), born DATE, seen TIMESTAMP(6), n INT) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/plain.csv', 'format' = 'csv', 'csv.null-literal' = ''
);

CREATE TABLE words (id INT, name STRING, amount STRING, born STRING, seen STRING, n STRING) WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/plain.csv', 'format' = 'csv'
);

CREATE TABLE typed (id INT, name STRING, amount DECIMAL(10, 2), born DATE, seen TIMESTAMP(6), n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/typed', 'format' = 'json'
);

CREATE TABLE again (id INT, name STRING, amount DECIMAL(10, 2), born DATE, seen TIMESTAMP(6), n INT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/again', 'format' = 'csv'
);

CREATE TABLE words_ (id INT, name STRING, amount STRING, born STRING, seen STRING, n STRING) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/words_', 'format' = 'json'
);
INSERT INTO typed SELECT * FROM plain;
INSERT INTO again SELECT * FROM plain;
INSERT INTO words_ SELECT * FROM words;
