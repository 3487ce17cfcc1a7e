//! A checkpoint saved and loaded, by the code that training saves and resumes with.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use tempfile::TempDir;

use super::disk::Loaded;
use super::workload::Workload;
use super::{BenchError, Steps, training};
use crate::artefact::{self, io_error};
use crate::config::Config;
use crate::model::Recommender;
use crate::params::{self, host};
use crate::train::checkpoint::{self, CheckpointError, Parents, RunState};
use crate::train::optim::{AdamW, Moments};

/// A checkpoint workload, ready to run.
pub struct Saving {
    config: Config,
    model: Recommender,
    optimizer: AdamW,
    device: Device,
    /// Where checkpoints are written.
    home: TempDir,
}

/// One timed checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Number of the timed step, from 0; warm-ups are not counted.
    pub index: usize,
    /// Synced to disk; training stands still so long.
    pub save_seconds: f64,
    /// Hashes checked, and all values in a model and an optimiser again.
    pub load_seconds: f64,
    pub bytes: u64,
    /// Of what was loaded: numbers, their sum, and the sum of their squares.
    pub numbers: usize,
    pub sum: f64,
    pub squares: f64,
}

/// The model whose parameters a workload holds.
pub(super) fn fresh(workload: &Workload) -> Result<Recommender, BenchError> {
    let config = training::config(workload, Path::new("."), &[])?;
    Ok(training::fresh_model(workload, &config, vec![0], &Device::flex()))
}

impl Saving {
    /// The optimiser's state is made from the parameters x: means 0.1 x, means of squares x².
    ///
    /// `sets` are `key=value` of the configuration; `device` is a plain device.
    ///
    /// # Errors
    /// A set is refused, the workload's directory is damaged, or there is no place for what is written.
    pub fn new(loaded: &Loaded, sets: &[String], device: &Device) -> Result<Self, BenchError> {
        let config = training::config(&loaded.workload, &loaded.dir, sets)?;
        let model = training::fresh_model(&loaded.workload, &config, vec![0], &device.clone().autodiff());
        let values = loaded.parameters()?;
        let mut optimizer = AdamW::new(&config.optim);
        for (name, parameter) in &values {
            let of = |update: fn(f32) -> f32| {
                let values: Vec<f32> = parameter.values.iter().map(|&x| update(x)).collect();
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), device)
            };
            let moments = Moments { first: of(|x| 0.1 * x), second: of(|x| x * x), updates: 1 };
            optimizer.state.insert(name.clone(), moments);
        }
        let model = params::write(model, values)
            .map_err(|source| CheckpointError::Params { dir: loaded.dir.clone(), source })?;
        let home = tempfile::tempdir().map_err(io_error(&std::env::temp_dir()))?;
        Ok(Self { config, model, optimizer, device: device.clone(), home })
    }

    /// Trainable numbers of the model.
    pub fn parameters(&self) -> usize {
        training::parameter_count(&self.model)
    }

    /// Saves and loads, `steps.timed` times; `on_step` is told of every timed time.
    ///
    /// # Errors
    /// A checkpoint can't be written or read again.
    pub fn run(
        &self,
        steps: Steps,
        on_step: &mut dyn FnMut(&Saved) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        steps.run(|index, _| self.step(index), on_step)
    }

    fn step(&self, index: usize) -> Result<Saved, BenchError> {
        let state = RunState::default();
        let start = Instant::now();
        let path = checkpoint::save(
            self.home.path(),
            &self.config,
            &Parents::default(),
            &state,
            &self.model,
            &self.optimizer,
        )?;
        let save_seconds = start.elapsed().as_secs_f64();
        let bytes = folder_bytes(&path)?;
        let start = Instant::now();
        let read = checkpoint::load(&path)?;
        let model = read.restore(&path, self.model.clone())?;
        let moments = read.moments(&self.device);
        self.device.sync().map_err(|e| BenchError::Device(format!("{e:?}")))?;
        let load_seconds = start.elapsed().as_secs_f64();
        drop(read);
        // The next one is written to the same place; to take the old one away is no part of saving.
        artefact::remove(&path)?;
        let (numbers, sum, squares) = sums(&model, &moments);
        Ok(Saved { index, save_seconds, load_seconds, bytes, numbers, sum, squares })
    }
}

fn folder_bytes(folder: &Path) -> Result<u64, BenchError> {
    let entries = std::fs::read_dir(folder).map_err(io_error(folder))?;
    let bytes =
        entries.map(|entry| entry.and_then(|entry| Ok(entry.metadata()?.len())).map_err(io_error(folder)));
    Ok(bytes.sum::<Result<u64, _>>()?)
}

/// How many numbers there are, their sum, and the sum of their squares.
fn sums(model: &Recommender, moments: &BTreeMap<String, Moments>) -> (usize, f64, f64) {
    let (mut count, mut sum, mut squares) = (0, 0.0, 0.0);
    let mut add = |tensor: Tensor<1>| {
        for value in host(tensor).into_iter().map(f64::from) {
            count += 1;
            sum += value;
            squares += value * value;
        }
    };
    params::for_each(model, &mut |_, _, value| add(value));
    for moments in moments.values() {
        add(moments.first.clone());
        add(moments.second.clone());
    }
    (count, sum, squares)
}
