//! The writer's schema against the table's columns: what to do with each value, decided once per schema.
//!
//! ```text
//!   written        column                       plan
//!   id    long ──► id BIGINT                    read 0 long
//!   note  string   (no column)                  skip string
//!   price int  ──► price DOUBLE                 read 1 int                      promoted
//!                  tag STRING                   then 2: NULL, or the default    added since
//! ```
//!
//! Fields are found by name; those left over by the aliases of the reader's schema, if there is one. What a value may
//! be promoted to follows the specification; beyond it, enums are read as text and `fixed` as bytes, and
//! the unit of a timestamp and the scale of a decimal are those that the writer names.
//!
//! Source: Apache Avro specification, "Schema Resolution".

use std::sync::Arc;

use flott_types::{DataType, Field, TimestampUnit, TypeKind};

use super::{
    default,
    schema::{Id, Kind, Logical, Schema, Type},
};

/// How a written value gets into a column.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    /// A time in another unit than the column's.
    Rescaled(Ratio),
    Float,
    Double,
    /// Bytes or text.
    Bytes,
    Fixed(usize),
    Enum(Arc<[String]>),
    /// An unscaled number in big-endian bytes; of a fixed size, if one is given.
    Decimal {
        size: Option<usize>,
        scale: Rescale,
        limit: i128,
    },
    Array {
        item: Box<Node>,
        empty: bool,
    },
    Map(Box<Node>),
    Record(Box<Record>),
    /// A union of null (first, or else second) and another type.
    Nullable {
        null: u8,
        inner: Box<Node>,
    },
    Union(Box<[Node]>),
    /// A branch of a union that doesn't fit the column.
    Unfit(Arc<str>),
}

/// How a time is told in another unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ratio {
    Times(i64),
    DividedBy(i64),
}

/// How a decimal is told with another scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rescale {
    Same,
    Times(i128),
    DividedBy(i128),
}

/// How a record is read.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// In the order in which its fields are written.
    pub steps: Vec<Step>,
    /// Columns that it doesn't write.
    pub absent: Vec<(usize, Absent)>,
}

/// What is done with a written field.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Read { column: usize, node: Node, name: Arc<str> },
    Skip { schema: Id, name: Arc<str> },
}

/// What a column gets that isn't written.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    Null,
    /// The reader's default, written in the reader's schema.
    Value {
        schema: Arc<Schema>,
        bytes: Arc<[u8]>,
        node: Node,
    },
}

/// A part of the reader's schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub schema: &'a Arc<Schema>,
    pub id: Id,
}

/// The plan for records of this schema; columns are numbered as they stand in `columns`.
///
/// # Errors
/// Why they can't be read into these columns.
pub(super) fn resolve(
    writer: &Schema,
    columns: &[Field],
    reader: Option<&Arc<Schema>>,
) -> Result<Node, String> {
    let targets: Vec<Target<'_>> =
        columns.iter().map(|it| Target { name: &it.name, data_type: &it.data_type }).collect();
    let reader = reader.map(|schema| Reader { schema, id: schema.root });
    rows(writer, writer.root, &targets, reader)
}

/// A column, or a field of a ROW.
struct Target<'a> {
    name: &'a str,
    data_type: &'a DataType,
}

/// A record, or a union that has one.
fn rows(writer: &Schema, id: Id, targets: &[Target<'_>], reader: Option<Reader<'_>>) -> Result<Node, String> {
    let reader = reader.map(|it| it.without_null());
    match &writer.get(id).kind {
        Kind::Record(_) => Ok(Node::Record(Box::new(record(writer, id, targets, reader)?))),
        Kind::Union(branches) => union(writer, branches, |branch| rows(writer, branch, targets, reader)),
        other => Err(format!("'{}' is written where a record is read", other.name())),
    }
}

impl<'a> Reader<'a> {
    /// The other branch of a union with null.
    fn without_null(self) -> Self {
        let Kind::Union(branches) = &self.schema.get(self.id).kind else { return self };
        let other = branches.iter().find(|it| self.schema.get(**it).kind != Kind::Null);
        Self { id: other.copied().unwrap_or(self.id), ..self }
    }
    fn field(self, name: &str) -> Option<&'a super::schema::Field> {
        let Kind::Record(fields) = &self.schema.get(self.id).kind else { return None };
        fields.iter().find(|it| it.name == name)
    }
    fn inner(self, id: Id) -> Self {
        Self { id, ..self }
    }
}

