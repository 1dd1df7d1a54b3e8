//! A module's tensors by name: reading, replacing, and the files that hold them.

use crate::error::Error;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use selfsame_base::files;
use std::collections::BTreeMap;
use std::path::Path;

/// The dotted name of where a traversal stands. Variants of an enum are not part of a name.
#[derive(Debug, Default)]
pub(crate) struct NamePath(Vec<Option<String>>);

impl NamePath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    pub(crate) fn exit(&mut self) {
        self.0.pop();
    }

    pub(crate) fn name(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

/// A named array of `f32`.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// Row by row.
    pub values: Vec<f32>,
}

/// Number of trained values of a module: without running statistics, teachers and queues.
pub fn trained<M: Module>(module: &M) -> usize {
    struct Count(usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let tensor = param.val();
            self.0 += if tensor.is_require_grad() { tensor.shape().num_elements() } else { 0 };
        }
    }
    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

/// Every float tensor of a module, running statistics included, by name.
pub fn arrays<M: Module>(module: &M) -> BTreeMap<String, Array> {
    struct Arrays;
    impl Reading for Arrays {
        type Read = Array;
        fn read<const D: usize>(param: &Param<Tensor<D>>) -> Array {
            let tensor = param.val();
            Array { shape: tensor.dims().to_vec(), values: super::to_vec(tensor) }
        }
    }
    read::<Arrays, M>(module)
}

/// By which every float tensor of a module, running statistics included, is known, by name.
pub fn ids<M: Module>(module: &M) -> BTreeMap<String, ParamId> {
    struct Ids;
    impl Reading for Ids {
        type Read = ParamId;
        fn read<const D: usize>(param: &Param<Tensor<D>>) -> ParamId {
            param.id
        }
    }
    read::<Ids, M>(module)
}

/// What is read of each tensor.
trait Reading {
    type Read;
    fn read<const D: usize>(param: &Param<Tensor<D>>) -> Self::Read;
}

fn read<R: Reading, M: Module>(module: &M) -> BTreeMap<String, R::Read> {
    struct Visitor<R: Reading> {
        path: NamePath,
        read: BTreeMap<String, R::Read>,
    }
    impl<R: Reading> ModuleVisitor for Visitor<R> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let previous = self.read.insert(self.path.name(), R::read(param));
            assert!(previous.is_none(), "two parameters are called {}", self.path.name());
        }
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
    }
    let mut visitor = Visitor::<R> { path: NamePath::default(), read: BTreeMap::new() };
    module.visit(&mut visitor);
    visitor.read
}

/// The first, by name, of the arrays that hold a NaN or an infinity.
pub fn first_not_finite(arrays: &BTreeMap<String, Array>) -> Option<&str> {
    let finite = |array: &Array| array.values.iter().all(|v| v.is_finite());
    arrays.iter().find(|(_, array)| !finite(array)).map(|(name, _)| name.as_str())
}

/// Puts `arrays` in the place of a module's tensors; every name and shape must fit.
pub fn with_arrays<M: Module>(module: M, arrays: BTreeMap<String, Array>) -> Result<M, String> {
    struct Mapper {
        path: NamePath,
        arrays: BTreeMap<String, Array>,
        problem: Option<String>,
    }
    impl ModuleMapper for Mapper {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = self.path.name();
            let shape = param.val().dims().to_vec();
            match self.arrays.remove(&name) {
                Some(array) if array.shape == shape => {
                    return param.map(|old| {
                        let (device, trained) = (old.device(), old.is_require_grad());
                        Tensor::from_data(TensorData::new(array.values, array.shape), &device).set_require_grad(trained)
                    });
                }
                Some(array) => self.problem = Some(format!("{name} has shape {:?}, expected {shape:?}", array.shape)),
                None => self.problem = Some(format!("{name} is missing")),
            }
            param
        }
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
    }
    let mut mapper = Mapper { path: NamePath::default(), arrays, problem: None };
    let module = module.map(&mut mapper);
    match (mapper.problem, mapper.arrays.keys().next()) {
        (Some(problem), _) => Err(problem),
        (None, Some(name)) => Err(format!("{name} is not part of the network")),
        (None, None) => Ok(module),
    }
}

/// The bytes of a safetensors file, tensors in the order of their names.
pub fn to_safetensors(arrays: &BTreeMap<String, Array>) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        arrays.values().map(|a| a.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = arrays.iter().zip(&bytes).map(|((name, array), bytes)| {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes).expect("bytes fit the shape");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None).expect("f32 arrays serialize")
}

/// Reads what [`to_safetensors`] wrote.
pub fn read_safetensors(path: &Path) -> Result<BTreeMap<String, Array>, Error> {
    let bytes = files::read(path, u64::MAX).map_err(|e| Error::io(path, e))?;
    from_safetensors(&bytes).map_err(|problem| Error::run(path, problem))
}

/// The arrays in the bytes of a safetensors file.
pub fn from_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("not a safetensors file: {e}"))?;
    file.iter()
        .map(|(name, view)| {
            if view.dtype() != Dtype::F32 {
                return Err(format!("{name} is {:?}, expected F32", view.dtype()));
            }
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")));
            Ok((name.to_owned(), Array { shape: view.shape().to_vec(), values: values.collect() }))
        })
        .collect()
}

/// An encoder's arrays as PyTorch lays them out: convolutions `[out, in, kernel, kernel]`, linear maps `[out, in]`.
pub fn to_pytorch_layout(arrays: BTreeMap<String, Array>) -> BTreeMap<String, Array> {
    permuted(arrays, &[3, 2, 0, 1])
}

/// The inverse of [`to_pytorch_layout`].
pub fn from_pytorch_layout(arrays: BTreeMap<String, Array>) -> BTreeMap<String, Array> {
    permuted(arrays, &[2, 3, 1, 0])
}

fn permuted(arrays: BTreeMap<String, Array>, convolution: &[usize; 4]) -> BTreeMap<String, Array> {
    let permute = |array: Array| match array.shape.len() {
        4 => permute_axes(&array, convolution),
        2 => permute_axes(&array, &[1, 0]),
        _ => array,
    };
    arrays.into_iter().map(|(name, array)| (name, permute(array))).collect()
}

/// Axis `i` of the result is axis `axes[i]` of `array`.
fn permute_axes(array: &Array, axes: &[usize]) -> Array {
    let rank = axes.len();
    let mut strides = vec![1; rank];
    for axis in (0..rank - 1).rev() {
        strides[axis] = strides[axis + 1] * array.shape[axis + 1];
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| array.shape[axis]).collect();
    let mut index = vec![0; rank];
    let values = (0..array.values.len())
        .map(|_| {
            let value = array.values[(0..rank).map(|i| index[i] * strides[axes[i]]).sum::<usize>()];
            for axis in (0..rank).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
            value
        })
        .collect();
    Array { shape, values }
}
