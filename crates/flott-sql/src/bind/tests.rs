//! SQL in, plan with types out; and errors with what they underline.

use flott_expr::{EvalContext, ExprKind, Program, functions, render::render_value};
use flott_types::{Code, ColumnKind, Diagnostic, Field, Options, Schema, TableColumn, TableDescription};

use super::Binder;
use crate::{
    Catalog, Entry, LogicalPlan, Source, Table, View,
    catalog::Column,
    parse::{StatementKind, parse_data_type, parse_expr, parse_query, parse_statement},
};

/// `t (a INT, b BIGINT NOT NULL, s STRING, …)`, and a sink `k (id BIGINT NOT NULL, name STRING)`.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let t = [
        ("a", "INT"),
        ("b", "BIGINT NOT NULL"),
        ("s", "STRING"),
        ("arr", "ARRAY<ROW<x INT, y STRING>>"),
        ("m", "MAP<STRING, INT>"),
        ("r", "ROW<f INT, g ROW<h STRING NOT NULL>>"),
        ("ts", "TIMESTAMP(3)"),
        ("ia", "ARRAY<INT NOT NULL>"),
    ];
    declare(&mut catalog, "t", &t, &[]);
    declare(&mut catalog, "u", &[("a", "INT"), ("n", "INT")], &[("twice", "a * 2")]);
    declare(
        &mut catalog,
        "k",
        &[("id", "BIGINT NOT NULL"), ("name", "VARCHAR(3)")],
        &[("loud", "UPPER(name)")],
    );
    catalog
}

fn declare(catalog: &mut Catalog, name: &str, columns: &[(&str, &str)], computed: &[(&str, &str)]) {
    let columns: Vec<TableColumn> = columns
        .iter()
        .map(|(name, data_type)| TableColumn {
            name: (*name).to_string(),
            data_type: parse_data_type(data_type).unwrap(),
            kind: ColumnKind::Physical,
            span: Default::default(),
        })
        .collect();
    let description = TableDescription { name: name.into(), columns, ..TableDescription::default() };
    let plain = description.columns.iter().map(|it| Column {
        name: it.name.clone(),
        data_type: it.data_type.clone(),
        computed: None,
        comment: None,
    });
    let schema = description.schema();
    let computed = computed.iter().map(|(name, text)| {
        let source = Source::new("test", *text);
        let options = Options::new();
        let expr = Binder::new(catalog, &options, &source)
            .bind_column_expr(&parse_expr(&source).unwrap(), &schema)
            .unwrap();
        Column {
            name: (*name).to_string(),
            data_type: expr.data_type.clone(),
            computed: Some((expr, (*text).to_string())),
            comment: None,
        }
    });
    let columns = plain.chain(computed).collect();
    let table = Table { description, columns, watermark: None, comment: None, temporary: false };
    let path = catalog.path(&[name]).unwrap();
    catalog.insert(path, Entry::Table(Box::new(table)));
}

/// The plan or the first error, and the messages of the others.
fn bind(sql: &str) -> (Result<LogicalPlan, Box<Diagnostic>>, Vec<String>) {
    let (catalog, options, source) = (catalog(), Options::new(), Source::new("test", sql));
    let binder = Binder::new(&catalog, &options, &source);
    let query = parse_query(&source).unwrap();
    let bound = binder.bind_query(&query);
    (bound, binder.take_diagnostics().into_iter().map(|it| it.message).collect())
}

fn plan(sql: &str) -> String {
    bind(sql).0.unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help)).to_string()
}

/// Names and types of the columns.
fn schema(sql: &str) -> String {
    bind(sql).0.unwrap_or_else(|it| panic!("{sql}: {it} {:?}", it.help)).schema().to_string()
}

/// The first error's message, and what it underlines.
fn error(sql: &str) -> (String, String) {
    let error = bind(sql).0.expect_err(sql);
    let source = Source::new("test", sql);
    (error.message.clone(), source.slice(error.span.unwrap_or_default()).to_string())
}

#[track_caller]
fn assert_error(sql: &str, message: &str, underlined: &str) {
    assert_eq!(error(sql), (message.to_string(), underlined.to_string()), "{sql}");
}

