//! `codistill inspect`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use image::RgbImage;
use serde::Serialize;

use super::choice::{no_item, positive};
use super::embed::{described, opened};
use super::setup::{InputArgs, Trained, open_run};
use super::{Exit, Failure, Terminal};
use codistill::artefact::write_atomic;
use codistill::data::Items;
use codistill::pictures;
use codistill::recommend::{Listing, Mixed, Recommendation, mixed_similar_items};
use codistill::train::run_dir::Which;

/// Side of a picture on a contact sheet, in pixels.
const SIDE: u32 = 96;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  codistill inspect checkpoints/quickstart item i17 --png i17.png")]
pub struct InspectArgs {
    /// Run directory.
    run: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The items nearest to one, as each branch sees them
    Item(ItemArgs),
}

#[derive(Debug, Args)]
struct ItemArgs {
    /// Its id.
    id: String,
    /// Items per branch.
    #[arg(short, default_value_t = 8, value_parser = positive)]
    k: usize,
    /// Also draw a contact sheet: a row a branch in the order printed, the item itself first.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Vector store made by `codistill embed`.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// best, last or the number of a step.
    #[arg(long, default_value = "best")]
    checkpoint: Which,
    #[command(flatten)]
    inputs: InputArgs,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Nearest neighbours of an item, of a branch or of the ensemble.
#[derive(Serialize)]
struct Neighbours {
    branch: String,
    /// Empty where the branch has no vector of the item.
    items: Vec<Neighbour>,
}

#[derive(Serialize)]
struct Neighbour {
    item: String,
    title: String,
    category: String,
    cosine: f32,
    #[serde(skip)]
    number: u32,
}

pub fn run(args: &InspectArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    let What::Item(item) = &args.what;
    let trained = open_run(&args.run, &item.checkpoint, &item.inputs, &item.device, terminal)?;
    let (mixed, items) = shelf(item, &trained, terminal)?;
    let found = items.ids.iter().skip(1).position(|id| *id == item.id);
    let number = found.map(|place| place as u32 + 1).ok_or_else(|| no_item(&item.id, &items.ids))?;
    let all = neighbours(item, &trained, &mixed, &items, number);
    if terminal.json {
        let shown = serde_json::json!({
            "item": item.id,
            "title": items.titles[number as usize],
            "text": items.texts[number as usize],
            "image": match items.picture(number) {
                Some(path) => path.display().to_string(),
                None => items.images[number as usize].clone(),
            },
            "category": items.categories[number as usize],
            "nearest": all,
        });
        terminal.data_json(&shown)?;
    } else {
        terminal.table(&text(&items, number, &all))?;
    }
    if let Some(path) = &item.png {
        let (sheet, without) = contact_sheet(&items, number, &all);
        let png = pictures::encode(&sheet).map_err(|e| Failure {
            exit: Exit::Ours,
            message: e.to_string(),
            hint: None,
        })?;
        write_atomic(path, &png.bytes)?;
        if without > 0 {
            terminal.warn(format!("{without} places have no picture that could be read"));
        }
        terminal.say(format!("{}: {} x {} pixels", path.display(), png.width, png.height));
    }
    Ok(Exit::Done)
}

fn shelf(args: &ItemArgs, trained: &Trained, terminal: &Terminal) -> Result<(Mixed, Items), Failure> {
    let system = trained.system();
    let Some(dir) = &args.store else {
        let n = system.shape.items;
        let branches = system.setup.config.model.branches.len();
        let vectors = system.catalogue(trained.model());
        let mixed = Mixed::from_vectors(vectors, vec![true; n], vec![vec![true; branches]; n], vec![true; n]);
        return Ok((mixed, system.setup.dataset.items.clone()));
    };
    let snapshot = opened(trained, dir, terminal)?;
    Ok((snapshot.mixed(&system.setup.device), described(&snapshot, &system.setup.dataset.items)))
}

fn neighbours(
    args: &ItemArgs,
    trained: &Trained,
    mixed: &Mixed,
    items: &Items,
    number: u32,
) -> Vec<Neighbours> {
    let names = trained.system().setup.config.model.branches.iter().map(|b| b.name.clone());
    let mut views: Vec<(String, Option<usize>)> =
        names.enumerate().map(|(b, name)| (name, Some(b))).collect();
    if views.len() > 1 {
        views.push(("all".into(), None));
    }
    let describe = |r: Recommendation| Neighbour {
        item: items.ids[r.item as usize].clone(),
        title: items.titles[r.item as usize].clone(),
        category: items.categories[r.item as usize].clone(),
        cosine: r.score,
        number: r.item,
    };
    let each = views.into_iter().map(|(branch, place)| {
        let found = mixed_similar_items(mixed, number, &Listing::best(args.k), place);
        Neighbours { branch, items: found.into_iter().map(describe).collect() }
    });
    each.collect()
}

fn text(items: &Items, number: u32, all: &[Neighbours]) -> String {
    let n = number as usize;
    let mut text = line(&items.ids[n], &items.titles[n], &items.categories[n]);
    for near in all {
        text.push_str(&format!("\n{}\n", near.branch));
        if near.items.is_empty() {
            text.push_str("  no vector of this item\n");
        }
        for item in &near.items {
            text.push_str(&format!(
                "  {:7.4}  {}",
                item.cosine,
                line(&item.item, &item.title, &item.category)
            ));
        }
    }
    text
}

/// An item on a line of its own; control characters of a title must not reach the terminal.
fn line(id: &str, title: &str, category: &str) -> String {
    let mut text = id.to_owned();
    for part in [title, category].into_iter().filter(|part| !part.is_empty()) {
        text.push_str("  ");
        text.push_str(part);
    }
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.push('\n');
    text
}

/// A row a branch, the item first, and how many places have no picture.
fn contact_sheet(items: &Items, number: u32, all: &[Neighbours]) -> (RgbImage, usize) {
    let mut without = 0;
    let mut picture = |item: u32| {
        let found = items.picture(item).and_then(|path| pictures::thumbnail(&path, SIDE).ok());
        found.unwrap_or_else(|| {
            without += 1;
            pictures::absent(SIDE)
        })
    };
    let mut own = picture(number);
    pictures::frame(&mut own, [30, 90, 200]);
    let rows: Vec<Vec<RgbImage>> = all
        .iter()
        .map(|near| {
            std::iter::once(own.clone()).chain(near.items.iter().map(|item| picture(item.number))).collect()
        })
        .collect();
    (pictures::sheet(&rows, SIDE), without)
}
