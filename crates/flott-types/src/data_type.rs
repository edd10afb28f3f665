//! Flink's logical types.
//!
//! A [`DataType`] is a [`TypeKind`] and whether NULL is allowed. Its `Display` is the
//! text that Flink prints for the type (`DECIMAL(10, 2) NOT NULL`, ``ROW<`a` INT>``).
//!
//! Source: Flink documentation, "Data Types".

use std::fmt;

/// A field of a `ROW` type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowField {
    /// The field's name.
    pub name: String,
    /// The field's type.
    pub data_type: DataType,
}

/// What an `INTERVAL` counts. Flink keeps only two physical kinds, whatever units the
/// text names: months, and milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalUnit {
    /// `INTERVAL YEAR`, `YEAR TO MONTH`, `MONTH`: a number of months (32 bits).
    Months,
    /// `INTERVAL DAY` … `SECOND`: a number of milliseconds (64 bits).
    Milliseconds,
}

/// A logical type without its nullability.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// The type of the bare literal `NULL`.
    Null,
    /// `BOOLEAN`
    Boolean,
    /// `CHAR(n)`: `n` characters (not bytes).
    Char(u32),
    /// `VARCHAR(n)`; `STRING` is `VARCHAR(2147483647)`.
    Varchar(u32),
    /// `BINARY(n)`: `n` bytes.
    Binary(u32),
    /// `VARBINARY(n)`; `BYTES` is `VARBINARY(2147483647)`.
    Varbinary(u32),
    /// `DECIMAL(precision, scale)`, precision 1 to 38.
    Decimal(u8, u8),
    /// `TINYINT`, 8 bits.
    TinyInt,
    /// `SMALLINT`, 16 bits.
    SmallInt,
    /// `INT`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    BigInt,
    /// `FLOAT`, 32 bits.
    Float,
    /// `DOUBLE`, 64 bits.
    Double,
    /// `DATE`
    Date,
    /// `TIME(p)`, p 0 to 9. Flink keeps milliseconds.
    Time(u8),
    /// `TIMESTAMP(p)`, without a time zone.
    Timestamp(u8),
    /// `TIMESTAMP_LTZ(p)`: an instant, shown in `table.local-time-zone`.
    TimestampLtz(u8),
    /// An interval.
    Interval(IntervalUnit),
    /// `ARRAY<t>`
    Array(Box<DataType>),
    /// `MAP<k, v>`
    Map(Box<DataType>, Box<DataType>),
    /// `MULTISET<t>`: a map from element to count.
    Multiset(Box<DataType>),
    /// `ROW<name type, …>`
    Row(Vec<RowField>),
    /// `VARIANT`: a value of JSON, as its text.
    Variant,
    /// `BITMAP`: a set of numbers of 32 bits, as the portable bytes of a Roaring bitmap.
    Bitmap,
}

/// A logical type: a kind, and whether it may be NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DataType {
    /// The kind.
    pub kind: TypeKind,
    /// Whether NULL is a value of this type.
    pub nullable: bool,
}

/// The greatest length of CHAR, VARCHAR, BINARY and VARBINARY; also what `STRING` and `BYTES` have.
pub const LENGTH_MAX: u32 = i32::MAX as u32;

impl From<TypeKind> for DataType {
    fn from(kind: TypeKind) -> Self {
        Self { kind, nullable: true }
    }
}

impl DataType {
    /// A nullable type of this kind.
    pub fn new(kind: TypeKind) -> Self {
        kind.into()
    }
    /// `STRING`
    pub fn string() -> Self {
        TypeKind::Varchar(LENGTH_MAX).into()
    }
    /// `BYTES`
    pub fn bytes() -> Self {
        TypeKind::Varbinary(LENGTH_MAX).into()
    }
    /// `BOOLEAN`
    pub fn boolean() -> Self {
        TypeKind::Boolean.into()
    }
    /// `INT`
    pub fn int() -> Self {
        TypeKind::Int.into()
    }
    /// `BIGINT`
    pub fn bigint() -> Self {
        TypeKind::BigInt.into()
    }
    /// `DOUBLE`
    pub fn double() -> Self {
        TypeKind::Double.into()
    }
    /// `ARRAY<element>`
    pub fn array(element: DataType) -> Self {
        TypeKind::Array(Box::new(element)).into()
    }
    /// `MAP<key, value>`
    pub fn map(key: DataType, value: DataType) -> Self {
        TypeKind::Map(Box::new(key), Box::new(value)).into()
    }
    /// `ROW<…>` of named fields.
    pub fn row<N: Into<String>>(fields: impl IntoIterator<Item = (N, DataType)>) -> Self {
        let fields = fields.into_iter().map(|(name, data_type)| RowField { name: name.into(), data_type });
        TypeKind::Row(fields.collect()).into()
    }

