//! The part of `onnx.proto` that graphs here are made of (IR version 8).

use prost::Message;

/// `onnx.ModelProto`
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Who wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The writer's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operators that it is made of.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    /// What else is known of it.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Property>,
}

/// `onnx.OperatorSetIdProto`; the domain is the standard one.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    /// Version of the set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `onnx.StringStringEntryProto`
#[derive(Clone, PartialEq, Message)]
pub struct Property {
    /// Name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `onnx.GraphProto`
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// Operations, each after those that it needs.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Tensors that are known.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Constant>,
    /// What is given.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<Port>,
    /// What is asked for.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<Port>,
}

/// `onnx.NodeProto`
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Names of values.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of values.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// `onnx.AttributeProto`
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// An integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Integers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Which of these it is.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

impl Attribute {
    /// A number.
    pub fn float(name: &str, value: f32) -> Self {
        Self { name: name.into(), f: Some(value), kind: 1, ..Self::default() }
    }

    /// An integer.
    pub fn int(name: &str, value: i64) -> Self {
        Self { name: name.into(), i: Some(value), kind: 2, ..Self::default() }
    }

    /// Integers.
    pub fn ints(name: &str, values: &[i64]) -> Self {
        Self { name: name.into(), ints: values.to_vec(), kind: 7, ..Self::default() }
    }
}

/// `TensorProto.FLOAT`
pub const FLOAT: i32 = 1;
/// `TensorProto.UINT8`
pub const UINT8: i32 = 2;
/// `TensorProto.INT64`
pub const INT64: i32 = 7;

/// `onnx.TensorProto`
#[derive(Clone, PartialEq, Message)]
pub struct Constant {
    /// Lengths of the axes.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Kind of its numbers.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Its numbers, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// `onnx.ValueInfoProto`
#[derive(Clone, PartialEq, Message)]
pub struct Port {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it is.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<Kind>,
}

/// `onnx.TypeProto`, of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Kind {
    /// The tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorKind>,
}

/// `onnx.TypeProto.Tensor`
#[derive(Clone, PartialEq, Message)]
pub struct TensorKind {
    /// Kind of its numbers.
    #[prost(int32, tag = "1")]
    pub element: i32,
    /// Its axes.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `onnx.TensorShapeProto`
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Axes.
    #[prost(message, repeated, tag = "1")]
    pub axes: Vec<Axis>,
}

/// `onnx.TensorShapeProto.Dimension`: a length, or the name of one that is not known.
#[derive(Clone, PartialEq, Message)]
pub struct Axis {
    /// Length.
    #[prost(int64, optional, tag = "1")]
    pub length: Option<i64>,
    /// Name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

impl From<usize> for Axis {
    fn from(length: usize) -> Self {
        Self { length: Some(length as i64), name: None }
    }
}

impl From<&str> for Axis {
    fn from(name: &str) -> Self {
        Self { length: None, name: Some(name.into()) }
    }
}

impl Port {
    /// A tensor of these axes.
    pub fn new(name: &str, element: i32, axes: Vec<Axis>) -> Self {
        let tensor = TensorKind { element, shape: Some(Shape { axes }) };
        Self { name: name.into(), kind: Some(Kind { tensor: Some(tensor) }) }
    }
}
