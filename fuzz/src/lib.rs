//! What the targets in `fuzz_targets/` have in common; CONTRIBUTING.md says how to run them.
//!
//! ```text
//!   libFuzzer ── bytes ──► target!("json") ──► flott_formats::conformance::fuzzing ── doesn't hold ──► abort
//!       ▲                                                    │
//!       └──────────── which branches were taken ◄────────────┘
//! ```
//!
//! The rules are the same as those of the tests of `flott-formats`, and so are the tables (`tests/cases`). Beside
//! them, no allocation may be larger than [`ALLOCATION_MAX`]: a length in the data must not decide about memory.
//! libFuzzer's own `-malloc_limit_mb` needs a sanitizer, and with it a nightly compiler; this one doesn't.

#[path = "../../crates/flott-formats/tests/cases/mod.rs"]
pub mod cases;

use std::alloc::{GlobalAlloc, Layout, System};

use flott_formats::conformance::fuzzing::Target;

/// No allocation is larger. Blocks of files may expand to 64 MiB, and buffers double as they grow.
pub const ALLOCATION_MAX: usize = 256 << 20;

struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

fn bounded(bytes: usize) {
    if bytes > ALLOCATION_MAX {
        eprintln!("an allocation of {bytes} bytes, more than {ALLOCATION_MAX}");
        std::process::abort();
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        bounded(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        bounded(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        bounded(bytes);
        unsafe { System.realloc(pointer, layout, bytes) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The target of this name.
///
/// # Panics
/// There is none.
pub fn target(name: &str) -> Target {
    cases::targets::target(name).unwrap_or_else(|| panic!("no target '{name}'")).target
}

/// Looks at one input.
///
/// # Panics
/// A rule doesn't hold.
pub fn check(target: &Target, input: &[u8]) {
    if let Err(error) = target.check(input) {
        panic!("{}: {error}", target.name);
    }
}

/// The body of a target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        thread_local! {
            static TARGET: flott_formats::conformance::fuzzing::Target = $crate::target($name);
        }

        libfuzzer_sys::fuzz_target!(|input: &[u8]| TARGET.with(|target| $crate::check(target, input)));
    };
}
