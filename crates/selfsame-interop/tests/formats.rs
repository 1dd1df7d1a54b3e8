//! Small encoders in every format.

use prost::Message;
use selfsame_base::DataError;
use selfsame_config::Choice;
use selfsame_interop::onnx::{FEATURES, IMAGES, VECTORS, model, proto::Model};
use selfsame_interop::tensors::{Tensor, Tensors};
use selfsame_interop::{Encoder, FORMATS, Format, Input, Origin};
use std::collections::BTreeSet;
use std::fs;

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name == name).unwrap()
}

/// Tensors of these shapes, each value another.
fn tensors(shapes: Vec<(String, Vec<usize>)>) -> Tensors {
    let mut at = 0;
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let values = (0..shape.iter().product::<usize>()).map(|_| {
            at += 1;
            (at % 251) as f32 / 64.0 - 2.0
        });
        let values = values.collect();
        (name, Tensor { shape, values })
    };
    shapes.into_iter().map(tensor).collect()
}

fn encoder(backbone: &str, width: usize, tensors: Tensors) -> Encoder {
    // A choice as `config.json` has it.
    let backbone: Choice = serde_json::from_str(backbone).unwrap();
    Encoder {
        of_vectors: false,
        backbone,
        channels: 2,
        size: [8; 2],
        mean: vec![0.25, 0.5],
        std: vec![0.5, 0.25],
        range: [0.0, 1.0],
        interpolation: "bicubic",
        width,
        tensors,
        origin: Origin { method: "simclr".into(), steps: 3, epochs: 1.5, ..Origin::default() },
    }
}

/// A residual network of basic blocks, `[4, 8]` wide, two of them to a stage.
fn resnet(name: &str, stem: &str, norm: &str) -> Encoder {
    let mut shapes = Vec::new();
    let mut conv_norm = |conv: String, bn: String, shape: [usize; 4]| {
        shapes.push((format!("{conv}.weight"), shape.to_vec()));
        if norm == "none" {
            return shapes.push((format!("{conv}.bias"), vec![shape[0]]));
        }
        let statistics: &[&str] = if norm == "batch" { &["running_mean", "running_var"] } else { &[] };
        for part in ["weight", "bias"].iter().chain(statistics) {
            shapes.push((format!("{bn}.{part}"), vec![shape[0]]));
        }
    };
    let kernel = if stem == "small" { 3 } else { 7 };
    conv_norm("conv1".into(), "bn1".into(), [4, 2, kernel, kernel]);
    for (stage, width, inputs) in [(1, 4, 4), (2, 8, 4)] {
        for (block, inputs) in [inputs, width].into_iter().enumerate() {
            let name = format!("layer{stage}.{block}");
            conv_norm(format!("{name}.conv1"), format!("{name}.bn1"), [width, inputs, 3, 3]);
            conv_norm(format!("{name}.conv2"), format!("{name}.bn2"), [width, width, 3, 3]);
            if inputs != width {
                conv_norm(format!("{name}.downsample.0"), format!("{name}.downsample.1"), [width, inputs, 1, 1]);
            }
        }
    }
    let backbone = format!(r#"{{"name": "{name}", "stem": "{stem}", "norm": "{norm}", "widths": [4, 8]}}"#);
    encoder(&backbone, 8, tensors(shapes))
}

/// A transformer of one block of two heads, 4 wide, with patches of 4 px.
fn vit(pool: &str) -> Encoder {
    let tokens = 4 + usize::from(pool == "class");
    let mut shapes: Vec<(String, Vec<usize>)> = [
        ("pos_embed", vec![1, tokens, 4]),
        ("patch_embed.proj.weight", vec![4, 2, 4, 4]),
        ("patch_embed.proj.bias", vec![4]),
        ("norm.weight", vec![4]),
        ("norm.bias", vec![4]),
    ]
    .map(|(name, shape)| (name.to_owned(), shape))
    .into();
    if pool == "class" {
        shapes.push(("cls_token".into(), vec![1, 1, 4]));
    }
    let layers: [(&str, &[usize]); 6] = [
        ("norm1", &[4]),
        ("attn.qkv", &[12, 4]),
        ("attn.proj", &[4, 4]),
        ("norm2", &[4]),
        ("mlp.fc1", &[16, 4]),
        ("mlp.fc2", &[4, 16]),
    ];
    for (layer, weight) in layers {
        shapes.push((format!("blocks.0.{layer}.weight"), weight.to_vec()));
        shapes.push((format!("blocks.0.{layer}.bias"), vec![weight[0]]));
    }
    let backbone =
        format!(r#"{{"name": "vit_micro", "pool": "{pool}", "patch_size": 4, "dim": 4, "depth": 1, "heads": 2}}"#);
    encoder(&backbone, 4, tensors(shapes))
}

fn belief_network() -> Encoder {
    let shapes: [(&str, &[usize]); 6] = [
        ("scale", &[2]),
        ("shift", &[2]),
        ("layers.0.weight", &[5, 128]),
        ("layers.0.bias", &[5]),
        ("layers.1.weight", &[3, 5]),
        ("layers.1.bias", &[3]),
    ];
    let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape.to_vec())).into();
    encoder(r#"{"name": "belief_network", "widths": [5, 3]}"#, 8, tensors(shapes))
}

/// A perceptron of two layers on vectors of 3.
fn mlp() -> Encoder {
    let shapes: [(&str, &[usize]); 4] = [
        ("layers.0.linear.weight", &[4, 3]),
        ("layers.0.linear.bias", &[4]),
        ("layers.1.linear.weight", &[4, 4]),
        ("layers.1.linear.bias", &[4]),
    ];
    let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape.to_vec())).into();
    let encoder =
        encoder(r#"{"name": "mlp", "width": 4, "depth": 2, "norm": "none", "residual": true}"#, 4, tensors(shapes));
    Encoder { channels: 3, size: [1; 2], mean: vec![0.5; 3], std: vec![2.0; 3], ..encoder }
}

