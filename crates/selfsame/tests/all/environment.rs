//! What the environment asks for and the kernels cannot do is an error of whatever begins work on tensors.
//!
//! Kernels read the environment once per process, so the test runs itself again for each variable.

use crate::recorded::again;
use crate::training::{method, plan};
use burn::tensor::Device;
use selfsame::branch::Branch;
use selfsame::embed::{Tables, Wanted};
use selfsame::events::Silent;
use selfsame::finetune::{Tuning, finetune, settings::FinetuneSettings};
use selfsame::method::BuildContext;
use selfsame::weights::WeightsOf;
use selfsame::{device, selftest};
use selfsame_evaluate::label_subsets::LabelBudget;
use std::sync::atomic::AtomicBool;

/// The variable under test, told to the process under another name too.
const EXPECTED: &str = "SELFSAME_TEST_EXPECTED";

#[test]
fn what_the_kernels_cannot_do_is_an_error_and_no_panic() {
    for (variable, value, expected) in [
        ("SELFSAME_ISA", "mmx", "SELFSAME_ISA=mmx: unknown instruction set; expected avx512, avx2, neon or scalar"),
        ("SELFSAME_WINOGRAD", "3", "SELFSAME_WINOGRAD=3: expected 4"),
    ] {
        let words = ["--exact", "environment::in_this_process", "--ignored", "--nocapture"];
        let output = again().args(words).env(variable, value).env(EXPECTED, expected).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(output.status.success() && text.contains("1 passed"), "{variable}: {text}");
    }
}

#[test]
#[ignore = "run by what_the_kernels_cannot_do_is_an_error_and_no_panic, once for each variable"]
fn in_this_process() {
    let expected = std::env::var(EXPECTED).unwrap();
    let is_told = |what: &str, error: Option<selfsame::Error>| {
        let error = error.unwrap_or_else(|| panic!("{what} went well")).to_string();
        assert!(error.starts_with(&expected) && !error.contains('\n'), "{what}: {error}");
    };
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &[]);
    let entry = method(&plan);
    is_told("open", device::open("cpu").err());
    is_told("pretrain", (entry.pretrain)(&plan, dataset.clone(), &mut Silent, &AtomicBool::new(false)).err());
    is_told("branch", (entry.branch)(&plan, WeightsOf::Fresh, &mut |_| {}).err());
    is_told("selftest", selftest::objectives(selftest::OBJECTIVES, &Device::flex()).err());
    // Whatever device the encoder came from.
    let encoder = BuildContext { plan: &plan, device: &Device::flex(), start: None }.encoder().unwrap();
    let branch = Branch::without_projector(encoder);
    is_told("embed", Tables::embed(&branch, &dataset, &plan, None, Wanted::default(), &mut |_| {}).err());
    let (told, parts) = Default::default();
    let tuning = Tuning {
        plan: &plan,
        method: entry,
        branch: &branch,
        train: &dataset,
        test: &dataset,
        told: &told,
        parts: &parts,
        save: None,
    };
    let settings = FinetuneSettings::parse(&[]).unwrap();
    let labels = [LabelBudget::All];
    let tuned = finetune(&tuning, &labels, &settings, &mut |_, _, _| {}, &mut |_| Ok(()));
    is_told("finetune", tuned.err());
}
