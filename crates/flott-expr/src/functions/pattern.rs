//! LIKE and SIMILAR TO.
//!
//! A constant pattern is prepared once per batch, and the shapes that most patterns have get
//! their own test:
//!
//! ```text
//!   'abc'     equal          '%abc%'   contains (memmem)
//!   'abc%'    starts with    'a%b_c'   matched step by step
//!   '%abc'    ends with
//! ```
//!
//! As in Flink there is no escape character unless ESCAPE names one.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    buffer::BooleanBuffer,
    compute::not,
};
use flott_types::DataType;
use memchr::memmem::Finder;
use regex::Regex;

use super::{Call, Function, FunctionKind, Signature, kernel, signature, string_search::find_with};
use crate::{EvalError, Expr};

/// This file's functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    pattern(
        "LIKE",
        &["string LIKE pattern [ESCAPE char]"],
        like,
        "Whether the whole text matches the pattern: '%' stands for any text, '_' for one character.",
        &[("'abc' LIKE 'a%'", "TRUE")],
    ),
    pattern(
        "NOT LIKE",
        &["string NOT LIKE pattern [ESCAPE char]"],
        |call| negated(like(call)?),
        "Whether the text does not match the pattern.",
        &[("'abc' NOT LIKE 'a%'", "FALSE")],
    ),
    pattern(
        "SIMILAR TO",
        &["string SIMILAR TO pattern [ESCAPE char]"],
        similar,
        "Whether the whole text matches the SQL regular expression.",
        &[("'abc' SIMILAR TO '(a|b)%'", "TRUE")],
    ),
    pattern(
        "NOT SIMILAR TO",
        &["string NOT SIMILAR TO pattern [ESCAPE char]"],
        |call| negated(similar(call)?),
        "Whether the text does not match the SQL regular expression.",
        &[("'abc' NOT SIMILAR TO 'x%'", "TRUE")],
    ),
];

const fn pattern(
    name: &'static str,
    signatures: &'static [&'static str],
    evaluate: fn(&Call<'_>) -> Result<ArrayRef, EvalError>,
    doc: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Function {
    Function {
        name,
        aliases: &[],
        kind: FunctionKind::Comparison,
        signatures,
        resolve: texts,
        evaluate,
        deterministic: true,
        doc,
        examples,
    }
}

fn texts(args: &[Expr]) -> Option<Signature> {
    if !(2..=3).contains(&args.len()) {
        return None;
    }
    signature::string_args(args, args.len(), DataType::boolean())
}

fn negated(array: ArrayRef) -> Result<ArrayRef, EvalError> {
    let Some(values) = array.as_any().downcast_ref::<BooleanArray>() else {
        return Err(EvalError::internal("a pattern test isn't BOOLEAN"));
    };
    Ok(Arc::new(not(values)?))
}

/// One step of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Exactly(char),
    AnyOne,
    AnyMany,
}

fn steps(pattern: &str, escape: Option<char>) -> Result<Vec<Step>, EvalError> {
    let mut out = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            char if Some(char) == escape => match chars.next() {
                Some(next) if next == '%' || next == '_' || Some(next) == escape => Step::Exactly(next),
                _ => {
                    return Err(EvalError::new(format!(
                        "invalid escape sequence in the pattern '{pattern}'"
                    )));
                }
            },
            '%' if out.last() == Some(&Step::AnyMany) => continue,
            '%' => Step::AnyMany,
            '_' => Step::AnyOne,
            other => Step::Exactly(other),
        });
    }
    Ok(out)
}

/// A prepared pattern.
enum Like {
    Equal(String),
    Starts(String),
    Ends(String),
    Contains(Box<Finder<'static>>),
    Steps(Vec<Step>),
}

impl Like {
    fn new(pattern: &str, escape: Option<char>) -> Result<Self, EvalError> {
        let steps = steps(pattern, escape)?;
        let text = |steps: &[Step]| -> Option<String> {
            steps.iter().map(|step| if let Step::Exactly(char) = step { Some(*char) } else { None }).collect()
        };
        if let Some(all) = text(&steps) {
            return Ok(Like::Equal(all));
        }
        Ok(match steps.as_slice() {
            [Step::AnyMany, middle @ .., Step::AnyMany] if text(middle).is_some() => {
                let middle = text(middle).unwrap_or_default();
                Like::Contains(Box::new(Finder::new(middle.as_bytes()).into_owned()))
            }
            [start @ .., Step::AnyMany] if text(start).is_some() => {
                Like::Starts(text(start).unwrap_or_default())
            }
            [Step::AnyMany, end @ ..] if text(end).is_some() => Like::Ends(text(end).unwrap_or_default()),
            _ => Like::Steps(steps),
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Like::Equal(all) => text == all,
            Like::Starts(start) => text.as_bytes().starts_with(start.as_bytes()),
            Like::Ends(end) => text.as_bytes().ends_with(end.as_bytes()),
            Like::Contains(middle) => find_with(text.as_bytes(), middle).is_some(),
            Like::Steps(steps) => matches_steps(steps, text),
        }
    }
}

/// Goes along text and pattern; on a mismatch lets the last `%` take one character more.
fn matches_steps(steps: &[Step], text: &str) -> bool {
    let (mut at, mut rest) = (0, text.chars());
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        if steps.get(at) == Some(&Step::AnyMany) {
            at += 1;
            retry = Some((at, rest.clone()));
            continue;
        }
        let mut ahead = rest.clone();
        let matched = match (steps.get(at), ahead.next()) {
            (None, None) => return true,
            (Some(Step::Exactly(wanted)), Some(char)) => *wanted == char,
            (Some(Step::AnyOne), Some(_)) => true,
            _ => false,
        };
        if matched {
            at += 1;
            rest = ahead;
            continue;
        }
        let Some((after, from)) = &mut retry else { return false };
        if from.next().is_none() {
            return false;
        }
        at = *after;
        rest = from.clone();
    }
}

fn escape_char(text: Option<&str>) -> Result<Option<char>, EvalError> {
    let Some(text) = text else { return Ok(None) };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(char), None) => Ok(Some(char)),
        _ => Err(EvalError::new(format!("'{text}' is no escape character: it must be one character"))),
    }
}

