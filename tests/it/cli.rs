//! The commands: data on stdout, talk on stderr, the same lists from every door.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Said, codistill, dataset, path, run, tiny, trained};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn item_ids(line: &Value) -> Vec<String> {
    line["items"].as_array().unwrap().iter().map(|i| i["item"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn help_version_devices_and_completions_go_to_stdout_alone() {
    let quiet_success = |args: &[&str]| {
        let said = run(args).fine();
        assert_eq!(said.stderr, "", "{args:?}");
        said.stdout
    };
    let help = quiet_success(&["--help"]);
    let commands = [
        "prepare",
        "synth",
        "features",
        "train",
        "evaluate",
        "compare",
        "recommend",
        "embed",
        "inspect",
        "export",
        "import",
        "bench",
        "devices",
    ];
    for word in commands {
        assert!(help.contains(&format!("\n  {word} ")), "{word} is missing in\n{help}");
        let own = quiet_success(&[word, "--help"]);
        assert!(own.contains("Usage: codistill") && own.contains("--json"), "{own}");
    }
    assert!(help.contains("Exit status: 0 done") && help.contains("configs/quickstart.toml"));
    assert_eq!(quiet_success(&["--version"]), format!("codistill {}\n", env!("CARGO_PKG_VERSION")));
    assert!(quiet_success(&["completions", "bash"]).contains("complete -F _codistill"));
    assert!(run(&["devices"]).fine().stdout.starts_with("cpu "));
    let devices: Value = serde_json::from_str(&run(&["devices", "--json"]).fine().stdout).unwrap();
    assert_eq!(devices[0]["flag"], "cpu");
}

#[test]
fn bad_usage_exits_with_1_and_shows_the_usage() {
    for args in [&["trian"][..], &["train"], &["recommend", "x"], &["evaluate", "x", "--part", "train"]] {
        let said = run(args);
        assert_eq!(said.code, Some(1), "{args:?}");
        assert!(said.stdout.is_empty() && said.stderr.contains("--help"), "{}", said.stderr);
    }
}

#[test]
fn a_dry_run_writes_no_run_and_prints_a_plan() {
    let home = tempfile::tempdir().unwrap();
    let mut args = tiny(home.path(), &[]);
    args.extend(["--dry-run".into(), "--json".into()]);
    let plan: Value = serde_json::from_str(&run(&args).fine().stdout).unwrap();
    assert_eq!((plan["users"].as_u64(), plan["items"].as_u64()), (Some(120), Some(80)));
    assert!(plan["parameters"].as_u64() > Some(1000) && plan["step_seconds"].as_f64() > Some(0.0));
    assert!(!home.path().join("quickstart").exists());
}

#[test]
fn quiet_says_nothing_and_json_is_json() {
    let home = tempfile::tempdir().unwrap();
    // Every item has text, so that there is nothing to warn of.
    let mut args = tiny(home.path(), &["data.synth.missing_text=0"]);
    args.extend(["--quiet".into(), "--json".into()]);
    let said = run(&args).fine();
    assert_eq!(said.stderr, "");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let run_dir = home.path().join("quickstart");
    let saved: Value = serde_json::from_slice(&std::fs::read(run_dir.join("report.json")).unwrap()).unwrap();
    assert_eq!(report, saved);
    let again = run(&["evaluate", path(&run_dir), "--device", "cpu", "--quiet", "--json"]).fine();
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), saved, "evaluate repeats the report");
}

