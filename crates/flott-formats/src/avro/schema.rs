//! Schemas: from their JSON text to a tree whose named types are told apart by number.
//!
//! ```text
//!   {"type":"record","name":"list","fields":[        0 record list ─┬─ value ─► 1 long
//!     {"name":"value","type":"long"},                               └─ next ──► 2 union ─► 3 null, 0
//!     {"name":"next","type":["null","list"]}]}
//! ```
//!
//! A type that holds itself refers to its own number, so whoever walks along data counts how deep it goes.
//!
//! Source: Apache Avro specification, "Schema Declaration", "Names".

use std::collections::HashMap;

use serde_json::Value;

use super::{
    failure::{Fail, Failure},
    wire::Input,
};

/// The number of a type in its schema.
pub(super) type Id = usize;

/// Values lie this deep in each other at the most.
pub(super) const DEPTH_MAX: usize = 128;

/// What a type means beyond how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal { scale: u32 },
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
}

/// How a type is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Record(Vec<Field>),
}

impl Kind {
    /// As the specification calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::Text => "string",
            Kind::Fixed(_) => "fixed",
            Kind::Enum(_) => "enum",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
            Kind::Record(_) => "record",
        }
    }
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Type {
    pub kind: Kind,
    pub logical: Option<Logical>,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub schema: Id,
    pub default: Option<Value>,
}

/// A schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schema {
    types: Vec<Type>,
    /// Of each type, whether its values take no bytes.
    empty: Vec<bool>,
    pub root: Id,
}

const NULL: &Type = &Type { kind: Kind::Null, logical: None };

impl Schema {
    /// Parses a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Schema, String> {
        Self::parse_with(&[], text)
    }

    /// Parses a schema that may use names that `others` define.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_with(others: &[String], text: &str) -> Result<Schema, String> {
        let mut parser = Parser { types: Vec::new(), names: HashMap::new() };
        let mut root = 0;
        for text in others.iter().map(String::as_str).chain([text]) {
            root = parser.parse(&json(text)?, "")?;
        }
        let empty = empties(&parser.types)?;
        Ok(Schema { types: parser.types, empty, root })
    }

    /// The type of this number.
    pub fn get(&self, id: Id) -> &Type {
        self.types.get(id).unwrap_or(NULL)
    }

    /// Whether values of this type take no bytes at all.
    pub fn is_empty(&self, id: Id) -> bool {
        self.empty.get(id).copied().unwrap_or(true)
    }

    /// Goes to the end of a value. What takes no bytes takes no time either, however much of it there is.
    ///
    /// # Errors
    /// Where the data can't be right.
    pub fn skip(&self, id: Id, input: &mut Input<'_>, depth: usize) -> Result<(), Fail> {
        match &self.get(id).kind {
            Kind::Null => {}
            Kind::Boolean => drop(input.byte()?),
            Kind::Int | Kind::Long | Kind::Enum(_) => drop(input.long()?),
            Kind::Float => drop(input.array::<4>()?),
            Kind::Double => drop(input.array::<8>()?),
            Kind::Bytes | Kind::Text => drop(input.bytes()?),
            Kind::Fixed(size) => drop(input.take(*size)?),
            Kind::Array(item) => self.skip_blocks(*item, false, input, deeper(depth, input)?)?,
            Kind::Map(value) => self.skip_blocks(*value, true, input, deeper(depth, input)?)?,
            Kind::Union(branches) => {
                let branch = branch_of(branches, input)?;
                self.skip(*branch, input, depth)?;
            }
            Kind::Record(_) if self.is_empty(id) => {}
            Kind::Record(fields) => {
                let depth = deeper(depth, input)?;
                for field in fields {
                    self.skip(field.schema, input, depth).map_err(|fail| fail.inside(&field.name))?;
                }
            }
        }
        Ok(())
    }

    fn skip_blocks(&self, item: Id, keyed: bool, input: &mut Input<'_>, depth: usize) -> Result<(), Fail> {
        let empty = !keyed && self.is_empty(item);
        loop {
            let (count, bytes) = input.block()?;
            if count == 0 {
                return Ok(());
            }
            if let Some(bytes) = bytes {
                input.take(bytes)?;
                continue;
            }
            if empty {
                continue;
            }
            for _ in 0..count {
                if keyed {
                    input.bytes()?;
                }
                self.skip(item, input, depth)?;
            }
        }
    }
}

