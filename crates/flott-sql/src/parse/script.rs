//! A script cut into statements.

use flott_types::{Code, Diagnostic, Result, Span};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{
    ast::{InsertStatement, Statement, StatementKind},
    cursor::Cursor,
    error::is_space,
    statement, tokens,
};
use crate::Source;

/// Reads a script: the statements that could be read, and what is wrong with the others, both
/// in order.
pub fn parse_script(source: &Source) -> (Vec<Statement>, Vec<Box<Diagnostic>>) {
    let (found, broken) = tokens::tokenize(source);
    let mut pieces = split(source, found);
    // The piece that the broken text cut off would only give a second, misleading error.
    if broken.is_some() && pieces.last().is_some_and(|piece| !piece.closed) {
        pieces.pop();
    }
    let mut script = Script { statements: Vec::new(), errors: Vec::new() };
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        script.read(source, piece, &mut pieces);
    }
    script.errors.extend(broken);
    (script.statements, script.errors)
}

/// The tokens between two `;`.
struct Piece {
    tokens: Vec<TokenWithSpan>,
    span: Span,
    /// What to underline when it ends too early.
    end: Span,
    /// A `;` follows.
    closed: bool,
}

impl Piece {
    fn words(&self, words: &[&str]) -> bool {
        let mut found = self.tokens.iter().filter(|token| !is_space(token));
        words.iter().all(|text| found.next().is_some_and(|token| is_word(token, text)))
    }
    fn is_only(&self, word: &str) -> bool {
        self.words(&[word]) && self.tokens.iter().filter(|token| !is_space(token)).count() == 1
    }
}

fn is_word(token: &TokenWithSpan, text: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text))
}

fn split(source: &Source, found: Vec<TokenWithSpan>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    for token in found {
        if token.token == Token::SemiColon {
            let end = source.span(token.span);
            pieces.extend(piece(source, std::mem::take(&mut current), Some(end)));
        } else {
            current.push(token);
        }
    }
    pieces.extend(piece(source, current, None));
    pieces
}

fn piece(source: &Source, tokens: Vec<TokenWithSpan>, semicolon: Option<Span>) -> Option<Piece> {
    let mut solid = tokens.iter().filter(|token| !is_space(token)).map(|token| source.span(token.span));
    let first = solid.next()?;
    let last = solid.next_back().unwrap_or(first);
    let end = semicolon.unwrap_or(last);
    Some(Piece { tokens, span: first.union(last), end, closed: semicolon.is_some() })
}

struct Script {
    statements: Vec<Statement>,
    #[expect(clippy::vec_box, reason = "errors travel boxed everywhere")]
    errors: Vec<Box<Diagnostic>>,
}

impl Script {
    fn read(&mut self, source: &Source, piece: Piece, rest: &mut impl Iterator<Item = Piece>) {
        for (explain, opening) in SET_OPENINGS {
            if piece.words(opening) {
                self.read_set(source, piece, opening.len(), *explain, rest);
                return;
            }
        }
        let span = piece.span;
        match read_one(source, piece) {
            Ok(kind) => self.statements.push(Statement { kind, span }),
            Err(error) => self.errors.push(error),
        }
    }

    /// The inserts up to `END`. `opening` words have been recognised.
    fn read_set(
        &mut self,
        source: &Source,
        mut first: Piece,
        opening: usize,
        explain: bool,
        rest: &mut impl Iterator<Item = Piece>,
    ) {
        let begin = first.span;
        let errors_before = self.errors.len();
        let mut inserts = Vec::new();
        let mut span = first.span;
        // What follows the opening in the same piece is the first insert (or, if nothing does,
        // the opening stood alone, as in `BEGIN STATEMENT SET;`).
        let start = position_after(&first.tokens, opening);
        first.tokens.drain(..start);
        let first = piece_of(source, first);
        let mut next = first.or_else(|| rest.next());
        let mut closed = false;
        while let Some(piece) = next {
            span = span.union(piece.span);
            if piece.is_only("END") {
                closed = true;
                break;
            }
            let inside = piece.span;
            match read_one(source, piece).and_then(|kind| only_insert(kind, inside)) {
                Ok(insert) => inserts.push(insert),
                Err(error) => self.errors.push(error),
            }
            next = rest.next();
        }
        if !closed {
            self.errors.push(
                Diagnostic::error(Code::Syntax, "the statement set is not closed")
                    .at(begin)
                    .help("end it with END;"),
            );
        } else if self.errors.len() == errors_before {
            let kind = StatementKind::StatementSet(inserts);
            let set = Statement { kind, span };
            let kind = if explain { StatementKind::Explain(Box::new(set)) } else { set.kind };
            self.statements.push(Statement { kind, span });
        }
    }
}

const SET_OPENINGS: &[(bool, &[&str])] = &[
    (false, &["EXECUTE", "STATEMENT", "SET", "BEGIN"]),
    (false, &["BEGIN", "STATEMENT", "SET"]),
    (false, &["STATEMENT", "SET", "BEGIN"]),
    (true, &["EXPLAIN", "STATEMENT", "SET", "BEGIN"]),
    (true, &["EXPLAIN", "PLAN", "FOR", "STATEMENT", "SET", "BEGIN"]),
];

/// The position after the first `count` tokens that aren't white space.
fn position_after(tokens: &[TokenWithSpan], count: usize) -> usize {
    let solid = tokens.iter().enumerate().filter(|(_, token)| !is_space(token));
    solid.take(count).last().map_or(0, |(at, _)| at + 1)
}

fn piece_of(source: &Source, rest: Piece) -> Option<Piece> {
    let semicolon = rest.closed.then_some(rest.end);
    piece(source, rest.tokens, semicolon)
}

fn only_insert(kind: StatementKind, span: Span) -> Result<InsertStatement> {
    match kind {
        StatementKind::Insert(insert) => Ok(*insert),
        _ => Err(Diagnostic::error(Code::Syntax, "a statement set holds INSERT statements only").at(span)),
    }
}

fn read_one(source: &Source, piece: Piece) -> Result<StatementKind> {
    let mut cursor = Cursor::new(source, piece.tokens, piece.end);
    let kind = statement::parse(&mut cursor)?;
    cursor.expect_end()?;
    Ok(kind)
}
