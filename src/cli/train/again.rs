//! `codistill train --refit` and `--continue`: new runs that are made from finished ones.

use std::path::Path;
use std::sync::Arc;

use super::super::setup::{open_device, tell_inputs};
use super::super::{Exit, Failure, Terminal};
use super::{Ready, TrainArgs, begin};
use codistill::config::section::Fact;
use codistill::config::{TrainParts, has_fact, keys_with, parse};
use codistill::run::successor::{self, Chosen};
use codistill::systems;
use codistill::train::Setup;
use codistill::train::inputs::{Asked, Start};

/// The data set of a run that goes on is named by `--data`.
const DATA_PATH: &str = "data.path";
const TRAIN_PARTS: &str = "data.train_parts";

/// Interactions that a run can be refit on.
pub(super) fn parse_parts(text: &str) -> Result<TrainParts, String> {
    match text.parse() {
        Ok(TrainParts::Train) | Err(_) => Err("use train+valid or all".into()),
        Ok(parts) => Ok(parts),
    }
}

/// Options that contradict each other, or do nothing.
pub(super) fn check(args: &TrainArgs) -> Result<(), Failure> {
    let made = [("--refit", &args.refit), ("--continue", &args.continued)];
    let asked: Vec<&str> = [("--resume", &args.resume)]
        .into_iter()
        .chain(made)
        .filter_map(|(flag, root)| root.as_ref().map(|_| flag))
        .collect();
    if let [one, other, ..] = asked[..] {
        return Err(Failure::user(format!("{one} contradicts {other}"), "leave one of them out"));
    }
    let flag = made.iter().find(|(_, root)| root.is_some()).map(|(flag, _)| *flag);
    let Some(flag) = flag else { return check_alone(args) };
    if let Some(config) = &args.config {
        return Err(Failure::user(
            format!("{flag} takes the run's own configuration, and {} is another", config.display()),
            "leave the file out",
        ));
    }
    match (flag, args.on, args.inputs.data()) {
        ("--refit", None, _) => {
            Err(Failure::user("--refit does not say what to train on", "add --on train+valid, or --on all"))
        }
        ("--refit", _, Some(_)) => Err(Failure::user(
            "--data does nothing with --refit, which trains on the run's own data set",
            "leave it out; --continue RUN --data DIR trains on from the run's weights on a newer one",
        )),
        ("--continue", Some(_), _) => Err(Failure::user(
            "--on does nothing with --continue, which trains on the training part of the newer data set",
            "leave it out, or say --set data.train_parts=train+valid --set train.patience=0",
        )),
        ("--continue", _, None) => Err(Failure::user(
            "--continue does not say what to train on",
            "name the newer data set with --data DIR; --resume RUN trains on with the run's own",
        )),
        _ => Ok(()),
    }
}

/// Options that only a new run made from a finished one reads.
fn check_alone(args: &TrainArgs) -> Result<(), Failure> {
    if args.on.is_some() {
        return Err(Failure::user("--on does nothing here", "use it with --refit RUN"));
    }
    if args.name.is_some() {
        return Err(Failure::user(
            "--name does nothing here",
            "--set run.name=NAME names a new run; --name is for --refit and --continue",
        ));
    }
    Ok(())
}

/// Trains what a finished run chose on more interactions.
pub(super) fn refit(
    args: &TrainArgs,
    root: &Path,
    parts: TrainParts,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    refuse_sets(&args.sets)?;
    let chosen = Chosen::open(root)?;
    let own = chosen.config(args.name.as_deref(), "refit");
    let mut config = parse(&own.to_toml()?, &chosen.run.config(), &args.sets)?.config;
    if let Some(flag) = &args.device {
        config.device.clone_from(flag);
    }
    let device = open_device(&config.device, terminal)?;
    let asked = Asked { trains: true, ..args.inputs.asked() };
    let made = successor::refit(&chosen, config, parts, &asked, &device.device)?;
    tell_inputs(&made.found, terminal);
    let setup = made.system.setup();
    let (epochs, planned) = (setup.config.train.last_epochs(), setup.config.train.epochs);
    terminal.say(format!(
        "{}: refit on {}, {epochs} of {planned} epochs as at the chosen checkpoint {}",
        root.display(),
        parts.word(),
        chosen.path.display()
    ));
    let origins = chosen.origins(&setup.config, &args.sets)?;
    let system = Arc::clone(&made.system);
    begin(args, &Ready { system, origins, start: made.start, device: device.name }, terminal)
}

/// A refit is what the run chose: only what changes nothing of it may be set.
fn refuse_sets(sets: &[String]) -> Result<(), Failure> {
    let is_free = |key: &str| has_fact(key, Fact::Idle) && key != DATA_PATH;
    for set in sets {
        let key = set.split('=').next().unwrap_or_default();
        if !is_free(key) {
            return Err(Failure::user(
                format!("`{key}` can't change in a refit, which trains what the run chose"),
                format!(
                    "train a new run of a configuration file, or change only {}",
                    keys_with(is_free).join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// Trains on from the weights of a finished run on a newer data set.
pub(super) fn go_on(args: &TrainArgs, root: &Path, terminal: &Terminal) -> Result<Exit, Failure> {
    let data = args.inputs.data().unwrap_or(Path::new(""));
    if args.sets.iter().any(|set| set.split('=').next() == Some(DATA_PATH)) {
        return Err(Failure::user(
            format!("--data {} names the data set already", data.display()),
            "leave --set data.path out",
        ));
    }
    let chosen = Chosen::open(root)?;
    let mut base = chosen.config(args.name.as_deref(), "continued");
    base.data.path = Some(data.to_owned());
    // Stores of the run's own items; those of the newer ones lie in their data set.
    base.data.features.clear();
    base.train.parent = Some(root.to_owned());
    // Where the newer data set has validation items, the ensemble's weights are fitted on them.
    let names_parts = args.sets.iter().any(|set| set.split('=').next() == Some(TRAIN_PARTS));
    base.train.fitted_by = base.train.fitted_by.filter(|_| !names_parts).map(|_| root.to_owned());
    let mut config = parse(&base.to_toml()?, &chosen.run.config(), &args.sets)?.config;
    if let Some(flag) = &args.device {
        config.device.clone_from(flag);
    }
    let device = open_device(&config.device, terminal)?;
    let origins = chosen.origins(&config, &args.sets)?;
    let mut setup = Setup::open(config, &device.device)?;
    setup.accepts_changed = args.inputs.accepts_changed();
    let system = systems::open(setup)?;
    begin(args, &Ready { system, origins, start: Start::default(), device: device.name }, terminal)
}
