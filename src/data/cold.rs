//! Items held out of training, so that a model can be evaluated on them as if they were new.
//!
//! `train` holds them out of a data set before anything is made of it, under the configuration's `data.cold`.

use std::fs;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::{DataError, Dataset, ItemId, Items, Part, Sequences};
use crate::artefact::io_error;
use crate::config::ColdConfig;
use crate::hex::hex;

impl Dataset {
    /// Removes the items that `config` names from everything but the test targets: they are no input, no training
    /// target, no count and no validation target. The data set's hash changes with them.
    ///
    /// # Errors
    /// The file of ids can't be read, or names an unknown item.
    pub fn hold_out(&mut self, config: &ColdConfig) -> Result<(), DataError> {
        let cold = choose(&self.items, config)?;
        self.sequences = remove(&self.sequences, &cold);
        let mut hasher = Sha256::new();
        hasher.update(self.hash.as_bytes());
        hasher.update(cold.iter().map(|&c| u8::from(c)).collect::<Vec<u8>>());
        self.hash = hex(hasher.finalize());
        Ok(())
    }
}

/// Whether each item is held out; I + 1 entries, the first of which is padding.
fn choose(items: &Items, config: &ColdConfig) -> Result<Vec<bool>, DataError> {
    let mut cold = vec![false; items.count() + 1];
    if !config.ids.as_os_str().is_empty() {
        let path = &config.ids;
        let text = fs::read_to_string(path).map_err(io_error(path))?;
        let numbers = items.numbers();
        for (n, id) in text.lines().map(str::trim).enumerate().filter(|(_, id)| !id.is_empty()) {
            let Some(&item) = numbers.get(id) else {
                let reason = format!("line {}: {id:?} is no item of the data set", n + 1);
                return Err(DataError::Option { option: path.display().to_string(), reason });
            };
            cold[item.index()] = true;
        }
        return Ok(cold);
    }
    let mut order: Vec<usize> = (1..=items.count()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(config.seed));
    order.truncate((config.share * items.count() as f64).round() as usize);
    order.into_iter().for_each(|item| cold[item] = true);
    Ok(cold)
}

/// The sequences without cold items, except as test targets.
fn remove(all: &Sequences, cold: &[bool]) -> Sequences {
    let mut kept = Sequences { offsets: vec![0], ..Sequences::default() };
    for u in 0..all.users() {
        let interactions = all.items_of(u).iter().zip(all.times_of(u)).zip(all.parts_of(u));
        for ((&item, &time), &part) in interactions {
            let item = ItemId(item);
            if part == Part::Test || !cold[item.index()] {
                kept.push(item, time, part);
            }
        }
        kept.end_user();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TrainedOn;
    use Part::{Test, Train, Valid};

    fn dataset() -> Dataset {
        let texts = |prefix: &str| -> Vec<String> {
            std::iter::once(String::new()).chain((1..=4).map(|i| format!("{prefix}{i}"))).collect()
        };
        Dataset {
            users: vec!["u".into(), "v".into()],
            items: Items {
                ids: texts("i"),
                titles: texts(""),
                texts: texts(""),
                categories: texts(""),
                images: texts(""),
                ..Items::default()
            },
            sequences: Sequences {
                offsets: vec![0, 4, 8],
                items: vec![1, 2, 3, 4, 2, 1, 4, 3],
                times: (0..8).collect(),
                parts: vec![Train, Train, Valid, Test, Train, Train, Valid, Test],
            },
            timed: true,
            hash: "x".into(),
            trained_on: TrainedOn::default(),
        }
    }

    #[test]
    fn cold_items_stay_as_test_targets_only() {
        let home = tempfile::tempdir().unwrap();
        let ids = home.path().join("ids.txt");
        fs::write(&ids, "i4\n\n i2 \n").unwrap();
        let mut held = dataset();
        held.hold_out(&ColdConfig { ids, ..ColdConfig::default() }).unwrap();
        let s = &held.sequences;
        assert_eq!((s.items_of(0), s.items_of(1)), (&[1, 3, 4][..], &[1, 3][..]));
        assert_eq!((s.parts_of(0), s.parts_of(1)), (&[Train, Valid, Test][..], &[Train, Test][..]));
        assert_eq!(held.train_counts(), [0, 2, 0, 0, 0]);
        assert_ne!(held.hash, "x");
    }

    #[test]
    fn an_unknown_id_is_refused_with_its_line() {
        let home = tempfile::tempdir().unwrap();
        let ids = home.path().join("ids.txt");
        fs::write(&ids, "i4\nnone\n").unwrap();
        let found = dataset().hold_out(&ColdConfig { ids, ..ColdConfig::default() }).unwrap_err();
        assert!(found.to_string().contains("line 2: \"none\""), "{found}");
    }

    #[test]
    fn the_share_is_drawn_by_the_seed_alone() {
        let draw = |seed| choose(&dataset().items, &ColdConfig { share: 0.5, seed, ..ColdConfig::default() });
        let all: Vec<Vec<bool>> = (0..20).map(|seed| draw(seed).unwrap()).collect();
        assert_eq!(all[3], draw(3).unwrap());
        assert!(all.iter().all(|c| !c[0] && c.iter().filter(|&&c| c).count() == 2));
        assert!(all.iter().any(|c| *c != all[0]));
    }
}
