//! One statement's tokens, read from left to right, with errors as diagnostics.

use flott_types::{Code, DataType, Diagnostic, OptionValue, Options, Result, Span};
use sqlparser::{
    ast::{Expr, Query},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Whitespace},
};

use super::{
    ast::{Name, QualifiedName},
    dialect::{FlinkDialect, accept},
    error::{diagnostic, is_space, token_at},
    tokens::HINT_QUOTE,
    types,
};
use crate::Source;

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 200;

/// A reader of one statement.
pub(crate) struct Cursor<'a> {
    pub(crate) source: &'a Source,
    tokens: Vec<TokenWithSpan>,
    parser: Parser<'a>,
    /// What to underline when the statement ends too early.
    end: Span,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a Source, tokens: Vec<TokenWithSpan>, end: Span) -> Self {
        let parser = parser_of(tokens.clone());
        Self { source, tokens, parser, end }
    }

    fn fail(&self, error: &ParserError) -> Box<Diagnostic> {
        diagnostic(self.source, &self.tokens, self.end, error)
    }

    fn run<T>(&mut self, read: impl FnOnce(&mut Parser) -> Result<T, ParserError>) -> Result<T> {
        read(&mut self.parser).map_err(|error| self.fail(&error))
    }

    /// Where the next token stands (at the end: [`Self::end`]).
    pub(crate) fn peek_span(&self) -> Span {
        match self.parser.peek_token_ref() {
            token if token.token == Token::EOF => self.end,
            token => self.source.span(token.span),
        }
    }
    /// Where the token before stands.
    pub(crate) fn last_span(&self) -> Span {
        // The parser's current index may stand on white space after a backward step.
        let at = self.parser.index().min(self.tokens.len());
        let token = self.tokens[..at].iter().rev().find(|token| !is_space(token));
        token.map_or(Span::default(), |token| self.source.span(token.span))
    }
    /// From `start` to the token before.
    pub(crate) fn since(&self, start: Span) -> Span {
        Span::new(start.start, self.last_span().end.max(start.start))
    }
    pub(crate) fn at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }
    /// The tokens that are left, white space left out.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &TokenWithSpan> {
        self.tokens[self.parser.index().min(self.tokens.len())..].iter().filter(|token| !is_space(token))
    }

    /// Consumes these words if all of them come next.
    pub(crate) fn accept(&mut self, words: &[&str]) -> bool {
        accept(&mut self.parser, words)
    }
    pub(crate) fn accept_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }
    /// Passes over the next token.
    pub(crate) fn skip(&mut self) {
        self.parser.advance_token();
    }
    /// Whether these words come next.
    pub(crate) fn peek(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, text)| {
            matches!(&self.parser.peek_nth_token_ref(n).token,
                Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(text))
        })
    }
    pub(crate) fn peek_token(&self, token: &Token) -> bool {
        self.parser.peek_token_ref().token == *token
    }
    /// # Errors
    /// Other words come next.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<Span> {
        let start = self.peek_span();
        for word in words {
            if !self.accept(&[word]) {
                return Err(self.expected(word));
            }
        }
        Ok(self.since(start))
    }
    pub(crate) fn expect_token(&mut self, token: &Token) -> Result<()> {
        self.run(|parser| parser.expect_token(token).map(|_| ()))
    }
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.expected("';' or the end of the statement")) }
    }
    /// `expected …, found …` at the next token.
    pub(crate) fn expected(&self, what: &str) -> Box<Diagnostic> {
        let found = self.parser.peek_token();
        match self.parser.expected::<()>(what, found) {
            Err(error) => self.fail(&error),
            Ok(()) => Diagnostic::error(Code::Internal, "expected a token"),
        }
    }

    /// # Errors
    /// No name comes next.
    pub(crate) fn name(&mut self) -> Result<Name> {
        let token = self.parser.peek_token();
        match token.token {
            Token::Word(word) if word.quote_style != Some(HINT_QUOTE) => {
                self.parser.advance_token();
                Ok(Name { value: word.value, span: self.source.span(token.span) })
            }
            _ => Err(self.expected("a name")),
        }
    }
    /// A name of one to three parts. A hint behind it is left in place.
    pub(crate) fn qualified(&mut self) -> Result<QualifiedName> {
        let start = self.peek_span();
        let mut parts = vec![self.name()?];
        while self.peek_token(&Token::Period) && !self.hint_follows() {
            self.parser.advance_token();
            parts.push(self.name()?);
        }
        let span = self.since(start);
        if parts.len() > 3 {
            return Err(Diagnostic::error(
                Code::Syntax,
                "a name has at most three parts: catalog, database, table",
            )
            .at(span)
            .help("if dots belong to the name, put it in back-ticks"));
        }
        Ok(QualifiedName { parts, span })
    }
    fn hint_follows(&self) -> bool {
        matches!(&self.parser.peek_nth_token_ref(1).token, Token::Word(word) if word.quote_style == Some(HINT_QUOTE))
    }
    /// `/*+ OPTIONS(…) */`, if it comes next.
    pub(crate) fn hint(&mut self) -> Result<Options> {
        if !(self.peek_token(&Token::Period) && self.hint_follows()) {
            return Ok(Options::new());
        }
        self.parser.advance_token();
        let span = self.source.span(self.parser.next_token().span);
        super::hints::parse_hint(self.source, span)
    }
    /// A string in single quotes.
    pub(crate) fn string(&mut self) -> Result<Name> {
        let token = self.parser.peek_token();
        match token.token {
            Token::SingleQuotedString(value) | Token::UnicodeStringLiteral(value) => {
                self.parser.advance_token();
                Ok(Name { value, span: self.source.span(token.span) })
            }
            _ => Err(self.expected("a string in single quotes")),
        }
    }
    /// `(name, …)`
    pub(crate) fn names(&mut self) -> Result<Vec<Name>> {
        self.list(Self::name)
    }
    /// `(item, …)`, at least one.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = Vec::new();
        loop {
            items.push(item(self)?);
            if self.accept_token(&Token::Comma) {
                continue;
            }
            if !self.accept_token(&Token::RParen) {
                return Err(self.expected("',' or ')'"));
            }
            return Ok(items);
        }
    }
    /// `('key' = 'value', …)`
    pub(crate) fn options(&mut self) -> Result<Options> {
        let pairs = self.list(|cursor| {
            let key = cursor.string()?;
            cursor.expect_token(&Token::Eq)?;
            Ok((key, cursor.string()?))
        })?;
        let mut options = Options::new();
        for (key, value) in pairs {
            let entry = option_value(self.source, &key, value);
            options.insert(key.value, entry);
        }
        Ok(options)
    }
    fn hint_on_a_query(&self) -> Option<Span> {
        let rest = self.tokens.get(self.parser.index()..)?;
        let mut before = None;
        for token in rest {
            if query_hint(token) && before != Some(Keyword::SELECT) {
                return Some(self.source.span(token.span));
            }
            if !is_space(token) {
                before = match &token.token {
                    Token::Word(word) => Some(word.keyword),
                    _ => None,
                };
            }
        }
        None
    }
    pub(crate) fn data_type(&mut self) -> Result<DataType> {
        self.run(types::parse_type)
    }
    /// An expression and where it stands.
    pub(crate) fn expr(&mut self) -> Result<(Expr, Span)> {
        let start = self.peek_span();
        let expr = self.run(|parser| parser.parse_expr())?;
        Ok((expr, self.since(start)))
    }
    /// A query and where it stands.
    pub(crate) fn query(&mut self) -> Result<(Box<Query>, Span)> {
        let start = self.peek_span();
        if let Some(at) = self.hint_on_a_query() {
            return Err(Diagnostic::error(Code::Syntax, "a hint cannot stand here")
                .at(at)
                .help("hints stand behind SELECT, or behind a table's name"));
        }
        match self.parser.parse_query() {
            Ok(query) => Ok((query, self.since(start))),
            Err(error) => Err(self.fail(&refine(&self.tokens, error))),
        }
    }
}

