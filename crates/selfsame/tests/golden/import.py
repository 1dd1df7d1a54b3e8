#!/usr/bin/env python3
"""Small encoders as other tools keep them, and the representations that these tools compute.

Regenerate: python3 import.py   (needs torch, torchvision, timm and transformers, CPU)

Weights are drawn by their names' sums of letters. Each file has its network's own names: what is read of it must compute the same.
"""
import argparse
import json
import pathlib
import re

import timm
import torch
import torchvision
import transformers
from safetensors.torch import save_file
from timm.models.convnext import ConvNeXt
from timm.models.vision_transformer import VisionTransformer
from torchvision.models.convnext import CNBlockConfig

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "import"
SIDE, PATCH, DIM, DEPTH = 16, 8, 8, 2
expected = {}


def seeded(net):
    """Every parameter and running statistic replaced, so that no block is near the identity."""
    for name, value in net.state_dict().items():
        g = torch.Generator().manual_seed(sum(name.encode()))
        if name.endswith("running_var"):
            new = torch.rand(value.shape, generator=g) * 1.5 + 0.5
        elif name.endswith("num_batches_tracked"):
            continue
        elif value.dim() in (2, 4):
            new = torch.randn(value.shape, generator=g) / value[0].numel() ** 0.5
        elif name.endswith(("gamma", "lambda1", "weight")):
            new = torch.rand(value.shape, generator=g) + 0.5
        elif value.dim() == 3:
            new = torch.randn(value.shape, generator=g) * 0.5
        else:
            new = torch.randn(value.shape, generator=g) * 0.1
        value.copy_(new)
    return net.eval()


def images(channels=3, side=SIDE):
    count = 2 * side * side * channels
    return torch.sin(0.3 * torch.arange(count).double() ** 1.1 + 1).float().reshape(2, side, side, channels).permute(0, 3, 1, 2)


def expect(file, h, side=SIDE, **about):
    expected[file] = {"h": h.flatten().tolist(), "side": side, **about}


class ResNet(torch.nn.Module):
    """Torchvision's, in small."""

    def __init__(self, channels=3):
        super().__init__()
        from torchvision.models.resnet import BasicBlock, conv1x1
        self.conv1 = torch.nn.Conv2d(channels, 4, 7, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)
        self.relu, self.maxpool = torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2, 1)
        self.layer1 = torch.nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 4))
        down = torch.nn.Sequential(conv1x1(4, 8, 2), torch.nn.BatchNorm2d(8))
        self.layer2 = torch.nn.Sequential(BasicBlock(4, 8, 2, down), BasicBlock(8, 8))
        self.fc = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x)).mean((2, 3))


def vit(**more):
    return seeded(VisionTransformer(img_size=SIDE, patch_size=PATCH, num_classes=0, embed_dim=DIM, depth=DEPTH, num_heads=1, **more))


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


torch.set_grad_enabled(False)
FOLDER.mkdir(exist_ok=True)

# DINO's checkpoint: student and teacher, heads, the optimizer, settings.
net, student = vit(), {name: torch.zeros_like(value) for name, value in vit().state_dict().items()}
torch.save({
    "student": under("module.backbone.", student) | {"module.head.last_layer.weight_g": torch.ones(3, 1)},
    "teacher": under("backbone.", net.state_dict()) | {"head.mlp.0.weight": torch.ones(3, 3)},
    "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]},
    "epoch": 7, "args": argparse.Namespace(lr=0.1, output_dir="somewhere"), "loss": torch.tensor(1.5),
}, FOLDER / "dino.pth")
expect("dino.pth", net(images()), ignored=["loss", "optimizer", "student", "teacher.head"])

# MoCo's, as PyTorch before 1.6 wrote it.
net = seeded(ResNet())
other = {name: torch.zeros_like(value) for name, value in net.state_dict().items()}
torch.save({
    "epoch": 3, "arch": "resnet", "state_dict": under("module.encoder_q.", net.state_dict())
    | under("module.encoder_k.", other) | {"module.queue": torch.ones(4, 4), "module.queue_ptr": torch.zeros(1).long()},
}, FOLDER / "moco-legacy.pth.tar", _use_new_zipfile_serialization=False)
expect("moco-legacy.pth.tar", net(images()), ignored=["fc", "state_dict.module.encoder_k", "state_dict.module.queue", "state_dict.module.queue_ptr"])

# lightly's: a Sequential without names, by Lightning.
net = seeded(ResNet())
backbone = torch.nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
torch.save({
    "state_dict": under("backbone.", backbone.state_dict()) | {"projection_head.layers.0.weight": torch.ones(2, 2)},
    "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.0",
}, FOLDER / "lightly.ckpt")
expect("lightly.ckpt", net(images()), ignored=["state_dict.projection_head"])

# One channel; every parameter a window on one storage, convolutions with channels last.
net = seeded(ResNet(channels=1))
state = {name: value for name, value in net.state_dict().items() if value.is_floating_point() and not name.startswith("fc")}
flat = torch.cat([value.permute(0, 2, 3, 1).flatten() if value.dim() == 4 else value.flatten() for value in state.values()])
at, views = 0, {}
for name, value in state.items():
    part = flat[at:at + value.numel()]
    at += value.numel()
    o, i, h, w = value.shape if value.dim() == 4 else (0, 0, 0, 0)
    views[name] = part.reshape(o, h, w, i).permute(0, 3, 1, 2) if value.dim() == 4 else part.reshape(value.shape)
    assert torch.equal(views[name], value)
