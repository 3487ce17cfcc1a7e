//! What of a run's inputs is no longer as it was at the training, in words.

use std::path::PathBuf;

/// One thing that a training reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Dataset,
    /// Of the view with this name.
    Features(String),
    /// The finished run that teaches under this name.
    Teacher(String),
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dataset => write!(f, "the data set"),
            Self::Features(view) => write!(f, "the features of view `{view}`"),
            Self::Teacher(name) => write!(f, "the teacher `{name}`"),
        }
    }
}

/// One input that is not what the training read.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub what: What,
    pub path: PathBuf,
    pub fault: Fault,
}

/// How an input changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing that can be read lies there.
    Absent(String),
    /// Content hashes.
    Other { recorded: String, found: String },
    /// It is not what was written there.
    Damaged(String),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}: ", self.what, self.path.display())?;
        match &self.fault {
            Fault::Absent(reason) => write!(f, "not found ({reason})"),
            Fault::Other { recorded, found } => {
                write!(f, "{} at the training, {} now", short(recorded), short(found))
            }
            Fault::Damaged(reason) => write!(f, "damaged ({reason})"),
        }
    }
}

/// What can be done about all of them.
pub(super) fn way_out(changes: &[Change]) -> String {
    let is_teacher = |change: &Change| matches!(change.what, What::Teacher(_));
    let mut absent = changes.iter().filter(|c| matches!(c.fault, Fault::Absent(_))).peekable();
    if absent.peek().is_some() {
        return if absent.all(is_teacher) {
            "put that run back there, or say where it is now: --set objective.distill.teachers.N.run=DIR, N counting from 0"
        } else {
            "if it has moved, say where the data set lies now: --data DIR (features lie below it, in features/NAME)"
        }
        .into();
    }
    if changes.iter().all(is_teacher) {
        return "put back the checkpoint that taught, or say where a run with it is: --set \
                objective.distill.teachers.N.run=DIR, N counting from 0; --accept-changed learns from this one instead"
            .into();
    }
    if changes.iter().all(|c| matches!(c.fault, Fault::Damaged(_))) {
        return "make the store anew or restore it; --accept-changed goes on all the same".into();
    }
    "put back what it was trained on, or name where that lies now: --data DIR; --accept-changed goes on all the same"
        .into()
}

/// Twelve digits tell hashes apart; what stands behind a `+` says how features were replaced.
pub(crate) fn short(hash: &str) -> String {
    let (stem, replaced) = hash.split_once('+').map_or((hash, None), |(stem, rest)| (stem, Some(rest)));
    let stem: String = stem.chars().take(12).collect();
    replaced.map_or(stem.clone(), |rest| format!("{stem}+{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(fault: Fault) -> Change {
        Change { what: What::Dataset, path: "data/x".into(), fault }
    }

    #[test]
    fn a_change_names_place_and_short_hashes() {
        let other = |recorded: &str, found: &str| {
            change(Fault::Other { recorded: recorded.into(), found: found.into() }).to_string()
        };
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(other(&a, &b), "the data set, data/x: aaaaaaaaaaaa at the training, bbbbbbbbbbbb now");
        assert!(other(&format!("{a}+shuffle.7"), &b).contains("aaaaaaaaaaaa+shuffle.7 at"));
    }

    #[test]
    fn the_way_out_fits_the_fault() {
        let hint = |faults: &[Fault]| way_out(&faults.iter().cloned().map(change).collect::<Vec<_>>());
        let (absent, damaged) = (Fault::Absent("x".into()), Fault::Damaged("x".into()));
        let other = Fault::Other { recorded: "a".into(), found: "b".into() };
        assert!(hint(&[other.clone(), damaged.clone()]).contains("--accept-changed"));
        assert!(hint(std::slice::from_ref(&other)).contains("--data DIR"));
        assert!(hint(&[damaged]).contains("make the store anew"));
        // What is not there can't be gone on with.
        assert!(!hint(&[other, absent.clone()]).contains("--accept-changed"));
        // A teacher lies below no data set.
        let teacher = |fault| Change { what: What::Teacher("big".into()), ..change(fault) };
        let other = || Fault::Other { recorded: "a".into(), found: "b".into() };
        for (fault, words) in [(absent, "put that run back"), (other(), "--accept-changed")] {
            let hint = way_out(&[teacher(fault)]);
            assert!(hint.contains(words) && hint.contains("teachers.N.run=DIR"), "{hint}");
            assert!(!hint.contains("--data"), "{hint}");
        }
        assert!(way_out(&[teacher(other()), change(other())]).contains("--data DIR"));
    }
}
