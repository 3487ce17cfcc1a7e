//! Files of pictures by the classes of transformers that read them. The samples are those of release 5.24 with Pillow
//! 13, of `pictures/plain.png`, 70 x 53 pixels.

use serde_json::json;

use super::*;
use crate::encode::picture::{Bounds, Filter, Fit, Preprocessing, decode};

fn read(root: &Value) -> Result<Preprocessing, EncodeError> {
    read_with_model(root, None)
}

/// Reads the file with the model's `config.json` beside it.
fn read_with_model(root: &Value, config: Option<Value>) -> Result<Preprocessing, EncodeError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("preprocessor_config.json");
    fs::write(&path, root.to_string()).unwrap();
    if let Some(config) = config {
        fs::write(home.path().join("config.json"), config.to_string()).unwrap();
    }
    Preprocessing::read(&path)
}

/// The three samples at each place, row and column.
fn samples(root: &Value, places: [(usize, usize); 2]) -> Vec<f32> {
    let preprocessing = read(root).unwrap();
    let side = preprocessing.side as usize;
    let picture = decode(&fixtures("pictures/plain.png"), &Bounds::default()).unwrap();
    let mut pixels = Vec::new();
    preprocessing.apply(&picture, &mut pixels);
    assert_eq!(pixels.len(), 3 * side * side);
    let of = |(y, x): (usize, usize)| (0..3).map(move |c| c * side * side + y * side + x);
    places.into_iter().flat_map(of).map(|place| pixels[place]).collect()
}

#[test]
fn a_square_size_with_a_crop_is_stretched_and_then_cut() {
    let clip =
        |size: Value| json!({"image_processor_type": "CLIPImageProcessor", "size": size, "crop_size": 28});
    let stretched = [0.718_67, 1.459_57, 0.994_07, -0.098_85, 0.018_82, -0.015_55];
    let kept = [1.171_22, 1.099_38, 0.041_33, -0.069_65, 0.033_83, -0.015_55];
    let mut to_square = clip(32.into());
    to_square["default_to_square"] = true.into();
    let class = |name: &str| json!({"image_processor_type": name, "size": 32, "do_center_crop": true, "crop_size": 28});
    for (root, wanted) in [
        (clip(json!({"height": 32, "width": 32})), stretched),
        (clip(json!([32, 32])), stretched),
        (to_square, stretched),
        (clip(32.into()), kept),
        (clip(json!({"shortest_edge": 32})), kept),
        (class("BitImageProcessor"), kept),
        (class("ViTImageProcessor"), [0.349_02, 0.670_59, 0.364_71, -0.090_2, -0.058_82, -0.192_16]),
        (class("DeiTImageProcessor"), [0.349_02, 0.678_43, 0.364_71, -0.090_2, -0.074_51, -0.192_16]),
        (
            class("EfficientNetImageProcessor"),
            [0.698_04, 1.356_86, 0.729_41, -0.180_39, -0.149_02, -0.384_31],
        ),
    ] {
        let found = samples(&root, [(0, 0), (5, 7)]);
        // Three levels of 255, as Pillow 13 picks the order of its passes by size.
        let gap = largest_gap(&found, &wanted);
        assert!(gap < 0.048, "{root}: {found:?}, {gap}");
    }
}

#[test]
fn a_file_that_is_silent_takes_what_its_class_has() {
    let named = |name: &str| read(&json!({"image_processor_type": name})).unwrap();
    let clip = named("CLIPImageProcessor");
    assert_eq!((clip.side, clip.fit, clip.filter), (224, Fit::CropFrom(224), Filter::Bicubic));
    assert!((clip.mean[0] - 0.481_454_66).abs() < 1e-9 && (clip.std[2] - 0.275_777_11).abs() < 1e-9);
    let root = json!({"feature_extractor_type": "CLIPFeatureExtractor"});
    let found = samples(&root, [(0, 0), (5, 7)]);
    let wanted = [1.273_41, 1.744_71, 0.368_39, 1.317_2, 1.579_63, 0.425_27];
    assert!(largest_gap(&found, &wanted) < 0.048, "{found:?}");
    assert_eq!(named("CLIPImageProcessorFast"), clip);
    let vit = named("ViTImageProcessor");
    assert_eq!((vit.side, vit.fit, vit.filter, vit.mean), (224, Fit::Stretch, Filter::Bilinear, [0.5; 3]));
    let deit = named("DeiTImageProcessor");
    assert_eq!((deit.side, deit.fit, deit.filter), (224, Fit::CropFromSquare(256), Filter::Bicubic));
    let pvt = named("PvtImageProcessor");
    assert_eq!((pvt.fit, pvt.mean), (Fit::Stretch, [0.485, 0.456, 0.406]));
    assert_eq!(named("EfficientNetImageProcessor").side, 346);
    // A crop that the file does not size is the class's, not that of the size.
    let root = json!({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}});
    assert_eq!(read(&root).unwrap().side, 224);
    // The model's type where the file names no class.
    let model = |kind: &str| read_with_model(&json!({"size": 32}), Some(json!({"model_type": kind})));
    assert_eq!(model("clip").unwrap().fit, Fit::CropFrom(32));
    assert_eq!(model("vit").unwrap().fit, Fit::Stretch);
    assert!(model("levit").is_err());
}

#[test]
fn classes_and_sizes_that_are_not_understood_are_refused_by_name() {
    let clip = |key: &str, value: Value| json!({"image_processor_type": "CLIPImageProcessor", key: value});
    let half = [0.5; 3];
    for (root, wanted) in [
        (json!({"image_processor_type": "LevitImageProcessor", "size": 224}), "LevitImageProcessor"),
        (json!({"feature_extractor_type": "LevitFeatureExtractor", "size": 224}), "LevitFeatureExtractor"),
        (json!({"image_processor_type": "MyImageProcessor", "size": 224}), "MyImageProcessor"),
        (clip("size_divisor", 32.into()), "size_divisor 32"),
        (clip("size", json!({"shortest_edge": 32, "longest_edge": 40})), "longest_edge"),
        (clip("size", json!({"shortest_edge": 32, "height": 40, "width": 40})), "height"),
        (clip("size", json!({"height": 32, "width": 40})), "width"),
        (clip("crop_size", json!({"shortest_edge": 32})), "crop_size"),
        (
            json!({"image_processor_type": "ViTImageProcessor", "size": 32, "do_center_crop": true}),
            "crop_size",
        ),
        (json!({"image_processor_type": "SiglipImageProcessor", "size": 32}), "differ in size"),
        (json!({"size": 32, "image_mean": half, "image_std": half}), "resample"),
        (json!({"size": 32, "resample": 2, "image_std": half}), "image_mean"),
        (json!({"resample": 2, "image_mean": half, "image_std": half}), "neither size"),
        (
            json!({"size": 32, "crop_size": 28, "do_center_crop": true, "resample": 2, "image_mean": half,
                "image_std": half}),
            "default_to_square",
        ),
    ] {
        let error = read(&root).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("preprocessor_config.json"), "{root}: {error}");
    }
    let whole = json!({"size": 32, "resample": 2, "image_mean": half, "image_std": half});
    assert_eq!(read(&whole).unwrap().fit, Fit::Stretch, "it says all that it needs");
}
