"""Anomaly detection by adversarially learned inference: anomaly scores, conformal p-values, and an estimator for
scikit-learn.
"""

from __future__ import annotations

from interalia import lazy_getattr

_HOMES = {
    "detector": ["Detector", "DetectorError"],
    "scores": ["SCORES", "Inferred", "infer"],
    "conformal": ["conformal_p_values", "threshold", "least_rate", "calibration_size", "rate_interval", "count_interval"],
}  # fmt: skip

__all__ = [name for names in _HOMES.values() for name in names]
__getattr__ = lazy_getattr(__name__, _HOMES)
