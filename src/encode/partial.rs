//! The rows of an unfinished run, so that a killed run continues where it stopped.
//!
//! A neighbouring folder of the store holds `plan.json`, everything that the run depends on, and `rows.bin` with one
//! record a batch: batch, rows, payload bytes, the first 8 bytes of the payload's SHA-256, payload. A torn record fails
//! its hash; it and everything after it are removed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::EncodeError;
use super::error::{io_error, malformed};
use crate::artefact;
use crate::features::Precision;

const PLAN: &str = "plan.json";
const ROWS: &str = "rows.bin";
const HEAD: usize = 4 + 4 + 8 + 8;

/// The features of an item, or the reason why it has none.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub item: u32,
    pub outcome: Result<Vec<f32>, String>,
}

/// The rows computed so far.
pub(super) struct Partial {
    dir: PathBuf,
    file: File,
    end: u64,
    precision: Precision,
    /// Whether each batch is done.
    pub done: Vec<bool>,
    /// First byte and number of values of each item.
    places: Vec<(u64, u32)>,
    /// (item, reason) of refused inputs, in the order of computation.
    pub refused: Vec<(u32, String)>,
    /// Number of rows with features.
    pub kept: usize,
}

impl Partial {
    /// Opens the folder of an earlier run with the same plan, or starts a new one; `restart` discards the earlier one.
    pub fn open(
        dir: &Path,
        plan: &Value,
        items: usize,
        batches: usize,
        precision: Precision,
        restart: bool,
    ) -> Result<Self, EncodeError> {
        if restart && dir.exists() {
            fs::remove_dir_all(dir).map_err(io_error(dir))?;
        }
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let path = dir.join(PLAN);
        if path.exists() {
            let text = fs::read_to_string(&path).map_err(io_error(&path))?;
            let old: Value = serde_json::from_str(&text).map_err(|e| malformed(&path, e))?;
            if let Some(what) = difference("", &old, plan) {
                return Err(EncodeError::OtherRecipe { dir: dir.to_owned(), what });
            }
        } else {
            artefact::write_atomic(&path, plan.to_string().as_bytes())?;
        }
        let path = dir.join(ROWS);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut partial = Self {
            dir: dir.to_owned(),
            file: file.map_err(io_error(&path))?,
            end: 0,
            precision,
            done: vec![false; batches],
            places: vec![(0, 0); items + 1],
            refused: Vec::new(),
            kept: 0,
        };
        partial.scan().map_err(io_error(&path))?;
        Ok(partial)
    }

    /// Reads all complete records and removes the rest.
    fn scan(&mut self) -> std::io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut reader = BufReader::with_capacity(1 << 20, self.file.try_clone()?);
        reader.seek(SeekFrom::Start(0))?;
        let mut head = [0u8; HEAD];
        while self.end + HEAD as u64 <= size {
            reader.read_exact(&mut head)?;
            let batch = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            let rows = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let mut number = [0u8; 8];
            number.copy_from_slice(&head[8..16]);
            let bytes = u64::from_le_bytes(number);
            let start = self.end + HEAD as u64;
            if bytes > size - start || batch as usize >= self.done.len() {
                break;
            }
            let mut payload = vec![0u8; bytes as usize];
            reader.read_exact(&mut payload)?;
            if check(&payload) != head[16..] || self.index(&payload, rows, start).is_none() {
                break;
            }
            self.done[batch as usize] = true;
            self.end = start + bytes;
        }
        self.file.set_len(self.end)
    }

    /// Indexes the rows of a record; `None`, and nothing indexed, if it contradicts itself.
    fn index(&mut self, payload: &[u8], rows: u32, start: u64) -> Option<()> {
        let (mut places, mut refused) = (Vec::new(), Vec::new());
        let mut place = 0usize;
        let word = |place: usize| -> Option<u32> {
            let b = payload.get(place..place + 4)?;
            Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        for _ in 0..rows {
            let (item, count, reason) = (word(place)?, word(place + 4)?, word(place + 8)?);
            place += 12;
            if item as usize >= self.places.len() {
                return None;
            }
            if count == 0 {
                let text = payload.get(place..place + reason as usize)?;
                refused.push((item, String::from_utf8_lossy(text).into_owned()));
                place += reason as usize;
            } else {
                places.push((item, (start + place as u64, count)));
                place += count as usize * self.precision.bytes();
            }
        }
        if place != payload.len() {
            return None;
        }
        self.kept += places.len();
        places.into_iter().for_each(|(item, place)| self.places[item as usize] = place);
        self.refused.append(&mut refused);
        Some(())
    }

    /// Appends a batch. It has been handed to the system when this returns, and outlives a kill of the process.
    pub fn push(&mut self, batch: usize, rows: &[Row]) -> Result<(), EncodeError> {
        let mut payload = Vec::new();
        for row in rows {
            payload.extend(row.item.to_le_bytes());
            match &row.outcome {
                Ok(values) => {
                    payload.extend((values.len() as u32).to_le_bytes());
                    payload.extend(0u32.to_le_bytes());
                    for &value in values {
                        match self.precision {
                            Precision::F16 => payload.extend(f16::from_f32(value).to_le_bytes()),
                            Precision::F32 => payload.extend(value.to_le_bytes()),
                        }
                    }
                }
                Err(reason) => {
                    payload.extend(0u32.to_le_bytes());
                    payload.extend((reason.len() as u32).to_le_bytes());
                    payload.extend(reason.as_bytes());
                }
            }
        }
        let mut record = Vec::with_capacity(HEAD + payload.len());
        record.extend((batch as u32).to_le_bytes());
        record.extend((rows.len() as u32).to_le_bytes());
        record.extend((payload.len() as u64).to_le_bytes());
        record.extend(check(&payload));
        record.extend(&payload);
        let start = self.end + HEAD as u64;
        let path = self.dir.join(ROWS);
        self.file.seek(SeekFrom::Start(self.end)).map_err(io_error(&path))?;
        self.file.write_all(&record).map_err(io_error(&path))?;
        self.end += record.len() as u64;
        self.done[batch] = true;
        // A record that was just written can't contradict itself.
        let _ = self.index(&payload, rows.len() as u32, start);
        Ok(())
    }

    /// The features of `item`, if it has any.
    pub fn read(&mut self, item: u32) -> Result<Option<Vec<f32>>, EncodeError> {
        let (start, count) = self.places[item as usize];
        if count == 0 {
            return Ok(None);
        }
        let path = self.dir.join(ROWS);
        let mut bytes = vec![0u8; count as usize * self.precision.bytes()];
        self.file.seek(SeekFrom::Start(start)).map_err(io_error(&path))?;
        self.file.read_exact(&mut bytes).map_err(io_error(&path))?;
        Ok(Some(match self.precision {
            Precision::F16 => {
                let halves: Vec<f16> =
                    bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                let mut values = vec![0.0; halves.len()];
                halves.convert_to_f32_slice(&mut values);
                values
            }
            Precision::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
        }))
    }

    /// Removes the folder, once the store holds everything.
    pub fn remove(self) -> Result<(), EncodeError> {
        fs::remove_dir_all(&self.dir).map_err(io_error(&self.dir))
    }
}

