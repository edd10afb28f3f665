//! The calls of an aggregation, and which of them share a distinct set.
//!
//! ```text
//!   COUNT(DISTINCT a)                   ┐
//!   COUNT(DISTINCT a) FILTER (WHERE p)  ├ set 0: of a, by the filters [–, p]
//!   SUM(DISTINCT a)                     ┘
//!   COUNT(DISTINCT b)                     set 1: of b, by the filters [–]
//!   COUNT(*) FILTER (WHERE p)             no set
//! ```
//! A value is looked up once however many filters there are: it goes with a bit for each filter.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::DataType as ArrowType;
use flott_aggregate::{Accumulator, accumulator};
use flott_expr::EvalError;
use flott_plan::Call as PlanCall;
use flott_types::{Code, Diagnostic, Result, Schema};

/// Filters of a set: as many as a word has bits.
const FILTERS_MAX: usize = 64;

/// Values that count once, for all calls with DISTINCT over the same arguments.
#[derive(Debug)]
pub(crate) struct SetOf {
    /// The arguments' columns.
    pub(crate) args: Vec<usize>,
    /// Their types.
    pub(crate) types: Vec<ArrowType>,
    /// Which rows count: columns; `None`: all.
    pub(crate) filters: Vec<Option<usize>>,
}

/// A call; columns are positions in the input.
#[derive(Debug)]
struct Bound {
    call: PlanCall,
    /// The set that it goes by, and which of its filters.
    set: Option<(usize, usize)>,
}

/// The calls of an aggregation.
#[derive(Debug)]
pub(crate) struct GroupCalls {
    /// The grouping columns.
    pub(crate) keys: Vec<usize>,
    /// Their types.
    pub(crate) key_types: Vec<ArrowType>,
    calls: Vec<Bound>,
    /// The distinct sets.
    pub(crate) sets: Vec<SetOf>,
    /// Rows may be taken back.
    pub(crate) retracts: bool,
    /// Some result depends on the order of the rows.
    pub(crate) order_matters: bool,
}

impl GroupCalls {
    pub(crate) fn new(keys: &[usize], calls: &[PlanCall], retracts: bool, input: &Schema) -> Result<Self> {
        let type_of = |column: &usize| {
            let field = input.fields.get(*column);
            field.map(|field| field.data_type.arrow_type()).ok_or_else(missing_column)
        };
        let mut sets: Vec<SetOf> = Vec::new();
        let mut bound = Vec::with_capacity(calls.len());
        for call in calls {
            // The least of the different values is the least of all.
            let set = match call.distinct && !matches!(call.function.name, "MIN" | "MAX") {
                true => Some(place(&mut sets, call, &type_of)?),
                false => None,
            };
            bound.push(Bound { call: call.clone(), set });
        }
        let key_types = keys.iter().map(type_of).collect::<Result<_>>()?;
        let order_matters = calls.iter().any(|call| call.function.order_matters);
        Ok(Self { keys: keys.to_vec(), key_types, calls: bound, sets, retracts, order_matters })
    }

    /// How many calls there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The results' types.
    pub(crate) fn result_types(&self) -> impl Iterator<Item = ArrowType> {
        self.calls.iter().map(|bound| bound.call.data_type.arrow_type())
    }

    /// An accumulator for each call.
    pub(crate) fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        self.calls.iter().map(|bound| self.accumulator(bound)).collect()
    }

    /// An accumulator for each call without a set, in order.
    pub(crate) fn plain_accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        self.calls.iter().filter(|bound| bound.set.is_none()).map(|bound| self.accumulator(bound)).collect()
    }

    fn accumulator(&self, bound: &Bound) -> Result<Box<dyn Accumulator>> {
        let call = &bound.call;
        accumulator(call.function, &call.arg_types, &call.data_type, self.retracts)
    }

    /// Which calls have no set.
    pub(crate) fn plain(&self) -> impl Iterator<Item = usize> {
        self.calls.iter().enumerate().filter(|(_, bound)| bound.set.is_none()).map(|(at, _)| at)
    }

    /// Adds rows to, or takes them back from, the accumulators of calls without a set. Each is given
    /// with the call that it belongs to.
    pub(crate) fn accumulate<'a>(
        &self,
        accumulators: impl Iterator<Item = (usize, &'a mut Box<dyn Accumulator>)>,
        slots: &[u32],
        columns: &[ArrayRef],
        back: bool,
    ) -> Result<()> {
        for (call, accumulator) in accumulators {
            let Some(Bound { call, set: None }) = self.calls.get(call) else { continue };
            let args = pick(columns, &call.args)?;
            let filter = call.filter.map(|filter| mask(columns, filter)).transpose()?;
            let done = match back {
                false => accumulator.update(slots, &args, filter.as_ref()),
                true => accumulator.retract(slots, &args, filter.as_ref()),
            };
            done.map_err(failed)?;
        }
        Ok(())
    }

    /// The calls that go by a filter of a set.
    pub(crate) fn of_set(&self, set: usize, filter: usize) -> impl Iterator<Item = usize> {
        let mine = move |(_, bound): &(usize, &Bound)| bound.set == Some((set, filter));
        self.calls.iter().enumerate().filter(mine).map(|(at, _)| at)
    }
}

impl SetOf {
    /// For each row, which filters let it through.
    pub(crate) fn bits(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
        let mut bits = vec![0_u64; rows];
        for (at, filter) in self.filters.iter().enumerate() {
            let Some(filter) = filter else {
                bits.iter_mut().for_each(|bits| *bits |= 1 << at);
                continue;
            };
            let mask = mask(columns, *filter)?;
            for (bits, keep) in bits.iter_mut().zip(mask.values()) {
                *bits |= u64::from(keep) << at;
            }
        }
        Ok(bits)
    }
}

/// The set and filter of a call with DISTINCT.
fn place(
    sets: &mut Vec<SetOf>,
    call: &PlanCall,
    type_of: &dyn Fn(&usize) -> Result<ArrowType>,
) -> Result<(usize, usize)> {
    let fits = |set: &SetOf| {
        set.args == call.args && (set.filters.len() < FILTERS_MAX || set.filters.contains(&call.filter))
    };
    let at = match sets.iter().position(fits) {
        Some(at) => at,
        None => {
            let types = call.args.iter().map(type_of).collect::<Result<_>>()?;
            sets.push(SetOf { args: call.args.clone(), types, filters: Vec::new() });
            sets.len() - 1
        }
    };
    let filters = sets.get_mut(at).map(|set| &mut set.filters).ok_or_else(missing_column)?;
    let filter = filters.iter().position(|filter| *filter == call.filter).unwrap_or_else(|| {
        filters.push(call.filter);
        filters.len() - 1
    });
    Ok((at, filter))
}

/// These columns of a batch.
pub(crate) fn pick(columns: &[ArrayRef], positions: &[usize]) -> Result<Vec<ArrayRef>> {
    positions.iter().map(|at| columns.get(*at).cloned().ok_or_else(missing_column)).collect()
}

/// A filter's column; NULL counts as FALSE.
fn mask(columns: &[ArrayRef], position: usize) -> Result<BooleanArray> {
    let mask = columns.get(position).and_then(|it| it.as_boolean_opt()).ok_or_else(missing_column)?;
    Ok(if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() })
}

/// A column that the plan promised.
pub(crate) fn missing_column() -> Box<Diagnostic> {
    Diagnostic::error(Code::Internal, "an aggregation's batch lacks a column")
}

/// What an aggregate function says of a value.
pub(crate) fn failed(error: EvalError) -> Box<Diagnostic> {
    Diagnostic::error(error.code, error.message)
}
