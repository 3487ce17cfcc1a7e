//! Byte pair encoding: the pair of neighbours that was learnt first is merged first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde_json::Value;

use super::wordpiece::vocabulary;
use super::{Source, flag};
use crate::encode::EncodeError;
use crate::encode::error::malformed;

#[derive(Debug)]
pub(super) struct Bpe {
    ids: HashMap<String, u32>,
    /// (left, right) to (rank, merged).
    merges: HashMap<(u32, u32), (u32, u32)>,
    suffix: String,
    unknown: Option<u32>,
}

impl Bpe {
    pub fn parse(source: &Source, model: &Value) -> Result<Self, EncodeError> {
        for key in ["byte_fallback", "ignore_merges"] {
            if flag(model, key, false) {
                return Err(source.lacks("model", &serde_json::json!({ key: true })));
            }
        }
        let text = |key: &str| model.get(key).and_then(Value::as_str).unwrap_or("");
        if !text("continuing_subword_prefix").is_empty() {
            return Err(
                source.lacks("model with continuing_subword_prefix", &model["continuing_subword_prefix"])
            );
        }
        let ids = vocabulary(source, model)?;
        let mut merges = HashMap::new();
        for (rank, merge) in model.get("merges").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let wrong = || malformed(source.0, format!("merge {rank} is not a pair of tokens: {merge}"));
            let (left, right) = match merge {
                Value::String(pair) => pair.split_once(' ').ok_or_else(wrong)?,
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(left), Value::String(right)] => (left.as_str(), right.as_str()),
                    _ => return Err(wrong()),
                },
                _ => return Err(wrong()),
            };
            let id = |token: &str| ids.get(token).copied().ok_or_else(wrong);
            let merged = id(&format!("{left}{right}"))?;
            merges.insert((id(left)?, id(right)?), (rank as u32, merged));
        }
        let unknown = ids.get(text("unk_token")).copied();
        let suffix = text("end_of_word_suffix").to_owned();
        Ok(Self { ids, merges, suffix, unknown })
    }

    pub fn largest(&self) -> u32 {
        self.ids.values().copied().max().unwrap_or(0)
    }

    pub fn encode(&self, word: &str, out: &mut Vec<u32>) {
        let last = word.chars().count().saturating_sub(1);
        let mut symbols: Vec<u32> = Vec::with_capacity(last + 1);
        for (n, c) in word.chars().enumerate() {
            let mut symbol = c.to_string();
            if n == last {
                symbol.push_str(&self.suffix);
            }
            symbols.extend(self.ids.get(&symbol).copied().or(self.unknown));
        }
        out.extend(self.merge(symbols));
    }

    /// Merges with a queue of candidates over a linked list: a word as long as the text stays cheap.
    fn merge(&self, mut symbols: Vec<u32>) -> Vec<u32> {
        let count = symbols.len();
        // Neighbours by place; `count` is none. A symbol that was merged into its left one is dead.
        let mut next: Vec<usize> = (1..=count).collect();
        let mut before: Vec<usize> = (0..count).map(|n| n.checked_sub(1).unwrap_or(count)).collect();
        let mut dead = vec![false; count];
        let mut queue = BinaryHeap::new();
        let candidate = |symbols: &[u32], left: usize, right: usize| {
            let pair = (symbols[left], symbols[right]);
            let &(rank, merged) = self.merges.get(&pair)?;
            Some(Reverse((rank, left, right, pair, merged)))
        };
        queue.extend((1..count).filter_map(|right| candidate(&symbols, right - 1, right)));
        while let Some(Reverse((_, left, right, pair, merged))) = queue.pop() {
            let stale = dead[left] || dead[right] || next[left] != right;
            if stale || (symbols[left], symbols[right]) != pair {
                continue;
            }
            symbols[left] = merged;
            dead[right] = true;
            next[left] = next[right];
            if next[left] < count {
                before[next[left]] = left;
                queue.extend(candidate(&symbols, left, next[left]));
            }
            if before[left] < count {
                queue.extend(candidate(&symbols, before[left], left));
            }
        }
        symbols.into_iter().zip(dead).filter(|(_, dead)| !dead).map(|(symbol, _)| symbol).collect()
    }
}
