//! What all joins of two changing inputs have in common: equal columns, a condition, a kind.

use flott_expr::Expr;
use flott_sql::JoinKind;

use super::{Set, UpsertKeys, rank};
use crate::{
    ChangelogMode, StateTable, StateValue,
    operator_text::{Labels, join_kind, label, labelled},
    rewrite::remap,
    shape::InputColumns,
};

/// Whether each side takes rows back: for frames.
pub(super) fn sides_taking_back(retracts: [bool; 2]) -> (&'static str, String) {
    let takes = |back: bool| if back { "rows that change" } else { "new rows" };
    ("takes", format!("{} and {}", takes(retracts[0]), takes(retracts[1])))
}

/// What makes a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinOn {
    /// Which kind.
    pub kind: JoinKind,
    /// Equal columns: (left, right).
    pub keys: Vec<(usize, usize)>,
    /// For each of them, whether NULL equals NULL.
    pub null_safe: Vec<bool>,
    /// What else must be TRUE, over the left's columns followed by the right's.
    pub condition: Option<Expr>,
}

impl JoinOn {
    /// The key's columns of an input.
    pub fn keys(&self, input: usize) -> Vec<usize> {
        self.keys.iter().map(|&(left, right)| if input == 0 { left } else { right }).collect()
    }
    /// Whether only left rows come out.
    pub fn is_one_sided(&self) -> bool {
        matches!(self.kind, JoinKind::Semi | JoinKind::Anti)
    }
    /// Whether a row that finds no other comes out too.
    pub fn keeps_lone(&self, input: usize) -> bool {
        match self.kind {
            JoinKind::Inner | JoinKind::Semi => false,
            JoinKind::Left | JoinKind::Anti => input == 0,
            JoinKind::Right => input == 1,
            JoinKind::Full => true,
        }
    }

    pub(super) fn describe(&self, [left, right]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = vec![("join", join_kind(self.kind).to_string())];
        let equal = |(&(l, r), null_safe): (&(usize, usize), &bool)| {
            let sign = if *null_safe { "IS NOT DISTINCT FROM" } else { "=" };
            format!("{} {sign} {}", label(left, l), label(right, r))
        };
        let keys: Vec<String> = self.keys.iter().zip(&self.null_safe).map(equal).collect();
        if !keys.is_empty() {
            out.push(("keys", keys.join(", ")));
        }
        if let Some(condition) = &self.condition {
            let both: Vec<String> = left.iter().chain(right).cloned().collect();
            out.push(("condition", labelled(condition, &both)));
        }
        out
    }

    /// The tables of a join's rows: of each side what its rows are, how many partners each has where that
    /// is asked, and when each was touched. `timed`: rows have their time beside them.
    pub(super) fn tables(
        &self,
        inputs: &[InputColumns; 2],
        retracts: [bool; 2],
        stamped: [bool; 2],
        timed: bool,
    ) -> Vec<StateTable> {
        let mut tables = Vec::new();
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            let counted = self.keeps_lone(side) || (self.is_one_sided() && side == 0);
            let touched = || stamped[side].then(StateValue::touched);
            let mut columns = Vec::new();
            columns.extend((retracts[side] || counted).then(|| StateValue::kept("$number")));
            columns.extend(touched());
            columns.extend(inputs[side].typed.iter().map(StateValue::kept));
            columns.extend(timed.then(|| StateValue::kept("$time")));
            tables.push(StateTable::new(name, 0, columns));
            if counted {
                let mut columns = vec![StateValue::kept("$number"), StateValue::kept("$count")];
                columns.extend(touched());
                tables.push(StateTable::new(format!("{name} counts"), 0, columns));
            }
        }
        tables
    }

    pub(super) fn columns(&self, [left, right]: &Labels) -> Vec<String> {
        let right = right.iter().filter(|_| !self.is_one_sided());
        left.iter().chain(right).cloned().collect()
    }

    /// As [`StatefulNode::shrink`](super::StatefulNode::shrink); `also` are columns that each input
    /// needs besides.
    pub(super) fn shrink(
        &mut self,
        width: usize,
        needed: &Set,
        also: [Option<usize>; 2],
    ) -> (Vec<usize>, [Set; 2]) {
        let condition = self.condition.as_ref().map(Expr::columns).unwrap_or_default();
        let read = || needed.iter().copied().chain(condition.iter().copied());
        let mut left: Set = read().filter(|&column| column < width).collect();
        let mut right: Set = read().filter_map(|column| column.checked_sub(width)).collect();
        left.extend(self.keys.iter().map(|it| it.0).chain(also[0]));
        right.extend(self.keys.iter().map(|it| it.1).chain(also[1]));
        self.keys.iter_mut().for_each(|it| *it = (rank(&left, it.0), rank(&right, it.1)));
        if let Some(condition) = &mut self.condition {
            let position = |column: usize| match column.checked_sub(width) {
                None => rank(&left, column),
                Some(column) => left.len() + rank(&right, column),
            };
            remap(condition, &position);
        }
        let one_sided = self.is_one_sided();
        let rights = right.iter().map(|&column| column + width).filter(|_| !one_sided);
        (left.iter().copied().chain(rights).collect(), [left.clone(), right])
    }

    /// What the join's rows say.
    pub(super) fn changelog(
        &self,
        inputs: &[ChangelogMode],
        before: bool,
        lone_comes_at_once: bool,
    ) -> ChangelogMode {
        let updates = inputs.iter().any(|it| it.updates);
        let lone = (0..2).any(|input| self.keeps_lone(input)) && lone_comes_at_once;
        let deletes = lone || inputs.iter().any(|it| it.updates || it.deletes);
        // Where nobody wants to know what was before, a row that goes is deleted: the pair that takes
        // its place may never come.
        ChangelogMode { updates: updates && before, deletes, before: updates && before }
    }

    /// The upsert keys of pairs. A row of an input that changes may go to another shard: its key holds
    /// only with the join's columns.
    pub(super) fn upsert_keys(&self, inputs: &[UpsertKeys], width: usize, changing: [bool; 2]) -> UpsertKeys {
        let stays = |key: &Set, input: usize| {
            !changing.get(input).copied().unwrap_or(true)
                || self.keys(input).iter().all(|it| key.contains(it))
        };
        let staying = |input: usize| -> Option<UpsertKeys> {
            Some(inputs.get(input)?.iter().filter(|key| stays(key, input)).cloned().collect())
        };
        let (Some(left), Some(right)) = (&staying(0), &staying(1)) else { return Vec::new() };
        if self.is_one_sided() {
            return left.clone();
        }
        let shifted = |key: &Set| -> Set { key.iter().map(|column| column + width).collect() };
        let one_right = self.finds_one(right, 1);
        let one_left = self.finds_one(left, 0);
        let mut keys = UpsertKeys::new();
        if one_right && matches!(self.kind, JoinKind::Inner | JoinKind::Left) {
            keys.extend(left.iter().cloned());
        }
        if one_left && matches!(self.kind, JoinKind::Inner | JoinKind::Right) {
            keys.extend(right.iter().map(shifted));
        }
        for left in left {
            keys.extend(
                right.iter().map(|right| left.iter().copied().chain(shifted(right)).collect::<Set>()),
            );
        }
        keys.dedup();
        keys
    }

    /// Whether a row finds at most one of this input: the join's keys hold one of its upsert keys.
    fn finds_one(&self, keys: &UpsertKeys, input: usize) -> bool {
        let columns: Set = self.keys(input).into_iter().collect();
        keys.iter().any(|key| key.is_subset(&columns))
    }
}
