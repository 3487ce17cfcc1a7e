use std::path::Path;

use crate::config::ConfigError;
use crate::config::parse;

const LATE_FUSION: &str = r#"
[data.synth]
[model]
width = 16
[[model.views]]
name = "id"
kind = "id"
[[model.views]]
name = "text"
kind = "tokens"
[[model.branches]]
name = "id"
view = "id"
[[model.branches]]
name = "text"
view = "text"
"#;

/// Key, reason and hint of what is wrong once `sets` are applied.
fn refused(sets: &[&str]) -> (String, String, String) {
    let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
    match parse(LATE_FUSION, Path::new("x.toml"), &sets) {
        Err(ConfigError::Invalid { key, reason, hint, .. }) => (key, reason, hint.unwrap_or_default()),
        other => panic!("{sets:?} gave {other:?}"),
    }
}

#[test]
fn a_dropped_view_is_refused_with_what_to_do_instead() {
    let (_, reason, hint) = refused(&["model.views.0.history_dropout=0.3"]);
    assert!(reason.contains("\"tokens\"") && hint.contains("model.item_dropout"), "{reason}; {hint}");
    let (_, reason, hint) = refused(&["model.views.1.history_dropout=1"]);
    assert!(reason.contains("every history") && hint.contains("0.1 to 0.5"), "{reason}; {hint}");
    // The full softmax reads no features, and so drops none.
    let (key, _, hint) = refused(&["model.views.1.history_dropout=0.3", "objective.kind=full"]);
    assert!(key == "objective.kind" && hint.contains("sampled"), "{key}; {hint}");
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &["model.views.1.history_dropout=0.3".into()]).is_ok());
}

#[test]
fn the_untouched_configuration_is_valid() {
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &[]).is_ok());
}

