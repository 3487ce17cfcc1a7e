//! Structural removal as edits of a configuration (docs/studies.md, section 4).
//!
//! A modality stands in a model in three places: its tokens in the tower, its branch, and the branch's share of
//! ensemble and distillation. Removing the view takes all three; removing the branch leaves the tokens.

use crate::config::{Config, ENSEMBLE, EnsembleWeights, IdInit};

/// Takes views away: tokens, branches, their place in ensemble and distillation.
pub fn remove_views(config: &mut Config, gone: &[String]) {
    config.model.views.retain(|view| !gone.contains(&view.name));
    config.model.branches.retain(|branch| !gone.contains(&branch.view));
    for view in &mut config.model.views {
        view.init_views.retain(|name| !gone.contains(name));
        if view.init == IdInit::Features && view.init_views.is_empty() {
            view.init = IdInit::Xavier;
        }
    }
    let stores: Vec<String> = config.model.views.iter().map(|view| view.store().to_owned()).collect();
    config.data.features.retain(|name, _| stores.contains(name));
    mend(config);
}

/// Takes the branches on these views away and leaves the views' tokens to the other branches.
pub fn remove_branches(config: &mut Config, views: &[String]) {
    config.model.branches.retain(|branch| !views.contains(&branch.view));
    mend(config);
}

/// Drops what speaks of branches that are gone; early stopping goes by the ensemble then.
fn mend(config: &mut Config) {
    let live: Vec<&str> = config.model.branches.iter().map(|branch| branch.name.as_str()).collect();
    let memory = config.model.memory.as_ref().map(|memory| memory.name.as_str());
    let is_live = |name: &str| live.contains(&name);
    if live.len() == 1 && memory.is_none() {
        // Nothing is left to weigh.
        config.model.ensemble.weights = EnsembleWeights::Equal;
    }
    let distill = &mut config.objective.distill;
    let runs: Vec<&str> = distill.teachers.iter().map(|teacher| teacher.name.as_str()).collect();
    distill.pairs.retain(|pair| {
        let teacher = pair.teacher.as_str();
        let taught = if teacher == ENSEMBLE {
            live.len() > 1
        } else {
            is_live(teacher) || memory == Some(teacher) || runs.contains(&teacher)
        };
        is_live(&pair.student) && taught
    });
    let pairs = &distill.pairs;
    distill.teachers.retain(|teacher| pairs.iter().any(|pair| pair.teacher == teacher.name));
    if let Some((who, metric)) = config.train.metric.split_once('/')
        && who != ENSEMBLE
        && !is_live(who)
    {
        config.train.metric = format!("{ENSEMBLE}/{metric}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;

    use super::*;
    use crate::config::parse;
    use crate::model::{DataShape, Recommender};
    use crate::nn::Init;
    use crate::params;

    fn quickstart(sets: &[&str]) -> Config {
        let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
        parse(include_str!("../../configs/quickstart.toml"), Path::new("q.toml"), &sets).unwrap().config
    }

    fn parameters(config: &Config) -> Vec<String> {
        config.validate().unwrap();
        let shape = DataShape {
            items: 9,
            max_seq_len: config.data.max_seq_len,
            feature_widths: config
                .model
                .views
                .iter()
                .map(|v| usize::from(!v.store().is_empty()) * 4)
                .collect(),
        };
        let mut init = Init::new(1, &Device::flex());
        let first = |_: usize| vec![0.0; 40];
        let model = Recommender::new(&config.model, &config.train.savings, &shape, &first, &mut init);
        params::read(&model).into_keys().collect()
    }

    #[test]
    fn a_removed_view_leaves_no_parameter_branch_or_pair() {
        for view in ["text", "image", "id"] {
            let mut config = quickstart(&["train.metric=text/ndcg@10"]);
            let before = parameters(&config);
            assert!(before.iter().any(|name| name.split('.').any(|part| part == view)));
            remove_views(&mut config, &[view.to_owned()]);
            let after = parameters(&config);
            assert!(!after.iter().any(|name| name.split('.').any(|part| part == view)), "{after:?}");
            assert!(after.iter().all(|name| before.contains(name)));
            let pairs = &config.objective.distill.pairs;
            assert!(pairs.iter().all(|p| p.student != view && p.teacher != view));
            assert_eq!(pairs.len(), if view == "id" { 0 } else { 2 });
            let metric = if view == "text" { "ensemble/ndcg@10" } else { "text/ndcg@10" };
            assert_eq!(config.train.metric, metric);
        }
    }

    #[test]
    fn a_memory_teaches_and_is_weighed_whichever_views_go() {
        let taught = r#"objective.distill.pairs=[{ student = "text", teacher = "memory" }, { student = "id", teacher = "memory" }]"#;
        let mut config = quickstart(&["model.memory={}", "model.ensemble.weights=fitted", taught]);
        remove_branches(&mut config, &[]);
        assert_eq!(config.objective.distill.pairs.len(), 2);
        remove_views(&mut config, &["text".to_owned(), "image".to_owned()]);
        assert_eq!(config.objective.distill.pairs.len(), 1);
        // One branch and a memory are weighed; one branch alone is not.
        assert_eq!(config.model.ensemble.weights, EnsembleWeights::Fitted);
        config.validate().unwrap();
        config.model.memory = None;
        remove_branches(&mut config, &[]);
        assert_eq!(config.model.ensemble.weights, EnsembleWeights::Equal);
        assert!(config.objective.distill.pairs.is_empty());
    }

    #[test]
    fn a_finished_run_teaches_while_it_has_a_student() {
        let taught = r#"objective.distill={ pairs = [{ student = "text", teacher = "big" }, { student = "image", teacher = "big" }], teachers = [{ name = "big", run = "runs/big" }] }"#;
        let mut config = quickstart(&[taught]);
        remove_views(&mut config, &["text".to_owned()]);
        let distill = &config.objective.distill;
        assert_eq!((distill.pairs.len(), distill.teachers.len()), (1, 1));
        config.validate().unwrap();
        remove_branches(&mut config, &["image".to_owned()]);
        let distill = &config.objective.distill;
        assert!(distill.pairs.is_empty() && distill.teachers.is_empty());
        config.validate().unwrap();
    }

    #[test]
    fn a_removed_branch_leaves_the_tokens() {
        let mut config = quickstart(&[]);
        remove_branches(&mut config, &["text".to_owned()]);
        let names = parameters(&config);
        assert!(names.iter().any(|name| name.starts_with("views.text.")));
        assert!(!names.iter().any(|name| name.starts_with("branches.text.")));
    }

    #[test]
    fn what_leans_on_a_removed_view_goes_with_it() {
        let mut config = quickstart(&["data.features.text=elsewhere"]);
        config.model.views[0].init = IdInit::Features;
        config.model.views[0].init_views = vec!["text".into()];
        remove_views(&mut config, &["text".to_owned(), "image".to_owned()]);
        assert!(config.data.features.is_empty() && config.objective.distill.pairs.is_empty());
        assert_eq!(config.model.views[0].init, IdInit::Xavier);
        assert_eq!(config.model.branches.len(), 1);
        config.validate().unwrap();
    }
}