torch.save(views, FOLDER / "windows-gray.pt")
expect("windows-gray.pt", net(images(1)), ignored=[])

# Kinds of numbers.
net = seeded(ResNet())
for dtype, name in ((torch.float64, "f64"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
    rounded = {key: value.to(dtype) if value.is_floating_point() else value for key, value in net.state_dict().items()}
    again = ResNet().eval()
    again.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in rounded.items()})
    rounded = under("state_dict.model.", rounded) if name == "f64" else rounded
    save_file({key: value.contiguous() for key, value in rounded.items()}, FOLDER / f"{name}.safetensors")
    expect(f"{name}.safetensors", again(images()), ignored=["fc"])

# DINOv2's own: registers, gains, blocks in chunks, a position for the class token.
net = vit(reg_tokens=2, no_embed_class=True, init_values=1.0)
position = torch.randn(1, 1, DIM, generator=torch.Generator().manual_seed(5))
state = net.state_dict()
own = {}
for name, value in state.items():
    chunk = re.match(r"blocks\.(\d+)\.(.*)", name)
    name = f"blocks.0.{chunk[1]}.{chunk[2]}" if chunk else name.replace("reg_token", "register_tokens")
    own[name] = value
own["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
own["mask_token"] = torch.zeros(1, DIM)
torch.save({"teacher": under("backbone.", own)}, FOLDER / "dinov2.pth")
moved = vit(reg_tokens=2, no_embed_class=True, init_values=1.0)
moved.load_state_dict(state | {"cls_token": state["cls_token"] + position})
expect("dinov2.pth", moved(images()), ignored=["mask_token"], adapted=["the tokens before the patches"])

# A folder of timm's.
folder = FOLDER / "timm"
folder.mkdir(exist_ok=True)
save_file(net.state_dict(), folder / "model.safetensors")
(folder / "config.json").write_text(json.dumps({
    "architecture": "vit", "pretrained_cfg": {"mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 0.25], "interpolation": "bilinear"}}))
expect("timm", net(images()), ignored=[], mean=[0.5, 0.25, 0.125])

# timm's ConvNeXt, whose four stages need larger images.
widths, depths = [4, 8, 12, 16], [1, 2, 1, 1]
net = seeded(ConvNeXt(depths=depths, dims=widths, num_classes=3))
save_file(net.state_dict(), FOLDER / "convnext.safetensors")
net.reset_classifier(0)
expect("convnext.safetensors", net(images(side=2 * SIDE)), ignored=["head"], side=2 * SIDE)

# Folders of transformers.
sizes = dict(hidden_size=DIM, num_hidden_layers=DEPTH, num_attention_heads=2, intermediate_size=4 * DIM, image_size=SIDE,
             patch_size=PATCH, layer_norm_eps=1e-6)
small = dict(embedding_size=4, hidden_sizes=[4, 8], depths=[2, 2], layer_type="basic")
next_small = dict(hidden_sizes=widths, depths=depths, layer_norm_eps=1e-6)
for name, net in (
    ("hf-vit", transformers.ViTModel(transformers.ViTConfig(**sizes))),
    ("hf-dinov2", transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(
        **{**sizes, "num_register_tokens": 2, "mlp_ratio": 4}))),
    ("hf-resnet", transformers.ResNetModel(transformers.ResNetConfig(**small))),
    ("hf-convnext", transformers.ConvNextModel(transformers.ConvNextConfig(**next_small))),
):
    seeded(net).save_pretrained(FOLDER / name)
    side = 2 * SIDE if name == "hf-convnext" else SIDE
    out = net(images(side=side))
    h = out.pooler_output.flatten(1) if name in ("hf-resnet", "hf-convnext") else out.last_hidden_state[:, 0]
    expect(name, h, ignored={"hf-vit": ["pooler"], "hf-dinov2": ["embeddings.mask_token"]}.get(name, []), side=side)
(FOLDER / "hf-vit" / "preprocessor_config.json").write_text(json.dumps(
    {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 2}))

# torchvision's vision transformer.
net = seeded(torchvision.models.VisionTransformer(SIDE, PATCH, DEPTH, 1, DIM, 4 * DIM, num_classes=3))
torch.save(net.state_dict(), FOLDER / "torchvision-vit.pth")
net.heads = torch.nn.Identity()
expect("torchvision-vit.pth", net(images()), ignored=["heads"])

# torchvision's ConvNeXt.
blocks = [CNBlockConfig(width, following, depth) for width, following, depth in zip(widths, [*widths[1:], None], depths)]
net = seeded(torchvision.models.ConvNeXt(blocks, num_classes=3))
torch.save(net.state_dict(), FOLDER / "torchvision-convnext.pth")
net.classifier = net.classifier[:2]  # without its linear map
expect("torchvision-convnext.pth", net(images(side=2 * SIDE)), ignored=["classifier"], side=2 * SIDE)

for path in sorted(FOLDER.rglob("README.md")):
    path.unlink()
versions = {library.__name__: library.__version__ for library in (torch, torchvision, timm, transformers)}
(HERE / "import.json").write_text(json.dumps({"generator": "import.py", "versions": versions, "files": expected}))
