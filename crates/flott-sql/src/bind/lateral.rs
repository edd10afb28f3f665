//! `LATERAL (SELECT …)`: a sub-query of FROM that names columns of the items before it.
//!
//! ```text
//!   t, LATERAL (SELECT y FROM w WHERE w.k = t.k ORDER BY y LIMIT 2) AS d
//!
//!   Join Inner t.k = w.k
//!     t
//!     Filter $row_number <= 2
//!       Over ROW_NUMBER() [k] order by y
//! ```
//!
//! `decorrelate.rs` makes a plan of it that looks into no other query; the join has what it
//! compared. As in Flink, an aggregate without GROUP BY gives no row where none fits: such rows of
//! the left are there in a `LEFT JOIN` only, where COUNT is 0.

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{DataType, Diagnostic, Field, Result, Schema, Span};
use sqlparser::ast::{self, JoinConstraint, JoinOperator, TableFactor};

use super::{
    Binder,
    decorrelate::{Flat, LEVEL, OUTER, all_of, call_of, fill, flatten, has_outer},
    expr::ExprBinder,
    join::{always, join_schema},
    query::{Around, columns_of, substitute},
    relation::is_true,
    scope::{Relation, Scope},
};
use crate::{LogicalPlan, plan::JoinKind};

/// The parts of a lateral sub-query.
pub(super) struct Lateral<'q> {
    query: &'q ast::Query,
    alias: Option<&'q ast::TableAlias>,
}

/// The sub-query, if it is one.
pub(super) fn lateral(factor: &TableFactor) -> Option<Lateral<'_>> {
    match factor {
        TableFactor::Derived { lateral: true, subquery, alias, sample: None } => {
            Some(Lateral { query: subquery, alias: alias.as_ref() })
        }
        _ => None,
    }
}

