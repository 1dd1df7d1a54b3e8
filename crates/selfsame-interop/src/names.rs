//! What others call the parameters of the networks that are known: one table, read from right to left when weights come in,
//! and from left to right when they go out.
//!
//! A row is our name of a module or a parameter, and theirs. `{}` stands for a number, counted from 0; `{1}` for the same,
//! counted from 1, and `{4}` from 4; `{_}` for a number that says nothing. What follows the name of a module stays.

/// A library's or an author's way to call the parameters of a family of networks.
#[derive(Debug)]
pub struct Style {
    /// Whose it is.
    pub name: &'static str,
    /// A parameter, in their words, that every such network has.
    pub anchor: &'static str,
    /// First parts of names, in their words, that belong to the encoder: one of these that no row has is part of another network.
    pub inside: &'static [&'static str],
    /// Our name, their name.
    pub rows: &'static [(&'static str, &'static str)],
}

const RESNET_PARTS: &[&str] = &["conv", "bn", "layer", "stem", "downsample"];
const VIT_PARTS: &[&str] = &[
    "patch_embed",
    "blocks",
    "norm",
    "norm_pre",
    "fc_norm",
    "cls_token",
    "pos_embed",
    "dist_token",
    "rel_pos_bias",
    "rope",
    "reg_token",
    "register_tokens",
];

const CONVNEXT_PARTS: &[&str] = &["stem", "stages", "downsample_layers", "embeddings", "encoder", "features"];

