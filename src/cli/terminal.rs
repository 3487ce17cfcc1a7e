//! Where the program prints: data to stdout, talk to stderr.
//!
//! `--quiet` is kept here and nowhere else. What people read falls silent ([`Terminal::table`], [`Terminal::say`],
//! [`Terminal::warn`]); what was asked for in a form for programs ([`Terminal::data`], [`Terminal::data_json`]) and
//! errors are printed all the same.

use std::io::{IsTerminal, Write};

use super::{Exit, Failure, Talk};

/// The terminal (or pipe) of this process.
pub struct Terminal {
    quiet: bool,
    verbose: u8,
    /// Results as JSON.
    pub json: bool,
    /// A moving progress line may be drawn.
    pub progress: bool,
    colour: bool,
}

impl Terminal {
    pub fn new(talk: &Talk) -> Self {
        let tty = std::io::stderr().is_terminal();
        let colour = tty && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let progress = tty && !talk.no_progress && !talk.quiet;
        Self { quiet: talk.quiet, verbose: talk.verbose, json: talk.json, progress, colour }
    }

    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// A line of talk.
    pub fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{}", line.as_ref());
        }
    }

    /// A line for those who asked for more.
    pub fn detail(&self, line: impl AsRef<str>) {
        if self.verbose > 0 {
            eprintln!("{}", line.as_ref());
        }
    }

    pub fn warn(&self, line: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("{} {}", self.paint("warning:", "33"), line.as_ref());
        }
    }

    pub fn failure(&self, failure: &Failure) {
        eprintln!("{} {}", self.paint("error:", "31"), failure.message);
        if let Some(hint) = &failure.hint {
            eprintln!("{} {hint}", self.paint("hint:", "36"));
        }
    }

    /// A result for people, on stdout.
    ///
    /// # Errors
    /// As [`Terminal::data`].
    pub fn table(&self, text: &str) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { self.data(text) }
    }

    /// A result as JSON where that is asked for, else as the text for people.
    ///
    /// # Errors
    /// As [`Terminal::data`].
    pub fn result(
        &self,
        value: &impl serde::Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            self.data_json(value)
        } else if self.quiet {
            Ok(())
        } else {
            self.data(&text())
        }
    }

    /// Data on stdout, in a form that programs read. A reader that has gone away ends the program quietly.
    ///
    /// # Errors
    /// Stdout can't be written for another reason.
    #[allow(clippy::unused_self, reason = "all that is printed goes through the terminal")]
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
        match written.and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            Err(e) => Err(Failure::io(std::path::Path::new("stdout"), &e)),
        }
    }

    /// A value as pretty JSON on stdout.
    ///
    /// # Errors
    /// As [`Terminal::data`].
    pub fn data_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|e| Failure {
            exit: Exit::Ours,
            message: format!("a result could not be written as JSON: {e}"),
            hint: None,
        })?;
        self.data(&text)
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[1;{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
