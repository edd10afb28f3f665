//! Operators on windows: they take new rows only, and forget a window when it is complete.

use flott_expr::Expr;
use flott_sql::{JoinKind, WindowKind};
use flott_types::{Result, TimeAttribute};

use super::{Keeps, Origins, Set, StatefulNode, call_value, names, only_appends, rank};
use crate::{
    Call, ChangelogMode, SessionWindow, StateTable, StateValue, WindowAggregate, WindowJoin, WindowProperty,
    WindowRank, Windows,
    operator_text::{Labels, call_text, join_kind, label, labelled, order_text, windows},
    rewrite::remap,
    shape::InputColumns,
};

fn window_columns(windows: &Windows) -> Vec<usize> {
    match windows {
        Windows::Assigned { time_column, .. } => vec![*time_column],
        Windows::Attached { start, end, .. } => vec![*start, *end],
    }
}

fn move_windows(windows: &mut Windows, left: &Set) {
    match windows {
        Windows::Assigned { time_column, kind, .. } => {
            *time_column = rank(left, *time_column);
            if let WindowKind::Session { partition_by, .. } = kind {
                partition_by.iter_mut().for_each(|column| *column = rank(left, *column));
            }
        }
        Windows::Attached { start, end, .. } => {
            *start = rank(left, *start);
            *end = rank(left, *end);
        }
    }
}

fn until(windows: &Windows, what: &str) -> String {
    match windows.time() {
        TimeAttribute::Rowtime => format!("until the watermark reaches the {what}'s end"),
        TimeAttribute::Proctime => format!("until the clock reaches the {what}'s end"),
    }
}

const WINDOW: [&str; 3] = ["window_start", "window_end", "window_time"];

