//! Named, typed columns.

use std::{fmt, sync::Arc};

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};

use crate::{DataType, quote_identifier};

/// What makes a timestamp column a time attribute.
///
/// Source: Flink documentation, "Time Attributes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeAttribute {
    /// Event time: the column that a `WATERMARK` is declared for.
    Rowtime,
    /// Processing time: `PROCTIME()`.
    Proctime,
}

/// A column: a name and a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// The column's type.
    pub data_type: DataType,
    /// Whether the column is a time attribute. Survives plain references, lost in any computation.
    pub time: Option<TimeAttribute>,
}

impl Field {
    /// A column.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, time: None }
    }
    /// The same column as a time attribute, or none.
    #[must_use]
    pub fn with_time(mut self, time: Option<TimeAttribute>) -> Self {
        self.time = time;
        self
    }
}

/// The columns of a table or of a plan node, in order. Names need not be unique in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    /// The columns.
    pub fields: Vec<Field>,
}

impl Schema {
    /// A schema of these columns.
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.fields.len()
    }
    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
    /// The position of the first column of this name (case counts, as in Flink).
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
    /// The columns at these positions.
    #[must_use]
    pub fn project(&self, indices: &[usize]) -> Schema {
        Schema::new(indices.iter().map(|&i| self.fields[i].clone()).collect())
    }
    /// The Arrow schema of batches of these columns.
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self.fields.iter().map(|f| f.data_type.arrow_field(&f.name)).collect();
        Arc::new(ArrowSchema::new(fields))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.fields.iter().enumerate() {
            if i > 0 {
                write!(f, ", ")?;
            }
            write!(f, "{} {}", quote_identifier(&field.name), field.data_type)?;
        }
        Ok(())
    }
}
