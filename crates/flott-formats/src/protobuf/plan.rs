//! Columns matched with the fields of a message, by name: what readers and writers are built from.
//!
//! ```text
//!   MessagePlan ─ columns ─► Shape::Leaf      bool, numbers, text, bytes, enums
//!                        ├─► Shape::Message   ROW      ─► MessagePlan
//!                        ├─► Shape::List      ARRAY    ─► Item
//!                        └─► Shape::Map       MAP      ─► Leaf, Item
//! ```
//!
//! Which type goes with which is Flink's table, and unsigned numbers also fit types that hold all of
//! their values (`uint32` a BIGINT, `uint64` a DECIMAL(20, 0)).

use std::sync::Arc;

use flott_types::{DataType, TypeKind, quote_identifier};
use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax};

use super::wire::Wire;

/// What a scalar field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Double,
    Float,
    /// `int32`, `int64`, `uint64`: as it stands.
    Varint,
    /// `uint32`: the lower half counts.
    VarintU32,
    /// `int32`, enums: the lower half counts, signed.
    VarintI32,
    Zigzag32,
    Zigzag64,
    Fixed32,
    SignedFixed32,
    Fixed64,
    Bool,
    Text,
    Bytes,
}

impl Scalar {
    fn of(kind: &Kind) -> Option<Self> {
        Some(match kind {
            Kind::Double => Scalar::Double,
            Kind::Float => Scalar::Float,
            Kind::Int64 | Kind::Uint64 => Scalar::Varint,
            Kind::Int32 | Kind::Enum(_) => Scalar::VarintI32,
            Kind::Uint32 => Scalar::VarintU32,
            Kind::Sint32 => Scalar::Zigzag32,
            Kind::Sint64 => Scalar::Zigzag64,
            Kind::Fixed32 => Scalar::Fixed32,
            Kind::Sfixed32 => Scalar::SignedFixed32,
            Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64,
            Kind::Bool => Scalar::Bool,
            Kind::String => Scalar::Text,
            Kind::Bytes => Scalar::Bytes,
            Kind::Message(_) => return None,
        })
    }
    /// How it lies in the bytes.
    pub fn wire(self) -> Wire {
        match self {
            Scalar::Double | Scalar::Fixed64 => Wire::Fixed64,
            Scalar::Float | Scalar::Fixed32 | Scalar::SignedFixed32 => Wire::Fixed32,
            Scalar::Text | Scalar::Bytes => Wire::Bytes,
            _ => Wire::Varint,
        }
    }
}

/// The values of an enum.
#[derive(Debug)]
pub(super) struct Names {
    /// The enum's own name.
    pub of: String,
    /// By number, in order; of several names for one number the first.
    by_number: Vec<(i32, String)>,
    /// All names, in order.
    by_name: Vec<(String, i32)>,
    /// The number of the first one.
    pub first: i32,
    /// Other numbers are no values (proto2): a field that holds one counts as missing.
    pub closed: bool,
}

impl Names {
    fn of(descriptor: &EnumDescriptor) -> Self {
        let mut by_number: Vec<(i32, String)> = Vec::new();
        let mut by_name = Vec::new();
        let mut first = None;
        for value in descriptor.values() {
            // `values` sorts by number; what counts is where a value stands.
            by_name.push((value.name().to_string(), value.number()));
        }
        for value in &descriptor.enum_descriptor_proto().value {
            first = first.or(value.number);
            let number = value.number.unwrap_or_default();
            if by_number.iter().all(|(other, _)| *other != number) {
                by_number.push((number, value.name.clone().unwrap_or_default()));
            }
        }
        by_number.sort_by_key(|(number, _)| *number);
        by_name.sort();
        let closed = descriptor.parent_file().syntax() == Syntax::Proto2;
        let of = descriptor.full_name().to_string();
        Self { of, by_number, by_name, first: first.unwrap_or_default(), closed }
    }
    /// The name of a number.
    pub fn name(&self, number: i32) -> Option<&str> {
        let at = self.by_number.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.by_number.get(at).map(|(_, name)| name.as_str())
    }
    /// The number of a name.
    pub fn number(&self, name: &str) -> Option<i32> {
        let at = self.by_name.binary_search_by_key(&name, |(name, _)| name).ok()?;
        self.by_name.get(at).map(|(_, number)| *number)
    }
}

/// A scalar.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub scalar: Scalar,
    /// The values, of an enum.
    pub names: Option<Arc<Names>>,
}

/// An element of a list, or the value of a map's entry.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Leaf(Leaf),
    Message(MessagePlan),
}

/// What a column is on the wire.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// The message has no such field: the column is NULL.
    Absent,
    Leaf(Leaf),
    Message(MessagePlan),
    List(Item),
    Map(Leaf, Item),
}

/// A column and its field.
#[derive(Debug, Clone)]
pub(super) struct FieldPlan {
    pub name: String,
    /// None for [`Shape::Absent`].
    pub field: Option<FieldDescriptor>,
    pub shape: Shape,
}

/// The columns of a record, or of a ROW, in their order.
#[derive(Debug, Clone)]
pub(super) struct MessagePlan {
    pub descriptor: MessageDescriptor,
    pub fields: Vec<FieldPlan>,
}

/// What doesn't fit: the path to the column, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    pub path: Vec<String>,
    pub what: String,
}

