//! Large arrays on large pages.
//!
//! A table of many keys is read at random places: with pages of 4 KiB nearly every read also waits
//! for the page tables, and growing spends more time on page faults than on copying.

/// Arrays from this many bytes on ask for large pages.
const LARGE: usize = 4 << 20;

/// A vector of zeros, on large pages if it is large. The system gives fresh memory as zeros, so
/// nothing is written here: pages come as they are used.
pub(crate) fn zeros(length: usize) -> Vec<u64> {
    let values = vec![0; length];
    prefer_large_pages(&values);
    values
}

/// Makes room for this many more values, on large pages if that is much.
pub(crate) fn reserve<T: Copy>(values: &mut Vec<T>, more: usize) {
    let length = values.len().saturating_add(more);
    if length > values.capacity() {
        grow(values, length);
    }
}

/// Makes a vector longer. A large one moves to twice the room, on large pages.
pub(crate) fn resize<T: Copy>(values: &mut Vec<T>, length: usize, initial: T) {
    reserve(values, length.saturating_sub(values.len()));
    if length > values.len() {
        values.resize(length, initial);
    }
}

/// Makes room for one more value. A large vector moves to twice the room, on large pages.
#[inline]
pub(crate) fn reserve_one<T: Copy>(values: &mut Vec<T>) {
    if values.len() == values.capacity() {
        grow(values, values.len() + 1);
    }
}

#[cold]
fn grow<T: Copy>(values: &mut Vec<T>, length: usize) {
    let room = values.len().saturating_mul(2).max(length).max(64);
    if room.saturating_mul(size_of::<T>()) < LARGE {
        values.reserve_exact(room - values.len());
        return;
    }
    let mut larger = Vec::with_capacity(room);
    prefer_large_pages(&larger);
    larger.extend_from_slice(values);
    *values = larger;
}

/// Tells the system that this memory, had better be on large pages.
#[cfg(target_os = "linux")]
fn prefer_large_pages<T>(values: &Vec<T>) {
    const PAGE: usize = 4096;
    let bytes = values.capacity().saturating_mul(size_of::<T>());
    if bytes < LARGE {
        return;
    }
    let start = (values.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (values.as_ptr() as usize + bytes) / PAGE * PAGE;
    if start < end {
        // SAFETY: the range lies within the vector's own allocation, and the advice changes
        // neither its content nor who may use it. Where it isn't taken, nothing is lost.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn prefer_large_pages<T>(_values: &Vec<T>) {}
