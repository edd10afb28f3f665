//! A table's chain of blocks: which are still needed, and what to write in full next.
//!
//! ```text
//!   epoch      1          2      3      4           5
//!   groups 0   delta ──── d ──── d ──── full ────── d        for group 0 reading starts at 4,
//!          1   delta ──── d ──── d ──── d ───────── full     for group 1 at 5: 1, 2, 3 are garbage
//! ```
//! Invariants
//! - For each group, the newest full block and all later blocks are kept: together they are its
//!   whole state.
//! - A small chain is left alone. A longer one is written anew bit by bit, about as many bytes as
//!   the changes themselves, so that a checkpoint's cost follows what changed and the chain stays
//!   within about three times the live state.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::manifest::{BlockRef, GroupRange, LiveBuckets, OperatorEntry, TableEntry};
use crate::segment::ShardPart;
use crate::snapshot::FullPlan;

/// A chain below this many bytes isn't worth shortening …
const SMALL_BYTES: u64 = 1 << 20;

/// … unless it has more blocks than this.
const MANY_BLOCKS: usize = 256;

/// From which block on each group is read.
#[derive(Debug)]
pub struct FirstNeeded {
    by_group: Vec<usize>,
}

impl FirstNeeded {
    /// The index of the first block that counts for a group.
    pub fn at(&self, group: u16) -> usize {
        self.by_group.get(usize::from(group)).copied().unwrap_or(0)
    }
}

/// From which block on each group is read: the newest full one that covers it.
pub fn first_needed(blocks: &[BlockRef]) -> FirstNeeded {
    let groups = blocks.iter().map(|block| usize::from(block.groups.1)).max().unwrap_or(0);
    let mut by_group = vec![0; groups];
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.full) {
        let range = usize::from(block.groups.0)..usize::from(block.groups.1.max(block.groups.0));
        if let Some(groups) = by_group.get_mut(range) {
            groups.fill(at);
        }
    }
    FirstNeeded { by_group }
}

/// The chain without what isn't needed any more.
pub fn prune(blocks: Vec<BlockRef>, live: Option<&[LiveBuckets]>) -> Vec<BlockRef> {
    let first = first_needed(&blocks);
    let mut kept: Vec<BlockRef> = Vec::with_capacity(blocks.len());
    for (at, mut block) in blocks.into_iter().enumerate() {
        if !block.groups.range().any(|group| first.at(group) <= at) {
            continue;
        }
        let dead = live.is_some_and(|live| is_dead(&block, live));
        if !block.full {
            if !dead {
                kept.push(block);
            }
            continue;
        }
        if dead {
            // No row of it lives, but it still hides the older blocks of its groups.
            (block.bytes, block.rows, block.checksum, block.offset) = (0, 0, 0, 0);
            block.segment.clear();
        }
        if block.bytes > 0 || kept.iter().any(|older| older.groups.overlaps(&block.groups)) {
            kept.push(block);
        }
    }
    kept
}

/// Whether none of a block's buckets lives.
fn is_dead(block: &BlockRef, live: &[LiveBuckets]) -> bool {
    let Some((low, high)) = block.buckets else { return block.rows == 0 };
    let lives = |list: &LiveBuckets| {
        list.groups.overlaps(&block.groups)
            && list.buckets.iter().any(|bucket| (low..=high).contains(&bucket.0) && bucket.1 <= block.epoch)
    };
    !live.iter().any(lives)
}

/// The state of a new checkpoint: that of the one before with what the shards have written.
pub fn advance(
    previous: Option<&BTreeMap<String, OperatorEntry>>,
    parts: &[ShardPart],
) -> BTreeMap<String, OperatorEntry> {
    let mut operators: BTreeMap<String, OperatorEntry> = BTreeMap::new();
    for part in parts {
        for (operator, new) in &part.operators {
            let before = previous.and_then(|previous| previous.get(operator));
            let entry = operators.entry(operator.clone()).or_default();
            if !new.values.is_empty() {
                entry.values.push(new.values.clone());
            }
            for (name, new) in &new.tables {
                let table = entry.tables.entry(name.clone()).or_insert_with(|| TableEntry {
                    blocks: before
                        .and_then(|b| b.tables.get(name))
                        .map_or_else(Vec::new, |t| t.blocks.clone()),
                    ..TableEntry::default()
                });
                table.blocks.extend(new.blocks.iter().cloned());
                table.rows += new.rows;
                if let Some(buckets) = &new.live {
                    let live = LiveBuckets { groups: part.groups, buckets: buckets.clone() };
                    table.live_buckets.get_or_insert_default().push(live);
                }
            }
        }
    }
    for table in operators.values_mut().flat_map(|entry| entry.tables.values_mut()) {
        table.blocks = prune(std::mem::take(&mut table.blocks), table.live_buckets.as_deref());
    }
    operators
}

/// What a shard shall write in full at its next snapshot, by operator and table: only what isn't
/// empty is named.
pub fn plan(operators: &BTreeMap<String, OperatorEntry>, part: &ShardPart) -> BTreeMap<String, FullPlan> {
    let mut plans: BTreeMap<String, FullPlan> = BTreeMap::new();
    for (operator, written) in &part.operators {
        let Some(entry) = operators.get(operator) else { continue };
        for (name, written) in &written.tables {
            let Some(table) = entry.tables.get(name) else { continue };
            let newest = written.blocks.iter().filter(|block| !block.full).map(|block| block.bytes).sum();
            let full = next_full(&table.blocks, &part.groups.range(), written.rows, newest);
            if !full.is_empty() {
                plans.entry(operator.clone()).or_default().insert(name.clone(), full);
            }
        }
    }
    plans
}

