#!/usr/bin/env python3
"""Golden representations and gradients of timm's vision transformers, in float64.

Regenerate: python3 vit.py > vit.json   (needs torch and timm 1.x, CPU)

Weights are the formulas of resnet.py. The loss is the mean of h * sin(0, 1, 2 ...); gradients are given as norm and first
values, in PyTorch's layout. `h_resized` is of images of another size: learned positions are resampled as DINO's reference
does for its small crops (bicubic, without antialiasing), fixed ones computed by MAE's formula.
"""
import json, math, sys
import numpy, timm, torch
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import interpolate

torch.set_default_dtype(torch.float64)


def filled(name, tensor):
    t = (torch.arange(tensor.numel()) * 40503 + sum(name.encode()) * 977) % 65521
    wave = ((t * t + 3 * t) % 65521 / 65521 * 2 - 1).reshape(tensor.shape)
    if tensor.dim() in (2, 4):
        return wave * math.sqrt(6 / math.prod(tensor.shape[1:]))
    return (1 if name.endswith("weight") else 0) + 0.1 * wave


def sincos(side, dim):
    """MAE's get_2d_sincos_pos_embed: [side * side, dim]."""
    omega = 1.0 / 10000 ** (numpy.arange(dim // 4) / (dim / 4.0))
    columns, rows = numpy.meshgrid(numpy.arange(side), numpy.arange(side))
    angles = [numpy.outer(at.reshape(-1), omega) for at in (columns, rows)]
    return torch.from_numpy(numpy.concatenate([f(a) for a in angles for f in (numpy.sin, numpy.cos)], axis=1))


def forward(net, x, positions):
    tokens = net.patch_embed.proj(x).flatten(2).transpose(1, 2)
    before_patches = net.num_prefix_tokens
    first = 0 if net.no_embed_class else before_patches
    own, dim = net.pos_embed[:, first:], net.embed_dim
    before, side = math.isqrt(own.shape[1]), math.isqrt(tokens.shape[1])
    if side != before:
        if positions == "sincos":
            own = sincos(side, dim)[None]
        else:
            own = own.reshape(1, before, before, dim).permute(0, 3, 1, 2)
            own = interpolate(own, size=(side, side), mode="bicubic").permute(0, 2, 3, 1).reshape(1, -1, dim)
    tokens = tokens + own
    if net.reg_token is not None:
        tokens = torch.cat([net.reg_token.expand(len(x), -1, -1), tokens], 1)
    if net.cls_token is not None:
        class_token = net.cls_token + net.pos_embed[:, :1] if first else net.cls_token
        tokens = torch.cat([class_token.expand(len(x), -1, -1), tokens], 1)
    tokens = net.norm(net.blocks(tokens))
    return tokens[:, 0] if net.cls_token is not None else tokens[:, before_patches:].mean(1)


def images(batch, size, channels):
    count = batch * channels * size * size
    return torch.sin(0.3 * torch.arange(count) ** 1.1 + 1).reshape(batch, size, size, channels).permute(0, 3, 1, 2)


cases = []
for pool, positions, channels, size, patch, resized, registers in [
    ("class", "learned", 3, 16, 4, 24, 0), ("mean", "sincos", 1, 12, 3, 9, 0), ("class", "learned", 3, 16, 4, 24, 2),
    ("mean", "learned", 3, 16, 4, 24, 1),
]:
    dim, depth, heads, batch = 24, 3, 3, 3
    net = VisionTransformer(img_size=size, patch_size=patch, in_chans=channels, num_classes=0, embed_dim=dim, depth=depth,
                            num_heads=heads, class_token=pool == "class", fc_norm=False,
                            reg_tokens=registers, no_embed_class=registers > 0, init_values=1.0 if registers else None,
                            global_pool="token" if pool == "class" else "avg")
    net.load_state_dict({k: filled(k, v) for k, v in net.state_dict().items()})
    if positions == "sincos":
        net.pos_embed = torch.nn.Parameter(sincos(size // patch, dim)[None], requires_grad=False)
    x = images(batch, size, channels)
    h = forward(net, x, positions)
    assert torch.allclose(h, net(x))
    (h * torch.sin(torch.arange(h.numel())).reshape(h.shape)).mean().backward()
    gradients = {}
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            g = parameter.grad
            gradients[key] = {"norm": g.norm().item(), "first": g.flatten()[:4].tolist()}
    with torch.no_grad():
        h_resized = forward(net, images(batch, resized, channels), positions)
    cases.append({"pool": pool, "positions": positions, "channels": channels, "size": size, "patch_size": patch, "dim": dim,
                  "depth": depth, "heads": heads, "batch": batch, "resized": resized, "registers": registers, "h": h.flatten().tolist(),
                  "h_resized": h_resized.flatten().tolist(), "gradients": gradients})
named = {}
for name in ("vit_tiny", "vit_small", "vit_base"):
    net = timm.create_model(f"{name}_patch16_224", num_classes=0)
    shapes = {k: list(v.shape) for k, v in net.state_dict().items()}
    kept = {k: s for k, s in shapes.items() if not k.startswith("blocks.") or k.startswith(("blocks.0.", "blocks.11."))}
    named[name] = {"tensors": len(shapes), "shapes": kept}
json.dump({"generator": "vit.py", "cases": cases, "named": named}, sys.stdout)
