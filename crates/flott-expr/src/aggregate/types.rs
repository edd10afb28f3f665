//! The type rules of aggregate functions: bound arguments in, the types to pass and of the result out.
//!
//! A result is nullable if an argument is; for groups that may be empty whoever binds the call asks
//! again with nullable arguments.

use flott_types::{DataType, TypeKind};

use crate::{
    Expr, Signature, Value,
    functions::{self, signature},
};

/// One argument, passed as it is.
fn of_one(arg: &Expr, result: TypeKind) -> Signature {
    let result = DataType::from(result).with_nullable(arg.data_type.nullable);
    Signature { arguments: vec![arg.data_type.clone()], result }
}

/// One argument, passed as this type.
fn passed(arg: &Expr, to: DataType, result: DataType) -> Signature {
    let nullable = arg.data_type.nullable;
    Signature { arguments: vec![to.with_nullable(nullable)], result: result.with_nullable(nullable) }
}

pub(super) fn count(args: &[Expr]) -> Option<Signature> {
    let arguments = args.iter().map(|arg| arg.data_type.clone()).collect();
    let typed = args.iter().all(|arg| !arg.data_type.is_null());
    typed.then(|| Signature { arguments, result: DataType::bigint().not_null() })
}

pub(super) fn sum(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    match arg.data_type.kind {
        TypeKind::Decimal(_, scale) => Some(of_one(arg, TypeKind::Decimal(38, scale))),
        ref kind if arg.data_type.is_numeric() => Some(of_one(arg, kind.clone())),
        _ => None,
    }
}

pub(super) fn sum0(args: &[Expr]) -> Option<Signature> {
    let found = sum(args)?;
    Some(Signature { result: found.result.not_null(), ..found })
}

/// `AVG`'s type.
fn mean_type(arg: &Expr) -> Option<TypeKind> {
    match arg.data_type.kind {
        TypeKind::Decimal(_, scale) => Some(TypeKind::Decimal(38, scale.max(6))),
        ref kind if arg.data_type.is_numeric() => Some(kind.clone()),
        _ => None,
    }
}

pub(super) fn mean(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    Some(of_one(arg, mean_type(arg)?))
}

/// Variances and deviations: whole numbers are passed as BIGINT, others as DOUBLE; in `AVG`'s type.
/// That of a single sample is NULL.
pub(super) fn spread(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    let to = if arg.data_type.is_integer() { DataType::bigint() } else { DataType::double() };
    Some(nullable(passed(arg, to, mean_type(arg)?.into())))
}

pub(super) fn extreme(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    let has_order = match arg.data_type.kind {
        TypeKind::Boolean
        | TypeKind::Char(_)
        | TypeKind::Varchar(_)
        | TypeKind::Date
        | TypeKind::Time(_)
        | TypeKind::Timestamp(_)
        | TypeKind::TimestampLtz(_) => true,
        _ => arg.data_type.is_numeric(),
    };
    has_order.then(|| of_one(arg, arg.data_type.kind.clone()))
}

/// A value of any type comes out as it went in.
pub(super) fn any_one(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    (!arg.data_type.is_null()).then(|| of_one(arg, arg.data_type.kind.clone()))
}

pub(super) fn array_agg(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    (!arg.data_type.is_null()).then(|| of_one(arg, TypeKind::Array(Box::new(arg.data_type.clone()))))
}

pub(super) fn collect(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    if arg.data_type.is_null() {
        return None;
    }
    let found = of_one(arg, TypeKind::Multiset(Box::new(arg.data_type.clone())));
    Some(Signature { result: found.result.not_null(), ..found })
}

pub(super) fn list_agg(args: &[Expr]) -> Option<Signature> {
    let (text, separator) = args.split_first()?;
    let constant = match separator {
        [] => true,
        [separator] => signature::literal_text(separator).is_some(),
        _ => false,
    };
    if !text.data_type.is_character() || !constant {
        return None;
    }
    let mut found = passed(text, DataType::string(), DataType::string());
    found.arguments.extend(separator.iter().map(|_| DataType::string().not_null()));
    Some(found)
}

