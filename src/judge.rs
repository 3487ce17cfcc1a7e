//! Judges a trained model: its own figures beside those of baselines and, on planted data, of the oracle.

use crate::config::ColdId;
use crate::data::{Choice, Part, Target};
use crate::embed::{ColdRule, EmbedError, encode};
use crate::eval::baseline::{ContentKnn, ContentView, ItemKnn, Popularity, RecentPopularity, Transitions};
use crate::eval::cold::{Counted, OwnKind};
use crate::eval::content::ContentNearest;
use crate::eval::kept::keep;
use crate::eval::report::ORACLE;
use crate::eval::{
    ColdReport, Evaluation, GlobalTime, Report, RowsError, ScoreError, Scorer, TimeOrder, chosen_counts,
};
use crate::recommend::{Calibration, Mixed, MixedScorer};
use crate::synth::{SynthError, Truth};
use crate::systems::{AnyFitted, AnySystem, CoDistill, Fitted};
use crate::train::Setup;
use crate::train::run_dir::RunDir;
use crate::train::setup::content_stores;

/// Neighbours by the features of all views together.
const CONTENT_KNN: &str = "content-knn";
/// Multiplications up to which content neighbours are computed unasked: some seconds.
const UNASKED_WORK: f64 = 2e11;

/// Why a model can't be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Synth(#[from] SynthError),
    #[error(transparent)]
    Embed(#[from] EmbedError),
    #[error("there is no baseline `{name}` here")]
    UnknownBaseline { name: String, known: String },
    #[error("the system `{kind}` has no ID vectors that anything could stand in for")]
    NoVectors { kind: String },
}

impl JudgeError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Score(e) => e.hint(),
            Self::Rows(e) => e.hint(),
            Self::Synth(e) => e.hint(),
            Self::Embed(e) => e.hint(),
            Self::UnknownBaseline { known, .. } => Some(format!("use {known} or none")),
            Self::NoVectors { .. } => Some("leave out data.cold and the options for cold items".into()),
        }
    }
}

/// How items that no training has seen are judged.
#[derive(Clone, Copy, Debug)]
pub struct Cold {
    /// What stands in for their ID vectors.
    pub rule: ColdId,
    /// Fewest training events of an item that the rule is fitted on.
    pub min_events: u32,
    pub calibration: Calibration,
}

/// What is judged, and beside what.
#[derive(Clone, Copy, Debug)]
pub struct Judging<'a> {
    /// [`Part::Valid`] or [`Part::Test`]: the others have no targets.
    pub part: Part,
    /// `popularity`, `recent-popularity`, `transitions`, `item-knn`, `content-knn` (by the features of all views) and
    /// `VIEW-knn` (by those of one). Empty: all that take little time, and, where training knows what came after the targets,
    /// those under a split in time. `["none"]`: no baseline at all.
    pub baselines: &'a [String],
    pub cold: Option<Cold>,
    /// The only candidates, where not all items are.
    pub choice: Option<&'a Choice>,
}

/// Figures of the model, the baselines and, on planted data, the oracle. Nothing is written.
///
/// This is for questions of one's own: a part, baselines, candidates. [`final_report`] asks what every finished training is
/// asked. Cut-offs, history rule and ties are those of the run's configuration (`eval`), or of the
/// [`Protocol`](crate::run::Protocol) that it was opened with.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use codistill::data::Part;
/// use codistill::judge::{Judging, judge};
/// use codistill::run::{OpenOptions, Protocol, Run};
///
/// # let home = tempfile::tempdir()?;
/// # let text = std::fs::read_to_string("configs/quickstart.toml")?;
/// # let sets = [format!("run.dir={}", home.path().display()), "device=cpu".into(), "data.synth.users=120".into(),
/// #     "data.synth.items=80".into(), "model.width=8".into(), "train.epochs=1".into()];
/// # let config = codistill::config::parse(&text, "quickstart.toml".as_ref(), &sets)?.config;
/// # let run_dir = codistill::run::train(config, &false.into())?.dir.root;
/// let protocol = Protocol { ks: vec![5, 20], ..Protocol::default() };
/// let run = Run::open(&run_dir, &OpenOptions { protocol, device: "cpu".into(), ..OpenOptions::default() })?;
/// let baselines = ["popularity".to_owned(), "text-knn".to_owned()];
/// let judging = Judging { part: Part::Valid, baselines: &baselines, cold: None, choice: None };
/// let report = judge(run.model.as_ref(), &judging)?;
/// assert!(report.model().metrics()["ensemble/recall@20"] > 0.0);
/// print!("{}", report.table());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A scorer failed, a baseline is unknown, the part has no targets among the candidates, or cold items are asked for of a
/// system without ID vectors.
pub fn judge(model: &dyn AnyFitted, judging: &Judging<'_>) -> Result<Report, JudgeError> {
    let setup = model.setup();
    let Judging { part, baselines, choice, .. } = *judging;
    let (own, cold) = match judging.cold {
        None => (model.evaluate(part, choice)?, None),
        Some(cold) => {
            let (all, report) = judge_cold(vectors(model)?, part, cold, choice)?;
            (all, Some(report))
        }
    };
    let mut evaluations = vec![own];
    for scorer in &mut chosen_baselines(model, baselines)? {
        evaluations.push(setup.evaluate(scorer.as_mut(), part, choice)?);
    }
    if let Some(truth) = planted_truth(setup)? {
        let mut oracle = Oracle { truth, setup };
        evaluations.push(setup.evaluate(&mut oracle, part, choice)?);
    }
    let time_order = TimeOrder::measure(&setup.dataset, part);
    let knows_future = time_order.is_some_and(|order| order.later_training > 0.0);
    // Who names the baselines gets these and no others.
    let global_time = if baselines.is_empty() && knows_future {
        let (eval, s) = (&setup.config.eval, setup.config.data.max_seq_len);
        GlobalTime::evaluate(&setup.dataset, part, eval, s, choice)?
    } else {
        None
    };
    let (dataset, seed) = (setup.dataset.hash.clone(), setup.config.seed);
    let accepted = setup.accepted.clone();
    Ok(Report { evaluations, dataset, seed, time_order, global_time, cold, accepted })
}

