"""Modules that apply a trained run to a scan and write the result on its own grid."""
