//! `CREATE TABLE`, `CREATE VIEW` and `CREATE DATABASE`.

use flott_types::{Code, Diagnostic, Result, Span};
use sqlparser::tokenizer::Token;

use super::{
    ast::{
        ColumnDef, ColumnDefKind, CreateTable, CreateView, LikeFeature, LikeRule, LikeStrategy, LikeTable,
        Name, PrimaryKey, StatementKind, Watermark,
    },
    cursor::Cursor,
};

/// What follows `CREATE`, which has been read and stands at `start`.
pub(super) fn parse_create(cursor: &mut Cursor, start: Span) -> Result<StatementKind> {
    if cursor.peek(&["OR"]) {
        let span = cursor.expect(&["OR"])?;
        let _ = cursor.accept(&["REPLACE"]) || cursor.accept(&["ALTER"]);
        return Err(Diagnostic::not_supported("CREATE OR REPLACE / OR ALTER")
            .at(span.union(cursor.last_span()))
            .help("DROP … IF EXISTS, then CREATE"));
    }
    let temporary = cursor.accept(&["TEMPORARY"]);
    if cursor.accept(&["TABLE"]) {
        return parse_table(cursor, temporary);
    }
    if cursor.accept(&["VIEW"]) {
        return parse_view(cursor, temporary);
    }
    if !temporary && cursor.accept(&["DATABASE"]) {
        return parse_database(cursor);
    }
    for (words, what) in NOT_SUPPORTED {
        if cursor.accept(words) {
            return Err(Diagnostic::not_supported(what).at(cursor.since(start)));
        }
    }
    Err(cursor.expected("TABLE, VIEW or DATABASE"))
}

const NOT_SUPPORTED: [(&[&str], &str); 6] = [
    (&["CATALOG"], "CREATE CATALOG"),
    (&["FUNCTION"], "CREATE FUNCTION"),
    (&["SYSTEM", "FUNCTION"], "CREATE SYSTEM FUNCTION"),
    (&["MODEL"], "CREATE MODEL"),
    (&["MATERIALIZED", "TABLE"], "CREATE MATERIALIZED TABLE"),
    (&["CONNECTION"], "CREATE CONNECTION"),
];

fn if_not_exists(cursor: &mut Cursor) -> bool {
    cursor.accept(&["IF", "NOT", "EXISTS"])
}

fn comment(cursor: &mut Cursor) -> Result<Option<String>> {
    if !cursor.accept(&["COMMENT"]) {
        return Ok(None);
    }
    Ok(Some(cursor.string()?.value))
}

fn parse_database(cursor: &mut Cursor) -> Result<StatementKind> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.qualified()?;
    comment(cursor)?;
    if cursor.accept(&["WITH"]) {
        cursor.options()?;
    }
    Ok(StatementKind::CreateDatabase { name, if_not_exists })
}

fn parse_view(cursor: &mut Cursor, temporary: bool) -> Result<StatementKind> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.qualified()?;
    let columns = if cursor.peek_token(&Token::LParen) { cursor.names()? } else { Vec::new() };
    let comment = comment(cursor)?;
    cursor.expect(&["AS"])?;
    let (query, query_span) = cursor.query()?;
    let view = CreateView { temporary, if_not_exists, name, columns, comment, query, query_span };
    Ok(StatementKind::CreateView(Box::new(view)))
}

