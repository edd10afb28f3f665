//! The script as tokens, changed where `sqlparser` would go astray.
//!
//! - `>>` becomes two `>`: Flink has no shift operator, but `ARRAY<ARRAY<INT>>`.
//! - `t /*+ OPTIONS(…) */` becomes `t.<hint>`: a last part of the name, quoted with
//!   [`HINT_QUOTE`], which no text can produce. See [`super::split_hints`].
//! - `VALUES 1, 2` becomes `VALUES (1), (2)`.
//! - `WITHIN` in MATCH_RECOGNIZE: see [`patterns`].
//! - other comments stay white space.

use flott_types::{Code, Diagnostic, Span};
use sqlparser::{
    keywords::Keyword,
    tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan, Tokenizer, Whitespace, Word},
};

use super::{dialect::FlinkDialect, error::is_space, patterns};
use crate::Source;

/// The quote of the name part that stands for a hint.
pub(crate) const HINT_QUOTE: char = '\u{2}';

/// The tokens up to the first place that can't be tokenized, and what is wrong there.
pub(crate) fn tokenize(source: &Source) -> (Vec<TokenWithSpan>, Option<Box<Diagnostic>>) {
    let mut raw = Vec::new();
    let dialect = FlinkDialect;
    let outcome = Tokenizer::new(&dialect, &source.text).tokenize_with_location_into_buf(&mut raw);
    let error = outcome.err().map(|error| unterminated(source, &error.message, error.location));
    (patterns::rewrite(with_rows(rewrite(raw))), error)
}

fn unterminated(source: &Source, message: &str, at: Location) -> Box<Diagnostic> {
    let start = source.offset(at.line, at.column);
    let rest = source.text.get(start..).unwrap_or("");
    let line = rest.lines().next().unwrap_or("").len();
    let span = Span::new(start.min(source.text.len().saturating_sub(1)), start + line.max(1));
    let message = message.to_ascii_lowercase();
    let (text, help) = if message.contains("string") {
        ("the string has no closing quote", "a quote inside a string is written twice: 'it''s'")
    } else if message.contains("comment") {
        ("the comment has no closing */", "close it with */")
    } else if message.contains("identifier") || message.contains('`') {
        ("the quoted name has no closing back-tick", "a back-tick inside a name is written twice")
    } else {
        return Diagnostic::error(Code::Syntax, message).at(span);
    };
    Diagnostic::error(Code::Syntax, text).at(span).help(help)
}

fn rewrite(raw: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(raw.len());
    // The last token that isn't white space.
    let mut last: Option<usize> = None;
    for token in raw {
        match &token.token {
            Token::ShiftRight => {
                let middle = Location::new(token.span.start.line, token.span.start.column + 1);
                out.push(TokenWithSpan::new(Token::Gt, TokenSpan::new(token.span.start, middle)));
                out.push(TokenWithSpan::new(Token::Gt, TokenSpan::new(middle, token.span.end)));
                last = Some(out.len() - 1);
                continue;
            }
            Token::Whitespace(Whitespace::MultiLineComment(text))
                if text.starts_with('+') && last.is_some_and(|at| names_a_table(&out[at].token)) =>
            {
                let word =
                    Word { value: text.clone(), quote_style: Some(HINT_QUOTE), keyword: Keyword::NoKeyword };
                out.push(TokenWithSpan::new(Token::Period, token.span));
                out.push(TokenWithSpan::new(Token::Word(word), token.span));
                last = Some(out.len() - 1);
                continue;
            }
            _ => {}
        }
        if !is_space(&token) {
            last = Some(out.len());
        }
        out.push(token);
    }
    out
}

/// Puts the items of VALUES that stand without parentheses into some.
fn with_rows(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_values =
        |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::VALUES);
    if !tokens.iter().any(is_values) {
        return tokens;
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    // Behind VALUES, or a comma between its items; inside an opened item: how deep.
    let (mut expects_item, mut opened): (bool, Option<usize>) = (false, None);
    for token in tokens {
        if is_space(&token) {
            out.push(token);
            continue;
        }
        if expects_item {
            expects_item = false;
            if starts_bare_item(&token.token) {
                out.push(TokenWithSpan::new(
                    Token::LParen,
                    TokenSpan::new(token.span.start, token.span.start),
                ));
                opened = Some(0);
            }
        }
        if let Some(depth) = opened {
            let ends = depth == 0 && ends_item(&token.token);
            if ends {
                out.push(TokenWithSpan::new(
                    Token::RParen,
                    TokenSpan::new(token.span.start, token.span.start),
                ));
                opened = None;
                expects_item = token.token == Token::Comma;
            } else {
                opened = Some(match token.token {
                    Token::LParen | Token::LBracket => depth + 1,
                    Token::RParen | Token::RBracket => depth.saturating_sub(1),
                    _ => depth,
                });
            }
        }
        expects_item |= is_values(&token);
        out.push(token);
    }
    if opened.is_some()
        && let Some(end) = out.last().map(|it| it.span.end)
    {
        out.push(TokenWithSpan::new(Token::RParen, TokenSpan::new(end, end)));
    }
    out
}

/// Whether an item of VALUES that begins so has no parentheses: a constant, or a call that makes one.
fn starts_bare_item(token: &Token) -> bool {
    match token {
        Token::Number(..) | Token::SingleQuotedString(_) | Token::Minus | Token::Plus => true,
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::NULL
                | Keyword::TRUE
                | Keyword::FALSE
                | Keyword::CAST
                | Keyword::ARRAY
                | Keyword::MAP
                | Keyword::DATE
                | Keyword::TIME
                | Keyword::TIMESTAMP
                | Keyword::INTERVAL
        ),
        _ => false,
    }
}

/// What can only stand behind an item of VALUES, outside of parentheses.
fn ends_item(token: &Token) -> bool {
    match token {
        Token::Comma | Token::RParen | Token::SemiColon | Token::EOF => true,
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ORDER | Keyword::LIMIT
        ),
        _ => false,
    }
}

/// Whether a hint after this token is a table's.
fn names_a_table(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_some()
                || !matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL)
        }
        _ => false,
    }
}
