//! JSON read without loss: members keep their order, numbers their spelling.
//!
//! ```text
//!   {"b": 1.50, "a": [true]}  ──►  Object([("b", Number("1.50")), ("a", Array([Boolean(true)]))])
//! ```

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json<'a> {
    Null,
    Boolean(bool),
    /// As it stands in the text.
    Number(&'a str),
    String(String),
    Array(Vec<Json<'a>>),
    Object(Vec<(String, Json<'a>)>),
}

/// Deeper nesting is refused: reading is recursive.
const DEPTH_MAX: usize = 128;

impl<'a> Json<'a> {
    /// The value that the text spells; `None` if it isn't JSON.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader { rest: text, repeated: false };
        let value = reader.value(0)?;
        reader.skip_space();
        reader.rest.is_empty().then_some(value)
    }

    /// The value that the text begins with, whatever follows, and whether an object in it has a
    /// name twice; `None` if it doesn't begin with JSON.
    pub(super) fn read_first(text: &'a str) -> Option<(Self, bool)> {
        let mut reader = Reader { rest: text, repeated: false };
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

    /// Whether it is an object or an array.
    pub(super) fn is_structured(&self) -> bool {
        matches!(self, Json::Array(_) | Json::Object(_))
    }
}

/// Appends the text as a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
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
    rest: &'a str,
    /// An object had a name twice; the last value counts.
    repeated: bool,
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.skip_space();
        match self.rest.as_bytes().first()? {
            b'{' if depth < DEPTH_MAX => self.object(depth),
            b'[' if depth < DEPTH_MAX => self.array(depth),
            b'"' => self.string().map(Json::String),
            b'-' | b'0'..=b'9' => self.number(),
            _ if self.eat("true") => Some(Json::Boolean(true)),
            _ if self.eat("false") => Some(Json::Boolean(false)),
            _ if self.eat("null") => Some(Json::Null),
            _ => None,
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut elements = Vec::new();
        self.eat("[");
        self.skip_space();
        if self.eat("]") {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.skip_space();
            if self.eat("]") {
                return Some(Json::Array(elements));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    /// Of members with the same name the last counts.
    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut members: Vec<(String, Json<'a>)> = Vec::new();
        self.eat("{");
        self.skip_space();
        if self.eat("}") {
            return Some(Json::Object(members));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.eat(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => {
                    self.repeated = true;
                    member.1 = value;
                }
                None => members.push((name, value)),
            }
            self.skip_space();
            if self.eat("}") {
                return Some(Json::Object(members));
            }
            if !self.eat(",") {
                return None;
            }
        }
    }

    /// `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`
    fn number(&mut self) -> Option<Json<'a>> {
        let all = self.rest;
        self.eat("-");
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if self.eat(".") {
            self.digits()?;
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            self.digits()?;
        }
        all.get(..all.len() - self.rest.len()).map(Json::Number)
    }

    fn digits(&mut self) -> Option<&'a str> {
        let width = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(width);
        self.rest = rest;
        (width > 0).then_some(digits)
    }

    fn string(&mut self) -> Option<String> {
        if !self.eat("\"") {
            return None;
        }
        let mut out = String::new();
        loop {
            let end = self.rest.find(|c| c == '"' || c == '\\' || c < ' ')?;
            let (plain, rest) = self.rest.split_at(end);
            out.push_str(plain);
            self.rest = rest;
            if self.eat("\"") {
                return Some(out);
            }
            if !self.eat("\\") {
                return None;
            }
            self.escape(&mut out)?;
        }
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let kind = self.rest.chars().next()?;
        self.rest = self.rest.get(kind.len_utf8()..)?;
        out.push(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.code_unit()?;
                let pair = (0xD800..0xDC00).contains(&first) && self.eat("\\u");
                let units = if pair { vec![first, self.code_unit()?] } else { vec![first] };
                char::decode_utf16(units).next()?.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        });
        Some(())
    }

    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.rest.get(..4).filter(|it| it.bytes().all(|it| it.is_ascii_hexdigit()))?;
        self.rest = self.rest.get(4..)?;
        u16::from_str_radix(digits, 16).ok()
    }
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
    fn what_is_not_json() {
        for text in
            ["", "x", "{", "[1,]", "01", "1.", "\"a", "{\"a\"}", "1 2", "\"\\x\"", "'a'", "\"\\u+123\""]
        {
            assert_eq!(Json::read(text), None, "{text}");
        }
        assert_eq!(Json::read(&"[".repeat(100_000)), None);
    }
}
