//! DINO (Caron et al. 2021, eq. 1–2 and algorithm 1).

use super::{LossTerms, log_sum_exp, swapped_prediction};
use burn::tensor::Tensor;

/// Temperatures of the distillation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperatures {
    /// τ of the student.
    pub student: f64,
    /// τ of the teacher; lower is sharper.
    pub teacher: f64,
}

/// Every view's distribution over the prototypes must match the teacher's of *another* view of the sample:
///
/// `−mean Σ_k P_t^(a)_k log P_s^(v)_k` over `v ≠ a`, `P_t = softmax((t − c)/τ_t)`, `P_s = softmax(s/τ_s)`.
///
/// The teacher sees the leading views and is a constant. Its center `c` keeps any one prototype from winning everywhere;
/// its low temperature keeps the uniform distribution away: each alone would end in what the other prevents.
/// `assignment_entropy` and `usage_entropy` are the teacher's.
///
/// # Shapes
/// `students`, one per view, and `teachers`, one per leading view: `[batch, prototypes]` each; `center`: `[1, prototypes]`.
pub fn dino(students: Vec<Tensor<2>>, teachers: &[Tensor<2>], center: &Tensor<2>, by: Temperatures) -> LossTerms {
    let assignments: Vec<_> = teachers
        .iter()
        .map(|t| {
            let logits = (t.clone() - center.clone()).detach() / by.teacher;
            (logits.clone() - log_sum_exp(logits)).exp()
        })
        .collect();
    swapped_prediction(&assignments, students, by.student)
}
