"""The conformance suite: what an image has to do to pass on the platform, a rule at a time."""
