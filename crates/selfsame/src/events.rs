//! Observers: who is told of a training's events.

pub use selfsame_base::events::{Event, FORMAT, StepRecord};

/// Is told of every event.
pub trait Observer: Send {
    /// Called on the training thread.
    fn event(&mut self, event: &Event);
}

/// Hears nothing.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}
