//! Every line of `flink_answers.txt` is a call, what Flink 2.3 answered, and its type:
//!
//! ```text
//! LPAD('hi', 5, '?!') => ?!?hi :: STRING NOT NULL
//! ```

use std::sync::Arc;

use arrow::{array::RecordBatchOptions, datatypes::Schema, record_batch::RecordBatch};
use chrono_tz::Tz;
use flott_types::{DataType, Span, TypeKind};

use super::lookup;
use crate::{CastMode, EvalContext, Expr, Program, Value, coerce, render};

/// Reads calls, literals of text, numbers, dates and timestamps, `CAST(NULL AS STRING)`,
/// `ARRAY[…]` and `MAP[…]`: as much SQL as the lines need.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn while_(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn quoted(&mut self) -> String {
        let mut out = String::new();
        assert!(self.eat("'"), "a quote at {}", self.rest);
        loop {
            out.push_str(self.while_(|c| c != '\''));
            self.rest = &self.rest[1..];
            if !self.rest.starts_with('\'') {
                return out;
            }
            self.rest = &self.rest[1..];
            out.push('\'');
        }
    }

    fn expr(&mut self) -> Expr {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('\'') {
            return text(self.quoted());
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return self.number();
        }
        let name = self.while_(|c| c.is_ascii_alphanumeric() || c == '_');
        match name {
            "NULL" => Expr::literal(Value::Null, TypeKind::Null.into()),
            "TRUE" | "FALSE" => Expr::literal(Value::Boolean(name == "TRUE"), DataType::boolean().not_null()),
            "DATE" => self.cast_to(TypeKind::Date),
            "TIMESTAMP" => {
                let text = self.rest.trim_start().trim_start_matches('\'');
                let fraction =
                    text.split('\'').next().and_then(|it| it.split_once('.')).map_or(0, |it| it.1.len());
                self.cast_to(TypeKind::Timestamp(fraction as u8))
            }
            "CAST" => {
                assert!(self.eat("(NULL AS "));
                let of = match self.while_(|c| c != ')') {
                    "STRING" => DataType::string(),
                    "INT" => DataType::int(),
                    "ARRAY<INT>" => DataType::array(DataType::int()),
                    other => panic!("NULL of {other}"),
                };
                assert!(self.eat(")"));
                Expr::literal(Value::Null, of)
            }
            _ => {
                let close = if self.eat("[") { "]" } else { ")" };
                assert!(close == "]" || self.eat("("), "a call at {name}{}", self.rest);
                let mut args = Vec::new();
                while !self.eat(close) {
                    args.push(self.expr());
                    self.eat(",");
                }
                lookup(name).unwrap_or_else(|| panic!("no {name}")).call(args, Span::default()).unwrap()
            }
        }
    }

    fn number(&mut self) -> Expr {
        let digits = self.while_(|c| c.is_ascii_digit() || c == '-' || c == '.');
        if let Some((whole, fraction)) = digits.split_once('.') {
            let unscaled = format!("{whole}{fraction}").parse().unwrap();
            let precision = (whole.trim_start_matches(['-', '0']).len() + fraction.len()) as u8;
            let decimal = DataType::from(TypeKind::Decimal(precision, fraction.len() as u8));
            return Expr::literal(Value::Decimal(unscaled), decimal.not_null());
        }
        let value: i64 = digits.parse().unwrap();
        let of = if i32::try_from(value).is_ok() { DataType::int() } else { DataType::bigint() };
        Expr::literal(Value::Int(value), of.not_null())
    }

    fn cast_to(&mut self, kind: TypeKind) -> Expr {
        let input = text(self.quoted());
        coerce::cast_expr(input, &DataType::from(kind).not_null(), CastMode::Strict)
    }
}

fn text(value: String) -> Expr {
    let length = value.chars().count() as u32;
    Expr::literal(Value::String(value), DataType::from(TypeKind::Char(length)).not_null())
}

/// The answer and its type; the text of the error if there is one.
fn answer(call: &str) -> (String, String) {
    let expr = Reader { rest: call }.expr();
    let of = expr.data_type.to_string();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let context = EvalContext { now_micros: 0, time_zone: Tz::UTC, random_seed: 0, watermark: None };
    let data_type = expr.data_type.clone();
    match Program::new(vec![expr]).evaluate(&row, &context) {
        Err(error) => (format!("ERROR {error}"), of),
        Ok(columns) => {
            assert_eq!(columns[0].data_type(), &data_type.arrow_type(), "{call}");
            let mut out = String::new();
            render::render_value(&columns[0], 0, &data_type, Tz::UTC, &mut out);
            let null = arrow::array::Array::is_null(&columns[0], 0);
            (if null { "NULL".to_owned() } else { out }, of)
        }
    }
}

#[test]
fn answers_are_flinks() {
    let mut wrong = Vec::new();
    for line in include_str!("flink_answers.txt").lines() {
        let (call, expected) = line.split_once(" => ").unwrap();
        let (value, of) = answer(call);
        let got = format!("{value} :: {of}");
        if got != expected {
            wrong.push(format!("{call}\n   Flink {expected}\n   ours  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}
