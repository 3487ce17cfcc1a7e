//! A configuration without the views that a data set lacks: what `train --data` makes of one that was written for
//! more modalities than there are features of.
//!
//! Everything that hangs on such a view goes with it: its branches, the pairs they teach or learn in, runs that taught
//! these branches alone, its entry of `data.features`, its part in the start of the ID table. Where the ID alone is left, the tower has one token and
//! nothing to mix, so it goes too: what remains is the ID branch that `[model]` describes.

use std::collections::BTreeMap;

use super::keys::as_value;
use super::load::{leaves, value_at};
use super::{
    Config, ConfigError, ENSEMBLE, EnsembleWeights, IdInit, Loaded, ModelConfig, Origin, ViewConfig,
};

/// What went, by name, and what else changed for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub views: Vec<String>,
    pub branches: Vec<String>,
    /// `student_from_teacher`, as in the tags of the logs.
    pub pairs: Vec<String>,
    /// Finished runs whose only students these branches were.
    pub teachers: Vec<String>,
    pub tower: bool,
    /// Other keys of the reduced configuration that have another value now, with that value.
    pub changed: Vec<(String, String)>,
}

impl Loaded {
    /// Takes the views `absent` away, with all that hangs on them. Origins follow their values to their new places;
    /// what went is listed by name as [`Origin::Dropped`], what changed is [`Origin::Data`].
    ///
    /// # Errors
    /// No branch is left, or what is left breaks a rule.
    pub fn drop_views(&mut self, absent: &[String]) -> Result<Dropped, ConfigError> {
        if absent.is_empty() {
            return Ok(Dropped::default());
        }
        let before = as_value(&self.config);
        let (reduced, dropped, places) = reduce(&self.config, absent);
        if reduced.model.branches.is_empty() {
            return Err(ConfigError::NothingLeft { views: dropped.views });
        }
        reduced.validate()?;
        let after = as_value(&reduced);
        let mut origins = BTreeMap::new();
        for key in leaves(&after) {
            let old = places.old_key(&key);
            let same = value_at(&before, &old) == value_at(&after, &key);
            let origin = self.origins.get(&old).copied().filter(|_| same);
            origins.insert(key, origin.unwrap_or(Origin::Data));
        }
        origins.extend(dropped.keys(&self.config, &reduced).map(|key| (key, Origin::Dropped)));
        (self.config, self.origins) = (reduced, origins);
        Ok(dropped)
    }
}

impl Dropped {
    /// Keys that are gone, list entries by name.
    fn keys<'a>(&'a self, before: &'a Config, after: &'a Config) -> impl Iterator<Item = String> + 'a {
        let views = self.views.iter().map(|name| format!("model.views.{name}"));
        let branches = self.branches.iter().map(|name| format!("model.branches.{name}"));
        let pairs = self.pairs.iter().map(|name| format!("objective.distill.pairs.{name}"));
        let teachers = self.teachers.iter().map(|name| format!("objective.distill.teachers.{name}"));
        let tower = self.tower.then(|| "model.tower".to_owned());
        let gone = before.data.features.keys().filter(|name| !after.data.features.contains_key(*name));
        views
            .chain(branches)
            .chain(pairs)
            .chain(teachers)
            .chain(tower)
            .chain(gone.map(|name| format!("data.features.{name}")))
    }
}

/// Where the entries of the reduced lists stood before.
struct Places {
    views: Vec<usize>,
    branches: Vec<usize>,
    pairs: Vec<usize>,
    teachers: Vec<usize>,
}

impl Places {
    /// The key that a value of the reduced configuration had before.
    fn old_key(&self, key: &str) -> String {
        let lists = [
            ("model.views.", &self.views),
            ("model.branches.", &self.branches),
            ("objective.distill.pairs.", &self.pairs),
            ("objective.distill.teachers.", &self.teachers),
        ];
        for (list, places) in lists {
            let Some(rest) = key.strip_prefix(list) else { continue };
            let (number, field) = rest.split_once('.').unwrap_or((rest, ""));
            if let Some(old) = number.parse().ok().and_then(|n: usize| places.get(n)) {
                return format!("{list}{old}.{field}");
            }
        }
        key.to_owned()
    }
}

