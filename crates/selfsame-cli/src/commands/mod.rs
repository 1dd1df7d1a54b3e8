//! One file a subcommand.

pub mod demo;
pub mod diagnose;
pub mod embed;
pub mod evaluate;
pub mod export;
pub mod finetune;
pub mod generate;
pub mod list;
pub mod plan;
pub mod predict;
pub mod pretrain;
pub mod preview;
pub mod probe;
pub mod report;
pub mod selftest;
pub mod study;
pub mod watch;
