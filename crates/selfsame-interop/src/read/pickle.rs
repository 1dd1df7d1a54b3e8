//! Pickles of weights, read without running anything.
//!
//! A pickle is a program for a machine with a stack, and may name any function and have it called. This machine builds plain
//! values and tensors alone: of names it knows the few in [`Known::find`], whose meaning is written here, and any other ends the
//! reading. Values lie side by side and name each other by number, so that nothing is copied, and nothing is as deep as a
//! hostile file says.

use super::state_dict::Number;
use std::collections::HashMap;

/// Values that a pickle makes at most; a checkpoint with its optimizer has some ten thousand.
const MOST_VALUES: usize = 1 << 21;

/// The number of a value.
pub type Id = usize;

/// A value.
#[derive(Debug)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// Words.
    Text(String),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dictionary.
    Dict(Vec<(Id, Id)>),
    /// Numbers that lie outside of the pickle.
    Storage(Storage),
    /// A window on them.
    Tensor(Box<Strided>),
    /// A name that is known.
    Name(Known),
    /// What weights do not need: settings, dates, random states.
    Inert,
}

/// Numbers side by side, which lie outside of the pickle.
#[derive(Clone, Debug)]
pub struct Storage {
    /// What they are.
    pub number: Number,
    /// By what they are found.
    pub key: String,
    /// Of a part of another storage: which of its numbers is the first.
    pub first: usize,
}

/// A window on a storage.
#[derive(Debug)]
pub struct Strided {
    /// The numbers.
    pub storage: Storage,
    /// Which of them is the first.
    pub offset: usize,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Numbers from one place to the next along each axis.
    pub strides: Vec<usize>,
}

/// A name that a pickle may have.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// Makes a dictionary.
    Dict,
    /// Makes a tensor of a storage.
    Tensor,
    /// Makes a parameter of a tensor.
    Parameter,
    /// A kind of storage.
    Storage(Number),
    /// Makes what weights do not need.
    Inert,
}

impl Known {
    fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "defaultdict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
                Self::Dict
            }
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch" | "torch.cuda", "FloatStorage") => Self::Storage(Number::F32),
            ("torch" | "torch.cuda", "DoubleStorage") => Self::Storage(Number::F64),
            ("torch" | "torch.cuda", "HalfStorage") => Self::Storage(Number::F16),
            ("torch" | "torch.cuda", "BFloat16Storage") => Self::Storage(Number::BF16),
            ("torch" | "torch.cuda", "LongStorage") => Self::Storage(Number::Other(8)),
            ("torch" | "torch.cuda", "IntStorage") => Self::Storage(Number::Other(4)),
            ("torch" | "torch.cuda", "ShortStorage") => Self::Storage(Number::Other(2)),
            ("torch" | "torch.cuda", "CharStorage" | "ByteStorage" | "BoolStorage") => Self::Storage(Number::Other(1)),
            (
                "torch",
                "Size" | "device" | "dtype" | "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32",
            ) => Self::Inert,
            ("torch.serialization", "_get_layout") | ("torch.torch_version", "TorchVersion") => Self::Inert,
            (
                "builtins" | "__builtin__",
                "set" | "frozenset" | "complex" | "int" | "float" | "bool" | "str" | "list" | "tuple" | "bytes"
                | "bytearray" | "range" | "slice",
            ) => Self::Inert,
            ("argparse", "Namespace") | ("types", "SimpleNamespace") | ("typing", "Any") => Self::Inert,
            ("pathlib" | "pathlib._local", "Path" | "PosixPath" | "WindowsPath" | "PurePosixPath") => Self::Inert,
            ("datetime", "datetime" | "date" | "timedelta") | ("_codecs", "encode") => Self::Inert,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct") => Self::Inert,
            ("numpy", "dtype" | "ndarray") => Self::Inert,
            (
                "pytorch_lightning.utilities.parsing"
                | "lightning_fabric.utilities.data"
                | "lightning.fabric.utilities.data",
                "AttributeDict",
            ) => Self::Inert,
            ("omegaconf.dictconfig", "DictConfig") | ("omegaconf.listconfig", "ListConfig") => Self::Inert,
            ("omegaconf.base", "ContainerMetadata" | "Metadata") | ("omegaconf.nodes", "AnyNode") => Self::Inert,
            _ => return None,
        })
    }
}

/// What a pickle holds.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    /// The value that it is of.
    pub root: Id,
    /// Bytes that it takes.
    pub length: usize,
}

