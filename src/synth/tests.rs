//! What is planted can be found again, and only where it was planted.

use std::collections::HashSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::data::{Part, Target};
use crate::features::FeatureStore;

/// Small enough for a debug build, large enough for shares and rates.
fn small() -> SynthConfig {
    SynthConfig { users: 400, items: 300, min_len: 4, max_len: 10, ..SynthConfig::default() }
}

/// Share of test targets among the ten best by `score`, history excluded.
fn recall_at_10(world: &World, mut score: impl FnMut(&Target, &mut [f32])) -> f64 {
    let targets = world.dataset.targets(Part::Test);
    let mut scores = vec![0.0; world.dataset.items.count() + 1];
    let mut hits = 0;
    for target in &targets {
        score(target, &mut scores);
        scores[0] = f32::NEG_INFINITY;
        for &item in world.dataset.history(target) {
            scores[item as usize] = f32::NEG_INFINITY;
        }
        let above = scores.iter().filter(|&&s| s > scores[target.item.index()]).count();
        hits += usize::from(above < 10);
    }
    hits as f64 / targets.len() as f64
}

fn oracle(world: &World) -> f64 {
    recall_at_10(world, |t, out| {
        world.truth.scores(t.user, t.position, world.dataset.history(t), out).unwrap();
    })
}

fn popularity(world: &World) -> f64 {
    let counts = world.dataset.train_counts();
    recall_at_10(world, |_, out| out.iter_mut().zip(&counts).for_each(|(o, &c)| *o = c as f32))
}

/// Ranks by the first token's likeness to the mean of the history's, items' rows moved by `shift`.
fn by_features(world: &World, rows: &ViewRows, shift: usize) -> f64 {
    let (items, width) = (world.dataset.items.count(), rows.width());
    let token = |item: usize| {
        let moved = (item - 1 + shift) % items + 1;
        rows.row(moved as u32).get(..width).map_or(vec![0.0; width], <[f32]>::to_vec)
    };
    let vectors: Vec<Vec<f32>> = (1..=items).map(token).collect();
    recall_at_10(world, |t, out| {
        let mut mean = vec![0.0; width];
        for &item in world.dataset.history(t) {
            mean.iter_mut().zip(&vectors[item as usize - 1]).for_each(|(m, v)| *m += v);
        }
        for (o, vector) in out[1..].iter_mut().zip(&vectors) {
            *o = mean.iter().zip(vector).map(|(m, v)| m * v).sum();
        }
    })
}

#[test]
fn a_world_is_a_pure_function_of_its_parameters() {
    let (a, b) = (generate(&small()).unwrap(), generate(&small()).unwrap());
    assert_eq!(a.dataset, b.dataset);
    assert_eq!(a.truth, b.truth);
    assert_eq!((a.text.row(7), a.image.row(7)), (b.text.row(7), b.image.row(7)));
    let other = generate(&SynthConfig { seed: 2, ..small() }).unwrap();
    assert_ne!(a.dataset.sequences, other.dataset.sequences);
    assert_ne!(a.text.row(7), other.text.row(7));
}

#[test]
fn longer_texts_change_nothing_but_texts() {
    let a = generate(&small()).unwrap();
    let b = generate(&SynthConfig { text_tokens: 20, ..small() }).unwrap();
    assert_eq!(a.dataset.sequences, b.dataset.sequences);
    assert_eq!(a.image.row(3), b.image.row(3));
    assert_eq!(a.text.row(3)[..a.text.width()], b.text.row(3)[..a.text.width()]);
}

#[test]
fn sequences_are_within_bounds_split_leave_one_out_and_never_repeat_an_item() {
    let world = generate(&small()).unwrap();
    let s = &world.dataset.sequences;
    assert_eq!((s.users(), s.items.len()), (400, s.parts.len()));
    let mut lengths = HashSet::new();
    for u in 0..s.users() {
        let (items, parts) = (s.items_of(u), s.parts_of(u));
        lengths.insert(items.len());
        assert_eq!(items.iter().collect::<HashSet<_>>().len(), items.len());
        assert!(items.iter().all(|&i| (1..=300).contains(&i)));
        assert!(s.times_of(u).windows(2).all(|t| t[0] < t[1]));
        let n = parts.len();
        assert!(parts[..n - 2].iter().all(|&p| p == Part::Train));
        assert_eq!(parts[n - 2..], [Part::Valid, Part::Test]);
    }
    assert_eq!(lengths, (4..=10).collect());
}

#[test]
fn the_oracle_beats_popularity_which_beats_chance() {
    let world = generate(&SynthConfig { popularity: 1.0, ..small() }).unwrap();
    let (oracle, popularity) = (oracle(&world), popularity(&world));
    assert!(popularity > 2.0 * 10.0 / 300.0, "{popularity}");
    assert!(oracle > 2.0 * popularity, "{oracle} {popularity}");
}

