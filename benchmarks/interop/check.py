"""What other tools compute with exported encoders, beside `selfsame embed`.

Every encoder is trained for a step or two, so that there is a run, and then gets seeded values for *every* parameter and running
statistic, so that no block is near the identity and nothing that is left out goes unnoticed. The images have the encoder's size, so that
no tool resizes. Deviations are max|theirs - ours| / max|ours|. Mutants (a block left out, queries and values exchanged, a gain of
LayerScale left out) must fail.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import numpy as np
import onnx
import onnxruntime
import openvino
import timm
import torch
import torchvision
import transformers
from blake3 import blake3
from PIL import Image
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch
from sklearn.datasets import load_sample_images

SELFSAME = sys.argv[1]
WORK = Path(os.environ.get("SELFSAME_INTEROP_WORK", "benchmarks/.interop"))
IMAGES = 64
# Few, for the trained values are replaced.
TRAINED_ON = 8
DIRECT, DEFAULT, BYTES = 1e-5, 1e-4, 1e-3

# name: side (of signals [steps]), channels, arguments, formats besides onnx
RESNET = ["timm", "torchvision"]
ENCODERS = {
    "resnet_micro": (32, 3, ["backbone=resnet_micro"], []),
    "resnet_micro, gray, group norm, two stages": (
        32, 1, ["backbone=resnet_micro", "backbone.norm=group", "backbone.widths=[16,24]"], []),
    "resnet_micro, no norm, imagenet stem": (
        32, 3, ["backbone=resnet_micro", "backbone.norm=none", "backbone.stem=imagenet"], []),
    "resnet18, small stem": (32, 3, ["backbone=resnet18"], []),
    "resnet18": (64, 3, ["backbone=resnet18", "backbone.stem=imagenet"], RESNET),
    "resnet18, gray": (64, 1, ["backbone=resnet18", "backbone.stem=imagenet"], ["timm"]),
    "resnet18, group norm": (64, 3, ["backbone=resnet18", "backbone.stem=imagenet", "backbone.norm=group"], ["timm"]),
    "resnet34": (64, 3, ["backbone=resnet34", "backbone.stem=imagenet"], RESNET),
    "resnet50": (64, 3, ["backbone=resnet50", "backbone.stem=imagenet"], RESNET),
    "resnet101": (64, 3, ["backbone=resnet101", "backbone.stem=imagenet"], RESNET),
    "vit_micro": (32, 3, ["backbone=vit_micro"], ["timm"]),
    "vit_micro, gray, mean, sines, other sizes": (
        32, 1, ["backbone=vit_micro", "backbone.pool=mean", "backbone.positions=sincos", "backbone.dim=96",
                "backbone.depth=3", "backbone.heads=4"], ["timm"]),
    "vit_tiny": (64, 3, ["backbone=vit_tiny", "backbone.patch_size=16"], ["timm"]),
    "vit_small, mean": (64, 3, ["backbone=vit_small", "backbone.patch_size=16", "backbone.pool=mean"], ["timm"]),
    "vit_small, registers and gains": (
        56, 3, ["backbone=vit_small", "backbone.patch_size=14", "backbone.registers=4", "backbone.layer_scale=true"],
        ["timm"]),
    "vit_base": (64, 3, ["backbone=vit_base", "backbone.patch_size=16"], ["timm"]),
    "convnext_micro": (32, 3, ["backbone=convnext_micro"], []),
    "convnext_micro, four stages": (
        32, 1, ["backbone=convnext_micro", "backbone.widths=[8,12,16,24]", "backbone.depths=[1,2,1,1]",
                "backbone.patch_size=4"], ["timm"]),
    "convnext_tiny": (64, 3, ["backbone=convnext_tiny", "backbone.patch_size=4"], ["timm"]),
    "mlp": (1, 12, ["backbone=mlp"], []),
    "mlp, group norm, residual": (1, 12, ["backbone=mlp", "backbone.norm=group", "backbone.residual=true"], []),
    "belief_network": (32, 3, ["method=deep_belief_network"], []),
    "belief_network of vectors": (1, 12, ["method=deep_belief_network"], []),
    "vit_large": (32, 3, ["backbone=vit_large", "backbone.patch_size=16"], ["timm"]),
    "resnet1d_micro": ([500], 2, ["backbone=resnet1d_micro"], []),
    "resnet1d_micro, each by itself": ([200], 2, ["backbone=resnet1d_micro", "data.normalize=sample"], []),
    "resnet1d_18": ([500], 12, ["backbone=resnet1d_18"], []),
    "resnet1d_50, group norm": ([500], 1, ["backbone=resnet1d_50", "backbone.norm=group"], []),
    "tcn": ([100], 3, ["backbone=tcn"], []),
    "tcn, both ways, last": ([100], 3, ["backbone=tcn", "backbone.causal=false", "backbone.norm=none", "backbone.pool=last"], []),
    "transformer1d": ([500], 2, ["backbone=transformer1d"], []),
    "transformer1d, class, learned": (
        [203], 2, ["backbone=transformer1d", "backbone.pool=class", "backbone.positions=learned", "backbone.patch_size=10"], []),
    "cpc_encoder": ([500], 2, ["method=cpc", "backbone=cpc_encoder"], []),
    "cpc_encoder, no context, max": (
        [500], 2, ["backbone=cpc_encoder", "backbone.context=0", "backbone.pool=max", "data.normalize=sample"], []),
}


def run(*words, cwd=None, **environment):
    """What a command of ours told a person; where it fails, the end."""
    done = subprocess.run(
        [SELFSAME, *map(str, words)], cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"selfsame {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    return done.stderr


def trained(*words):
    """As run() of a pretraining, without the diagnosis after it."""
    command = [SELFSAME, "pretrain", "--records", *map(str, words)]
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as training:
        if not any(json.loads(record)["event"] == "finished" for record in training.stdout):
            said.seek(0)
            sys.exit(f"selfsame {' '.join(command[1:])}:\n{said.read()}")
        training.terminate()
        training.communicate()


def images(side, channels, count=IMAGES):
    """The folder of the images, parts of two photographs, and the images, bytes [n, side, side, channels]; with side 1, of vectors
    [n, channels]; with side [steps], of signals [n, steps, channels], that are walks."""
    if side == 1 or isinstance(side, list):
        rng = np.random.default_rng(5)
        if side == 1:
            name, values = "vectors", rng.normal(3, 2, (count, channels))
        else:
            steps = rng.normal(0, 1, (count, *side, channels))
            name, values = f"signals-{side[0]}", 3 + steps.cumsum(1) / side[0] ** 0.5
        file = WORK / f"{name}-{channels}-{count}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, values.astype(np.float32))
        return file, np.load(file)
    folder = WORK / f"images-{side}-{channels}-{count}"
    photos = [Image.fromarray(photo).convert("L" if channels == 1 else "RGB") for photo in load_sample_images().images]
    rng, parts = np.random.default_rng(side), []
    for i in range(count):
        photo, part = photos[i % len(photos)], rng.integers(64, 400)
        left, top = (rng.integers(0, whole - part + 1) for whole in photo.size)
        parts.append(photo.resize((side, side), Image.Resampling.BICUBIC, (left, top, left + part, top + part)))
    pixels = np.stack(parts).reshape(count, side, side, channels)
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for i, image in enumerate(pixels):
            Image.fromarray(image.squeeze()).save(folder / f"{i:03}.png")
    return folder, pixels


def seeded(name, value, rng):
    """A value for a tensor of that name."""
    shape = value.shape
    if name.endswith("running_var"):
        new = rng.uniform(0.5, 2, shape)
    elif name.endswith("running_mean") or name.endswith("bias") or name == "shift":
        new = rng.normal(0, 0.1, shape)
    elif value.ndim == 1:
        new = rng.uniform(0.5, 1.5, shape)  # gains of norms; what a belief network multiplies pixels with
    elif value.ndim == 3:  # positions and tokens
        new = rng.normal(0, 0.5, shape)
    else:
        new = rng.normal(0, 1, shape) * (1 / np.prod(shape[1:])) ** 0.5
    return new.astype(np.float32)


def sealed(config):
    """The bytes of a record whose last field is the hash of all before it (selfsame-base/src/seal.rs)."""
    config.pop("blake3", None)
    text = json.dumps(config, indent=2, ensure_ascii=False)
    head = text.removesuffix("\n}") + ',\n  "blake3": "'
    return (head + blake3(head.encode()).hexdigest() + '"\n}\n').encode()


def prepared(name, side, channels, arguments):
    """A run whose encoder has seeded values. What could bring the trained ones back goes."""
    run_folder = WORK / "runs" / re.sub(r"\W+", "-", name)
    data, _ = images(side, channels, TRAINED_ON)
    if not (run_folder / "encoder.safetensors").exists():
        method = [] if any(word.startswith("method=") for word in arguments) else ["method=simclr"]
        size = ["data.modality=signal", "data.axes=ntc"] if isinstance(side, list) else [f"size={side}"] if side > 1 else []
        trained(f"data={data}", *size, "epochs=1", "batch_size=4", f"out={run_folder}", *method, *arguments)
    weights, config = run_folder / "encoder.safetensors", run_folder / "config.json"
    shutil.rmtree(run_folder / "checkpoints", ignore_errors=True)
    rng = np.random.default_rng(7)
    save_file({key: seeded(key, value, rng) for key, value in sorted(load_file(weights).items())}, weights)
    record = json.loads(config.read_text())
    contents = weights.read_bytes()
    record["weights"] |= {"bytes": len(contents), "blake3": blake3(contents).hexdigest()}
    config.write_bytes(sealed(record))
    return run_folder, record


def features(run_folder, data, *words, **environment):
    """What `selfsame embed` gives."""
    out = run_folder / "features.npy"
    run("embed", run_folder, f"data={data}", f"out={out}", *words, **environment)
    return np.load(out)


def predicted(file):
    """What `selfsame predict` wrote: names of the samples, of the outputs, and numbers [samples, outputs]."""
    with open(file, newline="") as text:
        rows = list(csv.DictReader(text))
    told = [name for name in rows[0] if name not in ("id", "label", "probability", "labels", "unsure")]
    return [row["id"] for row in rows], told, np.array([[float(row[name]) for name in told] for row in rows])


def headed(run_folder, task):
    """The encoder with a head of five outputs, as `selfsame probe` would have left it, and that head."""
    model = run_folder / f"model-{task}"
    shutil.rmtree(model, ignore_errors=True)
    model.mkdir()
    for name in ("config.json", "encoder.safetensors"):
        shutil.copy(run_folder / name, model / name)
    config = json.loads((model / "config.json").read_text())
    rng, names = np.random.default_rng(11), [f"name {i}" for i in range(5)]
    weight = (rng.normal(0, 1, (config["width"], 5)) / config["width"] ** 0.5).astype(np.float32)
    bias = rng.normal(0, 0.1, 5).astype(np.float32)
    save_file({"weight": weight, "bias": bias}, model / "head.safetensors")
    contents = (model / "head.safetensors").read_bytes()
    (model / "predictor.json").write_bytes(sealed({
        "format": 1, "task": task, "names": names, "fitted_by": "probe",
        "labels_from": {"path": "unknown", "fingerprint": "unknown"}, "labeled": 5, "temperature": 1.7, "calibrated_on": 5,
        "tested": {"samples": 5, "score": 0.5, "interval": [0.25, 0.75], "calibration_error": [0.5, 0.25]},
        "encoder": config["weights"]["blake3"],
        "head": {"name": "head.safetensors", "bytes": len(contents), "blake3": blake3(contents).hexdigest()}}))
    return model, weight, bias


def exported(run_folder, format, *words):
    """A folder in that format."""
    out = run_folder / ("exported-" + "-".join([format, *words]).replace("=", "-"))
    shutil.rmtree(out, ignore_errors=True)
    run("export", run_folder, f"out={out}", f"format={format}", *words)
    return out


def by_tract(run_folder, data, *words):
    """The deviations that `export --check` tells of our direct convolutions and of the default ones."""
    for environment in ({"SELFSAME_WINOGRAD": "2"}, {}):
        out = run_folder / "checked"
        shutil.rmtree(out, ignore_errors=True)
        told = run("export", run_folder, f"out={out}", "format=onnx", "--check", f"data={data}", *words, **environment)
        yield float(re.search(r"the same h: they differ by at most (\S+)", told)[1])


def by_batches(network, x):
    """All of `x` in batches of 7, and the first alone, which must give the same."""
    with torch.inference_mode():
        together = np.concatenate([network(x[i:i + 7]) for i in range(0, len(x), 7)])
        alone = network(x[:1])
    return np.concatenate([alone, together[1:]]), np.abs(alone - together[:1]).max() / np.abs(together).max()


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inferred(model):
    """The graph in OpenVINO, with products in f32 (its default is bf16 where the processor has it)."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda output, x: compiled(np.ascontiguousarray(x))[output]


