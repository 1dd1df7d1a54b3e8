//! The recipe that belongs to a method, fitted to data that it was not written for: so that `method=byol` on one's own photos
//! brings the views, heads, backbone, optimizer and epochs that BYOL needs.
//!
//! What is fitted follows from the number of samples and from the images' side and channels alone. It is a start that works
//! and ends within reason, not the best there is: what is known of the data besides belongs into a recipe.

use selfsame_data::modality::Modality;
use toml::{Table, Value};

/// Samples of the data that the methods' recipes are written for, the bundled ones.
const SAMPLES: f64 = 10_000.0;
/// Their side, px.
const SIDE: f64 = 28.0;
/// Epochs that are worth the wait on as many samples, where a recipe has fewer to be quick to show.
const EPOCHS: f64 = 20.0;
/// Above this many samples seen, a recipe's epochs are cut, down to [`FEWEST_EPOCHS`].
const SAMPLES_SEEN: f64 = 2e6;
const FEWEST_EPOCHS: f64 = 5.0;
/// More than this is no help to data that are so few.
const MOST_EPOCHS: f64 = 1000.0;
/// Up to this side an image is small: fewer details survive a crop, a blur or a jitter.
const SMALL_PX: usize = 64;

/// What a recipe is fitted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// Samples of the data.
    pub samples: usize,
    /// Channels per pixel.
    pub channels: usize,
    /// Shorter side of the images, px.
    pub size: usize,
    /// Samples per step, where the user said how many.
    pub batch_size: Option<usize>,
    /// Epochs, where the user said how many.
    pub epochs: Option<usize>,
    /// What they are.
    pub modality: Modality,
    /// Whether they are pictures of sounds.
    pub of_sounds: bool,
}

/// What a method's own keys are fitted to.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Samples of the data.
    pub samples: usize,
    /// Samples per step.
    pub batch_size: usize,
    /// What samples are.
    pub modality: Modality,
}

/// Changes the keys of a method's recipe, those of `[method]`, to fit other data.
pub type FitMethod = fn(&mut Table, Batches);

/// Fits the recipe of a method, which is written for `modality`, to data, without its own.
pub(crate) fn fit(recipe: &mut Table, modality: Modality, of_method: FitMethod, to: &Fit) {
    recipe.remove("data");
    if let Some(backbone) = table(recipe, "backbone") {
        // Follows from the side of the images.
        backbone.remove("patch_size");
    }
    let batch_size = fit_training(recipe, to);
    match to.modality {
        Modality::Image if to.of_sounds => without_images(recipe),
        Modality::Image => {
            let groups = recipe.get_mut("views").and_then(Value::as_array_mut).into_iter().flatten();
            groups.filter_map(Value::as_table_mut).for_each(|group| fit_views(group, to));
        }
        own if modality == own => {}
        Modality::Vector | Modality::Signal => without_images(recipe),
    }
    if let Some(method) = table(recipe, "method") {
        of_method(method, Batches { samples: to.samples, batch_size, modality: to.modality });
    }
}

/// Leaves the views to the presets of the modality, or of sounds; a method of one view keeps it, plain.
fn without_images(recipe: &mut Table) {
    let Some(Value::Array(groups)) = recipe.remove("views") else { return };
    let views: f64 = groups.iter().filter_map(|group| number(group.as_table()?, "count")).sum();
    if views == 1.0 {
        let plain: Table = [("count".to_owned(), Value::Integer(1))].into_iter().collect();
        recipe.insert("views".into(), vec![plain].into());
    }
}

fn table<'a>(recipe: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    recipe.get_mut(name).and_then(Value::as_table_mut)
}

fn number(table: &Table, key: &str) -> Option<f64> {
    table.get(key).and_then(|value| value.as_float().or(value.as_integer().map(|v| v as f64)))
}

/// As many steps as on the recipe's data, in batches that go into an epoch at least twice. Gives the batch.
fn fit_training(recipe: &mut Table, to: &Fit) -> usize {
    let train = table(recipe, "train").expect("recipes of methods say how they train");
    let [own_batch, own_epochs] =
        ["batch_size", "epochs"].map(|key| number(train, key).expect("recipes of methods state it"));
    let most = 1 << (to.samples / 2).max(2).ilog2();
    let batch_size = to.batch_size.unwrap_or(most.min(own_batch as usize));
    let epochs = own_epochs.max(EPOCHS);
    let samples = to.samples.max(1) as f64;
    let as_many_steps = epochs * SAMPLES / own_batch * batch_size as f64 / samples;
    let fewest = epochs.min((SAMPLES_SEEN / samples).max(FEWEST_EPOCHS));
    let epochs = as_many_steps.clamp(fewest, MOST_EPOCHS).round();
    train.insert("batch_size".into(), Value::Integer(batch_size as i64));
    train.insert("epochs".into(), Value::Integer(epochs as i64));
    let epochs = to.epochs.map_or(epochs, |epochs| epochs as f64);
    if let Some(optimizer) = table(recipe, "optimizer")
        && let Some(warmup) = number(optimizer, "warmup_epochs")
    {
        optimizer.insert("warmup_epochs".into(), Value::Float(warmup / own_epochs * epochs));
    }
    batch_size
}

