//! Flink's type syntax: `ROW<a INT NOT NULL, b ARRAY<STRING>>`, `INT ARRAY`, `TIMESTAMP_LTZ(3)`.

use flott_types::{
    Code, DataType, Diagnostic, IntervalUnit, Result as FlottResult, RowField, Span, TypeKind, closest,
};
use sqlparser::{
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span as TokenSpan, Token},
};

use super::{
    dialect::{FlinkDialect, accept},
    error::{diagnostic, fail},
    tokens,
};
use crate::Source;

const LENGTH_MAX: u32 = i32::MAX as u32;

/// The words that start a type.
const TYPE_NAMES: [&str; 27] = [
    "CHAR",
    "VARCHAR",
    "STRING",
    "BOOLEAN",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DECIMAL",
    "DEC",
    "NUMERIC",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "REAL",
    "DOUBLE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "INTERVAL",
    "ARRAY",
    "MAP",
    "MULTISET",
    "ROW",
];

/// Reads a type from a text of its own.
///
/// # Errors
/// [`Code::Syntax`], [`Code::InvalidDefinition`] or [`Code::NotSupported`], with a span into `text`.
pub fn parse_data_type(text: &str) -> FlottResult<DataType> {
    let source = Source::new("type", text);
    let (found, error) = tokens::tokenize(&source);
    if let Some(error) = error {
        return Err(error);
    }
    let end = Span::new(text.trim_end().len().saturating_sub(1), text.trim_end().len());
    let mut parser = Parser::new(&FlinkDialect).with_tokens_with_locations(found.clone());
    parse_type(&mut parser)
        .and_then(|data_type| match parser.peek_token() {
            token if token.token == Token::EOF => Ok(data_type),
            token => parser.expected("the end of the type", token),
        })
        .map_err(|error| diagnostic(&source, &found, end, &error))
}

/// Reads a type, with its `NOT NULL` and its `ARRAY` and `MULTISET` suffixes.
pub(crate) fn parse_type(parser: &mut Parser) -> Result<DataType, ParserError> {
    let kind = parse_kind(parser)?;
    let mut data_type = with_nullability(parser, kind.into());
    loop {
        let kind = if accept(parser, &["ARRAY"]) {
            TypeKind::Array(Box::new(data_type))
        } else if accept(parser, &["MULTISET"]) {
            TypeKind::Multiset(Box::new(data_type))
        } else {
            return Ok(data_type);
        };
        data_type = with_nullability(parser, kind.into());
    }
}

fn with_nullability(parser: &mut Parser, data_type: DataType) -> DataType {
    if accept(parser, &["NOT", "NULL"]) {
        return data_type.not_null();
    }
    // `JSON_VALUE(… RETURNING INT NULL ON EMPTY)`: that NULL is not the type's.
    let on = matches!(&parser.peek_nth_token_ref(1).token, Token::Word(word) if word.keyword == Keyword::ON);
    if !on {
        accept(parser, &["NULL"]);
    }
    data_type
}

