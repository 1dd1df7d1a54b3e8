"""What an encoder knows after the same training in Selfsame and in lightly: same images, network, batches, schedule, augmentations
and objective, seed by seed, judged by one evaluation on held-out groups.

    compare.py SELFSAME DATA WORK [--sets emoji units] [--methods barlow_twins] [--seeds 5] [--arms ...]
    compare.py --summary WORK

Arms are `PROGRAM-INTERPOLATION`. WORK/results.jsonl gets a line for each training; what is there is not trained again.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import numpy as np

SIDE, WIDTHS, WIDE = 16, [8, 16, 32], 128
EPOCHS, BATCH, WARMUP, RATE, DECAY = 10, 64, 1, 0.004, 0.05
REDUNDANCY, TEMPERATURE = 0.01, 0.2
SCALE, JITTER, HUE, GRAY = 0.2, 0.4, 0.1, 0.2
ARMS = ["ours-bicubic", "ours-bilinear", "lightly-bilinear", "lightly-bicubic"]


def load(data, name, part):
    return np.load(data / f"{name}-{part}.npy"), np.load(data / f"{name}-{part}_labels.npy")


def statistics(images):
    pixels = images.reshape(-1, 3) / 255
    return pixels.mean(0).tolist(), pixels.std(0).tolist()


def ours(selfsame, data, name, method, interpolation, seed, folder):
    """Features of both parts by the encoder that `selfsame` trains."""
    mean, std = statistics(load(data, name, "train")[0])
    recipe = folder / "recipe.toml"
    recipe.write_text(f"""[[views]]
count = 2
augmentations = [
  {{ name = "random_resized_crop", scale = [{SCALE}, 1.0] }},
  {{ name = "horizontal_flip", p = 0.5 }},
  {{ name = "color_jitter", brightness = {JITTER}, contrast = {JITTER}, saturation = {JITTER}, hue = {HUE}, p = 0.8 }},
  {{ name = "color_drop", p = {GRAY} }},
]
""")
    own = {"barlow_twins": {"method.redundancy_weight": REDUNDANCY}, "simclr": {"method.temperature": TEMPERATURE}}[method]
    keys = {
        "data": data / f"{name}-train.npy", "data.interpolation": interpolation, "data.mean": mean, "data.std": std,
        "out": folder / "run", "seed": seed, "threads": 1, "backbone.name": "resnet_micro", "backbone.widths": WIDTHS,
        "projector.layers": 3 if method == "barlow_twins" else 2, "projector.hidden": WIDE, "projector.out": WIDE,
        "method.name": method, "epochs": EPOCHS, "batch_size": BATCH, "optimizer.name": "adamw", "optimizer.base_lr": RATE, "optimizer.weight_decay": DECAY, "optimizer.warmup_epochs": WARMUP, "train.online_knn_epochs": 0,
    } | own
    run = lambda *words: subprocess.run([selfsame, *map(str, words)], check=True, capture_output=True, text=True).stdout
    run("pretrain", recipe, *(f"{key}={value}" for key, value in keys.items()))
    losses = [e["total"] for e in map(json.loads, open(folder / "run/metrics.jsonl")) if e["event"] == "step"]
    features = []
    for part in ["train", "test"]:
        run("embed", folder / "run", f"data={data / f'{name}-{part}.npy'}", f"out={folder / part}.npy")
        features.append(np.load(folder / f"{part}.npy"))
    return features, losses


def lightly(data, name, method, interpolation, seed):
    """Features of both parts by the encoder that lightly's transforms, heads and losses train."""
    import torch
    from lightly.loss import BarlowTwinsLoss, NTXentLoss
    from lightly.models.modules.heads import ProjectionHead
    from lightly.transforms import SimCLRTransform
    from PIL import Image
    from torch import nn
    from torchvision import transforms as T
    from torchvision.models.resnet import BasicBlock, ResNet

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, _ = load(data, name, "train")
    mean, std = statistics(images)
    transform = SimCLRTransform(
        input_size=SIDE, cj_bright=JITTER, cj_contrast=JITTER, cj_sat=JITTER, cj_hue=HUE, min_scale=SCALE, random_gray_scale=GRAY,
        gaussian_blur=0, normalize={"mean": mean, "std": std})
    for view in transform.transforms:
        for step in view.transform.transforms:
            if isinstance(step, T.RandomResizedCrop):
                step.interpolation = T.InterpolationMode(interpolation)

    class Views(torch.utils.data.Dataset):
        samples = [Image.fromarray(image) for image in images]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return transform(self.samples[index])

    # Weights start from the same distributions: torchvision's, as ours.
    net = ResNet(BasicBlock, [2, 2, 2, 1])
    net.inplanes = WIDTHS[0]
    net.conv1, net.bn1, net.maxpool = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.Identity()
    net.layer1 = net._make_layer(BasicBlock, WIDTHS[0], 2)
    net.layer2 = net._make_layer(BasicBlock, WIDTHS[1], 2, stride=2)
    net.layer3 = net._make_layer(BasicBlock, WIDTHS[2], 2, stride=2)
    net.layer4, net.fc = nn.Identity(), nn.Identity()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    hidden = lambda inputs: (inputs, WIDE, nn.BatchNorm1d(WIDE), nn.ReLU())
    blocks = [hidden(WIDTHS[-1]), *([hidden(WIDE)] if method == "barlow_twins" else []), (WIDE, WIDE, None, None, False)]
    model = nn.Sequential(net, ProjectionHead(blocks)).train()
    criterion = BarlowTwinsLoss(REDUNDANCY) if method == "barlow_twins" else NTXentLoss(TEMPERATURE)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    peak = RATE * BATCH / 256
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}], lr=peak)
    loader = torch.utils.data.DataLoader(Views(), batch_size=BATCH, shuffle=True, drop_last=True)
    warmup, steps, step, losses = WARMUP * len(loader), EPOCHS * len(loader), 0, []
    for _ in range(EPOCHS):
        for one, two in loader:
            done = (step - warmup) / (steps - warmup)
            rate = peak * ((step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * done)))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = criterion(model(one), model(two))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
    net.eval()

    def embed(part):
        pixels = (load(data, name, part)[0] / 255 - mean) / std
        with torch.no_grad():
            return torch.cat([net(batch) for batch in torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2).split(256)]).numpy()

    return [embed("train"), embed("test")], losses


