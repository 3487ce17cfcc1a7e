//! `codistill features`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Exit, Failure, Terminal};
use crate::data::Dataset;
use crate::features::{ArrayRef, IdTable, ImportOptions, Precision, import};
use crate::train::experiment::feature_dir;

#[derive(Debug, Subcommand)]
pub enum FeaturesCommand {
    /// Make a feature store from a `.npy` or safetensors matrix
    Import(ImportArgs),
    /// Make a feature store from the catalogue's texts or pictures
    Encode(super::encode::EncodeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The matrix has a row per item: [rows, width] pooled, or [rows, tokens, width]. The id table says which item a \
row belongs to: .npy, .csv, .tsv, .json or one id per line. Items without a row get a learned missing token.

Example:
  codistill features import data/movies --view text --matrix text.npy --ids movie_ids.npy")]
pub struct ImportArgs {
    /// Dataset directory.
    dataset: PathBuf,
    /// Name of the view; the store goes to `<dataset>/features/<view>`.
    #[arg(long)]
    view: String,
    /// `.npy` or `.safetensors` file.
    #[arg(long)]
    matrix: PathBuf,
    /// Tensor in a safetensors file that holds several.
    #[arg(long)]
    tensor: Option<String>,
    /// Item ids of the rows.
    #[arg(long)]
    ids: PathBuf,
    /// Column of the id table.
    #[arg(long)]
    ids_column: Option<String>,
    /// Valid tokens per row, for a matrix of padded tokens.
    #[arg(long)]
    lengths: Option<PathBuf>,
    /// Storage; default: the matrix's own, at most float32.
    #[arg(long)]
    precision: Option<Stored>,
    /// Where else to put the store.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Stored {
    F16,
    F32,
}

pub fn run(command: &FeaturesCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    let args = match command {
        FeaturesCommand::Import(args) => args,
        FeaturesCommand::Encode(args) => return super::encode::run(args, terminal),
    };
    let dataset = Dataset::open(&args.dataset)?;
    let dest = args.output.clone().unwrap_or_else(|| feature_dir(&args.dataset, &args.view));
    let matrix = ArrayRef { path: args.matrix.clone(), tensor: args.tensor.clone() };
    let ids = IdTable { path: args.ids.clone(), column: args.ids_column.clone() };
    let options = ImportOptions {
        lengths: args.lengths.clone().map(|path| ArrayRef { path, tensor: None }),
        precision: args.precision.map(|p| match p {
            Stored::F16 => Precision::F16,
            Stored::F32 => Precision::F32,
        }),
        source: args.matrix.display().to_string(),
    };
    let report = import(&dataset, &matrix, &ids, &dest, &options)?;
    if terminal.json {
        terminal.data_json(&report)?;
    }
    terminal.say(format!(
        "{}: {} of {} items matched, {} missing, {} rows of other items; {} tokens of width {}",
        dest.display(),
        report.matched,
        report.items,
        report.missing,
        report.unknown,
        report.tokens,
        report.width
    ));
    if report.all_zero > 0 {
        terminal.warn(format!("{} items have all-zero features; are they missing ones?", report.all_zero));
    }
    Ok(Exit::Done)
}
