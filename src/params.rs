//! Every parameter of a model by its name: `branches.text.encoder.blocks.0.query.weight`.
//!
//! Names are the paths of the module tree; entries of a [`Named`](crate::nn::Named) list stand under their configured
//! names. They key optimiser state, checkpoints and exports.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

pub use crate::tensors::{Values, host};

/// Why named values don't fit a model.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParamsError {
    #[error("the weights lack {0}")]
    Missing(String),
    #[error("the weights hold {0}, which the model does not have")]
    Unknown(String),
    #[error("{name} has shape {found:?}, the model needs {expected:?}")]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
}

/// The path of a walk through the module tree.
#[derive(Default)]
struct Path {
    parts: Vec<String>,
}

impl Path {
    /// Enum variants are no part of a name: they enter as empty parts.
    fn enter(&mut self, name: &str, container: &str) {
        self.parts.push(if container.starts_with("Enum:") { String::new() } else { name.to_owned() });
    }

    fn name(&self) -> String {
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
        parts.join(".")
    }
}

/// Calls `visit` with every parameter's name and itself, flattened.
pub fn for_each<M: Module>(model: &M, visit: &mut dyn FnMut(String, Vec<usize>, Tensor<1>)) {
    struct Walk<'a> {
        path: Path,
        visit: &'a mut dyn FnMut(String, Vec<usize>, Tensor<1>),
    }
    impl ModuleVisitor for Walk<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.parts.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let shape = value.dims().to_vec();
            let n = shape.iter().product::<usize>();
            (self.visit)(self.path.name(), shape, value.reshape([n]));
        }
    }
    model.visit(&mut Walk { path: Path::default(), visit });
}

/// What [`map`] does with a parameter's name, shape and flat value.
type Update<'a> = dyn FnMut(&str, &[usize], Tensor<1>) -> Tensor<1> + 'a;

/// Replaces every parameter by `update(name, shape, flat value)`.
///
/// Values go in and out on the plain device; gradients are tracked again afterwards. A value that only `model` holds
/// reaches `update` as its only handle, so that it can be written to in place.
pub fn map<M: Module>(model: M, update: &mut Update<'_>) -> M {
    struct Walk<'a> {
        path: Path,
        update: &'a mut Update<'a>,
    }
    impl ModuleMapper for Walk<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.parts.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, tensor, mapper) = param.consume();
            let tracked = tensor.is_autodiff();
            let value = if tracked { tensor.inner() } else { tensor };
            let shape = value.dims();
            let n = shape.iter().product::<usize>();
            let value = (self.update)(&self.path.name(), &shape, value.reshape([n])).reshape(shape);
            let value = if tracked { Tensor::from_inner(value).require_grad() } else { value };
            Param::from_mapped_value(id, value, mapper)
        }
    }
    model.map(&mut Walk { path: Path::default(), update })
}

/// Flat gradient of every parameter that took part in the loss.
pub fn gradients<M: Module>(model: &M, grads: &mut Gradients) -> BTreeMap<String, Tensor<1>> {
    struct Walk<'a> {
        path: Path,
        grads: &'a mut Gradients,
        found: BTreeMap<String, Tensor<1>>,
    }
    impl ModuleVisitor for Walk<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.parts.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = param.val().grad_remove(self.grads) {
                let n = grad.shape().num_elements();
                self.found.insert(self.path.name(), grad.reshape([n]));
            }
        }
    }
    let mut walk = Walk { path: Path::default(), grads, found: BTreeMap::new() };
    model.visit(&mut walk);
    walk.found
}

/// All parameters on the host.
pub fn read<M: Module>(model: &M) -> BTreeMap<String, Values> {
    let mut all = BTreeMap::new();
    for_each(model, &mut |name, shape, value| {
        all.insert(name, Values { shape, values: host(value) });
    });
    all
}

/// Sets all parameters.
///
/// # Errors
/// A parameter is missing, unknown, or of another shape; the model is then lost, so check before training.
pub fn write<M: Module>(model: M, mut values: BTreeMap<String, Values>) -> Result<M, ParamsError> {
    let mut problem = None;
    let model = map(model, &mut |name, shape, old| {
        let Some(new) = values.remove(name) else {
            problem.get_or_insert(ParamsError::Missing(name.to_owned()));
            return old;
        };
        if new.shape != shape {
            let (found, expected) = (new.shape, shape.to_vec());
            problem.get_or_insert(ParamsError::Shape { name: name.to_owned(), found, expected });
            return old;
        }
        let n = new.values.len();
        Tensor::from_data(TensorData::new(new.values, [n]), &old.device())
    });
    if let Some(name) = values.keys().next() {
        problem.get_or_insert(ParamsError::Unknown(name.clone()));
    }
    problem.map_or(Ok(model), Err)
}
