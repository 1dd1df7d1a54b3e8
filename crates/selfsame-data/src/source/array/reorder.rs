//! Arrays in Fortran order: the first axis runs fastest, so that the values of an image are spread over the whole file.

use crate::source::bad_file;
use crate::source::rows::Storage;
use crate::source::unpack::Spool;
use selfsame_base::DataError;
use std::path::Path;

/// Bytes of images that are put in order at once.
const BLOCK_BYTES: usize = 64 << 20;

/// Larger images are not put in order.
const MOST_IMAGE_BYTES: usize = 2 << 30;

/// The array of `shape` that lies in `storage` from `offset` on in Fortran order, image after image, in memory or in a temporary
/// file. It has been checked to be whole.
pub fn to_c_order(
    path: &Path,
    storage: &Storage,
    offset: usize,
    shape: &[usize],
    item_bytes: usize,
) -> Result<Storage, DataError> {
    let (rows, axes) = (shape[0], &shape[1..]);
    let row: usize = axes.iter().product();
    if row * item_bytes > MOST_IMAGE_BYTES {
        let problem = format!(
            "an image of {} bytes in Fortran order is not read; save it in C order: np.ascontiguousarray(images)",
            row * item_bytes
        );
        return Err(bad_file(path, problem));
    }
    let block = (BLOCK_BYTES / (row * item_bytes)).clamp(1, rows);
    let mut spool = Spool::new();
    for start in (0..rows).step_by(block) {
        let count = block.min(rows - start);
        let mut ordered = vec![0; count * row * item_bytes];
        // Position within an image, its first axis fastest.
        let mut at = vec![0; axes.len()];
        for place in 0..row {
            let first = offset + (place * rows + start) * item_bytes;
            let values = storage.read(first, count * item_bytes).map_err(|cause| DataError::io(path, cause))?;
            let to = at.iter().zip(axes).fold(0, |to, (at, length)| to * length + at);
            for (image, value) in values.chunks_exact(item_bytes).enumerate() {
                ordered[(image * row + to) * item_bytes..][..item_bytes].copy_from_slice(value);
            }
            for (at, &length) in at.iter_mut().zip(axes) {
                *at += 1;
                if *at < length {
                    break;
                }
                *at = 0;
            }
        }
        spool.write(path, &ordered)?;
    }
    Ok(spool.into_storage(path))
}
