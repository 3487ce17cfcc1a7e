//! `codistill features`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::store_args::{SharedRule, Stored, refuse_taken};
use super::{Exit, Failure, Terminal, encode};
use codistill::artefact::{Makes, may_make, replacing};
use codistill::data::Dataset;
use codistill::features::{
    ArrayRef, IdTable, ImportOptions, ImportReport, KIND, MissingRows, Precision, SCHEMA_VERSION, SharedRows,
    check_view_name, import, view_dir,
};

#[derive(Debug, Subcommand)]
pub enum FeaturesCommand {
    /// Make a feature store from a `.npy` or safetensors matrix
    Import(ImportArgs),
    /// Make a feature store from the catalogue's texts or pictures
    Encode(encode::EncodeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The matrix has a row per item: [rows, width] pooled, or [rows, tokens, width]. The id table says which item a \
row belongs to: .npy, .csv, .tsv, .json or one id per line. Items without a row get a learned missing token.

Examples:
  codistill features import data/movies --view text --matrix text.npy --ids movie_ids.npy
  codistill features import data/movies --view text --matrix text.npy --ids items.csv --id-column movieId
  codistill features import data/movies --view image --matrix image.npy --ids ids.npy --missing zeros,nan")]
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
    /// Column of the id table, or tensor of a safetensors file. Default: the only column, or the only one that is
    /// called like an item's id.
    #[arg(long, visible_alias = "ids-column", value_name = "NAME")]
    id_column: Option<String>,
    /// Valid tokens per row, for a matrix of padded tokens.
    #[arg(long)]
    lengths: Option<PathBuf>,
    /// Rows that make their item a missing one: zeros (nothing but zeros), nan (a value is not a number), or both.
    #[arg(long, value_delimiter = ',', value_name = "ROWS")]
    missing: Vec<Missing>,
    /// Storage; default: the matrix's own, at most float32.
    #[arg(long)]
    precision: Option<Stored>,
    /// Where else to put the store.
    #[arg(long)]
    output: Option<PathBuf>,
    /// What becomes of a row that three items or more share: keep, or missing (it stands for none). Default: keep, with
    /// a warning.
    #[arg(long, value_name = "RULE")]
    shared_rows: Option<SharedRule>,
    /// Replace the store that lies there, once the new one is whole.
    #[arg(long)]
    overwrite: bool,
    /// Fail where there would be a warning, before anything is written.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Missing {
    Zeros,
    Nan,
}

pub fn run(command: &FeaturesCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    match command {
        FeaturesCommand::Import(args) => run_import(args, terminal),
        FeaturesCommand::Encode(args) => encode::run(args, terminal),
    }
}

fn run_import(args: &ImportArgs, terminal: &Terminal) -> Result<Exit, Failure> {
    check_view_name(&args.view)?;
    let dest = match &args.output {
        Some(dest) => dest.clone(),
        None => view_dir(&args.dataset, &args.view)?,
    };
    refuse_taken(&dest, args.overwrite)?;
    let dataset = Dataset::open(&args.dataset)?;
    may_make(&dest, Makes::Features)?;
    let matrix = ArrayRef { path: args.matrix.clone(), tensor: args.tensor.clone() };
    let ids = IdTable { path: args.ids.clone(), column: args.id_column.clone() };
    let options = args.options();
    let report = replacing(&dest, KIND, SCHEMA_VERSION, |dest| -> Result<_, Failure> {
        Ok(import(&dataset, &matrix, &ids, dest, &options)?)
    })?;
    if terminal.json {
        terminal.data_json(&report)?;
    }
    print_report(&report, &dest, args, terminal);
    Ok(Exit::Done)
}

impl ImportArgs {
    fn options(&self) -> ImportOptions {
        ImportOptions {
            lengths: self.lengths.clone().map(|path| ArrayRef { path, tensor: None }),
            precision: self.precision.map(Precision::from),
            source: self.matrix.display().to_string(),
            missing: MissingRows {
                zeros: self.missing.contains(&Missing::Zeros),
                nan: self.missing.contains(&Missing::Nan),
            },
            shared: match self.shared_rows {
                None => SharedRows::Warn,
                Some(SharedRule::Keep) => SharedRows::Keep,
                Some(SharedRule::Missing) => SharedRows::Missing,
            },
            strict: self.strict,
        }
    }
}

fn print_report(report: &ImportReport, dest: &Path, args: &ImportArgs, terminal: &Terminal) {
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
    let mut read = format!("ids: {} read as {}", args.ids.display(), report.ids.format);
    if let Some(column) = &report.ids.column {
        let how = if report.ids.guessed { " (guessed; --id-column names another)" } else { "" };
        read += &format!(", column `{column}`{how}");
    }
    terminal.say(read);
    if report.missing_shared > 0 {
        terminal.say(format!("{} items count as missing for a row that others share", report.missing_shared));
    }
    for (count, what) in
        [(report.missing_zeros, "zeros"), (report.missing_nan, "values that are not a number")]
    {
        if count > 0 {
            terminal.say(format!("{count} items count as missing for rows of {what}"));
        }
    }
    for warning in &report.warnings {
        terminal.warn(warning);
    }
}
