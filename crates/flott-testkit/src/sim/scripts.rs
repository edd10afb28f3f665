//! The pipelines of the simulation: each has at least three operators with state, and two splits or more
//! per table.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use flott_connector::Registry;
use flott_plan::{NodeKind, Pipeline, StreamPlan, plan};
use flott_sql::{Outcome, Session, Source, parse::parse_script};
use flott_types::{Diagnostic, Options};

use super::{
    log::LogConnector,
    source::{SimConnector, Table},
};

/// A pipeline.
pub(super) struct Script {
    pub(super) name: &'static str,
    /// Views that its queries read: name, query.
    views: &'static [(&'static str, &'static str)],
    /// Its sinks: columns, whether they take changes, the query. The table's files lie below `/out/<number>`.
    sinks: &'static [(&'static str, bool, &'static str)],
    /// Rows of the sinks depend on when they were processed: what counts is the sum of column `n` by `k`.
    pub(super) sums: bool,
    /// Sinks that are logs instead of files.
    logs: &'static [usize],
}

const A: &str = "TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '2' SECOND))";

/// All pipelines.
pub(super) const SCRIPTS: &[Script] = &[
    Script {
        name: "window join",
        views: &[],
        sums: false,
        logs: &[],
        sinks: &[(
            "k BIGINT, n BIGINT, w TIMESTAMP(3)",
            false,
            "SELECT x.k, x.n, x.window_end FROM
               (SELECT k, COUNT(*) AS n, window_start, window_end
                  FROM TABLE(HOP(TABLE a, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '3' SECOND))
                  GROUP BY k, window_start, window_end) x JOIN
               (SELECT MAX(n) AS most, window_start, window_end FROM
                 (SELECT k, COUNT(*) AS n, window_start, window_end
                    FROM TABLE(HOP(TABLE a, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '3' SECOND))
                    GROUP BY k, window_start, window_end) GROUP BY window_start, window_end) m
               ON x.window_start = m.window_start AND x.window_end = m.window_end AND x.n >= m.most",
        )],
    },
    Script {
        name: "sessions",
        views: &[("sessions", "SELECT k, SUM(v) AS v, window_time AS ts FROM TABLE(SESSION(TABLE a PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end, window_time")],
        sums: false,
        logs: &[],
        sinks: &[(
            "g BIGINT, n BIGINT, total BIGINT, r BIGINT",
            false,
            "SELECT g, n, total, r FROM
               (SELECT g, n, total, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY total DESC, g) AS r
                  FROM (SELECT MOD(k, 3) AS g, COUNT(*) AS n, SUM(v) AS total, window_start, window_end FROM
                    TABLE(TUMBLE(TABLE sessions, DESCRIPTOR(ts), INTERVAL '4' SECOND))
                    GROUP BY MOD(k, 3), window_start, window_end)) WHERE r <= 2",
        )],
    },
    Script {
        name: "groups",
        views: &[],
        sums: false,
        logs: &[],
        sinks: &[(
            "g BIGINT, n BIGINT, total BIGINT, most BIGINT, r BIGINT",
            true,
            "SELECT g, n, total, most, r FROM
               (SELECT g, n, total, most, ROW_NUMBER() OVER (ORDER BY total DESC, g) AS r FROM
                 (SELECT MOD(k, 4) AS g, COUNT(*) AS n, SUM(total) AS total, MAX(most) AS most FROM
                   (SELECT k, SUM(v) AS total, MAX(v) AS most, COUNT(DISTINCT g) AS d FROM a GROUP BY k)
                  GROUP BY MOD(k, 4))) WHERE r <= 3",
        )],
    },
    Script {
        name: "joins",
        views: &[],
        sums: false,
        logs: &[],
        sinks: &[(
            "k BIGINT, n BIGINT, total BIGINT, v BIGINT, id BIGINT",
            true,
            "SELECT x.k, x.n, x.total, y.v, y.id FROM
               (SELECT k, COUNT(*) AS n, SUM(v) AS total FROM a GROUP BY k) x FULL JOIN
               (SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM b)
                  WHERE rn = 1) y ON x.k = y.k",
        )],
    },
    Script {
        name: "over and interval",
        views: &[("pairs", "SELECT l.k, l.total, l.ts FROM (SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW) AS total FROM a) l JOIN b ON l.k = b.k AND l.ts BETWEEN b.ts - INTERVAL '1' SECOND AND b.ts + INTERVAL '1' SECOND")],
        sums: false,
        logs: &[],
        sinks: &[(
            "k BIGINT, n BIGINT, total BIGINT, w TIMESTAMP(3)",
            false,
            "SELECT k, COUNT(*), SUM(total), window_end FROM TABLE(TUMBLE(TABLE pairs, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY k, window_start, window_end",
        )],
    },
    Script {
        name: "two sinks",
        views: &[],
        sums: false,
        logs: &[],
        sinks: &[
            (
                "k BIGINT, v BIGINT, w TIMESTAMP(3), r BIGINT",
                false,
                "SELECT k, v, window_end, r FROM (SELECT *, ROW_NUMBER() OVER
                   (PARTITION BY window_start, window_end ORDER BY v DESC) AS r FROM A) WHERE r <= 3",
            ),
            (
                "g BIGINT, n BIGINT, best BIGINT",
                true,
                "SELECT MOD(k, 3), COUNT(*), MAX(v) FROM
                   (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM a) WHERE r <= 4
                 GROUP BY MOD(k, 3)",
            ),
        ],
    },
    Script {
        name: "temporal join",
        views: &[("priced", "SELECT a.g, l.v AS p, a.ts FROM a LEFT JOIN last_b FOR SYSTEM_TIME AS OF a.ts AS l ON a.k = l.k")],
        sums: false,
        logs: &[],
        sinks: &[(
            "g BIGINT, n BIGINT, total BIGINT, w TIMESTAMP(3), r BIGINT",
            false,
            "SELECT g, n, total, window_end, r FROM (SELECT *, ROW_NUMBER() OVER
               (PARTITION BY window_start, window_end ORDER BY total DESC, g) AS r FROM
                 (SELECT g, COUNT(*) AS n, SUM(p) AS total, window_start, window_end
                    FROM TABLE(TUMBLE(TABLE priced, DESCRIPTOR(ts), INTERVAL '3' SECOND))
                    GROUP BY g, window_start, window_end)) WHERE r <= 2",
        )],
    },
    Script {
        name: "processing time",
        views: &[("counted", "SELECT MOD(k, 3) AS g, COUNT(*) AS n, PROCTIME() AS pt FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(pt), INTERVAL '0.020' SECOND)) GROUP BY k, window_start, window_end")],
        sums: true,
        logs: &[],
        sinks: &[
(
            "k BIGINT, n BIGINT",
            false,
            "SELECT g AS k, SUM(n) AS n FROM TABLE(TUMBLE(TABLE counted, DESCRIPTOR(pt), INTERVAL '0.050' SECOND))
             GROUP BY g, window_start, window_end",
        ),
("k BIGINT, n BIGINT, total BIGINT", true, "SELECT k, COUNT(*), SUM(v) FROM a GROUP BY k")],
    },
    Script {
        name: "log",
        views: &[],
        sums: false,
        logs: &[0],
        sinks: &[(
            "k BIGINT, n BIGINT, total BIGINT, v BIGINT, id BIGINT",
            true,
            "SELECT x.k, x.n, x.total, y.v, y.id FROM
               (SELECT k, COUNT(*) AS n, SUM(v) AS total FROM a GROUP BY k) x FULL JOIN
               (SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM b)
                  WHERE rn = 1) y ON x.k = y.k",
        )],
    },
    Script {
        name: "logs and files",
        views: &[("sessions", "SELECT k, SUM(v) AS v, window_time AS ts FROM TABLE(SESSION(TABLE b PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end, window_time")],
        sums: false,
        logs: &[0, 1],
        sinks: &[
            ("id BIGINT, v BIGINT", false, "SELECT id, v FROM a WHERE MOD(v, 3) <> 1"),
            (
                "k BIGINT, v BIGINT, w TIMESTAMP(3), r BIGINT",
                false,
                "SELECT k, v, window_end, r FROM (SELECT *, ROW_NUMBER() OVER
                   (PARTITION BY window_start, window_end ORDER BY v DESC) AS r FROM A) WHERE r <= 3",
            ),
            (
                "g BIGINT, n BIGINT, total BIGINT, w TIMESTAMP(3)",
                false,
                "SELECT MOD(k, 3) AS g, COUNT(*) AS n, SUM(v) AS total, window_end FROM
                    TABLE(TUMBLE(TABLE sessions, DESCRIPTOR(ts), INTERVAL '4' SECOND))
                    GROUP BY MOD(k, 3), window_start, window_end",
            ),
        ],
    },
];

