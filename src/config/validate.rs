//! Rules that types can't hold: ranges, and values that must fit each other.
//!
//! A setting that would silently do nothing is an error too: a feature store that no view reads, a width on
//! a view that has none. The first violation is reported, under its dotted key.

use super::rules::{Checked, at_least, between, check_name, divides, invalid, known, positive, within};
use super::{
    ColdConfig, Config, EncoderConfig, EvalConfig, IdInit, ModelConfig, SynthConfig, ViewConfig, ViewKind,
};

/// The mean of all branches, where a branch is asked for by name.
pub const ENSEMBLE: &str = "ensemble";

/// What `train.metric` may ask for. Hit@k equals Recall@k with one target a user.
pub const METRICS: [&str; 3] = ["recall", "ndcg", "mrr"];

/// Most users or items of generated data; numbers are u32 and random streams are split by them.
const MAX_COUNT: usize = 1 << 31;

impl Config {
    /// Checks every rule; [`super::load`] has done so.
    ///
    /// # Errors
    /// The first value that is out of range or at odds with another.
    pub fn validate(&self) -> Checked {
        self.check_run()?;
        self.check_data()?;
        self.check_model()?;
        super::validate_objective::check(&self.objective, &self.model)?;
        super::validate_optim::check(&self.optim, self)?;
        check_eval(&self.eval)?;
        self.check_train()?;
        at_least("monitor.log_every", self.monitor.log_every, 1)?;
        between("monitor.sprite_side", self.monitor.sprite_side, 0..=256)
    }

    fn check_run(&self) -> Checked {
        check_seed("seed", self.seed)?;
        check_device(&self.device)?;
        if !self.run.name.is_empty() {
            check_name("run.name", &self.run.name, "._-")?;
        }
        if self.run.dir.as_os_str().is_empty() {
            return Err(invalid("run.dir", "is empty").with_hint("write \".\" for the current directory"));
        }
        Ok(())
    }

    fn check_data(&self) -> Checked {
        let data = &self.data;
        match (&data.path, &data.synth) {
            (None, None) => {
                let hint =
                    "set data.path to a dataset directory, or add a [data.synth] table to generate one";
                return Err(invalid("data.path", "is missing, and there is no [data.synth]").with_hint(hint));
            }
            (Some(path), _) if path.as_os_str().is_empty() => return Err(invalid("data.path", "is empty")),
            (None, Some(synth)) => synth.validate()?,
            _ => {}
        }
        if let Some(cold) = &data.cold {
            check_cold(cold)?;
        }
        at_least("data.max_seq_len", data.max_seq_len, 1)?;
        at_least("data.min_train_len", data.min_train_len, 2)?;
        let stores: Vec<&str> = self.model.views.iter().map(ViewConfig::store).collect();
        for name in data.features.keys() {
            let key = format!("data.features.{name}");
            check_name(&key, name, "_-")?;
            if !stores.contains(&name.as_str()) {
                let error = invalid(&key, "is read by no view");
                return Err(error.or_near(name, &stores, "views read"));
            }
        }
        Ok(())
    }

    fn check_model(&self) -> Checked {
        let model = &self.model;
        at_least("model.width", model.width, 1)?;
        for (key, probability) in
            [("model.dropout", model.dropout), ("model.item_dropout", model.item_dropout)]
        {
            within(key, probability, 0.0..=1.0)?;
            if probability >= 1.0 {
                return Err(invalid(key, "= 1 drops everything").with_hint("usual values: 0 to 0.5"));
            }
        }
        positive("model.layer_norm_eps", model.layer_norm_eps)?;
        check_views(model)?;
        check_branches(model)?;
        check_every_view_is_read(model)?;
        let Some(tower) = &model.tower else { return Ok(()) };
        at_least("model.tower.blocks", tower.blocks, 1)?;
        divides("model.tower.heads", tower.heads, model.width)
    }

    fn check_train(&self) -> Checked {
        let train = &self.train;
        // One user alone has no negatives: everything in its batch is its own history.
        at_least("train.batch_users", train.batch_users, 2)?;
        at_least("train.accumulate", train.accumulate, 1)?;
        at_least("train.epochs", train.epochs, 1)?;
        at_least("train.eval_every", train.eval_every, 1)?;
        at_least("train.keep", train.keep, 1)?;
        at_least("train.savings.length_groups", train.savings.length_groups, 1)?;
        self.check_metric(&train.metric)
    }

