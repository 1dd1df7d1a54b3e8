//! Small encoders in every format.

use prost::Message;
use selfsame_base::DataError;
use selfsame_config::Choice;
use selfsame_interop::network::{ConvNext, Network};
use selfsame_interop::onnx::{IMAGES, SIGNALS, VECTORS, model, proto::Model};
use selfsame_interop::tensors::{Tensor, Tensors};
use selfsame_interop::{Encoder, FORMATS, Format, Graph, Head, Input, Origin, Reading, Sample};
use std::collections::BTreeSet;
use std::fs;

/// `encoder` with a head of three outputs.
fn headed(encoder: Encoder, reading: Reading) -> Encoder {
    let all = tensors(vec![("weight".into(), vec![3, encoder.width]), ("bias".into(), vec![3])]);
    let tensor = |name: &str, axes| all.get(name, axes).unwrap().clone();
    let names = ["cat", "dog", "a \"bird\""].map(String::from).to_vec();
    let (weight, bias) = (tensor("weight", 2), tensor("bias", 1));
    let head = Head { weight, bias, names, reading, temperature: 1.5, tested: "accuracy 0.5".into() };
    Encoder { head: Some(head), ..encoder }
}

const TOKENS: Graph = Graph { input: Input::Float, tokens: true, fold: false };
const FOLD: Graph = Graph { input: Input::Float, tokens: false, fold: true };
const BYTES: Graph = Graph { input: Input::U8, tokens: false, fold: false };

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
        sample: Sample::Image,
        backbone,
        channels: 2,
        size: [8; 2],
        mean: vec![0.25, 0.5],
        std: vec![0.5, 0.25],
        range: [0.0, 1.0],
        interpolation: "bicubic",
        width,
        tensors,
        head: None,
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

/// The same on vectors of two features.
fn belief_network_of_vectors() -> Encoder {
    let mut encoder = belief_network();
    let weight = tensors(vec![("layers.0.weight".into(), vec![5, 2])]).get("layers.0.weight", 2).unwrap().clone();
    encoder.tensors.insert("layers.0.weight".into(), weight);
    Encoder { sample: Sample::Vector, size: [1; 2], ..encoder }
}

