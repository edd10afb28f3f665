//! The arguments.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Data pipelines in Flink SQL, in one binary.
///
/// A pipeline is one .sql file: CREATE TABLE says where data comes from and goes to,
/// INSERT INTO … SELECT says what happens on the way.
#[derive(Debug, Parser)]
#[command(name = "flott", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  flott run pipeline.sql                       run a pipeline
  flott run -e \"SELECT UPPER('hello')\"         try an expression
  flott run -D parallelism.default=2 -v DAY=2026-01-01 pipeline.sql
  flott validate pipeline.sql                  find all errors without running
  flott explain pipeline.sql                   see what would run
  flott why checkpoints/                       see what holds a running job back
  flott list functions                         see what there is";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the statements of a script in order, in the foreground
    ///
    /// Bounded pipelines end by themselves; unbounded ones run until Ctrl-C or SIGTERM and then
    /// stop cleanly. A SELECT prints its rows. The row counts at the end always add up.
    ///
    /// Exit code: 0 done or stopped cleanly, 1 the run failed, 2 the script or an argument is wrong.
    Run(Run),
    /// Check a script without running it, and show all errors at once
    Validate(Validate),
    /// Show what would run: the plan with schemas, changelog modes, keys, state and guarantees
    Explain(Explain),
    /// Show what there is: connectors, formats, functions, options, types
    List(List),
    /// Look at dead letters, and run them again
    #[command(subcommand)]
    Dlq(Dlq),
    /// Show who runs the pipelines of a checkpoint directory, since when, and how far they are
    Status(Status),
    /// Look at checkpoints, check them byte by byte, delete them
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Say what holds a running job back, in one sentence with figures
    ///
    /// Asks the run of the job, twice within a second, through the Unix socket in its checkpoint directory:
    /// the split whose time stands still, the slowest operator, the sink that pushes back, the checkpoint that
    /// can't finish.
    ///
    /// Exit code: 0 nothing holds it back, or it has finished; 1 something does, or it does not run.
    Why(Why),
    /// Say what becomes of a checkpoint under a script that was changed, before anything runs
    ///
    /// For every source, operator and sink: kept, migrated, rebuilt or dropped, and why. Nothing is changed.
    ///
    /// Exit code: 0 nothing is lost, 1 `flott run` would refuse to go on, 2 the script or an argument is wrong.
    Upgrade(Upgrade),
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which script, and its settings.
#[derive(Debug, Clone, Args)]
pub struct ScriptArguments {
    /// The script; `-` reads standard input
    #[arg(value_name = "SCRIPT.sql")]
    pub script: Option<PathBuf>,
    /// Statements instead of a script
    #[arg(short, long, value_name = "SQL", conflicts_with = "script")]
    pub execute: Option<String>,
    /// Set an option by Flink's name, e.g. -D parallelism.default=2 (see `flott list options`)
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub define: Vec<(String, String)>,
    /// Fill ${NAME} in the script; ${NAME:-default}, ${env:NAME} and ${file:PATH} work too
    #[arg(short = 'v', long = "var", value_name = "NAME=VALUE", value_parser = key_value)]
    pub variables: Vec<(String, String)>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a query's rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    Table,
    /// A header line, then RFC 4180; NULL is an empty field without quotes.
    Csv,
    /// One JSON object a line.
    Json,
}

/// `flott run`
#[derive(Debug, Args)]
pub struct Run {
    /// The script.
    #[command(flatten)]
    pub script: ScriptArguments,
    /// How the rows of a SELECT are printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// End with one JSON object on standard error instead of the summary for people
    #[arg(long)]
    pub json: bool,
    /// No live view, no summary; errors are still shown
    #[arg(short, long)]
    pub quiet: bool,
    /// How logs are written to standard error (what is logged: FLOTT_LOG=info)
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Serve Prometheus metrics at this address, e.g. 127.0.0.1:9090
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// Where to begin: `auto` (the newest complete checkpoint, or the start), `never` (the start), or
    /// the path of a checkpoint. Default: 'execution.state-recovery.path', else auto
    #[arg(long, value_name = "auto|never|PATH")]
    pub resume: Option<String>,
    /// Wait while another process runs the pipeline, and take over when it falls silent; needs
    /// 'execution.checkpointing.dir', shared by both
    #[arg(long, conflicts_with = "take_over")]
    pub standby: bool,
    /// Run even if another process runs the pipeline: that one can publish nothing more, and stops
    #[arg(long)]
    pub take_over: bool,
    /// Go on without what a checkpoint holds of this operator, if the changed script can't take it up: an id
    /// as `flott upgrade` shows it, or `all`. May be given several times
    #[arg(long, value_name = "OPERATOR")]
    pub allow_drop: Vec<String>,
}