/// Which of a shard's groups to write in full next.
///
/// `rows` is the number of rows that live there, `newest` the bytes of the latest changes.
pub fn next_full(blocks: &[BlockRef], owned: &Range<u16>, rows: u64, newest: u64) -> Range<u16> {
    let mine = GroupRange::from(owned);
    if mine.count() == 0 {
        return 0..0;
    }
    let (mut chain_bytes, mut chain_rows, mut count) = (0, 0, 0);
    for block in blocks.iter().filter(|block| block.groups.overlaps(&mine)) {
        // Of a block that an earlier, wider shard wrote, only a share is this one's.
        let share =
            |whole: u64| whole.saturating_mul(block.groups.common(&mine)) / block.groups.count().max(1);
        chain_bytes += share(block.bytes);
        chain_rows += share(block.rows);
        count += 1;
    }
    let live_bytes =
        u128::from(chain_bytes) * u128::from(rows.min(chain_rows)) / u128::from(chain_rows.max(1));
    let live_bytes = live_bytes as u64;
    let long = chain_bytes >= SMALL_BYTES && chain_bytes > live_bytes + live_bytes / 4;
    if !long && count <= MANY_BLOCKS {
        return 0..0;
    }
    let group_bytes = (live_bytes / mine.count()).max(1);
    let length = newest.div_ceil(group_bytes).clamp(1, mine.count()) as u16;
    // The groups whose newest full block is the oldest come first.
    let first = first_needed(blocks);
    let start = owned.clone().min_by_key(|group| first.at(*group)).unwrap_or(owned.start);
    start..start.saturating_add(length).min(owned.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buckets::LiveBucket;

    fn block(epoch: u64, groups: Range<u16>, full: bool, bytes: u64) -> BlockRef {
        BlockRef {
            segment: format!("segments/{epoch}"),
            offset: 16,
            bytes,
            checksum: 0,
            epoch,
            groups: GroupRange::from(&groups),
            full,
            rows: bytes / 32,
            buckets: Some((0, 0)),
        }
    }

    fn epochs(blocks: &[BlockRef]) -> Vec<u64> {
        blocks.iter().map(|block| block.epoch).collect()
    }

    #[test]
    fn a_block_goes_when_all_its_groups_are_written_in_full_later() {
        let chain = vec![block(1, 0..4, false, 9), block(2, 0..2, true, 9), block(3, 0..4, false, 9)];
        assert_eq!(epochs(&prune(chain.clone(), None)), [1, 2, 3]);
        let chain = [chain, vec![block(4, 2..4, true, 9)]].concat();
        assert_eq!(epochs(&prune(chain, None)), [2, 3, 4]);
    }

    #[test]
    fn a_block_goes_with_its_last_bucket_but_keeps_hiding_older_ones() {
        let mut chain = vec![block(1, 0..4, false, 9), block(2, 0..4, true, 9), block(3, 0..4, false, 9)];
        chain[0].groups = GroupRange(0, 5);
        for (block, buckets) in chain.iter_mut().zip([(5, 6), (6, 6), (6, 7)]) {
            block.buckets = Some(buckets);
        }
        let live = |buckets: &[(i64, u64)]| {
            let buckets = buckets.iter().map(|(bucket, born)| LiveBucket(*bucket, *born)).collect();
            [LiveBuckets { groups: GroupRange(0, 5), buckets }]
        };
        assert_eq!(epochs(&prune(chain.clone(), Some(&live(&[(5, 1), (6, 1), (7, 3)])))), [1, 2, 3]);
        let pruned = prune(chain.clone(), Some(&live(&[(5, 1), (7, 3)])));
        assert_eq!(epochs(&pruned), [1, 2, 3]);
        assert_eq!((pruned[1].bytes, pruned[1].full), (0, true));
        // Bucket 6 came back in epoch 3: what block 2 had of it is dead.
        assert_eq!(epochs(&prune(chain.clone(), Some(&live(&[(6, 3)])))), [3]);
        assert!(prune(chain, Some(&live(&[]))).is_empty());
    }

    /// A million rows of 32 bytes, of which a part changes in every epoch.
    #[test]
    fn the_chain_stays_within_three_times_the_state_and_a_checkpoint_follows_its_changes() {
        let (rows, groups) = (1_000_000_u64, 0..64_u16);
        let state = rows * 32;
        for changed in [rows / 10_000, rows / 100, rows / 10, rows] {
            let mut chain = vec![block(1, groups.clone(), false, state)];
            let (mut full, mut written, mut longest) = (0..0_u16, 0, 0);
            for epoch in 2..1002 {
                let delta = changed * 32;
                let whole = state * u64::from(full.end - full.start) / 64;
                if !full.is_empty() {
                    chain.push(block(epoch, full.clone(), true, whole));
                }
                chain.push(block(epoch, groups.clone(), false, delta));
                written += whole + delta;
                chain = prune(chain, None);
                longest = longest.max(chain.iter().map(|block| block.bytes).sum::<u64>());
                full = next_full(&chain, &groups, rows, delta);
            }
            let mean = written / 1000;
            assert!(
                mean <= 3 * changed * 32 || changed < rows / 100,
                "{changed} rows: {mean} bytes a checkpoint"
            );
            assert!(longest * 10 <= state * 35, "{changed} rows: {longest} bytes for a state of {state}");
            assert!(chain.len() <= 600, "{changed} rows: {} blocks", chain.len());
        }
    }
}
