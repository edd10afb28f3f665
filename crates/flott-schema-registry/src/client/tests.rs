//! A registry of a few lines, which answers what it is told to and notes what it is asked.

use std::{
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
};

use flott_types::Options;

use super::*;

mod http;

/// Status and body for a request line and a body.
type Answers = fn(&str, &str) -> (u16, String);

struct Server {
    url: String,
    asked: Arc<AtomicUsize>,
}

fn server(answers: Answers) -> Server {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let url = http::serve(move |head, body| {
        count.fetch_add(1, Ordering::SeqCst);
        answers(head, body)
    });
    Server { url, asked }
}

fn registry(server: &Server, more: &[(&str, &str)]) -> Arc<Registry> {
    let mut options = Options::new();
    options.set("f.url", server.url.clone());
    more.iter().for_each(|(key, value)| options.set(format!("f.{key}"), *value));
    Registry::shared(&Settings::of(&options, "f").unwrap()).unwrap()
}

#[test]
fn a_schema_is_fetched_once() {
    let server = server(|head, _| {
        assert!(head.contains("Basic dTpw"), "{head}");
        match head.split_whitespace().nth(1) {
            Some("/schemas/ids/7") => (200, json!({"schema": "\"int\""}).to_string()),
            _ => (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string()),
        }
    });
    let registry = registry(&server, &[("basic-auth.user-info", "u:p")]);
    for _ in 0..3 {
        assert_eq!(registry.schema(7).unwrap().text, "\"int\"");
        assert!(matches!(registry.schema(8), Err(Fault::Unknown(_))));
    }
    // The one that isn't there is asked for twice.
    assert_eq!(server.asked.load(Ordering::SeqCst), 3);
    let Err(Fault::Unknown(why)) = registry.schema(u32::MAX) else { panic!("no registry has such an id") };
    assert!(why.ends_with("has no schema 4294967295"), "{why}");
    assert_eq!(server.asked.load(Ordering::SeqCst), 3);
}

#[test]
fn whose_fault_it_is() {
    let server = server(|head, _| match head.split_whitespace().nth(1) {
        Some("/schemas/ids/1") => (200, json!({"schema": "x", "schemaType": "THRIFT"}).to_string()),
        Some("/schemas/ids/2") => (422, json!({"error_code": 42201, "message": "odd"}).to_string()),
        Some("/schemas/ids/3") => (403, String::new()),
        Some("/subjects/s/versions/1") => (200, json!({"schema": "\"int\""}).to_string()),
        Some("/subjects/s/versions/2") => (404, json!({"error_code": 40402}).to_string()),
        _ => (404, "not here".to_string()),
    });
    let registry = registry(&server, &[]);
    let unknown = |found: Result<Arc<Registered>, Fault>| match found {
        Err(Fault::Unknown(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(unknown(registry.schema(1)).ends_with("schema 1: it is of the kind THRIFT"));
    assert!(unknown(registry.schema(2)).ends_with("odd (status 422)"));
    assert!(unknown(registry.version("s", 2)).ends_with("has no version 2 of subject 's'"));
    let Err(Fault::Failed(error)) = registry.schema(3) else { panic!("who asks is no record's fault") };
    assert!(!error.passing, "{error}");
    let asked = server.asked.load(Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(registry.version("s", 1).unwrap().text, "\"int\"");
        unknown(registry.version("s", 2));
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), asked + 1);
    // What answers isn't the registry.
    let Err(Fault::Failed(error)) = registry.schema(4) else { panic!("a proxy knows of no schema") };
    assert!(error.passing && error.message.contains("answers '/schemas/ids/4' with "), "{error}");
}

#[test]
fn who_waits_for_a_failure_gets_it_too() {
    let server = server(|_, _| (503, String::new()));
    let registry = registry(&server, &[]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(matches!(registry.schema(1), Err(Fault::Failed(_)))));
        }
    });
    assert!(matches!(registry.schema(2), Err(Fault::Failed(_))));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1 + PAUSES.len());
}

