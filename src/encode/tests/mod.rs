//! Native encoders and tokenizers against Hugging Face transformers, through the fixtures of
//! `tests/encoder_fixtures.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::SafeTensors;
use serde_json::Value;

use super::tokenizer::Tokenizer;
use super::*;

mod damage;
mod golden;
mod picture_classes;
mod pictures;
mod sentence;
mod sentence_files;
mod tokenizer_settings;
mod transformers5;

/// Largest difference to transformers on the CPU.
const PARITY: f32 = 1e-4;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoders").join(name)
}

/// Tensors of `expected.safetensors`, whatever their type, as numbers.
fn expected(name: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(fixtures(name).join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: safetensors::tensor::TensorView| -> Vec<f32> {
        let data = view.data();
        match view.dtype() {
            safetensors::Dtype::F32 => {
                data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            }
            safetensors::Dtype::I64 => {
                data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
            }
            safetensors::Dtype::U8 => data.iter().map(|&b| f32::from(b)).collect(),
            other => panic!("{other:?}"),
        }
    };
    file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), numbers(view)))).collect()
}

fn open(name: &str, modality: Modality, settings: Settings) -> Result<Encoder, EncodeError> {
    let encoder = fixtures(name).display().to_string();
    Encoder::open(&Settings { encoder, ..settings }, modality, &[], &Device::flex(), &mut |_, _, _| {})
}

fn largest_gap(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Valid tokens of a padded `[B, T, f]`, input after input.
fn valid(states: &(Vec<usize>, Vec<f32>), mask: &[f32]) -> Vec<Vec<f32>> {
    let [b, t, f] = states.0[..] else { panic!("{:?}", states.0) };
    (0..b)
        .map(|n| {
            let length = mask[n * t..(n + 1) * t].iter().sum::<f32>() as usize;
            states.1[n * t * f..(n * t + length) * f].to_vec()
        })
        .collect()
}

fn texts(name: &str) -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(fixtures(name).join("texts.json")).unwrap()).unwrap()
}