/// A hint that [`super::tokens`] left as a comment: it stands behind no table's name. Behind SELECT
/// it is a query block's.
fn query_hint(token: &TokenWithSpan) -> bool {
    matches!(&token.token,
        Token::Whitespace(Whitespace::MultiLineComment(text)) if text.starts_with('+'))
}

fn parser_of<'a>(tokens: Vec<TokenWithSpan>) -> Parser<'a> {
    Parser::new(&FlinkDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens)
}

/// An option's value with its places; secret if the value came from `${env:…}` or `${file:…}`.
pub(crate) fn option_value(source: &Source, key: &Name, value: Name) -> OptionValue {
    OptionValue {
        secret: source.is_secret(value.span),
        value: value.value,
        key_span: key.span,
        value_span: value.span,
    }
}

/// `sqlparser` tries a parenthesis first as a query, then as a join, and reports what it met
/// the second time. Parse the outermost open query alone for the true error.
fn refine(tokens: &[TokenWithSpan], error: ParserError) -> ParserError {
    let at = token_at(tokens, &error).unwrap_or(tokens.len().saturating_sub(1));
    let Some(start) = open_query(tokens, at) else { return error };
    let inner: Vec<TokenWithSpan> = tokens[start..].to_vec();
    let mut parser = parser_of(inner.clone());
    match parser.parse_query() {
        Err(inner_error) => refine(&inner, inner_error),
        Ok(_) => parser.expect_token(&Token::RParen).err().unwrap_or(error),
    }
}

/// The first token of the outermost `(SELECT …` that is open at `at`.
fn open_query(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let mut open: Vec<Option<usize>> = Vec::new();
    for (index, token) in tokens.iter().enumerate().take(at + 1) {
        match &token.token {
            Token::LParen => {
                let next = (index + 1..tokens.len()).find(|&next| !is_space(&tokens[next]));
                open.push(next.filter(|&next| starts_query(&tokens[next])));
            }
            // The offending token may be the parenthesis that closes the query too early.
            Token::RParen if index < at => {
                open.pop();
            }
            _ => {}
        }
    }
    open.into_iter().flatten().next()
}

fn starts_query(token: &TokenWithSpan) -> bool {
    matches!(&token.token,
        Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
}
