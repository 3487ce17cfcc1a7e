//! Random bits as pure functions of what they are drawn for: no state, the same on every machine.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"), used by its
//! output function alone: a key is mixed into bits that look independent of those of every other key.

/// Increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One step of SplitMix64 from the state `x`: increment, then [`finalise`]. Bijective; 0 does not stay 0.
#[inline]
pub fn mix64(x: u64) -> u64 {
    finalise(x.wrapping_add(GOLDEN))
}

/// The output function of SplitMix64 without the increment (variant 13 of David Stafford's mixers). Bijective; 0 stays 0.
#[inline]
pub fn finalise(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The upper 53 bits as a number in `[0, 1)`.
#[inline]
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_equal_the_published_sequence() {
        // The first outputs of the reference implementation (Vigna, splitmix64.c) from the state 1234567.
        let states = std::iter::successors(Some(1_234_567u64), |x| Some(x.wrapping_add(GOLDEN)));
        let found: Vec<u64> = states.take(5).map(mix64).collect();
        assert_eq!(
            found,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
        assert_eq!(finalise(0), 0);
    }

    #[test]
    fn unit_numbers_lie_below_one() {
        assert_eq!((unit(0), unit(1 << 63)), (0.0, 0.5));
        assert!(unit(u64::MAX) < 1.0);
    }
}
