//! A report and its rows in one run directory, and whether they still belong together.
//!
//! Statistics are computed from rows and shown beside a report's figures, so that rows of another evaluation,
//! checkpoint or run would pass unnoticed. Each score name of a report therefore carries a digest of its rows. `evaluate` and
//! `train` keep both; `compare` and `ablate` check them.

use std::path::{Path, PathBuf};

use super::metrics::{Ideal, Scored, recall_ndcg};
use super::report::Report;
use super::row::Row;
use super::rows::{self, RowsError, StoredRows};
use crate::artefact::{ArtefactError, write_json};

/// Largest difference between a figure of a report and the same one computed from its rows, which another order of
/// summation may cause.
const TOLERANCE: f64 = 1e-9;

/// Writes the rows of `report` and then the report, which names them.
///
/// # Errors
/// A file can't be written. After a kill between the two, the older report and the new rows don't belong together.
pub fn keep(report: &mut Report, rows: &Path, file: &Path) -> Result<(), RowsError> {
    for evaluation in &mut report.evaluations {
        for scored in &mut evaluation.scored {
            scored.rows_sha256 = Some(rows::digest(&evaluation.part, &scored.name, &scored.rows));
        }
    }
    rows::write_all(rows, &report.evaluations)?;
    Ok(write_json(file, report)?)
}

/// The reports that may stand beside the rows at `rows`: those of `files` that are there.
///
/// # Errors
/// One is no report.
pub fn reports(files: &[PathBuf]) -> Result<Vec<(PathBuf, Report)>, RowsError> {
    let mut found = Vec::new();
    for path in files {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(ArtefactError::Io { path: path.clone(), source }.into()),
        };
        let report = serde_json::from_str(&text)
            .map_err(|e| RowsError::Content { path: path.clone(), reason: e.to_string() })?;
        found.push((path.clone(), report));
    }
    Ok(found)
}

/// The index in `reports` of the one to which the rows of `name`, read from `path`, belong; absent where there are only
/// reports of older programs without figures of `name`.
///
/// # Errors
/// [`RowsError::Mismatch`]: they belong to none.
pub fn owner(
    path: &Path,
    stored: &StoredRows,
    name: &str,
    reports: &[(PathBuf, Report)],
) -> Result<Option<usize>, RowsError> {
    let found = stored.scored.iter().find(|(own, _)| own == name);
    let rows = found.map(|(_, rows)| rows.as_slice()).unwrap_or_default();
    let digest = rows::digest(&stored.part, name, rows);
    let mismatch = |report: &Path, reason: String| RowsError::Mismatch {
        path: path.to_owned(),
        name: name.to_owned(),
        report: report.to_owned(),
        reason,
    };
    let mut refusal = None;
    let mut digests = None;
    for (place, (file, report)) in reports.iter().enumerate() {
        let all = report.evaluations.iter().flat_map(|e| e.scored.iter().map(move |s| (e, s)));
        if all.clone().any(|(_, scored)| scored.rows_sha256.is_some()) {
            digests.get_or_insert(file);
        }
        for (evaluation, scored) in all.filter(|(e, s)| e.part == stored.part && s.name == name) {
            let reason = match &scored.rows_sha256 {
                Some(own) if *own == digest => return Ok(Some(place)),
                Some(_) => Some(
                    difference(scored, rows, evaluation.protocol.ideal)
                        .unwrap_or_else(|| "the ranks changed".into()),
                ),
                None if evaluation.protocol != stored.protocol => {
                    Some("they were ranked under another protocol".into())
                }
                None => difference(scored, rows, evaluation.protocol.ideal)
                    .or_else(|| miscount(rows, evaluation.targets())),
            };
            match reason {
                None => return Ok(Some(place)),
                Some(reason) => refusal = refusal.or(Some(mismatch(file, reason))),
            }
        }
    }
    let unknown = digests.map(|file| mismatch(file, "it has no figures of them".into()));
    refusal.or(unknown).map_or(Ok(None), Err)
}

/// Describes the first figure of a report that differs from the rows'.
fn difference(scored: &Scored, rows: &[Row], ideal: Ideal) -> Option<String> {
    let n = rows.len().max(1) as f64;
    scored.metrics.iter().find_map(|(metric, &reported)| {
        let (kind, k) = metric.split_once('@')?;
        let k: usize = k.parse().ok()?;
        let figure = |row: &Row| -> Option<f64> {
            let (recall, ndcg) = recall_ndcg(row.rank, k);
            match kind {
                "recall" => Some(recall),
                "ndcg" => Some(ndcg * ideal.factor(k)),
                "mrr" => Some(if recall > 0.0 { 1.0 / row.rank } else { 0.0 }),
                _ => None,
            }
        };
        let computed = rows.iter().map(figure).sum::<Option<f64>>()? / n;
        let differs = (computed - reported).abs() > TOLERANCE;
        differs.then(|| format!("{metric} is {computed:.6} by the rows and {reported:.6} in the report"))
    })
}

