//! The trials, a file for each kind.

mod commands;
mod corrupt;
mod damage;
mod divergence;
mod every_call;
mod fault;
mod faults;
mod random_kills;
mod soak;
mod two_at_once;

use crate::bench::Bench;
use crate::ledger::Tally;
use crate::product::Failure;

/// A kind of trial, and the word that asks for it alone.
pub type Part = (&'static str, fn(&Bench) -> Result<Vec<Tally>, Failure>);

/// All of them.
pub const PARTS: &[Part] = &[
    ("random-kills", random_kills::make),
    ("every-call", every_call::make),
    ("commands", commands::make),
    ("damage", damage::make),
    ("faults", faults::make),
    ("corrupt", corrupt::make),
    ("divergence", divergence::make),
    ("two-at-once", two_at_once::make),
    ("soak", soak::make),
];
