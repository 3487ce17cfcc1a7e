//! Preprocessing of pictures: an encoder's own, or a preset.

use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::class::{CLIP, Class, EFFICIENT_NET, IMAGENET, Size};
use super::resize::{Filter, resize};
use crate::encode::EncodeError;
use crate::encode::error::{io_error, malformed};
use crate::encode::files::optional;

/// How a picture is brought to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Scales both sides to the target.
    Stretch,
    /// Scales the shorter side to this many pixels, then crops the centre.
    CropFrom(u32),
    /// Scales both sides to this many pixels, then crops the centre.
    CropFromSquare(u32),
}

/// Conversion of an RGB picture to `[3, side, side]` floats: (sample / 255 - mean) / std.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    pub side: u32,
    pub fit: Fit,
    pub filter: Filter,
    /// Mean of samples in 0..1.
    pub mean: [f64; 3],
    pub std: [f64; 3],
}

const HALF: [f64; 3] = [0.5; 3];

/// Supported switches of a processor's file, and those without effect on RGB pictures.
const SWITCHES: [&str; 9] = [
    "do_resize",
    "do_center_crop",
    "do_rescale",
    "do_normalize",
    "do_convert_rgb",
    "do_reduce_labels",
    "default_to_square",
    "use_fast",
    "disable_grouping",
];
/// Switches of EfficientNet only.
const EFFICIENT: [&str; 2] = ["include_top", "rescale_offset"];

/// Names of the presets of [`Preprocessing::named`].
pub const PRESETS: [&str; 5] = ["odmt", "clip", "imagenet", "vit", "efficientnet-lite"];

impl Preprocessing {
    /// A preset, for encoders without a `preprocessor_config.json`.
    pub fn named(name: &str, side: u32) -> Option<Self> {
        let new = |fit, filter, mean, std| Some(Self { side, fit, filter, mean, std });
        match name {
            // docs/odmt.md, section 5.3: mean and deviation of 0.5 even for CLIP, whose own differ.
            "odmt" | "vit" => new(Fit::Stretch, Filter::Bilinear, HALF, HALF),
            "clip" => new(Fit::CropFrom(side), Filter::Bicubic, CLIP.0, CLIP.1),
            "imagenet" => new(Fit::CropFrom(side * 256 / 224), Filter::Bilinear, IMAGENET.0, IMAGENET.1),
            "efficientnet-lite" => new(Fit::Stretch, Filter::Bicubic, [127.0 / 255.0; 3], [128.0 / 255.0; 3]),
            _ => None,
        }
    }

    /// Reads a `preprocessor_config.json`, or a `processor_config.json` that contains one.
    ///
    /// # Errors
    /// The file can't be read, or requires something unsupported.
    pub fn read(path: &Path) -> Result<Self, EncodeError> {
        let text = std::fs::read_to_string(path).map_err(io_error(path))?;
        let root: Value = serde_json::from_str(&text).map_err(|e| malformed(path, e))?;
        Self::from_json(path, &root)
    }

    /// As [`Preprocessing::read`], for the content `root` of the file at `path`.
    pub(in crate::encode) fn from_json(path: &Path, root: &Value) -> Result<Self, EncodeError> {
        let model_config = optional(&path.with_file_name("config.json"))?.unwrap_or_default();
        let model = model_config.get("model_type").and_then(Value::as_str);
        Self::parse(root.get("image_processor").unwrap_or(root), model)
            .map_err(|reason| malformed(path, reason))
    }

    fn parse(root: &Value, model: Option<&str>) -> Result<Self, String> {
        let class = Class::find(root, model)?;
        refuse_unknown(root, &class)?;
        let (side, fit) = fit(root, &class)?;
        let filter = match root.get("resample").and_then(Value::as_u64) {
            None => class.filter.ok_or_else(|| unstated("resample"))?,
            Some(n) => Filter::numbered(n).ok_or(format!("resample {n} is not known"))?,
        };
        let (mean, std) = colours(root, &class)?;
        Ok(Self { side, fit, filter, mean, std })
    }

