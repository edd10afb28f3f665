//! Values in the order in which they came: `LISTAGG`, `ARRAY_AGG`, `JSON_ARRAYAGG`, `SINGLE_VALUE`, and
//! `FIRST_VALUE` and `LAST_VALUE` where rows are taken back.
//!
//! ```text
//!   bytes  ██ a █ b ██ a ░░ (taken back) ███ c        ends: where each value ends
//!   places a ─► 0, 2     b ─► 1     c ─► 4             made at the first row taken back
//!   owed   d ×1                                       taken back before it came
//! ```
//! Of equal values the one that came first is taken back first. Merged groups follow what there
//! is.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray},
    datatypes::DataType as ArrowType,
};
use flott_expr::EvalError;

use crate::{
    Accumulator,
    cells::{not_ours, struct_array, struct_of, wrong_argument},
    codec::{Codec, bytes_column},
    groups::{Gather, Group, Groups, Held},
    selection::Selection,
};

/// What is asked of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The first.
    First,
    /// The last.
    Last,
    /// The only one; more are an error.
    Only,
    /// Texts joined by the second argument.
    Joined,
    /// An array.
    Array,
    /// JSON texts as a JSON array.
    JsonArray,
}

/// The accumulator for values of this type; `None` if there is none. `nulls`: NULLs count, as the JSON
/// text `null` in a JSON array.
pub(crate) fn accumulator(
    which: Which,
    nulls: bool,
    of: &ArrowType,
    result: &ArrowType,
) -> Option<Box<dyn Accumulator>> {
    let nulls_kept = nulls && which != Which::JsonArray;
    let codec = Codec::new(of, nulls_kept)?;
    Some(Groups::boxed(Sequence { which, nulls, codec, result: result.clone(), separator: None }))
}

#[derive(Debug)]
struct Sequence {
    which: Which,
    nulls: bool,
    codec: Codec,
    result: ArrowType,
    /// `LISTAGG`'s, once it has been seen. It is a constant, the same for all groups.
    separator: Option<String>,
}

/// The values of a group.
#[derive(Debug, Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
    /// What only rows taken back need.
    taken: Option<Box<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Which values are gone; as many as there are ends.
    gone: Vec<bool>,
    gone_count: usize,
    /// Where the values are that are there.
    places: BTreeMap<Box<[u8]>, VecDeque<usize>>,
    /// How often a value was taken back before it came.
    owed: BTreeMap<Box<[u8]>, u64>,
    bytes: usize,
}

impl Group for Values {
    fn bytes(&self) -> usize {
        let taken = self.taken.as_ref().map_or(0, |taken| taken.bytes + taken.gone.capacity());
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + taken
    }
}

/// About what an entry of a map costs besides its bytes.
const ENTRY_BYTES: usize = 64;
/// With fewer values gone it isn't worth laying the others out anew.
const GONE_MIN: usize = 64;

impl Values {
    fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
    fn is_there(&self, at: usize) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.gone.get(at) == Some(&false))
    }
    fn length(&self) -> usize {
        self.ends.len() - self.taken.as_ref().map_or(0, |taken| taken.gone_count)
    }
    fn present(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        (0..self.ends.len()).filter(|at| self.is_there(*at)).map(|at| self.get(at))
    }
    fn owed(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let owed = self.taken.iter().flat_map(|taken| &taken.owed);
        owed.flat_map(|(value, times)| (0..*times).map(move |_| value.as_ref()))
    }

    fn push(&mut self, value: &[u8]) {
        if let Some(taken) = &mut self.taken {
            if taken.settle(value) {
                return;
            }
            taken.place(value, self.ends.len());
            taken.gone.push(false);
        }
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    fn take(&mut self, value: &[u8]) {
        if self.taken.is_none() {
            let mut taken = Taken { gone: vec![false; self.ends.len()], ..Taken::default() };
            for at in 0..self.ends.len() {
                taken.place(self.get(at), at);
            }
            self.taken = Some(Box::new(taken));
        }
        let Some(taken) = &mut self.taken else { return };
        let first = taken.places.get_mut(value).and_then(VecDeque::pop_front);
        let Some(at) = first else { return taken.owe(value) };
        if let Some(gone) = taken.gone.get_mut(at) {
            *gone = true;
            taken.gone_count += 1;
        }
        if taken.gone_count > GONE_MIN && taken.gone_count * 2 > self.ends.len() {
            self.pack();
        }
    }

    /// Lays out anew what is there.
    fn pack(&mut self) {
        let mut packed = Values::default();
        for value in self.present() {
            packed.push(value);
        }
        if let Some(old) = &mut self.taken {
            let mut taken = Taken { gone: vec![false; packed.ends.len()], ..Taken::default() };
            for at in 0..packed.ends.len() {
                taken.place(packed.get(at), at);
            }
            taken.owed = std::mem::take(&mut old.owed);
            packed.taken = Some(Box::new(taken));
        }
        *self = packed;
    }
}

