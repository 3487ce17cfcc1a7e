//! sentence-transformers folders against the library's own rows (`tests/fixtures/encoders/make_sentence.py`).

use super::*;

/// Largest difference to the library.
pub(super) const LIBRARY: f32 = 1e-5;

/// Copies all that lies below `from` over what lies below `to`.
pub(super) fn lay(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let dest = to.join(path.file_name().unwrap());
        if path.is_dir() {
            lay(&path, &dest);
        } else {
            fs::write(&dest, fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// The folder of one setting: the base with the setting's own files over it.
pub(super) fn folder(setting: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let own = fixtures("sentence").join(setting);
    let moved = own.join("0_Transformer");
    lay(&fixtures("sentence/base"), &home.path().join(if moved.exists() { "0_Transformer" } else { "" }));
    lay(&own, home.path());
    home
}

pub(super) fn at(folder: &Path, settings: Settings) -> Result<Encoder, EncodeError> {
    let settings = Settings { encoder: folder.display().to_string(), ..settings };
    Encoder::open(&settings, Modality::Text, &[], &Device::flex(), &mut |_, _, _| {})
}

pub(super) fn encode(encoder: &Encoder) -> Vec<Vec<f32>> {
    let texts = texts("sentence");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    encoder.encode_texts(&texts).unwrap().into_iter().map(Option::unwrap).collect()
}

pub(super) fn gap(found: &[Vec<f32>], wanted: &[Vec<f32>]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).map(|(a, b)| largest_gap(a, b)).fold(0.0, f32::max)
}

/// Changes a JSON file of the folder.
pub(super) fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut root: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut root);
    fs::write(path, root.to_string()).unwrap();
}

#[test]
fn every_pooling_setting_gives_the_librarys_rows() {
    let all = expected("sentence");
    assert_eq!(all.len(), 28);
    for (setting, wanted) in &all {
        let home = folder(setting);
        let encoder = at(home.path(), Settings::default()).unwrap();
        let gap = gap(&encode(&encoder), &rows(wanted));
        println!("{setting:40} {gap:.1e} {}", if gap < LIBRARY { "pass" } else { "FAIL" });
        assert!(gap < LIBRARY, "{setting}: {gap}");
        assert_eq!(encoder.recipe().width, wanted.0[1], "{setting}");
    }
    // The settings differ from each other, so none of them can pass by being passed over.
    let names: Vec<&String> = all.keys().collect();
    for (n, a) in names.iter().enumerate() {
        for b in names[n + 1..].iter().filter(|b| all[**b].0 == all[*a].0) {
            let (a_rows, b_rows) = (&all[*a].1, &all[*b].1);
            let same = largest_gap(a_rows, b_rows) < 10.0 * LIBRARY;
            // The flags of older releases say what the newer key says.
            let twins = [("cls", "flags"), ("weighted-flag", "weightedmean")];
            assert!(!same || twins.contains(&(a.as_str(), b.as_str())), "{a} and {b}");
        }
    }
}

