//! A schema registry of a few lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "its clients are tests")]

use serde_json::{Value, json};

#[path = "../../../flott-schema-registry/src/client/tests/http.rs"]
mod http;

/// A registry that has these schemas, as they are registered (`{"schema": …}`), with the ids 0, 1, …, and gives
/// every further one the next id; its URL.
pub fn registry(mut schemas: Vec<Value>) -> String {
    http::serve(move |head, body| {
        let path = head.split_whitespace().nth(1).unwrap();
        let (status, answer) = if let Some(id) = path.strip_prefix("/schemas/ids/") {
            match schemas.get(id.parse::<usize>().unwrap()) {
                Some(schema) => (200, schema.clone()),
                None => (404, json!({"error_code": 40403})),
            }
        } else {
            schemas.push(serde_json::from_str(body).unwrap());
            (200, json!({"id": schemas.len() - 1}))
        };
        (status, answer.to_string())
    })
}