fn reduce(config: &Config, absent: &[String]) -> (Config, Dropped, Places) {
    let mut reduced = config.clone();
    let mut dropped = Dropped::default();
    let model = &mut reduced.model;
    let is_absent = |name: &String| absent.contains(name);
    let views = retain(
        &mut model.views,
        |view| !is_absent(&view.name),
        |view| {
            dropped.views.push(view.name.clone());
        },
    );
    let branches = retain(
        &mut model.branches,
        |branch| !is_absent(&branch.view),
        |branch| {
            dropped.branches.push(branch.name.clone());
        },
    );
    let gone = dropped.branches.clone();
    let alone = model.branches.len() == 1;
    // The ensemble of one branch is that branch, which would teach itself.
    let untaught = |student: &String, teacher: &String| {
        gone.contains(student) || gone.contains(teacher) || (alone && teacher == ENSEMBLE)
    };
    let pairs = retain(
        &mut reduced.objective.distill.pairs,
        |pair| !untaught(&pair.student, &pair.teacher),
        |pair| {
            dropped.pairs.push(format!("{}_from_{}", pair.student, pair.teacher));
        },
    );
    let distill = &mut reduced.objective.distill;
    let taught = distill.pairs.clone();
    let teachers = retain(
        &mut distill.teachers,
        |teacher| taught.iter().any(|pair| pair.teacher == teacher.name),
        |teacher| dropped.teachers.push(teacher.name.clone()),
    );
    if model.tower.is_some() && model.views.iter().all(|view| !view.kind.reads_features()) {
        model.tower = None;
        dropped.tower = true;
    }
    start_of_ids(model, &mut dropped);
    if alone && model.memory.is_none() && model.ensemble.weights != EnsembleWeights::Equal {
        model.ensemble.weights = EnsembleWeights::Equal;
        dropped.changed.push(("model.ensemble.weights".into(), "equal".into()));
    }
    let stores: Vec<String> = model.views.iter().map(|view| view.store().to_owned()).collect();
    reduced.data.features.retain(|name, _| stores.contains(name));
    let judge = reduced.train.metric.split_once('/').map(|(who, metric)| (who.to_owned(), metric.to_owned()));
    if let Some((who, metric)) = judge
        && who != ENSEMBLE
        && (alone || gone.contains(&who))
    {
        reduced.train.metric = format!("{ENSEMBLE}/{metric}");
        dropped.changed.push(("train.metric".into(), reduced.train.metric.clone()));
    }
    (reduced, dropped, Places { views, branches, pairs, teachers })
}

/// An ID table that starts from features starts from those that are left, or at random.
fn start_of_ids(model: &mut ModelConfig, dropped: &mut Dropped) {
    let gone = &dropped.views;
    for (i, view) in model.views.iter_mut().enumerate() {
        let ViewConfig { init, init_views, .. } = view;
        let before = init_views.len();
        init_views.retain(|name| !gone.contains(name));
        if init_views.len() == before {
            continue;
        }
        let key = |field: &str| format!("model.views.{i}.{field}");
        dropped.changed.push((key("init_views"), format!("[{}]", init_views.join(", "))));
        if init_views.is_empty() {
            *init = IdInit::Xavier;
            dropped.changed.push((key("init"), "xavier".into()));
        }
    }
}

