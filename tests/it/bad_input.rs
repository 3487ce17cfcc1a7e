//! Bad input ends with a clear error, a hint and the documented status, or with a warning where work can go
//! on; nothing half-written stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use codistill::artefact;

use crate::need::need;
use crate::program::{Said, codistill, dataset, flip, path, run, tiny, trained};

/// Names in a folder, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_wrong_configuration_is_refused_with_the_nearest_name_and_writes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let config = |text: &str| {
        let file = home.path().join("c.toml");
        fs::write(&file, text).unwrap();
        run(&["train", path(&file), "--set", &format!("run.dir={}/out", home.path().display())])
    };
    config("[model]\nwidht = 8\n").refused("c.toml:2:1", "did you mean `model.width`?");
    config("[model\n").refused("c.toml:1", "");
    config("[model]\nwidth = \"wide\"\n").refused("c.toml:2:9: invalid type", "");
    config("").refused("data.path", "set data.path");
    run(&["train", "nowhere.toml"]).refused("nowhere.toml", "path of a TOML file");
    run(&tiny(home.path(), &["model.widht=3"])).refused("model.widht", "did you mean `model.width`?");
    run(&tiny(home.path(), &["optim.lr=-1"])).refused("`optim.lr` = -1", "");
    run(&tiny(home.path(), &["train.metric=ensemble/ndgc@10"])).refused("ndgc", "did you mean `ndcg`?");
    assert_eq!(names(home.path()), ["c.toml"]);
}

#[test]
fn a_device_that_is_not_there_is_refused_before_any_work() {
    let home = tempfile::tempdir().unwrap();
    for (flag, what, hint) in
        [("gpu", "`gpu` is not a device", "auto, cpu, wgpu"), ("wgpu:99", "`wgpu:99`", "codistill devices")]
    {
        let mut args = tiny(home.path(), &[]);
        let place = args.iter().position(|a| a == "cpu").unwrap();
        args[place] = flag.into();
        let said = run(&args);
        // A build without GPU support has another hint.
        said.refused(what, if cfg!(feature = "wgpu") || flag == "gpu" { hint } else { "rebuild" });
    }
    assert!(names(home.path()).is_empty());
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let home = tempfile::tempdir().unwrap();
    let gone = home.path().join("gone");
    run(&tiny(home.path(), &[&format!("data.path={}", gone.display())]))
        .refused("is not a codistill/dataset", "codistill synth");
    for command in ["evaluate", "export"] {
        let output = home.path().join("out");
        let more: &[&str] = if command == "export" { &["--output", path(&output)] } else { &[] };
        run(&[&[command, path(&gone)], more].concat()).refused("no readable checkpoint", "run directory");
    }
    run(&["train", "--resume", path(&gone)]).refused("no readable checkpoint", "run directory");
    assert!(names(home.path()).is_empty());

    let run_dir = trained(home.path());
    let ask = |more: &[&str]| run(&[&["recommend", path(&run_dir), "--device", "cpu"], more].concat());
    ask(&["--user", "nobody"]).refused("`nobody` is no user", "--histories");
    ask(&["--item", "nothing"]).refused("`nothing` is no item", "ids");
    ask(&["--item", "i1", "--branch", "smell"]).refused("`smell` is no branch", "id, text, image");
    ask(&["--user", "u1", "--checkpoint", "7777"]).refused("step-00007777", "");
    let nowhere = home.path().join("no/such/file");
    ask(&["--user", "u1", "--output", path(&nowhere)]).refused("no/such/file", "");
}

/// A float32 array in NumPy's format.
pub fn npy(file: &Path, shape: &str, values: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header}\n").bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_feature_matrix_that_does_not_fit_is_refused_and_leaves_no_store() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    run(&["synth", "--output", path(&data), "--set", "users=20", "--set", "items=40"]).fine();
    let (matrix, ids) = (home.path().join("m.npy"), home.path().join("ids.txt"));
    let before = names(&data.join("features"));
    let import = |shape: &str, values: &[f32], named: &str| -> Said {
        npy(&matrix, shape, values);
        fs::write(&ids, named).unwrap();
        let (matrix, ids) = (path(&matrix), path(&ids));
        run(&["features", "import", path(&data), "--view", "smell", "--matrix", matrix, "--ids", ids])
    };
    let good = "i1\ni2\n";
    import("(4,)", &[0.5; 4], good).refused("m.npy", "");
    import("(1, 1, 2, 2)", &[0.5; 4], "i1\n").refused("m.npy", "");
    import("(2, 2)", &[0.5; 3], good).refused("m.npy", "");
    import("(2, 2)", &[0.5, 1.0, f32::NAN, 1.0], good).refused("i2", "");
    import("(2, 2)", &[0.5, f32::INFINITY, 0.0, 1.0], good).refused("i1", "");
    import("(2, 2)", &[0.5; 4], "i1\ni2\ni3\n").refused("3", "");
    import("(2, 2)", &[0.5; 4], "a\nb\n").refused("ids.txt", "");
    import("(2, 2)", &[0.5; 4], "i1\ni1\n").refused("i1", "");
    assert_eq!(names(&data.join("features")), before, "nothing stays of a refused import");

    import("(2, 2)", &[0.5, 1.0, 2.0, 1.0], good).fine();
    let said = import("(2, 2)", &[0.5; 4], good);
    said.refused("already exists", "");

    // A store that was made for other items is not read.
    let other = home.path().join("other");
    run(&["synth", "--output", path(&other), "--set", "users=20", "--set", "items=41"]).fine();
    let text = format!("data.features.text={}", other.join("features/text").display());
    run(&tiny(home.path(), &[&format!("data.path={}", data.display()), &text])).refused("view `text`", "");
}

