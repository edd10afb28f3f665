//! JSON read without loss: members keep their order, numbers their spelling.
//!
//! ```text
//!   {"b": 1.50, "a": [true]}  ──►  Object([("b", Number("1.50")), ("a", Array([Boolean(true)]))])
//! ```
//!
//! Where only a part is asked for, nothing is built: [`reach`] goes over the text once, and answers
//! which part of it lies at the path.

use std::borrow::Cow;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json<'a> {
    Null,
    Boolean(bool),
    /// As it stands in the text.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    /// Counted from 0, or negative: from the end.
    Element(i64),
}

/// Deeper nesting is refused: reading is recursive.
const DEPTH_MAX: usize = 128;

impl<'a> Json<'a> {
    /// The value that the text spells; `None` if it isn't JSON.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader::new(text);
        let value = reader.value(0)?;
        reader.is_done().then_some(value)
    }

    /// The value that the text begins with, whatever follows, and whether an object in it has a
    /// name twice; `None` if it doesn't begin with JSON.
    pub(super) fn read_first(text: &'a str) -> Option<(Self, bool)> {
        let mut reader = Reader::new(text);
        Some((reader.value(0)?, reader.repeated))
    }

    /// Appends the value as JSON text without spaces.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(text) => out.push_str(text),
            Json::String(text) => write_string(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The text of what lies at a path in JSON, if there is something; `None` if the text isn't JSON.
pub(super) fn reach<'a>(text: &'a str, path: &[Step]) -> Option<Option<&'a str>> {
    let mut reader = Reader::new(text);
    let found = reader.reach(path, 0)?;
    reader.is_done().then_some(found)
}

/// Whether JSON text, without space before it, is of an object or an array.
pub(super) fn is_structured(json: &str) -> bool {
    json.starts_with(['{', '['])
}

/// Appends the text as a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    if !text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1F' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that is next. Never within a character where text is taken out.
    at: usize,
    /// An object had a name twice; the last value counts.
    repeated: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, repeated: false }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// Whether nothing but space is left.
    fn is_done(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.skip_space();
        match self.peek()? {
            b'{' if depth < DEPTH_MAX => self.object(depth),
            b'[' if depth < DEPTH_MAX => {
                let mut elements = Vec::new();
                self.elements(|it, _| it.value(depth + 1).map(|value| elements.push(value)))?;
                Some(Json::Array(elements))
            }
            b'"' => self.string().map(|it| Json::String(it.decoded())),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.skip_number()?;
                self.text.get(start..self.at).map(Json::Number)
            }
            b't' => self.eat_word("true").map(|()| Json::Boolean(true)),
            b'f' => self.eat_word("false").map(|()| Json::Boolean(false)),
            b'n' => self.eat_word("null").map(|()| Json::Null),
            _ => None,
        }
    }

    /// Past a value, which must be JSON, without keeping it.
    fn skip(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'{' if depth < DEPTH_MAX => self.members(|it, _| it.skip(depth + 1)),
            b'[' if depth < DEPTH_MAX => self.elements(|it, _| it.skip(depth + 1)),
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.skip_number(),
            b't' => self.eat_word("true"),
            b'f' => self.eat_word("false"),
            b'n' => self.eat_word("null"),
            _ => None,
        }
    }

    /// Past a value, which must be JSON: the text of what lies at the path in it.
    fn reach(&mut self, path: &[Step], depth: usize) -> Option<Option<&'a str>> {
        self.skip_space();
        let start = self.at;
        let Some((step, rest)) = path.split_first() else {
            self.skip(depth)?;
            return Some(self.text.get(start..self.at));
        };
        let mut found = None;
        match (step, self.peek()?) {
            (Step::Member(wanted), b'{') if depth < DEPTH_MAX => {
                // Of members with the same name the last counts.
                self.members(|it, name| {
                    if name.is(wanted) {
                        found = it.reach(rest, depth + 1)?;
                        return Some(());
                    }
                    it.skip(depth + 1)
                })?;
            }
            (Step::Element(index), b'[') if depth < DEPTH_MAX => {
                let wanted = if *index < 0 {
                    let mut length = 0usize;
                    self.elements(|it, at| {
                        length = at + 1;
                        it.skip(depth + 1)
                    })?;
                    self.at = start;
                    index.checked_abs().and_then(|it| length.checked_sub(usize::try_from(it).ok()?))
                } else {
                    usize::try_from(*index).ok()
                };
                self.elements(|it, at| {
                    if Some(at) == wanted {
                        found = it.reach(rest, depth + 1)?;
                        return Some(());
                    }
                    it.skip(depth + 1)
                })?;
            }
            _ => self.skip(depth)?,
        }
        Some(found)
    }

    /// Past an array: `each` goes past an element, given its index.
    fn elements(&mut self, mut each: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.eat(b'[');
        self.skip_space();
        if self.eat(b']') {
            return Some(());
        }
        for index in 0.. {
            each(self, index)?;
            self.skip_space();
            if self.eat(b']') {
                return Some(());
            }
            if !self.eat(b',') {
                return None;
            }
        }
        None
    }

    /// Past an object: `each` goes past a member's value, given its name.
    fn members(&mut self, mut each: impl FnMut(&mut Self, Quoted<'a>) -> Option<()>) -> Option<()> {
        self.eat(b'{');
        self.skip_space();
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return None;
            }
            each(self, name)?;
            self.skip_space();
            if self.eat(b'}') {
                return Some(());
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    /// Of members with the same name the last counts.
    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut members: Vec<(Cow<'a, str>, Json<'a>)> = Vec::new();
        self.members(|it, name| {
            let name = name.decoded();
            let value = it.value(depth + 1)?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => {
                    it.repeated = true;
                    member.1 = value;
                }
                None => members.push((name, value)),
            }
            Some(())
        })?;
        Some(Json::Object(members))
    }

    /// `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`
    fn skip_number(&mut self) -> Option<()> {
        self.eat(b'-');
        let leading_zero = self.peek() == Some(b'0');
        if self.skip_digits()? > 1 && leading_zero {
            return None;
        }
        if self.eat(b'.') {
            self.skip_digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.skip_digits()?;
        }
        Some(())
    }

    /// At least one.
    fn skip_digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|it| it.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    /// Past a string.
    fn string(&mut self) -> Option<Quoted<'a>> {
        if !self.eat(b'"') {
            return None;
        }
        let (start, mut escaped) = (self.at, false);
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.skip_escape()?;
                }
                0..=0x1F => return None,
                _ => self.at += 1,
            }
        }
        let inside = self.text.get(start..self.at)?;
        self.at += 1;
        Some(Quoted { inside, escaped })
    }

    /// What follows a backslash.
    fn skip_escape(&mut self) -> Option<()> {
        let kind = self.peek()?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }
}

