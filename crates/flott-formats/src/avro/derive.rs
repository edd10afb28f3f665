//! The schema of a table's rows, as Flink derives it.
//!
//! | column | schema |
//! |---|---|
//! | nullable | union of `null` and the type, default `null` |
//! | TINYINT, SMALLINT, INT | `int` |
//! | TIMESTAMP(p) | legacy: `timestamp-millis`, p ≤ 3; else `local-timestamp-millis`, `-micros`, `-nanos` |
//! | TIMESTAMP_LTZ(p) | legacy: none; else `timestamp-millis`, `-micros`, `-nanos` |
//! | DECIMAL(p, s) | `bytes`, `decimal` |
//! | ROW in a field `f` | record `record_f` |
//!
//! Source: Flink documentation, "Avro Format", "Data Type Mapping".

use flott_types::{DataType, TypeKind};
use serde_json::{Value, json};

const NAMESPACE: &str = "org.apache.flink.avro.generated";

/// The schema of rows of these columns.
///
/// # Errors
/// Which column Avro has no type for.
pub(super) fn schema<'a>(
    columns: impl Iterator<Item = (&'a str, &'a DataType)>,
    legacy_timestamps: bool,
) -> Result<Value, String> {
    let mut record = record("record", columns, legacy_timestamps)?;
    if let Some(object) = record.as_object_mut() {
        object.insert("namespace".into(), NAMESPACE.into());
    }
    Ok(record)
}

fn record<'a>(
    name: &str,
    fields: impl Iterator<Item = (&'a str, &'a DataType)>,
    legacy: bool,
) -> Result<Value, String> {
    let mut all = Vec::new();
    for (field, data_type) in fields {
        let why = |why: String| format!("'{field}': {why}");
        if !is_name(field) {
            return Err(why("names in Avro are of letters, digits and '_', and begin with no digit".into()));
        }
        let schema = of_type(data_type, &format!("{name}_{field}"), legacy).map_err(why)?;
        let mut one = json!({"name": field, "type": schema});
        if data_type.nullable
            && let Some(object) = one.as_object_mut()
        {
            object.insert("default".into(), Value::Null);
        }
        all.push(one);
    }
    Ok(json!({"type": "record", "name": name, "fields": all}))
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|it| it.is_ascii_alphanumeric() || it == '_')
}

fn of_type(data_type: &DataType, name: &str, legacy: bool) -> Result<Value, String> {
    let logical = |kind: &str, logical: &str| json!({"type": kind, "logicalType": logical});
    let refuse = |help: &str| Err(format!("the avro format can't hold {data_type}{help}"));
    let unit = |precision: u8| match precision {
        0..=3 => "millis",
        4..=6 => "micros",
        _ => "nanos",
    };
    let schema = match &data_type.kind {
        TypeKind::Boolean => json!("boolean"),
        TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int => json!("int"),
        TypeKind::BigInt => json!("long"),
        TypeKind::Float => json!("float"),
        TypeKind::Double => json!("double"),
        TypeKind::Char(_) | TypeKind::Varchar(_) => json!("string"),
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => json!("bytes"),
        TypeKind::Decimal(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        TypeKind::Date => logical("int", "date"),
        TypeKind::Time(0..=3) => logical("int", "time-millis"),
        TypeKind::Time(_) => return refuse(", only TIME of a precision up to 3"),
        TypeKind::Timestamp(0..=3) if legacy => logical("long", "timestamp-millis"),
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) if legacy => {
            return refuse(": only TIMESTAMP(3), or others with 'timestamp_mapping.legacy' = 'false'");
        }
        TypeKind::Timestamp(p) => logical("long", &format!("local-timestamp-{}", unit(*p))),
        TypeKind::TimestampLtz(p) => logical("long", &format!("timestamp-{}", unit(*p))),
        TypeKind::Array(item) => json!({"type": "array", "items": of_type(item, name, legacy)?}),
        TypeKind::Map(key, value) if key.is_character() => {
            json!({"type": "map", "values": of_type(value, name, legacy)?})
        }
        TypeKind::Multiset(item) if item.is_character() => json!({"type": "map", "values": ["null", "int"]}),
        TypeKind::Map(..) | TypeKind::Multiset(_) => return refuse(": its keys aren't text"),
        TypeKind::Row(fields) => {
            record(name, fields.iter().map(|it| (it.name.as_str(), &it.data_type)), legacy)?
        }
        TypeKind::Null | TypeKind::Interval(_) | TypeKind::Variant | TypeKind::Bitmap => return refuse(""),
    };
    Ok(if data_type.nullable { json!(["null", schema]) } else { schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data_type: DataType, legacy: bool) -> Result<String, String> {
        schema([("a", &data_type)].into_iter(), legacy).map(|it| it["fields"][0]["type"].to_string())
    }

    #[test]
    fn as_flink_derives_them() {
        let whole = schema([("id", &DataType::bigint().not_null())].into_iter(), true).unwrap();
        assert_eq!(
            whole,
            json!({"type":"record","name":"record","namespace":"org.apache.flink.avro.generated",
                "fields":[{"name":"id","type":"long"}]})
        );
        let row = DataType::array(DataType::row([("x", DataType::int())])).not_null();
        let expected = json!({"type":"array","items":["null",
            {"type":"record","name":"record_a","fields":[{"name":"x","type":["null","int"],"default":null}]}]});
        assert_eq!(text(row, true).unwrap(), expected.to_string());
        let timestamp = |p| DataType::from(TypeKind::Timestamp(p)).not_null();
        assert!(text(timestamp(3), true).unwrap().contains("\"timestamp-millis\""));
        assert!(text(timestamp(6), true).is_err());
        assert!(text(timestamp(6), false).unwrap().contains("\"local-timestamp-micros\""));
        assert!(text(DataType::map(DataType::int(), DataType::int()), true).is_err());
        assert!(schema([("a-b", &DataType::int())].into_iter(), true).is_err());
    }
}
