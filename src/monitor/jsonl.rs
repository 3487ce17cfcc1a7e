//! The sink of `metrics.jsonl`: one JSON object a line for each moment.
//!
//! `{"step":10,"epoch":1,"time":1700000000.123,"train/loss/total":8.1,…}`. Numbers keep all digits; those that are not
//! finite are `null`. Each line is written at once, so that a killed run loses none.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Moment, Sink};
use crate::artefact::write_atomic;

/// The sink that every run has.
pub struct JsonLines {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of complete lines; a torn line may follow.
    length: u64,
    /// Whether a failure was reported; further ones are not.
    reported: bool,
    warnings: Vec<String>,
}

impl JsonLines {
    /// Starts an empty file.
    pub fn create(path: &Path) -> Self {
        Self::opened(path, File::create(path).and_then(|_| open(path)))
    }

    /// Continues a file after removing torn lines and those of steps beyond `step`.
    ///
    /// A checkpoint must therefore be saved after the metrics of its step were logged.
    pub fn resume(path: &Path, step: u64) -> Self {
        Self::opened(path, truncate_to(path, step).and_then(|()| open(path)))
    }

    fn opened(path: &Path, file: io::Result<(File, u64)>) -> Self {
        let mut sink =
            Self { path: path.to_owned(), file: None, length: 0, reported: false, warnings: Vec::new() };
        match file {
            Ok((file, length)) => (sink.file, sink.length) = (Some(file), length),
            Err(error) => sink.warn(&error),
        }
        sink
    }

    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.reported, true) {
            let path = self.path.display();
            self.warnings.push(format!("{path}: {error}; metrics are lost until it can be written again"));
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(line.as_bytes());
        match written {
            Ok(()) => self.length += line.len() as u64,
            // A full disk may take half a line, which is removed so that the next one starts clean.
            Err(_) => file.set_len(self.length)?,
        }
        written
    }
}

impl Sink for JsonLines {
    fn name(&self) -> &'static str {
        "metrics.jsonl"
    }

    fn scalars(&mut self, moment: Moment, values: &[(&str, f64)]) {
        let mut object = Map::new();
        object.insert("step".into(), moment.step.into());
        object.insert("epoch".into(), moment.epoch.into());
        // Milliseconds are enough, and keep the lines short.
        object.insert("time".into(), ((moment.time * 1000.0).round() / 1000.0).into());
        for (tag, value) in values {
            object.insert((*tag).to_owned(), Value::from(*value));
        }
        let line = format!("{}\n", Value::Object(object));
        if let Err(error) = self.append(&line) {
            self.warn(&error);
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

/// Opens the file for appending, and returns its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[derive(Deserialize)]
struct Line {
    step: u64,
    #[serde(flatten)]
    values: Map<String, Value>,
}

impl Line {
    /// Whether a resumed run keeps the line. Test metrics of a run's end carry the step of the last checkpoint, and are
    /// measured again.
    fn is_kept(&self, step: u64) -> bool {
        self.step <= step && !self.values.keys().any(|tag| tag.starts_with("test/"))
    }
}

/// Rewrites the file without lines of later steps, final tests and lines that are no JSON. Does nothing if it is
/// missing.
fn truncate_to(path: &Path, step: u64) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let (mut kept, mut line, mut read) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        read += reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let whole = line.last() == Some(&b'\n');
        if whole && serde_json::from_slice::<Line>(&line).is_ok_and(|l| l.is_kept(step)) {
            kept.extend_from_slice(&line);
        }
    }
    if kept.len() == read {
        return Ok(());
    }
    write_atomic(path, &kept).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(sink: &mut JsonLines, step: u64) {
        sink.scalars(Moment { step, epoch: 1, time: 1.5 }, &[("train/loss/total", 0.1 + step as f64)]);
    }

    fn steps(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|l| serde_json::from_str::<Line>(l).unwrap().step).collect()
    }

    #[test]
    fn a_line_holds_the_moment_and_all_values_with_all_digits() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("m.jsonl");
        let mut sink = JsonLines::create(&path);
        let moment = Moment { step: 3, epoch: 2, time: 1_700_000_000.123_456 };
        sink.scalars(moment, &[("b", 0.1 + 0.2), ("a", f64::NAN)]);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\"step\":3,\"epoch\":2,\"time\":1700000000.123,\"b\":0.30000000000000004,\"a\":null}\n"
        );
        assert!(sink.warnings().is_empty());
    }

    #[test]
    fn a_resumed_file_forgets_later_steps_and_a_torn_line_and_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("m.jsonl");
        let mut sink = JsonLines::create(&path);
        (1..=5).for_each(|step| log(&mut sink, step));
        drop(sink);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\":2,\"tra");
        std::fs::write(&path, text).unwrap();

        let mut sink = JsonLines::resume(&path, 3);
        assert_eq!(steps(&path), [1, 2, 3]);
        log(&mut sink, 4);
        assert_eq!(steps(&path), [1, 2, 3, 4]);
    }

    #[test]
    fn a_file_that_is_missing_at_resume_is_started() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("m.jsonl");
        let mut sink = JsonLines::resume(&path, 3);
        log(&mut sink, 4);
        assert_eq!(steps(&path), [4]);
        assert!(sink.warnings().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_written_warns_once() {
        let home = tempfile::tempdir().unwrap();
        let mut sink = JsonLines::create(&home.path().join("no/such/m.jsonl"));
        log(&mut sink, 1);
        log(&mut sink, 2);
        assert_eq!(sink.warnings().len(), 1);
        log(&mut sink, 3);
        assert!(sink.warnings().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_warns_once_and_does_not_panic() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut sink = JsonLines::opened(Path::new("/dev/full"), Ok((file, 0)));
        log(&mut sink, 1);
        log(&mut sink, 2);
        let warnings = sink.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    proptest! {
        #[test]
        fn resuming_any_bytes_keeps_only_whole_lines_up_to_the_step(
            bytes in proptest::collection::vec(any::<u8>(), 0..80), steps_before in 0u64..6, step in 0u64..6,
        ) {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("m.jsonl");
            let mut sink = JsonLines::create(&path);
            (1..=steps_before).for_each(|s| log(&mut sink, s));
            drop(sink);
            let mut content = std::fs::read(&path).unwrap();
            content.extend_from_slice(&bytes);
            std::fs::write(&path, content).unwrap();
            drop(JsonLines::resume(&path, step));
            prop_assert_eq!(steps(&path), (1..=steps_before.min(step)).collect::<Vec<_>>());
        }
    }
}