/// What is known of whether a type's values take no bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    Unknown,
    /// Being found out: whoever meets it again lies within it.
    Asked,
    Known(bool),
}

/// Of each type, whether its values take no bytes: each is looked at once. The text of a schema is no deeper than
/// its parser allows, but records may lie in each other by their names, however flat the text is.
///
/// # Errors
/// A record of which every value would hold another one; records too deep in each other.
fn empties(types: &[Type]) -> Result<Vec<bool>, String> {
    let mut known = vec![Empty::Unknown; types.len()];
    (0..types.len()).map(|id| takes_nothing(types, id, &mut known, 0)).collect()
}

fn takes_nothing(types: &[Type], id: Id, known: &mut [Empty], depth: usize) -> Result<bool, String> {
    match known.get(id) {
        Some(Empty::Known(it)) => return Ok(*it),
        Some(Empty::Asked) => return Err("a record holds itself, not in a union, array or map".into()),
        _ => {}
    }
    if depth > DEPTH_MAX {
        return Err(format!("records lie more than {DEPTH_MAX} deep in each other"));
    }
    let note = |known: &mut [Empty], it| known.get_mut(id).map(|place| *place = it);
    note(known, Empty::Asked);
    let mut empty = true;
    match types.get(id).map(|it| &it.kind) {
        Some(Kind::Null | Kind::Fixed(0)) => {}
        Some(Kind::Record(fields)) => {
            for field in fields {
                empty &= takes_nothing(types, field.schema, known, depth + 1)?;
            }
        }
        _ => empty = false,
    }
    note(known, Empty::Known(empty));
    Ok(empty)
}

/// One level further down.
pub(super) fn deeper(depth: usize, input: &Input<'_>) -> Result<usize, Fail> {
    if depth >= DEPTH_MAX {
        return Err(Failure::new(input.at(), format!("values lie more than {DEPTH_MAX} deep in each other")));
    }
    Ok(depth + 1)
}

/// Takes items without bytes from the budget.
pub(super) fn spend(budget: &mut usize, count: u64, input: &Input<'_>) -> Result<(), Fail> {
    match usize::try_from(count).ok().and_then(|count| budget.checked_sub(count)) {
        Some(left) => {
            *budget = left;
            Ok(())
        }
        None => Err(Failure::new(input.at(), format!("{count} items without a byte are announced"))),
    }
}

/// The branch of a union that is written.
#[inline]
pub(super) fn branch_of<'b, B>(branches: &'b [B], input: &mut Input<'_>) -> Result<&'b B, Fail> {
    let start = input.at();
    let number = input.long()?;
    usize::try_from(number).ok().and_then(|number| branches.get(number)).ok_or_else(|| {
        let what = format!("branch {number} of a union that has {}", branches.len());
        Failure::new(start, what)
    })
}

/// The JSON of a schema. A bare name is a schema too, and not always in quotes.
fn json(text: &str) -> Result<Value, String> {
    let text = text.trim();
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        // The parser bounds how deep it goes.
        Err(error) if text.starts_with(['{', '[']) => Err(format!("the schema can't be read: {error}")),
        Err(_) => Ok(text.into()),
    }
}

struct Parser {
    types: Vec<Type>,
    names: HashMap<String, Id>,
}

impl Parser {
    fn add(&mut self, kind: Kind, logical: Option<Logical>) -> Id {
        self.types.push(Type { kind, logical });
        self.types.len() - 1
    }