#[test]
fn a_schema_is_registered_once_and_a_refusal_says_why() {
    let server = server(|head, body| match head.split_whitespace().nth(1) {
        Some("/subjects/bids%2Fa-value/versions") => {
            assert_eq!(body, r#"{"schema":"\"int\""}"#);
            (200, json!({"id": 3}).to_string())
        }
        _ => (409, json!({"error_code": 409, "message": "incompatible"}).to_string()),
    });
    let registry = registry(&server, &[]);
    let schema = NewSchema { kind: Kind::Avro, text: "\"int\"".into(), references: Vec::new() };
    for _ in 0..2 {
        assert_eq!(registry.register("bids/a-value", &schema, true).unwrap(), 3);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    let error = registry.register("other", &schema, true).unwrap_err();
    assert!(error.message.ends_with("incompatible (status 409)") && !error.passing, "{error}");
}

#[test]
fn a_registry_that_fails_is_asked_again_and_may_come_back() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let flaky = server(|_, _| match ASKED.fetch_add(1, Ordering::SeqCst) {
        0 => (503, String::new()),
        _ => (200, json!({"schema": "s", "schemaType": "PROTOBUF"}).to_string()),
    });
    assert_eq!(registry(&flaky, &[]).schema(1).unwrap().kind, Kind::Protobuf);
    let nobody = Server { url: "http://127.0.0.1:9".into(), asked: Arc::default() };
    let Err(Fault::Failed(error)) = registry(&nobody, &[]).schema(1) else { panic!("nobody is there") };
    assert!(error.passing && error.message.contains("cannot reach"), "{error}");
}

/// The first connection, which comes soon or never.
fn accept(listener: &TcpListener, clock: &SystemClock) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let (began, pause) = (clock.monotonic(), StopSignal::new());
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            Err(error) => {
                assert!(clock.monotonic() - began < Duration::from_secs(60), "nobody asks: {error}")
            }
        }
        pause.wait(Duration::from_millis(5));
    }
}

#[test]
fn a_stop_ends_a_request_that_nobody_answers() {
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::new();
    options.set("f.url", format!("http://{}", silent.local_addr().unwrap()));
    let stop = StopSignal::new();
    let registry =
        Registry { stop: Some(stop.clone()), ..Registry::new(Settings::of(&options, "f").unwrap()).unwrap() };
    std::thread::scope(|scope| {
        // The second waits for the answer of the first, the third for another.
        let asks = [1, 1, 2].map(|id| {
            scope.spawn({
                let registry = &registry;
                move || registry.schema(id)
            })
        });
        let connected = accept(&silent, &registry.clock);
        let stopped = registry.clock.monotonic();
        stop.stop();
        for ask in asks {
            let Err(Fault::Failed(error)) = ask.join().unwrap() else { panic!("nobody has answered") };
            assert!(
                error.passing && error.message.starts_with("stopped while the schema registry"),
                "{error}"
            );
        }
        assert!(registry.clock.monotonic() - stopped < Duration::from_secs(3));
        drop(connected);
    });
    // It is no failure of the registry's.
    assert!(registry.failed.lock().unwrap().is_none());
}

#[test]
fn after_a_stop_a_registry_that_answers_is_still_asked() {
    let server = server(|head, _| match head.split_whitespace().nth(1) {
        Some("/schemas/ids/7") => (200, json!({"schema": "\"int\""}).to_string()),
        _ => (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string()),
    });
    let mut options = Options::new();
    options.set("f.url", server.url.clone());
    let stop = StopSignal::new();
    let registry =
        Registry { stop: Some(stop.clone()), ..Registry::new(Settings::of(&options, "f").unwrap()).unwrap() };
    stop.stop();
    assert!(registry.schema(7).is_ok());
    assert!(matches!(registry.schema(8), Err(Fault::Unknown(_))));
}
