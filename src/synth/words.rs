//! Titles and texts whose words depend on the text latent.
//!
//! Every signed coordinate of the latent has a few words of its own, which occur in texts of items with a large value
//! there. A text encoder, or plain word counts, can recover the signal.

use super::catalogue::strongest;
use super::draws::Draws;

/// Number of words of each signed coordinate.
const WORDS_PER_THEME: usize = 6;
/// Number of words without meaning.
const FILLERS: usize = 60;
/// Number of words of a text after its title.
const TEXT_WORDS: usize = 10;
/// Preference of a text for the item's large coordinates.
const SHARPNESS: f32 = 2.0;

const CONSONANTS: &[u8] = b"bdfgklmnprstvwz";
const VOWELS: &[u8] = b"aeiou";

pub(super) struct Written {
    pub title: String,
    /// The text, which begins with the title.
    pub text: String,
    /// The category: the first word of the largest coordinate.
    pub category: String,
}

/// Writes title, text and category of an item with this text latent. `fillers` is the share of words without meaning.
pub(super) fn write(latent: &[f32], fillers: f64, draws: &mut Draws) -> Written {
    let themes = 2 * latent.len();
    let filler = |draws: &mut Draws| word(themes * WORDS_PER_THEME + draws.integer(FILLERS));
    let telling =
        |theme: usize, draws: &mut Draws| word(theme * WORDS_PER_THEME + draws.integer(WORDS_PER_THEME));

    let strong = strongest(latent) as usize;
    let title = format!(
        "{} {} {}",
        capital(&telling(strong, draws)),
        telling(draw_theme(latent, draws), draws),
        capital(&filler(draws))
    );
    let mut text = format!("{title}.");
    for _ in 0..TEXT_WORDS {
        let next =
            if draws.chance(fillers) { filler(draws) } else { telling(draw_theme(latent, draws), draws) };
        text.push(' ');
        text.push_str(&next);
    }
    Written { title, text, category: capital(&word(strong * WORDS_PER_THEME)) }
}

/// Draws a signed coordinate, more often a large one.
fn draw_theme(latent: &[f32], draws: &mut Draws) -> usize {
    let top = latent.iter().fold(0.0f32, |m, z| m.max(z.abs()));
    let weights: Vec<f32> = latent.iter().map(|z| (SHARPNESS * (z.abs() - top)).exp()).collect();
    let mut left = draws.uniform() as f32 * weights.iter().sum::<f32>();
    let mut chosen = latent.len() - 1;
    for (k, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            chosen = k;
            break;
        }
    }
    2 * chosen + usize::from(latent[chosen] < 0.0)
}

/// The word with this number: three syllables or more, unique.
fn word(number: usize) -> String {
    let syllables = CONSONANTS.len() * VOWELS.len();
    let period = syllables.pow(3);
    // The factor is coprime to the period (3^3 · 5^6), so that numbers below it stay distinct, and neighbouring numbers
    // differ in their words.
    let mut code = (number % period) * 99_991 % period;
    let mut text = String::new();
    let mut rest = number / period;
    for _ in 0..3 {
        push_syllable(&mut text, code % syllables);
        code /= syllables;
    }
    while rest > 0 {
        push_syllable(&mut text, rest % syllables);
        rest /= syllables;
    }
    text
}

fn push_syllable(text: &mut String, number: usize) {
    text.push(char::from(CONSONANTS[number / VOWELS.len()]));
    text.push(char::from(VOWELS[number % VOWELS.len()]));
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn different_numbers_make_different_words() {
        let words: HashSet<String> = (0..20_000).map(word).collect();
        assert_eq!(words.len(), 20_000);
    }
}
