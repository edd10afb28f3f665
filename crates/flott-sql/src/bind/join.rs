//! Joins of tables: `JOIN … ON`, `USING`, `NATURAL`, `CROSS JOIN`, the comma.
//!
//! ```text
//!   a JOIN b ON p        Join { a, b, p }    scope: a's columns, then b's
//!   a JOIN b USING (k)   Join { a, b, a.k = b.k }   and a column `k` for both
//! ```
//!
//! A side that rows may lack has nullable columns above the join; the condition itself is over
//! the columns as they come.

use flott_expr::{Expr, Value};
use flott_types::{Code, Diagnostic, Result, Schema, Span, TypeKind};
use sqlparser::ast::{self, Ident, JoinConstraint, JoinOperator, TableFactor};

use super::{
    Binder,
    expr::ExprBinder,
    filter::asks,
    literal,
    query::Around,
    relation::is_true,
    scope::{Merged, Scope},
    temporal::as_of,
};
use crate::{LogicalPlan, plan::JoinKind};

impl Binder<'_> {
    /// `input, factor`
    pub(super) fn cross(
        &self,
        input: LogicalPlan,
        scope: Scope,
        factor: &TableFactor,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        self.join_with((input, scope), factor, JoinKind::Inner, &JoinConstraint::None, around)
    }

    /// `input JOIN factor …`, the factor no UNNEST.
    pub(super) fn join_tables(
        &self,
        input: LogicalPlan,
        scope: Scope,
        join: &ast::Join,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        if let Some(time) = as_of(&join.relation) {
            return self.temporal_join(input, scope, join, time, around);
        }
        let span = self.factor_span(&join.relation);
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinKind::Inner, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (JoinKind::Left, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinKind::Right, constraint)
            }
            JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
            JoinOperator::CrossJoin(JoinConstraint::None) => {
                return self.cross(input, scope, &join.relation, around);
            }
            JoinOperator::CrossJoin(_) => {
                return Err(Diagnostic::error(Code::Syntax, "CROSS JOIN has no condition").at(span));
            }
            _ => {
                return Err(Diagnostic::error(Code::Syntax, "there is no such join in Flink SQL")
                    .at(span)
                    .help("JOIN, LEFT, RIGHT and FULL JOIN, CROSS JOIN; EXISTS and IN for the others"));
            }
        };
        if matches!(constraint, JoinConstraint::None) {
            return Err(Diagnostic::error(Code::Syntax, "the join needs a condition")
                .at(span)
                .help("write JOIN … ON a = b or USING (column); all pairs: CROSS JOIN"));
        }
        self.join_with((input, scope), &join.relation, kind, constraint, around)
    }

    fn join_with(
        &self,
        left: (LogicalPlan, Scope),
        factor: &TableFactor,
        kind: JoinKind,
        constraint: &JoinConstraint,
        around: &Around,
    ) -> Result<(LogicalPlan, Scope)> {
        let right = self.table_factor(factor, around)?;
        let span = self.factor_span(factor);
        match constraint {
            // A condition of an inner join is one on the pairs of rows.
            JoinConstraint::On(on) if kind == JoinKind::Inner && asks(on) => {
                let (plan, scope) = self.join_bound(left, right, kind, &JoinConstraint::None, span)?;
                let binder = ExprBinder::new(self, &scope);
                let conditions = self.conditions(on, binder, "ON", around)?;
                Ok((self.filtered(plan, conditions, &|expr| Ok(expr.clone()))?, scope))
            }
            _ => self.join_bound(left, right, kind, constraint, span),
        }
    }

    /// The join of two bound sides.
    pub(super) fn join_bound(
        &self,
        (left, mut left_scope): (LogicalPlan, Scope),
        (right, right_scope): (LogicalPlan, Scope),
        kind: JoinKind,
        constraint: &JoinConstraint,
        span: Span,
    ) -> Result<(LogicalPlan, Scope)> {
        refuse_same_names(&left_scope, &right_scope).map_err(|it| it.at(span))?;
        let state_ttl = self.join_ttl(&left_scope, &right_scope);
        let width = left.schema().len();
        let mut right_scope = right_scope.shifted(width);
        let using = match constraint {
            JoinConstraint::Using(names) => {
                names.iter().map(|name| self.using_column(name)).collect::<Result<_>>()?
            }
            JoinConstraint::Natural => common_names(&left_scope, &right_scope),
            JoinConstraint::On(_) | JoinConstraint::None => Vec::new(),
        };
        let pairs = self.all(using.iter().map(|name| {
            let sides = [&left_scope, &right_scope].map(|side| side.column(name, false, self.source));
            let [left, right] = sides;
            Ok((left?.at(self.span(name.span)), right?.at(self.span(name.span))))
        }))?;
        let condition = match constraint {
            JoinConstraint::On(on) => {
                let both = joined(left_scope.clone(), right_scope.clone(), Vec::new());
                ExprBinder::new(self, &both).condition(on, "ON")?
            }
            _ => self.all_equal(&pairs)?,
        };
        if matches!(kind, JoinKind::Right | JoinKind::Full) {
            left_scope.make_nullable();
        }
        if matches!(kind, JoinKind::Left | JoinKind::Full) {
            right_scope.make_nullable();
        }
        let merged = using.iter().map(|name| {
            let left = left_scope.column(name, false, self.source)?;
            let right = right_scope.column(name, false, self.source)?;
            self.merge(name, left, right, kind)
        });
        let merged = merged.collect::<Result<_>>()?;
        let scope = joined(left_scope, right_scope, merged);
        let schema = join_schema(&left.schema(), &right.schema(), kind);
        let (left, right) = (Box::new(left), Box::new(right));
        Ok((LogicalPlan::Join { left, right, kind, condition, state_ttl, schema, span }, scope))
    }

    fn using_column(&self, name: &ast::ObjectName) -> Result<Ident> {
        match name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(name)] => Ok(name.clone()),
            _ => Err(Diagnostic::error(Code::Syntax, "USING takes names of columns")),
        }
    }

    /// `a = b AND …`; TRUE of no pairs.
    pub(super) fn all_equal(&self, pairs: &[(Expr, Expr)]) -> Result<Expr> {
        let scope = Scope::default();
        let binder = ExprBinder::new(self, &scope);
        let mut all: Option<Expr> = None;
        for (left, right) in pairs {
            let span = left.span.union(right.span);
            let equal = binder.operator("=", vec![left.clone(), right.clone()], span)?;
            all = Some(self.and(all, equal)?);
        }
        Ok(all.unwrap_or_else(always))
    }

    /// Both conditions.
    pub(super) fn and(&self, left: Option<Expr>, right: Expr) -> Result<Expr> {
        let Some(left) = left.filter(|it| !is_true(it)) else { return Ok(right) };
        if is_true(&right) {
            return Ok(left);
        }
        let scope = Scope::default();
        let span = left.span.union(right.span);
        ExprBinder::new(self, &scope).operator("AND", vec![left, right], span)
    }

    /// The column that stands for both sides: the side's that rows never lack, else the first that
    /// is not NULL.
    fn merge(&self, name: &Ident, left: Expr, right: Expr, kind: JoinKind) -> Result<Merged> {
        let hides = [&left, &right].into_iter().flat_map(|it| it.columns()).collect();
        let same_type = left.data_type.kind == right.data_type.kind;
        let expr = match kind {
            JoinKind::Inner if same_type && left.data_type.nullable => right,
            JoinKind::Inner | JoinKind::Left if same_type => left,
            JoinKind::Right if same_type => right,
            _ => {
                let scope = Scope::default();
                let span = self.span(name.span);
                ExprBinder::new(self, &scope).operator("COALESCE", vec![left, right], span)?
            }
        };
        Ok(Merged { name: name.value.clone(), expr, hides })
    }
}

