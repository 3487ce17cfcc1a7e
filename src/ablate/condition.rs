//! Conditions of a study, which remove or replace parts of the full model: the conditions of docs/studies.md, section 4, and those that a study declares.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StudyError;
use super::edit::{remove_branches, remove_views};
use crate::config::{Config, ConfigError, IdVisibility, Replace, ReplaceKind, nearest, parse};

/// The unchanged model.
pub const REFERENCE: &str = "C0";
/// The unchanged model under other seeds.
pub const AGAIN: &str = "AA";

/// One condition: edits of the base configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// Short name; also the folder of its runs.
    pub id: String,
    /// Name in reports; the id where it is empty.
    pub label: String,
    /// Views that are removed: no tokens, no branch, no place in ensemble and distillation.
    pub remove: Vec<String>,
    /// Views whose branches are removed; their tokens stay.
    pub remove_branches: Vec<String>,
    /// Features replaced in training and inference, by view.
    pub replace: BTreeMap<String, ReplaceKind>,
    /// Whether all replaced views share one permutation.
    pub joint: bool,
    /// Further overrides, in the syntax of `--set`.
    pub set: Vec<String>,
    /// Views that are hidden from the full model at evaluation; nothing is trained.
    pub hide: Vec<String>,
}

/// The views of a model by kind, in order of the configuration.
pub struct Views {
    pub id: Option<String>,
    pub content: Vec<String>,
}

impl Views {
    pub fn new(config: &Config) -> Self {
        let views = &config.model.views;
        let id = views.iter().find(|view| view.kind.has_table());
        let content = views.iter().filter(|view| view.kind.reads_features());
        Self {
            id: id.map(|view| view.name.clone()),
            content: content.map(|view| view.name.clone()).collect(),
        }
    }

    /// All of them, content first.
    pub fn all(&self) -> Vec<String> {
        self.content.iter().chain(&self.id).cloned().collect()
    }

    /// A view by its name, or by the specification's letter (t, v).
    fn find(&self, name: &str) -> Option<String> {
        let long = match name {
            "t" => "text",
            "v" => "image",
            other => other,
        };
        self.all().into_iter().find(|view| view == name || view == long)
    }
}

impl Condition {
    fn new(id: impl Into<String>, label: impl Into<String>) -> Self {
        Self { id: id.into(), label: label.into(), ..Self::default() }
    }

    /// A condition by its id, e.g. `S-text`.
    ///
    /// # Errors
    /// There is no such condition for a model with these views.
    pub fn named(id: &str, views: &Views) -> Result<Self, StudyError> {
        Self::find(id, views).ok_or_else(|| {
            let known = known(views);
            // Ids have capitals, which users may not type.
            let lower: Vec<String> = known.iter().map(|k| k.to_lowercase()).collect();
            let nearest = nearest(id, lower.iter().map(String::as_str))
                .and_then(|nearest| lower.iter().position(|k| k == nearest))
                .map(|place| &known[place]);
            let hint = match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            StudyError::Condition { id: id.to_owned(), reason: String::new(), hint }
        })
    }

    fn find(id: &str, views: &Views) -> Option<Self> {
        let everything = views.content.join(" and ");
        match id {
            REFERENCE => return Some(Self::new(REFERENCE, "full model")),
            AGAIN | "A/A" => return Some(Self::new(AGAIN, "full model, other seeds")),
            "T" => return Self::only("text", views),
            "V" => return Self::only("image", views),
            "I" => return Self::only(views.id.as_ref()?, views),
            "X-tv" | "X-joint" => {
                let label = format!("shuffled {everything}, one order");
                return Self::new("X-joint", label).replacing(&views.content, ReplaceKind::Shuffle, true);
            }
            "X-independent" => {
                let label = format!("shuffled {everything}, orders apart");
                return Self::new(id, label).replacing(&views.content, ReplaceKind::Shuffle, false);
            }
            _ => {}
        }
        for (prefix, kind, word) in REPLACEMENTS {
            let Some(rest) = id.strip_prefix(prefix) else { continue };
            if rest.is_empty() {
                return Self::new(id, format!("{word}{everything}")).replacing(&views.content, kind, false);
            }
            let view = views.find(rest.strip_prefix('-')?).filter(|v| views.content.contains(v))?;
            let condition = Self::new(format!("{prefix}-{view}"), format!("{word}{view}"));
            return condition.replacing(&[view], kind, false);
        }
        let (letter, rest) = id.split_once('-')?;
        let view = views.find(rest)?;
        let is_content = views.content.contains(&view);
        let canonical = format!("{letter}-{view}");
        match letter {
            "only" => Self::only(&view, views),
            "S" if views.all().len() > 1 => {
                Some(Self { remove: vec![view.clone()], ..Self::new(canonical, format!("without {view}")) })
            }
            "B" => {
                let label = format!("without the {view} branch");
                Some(Self { remove_branches: vec![view], ..Self::new(canonical, label) })
            }
            "X" if is_content => Self::new(canonical, format!("shuffled {view}")).replacing(
                &[view],
                ReplaceKind::Shuffle,
                false,
            ),
            "Q" => {
                let label = format!("{view} hidden at inference");
                Some(Self { hide: vec![view], ..Self::new(canonical, label) })
            }
            _ => None,
        }
    }

