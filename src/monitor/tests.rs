use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

fn metrics(run: &Path) -> Vec<String> {
    fs::read_to_string(run.join(METRICS_FILE)).unwrap().lines().map(str::to_owned).collect()
}

fn event_files(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join(TENSORBOARD_DIR)).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.contains("tfevents"))
        .collect();
    names.sort();
    names
}

fn train(monitor: &mut Monitor, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        monitor.scalars(step, 1, &[("train/loss/total", 1.0 / step as f64)]);
    }
}

#[test]
fn a_tensorboard_folder_that_cannot_be_made_costs_one_warning_and_no_metric() {
    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join(TENSORBOARD_DIR), "a file stands in the way").unwrap();
    let mut monitor = Monitor::open(run.path(), &MonitorConfig::default(), None, Progress::hidden());
    train(&mut monitor, 1..=20);
    monitor.flush();
    let warnings = monitor.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("TensorBoard is switched off: "), "{warnings:?}");
    train(&mut monitor, 21..=30);
    monitor.flush();
    assert!(monitor.warnings().is_empty());
    assert_eq!(metrics(run.path()).len(), 30);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fails_in_the_middle_costs_one_warning_and_no_metric() {
    let run = tempfile::tempdir().unwrap();
    let mut monitor = Monitor::open(run.path(), &MonitorConfig::default(), None, Progress::hidden());
    train(&mut monitor, 1..=5);
    monitor.flush();
    assert!(monitor.warnings().is_empty());
    // The folder that the projector needs is taken by a file.
    fs::write(run.path().join(TENSORBOARD_DIR).join("projector"), "").unwrap();
    monitor.projector("items", &[1.0], 1, &["title"], &[vec!["a".into()]], None);
    monitor.flush();
    train(&mut monitor, 6..=9);
    monitor.text("config", "x");
    monitor.flush();
    let warnings = monitor.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(metrics(run.path()).len(), 9);
}

#[test]
fn a_sink_that_panics_goes_and_the_others_stay() {
    struct Bomb;
    impl Sink for Bomb {
        fn name(&self) -> &'static str {
            "bomb"
        }
        fn scalars(&mut self, at: Moment, _: &[(&str, f64)]) {
            assert!(at.step < 3, "boom");
        }
    }
    struct Counter(Arc<AtomicUsize>);
    impl Sink for Counter {
        fn name(&self) -> &'static str {
            "counter"
        }
        fn scalars(&mut self, _: Moment, _: &[(&str, f64)]) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let seen = Arc::new(AtomicUsize::new(0));
    let mut monitor = Monitor::new(vec![Box::new(Bomb), Box::new(Counter(seen.clone()))], Progress::hidden());
    train(&mut monitor, 1..=6);
    assert_eq!(seen.load(Ordering::Relaxed), 6);
    assert_eq!(monitor.warnings(), ["bomb panicked and is switched off; the training goes on"]);
}

#[test]
fn every_start_within_a_second_has_an_event_file_of_its_own_in_order() {
    let run = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for start in 0..3 {
        let resumed = (start > 0).then_some(2);
        let mut monitor = Monitor::open(run.path(), &MonitorConfig::default(), resumed, Progress::hidden());
        train(&mut monitor, 1..=(start + 1));
        monitor.flush();
        drop(monitor);
        let files = event_files(run.path());
        assert_eq!(files.len(), start as usize + 1);
        let newest = run.path().join(TENSORBOARD_DIR).join(files.last().unwrap());
        sizes.push(fs::metadata(newest).unwrap().len());
    }
    // Each file was the last by name when it was new: the sizes grow with the steps written.
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{sizes:?}");
}

#[test]
fn a_clock_set_back_does_not_sort_a_new_file_before_an_old_one() {
    let run = tempfile::tempdir().unwrap();
    let dir = run.path().join(TENSORBOARD_DIR);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("events.out.tfevents.9999999999.codistill.00000"), "").unwrap();
    let mut monitor = Monitor::open(run.path(), &MonitorConfig::default(), Some(1), Progress::hidden());
    monitor.flush();
    assert_eq!(event_files(run.path())[1], "events.out.tfevents.9999999999.codistill.00001");
}

#[test]
fn tensorboard_is_off_where_the_configuration_says_so() {
    let run = tempfile::tempdir().unwrap();
    let config = MonitorConfig { tensorboard: false, ..MonitorConfig::default() };
    let mut monitor = Monitor::open(run.path(), &config, None, Progress::hidden());
    train(&mut monitor, 1..=2);
    assert!(!run.path().join(TENSORBOARD_DIR).exists());
    assert_eq!(metrics(run.path()).len(), 2);
}

#[test]
fn sinks_get_what_the_trainer_sends() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);
    impl Sink for Log {
        fn name(&self) -> &'static str {
            "log"
        }
        fn scalars(&mut self, at: Moment, values: &[(&str, f64)]) {
            self.0.lock().unwrap().push(format!("{} {} {values:?}", at.step, at.epoch));
        }
        fn text(&mut self, tag: &str, markdown: &str) {
            self.0.lock().unwrap().push(format!("{tag}: {markdown}"));
        }
    }
    let log = Log::default();
    let mut monitor = Monitor::new(vec![Box::new(log.clone())], Progress::hidden());
    monitor.scalars(7, 2, &[("a", 1.0)]);
    monitor.text("config", "x = 1");
    assert_eq!(*log.0.lock().unwrap(), ["7 2 [(\"a\", 1.0)]", "config: x = 1"]);
}