/// TRUE
pub(super) fn always() -> Expr {
    literal::constant(Value::Boolean(true), TypeKind::Boolean, Span::default())
}

/// Both sides' names. A merged column of one side stays, unless the join merges it again.
fn joined(mut left: Scope, right: Scope, merged: Vec<Merged>) -> Scope {
    left.merged.extend(right.merged);
    left.merged.retain(|it| merged.iter().all(|new| new.name != it.name));
    let mut all = merged;
    all.append(&mut left.merged);
    left.merged = all;
    left.relations.extend(right.relations);
    left
}

/// Columns of both sides: what rows may lack is nullable. Of a semi or anti join the left's.
pub(super) fn join_schema(left: &Schema, right: &Schema, kind: JoinKind) -> Schema {
    if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
        return left.clone();
    }
    let (mut fields, mut added) = (left.fields.clone(), right.fields.clone());
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        fields.iter_mut().for_each(|it| it.data_type.nullable = true);
    }
    if matches!(kind, JoinKind::Left | JoinKind::Full) {
        added.iter_mut().for_each(|it| it.data_type.nullable = true);
    }
    fields.append(&mut added);
    Schema::new(fields)
}

fn common_names(left: &Scope, right: &Scope) -> Vec<Ident> {
    let names: Vec<&str> = right.star().map(|(name, _)| name).collect();
    left.star().map(|(name, _)| name).filter(|name| names.contains(name)).map(Ident::new).collect()
}

fn refuse_same_names(left: &Scope, right: &Scope) -> Result<()> {
    let last = |scope: &Scope| -> Vec<String> {
        scope.relations.iter().filter_map(|it| it.path.last().cloned()).collect()
    };
    let names = last(left);
    match last(right).into_iter().find(|name| names.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("FROM has two items named '{name}'");
            Err(Diagnostic::error(Code::InvalidDefinition, message)
                .help("give one of them another name with AS"))
        }
    }
}