impl Binder<'_> {
    /// `input JOIN LATERAL (…)`
    pub(super) fn join_lateral(
        &self,
        input: LogicalPlan,
        scope: Scope,
        lateral: &Lateral<'_>,
        join: &ast::Join,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let (kind, on) = match &join.join_operator {
            JoinOperator::CrossJoin(JoinConstraint::None) => (JoinKind::Inner, None),
            JoinOperator::Join(JoinConstraint::On(on)) | JoinOperator::Inner(JoinConstraint::On(on)) => {
                (JoinKind::Inner, Some(on))
            }
            JoinOperator::Left(JoinConstraint::On(on)) | JoinOperator::LeftOuter(JoinConstraint::On(on)) => {
                (JoinKind::Left, Some(on))
            }
            _ => {
                return Err(Diagnostic::not_supported("this join with LATERAL")
                    .at(self.factor_span(&join.relation))
                    .help("CROSS JOIN LATERAL (…), JOIN and LEFT JOIN LATERAL (…) ON … are there"));
            }
        };
        self.beside(input, scope, lateral, (kind, on), around)
    }

    /// The input's rows with those of the sub-query for each of them.
    pub(super) fn beside(
        &self,
        left: LogicalPlan,
        mut scope: Scope,
        lateral: &Lateral<'_>,
        (kind, on): (JoinKind, Option<&ast::Expr>),
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let span = self.span(sqlparser::ast::Spanned::span(lateral.query));
        scope.outer.clone_from(&around.outer);
        let plan = self.query(lateral.query, &around.inside(&scope))?;
        let mut named = plan.schema().fields;
        let flat = flatten(plan, false, span)?;
        let flat = match kind {
            JoinKind::Left if flat.having.is_empty() => flat.materialised(),
            _ => keep_groups(flat, span)?.materialised(),
        };
        let width = left.schema().len();
        let Beside { mut right, columns, mut conditions } = self.sides(flat, width, kind, span)?;
        fill(&mut right, &left, &|expr| Ok(joined(expr.clone(), width)))?;

        if kind == JoinKind::Left {
            named.iter_mut().for_each(|it| it.data_type.nullable = true);
        }
        for (field, column) in named.iter_mut().zip(&columns) {
            field.time = field.time.filter(|_| matches!(column.kind, ExprKind::Column { .. }));
        }
        let mut fields = named.clone();
        let path = lateral.alias.map_or(Vec::new(), |it| vec![it.name.value.clone()]);
        if let Some(alias) = lateral.alias {
            self.check_alias(alias, &fields)?;
            for (field, column) in fields.iter_mut().zip(&alias.columns) {
                field.name.clone_from(&column.name.value);
            }
        }
        scope.relations.push(Relation { path, fields: fields.clone(), start: width });
        let output: Vec<Expr> = columns_of(&left.schema()).chain(columns).collect();
        let on = on.map(|on| ExprBinder::new(self, &scope).condition(on, "ON")).transpose()?;
        if let Some(on) = on.filter(|it| !is_true(it)) {
            conditions.push(substitute(&on, &output));
        }

        let joined = join_schema(&left.schema(), &right.schema(), kind);
        let condition = all_of(conditions, span)?.unwrap_or_else(always);
        let mut schema = left.schema();
        schema.fields.extend(fields);
        let (left, right) = (Box::new(left), Box::new(right));
        let state_ttl = [None; 2];
        let join = LogicalPlan::Join { left, right, kind, condition, state_ttl, schema: joined, span };
        let exprs = output.into_iter().zip(&schema.fields);
        let exprs = exprs.map(|(it, field)| Expr { data_type: field.data_type.clone(), ..it }).collect();
        Ok((LogicalPlan::Project { input: Box::new(join), exprs, schema }, scope))
    }

    /// The right side of the join, its conditions, and the sub-query's columns above it.
    fn sides(&self, flat: Flat, width: usize, kind: JoinKind, span: Span) -> Result<Beside> {
        let Flat { plan, columns, conditions, .. } = flat;
        let (right, there) = match kind == JoinKind::Left && columns.iter().any(has_outer) {
            true => {
                let (right, there) = marked(plan, width);
                (right, Some(there))
            }
            false => (plan, None),
        };
        let conditions = conditions.into_iter().map(|it| joined(it, width)).collect();
        let mut above = Vec::new();
        for column in columns {
            let outer = has_outer(&column);
            let column = joined(column, width);
            above.push(match &there {
                Some(there) if outer => {
                    let data_type = column.data_type.clone().with_nullable(true);
                    let matched = call_of("IS NOT NULL", vec![there.clone()], span)?;
                    let otherwise = Box::new(Expr::literal(Value::Null, data_type.clone()));
                    let kind = ExprKind::Case { branches: vec![(matched, column)], otherwise };
                    Expr::new(kind, data_type, span)
                }
                _ => column,
            });
        }
        Ok(Beside { right, columns: above, conditions })
    }
}

struct Beside {
    right: LogicalPlan,
    columns: Vec<Expr>,
    conditions: Vec<Expr>,
}

/// A group of all rows that fit is a row only if there are some.
fn keep_groups(mut flat: Flat, span: Span) -> Result<Flat> {
    if !flat.single_row {
        return Ok(flat);
    }
    let having = std::mem::take(&mut flat.having);
    if having.iter().any(has_outer) {
        return Err(Diagnostic::not_supported("HAVING with outer columns").at(span));
    }
    if let Some(predicate) = all_of(having, span)? {
        flat.plan = LogicalPlan::Filter { input: Box::new(flat.plan), predicate };
    }
    flat.single_row = false;
    Ok(flat)
}

/// The plan with a last column that is always TRUE, and that column above a join.
fn marked(plan: LogicalPlan, width: usize) -> (LogicalPlan, Expr) {
    let mut schema = plan.schema();
    let exprs = columns_of(&schema).chain([always()]).collect();
    let there = Expr::column(width + schema.len(), "$there", DataType::boolean());
    schema.fields.push(Field::new("$there", DataType::boolean().not_null()));
    let schema = Schema::new(schema.fields);
    (LogicalPlan::Project { input: Box::new(plan), exprs, schema }, there)
}

/// An expression of the sub-query above its join with a left side of this width.
fn joined(mut expr: Expr, width: usize) -> Expr {
    expr.walk_mut(&mut |node| {
        if let ExprKind::Column { index, .. } = &mut node.kind {
            *index = match *index {
                inner @ ..OUTER => width + inner,
                outer if outer < OUTER + LEVEL => outer - OUTER,
                further => further - LEVEL,
            };
        }
    });
    expr
}
