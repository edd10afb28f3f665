//! A constant.

/// A constant, in the physical form of its logical type (see `flott_types::DataType::arrow_type`).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// BOOLEAN
    Boolean(bool),
    /// TINYINT to BIGINT
    Int(i64),
    /// DECIMAL: the unscaled value
    Decimal(i128),
    /// FLOAT and DOUBLE
    Double(f64),
    /// CHAR and VARCHAR
    String(String),
    /// BINARY and VARBINARY
    Bytes(Vec<u8>),
    /// DATE: days since 1970-01-01
    Date(i32),
    /// TIME: milliseconds of the day
    Time(i32),
    /// TIMESTAMP and TIMESTAMP_LTZ: since the epoch, in the unit of the type's precision
    Timestamp(i64),
    /// INTERVAL: months or milliseconds
    Interval(i64),
    /// ARRAY
    Array(Vec<Value>),
    /// MAP and MULTISET, in order
    Map(Vec<(Value, Value)>),
    /// ROW
    Row(Vec<Value>),
}
