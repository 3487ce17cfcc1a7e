//! A list of modules that stand under names in the module tree.
//!
//! Burn's own `Vec` names its entries by number. Names key checkpoints and optimiser state, and should survive a new
//! order of the configuration.

use std::ops::{Deref, DerefMut};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;

/// Modules of one kind under their configured names, e.g. the branches of a model.
#[derive(Clone, Debug)]
pub struct Named<M> {
    names: Vec<String>,
    modules: Vec<M>,
}

impl<M> Named<M> {
    /// The names, in the order of the modules.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn replace<N>(self, change: impl FnMut(M) -> N) -> Named<N> {
        Named { names: self.names, modules: self.modules.into_iter().map(change).collect() }
    }
}

impl<M> FromIterator<(String, M)> for Named<M> {
    fn from_iter<I: IntoIterator<Item = (String, M)>>(entries: I) -> Self {
        let (names, modules) = entries.into_iter().unzip();
        Self { names, modules }
    }
}

impl<M> Deref for Named<M> {
    type Target = [M];

    fn deref(&self) -> &[M] {
        &self.modules
    }
}

impl<M> DerefMut for Named<M> {
    fn deref_mut(&mut self) -> &mut [M] {
        &mut self.modules
    }
}

/// What the tree calls this container.
const CONTAINER: &str = "Named";

impl<M: Module> Module for Named<M> {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.modules.iter().fold(devices, |devices, module| module.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.replace(|module| module.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.replace(|module| module.to_device(device))
    }

    fn train(self) -> Self {
        self.replace(Module::train)
    }

    fn valid(&self) -> Self {
        Self { names: self.names.clone(), modules: self.modules.iter().map(Module::valid).collect() }
    }

    fn materialize(self) -> Self {
        self.replace(Module::materialize)
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        for (name, module) in self.names.iter().zip(&self.modules) {
            visitor.enter_module(name, CONTAINER);
            module.visit(visitor);
            visitor.exit_module(name, CONTAINER);
        }
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        let Self { names, modules } = self;
        let modules = names.iter().zip(modules).map(|(name, module)| {
            mapper.enter_module(name, CONTAINER);
            let module = module.map(mapper);
            mapper.exit_module(name, CONTAINER);
            module
        });
        let modules = modules.collect();
        Self { names, modules }
    }
}

impl<M: ModuleDisplay> ModuleDisplayDefault for Named<M> {
    fn content(&self, content: Content) -> Option<Content> {
        let all = self.names.iter().zip(&self.modules);
        all.fold(content, |content, (name, module)| content.add(name, module)).optional()
    }
}

impl<M: ModuleDisplay> ModuleDisplay for Named<M> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Init;
    use crate::nn::init::Scheme;
    use crate::params;

    #[test]
    fn parameters_stand_under_their_configured_names_whatever_their_order() {
        let linear = |init: &mut Init| init.linear(2, 3, true, Scheme::Uniform);
        let mut init = Init::new(1, &Device::flex());
        let list: Named<_> = [("text", linear(&mut init)), ("id", linear(&mut init))]
            .map(|(n, m)| (n.to_owned(), m))
            .into_iter()
            .collect();
        let names: Vec<String> = params::read(&list).into_keys().collect();
        assert_eq!(names, ["id.bias", "id.weight", "text.bias", "text.weight"]);
        let doubled = params::map(list.clone(), &mut |name, _, value| {
            if name.starts_with("id.") { value * 2.0 } else { value }
        });
        assert_eq!(params::read(&doubled)["text.weight"], params::read(&list)["text.weight"]);
        assert_ne!(params::read(&doubled)["id.weight"], params::read(&list)["id.weight"]);
    }
}
