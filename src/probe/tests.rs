//! Figures against plain loops in f64, and random features against chance.

use std::path::Path;
use std::sync::Arc;

use super::agreement::{Behaviour, agreement, eligible_neighbours};
use super::geometry::{CrossModal, Geometry, Verdict};
use super::measure::all_neighbours;
use super::vectors::{RowMatrix, Vectors, nearest};
use super::{Options, Probe};
use crate::config::SynthConfig;
use crate::data::{Dataset, Part};
use crate::eval::baseline::ContentView;
use crate::features::{FeatureStore, Precision, StoreWriter};
use crate::synth;

fn world() -> Dataset {
    let config = SynthConfig { users: 300, items: 120, ..SynthConfig::default() };
    synth::generate(&config).unwrap().dataset
}

/// Two tokens an item; item 5 has none, item 7 only zeros (stores refuse NaN), items 8 and 9 are equal.
fn view(home: &Path, name: &str, items: usize, seed: u64) -> ContentView {
    let random = Vectors::random(12, &vec![true; items + 1], seed);
    let mut writer = StoreWriter::create(&home.join(name), items, 2, 6, Precision::F32).unwrap();
    for item in 1..=items {
        let mut tokens = random.row(if item == 9 { 8 } else { item }).to_vec();
        if item == 7 {
            tokens.fill(0.0);
        }
        if item != 5 {
            writer.push(item as u32, &tokens).unwrap();
        }
    }
    writer.finish(serde_json::json!({})).unwrap();
    let store = Arc::new(FeatureStore::open(&home.join(name)).unwrap());
    ContentView { name: name.into(), store }
}

