//! `codistill bench`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::setup::open_device;
use super::{Exit, Failure, Terminal};
use codistill::bench::named::{self, NAMED};
use codistill::bench::workload::Workload;
use codistill::bench::{BenchError, Kind, Loaded, Machine, Profile, Steps, training, write};
use codistill::table::listing;

mod kinds;
mod table;

/// How long histories and texts are, and which items are frequent.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProfileName {
    /// Nothing can be skipped: all users and texts of full length, items uniform.
    Dense,
    /// Short users, item frequency 1/rank, short texts.
    Sparse,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Dense => Self::Dense,
            ProfileName::Sparse => Self::Sparse,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every number is a pure function of the workload's seed, and --write makes a directory that programs in other languages \
read too (workload.json, workload.safetensors). With --json: one line per timed step, then one with the event `done`.

Examples:
  codistill bench list
  codistill bench odmt-small --profile sparse
  codistill bench odmt-paper --set users=32 --write /tmp/paper-32
  codistill bench odmt-paper --workload /tmp/paper-32 --warmup 1 --steps 3 --json")]
pub struct BenchArgs {
    /// A workload; `list` shows all; `machine` measures the machine alone.
    name: String,
    /// How long histories and texts are, and which items are frequent. Default: sparse.
    #[arg(long, value_enum, conflicts_with = "workload")]
    profile: Option<ProfileName>,
    /// Override a dimension, e.g. `users=64` or `width=128`.
    #[arg(long = "set", value_name = "KEY=NUMBER", conflicts_with = "workload")]
    sets: Vec<String>,
    /// Write the workload to a new directory instead of running it.
    #[arg(long, value_name = "DIR", conflicts_with = "workload")]
    write: Option<PathBuf>,
    /// Run a workload that was written before. Default: generate it.
    #[arg(long, value_name = "DIR")]
    workload: Option<PathBuf>,
    /// Steps before the first timed one. Default: 3.
    #[arg(long, conflicts_with = "write")]
    warmup: Option<usize>,
    /// Timed steps; where nothing is trained: repetitions. Default: 20.
    #[arg(long, conflicts_with = "write")]
    steps: Option<NonZeroUsize>,
    /// CPU threads. Default: all.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// auto, cpu or wgpu[:N].
    #[arg(long, default_value = "auto")]
    device: String,
    /// Probability of every dropout, instead of the workload's.
    #[arg(long)]
    dropout: Option<f64>,
    /// Override a configuration key of our own run, as `train --set` does, e.g. `optim.decay=matrices`.
    #[arg(long = "config-set", value_name = "KEY=VALUE", conflicts_with = "write")]
    config_sets: Vec<String>,
}

const WARMUP: usize = 3;
const STEPS: usize = 20;

/// Refuses options that do nothing beside this name: `list` and `machine` have no workload, and neither `list`, a
/// workload that is written nor a preparation has anything for a GPU to do.
fn refuse_idle(args: &BenchArgs) -> Result<(), Failure> {
    let refused = |option: &str, why: String, hint: &str| {
        Err(Failure::user(format!("--{option} does nothing here: {why}"), hint))
    };
    let no_workload = args.name == "list" || args.name == "machine";
    let workload_options = [
        ("profile", args.profile.is_some()),
        ("set", !args.sets.is_empty()),
        ("write", args.write.is_some()),
        ("workload", args.workload.is_some()),
        ("warmup", args.warmup.is_some()),
        ("steps", args.steps.is_some()),
        ("dropout", args.dropout.is_some()),
        ("config-set", !args.config_sets.is_empty()),
    ];
    if let Some((option, _)) = workload_options.into_iter().find(|(_, given)| no_workload && *given) {
        let why = format!("`{}` is no workload", args.name);
        return refused(option, why, "name a workload instead; `codistill bench list` shows them");
    }
    if args.name == "list" && args.threads.is_some() {
        return refused("threads", "nothing is computed".into(), "leave it out");
    }
    // An unknown name is refused later, with the nearest one.
    let kind = Workload::named(&args.name, Profile::Sparse).ok().map(|workload| workload.kind);
    let for_gpu = !matches!(args.device.as_str(), "auto" | "cpu");
    if for_gpu && (args.name == "list" || args.write.is_some() || kind == Some(Kind::Prepare)) {
        return refused("device", "the CPU does all of it".into(), "leave it out");
    }
    if args.dropout.is_some() && kind.is_some_and(|kind| !matches!(kind, Kind::Odmt | Kind::Sasrec)) {
        return refused(
            "dropout",
            format!("`{}` trains nothing", args.name),
            "use it with odmt-* or sasrec-*",
        );
    }
    Ok(())
}