/// A ConvNeXt of stages of a block each, with patches of 4 px.
fn convnext(widths: &[usize]) -> Encoder {
    let net = ConvNext { widths: widths.to_vec(), depths: vec![1; widths.len()], patch_size: 4 };
    let (depths, width) = (&net.depths, widths[widths.len() - 1]);
    let backbone =
        format!(r#"{{"name": "convnext_micro", "widths": {widths:?}, "depths": {depths:?}, "patch_size": 4}}"#);
    encoder(&backbone, width, tensors(Network::ConvNext(net.clone()).shapes(2, [8; 2]).into_iter().collect()))
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
    Encoder { sample: Sample::Vector, channels: 3, size: [1; 2], mean: vec![0.5; 3], std: vec![2.0; 3], ..encoder }
}

/// A perceptron of one layer with batch norm.
fn mlp_with_batch_norm() -> Encoder {
    let parts =
        ["weight", "bias", "running_mean", "running_var"].map(|part| (format!("layers.0.norm.{part}"), vec![4]));
    let shapes = [("layers.0.linear.weight".to_owned(), vec![4, 3])].into_iter().chain(parts).collect();
    let mut all = tensors(shapes);
    let variance = Tensor { shape: vec![4], values: vec![0.5, 1.0, 2.0, 4.0] };
    all.insert("layers.0.norm.running_var".into(), variance);
    let backbone = r#"{"name": "mlp", "width": 4, "depth": 1, "norm": "batch", "residual": false}"#;
    let vectors = Encoder { sample: Sample::Vector, channels: 3, size: [1; 2], ..encoder(backbone, 4, all) };
    Encoder { mean: vec![0.5; 3], std: vec![2.0; 3], ..vectors }
}

/// An encoder of signals of two channels and 15 steps.
fn of_signals(backbone: &str, width: usize, shapes: Vec<(String, Vec<usize>)>, by_itself: bool) -> Encoder {
    let sample = Sample::Signal { rate: 50, by_itself };
    Encoder { sample, size: [1, 15], ..encoder(backbone, width, tensors(shapes)) }
}

/// What a convolution in time and its norm have.
fn conv_in_time(names: [&str; 2], shape: [usize; 3], norm: &str) -> Vec<(String, Vec<usize>)> {
    let ([conv, bn], [out, inputs, kernel]) = (names, shape);
    let parts: &[&str] = match norm {
        "batch" => &["weight", "bias", "running_mean", "running_var"],
        "group" => &["weight", "bias"],
        _ => &[],
    };
    let mut shapes = vec![(format!("{conv}.weight"), vec![out, inputs, 1, kernel])];
    shapes.extend(parts.iter().map(|part| (format!("{bn}.{part}"), vec![out])));
    shapes.extend((norm == "none").then(|| (format!("{conv}.bias"), vec![out])));
    shapes
}

/// A residual network of one stage, with kernels in time.
fn resnet_in_time() -> Encoder {
    let mut shapes = conv_in_time(["conv1", "bn1"], [4, 2, 7], "batch");
    for block in ["layer1.0", "layer1.1"] {
        for conv in [1, 2] {
            let names = [format!("{block}.conv{conv}"), format!("{block}.bn{conv}")];
            shapes.extend(conv_in_time(names.each_ref().map(String::as_str), [4, 4, 3], "batch"));
        }
    }
    of_signals(r#"{"name": "resnet1d_micro", "stem": "imagenet", "norm": "batch", "widths": [4]}"#, 4, shapes, true)
}

/// A transformer whose fourth patch of 4 steps is cut.
fn vit_in_time() -> Encoder {
    let of_images = vit("mean").tensors;
    let shapes = of_images.iter().map(|(name, tensor)| match name.as_str() {
        "patch_embed.proj.weight" => (name.clone(), vec![4, 2, 1, 4]),
        _ => (name.clone(), tensor.shape.clone()),
    });
    let backbone = r#"{"name": "transformer1d", "pool": "mean", "patch_size": 4, "dim": 4, "depth": 1, "heads": 2}"#;
    of_signals(backbone, 4, shapes.collect(), false)
}

/// Two blocks, of which the second is wider.
fn tcn(pool: &str, causal: bool) -> Encoder {
    let mut shapes = vec![("input.weight".to_owned(), vec![4, 2]), ("input.bias".to_owned(), vec![4])];
    for (block, inputs, out) in [("blocks.0", 4, 4), ("blocks.1", 4, 6)] {
        for (conv, inputs) in [(1, inputs), (2, out)] {
            let names = [format!("{block}.conv{conv}"), format!("{block}.bn{conv}")];
            shapes.extend(conv_in_time(names.each_ref().map(String::as_str), [out, inputs, 3], "none"));
        }
        if inputs != out {
            let names = [0, 1].map(|part| format!("{block}.downsample.{part}"));
            shapes.extend(conv_in_time(names.each_ref().map(String::as_str), [out, inputs, 1], "none"));
        }
    }
    let backbone = format!(r#"{{"name": "tcn", "depth": 2, "causal": {causal}, "norm": "none", "pool": "{pool}"}}"#);
    of_signals(&backbone, 6, shapes, false)
}

/// Two convolutions, and a recurrent network where there is a context.
fn cpc_encoder(context: usize) -> Encoder {
    let mut shapes = conv_in_time(["layers.0.0", "layers.0.1"], [4, 2, 4], "group");
    shapes.extend(conv_in_time(["layers.1.0", "layers.1.1"], [4, 4, 6], "group"));
    if context > 0 {
        for (name, inputs) in [("input", 4), ("hidden", context)] {
            shapes.push((format!("gru.{name}.weight"), vec![3 * context, inputs]));
            shapes.push((format!("gru.{name}.bias"), vec![3 * context]));
        }
    }
    let keys = format!(r#""strides": [2, 3], "context": {context}, "norm": "group", "pool": "last""#);
    let width = if context > 0 { context } else { 4 };
    of_signals(&format!(r#"{{"name": "cpc_encoder", {keys}}}"#), width, shapes, true)
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
        ("batch norm", resnet("resnet_micro", "small", "batch"), Graph::default()),
        ("group norm", resnet("resnet_micro", "small", "group"), Graph::default()),
        ("no norm", resnet("resnet_micro", "imagenet", "none"), Graph::default()),
        ("bytes", resnet("resnet_micro", "imagenet", "batch"), BYTES),
        ("class token", vit("class"), Graph::default()),
        ("mean of tokens", vit("mean"), Graph::default()),
        ("belief network", belief_network(), Graph::default()),
        ("belief network of vectors", belief_network_of_vectors(), Graph::default()),
        ("registers", with_registers("class"), Graph::default()),
        ("registers, mean of tokens", with_registers("mean"), Graph::default()),
        ("perceptron", mlp(), Graph::default()),
        ("ConvNeXt", convnext(&[4, 8]), TOKENS),
        ("folded", resnet("resnet_micro", "imagenet", "batch"), FOLD),
        ("folded perceptron", mlp_with_batch_norm(), FOLD),
        ("places", resnet("resnet_micro", "small", "group"), TOKENS),
        ("tokens and classes", headed(with_registers("mean"), Reading::Classes), TOKENS),
        ("labels", headed(resnet("resnet_micro", "small", "batch"), Reading::Labels), Graph::default()),
        ("numbers", headed(mlp(), Reading::Numbers), Graph::default()),
        ("residual signals", resnet_in_time(), TOKENS),
        ("folded signals", resnet_in_time(), FOLD),
        ("patches of signals", vit_in_time(), Graph::default()),
        ("causal signals", tcn("max", true), TOKENS),
        ("signals", headed(tcn("last", false), Reading::Classes), Graph::default()),
        ("recurrent signals", cpc_encoder(5), Graph::default()),
        ("codes of signals", cpc_encoder(0), Graph::default()),
    ];
    let graph = |(name, encoder, input)| {
        // Another release writes the same graphs.
        (name, Model { producer_version: String::new(), ..model(encoder, input).unwrap() })
    };
    graphs.drain(..).map(graph).collect()
}

/// What the graph of that name is given.
fn given(name: &str) -> &'static str {
    match name {
        _ if name.contains("signals") => SIGNALS,
        _ if name.contains("perceptron") || name.contains("vectors") || name == "numbers" => VECTORS,
        _ => IMAGES,
    }
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
        known.insert(given(name));
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(input.as_str()), "{name}: {} needs {input}", node.name);
                unused.remove(input.as_str());
            }
            assert!(node.output.iter().all(|output| known.insert(output)), "{name}: {}", node.name);
        }
        let outputs: Vec<&str> = graph.output.iter().map(|port| port.name.as_str()).collect();
        let expected: &[&str] = match name {
            "places" | "ConvNeXt" | "residual signals" | "causal signals" => &["h", "tokens"],
            "tokens and classes" => &["h", "tokens", "logits", "probabilities"],
            "labels" | "signals" => &["h", "logits", "probabilities"],
            "numbers" => &["h", "numbers"],
            _ => &["h"],
        };
        assert_eq!(outputs, expected, "{name}");
        assert!(outputs.iter().all(|output| known.contains(output)) && unused.is_empty(), "{name}: {unused:?}");
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
        format("timm").export(encoder, Graph::default(), &out).unwrap();
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
    let convnext = config("convnext", convnext(&[4, 4, 4, 8]));
    assert_eq!(
        (&convnext["architecture"], &convnext["model_args"]["dims"]),
        (&"convnext_tiny".into(), &serde_json::json!([4, 4, 4, 8]))
    );
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
    format("torchvision").export(three, Graph::default(), &out).unwrap();
    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let seen = file.tensor("layer2.0.downsample.1.num_batches_tracked").unwrap();
    assert_eq!((seen.shape(), seen.data()), (&[][..], &3i64.to_le_bytes()[..]));
    assert_eq!(Tensors::read(&floats(&bytes)).unwrap(), own);
}

#[test]
fn a_batch_norm_is_folded_into_the_layer_before_it() {
    let (plain, folded) = (mlp_with_batch_norm(), model(mlp_with_batch_norm(), FOLD).unwrap().graph.unwrap());
    let constant = |name: &str| -> Vec<f32> {
        let found = folded.initializer.iter().find(|constant| constant.name == name).unwrap();
        found.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    assert!(folded.node.iter().all(|node| node.op_type != "BatchNormalization"));
    let values = |name: &str, axes| plain.tensors.get(name, axes).unwrap().values.clone();
    let norm =
        ["weight", "bias", "running_mean", "running_var"].map(|part| values(&format!("layers.0.norm.{part}"), 1));
    let [scale, shift, mean, variance] = &norm;
    let (weight, x) = (values("layers.0.linear.weight", 2), [0.3f32, -1.2, 0.7]);
    let (own, bias) = (constant("layers.0.linear.weight"), constant("layers.0.linear.bias"));
    for o in 0..4 {
        let y: f32 = (0..3).map(|i| weight[3 * o + i] * x[i]).sum();
        let normalized = (y - mean[o]) / (variance[o] + 1e-5).sqrt() * scale[o] + shift[o];
        let by_fold: f32 = (0..3).map(|i| own[4 * i + o] * x[i]).sum::<f32>() + bias[o];
        assert!((normalized - by_fold).abs() < 1e-5, "{normalized} {by_fold}");
    }
}

#[test]
fn a_head_is_the_classifier_of_a_format_that_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, encoder: Encoder| {
        let out = folder.path().join(name);
        format(name).export(encoder, Graph::default(), &out).unwrap();
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.contains("cat, dog") && card.contains("accuracy 0.5") && card.contains("softmax(-1)"), "{card}");
        (Tensors::read(&floats(&fs::read(out.join("model.safetensors")).unwrap())).unwrap(), out)
    };
    let classes = headed(Encoder { channels: 3, ..resnet("resnet18", "imagenet", "batch") }, Reading::Classes);
    let head = classes.head.clone().unwrap();
    let (state, _) = written("torchvision", classes);
    assert_eq!((state.get("fc.weight", 2).unwrap(), state.get("fc.bias", 1).unwrap()), (&head.weight, &head.bias));
    let (state, out) = written("timm", headed(vit("class"), Reading::Classes));
    assert_eq!(state.get("head.weight", 2).unwrap().shape, [3, 4]);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["num_classes"], &config["pretrained_cfg"]["num_classes"]), (&3.into(), &3.into()));
    assert_eq!(config["label_names"][2], "a \"bird\"");
}

