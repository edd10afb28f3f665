//! Slices in files: what the common conformance of all operators doesn't see.

use super::budget::{Entry, Meter};
use super::*;

#[test]
fn the_largest_operator_is_cut_and_slices_share_half_of_the_budget() {
    let budget = MemoryBudget::new(1 << 20);
    let (mut large, mut small) = (Entry::new(budget.clone(), true), Entry::new(budget.clone(), true));
    large.set(400 << 10);
    small.set(100 << 10);
    assert!(!budget.must_cut(400 << 10), "all fits, and a copy of it");
    assert!(!Entry::new(budget.clone(), true).reserve(600 << 10), "no room");
    assert!(Entry::new(budget.clone(), true).reserve(524 << 10));
    small.set(200 << 10);
    assert!(budget.must_cut(400 << 10) && !budget.must_cut(200 << 10), "no room for a copy");
    large.cut();
    assert_eq!((budget.used(), budget.for_slices()), (200 << 10, 512 << 10));
    drop((large, small));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_meter_asks_often_while_little_is_there() {
    let mut meter = Meter::new(1 << 30);
    assert!(!meter.add(10 << 10) && meter.add(10 << 10));
    meter.measured(80 << 20, 1 << 30);
    assert!(!meter.add(9 << 20) && meter.add(2 << 20));
}
