//! A file that rows are looked up in, changed and taken away while the job runs.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use flott_connector::StopSignal;
use flott_testkit::Outcome;

use crate::support::{Lab, summary_of, table, wait_until};

/// A job that is asked line by line.
struct Asked {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Asked {
    fn new(lab: &Lab, hint: &str, options: &[(&str, &str)]) -> Self {
        let sql = "CREATE TABLE i (id INT, p AS PROCTIME()) WITH ('connector' = 'stdin', 'format' = 'json');"
            .to_string()
            + &table("names", "id INT, name STRING", "names.csv", "csv", options)
            + &format!(
                "SELECT {hint} i.id, n.name FROM i LEFT JOIN names FOR SYSTEM_TIME AS OF i.p AS n ON i.id = n.id"
            );
        let mut command = lab.flott.command(["run", "--json", "-o", "csv", "-e", &sql]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// What is found for an id.
    fn ask(&mut self, id: i32) -> String {
        writeln!(self.input, "{{\"id\":{id}}}").unwrap();
        self.line()
    }

    fn outcome(self) -> Outcome {
        drop(self.input);
        self.child.wait_with_output().unwrap().into()
    }
}

/// Puts a new file in the place of the old one.
fn replace(lab: &Lab, content: &str) {
    let new = lab.write("new.csv", content);
    fs::rename(new, lab.path("names.csv")).unwrap();
}

#[test]
fn rows_are_looked_up_in_what_could_be_read_last() {
    let lab = Lab::new();
    replace(&lab, "1,one\n");
    let mut job = Asked::new(&lab, "", &[("lookup.reload-interval", "10 ms"), ("lookup.max-retries", "0")]);
    let first = job.ask(1);
    assert_eq!((first.as_str(), job.line().as_str()), ("id,name", "1,one"));
    replace(&lab, "1,uno\n2,due\n");
    wait_until("the new file", || job.ask(1) == "1,uno");
    assert_eq!(job.ask(2), "2,due");
    fs::remove_file(lab.path("names.csv")).unwrap();
    StopSignal::new().wait(Duration::from_millis(100));
    // The file is gone; its rows aren't.
    assert_eq!(job.ask(1), "1,uno");
    replace(&lab, "2,dos\n");
    wait_until("the file that is back", || job.ask(1) == "1,");
    assert_eq!(job.ask(2), "2,dos");
    let outcome = job.outcome();
    let summary = summary_of(&outcome);
    let names = &summary["lookups"][0];
    assert_eq!((&names["name"], &names["rows"]), (&"names".into(), &1.into()), "{summary}");
    assert!(names["failed_loads"].as_u64().unwrap() > 0 && names["loads"].as_u64().unwrap() > 2, "{summary}");
    assert!(outcome.stderr.contains("its old rows stay"), "{}", outcome.stderr);
}

#[test]
fn a_table_that_cannot_be_read_again_fails_the_run_if_it_is_told_to() {
    let lab = Lab::new();
    replace(&lab, "1,one\n");
    let hint = "/*+ LOOKUP('table' = 'n', 'retry-predicate' = 'lookup_miss', 'retry-strategy' = 'fixed_delay', \
                'fixed-delay' = '1 ms', 'max-attempts' = '3') */";
    let options = [("lookup.reload-interval", "10 ms"), ("lookup.on-reload-failure", "fail")];
    let mut job = Asked::new(&lab, hint, &options);
    assert_eq!((job.ask(1).as_str(), job.line().as_str()), ("id,name", "1,one"));
    fs::remove_file(lab.path("names.csv")).unwrap();
    // Nobody asks any more; the run ends all the same.
    let mut status = None;
    wait_until("the end of the run", || {
        status = job.child.try_wait().unwrap();
        status.is_some()
    });
    let outcome = job.outcome();
    assert!(!status.unwrap().success() && outcome.stderr.contains("does not exist"), "{}", outcome.stderr);
    let summary = outcome.summary.unwrap();
    assert_eq!(summary["lookups"][0]["failed_loads"], 4, "{summary}");
}
