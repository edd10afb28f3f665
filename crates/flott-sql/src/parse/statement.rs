//! Which statement it is, and the short ones.

use flott_types::{Code, Diagnostic, Result, Span};
use sqlparser::{
    ast::Expr,
    tokenizer::{Token, TokenWithSpan},
};

use super::{
    ast::{
        Alter, AlterAction, Drop, InsertStatement, Like, Name, ObjectKind, Show, ShowWhat, Statement,
        StatementKind,
    },
    cursor::Cursor,
    ddl,
};
use crate::OnConflict;

/// Words that a statement starts with, for `did you mean`.
const STARTS: [&str; 16] = [
    "ALTER", "BEGIN", "CREATE", "DESC", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "RESET",
    "SELECT", "SET", "SHOW", "USE", "VALUES", "WITH",
];

/// Statements that Flink has.
const NOT_SUPPORTED: [&[&str]; 25] = [
    &["ADD", "JAR"],
    &["REMOVE", "JAR"],
    &["LOAD", "MODULE"],
    &["UNLOAD", "MODULE"],
    &["USE", "MODULES"],
    &["DELETE"],
    &["UPDATE"],
    &["TRUNCATE", "TABLE"],
    &["MERGE"],
    &["ANALYZE", "TABLE"],
    &["CALL"],
    &["COMPILE"],
    &["COMPILE", "AND", "EXECUTE"],
    &["EXECUTE", "PLAN"],
    &["EXECUTE", "JOB"],
    &["EXECUTE", "SCRIPT"],
    &["STOP", "JOB"],
    &["ADD"],
    &["CLEAR"],
    &["QUIT"],
    &["EXIT"],
    &["HELP"],
    &["SOURCE"],
    &["REFRESH"],
    &["KILL"],
];

/// Reads one statement; what is left over is the caller's to refuse.
pub(super) fn parse(cursor: &mut Cursor) -> Result<StatementKind> {
    let start = cursor.peek_span();
    for words in NOT_SUPPORTED {
        if cursor.accept(words) {
            return Err(Diagnostic::not_supported(words.join(" ")).at(cursor.since(start)));
        }
    }
    if ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| cursor.peek(&[word]))
        || cursor.peek_token(&Token::LParen)
    {
        return Ok(StatementKind::Query(cursor.query()?.0));
    }
    if cursor.accept(&["CREATE"]) {
        return ddl::parse_create(cursor, start);
    }
    if cursor.accept(&["EXECUTE"]) {
        if !cursor.peek(&["INSERT"]) {
            return Err(cursor.expected("INSERT or STATEMENT SET BEGIN"));
        }
        return parse_insert(cursor);
    }
    if cursor.peek(&["INSERT"]) {
        return parse_insert(cursor);
    }
    if cursor.accept(&["SET"]) {
        return parse_set(cursor);
    }
    if cursor.accept(&["RESET"]) {
        let key = if cursor.at_end() { None } else { Some(option_key(cursor, "a key")?) };
        return Ok(StatementKind::Reset(key));
    }
    if cursor.accept(&["SHOW"]) {
        return parse_show(cursor, start);
    }
    if cursor.accept(&["DESCRIBE"]) || cursor.accept(&["DESC"]) {
        return parse_describe(cursor, start);
    }
    if cursor.accept(&["EXPLAIN"]) {
        return parse_explain(cursor);
    }
    if cursor.accept(&["DROP"]) {
        return parse_drop(cursor, start);
    }
    if cursor.accept(&["USE", "CATALOG"]) {
        return Ok(StatementKind::UseCatalog(cursor.name()?));
    }
    if cursor.accept(&["USE"]) {
        return Ok(StatementKind::UseDatabase(cursor.qualified()?));
    }
    if cursor.accept(&["ALTER"]) {
        return parse_alter(cursor, start);
    }
    unknown(cursor)
}