#[test]
fn every_rule_refuses_what_breaks_it_under_its_own_key() {
    let cases = [
        ("device=gpu", "device"),
        ("device=wgpu:x", "device"),
        ("run.name=a/b", "run.name"),
        ("run.name=.hidden", "run.name"),
        ("run.dir=\"\"", "run.dir"),
        ("data.synth=none", "data.path"),
        ("data.path=\"\"", "data.path"),
        ("data.max_seq_len=0", "data.max_seq_len"),
        ("data.min_train_len=1", "data.min_train_len"),
        ("data.features.txt=f", "data.features.txt"),
        ("data.synth.min_len=2", "data.synth.min_len"),
        ("data.synth.max_len=4", "data.synth.min_len"),
        ("data.synth.max_len=2000", "data.synth.max_len"),
        ("data.synth.missing_text=1.5", "data.synth.missing_text"),
        ("data.synth.w_text=-1", "data.synth.w_text"),
        ("model.width=0", "model.width"),
        ("model.dropout=1.0", "model.dropout"),
        ("model.dropout=nan", "model.dropout"),
        ("model.item_dropout=1.0", "model.item_dropout"),
        ("model.item_dropout=-0.1", "model.item_dropout"),
        ("model.layer_norm_eps=0", "model.layer_norm_eps"),
        ("model.views=[]", "model.views"),
        ("model.views.0.name=a b", "model.views.0.name"),
        ("model.views.1.name=id", "model.views.1.name"),
        ("model.views.1.kind=id", "model.views.1.kind"),
        ("model.views.0.features=a", "model.views.0.features"),
        ("model.views.0.max_tokens=3", "model.views.0.max_tokens"),
        ("model.views.0.init=features", "model.views.0.init"),
        ("model.views.0.init_views=[\"text\"]", "model.views.0.init_views"),
        ("model.views.0.init_views=[\"id\"]", "model.views.0.init_views.0"),
        (
            "model.views.0={ name = \"id\", kind = \"id\", width = 8, project = false }",
            "model.views.0.project",
        ),
        ("model.views.1.project=false", "model.views.1.project"),
        ("model.views.1.width=8", "model.views.1.width"),
        ("model.views.1.init=features", "model.views.1.init"),
        ("model.views.0.history_dropout=0.3", "model.views.0.history_dropout"),
        ("model.views.1.history_dropout=-0.1", "model.views.1.history_dropout"),
        ("model.views.1.history_dropout=1.5", "model.views.1.history_dropout"),
        ("model.views.1.history_dropout=nan", "model.views.1.history_dropout"),
        ("model.views.1.history_dropout=1", "model.views.1.history_dropout"),
        (
            "model.views.1={ name = \"text\", kind = \"tokens\", history_dropout = 0.3, replace = { kind = \"hidden\" } }",
            "model.views.1.history_dropout",
        ),
        ("model.branches=[]", "model.branches"),
        ("model.branches.0.name=ensemble", "model.branches.0.name"),
        ("model.branches.1.name=id", "model.branches.1.name"),
        ("model.branches.0.view=txt", "model.branches.0.view"),
        ("model.branches.0.encoder.heads=0", "model.branches.0.encoder.heads"),
        ("model.branches.0.encoder={ kind = \"gru4rec\", layers = 0 }", "model.branches.0.encoder.layers"),
        ("model.branches.0.encoder={ kind = \"nextitnet\", kernel = 1 }", "model.branches.0.encoder.kernel"),
        (
            "model.branches.0.encoder={ kind = \"nextitnet\", dilations = [0] }",
            "model.branches.0.encoder.dilations",
        ),
        ("model.tower.heads=5", "model.tower.heads"),
        ("model.tower.blocks=0", "model.tower.blocks"),
        ("objective.log_popularity_power=-1", "objective.log_popularity_power"),
        ("objective.kind=full", "objective.kind"),
        ("objective={ kind = \"full\", chunk_items = 0 }", "objective.chunk_items"),
        ("objective.chunk_items=7", "objective.chunk_items"),
        ("objective.calibration=0.5", "objective.calibration"),
        ("objective={ kind = \"gbce\", calibration = 1.5 }", "objective.calibration"),
        ("objective.negatives.count=9", "objective.negatives"),
        ("objective={ kind = \"sampled\", negatives = { count = 0 } }", "objective.negatives.count"),
        ("objective={ kind = \"sampled\", negatives = { power = 0.5 } }", "objective.negatives.power"),
        (
            "objective={ kind = \"sampled\", negatives = { uniform_share = 0.1 } }",
            "objective.negatives.uniform_share",
        ),
        ("objective={ kind = \"gbce\", negatives = { log_q = true } }", "objective.negatives.log_q"),
        ("objective={ kind = \"sampled\", log_popularity_power = 0.5 }", "objective.log_popularity_power"),
        ("objective.distill.temperature=0", "objective.distill.temperature"),
        ("objective.distill.alpha=-1", "objective.distill.alpha"),
        ("optim.lr=0", "optim.lr"),
        ("optim.lr=inf", "optim.lr"),
        ("optim.beta2=1.0", "optim.beta2"),
        ("optim.eps=0", "optim.eps"),
        ("optim.final_lr_share=2", "optim.final_lr_share"),
        ("train.batch_users=1", "train.batch_users"),
        ("train.epochs=0", "train.epochs"),
        ("train.keep=0", "train.keep"),
        ("train.savings.length_groups=0", "train.savings.length_groups"),
        ("train.metric=ndcg@10", "train.metric"),
        ("train.metric=image/ndcg@10", "train.metric"),
        ("train.metric=id/ncdg@10", "train.metric"),
        ("train.metric=id/ndcg@7", "train.metric"),
        ("eval.ks=[]", "eval.ks"),
        ("eval.ks=[10, 10]", "eval.ks"),
        ("eval.item_batch=0", "eval.item_batch"),
        ("monitor.log_every=0", "monitor.log_every"),
    ];
    for (set, key) in cases {
        assert_eq!(refused(&[set]).0, key, "{set}");
    }
}

