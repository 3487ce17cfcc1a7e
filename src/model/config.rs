//! Settings of the model: its width, the tower and the branches. Views are in `view`, user encoders in
//! `encoder`. Rules that compare views and branches stand here, since both are the model's.

use super::encoder::EncoderConfig;
use super::view::config::{ViewConfig, check_views};
use crate::config::MemoryConfig;
use crate::config::rules::{
    Checked, check_minimum, check_name, check_range, divides, invalid, known, positive,
};
use crate::{choice, section};

/// The mean of all branches, where a branch is asked for by name.
pub const ENSEMBLE: &str = "ensemble";

section! {
    /// Views of an item, the tower that mixes them, and the branches that learn from them. One ID branch without tower
    /// is SASRec; three branches without tower are late fusion; three branches, tower and pairs of distillation are
    /// ODMT.
    #[facts(Benched)]
    pub struct ModelConfig {
        /// d: width of the tower, the item vectors and the user encoders, from 1 on.
        #[facts(Workload)]
        pub width: usize = 64,
        /// Probability of every dropout, from 0 to below 1.
        pub dropout: f64 = 0.1,
        /// Probability of dropping entries of the item vectors that a step reads, as inputs and as candidates alike
        /// (one draw per item and step), from 0 to below 1. For ID tables that learn the training set by heart; 0 as
        /// in ODMT.
        pub item_dropout: f64 = 0.0,
        /// Added to the variance in every layer normalisation, above 0.
        pub layer_norm_eps: f64 = 1e-6,
        /// What an item is described by. At least one.
        #[facts(Workload)]
        pub views: Vec<ViewConfig> = Vec::new(),
        /// The ID-aware multi-modal transformer. Absent: each branch reads its own view only.
        #[facts(Workload)]
        pub tower: Option<TowerConfig> = None,
        /// The students, whose scores are averaged. At least one.
        #[facts(Workload)]
        pub branches: Vec<BranchConfig> = Vec::new(),
        /// A further branch that counts instead of training. Absent: there is none.
        #[facts(Benched)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub memory: Option<MemoryConfig> = None,
        /// How the scores of all branches become one.
        #[serde(skip_serializing_if = "EnsembleConfig::is_default")]
        pub ensemble: EnsembleConfig = EnsembleConfig::default(),
    }
}

section! {
    /// The ID-aware multi-modal transformer of ODMT (its "IMT"), which runs over the tokens of one item.
    pub struct TowerConfig {
        /// Transformer blocks, from 1 on.
        #[facts(Workload)]
        pub blocks: usize = 2,
        /// Attention heads of a block; they divide `model.width`. ODMT's authors use as many heads as blocks, here it
        /// is a number of its own.
        #[facts(Workload)]
        pub heads: usize = 2,
        /// Who may attend to the ID token.
        pub id_visible: IdVisibility = IdVisibility::Itself,
    }
}

section! {
    /// How the scores of all branches become one: the ensemble's.
    pub struct EnsembleConfig {
        /// Where the weights come from.
        pub weights: EnsembleWeights = EnsembleWeights::Equal,
    }
}

choice! {
    /// Where the weights come from.
    pub enum EnsembleWeights {
        /// All branches count the same: the mean of their scores, as in ODMT.
        Equal = "equal",
        /// They are fitted on the validation part after every evaluation there, by the likelihood of its targets among
        /// the branches' best items, and depend on the length of the history. Validation figures stay honest: a user's
        /// weights are fitted on the others.
        Fitted = "fitted",
    }
}

impl EnsembleConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

choice! {
    /// Who may attend to the ID token.
    pub enum IdVisibility {
        /// Only the ID token itself ("v1" of ODMT's authors, used by all their runs): text and image stay independent
        /// of the ID table, so that new items have exact vectors.
        Itself = "itself",
        /// Every token ("v3" of ODMT's authors).
        All = "all",
    }
}

section! {
    /// A student: it reads one view, through the tower if there is one, and has its own user encoder.
    pub struct BranchConfig {
        /// Name in reports and tags, up to 64 letters a-z, digits, `_` or `-`; not `ensemble`.
        pub name: String,
        /// Name of the view that it reads.
        pub view: String,
        /// Which of the view's tokens make the item's vector. A tower reads all and gives back the first.
        pub tokens: TokensRead = TokensRead::First,
        /// A map of two linear layers stands behind the view or the tower, as in ODMT; off for plain SASRec.
        pub item_mlp: bool = true,
        /// The user encoder.
        pub encoder: EncoderConfig = EncoderConfig::default(),
    }
}

