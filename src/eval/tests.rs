//! The evaluator against a sort in f64, its invariances, the authors' evaluation users, and its files.

use std::fs;

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::fixtures::{Table, dataset, leave_one_out};
use super::metrics::Evaluation;
use super::report::SCHEMA;
use super::{Report, Row, Rules, ScoreError, evaluate, evaluate_under, rows};
use crate::config::{EvalConfig, HistoryRule, TieRule};
use crate::data::{Choice, Dataset, Part};

/// A small world: items, one sequence per user, one row of scores per user.
#[derive(Clone, Debug)]
struct World {
    items: usize,
    users: Vec<Vec<u32>>,
    scores: Vec<Vec<f32>>,
}

/// Few distinct scores, so that ties are everywhere; users may meet an item twice.
fn world() -> impl Strategy<Value = World> {
    (3usize..14, 1usize..9).prop_flat_map(|(items, users)| {
        let sequence = proptest::collection::vec(1..=items as u32, 3..12);
        let score = prop_oneof![9 => (-2i8..3).prop_map(f32::from), 1 => Just(f32::NAN)];
        let row = proptest::collection::vec(score, items + 1);
        let users = (proptest::collection::vec(sequence, users), proptest::collection::vec(row, users));
        users.prop_map(move |(users, scores)| World { items, users, scores })
    })
}

fn config(ties: TieRule, history: HistoryRule) -> EvalConfig {
    EvalConfig { ks: vec![1, 3, 10], ties, history, ..EvalConfig::default() }
}

fn rules() -> impl Strategy<Value = EvalConfig> {
    use HistoryRule::{All, Keep, Train, Window};
    use TieRule::{Ascending, Descending, Mid, Optimistic, Pessimistic};
    let ties = prop_oneof![Just(Mid), Just(Optimistic), Just(Pessimistic), Just(Ascending), Just(Descending)];
    let history = prop_oneof![Just(All), Just(Window), Just(Train), Just(Keep)];
    (ties, history).prop_map(|(ties, history)| config(ties, history))
}

const MAX_SEQ_LEN: usize = 2;

/// What a rank within the cut-off is worth.
type Gain = fn(f64) -> f64;
const GAINS: [(&str, Gain); 3] =
    [("recall", |_| 1.0), ("ndcg", |r| 2f64.ln() / (1.0 + r).ln()), ("mrr", |r| 1.0 / r)];

impl World {
    fn dataset(&self) -> Dataset {
        let users: Vec<&[u32]> = self.users.iter().map(Vec::as_slice).collect();
        dataset(self.items, &leave_one_out(&users))
    }

    fn evaluate(&self, part: Part, config: &EvalConfig) -> Evaluation {
        let mut scorer = Table { items: self.items, scores: vec![("x".into(), self.scores.clone())] };
        evaluate(&mut scorer, &self.dataset(), part, config, MAX_SEQ_LEN, &mut |_| {}).unwrap()
    }

    /// Rank of user `u`'s target by a full sort: equals share the places that they take up together.
    fn sorted_rank(&self, u: usize, part: Part, config: &EvalConfig) -> f64 {
        let cut = if part == Part::Test { 1 } else { 2 };
        let user = &self.users[u];
        let (history, target) = (&user[..user.len() - cut], user[user.len() - cut] as usize);
        // The authors keep the last S + 3 interactions of the whole sequence, targets included.
        let kept_from = match config.history {
            HistoryRule::All => 0,
            HistoryRule::Window => user.len().saturating_sub(MAX_SEQ_LEN + 3),
            HistoryRule::Keep => history.len(),
            HistoryRule::Train => 0,
        };
        let kept_to = if config.history == HistoryRule::Train { user.len() - 2 } else { history.len() };
        let seen = |i: usize| history[kept_from.min(kept_to)..kept_to].contains(&(i as u32));
        let mut candidates: Vec<(f64, usize)> = (1..=self.items)
            .filter(|&i| !seen(i))
            .map(|i| (f64::from(self.scores[u][i]), i))
            .map(|(s, i)| (if s.is_nan() { f64::INFINITY } else { s }, i))
            .collect();
        if seen(target) || self.scores[u][target].is_nan() {
            return f64::INFINITY;
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let score = f64::from(self.scores[u][target]);
        let places = (1..).zip(&candidates).filter(|(_, c)| c.0 == score).map(|(place, _)| f64::from(place));
        let places: Vec<f64> = places.collect();
        match config.ties {
            TieRule::Optimistic => places[0],
            TieRule::Pessimistic => places[places.len() - 1],
            TieRule::Mid => places.iter().sum::<f64>() / places.len() as f64,
            // The sort is stable, so that equals stand by item number.
            TieRule::Ascending => candidates.iter().position(|c| c.1 == target).unwrap() as f64 + 1.0,
            TieRule::Descending => {
                let before = candidates.iter().filter(|c| c.0 == score && c.1 > target).count();
                places[0] + before as f64
            }
        }
    }
}

fn close(a: &Evaluation, b: &Evaluation) -> bool {
    let (a, b) = (a.metrics(), b.metrics());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-12)
}

