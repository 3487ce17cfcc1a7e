//! What a user sees, in one binary so that it is linked once.

mod ablate;
mod append;
mod bad_input;
mod bench;
mod bench_files;
mod bench_loss;
mod bits;
mod choice;
mod cli;
mod cold;
mod compare;
mod embed;
mod encode;
mod export;
mod extend;
mod features;
mod fixture;
mod flip;
#[cfg(feature = "wgpu")]
mod gpu;
mod inputs;
mod lists;
mod machines;
#[path = "../../src/need.rs"]
mod need;
mod objectives;
mod older;
mod pages;
mod parity;
mod planted;
mod prepare;
mod probe;
mod program;
mod real_data;
mod references;
mod resume;
mod row_sparse;
mod shop;
mod silence;
mod slopes;
mod stages;
mod structure;
mod tensorboard;
mod tune;
mod unread;
mod worlds;
