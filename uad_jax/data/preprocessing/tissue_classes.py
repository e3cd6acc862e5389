"""Classes of brain tissue in the label maps of every dataset."""

CLASSES = ('background', 'csf', 'grey', 'white', 'ventricle')
"""Names of the values of 'labels'; a dataset marks those that it knows."""


VENTRICLE = CLASSES.index('ventricle')
