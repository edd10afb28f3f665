//! `VAR_POP` and its kin of whole numbers, of which the result is one too.
//!
//! ```text
//!   count, Σx, Σx²      variance = (n · Σx² - (Σx)²) / n²     cut towards zero
//! ```
//! The sums are exact (192 bits): a mean kept in DOUBLE would make 54 of 55 where the order of rows
//! has it so. As in Flink, results beyond the type become INT's or BIGINT's greatest, which TINYINT and
//! SMALLINT then take the lowest bits of.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Decimal128Array, Int8Array, Int16Array, Int32Array, Int64Array},
    datatypes::{DataType as ArrowType, Decimal128Type, Int64Type, i256},
};
use flott_expr::EvalError;

use crate::{
    cells::{Fold, struct_array, struct_of, wrong_argument},
    moments::Which,
    native,
    selection::Selection,
    total::{Running, Wide},
};

#[derive(Debug)]
pub(crate) struct ExactMoments {
    pub(crate) which: Which,
    pub(crate) result: ArrowType,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    count: i64,
    sum: i128,
    squares: Wide,
}

impl Sums {
    #[inline]
    fn plus(&mut self, value: i64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(value.into());
        self.squares.plus(i128::from(value) * i128::from(value));
    }
    #[inline]
    fn minus(&mut self, value: i64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(value.into());
        self.squares.minus(i128::from(value) * i128::from(value));
    }
}

impl ExactMoments {
    fn result(&self, sums: &Sums) -> Option<i64> {
        let divisor = if self.which.sample { sums.count.checked_sub(1)? } else { sums.count };
        if divisor <= 0 {
            return None;
        }
        let number = |value: i64| i256::from_i128(value.into());
        let sum = i256::from_i128(sums.sum);
        let squares =
            number(sums.count).checked_mul(sums.squares.value())?.checked_sub(sum.checked_mul(sum)?)?;
        let variance = squares.checked_div(number(sums.count).checked_mul(number(divisor))?)?;
        let variance = variance.to_i128().and_then(|it| u128::try_from(it).ok()).unwrap_or(0);
        let result = if self.which.deviation { variance.isqrt() } else { variance };
        Some(i64::try_from(result).unwrap_or(i64::MAX))
    }
    fn fields() -> [(&'static str, ArrowType); 4] {
        let wide = ArrowType::Decimal128(38, 0);
        [
            ("count", ArrowType::Int64),
            ("sum", wide.clone()),
            ("squares", wide),
            ("squares_high", ArrowType::Int64),
        ]
    }
}

/// As Java casts a DOUBLE: the nearest INT.
fn as_int(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

impl Fold for ExactMoments {
    type Cell = Sums;

    fn fresh(&self) -> Sums {
        Sums::default()
    }
    fn add(
        &self,
        cells: &mut [Sums],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = native::argument::<i64>(args, 0)?;
        let values: &[i64] = values.get(..slots.len()).ok_or_else(wrong_argument)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                cell.plus(values[row]);
            }
        });
        Ok(())
    }
    fn take(
        &self,
        cells: &mut [Sums],
        slots: &[u32],
        args: &[ArrayRef],
        rows: &Selection,
    ) -> Result<(), EvalError> {
        let values = native::argument::<i64>(args, 0)?;
        let values: &[i64] = values.get(..slots.len()).ok_or_else(wrong_argument)?;
        rows.for_each(slots, |slot, row| {
            if let Some(cell) = cells.get_mut(slot as usize) {
                cell.minus(values[row]);
            }
        });
        Ok(())
    }
    fn join(&self, cell: &mut Sums, other: Sums) -> Result<(), EvalError> {
        cell.count = cell.count.wrapping_add(other.count);
        cell.sum = cell.sum.wrapping_add(other.sum);
        cell.squares.join(other.squares);
        Ok(())
    }
    fn saved_type(&self) -> ArrowType {
        ArrowType::Struct(struct_of(&Self::fields()))
    }
    fn save(&self, cells: impl ExactSizeIterator<Item = Sums> + Clone) -> Result<ArrayRef, EvalError> {
        let counts = Int64Array::from_iter_values(cells.clone().map(|cell| cell.count));
        let sums = Decimal128Array::from_iter_values(cells.clone().map(|cell| cell.sum));
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(counts), Arc::new(sums.with_data_type(ArrowType::Decimal128(38, 0)))];
        columns.extend(<Wide as Running<i128>>::save(cells.map(|cell| cell.squares))?);
        struct_array(struct_of(&Self::fields()), columns)
    }
    fn saved<'a>(&self, saved: &'a ArrayRef) -> Option<impl Iterator<Item = Sums> + use<'a>> {
        let [counts, sums, squares @ ..] = saved.as_struct_opt()?.columns() else { return None };
        let counts = counts.as_primitive_opt::<Int64Type>()?.values();
        let sums = sums.as_primitive_opt::<Decimal128Type>()?.values();
        let squares = <Wide as Running<i128>>::saved(squares)?;
        let parts = counts.iter().zip(sums).zip(squares);
        Some(parts.map(|((count, sum), squares)| Sums { count: *count, sum: *sum, squares }))
    }
    fn results(&self, cells: impl ExactSizeIterator<Item = Sums> + Clone) -> Result<ArrayRef, EvalError> {
        let results = cells.map(|cell| self.result(&cell));
        Ok(match &self.result {
            ArrowType::Int8 => {
                Arc::new(results.map(|it| it.map(|it| as_int(it) as i8)).collect::<Int8Array>())
            }
            ArrowType::Int16 => {
                Arc::new(results.map(|it| it.map(|it| as_int(it) as i16)).collect::<Int16Array>())
            }
            ArrowType::Int32 => Arc::new(results.map(|it| it.map(as_int)).collect::<Int32Array>()),
            ArrowType::Int64 => Arc::new(results.collect::<Int64Array>()),
            _ => return Err(wrong_argument()),
        })
    }
}