/// Crops in proportion to the images, colors where there are any, blur where images are large enough for it.
fn fit_views(group: &mut Table, to: &Fit) {
    let small = to.size <= SMALL_PX;
    if let Some(size) = number(group, "size") {
        // Patches of vision transformers divide it.
        let unit = if small { 4.0 } else { 16.0 };
        let fitted = ((size / SIDE * to.size as f64) / unit).round().max(1.0) * unit;
        group.insert("size".into(), Value::Integer(fitted as i64));
    }
    let Some(list) = group.get_mut("augmentations").and_then(Value::as_array_mut) else { return };
    let named = |value: &Value, name: &str| value.get("name").and_then(Value::as_str) == Some(name);
    let Some(jitter) = list.iter().position(|augmentation| named(augmentation, "color_jitter")) else { return };
    let with_p = |name: &str, p: f64| {
        Value::Table([("name".to_owned(), name.into()), ("p".to_owned(), p.into())].into_iter().collect())
    };
    if to.channels == 3
        && let Some(amounts) = list[jitter].as_table_mut()
    {
        let strength = if small { 0.4 } else { 0.8 };
        for name in ["brightness", "contrast", "saturation"] {
            amounts.insert(name.into(), strength.into());
        }
        amounts.insert("hue".into(), (strength / 4.0).into());
        list.insert(jitter + 1, with_p("color_drop", 0.2));
    }
    if !small {
        list.push(with_p("gaussian_blur", 0.5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::METHODS;
    use selfsame_config::Recipe;

    fn fitted(name: &str, to: &Fit) -> Table {
        let mut recipe: Table = Recipe::builtin(name).unwrap().text.parse().unwrap();
        let method = METHODS.iter().find(|entry| entry.name == name).unwrap();
        fit(&mut recipe, method.modalities[0], method.fit, to);
        recipe
    }

    const PHOTOS: Fit = Fit {
        samples: 103,
        channels: 3,
        size: 224,
        batch_size: None,
        epochs: None,
        modality: Modality::Image,
        of_sounds: false,
    };

    #[test]
    fn batch_epochs_and_queue_fit_few_samples_and_many() {
        let few = fitted("moco", &PHOTOS);
        assert_eq!(number(few["train"].as_table().unwrap(), "batch_size"), Some(32.0));
        assert_eq!(number(few["method"].as_table().unwrap(), "queue"), Some(96.0));
        // The recipe's 20 epochs of 78 steps are 1,562; three of these steps are an epoch.
        let epochs = number(few["train"].as_table().unwrap(), "epochs").unwrap();
        assert_eq!(epochs, (20.0f64 * 10_000.0 / 128.0 * 32.0 / 103.0).round());
        assert_eq!(number(few["optimizer"].as_table().unwrap(), "warmup_epochs"), Some(epochs / 20.0));
        let many = fitted("moco", &Fit { samples: 1_000_000, ..PHOTOS });
        assert_eq!(number(many["train"].as_table().unwrap(), "epochs"), Some(5.0));
        assert_eq!(number(many["train"].as_table().unwrap(), "batch_size"), Some(128.0));
        assert_eq!(number(many["method"].as_table().unwrap(), "queue"), Some(1024.0));
        let told = fitted("moco", &Fit { batch_size: Some(10), epochs: Some(40), ..PHOTOS });
        assert_eq!(number(told["method"].as_table().unwrap(), "queue"), Some(100.0));
        assert_eq!(number(told["optimizer"].as_table().unwrap(), "warmup_epochs"), Some(2.0));
    }

    #[test]
    fn views_fit_side_and_channels() {
        let large = fitted("dino", &PHOTOS);
        let group =
            |recipe: &Table, index: usize| recipe["views"].as_array().unwrap()[index].as_table().unwrap().clone();
        assert_eq!(number(&group(&large, 1), "size"), Some(128.0));
        let names = |group: &Table| -> Vec<String> {
            let list = group["augmentations"].as_array().unwrap();
            list.iter().map(|a| a["name"].as_str().unwrap().to_owned()).collect()
        };
        let all = ["random_resized_crop", "horizontal_flip", "color_jitter", "color_drop", "gaussian_blur"];
        assert_eq!(names(&group(&large, 0)), all);
        let gray = fitted("dino", &Fit { channels: 1, size: 28, ..PHOTOS });
        assert_eq!(
            (number(&group(&gray, 1), "size"), &names(&group(&gray, 0))[..]),
            (Some(16.0), &all.map(String::from)[..3])
        );
        let vectors = fitted("barlow_twins", &Fit { modality: Modality::Vector, ..PHOTOS });
        assert!(!vectors.contains_key("views"));
        let own = fitted("vime", &Fit { modality: Modality::Vector, ..PHOTOS });
        assert_eq!(own["views"], Recipe::builtin("vime").unwrap().text.parse::<Table>().unwrap()["views"]);
        let sounds = fitted("barlow_twins", &Fit { of_sounds: true, ..PHOTOS });
        assert!(!sounds.contains_key("views"), "a sound is not flipped: {sounds}");
        let one = fitted("denoising_autoencoder", &Fit { modality: Modality::Vector, ..PHOTOS });
        assert!(group(&one, 0).len() == 1 && !one["method"].as_table().unwrap().contains_key("decoder_width"));
        // What has no jitter of its own gets none.
        assert_eq!(names(&group(&fitted("masked_autoencoder", &PHOTOS), 0)), all[..2]);
    }
}
