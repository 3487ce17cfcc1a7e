use proptest::prelude::*;

use super::*;
use crate::config::{EncoderConfig, Gru4recConfig, NextitnetConfig, SasrecConfig, Windows};

/// One of each: a nested table, a list of tables, a tagged enum.
const ODMT: &str = r#"
seed = 3
[data.synth]
users = 100
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
encoder = { kind = "sasrec", blocks = 1, heads = 4 }
[[model.branches]]
name = "text"
view = "text"
[objective.distill]
pairs = [ { student = "text", teacher = "id" } ]
"#;

fn with(text: &str, sets: &[&str]) -> Result<Loaded, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
    parse(text, Path::new("a/x.toml"), &sets)
}

/// The message and hint as the command line shows them.
fn said(result: Result<Loaded, ConfigError>) -> String {
    let error = result.unwrap_err();
    error.hint().map_or(error.to_string(), |hint| format!("{error}\nhint: {hint}"))
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    let told = |text: &str| said(with(&ODMT.replace("seed = 3", text), &[]));
    assert_eq!(told("sede = 3"), "a/x.toml:2:1: unknown key `sede`\nhint: did you mean `seed`?");
    let inside = |old: &str, new: &str| said(with(&ODMT.replace(old, new), &[]));
    assert_eq!(
        inside("users = 100", "user = 100"),
        "a/x.toml:4:1: unknown key `data.synth.user`\nhint: did you mean `data.synth.users`?"
    );
}

