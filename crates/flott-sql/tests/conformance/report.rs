//! Where the answers agree: counts per function, and each difference.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use flott_expr::functions::inventory::{Entry, INVENTORY, Standing};

use crate::{
    FLINK,
    answers::{Answer, Recorded},
    cases::Case,
    flott,
};

/// Registered, but nothing that a script can call, or nothing that is the same twice.
pub const UNCALLABLE: &[&str] = &["ENFORCE_NOT_NULL", "PROCTIME", "CURRENT_WATERMARK"];

/// How often a subject was asked about.
#[derive(Debug, Default)]
struct Count {
    subject: String,
    cases: usize,
    equal: usize,
    explained: usize,
    different: usize,
}

struct Difference {
    subject: String,
    expression: String,
    flink: Answer,
    flott: Answer,
    message: String,
    /// Why it is so.
    reason: Option<Reason>,
}

/// All cases, compared.
pub struct Report {
    counts: Vec<Count>,
    differences: Vec<Difference>,
    needless: Vec<String>,
}

impl Report {
    pub fn new(cases: &[Case], recorded: &Recorded, directory: &Path) -> Self {
        let reasons = Reasons::read(&directory.join("differences.tsv"));
        let mut report = Self { counts: Vec::new(), differences: Vec::new(), needless: Vec::new() };
        let mut needed = BTreeSet::new();
        for case in cases {
            let Some(flink) = recorded.get(&case.expression) else { continue };
            let (found, message) = flott::answer(&case.expression);
            let count = report.count(&case.subject);
            count.cases += 1;
            if flink.agrees(&found) {
                count.equal += 1;
                continue;
            }
            let reason = reasons.find(case, flink).map(|(at, reason)| {
                needed.insert(at);
                reason
            });
            let meant = reason.as_ref().is_some_and(|it| it.meant);
            *if meant { &mut count.explained } else { &mut count.different } += 1;
            report.differences.push(Difference {
                subject: case.subject.clone(),
                expression: case.expression.clone(),
                flink: flink.clone(),
                flott: found,
                message,
                reason,
            });
        }
        let rows = reasons.0.into_iter().enumerate().filter(|(at, _)| !needed.contains(at));
        report.needless = rows.map(|(_, (patterns, _))| patterns.join("  ")).collect();
        report
    }

    /// Lines of `differences.tsv` that none of these cases needs.
    pub fn needless(&self) -> &[String] {
        &self.needless
    }

    /// The count of a subject; casts are counted by the type they start from.
    fn count(&mut self, subject: &str) -> &mut Count {
        let subject = subject.split(" → ").next().unwrap_or(subject);
        if let Some(at) = self.counts.iter().position(|it| it.subject == subject) {
            return &mut self.counts[at];
        }
        self.counts.push(Count { subject: subject.into(), ..Count::default() });
        self.counts.last_mut().unwrap()
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, cells: [String; 4]| {
            let [cases, equal, explained, different] = cells;
            writeln!(out, "{name:<24} {cases:>6} {equal:>6} {explained:>9} {different:>9}").unwrap();
        };
        line("function", ["cases", "equal", "explained", "different"].map(str::to_string));
        for it in &self.counts {
            line(&it.subject, [it.cases, it.equal, it.explained, it.different].map(|it| it.to_string()));
        }
        let sum = |of: fn(&Count) -> usize| self.counts.iter().map(of).sum::<usize>();
        let cases = sum(|it| it.cases);
        let sums = [cases, sum(|it| it.equal), sum(|it| it.explained), sum(|it| it.different)];
        line("total", sums.map(|it| it.to_string()));
        let asked = self.counts.len();
        let working = self.counts.iter().filter(|it| it.works()).count();
        let alike = self.counts.iter().filter(|it| it.different == 0).count();
        let percent = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        writeln!(
            out,
            "asked about {asked}, working {working} ({:.1} %), without unexplained difference {alike} ({:.1} %), \
             cases alike {:.2} %, compared with Flink {FLINK}",
            percent(working, asked),
            percent(alike, asked),
            percent(sums[1] + sums[2], cases),
        )
        .unwrap();
        out
    }

