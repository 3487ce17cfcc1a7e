//! Ctrl-C and SIGTERM: the one handler that this process has.
//!
//! The first signal asks for an orderly end by setting a flag, a second one ends the process at once. The handler is
//! installed by the first command that asks for the flag; commands that don't would be deaf to it and are ended by the
//! system, as any program is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Exit, Terminal};

/// What a command says about its interruption.
pub struct Words {
    /// Before a second signal ends the process.
    pub at_once: &'static str,
    /// Where no handler could be installed.
    pub deaf: &'static str,
}

const TRAINING: Words = Words {
    at_once: "stopped at once; what was saved last is whole, and `codistill train --resume RUN` goes on from it",
    deaf: "Ctrl-C will end the training without saving",
};

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Returns the flag that a signal sets, for commands that train.
pub fn stop_flag(terminal: &Terminal) -> Arc<AtomicBool> {
    stop_flag_saying(&TRAINING, terminal)
}

/// Returns the flag that a signal sets. The words of the process's first call hold.
pub fn stop_flag_saying(words: &'static Words, terminal: &Terminal) -> Arc<AtomicBool> {
    let install = || {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let handler = move || {
            if flag.swap(true, Ordering::SeqCst) {
                eprintln!("{}", words.at_once);
                std::process::exit(Exit::Interrupted as i32);
            }
        };
        if ctrlc::set_handler(handler).is_err() {
            terminal.warn(words.deaf);
        }
        stop
    };
    Arc::clone(STOP.get_or_init(install))
}
