//! The pages of the formats: Avro with a registry, changes of databases, text, Avro, Protobuf, raw.

use flott_testkit::{need, services};

use super::{ALL, BEHAVIOR, END, Page, values};
use crate::topics;

#[test]
fn avro_confluent_users() {
    let page = Page::new("documented-users", need!(services::kafka()));
    let registry = need!(services::registry());
    for topic in ["user_events_example1", "user_events_example2", "user_events_example3"] {
        page.topic(topic, &[]);
    }
    page.lab.write("some/users.csv", "u1,Ada,ada@example.com\nu2,Bob,\n");
    let source =
        "CREATE TABLE some_table (id STRING, name STRING, email STRING, PRIMARY KEY (id) NOT ENFORCED)
         WITH ('connector' = 'filesystem', 'path' = 'some', 'format' = 'csv', 'csv.null-literal' = '');";
    let columns = "id STRING,
           name STRING,
           email STRING";
    let examples = [
        format!(
            "CREATE TABLE user_created (
               -- one column mapped to the Kafka raw UTF-8 key
               the_kafka_key STRING,
               {columns}
             ) WITH (
               'connector' = 'kafka',
               'topic' = 'user_events_example1',
               'properties.bootstrap.servers' = 'localhost:9092',
               'key.format' = 'raw',
               'key.fields' = 'the_kafka_key',
               'value.format' = 'avro-confluent',
               'value.avro-confluent.url' = 'http://localhost:8082',
               'value.fields-include' = 'EXCEPT_KEY'
             );"
        ),
        format!(
            "CREATE TABLE user_created (
               -- one column mapped to the 'id' Avro field of the Kafka key
               kafka_key_id STRING,
               {columns}
             ) WITH (
               'connector' = 'kafka',
               'topic' = 'user_events_example2',
               'properties.bootstrap.servers' = 'localhost:9092',
               'key.format' = 'avro-confluent',
               'key.avro-confluent.url' = 'http://localhost:8082',
               'key.fields' = 'kafka_key_id',
               'key.fields-prefix' = 'kafka_key_',
               'value.format' = 'avro-confluent',
               'value.avro-confluent.url' = 'http://localhost:8082',
               'value.fields-include' = 'EXCEPT_KEY',
               'key.avro-confluent.subject' = 'user_events_example2-key2',
               'value.avro-confluent.subject' = 'user_events_example2-value2'
             );"
        ),
        format!(
            "CREATE TABLE user_created (
               -- one column mapped to the Kafka raw UTF-8 key
               kafka_key_id STRING,
               {columns},
               -- upsert-kafka connector requires a primary key to define the upsert behavior
               PRIMARY KEY (kafka_key_id) NOT ENFORCED
             ) WITH (
               'connector' = 'upsert-kafka',
               'topic' = 'user_events_example3',
               'properties.bootstrap.servers' = 'localhost:9092',
               'key.format' = 'raw',
               'key.fields-prefix' = 'kafka_key_',
               'value.format' = 'avro-confluent',
               'value.avro-confluent.url' = 'http://localhost:8082',
               'value.fields-include' = 'EXCEPT_KEY'
             );"
        ),
    ];
    let reading = [ALL, ALL, END];
    for ((table, hint), number) in examples.iter().zip(reading).zip(1..) {
        page.run(&format!(
            "{table} {source}
             INSERT INTO user_created
             SELECT
               -- replicating the user id into a column mapped to the kafka key
               id as the_kafka_key,
               -- all values
               id, name, email
             FROM some_table"
        ));
        let path = format!("found-{number}");
        page.run(&format!(
            "{table} CREATE TABLE found (k STRING, id STRING, name STRING, email STRING) WITH
             ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'changelog-json');
             INSERT INTO found SELECT * FROM user_created {hint}"
        ));
        let expected = [
            r#"{"email":"ada@example.com","id":"u1","k":"u1","name":"Ada"}"#,
            r#"{"email":null,"id":"u2","k":"u2","name":"Bob"}"#,
        ];
        assert_eq!(page.rows(&path), expected, "example {number}");
    }
    let key = topics::read(&page.kafka, "documented-users-user_events_example2")[0].key.clone();
    let id = i32::from_be_bytes(key.unwrap()[1..5].try_into().unwrap());
    assert!(registry.schema(id).unwrap().contains(r#""name":"id""#));
}

/// The `products` that the pages of the formats for changes capture.
fn products(format: &str) -> String {
    format!(
        "CREATE TABLE topic_products (
           -- schema is totally the same to the MySQL \"products\" table
           id BIGINT,
           name STRING,
           description STRING,
           weight DECIMAL(10, 2)
         ) WITH (
          'connector' = 'kafka',
          'topic' = 'products_binlog',
          'properties.bootstrap.servers' = 'localhost:9092',
          'properties.group.id' = 'testGroup',
          {format}
         );"
    )
}