/// A safetensors file without the counts of batches.
fn floats(bytes: &[u8]) -> Vec<u8> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let kept = file.iter().filter(|(name, _)| !name.ends_with("num_batches_tracked"));
    safetensors::serialize(kept.collect::<Vec<_>>(), None).unwrap()
}

fn refused(name: &str, encoder: Encoder, graph: Graph) -> String {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let error = format(name).export(encoder, graph, &out).unwrap_err();
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
        ("timm", convnext(&[4, 8]), "whose stages are not 4"),
        ("torchvision", resnet("resnet_micro", "imagenet", "batch"), "resnet_micro"),
        ("torchvision", resnet("resnet18", "small", "batch"), "backbone.stem"),
        ("torchvision", resnet("resnet18", "imagenet", "group"), "backbone.norm"),
        ("torchvision", resnet("resnet18", "imagenet", "batch"), "of 2"),
        ("torchvision", vit("mean"), "vit_micro"),
        ("timm", resnet_in_time(), "resnet1d_micro"),
        ("torchvision", resnet_in_time(), "resnet1d_micro"),
        ("timm", cpc_encoder(5), "cpc_encoder"),
    ];
    for (name, encoder, part) in cases {
        let error = refused(name, encoder, Graph::default());
        assert!(error.contains(name) && error.contains(part) && error.ends_with("use format=onnx"), "{error}");
    }
    let foreign = encoder(r#"{"name": "theirs"}"#, 4, Tensors::default());
    for format in FORMATS {
        let error = refused(format.name, foreign.clone(), Graph::default());
        assert!(error.contains("no format has a mapping for theirs"), "{error}");
    }
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let bytes = refused("timm", vit("mean"), BYTES);
    assert!(bytes.starts_with("input: u8") && bytes.contains("format=onnx"), "{bytes}");
    assert!(refused("torchvision", vit("mean"), FOLD).starts_with("fold: true is for graphs"));
    assert!(refused("onnx", mlp(), TOKENS).starts_with("tokens: this encoder has none"));
    assert!(refused("onnx", cpc_encoder(5), TOKENS).starts_with("tokens: this encoder has none"));
    assert!(refused("onnx", tcn("mean", true), BYTES).contains("this encoder takes signals"));
    let scaled = Encoder { range: [-3.0, 900.0], ..vit("mean") };
    assert!(refused("onnx", scaled, BYTES).contains("[-3.0, 900.0]"));
    let lacking = Encoder { tensors: Tensors::default(), ..vit("mean") };
    assert!(refused("onnx", lacking, Graph::default()).contains("it lacks patch_embed.proj.weight"));
    let other = Encoder { backbone: vit("mean").backbone, ..vit("class") };
    let error = refused("onnx", other, Graph::default());
    assert!(error.contains("pos_embed is [1, 5, 4], expected [1, 4, 4]"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("theirs"), "").unwrap();
    let error = format("onnx").export(vit("mean"), Graph::default(), folder.path()).unwrap_err().to_string();
    assert!(error.contains("is there and not empty"), "{error}");
}

/// `tests/golden/import.json` of selfsame has what the tools that wrote these weights computed with them.
#[cfg(feature = "tract")]
#[test]
fn another_tool_computes_with_graphs_of_what_others_wrote_what_they_computed() {
    use selfsame_interop::import::{self, Imported};
    use selfsame_interop::onnx::runtime::{Samples, run};
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../selfsame/tests/golden");
    let recorded: serde_json::Value = serde_json::from_slice(&fs::read(golden.join("import.json")).unwrap()).unwrap();
    for (file, recorded) in recorded["files"].as_object().unwrap() {
        let Imported { encoder, .. } = import::open(&golden.join("import").join(file)).unwrap();
        let (channels, side) = (encoder.channels, recorded["side"].as_u64().unwrap() as usize);
        // What was recorded is of pixels that are normalized.
        let encoder = Encoder { mean: vec![0.0; channels], std: vec![1.0; channels], ..encoder };
        let shape = [2, channels, side, side];
        // Channels are the last axis there, and the second here.
        let places = side * side;
        let pixel = |i: usize| {
            let (image, channel, place) = (i / (channels * places), i / places % channels, i % places);
            let there = (image * places + place) * channels + channel;
            (0.3 * (there as f64).powf(1.1) + 1.0).sin() as f32
        };
        let pixels: Vec<f32> = (0..shape.iter().product()).map(pixel).collect();
        let graph = model(encoder, Graph::default()).unwrap();
        let outputs = run(&graph, Samples::Floats(&pixels), &shape).unwrap_or_else(|error| panic!("{file}: {error}"));
        let theirs: Vec<f64> = serde_json::from_value(recorded["h"].clone()).unwrap();
        let largest = theirs.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        assert_eq!(outputs[0].1.len(), theirs.len(), "{file}");
        for (value, theirs) in outputs[0].1.iter().zip(&theirs) {
            assert!((f64::from(*value) - theirs).abs() < 1e-5 * largest, "{file}: {value} is not {theirs}");
        }
    }
}

#[cfg(feature = "tract")]
#[test]
fn another_tool_runs_every_graph_and_the_same_network_gives_the_same() {
    use selfsame_interop::onnx::runtime::{Samples, run};
    let values = |count: usize| -> Vec<f32> { (0..count).map(|i| ((i * 37) % 256) as f32 / 255.0).collect() };
    let images = values(3 * 2 * 64);
    for (name, graph) in graphs().into_iter().filter(|(name, _)| *name != "bytes") {
        let (values, shape) = match given(name) {
            SIGNALS => (&images[..90], vec![3, 15, 2]),
            VECTORS if name.contains("vectors") => (&images[..6], vec![3, 2]),
            VECTORS => (&images[..9], vec![3, 3]),
            _ => (&images[..], vec![3, 2, 8, 8]),
        };
        let outputs = run(&graph, Samples::Floats(values), &shape).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            outputs.iter().all(|(_, values)| values.len() % 3 == 0 && values.iter().all(|v| v.is_finite())),
            "{name}"
        );
    }
    let close = |[a, b]: [Vec<(String, Vec<f32>)>; 2], name: &str| {
        let largest = a[0].1.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(largest > 0.1, "{name}: {a:?}");
        assert!(a[0].1.iter().zip(&b[0].1).all(|(a, b)| (a - b).abs() < 1e-5 * largest), "{name}: {a:?} {b:?}");
    };
    // Variances that are some, and shifts that no ReLU cuts off.
    let net = || {
        let mut encoder = resnet("resnet_micro", "imagenet", "batch");
        let alive = |(name, tensor): (&String, &Tensor)| {
            let value = |v: &f32| if name.ends_with("bias") { v.abs() + 0.5 } else { 0.1 * v.abs() + 0.01 };
            (name.clone(), Tensor { shape: tensor.shape.clone(), values: tensor.values.iter().map(value).collect() })
        };
        encoder.tensors = encoder.tensors.iter().map(alive).collect();
        encoder
    };
    let floats = |asked| run(&model(net(), asked).unwrap(), Samples::Floats(&images), &[3, 2, 8, 8]).unwrap();
    close([floats(Graph::default()), floats(FOLD)], "folded");
    // The same images, channels last.
    let bytes: Vec<u8> = images
        .chunks_exact(128)
        .flat_map(|image| (0..128).map(|i| (image[i % 2 * 64 + i / 2] * 255.0).round() as u8))
        .collect();
    let of_bytes = run(&model(net(), BYTES).unwrap(), Samples::Bytes(&bytes), &[3, 8, 8, 2]).unwrap();
    close([floats(Graph::default()), of_bytes], "bytes");
}
