//! `OVER`: something of the rows around each row.

use flott_sql::{Bound, Frame};
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, UpsertKeys, length, names, rank};
use crate::{
    Call, ChangelogMode,
    operator_text::{Labels, call_text, label, order_text},
};

/// What is computed for each row. Columns are positions in the input.
#[derive(Debug, Clone, PartialEq)]
pub enum OverValue {
    /// `ROW_NUMBER()`
    RowNumber,
    /// `RANK()`
    Rank,
    /// `DENSE_RANK()`
    DenseRank,
    /// `NTILE(n)`
    Ntile(u64),
    /// `PERCENT_RANK()`
    PercentRank,
    /// `CUME_DIST()`
    CumeDist,
    /// `LAG`, `LEAD`: the value of the row so many before (negative: behind).
    Shift {
        /// The value's column.
        value: usize,
        /// How many rows before.
        back: i64,
        /// The column whose value at the row at hand stands where there is no such row.
        default: Option<usize>,
    },
    /// An aggregate of the frame.
    Aggregate(Call, Frame),
}

/// How the operator gets its rows in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverOrder {
    /// By a row time: rows wait for the watermark, and each comes out once.
    Rowtime,
    /// As they come.
    Proctime,
    /// By anything: results change as rows come between others.
    #[default]
    Any,
}

/// Something of the rows around each row. Output: the input's columns, then one for each call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Over {
    /// `PARTITION BY`
    pub keys: Vec<usize>,
    /// (column, descending, nulls first)
    pub order_by: Vec<(usize, bool, bool)>,
    /// What comes behind the input's columns.
    pub calls: Vec<OverValue>,
    /// How rows get in order.
    pub order: OverOrder,
    /// The order's only key says that rows come in order, if it is one.
    pub time: Option<TimeAttribute>,
    /// It tells what a row's results were before a change.
    pub with_before: bool,
    /// Partitions that nothing has touched for so long are forgotten.
    pub ttl_millis: Option<i64>,
}

impl OverValue {
    fn columns_mut(&mut self) -> Vec<&mut usize> {
        match self {
            OverValue::Shift { value, default, .. } => std::iter::once(value).chain(default).collect(),
            OverValue::Aggregate(call, _) => call.args.iter_mut().chain(&mut call.filter).collect(),
            _ => Vec::new(),
        }
    }