pub fn run(args: &BenchArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    refuse_idle(args)?;
    if args.name == "list" {
        return list(terminal);
    }
    if let Some(threads) = args.threads {
        // The pool of every parallel loop and matrix product of the process.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
        pool.map_err(|e| Failure { exit: Exit::Ours, message: e.to_string(), hint: None })?;
    }
    if args.name == "machine" {
        let device = open_device(&args.device, terminal)?;
        return table::machine(&Machine::measure(&device.device)?, &device, terminal);
    }
    if let Some(dir) = &args.write {
        let workload = described(args)?;
        write(&workload, dir)?;
        terminal.say(format!("{}: {}, {}", dir.display(), workload.name, workload.shape()));
        return Ok(Exit::Done);
    }
    measure(args, terminal)
}

/// Runs the workload, which is generated where none is given.
fn measure(args: &BenchArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let home;
    let mut loaded = if let Some(dir) = &args.workload {
        open_named(dir, &args.name)?
    } else {
        let workload = described(args)?;
        terminal.say(format!("generating {}, {}", workload.name, workload.shape()));
        home = tempfile::tempdir().map_err(|e| Failure::io(&std::env::temp_dir(), &e))?;
        let dir = home.path().join("workload");
        write(&workload, &dir)?;
        Loaded::open(&dir)?
    };
    if let Some(dropout) = args.dropout {
        loaded.workload.dropout = dropout;
    }
    // A GPU's driver would count as memory of a preparation, which has nothing for it to do.
    let flag = if loaded.workload.kind == Kind::Prepare { "cpu" } else { &args.device };
    let device = open_device(flag, terminal)?;
    let timed = args.steps.map_or(STEPS, NonZeroUsize::get);
    let steps = Steps { warmup: args.warmup.unwrap_or(WARMUP), timed };
    kinds::run(&table::Run { loaded: &loaded, sets: &args.config_sets, steps, device: &device, terminal })
}

/// The workload that the arguments describe, of shapes that make a model.
fn described(args: &BenchArgs) -> Result<Workload, Failure> {
    let mut workload = Workload::named(&args.name, args.profile.map_or(Profile::Sparse, Profile::from))?;
    args.sets.iter().try_for_each(|set| workload.set(set))?;
    if let Some(dropout) = args.dropout {
        workload.dropout = dropout;
    }
    if workload.kind == Kind::Prepare {
        kinds::refuse_sets(&args.config_sets)?;
    } else {
        training::config(&workload, Path::new("."), &args.config_sets)?;
    }
    Ok(workload)
}

fn open_named(dir: &Path, name: &str) -> Result<Loaded, BenchError> {
    named::find(name)?;
    let loaded = Loaded::open(dir)?;
    if loaded.workload.name != name {
        let found = loaded.workload.name;
        return Err(BenchError::OtherWorkload { dir: dir.to_owned(), found, wanted: name.to_owned() });
    }
    Ok(loaded)
}

fn list(terminal: &Terminal) -> Result<Exit, Failure> {
    let all = NAMED
        .iter()
        .map(|named| Workload::named(named.name, Profile::Dense).map(|workload| (workload, named.purpose)));
    let all = all.collect::<Result<Vec<_>, _>>()?;
    if terminal.json {
        let rows: Vec<Value> = all
            .iter()
            .map(|(workload, purpose)| json!({ "workload": workload, "purpose": purpose }))
            .collect();
        terminal.data_json(&rows)?;
        return Ok(Exit::Done);
    }
    let rows = all
        .into_iter()
        .flat_map(|(w, purpose)| [(w.name.clone(), w.shape()), (String::new(), purpose.to_owned())]);
    terminal.table(&listing(18, rows))?;
    Ok(Exit::Done)
}

impl From<BenchError> for Failure {
    fn from(e: BenchError) -> Self {
        let exit = match e {
            BenchError::Diverged { .. } => Exit::Diverged,
            _ => Exit::User,
        };
        Self { exit, message: e.to_string(), hint: e.hint() }
    }
}
