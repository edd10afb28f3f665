//! The options of a `datagen` table, read and checked: one [`Column`] per column.

use std::{collections::BTreeSet, sync::Arc};

use flott_connector::{OptionDef, TableDescription};
use flott_types::{Code, DataType, Diagnostic, IntervalUnit, Options, Span, TypeKind, closest};

use super::{
    OPTIONS, ROWS_PER_SECOND_DEFAULT,
    column::{Column, Values},
};
use crate::random;

/// A batch is made smaller rather than holding more than about this.
pub(super) const BATCH_BYTES_MAX: usize = 64 << 20;
/// A row may have at most this many bytes.
const ROW_BYTES_MAX: usize = 1 << 30;
const TEXT_LENGTH_DEFAULT: usize = 100;
const COLLECTION_LENGTH_DEFAULT: usize = 3;
/// How often an element is in a MULTISET at the most.
const MULTIPLICITY_MAX: i64 = 9;

/// What the options say.
pub(super) struct Settings {
    /// Rows in all, if there is an end.
    pub(super) rows: Option<u64>,
    pub(super) rows_per_second: u64,
    /// As the table's columns.
    pub(super) columns: Arc<[Column]>,
}

impl Settings {
    /// Reads the options; every problem is reported.
    pub(super) fn read(table: &TableDescription, errors: &mut Vec<Box<Diagnostic>>) -> Self {
        let mut reader = Reader {
            options: &table.options,
            used: BTreeSet::new(),
            sequence_rows: None,
            span: table.span,
            errors,
        };
        let rows_per_second = reader.number("rows-per-second", 1u64).unwrap_or(ROWS_PER_SECOND_DEFAULT);
        let number_of_rows = reader.number("number-of-rows", 0u64);
        let seed = reader.number("seed", i64::MIN).unwrap_or(0).cast_unsigned();
        let mut columns = Vec::new();
        for column in &table.columns {
            reader.span = column.span;
            let made = reader.column(&column.name, &column.data_type, seed, true);
            if made.row_bytes() > ROW_BYTES_MAX {
                let message = format!("values of column '{}' would be larger than 1 GB", column.name);
                reader.errors.push(Diagnostic::error(Code::InvalidOption, message).at(column.span));
            }
            columns.push(made);
        }
        reader.refuse_unused(table);
        let rows = [number_of_rows, reader.sequence_rows].into_iter().flatten().min();
        Self { rows, rows_per_second, columns: columns.into() }
    }
}

struct Reader<'a> {
    options: &'a Options,
    used: BTreeSet<String>,
    /// The length of the shortest sequence.
    sequence_rows: Option<u64>,
    /// The column being read.
    span: Span,
    errors: &'a mut Vec<Box<Diagnostic>>,
}

