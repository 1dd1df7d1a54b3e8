#!/usr/bin/env python3
"""Training steps side by side with PyTorch, in turn, in one run: medians and ratios (peer time / ours).

benchmarks/pytorch/compare.sh [--rounds 5] [--steps 10] [w1] [w2]

Every round runs ours, then PyTorch f32 in both memory formats, then bf16 autocast, each in a fresh process. A round
is dropped when other processes took more than 5 % of the machine meanwhile.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

parser = argparse.ArgumentParser()
parser.add_argument("workloads", nargs="*", default=["w1", "w2"])
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--isa", help="force SELFSAME_ISA for ours")
arguments = parser.parse_args()
threads = str(os.cpu_count())


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


ours = str(ROOT / "target/release/examples/train_step")
peers = ["f32", "f32_channels_last", "bf16"]
for workload in arguments.workloads:
    rounds = []
    for _ in range(3 * arguments.rounds):
        row, foreign = {}, 0.0
        forced = {"SELFSAME_ISA": arguments.isa} if arguments.isa else None
        for name, command, environment in [("ours", [ours, workload, str(arguments.steps), threads], forced)] + [
            (peer, [sys.executable, str(HERE / "step.py"), workload, str(arguments.steps), peer, threads], None)
            for peer in peers
        ]:
            result, load = run(command, environment)
            row[name] = (statistics.median(result["milliseconds"]), result["peak_mb"])
            foreign = max(foreign, load)
        print(f"{workload} round: " + ", ".join(f"{k} {v[0]:.0f} ms" for k, v in row.items()) + f" (others {100 * foreign:.1f} %)", flush=True)
        if foreign < 0.05:
            rounds.append(row)
        if len(rounds) == arguments.rounds:
            break
    if not rounds:
        sys.exit(f"{workload}: the machine was never quiet")
    ratio = lambda peer: [(min(r["f32"][0], r["f32_channels_last"][0]) if peer == "best f32" else r[peer][0]) / r["ours"][0] for r in rounds]
    for peer in ["best f32", "bf16"]:
        values = ratio(peer)
        print(f"{workload}  PyTorch {peer} / ours: median {statistics.median(values):.2f} (min {min(values):.2f}, max {max(values):.2f}, {len(values)} rounds)")
    memory = [r["ours"][1] / min(r["f32"][1], r["f32_channels_last"][1]) for r in rounds]
    print(f"{workload}  peak memory ours / PyTorch f32: median {statistics.median(memory):.2f} ({rounds[0]['ours'][1]:.0f} MB)")
