//! Which windows a time belongs to.
//!
//! Windows that overlap are cut into *slices* none of which a window contains by halves. A row
//! counts in one slice; a window is the sum of its slices.
//!
//! ```text
//!   TUMBLE      │── window ──│── window ──│              slice = window
//!   HOP         │─────── window ───────│                 slice = gcd(slide, size)
//!               │ slice │─────── window ───────│
//!   CUMULATE    │ w1 │                                   slice = step
//!               │── w2 ──│ slice │
//!               │───── w3 ─────│
//! ```
//! A slice or window goes by its end; it contains the times from its start up to, but without, its
//! end. Windows are aligned to the epoch plus the offset, before the epoch as after it.
//!
//! Source: Flink, `TimeWindow.getWindowStartWithOffset`, `SliceAssigners`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType as ArrowType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use flott_sql::WindowKind;
use flott_types::{Code, Diagnostic, Result};

use super::local_time::WindowClock;

/// The last slice start at or before a time.
pub(crate) fn aligned(time: i64, offset: i64, length: i64) -> i64 {
    let length = length.max(1);
    // In 128 bits: near the ends of the range the subtraction alone may not fit.
    let start = i128::from(time) - (i128::from(time) - i128::from(offset)).rem_euclid(i128::from(length));
    i64::try_from(start).unwrap_or(i64::MIN)
}

/// The arithmetic of one kind of windows with fixed bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slicer {
    /// From one window's end to the next one's.
    pub(crate) slide: i64,
    /// Length of a slice.
    pub(crate) slice: i64,
    /// Length of the (longest) window.
    pub(crate) size: i64,
    offset: i64,
    cumulate: bool,
}

impl Slicer {
    /// None: a session, which has no fixed bounds.
    pub(crate) fn new(kind: &WindowKind, offset: i64) -> Option<Self> {
        let slicer = |slide, slice, size, cumulate| Some(Self { slide, slice, size, offset, cumulate });
        match *kind {
            WindowKind::Tumble { size_millis } => slicer(size_millis, size_millis, size_millis, false),
            WindowKind::Hop { slide_millis, size_millis } => {
                slicer(slide_millis, gcd(slide_millis, size_millis), size_millis, false)
            }
            WindowKind::Cumulate { step_millis, size_millis } => {
                slicer(step_millis, step_millis, size_millis, true)
            }
            WindowKind::Session { .. } => None,
        }
    }

    /// Whether every slice is a window of its own.
    pub(crate) fn is_tumbling(&self) -> bool {
        self.slice == self.size
    }

    /// Whether windows begin together and grow.
    pub(crate) fn is_cumulating(&self) -> bool {
        self.cumulate && !self.is_tumbling()
    }

    /// The end of the slice that a time falls into.
    pub(crate) fn slice_end(&self, time: i64) -> i64 {
        aligned(time, self.offset, self.slice).saturating_add(self.slice)
    }

    /// The first end of a window at or after this time: of a slice's end, the first window that
    /// contains the slice.
    pub(crate) fn first_window(&self, time: i64) -> i64 {
        // Ends lie at the offset plus the size, every slide.
        let ends = self.offset.wrapping_add(self.size % self.slide.max(1));
        aligned(time.saturating_sub(1), ends, self.slide).saturating_add(self.slide)
    }

    /// The end of the last window that contains this slice, or that would, if windows lie apart.
    pub(crate) fn last_window(&self, slice_end: i64) -> i64 {
        let time = slice_end.saturating_sub(self.slice);
        let window = if self.cumulate { self.size } else { self.slide };
        aligned(time, self.offset, window).saturating_add(self.size)
    }

    /// Whether any window contains this slice: not, if windows lie apart and it lies between.
    pub(crate) fn is_covered(&self, slice_end: i64) -> bool {
        self.slide <= self.size || slice_end <= self.last_window(slice_end)
    }

    /// Where a window with this end starts.
    pub(crate) fn window_start(&self, end: i64) -> i64 {
        if self.cumulate {
            aligned(end.saturating_sub(1), self.offset, self.size)
        } else {
            end.saturating_sub(self.size)
        }
    }

