//! One operator's state, taken up by another of the same frame: which column comes from where.
//!
//! ```text
//!   checkpoint   groups: k │ COUNT(*)  SUM(a)  $touched
//!                            │           └────────────┐
//!   script       groups: k │ └ COUNT(*)  MAX(b)=anew  SUM(a)
//! ```
//! Invariants
//! - What is described in the same way is taken as it is.
//! - Of columns that mean the same the first is the first, the second the second: none is taken twice.
//! - An operator of which nothing that people know would be left is not this one.

use std::collections::BTreeMap;

use crate::{Begins, OperatorShape, StateTable, StateValue};

/// Where an operator's state comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateSource {
    /// The operator's id in the checkpoint.
    pub id: String,
    /// Its tables, by the name that they have now, if they aren't all as they were.
    pub tables: Option<BTreeMap<String, TableSource>>,
    /// Numbers of its definition that are others now, as they were.
    pub numbers: BTreeMap<String, i64>,
}

/// Where a table comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSource {
    /// Its name in the checkpoint.
    pub name: String,
    /// How many key columns it has.
    pub keys: usize,
    /// The columns behind them.
    pub columns: Vec<ColumnSource>,
    /// Only rows that have this bit in this column, counted behind the keys.
    pub only: Option<(usize, u32)>,
}

/// Where a column comes from. Positions are counted behind the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnSource {
    /// It is this one.
    Saved(usize),
    /// It is this one, of rows, with these of its fields.
    Fields(usize, Vec<usize>),
    /// It is this one, with bits in other places (old, new). None: the bit 0 was set in all rows.
    Bits(Option<usize>, Vec<(u32, u32)>),
    /// It begins with its first value.
    Anew,
    /// It begins with the time of the start.
    Now,
}

/// State that can be taken up.
#[derive(Debug, Clone, Default)]
pub(super) struct Carried {
    /// None: as it is.
    pub(super) tables: Option<BTreeMap<String, TableSource>>,
    /// What is another thing afterwards.
    pub(super) changes: Vec<String>,
    /// What else there is to say.
    pub(super) remarks: Vec<String>,
    /// Columns that both have.
    pub(super) shared: usize,
    /// Columns that both have and people know.
    known: usize,
    /// Something that people know is forgotten.
    pub(super) loses: bool,
}

/// How the new operator takes up the old one's state, or why it can't.
pub(super) fn carry(old: &OperatorShape, new: &OperatorShape) -> Result<Carried, String> {
    if old.frame.is_empty() {
        // Of a time when checkpoints said no more than an id.
        let same = old.id == new.id;
        return same.then(Carried::default).ok_or_else(|| "nothing is known of it but its id".to_string());
    }
    if old.name != new.name {
        return Err(format!("it was a {} and is a {}", old.name, new.name));
    }
    if old.frame != new.frame {
        return Err(difference(&old.frame, &new.frame));
    }
    let mut carried = match (&old.tables, &new.tables) {
        (Some(old), Some(new)) => tables(old, new)?,
        _ => Carried::default(),
    };
    numbers(old, new, &mut carried);
    let keeps = |shape: &OperatorShape| shape.parts.iter().find(|it| it.0 == "keeps").map(|it| it.1.clone());
    if let (Some(old), Some(new)) = (keeps(old), keeps(new))
        && old != new
        && carried.changes.is_empty()
    {
        carried.remarks.push(format!("keeps {new}; kept {old}"));
    }
    Ok(carried)
}