#[test]
fn what_is_asked_for_goes_before_what_the_folder_says() {
    let all = expected("sentence");
    let check = |setting: &str, settings: Settings, wanted: &str| {
        let home = folder(setting);
        let found = encode(&at(home.path(), settings.clone()).unwrap());
        let gap = gap(&found, &rows(&all[wanted]));
        assert!(gap < LIBRARY, "{setting} {settings:?}: {gap}");
    };
    let pool = |pool| Settings { pool: Some(pool), ..Settings::default() };
    check("cls", pool(Pool::Mean), "mean");
    check("mean", pool(Pool::WeightedMean), "weightedmean");
    check("layer-norm", pool(Pool::Mean), "mean");
    check("length-of-tokenizer", Settings { max_tokens: Some(64), ..Settings::default() }, "mean");
    check("prompt", Settings { prompt: Some(String::new()), ..Settings::default() }, "mean");
    check("mean", Settings { prompt: Some("passage : ".into()), ..Settings::default() }, "prompt");
    let folded = folder("dense");
    let raw = encode(&at(folded.path(), Settings { unit: Some(false), ..Settings::default() }).unwrap());
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    for (raw, wanted) in raw.iter().zip(rows(&all["dense"])) {
        let unit: Vec<f32> = raw.iter().map(|v| v / length(raw)).collect();
        assert!((length(raw) - 1.0).abs() > 0.01 && largest_gap(&unit, &wanted) < LIBRARY);
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let modules = |at: usize, key: &'static str, value: Value| {
        (
            "modules.json",
            Box::new(move |root: &mut Value| root[at][key] = value) as Box<dyn FnOnce(&mut Value)>,
        )
    };
    let set = |file: &'static str, key: &'static str, value: Value| {
        (file, Box::new(move |root: &mut Value| root[key] = value) as Box<dyn FnOnce(&mut Value)>)
    };
    let router = "sentence_transformers.base.modules.router.Router";
    for (setting, (file, edit), wanted) in [
        ("dense", modules(2, "type", router.into()), router),
        ("dense", modules(0, "type", router.into()), router),
        ("dense", modules(2, "type", "my_package.Dense".into()), "my_package.Dense"),
        ("dense", modules(2, "path", "../2_Dense".into()), "leads out of the folder"),
        ("dense", modules(1, "type", "sentence_transformers.models.Dense".into()), "no Pooling"),
        ("dense", set("1_Pooling/config.json", "pooling_mode", "median".into()), "\"median\""),
        ("dense", set("1_Pooling/config.json", "pooling_mode", serde_json::json!([])), "empty list"),
        (
            "dense",
            set("2_Dense/config.json", "activation_function", "torch.nn.modules.activation.Mish".into()),
            "Mish",
        ),
        (
            "dense",
            set("2_Dense/config.json", "module_input_name", "token_embeddings".into()),
            "token_embeddings",
        ),
        ("dense", set("2_Dense/config.json", "in_features", 17.into()), "[8, 17]"),
        ("dense", set("2_Dense/config.json", "out_features", Value::Null), "out_features"),
        ("cls", set("sentence_bert_config.json", "transformer_task", "fill-mask".into()), "fill-mask"),
        (
            "cls",
            set("sentence_bert_config.json", "module_output_name", "sentence_embedding".into()),
            "last_hidden_state",
        ),
        (
            "cls",
            set("config_sentence_transformers.json", "model_type", "SparseEncoder".into()),
            "SparseEncoder",
        ),
        (
            "cls",
            set("config_sentence_transformers.json", "default_prompt_name", "clustering".into()),
            "clustering",
        ),
    ] {
        let home = folder(setting);
        change(&home.path().join(file), edit);
        let error = at(home.path(), Settings::default()).err().unwrap_or_else(|| panic!("{wanted}: opened"));
        assert!(error.to_string().contains(wanted), "{wanted}: {error}");
    }
    // What stands behind the pooling need not be understood to have the encoder without it.
    let home = folder("dense");
    change(&home.path().join("modules.json"), |root| root[2]["type"] = router.into());
    let encoder = at(home.path(), Settings { pool: Some(Pool::Mean), ..Settings::default() }).unwrap();
    assert!(encoder.recipe().modules.is_empty() && encoder.recipe().width == 16);
    // Weights that run code when they are read.
    let home = folder("dense");
    let weights = home.path().join("2_Dense/model.safetensors");
    fs::rename(&weights, weights.with_file_name("pytorch_model.bin")).unwrap();
    let error = at(home.path(), Settings::default()).err().unwrap();
    assert!(error.to_string().contains("no model.safetensors"), "{error}");
    // A prompt that leaves no room for the text.
    let home = folder("prompt-left-out-of-mean");
    let short = Settings { max_tokens: Some(3), ..Settings::default() };
    let error = at(home.path(), short).err().unwrap();
    assert!(error.to_string().contains("the prompt alone has 3 tokens"), "{error}");
}

#[test]
fn a_folder_without_modules_keeps_the_mean_and_its_lengths() {
    let home = tempfile::tempdir().unwrap();
    lay(&fixtures("sentence/base"), home.path());
    let encoder = at(home.path(), Settings::default()).unwrap();
    assert_eq!(encoder.recipe().max_tokens, Some(64), "128, of which the model has 64");
    assert!(gap(&encode(&encoder), &rows(&expected("sentence")["mean"])) < LIBRARY);
    change(&home.path().join("tokenizer.json"), |root| {
        root["truncation"] = serde_json::json!({"max_length": 9});
    });
    assert_eq!(at(home.path(), Settings::default()).unwrap().recipe().max_tokens, Some(9));
}

#[test]
fn a_store_from_before_is_continued_as_it_was_made() {
    // Commit 37a830e pooled any folder of release 6 by the mean, without its prompt, and cut where the tokenizer did.
    for setting in ["cls", "prompt", "cut-of-tokenizer-is-reset", "mean"] {
        let home = folder(setting);
        let today = at(home.path(), Settings::default()).unwrap();
        let mut recipe = serde_json::to_value(today.recipe()).unwrap();
        recipe["output"]["pool"] = "mean".into();
        recipe["max_tokens"] = 8.into();
        recipe.as_object_mut().unwrap().remove("prompt");
        let about = serde_json::json!({"recipe": recipe, "settings": today.settings()});
        let reopened =
            Encoder::reopen(home.path(), &about, None, &Device::flex(), &mut |_, _, _| {}).unwrap();
        let plain = tempfile::tempdir().unwrap();
        lay(&fixtures("sentence/base"), plain.path());
        let before = at(plain.path(), Settings { max_tokens: Some(8), ..Settings::default() }).unwrap();
        assert_eq!(encode(&reopened), encode(&before), "{setting}");
        // A store of today is continued by what it states.
        let about = serde_json::json!({"recipe": today.recipe(), "settings": today.settings()});
        let again = Encoder::reopen(home.path(), &about, None, &Device::flex(), &mut |_, _, _| {}).unwrap();
        assert_eq!(encode(&again), encode(&today), "{setting}");
    }
}