fn parse_kind(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let token = parser.next_token();
    let Token::Word(word) = &token.token else { return parser.expected("a data type", token) };
    let span = token.span;
    Ok(match word.value.to_ascii_uppercase().as_str() {
        "BOOLEAN" => TypeKind::Boolean,
        "TINYINT" => TypeKind::TinyInt,
        "SMALLINT" => TypeKind::SmallInt,
        "INT" | "INTEGER" => TypeKind::Int,
        "BIGINT" => TypeKind::BigInt,
        "FLOAT" | "REAL" => TypeKind::Float,
        "DOUBLE" => {
            accept(parser, &["PRECISION"]);
            TypeKind::Double
        }
        "STRING" => TypeKind::Varchar(LENGTH_MAX),
        "BYTES" => TypeKind::Varbinary(LENGTH_MAX),
        "CHAR" | "CHARACTER" if accept(parser, &["VARYING"]) => {
            TypeKind::Varchar(length(parser, "VARCHAR", LENGTH_MAX)?)
        }
        "CHAR" | "CHARACTER" => TypeKind::Char(length(parser, "CHAR", 1)?),
        "VARCHAR" => TypeKind::Varchar(length(parser, "VARCHAR", LENGTH_MAX)?),
        "BINARY" if accept(parser, &["VARYING"]) => {
            TypeKind::Varbinary(length(parser, "VARBINARY", LENGTH_MAX)?)
        }
        "BINARY" => TypeKind::Binary(length(parser, "BINARY", 1)?),
        "VARBINARY" => TypeKind::Varbinary(length(parser, "VARBINARY", LENGTH_MAX)?),
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(parser)?,
        "DATE" => TypeKind::Date,
        "TIME" => {
            let precision = precision(parser, "TIME", 0)?;
            accept(parser, &["WITHOUT", "TIME", "ZONE"]);
            TypeKind::Time(precision)
        }
        "TIMESTAMP" => timestamp(parser)?,
        "TIMESTAMP_LTZ" => TypeKind::TimestampLtz(precision(parser, "TIMESTAMP_LTZ", 6)?),
        "INTERVAL" => interval(parser)?,
        "NULL" => TypeKind::Null,
        "ARRAY" => TypeKind::Array(Box::new(element(parser)?)),
        "MULTISET" => TypeKind::Multiset(Box::new(element(parser)?)),
        "MAP" => {
            parser.expect_token(&Token::Lt)?;
            let key = parse_type(parser)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse_type(parser)?;
            parser.expect_token(&Token::Gt)?;
            TypeKind::Map(Box::new(key), Box::new(value))
        }
        "ROW" => row(parser)?,
        "VARIANT" => TypeKind::Variant,
        "BITMAP" => TypeKind::Bitmap,
        name @ ("RAW" | "TIMESTAMP_TZ" | "STRUCTURED") => {
            return Err(fail(Code::NotSupported, &format!("not supported yet: type {name}"), span, &[]));
        }
        _ => return Err(unknown_type(&word.value, span)),
    })
}

fn unknown_type(name: &str, span: TokenSpan) -> ParserError {
    let message = format!("unknown data type '{name}'");
    let meant = match name.to_ascii_uppercase().as_str() {
        "TEXT" | "CLOB" | "NVARCHAR" | "LONGTEXT" => Some("STRING"),
        "BLOB" | "BYTEA" => Some("BYTES"),
        "LONG" | "INT8" | "INT64" => Some("BIGINT"),
        "INT4" | "INT32" => Some("INT"),
        "INT2" | "INT16" | "SHORT" => Some("SMALLINT"),
        "BYTE" => Some("TINYINT"),
        "BOOL" => Some("BOOLEAN"),
        "FLOAT8" | "FLOAT64" => Some("DOUBLE"),
        "FLOAT4" | "FLOAT32" => Some("FLOAT"),
        "DATETIME" => Some("TIMESTAMP"),
        "TIMESTAMPTZ" => Some("TIMESTAMP_LTZ"),
        "STRUCT" => Some("ROW"),
        "LIST" => Some("ARRAY"),
        "NUMBER" => Some("DECIMAL"),
        upper => closest(upper, TYPE_NAMES),
    };
    match meant {
        Some(meant) => fail(Code::Syntax, &message, span, &[&format!("did you mean '{meant}'?")]),
        None => fail(Code::Syntax, &message, span, &["see `flott list types`"]),
    }
}

/// A whole number between bounds, in the parentheses that have been opened.
fn bounded(parser: &mut Parser, what: &str, min: u32, max: u32) -> Result<u32, ParserError> {
    let token = parser.next_token();
    let Token::Number(digits, _) = &token.token else { return parser.expected("a number", token) };
    match digits.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(fail(
            Code::InvalidDefinition,
            &format!("{what} must be between {min} and {max}, not {digits}"),
            token.span,
            &[],
        )),
    }
}

fn length(parser: &mut Parser, name: &str, default: u32) -> Result<u32, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(default);
    }
    let length = bounded(parser, &format!("the length of {name}"), 1, LENGTH_MAX)?;
    parser.expect_token(&Token::RParen)?;
    Ok(length)
}

fn precision(parser: &mut Parser, name: &str, default: u8) -> Result<u8, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(default);
    }
    let precision = bounded(parser, &format!("the precision of {name}"), 0, 9)?;
    parser.expect_token(&Token::RParen)?;
    Ok(u8::try_from(precision).unwrap_or(default))
}

