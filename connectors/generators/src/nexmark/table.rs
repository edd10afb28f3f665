//! The table's columns: which there may be, of which types, and how each is made.
//!
//! Columns and fields may be left out and stand in any order; a plan that reads less of them
//! asks for a smaller schema, and only that is generated.

use arrow::datatypes::DataType as ArrowType;
use flott_connector::TableDescription;
use flott_types::{Code, DataType, Diagnostic, Schema, TypeKind};

use super::events::{AUCTION, BID, FieldDef, Generate, Kind, PERSON};

/// How a column is made.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// `event_type`
    EventType,
    /// `person`, `auction` or `bid`.
    Event { kind: Kind, fields: Vec<Generate>, arrow_type: ArrowType },
}

const COLUMNS: [&str; 4] = ["event_type", "person", "auction", "bid"];

/// Checks that the table has only columns that exist, with their types.
pub(super) fn validate(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) {
    for column in &table.columns {
        if let Err(error) = column_of(&column.name, &column.data_type) {
            errors.push(error.at(column.span));
        }
    }
}

/// How the columns of a scan are made.
pub(super) fn columns_of(schema: &Schema, errors: &mut Vec<Box<Diagnostic>>) -> Vec<Column> {
    let mut columns = Vec::new();
    for field in &schema.fields {
        match column_of(&field.name, &field.data_type) {
            Ok(column) => columns.push(column),
            Err(error) => errors.push(error),
        }
    }
    columns
}

fn column_of(name: &str, data_type: &DataType) -> Result<Column, Box<Diagnostic>> {
    let (kind, known) = match name {
        "event_type" if data_type.kind == TypeKind::Int => return Ok(Column::EventType),
        "event_type" => return Err(wrong_type(name, data_type, "INT")),
        "person" => (Kind::Person, PERSON),
        "auction" => (Kind::Auction, AUCTION),
        "bid" => (Kind::Bid, BID),
        _ => {
            let error =
                Diagnostic::error(Code::UnknownColumn, format!("connector 'nexmark' has no column '{name}'"));
            return Err(error
                .did_you_mean(name, COLUMNS)
                .help(format!("its columns are {}", COLUMNS.join(", "))));
        }
    };
    let TypeKind::Row(wanted) = &data_type.kind else {
        return Err(wrong_type(name, data_type, &row_type(known)));
    };
    let mut fields = Vec::new();
    for field in wanted {
        let path = format!("{name}.{}", field.name);
        let Some(def) = known.iter().find(|def| def.name == field.name) else {
            let names = known.iter().map(|def| def.name);
            return Err(Diagnostic::error(
                Code::UnknownColumn,
                format!("connector 'nexmark' has no field '{path}'"),
            )
            .did_you_mean(&field.name, names));
        };
        if !field.data_type.same_kind(&def.generate.data_type()) {
            return Err(wrong_type(&path, &field.data_type, &def.generate.data_type().to_string()));
        }
        fields.push(def.generate);
    }
    Ok(Column::Event { kind, fields, arrow_type: data_type.arrow_type() })
}

fn wrong_type(path: &str, found: &DataType, expected: &str) -> Box<Diagnostic> {
    let message = format!("'{path}' of connector 'nexmark' has type {expected}, not {found}");
    Diagnostic::error(Code::TypeMismatch, message)
}

fn row_type(fields: &[FieldDef]) -> String {
    DataType::row(fields.iter().map(|def| (def.name, def.generate.data_type()))).to_string()
}
