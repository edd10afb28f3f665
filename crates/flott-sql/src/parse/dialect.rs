//! Flink's dialect on `sqlparser`'s parser.
//!
//! What `sqlparser` has no node for becomes a function call whose name starts with `$` and has
//! no quotes, so that no user can write it (see [`internal_name`]):
//!
//! | SQL | node |
//! |---|---|
//! | `CAST(x AS t)`, `TRY_CAST(x AS t)` | `$cast(x, 't')`, `$try_cast(x, 't')`: `t` as [`DataType`] prints it, spanning the type's text |
//! | `MAP[k, v, …]`, `MULTISET[…]` | `$map(k, v, …)`, `$multiset(…)` |
//! | `x IS [NOT] JSON [VALUE\|OBJECT\|ARRAY\|SCALAR]` | `$is_json(x, 'VALUE')`, under `NOT` |
//! | `x BETWEEN SYMMETRIC a AND b` | `(x BETWEEN a AND b OR x BETWEEN b AND a)` |
//! | `(a - b) DAY` | `$difference(a, b, 'DAY')` |
//! | `f(TABLE t)`, `f(TABLE t PARTITION BY (a, b))` | `$table(t)`, `$table(t, a, b)` |
//! | `f((SELECT …) PARTITION BY a)` | `$table((SELECT …), a)` |
//! | `JSON_VALUE(x, p RETURNING t NULL ON EMPTY DEFAULT d ON ERROR)` | `JSON_VALUE(x, p, $returning => 't', $on_empty => 'NULL', $on_error => 'DEFAULT', $on_error_default => d)` |
//! | `JSON_QUERY(x, p WITH CONDITIONAL WRAPPER EMPTY ARRAY ON EMPTY)` | `JSON_QUERY(x, p, $wrapper => 'CONDITIONAL', $on_empty => 'EMPTY ARRAY')` |
//! | `JSON_EXISTS(x, p TRUE ON ERROR)` | `JSON_EXISTS(x, p, $on_error => 'TRUE')` |
//! | `JSON_OBJECT(KEY k VALUE v, … ABSENT ON NULL)` | `JSON_OBJECT(k, v, …, $on_null => 'ABSENT')` (also `JSON_OBJECTAGG`) |
//! | `JSON_ARRAY(a, … NULL ON NULL)` | `JSON_ARRAY(a, …, $on_null => 'NULL')` (also `JSON_ARRAYAGG`) |
//! | `FINAL LAST(x)`, `RUNNING LAST(x)` | `$final(LAST(x))`, `$running(LAST(x))` |
//! | `t /*+ OPTIONS('k' = 'v') */` | a last part of the table's name whose text is the comment: [`split_hints`] |
//!
//! And where `sqlparser` has a node it may surprise: `UNNEST(x) WITH ORDINALITY AS t(a)` is a
//! `TableFactor::Table` named `UNNEST` with arguments; `LATERAL TABLE(f(x))` is a lateral
//! `TableFactor::Function` named `TABLE` whose argument is the call; `TABLE(f(x))` is a
//! `TableFactor::TableFunction`; `ROW(a, b)` is a call of `ROW`; `(a, b)` a `Tuple`.

use flott_types::{Code, DataType, Options, Result as FlottResult};
use sqlparser::{
    ast::{
        BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator,
        FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, TrimWhereField,
        UnaryOperator, Value, ValueWithSpan,
    },
    dialect::{Dialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span as TokenSpan, Token, TokenWithSpan},
};

use super::{error::fail, types};
use crate::Source;

/// Flink's dialect.
#[derive(Debug, Default, Clone, Copy)]
pub struct FlinkDialect;

/// `$cast` and the like: the name of a call that the parser made, if it is one.
pub fn internal_name(function: &Function) -> Option<&str> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)]
            if ident.quote_style.is_none() && ident.value.starts_with('$') =>
        {
            Some(&ident.value)
        }
        _ => None,
    }
}

