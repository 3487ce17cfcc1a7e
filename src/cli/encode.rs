//! `codistill features encode`

mod effect;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};

use super::features::{SharedRule, taken};
use super::{Exit, Failure, Terminal};
use crate::artefact::replacing;
use crate::data::Dataset;
use crate::device;
use crate::encode::picture::Bounds;
use crate::encode::{self, Encoder, Job, Modality, Pool, Settings, SharedPictures, TextField};
use crate::features::{KIND, SCHEMA_VERSION, check_view_name, view_dir};
use crate::monitor::{Progress, ProgressMode};

#[derive(Debug, Args)]
#[command(after_help = "\
Encoders:
  FOLDER          config.json, model.safetensors, and tokenizer.json, preprocessor_config.json or
                  processor_config.json: BERT, ViT, CLIP (texts and pictures). A sentence-transformers folder
                  (modules.json) is followed as its library does: pooling modes, modules behind them, length,
                  default prompt; what is not understood is refused by name
  OWNER/MODEL     the same from a hub, OWNER/MODEL@REVISION another state of it; HF_ENDPOINT names another hub
                  than huggingface.co, HF_TOKEN opens what is not public
  FILE.onnx       anything else; runs on the CPU. The folder beside it, or around its `onnx` folder, says how
                  texts are pooled
  tfidf[:WIDTH]   no weights: hashed words and word parts, projected to WIDTH (256); the default for texts

Examples:
  codistill features encode data/movies --modality text
  codistill features encode data/movies --modality text --encoder sentence-transformers/all-MiniLM-L6-v2
  codistill features encode data/movies --modality image --encoder openai/clip-vit-base-patch32 --output tokens
  codistill features encode data/movies --modality image --encoder net.onnx --preprocess imagenet
  codistill features encode data/movies --modality image --encoder models/clip --preset odmt --dry-run

