//! Lays out the images of an unpacked `emoji-datasource-google` as `OUT/{train,test}/CATEGORY/NAME.png`.
//!
//! The split is by emoji: every fifth of a category goes to the test set with all its skin tones, so that no test image
//! has a twin in training.
//!
//! `cargo run --release -p selfsame-data --example emoji_folders -- package/ OUT/`

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(package), Some(out), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("expected two arguments: the unpacked package and the folder to write".into());
    };
    let list: Vec<Value> = serde_json::from_slice(&std::fs::read(package.join("emoji.json"))?)?;
    let mut categories: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for emoji in list.iter().filter(|emoji| emoji["has_img_google"] == true) {
        categories.entry(emoji["category"].as_str().ok_or("an emoji has no category")?).or_default().push(emoji);
    }
    categories.remove("Component"); // skin tones by themselves
    let mut written = [0; 2];
    for (category, mut emoji) in categories {
        emoji.sort_by_key(|emoji| emoji["sort_order"].as_u64());
        for (index, emoji) in emoji.into_iter().enumerate() {
            let test = index % 5 == 4;
            let folder = out.join(if test { "test" } else { "train" }).join(category.replace(" & ", "_and_"));
            std::fs::create_dir_all(&folder)?;
            let tones = emoji["skin_variations"].as_object().into_iter().flat_map(|tones| tones.values());
            for image in std::iter::once(emoji).chain(tones).filter(|image| image["has_img_google"] == true) {
                let name = image["image"].as_str().ok_or("an emoji has no image")?;
                std::fs::copy(package.join("img/google/64").join(name), folder.join(Path::new(name)))?;
                written[usize::from(test)] += 1;
            }
        }
    }
    println!("{} training and {} test images in {}", written[0], written[1], out.display());
    Ok(())
}
