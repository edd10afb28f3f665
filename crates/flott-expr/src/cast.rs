//! `CAST` and `TRY_CAST`: how values convert.
//!
//! Which conversions exist is `coerce::can_cast`. Here each has its loop:
//!
//! ```text
//!   number  → number      as Java: integers wrap, floats saturate, fractions are cut off
//!   number  → DECIMAL     rounded half up; NULL if it doesn't fit
//!   text    → anything    parsed; malformed text is an error (CAST) or NULL (TRY_CAST)
//!   anything → text       `render`; VARCHAR(n) cuts, CHAR(n) cuts and pads
//!   instants ↔ wall clock in the session's time zone
//!   ARRAY, MAP, ROW       element by element
//! ```
//!
//! Source: Flink documentation, "Data Types: Casting".

mod parse;

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray,
        Decimal128Array, ListArray, MapArray, PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder,
        StructArray, new_null_array,
    },
    buffer::BooleanBuffer,
    compute::concat,
    datatypes::{
        DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType,
        TimestampMillisecondType, TimestampNanosecondType,
    },
};
use flott_types::{DataType, TimestampUnit, TypeKind};

use crate::{
    CastMode, EvalContext, EvalError, render,
    text::{self, DAY_MILLIS, POWERS_OF_TEN},
    zone,
};

use parse::{parse_boolean, parse_integer, parse_time_leniently};
pub(crate) use parse::{parse_date_leniently, parse_float, parse_timestamp_leniently};

/// What every conversion needs to know.
#[derive(Clone, Copy)]
struct Cast<'a> {
    from: &'a DataType,
    to: &'a DataType,
    mode: CastMode,
    context: &'a EvalContext,
}

/// The array converted from one logical type to another.
///
/// # Errors
/// In strict mode the first value that can't be converted.
pub fn cast_array(
    array: &ArrayRef,
    from: &DataType,
    to: &DataType,
    mode: CastMode,
    context: &EvalContext,
) -> Result<ArrayRef, EvalError> {
    if from.kind == to.kind {
        return Ok(Arc::clone(array));
    }
    if from.is_null() {
        return Ok(new_null_array(&to.arrow_type(), array.len()));
    }
    let cast = Cast { from, to, mode, context };
    match &to.kind {
        TypeKind::Char(_) | TypeKind::Varchar(_) => cast.to_text(array),
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => cast.to_bytes(array),
        TypeKind::Boolean => cast.to_boolean(array),
        TypeKind::TinyInt => cast.to_integer::<Int8Type>(array, |it| it as i8, |it| it as i32 as i8),
        TypeKind::SmallInt => cast.to_integer::<Int16Type>(array, |it| it as i16, |it| it as i32 as i16),
        TypeKind::Int => cast.to_integer::<Int32Type>(array, |it| it as i32, |it| it as i32),
        TypeKind::BigInt => cast.to_integer::<Int64Type>(array, |it| it, |it| it as i64),
        TypeKind::Decimal(p, s) => cast.to_decimal(array, *p, *s),
        TypeKind::Float => cast.to_float::<Float32Type>(array, |it| it as f32, |it| it as f32),
        TypeKind::Double => cast.to_float::<Float64Type>(array, |it| it, |it| it as f64),
        TypeKind::Date => cast.to_date(array),
        TypeKind::Time(p) => cast.to_time(array, *p),
        TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => cast.to_timestamp(array),
        TypeKind::Array(_) | TypeKind::Map(..) | TypeKind::Multiset(_) | TypeKind::Row(_) => {
            cast.to_nested(array)
        }
        TypeKind::Null | TypeKind::Interval(_) | TypeKind::Variant | TypeKind::Bitmap => Err(cast.unknown()),
    }
}

fn integers_as_i64<T: ArrowPrimitiveType>(array: &ArrayRef) -> PrimitiveArray<Int64Type>
where
    T::Native: Into<i64>,
{
    array.as_primitive::<T>().unary(Into::into)
}

/// An integer array of any width as 64 bits.
fn widened(array: &ArrayRef) -> Option<PrimitiveArray<Int64Type>> {
    Some(match array.data_type() {
        ArrowType::Int8 => integers_as_i64::<Int8Type>(array),
        ArrowType::Int16 => integers_as_i64::<Int16Type>(array),
        ArrowType::Int32 => integers_as_i64::<Int32Type>(array),
        ArrowType::Int64 => array.as_primitive::<Int64Type>().clone(),
        _ => return None,
    })
}

