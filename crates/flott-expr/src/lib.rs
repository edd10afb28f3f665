//! Typed expressions, the function registry and their vectorised evaluation.
//!
//! ```text
//!   flott-sql binds text ──► Expr (every node typed, implicit casts explicit)
//!                              │ Program::new
//!                              ▼
//!   RecordBatch ──► Program::evaluate ──► one Arrow array per expression
//! ```
//!
//! A batch either evaluates as a whole or fails as a whole with an [`EvalError`]; whoever
//! calls bisects the batch until the bad rows are alone (`flott-engine`). So the fast path
//! has no per-row checks, and a kernel may fail at the first bad row it meets.
//!
//! This crate knows nothing of SQL text, tables or threads.

mod aggregate;
pub mod cast;
pub mod coerce;
mod display;
pub mod eval;
mod expr;
pub mod functions;
pub mod render;
mod switch;
pub mod text;
mod value;
pub mod zone;

pub use aggregate::{AggregateCall, AggregateFunction, all_aggregates, lookup_aggregate};
pub use eval::{EvalContext, EvalError, Program, evaluate_constant};
pub use expr::{CastMode, Expr, ExprKind};
pub use functions::{Call, Function, FunctionKind, Signature, lookup};
pub use value::Value;
