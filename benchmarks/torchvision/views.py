#!/usr/bin/env python3
"""SimCLR views on one core, side by side with torchvision v2: medians and ratios (our views/s over the peer's).

benchmarks/torchvision/views.sh [--rounds 5] [--seconds 3] [--photos FOLDER] [gray28] [color32] [photo224]

gray28, color32   28 px gray and 32 px color images held decoded in memory: crop, flip, jitter (strength 0.5),
                  color drop for color
photo224          500x375 JPEGs held in memory, decoded once for two views of 224 px: crop, flip, jitter, color
                  drop, blur; torchvision's kernel is as wide as our widest (sigma 2, reach 8)

The peer is the faster of torchvision's tensor and PIL paths in each round. Every round runs all in turn, each in a
fresh process with one thread. Rates are per second of processor time, so that other load on the machine counts for
neither side. Photos are cut from Debian's plasma-workspace-wallpapers, or from a folder of your own.
"""
import argparse, glob, io, json, os, pathlib, random, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from photos import photos
SIZES = {"gray28": (28, 1), "color32": (32, 3), "photo224": (224, 3)}


def make_data(folder, own):
    """48 JPEGs of 500x375 and, from them, 480 small images of each kind."""
    from PIL import Image

    rng = random.Random(0)
    os.mkdir(f"{folder}/photo224")
    with open(f"{folder}/gray28", "wb") as gray, open(f"{folder}/color32", "wb") as color:
        for i, photo in enumerate(photos(48, own)):
            photo.save(f"{folder}/photo224/{i:02}.jpg", quality=92)
            for _ in range(10):
                left, top = rng.randrange(500 - 128), rng.randrange(375 - 128)
                part = photo.crop((left, top, left + 128, top + 128))
                gray.write(part.convert("L").resize((28, 28), Image.LANCZOS).tobytes())
                color.write(part.resize((32, 32), Image.LANCZOS).tobytes())


def peer(workload, path, data, seconds):
    import torch
    from PIL import Image
    from torchvision import io as tio
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    torch.manual_seed(0)
    size, channels = SIZES[workload]
    strength = 0.8 if workload == "photo224" else 0.4
    jitter = v2.ColorJitter(strength, strength, *((strength, strength / 4) if channels == 3 else (0, 0)))
    steps = [v2.RandomResizedCrop(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True), v2.RandomHorizontalFlip()]
    steps += [v2.RandomApply([jitter], 0.8)]
    steps += [v2.RandomGrayscale(0.2)] if channels == 3 else []
    steps += [v2.RandomApply([v2.GaussianBlur(17, (0.1, 2.0))], 0.5)] if workload == "photo224" else []
    steps += [v2.PILToTensor()] if path == "pil" else []
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * channels, [0.25] * channels)]
    transform = v2.Compose(steps)

    if workload == "photo224":
        files = [pathlib.Path(f).read_bytes() for f in sorted(glob.glob(f"{data}/*"))]
        if path == "pil":
            samples, decode = files, lambda file: Image.open(io.BytesIO(file)).convert("RGB")
        else:
            samples = [torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files]
            decode = lambda file: tio.decode_jpeg(file, tio.ImageReadMode.RGB)
    else:
        raw = torch.frombuffer(bytearray(pathlib.Path(data).read_bytes()), dtype=torch.uint8)
        images = raw.view(-1, size, size, channels)
        decode = lambda image: image
        if path == "pil":
            samples = [Image.fromarray(i.squeeze(-1).numpy()) for i in images]
        else:
            samples = [i.permute(2, 0, 1).contiguous() for i in images]

    def run(samples):
        for sample in samples:
            image = decode(sample)
            transform(image), transform(image)
        return 2 * len(samples)

    run(samples[:16])
    views, started, used = 0, time.time(), time.process_time()
    while time.time() - started < seconds:
        views += run(samples[:48])
    print(json.dumps({"views_per_s": views / (time.process_time() - used)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--photos", help="folder of JPEGs of 900 px and more")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(*arguments.peer, arguments.data, arguments.seconds)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = str(target / "release/examples/views_throughput")
    seconds = str(arguments.seconds)
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        make_data(folder, arguments.photos)
        for workload in arguments.workloads:
            data = f"{folder}/{workload}"
            commands = {"ours": [ours, workload, data, seconds]}
            for path in ("tensor", "pil"):
                commands[path] = [sys.executable, __file__, "--peer", workload, path, "--data", data, "--seconds", seconds]
            rounds = []
            for _ in range(arguments.rounds):
                run = lambda command: subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=one_thread).stdout
                rounds.append({name: json.loads(run(command))["views_per_s"] for name, command in commands.items()})
                print(f"{workload} round: " + ", ".join(f"{name} {rate:.0f} views/s" for name, rate in rounds[-1].items()), flush=True)
            median = {name: statistics.median(r[name] for r in rounds) for name in commands}
            ratios = [r["ours"] / max(r["tensor"], r["pil"]) for r in rounds]
            print(f"{workload}  " + ", ".join(f"{name} {rate:.0f}" for name, rate in median.items()) + " views/s a core; "
                  f"ours / faster peer: median {statistics.median(ratios):.1f} (min {min(ratios):.1f}, max {max(ratios):.1f})", flush=True)


if __name__ == "__main__":
    main()