/// The page's queries: an average, and all rows into another system.
fn averages_and_rows(page: &Page, table: &str) {
    page.run(&format!(
        "{table}
         CREATE TABLE averages (name STRING, weight DECIMAL(38, 6)) WITH ('connector' = 'filesystem',
         'path' = 'averages', 'format' = 'changelog-json');
         CREATE TABLE elasticsearch_products (id BIGINT, name STRING, description STRING, weight DECIMAL(10, 2))
         WITH ('connector' = 'filesystem', 'path' = 'products', 'format' = 'changelog-json');
         -- a real-time materialized view on the MySQL \"products\"
         INSERT INTO averages SELECT name, AVG(weight) FROM topic_products {ALL} GROUP BY name;
         INSERT INTO elasticsearch_products
         SELECT * FROM topic_products {ALL};"
    ));
    assert_eq!(page.rows("averages"), [r#"{"name":"scooter","weight":5.15}"#]);
    assert_eq!(
        page.rows("products"),
        [r#"{"description":"Big 2-wheel scooter","id":111,"name":"scooter","weight":5.15}"#]
    );
}

const BEFORE: &str = r#"{"id":111,"name":"scooter","description":"Big 2-wheel scooter","weight":5.18}"#;
const AFTER: &str = r#"{"id":111,"name":"scooter","description":"Big 2-wheel scooter","weight":5.15}"#;

/// The update on the page, and the insert before it.
fn debezium() -> [String; 2] {
    let source = r#""source":{"db":"inventory","table":"products","ts_ms":1589362330000}"#;
    let record = |before: &str, after: &str, op: &str| {
        format!(
            r#"{{"before":{before},"after":{after},{source},"op":"{op}","ts_ms":1589362330904,"transaction":null}}"#
        )
    };
    [record("null", BEFORE, "c"), record(BEFORE, AFTER, "u")]
}

#[test]
fn debezium_products() {
    let page = Page::new("documented-debezium", need!(services::kafka()));
    page.topic("products_binlog", &values(&debezium().each_ref().map(String::as_str)));
    averages_and_rows(&page, &products("'format' = 'debezium-json'"));

    let page = Page::new("documented-debezium-schema", need!(services::kafka()));
    let wrapped = debezium().map(|it| format!(r#"{{"schema":{{"type":"struct"}},"payload":{it}}}"#));
    page.topic("products_binlog", &values(&wrapped.each_ref().map(String::as_str)));
    averages_and_rows(
        &page,
        &products("'format' = 'debezium-json', 'debezium-json.schema-include' = 'true'"),
    );

    // Avro: what Flott writes, because the page has no such message.
    let page = Page::new("documented-debezium-avro", need!(services::kafka()));
    need!(services::registry());
    page.topic("products_binlog", &[]);
    for (name, record) in ["1.json", "2.json"].iter().zip(debezium()) {
        page.lab.write(&format!("binlog/{name}"), record + "\n");
    }
    let table = products(
        "-- using 'debezium-avro-confluent' as the format to interpret Debezium Avro messages
          'format' = 'debezium-avro-confluent',
          -- the URL to the schema registry for Kafka
          'debezium-avro-confluent.url' = 'http://localhost:8081'",
    );
    page.run(&format!(
        "SET 'parallelism.default' = '1'; {table}
         CREATE TABLE binlog (id BIGINT, name STRING, description STRING, weight DECIMAL(10, 2))
         WITH ('connector' = 'filesystem', 'path' = 'binlog', 'format' = 'debezium-json');
         INSERT INTO topic_products SELECT * FROM binlog"
    ));
    averages_and_rows(&page, &table);
}

#[test]
fn canal_products() {
    let page = Page::new("documented-canal", need!(services::kafka()));
    let data = r#"{"id":"111","name":"scooter","description":"Big 2-wheel scooter","weight":"#;
    let record = |weight: &str, old: &str, kind: &str| {
        format!(
            r#"{{"data":[{data}"{weight}"}}],"database":"inventory","es":1589373560000,"id":9,"isDdl":false,
            "mysqlType":{{"id":"INTEGER","weight":"FLOAT"}},"old":{old},"pkNames":["id"],"sql":"",
            "sqlType":{{"id":4,"weight":7}},"table":"products","ts":1589373560798,"type":"{kind}"}}"#
        )
    };
    let records = [record("5.18", "null", "INSERT"), record("5.15", r#"[{"weight":"5.18"}]"#, "UPDATE")];
    page.topic("products_binlog", &values(&records.each_ref().map(String::as_str)));
    averages_and_rows(&page, &products("'format' = 'canal-json'  -- using canal-json as the format"));
}

#[test]
fn maxwell_products() {
    let page = Page::new("documented-maxwell", need!(services::kafka()));
    let record = |kind: &str, data: &str, old: &str| {
        format!(
            r#"{{"database":"test","table":"e","type":"{kind}","ts":1477053217,"xid":23396,"commit":true,
            "primary_key":[1],"primary_key_columns":["id","c"],"data":{data}{old}}}"#
        )
    };
    let records = [record("insert", BEFORE, ""), record("update", AFTER, r#","old":{"weight":5.18}"#)];
    page.topic("products_binlog", &values(&records.each_ref().map(String::as_str)));
    averages_and_rows(&page, &products("'format' = 'maxwell-json'"));
}

#[test]
fn ogg_products() {
    let page = Page::new("documented-ogg", need!(services::kafka()));
    let record = |before: &str, after: &str, op: &str| {
        format!(
            r#"{{"before":{before},"after":{after},"op_type":"{op}","op_ts":"2020-05-13 15:40:06.000000",
            "current_ts":"2020-05-13 15:40:07.000000","primary_keys":["id"],"pos":"143","table":"PRODUCTS"}}"#
        )
    };
    let records = [record("null", BEFORE, "I"), record(BEFORE, AFTER, "U")];
    page.topic("products_binlog", &values(&records.each_ref().map(String::as_str)));
    averages_and_rows(&page, &products("'format' = 'ogg-json'"));
}

#[test]
fn metadata_of_changes() {
    let page = Page::new("documented-changes", need!(services::kafka()));
    let row = r#"{"user_id":1,"item_id":10,"behavior":"buy"}"#;
    let canal = format!(
        r#"{{"data":[{row}],"database":"shop","table":"b","es":1,"ts":1589373560798,"pkNames":["user_id"],
        "sqlType":{{"user_id":4}},"type":"INSERT"}}"#
    );
    let maxwell = format!(
        r#"{{"database":"shop","table":"b","type":"insert","ts":1477053217,"primary_key_columns":["user_id"],"data":{row}}}"#
    );
    let ogg = format!(
        r#"{{"after":{row},"op_type":"I","op_ts":"2020-05-13 15:40:06.000000","current_ts":"2020-05-13 15:40:07.000000",
        "table":"SHOP.B"}}"#
    );
    let examples = [
        (
            "debezium-json",
            BEHAVIOR,
            "origin_ts TIMESTAMP(3) METADATA FROM 'value.ingestion-timestamp' VIRTUAL,
             event_time TIMESTAMP(3) METADATA FROM 'value.source.timestamp' VIRTUAL,
             origin_database STRING METADATA FROM 'value.source.database' VIRTUAL,
             origin_schema STRING METADATA FROM 'value.source.schema' VIRTUAL,
             origin_table STRING METADATA FROM 'value.source.table' VIRTUAL,
             origin_properties MAP<STRING, STRING> METADATA FROM 'value.source.properties' VIRTUAL",
            "origin_ts, event_time, origin_database, origin_schema, origin_table, origin_properties['version']",
            "2020-05-13 09:32:10.904,2020-05-13 09:32:10.000,shop,public,behaviors,2.7",
        ),
        (
            "canal-json",
            &canal,
            "origin_database STRING METADATA FROM 'value.database' VIRTUAL,
             origin_table STRING METADATA FROM 'value.table' VIRTUAL,
             origin_sql_type MAP<STRING, INT> METADATA FROM 'value.sql-type' VIRTUAL,
             origin_pk_names ARRAY<STRING> METADATA FROM 'value.pk-names' VIRTUAL,
             origin_ts TIMESTAMP(3) METADATA FROM 'value.ingestion-timestamp' VIRTUAL",
            "origin_database, origin_table, origin_sql_type['user_id'], origin_pk_names[1], origin_ts",
            "shop,b,4,user_id,2020-05-13 12:39:20.798",
        ),
        (
            "maxwell-json",
            &maxwell,
            "origin_database STRING METADATA FROM 'value.database' VIRTUAL,
             origin_table STRING METADATA FROM 'value.table' VIRTUAL,
             origin_primary_key_columns ARRAY<STRING> METADATA FROM 'value.primary-key-columns' VIRTUAL,
             origin_ts TIMESTAMP(3) METADATA FROM 'value.ingestion-timestamp' VIRTUAL",
            "origin_database, origin_table, origin_primary_key_columns[1], origin_ts",
            "shop,b,user_id,2016-10-21 12:33:37.000",
        ),
        (
            "ogg-json",
            &ogg,
            "origin_ts    TIMESTAMP(3) METADATA FROM 'value.op_ts' VIRTUAL,
             event_time   TIMESTAMP(3) METADATA FROM 'value.current_ts' VIRTUAL,
             origin_table STRING METADATA FROM 'value.table' VIRTUAL",
            "origin_ts, event_time, origin_table",
            "2020-05-13 15:40:06.000,2020-05-13 15:40:07.000,SHOP.B",
        ),
    ];
    for (format, message, columns, wanted, expected) in examples {
        page.topic(format, &values(&[message]));
        let rows = page.query(&format!(
            "CREATE TABLE KafkaTable (
               {columns},
               user_id BIGINT,
               item_id BIGINT,
               behavior STRING
             ) WITH (
               'connector' = 'kafka',
               'topic' = '{format}',
               'properties.bootstrap.servers' = 'localhost:9092',
               'properties.group.id' = 'testGroup',
               'scan.startup.mode' = 'earliest-offset',
               'value.format' = '{format}'
             );
             SELECT {wanted}, user_id, item_id, behavior FROM KafkaTable {END}"
        ));
        assert_eq!(rows, [format!("+I,{expected},1,10,buy")], "{format}");
    }
}

