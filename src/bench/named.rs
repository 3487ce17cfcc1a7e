//! Every workload by its name: what it is for, and its exact shapes.

use super::BenchError;
use super::workload::{Kind, Profile, Workload};
use crate::config::nearest;

/// A workload that has a name.
pub struct Named {
    pub name: &'static str,
    pub purpose: &'static str,
    /// Its shapes; name and profile are filled in by [`Workload::named`].
    pub(super) shape: fn() -> Workload,
}

/// All of them, in the order in which they are listed.
pub const NAMED: [Named; 12] = [
    Named {
        name: "odmt-small",
        purpose: "an ODMT step that a CPU trains with: bound by memory traffic as much as by products",
        shape: odmt,
    },
    Named {
        name: "odmt-tokens-small",
        purpose: "an ODMT step of seventeen tokens an item: the tower is most of it",
        shape: || Workload { users: 32, text_tokens: 8, image_tokens: 8, ..odmt_128() },
    },
    Named {
        name: "odmt-cls-small",
        purpose: "an ODMT step with one vector a text and an image: tower and user encoders cost alike",
        shape: || Workload { users: 64, text_tokens: 1, image_tokens: 1, ..odmt_128() },
    },
    Named {
        name: "odmt-paper",
        purpose: "an ODMT step at the published sizes: bound by products; peak memory counts",
        shape: || Workload { items: 2000, ..odmt_768() },
    },
    Named {
        name: "odmt-cls",
        purpose: "an ODMT step at the published width with one vector a text and an image",
        shape: || Workload { items: ARTS_ITEMS, text_tokens: 1, image_tokens: 1, ..odmt_768() },
    },
    Named {
        name: "sasrec-ml1m",
        purpose: "a SASRec step with the full softmax on MovieLens-1M's sizes: long histories",
        shape: || Workload { positions: 200, items: 3416, encoder_blocks: 2, encoder_heads: 2, ..sasrec() },
    },
    Named {
        name: "sasrec-beauty",
        purpose: "a SASRec step with the full softmax on Amazon Beauty's sizes: nearly all of it is the softmax",
        shape: || Workload { positions: 50, items: BEAUTY_ITEMS, ..sasrec() },
    },
    Named {
        name: "eval-arts",
        purpose: "a full ranking on Amazon Arts' sizes by given vectors of three branches",
        shape: || Workload { users: 45_487, positions: 50, ..given(Kind::Evaluate) },
    },
    Named {
        name: "loss-ce",
        purpose: "cross-entropy over Amazon Arts' catalogue and its gradients, from given vectors",
        shape: || given(Kind::Loss),
    },
    Named {
        name: "loss-odmt-kd",
        purpose: "cross-entropies of three branches over the catalogue, their distillation, and all gradients",
        shape: || Workload { distill_weight: 0.8, ..given(Kind::Loss) },
    },
    Named {
        name: "prep-jsonl",
        purpose: "a million reviews, one JSON object a line, to a 5-core data set; users=650000 makes five million",
        shape: reviews,
    },
    Named {
        name: "ckpt",
        purpose: "20 million parameters and their optimiser's state, saved and loaded; items=301500 makes 78 million",
        shape: || Workload { users: 0, positions: 50, width: 256, items: 75_000, ..given(Kind::Checkpoint) },
    },
];

/// Items of the sets whose sizes the workloads have.
const BEAUTY_ITEMS: usize = 12_101;
const ARTS_ITEMS: usize = 21_020;

/// Returns the workload `name`.
///
/// # Errors
/// There is none of that name.
pub fn find(name: &str) -> Result<&'static Named, BenchError> {
    NAMED.iter().find(|named| named.name == name).ok_or_else(|| BenchError::Unknown {
        name: name.to_owned(),
        near: nearest(name, names().chain(["list", "machine"])),
    })
}

/// All names, in the order in which they are listed.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|named| named.name)
}

impl Workload {
    /// Returns the workload `name` with its own shapes.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str, profile: Profile) -> Result<Self, BenchError> {
        Ok(Self { name: name.to_owned(), profile, ..(find(name)?.shape)() })
    }
}

fn odmt() -> Workload {
    Workload {
        name: String::new(),
        kind: Kind::Odmt,
        profile: Profile::Sparse,
        users: 32,
        positions: 10,
        width: 64,
        feature_width: 64,
        text_tokens: 30,
        image_tokens: 50,
        tower_blocks: 2,
        tower_heads: 2,
        encoder_blocks: 2,
        encoder_heads: 2,
        items: 4000,
        temperature: 0.5,
        distill_weight: 0.8,
        dropout: 0.1,
        lr: 1e-4,
        weight_decay: 0.1,
        clip_norm: 5.0,
        layer_norm_eps: 1e-6,
        batches: 8,
        seed: 1,
    }
}

fn odmt_128() -> Workload {
    Workload { positions: 12, width: 128, feature_width: 128, items: BEAUTY_ITEMS, ..odmt() }
}

fn odmt_768() -> Workload {
    Workload { users: 128, positions: 12, width: 768, feature_width: 768, ..odmt() }
}

/// Without a tower: an ID branch, one block of one head.
fn sasrec() -> Workload {
    Workload {
        kind: Kind::Sasrec,
        users: 128,
        feature_width: 0,
        text_tokens: 0,
        image_tokens: 0,
        tower_blocks: 0,
        tower_heads: 0,
        encoder_blocks: 1,
        encoder_heads: 1,
        distill_weight: 0.0,
        dropout: 0.2,
        ..odmt()
    }
}

/// Vectors are given, no model makes them: 128 users of 12 positions each.
fn given(kind: Kind) -> Workload {
    Workload { kind, users: 1536, positions: 0, items: ARTS_ITEMS, batches: 0, dropout: 0.0, ..sasrec() }
}

fn reviews() -> Workload {
    let (users, positions, items) = (130_000, 50, 60_000);
    Workload { users, positions, items, width: 0, text_tokens: 30, ..given(Kind::Prepare) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_found_by_its_own_name() {
        for named in &NAMED {
            let workload = Workload::named(named.name, Profile::Dense).unwrap();
            assert_eq!((workload.name.as_str(), workload.profile), (named.name, Profile::Dense));
        }
    }

    #[test]
    fn overrides_take_only_what_the_kind_has_and_numbers_in_range() {
        let mut workload = Workload::named("sasrec-ml1m", Profile::Dense).unwrap();
        workload.set("users=4").unwrap();
        assert_eq!(workload.users, 4);
        for bad in ["users", "users=", "users=1", "users=-3", "users=99999999999", "text_tokens=4", "heads=2"]
        {
            assert!(matches!(workload.set(bad), Err(BenchError::Override { .. })), "{bad}");
        }
        assert_eq!(workload.set("positoins=3").unwrap_err().hint().unwrap(), "did you mean `positions`?");
    }
}