#[test]
fn a_signal_planted_in_the_text_is_found_in_the_text_and_nowhere_else() {
    let config = SynthConfig {
        w_text: 2.5,
        w_image: 0.0,
        w_collab: 0.0,
        w_repeat: 0.0,
        popularity: 0.0,
        redundancy: 0.0,
        missing_text: 0.0,
        missing_image: 0.0,
        drift: 0.0,
        latent: 4,
        users: 1000,
        ..small()
    };
    let world = generate(&config).unwrap();
    let (oracle, text) = (oracle(&world), by_features(&world, &world.text, 0));
    let (shuffled, image) = (by_features(&world, &world.text, 1), by_features(&world, &world.image, 0));
    let chance = 10.0 / 296.0;
    assert!(oracle > 8.0 * chance, "{oracle}");
    assert!(text > 0.5 * oracle, "{text} of {oracle}");
    assert!(shuffled < 1.7 * chance, "{shuffled}");
    assert!(image < 1.7 * chance, "{image}");
    // The other way round, so that the image features are known to work.
    let world = generate(&SynthConfig { w_text: 0.0, w_image: 2.5, ..config }).unwrap();
    assert!(by_features(&world, &world.image, 0) > 8.0 * chance / 2.0);
    assert!(by_features(&world, &world.text, 0) < 1.7 * chance);
}

#[test]
fn redundancy_is_the_correlation_of_text_and_image_latents() {
    let world = generate(&SynthConfig { items: 3000, redundancy: 0.6, ..small() }).unwrap();
    let (mut product, mut n) = (0.0, 0);
    for item in 1..=3000 {
        for (t, g) in world.text.latent(item).iter().zip(world.image.latent(item)) {
            product += f64::from(t * g);
            n += 1;
        }
    }
    assert!((product / f64::from(n) - 0.6).abs() < 0.02, "{}", product / f64::from(n));
}

#[test]
fn missing_shares_are_as_asked_and_nothing_is_said_of_a_missing_text() {
    let world =
        generate(&SynthConfig { missing_text: 0.25, missing_image: 0.1, pictures: true, ..small() }).unwrap();
    let missing = |rows: &ViewRows| (1..=300).filter(|&i| rows.length(i) == 0).count();
    assert_eq!((missing(&world.text), missing(&world.image)), (75, 30));
    let items = &world.dataset.items;
    for item in 1..=300 {
        let (text, image) = (world.text.length(item as u32), world.image.length(item as u32));
        let described = [&items.titles[item], &items.texts[item], &items.categories[item]];
        assert!(described.iter().all(|field| field.is_empty() == (text == 0)));
        assert_eq!(items.images[item].is_empty(), image == 0);
        assert!(text <= 8 && (text == 0 || text >= 2));
    }
}

#[test]
fn new_items_are_test_targets_and_nothing_else() {
    let world = generate(&SynthConfig { new_items: 0.2, popularity: 0.0, ..small() }).unwrap();
    assert_eq!((1..=300).filter(|&i| world.truth.is_new(i)).count(), 60);
    let s = &world.dataset.sequences;
    let new_at =
        |part| s.items.iter().zip(&s.parts).filter(|&(&i, &p)| p == part && world.truth.is_new(i)).count();
    assert_eq!((new_at(Part::Train), new_at(Part::Valid)), (0, 0));
    assert!(new_at(Part::Test) > 40, "{}", new_at(Part::Test));
    let mut scores = vec![0.0; 301];
    let valid = world.dataset.targets(Part::Valid)[0];
    world.truth.scores(valid.user, valid.position, world.dataset.history(&valid), &mut scores).unwrap();
    assert!((1..=300).all(|i| world.truth.is_new(i as u32) <= (scores[i] == f32::NEG_INFINITY)));
}

#[test]
fn label_noise_lowers_the_ceiling_to_chance() {
    let clean = oracle(&generate(&SynthConfig { label_noise: 0.0, ..small() }).unwrap());
    let noisy = oracle(&generate(&SynthConfig { label_noise: 1.0, ..small() }).unwrap());
    assert!(clean > 0.3 && noisy < 0.08, "{clean} {noisy}");
}

