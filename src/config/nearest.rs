//! The word that a misspelt one most likely meant.

/// The candidate that `word` most likely meant, if any is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1.max(word.chars().count() / 3);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .filter(|&(distance, candidate)| {
            let prefix = word.len() >= 3 && (candidate.starts_with(word) || word.starts_with(candidate));
            distance <= allowed || prefix
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_and_a_far_one_is_not_forced() {
        assert_eq!(nearest("widht", ["width", "dropout"].into_iter()), Some("width"));
        assert_eq!(nearest("Width", ["width", "dropout"].into_iter()), Some("width"));
        assert_eq!(nearest("zebra", ["width", "dropout"].into_iter()), None);
    }
}
