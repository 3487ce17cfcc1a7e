//! `codistill features encode`

mod args;
mod effect;

use std::path::Path;

use super::signals::{self, stop_flag_saying};
use super::store_args::refuse_taken;
use super::{Exit, Failure, Terminal};
use codistill::artefact::{Makes, may_make, replacing};
use codistill::data::Dataset;
use codistill::device;
use codistill::encode::{self, EncodeError, Encoder, Job, Report};
use codistill::features::{KIND, SCHEMA_VERSION};
use codistill::monitor::{Progress, ProgressMode};

pub use args::EncodeArgs;

/// What is done is kept, however the run ends.
const WORDS: signals::Words = signals::Words {
    at_once: "stopped at once; the same command goes on from what is kept",
    deaf: "Ctrl-C will end the run in the middle of a batch",
};

pub fn run(args: &EncodeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    effect::check(args)?;
    let (settings, job) = (args.settings()?, args.job()?);
    refuse_taken(&job.dest, args.overwrite || args.dry_run)?;
    may_make(&job.dest, Makes::Features)?;
    let mut dataset = Dataset::open(&args.dataset)?;
    if let Some(root) = &args.pictures {
        move_pictures(&mut dataset, root)?;
    }
    let device = device::open(&args.device)?;
    let texts = job.field.texts(&dataset.items);
    let encoder = Encoder::open(&settings, args.modality(), texts, &device.device, &mut downloads(terminal))?;
    terminal.detail(format!("device {}: {}", device.flag, device.name));
    effect::check_recipe(args, encoder.recipe())?;
    terminal.say(encoder.description(args.encoder.is_none()));
    terminal.detail(encoder.recipe().json()?);
    if args.dry_run {
        return dry_run(&dataset, &encoder, &job, terminal);
    }
    let report = encode(&dataset, &encoder, &job, terminal)?;
    if terminal.json {
        terminal.data_json(&report)?;
    }
    print_report(&report, &job, args.modality().input(), terminal);
    Ok(Exit::Done)
}

/// Makes the store, with a moving line meanwhile.
fn encode(dataset: &Dataset, encoder: &Encoder, job: &Job, terminal: &Terminal) -> Result<Report, Failure> {
    let stop = stop_flag_saying(&WORDS, terminal);
    let mode = ProgressMode::choose(terminal.quiet(), !terminal.progress);
    let inputs = format!("{}s", encoder.recipe().modality.input());
    let mut progress: Option<Progress> = None;
    Ok(replacing(&job.dest, KIND, SCHEMA_VERSION, |dest| -> Result<_, EncodeError> {
        let job = Job { dest: dest.to_owned(), ..job.clone() };
        encode::run(dataset, encoder, &job, &stop, &mut |done, all| {
            let progress = progress.get_or_insert_with(|| Progress::new(mode, all as u64));
            progress.step(done as u64, &inputs);
        })
    })?)
}

fn print_report(report: &Report, job: &Job, input: &str, terminal: &Terminal) {
    terminal.say(format!(
        "{}: {} of {} items encoded, {} token(s) of width {}, {:.1} s ({:.1} items/s)",
        job.dest.display(),
        report.encoded,
        report.items,
        report.tokens,
        report.width,
        report.seconds,
        (report.encoded - report.resumed.min(report.encoded)) as f64 / report.seconds.max(1e-9),
    ));
    if report.resumed > 0 {
        terminal.say(format!("{} items were kept from an earlier run", report.resumed));
    }
    if report.empty > 0 {
        terminal.say(format!("{} items have no {input}", report.empty));
    }
    if report.shared_missing > 0 {
        terminal
            .say(format!("{} items count as missing for a picture that others share", report.shared_missing));
    }
    report.warnings.iter().for_each(|warning| terminal.warn(warning));
    if report.quarantined > 0 {
        let list = job.dest.join(encode::QUARANTINE);
        terminal.warn(format!("{} {input}s were refused; reasons in {}", report.quarantined, list.display()));
    }
}

/// The catalogue's picture paths begin at `root` now.
fn move_pictures(dataset: &mut Dataset, root: &Path) -> Result<(), Failure> {
    if !root.is_dir() {
        return Err(Failure::user(
            format!("--pictures {}: there is no such folder", root.display()),
            "name the folder at which the catalogue's picture paths begin",
        ));
    }
    let root = std::path::absolute(root).map_err(|e| Failure::io(root, &e))?;
    if dataset.items.move_pictures(&root) == 0 {
        return Err(Failure::user(
            "--pictures has no effect: no picture of the catalogue is a relative path",
            "absolute paths and addresses stand as they are; prepare the data set with --images PATTERN",
        ));
    }
    Ok(())
}

/// Tells of downloads: one line per 50 MB and at the end.
pub fn downloads(terminal: &Terminal) -> impl FnMut(&str, u64, Option<u64>) {
    let mut told = 0;
    move |file, done, all| {
        let step = done / 50_000_000;
        if step != told || all == Some(done) {
            told = step;
            let all = all.map_or_else(String::new, |all| format!(" of {:.1}", all as f64 / 1e6));
            terminal.say(format!("{file}: {:.1}{all} MB", done as f64 / 1e6));
        }
    }
}

fn dry_run(dataset: &Dataset, encoder: &Encoder, job: &Job, terminal: &Terminal) -> Result<Exit, Failure> {
    let estimate = encode::estimate(dataset, encoder, job)?;
    if let (true, Some(_)) = (job.strict, estimate.warnings.first()) {
        return Err(codistill::features::FeatureError::Strict(estimate.warnings).into());
    }
    for warning in &estimate.warnings {
        terminal.warn(warning);
    }
    if terminal.json {
        terminal.data_json(&estimate)?;
        return Ok(Exit::Done);
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    terminal.table(&format!(
        "{} of {} items to encode, {} token(s) of width {}\n\
         time: about {:.0} s ({:.1} items/s, from {} items)\n\
         disk: {:.1} MB, {:.1} MB while the store is made",
        estimate.inputs,
        estimate.items,
        estimate.tokens,
        estimate.width,
        estimate.seconds,
        estimate.inputs as f64 / estimate.seconds.max(1e-9),
        estimate.sampled,
        mb(estimate.bytes),
        mb(estimate.peak_bytes),
    ))?;
    Ok(Exit::Done)
}
