//! `CASE x WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE 'c' END`: whole numbers to constants, by a table.
//!
//! ```text
//!   x           2  1  7  NULL
//!   x - least   1  0  6           ─► table [0, 1], everything else is place 2
//!   place       1  0  2  2        ─► constants ['a', 'b', 'c']
//! ```
//! Invariants
//! - The first branch that names a number counts, as in any CASE.
//! - What is chosen is what the branches would have given one by one: only constants, so that nothing can
//!   fail and nothing needs to be left out.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, GenericByteArray, PrimitiveArray,
        StringArray, UInt32Array, downcast_primitive_array,
    },
    buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    compute::{concat, take},
    datatypes::{ByteArrayType, DataType as ArrowType, Int8Type, Int16Type, Int32Type, Int64Type},
    error::ArrowError,
};

/// The numbers of a switch lie this close together at the most: its table stays in the nearest cache.
const SPAN_MAX: i64 = 4096;
/// A text of a switch is copied as a whole word of this many bytes, whatever its length.
const TEXT_BYTES_MAX: usize = 16;
/// Places are bytes.
const PLACES: usize = 1 << u8::BITS;

/// A CASE of a whole number whose values are constants.
#[derive(Debug)]
pub(crate) struct Switch {
    least: i64,
    /// The place of `least`, `least + 1`, …
    table: Box<[u8]>,
    /// The place of all other numbers.
    otherwise: u8,
    /// By place.
    constants: ArrayRef,
    /// The constants, if they are short texts.
    texts: Option<Texts>,
}

/// Short texts or bytes.
#[derive(Debug)]
struct Texts {
    words: Box<[([u8; TEXT_BYTES_MAX], u8); PLACES]>,
    longest: usize,
}

impl Switch {
    /// From each branch's number and value, and the value of everything else; `None` if a table would not
    /// do. The values are arrays of one row.
    pub(crate) fn new(branches: &[(i64, ArrayRef)], otherwise: &ArrayRef) -> Option<Self> {
        let numbers = || branches.iter().map(|branch| branch.0);
        let (least, most) = (numbers().min()?, numbers().max()?);
        let span = most.checked_sub(least).filter(|span| *span < SPAN_MAX)?;
        let last = u8::try_from(branches.len()).ok()?;
        let mut table = vec![last; usize::try_from(span).ok()? + 1];
        for (place, number) in (0..last).zip(numbers()).rev() {
            *table.get_mut(usize::try_from(number - least).ok()?)? = place;
        }
        let values: Vec<&dyn Array> =
            branches.iter().map(|branch| branch.1.as_ref()).chain([otherwise.as_ref()]).collect();
        let constants = concat(&values).ok()?;
        let texts = match constants.data_type() {
            ArrowType::Utf8 => Texts::of(constants.as_string::<i32>()),
            ArrowType::Binary => Texts::of(constants.as_binary::<i32>()),
            _ => None,
        };
        Some(Self { least, table: table.into(), otherwise: last, constants, texts })
    }

    /// The constant of every number; `None` if they aren't whole numbers.
    ///
    /// # Errors
    /// More than an array can hold.
    pub(crate) fn choose(&self, numbers: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
        let places = match numbers.data_type() {
            ArrowType::Int8 => self.places(numbers.as_primitive::<Int8Type>()),
            ArrowType::Int16 => self.places(numbers.as_primitive::<Int16Type>()),
            ArrowType::Int32 => self.places(numbers.as_primitive::<Int32Type>()),
            ArrowType::Int64 => self.places(numbers.as_primitive::<Int64Type>()),
            _ => return Ok(None),
        };
        self.gather(&places).map(Some)
    }

    fn places<T: ArrowPrimitiveType<Native: Into<i64>>>(&self, numbers: &PrimitiveArray<T>) -> Vec<u8> {
        let place = |number: T::Native| {
            // A number below the least one becomes a large one.
            let at = number.into().wrapping_sub(self.least) as u64;
            usize::try_from(at).ok().and_then(|at| self.table.get(at)).copied().unwrap_or(self.otherwise)
        };
        let mut places: Vec<u8> = numbers.values().iter().map(|number| place(*number)).collect();
        if let Some(nulls) = numbers.nulls().filter(|nulls| nulls.null_count() > 0) {
            for (place, valid) in places.iter_mut().zip(nulls) {
                *place = if valid { *place } else { self.otherwise };
            }
        }
        places
    }

    fn gather(&self, places: &[u8]) -> Result<ArrayRef, ArrowError> {
        if let Some(texts) = self.texts.as_ref().filter(|texts| texts.fit(places.len())) {
            let (offsets, bytes) = texts.gather(places);
            let nulls = self.nulls(places);
            // SAFETY: the offsets rise and end with the last byte; between two of them is one constant or
            // nothing, so texts are whole.
            return Ok(unsafe {
                if *self.constants.data_type() == ArrowType::Utf8 {
                    Arc::new(StringArray::new_unchecked(offsets, bytes, nulls))
                } else {
                    Arc::new(BinaryArray::new_unchecked(offsets, bytes, nulls))
                }
            });
        }
        let constants = self.constants.as_ref();
        downcast_primitive_array!(
            constants => Ok(self.gather_numbers(constants, places)),
            _ => take(constants, &UInt32Array::from_iter_values(places.iter().map(|it| u32::from(*it))), None)
        )
    }