#[test]
fn distillation_pairs_are_between_different_known_students() {
    let pairs = |text: &str| refused(&[&format!("objective.distill.pairs=[{text}]")]);
    let pair = |s: &str, t: &str| format!("{{ student = \"{s}\", teacher = \"{t}\" }}");
    assert_eq!(pairs(&pair("txt", "id")).2, "did you mean `text`?");
    assert_eq!(pairs(&pair("ensemble", "id")).0, "objective.distill.pairs.0.student");
    assert_eq!(pairs(&pair("id", "id")).1, "is the student itself");
    let twice = format!("{}, {}", pair("id", "text"), pair("id", "text"));
    assert_eq!(pairs(&twice).0, "objective.distill.pairs.1");
    let one = "model.branches=[{ name = \"id\", view = \"id\" }]";
    let views = "model.views=[{ name = \"id\", kind = \"id\" }]";
    let alone = format!("objective.distill.pairs=[{}]", pair("id", "ensemble"));
    assert_eq!(refused(&[one, views, &alone]).0, "objective.distill.pairs.0.teacher");
}

#[test]
fn a_finished_run_teaches_by_a_name_of_its_own_in_some_pair() {
    let with = |name: &str, teacher: &str, more: &[&str]| {
        let distill = format!(
            "objective.distill={{ pairs = [{{ student = \"text\", teacher = \"{teacher}\" }}], \
             teachers = [{{ name = \"{name}\", run = \"runs/big\" }}] }}"
        );
        [&[distill.as_str()], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let refused = |name: &str, teacher: &str, more: &[&str]| {
        let sets = with(name, teacher, more);
        refused(&sets.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for kind in ["objective.kind=in_batch", "objective.kind=sampled"] {
        assert!(parse(LATE_FUSION, Path::new("x.toml"), &with("big", "big", &[kind])).is_ok());
    }
    let name = "objective.distill.teachers.0.name";
    for (taken, whose) in [("id", "a branch"), ("ensemble", "the mean of all branches")] {
        let (key, reason, _) = refused(taken, "id", &[]);
        assert!(key == name && reason.ends_with(whose), "{key} {reason}");
    }
    assert_eq!(refused("a b", "id", &[]).0, name);
    let (key, reason, hint) = refused("big", "id", &[]);
    assert_eq!((key.as_str(), reason.as_str()), (name, "= \"big\" is the teacher of no pair"));
    assert!(hint.contains("objective.distill.pairs"), "{hint}");
    let (key, _, hint) = refused("big", "bigg", &[]);
    assert_eq!((key.as_str(), hint.as_str()), ("objective.distill.pairs.0.teacher", "did you mean `big`?"));
    let run = "objective.distill.teachers.0.run";
    assert_eq!(refused("big", "big", &[&format!("{run}=\"\"")]).0, run);
    assert_eq!(refused("big", "big", &["objective.kind=gbce"]).0, "objective.distill.pairs");
    let twice =
        "objective.distill.teachers=[{ name = \"big\", run = \"a\" }, { name = \"big\", run = \"b\" }]";
    let (key, reason, _) = refused("big", "big", &[twice]);
    assert!(key.ends_with("teachers.1.name") && reason.ends_with("another teacher"), "{key} {reason}");
}

#[test]
fn a_finished_run_teaches_in_some_epoch() {
    let taught = "objective.distill={ pairs = [{ student = \"text\", teacher = \"big\" }], \
                  teachers = [{ name = \"big\", run = \"runs/big\" }] }";
    let with = |more: &str| parse(LATE_FUSION, Path::new("x.toml"), &[taught, more].map(str::to_owned));
    let (key, reason, hint) = refused(&[taught, "objective.distill.alpha=0"]);
    assert_eq!(key, "objective.distill.alpha");
    assert!(reason.contains("`big` teaches nobody") && hint.contains("above 0"), "{reason} {hint}");
    with("objective.distill.alpha=0.1").unwrap();

    let alone = r#"{ epochs = 1, terms = ["in_batch"] }"#;
    let (key, reason, hint) = refused(&[taught, &format!("train.stages=[{alone}, {alone}]")]);
    assert_eq!(key, "train.stages");
    assert!(reason.contains("`big` teaches nobody") && hint.contains("\"distill\""), "{reason} {hint}");
    for heard in ["{}", r#"{ terms = ["in_batch", "distill"] }"#] {
        with(&format!("train.stages=[{alone}, {heard}]")).unwrap();
    }
    // Branches that teach each other may rest: nothing is read for them.
    let pairs = "objective.distill.pairs=[{ student = \"text\", teacher = \"id\" }]";
    let sets = [pairs, "objective.distill.alpha=0"].map(str::to_owned);
    parse(LATE_FUSION, Path::new("x.toml"), &sets).unwrap();
}

#[test]
fn what_a_hint_names_is_not_refused_next() {
    let with = |teachers: &str, teacher: &str| {
        let distill = format!(
            "objective.distill={{ pairs = [{{ student = \"text\", teacher = \"{teacher}\" }}]{teachers} }}"
        );
        refused(&[&distill, "objective.kind=gbce"]).2
    };
    assert!(with("", "id").contains("full"));
    let run = with(", teachers = [{ name = \"big\", run = \"a\" }]", "big");
    assert!(!run.contains("full") && run.contains("in_batch or sampled"), "{run}");
}

#[test]
fn the_full_softmax_is_for_branches_whose_catalogue_is_a_table() {
    let (_, reason, hint) = refused(&["objective.kind=full"]);
    assert!(
        reason.contains("features of the whole catalogue") && reason.ends_with("branch text"),
        "{reason}"
    );
    assert!(hint.contains("sampled"), "{hint}");
    let (_, reason, _) = refused(&["objective.kind=full", "model.tower.blocks=1"]);
    assert!(reason.contains("tower"), "{reason}");
    let alone = [
        "model.branches=[{ name = \"id\", view = \"id\" }]",
        "model.views=[{ name = \"id\", kind = \"id\" }]",
        "objective.kind=full",
    ];
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &alone.map(String::from)).is_ok());
    let pairs = "objective.distill.pairs=[{ student = \"text\", teacher = \"id\" }]";
    assert_eq!(refused(&["objective.kind=gbce", pairs]).0, "objective.distill.pairs");
    let two = [
        "model.branches=[{ name = \"id\", view = \"id\" }, { name = \"text\", view = \"id\" }]",
        "model.views=[{ name = \"id\", kind = \"id\" }]",
        "objective.kind=full",
        pairs,
    ];
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &two.map(String::from)).is_ok());
    assert!(
        parse(LATE_FUSION, Path::new("x.toml"), &["objective.kind=sampled".into(), pairs.into()]).is_ok()
    );
}

