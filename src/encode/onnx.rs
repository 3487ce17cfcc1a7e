//! Encoders in ONNX files, run by `rten`.
//!
//! rten computes on the CPU whatever `--device` says. It serves architectures without a native family.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rten::{DataType, Dimension, Model, NodeId, Value, ValueOrView, ValueType};

use super::EncodeError;
use super::families::Modality;
use super::head::scale_to_unit;
use super::pool::{Pool, Pooling};
use super::tower::{Encoded, Output};

/// Largest file in bytes.
const MOST_BYTES: u64 = 8 << 30;

/// A model with its inputs identified.
pub(super) struct Onnx {
    path: PathBuf,
    model: Model,
    inputs: Vec<(NodeId, Role)>,
    output: NodeId,
    /// Whether the file fixes the number of inputs to one.
    pub single: bool,
    /// Side of the picture, if the file fixes it.
    pub side: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Pixels,
    Ids,
    Mask,
    Segments,
}

impl Onnx {
    /// Loads the file and matches its inputs to `modality`; `output` names the tensor to use.
    pub fn open(path: &Path, modality: Modality, output: Option<&str>) -> Result<Self, EncodeError> {
        let size = std::fs::metadata(path).map_err(super::error::io_error(path))?.len();
        if size > MOST_BYTES {
            return Err(super::error::malformed(
                path,
                format!("{size} bytes, at most {MOST_BYTES} are read"),
            ));
        }
        let failed = |reason: String| EncodeError::Malformed { path: path.to_owned(), reason };
        super::onnx_lengths::check(path).map_err(super::error::io_error(path))?.map_err(failed)?;
        let model = guarded(|| Model::load_file(path).map_err(|e| e.to_string())).map_err(failed)?;
        let name =
            |id: NodeId| model.node_info(id).and_then(|n| n.name().map(str::to_owned)).unwrap_or_default();
        let names = |ids: &[NodeId]| ids.iter().map(|&id| name(id)).collect::<Vec<_>>();
        let mut inputs = Vec::new();
        for &id in model.input_ids() {
            inputs.push((id, role(path, &model, id, &name(id), modality)?));
        }
        if inputs.iter().filter(|(_, role)| matches!(role, Role::Pixels | Role::Ids)).count() != 1 {
            let found = names(model.input_ids()).join(", ");
            return Err(failed(format!(
                "its inputs ({found}) are not those of a {} encoder",
                modality.name()
            )));
        }
        let output = match output {
            None => model.output_ids().first().copied(),
            Some(wanted) => model.output_ids().iter().copied().find(|&id| name(id) == wanted),
        };
        let Some(output) = output else {
            let found = names(model.output_ids()).join(", ");
            return Err(EncodeError::Options(format!("{}: its outputs are {found}", path.display())));
        };
        let shape = model.input_shape(0).unwrap_or_default();
        let fixed = |axis: usize| match shape.get(axis) {
            Some(Dimension::Fixed(n)) => Some(*n),
            _ => None,
        };
        let side = fixed(2).filter(|_| modality == Modality::Image).map(|n| n as u32);
        Ok(Self { path: path.to_owned(), single: fixed(0) == Some(1), side, model, inputs, output })
    }

    /// Encodes texts given as token ids, padded to the longest. Also returns whether the graph gives one vector a text.
    pub fn encode_texts(&self, texts: &[&[u32]], output: &Output) -> Result<(Encoded, bool), EncodeError> {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        let tokens = lengths.iter().copied().max().unwrap_or(1).max(1);
        let shape = [texts.len(), tokens];
        let padded = |value: &dyn Fn(usize, usize) -> i32| -> Vec<i32> {
            (0..texts.len())
                .flat_map(|n| (0..tokens).map(move |t| (n, t)))
                .map(|(n, t)| value(n, t))
                .collect()
        };
        let values = |role: Role| match role {
            Role::Mask => padded(&|n, t| i32::from(t < lengths[n])),
            Role::Segments => vec![0; texts.len() * tokens],
            _ => padded(&|n, t| texts[n].get(t).map_or(0, |&id| id as i32)),
        };
        let mut inputs = Vec::new();
        for &(id, role) in &self.inputs {
            let value = Value::from_shape(shape, values(role)).map_err(|e| self.failed(e))?;
            inputs.push((id, ValueOrView::from(value)));
        }
        self.run(inputs, &lengths, output)
    }

    /// Encodes preprocessed pictures `[count, 3, side, side]`. Also returns whether the graph gives one vector a
    /// picture.
    pub fn encode_pictures(
        &self,
        pixels: Vec<f32>,
        count: usize,
        side: usize,
        output: &Output,
    ) -> Result<(Encoded, bool), EncodeError> {
        let value = Value::from_shape([count, 3, side, side], pixels).map_err(|e| self.failed(e))?;
        // `open` has checked that there is exactly one.
        let inputs = self.inputs.iter().take(1).map(|&(id, _)| id);
        let inputs = inputs.zip([ValueOrView::from(value)]).collect();
        self.run(inputs, &vec![usize::MAX; count], output)
    }

