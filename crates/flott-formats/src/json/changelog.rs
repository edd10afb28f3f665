//! The `changelog-json` format: rows beside what they do to the table.
//!
//! ```text
//!   {"op":"+I","data":{"id":1,"n":"a"}}      id 1 is new
//!   {"op":"-U","data":{"id":1,"n":"a"}}      id 1 was …            (not in mode `upsert`)
//!   {"op":"+U","data":{"id":1,"n":"b"}}      … and is
//!   {"op":"-D","data":{"id":1,"n":"b"}}      id 1 is gone          (the key is enough in mode `upsert`)
//! ```
//!
//! Reading, an envelope is an object of two columns, text and ROW, so nothing is read differently from
//! `json`; what the records do is looked at for a whole batch, and those that say it wrongly are taken
//! out. Beside the short names `op` may be INSERT, UPDATE_BEFORE, UPDATE_AFTER or DELETE. In mode
//! `upsert` the primary key is always read, so that a record without it is known whatever is selected.

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, StructArray},
    compute::filter,
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use flott_connector::{
    Changelog, Decoder, Encoder, ExtraColumn, Format, FormatRequest, Framing, OptionDef, ScanRequest, Slices,
};
use flott_expr::EvalContext;
use flott_types::{Code, DataType, Diagnostic, Field, Options, Result, RowField, RowKind, TypeKind};

use super::{
    column::{Column, Reading, internal},
    decoder::{Finished, JsonDecoder, Records},
    encoder::{JsonEncoder, Lines, Target},
    failure::Fail,
    object::ObjectReader,
    options::{CHANGELOG_MODE, CHANGELOG_OPTIONS, JsonOptions},
    validate,
};

/// The `changelog-json` format.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangelogJsonFormat;

const PREFIX: &str = "changelog-json";

fn is_upsert(options: &Options) -> Result<bool> {
    let mode = options.parsed(CHANGELOG_MODE, |text| match text.to_ascii_lowercase().as_str() {
        "retract" => Ok(false),
        "upsert" => Ok(true),
        _ => Err("expected one of retract, upsert".into()),
    })?;
    Ok(mode.unwrap_or(false))
}

impl Format for ChangelogJsonFormat {
    fn name(&self) -> &'static str {
        PREFIX
    }
    fn doc(&self) -> &'static str {
        "One change a line: `op` (+I, -U, +U, -D) and the row, a JSON object, as `data`."
    }
    fn options(&self) -> &'static [OptionDef] {
        CHANGELOG_OPTIONS
    }
    fn extension(&self) -> &'static str {
        "json"
    }
    fn validate(&self, request: &FormatRequest<'_>, errors: &mut Vec<Box<Diagnostic>>) {
        validate(request, PREFIX, errors);
        let options = &request.table.options;
        let mut refuse = |message: &str, key: &str, help: &str| {
            let error = Diagnostic::error(Code::InvalidOption, message);
            errors.push(error.at(options.span(key)).help(help));
        };
        match is_upsert(options) {
            Err(error) => errors.push(error),
            Ok(false) => {}
            Ok(true) if request.table.primary_key.is_empty() => refuse(
                "option 'changelog-json.mode' = 'upsert' needs a table with a primary key",
                CHANGELOG_MODE,
                "add PRIMARY KEY (…) NOT ENFORCED to the table's columns",
            ),
            Ok(true) => {
                let key = "changelog-json.fail-on-missing-field";
                if matches!(options.boolean(key), Ok(Some(true))) {
                    refuse(
                        "option 'changelog-json.fail-on-missing-field' = 'true' needs records that are whole",
                        key,
                        "in mode 'upsert' a deletion may hold no more than the key: leave the option out",
                    );
                }
            }
        }
    }
    fn changelog(&self, options: &Options) -> Result<Changelog> {
        Ok(if is_upsert(options)? { Changelog::Upsert } else { Changelog::Retract })
    }
    fn has_messages(&self) -> bool {
        true
    }
    fn framing(&self, _: &Options) -> Result<Framing> {
        Ok(Framing::Lines)
    }
    fn decoder(
        &self,
        request: &FormatRequest<'_>,
        scan: &ScanRequest,
        extra: Vec<ExtraColumn>,
    ) -> Result<Box<dyn Decoder>> {
        let options = JsonOptions::of(&request.table.options, PREFIX)?;
        let envelope = Envelope::new(request, scan, &extra)?;
        Ok(Box::new(JsonDecoder::new(envelope, &options, scan, extra)))
    }
    fn encoder(&self, request: &FormatRequest<'_>, _: &EvalContext) -> Result<Box<dyn Encoder>> {
        let inner = JsonEncoder::new(request, PREFIX)?;
        Ok(Box::new(ChangelogEncoder { inner, upsert: is_upsert(&request.table.options)? }))
    }
}

