//! Files as a table that is looked up: held in memory as a whole, read again now and then.
//!
//! What is read is read as a source reads it: every format, directories, globs, partitions, metadata.

use std::{sync::Arc, time::Duration};

use flott_connector::{
    CacheSettings, Changelog, FullCache, LookupRequest, LookupRetry, OnError, Registry, ReloadFailure,
    ScanRequest, TableDescription,
};
use flott_types::{Code, Diagnostic, Result};

use crate::{
    settings::{self, LookupSettings},
    source::FileSource,
};

/// Between two tries of a load, where no hint says it.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Begins to read the table.
///
/// # Errors
/// `InvalidOption`, `MissingOption`, `UnsupportedUse`
pub(crate) fn start(
    table: &TableDescription,
    request: LookupRequest,
    registry: &Registry,
) -> Result<FullCache> {
    let settings = LookupSettings::new(&table.options)?;
    let changelog = registry.format_of(table)?.changelog(&table.options)?;
    let mut projection = request.projection.clone();
    let mut place = |column: usize| -> usize {
        projection.iter().position(|it| *it == column).unwrap_or_else(|| {
            projection.push(column);
            projection.len() - 1
        })
    };
    let keys = request.keys.iter().map(|column| place(*column)).collect();
    let upsert_key = match changelog {
        Changelog::Upsert => Some(primary_key(table)?.into_iter().map(&mut place).collect()),
        Changelog::Append | Changelog::Retract => None,
    };
    let schema = table.schema().project(&projection);
    // Of changes only what they amount to is filtered: one that the predicate drops may end a row.
    let (pushed, own) = match changelog {
        Changelog::Append => (request.filter, None),
        Changelog::Upsert | Changelog::Retract => (None, request.filter),
    };
    let scan = ScanRequest {
        projection,
        schema: schema.clone(),
        filter: pushed,
        batch_rows: request.batch_rows,
        parallelism: 1,
        even_time: false,
        job_options: request.job_options,
    };
    // Each load is a look at what is there now.
    let mut bounded = table.clone();
    bounded.options.remove(settings::MONITOR_INTERVAL);
    let source = Arc::new(FileSource::new(&bounded, scan, registry)?);
    let retry = LookupRetry { delay: RETRY_DELAY, attempts_max: settings.retries_max };
    FullCache::start(
        source,
        CacheSettings {
            name: table.name.clone(),
            schema,
            wanted: request.projection.len(),
            keys,
            upsert_key,
            filter: own,
            interval: settings.interval,
            retry: request.retry.unwrap_or(retry),
            on_failure: if settings.fails { ReloadFailure::Fail } else { ReloadFailure::Keep },
            strict: OnError::from_options(&table.options)? == OnError::Fail,
            context: request.context,
            clock: request.clock,
        },
    )
}

fn primary_key(table: &TableDescription) -> Result<Vec<usize>> {
    let position = |name: &String| table.columns.iter().position(|column| column.name == *name);
    let key: Option<Vec<usize>> = table.primary_key.iter().map(position).collect();
    key.filter(|key| !key.is_empty()).ok_or_else(|| {
        let message = format!("table '{}' holds changes by key, but declares no primary key", table.name);
        Diagnostic::error(Code::InvalidDefinition, message)
            .at(table.span)
            .help("declare PRIMARY KEY (…) NOT ENFORCED")
    })
}

#[cfg(test)]
mod tests;
