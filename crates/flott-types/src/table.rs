//! A table as connectors see it.

use crate::{DataType, Field, Options, Schema, Span};

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// The format reads or writes it.
    Physical,
    /// The connector provides it under this key (`METADATA FROM 'key'`).
    Metadata {
        /// The metadata key.
        key: String,
        /// `VIRTUAL`: read only.
        is_virtual: bool,
    },
}

/// A column that a connector reads or writes. Computed columns are the planner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// The column's name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Where it comes from.
    pub kind: ColumnKind,
    /// Where it is declared.
    pub span: Span,
}

/// A table of the catalog, without its computed columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableDescription {
    /// The table's name as users write it.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Physical and metadata columns in declared order.
    pub columns: Vec<TableColumn>,
    /// Names of the primary key's columns.
    pub primary_key: Vec<String>,
    /// `PARTITIONED BY`: names of columns.
    pub partition_keys: Vec<String>,
    /// The `WITH` options, hints merged in.
    pub options: Options,
}

impl TableDescription {
    /// All columns as a schema.
    pub fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|c| Field::new(&c.name, c.data_type.clone())).collect())
    }
    /// The columns that the format reads or writes, as a schema.
    pub fn physical_schema(&self) -> Schema {
        let physical = self.columns.iter().filter(|c| c.kind == ColumnKind::Physical);
        Schema::new(physical.map(|c| Field::new(&c.name, c.data_type.clone())).collect())
    }
}
