//! What a generated data set is known by.

use sha2::{Digest, Sha256};

use crate::config::SynthConfig;
use crate::hex::hex;

/// Counts the changes of the generator: a world that was drawn by another one is not taken for this one's.
pub const GENERATOR: u32 = 1;

/// Twelve hexadecimal digits that tell one world from another: of the generator and every parameter.
pub fn fingerprint(config: &SynthConfig) -> String {
    digest(config, GENERATOR)
}

fn digest(config: &SynthConfig, generator: u32) -> String {
    // Taken apart, so that no parameter can be forgotten; the names are written out, so that none can be renamed unseen.
    let SynthConfig {
        seed,
        users,
        items,
        min_len,
        max_len,
        latent,
        w_text,
        w_image,
        w_collab,
        w_repeat,
        popularity,
        redundancy,
        drift,
        missing_text,
        missing_image,
        new_items,
        label_noise,
        feature_width,
        text_tokens,
        image_tokens,
        token_noise,
        distractors,
        pictures,
    } = config;
    let text = format!(
        "generator={generator} seed={seed} users={users} items={items} min_len={min_len} max_len={max_len} \
         latent={latent} w_text={w_text} w_image={w_image} w_collab={w_collab} w_repeat={w_repeat} \
         popularity={popularity} redundancy={redundancy} drift={drift} missing_text={missing_text} \
         missing_image={missing_image} new_items={new_items} label_noise={label_noise} feature_width={feature_width} \
         text_tokens={text_tokens} image_tokens={image_tokens} token_noise={token_noise} distractors={distractors} \
         pictures={pictures}"
    );
    hex(&Sha256::digest(text)[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_and_every_parameter_tell_worlds_apart() {
        let usual = SynthConfig::default();
        let all = [
            digest(&usual, GENERATOR),
            digest(&usual, GENERATOR + 1),
            digest(&SynthConfig { seed: 2, ..usual.clone() }, GENERATOR),
            digest(&SynthConfig { distractors: 0.26, ..usual.clone() }, GENERATOR),
            digest(&SynthConfig { pictures: true, ..usual.clone() }, GENERATOR),
        ];
        assert!((0..5).all(|a| (0..a).all(|b| all[a] != all[b])), "{all:?}");
        assert_eq!(fingerprint(&usual), all[0]);
    }

    /// Where this fails, the generator draws other worlds than before: raise [`GENERATOR`], and write the new hash here.
    #[test]
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    fn this_generator_draws_the_worlds_of_its_number() {
        let small = SynthConfig { users: 40, items: 30, pictures: true, ..SynthConfig::default() };
        let world = crate::synth::generate(&small).unwrap();
        let mut hash = Sha256::new();
        let sequences = &world.dataset.sequences;
        sequences.items.iter().for_each(|item| hash.update(item.to_le_bytes()));
        sequences.times.iter().for_each(|time| hash.update(time.to_le_bytes()));
        for item in 1..=30 {
            let stored = world.text.row(item).into_iter().chain(world.image.row(item));
            // As the stores keep them.
            stored.for_each(|x| hash.update(half::f16::from_f32(x).to_le_bytes()));
            hash.update(&world.dataset.items.titles[item as usize]);
            hash.update(&world.dataset.items.texts[item as usize]);
        }
        assert_eq!((GENERATOR, hex(&hash.finalize()[..6]).as_str()), (1, "3710b8c3766b"));
    }
}
