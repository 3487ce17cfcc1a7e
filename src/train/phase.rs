//! What a training does at the moment: its epoch, and the loss terms that are active.

/// What training does at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Phase<'a> {
    /// From 1, over all stages.
    pub epoch: usize,
    /// Names of the active loss terms; all of them where this is absent.
    pub terms: Option<&'a [String]>,
}

impl Phase<'_> {
    /// An epoch in which all terms are active.
    pub fn whole(epoch: usize) -> Self {
        Self { epoch, terms: None }
    }

    /// Whether the term `name` is part of the loss.
    pub fn is_active(&self, name: &str) -> bool {
        self.terms.is_none_or(|terms| terms.iter().any(|term| term == name))
    }
}
