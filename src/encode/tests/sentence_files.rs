//! Files of sentence-transformers folders that are missing, or say what is followed or refused by name.

use serde_json::json;

use super::sentence::{LIBRARY, at, change, encode, folder, gap};
use super::*;

/// The refusal with its hint.
fn refusal(home: &Path, settings: Settings) -> String {
    let error = at(home, settings).err().expect("it opened");
    format!("{error} hint: {}", error.hint().unwrap_or_default())
}

fn most(max_tokens: usize) -> Settings {
    Settings { max_tokens: Some(max_tokens), ..Settings::default() }
}

#[test]
fn a_module_without_the_file_that_makes_it_is_refused() {
    for (setting, file) in [
        ("cls", "1_Pooling/config.json"),
        ("dense", "2_Dense/config.json"),
        ("layer-norm", "2_LayerNorm/config.json"),
    ] {
        let home = folder(setting);
        fs::remove_file(home.path().join(file)).unwrap();
        let said = refusal(home.path(), Settings::default());
        assert!(said.contains(file) && said.contains("download it again"), "{setting}: {said}");
        // The way out that the hint names.
        at(home.path(), Settings { pool: Some(Pool::Mean), ..Settings::default() }).unwrap();
    }
    // The library needs none for this one.
    let home = folder("dense");
    let unit = home.path().join("3_Normalize/config.json");
    if unit.exists() {
        fs::remove_file(unit).unwrap();
    }
    assert!(
        gap(&encode(&at(home.path(), Settings::default()).unwrap()), &rows(&expected("sentence")["dense"]))
            < LIBRARY
    );
}

#[test]
fn a_pooling_that_is_not_understood_is_refused_by_its_key() {
    for (config, wanted) in [
        (json!({"pooling_mode_attention": true}), "pooling_mode_attention"),
        (json!({"pooling_mode_cls_token": true, "pooling_mode_attention": false}), "pooling_mode_attention"),
        (json!({"pooling_mode": null}), "pooling_mode null"),
        (json!({"pooling_mode": null, "pooling_mode_cls_token": true}), "pooling_mode null"),
        (json!({"pooling_mode_cls_token": 1}), "pooling_mode_cls_token 1"),
        (json!({"pooling_mode": "cls", "include_prompt": "no"}), "include_prompt"),
    ] {
        let home = folder("cls");
        fs::write(home.path().join("1_Pooling/config.json"), config.to_string()).unwrap();
        let said = refusal(home.path(), Settings::default());
        assert!(said.contains(wanted) && said.contains("1_Pooling/config.json"), "{config}: {said}");
        assert!(said.contains("--pool"), "{config}: {said}");
    }
    // Flags that are all off, and none at all, are the mean in the library too.
    for config in [json!({"pooling_mode_cls_token": false}), json!({"embedding_dimension": 16})] {
        let home = folder("cls");
        fs::write(home.path().join("1_Pooling/config.json"), config.to_string()).unwrap();
        let found = encode(&at(home.path(), Settings::default()).unwrap());
        assert!(gap(&found, &rows(&expected("sentence")["mean"])) < LIBRARY, "{config}");
    }
}

#[test]
fn the_length_of_every_call_goes_before_the_tokenizers() {
    let calling = |calls: Value| {
        let home = folder("mean");
        change(&home.path().join("sentence_bert_config.json"), |root| root["processing_kwargs"] = calls);
        home
    };
    for (calls, wanted) in [
        (json!({"text": {"max_length": 10, "truncation": true}}), 10),
        (json!({"common": {"max_length": 10}}), 10),
        (json!({"text": {"max_length": 10}, "common": {"max_length": 10, "padding": "max_length"}}), 10),
        (json!({"text": {"truncation": "longest_first"}, "chat_template": {"x": 1}}), 64),
        (json!({"image": {"size": 3}, "text": {}}), 64),
        (Value::Null, 64),
    ] {
        let home = calling(calls.clone());
        let encoder = at(home.path(), Settings::default()).unwrap();
        assert_eq!(encoder.recipe().max_tokens, Some(wanted), "{calls}");
        assert_eq!(at(home.path(), most(5)).unwrap().recipe().max_tokens, Some(5), "asked for");
    }
    for (calls, wanted) in [
        (
            json!({"text": {"max_length": 10, "truncation": false}}),
            "truncation false in processing_kwargs.text",
        ),
        (json!({"text": {"truncation": "do_not_truncate"}}), "do_not_truncate"),
        (
            json!({"common": {"add_special_tokens": false}}),
            "add_special_tokens false in processing_kwargs.common",
        ),
        (json!({"text": {"max_length": 10}, "common": {"max_length": 12}}), "max_length 12"),
        (json!({"text": {"max_length": -1}}), "max_length -1"),
        (json!({"text": {"padding_side": "left"}}), "padding_side"),
    ] {
        let said = refusal(calling(calls.clone()).path(), Settings::default());
        assert!(said.contains(wanted) && said.contains("sentence_bert_config.json"), "{calls}: {said}");
    }
}

#[test]
fn a_default_prompt_that_is_not_there_matters_only_where_it_is_used() {
    let home = folder("cls");
    let prompts = home.path().join("config_sentence_transformers.json");
    change(&prompts, |root| root["default_prompt_name"] = "clustering".into());
    let said = refusal(home.path(), Settings::default());
    assert!(said.contains("\"clustering\"") && said.contains("--prompt TEXT"), "{said}");
    for prompt in ["", "passage : "] {
        let settings = Settings { prompt: Some(prompt.into()), ..Settings::default() };
        let encoder = at(home.path(), settings).unwrap();
        assert_eq!(encoder.recipe().prompt.as_deref().unwrap_or(""), prompt);
    }
    // A prompt without a text is an empty one in the library.
    change(&prompts, |root| root["prompts"]["clustering"] = Value::Null);
    assert_eq!(at(home.path(), Settings::default()).unwrap().recipe().prompt, None);
}

#[test]
fn a_prompt_that_leaves_nothing_of_a_text_is_refused_whether_it_is_pooled_or_not() {
    for setting in ["prompt", "prompt-left-out-of-mean"] {
        let home = folder(setting);
        // The first token, the prompt's two and the last one.
        let said = refusal(home.path(), most(4));
        assert!(said.contains("the prompt alone has 3 tokens"), "{setting}: {said}");
        assert!(said.contains("--max-tokens") && said.contains("--prompt"), "{setting}: {said}");
        let states = refusal(home.path(), Settings { tokens: Some(true), ..most(4) });
        assert!(states.contains("the prompt alone"), "{setting}: {states}");
        let found = at(home.path(), most(5)).unwrap().encode_texts(&["red", "lamp"]).unwrap();
        assert!(largest_gap(found[0].as_ref().unwrap(), found[1].as_ref().unwrap()) > 1e-3, "{setting}");
        at(home.path(), Settings { prompt: Some(String::new()), ..most(4) }).unwrap();
    }
    // Cut at its beginning, a text keeps its own tokens.
    let home = folder("prompt");
    change(&home.path().join("tokenizer_config.json"), |root| root["truncation_side"] = "left".into());
    at(home.path(), most(4)).unwrap();
}
