//! `codistill recommend`

mod histories;
mod writer;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::choice::{self, ChoiceArgs, no_item, positive};
use super::embed::{described, opened};
use super::setup::{InputArgs, Trained, open_run};
use super::{Exit, Failure, Terminal};
use codistill::config::HistoryRule;
use codistill::data::Items;
use codistill::memory::Memory;
use codistill::recommend::{
    Calibration, History, Listing, Mixed, MixedScorer, ModelScorer, Popular, Recommendation,
    mixed_similar_items, mixed_top_k, similar_items, top_k,
};
use codistill::train::run_dir::Which;
use histories::{Who, histories};
use writer::{Format, Key, Source, Writer};

/// Histories scored at once.
const TILE: usize = 256;

#[derive(Debug, Args)]
#[command(after_help = format!("\
Histories for new users are JSON lines, oldest item first: {{\"user\": \"anna\", \"items\": [\"17\", \"4\"]}}; a line \
without `user` is called by its number.

A user of whom the model knows nothing, with an empty history or one of unknown items, gets the items with most \
training interactions, their number as the score, and `source` is popular; `--no-history empty` leaves the list empty.

{}

Examples:
  codistill recommend checkpoints/quickstart --user u1 --user u2 -k 5
  codistill recommend checkpoints/quickstart --all --format csv --output lists.csv
  codistill recommend checkpoints/quickstart --histories new.jsonl
  codistill recommend checkpoints/quickstart --item i17
  codistill recommend checkpoints/quickstart --all --candidates in-stock.txt --filter category=Drama,Comedy
  codistill recommend checkpoints/quickstart --store stores/quickstart --user u1", choice::FILES))]
pub struct RecommendArgs {
    /// Run directory.
    run: PathBuf,
    #[command(flatten)]
    who: Who,
    /// Items per list.
    #[arg(short, default_value_t = 10, value_parser = positive)]
    k: usize,
    /// Also recommend items of the history. Without it nothing is recommended twice: where people buy the same again,
    /// lists leave out what they buy next.
    #[arg(long)]
    allow_seen: bool,
    /// With --item: compare in this branch only.
    #[arg(long)]
    branch: Option<String>,
    /// Vector store made by `codistill embed`: its newest items stand beside the trained ones.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// With --store: how items without an ID vector are scored beside the others. Default: zscore.
    #[arg(long, requires = "store")]
    calibrate: Option<Calibration>,
    /// What a user of whom the model knows nothing gets. Default: popular.
    #[arg(long, value_name = "WHAT")]
    no_history: Option<NoHistory>,
    /// Output format. Default: a table on a terminal, JSON lines into a pipe or a file.
    #[arg(long)]
    format: Option<Format>,
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
    #[command(flatten)]
    choice: ChoiceArgs,
}

/// What a user without a known history gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NoHistory {
    /// The items with most training interactions.
    #[default]
    Popular,
    /// An empty list.
    Empty,
}

pub fn run(args: &RecommendArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let format = check(args, terminal)?;
    let trained = open_run(&args.run, &args.checkpoint, &args.inputs, &args.device, terminal)?;
    let shelf = Shelf::open(args, &trained, terminal)?;
    let items = shelf.items(&trained);
    let choice = args.choice.choose(items, terminal)?;
    tell_untrained(&trained, &shelf, terminal);
    let listing = Listing { k: args.k, allow_seen: args.allow_seen, among: choice.as_ref() };
    if trained.system().setup.config.eval.history == HistoryRule::Keep
        && !args.allow_seen
        && args.who.item.is_none()
    {
        terminal.say(
            "note: the run is evaluated with eval.history = keep, where items of the history count; --allow-seen lists \
             them too",
        );
    }
    let model = &trained.system().setup.config.model;
    let mut branches = model.score_names();
    if args.who.item.is_some() {
        // A memory has no vectors to compare.
        branches.truncate(model.branches.len());
    }
    let branch = args.branch.as_ref().map(|name| place_of(name, &branches)).transpose()?;
    if let Some(place) = branch {
        branches = vec![branches.swap_remove(place)];
    }
    let mut writer = Writer::new(args.output.as_deref(), format, items, branches)?;
    match &args.who.item {
        Some(id) => similar(&trained, &shelf, (id, branch), &listing, &mut writer)?,
        None => lists(args, &trained, &shelf, &listing, &mut writer, terminal)?,
    }
    writer.finish()?;
    Ok(Exit::Done)
}

/// Says that items which no training has seen are ranked by ID vectors that are still random; a store leaves those out.
fn tell_untrained(trained: &Trained, shelf: &Shelf, terminal: &Terminal) {
    let system = trained.system();
    let has_ids = system.setup.config.model.views.iter().any(|view| view.kind.has_table());
    if !has_ids || !matches!(shelf, Shelf::Catalogue) {
        return;
    }
    let counts = system.window_counts();
    let untrained = counts[1..].iter().filter(|&&n| n == 0).count();
    if untrained > 0 {
        terminal.say(format!(
            "note: {untrained} of {} items were read by no training, and their ID vectors are still random; --store ranks \
             them without (`codistill embed build`)",
            counts.len() - 1
        ));
    }
}

/// Options that can't act here are refused; the rest decide the format.
fn check(args: &RecommendArgs, terminal: &Terminal) -> Result<Format, Failure> {
    if args.who.item.is_some() {
        check_item(args)?;
    } else if args.branch.is_some() {
        // Clap passes over a requirement that contradicts what was given, as --item contradicts --user.
        return Err(Failure::user(
            "--branch does nothing without --item: lists of users are those of all branches",
            "each branch's score stands beside the mean in JSON lines and CSV; --item ID --branch NAME compares in one",
        ));
    }
    match args.format {
        Some(format @ (Format::Table | Format::Csv)) if terminal.json => {
            let name = if format == Format::Csv { "csv" } else { "table" };
            Err(Failure::user(
                format!("--format {name} contradicts --json"),
                "leave one of them out; --json prints JSON lines, as --format jsonl does",
            ))
        }
        asked => {
            let person = args.output.is_none() && !terminal.json && std::io::stdout().is_terminal();
            Ok(Format::chosen(asked, person))
        }
    }
}

/// Options that do nothing for neighbours of an item.
fn check_item(args: &RecommendArgs) -> Result<(), Failure> {
    let rules = [
        (
            args.allow_seen,
            "--allow-seen",
            "an item has no history",
            "leave it out; --exclude FILE keeps items from the list",
        ),
        (
            args.calibrate.is_some(),
            "--calibrate",
            "similarity is the mean over the branches that have both vectors",
            "leave it out; --branch NAME compares in one branch",
        ),
        (
            args.no_history.is_some(),
            "--no-history",
            "an item has no history",
            "leave it out; it is for lists of users",
        ),
    ];
    match rules.into_iter().find(|(is_set, ..)| *is_set) {
        None => Ok(()),
        Some((_, option, why, hint)) => {
            Err(Failure::user(format!("{option} does nothing with --item: {why}"), hint))
        }
    }
}

fn place_of(branch: &str, names: &[String]) -> Result<usize, Failure> {
    names.iter().position(|name| name == branch).ok_or_else(|| {
        Failure::user(format!("`{branch}` is no branch of the model"), format!("it has {}", names.join(", ")))
    })
}

/// What there is to recommend: the catalogue, or a store's items.
enum Shelf {
    Catalogue,
    Store { mixed: Box<Mixed>, items: Items, memory: Option<Arc<Memory>> },
}

/// Writes the lists of a tile of histories.
type WriteLists<'a> = dyn FnMut(&[History], Vec<Vec<Recommendation>>) -> Result<(), Failure> + 'a;

impl Shelf {
    /// Hands the lists of all histories to `write`, a tile at a time.
    fn score(
        &self,
        args: &RecommendArgs,
        trained: &Trained,
        histories: &[History],
        listing: &Listing<'_>,
        write: &mut WriteLists<'_>,
    ) -> Result<(), Failure> {
        let (system, model, device) = (trained.system(), trained.model(), &trained.run.device.device);
        let s = system.setup.config.data.max_seq_len;
        match self {
            Self::Catalogue => {
                let vectors = system.catalogue(model);
                let scorer = ModelScorer::new(model, &vectors, system.memory(), None, s, device);
                histories.chunks(TILE).try_for_each(|tile| write(tile, top_k(&scorer, tile, listing)))
            }
            Self::Store { mixed, memory, .. } => {
                let calibration = args.calibrate.unwrap_or_default();
                let scorer = MixedScorer::new(model, mixed, memory.clone(), None, s, calibration, device);
                histories.chunks(TILE).try_for_each(|tile| write(tile, mixed_top_k(&scorer, tile, listing)))
            }
        }
    }

    fn open(args: &RecommendArgs, trained: &Trained, terminal: &Terminal) -> Result<Self, Failure> {
        let Some(dir) = &args.store else { return Ok(Self::Catalogue) };
        let snapshot = opened(trained, dir, terminal)?;
        let mixed = Box::new(snapshot.mixed(&trained.run.device.device));
        let items = described(&snapshot, &trained.system().setup.dataset.items);
        let memory = snapshot.remembered(trained.system().memory());
        Ok(Self::Store { mixed, items, memory })
    }

    fn items<'a>(&'a self, trained: &'a Trained) -> &'a Items {
        match self {
            Self::Catalogue => &trained.system().setup.dataset.items,
            Self::Store { items, .. } => items,
        }
    }

    /// Whether anything is known of a user with this history.
    fn knows(&self, history: &[u32]) -> bool {
        match self {
            Self::Catalogue => !history.is_empty(),
            Self::Store { mixed, .. } => mixed.knows(history),
        }
    }

    /// What users without a known history get: training interactions count, wherever the items stand now.
    fn popular(&self, trained: &Trained) -> Popular {
        let dataset = &trained.system().setup.dataset;
        let counts = dataset.train_counts();
        match self {
            Self::Catalogue => Popular::new(&counts, |_| true),
            Self::Store { mixed, items, .. } => {
                let counts_by_id: HashMap<&str, u32> =
                    dataset.items.ids.iter().map(String::as_str).zip(counts).skip(1).collect();
                let counts: Vec<u32> =
                    items.ids.iter().map(|id| counts_by_id.get(id.as_str()).copied().unwrap_or(0)).collect();
                Popular::new(&counts, |item| mixed.is_offered(item))
            }
        }
    }
}

fn lists(
    args: &RecommendArgs,
    trained: &Trained,
    shelf: &Shelf,
    listing: &Listing<'_>,
    out: &mut Writer<'_>,
    terminal: &Terminal,
) -> Result<(), Failure> {
    let histories = histories(&args.who, trained, shelf.items(trained), terminal)?;
    let strangers: Vec<&History> = histories.iter().filter(|h| !shelf.knows(&h.items)).collect();
    let no_history = args.no_history.unwrap_or_default();
    let popular = if strangers.is_empty() { None } else { Some(shelf.popular(trained)) };
    tell_strangers(&strangers, histories.len(), no_history, terminal);
    let mut write = |tile: &[History], lists: Vec<Vec<Recommendation>>| {
        tile.iter().zip(lists).try_for_each(|(history, list)| {
            let stranger = popular.as_ref().filter(|_| !shelf.knows(&history.items));
            let (source, list) = match (stranger, no_history) {
                (None, _) => (Source::Model, list),
                (Some(popular), NoHistory::Popular) => {
                    (Source::Popular, popular.list(&history.seen().collect::<Vec<_>>(), listing))
                }
                (Some(_), NoHistory::Empty) => (Source::Nothing, Vec::new()),
            };
            out.list(Key::User(&history.user, source), &list)
        })
    };
    let start = std::time::Instant::now();
    shelf.score(args, trained, &histories, listing, &mut write)?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = histories.len() as f64 / seconds.max(1e-9);
    terminal.detail(format!("{} lists in {seconds:.2} s, {rate:.0} per second", histories.len()));
    Ok(())
}

/// Says who gets no recommendation, and what instead.
fn tell_strangers(strangers: &[&History], users: usize, no_history: NoHistory, terminal: &Terminal) {
    if strangers.is_empty() {
        return;
    }
    let examples: Vec<String> = strangers.iter().take(3).map(|h| format!("`{}`", h.user)).collect();
    let (n, examples) = (strangers.len(), examples.join(", "));
    let instead = match no_history {
        NoHistory::Popular => "get the most popular items (--no-history empty: none)",
        NoHistory::Empty => "get empty lists (--no-history popular: the most popular items)",
    };
    terminal
        .warn(format!("{n} of {users} users have no known item in their history and {instead}: {examples}"));
}

fn similar(
    trained: &Trained,
    shelf: &Shelf,
    (id, branch): (&str, Option<usize>),
    listing: &Listing<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Failure> {
    let system = trained.system();
    let ids = &shelf.items(trained).ids;
    let item = known(ids, id).ok_or_else(|| no_item(id, ids))?;
    let list = match shelf {
        Shelf::Catalogue => similar_items(&system.catalogue(trained.model()), item, listing, branch),
        Shelf::Store { mixed, .. } => mixed_similar_items(mixed, item, listing, branch),
    };
    out.list(Key::Item(id), &list)
}

/// Place of an id among the items, 1..=I.
fn known(ids: &[String], id: &str) -> Option<u32> {
    ids.iter().skip(1).position(|known| known == id).map(|place| place as u32 + 1)
}
