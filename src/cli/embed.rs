//! `codistill embed`

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::encode::downloads;
use super::setup::{InputArgs, Trained, open_run};
use super::words::one_of;
use super::{Exit, Failure, Terminal};
use codistill::data::disk::strips_html;
use codistill::data::html::strip_html;
use codistill::data::pictures::is_address;
use codistill::data::{Items, KeptColumn};
use codistill::embed::encoders::{encoded_store, fill_features};
use codistill::embed::store::Row;
use codistill::embed::{
    ColdId, EmbedError, Embedder, ItemFile, NewItem, Shape, Snapshot, TokenView, compact, delete, read_items,
    token_views,
};
use codistill::train::run_dir::Which;

/// Share of items with features below which a view is warned about (docs/studies.md, section 6.3).
const COVERAGE: f64 = 0.99;

#[derive(Debug, Subcommand)]
pub enum EmbedCommand {
    /// Make a vector store of a run's catalogue
    Build(BuildArgs),
    /// Add items, or replace those that are there
    Append(AppendArgs),
    /// Take items away, at once
    Delete(DeleteArgs),
    /// Make one generation of all
    Compact(StoreArgs),
    /// Say what a store holds
    Status(StoreArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Items that no training has seen have no ID vector. --cold-id says what stands in for it: nothing (drop), the \
mean of the item's first tokens (mean), or a ridge regression from content to ID vectors (ridge).

The canary keeps some pairs of users and validation items with their scores: every later command must find them again, \
or the vectors are not the model's. Its recall is among those pairs alone, and no figure of the model.

Example:
  codistill embed build checkpoints/quickstart --store stores/quickstart")]
pub struct BuildArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// What stands in for the ID vector of a new item.
    #[arg(long, default_value = "drop", value_parser = one_of::<ColdId>(ColdId::WORDS))]
    cold_id: ColdId,
    /// With --cold-id ridge: fit on items with at least so many training interactions.
    #[arg(long, default_value_t = 20)]
    min_events: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One JSON line per item. Title, text and picture go through the encoders that the model's features were made with; \
a view that was imported needs the tokens themselves:
  {\"id\": \"new1\", \"title\": \"Red shoes\", \"text\": \"Leather, size 38\", \"image\": \"new1.jpg\"}
  {\"id\": \"new2\", \"title\": \"Blue shoes\", \"features\": {\"text\": [[0.1, …], …]}}
As in a catalogue null is as good as absent, numbers are texts, lists of texts are joined and ids lose the blanks \
around them. Columns that the data set keeps (`prepare --keep-column`) are fields too. A line that \
does not fit is refused with its number and reason, and then the whole file; --skip-bad N passes \
over up to N of them.

Example:
  codistill embed append checkpoints/quickstart new.jsonl --store stores/quickstart
  codistill recommend checkpoints/quickstart --store stores/quickstart --user u1")]
pub struct AppendArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON lines.
    items: PathBuf,
    /// Pass over at most so many lines that do not fit.
    #[arg(long, default_value_t = 0, value_name = "N")]
    skip_bad: usize,
    /// Where the encoder of a view lies, if it has moved.
    #[arg(long = "encoder", value_name = "VIEW=PATH", value_parser = pair)]
    encoders: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (view, path) = text.split_once('=').ok_or("VIEW=PATH is expected")?;
    Ok((view.to_owned(), path.to_owned()))
}

#[derive(Debug, Args)]
struct ModelArgs {
    /// Run directory.
    run: PathBuf,
    /// Store directory.
    #[arg(long)]
    store: PathBuf,
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
#[command(after_help = "\
What is deleted leaves all lists at once. An item of the catalogue may still stand in histories, which the model was \
trained on; one that was appended is unknown from then on, and `compact` frees its place on the disk. Lists made without \
--store know nothing of a store.

Example:
  codistill embed delete new1 i7 --store stores/quickstart")]
pub struct DeleteArgs {
    /// Ids of the items.
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
pub struct StoreArgs {
    /// Store directory.
    #[arg(long)]
    store: PathBuf,
}

pub fn run(command: &EmbedCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    let snapshot = match command {
        EmbedCommand::Build(args) => build(args, terminal)?,
        EmbedCommand::Append(args) => append(args, terminal)?,
        EmbedCommand::Delete(args) => delete(&args.store.store, &args.ids)?,
        EmbedCommand::Compact(args) => compact(&args.store)?,
        EmbedCommand::Status(args) => Snapshot::open(&args.store)?,
    };
    print_report(&snapshot, terminal)?;
    Ok(Exit::Done)
}

/// A trained run as its store's embedder.
pub fn embedder(trained: &Trained) -> Embedder<'_> {
    Embedder { system: trained.system(), model: trained.model(), hash: &trained.run.checkpoint.hash }
}

/// The kept columns of a store's items: the catalogue's, and of new items what their lines said.
fn kept(catalogue: &Items, ids: &[String], appended: &[Row]) -> Vec<KeptColumn> {
    let rows: HashMap<&str, usize> =
        catalogue.ids.iter().enumerate().skip(1).map(|(n, id)| (id.as_str(), n)).collect();
    let each = catalogue.kept.iter().map(|column| KeptColumn {
        name: column.name.clone(),
        values: ids
            .iter()
            .enumerate()
            .map(|(n, id)| {
                let own = n.checked_sub(1).and_then(|n| appended[n].kept.get(&column.name));
                let known = own.or_else(|| rows.get(id.as_str()).map(|&row| &column.values[row]));
                known.cloned().unwrap_or_default()
            })
            .collect(),
    });
    each.collect()
}

/// A run's store, opened. Says so where it was built when items outside of all training windows counted as trained.
pub fn opened(trained: &Trained, dir: &Path, terminal: &Terminal) -> Result<Snapshot, Failure> {
    let embedder = embedder(trained);
    let snapshot = embedder.open(dir)?;
    let mistaken = embedder.mistaken(&snapshot);
    if mistaken > 0 {
        terminal.warn(format!(
            "{}: {mistaken} items count as trained that no training window reads; build the store anew",
            dir.display()
        ));
    }
    Ok(snapshot)
}

/// The store's items as a catalogue. Picture paths of the data set's own items begin where the data set says; those of
/// later items stand as they were appended.
pub fn described(snapshot: &Snapshot, catalogue: &Items) -> Items {
    let column = |cell: fn(&Row) -> &String| -> Vec<String> {
        std::iter::once(String::new()).chain(snapshot.rows.iter().map(|row| cell(row).clone())).collect()
    };
    let own: HashSet<&str> = catalogue.images.iter().map(String::as_str).collect();
    let mut images = column(|row| &row.image);
    for image in images.iter_mut().filter(|image| !own.contains(image.as_str()) && !is_address(image)) {
        if let Ok(path) = std::path::absolute(&*image) {
            *image = path.display().to_string();
        }
    }
    let ids = column(|row| &row.id);
    Items {
        kept: kept(catalogue, &ids, &snapshot.rows),
        ids,
        texts: column(|row| &row.title),
        titles: column(|row| &row.title),
        categories: column(|row| &row.category),
        images,
        pictures_root: catalogue.pictures_root.clone(),
    }
}

fn open(args: &ModelArgs, terminal: &Terminal) -> Result<Trained, Failure> {
    open_run(&args.run, &args.checkpoint, &args.inputs, &args.device, terminal)
}

fn build(args: &BuildArgs, terminal: &Terminal) -> Result<Snapshot, Failure> {
    let trained = open(&args.model, terminal)?;
    let snapshot = embedder(&trained).build(&args.model.store, args.cold_id, args.min_events)?;
    let head = &snapshot.head;
    if let Some(ridge) = head.rule.ridge() {
        terminal.say(format!(
            "ridge: fitted on {} items, explains {:.3} of the ID vectors' variance on items kept back",
            ridge.items, ridge.explained
        ));
    }
    if head.canary.is_blind(head.catalogue) {
        terminal
            .warn("the model finds hardly more than chance; the canary can't tell right vectors from wrong");
    }
    Ok(snapshot)
}

fn append(args: &AppendArgs, terminal: &Terminal) -> Result<Snapshot, Failure> {
    let trained = open(&args.model, terminal)?;
    let views = token_views(trained.system());
    let names = trained.system().setup.dataset.items.kept.iter().map(|column| column.name.clone());
    let shape = Shape { views: views.clone(), kept: names.collect() };
    let ItemFile { mut items, skipped } = read_items(&args.items, &shape, args.skip_bad)?;
    skipped.iter().for_each(|line| terminal.warn(format!("passed over: {line}")));
    if trained.system().setup.config.data.path.as_deref().is_some_and(strips_html) {
        for text in items.iter_mut().flat_map(|item| [&mut item.title, &mut item.text]) {
            *text = strip_html(text).into_owned();
        }
    }
    let zeros = items.iter().filter(|item| item.features.values().any(|tokens| is_zero(tokens))).count();
    if zeros > 0 {
        terminal.warn(format!("{zeros} items have feature vectors of zeros, which are taken as they are"));
    }
    let elsewhere = args.encoders.iter().cloned().collect();
    let mut tell = downloads(terminal);
    let device = &trained.system().setup.device;
    let refused = fill_features(trained.system(), &mut items, &elsewhere, device, &mut tell)?;
    for one in &refused {
        terminal.warn(format!("item {:?}, view `{}`: {}", one.item, one.view, one.reason));
    }
    tell_lacking(&trained, &views, &items, terminal);
    Ok(embedder(&trained).append(&args.model.store, &items)?)
}

/// Says which views some of the items have no features of.
fn tell_lacking(trained: &Trained, views: &[TokenView], items: &[NewItem], terminal: &Terminal) {
    for view in views {
        let lacking = |item: &&NewItem| !item.features.contains_key(&view.name);
        let n = items.iter().filter(lacking).count();
        if n > 0 {
            // An imported view has no encoder, so that titles and pictures of the lines say nothing of it.
            let remedy = if encoded_store(trained.system(), &view.name).is_none() {
                format!(
                    ": the view was imported, and a line gives its features as {{\"features\": {{\"{}\": […]}}}}",
                    view.name
                )
            } else {
                String::new()
            };
            terminal.warn(format!(
                "{n} of {} items have no features of view `{}`; its learned missing token stands in{remedy}",
                items.len(),
                view.name
            ));
        }
    }
}

/// Whether one of an item's tokens has no direction.
fn is_zero(tokens: &[f32]) -> bool {
    tokens.iter().all(|&x| x == 0.0)
}

fn print_report(snapshot: &Snapshot, terminal: &Terminal) -> Result<(), Failure> {
    let (description, head) = (&snapshot.description, &snapshot.head);
    if let Some(warning) = &snapshot.unguarded {
        terminal.warn(warning);
    }
    let gone = snapshot.rows.iter().filter(|row| !row.offered).count() + snapshot.dropped.len();
    for (view, share) in snapshot.coverage().into_iter().filter(|(_, share)| *share < COVERAGE) {
        terminal.warn(format!("only {:.1} % of the items have features of view `{view}`", 100.0 * share));
    }
    if terminal.json {
        return terminal.data_json(&json!({
            "store": snapshot.dir,
            "generation": description.generation,
            "hash": snapshot.hash,
            "model": description.model,
            "dataset": description.dataset,
            "branches": description.branches,
            "width": description.width,
            "catalogue": head.catalogue,
            "appended": snapshot.appended(),
            "deleted": gone,
            "coverage": snapshot.coverage(),
            "cold_id": head.rule.kind,
            "canary": {"k": head.canary.k, "pairs": head.canary.pairs.len(), "recall": head.canary.recall()},
        }));
    }
    terminal.table(&format!(
        "{}: generation {}, {} catalogue items, {} appended, {gone} deleted\nbranches {} of width {}, model {}\ncanary: recall@{} {:.4} over {} pairs",
        snapshot.dir.display(),
        description.generation,
        head.catalogue,
        snapshot.appended(),
        description.branches.join(", "),
        description.width,
        description.model.get(..12).unwrap_or(&description.model),
        head.canary.k,
        head.canary.recall(),
        head.canary.pairs.len()
    ))
}

impl From<EmbedError> for Failure {
    fn from(e: EmbedError) -> Self {
        let hint = e.hint();
        Self { exit: Exit::User, message: e.to_string(), hint }
    }
}
