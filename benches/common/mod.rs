//! What the benches train: a SASRec over an ID table, on windows whose items are spread over the catalogue.

use codistill::config::{
    BranchConfig, EncoderConfig, ModelConfig, ObjectiveConfig, SavingsConfig, ViewConfig, ViewKind, Windows,
};
use codistill::data::{Part, Sequences};
use codistill::systems::codistill::batch::{Sampler, SamplerOptions};

/// Input positions of a window.
pub const INPUTS: usize = 10;

/// Branches of the given names and encoders that all read one ID table as it is.
pub fn id_model(width: usize, branches: &[(&str, EncoderConfig)]) -> ModelConfig {
    let branch = |(name, encoder): &(&str, EncoderConfig)| BranchConfig {
        name: (*name).into(),
        view: "id".into(),
        tokens: codistill::config::TokensRead::First,
        item_mlp: false,
        encoder: encoder.clone(),
    };
    ModelConfig {
        width,
        dropout: 0.2,
        views: vec![ViewConfig { project: false, ..ViewConfig::new("id", ViewKind::Id) }],
        branches: branches.iter().map(branch).collect(),
        ..ModelConfig::default()
    }
}

pub fn sampler(windows: usize, batch_users: usize, items: usize, objective: &ObjectiveConfig) -> Sampler {
    let options = SamplerOptions {
        seed: 1,
        batch_users,
        max_seq_len: INPUTS,
        min_train_len: 2,
        windows: Windows::Last,
        objective: objective.clone(),
        savings: SavingsConfig::default(),
    };
    Sampler::new(&sequences(windows, items), items, vec![None], &options)
}

fn sequences(windows: usize, items: usize) -> Sequences {
    let mut sequences = Sequences { offsets: vec![0], ..Sequences::default() };
    for window in 0..windows {
        let item = |i: usize| 1 + ((window * 7919 + i * 104_729) % items) as u32;
        sequences.items.extend((0..=INPUTS).map(item));
        sequences.offsets.push(sequences.items.len());
    }
    sequences.times = vec![0; sequences.items.len()];
    sequences.parts = vec![Part::Train; sequences.items.len()];
    sequences
}
