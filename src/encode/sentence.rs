//! The modules of a sentence-transformers folder: `modules.json` and the files that it names.
//!
//! They are applied as by sentence-transformers 6.2; older releases use other keys. Anything unsupported is refused by
//! name, since features without it would be plausible but wrong.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

mod tokens;

use super::EncodeError;
use super::error::malformed;
use super::families::Modality;
use super::files::optional;
use super::head::{Head, unknown};
use super::pool::{Pool, Pools};
use super::recipe::Recipe;
pub(super) use tokens::SETTINGS;
use tokens::{calls, handed, max_tokens, number, settings};

/// The list of modules.
pub(super) const MODULES: &str = "modules.json";
/// The file of prompts.
pub(super) const PROMPTS: &str = "config_sentence_transformers.json";
/// Pooling flags of releases before 6, in the order of concatenation.
const FLAGS: [(&str, Pool); 6] = [
    ("pooling_mode_cls_token", Pool::Cls),
    ("pooling_mode_max_tokens", Pool::Max),
    ("pooling_mode_mean_tokens", Pool::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", Pool::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", Pool::WeightedMean),
    ("pooling_mode_lasttoken", Pool::Last),
];
/// A folder's modules.
#[derive(Debug)]
pub(super) struct Sentence {
    /// The folder of the transformer and its tokenizer.
    pub transformer: PathBuf,
    /// Pooling of its states; absent if the transformer gives a vector itself, as CLIP does.
    pub pools: Option<Pools>,
    /// Whether the prompt's tokens are pooled.
    pub include_prompt: bool,
    /// Prompt before every text.
    pub prompt: String,
    /// Whether texts are lowercased before tokenisation.
    pub lowercase: bool,
    /// Settings that override the tokenizer's own.
    pub tokenizer: Map<String, Value>,
    /// Longest text in tokens, special ones included; absent if unbounded.
    pub max_tokens: Option<usize>,
    /// Modules after the pooling: kind and folder.
    further: Vec<(Kind, PathBuf)>,
    /// Number of values of the last vector that are kept.
    truncate: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Transformer,
    /// CLIP's class before release 5.4.
    Clip,
    Pooling,
    Dense,
    Norm,
    Normalize,
    Dropout,
}

impl Kind {
    /// Whether the module requires its `config.json`.
    fn needs_config(self) -> bool {
        matches!(self, Self::Pooling | Self::Dense | Self::Norm)
    }
}

