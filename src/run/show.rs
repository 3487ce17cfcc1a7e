//! What TensorBoard shows of a finished training beside curves: item vectors with titles and pictures, and the
//! lists of a few users as strips of pictures.

use std::cmp::Reverse;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use crate::data::{Items, Part};
use crate::model::Recommender;
use crate::monitor::{Monitor, Sprite};
use crate::params;
use crate::pictures;
use crate::recommend::{CatalogueVectors, History, Listing, ModelScorer, top_k};
use crate::systems::CoDistill;

/// Longest side of a sprite that TensorBoard's projector loads, in pixels.
const LONGEST_SPRITE: u32 = 8192;
/// Side of a picture in a strip, in pixels, and pictures in a strip.
const STRIP_SIDE: u32 = 64;
const STRIP: usize = 10;
/// Frame of the item that the user took next.
const NEXT: [u8; 3] = [20, 150, 60];

/// Sends item vectors of every branch, and the lists of a few users, to the monitor.
pub fn show(system: &CoDistill, model: &Recommender, step: u64, epoch: u64, monitor: &mut Monitor) {
    let config = &system.setup.config.monitor;
    if !config.tensorboard {
        return;
    }
    let vectors = system.catalogue(model);
    if config.projector_items > 0 {
        project(system, &vectors, monitor);
    }
    if config.strip_users > 0 {
        strips(system, model, &vectors, (step, epoch), monitor);
    }
}

/// Item vectors with titles and pictures, for the projector.
fn project(system: &CoDistill, vectors: &CatalogueVectors, monitor: &mut Monitor) {
    let items = &system.setup.dataset.items;
    // The most popular items are the ones a reader knows.
    let counts = system.setup.dataset.train_counts();
    let mut order: Vec<u32> = (1..=items.count() as u32).collect();
    order.sort_by_key(|&i| (Reverse(counts[i as usize]), i));
    order.truncate(system.setup.config.monitor.projector_items);
    if order.is_empty() {
        return;
    }
    let rows: Vec<Vec<String>> = order
        .iter()
        .map(|&i| {
            let i = i as usize;
            let count = counts[i].to_string();
            vec![items.ids[i].clone(), items.titles[i].clone(), items.categories[i].clone(), count]
        })
        .collect();
    let sprite = sprite(system, &order).map(Arc::new);
    for (branch, x) in system.setup.config.model.branches.iter().zip(&vectors.branches) {
        let width = x.dims()[1];
        let all = params::host(x.clone());
        let picked: Vec<f32> = order
            .iter()
            .flat_map(|&i| all[i as usize * width..(i as usize + 1) * width].iter().copied())
            .collect();
        let header = ["id", "title", "category", "train count"];
        monitor.projector(&format!("items_{}", branch.name), &picked, width, &header, &rows, sprite.as_ref());
    }
}

/// The items' pictures in one sheet, as large as TensorBoard takes it; none where no item has one.
fn sprite(system: &CoDistill, order: &[u32]) -> Option<Sprite> {
    let side = sprite_side(system.setup.config.monitor.sprite_side, order.len());
    let items = &system.setup.dataset.items;
    if side == 0 || !has_pictures(items) {
        return None;
    }
    let each: Vec<RgbImage> = order.par_iter().map(|&item| picture(items, item, side)).collect();
    let png = pictures::encode(&pictures::sprite(&each, side)).ok()?;
    Some(Sprite { png, side })
}

/// The wanted side, or the largest at which the sheet stays within TensorBoard's limit.
fn sprite_side(wanted: usize, items: usize) -> u32 {
    (wanted as u32).min(LONGEST_SPRITE / pictures::grid_side(items).max(1))
}

/// History and best ten of a few users, evenly spread, always the same ones: a strip each, one above the
/// other. The item that the user took next is framed.
fn strips(
    system: &CoDistill,
    model: &Recommender,
    vectors: &CatalogueVectors,
    (step, epoch): (u64, u64),
    monitor: &mut Monitor,
) {
    let dataset = &system.setup.dataset;
    let items = &dataset.items;
    let targets = dataset.targets(Part::Test);
    if targets.is_empty() || !has_pictures(items) {
        return;
    }
    let stride = targets.len().div_ceil(system.setup.config.monitor.strip_users).max(1);
    let chosen: Vec<_> = targets.iter().step_by(stride).collect();
    let histories: Vec<History> = chosen
        .iter()
        .map(|t| History::new(&dataset.users[t.user as usize], dataset.history(t).to_vec()))
        .collect();
    let s = system.setup.config.data.max_seq_len;
    let scorer = ModelScorer::new(model, vectors, system.memory(), None, s, &system.setup.device);
    for ((target, history), list) in
        chosen.iter().zip(&histories).zip(top_k(&scorer, &histories, &Listing::best(STRIP)))
    {
        let draw = |item: u32| {
            let mut drawn = picture(items, item, STRIP_SIDE);
            if item == target.item.0 {
                pictures::frame(&mut drawn, NEXT);
            }
            drawn
        };
        let latest = &history.items[history.items.len().saturating_sub(STRIP)..];
        let rows: [Vec<RgbImage>; 2] =
            [latest.iter().map(|&item| draw(item)).collect(), list.iter().map(|r| draw(r.item)).collect()];
        // A strip that can't be encoded is a picture less, no reason to stop.
        if let Ok(png) = pictures::encode(&pictures::sheet(&rows, STRIP_SIDE)) {
            monitor.image(step, epoch, &format!("lists/{}", history.user), &png);
        }
    }
}

fn picture(items: &Items, item: u32, side: u32) -> RgbImage {
    items
        .picture(item)
        .and_then(|path| pictures::thumbnail(&path, side).ok())
        .unwrap_or_else(|| pictures::absent(side))
}

fn has_pictures(items: &Items) -> bool {
    (1..=items.count() as u32).any(|item| items.picture(item).is_some_and(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sprite_stays_within_tensorboards_limit() {
        assert_eq!(sprite_side(48, 2000), 48);
        for items in [1, 29_241, 63_000, 1_000_000, 100_000_000] {
            let side = sprite_side(64, items);
            assert!(side * pictures::grid_side(items) <= LONGEST_SPRITE, "{items}: {side}");
        }
    }
}
