"""Train and serve a brain-tumour MRI classifier. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