fn unknown(cursor: &mut Cursor) -> Result<StatementKind> {
    if cursor.peek(&["END"]) {
        return Err(cursor.expected("a statement").help("END closes a statement set that no BEGIN opened"));
    }
    let it = cursor.expected("a statement");
    let span = cursor.peek_span();
    let word = cursor.source.slice(span);
    Err(it.did_you_mean(word, STARTS))
}

fn parse_insert(cursor: &mut Cursor) -> Result<StatementKind> {
    let start = cursor.peek_span();
    cursor.expect(&["INSERT"])?;
    let overwrite = cursor.accept(&["OVERWRITE"]);
    if !overwrite && !cursor.accept(&["INTO"]) {
        return Err(cursor.expected("INTO or OVERWRITE"));
    }
    let target = cursor.qualified()?;
    let hints = cursor.hint()?;
    let partition = if cursor.accept(&["PARTITION"]) { cursor.list(partition_value)? } else { Vec::new() };
    let columns = if column_list_follows(cursor) { cursor.names()? } else { Vec::new() };
    let (query, _) = cursor.query()?;
    let on_conflict = parse_on_conflict(cursor)?;
    let span = cursor.since(start);
    let insert = InsertStatement { overwrite, target, hints, partition, columns, query, on_conflict, span };
    Ok(StatementKind::Insert(Box::new(insert)))
}

/// `ON CONFLICT DO ERROR | NOTHING | DEDUPLICATE`
fn parse_on_conflict(cursor: &mut Cursor) -> Result<Option<(OnConflict, Span)>> {
    let start = cursor.peek_span();
    if !cursor.accept(&["ON", "CONFLICT"]) {
        return Ok(None);
    }
    cursor.expect(&["DO"])?;
    let actions = [
        ("ERROR", OnConflict::Error),
        ("NOTHING", OnConflict::Nothing),
        ("DEDUPLICATE", OnConflict::Deduplicate),
    ];
    match actions.into_iter().find(|(word, _)| cursor.accept(&[word])) {
        Some((_, action)) => Ok(Some((action, cursor.since(start)))),
        None => Err(cursor.expected("ERROR, NOTHING or DEDUPLICATE")),
    }
}

