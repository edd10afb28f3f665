//! `MATCH_RECOGNIZE` becomes a [`PatternMatch`].
//!
//! ```text
//!   Match A B+, B AS B.x > 0 AND B.x > LAST(A.y + 1)       Project [measures]
//!     MEASURES SUM(B.x) / 2                          ──►     └ PatternMatch  B: column 2, #0 > #1
//!                                                              └ Project [key, ts, x > 0, x, y + 1]
//! ```
//!
//! Whatever concerns one row only is computed before it gets there, for all rows of a batch at once:
//! values, and what a condition says of the row alone. The measures' expressions stand behind.

use flott_expr::{Expr, ExprKind, lookup};
use flott_sql::{MatchExpr, MatchRecognize, MatchValue, PatternTerm};
use flott_types::{Field, Result, Schema, Span, TimeAttribute};

use crate::{
    OperatorNode, Step,
    aggregate::Columns,
    flatten::{Flatten, columns_of, extended},
    graph::Branch,
    nodes::{MatchCondition, MatchTerm, Navigation, PatternMatch},
    rewrite::{remap, substitute},
};

impl Flatten {
    /// The branches of a pattern's matches.
    ///
    /// # Errors
    /// `NotSupported`
    pub fn pattern_match(&mut self, plan: &MatchRecognize) -> Result<Vec<Branch>> {
        let input = plan.input.schema();
        let all = columns_of(&input);
        let mut columns = Columns::default();
        let column = |columns: &mut Columns, at: usize| all.get(at).map_or(0, |expr| columns.add(expr));
        let keys: Vec<usize> = plan.partition_by.iter().map(|&at| column(&mut columns, at)).collect();
        let rowtime = plan.time == TimeAttribute::Rowtime;
        let time_column = rowtime.then(|| column(&mut columns, plan.time_column));
        let order_by: Vec<(usize, bool, bool)> = plan
            .order_by
            .iter()
            .map(|key| (columns.add(&key.expr), key.descending, key.nulls_first))
            .collect();
        let terms = plan.terms.iter().enumerate();
        let terms = terms.map(|(at, it)| term(&mut columns, at, it)).collect::<Result<Vec<_>>>()?;
        let mut outputs: Vec<Navigation> = Vec::new();
        let mut fields: Vec<Field> =
            keys.iter().filter_map(|&at| columns.schema(false).fields.get(at).cloned()).collect();
        let mut exprs = columns_of(&Schema::new(fields.clone()));
        for measure in &plan.measures {
            exprs.push(measured(&mut columns, measure, &mut outputs, &mut fields, keys.len()));
        }
        let node = PatternMatch {
            keys,
            time_column,
            order_by,
            terms,
            within_millis: plan.within_millis,
            skip: plan.skip,
            outputs,
        };
        let branches = extended(self.branches(&plan.input)?, &[columns.step()]);
        let branch = self.operator(OperatorNode::PatternMatch(node), vec![branches], Schema::new(fields));
        Ok(extended(vec![branch], &[Step::Project { exprs, schema: plan.schema.clone() }]))
    }
}

/// A measure over the operator's output, to which what it takes of a match is added.
fn measured(
    columns: &mut Columns,
    measure: &MatchExpr,
    outputs: &mut Vec<Navigation>,
    fields: &mut Vec<Field>,
    keys: usize,
) -> Expr {
    let mut types = vec![None; measure.values.len()];
    measure.expr.walk(&mut |node| {
        if let ExprKind::Column { index, name } = &node.kind
            && let Some(known) = types.get_mut(*index)
        {
            *known = Some((name.clone(), node.data_type.clone()));
        }
    });
    let mut places = Vec::with_capacity(types.len());
    for (value, known) in measure.values.iter().zip(types) {
        let value = navigation(columns, value);
        let (name, data_type) = known.unwrap_or_else(|| (String::new(), flott_types::DataType::boolean()));
        // The same value may be known never to be NULL in one place only.
        let place = outputs.iter().position(|it| *it == value).unwrap_or_else(|| {
            outputs.push(value);
            fields.push(Field::new(name, data_type.clone()));
            outputs.len() - 1
        });
        if let Some(field) = fields.get_mut(keys + place) {
            field.data_type.nullable |= data_type.nullable;
        }
        places.push(keys + place);
    }
    let mut expr = measure.expr.clone();
    remap(&mut expr, &|at| places.get(at).copied().unwrap_or(at));
    expr
}

fn navigation(columns: &mut Columns, value: &MatchValue) -> Navigation {
    match value {
        MatchValue::Row { term, first, offset, expr } => {
            Navigation::Row { term: *term, first: *first, offset: *offset, column: columns.add(expr) }
        }
        MatchValue::Aggregate { term, call } => {
            Navigation::Aggregate { term: *term, call: columns.call(call) }
        }
    }
}

/// A variable; what its condition says of the row alone is a column.
fn term(columns: &mut Columns, at: usize, plan: &PatternTerm) -> Result<MatchTerm> {
    let (mut of_row, mut rest) = (Vec::new(), Vec::new());
    let values = plan.condition.as_ref().map_or(&[][..], |condition| &condition.values);
    let current: Vec<Option<&Expr>> = values.iter().map(|value| in_the_row(value, at)).collect();
    if let Some(condition) = &plan.condition {
        for conjunct in conjuncts(&condition.expr) {
            let alone = conjunct.columns().iter().all(|it| current.get(*it).is_some_and(Option::is_some));
            if alone {
                of_row.push(conjunct)
            } else {
                rest.push(conjunct)
            };
        }
    }
    let exprs: Vec<Expr> = values
        .iter()
        .zip(&current)
        .map(|(value, current)| current.unwrap_or(any_expr(value)).clone())
        .collect();
    let row = all(of_row)?.map(|expr| columns.add(&substitute(&expr, &exprs)));
    let condition = all(rest)?.map(|mut expr| {
        let used = expr.columns();
        let values = used.iter().filter_map(|it| values.get(*it)).map(|it| navigation(columns, it)).collect();
        remap(&mut expr, &|it| used.binary_search(&it).unwrap_or(0));
        MatchCondition { expr, values }
    });
    Ok(MatchTerm {
        name: plan.name.clone(),
        min: plan.min,
        max: plan.max,
        greedy: plan.greedy,
        row,
        condition,
    })
}

/// The expression, if it is the value in the row in question.
fn in_the_row(value: &MatchValue, at: usize) -> Option<&Expr> {
    match value {
        MatchValue::Row { term, first: false, offset: 0, expr } if term.is_none_or(|term| term == at) => {
            Some(expr)
        }
        _ => None,
    }
}

/// Stands where nothing reads it.
fn any_expr(value: &MatchValue) -> &Expr {
    static NOTHING: std::sync::LazyLock<Expr> =
        std::sync::LazyLock::new(|| Expr::literal(flott_expr::Value::Null, flott_types::DataType::boolean()));
    match value {
        MatchValue::Row { expr, .. } => expr,
        MatchValue::Aggregate { .. } => &NOTHING,
    }
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Call { function, args } if function.name == "AND" => {
            args.iter().flat_map(conjuncts).collect()
        }
        _ => vec![expr],
    }
}

/// All of them.
fn all(conjuncts: Vec<&Expr>) -> Result<Option<Expr>> {
    let mut all: Option<Expr> = None;
    for conjunct in conjuncts {
        all = Some(match (all, lookup("AND")) {
            (Some(before), Some(and)) => and.call(vec![before, conjunct.clone()], Span::default())?,
            (_, _) => conjunct.clone(),
        });
    }
    Ok(all)
}