/// A table's name without its `/*+ OPTIONS(…) */`, and those options.
///
/// # Errors
/// A hint that is not well-formed, or not `OPTIONS`.
pub fn split_hints(source: &Source, name: &ObjectName) -> FlottResult<(Vec<Ident>, Options)> {
    let mut parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let Some(hint) = parts.pop_if(|last| last.quote_style == Some(super::tokens::HINT_QUOTE)) else {
        return Ok((parts, Options::new()));
    };
    Ok((parts, super::hints::parse_hint(source, source.span(hint.span))?))
}

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }
    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation_with_newline(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }
    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }
    fn supports_comment_optimizer_hint(&self) -> bool {
        true
    }
    fn supports_match_recognize(&self) -> bool {
        true
    }
    fn supports_table_versioning(&self) -> bool {
        true
    }
    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }
    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        // Words after which only one construct can stand: its error is the one to show.
        matches!(
            keyword,
            Keyword::CASE
                | Keyword::CAST
                | Keyword::TRY_CAST
                | Keyword::CEIL
                | Keyword::EXISTS
                | Keyword::EXTRACT
                | Keyword::FLOOR
                | Keyword::INTERVAL
                | Keyword::NOT
                | Keyword::NULL
                | Keyword::OVERLAY
                | Keyword::SUBSTRING
                | Keyword::TRIM
        )
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref();
        let Token::Word(word) = &first.token else {
            if matches!(first.token, Token::DoubleQuotedString(_)) {
                return Some(Err(double_quotes(first)));
            }
            return None;
        };
        if word.quote_style.is_some() {
            return None;
        }
        match (word.keyword, &second.token) {
            (Keyword::CAST, Token::LParen) => Some(parse_cast(parser, "$cast")),
            (Keyword::TRY_CAST, Token::LParen) => Some(parse_cast(parser, "$try_cast")),
            (Keyword::MAP, Token::LBracket) => Some(parse_bracketed(parser, "$map")),
            (Keyword::MULTISET, Token::LBracket) => Some(parse_bracketed(parser, "$multiset")),
            (Keyword::TRIM, Token::LParen) => Some(parse_trim(parser)),
            (Keyword::TABLE, Token::Word(_)) => Some(parse_table_argument(parser)),
            (_, Token::Word(_)) if says_which_rows(&word.value) && call_is_behind(parser) => {
                Some(parse_semantics(parser))
            }
            (_, Token::LParen) => parse_json_function(parser),
            // A clause where an expression should stand: say so instead of taking it for a column.
            (Keyword::FROM | Keyword::WHERE | Keyword::SELECT | Keyword::ORDER | Keyword::HAVING, _) => {
                Some(parser.expected("an expression", first.clone()))
            }
            _ => None,
        }
    }

    fn parse_infix(
        &self,
        parser: &mut Parser,
        expr: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        if let Some(difference) = parse_difference(parser, expr) {
            return Some(Ok(difference));
        }
        if matches!(expr, Expr::Subquery(_)) && follows_partition(parser) {
            return Some(parse_partitioned_query(parser, expr));
        }
        if accept(parser, &["BETWEEN", "ASYMMETRIC"]) {
            return Some(parse_between(parser, expr, false, false));
        }
        for negated in [false, true] {
            let not: &[&str] = if negated { &["NOT"] } else { &[] };
            if accept(parser, &[not, &["BETWEEN", "SYMMETRIC"]].concat()) {
                return Some(parse_between(parser, expr, negated, true));
            }
            if accept(parser, &[&["IS"], not, &["DISTINCT", "FROM"]].concat()) {
                return Some(parse_distinct_from(parser, expr, negated));
            }
            if accept(parser, &[&["IS"], not, &["JSON"]].concat()) {
                return Some(Ok(parse_is_json(parser, expr, negated)));
            }
        }
        None
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        let follows = follows_difference(parser) || follows_partition(parser);
        follows.then(|| Ok(self.prec_value(Precedence::Period)))
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        // As Calcite: IS binds weaker than comparison, NOT weaker than IS.
        match precedence {
            Precedence::Period => 100,
            Precedence::DoubleColon => 50,
            Precedence::AtTz => 41,
            Precedence::MulDivModOp => 40,
            Precedence::PlusMinus => 30,
            Precedence::Xor => 24,
            Precedence::Ampersand => 23,
            Precedence::Caret => 22,
            Precedence::Pipe | Precedence::Colon => 21,
            Precedence::Between | Precedence::Eq => 20,
            Precedence::Like => 20,
            Precedence::Is => 17,
            Precedence::PgOther => 16,
            Precedence::UnaryNot => 15,
            Precedence::And => 10,
            Precedence::Or => 5,
        }
    }
}

