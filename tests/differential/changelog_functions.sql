-- FROM_CHANGELOG and TO_CHANGELOG, alone and one behind the other.
SET 'table.exec.mini-batch.enabled' = 'false';

CREATE TEMPORARY VIEW told AS SELECT * FROM (VALUES
  ('INSERT', 1, 'a'), ('INSERT', 2, 'x'), ('UPDATE_BEFORE', 1, 'a'), ('UPDATE_AFTER', 1, 'b'), ('DELETE', 2, 'x'),
  ('INSERT', 3, CAST(NULL AS STRING))) AS t(op, id, n);

CREATE TEMPORARY VIEW codes AS SELECT * FROM (VALUES
  (1, 'c', 10), (1, 'd', 10), (1, 'u', 11), (2, 'c', 20), (2, 'd', 20)) AS t(id, what, v);

CREATE TABLE from_log (id INT, n STRING) WITH ('connector' = 'print', 'print-identifier' = 'from_log');
CREATE TABLE mapped_log (v INT, id INT) WITH ('connector' = 'print', 'print-identifier' = 'mapped_log');
CREATE TABLE filtered_log (n STRING) WITH ('connector' = 'print', 'print-identifier' = 'filtered_log');
CREATE TABLE to_log (op STRING, id INT, n STRING) WITH ('connector' = 'print', 'print-identifier' = 'to_log');
CREATE TABLE some_log (what STRING, n STRING) WITH ('connector' = 'print', 'print-identifier' = 'some_log');
CREATE TABLE added_log (k STRING, op STRING, id INT) WITH ('connector' = 'print', 'print-identifier' = 'added_log');
CREATE TABLE again_log (id INT, n STRING) WITH ('connector' = 'print', 'print-identifier' = 'again_log');

INSERT INTO from_log SELECT * FROM FROM_CHANGELOG(input => TABLE told);
INSERT INTO mapped_log SELECT v, id FROM FROM_CHANGELOG(
  input => TABLE codes, op => DESCRIPTOR(what), op_mapping => MAP['c, u', 'INSERT', 'd', 'DELETE']);
INSERT INTO filtered_log SELECT n FROM FROM_CHANGELOG(input => TABLE told) WHERE n < 'b' OR n IS NULL;
INSERT INTO to_log SELECT * FROM TO_CHANGELOG(input => (SELECT * FROM FROM_CHANGELOG(input => TABLE told)));
INSERT INTO some_log SELECT what, n FROM TO_CHANGELOG(
  input => (SELECT n, id FROM FROM_CHANGELOG(input => TABLE told)),
  op => DESCRIPTOR(what), op_mapping => MAP['INSERT, UPDATE_AFTER', 'now', 'DELETE', 'gone']) WHERE id <> 3;
INSERT INTO added_log SELECT k, op, id FROM TO_CHANGELOG(input => TABLE told, op => DESCRIPTOR(k));
INSERT INTO again_log SELECT * FROM FROM_CHANGELOG(input => (
  SELECT * FROM TO_CHANGELOG(input => (SELECT * FROM FROM_CHANGELOG(input => TABLE told)))));