/// `(a, b)` and not `(SELECT …)`.
fn column_list_follows(cursor: &Cursor) -> bool {
    let mut rest = cursor.rest().map(|it| &it.token);
    rest.next() == Some(&Token::LParen)
        && matches!(rest.next(), Some(Token::Word(word))
            if word.quote_style.is_some()
                || !["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|it| word.value.eq_ignore_ascii_case(it)))
}

fn partition_value(cursor: &mut Cursor) -> Result<(Name, Expr)> {
    let name = cursor.name()?;
    cursor.expect_token(&Token::Eq)?;
    Ok((name, cursor.expr()?.0))
}

// --- SET, RESET ----------------------------------------------------------------------------------

fn parse_set(cursor: &mut Cursor) -> Result<StatementKind> {
    if cursor.at_end() {
        return Ok(StatementKind::Set(None));
    }
    let key = option_key(cursor, "a key such as 'parallelism.default'")?;
    cursor.expect_token(&Token::Eq)?;
    let value = option_key(cursor, "a value in single quotes")?;
    Ok(StatementKind::Set(Some((key, value))))
}

/// A string, or bare words up to `=` or the end.
fn option_key(cursor: &mut Cursor, what: &str) -> Result<Name> {
    let tokens: Vec<&TokenWithSpan> = cursor.rest().take_while(|token| token.token != Token::Eq).collect();
    if let [TokenWithSpan { token: Token::SingleQuotedString(_), .. }, ..] | [] = tokens.as_slice() {
        return if cursor.at_end() || cursor.peek_token(&Token::Eq) {
            Err(cursor.expected(what))
        } else {
            cursor.string()
        };
    }
    let spans = tokens.iter().map(|token| cursor.source.span(token.span));
    let span = spans.fold(Span::default(), Span::union);
    let count = tokens.len();
    for _ in 0..count {
        cursor.skip();
    }
    Ok(Name { value: cursor.source.slice(span).to_string(), span })
}

// --- SHOW, DESCRIBE, EXPLAIN ---------------------------------------------------------------------

fn parse_show(cursor: &mut Cursor, start: Span) -> Result<StatementKind> {
    let what = if cursor.accept(&["CREATE", "TABLE"]) {
        ShowWhat::CreateTable(cursor.qualified()?)
    } else if cursor.accept(&["CREATE", "VIEW"]) {
        ShowWhat::CreateView(cursor.qualified()?)
    } else if cursor.accept(&["TABLES"]) {
        ShowWhat::Tables(from(cursor)?.then(|| cursor.qualified()).transpose()?)
    } else if cursor.accept(&["VIEWS"]) {
        ShowWhat::Views(from(cursor)?.then(|| cursor.qualified()).transpose()?)
    } else if cursor.accept(&["COLUMNS"]) {
        if !from(cursor)? {
            return Err(cursor.expected("FROM or IN"));
        }
        ShowWhat::Columns(cursor.qualified()?)
    } else if cursor.accept(&["CURRENT", "CATALOG"]) {
        ShowWhat::CurrentCatalog
    } else if cursor.accept(&["CURRENT", "DATABASE"]) {
        ShowWhat::CurrentDatabase
    } else if cursor.accept(&["DATABASES"]) {
        ShowWhat::Databases(from(cursor)?.then(|| cursor.name()).transpose()?)
    } else if cursor.accept(&["CATALOGS"]) {
        ShowWhat::Catalogs
    } else if cursor.accept(&["FUNCTIONS"]) {
        ShowWhat::Functions
    } else if cursor.accept(&["JARS"]) {
        ShowWhat::Jars
    } else if cursor.accept(&["MODULES"]) {
        ShowWhat::Modules
    } else {
        for words in SHOW_NOT_SUPPORTED {
            if cursor.accept(words) {
                let what = format!("SHOW {}", words.join(" "));
                return Err(Diagnostic::not_supported(what).at(cursor.since(start)));
            }
        }
        return Err(cursor.expected("TABLES, VIEWS, COLUMNS, CREATE TABLE, FUNCTIONS, DATABASES or CATALOGS"));
    };
    let like = parse_like(cursor)?;
    Ok(StatementKind::Show(Show { what, like }))
}

const SHOW_NOT_SUPPORTED: [&[&str]; 9] = [
    &["USER", "FUNCTIONS"],
    &["FULL", "MODULES"],
    &["PARTITIONS"],
    &["PROCEDURES"],
    &["JOBS"],
    &["MODELS"],
    &["CREATE", "CATALOG"],
    &["CREATE", "MODEL"],
    &["CREATE", "FUNCTION"],
];

/// Consumes `FROM` or `IN`.
fn from(cursor: &mut Cursor) -> Result<bool> {
    Ok(cursor.accept(&["FROM"]) || cursor.accept(&["IN"]))
}

fn parse_like(cursor: &mut Cursor) -> Result<Option<Like>> {
    let negated = cursor.accept(&["NOT"]);
    let ignore_case = cursor.accept(&["ILIKE"]);
    if !ignore_case && !cursor.accept(&["LIKE"]) {
        return if negated { Err(cursor.expected("LIKE")) } else { Ok(None) };
    }
    Ok(Some(Like { negated, ignore_case, pattern: cursor.string()? }))
}

fn parse_describe(cursor: &mut Cursor, start: Span) -> Result<StatementKind> {
    for word in ["CATALOG", "DATABASE", "FUNCTION", "JOB", "MODEL"] {
        // A table may be called `catalog`; then nothing follows.
        if cursor.peek(&[word]) && cursor.rest().nth(1).is_some() {
            cursor.accept(&[word]);
            return Err(Diagnostic::not_supported(format!("DESCRIBE {word}")).at(cursor.since(start)));
        }
    }
    let _ = cursor.accept(&["EXTENDED"]);
    Ok(StatementKind::Describe(cursor.qualified()?))
}

fn parse_explain(cursor: &mut Cursor) -> Result<StatementKind> {
    if !cursor.accept(&["PLAN", "FOR"]) {
        const DETAILS: [&str; 4] = ["ESTIMATED_COST", "CHANGELOG_MODE", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"];
        while DETAILS.iter().any(|word| cursor.accept(&[word])) {
            cursor.accept_token(&Token::Comma);
        }
    }
    let start = cursor.peek_span();
    let kind = parse(cursor)?;
    let span = cursor.since(start);
    match kind {
        StatementKind::Query(_) | StatementKind::Insert(_) => {
            Ok(StatementKind::Explain(Box::new(Statement { kind, span })))
        }
        _ => Err(Diagnostic::error(
            Code::Syntax,
            "only a query, an INSERT or a statement set can be explained",
        )
        .at(span)),
    }
}

// --- DROP, ALTER ---------------------------------------------------------------------------------

fn parse_drop(cursor: &mut Cursor, start: Span) -> Result<StatementKind> {
    let temporary = cursor.accept(&["TEMPORARY"]);
    let kind = if cursor.accept(&["TABLE"]) {
        ObjectKind::Table
    } else if cursor.accept(&["VIEW"]) {
        ObjectKind::View
    } else if !temporary && cursor.accept(&["DATABASE"]) {
        ObjectKind::Database
    } else {
        for words in
            [&["CATALOG"][..], &["FUNCTION"], &["SYSTEM", "FUNCTION"], &["MODEL"], &["MATERIALIZED", "TABLE"]]
        {
            if cursor.accept(words) {
                return Err(
                    Diagnostic::not_supported(format!("DROP {}", words.join(" "))).at(cursor.since(start))
                );
            }
        }
        return Err(cursor.expected("TABLE, VIEW or DATABASE"));
    };
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let name = cursor.qualified()?;
    let cascade =
        kind == ObjectKind::Database && !cursor.accept(&["RESTRICT"]) && cursor.accept(&["CASCADE"]);
    Ok(StatementKind::Drop(Drop { kind, temporary, if_exists, name, cascade }))
}

fn parse_alter(cursor: &mut Cursor, start: Span) -> Result<StatementKind> {
    let kind = if cursor.accept(&["TABLE"]) {
        ObjectKind::Table
    } else if cursor.accept(&["VIEW"]) {
        ObjectKind::View
    } else {
        for word in ["DATABASE", "CATALOG", "FUNCTION", "MODEL", "MATERIALIZED"] {
            if cursor.accept(&[word]) {
                return Err(Diagnostic::not_supported(format!("ALTER {word}")).at(cursor.since(start)));
            }
        }
        return Err(cursor.expected("TABLE or VIEW"));
    };
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let name = cursor.qualified()?;
    let clause = cursor.peek_span();
    let action = if cursor.accept(&["RENAME", "TO"]) {
        AlterAction::Rename(cursor.qualified()?)
    } else if kind == ObjectKind::View {
        cursor.expect(&["AS"])?;
        let (query, span) = cursor.query()?;
        AlterAction::Query(query, span)
    } else if cursor.accept(&["SET"]) {
        AlterAction::Set(cursor.options()?)
    } else if cursor.accept(&["RESET"]) {
        AlterAction::Reset(cursor.list(Cursor::string)?)
    } else {
        for word in ["ADD", "MODIFY", "DROP", "RENAME"] {
            if cursor.accept(&[word]) {
                return Err(Diagnostic::not_supported(format!("ALTER TABLE … {word}"))
                    .at(clause)
                    .help("declare the table as it should be: DROP TABLE, then CREATE TABLE"));
            }
        }
        return Err(cursor.expected("RENAME TO, SET or RESET"));
    };
    Ok(StatementKind::Alter(Alter { kind, if_exists, name, action }))
}
