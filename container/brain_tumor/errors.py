"""Every failure a person can mend, as one sentence that names the thing, the value and the cause.

Training writes the sentence to /opt/ml/output/failure; serving answers it with `status` and `code`.
"""


class BrainTumorError(Exception):
    """Base of all our errors. `status` and `code` are what serving answers with."""

    status = 500
    code = "internal_error"


class HyperparameterError(BrainTumorError):
    """A hyperparameter is unknown or its value cannot be used."""


class DataError(BrainTumorError):
    """An archive, a channel or a folder of scans cannot be used as it is."""


class ArtifactError(BrainTumorError):
    """A model folder is missing, incomplete or of another format."""


class CheckpointError(BrainTumorError):
    """A checkpoint is of another job, and must not be gone on from."""


class DiskFullError(BrainTumorError):
    """A folder that a job writes to takes no more."""


class SettingsError(BrainTumorError):
    """An environment variable holds a value that cannot be used."""


class ImageError(BrainTumorError):
    """Bytes or numbers that are no readable image."""

    status = 400
    code = "unreadable_image"


class ImageTooLargeError(ImageError):
    """An image with more pixels than the limit."""

    status = 413
    code = "too_many_pixels"


class PayloadError(BrainTumorError):
    """A request body that is not what its Content-Type promises."""

    status = 400
    code = "unreadable_body"


class PayloadTooLargeError(PayloadError):
    """A request body above the limit."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaTypeError(BrainTumorError):
    """A Content-Type that the server does not read."""

    status = 415
    code = "unsupported_content_type"


class NotAcceptableError(BrainTumorError):
    """An Accept header that names no format the server writes."""

    status = 406
    code = "not_acceptable"


class SessionError(BrainTumorError):
    """A request that opens a stateful session."""

    status = 400
    code = "no_sessions"


class ModelNotLoadedError(BrainTumorError):
    """A server is asked for a model that it has not loaded."""

    status = 404
    code = "model_not_loaded"


class ModelLoadedError(BrainTumorError):
    """A multi-model endpoint is told to load a model under a name that is taken."""

    status = 409
    code = "model_already_loaded"


class UnusableModelError(BrainTumorError):
    """A multi-model endpoint is told to load what is no model, or lies in a forbidden place."""

    status = 400
    code = "unusable_model"


class InsufficientMemoryError(BrainTumorError):
    """A model does not fit into memory beside those that are loaded."""

    status = 507
    code = "insufficient_memory"


class OverloadedError(BrainTumorError):
    """More requests at once than there are threads, or room on disk, for."""

    status = 503
    code = "overloaded"


class NotReadyError(BrainTumorError):
    """The model is still loading, or prediction is broken."""

    status = 503
    code = "not_ready"
