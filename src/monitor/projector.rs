//! The files of TensorBoard's projector: vectors and metadata as tables, and their list.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::Sprite;
use crate::artefact::{ArtefactError, io_error, write_atomic};

/// Named vectors, rendered for the projector.
pub(super) struct Embedding {
    name: String,
    tensor: String,
    metadata: String,
    sprite: Option<Arc<Sprite>>,
}

impl Embedding {
    /// Renders both tables; `None` if the sizes of vectors and rows don't agree.
    pub(super) fn new(
        name: &str,
        vectors: &[f32],
        width: usize,
        header: &[&str],
        rows: &[Vec<String>],
        sprite: Option<Arc<Sprite>>,
    ) -> Option<Self> {
        let fits =
            width > 0 && vectors.len() == width * rows.len() && rows.iter().all(|r| r.len() == header.len());
        if !fits || header.is_empty() {
            return None;
        }
        let mut tensor = String::new();
        for vector in vectors.chunks_exact(width) {
            tensor.push_str(&vector.iter().map(f32::to_string).collect::<Vec<_>>().join("\t"));
            tensor.push('\n');
        }
        let mut metadata = String::new();
        // A table of one column must not have a header, which the projector would take for a row.
        if header.len() > 1 {
            push_row(&mut metadata, header.iter().copied());
        }
        for row in rows {
            push_row(&mut metadata, row.iter().map(String::as_str));
        }
        Some(Self { name: name.to_owned(), tensor, metadata, sprite })
    }

    /// Writes both tables below `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<(), ArtefactError> {
        let folder = dir.join("projector");
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let file = file_name(&self.name);
        write_atomic(&folder.join(format!("{file}.tsv")), self.tensor.as_bytes())?;
        write_atomic(&folder.join(format!("{file}.metadata.tsv")), self.metadata.as_bytes())?;
        match &self.sprite {
            Some(sprite) => write_atomic(&folder.join(format!("{file}.sprite.png")), &sprite.png.bytes),
            None => Ok(()),
        }
    }

    /// Side of the vectors' pictures.
    pub(super) fn sprite_side(&self) -> Option<u32> {
        self.sprite.as_ref().map(|sprite| sprite.side)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Writes the list of embeddings, which TensorBoard expects in the folder of the event files.
pub(super) fn write_config(dir: &Path, embeddings: &[(String, Option<u32>)]) -> Result<(), ArtefactError> {
    let mut text = String::new();
    for (name, side) in embeddings {
        let file = file_name(name);
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "embeddings {{\n  tensor_name: \"{quoted}\"\n  tensor_path: \"projector/{file}.tsv\"\n  \
             metadata_path: \"projector/{file}.metadata.tsv\""
        );
        if let Some(side) = side {
            let _ = writeln!(
                text,
                "  sprite {{\n    image_path: \"projector/{file}.sprite.png\"\n    \
                 single_image_dim: {side}\n    single_image_dim: {side}\n  }}"
            );
        }
        text.push_str("}\n");
    }
    write_atomic(&dir.join("projector_config.pbtxt"), text.as_bytes())
}

fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}

fn push_row<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>) {
    let cells: Vec<String> = cells.map(clean).collect();
    out.push_str(&cells.join("\t"));
    out.push('\n');
}

/// A cell without separators of cells and rows. An empty cell becomes a dash, since the projector skips empty lines and
/// would shift all rows below.
fn clean(cell: &str) -> String {
    let cell: String = cell
        .chars()
        .map(|c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { ' ' } else { c })
        .collect();
    let cell = cell.trim();
    if cell.is_empty() { "-".into() } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vectors_that_do_not_fit_their_rows_are_refused() {
        let rows = vec![vec!["a".to_owned()]];
        assert!(Embedding::new("x", &[1.0, 2.0], 2, &["title"], &rows, None).is_some());
        assert!(Embedding::new("x", &[1.0], 2, &["title"], &rows, None).is_none());
        assert!(Embedding::new("x", &[1.0, 2.0], 2, &["title", "id"], &rows, None).is_none());
        assert!(Embedding::new("x", &[], 0, &["title"], &[], None).is_none());
    }

    proptest! {
        #[test]
        fn any_title_stays_one_cell_in_one_row(titles in proptest::collection::vec(any::<String>(), 1..6)) {
            let rows: Vec<Vec<String>> = titles.iter().map(|t| vec![t.clone(), "7".into()]).collect();
            let vectors = vec![0.5; rows.len()];
            let embedding = Embedding::new("items", &vectors, 1, &["title", "id"], &rows, None).unwrap();
            let lines: Vec<&str> = embedding.metadata.lines().collect();
            prop_assert_eq!(lines.len(), rows.len() + 1);
            for line in lines {
                let cells: Vec<&str> = line.split('\t').collect();
                prop_assert_eq!(cells.len(), 2);
                prop_assert!(!cells[0].trim().is_empty());
            }
        }
    }
}
