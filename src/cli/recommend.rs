//! `codistill recommend`

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::embed::{described, embedder};
use super::setup::{InputArgs, Trained, open_run};
use super::{Exit, Failure, Terminal};
use crate::artefact;
use crate::data::Items;
use crate::recommend::{
    Calibration, History, Mixed, MixedScorer, ModelScorer, Recommendation, mixed_similar_items, mixed_top_k,
    similar_items, top_k,
};
use crate::train::run_dir::Which;

/// Histories scored at once.
const TILE: usize = 256;

#[derive(Debug, Args)]
#[command(after_help = "\
Histories for new users are JSON lines, oldest item first: {\"user\": \"anna\", \"items\": [\"17\", \"4\"]}

Examples:
  codistill recommend checkpoints/quickstart --user u1 --user u2 -k 5
  codistill recommend checkpoints/quickstart --all --format csv --output lists.csv
  codistill recommend checkpoints/quickstart --histories new.jsonl
  codistill recommend checkpoints/quickstart --item i17
  codistill recommend checkpoints/quickstart --store stores/quickstart --user u1")]
pub struct RecommendArgs {
    /// Run directory.
    run: PathBuf,
    #[command(flatten)]
    who: Who,
    /// Items per list.
    #[arg(short, default_value_t = 10)]
    k: usize,
    /// Also recommend items of the history.
    #[arg(long)]
    allow_seen: bool,
    /// With --item: compare in this branch only.
    #[arg(long, requires = "item")]
    branch: Option<String>,
    /// Vector store made by `codistill embed`: its newest items stand beside the trained ones.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// With --store: how items without an ID vector are scored beside the others.
    #[arg(long, requires = "store", default_value = "zscore")]
    calibrate: Calibration,
    /// Output format.
    #[arg(long, default_value = "jsonl")]
    format: Format,
    /// File to write; default: stdout.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// best, last or the number of a step.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    #[command(flatten)]
    inputs: InputArgs,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user of the data set, whole history known; may be repeated.
    #[arg(long = "user", value_name = "ID")]
    users: Vec<String>,
    /// All users of the data set.
    #[arg(long)]
    all: bool,
    /// JSON lines with histories, `-` for stdin.
    #[arg(long, value_name = "FILE")]
    histories: Option<PathBuf>,
    /// Items similar to this one.
    #[arg(long, value_name = "ID")]
    item: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// A line of `--histories`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    user: serde_json::Value,
    items: Vec<serde_json::Value>,
}

pub fn run(args: &RecommendArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let trained = open_run(&args.run, &args.checkpoint, &args.inputs, &args.device, terminal)?;
    let shelf = Shelf::open(args, &trained)?;
    let mut writer = Writer::new(args, shelf.items(&trained))?;
    match &args.who.item {
        Some(id) => similar(args, &trained, &shelf, id, &mut writer)?,
        None => lists(args, &trained, &shelf, &mut writer, terminal)?,
    }
    writer.finish()?;
    Ok(Exit::Done)
}

/// What there is to recommend: the catalogue, or a store's items.
enum Shelf {
    Catalogue,
    Store { mixed: Box<Mixed>, items: Items },
}

impl Shelf {
    fn open(args: &RecommendArgs, trained: &Trained) -> Result<Self, Failure> {
        let Some(dir) = &args.store else { return Ok(Self::Catalogue) };
        let snapshot = embedder(trained).open(dir)?;
        let mixed = Box::new(snapshot.mixed(&trained.device.device));
        Ok(Self::Store { mixed, items: described(&snapshot, &trained.experiment.dataset.items) })
    }

    fn items<'a>(&'a self, trained: &'a Trained) -> &'a Items {
        match self {
            Self::Catalogue => &trained.experiment.dataset.items,
            Self::Store { items, .. } => items,
        }
    }
}

fn lists(
    args: &RecommendArgs,
    trained: &Trained,
    shelf: &Shelf,
    out: &mut Writer<'_>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let experiment = &trained.experiment;
    let histories = histories(args, trained, shelf.items(trained), terminal)?;
    let s = experiment.config.data.max_seq_len;
    let names: Vec<String> = experiment.config.model.branches.iter().map(|b| b.name.clone()).collect();
    let (model, device) = (&trained.model, &trained.device.device);
    let mut write = |tile: &[History], lists: Vec<Vec<Recommendation>>| {
        let mut each = tile.iter().zip(lists);
        each.try_for_each(|(history, list)| out.list("user", &history.user, &list, &names))
    };
    let start = std::time::Instant::now();
    match shelf {
        Shelf::Catalogue => {
            let vectors = experiment.catalogue(model);
            let scorer = ModelScorer::new(model, &vectors, None, s, device);
            let each = |tile| top_k(&scorer, tile, args.k, args.allow_seen);
            histories.chunks(TILE).try_for_each(|tile| write(tile, each(tile)))?;
        }
        Shelf::Store { mixed, .. } => {
            let scorer = MixedScorer::new(model, mixed, None, s, args.calibrate, device);
            let each = |tile| mixed_top_k(&scorer, tile, args.k, args.allow_seen);
            histories.chunks(TILE).try_for_each(|tile| write(tile, each(tile)))?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = histories.len() as f64 / seconds.max(1e-9);
    terminal.detail(format!("{} lists in {seconds:.2} s, {rate:.0} per second", histories.len()));
    Ok(())
}

fn similar(
    args: &RecommendArgs,
    trained: &Trained,
    shelf: &Shelf,
    id: &str,
    out: &mut Writer<'_>,
) -> Result<(), Failure> {
    let experiment = &trained.experiment;
    let item = known(&shelf.items(trained).ids, id).ok_or_else(|| {
        Failure::user(format!("`{id}` is no item of the data set"), "ids are the source's own")
    })?;
    let mut names: Vec<String> = experiment.config.model.branches.iter().map(|b| b.name.clone()).collect();
    let branch = match &args.branch {
        None => None,
        Some(name) => {
            let place = names.iter().position(|n| n == name).ok_or_else(|| {
                Failure::user(
                    format!("`{name}` is no branch of the model"),
                    format!("it has {}", names.join(", ")),
                )
            })?;
            names = vec![name.clone()];
            Some(place)
        }
    };
    let list = match shelf {
        Shelf::Catalogue => similar_items(&experiment.catalogue(&trained.model), item, args.k, branch),
        Shelf::Store { mixed, .. } => mixed_similar_items(mixed, item, args.k, branch),
    };
    out.list("item", id, &list, &names)
}

/// Place of an id among the items, 1..=I.
fn known(ids: &[String], id: &str) -> Option<u32> {
    ids.iter().skip(1).position(|known| known == id).map(|place| place as u32 + 1)
}

fn histories(
    args: &RecommendArgs,
    trained: &Trained,
    items: &Items,
    terminal: &Terminal,
) -> Result<Vec<History>, Failure> {
    let dataset = &trained.experiment.dataset;
    let of_user =
        |u: usize| History { user: dataset.users[u].clone(), items: dataset.sequences.items_of(u).to_vec() };
    if let Some(path) = &args.who.histories {
        return read_histories(path, &items.ids, terminal);
    }
    if args.who.all {
        return Ok((0..dataset.users.len()).map(of_user).collect());
    }
    let wanted = args.who.users.iter().map(|id| {
        let found = dataset.users.iter().position(|known| known == id).map(of_user);
        found.ok_or_else(|| {
            Failure::user(
                format!("`{id}` is no user of the data set"),
                "give new users' histories with --histories",
            )
        })
    });
    wanted.collect()
}

fn read_histories(path: &Path, ids: &[String], terminal: &Terminal) -> Result<Vec<History>, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|e| Failure::io(path, &e))?;
    let numbers: HashMap<&str, u32> =
        ids.iter().enumerate().skip(1).map(|(n, id)| (id.as_str(), n as u32)).collect();
    let mut unknown = 0;
    let mut histories = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let parsed: Line = serde_json::from_str(line).map_err(|e| {
            Failure::user(
                format!("{}:{}:{}: {e}", path.display(), n + 1, e.column()),
                "a line is {\"user\": …, \"items\": [\"id\", …]}, oldest item first",
            )
        })?;
        let word = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let items: Vec<u32> =
            parsed.items.iter().filter_map(|item| numbers.get(word(item).as_str()).copied()).collect();
        unknown += parsed.items.len() - items.len();
        let user = if parsed.user.is_null() { (n + 1).to_string() } else { word(&parsed.user) };
        if items.is_empty() {
            terminal.warn(format!(
                "{}:{}: no known item in the history; its scores are all 0",
                path.display(),
                n + 1
            ));
        }
        histories.push(History { user, items });
    }
    if unknown > 0 {
        terminal
            .warn(format!("{unknown} items of the histories are not in the catalogue and were passed over"));
    }
    Ok(histories)
}

