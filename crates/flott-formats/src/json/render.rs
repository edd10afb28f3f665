//! JSON text from JSON text: what a STRING column gets for an object or array.
//!
//! As Flink (Jackson): no blanks, numbers with a point or exponent as a DOUBLE prints, escapes
//! written afresh, and of equal keys the last value, at the place of the first.

use std::{collections::BTreeMap, ops::Range};

use flott_expr::text::append_double;

use super::{
    escape::{Wide, append_string},
    scan::{number_end, skip_blanks, skip_word, string_end, unescape},
};

/// Appends the compact text of the value in `raw`, which the scanner has checked before.
pub(super) fn compact(raw: &[u8], out: &mut Vec<u8>) {
    value(raw, skip_blanks(raw, 0), out);
}

/// Appends the value at `at`; answers with the position behind it.
fn value(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    match raw.get(at) {
        Some(b'"') => string(raw, at, out),
        Some(b'{') => object(raw, at, out),
        Some(b'[') => array(raw, at, out),
        Some(b'-' | b'0'..=b'9') => number(raw, at, out),
        _ => {
            let end = skip_word(raw, at).unwrap_or(raw.len());
            out.extend_from_slice(raw.get(at..end).unwrap_or_default());
            end
        }
    }
}

fn string(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Ok(found) = string_end(raw, at + 1) else { return raw.len() };
    let inside = raw.get(at + 1..found.quote).unwrap_or_default();
    if found.escaped {
        let mut text = Vec::new();
        unescape(inside, &mut text);
        append_string(&text, Wide::Plain, out);
    } else {
        append_string(inside, Wide::Plain, out);
    }
    found.quote + 1
}

fn number(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Ok(found) = number_end(raw, at) else { return raw.len() };
    let token = raw.get(at..found.end).unwrap_or_default();
    match std::str::from_utf8(token).map(str::parse::<f64>) {
        Ok(Ok(double)) if !found.integral => append_double(out, double),
        _ => out.extend_from_slice(token),
    }
    found.end
}

fn array(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    out.push(b'[');
    let mut at = skip_blanks(raw, at + 1);
    let mut first = true;
    while at < raw.len() && raw.get(at) != Some(&b']') {
        if !first {
            out.push(b',');
            at = skip_blanks(raw, at + 1);
        }
        first = false;
        at = skip_blanks(raw, value(raw, at, out));
    }
    out.push(b']');
    at + 1
}

fn object(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let mut values: Vec<Range<usize>> = Vec::new();
    let mut by_key: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    out.push(b'{');
    let mut at = skip_blanks(raw, at + 1);
    while at < raw.len() && raw.get(at) != Some(&b'}') {
        let start = out.len();
        if !values.is_empty() {
            out.push(b',');
            at = skip_blanks(raw, at + usize::from(raw.get(at) == Some(&b',')));
        }
        let key_start = out.len();
        at = skip_blanks(raw, string(raw, at, out));
        let key = out.get(key_start..).unwrap_or_default().to_vec();
        at = skip_blanks(raw, at + 1);
        out.push(b':');
        let value_start = out.len();
        at = skip_blanks(raw, value(raw, at, out));
        match by_key.get(&key) {
            Some(&earlier) => replace(out, &mut values, earlier, start, value_start),
            None => {
                by_key.insert(key, values.len());
                values.push(value_start..out.len());
            }
        }
    }
    out.push(b'}');
    at + 1
}

/// Moves the value that starts at `value_start`, the last in `out`, to the place of an earlier one.
fn replace(out: &mut Vec<u8>, values: &mut [Range<usize>], earlier: usize, start: usize, value_start: usize) {
    let fresh = out.split_off(value_start);
    out.truncate(start);
    let Some(place) = values.get(earlier).cloned() else { return };
    let (old, new) = (place.len(), fresh.len());
    out.splice(place, fresh);
    for (number, range) in values.iter_mut().enumerate().skip(earlier) {
        if number > earlier {
            range.start = range.start + new - old;
        }
        range.end = range.end + new - old;
    }
}

#[cfg(test)]
mod tests {
    use super::compact;

    fn text(json: &str) -> String {
        let mut out = Vec::new();
        compact(json.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_jackson_prints_a_tree() {
        assert_eq!(
            text(
                r#"{"a": 1.50, "b" : [1 , 2, {"c":"x\ny\u00e9\/"}], "d":1e5,"e":12345678901234567890123,"g":null }"#
            ),
            r#"{"a":1.5,"b":[1,2,{"c":"x\nyé/"}],"d":100000.0,"e":12345678901234567890123,"g":null}"#
        );
        assert_eq!(text("[ ]"), "[]");
        assert_eq!(text("{ }"), "{}");
    }

    #[test]
    fn of_equal_keys_the_last_value_counts() {
        assert_eq!(text(r#"{"a":1,"b":2,"a":[3,4],"c":5}"#), r#"{"a":[3,4],"b":2,"c":5}"#);
    }
}
