//! The update rules, as operations of the device: default bodies in the tensor library's own terms, one-pass kernels
//! on the CPU.

use crate::tensor::cpu::{contiguous, values};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use selfsame_kernels::optimize::{self, AdamW, Lars, MovingAverage, Sgd};

/// An update rule with its numbers for one tensor and one step. `p` parameter, `g` gradient, `m`, `v` moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// `m ← μm + (g + wd·p)`, `p ← p − lr·m`.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// μ
        momentum: f64,
        /// wd
        decay: f64,
    },
    /// `m ← μm + r·(g + wd·p)`, `p ← p − lr·m`, `r = η‖p‖ / ‖g + wd·p‖`, 1 if either norm is 0 (You et al. 2017).
    Lars {
        /// Learning rate.
        lr: f64,
        /// μ
        momentum: f64,
        /// wd
        decay: f64,
        /// η
        trust: f64,
    },
    /// `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `p ← p − lr·(m̂/(√v̂ + ε) + wd·p)` (Loshchilov & Hutter 2019).
    Adamw {
        /// Learning rate.
        lr: f64,
        /// β₁, β₂
        betas: [f64; 2],
        /// ε
        epsilon: f64,
        /// wd
        decay: f64,
        /// Steps taken, this one included: the bias correction.
        step: u64,
    },
}

impl Update {
    /// Number of state tensors.
    pub fn moments(&self) -> usize {
        match self {
            Self::Sgd { .. } | Self::Lars { .. } => 1,
            Self::Adamw { .. } => 2,
        }
    }
}

/// Applies `rule`: the new parameter and the new moments.
pub fn apply(rule: Update, p: Tensor<1>, g: Tensor<1>, moments: Vec<Tensor<1>>) -> (Tensor<1>, Vec<Tensor<1>>) {
    let (p, g) = (p.into_dispatch(), g.into_dispatch());
    let mut moments = moments.into_iter().map(Tensor::into_dispatch);
    let m = moments.next().expect("every rule has a first moment");
    let (p, moments) = match moments.next() {
        None => {
            let (p, m) = <Dispatch as OptimizerOps>::momentum_step(p, g, m, rule);
            (p, vec![m])
        }
        Some(v) => {
            let (p, m, v) = <Dispatch as OptimizerOps>::adamw_step(p, g, m, v, rule);
            (p, vec![m, v])
        }
    };
    (Tensor::from_dispatch(p), moments.into_iter().map(Tensor::from_dispatch).collect())
}

/// A teacher's step after its student `p`: `t ← βt + (1 − β)p`.
pub fn follow(t: Tensor<1>, p: Tensor<1>, decay: f64) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as OptimizerOps>::moving_average(t.into_dispatch(), p.into_dispatch(), decay))
}

/// Sum of the squares of `x`.
pub fn square_sum(x: Tensor<1>) -> f64 {
    f64::from(
        Tensor::<1>::from_dispatch(<Dispatch as OptimizerOps>::square_sum(x.into_dispatch())).into_scalar::<f32>(),
    )
}

/// Update rules over flat tensors `[elements]`.
#[backend_extension(Flex)]
pub trait OptimizerOps: Backend {
    /// SGD or LARS: `(p, g, m)` to `(p, m)`.
    fn momentum_step(
        p: FloatTensor<Self>,
        g: FloatTensor<Self>,
        m: FloatTensor<Self>,
        rule: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::momentum_step::<Self>(p, g, m, rule)
    }

    /// AdamW: `(p, g, m, v)` to `(p, m, v)`.
    fn adamw_step(
        p: FloatTensor<Self>,
        g: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        rule: Update,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        portable::adamw_step::<Self>(p, g, m, v, rule)
    }

    /// `βt + (1 − β)p`.
    fn moving_average(t: FloatTensor<Self>, p: FloatTensor<Self>, decay: f64) -> FloatTensor<Self> {
        portable::moving_average::<Self>(t, p, decay)
    }

    /// `Σ x²`, `[1]`.
    fn square_sum(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::square_sum::<Self>(x)
    }
}

impl OptimizerOps for Flex {
    fn momentum_step(p: FlexTensor, g: FlexTensor, m: FlexTensor, rule: Update) -> (FlexTensor, FlexTensor) {
        let (mut p, g, mut m) = (contiguous(p), contiguous(g), contiguous(m));
        let sgd = |lr: f64, momentum: f64, decay: f64| Sgd {
            learning_rate: lr as f32,
            momentum: momentum as f32,
            weight_decay: decay as f32,
        };
        let (parameter, gradient, momenta) = (p.storage_mut(), values(&g), m.storage_mut());
        match rule {
            Update::Sgd { lr, momentum, decay } => sgd(lr, momentum, decay).step(parameter, gradient, momenta),
            Update::Lars { lr, momentum, decay, trust } => {
                Lars { sgd: sgd(lr, momentum, decay), trust: trust as f32 }.step(parameter, gradient, momenta);
            }
            Update::Adamw { .. } => unreachable!("AdamW has its own operation"),
        }
        (p, m)
    }

