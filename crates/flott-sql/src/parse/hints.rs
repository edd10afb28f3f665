//! Hints: `/*+ OPTIONS('key' = 'value', …) */` behind a table's name, `/*+ NAME(…), … */` behind
//! SELECT.

use flott_types::{Code, Diagnostic, Options, Result, Span};
use sqlparser::tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan};

use super::{ast::Name, cursor::Cursor, tokens};
use crate::Source;

/// A hint behind SELECT.
#[derive(Debug, Clone)]
pub(crate) struct SelectHint {
    /// `STATE_TTL`
    pub(crate) name: Name,
    /// `'key' = 'value', …`; none if it has names for arguments.
    pub(crate) options: Vec<(Name, Name)>,
    /// From its name to its closing parenthesis.
    pub(crate) span: Span,
}

/// The options of a hint that stands at `span` (the whole comment).
pub(crate) fn parse_hint(source: &Source, span: Span) -> Result<Options> {
    let mut cursor = inside(source, span, FORM)?;
    let name = cursor.name()?;
    if !name.value.eq_ignore_ascii_case("OPTIONS") {
        return Err(Diagnostic::not_supported(format_args!("hint {} behind a table's name", name.value))
            .at(name.span)
            .help(FORM));
    }
    let options = cursor.options()?;
    cursor.expect_end()?;
    Ok(options)
}

/// Where the hints between SELECT, which ends at `start`, and what is selected stand.
pub(crate) fn select_hint_spans(source: &Source, start: usize, count: usize) -> Vec<Span> {
    let mut spans = Vec::with_capacity(count);
    let mut from = start;
    while spans.len() < count {
        let rest = source.text.get(from..).unwrap_or("");
        let Some(open) = rest.find("/*+") else { break };
        let Some(close) = rest.get(open..).and_then(|it| it.find("*/")) else { break };
        let span = Span::new(from + open, from + open + close + 2);
        from = span.end;
        spans.push(span);
    }
    spans
}

/// The hints of a comment that stands behind SELECT at `span`.
pub(crate) fn parse_select_hints(source: &Source, span: Span) -> Result<Vec<SelectHint>> {
    let mut cursor = inside(source, span, SELECT_FORM)?;
    let mut hints = Vec::new();
    loop {
        let start = cursor.peek_span();
        let name = cursor.name()?;
        let mut options = Vec::new();
        if cursor.peek_token(&Token::LParen) {
            let pairs = cursor.list(|cursor| {
                // `BROADCAST(a, b)` has names where others have options.
                let Ok(key) = cursor.string() else { return cursor.qualified().map(|_| None) };
                if !cursor.accept_token(&Token::Eq) {
                    return Ok(None);
                }
                Ok(Some((key, cursor.string()?)))
            })?;
            options = pairs.into_iter().flatten().collect();
        }
        hints.push(SelectHint { name, options, span: cursor.since(start) });
        if !cursor.accept_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_end()?;
    Ok(hints)
}

/// A reader of what stands in the comment, with places in the script.
fn inside<'s>(source: &'s Source, span: Span, form: &str) -> Result<Cursor<'s>> {
    // Without `/*+` and `*/`.
    let start = span.start + 3;
    let inside = Source::new(source.name.clone(), source.slice(Span::new(start, span.end.saturating_sub(2))));
    let (found, error) = tokens::tokenize(&inside);
    if error.is_some() {
        return Err(Diagnostic::error(Code::Syntax, "the hint is malformed").at(span).help(form));
    }
    // The tokens' places are in the hint: move them to the script.
    let moved = |at: Location| {
        let (line, column) = source.line_column(start + inside.offset(at.line, at.column));
        Location::new(line as u64, column as u64)
    };
    let found = found.into_iter().map(|token| {
        TokenWithSpan::new(token.token, TokenSpan::new(moved(token.span.start), moved(token.span.end)))
    });
    Ok(Cursor::new(source, found.collect(), Span::new(span.end.saturating_sub(2), span.end)))
}

const FORM: &str = "a hint is written /*+ OPTIONS('key' = 'value', …) */ behind a table's name";
const SELECT_FORM: &str = "a hint is written SELECT /*+ STATE_TTL('table' = '1 d') */ …";