    /// Appends the preprocessed picture, `[3, side, side]`, to `out`.
    pub fn apply(&self, picture: &RgbImage, out: &mut Vec<f32>) {
        let side = self.side as usize;
        let sized = match self.fit {
            Fit::Stretch => resize(picture, self.side, self.side, self.filter),
            Fit::CropFromSquare(side) => resize(picture, side, side, self.filter),
            Fit::CropFrom(short) => {
                let (w, h) = (u64::from(picture.width()), u64::from(picture.height()));
                let long =
                    |long: u64, other: u64| (u64::from(short) * long / other.max(1)).min(1 << 16) as u32;
                let (w, h) = if w <= h { (short, long(h, w)) } else { (long(w, h), short) };
                resize(picture, w, h, self.filter)
            }
        };
        // If the picture is smaller than the crop, the rest is black.
        let (left, top) = (centre(sized.width(), self.side), centre(sized.height(), self.side));
        let start = out.len();
        out.resize(start + 3 * side * side, 0.0);
        let planes = &mut out[start..];
        for y in 0..side {
            for x in 0..side {
                let (sx, sy) = (x as i64 + left, y as i64 + top);
                let is_inside =
                    sx >= 0 && sy >= 0 && sx < i64::from(sized.width()) && sy < i64::from(sized.height());
                let pixel = if is_inside { sized.get_pixel(sx as u32, sy as u32).0 } else { [0; 3] };
                for c in 0..3 {
                    let value = (f64::from(pixel[c]) / 255.0 - self.mean[c]) / self.std[c];
                    planes[c * side * side + y * side + x] = value as f32;
                }
            }
        }
    }
}

/// First row or column of the crop; negative if the picture is smaller.
fn centre(size: u32, cut: u32) -> i64 {
    let rest = i64::from(size) - i64::from(cut);
    rest.div_euclid(2)
}

fn flag(root: &Value, key: &str) -> Option<bool> {
    root.get(key).and_then(Value::as_bool)
}

fn unstated(key: &str) -> String {
    format!(
        "it states neither {key} nor an image_processor_type, whose class would; name the preprocessing \
         with --preprocess"
    )
}

/// Refuses unsupported steps, without which pixels would be plausible but wrong.
fn refuse_unknown(root: &Value, class: &Class) -> Result<(), String> {
    let efficient = class.name == EFFICIENT_NET;
    let known = |key: &str| SWITCHES.contains(&key) || (efficient && EFFICIENT.contains(&key));
    let mut enabled =
        root.as_object().into_iter().flatten().filter(|(_, value)| **value == Value::Bool(true));
    if let Some((step, _)) = enabled.find(|(key, _)| !known(key)) {
        return Err(format!(
            "{step} is true, which is not supported; name the preprocessing with --preprocess"
        ));
    }
    for key in ["crop_pct", "size_divisor"] {
        if let Some(value) = root.get(key).filter(|v| !v.is_null()) {
            return Err(format!("{key} {value} is not supported; name the preprocessing with --preprocess"));
        }
    }
    if flag(root, "do_resize") == Some(false) {
        return Err("do_resize is false, but encoders read one size only".into());
    }
    Ok(())
}

