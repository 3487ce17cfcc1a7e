//! Image processor classes of transformers, with their defaults.
//!
//! Values are those of release 5.24. Other classes may take steps that no key states (LeViT's scales to 256/224 of its
//! size, MobileViT's reverses the colours), and are refused.

use serde_json::Value;

use super::resize::Filter;

/// Mean and deviation of samples in 0..1.
pub(super) type Colours = ([f64; 3], [f64; 3]);

const HALF: Colours = ([0.5; 3], [0.5; 3]);
pub(super) const IMAGENET: Colours = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
pub(super) const CLIP: Colours =
    ([0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]);

/// A size in pixels, as files state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// The shorter side; the other one follows.
    Shorter(u32),
    /// Both sides.
    Square(u32),
}

/// The defaults of a class; the file must state absent ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub name: &'static str,
    pub size: Option<Size>,
    /// Whether a size of one number applies to both sides.
    pub square: Option<bool>,
    /// Whether the centre is cropped.
    pub crops: bool,
    pub crop_size: Option<u32>,
    pub filter: Option<Filter>,
    pub colours: Option<Colours>,
}

/// The defaults if neither file nor model names a class.
const UNNAMED: Class =
    Class { name: "", size: None, square: None, crops: false, crop_size: None, filter: None, colours: None };

const fn class(name: &'static str, size: Size, filter: Filter, colours: Colours) -> Class {
    let square = matches!(size, Size::Square(_));
    Class {
        name,
        size: Some(size),
        square: Some(square),
        crops: false,
        crop_size: None,
        filter: Some(filter),
        colours: Some(colours),
    }
}

impl Class {
    const fn cropped(self, crops: bool, size: u32) -> Self {
        Self { crops, crop_size: Some(size), ..self }
    }
}

pub(super) const EFFICIENT_NET: &str = "EfficientNetImageProcessor";

const CLASSES: [Class; 13] = [
    class("CLIPImageProcessor", Size::Shorter(224), Filter::Bicubic, CLIP).cropped(true, 224),
    class("ChineseCLIPImageProcessor", Size::Shorter(224), Filter::Bicubic, CLIP).cropped(true, 224),
    class("BitImageProcessor", Size::Shorter(224), Filter::Bicubic, CLIP).cropped(true, 224),
    class("ViTImageProcessor", Size::Square(224), Filter::Bilinear, HALF),
    class("DeiTImageProcessor", Size::Square(256), Filter::Bicubic, HALF).cropped(true, 224),
    class("BeitImageProcessor", Size::Square(224), Filter::Bicubic, HALF).cropped(false, 224),
    class("PvtImageProcessor", Size::Square(224), Filter::Bicubic, IMAGENET),
    class("BlipImageProcessor", Size::Square(384), Filter::Bicubic, CLIP),
    // Its default size is a square, yet a single number applies to the shorter side.
    Class { square: Some(false), ..class("SiglipImageProcessor", Size::Square(224), Filter::Bicubic, HALF) },
    class("OwlViTImageProcessor", Size::Square(768), Filter::Bicubic, CLIP).cropped(false, 768),
    class(EFFICIENT_NET, Size::Square(346), Filter::Bicubic, HALF).cropped(false, 289),
    class("MobileNetV1ImageProcessor", Size::Shorter(256), Filter::Bilinear, HALF).cropped(true, 224),
    class("MobileNetV2ImageProcessor", Size::Shorter(256), Filter::Bilinear, HALF).cropped(true, 224),
];

/// Classes by the `model_type` in `config.json`, for files that name none.
const MODELS: [(&str, &str); 19] = [
    ("clip", "CLIPImageProcessor"),
    ("clip_vision_model", "CLIPImageProcessor"),
    ("altclip", "CLIPImageProcessor"),
    ("chinese_clip", "ChineseCLIPImageProcessor"),
    ("bit", "BitImageProcessor"),
    ("dinov2", "BitImageProcessor"),
    ("hiera", "BitImageProcessor"),
    ("vit", "ViTImageProcessor"),
    ("vit_mae", "ViTImageProcessor"),
    ("vit_msn", "ViTImageProcessor"),
    ("swin", "ViTImageProcessor"),
    ("swinv2", "ViTImageProcessor"),
    ("deit", "DeiTImageProcessor"),
    ("beit", "BeitImageProcessor"),
    ("siglip", "SiglipImageProcessor"),
    ("siglip_vision_model", "SiglipImageProcessor"),
    ("blip", "BlipImageProcessor"),
    ("efficientnet", EFFICIENT_NET),
    ("mobilenet_v2", "MobileNetV2ImageProcessor"),
];

impl Class {
    /// The class of a file, or of its model if the file names none.
    ///
    /// # Errors
    /// The file names an unsupported class.
    pub fn find(root: &Value, model: Option<&str>) -> Result<Self, String> {
        let stated = |key: &'static str| Some((key, root.get(key)?.as_str()?));
        let find = |name: &str| CLASSES.iter().find(|class| class.name == name).copied();
        let Some((key, name)) = stated("image_processor_type").or_else(|| stated("feature_extractor_type"))
        else {
            let model_class = MODELS.iter().find(|(kind, _)| Some(*kind) == model);
            return Ok(model_class.and_then(|(_, name)| find(name)).unwrap_or(UNNAMED));
        };
        // Names of releases and back ends differ in their suffix only.
        let plain = name.strip_suffix("Fast").or(name.strip_suffix("Pil")).unwrap_or(name);
        find(&plain.replace("FeatureExtractor", "ImageProcessor")).ok_or_else(|| {
            format!(
                "{key} {name:?} is not supported: its class may take steps that no key states; name the \
                 preprocessing with --preprocess"
            )
        })
    }
}
