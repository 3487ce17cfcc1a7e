//! Settings beside a tokenizer's file, as transformers 5.24 reads them: the ids are its own.

use serde_json::json;

use super::sentence::{at, change, folder};
use super::*;

/// The fixture's tokenizer and model with these settings beside it.
fn open_beside(
    fixture: &str,
    config: Option<Value>,
    edit: impl FnOnce(&mut Value),
) -> Result<Tokenizer, EncodeError> {
    let home = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(fixtures(fixture).join(file), home.path().join(file)).unwrap();
    }
    change(&home.path().join("tokenizer.json"), edit);
    if let Some(config) = config {
        fs::write(home.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    }
    Tokenizer::open(home.path(), false)
}

#[test]
fn berts_class_follows_its_settings_and_not_the_normalizer_of_the_file() {
    let text = "Toy STORY Café Amélie a b c";
    let small =
        [2, 126, 25, 34, 195, 25, 27, 34, 115, 11, 16, 15, 113, 23, 15, 209, 15, 113, 114, 115, 3].as_slice();
    let accents = [2, 126, 25, 34, 195, 25, 27, 34, 1, 1, 113, 114, 115, 3].as_slice();
    let large = [2, 1, 1, 1, 1, 113, 114, 115, 3].as_slice();
    let config = |class: &str, lowercase: bool, strip: Value| {
        Some(json!({"tokenizer_class": class, "do_lower_case": lowercase, "strip_accents": strip}))
    };
    let lower = |on: bool| move |root: &mut Value| root["normalizer"]["lowercase"] = on.into();
    for (config, file_lowercase, wanted) in [
        (config("BertTokenizer", true, Value::Null), false, small),
        (config("BertTokenizerFast", true, true.into()), false, small),
        (config("BertTokenizer", true, false.into()), true, accents),
        (config("DistilBertTokenizer", false, Value::Null), true, large),
        (config("BertTokenizer", false, Value::Null), true, large),
        (Some(json!({"tokenizer_class": "BertTokenizer"})), false, small),
        // The class of the model, where no file names one.
        (Some(json!({})), false, small),
        (None, false, small),
        // Classes that take the file as it is.
        (config("TokenizersBackend", true, Value::Null), false, large),
        (config("PreTrainedTokenizerFast", false, Value::Null), true, small),
    ] {
        let tokenizer = open_beside("bert", config.clone(), lower(file_lowercase)).unwrap();
        assert_eq!(tokenizer.encode(text, 99).unwrap(), wanted, "{config:?} {file_lowercase}");
    }
    let other = |root: &mut Value| root["normalizer"] = json!({"type": "Lowercase"});
    let tokenizer = open_beside("bert", config("BertTokenizer", false, Value::Null), other).unwrap();
    assert_eq!(tokenizer.encode(text, 99).unwrap(), large);
    let odd = Some(json!({"tokenizer_class": "BertTokenizer", "do_lower_case": "yes"}));
    let error = open_beside("bert", odd, |_| {}).err().unwrap().to_string();
    assert!(error.contains("tokenizer_config.json") && error.contains("do_lower_case"), "{error}");
}

#[test]
fn the_end_that_is_kept_is_that_of_the_settings_or_else_of_the_file() {
    let cut = |direction: &'static str| {
        move |root: &mut Value| {
            root["truncation"] =
                json!({"direction": direction, "max_length": 8, "strategy": "LongestFirst", "stride": 0});
        }
    };
    let side = |side: &str| Some(json!({"tokenizer_class": "BertTokenizer", "truncation_side": side}));
    let (first, last) = ([2, 5, 6, 3], [2, 8, 9, 3]);
    for (config, direction, wanted) in [
        (None, "Left", last),
        (None, "Right", first),
        (side("right"), "Left", first),
        (side("left"), "Right", last),
    ] {
        let tokenizer = open_beside("sentence/base", config.clone(), cut(direction)).unwrap();
        let found = tokenizer.encode("red blue green shoe lamp", 4).unwrap();
        assert_eq!(found, wanted, "{config:?} {direction}");
    }
    let error = open_beside("sentence/base", side("middle"), |_| {}).err().unwrap().to_string();
    assert!(error.contains("truncation_side \"middle\""), "{error}");
}

#[test]
fn what_the_transformer_module_hands_to_its_tokenizer_goes_before_the_tokenizers_own() {
    let text = ["red blue green shoe lamp chair"];
    let row = |key: &str, given: Value, text: &str| {
        let home = folder("mean");
        change(&home.path().join("sentence_bert_config.json"), |root| root[key] = given);
        let encoder = at(home.path(), Settings { max_tokens: Some(4), ..Settings::default() })?;
        Ok::<_, EncodeError>(encoder.encode_texts(&[text]).unwrap().remove(0).unwrap())
    };
    let first = row("other", Value::Null, "red blue").unwrap();
    let last = row("other", Value::Null, "lamp chair").unwrap();
    assert!(largest_gap(&first, &row("other", Value::Null, text[0]).unwrap()) < 1e-6);
    for key in ["processor_kwargs", "tokenizer_args"] {
        let found = row(key, json!({"truncation_side": "left", "revision": "main"}), text[0]).unwrap();
        assert!(largest_gap(&found, &last) < 1e-6, "{key}");
        let found = row(key, json!({"do_lower_case": true}), "RED Blue").unwrap();
        assert!(largest_gap(&found, &first) < 1e-6, "{key}");
        let error = row(key, json!({"add_prefix_space": true}), text[0]).unwrap_err();
        let said = format!("{error}: {}", error.hint().unwrap());
        assert!(said.contains("sentence_bert_config.json") && said.contains("add_prefix_space"), "{said}");
        assert!(said.contains(key) && said.contains("features import"), "{said}");
    }
    let error = row("tokenizer_name_or_path", "elsewhere".into(), text[0]).unwrap_err().to_string();
    assert!(error.contains("tokenizer_name_or_path \"elsewhere\""), "{error}");
}

#[test]
fn a_store_whose_tokens_came_from_the_file_alone_is_not_continued_with_others() {
    let home = folder("mean");
    let tokenizer = home.path().join("tokenizer.json");
    let plain = at(home.path(), Settings::default()).unwrap();
    let hash = crate::artefact::hash_file(&tokenizer).unwrap().0;
    assert_eq!(plain.recipe().tokenizer_sha256.as_deref(), Some(hash.as_str()), "nothing stands beside it");
    change(&home.path().join("tokenizer_config.json"), |root| root["do_lower_case"] = true.into());
    let today = at(home.path(), Settings::default()).unwrap();
    let mut recipe = serde_json::to_value(today.recipe()).unwrap();
    let reopen = |recipe: &Value| {
        let about = json!({"recipe": recipe, "settings": today.settings()});
        Encoder::reopen(home.path(), &about, None, &Device::flex(), &mut |_, _, _| {})
    };
    assert!(reopen(&recipe).is_ok());
    recipe["tokenizer_sha256"] = hash.into();
    let error = reopen(&recipe).err().unwrap().to_string();
    assert!(error.contains("tokenizer_sha256"), "{error}");
}
