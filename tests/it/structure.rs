//! Rules of the source's structure: what may import what, and how long a function of the command line may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Lines of a function of the command line, from `fn` to its closing brace.
const LONGEST: usize = 40;

/// Circles of files that are one subject in several files. Everything else that imports each other belongs together or
/// apart.
const ACCEPTED: [&[&str]; 8] = [
    // A reader, what it was asked for and what it found.
    &[
        "data::source::detect",
        "data::source::item_lists",
        "data::source::names",
        "data::source::options",
        "data::source::plan",
        "data::source::sequences",
    ],
    // An error names a format, and a format that is misspelt is an error.
    &["data::source::error", "data::source::format"],
    &["data::dataset", "data::pictures"],
    // A sublayer is one operation with three bodies.
    &["ops::feed_forward", "ops::readout", "ops::self_attention", "ops::sublayer"],
    // The catalogue is ranked by its parts, which read it.
    &[
        "eval::inner_product",
        "eval::inner_product::kernel",
        "eval::inner_product::kernel::plain",
        "eval::inner_product::quantized",
        "eval::inner_product::tile",
    ],
    // A kind of view is one entry of a list, which makes the word of its settings and its module.
    &["model::view", "model::view::config", "model::view::id", "model::view::tokens"],
    &["train::inputs", "train::places"],
    &["embed::canary", "embed::generation", "embed::store"],
];

/// A source file as the module that it is, `a::b`.
struct File {
    module: Vec<String>,
    text: String,
}

/// The files of `src`, without comments and unit tests.
fn files() -> Vec<File> {
    fn walk(dir: &Path, module: &[String], files: &mut Vec<File>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let inner = [module, std::slice::from_ref(&name)].concat();
            if path.is_dir() {
                walk(&path, &inner, files);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let module = if name == "mod" || name == "lib" { module.to_vec() } else { inner };
                files.push(File { module, text: code(&fs::read_to_string(&path).unwrap()) });
            }
        }
    }
    let mut all = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut all);
    all
}

/// A file's text without comments and without the unit tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of a tree of imports: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let tree = tree.trim().split(" as ").next().unwrap_or_default();
    let (head, inner) = tree.split_once('{').unwrap_or((tree, ""));
    let names = head.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "self");
    let path: Vec<String> = prefix.iter().cloned().chain(names.map(str::to_owned)).collect();
    let Some(inner) = inner.trim_end().strip_suffix('}') else {
        paths.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (place, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..place].trim().is_empty() {
                    expand(&path, &inner[start..place], paths);
                }
                start = place + 1;
            }
            _ => {}
        }
    }
}

/// What a file imports or names by a whole path, and what it hands on by `pub use`.
fn imports(text: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut own, mut handed_on) = (Vec::new(), Vec::new());
    let mut rest = String::new();
    for statement in text.split_inclusive(';') {
        let place =
            statement.rfind("\nuse ").map(|place| place + 1).or(statement.starts_with("use ").then_some(0));
        let public = ["\npub use ", "\npub(crate) use ", "\npub(super) use "]
            .iter()
            .find_map(|start| Some(statement.rfind(start)? + start.len()));
        if let Some(place) = public {
            expand(&[], statement[place..].trim_end_matches(';'), &mut handed_on);
        } else if let Some(place) = place {
            expand(&[], statement[place + 4..].trim_end_matches(';'), &mut own);
        } else {
            rest.push_str(statement);
        }
    }
    for start in ["crate::", "codistill::", "super::"] {
        for (place, _) in rest.match_indices(start) {
            let within = rest[..place].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
            let end = |c: char| !(c.is_alphanumeric() || "_:".contains(c));
            let path = rest[place..].split(end).next().unwrap_or_default();
            if !within {
                own.push(path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect());
            }
        }
    }
    (own, handed_on)
}

