//! TensorBoard event files, written on a thread of their own.
//!
//! Only the record format of `tensorboard-rs` is used. Its writers panic on disk errors in the caller's thread, and
//! overwrite each other's files within a second. Here an error ends the thread, and the sink reports it once.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use protobuf::Message as _;
use tensorboard_proto::event::Event;
use tensorboard_rs::record_writer::RecordWriter;

use super::projector::{Embedding, write_config};
use super::{HValue, Moment, Sink, Sprite, events, now};
use crate::pictures::Png;

/// Longest time that events stay in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for a disk at a flush and at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most events that wait for a slow disk. Further ones are dropped, since waiting would delay the training.
const QUEUE: usize = 4096;

/// The TensorBoard sink.
pub struct TensorBoard {
    dir: PathBuf,
    started: f64,
    /// `None` once the thread has ended.
    sender: Option<SyncSender<Message>>,
    /// The error that ended the thread.
    outcome: Receiver<io::Error>,
    dropped: bool,
    warnings: Vec<String>,
}

enum Message {
    Events(Vec<Event>),
    Projector(Box<Embedding>),
    /// Acknowledged once everything before it is written.
    Flush(SyncSender<()>),
}

impl TensorBoard {
    /// Starts a new event file in `dir`. A run that continues from the checkpoint of step `resumed` makes TensorBoard
    /// discard what earlier files hold of later steps.
    pub fn open(dir: &Path, resumed: Option<u64>) -> Self {
        let started = now();
        let (sender, inbox) = mpsc::sync_channel(QUEUE);
        let (report, outcome) = mpsc::sync_channel(1);
        let folder = dir.to_owned();
        let thread = thread::Builder::new().name("tensorboard".into()).spawn(move || {
            if let Err(error) = Writer::open(folder, started, resumed).and_then(|writer| writer.run(&inbox)) {
                // The sink may be gone already.
                let _ = report.send(error);
            }
        });
        let mut sink = Self {
            dir: dir.to_owned(),
            started,
            sender: Some(sender),
            outcome,
            dropped: false,
            warnings: Vec::new(),
        };
        if let Err(error) = thread {
            sink.switch_off(&error.to_string());
        }
        sink
    }

    fn send(&mut self, message: Message) {
        let Some(sender) = &self.sender else { return };
        match sender.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                if !std::mem::replace(&mut self.dropped, true) {
                    let dir = self.dir.display();
                    self.warnings
                        .push(format!("TensorBoard: {dir} is too slow; some metrics are missing there"));
                }
            }
            Err(TrySendError::Disconnected(_)) => self.ended(),
        }
    }

    /// Switches the sink off after its thread has ended, with the reason.
    fn ended(&mut self) {
        let reason = self.outcome.recv().map_or_else(|_| "its writer panicked".into(), |e| e.to_string());
        self.switch_off(&reason);
    }

    fn switch_off(&mut self, reason: &str) {
        if self.sender.take().is_some() {
            let dir = self.dir.display();
            self.warnings.push(format!(
                "TensorBoard is switched off: {dir}: {reason}; the training goes on, metrics.jsonl has all metrics"
            ));
        }
    }
}