/// Keeps the entries that `stay`, hands the others to `gone`, and returns the places of those that stayed.
fn retain<T>(list: &mut Vec<T>, stay: impl Fn(&T) -> bool, mut gone: impl FnMut(&T)) -> Vec<usize> {
    let places = list.iter().enumerate().filter(|(_, entry)| stay(entry)).map(|(place, _)| place).collect();
    list.iter().filter(|entry| !stay(entry)).for_each(&mut gone);
    list.retain(|entry| stay(entry));
    places
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const THREE: &str = r#"
[data]
path = "old"
[data.features]
image = "elsewhere/image"
[model]
width = 8
[[model.views]]
name = "text"
kind = "tokens"
[[model.views]]
name = "image"
kind = "tokens"
[[model.views]]
name = "id"
kind = "id"
init = "features"
init_views = ["text", "image"]
[model.tower]
[[model.branches]]
name = "t"
view = "text"
[[model.branches]]
name = "v"
view = "image"
[[model.branches]]
name = "i"
view = "id"
[objective.distill]
pairs = [
  { student = "v", teacher = "i" },
  { student = "t", teacher = "i" },
  { student = "i", teacher = "ensemble" },
]
[train]
metric = "v/ndcg@10"
"#;

    fn reduced(text: &str, absent: &[&str]) -> (Loaded, Result<Dropped, ConfigError>) {
        let mut loaded = parse(text, Path::new("three.toml"), &[]).unwrap();
        let absent: Vec<String> = absent.iter().map(|&name| name.to_owned()).collect();
        let dropped = loaded.drop_views(&absent);
        (loaded, dropped)
    }

    fn names(config: &Config) -> (Vec<&str>, Vec<&str>, Vec<String>) {
        let pairs = config.objective.distill.pairs.iter();
        (
            config.model.views.iter().map(|v| v.name.as_str()).collect(),
            config.model.branches.iter().map(|b| b.name.as_str()).collect(),
            pairs.map(|p| format!("{}_from_{}", p.student, p.teacher)).collect(),
        )
    }

    #[test]
    fn all_that_hangs_on_a_view_goes_with_it_and_the_rest_keeps_its_origin() {
        let (loaded, dropped) = reduced(THREE, &["image"]);
        let config = &loaded.config;
        let left =
            (vec!["text", "id"], vec!["t", "i"], vec!["t_from_i".to_owned(), "i_from_ensemble".into()]);
        assert_eq!(names(config), left);
        assert!(config.model.tower.is_some() && config.data.features.is_empty());
        assert_eq!(config.model.views[1].init_views, ["text"]);
        assert_eq!(config.train.metric, "ensemble/ndcg@10");
        let dropped = dropped.unwrap();
        assert_eq!((dropped.branches, dropped.pairs), (vec!["v".to_owned()], vec!["v_from_i".to_owned()]));
        let origin = |key: &str| loaded.origins.get(key).copied();
        let line = |text: &str| THREE.lines().position(|l| l == text).unwrap() + 1;
        assert_eq!(origin("model.views.1.kind"), Some(Origin::File { line: line("kind = \"id\"") }));
        assert_eq!(origin("model.branches.1.view"), Some(Origin::File { line: line("view = \"id\"") }));
        let pair = line("  { student = \"t\", teacher = \"i\" },");
        assert_eq!(origin("objective.distill.pairs.0.student"), Some(Origin::File { line: pair }));
        assert_eq!(origin("model.dropout"), Some(Origin::Default));
        for changed in ["train.metric", "model.views.1.init_views"] {
            assert_eq!(origin(changed), Some(Origin::Data), "{changed}");
        }
        for gone in [
            "model.views.image",
            "model.branches.v",
            "objective.distill.pairs.v_from_i",
            "data.features.image",
        ] {
            assert_eq!(origin(gone), Some(Origin::Dropped), "{gone}");
        }
        assert_eq!(origin("model.views.2.name"), None);
    }

    #[test]
    fn a_run_whose_students_went_goes_too() {
        let text = THREE.replace(
            "  { student = \"v\", teacher = \"i\" },\n",
            "  { student = \"v\", teacher = \"eye\" },\n  { student = \"i\", teacher = \"big\" },\n",
        );
        let teachers =
            "teachers = [{ name = \"eye\", run = \"a\" }, { name = \"big\", run = \"b\" }]\npairs = [";
        let (loaded, dropped) = reduced(&text.replace("pairs = [", teachers), &["image"]);
        let left: Vec<&str> =
            loaded.config.objective.distill.teachers.iter().map(|t| t.name.as_str()).collect();
        assert_eq!((left, dropped.unwrap().teachers), (vec!["big"], vec!["eye".to_owned()]));
        let origin = |key: &str| loaded.origins.get(key).copied();
        assert_eq!(origin("objective.distill.teachers.eye"), Some(Origin::Dropped));
        assert!(matches!(origin("objective.distill.teachers.0.run"), Some(Origin::File { .. })));
    }

    #[test]
    fn ids_alone_are_one_branch_without_tower_and_pairs() {
        let (loaded, dropped) = reduced(THREE, &["text", "image"]);
        let config = &loaded.config;
        assert_eq!(names(config), (vec!["id"], vec!["i"], Vec::new()));
        assert!(config.model.tower.is_none() && dropped.unwrap().tower);
        assert_eq!((config.model.views[0].init, config.model.views[0].init_views.len()), (IdInit::Xavier, 0));
        assert_eq!(loaded.origins.get("model.tower"), Some(&Origin::Dropped));
        let again = parse(&config.to_toml().unwrap(), Path::new("saved.toml"), &[]).unwrap();
        assert_eq!(&again.config, config, "the saved configuration reads back");
    }

    #[test]
    fn features_alone_keep_the_tower_and_their_branch_becomes_the_measure() {
        let text = THREE.replace("[[model.views]]\nname = \"id\"\nkind = \"id\"\ninit = \"features\"\ninit_views = [\"text\", \"image\"]\n", "")
            .replace("[[model.branches]]\nname = \"i\"\nview = \"id\"\n", "")
            .replace("  { student = \"v\", teacher = \"i\" },\n  { student = \"t\", teacher = \"i\" },\n  { student = \"i\", teacher = \"ensemble\" },\n", "  { student = \"t\", teacher = \"ensemble\" },\n");
        let (loaded, dropped) = reduced(&text, &["image"]);
        assert_eq!(names(&loaded.config), (vec!["text"], vec!["t"], Vec::new()));
        assert!(loaded.config.model.tower.is_some());
        assert_eq!(dropped.unwrap().pairs, ["t_from_ensemble"]);
        let (unchanged, refused) = reduced(&text, &["text", "image"]);
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("text, image"), "{refused}");
        assert_eq!(unchanged.config.model.views.len(), 2, "a refusal changes nothing");
    }

    #[test]
    fn nothing_absent_changes_nothing() {
        let (loaded, dropped) = reduced(THREE, &[]);
        assert_eq!(dropped.unwrap(), Dropped::default());
        let same = parse(THREE, Path::new("three.toml"), &[]).unwrap();
        assert_eq!((loaded.config, loaded.origins), (same.config, same.origins));
    }
}
