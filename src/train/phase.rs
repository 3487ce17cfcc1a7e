//! What a training does at the moment: its epoch, and the loss terms that count.

/// What training does at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Phase<'a> {
    /// From 1, over all stages.
    pub epoch: usize,
    /// Names of the loss terms that count; all of them where this is absent.
    pub terms: Option<&'a [String]>,
}

impl Phase<'_> {
    /// An epoch in which all terms count.
    pub fn whole(epoch: usize) -> Self {
        Self { epoch, terms: None }
    }

    /// Whether the term `name` counts.
    pub fn counts(&self, name: &str) -> bool {
        self.terms.is_none_or(|terms| terms.iter().any(|term| term == name))
    }
}