/// Data sets: the tables of each are different ones.
pub(super) const DATA_SETS: u64 = 12;

impl Script {
    fn text(&self) -> String {
        let columns = "id BIGINT, k BIGINT, g BIGINT, v BIGINT, ts TIMESTAMP(3), pt AS PROCTIME(),
             WATERMARK FOR ts AS ts - INTERVAL '1' SECOND";
        let mut text = String::new();
        for (number, name) in ["a", "b"].iter().enumerate() {
            text += &format!(
                "CREATE TABLE {name} ({columns}) WITH ('connector' = 'simulated', 'table' = '{number}');\n"
            );
        }
        text += "CREATE TEMPORARY VIEW last_b AS SELECT k, v, ts FROM \
             (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM b) WHERE n = 1;\n";
        for (name, query) in self.views {
            text += &format!("CREATE TEMPORARY VIEW {name} AS {query};\n");
        }
        for (number, (columns, changes, _)) in self.sinks.iter().enumerate() {
            let format = if *changes { "changelog-json" } else { "json" };
            let place = match self.is_log(number) {
                true => format!("'connector' = 'log', 'table' = '{number}'"),
                false => format!("'connector' = 'filesystem', 'path' = '/out/{number}'"),
            };
            text += &format!("CREATE TABLE s{number} ({columns}) WITH ({place}, 'format' = '{format}');\n");
        }
        text += "EXECUTE STATEMENT SET BEGIN\n";
        for (number, (_, _, query)) in self.sinks.iter().enumerate() {
            text +=
                &format!("INSERT INTO s{number} {};\n", query.replace(" FROM A)", &format!(" FROM {A})")));
        }
        text + "END;\n"
    }

