//! A `state_dict` for torchvision's residual networks.

use crate::network::{Network, Norm};
use crate::{Encoder, File, card, lacks};
use selfsame_base::DataError;

/// The files of a torchvision folder.
///
/// # Errors
/// If torchvision has no such network.
pub(crate) fn files(encoder: &Encoder) -> Result<Vec<File>, DataError> {
    let lacks = |what: &str| Err(lacks("torchvision", what));
    let name = encoder.backbone.name.clone();
    match Network::of(encoder)? {
        Network::ResNet(net) if net.in_time || name == "resnet_micro" => return lacks(&name),
        Network::ResNet(net) if !net.imagenet_stem => return lacks("backbone.stem = \"small\""),
        Network::ResNet(net) if net.norm != Norm::Batch => return lacks("backbone.norm is not \"batch\""),
        Network::ResNet(_) => {}
        _ => return lacks(&name),
    }
    if encoder.channels != 3 {
        return lacks(&format!("it takes images of 3 channels, and this one of {}", encoder.channels));
    }
    let mut tensors = encoder.tensors.clone();
    let (arguments, alone, given) = match &encoder.head {
        None => (
            String::new(),
            "net.fc = torch.nn.Identity()\n",
            format!("h = net.eval()(images)  # [n, {}]\n", encoder.width),
        ),
        Some(head) => {
            head.add_to(&mut tensors, "fc");
            let outputs = head.names.len();
            let given = format!("outputs = net.eval()(images)  # [n, {outputs}]\n{}", head.in_python());
            (format!("num_classes={outputs}"), "", given)
        }
    };
    let usage = format!(
        "With torchvision (tested with 0.29.2):\n\n```python\nimport safetensors.torch, torch, torchvision\n\n\
         net = torchvision.models.{name}({arguments})\n{alone}\
         net.load_state_dict(safetensors.torch.load_file(\"model.safetensors\"))\n{given}```\n",
    );
    let card = card::page(encoder, "torchvision", &usage);
    Ok(vec![("README.md", card.into_bytes()), ("model.safetensors", tensors.state_dict(encoder.origin.steps))])
}
