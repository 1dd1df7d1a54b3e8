"""Writes measures.json: what scikit-learn says of labels and numbers, with equal scores and with samples that count several times.

    pip install scikit-learn && python measures.py > measures.json
"""

import json

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, mean_absolute_error, r2_score, roc_auc_score

random = np.random.default_rng(17)


def label(samples, times, steps):
    truth = (random.random(samples) < 0.3).astype(int)
    truth[:2] = [0, 1]
    # Scores on a grid of `steps` steps, so that many are equal; exact in binary fractions.
    scores = np.round(np.clip(0.35 * truth + random.random(samples) * 0.65, 0, 1) * steps) / steps
    weights = {"sample_weight": times}
    return {
        "truth": truth.tolist(),
        "scores": scores.tolist(),
        "auroc": roc_auc_score(truth, scores, **weights),
        "average_precision": average_precision_score(truth, scores, **weights),
        "f1": f1_score(truth, scores > 0.5, **weights),
    }


def labels(samples, counted, steps):
    times = random.integers(0, 4, samples) if counted else np.ones(samples, int)
    times[:2] = 1
    targets = [label(samples, times, steps) for _ in range(3)]
    means = {name: float(np.mean([target[name] for target in targets])) for name in ["auroc", "average_precision", "f1"]}
    return {"times": times.tolist(), "targets": targets, **means}


def numbers(samples, counted, noise):
    times = random.integers(0, 4, samples) if counted else np.ones(samples, int)
    truth = random.normal(5, 3, samples).astype(np.float32).astype(float)
    predicted = (truth + noise * random.normal(size=samples)).astype(np.float32).astype(float)
    weights = {"sample_weight": times}
    return {
        "times": times.tolist(),
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "r2": r2_score(truth, predicted, **weights),
        "absolute_error": mean_absolute_error(truth, predicted, **weights),
    }


print(
    json.dumps(
        {
            "labels": [labels(n, counted, steps) for n in (12, 40) for counted in (False, True) for steps in (4, 64)],
            "numbers": [numbers(n, counted, noise) for n in (5, 30) for counted in (False, True) for noise in (0.5, 6)],
        }
    )
)