/// `flott upgrade`
#[derive(Debug, Args)]
pub struct Upgrade {
    /// A checkpoint (…/job/sequence/00000007), a job's folder for its newest one, or what
    /// 'execution.checkpointing.dir' says
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The script.
    #[command(flatten)]
    pub script: ScriptArguments,
    /// Count this operator's state as given up: an id, or `all`. May be given several times
    #[arg(long, value_name = "OPERATOR")]
    pub allow_drop: Vec<String>,
    /// One JSON object a line, one for each job
    #[arg(long)]
    pub json: bool,
}

/// `flott validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// The script.
    #[command(flatten)]
    pub script: ScriptArguments,
    /// Touch nothing outside the script
    #[arg(long)]
    pub offline: bool,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// A tree for people.
    Text,
    /// One JSON object.
    Json,
    /// A Mermaid flow chart.
    Mermaid,
}

/// `flott explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The script.
    #[command(flatten)]
    pub script: ScriptArguments,
    /// How the plan is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: PlanFormat,
    /// As --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// Touch nothing outside the script: guarantees go by its text alone
    #[arg(long)]
    pub offline: bool,
    /// Instead of a script: the job whose checkpoints are in DIR, as it runs now, with rows, shares of time,
    /// state and watermarks at every part of its plan
    #[arg(long, value_name = "DIR", conflicts_with_all = ["script", "execute", "define", "variables"])]
    pub live: Option<PathBuf>,
}

/// `flott why`
#[derive(Debug, Args)]
pub struct Why {
    /// What 'execution.checkpointing.dir' says, or a job's folder in it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// One JSON object: all causes, and the figures they come from
    #[arg(long)]
    pub json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    /// Where data comes from and goes to.
    Connectors,
    /// How records are written.
    Formats,
    /// What can be computed.
    Functions,
    /// What SET and -D take.
    Options,
    /// The data types.
    Types,
}

/// `flott list`
#[derive(Debug, Args)]
pub struct List {
    /// What to list
    pub topic: Topic,
    /// Only this one, in full
    pub name: Option<String>,
    /// One JSON object
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Markdown, as in the documentation
    #[arg(long)]
    pub markdown: bool,
}

/// `flott dlq`
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// Count dead letters by run, source and error
    List {
        /// The dead-letter directory, a pipeline's or all of them
        #[arg(value_name = "DIR", default_value = "./flott-dlq")]
        directory: PathBuf,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show dead letters: time, place, error, record
    Show {
        /// The dead-letter directory, a pipeline's or all of them
        #[arg(value_name = "DIR", default_value = "./flott-dlq")]
        directory: PathBuf,
        /// Show at most this many
        #[arg(long, default_value = "20")]
        limit: usize,
        /// One JSON object a line, as they are kept.
        #[arg(long)]
        json: bool,
    },
    /// Run the script on the dead letters instead of its sources
    ///
    /// Letters that succeed are moved to DIR/replayed; those that fail again are new dead letters.
    Replay {
        /// The dead-letter directory.
        directory: PathBuf,
        /// The script and how it is run.
        #[command(flatten)]
        run: Run,
    },
}

/// `flott status`
#[derive(Debug, Args)]
pub struct Status {
    /// What 'execution.checkpointing.dir' says, or a job's folder in it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// One JSON object a line, one for each job
    #[arg(long)]
    pub json: bool,
}

/// `flott checkpoint`
#[derive(Debug, Subcommand)]
pub enum Checkpoint {
    /// List the checkpoints of each job: number, time, size
    List {
        /// What 'execution.checkpointing.dir' says, or a job's folder in it
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// One JSON object a line, one for each job
        #[arg(long)]
        json: bool,
    },
    /// Show what a checkpoint holds: where sources stand, tables of operators, counters
    Show {
        /// A checkpoint (…/job/sequence/00000007), or a job's folder for its newest one
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read all state and compare it with its checksums
    ///
    /// Exit code: 0 all is whole, 1 something is damaged, and is named.
    Verify {
        /// A checkpoint, a job's folder, or what 'execution.checkpointing.dir' says
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// One JSON object a line, one for each checkpoint
        #[arg(long)]
        json: bool,
    },
    /// Delete all checkpoints of a job, so that its next run begins anew
    ///
    /// No run of the job may be active.
    Delete {
        /// The job's folder
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
        /// Even if a run of the job is alive: it can publish nothing more, and fails
        #[arg(long)]
        force: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("expected KEY=VALUE".to_string()),
    }
}