choice! {
    /// Which tokens of a view make an item's vector where there is no tower.
    pub enum TokensRead {
        /// The first: a text's or picture's own summary, as in ODMT.
        First = "first",
        /// The mean of all, as codes of a picture or words of a title ask for.
        Mean = "mean",
    }
}

impl ModelConfig {
    /// Names of all that scores: the branches, and the memory last.
    pub fn score_names(&self) -> Vec<String> {
        let memory = self.memory.iter().map(|memory| memory.name.clone());
        self.branches.iter().map(|branch| branch.name.clone()).chain(memory).collect()
    }

    pub(crate) fn validate(&self) -> Checked {
        check_minimum("model.width", self.width, 1)?;
        for (key, probability) in [("model.dropout", self.dropout), ("model.item_dropout", self.item_dropout)]
        {
            check_range(key, probability, 0.0..=1.0)?;
            if probability >= 1.0 {
                return Err(invalid(key, "= 1 drops everything").with_hint("usual values: 0 to 0.5"));
            }
        }
        positive("model.layer_norm_eps", self.layer_norm_eps)?;
        check_views(&self.views, self.width)?;
        self.check_branches()?;
        self.check_ensemble()?;
        self.check_every_view_is_read()?;
        let Some(tower) = &self.tower else { return Ok(()) };
        check_minimum("model.tower.blocks", tower.blocks, 1)?;
        divides("model.tower.heads", tower.heads, self.width)
    }

    fn check_branches(&self) -> Checked {
        if self.branches.is_empty() {
            return Err(invalid("model.branches", "is empty")
                .with_hint("add [[model.branches]] with name = \"id\", view = \"id\""));
        }
        let views: Vec<&str> = self.views.iter().map(|v| v.name.as_str()).collect();
        for (i, branch) in self.branches.iter().enumerate() {
            let key = |field: &str| format!("model.branches.{i}.{field}");
            check_name(&key("name"), &branch.name, "_-")?;
            if branch.name == ENSEMBLE {
                return Err(invalid(&key("name"), "= \"ensemble\" is the name of the mean of all branches"));
            }
            if self.branches[..i].iter().any(|other| other.name == branch.name) {
                return Err(invalid(
                    &key("name"),
                    format!("= \"{}\" is taken by another branch", branch.name),
                ));
            }
            known(&key("view"), &branch.view, &views, "views")?;
            if branch.tokens == TokensRead::Mean && self.tower.is_some() {
                return Err(invalid(
                    &key("tokens"),
                    "= \"mean\" does nothing behind a tower, which reads all tokens",
                )
                .with_hint("leave it out, or remove [model.tower]"));
            }
            branch.encoder.validate(self.width, &|field| key(&format!("encoder.{field}")))?;
        }
        Ok(())
    }

    fn check_ensemble(&self) -> Checked {
        if let Some(memory) = &self.memory {
            let names = self.branches.iter().map(|b| b.name.as_str());
            return memory.validate(&names.chain([ENSEMBLE]).collect::<Vec<_>>());
        }
        if self.branches.len() == 1 && self.ensemble.weights == EnsembleWeights::Fitted {
            return Err(invalid(
                "model.ensemble.weights",
                "= \"fitted\" has nothing to weigh: there is one branch",
            )
            .with_hint("add [model.memory] or another branch, or leave it out"));
        }
        Ok(())
    }

    fn check_every_view_is_read(&self) -> Checked {
        let read = |name: &str| self.tower.is_some() || self.branches.iter().any(|b| b.view == name);
        match self.views.iter().enumerate().find(|(_, view)| !read(&view.name)) {
            None => Ok(()),
            Some((i, view)) => Err(invalid(
                &format!("model.views.{i}.name"),
                format!("= \"{}\" is read by no branch, and there is no tower", view.name),
            )
            .with_hint("add a branch for it, add [model.tower], or remove the view")),
        }
    }
}