impl Sentence {
    /// Reads the folder, if it is one of sentence-transformers. With `whole`, pooling and the modules after it are
    /// read; else only the transformer's settings, and the rest need not be supported. `default_prompt` also reads the
    /// folder's prompt.
    ///
    /// # Errors
    /// A file is damaged, or requires something unsupported.
    pub fn open(
        folder: &Path,
        modality: Modality,
        whole: bool,
        default_prompt: bool,
    ) -> Result<Option<Self>, EncodeError> {
        let path = folder.join(MODULES);
        let Some(list) = optional(&path)? else { return Ok(None) };
        let Some([first, rest @ ..]) = list.as_array().map(Vec::as_slice) else {
            return Err(malformed(&path, "it lists no modules"));
        };
        let first_kind = kind(&path, first)?;
        if !matches!(first_kind, Kind::Transformer | Kind::Clip) {
            return Err(unknown(&path, format!("a {first_kind:?} module stands first, no Transformer")));
        }
        let transformer = place(folder, &path, first)?;
        let settings = settings(&transformer)?;
        let tokenizer = handed(&settings)?;
        let calls = calls(&settings, modality)?;
        let (prompt, truncate) = prompt(&folder.join(PROMPTS), default_prompt)?;
        let mut sentence = Self {
            pools: None,
            include_prompt: true,
            prompt,
            lowercase: settings.1.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false),
            max_tokens: calls
                .map_or_else(|| max_tokens(&transformer, &settings.1, &tokenizer), |n| Ok(Some(n)))?,
            tokenizer,
            // Scaling to unit length does not depend on earlier modules.
            further: rest
                .iter()
                .filter(|module| matches!(kind(&path, module), Ok(Kind::Normalize)))
                .map(|module| Ok((Kind::Normalize, place(folder, &path, module)?)))
                .collect::<Result<_, EncodeError>>()?,
            transformer,
            truncate: truncate.filter(|_| whole),
        };
        if whole {
            let mut modules = Vec::new();
            for module in rest {
                modules.push((kind(&path, module)?, place(folder, &path, module)?));
            }
            sentence.read_modules(&path, modules, gives_vector(first_kind, &settings, modality)?)?;
        }
        Ok(Some(sentence))
    }

    fn read_modules(
        &mut self,
        path: &Path,
        mut modules: Vec<(Kind, PathBuf)>,
        vector: bool,
    ) -> Result<(), EncodeError> {
        let pooling = modules.first().is_some_and(|(kind, _)| *kind == Kind::Pooling);
        if vector == pooling {
            let what = if vector {
                "its transformer gives a vector, yet a Pooling module follows"
            } else {
                "its transformer gives token states, and no Pooling module follows"
            };
            return Err(unknown(path, what.into()));
        }
        if pooling {
            let (_, dir) = modules.remove(0);
            let (pools, include) = pooling_of(&dir.join("config.json"))?;
            (self.pools, self.include_prompt) = (Some(pools), include);
        }
        let misplaced = |kind: &Kind| matches!(kind, Kind::Transformer | Kind::Clip | Kind::Pooling);
        if let Some((kind, _)) = modules.iter().find(|(kind, _)| misplaced(kind)) {
            return Err(unknown(path, format!("a further {kind:?} module is not supported")));
        }
        self.further = modules;
        Ok(())
    }

    /// Restores the choices of a store's recipe where they differ from today's reading of the files, so that later
    /// items are encoded like the earlier ones.
    pub fn restore_choices(&mut self, recipe: &Recipe) {
        self.prompt = recipe.prompt.clone().unwrap_or_default();
        self.lowercase = recipe.lowercase;
        self.max_tokens = recipe.max_tokens.or(self.max_tokens);
        if recipe.modules.is_empty() {
            self.pools.clone_from(&recipe.output.pool);
            self.include_prompt = recipe.output.skip == 0;
            self.further.truncate(0);
            self.truncate = None;
            if recipe.output.unit {
                self.further.push((Kind::Normalize, self.transformer.clone()));
            }
        }
    }

    /// Reads the modules after the pooling.
    ///
    /// # Errors
    /// A module is damaged or unsupported.
    pub fn head(&self) -> Result<Head, EncodeError> {
        let mut head = Head::default();
        for (kind, dir) in &self.further {
            let path = dir.join("config.json");
            let config =
                if kind.needs_config() { required(&path)? } else { optional(&path)?.unwrap_or_default() };
            for key in ["module_input_name", "module_output_name"] {
                let name = config.get(key).and_then(Value::as_str).unwrap_or("sentence_embedding");
                if name != "sentence_embedding" {
                    return Err(unknown(&path, format!("{kind:?} with {key} {name:?} is not supported")));
                }
            }
            match kind {
                Kind::Dense => head.push_dense(dir, &config)?,
                Kind::Norm => head.push_norm(dir, &config)?,
                Kind::Normalize => head.push_unit(),
                // Without effect outside of training.
                Kind::Dropout | Kind::Transformer | Kind::Clip | Kind::Pooling => {}
            }
        }
        if let Some(width) = self.truncate {
            head.push_truncation(width);
        }
        Ok(head)
    }
}

/// The kind of a module, by its class.
fn kind(path: &Path, module: &Value) -> Result<Kind, EncodeError> {
    let name = module.get("type").and_then(Value::as_str).unwrap_or("");
    // Packages have moved between releases, the names of classes have not.
    let class = name.strip_prefix("sentence_transformers.").and_then(|rest| rest.rsplit('.').next());
    Ok(match class {
        Some("Transformer") => Kind::Transformer,
        Some("CLIPModel") => Kind::Clip,
        Some("Pooling") => Kind::Pooling,
        Some("Dense") => Kind::Dense,
        Some("LayerNorm") => Kind::Norm,
        Some("Normalize") => Kind::Normalize,
        Some("Dropout") => Kind::Dropout,
        _ => return Err(unknown(path, format!("module {name:?} is not supported"))),
    })
}

/// The folder of a module inside the encoder's.
fn place(folder: &Path, path: &Path, module: &Value) -> Result<PathBuf, EncodeError> {
    let inner = inner_place(path, module)?;
    Ok(if inner.is_empty() { folder.to_owned() } else { folder.join(inner) })
}

/// The module's path within the encoder's folder; empty for the folder itself.
fn inner_place<'v>(path: &Path, module: &'v Value) -> Result<&'v str, EncodeError> {
    let inner = module.get("path").and_then(Value::as_str).unwrap_or("").trim_end_matches('/');
    if Path::new(inner).components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(inner);
    }
    Err(malformed(path, format!("the module path {inner:?} leads out of the folder")))
}

/// A module's path within the folder of its list, and whether it requires its `config.json`.
pub(super) struct Place {
    pub inner: String,
    pub needs_config: bool,
}

/// The places of all modules in the list at `path`.
///
/// # Errors
/// It is not a list of at most `most` modules, or one lies outside the folder.
pub(super) fn places(path: &Path, most: usize) -> Result<Vec<Place>, EncodeError> {
    let list = optional(path)?.unwrap_or_default();
    let Some(list) = list.as_array().filter(|list| list.len() <= most) else {
        return Err(malformed(path, format!("not a list of at most {most} modules")));
    };
    let place = |module: &Value| {
        let inner = inner_place(path, module)?.to_owned();
        // Unknown modules are refused when the encoder is opened.
        Ok(Place { inner, needs_config: kind(path, module).is_ok_and(Kind::needs_config) })
    };
    list.iter().map(place).collect()
}

