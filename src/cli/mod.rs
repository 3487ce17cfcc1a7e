//! The command line: arguments are parsed into what was typed, then resolved into ready objects.
//!
//! One file a command. Only this module prints: data to stdout, talk to stderr.

mod ablate;
mod bench;
mod choice;
mod compare;
mod devices;
mod embed;
mod encode;
mod evaluate;
mod export;
mod fail;
mod features;
mod import;
mod inspect;
mod prepare;
mod probe;
mod recommend;
mod setup;
mod signals;
mod store_args;
mod synth;
mod terminal;
mod train;
mod tune;
mod words;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use fail::{Exit, Failure};
pub use terminal::Terminal;

use codistill::data::silence_guarded_panics;

/// Trains multi-modal sequential recommenders by online distillation (ODMT).
///
/// Three student branches, ID, text and image, look at the same user histories. They train together,
/// exchange soft predictions, and recommend as an ensemble.
#[derive(Debug, Parser)]
#[command(name = "codistill", version, after_help = TOUR)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    talk: Talk,
}

/// How the program talks.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Talk")]
pub struct Talk {
    /// Print errors only: no talk, no warnings, no tables. What --json, another format for programs or `completions`
    /// asks for still goes to stdout.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print more; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Plain lines instead of a progress line.
    #[arg(long, global = true)]
    no_progress: bool,
    /// Results as JSON on stdout.
    #[arg(long, global = true)]
    json: bool,
}

const TOUR: &str = "\
A first run, on generated data:
  codistill train configs/quickstart.toml
  codistill recommend checkpoints/quickstart --user u1

Your own data:
  codistill prepare ratings.csv --items movies.csv --output data/movies
  codistill features import data/movies --view text --matrix text.npy --ids ids.npy
  codistill train configs/movielens-small.toml --data data/movies
  codistill evaluate checkpoints/movielens-small
  tensorboard --logdir checkpoints

Exit status: 0 done, 1 you can mend it, 2 our fault, 3 the training diverged, 4 interrupted and resumable.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn an interaction log and a catalogue into a dataset directory
    Prepare(prepare::PrepareArgs),
    /// Generate a data set with planted truth
    Synth(synth::SynthArgs),
    /// Make feature stores
    #[command(subcommand)]
    Features(features::FeaturesCommand),
    /// Train a model
    Train(train::TrainArgs),
    /// Search configurations: random or successive halving, on validation figures
    Tune(tune::TuneArgs),
    /// Measure a trained model beside baselines
    Evaluate(evaluate::EvaluateArgs),
    /// Set finished runs side by side: differences, intervals, verdicts
    Compare(compare::CompareArgs),
    /// Judge frozen features before any training
    Probe(probe::ProbeArgs),
    /// Find out what text, pictures and IDs are worth: a study of knock-outs
    Ablate(ablate::AblateArgs),
    /// Recommend items to users, or items similar to an item
    Recommend(recommend::RecommendArgs),
    /// Keep item vectors that new items join without retraining
    #[command(subcommand)]
    Embed(embed::EmbedCommand),
    /// Look at what a model makes of an item
    Inspect(inspect::InspectArgs),
    /// Write weights, item vectors and a model card for other programs
    Export(export::ExportArgs),
    /// Make a run directory from exported (or the authors') weights
    Import(import::ImportArgs),
    /// Measure named workloads, or write them for other programs to run
    Bench(bench::BenchArgs),
    /// List the devices that `--device` can name
    Devices,
    /// Print a completion script for your shell
    Completions {
        /// Shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// Runs the program and returns its exit status.
pub fn main() -> ExitCode {
    run_with(std::env::args_os()).into()
}

/// Runs the program with `arguments`, the first of which is its name: for programs that add systems of their own
/// ([`codistill::systems::register`]).
pub fn run_with<A: Into<std::ffi::OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Clap's own status for bad usage is 2, which here means "our fault".
            let failed = e.use_stderr();
            let _ = e.print();
            return if failed { Exit::User } else { Exit::Done };
        }
    };
    let terminal = Terminal::new(&cli.talk);
    silence_guarded_panics();
    match fail::guarded(|| run(cli.command, &terminal)) {
        Ok(exit) => exit,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit
        }
    }
}

fn run(command: Command, terminal: &Terminal) -> Result<Exit, Failure> {
    match command {
        Command::Prepare(args) => prepare::run(&args, terminal),
        Command::Synth(args) => synth::run(&args, terminal),
        Command::Features(command) => features::run(&command, terminal),
        Command::Train(args) => train::run(&args, terminal),
        Command::Tune(args) => tune::run(&args, terminal),
        Command::Evaluate(args) => evaluate::run(&args, terminal),
        Command::Compare(args) => compare::run(&args, terminal),
        Command::Probe(args) => probe::run(&args, terminal),
        Command::Ablate(args) => ablate::run(&args, terminal),
        Command::Recommend(args) => recommend::run(&args, terminal),
        Command::Embed(command) => embed::run(&command, terminal),
        Command::Inspect(args) => inspect::run(&args, terminal),
        Command::Export(args) => export::run(&args, terminal),
        Command::Import(args) => import::run(&args, terminal),
        Command::Bench(args) => bench::run(&args, terminal),
        Command::Devices => devices::run(terminal),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "codistill", &mut script);
            terminal.data(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }
}