fn check(payload: &[u8]) -> [u8; 8] {
    let digest = Sha256::digest(payload);
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest[..8]);
    first
}

/// The first difference between two plans.
fn difference(place: &str, old: &Value, new: &Value) -> Option<String> {
    if let (Value::Object(a), Value::Object(b)) = (old, new) {
        let mut keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
        let null = Value::Null;
        return keys.find_map(|key| {
            let name = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            difference(&name, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))
        });
    }
    (old != new).then(|| format!("{place} was {old}, now {new}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(batch: u32) -> Vec<Row> {
        let good = Row { item: batch * 2 + 1, outcome: Ok(vec![1.5, -2.0, f32::from(batch as u8)]) };
        let bad = Row { item: batch * 2 + 2, outcome: Err(format!("damaged: {batch}")) };
        vec![good, bad]
    }

    fn open(dir: &Path, plan: &Value) -> Result<Partial, EncodeError> {
        Partial::open(dir, plan, 10, 5, Precision::F16, false)
    }

    #[test]
    fn a_record_cut_at_any_byte_is_forgotten_and_the_ones_before_it_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("p");
        let plan = serde_json::json!({"a": {"b": 1}});
        let mut partial = open(&dir, &plan).unwrap();
        partial.push(3, &rows(3)).unwrap();
        let whole = partial.end;
        partial.push(0, &rows(0)).unwrap();
        let all = fs::read(dir.join(ROWS)).unwrap();
        for cut in whole..all.len() as u64 {
            fs::write(dir.join(ROWS), &all[..cut as usize]).unwrap();
            let mut back = open(&dir, &plan).unwrap();
            assert_eq!(back.done, [false, false, false, true, false], "cut at {cut}");
            assert_eq!(back.refused, [(8, "damaged: 3".to_owned())]);
            assert_eq!(back.read(7).unwrap(), Some(vec![1.5, -2.0, 3.0]));
            assert_eq!(back.read(1).unwrap(), None);
            assert_eq!(fs::metadata(dir.join(ROWS)).unwrap().len(), whole);
        }
    }

    #[test]
    fn a_record_that_contradicts_itself_is_forgotten_as_a_whole() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("p");
        let plan = serde_json::json!({});
        open(&dir, &plan).unwrap().push(0, &rows(0)).unwrap();
        // A third row that is not there, under a hash that fits.
        let mut bytes = fs::read(dir.join(ROWS)).unwrap();
        bytes[4] = 3;
        fs::write(dir.join(ROWS), bytes).unwrap();
        let mut back = open(&dir, &plan).unwrap();
        assert_eq!((back.kept, back.end, back.refused.clone()), (0, 0, Vec::new()));
        assert_eq!((back.done[0], back.read(1).unwrap()), (false, None));
        back.push(0, &rows(0)).unwrap();
        assert_eq!((back.kept, back.refused.len()), (1, 1));
    }

    #[test]
    fn another_plan_is_refused_by_the_name_of_what_differs_and_restart_forgets_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("p");
        open(&dir, &serde_json::json!({"a": {"b": 1}})).unwrap().push(0, &rows(0)).unwrap();
        let plan = serde_json::json!({"a": {"b": 2}});
        let said = open(&dir, &plan).err().unwrap().to_string();
        assert!(said.contains("a.b was 1, now 2"), "{said}");
        let fresh = Partial::open(&dir, &plan, 10, 5, Precision::F16, true).unwrap();
        assert_eq!((fresh.kept, fresh.end), (0, 0));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_of_rows_are_no_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let home = tempfile::tempdir().unwrap();
            let plan = serde_json::json!({});
            open(home.path(), &plan).unwrap();
            fs::write(home.path().join(ROWS), bytes).unwrap();
            open(home.path(), &plan).unwrap();
        }
    }
}
