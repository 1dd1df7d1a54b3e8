#!/usr/bin/env python3
"""Golden representations and gradients of torchvision's residual networks, in float64.

Regenerate: python3 resnet.py > resnet.json   (needs torch, torchvision; any 2.x, CPU)

Weights are formulas of their name and position, so that none need be stored: value `i` of a parameter in PyTorch's
layout is `a + b * w`, `w` in -1..1 from quadratic residues of `i` and of the sum of the name's bytes; see `filled`.
Train mode: the loss is the mean of h²; gradients are given as norm and first values, in PyTorch's layout.
"""
import json, math, sys
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

torch.set_default_dtype(torch.float64)


def filled(name, tensor):
    t = (torch.arange(tensor.numel()) * 40503 + sum(name.encode()) * 977) % 65521
    wave = ((t * t + 3 * t) % 65521 / 65521 * 2 - 1).reshape(tensor.shape)
    if tensor.dim() == 4:
        return wave * math.sqrt(6 / (tensor.shape[1] * tensor.shape[2] * tensor.shape[3]))
    if name.endswith("running_var"):
        return 1 + 0.5 * wave
    return (1 if name.endswith("weight") else 0) + 0.1 * wave


def network(block, layers, stem, channels):
    net = ResNet(block, layers)
    net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False) if stem == "imagenet" else nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
    if stem == "small":
        net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    state = {k: filled(k, v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    net.load_state_dict(state, strict=False)
    return net


cases = []
for name, block, layers, stem, channels, size in [
    ("resnet18", BasicBlock, [2, 2, 2, 2], "small", 3, 17),
    ("resnet18", BasicBlock, [2, 2, 2, 2], "imagenet", 1, 70),
    ("resnet50", Bottleneck, [3, 4, 6, 3], "imagenet", 3, 64),
]:
    net = network(block, layers, stem, channels)
    count = 6 * channels * size * size
    x = torch.sin(0.3 * torch.arange(count) ** 1.1 + 1).reshape(6, size, size, channels).permute(0, 3, 1, 2)
    with torch.no_grad():
        h_eval = net.eval()(x)
    h = net.train()(x)
    h.square().mean().backward()
    gradients = {}
    for key in ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
                "layer2.0.bn2.bias", "layer4.1.conv2.weight"]:
        g = dict(net.named_parameters())[key].grad
        gradients[key] = {"norm": g.norm().item(), "first": g.flatten()[:8].tolist()}
    cases.append({"backbone": name, "stem": stem, "channels": channels, "size": size, "batch": 6,
                  "names": sorted(k for k in net.state_dict() if not k.endswith("num_batches_tracked")),
                  "h_eval": h_eval.flatten()[:64].tolist(), "h_train": h.flatten()[:64].tolist(),
                  "running_mean": net.bn1.running_mean[:8].tolist(), "running_var": net.bn1.running_var[:8].tolist(),
                  "gradients": gradients})
json.dump({"generator": "resnet.py", "cases": cases}, sys.stdout, indent=0)
