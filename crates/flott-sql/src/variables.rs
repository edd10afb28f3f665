//! `${NAME}`, `${NAME:-default}`, `${env:NAME}`, `${file:PATH}` in a script.
//!
//! ```text
//!   'path' = '${DIR:-/data}/in',      -v DIR=/tmp     'path' = '/tmp/in',
//!   'password' = '${env:DB_PW}'   ───────────────►   'password' = 'it''s'     (span in Source::secrets)
//!   -- ${NOT} here                                    -- ${NOT} here
//! ```
//!
//! - Comments are left alone; hints (`/*+ … */`) are not comments.
//! - Inside a string a value's quotes are doubled, so that no value can end the string. Outside,
//!   values are put in as they are (a table's name, a list of columns).
//! - `$${` stands for `${`.
//! - Later spans refer to the text after substitution.

use std::{collections::BTreeMap, io, path::Path};

use flott_types::{Code, Diagnostic, Result, Span, closest};

use crate::Source;

/// Fills the variables of a script.
///
/// `env` gives environment variables, `read_file` the text of a file (its last line break is
/// dropped); both make secrets, which are never printed.
///
/// # Errors
/// [`Code::UndefinedVariable`], with spans into `text`: the first place, the others related.
pub fn substitute(
    name: &str,
    text: &str,
    vars: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Source> {
    let mut filler = Filler {
        text,
        vars,
        env,
        read_file,
        out: String::with_capacity(text.len()),
        secrets: Vec::new(),
        error: None,
    };
    filler.fill();
    if let Some(error) = filler.error {
        return Err(error);
    }
    let mut source = Source::new(name, filler.out);
    source.secrets = filler.secrets;
    Ok(source)
}

struct Filler<'a> {
    text: &'a str,
    vars: &'a BTreeMap<String, String>,
    env: &'a dyn Fn(&str) -> Option<String>,
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    out: String,
    secrets: Vec<Span>,
    error: Option<Box<Diagnostic>>,
}

/// Where a place in the script is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Code,
    String,
    QuotedName,
    LineComment,
    BlockComment,
}

impl Filler<'_> {
    fn fill(&mut self) {
        let mut place = Place::Code;
        let mut at = 0;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let commented = matches!(place, Place::LineComment | Place::BlockComment);
            if !commented && rest.starts_with("$${") {
                self.out.push_str("${");
                at += 3;
                continue;
            }
            if !commented && rest.starts_with("${") {
                at = self.variable(at, place);
                continue;
            }
            let length;
            (place, length) = step(place, rest);
            self.out.push_str(&rest[..length]);
            at += length;
        }
    }

    /// Fills the `${…}` that stands at `at`; returns where the text goes on.
    fn variable(&mut self, at: usize, place: Place) -> usize {
        let Some(length) = self.text[at..].find('}') else {
            let span = Span::new(at, at + 2);
            let error =
                Diagnostic::error(Code::UndefinedVariable, "the variable has no closing '}'").at(span);
            self.fail(error.help("write $${ for a literal ${"), span);
            self.out.push_str("${");
            return at + 2;
        };
        let span = Span::new(at, at + length + 1);
        match self.value(&self.text[at + 2..at + length]) {
            Ok((value, secret)) => {
                let start = self.out.len();
                match place {
                    Place::String => self.out.push_str(&value.replace('\'', "''")),
                    Place::QuotedName => self.out.push_str(&value.replace('`', "``")),
                    _ => self.out.push_str(&value),
                }
                if secret {
                    self.secrets.push(Span::new(start, self.out.len()));
                }
            }
            Err(error) => self.fail(error.at(span), span),
        }
        span.end
    }

    /// A variable's value, and whether it is a secret.
    fn value(&self, inside: &str) -> Result<(String, bool)> {
        let undefined = |message: String| Diagnostic::error(Code::UndefinedVariable, message);
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if let Some(variable) = name.strip_prefix("env:") {
            return match ((self.env)(variable), default) {
                (Some(value), _) => Ok((value, true)),
                (None, Some(default)) => Ok((default.to_string(), false)),
                (None, None) => Err(undefined(format!("environment variable '{variable}' is not set"))
                    .help(format!("set it, or give a default: ${{env:{variable}:-default}}"))),
            };
        }
        if let Some(path) = inside.strip_prefix("file:") {
            let text = (self.read_file)(Path::new(path))
                .map_err(|error| undefined(format!("cannot read '{path}': {error}")))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            return Ok((text.strip_suffix('\r').unwrap_or(text).to_string(), true));
        }
        match (self.vars.get(name), default) {
            (Some(value), _) => Ok((value.clone(), false)),
            (None, Some(default)) => Ok((default.to_string(), false)),
            (None, None) => {
                let it = undefined(format!("variable '{name}' has no value"));
                Err(match closest(name, self.vars.keys().map(String::as_str)) {
                    Some(hit) => it.help(format!("did you mean '{hit}'?")),
                    None => it.help(format!(
                        "give it one with -v {name}=VALUE, or a default: ${{{name}:-default}}"
                    )),
                })
            }
        }
    }

    fn fail(&mut self, error: Box<Diagnostic>, span: Span) {
        self.error = Some(match self.error.take() {
            None => error,
            Some(first) => first.related(span, error.message),
        });
    }
}

