//! `ORDER BY`, `LIMIT`, `OFFSET`, `FETCH FIRST`.
//!
//! ```text
//!   SELECT a + 1 AS x FROM t ORDER BY x, 1 DESC, b LIMIT 5
//!
//!   Project x                         what only the order needs, dropped again
//!     Sort [x, x DESC, $order0] limit 5
//!       Project x = a + 1, $order0 = b
//! ```
//!
//! A key is the name or the position of a column of `SELECT`, or an expression over the names of
//! `SELECT` and `FROM`; a name of `SELECT` goes first. Above `DISTINCT` and set operations only
//! their own columns are there.

use flott_expr::{Expr, ExprKind, Value};
use flott_types::{Code, Diagnostic, Result, Schema, Span};
use sqlparser::ast::{self, Spanned};

use super::{Binder, calls::same, expr::ExprBinder, query::columns_of, scope::Scope, select::Item};
use crate::{LogicalPlan, plan::SortKey};

/// A query's rows with what sorts them.
pub(super) struct Ordered {
    /// The columns of `SELECT`, then those that only the order needs.
    pub(super) plan: LogicalPlan,
    /// The order, over the plan's columns.
    pub(super) keys: Vec<SortKey>,
    /// How many columns `SELECT` has.
    pub(super) width: usize,
}

