//! The `csv` format, as Flink reads and writes it.
//!
//! ```text
//!   chunk ─► scan: where fields and records end ─► columns: one typed loop per column ─► batch
//!            (64 bytes a step; a record with an     (block by block, so that what the scan
//!             escape or a misplaced quote takes      found is still in the cache)
//!             the slow path alone)
//!   batch ─► encoder ─► lines, quoted where Jackson's CSV writer quotes
//! ```
//!
//! Invariants
//! - One pass: only the plan's columns are parsed, straight into Arrow buffers.
//! - A record is rejected as a whole and never harms its neighbours.
//! - A field equal to `csv.null-literal` is NULL, quoted or not; an empty field is not NULL
//!   unless the literal is empty.
//!
//! Source: Flink documentation, "CSV Format"; behaviour checked against Flink 2.3.

mod bare;
mod column;
mod decoder;
mod encoder;
mod field;
mod messages;
mod quotes;
mod scan;
mod settings;
#[cfg(test)]
mod tests;

use flott_connector::{
    Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, OptionKind, ScanRequest,
};
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Diagnostic, Options, Result, TypeKind};

use settings::Settings;

/// The `csv` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Csv;

const OPTIONS: &[OptionDef] = &[
    OptionDef::optional("csv.field-delimiter", OptionKind::Character, ",", "What stands between two fields."),
    OptionDef::optional(
        "csv.disable-quote-character",
        OptionKind::Boolean,
        "false",
        "Quotes have no meaning; 'csv.quote-character' must not be given.",
    ),
    OptionDef::optional(
        "csv.quote-character",
        OptionKind::Character,
        "\"",
        "Encloses a field that holds delimiters, quotes (doubled) or line breaks.",
    ),
    OptionDef::optional(
        "csv.allow-comments",
        OptionKind::Boolean,
        "false",
        "Lines that start with '#' are not records.",
    ),
    OptionDef::optional(
        "csv.ignore-parse-errors",
        OptionKind::Boolean,
        "false",
        "A field that can't be parsed is NULL; a row that can't be parsed is skipped and counted.",
    ),
    OptionDef::optional(
        "csv.array-element-delimiter",
        OptionKind::Text,
        ";",
        "What stands between the elements of an ARRAY or the fields of a ROW.",
    ),
    OptionDef::optional(
        "csv.escape-character",
        OptionKind::Character,
        "",
        "Makes the next character ordinary.",
    ),
    OptionDef::optional(
        "csv.null-literal",
        OptionKind::Text,
        "",
        "A field of exactly this text is NULL; NULL is written as this text.",
    ),
    OptionDef::optional(
        "csv.write-bigdecimal-in-scientific-notation",
        OptionKind::Boolean,
        "true",
        "DECIMAL 100000 is written as 1E+5.",
    ),
    OptionDef::optional(
        "csv.ignore-first-line",
        OptionKind::Boolean,
        "false",
        "The first line of every file is a header and not a record.",
    ),
];

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }
    fn doc(&self) -> &'static str {
        "Comma-separated values: one record a line, fields by position."
    }
    fn options(&self) -> &'static [OptionDef] {
        OPTIONS
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        errors.extend(Settings::from_options(&request.table.options).err());
        for field in &request.schema.fields {
            if let Err(error) = check_type(&field.name, &field.data_type) {
                let column = request.table.columns.iter().find(|column| column.name == field.name);
                errors.push(error.at(column.map(|column| column.span).unwrap_or_default()));
            }
        }
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, options: &Options) -> Result<Framing> {
        let settings = Settings::from_options(options)?;
        Ok(match settings.quote {
            Some(quote) => Framing::QuotedLines {
                quote,
                delimiter: settings.delimiter,
                escape: settings.escape,
                comments: settings.comments,
            },
            None => Framing::Lines,
        })
    }
    fn header_lines(&self, options: &Options) -> Result<usize> {
        Ok(usize::from(Settings::from_options(options)?.header))
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let settings = Settings::from_options(&request.table.options)?;
        Ok(Box::new(decoder::CsvDecoder::new(settings, &request.schema, scan, extra)?))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let settings = Settings::from_options(&request.table.options)?;
        Ok(Box::new(encoder::CsvEncoder::new(settings, &request.schema)))
    }
}

/// Columns are simple, or an ARRAY or ROW of simple types: a line has no brackets.
fn check_type(column: &str, data_type: &DataType) -> Result<()> {
    let refuse = |what: &DataType| {
        Err(Diagnostic::error(
            Code::InvalidDefinition,
            format!("column '{column}': the csv format can't hold {what}"),
        )
        .help("csv holds simple types, and ARRAY or ROW of simple types"))
    };
    match &data_type.kind {
        TypeKind::Array(element) if is_simple(element) => Ok(()),
        TypeKind::Row(fields) => match fields.iter().find(|field| !is_simple(&field.data_type)) {
            Some(_) => refuse(data_type),
            None => Ok(()),
        },
        _ if is_simple(data_type) => Ok(()),
        _ => refuse(data_type),
    }
}

fn is_simple(data_type: &DataType) -> bool {
    !matches!(
        data_type.kind,
        TypeKind::Array(_)
            | TypeKind::Map(..)
            | TypeKind::Multiset(_)
            | TypeKind::Row(_)
            | TypeKind::Interval(_)
            | TypeKind::Null
            | TypeKind::Variant
            | TypeKind::Bitmap
    )
}
