//! Which instruction set the kernels run on: chosen once per process, at run time.
//!
//! The best set the machine has is taken, unless the environment variable `SELFSAME_ISA` (`avx512`, `avx2`, `neon` or `scalar`)
//! names another. A value of [`Isa`] exists only for a set that this machine has, so holding one is the proof that
//! [`Isa::run`] needs to enter code compiled for it.

#[cfg(target_arch = "aarch64")]
use crate::lanes::Neon;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2, Avx512};
use crate::lanes::{Kernel, Lanes, Scalar};
use std::{fmt, sync::OnceLock};

/// Whether the machine has all of these features.
#[cfg(target_arch = "x86_64")]
macro_rules! detected {
    ($($feature:tt),+) => { true $(&& std::is_x86_feature_detected!($feature))+ };
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> bool {
    detected!("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "bmi2")
}

/// Whether the machine multiplies tiles of bf16: bit 22 of EDX in leaf 7 (Intel's manual, volume 2, CPUID); Rust's own detection does not name it yet.
#[cfg(target_arch = "x86_64")]
fn amx() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx >> 22 & 1 == 1
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> bool {
    false
}

/// The environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "SELFSAME_ISA";

/// An instruction set that this machine has.
///
/// Results are the same bytes for the same instruction set, and differ in rounding between instruction sets; of rounded operands
/// (`precision.rs`) also between machines with and without instructions that [multiply bf16](Isa::multiplies_bf16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// With or without the instructions of bf16.
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        dots: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

/// The forced instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// The name is known, the machine lacks the set.
    #[error(
        "{ISA_VARIABLE}={name}: this machine lacks that instruction set; it has {available}: choose one or unset {ISA_VARIABLE}"
    )]
    Lacking {
        /// The name as it was given.
        name: String,
        /// The names that would work.
        available: String,
    },
    /// No instruction set has this name.
    #[error("{ISA_VARIABLE}={name}: unknown instruction set; expected avx512, avx2, neon or scalar")]
    Unknown {
        /// The name as it was given.
        name: String,
    },
}

impl Isa {
    /// All instruction sets this machine has, best first; the last is always the portable scalar code. One with instructions for
    /// bf16 is there without them too, by the same name.
    pub fn available() -> impl Iterator<Item = Isa> {
        [
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512 { dots: true }, detected!("avx512bf16") && avx512()),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512 { dots: false }, avx512()),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, detected!("avx2", "fma", "bmi2")),
            #[cfg(target_arch = "aarch64")]
            (Level::Neon, true),
            (Level::Scalar, true),
        ]
        .into_iter()
        .filter_map(|(level, present)| present.then_some(Isa(level)))
    }

    /// The instruction set of this process: the forced one, otherwise the best; decided at the first call.
    ///
    /// # Errors
    /// If `SELFSAME_ISA` names a set that is unknown or that the machine lacks. Call it at program start to report this.
    pub fn select() -> Result<Isa, IsaError> {
        static SELECTED: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        SELECTED.get_or_init(|| Isa::choose(std::env::var(ISA_VARIABLE).ok().as_deref())).clone()
    }

    /// The instruction set of this process, for kernels.
    ///
    /// # Panics
    /// If `SELFSAME_ISA` cannot be honored; [`Isa::select`] reports that as an error.
    pub fn active() -> Isa {
        #[cfg(test)]
        if let Some(isa) = FORCED.get() {
            return isa;
        }
        Isa::select().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The name that `SELFSAME_ISA` understands.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 { .. } => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
            Level::Scalar => "scalar",
        }
    }

    /// Runs a kernel, compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 { .. } => Avx512::<false>::enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Neon::enter(kernel),
            Level::Scalar => Scalar::enter(kernel),
        }
    }

    /// Runs a kernel on rounded operands, compiled for this instruction set and its instructions for bf16, if it has them.
    #[inline]
    pub(crate) fn run_rounded<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 { dots: true } => Avx512::<true>::enter(kernel),
            _ => self.run(kernel),
        }
    }

    /// Whether there are instructions that multiply bf16.
    pub fn multiplies_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 { dots } => dots,
            _ => false,
        }
    }

    /// Why products of operands rounded to bf16 take as long as those of f32 here, or longer, if they do (docs/performance.md has the measurements).
    pub fn bf16_gains_nothing(self) -> Option<&'static str> {
        if !self.multiplies_bf16() {
            return Some("it has no instructions that multiply bf16");
        }
        amx().then_some("of its instructions for bf16 only AMX's are faster than f32, and these are not used")
    }

    fn choose(forced: Option<&str>) -> Result<Isa, IsaError> {
        let Some(name) = forced.filter(|name| !name.is_empty()) else {
            return Ok(Isa::available().next().expect("the scalar code runs everywhere"));
        };
        if let Some(isa) = Isa::available().find(|isa| isa.name() == name) {
            return Ok(isa);
        }
        if !["avx512", "avx2", "neon", "scalar"].contains(&name) {
            return Err(IsaError::Unknown { name: name.into() });
        }
        let mut available: Vec<_> = Isa::available().map(Isa::name).collect();
        available.dedup();
        Err(IsaError::Lacking { name: name.into(), available: available.join(", ") })
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
thread_local! { static FORCED: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) }; }

#[cfg(test)]
impl Isa {
    /// Runs `test` with this instruction set the active one on this thread.
    pub(crate) fn force<R>(self, test: impl FnOnce() -> R) -> R {
        let before = FORCED.replace(Some(self));
        let result = test();
        FORCED.set(before);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_set_can_be_forced_and_the_best_is_the_default() {
        for isa in Isa::available() {
            let chosen = Isa::choose(Some(isa.name())).unwrap();
            assert!(chosen.name() == isa.name() && chosen.multiplies_bf16() >= isa.multiplies_bf16());
            assert!(isa.multiplies_bf16() || isa.bf16_gains_nothing().is_some());
        }
        let best = Isa::available().next();
        assert_eq!(Isa::choose(None).ok(), best);
        assert_eq!(Isa::choose(Some("")).ok(), best);
        assert_eq!(Isa::available().last().map(Isa::name), Some("scalar"));
    }

    #[test]
    fn a_forced_set_that_cannot_be_used_is_one_clear_line() {
        let unknown = Isa::choose(Some("sse9")).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "SELFSAME_ISA=sse9: unknown instruction set; expected avx512, avx2, neon or scalar"
        );
        for name in ["avx512", "avx2", "neon"] {
            if !Isa::available().any(|isa| isa.name() == name) {
                let lacking = Isa::choose(Some(name)).unwrap_err().to_string();
                assert!(lacking.contains("lacks") && lacking.contains("scalar") && !lacking.contains('\n'));
                assert!(lacking.matches("avx512").count() <= 1, "{lacking}");
            }
        }
    }
}
