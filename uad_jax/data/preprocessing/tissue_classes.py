"""Names of the tissue classes in the label maps of all datasets.

Label maps are the 'labels' of a record.
"""

CLASSES = ('background', 'csf', 'grey', 'white', 'ventricle')
"""Class names; a label is an index into them. A dataset may know only some classes."""

VENTRICLE = CLASSES.index('ventricle')
"""Label of the ventricles."""