fn record(
    writer: &Schema,
    id: Id,
    targets: &[Target<'_>],
    reader: Option<Reader<'_>>,
) -> Result<Record, String> {
    let Kind::Record(fields) = &writer.get(id).kind else { return Err("not a record".into()) };
    let known = |column: usize| reader?.field(targets.get(column)?.name);
    let mut sources = vec![None; fields.len()];
    let mut claim = |column: usize, name: &str| {
        let free = |(at, field): (usize, &super::schema::Field)| {
            field.name == name && sources.get(at).is_some_and(Option::is_none)
        };
        let at = fields.iter().enumerate().position(free);
        at.and_then(|at| sources.get_mut(at)).map(|source| *source = Some(column)).is_some()
    };
    // An alias takes nothing that has another column's own name.
    let unnamed: Vec<usize> = targets
        .iter()
        .enumerate()
        .filter_map(|(column, target)| (!claim(column, target.name)).then_some(column))
        .collect();
    let mut absent = Vec::new();
    for column in unnamed {
        let Some(target) = targets.get(column) else { continue };
        let known = known(column);
        if !known.is_some_and(|it| it.aliases.iter().any(|alias| claim(column, alias))) {
            absent.push((column, missing(target, known, reader)?));
        }
    }
    let mut steps = Vec::with_capacity(fields.len());
    for (field, source) in fields.iter().zip(sources) {
        let name: Arc<str> = field.name.as_str().into();
        let target = source
            .and_then(|column| Some((column, targets.get(column)?, known(column).map(|field| field.schema))));
        steps.push(match target {
            None => Step::Skip { schema: field.schema, name },
            Some((column, target, inner)) => {
                let reader = inner.and_then(|id| reader.map(|it| it.inner(id)));
                let node = value(writer, field.schema, target.data_type, reader)
                    .map_err(|why| format!("field '{}': {why}", field.name))?;
                Step::Read { column, node, name }
            }
        });
    }
    Ok(Record { steps, absent })
}

/// What a column gets that the writer doesn't know.
fn missing(
    target: &Target<'_>,
    known: Option<&super::schema::Field>,
    reader: Option<Reader<'_>>,
) -> Result<Absent, String> {
    let context = |why: String| format!("field '{}': {why}", target.name);
    if let (Some(field), Some(reader)) = (known, reader)
        && let Some(json) = &field.default
        && !json.is_null()
    {
        let mut bytes = Vec::new();
        default::write(reader.schema, field.schema, json, &mut bytes).map_err(context)?;
        let node = value(reader.schema, field.schema, target.data_type, None).map_err(context)?;
        return Ok(Absent::Value { schema: reader.schema.clone(), bytes: bytes.into(), node });
    }
    if target.data_type.nullable {
        return Ok(Absent::Null);
    }
    Err(context("it is not written, and the column is NOT NULL".into()))
}

fn union(
    writer: &Schema,
    branches: &[Id],
    mut inner: impl FnMut(Id) -> Result<Node, String>,
) -> Result<Node, String> {
    let is_null = |id: &Id| writer.get(*id).kind == Kind::Null;
    let mut nodes = Vec::with_capacity(branches.len());
    let mut first_error = None;
    for branch in branches {
        nodes.push(match inner(*branch) {
            Ok(node) => node,
            Err(why) => {
                let node = Node::Unfit(why.as_str().into());
                if !is_null(branch) {
                    first_error.get_or_insert(why);
                }
                node
            }
        });
    }
    // Nothing but null could ever be read.
    if let Some(why) = first_error
        && nodes.iter().all(|node| matches!(node, Node::Unfit(_) | Node::Null))
    {
        return Err(why);
    }
    Ok(match <[Node; 2]>::try_from(nodes) {
        Ok([Node::Null, inner]) => Node::Nullable { null: 0, inner: Box::new(inner) },
        Ok([inner, Node::Null]) => Node::Nullable { null: 2, inner: Box::new(inner) },
        Ok(both) => Node::Union(both.into()),
        Err(nodes) => Node::Union(nodes.into()),
    })
}

fn value(writer: &Schema, id: Id, data_type: &DataType, reader: Option<Reader<'_>>) -> Result<Node, String> {
    let reader = reader.map(|it| it.without_null());
    let written = writer.get(id);
    if let Kind::Union(branches) = &written.kind {
        return union(writer, branches, |branch| value(writer, branch, data_type, reader));
    }
    if written.kind == Kind::Null {
        return if data_type.nullable {
            Ok(Node::Null)
        } else {
            Err("null is written, and the column is NOT NULL".into())
        };
    }
    let inner = |of: fn(&Kind) -> Option<Id>| {
        reader.and_then(|it| of(&it.schema.get(it.id).kind).map(|id| it.inner(id)))
    };
    match (&written.kind, &data_type.kind) {
        (Kind::Array(item), TypeKind::Array(element)) => {
            let reader = inner(|kind| if let Kind::Array(id) = kind { Some(*id) } else { None });
            let node = value(writer, *item, element, reader)?;
            Ok(Node::Array { item: Box::new(node), empty: writer.is_empty(*item) })
        }
        (Kind::Map(item), TypeKind::Map(_, to)) => {
            let reader = inner(|kind| if let Kind::Map(id) = kind { Some(*id) } else { None });
            Ok(Node::Map(Box::new(value(writer, *item, to, reader)?)))
        }
        (Kind::Map(item), TypeKind::Multiset(_)) => {
            Ok(Node::Map(Box::new(value(writer, *item, &DataType::int(), None)?)))
        }
        (Kind::Record(_), TypeKind::Row(fields)) => {
            let targets: Vec<Target<'_>> =
                fields.iter().map(|it| Target { name: &it.name, data_type: &it.data_type }).collect();
            Ok(Node::Record(Box::new(record(writer, id, &targets, reader)?)))
        }
        _ => scalar(written, data_type)
            .ok_or_else(|| format!("'{}' can't be read as {}", written.kind.name(), data_type.kind)),
    }
}

fn scalar(written: &Type, data_type: &DataType) -> Option<Node> {
    use TypeKind as To;
    Some(match (&written.kind, &data_type.kind) {
        (Kind::Boolean, To::Boolean) => Node::Boolean,
        (Kind::Int, To::TinyInt | To::SmallInt | To::Int | To::Date) => Node::Int,
        (Kind::Int, To::BigInt | To::Float | To::Double) => Node::Int,
        (Kind::Int, To::Time(_)) => Node::Int,
        (Kind::Long, To::Time(_)) if written.logical == Some(Logical::TimeMicros) => {
            Node::Rescaled(Ratio::DividedBy(1000))
        }
        (Kind::Int | Kind::Long, To::Timestamp(p) | To::TimestampLtz(p)) => instant(written, *p),
        (Kind::Long, To::BigInt | To::Float | To::Double) => Node::Long,
        (Kind::Float, To::Float | To::Double) => Node::Float,
        (Kind::Double, To::Double) => Node::Double,
        (Kind::Bytes | Kind::Text, To::Char(_) | To::Varchar(_) | To::Binary(_) | To::Varbinary(_)) => {
            Node::Bytes
        }
        (Kind::Fixed(size), To::Binary(_) | To::Varbinary(_)) => Node::Fixed(*size),
        (Kind::Enum(symbols), To::Char(_) | To::Varchar(_)) => Node::Enum(symbols.clone().into()),
        (Kind::Bytes, To::Decimal(precision, scale)) => decimal(written, None, *precision, *scale)?,
        (Kind::Fixed(size), To::Decimal(precision, scale)) => {
            decimal(written, Some(*size), *precision, *scale)?
        }
        _ => return None,
    })
}

fn instant(written: &Type, precision: u8) -> Node {
    let per_second = TimestampUnit::per_second(TimestampUnit::of(precision));
    let written_per_second = match written.logical {
        Some(Logical::TimestampMillis) => 1_000,
        Some(Logical::TimestampMicros) => 1_000_000,
        Some(Logical::TimestampNanos) => 1_000_000_000,
        _ => per_second,
    };
    match per_second.cmp(&written_per_second) {
        std::cmp::Ordering::Equal => Node::Long,
        std::cmp::Ordering::Greater => Node::Rescaled(Ratio::Times(per_second / written_per_second)),
        std::cmp::Ordering::Less => Node::Rescaled(Ratio::DividedBy(written_per_second / per_second)),
    }
}

fn decimal(written: &Type, size: Option<usize>, precision: u8, scale: u8) -> Option<Node> {
    let from = match written.logical {
        Some(Logical::Decimal { scale }) => scale,
        _ => u32::from(scale),
    };
    let to = u32::from(scale);
    let scale = match to.cmp(&from) {
        std::cmp::Ordering::Equal => Rescale::Same,
        std::cmp::Ordering::Greater => Rescale::Times(10i128.checked_pow(to - from)?),
        std::cmp::Ordering::Less => Rescale::DividedBy(10i128.checked_pow(from - to)?),
    };
    Some(Node::Decimal { size, scale, limit: 10i128.checked_pow(u32::from(precision))? })
}
