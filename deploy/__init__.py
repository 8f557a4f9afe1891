"""From a laptop to AWS, and back: `python -m deploy`. It never imports `brain_tumor`."""
