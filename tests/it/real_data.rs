//! Known figures on real data sets. They can't be shipped: `CODISTILL_REAL_DATA` names the folder that holds them.

use std::path::PathBuf;

use codistill::config::{EvalConfig, HistoryRule, TieRule};
use codistill::data::source::{Format, SourceOptions};
use codistill::data::{Dataset, Part, PrepareOptions, prepare};
use codistill::eval::baseline::{ItemKnn, Popularity, Terms, Transitions, Unscored};
use codistill::eval::{Scorer, evaluate};

use crate::need::{locate, need};

fn real(path: &str) -> Option<PathBuf> {
    need("real-data", locate("CODISTILL_REAL_DATA", path))
}

/// Recall@10 and NDCG@10 on the test targets.
fn figures(scorer: &mut dyn Scorer, dataset: &Dataset, config: &EvalConfig) -> (f64, f64) {
    let evaluation = evaluate(scorer, dataset, Part::Test, config, 50, &mut |_| {}).unwrap();
    let metrics = &evaluation.scored[0].metrics;
    (metrics["recall@10"], metrics["ndcg@10"])
}

/// Fails where figures are further from known ones than those are rounded.
fn near(name: &str, found: (f64, f64), known: (f64, f64)) {
    println!("{name}: {found:.4?}");
    let gap = (found.0 - known.0).abs().max((found.1 - known.1).abs());
    assert!(gap < 0.0005, "{name}: {found:?} instead of {known:?}");
}

/// `ties` is the rule under which the figures were published, by counters that know the validation items.
fn check(name: &str, dataset: &Dataset, popularity: (f64, f64), transitions: (f64, f64), ties: TieRule) {
    let (terms, config) =
        (Terms::default().knowing_validation(), EvalConfig { ties, ..EvalConfig::default() });
    let found = figures(&mut Popularity::new(dataset, terms), dataset, &config);
    near(&format!("{name}, popularity"), found, popularity);
    let found = figures(&mut Transitions::new(dataset, terms), dataset, &config);
    near(&format!("{name}, transitions"), found, transitions);
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

/// Figures of counters that another program computed on the training part alone, with seen items removed and kept.
#[test]
fn baselines_on_equal_terms_equal_known_ones() {
    let removed = (EvalConfig::default(), Terms::default());
    let kept = (
        EvalConfig { history: HistoryRule::Keep, ..EvalConfig::default() },
        Terms { unscored: Unscored::Missed, ..Terms::default() },
    );
    for (path, knn, transitions) in [
        (
            "amazon-2018-instruments/sequences.tsv",
            [(0.1356, 0.1107), (0.1261, 0.0985)],
            [(0.1218, 0.1001), (0.1171, 0.0871)],
        ),
        (
            "amazon-2014-sequences/original/Beauty.txt",
            [(0.0619, 0.0355), (0.0523, 0.0273)],
            [(0.0735, 0.0462), (0.0669, 0.0399)],
        ),
    ] {
        let Some(file) = real(path) else { continue };
        let dataset = sequences(file);
        for (n, (config, terms)) in [&removed, &kept].into_iter().enumerate() {
            let found = figures(&mut ItemKnn::new(&dataset, *terms), &dataset, config);
            near(&format!("{path}, item-knn, {}", config.history.word()), found, knn[n]);
            let found = figures(&mut Transitions::new(&dataset, *terms), &dataset, config);
            near(&format!("{path}, transitions, {}", config.history.word()), found, transitions[n]);
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
