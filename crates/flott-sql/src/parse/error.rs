//! `sqlparser`'s errors as diagnostics.
//!
//! Its errors are texts that end in a line and a column. Ours must travel through its functions
//! too, so [`fail`] packs code, span, message and help into such a text, and [`diagnostic`]
//! unpacks it:
//!
//! ```text
//!   U+0001 code U+0001 line:column-line:column U+0001 message [U+0001 help]…
//! ```

use flott_types::{Code, Diagnostic, Span};
use sqlparser::{
    parser::ParserError,
    tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan},
};

use crate::{Source, options::MASK};

const MARK: char = '\u{1}';

/// An error of ours, to be returned from a function that `sqlparser` calls.
pub(crate) fn fail(code: Code, message: &str, span: TokenSpan, help: &[&str]) -> ParserError {
    let (start, end) = (span.start, span.end);
    let mut text = format!(
        "{MARK}{code}{MARK}{}:{}-{}:{}{MARK}{message}",
        start.line, start.column, end.line, end.column
    );
    for line in help {
        text.push(MARK);
        text.push_str(line);
    }
    ParserError::ParserError(text)
}

fn unpack(source: &Source, text: &str) -> Option<Box<Diagnostic>> {
    let mut parts = text.strip_prefix(MARK)?.split(MARK);
    let (code, place, message) = (parts.next()?, parts.next()?, parts.next()?);
    let code = Code::ALL.iter().copied().find(|it| it.id() == code)?;
    let (start, end) = place.split_once('-')?;
    let location = |text: &str| {
        let (line, column) = text.split_once(':')?;
        Some(Location::new(line.parse().ok()?, column.parse().ok()?))
    };
    let span = source.span(TokenSpan::new(location(start)?, location(end)?));
    let it = Diagnostic::error(code, message).at(span);
    Some(parts.fold(it, |it, help| it.help(help)))
}

/// Splits ` at Line: 1, Column: 5` off.
fn split_location(text: &str) -> (&str, Option<Location>) {
    let parse = || {
        let at = text.rfind(" at Line: ")?;
        let (line, column) = text.get(at + " at Line: ".len()..)?.split_once(", Column: ")?;
        Some((at, Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?)))
    };
    match parse() {
        Some((at, location)) => (&text[..at], Some(location)),
        None => (text, None),
    }
}

/// Where an error was met: the index of the token, if it is one.
pub(crate) fn token_at(tokens: &[TokenWithSpan], error: &ParserError) -> Option<usize> {
    let ParserError::ParserError(text) = error else { return None };
    if text.starts_with(MARK) {
        return None;
    }
    let location = split_location(text).1?;
    tokens.iter().position(|token| token.span.start == location && !is_space(token))
}

/// White space or a comment.
pub(crate) fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// An error as a diagnostic. `tokens` are the statement's, `end` is where it ends.
pub(crate) fn diagnostic(
    source: &Source,
    tokens: &[TokenWithSpan],
    end: Span,
    error: &ParserError,
) -> Box<Diagnostic> {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Diagnostic::error(Code::Syntax, "the statement is nested too deeply")
                .at(end)
                .help("move inner parts into views or common table expressions (WITH name AS (…))");
        }
    };
    if let Some(it) = unpack(source, text) {
        return it;
    }
    let (message, location) = split_location(text);
    let token = token_at(tokens, error).map(|index| &tokens[index]);
    let span = match (token, location) {
        (Some(token), _) => source.span(token.span),
        (None, Some(at)) if at.line > 0 => {
            let start = source.offset(at.line, at.column);
            let next = source.text[start..].chars().next().map_or(0, char::len_utf8);
            Span::new(start, start + next)
        }
        _ => end,
    };
    let message = match message.rsplit_once(", found: ") {
        Some((expected, _)) if source.is_secret(span) => {
            clear_words(&format!("{expected}, found: {MASK}"), None)
        }
        _ => clear_words(message, token),
    };
    let it = Diagnostic::error(Code::Syntax, message).at(span);
    help_for(it, token)
}

/// `Expected: X, found: Y` → `expected X, found Y`.
fn clear_words(message: &str, token: Option<&TokenWithSpan>) -> String {
    let Some(rest) = message.strip_prefix("Expected: ") else {
        let mut chars = message.chars();
        let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
        return format!("{first}{}", chars.as_str());
    };
    let (expected, found) = rest.rsplit_once(", found: ").unwrap_or((rest, "EOF"));
    let expected = match expected {
        "end of statement" => "';' or the end of the statement",
        "identifier" => "a name",
        "literal string" => "a string in single quotes",
        "SELECT, VALUES, or a subquery in the query body" => "a query (SELECT, VALUES, WITH or a subquery)",
        "joined table" => "a table or a join",
        other => other.trim_end_matches(" after CASE"),
    };
    let expected = match expected {
        sign if sign.len() <= 2 && !sign.chars().any(char::is_alphanumeric) => format!("'{sign}'"),
        words => words.to_string(),
    };
    let found = match (found, token) {
        ("EOF", None) => "the end of the statement".to_string(),
        (_, Some(TokenWithSpan { token: Token::Word(word), .. })) => format!("'{}'", word.value),
        (sign, _) if sign.starts_with('\'') => sign.to_string(),
        (sign, _) => format!("'{sign}'"),
    };
    format!("expected {expected}, found {found}")
}

/// Advice for mistakes that have a known cause.
fn help_for(it: Box<Diagnostic>, token: Option<&TokenWithSpan>) -> Box<Diagnostic> {
    match token.map(|it| &it.token) {
        Some(Token::DoubleQuotedString(_)) => {
            it.help("names stand in back-ticks (`name`), strings in single quotes ('text')")
        }
        Some(Token::Word(word)) if word.quote_style.is_none() && is_reserved(&word.value) => {
            it.help(format!("if '{0}' is a name, put it in back-ticks: `{0}`", word.value))
        }
        _ => it,
    }
}

/// Reserved words that are tempting names of columns.
fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 24] = [
        "ALL",
        "AND",
        "AS",
        "BETWEEN",
        "CASE",
        "CROSS",
        "END",
        "FULL",
        "GROUP",
        "HAVING",
        "IN",
        "INNER",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
        "OFFSET",
        "ON",
        "ORDER",
        "PARTITION",
        "RIGHT",
        "UNION",
        "USING",
        "WINDOW",
    ];
    WORDS.iter().any(|it| it.eq_ignore_ascii_case(word))
}
