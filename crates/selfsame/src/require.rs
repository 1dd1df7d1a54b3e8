//! What methods require of a plan's views. Errors say what would work.

use crate::error::Error;
use crate::plan::Plan;
use selfsame_data::modality::Modality;

/// What works on pixels in rows and columns alone.
pub fn images(plan: &Plan, method: &str) -> Result<(), Error> {
    match plan.data.modality {
        Modality::Image => Ok(()),
        other => Err(Error::setting(
            "method.name",
            format!(
                "{method} is for images, the data are {other}; simclr or denoising_autoencoder, e.g., works on them"
            ),
        )),
    }
}

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
            describe(&sizes)
        ),
    ))
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
            describe(&sizes)
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
                "method.name = \"{method}\" needs one view of data.size = {} px, the plan has {}; set views=[{{count=1}}], or one [[views]] group with count = 1 and no size",
                plan.data.size,
                describe(&sizes)
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

/// Side of every view, px, flattened over the groups.
fn view_sizes(plan: &Plan) -> Vec<usize> {
    plan.views.iter().flat_map(|group| std::iter::repeat_n(group.size, group.count)).collect()
}

fn describe(sizes: &[usize]) -> String {
    let sides: Vec<_> = sizes.iter().map(usize::to_string).collect();
    format!("{} of {} px", sizes.len(), sides.join(", "))
}