/// A transformer with two registers and gains.
fn with_registers(pool: &str) -> Encoder {
    let mut encoder = vit(pool);
    let more = [("reg_token", vec![1, 2, 4]), ("pos_embed", vec![1, 4, 4])].into_iter();
    let gains = ["ls1", "ls2"].map(|name| (format!("blocks.0.{name}.gamma"), vec![4]));
    let more = more.map(|(name, shape)| (name.to_owned(), shape)).chain(gains).collect();
    encoder.tensors = encoder
        .tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.clone()))
        .chain(tensors(more).iter().map(|(name, t)| (name.clone(), t.clone())))
        .collect();
    encoder.backbone.keys.insert("registers".into(), 2.into());
    encoder.backbone.keys.insert("layer_scale".into(), true.into());
    encoder
}

fn graphs() -> Vec<(&'static str, Model)> {
    let mut graphs = vec![
        ("batch norm", resnet("resnet_micro", "small", "batch"), Input::Float),
        ("group norm", resnet("resnet_micro", "small", "group"), Input::Float),
        ("no norm", resnet("resnet_micro", "imagenet", "none"), Input::Float),
        ("bytes", resnet("resnet_micro", "imagenet", "batch"), Input::U8),
        ("class token", vit("class"), Input::Float),
        ("mean of tokens", vit("mean"), Input::Float),
        ("belief network", belief_network(), Input::Float),
        ("registers", with_registers("class"), Input::Float),
        ("registers, mean of tokens", with_registers("mean"), Input::Float),
        ("perceptron", mlp(), Input::Float),
    ];
    let graph = |(name, encoder, input)| {
        // Another release writes the same graphs.
        (name, Model { producer_version: String::new(), ..model(encoder, input).unwrap() })
    };
    graphs.drain(..).map(graph).collect()
}

#[test]
fn graphs_are_those_that_were_recorded() {
    let recorded = include_str!("graphs.txt");
    let hash = |(name, model): &(&str, Model)| format!("{name}: {}\n", blake3::hash(&model.encode_to_vec()));
    let found: String = graphs().iter().map(hash).collect();
    assert_eq!(found, recorded, "run benchmarks/interop/check.sh, then write these into tests/graphs.txt");
}

#[test]
fn every_value_is_made_once_and_before_it_is_used_and_every_constant_is_used() {
    for (name, model) in graphs() {
        let graph = Model::decode(model.encode_to_vec().as_slice()).unwrap().graph.unwrap();
        let mut known: BTreeSet<&str> = graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
        let mut unused = known.clone();
        assert_eq!(known.len(), graph.initializer.len(), "{name}");
        known.insert(if name == "perceptron" { VECTORS } else { IMAGES });
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(input.as_str()), "{name}: {} needs {input}", node.name);
                unused.remove(input.as_str());
            }
            assert!(node.output.iter().all(|output| known.insert(output)), "{name}: {}", node.name);
        }
        assert!(known.contains(FEATURES) && unused.is_empty(), "{name}: {unused:?}");
        for constant in &graph.initializer {
            let values: i64 = constant.dims.iter().product();
            let bytes = if constant.data_type == 7 { 8 } else { 4 };
            assert_eq!(constant.raw_data.len() as i64, values * bytes, "{name}: {}", constant.name);
        }
    }
}

