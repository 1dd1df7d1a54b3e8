"""What other tools make of models that `selfsame probe` and `selfsame finetune` saved, beside `selfsame predict`.

The encoders are those of check.py, with seeded values. Their heads are fitted to drawn images with classes in folders, and with a table
of labels and numbers. What timm, transformers, torchvision, onnxruntime and OpenVINO tell of held-out images must be what predict writes.
Deviations are max|theirs - ours| / max|ours|.
"""

import csv
import json
import shutil

import numpy as np
import timm
import torch
import torchvision
import transformers
from check import DIRECT, ENCODERS, RESNET, WORK, chosen, exported, finish, inferred, predicted, prepared, run, session
from PIL import Image
from safetensors.torch import load_file

# name: formats besides onnx, stages that fine-tuning moves (none under batch norms: their seeded statistics would move so far that the
# classifier ends sure of everything, and nothing could be compared)
ENCODERS_CHOSEN = {
    "resnet18": (RESNET, 0),
    "vit_micro": (["timm"], 1),
    "convnext_micro, four stages": (["timm"], 1),
    "resnet_micro, gray, group norm, two stages": ([], 1),
}
# A name that a table must quote, and one that is not ASCII.
COLORS = {"red, or reddish": (220, 60, 40), "grün": (40, 200, 60), "blue": (40, 60, 220)}
TRAINED, HELD_OUT = 20, 8


def drawn(side, channels):
    """Folders of drawn images, the held-out ones as bytes [n, side, side, channels] in the order of their names, and a table of all."""
    home = WORK / f"drawn-{side}-{channels}"
    shutil.rmtree(home, ignore_errors=True)
    rng, rows, held_out = np.random.default_rng(3), [], {}
    for part, count in (("train", TRAINED), ("test", HELD_OUT)):
        for color, values in COLORS.items():
            folder = home / part / color
            folder.mkdir(parents=True)
            for i in range(count):
                wide, bright = rng.integers(0, 2, 2)
                pixels = rng.integers(0, 60, (side, side, 3)) + 80 * bright
                left, top, size = *rng.integers(0, side // 2, 2), rng.integers(side // 8, side // 2)
                pixels[top:top + size, left:left + size * (1 + wide)] += np.array(values) // 2
                pixels = pixels.clip(0, 255).astype(np.uint8)
                pixels = pixels if channels == 3 else pixels.mean(2, keepdims=True).astype(np.uint8)
                Image.fromarray(pixels.squeeze()).save(folder / f"{part}{i:02}.png")
                name = f"{color}/{part}{i:02}.png"
                rows.append([name, wide, bright, size / side, left / side])
                if part == "test":
                    held_out[name] = pixels
    with open(home / "about.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "wide", "bright", "size", "left"], *rows])
    return home, held_out


def check(name):
    side, channels, arguments, _ = ENCODERS[name]
    formats, stages = ENCODERS_CHOSEN[name]
    run_folder, record = prepared(name, side, channels, arguments)
    home, held_out = drawn(side, channels)
    mean, std = (np.array(record[key], np.float32).reshape(1, channels, 1, 1) for key in ("mean", "std"))
    table = f"labels={home / 'about.csv'}"
    parts = [f"train={home / 'train'}", f"test={home / 'test'}"]
    models = {
        "classes, probe": ["probe", run_folder, *parts],
        "classes, finetune": ["finetune", run_folder, *parts, "labels=all", "lr=1e-3", f"stages={stages}", "epochs=1", "min_steps=8", "draws=1"],
        "labels, probe": ["probe", run_folder, *parts, table, "targets=wide,bright"],
        "numbers, probe": ["probe", run_folder, *parts, table, "targets=size,left"],
    }
    failures = []
    for what, command in models.items():
        model = WORK / "models" / f"{run_folder.name}-{what.replace(', ', '-')}"
        shutil.rmtree(model, ignore_errors=True)
        model.parent.mkdir(parents=True, exist_ok=True)
        run(*command, f"{'save' if command[0] == 'finetune' else 'out'}={model}")
        out = model.parent / f"{model.name}.csv"
        run("predict", model, f"data={home / 'test'}", f"out={out}", SELFSAME_WINOGRAD="2")
        ids, told, ours = predicted(out)
        if ours.shape[1] > 1 and np.median(np.sort(np.abs(ours), 1)[:, -2]) < 1e-6:
            failures.append(f"{name}, {what}: predict is so sure that nothing can be compared")
        numbers = np.stack([held_out[sample] for sample in ids]).transpose(0, 3, 1, 2).astype(np.float32) / 255
        normalized = torch.from_numpy((numbers - mean) / std)
        said = json.loads((model / "predictor.json").read_text())

        def agree(by, theirs):
            deviation = np.abs(theirs - ours).max() / np.abs(ours).max()
            passed = theirs.shape == ours.shape and deviation <= DIRECT
            print(f"{name:45} {what:20} {by:14} {deviation:.1e}{'' if passed else '  FAILED'}", flush=True)
            if not passed:
                failures.append(f"{name}, {what}: {by}")

        # As the model card says.
        task, heat = said["task"], said["temperature"]
        read = {"classes": lambda y: torch.softmax(y / heat, 1), "multi_label": lambda y: torch.sigmoid(y / heat)}.get(task, lambda y: y)
        output = "numbers" if task == "numbers" else "probabilities"
        graph = str(exported(model, "onnx") / "model.onnx")
        agree("onnxruntime", session(graph).run([output], {"images": numbers})[0])
        agree("openvino", inferred(graph)(output, numbers))
        with torch.inference_mode():
            if "timm" in formats:
                folder = exported(model, "timm")
                network = timm.create_model(f"local-dir:{folder.resolve()}", pretrained=True).eval()
                agree("timm", read(network(normalized)).numpy())
                wrapped = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
                agree("transformers", read(wrapped(normalized).logits).numpy())
                names = [wrapped.config.id2label[i] for i in range(len(told))]
                if [f"p({known})" if output == "probabilities" else known for known in names] != told:
                    failures.append(f"{name}, {what}: transformers names the outputs {names}, predict {told}")
            if "torchvision" in formats:
                network = getattr(torchvision.models, record["backbone"]["name"])(num_classes=len(told)).eval()
                network.load_state_dict(load_file(exported(model, "torchvision") / "model.safetensors"), strict=True)
                agree("torchvision", read(network(normalized)).numpy())
    return failures


def main():
    names = chosen(ENCODERS_CHOSEN)
    transformers.utils.logging.disable_progress_bar()
    print(f"{'encoder':45} {'model':20} {'by':14} deviation")
    finish(check, names)


if __name__ == "__main__":
    main()