/// Every style.
pub const STYLES: &[Style] = &[
    Style {
        name: "torchvision's and timm's ResNet",
        anchor: "layer1.0.conv1.weight",
        inside: RESNET_PARTS,
        rows: &[
            ("conv1", "conv1"),
            ("bn1", "bn1"),
            ("layer{1}.{}.conv{1}", "layer{1}.{}.conv{1}"),
            ("layer{1}.{}.bn{1}", "layer{1}.{}.bn{1}"),
            ("layer{1}.{}.downsample.{}", "layer{1}.{}.downsample.{}"),
        ],
    },
    Style {
        name: "a ResNet in a Sequential, as lightly keeps it",
        anchor: "4.0.conv1.weight",
        inside: &["0", "1", "2", "3", "4", "5", "6", "7"],
        rows: &[
            ("conv1", "0"),
            ("bn1", "1"),
            ("layer{1}.{}.conv{1}", "{4}.{}.conv{1}"),
            ("layer{1}.{}.bn{1}", "{4}.{}.bn{1}"),
            ("layer{1}.{}.downsample.{}", "{4}.{}.downsample.{}"),
        ],
    },
    Style {
        name: "transformers' ResNet",
        anchor: "encoder.stages.0.layers.0.layer.0.convolution.weight",
        inside: &["embedder", "encoder"],
        rows: &[
            ("conv1", "embedder.embedder.convolution"),
            ("bn1", "embedder.embedder.normalization"),
            ("layer{1}.{}.conv{1}", "encoder.stages.{}.layers.{}.layer.{}.convolution"),
            ("layer{1}.{}.bn{1}", "encoder.stages.{}.layers.{}.layer.{}.normalization"),
            ("layer{1}.{}.downsample.0", "encoder.stages.{}.layers.{}.shortcut.convolution"),
            ("layer{1}.{}.downsample.1", "encoder.stages.{}.layers.{}.shortcut.normalization"),
        ],
    },
    Style {
        name: "timm's vision transformer",
        anchor: "blocks.0.norm1.weight",
        inside: VIT_PARTS,
        rows: &[
            ("cls_token", "cls_token"),
            ("pos_embed", "pos_embed"),
            ("reg_token", "reg_token"),
            ("reg_token", "register_tokens"),
            ("patch_embed.proj", "patch_embed.proj"),
            ("blocks.{}.norm1", "blocks.{}.norm1"),
            ("blocks.{}.attn.qkv", "blocks.{}.attn.qkv"),
            ("blocks.{}.attn.proj", "blocks.{}.attn.proj"),
            ("blocks.{}.ls1", "blocks.{}.ls1"),
            ("blocks.{}.norm2", "blocks.{}.norm2"),
            ("blocks.{}.mlp.fc1", "blocks.{}.mlp.fc1"),
            ("blocks.{}.mlp.fc2", "blocks.{}.mlp.fc2"),
            ("blocks.{}.ls2", "blocks.{}.ls2"),
            ("norm", "norm"),
        ],
    },
    Style {
        name: "DINOv2's vision transformer, its blocks in chunks",
        anchor: "blocks.0.0.norm1.weight",
        inside: VIT_PARTS,
        rows: &[
            ("cls_token", "cls_token"),
            ("pos_embed", "pos_embed"),
            ("reg_token", "register_tokens"),
            ("patch_embed.proj", "patch_embed.proj"),
            ("blocks.{}.norm1", "blocks.{_}.{}.norm1"),
            ("blocks.{}.attn.qkv", "blocks.{_}.{}.attn.qkv"),
            ("blocks.{}.attn.proj", "blocks.{_}.{}.attn.proj"),
            ("blocks.{}.ls1", "blocks.{_}.{}.ls1"),
            ("blocks.{}.norm2", "blocks.{_}.{}.norm2"),
            ("blocks.{}.mlp.fc1", "blocks.{_}.{}.mlp.fc1"),
            ("blocks.{}.mlp.fc2", "blocks.{_}.{}.mlp.fc2"),
            ("blocks.{}.ls2", "blocks.{_}.{}.ls2"),
            ("norm", "norm"),
        ],
    },
    Style {
        name: "transformers' ViT",
        anchor: "encoder.layer.0.layernorm_before.weight",
        inside: &["embeddings", "encoder", "layernorm"],
        rows: &[
            ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("blocks.{}.norm1", "encoder.layer.{}.layernorm_before"),
            ("blocks.{}.attn.q", "encoder.layer.{}.attention.attention.query"),
            ("blocks.{}.attn.k", "encoder.layer.{}.attention.attention.key"),
            ("blocks.{}.attn.v", "encoder.layer.{}.attention.attention.value"),
            ("blocks.{}.attn.proj", "encoder.layer.{}.attention.output.dense"),
            ("blocks.{}.norm2", "encoder.layer.{}.layernorm_after"),
            ("blocks.{}.mlp.fc1", "encoder.layer.{}.intermediate.dense"),
            ("blocks.{}.mlp.fc2", "encoder.layer.{}.output.dense"),
            ("norm", "layernorm"),
        ],
    },
    Style {
        name: "transformers' DINOv2",
        anchor: "encoder.layer.0.norm1.weight",
        inside: &["embeddings", "encoder", "layernorm"],
        rows: &[
            ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("reg_token", "embeddings.register_tokens"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("blocks.{}.norm1", "encoder.layer.{}.norm1"),
            ("blocks.{}.attn.q", "encoder.layer.{}.attention.attention.query"),
            ("blocks.{}.attn.k", "encoder.layer.{}.attention.attention.key"),
            ("blocks.{}.attn.v", "encoder.layer.{}.attention.attention.value"),
            ("blocks.{}.attn.proj", "encoder.layer.{}.attention.output.dense"),
            ("blocks.{}.ls1.gamma", "encoder.layer.{}.layer_scale1.lambda1"),
            ("blocks.{}.norm2", "encoder.layer.{}.norm2"),
            ("blocks.{}.mlp.fc1", "encoder.layer.{}.mlp.fc1"),
            ("blocks.{}.mlp.fc2", "encoder.layer.{}.mlp.fc2"),
            ("blocks.{}.ls2.gamma", "encoder.layer.{}.layer_scale2.lambda1"),
            ("norm", "layernorm"),
        ],
    },
    Style {
        name: "torchvision's vision transformer",
        anchor: "encoder.layers.encoder_layer_0.ln_1.weight",
        inside: &["class_token", "conv_proj", "encoder"],
        rows: &[
            ("cls_token", "class_token"),
            ("pos_embed", "encoder.pos_embedding"),
            ("patch_embed.proj", "conv_proj"),
            ("blocks.{}.norm1", "encoder.layers.encoder_layer_{}.ln_1"),
            ("blocks.{}.attn.qkv.weight", "encoder.layers.encoder_layer_{}.self_attention.in_proj_weight"),
            ("blocks.{}.attn.qkv.bias", "encoder.layers.encoder_layer_{}.self_attention.in_proj_bias"),
            ("blocks.{}.attn.proj", "encoder.layers.encoder_layer_{}.self_attention.out_proj"),
            ("blocks.{}.norm2", "encoder.layers.encoder_layer_{}.ln_2"),
            ("blocks.{}.mlp.fc1", "encoder.layers.encoder_layer_{}.mlp.0"),
            ("blocks.{}.mlp.fc1", "encoder.layers.encoder_layer_{}.mlp.linear_1"),
            ("blocks.{}.mlp.fc2", "encoder.layers.encoder_layer_{}.mlp.3"),
            ("blocks.{}.mlp.fc2", "encoder.layers.encoder_layer_{}.mlp.linear_2"),
            ("norm", "encoder.ln"),
        ],
    },
    Style {
        name: "timm's ConvNeXt",
        anchor: "stages.0.blocks.0.conv_dw.weight",
        inside: CONVNEXT_PARTS,
        rows: &[
            ("stem.{}", "stem.{}"),
            ("stages.{}.downsample.{}", "stages.{}.downsample.{}"),
            ("stages.{}.blocks.{}.conv_dw", "stages.{}.blocks.{}.conv_dw"),
            ("stages.{}.blocks.{}.norm", "stages.{}.blocks.{}.norm"),
            ("stages.{}.blocks.{}.mlp.fc1", "stages.{}.blocks.{}.mlp.fc1"),
            ("stages.{}.blocks.{}.mlp.fc2", "stages.{}.blocks.{}.mlp.fc2"),
            ("stages.{}.blocks.{}.gamma", "stages.{}.blocks.{}.gamma"),
            ("head.norm", "head.norm"),
        ],
    },
    Style {
        name: "torchvision's ConvNeXt",
        anchor: "features.1.0.block.0.weight",
        inside: CONVNEXT_PARTS,
        rows: &[
            ("stem.{}", "features.0.{}"),
            ("stages.0.blocks.{}.conv_dw", "features.1.{}.block.0"),
            ("stages.0.blocks.{}.norm", "features.1.{}.block.2"),
            ("stages.0.blocks.{}.mlp.fc1", "features.1.{}.block.3"),
            ("stages.0.blocks.{}.mlp.fc2", "features.1.{}.block.5"),
            ("stages.0.blocks.{}.gamma", "features.1.{}.layer_scale"),
            ("stages.1.blocks.{}.conv_dw", "features.3.{}.block.0"),
            ("stages.1.blocks.{}.norm", "features.3.{}.block.2"),
            ("stages.1.blocks.{}.mlp.fc1", "features.3.{}.block.3"),
            ("stages.1.blocks.{}.mlp.fc2", "features.3.{}.block.5"),
            ("stages.1.blocks.{}.gamma", "features.3.{}.layer_scale"),
            ("stages.1.downsample.{}", "features.2.{}"),
            ("stages.2.blocks.{}.conv_dw", "features.5.{}.block.0"),
            ("stages.2.blocks.{}.norm", "features.5.{}.block.2"),
            ("stages.2.blocks.{}.mlp.fc1", "features.5.{}.block.3"),
            ("stages.2.blocks.{}.mlp.fc2", "features.5.{}.block.5"),
            ("stages.2.blocks.{}.gamma", "features.5.{}.layer_scale"),
            ("stages.2.downsample.{}", "features.4.{}"),
            ("stages.3.blocks.{}.conv_dw", "features.7.{}.block.0"),
            ("stages.3.blocks.{}.norm", "features.7.{}.block.2"),
            ("stages.3.blocks.{}.mlp.fc1", "features.7.{}.block.3"),
            ("stages.3.blocks.{}.mlp.fc2", "features.7.{}.block.5"),
            ("stages.3.blocks.{}.gamma", "features.7.{}.layer_scale"),
            ("stages.3.downsample.{}", "features.6.{}"),
            ("head.norm", "classifier.0"),
        ],
    },
    Style {
        name: "ConvNeXt's authors",
        anchor: "stages.0.0.dwconv.weight",
        inside: CONVNEXT_PARTS,
        rows: &[
            ("stem.{}", "downsample_layers.0.{}"),
            ("stages.1.downsample.{}", "downsample_layers.1.{}"),
            ("stages.2.downsample.{}", "downsample_layers.2.{}"),
            ("stages.3.downsample.{}", "downsample_layers.3.{}"),
            ("stages.{}.blocks.{}.conv_dw", "stages.{}.{}.dwconv"),
            ("stages.{}.blocks.{}.norm", "stages.{}.{}.norm"),
            ("stages.{}.blocks.{}.mlp.fc1", "stages.{}.{}.pwconv1"),
            ("stages.{}.blocks.{}.mlp.fc2", "stages.{}.{}.pwconv2"),
            ("stages.{}.blocks.{}.gamma", "stages.{}.{}.gamma"),
            ("head.norm", "norm"),
        ],
    },
    Style {
        name: "transformers' ConvNeXt",
        anchor: "encoder.stages.0.layers.0.dwconv.weight",
        inside: CONVNEXT_PARTS,
        rows: &[
            ("stem.0", "embeddings.patch_embeddings"),
            ("stem.1", "embeddings.layernorm"),
            ("stages.{}.downsample.{}", "encoder.stages.{}.downsampling_layer.{}"),
            ("stages.{}.blocks.{}.conv_dw", "encoder.stages.{}.layers.{}.dwconv"),
            ("stages.{}.blocks.{}.norm", "encoder.stages.{}.layers.{}.layernorm"),
            ("stages.{}.blocks.{}.mlp.fc1", "encoder.stages.{}.layers.{}.pwconv1"),
            ("stages.{}.blocks.{}.mlp.fc2", "encoder.stages.{}.layers.{}.pwconv2"),
            ("stages.{}.blocks.{}.gamma", "encoder.stages.{}.layers.{}.layer_scale_parameter"),
            ("head.norm", "layernorm"),
        ],
    },
];

impl Style {
    /// Our name of what they call `name`.
    ///
    /// # Examples
    /// ```
    /// let style = &selfsame_interop::names::STYLES[1];
    /// assert_eq!(style.ours("5.0.downsample.1.bias").unwrap(), "layer2.0.downsample.1.bias");
    /// assert_eq!(style.theirs("layer2.0.downsample.1.bias").unwrap(), "5.0.downsample.1.bias");
    /// ```
    pub fn ours(&self, name: &str) -> Option<String> {
        self.rows.iter().find_map(|(ours, theirs)| renamed(name, theirs, ours))
    }

    /// Their name of what we call `name`.
    pub fn theirs(&self, name: &str) -> Option<String> {
        self.rows.iter().find_map(|(ours, theirs)| renamed(name, ours, theirs))
    }

    /// Whether `name`, in their words, is of the encoder and not of a head.
    pub fn is_inside(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        // A first part is a word, which a number may follow: `layer5`, `conv0`.
        let word = first.trim_end_matches(|c: char| c.is_ascii_digit());
        self.inside.iter().any(|part| *part == first || (*part == word && !word.is_empty()))
    }
}

/// `name` by the pattern `to`, where it is one of `from`.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let mut numbers = Vec::new();
    let (mut rest, mut pattern) = (name, from);
    while let Some((before, after)) = pattern.split_once('{') {
        let (first, after) = after.split_once('}')?;
        rest = rest.strip_prefix(before)?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: usize = rest[..digits].parse().ok()?;
        if first != "_" {
            numbers.push(number.checked_sub(first.parse().unwrap_or(0))?);
        }
        (rest, pattern) = (&rest[digits..], after);
    }
    rest = rest.strip_prefix(pattern)?;
    let leaf = rest.is_empty() || rest.strip_prefix('.').is_some_and(|leaf| !leaf.is_empty() && !leaf.contains('.'));
    if !leaf {
        return None;
    }
    let (mut new, mut pattern, mut numbers) = (String::new(), to, numbers.into_iter());
    while let Some((before, after)) = pattern.split_once('{') {
        let (first, after) = after.split_once('}')?;
        new += before;
        let number = if first == "_" { 0 } else { numbers.next()? + first.parse::<usize>().unwrap_or(0) };
        new += &number.to_string();
        pattern = after;
    }
    Some(new + pattern + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_comes_back() {
        for style in STYLES {
            for (ours, _) in style.rows {
                for (number, leaf) in [("0", ""), ("3", ".weight")] {
                    let name = ours.replace("{}", number).replace("{1}", if number == "0" { "1" } else { "4" }) + leaf;
                    let theirs = style.theirs(&name).unwrap();
                    assert_eq!(style.ours(&theirs).unwrap(), name, "{}: {theirs}", style.name);
                    // A norm that follows the pooling may stand beside heads.
                    assert!(style.is_inside(&theirs) || ours.starts_with("head."), "{}: {theirs}", style.name);
                }
            }
            assert!(style.ours(style.anchor).is_some());
        }
    }

    #[test]
    fn heads_and_other_networks_have_no_name_here() {
        for (style, name, inside) in [
            (0, "fc.weight", false),
            (0, "layer1.0.se.fc1.weight", true),
            (0, "conv1.0.weight", true),
            (0, "layer0.0.conv1.weight", true),
            (3, "head.weight", false),
            (3, "mask_token", false),
            (3, "blocks.0.attn.q_norm.weight", true),
            (3, "fc_norm.weight", true),
        ] {
            let style = &STYLES[style];
            assert_eq!((style.ours(name), style.is_inside(name)), (None, inside), "{name}");
        }
    }
}