/// What stands between the quotes of a string that is known to be one.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    inside: &'a str,
    /// It has a backslash.
    escaped: bool,
}

impl<'a> Quoted<'a> {
    fn is(self, text: &str) -> bool {
        if self.escaped { self.decoded() == text } else { self.inside == text }
    }

    fn decoded(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.inside);
        }
        let (mut out, mut rest) = (String::with_capacity(self.inside.len()), self.inside);
        while let Some((plain, after)) = rest.split_once('\\') {
            out.push_str(plain);
            rest = decode_escape(after, &mut out).unwrap_or("");
        }
        out.push_str(rest);
        Cow::Owned(out)
    }
}

/// Appends what an escape means, given what follows its backslash, and answers what follows it.
fn decode_escape<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let mut rest = text.get(kind.len_utf8()..)?;
    out.push(match kind {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = code_unit(&mut rest)?;
            let second = if (0xD800..0xDC00).contains(&first) { rest.strip_prefix("\\u") } else { None };
            let units = match second {
                Some(after) => {
                    rest = after;
                    [first, code_unit(&mut rest)?]
                }
                None => [first, 0],
            };
            let count = 1 + usize::from(second.is_some());
            char::decode_utf16(units.into_iter().take(count)).next()?.unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => kind,
    });
    Some(rest)
}

fn code_unit(rest: &mut &str) -> Option<u16> {
    let digits = rest.get(..4)?;
    *rest = rest.get(4..)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Option<String> {
        let mut out = String::new();
        Json::read(text)?.write(&mut out);
        Some(out)
    }

    #[test]
    fn order_and_spelling_are_kept() {
        let text = r#" {"b" : 1.50, "a": [true, null, -0.0e+1, 12345678901234567890123], "c":"x\u00e9\n"} "#;
        let same = r#"{"b":1.50,"a":[true,null,-0.0e+1,12345678901234567890123],"c":"xé\n"}"#;
        assert_eq!(rewritten(text).as_deref(), Some(same));
        assert_eq!(rewritten(r#""\ud83d\ude00""#).as_deref(), Some("\"😀\""));
    }

    #[test]
    fn parts_are_found_without_reading_the_rest() {
        let member = |name: &str| Step::Member(name.into());
        let text = r#" {"a": 1, "b": [ 1, {"c\u0041": "x"} ], "a": 2 } "#;
        assert_eq!(reach(text, &[member("a")]), Some(Some("2")));
        assert_eq!(reach(text, &[member("b"), Step::Element(-1), member("cA")]), Some(Some("\"x\"")));
        assert_eq!(reach(text, &[member("b"), Step::Element(-3)]), Some(None));
        assert_eq!(reach(text, &[Step::Element(0)]), Some(None));
        assert_eq!(reach(r#"{"a": 1, "b": [1}"#, &[member("a")]), None);
        assert_eq!(reach(r#"{"a": 1} x"#, &[member("a")]), None);
    }

    #[test]
    fn what_is_not_json() {
        for text in
            ["", "x", "{", "[1,]", "01", "1.", "\"a", "{\"a\"}", "1 2", "\"\\x\"", "'a'", "\"\\u+123\""]
        {
            assert_eq!(Json::read(text), None, "{text}");
        }
        assert_eq!(Json::read(&"[".repeat(100_000)), None);
    }
}
