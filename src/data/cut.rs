//! The kept interactions as users' sequences, cut into the parts of a split.

use super::catalogue::Numbering;
use super::filter::Interaction;
use super::log::Log;
use super::source::{GivenPart, SourcePlan};
use super::split::{Split, of_given, split};
use super::{DataError, Part, PrepareOptions, Sequences};

/// The sequences and what is known of them.
pub(super) struct Cut {
    pub sequences: Sequences,
    /// Ids by number.
    pub users: Vec<String>,
    /// Whether times are times, not places.
    pub timed: bool,
    /// The rule that was followed.
    pub rule: Split,
    /// Users too short to have targets.
    pub short: usize,
}

/// Makes the sequences and sets their parts: by the rule asked for, else as the log gives them, else leave-one-out.
pub(super) fn cut(
    options: &PrepareOptions,
    log: &Log,
    numbering: &Numbering,
    plan: &mut SourcePlan,
) -> Result<Cut, DataError> {
    let rule = match (&options.split, &log.given) {
        (Some(Split::Given), None) => {
            let reason = "the log gives no parts: no files called train, valid and test, and no column of the part; name it \
                          with --column part=NAME"
                .to_owned();
            return Err(DataError::Option { option: "--split given".into(), reason });
        }
        (Some(rule), _) => rule.clone(),
        (None, Some(_)) => Split::Given,
        (None, None) => Split::LeaveOneOut,
    };
    if log.given.is_some() && rule != Split::Given {
        plan.warn(
            "the parts that the log gives (train, validation, test) are not used; --split given does".into(),
        );
    }
    let (mut sequences, users) = number(log, numbering)?;
    let mut timed = log.times.is_some();
    if rule == Split::Given && !ascends(&sequences) {
        if timed {
            plan.warn(
                "the given parts are not in the order of time: histories go training, validation, test, and times \
                 are left out"
                    .into(),
            );
        }
        timed = false;
        sequences.times = (0..sequences.items.len() as i64).collect();
    }
    let short = split(&mut sequences, &rule)?;
    if rule == Split::Given {
        let count = |part: Part| sequences.parts.iter().filter(|&&p| p == part).count();
        let (history, unused) = (count(Part::History), count(Part::Unused));
        if history + unused > 0 {
            plan.warn(format!(
                "a user has one validation and one test target, the first of each part: {history} further rows of \
                 validation are history of the test target only, {unused} further rows of test are not read"
            ));
        }
    }
    Ok(Cut { sequences, users, timed, rule, short })
}

/// Sequences with final numbers; users keep the order of their first interaction in the source.
fn number(log: &Log, numbering: &Numbering) -> Result<(Sequences, Vec<String>), DataError> {
    let moment = |i: &Interaction| match &log.times {
        Some(times) => times.micros(i.time),
        None => Ok(i.time),
    };
    let mut s = Sequences { offsets: vec![0], ..Sequences::default() };
    let mut users = Vec::new();
    for run in log.interactions.chunk_by(|a, b| a.user == b.user) {
        users.push(log.user_ids[run[0].user as usize].clone());
        s.items.extend(run.iter().map(|i| numbering.of_log[i.item as usize]));
        for i in run {
            let wrong = |reason| DataError::Option { option: "times".into(), reason };
            s.times.push(moment(i).map_err(wrong)?);
        }
        s.offsets.push(s.items.len());
    }
    s.parts = vec![Part::Train; s.items.len()];
    if let Some(given) = &log.given {
        let given: Vec<GivenPart> = log.interactions.iter().map(|i| given.part(i)).collect();
        for user in s.offsets.windows(2) {
            of_given(&given[user[0]..user[1]], &mut s.parts[user[0]..user[1]]);
        }
    }
    Ok((s, users))
}

/// Whether every user's times do.
fn ascends(s: &Sequences) -> bool {
    (0..s.users()).all(|u| s.times_of(u).is_sorted())
}