pub(super) fn approx_count_distinct(args: &[Expr]) -> Option<Signature> {
    let [arg] = args else { return None };
    let hashed = match arg.data_type.kind {
        TypeKind::Date | TypeKind::Time(_) | TypeKind::Timestamp(_) | TypeKind::TimestampLtz(_) => true,
        _ => arg.data_type.is_numeric() || arg.data_type.is_character(),
    };
    hashed
        .then(|| Signature { arguments: vec![arg.data_type.clone()], result: DataType::bigint().not_null() })
}

pub(super) fn bitmap(args: &[Expr], result: TypeKind) -> Option<Signature> {
    let [arg] = args else { return None };
    (arg.data_type.kind == TypeKind::Bitmap).then(|| nullable(of_one(arg, result)))
}

pub(super) fn bitmap_build(args: &[Expr], result: TypeKind) -> Option<Signature> {
    let [arg] = args else { return None };
    let fits = matches!(arg.data_type.kind, TypeKind::TinyInt | TypeKind::SmallInt | TypeKind::Int);
    fits.then(|| nullable(passed(arg, DataType::int(), result.into())))
}

fn nullable(mut found: Signature) -> Signature {
    found.result.nullable = true;
    found
}

pub(super) fn percentile(args: &[Expr]) -> Option<Signature> {
    let [value, percentage, frequency @ ..] = args else { return None };
    let numbers = |of: &DataType| of.is_numeric();
    let (percentages, result) = match &percentage.data_type.kind {
        TypeKind::Array(element) if numbers(element) => {
            (DataType::array(DataType::double()), DataType::array(DataType::double()))
        }
        _ if numbers(&percentage.data_type) => (DataType::double(), DataType::double()),
        _ => return None,
    };
    let counts = match frequency {
        [] => Some(Vec::new()),
        [frequency] if frequency.data_type.is_integer() => {
            Some(vec![DataType::bigint().with_nullable(frequency.data_type.nullable)])
        }
        _ => None,
    }?;
    if !numbers(&value.data_type) || !may_be_percentage(percentage) {
        return None;
    }
    let value_type = DataType::double().with_nullable(value.data_type.nullable);
    let percentage_type = percentages.with_nullable(percentage.data_type.nullable);
    let arguments = [value_type, percentage_type].into_iter().chain(counts).collect();
    Some(Signature { arguments, result })
}

/// Whether it isn't a constant outside of 0 to 1.
fn may_be_percentage(arg: &Expr) -> bool {
    match (signature::literal(arg), &arg.data_type.kind) {
        (Some(Value::Int(number)), _) => (0..=1).contains(number),
        (Some(Value::Double(number)), _) => (0.0..=1.0).contains(number),
        (Some(Value::Decimal(unscaled)), TypeKind::Decimal(_, scale)) => {
            10_i128.checked_pow((*scale).into()).is_some_and(|one| (0..=one).contains(unscaled))
        }
        (Some(Value::Null), _) => false,
        _ => true,
    }
}

/// `value [, 'NULL' | 'ABSENT']`
pub(super) fn json_array(args: &[Expr]) -> Option<Signature> {
    let (value, on_null) = args.split_first()?;
    json(std::slice::from_ref(value), value, on_null)
}

/// `key, value [, 'NULL' | 'ABSENT']`
pub(super) fn json_object(args: &[Expr]) -> Option<Signature> {
    let (pair, on_null) = args.split_at_checked(2)?;
    let [key, value] = pair else { return None };
    key.data_type.is_character().then(|| json(pair, value, on_null))?
}

fn json(before: &[Expr], value: &Expr, on_null: &[Expr]) -> Option<Signature> {
    let known = match on_null {
        [] => true,
        [word] => matches!(signature::literal_text(word), Some("NULL" | "ABSENT")),
        _ => false,
    };
    let to_json = functions::lookup("JSON_STRING")?;
    (to_json.resolve)(std::slice::from_ref(value))?;
    let arguments = before.iter().chain(on_null).map(|arg| arg.data_type.clone()).collect();
    // As long as Flink says it is.
    let result = DataType::from(TypeKind::Varchar(2000)).not_null();
    known.then_some(Signature { arguments, result })
}
