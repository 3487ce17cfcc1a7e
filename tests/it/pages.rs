//! The pages that people read: README's commands print what it shows, and links lead somewhere.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{Said, codistill};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Stands before a block of commands that this test runs; a block `text` behind it shows their output.
const RUN: &str = "<!-- run -->";

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// Commands, and the lines that the last of them is said to print.
struct Block {
    commands: Vec<String>,
    shown: Vec<String>,
}

/// Lines up to the end of a fenced block, whose first line has been read.
fn fenced<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<String> {
    lines.take_while(|line| *line != "```").map(str::to_owned).collect()
}

fn blocks(page: &str) -> Vec<Block> {
    let mut lines = page.lines().filter(|line| !line.is_empty());
    let mut found: Vec<Block> = Vec::new();
    while let Some(line) = lines.next() {
        match line {
            RUN => {
                assert_eq!(lines.next(), Some("```sh"), "commands follow `{RUN}`");
                found.push(Block { commands: fenced(&mut lines), shown: Vec::new() });
            }
            "```text" => found.last_mut().unwrap().shown = fenced(&mut lines),
            _ => {}
        }
    }
    found
}

/// Runs a line of README in `home`, where `cargo run --release --` means the built program.
fn run(line: &str, home: &Path) -> Said {
    let command = line.split('#').next().unwrap();
    let args = command.strip_prefix("cargo run --release -- ").or(command.strip_prefix("codistill "));
    let mut args: Vec<&str> =
        args.unwrap_or_else(|| panic!("`{line}` can't be run")).split_whitespace().collect();
    // README shows what a terminal shows; this is a pipe.
    if args[0] == "recommend" {
        args.extend(["--format", "table"]);
    }
    let said: Said = codistill(&args).current_dir(home).output().unwrap().into();
    said.fine()
}

/// Equal words; numbers may differ by what other CPUs round differently.
fn agrees(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (shown.split_whitespace(), printed.split_whitespace());
    let number = |word: &str| word.parse::<f64>().ok().filter(|_| word.contains('.'));
    shown.clone().count() == printed.clone().count()
        && shown.zip(printed).all(|(a, b)| match (number(a), number(b)) {
            (Some(a), Some(b)) => (a - b).abs() <= 0.02,
            _ => a == b,
        })
}

#[test]
fn readmes_commands_run_and_print_what_it_shows() {
    let home = tempfile::tempdir().unwrap();
    for folder in ["configs", "examples"] {
        std::os::unix::fs::symlink(Path::new(ROOT).join(folder), home.path().join(folder)).unwrap();
    }
    let blocks = blocks(&page("README.md"));
    assert!(blocks.iter().filter(|block| !block.shown.is_empty()).count() >= 2, "README shows two results");
    for block in blocks {
        let said: Vec<Said> = block.commands.iter().map(|line| run(line, home.path())).collect();
        let printed: String = said.iter().map(|said| said.stdout.as_str()).collect();
        for shown in &block.shown {
            assert!(
                printed.lines().any(|line| agrees(shown, line)),
                "README shows `{shown}`, but here is\n{printed}"
            );
        }
    }
}

/// README's lines of Rust, compiled.
#[rustfmt::skip]
#[allow(dead_code)]
fn library() -> Result<(), Box<dyn Error>> {
use codistill::data::Part;
use codistill::judge::final_report;
use codistill::run::{OpenOptions, Run};

let run = Run::open("checkpoints/shop".as_ref(), &OpenOptions::default())?;
let report = final_report(run.model.as_ref(), Part::Test, None)?;
println!("{}", report.table());
Ok(())
}

#[test]
fn readmes_lines_of_rust_are_those_that_are_compiled_here() {
    let page = page("README.md");
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(include_str!("pages.rs").contains(shown), "{shown}");
}

/// All Markdown files of the repository's own.
fn pages() -> Vec<PathBuf> {
    let (root, docs) = (PathBuf::from(ROOT), Path::new(ROOT).join("docs"));
    let mut folders = vec![root.join("checkpoints"), root];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.starts_with(&docs) {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn every_relative_link_of_a_page_leads_to_a_file() {
    let pages = pages();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            let elsewhere = path.is_empty() || path.contains("://") || path.contains(char::is_whitespace);
            let found = elsewhere || page.parent().unwrap().join(path).exists();
            assert!(found, "{} links to {link}, which is not there", page.display());
        }
    }
}

#[test]
fn readme_is_a_page_that_one_reads_to_the_end() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 150, "README has {lines} lines: what is long goes to docs/");
}
