//! Fewer gray levels.

use selfsame_base::DataError;
use selfsame_base::rng::ViewRng;
use selfsame_config::{Kind, Range, Settings, settings};
use selfsame_data::augment::{Augmentation, AugmentationContext, AugmentationEntry, Draw, View};
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;

settings! {
    /// `{ name = "posterize" }`
    pub struct PosterizeSettings {
        /// levels that are left, at least
        levels: u32 = 4, Kind::Integer(Range::Within(2.0, 256.0));
        /// probability of being applied
        p: f32 = 0.2, Kind::SHARE;
    }
}

/// Its line in a catalogue.
pub static POSTERIZE: AugmentationEntry = AugmentationEntry {
    name: "posterize",
    summary: "Leaves few levels of every channel: from levels to twice as many",
    modalities: &[Modality::Image],
    keys: PosterizeSettings::GROUP,
    build,
};

fn build(cx: &AugmentationContext<'_>) -> Result<Box<dyn Augmentation>, DataError> {
    Ok(Box::new(Posterize(cx.read()?)))
}

struct Posterize(PosterizeSettings);

impl Augmentation for Posterize {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["levels"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.0.p) {
            return Draw::SKIP;
        }
        let levels = self.0.levels as usize;
        Draw::of([(levels + rng.below(levels + 1)) as f32])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let steps = draw.values[0] - 1.0;
        view.planes_mut().flatten().for_each(|value| *value = (*value * steps).round() / steps);
    }
}
