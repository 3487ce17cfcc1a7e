//! Known figures on real data sets. They can't be shipped: `CODISTILL_REAL_DATA` names the folder that holds them.

use std::path::PathBuf;

use codistill::config::{EvalConfig, TieRule};
use codistill::data::source::{Format, SourceOptions};
use codistill::data::{Dataset, Part, PrepareOptions, prepare};
use codistill::eval::baseline::{Popularity, Transitions};
use codistill::eval::{Scorer, evaluate};

use crate::need::{locate, need};

fn real(path: &str) -> Option<PathBuf> {
    need("real-data", locate("CODISTILL_REAL_DATA", path))
}

/// Recall@10 and NDCG@10 on the test targets.
fn figures(scorer: &mut dyn Scorer, dataset: &Dataset, ties: TieRule) -> (f64, f64) {
    let config = EvalConfig { ties, ..EvalConfig::default() };
    let evaluation = evaluate(scorer, dataset, Part::Test, &config, 50, &mut |_| {}).unwrap();
    let metrics = &evaluation.scored[0].metrics;
    (metrics["recall@10"], metrics["ndcg@10"])
}

/// `ties` is the rule under which the figures were published.
fn check(name: &str, dataset: &Dataset, popularity: (f64, f64), transitions: (f64, f64), ties: TieRule) {
    let found = [
        figures(&mut Popularity::new(dataset), dataset, ties),
        figures(&mut Transitions::new(dataset), dataset, ties),
    ];
    println!("{name}: popularity {:.4?}, transitions {:.4?}", found[0], found[1]);
    for (found, known) in found.iter().zip([popularity, transitions]) {
        let gap = (found.0 - known.0).abs().max((found.1 - known.1).abs());
        assert!(gap < 0.0005, "{name}: {found:?} instead of {known:?}");
    }
}

fn sequences(path: PathBuf) -> Dataset {
    let options = PrepareOptions {
        interactions: path,
        log: SourceOptions { format: Some(Format::Sequences), ..SourceOptions::default() },
        user_core: 1,
        item_core: 1,
        ..PrepareOptions::default()
    };
    prepare(&options, &mut |_| {}).unwrap().0
}

#[test]
fn baselines_on_real_sequences_equal_the_published_ones() {
    for (path, popularity, transitions) in [
        ("amazon-2014-sequences/original/Beauty.txt", (0.0141, 0.0063), (0.0838, 0.0527)),
        ("amazon-2014-sequences/original/Sports_and_Outdoors.txt", (0.0091, 0.0052), (0.0448, 0.0272)),
        ("amazon-2014-sequences/original/LastFM.txt", (0.0440, 0.0201), (0.0596, 0.0362)),
        ("amazon-2018-instruments/sequences.tsv", (0.0666, 0.0449), (0.1252, 0.1034)),
    ] {
        if let Some(path) = real(path) {
            check(
                &path.display().to_string(),
                &sequences(path),
                popularity,
                transitions,
                TieRule::Optimistic,
            );
        }
    }
}

#[test]
fn movielens_small_is_prepared_to_its_known_size_and_baselines() {
    let Some(path) = real("movielens-small-posters/original/ratings.csv") else { return };
    let options =
        PrepareOptions { interactions: path, user_core: 1, item_core: 5, ..PrepareOptions::default() };
    let (dataset, report) = prepare(&options, &mut |_| {}).unwrap();
    let last = report.steps.last().unwrap();
    assert_eq!((last.users, last.items, last.interactions), (610, 3650, 90_274));
    check("MovieLens-small", &dataset, (0.043, 0.021), (0.131, 0.072), TieRule::Mid);
}
