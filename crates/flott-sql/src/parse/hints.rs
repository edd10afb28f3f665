//! `/*+ OPTIONS('key' = 'value', …) */` behind a table's name.

use flott_types::{Code, Diagnostic, Options, Result, Span};
use sqlparser::tokenizer::{Location, Span as TokenSpan, TokenWithSpan};

use super::{cursor::Cursor, tokens};
use crate::Source;

/// The options of a hint that stands at `span` (the whole comment).
pub(crate) fn parse_hint(source: &Source, span: Span) -> Result<Options> {
    // Without `/*+` and `*/`.
    let start = span.start + 3;
    let inside = Source::new(source.name.clone(), source.slice(Span::new(start, span.end.saturating_sub(2))));
    let (found, error) = tokens::tokenize(&inside);
    if error.is_some() {
        return Err(Diagnostic::error(Code::Syntax, "the hint is malformed").at(span).help(FORM));
    }
    // The tokens' places are in the hint: move them to the script.
    let moved = |at: Location| {
        let (line, column) = source.line_column(start + inside.offset(at.line, at.column));
        Location::new(line as u64, column as u64)
    };
    let found = found.into_iter().map(|token| {
        TokenWithSpan::new(token.token, TokenSpan::new(moved(token.span.start), moved(token.span.end)))
    });
    let mut cursor = Cursor::new(source, found.collect(), Span::new(span.end.saturating_sub(2), span.end));
    let name = cursor.name()?;
    if !name.value.eq_ignore_ascii_case("OPTIONS") {
        return Err(Diagnostic::not_supported(format_args!("hint {}", name.value)).at(name.span).help(FORM));
    }
    let options = cursor.options()?;
    cursor.expect_end()?;
    Ok(options)
}

const FORM: &str = "a hint is written /*+ OPTIONS('key' = 'value', …) */ behind a table's name";
