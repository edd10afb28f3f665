//! What `flott run --output csv` prints: RFC 4180, with NULL as an empty field without quotes.

/// A field: `None` is NULL.
pub type Field = Option<String>;

/// All records, the header line first.
///
/// # Errors
/// Where the text isn't CSV.
pub fn parse(text: &str) -> Result<Vec<Vec<Field>>, String> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = field(rest)?;
        record.push(field);
        let line_end = ["\r\n", "\n"].iter().find_map(|end| after.strip_prefix(*end));
        rest = match (after.strip_prefix(','), line_end) {
            (Some(after), _) if after.is_empty() => {
                record.push(None);
                after
            }
            (Some(after), _) => after,
            (None, Some(after)) => {
                records.push(std::mem::take(&mut record));
                after
            }
            (None, None) if after.is_empty() => after,
            (None, None) => {
                return Err(format!("text behind a closing quote in record {}", records.len() + 1));
            }
        };
    }
    if !record.is_empty() {
        records.push(record);
    }
    Ok(records)
}

/// The field at the start, and what follows it.
fn field(text: &str) -> Result<(Field, &str), String> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        let (value, after) = match value.strip_suffix('\r') {
            Some(shorter) if after.starts_with('\n') => (shorter, after),
            _ => (value, after),
        };
        return Ok(((!value.is_empty()).then(|| value.to_string()), after));
    };
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quote that is never closed")?;
        value.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return Ok((Some(value), after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_the_empty_string() {
        let records = parse("a,b\r\n1,\n\"\",\"x \"\"y\"\"\nz\"").unwrap();
        let text = |it: &str| Some(it.to_string());
        assert_eq!(records, [[text("a"), text("b")], [text("1"), None], [text(""), text("x \"y\"\nz")]]);
        assert!(parse("\"open").is_err());
    }
}