#[test]
fn an_unknown_key_in_a_list_or_an_encoder_is_found_on_its_own_line() {
    let inside = |old: &str, new: &str| said(with(&ODMT.replace(old, new), &[]));
    assert_eq!(
        inside("view = \"text\"", "viwe = \"text\""),
        "a/x.toml:19:1: unknown key `model.branches.1.viwe`\nhint: did you mean `model.branches.1.view`?"
    );
    assert_eq!(
        inside("heads = 4", "haeds = 4"),
        "a/x.toml:16:42: unknown key `model.branches.0.encoder.haeds`\n\
         hint: did you mean `model.branches.0.encoder.heads`?"
    );
    // A key of another kind of encoder is unknown to this one.
    assert_eq!(
        inside("heads = 4", "layers = 4"),
        "a/x.toml:16:42: unknown key `model.branches.0.encoder.layers`\n\
         hint: known keys here: blocks, heads, kind"
    );
    assert_eq!(
        inside("teacher = \"id\"", "teacher = \"id\", weight = 2"),
        "a/x.toml:21:47: unknown key `objective.distill.pairs.0.weight`\nhint: known keys here: student, teacher"
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    assert_eq!(
        said(with(&format!("{ODMT}[train]\nlr = 0.1\n"), &[])),
        "a/x.toml:23:1: unknown key `train.lr`\nhint: did you mean `optim.lr`?"
    );
}

#[test]
fn broken_toml_and_wrong_types_name_line_and_column() {
    assert_eq!(said(with("seed = 1\n[data\n", &[])), "a/x.toml:2:6: unclosed table, expected `]`");
    assert_eq!(
        said(with("[train]\nepochs = \"ten\"\n", &[])),
        "a/x.toml:2:10: invalid type: string \"ten\", expected usize"
    );
    assert_eq!(
        said(with("[data]\nwindows = \"al\"\n", &[])),
        "a/x.toml:2:11: unknown variant `al`, expected `last` or `all`\nhint: did you mean `all`?"
    );
    let message = said(with(&ODMT.replace("\"sasrec\"", "\"gru\""), &[]));
    // The tests have an encoder more than the program.
    assert_eq!(
        message.replace(", `toy`", ""),
        "a/x.toml:16:20: unknown variant `gru`, expected one of `sasrec`, `gru4rec`, `nextitnet`\n\
         hint: did you mean `gru4rec`?"
    );
}

#[test]
fn a_rule_that_is_broken_names_the_line_that_broke_it() {
    assert_eq!(
        said(with(&ODMT.replace("heads = 4", "heads = 3"), &[])),
        "a/x.toml:16:42: `model.branches.0.encoder.heads` = 3 does not divide model.width = 16\n\
         hint: heads that do: 1, 2, 4, 8, 16"
    );
    assert_eq!(
        said(with(ODMT, &["model.branches.0.encoder.heads=3"])),
        "--set model.branches.0.encoder.heads=3: `model.branches.0.encoder.heads` = 3 does not divide \
         model.width = 16\nhint: heads that do: 1, 2, 4, 8, 16"
    );
}

#[test]
fn sets_override_the_file_in_order_and_fill_defaults() {
    let sets =
        ["seed=4", "seed=5", "model.tower.blocks=1", "eval.ks=[3, 10]", "data.windows=all", "optim.lr=1"];
    let config = with(ODMT, &sets).unwrap().config;
    assert_eq!(config.seed, 5);
    assert_eq!(config.model.tower.map(|t| (t.blocks, t.heads)), Some((1, 2)));
    assert_eq!(config.eval.ks, [3, 10]);
    assert_eq!(config.data.windows, Windows::All);
    assert!((config.optim.lr - 1.0).abs() < 1e-12, "an integer serves as a real number");
}

#[test]
fn a_path_or_a_name_needs_no_quotes() {
    let config = with(ODMT, &["data.path=/x/y z", "run.name=2024", "data.features.text=f/1"]).unwrap().config;
    assert_eq!(config.data.path.as_deref(), Some(Path::new("/x/y z")));
    assert_eq!(config.run.name, "2024");
    assert_eq!(config.data.features["text"], Path::new("f/1"));
    let quoted = with(ODMT, &["data.path=\"/x=y\""]).unwrap().config;
    assert_eq!(quoted.data.path.as_deref(), Some(Path::new("/x=y")));
}

#[test]
fn a_new_encoder_kind_brings_its_own_defaults() {
    let loaded = with(ODMT, &["model.branches.0.encoder.kind=gru4rec"]).unwrap();
    assert_eq!(loaded.config.model.branches[0].encoder, EncoderConfig::Gru4rec(Gru4recConfig { layers: 1 }));
    // The order of sets that only together make sense does not matter.
    let sets = ["model.branches.0.encoder.layers=2", "model.branches.0.encoder.kind=gru4rec"];
    let encoder = with(ODMT, &sets).unwrap().config.model.branches[0].encoder.clone();
    assert_eq!(encoder, EncoderConfig::Gru4rec(Gru4recConfig { layers: 2 }));
    let sets = ["model.branches.0.encoder.kind=nextitnet", "model.branches.0.encoder.kernel=2"];
    let encoder = with(ODMT, &sets).unwrap().config.model.branches[0].encoder.clone();
    assert_eq!(encoder, EncoderConfig::Nextitnet(NextitnetConfig { kernel: 2, dilations: vec![1, 2, 1, 2] }));
    // The same kind again changes nothing.
    let same = with(ODMT, &["model.branches.0.encoder.kind=sasrec"]).unwrap();
    assert_eq!(
        same.config.model.branches[0].encoder,
        EncoderConfig::Sasrec(SasrecConfig { blocks: 1, heads: 4 })
    );
}

#[test]
fn none_takes_an_optional_table_away() {
    let text = format!("{ODMT}[model.tower]\nblocks = 1\n");
    assert!(with(&text, &[]).unwrap().config.model.tower.is_some());
    assert!(with(&text, &["model.tower=none"]).unwrap().config.model.tower.is_none());
}

#[test]
fn none_takes_an_optional_table_of_a_list_entry_away() {
    let replaced = "model.views.1.replace={ kind = \"ones\" }";
    assert!(with(ODMT, &[replaced]).unwrap().config.model.views[1].replace.is_some());
    let sets = [replaced, "model.views.1.replace=none"];
    assert!(with(ODMT, &sets).unwrap().config.model.views[1].replace.is_none());
}

#[test]
fn a_bad_set_is_named_with_the_reason() {
    assert_eq!(
        said(with(ODMT, &["model.widht=8"])),
        "--set model.widht=8: unknown key `model.widht`\nhint: did you mean `model.width`?"
    );
    assert_eq!(
        said(with(ODMT, &["model.branches.0.encoder.layers=2"])),
        "--set model.branches.0.encoder.layers=2: unknown key `model.branches.0.encoder.layers`\n\
         hint: known keys here: blocks, heads, kind"
    );
    assert_eq!(
        said(with(ODMT, &["seed"])),
        "--set seed: not of the form key=value\nhint: write for example --set model.width=32"
    );
    assert_eq!(
        said(with(ODMT, &["model.branches.7.name=a"])),
        "--set model.branches.7.name=a: `model.branches` has 2 entries, numbered from 0; there is no `7`"
    );
    assert_eq!(
        said(with(ODMT, &["train.epochs.x=1"])),
        "--set train.epochs.x=1: `train.epochs` is a single value and has no `x`"
    );
    assert_eq!(
        said(with(ODMT, &["seed=6", "train.epochs=ten"])),
        "--set train.epochs=ten: invalid type: string \"ten\", expected usize"
    );
    assert_eq!(
        said(with(ODMT, &["data.windows=lst"])),
        "--set data.windows=lst: unknown variant `lst`, expected `last` or `all`\nhint: did you mean `last`?"
    );
}

#[test]
fn every_value_knows_where_it_comes_from() {
    let loaded = with(ODMT, &["optim.lr=0.5", "model.branches.0.encoder.kind=gru4rec"]).unwrap();
    let origin = |key: &str| loaded.origins[key];
    assert_eq!(origin("seed"), Origin::File { line: 2 });
    assert_eq!(origin("data.synth.users"), Origin::File { line: 4 });
    assert_eq!(origin("model.branches.1.view"), Origin::File { line: 19 });
    assert_eq!(origin("objective.distill.pairs.0.teacher"), Origin::File { line: 21 });
    assert_eq!(origin("optim.lr"), Origin::Set);
    assert_eq!(origin("optim.beta1"), Origin::Default);
    assert_eq!(origin("model.branches.0.encoder.kind"), Origin::Set);
    assert_eq!(origin("model.branches.0.encoder.layers"), Origin::Default);
    assert_eq!(origin("eval.ks"), Origin::Default);
}

#[test]
fn the_resolved_configuration_reads_back_as_itself() {
    let config = with(ODMT, &["model.tower.blocks=1", "data.features.text=f/1"]).unwrap().config;
    let text = config.to_toml().unwrap();
    assert_eq!(with(&text, &[]).unwrap().config, config);
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("no/such.toml"), &[]).unwrap_err();
    assert!(error.to_string().starts_with("no/such.toml: "), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn every_configuration_of_the_project_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue; // studies have a type of their own
        }
        let loaded = load(&path, &[]).unwrap_or_else(|e| panic!("{e}\n{:?}", e.hint()));
        assert!(loaded.text.contains("codistill train configs/"), "{path:?} does not say how it is run");
        assert_eq!(loaded.config.run.name, path.file_stem().unwrap().to_string_lossy());
        names.push(loaded.config.run.name);
    }
    assert!(names.len() >= 11, "{names:?}");
}

proptest! {
    #[test]
    fn no_text_and_no_set_makes_it_panic(text in "\\PC{0,80}", set in "\\PC{0,40}") {
        let _ = with(&text, &[&set]);
        let _ = with(ODMT, &[&set]);
    }

    #[test]
    fn no_broken_configuration_makes_it_panic(
        cut in 0..ODMT.len(), put in 0..ODMT.len(), junk in "[a-z0-9=\\[\\]{}\". \n]{0,8}",
        key in "(model|data|seed|objective|branches|views|0|1|encoder|kind|\\.){1,6}", value in "[a-z0-9\"\\[\\]{}=.]{0,6}",
    ) {
        let (low, high) = (cut.min(put), cut.max(put));
        let _ = with(&format!("{}{junk}{}", &ODMT[..low], &ODMT[high..]), &[]);
        let _ = with(ODMT, &[&format!("{key}={value}")]);
    }
}
