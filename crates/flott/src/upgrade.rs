//! `flott upgrade`: what becomes of a checkpoint under a script that was changed, before anything runs.
//!
//! ```text
//!   DIR ─► newest checkpoint of each job ─┐
//!                                         ├─► verdicts: kept, migrated, rebuilt, dropped
//!   NEW.sql ─► plan of each pipeline ─────┘
//! ```
//! Reads only: claims nothing, writes nothing. Exit code 0: nothing is lost; 1: a run would refuse it; 2: the
//! script or an argument is wrong.

use std::{fmt::Write as _, process::ExitCode};

use flott_connector::{Registry, SystemClock};
use flott_plan::{
    Pipeline, StreamPlan, plan,
    upgrade::{Fate, Subject, Upgrade as Plan, Verdict},
};
use flott_state::Manifest;
use flott_types::{Code, Diagnostic, Result};
use serde_json::json;

use crate::{
    check::Sound,
    checkpoints::{JobFolder, Place},
    cli::{ScriptArguments, Upgrade},
    console, diagnostics, run, settings,
};

/// Where a job's checkpoints are.
const DIRECTORY: &str = "execution.checkpointing.dir";

/// A pipeline of the script.
struct Planned {
    /// The name under which it has checkpoints.
    job: String,
    key_groups: u16,
    plan: StreamPlan,
    registry: Registry,
}

/// Says what the arguments ask for.
pub fn command(arguments: &Upgrade) -> ExitCode {
    match planned(arguments) {
        Ok((sound, planned)) => match compare(arguments, &planned) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => diagnostics::show(&[error], Some(&sound.script.source)),
        },
        Err(code) => code,
    }
}

/// The script's pipelines that have checkpoints.
fn planned(arguments: &Upgrade) -> Result<(Sound, Vec<Planned>), ExitCode> {
    let mut sound = Sound::load(&with_directory(arguments), false)?;
    let (clock, default_name) = (SystemClock::new(), sound.script.default_name.clone());
    let (mut planned, mut pipelines) = (Vec::new(), 0);
    sound.each_pipeline(&mut |pipeline, registry, options| {
        pipelines += 1;
        let settings = settings::job_settings(options, &default_name, &clock)?;
        let job = run::job_name(settings.pipeline_name, pipelines);
        if matches!(pipeline, Pipeline::Inserts(_)) {
            let plan = plan(pipeline, registry, options)?;
            planned.push(Planned { job, key_groups: settings.key_groups, plan, registry: registry.clone() });
        }
        Ok(())
    })?;
    Ok((sound, planned))
}

/// The directory that is looked at is where the job's checkpoints are, unless the script says otherwise: it may be
/// given to `run` in another way.
fn with_directory(arguments: &Upgrade) -> ScriptArguments {
    let mut script = arguments.script.clone();
    if !script.define.iter().any(|(key, _)| key == DIRECTORY) {
        let place = Place::of(&arguments.directory);
        let directory = place.map_or_else(|_| arguments.directory.clone(), |it| it.root());
        script.define.insert(0, (DIRECTORY.to_string(), directory.display().to_string()));
    }
    script
}