#[test]
fn a_store_with_modules_behind_the_pooling_is_bound_to_their_weights() {
    let home = folder("dense-residual");
    let today = at(home.path(), Settings::default()).unwrap();
    let about = serde_json::json!({"recipe": today.recipe(), "settings": today.settings()});
    let reopen = || Encoder::reopen(home.path(), &about, None, &Device::flex(), &mut |_, _, _| {});
    assert_eq!(encode(&reopen().unwrap()), encode(&today));
    let weights = home.path().join("3_Dense/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&0.5f32.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    let error = reopen().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("modules:"), "{error}");
}

#[test]
fn weights_in_several_files_are_those_of_one() {
    let home = folder("mean");
    let whole = home.path().join("model.safetensors");
    let bytes = fs::read(&whole).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (n, (name, view)) in file.iter().enumerate() {
        map.insert(name.to_owned(), format!("model-{}.safetensors", n % 3).into());
        parts[n % 3].push((name.to_owned(), view));
    }
    for (n, part) in parts.into_iter().enumerate() {
        let bytes = safetensors::serialize(part, None).unwrap();
        fs::write(home.path().join(format!("model-{n}.safetensors")), bytes).unwrap();
    }
    let one = encode(&at(home.path(), Settings::default()).unwrap());
    fs::remove_file(&whole).unwrap();
    let index = home.path().join("model.safetensors.index.json");
    fs::write(&index, serde_json::json!({"weight_map": map}).to_string()).unwrap();
    assert_eq!(encode(&at(home.path(), Settings::default()).unwrap()), one);
    for (name, wanted) in [("../model-0.safetensors", "weight_map"), ("absent.safetensors", "absent")] {
        change(&index, |root| root["weight_map"]["x"] = name.into());
        let error = at(home.path(), Settings::default()).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    fs::remove_file(&index).unwrap();
    assert!(at(home.path(), Settings::default()).err().unwrap().to_string().contains("no model.safetensors"));
}

#[test]
fn an_onnx_file_is_pooled_as_the_folder_around_it_says() {
    let all = expected("onnx");
    let states = valid(&all["last"], &all["mask"].1);
    let width = 6;
    let token = |row: &[f32], at: usize| row[at * width..(at + 1) * width].to_vec();
    let last = |row: &Vec<f32>| token(row, row.len() / width - 1);
    let max = |row: &Vec<f32>| -> Vec<f32> {
        (0..width).map(|c| row.iter().skip(c).step_by(width).copied().fold(f32::MIN, f32::max)).collect()
    };
    let weighted = |row: &Vec<f32>| -> Vec<f32> {
        let n = row.len() / width;
        let sum: f32 = (1..=n).map(|place| place as f32).sum();
        (0..width).map(|c| (0..n).map(|t| row[t * width + c] * (t + 1) as f32).sum::<f32>() / sum).collect()
    };
    let unit = |row: Vec<f32>| {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.into_iter().map(|v| v / length).collect::<Vec<_>>()
    };
    let both = |row: &Vec<f32>| [token(row, 0), max(row)].concat();
    type OfStates<'a> = &'a dyn Fn(&Vec<f32>) -> Vec<f32>;
    let cases: [(&str, OfStates); 4] = [
        ("\"lasttoken\"", &last),
        ("\"weightedmean\"", &weighted),
        ("[\"cls\", \"max\"]", &both),
        ("\"max\"", &max),
    ];
    for (mode, wanted) in cases {
        let home = folder("mean+lasttoken+mean_sqrt_len_tokens");
        fs::write(home.path().join("1_Pooling/config.json"), format!("{{\"pooling_mode\": {mode}}}"))
            .unwrap();
        fs::copy(fixtures("onnx/tokenizer.json"), home.path().join("tokenizer.json")).unwrap();
        // The folder's own settings, which are those of another tokenizer, would build its normalizer anew.
        let plain = r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
        fs::write(home.path().join("tokenizer_config.json"), plain).unwrap();
        let onnx = home.path().join("onnx");
        fs::create_dir(&onnx).unwrap();
        fs::copy(fixtures("onnx/text.onnx"), onnx.join("model.onnx")).unwrap();
        let settings = Settings { max_tokens: Some(20), ..Settings::default() };
        let encoder = at(&onnx.join("model.onnx"), settings).unwrap();
        let texts = texts("onnx");
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = encoder.encode_texts(&texts).unwrap();
        for (found, states) in found.into_iter().zip(&states) {
            // The folder's Normalize module stands behind the pooling.
            assert!(largest_gap(&found.unwrap(), &unit(wanted(states))) < PARITY, "{mode}");
        }
    }
}