impl Taken {
    fn place(&mut self, value: &[u8], at: usize) {
        match self.places.get_mut(value) {
            Some(places) => places.push_back(at),
            None => {
                self.bytes += value.len() + ENTRY_BYTES;
                self.places.insert(value.into(), VecDeque::from([at]));
            }
        }
        self.bytes += size_of::<usize>();
    }
    fn owe(&mut self, value: &[u8]) {
        match self.owed.get_mut(value) {
            Some(times) => *times += 1,
            None => {
                self.owed.insert(value.into(), 1);
            }
        }
    }
    /// Whether this value was owed; then it is so once less.
    fn settle(&mut self, value: &[u8]) -> bool {
        let Some(times) = self.owed.get_mut(value) else { return false };
        *times -= 1;
        if *times == 0 {
            self.owed.remove(value);
        }
        true
    }
}

impl Sequence {
    /// The argument's values, with `null` for NULL in a JSON array that has NULLs.
    fn values(&self, args: &[ArrayRef]) -> Result<ArrayRef, EvalError> {
        let values = args.first().ok_or_else(wrong_argument)?;
        if self.which != Which::JsonArray || !self.nulls || values.null_count() == 0 {
            return Ok(Arc::clone(values));
        }
        let texts = values.as_string_opt::<i32>().ok_or_else(wrong_argument)?;
        Ok(Arc::new(StringArray::from_iter_values(texts.iter().map(|it| it.unwrap_or("null")))))
    }
    fn see_separator(&mut self, separator: Option<&ArrayRef>) {
        if self.which != Which::Joined || self.separator.is_some() {
            return;
        }
        let texts = separator.and_then(|array| array.as_string_opt::<i32>());
        self.separator = texts.and_then(|texts| texts.iter().flatten().next()).map(str::to_string);
    }
    fn text(&self, group: &Values, between: &str, out: &mut Vec<u8>) {
        for (at, value) in group.present().enumerate() {
            if at > 0 {
                out.extend_from_slice(between.as_bytes());
            }
            out.extend_from_slice(value);
        }
    }
    fn texts(&self, groups: &[&Values]) -> Result<ArrayRef, EvalError> {
        let separator = self.separator.as_deref().unwrap_or(",");
        let text = |group: &&Values| {
            let mut out = Vec::with_capacity(group.bytes.len() + group.ends.len() * separator.len() + 2);
            if self.which == Which::JsonArray {
                out.push(b'[');
                self.text(group, ",", &mut out);
                out.push(b']');
                return Some(out);
            }
            self.text(group, separator, &mut out);
            (group.length() > 0).then_some(out)
        };
        let texts: Vec<Option<Vec<u8>>> = groups.iter().map(text).collect();
        bytes_column(&ArrowType::Utf8, texts.iter().map(Option::as_deref))
    }
    fn arrays(&self, groups: &[&Values]) -> Result<ArrayRef, EvalError> {
        let ArrowType::List(item) = &self.result else { return Err(wrong_argument()) };
        let lists = self.lists(groups)?;
        let (_, offsets, values, _) = lists.into_parts();
        let nulls = groups.iter().map(|group| group.length() > 0).collect();
        Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls))?))
    }
    fn lists(&self, groups: &[&Values]) -> Result<ListArray, EvalError> {
        let values = groups.iter().flat_map(|group| group.present());
        self.codec.decode_lists(groups.iter().map(|group| group.length()), values)
    }
}