    fn adamw_step(
        p: FlexTensor,
        g: FlexTensor,
        m: FlexTensor,
        v: FlexTensor,
        rule: Update,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let Update::Adamw { lr, betas: [beta1, beta2], epsilon, decay, step } = rule else {
            unreachable!("SGD and LARS have their own operation")
        };
        let (mut p, g, mut m, mut v) = (contiguous(p), contiguous(g), contiguous(m), contiguous(v));
        let rule = AdamW {
            learning_rate: lr as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            weight_decay: decay as f32,
        };
        rule.step(step, p.storage_mut(), values(&g), [m.storage_mut(), v.storage_mut()]);
        (p, m, v)
    }

    fn moving_average(t: FlexTensor, p: FlexTensor, decay: f64) -> FlexTensor {
        let (mut t, p) = (contiguous(t), contiguous(p));
        MovingAverage { teacher: t.storage_mut(), decay: decay as f32 }.follow(values(&p));
        t
    }

    fn square_sum(x: FlexTensor) -> FlexTensor {
        let sum = optimize::square_sum(values(&contiguous(x)));
        FlexTensor::from_data(TensorData::from([sum as f32]))
    }
}

mod portable {
    use super::Update;
    use burn::backend::Backend;
    use burn::backend::tensor::FloatTensor;

    fn scaled<B: Backend>(x: FloatTensor<B>, by: f64) -> FloatTensor<B> {
        B::float_mul_scalar(x, (by as f32).into())
    }

    fn norm<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_sqrt(B::float_sum(B::float_mul(x.clone(), x)))
    }

    pub fn square_sum<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_sum(B::float_mul(x.clone(), x))
    }

    pub fn momentum_step<B: Backend>(
        p: FloatTensor<B>,
        g: FloatTensor<B>,
        m: FloatTensor<B>,
        rule: Update,
    ) -> (FloatTensor<B>, FloatTensor<B>) {
        let (lr, momentum, decay, trust) = match rule {
            Update::Sgd { lr, momentum, decay } => (lr, momentum, decay, None),
            Update::Lars { lr, momentum, decay, trust } => (lr, momentum, decay, Some(trust)),
            Update::Adamw { .. } => unreachable!("AdamW has its own operation"),
        };
        let mut step = B::float_add(g, scaled::<B>(p.clone(), decay));
        if let Some(trust) = trust {
            let (size, length) = (norm::<B>(p.clone()), norm::<B>(step.clone()));
            let product = B::float_mul(size.clone(), length.clone());
            let dtype = burn::tensor::BoolDType::Native;
            let zero = B::float_lower_equal_elem(product, 0f32.into(), dtype);
            let ratio = B::float_mask_fill(B::float_div(scaled::<B>(size, trust), length), zero, 1f32.into());
            step = B::float_mul(step, ratio);
        }
        let m = B::float_add(scaled::<B>(m, momentum), step);
        (B::float_sub(p, scaled::<B>(m.clone(), lr)), m)
    }

    pub fn moving_average<B: Backend>(t: FloatTensor<B>, p: FloatTensor<B>, decay: f64) -> FloatTensor<B> {
        B::float_add(scaled::<B>(t, decay), scaled::<B>(p, 1.0 - decay))
    }

    pub fn adamw_step<B: Backend>(
        p: FloatTensor<B>,
        g: FloatTensor<B>,
        m: FloatTensor<B>,
        v: FloatTensor<B>,
        rule: Update,
    ) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
        let Update::Adamw { lr, betas: [b1, b2], epsilon, decay, step } = rule else {
            unreachable!("SGD and LARS have their own operation")
        };
        let m = B::float_add(scaled::<B>(m, b1), scaled::<B>(g.clone(), 1.0 - b1));
        let v = B::float_add(scaled::<B>(v, b2), scaled::<B>(B::float_mul(g.clone(), g), 1.0 - b2));
        let correction = |beta: f64| 1.0 / (1.0 - beta.powf(step as f64));
        let root = B::float_sqrt(scaled::<B>(v.clone(), correction(b2)));
        let direction =
            B::float_div(scaled::<B>(m.clone(), correction(b1)), B::float_add_scalar(root, (epsilon as f32).into()));
        let p = B::float_sub(scaled::<B>(p, 1.0 - lr * decay), scaled::<B>(direction, lr));
        (p, m, v)
    }
}
