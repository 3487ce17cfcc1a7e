//! The study file: typed, with defaults, unknown keys refused.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StudyError;
use super::cell::Cell;
use super::condition::{AGAIN, Condition, Preset, REFERENCE, Views};
use crate::artefact::{at, write_atomic};
use crate::compare::{Metric, Options};
use crate::config::{Config, load, nearest, one_line};
use crate::stats::Rule;

/// What is done with a run that a gate finds at fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// It counts as failed and has no figures.
    #[default]
    Fail,
    /// It keeps its figures, with a warning.
    Warn,
}

/// Gates that a study may relax. All others always hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateRules {
    /// Below popularity where the full model is above it.
    pub collapsed: OnFault,
    /// Best at the last evaluation before the limit of epochs: it had not reached its maximum.
    pub epoch_limit: OnFault,
}

/// A study as its file states it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Study {
    /// Name of the study's directory; empty takes the file's stem.
    pub name: String,
    /// Folder that holds it.
    pub dir: PathBuf,
    /// Configuration of the full model.
    pub base: PathBuf,
    /// Overrides of the base, as `--set` has them.
    pub set: Vec<String>,
    /// Training seeds of every condition. One gives no verdict.
    pub seeds: Vec<u64>,
    /// Seeds of the full model against itself; default: the numbers after the largest of `seeds`.
    pub again_seeds: Vec<u64>,
    pub preset: Option<Preset>,
    /// Conditions beside those of the preset.
    pub conditions: Vec<String>,
    /// Conditions of the study's own making.
    pub condition: Vec<Condition>,
    /// Also judge the full model with each view hidden at inference.
    pub quick: bool,
    /// What the verdicts are about, of the ensemble on test.
    pub metric: String,
    /// Contrasts that the study declares; default: the structural removal of each view, or all that are trained
    /// where there is none. Holm's correction counts these; all others are exploratory.
    pub contrasts: Vec<String>,
    /// What counts as equal, as a share of the full model's figure.
    pub margin: f64,
    pub confidence: f64,
    /// With which the minimum detectable effect would be found.
    pub power: f64,
    /// Bootstrap resamples and sign flips.
    pub draws: usize,
    /// Seed of shuffles and noise.
    pub replace_seed: u64,
    /// Trainings at one time.
    pub jobs: usize,
    pub gates: GateRules,
}

impl Default for Study {
    fn default() -> Self {
        Self {
            name: String::new(),
            dir: "checkpoints".into(),
            base: PathBuf::new(),
            set: Vec::new(),
            seeds: vec![1, 2, 3],
            again_seeds: Vec::new(),
            preset: None,
            conditions: Vec::new(),
            condition: Vec::new(),
            quick: false,
            metric: "ndcg@10".into(),
            contrasts: Vec::new(),
            margin: 0.02,
            confidence: 0.95,
            power: 0.8,
            draws: 10_000,
            replace_seed: 42,
            jobs: 1,
            gates: GateRules::default(),
        }
    }
}

/// A study resolved: conditions and the configuration of every cell.
pub struct Plan {
    pub study: Study,
    /// The study's directory.
    pub root: PathBuf,
    /// The full model; its data set has a path where it is generated.
    pub base: Config,
    /// The reference first.
    pub conditions: Vec<Condition>,
    /// Ids of the declared contrasts.
    pub contrasts: Vec<String>,
    /// Condition by condition, seed by seed.
    pub cells: Vec<Cell>,
    /// Conditions of the preset that this model can't have, and why.
    pub skipped: Vec<String>,
    pub options: Options,
}

