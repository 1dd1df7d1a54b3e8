//! What methods require of a plan's views. Errors say what would work.

use crate::error::Error;
use crate::plan::Plan;
use selfsame_base::lookup;
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;
use selfsame_data::settings::ViewSettings;

/// Two views of one size are what every two-branch method needs.
pub fn two_views(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes.len() == 2 && sizes[0] == sizes[1] {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs two views of one size, the plan has {}; set views.count = 2 in one group, or 1 in each of two groups of equal size",
            describe(plan, &sizes)
        ),
    ))
}

/// Square views: what a method needs that turns them.
pub fn squares(plan: &Plan, method: &str) -> Result<(), Error> {
    match plan.views.iter().enumerate().find(|(_, group)| group.size.height != group.size.width) {
        None => Ok(()),
        Some((i, ViewSettings { size, .. })) => Err(Error::setting(
            format!("views.{i}.size"),
            format!("{size} px is no square, which method.name = \"{method}\" turns; {} would work", size.shorter()),
        )),
    }
}

/// Two views of one size, then any number of any size: what multi-crop methods need.
pub fn multi_crop(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes.len() >= 2 && sizes[0] == sizes[1] {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs a first group of views with views.count = 2, whose assignments all views predict, the plan has {}; smaller crops go into groups after it",
            describe(plan, &sizes)
        ),
    ))
}

/// One view, of the size that the encoder is evaluated at, and no projector: what generative methods need, which give an
/// image back from `h` itself.
pub fn one_view_of_h(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes != [plan.data.size] {
        return Err(Error::setting(
            "views",
            format!(
                "method.name = \"{method}\" needs one view{}, the plan has {}; set views=[{{count=1}}], or one [[views]] group with count = 1 and no size",
                if is_image(plan) { format!(" of data.size = {} px", plan.data.size) } else { String::new() },
                describe(plan, &sizes)
            ),
        ));
    }
    match plan.projector.layers {
        0 => Ok(()),
        layers => Err(Error::setting(
            "projector.layers",
            format!("method.name = \"{method}\" works on h itself: expected 0, got {layers}; set projector.layers=0"),
        )),
    }
}

/// A view as it is and one with some columns changed: what methods need that ask which, and what was there.
pub fn plain_and_corrupted(plan: &Plan, method: &str) -> Result<(), Error> {
    const CHANGES: [&str; 2] = ["feature_corruption", "feature_dropout"];
    let changed = |group: &ViewSettings| match &group.augmentations[..] {
        [] => Some(false),
        [one] if CHANGES.contains(&one.name.as_str()) => Some(true),
        _ => None,
    };
    let views = plan.views.iter().flat_map(|group| std::iter::repeat_n(changed(group), group.count));
    if views.eq([Some(false), Some(true)]) {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs two views, the first as it is, the second with {} alone; set views=[{{count=1}}, {{count=1, augmentations=[{{name=\"feature_corruption\", rate=0.3}}]}}]",
            lookup::one_of(&CHANGES)
        ),
    ))
}

/// What methods say that work with one backbone alone.
pub fn backbone(method: &str, own: &str, given: &str) -> Error {
    let problem = format!("method.name = \"{method}\" works with backbone.name = \"{own}\", received {given}");
    Error::setting("backbone.name", problem)
}

/// Size of every view, flattened over the groups.
fn view_sizes(plan: &Plan) -> Vec<Size> {
    plan.views.iter().flat_map(|group| std::iter::repeat_n(group.size, group.count)).collect()
}

fn is_image(plan: &Plan) -> bool {
    plan.data.modality == Modality::Image
}

fn describe(plan: &Plan, sizes: &[Size]) -> String {
    if !is_image(plan) {
        return sizes.len().to_string();
    }
    let sides: Vec<_> = sizes.iter().map(Size::to_string).collect();
    format!("{} of {} px", sizes.len(), sides.join(", "))
}
