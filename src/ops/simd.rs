//! Vector arithmetic for the CPU kernels: loops compiled for the widest instructions of the machine, chosen at run time.

use pulp::Arch;

/// Partial sums of a [`sum`]: enough to vectorise, and the same on every machine.
pub const LANES: usize = 16;

/// Runs `f` compiled for the machine's vector instructions. `f` must be marked `#[inline(always)]` down to
/// its loops.
#[inline]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    struct Run<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Run<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> R {
            simd.vectorize(Call(self.0))
        }
    }
    struct Call<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Call<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Run(f))
}

/// e^x within 2 units in the last place; exactly 0 below -87.3, where f32 has no normal number left.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts: the first has few bits, so that its product with an integer is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_3e-4;
    // Adding and subtracting it rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.3);
    let shifted = clamped * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let e = p * r * r + r + 1.0;
    // The last bits of the shifted number hold the integer.
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127);
    let two_to_n = f32::from_bits(exponent << 23);
    // A mask, not a branch: loops over it must stay vector instructions.
    let kept = if x < -87.3 { 0 } else { u32::MAX };
    f32::from_bits((e * two_to_n).to_bits() & kept)
}

/// Sum of `f` over the entries of slices of one length, in [`LANES`] partial sums and a fixed order.
///
/// # Panics
/// A slice is shorter than the first.
#[inline(always)]
pub fn sum<const N: usize>(slices: [&[f32]; N], f: impl Fn([f32; N]) -> f32) -> f32 {
    let n = slices[0].len();
    // Arrays of a fixed length: bounds checks of each entry would prevent vectorisation.
    let chunks = slices.map(
        #[inline(always)]
        |slice| slice[..n].as_chunks::<LANES>(),
    );
    let mut lanes = [0.0f32; LANES];
    for chunk in 0..n / LANES {
        let rows = chunks.map(
            #[inline(always)]
            |(whole, _)| &whole[chunk],
        );
        for lane in 0..LANES {
            lanes[lane] += f(rows.map(
                #[inline(always)]
                |row| row[lane],
            ));
        }
    }
    for lane in 0..n % LANES {
        lanes[lane] += f(chunks.map(
            #[inline(always)]
            |(_, rest)| rest[lane],
        ));
    }
    lanes.iter().sum()
}

/// The largest value; NaN is ignored.
#[inline(always)]
pub fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = values.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (m, &v) in lanes.iter_mut().zip(chunk) {
            *m = if v > *m { v } else { *m };
        }
    }
    for (m, &v) in lanes.iter_mut().zip(chunks.remainder()) {
        *m = if v > *m { v } else { *m };
    }
    lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place_of_f64() {
        let mut worst = 0.0f64;
        for i in -870_000..880_000i32 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
            worst = worst.max((f64::from(dispatch(|| exp(x))) - exact).abs() / ulp);
        }
        assert!(worst <= 2.0, "{worst}");
        assert_eq!(exp(-1e5), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    proptest::proptest! {
        #[test]
        fn sums_and_maxima_agree_with_f64(values in proptest::collection::vec(-5.0f32..5.0, 0..70)) {
            let exact: f64 = values.iter().map(|&v| f64::from(v)).sum();
            proptest::prop_assert!((f64::from(sum([&values], |[x]| x)) - exact).abs() < 1e-4);
            proptest::prop_assert_eq!(max(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
