//! A system in one file: matrix factorisation of users and items, trained by BPR (Rendle et al. 2009, Eq. 5).
//!
//! Shapes: `B` pairs, `D` width, `U` users, `I` items.

use burn::module::{Module, Param};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor};
use codistill::data::Target;
use codistill::eval::{ScoreError, Scorer};
use codistill::nn::Init;
use codistill::ops::Noise;
use codistill::ops::lookup::lookup;
use codistill::params;
use codistill::train::losses::Losses;
use codistill::train::system::{BatchSize, Learner, Phase, Place, System};
use codistill::train::{Setup, SystemError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

/// `[system.settings]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// D
    width: usize,
}

/// Matrix factorisation, opened on a data set.
pub struct Mf {
    setup: Setup,
    settings: Settings,
    /// (user, item) of every training event.
    pairs: Vec<(u32, u32)>,
    /// Items that training may see.
    drawable: Vec<u32>,
}

#[derive(Module, Debug)]
pub struct Tables {
    /// `[U, D]`
    users: Param<Tensor<2>>,
    /// `[I + 1, D]`; row 0 is padding.
    items: Param<Tensor<2>>,
}

/// Users, the items they took, and items they are compared with.
pub struct Triples {
    users: Vec<u32>,
    taken: Vec<u32>,
    others: Vec<u32>,
}

impl Learner for Mf {
    type Model = Tables;
    type Batch = Triples;

    fn losses(&self, model: &Tables, batch: &Triples, _phase: Phase<'_>) -> Losses {
        let users_bd = lookup(model.users.val(), &batch.users);
        let taken_bd = lookup(model.items.val(), &batch.taken);
        let others_bd = lookup(model.items.val(), &batch.others);
        let margin_b1 = (users_bd * (taken_bd - others_bd)).sum_dim(1);
        let total = log_sigmoid(margin_b1).mean().neg();
        Losses {
            parts: total.clone().inner(),
            total,
            tags: ["loss/bpr".to_owned()].into(),
            figures: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl System for Mf {
    fn open(setup: Setup) -> Result<Self, SystemError> {
        let settings: Settings = setup.settings()?;
        let sequences = &setup.dataset.sequences;
        let events = (0..sequences.users())
            .flat_map(|user| sequences.train_of(user).iter().map(move |&item| (user as u32, item)));
        let pairs = events.collect();
        let counts = setup.dataset.train_counts();
        let drawable = (1..counts.len() as u32).filter(|&item| counts[item as usize] > 0).collect();
        Ok(Self { setup, settings, pairs, drawable })
    }

    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn new_model(&self) -> Tables {
        let device: Device = self.setup.device.clone().autodiff();
        let mut init = Init::new(Noise::key(self.setup.config.seed, 0, 0, 0), &device);
        let (users, items) = (self.setup.dataset.sequences.users(), self.setup.dataset.items.count());
        let d = self.settings.width;
        Tables { users: init.normal([users, d], 0.1), items: init.normal([items + 1, d], 0.1) }
    }

    fn samples(&self) -> usize {
        self.pairs.len()
    }

    fn samples_name(&self) -> &'static str {
        "pairs"
    }

    fn batch(&self, order: &[u32], place: Place) -> Triples {
        let size = self.setup.config.train.batch_users;
        let start = place.index * size;
        let chosen = &order[start..(start + size).min(order.len())];
        let key = Noise::key(self.setup.config.seed, place.epoch as u64, place.index as u64, 0);
        let mut rng = ChaCha8Rng::seed_from_u64(key);
        let (users, taken) = chosen.iter().map(|&pair| self.pairs[pair as usize]).unzip();
        let others = chosen.iter().map(|_| self.drawable[rng.random_range(0..self.drawable.len())]).collect();
        Triples { users, taken, others }
    }

    fn size(&self, batch: &Triples) -> BatchSize {
        BatchSize { items: 2 * batch.users.len(), positions: batch.users.len(), samples: batch.users.len() }
    }

    fn scorer<'a>(&'a self, model: &'a Tables) -> Box<dyn Scorer + 'a> {
        Box::new(Scores { model, items: self.setup.dataset.items.count() })
    }
}

struct Scores<'a> {
    model: &'a Tables,
    items: usize,
}

impl Scorer for Scores<'_> {
    fn names(&self) -> Vec<String> {
        vec!["ensemble".into()]
    }

    fn items(&self) -> usize {
        self.items
    }

    fn score(&mut self, targets: &[Target], out: &mut [Vec<f32>]) -> Result<(), ScoreError> {
        let users: Vec<u32> = targets.iter().map(|target| target.user).collect();
        let users_td = lookup(self.model.users.val(), &users);
        out[0] = params::host(users_td.matmul(self.model.items.val().transpose()));
        Ok(())
    }
}
