//! `SELECT /*+ STATE_TTL('a' = '1 d'), LOOKUP('table' = 'b', …) */`: what a query block is told.
//!
//! ```text
//!   SELECT /*+ … */ … FROM a JOIN b … GROUP BY …
//!            │             ├─ a join asks for its sides by name
//!            └─ known ─────┴─ an aggregation asks for its only input by name
//!               while the block is bound; inner blocks have their own
//! ```
//!
//! Hints of how a batch engine should join (`BROADCAST`, `SHUFFLE_HASH`, …) say nothing here and are
//! passed over; one that Flink doesn't know is an error, and so is a name that isn't in `FROM`.
//!
//! Source: Flink documentation, "Hints".

use std::time::Duration;

use flott_types::{Code, Diagnostic, Result, parse_boolean, parse_duration};
use sqlparser::ast::{self, OptimizerHintStyle, TableFactor};

use super::{Binder, order::Ordered, query::Around, scope::Scope};
use crate::{
    parse::{
        ast::Name,
        hints::{SelectHint, parse_select_hints, select_hint_spans},
        split_hints,
    },
    plan::{LookupHint, LookupRetry},
};

/// Hints of how to join that change no result and have no meaning for a stream.
const PASSED_OVER: [&str; 6] =
    ["BROADCAST", "SHUFFLE_HASH", "SHUFFLE_MERGE", "NEST_LOOP", "MULTI_JOIN", "NO_MULTI_JOIN"];

/// The hints of one query block.
#[derive(Debug, Default)]
pub(super) struct BlockHints {
    /// Milliseconds by the name of a table.
    state_ttl: Vec<(String, i64)>,
    lookups: Vec<(String, LookupHint)>,
    /// `FROM` names one table, so that an aggregation's input has a name.
    single: Option<String>,
}

impl Binder<'_> {
    /// A `SELECT` under its hints.
    pub(super) fn select_under_hints(
        &self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        around: &Around,
    ) -> Result<Ordered> {
        let hints = self.block_hints(select)?;
        self.hints.borrow_mut().push(hints);
        let rows = self.select(select, order, around);
        self.hints.borrow_mut().pop();
        rows
    }

    fn block_hints(&self, select: &ast::Select) -> Result<BlockHints> {
        let mut block = BlockHints::default();
        let names = self.names_in_from(select);
        if let ([item], [name]) = (select.from.as_slice(), names.as_slice())
            && item.joins.is_empty()
        {
            block.single = Some(name.clone());
        }
        let count = select
            .optimizer_hints
            .iter()
            .filter(|it| it.prefix.is_empty() && it.style == OptimizerHintStyle::MultiLine)
            .count();
        let start = self.span(select.select_token.0.span).end;
        for span in select_hint_spans(self.source, start, count) {
            for hint in parse_select_hints(self.source, span)? {
                self.take_hint(hint, &names, &mut block)?;
            }
        }
        Ok(block)
    }

    fn take_hint(&self, hint: SelectHint, names: &[String], block: &mut BlockHints) -> Result<()> {
        match hint.name.value.to_ascii_uppercase().as_str() {
            "STATE_TTL" => {
                for (name, value) in &hint.options {
                    check_name(name, names)?;
                    let ttl =
                        parse_duration(&value.value).map_err(|error| wrong("STATE_TTL", value, &error))?;
                    block.state_ttl.push((name.value.clone(), millis(ttl)));
                }
                Ok(())
            }
            "LOOKUP" => {
                let Some((_, table)) = hint.options.iter().find(|(key, _)| key.value == "table") else {
                    let message = "the hint LOOKUP needs the option 'table'";
                    return Err(Diagnostic::error(Code::MissingOption, message).at(hint.span));
                };
                check_name(table, names)?;
                block.lookups.push((table.value.clone(), lookup_hint(&hint)?));
                Ok(())
            }
            "OPTIONS" => Err(Diagnostic::not_supported("OPTIONS behind SELECT")
                .at(hint.name.span)
                .help("put /*+ OPTIONS('key' = 'value') */ behind a table's name")),
            name if PASSED_OVER.contains(&name) => {
                let message = format!("the hint {name} changes nothing here");
                self.report(
                    *Diagnostic::warning(Code::NotSupported, message)
                        .at(hint.span)
                        .help("it tells a batch engine how to join; streams are joined by key"),
                );
                Ok(())
            }
            _ => {
                Err(Diagnostic::error(Code::UnknownOption, format!("there is no hint '{}'", hint.name.value))
                    .at(hint.name.span)
                    .did_you_mean(&hint.name.value.to_ascii_uppercase(), ["STATE_TTL", "LOOKUP", "OPTIONS"]))
            }
        }
    }

    /// The names by which the block knows its tables.
    fn names_in_from(&self, select: &ast::Select) -> Vec<String> {
        let factors = select.from.iter().flat_map(|item| {
            std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
        });
        factors.filter_map(|factor| self.name_of(factor)).collect()
    }

    fn name_of(&self, factor: &TableFactor) -> Option<String> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::MatchRecognize { alias: Some(alias), .. } => Some(alias.name.value.clone()),
            TableFactor::Table { name, .. } => {
                let (parts, _) = split_hints(self.source, name).ok()?;
                parts.last().map(|it| it.value.clone())
            }
            _ => None,
        }
    }

    /// What `STATE_TTL` says about the sides of a join. A side that is a join itself has no name.
    pub(super) fn join_ttl(&self, left: &Scope, right: &Scope) -> [Option<i64>; 2] {
        let hints = self.hints.borrow();
        let Some(block) = hints.last() else { return [None; 2] };
        [left, right].map(|side| match side.relations.as_slice() {
            [only] => block.ttl_of(only.path.last()?),
            _ => None,
        })
    }

    /// What `STATE_TTL` says about the input of an aggregation.
    pub(super) fn aggregate_ttl(&self) -> Option<i64> {
        let hints = self.hints.borrow();
        let block = hints.last()?;
        block.ttl_of(block.single.as_ref()?)
    }

    /// The `LOOKUP` hint for a table.
    pub(super) fn lookup_hint(&self, right: &Scope) -> LookupHint {
        let hints = self.hints.borrow();
        let name = right.relations.first().and_then(|it| it.path.last());
        let found = hints.last().zip(name).and_then(|(block, name)| {
            block.lookups.iter().find(|(table, _)| table == name).map(|(_, hint)| hint.clone())
        });
        found.unwrap_or_default()
    }
}

