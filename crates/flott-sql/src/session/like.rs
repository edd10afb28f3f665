//! What `CREATE TABLE … LIKE base` takes over.
//!
//! Physical columns always come along, first. For the rest the rules are Flink's: without any,
//! everything is included and options of the new table win; `ALL` sets all of them, and a rule
//! of its own beats it.

use flott_types::{Code, Diagnostic, Result, Span};

use super::create::{Draft, DraftColumn, DraftKind, DraftWatermark, Formula};
use crate::{
    Table,
    catalog::Column,
    parse::ast::{LikeFeature, LikeStrategy, LikeTable, Name},
};
use flott_types::{ColumnKind, TableColumn};

/// The base's parts and the new table's.
pub(super) fn merge(base: &Table, like: &LikeTable, own: Draft) -> Result<Draft> {
    let span = like.table.span;
    let mut merged = Draft {
        columns: merge_columns(base, like, own.columns)?,
        primary_key: own.primary_key,
        partition_keys: own.partition_keys,
        watermark: own.watermark,
        options: own.options,
    };
    merge_keys(
        &mut merged.primary_key,
        &base.description.primary_key,
        strategy(like, LikeFeature::Constraints),
        ("a primary key", "CONSTRAINTS"),
        span,
    )?;
    merge_keys(
        &mut merged.partition_keys,
        &base.description.partition_keys,
        strategy(like, LikeFeature::Partitions),
        ("partition keys", "PARTITIONS"),
        span,
    )?;
    merge_watermark(base, like, &mut merged.watermark)?;
    merge_options(base, like, &mut merged)?;
    Ok(merged)
}

/// How a part is taken over: its own rule, that of `ALL`, or the default.
fn strategy(like: &LikeTable, feature: LikeFeature) -> LikeStrategy {
    let rule =
        |feature| like.rules.iter().rev().find(|rule| rule.feature == feature).map(|rule| rule.strategy);
    let default =
        if feature == LikeFeature::Options { LikeStrategy::Overwriting } else { LikeStrategy::Including };
    rule(feature).or_else(|| rule(LikeFeature::All)).unwrap_or(default)
}

fn feature_of(column: &DraftColumn) -> Option<LikeFeature> {
    match &column.kind {
        DraftKind::Computed(_) => Some(LikeFeature::Generated),
        DraftKind::Stored { kind: ColumnKind::Metadata { .. }, .. } => Some(LikeFeature::Metadata),
        DraftKind::Stored { kind: ColumnKind::Physical, .. } => None,
    }
}

fn merge_columns(base: &Table, like: &LikeTable, own: Vec<DraftColumn>) -> Result<Vec<DraftColumn>> {
    let mut merged: Vec<DraftColumn> = base_columns(base, like.table.span)
        .into_iter()
        .filter(|column| {
            feature_of(column).is_none_or(|feature| strategy(like, feature) != LikeStrategy::Excluding)
        })
        .collect();
    for column in own {
        let Some(at) = merged.iter().position(|it| it.name == column.name) else {
            merged.push(column);
            continue;
        };
        let feature = feature_of(&merged[at]);
        let same = feature.is_some() && feature == feature_of(&column);
        if same && feature.is_some_and(|it| strategy(like, it) == LikeStrategy::Overwriting) {
            merged[at] = column;
            continue;
        }
        let message = format!("the base table has a column '{}' too", column.name);
        let it = Diagnostic::error(Code::InvalidDefinition, message).at(column.span);
        return Err(match feature {
            Some(LikeFeature::Generated) => it.help("EXCLUDING GENERATED or OVERWRITING GENERATED"),
            Some(LikeFeature::Metadata) => it.help("EXCLUDING METADATA or OVERWRITING METADATA"),
            _ => it.help("LIKE always takes over physical columns: leave the column out or rename it"),
        });
    }
    Ok(merged)
}

fn base_columns(base: &Table, span: Span) -> Vec<DraftColumn> {
    let mut stored = base.description.columns.iter();
    let draft = |column: &Column, stored: Option<&TableColumn>| {
        let kind = match (&column.computed, stored) {
            (Some((expr, text)), _) => {
                DraftKind::Computed(Formula::Bound { expr: expr.clone(), text: text.clone() })
            }
            (None, Some(it)) => DraftKind::Stored { data_type: it.data_type.clone(), kind: it.kind.clone() },
            (None, None) => {
                DraftKind::Stored { data_type: column.data_type.clone(), kind: ColumnKind::Physical }
            }
        };
        DraftColumn { name: column.name.clone(), span, comment: column.comment.clone(), kind }
    };
    base.columns
        .iter()
        .map(|column| {
            let described = if column.computed.is_none() { stored.next() } else { None };
            draft(column, described)
        })
        .collect()
}

fn merge_keys(
    own: &mut Vec<Name>,
    base: &[String],
    strategy: LikeStrategy,
    (what, rule): (&str, &str),
    span: Span,
) -> Result<()> {
    if base.is_empty() || strategy == LikeStrategy::Excluding {
        return Ok(());
    }
    if let Some(first) = own.first() {
        return Err(Diagnostic::error(Code::InvalidDefinition, format!("the base table has {what} already"))
            .at(first.span)
            .help(format!("LIKE … (EXCLUDING {rule})")));
    }
    own.extend(base.iter().map(|name| Name { value: name.clone(), span }));
    Ok(())
}

fn merge_watermark(base: &Table, like: &LikeTable, own: &mut Option<DraftWatermark>) -> Result<()> {
    let Some(watermark) = &base.watermark else { return Ok(()) };
    match (strategy(like, LikeFeature::Watermarks), &own) {
        (LikeStrategy::Excluding, _) | (LikeStrategy::Overwriting, Some(_)) => Ok(()),
        (LikeStrategy::Including, Some(own)) => {
            Err(Diagnostic::error(Code::InvalidDefinition, "the base table has a watermark already")
                .at(own.column_span)
                .help("LIKE … (EXCLUDING WATERMARKS) or (OVERWRITING WATERMARKS)"))
        }
        (_, None) => {
            *own = Some(DraftWatermark {
                column: base.columns.get(watermark.column).map(|it| it.name.clone()).unwrap_or_default(),
                column_span: like.table.span,
                formula: Formula::Bound { expr: watermark.expr.clone(), text: watermark.text.clone() },
            });
            Ok(())
        }
    }
}

fn merge_options(base: &Table, like: &LikeTable, merged: &mut Draft) -> Result<()> {
    let strategy = strategy(like, LikeFeature::Options);
    if strategy == LikeStrategy::Excluding {
        return Ok(());
    }
    for (key, value) in base.description.options.iter() {
        match merged.options.entry(key) {
            None => {
                merged.options.insert(key, value.clone());
            }
            Some(own) if strategy == LikeStrategy::Including => {
                return Err(Diagnostic::error(
                    Code::InvalidDefinition,
                    format!("the base table has an option '{key}' too"),
                )
                .at(own.key_span)
                .help("LIKE … (EXCLUDING OPTIONS) or (OVERWRITING OPTIONS)"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