#[test]
fn a_query_becomes_a_typed_plan() {
    assert_eq!(
        plan("SELECT a + 1 AS x, twice FROM u WHERE n > 10"),
        "Project `x` INT = (a + 1), `twice` INT = twice\n\
         \x20 Filter (n > 10)\n\
         \x20   Project `a` INT = a, `n` INT = n, `twice` INT = (a * 2)\n\
         \x20     Scan u (`a` INT, `n` INT)"
    );
}

#[test]
fn output_columns_are_named_as_flink_names_them() {
    assert_eq!(
        schema("SELECT 1, a, a, a + 1 FROM u"),
        "`EXPR$0` INT NOT NULL, `a` INT, `a0` INT, `EXPR$3` INT"
    );
    assert_eq!(schema("SELECT *, a FROM u"), "`a` INT, `n` INT, `twice` INT, `a0` INT");
    assert_eq!(schema("SELECT 1 AS `EXPR$1`, 2"), "`EXPR$1` INT NOT NULL, `EXPR$10` INT NOT NULL");
    assert_eq!(
        schema("SELECT r.f, t.r.g.h, r.g, arr[1].x FROM t"),
        "`f` INT, `h` STRING, `g` ROW<`h` STRING NOT NULL>, `EXPR$3` INT"
    );
    assert_eq!(schema("SELECT r.* FROM t"), "`f` INT, `g` ROW<`h` STRING NOT NULL>");
    assert_eq!(schema("SELECT default_catalog.default_database.u.a FROM u"), "`a` INT");
    assert_eq!(schema("SELECT CURRENT_DATE"), "`CURRENT_DATE` DATE NOT NULL");
}

#[test]
fn literals_have_flinks_types() {
    assert_eq!(
        schema("SELECT 1e3, 1.5, .5, 0.10, 3000000000, -2147483648, -9223372036854775808, 'é', X'0aff'"),
        "`EXPR$0` DOUBLE NOT NULL, `EXPR$1` DECIMAL(2, 1) NOT NULL, `EXPR$2` DECIMAL(1, 1) NOT NULL, \
         `EXPR$3` DECIMAL(3, 2) NOT NULL, `EXPR$4` BIGINT NOT NULL, `EXPR$5` INT NOT NULL, \
         `EXPR$6` BIGINT NOT NULL, `EXPR$7` CHAR(1) NOT NULL, `EXPR$8` BINARY(2) NOT NULL"
    );
    assert_eq!(
        schema(
            "SELECT TIME '10:00:00.123', TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP '2020-01-01 00:00:00.123456'"
        ),
        "`EXPR$0` TIME(3) NOT NULL, `EXPR$1` TIMESTAMP(0) NOT NULL, `EXPR$2` TIMESTAMP(6) NOT NULL"
    );
    assert_eq!(
        plan("SELECT INTERVAL '1 02:03:04.5' DAY TO SECOND AS d, INTERVAL '1-2' YEAR TO MONTH AS y"),
        "Values (`d` INTERVAL SECOND(3) NOT NULL, `y` INTERVAL MONTH NOT NULL): \
         (INTERVAL '93784.5' SECOND, INTERVAL '14' MONTH)"
    );
    assert_error(
        "SELECT 9223372036854775808",
        "the number 9223372036854775808 is out of range",
        "9223372036854775808",
    );
    assert_error("SELECT DATE '2020-13-01'", "'2020-13-01' is not a DATE", "DATE '2020-13-01'");
    assert_error(
        "SELECT INTERVAL '100' DAY",
        "the interval's first field has more than 2 digits",
        "INTERVAL '100' DAY",
    );
}

