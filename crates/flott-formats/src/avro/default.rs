//! Default values of a reader's schema, from their JSON into Avro's own encoding: from there they are read
//! like anything else.
//!
//! Source: Apache Avro specification, "Complex Types", field default values.

use serde_json::Value;

use super::{
    schema::{Id, Kind, Schema},
    wire::{put_bytes, put_long},
};

/// Appends a default. That of a union is one of its first branch; newer writers of schemas allow any.
///
/// # Errors
/// Why it isn't one.
pub(super) fn write(schema: &Schema, id: Id, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
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
            items.iter().try_for_each(|it| write(schema, *item, it, out))?;
            out.push(0);
        }
        (Kind::Map(of), Value::Object(entries)) => {
            if !entries.is_empty() {
                put_long(entries.len() as i64, out);
            }
            for (key, value) in entries {
                put_bytes(key.as_bytes(), out);
                write(schema, *of, value, out)?;
            }
            out.push(0);
        }
        (Kind::Union(branches), _) => {
            let start = out.len();
            for (number, branch) in branches.iter().enumerate() {
                put_long(number as i64, out);
                if write(schema, *branch, value, out).is_ok() {
                    return Ok(());
                }
                out.truncate(start);
            }
            return Err(wrong());
        }
        (Kind::Record(fields), Value::Object(entries)) => {
            for field in fields {
                let given = entries.get(&field.name).or(field.default.as_ref());
                write(schema, field.schema, given.ok_or_else(wrong)?, out)?;
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
