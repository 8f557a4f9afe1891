"""Hosting as SageMaker does it: endpoints of all kinds and Batch Transform, on this machine."""