/// The side of a preprocessed picture, and how it is reached.
fn fit(root: &Value, class: &Class) -> Result<(u32, Fit), String> {
    let crop = flag(root, "do_center_crop").unwrap_or(class.crops);
    let square = flag(root, "default_to_square").or(class.square);
    if crop && square.is_none() && root.get("size").is_some_and(Value::is_number) {
        return Err(unstated("default_to_square"));
    }
    let size = size_of("size", root, square.unwrap_or(true))?.or(class.size);
    let size = size.ok_or_else(|| unstated("size"))?;
    if !crop {
        return match size {
            Size::Square(side) => Ok((side, Fit::Stretch)),
            Size::Shorter(_) => {
                Err("the shorter side is scaled and nothing is cut, so pictures differ in size".into())
            }
        };
    }
    let side = match size_of("crop_size", root, true)? {
        Some(Size::Square(side)) => Some(side),
        Some(Size::Shorter(_)) => return Err("crop_size needs a height and a width".into()),
        None => class.crop_size,
    };
    let side = side.ok_or("do_center_crop is true, and it states no crop_size")?;
    Ok(match size {
        Size::Shorter(short) => (side, Fit::CropFrom(short)),
        Size::Square(whole) if whole == side => (side, Fit::Stretch),
        Size::Square(whole) => (side, Fit::CropFromSquare(whole)),
    })
}

/// Mean and deviation of samples in 0..1, including the rescaling.
fn colours(root: &Value, class: &Class) -> Result<([f64; 3], [f64; 3]), String> {
    let rescale = root.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0);
    let rescales = flag(root, "do_rescale") != Some(false);
    let factor = if rescales { rescale } else { 1.0 } * 255.0;
    let (mut mean, mut std) = if flag(root, "do_normalize") == Some(false) {
        ([0.0; 3], [1.0; 3])
    } else {
        let stated =
            |key: &str, own: Option<[f64; 3]>| triple(root, key)?.or(own).ok_or_else(|| unstated(key));
        let own = class.colours;
        (stated("image_mean", own.map(|c| c.0))?, stated("image_std", own.map(|c| c.1))?)
    };
    // EfficientNet's processor optionally subtracts 1 from the rescaled samples, and divides by the deviation twice
    // unless `include_top` is off.
    let efficient = class.name == EFFICIENT_NET;
    if efficient && rescales && flag(root, "rescale_offset") == Some(true) {
        mean = mean.map(|m| m + 1.0);
    }
    if efficient && flag(root, "include_top").unwrap_or(true) {
        let again = triple(root, "image_std")?.unwrap_or(HALF);
        std = [0, 1, 2].map(|c| std[c] * again[c]);
    }
    if std.contains(&0.0) || factor == 0.0 {
        return Err("a deviation or the rescale_factor is 0".into());
    }
    Ok((mean.map(|m| m / factor), std.map(|s| s / factor)))
}

/// `{"shortest_edge": n}`, `{"height": n, "width": n}`, `[n, n]`, or `n`, which applies to both sides if `square`.
fn size_of(key: &str, root: &Value, square: bool) -> Result<Option<Size>, String> {
    let number = |value: &Value| {
        let n = value.as_u64().filter(|n| (1..=4096).contains(n));
        n.map(|n| n as u32).ok_or(format!("a {key} of {value} is not 1 to 4096"))
    };
    let Some(value) = root.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
    let other = || {
        format!(
            "{key} {value} is not supported, only shortest_edge alone, or height and width of the same; name the \
             preprocessing with --preprocess"
        )
    };
    Ok(Some(match value {
        Value::Object(object) => {
            let mut stated: Vec<(&str, &Value)> =
                object.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.as_str(), v)).collect();
            stated.sort_unstable_by_key(|(k, _)| *k);
            match stated[..] {
                [("shortest_edge", edge)] => Size::Shorter(number(edge)?),
                [("height", h), ("width", w)] if h == w => Size::Square(number(h)?),
                _ => return Err(other()),
            }
        }
        Value::Array(sides) => match &sides[..] {
            [h, w] if h == w => Size::Square(number(h)?),
            _ => return Err(other()),
        },
        one if square => Size::Square(number(one)?),
        one => Size::Shorter(number(one)?),
    }))
}

fn triple(root: &Value, key: &str) -> Result<Option<[f64; 3]>, String> {
    let Some(list) = root.get(key).filter(|v| !v.is_null()) else { return Ok(None) };
    let numbers: Vec<f64> = list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    numbers.try_into().map(Some).map_err(|_| format!("{key} is {list}, not three numbers"))
}
