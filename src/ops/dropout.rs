//! Dropout whose noise is a pure function of (seed, epoch, step, call, element).
//!
//! A counter-based generator has no state: a resumed run, another number of threads and another device drop the same
//! elements. It is also cheaper than Burn 0.22's own generator, which on the CPU costs as much as the matrix products.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Device, Int, Tensor};
use burn_flex::FlexTensor;
use rayon::prelude::*;

use crate::rng::{GOLDEN, mix64};

/// Elements of a task; the result does not depend on it.
const CHUNK: usize = 1 << 14;

/// Multipliers of the integer finaliser.
const FIRST_FACTOR: u32 = 0x7feb_352d;
const SECOND_FACTOR: u32 = 0x846c_a68b;

/// The source of noise for the dropout calls of one forward pass.
#[derive(Clone, Debug)]
pub struct Noise {
    key: u64,
    calls: u64,
    probability: f64,
}

impl Noise {
    /// Noise of one micro-batch; `key` is its [`Noise::key`].
    pub fn new(key: u64, probability: f64) -> Self {
        Self { key, calls: 0, probability }
    }

    /// No noise, for evaluation.
    pub fn off() -> Self {
        Self::new(0, 0.0)
    }

    /// Mixes the coordinates of a micro-batch into one key.
    pub fn key(seed: u64, epoch: u64, step: u64, micro_batch: u64) -> u64 {
        [epoch, step, micro_batch].iter().fold(mix64(seed), |key, &part| mix64(key ^ mix64(part)))
    }

    /// Zeroes each element with the configured probability and scales the others by 1 / (1 - probability).
    ///
    /// Every call draws fresh noise, so the order of calls is part of the result.
    ///
    /// # Shapes
    /// `[..] -> [..]`
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>) -> Tensor<D> {
        self.dropout_at(x, self.probability)
    }

    /// [`Self::dropout`] with another probability.
    pub fn dropout_at<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        let draw = self.draw_at(probability);
        if draw.keeps_all() { x } else { draw.apply(x) }
    }

    /// The draw of the next call, for operations that apply dropout themselves.
    pub fn draw(&mut self) -> Draw {
        self.draw_at(self.probability)
    }

    fn draw_at(&mut self, probability: f64) -> Draw {
        if probability <= 0.0 {
            return Draw::ALL;
        }
        self.calls += 1;
        Draw::new(probability, mix64(self.key ^ self.calls.wrapping_mul(GOLDEN)))
    }
}

/// The noise of one call: a factor for each element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    low: u32,
    high: u32,
    /// Elements whose hash is smaller are dropped.
    threshold: u32,
    /// 1 / (1 - probability)
    scale: f32,
}

impl Draw {
    /// Drops nothing.
    pub const ALL: Self = Self { low: 0, high: 0, threshold: 0, scale: 1.0 };

    fn new(probability: f64, key: u64) -> Self {
        Self {
            low: key as u32,
            high: (key >> 32) as u32,
            threshold: (probability * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - probability)) as f32,
        }
    }

    #[inline(always)]
    pub fn keeps_all(&self) -> bool {
        self.threshold == 0
    }

    /// The factor of the element with flat index `element`: 0 or the scale. The upper half of an index above 32 bits is
    /// mixed into the key.
    #[inline(always)]
    fn factor(&self, element: u32) -> f32 {
        if hash32(element, self.low, self.high) >= self.threshold { self.scale } else { 0.0 }
    }

    /// Multiplies `values`, the elements from flat index `first` on, by their factors.
    #[inline(always)]
    pub fn multiply(&self, values: &mut [f32], first: usize) {
        if self.keeps_all() {
            return;
        }
        let (mut left, mut first) = (values, first as u64);
        // One round, save where the lower half of the places wraps around.
        while !left.is_empty() {
            let (high, low) = ((first >> 32) as u32, first as u32);
            let run = left.len().min((u32::MAX - low) as usize + 1);
            let (now, later) = left.split_at_mut(run);
            let draw = Self { high: self.high ^ high, ..*self };
            for (i, value) in now.iter_mut().enumerate() {
                *value *= draw.factor(low + i as u32);
            }
            (left, first) = (later, first + run as u64);
        }
    }

    fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let device = x.device();
        if super::use_kernels(&device) {
            return Tensor::from_dispatch(<Dispatch as DropOps>::drop_elements(x.into_dispatch(), self));
        }
        let factors = self.factors(x.shape().num_elements(), &device);
        let shape = x.dims();
        x * factors.reshape(shape)
    }

    /// The factors of the first `n` elements, computed on the device, so that nothing is uploaded. Equal to
    /// [`Self::factor`] to the bit. No device holds a tensor of 2^32 elements.
    fn factors(self, n: usize, device: &Device) -> Tensor<1> {
        // 32-bit products wrap; the shift of a signed number drags its sign along, which a mask takes off.
        let shifted = |x: Tensor<1, Int>, bits: u32| {
            x.bitwise_right_shift_scalar(bits as i32).bitwise_and_scalar((u32::MAX >> bits) as i32)
        };
        let round = |x: Tensor<1, Int>| {
            let x = x.clone().bitwise_xor(shifted(x, 16)).mul_scalar(FIRST_FACTOR as i32);
            let x = x.clone().bitwise_xor(shifted(x, 15)).mul_scalar(SECOND_FACTOR as i32);
            x.clone().bitwise_xor(shifted(x, 16))
        };
        let element = Tensor::<1, Int>::arange(0..n as i64, (device, DType::I32));
        let drawn =
            round(round(element.bitwise_xor_scalar(self.low as i32)).bitwise_xor_scalar(self.high as i32));
        // Unsigned order is signed order after the highest bit is flipped.
        let kept = drawn.bitwise_xor_scalar(i32::MIN).greater_equal_elem((self.threshold as i32) ^ i32::MIN);
        kept.float() * self.scale
    }

    fn multiply_all(self, values: &mut [f32]) {
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            super::simd::dispatch(
                #[inline(always)]
                || self.multiply(values, chunk * CHUNK),
            );
        });
    }
}

