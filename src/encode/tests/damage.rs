//! Encoders whose files contradict themselves or each other.

use std::fs::File;

use super::*;
use crate::features::header::Header;

/// A copy of a fixture's folder that may be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, home.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    home
}

fn refusal(home: &Path, modality: Modality) -> String {
    let settings = Settings { encoder: home.display().to_string(), ..Settings::default() };
    match Encoder::open(&settings, modality, &[], &Device::flex(), &mut |_, _, _| {}) {
        Ok(_) => "opened".into(),
        Err(e) => format!("{e} hint: {}", e.hint().unwrap_or_default()),
    }
}

/// Sets `key` of the folder's `config.json`.
fn set(home: &Path, key: &str, value: Value) {
    let path = home.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn a_config_that_does_not_fit_the_weights_is_told_tensor_by_tensor() {
    for (key, value, wanted) in [
        ("num_hidden_layers", 4, "no tensor \"encoder.layer.3.attention.self.query.weight\""),
        ("num_hidden_layers", 2, "unexpected tensor \"encoder.layer.2.attention"),
        (
            "intermediate_size",
            41,
            "\"encoder.layer.0.intermediate.dense.weight\" is [40, 16] instead of [41, 16]",
        ),
        ("vocab_size", 9_999_999, "\"embeddings.word_embeddings.weight\" is"),
        ("hidden_size", 1_600_000, "instead of"),
        ("num_attention_heads", 5, "no multiple"),
        ("num_hidden_layers", 100_000, "\"num_hidden_layers\" is 100000"),
        ("hidden_size", 0, "\"hidden_size\" is 0"),
    ] {
        let home = copy("bert");
        set(home.path(), key, value.into());
        let said = refusal(home.path(), Modality::Text);
        assert!(said.contains(wanted), "{key} {value}: {said}");
    }
    let home = copy("bert");
    set(home.path(), "hidden_act", "swish".into());
    assert!(refusal(home.path(), Modality::Text).contains("ONNX"));
    set(home.path(), "model_type", "t5".into());
    assert!(refusal(home.path(), Modality::Text).contains("model_type \"t5\""));
    assert!(refusal(&fixtures("bert"), Modality::Image).contains("read text, not image"));
    assert!(refusal(Path::new("/no/such folder"), Modality::Text).contains("neither a folder"));
}

#[test]
fn a_safetensors_header_that_lies_is_refused() {
    let source = fs::read(fixtures("bert/model.safetensors")).unwrap();
    let length = u64::from_le_bytes(source[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(source[8..8 + length].to_vec()).unwrap();
    let rebuilt = |header: String| {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &source[8 + length..]].concat()
    };
    let mut claims = source.clone();
    claims[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    for (what, bytes) in [
        ("a header longer than the file", claims),
        ("a shape larger than its bytes", rebuilt(header.replacen("[16]", "[1600000000]", 1))),
        ("another type", rebuilt(header.replacen("F32", "F64", 1))),
        ("offsets behind the end", rebuilt(header.replacen("[0,64]", "[0,9999999999]", 1))),
        ("a cut file", source[..source.len() - 10].to_vec()),
    ] {
        let home = copy("bert");
        fs::write(home.path().join("model.safetensors"), bytes).unwrap();
        let said = refusal(home.path(), Modality::Text);
        assert!(said.contains("model.safetensors"), "{what}: {said}");
    }
    let home = copy("bert");
    let path = home.path().join("model.safetensors");
    let mut bytes = source.clone();
    let at = length + 8;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert!(refusal(home.path(), Modality::Text).contains("holds NaN"));
    assert!(Header::read(&path, &mut File::open(&path).unwrap()).is_ok());
}

#[test]
fn a_tokenizer_of_another_model_or_of_another_sort_is_refused() {
    let home = copy("bert");
    fs::copy(fixtures("clip/tokenizer.json"), home.path().join("tokenizer.json")).unwrap();
    let said = refusal(home.path(), Modality::Text);
    assert!(said.contains("largest id") && said.contains("tokens"), "{said}");
    let path = home.path().join("tokenizer.json");
    for (json, wanted) in [
        (r#"{"model": {"type": "Unigram", "vocab": []}}"#, "tokenizer.json"),
        (
            r#"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}}, "normalizer": {"type": "Precompiled"}}"#,
            "tokenizer.json",
        ),
        (r#"{"model": {"type": "WordPiece", "vocab": {"a": 0}}}"#, "\"[UNK]\" is not in the vocabulary"),
        (r#"{"model": {"type": "WordPiece", "vocab": {"[UNK]": -1}}}"#, "no valid id"),
        (r#"{"model": {"type": "Novel", "vocab": {"a": 0}}}"#, "tokenizer.json"),
        ("{", "EOF"),
    ] {
        fs::write(&path, json).unwrap();
        let said = refusal(home.path(), Modality::Text);
        assert!(said.contains(wanted), "{json}: {said}");
    }
}

#[test]
fn an_onnx_field_that_claims_more_than_the_file_holds_is_refused_before_memory_is_taken() {
    let bytes = fs::read(fixtures("onnx/picture.onnx")).unwrap();
    // The graph is field 7 of the file: tag 0x3a, then its length. Here it claims 30 GiB.
    let place = bytes.iter().position(|&b| b == 0x3a).unwrap();
    let digits = bytes[place + 1..].iter().position(|b| *b < 0x80).unwrap() + 1;
    let lie = [0x80, 0x80, 0x80, 0x80, 0x78];
    let broken = [&bytes[..=place], &lie, &bytes[place + 1 + digits..]].concat();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.onnx");
    for bytes in [&broken[..], &bytes[..bytes.len() / 2], &[0x3a], b"", &[0xff; 20]] {
        fs::write(&path, bytes).unwrap();
        let encoder = path.display().to_string();
        let settings = Settings { encoder, preprocess: Some("vit".into()), ..Settings::default() };
        let opened = Encoder::open(&settings, Modality::Image, &[], &Device::flex(), &mut |_, _, _| {});
        assert!(matches!(opened.map(|_| ()), Err(EncodeError::Malformed { .. })), "{} bytes", bytes.len());
    }
}
