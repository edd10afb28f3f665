//! Default values of a reader's schema, from their JSON into Avro's own encoding: from there they are read
//! like anything else.
//!
//! A default may name no more than the text of its schema does, and yet be endless (`{}` for a record whose only
//! field is a record of its own kind with the default `{}`) or double with every level: how deep it goes and how
//! large it gets is bounded.
//!
//! Source: Apache Avro specification, "Complex Types", field default values.

use serde_json::Value;

use super::{
    schema::{DEPTH_MAX, Id, Kind, Schema},
    wire::{put_bytes, put_long},
};

/// Values within a default at the most; of the branches of a union all that are tried count.
const VALUES_MAX: usize = 100_000;

/// Appends a default. That of a union is one of its first branch; newer writers of schemas allow any.
///
/// # Errors
/// Why it isn't one.
pub(super) fn write(schema: &Schema, id: Id, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let mut bounds = Bounds { left: VALUES_MAX, broken: None };
    let written = append(schema, id, value, 0, &mut bounds, out);
    match bounds.broken {
        // Not the last of the union's branches that were tried for it.
        Some(why) => Err(why),
        None => written,
    }
}

/// What a default may still grow to.
struct Bounds {
    left: usize,
    broken: Option<String>,
}

impl Bounds {
    fn check(&mut self, depth: usize) -> Result<(), String> {
        let why = match (&self.broken, depth > DEPTH_MAX, self.left.checked_sub(1)) {
            (None, false, Some(left)) => {
                self.left = left;
                return Ok(());
            }
            (Some(why), ..) => why.clone(),
            (None, true, _) => format!("the default goes more than {DEPTH_MAX} deep"),
            (None, false, None) => format!("the default holds more than {VALUES_MAX} values"),
        };
        self.broken = Some(why.clone());
        Err(why)
    }
}

fn append(
    schema: &Schema,
    id: Id,
    value: &Value,
    depth: usize,
    bounds: &mut Bounds,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    bounds.check(depth)?;
    let kind = &schema.get(id).kind;
    let wrong = || format!("the default {value} is no '{}'", kind.name());
    match (kind, value) {
        (Kind::Null, Value::Null) => {}
        (Kind::Boolean, Value::Bool(it)) => out.push(u8::from(*it)),
        (Kind::Int | Kind::Long, Value::Number(it)) => put_long(it.as_i64().ok_or_else(wrong)?, out),
        (Kind::Float, Value::Number(it)) => {
            out.extend((it.as_f64().ok_or_else(wrong)? as f32).to_le_bytes());
        }
        (Kind::Double, Value::Number(it)) => out.extend(it.as_f64().ok_or_else(wrong)?.to_le_bytes()),
        (Kind::Text, Value::String(it)) => put_bytes(it.as_bytes(), out),
        (Kind::Bytes, Value::String(it)) => put_bytes(&latin(it).ok_or_else(wrong)?, out),
        (Kind::Fixed(size), Value::String(it)) => {
            let bytes = latin(it).filter(|bytes| bytes.len() == *size).ok_or_else(wrong)?;
            out.extend(bytes);
        }
        (Kind::Enum(symbols), Value::String(it)) => {
            let at = symbols.iter().position(|symbol| symbol == it).ok_or_else(wrong)?;
            put_long(at as i64, out);
        }
        (Kind::Array(item), Value::Array(items)) => {
            if !items.is_empty() {
                put_long(items.len() as i64, out);
            }
            items.iter().try_for_each(|it| append(schema, *item, it, depth + 1, bounds, out))?;
            out.push(0);
        }
        (Kind::Map(of), Value::Object(entries)) => {
            if !entries.is_empty() {
                put_long(entries.len() as i64, out);
            }
            for (key, value) in entries {
                put_bytes(key.as_bytes(), out);
                append(schema, *of, value, depth + 1, bounds, out)?;
            }
            out.push(0);
        }
        (Kind::Union(branches), _) => {
            let start = out.len();
            for (number, branch) in branches.iter().enumerate() {
                put_long(number as i64, out);
                if append(schema, *branch, value, depth + 1, bounds, out).is_ok() {
                    return Ok(());
                }
                out.truncate(start);
            }
            return Err(wrong());
        }
        (Kind::Record(fields), Value::Object(entries)) => {
            for field in fields {
                let given = entries.get(&field.name).or(field.default.as_ref());
                append(schema, field.schema, given.ok_or_else(wrong)?, depth + 1, bounds, out)?;
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Bytes from text whose characters are their values.
fn latin(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|it| u8::try_from(u32::from(it)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, value: &str) -> Result<Vec<u8>, String> {
        let schema = Schema::parse(text).unwrap();
        let mut out = Vec::new();
        write(&schema, schema.root, &serde_json::from_str(value).unwrap(), &mut out).map(|()| out)
    }

    #[test]
    fn a_default_without_end_is_refused() {
        let endless =
            r#"{"type":"record","name":"r","fields":[{"name":"n","type":["r","null"],"default":{}}]}"#;
        assert_eq!(written(endless, "{}").unwrap_err(), "the default goes more than 128 deep");
        // The same, with an end.
        assert_eq!(written(endless, r#"{"n":{"n":null}}"#).unwrap(), [0, 2]);
    }

    #[test]
    fn a_default_that_doubles_with_every_level_is_refused() {
        let mut types = vec![r#"{"type":"record","name":"r0","fields":[]}"#.to_string()];
        for level in 1..40 {
            let inner = format!(r#""type":"r{}","default":{{}}"#, level - 1);
            types.push(format!(
                r#"{{"type":"record","name":"r{level}","fields":[{{"name":"a",{inner}}},{{"name":"b",{inner}}}]}}"#
            ));
        }
        let text = format!(r#"{{"type":"record","name":"all","fields":[{}]}}"#, {
            let field =
                |(at, it): (usize, &String)| format!(r#"{{"name":"f{at}","type":{it},"default":{{}}}}"#);
            types.iter().enumerate().map(field).collect::<Vec<_>>().join(",")
        });
        assert_eq!(written(&text, "{}").unwrap_err(), "the default holds more than 100000 values");
    }
}