#[test]
fn formats_of_user_behavior() {
    let page = Page::new("documented-behavior", need!(services::kafka()));
    let examples = [
        ("csv", "'csv.ignore-parse-errors' = 'true', 'csv.allow-comments' = 'true'", Some("# a comment")),
        (
            "json",
            "'json.fail-on-missing-field' = 'false', 'json.ignore-parse-errors' = 'true'",
            Some("no JSON"),
        ),
        ("avro", "'properties.client.id' = 'x'", None),
    ];
    for (format, options, ignored) in examples {
        page.topic(format, &ignored.map_or_else(Vec::new, |it| values(&[it])));
        let table = format!(
            "CREATE TABLE user_behavior (
               user_id BIGINT,
               item_id BIGINT,
               category_id BIGINT,
               behavior STRING,
               ts TIMESTAMP(3)
             ) WITH (
              'connector' = 'kafka',
              'topic' = '{format}',
              'properties.bootstrap.servers' = 'localhost:9092',
              'properties.group.id' = 'testGroup',
              'format' = '{format}',
              {options}
             );"
        );
        page.run(&format!(
            "{table} INSERT INTO user_behavior VALUES (1, 2, 3, 'pv', TIMESTAMP '2024-02-29 12:00:00.123'),
             (4, 5, 6, 'cart', CAST(NULL AS TIMESTAMP(3)))"
        ));
        let rows =
            page.query(&format!("{table} SELECT * FROM user_behavior {ALL} WHERE user_id IS NOT NULL"));
        assert_eq!(rows, ["1,2,3,pv,2024-02-29 12:00:00.123", "4,5,6,cart,"], "{format}");
    }

    let messages =
        [r#"[{"col1": 123, "col2": "a"}, {"col1": 456, "col2": "b"}]"#, r#"{"col1": 789, "col2": "c"}"#];
    page.topic("arrays", &values(&messages));
    let rows = page.query(&format!(
        "CREATE TABLE user_behavior (
           col1 BIGINT,
           col2 VARCHAR
         ) WITH (
          'connector' = 'kafka', 'topic' = 'arrays', 'properties.bootstrap.servers' = 'localhost:9092',
          'format' = 'json'
         ); SELECT * FROM user_behavior {ALL}"
    ));
    assert_eq!(rows, ["123,a", "456,b", "789,c"]);
}