impl StatefulNode for WindowAggregate {
    fn name(&self) -> &'static str {
        "window aggregate"
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(self.windows.time())
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        self.windows.required_times()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn has_two_phases(&self) -> bool {
        let is_session = matches!(&self.windows, Windows::Assigned { kind: WindowKind::Session { .. }, .. });
        let merges = |call: &Call| !call.distinct && !call.function.order_matters;
        !is_session && self.windows.time() == TimeAttribute::Rowtime && self.calls.iter().all(merges)
    }
    fn describe(&self, [left, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = vec![("window", windows(&self.windows, left))];
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, left)));
        }
        let calls: Vec<String> = self.calls.iter().map(|it| call_text(it, left)).collect();
        if !calls.is_empty() {
            out.push(("computes", calls.join(", ")));
        }
        out
    }
    fn frame(&self, [left, _]: &Labels) -> Vec<(&'static str, String)> {
        vec![("window", windows(&self.windows, left)), ("keys", names(&self.keys, left))]
    }
    fn columns_tell_all(&self) -> bool {
        true
    }
    fn tables(&self, [input, _]: &[InputColumns; 2]) -> Option<Vec<StateTable>> {
        let calls: Vec<StateValue> = self.calls.iter().map(|it| call_value(it, input, true)).collect();
        if matches!(&self.windows, Windows::Assigned { kind: WindowKind::Session { .. }, .. }) {
            let columns = ["$start", "$end"].map(StateValue::kept).into_iter().chain(calls).collect();
            return Some(vec![StateTable::new("sessions", self.keys.len(), columns)]);
        }
        let keys = self.keys.len() + usize::from(matches!(self.windows, Windows::Attached { .. }));
        let mut sets: Vec<(&[usize], Option<usize>)> = Vec::new();
        for call in self.calls.iter().filter(|it| it.distinct) {
            let set = (call.args.as_slice(), call.filter);
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        let mut tables = Vec::new();
        for pane in ["slices", "running", "late"] {
            tables.push(StateTable::new(pane, keys, calls.clone()));
            for (at, (args, filter)) in sets.iter().enumerate() {
                let values = input.named(args.iter().copied()).join(", ");
                let filter = filter.map_or("all", |it| label(&input.typed, it));
                tables.push(StateTable {
                    means: format!("{pane}: values of {values} of {filter}"),
                    begins: true,
                    ..StateTable::new(format!("{pane}-distinct-{at}"), keys + args.len(), Vec::new())
                });
            }
        }
        Some(tables)
    }
    fn keeps(&self) -> Keeps {
        Keeps::until("a result so far for each group and open window", until(&self.windows, "window"))
    }
    fn columns(&self, [left, _]: &Labels) -> Vec<String> {
        let keys = self.keys.iter().map(|&column| label(left, column).to_string());
        let calls = self.calls.iter().map(|it| call_text(it, left));
        let properties = self.properties.iter().map(|it| match it {
            WindowProperty::Start => "window_start".to_string(),
            WindowProperty::End => "window_end".to_string(),
            WindowProperty::Time => "window_time".to_string(),
        });
        keys.chain(calls).chain(properties).collect()
    }
    fn shrink(&mut self, _: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let (keys, calls) = (self.keys.len(), self.calls.len());
        let window = keys + calls;
        let needed_call = |at: &usize| needed.contains(&(keys + at));
        let needed_property = |at: &usize| needed.contains(&(window + at));
        let call_positions: Vec<usize> = (0..calls).filter(needed_call).collect();
        let property_positions: Vec<usize> = (0..self.properties.len()).filter(needed_property).collect();
        self.calls = call_positions.iter().map(|&at| self.calls[at].clone()).collect();
        self.properties = property_positions.iter().map(|&at| self.properties[at]).collect();
        let mut input: Set = self.keys.iter().copied().chain(origins[0]).collect();
        input.extend(self.calls.iter().flat_map(Call::columns));
        input.extend(window_columns(&self.windows));
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        self.calls.iter_mut().for_each(|call| call.move_columns(&|column| rank(&input, column)));
        move_windows(&mut self.windows, &input);
        let left = (0..keys)
            .chain(call_positions.into_iter().map(|at| keys + at))
            .chain(property_positions.into_iter().map(|at| window + at));
        (left.collect(), vec![input])
    }
    fn carry_origin(&mut self, _: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        Some(Vec::new())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
}

impl StatefulNode for SessionWindow {
    fn name(&self) -> &'static str {
        "session window"
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(self.windows.time())
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        self.windows.required_times()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [left, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = vec![("window", windows(&self.windows, left))];
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, left)));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        Keeps::until("the rows of open sessions", until(&self.windows, "session"))
    }
    fn columns(&self, [left, _]: &Labels) -> Vec<String> {
        left.iter().cloned().chain(WINDOW.map(str::to_string)).collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
        input.extend(origins[0]);
        input.extend(self.keys.iter().copied());
        input.extend(window_columns(&self.windows));
        let left = input.iter().copied().chain(width..width + 3).collect();
        move_windows(&mut self.windows, &input);
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        (left, vec![input])
    }
    fn carry_origin(&mut self, origins: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        Some(origins[0].into_iter().collect())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
}

