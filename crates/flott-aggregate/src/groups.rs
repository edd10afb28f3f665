//! A column of groups of varying size: what functions keep that need more than one value.
//!
//! ```text
//!   slot 0: [a b a]   slot 1: []   slot 2: [c]         bytes held: counted as they come and go
//! ```
//! The counterpart of [`crate::cells`] for values on the heap. Loading is forgetting, then merging.

use std::{any::Any, fmt};

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    datatypes::DataType as ArrowType,
};
use flott_expr::EvalError;
use flott_state::StateColumn;
use flott_types::Result;

use crate::{
    Accumulator,
    cells::{check_shape, not_ours, not_saved},
    selection::Selection,
};

/// What is kept for a group.
pub(crate) trait Group: Default + Send + fmt::Debug + 'static {
    /// About how many bytes it holds besides its own size.
    fn bytes(&self) -> usize;
}

/// An aggregate function over groups of varying size.
pub(crate) trait Gather: Send + fmt::Debug + 'static {
    /// What is kept for a group.
    type Group: Group;

    /// Which rows count: by default those without a NULL.
    fn selection(&self, args: &[ArrayRef], filter: Option<&BooleanArray>) -> Selection {
        Selection::present(args, filter)
    }
    /// Adds the rows that count. An error leaves the groups as they were.
    fn add(
        &mut self,
        groups: &mut Held<Self::Group>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError>;
    /// Takes rows back.
    fn take(
        &mut self,
        groups: &mut Held<Self::Group>,
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError>;
    /// The Arrow type of saved groups.
    fn saved_type(&self) -> ArrowType;
    /// Groups as an array.
    fn save(&self, groups: &[&Self::Group]) -> Result<ArrayRef, EvalError>;
    /// Adds saved groups, of [`Gather::saved_type`], behind what there is.
    fn merge(
        &mut self,
        groups: &mut Held<Self::Group>,
        slots: &[u32],
        saved: &ArrayRef,
    ) -> Result<(), EvalError>;
    /// The results.
    fn results(&self, groups: &[&Self::Group]) -> Result<ArrayRef, EvalError>;
}

/// The groups by slot, and how much they hold.
#[derive(Debug)]
pub(crate) struct Held<G> {
    groups: Vec<G>,
    bytes: usize,
}

impl<G: Group> Held<G> {
    /// Changes the group of a slot.
    #[inline]
    pub(crate) fn change<R>(&mut self, slot: u32, change: impl FnOnce(&mut G) -> R) -> Option<R> {
        let group = self.groups.get_mut(slot as usize)?;
        let before = group.bytes();
        let result = change(group);
        self.bytes = (self.bytes + group.bytes()).saturating_sub(before);
        Some(result)
    }
    /// The group of a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&G> {
        self.groups.get(slot as usize)
    }
}

/// The accumulator of a [`Gather`].
#[derive(Debug)]
pub(crate) struct Groups<F: Gather> {
    gather: F,
    held: Held<F::Group>,
    fresh: F::Group,
}

impl<F: Gather> Groups<F> {
    pub(crate) fn boxed(gather: F) -> Box<dyn Accumulator> {
        let held = Held { groups: Vec::new(), bytes: 0 };
        Box::new(Self { gather, held, fresh: F::Group::default() })
    }
    fn at(&self, slots: &[u32]) -> Vec<&F::Group> {
        slots.iter().map(|slot| self.held.get(*slot).unwrap_or(&self.fresh)).collect()
    }
}

impl<F: Gather> StateColumn for Groups<F> {
    fn grow(&mut self, slots_end: usize) {
        if slots_end > self.held.groups.len() {
            self.held.groups.resize_with(slots_end, F::Group::default);
        }
    }
    fn reset(&mut self, slots: &[u32]) {
        for slot in slots {
            self.held.change(*slot, |group| *group = F::Group::default());
        }
    }
    fn saved_type(&self) -> ArrowType {
        self.gather.saved_type()
    }
    fn save(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.gather.save(&self.at(slots)).map_err(not_saved)
    }
    fn load(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<()> {
        check_shape(&self.gather.saved_type(), slots, saved)?;
        self.reset(slots);
        self.gather.merge(&mut self.held, slots, saved).map_err(not_saved)
    }
    fn memory(&self) -> usize {
        self.held.bytes + self.held.groups.capacity() * size_of::<F::Group>()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<F: Gather> Accumulator for Groups<F> {
    fn update(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let rows = self.gather.selection(args, filter);
        self.gather.add(&mut self.held, slots, args, &rows)
    }
    fn retract(
        &mut self,
        slots: &[u32],
        args: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(), EvalError> {
        let rows = self.gather.selection(args, filter);
        self.gather.take(&mut self.held, slots, args, &rows)
    }
    fn merge(&mut self, slots: &[u32], saved: &ArrayRef) -> Result<(), EvalError> {
        if *saved.data_type() != self.gather.saved_type() || saved.len() < slots.len() {
            return Err(not_ours(saved));
        }
        self.gather.merge(&mut self.held, slots, saved)
    }
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef, EvalError> {
        self.gather.results(&self.at(slots))
    }
}
