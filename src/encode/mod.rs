//! Encoding of texts and pictures into feature stores.
//!
//! [`Encoder::open`] opens an encoder from a folder, a hub name, an ONNX file or without any (TF-IDF).
//! [`Encoder::encode_texts`] and [`Encoder::encode_pictures`] compute features, and [`run()`] encodes a whole data set
//! resumably. [`Encoder::reopen`] opens the encoder of a store, for later items.
//!
//! Reading order: `recipe` (settings and what a store records), `sentence` (sentence-transformers folders), `resolve`,
//! `encoder`; then the native encoders `weights`, `gelu`, `layers`, `pool`, `tower`, `families`; `onnx`; `head`; `tfidf`;
//! their inputs `tokenizer` and `picture`; `hub`; and the run over a data set, `job`, `plan`, `partial` and `run`.

mod encoder;
mod error;
mod families;
mod files;
mod gelu;
mod head;
pub mod hub;
mod job;
mod layers;
mod onnx;
mod onnx_lengths;
mod partial;
pub mod picture;
mod plan;
mod pool;
mod recipe;
mod resolve;
mod run;
mod sentence;
#[cfg(test)]
mod tests;
pub mod tfidf;
pub mod tokenizer;
mod tower;
mod weights;

pub use encoder::Encoder;
pub use error::EncodeError;
pub use families::{Family, Modality};
pub use job::{Job, SharedPictures, TextField};
pub use pool::{Pool, Pools};
pub use recipe::{Engine, Recipe, Settings, found_out};
pub use run::{Estimate, QUARANTINE, Report, estimate, run};
pub use tower::{Encoded, Output};