impl Sink for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoard"
    }

    fn scalars(&mut self, moment: Moment, values: &[(&str, f64)]) {
        self.send(Message::Events(vec![events::scalars(moment, values)]));
    }

    fn text(&mut self, tag: &str, markdown: &str) {
        let moment = Moment { step: 0, epoch: 0, time: now() };
        match events::text(moment, tag, markdown) {
            Ok(event) => self.send(Message::Events(vec![event])),
            Err(error) => self.warnings.push(format!("TensorBoard: text {tag}: {error}")),
        }
    }

    fn hparams(&mut self, moment: Moment, hparams: &[(String, HValue)], metrics: &[(String, f64)]) {
        match events::hparams(moment, self.started, hparams, metrics) {
            Ok(events) => self.send(Message::Events(events)),
            Err(error) => self.warnings.push(format!("TensorBoard: hyper-parameters: {error}")),
        }
    }

    fn projector(
        &mut self,
        name: &str,
        vectors: &[f32],
        width: usize,
        header: &[&str],
        rows: &[Vec<String>],
        sprite: Option<&Arc<Sprite>>,
    ) {
        match Embedding::new(name, vectors, width, header, rows, sprite.cloned()) {
            Some(embedding) => self.send(Message::Projector(Box::new(embedding))),
            None => self
                .warnings
                .push(format!("TensorBoard: projector {name}: rows and vectors differ in number")),
        }
    }

    fn image(&mut self, moment: Moment, tag: &str, png: &Png) {
        self.send(Message::Events(vec![events::image(moment, tag, png)]));
    }

    fn flush(&mut self) {
        let (answer, answered) = mpsc::sync_channel(1);
        self.send(Message::Flush(answer));
        if self.sender.is_none() {
            return;
        }
        match answered.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => self.switch_off("the disk does not answer"),
            Err(RecvTimeoutError::Disconnected) => self.ended(),
        }
    }

    fn warnings(&mut self) -> Vec<String> {
        if self.sender.is_some()
            && let Ok(error) = self.outcome.try_recv()
        {
            self.switch_off(&error.to_string());
        }
        std::mem::take(&mut self.warnings)
    }
}

impl Drop for TensorBoard {
    /// Waits for the thread for a limited time: a disk that hangs must not keep the program from ending.
    fn drop(&mut self) {
        if self.sender.take().is_some() {
            let _ = self.outcome.recv_timeout(PATIENCE);
        }
    }
}

/// The writer on the thread.
struct Writer {
    dir: PathBuf,
    records: RecordWriter<BufWriter<File>>,
    /// Names of the embeddings, with the side of their pictures if they have any.
    embeddings: Vec<(String, Option<u32>)>,
}

impl Writer {
    fn open(dir: PathBuf, started: f64, resumed: Option<u64>) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let records = RecordWriter::new(BufWriter::new(create_file(&dir, started)?));
        let mut writer = Self { dir, records, embeddings: Vec::new() };
        writer.write(&events::file_version(started))?;
        if let Some(step) = resumed {
            writer.write(&events::session_start(started, step.saturating_add(1)))?;
        }
        Ok(writer)
    }

    /// Writes until the sink is dropped or something fails.
    fn run(mut self, inbox: &Receiver<Message>) -> io::Result<()> {
        let mut flushed = Instant::now();
        loop {
            match inbox.recv_timeout(FLUSH_EVERY) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.records.flush(),
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                self.records.flush()?;
                flushed = Instant::now();
            }
        }
    }

    fn take(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Events(events) => events.iter().try_for_each(|event| self.write(event)),
            Message::Projector(embedding) => self.project(&embedding),
            Message::Flush(answer) => {
                self.records.flush()?;
                // The caller may have stopped waiting.
                let _ = answer.send(());
                Ok(())
            }
        }
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let bytes = event.write_to_bytes().map_err(io::Error::other)?;
        self.records.write(&bytes)
    }

    fn project(&mut self, embedding: &Embedding) -> io::Result<()> {
        embedding.write(&self.dir).map_err(io::Error::other)?;
        self.embeddings.retain(|(name, _)| name != embedding.name());
        self.embeddings.push((embedding.name().to_owned(), embedding.sprite_side()));
        write_config(&self.dir, &self.embeddings).map_err(io::Error::other)
    }
}

/// Creates an event file whose name sorts after the existing ones. TensorBoard reads files in the order of their names,
/// which decides what a resumed run discards. Never overwrites a file.
fn create_file(dir: &Path, started: f64) -> io::Result<File> {
    let mut newest = 0;
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some(rest) = name.strip_prefix(PREFIX) {
            let seconds = rest.split('.').next().and_then(|s| s.parse().ok());
            newest = newest.max(seconds.unwrap_or(0));
            count += 1;
        }
    }
    // Even if the clock was set back, this file must sort after the older ones.
    let seconds = newest.max(started as u64);
    loop {
        let name = format!("{PREFIX}{seconds:010}.codistill.{count:05}");
        match File::create_new(dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            result => return result,
        }
    }
}

/// The part of their names by which TensorBoard finds event files.
const PREFIX: &str = "events.out.tfevents.";
