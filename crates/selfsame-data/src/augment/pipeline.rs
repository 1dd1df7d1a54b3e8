//! The augmentations of one group of views, in their order.

use super::{Augmentation, Augmentations, Draw, Interpolation, Others, View, ViewShape};
use crate::image::{Image, Size, ValueRange};
use crate::modality::Columns;
use crate::modality::Modality;
use selfsame_base::DataError;
use selfsame_base::rng::ViewRng;
use selfsame_config::Choice;
use std::sync::Arc;

/// What views have of the data's values: augmentations see `range` as 0..1, and a view's last step is `(value − mean) / std` by
/// channel, on the scale of the data again. Vectors and signals have a scale for each channel, so theirs are normalized first, and
/// augmentations see channels of mean 0 and standard deviation 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    range: ValueRange,
    scale: Vec<f32>,
    shift: Vec<f32>,
    first: bool,
}

impl Normalization {
    /// From `mean` and `std`, `[channels]`, and the range.
    pub fn new(mean: &[f32], std: &[f32], range: ValueRange) -> Self {
        let scale = std.iter().map(|std| range.span() / std).collect();
        let shift = mean.iter().zip(std).map(|(mean, std)| (range.low - mean) / std).collect();
        Self { range, scale, shift, first: false }
    }

    /// Of vectors and signals, from `mean` and `std`, `[channels]`: before all augmentations.
    pub fn first(mean: &[f32], std: &[f32]) -> Self {
        Self { first: true, ..Self::new(mean, std, ValueRange::UNIT) }
    }

    /// Leaves values as they are.
    pub fn none(channels: usize) -> Self {
        Self { range: ValueRange::UNIT, scale: vec![1.0; channels], shift: vec![0.0; channels], first: false }
    }

    /// Writes `view` to `out`, `[height, width, channels]`, normalized. Where a signal is shorter, the rest is NaN: nothing else
    /// is, so that an encoder knows what is there.
    pub fn write(&self, view: &View, out: &mut [f32]) {
        let (out, padding) = out.split_at_mut(view.values().len());
        padding.fill(f32::NAN);
        match (self.first, view.channels()) {
            // One plane lies as its pixels do, and so does one pixel.
            (true, 1) => out.copy_from_slice(view.values()),
            (true, _) if view.size().area() == 1 => out.copy_from_slice(view.values()),
            (true, channels) => view.write(&vec![1.0; channels], &vec![0.0; channels], out),
            (false, _) => view.write(&self.scale, &self.shift, out),
        }
    }
}

/// Turns a decoded sample into one view of the recipe's size.
pub struct Pipeline {
    shape: ViewShape,
    steps: Vec<(&'static str, Box<dyn Augmentation>)>,
    /// Whether a step brings the view to its size; if none does, the sample is fitted to it before the first.
    resizes: bool,
    interpolation: Interpolation,
    normalization: Normalization,
    /// Where a step needs them.
    others: Option<Arc<Others>>,
    /// Of a vector.
    columns: Arc<Columns>,
}

impl Pipeline {
    /// Builds the `augmentations` that `choices` list; `path` is the list's dotted key, e.g. `views.0.augmentations`.
    /// The data's `normalization` is the last step unless the list ends with its own.
    pub fn new(
        augmentations: &Augmentations,
        choices: &[Choice],
        path: &str,
        shape: ViewShape,
        normalization: Normalization,
    ) -> Result<Self, DataError> {
        let mut steps = Vec::with_capacity(choices.len());
        for (i, choice) in choices.iter().enumerate() {
            let (entry, augmentation) = augmentations.build(choice, &format!("{path}.{i}"), shape)?;
            steps.push((entry.name, augmentation));
        }
        let normalization = match steps.iter().position(|(name, _)| *name == "normalize") {
            None => normalization,
            Some(last) if last + 1 == steps.len() => {
                Normalization { range: normalization.range, ..Normalization::none(shape.channels) }
            }
            Some(i) => {
                let problem = "normalize must be the last: the other augmentations work on the 0..1 scale";
                return Err(DataError::setting(format!("{path}.{i}.name"), problem));
            }
        };
        let resizes = steps.iter().any(|(_, step)| step.resizes());
        Ok(Self { resizes, ..Self::with_steps(steps, shape, normalization) })
    }