#[test]
fn titles_of_like_items_share_words() {
    let world = generate(&SynthConfig { missing_text: 0.0, ..small() }).unwrap();
    let items = &world.dataset.items;
    let words = |i: usize| items.texts[i].split(' ').map(str::to_lowercase).collect::<HashSet<_>>();
    let (mut same, mut other) = ((0, 0), (0, 0));
    for a in 1..=300 {
        for b in a + 1..=300 {
            let shared = words(a).intersection(&words(b)).count();
            let bucket = if items.categories[a] == items.categories[b] { &mut same } else { &mut other };
            *bucket = (bucket.0 + shared, bucket.1 + 1);
        }
    }
    let mean = |(sum, n): (usize, usize)| sum as f64 / n as f64;
    assert!(mean(same) > 2.0 * mean(other), "{same:?} {other:?}");
}

#[test]
fn stores_pictures_and_truth_come_back_as_they_were() {
    let world = generate(&SynthConfig { pictures: true, items: 40, users: 30, ..small() }).unwrap();
    let home = tempfile::tempdir().unwrap();
    world.write_beside(home.path(), "hash").unwrap();
    assert_eq!(Truth::load(&home.path().join("truth")).unwrap(), world.truth);
    for (name, rows) in [("text", &world.text), ("image", &world.image)] {
        let store = FeatureStore::open(&home.path().join("features").join(name)).unwrap();
        store.check_items(&world.dataset).unwrap();
        for item in 1..=40 {
            assert_eq!(store.length(item), rows.length(item));
            let mut out = vec![0.0; store.length(item) * store.width()];
            store.gather_into(item, store.length(item), &mut out);
            // float16 keeps eleven bits.
            assert!(out.iter().zip(rows.row(item)).all(|(a, b)| (a - b).abs() <= b.abs() / 1024.0 + 1e-6));
        }
    }
    for path in world.dataset.items.images.iter().filter(|p| !p.is_empty()) {
        assert!(fs::read(home.path().join(path)).unwrap().starts_with(b"\x89PNG"), "{path}");
    }
}

#[test]
fn a_damaged_truth_and_a_wrong_position_are_errors() {
    let world = generate(&SynthConfig { items: 40, users: 5, ..small() }).unwrap();
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("truth");
    world.truth.save(&dir, "hash").unwrap();
    let path = dir.join("truth.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(Truth::load(&dir), Err(SynthError::Artefact(_))));

    let target = world.dataset.targets(Part::Test)[0];
    let history = world.dataset.history(&target);
    let mut scores = vec![0.0; 41];
    for (user, position, history) in [
        (target.user, target.position - 2, &history[..history.len() - 2]),
        (target.user, target.position, &history[1..]),
        (99, target.position, history),
        (target.user, target.position, &vec![41; history.len()][..]),
    ] {
        assert!(world.truth.scores(user, position, history, &mut scores).is_err());
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    for (config, key) in [
        (SynthConfig { min_len: 2, ..small() }, "min_len"),
        (SynthConfig { max_len: 300, ..small() }, "max_len"),
        (SynthConfig { items: 12, new_items: 0.5, ..small() }, "max_len"),
        (SynthConfig { missing_text: f64::NAN, ..small() }, "missing_text"),
        (SynthConfig { latent: 0, ..small() }, "latent"),
        (SynthConfig { users: usize::MAX, ..small() }, "users"),
    ] {
        let error = generate(&config).map(|_| ()).unwrap_err();
        assert!(matches!(&error, SynthError::Config(_)) && error.to_string().contains(key), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_parameters_make_a_sound_world_or_an_error(
        sizes in (1usize..20, 1usize..40, 0usize..9, 0usize..30, 0usize..6),
        shares in prop::array::uniform6(-0.1f64..1.1),
        weights in (0.0f64..20.0, 0.0f64..20.0, 0.0f64..4.0),
        tokens in (0usize..4, 0usize..4, 0usize..5),
    ) {
        let config = SynthConfig {
            users: sizes.0, items: sizes.1, min_len: sizes.2, max_len: sizes.3, latent: sizes.4,
            drift: shares[0], missing_text: shares[1], missing_image: shares[2], new_items: shares[3],
            label_noise: shares[4], distractors: shares[5],
            w_text: weights.0, w_repeat: weights.1, popularity: weights.2,
            text_tokens: tokens.0, image_tokens: tokens.1, feature_width: tokens.2,
            ..SynthConfig::default()
        };
        if let Ok(world) = generate(&config) {
            prop_assert!(world.dataset.sequences.items.iter().all(|&i| i >= 1 && i as usize <= config.items));
            prop_assert!((1..=config.items as u32).all(|i| world.text.row(i).iter().all(|v| v.is_finite())));
            let targets = world.dataset.targets(Part::Test);
            prop_assert_eq!(targets.len(), config.users);
            let mut scores = vec![0.0; config.items + 1];
            for t in &targets {
                world.truth.scores(t.user, t.position, world.dataset.history(t), &mut scores).unwrap();
                prop_assert!(scores[t.item.index()].is_finite());
            }
        }
    }
}
