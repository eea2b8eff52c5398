//! `images seeds FOLDER`: writes the corpus of the ordinary tests as files for the fuzzer.
//! `images line FILE...`: prints what the fuzzer found as lines for that corpus.

mod ground;

use std::path::Path;

const CORPUS: &str = include_str!("../../tests/support/corpus.txt");

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let clean = ground::new().clean.clone();
    match args.split_first() {
        Some((word, [folder])) if word == "seeds" => {
            std::fs::create_dir_all(folder).expect(folder);
            for (number, (_, image)) in ground::image::corpus(CORPUS, &clean).iter().enumerate() {
                // As short as possible: what an image lacks at its end is as in the clean one.
                let same = image.iter().zip(&clean).rev().take_while(|(a, b)| a == b).count();
                let file = Path::new(folder).join(format!("seed-{number:03}"));
                std::fs::write(file, &image[..image.len() - same]).expect("writing a seed");
            }
        }
        Some((word, files)) if word == "line" && !files.is_empty() => {
            for file in files {
                println!("{}", line(file, &clean));
            }
        }
        _ => {
            eprintln!("usage: images seeds FOLDER | images line FILE...");
            std::process::exit(64);
        }
    }
}

/// What a file changes in the clean image, word by word.
fn line(file: &str, clean: &[u8]) -> String {
    let image = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
    let mut line = format!("found {}:", &name[..name.len().min(8)]);
    let mut last = None;
    for (number, (new, old)) in image.chunks(4).zip(clean.chunks(4)).enumerate() {
        if new == &old[..new.len()] {
            continue;
        }
        if last != number.checked_sub(1) || last.is_none() {
            line += &format!(" {}=", number * 4);
        }
        for byte in new {
            line += &format!("{byte:02x}");
        }
        last = Some(number);
    }
    line
}