A picture that is missing, damaged, animated or too large makes its item one without a picture; the store's \
quarantine.csv says why. A run that was stopped or killed goes on when the same command is given again.")]
pub struct EncodeArgs {
    /// Dataset directory.
    dataset: PathBuf,
    /// What is encoded.
    #[arg(long)]
    modality: What,
    /// Folder, hub name, ONNX file or tfidf[:WIDTH].
    #[arg(long)]
    encoder: Option<String>,
    /// Name of the view; the store goes to `<dataset>/features/<view>`. Default: the modality.
    #[arg(long)]
    view: Option<String>,
    /// Where else to put the store.
    #[arg(long = "to", value_name = "DIR")]
    dest: Option<PathBuf>,
    /// One vector per item, or the states of its tokens.
    #[arg(long, value_name = "KIND")]
    output: Option<Kind>,
    /// Hidden state: 0 enters the first block, N leaves the N-th, -1 (default) the last.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    layer: Option<i64>,
    /// Hidden states before or behind the model's final norm. Default: as the model's own output.
    #[arg(long, value_name = "WHEN")]
    norm: Option<When>,
    /// How tokens become one vector; without it the model's own way, with CLIP's projection.
    #[arg(long, value_name = "HOW")]
    pool: Option<How>,
    /// Scale vectors to length 1 (true or false). Default: as the model was published.
    #[arg(long, value_name = "BOOL")]
    unit: Option<bool>,
    /// A published extraction: `odmt` takes 30 text tokens, all picture tokens, the state before the final norm,
    /// and a mean and deviation of 0.5.
    #[arg(long)]
    preset: Option<Preset>,
    /// What stands before every text. Default: the encoder's default prompt, if it has one; '' leaves it out.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Longest text in tokens, special ones and a prompt's included. Default: what a sentence-transformers folder
    /// states; of other encoders where tokenizer.json cuts, or 128. More than the model's positions is not possible.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Text column. Default: text, title where a preset asks for it.
    #[arg(long, value_name = "COLUMN")]
    field: Option<Column>,
    /// Preprocessing of pictures: clip, imagenet, vit, efficientnet-lite, odmt or a preprocessor_config.json.
    #[arg(long, value_name = "NAME")]
    preprocess: Option<String>,
    /// Side of the picture in pixels, for a named preprocessing.
    #[arg(long, value_name = "PIXELS")]
    side: Option<u32>,
    /// Output of an ONNX file that has several.
    #[arg(long, value_name = "NAME")]
    onnx_output: Option<String>,
    /// tokenizer.json for an ONNX text encoder; default: beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Largest picture file, in MiB. Default: 32.
    #[arg(long, value_name = "MIB")]
    max_file: Option<u64>,
    /// Most pixels of a picture, in millions. Default: 40.
    #[arg(long, value_name = "MILLIONS")]
    max_pixels: Option<u64>,
    /// Folder at which relative picture paths begin, where the pictures have moved since `prepare`.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Items that share one picture with two others or more: keep (it is theirs) or missing (it is a placeholder).
    /// Default: keep, with a warning.
    #[arg(long, value_name = "RULE")]
    shared_pictures: Option<SharedRule>,
    /// Storage.
    #[arg(long, default_value = "f16")]
    precision: super::features::Stored,
    /// Inputs computed at once.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = at_least_one())]
    batch: usize,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Encode only the first N items of the catalogue.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    limit: Option<usize>,
    /// Encode a sample and tell time and disk of the whole.
    #[arg(long)]
    dry_run: bool,
    /// Replace the store that lies there, once the new one is whole.
    #[arg(long)]
    overwrite: bool,
    /// Forget what an interrupted run has kept.
    #[arg(long)]
    restart: bool,
    /// Fail where there would be a warning, before the store is written.
    #[arg(long)]
    strict: bool,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Text,
    Image,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Pooled,
    Tokens,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum How {
    Cls,
    Mean,
    Max,
    MeanSqrtLen,
    WeightedMean,
    Last,
    End,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    Odmt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Column {
    Title,
    Text,
}

impl EncodeArgs {
    fn modality(&self) -> Modality {
        match self.modality {
            What::Text => Modality::Text,
            What::Image => Modality::Image,
        }
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let encoder = match (&self.encoder, self.modality) {
            (Some(encoder), _) => encoder.clone(),
            (None, What::Text) => "tfidf".to_owned(),
            (None, What::Image) => {
                return Err(Failure::user(
                    "pictures need an --encoder",
                    "give a folder, a hub name or an .onnx file; vectors that another program made come in by `codistill features import`",
                ));
            }
        };
        Ok(Settings {
            encoder,
            tokens: self.output.map(|kind| matches!(kind, Kind::Tokens)),
            layer: self.layer,
            final_norm: self.norm.map(|when| matches!(when, When::After)),
            pool: self.pool.map(|how| match how {
                How::Cls => Pool::Cls,
                How::Mean => Pool::Mean,
                How::Max => Pool::Max,
                How::MeanSqrtLen => Pool::MeanSqrtLen,
                How::WeightedMean => Pool::WeightedMean,
                How::Last => Pool::Last,
                How::End => Pool::End,
            }),
            unit: self.unit,
            max_tokens: self.max_tokens,
            prompt: self.prompt.clone(),
            preprocess: self.preprocess.clone(),
            side: self.side,
            odmt: self.preset.is_some(),
            onnx_output: self.onnx_output.clone(),
            tokenizer: self.tokenizer.clone(),
            bounds: self.bounds(),
        })
    }

    fn bounds(&self) -> Bounds {
        let own = Bounds::default();
        Bounds {
            bytes: self.max_file.map_or(own.bytes, |mib| mib.saturating_mul(1 << 20)),
            pixels: self.max_pixels.map_or(own.pixels, |millions| millions.saturating_mul(1_000_000)),
        }
    }

    fn job(&self) -> Result<Job, Failure> {
        let view = self.view.clone().unwrap_or_else(|| self.modality().name().to_owned());
        check_view_name(&view)?;
        let title =
            matches!(self.field, Some(Column::Title)) || (self.field.is_none() && self.preset.is_some());
        let dest = self.dest.clone().map_or_else(|| view_dir(&self.dataset, &view), Ok)?;
        Ok(Job {
            dest,
            field: if title { TextField::Title } else { TextField::Text },
            precision: self.precision.into(),
            batch: self.batch,
            limit: self.limit,
            restart: self.restart,
            shared: match self.shared_pictures {
                None => SharedPictures::Told,
                Some(SharedRule::Keep) => SharedPictures::Keep,
                Some(SharedRule::Missing) => SharedPictures::Missing,
            },
            strict: self.strict,
        })
    }
}

pub fn run(args: &EncodeArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    effect::check(args)?;
    let (settings, job) = (args.settings()?, args.job()?);
    if job.dest.exists() && !args.dry_run && !args.overwrite {
        return Err(taken(&job.dest));
    }
    crate::artefact::may_make(&job.dest, crate::artefact::Makes::Features)?;
    let mut dataset = Dataset::open(&args.dataset)?;
    if let Some(root) = &args.pictures {
        move_pictures(&mut dataset, root)?;
    }
    let device = device::open(&args.device)?;
    let mut tell = downloads(terminal);
    let texts = match job.field {
        TextField::Title => &dataset.items.titles,
        TextField::Text => &dataset.items.texts,
    };
    let encoder = Encoder::open(&settings, args.modality(), texts, &device.device, &mut tell)?;
    terminal.detail(format!("device {}: {}", device.flag, device.name));
    let recipe = encoder.recipe();
    effect::check_recipe(args, recipe)?;
    terminal.say(effect::described(args, &encoder));
    terminal.detail(recipe.json()?);
    if args.dry_run {
        return dry_run(&dataset, &encoder, &job, terminal);
    }
    let stop = stop_on_interrupt(terminal);
    let mode = ProgressMode::choose(terminal.quiet(), !terminal.progress);
    let mut progress: Option<Progress> = None;
    let report = replacing(&job.dest, KIND, SCHEMA_VERSION, |dest| {
        let job = Job { dest: dest.to_owned(), ..job.clone() };
        encode::run(&dataset, &encoder, &job, &stop, &mut |done, all| {
            let progress = progress.get_or_insert_with(|| Progress::new(mode, all as u64));
            progress.step(done as u64, &format!("{}s", args.modality().input()));
        })
    });
    drop(progress);
    let report = report?;
    if terminal.json {
        terminal.data_json(&report)?;
    }
    let input = args.modality().input();
    terminal.say(format!(
        "{}: {} of {} items encoded, {} token(s) of width {}, {:.1} s ({:.1} items/s)",
        job.dest.display(),
        report.encoded,
        report.items,
        report.tokens,
        report.width,
        report.seconds,
        (report.encoded - report.resumed.min(report.encoded)) as f64 / report.seconds.max(1e-9),
    ));
    if report.resumed > 0 {
        terminal.say(format!("{} items were kept from an earlier run", report.resumed));
    }
    if report.empty > 0 {
        terminal.say(format!("{} items have no {input}", report.empty));
    }
    if report.shared_missing > 0 {
        terminal
            .say(format!("{} items count as missing for a picture that others share", report.shared_missing));
    }
    for warning in &report.warnings {
        terminal.warn(warning);
    }
    if report.quarantined > 0 {
        let list = job.dest.join("quarantine.csv");
        terminal.warn(format!("{} {input}s were refused; reasons in {}", report.quarantined, list.display()));
    }
    Ok(Exit::Done)
}

/// The catalogue's picture paths begin at `root` now.
fn move_pictures(dataset: &mut Dataset, root: &Path) -> Result<(), Failure> {
    if !root.is_dir() {
        return Err(Failure::user(
            format!("--pictures {}: there is no such folder", root.display()),
            "name the folder at which the catalogue's picture paths begin",
        ));
    }
    let root = std::path::absolute(root).map_err(|e| Failure::io(root, &e))?;
    if dataset.items.move_pictures(&root) == 0 {
        return Err(Failure::user(
            "--pictures has no effect: no picture of the catalogue is a relative path",
            "absolute paths and addresses stand as they are; prepare the data set with --images PATTERN",
        ));
    }
    Ok(())
}

/// Tells of downloads: one line per 50 MB and at the end.
pub fn downloads(terminal: &Terminal) -> impl FnMut(&str, u64, Option<u64>) {
    let mut told = 0;
    move |file, done, all| {
        let step = done / 50_000_000;
        if step != told || all == Some(done) {
            told = step;
            let all = all.map_or_else(String::new, |all| format!(" of {:.1}", all as f64 / 1e6));
            terminal.say(format!("{file}: {:.1}{all} MB", done as f64 / 1e6));
        }
    }
}

fn dry_run(dataset: &Dataset, encoder: &Encoder, job: &Job, terminal: &Terminal) -> Result<Exit, Failure> {
    let estimate = encode::estimate(dataset, encoder, job)?;
    if let (true, Some(_)) = (job.strict, estimate.warnings.first()) {
        return Err(crate::features::FeatureError::Strict(estimate.warnings).into());
    }
    for warning in &estimate.warnings {
        terminal.warn(warning);
    }
    if terminal.json {
        terminal.data_json(&estimate)?;
        return Ok(Exit::Done);
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    terminal.table(&format!(
        "{} of {} items to encode, {} token(s) of width {}\n\
         time: about {:.0} s ({:.1} items/s, from {} items)\n\
         disk: {:.1} MB, {:.1} MB while the store is made",
        estimate.inputs,
        estimate.items,
        estimate.tokens,
        estimate.width,
        estimate.seconds,
        estimate.inputs as f64 / estimate.seconds.max(1e-9),
        estimate.sampled,
        mb(estimate.bytes),
        mb(estimate.peak_bytes),
    ))?;
    Ok(Exit::Done)
}

/// The first Ctrl-C ends the run after its batch, a second one at once: what is done is kept either way.
fn stop_on_interrupt(terminal: &Terminal) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            eprintln!("stopped at once; the same command goes on from what is kept");
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    if ctrlc::set_handler(handler).is_err() {
        terminal.warn("Ctrl-C will end the run in the middle of a batch");
    }
    stop
}