/// Unit mean of the tokens in f64; `None` where there is none.
fn plain(view: &ContentView, item: usize) -> Option<Vec<f64>> {
    let mut tokens = vec![0.0; 12];
    view.store.gather_into(item as u32, 2, &mut tokens);
    let sum: Vec<f64> = (0..6).map(|f| f64::from(tokens[f]) + f64::from(tokens[f + 6])).collect();
    let norm = sum.iter().map(|v| v * v).sum::<f64>().sqrt();
    (norm > 0.0 && norm.is_finite()).then(|| sum.iter().map(|v| v / norm).collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Mid-rank of `item` among the items outside `history`.
fn rank(scores: &[f64], item: usize, history: &[u32]) -> f64 {
    let others = || (1..scores.len()).filter(|&i| i != item && !history.contains(&(i as u32)));
    let ties = |i: usize| (scores[i] - scores[item]).abs() < 1e-6;
    let better = others().filter(|&i| !ties(i) && scores[i] > scores[item]).count() as f64;
    1.0 + better + others().filter(|&i| ties(i)).count() as f64 / 2.0
}

fn recall(data: &Dataset, score: impl Fn(&[u32]) -> Vec<f64>) -> f64 {
    let targets = data.targets(Part::Valid);
    let hit = |t: &&crate::data::Target| {
        let history = data.history(t);
        !history.contains(&t.item.0) && rank(&score(history), t.item.index(), history) <= 10.0
    };
    targets.iter().filter(hit).count() as f64 / targets.len() as f64
}

#[test]
fn zero_shot_and_item_cf_equal_plain_loops_in_f64() {
    let home = tempfile::tempdir().unwrap();
    let data = world();
    let n = data.items.count();
    let view = view(home.path(), "text", n, 3);
    let options = Options { neighbours: vec![10], ..Options::default() };
    let vectors = Vectors::pooled("text", std::slice::from_ref(&view), n, |_, _| false);
    assert_eq!((vectors.missing(), vectors.unusable), (2, 1));
    let (report, _) = Probe::new(&data, &options).features(&vectors).unwrap();

    let rows: Vec<Option<Vec<f64>>> = (0..=n).map(|i| if i == 0 { None } else { plain(&view, i) }).collect();
    let zero_shot = |history: &[u32]| -> Vec<f64> {
        let mut query = vec![0.0; 6];
        for row in history.iter().filter_map(|&i| rows[i as usize].as_ref()) {
            query.iter_mut().zip(row).for_each(|(q, v)| *q += v);
        }
        let norm = dot(&query, &query).sqrt().max(1e-30);
        rows.iter().map(|r| r.as_ref().map_or(-2.0, |r| dot(&query, r) / norm)).collect()
    };
    assert!((report.zero_shot.get("recall@10") - recall(&data, zero_shot)).abs() < 1e-9);

    let neighbours = |item: usize| -> Vec<(usize, f64)> {
        let Some(own) = &rows[item] else { return Vec::new() };
        let others = (1..=n).filter(|&o| o != item).filter_map(|o| Some((o, dot(own, rows[o].as_ref()?))));
        let mut all: Vec<(usize, f64)> = others.collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(10);
        all
    };
    let lists: Vec<_> = (0..=n).map(neighbours).collect();
    let item_cf = |history: &[u32]| -> Vec<f64> {
        let mut distinct = history.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut scores = vec![0.0; n + 1];
        for item in distinct {
            lists[item as usize].iter().for_each(|&(other, s)| scores[other] += s.max(0.0));
        }
        scores
    };
    assert!((report.item_cf[0].get("recall@10") - recall(&data, item_cf)).abs() < 1e-9);
}

#[test]
fn agreement_with_behaviour_equals_plain_loops_and_reads_training_only() {
    let home = tempfile::tempdir().unwrap();
    let mut data = world();
    let n = data.items.count();
    let view = view(home.path(), "text", n, 3);
    let vectors = Vectors::pooled("text", std::slice::from_ref(&view), n, |_, _| false);
    let matrix = RowMatrix::new(&vectors.values, vectors.width);
    let measure = |data: &Dataset| {
        let behaviour = Behaviour::new(data, 50);
        let neighbours = eligible_neighbours(&behaviour, &vectors, &matrix, 10);
        agreement(&behaviour, &vectors, &neighbours, 10, 1).unwrap()
    };
    let found = measure(&data);
    let users: Vec<std::collections::BTreeSet<u32>> =
        (0..data.users.len()).map(|u| data.sequences.train_of(u).iter().copied().collect()).collect();
    let count = |i: usize| users.iter().filter(|u| u.contains(&(i as u32))).count();
    let usable: Vec<usize> = (1..=n).filter(|&i| count(i) >= 5 && vectors.present[i]).collect();
    let top = |score: &dyn Fn(usize) -> f64, item: usize| -> Vec<usize> {
        let mut all: Vec<(f64, usize)> =
            usable.iter().filter(|&&o| o != item).map(|&o| (score(o), o)).filter(|s| s.0 > -1.5).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(10).map(|s| s.1).collect()
    };
    let mut overlap = 0.0;
    for &item in &usable {
        let own = plain(&view, item).unwrap();
        let content = top(&|o| dot(&own, &plain(&view, o).unwrap()), item);
        let behaviour = top(
            &|o| {
                let both = users.iter().filter(|u| u.contains(&(o as u32)) && u.contains(&(item as u32)));
                let both = both.count() as f64;
                // f32, since equal similarities are ordered by item number there.
                let s = both / ((count(o) as f64 * count(item) as f64).sqrt() + 10.0);
                if both > 0.0 { f64::from(s as f32) } else { -2.0 }
            },
            item,
        );
        overlap += behaviour.iter().filter(|b| content.contains(b)).count() as f64 / 10.0;
    }
    assert_eq!(found.items, usable.len());
    assert!((found.overlap - overlap / usable.len() as f64).abs() < 1e-9, "{found:?}");
    assert!((found.overlap_chance - 10.0 / (usable.len() - 1) as f64).abs() < 0.01);
    // Other validation and test items change nothing.
    for place in 0..data.sequences.items.len() {
        if data.sequences.parts[place] != Part::Train {
            data.sequences.items[place] = data.sequences.items[place] % n as u32 + 1;
        }
    }
    assert_eq!(measure(&data), found);
}

#[test]
fn geometry_equals_plain_loops_in_f64() {
    let home = tempfile::tempdir().unwrap();
    let view = view(home.path(), "text", 60, 5);
    let vectors = Vectors::pooled("text", std::slice::from_ref(&view), 60, |_, _| false);
    let matrix = RowMatrix::new(&vectors.values, vectors.width);
    let found = Geometry::new(&vectors, &all_neighbours(&vectors, &matrix, 10));
    let rows: Vec<Vec<f64>> = (1..=60).filter_map(|i| plain(&view, i)).collect();
    let n = rows.len();
    let mut sum = 0.0;
    for a in 0..n {
        sum += (0..n).filter(|&b| b != a).map(|b| dot(&rows[a], &rows[b])).sum::<f64>();
    }
    assert!((found.mean_cosine - sum / (n * (n - 1)) as f64).abs() < 1e-6);
    let mean: Vec<f64> = (0..6).map(|f| rows.iter().map(|r| r[f]).sum::<f64>() / n as f64).collect();
    let c = |f: usize, g: usize| -> f64 { rows.iter().map(|r| (r[f] - mean[f]) * (r[g] - mean[g])).sum() };
    let trace: f64 = (0..6).map(|f| c(f, f)).sum();
    let squares: f64 = (0..36).map(|i| c(i / 6, i % 6).powi(2)).sum();
    assert!((found.effective_rank - trace * trace / squares).abs() < 1e-4, "{found:?}");
    assert!((found.duplicates - 2.0 / n as f64).abs() < 1e-12);
    assert!((found.coverage - n as f64 / 60.0).abs() < 1e-12);
    assert_eq!(found.gates[3].verdict, Verdict::Warn, "three of sixty items lack features");
}

#[test]
fn a_cone_is_warned_of_and_shared_spaces_retrieve() {
    let mut cone = Vectors::random(32, &[true; 101], 1);
    for row in cone.values.chunks_exact_mut(32) {
        row[0] += 5.0;
        crate::features::normalise(row);
    }
    let matrix = RowMatrix::new(&cone.values, 32);
    let found = Geometry::new(&cone, &all_neighbours(&cone, &matrix, 5));
    assert!(found.mean_cosine > 0.9 && found.gates[0].verdict == Verdict::Warn);
    let text = Vectors::random(32, &[true; 101], 1);
    let same = CrossModal::new(&text, &text).unwrap();
    assert_eq!((same.recall_at_1, same.verdict), (1.0, Verdict::Pass));
    assert!(same.centroid_distance.abs() < 1e-6);
    let other = CrossModal::new(&text, &Vectors::random(32, &[true; 101], 2)).unwrap();
    assert!(other.recall_at_10 < 0.3 && other.verdict == Verdict::Warn, "{other:?}");
    assert!(CrossModal::new(&text, &Vectors::random(16, &[true; 101], 2)).is_none());
}

#[test]
fn random_features_lie_within_the_chance_interval() {
    let home = tempfile::tempdir().unwrap();
    let data = world();
    let text = view(home.path(), "text", data.items.count(), 3);
    let mut inside = 0;
    for seed in 1..=20 {
        let options = Options { seed, masks: false, neighbours: vec![10], ..Options::default() };
        let report = Probe::new(&data, &options).report(std::slice::from_ref(&text)).unwrap();
        inside += usize::from(report.features.last().unwrap().chance_like.unwrap());
    }
    // 99 % of 20, and one that may fall out.
    assert!(inside >= 19, "{inside} of 20");
}

#[test]
fn masks_are_nested_and_at_ratio_one_equal_the_other_view_alone() {
    let home = tempfile::tempdir().unwrap();
    let data = world();
    let n = data.items.count();
    let views = [view(home.path(), "text", n, 3), view(home.path(), "image", n, 4)];
    let options = Options { neighbours: vec![10], ..Options::default() };
    let report = Probe::new(&data, &options).report(&views).unwrap();
    let names: Vec<&str> = report.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["text", "image", "text+image", "random"]);
    for (curve, other) in report.masks.iter().zip([1, 0]) {
        let end = |ratio: f64| curve.points.iter().find(|p| p.ratio == ratio).unwrap();
        assert_eq!(end(0.0).zero_shot, report.features[2].zero_shot);
        assert_eq!(end(1.0).zero_shot, report.features[other].zero_shot);
        assert_eq!(end(1.0).item_cf, report.features[other].item_cf);
    }
    let places = super::mask::places(n, 1);
    let mut sorted = places[1..].to_vec();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..n).collect::<Vec<_>>());
}

#[test]
fn nearest_breaks_ties_by_item_number_and_knows_small_catalogues() {
    assert_eq!(nearest(&[9.0, 0.5, 0.7, 0.5, 0.7], 3, |_| true), [(0.7, 2), (0.7, 4), (0.5, 1)]);
    assert_eq!(nearest(&[9.0, 0.5], 3, |i| i != 1), []);
}
