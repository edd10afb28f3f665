//! Records of the `json` format: an object is a row, an array of objects several.

use arrow::{
    array::{ArrayRef, new_null_array},
    datatypes::SchemaRef,
};
use flott_connector::{ExtraColumn, ScanRequest};
use flott_expr::Program;
use flott_types::Result;

use super::{
    column::{Column, Reading},
    decoder::{Finished, Records},
    failure::{Fail, Failure},
    object::ObjectReader,
    scan::{skip_blanks, skip_value, skip_word},
};

/// Objects of the columns that a scan wants.
pub(crate) struct PlainRecords {
    objects: ObjectReader,
    /// For each column of `objects`, its position in the batch.
    positions: Vec<usize>,
}

impl PlainRecords {
    pub fn new(scan: &ScanRequest, extra: &[ExtraColumn]) -> Result<Self> {
        let filtered_by: Vec<usize> =
            scan.filter.iter().flat_map(Program::exprs).flat_map(|expr| expr.columns()).collect();
        let (mut columns, mut positions) = (Vec::new(), Vec::new());
        for (position, field) in scan.schema.fields.iter().enumerate() {
            if extra.iter().any(|it| it.position == position) {
                continue;
            }
            let deferred = scan.filter.is_some() && !filtered_by.contains(&position);
            columns.push((field.name.clone(), Column::new(&field.data_type, deferred)?));
            positions.push(position);
        }
        Ok(Self { objects: ObjectReader::new(columns), positions })
    }

    /// The array of objects at `at`: as many rows.
    #[cold]
    fn read_array(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        self.objects.truncate(row);
        let mut at = skip_blanks(bytes, at + 1);
        if bytes.get(at) == Some(&b']') {
            return Ok((at + 1, 0));
        }
        let (mut rows, mut skipped) = (0, false);
        loop {
            let is_object = bytes.get(at) == Some(&b'{');
            let end = match bytes.get(at) {
                // No row is what they say.
                Some(b'n') => skip_word(bytes, at)?,
                Some(_) if !is_object && reading.bad_value_is_null => {
                    skipped = true;
                    skip_value(bytes, at)?
                }
                _ => {
                    let end = self.objects.read(bytes, at, row + rows, reading)?;
                    rows += 1;
                    end
                }
            };
            at = skip_blanks(bytes, end);
            match bytes.get(at) {
                Some(b',') => at = skip_blanks(bytes, at + 1),
                // Nothing of it was any good: the record is what is skipped.
                Some(b']') if skipped && rows == 0 => {
                    return Err(Failure::malformed(at, "expected an object"));
                }
                Some(b']') => return Ok((at + 1, rows)),
                _ => return Err(Failure::malformed(at, "expected ',' or ']'")),
            }
        }
    }
}