/// The units of `(a - b) unit`.
const DIFFERENCE_UNITS: [&str; 8] = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"];

fn next_is_unit(parser: &Parser) -> bool {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => {
            DIFFERENCE_UNITS.iter().any(|unit| word.value.eq_ignore_ascii_case(unit))
        }
        _ => false,
    }
}

/// Whether a unit comes next and the parser stands behind `(… - …)` that no function's name precedes.
fn follows_difference(parser: &Parser) -> bool {
    if !next_is_unit(parser) {
        return false;
    }
    let mut depth = 0usize;
    let mut minus = false;
    let mut tokens = (0..=parser.get_current_index()).rev().map(|at| &parser.token_at(at).token);
    for token in tokens.by_ref() {
        match token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 1 => break,
            Token::LParen => depth = depth.saturating_sub(1),
            Token::Minus if depth == 1 => minus = true,
            _ if depth == 0 => return false,
            _ => {}
        }
    }
    let before = tokens.find(|token| !matches!(token, Token::Whitespace(_)));
    let called = matches!(before, Some(Token::Word(word)) if word.keyword == Keyword::NoKeyword);
    minus && !called
}

/// `(a - b)` has been read and a unit may follow.
fn parse_difference(parser: &mut Parser, expr: &Expr) -> Option<Expr> {
    let Expr::Nested(inner) = expr else { return None };
    let Expr::BinaryOp { left, op: BinaryOperator::Minus, right } = inner.as_ref() else { return None };
    if !next_is_unit(parser) {
        return None;
    }
    let token = parser.next_token();
    let unit = string(token.token.to_string().to_ascii_uppercase(), token.span);
    let args = [left.as_ref().clone(), right.as_ref().clone(), unit].into_iter().map(unnamed).collect();
    Some(call(Ident::with_span(token.span, "$difference"), args))
}

/// `x IS JSON` has been read.
fn parse_is_json(parser: &mut Parser, expr: &Expr, negated: bool) -> Expr {
    let span = parser.get_current_token().span;
    let kind = ["VALUE", "OBJECT", "ARRAY", "SCALAR"].into_iter().find(|kind| accept(parser, &[kind]));
    let args = vec![unnamed(expr.clone()), unnamed(string(kind.unwrap_or("VALUE"), span))];
    negate_if(negated, call(Ident::with_span(span, "$is_json"), args))
}

fn negate_if(negated: bool, expr: Expr) -> Expr {
    if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) } } else { expr }
}

/// `x BETWEEN [A]SYMMETRIC` has been read; a symmetric one holds in one or the other order.
fn parse_between(
    parser: &mut Parser,
    expr: &Expr,
    negated: bool,
    symmetric: bool,
) -> Result<Expr, ParserError> {
    let precedence = FlinkDialect.prec_value(Precedence::Between);
    let low = Box::new(parser.parse_subexpr(precedence)?);
    parser.expect_keyword(Keyword::AND)?;
    let high = Box::new(parser.parse_subexpr(precedence)?);
    let between = |low: Box<Expr>, high: Box<Expr>| Expr::Between {
        expr: Box::new(expr.clone()),
        negated: false,
        low,
        high,
    };
    let one = between(low.clone(), high.clone());
    if !symmetric {
        return Ok(negate_if(negated, one));
    }
    let other = between(high, low);
    let either = Expr::BinaryOp { left: Box::new(one), op: BinaryOperator::Or, right: Box::new(other) };
    Ok(negate_if(negated, Expr::Nested(Box::new(either))))
}