    /// `<branch|ensemble>/<metric>@<k>` with k among `eval.ks`.
    fn check_metric(&self, text: &str) -> Checked {
        let key = "train.metric";
        let parts = text.split_once('/').and_then(|(who, rest)| Some((who, rest.split_once('@')?)));
        let Some((who, (metric, k))) = parts else {
            return Err(invalid(key, format!("= \"{text}\" is not of the form branch/metric@k"))
                .with_hint("for example ensemble/ndcg@10"));
        };
        // A branch alone is the ensemble, and is measured under that name only.
        let branches: &[_] = if self.model.branches.len() == 1 { &[] } else { &self.model.branches };
        let names = branches.iter().map(|b| b.name.as_str());
        known(key, who, &names.chain([ENSEMBLE]).collect::<Vec<_>>(), "branches")?;
        known(key, metric, &METRICS, "metrics")?;
        match k.parse::<usize>() {
            Ok(k) if self.eval.ks.contains(&k) => Ok(()),
            _ => Err(invalid(
                key,
                format!("= \"{text}\" asks for k = {k}, which is not in eval.ks {:?}", self.eval.ks),
            )
            .with_hint("add it to eval.ks, or choose one of them")),
        }
    }
}

fn check_cold(cold: &ColdConfig) -> Checked {
    within("data.cold.share", cold.share, 0.0..=0.5)?;
    if (cold.share > 0.0) == cold.ids.as_os_str().is_empty() {
        return Ok(());
    }
    Err(invalid("data.cold", "needs either a share or a file of ids")
        .with_hint("set data.cold.share = 0.1, or data.cold.ids = \"ids.txt\""))
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

fn check_views(model: &ModelConfig) -> Checked {
    if model.views.is_empty() {
        return Err(invalid("model.views", "is empty")
            .with_hint("add [[model.views]] with name = \"id\", kind = \"id\""));
    }
    for (i, view) in model.views.iter().enumerate() {
        let key = |field: &str| format!("model.views.{i}.{field}");
        check_name(&key("name"), &view.name, "_-")?;
        if model.views[..i].iter().any(|other| other.name == view.name) {
            return Err(invalid(&key("name"), format!("= \"{}\" is taken by another view", view.name)));
        }
        if view.kind == ViewKind::Id && model.views[..i].iter().any(|other| other.kind == ViewKind::Id) {
            return Err(invalid(&key("kind"), "makes a second ID view")
                .with_hint("several branches can read the same view; one ID view is enough"));
        }
        match view.kind {
            ViewKind::Id => check_id_view(model, view, &key)?,
            ViewKind::Tokens => check_token_view(view, &key)?,
        }
    }
    Ok(())
}

fn check_id_view(model: &ModelConfig, view: &ViewConfig, key: &dyn Fn(&str) -> String) -> Checked {
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
        model.views.iter().filter(|v| v.kind == ViewKind::Tokens).map(|v| v.name.as_str()).collect();
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
    let fits = view.width == model.width || (view.width == 0 && view.init == IdInit::Xavier);
    if !view.project && !fits {
        return Err(invalid(
            &key("project"),
            format!("= false needs a table of model.width = {}", model.width),
        )
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

fn check_branches(model: &ModelConfig) -> Checked {
    if model.branches.is_empty() {
        return Err(invalid("model.branches", "is empty")
            .with_hint("add [[model.branches]] with name = \"id\", view = \"id\""));
    }
    let views: Vec<&str> = model.views.iter().map(|v| v.name.as_str()).collect();
    for (i, branch) in model.branches.iter().enumerate() {
        let key = |field: &str| format!("model.branches.{i}.{field}");
        check_name(&key("name"), &branch.name, "_-")?;
        if branch.name == ENSEMBLE {
            return Err(invalid(&key("name"), "= \"ensemble\" is the name of the mean of all branches"));
        }
        if model.branches[..i].iter().any(|other| other.name == branch.name) {
            return Err(invalid(&key("name"), format!("= \"{}\" is taken by another branch", branch.name)));
        }
        known(&key("view"), &branch.view, &views, "views")?;
        check_encoder(&branch.encoder, model.width, &|field| key(&format!("encoder.{field}")))?;
    }
    Ok(())
}

fn check_every_view_is_read(model: &ModelConfig) -> Checked {
    let read = |name: &str| model.tower.is_some() || model.branches.iter().any(|b| b.view == name);
    match model.views.iter().enumerate().find(|(_, view)| !read(&view.name)) {
        None => Ok(()),
        Some((i, view)) => Err(invalid(
            &format!("model.views.{i}.name"),
            format!("= \"{}\" is read by no branch, and there is no tower", view.name),
        )
        .with_hint("add a branch for it, add [model.tower], or remove the view")),
    }
}

fn check_encoder(encoder: &EncoderConfig, width: usize, key: &dyn Fn(&str) -> String) -> Checked {
    match encoder {
        EncoderConfig::Sasrec { blocks, heads } => {
            at_least(&key("blocks"), *blocks, 1)?;
            divides(&key("heads"), *heads, width)
        }
        EncoderConfig::Gru4rec { layers } => at_least(&key("layers"), *layers, 1),
        EncoderConfig::Nextitnet { kernel, dilations } => {
            at_least(&key("kernel"), *kernel, 2)?;
            if dilations.is_empty() || dilations.contains(&0) {
                return Err(invalid(
                    &key("dilations"),
                    format!("= {dilations:?} must hold numbers from 1 on"),
                )
                .with_hint("for example dilations = [1, 2, 1, 2]"));
            }
            Ok(())
        }
    }
}

fn check_eval(eval: &EvalConfig) -> Checked {
    if eval.ks.is_empty() || eval.ks.contains(&0) {
        return Err(invalid("eval.ks", format!("= {:?} must hold numbers from 1 on", eval.ks))
            .with_hint("for example ks = [1, 5, 10, 20]"));
    }
    if let Some(k) = eval.ks.iter().enumerate().find_map(|(i, k)| eval.ks[..i].contains(k).then_some(k)) {
        return Err(invalid("eval.ks", format!("names {k} twice")));
    }
    at_least("eval.item_batch", eval.item_batch, 1)?;
    at_least("eval.tile_mib", eval.tile_mib, 1)
}

impl SynthConfig {
    /// Checks every parameter, so that drawing can't fail.
    ///
    /// # Errors
    /// The first parameter out of its range.
    pub fn validate(&self) -> Checked {
        let key = |field: &str| format!("data.synth.{field}");
        check_seed(&key("seed"), self.seed)?;
        let whole = |field, value, low, high| between(&key(field), value, low..=high);
        whole("users", self.users, 1, MAX_COUNT)?;
        whole("items", self.items, 4, MAX_COUNT)?;
        within(&key("new_items"), self.new_items, 0.0..=0.9)?;
        // A user never takes an item twice, and brand-new items are on offer at the very end only.
        let new_items = (self.new_items * self.items as f64).round() as usize;
        whole("max_len", self.max_len, 3, self.items.saturating_sub(new_items + 1))?;
        whole("min_len", self.min_len, 3, self.max_len)?;
        whole("latent", self.latent, 1, 256)?;
        whole("feature_width", self.feature_width, 1, 1 << 16)?;
        whole("text_tokens", self.text_tokens, 1, 1 << 12)?;
        whole("image_tokens", self.image_tokens, 1, 1 << 12)?;
        let reals = [
            ("w_text", self.w_text, 0.0..=20.0),
            ("w_image", self.w_image, 0.0..=20.0),
            ("w_collab", self.w_collab, 0.0..=20.0),
            ("w_repeat", self.w_repeat, 0.0..=20.0),
            ("popularity", self.popularity, 0.0..=4.0),
            ("redundancy", self.redundancy, -1.0..=1.0),
            ("token_noise", self.token_noise, 0.0..=100.0),
            ("drift", self.drift, 0.0..=1.0),
            ("missing_text", self.missing_text, 0.0..=1.0),
            ("missing_image", self.missing_image, 0.0..=1.0),
            ("label_noise", self.label_noise, 0.0..=1.0),
            ("distractors", self.distractors, 0.0..=1.0),
        ];
        reals.into_iter().try_for_each(|(field, value, range)| within(&key(field), value, range))
    }
}

fn check_seed(key: &str, seed: u64) -> Checked {
    match i64::try_from(seed) {
        Ok(_) => Ok(()),
        Err(_) => Err(invalid(key, format!("= {seed} is above the largest integer of TOML"))),
    }
}

fn check_device(device: &str) -> Checked {
    let number = device.strip_prefix("wgpu:").map(str::parse::<usize>);
    if matches!(device, "auto" | "cpu" | "wgpu") || matches!(number, Some(Ok(_))) {
        return Ok(());
    }
    Err(invalid("device", format!("= \"{device}\" is not a device"))
        .with_hint("one of auto, cpu, wgpu, wgpu:N; `codistill devices` lists what there is"))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