    fn gather_numbers<T: ArrowPrimitiveType>(
        &self,
        constants: &PrimitiveArray<T>,
        places: &[u8],
    ) -> ArrayRef {
        let mut by_place = [T::Native::default(); PLACES];
        by_place.iter_mut().zip(constants.values()).for_each(|(place, constant)| *place = *constant);
        let values: ScalarBuffer<T::Native> =
            places.iter().map(|place| by_place[usize::from(*place)]).collect::<Vec<_>>().into();
        let numbers = PrimitiveArray::<T>::new(values, self.nulls(places));
        Arc::new(numbers.with_data_type(constants.data_type().clone()))
    }

    /// Where a constant that is NULL was chosen.
    fn nulls(&self, places: &[u8]) -> Option<NullBuffer> {
        let nulls = self.constants.nulls().filter(|nulls| nulls.null_count() > 0)?;
        let mut valid = [true; PLACES];
        valid.iter_mut().zip(nulls).for_each(|(valid, constant)| *valid = constant);
        let at = |row: usize| places.get(row).is_none_or(|place| valid[usize::from(*place)]);
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(places.len(), at));
        Some(nulls).filter(|nulls| nulls.null_count() > 0)
    }
}

impl Texts {
    fn of<T: ByteArrayType>(constants: &GenericByteArray<T>) -> Option<Self> {
        let mut words = Box::new([([0; TEXT_BYTES_MAX], 0); PLACES]);
        let mut longest = 0;
        for (place, (word, length)) in (0..constants.len()).zip(words.iter_mut()) {
            if constants.is_null(place) {
                continue;
            }
            let text: &[u8] = constants.value(place).as_ref();
            word.get_mut(..text.len())?.copy_from_slice(text);
            *length = u8::try_from(text.len()).ok()?;
            longest = longest.max(text.len());
        }
        Some(Self { words, longest })
    }

    fn fit(&self, rows: usize) -> bool {
        rows.checked_mul(self.longest).is_some_and(|bytes| i32::try_from(bytes).is_ok())
    }

    fn gather(&self, places: &[u8]) -> (OffsetBuffer<i32>, Buffer) {
        let mut bytes = vec![0; places.len() * self.longest + TEXT_BYTES_MAX];
        let mut offsets = Vec::with_capacity(places.len() + 1);
        offsets.push(0);
        let mut end = 0;
        for place in places {
            let (word, length) = &self.words[usize::from(*place)];
            if let Some(room) = bytes.get_mut(end..end + TEXT_BYTES_MAX) {
                room.copy_from_slice(word);
            }
            end += usize::from(*length);
            offsets.push(end as i32);
        }
        bytes.truncate(end);
        (OffsetBuffer::new(offsets.into()), bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int8Array, Int64Array};

    use super::*;

    fn texts(values: &[Option<&str>]) -> Vec<ArrayRef> {
        values.iter().map(|it| Arc::new(StringArray::from(vec![*it])) as ArrayRef).collect()
    }

    fn switch(numbers: &[i64], values: &[ArrayRef]) -> Option<Switch> {
        let branches: Vec<_> = numbers.iter().copied().zip(values.iter().cloned()).collect();
        Switch::new(&branches, values.last().unwrap())
    }

    #[test]
    fn the_first_branch_counts_and_all_else_is_otherwise() {
        let it = switch(&[3, -1, 3], &texts(&[Some("three"), None, Some("never"), Some("")])).unwrap();
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(3),
            Some(-1),
            Some(0),
            None,
            Some(i64::MIN),
            Some(i64::MAX),
        ]));
        let chosen = it.choose(&numbers).unwrap().unwrap();
        let expected = StringArray::from(vec![Some("three"), None, Some(""), Some(""), Some(""), Some("")]);
        assert_eq!(chosen.as_string::<i32>(), &expected);
        let bytes: ArrayRef = Arc::new(Int8Array::from(vec![-1, 3]));
        assert_eq!(
            it.choose(&bytes).unwrap().unwrap().as_string::<i32>(),
            &StringArray::from(vec![None, Some("three")])
        );
    }

    #[test]
    fn numbers_keep_their_type_and_long_texts_are_taken_otherwise() {
        let decimal = |it| {
            let it = Decimal128Array::from(vec![it]).with_precision_and_scale(5, 2).unwrap();
            Arc::new(it) as ArrayRef
        };
        let it = switch(&[1, 2], &[decimal(Some(150)), decimal(None), decimal(Some(-1))]).unwrap();
        let numbers: ArrayRef = Arc::new(Int8Array::from(vec![2, 1, 9]));
        let chosen = it.choose(&numbers).unwrap().unwrap();
        assert_eq!(chosen.data_type(), &ArrowType::Decimal128(5, 2));
        assert_eq!(chosen.null_count(), 1);
        let long = "more than sixteen bytes of text";
        let it = switch(&[1], &texts(&[Some(long), Some("ü")])).unwrap();
        let chosen = it.choose(&numbers).unwrap().unwrap();
        assert_eq!(chosen.as_string::<i32>(), &StringArray::from(vec!["ü", long, "ü"]));
    }

    #[test]
    fn numbers_that_lie_far_apart_are_no_switch() {
        assert!(switch(&[0, SPAN_MAX], &texts(&[Some("a"), Some("b"), None])).is_none());
        assert!(switch(&[i64::MIN, i64::MAX], &texts(&[Some("a"), Some("b"), None])).is_none());
    }
}
