//! Regular expressions as Java understands them, on engines that don't.
//!
//! ```text
//!   pattern ── no signs in it ──► a search for the text
//!          └── translate() ──► regex (linear time)
//!                         └──► fancy-regex, if it looks around, refers back or is possessive
//! ```
//!
//! What differs and is translated: `\d`, `\w`, `\s` and `\b` are ASCII in Java; `.` stops at every
//! line terminator; `$` also matches before a last line break; `\Q…\E`, `\uXXXX`, `\p{Alpha}`, …
//!
//! A pattern that Java refuses is [`PatternError::Invalid`] and most functions then answer NULL;
//! one that Java has and we don't is [`PatternError::Unsupported`], always an error.

use std::{collections::BTreeMap, sync::Arc, sync::Mutex};

use memchr::memmem;

use super::string_search::find_with;
use crate::EvalError;

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternError {
    /// Java would refuse it too.
    Invalid,
    /// Java knows this construct.
    Unsupported(String),
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct JavaRegex {
    engine: Engine,
    /// For texts that end with a line break, if the pattern has a `$`.
    before_line_break: Option<fancy_regex::Regex>,
}

#[derive(Debug)]
enum Engine {
    /// The empty pattern: matches between all characters.
    Nothing,
    /// A pattern that stands for itself.
    Literal(memmem::Finder<'static>),
    Plain(regex::Regex),
    Fancy(fancy_regex::Regex),
}

/// Byte ranges of the groups of one match; group 0 is the match.
type Groups = Vec<Option<(usize, usize)>>;

/// What means something else than itself in a pattern.
const SIGNS: [char; 14] = ['\\', '[', ']', '(', ')', '{', '}', '.', '*', '+', '?', '^', '$', '|'];

const PATTERNS_MAX: usize = 256;
/// How much the linear engine may allocate for one pattern.
const COMPILED_BYTES_MAX: usize = 16 << 20;

type Compiled = Result<Arc<JavaRegex>, PatternError>;

/// The pattern compiled, from a cache that all threads share. A batch asks it once per pattern that
/// it has, if they aren't many.
pub(super) fn compile(pattern: &str) -> Compiled {
    static CACHE: Mutex<BTreeMap<String, Compiled>> = Mutex::new(BTreeMap::new());
    let mut cache = CACHE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(known) = cache.get(pattern) {
        return known.clone();
    }
    let compiled = JavaRegex::new(pattern).map(Arc::new);
    if cache.len() >= PATTERNS_MAX {
        cache.pop_first();
    }
    cache.insert(pattern.to_owned(), compiled.clone());
    compiled
}

/// A pattern that a text must match from its beginning to its end, as Java's `matches` does.
#[derive(Debug, Clone)]
pub struct WholePattern(Arc<JavaRegex>);

impl WholePattern {
    /// The pattern compiled.
    ///
    /// # Errors
    /// What is wrong with it, for users.
    pub fn new(pattern: &str) -> Result<Self, String> {
        compile(&format!("\\A(?:{pattern})\\z")).map(Self).map_err(|error| match error {
            PatternError::Invalid => "is not a regular expression".to_owned(),
            PatternError::Unsupported(what) => format!("has {what}, which patterns here don't"),
        })
    }
    /// Whether the text matches.
    ///
    /// # Errors
    /// The pattern backtracks too much on this text.
    pub fn matches(&self, text: &str) -> Result<bool, EvalError> {
        self.0.is_match(text)
    }
}

impl JavaRegex {
    fn new(pattern: &str) -> Result<Self, PatternError> {
        if pattern.is_empty() {
            return Ok(Self { engine: Engine::Nothing, before_line_break: None });
        }
        if !pattern.contains(SIGNS) {
            let engine = Engine::Literal(memmem::Finder::new(pattern).into_owned());
            return Ok(Self { engine, before_line_break: None });
        }
        let translated = translate(pattern)?;
        let plain = translated.text.replace(END_MARK, "\\z");
        let engine = if translated.fancy {
            Engine::Fancy(fancy(&plain)?)
        } else {
            let built = regex::RegexBuilder::new(&plain).size_limit(COMPILED_BYTES_MAX).build();
            match built {
                Ok(it) => Engine::Plain(it),
                Err(regex::Error::CompiledTooBig(_)) => {
                    return Err(PatternError::Unsupported("a pattern this large".to_owned()));
                }
                Err(_) => return Err(PatternError::Invalid),
            }
        };
        let before_line_break = if translated.text.contains(END_MARK) {
            Some(fancy(
                &translated.text.replace(END_MARK, "(?=(?:\\r\\n|[\\n\\r\\x{85}\\x{2028}\\x{2029}])?\\z)"),
            )?)
        } else {
            None
        };
        Ok(Self { engine, before_line_break })
    }

    fn slow_for(&self, text: &str) -> Option<&fancy_regex::Regex> {
        match (&self.before_line_break, &self.engine) {
            (Some(it), _) if text.ends_with(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) => Some(it),
            (_, Engine::Fancy(it)) => Some(it),
            _ => None,
        }
    }

    /// Whether the pattern occurs in the text.
    ///
    /// # Errors
    /// The pattern backtracks too much on this text.
    pub(super) fn is_match(&self, text: &str) -> Result<bool, EvalError> {
        match (self.slow_for(text), &self.engine) {
            (Some(it), _) => it.is_match(text).map_err(too_hard),
            (None, Engine::Nothing) => Ok(true),
            (None, Engine::Literal(it)) => Ok(find_with(text.as_bytes(), it).is_some()),
            (None, Engine::Plain(it)) => Ok(it.is_match(text)),
            (None, Engine::Fancy(it)) => it.is_match(text).map_err(too_hard),
        }
    }

    /// The number of groups, without group 0.
    pub(super) fn group_count(&self) -> usize {
        match &self.engine {
            Engine::Nothing | Engine::Literal(_) => 0,
            Engine::Plain(it) => it.captures_len(),
            Engine::Fancy(it) => it.captures_len(),
        }
        .saturating_sub(1)
    }

    /// Calls `visit` with the range of each match, until it answers `false`.
    ///
    /// # Errors
    /// The pattern backtracks too much on this text.
    pub(super) fn each_match(
        &self,
        text: &str,
        mut visit: impl FnMut(usize, usize) -> bool,
    ) -> Result<(), EvalError> {
        match (self.slow_for(text), &self.engine) {
            (Some(it), _) | (None, Engine::Fancy(it)) => {
                for hit in it.find_iter(text) {
                    let hit = hit.map_err(too_hard)?;
                    if !visit(hit.start(), hit.end()) {
                        break;
                    }
                }
            }
            (None, Engine::Plain(it)) => {
                let _ = it.find_iter(text).all(|hit| visit(hit.start(), hit.end()));
            }
            (None, Engine::Literal(it)) => {
                let (mut from, width) = (0, it.needle().len());
                while let Some(at) = text.as_bytes().get(from..).and_then(|rest| find_with(rest, it)) {
                    if !visit(from + at, from + at + width) {
                        break;
                    }
                    from += at + width;
                }
            }
            (None, Engine::Nothing) => {
                let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                let _ = starts.into_iter().all(|at| visit(at, at));
            }
        }
        Ok(())
    }

    /// Calls `visit` with the groups of each match (the byte range that belongs to a group, if it
    /// took part), until it answers `false`.
    ///
    /// # Errors
    /// The pattern backtracks too much on this text.
    pub(super) fn each_groups(
        &self,
        text: &str,
        mut visit: impl FnMut(&dyn Fn(usize) -> Option<(usize, usize)>) -> bool,
    ) -> Result<(), EvalError> {
        match (self.slow_for(text), &self.engine) {
            (Some(it), _) | (None, Engine::Fancy(it)) => {
                let mut groups = Groups::new();
                for hit in it.captures_iter(text) {
                    let hit = hit.map_err(too_hard)?;
                    groups.clear();
                    groups.extend(hit.iter().map(|group| group.map(|it| (it.start(), it.end()))));
                    if !visit(&|group| groups.get(group).copied().flatten()) {
                        break;
                    }
                }
                Ok(())
            }
            (None, Engine::Plain(it)) => {
                each_plain_groups(it, text, visit);
                Ok(())
            }
            (None, Engine::Literal(_) | Engine::Nothing) => {
                self.each_match(text, |start, end| visit(&|group| (group == 0).then_some((start, end))))
            }
        }
    }
}

/// Every match with its groups, in one piece of memory.
fn each_plain_groups(
    regex: &regex::Regex,
    text: &str,
    mut visit: impl FnMut(&dyn Fn(usize) -> Option<(usize, usize)>) -> bool,
) {
    let mut places = regex.capture_locations();
    let (mut from, mut last_end) = (0, None);
    while from <= text.len() {
        let Some(hit) = regex.captures_read_at(&mut places, text, from) else { return };
        if hit.is_empty() && last_end == Some(hit.end()) {
            // Nothing right after a match is no match of its own.
            from = text
                .get(hit.end()..)
                .and_then(|it| it.chars().next())
                .map_or(text.len() + 1, |it| hit.end() + it.len_utf8());
            continue;
        }
        (from, last_end) = (hit.end(), Some(hit.end()));
        if !visit(&|group| places.get(group)) {
            return;
        }
    }
}

fn fancy(pattern: &str) -> Result<fancy_regex::Regex, PatternError> {
    fancy_regex::Regex::new(pattern).map_err(|_| PatternError::Invalid)
}

fn too_hard(error: fancy_regex::Error) -> EvalError {
    EvalError::new(format!("the regular expression gave up on this text: {error}"))
}

/// Stands for `$` until it is known which one is wanted.
const END_MARK: &str = "\u{E000}";

struct Translated {
    text: String,
    fancy: bool,
}

/// Where the translation stands.
struct Translator<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: String,
    fancy: bool,
    /// Depth of `[`.
    class_depth: usize,
    /// `(?s)`: the dot matches everything.
    dot_all: bool,
    /// `(?m)`: `^` and `$` match at every line.
    multi_line: bool,
}

fn translate(pattern: &str) -> Result<Translated, PatternError> {
    let mut it = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        fancy: false,
        class_depth: 0,
        dot_all: false,
        multi_line: false,
    };
    let mut after_quantifier = false;
    while let Some(c) = it.rest.next() {
        let quantifier = it.class_depth == 0 && matches!(c, '*' | '+' | '?' | '}');
        if c == '+' && after_quantifier {
            it.fancy = true;
        }
        after_quantifier = quantifier && !(after_quantifier && matches!(c, '+' | '?'));
        it.next(c)?;
    }
    Ok(Translated { text: it.out, fancy: it.fancy })
}