impl Records for PlainRecords {
    #[inline]
    fn read(
        &mut self,
        bytes: &[u8],
        at: usize,
        row: usize,
        reading: &mut Reading,
    ) -> Result<(usize, usize), Fail> {
        match self.objects.read(bytes, at, row, reading) {
            Ok(end) => Ok((end, 1)),
            Err(_) if bytes.get(at) == Some(&b'[') => self.read_array(bytes, at, row, reading),
            Err(fail) => Err(fail),
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.objects.truncate(rows);
    }

    fn finish(&mut self, schema: &SchemaRef, into: &mut [Option<ArrayRef>]) -> Result<Finished> {
        let mut finished = Finished::default();
        for (column, &position) in self.objects.columns_mut().iter_mut().zip(&self.positions) {
            let array = match column.text_mut().filter(|text| text.is_deferred()) {
                Some(text) => {
                    let views = text.take_views();
                    let nulls = new_null_array(schema.field(position).data_type(), views.len());
                    finished.deferred.push((position, views));
                    nulls
                }
                None => column.finish()?,
            };
            if let Some(place) = into.get_mut(position) {
                *place = Some(array);
            }
        }
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::util::display::array_value_to_string;
    use flott_connector::{
        Chunk, ColumnKind, Decoded, Format, FormatRequest, Payload, ScanRequest, Slices, SplitInfo,
        TableColumn, TableDescription,
    };
    use flott_types::{DataType, Options, Span};

    use super::super::{JsonFormat, test_context};

    fn table() -> TableDescription {
        let column = |name: &str, data_type| TableColumn {
            name: name.into(),
            data_type,
            kind: ColumnKind::Physical,
            span: Span::default(),
        };
        let columns = vec![column("a", DataType::bigint()), column("s", DataType::string())];
        TableDescription { columns, ..TableDescription::default() }
    }

    fn messages(all: &[Option<&[u8]>]) -> Slices {
        let mut messages = Slices::default();
        assert!(all.iter().all(|message| messages.push(*message)));
        messages
    }

    fn decode(messages: &Slices) -> Decoded {
        let table = table();
        let schema = table.physical_schema();
        let request = FormatRequest { table: &table, schema: schema.clone() };
        let scan = ScanRequest {
            projection: vec![0, 1],
            schema,
            filter: None,
            batch_rows: 1000,
            parallelism: 1,
            even_time: false,
            job_options: Options::new(),
        };
        let mut decoder = JsonFormat.decoder(&request, &scan, Vec::new()).unwrap();
        let chunk = Chunk {
            split: Arc::new(SplitInfo::default()),
            sequence: 0,
            offset: 0,
            payload: Payload::Messages(Box::default()),
            bytes_in: 0,
            time: Default::default(),
        };
        let mut all = Vec::new();
        let mut emit = |decoded| {
            all.push(decoded);
            Ok(())
        };
        decoder.decode_messages(messages, &chunk, &test_context(), &mut emit).unwrap();
        assert_eq!(all.len(), 1);
        let it = all.remove(0);
        let parts = it.batch.num_rows() + it.rejected.len();
        assert_eq!(it.read, parts as u64 + it.skipped + it.filtered);
        it
    }

    fn rows(decoded: &Decoded) -> Vec<String> {
        let cell = |column, row| array_value_to_string(column, row).unwrap();
        let row = |row| {
            let place = &decoded.rows[row];
            let cells = decoded.batch.columns().iter().map(|column| cell(column, row));
            format!("{}: {}", place.start, cells.collect::<Vec<_>>().join(" "))
        };
        (0..decoded.batch.num_rows()).map(row).collect()
    }

    #[test]
    fn each_message_is_read_alone() {
        let all = messages(&[
            Some(br#"{"a":1,"s":"x"}"#),
            Some(br#"{"a":2"#),
            Some(br#","s":"y"}"#),
            None,
            Some(b"{\n  \"a\": 3,\n  \"s\": \"l1\nl2\"\n}\n"),
            Some(b"\xEF\xBB\xBF {\"a\":4} "),
            Some(br#"[{"a":5},{"a":6,"s":"z"}]"#),
            Some(b""),
            Some(b"null"),
            Some(br#"{"a":7} {"a":8}"#),
            Some(br#"[{"a":9},10]"#),
            Some(br#"{"a":11,"s":""}"#),
        ]);
        let decoded = decode(&all);
        assert_eq!(rows(&decoded), ["0: 1 x", "4: 3 l1\nl2", "5: 4 ", "6: 5 ", "6: 6 z", "11: 11 "]);
        let places: Vec<u32> = decoded.rejected.iter().map(|it| it.record.start).collect();
        assert_eq!((places, decoded.skipped, decoded.read), (vec![1, 2, 9, 10], 3, 13));
    }

    #[test]
    fn characters_cut_in_two_are_found() {
        let all = messages(&[
            Some(b"{\"a\":1,\"s\":\"\xC3"),
            Some(b"\xA9\"}"),
            Some(b"{\"a\":2,\"s\":\"\xC3\xA9\"}"),
        ]);
        let decoded = decode(&all);
        assert_eq!(rows(&decoded), ["2: 2 é"]);
        assert_eq!(decoded.rejected.len(), 2);
        let broken = messages(&[Some(b"{\"a\":1,\"s\":\"\xC3\"}"), Some(b"{\"a\":2,\"s\":\"\xC3\xA9\"}")]);
        assert_eq!(rows(&decode(&broken)), ["1: 2 é"]);
    }

    #[test]
    fn a_row_is_a_message() {
        let decoded = decode(&messages(&[Some(br#"{"a":1,"s":"x"}"#), Some(br#"{"a":2}"#)]));
        let table = table();
        let request = FormatRequest { table: &table, schema: table.physical_schema() };
        let mut encoder = JsonFormat.encoder(&request, &test_context()).unwrap();
        let mut out = Slices::default();
        encoder.encode_messages(&decoded.batch, None, &mut out).unwrap();
        let texts: Vec<_> = out.iter().map(|it| std::str::from_utf8(it.unwrap()).unwrap()).collect();
        assert_eq!(texts, [r#"{"a":1,"s":"x"}"#, r#"{"a":2,"s":null}"#]);
    }
}
