"""Weights that other tools wrote, read by `selfsame embed` and written again by `selfsame export`.

Every network is made by its own library with seeded values for every parameter and running statistic (see check.py), and saved in the
ways in which published checkpoints are. `selfsame embed FILE` must compute what the library does, and what `selfsame export` makes of
the file must hold every tensor of the encoder, bit by bit.
"""

import shutil

import numpy as np
import timm
import torch
import torchvision
import transformers
from check import DEFAULT, DIRECT, WORK, chosen, finish, images, run, seeded
from safetensors.torch import load_file, save_file

# Networks of 224 px take their time.
IMAGES = 16
# Heads of these networks, and what carries no weight.
HEADS = ("fc.", "head.weight", "head.bias", "heads.", "num_batches_tracked")


def plain(state, file):
    torch.save(state, file)


def legacy(state, file):
    torch.save(state, file, _use_new_zipfile_serialization=False)


def tensors(state, file):
    save_file(state, file)


def moco(state, file):
    """As MoCo's trainer under DistributedDataParallel."""
    other = {f"module.encoder_k.{name}": torch.zeros_like(value) for name, value in state.items()}
    own = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save({"epoch": 200, "state_dict": own | other | {"module.queue": torch.ones(128, 64)}, "optimizer": {}}, file)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items() if not name.startswith("fc.")}


def simsiam(state, file):
    """As SimSiam's trainer: the projector is what was the classifier."""
    heads = {"module.encoder.fc.0.weight": torch.ones(512, 512), "module.predictor.0.weight": torch.ones(128, 512)}
    torch.save({"epoch": 100, "arch": "resnet18", "state_dict": under("module.encoder.", state) | heads, "optimizer": {}}, file)


def barlow_twins(state, file):
    """As Barlow Twins' and VICReg's trainers."""
    heads = {"module.projector.0.weight": torch.ones(64, 512), "module.bn.running_mean": torch.ones(64)}
    torch.save({"epoch": 1000, "model": under("module.backbone.", state) | heads, "optimizer": {}}, file)


def solo_learn(state, file):
    """As solo-learn, by Lightning, with a teacher that follows."""
    other = {name: torch.zeros_like(value) for name, value in under("momentum_backbone.", state).items()}
    heads = {"classifier.weight": torch.ones(10, 512), "projector.0.weight": torch.ones(64, 512)}
    torch.save({"state_dict": under("backbone.", state) | other | heads, "hyper_parameters": {"lr": 0.1}}, file)


def mae(state, file):
    """As MAE's trainer: the decoder lies beside the encoder."""
    decoder = {"mask_token": torch.ones(1, 1, 512), "decoder_pos_embed": torch.ones(1, 17, 512), "decoder_embed.weight": torch.ones(512, 384),
               "decoder_blocks.0.norm1.weight": torch.ones(512), "decoder_pred.weight": torch.ones(768, 512)}
    torch.save({"model": {name: value for name, value in state.items() if not name.startswith("head.")} | decoder}, file)


def dino(state, file):
    """As DINO's trainer."""
    student = {f"module.backbone.{name}": torch.zeros_like(value) for name, value in state.items()}
    torch.save({"student": student, "teacher": {f"backbone.{name}": value for name, value in state.items()}}, file)


def lightly(state, file):
    """A Sequential of the layers up to the pooling, by Lightning."""
    places = {"conv1": "0", "bn1": "1"} | {f"layer{i}": str(i + 3) for i in (1, 2, 3, 4)}
    renamed = {".".join(["backbone", places[name.split(".")[0]], *name.split(".")[1:]]): value
               for name, value in state.items() if name.split(".")[0] in places}
    torch.save({"state_dict": renamed, "hyper_parameters": {"lr": 0.1}}, file)


def vision(name):
    return lambda: getattr(torchvision.models, name)()


def of_timm(name, **more):
    return lambda: timm.create_model(name, **more)