impl Reader<'_> {
    fn column(&mut self, path: &str, data_type: &DataType, seed: u64, is_top: bool) -> Column {
        let seed = path.bytes().fold(seed, |seed, byte| random::at(seed, u64::from(byte)));
        let is_sequence =
            is_top && self.text(path, "kind").is_some_and(|it| it.eq_ignore_ascii_case("sequence"));
        if is_sequence {
            let values = Values::Sequence(self.sequence(path, data_type));
            return Column { data_type: data_type.clone(), values, null_rate: 0.0, seed };
        }
        let null_rate = self.option(path, "null-rate", 0.0f64).unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            self.invalid(path, "null-rate", "expected a share from 0 to 1");
        }
        let values = self.random(path, data_type, seed);
        Column { data_type: data_type.clone(), values, null_rate, seed }
    }

    fn sequence(&mut self, path: &str, data_type: &DataType) -> i64 {
        let most = match &data_type.kind {
            TypeKind::Decimal(precision, scale) => {
                10i64.checked_pow(u32::from(precision.saturating_sub(*scale))).map_or(i64::MAX, |it| it - 1)
            }
            TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Float | TypeKind::Double => i64::MAX,
            _ => integer_range(data_type).map_or(0, |(_, max)| max),
        };
        if most == 0 || data_type.is_interval() {
            self.invalid(path, "kind", &format!("a column of type {data_type} cannot count"));
        }
        let start = self.option(path, "start", i64::MIN);
        let end = self.option(path, "end", i64::MIN);
        for (name, value) in [("start", start), ("end", end)] {
            match value {
                Some(value) if most > 0 && !(-most - 1..=most).contains(&value) => {
                    self.invalid(path, name, &format!("does not fit {data_type}"));
                }
                None if self.options.get(&key(path, name)).is_none() => {
                    let message = format!("a sequence needs the option '{}'", key(path, name));
                    self.errors.push(Diagnostic::error(Code::MissingOption, message).at(self.span));
                }
                _ => {}
            }
        }
        if let (Some(start), Some(end)) = (start, end) {
            if end < start {
                self.invalid(path, "end", "less than 'start'");
            }
            let rows = end.abs_diff(start).saturating_add(1);
            self.sequence_rows = Some(self.sequence_rows.map_or(rows, |it| it.min(rows)));
        }
        start.unwrap_or(0)
    }

    fn random(&mut self, path: &str, data_type: &DataType, seed: u64) -> Values {
        if let Some((least, most)) = integer_range(data_type) {
            let min = self.option(path, "min", least).unwrap_or(least);
            let max = self.option(path, "max", least).unwrap_or(most);
            self.check_order(path, min > max);
            if max > most {
                self.invalid(path, "max", &format!("does not fit {data_type}"));
            }
            return Values::Integer { min, max };
        }
        match &data_type.kind {
            TypeKind::Boolean => Values::Boolean,
            TypeKind::Float => self.real(path, f64::from(f32::MAX)),
            TypeKind::Double => self.real(path, f64::MAX),
            TypeKind::Decimal(precision, scale) => {
                self.real(path, 10f64.powi(i32::from(*precision) - i32::from(*scale)))
            }
            TypeKind::Char(length) | TypeKind::Binary(length) => {
                Values::Text { length: *length as usize, variable: false }
            }
            TypeKind::Varchar(most) | TypeKind::Varbinary(most) => self.varying_text(path, *most, data_type),
            TypeKind::Date | TypeKind::Time(_) => Values::Now { max_past_millis: 0 },
            TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => self.timestamp(path),
            TypeKind::Array(element) => self.collection(path, &[("element", element)], seed),
            TypeKind::Map(key, value) => self.collection(path, &[("key", key), ("value", value)], seed),
            TypeKind::Multiset(element) => {
                let Values::Collection { mut parts, length } =
                    self.collection(path, &[("element", element)], seed)
                else {
                    return Values::Boolean;
                };
                parts.push(Column {
                    data_type: DataType::int().not_null(),
                    values: Values::Integer { min: 1, max: MULTIPLICITY_MAX },
                    null_rate: 0.0,
                    seed: random::at(seed, 1),
                });
                Values::Collection { parts, length }
            }
            TypeKind::Row(fields) => Values::Row(
                fields
                    .iter()
                    .map(|field| {
                        self.column(&format!("{path}.{}", field.name), &field.data_type, seed, false)
                    })
                    .collect(),
            ),
            _ => {
                let what = format!("values of type {data_type} from datagen");
                self.errors.push(Diagnostic::not_supported(what).at(self.span));
                Values::Boolean
            }
        }
    }

    fn real(&mut self, path: &str, most: f64) -> Values {
        let min = self.option(path, "min", f64::MIN).unwrap_or(0.0);
        let max = self.option(path, "max", f64::MIN).unwrap_or(most).min(most);
        self.check_order(path, min > max);
        Values::Real { min, max }
    }

    fn check_order(&mut self, path: &str, wrong: bool) {
        if wrong {
            let name = if self.options.get(&key(path, "max")).is_some() { "max" } else { "min" };
            self.invalid(path, name, "'min' is greater than 'max'");
        }
    }

    fn varying_text(&mut self, path: &str, most: u32, data_type: &DataType) -> Values {
        let is_unlimited =
            data_type.same_kind(&DataType::string()) || data_type.same_kind(&DataType::bytes());
        let default = if is_unlimited { TEXT_LENGTH_DEFAULT } else { most as usize };
        let length = self.option(path, "length", 1usize).unwrap_or(default);
        if length > most as usize {
            self.invalid(path, "length", &format!("longer than {data_type}"));
        }
        let variable = self.text(path, "var-len").is_some_and(|it| it.trim().eq_ignore_ascii_case("true"));
        Values::Text { length, variable }
    }

    fn timestamp(&mut self, path: &str) -> Values {
        let name = key(path, "max-past");
        self.used.insert(name.clone());
        // A malformed duration has been reported with the other options' kinds.
        let past = self.options.duration(&name).ok().flatten().unwrap_or_default();
        Values::Now { max_past_millis: u64::try_from(past.as_millis()).unwrap_or(u64::MAX) }
    }

    fn collection(&mut self, path: &str, parts: &[(&str, &DataType)], seed: u64) -> Values {
        let length = self.option(path, "length", 0usize).unwrap_or(COLLECTION_LENGTH_DEFAULT);
        let parts = parts
            .iter()
            .map(|(name, data_type)| self.column(&format!("{path}.{name}"), data_type, seed, false))
            .collect();
        Values::Collection { parts, length }
    }

    fn text(&mut self, path: &str, name: &str) -> Option<String> {
        let name = key(path, name);
        let value = self.options.get(&name).map(str::to_string);
        self.used.insert(name);
        value
    }

    fn option<T: std::str::FromStr + PartialOrd>(&mut self, path: &str, name: &str, least: T) -> Option<T> {
        self.number(&key(path, name), least)
    }

    /// A number that is at least `least`.
    fn number<T: std::str::FromStr + PartialOrd>(&mut self, name: &str, least: T) -> Option<T> {
        self.used.insert(name.to_string());
        let parse = |text: &str| -> Result<T, String> {
            let value = text.trim().parse::<T>().map_err(|_| "not a number of the right kind".to_string())?;
            if value < least { Err("too small".into()) } else { Ok(value) }
        };
        self.options.parsed(name, parse).unwrap_or_else(|error| {
            self.errors.push(error);
            None
        })
    }

    fn invalid(&mut self, path: &str, name: &str, why: &str) {
        let name = key(path, name);
        let value = self.options.get(&name).unwrap_or_default();
        let message = format!("option '{name}' = '{value}': {why}");
        let span = self.options.span(&name);
        self.errors.push(Diagnostic::error(Code::InvalidOption, message).at(span).at(self.span));
    }

    /// Options about fields that nothing has asked for: a column that doesn't exist, or an option
    /// that means nothing for the column's type.
    fn refuse_unused(&mut self, table: &TableDescription) {
        for (name, entry) in self.options.iter().filter(|(name, _)| !self.used.contains(*name)) {
            let Some(path) = name.strip_prefix("fields.") else { continue };
            // Reported as unknown already.
            if !OPTIONS.iter().any(|def: &OptionDef| def.matches(name)) {
                continue;
            }
            let owner = table.columns.iter().find(|column| {
                path.strip_prefix(column.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
            });
            let error = match owner {
                Some(column) => Diagnostic::error(
                    Code::UnknownOption,
                    format!(
                        "option '{name}' means nothing for column '{}' of type {}",
                        column.name, column.data_type
                    ),
                ),
                None => {
                    let word = path.split('.').next().unwrap_or(path);
                    let error = Diagnostic::error(
                        Code::UnknownOption,
                        format!("no column '{word}' for option '{name}'"),
                    );
                    let names = table.columns.iter().map(|column| column.name.as_str());
                    match closest(word, names) {
                        Some(hit) => {
                            error.help(format!("did you mean 'fields.{}'?", path.replacen(word, hit, 1)))
                        }
                        None => error,
                    }
                }
            };
            self.errors.push(error.at(entry.key_span));
        }
    }
}

fn key(path: &str, option: &str) -> String {
    format!("fields.{path}.{option}")
}

/// The range of a type of whole numbers.
fn integer_range(data_type: &DataType) -> Option<(i64, i64)> {
    Some(match data_type.kind {
        TypeKind::TinyInt => (i8::MIN.into(), i8::MAX.into()),
        TypeKind::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        TypeKind::Int => (i32::MIN.into(), i32::MAX.into()),
        TypeKind::BigInt => (i64::MIN, i64::MAX),
        TypeKind::Interval(IntervalUnit::Months) => (0, 120_000),
        TypeKind::Interval(IntervalUnit::Milliseconds) => (0, i64::MAX),
        _ => return None,
    })
}
