//! `UNION`, `INTERSECT`, `EXCEPT`, with and without ALL.
//!
//! ```text
//!   a UNION b            Aggregate [all columns]
//!                          Union a, b
//!   a EXCEPT ALL b       Unnest l - r copies
//!                          Filter l > r
//!                            Aggregate [all columns] l = COUNT(*) of a's rows, r = COUNT(*) of b's
//!                              Union a + marker 0, b + marker 1
//! ```
//!
//! Rows are equal as groups are: NULL equals NULL. The columns have the types that both sides
//! have in common and the names of the left.

use flott_expr::{AggregateCall, Expr, Value, coerce, lookup_aggregate};
use flott_types::{Code, DataType, Diagnostic, Field, Result, Schema, Span, TypeKind};
use sqlparser::ast::{SetExpr, SetOperator, SetQuantifier, Spanned};

use super::{
    Binder,
    expr::{ExprBinder, convert},
    literal,
    query::{Around, columns_of, replace_top},
    scope::Scope,
    select::distinct,
};
use crate::LogicalPlan;

impl Binder<'_> {
    /// `left op right`, `body` being the whole.
    pub(super) fn set_operation(&self, body: &SetExpr, around: &Around) -> Result<LogicalPlan> {
        let SetExpr::SetOperation { op, set_quantifier, left, right } = body else {
            return Err(Diagnostic::error(Code::Internal, "no set operation"));
        };
        let behind = self.span(left.span()).end;
        let (word, op) = match op {
            SetOperator::Union => ("UNION", *op),
            SetOperator::Except => ("EXCEPT", *op),
            SetOperator::Intersect => ("INTERSECT", *op),
            SetOperator::Minus => {
                return Err(Diagnostic::error(Code::Syntax, "there is no MINUS in Flink SQL")
                    .at(self.word_behind("MINUS", behind))
                    .help("write EXCEPT"));
            }
        };
        let all = match set_quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                return Err(Diagnostic::error(Code::Syntax, "there is no BY NAME in Flink SQL")
                    .at(self.word_behind("BY NAME", behind)));
            }
        };
        let name = if all { format!("{word} ALL") } else { word.to_string() };
        let span = self.span(body.span());
        let (left, right) = (self.set_expr(left, around), self.set_expr(right, around));
        let inputs = self.all([left, right].into_iter())?;
        if op != SetOperator::Union {
            let operator = self.word_behind(word, behind);
            return self.matched(union(inputs, &name, span)?, op, all, operator);
        }
        // A chain of UNION ALL is one node; what a UNION above it drops, it drops from all.
        let inputs = inputs.into_iter().flat_map(|input| match input {
            LogicalPlan::Union { inputs, .. } => inputs,
            other => vec![other],
        });
        let plan = union(inputs.collect(), &name, span)?;
        Ok(if all { plan } else { distinct(plan, None) })
    }

    /// Rows of the first input that are in the second too, or are not, by their numbers.
    fn matched(&self, union: LogicalPlan, op: SetOperator, all: bool, span: Span) -> Result<LogicalPlan> {
        let schema = union.schema();
        let width = schema.len();
        let LogicalPlan::Union { inputs, .. } = union else { return Ok(union) };
        let mut marked = schema.clone();
        marked.fields.push(Field::new("$side", DataType::int().not_null()));
        let inputs = inputs.into_iter().zip(0..).map(|(input, side)| {
            let exprs = columns_of(&schema).chain([number(side, TypeKind::Int)]).collect();
            replace_top(input, exprs, marked.clone())
        });
        let inputs = inputs.collect();
        let union = LogicalPlan::Union { inputs, schema: marked };

        let scope = Scope::default();
        let binder = ExprBinder::new(self, &scope);
        let side = Expr::column(width, "$side", DataType::int().not_null());
        let count = |of: i64| -> Result<AggregateCall> {
            let is = binder.operator("=", vec![side.clone(), number(of, TypeKind::Int)], span)?;
            let function = lookup_aggregate("COUNT");
            let function = function.ok_or_else(|| Diagnostic::error(Code::Internal, "there is no COUNT"))?;
            function.call(Vec::new(), false, Some(is), span)
        };
        let calls = vec![count(0)?, count(1)?];
        let mut counted = schema.clone();
        counted.fields.push(Field::new("$left", DataType::bigint().not_null()));
        counted.fields.push(Field::new("$right", DataType::bigint().not_null()));
        let keys = columns_of(&schema).collect();
        let sets = vec![(0..width).collect()];
        let groups = LogicalPlan::Aggregate {
            input: Box::new(union),
            keys,
            sets,
            calls,
            state_ttl: None,
            schema: counted.clone(),
        };

        let mut counts = columns_of(&counted).skip(width);
        let (Some(left), Some(right)) = (counts.next(), counts.next()) else { return Ok(groups) };
        let zero = || number(0, TypeKind::BigInt);
        let compare = |sign: &str, a: &Expr, b: Expr| binder.operator(sign, vec![a.clone(), b], span);
        let predicate = match (op, all) {
            (SetOperator::Intersect, _) => {
                let both = vec![compare(">", &left, zero())?, compare(">", &right, zero())?];
                binder.operator("AND", both, span)?
            }
            (_, true) => compare(">", &left, right.clone())?,
            (_, false) => {
                let only = vec![compare(">", &left, zero())?, compare("=", &right, zero())?];
                binder.operator("AND", only, span)?
            }
        };
        let filtered = LogicalPlan::Filter { input: Box::new(groups), predicate };
        let source = if all {
            let copies = match op {
                SetOperator::Intersect => binder.operator("LEAST", vec![left, right], span)?,
                _ => binder.operator("-", vec![left, right], span)?,
            };
            copied(binder, filtered, copies, span)?
        } else {
            filtered
        };
        let exprs = columns_of(&schema).collect();
        Ok(LogicalPlan::Project { input: Box::new(source), exprs, schema })
    }
}