# name: network, side, how it is saved, format that gives the tensors back
IMPORTS = {
    "torchvision resnet18": (vision("resnet18"), 224, plain, "torchvision"),
    "torchvision resnet18, before 1.6": (vision("resnet18"), 224, legacy, "torchvision"),
    "torchvision resnet18, safetensors": (vision("resnet18"), 224, tensors, "torchvision"),
    "torchvision resnet34, lightly": (vision("resnet34"), 224, lightly, "torchvision"),
    "torchvision resnet50, MoCo under DDP": (vision("resnet50"), 224, moco, "torchvision"),
    "torchvision resnet18, SimSiam": (vision("resnet18"), 224, simsiam, "torchvision"),
    "torchvision resnet18, Barlow Twins": (vision("resnet18"), 224, barlow_twins, "torchvision"),
    "torchvision resnet18, solo-learn": (vision("resnet18"), 224, solo_learn, "torchvision"),
    "torchvision resnet101": (vision("resnet101"), 224, plain, "torchvision"),
    "timm resnet50": (of_timm("resnet50"), 224, tensors, "timm"),
    "timm vit_small, DINO": (of_timm("vit_small_patch16_224", img_size=64), 64, dino, "timm"),
    "timm vit_small, MAE": (of_timm("vit_small_patch16_224", img_size=64), 64, mae, "timm"),
    "timm deit_small": (of_timm("deit_small_patch16_224"), 224, plain, "timm"),
    "timm vit_base": (of_timm("vit_base_patch16_224", img_size=64), 64, plain, "timm"),
    "timm vit_small_patch14_dinov2": (of_timm("vit_small_patch14_dinov2", img_size=56), 56, tensors, "timm"),
    "timm vit_small_patch14_reg4_dinov2": (of_timm("vit_small_patch14_reg4_dinov2", img_size=56), 56, plain, "timm"),
    "timm vit_base_patch14_reg4_dinov2": (of_timm("vit_base_patch14_reg4_dinov2", img_size=56), 56, legacy, "timm"),
    "timm convnext_tiny": (of_timm("convnext_tiny", num_classes=0), 224, tensors, "timm"),
    "torchvision convnext_tiny": (vision("convnext_tiny"), 224, plain, None),
    "transformers ConvNeXt": (lambda: transformers.ConvNextModel(transformers.ConvNextConfig(layer_norm_eps=1e-6)), 224, None, None),
    "torchvision vit_b_16": (lambda: torchvision.models.vit_b_16(image_size=64), 64, plain, None),
    "transformers ViT": (
        lambda: transformers.ViTModel(transformers.ViTConfig(image_size=64, layer_norm_eps=1e-6)), 64, None, None),
    "transformers DINOv2 with registers": (
        lambda: transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(
            hidden_size=384, num_attention_heads=6, num_register_tokens=4, image_size=56, patch_size=14)), 56, None, None),
    "transformers ResNet-50": (lambda: transformers.ResNetModel(transformers.ResNetConfig()), 224, None, None),
}


def features_of(network, x):
    """What the network's library gives as the representation."""
    if isinstance(network, (transformers.ResNetModel, transformers.ConvNextModel)):
        return network(x).pooler_output.flatten(1)
    if isinstance(network, transformers.PreTrainedModel):
        return network(x).last_hidden_state[:, 0]
    if isinstance(network, torchvision.models.ConvNeXt):
        network.classifier = network.classifier[:2]  # without its linear map
        return network(x)
    if isinstance(network, timm.models.ConvNeXt):
        return network(x)
    for head in ("fc", "head", "heads"):
        if hasattr(network, head):
            setattr(network, head, torch.nn.Identity())
    return network(x)


def check(name):
    make, side, save, format = IMPORTS[name]
    rng = np.random.default_rng(7)
    network = make().eval()
    state = {key: value if "num_batches" in key else torch.from_numpy(seeded(key, value.numpy(), rng))
             for key, value in sorted(network.state_dict().items())}
    network.load_state_dict(state)
    data, pixels = images(side, 3, IMAGES)
    folder = WORK / "imports"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / ("weights" if save is None else "weights.safetensors" if save is tensors else "weights.pth")
    network.save_pretrained(file) if save is None else save(state, file)
    # What nothing says is ImageNet's.
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x = (torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255 - mean) / std
    with torch.inference_mode():
        theirs = np.concatenate([features_of(network, x[i:i + 8]) for i in range(0, len(x), 8)])
    deviations = []
    for environment in ({"SELFSAME_WINOGRAD": "2"}, {}):
        out = folder.resolve() / "h.npy"
        run("embed", file.resolve(), f"data={data.resolve()}", f"out={out}", cwd=folder, **environment)
        ours = np.load(out)
        deviations.append(np.abs(ours - theirs).max() / np.abs(theirs).max())
    failures = []
    if deviations[0] > DIRECT or deviations[1] > DEFAULT:
        failures.append(f"{name}: {deviations}")
    same = ""
    if format:
        run("export", file, f"out={folder / 'again'}", f"format={format}")
        again = load_file(folder / "again" / "model.safetensors")
        own = {key: value for key, value in state.items() if not any(head in key for head in HEADS)}
        changed = [key for key, value in own.items() if key not in again or not torch.equal(value, again[key])]
        more = [key for key in again if key not in own and "num_batches" not in key]
        same = "same bits" if not changed and not more else "OTHER BITS"
        failures += [f"{name}: {key} is another" for key in changed + more]
    print(f"{name:40} {deviations[0]:.1e} {deviations[1]:.1e} {same}", flush=True)
    return failures


def main():
    names = chosen(IMPORTS)
    transformers.utils.logging.disable_progress_bar()
    print(f"{'weights':40} direct  default")
    finish(check, names)


if __name__ == "__main__":
    main()
