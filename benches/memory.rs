//! What a memory costs: counting, and ranking with what it adds beside ranking without it.
//!
//!     cargo bench --bench memory -- [interactions to count] [rounds]
//!
//! Defaults: 2,000,000 interactions of 100,000 items, and 5 rounds. Ranking is that of the shape of Amazon Arts: 45,487 histories among
//! 21,020 items, three branches of width 64; with the memory it includes its scores and the correction of ranks and lists. The rounds
//! with and without take turns; medians and their ratio are shown, and the peak of the process's memory after counting.

use std::time::Instant;

use codistill::config::MemoryConfig;
use codistill::eval::inner_product::{Catalogue, Query, View};
use codistill::memory::Memory;
use codistill::rng::{mix64, unit};

const USERS: usize = 45_487;
const ITEMS: usize = 21_020;
const WIDTH: usize = 64;
const BRANCHES: usize = 3;
const BEST: usize = 50;
/// Items of a theme: what users have in common.
const THEME: usize = 60;

fn main() {
    // `cargo bench` adds flags of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<usize>().ok());
    let interactions = numbers.next().unwrap_or(2_000_000).max(1);
    let rounds = numbers.next().unwrap_or(5).max(1);
    count(interactions);
    rank(rounds);
}

/// Histories of about ten items: a theme, and items of it, those of small numbers more often; every fourth is any item.
fn histories(users: usize, items: usize) -> Vec<Vec<u32>> {
    let draw = |user: usize, n: usize| unit(mix64(mix64(user as u64) ^ n as u64));
    let history = |user: usize| {
        let theme = (draw(user, 0).powi(2) * items as f64) as usize / THEME * THEME;
        let length = 4 + (draw(user, 1).powi(3) * 26.0) as usize;
        let item = |n: usize| {
            let (own, other) = (draw(user, 2 * n + 2), draw(user, 2 * n + 3));
            let item = if n % 4 == 3 {
                (other * items as f64) as usize
            } else {
                theme + (own.powi(2) * THEME as f64) as usize
            };
            1 + item.min(items - 1) as u32
        };
        (0..length).map(item).collect()
    };
    (0..users).map(history).collect()
}

fn count(interactions: usize) {
    let items = (interactions / 20).clamp(100, 100_000);
    let mut all = histories(interactions / 10, items);
    let mut left = interactions;
    all.retain(|history| {
        let fits = left > 0;
        left = left.saturating_sub(history.len());
        fits
    });
    let total: usize = all.iter().map(Vec::len).sum();
    let start = Instant::now();
    let memory = Memory::count(&MemoryConfig::default(), all.len(), items, |user| &all[user], &[]);
    let seconds = start.elapsed().as_secs_f64();
    let entries: usize = memory.sources().iter().map(|source| source.lists.len()).sum();
    println!(
        "counting {total} interactions of {} users and {items} items: {seconds:.1} s, {entries} entries, peak {:.2} GiB",
        all.len(),
        peak_gib()
    );
}

/// Largest resident memory of the process so far; 0 where the system does not tell.
fn peak_gib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / f64::from(1 << 20)
}

fn rank(rounds: usize) {
    let all = histories(USERS, ITEMS);
    let memory = Memory::count(&MemoryConfig::default(), USERS, ITEMS, |user| &all[user], &[]);
    let rows = |seed: u64, count: usize| -> Vec<f32> {
        (0..count * WIDTH).map(|n| unit(mix64(mix64(seed) ^ n as u64)) as f32 - 0.5).collect()
    };
    let items = (0..BRANCHES as u64).map(|branch| rows(branch, ITEMS + 1)).collect();
    let users: Vec<Vec<f32>> = (0..BRANCHES as u64).map(|branch| rows(100 + branch, USERS)).collect();
    let catalogue = Catalogue::new(items, WIDTH).expect("numbers below 1");
    let views = View::all(BRANCHES);
    let histories: Vec<&[u32]> = all.iter().map(|history| &history[..history.len() - 1]).collect();
    let masks: Vec<Vec<u32>> = histories.iter().map(|history| distinct(history)).collect();
    let queries = |added: &[Vec<(u32, f32)>]| {
        let start = Instant::now();
        let query = |n: usize| Query {
            target: *all[n].last().expect("four items or more"),
            masked: &masks[n],
            added: added.get(n).map_or(&[], Vec::as_slice),
        };
        let queries: Vec<Query> = (0..USERS).map(query).collect();
        let found = catalogue.rank(&views, &users, &queries, BEST);
        assert_eq!(found.len(), USERS);
        start.elapsed().as_secs_f64()
    };
    let (mut without, mut with, mut scoring) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(queries(&[]));
        let start = Instant::now();
        let added = memory.score_all(&histories);
        scoring.push(start.elapsed().as_secs_f64());
        let own: usize = added.iter().map(Vec::len).sum();
        with.push(scoring[scoring.len() - 1] + queries(&added));
        if with.len() == 1 {
            println!(
                "ranking {USERS} x {ITEMS}: {:.0} items a history have a memory's score",
                own as f64 / USERS as f64
            );
        }
    }
    let [without, with, scoring] = [without, with, scoring].map(median);
    println!(
        "without {without:.2} s, with {with:.2} s ({scoring:.2} s of it scores of the memory): {:.2} times",
        with / without
    );
}

fn distinct(history: &[u32]) -> Vec<u32> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