/// Encodes the fixture's texts and compares with `wanted`, one row a text.
fn check_texts(name: &str, from: &str, settings: Settings, wanted: &[Vec<f32>]) {
    let settings = Settings { max_tokens: Some(20), ..settings };
    let encoder = open(name, Modality::Text, settings.clone()).unwrap();
    let texts = texts(from);
    let found = encoder.encode_texts(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for (n, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let gap = largest_gap(found.as_ref().unwrap(), wanted);
        assert!(gap < PARITY, "{name} {settings:?}, text {n}: {gap}");
    }
}

fn rows(tensor: &(Vec<usize>, Vec<f32>)) -> Vec<Vec<f32>> {
    tensor.1.chunks(tensor.0[1..].iter().product()).map(<[f32]>::to_vec).collect()
}

fn tokens(layer: Option<i64>) -> Settings {
    Settings { tokens: Some(true), layer, ..Settings::default() }
}

#[test]
fn bert_equals_transformers_in_every_layer_and_pooling() {
    let all = expected("bert");
    let mask = &all["mask"].1;
    for layer in 0..=3 {
        let wanted = valid(&all[&format!("hidden.{layer}")], mask);
        check_texts("bert", "bert", tokens(Some(layer)), &wanted);
        check_texts("bert", "bert", tokens(Some(layer - 4)), &wanted);
    }
    check_texts("bert", "bert", tokens(None), &valid(&all["hidden.3"], mask));
    check_texts("bert", "bert", Settings::default(), &rows(&all["mean"]));
    let unit = Settings { unit: Some(true), ..Settings::default() };
    check_texts("bert", "bert", unit, &rows(&all["unit"]));
    let first = |rows: Vec<Vec<f32>>| rows.into_iter().map(|row| row[..16].to_vec()).collect::<Vec<_>>();
    let cls = Settings { pool: Some(Pool::Cls), ..Settings::default() };
    check_texts("bert", "bert", cls, &first(valid(&all["hidden.3"], mask)));
    let most = |row: Vec<f32>| {
        let column = |c: usize| row.iter().skip(c).step_by(16).copied().fold(f32::MIN, f32::max);
        (0..16).map(column).collect::<Vec<_>>()
    };
    let largest: Vec<Vec<f32>> = valid(&all["hidden.3"], mask).into_iter().map(most).collect();
    check_texts("bert", "bert", Settings { pool: Some(Pool::Max), ..Settings::default() }, &largest);
}

#[test]
fn a_text_is_encoded_alike_alone_and_among_longer_ones() {
    let encoder = open("bert", Modality::Text, Settings::default()).unwrap();
    let alone = encoder.encode_texts(&["a"]).unwrap();
    let among = encoder.encode_texts(&["a", "Москва слезам не верит", ""]).unwrap();
    assert!(largest_gap(alone[0].as_ref().unwrap(), among[0].as_ref().unwrap()) < 1e-5);
    assert_eq!(among[2], None);
}

#[test]
fn prefixes_heads_old_norm_names_half_precision_and_published_poolings_are_read() {
    let encoder = open("bert-old-layout", Modality::Text, Settings::default()).unwrap();
    assert_eq!(encoder.recipe().output.pool, Some(Pool::Mean.into()));
    assert!(encoder.recipe().output.unit);
    let found = encoder.encode_texts(&[texts("bert")[0].as_str()]).unwrap();
    // The weights were rounded to 8 bits.
    let gap = largest_gap(found[0].as_ref().unwrap(), &rows(&expected("bert")["unit"])[0]);
    assert!(gap > 0.0 && gap < 0.05, "{gap}");
}

#[test]
fn clip_texts_equal_transformers_from_the_whole_and_from_the_tower_alone() {
    let all = expected("clip");
    let mask = &all["mask"].1;
    for name in ["clip", "clip-text"] {
        check_texts(name, "clip", Settings::default(), &rows(&all["text_embeds"]));
        check_texts(name, "clip", tokens(None), &valid(&all["text_last"], mask));
        for layer in 0..=2 {
            let raw = Settings { final_norm: Some(false), ..tokens(Some(layer)) };
            check_texts(name, "clip", raw, &valid(&all[&format!("text_hidden.{layer}")], mask));
        }
    }
}

/// Encodes the fixture's picture and compares.
fn check_picture(name: &str, settings: Settings, wanted: &[f32]) {
    let encoder = open(name, Modality::Image, settings.clone()).unwrap();
    let path = fixtures("pictures/plain.png");
    let found = encoder.encode_pictures(&[&path, &path]).unwrap();
    for found in found {
        let gap = largest_gap(&found.unwrap(), wanted);
        assert!(gap < PARITY, "{name} {settings:?}: {gap}");
    }
}

#[test]
fn vit_equals_transformers_from_the_picture_on() {
    let all = expected("vit");
    check_picture("vit", tokens(None), &all["last"].1);
    check_picture("vit", Settings::default(), &all["last"].1[..16]);
    for layer in 0..=2 {
        let raw = Settings { final_norm: Some(false), ..tokens(Some(layer)) };
        check_picture("vit", raw, &all[&format!("hidden.{layer}")].1);
    }
}

#[test]
fn clip_pictures_equal_transformers_from_the_whole_and_from_the_tower_alone() {
    let all = expected("clip");
    for name in ["clip", "clip-vision"] {
        check_picture(name, Settings::default(), &all["image_embeds"].1);
        check_picture(name, tokens(None), &all["image_last"].1);
        for layer in 0..=2 {
            check_picture(name, tokens(Some(layer)), &all[&format!("image_hidden.{layer}")].1);
        }
    }
}

#[test]
fn onnx_files_equal_onnx_runtime() {
    let all = expected("onnx");
    let named = |preprocess: &str, output: Option<&str>| Settings {
        preprocess: Some(preprocess.into()),
        onnx_output: output.map(str::to_owned),
        ..Settings::default()
    };
    check_picture("onnx/picture.onnx", named("vit", None), &all["logits"].1);
    check_picture("onnx/picture.onnx", named("vit", Some("features")), &all["features"].1);
    let states = valid(&all["last"], &all["mask"].1);
    check_texts("onnx/text.onnx", "onnx", tokens(None), &states);
    let mean = |row: &Vec<f32>| {
        let count = (row.len() / 6) as f32;
        (0..6).map(|c| row.iter().skip(c).step_by(6).sum::<f32>() / count).collect::<Vec<_>>()
    };
    let means: Vec<Vec<f32>> = states.iter().map(mean).collect();
    check_texts("onnx/text.onnx", "onnx", Settings::default(), &means);
    for (settings, wanted) in [
        (Settings::default(), "--preprocess"),
        (named("vit", Some("nothing")), "logits, features"),
        (Settings { layer: Some(1), ..named("vit", None) }, "no layers"),
        (Settings { side: Some(40), ..named("vit", None) }, "the model failed"),
    ] {
        let said = open("onnx/picture.onnx", Modality::Image, settings).err().unwrap().to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let said = open("onnx/picture.onnx", Modality::Text, Settings::default()).err().unwrap();
    assert!(said.hint().unwrap().contains("input_ids"), "{said}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn flipped_bytes_of_onnx_files_are_an_error_or_a_model_and_never_a_panic(
        places in proptest::collection::vec((0usize..4000, proptest::prelude::any::<u8>()), 1..4)
    ) {
        let mut bytes = fs::read(fixtures("onnx/picture.onnx")).unwrap();
        for (at, to) in places {
            let place = at % bytes.len();
            bytes[place] = to;
        }
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.onnx");
        fs::write(&path, bytes).unwrap();
        let encoder = path.display().to_string();
        let settings = Settings { encoder, preprocess: Some("vit".into()), side: Some(32), ..Settings::default() };
        let _ = Encoder::open(&settings, Modality::Image, &[], &Device::flex(), &mut |_, _, _| {});
    }
}

#[test]
fn the_odmt_preset_takes_the_state_before_the_final_norm_with_its_own_constants() {
    let settings = Settings { odmt: true, ..Settings::default() };
    let encoder = open("clip", Modality::Image, settings.clone()).unwrap();
    let recipe = encoder.recipe();
    assert_eq!((recipe.tokens, recipe.width, recipe.output.layer), (17, 24, 2));
    assert!(!recipe.output.final_norm && recipe.output.pool.is_none());
    let preprocessing = recipe.preprocessing.as_ref().unwrap();
    assert_eq!((preprocessing.mean, preprocessing.std, preprocessing.side), ([0.5; 3], [0.5; 3], 32));
    let text = open("bert", Modality::Text, settings).unwrap();
    // 30 as published; this tiny model has 24 positions.
    assert_eq!((text.recipe().tokens, text.recipe().max_tokens), (24, Some(24)));
}

#[test]
fn tokenizers_equal_hugging_faces_on_many_scripts() {
    let cases: Value = serde_json::from_str(&fs::read_to_string(fixtures("texts.json")).unwrap()).unwrap();
    for (name, folder) in [("bert", "bert"), ("clip", "clip"), ("cased", "cased")] {
        let tokenizer = Tokenizer::open(&fixtures(folder), false).unwrap();
        let pairs = cases["texts"].as_array().unwrap().iter().zip(cases[name].as_array().unwrap());
        for (text, wanted) in pairs {
            let wanted: Vec<u32> =
                wanted.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            let text = text.as_str().unwrap();
            assert_eq!(tokenizer.encode(text, 10_000).unwrap(), wanted, "{name}: {text:?}");
            let cut = tokenizer.encode(text, 8).unwrap();
            assert_eq!(cut.len(), wanted.len().min(8), "{name}: {text:?}");
            assert_eq!((cut[0], cut.last()), (wanted[0], wanted.last()), "special tokens survive the cut");
        }
    }
}

#[test]
fn every_character_is_tokenised_as_hugging_face_does() {
    let tokenizer = Tokenizer::open(&fixtures("bert"), false).unwrap();
    let runs: Vec<(u32, u32, Vec<u32>)> =
        serde_json::from_str(&fs::read_to_string(fixtures("characters.json")).unwrap()).unwrap();
    let mut differing = Vec::new();
    for (first, last, wanted) in runs {
        for code in first..=last {
            let text = format!("a{}b", char::from_u32(code).unwrap());
            let found = tokenizer.encode(&text, 100).unwrap();
            if found[1..found.len() - 1] != wanted[..] {
                differing.push(code);
            }
        }
    }
    assert!(differing.is_empty(), "{} differ: {:x?}", differing.len(), &differing[..differing.len().min(60)]);
}

#[test]
fn a_sentencepiece_tokenizer_gives_the_librarys_ids() {
    let texts: Value = serde_json::from_str(&fs::read_to_string(fixtures("texts.json")).unwrap()).unwrap();
    let ids = fs::read_to_string(fixtures("unigram/ids.json")).unwrap();
    let ids: Vec<Vec<u32>> = serde_json::from_str(&ids).unwrap();
    let tokenizer = Tokenizer::open(&fixtures("unigram"), false).unwrap();
    let texts = texts["texts"].as_array().unwrap();
    assert_eq!(texts.len(), ids.len());
    for (text, wanted) in texts.iter().zip(&ids) {
        let text = text.as_str().unwrap();
        assert_eq!(&tokenizer.encode(text, 10_000).unwrap(), wanted, "{text:?}");
        let cut = tokenizer.encode(text, 6).unwrap();
        assert_eq!((cut.len(), cut.last()), (wanted.len().min(6), wanted.last()), "{text:?}");
    }
}

#[test]
fn an_older_vocabulary_file_gives_the_ids_of_its_tokenizer_file() {
    let home = tempfile::tempdir().unwrap();
    let root: Value =
        serde_json::from_str(&fs::read_to_string(fixtures("bert/tokenizer.json")).unwrap()).unwrap();
    let mut tokens: Vec<(&String, u64)> =
        root["model"]["vocab"].as_object().unwrap().iter().map(|(t, id)| (t, id.as_u64().unwrap())).collect();
    tokens.sort_by_key(|(_, id)| *id);
    let lines: Vec<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    fs::write(home.path().join("vocab.txt"), lines.join("\n")).unwrap();
    let cases: Value = serde_json::from_str(&fs::read_to_string(fixtures("texts.json")).unwrap()).unwrap();
    let (whole, older) =
        (Tokenizer::open(&fixtures("bert"), false).unwrap(), Tokenizer::open(home.path(), false).unwrap());
    assert_eq!(whole.largest(), older.largest());
    for text in cases["texts"].as_array().unwrap() {
        let text = text.as_str().unwrap();
        assert_eq!(whole.encode(text, 30).unwrap(), older.encode(text, 30).unwrap(), "{text:?}");
    }
    fs::write(home.path().join("tokenizer_config.json"), r#"{"truncation_side": "left"}"#).unwrap();
    let left = Tokenizer::open(home.path(), false).unwrap();
    let (all, cut) = (left.encode("a b c d e f", 99).unwrap(), left.encode("a b c d e f", 5).unwrap());
    assert_eq!((cut[0], &cut[1..]), (all[0], &all[all.len() - 4..]), "the beginning is cut off");
    fs::write(home.path().join("vocab.txt"), "a\nb\n").unwrap();
    assert!(Tokenizer::open(home.path(), false).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn flipped_bytes_of_tokenizer_files_are_an_error_or_a_tokenizer_and_never_a_panic(
        which in 0usize..3, places in proptest::collection::vec((0usize..16_000, proptest::prelude::any::<u8>()), 1..3)
    ) {
        let mut bytes = fs::read(fixtures(["bert", "clip", "unigram"][which]).join("tokenizer.json")).unwrap();
        for (at, to) in places {
            let place = at % bytes.len();
            bytes[place] = to;
        }
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("tokenizer.json"), bytes).unwrap();
        if let Ok(tokenizer) = Tokenizer::open(home.path(), false) {
            let _ = tokenizer.encode("Toy Story: don't panic, 42 \u{2581} <s>", 9);
        }
    }
}

#[test]
fn a_long_text_without_spaces_is_tokenised_in_no_time() {
    for name in ["bert", "clip"] {
        let tokenizer = Tokenizer::open(&fixtures(name), false).unwrap();
        let begun = std::time::Instant::now();
        let ids = tokenizer.encode(&"tostory".repeat(1_000_000), 77).unwrap();
        assert!(ids.len() <= 77 && begun.elapsed().as_secs() < 5, "{name}: {:?}", begun.elapsed());
    }
}
