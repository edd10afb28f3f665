//! A schema registry of a few lines.

#![allow(clippy::disallowed_methods, reason = "a server of a test ends with the test")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "its clients are tests")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value, json};

/// A registry that has these schemas, as they are registered (`{"schema": …}`), with the ids 0, 1, …, and gives
/// every further one the next id; its URL.
pub fn registry(mut schemas: Vec<Value>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &mut schemas);
        }
    });
    url
}

fn answer(stream: TcpStream, schemas: &mut Vec<Value>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = first.split_whitespace().nth(1).unwrap();
    let (status, answer) = if let Some(id) = path.strip_prefix("/schemas/ids/") {
        match schemas.get(id.parse::<usize>().unwrap()) {
            Some(schema) => (200, schema.clone()),
            None => (404, json!({"error_code": 40403})),
        }
    } else {
        schemas.push(serde_json::from_slice(&body).unwrap());
        (200, json!({"id": schemas.len() - 1}))
    };
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    reader.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
}
