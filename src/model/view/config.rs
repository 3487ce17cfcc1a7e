//! Settings of the views of an item, and their rules.

use serde::de::DeserializeOwned;

use super::ViewKind;
use crate::config::rules::{Checked, check_name, check_range, invalid};
use crate::features::config::{Replace, ReplaceKind};
use crate::model::input::Without;
use crate::{choice, section};

section! {
    /// One view of an item: what it is described by.
    pub struct ViewConfig {
        /// Name, up to 64 letters a-z, digits, `_` or `-`; each view has its own.
        pub name: String,
        /// What it consists of.
        pub kind: ViewKind,
        /// `tokens`: name of the feature store. Empty: the view's name.
        pub features: String = String::new(),
        /// `tokens`: most tokens read per item; 0 reads all that the store has.
        pub max_tokens: usize = 0,
        /// `id`: width of the ID table; 0: the model's width, or the features' where `init` copies them.
        pub width: usize = 0,
        /// `id`: how the ID table starts.
        pub init: IdInit = IdInit::Xavier,
        /// `id`: views whose first token starts the ID table when `init` is `features` (their mean).
        pub init_views: Vec<String> = Vec::new(),
        /// A linear map leads to the model's width. Off only for an ID view of that width (SASRec).
        pub project: bool = true,
        /// `tokens`: probability, from 0 to below 1, that a training window reads its whole history as if no item in it had
        /// this view: the learned missing token stands in. Each step draws anew; answers, negatives and evaluation keep the
        /// view. For models that have to do without texts or pictures one day; usual: 0.3 (SMD, 2026).
        pub history_dropout: f64 = 0.0,
        /// `tokens`: other features in place of the view's own. Absent: its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub replace: Option<Replace> = None,
        /// Settings of kinds that keep them here: neither `id` nor `tokens` does.
        #[serde(skip_serializing_if = "toml::Table::is_empty")]
        pub settings: toml::Table = toml::Table::new(),
    }
}

choice! {
    /// Start of the ID table.
    pub enum IdInit {
        /// Normal with standard deviation sqrt(2 / (I + 1 + width)), with I items: `init` 0 of ODMT's authors.
        Xavier = "xavier",
        /// Mean of the first tokens of `init_views`, as a copy: `init` 1 (text and image), 2 or 3 of ODMT's authors,
        /// whose 2 and 3 share memory with the features by accident, which is not followed here.
        Features = "features",
    }
}

impl ViewConfig {
    /// A view of which nothing else is said.
    pub fn new(name: &str, kind: ViewKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            features: String::new(),
            max_tokens: 0,
            width: 0,
            init: IdInit::Xavier,
            init_views: Vec::new(),
            project: true,
            history_dropout: 0.0,
            replace: None,
            settings: toml::Table::new(),
        }
    }

    /// Name of the feature store that a `tokens` view reads; an ID view reads none.
    pub fn store(&self) -> &str {
        match (self.kind.reads_features(), self.features.is_empty()) {
            (false, _) => "",
            (true, true) => &self.name,
            (true, false) => &self.features,
        }
    }

    /// Settings of a kind that keeps them in `settings`.
    ///
    /// # Errors
    /// They are not those of a `T`.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, toml::de::Error> {
        self.settings.clone().try_into()
    }
}

/// `width` is the model's.
pub(crate) fn check_views(views: &[ViewConfig], width: usize) -> Checked {
    if views.is_empty() {
        return Err(invalid("model.views", "is empty")
            .with_hint("add [[model.views]] with name = \"id\", kind = \"id\""));
    }
    for (i, view) in views.iter().enumerate() {
        let key = |field: &str| format!("model.views.{i}.{field}");
        check_name(&key("name"), &view.name, "_-")?;
        if views[..i].iter().any(|other| other.name == view.name) {
            return Err(invalid(&key("name"), format!("= \"{}\" is taken by another view", view.name)));
        }
        if view.kind.has_table() && views[..i].iter().any(|other| other.kind.has_table()) {
            return Err(invalid(&key("kind"), "makes a second ID view")
                .with_hint("several branches can read the same view; one ID view is enough"));
        }
        if !view.settings.is_empty() && !view.kind.reads_settings() {
            return Err(invalid(
                &key("settings"),
                format!("do nothing with kind = \"{}\"", view.kind.word()),
            )
            .with_hint("what such a view can be told stands beside its kind"));
        }
        check_history_dropout(view, i, &key("history_dropout"))?;
        view.kind.check(view, views, width, &key)?;
    }
    Ok(())
}

/// Refuses a probability that is none or can't act. `number` is the view's among those of the model.
fn check_history_dropout(view: &ViewConfig, number: usize, key: &str) -> Checked {
    let probability = view.history_dropout;
    check_range(key, probability, 0.0..=1.0)?;
    if probability == 0.0 {
        return Ok(());
    }
    if !view.kind.reads_features() {
        return Err(invalid(key, "belongs to views of kind \"tokens\", which an item may lack")
            .with_hint("remove it; model.item_dropout drops entries of all item vectors"));
    }
    if probability >= 1.0 {
        return Err(invalid(key, "= 1 takes the view from every history")
            .with_hint("usual values: 0.1 to 0.5; remove the view to do without it"));
    }
    if view.replace.is_some_and(|replace| replace.kind == ReplaceKind::Hidden) {
        return Err(invalid(
            key,
            "does nothing where replace.kind = \"hidden\" takes the view from every item",
        )
        .with_hint("remove one of the two"));
    }
    if number >= Without::VIEWS {
        return Err(invalid(key, format!("is for the first {} views of a model", Without::VIEWS))
            .with_hint("list this view before others"));
    }
    Ok(())
}