#[test]
fn protobuf_user_behavior() {
    let page = Page::new("documented-protobuf", need!(services::kafka()));
    page.topic("user_behavior", &[]);
    page.lab.write(
        "user.proto",
        r#"syntax = "proto2";
        package com.example;
        message UserObject {
          optional int64 uid = 1;
          optional string name = 2;
          optional int32 category_type = 3;
          optional bytes bytes = 4;
          optional double price = 5;
          map<int64, Inner> value_map = 6;
          repeated Inner value_arr = 7;
          message Inner { optional int64 v1 = 1; optional int32 v2 = 2; }
        }"#,
    );
    let table = |more: &str| {
        format!(
            "CREATE TABLE user_behavior (
               uid BIGINT,
               name STRING,
               category_type INT,
               bytes BINARY,
               price DOUBLE,
               value_map map<BIGINT, row<v1 BIGINT, v2 INT>>,
               value_arr array<row<v1 BIGINT, v2 INT>>
             ) WITH (
              'connector' = 'kafka',
              'topic' = 'user_behavior',
              'properties.bootstrap.servers' = 'localhost:9092',
              'properties.group.id' = 'testGroup',
              'format' = 'protobuf',
              'protobuf.message-class-name' = 'com.example.UserObject',
              {more}
              'protobuf.ignore-parse-errors' = 'true'
             );"
        )
    };
    let said = page.lab.fails(2, &page.here(&format!("{} SELECT * FROM user_behavior", table(""))));
    assert!(said.contains("there is no Java here") && said.contains("add 'protobuf.schema-file'"), "{said}");
    let table = table("'protobuf.schema-file' = 'user.proto',");
    page.run(&format!(
        "{table} INSERT INTO user_behavior SELECT 1, 'Ada', 2, CAST(X'41' AS BINARY(1)), 1.5E0,
         MAP[CAST(3 AS BIGINT), CAST(ROW(4, 5) AS ROW<v1 BIGINT, v2 INT>)],
         ARRAY[CAST(ROW(6, 7) AS ROW<v1 BIGINT, v2 INT>)]"
    ));
    let rows = page.query(&format!(
        "{table} SELECT uid, name, category_type, bytes, price, value_map[3].v2, value_arr[1].v1
         FROM user_behavior {ALL}"
    ));
    assert_eq!(rows, ["1,Ada,2,A,1.5,5,6"]);
}

#[test]
fn raw_log() {
    let page = Page::new("documented-raw", need!(services::kafka()));
    let line = r#"47.29.201.179 - - [28/Feb/2019:13:17:10 +0000] "GET /?p=1 HTTP/2.0" 200 5316 "https://domain.com/?p=1" "2.75""#;
    page.topic("nginx_log", &values(&[line]));
    // The page splits the line with a function of the user's own.
    let rows = page.query(&format!(
        "CREATE TABLE nginx_log (
           log STRING
         ) WITH (
           'connector' = 'kafka',
           'topic' = 'nginx_log',
           'properties.bootstrap.servers' = 'localhost:9092',
           'properties.group.id' = 'testGroup',
           'format' = 'raw'
         );
         SELECT SPLIT_INDEX(log, ' ', 0), SPLIT_INDEX(log, '\"', 1) FROM nginx_log {ALL}"
    ));
    assert_eq!(rows, ["47.29.201.179,GET /?p=1 HTTP/2.0"]);
}
