//! What `torch.save` writes: a zip archive since PyTorch 1.6, pickles and numbers one after the other before.

use super::pickle::{Id, Pickle, Storage, Strided, Value};
use super::state_dict::{Entry, Number, StateDict};
use std::collections::HashMap;
use std::io::{self, Cursor};
use zip::{CompressionMethod, ZipArchive};

/// The first pickle of a file of before: a number, in ten bytes.
const OLD_START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// The start of a zip archive.
const ZIP_START: &[u8] = b"PK\x03\x04";
/// What stands for the checksum of an entry where `torch.serialization.set_crc32_options(False)` was said.
const NO_CHECKSUM: u32 = 0;
/// Dictionaries within dictionaries.
const MOST_DEPTH: usize = 8;
/// Entries of dictionaries, one that is in many counted as often.
const MOST_ENTRIES: usize = 1 << 19;
/// Bytes of all names.
const MOST_NAME_BYTES: usize = 1 << 26;

/// Whether this is such a file.
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP_START) || bytes.starts_with(OLD_START)
}

/// The tensors in such a file.
///
/// # Errors
/// One line: what is wrong with it, or what it wants that is not done.
pub fn read(bytes: &[u8]) -> Result<StateDict<'_>, String> {
    if bytes.starts_with(ZIP_START) { of_zip(bytes) } else { of_pickles(bytes) }
}

fn of_zip(bytes: &[u8]) -> Result<StateDict<'_>, String> {
    let broken = |error: &dyn std::fmt::Display| {
        let error = error.to_string();
        let error: String = error.escape_debug().take(200).collect();
        format!("the archive is cut off or damaged ({error}); fetch it again")
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let found = archive.file_names().find_map(|name| name.ok()?.strip_suffix("data.pkl").map(str::to_owned));
    let folder = found.ok_or("an archive, but not of torch.save: it has no data.pkl")?;
    // Each entry is read once, so that entries that overlap take no longer than the file is long.
    let mut left = bytes.len();
    let mut entry = |name: &str| -> Result<&[u8], String> {
        let mut entry = archive.by_name(name).map_err(|error| broken(&error))?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err("its entries are packed, which torch.save does not do; save it again with torch.save".into());
        }
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.and_then(|start| start.checked_add(usize::try_from(entry.size()).ok()?));
        let contents = start.zip(end).and_then(|(start, end)| bytes.get(start..end));
        let contents = contents.ok_or_else(|| broken(&"an entry beyond the end"))?;
        left = left.checked_sub(contents.len()).ok_or_else(|| broken(&"entries that overlap"))?;
        // Reading to the end compares the checksum.
        if entry.crc32() != NO_CHECKSUM {
            io::copy(&mut entry, &mut io::sink()).map_err(|error| broken(&error))?;
        }
        Ok(contents)
    };
    if entry(&format!("{folder}byteorder")).is_ok_and(|order| order != b"little") {
        return Err("its numbers are big-endian; save it again on a little-endian machine".into());
    }
    let pickle = Pickle::read(entry(&format!("{folder}data.pkl"))?)?;
    let mut storages: HashMap<String, &[u8]> = HashMap::new();
    state_dict(&pickle, |storage| {
        if let Some(bytes) = storages.get(&storage.key) {
            return Ok(bytes);
        }
        let bytes = entry(&format!("{folder}data/{}", storage.key))?;
        storages.insert(storage.key.clone(), bytes);
        Ok(bytes)
    })
}

fn of_pickles(bytes: &[u8]) -> Result<StateDict<'_>, String> {
    let mut rest = bytes.strip_prefix(OLD_START).ok_or("not a file of torch.save")?;
    let mut next = || {
        let pickle = Pickle::read(rest)?;
        rest = &rest[pickle.length..];
        Ok::<_, String>(pickle)
    };
    // Version and machine; what was saved; the keys of its storages.
    let (_, _, saved, keys) = (next()?, next()?, next()?, next()?);
    let Value::List(keys_in_order) = keys.value(keys.root) else {
        return Err("its list of storages is damaged; fetch it again".into());
    };
    let numbers: HashMap<&str, Number> =
        saved.storages().map(|storage| (storage.key.as_str(), storage.number)).collect();
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for &key in keys_in_order {
        let Value::Text(key) = keys.value(key) else { continue };
        let (count, numbers_on) = rest.split_at_checked(8).ok_or("it is cut off; fetch it again")?;
        let count = u64::from_le_bytes(count.try_into().expect("8 bytes"));
        // Of what no tensor is made, how much there is cannot be known, nor what comes after.
        let Some(number) = numbers.get(key.as_str()) else { break };
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(number.bytes()));
        let (data, after) =
            length.and_then(|length| numbers_on.split_at_checked(length)).ok_or("it is cut off; fetch it again")?;
        storages.insert(key, data);
        rest = after;
    }
    state_dict(&saved, |storage| {
        storages.get(storage.key.as_str()).copied().ok_or_else(|| "it lacks some of its numbers; fetch it again".into())
    })
}

/// The tensors of a pickle whose numbers `storage` finds.
fn state_dict<'a>(
    pickle: &Pickle,
    mut storage: impl FnMut(&Storage) -> Result<&'a [u8], String>,
) -> Result<StateDict<'a>, String> {
    let mut found = Vec::new();
    let mut budget = (MOST_ENTRIES, MOST_NAME_BYTES);
    collect(pickle, pickle.root, "", 0, &mut budget, &mut found)?;
    let mut tensors = StateDict::new();
    for (name, tensor) in found {
        let Strided { storage: of, offset, shape, strides } = tensor;
        let bytes = storage(of)?;
        let start = of.first.checked_add(*offset).and_then(|first| first.checked_mul(of.number.bytes()));
        let window = start.and_then(|start| bytes.get(start..)).unwrap_or(&[]);
        let entry = Entry::new(of.number, shape.clone(), strides.clone(), window);
        tensors.insert(name.clone(), entry.map_err(|problem| format!("{} {problem}", name.escape_debug()))?);
    }
    Ok(tensors)
}

fn collect<'p>(
    pickle: &'p Pickle,
    id: Id,
    name: &str,
    depth: usize,
    budget: &mut (usize, usize),
    found: &mut Vec<(String, &'p Strided)>,
) -> Result<(), String> {
    match pickle.value(id) {
        Value::Tensor(tensor) => found.push((name.to_owned(), tensor)),
        Value::Dict(entries) if depth < MOST_DEPTH => {
            for &(key, value) in entries {
                let key = match pickle.value(key) {
                    Value::Text(key) => key.clone(),
                    Value::Integer(key) => key.to_string(),
                    _ => continue,
                };
                let name = if name.is_empty() { key } else { format!("{name}.{key}") };
                let left = budget.0.checked_sub(1).zip(budget.1.checked_sub(name.len()));
                *budget = left.ok_or("its dictionaries have more entries than any weights need")?;
                collect(pickle, value, &name, depth + 1, budget, found)?;
            }
        }
        _ => {}
    }
    Ok(())
}
