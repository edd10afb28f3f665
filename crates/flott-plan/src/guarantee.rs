//! What a pipeline really promises about the rows of a sink.

use std::fmt;

use flott_connector::Registry;
use flott_types::{Code, Diagnostic, Options, Result, Span, TableDescription};

use crate::SinkTarget;

/// A promise, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Every row once: rows are published with the checkpoint that they belong to.
    ExactlyOnce,
    /// Every row at most once: rows are published with their checkpoint, but a source can't be read
    /// again, so what it gave and no checkpoint holds is lost when the run dies.
    AtMostOnce,
    /// Every row at least once: a run that dies leaves nothing behind in this sink, and the next
    /// run begins anew.
    AtLeastOnceAtEnd,
    /// Every row at least once: rows are visible as they come, so a second run shows them again.
    AtLeastOnceImmediate,
    /// Rows are thrown away.
    Nothing,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::ExactlyOnce => "exactly-once (rows are published with their checkpoint)",
            Guarantee::AtMostOnce => {
                "at-most-once (rows are published with their checkpoint, but a source can't be read again)"
            }
            Guarantee::AtLeastOnceAtEnd => {
                "at-least-once (published when the run ends; without checkpoints a run that dies is begun anew)"
            }
            Guarantee::AtLeastOnceImmediate => "at-least-once (rows are visible as they come)",
            Guarantee::Nothing => "none (rows are thrown away)",
        })
    }
}

impl Guarantee {
    /// One word for scripts.
    pub fn word(self) -> &'static str {
        match self {
            Guarantee::ExactlyOnce => "exactly-once",
            Guarantee::AtMostOnce => "at-most-once",
            Guarantee::AtLeastOnceAtEnd | Guarantee::AtLeastOnceImmediate => "at-least-once",
            Guarantee::Nothing => "none",
        }
    }
}

/// The guarantee of a sink; `replays`: all sources can be read again from where they were.
pub fn of(target: &SinkTarget, replays: bool, registry: &Registry, options: &Options) -> Result<Guarantee> {
    let SinkTarget::Table(table) = target else { return Ok(Guarantee::AtLeastOnceImmediate) };
    Ok(match registry.connector_of(table)?.sink_guarantee() {
        flott_connector::SinkGuarantee::Repeatable if has_checkpoints(options) && !replays => {
            Guarantee::AtMostOnce
        }
        flott_connector::SinkGuarantee::Repeatable if has_checkpoints(options) => Guarantee::ExactlyOnce,
        flott_connector::SinkGuarantee::Repeatable => Guarantee::AtLeastOnceAtEnd,
        flott_connector::SinkGuarantee::Immediate => Guarantee::AtLeastOnceImmediate,
        flott_connector::SinkGuarantee::Discards => Guarantee::Nothing,
    })
}

/// With a directory for them, checkpoints are on; not in batch mode, as in Flink.
fn has_checkpoints(options: &Options) -> bool {
    let batch = options.get("execution.runtime-mode").is_some_and(|it| it.eq_ignore_ascii_case("batch"));
    !batch && options.get("execution.checkpointing.dir").is_some_and(|directory| !directory.is_empty())
}

/// `connector 'x' can't be read`
pub fn unsupported_use(table: &TableDescription, span: Span, verb: &str, connector: &str) -> Box<Diagnostic> {
    let message = format!("table '{}' can't be {verb}: connector '{connector}' doesn't do that", table.name);
    Diagnostic::error(Code::UnsupportedUse, message)
        .at(span)
        .help("`flott list connectors` shows what each can do")
}
