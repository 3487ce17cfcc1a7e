//! Prints the lists of the baselines under a named protocol and what we make of them, so that other programs' metrics can be
//! held against ours: `tests/protocols.py`.
//!
//! `lists DATA PROTOCOL`: a line of JSON for each baseline, `{"baseline", "metrics", "users"}`. Each user has its target and
//! the items of its list with their scores, best first, equal ones by item number: 20 items and all that equal the last
//! of them. Two more rows are made for the purpose: one whose scores have few values, and one without lists for some users.

use std::io::Write;

use codistill::config::{EvalConfig, HistoryRule};
use codistill::data::{Dataset, Part, Target};
use codistill::eval::baseline::{ItemKnn, Popularity, Terms, Transitions};
use codistill::eval::{Named, Rules, ScoreError, Scorer, evaluate_under};
use serde_json::json;

const KS: [usize; 4] = [1, 5, 10, 20];
/// One user in so many has no list.
const SILENT: u32 = 7;

/// Another baseline under another name, its scores changed.
struct Changed<'a> {
    inner: Box<dyn Scorer + 'a>,
    name: &'static str,
    /// From a user and a score.
    change: fn(u32, f32) -> f32,
}

impl Scorer for Changed<'_> {
    fn names(&self) -> Vec<String> {
        vec![self.name.to_owned()]
    }

    fn items(&self) -> usize {
        self.inner.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        self.inner.score(targets, out)?;
        let width = self.items() + 1;
        for (target, row) in targets.iter().zip(out[0].chunks_exact_mut(width)) {
            row.iter_mut().for_each(|score| *score = (self.change)(target.user, *score));
        }
        Ok(())
    }
}

fn scorers(dataset: &Dataset, terms: Terms) -> Vec<Box<dyn Scorer + '_>> {
    let silent = |user: u32, score: f32| if user.is_multiple_of(SILENT) { f32::NEG_INFINITY } else { score };
    vec![
        Box::new(Popularity::new(dataset, terms)),
        Box::new(Transitions::new(dataset, terms)),
        Box::new(ItemKnn::new(dataset, terms)),
        Box::new(Changed {
            inner: Box::new(Popularity::new(dataset, terms)),
            name: "popularity in tens",
            change: |_, score| (score / 10.0).floor(),
        }),
        Box::new(Changed {
            inner: Box::new(ItemKnn::new(dataset, terms)),
            name: "item-knn, not for all",
            change: silent,
        }),
    ]
}

/// The items of a list with their scores; `scores` has an entry for padding first.
fn list(scores: &[f32], removed: &[u32]) -> Vec<(usize, f32)> {
    let is_candidate = |&(item, score): &(usize, f32)| score.is_finite() && !removed.contains(&(item as u32));
    let all = scores.iter().copied().enumerate().skip(1);
    let mut all: Vec<(usize, f32)> = all.filter(is_candidate).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let last = all.get(KS[3] - 1).map(|&(_, score)| score);
    all.retain(|&(_, score)| last.is_none_or(|last| score >= last));
    all
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(data), Some(name)) = (args.next(), args.next()) else {
        return Err("usage: lists DATA PROTOCOL".into());
    };
    let named: Named = name.parse()?;
    let dataset = Dataset::open(data.as_ref())?;
    let eval =
        EvalConfig { ks: KS.into(), history: named.history, ties: named.ties, ..EvalConfig::default() };
    let rules = Rules { eval: &eval, max_seq_len: 50, named: Some(&named), choice: None };
    let mut out = std::io::stdout().lock();
    for scorer in &mut scorers(&dataset, named.terms()) {
        let found = evaluate_under(scorer.as_mut(), &dataset, Part::Test, &rules, &mut |_| {})?;
        let mut users = Vec::new();
        for target in dataset.targets(Part::Test) {
            let mut scores = vec![Vec::new()];
            scorer.score(&[target], &mut scores)?;
            let history = dataset.history(&target);
            let removed = if named.history == HistoryRule::Keep { &[] } else { history };
            let list = list(&scores[0], removed);
            users.push(json!({"user": target.user, "target": target.item.0, "list": list}));
        }
        let scored = &found.scored[0];
        let line = json!({"baseline": scored.name, "metrics": scored.metrics, "users": users});
        writeln!(out, "{line}")?;
    }
    Ok(())
}
