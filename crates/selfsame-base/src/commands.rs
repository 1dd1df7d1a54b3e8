//! Commands that a person is told to type. All are made here, so that each can be pasted into a shell as it is, whatever its paths are
//! called; a test provokes and runs every kind (`selfsame-cli/tests/pasted.rs`).

use crate::text::pasted;
use std::path::Path;

macro_rules! commands {
    ($($(#[doc = $meaning:literal])* $kind:ident = $words:literal,)*) => {
        /// A kind of command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command {
            $($(#[doc = $meaning])* $kind,)*
        }

        impl Command {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its words; `{}` is what it is about.
            fn words(self) -> &'static str {
                match self {
                    $(Self::$kind => $words,)*
                }
            }
        }
    };
}

commands! {
    /// Train on the data at a path.
    Train = "pretrain data={}",
    /// Go on with the training of a run.
    GoOn = "pretrain {}",
    /// Diagnose a run.
    Diagnose = "diagnose {}",
    /// What a run has become invariant to.
    Invariance = "diagnose {} --invariance",
    /// The views that a run is shown.
    Preview = "preview {}",
    /// Draw the report of a run.
    Report = "report {}",
    /// Serve the page of a run.
    Watch = "watch {}",
    /// A catalogue.
    List = "list {}",
    /// How a command is used.
    Help = "{} --help",
}

impl Command {
    /// The command about a path or a name.
    ///
    /// ```
    /// use selfsame_base::commands::Command;
    /// assert_eq!(Command::GoOn.of("runs/mine"), "selfsame pretrain runs/mine");
    /// assert_eq!(Command::Train.of("my photos"), "selfsame pretrain 'data=my photos'");
    /// ```
    pub fn of(self, subject: impl AsRef<Path>) -> String {
        let subject = subject.as_ref().to_string_lossy();
        let words = self.words().split(' ').map(|word| pasted(word.replace("{}", &subject)));
        std::iter::once("selfsame".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }
}