fn miscount(rows: &[Row], targets: usize) -> Option<String> {
    (rows.len() != targets).then(|| format!("there are {} rows for {targets} targets", rows.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HistoryRule, TieRule, TrainParts};
    use crate::eval::metrics::{Evaluation, Protocol, Tally};
    use crate::eval::report::SCHEMA;

    fn evaluation(part: &str, ranks: &[f64]) -> Evaluation {
        let mut tally = Tally::new(&[2, 10], 9, Ideal::Targets);
        for (user, &rank) in ranks.iter().enumerate() {
            let row = Row { user: user as u32, item: 3, rank, candidates: 8, ..Row::default() };
            tally.add(row, false, &[1, 2]);
        }
        let protocol = Protocol {
            name: "leave_one_out".into(),
            ideal: Ideal::Targets,
            chosen: None,
            trained_on: TrainParts::Train,
            dataset: "d".into(),
            targets: ranks.len(),
            items: 8,
            history: HistoryRule::All,
            ties: TieRule::Mid,
            ks: vec![2, 10],
            bucket_k: 10,
            masked_targets: 0,
        };
        let scored = vec![tally.summarise("ensemble", &[0; 9], &[0; 9])];
        Evaluation { part: part.into(), protocol, scored }
    }

    fn report(evaluation: Evaluation) -> Report {
        Report {
            schema: SCHEMA,
            evaluations: vec![evaluation],
            dataset: "d".into(),
            seed: 1,
            time_order: None,
            global_time: None,
            cold: None,
            accepted: Vec::new(),
            note: None,
        }
    }

    /// A report of an older program: figures without digests.
    fn old(evaluation: Evaluation) -> Report {
        let mut report = report(evaluation);
        report.evaluations[0].scored[0].rows_sha256 = None;
        report
    }

    /// Keeps `own`, replaces the rows by those of `rows`, and asks whose they are.
    fn asked(own: Report, is_old: bool, rows: &Evaluation) -> Result<Option<usize>, RowsError> {
        let home = tempfile::tempdir().unwrap();
        let (path, file) = (home.path().join("rows.parquet"), home.path().join("report.json"));
        let mut own = own;
        keep(&mut own, &path, &file).unwrap();
        if is_old {
            std::fs::write(&file, serde_json::to_string(&old(own.evaluations.remove(0))).unwrap()).unwrap();
        }
        rows::write(&path, rows).unwrap();
        owner(&path, &rows::read(&path).unwrap(), "ensemble", &reports(&[file]).unwrap())
    }

    #[test]
    fn rows_belong_to_the_report_that_was_written_with_them() {
        let own = evaluation("test", &[1.0, 4.0, 11.0]);
        for is_old in [false, true] {
            assert_eq!(asked(report(own.clone()), is_old, &own).unwrap(), Some(0));
            let other = evaluation("test", &[1.0, 3.0, 11.0]);
            let refused = asked(report(own.clone()), is_old, &other).unwrap_err().to_string();
            assert!(
                refused.contains("mrr@10 is 0.444444 by the rows and 0.416667 in the report"),
                "{refused}"
            );
        }
        // Beyond every cut-off a rank changes no figure, but the digest.
        let beyond = evaluation("test", &[1.0, 4.0, 12.0]);
        let refused = asked(report(own.clone()), false, &beyond).unwrap_err().to_string();
        assert!(refused.contains("the ranks changed"), "{refused}");
        let more = evaluation("test", &[1.0, 4.0, 11.0, 1.0, 4.0, 11.0]);
        let refused = asked(report(own.clone()), true, &more).unwrap_err().to_string();
        assert!(refused.contains("another protocol"), "{refused}");
        // A part that the report does not speak of.
        let valid = evaluation("valid", &[1.0, 4.0, 11.0]);
        let refused = asked(report(own.clone()), false, &valid).unwrap_err().to_string();
        assert!(refused.contains("has no figures of them"), "{refused}");
        assert_eq!(asked(report(own), true, &valid).unwrap(), None);
    }

    #[test]
    fn the_second_report_may_own_the_rows() {
        let home = tempfile::tempdir().unwrap();
        let (path, files) =
            (home.path().join("rows.parquet"), ["a.json", "b.json"].map(|f| home.path().join(f)));
        keep(&mut report(evaluation("test", &[1.0, 4.0])), &path, &files[0]).unwrap();
        keep(&mut report(evaluation("test", &[2.0, 4.0])), &path, &files[1]).unwrap();
        let stored = rows::read(&path).unwrap();
        assert_eq!(owner(&path, &stored, "ensemble", &reports(&files).unwrap()).unwrap(), Some(1));
        assert!(owner(&path, &stored, "ensemble", &reports(&files[..1]).unwrap()).is_err());
    }
}