fn decimal(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(TypeKind::Decimal(10, 0));
    }
    let precision = bounded(parser, "the precision of DECIMAL", 1, 38)?;
    let scale = if parser.consume_token(&Token::Comma) {
        bounded(parser, "the scale of DECIMAL (at most its precision)", 0, precision)?
    } else {
        0
    };
    parser.expect_token(&Token::RParen)?;
    Ok(TypeKind::Decimal(u8::try_from(precision).unwrap_or(38), u8::try_from(scale).unwrap_or(0)))
}

fn timestamp(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let precision = precision(parser, "TIMESTAMP", 6)?;
    let span = parser.peek_token_ref().span;
    if accept(parser, &["WITH", "LOCAL", "TIME", "ZONE"]) {
        return Ok(TypeKind::TimestampLtz(precision));
    }
    if accept(parser, &["WITH", "TIME", "ZONE"]) {
        let what = "not supported yet: type TIMESTAMP WITH TIME ZONE";
        return Err(fail(
            Code::NotSupported,
            what,
            span,
            &["use TIMESTAMP_LTZ, an instant shown in 'table.local-time-zone'"],
        ));
    }
    accept(parser, &["WITHOUT", "TIME", "ZONE"]);
    Ok(TypeKind::Timestamp(precision))
}

/// `INTERVAL YEAR(2) TO MONTH`, `INTERVAL DAY TO SECOND(3)`: the precisions don't matter, as in
/// Flink only months or milliseconds are kept.
fn interval(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    let unit = interval_unit(parser)?;
    optional_precision(parser)?;
    if parser.parse_keyword(Keyword::TO) {
        interval_unit(parser)?;
        optional_precision(parser)?;
    }
    Ok(TypeKind::Interval(unit))
}

fn optional_precision(parser: &mut Parser) -> Result<(), ParserError> {
    if parser.consume_token(&Token::LParen) {
        bounded(parser, "the precision of INTERVAL", 0, 9)?;
        if parser.consume_token(&Token::Comma) {
            bounded(parser, "the precision of INTERVAL", 0, 9)?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok(())
}

fn interval_unit(parser: &mut Parser) -> Result<IntervalUnit, ParserError> {
    const MONTHS: [&str; 3] = ["YEAR", "QUARTER", "MONTH"];
    const MILLISECONDS: [&str; 5] = ["WEEK", "DAY", "HOUR", "MINUTE", "SECOND"];
    if MONTHS.iter().any(|unit| accept(parser, &[unit])) {
        return Ok(IntervalUnit::Months);
    }
    if MILLISECONDS.iter().any(|unit| accept(parser, &[unit])) {
        return Ok(IntervalUnit::Milliseconds);
    }
    parser.expected("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND", parser.peek_token())
}

fn element(parser: &mut Parser) -> Result<DataType, ParserError> {
    parser.expect_token(&Token::Lt)?;
    let element = parse_type(parser)?;
    parser.expect_token(&Token::Gt)?;
    Ok(element)
}

fn row(parser: &mut Parser) -> Result<TypeKind, ParserError> {
    // The tokenizer reads `ROW<>` as "not equal".
    if parser.consume_token(&Token::Neq) {
        return Ok(TypeKind::Row(Vec::new()));
    }
    let close = if parser.consume_token(&Token::LParen) {
        Token::RParen
    } else {
        parser.expect_token(&Token::Lt)?;
        Token::Gt
    };
    let mut fields: Vec<RowField> = Vec::new();
    while parser.peek_token_ref().token != close {
        let name = parser.parse_identifier()?;
        if fields.iter().any(|field| field.name == name.value) {
            let message = format!("ROW has two fields named '{}'", name.value);
            return Err(fail(Code::InvalidDefinition, &message, name.span, &[]));
        }
        let data_type = parse_type(parser)?;
        // A field's comment.
        if matches!(parser.peek_token_ref().token, Token::SingleQuotedString(_)) {
            parser.advance_token();
        }
        fields.push(RowField { name: name.value, data_type });
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&close)?;
    Ok(TypeKind::Row(fields))
}

/// A type's text that stands in the script at `span`, such as the second argument of `$cast`.
///
/// # Errors
/// As [`parse_data_type`], at `span`.
pub fn parse_data_type_at(text: &str, span: Span) -> FlottResult<DataType> {
    parse_data_type(text).map_err(|mut it: Box<Diagnostic>| {
        it.span = None;
        it.at(span)
    })
}
