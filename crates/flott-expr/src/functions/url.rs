//! Parts of URLs, and the encoding of HTML forms.

use arrow::array::ArrayRef;
use flott_types::DataType;

use super::{
    Call, Function, FunctionKind,
    define::{Param, shaped_nullable},
    encoding::push_hex,
    kernel,
    string::slice_rows,
};
use crate::EvalError;

const KIND: FunctionKind = FunctionKind::String;

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function::define(
        KIND,
        "PARSE_URL",
        &["PARSE_URL(url, part [, key])"],
        |args| shaped_nullable(args, 2, &[Param::Text; 3], DataType::string()),
        parse_url,
        "A part of a URL: HOST, PATH, QUERY (or the value of one key of it), REF, PROTOCOL, AUTHORITY, FILE or USERINFO; NULL if it isn't there.",
        &[
            ("PARSE_URL('http://facebook.com/path/p1.php?query=1', 'HOST')", "facebook.com"),
            ("PARSE_URL('http://facebook.com/path/p1.php?query=1', 'QUERY', 'query')", "1"),
        ],
    ),
    Function::define(
        KIND,
        "URL_ENCODE",
        &["URL_ENCODE(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::string()),
        |call| {
            kernel::map_strings(call.strings(0)?, |text, out| {
                encode(text, out);
                Ok(())
            })
        },
        "The string as `application/x-www-form-urlencoded`.",
        &[("URL_ENCODE('a b&c')", "a+b%26c")],
    ),
    Function::define(
        KIND,
        "URL_DECODE",
        &["URL_DECODE(string)"],
        |args| shaped_nullable(args, 1, &[Param::Text], DataType::string()),
        |call| {
            let texts = call.strings(0)?;
            let mut bytes = Vec::new();
            kernel::build_strings(call.rows, call.nulls().as_ref(), |row, out| {
                bytes.clear();
                let fits = decode(texts.value(row), &mut bytes);
                out.push_str(&String::from_utf8_lossy(&bytes));
                Ok(fits)
            })
        },
        "The text behind `application/x-www-form-urlencoded`; NULL if it isn't.",
        &[("URL_DECODE('a+b%26c')", "a b&c")],
    ),
];

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                push_hex(&[byte], out, true);
            }
        }
    }
}

fn decode(text: &str, out: &mut Vec<u8>) -> bool {
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => out.push(b' '),
            b'%' => {
                let [high, low, tail @ ..] = rest else { return false };
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { return false };
                out.push((high * 16 + low) as u8);
                rest = tail;
            }
            other => out.push(*other),
        }
    }
    true
}

/// `protocol://[userinfo@]host[:port][path][?query][#ref]`
struct Url<'a> {
    protocol: &'a str,
    authority: &'a str,
    path: &'a str,
    file: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (protocol, rest) = text.split_once(':')?;
        // Java knows these; others it refuses.
        if !["http", "https", "ftp", "file", "jar"].iter().any(|it| protocol.eq_ignore_ascii_case(it)) {
            return None;
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (authority, file) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (path, query) = match file.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (file, None),
        };
        Some(Self { protocol, authority, path, file, query, reference })
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        let user_and_host = self.authority.rsplit_once('@');
        match name {
            "HOST" => {
                let host = user_and_host.map_or(self.authority, |(_, host)| host);
                let end =
                    if host.starts_with('[') { host.find(']').map(|it| it + 1) } else { host.find(':') };
                host.get(..end.unwrap_or(host.len()))
            }
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "PROTOCOL" => Some(self.protocol),
            "FILE" => Some(self.file),
            "AUTHORITY" => Some(self.authority),
            "USERINFO" => user_and_host.map(|(user, _)| user),
            _ => None,
        }
    }
}

fn parse_url(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    let parts = call.strings(1)?;
    let keys = if call.args.len() > 2 { Some(call.strings(2)?) } else { None };
    slice_rows(call, |row, text| {
        let (url, name) = (Url::of(text)?, parts.value(row));
        let Some(keys) = keys else { return url.part(name) };
        if name != "QUERY" {
            return None;
        }
        url.query?
            .split('&')
            .filter_map(|it| it.split_once('='))
            .find(|(key, _)| *key == keys.value(row))
            .map(|(_, value)| value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let url = Url::of("http://u:p@facebook.com:80/path/p1.php?query=1&b=2#Ref").unwrap();
        let parts = ["HOST", "PATH", "QUERY", "REF", "AUTHORITY", "FILE", "USERINFO"];
        let found = parts.map(|it| url.part(it).unwrap());
        assert_eq!(found[..3], ["facebook.com", "/path/p1.php", "query=1&b=2"]);
        assert_eq!(found[3..], ["Ref", "u:p@facebook.com:80", "/path/p1.php?query=1&b=2", "u:p"]);
        assert!(Url::of("not a url").is_none());
    }

    #[test]
    fn forms_are_encoded_and_decoded() {
        let mut text = String::new();
        encode("a b&c/ñ*-._~", &mut text);
        assert_eq!(text, "a+b%26c%2F%C3%B1*-._%7E");
        let mut bytes = Vec::new();
        assert!(decode(&text, &mut bytes));
        assert_eq!(bytes, "a b&c/ñ*-._~".as_bytes());
        assert!(!decode("a%2", &mut bytes));
    }
}