const LINE_ENDS: &str = "\\n\\r\\x{85}\\x{2028}\\x{2029}";

impl Translator<'_> {
    fn next(&mut self, c: char) -> Result<(), PatternError> {
        match c {
            '\\' => self.escape()?,
            '[' => {
                self.class_depth += 1;
                self.out.push('[');
                if self.rest.next_if_eq(&'^').is_some() {
                    self.out.push('^');
                }
            }
            ']' if self.class_depth > 0 => {
                self.class_depth -= 1;
                self.out.push(']');
            }
            // Set operations of the engine that Java doesn't have.
            '~' if self.class_depth > 0 => self.out.push_str("\\~"),
            _ if self.class_depth > 0 => self.out.push(c),
            '(' => self.group(),
            '.' if self.dot_all => self.out.push('.'),
            '.' => self.out.push_str(&format!("[^{LINE_ENDS}]")),
            '$' if self.multi_line => self.out.push('$'),
            '$' => self.out.push_str(END_MARK),
            _ => self.out.push(c),
        }
        Ok(())
    }

    /// After `(`: notes look-around and flags.
    fn group(&mut self) {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return;
        }
        self.out.push('?');
        match self.rest.peek() {
            Some('=' | '!' | '>') => self.fancy = true,
            Some('<') => {
                self.rest.next();
                self.out.push('<');
                self.fancy |= matches!(self.rest.peek(), Some('=' | '!'));
            }
            _ => {
                let mut on = true;
                while let Some(flag) = self.rest.next_if(|it| "idmsuxU-".contains(*it)) {
                    match flag {
                        '-' => on = false,
                        's' => self.dot_all = on,
                        'm' => self.multi_line = on,
                        _ => {}
                    }
                    // `u`, `d` and `U` are about Unicode case, `\n` and classes: nothing to set.
                    if !matches!(flag, 'u' | 'd' | 'U') {
                        self.out.push(flag);
                    }
                }
            }
        }
    }

    /// After `\`.
    fn escape(&mut self) -> Result<(), PatternError> {
        let c = self.rest.next().ok_or(PatternError::Invalid)?;
        let in_class = self.class_depth > 0;
        let class = |set: &str| if in_class { set.to_owned() } else { format!("[{set}]") };
        match c {
            'd' => self.out.push_str(&class("0-9")),
            'w' => self.out.push_str(&class("a-zA-Z0-9_")),
            's' => self.out.push_str(&class(" \\t\\n\\x0B\\f\\r")),
            'h' => self.out.push_str(&class(
                " \\t\\xA0\\x{1680}\\x{180e}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}",
            )),
            'v' => self.out.push_str(&class("\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}")),
            'D' => self.out.push_str("[^0-9]"),
            'W' => self.out.push_str("[^a-zA-Z0-9_]"),
            'S' => self.out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
            'R' => self.out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r\\x{85}\\x{2028}\\x{2029}])"),
            'b' if !in_class => self.out.push_str("\\b"),
            'B' if !in_class => self.out.push_str("\\B"),
            'A' | 'z' if !in_class => self.out.extend(['\\', c]),
            'Z' if !in_class => self.out.push_str(END_MARK),
            'G' if !in_class => {
                self.fancy = true;
                self.out.push_str("\\G");
            }
            'Q' => self.quoted(),
            'E' => {}
            'e' => self.out.push_str("\\x1B"),
            'a' | 'f' | 'n' | 'r' | 't' => self.out.extend(['\\', c]),
            'x' | 'u' => self.code_point(c)?,
            '0' => self.octal()?,
            'c' => {
                let control = self.rest.next().ok_or(PatternError::Invalid)?;
                self.out.push_str(&format!("\\x{{{:x}}}", u32::from(control) ^ 64));
            }
            'p' | 'P' => self.property(c == 'P')?,
            '1'..='9' if !in_class => {
                self.fancy = true;
                self.out.extend(['\\', c]);
            }
            'k' if !in_class => {
                self.fancy = true;
                self.out.push_str("\\k");
            }
            'X' | 'N' => return Err(PatternError::Unsupported(format!("\\{c}"))),
            _ if c.is_ascii_alphanumeric() => return Err(PatternError::Invalid),
            _ => self.literal(c),
        }
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii() && !c.is_ascii_alphanumeric() {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
        } else {
            self.out.push(c);
        }
    }

    /// `\Q…\E`
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                return;
            }
            self.literal(c);
        }
    }

    /// `\xhh`, `\x{h…}`, `\uhhhh`
    fn code_point(&mut self, kind: char) -> Result<(), PatternError> {
        let digits: String = if kind == 'x' && self.rest.next_if_eq(&'{').is_some() {
            self.rest.by_ref().take_while(|it| *it != '}').collect()
        } else {
            self.rest.by_ref().take(if kind == 'x' { 2 } else { 4 }).collect()
        };
        let code = u32::from_str_radix(&digits, 16).map_err(|_| PatternError::Invalid)?;
        if char::from_u32(code).is_none() {
            return Err(PatternError::Unsupported(format!("the surrogate \\u{digits}")));
        }
        self.out.push_str(&format!("\\x{{{code:x}}}"));
        Ok(())
    }

    /// `\0n`, `\0nn`, `\0mnn`
    fn octal(&mut self) -> Result<(), PatternError> {
        let mut code = None;
        while let Some(digit) = self.rest.next_if(|it| matches!(it, '0'..='7')) {
            code = Some(code.unwrap_or(0) * 8 + u32::from(digit) - u32::from('0'));
            if code.is_some_and(|it| it > 31) {
                break;
            }
        }
        let code = code.ok_or(PatternError::Invalid)?;
        self.out.push_str(&format!("\\x{{{code:x}}}"));
        Ok(())
    }

    /// `\p{…}` and `\pL`
    fn property(&mut self, negated: bool) -> Result<(), PatternError> {
        let name: String = if self.rest.next_if_eq(&'{').is_some() {
            self.rest.by_ref().take_while(|it| *it != '}').collect()
        } else {
            self.rest.next().ok_or(PatternError::Invalid)?.to_string()
        };
        let hat = if negated { "^" } else { "" };
        let posix = [
            "Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank",
            "Cntrl", "XDigit", "Space",
        ];
        if posix.contains(&name.as_str()) {
            self.out.push_str(&format!("[[:{hat}{}:]]", name.to_ascii_lowercase()));
            return Ok(());
        }
        let unicode = match name.as_str() {
            "javaLowerCase" => "Lowercase",
            "javaUpperCase" => "Uppercase",
            "javaWhitespace" => "White_Space",
            it if it.starts_with("java")
                || it.starts_with("In")
                || it.starts_with("block=")
                || it.starts_with("blk=") =>
            {
                return Err(PatternError::Unsupported(format!("\\p{{{name}}}")));
            }
            it => it.strip_prefix("Is").unwrap_or(it),
        };
        self.out.push_str(&format!("\\{}{{{unicode}}}", if negated { 'P' } else { 'p' }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<String> {
        let mut hit = None;
        compile(pattern)
            .unwrap()
            .each_match(text, |start, end| {
                hit = Some(text[start..end].to_owned());
                false
            })
            .unwrap();
        hit
    }

    #[test]
    fn java_classes_are_ascii() {
        assert_eq!(found("\\d+", "٣12"), Some("12".into()));
        assert_eq!(found("[\\w&&[^a]]+", "ab_é"), Some("b_".into()));
        assert_eq!(found("\\p{Alpha}+", "1ab"), Some("ab".into()));
        assert_eq!(found("\\Qa.b\\E", "axb a.b"), Some("a.b".into()));
        assert_eq!(found("\\u0041", "xA"), Some("A".into()));
    }

    #[test]
    fn dollar_matches_before_a_last_line_break() {
        assert_eq!(found("b$", "ab\n"), Some("b".into()));
        assert_eq!(found("a$", "a\nb"), None);
        assert_eq!(found("(?m)a$", "a\nb"), Some("a".into()));
        assert_eq!(found("a.b", "a\rb"), None);
        assert_eq!(found("(?s)a.b", "a\nb"), Some("a\nb".into()));
    }

    #[test]
    fn what_only_backtracking_can_do() {
        assert_eq!(found("a(?=b)", "acab"), Some("a".into()));
        assert_eq!(found("(.)\\1", "abccd"), Some("cc".into()));
        assert_eq!(found("a++b", "aab"), Some("aab".into()));
        assert_eq!(found("a++a", "aaa"), None);
    }

    #[test]
    fn refuses_what_java_refuses_and_names_what_it_lacks() {
        assert_eq!(compile("(").err(), Some(PatternError::Invalid));
        assert!(matches!(compile("\\p{InGreek}").err(), Some(PatternError::Unsupported(_))));
    }
}
