//! One line of Amazon metadata, layout of 2018 (and 2014) or 2023.

use serde::Deserialize;
use serde_json::Value;

use super::RawItem;
use super::error::Fault;
use super::jsonl::Text;
use super::value::{id, join};

/// The fields that are used. Most are a string in one layout and a list in another.
#[derive(Deserialize)]
pub(super) struct JsonItem<'a> {
    #[serde(borrow, default)]
    asin: Text<'a>,
    #[serde(borrow, default)]
    parent_asin: Text<'a>,
    #[serde(default)]
    title: Value,
    #[serde(default)]
    brand: Value,
    #[serde(default)]
    feature: Value,
    #[serde(default)]
    features: Value,
    #[serde(default)]
    description: Value,
    #[serde(default)]
    main_category: Value,
    #[serde(default)]
    category: Value,
    #[serde(default)]
    categories: Value,
    #[serde(default, rename = "imageURLHighRes")]
    image_url_high_res: Value,
    #[serde(default, rename = "imageURL")]
    image_url: Value,
    #[serde(default, rename = "imUrl")]
    im_url: Value,
    #[serde(default)]
    images: Value,
}

impl JsonItem<'_> {
    pub fn into_item(self) -> Result<RawItem, Fault> {
        let (own, name) = match self.parent_asin.0.as_ref() {
            "" => (self.asin.0.as_ref(), "asin"),
            parent => (parent, "parent_asin"),
        };
        let mut item = RawItem { id: id(own, name)?.to_owned(), ..RawItem::default() };
        flatten(&self.title, " ", &mut item.title);
        for part in [&self.brand, &self.feature, &self.features, &self.description] {
            flatten(part, " ", &mut item.text);
        }
        for names in [&self.main_category, &self.category, &self.categories] {
            if item.category.is_empty() {
                flatten(names, "|", &mut item.category);
            }
        }
        let urls = [&self.image_url_high_res, &self.image_url, &self.im_url];
        let url = urls.into_iter().find_map(first_text).or_else(|| image_of_2023(&self.images));
        url.unwrap_or_default().trim().clone_into(&mut item.image);
        Ok(item)
    }
}

/// Joins a string, or all strings of nested lists.
fn flatten(value: &Value, separator: &str, out: &mut String) {
    match value {
        Value::String(text) => join(out, separator, text),
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, separator, out)),
        _ => {}
    }
}

/// A string, or the first string of a list, that isn't empty.
fn first_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Array(parts) => parts.iter().find_map(first_text),
        _ => None,
    }
}

/// `large` is what every picture has; `hi_res` is null for many. The main picture comes before variants.
fn image_of_2023(images: &Value) -> Option<&str> {
    let images = images.as_array()?;
    let is_main = |image: &&Value| image.get("variant").and_then(Value::as_str) == Some("MAIN");
    let ordered = images.iter().filter(is_main).chain(images);
    ordered.flat_map(|image| ["large", "hi_res"].map(|size| image.get(size))).flatten().find_map(first_text)
}
