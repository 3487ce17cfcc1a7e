//! The progress of a run: one line with the remaining time on a terminal, a plain line now and then elsewhere.
//!
//! Everything goes to stderr, without colour.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// Not at all (`--quiet`).
    Hidden,
    /// As separate lines every few seconds (`--no-progress`, files, pipes).
    Plain,
    /// As one line that is redrawn.
    Line,
}

impl ProgressMode {
    /// The mode that follows from the flags and the terminal.
    pub fn choose(quiet: bool, no_progress: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (quiet, no_progress || dumb || !io::stderr().is_terminal()) {
            (true, _) => Self::Hidden,
            (false, true) => Self::Plain,
            (false, false) => Self::Line,
        }
    }
}

/// The progress of one run.
pub struct Progress {
    shown: Shown,
    total: u64,
    /// Step and time of the first report, the basis of the speed: a resumed run does not start at 0.
    first: Option<(u64, Instant)>,
}

enum Shown {
    Hidden,
    Plain { out: Box<dyn Write + Send>, every: Duration, last: Option<Instant> },
    Line(ProgressBar),
}

impl Progress {
    /// Shows nothing.
    pub fn hidden() -> Self {
        Self { shown: Shown::Hidden, total: 0, first: None }
    }

    /// Progress towards `total` steps.
    pub fn new(mode: ProgressMode, total: u64) -> Self {
        let shown = match mode {
            ProgressMode::Hidden => Shown::Hidden,
            ProgressMode::Plain => {
                Shown::Plain { out: Box::new(io::stderr()), every: PLAIN_EVERY, last: None }
            }
            ProgressMode::Line => Shown::Line(bar(total)),
        };
        Self { shown, total, first: None }
    }

    /// Writes plain lines to `out`, at least `every` apart.
    pub fn plain(out: Box<dyn Write + Send>, every: Duration, total: u64) -> Self {
        Self { shown: Shown::Plain { out, every, last: None }, total, first: None }
    }

    /// Reports that `step` steps are done; `status` is for example `epoch 2/12, loss 7.31`.
    pub fn step(&mut self, step: u64, status: &str) {
        let (first, since) = *self.first.get_or_insert_with(|| (step, Instant::now()));
        let left = time_left(step - first.min(step), self.total.saturating_sub(step), since.elapsed());
        let left = left.map_or_else(String::new, |left| format!(", {} left", human(left)));
        match &mut self.shown {
            Shown::Hidden => {}
            Shown::Plain { out, every, last } => {
                let due = last.is_none_or(|last| last.elapsed() >= *every) || step == self.total;
                if due {
                    *last = Some(Instant::now());
                    // A closed stderr can't be reported anywhere.
                    let _ = writeln!(out, "step {step}/{}, {status}{left}", self.total);
                }
            }
            Shown::Line(bar) => {
                bar.set_position(step);
                bar.set_message(format!("{status}{left}"));
            }
        }
    }

    /// Whether nothing that is printed here is seen.
    pub fn is_hidden(&self) -> bool {
        matches!(self.shown, Shown::Hidden)
    }

    /// Prints a warning.
    pub fn warn(&mut self, warning: &str) {
        self.print(&format!("warning: {warning}"));
    }

    /// Prints a line that stays, such as the metrics of an epoch.
    pub fn print(&mut self, line: &str) {
        match &mut self.shown {
            Shown::Hidden => {}
            Shown::Plain { out, .. } => {
                let _ = writeln!(out, "{line}");
            }
            Shown::Line(bar) => bar.println(line),
        }
    }

    /// Removes the progress line; plain lines stay.
    pub fn finish(&mut self) {
        if let Shown::Line(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    // The template is constant and well-formed; were it not, the default style would do.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len}, {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The remaining time at the speed so far; unknown before the first step.
fn time_left(done: u64, left: u64, elapsed: Duration) -> Option<Duration> {
    if done == 0 || left == 0 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * left as f64).ok()
}

/// A duration in at most two units: `2 d 3 h`, `1 h 5 min`, `3 min 20 s`, `8 s`.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn plain_lines_come_at_the_first_and_last_step_and_not_for_every_one_between() {
        let out = Shared::default();
        let mut progress = Progress::plain(Box::new(out.clone()), Duration::from_hours(1), 4);
        for step in 1..=4 {
            progress.step(step, "epoch 1/1");
        }
        progress.print("done");
        assert_eq!(out.text(), "step 1/4, epoch 1/1\nstep 4/4, epoch 1/1\ndone\n");
    }

    #[test]
    fn the_time_left_counts_only_the_steps_of_this_process() {
        // 10 steps in 20 s, 5 left: 10 s.
        assert_eq!(time_left(10, 5, Duration::from_secs(20)), Some(Duration::from_secs(10)));
        assert_eq!(time_left(0, 5, Duration::from_secs(20)), None);
        let out = Shared::default();
        let mut progress = Progress::plain(Box::new(out.clone()), Duration::ZERO, 1000);
        progress.step(900, "a");
        std::thread::sleep(Duration::from_millis(20));
        progress.step(901, "b");
        let last = out.text().lines().last().unwrap().to_owned();
        let seconds: u64 = last.split("b, ").nth(1).unwrap().trim_end_matches(" s left").parse().unwrap();
        assert!((1..=60).contains(&seconds), "{last}");
    }

    #[test]
    fn durations_read_naturally() {
        let said = [8, 200, 3900, 190_000].map(|s| human(Duration::from_secs(s)));
        assert_eq!(said, ["8 s", "3 min 20 s", "1 h 5 min", "2 d 4 h"]);
    }

    #[test]
    fn quiet_hides_everything_and_a_pipe_gets_plain_lines() {
        assert_eq!(ProgressMode::choose(true, false), ProgressMode::Hidden);
        assert_eq!(ProgressMode::choose(false, true), ProgressMode::Plain);
    }

    #[test]
    fn a_closed_stderr_is_no_trouble() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut progress = Progress::plain(Box::new(Closed), Duration::ZERO, 2);
        progress.step(1, "");
        progress.print("x");
        progress.finish();
    }
}
