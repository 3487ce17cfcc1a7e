//! Initial weights. They are drawn on the host, so that they don't depend on the device.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Initialisation of a block's matrices (docs/odmt.md, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// PyTorch's default: weights and biases uniform in ±1/sqrt(fan_in).
    Uniform,
    /// Weights normal with std sqrt(2 / (fan_in + fan_out)), biases 0.
    XavierNormal,
}

/// A source of initial weights. They are drawn from one stream, so that the order of construction is part of the result.
pub struct Init {
    rng: ChaCha8Rng,
    device: Device,
}

impl Init {
    /// `device` should be the autodiff device, so that the parameters can be trained.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), device: device.clone() }
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A linear map with weight `[inputs, outputs]`.
    pub fn linear(&mut self, inputs: usize, outputs: usize, bias: bool, scheme: Scheme) -> Linear {
        let weight = self.matrix([inputs, outputs], inputs, outputs, scheme);
        let bias = bias.then(|| match scheme {
            Scheme::Uniform => self.uniform([outputs], (inputs as f64).sqrt().recip()),
            Scheme::XavierNormal => self.constant([outputs], 0.0),
        });
        Linear { weight, bias }
    }

    /// A weight of any shape with the given fans.
    pub fn matrix<const D: usize>(
        &mut self,
        shape: [usize; D],
        fan_in: usize,
        fan_out: usize,
        scheme: Scheme,
    ) -> Param<Tensor<D>> {
        match scheme {
            Scheme::Uniform => self.uniform(shape, (fan_in as f64).sqrt().recip()),
            Scheme::XavierNormal => self.normal(shape, (2.0 / (fan_in + fan_out) as f64).sqrt()),
        }
    }

    /// A parameter uniform in ±`bound`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        let n = shape.iter().product();
        let values = (0..n).map(|_| ((self.rng.random::<f64>() * 2.0 - 1.0) * bound) as f32).collect();
        self.param(values, shape)
    }

    /// A normal parameter with mean 0 and deviation `std`.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        let n: usize = shape.iter().product();
        let mut values = Vec::with_capacity(n + 1);
        while values.len() < n {
            // Box-Muller; 1 - u keeps the logarithm finite.
            let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt() * std;
            let angle = std::f64::consts::TAU * self.rng.random::<f64>();
            values.push((radius * angle.cos()) as f32);
            values.push((radius * angle.sin()) as f32);
        }
        values.truncate(n);
        self.param(values, shape)
    }

    /// A constant parameter.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.param(vec![value; shape.iter().product()], shape)
    }

    /// A parameter with given values, row-major.
    pub fn param<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}