/// How records hold their columns.
struct Envelope {
    records: ObjectReader,
    /// The columns read from `data`.
    fields: Vec<Field>,
    /// For each of them, its position in the batch; none: it is only looked at.
    positions: Vec<Option<usize>>,
    /// Of those columns, the ones of the primary key, in mode `upsert`.
    key: Vec<usize>,
    upsert: bool,
}

impl Envelope {
    fn new(request: &FormatRequest<'_>, scan: &ScanRequest, extra: &[ExtraColumn]) -> Result<Self> {
        let upsert = is_upsert(&request.table.options)?;
        let (mut fields, mut positions, mut key) = (Vec::new(), Vec::new(), Vec::new());
        for (position, field) in scan.schema.fields.iter().enumerate() {
            if !extra.iter().any(|it| it.position == position) {
                fields.push(field.clone());
                positions.push(Some(position));
            }
        }
        // A partition column stands in no record.
        let in_records = |name: &&String| request.schema.index_of(name).is_some();
        for name in request.table.primary_key.iter().filter(|_| upsert).filter(in_records) {
            let known = fields.iter().position(|field| field.name == *name);
            let absent = || request.schema.fields.iter().find(|field| field.name == *name).cloned();
            match (known, absent()) {
                (Some(at), _) => key.push(at),
                (None, Some(field)) => {
                    key.push(fields.len());
                    fields.push(field);
                    positions.push(None);
                }
                (None, None) => {}
            }
        }
        Ok(Self { records: reader(&fields)?, fields, positions, key, upsert })
    }

    /// What a record does, or what is wrong with it.
    #[inline]
    fn kind(&self, op: Option<&str>, data: &StructArray, row: usize) -> Result<RowKind, String> {
        let op = op.ok_or("field 'op' is missing")?;
        let kind = match op {
            "+I" | "INSERT" => RowKind::Insert,
            "-U" | "UPDATE_BEFORE" => RowKind::UpdateBefore,
            "+U" | "UPDATE_AFTER" => RowKind::UpdateAfter,
            "-D" | "DELETE" => RowKind::Delete,
            _ => {
                let shown: String = op.chars().take(40).collect();
                return Err(format!("field 'op': '{shown}' is none of +I, -U, +U, -D"));
            }
        };
        if data.is_null(row) {
            return Err("field 'data' is missing or not an object".into());
        }
        if self.upsert && kind == RowKind::UpdateBefore {
            return Err("field 'op': -U can't come in mode 'upsert'".into());
        }
        let no_key = self.key.iter().find(|at| data.columns().get(**at).is_some_and(|key| key.is_null(row)));
        match no_key.and_then(|at| self.fields.get(*at)) {
            Some(field) => Err(format!("field 'data.{}': the primary key is missing or NULL", field.name)),
            None => Ok(kind),
        }
    }
}

/// A reader of whole records with these columns in `data`.
fn reader(fields: &[Field]) -> Result<ObjectReader> {
    let field = |field: &Field| RowField { name: field.name.clone(), data_type: field.data_type.clone() };
    let data = DataType::new(TypeKind::Row(fields.iter().map(field).collect()));
    Ok(ObjectReader::new(vec![
        ("op".to_string(), Column::new(&DataType::string(), false)?),
        ("data".to_string(), Column::new(&data, false)?),
    ]))
}

impl Records for Envelope {
    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        Ok((self.records.read(bytes, at, row, reading)?, 1))
    }

    fn truncate(&mut self, rows: usize) {
        self.records.truncate(rows);
    }

    /// The columns of the good records go to their positions in the batch.
    fn finish(&mut self, _: &SchemaRef, into: &mut [Option<ArrayRef>]) -> Result<Finished> {
        let columns = self.records.finish()?;
        let [op, data] = columns.as_slice() else { return Err(internal("an envelope has two columns")) };
        let data = data.as_struct_opt().ok_or_else(|| internal("the row of an envelope is a struct"))?;
        let op = op.as_string_opt::<i32>().ok_or_else(|| internal("the op of an envelope is text"))?;
        let (mut kinds, mut bad) = (Vec::with_capacity(op.len()), Vec::new());
        for row in 0..op.len() {
            let text = op.is_valid(row).then(|| op.value(row));
            match self.kind(text, data, row) {
                Ok(kind) => kinds.push(kind.number()),
                Err(message) => bad.push((row, message)),
            }
        }
        let columns = if bad.is_empty() { data.columns().to_vec() } else { without(data, &bad)? };
        for (column, position) in columns.into_iter().zip(&self.positions) {
            if let Some(place) = position.and_then(|position| into.get_mut(position)) {
                *place = Some(column);
            }
        }
        Ok(Finished { kinds: Some(kinds.into()), bad, deferred: Vec::new() })
    }
}

