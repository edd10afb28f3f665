//! Files of lines, looked up by the line and by the partition that they are in.

use std::{fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, StringArray};
use flott_connector::{Connector, LookupRequest, LookupTable, SystemClock, conformance};
use flott_types::{Code, Options};

use crate::{
    FilesystemConnector,
    testing::{eval_context, registry, table},
};

/// The table's lines by their partition.
fn by_partition(path: &Path, options: &[(&str, &str)]) -> Arc<dyn LookupTable> {
    let table = table(path, &["k"], options);
    let request = LookupRequest {
        keys: vec![1],
        projection: vec![0],
        schema: table.schema().project(&[0]),
        filter: None,
        retry: None,
        batch_rows: 8192,
        job_options: Options::new(),
        context: eval_context(),
        clock: Arc::new(SystemClock::new()),
    };
    FilesystemConnector.lookup(&table, request, &registry()).unwrap()
}

fn texts(values: &[Option<&str>]) -> Vec<ArrayRef> {
    vec![Arc::new(StringArray::from(values.to_vec()))]
}

#[test]
fn partitions_are_keys_as_columns_are() {
    let directory = tempfile::tempdir().unwrap();
    for (file, lines) in [("k=a/1.txt", "one\ntwo\n"), ("k=b/1.txt", "three\n")] {
        let path = directory.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines).unwrap();
    }
    // A source that never ends is looked up as it is now.
    let cache = by_partition(directory.path(), &[("source.monitor-interval", "1 s")]);
    let expected = [vec!["three".to_string()], vec!["one".to_string(), "two".to_string()], vec![], vec![]];
    let keys = texts(&[Some("b"), Some("a"), None, Some("c")]);
    conformance::lookup_answers(cache.as_ref(), &keys, &expected).unwrap();
    assert_eq!((cache.status().rows, cache.status().loads), (3, 1));
}

#[test]
fn what_is_not_there_at_the_start_fails() {
    let cache = by_partition(Path::new("/nowhere"), &[]);
    let error = conformance::lookup_answers(cache.as_ref(), &texts(&[None]), &[vec![]]).unwrap_err();
    assert_eq!(error.code, Code::InputMissing);
}

#[test]
fn options_are_checked() {
    let codes = |options: &[(&str, &str)]| -> Vec<Code> {
        let table = table(Path::new("/data"), &[], options);
        registry().validate(&table).iter().map(|error| error.code).collect()
    };
    assert_eq!(codes(&[("lookup.reload-interval", "1 min"), ("lookup.max-retries", "5")]), []);
    assert_eq!(codes(&[("lookup.reload-interval", "0 s")]), [Code::InvalidOption]);
    assert_eq!(codes(&[("lookup.full-cache.reload-strategy", "TIMED")]), [Code::NotSupported]);
    assert_eq!(codes(&[("lookup.on-reload-failure", "explode")]), [Code::InvalidOption]);
}