impl Binder<'_> {
    /// The keys of the query's `ORDER BY`.
    pub(super) fn order_keys<'q>(&self, query: &'q ast::Query) -> Result<&'q [ast::OrderByExpr]> {
        let Some(order) = &query.order_by else { return Ok(&[]) };
        match &order.kind {
            ast::OrderByKind::Expressions(keys) if order.interpolate.is_none() => Ok(keys),
            _ => Err(Diagnostic::error(Code::Syntax, "there is no such ORDER BY in Flink SQL")
                .at(self.span(order.span()))),
        }
    }

    /// Rows whose own columns are all that an order can name.
    pub(super) fn order_output(&self, plan: LogicalPlan, order: &[ast::OrderByExpr]) -> Result<Ordered> {
        let schema = plan.schema();
        let mut items: Vec<Item> = columns_of(&schema)
            .zip(&schema.fields)
            .map(|(expr, field)| Item { expr, name: field.name.clone() })
            .collect();
        let width = items.len();
        let scope = Scope::of_table(&schema);
        let keys = self.order_items(ExprBinder::new(self, &scope), order, &mut items)?;
        let plan = match items.len() == width {
            true => plan,
            false => super::select::project(plan, items),
        };
        Ok(Ordered { plan, keys, width })
    }

    /// The keys over the items; what is no item yet is appended to them.
    pub(super) fn order_items(
        &self,
        binder: ExprBinder<'_, '_>,
        order: &[ast::OrderByExpr],
        items: &mut Vec<Item>,
    ) -> Result<Vec<SortKey>> {
        let width = items.len();
        let mut bound = Vec::new();
        for key in order {
            let shown = items.get(..width).unwrap_or_default();
            bound.push(self.order_key(ExprBinder { clause: "ORDER BY", ..binder }, key, shown));
        }
        let bound = self.all(bound.into_iter())?;
        let keys = bound.into_iter().map(|key| {
            let at = items.iter().position(|item| same(&item.expr, &key.expr)).unwrap_or_else(|| {
                let name = format!("$order{}", items.len() - width);
                items.push(Item { expr: key.expr.clone(), name });
                items.len() - 1
            });
            let name = items.get(at).map_or("", |item| item.name.as_str());
            let column = Expr::column(at, name, key.expr.data_type.clone()).at(key.expr.span);
            SortKey { expr: column, ..key }
        });
        Ok(keys.collect())
    }

    fn order_key(
        &self,
        binder: ExprBinder<'_, '_>,
        key: &ast::OrderByExpr,
        items: &[Item],
    ) -> Result<SortKey> {
        if key.with_fill.is_some() {
            let span = self.place(&key.expr);
            return Err(Diagnostic::error(Code::Syntax, "there is no WITH FILL in Flink SQL").at(span));
        }
        let descending = key.options.asc == Some(false);
        let nulls_first = key.options.nulls_first.unwrap_or(!descending);
        let expr = ExprBinder { names: Some(items), ..binder }.bind(&key.expr)?;
        let position = match (&key.expr, &expr.kind) {
            (ast::Expr::Value(_), ExprKind::Literal(Value::Int(position))) => Some(*position),
            _ => None,
        };
        let Some(position) = position else { return Ok(SortKey { expr, descending, nulls_first }) };
        let item = position.checked_sub(1).and_then(|at| items.get(usize::try_from(at).ok()?));
        let item = item.ok_or_else(|| {
            let message = format!("ORDER BY {position}: there are {} columns", items.len());
            Diagnostic::error(Code::UnknownColumn, message).at(expr.span)
        })?;
        Ok(SortKey { expr: item.expr.clone().at(expr.span), descending, nulls_first })
    }

    /// The query's rows sorted and cut as its clauses say.
    pub(super) fn sorted(&self, ordered: Ordered, query: &ast::Query) -> Result<LogicalPlan> {
        let Ordered { mut plan, keys, width } = ordered;
        let (offset, limit) = self.limits(query)?;
        if !keys.is_empty() || offset > 0 || limit.is_some() {
            let span = self.order_span(query, offset);
            plan = LogicalPlan::Sort { input: Box::new(plan), keys, offset, limit, span };
        }
        let schema = plan.schema();
        if schema.len() == width {
            return Ok(plan);
        }
        let exprs = columns_of(&schema).take(width).collect();
        let schema = Schema::new(schema.fields.into_iter().take(width).collect());
        Ok(LogicalPlan::Project { input: Box::new(plan), exprs, schema })
    }

    /// How many rows are left out at the front, and how many are taken behind them.
    fn limits(&self, query: &ast::Query) -> Result<(u64, Option<u64>)> {
        let behind = self.span(query.body.span()).end;
        let (mut offset, mut limit) = (0, None);
        match &query.limit_clause {
            None => {}
            Some(ast::LimitClause::LimitOffset { limit: rows, offset: from, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(Diagnostic::error(Code::Syntax, "there is no LIMIT … BY in Flink SQL")
                        .at(self.word_behind("LIMIT", behind)));
                }
                limit = rows.as_ref().map(|it| self.row_number("LIMIT", it)).transpose()?;
                offset = from.as_ref().map_or(Ok(0), |it| self.row_number("OFFSET", &it.value))?;
            }
            Some(ast::LimitClause::OffsetCommaLimit { .. }) => {
                return Err(Diagnostic::error(Code::Syntax, "there is no LIMIT start, count in Flink SQL")
                    .at(self.word_behind("LIMIT", behind))
                    .help("write LIMIT count OFFSET start"));
            }
        }
        let Some(fetch) = &query.fetch else { return Ok((offset, limit)) };
        let span = self.word_behind("FETCH", behind);
        if fetch.with_ties || fetch.percent {
            let message = "FETCH FIRST takes a number of ROWS ONLY in Flink SQL";
            return Err(Diagnostic::error(Code::Syntax, message).at(span));
        }
        if limit.is_some() {
            let message = "LIMIT and FETCH FIRST say the same: only one may stand";
            return Err(Diagnostic::error(Code::Syntax, message).at(span));
        }
        let rows = fetch.quantity.as_ref().map_or(Ok(1), |it| self.row_number("FETCH FIRST", it))?;
        Ok((offset, Some(rows)))
    }

    /// A number of rows: a literal.
    fn row_number(&self, clause: &str, ast: &ast::Expr) -> Result<u64> {
        let number = match ast {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(text, _) => text.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        number.ok_or_else(|| {
            let message = format!("{clause} needs a number of rows");
            Diagnostic::error(Code::Syntax, message).at(self.place(ast))
        })
    }

    /// The first of the clauses.
    fn order_span(&self, query: &ast::Query, offset: u64) -> Span {
        if let Some(order) = &query.order_by {
            let keys = self.span(order.span());
            return self.clause("ORDER", keys);
        }
        let behind = self.span(query.body.span()).end;
        let word = match (&query.limit_clause, offset) {
            (Some(ast::LimitClause::LimitOffset { limit: Some(_), .. }), _) => "LIMIT",
            (_, 0) => "FETCH",
            _ => "OFFSET",
        };
        self.word_behind(word, behind)
    }
}
