//! The records of a run folder, which a report reads leniently.

use crate::{scratch, written};
use selfsame_evaluate::findings::Findings;
use selfsame_report::{Report, RunRecords, compare, live_page};

/// Files of records. The first byte of an input says, by its remainder, which one the others are.
pub const RECORDS: [&str; 7] = [
    "plan.toml",
    "metrics.jsonl",
    "scores.json",
    "diagnosis.json",
    "findings.json",
    "finetune.json",
    "invariance.json",
];

/// A run folder with one of its records, and the pages that are made of it.
pub fn records(bytes: &[u8]) {
    let Some((&which, record)) = bytes.split_first() else { return };
    let folder = scratch("records");
    let _ = std::fs::remove_dir_all(&folder);
    written("records/plan.toml", b"[method]\nname = \"simclr\"\n");
    let path = written(&format!("records/{}", RECORDS[usize::from(which) % RECORDS.len()]), record);
    let mut run = RunRecords::read(&folder).expect("a folder with a plan.toml is a run's");
    run.refresh(&folder);
    let findings = Findings::read(&folder.join("findings.json")).map_err(|error| error.to_string());
    let page = Report {
        run: &run,
        findings: findings.as_ref().map_err(Clone::clone),
        pictures: None,
        views: Err("no views.".into()),
        environment: "",
    };
    for page in [page.to_html(), live_page(&run, 1, ""), compare(&[run.clone(), run])] {
        assert!(page.ends_with("</html>\n"), "a page that is not whole");
    }
    std::fs::remove_file(path).expect("a file can be removed");
}