/// The columns without the records that are bad.
fn without(data: &StructArray, bad: &[(usize, String)]) -> Result<Vec<ArrayRef>> {
    let mut good = vec![true; data.len()];
    for (row, _) in bad {
        if let Some(place) = good.get_mut(*row) {
            *place = false;
        }
    }
    let good = BooleanArray::from(good);
    data.columns().iter().map(|column| filter(column, &good).map_err(internal)).collect()
}

/// Writes changes.
struct ChangelogEncoder {
    inner: JsonEncoder,
    upsert: bool,
}

/// What stands before a row of each kind.
const OPENINGS: [&[u8]; 4] =
    [br#"{"op":"+I","data":"#, br#"{"op":"-U","data":"#, br#"{"op":"+U","data":"#, br#"{"op":"-D","data":"#];
const CLOSING: &[u8] = b"}";

impl ChangelogEncoder {
    fn rows(&mut self, batch: &RecordBatch, kinds: &Int8Array, target: &mut impl Target) -> Result<()> {
        let (kinds, upsert) = (kinds.values(), self.upsert);
        let around = |row: usize| {
            let kind = kinds.get(row).copied().and_then(RowKind::of)?;
            // Another sink of the same rows may have asked for them.
            let left_out = upsert && kind == RowKind::UpdateBefore;
            OPENINGS.get(kind as usize).filter(|_| !left_out).map(|it| (*it, CLOSING))
        };
        self.inner.rows(batch, around, target)
    }
}

impl Encoder for ChangelogEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.inner.rows(batch, |_| Some((OPENINGS[0], CLOSING)), &mut Lines(out))
    }
    fn encode_changes(&mut self, batch: &RecordBatch, kinds: &Int8Array, out: &mut Vec<u8>) -> Result<()> {
        self.rows(batch, kinds, &mut Lines(out))
    }
    fn encode_messages(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&Int8Array>,
        out: &mut Slices,
    ) -> Result<()> {
        match kinds {
            Some(kinds) => self.rows(batch, kinds, out),
            None => self.inner.rows(batch, |_| Some((OPENINGS[0], CLOSING)), out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::util::display::array_value_to_string;
    use flott_connector::{Chunk, ColumnKind, Decoded, Payload, SplitInfo, TableColumn, TableDescription};
    use flott_expr::{Expr, ExprKind, Program};
    use flott_types::{Schema, Span};

    use super::{super::test_context, *};

    /// A table of an id, its key, and a name.
    fn table(options: &[(&str, &str)]) -> TableDescription {
        let column = |name: &str, data_type| TableColumn {
            name: name.into(),
            data_type,
            kind: ColumnKind::Physical,
            span: Span::default(),
        };
        let mut table = TableDescription {
            columns: vec![column("id", DataType::bigint()), column("n", DataType::string())],
            primary_key: vec!["id".into()],
            ..TableDescription::default()
        };
        options.iter().for_each(|(key, value)| table.options.set(*key, *value));
        table
    }

    fn decode(
        table: &TableDescription,
        projection: &[usize],
        filter: Option<Program>,
        text: &str,
    ) -> Decoded {
        let request = FormatRequest { table, schema: table.schema() };
        let scan = ScanRequest {
            projection: projection.to_vec(),
            schema: table.schema().project(projection),
            filter,
            batch_rows: 1000,
            parallelism: 1,
            even_time: false,
            job_options: Options::new(),
        };
        let payload = Payload::Bytes(text.as_bytes().to_vec());
        let split = Arc::new(SplitInfo::default());
        let chunk = Chunk { split, sequence: 0, offset: 0, payload, bytes_in: 0, time: Default::default() };
        let mut decoder = ChangelogJsonFormat.decoder(&request, &scan, Vec::new()).unwrap();
        let mut all = Vec::new();
        let mut emit = |decoded| {
            all.push(decoded);
            Ok(())
        };
        decoder.decode(&chunk, &test_context(), &mut emit).unwrap();
        assert_eq!(all.len(), 1);
        let it = all.remove(0);
        let parts = it.batch.num_rows() + it.rejected.len();
        assert_eq!(it.read, parts as u64 + it.skipped + it.filtered);
        assert_eq!(it.rows.len(), it.batch.num_rows());
        it
    }

    fn shown(decoded: &Decoded) -> Vec<String> {
        let kinds = decoded.kinds.as_ref().unwrap();
        let row = |row: usize| {
            let cells = decoded.batch.columns().iter().map(|it| array_value_to_string(it, row).unwrap());
            let kind = RowKind::of(kinds.value(row)).unwrap().short();
            format!("{kind} {}", cells.collect::<Vec<_>>().join(" "))
        };
        (0..decoded.batch.num_rows()).map(row).collect()
    }

    fn problems(decoded: &Decoded) -> Vec<&str> {
        decoded.rejected.iter().map(|reject| reject.message.as_str()).collect()
    }

    const CHANGES: &str = r#"{"op":"+I","data":{"id":1,"n":"a"}}
{"data":{"n":"a","id":1},"op":"UPDATE_BEFORE"}
{"op":"+U","ts":7,"data":{"id":1,"n":"b"}}
{"op":"DELETE","data":{"id":1}}
"#;

    #[test]
    fn what_is_read_is_written_again() {
        let table = table(&[]);
        let decoded = decode(&table, &[0, 1], None, CHANGES);
        assert_eq!(shown(&decoded), ["+I 1 a", "-U 1 a", "+U 1 b", "-D 1 "]);
        let request = FormatRequest { table: &table, schema: table.schema() };
        let mut encoder = ChangelogJsonFormat.encoder(&request, &test_context()).unwrap();
        let mut out = Vec::new();
        encoder.encode_changes(&decoded.batch, &decoded.kinds.clone().unwrap(), &mut out).unwrap();
        encoder.encode(&decoded.batch.slice(0, 1), &mut out).unwrap();
        let written = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[1], r#"{"op":"-U","data":{"id":1,"n":"a"}}"#);
        assert_eq!(
            lines[3..],
            [r#"{"op":"-D","data":{"id":1,"n":null}}"#, r#"{"op":"+I","data":{"id":1,"n":"a"}}"#]
        );
    }

    #[test]
    fn only_what_is_wanted_is_read_and_the_filter_takes_kinds_along() {
        assert_eq!(shown(&decode(&table(&[]), &[1], None, CHANGES)), ["+I a", "-U a", "+U b", "-D "]);
        assert_eq!(shown(&decode(&table(&[]), &[], None, CHANGES)), ["+I ", "-U ", "+U ", "-D "]);
        let is_b = Expr::new(
            ExprKind::Cast {
                input: Box::new(Expr::column(0, "n", DataType::string())),
                mode: flott_expr::CastMode::Try,
            },
            DataType::boolean(),
            Span::default(),
        );
        let truths = CHANGES.replace("\"b\"", "\"true\"").replace("\"a\"", "\"false\"");
        let kept = decode(&table(&[]), &[1], Some(Program::new(vec![is_b])), &truths);
        assert_eq!((shown(&kept), kept.filtered), (vec!["+U true".to_string()], 3));
    }

    #[test]
    fn records_that_say_it_wrongly_are_told_apart() {
        let text = [
            r#"{"op":"+X","data":{"id":1}}"#,
            r#"{"op":"+I","data":{"id":2}}"#,
            r#"{"data":{"id":3}}"#,
            r#"{"op":"-D"}"#,
            r#"{"op":"-D","data":[4]}"#,
            r#"{"op":"+U","data":{"id":"x"}}"#,
            r#"{"op":"+U","data":{"id":5}}"#,
        ]
        .join("\n");
        let decoded = decode(&table(&[]), &[0], None, &text);
        assert_eq!(shown(&decoded), ["+I 2", "+U 5"]);
        let expected = [
            "field 'op': '+X' is none of +I, -U, +U, -D",
            "field 'op' is missing",
            "field 'data' is missing or not an object",
            "field 'data': '[4]' is not a ROW",
            "field 'data.id': 'x' is not a BIGINT",
        ];
        for (found, expected) in problems(&decoded).into_iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
        let first = decoded.rejected[0].record.clone();
        assert_eq!(first, 0..27);
        let skipped = decode(&table(&[("changelog-json.ignore-parse-errors", "true")]), &[0], None, &text);
        assert_eq!((skipped.rejected.len(), skipped.skipped), (0, 4));
    }

    #[test]
    fn an_upsert_table_needs_keys_and_knows_no_before() {
        let upsert = table(&[("changelog-json.mode", "upsert")]);
        let decoded = decode(&upsert, &[1], None, CHANGES);
        assert_eq!(shown(&decoded), ["+I a", "+U b", "-D "]);
        assert_eq!(problems(&decoded), ["field 'op': -U can't come in mode 'upsert'"]);
        let keyless = decode(&upsert, &[1], None, r#"{"op":"+I","data":{"n":"a"}}"#);
        assert_eq!(problems(&keyless), ["field 'data.id': the primary key is missing or NULL"]);
        let mut errors = Vec::new();
        let mut without_key = upsert.clone();
        without_key.primary_key.clear();
        let request = FormatRequest { table: &without_key, schema: Schema::default() };
        ChangelogJsonFormat.validate(&request, &mut errors);
        assert_eq!(errors.len(), 1);
        assert_eq!(ChangelogJsonFormat.changelog(&upsert.options), Ok(Changelog::Upsert));
    }
}
