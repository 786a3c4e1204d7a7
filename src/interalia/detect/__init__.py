"""Anomaly detection by adversarially learned inference: anomaly scores, conformal p-values, and an estimator for
scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interalia import lazy_names

if TYPE_CHECKING:
    from interalia.detect.conformal import (
        calibration_size,
        conformal_p_values,
        count_interval,
        least_rate,
        rate_interval,
        threshold,
    )
    from interalia.detect.detector import Detector, DetectorError
    from interalia.detect.scores import SCORES, Inferred, infer

_HOMES = {
    "detector": ["Detector", "DetectorError"],
    "scores": ["SCORES", "Inferred", "infer"],
    "conformal": ["conformal_p_values", "threshold", "least_rate", "calibration_size", "rate_interval", "count_interval"],
}  # fmt: skip

__all__ = [
    "SCORES", "Detector", "DetectorError", "Inferred", "calibration_size", "conformal_p_values", "count_interval",
    "infer", "least_rate", "rate_interval", "threshold",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
