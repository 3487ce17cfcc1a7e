//! Choices of the configuration as values of options.

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use codistill::config::section::Word;

/// Reads one of `words`; the help lists them with what they mean.
pub(super) fn one_of<T>(words: &'static [Word]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    let value =
        |word: &Word| PossibleValue::new(word.word).help(word.about().trim_end_matches('.').to_owned());
    PossibleValuesParser::new(words.iter().map(value)).try_map(|word| word.parse::<T>())
}