#[test]
fn nullability_and_common_types() {
    assert_eq!(
        schema(
            "SELECT CASE WHEN a > 1 THEN 1 END, CASE a WHEN 1 THEN 'a' ELSE 'bcd' END, CASE WHEN a > 1 THEN 1 ELSE 2.5 END FROM u"
        ),
        "`EXPR$0` INT, `EXPR$1` VARCHAR(3) NOT NULL, `EXPR$2` DECIMAL(11, 1) NOT NULL"
    );
    assert_eq!(
        schema(
            "SELECT a IS NULL, b > 1, a > 1, b BETWEEN 1 AND 3, CAST(b AS INT), TRY_CAST(b AS INT) FROM t"
        ),
        "`EXPR$0` BOOLEAN NOT NULL, `EXPR$1` BOOLEAN NOT NULL, `EXPR$2` BOOLEAN, `EXPR$3` BOOLEAN NOT NULL, \
         `EXPR$4` INT NOT NULL, `EXPR$5` INT"
    );
    assert_eq!(
        schema("VALUES (1, 'a'), (2.5, 'bcd')"),
        "`EXPR$0` DECIMAL(11, 1) NOT NULL, `EXPR$1` VARCHAR(3) NOT NULL"
    );
    assert_eq!(schema("SELECT 1 UNION ALL SELECT a FROM u"), "`EXPR$0` INT");
    assert_eq!(schema("SELECT CAST(NULL AS INT) UNION ALL SELECT 1.5"), "`EXPR$0` DECIMAL(11, 1)");
}

#[test]
fn constants_are_folded_unless_they_fail() {
    assert_eq!(plan("SELECT 1 + 2 * 3 AS x"), "Values (`x` INT NOT NULL): (7)");
    assert!(plan("SELECT 1 / 0 AS x").contains('/'));
}

#[test]
fn clauses_of_json_functions_become_arguments() {
    assert_eq!(
        plan("SELECT JSON_VALUE(s, '$.a' RETURNING INT DEFAULT 0 ON EMPTY) AS x FROM t").lines().next(),
        Some("Project `x` INT = CAST(JSON_VALUE(s, '$.a', 'DEFAULT', '0', 'NULL', NULL, 'INT') AS INT)")
    );
}

#[test]
fn unnest_appends_the_elements_columns() {
    assert_eq!(
        plan("SELECT b, p, q, o FROM t CROSS JOIN UNNEST(t.arr) WITH ORDINALITY AS e (p, q, o)")
            .lines()
            .nth(1),
        Some("  Unnest arr with ordinality (`p` INT, `q` STRING, `o` INT NOT NULL)")
    );
    assert_eq!(schema("SELECT x, y FROM t, UNNEST(arr)"), "`x` INT, `y` STRING");
    assert_eq!(schema("SELECT e FROM t, UNNEST(ia) AS e"), "`e` INT NOT NULL");
    assert_eq!(schema("SELECT e FROM t LEFT JOIN UNNEST(ia) AS e ON TRUE"), "`e` INT");
    assert_eq!(schema("SELECT k, v FROM t CROSS JOIN UNNEST(m) AS e (k, v)"), "`k` STRING, `v` INT");
    assert_eq!(schema("SELECT * FROM UNNEST(ARRAY[1, 2]) AS e (n)"), "`n` INT NOT NULL");
}

#[test]
fn with_views_and_sub_queries() {
    assert_eq!(schema("WITH w (x) AS (SELECT a FROM u) SELECT * FROM w"), "`x` INT");
    assert_eq!(
        schema("WITH w AS (SELECT a FROM u), v AS (SELECT a + 1 AS c FROM w) SELECT * FROM v"),
        "`c` INT"
    );
    assert_eq!(schema("SELECT q.x FROM (SELECT a AS x FROM u) AS q WHERE q.x = 1"), "`x` INT");
    let mut catalog = catalog();
    let view = View {
        plan: LogicalPlan::Values {
            rows: vec![],
            schema: Schema::new(vec![Field::new("x", flott_types::DataType::int())]),
        },
        text: String::new(),
        span: Default::default(),
        comment: None,
        temporary: false,
    };
    let path = catalog.path(&["v"]).unwrap();
    catalog.insert(path, Entry::View(Box::new(view)));
    let (options, source) = (Options::new(), Source::new("test", "SELECT x FROM v"));
    let plan = Binder::new(&catalog, &options, &source).bind_query(&parse_query(&source).unwrap()).unwrap();
    assert_eq!(plan.schema().to_string(), "`x` INT");
}

