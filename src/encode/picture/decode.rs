//! Bounded decoding of pictures: sizes are checked before memory is allocated.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// Limits of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// Largest file in bytes.
    pub bytes: u64,
    /// Most pixels.
    pub pixels: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 32 << 20, pixels: 40_000_000 }
    }
}

/// Why a picture is not encoded. Its item counts as one without a picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("missing: {0}")]
    Missing(String),
    #[error("an address, and nothing is fetched from the network")]
    Address,
    #[error("oversized: {bytes} bytes, at most {most}")]
    Bytes { bytes: u64, most: u64 },
    #[error("oversized: {width}x{height} pixels, at most {most} in all")]
    Pixels { width: u32, height: u32, most: u64 },
    #[error("not a JPEG, PNG, WebP, GIF or BMP file")]
    Format,
    #[error("animated")]
    Animated,
    #[error("damaged: {0}")]
    Damaged(String),
}

/// Decodes a file to RGB with its EXIF orientation applied. Alpha is dropped, not blended; 16-bit samples are rounded
/// to 8 bits; CMYK is converted.
///
/// Compared with Pillow's `convert("RGB")`, lossless formats and WebP are equal. JPEG differs by at most 4 levels of
/// 255 (mean below 0.1); with halved colour planes, which the decoder interpolates differently, by at most 8 (mean
/// below 0.6).
///
/// Each decoding thread takes memory for the file and at most 16 bytes a pixel.
///
/// # Errors
/// [`Refused`], with the reason for the quarantine list.
pub fn decode(path: &Path, bounds: &Bounds) -> Result<RgbImage, Refused> {
    if path.to_str().is_some_and(|p| p.contains("://")) {
        return Err(Refused::Address);
    }
    decode_bytes(&read(path, bounds)?, bounds)
}

fn read(path: &Path, bounds: &Bounds) -> Result<Vec<u8>, Refused> {
    let missing = |e: std::io::Error| Refused::Missing(e.to_string());
    let metadata = std::fs::metadata(path).map_err(missing)?;
    // A pipe or device would never end.
    if !metadata.is_file() {
        return Err(Refused::Missing("not a file".into()));
    }
    if metadata.len() > bounds.bytes {
        return Err(Refused::Bytes { bytes: metadata.len(), most: bounds.bytes });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // The file may grow while it is read.
    let file = BufReader::new(File::open(path).map_err(missing)?);
    file.take(bounds.bytes + 1).read_to_end(&mut bytes).map_err(missing)?;
    if bytes.len() as u64 > bounds.bytes {
        return Err(Refused::Bytes { bytes: bytes.len() as u64, most: bounds.bytes });
    }
    Ok(bytes)
}

/// As [`decode`], for a file in memory.
///
/// # Errors
/// As [`decode`].
pub(super) fn decode_bytes(bytes: &[u8], bounds: &Bounds) -> Result<RgbImage, Refused> {
    let format = image::guess_format(bytes).map_err(|_| Refused::Format)?;
    let mut limits = Limits::default();
    // This bounds the decoder's buffers; the dimensions are checked below, for a reason that names them.
    limits.max_alloc = Some(bounds.pixels.saturating_mul(12).saturating_add(bounds.bytes));
    let damaged = |e: image::ImageError| Refused::Damaged(one_line(&e.to_string()));
    match format {
        ImageFormat::Bmp => {}
        // The decoder fills missing parts with grey.
        ImageFormat::Jpeg if !ends(bytes) => return Err(Refused::Damaged("the file is cut short".into())),
        ImageFormat::Jpeg => {}
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits.clone()).map_err(damaged)?;
            if decoder.is_apng().map_err(damaged)? {
                return Err(Refused::Animated);
            }
        }
        ImageFormat::WebP => {
            if WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?.has_animation() {
                return Err(Refused::Animated);
            }
        }
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
            check_pixels(decoder.dimensions(), bounds)?;
            decoder.set_limits(limits.clone()).map_err(damaged)?;
            if decoder.into_frames().take(2).flatten().count() > 1 {
                return Err(Refused::Animated);
            }
        }
        _ => return Err(Refused::Format),
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    check_pixels(decoder.dimensions(), bounds)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Whether a JPEG reaches its end marker. Segments are skipped by their length, since thumbnails in them have end
/// markers of their own.
fn ends(bytes: &[u8]) -> bool {
    let mut position = 2;
    while position + 1 < bytes.len() {
        let (lead, marker) = (bytes[position], bytes[position + 1]);
        match marker {
            // Coded data, where a zero or a restart marker follows 0xFF, or fill bytes before a marker.
            _ if lead != 0xFF => position += 1,
            0xFF => position += 1,
            0x00 | 0x01 | 0xD0..=0xD8 => position += 2,
            0xD9 => return true,
            _ => {
                let Some(length) = bytes.get(position + 2..position + 4) else { return false };
                position += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
    false
}

fn check_pixels((width, height): (u32, u32), bounds: &Bounds) -> Result<(), Refused> {
    if u64::from(width) * u64::from(height) > bounds.pixels {
        return Err(Refused::Pixels { width, height, most: bounds.pixels });
    }
    if width == 0 || height == 0 {
        return Err(Refused::Damaged("no pixels".into()));
    }
    Ok(())
}

/// A reason on one line, for a table.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
