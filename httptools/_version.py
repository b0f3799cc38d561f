"""The version, for setup.py, the package and the C code alike."""

__version__ = '0.1.0'
