"""Errors as AWS answers them."""

import botocore.exceptions as boto


def answer(code: str, message: str = "", operation: str = "CreateTrainingJob") -> Exception:
    """Give the error that boto3 raises for an answer with this code."""
    told = {"Error": {"Code": code, "Message": message}}
    error: Exception = boto.ClientError(told, operation)
    return error
