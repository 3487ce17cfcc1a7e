//! Judges a trained model: its own figures beside those of baselines and, on planted data, of the oracle. What it keeps of them
//! where items lack a view is in [`missing`].

pub mod missing;

use crate::artefact::write_json;
use crate::config::{ColdId, TrainParts};
use crate::data::{Choice, Dataset, Part, Target};
use crate::embed::{ColdRule, EmbedError, encode};
use crate::eval::baseline::{
    ContentKnn, ContentView, ItemKnn, KNOWS_VALIDATION, Known, Popularity, RecentPopularity, Terms,
    Transitions,
};
use crate::eval::cold::{Counted, OwnKind};
use crate::eval::content::ContentNearest;
use crate::eval::kept::keep;
use crate::eval::report::{ORACLE, SCHEMA};
use crate::eval::{
    ColdReport, Evaluation, GlobalTime, Report, RowsError, ScoreError, Scorer, TimeOrder, chosen_counts,
};
use crate::recommend::{Calibration, Mixed, MixedScorer};
use crate::synth::{SynthError, Truth};
use crate::systems::{AnyFitted, AnySystem, CoDistill, Fitted};
use crate::train::Setup;
use crate::train::run_dir::RunDir;
use crate::train::setup::content_stores;

/// Baselines that read no content, in the order of a report.
const COUNTERS: [&str; 4] = ["popularity", "recent-popularity", "transitions", "item-knn"];
/// Those of which a report of the test part has a second row that knows the validation items.
const KNOWING: [&str; 2] = ["transitions", "item-knn"];
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
    #[error("`{name}` judges the last item of every user, and this data set is split in time")]
    OtherSplit { name: &'static str },
    #[error("`{name}` knows no more than the row without it where {reason}")]
    KnowsNothingMore { name: String, reason: &'static str },
    #[error("the model was trained on the {} items too (data.train_parts = \"{}\"), and figures on them say nothing", items(*part), parts.word())]
    TrainedOn { part: Part, parts: TrainParts },
    #[error("the system `{kind}` has no ID vectors that anything could stand in for")]
    NoVectors { kind: String },
    #[error("{reason}")]
    Missing { reason: String, remedy: String },
}

impl JudgeError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Score(e) => e.hint(),
            Self::Rows(e) => e.hint(),
            Self::Synth(e) => e.hint(),
            Self::Embed(e) => e.hint(),
            Self::UnknownBaseline { known, .. } => Some(format!("use {known} or none")),
            Self::OtherSplit { .. } => {
                Some("prepare it with --split leave_one_out, or judge by --history and --ties".into())
            }
            Self::KnowsNothingMore { .. } => Some("leave the row out, or judge the test part of a run that did not train on the validation items".into()),
            Self::TrainedOn { part: Part::Valid, parts: TrainParts::TrainValid } => {
                Some("judge the test part, or the run that it was refit from".into())
            }
            Self::TrainedOn { .. } => {
                Some("judge the run that it was refit from, or a refit on train+valid on the test part".into())
            }
            Self::NoVectors { .. } => Some("leave out data.cold and the options for cold items".into()),
            Self::Missing { remedy, .. } => Some(remedy.clone()),
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
    /// `popularity`, `recent-popularity`, `transitions`, `item-knn`, `VIEW-knn` (by the features of one view) and `content-knn`
    /// (by those of all views together). They count the training part, as the model does; on the test part a name may end in
    /// [`KNOWS_VALIDATION`]: such a row counts the validation items as well and is no baseline to beat. Empty: all that take
    /// little time but `content-knn`, which can be below a single view, with `transitions` and `item-knn` knowing validation
    /// beside them, and, where training knows what came after the targets, those under a split in time. `["none"]`: no baseline
    /// at all.
    pub baselines: &'a [String],
    pub cold: Option<Cold>,
    /// The only candidates, where not all items are.
    pub choice: Option<&'a Choice>,
}