    /// The ends of all windows that contain this slice, rising.
    #[cfg(test)]
    pub(crate) fn windows(&self, slice_end: i64) -> impl Iterator<Item = i64> {
        let (first, last, slide) =
            (self.first_window(slice_end), self.last_window(slice_end), self.slide.max(1));
        std::iter::successors(Some(first), move |end| end.checked_add(slide))
            .take_while(move |end| *end <= last)
    }

    /// How many slices a window has at the most.
    pub(crate) fn slices(&self) -> i64 {
        self.size / self.slice.max(1)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.max(1), b.max(1));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A time column in milliseconds, rounded down. NULLs are some number.
///
/// # Errors
/// `Internal`: not a time column.
pub(crate) fn millis(column: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    let ArrowType::Timestamp(unit, _) = column.data_type() else {
        return Err(Diagnostic::error(Code::Internal, format!("{} is no time", column.data_type())));
    };
    let scaled = |values: &[i64], per_milli: i64| -> ScalarBuffer<i64> {
        values.iter().map(|value| value.div_euclid(per_milli)).collect()
    };
    Ok(match unit {
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values().clone(),
        TimeUnit::Microsecond => scaled(column.as_primitive::<TimestampMicrosecondType>().values(), 1_000),
        TimeUnit::Nanosecond => scaled(column.as_primitive::<TimestampNanosecondType>().values(), 1_000_000),
        TimeUnit::Second => {
            let values = column.as_primitive::<TimestampSecondType>().values();
            values.iter().map(|value| value.saturating_mul(1_000)).collect()
        }
    })
}

/// A column of milliseconds as one of this time type.
///
/// # Errors
/// `Internal`: not a time type; `EvaluationFailed`: outside the range of its unit.
pub(crate) fn time_column(values: Vec<i64>, data_type: &ArrowType) -> Result<ArrayRef> {
    let ArrowType::Timestamp(unit, zone) = data_type else {
        return Err(Diagnostic::error(Code::Internal, format!("{data_type} is no time")));
    };
    let zone = zone.clone();
    let factor = match unit {
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1_000_000,
        TimeUnit::Millisecond | TimeUnit::Second => 1,
    };
    let mut values = values;
    for value in &mut values {
        *value = match unit {
            TimeUnit::Second => value.div_euclid(1_000),
            _ => value.checked_mul(factor).ok_or_else(|| out_of_range(*value, data_type))?,
        };
    }
    use arrow::array::PrimitiveArray as P;
    let buffer: ScalarBuffer<i64> = values.into();
    Ok(match unit {
        TimeUnit::Second => Arc::new(P::<TimestampSecondType>::new(buffer, None).with_timezone_opt(zone)),
        TimeUnit::Millisecond => {
            Arc::new(P::<TimestampMillisecondType>::new(buffer, None).with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(P::<TimestampMicrosecondType>::new(buffer, None).with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            Arc::new(P::<TimestampNanosecondType>::new(buffer, None).with_timezone_opt(zone))
        }
    })
}

fn out_of_range(millis: i64, data_type: &ArrowType) -> Box<Diagnostic> {
    let message = format!("the window's time, {millis} ms since 1970, does not fit {data_type}");
    Diagnostic::error(Code::EvaluationFailed, message)
        .help("declare the time column as TIMESTAMP(3): it holds any year")
}

/// Which rows have a time; none: all.
pub(crate) fn rows_with_time(column: &ArrayRef) -> Option<BooleanArray> {
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0)?;
    Some(BooleanArray::new(nulls.inner().clone(), None))
}

/// Cuts a time column into slices. Rows mostly come in order of time, so the last slice's bounds
/// answer for nearly all of them.
#[derive(Debug, Clone)]
pub(crate) struct Assigner {
    pub(crate) slicer: Slicer,
    clock: WindowClock,
    /// Times from `low` to below `high` are in the slice that ends at `end`.
    low: i64,
    high: i64,
    end: i64,
}

/// Clocks change at multiples of this.
const QUARTER_HOUR_MILLIS: i64 = 900_000;

impl Assigner {
    pub(crate) fn new(slicer: Slicer, clock: WindowClock) -> Self {
        Self { slicer, clock, low: 0, high: 0, end: 0 }
    }

    /// The end of the slice of an instant (or a time without a zone).
    #[inline]
    pub(crate) fn slice_end(&mut self, millis: i64) -> i64 {
        if millis < self.low || millis >= self.high {
            self.look_up(millis);
        }
        self.end
    }

    /// Whether an instant is in the slice that was last asked for.
    #[inline]
    pub(crate) fn is_in_last(&self, millis: i64) -> bool {
        (self.low..self.high).contains(&millis)
    }

    #[cold]
    fn look_up(&mut self, millis: i64) {
        let local = self.clock.to_local(millis);
        self.end = self.slicer.slice_end(local);
        let shift = millis.saturating_sub(local);
        self.high = self.end.saturating_add(shift);
        self.low = self.end.saturating_sub(self.slicer.slice).saturating_add(shift);
        if self.clock.is_shifted() {
            let quarter = aligned(millis, 0, QUARTER_HOUR_MILLIS);
            self.low = self.low.max(quarter);
            self.high = self.high.min(quarter.saturating_add(QUARTER_HOUR_MILLIS));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hop(slide_millis: i64, size_millis: i64, offset: i64) -> Slicer {
        Slicer::new(&WindowKind::Hop { slide_millis, size_millis }, offset).unwrap()
    }

    #[test]
    fn windows_before_the_epoch_are_aligned_as_those_after_it() {
        let tumble = Slicer::new(&WindowKind::Tumble { size_millis: 10 }, 3).unwrap();
        assert_eq!([-8, -7, 2, 3].map(|time| tumble.slice_end(time)), [-7, 3, 3, 13]);
        assert_eq!(tumble.window_start(-7), -17);
    }

    #[test]
    fn a_hop_whose_slide_does_not_divide_its_size_has_slices_of_the_common_divisor() {
        let slicer = hop(6, 9, 0);
        assert_eq!(slicer.slice, 3);
        // [0,9) and [6,15) share [6,9).
        assert_eq!(slicer.windows(slicer.slice_end(7)).collect::<Vec<_>>(), [9, 15]);
        assert_eq!(slicer.windows(slicer.slice_end(4)).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn hops_may_lie_apart() {
        let slicer = hop(10, 4, 0);
        let covered = |time: i64| slicer.is_covered(slicer.slice_end(time));
        assert!(covered(3) && !covered(4) && !covered(9) && covered(10));
        assert_eq!(slicer.windows(slicer.slice_end(11)).collect::<Vec<_>>(), [14]);
        assert_eq!(slicer.windows(slicer.slice_end(5)).count(), 0);
    }

    #[test]
    fn cumulating_windows_begin_together() {
        let slicer = Slicer::new(&WindowKind::Cumulate { step_millis: 5, size_millis: 15 }, 0).unwrap();
        assert_eq!(slicer.windows(slicer.slice_end(7)).collect::<Vec<_>>(), [10, 15]);
        assert_eq!([5, 10, 15, 20].map(|end| slicer.window_start(end)), [0, 0, 0, 15]);
    }

    proptest! {
        /// The windows of a time are exactly those that contain it.
        #[test]
        fn windows_are_those_that_contain_the_time(
            slide in 1_i64..20, size in 1_i64..60, offset in -30_i64..30, time in -500_i64..500,
        ) {
            let slicer = hop(slide, size, offset);
            let wanted: Vec<i64> = (-700..700)
                .filter(|start| (start - offset).rem_euclid(slide) == 0 && (*start..start + size).contains(&time))
                .map(|start| start + size)
                .collect();
            prop_assert_eq!(slicer.windows(slicer.slice_end(time)).collect::<Vec<_>>(), wanted);
        }

        /// The remembered bounds never answer for a time outside them.
        #[test]
        fn remembering_changes_nothing(times in prop::collection::vec(1_635_000_000_000_i64..1_637_000_000_000, 1..50)) {
            let slicer = Slicer::new(&WindowKind::Tumble { size_millis: 3_600_000 }, 0).unwrap();
            let clock = WindowClock::new(true, chrono_tz::America::Los_Angeles);
            let mut assigner = Assigner::new(slicer, clock);
            for time in times {
                prop_assert_eq!(assigner.slice_end(time), slicer.slice_end(clock.to_local(time)));
            }
        }
    }
}