/// Figures on `part` ([`Part::Valid`] or [`Part::Test`]) as a training reports them at its end: beside all affordable
/// baselines, among all items, and with cold items apart where `data.cold` holds some out. Where `run` is given, they are
/// kept there with their rows, in place of earlier ones ([`keep`]).
///
/// # Errors
/// As [`judge`]; a file can't be written.
pub fn final_report(model: &dyn AnyFitted, part: Part, run: Option<&RunDir>) -> Result<Report, JudgeError> {
    let config = model.setup().config.data.cold.as_ref();
    let cold = config.map(|cold| Cold {
        rule: cold.rule,
        min_events: cold.min_events,
        calibration: Calibration::default(),
    });
    let mut report = judge(model, &Judging { part, baselines: &[], cold, choice: None })?;
    if let Some(run) = run {
        keep(&mut report, &run.rows(part.name()), &run.report())?;
    }
    Ok(report)
}

/// Fails where the final report of a training would fail: better before it than after.
///
/// # Errors
/// Items are held out, and nothing can stand in for their ID vectors.
pub fn check(system: &dyn AnySystem) -> Result<(), JudgeError> {
    let config = &system.setup().config;
    let Some(cold) = &config.data.cold else { return Ok(()) };
    let Some(own) = system.as_any().downcast_ref::<CoDistill>() else {
        return Err(JudgeError::NoVectors { kind: config.system.kind.clone() });
    };
    Ok(ColdRule::check(own, cold.rule)?)
}

fn vectors(model: &dyn AnyFitted) -> Result<&Fitted<CoDistill>, JudgeError> {
    model
        .as_any()
        .downcast_ref()
        .ok_or_else(|| JudgeError::NoVectors { kind: model.setup().config.system.kind.clone() })
}

/// Baselines by their names; all affordable ones where none is named.
fn chosen_baselines<'a>(
    model: &'a dyn AnyFitted,
    names: &[String],
) -> Result<Vec<Box<dyn Scorer + 'a>>, JudgeError> {
    let dataset = &model.setup().dataset;
    let content = content(model);
    let mut chosen: Vec<Box<dyn Scorer + 'a>> = Vec::new();
    if names.is_empty() {
        chosen.push(Box::new(Popularity::new(dataset)));
        chosen.push(Box::new(RecentPopularity::new(dataset)));
        chosen.push(Box::new(Transitions::new(dataset)));
        chosen.push(Box::new(ItemKnn::new(dataset)));
        let knn = ContentKnn::new(dataset, CONTENT_KNN, content);
        if knn.work() > 0.0 && knn.work() <= UNASKED_WORK {
            chosen.push(Box::new(knn));
        }
        return Ok(chosen);
    }
    for name in names {
        let view = name.strip_suffix("-knn").and_then(|view| content.iter().find(|v| v.name == view));
        chosen.push(match (name.as_str(), view) {
            ("none", _) => continue,
            ("popularity", _) => Box::new(Popularity::new(dataset)),
            ("recent-popularity", _) => Box::new(RecentPopularity::new(dataset)),
            ("transitions", _) => Box::new(Transitions::new(dataset)),
            ("item-knn", _) => Box::new(ItemKnn::new(dataset)),
            (CONTENT_KNN, _) if !content.is_empty() => {
                Box::new(ContentKnn::new(dataset, CONTENT_KNN, content.clone()))
            }
            (_, Some(view)) => Box::new(ContentKnn::new(dataset, name, vec![view.clone()])),
            _ => return Err(unknown_baseline(name, &content)),
        });
    }
    Ok(chosen)
}

