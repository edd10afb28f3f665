//! The bound expression: every node has its Flink type, every implicit cast is a node.

use flott_types::{DataType, Span};

use crate::{Function, Value};

/// Whether a failing cast is an error or NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CastMode {
    /// `CAST`: a value that can't be converted is an [`crate::EvalError`].
    Strict,
    /// `TRY_CAST`: it becomes NULL.
    Try,
}

/// An expression over the columns of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it computes.
    pub kind: ExprKind,
    /// Its Flink type, nullability included.
    pub data_type: DataType,
    /// Where it stands in the script (empty for what the planner made).
    pub span: Span,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// The input's column at this index. `name` is for messages and `explain`.
    Column {
        /// Position in the input.
        index: usize,
        /// The column's name.
        name: String,
    },
    /// A constant.
    Literal(Value),
    /// A call of a registered function. Operators (`+`, `=`, `AND`, `LIKE`, …) are functions
    /// too, registered under their sign. Arguments already have the types that the signature asks for.
    Call {
        /// Which function.
        function: &'static Function,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// A conversion to `data_type`.
    Cast {
        /// What is converted.
        input: Box<Expr>,
        /// What happens when a value can't be converted.
        mode: CastMode,
    },
    /// `CASE WHEN c THEN v … ELSE o END`. A branch is evaluated only on rows that reach it.
    Case {
        /// (condition, value)
        branches: Vec<(Expr, Expr)>,
        /// The value when no condition is TRUE.
        otherwise: Box<Expr>,
    },
    /// The field at `index` of a ROW.
    Field {
        /// The ROW.
        input: Box<Expr>,
        /// Position of the field.
        index: usize,
        /// Its name, for messages.
        name: String,
    },
}

impl Expr {
    /// A node.
    pub fn new(kind: ExprKind, data_type: DataType, span: Span) -> Self {
        Self { kind, data_type, span }
    }
    /// The input's column at this index.
    pub fn column(index: usize, name: impl Into<String>, data_type: DataType) -> Self {
        Self::new(ExprKind::Column { index, name: name.into() }, data_type, Span::default())
    }
    /// A constant.
    pub fn literal(value: Value, data_type: DataType) -> Self {
        Self::new(ExprKind::Literal(value), data_type, Span::default())
    }
    /// The same expression at another place of the script.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = span;
        self
    }
    /// Direct sub-expressions.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::Cast { input, .. } | ExprKind::Field { input, .. } => vec![input],
            ExprKind::Case { branches, otherwise } => {
                let mut out: Vec<&Expr> = branches.iter().flat_map(|(c, v)| [c, v]).collect();
                out.push(otherwise);
                out
            }
        }
    }
    /// Direct sub-expressions, to be changed in place.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Column { .. } | ExprKind::Literal(_) => Vec::new(),
            ExprKind::Call { args, .. } => args.iter_mut().collect(),
            ExprKind::Cast { input, .. } | ExprKind::Field { input, .. } => vec![input],
            ExprKind::Case { branches, otherwise } => {
                let mut out: Vec<&mut Expr> = branches.iter_mut().flat_map(|(c, v)| [c, v]).collect();
                out.push(otherwise);
                out
            }
        }
    }
    /// Calls `visit` on this node and every node below it.
    pub fn walk(&self, visit: &mut impl FnMut(&Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }
    /// Calls `visit` on every node below this one, then on it, to be changed in place.
    pub fn walk_mut(&mut self, visit: &mut impl FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.walk_mut(visit);
        }
        visit(self);
    }
    /// The columns that the expression reads, each once, in order.
    pub fn columns(&self) -> Vec<usize> {
        let mut out = Vec::new();
        self.walk(&mut |node| {
            if let ExprKind::Column { index, .. } = node.kind {
                out.push(index);
            }
        });
        out.sort_unstable();
        out.dedup();
        out
    }
    /// Whether equal inputs always give equal results (no RAND, UUID, current time).
    pub fn is_deterministic(&self) -> bool {
        let mut deterministic = true;
        self.walk(&mut |node| {
            if let ExprKind::Call { function, .. } = &node.kind {
                deterministic &= function.deterministic;
            }
        });
        deterministic
    }
}
