"""Metrics of a detector on labeled examples: areas under curves, precision, and shares of flagged examples.

References:
    The Relationship Between Precision-Recall and ROC Curves, Jesse Davis, Mark Goadrich, 2006,
    https://doi.org/10.1145/1143844.1143874
    ADBench: Anomaly Detection Benchmark, Songqiao Han and others, 2022, https://arxiv.org/abs/2206.09426
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# texts of labels, in lower case, that mark a normal example unless the user names another one
NORMAL = ("0", "0.0", "normal", "normal.", "good", "inlier", "false", "ok", "no")


def is_anomalous(labels: ArrayLike, normal: str | None = None) -> NDArray[np.bool_]:
    """Returns True for each label of an anomaly, shape (n,).

    Arguments:
        labels: the label of each example, shape (n,).
        normal: the label of normal examples; None for any of the usual ones: 0, normal, good, inlier, false, ok or no, in
            upper or lower case. All other labels are those of anomalies.

    Example:
        >>> is_anomalous(["good", "scratch", "Good"]).tolist(), is_anomalous([5, 7], normal="7").tolist()
        ([False, True, False], [True, False])
    """
    texts = [str(label).strip() for label in np.asarray(labels).reshape(-1).tolist()]
    return np.array([text.lower() not in NORMAL if normal is None else text != normal for text in texts], dtype=bool)


def metrics(scores: ArrayLike, anomalous: ArrayLike, flagged: ArrayLike | None = None) -> dict[str, float]:
    """Returns metrics of anomaly scores on labeled examples, as name -> value from 0 to 1.

    Arguments:
        scores: the anomaly score of each example, shape (n,); higher for anomalies.
        anomalous: True for each anomaly, shape (n,).
        flagged: True for each example that the detector flags, shape (n,); None to leave `false_alarms` and `detected` out.

    Returns:
        `auc`, the area under the ROC curve; `average_precision`, the area under the precision-recall curve;
            `precision_at_n`, the share of anomalies among the n highest scores, where n is the number of anomalies;
            `false_alarms`, the share of normal examples that are flagged; `detected`, the share of anomalies that are. Empty
            if all examples are normal, or all are anomalies.

    Example:
        >>> metrics([0.1, 0.4, 0.3, 0.9], [False, False, True, True], [False, True, False, True])["auc"]
        0.75
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    s, y = np.asarray(scores, dtype=np.float64), np.asarray(anomalous, dtype=bool)
    n = int(y.sum())
    if n in (0, len(y)):
        return {}
    found: dict[str, Any] = {
        "auc": roc_auc_score(y, s),
        "average_precision": average_precision_score(y, s),
        "precision_at_n": y[np.argsort(-s, kind="stable")[:n]].mean(),
    }
    if flagged is not None:
        f = np.asarray(flagged, dtype=bool)
        found |= {"false_alarms": f[~y].mean(), "detected": f[y].mean()}
    return {key: float(value) for key, value in found.items()}


def f1_of_highest(scores: ArrayLike, anomalous: ArrayLike, share: float) -> dict[str, float]:
    """Returns precision, recall and F1 if the given share of the examples, those with the highest scores, are flagged.

    Arguments:
        scores: the anomaly score of each example, shape (n,).
        anomalous: True for each anomaly, shape (n,).
        share: the share of examples to flag, from 0 to 1; the examples above the (1 - share) quantile of the scores.

    Returns:
        `precision`, the share of anomalies among the flagged; `recall`, the share of anomalies that are flagged; `f1`,
            their harmonic mean, 0 if no anomaly is flagged.

    Example:
        >>> f1_of_highest([1, 2, 3, 4], [False, False, True, True], 0.25)
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(anomalous, dtype=bool)
    flagged = s >= np.quantile(s, 1 - share)
    hits = int((flagged & y).sum())
    precision, recall = hits / max(1, int(flagged.sum())), hits / max(1, int(y.sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
    }