fn floats(array: &ArrayRef) -> Option<PrimitiveArray<Float64Type>> {
    Some(match array.data_type() {
        ArrowType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        ArrowType::Float64 => array.as_primitive::<Float64Type>().clone(),
        _ => return None,
    })
}

impl Cast<'_> {
    fn unknown(&self) -> EvalError {
        EvalError::internal(format!("no conversion from {} to {}", self.from.kind, self.to.kind))
    }

    fn malformed(&self, text: &str) -> EvalError {
        let shown: String = text.chars().take(100).collect();
        EvalError::new(format!("cannot convert '{shown}' to {}", self.to.kind))
    }

    /// What becomes of a number that a DECIMAL or a timestamp unit has no room for: NULL, as in
    /// Flink, unless the result can't be NULL.
    fn out_of_range(&self, shown: impl FnOnce() -> String) -> Result<(), EvalError> {
        if self.mode == CastMode::Try || self.to.nullable {
            return Ok(());
        }
        Err(EvalError::new(format!("{} doesn't fit {}", shown(), self.to.kind)))
    }

    /// A value parsed from each text.
    fn parse<T: ArrowPrimitiveType>(
        &self,
        array: &ArrayRef,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<ArrayRef, EvalError> {
        let texts = array.as_string_opt::<i32>().ok_or_else(|| self.unknown())?;
        let mut out = PrimitiveBuilder::<T>::with_capacity(texts.len());
        for text in texts {
            match text.map(|text| (text, parse(text))) {
                None => out.append_null(),
                Some((_, Some(value))) => out.append_value(value),
                Some((_, None)) if self.mode == CastMode::Try => out.append_null(),
                Some((text, None)) => return Err(self.malformed(text)),
            }
        }
        let values = out.finish();
        if matches!(T::DATA_TYPE, ArrowType::Decimal128(..)) {
            return Ok(Arc::new(values.with_data_type(self.to.arrow_type())));
        }
        Ok(Arc::new(values))
    }

    fn to_integer<T: ArrowPrimitiveType>(
        self,
        array: &ArrayRef,
        from_integer: impl Fn(i64) -> T::Native,
        from_float: impl Fn(f64) -> T::Native,
    ) -> Result<ArrayRef, EvalError>
    where
        T::Native: TryFrom<i64>,
    {
        if let Some(values) = widened(array) {
            return Ok(Arc::new(values.unary::<_, T>(from_integer)));
        }
        if let Some(values) = floats(array) {
            return Ok(Arc::new(values.unary::<_, T>(from_float)));
        }
        match &self.from.kind {
            TypeKind::Boolean => {
                let values = array.as_boolean();
                let zeros_and_ones =
                    values.values().iter().map(|it| from_integer(i64::from(it))).collect::<Vec<_>>();
                Ok(Arc::new(PrimitiveArray::<T>::new(zeros_and_ones.into(), values.nulls().cloned())))
            }
            TypeKind::Decimal(_, s) => {
                let divisor = POWERS_OF_TEN[usize::from(*s).min(38)];
                let values = array.as_primitive::<Decimal128Type>();
                Ok(Arc::new(values.unary::<_, T>(|it| from_integer((it / divisor) as i64))))
            }
            _ => self
                .parse::<T>(array, |text| T::Native::try_from(parse_integer(text.trim().as_bytes())?).ok()),
        }
    }

    fn to_float<T: ArrowPrimitiveType>(
        self,
        array: &ArrayRef,
        from_float: impl Fn(f64) -> T::Native,
        from_integer: impl Fn(i64) -> T::Native,
    ) -> Result<ArrayRef, EvalError> {
        if let Some(values) = widened(array) {
            return Ok(Arc::new(values.unary::<_, T>(from_integer)));
        }
        if let Some(values) = floats(array) {
            return Ok(Arc::new(values.unary::<_, T>(from_float)));
        }
        match &self.from.kind {
            TypeKind::Boolean => {
                let values = array.as_boolean();
                let zeros_and_ones =
                    values.values().iter().map(|it| from_integer(i64::from(it))).collect::<Vec<_>>();
                Ok(Arc::new(PrimitiveArray::<T>::new(zeros_and_ones.into(), values.nulls().cloned())))
            }
            TypeKind::Decimal(_, s) => {
                let values = array.as_primitive::<Decimal128Type>();
                Ok(Arc::new(values.unary::<_, T>(|it| from_float(decimal_as_double(it, *s)))))
            }
            _ if T::DATA_TYPE == ArrowType::Float32 => {
                self.parse::<T>(array, |text| parse_float::<f32>(text).map(|it| from_float(it.into())))
            }
            _ => self.parse::<T>(array, |text| parse_float::<f64>(text).map(&from_float)),
        }
    }

    fn to_boolean(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let nulls = array.nulls().cloned();
        let not_zero = |test: &dyn Fn(usize) -> bool| -> ArrayRef {
            Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(array.len(), test), nulls.clone()))
        };
        if let Some(values) = widened(array) {
            return Ok(not_zero(&|row| values.value(row) != 0));
        }
        if let Some(values) = floats(array) {
            return Ok(not_zero(&|row| values.value(row) != 0.0));
        }
        if self.from.is_decimal() {
            let values = array.as_primitive::<Decimal128Type>();
            return Ok(not_zero(&|row| values.value(row) != 0));
        }
        let texts = array.as_string_opt::<i32>().ok_or_else(|| self.unknown())?;
        let parsed: Result<BooleanArray, EvalError> = texts
            .iter()
            .map(|text| {
                let Some(text) = text else { return Ok(None) };
                match parse_boolean(text) {
                    None if self.mode == CastMode::Strict => Err(self.malformed(text)),
                    parsed => Ok(parsed),
                }
            })
            .collect();
        Ok(Arc::new(parsed?))
    }

    fn to_decimal(self, array: &ArrayRef, precision: u8, scale: u8) -> Result<ArrayRef, EvalError> {
        let limit = POWERS_OF_TEN[usize::from(precision).min(38)];
        let typed = |values: Decimal128Array| -> Result<ArrayRef, EvalError> {
            Ok(Arc::new(values.with_precision_and_scale(precision, scale as i8)?))
        };
        if let Some(values) = widened(array) {
            let factor = POWERS_OF_TEN[usize::from(scale).min(38)];
            let room = crate::coerce::exact_digits(&self.from.kind).map_or(38, |(digits, _)| digits);
            if precision - scale.min(precision) >= room {
                return typed(values.unary(|it| i128::from(it) * factor));
            }
            let scaled = |it: i64| i128::from(it).checked_mul(factor).filter(|it| it.abs() < limit);
            return typed(self.checked(&values, scaled, |it| it.to_string())?);
        }
        match &self.from.kind {
            TypeKind::Boolean => {
                let factor = POWERS_OF_TEN[usize::from(scale).min(38)];
                let values = array.as_boolean();
                typed(values.iter().map(|it| it.map(|it| if it { factor } else { 0 })).collect())
            }
            TypeKind::Decimal(p, s) => {
                let values = array.as_primitive::<Decimal128Type>();
                if scale >= *s && precision - scale.min(precision) >= p - s {
                    let factor = POWERS_OF_TEN[usize::from(scale - s)];
                    return typed(values.unary(|it| it * factor));
                }
                let rescaled = |it: i128| rescale(it, *s, scale).filter(|it| it.abs() < limit);
                typed(self.checked(values, rescaled, |it| decimal_text(it, *s))?)
            }
            TypeKind::Float | TypeKind::Double => {
                let values = floats(array).ok_or_else(|| self.unknown())?;
                if self.mode == CastMode::Strict
                    && let Some(bad) = values.iter().flatten().find(|it| !it.is_finite())
                {
                    return Err(self.malformed(&bad.to_string()));
                }
                typed(self.checked(
                    &values,
                    |it| float_as_decimal(it, precision, scale),
                    |it| it.to_string(),
                )?)
            }
            _ => self.parse::<Decimal128Type>(array, |it| {
                text::parse_decimal(it.trim().as_bytes(), precision, scale)
            }),
        }
    }

    /// Converts values of which some may not fit.
    fn checked<T: ArrowPrimitiveType, U: ArrowPrimitiveType>(
        &self,
        values: &PrimitiveArray<T>,
        convert: impl Fn(T::Native) -> Option<U::Native>,
        shown: impl Fn(T::Native) -> String,
    ) -> Result<PrimitiveArray<U>, EvalError> {
        let mut out = PrimitiveBuilder::<U>::with_capacity(values.len());
        for value in values {
            let converted = value.and_then(&convert);
            if let (Some(value), None) = (value, &converted) {
                self.out_of_range(|| shown(value))?;
            }
            out.append_option(converted);
        }
        Ok(out.finish())
    }

    fn to_date(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        if self.from.is_character() {
            return self.parse::<Date32Type>(array, |it| parse_date_leniently(it.trim()));
        }
        let (values, unit) = self.wall_clock(array)?;
        let per_day = 86_400 * TimestampUnit::per_second(unit);
        Ok(Arc::new(values.unary::<_, Date32Type>(|it| it.div_euclid(per_day) as i32)))
    }

    fn to_time(self, array: &ArrayRef, precision: u8) -> Result<ArrayRef, EvalError> {
        let step = 10i32.pow(3 - u32::from(precision.min(3)));
        match &self.from.kind {
            TypeKind::Char(_) | TypeKind::Varchar(_) => self.parse::<Time32MillisecondType>(array, |it| {
                parse_time_leniently(it.trim()).map(|it| it - it % step)
            }),
            TypeKind::Time(_) => {
                let values = array.as_primitive::<Time32MillisecondType>();
                Ok(Arc::new(values.unary::<_, Time32MillisecondType>(|it| it - it % step)))
            }
            _ => {
                let (values, unit) = self.wall_clock(array)?;
                let per_milli = TimestampUnit::per_second(unit) / 1000;
                Ok(Arc::new(values.unary::<_, Time32MillisecondType>(|it| {
                    let millis = it.div_euclid(per_milli).rem_euclid(DAY_MILLIS) as i32;
                    millis - millis % step
                })))
            }
        }
    }

    /// A timestamp as shown by a clock on the wall, with its unit.
    fn wall_clock(&self, array: &ArrayRef) -> Result<(PrimitiveArray<Int64Type>, TimeUnit), EvalError> {
        let (values, unit) = ticks(array).ok_or_else(|| self.unknown())?;
        if !matches!(self.from.kind, TypeKind::TimestampLtz(_))
            || self.context.time_zone == chrono_tz::Tz::UTC
        {
            return Ok((values, unit));
        }
        Ok((values.unary(|it| zone::to_local(self.context.time_zone, it, unit)), unit))
    }

    fn to_timestamp(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let (precision, instant) = match self.to.kind {
            TypeKind::TimestampLtz(p) => (p, true),
            TypeKind::Timestamp(p) => (p, false),
            _ => return Err(self.unknown()),
        };
        let unit = TimestampUnit::of(precision);
        let per_second = TimestampUnit::per_second(unit);
        let zone = self.context.time_zone;
        // Finer digits than the precision shows are cut off.
        let step = per_second / 10i64.pow(u32::from(precision).min(9)).min(per_second);
        let cut = |it: i64| it - it.rem_euclid(step);
        let place = |wall: i64| if instant { zone::to_instant(zone, cut(wall), unit) } else { cut(wall) };

        let values = match &self.from.kind {
            TypeKind::Char(_) | TypeKind::Varchar(_) => {
                let parsed =
                    self.parse::<Int64Type>(array, |it| parse_timestamp_leniently(it, unit).map(place))?;
                return Ok(timestamps(parsed.as_primitive::<Int64Type>(), self.to));
            }
            TypeKind::Date => {
                let per_day = 86_400 * per_second;
                let days = array.as_primitive::<Date32Type>();
                self.checked::<_, Int64Type>(
                    days,
                    |it| i64::from(it).checked_mul(per_day).map(place),
                    |it| format!("day {it}"),
                )?
            }
            TypeKind::Time(_) => {
                let per_milli = per_second / 1000;
                array.as_primitive::<Time32MillisecondType>().unary(|it| place(i64::from(it) * per_milli))
            }
            kind => {
                let from_instant = matches!(kind, TypeKind::TimestampLtz(_));
                let (values, from_unit) = if from_instant == instant {
                    ticks(array).ok_or_else(|| self.unknown())?
                } else {
                    self.wall_clock(array)?
                };
                let from_per_second = TimestampUnit::per_second(from_unit);
                let place = |it: i64| if from_instant == instant { cut(it) } else { place(it) };
                if from_per_second >= per_second {
                    let factor = from_per_second / per_second;
                    values.unary(|it| place(it.div_euclid(factor)))
                } else {
                    let factor = per_second / from_per_second;
                    self.checked(
                        &values,
                        |it| it.checked_mul(factor).map(place),
                        |it| format!("timestamp {it}"),
                    )?
                }
            }
        };
        Ok(timestamps(&values, self.to))
    }

    fn to_text(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let texts = render::render_column(array, self.from, self.context.time_zone)?;
        let (length, pad) = match self.to.kind {
            TypeKind::Char(n) => (n as usize, true),
            TypeKind::Varchar(n) => (n as usize, false),
            _ => return Err(self.unknown()),
        };
        let fits = |text: &str| if pad { text.chars().count() == length } else { text.len() <= length };
        let unbounded = !pad && length >= i32::MAX as usize;
        if unbounded || texts.iter().flatten().all(fits) {
            return Ok(Arc::new(texts));
        }
        Ok(Arc::new(resized(&texts, length, pad)))
    }

    fn to_bytes(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let bytes: BinaryArray = match array.data_type() {
            ArrowType::Utf8 => BinaryArray::from(array.as_string::<i32>().clone()),
            ArrowType::Binary => array.as_binary::<i32>().clone(),
            _ => return Err(self.unknown()),
        };
        let (length, pad) = match self.to.kind {
            TypeKind::Binary(n) => (n as usize, true),
            TypeKind::Varbinary(n) => (n as usize, false),
            _ => return Err(self.unknown()),
        };
        let fits = |it: &[u8]| if pad { it.len() == length } else { it.len() <= length };
        if bytes.iter().flatten().all(fits) {
            return Ok(Arc::new(bytes));
        }
        let mut out = BinaryBuilder::new();
        let mut scratch = Vec::new();
        for value in &bytes {
            out.append_option(value.map(|value| {
                scratch.clear();
                scratch.extend_from_slice(&value[..value.len().min(length)]);
                if pad {
                    scratch.resize(length, 0);
                }
                scratch.as_slice()
            }));
        }
        Ok(Arc::new(out.finish()))
    }

    /// Nested values. In `TRY_CAST` one bad element makes the whole value NULL.
    fn to_nested(self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let strict = Cast { mode: CastMode::Strict, ..self };
        if self.mode == CastMode::Strict {
            return strict.each_part(array);
        }
        if let Ok(all) = strict.each_part(array) {
            return Ok(all);
        }
        let null = new_null_array(&self.to.arrow_type(), 1);
        let rows: Vec<ArrayRef> = (0..array.len())
            .map(|row| strict.each_part(&array.slice(row, 1)).unwrap_or_else(|_| Arc::clone(&null)))
            .collect();
        let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        Ok(concat(&rows)?)
    }

    fn each_part(&self, array: &ArrayRef) -> Result<ArrayRef, EvalError> {
        let part = |array: &ArrayRef, from: &DataType, to: &DataType| {
            cast_array(array, from, to, self.mode, self.context)
        };
        match (&self.from.kind, &self.to.kind, self.to.arrow_type()) {
            (TypeKind::Array(from), TypeKind::Array(to), ArrowType::List(field)) => {
                let list = array.as_list::<i32>();
                let values = part(list.values(), from, to)?;
                Ok(Arc::new(ListArray::try_new(
                    field,
                    list.offsets().clone(),
                    values,
                    list.nulls().cloned(),
                )?))
            }
            (TypeKind::Row(from), TypeKind::Row(to), ArrowType::Struct(fields)) if from.len() == to.len() => {
                let row = array.as_struct();
                if fields.is_empty() {
                    return Ok(Arc::clone(array));
                }
                let columns: Result<Vec<ArrayRef>, EvalError> = (row.columns().iter().zip(from).zip(to))
                    .map(|((column, from), to)| part(column, &from.data_type, &to.data_type))
                    .collect();
                Ok(Arc::new(StructArray::try_new(fields, columns?, row.nulls().cloned())?))
            }
            (TypeKind::Map(k, v), TypeKind::Map(to_k, to_v), ArrowType::Map(field, _)) => {
                self.each_entry(array, field, (k, to_k), (v, to_v))
            }
            (TypeKind::Multiset(k), TypeKind::Multiset(to_k), ArrowType::Map(field, _)) => {
                let int = DataType::int();
                self.each_entry(array, field, (k, to_k), (&int, &int))
            }
            _ => Err(self.unknown()),
        }
    }

    fn each_entry(
        &self,
        array: &ArrayRef,
        field: arrow::datatypes::FieldRef,
        key: (&DataType, &DataType),
        value: (&DataType, &DataType),
    ) -> Result<ArrayRef, EvalError> {
        let map = array.as_map();
        let ArrowType::Struct(parts) = field.data_type().clone() else { return Err(self.unknown()) };
        let keys = cast_array(map.keys(), key.0, key.1, self.mode, self.context)?;
        let values = cast_array(map.values(), value.0, value.1, self.mode, self.context)?;
        let entries = StructArray::try_new(parts, vec![keys, values], None)?;
        Ok(Arc::new(MapArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned(), false)?))
    }
}

