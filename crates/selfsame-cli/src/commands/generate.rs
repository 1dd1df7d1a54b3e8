//! `selfsame generate`.

use crate::exit::{Code, bad_input};
use crate::terminal;
use anyhow::{Context, Result};
use clap::{Args, Command, Subcommand};
use clap_complete::Shell;
use selfsame_base::atomic;
use std::path::{Path, PathBuf};

/// Write what an installation offers besides the program: completions for a shell, or manual pages.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame generate completions bash > ~/.local/share/bash-completion/completions/selfsame
  selfsame generate man ~/.local/share/man/man1             selfsame.1, and a page per command")]
pub struct Generate {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Completions, to standard output
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Manual pages, into a folder that is there
    Man {
        /// The folder
        folder: PathBuf,
    },
}

impl Generate {
    pub fn run(self, mut program: Command) -> Result<Code> {
        match self.what {
            What::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut program, "selfsame", &mut script);
                terminal::print(format_args!("{}", String::from_utf8_lossy(&script).trim_end()));
            }
            What::Man { folder } => {
                if !folder.is_dir() {
                    return Err(bad_input(format!("{}: is no folder; make it first", folder.display())));
                }
                program.build();
                let pages = std::iter::once(&program).chain(program.get_subcommands());
                for page in pages.filter(|page| page.get_name() != "help") {
                    write(&folder, page)?;
                }
            }
        }
        Ok(Code::Finished)
    }
}

fn write(folder: &Path, command: &Command) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(&name).render(&mut page).context("a manual page")?;
    let path = folder.join(format!("{name}.1"));
    atomic::write(&path, &page)?;
    terminal::print(format_args!("{}", path.display()));
    Ok(())
}
