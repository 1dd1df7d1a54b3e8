//! Whether a plan can fit into the machine's memory: told before anything is allocated.

use crate::error::Error;
use crate::optim::settings::UpdateRule;
use crate::plan::Plan;

/// Bytes of an `f32`.
const F32: f64 = 4.0;
/// Batches of views that exist at once: one in use, one in the queue, one that is being made.
const BATCHES: f64 = 3.0;

/// Refuses a plan that needs more memory than the machine has. An estimate from below: what it refuses cannot work.
pub(crate) fn check(plan: &Plan) -> Result<(), Error> {
    let Some(machine) = machine_bytes() else { return Ok(()) };
    let needed = estimate_bytes(plan)?;
    if needed.total() <= machine {
        return Ok(());
    }
    let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
    let (what, key, hint) = match needed {
        Needed { weights, .. } if weights > 0.5 * machine => {
            ("weights, gradients and optimizer", "backbone", "a smaller backbone or projector would do")
        }
        Needed { views, .. } if views > 0.5 * machine => {
            ("batches of views", "train.batch_size", "fewer or smaller views per step would do")
        }
        _ => ("activations", "train.chunk_size", "fewer samples at once need less, at the same batch"),
    };
    let problem = format!(
        "a step needs at least {}, most of it for {what}, and the machine has {}; {hint}",
        gigabytes(needed.total()),
        gigabytes(machine)
    );
    Err(Error::setting(key, problem))
}

/// Bytes that a training holds at least.
struct Needed {
    weights: f64,
    activations: f64,
    views: f64,
}

impl Needed {
    fn total(&self) -> f64 {
        self.weights + self.activations + self.views
    }
}

fn estimate_bytes(plan: &Plan) -> Result<Needed, Error> {
    let moments = match plan.optimizer.rule {
        UpdateRule::Adamw(_) => 2.0,
        UpdateRule::Sgd(_) | UpdateRule::Lars(_) => 1.0,
    };
    let mut parameters = 0.0f64;
    let (mut activations, mut pixels) = (0.0, 0.0);
    for group in &plan.views {
        let cost = plan.backbone.cost(plan.data.channels, group.size)?;
        parameters = parameters.max(cost.parameters);
        activations += group.count as f64 * cost.activations;
        pixels += group.count as f64 * (group.size * group.size * plan.data.channels) as f64;
    }
    parameters += plan.projector.parameters();
    Ok(Needed {
        weights: F32 * parameters * (2.0 + moments),
        activations: F32 * activations * plan.train.chunk_size as f64,
        views: F32 * pixels * plan.train.batch_size as f64 * BATCHES,
    })
}

/// Memory of the machine, bytes; unknown on systems that do not tell it in a way that we know.
fn machine_bytes() -> Option<f64> {
    #[cfg(unix)]
    {
        // SAFETY: `sysconf` reads no memory of ours.
        let [pages, page_bytes] = unsafe { [libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)] };
        (pages > 0 && page_bytes > 0).then_some(pages as f64 * page_bytes as f64)
    }
    #[cfg(not(unix))]
    None
}