def knn(train, labels, test, k=20, temperature=0.07):
    unit = lambda rows: rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines = unit(test) @ unit(train).T
    near = np.argpartition(-cosines, k, axis=1)[:, :k]
    weights = np.exp(np.take_along_axis(cosines, near, 1) / temperature)
    votes = np.stack([(weights * (labels[near] == c)).sum(1) for c in range(labels.max() + 1)], 1)
    return votes.argmax(1)


def probe(train, labels, test, decay=1e-3):
    """A linear classifier on standardized features, to convergence."""
    import torch

    mean, std = train.mean(0), train.std(0) + 1e-6
    x, y = torch.tensor((train - mean) / std, dtype=torch.float64), torch.tensor(labels)
    weights = torch.zeros(x.shape[1], int(labels.max()) + 1, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(int(labels.max()) + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weights + bias, y) + decay * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (torch.tensor((test - mean) / std, dtype=torch.float64) @ weights + bias).argmax(1).numpy()


def judge(features, data, name):
    """Accuracies on the held-out groups: kNN, and a probe by all labels, by 100 and by 10 per class (five draws)."""
    train, test = (rows.astype(np.float64) for rows in features)
    labels, truth = load(data, name, "train")[1], load(data, name, "test")[1]

    def few(count):
        found = []
        for draw in range(5):
            rng = np.random.default_rng(draw)
            rows = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:count] for c in range(labels.max() + 1)])
            found.append((probe(train[rows], labels[rows], test) == truth).mean())
        return float(np.mean(found))

    return {"knn": float((knn(train, labels, test) == truth).mean()), "probe": float((probe(train, labels, test) == truth).mean()),
            "per_class_100": few(100), "per_class_10": few(10)}


def summary(work):
    """Means over seeds; differences to lightly's bilinear (Welch) and of our two, seed by seed, with 95 % intervals over seeds."""
    rows = [json.loads(line) for line in open(work / "results.jsonl")]
    t95 = dict(enumerate([12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23], 1))
    for method, name in sorted({(row["method"], row["set"]) for row in rows}):
        of = lambda arm, score: np.array([r[score] for r in rows if (r["method"], r["set"], r["arm"]) == (method, name, arm)])
        for score in ["knn", "probe", "per_class_100", "per_class_10", "loss"]:
            base = of("lightly-bilinear", score)
            line = []
            for arm in ARMS:
                values = of(arm, score)
                if len(values) == 0:
                    continue
                text = f"{arm} {values.mean():.3f} (n {len(values)})"
                if arm != "lightly-bilinear" and min(len(values), len(base)) > 1:
                    a, b = values.var(ddof=1) / len(values), base.var(ddof=1) / len(base)
                    freedom = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (len(base) - 1) + 1e-30)
                    t = t95[max(k for k in t95 if k <= max(1, freedom))]
                    text += f" {values.mean() - base.mean():+.3f} ± {t * math.sqrt(a + b):.3f}"
                line.append(text)
            # A seed has the same weights and the same draws in both.
            pairs = np.array([a - b for a, b in zip(of("ours-bilinear", score), of("ours-bicubic", score))])
            if len(pairs) > 1:
                half = t95[len(pairs) - 1] * pairs.std(ddof=1) / math.sqrt(len(pairs))
                line.append(f"ours, bilinear - bicubic {pairs.mean():+.3f} ± {half:.3f}")
            print(f"{method} {name} {score}: " + "; ".join(line))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument("--sets", nargs="+", default=["emoji", "units"])
    parser.add_argument("--methods", nargs="+", default=["barlow_twins"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", default=ARMS[:3])
    parser.add_argument("--summary", action="store_true")
    arguments = parser.parse_args()
    if arguments.summary:
        summary(*arguments.paths)
        sys.exit()
    selfsame, data, work = (path.absolute() for path in arguments.paths)
    work.mkdir(parents=True, exist_ok=True)
    results = work / "results.jsonl"
    done = [json.loads(line) for line in open(results)] if results.exists() else []
    done = {(row["method"], row["set"], row["arm"], row["seed"]) for row in done}
    for method in arguments.methods:
        for seed in range(arguments.seeds):
            for name in arguments.sets:
                for arm in arguments.arms:
                    if (method, name, arm, seed) in done:
                        continue
                    program, interpolation = arm.split("-")
                    folder = work / f"{method}-{name}-{arm}-{seed}"
                    folder.mkdir(exist_ok=True)
                    features, losses = ours(selfsame, data, name, method, interpolation, seed, folder) if program == "ours" \
                        else lightly(data, name, method, interpolation, seed)
                    row = {"method": method, "set": name, "arm": arm, "seed": seed, "loss": float(np.mean(losses[-20:]))}
                    row |= judge(features, data, name)
                    with open(results, "a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(row, flush=True)