impl StatefulNode for WindowJoin {
    fn name(&self) -> &'static str {
        "window join"
    }
    fn inputs(&self) -> usize {
        2
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(self.left_windows.time())
    }
    fn required_times(&self, input: usize) -> Vec<usize> {
        if input == 0 { self.left_windows.required_times() } else { self.right_windows.required_times() }
    }
    fn keys(&self, input: usize) -> Vec<usize> {
        self.keys.iter().map(|&(left, right)| if input == 0 { left } else { right }).collect()
    }
    fn describe(&self, [left, right]: &Labels) -> Vec<(&'static str, String)> {
        let mut out =
            vec![("join", join_kind(self.kind).to_string()), ("window", windows(&self.left_windows, left))];
        let equal = |&(l, r): &(usize, usize)| format!("{} = {}", label(left, l), label(right, r));
        let keys: Vec<String> = self.keys.iter().map(equal).collect();
        if !keys.is_empty() {
            out.push(("keys", keys.join(", ")));
        }
        if let Some(condition) = &self.condition {
            let both: Vec<String> = left.iter().chain(right).cloned().collect();
            out.push(("condition", labelled(condition, &both)));
        }
        out
    }
    fn keeps(&self) -> Keeps {
        Keeps::until("the rows of both sides in open windows", until(&self.left_windows, "window"))
    }
    fn columns(&self, [left, right]: &Labels) -> Vec<String> {
        left.iter().chain(right).cloned().collect()
    }
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        self.condition.iter_mut().collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let condition = self.condition.as_ref().map(Expr::columns).unwrap_or_default();
        let read = || needed.iter().copied().chain(condition.iter().copied());
        let mut left: Set = read().filter(|&column| column < width).collect();
        let mut right: Set = read().filter_map(|column| column.checked_sub(width)).collect();
        left.extend(origins[0]);
        right.extend(origins[1]);
        left.extend(self.keys.iter().map(|it| it.0));
        right.extend(self.keys.iter().map(|it| it.1));
        left.extend(window_columns(&self.left_windows));
        right.extend(window_columns(&self.right_windows));
        self.keys.iter_mut().for_each(|it| *it = (rank(&left, it.0), rank(&right, it.1)));
        move_windows(&mut self.left_windows, &left);
        move_windows(&mut self.right_windows, &right);
        if let Some(condition) = &mut self.condition {
            let position = |column: usize| match column.checked_sub(width) {
                None => rank(&left, column),
                Some(column) => left.len() + rank(&right, column),
            };
            remap(condition, &position);
        }
        let one_sided = matches!(self.kind, JoinKind::Semi | JoinKind::Anti);
        let rights = right.iter().map(|&column| column + width).filter(|_| !one_sided);
        (left.iter().copied().chain(rights).collect(), vec![left.clone(), right])
    }
    fn carry_origin(&mut self, [left, right]: Origins, before: [usize; 2]) -> Option<Vec<usize>> {
        if left.is_some()
            && let Some(condition) = &mut self.condition
        {
            remap(condition, &|column| if column < before[0] { column } else { column + 1 });
        }
        let one_sided = matches!(self.kind, JoinKind::Semi | JoinKind::Anti);
        let shift = usize::from(left.is_some());
        let right = right.filter(|_| !one_sided).map(|at| before[0] + shift + at);
        Some(left.into_iter().chain(right).collect())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
}

impl StatefulNode for WindowRank {
    fn name(&self) -> &'static str {
        "window rank"
    }
    fn time(&self) -> Option<TimeAttribute> {
        Some(self.windows.time())
    }
    fn required_times(&self, _: usize) -> Vec<usize> {
        self.windows.required_times()
    }
    fn keys(&self, _: usize) -> Vec<usize> {
        self.keys.clone()
    }
    fn describe(&self, [left, _]: &Labels) -> Vec<(&'static str, String)> {
        let mut out = vec![("window", windows(&self.windows, left))];
        if !self.keys.is_empty() {
            out.push(("keys", names(&self.keys, left)));
        }
        out.push(("order", order_text(&self.order_by, left)));
        out.push(("ranks", format!("{} to {}", self.ranks.0, self.ranks.1)));
        out
    }
    fn keeps(&self) -> Keeps {
        Keeps::until("the first rows of each group and open window", until(&self.windows, "window"))
    }
    fn columns(&self, [left, _]: &Labels) -> Vec<String> {
        left.iter().cloned().chain(["row_number".to_string()]).collect()
    }
    fn shrink(&mut self, widths: &[usize; 2], needed: &Set, origins: Origins) -> (Vec<usize>, Vec<Set>) {
        let width = widths[0];
        let mut input: Set = needed.iter().copied().filter(|&column| column < width).collect();
        input.extend(origins[0]);
        input.extend(self.keys.iter().copied());
        input.extend(self.order_by.iter().map(|it| it.0));
        input.extend(window_columns(&self.windows));
        self.with_rank = needed.contains(&width);
        let left = input.iter().copied().chain(self.with_rank.then_some(width)).collect();
        self.keys.iter_mut().for_each(|column| *column = rank(&input, *column));
        self.order_by.iter_mut().for_each(|it| it.0 = rank(&input, it.0));
        move_windows(&mut self.windows, &input);
        (left, vec![input])
    }
    fn carry_origin(&mut self, origins: Origins, _: [usize; 2]) -> Option<Vec<usize>> {
        Some(origins[0].into_iter().collect())
    }
    fn changelog(&mut self, inputs: &[ChangelogMode], _: bool) -> Result<ChangelogMode> {
        only_appends(self.name(), inputs)
    }
}
