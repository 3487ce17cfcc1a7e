//! Settings of the views of an item, and their rules.

use crate::config::rules::{Checked, check_name, check_seed, invalid, known};
use crate::features::config::Replace;
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
        /// `tokens`: other features in place of the view's own. Absent: its own.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub replace: Option<Replace> = None,
    }
}

choice! {
    /// What a view consists of.
    pub enum ViewKind {
        /// A trainable vector per item.
        Id = "id",
        /// Frozen token features from a feature store.
        Tokens = "tokens",
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
    /// Name of the feature store that a `tokens` view reads; an ID view reads none.
    pub fn store(&self) -> &str {
        match (self.kind, self.features.is_empty()) {
            (ViewKind::Id, _) => "",
            (ViewKind::Tokens, true) => &self.name,
            (ViewKind::Tokens, false) => &self.features,
        }
    }
}

/// `width` is the model's.
pub(super) fn check_views(views: &[ViewConfig], width: usize) -> Checked {
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
        if view.kind == ViewKind::Id && views[..i].iter().any(|other| other.kind == ViewKind::Id) {
            return Err(invalid(&key("kind"), "makes a second ID view")
                .with_hint("several branches can read the same view; one ID view is enough"));
        }
        match view.kind {
            ViewKind::Id => check_id_view(views, width, view, &key)?,
            ViewKind::Tokens => check_token_view(view, &key)?,
        }
    }
    Ok(())
}

fn check_id_view(
    views: &[ViewConfig],
    width: usize,
    view: &ViewConfig,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let tokens_only = "belongs to views of kind \"tokens\"";
    if !view.features.is_empty() {
        return Err(invalid(&key("features"), tokens_only));
    }
    if view.max_tokens != 0 {
        return Err(invalid(&key("max_tokens"), tokens_only));
    }
    if view.replace.is_some() {
        return Err(invalid(&key("replace"), tokens_only).with_hint("remove the view to do without IDs"));
    }
    let sources: Vec<&str> =
        views.iter().filter(|v| v.kind == ViewKind::Tokens).map(|v| v.name.as_str()).collect();
    for (i, name) in view.init_views.iter().enumerate() {
        let key = key(&format!("init_views.{i}"));
        known(&key, name, &sources, "views of kind \"tokens\"")?;
        if view.init_views[..i].contains(name) {
            return Err(invalid(&key, format!("= \"{name}\" is named twice")));
        }
    }
    match (view.init, view.init_views.is_empty()) {
        (IdInit::Features, true) => {
            return Err(invalid(&key("init"), "= \"features\" needs init_views")
                .with_hint("name the views to copy from, e.g. init_views = [\"text\", \"image\"]"));
        }
        (IdInit::Xavier, false) => {
            return Err(invalid(&key("init_views"), "is only read with init = \"features\"")
                .with_hint("add init = \"features\", or remove init_views"));
        }
        _ => {}
    }
    let fits = view.width == width || (view.width == 0 && view.init == IdInit::Xavier);
    if !view.project && !fits {
        return Err(invalid(&key("project"), format!("= false needs a table of model.width = {width}"))
            .with_hint("remove the view's width, or set project = true"));
    }
    Ok(())
}

fn check_token_view(view: &ViewConfig, key: &dyn Fn(&str) -> String) -> Checked {
    let id_only = "belongs to views of kind \"id\"";
    if !view.features.is_empty() {
        check_name(&key("features"), &view.features, "_-")?;
    }
    if let Some(replace) = view.replace {
        check_seed(&key("replace.seed"), replace.seed)?;
    }
    if view.width != 0 {
        return Err(
            invalid(&key("width"), id_only).with_hint("the feature store says how wide its tokens are")
        );
    }
    if view.init != IdInit::Xavier {
        return Err(invalid(&key("init"), id_only));
    }
    if !view.init_views.is_empty() {
        return Err(invalid(&key("init_views"), id_only));
    }
    if !view.project {
        return Err(invalid(&key("project"), "= false is for ID views only")
            .with_hint("features are mapped to model.width by a linear layer"));
    }
    Ok(())
}