/// Whether nothing is lost.
fn compare(arguments: &Upgrade, planned: &[Planned]) -> Result<bool> {
    let place = Place::of(&arguments.directory)?;
    let mut jobs = Vec::new();
    for folder in &place.folders {
        jobs.push(JobFolder::read(folder)?);
    }
    let mut nothing_lost = true;
    let mut compared = 0;
    for job in &jobs {
        // A folder or a checkpoint that is named may be of a job of another name (`--resume PATH`).
        let pipeline = match planned {
            [only] if place.is_of_one_job() => Some(only),
            _ => planned.iter().find(|it| it.job == job.name()),
        };
        let Some(pipeline) = pipeline else { continue };
        compared += 1;
        let number = place.number.or_else(|| job.contents.manifests.keys().next_back().copied());
        let manifest = number.and_then(|number| job.contents.manifests.get(&number));
        let Some(manifest) = manifest else {
            return Err(job.no_checkpoint(number));
        };
        let confirmed = job.is_confirmed(manifest.number);
        let how = (confirmed, job.name() != pipeline.job);
        let Planned { plan, registry, key_groups, .. } = pipeline;
        let upgrade = flott_engine::upgrade(plan, registry, manifest, *key_groups, how);
        nothing_lost &= tell(arguments, job, manifest, upgrade);
    }
    if compared == 0 {
        let names: Vec<&str> = planned.iter().map(|it| it.job.as_str()).collect();
        let there: Vec<String> = jobs.iter().map(JobFolder::name).collect();
        let message = format!(
            "no pipeline of the script ({}) has checkpoints in '{}' ({})",
            listed(&names),
            place.path.display(),
            listed(&there.iter().map(String::as_str).collect::<Vec<_>>())
        );
        return Err(Diagnostic::error(Code::CheckpointUnusable, message)
            .help(
                "a job's checkpoints go by its 'pipeline.name': 'flott run' would begin from nothing. Set that name, \
                 or name the job's folder or a checkpoint in it, here and in 'flott run --resume PATH'",
            ));
    }
    Ok(nothing_lost)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_string() } else { format!("'{}'", names.join("', '")) }
}

/// Prints what becomes of a checkpoint; whether nothing is lost.
fn tell(arguments: &Upgrade, job: &JobFolder, manifest: &Manifest, upgrade: Result<Plan>) -> bool {
    let (verdicts, refused) = match &upgrade {
        Ok(upgrade) => (upgrade.verdicts.as_slice(), None),
        Err(error) => (&[] as &[Verdict], Some(error)),
    };
    let lost: Vec<&Verdict> =
        upgrade.iter().flat_map(|upgrade| upgrade.lost(&arguments.allow_drop)).collect();
    let is_fine = lost.is_empty() && refused.is_none();
    for name in upgrade.iter().flat_map(|upgrade| upgrade.names_nothing(&arguments.allow_drop)) {
        console::err(format_args!("warning: --allow-drop {name}: nothing here has this id\n"));
    }
    if arguments.json {
        console::out(format_args!(
            "{}\n",
            json!({
                "job": manifest.job,
                "directory": job.path.display().to_string(),
                "checkpoint": manifest.number,
                "verdicts": verdicts,
                "lost": lost.iter().map(|it| &it.id).collect::<Vec<_>>(),
                "refused": refused.map(|error| &error.message),
                "ok": is_fine,
            })
        ));
        return is_fine;
    }
    let (number, path) = (manifest.number, job.path.display());
    console::out(format_args!("checkpoint {number} of {}  in {path}\n", manifest.job));
    verdicts.iter().for_each(|it| console::out(text(it)));
    if let Some(error) = refused {
        diagnostics::show(std::slice::from_ref(error), None);
    } else if lost.is_empty() {
        console::out(
            "no state is lost that was not given up; what sinks were told before stays as it was told\n",
        );
    } else {
        let leave: Vec<String> = lost.iter().map(|it| format!("--allow-drop {}", it.id)).collect();
        console::out(format_args!(
            "flott run refuses to go on: it would lose {} of these. To give them up: {}\n",
            lost.len(),
            leave.join(" ")
        ));
    }
    is_fine
}

/// A verdict for people.
fn text(it: &Verdict) -> String {
    let id = match it.subject {
        Subject::Source => format!("source {}", it.name),
        Subject::Sink => format!("sink {}", it.name),
        Subject::Operator => it.id.clone(),
    };
    let mut text = format!("  {:<9} {id}", it.verdict.word());
    if let Some(was) = &it.was {
        let _ = write!(text, "  (was {was})");
    }
    let mark = if it.loses && it.verdict == Fate::Dropped { "! " } else { "" };
    for reason in &it.reasons {
        let _ = write!(text, "\n            {mark}{reason}");
    }
    text.push('\n');
    text
}