#[test]
fn row_sparse_updates_need_a_table_of_which_only_some_rows_are_read() {
    let one = "model.branches=[{ name = \"id\", view = \"id\" }]";
    let views = "model.views=[{ name = \"id\", kind = \"id\" }]";
    let sparse = "optim.id_table=row_sparse";
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &[sparse.into()]).is_ok());
    let (key, reason, _) = refused(&[one, views, sparse, "objective.kind=full"]);
    assert_eq!(key, "optim.id_table");
    assert!(reason.contains("every row"), "{reason}");
    let text = ["model.views=[{ name = \"text\", kind = \"tokens\" }]", "train.metric=ensemble/ndcg@10"];
    let branch = "model.branches=[{ name = \"text\", view = \"text\" }]";
    assert_eq!(refused(&[text[0], text[1], branch, sparse]).0, "optim.id_table");
}

#[test]
fn a_view_that_nobody_reads_is_refused_unless_a_tower_mixes_it_in() {
    let one = "model.branches=[{ name = \"id\", view = \"id\" }]";
    let (key, reason, _) = refused(&[one]);
    assert_eq!(
        (key.as_str(), reason.as_str()),
        ("model.views.1.name", "= \"text\" is read by no branch, and there is no tower")
    );
    let sets = [one.to_owned(), "model.tower.blocks=1".to_owned()];
    assert!(parse(LATE_FUSION, Path::new("x.toml"), &sets).is_ok());
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    assert_eq!(refused(&["train.metric=txt/ndcg@10"]).2, "did you mean `text`?");
    assert_eq!(refused(&["train.metric=id/hit@10"]).2, "metrics: recall, ndcg, mrr");
    assert_eq!(refused(&["model.branches.0.view=image"]).2, "views: id, text");
}
