#!/usr/bin/env python3
"""Golden representations and gradients of timm's ConvNeXt, in float64.

Regenerate: python3 convnext.py > convnext.json   (needs torch and timm 1.x, CPU)

Weights are the formulas of resnet.py. The loss is the mean of h * sin(0, 1, 2 ...); gradients are given as norm and first values, in
PyTorch's layout.
"""
import json, math, sys
import timm, torch
from timm.models.convnext import ConvNeXt

torch.set_default_dtype(torch.float64)


def filled(name, tensor):
    t = (torch.arange(tensor.numel()) * 40503 + sum(name.encode()) * 977) % 65521
    wave = ((t * t + 3 * t) % 65521 / 65521 * 2 - 1).reshape(tensor.shape)
    if tensor.dim() in (2, 4):
        return wave * math.sqrt(6 / math.prod(tensor.shape[1:]))
    return (1 if name.endswith("weight") else 0) + 0.1 * wave


cases = []
# A side that stages cannot halve evenly is among them. With patches of 2 px timm would halve once more.
for channels, size, patch, widths, depths in [(3, 35, 3, [8, 12, 20, 24], [1, 2, 1, 1]), (1, 32, 4, [4, 8, 16, 20], [2, 1, 1, 1])]:
    batch = 3
    net = ConvNeXt(in_chans=channels, num_classes=0, depths=depths, dims=widths, patch_size=patch)
    net.load_state_dict({k: filled(k, v) for k, v in net.state_dict().items()})
    count = batch * channels * size * size
    x = torch.sin(0.3 * torch.arange(count) ** 1.1 + 1).reshape(batch, size, size, channels).permute(0, 3, 1, 2)
    h = net(x)
    (h * torch.sin(torch.arange(h.numel())).reshape(h.shape)).mean().backward()
    gradients = {k: {"norm": p.grad.norm().item(), "first": p.grad.flatten()[:4].tolist()} for k, p in net.named_parameters()}
    cases.append({"channels": channels, "size": size, "patch_size": patch, "widths": widths, "depths": depths, "batch": batch,
                  "h": h.flatten().tolist(), "gradients": gradients})
shapes = {k: list(v.shape) for k, v in timm.create_model("convnext_tiny", num_classes=0).state_dict().items()}
json.dump({"generator": "convnext.py", "cases": cases, "tiny": shapes}, sys.stdout)