fn like(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    matched(call, Like::new, |prepared, text| prepared.matches(text))
}

fn similar(call: &Call<'_>) -> Result<ArrayRef, EvalError> {
    matched(call, similar_regex, |regex, text| regex.is_match(text))
}

/// Prepares the pattern (once, if it is a constant) and tests each text.
fn matched<P>(
    call: &Call<'_>,
    prepare: impl Fn(&str, Option<char>) -> Result<P, EvalError>,
    matches: impl Fn(&P, &str) -> bool,
) -> Result<ArrayRef, EvalError> {
    let texts = call.strings(0)?;
    let constant_escape = call.args.len() < 3 || call.literal_text(2).is_some();
    if let (Some(pattern), true) = (call.literal_text(1), constant_escape) {
        let prepared = prepare(pattern, escape_char(call.literal_text(2))?)?;
        return Ok(kernel::test_strings(texts, |text| matches(&prepared, text)));
    }
    let patterns = call.strings(1)?;
    let escapes = if call.args.len() > 2 { Some(call.strings(2)?) } else { None };
    let nulls = call.nulls();
    let mut last: Option<(&str, Option<char>, P)> = None;
    let mut values = arrow::array::BooleanBufferBuilder::new(call.rows);
    for row in 0..call.rows {
        if nulls.as_ref().is_some_and(|it| it.is_null(row)) {
            values.append(false);
            continue;
        }
        let (pattern, escape) = (patterns.value(row), escape_char(escapes.map(|it| it.value(row)))?);
        let prepared = match last.take() {
            Some((p, e, prepared)) if p == pattern && e == escape => prepared,
            _ => prepare(pattern, escape)?,
        };
        values.append(matches(&prepared, texts.value(row)));
        last = Some((pattern, escape, prepared));
    }
    let values: BooleanBuffer = values.finish();
    Ok(Arc::new(BooleanArray::new(values, nulls)))
}

/// A SQL regular expression in the `regex` crate's syntax.
fn similar_regex(pattern: &str, escape: Option<char>) -> Result<Regex, EvalError> {
    let mut out = String::from("(?s)^(?:");
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            char if Some(char) == escape => {
                out.push_str(&regex::escape(&chars.next().map(String::from).unwrap_or_default()));
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '|' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '-' | '^' | ',' => out.push(char),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push_str(")$");
    Regex::new(&out).map_err(|_| EvalError::new(format!("'{pattern}' is no valid SIMILAR TO pattern")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(text: &str, pattern: &str, escape: Option<char>) -> bool {
        Like::new(pattern, escape).unwrap().matches(text)
    }

    #[test]
    fn patterns_of_every_shape() {
        assert!(like("abc", "abc", None) && !like("abcd", "abc", None));
        assert!(like("abc", "a%", None) && like("abc", "%c", None) && like("abc", "%b%", None));
        assert!(like("abc", "%b_", None) && like("äbc", "_bc", None) && like("", "%", None));
        assert!(like("aXbXc", "a%b%c", None) && !like("aXbX", "a%b%c", None));
        assert!(like("a%", "a!%", Some('!')) && !like("ab", "a!%", Some('!')));
        assert!(!like("a%", r"a\%", None) && like(r"a\xyz", r"a\%", None));
        assert!(Like::new("a!b", Some('!')).is_err());
    }

    #[test]
    fn similar_to() {
        assert!(similar_regex("(a|b)%", None).unwrap().is_match("abc"));
        assert!(!similar_regex("a.c", None).unwrap().is_match("abc"));
    }
}
