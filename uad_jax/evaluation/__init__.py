"""Modules that evaluate anomaly maps against lesion masks: metrics and intervals."""
