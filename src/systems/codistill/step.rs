//! Forward pass and losses of one micro-batch.
//!
//! Shapes: `B` users, `S` positions of this batch, `R` rows, `U` items, `D` width.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::batch::Batch;
use super::masked::Masked;
use super::teacher::Teacher;
use crate::model::{IdRows, Padded, Recommender};
use crate::objective::kernels::drawn::drawn_scores;
use crate::objective::kernels::losses::Candidates;
use crate::objective::{Forward, Objective, TermLosses};
use crate::ops::Noise;
use crate::ops::lookup::lookup;
use crate::train::gradients::Gradients;
use crate::train::losses::{LossValues, Losses, TableRows};
use crate::train::system::{self, Learner, Phase};

/// Runs micro-batches of one objective on one device.
pub struct Step {
    objective: Objective,
    device: Device,
    dropout: Dropout,
    length_groups: usize,
    row_sparse: bool,
    /// Rows of the catalogue that the full softmax chooses from, where these are not all.
    eligible: Option<Arc<[u32]>>,
    /// Finished runs that teach, in the order of the configuration.
    teachers: Vec<Arc<Teacher>>,
}

/// Probabilities of dropping.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// Everywhere inside tower and user encoders.
    pub elements: f64,
    /// Entries of the item vectors.
    pub item_vectors: f64,
}

impl Step {
    /// `device` is the autodiff device the model lives on.
    ///
    /// Histories of a batch are padded in at most `length_groups` groups.
    pub fn new(objective: Objective, device: &Device, dropout: Dropout, length_groups: usize) -> Self {
        let (row_sparse, eligible, teachers) = (false, None, Vec::new());
        Self { objective, device: device.clone(), dropout, length_groups, row_sparse, eligible, teachers }
    }

    /// Whether [`Self::gradients`] gives the ID table's as those of the rows that the batch reads. For objectives that
    /// do not read the catalogue.
    pub fn with_row_sparse(self, row_sparse: bool) -> Self {
        Self { row_sparse, ..self }
    }

    /// The full softmax chooses from these rows of the catalogue alone, which ascend and begin with padding; the others get
    /// no gradient.
    pub fn with_eligible(self, eligible: Option<Arc<[u32]>>) -> Self {
        Self { eligible, ..self }
    }

    /// The finished runs of `objective.distill.teachers`, in their order.
    pub fn with_teachers(self, teachers: Vec<Arc<Teacher>>) -> Self {
        Self { teachers, ..self }
    }

    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Dot products of users and items of every branch: `[N, R, U]` with all items of the batch, or
    /// `[N, R, 1 + K]` with the drawn ones.
    pub fn scores(&self, model: &Recommender, batch: &Batch) -> Tensor<3> {
        Pass::new(self, model, batch).scores()
    }

    /// All loss terms.
    pub fn losses(&self, model: &Recommender, batch: &Batch, phase: Phase<'_>) -> Losses {
        let pass = Pass::new(self, model, batch);
        let TermLosses { total, parts, tags, figures } = self.objective.losses(&pass, phase);
        let rows = pass.id_rows.into_iter();
        let rows = rows.map(|IdRows { table, rows, values, .. }| TableRows { table, rows, values });
        Losses { total, parts, tags, figures, rows: rows.collect() }
    }

    /// Loss values and gradients of the total; `epoch` counts from 1.
    pub fn gradients(&self, model: &Recommender, batch: &Batch, epoch: usize) -> (LossValues, Gradients) {
        let (losses, gradients) = system::gradients(self, model, batch, Phase::whole(epoch));
        (losses.read(), gradients)
    }
}

impl Learner for Step {
    type Model = Recommender;
    type Batch = Batch;

    fn losses(&self, model: &Recommender, batch: &Batch, phase: Phase<'_>) -> Losses {
        self.losses(model, batch, phase)
    }
}

/// What the user encoder of a branch reads.
struct Read {
    /// `[U, D]`, or `[U + M, D]` with copies behind the batch's items.
    items: Tensor<2>,
    padded: Arc<Vec<Padded>>,
}

/// One forward pass. Each value is computed when a term first asks for it, with the noise that comes next.
struct Pass<'a> {
    step: &'a Step,
    model: &'a Recommender,
    batch: &'a Batch,
    /// Rows of the ID table in place of the table.
    id_rows: Option<IdRows>,
    noise: RefCell<Noise>,
    items: OnceCell<Vec<Tensor<2>>>,
    users: OnceCell<Vec<Tensor<2>>>,
    scores: OnceCell<Tensor<3>>,
    catalogue: OnceCell<Vec<Tensor<2>>>,
    /// Of each finished run that teaches.
    teachers: Vec<OnceCell<Tensor<2>>>,
}

impl<'a> Pass<'a> {
    fn new(step: &'a Step, model: &'a Recommender, batch: &'a Batch) -> Self {
        Self {
            step,
            model,
            batch,
            id_rows: step.row_sparse.then(|| model.id_rows(&batch.block)).flatten(),
            noise: RefCell::new(Noise::new(batch.noise_key, step.dropout.elements)),
            items: OnceCell::new(),
            users: OnceCell::new(),
            scores: OnceCell::new(),
            catalogue: OnceCell::new(),
            // The last is the memory.
            teachers: vec![OnceCell::new(); step.teachers.len() + 1],
        }
    }

