//! Tensors by name.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use selfsame_base::DataError;
use std::collections::{BTreeMap, HashMap};

/// An f32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub values: Vec<f32>,
}

impl Tensor {
    /// Its values, little-endian.
    pub fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// A matrix with its axes exchanged.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let [rows, columns] = [self.shape[0], self.shape[1]];
        let values = (0..columns).flat_map(|column| (0..rows).map(move |row| (row, column)));
        Self {
            shape: vec![columns, rows],
            values: values.map(|(row, column)| self.values[row * columns + column]).collect(),
        }
    }
}

/// The tensors of an encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors(BTreeMap<String, Tensor>);

impl Tensors {
    /// The f32 tensors in the bytes of a safetensors file.
    ///
    /// # Errors
    /// If it is none, or has numbers of another kind.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("not a safetensors file: {e}"))?;
        let tensor = |(name, view): (&str, TensorView)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("{name} is {:?}, expected F32", view.dtype()));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), values }))
        };
        file.iter().map(tensor).collect::<Result<_, _>>().map(Self)
    }

    /// A safetensors file of these alone, in the order of their names.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = self.0.values().map(Tensor::bytes).collect();
        let views = self.0.iter().zip(&bytes).map(|((name, tensor), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).expect("bytes fit the shape"))
        });
        safetensors::serialize(views, None).expect("whole tensors serialize")
    }

    /// A safetensors file as PyTorch's tools write it: every batch norm with the `batches` that it has seen.
    pub fn state_dict(&self, batches: u64) -> Vec<u8> {
        let mut entries: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> =
            self.0.iter().map(|(name, t)| (name.clone(), Dtype::F32, t.shape.clone(), t.bytes())).collect();
        let norms = self.0.keys().filter_map(|name| name.strip_suffix("running_mean"));
        entries.extend(norms.map(|norm| {
            let seen = i64::try_from(batches).unwrap_or(i64::MAX).to_le_bytes().to_vec();
            (format!("{norm}num_batches_tracked"), Dtype::I64, Vec::new(), seen)
        }));
        let views = entries.iter().map(|(name, dtype, shape, bytes)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).expect("bytes fit the shape"))
        });
        // transformers refuses files that do not say so.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(metadata)).expect("whole tensors serialize")
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The tensor of that name, with so many axes.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str, axes: usize) -> Result<&Tensor, DataError> {
        match self.0.get(name) {
            Some(tensor) if tensor.shape.len() == axes => Ok(tensor),
            Some(tensor) => Err(damaged(format!("{name} is {:?}, expected {axes} axes", tensor.shape))),
            None => Err(damaged(format!("it lacks {name}"))),
        }
    }

    /// As [`Self::get`]; the tensor is no longer among these.
    ///
    /// # Errors
    /// If there is none.
    pub fn take(&mut self, name: &str, axes: usize) -> Result<Tensor, DataError> {
        self.get(name, axes)?;
        Ok(self.0.remove(name).expect("it is there"))
    }

    /// Checks that all was taken.
    ///
    /// # Errors
    /// If a tensor is left.
    pub fn check_empty(&self) -> Result<(), DataError> {
        match self.0.keys().next() {
            Some(name) => Err(damaged(format!("it has {name}, which the network lacks"))),
            None => Ok(()),
        }
    }

    /// One more.
    pub fn insert(&mut self, name: String, tensor: Tensor) {
        self.0.insert(name, tensor);
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.0.iter()
    }

    /// Values in all.
    pub fn count(&self) -> usize {
        self.0.values().map(|tensor| tensor.values.len()).sum()
    }
}

impl FromIterator<(String, Tensor)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        Self(tensors.into_iter().collect())
    }
}

fn damaged(problem: impl std::fmt::Display) -> DataError {
    DataError::Data(format!("the weights are not those of the backbone that config.json names: {problem}"))
}
