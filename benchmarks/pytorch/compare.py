#!/usr/bin/env python3
"""Side by side with PyTorch, in turn, in one run: medians and ratios (peer time / ours).

benchmarks/pytorch/compare.sh [--rounds 5] [--steps 10] [--isa avx2] [--threads 2] [--shared] [--compile] [--f32]
                              [w1] … [w7] [mae] [pretrain-w1] [pretrain-w2] [pretrain-w4] [infer-resnet18-1] …

w1, w2, w3    a training step of ResNet-18 at 32 px, of the micro-ResNet and of the micro-ViT at 32 px: PyTorch f32 in both
              memory formats, and bf16; ours f32, with train.precision = "bf16", and with train.checkpoint_activations
w4, w5, w6    the same of ResNet-50, of ViT-S/16 and of the masked autoencoder with it at 224 px
w7            the same of ResNet-18 in time, of signals of 1,000 steps and twelve channels
mae           a step of the masked autoencoder with W3's ViT, beside that ViT's full step, both ours
pretrain-…    SimCLR with them, views included: lightly on PyTorch, views made in the training process or in workers; w4's from JPEG files,
              at most 7 steps
infer-…       inference at 224 px with resnet18, resnet50 or vit_small, batch 1 or 32, and at 28 px with the micro-ResNet, batch 256:
              onnxruntime, OpenVINO where it is installed, and PyTorch in both memory formats

With --compile, torch.compile (channels last) is one more peer of steps and inference; with --f32, bf16 is left out.

Every round runs ours, then each peer, in fresh processes; the ratio is to the fastest of the peers. A round is dropped
when other processes took more than 5 % of the machine meanwhile. With --shared, on a machine that others use too, training steps are
compared by the processor time that they took, and no round is dropped.
"""
import argparse, importlib.util, json, os, pathlib, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

INFERENCE = [f"infer-{backbone}-{batch}" for backbone in ("resnet18", "resnet50", "vit_small") for batch in (1, 32)] + ["infer-resnet_micro-256"]
WORKLOADS = ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "mae", "pretrain-w1", "pretrain-w2", "pretrain-w4", *INFERENCE]
parser = argparse.ArgumentParser()
parser.add_argument("workloads", nargs="*", default=WORKLOADS)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--threads", default=str(os.cpu_count()))
parser.add_argument("--shared", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--f32", action="store_true")
parser.add_argument("--isa", help="force SELFSAME_ISA for ours")
arguments = parser.parse_args()
threads = arguments.threads
if arguments.shared and any(workload.startswith(("pretrain-", "infer-")) for workload in arguments.workloads):
    parser.error("--shared compares training steps alone: name some of w1 … w7, mae")


def busy_s():
    fields = [float(v) for v in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def run(command, environment=None):
    """The command's JSON, and the share of the machine that others took."""
    children = lambda: sum(os.times()[2:4])
    start, busy, own = time.time(), busy_s(), children()
    output = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    foreign = ((busy_s() - busy) - (children() - own)) / ((time.time() - start) * os.cpu_count())
    return json.loads(output.stdout.strip().splitlines()[-1]), foreign


def commands(workload):
    """What a round runs: name to command."""
    binary, python, steps = str(ROOT / "target/release/examples/workloads"), sys.executable, str(arguments.steps)
    ours = {"ours": [binary, workload, steps, threads]}
    if workload == "mae":
        return ours | {"full step": [binary, "w3", steps, threads]}
    if not workload.startswith("pretrain-"):
        ours["ours bf16"] = ours["ours"] + ["train.precision=bf16"]
        if workload.startswith("infer-"):
            _, backbone, batch = workload.split("-")
            runtimes = ["onnxruntime", "pytorch", "pytorch_channels_last"] + ["pytorch_compiled"] * arguments.compile
            runtimes += ["openvino", "openvino_bf16"] * bool(importlib.util.find_spec("openvino"))
            return ours | {runtime: [python, str(HERE / "infer.py"), backbone, batch, steps, runtime, threads] for runtime in runtimes}
        ours["ours checkpointed"] = ours["ours"] + ["train.checkpoint_activations=true"]
        modes = ["f32", "f32_channels_last", "bf16"] + ["f32_compiled"] * arguments.compile
        return ours | {mode: [python, str(HERE / "step.py"), workload, steps, mode, threads] for mode in modes}
    pretrain = [python, str(HERE / "pretrain.py"), workload.removeprefix("pretrain-"), steps]
    peers = [("f32", "0"), ("f32_channels_last", "0"), ("f32_channels_last", "2")]
    named = {f"lightly {mode}, {workers} workers": [*pretrain, mode, workers, threads] for mode, workers in peers}
    return {"ours": [*pretrain, "ours", "0", threads]} | named


forced = {"SELFSAME_ISA": arguments.isa} if arguments.isa else None
for workload in arguments.workloads:
    rounds = []
    for _ in range(3 * arguments.rounds):
        row, foreign = {}, 0.0
        for name, command in commands(workload).items():
            if arguments.f32 and "bf16" in name:
                continue
            result, load = run(command, forced if name.startswith("ours") else None)
            time_ms = 1e3 * result["user_s"] if arguments.shared else statistics.median(result["milliseconds"])
            row[name] = (time_ms, result["peak_mb"])
            foreign = max(foreign, load)
        print(f"{workload} round: " + ", ".join(f"{k} {v[0]:.0f} ms" for k, v in row.items()) + f" (others {100 * foreign:.1f} %)", flush=True)
        if foreign < 0.05 or arguments.shared:
            rounds.append(row)
        if len(rounds) == arguments.rounds:
            break
    if not rounds:
        sys.exit(f"{workload}: the machine was never quiet")
    rounded = [name for name in rounds[0] if name in ("bf16", "openvino_bf16")]
    peers = [name for name in rounds[0] if not name.startswith("ours") and name not in rounded]
    fastest = peers[0] if len(peers) == 1 else "fastest f32 peer"
    pairs = [(fastest, peers, "ours"), ("ours", ["ours"], "ours bf16"), (fastest, peers, "ours checkpointed")]
    pairs += [(f"its {name}", [name], ours) for name in rounded for ours in ("ours", "ours bf16")]
    for label, names, ours in pairs:
        if all(name in rounds[0] for name in [*names, ours]):
            ratios = [min(r[name][0] for name in names) / r[ours][0] for r in rounds]
            print(f"{workload}  {label} / {ours}: median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}, {len(ratios)} rounds)")
    if workload == "mae":
        continue
    for ours in ("ours", "ours checkpointed"):
        if ours in rounds[0]:
            memory = [r[ours][1] / min(r[name][1] for name in peers) for r in rounds]
            print(f"{workload}  peak memory {ours} / the leanest f32 peer: median {statistics.median(memory):.2f} ({rounds[0][ours][1]:.0f} MB)", flush=True)