    fn dropped(&self, x: Vec<Tensor<2>>) -> Vec<Tensor<2>> {
        let mut noise = self.noise.borrow_mut();
        x.into_iter().map(|x| noise.dropout_at(x, self.step.dropout.item_vectors)).collect()
    }

    fn encoded_items(&self) -> Vec<Tensor<2>> {
        let block = &self.batch.block;
        if let Some(catalogue) = self.catalogue.get() {
            return catalogue.iter().map(|x_vd| lookup(x_vd.clone(), &block.items)).collect();
        }
        let noise = &mut *self.noise.borrow_mut();
        let items = self.model.encode_items_from(block, self.id_rows.as_ref(), &self.step.device, noise);
        let p = self.step.dropout.item_vectors;
        items.into_iter().map(|items_ud| noise.dropout_at(items_ud, p)).collect()
    }

    fn encoded_users(&self) -> Vec<Tensor<2>> {
        let items = self.items();
        let most = self.step.length_groups;
        let histories = &self.batch.histories;
        let windows = self.model.group_windows(&histories.lengths(), most);
        let noise = &mut *self.noise.borrow_mut();
        let whole = Arc::new(histories.padded(windows.clone()));
        let rows = histories.rows(&whole);
        let mut inputs: Vec<Read> =
            items.into_iter().map(|items| Read { items, padded: Arc::clone(&whole) }).collect();
        for masked in &self.batch.masked {
            // Of the same lengths: only where vectors lie is another place.
            let padded = Arc::new(masked.histories.padded(windows.clone()));
            for (branch, copies_md) in self.encoded_copies(masked) {
                let items = Tensor::cat(vec![inputs[branch].items.clone(), copies_md], 0);
                inputs[branch] = Read { items, padded: Arc::clone(&padded) };
            }
        }
        let users = inputs.iter().enumerate().map(|(branch, Read { items, padded })| {
            self.model.encode_histories(branch, items, padded, &rows, noise)
        });
        users.collect()
    }

    /// Vectors of the copies, `[M, D]`, in each branch that reads them.
    fn encoded_copies(&self, masked: &Masked) -> Vec<(usize, Tensor<2>)> {
        // Noise of their own, so that everything else draws what it draws without them.
        let noise = &mut Noise::new(masked.noise_key, self.step.dropout.elements);
        let branches = self.model.branches_reading(masked.view);
        let block = &masked.block;
        // A copy keeps the ID of its item, which is in the batch; only the tower reads it.
        let rows = self.id_rows.as_ref().filter(|_| masked.view.is_none()).map(|rows| rows.reading(block));
        let copies = self.model.encode_items_in(&branches, block, rows.as_ref(), &self.step.device, noise);
        let p = self.step.dropout.item_vectors;
        let copies = copies.into_iter().map(|copies_md| noise.dropout_at(copies_md, p));
        let copies: Vec<Tensor<2>> = copies.collect();
        branches.into_iter().zip(copies).collect()
    }

    fn computed_scores(&self) -> Tensor<3> {
        let (items, users) = (self.items(), self.users());
        if let Some(drawn) = &self.batch.drawn {
            let branches = users.into_iter().zip(items);
            let scores = branches.map(|(users, items)| drawn_scores(users, items, drawn));
            return Tensor::stack(scores.collect(), 0);
        }
        let (users_nrd, items_nud): (Tensor<3>, Tensor<3>) =
            (Tensor::stack(users, 0), Tensor::stack(items, 0));
        users_nrd.matmul(items_nud.transpose())
    }
}

impl Forward for Pass<'_> {
    fn branches(&self) -> &[String] {
        self.model.branches.names()
    }

    fn block_items(&self) -> &[u32] {
        &self.batch.block.items
    }

    fn candidates(&self) -> &Arc<Candidates> {
        &self.batch.candidates
    }

    fn items(&self) -> Vec<Tensor<2>> {
        self.items.get_or_init(|| self.encoded_items()).clone()
    }

    fn users(&self) -> Vec<Tensor<2>> {
        self.users.get_or_init(|| self.encoded_users()).clone()
    }

    fn scores(&self) -> Tensor<3> {
        self.scores.get_or_init(|| self.computed_scores()).clone()
    }

    fn catalogue(&self) -> Vec<Tensor<2>> {
        let all = || {
            let branches = 0..self.model.branches.len();
            self.dropped(branches.filter_map(|branch| self.model.catalogue_vectors(branch)).collect())
        };
        let catalogue = self.catalogue.get_or_init(all);
        match &self.step.eligible {
            None => catalogue.clone(),
            Some(rows) => catalogue.iter().map(|x_vd| lookup(x_vd.clone(), rows)).collect(),
        }
    }

    fn teacher(&self, n: usize) -> Tensor<2> {
        // No noise is drawn, so that what the branches draw is the same with and without a teacher.
        let scores = || {
            if let Some(teacher) = self.step.teachers.get(n) {
                return teacher.scores(self.batch);
            }
            let scores =
                self.batch.remembered.as_deref().expect("the memory of a pair is asked with the batch");
            let rows = self.batch.histories.positions();
            let data = TensorData::new(scores.to_vec(), [rows, scores.len() / rows.max(1)]);
            Tensor::from_data(data, &self.step.device.clone().inner())
        };
        self.teachers[n].get_or_init(|| Tensor::from_inner(scores())).clone()
    }
}
