//! What transformers 5 saves, against its own rows (`tests/fixtures/encoders/make_clip.py`).

use super::*;

/// The values of a `.npy` file of float32, row by row.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(String::from_utf8_lossy(&bytes[..header]).contains("'<f4'"));
    bytes[header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Encodes the pictures of a fixture; the library's rows for them.
fn pictures(encoder: &Path, home: &Path) -> Vec<(Vec<f32>, Vec<f32>)> {
    let settings = Settings { encoder: encoder.display().to_string(), ..Settings::default() };
    let encoder = Encoder::open(&settings, Modality::Image, &[], &Device::flex(), &mut |_, _, _| {}).unwrap();
    let paths: Vec<PathBuf> = (0..3).map(|n| home.join(format!("pictures/i{n}.png"))).collect();
    let found = encoder.encode_pictures(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>()).unwrap();
    let wanted = npy(&home.join("expected.npy"));
    let rows = wanted.chunks_exact(encoder.recipe().width).map(<[f32]>::to_vec);
    found.into_iter().map(Result::unwrap).zip(rows).collect()
}

fn check(encoder: &Path, home: &Path, most: f32) {
    let pairs = pictures(encoder, home);
    assert_eq!(pairs.len(), 3);
    for (n, (found, wanted)) in pairs.iter().enumerate() {
        let gap = largest_gap(found, wanted);
        println!("{}, picture {n}: {gap:.1e}", encoder.display());
        assert!(gap < most, "{} {n}: {gap}", encoder.display());
    }
}

#[test]
fn a_picture_tower_of_clip_without_prefix_gives_the_librarys_rows() {
    check(&fixtures("clip-vision-5"), &fixtures("clip-vision-5"), 1e-2);
}

#[test]
fn a_clip_whose_picture_settings_stand_in_the_processors_file_gives_the_librarys_rows() {
    check(&fixtures("clip-5"), &fixtures("clip-5"), 1e-2);
}

#[test]
fn a_text_tower_of_clip_without_prefix_gives_the_librarys_rows() {
    let all = expected("clip-text-5");
    let encoder = open("clip-text-5", Modality::Text, Settings::default()).unwrap();
    let texts = texts("clip-text-5");
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = encoder.encode_texts(&texts).unwrap();
    for (found, wanted) in found.iter().zip(rows(&all["pooled"])) {
        assert!(largest_gap(found.as_ref().unwrap(), &wanted) < 1e-5);
    }
    let states = open("clip-text-5", Modality::Text, tokens(None)).unwrap().encode_texts(&texts).unwrap();
    for (found, wanted) in states.iter().zip(valid(&all["last"], &all["mask"].1)) {
        assert!(largest_gap(found.as_ref().unwrap(), &wanted) < 1e-5);
    }
}

#[test]
fn a_sentence_transformers_folder_of_clip_gives_the_librarys_texts_and_pictures() {
    let home = tempfile::tempdir().unwrap();
    for from in ["clip-5", "clip-5-sentence"] {
        for path in fs::read_dir(fixtures(from)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
            fs::copy(&path, home.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    check(home.path(), &fixtures("clip-5"), 1e-2);
    let settings = Settings { encoder: home.path().display().to_string(), ..Settings::default() };
    let encoder = Encoder::open(&settings, Modality::Text, &[], &Device::flex(), &mut |_, _, _| {}).unwrap();
    let found = encoder.encode_texts(&["f ff", "fff f", "f"]).unwrap();
    for (found, wanted) in found.iter().zip(rows(&expected("clip-5-sentence")["texts"])) {
        assert!(largest_gap(found.as_ref().unwrap(), &wanted) < 1e-5);
    }
}

#[test]
fn efficientnets_second_division_and_offset_are_followed() {
    let home = fixtures("efficientnet");
    check(&home.join("model.onnx"), &home, 2e-2);
    // The graph answers the mean of each colour plane, so that the rows follow from those of another setting.
    let with = |edit: &dyn Fn(&mut serde_json::Map<String, Value>)| -> Vec<Vec<f32>> {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(home.join("model.onnx"), copy.path().join("model.onnx")).unwrap();
        let text = fs::read_to_string(home.join("preprocessor_config.json")).unwrap();
        let mut root: Value = serde_json::from_str(&text).unwrap();
        edit(root.as_object_mut().unwrap());
        fs::write(copy.path().join("preprocessor_config.json"), root.to_string()).unwrap();
        pictures(&copy.path().join("model.onnx"), &home).into_iter().map(|(found, _)| found).collect()
    };
    let std = [0.478_539_44f32, 0.473_286_4, 0.474_341_63];
    let top = with(&|_| {});
    let absent = with(&|root| drop(root.remove("include_top")));
    let bare = with(&|root| drop(root.insert("include_top".into(), false.into())));
    let offset = with(&|root| drop(root.insert("rescale_offset".into(), true.into())));
    let raw = with(&|root| drop(root.insert("do_normalize".into(), false.into())));
    let mean = [0.485f32, 0.456, 0.406];
    for n in 0..3 {
        assert_eq!(top[n], absent[n], "the library's default");
        for c in 0..3 {
            let close =
                |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "picture {n}, colour {c}: {a} and {b}");
            close(top[n][c] * std[c], bare[n][c]);
            close(offset[n][c], top[n][c] - 1.0 / (std[c] * std[c]));
            close(raw[n][c] * std[c], bare[n][c] * std[c] + mean[c]);
        }
    }
}

#[test]
fn a_step_of_a_pictures_file_that_is_not_taken_is_refused_by_name() {
    for (key, value) in [
        ("do_pad", Value::Bool(true)),
        ("include_top", Value::Bool(true)),
        ("rescale_offset", Value::Bool(true)),
        ("do_flip_channel_order", Value::Bool(true)),
        ("crop_pct", 0.9.into()),
    ] {
        let home = tempfile::tempdir().unwrap();
        let root = serde_json::json!({"image_processor_type": "ViTImageProcessor", "size": 32, key: value});
        let path = home.path().join("processor_config.json");
        fs::write(&path, serde_json::json!({"image_processor": root}).to_string()).unwrap();
        let error = picture::Preprocessing::read(&path).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    }
}