fn parse_table(cursor: &mut Cursor, temporary: bool) -> Result<StatementKind> {
    let if_not_exists = if_not_exists(cursor);
    let mut table = CreateTable {
        temporary,
        if_not_exists,
        name: cursor.qualified()?,
        columns: Vec::new(),
        primary_key: None,
        watermark: None,
        comment: None,
        partitioned_by: Vec::new(),
        options: flott_types::Options::new(),
        like: None,
        query: None,
        column_names: Vec::new(),
    };
    // `()` is allowed: a table of what LIKE brings.
    if cursor.accept_token(&Token::LParen) && !cursor.accept_token(&Token::RParen) {
        loop {
            definition(cursor, &mut table)?;
            if cursor.accept_token(&Token::Comma) {
                continue;
            }
            if !cursor.accept_token(&Token::RParen) {
                return Err(cursor.expected("',' or ')' after the column"));
            }
            break;
        }
    }
    table.comment = comment(cursor)?;
    if cursor.peek(&["DISTRIBUTED"]) {
        let span = cursor.expect(&["DISTRIBUTED"])?;
        return Err(Diagnostic::not_supported("DISTRIBUTED").at(span));
    }
    if cursor.accept(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.names()?;
    }
    if cursor.accept(&["WITH"]) {
        table.options = cursor.options()?;
    }
    if cursor.accept(&["LIKE"]) {
        table.like = Some(parse_like(cursor)?);
    } else if cursor.accept(&["AS"]) {
        table.query = Some(cursor.query()?);
    } else if !cursor.at_end() {
        return Err(cursor.expected("COMMENT, PARTITIONED BY, WITH, LIKE, AS or the end of the statement"));
    }
    if let (None, Some(name)) = (&table.query, table.column_names.first()) {
        return Err(Diagnostic::error(Code::Syntax, format!("column '{}' has no type", name.value))
            .at(name.span)
            .help("only CREATE TABLE … AS SELECT takes names without types"));
    }
    Ok(StatementKind::CreateTable(Box::new(table)))
}

/// One item between the parentheses.
fn definition(cursor: &mut Cursor, table: &mut CreateTable) -> Result<()> {
    let start = cursor.peek_span();
    if cursor.accept(&["WATERMARK", "FOR"]) {
        let column = cursor.qualified()?;
        cursor.expect(&["AS"])?;
        let (expr, expr_span) = cursor.expr()?;
        let span = cursor.since(start);
        if let Some(first) = &table.watermark {
            return Err(Diagnostic::error(Code::InvalidDefinition, "a table has at most one watermark")
                .at(span)
                .related(first.span, "the first one"));
        }
        table.watermark = Some(Watermark { column, expr, expr_span, span });
        return Ok(());
    }
    let constraint = if cursor.accept(&["CONSTRAINT"]) { Some(cursor.name()?) } else { None };
    if cursor.accept(&["PRIMARY", "KEY"]) {
        let columns = cursor.names()?;
        enforcement(cursor, start)?;
        let span = cursor.since(start);
        return set_primary_key(table, PrimaryKey { constraint, columns, span });
    }
    if constraint.is_some()
        || (cursor.peek(&["UNIQUE"]) && cursor.rest().nth(1).is_some_and(|it| it.token == Token::LParen))
    {
        return Err(Diagnostic::error(Code::Syntax, "the only constraint is PRIMARY KEY (…) NOT ENFORCED")
            .at(cursor.peek_span()));
    }
    column(cursor, table, start)
}

fn set_primary_key(table: &mut CreateTable, key: PrimaryKey) -> Result<()> {
    if let Some(first) = &table.primary_key {
        return Err(Diagnostic::error(Code::InvalidDefinition, "a table has at most one primary key")
            .at(key.span)
            .related(first.span, "the first one"));
    }
    table.primary_key = Some(key);
    Ok(())
}

/// `NOT ENFORCED`: Flink refuses the other form, as it doesn't own the data.
fn enforcement(cursor: &mut Cursor, start: Span) -> Result<()> {
    if cursor.accept(&["NOT", "ENFORCED"]) {
        return Ok(());
    }
    let _ = cursor.accept(&["ENFORCED"]);
    Err(Diagnostic::error(Code::InvalidDefinition, "a primary key must be NOT ENFORCED")
        .at(cursor.since(start))
        .help("the data is not Flott's own, so it can't check that keys are unique: write PRIMARY KEY (…) NOT ENFORCED"))
}