/// Each row as many times as the number says.
fn copied(binder: ExprBinder<'_, '_>, input: LogicalPlan, number: Expr, span: Span) -> Result<LogicalPlan> {
    let collection = binder.operator("$COPIES", vec![number], span)?;
    let mut schema = input.schema();
    schema.fields.push(Field::new("$copy", DataType::from(TypeKind::TinyInt).not_null()));
    Ok(LogicalPlan::Unnest { input: Box::new(input), collection, outer: false, ordinality: false, schema })
}

fn number(value: i64, kind: TypeKind) -> Expr {
    literal::constant(Value::Int(value), kind, Span::default())
}

/// The inputs' rows one after the other, in the columns' common types, with the first's names.
/// `operation` is how the query says it.
fn union(inputs: Vec<LogicalPlan>, operation: &str, span: Span) -> Result<LogicalPlan> {
    let schemas: Vec<Schema> = inputs.iter().map(LogicalPlan::schema).collect();
    let Some(first) = schemas.first() else {
        return Err(Diagnostic::error(Code::Internal, "UNION of nothing").at(span));
    };
    if let Some(other) = schemas.iter().find(|it| it.len() != first.len()) {
        let message = format!("the queries of {operation} have {} and {} columns", first.len(), other.len());
        return Err(Diagnostic::error(Code::TypeMismatch, message).at(span));
    }
    let mut fields = Vec::with_capacity(first.len());
    for (at, field) in first.fields.iter().enumerate() {
        let types: Vec<DataType> =
            schemas.iter().filter_map(|it| it.fields.get(at)).map(|it| it.data_type.clone()).collect();
        let nullable = types.iter().any(|it| it.nullable);
        let Some(common) = coerce::common_type(&types) else {
            let types: Vec<String> = types.iter().map(|it| it.kind.to_string()).collect();
            let message = format!(
                "column {} ('{}') of {operation} has types that have none in common: {}",
                at + 1,
                field.name,
                types.join(", ")
            );
            return Err(Diagnostic::error(Code::TypeMismatch, message)
                .at(span)
                .help("convert them with CAST(… AS type)"));
        };
        // The column is a time attribute if it is one of the same kind in all inputs.
        let time = field
            .time
            .filter(|_| schemas.iter().all(|it| it.fields.get(at).is_some_and(|it| it.time == field.time)));
        fields.push(Field::new(&field.name, common.with_nullable(nullable)).with_time(time));
    }
    let schema = Schema::new(fields);
    let inputs = inputs.into_iter().map(|input| as_types(input, &schema)).collect();
    Ok(LogicalPlan::Union { inputs, schema })
}

/// The plan with its columns cast to the schema's types.
fn as_types(plan: LogicalPlan, to: &Schema) -> LogicalPlan {
    let from = plan.schema();
    if from.fields.iter().zip(&to.fields).all(|(a, b)| a.data_type.kind == b.data_type.kind) {
        return plan;
    }
    let exprs = columns_of(&from).zip(&to.fields).map(|(column, field)| convert(column, &field.data_type));
    replace_top(plan, exprs.collect(), to.clone())
}