fn unknown_baseline(name: &str, content: &[ContentView]) -> JudgeError {
    let views: String = content.iter().map(|v| format!(", {}-knn", v.name)).collect();
    let all = if views.is_empty() { views } else { format!(", {CONTENT_KNN}{views}") };
    let known = format!("popularity, recent-popularity, transitions, item-knn{all}");
    JudgeError::UnknownBaseline { name: name.to_owned(), known }
}

/// Content features of the items: those that the model reads; of a model without any, whatever stores of these items lie
/// beside the data set.
fn content(model: &dyn AnyFitted) -> Vec<ContentView> {
    let features = model.features();
    if features.is_empty() {
        let stores = content_stores(model.setup());
        return stores.into_iter().map(|(name, store)| ContentView { name, store }).collect();
    }
    let views = features.into_iter();
    views.map(|(view, store)| ContentView { name: view.to_owned(), store: store.clone() }).collect()
}

/// The model's evaluation where items without training are scored as new ones, and what became of them.
fn judge_cold(
    fitted: &Fitted<CoDistill>,
    part: Part,
    cold: Cold,
    choice: Option<&Choice>,
) -> Result<(Evaluation, ColdReport), JudgeError> {
    let (system, model) = (fitted.system.as_ref(), &fitted.model);
    let setup = &system.setup;
    let rule = ColdRule::fit(system, model, cold.rule, cold.min_events)?;
    let (vectors, encoded) = encode::catalogue(system, model, &rule);
    let trained = system.window_counts();
    let flags = trained[1..].iter().map(|&n| n > 0).collect();
    let mixed = Mixed::from_vectors(vectors, flags, encoded.live, vec![true; trained.len() - 1]);
    let (dataset, s) = (Some(&setup.dataset), setup.config.data.max_seq_len);
    let mut scorer = MixedScorer::new(model, &mixed, dataset, s, cold.calibration, &setup.device);
    let word = cold.rule.word();
    let (all, mut report) = warm_and_cold(system, &mut scorer, part, word, choice)?;
    let stores: Vec<_> = system.views.iter().flatten().map(|view| view.store.as_ref()).collect();
    let mut nearest = ContentNearest::new(&setup.dataset, &stores);
    report.scored.extend(warm_and_cold(system, &mut nearest, part, word, choice)?.1.scored);
    Ok((all, report))
}

/// A scorer's evaluation among all candidates, and of cold and warm targets apart.
fn warm_and_cold(
    system: &CoDistill,
    scorer: &mut dyn Scorer,
    part: Part,
    rule: &str,
    choice: Option<&Choice>,
) -> Result<(Evaluation, ColdReport), JudgeError> {
    let (setup, trained) = (&system.setup, system.window_counts());
    let all = setup.evaluate(&mut Counted { inner: scorer, trained }, part, choice)?;
    let own = setup.evaluate(&mut OwnKind { inner: scorer, trained }, part, choice)?;
    let candidates = choice.map_or_else(|| trained.to_vec(), |choice| chosen_counts(choice, trained));
    let report = ColdReport::new(rule, &all, &own, &candidates);
    Ok((all, report))
}

/// The planted truth beside a generated data set. It knows whole histories only, so that there is none for
/// a data set with items held out.
fn planted_truth(setup: &Setup) -> Result<Option<Truth>, SynthError> {
    if setup.config.data.cold.is_some() {
        return Ok(None);
    }
    let Some(dir) = setup.config.data.path.as_ref().map(|p| p.join("truth")) else { return Ok(None) };
    if dir.exists() { Ok(Some(Truth::load(&dir)?)) } else { Ok(None) }
}

/// Ranks by the true probability: the ceiling.
struct Oracle<'a> {
    truth: Truth,
    setup: &'a Setup,
}

impl Scorer for Oracle<'_> {
    fn names(&self) -> Vec<String> {
        vec![ORACLE.into()]
    }

    fn items(&self) -> usize {
        self.truth.items()
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let width = self.items() + 1;
        out[0].resize(targets.len() * width, 0.0);
        for (target, row) in targets.iter().zip(out[0].chunks_exact_mut(width)) {
            let history = self.setup.dataset.history(target);
            self.truth
                .scores(target.user, target.position, history, row)
                .map_err(|e| ScoreError::new(e.to_string()))?;
        }
        Ok(())
    }
}