    fn columns(&self) -> Vec<usize> {
        match self {
            OverValue::Shift { value, default, .. } => std::iter::once(*value).chain(*default).collect(),
            OverValue::Aggregate(call, _) => call.columns().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it can be told of a row before the rows behind it are there.
    fn looks_back(&self) -> bool {
        match self {
            OverValue::RowNumber | OverValue::Rank | OverValue::DenseRank => true,
            OverValue::Ntile(_) | OverValue::PercentRank | OverValue::CumeDist => false,
            OverValue::Shift { back, .. } => *back >= 0,
            OverValue::Aggregate(_, frame) => frame.end == Bound::CurrentRow,
        }
    }

    /// Whether it depends on all rows before.
    fn is_unbounded(&self) -> bool {
        match self {
            OverValue::Shift { .. } => false,
            OverValue::Aggregate(_, frame) => frame.start == Bound::UnboundedPreceding,
            _ => true,
        }
    }

    fn text(&self, labels: &[String]) -> String {
        match self {
            OverValue::RowNumber => "ROW_NUMBER()".to_string(),
            OverValue::Rank => "RANK()".to_string(),
            OverValue::DenseRank => "DENSE_RANK()".to_string(),
            OverValue::Ntile(parts) => format!("NTILE({parts})"),
            OverValue::PercentRank => "PERCENT_RANK()".to_string(),
            OverValue::CumeDist => "CUME_DIST()".to_string(),
            OverValue::Shift { value, back, default } => {
                let name = if *back < 0 { "LEAD" } else { "LAG" };
                let default = default.map(|column| format!(", {}", label(labels, column)));
                let default = default.unwrap_or_default();
                format!("{name}({}, {}{default})", label(labels, *value), back.unsigned_abs())
            }
            OverValue::Aggregate(call, frame) => format!("{} {frame}", call_text(call, labels)),
        }
    }
}

impl Over {
    fn move_columns(&mut self, to: &dyn Fn(usize) -> usize) {
        self.keys.iter_mut().for_each(|column| *column = to(*column));
        self.order_by.iter_mut().for_each(|it| it.0 = to(it.0));
        for column in self.calls.iter_mut().flat_map(OverValue::columns_mut) {
            *column = to(*column);
        }
    }

    /// Whether rows come out once, in order of time.
    fn is_timed(&self, inputs: &[ChangelogMode]) -> bool {
        self.time.is_some()
            && inputs.iter().all(ChangelogMode::is_append)
            && self.calls.iter().all(OverValue::looks_back)
    }

    /// The rows before that are kept: how many, how long.
    fn frame_text(&self) -> String {
        let mut rows = 0;
        let mut millis = 0;
        for call in &self.calls {
            match call {
                OverValue::Shift { back, .. } => rows = rows.max(*back),
                OverValue::Aggregate(_, Frame { rows: true, start: Bound::Preceding(before), .. }) => {
                    rows = rows.max(*before);
                }
                OverValue::Aggregate(_, Frame { start: Bound::Preceding(before), .. }) => {
                    millis = millis.max(*before);
                }
                _ => {}
            }
        }
        match (rows, millis) {
            (0, 0) => String::new(),
            (rows, 0) => format!("the last {rows} rows of each partition"),
            (0, millis) => format!("the rows of the last {}", length(millis)),
            (rows, millis) => {
                format!("the last {rows} rows of each partition and those of {}", length(millis))
            }
        }
    }
}

impl StatefulNode for Over {
    fn name(&self) -> &'static str {
        "over aggregate"
    }
    fn time(&self) -> Option<TimeAttribute> {
        match self.order {
            OverOrder::Rowtime => Some(TimeAttribute::Rowtime),
            OverOrder::Proctime => Some(TimeAttribute::Proctime),
            OverOrder::Any => None,
        }
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        let first = self.order_by.first().map(|(column, ..)| *column);
        first.filter(|_| self.order == OverOrder::Rowtime).into_iter().collect()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [input, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, input)));
        }
        if !self.order_by.is_empty() {
            out.push(("order", order_text(&self.order_by, input)));
        }
        out.push(("rows", if self.order == OverOrder::Any { "change" } else { "come out once" }.to_string()));
        let calls: Vec<String> = self.calls.iter().map(|call| call.text(input)).collect();
        out.push(("computes", calls.join(", ")));
        out
    }
    fn forgets_idle(&self) -> bool {
        self.ttl_millis.is_some()
    }
    fn keeps(&self) -> Keeps {
        if self.order == OverOrder::Any {
            return Keeps::idle("all rows", self.ttl_millis);
        }
        let unbounded = self.calls.iter().any(OverValue::is_unbounded);
        let before = self.frame_text();
        let kept = match (unbounded, before.as_str()) {
            (true, "") => "a result so far for each partition".to_string(),
            (true, before) => format!("a result so far for each partition, {before}"),
            (false, before) => before.to_string(),
        };
        let waiting = match self.order {
            OverOrder::Rowtime => " and rows ahead of the watermark",
            _ => "",
        };
        let by_time = !unbounded && before.starts_with("the rows of");
        match by_time {
            true => Keeps::until(format!("{kept}{waiting}"), "until they leave the frame"),
            false => Keeps::idle(format!("{kept}{waiting}"), self.ttl_millis),
        }
    }
    fn columns(&self, [input, _]: &Labels) -> Vec<String> {
        input.iter().cloned().chain(self.calls.iter().map(|call| call.text(input))).collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let kept: Vec<usize> = (0..self.calls.len()).filter(|at| needed.contains(&(width + at))).collect();
        self.calls = kept.iter().filter_map(|&at| self.calls.get(at).cloned()).collect();
        let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
        input.extend(origins[0]);
        input.extend(self.keys.iter().copied());
        input.extend(self.order_by.iter().map(|it| it.0));
        input.extend(self.calls.iter().flat_map(OverValue::columns));
        self.move_columns(&|column| rank(&input, column));
        let left = input.iter().copied().chain(kept.into_iter().map(|at| width + at)).collect();
        (left, vec![input])
    }
    fn carry_origin(&mut self, origins: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        Some(origins[0].into_iter().collect())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], before: bool) -> Result<ChangelogMode> {
        self.with_before = before;
        self.order = match self.time {
            Some(TimeAttribute::Rowtime) if self.is_timed(inputs) => OverOrder::Rowtime,
            Some(TimeAttribute::Proctime) if self.is_timed(inputs) => OverOrder::Proctime,
            _ => OverOrder::Any,
        };
        if self.order != OverOrder::Any {
            return Ok(ChangelogMode::APPEND);
        }
        // No key tells rows apart, so a change must say what was before.
        self.with_before = true;
        Ok(ChangelogMode {
            updates: true,
            deletes: !inputs.iter().all(ChangelogMode::is_append),
            before: true,
        })
    }
    fn upsert_keys(&self, inputs: &[UpsertKeys]) -> UpsertKeys {
        // Input columns stand where they stood. A row that changes may go to another shard, unless the group
        // is part of its key.
        let keys: Set = self.keys.iter().copied().collect();
        inputs.first().into_iter().flatten().filter(|key| keys.is_subset(key)).cloned().collect()
    }
}
