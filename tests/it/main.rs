//! What a user sees, in one binary so that it is linked once.

mod fixture;
mod parity;