/// JSON lines or CSV, to stdout or to a file that appears when it is complete.
struct Writer<'a> {
    out: Box<dyn std::io::Write>,
    scratch: Option<(tempfile::NamedTempFile, PathBuf)>,
    format: Format,
    items: &'a Items,
    header_written: bool,
    path: PathBuf,
}

impl<'a> Writer<'a> {
    fn new(args: &RecommendArgs, items: &'a Items) -> Result<Self, Failure> {
        let (out, scratch, path): (Box<dyn std::io::Write>, _, _) = match &args.output {
            None => (Box::new(std::io::BufWriter::new(std::io::stdout())), None, PathBuf::from("stdout")),
            // A pipe or a device is written to; a file is replaced when the new one is complete.
            Some(path) if artefact::is_stream(path) => {
                let file =
                    std::fs::OpenOptions::new().write(true).open(path).map_err(|e| Failure::io(path, &e))?;
                (Box::new(std::io::BufWriter::new(file)), None, path.clone())
            }
            Some(path) => {
                let folder =
                    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
                let scratch = tempfile::NamedTempFile::new_in(folder).map_err(|e| Failure::io(path, &e))?;
                let file = scratch.reopen().map_err(|e| Failure::io(path, &e))?;
                (Box::new(std::io::BufWriter::new(file)), Some((scratch, path.clone())), path.clone())
            }
        };
        Ok(Self { out, scratch, format: args.format, items, header_written: false, path })
    }

