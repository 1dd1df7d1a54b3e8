//! `selfsame preview`.

use super::report;
use crate::exit::Code;
use crate::results::writable;
use crate::{plans, terminal};
use anyhow::Result;
use clap::Args;
use selfsame_base::atomic;
use selfsame_data::preview::Preview;
use selfsame_report::{PREVIEW_BYTES, preview_page};
use std::path::PathBuf;

/// Side of a tile, px, at most.
const TILE_PX: usize = 128;

const EXAMPLES: &str = "\
Examples:
  selfsame preview data=photos/                     the default views
  selfsame preview byol data=photos/ --samples 20
  selfsame preview runs/mine --out views.png        those of a run; the page is views.html";

/// Show samples with the views that training would make of them, as a PNG and as a page that states what was drawn; and here, in
/// a terminal that shows pictures (Kitty, Ghostty, WezTerm, iTerm2).
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = plans::long_help(EXAMPLES, &plans::plan_keys()))]
pub struct ShowViews {
    /// A recipe (file or name) or a run folder; then any recipe key as key=value
    #[arg(value_name = "RECIPE|RUN] [KEY=VALUE")]
    words: Vec<String>,
    /// Samples
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    samples: u16,
    /// Where to write; the PNG and the page have the same name, and .png and .html as endings
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    out: PathBuf,
}

impl ShowViews {
    pub fn run(self) -> Result<Code> {
        let (plan, dataset) = plans::open(&self.words)?;
        let (png, page) = (self.out.with_extension("png"), self.out.with_extension("html"));
        writable(&png).and_then(|()| writable(&page))?;
        let views = plan.training_views()?;
        let shown = Preview::new(&dataset, &plan.data, views, usize::from(self.samples), TILE_PX)?;
        plans::tell_skipped(&dataset);
        let title = format!("Views of {}", plan.data.path.display());
        let sheet = shown.sheet.to_png();
        atomic::write(&png, &sheet)?;
        atomic::write(
            &page,
            preview_page(&report::view_sheet(&shown, plan.data.modality, PREVIEW_BYTES), &title, &plan.to_toml())
                .as_bytes(),
        )?;
        terminal::show(&sheet);
        terminal::print(format_args!("{}\n{}", png.display(), page.display()));
        Ok(Code::Finished)
    }
}
