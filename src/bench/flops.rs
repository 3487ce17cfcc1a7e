//! The arithmetic of a training step, by formula (docs/odmt.md, section 9.2).
//!
//! Only matrix products count, two operations a multiply-add. The backward pass costs twice the forward pass; of the
//! projections of frozen features, which need no gradient by their input, once. With l tokens of an item, n positions
//! of a user, width d, features of width f:
//!
//! | part | multiply-adds forward |
//! | --- | --- |
//! | block over l tokens | 12 l d² + 2 l² d (four maps, feed-forward of 4 d; scores and mixing) |
//! | last tower block, 3 queries | 36 d² + 2·3·heads·l d (key and value maps on the query side) |
//! | projections of an item | (l - 1) f d frozen, f d of the ID |
//! | item maps of three branches | 6 d² |
//! | encoder of a user, a branch | blocks · (12 n d² + 2 n² d) |
//! | scores of a branch | rows · columns · d |
//!
//! The **reference graph** encodes all B (S + 1) slots with all their tokens in every block, all B S positions, and
//! scores rows against all slots (for SASRec: all positions against the catalogue). The **reduced graph** counts
//! what a batch needs (docs/odmt.md, section 7, savings 1 to 5): its distinct items with their own tokens, the last
//! block for three queries, real positions only. What an implementation pads or computes twice is no part of it, so that such
//! waste shows as a lower rate.

use super::workload::{BRANCH_COUNT, Kind, Workload};
use crate::model::ViewSource;
use crate::systems::codistill::Batch;
use crate::systems::codistill::windows::Window;

/// Tokens of an item that branches read.
const QUERIES: f64 = 3.0;

/// Operations of one step, forward and backward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flops {
    pub reference: f64,
    pub ours: f64,
}

impl Flops {
    /// Nothing is spared.
    pub fn same(flops: f64) -> Self {
        Self { reference: flops, ours: flops }
    }
}

/// Multiply-adds of a forward pass.
#[derive(Default)]
struct Macs {
    trained: f64,
    /// Products with frozen inputs.
    frozen: f64,
}

impl Macs {
    fn step(&self) -> f64 {
        2.0 * (3.0 * self.trained + 2.0 * self.frozen)
    }
}

/// A transformer block over `length` tokens or positions.
fn block(length: f64, d: f64) -> f64 {
    12.0 * length * d * d + 2.0 * length * length * d
}

/// Step of the reference graph; of an evaluation, one ranking.
pub fn reference(workload: &Workload) -> f64 {
    let Workload { users, positions, .. } = *workload;
    let d = workload.width as f64;
    let (b, s) = (users as f64, positions as f64);
    let encoders = b * workload.encoder_blocks as f64 * block(s, d);
    match workload.kind {
        Kind::Evaluate => ranking(workload),
        Kind::Loss => loss(workload),
        Kind::Prepare | Kind::Checkpoint => 0.0,
        Kind::Sasrec => {
            let trained = encoders + b * s * workload.items as f64 * d;
            Macs { trained, frozen: 0.0 }.step()
        }
        Kind::Odmt => {
            let slots = b * (s + 1.0);
            let f = workload.feature_width as f64;
            let tokens = (workload.text_tokens + workload.image_tokens) as f64;
            let tower = workload.tower_blocks as f64 * block(tokens + 1.0, d);
            let item = tower + f * d + 2.0 * BRANCH_COUNT as f64 * d * d;
            let branches = BRANCH_COUNT as f64 * (encoders + b * s * slots * d);
            Macs { trained: slots * item + branches, frozen: slots * tokens * f * d }.step()
        }
    }
}

/// What a batch really holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Text and image tokens of every distinct item.
    pub tokens: Vec<usize>,
    /// Input positions of every user.
    pub positions: Vec<usize>,
}

