//! Decoding, resizing and cropping against Pillow and transformers; pictures that are refused.

use super::*;
use crate::encode::picture::{self, Bounds, Filter, Preprocessing, Refused, decode, resize};

#[test]
fn resizing_equals_pillows_bit_for_bit_pass_by_pass_and_within_three_levels_in_one_go() {
    let picture = decode(&fixtures("pictures/plain.png"), &Bounds::default()).unwrap();
    let all = expected("pictures");
    let mut count = 0;
    for (name, (shape, wanted)) in all.iter().filter(|(name, _)| name.starts_with("resize.")) {
        let filter = match name.split('.').nth(1).unwrap() {
            "nearest" => Filter::Nearest,
            "lanczos" => Filter::Lanczos,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            _ => Filter::Box,
        };
        let found = resize(&picture, shape[1] as u32, shape[0] as u32, filter);
        let found: Vec<f32> = found.as_raw().iter().map(|&b| f32::from(b)).collect();
        let most = if name.ends_with("passes") { 0.0 } else { 3.0 };
        let gap = largest_gap(&found, wanted);
        assert!(gap <= most, "{name}: {gap}");
        count += 1;
    }
    assert_eq!(count, 50);
}

#[test]
fn decoding_equals_pillows_within_the_stated_bound() {
    let all = expected("pictures");
    for (name, (shape, wanted)) in
        all.iter().filter(|(name, _)| !name.contains("resize") && !name.starts_with("clip"))
    {
        let picture = decode(&fixtures("pictures").join(name), &Bounds::default()).unwrap();
        assert_eq!([picture.height() as usize, picture.width() as usize, 3], shape[..], "{name}");
        let found: Vec<f32> = picture.as_raw().iter().map(|&b| f32::from(b)).collect();
        let mean: f32 =
            found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).sum::<f32>() / found.len() as f32;
        let gap = largest_gap(&found, wanted);
        println!("{name}: mean {mean:.3}, largest {gap}");
        let (most, most_mean) = match name.rsplit_once('.').unwrap() {
            ("subsampled", _) => (8.0, 0.6),
            (_, "jpg") => (4.0, 0.1),
            _ => (0.0, 0.0),
        };
        assert!(gap <= most && mean <= most_mean, "{name}: mean {mean}, largest {gap}");
    }
}

#[test]
fn clips_crop_equals_transformers_within_two_levels() {
    // Two of 255 levels, by the smallest standard deviation of CLIP: Pillow 13 takes the vertical pass first here.
    let bound = 2.001 / 255.0 / 0.261_302_6;
    let all = expected("pictures");
    let whole = decode(&fixtures("pictures/plain.png"), &Bounds::default()).unwrap();
    let tall = resize(&whole, 31, 67, Filter::Bicubic);
    for (name, (_, wanted)) in all.iter().filter(|(name, _)| name.starts_with("clip.")) {
        let side: u32 = name.split('.').nth(1).unwrap().parse().unwrap();
        let mut preprocessing = Preprocessing::named("clip", side).unwrap();
        preprocessing.fit = picture::Fit::CropFrom(side + 3);
        let mut found = Vec::new();
        preprocessing.apply(if name.ends_with("wide") { &whole } else { &tall }, &mut found);
        let gap = largest_gap(&found, wanted);
        assert!(gap <= bound, "{name}: {gap}");
    }
}

#[test]
fn pictures_that_are_no_still_sound_bounded_ones_are_refused_with_their_reason() {
    let reason = |name: &str| match decode(&fixtures("pictures").join(name), &Bounds::default()) {
        Ok(picture) => panic!("{name} was decoded to {:?}", picture.dimensions()),
        Err(reason) => reason,
    };
    for name in ["animated.gif", "animated.webp", "animated.png"] {
        assert_eq!(reason(name), Refused::Animated, "{name}");
    }
    for name in ["truncated.jpg", "truncated.png"] {
        assert!(matches!(reason(name), Refused::Damaged(_)), "{name}: {}", reason(name));
    }
    for name in ["text.jpg", "empty.jpg"] {
        assert_eq!(reason(name), Refused::Format, "{name}");
    }
    assert_eq!(reason("bomb.png"), Refused::Pixels { width: 30_000, height: 30_000, most: 40_000_000 });
    assert!(matches!(reason("nowhere.png"), Refused::Missing(_)));
    assert!(matches!(reason("."), Refused::Missing(_)));
    let address = decode(Path::new("http://127.0.0.1/a.png"), &Bounds::default());
    assert_eq!(address.unwrap_err(), Refused::Address);
    let small = Bounds { bytes: 100, pixels: 1000 };
    assert!(matches!(decode(&fixtures("pictures/plain.png"), &small), Err(Refused::Bytes { .. })));
}

proptest::proptest! {
    #[test]
    fn flipped_bytes_of_pictures_are_an_error_or_a_picture_and_never_a_panic(
        which in 0usize..8, at in 0usize..4000, to in proptest::prelude::any::<u8>(), cut in 1usize..5000
    ) {
        let names = ["plain.png", "baseline.jpg", "cmyk.jpg", "lossy.webp", "still.gif", "plain.bmp", "progressive.jpg", "deep.png"];
        let mut bytes = fs::read(fixtures("pictures").join(names[which])).unwrap();
        bytes.truncate(cut);
        let place = at % bytes.len();
        bytes[place] = to;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x");
        fs::write(&path, bytes).unwrap();
        let _ = decode(&path, &Bounds::default());
    }
}
