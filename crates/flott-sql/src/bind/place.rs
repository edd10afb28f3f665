//! Places in the script, widened from the parser's tokens to whole constructs.
//!
//! ```text
//!   CAST(a + 1 AS INT)   x IS NOT NULL   INTERVAL '1' DAY
//!        └───┘           └               └──────┘  └        what the parser gives
//!   └────────────────┘   └───────────┘   └────────────┘     what an error underlines
//! ```
//!
//! A widened place is for people: when the text is unusual (comments between the words), it
//! stays as narrow as the parser's.

use flott_types::Span;
use sqlparser::ast::{self, Spanned};

use super::Binder;

impl Binder<'_> {
    /// Where an expression stands.
    pub(super) fn place(&self, expr: &ast::Expr) -> Span {
        let inner = self.span(expr.span());
        self.widen(expr, inner)
    }

    /// The place of a construct whose parts cover `inner`.
    pub(super) fn widen(&self, expr: &ast::Expr, inner: Span) -> Span {
        use ast::Expr as E;
        match expr {
            E::Nested(_) | E::Tuple(_) | E::Subquery(_) => self.in_brackets(inner, b'(', b')'),
            E::Extract { .. } => self.call("EXTRACT", inner),
            E::Ceil { .. } => self.call("CEIL", inner),
            E::Floor { .. } => self.call("FLOOR", inner),
            E::Position { .. } => self.call("POSITION", inner),
            E::Substring { .. } => self.call("SUBSTR", inner),
            E::Trim { .. } => self.call("TRIM", inner),
            E::Overlay { .. } => self.call("OVERLAY", inner),
            E::Exists { .. } => self.call("EXISTS", inner),
            E::Interval(_) => self.interval(inner),
            E::TypedString(_) => self.since_word(&["DATE", "TIMESTAMP", "TIME", "TIMESTAMP_LTZ"], inner),
            E::UnaryOp { op: ast::UnaryOperator::Not, .. } => self.since_word(&["NOT"], inner),
            E::UnaryOp { .. } => self.since_sign(inner),
            E::IsNull(_) | E::IsNotNull(_) => self.to_word("NULL", inner),
            E::IsTrue(_) | E::IsNotTrue(_) => self.to_word("TRUE", inner),
            E::IsFalse(_) | E::IsNotFalse(_) => self.to_word("FALSE", inner),
            E::IsUnknown(_) | E::IsNotUnknown(_) => self.to_word("UNKNOWN", inner),
            E::InList { .. } | E::InSubquery { .. } => self.to_bracket(inner, b')'),
            E::Array(_) => self.array(inner),
            E::Function(function) => self.function(function, inner),
            E::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
                Some(ast::AccessExpr::Subscript(_)) => self.to_bracket(inner, b']'),
                _ => inner,
            },
            _ => inner,
        }
    }

    fn function(&self, function: &ast::Function, inner: Span) -> Span {
        let ast::FunctionArguments::List(_) = function.args else { return inner };
        self.called(self.span(function.name.span()), inner)
    }

    /// From a function's name to the bracket that closes its arguments.
    pub(super) fn called(&self, name: Span, inner: Span) -> Span {
        let open = self.skip_space(name.end);
        match self.byte(open) {
            Some(b'(') => self.until_match(name.start, open, b'(', b')').unwrap_or(inner),
            Some(b'[') => self.until_match(name.start, open, b'[', b']').unwrap_or(inner),
            _ => inner,
        }
    }

    /// From the keyword before `inner` to the bracket that closes its arguments.
    fn call(&self, keyword: &str, inner: Span) -> Span {
        let found = self.word_before(keyword, inner.start).and_then(|start| {
            let open = start + self.source.text.get(start..inner.start)?.find('(')?;
            self.until_match(start, open, b'(', b')')
        });
        found.unwrap_or(inner)
    }

    fn array(&self, inner: Span) -> Span {
        let found = self.word_before("ARRAY", inner.start).and_then(|start| {
            let open = start + self.source.text.get(start..)?.find('[')?;
            self.until_match(start, open, b'[', b']')
        });
        found.unwrap_or(inner)
    }

    fn in_brackets(&self, inner: Span, open: u8, close: u8) -> Span {
        let start =
            self.source.text.get(..inner.start).and_then(|text| text.bytes().rposition(|b| b == open));
        start.and_then(|start| self.until_match(start, start, open, close)).unwrap_or(inner)
    }

    /// `INTERVAL`, and the unit behind the value.
    fn interval(&self, inner: Span) -> Span {
        const UNITS: [&str; 10] =
            ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "TO", "MILLISECOND"];
        let mut end = inner.end;
        loop {
            let start = self.skip_space(end);
            let word = self.word_at(start);
            let known = UNITS.iter().any(|unit| {
                word.eq_ignore_ascii_case(unit)
                    || word.len() == unit.len() + 1 && word.to_ascii_uppercase().starts_with(unit)
            });
            if !known {
                break;
            }
            end = start + word.len();
            let open = self.skip_space(end);
            if self.byte(open) == Some(b'(') {
                end = self.until_match(open, open, b'(', b')').map_or(end, |it| it.end);
            }
        }
        self.since_word(&["INTERVAL"], Span::new(inner.start, end))
    }

    /// From the nearest of these words before `inner`.
    fn since_word(&self, words: &[&str], inner: Span) -> Span {
        let start = words.iter().filter_map(|word| self.word_before(word, inner.start)).max();
        Span::new(start.unwrap_or(inner.start), inner.end)
    }

    /// From a `-` or `+` right before `inner`.
    fn since_sign(&self, inner: Span) -> Span {
        let before = self.source.text.get(..inner.start).unwrap_or("").trim_end();
        if before.ends_with(['-', '+']) { Span::new(before.len() - 1, inner.end) } else { inner }
    }

    /// To this word, when it stands close behind `inner`.
    fn to_word(&self, word: &str, inner: Span) -> Span {
        let behind = self.source.text.get(inner.end..).unwrap_or("");
        let upper: String = behind.chars().take(40).collect::<String>().to_ascii_uppercase();
        upper.find(word).map_or(inner, |at| Span::new(inner.start, inner.end + at + word.len()))
    }

    fn to_bracket(&self, inner: Span, close: u8) -> Span {
        let end = self.skip_space(inner.end);
        if self.byte(end) == Some(close) { Span::new(inner.start, end + 1) } else { inner }
    }

    /// A clause: from its keyword before `inner` to the end of `inner`.
    pub(super) fn clause(&self, keyword: &str, inner: Span) -> Span {
        if inner.is_empty() {
            return inner;
        }
        self.since_word(&[keyword], inner)
    }

    /// The first place of a word at or behind `from`, for clauses that the parser keeps no place of.
    pub(super) fn word_behind(&self, word: &str, from: usize) -> Span {
        let text = self.source.text.get(from..).unwrap_or("").to_ascii_uppercase();
        text.find(word).map_or(Span::default(), |at| Span::new(from + at, from + at + word.len()))
    }

    /// Where a word starts, the last before `end`.
    fn word_before(&self, word: &str, end: usize) -> Option<usize> {
        let text = self.source.text.as_bytes().get(..end)?;
        (0..=text.len().checked_sub(word.len())?).rev().find(|&at| {
            let starts = at == 0 || !text[at - 1].is_ascii_alphanumeric() && text[at - 1] != b'_';
            starts && text[at..at + word.len()].eq_ignore_ascii_case(word.as_bytes())
        })
    }

    fn word_at(&self, at: usize) -> &str {
        let rest = self.source.text.get(at..).unwrap_or("");
        let len = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        &rest[..len]
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.source.text.as_bytes().get(at).copied()
    }

    fn skip_space(&self, at: usize) -> usize {
        let rest = self.source.text.get(at..).unwrap_or("");
        at + (rest.len() - rest.trim_start().len())
    }

    /// From `start` to the bracket that closes the one at `open`; quoted text doesn't count.
    fn until_match(&self, start: usize, open: usize, opening: u8, closing: u8) -> Option<Span> {
        let mut depth = 0usize;
        let mut quote: Option<u8> = None;
        for (offset, byte) in self.source.text.as_bytes().get(open..)?.iter().copied().enumerate() {
            match quote {
                Some(open) if byte == open => quote = None,
                Some(_) => {}
                None if byte == b'\'' || byte == b'`' => quote = Some(byte),
                None if byte == opening => depth += 1,
                None if byte == closing => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(Span::new(start, open + offset + 1));
                    }
                }
                None => {}
            }
        }
        None
    }
}