    fn list(
        &mut self,
        key: &str,
        id: &str,
        list: &[Recommendation],
        branches: &[String],
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Jsonl => self.json_line(key, id, list, branches),
            Format::Csv => self.csv_lines(key, id, list, branches),
        };
        self.write(text.as_bytes())
    }

    fn json_line(&self, key: &str, id: &str, list: &[Recommendation], branches: &[String]) -> String {
        let items: Vec<_> = list
            .iter()
            .map(|r| {
                let scores: serde_json::Map<String, serde_json::Value> =
                    branches.iter().zip(&r.branches).map(|(b, &s)| (b.clone(), json!(s))).collect();
                let i = r.item as usize;
                json!({"item": self.items.ids[i], "title": self.items.titles[i], "score": r.score, "branches": scores})
            })
            .collect();
        format!("{}\n", json!({key: id, "items": items}))
    }

    fn csv_lines(&mut self, key: &str, id: &str, list: &[Recommendation], branches: &[String]) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing to memory can't fail.
        if !std::mem::replace(&mut self.header_written, true) {
            let header = [key, "rank", "item", "title", "score"]
                .into_iter()
                .chain(branches.iter().map(String::as_str));
            let _ = writer.write_record(header);
        }
        for (rank, r) in list.iter().enumerate() {
            let i = r.item as usize;
            let mut cells = vec![
                id.to_owned(),
                (rank + 1).to_string(),
                self.items.ids[i].clone(),
                self.items.titles[i].clone(),
                r.score.to_string(),
            ];
            // A branch that says nothing of the item leaves its cell empty.
            cells.extend(r.branches.iter().map(|s| if s.is_nan() { String::new() } else { s.to_string() }));
            let _ = writer.write_record(&cells);
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.out.write_all(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            other => other.map_err(|e| Failure::io(&self.path, &e)),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        match self.out.flush() {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            other => other.map_err(|e| Failure::io(&self.path, &e))?,
        }
        if let Some((scratch, path)) = self.scratch {
            scratch.persist(&path).map_err(|e| Failure::io(&path, &e.error))?;
        }
        Ok(())
    }
}
