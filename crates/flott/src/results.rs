//! A query's rows on standard output: as a table, CSV or JSON.
//!
//! Values are spelled as Flink's `CAST(… AS STRING)` spells them (JSON: as the `json` format does).
//! If the query changes rows that it told before, a first column `op` says what each row does.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{ArrayRef, Int8Array, RecordBatchOptions, StringArray},
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use flott_connector::{Encoder, FormatRequest, Registry, Sink};
use flott_connector_console::{NewEncoder, to_stdout};
use flott_expr::{EvalContext, render};
use flott_types::{Code, DataType, Diagnostic, Field, Result, RowKind, Schema, TableDescription};

use crate::{cli::Output, console, printable};

/// Where a query's rows go. `changes`: some may be changes.
pub fn sink(
    schema: &Schema,
    changes: bool,
    output: Output,
    context: &EvalContext,
    registry: &Registry,
) -> Result<Arc<dyn Sink>> {
    let (schema, context) = (if changes { with_op(schema) } else { schema.clone() }, context.clone());
    let arrow = schema.arrow_schema();
    let json = registry.format("json")?.clone();
    let rows = move || match output {
        Output::Json => {
            let table = TableDescription::default();
            let printable = printable::schema(&schema);
            let request = FormatRequest { table: &table, schema: printable.clone() };
            let inner = json.encoder(&request, &context)?;
            Ok(if printable == schema {
                inner
            } else {
                Box::new(Printable { inner, schema: schema.clone(), printable, time_zone: context.time_zone })
            })
        }
        Output::Csv => Ok(Box::new(CsvEncoder { rows: Rows::new(&schema, &context), header: false }) as _),
        Output::Table => {
            Ok(Box::new(TableEncoder { rows: Rows::new(&schema, &context), widths: None, count: 0 }) as _)
        }
    };
    let encoder: NewEncoder = match changes {
        false => Arc::new(rows),
        true => Arc::new(move || Ok(Box::new(Changes { inner: rows()?, schema: arrow.clone() }))),
    };
    Ok(to_stdout(encoder))
}

/// The columns behind one that says what each row does.
fn with_op(schema: &Schema) -> Schema {
    let name = if schema.index_of("op").is_some() { "$op" } else { "op" };
    let op = Field::new(name, DataType::string().not_null());
    Schema::new(std::iter::once(op).chain(schema.fields.iter().cloned()).collect())
}

/// Rows with what each does in a column of its own.
struct Changes {
    inner: Box<dyn Encoder>,
    schema: SchemaRef,
}

impl Changes {
    fn append(
        &mut self,
        batch: &RecordBatch,
        ops: impl Iterator<Item = RowKind>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let ops: ArrayRef = Arc::new(StringArray::from_iter_values(ops.map(RowKind::short)));
        let columns = std::iter::once(ops).chain(batch.columns().iter().cloned()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
        self.inner.encode(&batch, out)
    }
}

impl Encoder for Changes {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.append(batch, std::iter::repeat_n(RowKind::Insert, batch.num_rows()), out)
    }
    fn encode_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array, out: &mut Vec<u8>) -> Result<()> {
        let ops = kinds.values().iter().map(|kind| RowKind::of(*kind).unwrap_or(RowKind::Insert));
        self.append(batch, ops, out)
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.inner.finish(out)
    }
}

/// Rows as text.
struct Rows {
    schema: Schema,
    context: EvalContext,
}

impl Rows {
    fn new(schema: &Schema, context: &EvalContext) -> Self {
        Self { schema: schema.clone(), context: context.clone() }
    }
    /// A value's text; `None`: NULL.
    fn text(&self, batch: &RecordBatch, row: usize, column: usize) -> Option<String> {
        let array = batch.column(column);
        if array.is_null(row) || self.schema.fields[column].data_type.is_null() {
            return None;
        }
        let mut out = String::new();
        render::render_value(
            array.as_ref(),
            row,
            &self.schema.fields[column].data_type,
            self.context.time_zone,
            &mut out,
        );
        Some(out)
    }
}

/// JSON of columns that it has no form for.
struct Printable {
    inner: Box<dyn Encoder>,
    schema: Schema,
    printable: Schema,
    time_zone: chrono_tz::Tz,
}

impl Encoder for Printable {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.inner.encode(&printable::batch(batch, &self.schema, &self.printable, self.time_zone)?, out)
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.inner.finish(out)
    }
}

/// RFC 4180; NULL is an empty field without quotes, the empty string is `""`.
struct CsvEncoder {
    rows: Rows,
    header: bool,
}

