//! Download of encoders by hub name, once into a cache.
//!
//! Routes are those of the Hugging Face hub, `BASE/REPO/resolve/REVISION/FILE`; `HF_ENDPOINT` sets another base.
//! `Cargo.toml` says why the hub's own crate is not used.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::EncodeError;
use super::error::io_error;
use super::{sentence, weights};
use crate::hex::hex;

const BASE: &str = "https://huggingface.co";
/// Small files in addition to `config.json`; most models have only some of them.
const SMALL: [&str; 5] = [
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
];
/// Largest file of weights, in bytes.
const MOST_WEIGHTS: u64 = 20 << 30;
const MOST_OTHER: u64 = 100 << 20;
/// Most modules of a list.
const MOST_MODULES: usize = 32;
/// Marker of a complete download. Its number grows when further files belong to one, so that older downloads are
/// completed without fetching existing files again.
const DONE: &str = ".complete-2";

/// The hub and the cache folder.
#[derive(Clone, Debug)]
pub struct Hub {
    pub base: String,
    pub cache: PathBuf,
    /// Token for repositories that are not public. It is sent to `base` alone.
    pub token: Option<String>,
}

impl Hub {
    /// The hub, cache folder and token of the environment: `HF_ENDPOINT`, `CODISTILL_CACHE`, `XDG_CACHE_HOME`,
    /// `HF_TOKEN`, and the token file of the hub's own tools (`HF_TOKEN_PATH`, below `HF_HOME`).
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let base = variable("HF_ENDPOINT").unwrap_or_else(|| BASE.to_owned());
        let cache = variable("CODISTILL_CACHE").map_or_else(
            || {
                let home = || PathBuf::from(variable("HOME").unwrap_or_else(|| ".".into())).join(".cache");
                variable("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("codistill")
            },
            PathBuf::from,
        );
        let hub_home = variable("HF_HOME").map(PathBuf::from);
        let hub_home = hub_home.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache/huggingface")));
        let kept = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(hub_home?.join("token")));
        let token = variable("HF_TOKEN").or_else(|| fs::read_to_string(kept?).ok());
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        Self { base: base.trim_end_matches('/').to_owned(), cache, token }
    }

    /// The folder of `name` (`owner/model` or `owner/model@revision`), downloaded if it is not cached. What was downloaded
    /// once is not asked for again, `main` included, so that an encoder stays what it was. `on_download` is called for
    /// every file with its name, bytes so far, and bytes in total if known.
    ///
    /// # Errors
    /// The name is invalid, the hub can't be reached or lacks a required file, or a file is cut short.
    pub fn folder(
        &self,
        name: &str,
        on_download: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<PathBuf, EncodeError> {
        let (repo, revision) = name.split_once('@').unwrap_or((name, "main"));
        if !is_name(repo) || !revision.split('/').all(is_part) {
            return Err(EncodeError::NoEncoder(name.to_owned()));
        }
        // A revision is one part of the address, and one folder of the cache, also where its name has slashes.
        let revision = &revision.replace('/', "%2F");
        let folder = self.cache.join("hub").join(repo.replace('/', "--")).join(revision);
        if folder.join(DONE).exists() {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let mut files = Files { hub: self, repo, revision, folder: &folder, on_download };
        let (transformer, modules) = files.modules()?;
        files.needed(&format!("{transformer}config.json"))?;
        for file in SMALL {
            files.get(&format!("{transformer}{file}"))?;
        }
        for module in &modules {
            let config = format!("{}config.json", prefix(&module.inner));
            if module.needs_config {
                files.needed(&config)?;
            } else {
                files.get(&config)?;
            }
            files.get(&format!("{}{}", prefix(&module.inner), weights::FILE))?;
        }
        files.weights(&transformer)?;
        let done = folder.join(DONE);
        fs::write(&done, b"").map_err(io_error(&done))?;
        Ok(folder)
    }

    /// Downloads a file under a temporary name and renames it when complete.
    fn fetch(
        &self,
        url: &str,
        dest: &Path,
        file: &str,
        on_download: &mut dyn FnMut(&str, u64, Option<u64>),
    ) -> Result<(), EncodeError> {
        if dest.exists() {
            return Ok(());
        }
        if let Some(parent) = dest.parent() {
            fs::create_dir_all(parent).map_err(io_error(parent))?;
        }
        let failed = |reason: String, status| EncodeError::Download { url: url.to_owned(), reason, status };
        let mut response = self.request(url)?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let length = header("content-length").and_then(|n| n.parse::<u64>().ok());
        // The tag of a large file is its SHA-256; that of a small one is another hash, which is ignored.
        let tag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
        let tag = tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
        let sha256 = Some(tag).filter(|t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_hexdigit()));
        let most = if file.ends_with(".safetensors") { MOST_WEIGHTS } else { MOST_OTHER };
        if length.is_some_and(|n| n > most) {
            return Err(failed(format!("{} bytes, at most {most} are taken", length.unwrap_or(0)), None));
        }
        let parent = dest.parent().unwrap_or(Path::new("."));
        let mut out = crate::artefact::scratch(0o666).tempfile_in(parent).map_err(io_error(dest))?;
        let mut body = response.body_mut().with_config().limit(most + 1).reader();
        let (mut done, mut hasher, mut buffer) = (0u64, Sha256::new(), vec![0u8; 1 << 18]);
        loop {
            let n = body.read(&mut buffer).map_err(|e| failed(e.to_string(), None))?;
            if n == 0 {
                break;
            }
            done += n as u64;
            hasher.update(&buffer[..n]);
            out.write_all(&buffer[..n]).map_err(io_error(dest))?;
            on_download(file, done, length);
        }
        if length.is_some_and(|n| n != done) || done > most {
            return Err(failed(format!("cut short or too long at {done} bytes"), None));
        }
        let found = hex(hasher.finalize());
        if sha256.is_some_and(|wanted| wanted != found) {
            return Err(failed("the file differs from its SHA-256".into(), None));
        }
        out.as_file().sync_all().map_err(io_error(dest))?;
        out.persist(dest).map_err(|e| io_error(dest)(e.error))?;
        Ok(())
    }

    /// Requests a file, with the token if there is one.
    fn request(&self, url: &str) -> Result<ureq::http::Response<ureq::Body>, EncodeError> {
        let failed = |reason: String, status| EncodeError::Download { url: url.to_owned(), reason, status };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .user_agent(concat!("codistill/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let mut request = agent.get(url);
        if let Some(token) = &self.token {
            // ureq drops the header when the hub redirects to another host.
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|e| match e {
            ureq::Error::StatusCode(404) => failed("not found".into(), Some(404)),
            ureq::Error::StatusCode(status @ (401 | 403)) => {
                let cause =
                    if self.token.is_some() { "the token does not open it" } else { "not a public one" };
                failed(format!("refused with status {status}: no such repository, or {cause}"), Some(status))
            }
            other => failed(other.to_string(), None),
        })
    }
}

/// Download of a model's files to `folder`.
struct Files<'a> {
    hub: &'a Hub,
    repo: &'a str,
    revision: &'a str,
    folder: &'a Path,
    on_download: &'a mut dyn FnMut(&str, u64, Option<u64>),
}

impl Files<'_> {
    fn url(&self, file: &str) -> String {
        format!("{}/{}/resolve/{}/{file}", self.hub.base, self.repo, self.revision)
    }

    /// Downloads a file. Returns false if the hub has none of this name.
    fn get(&mut self, file: &str) -> Result<bool, EncodeError> {
        match self.hub.fetch(&self.url(file), &self.folder.join(file), file, self.on_download) {
            Ok(()) => Ok(true),
            Err(EncodeError::Download { status: Some(404), .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Downloads a required file.
    fn needed(&mut self, file: &str) -> Result<(), EncodeError> {
        if self.get(file)? { Ok(()) } else { Err(self.missing(file)) }
    }

    fn missing(&self, file: &str) -> EncodeError {
        EncodeError::Download { url: self.url(file), reason: "not found".into(), status: Some(404) }
    }

    /// The path prefix of the transformer's files, and the further modules with a folder.
    fn modules(&mut self) -> Result<(String, Vec<sentence::Place>), EncodeError> {
        if !self.get(sentence::MODULES)? {
            return Ok((String::new(), Vec::new()));
        }
        self.get(sentence::PROMPTS)?;
        let places = sentence::places(&self.folder.join(sentence::MODULES), MOST_MODULES)?;
        let transformer = places.first().map(|place| prefix(&place.inner)).unwrap_or_default();
        for file in sentence::SETTINGS {
            if self.get(&format!("{transformer}{file}"))? {
                break;
            }
        }
        let modules = places.into_iter().skip(1).filter(|place| !place.inner.is_empty()).collect();
        Ok((transformer, modules))
    }

    /// Downloads the transformer's weights, from one file or several that an index lists.
    fn weights(&mut self, transformer: &str) -> Result<(), EncodeError> {
        let single = format!("{transformer}{}", weights::FILE);
        if self.get(&single)? {
            return Ok(());
        }
        if !self.get(&format!("{transformer}{}", weights::INDEX))? {
            return Err(self.missing(&single));
        }
        for path in weights::files(&self.folder.join(transformer))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            self.needed(&format!("{transformer}{name}"))?;
        }
        Ok(())
    }
}

/// Path prefix of the files in the folder `inner` of a repository.
fn prefix(inner: &str) -> String {
    if inner.is_empty() { String::new() } else { format!("{inner}/") }
}

/// Whether `name` has the form of a hub name: `owner/model`.
pub fn is_name(name: &str) -> bool {
    let repo = name.split('@').next().unwrap_or("");
    repo.split_once('/').is_some_and(|(owner, model)| is_part(owner) && is_part(model))
}

/// Whether `part` is a valid part of a name, which can't lead out of the cache.
fn is_part(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() < 100 && part.chars().all(plain) && !part.starts_with('.')
}
