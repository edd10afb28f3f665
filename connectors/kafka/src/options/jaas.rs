//! `sasl.jaas.config`: how Java's clients are told who they are.
//!
//! ```text
//!   org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="b";
//!   └─ module: only its last name counts                    └─ flag  └─ options
//! ```
//!
//! Nothing of it is ever in a message but the name of the module and names of options.

use std::collections::BTreeMap;

/// A login module and its options.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// Without its package: `PlainLoginModule`.
    pub module: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

impl Login {
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words { rest: text };
        let module = words.next()?.ok_or("expected a login module")?;
        let flag = words.next()?.unwrap_or_default();
        if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
            return Err("expected 'required' behind the login module".into());
        }
        let mut options = BTreeMap::new();
        while let Some(name) = words.next()? {
            if words.sign() != Some('=') {
                return Err(format!("expected '=' behind '{name}'"));
            }
            let value = words.next()?.ok_or_else(|| format!("expected a value behind '{name}='"))?;
            options.insert(name, value);
        }
        if words.sign() != Some(';') {
            return Err("expected ';' at the end".into());
        }
        let module = module.rsplit('.').next().unwrap_or_default().to_string();
        Ok(Self { module, options })
    }

    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// A quotation mark as it stands in Java's source text. SQL has no such escapes, but Flink's documentation writes
/// its examples so.
const ESCAPED: &str = "\\\"";

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    /// The next word, quoted or not; none: a sign or the end comes.
    fn next(&mut self) -> Result<Option<String>, String> {
        self.rest = self.rest.trim_start();
        for quote in ['"', '\''] {
            if let Some(quoted) = self.rest.strip_prefix(quote) {
                return self.quoted(quoted, quote).map(Some);
            }
        }
        if let Some(quoted) = self.rest.strip_prefix(ESCAPED) {
            let (word, rest) = quoted.split_once(ESCAPED).ok_or("a quoted value doesn't end")?;
            self.rest = rest;
            return Ok(Some(word.to_string()));
        }
        let ends = |sign: char| sign.is_whitespace() || matches!(sign, '=' | ';');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let word = word.to_string();
        self.rest = rest;
        Ok((!word.is_empty()).then_some(word))
    }

    fn quoted(&mut self, quoted: &str, quote: char) -> Result<String, String> {
        let mut word = String::new();
        let mut signs = quoted.char_indices();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '\\' => word.extend(signs.next().map(|(_, sign)| sign)),
                sign if sign == quote => {
                    let rest = self.rest.len() - quoted.len() + at + quote.len_utf8();
                    self.rest = self.rest.get(rest..).unwrap_or_default();
                    return Ok(word);
                }
                sign => word.push(sign),
            }
        }
        Err("a quoted value doesn't end".into())
    }

    /// The next sign.
    fn sign(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        let mut signs = self.rest.chars();
        let sign = signs.next()?;
        self.rest = signs.as_str();
        Some(sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_with_options() {
        let text = "org.apache.kafka.common.security.scram.ScramLoginModule required\n  username=\"al\\\"ice\" \
                    password='s;e=c' tokenauth=true ;";
        let Ok(login) = Login::parse(text) else { panic!() };
        assert_eq!(login.module, "ScramLoginModule");
        assert_eq!(login.option("username"), Some("al\"ice"));
        assert_eq!(login.option("password"), Some("s;e=c"));
        assert_eq!(login.option("tokenauth"), Some("true"));
    }

    #[test]
    fn as_it_stands_in_source_text() {
        let text = r#"a.PlainLoginModule required username=\"al ice\" password=\"se;cret\";"#;
        let Ok(login) = Login::parse(text) else { panic!() };
        assert_eq!((login.option("username"), login.option("password")), (Some("al ice"), Some("se;cret")));
    }

    #[test]
    fn what_is_wrong_is_said_without_values() {
        for bad in [
            "",
            "M",
            "M required",
            "M required a",
            "M required a=",
            "M required password=\"secret",
            "M a=b;",
            r#"M required password=\"secret;"#,
        ] {
            let why = Login::parse(bad).err().unwrap();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