/// `a IS [NOT] DISTINCT FROM b`: what follows ends where a weaker operator begins.
fn parse_distinct_from(parser: &mut Parser, expr: &Expr, negated: bool) -> Result<Expr, ParserError> {
    let (left, right) =
        (Box::new(expr.clone()), Box::new(parser.parse_subexpr(FlinkDialect.prec_value(Precedence::Is))?));
    Ok(if negated { Expr::IsNotDistinctFrom(left, right) } else { Expr::IsDistinctFrom(left, right) })
}

fn double_quotes(token: &TokenWithSpan) -> ParserError {
    fail(
        Code::Syntax,
        "double quotes are not used in Flink SQL",
        token.span,
        &["names stand in back-ticks (`name`), strings in single quotes ('text')"],
    )
}

/// A call of a function by its internal name.
pub(crate) fn call(name: Ident, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn named(name: &str, span: TokenSpan, value: Expr) -> FunctionArg {
    FunctionArg::Named {
        name: Ident::with_span(span, name),
        arg: FunctionArgExpr::Expr(value),
        operator: FunctionArgOperator::RightArrow,
    }
}

fn string(text: impl Into<String>, span: TokenSpan) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text.into()), span })
}

/// A type, as the text that [`types::parse_data_type`] reads.
fn parse_type_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let start = parser.peek_token_ref().span;
    let data_type: DataType = types::parse_type(parser)?;
    let span = start.union(&parser.get_current_token().span);
    Ok(string(data_type.to_string(), span))
}

