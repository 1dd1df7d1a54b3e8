//! Images that stay in memory.

use crate::image::Image;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Decoded images of a data set that is expected to fit; whatever does not fit after all is decoded again.
pub struct Cache {
    slots: Vec<OnceLock<Arc<Image>>>,
    held_bytes: AtomicUsize,
    budget_bytes: usize,
}

impl Cache {
    /// For `len` samples, of `budget_bytes` in all.
    pub fn new(len: usize, budget_bytes: usize) -> Self {
        Self { slots: (0..len).map(|_| OnceLock::new()).collect(), held_bytes: AtomicUsize::new(0), budget_bytes }
    }

    /// The sample, if it is kept.
    pub fn get(&self, index: usize) -> Option<Arc<Image>> {
        self.slots[index].get().cloned()
    }

    /// Whether it fits, and stays.
    pub fn keep(&self, index: usize, image: &Arc<Image>) -> bool {
        let bytes = image.size_bytes();
        let held = self.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Two threads may decode one image at once; the second gives its share back.
        let kept = held <= self.budget_bytes && self.slots[index].set(Arc::clone(image)).is_ok();
        if !kept {
            self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        kept
    }
}