    /// The same type, `NOT NULL`.
    #[must_use]
    pub fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }
    /// The same type with the given nullability.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }
    /// Whether the kinds are equal, whatever their nullability (at the top level).
    pub fn same_kind(&self, other: &DataType) -> bool {
        self.kind == other.kind
    }
    /// CHAR or VARCHAR.
    pub fn is_character(&self) -> bool {
        matches!(self.kind, TypeKind::Char(_) | TypeKind::Varchar(_))
    }
    /// BINARY or VARBINARY.
    pub fn is_binary(&self) -> bool {
        matches!(self.kind, TypeKind::Binary(_) | TypeKind::Varbinary(_))
    }
    /// TINYINT, SMALLINT, INT or BIGINT.
    pub fn is_integer(&self) -> bool {
        matches!(self.kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int | TypeKind::BigInt)
    }
    /// FLOAT or DOUBLE.
    pub fn is_approximate(&self) -> bool {
        matches!(self.kind, TypeKind::Float | TypeKind::Double)
    }
    /// DECIMAL.
    pub fn is_decimal(&self) -> bool {
        matches!(self.kind, TypeKind::Decimal(..))
    }
    /// Any number.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_approximate() || self.is_decimal()
    }
    /// TIMESTAMP or TIMESTAMP_LTZ.
    pub fn is_timestamp(&self) -> bool {
        matches!(self.kind, TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_))
    }
    /// DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ.
    pub fn is_datetime(&self) -> bool {
        self.is_timestamp() || matches!(self.kind, TypeKind::Date | TypeKind::Time(_))
    }
    /// An interval.
    pub fn is_interval(&self) -> bool {
        matches!(self.kind, TypeKind::Interval(_))
    }
    /// The bare literal NULL's type.
    pub fn is_null(&self) -> bool {
        self.kind == TypeKind::Null
    }
}

/// An identifier in back-ticks, as Flink prints it.
pub fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl fmt::Display for TypeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeKind::Null => write!(f, "NULL"),
            TypeKind::Boolean => write!(f, "BOOLEAN"),
            TypeKind::Char(n) => write!(f, "CHAR({n})"),
            TypeKind::Varchar(LENGTH_MAX) => write!(f, "STRING"),
            TypeKind::Varchar(n) => write!(f, "VARCHAR({n})"),
            TypeKind::Binary(n) => write!(f, "BINARY({n})"),
            TypeKind::Varbinary(LENGTH_MAX) => write!(f, "BYTES"),
            TypeKind::Varbinary(n) => write!(f, "VARBINARY({n})"),
            TypeKind::Decimal(p, s) => write!(f, "DECIMAL({p}, {s})"),
            TypeKind::TinyInt => write!(f, "TINYINT"),
            TypeKind::SmallInt => write!(f, "SMALLINT"),
            TypeKind::Int => write!(f, "INT"),
            TypeKind::BigInt => write!(f, "BIGINT"),
            TypeKind::Float => write!(f, "FLOAT"),
            TypeKind::Double => write!(f, "DOUBLE"),
            TypeKind::Date => write!(f, "DATE"),
            TypeKind::Time(p) => write!(f, "TIME({p})"),
            TypeKind::Timestamp(p) => write!(f, "TIMESTAMP({p})"),
            TypeKind::TimestampLtz(p) => write!(f, "TIMESTAMP_LTZ({p})"),
            TypeKind::Interval(IntervalUnit::Months) => write!(f, "INTERVAL MONTH"),
            TypeKind::Interval(IntervalUnit::Milliseconds) => write!(f, "INTERVAL SECOND(3)"),
            TypeKind::Array(element) => write!(f, "ARRAY<{element}>"),
            TypeKind::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            TypeKind::Multiset(element) => write!(f, "MULTISET<{element}>"),
            TypeKind::Variant => write!(f, "VARIANT"),
            TypeKind::Bitmap => write!(f, "BITMAP"),
            TypeKind::Row(fields) => {
                write!(f, "ROW<")?;
                for (i, field) in fields.iter().enumerate() {
                    if i > 0 {
                        write!(f, ", ")?;
                    }
                    write!(f, "{} {}", quote_identifier(&field.name), field.data_type)?;
                }
                write!(f, ">")
            }
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if !self.nullable {
            write!(f, " NOT NULL")?;
        }
        Ok(())
    }
}
