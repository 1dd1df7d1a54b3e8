//! The folder that `timm.create_model("local-dir:PATH", pretrained=True)` loads, and transformers as a `TimmWrapper`.

use crate::network::{Network, Norm};
use crate::{Encoder, File, Sample, card, lacks};
use selfsame_base::DataError;
use serde_json::{Value, json};

/// The files of a timm folder; `config.json` last, which loaders read first.
///
/// # Errors
/// If timm has no such network.
pub(crate) fn files(encoder: &Encoder) -> Result<Vec<File>, DataError> {
    let config = config(encoder)?;
    let mut tensors = encoder.tensors.clone();
    if let Some(head) = &encoder.head {
        head.add_to(&mut tensors, config["pretrained_cfg"]["classifier"].as_str().expect("as below"));
    }
    let given = match &encoder.head {
        None => format!("h = net(images)  # [n, {}]\n```\n", encoder.width),
        Some(head) => format!(
            "outputs = net(images)  # [n, {}]\n{}```\n\nWith `num_classes=0` it gives `h`, `[n, {}]`.\n",
            head.names.len(),
            head.in_python(),
            encoder.width
        ),
    };
    let usage = format!(
        "With timm (tested with 1.0.31):\n\n```python\nimport timm\n\n\
         net = timm.create_model(\"local-dir:PATH\", pretrained=True).eval()\n\
         images = timm.data.create_transform(**timm.data.resolve_model_data_config(net))(picture)[None]\n{given}\n\
         With transformers (tested with 5.24.0): `AutoModel.from_pretrained(PATH)`, whose `pooler_output` is `h`.\n",
    );
    let card = card::page(encoder, "timm", &usage);
    let config = serde_json::to_string_pretty(&config).expect("plain values serialize") + "\n";
    Ok(vec![
        ("README.md", card.into_bytes()),
        ("model.safetensors", tensors.state_dict(encoder.origin.steps)),
        ("config.json", config.into_bytes()),
    ])
}

/// `config.json`.
fn config(encoder: &Encoder) -> Result<Value, DataError> {
    let Encoder { channels, size, mean, std, interpolation, width, .. } = encoder;
    let name = encoder.backbone.name.as_str();
    if let Sample::Signal { .. } = encoder.sample {
        return Err(lacks("timm", name));
    }
    let mut arguments = json!({ "in_chans": channels });
    let (architecture, pool, first, classifier, fixed) = match Network::of(encoder)? {
        Network::ResNet(_) if name == "resnet_micro" => return Err(lacks("timm", name)),
        Network::ResNet(net) if !net.imagenet_stem => return Err(lacks("timm", "backbone.stem = \"small\"")),
        Network::ResNet(net) => {
            match net.norm {
                Norm::Batch => {}
                Norm::Group => arguments["norm_layer"] = json!("groupnorm"),
                Norm::None => return Err(lacks("timm", "backbone.norm = \"none\"")),
            }
            (name, "avg", "conv1", "fc", false)
        }
        Network::Vit(net) => {
            let pool = if net.class_token { "token" } else { "avg" };
            let own = json!({
                "img_size": size,
                "patch_size": net.patch_size,
                "embed_dim": net.dim,
                "depth": net.depth,
                "num_heads": net.heads,
                "class_token": net.class_token,
                "global_pool": pool,
                // The last norm is of the tokens, before their mean.
                "fc_norm": false,
            });
            arguments.as_object_mut().expect("an object").extend(own.as_object().expect("an object").clone());
            if net.registers > 0 {
                arguments["reg_tokens"] = json!(net.registers);
                arguments["no_embed_class"] = json!(true);
            }
            if net.layer_scale {
                // The gains are in the weights; this is what they would begin with.
                arguments["init_values"] = json!(1e-5);
            }
            // An entry for each width; of the micro network the arguments say everything.
            let architecture = match name {
                "vit_small" => "vit_small_patch16_224",
                "vit_base" => "vit_base_patch16_224",
                "vit_large" => "vit_large_patch16_224",
                _ => "vit_tiny_patch16_224",
            };
            (architecture, pool, "patch_embed.proj", "head", true)
        }
        Network::ConvNext(net) if net.widths.len() != 4 => {
            return Err(lacks("timm", "a ConvNeXt whose stages are not 4"));
        }
        // There the first stage halves once more.
        Network::ConvNext(net) if net.patch_size == 2 => return Err(lacks("timm", "backbone.patch_size = 2")),
        Network::ConvNext(net) => {
            arguments["depths"] = json!(net.depths);
            arguments["dims"] = json!(net.widths);
            arguments["patch_size"] = json!(net.patch_size);
            ("convnext_tiny", "avg", "stem.0", "head.fc", false)
        }
        Network::BeliefNetwork { .. } | Network::Mlp { .. } | Network::Tcn(_) | Network::CpcEncoder(_) => {
            return Err(lacks("timm", name));
        }
    };
    let classes = encoder.head.as_ref().map_or(0, |head| head.names.len());
    let mut config = json!({
        "architecture": architecture,
        "num_classes": classes,
        "num_features": width,
        "global_pool": pool,
        "model_args": arguments,
        "pretrained_cfg": {
            "tag": "selfsame",
            "custom_load": false,
            "input_size": [channels, size[0], size[1]],
            "fixed_input_size": fixed,
            "interpolation": interpolation,
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": mean,
            "std": std,
            "num_classes": classes,
            "first_conv": first,
            "classifier": classifier,
            "license": card::LICENSE,
        },
    });
    if let Some(head) = &encoder.head {
        config["label_names"] = json!(head.names);
    }
    Ok(config)
}