#[test]
fn a_timm_folder_says_what_the_network_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str, encoder: Encoder| -> serde_json::Value {
        let out = folder.path().join(name);
        format("timm").export(encoder, Input::Float, &out).unwrap();
        assert!(out.join("model.safetensors").is_file() && out.join("README.md").is_file());
        serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap()
    };
    let resnet = config("resnet", resnet("resnet18", "imagenet", "group"));
    assert_eq!(resnet["architecture"], "resnet18");
    let registers = config("registers", with_registers("class"));
    let arguments = &registers["model_args"];
    assert_eq!((&arguments["reg_tokens"], &arguments["no_embed_class"]), (&2.into(), &true.into()));
    assert!(arguments["init_values"].is_number());
    assert_eq!(resnet["model_args"], serde_json::json!({ "in_chans": 2, "norm_layer": "groupnorm" }));
    assert_eq!(resnet["pretrained_cfg"]["mean"], serde_json::json!([0.25, 0.5]));
    assert_eq!(resnet["pretrained_cfg"]["input_size"], serde_json::json!([2, 8, 8]));
    for (pool, theirs) in [("class", "token"), ("mean", "avg")] {
        let vit = config(pool, vit(pool));
        assert_eq!((&vit["global_pool"], &vit["num_features"]), (&theirs.into(), &4.into()));
        let arguments = &vit["model_args"];
        assert_eq!(arguments["class_token"], pool == "class");
        assert_eq!((&arguments["embed_dim"], &arguments["num_heads"]), (&4.into(), &2.into()));
    }
}

#[test]
fn a_state_dict_has_what_strict_loading_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/out");
    let three = Encoder { channels: 3, ..resnet("resnet18", "imagenet", "batch") };
    let own = three.tensors.clone();
    format("torchvision").export(three, Input::Float, &out).unwrap();
    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let seen = file.tensor("layer2.0.downsample.1.num_batches_tracked").unwrap();
    assert_eq!((seen.shape(), seen.data()), (&[][..], &3i64.to_le_bytes()[..]));
    let rest = file.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    let rest = safetensors::serialize(rest.collect::<Vec<_>>(), None).unwrap();
    assert_eq!(Tensors::read(&rest).unwrap(), own);
}

fn refused(name: &str, encoder: Encoder, input: Input) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let error = format(name).export(encoder, input, &out).unwrap_err();
    assert!(matches!(error, DataError::Setting { .. } | DataError::Data(_)) && !out.exists(), "{error}");
    error.to_string()
}

#[test]
fn networks_that_a_format_lacks_are_answered_with_one_that_has_them() {
    let cases = [
        ("timm", resnet("resnet_micro", "imagenet", "batch"), "resnet_micro"),
        ("timm", resnet("resnet18", "small", "batch"), "backbone.stem"),
        ("timm", resnet("resnet18", "imagenet", "none"), "backbone.norm"),
        ("timm", belief_network(), "belief_network"),
        ("torchvision", resnet("resnet_micro", "imagenet", "batch"), "resnet_micro"),
        ("torchvision", resnet("resnet18", "small", "batch"), "backbone.stem"),
        ("torchvision", resnet("resnet18", "imagenet", "group"), "backbone.norm"),
        ("torchvision", resnet("resnet18", "imagenet", "batch"), "of 2"),
        ("torchvision", vit("mean"), "vit_micro"),
    ];
    for (name, encoder, part) in cases {
        let error = refused(name, encoder, Input::Float);
        assert!(error.contains(name) && error.contains(part) && error.ends_with("use format=onnx"), "{error}");
    }
    let foreign = encoder(r#"{"name": "theirs"}"#, 4, Tensors::default());
    for format in FORMATS {
        let error = refused(format.name, foreign.clone(), Input::Float);
        assert!(error.contains("no format has a mapping for theirs"), "{error}");
    }
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let bytes = refused("timm", vit("mean"), Input::U8);
    assert!(bytes.starts_with("input: u8") && bytes.contains("format=onnx"), "{bytes}");
    let scaled = Encoder { range: [-3.0, 900.0], ..vit("mean") };
    assert!(refused("onnx", scaled, Input::U8).contains("[-3.0, 900.0]"));
    let lacking = Encoder { tensors: Tensors::default(), ..vit("mean") };
    assert!(refused("onnx", lacking, Input::Float).contains("it lacks patch_embed.proj.weight"));
    let other = Encoder { backbone: vit("mean").backbone, ..vit("class") };
    let error = refused("onnx", other, Input::Float);
    assert!(error.contains("pos_embed is [1, 5, 4], expected [1, 4, 4]"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = format("onnx").export(vit("mean"), Input::Float, folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("out: ") && error.contains("exists already"), "{error}");
}
