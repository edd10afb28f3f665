//! A script's text, and where things stand in it.

use flott_types::Span;

/// Shorter secrets are masked in the script's text only.
const SECRET_BYTES_MIN: usize = 3;
/// Characters between two places whose byte offsets are known.
const MARK_CHARS: usize = 64;

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
    /// For each line, how many characters of the text stand before it.
    line_chars: Vec<usize>,
    /// Byte offsets of every [`MARK_CHARS`]th character: a line may be as long as the text.
    marks: Vec<usize>,
}

impl Source {
    /// A script.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let (mut line_starts, mut line_chars, mut marks) = (vec![0], vec![0], Vec::new());
        for (number, (at, character)) in text.char_indices().enumerate() {
            if number % MARK_CHARS == 0 {
                marks.push(at);
            }
            if character == '\n' {
                line_starts.push(at + 1);
                line_chars.push(number + 1);
            }
        }
        Self { name: name.into(), text, secrets: Vec::new(), line_starts, line_chars, marks }
    }
    /// The byte offset of a tokenizer's location (line and column from 1, columns in characters).
    pub fn offset(&self, line: u64, column: u64) -> usize {
        let Some(index) = usize::try_from(line).ok().and_then(|line| line.checked_sub(1)) else { return 0 };
        let Some(&before) = self.line_chars.get(index) else { return self.text.len() };
        let character = before.saturating_add(usize::try_from(column).unwrap_or(1).saturating_sub(1));
        let Some(&mark) = self.marks.get(character / MARK_CHARS) else { return self.text.len() };
        let mut rest = self.text[mark..].char_indices();
        rest.nth(character % MARK_CHARS).map_or(self.text.len(), |(at, _)| mark + at)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_however_long_the_line() {
        let long = "é, ".repeat(100);
        let source = Source::new("s", format!("a\n{long}x\r\nlast"));
        assert_eq!(source.offset(1, 1), 0);
        assert_eq!(source.offset(2, 1), 2);
        for column in 1..=300 {
            let bytes: usize = long.chars().take(column - 1).map(char::len_utf8).sum();
            assert_eq!(source.offset(2, column as u64), 2 + bytes);
            assert_eq!(source.line_column(2 + bytes), (2, column));
        }
        assert_eq!(source.slice(Span::new(source.offset(3, 1), source.offset(3, 5))), "last");
        assert_eq!((source.offset(4, 1), source.offset(0, 0)), (source.text.len(), 0));
    }
}