/// Reads a required file of a module.
fn required(path: &Path) -> Result<Value, EncodeError> {
    optional(path)?.ok_or_else(|| EncodeError::Unsupported {
        path: path.to_owned(),
        what: format!("{MODULES} names this module, and the file is missing"),
        hint: "the folder is incomplete: download it again, or name a --pool to have the encoder without its modules"
            .into(),
    })
}

/// Whether the transformer gives a vector by itself instead of token states.
fn gives_vector(
    first: Kind,
    (path, settings): &(PathBuf, Value),
    modality: Modality,
) -> Result<bool, EncodeError> {
    let task = settings.get("transformer_task").and_then(Value::as_str).unwrap_or("feature-extraction");
    if task != "feature-extraction" {
        return Err(unknown(path, format!("transformer_task {task:?} is not supported")));
    }
    let Some(modalities) = settings.get("modality_config").filter(|v| !v.is_null()) else {
        return Ok(first == Kind::Clip);
    };
    let Some(way) = modalities.get(modality.name()) else {
        let known: Vec<&String> = modalities.as_object().map(|m| m.keys().collect()).unwrap_or_default();
        return Err(unknown(path, format!("its modality_config has {known:?} and no {:?}", modality.name())));
    };
    let output = settings.get("module_output_name").and_then(Value::as_str).unwrap_or("");
    let method = way.get("method").and_then(Value::as_str).unwrap_or("");
    let method_output = way.get("method_output_name").and_then(Value::as_str).unwrap_or("");
    match (output, method, method_output) {
        ("token_embeddings", "forward", "last_hidden_state") => Ok(false),
        ("sentence_embedding", "get_text_features" | "get_image_features", "" | "pooler_output") => Ok(true),
        _ => Err(unknown(path, format!("module_output_name {output:?} by {way} is not supported"))),
    }
}

/// The modes of a Pooling module, and whether a prompt's tokens are pooled.
pub(super) fn pooling_of(path: &Path) -> Result<(Pools, bool), EncodeError> {
    let config = required(path)?;
    let refused =
        |what: String| EncodeError::Unsupported { path: path.to_owned(), what, hint: "name a --pool".into() };
    let named = |value: &Value| {
        let pool = value.as_str().and_then(Pool::named);
        pool.ok_or_else(|| refused(format!("pooling_mode {value} is not supported")))
    };
    let flag = |key: &str, default: bool| match config.get(key) {
        None => Ok(default),
        Some(Value::Bool(enabled)) => Ok(*enabled),
        Some(other) => Err(refused(format!("{key} {other} is neither true nor false"))),
    };
    let modes =
        config.as_object().into_iter().flat_map(Map::keys).filter(|key| key.starts_with("pooling_mode_"));
    for key in modes {
        if !FLAGS.iter().any(|(known, _)| known == key) {
            return Err(refused(format!("{key} is not supported")));
        }
    }
    let include = flag("include_prompt", true)?;
    let modes = match config.get("pooling_mode") {
        Some(Value::Array(list)) => list.iter().map(named).collect::<Result<_, _>>()?,
        Some(one) => vec![named(one)?],
        None => {
            let mut enabled = Vec::new();
            for (key, pool) in FLAGS {
                if flag(key, false)? {
                    enabled.push(pool);
                }
            }
            if enabled.is_empty() { vec![Pool::Mean] } else { enabled }
        }
    };
    let pools = Pools::several(modes).ok_or_else(|| malformed(path, "pooling_mode is an empty list"))?;
    Ok((pools, include))
}

/// The default prompt, if requested, and the number of values of a vector that are kept.
fn prompt(path: &Path, asked: bool) -> Result<(String, Option<usize>), EncodeError> {
    let config = optional(path)?.unwrap_or_default();
    if let Some(kind) = config.get("model_type").and_then(Value::as_str)
        && kind != "SentenceTransformer"
    {
        return Err(EncodeError::Unsupported {
            path: path.to_owned(),
            what: format!("a model of type {kind:?} is not supported"),
            hint: "choose an encoder of type SentenceTransformer, or encode outside and use `codistill features \
                   import`"
                .into(),
        });
    }
    let truncate = number(config.get("truncate_dim"));
    let Some(name) = config.get("default_prompt_name").and_then(Value::as_str).filter(|_| asked) else {
        return Ok((String::new(), truncate));
    };
    let prompt = match config.get("prompts").and_then(|prompts| prompts.get(name)) {
        Some(Value::String(prompt)) => prompt.clone(),
        Some(Value::Null) => String::new(),
        // The library accepts these two without a text.
        None if matches!(name, "query" | "document") => String::new(),
        _ => {
            return Err(EncodeError::Unsupported {
                path: path.to_owned(),
                what: format!("default_prompt_name is {name:?}, which prompts does not hold"),
                hint: "--prompt TEXT says what stands before every text; --prompt '' leaves it out".into(),
            });
        }
    };
    Ok((prompt, truncate))
}