    fn only(view: &str, views: &Views) -> Option<Self> {
        let all = views.all();
        let others: Vec<String> = all.iter().filter(|other| *other != view).cloned().collect();
        if others.is_empty() || others.len() == all.len() {
            return None;
        }
        Some(Self { remove: others, ..Self::new(format!("only-{view}"), format!("{view} only")) })
    }

    fn replacing(mut self, views: &[String], kind: ReplaceKind, joint: bool) -> Option<Self> {
        if views.is_empty() {
            return None;
        }
        self.replace = views.iter().map(|view| (view.clone(), kind)).collect();
        self.joint = joint;
        Some(self)
    }

    /// Whether the condition is the unchanged model.
    pub fn is_reference(&self) -> bool {
        self.id == REFERENCE
    }

    /// Whether the condition is evaluated without a training of its own.
    pub fn is_quick(&self) -> bool {
        !self.hide.is_empty()
    }

    /// Whether the condition makes a view's features the same for every item.
    pub fn is_constant(&self) -> bool {
        self.replace
            .values()
            .any(|kind| matches!(kind, ReplaceKind::Ones | ReplaceKind::Zeros | ReplaceKind::Mean))
    }

    /// The base configuration under this condition; `draws` is the seed of its replacements.
    ///
    /// # Errors
    /// The base has no such view, or the result is no valid model.
    pub fn apply(&self, base: &Config, draws: u64) -> Result<Config, StudyError> {
        let wrap = |source: ConfigError| StudyError::Config { id: self.id.clone(), source };
        let mut config = base.clone();
        if !self.set.is_empty() {
            let text = base.to_toml().map_err(wrap)?;
            config =
                parse(&text, std::path::Path::new("the base configuration"), &self.set).map_err(wrap)?.config;
        }
        self.check_views(&config)?;
        remove_views(&mut config, &self.remove);
        remove_branches(&mut config, &self.remove_branches);
        for (place, view) in config.model.views.iter_mut().enumerate() {
            if let Some(&kind) = self.replace.get(&view.name) {
                let apart = if self.joint { 0 } else { place as u64 };
                view.replace = Some(Replace { kind, seed: draws + apart });
            }
            if self.hide.contains(&view.name) && view.kind.reads_features() {
                view.replace = Some(Replace { kind: ReplaceKind::Hidden, seed: 0 });
                // A setting of the training, which has ended.
                view.history_dropout = 0.0;
            }
        }
        config.validate().map_err(wrap)?;
        Ok(config)
    }

    fn check_views(&self, config: &Config) -> Result<(), StudyError> {
        let views = Views::new(config);
        let refused =
            |reason: String, hint: String| Err(StudyError::Condition { id: self.id.clone(), reason, hint });
        let named =
            self.remove.iter().chain(&self.remove_branches).chain(&self.hide).chain(self.replace.keys());
        for name in named {
            if !views.all().contains(name) {
                let hint = format!("its views are {}", views.all().join(", "));
                return refused(format!(": it has no view `{name}`"), hint);
            }
        }
        if let Some(id) = self.replace.keys().find(|name| !views.content.contains(name)) {
            let hint = format!("use S-{id} to do without it");
            return refused(format!(": `{id}` has no features that could be replaced"), hint);
        }
        let seen = config.model.tower.as_ref().is_some_and(|tower| tower.id_visible == IdVisibility::All);
        if seen && views.id.as_ref().is_some_and(|id| self.hide.contains(id)) {
            let hint = "use S-id, or model.tower.id_visible = \"itself\"";
            return refused(": its tower lets text and image read the ID token".into(), hint.into());
        }
        Ok(())
    }
}

/// Conditions that replace features, with an optional view after the name.
const REPLACEMENTS: [(&str, ReplaceKind, &str); 6] = [
    ("N-fix", ReplaceKind::Noise, "fixed noise as "),
    ("N-mom", ReplaceKind::Moments, "noise with the moments of "),
    ("N-new", ReplaceKind::Fresh, "redrawn noise as "),
    ("K-mean", ReplaceKind::Mean, "the mean as "),
    ("K-1", ReplaceKind::Ones, "ones as "),
    ("K-0", ReplaceKind::Zeros, "zeros as "),
];

