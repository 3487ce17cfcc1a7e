//! Carries what the trainer reports to the monitor, under stable tags.

use std::path::Path;

use crate::config::Config;
use crate::device::process_memory;
use crate::eval::Evaluation;
use crate::monitor::Monitor;
use crate::train::system::BatchSize;
use crate::train::trainer::{Observer, StepReport};

const GIB: f64 = (1u64 << 30) as f64;

/// The trainer's observer.
pub struct Watch {
    pub monitor: Monitor,
    metric: String,
    log_every: u64,
    /// Sums since the last log line.
    since: Since,
    latest: String,
}

#[derive(Default)]
struct Since {
    seconds: f64,
    waited: f64,
    size: BatchSize,
    steps: usize,
}

impl Watch {
    pub fn new(config: &Config, monitor: Monitor) -> Self {
        Self {
            monitor,
            metric: config.train.metric.clone(),
            log_every: config.monitor.log_every.max(1) as u64,
            since: Since::default(),
            latest: String::new(),
        }
    }

    fn log(&mut self, report: &StepReport) {
        let since = std::mem::take(&mut self.since);
        let losses = &report.losses;
        let seconds = since.seconds.max(1e-9);
        let mut values = vec![("train/loss/total".to_owned(), losses.total)];
        values.extend(losses.parts.iter().map(|(name, loss)| (format!("train/{name}"), *loss)));
        values.extend(losses.figures.iter().map(|(name, value)| (format!("train/{name}"), *value)));
        let mut add = |tag: &str, value: f64| values.push((tag.to_owned(), value));
        add("train/grad_norm", report.grad_norm);
        add("train/lr", report.lr);
        add("perf/items_per_s", since.size.items as f64 / seconds);
        add("perf/positions_per_s", since.size.positions as f64 / seconds);
        add("perf/users_per_s", since.size.samples as f64 / seconds);
        add("perf/step_s", seconds / since.steps.max(1) as f64);
        add("perf/data_wait_share", since.waited / seconds);
        if let Some((now, peak)) = process_memory() {
            add("memory/now_gib", now as f64 / GIB);
            add("memory/peak_gib", peak as f64 / GIB);
        }
        let borrowed: Vec<(&str, f64)> = values.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
        self.monitor.scalars(report.step, report.epoch as u64, &borrowed);
        self.tell_warnings();
    }

    /// Prints what was lost. Where nothing is shown, warnings wait for whoever asks the monitor for them.
    fn tell_warnings(&mut self) {
        if self.monitor.progress().is_hidden() {
            return;
        }
        for warning in self.monitor.warnings() {
            self.monitor.progress().warn(&warning);
        }
    }
}

impl Observer for Watch {
    fn step(&mut self, report: &StepReport) {
        self.since.seconds += report.seconds;
        self.since.waited += report.waited;
        self.since.size = [self.since.size, report.size].into_iter().sum();
        self.since.steps += 1;
        let status = format!("epoch {} loss {:.4}{}", report.epoch, report.losses.total, self.latest);
        self.monitor.progress().step(report.step, &status);
        if report.step.is_multiple_of(self.log_every) || report.step == 1 {
            self.log(report);
        }
    }

    fn epoch(&mut self, epoch: usize, step: u64, mean_loss: f64) {
        self.monitor.scalars(step, epoch as u64, &[("train/loss/epoch_mean", mean_loss)]);
    }

    fn evaluated(&mut self, epoch: usize, step: u64, evaluation: &Evaluation, is_best: bool) {
        let metrics = evaluation.metrics();
        let tagged: Vec<(String, f64)> =
            metrics.iter().map(|(name, &value)| (format!("valid/{name}"), value)).collect();
        let borrowed: Vec<(&str, f64)> = tagged.iter().map(|(tag, v)| (tag.as_str(), *v)).collect();
        self.monitor.scalars(step, epoch as u64, &borrowed);
        let value = metrics.get(&self.metric).copied().unwrap_or(f64::NAN);
        self.latest = format!(" {} {value:.4}", self.metric);
        let mark = if is_best { " (best)" } else { "" };
        let line = format!("epoch {epoch}: valid {} {value:.4}{mark}", self.metric);
        self.monitor.progress().print(&line);
    }

    fn stage(&mut self, name: &str, epoch: usize) {
        self.monitor.progress().print(&format!("epoch {epoch}: {name} begins"));
    }

    fn saved(&mut self, _step: u64, _path: &Path) {
        self.monitor.flush();
        self.tell_warnings();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{Moment, Progress, ProgressMode, Sink};

    /// A sink that lost something once.
    struct Lossy(Vec<String>);

    impl Sink for Lossy {
        fn name(&self) -> &'static str {
            "lossy"
        }

        fn scalars(&mut self, _: Moment, _: &[(&str, f64)]) {}

        fn warnings(&mut self) -> Vec<String> {
            std::mem::take(&mut self.0)
        }
    }

    fn left(progress: Progress) -> Vec<String> {
        let monitor = Monitor::new(vec![Box::new(Lossy(vec!["lost".into()]))], progress);
        let mut watch = Watch::new(&Config::default(), monitor);
        watch.saved(1, Path::new("step-1"));
        watch.monitor.warnings()
    }

    #[test]
    fn a_warning_is_printed_or_kept_for_whoever_asks() {
        assert_eq!(left(Progress::hidden()), ["lost"]);
        assert!(left(Progress::new(ProgressMode::Plain, 1)).is_empty());
    }
}