fn parse_cast(parser: &mut Parser, name: &str) -> Result<Expr, ParserError> {
    let word = parser.next_token().span;
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let data_type = parse_type_argument(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(Ident::with_span(word, name), vec![unnamed(expr), unnamed(data_type)]))
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM text)`, `TRIM(text)`
fn parse_trim(parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let trim_where = [
        ("BOTH", TrimWhereField::Both),
        ("LEADING", TrimWhereField::Leading),
        ("TRAILING", TrimWhereField::Trailing),
    ]
    .into_iter()
    .find(|(word, _)| accept(parser, &[word]))
    .map(|(_, side)| side);
    let mut trim_what = None;
    let mut from = trim_where.is_some() && parser.parse_keyword(Keyword::FROM);
    let mut expr = parser.parse_expr()?;
    if !from && parser.parse_keyword(Keyword::FROM) {
        from = true;
        trim_what = Some(Box::new(std::mem::replace(&mut expr, parser.parse_expr()?)));
    }
    if trim_where.is_some() && !from {
        return parser.expected("FROM", parser.peek_token());
    }
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Trim { expr: Box::new(expr), trim_where, trim_what, trim_characters: None })
}

fn parse_bracketed(parser: &mut Parser, name: &str) -> Result<Expr, ParserError> {
    let word = parser.next_token().span;
    parser.expect_token(&Token::LBracket)?;
    let items = if parser.peek_token_ref().token == Token::RBracket {
        Vec::new()
    } else {
        parser.parse_comma_separated(Parser::parse_expr)?
    };
    parser.expect_token(&Token::RBracket)?;
    Ok(call(Ident::with_span(word, name), items.into_iter().map(unnamed).collect()))
}

/// `TABLE name [PARTITION BY columns]` as an argument of a table function.
fn parse_table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let word = parser.next_token().span;
    let name = parser.parse_object_name(false)?;
    let idents: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let mut args = vec![unnamed(Expr::CompoundIdentifier(idents))];
    args.extend(parse_partition_by(parser)?);
    Ok(call(Ident::with_span(word, "$table"), args))
}

/// A query in parentheses has been read, and this is its `PARTITION BY columns`.
fn parse_partitioned_query(parser: &mut Parser, query: &Expr) -> Result<Expr, ParserError> {
    let word = parser.peek_token_ref().span;
    let mut args = vec![unnamed(query.clone())];
    args.extend(parse_partition_by(parser)?);
    Ok(call(Ident::with_span(word, "$table"), args))
}

/// Whether something in parentheses ends here and `PARTITION BY` comes next.
fn follows_partition(parser: &Parser) -> bool {
    let word = |nth: usize, keyword: Keyword| {
        matches!(&parser.peek_nth_token_ref(nth).token,
            Token::Word(it) if it.quote_style.is_none() && it.keyword == keyword)
    };
    parser.get_current_token().token == Token::RParen && word(0, Keyword::PARTITION) && word(1, Keyword::BY)
}

fn says_which_rows(word: &str) -> bool {
    word.eq_ignore_ascii_case("FINAL") || word.eq_ignore_ascii_case("RUNNING")
}

/// Whether a call comes behind the next word: `FINAL LAST(`.
fn call_is_behind(parser: &Parser) -> bool {
    parser.peek_nth_token_ref(2).token == Token::LParen
}

/// `FINAL LAST(x)`, `RUNNING LAST(x)`: which rows of a match the call sees.
fn parse_semantics(parser: &mut Parser) -> Result<Expr, ParserError> {
    let word = parser.next_token();
    let name = format!("${}", word.token.to_string().to_ascii_lowercase());
    let call_of = parser.parse_prefix()?;
    Ok(call(Ident::with_span(word.span, name), vec![unnamed(call_of)]))
}

/// The columns of a `PARTITION BY`, none if there isn't one.
fn parse_partition_by(parser: &mut Parser) -> Result<Vec<FunctionArg>, ParserError> {
    if !parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        return Ok(Vec::new());
    }
    // The next argument also follows a comma, so without parentheses one column is taken.
    if !parser.consume_token(&Token::LParen) {
        return Ok(vec![unnamed(parser.parse_expr()?)]);
    }
    let columns = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(columns.into_iter().map(unnamed).collect())
}

// --- JSON functions: clauses behind the arguments -----------------------------------------------

fn parse_json_function(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    let clauses: fn(&mut Parser) -> Result<Vec<FunctionArg>, ParserError> =
        match word.value.to_ascii_uppercase().as_str() {
            "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" => path_function_arguments,
            "JSON_OBJECT" | "JSON_OBJECTAGG" => json_object_arguments,
            "JSON_ARRAY" | "JSON_ARRAYAGG" => json_array_arguments,
            _ => return None,
        };
    Some(parse_json_call(parser, clauses))
}

fn parse_json_call(
    parser: &mut Parser,
    arguments: fn(&mut Parser) -> Result<Vec<FunctionArg>, ParserError>,
) -> Result<Expr, ParserError> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let args = arguments(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, args))
}

/// Consumes these words (any case) if all of them come next.
pub(crate) fn accept(parser: &mut Parser, words: &[&str]) -> bool {
    let matches = words.iter().enumerate().all(|(n, text)| {
        matches!(&parser.peek_nth_token_ref(n).token,
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text))
    });
    if matches {
        for _ in words {
            parser.advance_token();
        }
    }
    matches
}

fn path_function_arguments(parser: &mut Parser) -> Result<Vec<FunctionArg>, ParserError> {
    let mut args: Vec<FunctionArg> =
        parser.parse_comma_separated(Parser::parse_expr)?.into_iter().map(unnamed).collect();
    loop {
        let span = parser.peek_token_ref().span;
        if accept(parser, &["RETURNING"]) {
            let data_type = parse_type_argument(parser)?;
            args.push(named("$returning", span, data_type));
        } else if let Some(wrapper) = parse_wrapper(parser) {
            args.push(named("$wrapper", span, string(wrapper, span)));
        } else if let Some((behaviour, default)) = parse_behaviour(parser)? {
            parser.expect_keyword(Keyword::ON)?;
            let (name, default_name) = if accept(parser, &["EMPTY"]) {
                ("$on_empty", "$on_empty_default")
            } else if accept(parser, &["ERROR"]) {
                ("$on_error", "$on_error_default")
            } else {
                return parser.expected("EMPTY or ERROR", parser.peek_token());
            };
            args.push(named(name, span, string(behaviour, span)));
            args.extend(default.map(|expr| named(default_name, span, expr)));
        } else {
            return Ok(args);
        }
    }
}

fn parse_wrapper(parser: &mut Parser) -> Option<&'static str> {
    const FORMS: [(&[&str], &str); 8] = [
        (&["WITHOUT", "ARRAY", "WRAPPER"], "WITHOUT"),
        (&["WITHOUT", "WRAPPER"], "WITHOUT"),
        (&["WITH", "CONDITIONAL", "ARRAY", "WRAPPER"], "CONDITIONAL"),
        (&["WITH", "CONDITIONAL", "WRAPPER"], "CONDITIONAL"),
        (&["WITH", "UNCONDITIONAL", "ARRAY", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "UNCONDITIONAL", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "ARRAY", "WRAPPER"], "UNCONDITIONAL"),
        (&["WITH", "WRAPPER"], "UNCONDITIONAL"),
    ];
    FORMS.into_iter().find(|(words, _)| accept(parser, words)).map(|(_, wrapper)| wrapper)
}

/// `NULL`, `ERROR`, `DEFAULT e` … before `ON EMPTY` or `ON ERROR`.
fn parse_behaviour(parser: &mut Parser) -> Result<Option<(&'static str, Option<Expr>)>, ParserError> {
    if accept(parser, &["DEFAULT"]) {
        return Ok(Some(("DEFAULT", Some(parser.parse_expr()?))));
    }
    const FORMS: [(&[&str], &str); 7] = [
        (&["NULL"], "NULL"),
        (&["ERROR"], "ERROR"),
        (&["TRUE"], "TRUE"),
        (&["FALSE"], "FALSE"),
        (&["UNKNOWN"], "UNKNOWN"),
        (&["EMPTY", "ARRAY"], "EMPTY ARRAY"),
        (&["EMPTY", "OBJECT"], "EMPTY OBJECT"),
    ];
    Ok(FORMS.into_iter().find(|(words, _)| accept(parser, words)).map(|(_, it)| (it, None)))
}

/// `NULL ON NULL`, `ABSENT ON NULL`
fn parse_on_null(parser: &mut Parser) -> Option<FunctionArg> {
    let span = parser.peek_token_ref().span;
    let behaviour = if accept(parser, &["NULL", "ON", "NULL"]) {
        "NULL"
    } else if accept(parser, &["ABSENT", "ON", "NULL"]) {
        "ABSENT"
    } else {
        return None;
    };
    Some(named("$on_null", span, string(behaviour, span)))
}

fn json_object_arguments(parser: &mut Parser) -> Result<Vec<FunctionArg>, ParserError> {
    let mut args = Vec::new();
    while parser.peek_token_ref().token != Token::RParen {
        if let Some(on_null) = parse_on_null(parser) {
            args.push(on_null);
            break;
        }
        accept(parser, &["KEY"]);
        args.push(unnamed(parser.parse_expr()?));
        if !accept(parser, &["VALUE"]) {
            parser.expect_token(&Token::Colon)?;
        }
        args.push(unnamed(parser.parse_expr()?));
        if !parser.consume_token(&Token::Comma) {
            args.extend(parse_on_null(parser));
            break;
        }
    }
    Ok(args)
}

fn json_array_arguments(parser: &mut Parser) -> Result<Vec<FunctionArg>, ParserError> {
    let mut args = Vec::new();
    while parser.peek_token_ref().token != Token::RParen {
        if let Some(on_null) = parse_on_null(parser) {
            args.push(on_null);
            break;
        }
        args.push(unnamed(parser.parse_expr()?));
        if !parser.consume_token(&Token::Comma) {
            args.extend(parse_on_null(parser));
            break;
        }
    }
    Ok(args)
}