fn append_csv_field(text: &str, out: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if plain {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

impl CsvEncoder {
    fn header(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.header, true) {
            return;
        }
        for (at, field) in self.rows.schema.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            append_csv_field(&field.name, out);
        }
        out.push(b'\n');
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.header(out);
        for row in 0..batch.num_rows() {
            for column in 0..batch.num_columns() {
                if column > 0 {
                    out.push(b',');
                }
                if let Some(text) = self.rows.text(batch, row, column) {
                    append_csv_field(&text, out);
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.header(out);
        Ok(())
    }
}

/// A cell of a table is one line, and does nothing to the terminal: control characters are escaped.
fn shown(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if character.is_control() => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04X}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

/// A table whose widths come from the header and the first batch; what is longer sticks out.
struct TableEncoder {
    rows: Rows,
    widths: Option<Vec<usize>>,
    count: u64,
}

/// A column is at most this wide to begin with.
const WIDTH_MAX: usize = 60;

impl TableEncoder {
    fn rule(widths: &[usize], out: &mut Vec<u8>) {
        for width in widths {
            out.push(b'+');
            out.extend(std::iter::repeat_n(b'-', width + 2));
        }
        out.extend_from_slice(b"+\n");
    }

    fn line(widths: &[usize], cells: impl Iterator<Item = (String, bool)>, out: &mut Vec<u8>) {
        for (width, (text, right)) in widths.iter().zip(cells) {
            let fill = width.saturating_sub(text.chars().count());
            out.extend_from_slice(b"| ");
            if right {
                out.extend(std::iter::repeat_n(b' ', fill));
            }
            out.extend_from_slice(text.as_bytes());
            if !right {
                out.extend(std::iter::repeat_n(b' ', fill));
            }
            out.push(b' ');
        }
        out.extend_from_slice(b"|\n");
    }

    fn begin(&mut self, cells: &[Vec<String>], out: &mut Vec<u8>) -> Vec<usize> {
        if let Some(widths) = &self.widths {
            return widths.clone();
        }
        let fields = &self.rows.schema.fields;
        let width = |column: usize| {
            let longest =
                cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(WIDTH_MAX);
            longest.max(fields[column].name.chars().count())
        };
        let widths: Vec<usize> = (0..fields.len()).map(width).collect();
        Self::rule(&widths, out);
        Self::line(&widths, fields.iter().map(|field| (field.name.clone(), false)), out);
        Self::rule(&widths, out);
        self.widths = Some(widths.clone());
        widths
    }
}

impl Encoder for TableEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let cell = |row: usize, column: usize| {
            self.rows.text(batch, row, column).map_or_else(|| "NULL".into(), shown)
        };
        let cells: Vec<Vec<String>> = (0..batch.num_rows())
            .map(|row| (0..batch.num_columns()).map(|column| cell(row, column)).collect())
            .collect();
        let widths = self.begin(&cells, out);
        let right: Vec<bool> =
            self.rows.schema.fields.iter().map(|field| field.data_type.is_numeric()).collect();
        self.count += cells.len() as u64;
        for row in cells {
            Self::line(&widths, row.into_iter().zip(right.iter().copied()), out);
        }
        Ok(())
    }
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let widths = self.begin(&[], out);
        Self::rule(&widths, out);
        let rows = if self.count == 1 { "row" } else { "rows" };
        out.extend_from_slice(format!("{} {rows}\n", self.count).as_bytes());
        Ok(())
    }
}

/// Prints rows of text that are there already (`SHOW`, `DESCRIBE`).
pub fn print_text(schema: &Schema, rows: &[Vec<Option<String>>], output: Output) -> Result<()> {
    let columns: Vec<ArrayRef> = (0..schema.len())
        .map(|column| {
            Arc::new(rows.iter().map(|row| row[column].as_deref()).collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let batch = RecordBatch::try_new(schema.arrow_schema(), columns)
        .map_err(|error| Diagnostic::error(Code::Internal, error.to_string()))?;
    let context = EvalContext { now_micros: 0, time_zone: chrono_tz::UTC, random_seed: 0, watermark: None };
    let rows = Rows::new(schema, &context);
    let mut encoder: Box<dyn Encoder> = match output {
        Output::Csv => Box::new(CsvEncoder { rows, header: false }),
        Output::Table | Output::Json => Box::new(TableEncoder { rows, widths: None, count: 0 }),
    };
    let mut out = Vec::new();
    encoder.encode(&batch, &mut out)?;
    encoder.finish(&mut out)?;
    console::out(String::from_utf8_lossy(&out));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_cell_is_one_line() {
        assert_eq!(shown("a\nb\tc\r\u{1b}[31m\u{0}".into()), "a\\nb\\tc\\r\\u001B[31m\\u0000");
        assert_eq!(shown("süß".into()), "süß");
    }
}
