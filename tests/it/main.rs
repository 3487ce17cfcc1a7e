//! What a user sees, in one binary so that it is linked once.

mod bad_input;
mod cli;
mod cold;
mod embed;
mod export;
mod fixture;
mod gpu;
mod parity;
mod planted;
mod program;
mod real_data;
mod resume;