    fn run(
        &self,
        inputs: Vec<(NodeId, ValueOrView)>,
        lengths: &[usize],
        output: &Output,
    ) -> Result<(Encoded, bool), EncodeError> {
        let b = lengths.len();
        let run = || self.model.run(inputs, &[self.output], None).map_err(|e| e.to_string());
        let value = guarded(run).map_err(|e| self.failed(e))?.swap_remove(0);
        let Some(tensor) = value.into_tensor::<f32>() else {
            return Err(self.failed("its output is not float"));
        };
        let value = Value::from(tensor);
        // Rank 3 holds token states, rank 2 a vector per input.
        let (tokens, width, values, vector) = match value.clone().into_shape_vec::<f32, 3>() {
            Ok(([n, t, f], values)) if n == b && t > 0 && f > 0 => (t, f, values, false),
            _ => match value.into_shape_vec::<f32, 2>() {
                Ok(([n, f], values)) if n == b && f > 0 => (1, f, values, true),
                _ => {
                    return Err(
                        self.failed("its output is neither [inputs, width] nor [inputs, tokens, width]")
                    );
                }
            },
        };
        let lengths: Vec<usize> = lengths.iter().map(|&n| n.min(tokens)).collect();
        Ok((pooled(Encoded { values, tokens, width, lengths }, vector, output), vector))
    }

    fn failed(&self, reason: impl ToString) -> EncodeError {
        EncodeError::Model { path: self.path.clone(), reason: reason.to_string() }
    }
}

fn role(path: &Path, model: &Model, id: NodeId, name: &str, modality: Modality) -> Result<Role, EncodeError> {
    let float = model.node_info(id).and_then(|n| n.dtype()) == Some(ValueType::Tensor(DataType::Float));
    let unknown = || EncodeError::Unsupported {
        path: path.to_owned(),
        what: format!("it has an input {name:?}"),
        hint: "pictures come as one float tensor [N, 3, S, S]; texts as input_ids, attention_mask and \
               token_type_ids"
            .into(),
    };
    match modality {
        Modality::Image if float => Ok(Role::Pixels),
        Modality::Image => Err(unknown()),
        Modality::Text if name.contains("mask") => Ok(Role::Mask),
        Modality::Text if name.contains("type") || name.contains("segment") => Ok(Role::Segments),
        Modality::Text if name.contains("ids") => Ok(Role::Ids),
        Modality::Text => Err(unknown()),
    }
}

/// Pools token states on the host. A `vector` that the graph has pooled is at most scaled.
fn pooled(states: Encoded, vector: bool, output: &Output) -> Encoded {
    let Some(pools) = &output.pool else { return states };
    let Encoded { width, ref lengths, .. } = states;
    let mut values = Vec::with_capacity(lengths.len() * width * pools.modes().len());
    let mut whole = width;
    for n in 0..lengths.len() {
        let row = states.row(n);
        let mut pooled = if vector {
            row.to_vec()
        } else {
            pools.modes().iter().flat_map(|pool| pool_one(row, width, *pool, output.skip)).collect()
        };
        if output.unit {
            scale_to_unit(&mut pooled);
        }
        whole = pooled.len();
        values.extend(pooled);
    }
    Encoded { values, tokens: 1, width: whole, lengths: vec![1; lengths.len()] }
}

/// Pools an input with valid states `row`, `[length, width]`, by one mode.
fn pool_one(row: &[f32], width: usize, pool: Pool, skip: usize) -> Vec<f32> {
    let length = row.len() / width;
    // The end-of-text token is the last valid one, followed by padding only.
    let plan = pool.plan(length, skip, length.saturating_sub(1));
    let state = |place: usize| &row[place * width..(place + 1) * width];
    if let Pooling::Place(place) = plan {
        return state(place).to_vec();
    }
    let first = skip.min(length.max(1) - 1);
    let weight = |place: usize| match plan {
        Pooling::Sum { weighted: true, .. } => (place + 1) as f32,
        _ => 1.0,
    };
    let mut vector: Vec<f32> = state(first).iter().map(|&x| x * weight(first)).collect();
    for place in first + 1..length {
        for (v, &x) in vector.iter_mut().zip(state(place)) {
            *v = if plan == Pooling::Largest { v.max(x) } else { *v + x * weight(place) };
        }
    }
    if let Pooling::Sum { divisor, .. } = plan {
        vector.iter_mut().for_each(|v| *v /= divisor);
    }
    vector
}

/// Turns panics of the runtime, which asserts properties of a file, into errors of the file.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("an operator failed on it".to_owned()))
}
