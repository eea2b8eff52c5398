//! Hostile segments, replayed: the images of `support/corpus.txt`, which the fuzzer in `fuzz/`
//! began with or found, and random changes of each.
//!
//! `SHMDEMO_MUTATIONS=N`: random changes per image (default 100; 10 on ARM).

use crate::support::image::{corpus, Ground, GEOMETRY};
use crate::support::{Channel, Random};

const CORPUS: &str = include_str!("../support/corpus.txt");

#[test]
fn every_reader_survives_every_image() {
    let channel = Channel::new();
    let mut ground = Ground::new(channel.key);
    assert_eq!(ground.clean.len(), GEOMETRY.segment_bytes() as usize);
    let images = corpus(CORPUS, &ground.clean);
    for (name, image) in &images {
        let fields = ground.try_readers(image);
        println!("{name}: {fields:?}");
        let harmless = image == &ground.clean;
        assert!(!harmless || fields.is_empty(), "{name}: {fields:?} of a clean image");
    }
    let fields = |name: &str| {
        let image = &images.iter().find(|(n, _)| n == name).expect("in the corpus").1;
        Ground::new(Channel::new().key).try_readers(image)
    };
    // All four readers see a damaged header; who reads the words sees damaged words.
    assert_eq!(fields("no lanes"), ["lanes"; 4]);
    assert_eq!(fields("lane 1 first record of kind 0"), ["kind"]);
    // A producer makes the lane anew, and an onlooker tells of it in the status.
    assert_eq!(fields("lane 0 tail -1"), ["tail"]);
}

#[test]
fn every_reader_survives_random_changes() {
    let channel = Channel::new();
    let mut ground = Ground::new(channel.key);
    let count = std::env::var("SHMDEMO_MUTATIONS").ok();
    let default = if cfg!(target_arch = "arm") { 10 } else { 100 };
    let count = count.map_or(default, |n| n.parse().expect("SHMDEMO_MUTATIONS: a number"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (_, image) in corpus(CORPUS, &ground.clean.clone()) {
        for _ in 0..count {
            ground.try_readers(&mutated(&image, &mut random));
        }
    }
}

/// With one to four words changed: to a bound, to a near value, to anything.
fn mutated(image: &[u8], random: &mut Random) -> Vec<u8> {
    let mut image = image.to_vec();
    for _ in 0..=random.below(4) {
        // Mostly in the header and in the lanes in use.
        let words = if random.below(4) == 0 { image.len() / 4 } else { (128 + 2 * 448) / 4 };
        let at = random.below(words) * 4;
        let word: &mut [u8; 4] = (&mut image[at..at + 4]).try_into().expect("4 bytes");
        let old = u32::from_ne_bytes(*word);
        let new = match random.below(4) {
            0 => [0, 1, 7, 8, 100, 101, 255, 256, 257, 1 << 31, u32::MAX][random.below(11)],
            1 => old.wrapping_add(random.below(33) as u32).wrapping_sub(16),
            2 => old ^ (1 << random.below(32)),
            _ => random.next() as u32,
        };
        *word = new.to_ne_bytes();
    }
    image
}
