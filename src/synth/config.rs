//! Parameters of generated data, and their rules.

use crate::config::rules::{Checked, check_count, check_range, check_seed};
use crate::section;

/// Most users or items; numbers are u32 and random streams are split by them.
const MAX_COUNT: usize = 1 << 31;

section! {
    /// Generated data with planted truth, for a run without a data set of its own.
    ///
    /// The defaults give twelve training interactions per item: enough for an ID table to beat popularity, too few to
    /// learn what text and image tell.
    #[facts(Unlisted)]
    pub struct SynthConfig {
        /// Seed of all draws, up to 2⁶³ - 1.
        pub seed: u64 = 1,
        /// Users, from 1 to 2³¹.
        pub users: usize = 3000,
        /// Items, from 4 to 2³¹.
        pub items: usize = 2000,
        /// Shortest sequence of a user, both targets included, from 3 on.
        pub min_len: usize = 5,
        /// Longest sequence of a user, both targets included; less than the number of items that are not new.
        pub max_len: usize = 15,
        /// q: size of an item's text, image and collaborative latent vector each, from 1 to 256.
        pub latent: usize = 6,
        /// Weight of the text in what a user chooses next, from 0 to 20.
        pub w_text: f64 = 2.0,
        /// Weight of the image, from 0 to 20.
        pub w_image: f64 = 2.0,
        /// Weight of the collaborative signal, which no feature shows, from 0 to 20.
        pub w_collab: f64 = 0.5,
        /// Weight of repeating a theme of the user's last three items, from 0 to 20.
        pub w_repeat: f64 = 0.2,
        /// Exponent of an item's popularity (1 / its popularity rank) in what a user chooses next, from 0 to 4.
        pub popularity: f64 = 0.2,
        /// rho: correlation of an item's text and image latents, from -1 to 1.
        pub redundancy: f64 = 0.2,
        /// How far a user's preference moves per step, from 0 (never) to 1 (a new one each step).
        pub drift: f64 = 0.02,
        /// Share of items without text, from 0 to 1.
        pub missing_text: f64 = 0.05,
        /// Share of items without image, from 0 to 1.
        pub missing_image: f64 = 0.05,
        /// Share of items that occur as test targets only, from 0 to 0.9.
        pub new_items: f64 = 0.0,
        /// Share of interactions replaced by a uniform draw, from 0 to 1.
        pub label_noise: f64 = 0.02,
        /// Width of token features, from 1 to 65536.
        pub feature_width: usize = 32,
        /// Most tokens of a text, from 1 to 4096.
        pub text_tokens: usize = 8,
        /// Tokens of an image, from 1 to 4096.
        pub image_tokens: usize = 6,
        /// Standard deviation of the noise on a token's features, from 0 to 100.
        pub token_noise: f64 = 0.3,
        /// Share of tokens that tell nothing of their item, from 0 to 1.
        pub distractors: f64 = 0.25,
        /// A picture of each item is drawn as well.
        pub pictures: bool = false,
    }
}

impl SynthConfig {
    /// Checks every parameter, so that drawing can't fail.
    ///
    /// # Errors
    /// The first parameter out of its range.
    pub fn validate(&self) -> Checked {
        let key = |field: &str| format!("data.synth.{field}");
        check_seed(&key("seed"), self.seed)?;
        let whole = |field, value, low, high| check_count(&key(field), value, low..=high);
        whole("users", self.users, 1, MAX_COUNT)?;
        whole("items", self.items, 4, MAX_COUNT)?;
        check_range(&key("new_items"), self.new_items, 0.0..=0.9)?;
        // A user never takes an item twice, and brand-new items are on offer at the very end only.
        let new_items = (self.new_items * self.items as f64).round() as usize;
        whole("max_len", self.max_len, 3, self.items.saturating_sub(new_items + 1))?;
        whole("min_len", self.min_len, 3, self.max_len)?;
        whole("latent", self.latent, 1, 256)?;
        whole("feature_width", self.feature_width, 1, 1 << 16)?;
        whole("text_tokens", self.text_tokens, 1, 1 << 12)?;
        whole("image_tokens", self.image_tokens, 1, 1 << 12)?;
        let reals = [
            ("w_text", self.w_text, 0.0..=20.0),
            ("w_image", self.w_image, 0.0..=20.0),
            ("w_collab", self.w_collab, 0.0..=20.0),
            ("w_repeat", self.w_repeat, 0.0..=20.0),
            ("popularity", self.popularity, 0.0..=4.0),
            ("redundancy", self.redundancy, -1.0..=1.0),
            ("token_noise", self.token_noise, 0.0..=100.0),
            ("drift", self.drift, 0.0..=1.0),
            ("missing_text", self.missing_text, 0.0..=1.0),
            ("missing_image", self.missing_image, 0.0..=1.0),
            ("label_noise", self.label_noise, 0.0..=1.0),
            ("distractors", self.distractors, 0.0..=1.0),
        ];
        reals.into_iter().try_for_each(|(field, value, range)| check_range(&key(field), value, range))
    }
}
