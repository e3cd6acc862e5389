"""Tissue classes of the label maps ('labels' of a record) in every dataset."""

CLASSES = ('background', 'csf', 'grey', 'white', 'ventricle')
"""Class names; a label is an index into them. A dataset may know only some classes."""

VENTRICLE = CLASSES.index('ventricle')
"""Label of the ventricles."""