/// The file that a path leads to from `module`, and what is named in it.
fn resolve(
    known: &BTreeSet<Vec<String>>,
    module: &[String],
    path: &[String],
) -> Option<(Vec<String>, Vec<String>)> {
    let mut rest = path;
    let mut current = module.to_vec();
    // The command line knows the library by its name.
    let library = |name: &String| {
        name == "crate" || name == "codistill" && module.first().is_some_and(|first| first == "cli")
    };
    if rest.first().is_some_and(library) {
        (current, rest) = (Vec::new(), &rest[1..]);
    } else {
        let child = [module, &path[..1]].concat();
        if rest.first().is_none_or(|name| name != "super") && !known.contains(&child) {
            return None;
        }
        while rest.first().is_some_and(|name| name == "super") {
            current.pop();
            rest = &rest[1..];
        }
    }
    while let Some(name) = rest.first() {
        let inner = [current.as_slice(), std::slice::from_ref(name)].concat();
        if !known.contains(&inner) {
            break;
        }
        (current, rest) = (inner, &rest[1..]);
    }
    Some((current, rest.to_vec()))
}

/// Which files every file needs; what is handed on counts as where it comes from.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let files = files();
    let known: BTreeSet<Vec<String>> = files.iter().map(|file| file.module.clone()).collect();
    let parsed: Vec<_> = files.iter().map(|file| (file, imports(&file.text))).collect();
    let mut origin = BTreeMap::new();
    for (file, (_, handed_on)) in &parsed {
        for path in handed_on {
            if let (Some((from, _)), Some(name)) = (resolve(&known, &file.module, path), path.last()) {
                origin.insert((file.module.clone(), name.clone()), from);
            }
        }
    }
    let mut graph = BTreeMap::new();
    for (file, (own, _)) in &parsed {
        let mut needs = BTreeSet::new();
        for path in own {
            let Some((mut module, rest)) = resolve(&known, &file.module, path) else { continue };
            if let Some(name) = rest.first() {
                while let Some(from) =
                    origin.get(&(module.clone(), name.clone())).filter(|from| **from != module)
                {
                    module.clone_from(from);
                }
            }
            if module != file.module && !module.is_empty() {
                needs.insert(module.join("::"));
            }
        }
        graph.insert(file.module.join("::"), needs);
    }
    graph
}

/// Files that need each other, directly or by others.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = vec![from];
        while let Some(file) = open.pop() {
            for next in graph.get(file).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|file| (file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (file, reached) in &all {
        let circle: Vec<String> = reached
            .iter()
            .filter(|other| all.get(other).is_some_and(|back| back.contains(*file)))
            .cloned()
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

#[test]
fn files_import_each_other_in_no_circle() {
    let graph = graph();
    assert!(
        graph.len() > 200 && graph["cli::ablate"].contains("ablate::run"),
        "the source was not understood"
    );
    for circle in circles(&graph) {
        let modules: BTreeSet<&str> = circle.iter().filter_map(|file| file.split("::").next()).collect();
        assert_eq!(modules.len(), 1, "a circle across modules: {circle:?}");
        let accepted = ACCEPTED.iter().any(|known| circle.iter().all(|file| known.contains(&file.as_str())));
        assert!(accepted, "a circle: {circle:?}");
    }
}

#[test]
fn nothing_but_its_command_imports_the_bench() {
    for (file, needs) in graph() {
        let tool =
            ["bench", "cli::bench"].iter().any(|own| file == *own || file.starts_with(&format!("{own}::")));
        let used = needs.iter().find(|need| *need == "bench" || need.starts_with("bench::"));
        assert!(tool || used.is_none(), "{file} imports {used:?}");
    }
}

#[test]
fn no_function_of_the_command_line_is_long() {
    let mut long = Vec::new();
    for file in files().into_iter().filter(|file| file.module.first().is_some_and(|name| name == "cli")) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let words = line.trim_start();
            let opens =
                ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn "].iter().any(|w| words.starts_with(w));
            if !opens || words.trim_end().ends_with('}') {
                continue;
            }
            // The source is formatted, so that a function's brace stands below its `fn`.
            let close = format!("{}}}", &line[..line.len() - words.len()]);
            let length = lines[start..].iter().take_while(|line| **line != close).count() + 1;
            if length > LONGEST {
                long.push(format!("{} {length}: {words}", file.module.join("::")));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST} lines:\n{}", long.join("\n"));
}