    /// Whether each sink takes changes.
    pub(super) fn changes(&self, sink: usize) -> bool {
        self.sinks.get(sink).is_some_and(|(_, changes, _)| *changes)
    }

    /// Whether a sink is a log.
    pub(super) fn is_log(&self, sink: usize) -> bool {
        self.logs.contains(&sink)
    }

    pub(super) fn sinks(&self) -> usize {
        self.sinks.len()
    }

    fn plan(&self, registry: &Registry) -> flott_types::Result<(StreamPlan, Options)> {
        let source = Source::new(self.name, self.text());
        let (statements, errors) = parse_script(&source);
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        let mut session = Session::new(Options::new());
        let mut pipeline = None;
        for statement in &statements {
            if let Outcome::Insert(inserts) = session.execute(&source, statement)? {
                pipeline = Some(Pipeline::Inserts(inserts));
            }
        }
        let pipeline = pipeline
            .ok_or_else(|| Diagnostic::error(flott_types::Code::Internal, "a script without INSERT"))?;
        Ok((plan(&pipeline, registry, &session.options)?, session.options.clone()))
    }
}

/// The tables of a data set.
pub(super) type Tables = Vec<Arc<Table>>;

/// A plan, and the options that it was made with.
pub(super) type Planned = Rc<(StreamPlan, Options)>;

thread_local! {
    static PLANS: RefCell<BTreeMap<usize, Planned>> = const { RefCell::new(BTreeMap::new()) };
    static TABLES: RefCell<BTreeMap<u64, Tables>> = const { RefCell::new(BTreeMap::new()) };
}

/// The tables of a data set, made once per thread.
pub(super) fn tables(data: u64) -> Tables {
    TABLES.with(|it| {
        let mut known = it.borrow_mut();
        let make = || (0..2).map(|number| Arc::new(Table::generate(data, number))).collect();
        known.entry(data).or_insert_with(make).clone()
    })
}

/// All that an incarnation knows of the outside.
pub(super) fn registry(data: u64, process: usize) -> Registry {
    let mut registry = Registry::new();
    flott_formats::all().into_iter().for_each(|format| registry.add_format(format));
    flott_connector_files::all().into_iter().for_each(|connector| registry.add_connector(connector));
    registry.add_connector(Arc::new(SimConnector { tables: tables(data), process }));
    registry.add_connector(Arc::new(LogConnector { process }));
    registry
}

/// The plan of a script, made once per thread.
///
/// # Errors
/// The script can't be planned.
pub(super) fn planned(script: usize) -> Result<Planned, String> {
    if let Some(known) = PLANS.with(|it| it.borrow().get(&script).cloned()) {
        return Ok(known);
    }
    let it = SCRIPTS.get(script).ok_or("no such script")?;
    let made = it.plan(&registry(0, 0)).map_err(|error| {
        let text = it.text();
        let near = error
            .span
            .and_then(|span| text.get(span.start..))
            .map(|rest| rest.chars().take(80).collect::<String>());
        format!("{}: {} near {near:?}", it.name, error.message)
    })?;
    let made = Rc::new(made);
    PLANS.with(|it| it.borrow_mut().insert(script, made.clone()));
    Ok(made)
}

/// Operators with state in a plan.
pub(super) fn operators(plan: &StreamPlan) -> usize {
    plan.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Operator(_))).count()
}
