//! Sums of gradients that reach a tensor on several ways.

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    partition::{PART, for_each_part, load, store},
    profile::{self, Work},
};

/// `total += values`.
///
/// # Panics
/// If they differ in length.
pub fn add(total: &mut [f32], values: &[f32]) {
    let _span = profile::kernel("sum of gradients", || Work::pass(total.len(), total.len(), 3));
    assert_eq!(total.len(), values.len(), "elements of two gradients of one tensor");
    let (isa, len) = (Isa::active(), total.len());
    for_each_part((total, values), len, PART, &|(total, values)| isa.run(Add { total, values }));
}

struct Add<'a> {
    total: &'a mut [f32],
    values: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for i in 0..self.total.len().div_ceil(LANES) {
            store(self.total, i, load::<V>(self.total, i) + load::<V>(self.values, i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_every_path, random};

    #[test]
    fn every_element_is_added_once() {
        for len in [0, 1, 17, 3 * PART + 5] {
            let (a, b) = (random(len, 1), random(len, 2));
            let sums: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            on_every_path(|| {
                let mut total = a.clone();
                add(&mut total, &b);
                assert_eq!(total, sums);
            });
        }
    }
}
