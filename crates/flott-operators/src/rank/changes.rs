//! What is told of a list of rows that was and a list that is.
//!
//! ```text
//!   was 9 7 4, is 9 8 7      by position   rank 2: -U 7 +U 8    rank 3: -U 4 +U 7
//!                            by row        -D 4  +I 8
//! ```

use std::collections::HashMap;
use std::hash::Hash;

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
        let was = was.get(..was.len().min(self.limit)).unwrap_or_default();
        let is = is.get(..is.len().min(self.limit)).unwrap_or_default();
        if self.positional {
            return self.tell_positions(was, is, same, out);
        }
        let (was, is) = (was.get(self.skip..).unwrap_or_default(), is.get(self.skip..).unwrap_or_default());
        // Mostly one row comes in among those that stay, and the last one falls out.
        let mut rest: HashMap<T, i64> = HashMap::new();
        for row in is {
            *rest.entry(*row).or_default() += 1;
        }
        let mut gone = Vec::new();
        for row in was {
            match rest.get_mut(row) {
                Some(count) if *count > 0 => *count -= 1,
                _ => gone.push(*row),
            }
        }
        let rank = |at: usize| (at + self.skip) as i64 + 1;
        out.extend(gone.iter().map(|row| Told { row: *row, kind: 3, rank: 0 }));
        // What is left in the count is new; of equal rows the last ones.
        let mut new: Vec<Told<T>> = Vec::new();
        for (at, row) in is.iter().enumerate().rev() {
            if let Some(count) = rest.get_mut(row)
                && *count > 0
            {
                *count -= 1;
                new.push(Told { row: *row, kind: 0, rank: rank(at) });
            }
        }
        out.extend(new.into_iter().rev());
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
    }
}
