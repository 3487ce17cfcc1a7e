//! What `features encode` is asked for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::Failure;
use super::super::store_args::{SharedRule, Stored};
use codistill::encode::picture::Bounds;
use codistill::encode::{Job, Modality, Pool, Settings, SharedPictures, TextField};
use codistill::features::{check_view_name, view_dir};

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
    pub(super) dataset: PathBuf,
    /// What is encoded.
    #[arg(long)]
    pub(super) modality: What,
    /// Folder, hub name, ONNX file or tfidf[:WIDTH].
    #[arg(long)]
    pub(super) encoder: Option<String>,
    /// Name of the view; the store goes to `<dataset>/features/<view>`. Default: the modality.
    #[arg(long)]
    pub(super) view: Option<String>,
    /// Where else to put the store.
    #[arg(long = "to", value_name = "DIR")]
    pub(super) dest: Option<PathBuf>,
    /// One vector per item, or the states of its tokens.
    #[arg(long, value_name = "KIND")]
    pub(super) output: Option<Kind>,
    /// Hidden state: 0 enters the first block, N leaves the N-th, -1 (default) the last.
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub(super) layer: Option<i64>,
    /// Hidden states before or behind the model's final norm. Default: as the model's own output.
    #[arg(long, value_name = "WHEN")]
    pub(super) norm: Option<When>,
    /// How tokens become one vector; without it the model's own way, with CLIP's projection.
    #[arg(long, value_name = "HOW")]
    pub(super) pool: Option<How>,
    /// Scale vectors to length 1 (true or false). Default: as the model was published.
    #[arg(long, value_name = "BOOL")]
    pub(super) unit: Option<bool>,
    /// A published extraction: `odmt` takes 30 text tokens, all picture tokens, the state before the final norm,
    /// and a mean and deviation of 0.5.
    #[arg(long)]
    pub(super) preset: Option<Preset>,
    /// What stands before every text. Default: the encoder's default prompt, if it has one; '' leaves it out.
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// Longest text in tokens, special ones and a prompt's included. Default: what a sentence-transformers folder
    /// states; of other encoders where tokenizer.json cuts, or 128. More than the model's positions is not possible.
    #[arg(long, value_name = "N")]
    pub(super) max_tokens: Option<usize>,
    /// Text column. Default: text, title where a preset asks for it.
    #[arg(long, value_name = "COLUMN")]
    pub(super) field: Option<Column>,
    /// Preprocessing of pictures: clip, imagenet, vit, efficientnet-lite, odmt or a preprocessor_config.json.
    #[arg(long, value_name = "NAME")]
    pub(super) preprocess: Option<String>,
    /// Side of the picture in pixels, for a named preprocessing.
    #[arg(long, value_name = "PIXELS")]
    pub(super) side: Option<u32>,
    /// Output of an ONNX file that has several.
    #[arg(long, value_name = "NAME")]
    pub(super) onnx_output: Option<String>,
    /// tokenizer.json for an ONNX text encoder; default: beside it.
    #[arg(long, value_name = "FILE")]
    pub(super) tokenizer: Option<PathBuf>,
    /// Largest picture file, in MiB. Default: 32.
    #[arg(long, value_name = "MIB")]
    pub(super) max_file: Option<u64>,
    /// Most pixels of a picture, in millions. Default: 40.
    #[arg(long, value_name = "MILLIONS")]
    pub(super) max_pixels: Option<u64>,
    /// Folder at which relative picture paths begin, where the pictures have moved since `prepare`.
    #[arg(long, value_name = "DIR")]
    pub(super) pictures: Option<PathBuf>,
    /// Items that share one picture with two others or more: keep (it is theirs) or missing (it is a placeholder).
    /// Default: keep, with a warning.
    #[arg(long, value_name = "RULE")]
    pub(super) shared_pictures: Option<SharedRule>,
    /// Storage.
    #[arg(long, default_value = "f16")]
    pub(super) precision: Stored,
    /// Inputs computed at once.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = at_least_one())]
    pub(super) batch: usize,
    /// auto, cpu, wgpu or wgpu:N.
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Encode only the first N items of the catalogue.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(super) limit: Option<usize>,
    /// Encode a sample and tell time and disk of the whole.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Replace the store that lies there, once the new one is whole.
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Forget what an interrupted run has kept.
    #[arg(long)]
    pub(super) restart: bool,
    /// Fail where there would be a warning, before the store is written.
    #[arg(long)]
    pub(super) strict: bool,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum What {
    Text,
    Image,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    Pooled,
    Tokens,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum When {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum How {
    Cls,
    Mean,
    Max,
    MeanSqrtLen,
    WeightedMean,
    Last,
    End,
}

impl From<How> for Pool {
    fn from(how: How) -> Self {
        match how {
            How::Cls => Self::Cls,
            How::Mean => Self::Mean,
            How::Max => Self::Max,
            How::MeanSqrtLen => Self::MeanSqrtLen,
            How::WeightedMean => Self::WeightedMean,
            How::Last => Self::Last,
            How::End => Self::End,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Preset {
    Odmt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Column {
    Title,
    Text,
}

impl EncodeArgs {
    pub(super) fn modality(&self) -> Modality {
        match self.modality {
            What::Text => Modality::Text,
            What::Image => Modality::Image,
        }
    }

    pub(super) fn settings(&self) -> Result<Settings, Failure> {
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
            pool: self.pool.map(Pool::from),
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

    pub(super) fn job(&self) -> Result<Job, Failure> {
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
                None => SharedPictures::Warn,
                Some(SharedRule::Keep) => SharedPictures::Keep,
                Some(SharedRule::Missing) => SharedPictures::Missing,
            },
            strict: self.strict,
        })
    }
}
