//! HTTP, as far as a schema registry of a few lines needs it.
//!
//! ```text
//!   head, body ─► answer ─► status, body; the connection ends
//! ```

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

/// Answers one request after the other, for as long as the process lives; its URL.
#[allow(clippy::disallowed_methods, reason = "a server of a test ends with the test")]
pub fn serve(mut answer: impl FnMut(&str, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            exchange(stream.unwrap(), &mut answer);
        }
    });
    url
}

fn exchange(stream: TcpStream, answer: &mut impl FnMut(&str, &str) -> (u16, String)) {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, body) = answer(&head, std::str::from_utf8(&body).unwrap());
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
}