#[test]
fn hints_go_into_the_tables_options() {
    let LogicalPlan::Scan { table, .. } = bind("SELECT * FROM t /*+ OPTIONS('path' = 'x') */").0.unwrap()
    else {
        panic!("expected a scan")
    };
    assert_eq!(table.options.get("path"), Some("x"));
}

#[test]
fn names_that_are_not_there() {
    assert_error("SELECT aa FROM u", "column 'aa' not found", "aa");
    assert_error("SELECT u.zz FROM u", "column 'zz' not found in 'u'", "zz");
    assert_error("SELECT w.a FROM u", "table or column 'w' not found", "w");
    assert_error("SELECT r.zz FROM t", "field 'zz' not found", "zz");
    assert_error("SELECT * FROM tt", "table or view 'tt' not found", "tt");
    assert_error("SELECT UPER(s) FROM t", "function 'UPER' not found", "UPER(s)");
    assert_error(
        "SELECT * FROM (SELECT a, a FROM u)",
        "column 'a' is ambiguous: the sub-query has it twice",
        "*",
    );
    let help = bind("SELECT A FROM u").0.unwrap_err().help;
    assert_eq!(help, ["did you mean 'a'?"]);
}

#[test]
fn types_that_do_not_fit() {
    assert_error("SELECT * FROM u WHERE a", "WHERE needs a condition, but this is of type INT", "a");
    assert_error(
        "SELECT CAST(m AS INT) FROM t",
        "a value of type MAP<STRING, INT> cannot be cast to INT",
        "CAST(m AS INT)",
    );
    assert_error("SELECT NULL", "the type of this NULL is unknown", "NULL");
    assert_eq!(bind("SELECT UPPER(a) FROM u").0.unwrap_err().code, Code::NoMatchingSignature);
    assert_error(
        "SELECT 1, 2 UNION ALL SELECT 1",
        "the queries of UNION ALL have 2 and 1 columns",
        "SELECT 1, 2 UNION ALL SELECT 1",
    );
}

#[test]
fn every_item_reports_its_own_error() {
    let (result, more) = bind("SELECT aa, NOPE(1), a, s + FALSE FROM t");
    assert_eq!(result.unwrap_err().message, "column 'aa' not found");
    assert_eq!(more.len(), 2, "{more:?}");
}

#[test]
fn what_comes_later_says_so() {
    let cases = [
        ("SELECT SUM(a) OVER (ORDER BY (SELECT 1)) FROM u", "a sub-query in a window of OVER", "(SELECT 1)"),
        ("SELECT LEAD(a) OVER (ORDER BY a) FROM u", "LEAD in streaming mode", "LEAD(a)"),
        ("SELECT NTILE(2) OVER (ORDER BY a) FROM u", "NTILE in streaming mode", "NTILE(2)"),
        (
            "SELECT SUM(a) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM u",
            "a frame that ends with 1 FOLLOWING in streaming mode",
            "SUM(a)",
        ),
        ("SELECT a FROM u FOR UPDATE", "FOR", "FOR"),
    ];
    for (sql, what, underlined) in cases {
        assert_error(sql, &format!("not supported yet: {what}"), underlined);
    }
}

fn insert(sql: &str, options: &Options) -> Result<String, Box<Diagnostic>> {
    let (catalog, source) = (catalog(), Source::new("test", sql));
    let StatementKind::Insert(statement) = parse_statement(&source).unwrap().kind else {
        panic!("expected INSERT")
    };
    let binder = Binder::new(&catalog, options, &source);
    binder.bind_insert(&statement).map(|it| it.plan.to_string())
}

