//! Pictures that depend on the image latent.

use image::{Rgb, RgbImage};

use super::draws::Draws;

/// Width and height of a picture in pixels.
const SIDE: u32 = 64;
/// Largest noise of a colour channel, of 255.
const GRAIN: f64 = 8.0;

/// Draws a shape on a ground: three coordinates determine the ground's colour, one the shape, one its size, three its
/// colour. Its place is random and carries no information.
pub(super) fn draw(latent: &[f32], draws: &mut Draws) -> RgbImage {
    let z = |k: usize| latent[k % latent.len()];
    let colour = |k: usize| [level(z(k)), level(z(k + 1)), level(z(k + 2))];
    let (ground, figure) = (colour(0), colour(5));
    let radius = 10.0 + 14.0 * level(z(4)) / 255.0;
    let mut centre = || radius + draws.uniform() * (f64::from(SIDE) - 2.0 * radius);
    let (x, y) = (centre(), centre());
    RgbImage::from_fn(SIDE, SIDE, |px, py| {
        let (dx, dy) = (f64::from(px) - x, f64::from(py) - y);
        let is_inside = covers(z(3), dx / radius, dy / radius);
        let paint = if is_inside { figure } else { ground };
        let grain = GRAIN * (2.0 * draws.uniform() - 1.0);
        Rgb(paint.map(|channel| (channel + grain).clamp(0.0, 255.0) as u8))
    })
}

/// Whether a shape of radius 1 covers the point: a ring, disc, triangle or square, in the order of `kind`,
/// cut at the quartiles of a normal number.
fn covers(kind: f32, x: f64, y: f64) -> bool {
    let distance = x.hypot(y);
    if kind < -0.67 {
        (0.6..1.0).contains(&distance)
    } else if kind < 0.0 {
        distance < 1.0
    } else if kind < 0.67 {
        y.abs() < 1.0 && x.abs() < f64::midpoint(y, 1.0)
    } else {
        x.abs() < 0.9 && y.abs() < 0.9
    }
}

/// Maps a coordinate to 0..255, steepest around 0.
fn level(z: f32) -> f64 {
    255.0 / (1.0 + (-1.5 * f64::from(z)).exp())
}