/// Figures of the model, the baselines and, on planted data, the oracle. Nothing is written.
///
/// This is for questions of one's own: a part, baselines, candidates. [`final_report`] asks what every finished training is
/// asked. Cut-offs, history rule and ties are those of the run's configuration (`eval`), or of the
/// [`Protocol`](crate::run::Protocol) that it was opened with, which may be one of other programs by name.
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
/// A scorer failed, a baseline is unknown or knows nothing more, a named protocol does not fit the data set's split, the part
/// has no targets among the candidates or was trained on, or cold items are asked for of a system without ID vectors.
pub fn judge(model: &dyn AnyFitted, judging: &Judging<'_>) -> Result<Report, JudgeError> {
    let setup = model.setup();
    let Judging { part, baselines, choice, .. } = *judging;
    check_part(setup, part)?;
    check_split(setup)?;
    let (own, cold) = match judging.cold {
        None => (model.evaluate(part, choice)?, None),
        Some(cold) => {
            let fitted = vectors(model)?;
            let rule = ColdRule::fit(fitted.system.as_ref(), &fitted.model, cold.rule, cold.min_events)?;
            let (all, report) = judge_cold(fitted, part, &rule, cold.calibration, choice)?;
            (all, Some(report))
        }
    };
    let mut evaluations = vec![own];
    for scorer in &mut chosen_baselines(model, part, baselines)? {
        evaluations.push(setup.evaluate(scorer.as_mut(), part, choice)?);
    }
    if let Some(truth) = planted_truth(setup)? {
        let mut oracle = Oracle { truth, setup };
        evaluations.push(setup.evaluate(&mut oracle, part, choice)?);
    }
    let time_order = TimeOrder::measure(&setup.dataset, part);
    let knows_future = time_order.is_some_and(|order| order.later_training > 0.0);
    // Who names the baselines gets these and no others, and a protocol by name is none of a split in time.
    let global_time = if baselines.is_empty() && knows_future && setup.protocol.is_none() {
        GlobalTime::evaluate(&setup.dataset, part, &setup.rules(choice))?
    } else {
        None
    };
    let (dataset, seed) = (setup.dataset.hash.clone(), setup.config.seed);
    let (accepted, note) = (setup.accepted.clone(), note(setup));
    Ok(Report { schema: SCHEMA, evaluations, dataset, seed, time_order, global_time, cold, accepted, note })
}

/// What a reader of a model's figures has to know first.
fn note(setup: &Setup) -> Option<String> {
    setup.config.data.train_parts.note().map(str::to_owned)
}

/// The report of a model that was trained on all targets: no figures, and why.
fn without_figures(setup: &Setup) -> Report {
    Report {
        schema: SCHEMA,
        evaluations: Vec::new(),
        dataset: setup.dataset.hash.clone(),
        seed: setup.config.seed,
        time_order: None,
        global_time: None,
        cold: None,
        accepted: setup.accepted.clone(),
        note: note(setup),
    }
}

/// The targets of a part, in words.
fn items(part: Part) -> &'static str {
    if part == Part::Valid { "validation" } else { "test" }
}

/// Fails where the targets of `part` were trained on: figures on them would say how well they were learned by heart.
fn check_part(setup: &Setup, part: Part) -> Result<(), JudgeError> {
    let parts = setup.config.data.train_parts;
    let is_left = if part == Part::Valid { parts.validates() } else { parts.tests() };
    if is_left { Ok(()) } else { Err(JudgeError::TrainedOn { part, parts }) }
}

/// Fails where a named protocol does not fit the data set's split.
fn check_split(setup: &Setup) -> Result<(), JudgeError> {
    match setup.protocol {
        Some(named) if setup.dataset.is_split_in_time() => Err(JudgeError::OtherSplit { name: named.name }),
        _ => Ok(()),
    }
}

/// Figures on `part` ([`Part::Valid`] or [`Part::Test`]) as a training reports them at its end: beside all affordable
/// baselines, among all items, and with cold items apart where `data.cold` holds some out. Where `run` is given, they are
/// kept there with their rows, in place of earlier ones ([`keep`]). Of a model that was trained on the targets of `part` too
/// there are no figures, and the report says why.
///
/// # Errors
/// As [`judge`]; a file can't be written.
pub fn final_report(model: &dyn AnyFitted, part: Part, run: Option<&RunDir>) -> Result<Report, JudgeError> {
    if check_part(model.setup(), part).is_err() {
        let report = without_figures(model.setup());
        if let Some(run) = run {
            write_json(&run.report(), &report).map_err(RowsError::from)?;
        }
        return Ok(report);
    }
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
    part: Part,
    names: &[String],
) -> Result<Vec<Box<dyn Scorer + 'a>>, JudgeError> {
    let content = content(model);
    let setup = model.setup();
    let unasked = if names.is_empty() { unasked(setup, part, &content) } else { Vec::new() };
    let own = setup.protocol.map(|named| named.terms()).unwrap_or_default();
    let validates = setup.config.data.train_parts.validates();
    let mut chosen = Vec::new();
    for name in names.iter().filter(|name| *name != "none").chain(&unasked) {
        let plain = name.strip_suffix(KNOWS_VALIDATION);
        if plain.is_some() && (part == Part::Valid || !validates) {
            let reason = if part == Part::Valid {
                "validation targets are judged"
            } else {
                "the model was trained on the validation items"
            };
            return Err(JudgeError::KnowsNothingMore { name: name.clone(), reason });
        }
        let terms = if plain.is_some() { own.knowing_validation() } else { own };
        let found = baseline(&setup.dataset, plain.unwrap_or(name), &content, terms);
        chosen.push(found.ok_or_else(|| unknown_baseline(name, &content))?);
    }
    Ok(chosen)
}

