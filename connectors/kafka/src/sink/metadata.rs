//! Columns that are no part of a value: `timestamp`, `headers`, and `topic` where there are several.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampMillisecondType},
};
use flott_connector::{Header, TableDescription};
use flott_types::{Code, ColumnKind, Diagnostic, Result};

use super::{bundle::FindTopic, settings::Topics};
use crate::client::{NOW, TopicId};

/// Where such columns stand.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Metadata {
    pub timestamp: Option<usize>,
    pub headers: Option<usize>,
    pub topic: Option<usize>,
}

impl Metadata {
    pub(crate) fn new(columns: &[(usize, String)]) -> Self {
        let at = |key: &str| columns.iter().find(|(_, it)| it == key).map(|(at, _)| *at);
        Self { timestamp: at("timestamp"), headers: at("headers"), topic: at("topic") }
    }
}

/// Whether the table's columns can be written, and say where rows go.
///
/// # Errors
/// `InvalidDefinition`
pub(crate) fn check(table: &TableDescription, topics: &Topics) -> Result<()> {
    let mut topic = false;
    for column in &table.columns {
        let ColumnKind::Metadata { key, is_virtual: false } = &column.kind else { continue };
        match (key.as_str(), topics) {
            ("timestamp" | "headers", _) => {}
            ("topic", Topics::Listed(_) | Topics::Matching(_)) => topic = true,
            ("topic", Topics::One(_)) => {
                let message = "metadata 'topic' is written only where rows may go to several topics";
                return Err(refuse(message.into(), column.span));
            }
            _ => return Err(refuse(format!("metadata '{key}' can't be written"), column.span)),
        }
    }
    if topic || matches!(topics, Topics::One(_)) {
        return Ok(());
    }
    let message =
        format!("table '{}' has several topics and no column that says which: metadata 'topic'", table.name);
    Err(Diagnostic::error(Code::InvalidDefinition, message)
        .at(table.options.span(crate::options::TOPIC))
        .help("add `topic STRING METADATA`, or name one topic"))
}

fn refuse(message: String, span: flott_types::Span) -> Box<Diagnostic> {
    Diagnostic::error(Code::InvalidDefinition, message)
        .at(span)
        .help("declare the column VIRTUAL: then it is only read")
}

fn internal(error: &dyn std::fmt::Display) -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, format!("metadata of a sink: {error}"))
}

/// Times of messages, in milliseconds; NULL: the client's clock.
///
/// # Errors
/// `MessageRefused`: the epoch itself, which librdkafka takes for now.
pub(crate) fn timestamps(column: Option<&ArrayRef>, out: &mut Vec<i64>) -> Result<()> {
    let Some(column) = column else { return Ok(()) };
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let millis =
        cast(column, &DataType::Timestamp(TimeUnit::Millisecond, zone)).map_err(|it| internal(&it))?;
    let millis = millis.as_primitive::<TimestampMillisecondType>();
    if millis.iter().any(|it| it == Some(0)) {
        return Err(Diagnostic::error(
            Code::MessageRefused,
            "a row's timestamp is 1970-01-01 00:00:00.000, which can't be written: the client would put the \
             current time in its place",
        )
        .help("write NULL where the time of writing is meant, or another time where none is known"));
    }
    out.extend(millis.iter().map(|it| it.unwrap_or(NOW)));
    Ok(())
}

/// Headers of messages; those without a name are left out.
pub(crate) fn headers(column: Option<&ArrayRef>, out: &mut Vec<Vec<Header>>) -> Result<()> {
    let Some(column) = column else { return Ok(()) };
    let Some(maps) = column.as_map_opt() else { return Err(internal(&"headers are no map")) };
    let names = cast(maps.keys(), &DataType::Utf8).map_err(|it| internal(&it))?;
    let values = cast(maps.values(), &DataType::Binary).map_err(|it| internal(&it))?;
    let (names, values) = (names.as_string::<i32>(), values.as_binary::<i32>());
    out.extend(maps.offsets().windows(2).enumerate().map(|(row, bounds)| {
        let entries = match bounds {
            [start, end] if !maps.is_null(row) => *start..*end,
            _ => 0..0,
        };
        let entry = |at: i32| {
            let at = usize::try_from(at).ok().filter(|at| names.is_valid(*at))?;
            Some((names.value(at).to_string(), values.is_valid(at).then(|| values.value(at).to_vec())))
        };
        entries.filter_map(entry).collect()
    }));
    Ok(())
}

/// Topics of messages: one for all, or each its own.
pub(crate) fn topics(column: Option<&ArrayRef>, find: FindTopic<'_>, out: &mut Vec<TopicId>) -> Result<()> {
    let Some(column) = column else {
        out.push(find(None)?);
        return Ok(());
    };
    let names = cast(column, &DataType::Utf8).map_err(|it| internal(&it))?;
    for name in names.as_string::<i32>() {
        let Some(name) = name else {
            return Err(Diagnostic::error(Code::MessageRefused, "a row's topic is NULL")
                .help("each row of a table with several topics says which it goes to"));
        };
        out.push(find(Some(name))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMillisecondArray;

    use super::*;

    #[test]
    fn a_time_that_is_null_is_now_and_the_epoch_is_refused() {
        let times = |millis: [Option<i64>; 3]| {
            let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(millis.to_vec()));
            let mut out = Vec::new();
            timestamps(Some(&column), &mut out).map(|()| out)
        };
        assert_eq!(times([Some(1), None, Some(-1)]).unwrap(), [1, NOW, -1]);
        assert_eq!(times([Some(1), Some(0), None]).unwrap_err().code, Code::MessageRefused);
    }
}