/// The bare numbers of a timestamp array, with their unit.
pub(crate) fn ticks(array: &ArrayRef) -> Option<(PrimitiveArray<Int64Type>, TimeUnit)> {
    let ArrowType::Timestamp(unit, _) = array.data_type() else { return None };
    let values = match unit {
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().reinterpret_cast(),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(),
        TimeUnit::Second => return None,
    };
    Some((values, *unit))
}

/// Bare numbers as a timestamp array of this logical type.
pub(crate) fn timestamps(values: &PrimitiveArray<Int64Type>, data_type: &DataType) -> ArrayRef {
    let arrow = data_type.arrow_type();
    match arrow {
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
            Arc::new(values.reinterpret_cast::<TimestampMicrosecondType>().with_data_type(arrow))
        }
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            Arc::new(values.reinterpret_cast::<TimestampNanosecondType>().with_data_type(arrow))
        }
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => {
            Arc::new(values.reinterpret_cast::<TimestampMillisecondType>().with_data_type(arrow))
        }
        _ => Arc::new(values.clone()),
    }
}

/// Texts cut to `length` characters, and padded to it with spaces if asked.
fn resized(texts: &StringArray, length: usize, pad: bool) -> StringArray {
    let mut out = StringBuilder::with_capacity(texts.len(), texts.values().len());
    let mut scratch = String::new();
    for text in texts {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
        scratch.clear();
        scratch.push_str(&text[..end]);
        if pad {
            let missing = length.saturating_sub(scratch.chars().count());
            scratch.extend(std::iter::repeat_n(' ', missing));
        }
        out.append_value(&scratch);
    }
    out.finish()
}