#[test]
fn a_flipped_byte_is_found_before_anything_is_computed() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let step = names(&run_dir.join("steps")).pop().unwrap();
    let weights = run_dir.join("steps").join(&step).join("model.safetensors");
    flip(&weights);
    let number = step.trim_start_matches("step-").trim_start_matches('0');
    let evaluate = ["evaluate", path(&run_dir), "--device", "cpu", "--checkpoint", number];
    run(&evaluate).refused("model.safetensors does not match its manifest", "older checkpoint");
    flip(&weights);
    run(&evaluate).fine();

    let data = dataset(home.path());
    flip(&data.join("interactions.parquet"));
    run(&evaluate).refused("interactions.parquet does not match its manifest", "");
    flip(&data.join("interactions.parquet"));

    let tokens = data.join("features/text/tokens.safetensors");
    let bytes = fs::read(&tokens).unwrap();
    fs::write(&tokens, &bytes[..bytes.len() - 1]).unwrap();
    run(&evaluate).refused("tokens.safetensors", "");
    fs::write(&tokens, bytes).unwrap();
    run(&evaluate).fine();
    flip(&tokens);
    run(&["train", "--resume", path(&run_dir), "--set", "train.epochs=3"])
        .refused("damaged (tokens.safetensors: another SHA-256)", "make the store anew");
    run(&evaluate).refused("damaged (tokens.safetensors: another SHA-256)", "--accept-changed");
    flip(&tokens);
    run(&[&evaluate[..], &["--rows", "/dev/full"]].concat()).refused("/dev/full", "");
}

#[test]
fn a_tensorboard_folder_that_cannot_be_written_costs_a_warning_only() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let lines = || fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap().lines().count();
    let expected = lines();
    // The whole training again, with a file in the folder's place.
    for folder in ["steps", "tensorboard"] {
        fs::remove_dir_all(run_dir.join(folder)).unwrap();
    }
    fs::write(run_dir.join("tensorboard"), "not a folder").unwrap();
    let said = run(&["train", "--resume", path(&run_dir)]).fine();
    let told = said.stderr.lines().filter(|l| l.contains("warning:") && l.contains("tensorboard"));
    assert_eq!(told.count(), 1, "{}", said.stderr);
    assert_eq!(lines(), expected);
    assert_eq!(fs::read_to_string(run_dir.join("tensorboard")).unwrap(), "not a folder");
}

/// A file system of a few pages; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    /// An error where this user may not mount.
    fn mount(dir: &Path, kib: u32) -> Result<Self, &'static str> {
        fs::create_dir_all(dir).unwrap();
        let size = format!("size={kib}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none", path(dir)])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if mounted { Ok(Self(dir.to_owned())) } else { Err("no right to mount a small file system") }
    }

    fn grow(&self) {
        let done = Command::new("mount").args(["-o", "remount,size=64m", path(&self.0)]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_a_training_with_whole_checkpoints_and_it_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    trained(home.path());
    let disk = Small::mount(&home.path().join("disk"), 1024);
    let Some(disk) = need("root", disk) else { return };
    let data = format!("data.path={}", dataset(home.path()).display());
    let sets = [data.as_str(), "train.epochs=4", "train.checkpoint_steps=1", "train.keep=100"];
    let said = run(&tiny(&disk.0, &sets));
    said.refused("No space left on device", "");
    let run_dir = disk.0.join("quickstart");
    let steps = names(&run_dir.join("steps"));
    assert!(steps.len() > 1, "{steps:?}");
    for step in &steps {
        artefact::verify(&run_dir.join("steps").join(step), "codistill/checkpoint", 1).unwrap();
    }
    disk.grow();
    run(&["train", "--resume", path(&run_dir)]).fine();

    let output = disk.0.join("tiny");
    let tiny_disk = Small::mount(&output, 64).unwrap();
    run(&["synth", "--output", path(&output.join("world"))]).refused("No space left on device", "");
    assert!(names(&output).is_empty(), "{:?}", names(&output));
    drop(tiny_disk);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_stdout_is_an_error_and_a_closed_one_is_none() {
    let home = tempfile::tempdir().unwrap();
    let run_dir = trained(home.path());
    let ask = ["recommend", path(&run_dir), "--device", "cpu", "--all", "-q"];
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said: Said = codistill(&ask).stdout(full).output().unwrap().into();
    said.refused("stdout: No space left on device", "");

    let mut child = codistill(&ask).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}
