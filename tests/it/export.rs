//! Weights that leave and come back.

use codistill::config::SavingsConfig;
use codistill::export::{import_weights, weights};
use codistill::params;
use codistill::tensors;

use crate::fixture::{Case, World, device};
use crate::need::need;
use crate::program::{path, python, script};

#[test]
fn exported_weights_carry_the_authors_names_and_values_and_come_back_bit_for_bit() {
    let world = World::load();
    let model = world.model(&Case::main(SavingsConfig::default()), "none.", &device());
    let ours = params::read(&model);
    let home = tempfile::tempdir().unwrap();
    let exported = home.path().join("weights.safetensors");
    tensors::write(&exported, &weights::to_authors(&ours)).unwrap();
    let file = tensors::read(&exported).unwrap();
    // Every parameter of the authors' model that its forward pass reads, bit for bit.
    for (name, theirs) in world.main.below("w.") {
        if world.main.has(&format!("g.{name}")) {
            assert_eq!(file[&name], theirs, "{name}");
        }
    }
    let fresh = world.model(&Case::main(SavingsConfig::default()), "one_layer.w.", &device());
    let (back, kept) = import_weights(fresh, &exported).unwrap();
    assert!(kept.is_empty());
    assert_eq!(params::read(&back), ours);
}

#[test]
fn exported_weights_load_in_pytorch_and_give_the_authors_logits() {
    let Some(python) = need("torch", python(&["torch", "numpy", "safetensors"])) else { return };
    let world = World::load();
    let model = world.model(&Case::main(SavingsConfig::default()), "none.", &device());
    let home = tempfile::tempdir().unwrap();
    let exported = home.path().join("weights.safetensors");
    tensors::write(&exported, &weights::to_authors(&params::read(&model))).unwrap();
    let fixture = "tests/fixtures/odmt_parity_v1.safetensors";
    let said = script(&python, "torch_export.py", &[path(&exported), fixture]).fine();
    assert!(said.stdout.contains("<All keys matched successfully>"), "{}", said.stdout);
    assert!(said.stdout.ends_with("equal within 2e-5\n"), "{}", said.stdout);
}