/// A DECIMAL as the nearest DOUBLE.
pub(crate) fn decimal_as_double(unscaled: i128, scale: u8) -> f64 {
    const EXACT: i128 = 1 << 53;
    if unscaled.abs() <= EXACT && scale <= 22 {
        // Both sides are exact, so the quotient is rounded once.
        return unscaled as f64 / POWERS_OF_TEN[usize::from(scale)] as f64;
    }
    decimal_text(unscaled, scale).parse().unwrap_or(f64::NAN)
}

fn decimal_text(unscaled: i128, scale: u8) -> String {
    let mut out = Vec::new();
    text::append_decimal(&mut out, unscaled, scale);
    String::from_utf8_lossy(&out).into_owned()
}

/// A DOUBLE's shortest spelling as a DECIMAL, as Java's `BigDecimal.valueOf`.
fn float_as_decimal(value: f64, precision: u8, scale: u8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    text::parse_decimal(ryu::Buffer::new().format_finite(value).as_bytes(), precision, scale)
}

/// A DECIMAL's unscaled value at another scale, rounded half up (away from zero).
pub(crate) fn rescale(unscaled: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return unscaled.checked_mul(*POWERS_OF_TEN.get(usize::from(to - from))?);
    }
    let divisor = POWERS_OF_TEN[usize::from(from - to).min(38)];
    let (quotient, rest) = (unscaled / divisor, unscaled % divisor);
    Some(if rest.abs() >= divisor / 2 { quotient + unscaled.signum() } else { quotient })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn cast(value: Value, from: DataType, to: DataType, mode: CastMode) -> Result<Value, EvalError> {
        let context = EvalContext {
            now_micros: 0,
            time_zone: chrono_tz::Europe::Berlin,
            random_seed: 0,
            watermark: None,
        };
        let array = cast_array(&value.to_array(&from, 1), &from, &to, mode, &context)?;
        assert_eq!(array.data_type(), &to.arrow_type());
        Ok(Value::from_array(&array, 0, &to))
    }

    fn from_text(text: &str, to: impl Into<DataType>) -> Option<Value> {
        cast(Value::String(text.into()), DataType::string(), to.into(), CastMode::Strict).ok()
    }

    #[test]
    fn text_to_numbers() {
        assert_eq!(from_text(" 12 ", DataType::int()), Some(Value::Int(12)));
        assert_eq!(from_text("-1.9", DataType::int()), Some(Value::Int(-1)));
        assert_eq!(from_text("1e3", DataType::int()), None);
        assert_eq!(from_text("128", TypeKind::TinyInt), None);
        assert_eq!(from_text("-128", TypeKind::TinyInt), Some(Value::Int(-128)));
        assert_eq!(from_text("1.5f", DataType::double()), Some(Value::Double(1.5)));
        assert_eq!(from_text("inf", DataType::double()), None);
        assert_eq!(from_text("12.345", TypeKind::Decimal(4, 2)), Some(Value::Decimal(1235)));
        assert_eq!(from_text("y", DataType::boolean()), Some(Value::Boolean(true)));
        assert_eq!(from_text("on", DataType::boolean()), None);
        let nothing = cast(Value::String("x".into()), DataType::string(), DataType::int(), CastMode::Try);
        assert_eq!(nothing, Ok(Value::Null));
    }

    #[test]
    fn numbers_narrow_as_in_java() {
        let strict = |value, from: TypeKind, to: TypeKind| {
            cast(value, from.into(), to.into(), CastMode::Strict).unwrap()
        };
        assert_eq!(strict(Value::Int(300), TypeKind::Int, TypeKind::TinyInt), Value::Int(44));
        assert_eq!(strict(Value::Double(3e10), TypeKind::Double, TypeKind::Int), Value::Int(2_147_483_647));
        assert_eq!(strict(Value::Double(300.0), TypeKind::Double, TypeKind::TinyInt), Value::Int(44));
        assert_eq!(strict(Value::Double(f64::NAN), TypeKind::Double, TypeKind::Int), Value::Int(0));
        assert_eq!(
            strict(Value::Decimal(1_234_567_890_156), TypeKind::Decimal(20, 2), TypeKind::Int),
            Value::Int(-539_222_987)
        );
        assert_eq!(
            strict(Value::Decimal(123_456), TypeKind::Decimal(6, 3), TypeKind::Decimal(4, 2)),
            Value::Null
        );
        assert_eq!(strict(Value::Double(2.5), TypeKind::Double, TypeKind::Decimal(10, 0)), Value::Decimal(3));
    }

    #[test]
    fn times_from_text_and_from_each_other() {
        let date = |text: &str| from_text(text, TypeKind::Date);
        assert_eq!(date("2024-2-9"), date("2024-02-09 10:00:00"));
        assert_eq!(date("2024-02"), date("2024-02-01"));
        assert_eq!(date("2024-02-30"), None);
        let at = |text: &str| from_text(text, TypeKind::Timestamp(3));
        assert_eq!(at("1970-1-1 1:2:3"), Some(Value::Timestamp(3_723_000)));
        assert_eq!(at("1970-01-01"), Some(Value::Timestamp(0)));
        assert_eq!(at("1970-01-01T00:00:00"), None);
        assert_eq!(from_text("1970-01-01 01:00:00", TypeKind::TimestampLtz(3)), Some(Value::Timestamp(0)));
        assert_eq!(from_text("1:2", TypeKind::Time(0)), Some(Value::Time(3_720_000)));
        let floored = cast(
            Value::Timestamp(-1),
            TypeKind::Timestamp(3).into(),
            TypeKind::Timestamp(0).into(),
            CastMode::Strict,
        );
        assert_eq!(floored, Ok(Value::Timestamp(-1000)));
    }

    #[test]
    fn lengths_and_nesting() {
        assert_eq!(from_text("äbc", TypeKind::Char(5)), Some(Value::String("äbc  ".into())));
        assert_eq!(from_text("äbcdef", TypeKind::Varchar(3)), Some(Value::String("äbc".into())));
        assert_eq!(from_text("AB", TypeKind::Binary(3)), Some(Value::Bytes(vec![65, 66, 0])));
        let texts = Value::Array(vec![Value::String("1".into()), Value::String("x".into())]);
        let (from, to) = (DataType::array(DataType::string()), DataType::array(DataType::int()));
        assert_eq!(cast(texts.clone(), from.clone(), to.clone(), CastMode::Try), Ok(Value::Null));
        assert!(cast(texts, from, to, CastMode::Strict).is_err());
    }
}