/// The operation behind [`Noise::dropout`].
#[backend_extension(Flex, Autodiff)]
pub trait DropOps: Backend {
    /// Multiplies the elements by their factors.
    fn drop_elements(x: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self>;
}

impl DropOps for Flex {
    fn drop_elements(x: FlexTensor, draw: Draw) -> FlexTensor {
        let mut dropped = x.to_contiguous();
        // With the other handle gone, the buffer is written in place.
        drop(x);
        draw.multiply_all(dropped.storage_mut::<f32>());
        dropped
    }
}

impl<C: CheckpointStrategy> DropOps for Autodiff<Flex, C> {
    fn drop_elements(x: FloatTensor<Self>, draw: Draw) -> FloatTensor<Self> {
        match DropBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(draw, Flex::drop_elements(x.into_primitive(), draw)),
            OpsKind::UnTracked(prep) => prep.finish(Flex::drop_elements(x.into_primitive(), draw)),
        }
    }
}

#[derive(Debug)]
struct DropBackward;

impl Backward<Flex, 1> for DropBackward {
    type State = Draw;

    fn backward(self, ops: Ops<Draw, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<Flex>(&ops.node);
        if let Some(node) = node {
            grads.register::<Flex>(node.id, Flex::drop_elements(grad, ops.state));
        }
    }
}

/// Uniform 32 bits for `counter` under a 64-bit key: two rounds of a bijective integer finaliser.
#[inline(always)]
fn hash32(counter: u32, low: u32, high: u32) -> u32 {
    let round = |mut x: u32| {
        x ^= x >> 16;
        x = x.wrapping_mul(FIRST_FACTOR);
        x ^= x >> 15;
        x = x.wrapping_mul(SECOND_FACTOR);
        x ^ (x >> 16)
    };
    round(round(counter ^ low) ^ high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep_mask(n: usize, probability: f64, key: u64) -> Vec<f32> {
        let mut mask = vec![1.0; n];
        Draw::new(probability, key).multiply_all(&mut mask);
        mask
    }

    #[test]
    fn share_of_dropped_elements_and_mean_are_as_asked() {
        let n = 1 << 20;
        let mask = keep_mask(n, 0.1, Noise::key(1, 2, 3, 0));
        let dropped = mask.iter().filter(|&&m| m == 0.0).count() as f64 / n as f64;
        // Five standard errors of a binomial share.
        assert!((dropped - 0.1).abs() < 5.0 * (0.09f64 / n as f64).sqrt(), "{dropped}");
    }

    #[test]
    fn neighbours_steps_and_calls_are_uncorrelated() {
        let n = 1 << 18;
        let one = keep_mask(n, 0.5, Noise::key(1, 1, 1, 0));
        for (name, other) in [
            ("next step", keep_mask(n, 0.5, Noise::key(1, 1, 2, 0))),
            ("next epoch", keep_mask(n, 0.5, Noise::key(1, 2, 1, 0))),
            ("next seed", keep_mask(n, 0.5, Noise::key(2, 1, 1, 0))),
            ("next element", one[1..].iter().copied().chain([0.0]).collect()),
        ] {
            let same = one.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / n as f64;
            assert!((same - 0.5).abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{name}: {same}");
        }
    }

    #[test]
    fn factors_computed_by_a_device_are_the_same_bits() {
        for (probability, seed) in [(0.1, 1), (0.5, 2), (0.9, 3)] {
            let key = Noise::key(seed, 2, 3, 0);
            let found = crate::tensors::host(Draw::new(probability, key).factors(50_000, &Device::flex()));
            assert_eq!(found, keep_mask(50_000, probability, key));
        }
    }

    #[test]
    fn places_beyond_32_bits_have_noise_of_their_own() {
        let draw = Draw::new(0.5, 9);
        let mask = |first: usize, n: usize| {
            let mut values = vec![1.0f32; n];
            draw.multiply(&mut values, first);
            values
        };
        let n = 1 << 16;
        let (start, later) = (mask(0, n), mask(1 << 32, n));
        let same = start.iter().zip(&later).filter(|(a, b)| a == b).count() as f64 / n as f64;
        assert!((same - 0.5).abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{same}");
        // A run across the boundary is its two parts.
        let joined = mask((1 << 32) - 100, 300);
        assert_eq!(joined[..100], mask((1 << 32) - 100, 100));
        assert_eq!(joined[100..], later[..200]);
    }

    #[test]
    fn noise_is_a_pure_function_of_its_key() {
        assert_eq!(keep_mask(70_000, 0.3, 9), keep_mask(70_000, 0.3, 9));
        assert_eq!(keep_mask(70_000, 0.3, 9)[..100], keep_mask(100, 0.3, 9)[..]);
    }
}