fn column(cursor: &mut Cursor, table: &mut CreateTable, start: Span) -> Result<()> {
    let name = cursor.name()?;
    if cursor.peek_token(&Token::Comma) || cursor.peek_token(&Token::RParen) {
        table.column_names.push(name);
        return Ok(());
    }
    let kind = if cursor.accept(&["AS"]) {
        let (expr, span) = cursor.expr()?;
        ColumnDefKind::Computed { expr: Box::new(expr), span }
    } else {
        let data_type = cursor.data_type()?;
        if cursor.accept(&["METADATA"]) {
            let key = if cursor.accept(&["FROM"]) { Some(cursor.string()?) } else { None };
            ColumnDefKind::Metadata { data_type, key, is_virtual: cursor.accept(&["VIRTUAL"]) }
        } else {
            ColumnDefKind::Physical { data_type }
        }
    };
    inline_key(cursor, table, &name)?;
    let comment = comment(cursor)?;
    inline_key(cursor, table, &name)?;
    table.columns.push(ColumnDef { name, kind, comment, span: cursor.since(start) });
    Ok(())
}

/// `PRIMARY KEY NOT ENFORCED` at a column.
fn inline_key(cursor: &mut Cursor, table: &mut CreateTable, name: &Name) -> Result<()> {
    let start = cursor.peek_span();
    let constraint = if cursor.accept(&["CONSTRAINT"]) { Some(cursor.name()?) } else { None };
    if !cursor.accept(&["PRIMARY", "KEY"]) {
        return Ok(());
    }
    enforcement(cursor, start)?;
    let span = cursor.since(start);
    set_primary_key(table, PrimaryKey { constraint, columns: vec![name.clone()], span })
}

fn parse_like(cursor: &mut Cursor) -> Result<LikeTable> {
    let table = cursor.qualified()?;
    let mut rules = Vec::new();
    if cursor.accept_token(&Token::LParen) {
        while !cursor.accept_token(&Token::RParen) {
            rules.push(like_rule(cursor)?);
        }
    }
    Ok(LikeTable { table, rules })
}

fn like_rule(cursor: &mut Cursor) -> Result<LikeRule> {
    const STRATEGIES: [(&str, LikeStrategy); 3] = [
        ("INCLUDING", LikeStrategy::Including),
        ("EXCLUDING", LikeStrategy::Excluding),
        ("OVERWRITING", LikeStrategy::Overwriting),
    ];
    const FEATURES: [(&str, LikeFeature); 8] = [
        ("ALL", LikeFeature::All),
        ("CONSTRAINTS", LikeFeature::Constraints),
        ("DISTRIBUTION", LikeFeature::Distribution),
        ("GENERATED", LikeFeature::Generated),
        ("METADATA", LikeFeature::Metadata),
        ("OPTIONS", LikeFeature::Options),
        ("PARTITIONS", LikeFeature::Partitions),
        ("WATERMARKS", LikeFeature::Watermarks),
    ];
    let start = cursor.peek_span();
    let Some((_, strategy)) = STRATEGIES.into_iter().find(|(word, _)| cursor.accept(&[word])) else {
        return Err(cursor.expected("INCLUDING, EXCLUDING, OVERWRITING or ')'"));
    };
    let Some((word, feature)) = FEATURES.into_iter().find(|(word, _)| cursor.accept(&[word])) else {
        return Err(cursor.expected(
            "ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS",
        ));
    };
    let span = cursor.since(start);
    let sets = matches!(
        feature,
        LikeFeature::All | LikeFeature::Constraints | LikeFeature::Distribution | LikeFeature::Partitions
    );
    if strategy == LikeStrategy::Overwriting && sets {
        return Err(Diagnostic::error(Code::InvalidDefinition, format!("OVERWRITING {word} is not allowed"))
            .at(span)
            .help("use INCLUDING or EXCLUDING"));
    }
    Ok(LikeRule { strategy, feature, span })
}