/// The place after the next piece of text, and how long that piece is.
fn step(place: Place, rest: &str) -> (Place, usize) {
    let one = rest.chars().next().map_or(0, char::len_utf8);
    match place {
        Place::Code if rest.starts_with("--") => (Place::LineComment, 2),
        Place::Code if rest.starts_with("/*+") => (Place::Code, 3),
        Place::Code if rest.starts_with("/*") => (Place::BlockComment, 2),
        Place::Code if rest.starts_with('\'') => (Place::String, 1),
        Place::Code if rest.starts_with('`') => (Place::QuotedName, 1),
        Place::LineComment if rest.starts_with('\n') => (Place::Code, 1),
        Place::BlockComment if rest.starts_with("*/") => (Place::Code, 2),
        // A doubled quote ends the string and opens it again: the same in the end.
        Place::String if rest.starts_with('\'') => (Place::Code, 1),
        Place::QuotedName if rest.starts_with('`') => (Place::Code, 1),
        _ => (place, one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<Source> {
        let vars = BTreeMap::from([
            ("DIR".to_string(), "/tmp".to_string()),
            ("WHO".to_string(), "it's".to_string()),
        ]);
        let env = |name: &str| (name == "PW").then(|| "geheim".to_string());
        let read = |path: &Path| match path.to_str() {
            Some("/key") => Ok("k1\n".to_string()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        substitute("test", text, &vars, &env, &read)
    }

    #[test]
    fn variables_defaults_and_escapes() {
        let text = |it: &str| fill(it).map(|source| source.text);
        assert_eq!(text("'${DIR}/in' ${NO:-x y} $${DIR}").unwrap(), "'/tmp/in' x y ${DIR}");
        assert_eq!(text("'${WHO}' ${WHO}").unwrap(), "'it''s' it's");
        assert_eq!(text("-- ${NO}\n/* ${NO} */ '--' '${DIR}'").unwrap(), "-- ${NO}\n/* ${NO} */ '--' '/tmp'");
        assert_eq!(text("t /*+ OPTIONS('a'='${DIR}') */").unwrap(), "t /*+ OPTIONS('a'='/tmp') */");
    }

    #[test]
    fn secrets_are_masked() {
        let source = fill("SET 'a' = '${env:PW}', 'ü${file:/key}' ${env:NO:-d}").unwrap();
        assert_eq!(source.text, "SET 'a' = 'geheim', 'ük1' d");
        assert_eq!(source.masked_text(), "SET 'a' = '******', 'ü**' d");
        assert!(source.is_secret(Span::new(10, 18)) && !source.is_secret(Span::new(0, 5)));
    }

    #[test]
    fn undefined_variables_are_told_all_at_once() {
        let text = "SELECT ${DRI}, ${env:X}, ${file:/none}, ${open";
        let error = fill(text).unwrap_err();
        let span = error.span.unwrap();
        assert_eq!(
            (error.message.as_str(), &text[span.start..span.end]),
            ("variable 'DRI' has no value", "${DRI}")
        );
        assert_eq!(error.help, ["did you mean 'DIR'?"]);
        assert_eq!(error.related.len(), 3);
        assert_eq!(error.related[0].text, "environment variable 'X' is not set");
    }
}
