-- Metadata of files; the path itself depends on the machine.

CREATE TABLE airlines (carrier STRING, name STRING, `file.name` STRING NOT NULL METADATA, size BIGINT NOT NULL METADATA FROM 'file.size') WITH (
  'connector' = 'filesystem', 'path' = '${DATA}/airlines.csv', 'format' = 'csv'
);

CREATE TABLE r (carrier STRING, name STRING, file_name STRING, size BIGINT) WITH (
  'connector' = 'filesystem', 'path' = '${OUT}/r', 'format' = 'json'
);
INSERT INTO r SELECT carrier, name, `file.name`, size FROM airlines;
