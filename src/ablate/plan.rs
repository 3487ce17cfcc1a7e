//! A study resolved: which conditions its model can have, what each makes of the configuration, which cells there are.

use std::path::PathBuf;

use super::StudyError;
use super::cell::{Cell, State};
use super::condition::{AGAIN, Condition, Preset, REFERENCE, Views};
use super::retune::{Choice, Chosen, Retune, overridden};
use super::study::Study;
use crate::artefact::{io_error, write_json};
use crate::compare::Options;
use crate::config::Config;

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
    /// Trials of hyper-parameters, where the study draws them; they come before the cells.
    pub trials: Vec<Cell>,
    /// The hyper-parameters that have been chosen.
    pub chosen: Vec<Chosen>,
    /// Condition by condition, seed by seed; without those that wait for their hyper-parameters.
    pub cells: Vec<Cell>,
    /// Conditions of the preset that this model can't have, or that have no hyper-parameters, and why.
    pub skipped: Vec<String>,
    pub options: Options,
}

/// Where a cell stands.
pub struct Standing<'a> {
    pub cell: &'a Cell,
    /// Of its condition.
    pub label: String,
    pub state: State,
}

impl Plan {
    /// Resolves a study; `base` is [`Study::base`], its data set generated where it is.
    ///
    /// # Errors
    /// A condition that was asked for is none, or makes no model.
    pub fn new(study: Study, base: Config) -> Result<Self, StudyError> {
        let views = Views::new(&base);
        let mut plan = Self {
            root: study.root(),
            options: study.options()?,
            base,
            conditions: Vec::new(),
            contrasts: Vec::new(),
            trials: Vec::new(),
            chosen: Vec::new(),
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
        plan.retune()?;
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

    /// Lists the trials, and chooses where a condition's are done.
    fn retune(&mut self) -> Result<(), StudyError> {
        let Some(retune) = self.study.retune.clone() else { return Ok(()) };
        for condition in self.conditions.iter().filter(|c| c.id == tuned_as(c)) {
            let trials = self.make_trials(&retune, condition)?;
            match retune.choose(condition, &trials)? {
                Choice::Open => {}
                Choice::Made(chosen) => self.chosen.push(chosen),
                Choice::Failed(reason) => {
                    self.skipped.push(format!("{}: every trial failed: {reason}", condition.id));
                }
            }
            self.trials.extend(trials);
        }
        Ok(())
    }

    /// The trials of a condition, under the study's first seed.
    fn make_trials(&self, retune: &Retune, condition: &Condition) -> Result<Vec<Cell>, StudyError> {
        let seed = self.study.seeds.first().copied().unwrap_or_default();
        let cell = |trial: usize| {
            let config =
                overridden(condition, retune.overrides(trial)).apply(&self.base, self.study.replace_seed)?;
            Cell::trial(&self.root, condition, &config, seed, trial)
        };
        (0..retune.trials).map(cell).collect()
    }

    fn make_cells(&self) -> Result<Vec<Cell>, StudyError> {
        let mut cells = Vec::new();
        for condition in &self.conditions {
            let seeds =
                if condition.id == AGAIN { self.study.seeds_again() } else { self.study.seeds.clone() };
            let mut set = Vec::new();
            if self.study.retune.is_some() {
                let Some(chosen) = self.chosen.iter().find(|c| c.condition == tuned_as(condition)) else {
                    continue;
                };
                set.clone_from(&chosen.set);
            }
            let config = overridden(condition, set).apply(&self.base, self.study.replace_seed)?;
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
        std::fs::create_dir_all(&self.root).map_err(io_error(&self.root))?;
        let then: Option<serde_json::Value> =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
        let Some(then) = then else {
            write_json(&path, &now)?;
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

    /// Returns those of `cells` whose condition is among `only`; all of them where that is empty.
    ///
    /// # Errors
    /// The study has no such condition.
    pub fn chosen<'a>(&self, cells: &'a [Cell], only: &[String]) -> Result<Vec<&'a Cell>, StudyError> {
        let views = Views::new(&self.base);
        let mut ids = Vec::new();
        for asked in only {
            let own = self.condition(asked).map(|c| c.id.clone());
            let id = own.map_or_else(|| Condition::named(asked, &views).map(|c| c.id), Ok)?;
            if self.condition(&id).is_none() {
                let known = self.conditions.iter().map(|c| c.id.clone()).collect();
                return Err(StudyError::NoCondition { id, known });
            }
            ids.push(id);
        }
        Ok(cells.iter().filter(|cell| ids.is_empty() || ids.contains(&cell.condition)).collect())
    }

    /// Where the trials and cells of the conditions `only` stand; of all where that is empty.
    ///
    /// # Errors
    /// The study has no such condition, or a run was made with other settings.
    pub fn standing(&self, only: &[String]) -> Result<Vec<Standing<'_>>, StudyError> {
        let cells = [self.chosen(&self.trials, only)?, self.chosen(&self.cells, only)?].concat();
        let mut all = Vec::new();
        for cell in cells {
            let label = self.condition(&cell.condition).map(|c| c.label.clone()).unwrap_or_default();
            all.push(Standing { cell, label, state: cell.state(None)? });
        }
        Ok(all)
    }

    pub fn condition(&self, id: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.id == id)
    }
}

/// Whose trials a condition's hyper-parameters come from: the full model's for what is the full model.
fn tuned_as(condition: &Condition) -> &str {
    if condition.id == AGAIN || condition.is_quick() { REFERENCE } else { &condition.id }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Study {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        Study::load(&path).unwrap()
    }

    fn plan(text: &str) -> Plan {
        let mut study = read(&format!("base = \"configs/quickstart.toml\"\n{text}"));
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
            // Data sets that somebody has to make are not here, and which views they have is in the file's words alone.
            let data = study.data.take();
            study.set.extend(data.iter().map(|data| format!("data.path={}", data.display())));
            let mut base = study.base().unwrap();
            if data.is_some_and(|data| data.ends_with("beauty")) {
                let image = Condition { remove: vec!["image".into()], ..Condition::default() };
                base = image.apply(&base, 0).unwrap();
            }
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
