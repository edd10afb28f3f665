//! Long hopping windows: merging that doesn't grow with the number of slices in a window.
//!
//! Merging all slices anew for every window costs size over slide. Instead two stacks are kept, as
//! in a queue made of two stacks: what comes in is added to one running pane, and what goes out is
//! covered by panes made in advance, from each slice to the end of the stack.
//!
//! ```text
//!   slices      1  2  3  4  5  6  7  8  9 │ 10 11 12          window = (2, 12]
//!   front       └─────── merged until 9 ──┘                   from 3 on: [3] + blocks [4..9]
//!   back                                    └──────► running
//!
//!   front, in blocks of about √n slices:
//!      blocks      [1..9]    [4..9]    [7..9]                 one pane per block, to the end
//!      within      [1..3] [2..3] [3]                          one per slice, to its block's end
//! ```
//! A window is `within + blocks + back`: three merges, however long it is. Each slice is merged
//! three times over its life.
//!
//! Nothing here is state of its own, except rows that come for a slice which is already merged: they
//! are kept at the side until their windows are out. The stacks are made again after a restore.

use std::sync::Arc;

use flott_types::Result;

use super::assign::Slicer;
use super::pane::{Aggregation, Pane, PaneRef, Panes};

/// Windows of at most this many slices are merged slice by slice.
const DIRECT_SLICES: i64 = 8;

/// The two stacks.
#[derive(Debug)]
pub(crate) struct HopMerger {
    aggregation: Arc<Aggregation>,
    late: Panes,
    front: Front,
    back: Option<Pane>,
    /// Slices up to here are in the stacks.
    merged: i64,
}

#[derive(Debug, Default)]
struct Front {
    /// The slices that had rows, rising.
    slices: Vec<i64>,
    block: usize,
    /// From each block's first slice to the front's end. None: not needed any more.
    blocks: Vec<Option<Pane>>,
    /// Of one block: from each of its slices to the block's end.
    within: Vec<Option<Pane>>,
    within_block: Option<usize>,
}

impl HopMerger {
    /// None: the windows don't hop, or are short.
    pub(crate) fn new(slicer: Slicer, aggregation: &Arc<Aggregation>) -> Option<Self> {
        if slicer.is_cumulating() || slicer.slices() <= DIRECT_SLICES {
            return None;
        }
        Some(Self {
            late: Panes::new(aggregation),
            aggregation: aggregation.clone(),
            front: Front::default(),
            back: None,
            merged: i64::MIN,
        })
    }

    /// Whether rows of this slice must go to the side.
    pub(crate) fn has_merged(&self, slice: i64) -> bool {
        slice <= self.merged
    }

    /// Rows that came for slices which were already merged.
    pub(crate) fn late_mut(&mut self) -> &mut Panes {
        &mut self.late
    }

    /// The first slice that has rows at the side.
    pub(crate) fn first(&self) -> Option<i64> {
        self.late.first()
    }

    /// All slices of a window, merged.
    pub(crate) fn window(&mut self, slices: &Panes, start: i64, end: i64) -> Result<Option<Pane>> {
        if self.front.slices.last().is_none_or(|last| *last <= start) {
            let of_window = slices.buckets().filter(|slice| (start + 1..=end).contains(slice)).collect();
            self.front = Front::build(&self.aggregation, slices, of_window)?;
            self.back = None;
        } else {
            let fresh: Vec<i64> =
                slices.buckets().filter(|slice| *slice > self.merged && *slice <= end).collect();
            for slice in fresh {
                let back = match &mut self.back {
                    Some(back) => back,
                    None => self.back.insert(self.aggregation.pane()?),
                };
                if let Some(pane) = slices.get(slice) {
                    self.aggregation.fold(&pane, &mut back.as_mut())?;
                }
            }
        }
        self.merged = self.merged.max(end);
        let mut parts: Vec<PaneRef<'_>> = self.front.from(&self.aggregation, slices, start)?;
        parts.extend(self.back.as_ref().map(Pane::as_ref));
        let late = self.late.buckets().filter(|slice| (start + 1..=end).contains(slice));
        parts.extend(late.filter_map(|slice| self.late.get(slice)));
        if parts.is_empty() {
            return Ok(None);
        }
        let mut window = self.aggregation.pane()?;
        parts.iter().try_for_each(|part| self.aggregation.fold(part, &mut window.as_mut()))?;
        Ok(Some(window))
    }

    /// Forgets rows at the side whose last window is out.
    pub(crate) fn drop_until(&mut self, slicer: Slicer, end: i64) {
        while let Some(slice) = self.late.first().filter(|slice| slicer.last_window(*slice) <= end) {
            self.late.remove(slice);
        }
    }

    pub(crate) fn memory(&self) -> usize {
        let panes = self.front.blocks.iter().chain(&self.front.within).flatten().chain(&self.back);
        self.late.memory() + panes.map(|pane| pane.main.memory()).sum::<usize>()
    }
}

impl Front {
    fn build(aggregation: &Aggregation, panes: &Panes, slices: Vec<i64>) -> Result<Self> {
        let block = slices.len().isqrt().max(1);
        let mut blocks: Vec<Option<Pane>> = Vec::new();
        // The first block is never asked for as a whole.
        for of_block in slices.chunks(block).skip(1).rev() {
            let mut pane = aggregation.pane()?;
            if let Some(Some(later)) = blocks.last() {
                aggregation.fold(&later.as_ref(), &mut pane.as_mut())?;
            }
            for slice in of_block {
                if let Some(from) = panes.get(*slice) {
                    aggregation.fold(&from, &mut pane.as_mut())?;
                }
            }
            blocks.push(Some(pane));
        }
        blocks.push(None);
        blocks.reverse();
        Ok(Self { slices, block, blocks, within: Vec::new(), within_block: None })
    }

    /// What the front has of a window that starts here.
    fn from<'a>(
        &'a mut self,
        aggregation: &Aggregation,
        panes: &Panes,
        start: i64,
    ) -> Result<Vec<PaneRef<'a>>> {
        let first = self.slices.partition_point(|slice| *slice <= start);
        if first >= self.slices.len() {
            return Ok(Vec::new());
        }
        let block = first / self.block.max(1);
        if self.within_block != Some(block) {
            self.enter(aggregation, panes, block)?;
        }
        let at = first - block * self.block;
        self.within.iter_mut().take(at).for_each(|done| *done = None);
        let within = self.within.get(at).and_then(Option::as_ref);
        let later = self.blocks.get(block + 1).and_then(Option::as_ref);
        Ok(within.into_iter().chain(later).map(Pane::as_ref).collect())
    }

    fn enter(&mut self, aggregation: &Aggregation, panes: &Panes, block: usize) -> Result<()> {
        self.blocks.iter_mut().take(block + 1).for_each(|done| *done = None);
        let mut within: Vec<Option<Pane>> = Vec::new();
        for slice in self.slices.chunks(self.block.max(1)).nth(block).unwrap_or_default().iter().rev() {
            let mut pane = aggregation.pane()?;
            if let Some(Some(later)) = within.last() {
                aggregation.fold(&later.as_ref(), &mut pane.as_mut())?;
            }
            if let Some(from) = panes.get(*slice) {
                aggregation.fold(&from, &mut pane.as_mut())?;
            }
            within.push(Some(pane));
        }
        within.reverse();
        (self.within, self.within_block) = (within, Some(block));
        Ok(())
    }
}