impl BlockHints {
    fn ttl_of(&self, name: &str) -> Option<i64> {
        self.state_ttl.iter().rev().find(|(table, _)| table == name).map(|(_, ttl)| *ttl)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn check_name(name: &Name, names: &[String]) -> Result<()> {
    if names.contains(&name.value) {
        return Ok(());
    }
    let message = format!("the hint names '{}', which is not in FROM", name.value);
    let error = Diagnostic::error(Code::UnknownTable, message).at(name.span);
    Err(error.did_you_mean(&name.value, names.iter().map(String::as_str)))
}

fn wrong(hint: &str, value: &Name, why: &str) -> Box<Diagnostic> {
    let message = format!("'{}' is no value for the hint {hint}: {why}", value.value);
    Diagnostic::error(Code::InvalidOption, message).at(value.span)
}

/// The options of `LOOKUP`.
fn lookup_hint(hint: &SelectHint) -> Result<LookupHint> {
    let mut out = LookupHint { span: hint.span, ..LookupHint::default() };
    let (mut predicate, mut strategy, mut delay, mut attempts) = (None, None, None, None);
    for (key, value) in &hint.options {
        let boolean = || parse_boolean(&value.value).map_err(|error| wrong("LOOKUP", value, &error));
        let duration = || parse_duration(&value.value).map_err(|error| wrong("LOOKUP", value, &error));
        let number = || match value.value.trim().parse::<u32>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(wrong("LOOKUP", value, "expected a number above zero")),
        };
        let word = |words: &[&'static str]| {
            let found = words.iter().find(|word| value.value.eq_ignore_ascii_case(word)).copied();
            found.ok_or_else(|| wrong("LOOKUP", value, &format!("expected '{}'", words.join("' or '"))))
        };
        match key.value.as_str() {
            "table" => {}
            "async" => out.asynchronous = Some(boolean()?),
            "output-mode" => {
                out.unordered = Some(word(&["ordered", "allow_unordered"])? == "allow_unordered")
            }
            "capacity" => out.capacity = Some(number()? as usize),
            "timeout" => out.timeout = Some(duration()?),
            "shuffle" => out.shuffle = Some(boolean()?),
            "retry-predicate" => predicate = Some(word(&["lookup_miss"])?),
            "retry-strategy" => strategy = Some(word(&["fixed_delay"])?),
            "fixed-delay" => delay = Some(duration()?),
            "max-attempts" => attempts = Some(number()?),
            other => {
                let message = format!("the hint LOOKUP has no option '{other}'");
                let known = [
                    "table",
                    "async",
                    "output-mode",
                    "capacity",
                    "timeout",
                    "shuffle",
                    "retry-predicate",
                    "retry-strategy",
                    "fixed-delay",
                    "max-attempts",
                ];
                return Err(Diagnostic::error(Code::UnknownOption, message)
                    .at(key.span)
                    .did_you_mean(other, known));
            }
        }
    }
    match (predicate, strategy, delay, attempts) {
        (None, None, None, None) => {}
        (Some(_), Some(_), Some(delay), Some(attempts_max)) => {
            out.retry = Some(LookupRetry { delay, attempts_max });
        }
        _ => {
            let message = "the options of a retry stand together or not at all";
            return Err(Diagnostic::error(Code::MissingOption, message)
                .at(hint.span)
                .help("they are 'retry-predicate', 'retry-strategy', 'fixed-delay' and 'max-attempts'"));
        }
    }
    Ok(out)
}

/// No hints, for the state of a binder.
pub(super) type HintStack = Vec<BlockHints>;