impl Content {
    /// `windows` are those that `batch` was assembled from.
    pub fn new(batch: &Batch, windows: &[Window], views: &[Option<ViewSource>]) -> Self {
        // A missing item has a learned token.
        let own = |item: u32, view: &ViewSource| view.store.length(item).min(view.max_tokens).max(1);
        let tokens = |&item: &u32| views.iter().flatten().map(|view| own(item, view)).sum();
        Self {
            tokens: batch.block.items.iter().map(tokens).collect(),
            positions: windows.iter().map(|w| w.length as usize - 1).collect(),
        }
    }
}

/// Step of the reduced graph on a batch.
pub fn reduced(workload: &Workload, content: &Content) -> f64 {
    let d = workload.width as f64;
    let blocks = workload.encoder_blocks as f64;
    let encoders: f64 = content.positions.iter().map(|&n| blocks * block(n as f64, d)).sum();
    let rows = content.positions.iter().sum::<usize>() as f64;
    if workload.kind != Kind::Odmt {
        return Macs { trained: encoders + rows * workload.items as f64 * d, frozen: 0.0 }.step();
    }
    let (f, heads) = (workload.feature_width as f64, workload.tower_heads as f64);
    let mut sum = Macs::default();
    for &tokens in &content.tokens {
        let tokens = tokens as f64;
        let full = (workload.tower_blocks as f64 - 1.0) * block(tokens + 1.0, d);
        let last = 12.0 * QUERIES * d * d + 2.0 * QUERIES * heads * (tokens + 1.0) * d;
        sum.trained += full + last + f * d + 2.0 * BRANCH_COUNT as f64 * d * d;
        sum.frozen += tokens * f * d;
    }
    sum.trained += BRANCH_COUNT as f64 * (encoders + rows * content.tokens.len() as f64 * d);
    sum.step()
}

/// Scores of all users by all items in every branch: nothing can be left out.
pub fn ranking(workload: &Workload) -> f64 {
    2.0 * BRANCH_COUNT as f64 * (workload.users * workload.items * workload.width) as f64
}

/// A loss over the catalogue from given vectors, with its gradients: scores computed a second time do not count.
pub fn loss(workload: &Workload) -> f64 {
    let products = workload.branches().len() * workload.users * workload.items * workload.width;
    Macs { trained: products as f64, frozen: 0.0 }.step()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Profile;

    fn close(name: &str, sets: &[&str], expected: f64) {
        let mut workload = Workload::named(name, Profile::Dense).unwrap();
        sets.iter().for_each(|set| workload.set(set).unwrap());
        let flops = reference(&workload);
        assert!((flops / expected - 1.0).abs() < 0.003, "{name} {sets:?}: {flops:.4e}, not {expected:.4e}");
    }

    #[test]
    fn the_reference_graph_costs_what_was_counted_for_the_authors_model() {
        close("odmt-paper", &[], 12.43e12);
        close("odmt-paper", &["users=32", "items=4000"], 3.11e12);
        close("odmt-small", &[], 21.6e9);
        close("odmt-small", &["feature_width=768", "items=2000"], 26.8e9);
        close("odmt-tokens-small", &[], 20.9e9);
        close("odmt-cls-small", &[], 13.6e9);
        close("odmt-cls", &[], 0.90e12);
        close("loss-ce", &[], 6.0 * 1536.0 * 21_020.0 * 64.0);
        close("loss-odmt-kd", &[], 18.0 * 1536.0 * 21_020.0 * 64.0);
    }

    /// Without padding and duplicates only the last block's saving is left, which the specification counts as 1.82.
    #[test]
    fn the_reduced_graph_saves_what_was_counted_for_the_last_block() {
        let workload = Workload::named("odmt-paper", Profile::Dense).unwrap();
        let content = Content { tokens: vec![80; 128 * 13], positions: vec![12; 128] };
        let ratio = reference(&workload) / reduced(&workload, &content);
        assert!((ratio - 1.82).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn a_full_batch_of_sasrec_costs_as_much_either_way() {
        let workload = Workload::named("sasrec-ml1m", Profile::Dense).unwrap();
        let content = Content { tokens: Vec::new(), positions: vec![200; 128] };
        assert_eq!(reference(&workload), reduced(&workload, &content));
    }
}
