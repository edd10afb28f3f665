//! The command line: arguments in, exit code out.
//!
//! ```text
//!   main ─► cli (arguments) ─► script (text, variables) ─► run | check | explain | list | dead_letters | checkpoints | why
//!                                                            └─► diagnostics (what went wrong, underlined)
//! ```
//!
//! Exit codes: 0 done (dead letters included) or stopped cleanly; 1 the run failed; 2 the
//! script, an option or the arguments are wrong.

mod check;
mod checkpoints;
mod cli;
mod connectors;
mod console;
mod dead_letters;
mod diagnostics;
mod explain;
mod lease;
mod limits;
mod list;
mod live;
mod logging;
mod metrics;
mod mounts;
mod printable;
mod process;
mod report;
mod restarts;
mod results;
mod run;
mod script;
mod settings;
mod signals;
mod socket;
mod standby;
mod state;
mod status;
mod supervise;
mod upgrade;
mod why;

use std::process::ExitCode;

use clap::Parser;

/// The allocator: batches are allocated on one thread and freed on another all the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Expressions are trees that are walked by recursion, and `a OR b OR …` is as deep as it is long.
const STACK_BYTES: usize = 256 << 20;

fn main() -> ExitCode {
    limits::raise_open_files();
    match std::thread::Builder::new().name("main".into()).stack_size(STACK_BYTES).spawn(dispatch) {
        // The panic has said what went wrong.
        Ok(thread) => thread.join().unwrap_or(ExitCode::FAILURE),
        Err(_) => dispatch(),
    }
}

fn dispatch() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match arguments.command {
        cli::Command::Run(run) => run::command(&run),
        cli::Command::Validate(validate) => check::command(&validate),
        cli::Command::Explain(explain) => explain::command(&explain),
        cli::Command::List(list) => list::command(&list),
        cli::Command::Dlq(dlq) => dead_letters::command(&dlq),
        cli::Command::Checkpoint(checkpoint) => checkpoints::command(&checkpoint),
        cli::Command::Status(status) => status::command(&status),
        cli::Command::Why(why) => why::command(&why),
        cli::Command::Upgrade(upgrade) => upgrade::command(&upgrade),
        cli::Command::Completions { shell } => {
            let mut command = <cli::Arguments as clap::CommandFactory>::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "flott", &mut script);
            console::out(String::from_utf8_lossy(&script));
            ExitCode::SUCCESS
        }
    }
}