impl Gather for Sequence {
    type Group = Values;

    fn selection(&self, args: &[ArrayRef], filter: Option<&BooleanArray>) -> Selection {
        match self.nulls {
            true => Selection::filtered(filter),
            false => Selection::present(args, filter),
        }
    }
    fn add(
        &mut self,
        groups: &mut Held<Values>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.see_separator(args.get(1));
        let values = self.values(args)?;
        let values = self.codec.encode(&values)?;
        rows.for_each(slots, |slot, row| {
            groups.change(slot, |group| group.push(values.get(row)));
        });
        Ok(())
    }
    fn take(
        &mut self,
        groups: &mut Held<Values>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        self.see_separator(args.get(1));
        let values = self.values(args)?;
        let values = self.codec.encode(&values)?;
        rows.for_each(slots, |slot, row| {
            groups.change(slot, |group| group.take(values.get(row)));
        });
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        let list = self.codec.list_type();
        let fields = [("values", list.clone()), ("owed", list), ("separator", ArrowType::Utf8)];
        ArrowType::Struct(struct_of(&fields))
    }
    fn save(&self, groups: &[&Values]) -> Result<ArrayRef, EvalError> {
        let values: ArrayRef = Arc::new(self.lists(groups)?);
        let owed = groups.iter().flat_map(|group| group.owed());
        let owed: ArrayRef =
            Arc::new(self.codec.decode_lists(groups.iter().map(|group| group.owed().count()), owed)?);
        let separators = groups.iter().map(|_| self.separator.as_deref());
        let separators: ArrayRef = Arc::new(separators.collect::<StringArray>());
        let ArrowType::Struct(fields) = self.saved_type() else { return Err(wrong_argument()) };
        struct_array(fields, vec![values, owed, separators])
    }
    fn merge(&mut self, groups: &mut Held<Values>, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        let parts = saved.as_struct_opt().ok_or_else(|| not_ours(saved))?;
        let [values, owed, separators] = parts.columns() else { return Err(not_ours(saved)) };
        self.see_separator(Some(separators));
        for (lists, is_owed) in [(owed, true), (values, false)] {
            let lists = lists.as_list_opt::<i32>().ok_or_else(|| not_ours(saved))?;
            if lists.value_offsets().first() == lists.value_offsets().last() {
                continue;
            }
            let values = self.codec.encode(lists.values())?;
            for (slot, bounds) in slots.iter().zip(lists.value_offsets().windows(2)) {
                let &[start, end] = bounds else { continue };
                let rows = start as usize..end as usize;
                groups.change(*slot, |group| {
                    for row in rows {
                        match is_owed {
                            true => group.take(values.get(row)),
                            false => group.push(values.get(row)),
                        }
                    }
                });
            }
        }
        Ok(())
    }
    fn results(&self, groups: &[&Values]) -> Result<ArrayRef, EvalError> {
        match self.which {
            Which::First => self.codec.decode(groups.iter().map(|group| group.present().next())),
            Which::Last => self.codec.decode(groups.iter().map(|group| group.present().next_back())),
            Which::Only => {
                if let Some(group) = groups.iter().find(|group| group.length() > 1) {
                    let message = format!("a subquery that gives one value gave {} rows", group.length());
                    return Err(EvalError::new(message));
                }
                self.codec.decode(groups.iter().map(|group| group.present().next()))
            }
            Which::Joined | Which::JsonArray => self.texts(groups),
            Which::Array => self.arrays(groups),
        }
    }
}
