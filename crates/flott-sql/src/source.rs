//! A script's text, and where things stand in it.

use flott_types::Span;

/// Shorter secrets are masked in the script's text only.
const SECRET_BYTES_MIN: usize = 3;

/// A script after `${…}` substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What users call it: a path, `<stdin>`, `<command line>`.
    pub name: String,
    /// The text.
    pub text: String,
    /// Byte ranges that came from `${env:…}` or `${file:…}`: masked wherever text is shown.
    pub secrets: Vec<Span>,
    line_starts: Vec<usize>,
}

impl Source {
    /// A script.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, secrets: Vec::new(), line_starts }
    }
    /// The byte offset of a tokenizer's location (line and column from 1, columns in characters).
    pub fn offset(&self, line: u64, column: u64) -> usize {
        let Some(index) = usize::try_from(line).ok().and_then(|line| line.checked_sub(1)) else { return 0 };
        let Some(&start) = self.line_starts.get(index) else { return self.text.len() };
        let skip = usize::try_from(column).unwrap_or(1).saturating_sub(1);
        let rest = &self.text[start..];
        rest.char_indices().nth(skip).map_or(self.text.len(), |(at, _)| start + at)
    }
    /// A tokenizer's span as bytes; empty if the tokenizer has none.
    pub fn span(&self, span: sqlparser::tokenizer::Span) -> Span {
        if span.start.line == 0 {
            return Span::default();
        }
        Span::new(
            self.offset(span.start.line, span.start.column),
            self.offset(span.end.line, span.end.column),
        )
    }
    /// The text in a span.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }
    /// Whether a span holds text that came from `${env:…}` or `${file:…}`.
    pub fn is_secret(&self, span: Span) -> bool {
        self.secrets.iter().any(|secret| secret.start < span.end && span.start < secret.end)
    }
    /// The text with every secret shown as `*`, each byte for byte: places stay what they are.
    pub fn masked_text(&self) -> String {
        let mut masked = String::with_capacity(self.text.len());
        let mut at = 0;
        for secret in &self.secrets {
            masked.push_str(self.text.get(at..secret.start).unwrap_or(""));
            // Line breaks stay, so that line numbers do too.
            masked.extend(self.slice(*secret).bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }));
            at = secret.end;
        }
        masked.push_str(self.text.get(at..).unwrap_or(""));
        masked
    }
    /// Any other text (a message, a plan) with every secret in it shown as `*`. Secrets too short to
    /// tell from chance are left: masking every digit 1 would hide nothing and garble all.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_string();
        for secret in &self.secrets {
            let value = self.slice(*secret);
            // In a string literal quotes are doubled; a message has the value itself.
            for shown in [value.to_string(), value.replace("''", "'")] {
                if shown.len() >= SECRET_BYTES_MIN {
                    masked = masked.replace(&shown, crate::session::MASK);
                }
            }
        }
        masked
    }
    /// Line and column (from 1, in characters) of a byte offset.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|&start| start <= offset).max(1);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |text| text.chars().count());
        (line, column + 1)
    }
}