    /// How the functions that Flink lists stand here, aggregates and windows aside.
    pub fn standing() -> String {
        let scalar = |it: &&Entry| it.standing.works() || it.standing == Standing::Later;
        let scalar: Vec<&Entry> = INVENTORY.iter().filter(|it| !it.flink.is_empty()).filter(scalar).collect();
        let missing: Vec<&str> = scalar.iter().filter(|it| !it.standing.works()).map(|it| it.name).collect();
        let (listed, works) = (scalar.len(), scalar.len() - missing.len());
        let share = 100.0 * works as f64 / listed as f64;
        let names = missing.join(", ");
        format!(
            "of {listed} scalar functions of SHOW FUNCTIONS {works} work ({share:.1} %); missing: {names}"
        )
    }

    /// Every difference, its reason last.
    pub fn differences(&self) -> String {
        let mut out = String::new();
        for it in &self.differences {
            let reason = it.reason.as_ref().map(|it| format!("\n   because {}", it.text)).unwrap_or_default();
            writeln!(out, "{}{reason}", it.text()).unwrap();
        }
        out
    }

    pub fn unexplained(&self) -> Vec<String> {
        self.differences.iter().filter(|it| it.reason.is_none()).map(Difference::text).collect()
    }
}

impl Count {
    /// Whether the function is there: it gives Flink's answer for most of its arguments.
    fn works(&self) -> bool {
        self.equal + self.explained > self.different
    }
}

impl Difference {
    fn text(&self) -> String {
        let show =
            |it: &Answer| format!("{} :: {}", it.value_text(), it.data_type.as_deref().unwrap_or("no type"));
        let (flink, flott) = (show(&self.flink), show(&self.flott));
        let message = if self.message.is_empty() { String::new() } else { format!("  ({})", self.message) };
        format!("{}\n   {}\n   Flink {flink}\n   Flott {flott}{message}", self.subject, self.expression)
    }
}

/// Why an answer differs.
#[derive(Debug, Clone)]
struct Reason {
    text: String,
    /// Whether it is meant to stay so; if not, it counts as different.
    meant: bool,
}

/// `differences.tsv`: patterns for the subject, the expression and Flink's answer, and the reason,
/// which begins with `open: ` where Flott falls short.
struct Reasons(Vec<([String; 3], Reason)>);

impl Reasons {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let row = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [subject, expression, answer, reason] = fields[..] else {
                panic!("{}: {line}", path.display())
            };
            let open = reason.strip_prefix("open: ");
            let reason = Reason { text: open.unwrap_or(reason).into(), meant: open.is_none() };
            ([subject, expression, answer].map(str::to_string), reason)
        };
        let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(rows.map(row).collect())
    }

    fn find(&self, case: &Case, flink: &Answer) -> Option<(usize, Reason)> {
        let answer = flink.value_text();
        let fits = |([subject, expression, value], _): &&([String; 3], Reason)| {
            matches(subject, &case.subject)
                && matches(expression, &case.expression)
                && matches(value, &answer)
        };
        let at = self.0.iter().position(|row| fits(&row))?;
        Some((at, self.0[at].1.clone()))
    }
}

/// The reasons that are meant to stay.
pub fn meant_reasons(directory: &Path) -> Vec<String> {
    let rows = Reasons::read(&directory.join("differences.tsv")).0;
    rows.into_iter().filter(|(_, it)| it.meant).map(|(_, it)| it.text).collect()
}

/// Whether a pattern, in which `*` stands for any text, fits the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(after) = text.strip_prefix(start) else { return false };
            let mut ends = after.char_indices().map(|(at, _)| at).chain([after.len()]);
            ends.any(|at| matches(rest, &after[at..]))
        }
    }
}