impl Study {
    /// Reads a study file.
    ///
    /// # Errors
    /// It can't be read, is not TOML, has an unknown key, or a value that can't be meant.
    pub fn load(path: &Path) -> Result<Self, StudyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| StudyError::Read { path: path.to_owned(), source })?;
        let mut study: Self = toml::from_str(&text).map_err(|e| malformed(path, &text, &e))?;
        if study.name.is_empty() {
            study.name =
                path.file_stem().map_or_else(|| "study".into(), |s| s.to_string_lossy().into_owned());
        }
        study.check(path)?;
        Ok(study)
    }

    fn check(&self, path: &Path) -> Result<(), StudyError> {
        let refuse = |key: &str, reason: String, hint: &str| {
            let (key, hint) = (key.to_owned(), hint.to_owned());
            Err(StudyError::Invalid { path: path.to_owned(), key, reason, hint })
        };
        if self.base.as_os_str().is_empty() {
            return refuse(
                "base",
                "is missing".into(),
                "name the full model, e.g. base = \"configs/quickstart.toml\"",
            );
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.starts_with('.') || !self.name.chars().all(fits) {
            return refuse(
                "name",
                format!("= {:?} can't be a folder", self.name),
                "use letters, digits, `_`, `-`",
            );
        }
        if self.seeds.is_empty() {
            return refuse("seeds", "is empty".into(), "three seeds give a verdict: seeds = [1, 2, 3]");
        }
        let twice =
            |seeds: &[u64]| (1..seeds.len()).find(|&i| seeds[..i].contains(&seeds[i])).map(|i| seeds[i]);
        if let Some(seed) = twice(&self.seeds) {
            return refuse("seeds", format!("names {seed} twice"), "the same seed twice is no second sample");
        }
        if let Some(seed) = self.again_seeds.iter().find(|seed| self.seeds.contains(seed)) {
            return refuse(
                "again_seeds",
                format!("shares {seed} with seeds"),
                "choose seeds of their own, or none",
            );
        }
        if let Some(seed) = twice(&self.again_seeds) {
            return refuse("again_seeds", format!("names {seed} twice"), "choose other seeds, or none");
        }
        if self.metric.parse::<Metric>().is_err() {
            return refuse(
                "metric",
                format!("= {:?} is not a metric", self.metric),
                "use recall@K, ndcg@K or mrr@K",
            );
        }
        let inside = |key: &str, value: f64, low: f64| {
            if value > low && value < 1.0 {
                return Ok(());
            }
            refuse(key, format!("= {value} is out of range"), &format!("use a value between {low} and 1"))
        };
        inside("margin", self.margin, 0.0)?;
        inside("confidence", self.confidence, 0.5)?;
        inside("power", self.power, 0.5)?;
        if !(2..=10_000_000).contains(&self.draws) {
            return refuse("draws", format!("= {} is out of range", self.draws), "use 2 to 10000000");
        }
        if self.jobs == 0 || self.jobs > 1024 {
            return refuse(
                "jobs",
                format!("= {} is out of range", self.jobs),
                "1 trains one cell after the other",
            );
        }
        if self.replace_seed > 1 << 62 {
            return refuse(
                "replace_seed",
                format!("= {} is too large", self.replace_seed),
                "use a small number",
            );
        }
        if self.preset.is_none() && self.conditions.is_empty() && self.condition.is_empty() && !self.quick {
            return refuse(
                "preset",
                "is missing, and there are no conditions".into(),
                "add preset = \"seed\"",
            );
        }
        Ok(())
    }

    /// The full model's configuration, with the study's directory as the place of its runs.
    ///
    /// # Errors
    /// The base can't be loaded.
    pub fn base(&self) -> Result<Config, StudyError> {
        let mut base = load(&self.base, &self.set)?.config;
        base.run.dir = self.root();
        Ok(base)
    }

    /// The study's directory.
    pub fn root(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Seeds of the full model against itself.
    pub fn seeds_again(&self) -> Vec<u64> {
        if !self.again_seeds.is_empty() {
            return self.again_seeds.clone();
        }
        let last = self.seeds.iter().copied().max().unwrap_or(0);
        (1..=self.seeds.len() as u64).map(|n| last + n).collect()
    }

    fn options(&self) -> Result<Options, StudyError> {
        let rule = Rule { confidence: self.confidence, margin: self.margin, power: self.power };
        Ok(Options { metric: self.metric.parse()?, rule, draws: self.draws, ..Options::default() })
    }
}

impl Plan {
    /// Resolves a study; `base` is [`Study::base`], its data set generated where it is.
    ///
    /// # Errors
    /// A condition that was asked for is none, or makes no model.
    pub fn new(study: Study, base: Config) -> Result<Self, StudyError> {
        let views = Views::of(&base);
        let mut plan = Self {
            root: study.root(),
            options: study.options()?,
            base,
            conditions: Vec::new(),
            contrasts: Vec::new(),
            cells: Vec::new(),
            skipped: Vec::new(),
            study,
        };
        for id in plan.study.preset.map(|preset| preset.ids(&views)).unwrap_or_default() {
            match Condition::named(&id, &views).and_then(|c| c.apply(&plan.base, 0).map(|_| c)) {
                Ok(condition) => plan.add(condition),
                Err(e) => plan.skipped.push(format!("{id}: {e}")),
            }
        }
        let mut asked = vec![REFERENCE.to_owned()];
        asked.extend(plan.study.conditions.clone());
        if plan.study.quick {
            asked.extend(views.all().iter().map(|view| format!("Q-{view}")));
        }
        // An A/A row is in every study that can have a verdict.
        let trains = !plan.study.condition.is_empty()
            || plan.study.preset.is_some_and(|p| p != Preset::Quick)
            || plan.study.conditions.iter().any(|id| !id.starts_with("Q-"));
        if trains && plan.study.seeds.len() > 1 {
            asked.push(AGAIN.to_owned());
        }
        for id in asked {
            let condition = Condition::named(&id, &views)?;
            condition.apply(&plan.base, 0)?;
            plan.add(condition);
        }
        for mut own in plan.study.condition.clone() {
            plan.check_own(&mut own)?;
            own.apply(&plan.base, 0)?;
            plan.add(own);
        }
        plan.conditions.sort_by_key(|c| (!c.is_reference(), c.is_quick()));
        plan.declare(&views)?;
        plan.cells = plan.make_cells()?;
        Ok(plan)
    }

    /// Adds a condition unless it is there, by name or by what it makes of the model.
    fn add(&mut self, condition: Condition) {
        let same = |other: &Condition| {
            let (mut a, mut b) = (condition.clone(), other.clone());
            for c in [&mut a, &mut b] {
                c.id.clear();
                c.label.clear();
                c.remove.sort();
            }
            condition.id == other.id || (a == b && condition.id != AGAIN && other.id != AGAIN)
        };
        if !self.conditions.iter().any(same) {
            self.conditions.push(condition);
        }
    }

    fn check_own(&self, own: &mut Condition) -> Result<(), StudyError> {
        let refuse = |reason: &str, hint: &str| {
            Err(StudyError::Condition {
                id: own.id.clone(),
                reason: format!(": {reason}"),
                hint: hint.into(),
            })
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if own.id.is_empty() || own.id.starts_with('.') || !own.id.chars().all(fits) {
            return refuse("its id can't be a folder", "use letters, digits, `_` and `-`");
        }
        if self.conditions.iter().any(|other| other.id == own.id) {
            return refuse("the id is taken", "choose another id");
        }
        if own.label.is_empty() {
            own.label.clone_from(&own.id);
        }
        Ok(())
    }

    /// The contrasts that Holm's correction counts.
    fn declare(&mut self, views: &Views) -> Result<(), StudyError> {
        let has = |id: &str| self.conditions.iter().any(|c| c.id == id);
        if self.study.contrasts.is_empty() {
            let removals = views.all().into_iter().map(|view| format!("S-{view}"));
            self.contrasts = removals.filter(|id| has(id)).collect();
            if self.contrasts.is_empty() {
                let trained = self.conditions.iter().filter(|c| !c.is_quick());
                let ids = trained.map(|c| c.id.clone()).filter(|id| id != REFERENCE && id != AGAIN);
                self.contrasts = ids.collect();
            }
            return Ok(());
        }
        for asked in &self.study.contrasts {
            let own = self.conditions.iter().find(|c| c.id == *asked).cloned();
            let id = own.map_or_else(|| Condition::named(asked, views), Ok)?.id;
            if !has(&id) || id == REFERENCE || id == AGAIN {
                return Err(StudyError::Condition {
                    id,
                    reason: ": it is declared as a contrast, but the study does not have it".into(),
                    hint: "add it to `conditions`, or remove it from `contrasts`".into(),
                });
            }
            self.contrasts.push(id);
        }
        Ok(())
    }

    fn make_cells(&self) -> Result<Vec<Cell>, StudyError> {
        let mut cells = Vec::new();
        for condition in &self.conditions {
            let seeds =
                if condition.id == AGAIN { self.study.seeds_again() } else { self.study.seeds.clone() };
            let config = condition.apply(&self.base, self.study.replace_seed)?;
            for seed in seeds {
                cells.push(Cell::new(&self.root, condition, &config, seed)?);
            }
        }
        Ok(cells)
    }

    /// Writes down what the study declares before its first run; a warning where that was something else.
    ///
    /// # Errors
    /// It can't be written.
    pub fn declare_once(&self) -> Result<Option<String>, StudyError> {
        let study = &self.study;
        let now = serde_json::json!({
            "metric": study.metric, "contrasts": self.contrasts, "margin": study.margin,
            "confidence": study.confidence, "seeds": study.seeds,
        });
        let path = self.root.join("declared.json");
        std::fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let then: Option<serde_json::Value> =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let Some(then) = then else {
            let text = serde_json::to_string_pretty(&now).unwrap_or_default();
            write_atomic(&path, text.as_bytes())?;
            return Ok(None);
        };
        let keys = ["metric", "contrasts", "margin", "confidence", "seeds"];
        let changed = keys.into_iter().find(|key| then[key] != now[key]);
        Ok(changed.map(|key| {
            format!(
                "{key} was declared as {} before the first run and is {} now: verdicts are exploratory",
                then[key], now[key]
            )
        }))
    }

    pub fn condition(&self, id: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.id == id)
    }
}

/// The TOML reader's message with its place; a misspelt key or word gets the nearest known one.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> StudyError {
    let place = error.span().map_or_else(String::new, |span| {
        let before = &text[..span.start.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(":{line}:{column}")
    });
    let message = one_line(error.message());
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let listed = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let (reason, hint) = match quoted.split_first() {
        Some((given, known)) if listed => {
            let what = if message.starts_with("unknown field") { "unknown key" } else { "unknown word" };
            let hint = match nearest(given, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            (format!("{what} `{given}`"), Some(hint))
        }
        _ => (message.clone(), None),
    };
    StudyError::Malformed { path: path.to_owned(), place, reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Study, StudyError> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        Study::load(&path)
    }

    fn plan(text: &str) -> Plan {
        let mut study = read(&format!("base = \"configs/quickstart.toml\"\n{text}")).unwrap();
        study.base = Path::new(env!("CARGO_MANIFEST_DIR")).join(&study.base);
        let base = study.base().unwrap();
        Plan::new(study, base).unwrap()
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.conditions.iter().map(|c| c.id.as_str()).collect()
    }

    #[test]
    fn every_study_of_the_project_makes_a_plan() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut read = 0;
        for entry in std::fs::read_dir(root.join("configs/studies")).unwrap() {
            let mut study = Study::load(&entry.unwrap().path()).unwrap();
            study.base = root.join(&study.base);
            let base = study.base().unwrap();
            assert!(Plan::new(study, base).unwrap().cells.len() > 5);
            read += 1;
        }
        assert!(read > 1);
    }

    #[test]
    fn the_reference_comes_first_and_an_a_a_row_is_always_there() {
        let own = plan("conditions = [\"S-text\"]");
        assert_eq!(ids(&own), ["C0", "S-text", "AA"]);
        assert_eq!(own.contrasts, ["S-text"]);
        let seeds = |id: &str| -> Vec<u64> {
            own.cells.iter().filter(|c| c.condition == id).map(|c| c.seed).collect()
        };
        assert_eq!((seeds("C0"), seeds("AA")), (vec![1, 2, 3], vec![4, 5, 6]));
        assert!(ids(&plan("preset = \"paper\"")).contains(&"AA"));
        assert_eq!(ids(&plan("preset = \"quick\"")), ["C0", "Q-text", "Q-image", "Q-id"]);
    }

    #[test]
    fn conditions_that_are_the_same_model_are_trained_once() {
        // Without pictures, "without text" and "ID only" are one model.
        let set = "set = [\"model.branches=[{name='id',view='id'},{name='text',view='text'}]\", \
                   \"model.views=[{name='id',kind='id'},{name='text',kind='tokens'}]\", \
                   \"objective.distill.pairs=[]\"]";
        assert_eq!(
            ids(&plan(&format!("{set}\npreset = \"seed\""))),
            ["C0", "AA", "S-text", "only-text", "X-joint"]
        );
    }

    #[test]
    fn every_cell_differs_from_the_full_model_in_its_condition_alone() {
        let own = plan("preset = \"full\"");
        for cell in &own.cells {
            let config = &cell.config;
            assert_eq!((&config.data.path, &config.data.synth), (&own.base.data.path, &own.base.data.synth));
            assert_eq!((&config.eval, &config.optim), (&own.base.eval, &own.base.optim));
            assert_eq!(config.train.epochs, own.base.train.epochs);
            assert_eq!(config.seed, cell.seed);
        }
    }

    #[test]
    fn a_changed_declaration_is_told() {
        let home = tempfile::tempdir().unwrap();
        let of = |metric: &str| {
            let mut own = plan(&format!("conditions = [\"S-text\"]\nmetric = \"{metric}\""));
            own.root = home.path().to_owned();
            own.declare_once().unwrap()
        };
        assert_eq!((of("ndcg@10"), of("ndcg@10")), (None, None));
        assert!(of("recall@10").unwrap().contains("metric"));
    }
}