impl Misfit {
    fn new(what: String) -> Self {
        Self { path: Vec::new(), what }
    }
    fn inside(mut self, name: &str) -> Self {
        self.path.insert(0, name.to_string());
        self
    }
}

/// What happens to a column whose name the message doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// It doesn't fit.
    Refuse,
    /// It is NULL: the record was written by another version of the schema.
    Null,
}

impl MessagePlan {
    /// Matches the columns with the fields of the message.
    pub fn of<'a>(
        descriptor: &MessageDescriptor,
        columns: impl Iterator<Item = (&'a str, &'a DataType)>,
        unknown: Unknown,
    ) -> Result<Self, Misfit> {
        let plan = |(name, data_type): (&str, &DataType)| {
            let Some(field) = descriptor.get_field_by_name(name) else {
                if unknown == Unknown::Null {
                    return Ok(FieldPlan { name: name.into(), field: None, shape: Shape::Absent });
                }
                let what = format!("the message {} has no field of this name", descriptor.full_name());
                return Err(Misfit::new(what).inside(name));
            };
            let shape = shape(&field, data_type, unknown).map_err(|misfit| misfit.inside(name))?;
            Ok(FieldPlan { name: name.to_string(), field: Some(field), shape })
        };
        Ok(Self { descriptor: descriptor.clone(), fields: columns.map(plan).collect::<Result<_, _>>()? })
    }
}

fn shape(field: &FieldDescriptor, data_type: &DataType, unknown: Unknown) -> Result<Shape, Misfit> {
    if field.is_group() {
        return Err(Misfit::new("groups are not supported yet".into()));
    }
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return Err(misfit("map", data_type, "a MAP")) };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let TypeKind::Map(to_key, to_value) = &data_type.kind else {
            return Err(misfit(&format!("map<{:?}, {:?}>", key.kind(), value.kind()), data_type, "a MAP"));
        };
        let key = leaf(&key.kind(), to_key).map_err(|misfit| misfit.inside("key"))?;
        let value = item(&value.kind(), to_value, unknown).map_err(|misfit| misfit.inside("value"))?;
        return Ok(Shape::Map(key, value));
    }
    if field.cardinality() == Cardinality::Repeated {
        let TypeKind::Array(element) = &data_type.kind else {
            return Err(misfit(&format!("repeated {:?}", field.kind()), data_type, "an ARRAY"));
        };
        return Ok(Shape::List(item(&field.kind(), element, unknown)?));
    }
    Ok(match item(&field.kind(), data_type, unknown)? {
        Item::Leaf(leaf) => Shape::Leaf(leaf),
        Item::Message(plan) => Shape::Message(plan),
    })
}

fn item(kind: &Kind, data_type: &DataType, unknown: Unknown) -> Result<Item, Misfit> {
    let Kind::Message(message) = kind else { return leaf(kind, data_type).map(Item::Leaf) };
    let TypeKind::Row(fields) = &data_type.kind else {
        return Err(misfit(&format!("message {}", message.full_name()), data_type, "a ROW"));
    };
    let columns = fields.iter().map(|field| (field.name.as_str(), &field.data_type));
    MessagePlan::of(message, columns, unknown).map(Item::Message)
}

fn leaf(kind: &Kind, to: &DataType) -> Result<Leaf, Misfit> {
    let (fits, expected) = match kind {
        Kind::Bool => (to.kind == TypeKind::Boolean, "BOOLEAN"),
        Kind::Bytes => (to.is_binary(), "BYTES"),
        Kind::String => (to.is_character(), "STRING"),
        Kind::Double => (to.kind == TypeKind::Double, "DOUBLE"),
        Kind::Float => (to.kind == TypeKind::Float, "FLOAT"),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (to.kind == TypeKind::Int, "INT"),
        Kind::Uint32 | Kind::Fixed32 => {
            (matches!(to.kind, TypeKind::Int | TypeKind::BigInt), "BIGINT, or INT where it may wrap")
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (to.kind == TypeKind::BigInt, "BIGINT"),
        Kind::Uint64 | Kind::Fixed64 => (
            matches!(to.kind, TypeKind::BigInt | TypeKind::Decimal(20..=38, 0)),
            "DECIMAL(20, 0), or BIGINT where it may wrap",
        ),
        Kind::Enum(_) => (to.is_character() || to.is_integer(), "STRING or INT"),
        Kind::Message(_) => (false, "a ROW"),
    };
    let Some(scalar) = Scalar::of(kind).filter(|_| fits) else {
        let name = match kind {
            Kind::Enum(descriptor) => format!("enum {}", descriptor.full_name()),
            Kind::Message(descriptor) => format!("message {}", descriptor.full_name()),
            kind => format!("{kind:?}"),
        };
        return Err(misfit(&name, to, expected));
    };
    let names = kind.as_enum().map(|descriptor| Arc::new(Names::of(descriptor)));
    Ok(Leaf { scalar, names })
}

fn misfit(field: &str, data_type: &DataType, expected: &str) -> Misfit {
    Misfit::new(format!("the field is a {field}, which is no {}: it must be {expected}", data_type.kind))
}

/// A path as users write it.
pub(super) fn shown(path: &[String]) -> String {
    path.iter().map(|name| quote_identifier(name).trim_matches('`').to_string()).collect::<Vec<_>>().join(".")
}
