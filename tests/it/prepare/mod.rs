//! `prepare` on what people bring: each kind of input with its right answer, or the refusal that names the way out.

use std::fs;
use std::path::{Path, PathBuf};

use codistill::data::{Dataset, Part};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Said, path, run};

mod columns;
mod readers;
mod rules;
mod times;
mod told;

/// A folder of source files and of what becomes of them.
pub struct Shop(TempDir);

impl Shop {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let shop = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            shop.write(name, text.as_bytes());
        }
        shop
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `prepare LOG …` without cores, all repetitions kept, to the folder `out`. File names after `--items` are the
    /// shop's.
    pub fn prepare(&self, log: &str, options: &[&str]) -> Said {
        let _ = fs::remove_dir_all(self.path("out"));
        let mut args: Vec<String> = ["prepare", path(&self.path(log)), "--output", path(&self.path("out"))]
            .map(str::to_owned)
            .to_vec();
        let given = |name: &str| options.iter().any(|option| option.starts_with(name));
        for (option, value) in [("--user-core", "1"), ("--item-core", "1"), ("--duplicates", "keep_all")] {
            if !given(option) {
                args.extend([option.to_owned(), value.to_owned()]);
            }
        }
        let mut before = "";
        for option in options {
            let is_file = before == "--items";
            args.push(if is_file { path(&self.path(option)).to_owned() } else { (*option).to_owned() });
            before = option;
        }
        run(&args)
    }

    /// The data set that [`Shop::prepare`] made.
    pub fn dataset(&self) -> Dataset {
        Dataset::open(&self.path("out")).unwrap()
    }

    pub fn report(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path("out/report.json")).unwrap()).unwrap()
    }

    /// A user's item ids in order, behind a bar what is no training.
    pub fn history(&self, user: &str) -> String {
        history(&self.dataset(), user)
    }
}

pub fn history(dataset: &Dataset, user: &str) -> String {
    let u = dataset.users.iter().position(|id| id == user).unwrap();
    let items = dataset.sequences.items_of(u).iter().map(|&item| dataset.items.ids[item as usize].as_str());
    let parts = dataset.sequences.parts_of(u);
    let mut text = String::new();
    for (item, part) in items.zip(parts) {
        text += match part {
            Part::Train => "",
            Part::Valid => "| ",
            Part::History => "~ ",
            Part::Test => "|| ",
            Part::Unused => "- ",
        };
        text += item;
        text.push(' ');
    }
    text.trim_end().to_owned()
}

/// The shared checkout of nothing: a path that must not be there.
pub fn absent(dir: &Path) -> bool {
    !dir.exists()
}
