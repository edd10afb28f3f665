//! A binary heap whose order among equals is defined: that of Java's `PriorityQueue`.
//!
//! Which of two matches that begin with the same row comes out first is up to the heap in Flink. Its
//! steps are repeated here, so that the same one does.
//!
//! ```text
//!   children of i: 2i + 1, 2i + 2      a parent is never greater than its children
//! ```

/// Adds an item.
pub(crate) fn push<T>(heap: &mut Vec<T>, item: T, key: impl Fn(&T) -> i64) {
    heap.push(item);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(heap, at, parent, &key) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Takes the least item.
pub(crate) fn pop<T>(heap: &mut Vec<T>, key: impl Fn(&T) -> i64) -> Option<T> {
    if heap.is_empty() {
        return None;
    }
    let least = heap.swap_remove(0);
    sift_down(heap, 0, &key);
    Some(least)
}

/// Takes out the items that are unwanted.
pub(crate) fn retain<T>(heap: &mut Vec<T>, wanted: impl Fn(&T) -> bool, key: impl Fn(&T) -> i64) {
    let before = heap.len();
    heap.retain(wanted);
    if heap.len() < before {
        for at in (0..heap.len() / 2).rev() {
            sift_down(heap, at, &key);
        }
    }
}

fn less<T>(heap: &[T], a: usize, b: usize, key: &impl Fn(&T) -> i64) -> bool {
    match (heap.get(a), heap.get(b)) {
        (Some(a), Some(b)) => key(a) < key(b),
        _ => false,
    }
}

fn sift_down<T>(heap: &mut [T], mut at: usize, key: &impl Fn(&T) -> i64) {
    loop {
        let mut child = 2 * at + 1;
        if child >= heap.len() {
            return;
        }
        if less(heap, child + 1, child, key) {
            child += 1;
        }
        if !less(heap, child, at, key) {
            return;
        }
        heap.swap(child, at);
        at = child;
    }
}
