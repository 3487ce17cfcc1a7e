//! Weights that leave and come back.

use codistill::config::SavingsConfig;
use codistill::export::{import_weights, weights};
use codistill::model::params;
use codistill::tensors;

use crate::fixture::{Case, World, device};

#[test]
fn exported_weights_carry_the_authors_names_and_values_and_come_back_bit_for_bit() {
    let world = World::load();
    let model = world.model(&Case::main(SavingsConfig::default()), "none.", &device());
    let ours = params::read(&model);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("weights.safetensors");
    tensors::write(&path, &weights::to_authors(&ours)).unwrap();
    let file = tensors::read(&path).unwrap();
    // Every parameter of the authors' model that its forward pass reads, bit for bit.
    for (name, theirs) in world.main.below("w.") {
        if world.main.has(&format!("g.{name}")) {
            assert_eq!(file[&name], theirs, "{name}");
        }
    }
    let fresh = world.model(&Case::main(SavingsConfig::default()), "one_layer.w.", &device());
    let (back, kept) = import_weights(fresh, &path).unwrap();
    assert!(kept.is_empty());
    assert_eq!(params::read(&back), ours);
}

/// For `tests/torch_export.py`, which loads them in PyTorch.
#[test]
fn fixture_weights_are_exported_for_pytorch() {
    let Some(path) = std::env::var_os("CODISTILL_EXPORT_WEIGHTS") else {
        eprintln!("skipped: CODISTILL_EXPORT_WEIGHTS names no file");
        return;
    };
    let world = World::load();
    let model = world.model(&Case::main(SavingsConfig::default()), "none.", &device());
    tensors::write(path.as_ref(), &weights::to_authors(&params::read(&model))).unwrap();
}
