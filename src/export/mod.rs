//! What leaves the program: weights for PyTorch, item vectors, a model card.

pub mod weights;
