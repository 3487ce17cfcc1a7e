//! `codistill probe`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::setup::{parse_part, tell_inputs};
use super::{Exit, Failure, Terminal};
use crate::artefact::{Makes, may_make, write_atomic, write_json};
use crate::config::{Config, ENSEMBLE, ViewKind, load};
use crate::data::{Dataset, Part};
use crate::eval::baseline::ContentView;
use crate::eval::{Report as RunReport, Scored};
use crate::features::FeatureStore;
use crate::probe::validity::{ENOUGH, Validity, Variant};
use crate::probe::{Options, Probe, joined};
use crate::train::inputs::{self, Asked};
use crate::train::run_dir::RunDir;
use crate::train::setup::feature_dir;

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is trained. P1 ranks by the features alone, P2 by their neighbours and compares these with behaviour in \
training, P3 takes a view from more and more items, P5 looks at the geometry. P4, with --validity, asks whether \
these figures put finished runs on different features in the order of their final metric.

Examples:
  codistill probe data/movies
  codistill probe data/movies --view text,image --output probes/movies
  codistill probe data/movies --validity 'checkpoints/variant-*' --json")]
pub struct ProbeArgs {
    /// Dataset directory.
    data: PathBuf,
    /// Feature stores: names below `<data>/features`, or NAME=PATH. Default: all of them.
    #[arg(long = "view", value_name = "VIEW", value_delimiter = ',')]
    views: Vec<String>,
    /// Neighbours per item.
    #[arg(long = "k", value_delimiter = ',', default_values_t = [10, 20, 50])]
    neighbours: Vec<usize>,
    /// Average only so many last items of a history; 0: all.
    #[arg(long, default_value_t = 0)]
    last: usize,
    /// valid or test.
    #[arg(long, default_value = "valid", value_parser = parse_part)]
    part: Part,
    /// Leave out P3, which repeats P1 and P2 four times per view.
    #[arg(long)]
    no_masks: bool,
    /// Of random features, masks and sampled pairs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Finished runs (or patterns) on this data set whose views have different features.
    #[arg(long, value_name = "RUN", num_args = 1..)]
    validity: Vec<String>,
    /// With --validity: go on where the features are not those that a run was trained on.
    #[arg(long, requires = "validity")]
    accept_changed: bool,
    /// Folder for `probe.md` and `probe.json`.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

pub fn run(args: &ProbeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    if args.neighbours.iter().any(|&k| k == 0 || k > 10_000) || args.neighbours.is_empty() {
        return Err(Failure::user("--k is out of range", "use 1 to 10000, e.g. --k 10,20,50"));
    }
    if let Some(dir) = &args.output {
        may_make(dir, Makes::Report)?;
    }
    let dataset = Dataset::open(&args.data)?;
    let views = open_views(args, &dataset)?;
    let options = Options {
        part: args.part,
        neighbours: args.neighbours.clone(),
        last: args.last,
        masks: !args.no_masks,
        seed: args.seed,
        ..Options::default()
    };
    let start = std::time::Instant::now();
    let probe = Probe::new(&dataset, &options);
    let mut report = probe.report(&views)?;
    if !args.validity.is_empty() {
        report.validity = Some(validity(args, &dataset, &probe, terminal)?);
    }
    terminal.result(&report, || report.plain())?;
    if let Some(dir) = &args.output {
        std::fs::create_dir_all(dir).map_err(|e| Failure::io(dir, &e))?;
        write_atomic(&dir.join("probe.md"), report.markdown().as_bytes())?;
        write_json(&dir.join("probe.json"), &report)?;
        terminal.say(format!("report {}", dir.join("probe.md").display()));
    }
    terminal.detail(format!("{:.1} s", start.elapsed().as_secs_f64()));
    Ok(Exit::Done)
}

fn open_views(args: &ProbeArgs, dataset: &Dataset) -> Result<Vec<ContentView>, Failure> {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for view in &args.views {
        named.push(match view.split_once('=') {
            Some((name, path)) => (name.to_owned(), path.into()),
            None => (view.clone(), feature_dir(&args.data, view)),
        });
    }
    if named.is_empty() {
        let there = std::fs::read_dir(args.data.join("features")).into_iter().flatten();
        let mut names: Vec<String> =
            there.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        named = names.into_iter().map(|name| (name.clone(), feature_dir(&args.data, &name))).collect();
    }
    if named.is_empty() {
        return Err(Failure::user(
            format!("{} has no feature stores", args.data.join("features").display()),
            "make some with `codistill features encode` or `import`, or name one with --view NAME=PATH",
        ));
    }
    named.into_iter().map(|(name, path)| open_view(name, &path, dataset)).collect()
}

fn open_view(name: String, path: &Path, dataset: &Dataset) -> Result<ContentView, Failure> {
    let store = FeatureStore::open(path)?;
    store.check_items(dataset)?;
    Ok(ContentView { name, store: Arc::new(store) })
}

/// P4: runs on the same features are one variant, their final metrics averaged.
fn validity(
    args: &ProbeArgs,
    dataset: &Dataset,
    probe: &Probe<'_>,
    terminal: &Terminal,
) -> Result<Validity, Failure> {
    let mut variants: BTreeMap<Vec<String>, (Variant, Vec<ContentView>)> = BTreeMap::new();
    for root in expand(&args.validity)? {
        let Some((config, metric)) = finished(&root, dataset, terminal)? else { continue };
        let asked = Asked { data: Some(args.data.clone()), accept_changed: args.accept_changed };
        let mut config = config;
        let found = inputs::resolve(&root, &mut config, &inputs::recorded(&RunDir::at(&root))?, &asked)?;
        tell_inputs(&found, terminal);
        let views = run_views(&config, &args.data, dataset)?;
        let key = views.iter().map(|v| v.store.hash().to_owned()).collect();
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let new = Variant { name, runs: 0, numbers: BTreeMap::new(), metric: 0.0 };
        let (variant, _) = variants.entry(key).or_insert((new, views));
        variant.metric = (variant.metric * variant.runs as f64 + metric) / (variant.runs + 1) as f64;
        variant.runs += 1;
    }
    if variants.len() < 3 {
        return Err(Failure::user(
            format!(
                "{} feature variants have finished runs; P4 needs three, better {ENOUGH}",
                variants.len()
            ),
            "train the same model on other feature stores (--set data.features.text=PATH) and name the runs",
        ));
    }
    if variants.len() < ENOUGH {
        terminal
            .warn(format!("{} feature variants are few; the interval of P4 will be wide", variants.len()));
    }
    let mut all = Vec::new();
    for (_, (mut variant, views)) in variants {
        variant.numbers = probe.features(&joined(&views, dataset.items.count()))?.0.numbers();
        all.push(variant);
    }
    all.sort_by(|a, b| b.metric.total_cmp(&a.metric));
    Ok(Validity::of("ndcg@10", all))
}

fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for pattern in patterns {
        let matches = glob::glob(pattern).map_err(|e| {
            Failure::user(format!("{pattern}: {e}"), "quote it, e.g. 'checkpoints/variant-*'")
        })?;
        let before = found.len();
        found.extend(matches.filter_map(Result::ok));
        if found.len() == before {
            return Err(Failure::user(
                format!("`{pattern}` matches no run directory"),
                "e.g. 'checkpoints/variant-*'",
            ));
        }
    }
    Ok(found)
}