impl Pickle {
    /// The pickle at the beginning of `bytes`.
    ///
    /// # Errors
    /// One line: what is wrong with it, or what it wants that is not done.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        let root = machine.run()?;
        Ok(Self { values: machine.values, root, length: machine.at })
    }

    /// All numbers that it speaks of.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| if let Value::Storage(storage) = value { Some(storage) } else { None })
    }

    /// The value with that number.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let at = self.at;
            let [operation] = self.array()?;
            match operation {
                b'.' => return self.pop(),
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b'N' | 0x8f => self.push(Value::Inert)?,
                0x88 => self.push(Value::Integer(1))?,
                0x89 => self.push(Value::Integer(0))?,
                b'K' => {
                    let [value] = self.array()?;
                    self.push(Value::Integer(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Value::Integer(value.into()))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Integer(value.into()))?;
                }
                0x8a => self.long()?,
                b'G' => self.skip(8)?,
                b'X' => self.text(4)?,
                0x8c | b'U' => self.text(1)?,
                b'T' => self.text(4)?,
                0x8d => self.text(8)?,
                b'C' => self.blob(1)?,
                b'B' => self.blob(4)?,
                0x8e | 0x96 => self.blob(8)?,
                b'q' => {
                    let [key] = self.array()?;
                    self.keep(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.keep(key)?;
                }
                0x94 => self.keep(self.memo.len() as u32)?,
                b'h' => {
                    let [key] = self.array()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                0x85..=0x87 => {
                    let items = self.last(usize::from(operation) - 0x84)?;
                    self.push(Value::Tuple(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' | 0x90 => {
                    let items = self.since_mark()?;
                    self.append(&items)?;
                }
                b's' => {
                    let items = self.last(2)?;
                    self.set(&items)?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(&items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(module, name)?;
                }
                0x93 => {
                    let words = self.last(2)?;
                    let [Value::Text(module), Value::Text(name)] = [&self.values[words[0]], &self.values[words[1]]]
                    else {
                        return Err("a name in it is no text".into());
                    };
                    let (module, name) = (module.clone(), name.clone());
                    self.name(&module, &name)?;
                }
                b'R' | 0x81 => self.call()?,
                // State of an object, which dictionaries do without, and nothing else here has.
                b'b' => drop(self.pop()?),
                b'Q' => self.storage()?,
                b'0' => drop(self.pop()?),
                b'1' => drop(self.since_mark()?),
                b'2' => {
                    let top = *self.stack.last().ok_or_else(damaged)?;
                    self.push_id(top)?;
                }
                other => {
                    return Err(format!(
                        "byte {at} of the pickle is the operation {other:#04x}, which weights do not need"
                    ));
                }
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("the pickle ends too early; the file is cut off, fetch it again")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("so many were taken"))
    }

    /// What follows its length in so many bytes.
    fn sized(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let mut length = [0; 8];
        length[..bytes].copy_from_slice(self.take(bytes)?);
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| damaged())?;
        self.take(length)
    }

    fn text(&mut self, bytes: usize) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.sized(bytes)?).into_owned();
        self.push(Value::Text(text))
    }

    fn blob(&mut self, bytes: usize) -> Result<(), String> {
        self.sized(bytes)?;
        self.push(Value::Inert)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        self.take(bytes)?;
        self.push(Value::Inert)
    }

    fn long(&mut self) -> Result<(), String> {
        let bytes = self.sized(1)?;
        let sign = if bytes.last().is_some_and(|byte| byte >> 7 == 1) { 0xff } else { 0 };
        let mut number = [sign; 8];
        let value = match number.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Integer(i64::from_le_bytes(number))
            }
            None => Value::Inert,
        };
        self.push(value)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = std::str::from_utf8(&rest[..length]).map_err(|_| damaged())?;
        self.at += length + 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.values.push(value);
        self.push_id(self.values.len() - 1)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        self.stack.push(id);
        if self.values.len().max(self.stack.len()) > MOST_VALUES {
            return Err(format!("the pickle makes more than {MOST_VALUES} values, which no weights need"));
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn last(&mut self, count: usize) -> Result<Vec<Id>, String> {
        let from = self.stack.len().checked_sub(count).ok_or_else(damaged)?;
        Ok(self.stack.split_off(from))
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn keep(&mut self, key: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(damaged)?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or_else(damaged)?;
        self.push_id(id)
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(damaged)?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            Value::Inert => {}
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let top = *self.stack.last().ok_or_else(damaged)?;
        match &mut self.values[top] {
            Value::Dict(entries) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Value::Inert => {}
            _ => return Err(damaged()),
        }
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let known = Known::find(module, name).ok_or_else(|| {
            let named = format!("{module}.{name}");
            let named: String = named.escape_debug().take(200).collect();
            format!(
                "it names {named}, which is no part of weights and is not run; if you trust the file, save its state_dict() alone"
            )
        })?;
        self.push(Value::Name(known))
    }

    /// What a known name makes of its arguments.
    fn call(&mut self) -> Result<(), String> {
        let words = self.last(2)?;
        let Value::Tuple(arguments) = &self.values[words[1]] else { return Err(damaged()) };
        let Value::Name(known) = self.values[words[0]] else {
            return Err("it calls what is no name".into());
        };
        match known {
            Known::Dict => {
                let pairs = arguments.first().map(|&id| &self.values[id]);
                let pairs = if let Some(Value::List(pairs)) = pairs { pairs.as_slice() } else { &[] };
                let pair = |&id: &Id| match &self.values[id] {
                    Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => Err(damaged()),
                };
                let entries = pairs.iter().map(pair).collect::<Result<_, _>>()?;
                self.push(Value::Dict(entries))
            }
            Known::Tensor => {
                let tensor = self.tensor(arguments)?;
                self.push(Value::Tensor(Box::new(tensor)))
            }
            Known::Parameter => {
                let tensor = *arguments.first().ok_or_else(damaged)?;
                self.push_id(tensor)
            }
            Known::Storage(_) | Known::Inert => self.push(Value::Inert),
        }
    }

    fn tensor(&self, arguments: &[Id]) -> Result<Strided, String> {
        let &[storage, offset, shape, strides, ..] = arguments else { return Err(damaged()) };
        let Value::Storage(storage) = &self.values[storage] else { return Err(damaged()) };
        let counts = |id: Id| match &self.values[id] {
            Value::Tuple(items) | Value::List(items) => items.iter().map(|&item| self.count(item)).collect(),
            _ => Err(damaged()),
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (counts(shape)?, counts(strides)?);
        if shape.len() != strides.len() {
            return Err(damaged());
        }
        Ok(Strided { storage: storage.clone(), offset: self.count(offset)?, shape, strides })
    }

    fn count(&self, id: Id) -> Result<usize, String> {
        match self.values[id] {
            Value::Integer(value) => usize::try_from(value).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }

    /// `("storage", kind, key, device, count)`, and in old files which part of another storage it is.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let Value::Tuple(parts) = &self.values[id] else { return Err(damaged()) };
        let &[word, kind, key, _, _, ..] = parts.as_slice() else { return Err(damaged()) };
        let [Value::Text(word), Value::Name(Known::Storage(number)), Value::Text(key)] =
            [word, kind, key].map(|id| &self.values[id])
        else {
            return Err(damaged());
        };
        if word != "storage" {
            return Err(damaged());
        }
        let first = match parts.get(5).map(|&id| &self.values[id]) {
            Some(Value::Tuple(view)) => self.count(*view.get(1).ok_or_else(damaged)?)?,
            _ => 0,
        };
        let storage = Storage { number: *number, key: key.clone(), first };
        self.push(Value::Storage(storage))
    }
}

fn damaged() -> String {
    "the pickle is damaged; fetch the file again".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        Pickle::read(bytes).unwrap_err()
    }

    #[test]
    fn plain_values_are_built_and_shared() {
        // {"a": [1, 2], "b": the same list}
        let pickle =
            Pickle::read(b"\x80\x02}q\x00(X\x01\x00\x00\x00a]q\x01(K\x01K\x02eX\x01\x00\x00\x00bh\x01u.tail").unwrap();
        assert_eq!(pickle.length, 31);
        let Value::Dict(entries) = pickle.value(pickle.root) else { panic!("{pickle:?}") };
        assert_eq!((entries.len(), entries[0].1), (2, entries[1].1));
        assert!(matches!(pickle.value(entries[0].1), Value::List(items) if items.len() == 2));
    }

    #[test]
    fn a_call_of_anything_else_is_refused_by_name() {
        // os.system("touch …"), by both operations that name.
        let old = refused(b"cos\nsystem\n(X\x0f\x00\x00\x00touch /tmp/ownedtR.");
        assert!(old.contains("os.system") && old.contains("not run"), "{old}");
        assert_eq!(refused(b"\x80\x04\x8c\x02os\x8c\x06system\x93."), old);
        assert!(refused(b"c__builtin__\neval\n.").contains("__builtin__.eval"));
        // What the operations of protocol 0 would do without a name being checked.
        assert!(refused(b"(S'x'\nios\nsystem\n.").contains("0x53"));
    }

    #[test]
    fn what_is_damaged_is_told() {
        for bytes in [
            &b""[..],
            b".",
            b"t.",
            b"h\x00.",
            b"K",
            b"(u.",
            b"K\x01K\x02R.",
            b"a.",
            b"X\xff\xff\xff\xff.",
            b"2",
            b"\x87.",
        ] {
            assert!(!refused(bytes).contains('\n'));
        }
        let many = [&b"N2"[..], &[b'2'; MOST_VALUES]].concat();
        assert!(refused(&many).contains("more than"));
    }
}