/// Names of the baselines of a report that asks for none: what counts, each view as far as its neighbours take some seconds
/// together, and on the test part the rows that know more.
fn unasked(setup: &Setup, part: Part, content: &[ContentView]) -> Vec<String> {
    let mut names: Vec<String> = COUNTERS.map(str::to_owned).into();
    let mut work = 0.0;
    for view in content {
        let name = format!("{}-knn", view.name);
        work += ContentKnn::new(&setup.dataset, &name, vec![view.clone()], Terms::default()).work();
        // A view may be called `item`.
        if work <= UNASKED_WORK && !names.contains(&name) {
            names.push(name);
        }
    }
    // Counters know what the model was trained on.
    if part == Part::Test && setup.config.data.train_parts.validates() {
        // Where a protocol's own counters know the validation items, all of them have such a row.
        let all = setup.protocol.is_some_and(|named| named.known == Known::Preceding);
        let knowing = if all { &COUNTERS[..] } else { &KNOWING[..] };
        names.extend(knowing.iter().map(|name| format!("{name}{KNOWS_VALIDATION}")));
    }
    names
}

/// The baseline `name` under these terms; absent if there is none.
fn baseline<'a>(
    dataset: &'a Dataset,
    name: &str,
    content: &[ContentView],
    terms: Terms,
) -> Option<Box<dyn Scorer + 'a>> {
    let view = name.strip_suffix("-knn").and_then(|view| content.iter().find(|v| v.name == view));
    Some(match (name, view) {
        ("popularity", _) => Box::new(Popularity::new(dataset, terms)),
        ("recent-popularity", _) => Box::new(RecentPopularity::new(dataset, terms)),
        ("transitions", _) => Box::new(Transitions::new(dataset, terms)),
        ("item-knn", _) => Box::new(ItemKnn::new(dataset, terms)),
        (CONTENT_KNN, _) if !content.is_empty() => {
            Box::new(ContentKnn::new(dataset, CONTENT_KNN, content.to_vec(), terms))
        }
        (_, Some(view)) => Box::new(ContentKnn::new(dataset, name, vec![view.clone()], terms)),
        _ => return None,
    })
}

fn unknown_baseline(name: &str, content: &[ContentView]) -> JudgeError {
    let views: String = content.iter().map(|v| format!(", {}-knn", v.name)).collect();
    let all = if views.is_empty() { views } else { format!("{views}, {CONTENT_KNN}") };
    let known = format!("{}{all} (each also with `{KNOWS_VALIDATION}` behind it)", COUNTERS.join(", "));
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
    rule: &ColdRule,
    calibration: Calibration,
    choice: Option<&Choice>,
) -> Result<(Evaluation, ColdReport), JudgeError> {
    let (system, model) = (fitted.system.as_ref(), &fitted.model);
    let setup = &system.setup;
    let (vectors, encoded) = encode::catalogue(system, model, rule);
    let trained = system.window_counts();
    let flags = trained[1..].iter().map(|&n| n > 0).collect();
    let mixed = Mixed::from_vectors(vectors, flags, encoded.live, vec![true; trained.len() - 1]);
    let (dataset, s) = (Some(&setup.dataset), setup.config.data.max_seq_len);
    let memory = system.memory();
    let mut scorer = MixedScorer::new(model, &mixed, memory, dataset, s, calibration, &setup.device);
    let word = rule.kind.word();
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