proptest! {
    #[test]
    fn every_rank_and_mean_equals_a_full_sort_in_f64(
        world in world(), config in rules(), test in any::<bool>(),
    ) {
        let part = if test { Part::Test } else { Part::Valid };
        let found = world.evaluate(part, &config);
        let ranks: Vec<f64> = (0..world.users.len()).map(|u| world.sorted_rank(u, part, &config)).collect();
        let rows = &found.scored[0].rows;
        prop_assert_eq!(rows.iter().map(|r| r.rank).collect::<Vec<f64>>(), ranks.clone());
        for &k in &config.ks {
            let hits: Vec<f64> = ranks.iter().copied().filter(|&r| r <= k as f64).collect();
            let n = ranks.len() as f64;
            let mean = |gain: Gain| hits.iter().map(|&r| gain(r)).sum::<f64>() / n;
            for (metric, gain) in GAINS {
                let ours = found.scored[0].metrics[&format!("{metric}@{k}")];
                prop_assert!((ours - mean(gain)).abs() < 1e-12, "{}", metric);
            }
        }
    }

    /// What was not chosen stands behind all that was, whatever its score: so the full sort has it.
    #[test]
    fn ranks_under_a_choice_are_those_of_a_full_sort_of_its_items(
        world in world(), config in rules(), mask in proptest::collection::vec(any::<bool>(), 14),
    ) {
        let allowed: Vec<bool> = (0..=world.items).map(|i| i > 0 && mask[i - 1]).collect();
        let choice = Choice::new(&allowed, vec!["--candidates x".into()]);
        let targets = world.dataset().targets(Part::Test);
        let inside: Vec<usize> = (0..targets.len()).filter(|&u| allowed[targets[u].item.index()]).collect();
        let mut scorer = Table { items: world.items, scores: vec![("x".into(), world.scores.clone())] };
        let dataset = world.dataset();
        let rules = Rules { eval: &config, max_seq_len: MAX_SEQ_LEN, named: None, choice: Some(&choice) };
        let found = evaluate_under(&mut scorer, &dataset, Part::Test, &rules, &mut |_| {});
        if inside.is_empty() {
            let refused = matches!(found, Err(ScoreError::NoneChosen { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        let found = found.unwrap();
        let mut hidden = world.clone();
        hidden.scores.iter_mut().for_each(|scores| choice.hide(scores));
        let ranks: Vec<f64> = inside.iter().map(|&u| hidden.sorted_rank(u, Part::Test, &config)).collect();
        let rows = &found.scored[0].rows;
        prop_assert_eq!(rows.iter().map(|r| r.rank).collect::<Vec<f64>>(), ranks);
        prop_assert_eq!(
            rows.iter().map(|r| (r.user, r.item)).collect::<Vec<_>>(),
            inside.iter().map(|&u| (targets[u].user, targets[u].item.0)).collect::<Vec<_>>()
        );
        prop_assert!(rows.iter().all(|r| r.candidates as usize <= choice.count()));
        let chosen = found.protocol.chosen.clone().unwrap();
        prop_assert_eq!((chosen.items, chosen.outside), (choice.count(), targets.len() - inside.len()));
        prop_assert_eq!((found.protocol.targets, found.protocol.items), (inside.len(), world.items));
        // Every chosen item is exposed or not: nothing outside counts for the shares.
        let exposed: usize = found.scored[0].exposure.iter().map(|e| e.items).sum();
        prop_assert_eq!(exposed, choice.count());
    }

    #[test]
    fn a_choice_of_everything_changes_no_figure(world in world(), config in rules()) {
        let choice = Choice::new(&(0..=world.items).map(|i| i > 0).collect::<Vec<_>>(), Vec::new());
        let mut scorer = Table { items: world.items, scores: vec![("x".into(), world.scores.clone())] };
        let dataset = world.dataset();
        let rules = Rules { eval: &config, max_seq_len: MAX_SEQ_LEN, named: None, choice: Some(&choice) };
        let mut found = evaluate_under(&mut scorer, &dataset, Part::Test, &rules, &mut |_| {}).unwrap();
        found.protocol.chosen = None;
        prop_assert_eq!(found, world.evaluate(Part::Test, &config));
    }

    #[test]
    fn the_tile_size_changes_no_bit(world in world(), config in rules()) {
        // 0 MiB hold one target.
        let one = world.evaluate(Part::Test, &EvalConfig { tile_mib: 0, ..config.clone() });
        prop_assert_eq!(one, world.evaluate(Part::Test, &config));
    }

    #[test]
    fn the_order_of_users_changes_no_figure(world in world(), config in rules()) {
        let mut turned = world.clone();
        turned.users.reverse();
        turned.scores.reverse();
        prop_assert!(close(&world.evaluate(Part::Test, &config), &turned.evaluate(Part::Test, &config)));
    }

    #[test]
    fn the_numbering_of_items_changes_no_rank(
        (world, order) in world().prop_flat_map(|w| {
            let order: Vec<u32> = (1..=w.items as u32).collect();
            (Just(w), Just(order).prop_shuffle())
        }),
        // Two rules for ties go by the number itself.
        config in rules().prop_filter("a number's rule", |c| {
            !matches!(c.ties, TieRule::Ascending | TieRule::Descending)
        }),
    ) {
        let mut renumbered = world.clone();
        let new = |item: u32| order[item as usize - 1];
        renumbered.users.iter_mut().flatten().for_each(|item| *item = new(*item));
        for (row, before) in renumbered.scores.iter_mut().zip(&world.scores) {
            (1..=world.items).for_each(|i| row[new(i as u32) as usize] = before[i]);
        }
        let ranks = |w: &World| -> Vec<f64> {
            w.evaluate(Part::Test, &config).scored[0].rows.iter().map(|r| r.rank).collect()
        };
        prop_assert_eq!(ranks(&world), ranks(&renumbered));
    }

    #[test]
    fn rows_come_back_as_they_were_written(world in world(), config in rules()) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rows.parquet");
        let evaluation = world.evaluate(Part::Test, &config);
        rows::write(&path, &evaluation).unwrap();
        let stored = rows::read(&path).unwrap();
        prop_assert_eq!((&stored.part, &stored.protocol), (&evaluation.part, &evaluation.protocol));
        let written: Vec<(String, Vec<Row>)> =
            evaluation.scored.into_iter().map(|s| (s.name, s.rows)).collect();
        prop_assert_eq!(stored.scored, written);
    }
}

fn small() -> Evaluation {
    let world = World {
        items: 5,
        users: vec![vec![1, 2, 3, 4], vec![5, 1, 2, 5]],
        scores: vec![vec![0.0, 9.0, 1.0, 1.0, 2.0, 2.0], vec![0.0, 1.0, 3.0, 2.0, f32::NAN, 5.0]],
    };
    world.evaluate(Part::Test, &config(TieRule::Mid, HistoryRule::All))
}

#[test]
fn rows_tell_rank_candidates_age_and_misses() {
    let evaluation = small();
    let rows = &evaluation.scored[0].rows;
    // Items 4 and 5 are left to the first user, with equal scores; item 4 is in nobody's training part.
    let first = Row {
        user: 0,
        item: 4,
        rank: 1.5,
        rank_optimistic: 1.0,
        rank_pessimistic: 2.0,
        candidates: 2,
        history: 3,
        ..Row::default()
    };
    assert_eq!(rows[0], first);
    assert!(rows[1].missed && rows[1].rank.is_infinite());
    assert_eq!(rows[1].candidates, 2);
    assert_eq!((rows[1].item_count, rows[1].item_age), (1, Some(3)));
    assert_eq!((evaluation.protocol.masked_targets, evaluation.scored[0].nan_targets), (1, 1));
}

#[test]
fn a_damaged_rows_file_is_an_error_and_never_a_panic() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("rows.parquet");
    rows::write(&path, &small()).unwrap();
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(rows::read(&path).is_err(), "cut after {end} bytes");
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= [0x01, 0x80, 0xff][place % 3];
        fs::write(&path, &bytes).unwrap();
        // A flipped value may still be a value; all that counts is that reading ends.
        let _ = rows::read(&path);
    }
}

#[test]
fn a_scorer_of_another_catalogue_or_shape_is_refused() {
    let data = dataset(3, &leave_one_out(&[&[1, 2, 3]]));
    let judge = |items: usize, width: usize| {
        let mut scorer = Table { items, scores: vec![("x".into(), vec![vec![0.0; width]])] };
        evaluate(&mut scorer, &data, Part::Test, &EvalConfig::default(), 2, &mut |_| {})
    };
    assert!(matches!(judge(4, 5), Err(ScoreError::Catalogue { scorer: 4, dataset: 3 })));
    assert!(matches!(judge(3, 3), Err(ScoreError::Shape { found: 3, expected: 4, .. })));
    assert!(judge(3, 4).is_ok());
    let nobody = dataset(3, &[vec![(1, Part::Train)]]);
    let mut scorer = Table { items: 3, scores: vec![("x".into(), vec![vec![0.0; 4]])] };
    let none = evaluate(&mut scorer, &nobody, Part::Test, &EvalConfig::default(), 2, &mut |_| {});
    assert!(matches!(none, Err(ScoreError::NoTargets("test"))));
}

#[test]
fn a_report_reads_the_same_from_json_and_as_a_table() {
    let mut evaluation = small();
    evaluation.scored[0].rows.clear();
    let report = Report {
        schema: SCHEMA,
        evaluations: vec![evaluation],
        dataset: "hash".into(),
        seed: 1,
        time_order: None,
        global_time: None,
        cold: None,
        accepted: Vec::new(),
        note: None,
    };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let protocol = "test: 2 targets, full ranking over 5 items, history all, ties mid, protocol leave_one_out, \
                    1 targets stand in their own history and count as misses, x has NaN scores for 1 targets";
    let ten = "              recall@10      ndcg@10       mrr@10  coverage@10\n\
         x                0.5000       0.3782       0.3333       0.6000\n";
    assert_eq!(report.table_at(&[10]), format!("{protocol}\n{ten}"));
    // The configuration asks for 1, 3 and 10.
    let one = "               recall@1       ndcg@1        mrr@1   coverage@1\n\
         x                0.0000       0.0000       0.0000       0.4000\n";
    let three = "               recall@3       ndcg@3        mrr@3   coverage@3\n\
         x                0.5000       0.3782       0.3333       0.6000\n";
    assert_eq!(report.table(), format!("{protocol}\n{one}{three}{ten}"));
    // The usual list is long: 10 stands for it.
    let mut usual = report.clone();
    usual.evaluations[0].protocol.ks = EvalConfig::default().ks;
    assert_eq!(usual.table(), report.table_at(&[10]));
    let markdown = report.markdown_at(&[10]);
    assert!(markdown.contains("| x | 0.5000 | 0.3782 | 0.3333 | 0.6000 |"), "{markdown}");
    assert!(
        markdown.contains("| 1-4 | 1 | 0.0000 |") && markdown.contains("| 3-4 | 2 | 0.3782 |"),
        "{markdown}"
    );
}

/// The authors' own evaluation of six users under three branches and their mean (fixtures' `eval.*`).
#[test]
fn ranks_of_the_authors_evaluation_users() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/odmt_parity_extra.safetensors");
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let longs = |name: &str| -> Vec<i64> {
        let data = file.tensor(&format!("eval.{name}")).unwrap().data();
        data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let floats = |name: String| -> Vec<f32> {
        let data = file.tensor(&format!("eval.{name}")).unwrap().data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (history, target) = (longs("history"), longs("target"));
    let users: Vec<Vec<(u32, Part)>> = history
        .chunks_exact(5)
        .zip(&target)
        .map(|(history, &target)| {
            let seen = history.iter().filter(|&&i| i > 0).map(|&i| (i as u32, Part::Train));
            seen.chain([(target as u32, Part::Test)]).collect()
        })
        .collect();
    let data = dataset(40, &users);
    let names = ["id", "t", "v", "fused"];
    let scores = names.map(|name| {
        let rows = floats(format!("scores_{name}")).chunks_exact(41).map(<[f32]>::to_vec).collect();
        (name.to_owned(), rows)
    });
    let mut scorer = Table { items: 40, scores: scores.to_vec() };
    let found = evaluate(&mut scorer, &data, Part::Test, &EvalConfig::default(), 5, &mut |_| {}).unwrap();
    assert_eq!(found.protocol.masked_targets, 1);
    for (name, scored) in names.iter().zip(&found.scored) {
        for (u, row) in scored.rows.iter().enumerate() {
            if row.missed {
                // The target of the first user is in its own history; its place depends on their sort.
                assert!(u == 0);
            } else {
                assert_eq!(row.rank, longs(&format!("rank_{name}"))[u] as f64, "user {u}, {name}");
            }
        }
        for metric in ["hit10", "ndcg10"] {
            let theirs = floats(format!("{metric}_{name}")).iter().map(|&v| f64::from(v)).sum::<f64>() / 6.0;
            let ours = scored.metrics[if metric == "hit10" { "recall@10" } else { "ndcg@10" }];
            assert!((theirs - ours).abs() < 1e-6, "{metric}, {name}: {ours}, theirs {theirs}");
        }
    }
}