/// Configuration and final test metric of a run; absent, with a warning, where it did not finish.
fn finished(root: &Path, dataset: &Dataset, terminal: &Terminal) -> Result<Option<(Config, f64)>, Failure> {
    let run = RunDir::at(root);
    let config = load(&run.config(), &[])?.config;
    let report =
        std::fs::read(run.report()).ok().and_then(|text| serde_json::from_slice::<RunReport>(&text).ok());
    let Some(report) = report.filter(|r| !r.evaluations.is_empty()) else {
        terminal.warn(format!("{} is left out: it has no report", root.display()));
        return Ok(None);
    };
    if report.dataset != dataset.hash {
        return Err(Failure::user(
            format!("{} was trained on another data set", root.display()),
            "name runs on the data set that is probed",
        ));
    }
    let scored = &report.model().scored;
    let ensemble = scored.iter().find(|s| s.name == ENSEMBLE).or_else(|| scored.first());
    let metric = ensemble.and_then(|s: &Scored| s.metrics.get("ndcg@10").copied());
    if metric.is_none() {
        terminal.warn(format!("{} is left out: its report has no ndcg@10", root.display()));
    }
    Ok(metric.map(|metric| (config, metric)))
}

/// The content views of a run's model.
fn run_views(config: &Config, data: &Path, dataset: &Dataset) -> Result<Vec<ContentView>, Failure> {
    let views = config.model.views.iter().filter(|v| v.kind != ViewKind::Id);
    views
        .map(|view| {
            let name = if view.features.is_empty() { &view.name } else { &view.features };
            let path = config.data.features.get(name).cloned().unwrap_or_else(|| feature_dir(data, name));
            open_view(view.name.clone(), &path, dataset)
        })
        .collect()
}
