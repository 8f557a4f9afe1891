"""Archives of scans: reading, duplicates, splits and the data set report. Imports no TensorFlow."""