/// Named lists of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Both, text only, image only, randomised: whether content helps, and each modality alone.
    Seed,
    /// The published study: fixed noise three times, ones and zeros.
    Paper,
    /// Everything.
    Full,
    /// What the trained full model relies on; no further training.
    Quick,
}

impl Preset {
    /// Ids, the reference first.
    pub fn ids(self, views: &Views) -> Vec<String> {
        let each = |prefix: &str, of: &[String]| -> Vec<String> {
            of.iter().map(|view| format!("{prefix}-{view}")).collect()
        };
        let fixed = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        let (content, all) = (&views.content, &views.all());
        let id: Vec<String> = views.id.iter().cloned().collect();
        let seed = [
            fixed(&[REFERENCE, AGAIN]),
            each("S", content),
            each("only", &id),
            each("only", content),
            fixed(&["X-joint"]),
        ];
        match self {
            Self::Seed => seed.concat(),
            Self::Paper => {
                [fixed(&[REFERENCE, AGAIN, "N-fix"]), each("N-fix", content), fixed(&["K-1", "K-0"])].concat()
            }
            Self::Full => [
                seed.concat(),
                each("S", &id),
                each("B", all),
                each("X", content),
                fixed(&["X-independent", "N-fix"]),
                each("N-fix", content),
                fixed(&["N-mom", "N-new", "K-1", "K-0", "K-mean"]),
                each("Q", all),
            ]
            .concat(),
            Self::Quick => [fixed(&[REFERENCE]), each("Q", all)].concat(),
        }
    }
}

/// Every id that a model with these views can have.
fn known(views: &Views) -> Vec<String> {
    Preset::Full.ids(views).into_iter().filter(|id| Condition::find(id, views).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn base() -> Config {
        parse(include_str!("../../configs/quickstart.toml"), Path::new("q.toml"), &[]).unwrap().config
    }

    fn applied(id: &str) -> Config {
        let base = base();
        Condition::named(id, &Views::new(&base)).unwrap().apply(&base, 42).unwrap()
    }

    fn seed_of(config: &Config, view: &str) -> Replace {
        config.model.views.iter().find(|v| v.name == view).unwrap().replace.unwrap()
    }

    #[test]
    fn every_condition_of_the_full_preset_is_a_model() {
        let base = base();
        let views = Views::new(&base);
        let ids = Preset::Full.ids(&views);
        assert!(ids.len() > 20, "{ids:?}");
        for id in &ids {
            let condition = Condition::named(id, &views).unwrap();
            assert_eq!(&condition.id, id);
            assert!(!condition.label.is_empty());
            condition.apply(&base, 42).unwrap();
        }
    }

    #[test]
    fn a_base_that_drops_views_from_histories_has_all_conditions_and_hides_without() {
        let mut base = base();
        base.model.views[1].history_dropout = 0.3;
        let views = Views::new(&base);
        for id in Preset::Full.ids(&views) {
            let config = Condition::named(&id, &views).unwrap().apply(&base, 42).unwrap();
            let text = config.model.views.iter().find(|view| view.name == "text");
            let expected = if id == "Q-text" { 0.0 } else { 0.3 };
            assert!(text.is_none_or(|text| text.history_dropout == expected), "{id}");
        }
        assert!(Preset::Full.ids(&views).iter().any(|id| id == "Q-text"));
    }

    #[test]
    fn letters_of_the_specification_mean_the_same() {
        let views = Views::new(&base());
        for (short, long) in [
            ("T", "only-text"),
            ("V", "only-image"),
            ("I", "only-id"),
            ("S-t", "S-text"),
            ("X-v", "X-image"),
            ("X-tv", "X-joint"),
            ("A/A", "AA"),
            ("N-fix-t", "N-fix-text"),
        ] {
            assert_eq!(Condition::named(short, &views).unwrap(), Condition::named(long, &views).unwrap());
        }
    }

    #[test]
    fn one_order_shuffles_all_views_alike_and_noise_never_does() {
        let joint = applied("X-joint");
        assert_eq!(seed_of(&joint, "text"), seed_of(&joint, "image"));
        for id in ["X-independent", "N-fix", "N-mom"] {
            let apart = applied(id);
            assert_ne!(seed_of(&apart, "text").seed, seed_of(&apart, "image").seed, "{id}");
        }
        assert_eq!(seed_of(&applied("K-1"), "image").kind, ReplaceKind::Ones);
    }

    #[test]
    fn unknown_conditions_name_the_nearest() {
        let views = Views::new(&base());
        let hint = |id: &str| Condition::named(id, &views).unwrap_err().hint().unwrap();
        assert!(hint("S-txt").contains("`S-text`"), "{}", hint("S-txt"));
        assert!(hint("s-image").contains("`S-image`"), "{}", hint("s-image"));
        assert!(hint("zebra").contains("X-joint"));
        assert!(matches!(Condition::named("X-id", &views), Err(StudyError::Condition { .. })));
    }
}
