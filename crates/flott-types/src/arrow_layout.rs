//! How a column of each logical type lies in memory.
//!
//! | logical | Arrow | note |
//! |---|---|---|
//! | CHAR, VARCHAR | `Utf8` | length is checked where Flink checks it: in casts and sinks |
//! | BINARY, VARBINARY | `Binary` | |
//! | DECIMAL(p, s) | `Decimal128(p, s)` | |
//! | TIME(p) | `Time32(Millisecond)` | as Flink |
//! | TIMESTAMP(p), TIMESTAMP_LTZ(p) | `Timestamp(unit)` / with zone `UTC` | p ≤ 3: ms, p ≤ 6: µs, else ns |
//! | INTERVAL months / ms | `Interval(YearMonth)` / `Duration(Millisecond)` | |
//! | ARRAY, MAP, ROW | `List`, `Map`, `Struct` | children named `item`; `entries` of `key`, `value` |
//! | VARIANT, BITMAP | `Utf8`, `Binary` | JSON text; bytes of a Roaring bitmap |
//! | MULTISET<t> | `Map` from t to INT | |
//!
//! Arrow nanoseconds span 1677 to 2262, Flink's TIMESTAMP(9) years 0 to 9999, so the unit
//! follows the precision; a value outside its unit's range is an error, never a wrap.

use std::sync::Arc;

use arrow::datatypes::{
    DataType as ArrowType, Field as ArrowField, Fields, IntervalUnit as ArrowInterval, TimeUnit,
};

use crate::{DataType, IntervalUnit, TypeKind};

/// The unit in which a TIMESTAMP(p) or TIMESTAMP_LTZ(p) counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampUnit;

impl TimestampUnit {
    /// The Arrow unit of a timestamp of this precision.
    pub fn of(precision: u8) -> TimeUnit {
        match precision {
            0..=3 => TimeUnit::Millisecond,
            4..=6 => TimeUnit::Microsecond,
            _ => TimeUnit::Nanosecond,
        }
    }
    /// Units per second.
    pub fn per_second(unit: TimeUnit) -> i64 {
        match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        }
    }
}

impl DataType {
    /// The Arrow type of a column of this type.
    pub fn arrow_type(&self) -> ArrowType {
        match &self.kind {
            TypeKind::Null => ArrowType::Null,
            TypeKind::Boolean => ArrowType::Boolean,
            TypeKind::Char(_) | TypeKind::Varchar(_) => ArrowType::Utf8,
            TypeKind::Binary(_) | TypeKind::Varbinary(_) => ArrowType::Binary,
            TypeKind::Decimal(p, s) => ArrowType::Decimal128(*p, *s as i8),
            TypeKind::TinyInt => ArrowType::Int8,
            TypeKind::SmallInt => ArrowType::Int16,
            TypeKind::Int => ArrowType::Int32,
            TypeKind::BigInt => ArrowType::Int64,
            TypeKind::Float => ArrowType::Float32,
            TypeKind::Double => ArrowType::Float64,
            TypeKind::Date => ArrowType::Date32,
            TypeKind::Time(_) => ArrowType::Time32(TimeUnit::Millisecond),
            TypeKind::Timestamp(p) => ArrowType::Timestamp(TimestampUnit::of(*p), None),
            TypeKind::TimestampLtz(p) => ArrowType::Timestamp(TimestampUnit::of(*p), Some("UTC".into())),
            TypeKind::Interval(IntervalUnit::Months) => ArrowType::Interval(ArrowInterval::YearMonth),
            TypeKind::Interval(IntervalUnit::Milliseconds) => ArrowType::Duration(TimeUnit::Millisecond),
            TypeKind::Array(element) => ArrowType::List(Arc::new(element.arrow_field("item"))),
            TypeKind::Map(key, value) => map_of(key, value),
            TypeKind::Variant => ArrowType::Utf8,
            TypeKind::Bitmap => ArrowType::Binary,
            TypeKind::Multiset(element) => map_of(element, &DataType::int().not_null()),
            TypeKind::Row(fields) => ArrowType::Struct(
                fields.iter().map(|field| field.data_type.arrow_field(&field.name)).collect(),
            ),
        }
    }

    /// An Arrow field of this type. Always nullable: nullability is checked by the plan, and a
    /// batch with a NULL in the wrong place must be representable to be reported.
    pub fn arrow_field(&self, name: &str) -> ArrowField {
        ArrowField::new(name, self.arrow_type(), true)
    }
}

fn map_of(key: &DataType, value: &DataType) -> ArrowType {
    let key = ArrowField::new("key", key.arrow_type(), false);
    let entries = ArrowType::Struct(Fields::from(vec![key, value.arrow_field("value")]));
    ArrowType::Map(Arc::new(ArrowField::new("entries", entries, false)), false)
}