    /// One augmentation that is there already.
    pub fn of(name: &'static str, step: Box<dyn Augmentation>, shape: ViewShape, normalization: Normalization) -> Self {
        Self { resizes: step.resizes(), ..Self::with_steps(vec![(name, step)], shape, normalization) }
    }

    fn with_steps(
        steps: Vec<(&'static str, Box<dyn Augmentation>)>,
        shape: ViewShape,
        normalization: Normalization,
    ) -> Self {
        let columns = Arc::new(Columns::of(&[], shape.modality.vector_width(shape.channels)));
        let interpolation = Interpolation::default();
        Self { shape, steps, resizes: false, interpolation, normalization, others: None, columns }
    }

    /// Of vectors with these columns; without, each of the features is one.
    #[must_use]
    pub fn of_columns(self, columns: Columns) -> Self {
        Self { columns: Arc::new(columns), ..self }
    }

    /// With another interpolation than the bicubic.
    #[must_use]
    pub fn resized_by(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// With samples to borrow from, which must be there where [`Self::needs_others`].
    #[must_use]
    pub fn beside(self, others: Arc<Others>) -> Self {
        Self { others: Some(others), ..self }
    }

    /// Whether a step borrows from other samples.
    pub fn needs_others(&self) -> bool {
        self.steps.iter().any(|(_, step)| step.needs_others())
    }

    /// The sample as the first step finds it, where no step resizes it.
    pub fn load(&self, sample: &Image, view: &mut View) {
        self.prepare(view);
        if self.normalization.first {
            self.load_whole(sample, view);
            let (length, most) = (view.size().width, self.shape.size.width);
            if length > most {
                view.keep_steps((length - most) / 2, most);
            }
        } else {
            view.fit(sample, self.shape.size);
        }
    }

    fn prepare(&self, view: &mut View) {
        view.set_range(self.normalization.range);
        view.resampler.interpolation = self.interpolation;
    }

    fn load_whole(&self, sample: &Image, view: &mut View) {
        view.load_normalized(sample, &self.normalization.scale, &self.normalization.shift);
    }

    /// Size and channels of the views.
    pub fn shape(&self) -> ViewShape {
        self.shape
    }

    /// Name and parameter names of every augmentation: what the draws mean.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (&'static str, &'static [&'static str])> {
        self.steps.iter().map(|(name, step)| (*name, step.parameter_names()))
    }

    /// Draws the parameters of all steps for a sample of `size` into `draws`.
    pub fn draw(&self, size: Size, rng: &mut ViewRng, draws: &mut Vec<Draw>) {
        draws.clear();
        let mut size = match self.shape.modality {
            _ if self.resizes => size,
            // A signal is cut, and not made longer.
            Modality::Signal => Size { width: size.width.min(self.shape.size.width), ..size },
            Modality::Image | Modality::Vector => self.shape.size,
        };
        for (_, step) in &self.steps {
            let draw = step.draw(size, rng);
            if draw.applied {
                size = step.output_size(size, &draw);
            }
            draws.push(draw);
        }
    }

    /// Makes the view of `sample` that `draws` describe; values stay on the 0..1 scale of the range unless the recipe
    /// normalizes.
    pub fn apply(&self, sample: &Image, draws: &[Draw], view: &mut View) {
        assert_eq!(draws.len(), self.steps.len(), "one draw per step");
        let mut steps =
            self.steps.iter().zip(draws).filter(|(_, draw)| draw.applied).map(|((_, step), draw)| (step, draw));
        view.others.clone_from(&self.others);
        view.columns.clone_from(&self.columns);
        if !self.resizes {
            self.load(sample, view);
        } else if self.normalization.first {
            self.prepare(view);
            self.load_whole(sample, view);
        } else if let Some((step, draw)) = steps.next() {
            self.prepare(view);
            step.apply_to_sample(sample, view, draw);
        }
        steps.for_each(|(step, draw)| step.apply(view, draw));
    }

    /// As [`Self::apply`], normalized, into `out`, `[height, width, channels]`.
    pub fn write(&self, sample: &Image, draws: &[Draw], view: &mut View, out: &mut [f32]) {
        self.apply(sample, draws, view);
        self.normalization.write(view, out);
    }
}
