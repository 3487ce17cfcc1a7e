//! Items' pictures for display: thumbnails, strips and sheets. Models read features instead.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader, Limits, Rgb, RgbImage, imageops};

/// Longest side that is decoded, in pixels, and the memory limit.
const LONGEST: u32 = 16_384;
const MOST_BYTES: u64 = 512 << 20;
/// Largest file that is read, in bytes.
const MOST_FILE_BYTES: u64 = 64 << 20;
/// Pixels between two pictures.
const GAP: u32 = 2;

const GROUND: Rgb<u8> = Rgb([255, 255, 255]);
const ABSENT: Rgb<u8> = Rgb([225, 225, 225]);
const CROSS: Rgb<u8> = Rgb([190, 190, 190]);

/// An encoded picture with its size in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Png {
    pub bytes: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

/// Why a picture can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("{path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("the sheet can't be encoded: {0}")]
    Encode(image::ImageError),
}

/// Decodes a picture file within the limits.
fn decode(path: &Path) -> Result<RgbImage, PictureError> {
    let wrong = |reason: String| PictureError::Unreadable { path: path.to_owned(), reason };
    let meta = fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if !meta.is_file() || meta.len() > MOST_FILE_BYTES {
        return Err(wrong(format!("no file of at most {MOST_FILE_BYTES} bytes")));
    }
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| wrong(e.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST);
    limits.max_image_height = Some(LONGEST);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    Ok(reader.decode().map_err(|e| wrong(e.to_string()))?.into_rgb8())
}

/// The whole picture, scaled into a square of `side` pixels and centred on white.
///
/// # Errors
/// There is no such file, or it is no picture within the limits.
pub fn thumbnail(path: &Path, side: u32) -> Result<RgbImage, PictureError> {
    let full = decode(path)?;
    let longest = full.width().max(full.height()).max(1);
    let scaled =
        |n: u32| ((u64::from(n) * u64::from(side) / u64::from(longest)) as u32).clamp(1, side.max(1));
    let (width, height) = (scaled(full.width()), scaled(full.height()));
    let small = imageops::thumbnail(&full, width, height);
    let mut square = RgbImage::from_pixel(side, side, GROUND);
    imageops::replace(&mut square, &small, i64::from((side - width) / 2), i64::from((side - height) / 2));
    Ok(square)
}

/// A crossed grey square of `side` pixels that stands for a missing picture.
pub fn absent(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| if x == y || x + y + 1 == side { CROSS } else { ABSENT })
}

/// Draws a frame inside the picture's edges.
pub fn frame(picture: &mut RgbImage, colour: [u8; 3]) {
    let (width, height) = picture.dimensions();
    let thick = (width.min(height) / 16).max(1);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let is_inside = x >= thick && y >= thick && x + thick < width && y + thick < height;
        if !is_inside {
            *pixel = Rgb(colour);
        }
    }
}

/// Arranges rows of square pictures of `side` pixels with a gap between them.
pub fn sheet(rows: &[Vec<RgbImage>], side: u32) -> RgbImage {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let span = |n: u32| (n * (side + GAP) + GAP).max(1);
    let mut all = RgbImage::from_pixel(span(columns), span(rows.len() as u32), GROUND);
    for (y, row) in (0u32..).zip(rows) {
        for (x, picture) in (0u32..).zip(row) {
            let offset = |n: u32| i64::from(n * (side + GAP) + GAP);
            imageops::replace(&mut all, picture, offset(x), offset(y));
        }
    }
    all
}

/// Arranges square pictures in a square grid without gaps, as TensorBoard's sprites require.
pub fn sprite(pictures: &[RgbImage], side: u32) -> RgbImage {
    let columns = grid_side(pictures.len());
    let mut all = RgbImage::from_pixel((columns * side).max(1), (columns * side).max(1), GROUND);
    for (n, picture) in (0u32..).zip(pictures) {
        let offset = |k: u32| i64::from(k * side);
        imageops::replace(&mut all, picture, offset(n % columns), offset(n / columns));
    }
    all
}

/// Columns of the smallest square grid for `n` pictures.
pub fn grid_side(n: usize) -> u32 {
    (n as f64).sqrt().ceil().max(1.0) as u32
}

/// Encodes a picture as PNG.
///
/// # Errors
/// The encoder fails.
pub fn encode(picture: &RgbImage) -> Result<Png, PictureError> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(PictureError::Encode)?;
    let (width, height) = picture.dimensions();
    Ok(Png { bytes: bytes.into_inner(), width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_picture_is_shown_whole_and_centred() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.png");
        RgbImage::from_pixel(40, 10, Rgb([255, 0, 0])).save(&path).unwrap();
        let small = thumbnail(&path, 20).unwrap();
        assert_eq!((small.dimensions(), small[(0, 0)], small[(0, 10)]), ((20, 20), GROUND, Rgb([255, 0, 0])));
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.png");
        for bytes in [&b""[..], b"\x89PNG\r\n\x1a\n", b"text"] {
            fs::write(&path, bytes).unwrap();
            assert!(thumbnail(&path, 8).is_err());
        }
        assert!(thumbnail(home.path(), 8).is_err());
        assert!(thumbnail(&home.path().join("none"), 8).is_err());
    }

    #[test]
    fn a_sprite_holds_the_pictures_row_by_row() {
        let colour = |n: u8| RgbImage::from_pixel(2, 2, Rgb([n, 0, 0]));
        let all = sprite(&[colour(1), colour(2), colour(3)], 2);
        assert_eq!(all.dimensions(), (4, 4));
        assert_eq!([all[(0, 0)][0], all[(2, 1)][0], all[(1, 2)][0], all[(3, 3)][0]], [1, 2, 3, 255]);
        let back = image::load_from_memory(&encode(&all).unwrap().bytes).unwrap().into_rgb8();
        assert_eq!(back, all);
    }
}