    fn parse(&mut self, value: &Value, namespace: &str) -> Result<Id, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let mut ids = Vec::with_capacity(branches.len());
                for branch in branches {
                    let id = self.parse(branch, namespace)?;
                    if matches!(self.types.get(id), Some(Type { kind: Kind::Union(_), .. })) {
                        return Err("a union can't hold a union".into());
                    }
                    ids.push(id);
                }
                Ok(self.add(Kind::Union(ids), None))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.complex(name, value, namespace),
                Some(inner) => self.parse(inner, namespace),
                None => Err("a type without 'type'".into()),
            },
            _ => Err(format!("{value} is not a schema")),
        }
    }

    /// A primitive type, or one defined before.
    fn named(&mut self, name: &str, namespace: &str) -> Result<Id, String> {
        if let Some(kind) = primitive(name) {
            return Ok(self.add(kind, None));
        }
        let full = full_name(name, namespace);
        let found = self.names.get(&full).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("type '{name}' is not defined"))
    }

    fn complex(&mut self, name: &str, value: &Value, namespace: &str) -> Result<Id, String> {
        let part = |key: &str| value.get(key).ok_or_else(|| format!("a type '{name}' without '{key}'"));
        match name {
            "array" => {
                let item = self.parse(part("items")?, namespace)?;
                Ok(self.add(Kind::Array(item), None))
            }
            "map" => {
                let item = self.parse(part("values")?, namespace)?;
                Ok(self.add(Kind::Map(item), None))
            }
            "fixed" => {
                let size = part("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("the size of a 'fixed' must be a whole number")?;
                let id = self.add(Kind::Fixed(size), logical(value, true));
                self.define(value, namespace, id)?;
                Ok(id)
            }
            "enum" => {
                let symbols = part("symbols")?.as_array().ok_or("'symbols' must be an array")?;
                let symbols: Option<_> = symbols.iter().map(|it| it.as_str().map(str::to_string)).collect();
                let id = self.add(Kind::Enum(symbols.ok_or("symbols must be strings")?), None);
                self.define(value, namespace, id)?;
                Ok(id)
            }
            "record" | "error" => {
                // Its number is needed first: fields may refer to it.
                let id = self.add(Kind::Null, None);
                let inner = self.define(value, namespace, id)?;
                let fields = part("fields")?.as_array().ok_or("'fields' must be an array")?;
                let fields = fields.iter().map(|it| self.field(it, &inner)).collect::<Result<_, _>>()?;
                if let Some(record) = self.types.get_mut(id) {
                    record.kind = Kind::Record(fields);
                }
                Ok(id)
            }
            _ => {
                let id = self.named(name, namespace)?;
                if primitive(name).is_some()
                    && let Some(known) = self.types.get_mut(id)
                {
                    known.logical = logical(value, matches!(known.kind, Kind::Bytes));
                }
                Ok(id)
            }
        }
    }

    fn field(&mut self, value: &Value, namespace: &str) -> Result<Field, String> {
        let name = value.get("name").and_then(Value::as_str).ok_or("a field without a name")?.to_string();
        let schema = value.get("type").ok_or_else(|| format!("field '{name}' without a type"))?;
        let schema = self.parse(schema, namespace).map_err(|why| format!("field '{name}': {why}"))?;
        let aliases = value.get("aliases").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let aliases = aliases.iter().filter_map(|it| it.as_str().map(str::to_string)).collect();
        Ok(Field { name, aliases, schema, default: value.get("default").cloned() })
    }

    /// Notes a name; the namespace of what is inside.
    fn define(&mut self, value: &Value, namespace: &str, id: Id) -> Result<String, String> {
        let name = value.get("name").and_then(Value::as_str).ok_or("a named type without a name")?;
        let namespace = value.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(name, namespace);
        let inner = full.rsplit_once('.').map_or("", |(space, _)| space).to_string();
        if self.names.insert(full.clone(), id).is_some() {
            return Err(format!("type '{full}' is defined twice"));
        }
        Ok(inner)
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::Text,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') { name.to_string() } else { format!("{namespace}.{name}") }
}

/// What the annotation of a type says; one that isn't known, or stands at the wrong type, says nothing.
fn logical(value: &Value, is_bytes: bool) -> Option<Logical> {
    Some(match value.get("logicalType")?.as_str()? {
        "decimal" if is_bytes => {
            let scale = value.get("scale").map_or(Some(0), Value::as_u64)?;
            Logical::Decimal { scale: u32::try_from(scale).ok()? }
        }
        "time-millis" => Logical::TimeMillis,
        "time-micros" => Logical::TimeMicros,
        "timestamp-millis" | "local-timestamp-millis" => Logical::TimestampMillis,
        "timestamp-micros" | "local-timestamp-micros" => Logical::TimestampMicros,
        "timestamp-nanos" | "local-timestamp-nanos" => Logical::TimestampNanos,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_their_namespace() {
        let text = r#"{"type":"record","name":"a","namespace":"n.s","fields":[
            {"name":"e","type":{"type":"enum","name":"x.e","symbols":["A"]}},
            {"name":"f","type":["null","a"],"default":null},
            {"name":"g","type":"x.e"},
            {"name":"h","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
        let schema = Schema::parse(text).unwrap();
        let Kind::Record(fields) = &schema.get(schema.root).kind else { panic!() };
        assert_eq!(fields[0].schema, fields[2].schema);
        let Kind::Union(branches) = &schema.get(fields[1].schema).kind else { panic!() };
        assert_eq!(branches[1], schema.root);
        assert_eq!(schema.get(fields[3].schema).logical, Some(Logical::TimestampMicros));
        assert!(Schema::parse(r#"{"type":"record","name":"a","fields":[{"name":"x","type":"y"}]}"#).is_err());
        assert!(Schema::parse(r#"["int",["null"]]"#).is_err());
        assert_eq!(Schema::parse("int").unwrap(), Schema::parse("\"int\"").unwrap());
    }

    #[test]
    fn how_deep_a_schema_goes_is_bounded() {
        let nested = |levels: usize| {
            let open = r#"{"type":"array","items":"#.repeat(levels);
            format!("{open}\"int\"{}", "}".repeat(levels))
        };
        assert!(Schema::parse(&nested(100)).is_ok());
        let why = Schema::parse(&nested(100_000)).unwrap_err();
        assert!(why.contains("recursion limit exceeded"), "{why}");

        // Flat text: each is defined within an array, which nobody need look into, and holds the one before.
        let mut fields = vec![
            r#"{"name":"f0","type":{"type":"array","items":
            {"type":"record","name":"r0","fields":[]}}}"#
                .to_string(),
        ];
        for at in 1..20_000 {
            fields.push(format!(
                r#"{{"name":"f{at}","type":{{"type":"array","items":{{"type":"record","name":"r{at}",
                    "fields":[{{"name":"a","type":"r{}"}}]}}}}}}"#,
                at - 1
            ));
        }
        fields.push(r#"{"name":"last","type":"r19999"}"#.into());
        let text = format!(r#"{{"type":"record","name":"all","fields":[{}]}}"#, fields.join(","));
        let why = Schema::parse(&text).unwrap_err();
        assert_eq!(why, "records lie more than 128 deep in each other");
    }

    #[test]
    fn what_nests_without_end_or_takes_no_bytes_is_refused() {
        let list = r#"{"type":"record","name":"l","fields":[{"name":"n","type":["null","l"]}]}"#;
        let list = Schema::parse(list).unwrap();
        let skip = |schema: &Schema, bytes: &[u8]| schema.skip(schema.root, &mut Input::new(bytes, 0), 0);
        assert!(skip(&list, &[2, 2, 2, 0]).is_ok());
        assert!(skip(&list, &[2; 1000]).unwrap_err().message(0).contains("deep in each other"));
        // As many nulls as there could be are skipped at once.
        let nulls = Schema::parse(r#"{"type":"array","items":"null"}"#).unwrap();
        assert!(skip(&nulls, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]).is_ok());
        let itself =
            r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"r","type":"r"}]}"#;
        assert!(Schema::parse(itself).unwrap_err().contains("holds itself"));
    }

    #[test]
    fn records_of_empty_records_cost_no_time() {
        // Each holds two of the one before: 2^100 values without a byte.
        let mut types = vec![r#"{"type":"record","name":"r0","fields":[]}"#.to_string()];
        for number in 1..=100 {
            let inner = format!(r#"{{"name":"a","type":"r{0}"}},{{"name":"b","type":"r{0}"}}"#, number - 1);
            types.push(format!(r#"{{"type":"record","name":"r{number}","fields":[{inner}]}}"#));
        }
        let schema = Schema::parse(&format!("[{}]", types.join(","))).unwrap();
        let mut input = Input::new(&[200, 1], 0);
        schema.skip(schema.root, &mut input, 0).unwrap();
        assert_eq!(input.left(), 0);
        let Kind::Union(branches) = &schema.get(schema.root).kind else { panic!() };
        assert!(schema.is_empty(branches[100]) && !schema.is_empty(schema.root));
    }
}
