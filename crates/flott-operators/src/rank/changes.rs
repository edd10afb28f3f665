//! What is told of a list of rows that was and a list that is.
//!
//! ```text
//!   was 9 7 4, is 9 8 7      by position   rank 2: -U 7 +U 8    rank 3: -U 4 +U 7
//!                            by row        -D 4  +I 8
//! ```

use std::collections::HashMap;
use std::hash::Hash;

/// Lists up to this length are compared row by row.
const SHORT: usize = 32;

/// Positions of the rows that are in the first list only, and in the second only. Of equal rows the first ones
/// are those that stay.
fn few<T: Copy + Eq>(was: &[T], is: &[T]) -> (Vec<usize>, Vec<usize>) {
    let mut stays = 0_u32;
    let mut gone = Vec::new();
    for (at, row) in was.iter().enumerate() {
        match is.iter().enumerate().find(|(at, other)| stays >> at & 1 == 0 && *other == row) {
            Some((found, _)) => stays |= 1 << found,
            None => gone.push(at),
        }
    }
    (gone, (0..is.len()).filter(|at| stays >> at & 1 == 0).collect())
}

/// The same for long lists.
fn many<T: Copy + Eq + Hash>(was: &[T], is: &[T]) -> (Vec<usize>, Vec<usize>) {
    let mut left: HashMap<T, usize> = HashMap::new();
    was.iter().for_each(|row| *left.entry(*row).or_default() += 1);
    let mut take = |row: &T| match left.get_mut(row) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let new = (0..is.len()).filter(|at| is.get(*at).is_some_and(|row| !take(row))).collect();
    // What is left of a row's number is gone: the last of its equals.
    let mut gone: Vec<usize> =
        (0..was.len()).rev().filter(|at| was.get(*at).is_some_and(&mut take)).collect();
    gone.reverse();
    (gone, new)
}

/// How changes of a group are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling {
    /// Ranks left out at the front.
    pub(crate) skip: usize,
    /// Ranks that are looked at, those left out among them.
    pub(crate) limit: usize,
    /// Each rank is a row that changes. Else rows come and go.
    pub(crate) positional: bool,
    /// What was before a change is told.
    pub(crate) before: bool,
}

/// A row that is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told<T> {
    pub(crate) row: T,
    pub(crate) kind: i8,
    pub(crate) rank: i64,
}

impl Telling {
    /// Appends what changed. `same`: whether two rows that aren't one are equal.
    pub(crate) fn tell<T: Copy + Eq + Hash>(
        &self,
        was: &[T],
        is: &[T],
        same: impl Fn(T, T) -> bool,
        out: &mut Vec<Told<T>>,
    ) {
        // What was told may have been more than is wanted now.
        let is = is.get(..is.len().min(self.limit)).unwrap_or_default();
        if self.positional {
            return self.tell_positions(was, is, same, out);
        }
        let (was, is) = (was.get(self.skip..).unwrap_or_default(), is.get(self.skip..).unwrap_or_default());
        let rank = |at: usize| (at + self.skip) as i64 + 1;
        let (gone, new) = if is.len() <= SHORT { few(was, is) } else { many(was, is) };
        let told =
            |rows: &[T], at: usize, kind| rows.get(at).map(|row| Told { row: *row, kind, rank: rank(at) });
        out.extend(gone.into_iter().filter_map(|at| told(was, at, 3)));
        out.extend(new.into_iter().filter_map(|at| told(is, at, 0)));
    }

    fn tell_positions<T: Copy + Eq>(
        &self,
        was: &[T],
        is: &[T],
        same: impl Fn(T, T) -> bool,
        out: &mut Vec<Told<T>>,
    ) {
        for at in self.skip..was.len().max(is.len()) {
            let rank = at as i64 + 1;
            match (was.get(at), is.get(at)) {
                (Some(old), Some(new)) if old == new || same(*old, *new) => {}
                (Some(old), Some(new)) => {
                    if self.before {
                        out.push(Told { row: *old, kind: 1, rank });
                    }
                    out.push(Told { row: *new, kind: 2, rank });
                }
                (None, Some(new)) => out.push(Told { row: *new, kind: 0, rank }),
                (Some(old), None) => out.push(Told { row: *old, kind: 3, rank }),
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(telling: Telling, was: &[u32], is: &[u32]) -> String {
        let mut out = Vec::new();
        telling.tell(was, is, |_, _| false, &mut out);
        let kinds = ["+I", "-U", "+U", "-D"];
        let line = |it: &Told<u32>| format!("{}{}", kinds[it.kind as usize], it.row);
        out.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranks_change_and_rows_come_and_go() {
        let ranks = Telling { skip: 0, limit: 3, positional: true, before: true };
        assert_eq!(told(ranks, &[9, 7, 4], &[9, 8, 7, 4]), "-U7 +U8 -U4 +U7");
        assert_eq!(told(ranks, &[9, 7], &[7]), "-U9 +U7 -D7");
        assert_eq!(told(Telling { before: false, ..ranks }, &[9], &[10, 9]), "+U10 +I9");
        let rows = Telling { positional: false, ..ranks };
        assert_eq!(told(rows, &[9, 7, 4], &[9, 8, 7, 4]), "-D4 +I8");
        assert_eq!(told(rows, &[5, 5, 1], &[5, 5, 5]), "-D1 +I5");
        assert_eq!(told(rows, &[5, 5], &[5]), "-D5");
        assert_eq!(told(Telling { skip: 1, limit: 2, ..rows }, &[9, 7], &[10, 9, 7]), "-D7 +I9");
        let long: Vec<u32> = (0..50).chain([3, 3]).collect();
        let all = Telling { limit: 99, ..rows };
        assert_eq!(told(all, &long, &[&long[1..51], &[60]].concat()), "-D0 -D3 +I60");
        assert_eq!(told(all, &long[1..51], &long), "+I0 +I3");
    }
}
