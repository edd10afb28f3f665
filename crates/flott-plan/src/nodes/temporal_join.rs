//! `FOR SYSTEM_TIME AS OF` a row time: each row with the version that was valid at its time.

use flott_expr::Expr;
use flott_sql::JoinKind;
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, length, rank};
use crate::{
    ChangelogMode,
    operator_text::{Labels, join_kind, label, labelled},
    rewrite::remap,
};

/// Rows of the left with versions of the right. Output: left columns, then right ones.
#[derive(Debug, Clone, PartialEq)]
pub struct TemporalJoin {
    /// Equal columns, (left, right): the right ones are the key of its versions.
    pub keys: Vec<(usize, usize)>,
    /// As of when: a column of the left.
    pub left_time: usize,
    /// From when a version is valid: a column of the right.
    pub right_time: usize,
    /// A BOOLEAN column of the right: where it isn't TRUE, the key has no row from that time on.
    pub valid: Option<usize>,
    /// What else must be TRUE, over the left's columns followed by the right's.
    pub condition: Option<Expr>,
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// The left's rows say what they do.
    pub left_changes: bool,
    /// How long waiting rows and untouched versions are kept at most: left, right.
    pub ttl_millis: [Option<i64>; 2],
}

impl StatefulNode for TemporalJoin {
    fn name(&self) -> &'static str {
        "temporal join"
    }
    fn inputs(&self) -> usize {
        2
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(TimeAttribute::Rowtime)
    }
    fn required_times(&self, input: usize) -> Vec<usize> {
        vec![if input == 0 { self.left_time } else { self.right_time }]
    }
    fn keys(&self, input: usize) -> Vec<usize> {
        self.keys.iter().map(|&(left, right)| if input == 0 { left } else { right }).collect()
    }
    fn describe(&self, [left, right]: &Labels) -> Vec<(&'static str, String)> {
        let equal = |&(l, r): &(usize, usize)| format!("{} = {}", label(left, l), label(right, r));
        let keys: Vec<String> = self.keys.iter().map(equal).collect();
        let mut out = vec![
            ("join", join_kind(self.kind).to_string()),
            ("keys", keys.join(", ")),
            (
                "as of",
                format!("{}: versions by {}", label(left, self.left_time), label(right, self.right_time)),
            ),
        ];
        if let Some(valid) = self.valid {
            out.push(("valid", label(right, valid).to_string()));
        }
        if let Some(condition) = &self.condition {
            let both: Vec<String> = left.iter().chain(right).cloned().collect();
            out.push(("condition", labelled(condition, &both)));
        }
        out
    }
    fn forgets_idle(&self) -> bool {
        self.ttl_millis != [None; 2]
    }
    fn keeps(&self) -> Keeps {
        let [left, right] = self.ttl_millis;
        let waits = left.map(|ttl| format!(", at most {}", length(ttl))).unwrap_or_default();
        let what = format!(
            "left rows until the watermark reaches their time{waits}; of each right key the version that the \
             watermark is in, and later ones"
        );
        match right {
            Some(ttl) => {
                Keeps::until(what, format!("keys until nothing has touched them for {}", length(ttl)))
            }
            None => Keeps { what, until: None },
        }
    }
    fn columns(&self, [left, right]: &Labels) -> Vec<String> {
        left.iter().chain(right).cloned().collect()
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.condition.iter_mut().collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, _: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let condition = self.condition.as_ref().map(Expr::columns).unwrap_or_default();
        let read = || needed.iter().copied().chain(condition.iter().copied());
        let mut left: Set = read().filter(|&column| column < width).collect();
        let mut right: Set = read().filter_map(|column| column.checked_sub(width)).collect();
        left.extend(self.keys.iter().map(|it| it.0).chain([self.left_time]));
        right.extend(self.keys.iter().map(|it| it.1).chain([self.right_time]).chain(self.valid));
        self.keys.iter_mut().for_each(|it| *it = (rank(&left, it.0), rank(&right, it.1)));
        self.left_time = rank(&left, self.left_time);
        self.right_time = rank(&right, self.right_time);
        self.valid = self.valid.map(|column| rank(&right, column));
        if let Some(condition) = &mut self.condition {
            remap(condition, &|column| match column.checked_sub(width) {
                None => rank(&left, column),
                Some(column) => left.len() + rank(&right, column),
            });
        }
        let rights = right.iter().map(|&column| column + width);
        (left.iter().copied().chain(rights).collect(), vec![left.clone(), right])
    }
    fn wants_before(&self, input: usize) -> bool {
        // A version is valid until the next one, so what it was is known.
        input == 0
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        let left = inputs.first().copied().unwrap_or_default();
        self.left_changes = !left.is_append();
        Ok(left)
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        // Each row of the left has at most one version.
        inputs.first().cloned().unwrap_or_default()
    }
}