/// The first part that is another, in words.
fn difference(old: &[(String, String)], new: &[(String, String)]) -> String {
    let of = |parts: &[(String, String)], what: &str| -> Option<String> {
        parts.iter().find(|it| it.0 == what).map(|it| it.1.clone()).filter(|it| !it.is_empty())
    };
    let whats = old.iter().chain(new).map(|it| it.0.as_str());
    let mut told: Vec<String> = Vec::new();
    for what in whats {
        let (was, is) = (of(old, what), of(new, what));
        if was == is {
            continue;
        }
        let quoted = |it: Option<String>| it.map_or_else(|| "none".to_string(), |it| format!("'{it}'"));
        let text = format!("{what}: was {}, is {}", quoted(was), quoted(is));
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.join("; ")
}

fn numbers(old: &OperatorShape, new: &OperatorShape, carried: &mut Carried) {
    for (what, is) in &new.numbers {
        let Some(was) = old.numbers.get(what).filter(|was| *was != is) else { continue };
        let has = |name: &str| old.tables.iter().flatten().any(|table| table.name == name);
        let (all, counts) = (has("rows"), has("count"));
        carried.changes.push(match is > was {
            true if all => format!("{what} was {was}, is {is}"),
            false if counts => format!("{what} was {was}, is {is}: rows that are out already stay"),
            true => format!("{what} was {was}, is {is}: rows beyond {was} begin with those from here on"),
            false => format!("{what} was {was}, is {is}: rows beyond {is} are taken back"),
        });
    }
}

/// Among `old` the one that means what the one of `new` at this place does, if as many stand before each.
fn counterpart<T>(old: &[T], new: &[T], at: usize, means: impl Fn(&T) -> &String) -> Option<usize> {
    let wanted = means(new.get(at)?);
    let earlier = new.iter().take(at).filter(|it| means(it) == wanted).count();
    let mut alike = old.iter().enumerate().filter(|(_, it)| means(it) == wanted);
    alike.nth(earlier).map(|(position, _)| position)
}

/// Whether tables are laid out alike: labels are for people.
fn alike(old: &[StateTable], new: &[StateTable]) -> bool {
    let column = |(old, new): (&StateValue, &StateValue)| {
        old.means == new.means && old.bits == new.bits && old.fields == new.fields
    };
    let table = |(old, new): (&StateTable, &StateTable)| {
        let same = old.name == new.name && old.means == new.means && old.keys == new.keys;
        same && old.columns.len() == new.columns.len() && old.columns.iter().zip(&new.columns).all(column)
    };
    old.len() == new.len() && old.iter().zip(new).all(table)
}

fn known(tables: &[StateTable]) -> usize {
    tables.iter().flat_map(|it| &it.columns).filter(|it| !it.is_hidden()).count()
}

fn tables(old: &[StateTable], new: &[StateTable]) -> Result<Carried, String> {
    let mut carried = Carried::default();
    if alike(old, new) {
        carried.shared = old.iter().map(|it| it.columns.len()).sum();
        return Ok(carried);
    }
    let (mut sources, mut same) = (BTreeMap::new(), old.len() == new.len());
    for (at, table) in new.iter().enumerate() {
        let found = counterpart(old, new, at, |it| &it.means);
        let Some((position, from)) = found.and_then(|it| Some((it, old.get(it)?))) else {
            same = false;
            if table.begins {
                continue;
            }
            return Err(format!("it keeps {} now, which the checkpoint doesn't have", table.means));
        };
        if from.keys != table.keys {
            return Err(format!("{} has other keys now", table.means));
        }
        let source = columns(from, table, old, &mut carried)?;
        let as_it_is = |(at, column): (usize, &ColumnSource)| *column == ColumnSource::Saved(at);
        let width = from.columns.iter().filter(|it| it.is_there()).count();
        same &= position == at
            && from.name == table.name
            && source.only.is_none()
            && source.columns.len() == width
            && source.columns.iter().enumerate().all(as_it_is);
        sources.insert(table.name.clone(), source);
    }
    if carried.known == 0 && known(old) > 0 && known(new) > 0 {
        return Err("nothing of what it kept is kept now".to_string());
    }
    carried.tables = (!same).then_some(sources);
    dedup(&mut carried.changes);
    Ok(carried)
}

fn dedup(texts: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    texts.retain(|text| seen.insert(text.clone()));
}

/// `all`: all tables of the checkpoint's operator.
fn columns(
    old: &StateTable,
    new: &StateTable,
    all: &[StateTable],
    carried: &mut Carried,
) -> Result<TableSource, String> {
    let mut source = TableSource { name: old.name.clone(), keys: new.keys, columns: Vec::new(), only: None };
    let place = |at: usize| old.columns.iter().take(at).filter(|it| it.is_there()).count();
    let mut taken = vec![false; old.columns.len()];
    for (position, column) in new.columns.iter().enumerate() {
        let found = counterpart(&old.columns, &new.columns, position, |it| &it.means);
        let Some((at, from)) = found.and_then(|it| Some((it, old.columns.get(it)?))) else {
            begins(column, all, &mut source, carried)?;
            continue;
        };
        taken[at] = true;
        carried.shared += 1;
        carried.known += usize::from(!column.is_hidden());
        if !column.bits.is_empty() {
            bits(from, column, place(at), &mut source);
        } else if from.fields != column.fields {
            source.columns.push(ColumnSource::Fields(place(at), fields(from, column, carried)?));
        } else {
            source.columns.push(ColumnSource::Saved(place(at)));
        }
    }
    let forgotten = old.columns.iter().zip(taken).filter(|(_, taken)| !taken);
    for (column, _) in forgotten {
        match column.is_hidden() {
            false => {
                carried.loses = true;
                carried.changes.push(format!("forgets {}", column.says()));
            }
            true if column.means == "$touched" => carried.changes.push("has no time to live any more".into()),
            true => {}
        }
    }
    Ok(source)
}

/// Whether the values that an aggregate is over are known already, so that it is not told of them.
fn seen_before(column: &StateValue, all: &[StateTable]) -> bool {
    let sets = all.iter().filter_map(|it| Some((it.means.strip_prefix("values of ")?, it)));
    let mut filters = sets.flat_map(|(values, set)| {
        set.columns.iter().flat_map(|it| &it.bits).map(move |filter| match filter.as_str() {
            "all" => (format!("(DISTINCT {values}) "), true),
            filter => (format!("(DISTINCT {values}) FILTER (WHERE {filter}) "), false),
        })
    });
    filters.any(|(text, unfiltered)| {
        column.means.contains(&text) && !(unfiltered && column.means.contains(" FILTER (WHERE "))
    })
}

fn begins(
    column: &StateValue,
    all: &[StateTable],
    source: &mut TableSource,
    carried: &mut Carried,
) -> Result<(), String> {
    match column.begins {
        Begins::Anew if seen_before(column, all) => {
            return Err(format!(
                "it keeps {} now, which can't begin with values that were seen before",
                column.says()
            ));
        }
        Begins::Anew => {
            source.columns.push(ColumnSource::Anew);
            if !column.is_hidden() {
                carried.changes.push(format!("{} begins with the rows from here on", column.says()));
            }
        }
        Begins::Now => {
            source.columns.push(ColumnSource::Now);
            carried.changes.push("its time to live begins at the start of the run".to_string());
        }
        Begins::Never if !column.fields.is_empty() => {
            return Err("it keeps whole rows now, of which the checkpoint has only the keys".to_string());
        }
        Begins::Never if column.is_hidden() => {
            return Err(format!("it keeps {} now", column.means.trim_start_matches('$')));
        }
        Begins::Never => {
            return Err(format!(
                "it keeps {} now, which can't begin in the middle: the checkpoint has nothing of it for the rows before",
                column.says()
            ));
        }
    }
    Ok(())
}

/// Where the fields of rows are among those that were kept.
fn fields(old: &StateValue, new: &StateValue, carried: &mut Carried) -> Result<Vec<usize>, String> {
    let position = |at: usize| {
        let missing = || format!("the rows that it keeps have no {} in the checkpoint", new.fields[at]);
        counterpart(&old.fields, &new.fields, at, |it| it).ok_or_else(missing)
    };
    let positions = (0..new.fields.len()).map(position).collect::<Result<Vec<_>, _>>()?;
    for (at, field) in old.fields.iter().enumerate() {
        if !positions.contains(&at) {
            carried.loses = true;
            carried.changes.push(format!("forgets {field} of its rows"));
        }
    }
    Ok(positions)
}

/// A column of bits; where there is a single one, there is no column, and rows are there that have it.
fn bits(old: &StateValue, new: &StateValue, place: usize, source: &mut TableSource) {
    let pair = |at: usize| {
        let from = counterpart(&old.bits, &new.bits, at, |it| it)?;
        Some((u32::try_from(from).ok()?, u32::try_from(at).ok()?))
    };
    let pairs: Vec<(u32, u32)> = (0..new.bits.len()).filter_map(pair).collect();
    let from = old.is_there().then_some(place);
    match (new.is_there(), from) {
        (true, Some(at)) if old.bits == new.bits => source.columns.push(ColumnSource::Saved(at)),
        (true, from) => source.columns.push(ColumnSource::Bits(from, pairs)),
        // A single filter is left, or a new one: then no value has passed it (bit 63 is never given away here).
        (false, Some(at)) => source.only = Some((at, pairs.first().map_or(63, |it| it.0))),
        (false, None) if pairs.is_empty() => source.only = Some((usize::MAX, 0)),
        (false, None) => {}
    }
}