#[test]
fn insert_casts_reorders_and_fills() {
    let none = Options::new();
    assert_eq!(
        insert("INSERT INTO k (name, id) VALUES ('x', 1)", &none).unwrap(),
        "Values (`id` BIGINT NOT NULL, `name` VARCHAR(3)): (1, 'x')"
    );
    assert_eq!(
        insert("INSERT INTO k (id) VALUES (1)", &none).unwrap(),
        "Values (`id` BIGINT NOT NULL, `name` VARCHAR(3)): (1, NULL)"
    );
    assert_eq!(
        insert("INSERT INTO k SELECT a, s FROM t", &none).unwrap().lines().next().unwrap(),
        "Project `id` BIGINT NOT NULL = ENFORCE_NOT_NULL(CAST(a AS BIGINT), 'id'), `name` VARCHAR(3) = s"
    );
    assert_eq!(
        insert("INSERT INTO k VALUES (NULL, 'x'), (2, 'y')", &none).unwrap(),
        "Values (`id` BIGINT NOT NULL, `name` VARCHAR(3)): (ENFORCE_NOT_NULL(NULL, 'id'), 'x'), (2, 'y')",
        "a bad row is an error of its own"
    );
    let mut drop = Options::new();
    drop.set("table.exec.sink.not-null-enforcer", "DROP");
    assert_eq!(
        insert("INSERT INTO k SELECT a, s FROM t", &drop).unwrap().lines().take(2).collect::<Vec<_>>(),
        [
            "Project `id` BIGINT NOT NULL = CAST(a AS BIGINT), `name` VARCHAR(3) = s",
            "  Filter (a IS NOT NULL)"
        ]
    );
}

#[test]
fn insert_refuses_what_does_not_fit() {
    let none = Options::new();
    let message = |sql: &str| insert(sql, &none).unwrap_err().message;
    assert_eq!(
        message("INSERT INTO k SELECT a FROM t"),
        "the query has 1 columns, but 2 of 'k' are to be written"
    );
    assert_eq!(
        message("INSERT INTO k SELECT ts, s FROM t"),
        "column 'id' is of type BIGINT, but the value is of type TIMESTAMP(3)"
    );
    assert_eq!(
        message("INSERT INTO k (name) VALUES ('x')"),
        "column 'id' is NOT NULL, but the statement gives it no value"
    );
    assert_eq!(
        message("INSERT INTO k (id, loud) VALUES (1, 'x')"),
        "column 'loud' is computed: it cannot be written"
    );
}

/// Every example in the functions' documentation is bound, evaluated and compared.
#[test]
fn documented_examples_hold() {
    let (catalog, options) = (Catalog::default(), Options::new());
    let context = EvalContext {
        now_micros: 1_700_000_000_000_000,
        time_zone: "UTC".parse().unwrap(),
        random_seed: 7,
        watermark: None,
    };
    let mut wrong = Vec::new();
    // The watermark of a column: there is none here.
    for function in functions::all().iter().filter(|it| it.name != "CURRENT_WATERMARK") {
        for (text, expected) in function.examples {
            let source = Source::new("example", *text);
            let binder = Binder::new(&catalog, &options, &source);
            let bound = parse_expr(&source).and_then(|it| binder.bind_column_expr(&it, &Schema::default()));
            let expr = match bound {
                Ok(expr) => expr,
                Err(error) => {
                    wrong.push(format!("{}: {text}: {error} {:?}", function.name, error.help));
                    continue;
                }
            };
            if !function.deterministic {
                continue;
            }
            let data_type = expr.data_type.clone();
            let array = match &expr.kind {
                ExprKind::Literal(value) => Ok(value.to_array(&data_type, 1)),
                _ => evaluate(&expr, &context),
            };
            match array {
                Ok(array) => {
                    let mut shown = String::new();
                    if array.is_null(0) {
                        shown.push_str("NULL");
                    } else {
                        render_value(&array, 0, &data_type, context.time_zone, &mut shown);
                    }
                    if shown != *expected {
                        wrong.push(format!("{}: {text} = {shown}, documented: {expected}", function.name));
                    }
                }
                Err(error) => wrong.push(format!("{}: {text}: {error}", function.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} examples:\n{}", wrong.len(), wrong.join("\n"));
}

fn evaluate(
    expr: &flott_expr::Expr,
    context: &EvalContext,
) -> Result<arrow::array::ArrayRef, flott_expr::EvalError> {
    use arrow::record_batch::{RecordBatch, RecordBatchOptions};
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Schema::default().arrow_schema(), vec![], &one)?;
    let mut columns = Program::new(vec![expr.clone()]).evaluate(&batch, context)?;
    columns.pop().ok_or_else(|| flott_expr::EvalError::internal("no column"))
}