def mutants(path, name):
    """Graphs that are wrong in one place."""
    model = onnx.load(path)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}

    def with_values(key, change):
        mutant = onnx.ModelProto.FromString(model.SerializeToString())
        tensor = next(t for t in mutant.graph.initializer if t.name == key)
        values = change(onnx.numpy_helper.to_array(initializers[key]).copy())
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, key))
        return mutant.SerializeToString()

    def without_last(parts):
        """The last sum passes on what went into the last `parts` sums: a branch or a block is left out."""
        mutant = onnx.ModelProto.FromString(model.SerializeToString())
        sums = [n for n in mutant.graph.node if n.op_type == "Add" and not any(i in initializers for i in n.input)]
        last = sums[-1]
        # A transformer's block, as a ConvNeXt's, adds to its first input, a residual network's puts the shortcut second.
        kept = sums[-parts].input[0 if name.startswith(("vit", "transformer", "convnext")) else 1]
        last.op_type = "Identity"
        del last.input[:]
        last.input.append(kept)
        return mutant.SerializeToString()

    transformer = name.startswith(("vit", "transformer"))
    if not name.startswith(("belief", "mlp", "cpc")):
        yield "a block left out", without_last(2 if transformer else 1)
    gain = next((key for key in initializers if key.endswith("gamma")), None)
    if gain:
        yield "LayerScale left out", with_values(gain, np.ones_like)
    if "gru.input" in initializers:
        yield "gates exchanged", with_values("gru.input", lambda values: np.roll(values, values.shape[1] // 3, 1))
    if transformer:
        yield "a branch left out", without_last(1)

        def exchanged(values):
            third = values.shape[-1] // 3
            return np.concatenate([values[..., 2 * third:], values[..., third:2 * third], values[..., :third]], -1)
        yield "queries and values exchanged", with_values("blocks.0.attn.qkv.weight", exchanged)
    else:
        key = next(key for key in initializers if key.endswith("bias"))
        yield "a bias left out", with_values(key, np.zeros_like)


def check(name):
    side, channels, arguments, formats = ENCODERS[name]
    run_folder, record = prepared(name, side, channels, arguments)
    data, pixels = images(side, channels)
    direct = features(run_folder, data, SELFSAME_WINOGRAD="2")
    default = features(run_folder, data)
    given = "signals" if isinstance(side, list) else "vectors" if side == 1 else "images"
    of_images = given == "images"
    numbers = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / 255 if of_images else pixels
    shape = (1, channels, 1, 1) if of_images else (channels,)
    mean, std = (np.array(record[key], np.float32).reshape(shape) for key in ("mean", "std"))
    normalized = torch.from_numpy((numbers - mean) / std)
    failures = []

    def compare(what, network, x, most=DIRECT):
        theirs, alone = by_batches(network, x)
        scale = np.abs(direct).max()
        deviations = (np.abs(theirs - direct).max() / scale, np.abs(theirs - default).max() / scale)
        judge(what, *deviations, most, alone <= DIRECT and np.isfinite(theirs).all())

    def judge(what, by_direct, by_default, most, sound=True):
        passed = by_direct <= most and by_default <= max(most, DEFAULT) and sound
        print(f"{name:45} {what:20} {by_direct:.1e} {by_default:.1e}{'' if passed else '  FAILED'}", flush=True)
        if not passed:
            failures.append(f"{name}: {what}")

    def agree(what, theirs, ours):
        deviation = np.abs(theirs - ours).max() / np.abs(ours).max()
        passed = theirs.shape == ours.shape and deviation <= DIRECT
        print(f"{name:45} {what:40} {deviation:.1e}{'' if passed else '  FAILED'}", flush=True)
        if not passed:
            failures.append(f"{name}: {what}")

    if "timm" in formats:
        folder = exported(run_folder, "timm")
        network = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
        compare("timm", lambda x: network(x).numpy(), normalized)
        settings = timm.data.resolve_model_data_config(network)
        transform = timm.data.create_transform(**settings)
        pictures = [Image.fromarray(image.squeeze()) for image in pixels]
        deviation = np.abs(np.stack([transform(picture).numpy() for picture in pictures]) - normalized.numpy()).max()
        if deviation > 1e-5:
            failures.append(f"{name}: timm's transform deviates by {deviation:.1e}")
        wrapped = transformers.AutoModel.from_pretrained(folder).eval()
        compare("transformers", lambda x: wrapped(x).pooler_output.flatten(1).numpy(), normalized)
    if "torchvision" in formats:
        folder = exported(run_folder, "torchvision")
        network = getattr(torchvision.models, record["backbone"]["name"])()
        network.fc = torch.nn.Identity()
        network.load_state_dict(load_torch(folder / "model.safetensors"), strict=True)
        network.eval()
        compare("torchvision", lambda x: network(x).numpy(), normalized)
    for words, x, most in (([], numbers, DIRECT), (["input=u8"], pixels, BYTES))[:2 if of_images else 1]:
        model = exported(run_folder, "onnx", *words) / "model.onnx"
        onnx.checker.check_model(model, full_check=True)
        graph = session(str(model))
        compare(" ".join(["onnxruntime", *words]), lambda x: graph.run(["h"], {given: x})[0], x, most)
        vino = inferred(model)
        compare(" ".join(["openvino", *words]), lambda x: vino("h", x), x, most)
        judge(" ".join(["tract", *words]), *by_tract(run_folder, data, *words), most)
    if record["backbone"]["name"] not in ("mlp", "belief_network", "cpc_encoder"):
        tokens = features(run_folder, data, "of=tokens", SELFSAME_WINOGRAD="2").reshape(len(direct), -1, record["width"])
        graph = session(str(exported(run_folder, "onnx", "tokens=true", "fold=true") / "model.onnx"))
        compare("tokens, folded", lambda x: graph.run(["h"], {given: x})[0], numbers)
        agree("tokens", graph.run(["tokens"], {given: numbers})[0], tokens)
    for task in ("classes", "multi_label", "numbers"):
        model, weight, bias = headed(run_folder, task)
        outputs = direct.astype(np.float64) @ weight + bias
        if task == "classes" and "timm" in formats:
            network = timm.create_model(f"local-dir:{exported(model, 'timm').resolve()}", pretrained=True).eval()
            with torch.inference_mode():
                agree("timm, classifier", network(normalized).numpy(), outputs)
            folder = model / "exported-timm"
            wrapped = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
            with torch.inference_mode():
                agree("transformers, classifier", wrapped(normalized).logits.numpy(), outputs)
            if wrapped.config.id2label[3] != "name 3":
                failures.append(f"{name}: transformers calls class 3 {wrapped.config.id2label[3]}")
        if task == "classes" and "torchvision" in formats:
            network = getattr(torchvision.models, record["backbone"]["name"])(num_classes=5).eval()
            network.load_state_dict(load_torch(exported(model, "torchvision") / "model.safetensors"), strict=True)
            with torch.inference_mode():
                agree("torchvision, classifier", network(normalized).numpy(), outputs)
        file = exported(model, "onnx") / "model.onnx"
        onnx.checker.check_model(onnx.load(file), full_check=True)
        graph = session(str(file))
        vino = inferred(file)
        if task == "numbers":
            agree("onnxruntime, numbers", graph.run(["numbers"], {given: numbers})[0], outputs)
            agree("openvino, numbers", vino("numbers", numbers), outputs)
            continue
        logits, probabilities = graph.run(["logits", "probabilities"], {given: numbers})
        agree(f"onnxruntime, logits of {task}", logits, outputs)
        out = model / "predictions.csv"
        run("predict", model, f"data={data}", f"out={out}", SELFSAME_WINOGRAD="2")
        _, _, ours = predicted(out)
        agree(f"onnxruntime, probabilities of {task}", probabilities, ours)
        agree(f"openvino, probabilities of {task}", vino("probabilities", numbers), ours)
    for what, mutant in mutants(run_folder / "exported-onnx" / "model.onnx", record["backbone"]["name"]):
        theirs = session(mutant).run(["h"], {given: numbers[:7]})[0]
        deviation = np.abs(theirs - direct[:7]).max() / np.abs(direct).max()
        if deviation <= BYTES:
            failures.append(f"{name}: the mutant, {what}, deviates by {deviation:.1e} only")
        print(f"{name:45} mutant: {what}: {deviation:.1e}", flush=True)
    # Of a large network these are gigabytes.
    for made in run_folder.glob("*-*/"):
        shutil.rmtree(made)
    return failures


def chosen(encoders):
    """Those of the encoders that the command names, or all."""
    names = sys.argv[2:] or list(encoders)
    unknown = [name for name in names if name not in encoders]
    if unknown:
        sys.exit(f"{unknown[0]}: no such encoder (there are: {'; '.join(encoders)})")
    return names


def finish(check, chosen):
    """Checks what is chosen, tells what failed, and ends the program."""
    failures = [failure for name in chosen for failure in check(name)]
    for failure in failures:
        print(f"FAILED {failure}")
    sys.exit(bool(failures))


def main():
    names = chosen(ENCODERS)
    transformers.utils.logging.disable_progress_bar()
    for library in (torch, torchvision, timm, transformers, onnx, onnxruntime, openvino):
        print(library.__name__, library.__version__)
    print(f"\n{'encoder':45} {'by':20} direct  default")
    finish(check, names)


if __name__ == "__main__":
    main()