#[test]
fn recommend_answers_for_users_new_histories_and_items() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let ask = |more: &[&str]| {
        run(&[&["recommend", path(&run_dir), "--device", "cpu"], more].concat()).fine().stdout
    };

    let users = lines(&ask(&["--user", "u1", "--user", "u2", "-k", "5"]));
    assert_eq!(users.len(), 2);
    assert_eq!((users[0]["user"].as_str(), item_ids(&users[0]).len()), (Some("u1"), 5));
    for item in users[0]["items"].as_array().unwrap() {
        let branches: Vec<f64> =
            ["id", "text", "image"].map(|b| item["branches"][b].as_f64().unwrap()).into();
        let mean = branches.iter().sum::<f64>() / 3.0;
        assert!((item["score"].as_f64().unwrap() - mean).abs() < 1e-5, "{item}");
    }
    assert_eq!(lines(&ask(&["--all", "-k", "5"])).len(), 120);

    let table = ask(&["--user", "u1", "--user", "u2", "-k", "5", "--format", "csv"]);
    let mut csv = csv::Reader::from_reader(table.as_bytes());
    let header: Vec<_> = csv.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header, ["user", "rank", "item", "title", "score", "id", "text", "image", "source"]);
    let column: Vec<String> = csv.records().map(|r| r.unwrap()[2].to_owned()).collect();
    assert_eq!(column, [item_ids(&users[0]), item_ids(&users[1])].concat(), "CSV and JSON agree");

    // A history is answered without its own items, unless they are allowed.
    let file = home.path().join("new.jsonl");
    std::fs::write(&file, "{\"user\":\"anna\",\"items\":[\"i1\",\"i2\",\"nowhere\"]}\n").unwrap();
    let new = run(&["recommend", path(&run_dir), "--device", "cpu", "--histories", path(&file), "-k", "78"]);
    let new = new.fine();
    assert!(new.stderr.contains("1 items of the histories"), "{}", new.stderr);
    let ids = item_ids(&lines(&new.stdout)[0]);
    assert!(ids.len() == 78 && !ids.contains(&"i1".into()) && !ids.contains(&"i2".into()));
    let seen = ask(&["--histories", path(&file), "-k", "80", "--allow-seen"]);
    assert!(item_ids(&lines(&seen)[0]).contains(&"i1".into()));

    let similar = &lines(&ask(&["--item", "i3", "-k", "4"]))[0];
    assert!(item_ids(similar).len() == 4 && !item_ids(similar).contains(&"i3".into()));
    assert!(ask(&["--item", "i3", "--format", "csv"]).starts_with("item,rank,similar,title,score,"));

    let output = home.path().join("lists.jsonl");
    assert_eq!(ask(&["--user", "u1", "-k", "5", "--output", path(&output)]), "");
    assert_eq!(lines(&std::fs::read_to_string(&output).unwrap())[0], users[0]);
}

#[test]
fn histories_come_through_a_pipe_and_a_bad_line_is_named() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let send = |text: &str| -> Said {
        let args = ["recommend", path(&run_dir), "--device", "cpu", "--histories", "-"];
        let mut command = codistill(&args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    };
    assert_eq!(lines(&send("{\"items\":[\"i1\"]}\n\n{\"items\":[]}\n").fine().stdout).len(), 2);
    send("{\"items\":[\"i1\"]}\n{\"items\":3}\n").refused("-:2:", "oldest item first");
}

#[cfg(unix)]
#[test]
fn output_to_a_pipe_writes_into_it_instead_of_replacing_it() {
    use std::os::unix::fs::FileTypeExt;
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let pipe = home.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open for reading and writing, so that neither side waits for the other.
    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    run(&["recommend", path(&run_dir), "--device", "cpu", "--user", "u1", "-o", path(&pipe)]).fine();
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(reader), &mut line).unwrap();
    assert_eq!(lines(&line)[0]["user"], "u1");
}

#[test]
fn an_export_comes_back_with_the_same_lists_bit_for_bit() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let export = home.path().join("export");
    let args = ["export", path(&run_dir), "--output", path(&export), "--device", "cpu"];
    assert_eq!(run(&args).fine().stdout, "");
    let vectors =
        ["id", "text", "image"].map(|b| [format!("items.{b}.npy"), format!("items.{b}.safetensors")]);
    let others = ["weights.safetensors", "config.json", "items.json", "README.md", "manifest.json"];
    for name in vectors.iter().flatten().map(String::as_str).chain(others) {
        assert!(std::fs::metadata(export.join(name)).unwrap().len() > 0, "{name}");
    }
    let ids: Value = serde_json::from_slice(&std::fs::read(export.join("items.json")).unwrap()).unwrap();
    assert_eq!(ids["ids"].as_array().unwrap().len(), 81);
    run(&args).refused("already exists", "--output");

    let import = |weights: &Path| {
        let sets = [
            format!("data.path={}", dataset(home.path()).display()),
            "model.width=8".into(),
            format!("run.dir={}", home.path().join("imported").display()),
        ];
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/quickstart.toml");
        let mut args = vec!["import", config, path(weights)];
        args.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
        run(&args)
    };
    import(&export.join("weights.safetensors")).fine();
    let lists = |run_dir: &Path| run(&["recommend", path(run_dir), "--device", "cpu", "--all"]).fine().stdout;
    assert_eq!(lists(&home.path().join("imported/quickstart")), lists(&run_dir));
    import(&export.join("config.json")).refused("config.json", "");
}
