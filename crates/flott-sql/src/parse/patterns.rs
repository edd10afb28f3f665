//! The clauses of MATCH_RECOGNIZE that `sqlparser` doesn't have, as ones that it has.
//!
//! ```text
//!   PATTERN (A B) WITHIN INTERVAL '1' HOUR DEFINE B AS …
//!   PATTERN (A B) DEFINE $within AS INTERVAL '1' HOUR, B AS …      a variable that no user can write
//!
//!   AFTER MATCH SKIP TO B    ──►    AFTER MATCH SKIP TO LAST B
//!
//!   (SELECT …) MATCH_RECOGNIZE (…)    ──►    $query((SELECT …)) MATCH_RECOGNIZE (…)
//! ```

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Span as TokenSpan, Token, TokenWithSpan, Word},
};

use super::error::is_space;

/// The variable whose definition is the interval of WITHIN.
pub(crate) const WITHIN: &str = "$within";

/// The table function that a sub-query before MATCH_RECOGNIZE becomes the argument of.
pub(crate) const QUERY: &str = "$query";

/// The tokens with these clauses put in the other words.
pub(crate) fn rewrite(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_word(token, "MATCH_RECOGNIZE")) {
        return tokens;
    }
    let tokens = with_query_calls(tokens);
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 4);
    // How deep inside of the parentheses of a MATCH_RECOGNIZE, and whether its WITHIN was seen.
    let (mut depth, mut within) = (0_usize, false);
    let mut before: [Option<Keyword>; 2] = [None, None];
    for (at, token) in tokens.iter().enumerate() {
        if is_space(token) {
            out.push(token.clone());
            continue;
        }
        match &token.token {
            Token::LParen if depth > 0 => depth += 1,
            Token::LParen if before[1] == Some(Keyword::MATCH_RECOGNIZE) => (depth, within) = (1, false),
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        let clause = depth == 1;
        if clause && is_word(token, "WITHIN") && defines_follow(&tokens, at) {
            within = true;
            out.extend([
                word("DEFINE", Keyword::DEFINE, token.span),
                word(WITHIN, Keyword::NoKeyword, token.span),
                word("AS", Keyword::AS, token.span),
            ]);
        } else if clause && within && is_word(token, "DEFINE") {
            within = false;
            out.push(TokenWithSpan::new(Token::Comma, token.span));
        } else {
            let skips = before == [Some(Keyword::SKIP), Some(Keyword::TO)];
            if clause && skips && !["NEXT", "FIRST", "LAST"].iter().any(|it| is_word(token, it)) {
                out.push(word("LAST", Keyword::LAST, token.span));
            }
            out.push(token.clone());
        }
        before = [before[1], keyword(token)];
    }
    out
}

/// Sub-queries that stand before MATCH_RECOGNIZE become arguments.
fn with_query_calls(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // Where each begins, and where it ends.
    let (mut opens, mut closes) = (Vec::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        if is_word(token, "MATCH_RECOGNIZE")
            && let Some((open, close)) = query_before(&tokens, at)
        {
            opens.push(open);
            closes.push(close);
        }
    }
    if opens.is_empty() {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 3 * opens.len());
    for (at, token) in tokens.into_iter().enumerate() {
        let span = token.span;
        if opens.contains(&at) {
            out.push(word(QUERY, Keyword::NoKeyword, span));
            out.push(TokenWithSpan::new(Token::LParen, span));
        }
        out.push(token);
        if closes.contains(&at) {
            out.push(TokenWithSpan::new(Token::RParen, span));
        }
    }
    out
}

/// The parentheses of the sub-query before a MATCH_RECOGNIZE, whether it has an alias or not.
fn query_before(tokens: &[TokenWithSpan], at: usize) -> Option<(usize, usize)> {
    let before = |at: usize| (0..at).rev().find(|&it| tokens.get(it).is_some_and(|token| !is_space(token)));
    let is = |at: usize, token: &Token| tokens.get(at).is_some_and(|it| it.token == *token);
    let mut close = before(at)?;
    if matches!(tokens.get(close).map(|it| &it.token), Some(Token::Word(_))) {
        close = before(close)?;
        if tokens.get(close).is_some_and(|token| is_word(token, "AS")) {
            close = before(close)?;
        }
    }
    if !is(close, &Token::RParen) {
        return None;
    }
    let (mut open, mut depth) = (close, 1_usize);
    while depth > 0 {
        open = open.checked_sub(1)?;
        if is(open, &Token::RParen) {
            depth += 1;
        } else if is(open, &Token::LParen) {
            depth -= 1;
        }
    }
    let first = (open + 1..close).find(|&it| tokens.get(it).is_some_and(|token| !is_space(token)))?;
    let starts = ["SELECT", "WITH", "VALUES"]
        .iter()
        .any(|it| tokens.get(first).is_some_and(|token| is_word(token, it)));
    starts.then_some((open, close))
}

fn word(text: &str, keyword: Keyword, span: TokenSpan) -> TokenWithSpan {
    TokenWithSpan::new(Token::Word(Word { value: text.to_string(), quote_style: None, keyword }), span)
}

fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(it) if it.quote_style.is_none() && it.value.eq_ignore_ascii_case(text))
}

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Whether DEFINE comes behind WITHIN before the clause's parenthesis closes.
fn defines_follow(tokens: &[TokenWithSpan], within: usize) -> bool {
    let mut depth = 0_usize;
    for token in tokens.iter().skip(within + 1) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            _ if depth == 0 && is_word(token, "DEFINE") => return true,
            _ => {}
        }
    }
    false
}
