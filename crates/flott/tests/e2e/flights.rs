//! A month of real flights, whose columns hold `NA`, into Parquet by carrier and day; another program
//! reads it back and finds what it finds in the CSV itself.

use std::{path::Path, process::Command};

use flott_testkit::{Tool, python_tool};

use crate::support::{Lab, visible_files};

const COLUMNS: &str = "`year` INT, `month` INT, `day` INT, dep_time INT, sched_dep_time INT, dep_delay INT, \
    arr_time INT, sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING, origin STRING, \
    dest STRING, air_time INT, distance INT, `hour` INT, `minute` INT, time_hour STRING";

/// Counts, sums and nulls of each column, of what Flott wrote and of the CSV. Prints nothing if they are
/// the same.
const COMPARE: &str = r#"
import sys, duckdb
parquet, csv = sys.argv[1:]
db = duckdb.connect()
db.execute(f"CREATE VIEW w AS SELECT * FROM read_parquet('{parquet}/**/*.parquet', hive_partitioning = true, "
           "hive_types = {'day': INT, 'carrier': VARCHAR})")
db.execute(f"CREATE VIEW r AS SELECT *, dep_delay - arr_delay AS caught_up, "
           "distance * 60.0 / air_time AS mph, dep_time IS NULL AS cancelled "
           f"FROM read_csv('{csv}', nullstr = 'NA') WHERE origin <> 'LGA'")
def ask(sql):
    return db.execute(sql).fetchall()
def same(what, wrote, read):
    if wrote != read:
        print(what, wrote, read, sep="\n  ")
numbers = ["day", "dep_time", "dep_delay", "arr_delay", "flight", "air_time", "distance", "caught_up"]
texts = ["carrier", "tailnum", "origin", "dest"]
for column in numbers + texts:
    value = f"sum({column})" if column in numbers else f"bit_xor(hash({column}))"
    sql = f"SELECT count(*), count({column}), {value}, min({column}), max({column}) FROM "
    same(column, ask(sql + "w"), ask(sql + "r"))
sql = "SELECT carrier, day, count(*), sum(dep_delay), count(dep_delay), sum(CASE WHEN cancelled THEN 1 ELSE 0 END) FROM {} GROUP BY ALL ORDER BY ALL"
same("by partition", ask(sql.format("w")), ask(sql.format("r")))
same("mph", ask("SELECT round(sum(mph), 3), count(mph) FROM w"), ask("SELECT round(sum(mph), 3), count(mph) FROM r"))
same("scheduled", ask("SELECT sum(epoch(scheduled)) FROM w"),
     ask("SELECT sum(epoch(make_timestamp(year, month, day, hour, minute, 0))) FROM r"))
same("types", ask("SELECT typeof(scheduled), typeof(flight), typeof(mph), typeof(cancelled) FROM w LIMIT 1"),
     [("TIMESTAMP", "INTEGER", "DOUBLE", "BOOLEAN")])
"#;

#[test]
fn flights_arrive_in_parquet_as_they_stand_in_the_csv() {
    let lab = Lab::new();
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/flights-2013-01.csv.gz");
    let csv = csv.canonicalize().unwrap();
    let sql = format!(
        "CREATE TABLE flights ({COLUMNS},
           scheduled AS TO_TIMESTAMP(CONCAT_WS('-', CAST(`year` AS STRING), LPAD(CAST(`month` AS STRING), 2, '0'),
             LPAD(CAST(`day` AS STRING), 2, '0')) || ' ' || LPAD(CAST(`hour` AS STRING), 2, '0') || ':' ||
             LPAD(CAST(`minute` AS STRING), 2, '0') || ':00')
         ) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
           'csv.ignore-first-line' = 'true', 'csv.null-literal' = 'NA');
         CREATE TABLE typed (scheduled TIMESTAMP(3), dep_time INT, dep_delay INT, arr_delay INT, flight INT,
           tailnum STRING, origin STRING, dest STRING, air_time INT, distance INT, caught_up INT, mph DOUBLE,
           cancelled BOOLEAN, carrier STRING, `day` INT) PARTITIONED BY (carrier, `day`)
         WITH ('connector' = 'filesystem', 'path' = 'typed', 'format' = 'parquet');
         INSERT INTO typed SELECT scheduled, dep_time, dep_delay, arr_delay, flight, tailnum, origin, dest, air_time,
           distance, dep_delay - arr_delay, CAST(distance AS DOUBLE) * 60 / air_time, dep_time IS NULL, carrier, `day`
         FROM flights WHERE origin <> 'LGA'",
        csv.display()
    );
    let summary = lab.run(&sql);
    assert_eq!((&summary["sources"][0]["read"], &summary["dlq"]), (&27_004.into(), &0.into()));
    let written = summary["sinks"][0]["written"].as_u64().unwrap();
    assert_eq!(summary["edges"][0]["filtered"].as_u64().unwrap() + written, 27_004);
    let files = visible_files(&lab.path("typed"));
    assert!(files.iter().all(|file| file.to_string_lossy().contains("/carrier=")), "{files:?}");
    // Flott itself finds as many rows again.
    let own = sql.split("INSERT INTO").next().unwrap().to_string() + "SELECT flight FROM typed";
    assert_eq!(lab.query(&own).len() as u64, written);

    let python = match python_tool("duckdb", &["duckdb==2.0.0"]) {
        Tool::Ready(python) => python,
        Tool::Skipped(why) => return println!("{why}"),
    };
    let output = Command::new(python).args(["-c", COMPARE]).arg(lab.path("typed")).arg(csv).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
