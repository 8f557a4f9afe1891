"""Batch Transform as SageMaker leads it."""
