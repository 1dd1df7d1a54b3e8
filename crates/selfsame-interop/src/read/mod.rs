//! Files of weights that others wrote, read within their bytes and without running anything.

mod pickle;
mod pytorch;
mod state_dict;

pub use state_dict::{Entry, Number, StateDict};

/// The tensors in the bytes of a safetensors file, or of one that `torch.save` wrote.
///
/// # Errors
/// One line: what is wrong with it.
///
/// # Examples
/// ```
/// let error = selfsame_interop::read::state_dict(b"no weights").unwrap_err();
/// assert!(error.contains("neither"));
/// ```
pub fn state_dict(bytes: &[u8]) -> Result<StateDict<'_>, String> {
    if pytorch::is_one(bytes) {
        return pytorch::read(bytes);
    }
    // A safetensors file begins with the length of its header, which begins with a brace.
    if bytes.get(8) == Some(&b'{') {
        return state_dict::safetensors(bytes);
    }
    Err("neither a safetensors file nor one that torch.save wrote".into())
}
